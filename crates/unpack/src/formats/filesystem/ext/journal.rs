//! The journal: changes that were committed but are not in place yet, laid over the image.
//!
//! *How*: from the block and number that the journal's superblock names, transaction by transaction: descriptors with
//! the blocks that follow them, revocations, and a commit that makes them count. Nothing is copied: a block that was
//! changed is read from where it lies in the journal. Sums of versions 1 to 3 are checked as the kernel checks them.
//! A block that begins with the journal's own magic is kept with zeros for it; in contents it is put back.
//! *Limits*: fast commits are named, not read. *Sources*: the kernel's `Documentation/filesystems/ext4/journal.rst`.
//!
//! ```text
//! header:     0 magic, 4 kind, 8 number (all big-endian)
//! superblock: 12 block size, 16 blocks, 20 first block, 24 first number, 28 first block in use, 36 features
//!             (compatible, incompatible), 48 UUID, 84 blocks of fast commits
//! tag:        version 3: 0 block, 4 flags, 8 upper half, 12 sum; before: 0 block, 4 sum, 6 flags, 8 upper half
//! ```

use std::collections::{BTreeMap, HashMap};

use proofmark_model::{Problem, ProblemKind};

use super::{Fs, feature};
use crate::{
    budget::Budget,
    formats::filesystem::common::{Run, crc32c, malformed},
    read::{self, be16, be32, le16, le32},
};

const MAGIC: u32 = 0xC03B_3998;
/// Kinds of blocks.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;
/// Features.
const SUM_V1: u32 = 1;
const BITS64: u32 = 2;
const SUM_V2: u32 = 8;
const SUM_V3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
/// Flags of tags.
const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const DELETED: u32 = 4;
const LAST: u32 = 8;

/// What the journal adds to an image.
#[derive(Default)]
pub(super) struct Replay {
    /// By block: where in the image the bytes are that stand for it, and whether their first word was replaced.
    pub blocks: BTreeMap<u64, (u64, bool)>,
    /// Where the word is that was replaced.
    pub magic: u64,
    /// Transactions that count.
    pub transactions: u64,
}

/// A block of a transaction: its number, where it lies in the journal, whether its first word was replaced.
struct Change {
    block: u64,
    image: u64,
    escaped: bool,
}

/// The journal of a file system.
struct Journal<'a> {
    fs: &'a Fs,
    runs: Vec<Run>,
    /// First block that is used, and the one behind the last.
    first: u64,
    end: u64,
    incompat: u32,
    compat: u32,
    seed: u32,
}

/// Reads what the journal of `fs` holds. What is wrong goes to `problems`.
pub(super) fn read(fs: &Fs, budget: &Budget, problems: &mut Vec<Problem>) -> Replay {
    let inode = fs.image.get(1024..2048).and_then(|sb| le32(sb, 0xe0)).unwrap_or(0);
    let opened = (inode != 0).then(|| Journal::open(fs, inode, budget, problems)).flatten();
    let Some((journal, at, number)) = opened else {
        let text = "the journal holds changes but is not in the image or not readable; files are shown without them";
        problems.push(Problem::new(ProblemKind::Unsupported, text));
        return Replay::default();
    };
    let mut replay = Replay { magic: journal.place(0).unwrap_or(0), ..Replay::default() };
    let next = journal.replay(at, number, &mut replay, budget, problems);
    if journal.incompat & FAST_COMMIT != 0 && journal.fast_commits_follow(next) {
        let text =
            "the journal ends with fast commits, which are not read; files are shown without them";
        problems.push(
            Problem::new(ProblemKind::Unsupported, text)
                .at(journal.place(journal.end).unwrap_or(0)),
        );
    }
    replay
}

impl<'a> Journal<'a> {
    /// The journal with the block and number at which it begins.
    fn open(
        fs: &'a Fs,
        inode: u32,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> Option<(Self, u64, u32)> {
        let mut runs = fs.inode(inode)?.runs(fs, budget, problems);
        runs.retain(|r| r.len > 0);
        let mut this = Self { fs, runs, first: 0, end: 1, incompat: 0, compat: 0, seed: 0 };
        let sb = this.block(0)?;
        if be32(sb, 0)? != MAGIC
            || !matches!(be32(sb, 4)?, 3 | 4)
            || u64::from(be32(sb, 12)?) != fs.block_size
        {
            return None;
        }
        if be32(sb, 4)? == 4 {
            (this.compat, this.incompat) = (be32(sb, 36)?, be32(sb, 40)?);
        }
        this.seed = crc32c(!0, read::slice(sb, 48, 16)?);
        this.first = be32(sb, 20)?.into();
        this.end = be32(sb, 16)?.into();
        if this.incompat & FAST_COMMIT != 0 {
            let fast = match be32(sb, 84)? {
                0 => 256,
                n => n,
            };
            this.end = this.end.checked_sub(fast.into())?;
        }
        let at = u64::from(be32(sb, 28)?);
        let sound = this.first > 0
            && this.first < this.end
            && (at == 0 || (this.first..this.end).contains(&at));
        let number = be32(sb, 24)?;
        sound.then_some((this, at, number))
    }

    /// Where a block of the journal is in the image.
    fn place(&self, number: u64) -> Option<u64> {
        let at = number.checked_mul(self.fs.block_size)?;
        let index = self.runs.partition_point(|r| r.file <= at).checked_sub(1)?;
        let run = self.runs.get(index)?;
        let inside = at.checked_sub(run.file)?;
        (inside < run.len).then(|| run.image.checked_add(inside))?
    }

    fn block(&self, number: u64) -> Option<&'a [u8]> {
        let at = read::index(self.place(number)?)?;
        read::slice(&self.fs.image, at, read::index(self.fs.block_size)?)
    }

    /// The block after `at`: the journal is a ring.
    fn after(&self, at: u64) -> u64 {
        let next = at.saturating_add(1);
        if next >= self.end { self.first } else { next }
    }

    /// Follows the transactions from the one `number` at block `at`; the number after the last.
    fn replay(
        &self,
        mut at: u64,
        mut number: u32,
        replay: &mut Replay,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> u32 {
        let mut done: Vec<(u32, Vec<Change>)> = Vec::new();
        // Latest transaction that took a block back: what earlier ones wrote there does not count.
        let mut revoked: HashMap<u64, u32> = HashMap::new();
        let mut open: (Vec<Change>, Vec<u64>) = Default::default();
        let mut sum = !0;
        // Every block is looked at once.
        let mut left = self.end.saturating_sub(self.first);
        while at != 0 && left > 0 {
            left = left.saturating_sub(1);
            if let Err(e) = budget.work(self.fs.block_size) {
                problems.push(e.into());
                break;
            }
            let Some(b) = self.block(at) else { break };
            if be32(b, 0) != Some(MAGIC) || be32(b, 8) != Some(number) {
                break;
            }
            let here = self.place(at).unwrap_or(0);
            match be32(b, 4) {
                Some(DESCRIPTOR) if self.tail_is_right(b) => {
                    sum = self.sum_v1(sum, b);
                    let (tags, whole) = self.tags(b);
                    for (block, flags, stored) in tags {
                        at = self.after(at);
                        left = left.saturating_sub(1);
                        let (Some(data), Some(image)) = (self.block(at), self.place(at)) else {
                            break;
                        };
                        sum = self.sum_v1(sum, data);
                        let escaped = flags & ESCAPED != 0;
                        if !self.data_is_right(number, data, stored) {
                            let text = format!(
                                "the sum of a block in transaction {number} does not match"
                            );
                            problems.push(Problem::new(ProblemKind::Checksum, text).at(image));
                        } else if flags & DELETED == 0 {
                            open.0.push(Change { block, image, escaped });
                        }
                    }
                    if !whole {
                        problems.push(
                            malformed(format!(
                                "a descriptor of transaction {number} is not readable"
                            ))
                            .at(here),
                        );
                        break;
                    }
                }
                Some(REVOKE) if self.tail_is_right(b) => open.1.extend(self.revocations(b)),
                Some(COMMIT) => {
                    if !self.commit_is_right(b, sum) {
                        let text = format!(
                            "the sum of the commit of transaction {number} does not match; it and later ones do not count"
                        );
                        problems.push(Problem::new(ProblemKind::Checksum, text).at(here));
                        break;
                    }
                    let (changes, taken) = std::mem::take(&mut open);
                    revoked.extend(taken.into_iter().map(|block| (block, number)));
                    done.push((number, changes));
                    number = number.wrapping_add(1);
                    sum = !0;
                }
                _ => {
                    let text = format!(
                        "a block of transaction {number} is not readable or its sum does not match"
                    );
                    problems.push(Problem::new(ProblemKind::Checksum, text).at(here));
                    break;
                }
            }
            at = self.after(at);
        }
        replay.transactions = done.len() as u64;
        for (number, changes) in done {
            for change in changes {
                // Numbers wrap; "not before" is a difference that is not negative.
                let back =
                    revoked.get(&change.block).is_some_and(|r| r.wrapping_sub(number) as i32 >= 0);
                if back {
                    continue;
                }
                replay.blocks.insert(change.block, (change.image, change.escaped));
            }
        }
        number
    }

    /// Block, flags and sum of each tag in a descriptor, and whether the list has its end.
    fn tags(&self, b: &[u8]) -> (Vec<(u64, u32, u32)>, bool) {
        let wide = self.incompat & BITS64 != 0;
        let v3 = self.incompat & SUM_V3 != 0;
        let size = match (v3, self.incompat & SUM_V2 != 0, wide) {
            (true, ..) => 16,
            (_, v2, wide) => 8_usize
                .saturating_add(if v2 { 2 } else { 0 })
                .saturating_add(if wide { 4 } else { 0 }),
        };
        let mut tags = Vec::new();
        let mut at = 12_usize;
        let mut one = || {
            let tag = read::slice(b, at, size)?;
            let (flags, stored) = match v3 {
                true => (be32(tag, 4)?, be32(tag, 12)?),
                false => (be16(tag, 6)?.into(), be16(tag, 4)?.into()),
            };
            let high = if wide { u64::from(be32(tag, 8)?) } else { 0 };
            tags.push((high << 32 | u64::from(be32(tag, 0)?), flags, stored));
            let uuid = if flags & SAME_UUID == 0 { 16 } else { 0 };
            at = at.checked_add(size)?.checked_add(uuid)?;
            Some(flags & LAST != 0)
        };
        let whole = loop {
            match one() {
                Some(true) => break true,
                Some(false) => {}
                None => break false,
            }
        };
        (tags, whole)
    }

    fn revocations(&self, b: &[u8]) -> Vec<u64> {
        let bytes = b.get(16..be32(b, 12).unwrap_or(0) as usize).unwrap_or_default();
        if self.incompat & BITS64 != 0 {
            bytes.chunks_exact(8).filter_map(|c| read::be64(c, 0)).collect()
        } else {
            bytes.chunks_exact(4).filter_map(|c| be32(c, 0)).map(u64::from).collect()
        }
    }

    fn has_sums(&self) -> bool {
        self.incompat & (SUM_V2 | SUM_V3) != 0
    }

    /// The sum at the end of descriptors and revocations.
    fn tail_is_right(&self, b: &[u8]) -> bool {
        let Some((body, tail)) = b.split_last_chunk::<4>() else { return false };
        !self.has_sums() || crc32c(crc32c(self.seed, body), &[0; 4]) == u32::from_be_bytes(*tail)
    }

    fn data_is_right(&self, number: u32, data: &[u8], stored: u32) -> bool {
        if !self.has_sums() {
            return true;
        }
        let sum = crc32c(crc32c(self.seed, &number.to_be_bytes()), data);
        if self.incompat & SUM_V3 != 0 { sum == stored } else { sum & 0xffff == stored }
    }

    fn commit_is_right(&self, b: &[u8], sum: u32) -> bool {
        if self.has_sums() {
            let (Some(before), Some(stored), Some(after)) = (b.get(..16), be32(b, 16), b.get(20..))
            else {
                return false;
            };
            return crc32c(crc32c(crc32c(self.seed, before), &[0; 4]), after) == stored;
        }
        // Version 1: a sum over all blocks of the transaction, where the commit says that it has one.
        let v1 =
            self.compat & SUM_V1 != 0 && read::u8(b, 12) == Some(1) && read::u8(b, 13) == Some(4);
        !v1 || be32(b, 16) == Some(sum)
    }

    fn sum_v1(&self, sum: u32, b: &[u8]) -> u32 {
        if self.compat & SUM_V1 != 0 && !self.has_sums() { crc32_forward(sum, b) } else { sum }
    }

    /// Whether the area behind the ring begins with a fast commit on top of transaction `next`.
    fn fast_commits_follow(&self, next: u32) -> bool {
        let Some(b) = self.block(self.end) else { return false };
        le16(b, 0) == Some(9) && le32(b, 8) == Some(next)
    }
}

/// CRC-32 of Ethernet with the highest bit first, going on from `crc`.
fn crc32_forward(mut crc: u32, data: &[u8]) -> u32 {
    for byte in data {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
        }
    }
    crc
}

/// Whether the image was left with changes in its journal.
pub(super) fn is_needed(fs: &Fs) -> bool {
    fs.incompat & feature::RECOVER != 0
}
