//! lzop: LZO1X blocks with a header that carries name, mode and time, and checksums.
//!
//! Source: the lzop program, version 1.04, `lzop -l -v` and its file format notes.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::{Decoded, Error, check, lzo},
    format::{About, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Lzop;

static ABOUT: About = About {
    id: "lzop",
    name: "lzop",
    family: Family::Compression,
    revision: 1,
    metadata: "name, mode, mtime",
    integrity: "header checksum, Adler-32 or CRC-32 of each block before and after compression",
    limits: "files with a filter",
    sources: &["lzop 1.04"],
};

const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";
/// Largest block lzop makes.
const BLOCK_MAX: usize = 64 << 20;

/// What the header says.
struct Header {
    length: usize,
    flags: u32,
    mode: u32,
    mtime: u64,
    name: Vec<u8>,
    level: u8,
    right: bool,
}

/// A checksum as the flags choose it.
fn checksum(crc: bool, data: &[u8]) -> u32 {
    if crc { check::crc32(data) } else { check::adler32(data) }
}

fn header(data: &[u8]) -> Option<Header> {
    if !data.starts_with(MAGIC) {
        return None;
    }
    let first = MAGIC.len();
    let version = read::be16(data, first)?;
    let new = version >= 0x940;
    let mut at = first.checked_add(if new { 6 } else { 4 })?;
    let mut take = |n: usize| {
        let here = at;
        at = at.saturating_add(n);
        here
    };
    let method = read::u8(data, take(1))?;
    let level = if new { read::u8(data, take(1))? } else { 0 };
    let flags = read::be32(data, take(4))?;
    if !(1..=3).contains(&method) || flags & 0x800 != 0 {
        return None;
    }
    let mode = read::be32(data, take(4))?;
    let low = read::be32(data, take(4))?;
    let high = if new { read::be32(data, take(4))? } else { 0 };
    let len = usize::from(read::u8(data, take(1))?);
    let name = read::slice(data, take(len), len)?.to_vec();
    let sum = checksum(flags & 0x1000 != 0, data.get(first..take(0))?);
    let right = read::be32(data, take(4))? == sum;
    if flags & 0x40 != 0 {
        let extra = read::index(u64::from(read::be32(data, take(4))?))?;
        take(extra.checked_add(4)?);
    }
    let mtime = (u64::from(high) << 32) | u64::from(low);
    Some(Header { length: take(0), flags, mode, mtime, name, level, right })
}

fn decode(data: &[u8], max: usize, budget: &Budget) -> Decoded {
    let Some(head) = header(data) else {
        return Decoded::failed(Error::Malformed { what: "no lzop header", at: 0 });
    };
    let mut all = Decoded::default();
    let mut wrong =
        (!head.right).then_some(Error::Checksum { what: "checksum of the lzop header", at: 0 });
    all.consumed = head.length.min(data.len());
    let end = blocks(data, head.flags, max, budget, &mut all, &mut wrong);
    all.error = wrong.or(end.err());
    all
}

fn blocks(
    data: &[u8],
    flags: u32,
    max: usize,
    budget: &Budget,
    all: &mut Decoded,
    wrong: &mut Option<Error>,
) -> Result<(), Error> {
    let cut = Error::Truncated { what: "lzop", at: data.len() };
    loop {
        let mut at = all.consumed;
        let mut word = || {
            let value = read::be32(data, at).ok_or(cut);
            at = at.saturating_add(4);
            value
        };
        let plain = word()? as usize;
        if plain == 0 {
            all.consumed = at;
            return Ok(());
        }
        let packed = word()? as usize;
        let bad = Error::Malformed { what: "an lzop block of impossible size", at: all.consumed };
        if plain > BLOCK_MAX || packed > plain {
            return Err(bad);
        }
        // Checksums of the content, then of the compressed bytes where they differ: Adler, CRC each.
        let mut sums = [None; 4];
        for (n, flag) in [1, 0x100, 2, 0x200].into_iter().enumerate() {
            if flags & flag != 0
                && (n < 2 || packed < plain)
                && let Some(sum) = sums.get_mut(n)
            {
                *sum = Some(word()?);
            }
        }
        let body = read::slice(data, at, packed).ok_or(cut)?;
        if plain > max.saturating_sub(all.bytes.len()) {
            return Err(Error::Limit { max });
        }
        let first = all.bytes.len();
        if packed == plain {
            budget.output(plain as u64)?;
            all.bytes.append(body, budget.spool());
        } else {
            let part = lzo::decode(body, plain, budget);
            all.bytes.append(&part.bytes, budget.spool());
            if let Some(e) = part.error {
                return Err(match e {
                    Error::Truncated { .. } => {
                        Error::Malformed { what: "an lzop block is damaged", at }
                    }
                    e => e,
                });
            }
            if part.bytes.len() != plain || part.consumed != packed {
                return Err(Error::Malformed { what: "an lzop block has not its size", at });
            }
        }
        let content = all.bytes.get(first..).unwrap_or_default();
        for (sum, (crc, bytes)) in
            sums.into_iter().zip([(false, content), (true, content), (false, body), (true, body)])
        {
            if sum.is_some_and(|s| s != checksum(crc, bytes)) {
                wrong.get_or_insert(Error::Checksum { what: "checksum of an lzop block", at });
            }
        }
        all.consumed = at.saturating_add(packed);
    }
}

impl Format for Lzop {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(MAGIC)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        candidate(at, decode(data.get(at..)?, room(budget), budget), Proof::ChecksumVerified)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(head) = header(region) else { return };
        sink.attribute("compression", "lzo");
        sink.attribute("level", head.level);
        let metadata = Metadata {
            mode: (head.mode != 0).then_some(head.mode & 0o7777),
            mtime: i64::try_from(head.mtime).ok().filter(|t| *t != 0),
            ..Metadata::default()
        };
        emit(sink, Some(head.name), metadata, decoded, || decode(region, room(budget), budget));
    }
}
