//! From logical addresses to bytes, and from root nodes to items.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};

use super::Items;
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
    /// By logical start: length and place.
    chunks: BTreeMap<u64, (u64, u64)>,
}

impl Trees {
    /// Reads the chunks: those in the superblock lead to the tree of all.
    pub fn read(image: &Bytes, sb: &[u8], budget: &Budget) -> Option<Self> {
        let node = le32(sb, 148)? as usize;
        let checked = le16(sb, 196)? == 0;
        let mut trees = Self { image: image.clone(), node, checked, chunks: BTreeMap::new() };
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

    /// Of several copies or stripes the first is used.
    fn add_chunk(&mut self, start: u64, b: &[u8]) -> Option<()> {
        self.chunks.insert(start, (le64(b, 0)?, le64(b, 56)?));
        Some(())
    }

    /// Where `len` bytes of logical address space are in the image.
    pub fn place(&self, logical: u64, len: u64) -> Option<usize> {
        let (start, (size, place)) = self.chunks.range(..=logical).next_back()?;
        let inside = logical.checked_sub(*start)?;
        if inside.checked_add(len)? > *size {
            return None;
        }
        read::index(place.checked_add(inside)?)
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
            let at = self.place(logical, self.node as u64);
            let Some((at, b)) =
                at.and_then(|at| Some((at, read::slice(&self.image, at, self.node)?)))
            else {
                let text = format!("node {logical:#x} is not in the image");
                problems.push(Problem::new(ProblemKind::Truncated, text));
                continue;
            };
            let right = !self.checked || le32(b, 0) == b.get(32..).map(|b| !crc32c(!0, b));
            if !right || le64(b, 48) != Some(logical) {
                let text = format!("the checksum or address of node {logical:#x} does not match");
                problems.push(Problem::new(ProblemKind::Checksum, text).at(at as u64));
                continue;
            }
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
