//! Objects: blocks with a sum, maps from their numbers to blocks, and trees of them.
//!
//! ```text
//! node:  32 flags, 34 level, 36 keys, 40 table of contents (offset, length), 56 data
//! info:  40 bytes at the end of a root: 4 size of a node, 8 length of a key, 12 of a value
//! map:   48 its tree; key: number, transaction; value: flags, size, block
//! ```

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};

use crate::{
    budget::Budget,
    formats::filesystem::common::malformed,
    read::{self, le16, le32, le64},
};

/// Bytes of an object's header and of a node's.
const NODE: usize = 56;
/// Bytes at the end of a root node.
const INFO: usize = 40;
/// Flags of nodes.
const ROOT: u16 = 1;
const FIXED: u16 = 4;
/// Flags of entries of a map.
const DELETED: u32 = 1;
const ENCRYPTED: u32 = 4;
const NO_HEADER: u32 = 8;
/// Levels of trees: real ones have five.
const LEVELS: u16 = 16;

/// Whether a block's sum is right: Fletcher-64 over 32-bit words, in the form that makes both sums over the whole
/// block zero.
pub(super) fn sum_is_right(block: &[u8]) -> bool {
    const MODULUS: u64 = u32::MAX as u64;
    // At most 16384 words: sums of sums stay below 2^60.
    let (mut low, mut high) = (0_u64, 0_u64);
    for word in block.get(8..).unwrap_or_default().chunks_exact(4).filter_map(|w| le32(w, 0)) {
        low = low.wrapping_add(word.into());
        high = high.wrapping_add(low);
    }
    let (low, high) = (low % MODULUS, high % MODULUS);
    let first = MODULUS.wrapping_sub(low.wrapping_add(high) % MODULUS);
    let second = MODULUS.wrapping_sub(low.wrapping_add(first) % MODULUS);
    le64(block, 0) == Some(second << 32 | first)
}

/// The image, in blocks.
pub(super) struct Container {
    pub image: Bytes,
    pub size: usize,
}

/// Where an object is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub block: u64,
    flags: u32,
}

/// From numbers of objects and transactions to places.
#[derive(Default)]
pub(super) struct Map(BTreeMap<(u64, u64), Place>);

impl Map {
    /// Where object `number` is in the newest state up to `transaction`.
    pub fn place(&self, number: u64, transaction: u64) -> Option<Place> {
        let (_, place) = self.0.range((number, 0)..=(number, transaction)).next_back()?;
        (place.flags & DELETED == 0).then_some(*place)
    }
}

/// How the nodes of a tree name each other.
#[derive(Clone, Copy)]
pub(super) enum Names<'m> {
    /// By their blocks.
    Blocks,
    /// By numbers in a map.
    Numbers(&'m Map),
}

/// A key and its value, as places in the image.
pub(super) type Record = ((usize, usize), (usize, usize));

impl Container {
    pub fn new(image: Bytes, size: usize) -> Self {
        Self { image, size }
    }

    /// The bytes of a block.
    pub fn block(&self, number: u64) -> Option<&[u8]> {
        let at = read::index(number.checked_mul(self.size as u64)?)?;
        read::slice(&self.image, at, self.size)
    }

    /// The bytes of a key or value.
    pub fn bytes(&self, (at, len): (usize, usize)) -> &[u8] {
        read::slice(&self.image, at, len).unwrap_or_default()
    }

    /// A block that is an object of its own: its sum is right and its number is that of the block.
    pub fn object(&self, number: u64) -> Option<&[u8]> {
        self.block(number).filter(|b| sum_is_right(b) && le64(b, 8) == Some(number))
    }

    /// The object map in a block.
    pub fn map(&self, block: u64, budget: &Budget, problems: &mut Vec<Problem>) -> Map {
        let Some(tree) = self.object(block).and_then(|b| le64(b, 48)) else {
            let text = format!("the object map in block {block:#x} is not readable");
            problems.push(malformed(text));
            return Map::default();
        };
        let mut map = Map::default();
        for (key, value) in self.records(tree, Names::Blocks, budget, problems) {
            let (k, v) = (self.bytes(key), self.bytes(value));
            if let (Some(number), Some(transaction), Some(flags), Some(block)) =
                (le64(k, 0), le64(k, 8), le32(v, 0), le64(v, 8))
            {
                map.0.insert((number, transaction), Place { block, flags });
            }
        }
        map
    }

    /// All records of a tree in their order. What is not readable is a problem; the rest is there.
    pub fn records(
        &self,
        root: u64,
        names: Names<'_>,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        let mut seen = HashSet::new();
        let mut queue = vec![(root, LEVELS)];
        let mut fixed = (16, 16);
        while let Some((name, above)) = queue.pop() {
            if let Err(e) = budget.work(self.size as u64) {
                problems.push(e.into());
                break;
            }
            let place = match names {
                Names::Blocks => Some(Place { block: name, flags: 0 }),
                Names::Numbers(map) => map.place(name, u64::MAX),
            };
            let Some((place, node)) = place.and_then(|p| Some((p, self.block(p.block)?))) else {
                let text = format!("node {name:#x} of a tree is not in the image");
                problems.push(Problem::new(ProblemKind::Truncated, text));
                continue;
            };
            if place.flags & ENCRYPTED != 0 {
                let text = "the tree of records is encrypted, no key";
                problems.push(Problem::new(ProblemKind::Encrypted, text));
                break;
            }
            let at = place.block.saturating_mul(self.size as u64);
            let headed = place.flags & NO_HEADER == 0;
            if headed && (!sum_is_right(node) || le64(node, 8) != Some(name)) {
                let text = format!("the sum or number of node {name:#x} does not match");
                problems.push(Problem::new(ProblemKind::Checksum, text).at(at));
                continue;
            }
            let level = le16(node, 34).unwrap_or(u16::MAX);
            if level >= above || !seen.insert(place.block) {
                problems.push(malformed(format!("node {name:#x} is in a tree twice")).at(at));
                continue;
            }
            if name == root {
                let info = node.len().saturating_sub(INFO);
                let field = |n| le32(node, info.saturating_add(n)).unwrap_or(0) as usize;
                fixed = (field(8), field(12));
            }
            let (found, whole) = self.node(node, at, fixed);
            if !whole {
                problems.push(malformed(format!("node {name:#x} is not readable")).at(at));
            }
            if level == 0 {
                records.extend(found);
            } else {
                let below = found.iter().rev().filter_map(|(_, v)| le64(self.bytes(*v), 0));
                queue.extend(below.map(|child| (child, level)));
            }
        }
        records
    }

    /// The records of one node that lies at `base`, and whether they are all there.
    fn node(&self, node: &[u8], base: u64, fixed: (usize, usize)) -> (Vec<Record>, bool) {
        let mut records = Vec::new();
        let mut all = || {
            let base = read::index(base)?;
            let (flags, level) = (le16(node, 32)?, le16(node, 34)?);
            let table = NODE.checked_add(le16(node, 40)?.into())?;
            let keys = table.checked_add(le16(node, 42)?.into())?;
            let values = node.len().checked_sub(if flags & ROOT != 0 { INFO } else { 0 })?;
            let step = if flags & FIXED != 0 { 4 } else { 8 };
            let count = le32(node, 36)? as usize;
            // Bounded by the table itself.
            for entry in node.get(table..keys)?.chunks_exact(step).take(count) {
                let (key, key_len, value, value_len) = if flags & FIXED != 0 {
                    let len = if level == 0 { fixed.1 } else { 8 };
                    (le16(entry, 0)?, fixed.0, le16(entry, 2)?, len)
                } else {
                    (
                        le16(entry, 0)?,
                        le16(entry, 2)?.into(),
                        le16(entry, 4)?,
                        le16(entry, 6)?.into(),
                    )
                };
                let key = keys.checked_add(key.into())?;
                // A ghost has no value.
                let (value, value_len) = if value == u16::MAX {
                    (0, 0)
                } else {
                    (values.checked_sub(value.into())?, value_len)
                };
                read::slice(node, key, key_len)?;
                read::slice(node, value, value_len)?;
                records.push((
                    (base.checked_add(key)?, key_len),
                    (base.checked_add(value)?, value_len),
                ));
            }
            (records.len() == count).then_some(())
        };
        let whole = all().is_some();
        (records, whole)
    }
}
