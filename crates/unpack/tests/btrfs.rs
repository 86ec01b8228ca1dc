//! Btrfs as mkfs.btrfs writes it, entry by entry, and damaged.

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

/// mkfs.btrfs does not keep numbers of device nodes, and refuses sockets.
fn tree() -> Tree {
    tree::full().without(&["devices", "socket", "fifo"])
}

fn build(size: &str, options: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let command = format!(
        "truncate -s {size} image && mkfs.btrfs -q -L gateway {options} --rootdir tree image"
    );
    tree().build(dir.path(), &command)
}

#[test]
fn one_device() {
    for options in ["", "-n 4096 -m single", "-n 65536"] {
        let opened = check::open_clean("btrfs", build("128M", options), Proof::ChecksumVerified);
        assert_eq!(opened.attributes["label"], "gateway");
        check::compare(&tree(), &opened.entries, check::ALL);
    }
}

#[test]
fn damage() {
    // Small, because each of a hundred damages copies it.
    check::damage("btrfs", &build("40M", "--mixed"));
}
