//! ext2, ext3 and ext4.
//!
//! *Establishes*: every name from the root folder on, with metadata and
//! extended attributes, and contents as runs of blocks.
//! *How*: superblock at byte 1024, group descriptors, inodes; extents or indirect
//! blocks; folders read entry by entry (hashed indices are made so that this
//! works). Checksums are verified where the image has them.
//! *False positives*: a copy of the superblock in a later group is refused by its
//! group number. *False negatives*: an image whose first superblock is damaged.
//! An unclean image is read as the kernel would after recovery (see `journal.rs`).
//! *Limits*: fast commits are noted, not replayed; encrypted folders are named as such. *Sources*: the kernel's `Documentation/filesystems/ext4`.

mod inode;
mod journal;
mod walk;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use self::{inode::Inode, journal::Replay};
use super::common::{Run, crc32c, push_run};
use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    read::{self, le16, le32},
};

/// ext2, ext3, ext4.
pub struct Ext;

static ABOUT: About = About {
    id: "ext",
    name: "ext2/ext3/ext4",
    family: Family::FileSystem,
    revision: 2,
    metadata: "mode, owner, mtime, xattrs, device numbers, hard links",
    integrity: "superblock, group, inode and journal crc32c; used inodes against inodes found",
    limits: "fast commits noted but not replayed; encrypted folders not read",
    sources: &["https://docs.kernel.org/filesystems/ext4/"],
};

/// Feature bits that change how the image is read.
mod feature {
    pub const RECOVER: u32 = 0x4;
    pub const JOURNAL_DEVICE: u32 = 0x8;
    pub const META_BG: u32 = 0x10;
    pub const BITS64: u32 = 0x80;
    pub const SEED: u32 = 0x2000;
    pub const FILETYPE: u32 = 0x2;
    /// Read-only compatible.
    pub const SPARSE_SUPER: u32 = 0x1;
    pub const BIGALLOC: u32 = 0x200;
    pub const METADATA_CSUM: u32 = 0x400;
    /// Compatible.
    pub const JOURNAL: u32 = 0x4;
}

/// Magics with the state (clean, errors, orphans) and the behaviour on errors that follow: the magic alone is
/// two bytes and would be everywhere.
macro_rules! magics {
    ($($state:literal)*) => {
        &[$(
            Magic::anywhere(&[0x53, 0xef, $state, 0, 1, 0]).after(0x438),
            Magic::anywhere(&[0x53, 0xef, $state, 0, 2, 0]).after(0x438),
            Magic::anywhere(&[0x53, 0xef, $state, 0, 3, 0]).after(0x438),
        )*]
    };
}

impl Format for Ext {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = magics!(0 1 2 3 4 5);
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(1024).ok()?;
        let fs = Fs::parse(data.slice(at..data.len().max(at)))?;
        let declared = read::index(fs.blocks.checked_mul(fs.block_size)?)?;
        let length = declared.min(fs.image.len());
        let checked = fs.checksum_right() == Some(true);
        let root = fs.inode(2).is_some_and(|i| i.mode >> 12 == super::common::ftype::DIR);
        let proof = match (checked, root) {
            (true, _) => Proof::ChecksumVerified,
            (_, true) => Proof::DecoderEnded,
            // Without a root folder and cut off there is nothing to tell it from chance.
            (false, false) if length < declared && fs.checksum_right().is_none() => return None,
            _ => Proof::LengthsConsistent,
        };
        let mut candidate = Candidate::new(at, length, proof);
        if length < declared {
            let text = format!("the superblock declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        match Fs::parse(region.clone()) {
            Some(fs) => walk::walk(fs, budget, sink),
            None => sink.problem(super::common::malformed("the superblock contradicts itself")),
        }
    }
}

/// An image and what its superblock says.
struct Fs {
    image: Bytes,
    block_size: u64,
    blocks: u64,
    first_block: u64,
    inodes: u32,
    blocks_per_group: u32,
    inodes_per_group: u32,
    inode_size: u16,
    first_inode: u32,
    descriptor_size: u64,
    first_meta_group: u32,
    compat: u32,
    incompat: u32,
    ro_compat: u32,
    /// Start value of metadata checksums.
    seed: u32,
    /// What the journal has instead.
    overlay: Replay,
}

impl Fs {
    fn parse(image: Bytes) -> Option<Self> {
        let b = image.get(1024..2048)?;
        let d = |at| le32(b, at);
        let w = |at| le16(b, at);
        let dynamic = d(76)? >= 1;
        let (compat, incompat, ro_compat) =
            if dynamic { (d(92)?, d(96)?, d(100)?) } else { (0, 0, 0) };
        let wide = incompat & feature::BITS64 != 0;
        let log = d(24)?;
        let block_size = 1024u64.checked_shl(log).filter(|_| log <= 6)?;
        let high = if wide { u64::from(d(0x150)?) } else { 0 };
        let seed = if incompat & feature::SEED != 0 {
            d(0x270)?
        } else {
            crc32c(!0, read::slice(b, 104, 16)?)
        };
        let this = Self {
            block_size,
            blocks: u64::from(d(4)?) | (high << 32),
            first_block: d(20)?.into(),
            inodes: d(0)?,
            blocks_per_group: d(32)?,
            inodes_per_group: d(40)?,
            inode_size: if dynamic { w(88)? } else { 128 },
            first_inode: if dynamic { d(84)? } else { 11 },
            descriptor_size: if wide { w(254)?.max(32).into() } else { 32 },
            first_meta_group: if incompat & feature::META_BG != 0 { d(0x104)? } else { u32::MAX },
            compat,
            incompat,
            ro_compat,
            seed,
            overlay: Replay::default(),
            image: image.clone(),
        };
        let groups = this.groups()?;
        // Bitmaps count clusters of several blocks.
        let clusters = ro_compat & feature::BIGALLOC != 0;
        let ratio = if clusters { 1u64.checked_shl(d(28)?.checked_sub(log)?)? } else { 1 };
        let most = block_size.saturating_mul(8).saturating_mul(ratio.min(1 << 16));
        let agrees = w(56)? == 0xef53
            && d(76)? <= 1
            && w(90)? == 0
            && this.blocks > this.first_block
            && this.first_block == u64::from(block_size == 1024 && !clusters)
            && (1..=most).contains(&this.blocks_per_group.into())
            && (1..=block_size.saturating_mul(8)).contains(&this.inodes_per_group.into())
            && groups.checked_mul(this.inodes_per_group.into()) == Some(this.inodes.into())
            && this.inode_size.is_power_of_two()
            && (128..=block_size).contains(&this.inode_size.into())
            && this.descriptor_size <= block_size
            && incompat & feature::JOURNAL_DEVICE == 0;
        agrees.then_some(this)
    }

    /// Number of block groups.
    fn groups(&self) -> Option<u64> {
        let count = self.blocks.checked_sub(self.first_block)?;
        (self.blocks_per_group > 0).then(|| count.div_ceil(self.blocks_per_group.into()))
    }

    /// Whether the superblock's own checksum is right; none where the image has no checksums.
    fn checksum_right(&self) -> Option<bool> {
        if self.ro_compat & feature::METADATA_CSUM == 0 {
            return None;
        }
        let b = self.image.get(1024..2048)?;
        Some(Some(crc32c(!0, b.get(..0x3fc)?)) == le32(b, 0x3fc))
    }

    /// The bytes of a block.
    fn block(&self, number: u64) -> Option<&[u8]> {
        let at = match self.overlay.blocks.get(&number) {
            // Nothing that the file system itself keeps begins with the journal's magic.
            Some((_, true)) => return None,
            Some((at, false)) => *at,
            None => number.checked_mul(self.block_size)?,
        };
        read::slice(&self.image, read::index(at)?, read::index(self.block_size)?)
    }

    /// The superblock, as the journal has it.
    fn superblock(&self) -> Option<&[u8]> {
        let at = if self.block_size > 1024 { 1024 } else { 0 };
        read::slice(self.block(u64::from(at == 0))?, at, 1024)
    }

    /// Runs of the image with the blocks that the journal has instead.
    fn laid_over(&self, runs: Vec<Run>) -> Vec<Run> {
        if self.overlay.blocks.is_empty() {
            return runs;
        }
        let mut over = Vec::new();
        for run in runs {
            let block_of = |at: u64| at.checked_div(self.block_size).unwrap_or(u64::MAX);
            let (first, end) = (block_of(run.image), block_of(run.image.saturating_add(run.len)));
            let mut done = 0;
            let mut put = |from: u64, image: u64, len: u64| {
                push_run(&mut over, Run { file: run.file.saturating_add(from), image, len });
            };
            for (block, (at, escaped)) in self.overlay.blocks.range(first..end.max(first)) {
                let from = block.saturating_sub(first).saturating_mul(self.block_size);
                put(done, run.image.saturating_add(done), from.saturating_sub(done));
                let word = if *escaped { 4 } else { 0 };
                put(from, self.overlay.magic, word);
                let rest = self.block_size.saturating_sub(word);
                put(from.saturating_add(word), at.saturating_add(word), rest);
                done = from.saturating_add(self.block_size);
            }
            put(done, run.image.saturating_add(done), run.len.saturating_sub(done));
        }
        over.retain(|r| r.len > 0);
        over
    }

    /// The descriptor of a group.
    fn descriptor(&self, group: u64) -> Option<&[u8]> {
        let per_block = self.block_size.checked_div(self.descriptor_size)?.max(1);
        let meta = group.checked_div(per_block)?;
        let block = if meta >= self.first_meta_group.into() {
            // Each meta group keeps its descriptors in its own first group.
            let first = meta.checked_mul(per_block)?;
            let start =
                first.checked_mul(self.blocks_per_group.into())?.checked_add(self.first_block)?;
            start.checked_add(u64::from(self.has_superblock(first)))?
        } else {
            self.first_block.checked_add(1)?.checked_add(meta)?
        };
        let at = read::index(group.checked_rem(per_block)?.checked_mul(self.descriptor_size)?)?;
        read::slice(self.block(block)?, at, read::index(self.descriptor_size)?)
    }

    fn has_superblock(&self, group: u64) -> bool {
        let power_of = |base: u64| {
            std::iter::successors(Some(base), |n| n.checked_mul(base))
                .take_while(|n| *n <= group)
                .any(|n| n == group)
        };
        self.ro_compat & feature::SPARSE_SUPER == 0
            || group <= 1
            || [3, 5, 7].into_iter().any(power_of)
    }

    /// Checks the descriptors: wrong checksums, and inodes in use by their count.
    fn check_groups(&self) -> (u64, u64) {
        let (mut wrong, mut free) = (0u64, 0u64);
        for group in 0..self.groups().unwrap_or(0) {
            let Some(d) = self.descriptor(group) else {
                wrong = wrong.saturating_add(1);
                break;
            };
            let high = if d.len() >= 64 { le16(d, 0x2e).unwrap_or(0) } else { 0 };
            free = free
                .saturating_add(le16(d, 14).unwrap_or(0).into())
                .saturating_add(u64::from(high) << 16);
            if self.ro_compat & feature::METADATA_CSUM != 0 {
                let number = (group as u32).to_le_bytes();
                let crc = crc32c(self.seed, &number);
                let crc = crc32c(crc, d.get(..0x1e).unwrap_or_default());
                let crc = crc32c(crc, &[0, 0]);
                let crc = crc32c(crc, d.get(0x20..).unwrap_or_default());
                if le16(d, 0x1e) != Some(crc as u16) {
                    wrong = wrong.saturating_add(1);
                }
            }
        }
        (wrong, u64::from(self.inodes).saturating_sub(free))
    }

    /// The bytes of an inode.
    fn inode_bytes(&self, number: u32) -> Option<&[u8]> {
        let index = number.checked_sub(1)?;
        let group = index.checked_div(self.inodes_per_group)?;
        let d = self.descriptor(group.into())?;
        let high = if d.len() >= 64 { le32(d, 0x28)? } else { 0 };
        let table = u64::from(le32(d, 8)?) | (u64::from(high) << 32);
        let index = u64::from(index.checked_rem(self.inodes_per_group)?);
        let at = index.checked_mul(self.inode_size.into())?;
        let block = self.block(table.checked_add(at.checked_div(self.block_size)?)?)?;
        read::slice(block, read::index(at.checked_rem(self.block_size)?)?, self.inode_size.into())
    }

    fn inode(&self, number: u32) -> Option<Inode> {
        Inode::parse(self, number)
    }
}
