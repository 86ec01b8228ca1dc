//! RAR archives of versions 4 and 5: headers are read, stored contents are there, compressed
//! ones are named (their method is not free to implement).
//!
//! Source: RAR 5.0 archive format (rarlab.com/technote.htm); RAR 4 technote.

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof};

use super::{dos_seconds, entry, kind_of_mode, put};
use crate::{
    budget::Budget,
    codec::{check, packed},
    format::{About, Blob, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Rar;

static ABOUT: About = About {
    id: "rar",
    name: "RAR",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, mtime",
    integrity: "CRC of every header, CRC-32 of stored contents",
    limits: "compressed and encrypted contents; archives split over several files",
    sources: &["RAR 5.0 archive format", "RAR 4 technote"],
};

const V4: &[u8] = b"Rar!\x1a\x07\x00";
const V5: &[u8] = b"Rar!\x1a\x07\x01\x00";

/// One header of either version.
#[derive(Default)]
struct Head {
    end_of_archive: bool,
    headers_encrypted: bool,
    file: Option<File>,
    data: usize,
    next: usize,
}

#[derive(Default)]
struct File {
    name: Vec<u8>,
    size: u64,
    method: u64,
    crc: Option<u32>,
    mtime: Option<i64>,
    unix_mode: Option<u32>,
    directory: bool,
    encrypted: bool,
}

/// A number of seven bits per byte, and where it ends.
fn vint(data: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for n in 0..10u32 {
        let place = at.checked_add(n as usize)?;
        let byte = read::u8(data, place)?;
        value |= u64::from(byte & 0x7f).checked_shl(n.checked_mul(7)?).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some((value, place.checked_add(1)?));
        }
    }
    None
}

fn version4(data: &[u8], at: usize) -> Option<Head> {
    let crc = read::le16(data, at)?;
    let kind = read::u8(data, at.checked_add(2)?)?;
    let flags = read::le16(data, at.checked_add(3)?)?;
    let size = usize::from(read::le16(data, at.checked_add(5)?)?);
    let raw = read::slice(data, at, size).filter(|r| r.len() >= 7)?;
    if !(0x72..=0x7b).contains(&kind) || check::crc32(raw.get(2..)?) & 0xffff != u32::from(crc) {
        return None;
    }
    let mut added = 0u64;
    if flags & 0x8000 != 0 || matches!(kind, 0x74 | 0x7a) {
        added = read::le32(raw, 7)?.into();
    }
    let mut head =
        Head { end_of_archive: kind == 0x7b, data: at.checked_add(size)?, ..Head::default() };
    head.headers_encrypted = kind == 0x73 && flags & 0x80 != 0;
    if kind == 0x74 {
        let mut unpacked = u64::from(read::le32(raw, 11)?);
        let mut name_at = 32;
        if flags & 0x100 != 0 {
            added |= u64::from(read::le32(raw, 32)?) << 32;
            unpacked |= u64::from(read::le32(raw, 36)?) << 32;
            name_at = 40;
        }
        let name = read::slice(raw, name_at, usize::from(read::le16(raw, 26)?))?;
        let attributes = read::le32(raw, 28)?;
        head.file = Some(File {
            // A second name in another encoding may follow the first.
            name: read::until_nul(name)
                .iter()
                .map(|b| if *b == b'\\' { b'/' } else { *b })
                .collect(),
            size: unpacked,
            method: u64::from(read::u8(raw, 25)?.wrapping_sub(0x30)),
            crc: read::le32(raw, 16),
            mtime: dos_seconds(read::le32(raw, 20)?),
            unix_mode: (read::u8(raw, 15)? == 3).then_some(attributes),
            directory: flags & 0xe0 == 0xe0,
            encrypted: flags & 4 != 0,
        });
    }
    head.next = head.data.checked_add(read::index(added)?)?;
    Some(head)
}

fn version5(data: &[u8], at: usize) -> Option<Head> {
    let crc = read::le32(data, at)?;
    let size_at = at.checked_add(4)?;
    let (size, body) = vint(data, size_at)?;
    let size = read::index(size).filter(|n| *n <= 2 << 20)?;
    let end = body.checked_add(size)?;
    if check::crc32(data.get(size_at..end)?) != crc {
        return None;
    }
    let raw = data.get(..end)?;
    let (kind, at) = vint(raw, body)?;
    let (flags, mut at) = vint(raw, at)?;
    let (mut extra, mut added) = (0, 0);
    if flags & 1 != 0 {
        (extra, at) = vint(raw, at)?;
    }
    if flags & 2 != 0 {
        (added, at) = vint(raw, at)?;
    }
    let mut head = Head {
        end_of_archive: kind == 5,
        headers_encrypted: kind == 4,
        data: end,
        next: end.checked_add(read::index(added)?)?,
        file: None,
    };
    if kind == 2 {
        let (bits, at) = vint(raw, at)?;
        let (size, at) = vint(raw, at)?;
        let (attributes, mut at) = vint(raw, at)?;
        let mut word = |wanted: bool| {
            if !wanted {
                return Some(None);
            }
            let value = read::le32(raw, at)?;
            at = at.checked_add(4)?;
            Some(Some(value))
        };
        let mtime = word(bits & 2 != 0)?;
        let crc = word(bits & 4 != 0)?;
        let (compression, at) = vint(raw, at)?;
        let (system, at) = vint(raw, at)?;
        let (len, at) = vint(raw, at)?;
        // Records of the extra area, of which an encryption record is the first kind.
        let mut record = end.checked_sub(read::index(extra)?)?;
        let mut encrypted = false;
        while record < end {
            let (size, from) = vint(raw, record)?;
            encrypted |= vint(raw, from)?.0 == 1;
            record = from.checked_add(read::index(size)?)?;
        }
        head.file = Some(File {
            name: read::slice(raw, at, read::index(len)?)?.to_vec(),
            size,
            method: (compression >> 7) & 7,
            crc,
            mtime: mtime.map(i64::from),
            unix_mode: (system == 1).then_some(attributes as u32),
            directory: bits & 1 != 0,
            encrypted,
        });
    }
    Some(head)
}

/// Walks the headers behind the mark; returns the end, whether the end header was there, and their number.
fn walk(
    data: &[u8],
    start: usize,
    budget: &Budget,
    mut visit: impl FnMut(&Head) -> bool,
) -> (usize, bool, u64) {
    let new = data.get(start..).is_some_and(|d| d.starts_with(V5));
    let mut at = start.saturating_add(if new { V5.len() } else { V4.len() });
    let mut count = 0u64;
    while budget.work(64).is_ok() {
        let Some(head) = (if new { version5(data, at) } else { version4(data, at) }) else { break };
        count = count.saturating_add(1);
        let more = visit(&head);
        at = head.next;
        if head.end_of_archive {
            return (at.min(data.len()), true, count);
        }
        // Behind encrypted headers nothing can be followed.
        if head.headers_encrypted {
            return (data.len(), false, count);
        }
        if !more || at > data.len() {
            break;
        }
    }
    (at.min(data.len()), false, count)
}

impl Format for Rar {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(V4), Magic::anywhere(V5)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let mut encrypted = false;
        let (end, ended, count) = walk(data, at, budget, |head| {
            encrypted |= head.headers_encrypted;
            true
        });
        if count == 0 {
            return None;
        }
        let proof = if ended { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut found = Candidate::new(at, end.checked_sub(at)?, proof);
        if encrypted {
            let text = "the headers are encrypted, and no key was given; how far the archive reaches is not known";
            found.problems.push(Problem::new(ProblemKind::Encrypted, text));
        } else if !ended {
            let text = "the archive is cut off or damaged before its end";
            found.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("version", if region.starts_with(V5) { 5 } else { 4 });
        walk(region, 0, budget, |head| {
            if head.headers_encrypted {
                sink.attribute("encrypted", "yes");
            }
            let Some(file) = &head.file else { return true };
            let link = file.unix_mode.is_some_and(|m| m & 0o170_000 == 0o120_000);
            let kind = match file.unix_mode.and_then(|m| kind_of_mode(m, (0, 0))) {
                _ if file.directory => EntryKind::Directory,
                Some(kind) => kind,
                None => EntryKind::File,
            };
            let mut made = entry(&file.name, kind);
            made.metadata = Metadata {
                mode: file.unix_mode.map(|m| m & 0o7777),
                mtime: file.mtime,
                ..Metadata::default()
            };
            let range = head.data.min(region.len())..head.next.min(region.len());
            if head.next > region.len() {
                made.problems.push(Problem::new(ProblemKind::Truncated, "the content is cut off"));
            }
            let trouble = if file.encrypted {
                Some((ProblemKind::Encrypted, "the content is encrypted, and no key was given"))
            } else if file.method != 0 {
                Some((ProblemKind::Unsupported, "RAR compression is not read"))
            } else if link {
                Some((ProblemKind::Unsupported, "the target of a link is kept as content"))
            } else {
                None
            };
            if made.kind == EntryKind::File && file.size > 0 {
                match trouble {
                    Some((kind, text)) if kind != ProblemKind::Unsupported || file.method != 0 => {
                        made.problems.push(Problem::new(kind, text));
                    }
                    other => {
                        made.problems.extend(other.map(|(kind, text)| Problem::new(kind, text)));
                        made.blob = packed::stored(region.slice(range), file.crc);
                    }
                }
            } else if made.kind == EntryKind::File {
                made.blob = Blob::Bytes(Bytes::new());
            }
            put(sink, made)
        });
    }
}
