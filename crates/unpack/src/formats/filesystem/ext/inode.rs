//! Inodes: metadata, extended attributes, and where their content is.

use proofmark_model::{Problem, ProblemKind};

use super::{Fs, feature};
use crate::{
    budget::Budget,
    formats::filesystem::common::{self, Run, crc32c, push_run},
    read::{self, le16, le32},
};

/// Inode flags.
const ENCRYPTED: u32 = 0x800;
const EXTENTS: u32 = 0x8_0000;
const INLINE: u32 = 0x1000_0000;

/// An inode.
pub(super) struct Inode {
    pub number: u32,
    /// Type and permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub size: u64,
    flags: u32,
    /// Inline content, block numbers or the root of the extent tree.
    area: [u8; 60],
    /// Block of extended attributes, 0 for none.
    attributes_block: u64,
    /// Extended attributes behind the inode's own fields.
    attributes: Vec<u8>,
    /// Whether its checksum is right; none where there is none.
    pub checksum_right: Option<bool>,
}

impl Inode {
    /// Inode `number`, unless it is unused.
    pub fn parse(fs: &Fs, number: u32) -> Option<Self> {
        let b = fs.inode_bytes(number)?;
        let d = |at| le32(b, at);
        let w = |at| le16(b, at);
        let mode = u32::from(w(0)?);
        if mode == 0 {
            return None;
        }
        let extra = if b.len() > 128 { usize::from(w(128)?) } else { 0 };
        let behind = extra.checked_add(128)?;
        // Bits 32 and 33 of the seconds.
        let epoch = if behind >= 0x8c { i64::from(d(0x88)? & 3) << 32 } else { 0 };
        Some(Self {
            number,
            mode,
            uid: u32::from(w(2)?) | (u32::from(w(0x78)?) << 16),
            gid: u32::from(w(24)?) | (u32::from(w(0x7a)?) << 16),
            mtime: i64::from(d(16)? as i32).saturating_add(epoch),
            size: u64::from(d(4)?) | (u64::from(d(108)?) << 32),
            flags: d(32)?,
            area: read::array(b, 40)?,
            attributes_block: u64::from(d(104)?) | (u64::from(w(118)?) << 32),
            attributes: b.get(behind..).filter(|_| b.len() > 128).unwrap_or_default().to_vec(),
            checksum_right: Self::check(fs, number, b, extra),
        })
    }

    fn check(fs: &Fs, number: u32, b: &[u8], extra: usize) -> Option<bool> {
        if fs.ro_compat & feature::METADATA_CSUM == 0 {
            return None;
        }
        let wide = b.len() > 128 && extra >= 4;
        let crc = crc32c(fs.seed, &number.to_le_bytes());
        let crc = crc32c(crc, b.get(100..104)?);
        let crc = crc32c(crc, b.get(..124)?);
        let crc = crc32c(crc, &[0, 0]);
        let crc = crc32c(crc, b.get(126..128)?);
        let crc = match (wide, b.len() > 128) {
            (true, _) => {
                let crc = crc32c(crc, b.get(128..130)?);
                let crc = crc32c(crc, &[0, 0]);
                crc32c(crc, b.get(132..)?)
            }
            (false, true) => crc32c(crc, b.get(128..)?),
            _ => crc,
        };
        let stored = u32::from(le16(b, 124)?);
        Some(if wide {
            crc == stored | (u32::from(le16(b, 130)?) << 16)
        } else {
            crc & 0xffff == stored
        })
    }

    /// Encrypted by the file system itself.
    pub fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }

    /// Device number of a device node.
    pub fn device(&self) -> (u32, u32) {
        match le32(&self.area, 0) {
            Some(old) if old != 0 => common::device(old & 0xffff),
            _ => common::device(le32(&self.area, 4).unwrap_or(0)),
        }
    }

    /// Content that lies in the inode itself: inline data, or a short link.
    pub fn inline(&self, fs: &Fs) -> Option<Vec<u8>> {
        let size = read::index(self.size)?;
        if self.flags & INLINE != 0 {
            let mut bytes = self.area.to_vec();
            let mut rest = Vec::new();
            attributes(&self.attributes, 4, fs, None, &mut |name, value| {
                if name == (7, &b"data"[..]) {
                    rest = value;
                }
            });
            bytes.extend_from_slice(&rest);
            bytes.truncate(size);
            return Some(bytes);
        }
        let link = self.mode >> 12 == common::ftype::LINK;
        (link && self.flags & EXTENTS == 0 && size < 60)
            .then(|| self.area.get(..size).map(<[u8]>::to_vec))?
    }

    /// Where the content is. What is wrong goes to `problems`; the rest is there.
    pub fn runs(&self, fs: &Fs, budget: &Budget, problems: &mut Vec<Problem>) -> Vec<Run> {
        let mut map =
            Map { fs, budget, runs: Vec::new(), blocks: self.size.div_ceil(fs.block_size) };
        let result = if self.flags & EXTENTS != 0 {
            map.extents(&self.area, 8)
        } else {
            map.indirect(&self.area)
        };
        problems.extend(result.err());
        map.runs.sort_by_key(|r| r.file);
        fs.laid_over(map.runs)
    }

    /// Extended attributes, those in the inode first.
    pub fn xattrs(
        &self,
        fs: &Fs,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |(index, name): (u8, &[u8]), value: Vec<u8>| {
            let prefix = match index {
                1 => "user.",
                2 => "system.posix_acl_access",
                3 => "system.posix_acl_default",
                4 => "trusted.",
                6 => "security.",
                7 => "system.",
                8 => "system.richacl",
                _ => "",
            };
            if (index, name) != (7, b"data") {
                found.push(common::xattr(prefix, name, &value));
            }
        };
        if le32(&self.attributes, 0) == Some(0xea02_0000)
            && !attributes(&self.attributes, 4, fs, Some(budget), &mut add)
        {
            problems.push(common::malformed(
                "the extended attributes in the inode are not all readable",
            ));
        }
        if self.attributes_block != 0 {
            let whole = fs
                .block(self.attributes_block)
                .filter(|b| le32(b, 0) == Some(0xea02_0000))
                .filter(|b| budget.work(b.len() as u64).is_ok())
                .is_some_and(|b| attributes(b, 32, fs, Some(budget), &mut add));
            if !whole {
                problems
                    .push(common::malformed("the block of extended attributes is not readable"));
            }
        }
        found
    }
}

/// What is done with an attribute: its name space and name, and its value.
type Take<'a> = dyn FnMut((u8, &[u8]), Vec<u8>) + 'a;

/// Walks a list of attributes that starts at `first`; values are counted from `first` in an inode and from
/// the start of a block. False when it ends early.
fn attributes(
    b: &[u8],
    first: usize,
    fs: &Fs,
    budget: Option<&Budget>,
    add: &mut Take<'_>,
) -> bool {
    let base = if first == 4 { 4 } else { 0 };
    let mut at = first;
    // The list ends with four zero bytes, or where the bytes do.
    while le32(b, at).is_some_and(|word| word != 0) {
        let mut one = || {
            let e = b.get(at..)?;
            let name = read::slice(e, 16, usize::from(read::u8(e, 0)?))?;
            let (offset, inode, size) = (le16(e, 2)?, le32(e, 4)?, le32(e, 8)? as usize);
            let value = if inode == 0 {
                read::slice(b, usize::from(offset).checked_add(base)?, size)?.to_vec()
            } else {
                large_value(fs, inode, size, budget?)?
            };
            add((read::u8(e, 1)?, name), value);
            at.checked_add(name.len().checked_next_multiple_of(4)?)?.checked_add(16)
        };
        match one() {
            Some(next) => at = next,
            None => return false,
        }
    }
    true
}

/// A value that has an inode of its own.
fn large_value(fs: &Fs, inode: u32, size: usize, budget: &Budget) -> Option<Vec<u8>> {
    let inode = fs.inode(inode)?;
    let runs = inode.runs(fs, budget, &mut Vec::new());
    let loaded = common::content(&fs.image, (size as u64).min(inode.size), runs).load(budget);
    (loaded.bytes.len() == size && size <= 1 << 16).then(|| loaded.bytes.to_vec())
}

/// Collects the runs of one file.
struct Map<'a> {
    fs: &'a Fs,
    budget: &'a Budget,
    runs: Vec<Run>,
    /// Blocks that the size asks for.
    blocks: u64,
}

impl Map<'_> {
    fn push(&mut self, first: u64, start: u64, count: u64) {
        let size = self.fs.block_size;
        push_run(
            &mut self.runs,
            Run {
                file: first.saturating_mul(size),
                image: start.saturating_mul(size),
                len: count.saturating_mul(size),
            },
        );
    }

    /// A node of the extent tree; every node below has a smaller depth than its parent.
    fn extents(&mut self, node: &[u8], below: u16) -> Result<(), Problem> {
        let bad = || common::malformed("a node of the extent tree is not readable");
        self.budget.work(node.len() as u64)?;
        let depth = le16(node, 6).ok_or_else(bad)?;
        if le16(node, 0) != Some(0xf30a) || depth >= below {
            return Err(bad());
        }
        let count = le16(node, 2).ok_or_else(bad)?;
        let mut wrong = Ok(());
        for entry in node.get(12..).unwrap_or_default().chunks_exact(12).take(count.into()) {
            let high = |at| le16(entry, at).map(|h| u64::from(h) << 32);
            let low = |at| le32(entry, at).map(u64::from);
            if depth == 0 {
                let (Some(first), Some(len), Some(h), Some(l)) =
                    (low(0), le16(entry, 4), high(6), low(8))
                else {
                    break;
                };
                // Above 32768 the extent is reserved but was never written: it reads as zeros.
                if len <= 0x8000 {
                    self.push(first, h | l, len.into());
                }
            } else if let (Some(l), Some(h)) = (low(4), high(8)) {
                let result = match self.fs.block(h | l) {
                    Some(block) => self.extents(block, depth),
                    None => Err(bad()),
                };
                wrong = wrong.and(result);
            }
        }
        wrong
    }

    fn indirect(&mut self, area: &[u8; 60]) -> Result<(), Problem> {
        let mut first = 0u64;
        let mut wrong = Ok(());
        for (i, pointer) in area.chunks_exact(4).filter_map(|c| le32(c, 0)).enumerate() {
            let level = (i as u32).saturating_sub(11);
            if first >= self.blocks {
                break;
            }
            wrong = wrong.and(self.pointer(pointer, level, &mut first));
        }
        wrong
    }

    /// A pointer to a block that is content (level 0) or holds pointers of the level below.
    fn pointer(&mut self, pointer: u32, level: u32, first: &mut u64) -> Result<(), Problem> {
        let per_block = (self.fs.block_size / 4).max(1);
        let span = per_block.saturating_pow(level);
        if pointer == 0 || *first >= self.blocks {
            *first = first.saturating_add(span);
            return Ok(());
        }
        if level == 0 {
            self.push(*first, pointer.into(), 1);
            *first = first.saturating_add(1);
            return Ok(());
        }
        let end = first.saturating_add(span);
        self.budget.work(self.fs.block_size)?;
        let fs = self.fs;
        let Some(block) = fs.block(pointer.into()) else {
            *first = end;
            let text = "a block of block numbers lies behind the end of the image";
            return Err(Problem::new(ProblemKind::Truncated, text));
        };
        let mut wrong = Ok(());
        for pointer in block.chunks_exact(4).filter_map(|c| le32(c, 0)) {
            if *first >= self.blocks {
                break;
            }
            wrong = wrong.and(self.pointer(pointer, level.saturating_sub(1), first));
        }
        *first = end;
        wrong
    }
}
