//! ISO 9660 with Rock Ridge or Joliet.
//!
//! *Establishes*: every entry of the best tree there is: Rock Ridge, else Joliet,
//! else the plain names. Contents are runs of blocks.
//! *How*: volume descriptors at 32 KiB, folder records, system use entries.
//! *False positives*: the descriptor repeats its numbers in both byte orders.
//! *Limits*: zisofs version 2 contents are given as stored, and said to be.
//! *Sources*: ECMA-119, SUSP 1.12 and RRIP 1.12, Joliet specification.

mod rock_ridge;
mod zisofs;

use std::collections::HashSet;

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use self::rock_ridge::Extras;
use super::common::{self, MAX_DEPTH, Run};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read::{self, be16, be32, le16, le32},
};

/// ISO 9660.
pub struct Iso9660;

static ABOUT: About = About {
    id: "iso9660",
    name: "ISO 9660",
    family: Family::FileSystem,
    revision: 2,
    metadata: "mtime; with Rock Ridge mode, owner, device numbers",
    integrity: "numbers in both byte orders, folders found against the path table",
    limits: "zisofs version 2 not decoded; UDF is another format",
    sources: &["https://ecma-international.org/publications-and-standards/standards/ecma-119/"],
};

/// Where the first volume descriptor is, and how long each is.
const FIRST: usize = 0x8000;
const DESCRIPTOR: usize = 2048;

impl Format for Iso9660 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(b"\x01CD001\x01\0").after(FIRST)];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(DESCRIPTOR as u64).ok()?;
        let volume = Volume::primary(data.get(at..)?)?;
        let declared = (volume.blocks as usize).checked_mul(volume.block)?;
        let length = declared.min(data.len().checked_sub(at)?);
        if length < FIRST + DESCRIPTOR {
            return None;
        }
        let mut candidate = Candidate::new(at, length, Proof::LengthsConsistent);
        if length < declared {
            let text = format!("the volume declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(primary) = Volume::primary(region) else { return };
        sink.attribute("block-size", primary.block);
        if !primary.label.is_empty() {
            sink.attribute("label", escape(&primary.label));
        }
        let skip = rock_ridge::skip(region, &primary);
        let joliet = Volume::joliet(region);
        if boot_catalog(region) {
            sink.attribute("boot-catalog", "yes");
        }
        let (volume, names) = match (skip, joliet) {
            (Some(skip), _) => (primary, Names::RockRidge(skip)),
            (None, Some(joliet)) => (joliet, Names::Joliet),
            (None, None) => (primary, Names::Plain),
        };
        sink.attribute(
            "names",
            match names {
                Names::RockRidge(_) => "rock-ridge",
                Names::Joliet => "joliet",
                Names::Plain => "plain",
            },
        );
        walk(region, &volume, names, budget, sink);
    }
}

/// Which names of an entry are used.
#[derive(Clone, Copy)]
enum Names {
    /// Those in the system use area, which starts after so many bytes.
    RockRidge(usize),
    Joliet,
    Plain,
}

/// A volume descriptor.
struct Volume {
    block: usize,
    blocks: u32,
    label: Vec<u8>,
    root: Record,
    /// Place and size of the path table, which lists every folder once more.
    table: (u32, u32),
}

impl Volume {
    fn primary(image: &[u8]) -> Option<Self> {
        let b = read::slice(image, FIRST, DESCRIPTOR)?;
        let both = le32(b, 80) == be32(b, 84) && le16(b, 128) == be16(b, 130);
        (b.starts_with(b"\x01CD001\x01") && both).then(|| Self::parse(b))?
    }

    fn parse(b: &[u8]) -> Option<Self> {
        let block = usize::from(le16(b, 128)?);
        let label = b.get(40..72)?.trim_ascii_end().to_vec();
        let root = Record::parse(b.get(156..190)?, 0)?.0;
        let agrees = matches!(block, 512 | 1024 | 2048) && root.flags & FOLDER != 0;
        let table = (le32(b, 140)?, le32(b, 132)?);
        agrees.then_some(Self { block, blocks: le32(b, 80)?, label, root, table })
    }

    /// The supplementary descriptor whose escape sequence announces names of two bytes per letter.
    fn joliet(image: &[u8]) -> Option<Self> {
        let descriptors = image.get(FIRST..)?.chunks_exact(DESCRIPTOR).take(64);
        let mut descriptors = descriptors.take_while(|b| b.get(1..6) == Some(b"CD001"));
        let joliet = |b: &&[u8]| {
            b.first() == Some(&2) && matches!(b.get(88..91), Some(b"%/@" | b"%/C" | b"%/E"))
        };
        descriptors.find(joliet).and_then(Self::parse)
    }
}

fn boot_catalog(image: &[u8]) -> bool {
    let second = read::slice(image, FIRST + DESCRIPTOR, 64);
    second.is_some_and(|b| b.starts_with(b"\0CD001\x01EL TORITO"))
}

const FOLDER: u8 = 2;
const ASSOCIATED: u8 = 4;
const CONTINUES: u8 = 0x80;

/// A record of a folder.
#[derive(Clone)]
struct Record {
    block: u32,
    size: u32,
    flags: u8,
    mtime: Option<i64>,
    name: Vec<u8>,
    /// The system use area.
    extra: Vec<u8>,
}

impl Record {
    /// The record at `at` and where the next one is.
    fn parse(list: &[u8], at: usize) -> Option<(Self, usize)> {
        let len = usize::from(read::u8(list, at)?);
        let b = read::slice(list, at, len)?;
        let name_len = usize::from(read::u8(b, 32)?);
        let name = read::slice(b, 33, name_len)?.to_vec();
        // A name of even length is followed by a byte of padding.
        let extra = 33usize.checked_add(name_len | 1)?;
        let this = Self {
            block: le32(b, 2)?.checked_add(u32::from(read::u8(b, 1)?))?,
            size: le32(b, 10)?,
            flags: read::u8(b, 25)?,
            mtime: rock_ridge::short_time(b.get(18..25)?),
            name,
            extra: b.get(extra..).unwrap_or_default().to_vec(),
        };
        Some((this, at.checked_add(len)?))
    }
}

/// The bytes of a folder.
fn list<'a>(image: &'a [u8], volume: &Volume, record: &Record) -> Option<&'a [u8]> {
    let at = (record.block as usize).checked_mul(volume.block)?;
    read::slice(image, at, record.size as usize)
}

/// The records in a folder without the first two, which are the folder itself and its parent.
fn records(list: &[u8]) -> (Vec<Record>, bool) {
    let mut records = Vec::new();
    let mut at = 0usize;
    while at < list.len() {
        if list.get(at) == Some(&0) {
            // No record crosses a block; zeros fill what is left of it.
            at = at.saturating_add(1).next_multiple_of(DESCRIPTOR);
            continue;
        }
        let Some((record, next)) = Record::parse(list, at) else { return (records, false) };
        at = next;
        if record.name != b"\0" && record.name != b"\x01" && record.flags & ASSOCIATED == 0 {
            records.push(record);
        }
    }
    (records, true)
}

fn walk(image: &Bytes, volume: &Volume, names: Names, budget: &Budget, sink: &mut Sink<'_>) {
    let mut seen = HashSet::from([volume.root.block]);
    let mut queue = vec![(Vec::new(), volume.root.clone(), 0)];
    while let Some((path, folder, depth)) = queue.pop() {
        let bytes = list(image, volume, &folder).filter(|b| budget.work(b.len() as u64).is_ok());
        let Some(bytes) = bytes else {
            sink.problem(common::malformed(format!(
                "the list of folder `{}` is not there",
                escape(&path)
            )));
            continue;
        };
        let (records, whole) = records(bytes);
        if !whole {
            sink.problem(common::malformed(format!(
                "the list of folder `{}` ends early",
                escape(&path)
            )));
        }
        let mut below = Vec::new();
        let mut records = records.into_iter();
        while let Some(record) = records.next() {
            let mut problems = Vec::new();
            let extras = match names {
                Names::RockRidge(skip) => {
                    Extras::read(image, volume, &record, skip, budget, &mut problems)
                }
                _ => Extras::default(),
            };
            // Moved here because the tree was too deep; shown where it belongs.
            if extras.relocated {
                continue;
            }
            let name = match (names, &extras.name) {
                (Names::RockRidge(_), Some(name)) => name.clone(),
                (Names::Joliet, _) => joliet_name(&record.name),
                _ => plain_name(&record.name),
            };
            problems.extend(common::check_name(&name));
            let path = common::join(&path, &name);
            let target =
                extras.child.map(|block| Record { block, flags: FOLDER, ..record.clone() });
            let is_folder = record.flags & FOLDER != 0 || target.is_some();
            let (mut kind, mut blob) = (EntryKind::Directory, Blob::None);
            if is_folder {
                let mut folder = target.unwrap_or_else(|| record.clone());
                if extras.child.is_some() {
                    folder.size = own_size(image, volume, &folder).unwrap_or(0);
                }
                if depth >= MAX_DEPTH || !seen.insert(folder.block) {
                    problems.push(common::malformed("the folder contains itself or is too deep"));
                } else {
                    below.push((path.clone(), folder, depth.saturating_add(1)));
                }
            } else {
                // A large file is several records, each but the last marked.
                let (mut runs, mut size) = (Vec::new(), 0u64);
                let mut part = Some(record.clone());
                while let Some(record) = part {
                    let at = u64::from(record.block).saturating_mul(volume.block as u64);
                    common::push_run(
                        &mut runs,
                        Run { file: size, image: at, len: record.size.into() },
                    );
                    size = size.saturating_add(record.size.into());
                    part = if record.flags & CONTINUES != 0 { records.next() } else { None };
                }
                kind = extras
                    .mode
                    .and_then(|m| common::kind(m, extras.device, &extras.link))
                    .unwrap_or(EntryKind::File);
                if kind == EntryKind::File {
                    blob = common::content(image, size, runs);
                }
            }
            if let Some(size) = extras.packed
                && kind == EntryKind::File
            {
                blob = zisofs::content(blob, size);
            }
            let metadata = Metadata {
                mode: extras.mode.map(|m| m & 0o7777),
                uid: extras.uid,
                gid: extras.gid,
                mtime: extras.mtime.or(record.mtime),
                xattrs: Vec::new(),
            };
            if sink.entry(Entry { path, kind, metadata, blob, problems }).is_err() {
                return;
            }
        }
        queue.extend(below.into_iter().rev());
    }
    let listed = path_table(image, volume, budget);
    let missed = listed.iter().filter(|place| !seen.contains(place)).count();
    if missed > 0 {
        let text =
            format!("{missed} of the {} folders of the path table were not reached", listed.len());
        sink.problem(Problem::new(ProblemKind::Incomplete, text));
    }
}

/// Places of all folders as the path table lists them.
fn path_table(image: &[u8], volume: &Volume, budget: &Budget) -> Vec<u32> {
    let (place, size) = volume.table;
    let start = (place as usize).saturating_mul(volume.block);
    let table = read::slice(image, start, size as usize).unwrap_or_default();
    let (mut at, mut places) = (0_usize, Vec::new());
    while let (Some(len @ 1..), Some(place)) =
        (read::u8(table, at), le32(table, at.saturating_add(2)))
    {
        if budget.work(8).is_err() {
            break;
        }
        places.push(place);
        let name = usize::from(len).next_multiple_of(2);
        at = at.saturating_add(8).saturating_add(name);
    }
    places
}

/// The size that a folder's own first record gives.
fn own_size(image: &[u8], volume: &Volume, folder: &Record) -> Option<u32> {
    let at = (folder.block as usize).checked_mul(volume.block)?;
    Some(Record::parse(image.get(at..)?, 0)?.0.size)
}

/// `NAME.EXT;1` without version, and without the dot of a name that has no extension.
fn plain_name(name: &[u8]) -> Vec<u8> {
    let name = name.split(|b| *b == b';').next().unwrap_or_default();
    name.strip_suffix(b".").unwrap_or(name).to_vec()
}

fn joliet_name(name: &[u8]) -> Vec<u8> {
    let units: Vec<u16> = name.chunks_exact(2).filter_map(|c| be16(c, 0)).collect();
    let text = String::from_utf16_lossy(&units);
    text.split(';').next().unwrap_or_default().as_bytes().to_vec()
}
