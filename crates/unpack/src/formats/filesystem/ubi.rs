//! UBI: volumes on flash, as a dump of its physical erase blocks.
//!
//! *Establishes*: each volume as an entry; its bytes are put together on demand.
//! *How*: erase counter headers give the size of an erase block and where its data
//! are; of several copies of a logical block the one with the highest sequence
//! number wins, unless it is a copy whose checksum is wrong. Blocks without header
//! (bad or erased) are passed over; another image sequence is another image.
//! *False positives*: none; headers have a CRC-32.
//! *Limits*: fastmap is not needed and not read; spare bytes must be stripped
//! before (format `nand`). *Sources*: kernel `drivers/mtd/ubi/ubi-media.h`.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, Proof};

use super::common::{self, crc32_raw};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Load, Loaded, Magic, Sink},
    read::{self, be16, be32, be64},
};

/// UBI.
pub struct Ubi;

static ABOUT: About = About {
    id: "ubi",
    name: "UBI volumes",
    family: Family::Partition,
    revision: 1,
    metadata: "volume names, types, flags",
    integrity: "crc32 of all headers, of the volume table and of static volumes",
    limits: "fastmap not read",
    sources: &["http://www.linux-mtd.infradead.org/doc/ubidesign/ubidesign.pdf"],
};

/// Volume that holds the table of volumes.
const LAYOUT: u32 = 0x7fff_efff;
/// Blocks that are neither UBI nor erased which may lie between its blocks: bad ones left in a dump.
const MAX_FOREIGN: usize = 32;

impl Format for Ubi {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(b"UBI#")];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let first = Counter::parse(data, at)?;
        // Not the first block where one of the same image stands in front of it.
        for size in sizes() {
            for back in 1..=MAX_FOREIGN {
                let before = size.checked_mul(back).and_then(|d| at.checked_sub(d));
                let Some(before) = before.and_then(|b| Counter::parse(data, b)) else { continue };
                if before.sequence == first.sequence && before.data == first.data {
                    return None;
                }
            }
        }
        let size = block_size(data, at, budget)?;
        let (mut end, mut foreign, mut block) = (at, 0usize, at);
        // Volume headers that stand where the block says; between spare bytes they do not.
        let (mut placed, mut misplaced) = (0usize, 0usize);
        while let Some(bytes) = data.get(block..) {
            budget.work(64).ok()?;
            let bytes = bytes.get(..size).unwrap_or(bytes);
            let next = block.checked_add(size)?;
            match Counter::parse(data, block) {
                Some(c) if c.sequence == first.sequence => {
                    (end, foreign) = (next, 0);
                    let header = bytes.get(c.header..).unwrap_or_default();
                    if is_volume_header(header, 0) {
                        placed = placed.saturating_add(1);
                    } else if header.iter().take(64).any(|b| *b != 0xff) {
                        misplaced = misplaced.saturating_add(1);
                    }
                }
                Some(_) => break,
                None if bytes.first().is_none_or(|b| bytes.iter().take(64).all(|c| c == b)) => {}
                None => foreign = foreign.saturating_add(1),
            }
            if foreign > MAX_FOREIGN || bytes.len() < size {
                break;
            }
            block = next;
        }
        if placed == 0 && misplaced > 0 {
            return None;
        }
        let mut candidate =
            Candidate::new(at, end.min(data.len()).checked_sub(at)?, Proof::ChecksumVerified);
        if end > data.len() {
            let text = "the last erase block is cut off";
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(size) = block_size(region, 0, budget) else { return };
        sink.attribute("block-size", size);
        let image = Image::read(region, size, sink);
        for (id, blocks) in &image.volumes {
            if *id >= LAYOUT {
                continue;
            }
            let record = image.table.get(id);
            let mut problems = Vec::new();
            let name = match record {
                Some(r) => r.name.clone(),
                None => {
                    let text = format!("the volume table does not name volume {id}");
                    problems.push(Problem::new(ProblemKind::Incomplete, text));
                    format!("volume-{id}").into_bytes()
                }
            };
            let Some(first) = blocks.values().next() else { continue };
            let fixed = first.kind == 2;
            let usable = size.saturating_sub(first.data).saturating_sub(first.pad);
            let count = blocks.keys().next_back().map_or(0, |last| last.saturating_add(1));
            let content = if fixed {
                if first.used != 0 && blocks.len() as u64 != u64::from(first.used) {
                    let text = format!(
                        "{} of {} blocks of the volume are there",
                        blocks.len(),
                        first.used
                    );
                    problems.push(Problem::new(ProblemKind::Incomplete, text));
                }
                let len = |b: &Header| b.size;
                blocks.iter().map(|(n, b)| (*n as usize, b.at, len(b), Some(b.crc))).collect()
            } else {
                blocks.iter().map(|(n, b)| (*n as usize, b.at, usable, None)).collect::<Vec<_>>()
            };
            let length = match (fixed, content.last()) {
                (true, Some((n, _, len, _))) => n.saturating_mul(usable).saturating_add(*len),
                _ => (count as usize).saturating_mul(usable),
            };
            // A logical block number is not bounded by the image; a volume far larger than it is damage.
            if length > region.len().saturating_mul(64) {
                problems
                    .push(common::malformed("the volume claims far more blocks than there are"));
            }
            let length = length.min(region.len().saturating_mul(64));
            let volume = Volume { image: region.clone(), blocks: content, usable, length };
            let entry = Entry {
                path: name,
                kind: EntryKind::File,
                metadata: Default::default(),
                blob: Blob::Lazy(Arc::new(volume)),
                problems,
            };
            if sink.entry(entry).is_err() {
                return;
            }
        }
        for (id, record) in &image.table {
            if !image.volumes.contains_key(id) {
                let mut entry = Entry::file(record.name.clone(), Blob::Bytes(Bytes::new()));
                // A volume that was made and never written.
                entry.problems.extend(
                    (record.reserved == 0).then(|| common::malformed("the volume has no size")),
                );
                if sink.entry(entry).is_err() {
                    return;
                }
            }
        }
    }
}

/// Erase block sizes that exist: powers of two, and three quarters of one for odd NAND.
fn sizes() -> impl Iterator<Item = usize> {
    (11..=23).map(|n| 1usize << n)
}

/// An erase counter header.
pub(super) struct Counter {
    /// Where in the block the volume header is.
    pub header: usize,
    /// Where the data are.
    data: usize,
    /// Number of the image, the same in all of its blocks.
    pub sequence: u32,
}

/// Whether a volume header with a right checksum is at `at`.
pub(super) fn is_volume_header(data: &[u8], at: usize) -> bool {
    let right =
        |b: &[u8]| b.starts_with(b"UBI!") && be32(b, 60) == b.get(..60).map(|b| crc32_raw(!0, b));
    read::slice(data, at, 64).is_some_and(right)
}

impl Counter {
    /// The header at `at`.
    pub fn parse(data: &[u8], at: usize) -> Option<Self> {
        let b = read::slice(data, at, 64)?;
        let this = Self {
            header: be32(b, 16)? as usize,
            data: be32(b, 20)? as usize,
            sequence: be32(b, 24)?,
        };
        let right = b.starts_with(b"UBI#")
            && be32(b, 60)? == crc32_raw(!0, b.get(..60)?)
            && this.header >= 64
            && this.data >= this.header.checked_add(64)?
            && this.data < 1 << 23;
        right.then_some(this)
    }
}

/// The distance of erase blocks: the smallest that leads from the first header to another one.
fn block_size(data: &[u8], at: usize, budget: &Budget) -> Option<usize> {
    let first = Counter::parse(data, at)?;
    let mut found = Vec::new();
    let finder = memchr::memmem::Finder::new(b"UBI#");
    // Enough to see neighbours even behind several bad blocks.
    let end = data.len().min(at.saturating_add(64 << 20));
    for i in finder.find_iter(data.get(at..end)?).skip(1) {
        if Counter::parse(data, at.checked_add(i)?).is_some_and(|c| c.sequence == first.sequence) {
            budget.work(i as u64).ok()?;
            found.push(i);
            if found.len() >= 16 {
                break;
            }
        }
    }
    // Neighbours are one block apart; the smallest distance is the block, bad ones make it a multiple.
    let mut last = 0usize;
    let distances = found.iter().map(|i| {
        let d = i.saturating_sub(last);
        last = *i;
        d
    });
    let size = distances.min();
    match size.filter(|s| *s >= first.data) {
        Some(size) => Some(size),
        // One block only: it reaches to the end, or is a power of two that holds the data.
        None if found.is_empty() => {
            let rest = data.len().saturating_sub(at);
            sizes()
                .find(|s| *s > first.data && *s >= rest)
                .or_else(|| sizes().find(|s| *s > first.data))
        }
        None => None,
    }
}

/// What a volume header says about an erase block.
struct Header {
    kind: u8,
    copy: bool,
    size: usize,
    used: u32,
    pad: usize,
    crc: u32,
    sequence: u64,
    /// First byte of data, from the start of the image, and from that of the block.
    at: usize,
    data: usize,
}

struct Record {
    name: Vec<u8>,
    reserved: u32,
}

struct Image {
    /// Blocks by volume and logical number.
    volumes: BTreeMap<u32, BTreeMap<u32, Header>>,
    table: BTreeMap<u32, Record>,
}

impl Image {
    fn read(region: &Bytes, size: usize, sink: &mut Sink<'_>) -> Self {
        let mut volumes: BTreeMap<u32, BTreeMap<u32, Header>> = BTreeMap::new();
        let (mut bad, mut unreadable) = (0u64, 0u64);
        for start in (0..region.len()).step_by(size.max(1)) {
            let Some(counter) = Counter::parse(region, start) else {
                let head = region.get(start..start.saturating_add(64)).unwrap_or_default();
                if head.iter().any(|b| *b != 0xff) {
                    bad = bad.saturating_add(1);
                }
                continue;
            };
            let Some(b) =
                start.checked_add(counter.header).and_then(|at| read::slice(region, at, 64))
            else {
                continue;
            };
            if b.iter().all(|b| *b == 0xff) {
                continue;
            }
            let Some((id, number, header)) = parse_header(b, start, &counter) else {
                unreadable = unreadable.saturating_add(1);
                continue;
            };
            let blocks = volumes.entry(id).or_default();
            // A copy counts only if it was finished.
            let whole = !header.copy
                || read::slice(region, header.at, header.size).map(|d| crc32_raw(!0, d))
                    == Some(header.crc);
            let newer = blocks.get(&number).is_none_or(|old| header.sequence > old.sequence);
            if whole && newer {
                blocks.insert(number, header);
            }
        }
        if bad > 0 {
            sink.attribute("bad-blocks", bad);
        }
        if unreadable > 0 {
            let text = format!("the volume headers of {unreadable} erase blocks are not readable");
            sink.problem(Problem::new(ProblemKind::Checksum, text));
        }
        let table = volumes.get(&LAYOUT).map(|blocks| table(region, blocks)).unwrap_or_default();
        if table.is_empty() {
            sink.problem(Problem::new(
                ProblemKind::Incomplete,
                "no readable table of volumes was found",
            ));
        }
        Self { volumes, table }
    }
}

fn parse_header(b: &[u8], start: usize, counter: &Counter) -> Option<(u32, u32, Header)> {
    let right = b.starts_with(b"UBI!") && be32(b, 60)? == crc32_raw(!0, b.get(..60)?);
    let header = Header {
        kind: read::u8(b, 5)?,
        copy: read::u8(b, 6)? != 0,
        size: be32(b, 20)? as usize,
        used: be32(b, 24)?,
        pad: be32(b, 28)? as usize,
        crc: be32(b, 32)?,
        sequence: be64(b, 40)?,
        at: start.checked_add(counter.data)?,
        data: counter.data,
    };
    right.then_some((be32(b, 8)?, be32(b, 12)?, header))
}

/// The records of the first copy of the table that has any.
fn table(region: &[u8], copies: &BTreeMap<u32, Header>) -> BTreeMap<u32, Record> {
    let records = |copy: &Header| {
        let bytes = region.get(copy.at..).unwrap_or_default();
        let mut table = BTreeMap::new();
        for (id, b) in (0u32..128).zip(bytes.chunks_exact(172)) {
            let right = be32(b, 168) == Some(crc32_raw(!0, b.get(..168).unwrap_or_default()));
            let (Some(reserved), Some(len)) = (be32(b, 0), be16(b, 14)) else { break };
            let name = b.get(16..144).and_then(|n| n.get(..len.into()));
            if let Some(name) = name.filter(|n| right && reserved != 0 && !n.is_empty()) {
                // A volume name is one component of a path.
                let name = name.iter().map(|b| if *b == b'/' { b'_' } else { *b }).collect();
                table.insert(id, Record { name, reserved });
            }
        }
        table
    };
    copies.values().map(records).find(|t| !t.is_empty()).unwrap_or_default()
}

/// The bytes of a volume; logical blocks that are not there read as erased.
struct Volume {
    image: Bytes,
    /// Logical number, place, bytes, checksum of a static volume.
    blocks: Vec<(usize, usize, usize, Option<u32>)>,
    usable: usize,
    length: usize,
}

impl Load for Volume {
    fn size(&self) -> u64 {
        self.length as u64
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        if let Err(e) = budget.output(self.length as u64) {
            loaded.problems.push(e.into());
            return loaded;
        }
        let mut out = vec![0xff; self.length];
        for (number, at, len, crc) in &self.blocks {
            let target = number.saturating_mul(self.usable);
            let source = self.image.get(*at..).unwrap_or_default();
            let have = (*len).min(source.len());
            let source = source.get(..have).unwrap_or_default();
            if have < *len {
                let text = format!("block {number} is cut off");
                loaded.problems.push(Problem::new(ProblemKind::Truncated, text).at(target as u64));
            } else if crc.is_some_and(|crc| crc != crc32_raw(!0, source)) {
                let text = format!("the checksum of block {number} does not match");
                loaded.problems.push(Problem::new(ProblemKind::Checksum, text).at(target as u64));
            }
            if let Some(to) = out.get_mut(target..).and_then(|o| o.get_mut(..have)) {
                to.copy_from_slice(source);
            }
        }
        loaded.bytes = out.into();
        loaded
    }
}
