//! From logical addresses to bytes, and from root nodes to items.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};

use super::{Items, sums::Sums};
use crate::{
    budget::Budget,
    formats::filesystem::common::{crc32c, malformed},
    read::{self, le16, le32, le64},
};

/// Bytes of a node's header, of an item, and of a pointer to a node.
const HEADER: usize = 101;
const ITEM: usize = 25;
const POINTER: usize = 33;
const CHUNK: u8 = 228;

/// Where the data of an item are in the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub at: usize,
    pub len: usize,
}

impl Item {
    pub fn bytes(self, image: &[u8]) -> Option<&[u8]> {
        read::slice(image, self.at, self.len)
    }
}

/// The image with its map of chunks.
pub(super) struct Trees {
    pub image: Bytes,
    node: usize,
    /// Whether nodes carry crc32c.
    checked: bool,
    /// Number of the device that the image is.
    device: u64,
    /// By logical start: length and places of the copies.
    chunks: BTreeMap<u64, (u64, Vec<u64>)>,
    /// Checksums of contents.
    pub sums: Arc<Sums>,
}

/// Ways to spread a chunk that cut it into stripes: RAID 0, 10, 5 and 6.
const STRIPED: u64 = 0x8 | 0x40 | 0x80 | 0x100;

impl Trees {
    /// Reads the chunks: those in the superblock lead to the tree of all.
    pub fn read(image: &Bytes, sb: &[u8], budget: &Budget) -> Option<Self> {
        let node = le32(sb, 148)? as usize;
        let checked = le16(sb, 196)? == 0;
        let device = le64(sb, 201)?;
        let chunks = BTreeMap::new();
        let sums = Arc::default();
        let mut trees = Self { image: image.clone(), node, checked, device, chunks, sums };
        let mut system = read::slice(sb, 811, le32(sb, 160)? as usize)?;
        while system.len() >= 17 {
            let stripes = usize::from(le16(system, 17 + 44)?);
            trees.add_chunk(le64(system, 9)?, system.get(17..)?)?;
            system = system.get(stripes.checked_mul(32)?.checked_add(17 + 48)?..)?;
        }
        let mut problems = Vec::new();
        let items = trees.items(le64(sb, 88)?, budget, &mut problems);
        for ((_, kind, start), item) in items {
            if kind == CHUNK
                && let Some(b) = item.bytes(image)
            {
                trees.add_chunk(start, b);
            }
        }
        Some(trees)
    }

    /// Copies on other devices, and stripes of which this one has every second, are left out.
    fn add_chunk(&mut self, start: u64, b: &[u8]) -> Option<()> {
        let count = usize::from(le16(b, 44)?);
        let stripes = b.get(48..)?.chunks_exact(32).take(count);
        let own = stripes.filter(|s| le64(s, 0) == Some(self.device));
        let striped = le64(b, 24)? & STRIPED != 0 && count > 1;
        let places = own.filter(|_| !striped).filter_map(|s| le64(s, 8)).collect();
        self.chunks.insert(start, (le64(b, 0)?, places));
        Some(())
    }

    /// Where the copies of `len` bytes of logical address space are in the image.
    fn places(&self, logical: u64, len: u64) -> impl Iterator<Item = usize> {
        let chunk = self.chunks.range(..=logical).next_back();
        let found = chunk.and_then(|(start, (size, places))| {
            let inside = logical.checked_sub(*start)?;
            (inside.checked_add(len)? <= *size).then_some((inside, places))
        });
        found.into_iter().flat_map(|(inside, places)| {
            places.iter().filter_map(move |p| read::index(p.checked_add(inside)?))
        })
    }

    /// The first of them.
    pub fn place(&self, logical: u64, len: u64) -> Option<usize> {
        self.places(logical, len).next()
    }

    /// A node: the first copy of it that is right, and whether there is any.
    fn node(&self, logical: u64) -> (Option<(usize, &[u8])>, bool) {
        let mut copies = self
            .places(logical, self.node as u64)
            .filter_map(|at| Some((at, read::slice(&self.image, at, self.node)?)));
        let mut any = false;
        let right = copies.find(|(_, b)| {
            any = true;
            let right = !self.checked || le32(b, 0) == b.get(32..).map(|b| !crc32c(!0, b));
            right && le64(b, 48) == Some(logical)
        });
        (right, any)
    }

    /// All items of the tree below the node at a logical address.
    pub fn items(&self, root: u64, budget: &Budget, problems: &mut Vec<Problem>) -> Items {
        let mut items = Items::new();
        let mut seen = HashSet::new();
        let mut queue = vec![root];
        while let Some(logical) = queue.pop() {
            if !seen.insert(logical) {
                problems.push(malformed(format!("node {logical:#x} is in a tree twice")));
                continue;
            }
            if let Err(e) = budget.work(self.node as u64) {
                problems.push(e.into());
                break;
            }
            let (at, b) = match self.node(logical) {
                (Some(found), _) => found,
                (None, true) => {
                    let text =
                        format!("the checksum or address of node {logical:#x} does not match");
                    let at = self.place(logical, self.node as u64).unwrap_or(0);
                    problems.push(Problem::new(ProblemKind::Checksum, text).at(at as u64));
                    continue;
                }
                (None, false) => {
                    let text = format!("node {logical:#x} is not in the image");
                    problems.push(Problem::new(ProblemKind::Truncated, text));
                    continue;
                }
            };
            let count = le32(b, 96).unwrap_or(0) as usize;
            let entries = b.get(HEADER..).unwrap_or_default();
            if read::u8(b, 100) != Some(0) {
                queue.extend(entries.chunks_exact(POINTER).take(count).filter_map(|p| le64(p, 17)));
                continue;
            }
            for entry in entries.chunks_exact(ITEM).take(count) {
                let mut one = || {
                    let key = (le64(entry, 0)?, read::u8(entry, 8)?, le64(entry, 9)?);
                    let start = at.checked_add(HEADER)?.checked_add(le32(entry, 17)? as usize)?;
                    items.insert(key, Item { at: start, len: le32(entry, 21)? as usize });
                    Some(())
                };
                one();
            }
        }
        items
    }
}
