//! Nodes: a common header with checksum and sequence number.

use crate::{
    formats::filesystem::common::crc32_raw,
    read::{self, le32, le64},
};

/// Types of nodes.
pub(super) struct Kind;

impl Kind {
    pub const INODE: u8 = 0;
    pub const DATA: u8 = 1;
    pub const ENTRY: u8 = 2;
    pub const XENTRY: u8 = 3;
    pub const TRUNCATION: u8 = 4;
    pub const SUPER: u8 = 6;
    pub const MASTER: u8 = 7;
    pub const REFERENCE: u8 = 8;
    pub const INDEX: u8 = 9;
    pub const COMMIT: u8 = 10;
}

/// A node with a right checksum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub at: usize,
    pub len: usize,
    pub kind: u8,
    pub sequence: u64,
}

impl Node {
    /// The node at `at`.
    pub fn parse(data: &[u8], at: usize) -> Option<Self> {
        let b = data.get(at..)?;
        let len = le32(b, 16)? as usize;
        let right = le32(b, 0)? == 0x0610_1831
            && (24..=1 << 18).contains(&len)
            && le32(b, 4)? == crc32_raw(!0, b.get(8..len)?);
        right.then_some(Self { at, len, kind: read::u8(b, 20)?, sequence: le64(b, 8)? })
    }

    /// Its bytes, header included.
    pub fn bytes(self, data: &[u8]) -> Option<&[u8]> {
        read::slice(data, self.at, self.len)
    }
}

/// The nodes of one block from `at` up to `end`, padding skipped.
pub(super) fn nodes(data: &[u8], start: usize, end: usize) -> impl Iterator<Item = Node> + '_ {
    let mut at = start;
    std::iter::from_fn(move || {
        while at < end {
            if let Some(node) = Node::parse(data, at) {
                at = at.checked_add(node.len.checked_next_multiple_of(8)?)?;
                return Some(node);
            }
            // Padding, erased space or damage: on to the next place where a node may start.
            let rest = data.get(at.checked_add(1)?..end)?;
            at = at
                .checked_add(1)?
                .checked_add(memchr::memmem::find(rest, &[0x31, 0x18, 0x10, 0x06])?)?;
        }
        None
    })
}
