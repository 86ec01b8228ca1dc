//! UFS as makefs writes it, entry by entry, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{
    check::{self, Keeps},
    tree::{self, Tree},
};
use proofmark_model::Proof;

/// makefs knows no sockets.
fn tree() -> Tree {
    tree::full().without(&["xattrs", "devices", "socket"])
}

fn build(order: &str, version: u32) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let command =
        format!("makefs -t ffs -B {order} -o version={version} -s 16m image tree >/dev/null");
    tree().build(dir.path(), &command)
}

#[test]
fn both_versions_in_both_orders() {
    for version in [1, 2] {
        for order in ["le", "be"] {
            let opened = check::open_clean("ufs", build(order, version), Proof::DecoderEnded);
            assert_eq!(opened.attributes["version"], version.to_string());
            check::compare(&tree(), &opened.entries, Keeps { xattrs: false, ..check::ALL });
        }
    }
}

#[test]
fn damage() {
    check::damage("ufs", &build("le", 2));
    check::damage("ufs", &build("be", 1));
}
