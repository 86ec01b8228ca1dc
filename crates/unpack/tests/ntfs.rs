//! NTFS images made by ntfs-3g's tools without a mount, entry by entry, and damaged.

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

fn tree() -> Tree {
    let mut tree = Tree::default();
    tree.add("small.txt", 0o644, Kind::File(b"resident".to_vec()));
    tree.add("empty", 0o644, Kind::File(Vec::new()));
    tree.add(
        "a name that is longer than eight and three.html",
        0o644,
        Kind::File(tree::prose(1, 70_000)),
    );
    tree.add("noise", 0o644, Kind::File(tree::noise(2, 30_001)));
    tree
}

/// `ntfscp` puts files into the root folder of an image.
fn build(options: &str) -> Vec<u8> {
    let copies: Vec<_> = tree()
        .nodes
        .keys()
        .map(|p| String::from_utf8_lossy(p).into_owned())
        .map(|p| format!("ntfscp -q -f image 'tree/{p}' '/{p}'"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let command = format!(
        "truncate -s 8M image && mkntfs -q -F -f {options} image >/dev/null 2>&1 && {} && \
         printf stream > s && ntfscp -q -f -N extra image s /small.txt",
        copies.join(" && ")
    );
    tree().build(dir.path(), &command)
}

#[test]
fn files_are_what_was_copied() {
    for options in ["-c 4096 -L LABEL", "-c 1024", "-c 65536"] {
        let opened = check::open_clean("ntfs", build(options), Proof::DecoderEnded);
        let budget = Budget::ample();
        let mut entries = opened.entries;
        let extra = entries.iter().position(|e| e.path == b"small.txt:extra").unwrap();
        assert_eq!(entries[extra].blob.load(&budget).bytes, &b"stream"[..]);
        entries.remove(extra);
        let keeps = Keeps {
            mode: false,
            owner: false,
            mtime: false,
            xattrs: false,
            hard_links: true,
            folders: true,
        };
        // The file system's own tables.
        entries.retain(|e| !e.path.starts_with(b"$Extend"));
        check::compare(&tree(), &entries, keeps);
        if options.contains("-L") {
            assert_eq!(opened.attributes["label"], "LABEL");
        }
    }
}

#[test]
fn damage() {
    check::damage("ntfs", &build("-c 4096"));
}
