//! The file system of minix, versions 1 to 3, either byte order.
//!
//! *Establishes*: every entry; contents are runs of blocks.
//! *How*: superblock at byte 1024 with the number of inodes, zones and bitmap
//! blocks; inode 1 is the root folder. *False positives*: the magic is two bytes
//! long, so the counts must agree and the root must be a folder.
//! *Sources*: kernel `include/uapi/linux/minix_fs.h`.

use std::collections::HashSet;

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::common::{self, Links, MAX_DEPTH, Run, ftype, push_run};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read::{self, Order},
};

/// minix.
pub struct Minix;

static ABOUT: About = About {
    id: "minix",
    name: "Minix file system",
    family: Family::FileSystem,
    revision: 1,
    metadata: "mode, owner, mtime, device numbers, hard links",
    integrity: "superblock counts, root folder, used inodes against inodes found",
    limits: "no checksums in the format",
    sources: &["https://github.com/torvalds/linux/blob/master/include/uapi/linux/minix_fs.h"],
};

/// Version 1 and 2: magic and the state "clean" or "with errors" behind it; version 3: magic, padding, block size.
macro_rules! magics {
    ($($a:literal $b:literal)*) => {
        &[
            $(
                Magic::anywhere(&[$a, $b, 1, 0]).after(1040),
                Magic::anywhere(&[$a, $b, 0, 0]).after(1040),
                Magic::anywhere(&[$b, $a, 0, 1]).after(1040),
                Magic::anywhere(&[$b, $a, 0, 0]).after(1040),
            )*
            Magic::anywhere(&[0x5a, 0x4d, 0, 0, 0, 4]).after(1048),
            Magic::anywhere(&[0x5a, 0x4d, 0, 0, 0, 8]).after(1048),
            Magic::anywhere(&[0x5a, 0x4d, 0, 0, 0, 16]).after(1048),
            Magic::anywhere(&[0x4d, 0x5a, 0, 0, 4, 0]).after(1048),
            Magic::anywhere(&[0x4d, 0x5a, 0, 0, 8, 0]).after(1048),
            Magic::anywhere(&[0x4d, 0x5a, 0, 0, 16, 0]).after(1048),
        ]
    };
}

impl Format for Minix {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = magics!(0x7f 0x13 0x8f 0x13 0x68 0x24 0x78 0x24);
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(64).ok()?;
        let fs = Fs::parse(data.slice(at.min(data.len())..))?;
        let declared = read::index(fs.zones.checked_mul(fs.block_size)?)?;
        let root = fs.inode(1)?;
        if root.mode >> 12 != ftype::DIR {
            return None;
        }
        let length = declared.min(fs.image.len());
        let mut candidate = Candidate::new(at, length, Proof::LengthsConsistent);
        if length < declared {
            let text = format!("the superblock declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        // A root folder that lists itself first.
        let names = fs.names(&root, budget, &mut Vec::new());
        if names.first().is_some_and(|(number, name)| *number == 1 && name == b".") {
            candidate.proof = Proof::DecoderEnded;
        } else if length < declared {
            return None;
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(fs) = Fs::parse(region.clone()) else { return };
        sink.attribute("version", fs.version);
        sink.attribute("block-size", fs.block_size);
        sink.attribute("byte-order", if fs.order == Order::Big { "big" } else { "little" });
        let mut links = Links::default();
        let mut seen = HashSet::from([1]);
        let mut queue = vec![(Vec::new(), 1, 0)];
        'walk: while let Some((path, number, depth)) = queue.pop() {
            let Some(folder) = fs.inode(number) else { continue };
            let mut problems = Vec::new();
            let names = fs.names(&folder, budget, &mut problems);
            problems.into_iter().for_each(|p| sink.problem(p));
            let mut below = Vec::new();
            for (number, name) in names {
                if name == b"." || name == b".." {
                    continue;
                }
                let path = common::join(&path, &name);
                let Some(inode) = fs.inode(number).filter(|i| i.mode != 0) else {
                    sink.problem(common::malformed(format!(
                        "the inode of `{}` is not readable",
                        escape(&path)
                    )));
                    continue;
                };
                let mut problems = Vec::from_iter(common::check_name(&name));
                let (mut blob, mut target) = (Blob::None, Vec::new());
                if matches!(inode.mode >> 12, ftype::FILE | ftype::LINK) {
                    blob = common::content(
                        &fs.image,
                        inode.size,
                        fs.runs(&inode, budget, &mut problems),
                    );
                }
                if inode.mode >> 12 == ftype::LINK {
                    if inode.size <= 4096 {
                        target = blob.load(budget).bytes.to_vec();
                    }
                    blob = Blob::None;
                }
                let device = common::device(inode.zones.first().copied().unwrap_or(0) & 0xffff);
                let kind = common::kind(inode.mode, device, &target).unwrap_or(EntryKind::File);
                let metadata = Metadata {
                    mode: Some(inode.mode & 0o7777),
                    uid: Some(inode.uid),
                    gid: Some(inode.gid),
                    mtime: Some(inode.mtime.into()),
                    xattrs: Vec::new(),
                };
                let mut entry = Entry { path, kind, metadata, blob, problems };
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
                    break 'walk;
                }
            }
            queue.extend(below.into_iter().rev());
        }
        let found = links.len().saturating_add(seen.len() as u64);
        common::incomplete(sink, "inodes", found, fs.used_inodes());
    }
}

struct Fs {
    image: Bytes,
    order: Order,
    version: u8,
    block_size: u64,
    inodes: u32,
    zones: u64,
    map_blocks: (u64, u64),
    name_len: usize,
}

struct Inode {
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u32,
    zones: Vec<u32>,
}

impl Fs {
    fn parse(image: Bytes) -> Option<Self> {
        let b = image.get(1024..1056)?;
        let found = [Order::Little, Order::Big].into_iter().find_map(|order| {
            match (order.u16(b, 16)?, order.u16(b, 24)?) {
                (0x137f, _) => Some((order, 1, 14)),
                (0x138f, _) => Some((order, 1, 30)),
                (0x2468, _) => Some((order, 2, 14)),
                (0x2478, _) => Some((order, 2, 30)),
                (_, 0x4d5a) => Some((order, 3, 60)),
                _ => None,
            }
        });
        let (order, version, name_len) = found?;
        let w = |at| order.u16(b, at);
        let d = |at| order.u32(b, at);
        let (inodes, imap, zmap, first, log, zones, block_size) = if version == 3 {
            (d(0)?, w(6)?, w(8)?, w(10)?, w(12)?, d(20)?, w(28)?)
        } else {
            let zones = if version == 1 { w(2)?.into() } else { d(20)? };
            (w(0)?.into(), w(4)?, w(6)?, w(8)?, w(10)?, zones, 1024)
        };
        let (block_size, bits) = (u64::from(block_size), u64::from(block_size).checked_mul(8)?);
        let this = Self {
            image: image.clone(),
            order,
            version,
            block_size,
            inodes,
            zones: zones.into(),
            map_blocks: (imap.into(), zmap.into()),
            name_len,
        };
        let table = this.table_block().checked_add(
            u64::from(inodes).checked_mul(this.inode_len())?.div_ceil(block_size.max(1)),
        )?;
        let agrees = log == 0
            && matches!(block_size, 1024 | 2048 | 4096)
            && inodes > 0
            && u64::from(imap).checked_mul(bits)? > inodes.into()
            && u64::from(zmap).checked_mul(bits)?.checked_add(bits)? >= zones.into()
            && table <= first.into()
            && u64::from(first) < zones.into();
        agrees.then_some(this)
    }

    fn inode_len(&self) -> u64 {
        if self.version == 1 { 32 } else { 64 }
    }

    fn table_block(&self) -> u64 {
        self.map_blocks.0.saturating_add(self.map_blocks.1).saturating_add(2)
    }

    fn block(&self, number: u64) -> Option<&[u8]> {
        let at = read::index(number.checked_mul(self.block_size)?)?;
        read::slice(&self.image, at, read::index(self.block_size)?)
    }

    /// Bits set in the map of inodes, without the one that stands for no inode.
    fn used_inodes(&self) -> u64 {
        let bits = u64::from(self.inodes).saturating_add(1);
        let mut used = 0u64;
        for i in 1..bits.div_ceil(8).saturating_mul(8) {
            let at = self.block_size.saturating_mul(2).saturating_add(i / 8);
            let byte = read::index(at).and_then(|at| read::u8(&self.image, at)).unwrap_or(0);
            // The map is an array of 16-bit words in versions before 3, which in big order turns bytes around.
            if i < bits && byte & (1 << (i % 8)) != 0 {
                used = used.saturating_add(1);
            }
        }
        if self.order == Order::Big { 0 } else { used }
    }

    fn inode(&self, number: u32) -> Option<Inode> {
        let index = u64::from(number.checked_sub(1)?);
        if number > self.inodes {
            return None;
        }
        let at = self
            .table_block()
            .checked_mul(self.block_size)?
            .checked_add(index.checked_mul(self.inode_len())?)?;
        let b = read::slice(&self.image, read::index(at)?, read::index(self.inode_len())?)?;
        let w = |at| self.order.u16(b, at);
        let d = |at| self.order.u32(b, at);
        let mode = u32::from(w(0)?);
        Some(if self.version == 1 {
            Inode {
                mode,
                uid: w(2)?.into(),
                gid: read::u8(b, 12)?.into(),
                size: d(4)?.into(),
                mtime: d(8)?,
                zones: b
                    .get(14..32)?
                    .chunks_exact(2)
                    .filter_map(|c| self.order.u16(c, 0).map(u32::from))
                    .collect(),
            }
        } else {
            Inode {
                mode,
                uid: w(4)?.into(),
                gid: w(6)?.into(),
                size: d(8)?.into(),
                mtime: d(16)?,
                zones: b
                    .get(24..64)?
                    .chunks_exact(4)
                    .filter_map(|c| self.order.u32(c, 0))
                    .collect(),
            }
        })
    }

    fn runs(&self, inode: &Inode, budget: &Budget, problems: &mut Vec<Problem>) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut at = 0;
        for (i, zone) in inode.zones.iter().enumerate() {
            let level = (i as u32).saturating_sub(6);
            if let Err(p) = self.zone(*zone, level, &mut at, inode.size, &mut runs, budget) {
                problems.push(p);
            }
        }
        runs
    }

    /// Follows a zone number: content at level 0, numbers of zones above.
    fn zone(
        &self,
        zone: u32,
        level: u32,
        at: &mut u64,
        size: u64,
        runs: &mut Vec<Run>,
        budget: &Budget,
    ) -> Result<(), Problem> {
        if *at >= size {
            return Ok(());
        }
        let width = if self.version == 1 { 2u64 } else { 4 };
        let per_block = self.block_size.checked_div(width).unwrap_or(0);
        let span = per_block.saturating_pow(level).saturating_mul(self.block_size);
        let end = at.saturating_add(span);
        if zone != 0 && level == 0 {
            let image = u64::from(zone).saturating_mul(self.block_size);
            push_run(runs, Run { file: *at, image, len: self.block_size });
        } else if zone != 0 {
            budget.work(self.block_size)?;
            let Some(block) = self.block(zone.into()) else {
                *at = end;
                let text = "a block of zone numbers lies behind the end of the image";
                return Err(Problem::new(ProblemKind::Truncated, text));
            };
            let mut wrong = Ok(());
            for c in block.chunks_exact(width as usize) {
                let next = match width {
                    2 => self.order.u16(c, 0).map(u32::from),
                    _ => self.order.u32(c, 0),
                };
                let below = level.saturating_sub(1);
                wrong = wrong.and(self.zone(next.unwrap_or(0), below, at, size, runs, budget));
            }
            *at = end;
            return wrong;
        }
        *at = end;
        Ok(())
    }

    fn names(
        &self,
        folder: &Inode,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> Vec<(u32, Vec<u8>)> {
        let mut names = Vec::new();
        let width = if self.version == 3 { 4 } else { 2 };
        for run in self.runs(folder, budget, problems) {
            let len = run.len.min(folder.size.saturating_sub(run.file));
            let bytes = read::index(run.image)
                .and_then(|at| read::slice(&self.image, at, read::index(len)?));
            let Some(bytes) = bytes.filter(|_| budget.work(len).is_ok()) else {
                problems.push(Problem::new(
                    ProblemKind::Truncated,
                    "the list of a folder is not there",
                ));
                continue;
            };
            for entry in bytes.chunks_exact(self.name_len.saturating_add(width)) {
                let number = match width {
                    2 => self.order.u16(entry, 0).map(u32::from),
                    _ => self.order.u32(entry, 0),
                };
                let name = read::until_nul(entry.get(width..).unwrap_or_default());
                if let Some(number) = number.filter(|n| *n != 0) {
                    names.push((number, name.to_vec()));
                }
            }
        }
        names
    }
}
