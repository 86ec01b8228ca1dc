#!/usr/bin/env python3
"""Lists what the kernel shows below FOLDER, one JSON object a line: list.py FOLDER >LIST.

Bytes of names, targets and attributes are hexadecimal, contents are SHA-256.
"""
import hashlib
import json
import os
import stat
import sys

root = sys.argv[1].encode()
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
         stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}


def one(path, name):
    s = os.lstat(path)
    kind = KINDS[stat.S_IFMT(s.st_mode)]
    line = {"path": name.hex(), "kind": kind, "mode": stat.S_IMODE(s.st_mode), "uid": s.st_uid, "gid": s.st_gid,
            "mtime": s.st_mtime_ns // 10**9, "inode": f"{s.st_dev}:{s.st_ino}", "links": s.st_nlink}
    if kind == "file":
        with open(path, "rb") as f:
            digest = hashlib.sha256()
            while block := f.read(1 << 20):
                digest.update(block)
        line |= {"size": s.st_size, "sha256": digest.hexdigest()}
    if kind == "symlink":
        line["target"] = os.readlink(path).hex()
    if kind in ("char", "block"):
        line["device"] = [os.major(s.st_rdev), os.minor(s.st_rdev)]
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        names = []
    # What ntfs-3g makes up on the way is not in the image; the driver for APFS puts a name space in front, and shows
    # where it keeps the targets of links.
    names = [n for n in sorted(names) if not n.startswith("system.") and n != "osx.com.apple.fs.symlink"]
    line["xattrs"] = {n.removeprefix("osx."): os.getxattr(path, n, follow_symlinks=False).hex() for n in names}
    print(json.dumps(line, sort_keys=True))


def walk(path, name):
    for entry in sorted(os.listdir(path)):
        below, full = (name + b"/" + entry if name else entry), path + b"/" + entry
        try:
            one(full, below)
            if stat.S_ISDIR(os.lstat(full).st_mode):
                walk(full, below)
        except OSError as e:
            print(json.dumps({"path": below.hex(), "error": str(e)}))


walk(root, b"")
