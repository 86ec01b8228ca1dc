# Runs inside the virtual machine, in the host's user space: makes images, mounts them, lists them (see run.sh).
# /mnt is the folder shared with the host: `jobs` names what to do, results go to `out`.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TZ=UTC LC_ALL=C.UTF-8
M=/tmp/m; O=/mnt/out; mkdir -p $M $O /tmp/w
mod() { for m; do modprobe -d /mnt/k $m || echo "no module $m"; done; }
mod loop
fill() { python3 /mnt/populate.py $M "$@"; }
list() { python3 /mnt/list.py $M > $O/$1.list; }
keep() { cp --sparse=always /tmp/w/$1 $O/$2; }
image() { truncate -s $1 /tmp/w/i; }
done_() { umount $M; rm -f /tmp/w/*; }
# commit: what journals and logs hold is on the disk, what they say is not yet in its place.
commit() { python3 -c 'import os; f = os.open("/tmp/m/committed", os.O_CREAT | os.O_WRONLY); os.write(f, b"x"); os.fsync(f)'; }
# crashed NAME TYPE: what another mount makes of the image as it lies there is the truth.
crashed() { keep i $1.img; umount $M; cp $O/$1.img /tmp/w/i; mount -t $2 -o loop /tmp/w/i $M && list $1; umount $M; }
# ext NAME MOUNT-OPTIONS MKFS-ARGUMENTS...: filled and unmounted; -crash: as it is in the middle.
ext() {
  name=$1 options=$2; shift 2; mod ext4; image 48M; mke2fs -q -F "$@" /tmp/w/i
  mount -o loop,commit=300,$options /tmp/w/i $M || return 1; fill 1
  case $name in
  *-crash) sync; fill 2 60; commit; rm -rf $M/many; fill 3 30; commit; crashed $name ext4;;
  *) list $name; umount $M; keep i $name.img;;
  esac
  rm -f /tmp/w/*
}
# btrfs NAME MOUNT-OPTIONS NUMBER-OF-DEVICES MKFS-ARGUMENTS...
btrfs_() {
  name=$1 options=$2 count=$3; shift 3; mod btrfs; devices=
  for i in $(seq $count); do truncate -s 128M /tmp/w/$i; devices="$devices $(losetup -f --show /tmp/w/$i)"; done
  mkfs.btrfs -q -f "$@" $devices; btrfs device scan >/dev/null
  set -- $devices; mount -o $options $1 $M || return 1; fill 1
  case $name in
  *-volumes) btrfs subvolume create $M/sub >/dev/null; echo hello > $M/sub/file; btrfs subvolume snapshot -r $M $M/snap >/dev/null
    echo changed > $M/sub/file; rm -rf $M/many; btrfs subvolume create $M/sub/inner >/dev/null; echo deep > $M/sub/inner/file;;
  *-crash) sync; python3 - <<'P'
import os
for i in range(40):
    p = f"/tmp/m/logged{i}"
    with open(p, "w") as f:
        f.write(f"{i} " * (i * 50)); f.flush(); os.fsync(f.fileno())
os.rename("/tmp/m/logged1", "/tmp/m/renamed1")
os.unlink("/tmp/m/logged2")
os.sync()
for i in range(3, 12):
    with open(f"/tmp/m/logged{i}", "r+") as f:
        f.write("written again, " * i * 30); f.flush(); os.fsync(f.fileno())
for i in range(3):
    with open(f"/tmp/m/new{i}", "w") as f:
        f.write("new " * 3000 * i); f.flush(); os.fsync(f.fileno())
P
  ;; esac
  [ ${name%-crash} = $name ] && { list $name; umount $M; }
  for i in $(seq $count); do keep $i $name$([ $i = 1 ] || echo .$i).img; done
  # What another mount makes of the log is the truth, too.
  [ ${name%-crash} = $name ] || { umount $M; losetup -D; cp $O/$name.img /tmp/w/1; mount -o loop /tmp/w/1 $M && list $name; umount $M; }
  losetup -D; rm -f /tmp/w/*
}
# plain NAME TYPE MODULES SIZE MOUNT-OPTIONS MKFS...
plain() {
  name=$1 type=$2 modules=$3 size=$4 options=$5; shift 5; mod $modules; image $size; "$@" /tmp/w/i >/dev/null
  mount -t $type -o loop,$options /tmp/w/i $M || return 1; fill 1
  # Listed after a second mount: what the kernel remembers but cannot store is not in the image.
  umount $M; mount -t $type -o loop,$options /tmp/w/i $M; list $name; umount $M; keep i $name.img; rm -f /tmp/w/*
}
# apfs_sample: a small one, with what files need that the file system keeps compressed.
apfs_sample() {
  mod apfs; image 520M; mkapfs -L sample /tmp/w/i; mount -t apfs -o loop,readwrite /tmp/w/i $M || return 1
  python3 - <<'P'
import os, struct, zlib
m = "/tmp/m/"
os.mkdir(m + "folder"); os.mkdir(m + "folder/below")
text = b"".join(b"line %d of a text that is compressed\n" % i for i in range(5000))
def put(name, data, *attributes):
    open(m + name, "wb").write(data)
    for n, v in attributes:
        os.setxattr(m + name, "osx." + n, v)
put("plain", text[:70000], ("mark", b"value"), ("large", text[:9000]))
put("empty", b"")
put("folder/below/deep", b"deep")
with open(m + "sparse", "wb") as f:
    f.write(b"begin"); f.seek(200000); f.write(b"middle"); f.truncate(300000)
os.symlink("../plain", m + "folder/link"); os.link(m + "plain", m + "folder/other")
os.mknod(m + "fifo", 0o10644)
header = lambda method, size: b"fpmc" + struct.pack("<IQ", method, size)
put("zlib-inside", b"", ("com.apple.decmpfs", header(3, 2000) + zlib.compress(text[:2000])))
put("stored-inside", b"", ("com.apple.decmpfs", header(3, 5) + b"\xffstore"))
pieces = [zlib.compress(text[i:i + 65536]) for i in range(0, len(text), 65536)]
at, table, body = 4 + 8 * len(pieces), b"", b""
for p in pieces:
    table += struct.pack("<II", at + len(body), len(p)); body += p
data = struct.pack("<I", len(pieces)) + table + body
fork = struct.pack(">IIII", 256, 260 + len(data), 4 + len(data), 50) + bytes(240) + struct.pack(">I", len(data)) + data + bytes(50)
put("zlib-fork", b"", ("com.apple.decmpfs", header(4, len(text))), ("com.apple.ResourceFork", fork))
end = b"\x06" + bytes(7)
put("lzvn-inside", b"", ("com.apple.decmpfs", header(7, 15) + b"\xe5hello\x38\x05" + end))
stored = [b"\xe5hello\x38\x05" + 241 * b"\xf0\xff" + b"\xf0\xc2" + end, b"\x06" + text[65536:70000]]
offsets = [4 * 3, 4 * 3 + len(stored[0]), 4 * 3 + len(stored[0]) + len(stored[1])]
put("lzvn-fork", b"", ("com.apple.decmpfs", header(8, 70000)), ("com.apple.ResourceFork", struct.pack("<III", *offsets) + b"".join(stored)))
for root, dirs, files in os.walk(m):
    for n in dirs + files:
        os.utime(root + "/" + n, (1500000000, 1600000000), follow_symlinks=False)
P
  sync -f $M; list apfs-sample; umount $M; keep i apfs-sample.img
}
# made NAME TYPE MODULES OPTIONS: an image that stands in /mnt/made already.
made() { mod $3; mount -t $2 -o loop,ro$4 /mnt/made/$1.img $M || return 1; list $1; umount $M; cp --sparse=always /mnt/made/$1.img $O/$1.img; }
# ubifs_ NAME COMPRESSION: on a simulated NAND chip; the dump is the chip at that moment.
ubifs_() {
  name=$1 compression=$2; mod lzo deflate zstd ubi ubifs
  # 64 MiB, pages of 2048 bytes.
  modprobe -d /mnt/k nandsim id_bytes=0x20,0xa2,0x00,0x15 || return 1
  ubiformat -q -y /dev/mtd0 && ubiattach -p /dev/mtd0 >/dev/null && ubimkvol /dev/ubi0 -N rootfs -m >/dev/null
  mount -t ubifs -o compr=$compression ubi0:rootfs $M || return 1
  fill 1; case $name in *-crash) sync; fill 2 40; rm -rf $M/many/*3*; fill 3 20; sync;; esac
  case $name in *-crash) list $name; nanddump -q -f /tmp/w/i /dev/mtd0; umount $M;;
  *) list $name; umount $M; nanddump -q -f /tmp/w/i /dev/mtd0;; esac
  keep i $name.img; ubidetach -p /dev/mtd0; rmmod nandsim; rm -f /tmp/w/*
}
jffs2_() {
  name=$1 options=$2; mod mtdblock zlib_deflate jffs2; modprobe -d /mnt/k mtdram total_size=16384 erase_size=64 || return 1
  mount -t jffs2 $options /dev/mtdblock0 $M || return 1; fill 1 80
  umount $M; mount -t jffs2 -o ro /dev/mtdblock0 $M; list $name; cat /dev/mtd0 > /tmp/w/i; umount $M; keep i $name.img; rmmod mtdram; rm -f /tmp/w/*
}
ntfs_() {
  name=$1; shift; mod fuse; case $name in ntfs3*) mod ntfs3;; esac; image 60M; mkntfs -q -F -f "$@" /tmp/w/i >/dev/null 2>&1
  losetup /dev/loop0 /tmp/w/i
  case $name in
  ntfs-3g*) ntfs-3g -o compression,streams_interface=windows /dev/loop0 $M || return 1
    mkdir $M/packed; setfattr -h -v 0x00080000 -n system.ntfs_attrib_be $M/packed
    python3 - <<'P'
import os, random
r = random.Random(5)
for i, size in enumerate([0, 10, 4096, 5000, 65536, 65537, 200000, 1000000]):
    open(f"/tmp/m/packed/text{i}", "wb").write((b"the same words again " * (size // 20 + 1))[:size])
    open(f"/tmp/m/packed/noise{i}", "wb").write(r.randbytes(size))
    open(f"/tmp/m/packed/mixed{i}", "wb").write(b"".join(r.choice([r.randbytes(3000), b"z" * 5000]) for _ in range(size // 4000 + 1))[:size])
P
    fill 1; umount $M; ntfs-3g -o ro,streams_interface=windows /dev/loop0 $M;;
  *) mount -t ntfs3 /dev/loop0 $M || return 1; fill 1; sync;; esac
  list $name; umount $M; losetup -d /dev/loop0; keep i $name.img; rm -f /tmp/w/*
}
while read -r line; do
  [ -n "$line" ] || continue
  begun=$(date +%s); echo "== $line"; eval "$line" || echo "FAILED $line"
  mountpoint -q $M && umount -l $M; losetup -D; rm -f /tmp/w/*
  echo "== $(($(date +%s) - begun)) s"
done < /mnt/jobs
