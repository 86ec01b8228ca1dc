//! SquashFS as mksquashfs writes it, entry by entry, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{check, tree};
use proofmark_model::Proof;

fn build(options: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let command =
        format!("mksquashfs tree image -noappend -quiet -no-progress -processors 2 {options}");
    tree::full().build(dir.path(), &command)
}

#[track_caller]
fn whole(options: &str) {
    let opened = check::open_clean("squashfs", build(options), Proof::DecoderEnded);
    check::compare(&tree::full(), &opened.entries, check::ALL);
}

#[test]
fn every_compressor() {
    for options in [
        "-comp gzip",
        "-comp xz",
        "-comp xz -Xbcj x86,arm,armthumb,powerpc,sparc,ia64 -b 64K",
        "-comp lzma",
        "-comp lzo",
        "-comp lz4",
        "-comp lz4 -Xhc",
        "-comp zstd",
    ] {
        whole(options);
    }
}

#[test]
fn every_layout() {
    for options in [
        "-b 4K",
        "-b 1M",
        "-no-fragments",
        "-always-use-fragments",
        "-noI -noD -noF -noX",
        "-noI -noId",
        "-no-duplicates",
        "-no-exports",
        "-nopad",
    ] {
        whole(options);
    }
}

#[test]
fn a_changed_magic_and_a_lying_compressor_do_not_hide_it() {
    let mut image = build("-comp xz");
    image[..4].copy_from_slice(b"shsq");
    image[20] = 1; // says gzip
    let opened = check::open_clean("squashfs", image, Proof::DecoderEnded);
    assert_eq!(opened.attributes["compression"], "xz");
    check::compare(&tree::full(), &opened.entries, check::ALL);
}

#[test]
fn padding_belongs_to_it_and_what_follows_does_not() {
    let mut image = build("");
    let len = image.len();
    assert_eq!(len % 4096, 0);
    image.extend_from_slice(b"signature");
    let image = bytes::Bytes::from(image);
    let budget = proofmark_unpack::budget::Budget::ample();
    let opened = check::open_at(check::format("squashfs"), &image, 0, &budget).unwrap();
    assert_eq!(opened.candidate.length, len);
}

#[test]
fn a_lost_inode_is_told() {
    let mut image = build("");
    // One more inode than there are.
    let count = u32::from_le_bytes(image[4..8].try_into().unwrap());
    image[4..8].copy_from_slice(&(count + 1).to_le_bytes());
    let image = bytes::Bytes::from(image);
    let budget = proofmark_unpack::budget::Budget::ample();
    let opened = check::open_at(check::format("squashfs"), &image, 0, &budget).unwrap();
    assert_eq!(opened.problems.len(), 1);
    assert!(opened.problems[0].message.contains(&format!("{count} of the {}", count + 1)));
}

#[test]
fn damage() {
    check::damage("squashfs", &build("-comp gzip"));
    check::damage("squashfs", &build("-comp xz -b 16K"));
    check::damage("squashfs", &build("-comp lzo -b 16K"));
}
