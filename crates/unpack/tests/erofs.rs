//! EROFS as mkfs.erofs writes it, entry by entry, and damaged.

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
    tree::full().build(dir.path(), &format!("mkfs.erofs --quiet {options} image tree"))
}

#[track_caller]
fn whole(options: &str) {
    let opened = check::open_clean("erofs", build(options), Proof::ChecksumVerified);
    check::compare(&tree::full(), &opened.entries, check::ALL);
}

#[test]
fn stored() {
    whole("");
    whole("-E force-inode-extended");
    whole("-E force-chunk-indexes --chunksize=8192");
}

#[test]
fn compressed() {
    for options in [
        "-zlz4hc",
        "-zlz4 -E legacy-compress",
        "-zlz4hc -C65536",
        "-zlz4hc -C16384 -E ztailpacking",
    ] {
        whole(options);
    }
}

#[test]
fn damage() {
    check::damage("erofs", &build("-zlz4hc -C16384 -E ztailpacking"));
    check::damage("erofs", &build(""));
}
