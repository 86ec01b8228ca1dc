#!/bin/sh
# run.sh WORK: makes images of file systems with a real kernel in a virtual machine; they and the kernel's listings
# stand in WORK/job/out afterwards. Without KVM some 20 s an image. Needs root (device nodes in the tree) and of Debian:
#   qemu-system-x86 busybox-static cpio kmod python3 e2fsprogs btrfs-progs mtd-utils ntfs-3g dosfstools util-linux
#   squashfs-tools erofs-utils xorriso attr; for APFS apfsprogs, apfs-dkms' source and the headers of the kernel.
set -e
here=$(cd "$(dirname "$0")" && pwd); mkdir -p "$1"; work=$(cd "$1" && pwd); job=$work/job
rm -rf "$job/out" "$job/made"; mkdir -p "$job/made" "$work/packages" "$work/init/bin" "$work/init/mod"
cp "$here"/*.py "$here/job.sh" "$job/"; cp "${JOBS:-$here/jobs}" "$job/jobs"
package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
version=${package#linux-image-}
if [ ! -e "$job/k/boot/vmlinuz-$version" ]; then
  (cd "$work/packages" && apt-get download "$package" && dpkg-deb -x "$package"_*.deb "$job/k")
  # The driver for APFS is not part of the kernel.
  if [ -e "/usr/src/linux-headers-$version" ]; then
    (cd "$work/packages" && apt-get download apfs-dkms && dpkg-deb -x apfs-dkms_*.deb apfs)
    make -s -C "/usr/src/linux-headers-$version" M="$(echo "$work"/packages/apfs/usr/src/linux-apfs-rw-*)" modules
    mkdir -p "$job/k/lib/modules/$version/extra"
    cp "$work"/packages/apfs/usr/src/linux-apfs-rw-*/apfs.ko "$job/k/lib/modules/$version/extra/"
  fi
  depmod -b "$job/k" "$version"
fi
cp "$here/init" "$work/init/init"; chmod +x "$work/init/init"; cp /bin/busybox "$work/init/bin/"
mkdir -p "$work/init/proc" "$work/init/sys" "$work/init/dev" "$work/init/root"; rm -f "$work"/init/mod/*
number=10
for module in $(modprobe -d "$job/k" -S "$version" --show-depends -a virtio_pci virtio_blk 9pnet_virtio 9p |
  awk '$1 == "insmod" && !seen[$2]++ { print $2 }'); do
  cp "$module" "$work/init/mod/$number-${module##*/}"; number=$((number + 1))
done
(cd "$work/init" && find . | cpio -o -H newc --quiet | gzip -1 >"$work/initrd.gz")
# Images that the kernel only reads.
rm -rf "$work/tree"; mkdir "$work/tree"; python3 "$here/populate.py" "$work/tree" 1
cd "$job/made"
for c in gzip xz lz4 lzo zstd; do
  mksquashfs "$work/tree" squashfs-$c.img -noappend -quiet -no-progress -comp $c >/dev/null
done
mkfs.erofs erofs-plain.img "$work/tree" >/dev/null 2>&1
mkfs.erofs -zlz4 erofs-lz4.img "$work/tree" >/dev/null 2>&1
mkfs.erofs -zlz4hc,12 -C65536 -Eztailpacking,fragments,dedupe erofs-lz4hc.img "$work/tree" >/dev/null 2>&1
mkfs.erofs --chunksize=4096 erofs-chunks.img "$work/tree" >/dev/null 2>&1
xorriso -as mkisofs -quiet -R -J -o iso-rr.img "$work/tree" 2>/dev/null
xorriso -outdev stdio:iso-zisofs.img -padding 0 -map "$work/tree" / -zisofs level=9 \
  -set_filter_r --zisofs / -- -rockridge on -commit 2>/dev/null
timeout "${VMTIME:-3000}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 1500 -nographic -no-reboot \
  -kernel "$job/k/boot/vmlinuz-$version" -initrd "$work/initrd.gz" -append "console=ttyS0 quiet panic=-1" \
  -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
  -device virtio-9p-pci,fsdev=root,mount_tag=root \
  -fsdev local,id=job,path="$job",security_model=none -device virtio-9p-pci,fsdev=job,mount_tag=job >"$work/console"
tail -1 "$job/log" | grep -q 'exit 0' || { cat "$job/log" >&2; exit 1; }
