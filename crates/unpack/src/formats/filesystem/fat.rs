//! FAT12, FAT16 and FAT32 with long names.
//!
//! *Establishes*: every name that is not deleted; contents are runs of clusters.
//! *How*: BIOS parameter block, of which the number of clusters decides the width
//! of the table (that is the rule, not the label); chains are followed at most
//! once around.
//! *False positives*: the block's values must agree with each other and the media
//! byte with the first entry of the table. *Limits*: times are local time of
//! whoever wrote them and taken as UTC; deleted files are not looked for.
//! *Sources*: Microsoft FAT specification 1.03.

use std::collections::HashSet;

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::common::{self, MAX_DEPTH, Run, push_run};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read::{self, le16, le32},
};

/// FAT.
pub struct Fat;

static ABOUT: About = About {
    id: "fat",
    name: "FAT12/FAT16/FAT32",
    family: Family::FileSystem,
    revision: 1,
    metadata: "mtime (local time taken as UTC)",
    integrity: "parameter block, media byte, copies of the table against each other, chains against files",
    limits: "deleted files not looked for; exFAT is another format",
    sources: &["https://academy.cba.mit.edu/classes/networking_communications/SD/FAT.pdf"],
};

impl Format for Fat {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[
            Magic::anywhere(b"FAT12   ").after(54),
            Magic::anywhere(b"FAT16   ").after(54),
            Magic::anywhere(b"FAT     ").after(54),
            Magic::anywhere(b"FAT32   ").after(82),
            // Old or careless tools write no label.
            Magic::start(b"\xeb\x3c\x90"),
            Magic::start(b"\xeb\x58\x90"),
        ];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(512).ok()?;
        let fs = Fs::parse(data.slice(at.min(data.len())..))?;
        let declared = read::index(fs.sectors.checked_mul(fs.sector)?)?;
        let length = declared.min(fs.image.len());
        let mut candidate = Candidate::new(at, length, Proof::LengthsConsistent);
        if length < declared {
            let text = format!("the parameter block declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(fs) = Fs::parse(region.clone()) else { return };
        sink.attribute("version", format!("FAT{}", fs.width));
        sink.attribute("block-size", fs.cluster);
        fs.compare_tables(budget, sink);
        let mut seen = HashSet::new();
        let mut firsts = HashSet::from([fs.root_cluster]);
        let mut queue = vec![(Vec::new(), fs.root(budget), 0)];
        while let Some((path, (runs, problems), depth)) = queue.pop() {
            for problem in problems {
                let message = format!("folder `{}`: {}", escape(&path), problem.message);
                sink.problem(Problem { message, ..problem });
            }
            let mut below = Vec::new();
            for file in fs.list(&runs, budget) {
                if file.attributes & LABEL != 0 {
                    if path.is_empty() {
                        sink.attribute("label", escape(file.name.trim_ascii_end()));
                    }
                    continue;
                }
                firsts.insert(file.cluster);
                let path = common::join(&path, &file.name);
                let mut problems = Vec::from_iter(common::check_name(&file.name));
                let mut blob = Blob::None;
                let mut kind = EntryKind::Directory;
                if file.attributes & FOLDER != 0 {
                    if depth >= MAX_DEPTH || !seen.insert(file.cluster) {
                        problems
                            .push(common::malformed("the folder contains itself or is too deep"));
                    } else {
                        let chain = fs.chain(file.cluster, None, budget);
                        below.push((path.clone(), chain, depth.saturating_add(1)));
                    }
                } else {
                    kind = EntryKind::File;
                    let size = u64::from(file.size);
                    let (runs, wrong) = fs.chain(file.cluster, Some(size), budget);
                    problems.extend(wrong);
                    blob = common::content(&fs.image, size, runs);
                }
                let metadata = Metadata { mtime: file.mtime, ..Metadata::default() };
                if sink.entry(Entry { path, kind, metadata, blob, problems }).is_err() {
                    return;
                }
            }
            queue.extend(below.into_iter().rev());
        }
        let lost = fs.lost(&firsts, budget);
        if lost > 0 {
            let text = format!("{lost} chains of clusters belong to no file and no folder");
            sink.problem(Problem::new(ProblemKind::Incomplete, text));
        }
    }
}

const LABEL: u8 = 8;
const FOLDER: u8 = 16;
/// Attribute of an entry that holds a part of a long name.
const LONG: u8 = 15;

struct Fs {
    image: Bytes,
    /// Bytes.
    sector: u64,
    /// Bytes.
    cluster: u64,
    sectors: u64,
    /// Bits of a table entry.
    width: u8,
    tables: u8,
    /// Sectors.
    table_at: u64,
    table_len: u64,
    /// Root folder of FAT12 and FAT16: first sector and sectors.
    root: (u64, u64),
    /// Root folder of FAT32.
    root_cluster: u32,
    /// First sector of cluster 2.
    data: u64,
    clusters: u64,
}

impl Fs {
    fn parse(image: Bytes) -> Option<Self> {
        let b = image.get(..512)?;
        let w = |at| le16(b, at).map(u64::from);
        let (sector, per_cluster) = (w(11)?, u64::from(read::u8(b, 13)?));
        let (reserved, tables, entries) = (w(14)?, read::u8(b, 16)?, w(17)?);
        let wide = w(22)? == 0;
        let table_len = if wide { le32(b, 36)?.into() } else { w(22)? };
        let sectors = match w(19)? {
            0 => le32(b, 32)?.into(),
            n => n,
        };
        let valid = matches!(b.first()?, 0xeb | 0xe9)
            && matches!(sector, 512 | 1024 | 2048 | 4096)
            && per_cluster.is_power_of_two()
            && reserved > 0
            && matches!(tables, 1 | 2)
            && table_len > 0
            && (read::u8(b, 21)? >= 0xf8 || read::u8(b, 21)? == 0xf0)
            && (entries == 0) == wide;
        if !valid {
            return None;
        }
        let root_at = u64::from(tables).checked_mul(table_len)?.checked_add(reserved)?;
        let root_len = entries.checked_mul(32)?.div_ceil(sector);
        let data = root_at.checked_add(root_len)?;
        let clusters = sectors.checked_sub(data)?.checked_div(per_cluster)?;
        let width = match (wide, clusters) {
            (true, _) => 32,
            (_, ..4085) => 12,
            _ => 16,
        };
        let bits = table_len.checked_mul(sector)?.checked_mul(8)?;
        let this = Self {
            sector,
            cluster: sector.checked_mul(per_cluster)?,
            sectors,
            width,
            tables,
            table_at: reserved,
            table_len,
            root: (root_at, root_len),
            root_cluster: if wide { le32(b, 44)? } else { 0 },
            data,
            clusters,
            image: image.clone(),
        };
        // The table has an entry for each cluster, and the first repeats the media byte.
        let fits = clusters.checked_mul(width.into())? <= bits && clusters > 0;
        let media = read::index(reserved.checked_mul(sector)?).and_then(|at| read::u8(&image, at));
        (fits && media == read::u8(b, 21)).then_some(this)
    }

    /// Says where the copies of the table differ.
    fn compare_tables(&self, budget: &Budget, sink: &mut Sink<'_>) {
        let copy = |n: u64| {
            let len = self.table_len.checked_mul(self.sector)?;
            let at = self.table_at.checked_mul(self.sector)?.checked_add(len.checked_mul(n)?)?;
            read::slice(&self.image, read::index(at)?, read::index(len)?)
        };
        if self.tables == 2
            && let (Some(a), Some(b)) = (copy(0), copy(1))
            && budget.work(a.len() as u64).is_ok()
            && a != b
        {
            sink.problem(common::malformed(
                "the two copies of the allocation table differ; the first is used",
            ));
        }
    }

    /// The entry of a cluster: its successor, or none at the end of the chain.
    fn next(&self, cluster: u32) -> Result<Option<u32>, Problem> {
        let base = self.table_at.saturating_mul(self.sector);
        let bits = u64::from(cluster).saturating_mul(self.width.into());
        let at = read::index(base.saturating_add(bits / 8)).unwrap_or(usize::MAX);
        let value = match self.width {
            12 => le16(&self.image, at)
                .map(|v| u32::from(if cluster % 2 == 1 { v >> 4 } else { v & 0xfff })),
            16 => le16(&self.image, at).map(u32::from),
            _ => le32(&self.image, at).map(|v| v & 0x0fff_ffff),
        };
        let end = match self.width {
            12 => 0xff8,
            16 => 0xfff8,
            _ => 0x0fff_fff8,
        };
        match value {
            None => Err(Problem::new(ProblemKind::Truncated, "the allocation table is cut off")),
            Some(n) if n >= end => Ok(None),
            Some(n) if n >= 2 && u64::from(n) < self.clusters.saturating_add(2) => Ok(Some(n)),
            Some(n) => {
                Err(common::malformed(format!("cluster {cluster} leads to {n}, which is none")))
            }
        }
    }

    /// Chains of which no cluster leads to the first, and neither does a file or folder: what it was, nothing says.
    fn lost(&self, firsts: &HashSet<u32>, budget: &Budget) -> usize {
        let end = u32::try_from(self.clusters.saturating_add(2)).unwrap_or(u32::MAX);
        if budget.work(self.clusters.saturating_mul(8)).is_err() {
            return 0;
        }
        let mut heads = HashSet::new();
        let mut targets = HashSet::new();
        for cluster in 2..end {
            // Free and bad clusters lead to none.
            let next = self.next(cluster);
            if next.is_ok() && !targets.remove(&cluster) && !firsts.contains(&cluster) {
                heads.insert(cluster);
            }
            if let Ok(Some(next)) = next
                && !heads.remove(&next)
                && next > cluster
            {
                targets.insert(next);
            }
        }
        heads.len()
    }

    /// The clusters from `first` on, as far as `size` asks for.
    fn chain(&self, first: u32, size: Option<u64>, budget: &Budget) -> (Vec<Run>, Vec<Problem>) {
        let (mut runs, mut problems) = (Vec::new(), Vec::new());
        if size == Some(0) {
            return (runs, problems);
        }
        if first < 2 || u64::from(first) >= self.clusters.saturating_add(2) {
            problems
                .push(common::malformed(format!("it starts in cluster {first}, which is none")));
            return (runs, problems);
        }
        let (mut cluster, mut file) = (first, 0u64);
        // A chain longer than there are clusters runs in a circle.
        for _ in 0..self.clusters {
            if let Err(e) = budget.work(8) {
                problems.push(e.into());
                return (runs, problems);
            }
            let sector = u64::from(cluster.saturating_sub(2))
                .saturating_mul(self.cluster.checked_div(self.sector).unwrap_or(0));
            let image = self.data.saturating_add(sector).saturating_mul(self.sector);
            push_run(&mut runs, Run { file, image, len: self.cluster });
            file = file.saturating_add(self.cluster);
            if size.is_some_and(|s| file >= s) {
                return (runs, problems);
            }
            match self.next(cluster) {
                Ok(Some(n)) => cluster = n,
                Ok(None) => {
                    if let Some(size) = size {
                        let text = format!("the chain ends after {file} of {size} bytes");
                        problems.push(Problem::new(ProblemKind::Incomplete, text));
                    }
                    return (runs, problems);
                }
                Err(problem) => {
                    problems.push(problem);
                    return (runs, problems);
                }
            }
        }
        problems.push(common::malformed("its chain of clusters runs in a circle"));
        (runs, problems)
    }

    fn root(&self, budget: &Budget) -> (Vec<Run>, Vec<Problem>) {
        if self.width == 32 {
            return self.chain(self.root_cluster, None, budget);
        }
        let bytes = |sectors: u64| sectors.saturating_mul(self.sector);
        (vec![Run { file: 0, image: bytes(self.root.0), len: bytes(self.root.1) }], Vec::new())
    }

    /// The entries of a folder.
    fn list(&self, runs: &[Run], budget: &Budget) -> Vec<File> {
        let mut files = Vec::new();
        let mut long = LongName::default();
        let pieces = runs.iter().filter_map(|run| {
            budget.work(run.len).ok()?;
            let rest = self.image.get(read::index(run.image)?..)?;
            Some(rest.get(..read::index(run.len)?).unwrap_or(rest))
        });
        for entry in pieces.flat_map(|p| p.chunks_exact(32)) {
            match entry.first() {
                None | Some(0) => break,
                Some(0xe5) => {
                    long = LongName::default();
                    continue;
                }
                _ => {}
            }
            let attributes = read::u8(entry, 11).unwrap_or(0);
            if attributes & 0x3f == LONG {
                long.add(entry);
            } else if let Some(file) =
                File::parse(entry, self.width == 32, std::mem::take(&mut long))
                && file.name != b"."
                && file.name != b".."
            {
                files.push(file);
            }
        }
        files
    }
}

struct File {
    name: Vec<u8>,
    attributes: u8,
    cluster: u32,
    size: u32,
    mtime: Option<i64>,
}

impl File {
    fn parse(b: &[u8], wide: bool, long: LongName) -> Option<Self> {
        let short: [u8; 11] = read::array(b, 0)?;
        let attributes = read::u8(b, 11)?;
        let checksum = short.iter().fold(0u8, |sum, c| sum.rotate_right(1).wrapping_add(*c));
        let name = match long.finish(checksum) {
            Some(name) => name,
            None if attributes & LABEL != 0 => short.to_vec(),
            None => short_name(&short, read::u8(b, 12)?),
        };
        let high = if wide { u32::from(le16(b, 20)?) << 16 } else { 0 };
        Some(Self {
            name,
            attributes,
            cluster: high | u32::from(le16(b, 26)?),
            size: le32(b, 28)?,
            mtime: time(le16(b, 24)?, le16(b, 22)?),
        })
    }
}

/// `NAME.EXT`, in lower case where the bits say so.
fn short_name(short: &[u8; 11], case: u8) -> Vec<u8> {
    let part = |bytes: &[u8], lower: bool| {
        let bytes = bytes.trim_ascii_end();
        if lower { bytes.to_ascii_lowercase() } else { bytes.to_vec() }
    };
    let (base, extension) = short.split_at(8);
    let mut name = part(base, case & 8 != 0);
    // The first byte of a deleted name stands for itself here.
    if let Some(first @ 0x05) = name.first_mut() {
        *first = 0xe5;
    }
    let extension = part(extension, case & 16 != 0);
    if !extension.is_empty() {
        name.push(b'.');
        name.extend(extension);
    }
    name
}

/// Seconds since 1970 of a date and time of day.
fn time(date: u16, time: u16) -> Option<i64> {
    let (year, month, day) = (
        i64::from(date >> 9).saturating_add(1980),
        i64::from((date >> 5) & 15),
        i64::from(date & 31),
    );
    if month == 0 || day == 0 {
        return None;
    }
    let (hour, minute, second) =
        (i64::from(time >> 11), i64::from((time >> 5) & 63), i64::from(time & 31) << 1);
    Some(common::seconds([year, month, day, hour, minute, second]))
}

/// A long name, collected from the entries in front of the short one, last part first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    next: u8,
    checksum: u8,
}

impl LongName {
    fn add(&mut self, b: &[u8]) {
        let (Some(order), Some(checksum)) = (read::u8(b, 0), read::u8(b, 13)) else { return };
        if order & 0x40 != 0 {
            *self = Self { units: Vec::new(), next: order & 0x3f, checksum };
        } else if order != self.next || checksum != self.checksum {
            *self = Self::default();
            return;
        }
        self.next = self.next.saturating_sub(1);
        let fields = [b.get(1..11), b.get(14..26), b.get(28..32)];
        let units =
            fields.into_iter().flatten().flat_map(|f| f.chunks_exact(2)).filter_map(|c| le16(c, 0));
        let mut part: Vec<u16> = units.collect();
        part.append(&mut self.units);
        self.units = part;
    }

    /// The name, if all parts are there and belong to the short name with this checksum.
    fn finish(self, checksum: u8) -> Option<Vec<u8>> {
        if self.units.is_empty() || self.next != 0 || self.checksum != checksum {
            return None;
        }
        let end = self.units.iter().position(|u| *u == 0).unwrap_or(self.units.len());
        Some(String::from_utf16_lossy(self.units.get(..end)?).into_bytes())
    }
}
