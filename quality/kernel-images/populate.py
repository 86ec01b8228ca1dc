#!/usr/bin/env python3
"""Fills a mounted file system with a tree of everything it takes, by a seed: populate.py FOLDER SEED [COUNT].

What a file system refuses (device nodes on FAT, attributes on minix) is left out: the truth is what the kernel
lists afterwards, not what was asked for.
"""
import os
import random
import socket
import stat
import sys

root, seed = sys.argv[1].encode(), int(sys.argv[2])
count = int(sys.argv[3]) if len(sys.argv) > 3 else 120
rnd = random.Random(seed)
WORDS = [b"".join(rnd.choice(b"abcdefghijklmnopqrstuvwxyz").to_bytes(1, "little") for _ in range(n % 9 + 2)) for n in range(300)]


def prose(size):
    out = bytearray()
    while len(out) < size:
        out += rnd.choice(WORDS) + b" "
    return bytes(out[:size])


def content():
    size = rnd.choice([0, 1, 30, 59, 61, 150, 511, 1024, 3000, 4095, 4096, 4097, 9000, 16385, 40000, 131073, 300001])
    size = max(0, size + rnd.choice([0, 0, -1, 1, 7]))
    kind = rnd.random()
    if kind < 0.6:
        return prose(size)
    if kind < 0.75:
        return bytes([rnd.randrange(256)]) * size
    return rnd.randbytes(size)


def may(function, *arguments, **named):
    try:
        return function(*arguments, **named)
    except (OSError, ValueError):
        return None


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


folders, files = [root], []
for i in range(12):
    path = rnd.choice(folders) + b"/" + b"d%d-" % i + rnd.choice(WORDS)
    may(os.mkdir, path)
    if os.path.isdir(path):
        folders.append(path)
for i in range(count):
    path = rnd.choice(folders) + b"/f%d." % i + rnd.choice(WORDS)
    if i % 17 == 3:
        path += b"-" + b"x" * 120
    if i % 19 == 5:
        path += "-ünïcödé".encode()
    may(write, path, content())
    if os.path.lexists(path):
        files.append(path)
# Holes, pieces written out of order, tails cut off and lengthened.
for i in range(6):
    path = rnd.choice(folders) + b"/sparse%d" % i
    def sparse():
        with open(path, "wb") as f:
            for _ in range(6):
                f.seek(rnd.randrange(0, 400000))
                f.write(content()[:9000])
            f.truncate(rnd.randrange(100000, 500000))
    may(sparse)
    if os.path.exists(path):
        files.append(path)
for path in rnd.sample(files, min(len(files), 12)):
    may(os.truncate, path, rnd.randrange(0, 20000))
# Parts written again in place, and files taken away or renamed: what journals and logs have to get right.
for path in rnd.sample(files, min(len(files), 12)):
    def again():
        with open(path, "r+b") as f:
            f.seek(rnd.randrange(0, max(1, os.path.getsize(path))))
            f.write(content()[:5000])
    may(again)
for path in rnd.sample(files, min(len(files), 10)):
    may(os.unlink, path)
for path in rnd.sample(files, min(len(files), 10)):
    may(os.rename, path, path + b".new")
files = [f for f in files if os.path.exists(f)]
for i, path in enumerate(rnd.sample(files, min(len(files), 8))):
    may(os.link, path, rnd.choice(folders) + b"/link%d" % i)
for i, target in enumerate([b"x", b"../short", b"a/" * 29, b"b/" * 30, b"c/" * 31, b"d/" * 300]):
    may(os.symlink, target, rnd.choice(folders) + b"/symlink%d" % i)
may(os.mknod, root + b"/char", stat.S_IFCHR | 0o640, os.makedev(5, 1))
may(os.mknod, root + b"/block", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
may(os.mkfifo, root + b"/fifo", 0o620)


def sock():
    os.chdir(root)
    socket.socket(socket.AF_UNIX).bind(b"socket")


may(sock)
os.chdir(b"/")
for i, path in enumerate(rnd.sample(files + folders, min(len(files), 14))):
    may(os.setxattr, path, b"user.mark", b"value %d" % i)
    may(os.setxattr, path, b"trusted.t", rnd.randbytes(rnd.choice([3, 40, 200, 700])))
    may(os.setxattr, path, b"security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    may(os.setxattr, path, b"user." + b"n" * 40, b"")
    # The name space of the driver for APFS; a large one is a stream of its own.
    may(os.setxattr, path, b"osx.mark", prose(rnd.choice([0, 20, 3000])))
for path in files + folders:
    may(os.chmod, path, rnd.choice([0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777]))
    may(os.chown, path, rnd.choice([0, 1000, 65534, 70000]), rnd.choice([0, 100, 3000000]))
    may(os.utime, path, (1500000000, rnd.choice([0, 1, 1500000000, 1700000001, 2000000000])), follow_symlinks=False)
# A folder with so many names that it needs more than one block or leaf.
many = root + b"/many"
may(os.mkdir, many)
for i in range(count * 3):
    may(write, many + b"/entry-%04d-%s" % (i, rnd.choice(WORDS)), b"%d" % i)
for i in range(0, count * 3, 7):
    may(os.unlink, next((many + b"/" + n for n in os.listdir(many) if n.startswith(b"entry-%04d" % i)), b"/nonexistent"))
