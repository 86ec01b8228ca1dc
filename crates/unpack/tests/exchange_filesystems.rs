//! File systems for exchange (FAT, ISO 9660), entry by entry, and damaged.

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
use proofmark_unpack::budget::Budget;

/// Names and contents only.
const PLAIN: Keeps = Keeps {
    mode: false,
    owner: false,
    mtime: false,
    xattrs: false,
    hard_links: false,
    folders: true,
};

fn fat_tree() -> Tree {
    tree::full().without(&[
        "symlinks",
        "devices",
        "fifo",
        "socket",
        "xattrs",
        "odd-names",
        "raw-names",
        "hardlinks",
    ])
}

fn fat(options: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let command = format!(
        "export TZ=UTC; mkfs.fat -n GATEWAY -C image {options} >/dev/null && cd tree && mcopy -s -m -i ../image * ::/"
    );
    fat_tree().build(dir.path(), &command)
}

#[track_caller]
fn whole_fat(options: &str, version: &str) {
    let opened = check::open_clean("fat", fat(options), Proof::LengthsConsistent);
    assert_eq!(opened.attributes["version"], version);
    assert_eq!(opened.attributes["label"], "GATEWAY");
    check::compare(&fat_tree(), &opened.entries, PLAIN);
    for entry in &opened.entries {
        let node = &fat_tree().nodes[&entry.path];
        if matches!(node.kind, Kind::File(_)) {
            assert_eq!(entry.metadata.mtime, Some(node.mtime), "{:?}", entry.path);
        }
    }
}

#[test]
fn fat_of_every_width() {
    whole_fat("-F 12 -s 16 16384", "FAT12");
    whole_fat("-F 16 -s 4 24576", "FAT16");
    whole_fat("-F 32 -s 1 65536", "FAT32");
    whole_fat("-F 16 -S 2048 -s 1 24576", "FAT16");
}

#[track_caller]
fn whole_iso(tree: &Tree, command: &str, names: &str, keeps: Keeps) {
    let dir = tempfile::tempdir().unwrap();
    let image = tree.build(dir.path(), command);
    let mut opened = check::open_clean("iso9660", image, Proof::LengthsConsistent);
    assert_eq!(opened.attributes["names"], names);
    opened.entries.retain(|e| e.path != b"rr_moved");
    check::compare(tree, &opened.entries, keeps);
}

#[test]
fn iso_with_rock_ridge() {
    let keeps = Keeps { xattrs: false, hard_links: false, ..check::ALL };
    let tree = tree::full().without(&["xattrs"]);
    whole_iso(&tree, "genisoimage -quiet -R -V GATEWAY -o image tree", "rock-ridge", keeps);
    whole_iso(&tree, "genisoimage -quiet -R -D -o image tree", "rock-ridge", keeps);
    whole_iso(&tree, "xorriso -as mkisofs -quiet -R -o image tree", "rock-ridge", keeps);
}

#[test]
fn iso_with_joliet() {
    let mut tree = fat_tree();
    tree.nodes.retain(|path, _| !path.starts_with(b"deep"));
    whole_iso(&tree, "genisoimage -quiet -J -joliet-long -o image tree", "joliet", PLAIN);
}

#[test]
fn damage() {
    check::damage("fat", &fat("-F 16 -s 4 24576"));
    check::damage("fat", &fat("-F 12 -s 16 16384"));
    let dir = tempfile::tempdir().unwrap();
    let tree = tree::full().without(&["xattrs"]);
    check::damage("iso9660", &tree.build(dir.path(), "genisoimage -quiet -R -o image tree"));
}

/// A name taken out of its folder leaves its clusters in use.
#[test]
fn clusters_without_a_file_are_missed() {
    for options in ["-F 12 -s 16 16384", "-F 16 -s 4 24576", "-F 32 -s 1 65536"] {
        let mut image = fat(options);
        let at = image.windows(11).position(|w| w == b"PASSWD     ").unwrap();
        image[at] = 0xE5;
        let budget = Budget::ample();
        let opened = check::open_at(check::format("fat"), &image.into(), 0, &budget).unwrap();
        let missed = opened.problems.iter().any(|p| p.message.starts_with("1 chains"));
        assert!(missed, "{options}: {:?}", opened.problems);
    }
}
