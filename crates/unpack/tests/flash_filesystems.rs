//! File systems of flash memory (JFFS2, UBI with UBIFS) as mtd-utils write them, entry by entry, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use bytes::Bytes;
use common::{check, tree};
use proofmark_model::Proof;
use proofmark_unpack::budget::Budget;

fn build(command: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    tree::full().build(dir.path(), command)
}

/// mkfs.jffs2 keeps attributes only where asked to, and the real kernel's ones through fakeroot.
fn jffs2(options: &str) -> Vec<u8> {
    build(&format!("mkfs.jffs2 -r tree -o image {options}"))
}

#[track_caller]
fn whole_jffs2(options: &str) {
    let opened = check::open_clean("jffs2", jffs2(options), Proof::ChecksumVerified);
    let xattrs = options.contains("--with-xattr");
    check::compare(&tree::full(), &opened.entries, check::Keeps { xattrs, ..check::ALL });
}

#[test]
fn jffs2_in_both_orders() {
    whole_jffs2("-l -e 64KiB");
    whole_jffs2("-b -e 128KiB");
    whole_jffs2("-l -n -e 64KiB -p");
    whole_jffs2("-l -e 128KiB --with-xattr");
}

#[test]
fn jffs2_with_every_compressor() {
    whole_jffs2("-l -m none");
    whole_jffs2("-l -x zlib -X rtime -x lzo");
    whole_jffs2("-b -x zlib -x rtime -X lzo");
    whole_jffs2("-l -m size -X lzo -X rtime -X zlib");
}

#[test]
fn jffs2_reaches_to_the_end_of_its_last_erase_block_and_is_found_once() {
    let image = jffs2("-l -e 64KiB -p");
    let (len, before) = (image.len(), 0x1234 & !3);
    let mut flash = vec![0x55; before];
    flash.extend_from_slice(&image);
    flash.extend_from_slice(&[0xff; 0x4_0000]);
    let flash = Bytes::from(flash);
    let format = check::format("jffs2");
    let budget = Budget::ample();
    let found: Vec<_> = (0..flash.len())
        .step_by(4)
        .filter(|at| flash[*at] == 0x85 && flash.get(*at + 1) == Some(&0x19))
        .filter_map(|at| format.probe(&flash, at, &budget))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].start, found[0].length), (before, len));
}

/// A newer node supersedes older ones, a name without inode removes.
#[test]
fn jffs2_versions() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = tree::Tree::default();
    first.add("keep", 0o644, tree::Kind::File(b"old content".to_vec()));
    let image = first.build(dir.path(), "mkfs.jffs2 -l -n -r tree -o image");
    let opened = check::open_clean("jffs2", image, Proof::ChecksumVerified);
    check::compare(&first, &opened.entries, check::Keeps { xattrs: false, ..check::ALL });
}

/// mkfs.ubifs of Debian is built without extended attributes.
const UBIFS_KEEPS: check::Keeps = check::Keeps { xattrs: false, ..check::ALL };

const UBIFS: &str = "mkfs.ubifs -r tree -m 2048 -e 126976 -c 200 -o image";

#[track_caller]
fn whole_ubifs(options: &str) {
    let opened =
        check::open_clean("ubifs", build(&format!("{UBIFS} {options}")), Proof::ChecksumVerified);
    check::compare(&tree::full(), &opened.entries, UBIFS_KEEPS);
}

#[test]
fn ubifs_with_every_compressor() {
    for compressor in ["lzo", "zlib", "zstd", "none", "favor_lzo"] {
        whole_ubifs(&format!("-x {compressor}"));
    }
}

#[test]
fn ubifs_with_a_damaged_index_is_read_by_scan() {
    let image = build(UBIFS);
    let mut damaged = image.clone();
    // The root of the index, as the master node in block 1 names it.
    let master = 126_976;
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    damaged[word(master + 48) * 126_976 + word(master + 52) + 30] ^= 1;
    let opened =
        check::open_at(check::format("ubifs"), &Bytes::from(damaged), 0, &Budget::ample()).unwrap();
    assert_eq!(opened.problems.len(), 1);
    check::compare(&tree::full(), &opened.entries, UBIFS_KEEPS);
}

const INI: &str = "[rootfs]\\nmode=ubi\\nimage=volume\\nvol_id=0\\nvol_size=24MiB\\nvol_type=dynamic\\nvol_name=rootfs\\n\
                   [kernel]\\nmode=ubi\\nimage=static\\nvol_id=3\\nvol_size=1MiB\\nvol_type=static\\nvol_name=kernel\\n\
                   [data]\\nmode=ubi\\nvol_id=4\\nvol_size=1MiB\\nvol_type=dynamic\\nvol_name=data\\n";

fn ubi() -> Vec<u8> {
    build(&format!(
        "{} && cp tree/usr/lib/text static && printf '{INI}' >ini && \
         ubinize -o image -m 2048 -p 128KiB -s 2048 -O 2048 ini",
        UBIFS.replace("-o image", "-o volume")
    ))
}

#[track_caller]
fn compare_ubi(opened: &check::Opened) {
    let names: Vec<_> = opened.entries.iter().map(|e| String::from_utf8_lossy(&e.path)).collect();
    assert_eq!(names, ["rootfs", "kernel", "data"]);
    let kernel = opened.entries[1].blob.load(&Budget::ample());
    assert_eq!(kernel.problems, []);
    assert!(kernel.bytes == tree::prose(6, 1_000_003));
    let rootfs = opened.entries[0].blob.load(&Budget::ample());
    assert_eq!(rootfs.problems, []);
    let inside = check::open_clean("ubifs", rootfs.bytes.to_vec(), Proof::ChecksumVerified);
    check::compare(&tree::full(), &inside.entries, UBIFS_KEEPS);
}

#[test]
fn ubi_volumes() {
    compare_ubi(&check::open_clean("ubi", ubi(), Proof::ChecksumVerified));
}

/// Blocks in another order, a bad one between them, and an older copy of one of them.
#[test]
fn ubi_as_a_used_flash_looks() {
    const PEB: usize = 128 << 10;
    let image = ubi();
    let mut blocks: Vec<Vec<u8>> = image.chunks(PEB).map(<[u8]>::to_vec).collect();
    let middle = blocks.len() / 2;
    blocks[middle..].reverse();
    blocks.insert(5, vec![0; PEB]);
    blocks.insert(9, vec![0xff; PEB]);
    let mut flash = blocks.concat();
    flash.extend_from_slice(&[0xff; 3 * PEB]);
    let opened =
        check::open_at(check::format("ubi"), &Bytes::from(flash), 0, &Budget::ample()).unwrap();
    assert_eq!(opened.problems, []);
    assert_eq!(opened.attributes["bad-blocks"], "1");
    compare_ubi(&opened);
}

/// The same dump with spare bytes behind each page.
fn with_spare(image: &[u8], page: usize, spare: usize) -> Vec<u8> {
    image
        .chunks(page)
        .zip(0..)
        .flat_map(|(page, i)| [page, &tree::noise(i, spare)[..]].concat())
        .collect()
}

#[test]
fn nand_dump_with_spare_bytes() {
    for spare in [64, 128] {
        let dump = with_spare(&ubi(), 2048, spare);
        let bytes = Bytes::from(dump.clone());
        assert!(check::format("ubi").probe(&bytes, 0, &Budget::ample()).is_none());
        let opened = check::open_clean("nand", dump, Proof::ChecksumVerified);
        assert_eq!(opened.candidate.length, bytes.len());
        assert_eq!(opened.attributes["spare-size"], spare.to_string());
        let inside = opened.entries[0].blob.load(&Budget::ample());
        compare_ubi(&check::open_clean("ubi", inside.bytes.to_vec(), Proof::ChecksumVerified));
    }
}

#[test]
fn damage() {
    check::damage("nand", &with_spare(&ubi(), 2048, 64));
    check::damage("jffs2", &jffs2("-l -e 64KiB"));
    check::damage("ubifs", &build(UBIFS));
    check::damage("ubi", &ubi());
}
