//! NTFS, read-only.
//!
//! *Establishes*: the tree of folders from the master file table, contents of files with their sparse and compressed
//! runs, alternate data streams, reparse links, hard links. *How*: every record of the table in use that
//! has a name is an entry below the record its name points at; folders' own indexes are not needed for that.
//! *Integrity*: update sequence of each record; the boot sector's parameters; declared against allocated sizes.
//! *False negatives*: deleted records are not looked for. *Limits*: the journal is not replayed; EFS contents stay
//! encrypted; compact files (WOF) whose content is in a WIM file elsewhere. *Sources*: the Linux-NTFS documentation
//! (`flatcap.github.io/linux-ntfs`), MS-FSCC for reparse tags and LZNT1 (MS-XCA).

mod record;
mod wof;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use self::record::{Attribute, Data, Record, Volume};
use super::common::{self, MAX_DEPTH};
use crate::{
    budget::Budget,
    format::{About, Candidate, Entry, Format, Magic, Sink},
    formats::layout::about,
    read,
};

/// NTFS.
pub struct Ntfs;

static ABOUT: &About = about!(
    FileSystem,
    "ntfs",
    "NTFS",
    "mtime, symbolic links, hard links, alternate streams; permissions are access lists and not kept",
    "boot sector, update sequence of each record, records in use against records read",
    "journal not replayed; EFS contents not decoded, nor compact files (WOF) whose content is in a WIM file",
    "https://flatcap.github.io/linux-ntfs/ntfs/",
    "MS-FSCC, MS-XCA"
);

/// The root folder's record.
const ROOT: u64 = 5;
/// The folder of the file system's own tables.
const EXTEND: u64 = 11;
/// Longest link of Interix.
const INTERIX: u64 = 8 + 2 * 4096;
/// Records below are the file system's own.
const FIRST_FILE: u64 = 24;

impl Format for Ntfs {
    fn about(&self) -> &'static About {
        ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"NTFS    ").after(3)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let volume = Volume::read(data.get(at..)?)?;
        // The first record describes the table itself.
        let table = volume.table(&data.slice(at..), budget);
        let there = data.len().saturating_sub(at);
        let length = read::index(volume.size).unwrap_or(usize::MAX);
        let proof = if table.is_some() { Proof::DecoderEnded } else { Proof::MagicOnly };
        let mut found = Candidate::new(at, length.min(there), proof);
        if length > there {
            let text = format!("the boot sector declares {} bytes, {there} are there", volume.size);
            found.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        if table.is_none() {
            found.problems.push(common::malformed("the master file table cannot be read"));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(volume) = Volume::read(region) else { return };
        let Some(table) = volume.table(region, budget) else { return };
        sink.attribute("block-size", volume.cluster);
        sink.attribute("serial", format!("{:016x}", volume.serial));
        let mut files: BTreeMap<u64, Record> = BTreeMap::new();
        let mut extensions = Vec::new();
        let (mut damaged, mut count) = (0_u64, 0_u64);
        let bytes = table.bytes(region, &volume);
        for (number, raw) in (0_u64..).zip(bytes.chunks_exact(volume.record)) {
            if budget.work(volume.record as u64).is_err() {
                sink.problem(crate::budget::Exhausted::Work);
                break;
            }
            match Record::read(raw, &volume) {
                Ok(None) => {}
                Ok(Some(record)) if record.base != 0 => extensions.push(record),
                Ok(Some(record)) => {
                    count = count.saturating_add(1);
                    files.insert(number, record);
                }
                Err(()) => damaged = damaged.saturating_add(1),
            }
        }
        for extension in extensions {
            if let Some(base) = files.get_mut(&extension.base) {
                base.attributes.extend(extension.attributes);
            } else {
                damaged = damaged.saturating_add(1);
            }
        }
        if damaged > 0 {
            let total = count.saturating_add(damaged);
            let text = format!("{damaged} of the {total} records in use cannot be read");
            sink.problem(Problem::new(ProblemKind::Incomplete, text));
        }
        if let Some(label) = files.get(&3).and_then(Record::label) {
            sink.attribute("label", label);
        }
        emit(region, &volume, &files, sink, budget);
    }
}

/// Names and contents in the order of the walk from the root.
fn emit(
    image: &Bytes,
    volume: &Volume,
    files: &BTreeMap<u64, Record>,
    sink: &mut Sink<'_>,
    budget: &Budget,
) {
    let mut children: BTreeMap<u64, BTreeMap<Vec<u8>, u64>> = BTreeMap::new();
    for (number, record) in
        files.range(EXTEND..).filter(|(n, _)| **n == EXTEND || **n >= FIRST_FILE)
    {
        for (parent, name) in record.names() {
            children.entry(parent).or_default().insert(name, *number);
        }
    }
    let reachable = children.values().map(BTreeMap::len).fold(0_usize, usize::saturating_add);
    let mut links = common::Links::default();
    let mut seen = BTreeSet::from([ROOT]);
    let mut queue = vec![(Vec::new(), ROOT, 0_usize)];
    let mut reached = 0_usize;
    while let Some((path, number, depth)) = queue.pop() {
        let mut below = Vec::new();
        for (name, number) in children.get(&number).into_iter().flatten() {
            let Some(record) = files.get(number) else { continue };
            if budget.work(64).is_err() {
                return;
            }
            reached = reached.saturating_add(1);
            let path = common::join(&path, name);
            let mut entry = Entry::file(path.clone(), crate::format::Blob::None);
            entry.metadata = Metadata { mtime: record.modified(), ..Metadata::default() };
            entry.problems.extend(common::check_name(name));
            if record.is_folder() && record.link().is_none() {
                entry.kind = EntryKind::Directory;
                if depth >= MAX_DEPTH || !seen.insert(*number) {
                    entry
                        .problems
                        .push(common::malformed("the folder contains itself or is too deep"));
                } else {
                    below.push((path.clone(), *number, depth.saturating_add(1)));
                }
            } else if let Some(target) = record.link() {
                entry.kind = EntryKind::Symlink { target: escape(target.as_bytes()) };
            } else if let Some(kind) = links.first(*number, &path) {
                entry.kind = kind;
            } else if !wof::fill(image, volume, record, &mut entry) {
                let stream = record.stream("");
                // The file system's own tables are indices without content.
                if stream.is_some() || !path.starts_with(b"$Extend/") {
                    fill(image, volume, stream, &mut entry);
                    if record.is_system() && entry.blob.size() <= INTERIX {
                        let loaded = entry.blob.load(budget);
                        if let Some(kind) = record::interix(&loaded.bytes) {
                            (entry.kind, entry.blob) = (kind, crate::format::Blob::None);
                        }
                    }
                }
            }
            let streams = if matches!(entry.kind, EntryKind::Hardlink { .. }) {
                Vec::new()
            } else if wof::is_read(record) {
                // The compressed stream is the content that was told.
                record.other_streams().into_iter().filter(|s| s.0 != wof::STREAM).collect()
            } else {
                record.other_streams()
            };
            if sink.entry(entry).is_err() {
                return;
            }
            for (stream, data) in streams {
                let name = [&path[..], b":", stream.replace('/', "_").as_bytes()].concat();
                let mut entry = Entry::file(name, crate::format::Blob::None);
                fill(image, volume, Some(data), &mut entry);
                if sink.entry(entry).is_err() {
                    return;
                }
            }
        }
        queue.extend(below.into_iter().rev());
    }
    if reached < reachable {
        let text = format!(
            "{} names lie below folders that are not there",
            reachable.saturating_sub(reached)
        );
        sink.problem(Problem::new(ProblemKind::Incomplete, text));
    }
}

fn fill(image: &Bytes, volume: &Volume, data: Option<Data>, entry: &mut Entry) {
    match data {
        None => entry.problems.push(common::malformed("the file has no data attribute")),
        Some(data) => {
            if data.encrypted {
                let text = "encrypted by EFS; no key was given";
                entry.problems.push(Problem::new(ProblemKind::Encrypted, text));
            }
            entry.blob = data.blob(image, volume);
        }
    }
}

impl Record {
    /// Parents and names; the short name of DOS is left out where a long one stands beside.
    fn names(&self) -> Vec<(u64, Vec<u8>)> {
        let names = self.attributes.iter().filter_map(|a| match a {
            // 2: a DOS name of a file whose long name is another attribute.
            Attribute::Name { parent, kind, name } if *kind != 2 => {
                Some((*parent, name.clone().into_bytes()))
            }
            _ => None,
        });
        names.collect()
    }
}
