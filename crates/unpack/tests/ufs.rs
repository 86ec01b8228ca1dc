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
use proofmark_unpack::budget::Budget;

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

/// A name taken out of its folder leaves its inode in use.
#[test]
fn a_file_without_a_name_is_missed() {
    for version in [1, 2] {
        let mut image = build("le", version);
        let name = b"etc";
        // An entry of a folder: inode, length of the entry, kind, length of the name, name.
        let head = [4, u8::try_from(name.len()).unwrap()];
        let at = (6..image.len())
            .find(|at| image[at - 2..*at] == head && image[*at..].starts_with(b"etc\0"))
            .unwrap();
        image[at - 8..at - 4].fill(0);
        let budget = Budget::ample();
        let opened = check::open_at(check::format("ufs"), &image.into(), 0, &budget).unwrap();
        let missed = opened.problems.iter().any(|p| p.message.contains("inodes"));
        assert!(missed, "{version}: {:?}", opened.problems);
    }
}
