//! Small inputs made by the real tools: a mutated valid image goes deeper than a mutated magic.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    process::Command,
};

/// Format id, Debian packages of the tool, and the command that writes `out` from the folder `tree`.
const MADE: &[(&str, &str, &str)] = &[
    ("tar", "tar", "tar --format=gnu -cf out tree"),
    ("tar", "tar", "tar --format=pax -cf out tree"),
    ("tar", "tar", "tar --format=ustar -cf out tree"),
    ("cpio", "cpio", "find tree | cpio -o -H newc >out"),
    ("cpio", "cpio", "find tree | cpio -o -H odc >out"),
    ("cpio", "cpio", "find tree | cpio -o -H bin >out"),
    ("zip", "zip", "zip -qr out.zip tree && mv out.zip out"),
    ("ar", "binutils", "ar rc out tree/text tree/noise"),
    ("gzip", "gzip", "gzip -c tree/text >out"),
    ("xz", "xz-utils", "xz -c tree/text >out"),
    ("lzma", "xz-utils", "xz --format=lzma -c tree/text >out"),
    ("bzip2", "bzip2", "bzip2 -c tree/text >out"),
    ("zstd", "zstd", "zstd -qc tree/text >out"),
    ("lz4", "lz4", "lz4 -qc tree/text >out"),
    ("lzop", "lzop", "lzop -c tree/text >out"),
    (
        "squashfs",
        "squashfs-tools",
        "mksquashfs tree out -noappend -quiet -no-progress -comp gzip -b 4096",
    ),
    (
        "squashfs",
        "squashfs-tools",
        "mksquashfs tree out -noappend -quiet -no-progress -comp xz -nopad",
    ),
    (
        "squashfs",
        "squashfs-tools",
        "mksquashfs tree out -noappend -quiet -no-progress -noI -noD -noF -noX",
    ),
    ("cramfs", "util-linux-extra", "mkfs.cramfs tree out"),
    ("romfs", "genromfs", "genromfs -f out -d tree"),
    ("jffs2", "mtd-utils", "mkfs.jffs2 -r tree -o out -e 4096 -l"),
    ("jffs2", "mtd-utils", "mkfs.jffs2 -r tree -o out -e 4096 -b"),
    ("ubifs", "mtd-utils", "mkfs.ubifs -r tree -m 512 -e 15872 -c 40 -o out"),
    ("ext", "e2fsprogs", "truncate -s 256K out && mke2fs -q -t ext2 -d tree out"),
    ("ext", "e2fsprogs", "truncate -s 1M out && mke2fs -q -t ext4 -O ^has_journal -d tree out"),
    (
        "fat",
        "dosfstools mtools",
        "truncate -s 64K out && mkfs.fat out && mcopy -i out tree/text ::",
    ),
    ("iso9660", "xorriso", "xorriso -as mkisofs -quiet -R -J -o out tree"),
    ("erofs", "erofs-utils", "mkfs.erofs out tree"),
    ("minix", "util-linux-extra", "truncate -s 64K out && mkfs.minix out"),
    ("uimage", "u-boot-tools", "mkimage -A arm -O linux -T kernel -C none -d tree/text out"),
    (
        "fdt",
        "device-tree-compiler",
        "printf '/dts-v1/; / { a = <1>; b { c = \"x\"; }; };' | dtc -q -o out",
    ),
    ("gpt", "fdisk", "truncate -s 64K out && printf 'label: gpt\\n,8\\n' | sfdisk -q out"),
    ("mbr", "fdisk", "truncate -s 64K out && printf 'label: dos\\n1,8\\n' | sfdisk -q out"),
    ("elf", "coreutils", "cp /bin/true out"),
    (
        "ntfs",
        "ntfs-3g",
        "truncate -s 2M out && mkntfs -q -F -f -c 1024 out && ntfscp -q -f out tree/text text",
    ),
    (
        "partclone",
        "partclone e2fsprogs",
        "truncate -s 128K fs && mke2fs -q -F -t ext2 -N 64 -d tree fs && partclone.ext2 -c -s fs -o out -F -L log; rm -f fs",
    ),
    (
        "ole",
        "msitools",
        "msibuild m.msi -s t a '' '{12345678-1234-1234-1234-123456789012}' && msibuild m.msi -a s tree/text && mv m.msi out",
    ),
    // Written by the Linux driver; see the README beside it.
    (
        "apfs",
        "zstd",
        concat!("zstd -dqfo out ", env!("CARGO_MANIFEST_DIR"), "/../unpack/tests/samples/apfs.zst"),
    ),
    // No free tool writes RAR: these were put together by the writer of the tests of `codec::rar`.
    (
        "rar",
        "coreutils",
        "printf 'UmFyIRoHAQDFGjMyAwEAACecJjY2AgMjZgSGAaCDAoBPQICAAwEBYSICAJHY3A4wDkLjYyYGnldbM8CDOlFyIK0UvaBX2FiqduXo1e5hAABVVVVVVVVVVVVVTH+mOk8UxotCRCGignktmM3lzonNAn82m89mc3nUrmEwdErdE3lU9dE2dFAlrooE3nMtls5nMqoE6lsudEudDolT0dE9dDomE9nT0mbom8uEgFQpwIMcD2YmWhICAwBVBGSggwLYusiAwAMBAWJQWlAAADAOFAYAAAABigAAAAEAxQAAADHgAAAE0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0Wi0WiAW7GEqxMCAwCGAQSGAaCDAoBPQIAAAQFjdGVpb2YgcXh3bm91a29yY2hoIGMgb2J1IG4geGUgeG9xZWVxcWJ4cmVmIGYgIGIsIHUgIGh1cixrIG9mZmZmZmZuIHhlIHhvcWVlcXFieHJlZiBmICBiLCB1ICBodXIsayBvZmZmZmZmbiB4ZSB4b3FlZXFxYnhyZWYgZiAgICAgICAgICAZsjo1AwUAAA==' | base64 -d >out",
    ),
    (
        "rar",
        "coreutils",
        "printf 'UmFyIRoHAQDFGjMyAwEAAB+Zh4QTAhMAMwSGAaCDAlCHKr6AAwEBc9XuYQAAVVVVVVVVVVVVVUx/pjpPFMaLQkQhooJ5LZjN5c6JzQJ/NpvPZnN51K5hMHRK3Y+CPUIDBQABUmFyIRoHAQDFGjMyAwEAAMYDhxETAgsAMwSGAaCDAoBPQICAAwEBcxN5VPXRNnRQJa6KBN5zLZbOZzKqBOpbLnRLnQ6JU9HRPXQ6JhPZ09Jm6JvLhIBUKcCDHBmyOjUDBQAA' | base64 -d >out",
    ),
    (
        "rar",
        "coreutils",
        "printf 'UmFyIRoHAM+QcwAADQAAAAAAAABmcXQAgCEAlQAAAJoAAAADkb/YDgAAIQAdMwEAoIEAAGEVVVVVVVVVVVVVUx/pjpPE+aLAsUMgiMVjcSZkdkkjjUbkMXjceh8UijMh7MjcOkLMjTMkkRZkkjcdiMRjsdh0kj0RiTMiTMZkObDMkLMZkUkMebEXZkbiREA7lHBBDgbcAGsAAAAAwAAAADAAAACgOAAAAB4AAAAGhKYiAVqtVqtVqtVqtVqtVqtVqtVqtVqtVqtAAHFMdACAIQBJAAAAjQAAAANReBDzAAAhAB0zAQCggQAAcKUAc++Ire9oHW/TZ+AYGMTQzY7uwGR6NVFoz6uIJrda2uNREqyDUbTPcH+sO8LtMfUzP7rjOvwoI8W7k5gQ2wltwbRly9xsnawEsHsAAAcA' | base64 -d >out",
    ),
    // Linked into an image, so no tool writes it by itself: three files, and one in a folder, of an image of big-endian order.
    (
        "vxworks-memfs",
        "coreutils",
        "printf 'AFdJTkQgdmVyc2lvbiA1LjUAYS5odG1sAGIuanMAc3ViAGMAZC5jc3MAAAA8aHRtbD5vbmU8L2h0bWw+YWxlcnQoMSl4e30AbG9uZyBjb250ZW50IG9mIGZvdXJwAAAAgAAQEoAAECwAAAAAAAAAEIAAEBmAABA8AAAAAAAAAAiAABAigAAQRAAAAAAAAAADgAAQJIAAEEgAAAAAAAAAFIAAEB4AAAAAgAAQsAAAAAGAABAigAAQXAAAAAAAAAAB' | base64 -d >out",
    ),
    ("ihex", "binutils", "objcopy -I binary -O ihex tree/text out"),
    ("srec", "binutils", "objcopy -I binary -O srec tree/text out"),
];

/// Images made by tools.
#[derive(Debug, Default)]
pub struct Made {
    /// By format id.
    pub images: BTreeMap<&'static str, Vec<Vec<u8>>>,
    /// Debian packages whose tools are not there, or failed.
    pub missing: BTreeSet<&'static str>,
}

/// Makes all images that the installed tools can make.
///
/// # Errors
/// When no temporary folder can be written.
pub fn made() -> io::Result<Made> {
    let dir = tempfile::tempdir()?;
    tree(&dir.path().join("tree"))?;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut made = Made::default();
    for (format, packages, command) in MADE {
        let out = dir.path().join("out");
        drop(fs::remove_file(&out));
        let ran = Command::new("sh")
            .args(["-c", command])
            .env("PATH", &path)
            .current_dir(dir.path())
            .output()?;
        match fs::read(&out) {
            Ok(image) if ran.status.success() && !image.is_empty() => {
                made.images.entry(format).or_default().push(image);
            }
            _ => drop(made.missing.insert(packages)),
        }
    }
    Ok(made)
}

fn tree(at: &Path) -> io::Result<()> {
    fs::create_dir_all(at.join("folder/inner"))?;
    fs::write(at.join("text"), "a line of text, and the same again\n".repeat(60))?;
    let noise: Vec<u8> =
        (0..2000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    fs::write(at.join("noise"), noise)?;
    fs::write(at.join("empty"), "")?;
    fs::write(at.join("folder/inner/deep"), "deep\n")?;
    std::os::unix::fs::symlink("../text", at.join("folder/link"))?;
    fs::hard_link(at.join("text"), at.join("folder/same"))
}
