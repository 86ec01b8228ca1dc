//! Small inputs made by the real tools, where they are installed: a mutated
//! valid image goes deeper than a mutated magic.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Format id and the commands that write `out` from the folder `tree` and the file `tree/text`.
const MADE: &[(&str, &str)] = &[
    ("tar", "tar --format=gnu -cf out tree"),
    ("tar", "tar --format=pax -cf out tree"),
    ("tar", "tar --format=ustar -cf out tree"),
    ("cpio", "find tree | cpio -o -H newc >out"),
    ("cpio", "find tree | cpio -o -H odc >out"),
    ("cpio", "find tree | cpio -o -H bin >out"),
    ("zip", "zip -qr out.zip tree && mv out.zip out"),
    ("ar", "ar rc out tree/text tree/noise"),
    ("gzip", "gzip -c tree/text >out"),
    ("xz", "xz -c tree/text >out"),
    ("lzma", "xz --format=lzma -c tree/text >out"),
    ("bzip2", "bzip2 -c tree/text >out"),
    ("zstd", "zstd -qc tree/text >out"),
    ("lz4", "lz4 -qc tree/text out"),
    ("lzop", "lzop -c tree/text >out"),
    ("squashfs", "mksquashfs tree out -noappend -quiet -no-progress -comp gzip -b 4096"),
    ("squashfs", "mksquashfs tree out -noappend -quiet -no-progress -comp xz -nopad"),
    ("squashfs", "mksquashfs tree out -noappend -quiet -no-progress -noI -noD -noF -noX"),
    ("cramfs", "mkfs.cramfs tree out || mkcramfs tree out"),
    ("romfs", "genromfs -f out -d tree"),
    ("jffs2", "mkfs.jffs2 -r tree -o out -e 4096 -l"),
    ("jffs2", "mkfs.jffs2 -r tree -o out -e 4096 -b"),
    ("ubifs", "mkfs.ubifs -r tree -m 512 -e 15872 -c 40 -o out"),
    ("ext", "truncate -s 256K out && mke2fs -q -t ext2 -d tree out"),
    ("ext", "truncate -s 1M out && mke2fs -q -t ext4 -O ^has_journal -d tree out"),
    ("fat", "truncate -s 64K out && mkfs.fat out && mcopy -i out tree/text ::"),
    (
        "iso9660",
        "xorriso -as mkisofs -quiet -R -J -o out tree || genisoimage -quiet -R -o out tree",
    ),
    ("erofs", "mkfs.erofs -q out tree"),
    ("minix", "truncate -s 64K out && mkfs.minix out"),
    ("uimage", "mkimage -A arm -O linux -T kernel -C none -d tree/text out"),
    ("fdt", "printf '/dts-v1/; / { a = <1>; b { c = \"x\"; }; };' | dtc -q -o out"),
    ("gpt", "truncate -s 64K out && printf 'label: gpt\\n,8\\n' | sfdisk -q out"),
    ("mbr", "truncate -s 64K out && printf 'label: dos\\n1,8\\n' | sfdisk -q out"),
    ("elf", "cp /bin/true out"),
    ("ihex", "objcopy -I binary -O ihex tree/text out"),
    ("srec", "objcopy -I binary -O srec tree/text out"),
];

/// Seeds by format id. Tools that are missing are named once.
pub fn made() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut seeds: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let Ok(dir) = tempfile::tempdir() else { return seeds };
    if tree(&dir.path().join("tree")).is_err() {
        return seeds;
    }
    let mut missing = Vec::new();
    for (format, command) in MADE {
        let out = dir.path().join("out");
        drop(fs::remove_file(&out));
        let ran = Command::new("sh")
            .args(["-c", command])
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .current_dir(dir.path())
            .output();
        match (ran, fs::read(&out)) {
            (Ok(ran), Ok(seed)) if ran.status.success() && !seed.is_empty() => {
                seeds.entry(*format).or_default().push(seed);
            }
            _ => missing.push(*format),
        }
    }
    if !missing.is_empty() {
        println!("no seeds made by tools for: {}", missing.join(" "));
    }
    seeds
}

fn tree(at: &Path) -> std::io::Result<()> {
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
