//! Small read-only file systems (cramfs, romfs) and minix, entry by entry, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{
    check::{self, Keeps},
    tree::{self, Kind, Tree},
};
use proofmark_model::Proof;

/// What cramfs can hold: eight bits of group, no times.
fn cramfs_tree() -> Tree {
    let mut tree = tree::full().without(&["xattrs"]);
    for node in tree.nodes.values_mut() {
        node.gid &= 255;
        if let Kind::Char(major, minor) | Kind::Block(major, minor) = &mut node.kind {
            (*major, *minor) = (*major & 255, *minor & 255);
        }
    }
    tree
}

const CRAMFS: Keeps = Keeps { mtime: false, xattrs: false, hard_links: false, ..check::ALL };

fn cramfs(options: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    cramfs_tree().build(dir.path(), &format!("mkfs.cramfs {options} tree image"))
}

#[test]
fn cramfs_in_both_orders() {
    let opened =
        check::open_clean("cramfs", cramfs("-N little -n gateway"), Proof::ChecksumVerified);
    assert_eq!(opened.attributes["label"], "gateway");
    check::compare(&cramfs_tree(), &opened.entries, CRAMFS);
    let opened = check::open_clean("cramfs", cramfs("-N big"), Proof::ChecksumVerified);
    check::compare(&cramfs_tree(), &opened.entries, CRAMFS);
}

/// romfs keeps no modes but the permission to execute.
fn romfs_tree() -> Tree {
    let mut tree = tree::full().without(&["xattrs", "owners"]);
    for node in tree.nodes.values_mut() {
        let executable =
            node.kind == Kind::Dir || matches!(node.kind, Kind::File(_)) && node.mode & 0o111 != 0;
        node.mode = if executable { 0o555 } else { 0o444 };
    }
    // It lists hard links of any name as such, also those of special files.
    tree
}

fn romfs() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree::full().without(&["xattrs"]);
    tree.build(dir.path(), "genromfs -d tree -f image -V gateway")
}

#[test]
fn romfs_of_linux() {
    let opened = check::open_clean("romfs", romfs(), Proof::ChecksumVerified);
    assert_eq!(opened.attributes["label"], "gateway");
    let keeps = Keeps { owner: false, mtime: false, xattrs: false, mode: false, ..check::ALL };
    check::compare(&romfs_tree(), &opened.entries, keeps);
    for (path, executable) in [(&b"bin/busybox"[..], true), (b"etc/passwd", false), (b"tmp", true)]
    {
        let entry = opened.entries.iter().find(|e| e.path == path).unwrap();
        assert_eq!(entry.metadata.mode, Some(if executable { 0o555 } else { 0o444 }));
    }
}

#[test]
fn damage() {
    check::damage("cramfs", &cramfs("-N little"));
    check::damage("cramfs", &cramfs("-N big"));
    check::damage("romfs", &romfs());
}
