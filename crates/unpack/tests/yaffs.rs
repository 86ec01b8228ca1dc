//! YAFFS dumps, entry by entry, and damaged. Debian has no tool that makes them,
//! so a small writer here lays pages out as mkyaffs2image and the driver do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::collections::BTreeMap;

use common::{
    check::{self, Keeps},
    tree::{self, Kind, Node, Tree},
};
use proofmark_model::Proof;

#[derive(Clone, Copy)]
struct Shape {
    page: usize,
    spare: usize,
    tags_at: usize,
    big: bool,
    version_1: bool,
}

struct Writer {
    shape: Shape,
    out: Vec<u8>,
}

impl Writer {
    fn word(&self, v: u32) -> [u8; 4] {
        if self.shape.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }

    fn page(&mut self, data: &[u8], object: u32, chunk: u32, bytes: u32) {
        let s = self.shape;
        let mut page = data.to_vec();
        page.resize(s.page, 0xff);
        let mut spare = vec![0xff; s.spare];
        if s.version_1 {
            let (low, high) = if s.big {
                ((chunk << 12) | (bytes & 0x3ff), object << 14)
            } else {
                (chunk | (bytes.min(0x3ff) << 22), object)
            };
            let tags = [self.word(low), self.word(high)].concat();
            spare[..4].copy_from_slice(&tags[..4]);
            spare[6..8].copy_from_slice(&tags[4..6]);
            spare[11..13].copy_from_slice(&tags[6..8]);
        } else {
            for (i, v) in [0x1000, object, chunk, bytes].into_iter().enumerate() {
                spare[s.tags_at + 4 * i..][..4].copy_from_slice(&self.word(v));
            }
        }
        self.out.extend(page);
        self.out.extend(spare);
    }

    fn object(
        &mut self,
        id: u32,
        parent: u32,
        name: &[u8],
        node: &Node,
        ids: &BTreeMap<Vec<u8>, u32>,
    ) {
        let mut h = vec![0xff; 512];
        let (kind, ftype, rdev) = match &node.kind {
            Kind::File(_) => (1, 0o100_000, 0),
            Kind::Symlink(_) => (2, 0o120_000, 0),
            Kind::Dir => (3, 0o040_000, 0),
            Kind::Hardlink(_) => (4, 0, 0),
            Kind::Char(a, b) => (5, 0o020_000, (a << 8) | b),
            Kind::Block(a, b) => (5, 0o060_000, (a << 8) | b),
            Kind::Fifo => (5, 0o010_000, 0),
            Kind::Socket => (5, 0o140_000, 0),
        };
        let put = |h: &mut Vec<u8>, at: usize, v: [u8; 4]| h[at..at + 4].copy_from_slice(&v);
        put(&mut h, 0, self.word(kind));
        put(&mut h, 4, self.word(parent));
        h[10..266].fill(0);
        h[10..10 + name.len()].copy_from_slice(name);
        let mode = ftype | node.mode;
        for (at, v) in
            [(268, mode), (272, node.uid), (276, node.gid), (284, node.mtime as u32), (460, rdev)]
        {
            put(&mut h, at, self.word(v));
        }
        h[300..460].fill(0);
        match &node.kind {
            Kind::File(c) => put(&mut h, 292, self.word(c.len() as u32)),
            Kind::Symlink(t) => h[300..300 + t.len()].copy_from_slice(t.as_bytes()),
            Kind::Hardlink(t) => put(&mut h, 296, self.word(ids[t.as_bytes()])),
            _ => {}
        }
        self.page(&h, id, 0, 0xffff);
        if let Kind::File(content) = &node.kind {
            for (i, chunk) in (1..).zip(content.chunks(self.shape.page)) {
                self.page(chunk, id, i, chunk.len() as u32);
            }
        }
    }
}

fn build(tree: &Tree, shape: Shape) -> Vec<u8> {
    let ids: BTreeMap<Vec<u8>, u32> = tree.nodes.keys().cloned().zip(257..).collect();
    let mut writer = Writer { shape, out: Vec::new() };
    for (path, node) in &tree.nodes {
        let split = path.iter().rposition(|b| *b == b'/');
        let parent = split.map_or(1, |i| ids[&path[..i]]);
        let name = &path[split.map_or(0, |i| i + 1)..];
        writer.object(ids[path], parent, name, node, &ids);
    }
    writer.out
}

const KEEPS: Keeps = Keeps { xattrs: false, ..check::ALL };

#[test]
fn every_geometry() {
    let tree = tree::full().without(&["xattrs"]);
    let two = |page, spare, tags_at, big| Shape { page, spare, tags_at, big, version_1: false };
    let one = |big| Shape { page: 512, spare: 16, tags_at: 0, big, version_1: true };
    for shape in [
        two(2048, 64, 0, false),
        two(2048, 64, 2, true),
        two(2048, 128, 30, false),
        two(4096, 224, 2, false),
        two(512, 16, 0, true),
        one(false),
    ] {
        let opened = check::open_clean("yaffs", build(&tree, shape), Proof::LengthsConsistent);
        assert_eq!(opened.attributes["block-size"], shape.page.to_string());
        assert_eq!(opened.attributes["spare-size"], shape.spare.to_string());
        check::compare(&tree, &opened.entries, KEEPS);
    }
}

/// A newer header renames, a newer chunk replaces, and what moved below the folder of deleted objects is gone.
#[test]
fn newer_pages_supersede() {
    let shape = Shape { page: 2048, spare: 64, tags_at: 0, big: false, version_1: false };
    let mut tree = Tree::default();
    tree.add("first", 0o644, Kind::File(tree::prose(1, 5000)));
    tree.add("gone", 0o600, Kind::File(b"deleted".to_vec()));
    tree.add("other", 0o600, Kind::File(b"other".to_vec()));
    let mut image = build(&tree, shape);
    let mut later = Writer { shape, out: Vec::new() };
    let renamed = Node {
        mode: 0o755,
        kind: Kind::File(tree::prose(9, 3000)),
        ..tree.nodes[&b"first"[..]].clone()
    };
    later.object(257, 1, b"renamed", &renamed, &BTreeMap::new());
    let gone = tree.nodes[&b"gone"[..]].clone();
    later.object(258, 4, b"deleted", &gone, &BTreeMap::new());
    image.extend(later.out);
    tree.nodes.remove(&b"first"[..]);
    tree.nodes.remove(&b"gone"[..]);
    tree.nodes.insert(b"renamed".to_vec(), renamed);
    let opened = check::open_clean("yaffs", image, Proof::LengthsConsistent);
    check::compare(&tree, &opened.entries, KEEPS);
}

#[test]
fn damage() {
    let tree = tree::full().without(&["xattrs"]);
    let shape = Shape { page: 2048, spare: 64, tags_at: 0, big: false, version_1: false };
    check::damage("yaffs", &build(&tree, shape));
}
