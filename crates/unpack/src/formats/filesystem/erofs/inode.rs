//! Inodes, extended attributes, and contents that are stored as they are.

use std::sync::Arc;

use bytes::Bytes;
use proofmark_model::Problem;

use super::{Fs, compressed::Compressed};
use crate::{
    budget::{Budget, Exhausted},
    format::Blob,
    formats::filesystem::common::{self, Run, push_run},
    read::{self, le16, le32, le64},
};

/// How the content of an inode is stored.
mod layout {
    pub const COMPRESSED_FULL: u16 = 1;
    pub const INLINE: u16 = 2;
    pub const COMPRESSED_COMPACT: u16 = 3;
    pub const CHUNKS: u16 = 4;
}

/// An inode.
pub(super) struct Inode {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: u64,
    pub size: u64,
    /// First block, device number or form of chunks.
    pub start: u32,
    layout: u16,
    /// Where its attributes, and what follows them, are.
    attributes: u64,
    attributes_len: u64,
}

impl Inode {
    pub fn read(fs: &Fs, number: u64) -> Option<Self> {
        let at = number.checked_mul(32)?.checked_add(fs.meta)?;
        let b = fs.image.get(read::index(at)?..)?;
        let format = le16(b, 0)?;
        let count = u64::from(le16(b, 2)?);
        let attributes_len =
            count.checked_sub(1).map_or(Some(0), |n| n.checked_mul(4)?.checked_add(12))?;
        let extended = format & 1 != 0;
        Some(Self {
            mode: le16(b, 4)?.into(),
            uid: if extended { le32(b, 24)? } else { le16(b, 24)?.into() },
            gid: if extended { le32(b, 28)? } else { le16(b, 26)?.into() },
            mtime: if extended { le64(b, 32)? } else { fs.built },
            size: if extended { le64(b, 8)? } else { le32(b, 8)?.into() },
            start: le32(b, 16)?,
            layout: (format >> 1) & 7,
            attributes: at.checked_add(if extended { 64 } else { 32 })?,
            attributes_len,
        })
    }

    /// First byte behind the attributes.
    fn behind(&self) -> u64 {
        self.attributes.saturating_add(self.attributes_len)
    }

    /// The content.
    ///
    /// # Errors
    /// The list of chunks is longer than the budget.
    pub fn content(&self, fs: &Fs, budget: &Budget) -> Result<Blob, Exhausted> {
        let mut runs = Vec::new();
        match self.layout {
            layout::COMPRESSED_FULL | layout::COMPRESSED_COMPACT => {
                let full = self.layout == layout::COMPRESSED_FULL;
                let packed = fs.fragments.clone();
                let content = Compressed::new(fs, self.size, self.behind(), full, packed);
                return Ok(Blob::Lazy(Arc::new(content)));
            }
            layout::CHUNKS => self.chunks(fs, budget, &mut runs)?,
            _ => {
                let image = u64::from(self.start).saturating_mul(fs.block_size);
                let blocks = self.size.div_ceil(fs.block_size);
                let tail =
                    if self.layout == layout::INLINE { blocks.saturating_sub(1) } else { blocks };
                let len = tail.saturating_mul(fs.block_size);
                if len > 0 {
                    runs.push(Run { file: 0, image, len: len.min(self.size) });
                }
                if tail < blocks {
                    runs.push(Run {
                        file: len,
                        image: self.behind(),
                        len: self.size.saturating_sub(len),
                    });
                }
            }
        }
        Ok(common::content(&fs.image, self.size, runs))
    }

    fn chunks(&self, fs: &Fs, budget: &Budget, runs: &mut Vec<Run>) -> Result<(), Exhausted> {
        const INDEXES: u32 = 0x20;
        let bits = fs.block_bits.saturating_add(self.start & 31).min(63);
        let chunk = 1u64.checked_shl(bits).unwrap_or(u64::MAX);
        let width: u64 = if self.start & INDEXES != 0 { 8 } else { 4 };
        let at = read::index(
            self.behind().saturating_add(width.saturating_sub(1)) & !width.saturating_sub(1),
        )
        .unwrap_or(usize::MAX);
        let list = fs.image.get(at..).unwrap_or_default().chunks_exact(width as usize);
        for (i, entry) in (0..self.size.div_ceil(chunk)).zip(list) {
            budget.work(width)?;
            let block = le32(entry, if width == 8 { 4 } else { 0 }).unwrap_or(u32::MAX);
            if block != u32::MAX {
                let image = u64::from(block).saturating_mul(fs.block_size);
                let file = i.saturating_mul(chunk);
                push_run(runs, Run { file, image, len: chunk.min(self.size.saturating_sub(file)) });
            }
        }
        Ok(())
    }

    /// Extended attributes: own ones, and those shared with other inodes.
    pub fn xattrs(
        &self,
        fs: &Fs,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if self.attributes_len > 0 && self.collect(fs, budget, &mut found).is_none() {
            problems.push(common::malformed("not all extended attributes are readable"));
        }
        found
    }

    fn collect(&self, fs: &Fs, budget: &Budget, found: &mut Vec<(String, String)>) -> Option<()> {
        let start = read::index(self.attributes)?;
        let area = read::slice(&fs.image, start, read::index(self.attributes_len)?)?;
        budget.work(area.len() as u64).ok()?;
        let shared = usize::from(read::u8(area, 4)?).checked_mul(4)?;
        for id in read::slice(area, 12, shared)?.chunks_exact(4).filter_map(|c| le32(c, 0)) {
            let at = u64::from(id).checked_mul(4)?.checked_add(fs.xattrs)?;
            found.push(pair(fs, fs.image.get(read::index(at)?..)?)?.0);
        }
        let mut own = area.get(shared.checked_add(12)?..)?;
        while own.len() >= 4 {
            let (pair, len) = pair(fs, own)?;
            found.push(pair);
            own = own.get(len.checked_next_multiple_of(4)?..).unwrap_or_default();
        }
        Some(())
    }
}

/// The attribute at the start of `b`, and its length.
fn pair(fs: &Fs, b: &[u8]) -> Option<((String, String), usize)> {
    let (name_len, value_len) = (usize::from(read::u8(b, 0)?), usize::from(le16(b, 2)?));
    let mut index = read::u8(b, 1)?;
    let mut name = Vec::new();
    if index & 0x80 != 0 {
        let (base, infix) = fs.prefixes.get(usize::from(index & 0x7f))?;
        (index, name) = (*base, infix.clone());
    }
    name.extend_from_slice(read::slice(b, 4, name_len)?);
    let value_at = name_len.checked_add(4)?;
    let prefix = match index {
        1 => "user.",
        2 => "system.posix_acl_access",
        3 => "system.posix_acl_default",
        4 => "trusted.",
        5 => "lustre.",
        6 => "security.",
        _ => "",
    };
    let value = read::slice(b, value_at, value_len)?;
    Some((common::xattr(prefix, &name, value), value_at.checked_add(value_len)?))
}

/// The image, for whoever decodes on demand.
pub(super) fn image(fs: &Fs) -> Bytes {
    fs.image.clone()
}
