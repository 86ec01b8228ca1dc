//! UFS1 and UFS2 (FreeBSD, NetBSD, Junos), either byte order.
//!
//! *Establishes*: every name from the root folder on; contents are runs of
//! fragments. *How*: superblock at byte 8192 or 65536, inodes by cylinder group,
//! direct and indirect blocks. *False positives*: sizes of the superblock must
//! agree and inode 2 be a folder. *Limits*: extended attributes and snapshots are
//! not read. *Sources*: FreeBSD `sys/ufs/ffs/fs.h`, `sys/ufs/ufs/dinode.h`.

use std::collections::HashSet;

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::common::{self, Links, MAX_DEPTH, Run, ftype, push_run};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read::{self, Order},
};

/// UFS.
pub struct Ufs;

static ABOUT: About = About {
    id: "ufs",
    name: "UFS1/UFS2",
    family: Family::FileSystem,
    revision: 1,
    metadata: "mode, owner, mtime, device numbers, hard links",
    integrity: "superblock sizes, root folder, used inodes against inodes found",
    limits: "extended attributes not read",
    sources: &["https://github.com/freebsd/freebsd-src/blob/main/sys/ufs/ffs/fs.h"],
};

/// Where the magic is in a superblock.
const MAGIC_AT: usize = 1372;
const UFS1: u32 = 0x0001_1954;
const UFS2: u32 = 0x1954_0119;
const ROOT: u32 = 2;

impl Format for Ufs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[
            Magic::anywhere(&[0x54, 0x19, 0x01, 0x00]).after(8192 + MAGIC_AT),
            Magic::anywhere(&[0x00, 0x01, 0x19, 0x54]).after(8192 + MAGIC_AT),
            Magic::anywhere(&[0x19, 0x01, 0x54, 0x19]).after(65536 + MAGIC_AT),
            Magic::anywhere(&[0x19, 0x54, 0x01, 0x19]).after(65536 + MAGIC_AT),
        ];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(1024).ok()?;
        let fs = Fs::parse(data.slice(at.min(data.len())..))?;
        if fs.inode(ROOT)?.mode >> 12 != ftype::DIR {
            return None;
        }
        let declared = read::index(fs.fragments.checked_mul(fs.fragment)?)?;
        let length = declared.min(fs.image.len());
        let mut candidate = Candidate::new(at, length, Proof::DecoderEnded);
        if length < declared {
            let text = format!("the superblock declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(fs) = Fs::parse(region.clone()) else { return };
        sink.attribute("version", if fs.second { "2" } else { "1" });
        sink.attribute("block-size", fs.block);
        sink.attribute("byte-order", if fs.order == Order::Big { "big" } else { "little" });
        let mut links = Links::default();
        let mut seen = HashSet::from([ROOT]);
        let mut queue = vec![(Vec::new(), ROOT, 0)];
        while let Some((path, number, depth)) = queue.pop() {
            let Some(folder) = fs.inode(number) else { continue };
            let mut problems = Vec::new();
            let names = fs.names(&folder, budget, &mut problems);
            for problem in problems {
                let message = format!("folder `{}`: {}", escape(&path), problem.message);
                sink.problem(Problem { message, ..problem });
            }
            let mut below = Vec::new();
            for (number, name) in names {
                let path = common::join(&path, &name);
                let Some(inode) = fs.inode(number).filter(|i| i.mode != 0) else {
                    sink.problem(common::malformed(format!(
                        "the inode of `{}` is not readable",
                        escape(&path)
                    )));
                    continue;
                };
                let mut entry = fs.make(&inode, path, budget);
                entry.problems.extend(common::check_name(&name));
                if entry.kind == EntryKind::Directory {
                    if depth >= MAX_DEPTH || !seen.insert(number) {
                        entry
                            .problems
                            .push(common::malformed("the folder contains itself or is too deep"));
                    } else {
                        below.push((entry.path.clone(), number, depth.saturating_add(1)));
                    }
                } else if let Some(link) = links.first(number.into(), &entry.path) {
                    (entry.kind, entry.blob) = (link, Blob::None);
                }
                if sink.entry(entry).is_err() {
                    return;
                }
            }
            queue.extend(below.into_iter().rev());
        }
        let found = links.len().saturating_add(seen.len() as u64);
        common::incomplete(sink, "inodes", found, fs.used);
    }
}

struct Fs {
    image: Bytes,
    order: Order,
    second: bool,
    block: u64,
    fragment: u64,
    fragments: u64,
    inode_block: u64,
    inodes_per_group: u32,
    fragments_per_group: u64,
    groups: u32,
    /// Inodes in use, as the summary counts them; 0 where it contradicts itself.
    used: u64,
    /// Shift of a group's own blocks in version 1.
    offset: u64,
    mask: u64,
}

struct Inode {
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    /// Twelve direct and three indirect places.
    places: Vec<u64>,
    /// The places as they stand, in which a short link is.
    raw: Vec<u8>,
    /// Blocks in use; none for a short link.
    used: u64,
}

impl Fs {
    fn parse(image: Bytes) -> Option<Self> {
        [65536usize, 8192].into_iter().find_map(|at| {
            [Order::Little, Order::Big].into_iter().find_map(|order| Self::at(&image, at, order))
        })
    }

    fn at(image: &Bytes, at: usize, order: Order) -> Option<Self> {
        let b = read::slice(image, at, MAGIC_AT + 4)?;
        let d = |at| order.u32(b, at);
        let second = match d(MAGIC_AT)? {
            UFS1 if at == 8192 => false,
            UFS2 => true,
            _ => return None,
        };
        let mut this = Self {
            image: image.clone(),
            order,
            second,
            block: d(48)?.into(),
            fragment: d(52)?.into(),
            fragments: if second { order.u64(b, 1080)? } else { d(36)?.into() },
            inode_block: d(16)?.into(),
            inodes_per_group: d(184)?,
            fragments_per_group: d(188)?.into(),
            groups: d(44)?,
            used: 0,
            offset: if second { 0 } else { d(24)?.into() },
            mask: if second { 0 } else { (!d(28)?).into() },
        };
        let inodes = u64::from(this.inodes_per_group).checked_mul(this.groups.into())?;
        // The summary says how many are free; the first two are never files.
        let free = if second { order.u64(b, 1024)? } else { d(200)?.into() };
        this.used = inodes.checked_sub(free).and_then(|n| n.checked_sub(2)).unwrap_or(0);
        let agrees = matches!(this.block, 4096 | 8192 | 16384 | 32768 | 65536)
            && matches!(this.fragment, 512..=65536)
            && this.fragment.is_power_of_two()
            && this.block.checked_rem(this.fragment) == Some(0)
            && this.block.checked_div(this.fragment)? <= 8
            && d(56)? == this.block.checked_div(this.fragment)? as u32
            && this.groups > 0
            && this.fragments_per_group > 0
            && this.inodes_per_group > 0
            && this.fragments <= this.fragments_per_group.checked_mul(this.groups.into())?
            && inodes < 1 << 32;
        agrees.then_some(this)
    }

    fn inode_len(&self) -> u64 {
        if self.second { 256 } else { 128 }
    }

    fn inode(&self, number: u32) -> Option<Inode> {
        let group = number.checked_div(self.inodes_per_group).filter(|g| *g < self.groups)?;
        let shift = self.offset.checked_mul(u64::from(group) & self.mask)?;
        let start = u64::from(group).checked_mul(self.fragments_per_group)?.checked_add(shift)?;
        let table = start.checked_add(self.inode_block)?.checked_mul(self.fragment)?;
        let index = u64::from(number.checked_rem(self.inodes_per_group)?);
        let at = table.checked_add(index.checked_mul(self.inode_len())?)?;
        let b = read::slice(&self.image, read::index(at)?, read::index(self.inode_len())?)?;
        let order = self.order;
        let d = |at| order.u32(b, at);
        let (raw, width) = if self.second { (b.get(112..232)?, 8) } else { (b.get(40..100)?, 4) };
        let place =
            |c: &[u8]| if width == 8 { order.u64(c, 0) } else { order.u32(c, 0).map(u64::from) };
        let second = self.second;
        Some(Inode {
            mode: order.u16(b, 0)?.into(),
            uid: d(if second { 4 } else { 112 })?,
            gid: d(if second { 8 } else { 116 })?,
            size: order.u64(b, if second { 16 } else { 8 })?,
            mtime: if second { order.u64(b, 40)? as i64 } else { (d(24)? as i32).into() },
            places: raw.chunks_exact(width).filter_map(place).collect(),
            raw: raw.to_vec(),
            used: if second { order.u64(b, 24)? } else { d(104)?.into() },
        })
    }

    fn make(&self, inode: &Inode, path: Vec<u8>, budget: &Budget) -> Entry {
        let mut problems = Vec::new();
        let (mut blob, mut target) = (Blob::None, Vec::new());
        match inode.mode >> 12 {
            ftype::FILE => {
                blob = common::content(
                    &self.image,
                    inode.size,
                    self.runs(inode, budget, &mut problems),
                )
            }
            ftype::LINK => {
                let len = read::index(inode.size).unwrap_or(usize::MAX);
                target = match inode.raw.get(..len) {
                    Some(short) if inode.used == 0 => short.to_vec(),
                    _ => {
                        let runs = self.runs(inode, budget, &mut problems);
                        let loaded = common::content(&self.image, inode.size.min(self.block), runs)
                            .load(budget);
                        problems.extend(loaded.problems);
                        loaded.bytes.to_vec()
                    }
                };
            }
            _ => {}
        }
        // Major in the second byte, minor in the others.
        let device = inode.places.first().copied().unwrap_or(0) as u32;
        let device = ((device >> 8) & 0xff, device & 0xffff_00ff);
        let kind = common::kind(inode.mode, device, &target).unwrap_or_else(|| {
            problems.push(common::malformed(format!("unknown file type in mode {:o}", inode.mode)));
            EntryKind::File
        });
        let metadata = Metadata {
            mode: Some(inode.mode & 0o7777),
            uid: Some(inode.uid),
            gid: Some(inode.gid),
            mtime: Some(inode.mtime),
            xattrs: Vec::new(),
        };
        Entry { path, kind, metadata, blob, problems }
    }

    fn runs(&self, inode: &Inode, budget: &Budget, problems: &mut Vec<Problem>) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut at = 0;
        for (i, place) in inode.places.iter().enumerate() {
            let level = (i as u32).saturating_sub(11);
            problems
                .extend(self.follow(*place, level, &mut at, inode.size, &mut runs, budget).err());
        }
        runs
    }

    /// Follows a place: content at level 0, places of the level below above.
    fn follow(
        &self,
        place: u64,
        level: u32,
        at: &mut u64,
        size: u64,
        runs: &mut Vec<Run>,
        budget: &Budget,
    ) -> Result<(), Problem> {
        if *at >= size {
            return Ok(());
        }
        let width = if self.second { 8u64 } else { 4 };
        let per_block = self.block.checked_div(width).unwrap_or(1);
        let end = at.saturating_add(per_block.saturating_pow(level).saturating_mul(self.block));
        let image = place.saturating_mul(self.fragment);
        let mut wrong = Ok(());
        if place != 0 && level == 0 {
            // The last block may be some of its fragments only.
            let len = self.block.min(size.saturating_sub(*at));
            push_run(runs, Run { file: *at, image, len });
        } else if place != 0 {
            budget.work(self.block)?;
            let len = read::index(self.block).unwrap_or(0);
            let Some(list) = read::index(image).and_then(|i| read::slice(&self.image, i, len))
            else {
                *at = end;
                let text = "a block of block numbers lies behind the end of the image";
                return Err(Problem::new(ProblemKind::Truncated, text));
            };
            for c in list.chunks_exact(width as usize) {
                let next = if self.second {
                    self.order.u64(c, 0)
                } else {
                    self.order.u32(c, 0).map(u64::from)
                };
                let below = level.saturating_sub(1);
                wrong = wrong.and(self.follow(next.unwrap_or(0), below, at, size, runs, budget));
                if *at >= size {
                    break;
                }
            }
        }
        *at = end;
        wrong
    }

    fn names(
        &self,
        folder: &Inode,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> Vec<(u32, Vec<u8>)> {
        let mut names = Vec::new();
        if folder.mode >> 12 != ftype::DIR {
            return names;
        }
        for run in self.runs(folder, budget, problems) {
            let bytes = read::index(run.image)
                .and_then(|at| read::slice(&self.image, at, read::index(run.len)?));
            let Some(bytes) = bytes.filter(|b| budget.work(b.len() as u64).is_ok()) else {
                problems.push(Problem::new(ProblemKind::Truncated, "its list is not there"));
                continue;
            };
            let mut at = 0usize;
            while at < bytes.len() {
                let mut one = || {
                    let e = bytes.get(at..)?;
                    let (number, len) = (self.order.u32(e, 0)?, usize::from(self.order.u16(e, 4)?));
                    let name = read::slice(e, 8, read::u8(e, 7)?.into())?;
                    if number != 0 && name != b"." && name != b".." {
                        names.push((number, name.to_vec()));
                    }
                    at.checked_add(len).filter(|_| len >= 8)
                };
                match one() {
                    Some(next) => at = next,
                    None => {
                        problems.push(common::malformed("an entry of its list is not readable"));
                        break;
                    }
                }
            }
        }
        names
    }
}
