//! ext2, ext3 and ext4 as mke2fs writes them, entry by entry, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{
    check,
    tree::{self, Tree},
};
use proofmark_model::{ProblemKind, Proof};

/// mke2fs 1.47.0 writes a wrong size for files that end in a hole where inline data is on.
fn tree_for(options: &str) -> Tree {
    let mut tree = tree::full();
    if options.contains("inline_data") {
        tree.nodes.retain(|path, _| path != b"var/sparse" && path != b"var/zeros");
    }
    tree
}

fn build(kind: &str, options: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let command =
        format!("truncate -s 24M image && mkfs.{kind} -q -F -L gateway {options} -d tree image");
    tree_for(options).build(dir.path(), &command)
}

#[track_caller]
fn whole(kind: &str, options: &str, proof: Proof) {
    let mut opened = check::open_clean("ext", build(kind, options), proof);
    let before = opened.entries.len();
    opened.entries.retain(|e| e.path != b"lost+found");
    assert_eq!(opened.entries.len(), before - 1, "mke2fs makes one folder of its own");
    assert_eq!(opened.attributes["version"], kind);
    assert_eq!(opened.attributes["label"], "gateway");
    check::compare(&tree_for(options), &opened.entries, check::ALL);
}

#[test]
fn ext4_with_checksums() {
    whole("ext4", "-O metadata_csum,64bit", Proof::ChecksumVerified);
    whole("ext4", "-b 1024 -O metadata_csum,^64bit", Proof::ChecksumVerified);
    whole("ext4", "-b 4096 -I 512 -O inline_data", Proof::ChecksumVerified);
}

#[test]
fn ext4_without_checksums() {
    whole("ext4", "-O ^metadata_csum,^64bit,meta_bg,^resize_inode -b 1024", Proof::DecoderEnded);
    whole("ext4", "-O ^metadata_csum,^has_journal,ea_inode", Proof::DecoderEnded);
}

#[test]
fn ext2_and_ext3() {
    whole("ext2", "-b 1024 -I 256", Proof::DecoderEnded);
    whole("ext2", "-b 4096 -I 256 -O ^filetype", Proof::DecoderEnded);
    whole("ext3", "-b 2048 -I 256", Proof::DecoderEnded);
    whole("ext2", "-b 1024 -I 128", Proof::DecoderEnded);
}

/// The image as it is after `commands` of debugfs, and the image as it was with the blocks that they change in its
/// journal, written there by debugfs with `options`.
fn journalled(mkfs: &str, options: &str) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let make = format!("truncate -s 24M image && mkfs.ext4 -q -F {mkfs} -d tree image");
    let before = tree_for(mkfs).build(dir.path(), &make);
    let change = "cp image changed && printf 'rm bin/busybox\nmkdir fresh\nwrite image.part fresh/file\nsymlink s fresh/file\n\
        set_inode_field etc/passwd mode 0100600\n' >c && head -c 70000 image >image.part && debugfs -w -f c changed";
    common::tree::run(dir.path(), "sh", &["-ec", change]);
    let after = std::fs::read(dir.path().join("changed")).unwrap();
    let block = 1024 << u32::from_le_bytes(before[1048..1052].try_into().unwrap());
    let pairs = before.chunks(block).zip(after.chunks(block)).enumerate();
    let changed: Vec<_> = pairs.filter(|(_, (a, b))| a != b).map(|(n, (_, b))| (n, b)).collect();
    // Two transactions: the first writes something else to a block of the second, and to one that the second revokes.
    let (last, _) = changed[changed.len() - 1];
    let unused = before.len() / block - 3;
    let numbers: Vec<_> = changed.iter().map(|c| c.0.to_string()).collect();
    std::fs::write(dir.path().join("first"), vec![0xee; 2 * block]).unwrap();
    let blocks: Vec<_> = changed.iter().map(|c| c.1).collect();
    std::fs::write(dir.path().join("second"), blocks.concat()).unwrap();
    // What debugfs 1.47 writes for a revocation with sums of version 1, e2fsck does not take for whole either.
    let revoke = if options.contains("-v 2") { String::new() } else { format!("jw -r {unused}\n") };
    let script = format!(
        "jo {options}\njw -b {last},{unused} first\n{revoke}jw -b {} second\njc\n",
        numbers.join(",")
    );
    std::fs::write(dir.path().join("script"), script).unwrap();
    common::tree::run(dir.path(), "sh", &["-ec", "debugfs -w -f script image"]);
    (std::fs::read(dir.path().join("image")).unwrap(), after)
}

#[test]
fn the_journal_is_laid_over_the_image() {
    for (mkfs, options) in [
        ("-b 1024", ""),
        ("-b 4096", "-c -v 3"),
        ("-b 1024 -O ^64bit,^metadata_csum", "-c -v 2"),
        ("-b 2048 -O ^64bit,^metadata_csum", ""),
    ] {
        let (image, after) = journalled(mkfs, options);
        let found = check::open_clean("ext", image, Proof::LengthsConsistent);
        let expected = check::open_clean("ext", after, Proof::LengthsConsistent);
        assert!(found.attributes["journal"].ends_with("transactions laid over"));
        let budget = proofmark_unpack::budget::Budget::ample();
        let seen = |e: &proofmark_unpack::format::Entry| {
            (e.path.clone(), e.kind.clone(), e.metadata.clone(), e.blob.load(&budget).bytes)
        };
        let of = |opened: &check::Opened| opened.entries.iter().map(seen).collect::<Vec<_>>();
        assert!(of(&expected).iter().any(|e| e.0 == b"fresh/file" && e.3.len() == 70_000));
        assert!(of(&found) == of(&expected), "{mkfs} {options}");
    }
}

#[test]
fn a_transaction_whose_sum_is_wrong_does_not_count() {
    let (mut image, _) = journalled("-b 4096", "-c -v 3");
    // The last commit: its number is in the header of the block.
    let magic = [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2];
    let blocks = (0..image.len()).step_by(4096);
    let last = blocks.filter(|at| image[*at..].starts_with(&magic)).max_by_key(|at| image[at + 11]);
    image[last.unwrap() + 100] ^= 1;
    let budget = proofmark_unpack::budget::Budget::ample();
    let opened = check::open_at(check::format("ext"), &image.into(), 0, &budget).unwrap();
    assert!(opened.problems.iter().any(|p| p.kind == ProblemKind::Checksum));
    assert!(!opened.entries.iter().any(|e| e.path == b"fresh/file"));
}

#[test]
fn damage() {
    check::damage("ext", &journalled("-b 1024", "-c -v 3").0);
    check::damage("ext", &build("ext4", ""));
    check::damage("ext", &build("ext2", "-b 1024"));
}
