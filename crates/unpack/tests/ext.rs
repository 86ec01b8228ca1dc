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
use proofmark_model::Proof;

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

#[test]
fn damage() {
    check::damage("ext", &build("ext4", ""));
    check::damage("ext", &build("ext2", "-b 1024"));
}
