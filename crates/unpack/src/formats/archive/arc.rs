//! ARC archives: stored, run-length packed, crunched and squashed contents.
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
    codec::{Decoded, Error, check, lzw, packed},
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
    limits: "methods 4 (squeezed) and 5 to 7 (old crunched) are named, not decoded",
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

/// Undoes runs: 0x90 and a count repeat the byte before; 0x90 0 is 0x90 itself.
pub(super) fn unrun(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut made = Decoded::default();
    let mut bytes = input.iter().copied();
    while let Some(byte) = bytes.next() {
        let count = if byte == 0x90 { bytes.next().map_or(1, usize::from) } else { 1 };
        let (value, n) = match (byte, count) {
            (0x90, 0) => (0x90, 1),
            (0x90, n) => (made.bytes.last().copied().unwrap_or(0), n.saturating_sub(1)),
            (b, _) => (b, 1),
        };
        if made.bytes.len().saturating_add(n) > max {
            made.error = Some(Error::Limit { max });
            break;
        }
        if let Err(e) = budget.output(n as u64) {
            made.error = Some(e.into());
            break;
        }
        let len = made.bytes.len();
        made.bytes.resize(len.saturating_add(n), budget.spool());
        made.bytes.get_mut(len..).unwrap_or_default().fill(value);
    }
    made.consumed = input.len();
    made
}

fn decode(method: u8, data: &[u8], size: usize, budget: &Budget) -> Option<Decoded> {
    // LZW as in `compress`, with the number of bits in front or fixed.
    let lzw = |bits: u8, data: &[u8], max: usize| {
        let stream = [&[0x1f, 0x9d, 0x80 | bits], data].concat();
        lzw::decode(&stream, max, budget)
    };
    Some(match method {
        1 | 2 => packed::copy(data, size, budget),
        3 => unrun(data, size, budget),
        8 => {
            let inner = lzw(
                12,
                data.get(1..).unwrap_or_default(),
                size.saturating_mul(2).saturating_add(64),
            );
            let mut made = unrun(&inner.bytes, size, budget);
            made.error = inner.error.or(made.error);
            made
        }
        9 => lzw(13, data, size),
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
                Magic::start(b"\x1a\x08"),
                Magic::start(b"\x1a\x09"),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let first = head(data, at)?;
        let to = first.data.checked_add(first.packed)?;
        let body = data.get(first.data..to.min(data.len()))?;
        let right = decode(first.method, body, first.size, budget)
            .is_some_and(|d| d.error.is_none() && check::crc16(&d.bytes) == first.crc);
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
            if matches!(head.method, 1..=3 | 8 | 9) {
                let data = region.slice(from..to.min(region.len()));
                let content =
                    Summed { data, decode, method: head.method, size: head.size, crc: head.crc };
                made.blob = Blob::Lazy(std::sync::Arc::new(content));
            } else {
                let text = format!("compression method {} is not read", head.method);
                made.problems.push(Problem::new(ProblemKind::Unsupported, text));
            }
            put(sink, made)
        });
    }
}
