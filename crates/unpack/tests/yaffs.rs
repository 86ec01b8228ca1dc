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
use proofmark_unpack::codec::bch::{Code, Field};

#[derive(Clone, Copy)]
struct Shape {
    page: usize,
    spare: usize,
    tags_at: usize,
    big: bool,
    version_1: bool,
    /// A code behind the tags.
    coded: bool,
}

/// The code over tags: for each bit that is set, one of each pair of columns; for each byte with an odd number of them,
/// its number and the complement of it.
fn code(tags: &[u8]) -> (u8, u32, u32) {
    let (mut columns, mut lines, mut inverse) = (0_u8, 0_u32, 0_u32);
    for (n, byte) in (0_u32..).zip(tags) {
        for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
            for pair in 0..3 {
                columns ^= 1 << (2 * pair + (bit >> pair & 1));
            }
        }
        if byte.count_ones() % 2 == 1 {
            lines ^= n;
            inverse ^= !n;
        }
    }
    (columns, lines, inverse)
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
            if s.coded {
                let (columns, lines, inverse) = code(&spare[s.tags_at..s.tags_at + 16]);
                spare[s.tags_at + 16] = columns;
                spare[s.tags_at + 20..][..4].copy_from_slice(&self.word(lines));
                spare[s.tags_at + 24..][..4].copy_from_slice(&self.word(inverse));
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
    let two = |page, spare, tags_at, big| Shape {
        page,
        spare,
        tags_at,
        big,
        version_1: false,
        coded: false,
    };
    let one = |big| Shape { page: 512, spare: 16, tags_at: 0, big, version_1: true, coded: false };
    for shape in [
        two(2048, 64, 0, false),
        two(2048, 64, 2, true),
        two(2048, 128, 30, false),
        two(4096, 224, 2, false),
        two(512, 16, 0, true),
        one(false),
        // Tags within the page.
        two(2032, 16, 0, false),
        two(4080, 16, 0, true),
        Shape { coded: true, ..two(2048, 64, 2, false) },
        Shape { coded: true, ..two(2048, 64, 0, true) },
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
    let shape =
        Shape { page: 2048, spare: 64, tags_at: 0, big: false, version_1: false, coded: false };
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

/// Wrong bits in tags and in pages are put right where both have a code.
#[test]
fn codes_of_tags_and_pages() {
    let tree = tree::full().without(&["xattrs"]);
    let shape =
        Shape { page: 2048, spare: 64, tags_at: 2, big: false, version_1: false, coded: true };
    let mut image = build(&tree, shape);
    image[2112 * 5 + 2048 + 7] ^= 4;
    let opened = check::open_clean("yaffs", image.clone(), Proof::LengthsConsistent);
    check::compare(&tree, &opened.entries, KEEPS);
    assert_eq!(opened.attributes["tags-corrected"], "1");
    image[2112 * 5 + 2048 + 7] ^= 4;
    // The software code of Linux, at the end of the spare bytes.
    let field = Field::new(0x201B).unwrap();
    let code = Code::new(&field, 4).unwrap();
    for page in image.chunks_mut(2112) {
        for n in 0..4 {
            let turned: Vec<u8> = page[n * 512..][..512].iter().map(|b| !b).collect();
            let parity: Vec<u8> = code.encode(&turned).iter().map(|b| !b).collect();
            page[2048 + 36 + n * 7..][..7].copy_from_slice(&parity);
        }
    }
    for (n, byte) in [70, 71, 300, 1000].into_iter().enumerate() {
        image[2112 * 3 + byte] ^= 1 << n;
    }
    let opened = check::open_clean("yaffs", image.clone(), Proof::LengthsConsistent);
    check::compare(&tree, &opened.entries, KEEPS);
    assert_eq!(opened.attributes["bits-corrected"], "4");
    // In front of a boot loader in the same code, with its spare bytes.
    let mut dump = image;
    let pages = dump.len() / 2112;
    // Whole erase blocks, mostly the boot loader's.
    let other: Vec<u8> = tree::prose(5, 2048 * ((pages * 5).next_multiple_of(64) - pages));
    for page in other.chunks_exact(2048) {
        let mut stored = page.to_vec();
        stored.resize(2112, 0xff);
        for n in 0..4 {
            let turned: Vec<u8> = page[n * 512..][..512].iter().map(|b| !b).collect();
            let parity: Vec<u8> = code.encode(&turned).iter().map(|b| !b).collect();
            stored[2048 + 36 + n * 7..][..7].copy_from_slice(&parity);
        }
        dump.extend(stored);
    }
    let opened = check::open_clean("nand-bch", dump, Proof::ChecksumVerified);
    let names: Vec<_> =
        opened.entries.iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect();
    assert!(names[0] == "with-spare-bytes-0x0" && names[1].starts_with("data-0x"), "{names:?}");
}

#[test]
fn damage() {
    let tree = tree::full().without(&["xattrs"]);
    let shape =
        Shape { page: 2048, spare: 64, tags_at: 0, big: false, version_1: false, coded: false };
    check::damage("yaffs", &build(&tree, shape));
}
