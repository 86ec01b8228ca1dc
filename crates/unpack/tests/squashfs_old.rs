//! SquashFS 1 to 3 in both byte orders. No tool of today writes them, so a small
//! writer here lays them out as the `squashfs_fs.h` of those versions says; and
//! vendors' LZMA without header.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::{collections::BTreeMap, io::Write as _};

use common::{
    check::{self, Keeps},
    tree::{self, Kind, Tree},
};
use proofmark_model::Proof;

/// Bit fields in the order of the machine.
struct Bits {
    big: bool,
    value: u64,
    used: u32,
}

impl Bits {
    fn field(mut self, value: u64, bits: u32) -> Self {
        assert!(value < 1 << bits, "{value} in {bits} bits");
        self.value =
            if self.big { (self.value << bits) | value } else { self.value | (value << self.used) };
        self.used += bits;
        self
    }

    fn bytes(self) -> Vec<u8> {
        let len = self.used as usize / 8;
        if self.big {
            self.value.to_be_bytes()[8 - len..].to_vec()
        } else {
            self.value.to_le_bytes()[..len].to_vec()
        }
    }
}

/// Compresses one block.
type Pack = fn(&[u8]) -> Vec<u8>;

struct Writer {
    version: u16,
    pack: Pack,
    big: bool,
    /// Inode and folder tables before they are cut into metadata blocks.
    inodes: Vec<u8>,
    folders: Vec<u8>,
    data: Vec<u8>,
    count: u32,
}

const BLOCK: usize = 1 << 15;

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    z.write_all(bytes).unwrap();
    z.finish().unwrap()
}

impl Writer {
    fn bits(&self) -> Bits {
        Bits { big: self.big, value: 0, used: 0 }
    }

    fn n(&self, value: u64, bytes: u32) -> Vec<u8> {
        self.bits_of(value, bytes)
    }

    fn bits_of(&self, value: u64, bytes: u32) -> Vec<u8> {
        let all = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        let bytes = bytes as usize;
        if self.big { all[8 - bytes..].to_vec() } else { all[..bytes].to_vec() }
    }

    /// Compressed blocks of a file, and their list.
    fn content(&mut self, content: &[u8]) -> (u64, Vec<u8>) {
        let start = self.data.len() as u64;
        let mut list = Vec::new();
        for block in content.chunks(BLOCK) {
            let packed = (self.pack)(block);
            let plain = packed.len() >= block.len();
            let bytes = if plain { block } else { &packed };
            list.extend(match self.version {
                // 32 KiB, uncompressed, is written as 0 with the mark.
                1 => self.n((bytes.len() as u64 & 0x7fff) | (u64::from(plain) << 15), 2),
                _ => self.n(bytes.len() as u64 | (u64::from(plain) << 24), 4),
            });
            self.data.extend_from_slice(bytes);
        }
        (start, list)
    }

    /// Adds an inode, returns its place in the table.
    fn inode(&mut self, node: &tree::Node, owner: u64, folder: Option<(usize, usize)>) -> usize {
        let kind: u64 = match &node.kind {
            Kind::Dir => 1,
            Kind::File(_) => 2,
            Kind::Symlink(_) => 3,
            Kind::Block(..) => 4,
            Kind::Char(..) => 5,
            Kind::Fifo => 6,
            Kind::Socket => 7,
            Kind::Hardlink(_) => panic!("a hard link has no content of its own"),
        };
        self.count += 1;
        let (mode, mtime, number) =
            (u64::from(node.mode), node.mtime as u64, u64::from(self.count));
        let body = if let Kind::File(c) = &node.kind { Some(self.content(c)) } else { None };
        let special = kind >= 6;
        let mut b = match self.version {
            1 if special => self
                .bits()
                .field(0, 4)
                .field(mode, 12)
                .field(owner, 4)
                .field(15, 4)
                .field(kind, 4)
                .field(0, 4),
            1 => self.bits().field(kind, 4).field(mode, 12).field(owner, 4).field(15, 4),
            _ => self.bits().field(kind, 4).field(mode, 12).field(owner, 8).field(255, 8),
        }
        .bytes();
        if self.version == 3 {
            b.extend([self.n(mtime, 4), self.n(number, 4)].concat());
            // Number of names; files of this kind do not have it.
            if kind != 2 {
                b.extend(self.n(1, 4));
            }
        }
        match &node.kind {
            Kind::Dir => {
                let (at, len) = folder.unwrap();
                // From version 3 on an empty folder has size 3.
                let size = len + if self.version == 3 { 3 } else { 0 };
                b.extend(self.bits().field(size as u64, 19).field((at % 8192) as u64, 13).bytes());
                let block = self.folder_block(at);
                b.extend(match self.version {
                    3 => [self.n(block, 4), self.n(0, 4)].concat(),
                    _ => [self.n(mtime, 4), self.n(block, 3)].concat(),
                });
            }
            Kind::File(content) => {
                let (start, list) = body.unwrap();
                let size = content.len() as u64;
                b.extend(match self.version {
                    1 => [self.n(mtime, 4), self.n(start, 4), self.n(size, 4)].concat(),
                    2 => [
                        self.n(mtime, 4),
                        self.n(start, 4),
                        self.n(0xffff_ffff, 4),
                        self.n(0, 4),
                        self.n(size, 4),
                    ]
                    .concat(),
                    _ => [self.n(start, 8), self.n(0xffff_ffff, 4), self.n(0, 4), self.n(size, 4)]
                        .concat(),
                });
                b.extend(list);
            }
            Kind::Symlink(t) => {
                b.extend([self.n(t.len() as u64, 2), t.as_bytes().to_vec()].concat())
            }
            Kind::Char(x, y) | Kind::Block(x, y) => b.extend(self.n(u64::from((x << 8) | y), 2)),
            _ => {}
        }
        let at = self.inodes.len();
        self.inodes.extend(b);
        at
    }

    /// Metadata blocks are stored uncompressed here, so their places are known beforehand.
    fn folder_block(&self, at: usize) -> u64 {
        (at / 8192 * 8194) as u64
    }

    fn folder(&mut self, tree: &Tree, path: &[u8], owners: &[u32]) -> usize {
        let prefix = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let children: Vec<Vec<u8>> = tree
            .nodes
            .keys()
            .filter(|p| {
                p.starts_with(&prefix)
                    && p.len() > prefix.len()
                    && !p[prefix.len()..].contains(&b'/')
            })
            .cloned()
            .collect();
        let mut names: BTreeMap<u64, Vec<(usize, Vec<u8>)>> = BTreeMap::new();
        for child in children {
            let node = &tree.nodes[&child];
            let owner = owners.iter().position(|o| *o == node.uid).unwrap() as u64;
            let at = match node.kind {
                Kind::Dir => self.folder(tree, &child, owners),
                _ => self.inode(node, owner, None),
            };
            let block = (at / 8192 * 8194) as u64;
            names.entry(block).or_default().push((at % 8192, child[prefix.len()..].to_vec()));
        }
        let start = self.folders.len();
        let mut out = Vec::new();
        for (block, names) in names {
            for names in names.chunks(256) {
                let count = names.len() as u64 - 1;
                out.extend(match self.version {
                    3 => [self.n(count, 1), self.n(block, 4), self.n(1, 4)].concat(),
                    _ => self.bits().field(count, 8).field(block, 24).bytes(),
                });
                for (offset, name) in names {
                    out.extend(
                        self.bits()
                            .field(*offset as u64, 13)
                            .field(1, 3)
                            .field(name.len() as u64 - 1, 8)
                            .bytes(),
                    );
                    if self.version == 3 {
                        out.extend(self.n(0, 2));
                    }
                    out.extend(name);
                }
            }
        }
        self.folders.extend(&out);
        let root = tree::Node {
            kind: Kind::Dir,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: 1,
            xattrs: BTreeMap::new(),
        };
        let node = tree.nodes.get(path).unwrap_or(&root).clone();
        let owner = owners.iter().position(|o| *o == node.uid).unwrap() as u64;
        self.inode(&node, owner, Some((start, out.len())))
    }
}

/// With `pack` tables are compressed too, which must then be one block each.
fn build(tree: &Tree, version: u16, big: bool, magic: &[u8; 4], pack: Option<Pack>) -> Vec<u8> {
    let header = [51, 63, 119][usize::from(version) - 1];
    let mut w = Writer {
        version,
        pack: pack.unwrap_or(zlib),
        big,
        inodes: Vec::new(),
        folders: Vec::new(),
        data: vec![0; header],
        count: 0,
    };
    let owners: Vec<u32> = {
        let mut all: Vec<u32> = tree.nodes.values().map(|n| n.uid).chain([0]).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let root = w.folder(tree, b"", &owners);
    let mut image = std::mem::take(&mut w.data);
    let table = |image: &mut Vec<u8>, bytes: &[u8]| {
        let at = image.len() as u64;
        for block in bytes.chunks(8192) {
            if let Some(pack) = pack {
                assert!(bytes.len() <= 8192);
                let packed = pack(block);
                image.extend(w.n(packed.len() as u64, 2));
                image.extend(packed);
            } else {
                image.extend(w.n(block.len() as u64 | 0x8000, 2));
                image.extend(block);
            }
        }
        at
    };
    let inodes = table(&mut image, &w.inodes);
    let folders = table(&mut image, &w.folders);
    let ids = image.len() as u64;
    for owner in &owners {
        image.extend(w.n((*owner).into(), 4));
    }
    let used = image.len() as u64;
    let mut put = |at: usize, bytes: Vec<u8>| image[at..at + bytes.len()].copy_from_slice(&bytes);
    put(0, magic.to_vec());
    put(4, w.n(w.count.into(), 4));
    for (at, v) in [(8, used), (12, ids), (16, used), (20, inodes), (24, folders)] {
        put(at, w.n(v, 4));
    }
    put(28, w.n(version.into(), 2));
    put(32, w.n(BLOCK as u64, 2));
    put(34, w.n(15, 2));
    put(37, w.n(owners.len() as u64, 1));
    let block = (root / 8192 * 8194) as u64;
    put(43, w.n((block << 16) | (root % 8192) as u64, 8));
    if version > 1 {
        put(51, w.n(BLOCK as u64, 4));
        put(59, w.n(used, 4));
    }
    if version > 2 {
        for (at, v) in [
            (63, used),
            (71, ids),
            (79, used),
            (87, inodes),
            (95, folders),
            (103, used),
            (111, u64::MAX),
        ] {
            put(at, w.n(v, 8));
        }
    }
    image
}

/// What the writer can express: groups equal owners, one name per file.
fn old_tree() -> Tree {
    let mut tree = tree::full().without(&["xattrs", "hardlinks"]);
    for node in tree.nodes.values_mut() {
        node.gid = node.uid;
        if matches!(node.kind, Kind::Char(..) | Kind::Block(..)) {
            node.mtime = 0;
        }
    }
    tree
}

#[test]
fn versions_1_to_3_in_both_orders() {
    for version in 1..=3 {
        for (big, magic) in [(false, b"hsqs"), (true, b"sqsh"), (true, b"qshs"), (false, b"sqlz")] {
            let image = build(&old_tree(), version, big, magic, None);
            let opened = check::open_clean("squashfs", image, Proof::DecoderEnded);
            assert_eq!(opened.attributes["version"], format!("{version}.0"));
            assert_eq!(opened.attributes["byte-order"], if big { "big" } else { "little" });
            // Before version 3 only files and folders have times.
            let keeps = Keeps { mtime: false, xattrs: false, hard_links: false, ..check::ALL };
            check::compare(&old_tree(), &opened.entries, keeps);
            for entry in &opened.entries {
                let node = &old_tree().nodes[&entry.path];
                if matches!(node.kind, Kind::File(_) | Kind::Dir) {
                    assert_eq!(entry.metadata.mtime, Some(node.mtime), "{:?}", entry.path);
                }
            }
        }
    }
}

/// A bare LZMA stream with unusual parameters, as some vendors have it.
fn lzma(block: &[u8], options: &str) -> Vec<u8> {
    let filter = format!("--lzma1=dict=64KiB,{options}");
    let mut child = std::process::Command::new("xz")
        .args(["--format=raw", &filter, "-c"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("cannot run `xz`; install the Debian package xz-utils");
    child.stdin.take().unwrap().write_all(block).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn vendors_lzma_is_searched_for() {
    let mut tree = old_tree();
    tree.nodes.retain(|path, _| [&b"bin"[..], b"etc", b"usr"].iter().any(|d| path.starts_with(d)));
    let packs: [Pack; 4] = [
        |b| lzma(b, "lc=3,lp=0,pb=2"),
        |b| lzma(b, "lc=1,lp=2,pb=1"),
        // Some bytes of its own in front.
        |b| [&b"vend"[..], &lzma(b, "lc=0,lp=0,pb=0")].concat(),
        // Properties and size of the dictionary, no size of the content.
        |b| [&[(4 * 5) * 9 + 1, 0, 0, 1, 0][..], &lzma(b, "lc=1,lp=0,pb=4")].concat(),
    ];
    for (i, pack) in packs.into_iter().enumerate() {
        let image = build(&tree, 3, i % 2 == 1, b"shsq", Some(pack));
        let opened = check::open_clean("squashfs", image, Proof::DecoderEnded);
        assert!(
            opened.attributes["compression"].starts_with("lzma"),
            "{}",
            opened.attributes["compression"]
        );
        let keeps = Keeps { mtime: false, xattrs: false, hard_links: false, ..check::ALL };
        check::compare(&tree, &opened.entries, keeps);
    }
}

#[test]
fn damage() {
    for version in 1..=3 {
        check::damage("squashfs", &build(&old_tree(), version, version == 2, b"hsqs", None));
    }
}
