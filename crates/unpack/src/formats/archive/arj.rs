//! ARJ archives.
//!
//! Every header has a CRC-32. Contents of methods 1 to 4 are decoded, encrypted ones named.
//!
//! Source: ARJ technical information (`unarj.h` 2.65).

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof};

use super::{dos_seconds, entry, put};
use crate::{
    budget::Budget,
    codec::{Decoded, check, lzh, packed},
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Arj;

static ABOUT: About = About {
    id: "arj",
    name: "ARJ",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, mtime",
    integrity: "CRC-32 of headers and of each content",
    limits: "files that go on in another volume; Unix special files",
    sources: &["unarj 2.65"],
};

/// Longest header that ARJ writes.
const HEADER_MAX: usize = 2600;

struct Head<'a> {
    raw: &'a [u8],
    name: &'a [u8],
    data: usize,
}

impl<'a> Head<'a> {
    /// The header at `at` if its CRC is right; an empty one ends the archive.
    fn read(data: &'a [u8], at: usize) -> Option<Result<Self, usize>> {
        if read::slice(data, at, 2)? != b"\x60\xea" {
            return None;
        }
        let size = usize::from(read::le16(data, at.checked_add(2)?)?);
        let body = at.checked_add(4)?;
        if size == 0 {
            return Some(Err(body));
        }
        let raw = read::slice(data, body, size).filter(|r| (30..=HEADER_MAX).contains(&r.len()))?;
        let mut end = body.checked_add(size)?;
        if read::le32(data, end)? != check::crc32(raw) {
            return None;
        }
        end = end.checked_add(4)?;
        // Extended headers, each with a CRC of its own.
        loop {
            let more = usize::from(read::le16(data, end)?);
            end = end.checked_add(2)?;
            if more == 0 {
                break;
            }
            end = end.checked_add(more)?.checked_add(4)?;
        }
        let first = usize::from(read::u8(raw, 0)?);
        Some(Ok(Self { raw, name: read::until_nul(raw.get(first..)?), data: end }))
    }

    fn byte(&self, at: usize) -> u8 {
        read::u8(self.raw, at).unwrap_or(0)
    }

    fn long(&self, at: usize) -> u32 {
        read::le32(self.raw, at).unwrap_or(0)
    }

    fn is_main(&self) -> bool {
        self.byte(6) == 2
    }

    /// Bytes of data behind the header.
    fn packed(&self) -> usize {
        if self.is_main() { 0 } else { self.long(12) as usize }
    }
}

/// Walks the headers; returns the end, whether the end mark was there, and how many there were.
fn walk(
    data: &[u8],
    start: usize,
    budget: &Budget,
    mut visit: impl FnMut(&Head<'_>) -> bool,
) -> (usize, bool, u64) {
    let (mut at, mut count) = (start, 0u64);
    while budget.work(64).is_ok() {
        match Head::read(data, at) {
            Some(Ok(head)) => {
                count = count.saturating_add(1);
                at = head.data.saturating_add(head.packed());
                if !visit(&head) || at > data.len() {
                    break;
                }
            }
            Some(Err(end)) => return (end, count > 0, count),
            None => break,
        }
    }
    (at.min(data.len()), false, count)
}

fn huffman(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    lzh::decode(input, lzh::Variant::Lh7, max, budget)
}

impl Format for Arj {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"\x60\xea")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        if !Head::read(data, at)?.ok()?.is_main() {
            return None;
        }
        let (end, ended, _) = walk(data, at, budget, |_| true);
        let proof = if ended { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut found = Candidate::new(at, end.checked_sub(at)?, proof);
        if !ended {
            let text = "the archive is cut off or damaged before its end mark";
            found.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        walk(region, 0, budget, |head| {
            if head.is_main() {
                sink.attribute("name", String::from_utf8_lossy(head.name));
                return true;
            }
            put(sink, member(region, head))
        });
    }
}

fn member(region: &Bytes, head: &Head<'_>) -> Entry {
    let mut made =
        entry(head.name, if head.byte(6) == 3 { EntryKind::Directory } else { EntryKind::File });
    let unix = matches!(head.byte(3), 2 | 8);
    let time = head.long(8);
    made.metadata = Metadata {
        mode: unix.then(|| u32::from(read::le16(head.raw, 26).unwrap_or(0)) & 0o7777),
        mtime: if unix { Some(time.into()) } else { dos_seconds(time) },
        ..Metadata::default()
    };
    if made.kind == EntryKind::Directory {
        return made;
    }
    let from = head.data.min(region.len());
    let to = from.saturating_add(head.packed());
    if to > region.len() {
        made.problems.push(Problem::new(ProblemKind::Truncated, "the content is cut off"));
    }
    let decode: Option<packed::Decode> = match head.byte(5) {
        0 => Some(packed::copy),
        1..=3 => Some(huffman),
        4 => Some(lzh::decode_fastest),
        _ => None,
    };
    let trouble = if head.byte(4) & 1 != 0 {
        Some((ProblemKind::Encrypted, "the content is encrypted, and no key was given".to_owned()))
    } else if decode.is_none() {
        Some((ProblemKind::Unsupported, format!("compression method {} is not read", head.byte(5))))
    } else {
        None
    };
    match (trouble, decode) {
        (Some((kind, text)), _) => made.problems.push(Problem::new(kind, text)),
        (None, Some(decode)) => {
            let data = region.slice(from..to.min(region.len()));
            let (size, crc32) = (head.long(16).into(), Some(head.long(20)));
            made.blob = packed::Packed { data, decode, size, crc32 }.blob();
        }
        (None, None) => made.blob = Blob::None,
    }
    made
}
