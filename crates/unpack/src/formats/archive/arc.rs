//! ARC archives: stored, run-length packed, squeezed (Huffman), crunched (LZW in four ways) and squashed contents.
//!
//! The mark is one byte, so archives are looked for at the start of a content only, and the
//! first content must have a right CRC-16.
//!
//! Source: ARC 5.21 documentation (`Arc521.doc`).

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof};

use super::{Summed, dos_seconds, entry, put};
use crate::{
    budget::Budget,
    codec::{Decoded, arc, check, lzw, packed, runs},
    format::{About, Blob, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Arc;

static ABOUT: About = About {
    id: "arc",
    name: "ARC",
    family: Family::Archive,
    revision: 1,
    metadata: "mtime",
    integrity: "CRC-16 of each content",
    limits: "methods 10 and 11 of PAK (crushed, distilled) are named, not decoded",
    sources: &["ARC 5.21 documentation"],
};

struct Head {
    method: u8,
    name: Vec<u8>,
    packed: usize,
    time: u32,
    crc: u16,
    size: usize,
    data: usize,
}

fn head(data: &[u8], at: usize) -> Option<Head> {
    let h = data.get(at..)?;
    let [0x1a, method @ 1..=9, ..] = h else { return None };
    let name = read::until_nul(read::slice(h, 2, 13)?);
    if name.is_empty() || !name.iter().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let packed = read::index(read::le32(h, 15)?.into())?;
    // The oldest method has no field for the size.
    let (size, len) = if *method == 1 {
        (packed, 25usize)
    } else {
        (read::index(read::le32(h, 25)?.into())?, 29)
    };
    Some(Head {
        method: *method,
        name: name.to_vec(),
        packed,
        time: (u32::from(read::le16(h, 19)?) << 16) | u32::from(read::le16(h, 21)?),
        crc: read::le16(h, 23)?,
        size,
        data: at.checked_add(len)?,
    })
}

/// LZW as in `compress`, of 12 bits behind a byte that says so, then runs.
fn crunched(data: &[u8], size: usize, budget: &Budget) -> Decoded {
    let most = size.saturating_mul(2).saturating_add(64);
    let inner = lzw(12, data.get(1..).unwrap_or_default(), most, budget);
    let mut made = runs::decode(&inner.bytes, size, budget);
    made.error = inner.error.or(made.error);
    made
}

fn lzw(bits: u8, data: &[u8], max: usize, budget: &Budget) -> Decoded {
    lzw::decode(&[&[0x1f, 0x9d, 0x80 | bits], data].concat(), max, budget)
}

/// How a method is decoded, if it is.
fn decoder(method: u8) -> Option<packed::Decode> {
    Some(match method {
        1 | 2 => packed::copy,
        3 => runs::decode,
        4 => arc::squeezed,
        5 => arc::crunched,
        6 => |i, n, b| arc::packed(i, n, false, b),
        7 => |i, n, b| arc::packed(i, n, true, b),
        8 => crunched,
        9 => |i, n, b| lzw(13, i, n, b),
        _ => return None,
    })
}

fn walk(
    data: &[u8],
    start: usize,
    budget: &Budget,
    mut visit: impl FnMut(&Head) -> bool,
) -> (usize, bool) {
    let mut at = start;
    while budget.work(32).is_ok() {
        let Some(head) = head(data, at) else {
            let ended = read::slice(data, at, 2) == Some(&[0x1a, 0]);
            return (at.saturating_add(if ended { 2 } else { 0 }).min(data.len()), ended);
        };
        at = head.data.saturating_add(head.packed);
        if !visit(&head) || at > data.len() {
            break;
        }
    }
    (at.min(data.len()), false)
}

impl Format for Arc {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const {
            &[
                Magic::start(b"\x1a\x02"),
                Magic::start(b"\x1a\x03"),
                Magic::start(b"\x1a\x04"),
                Magic::start(b"\x1a\x05"),
                Magic::start(b"\x1a\x06"),
                Magic::start(b"\x1a\x07"),
                Magic::start(b"\x1a\x08"),
                Magic::start(b"\x1a\x09"),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let first = head(data, at)?;
        let to = first.data.checked_add(first.packed)?;
        let body = data.get(first.data..to.min(data.len()))?;
        let right = decoder(first.method).is_some_and(|decode| {
            let made = decode(body, first.size, budget);
            made.error.is_none() && check::crc16(&made.bytes) == first.crc
        });
        let (end, ended) = walk(data, at, budget, |_| true);
        let proof = match (right, ended) {
            (true, true) => Proof::ChecksumVerified,
            (true, false) => Proof::LengthsConsistent,
            (false, true) => Proof::DecoderEnded,
            (false, false) => return None,
        };
        let mut found = Candidate::new(at, end.checked_sub(at)?, proof);
        if !ended {
            let text = "the archive is cut off before its end mark";
            found.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        walk(region, 0, budget, |head| {
            let mut made = entry(&head.name, EntryKind::File);
            made.metadata = Metadata { mtime: dos_seconds(head.time), ..Metadata::default() };
            let from = head.data.min(region.len());
            let to = from.saturating_add(head.packed);
            if to > region.len() {
                made.problems.push(Problem::new(ProblemKind::Truncated, "the content is cut off"));
            }
            if let Some(decode) = decoder(head.method) {
                let data = region.slice(from..to.min(region.len()));
                let content = Summed { data, decode, size: head.size, crc: head.crc };
                made.blob = Blob::Lazy(std::sync::Arc::new(content));
            } else {
                let text = format!("compression method {} is not read", head.method);
                made.problems.push(Problem::new(ProblemKind::Unsupported, text));
            }
            put(sink, made)
        });
    }
}
