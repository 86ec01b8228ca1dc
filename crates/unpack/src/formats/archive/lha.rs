//! LHA and LZH archives, header levels 0 to 3.
//!
//! Source: "LHA header" notes of LHa for UNIX; `-lh4-` to `-lh7-` as in codec `lzh`.

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{Summed, dos_seconds, entry, put};
use crate::{
    budget::Budget,
    codec::{Decoded, check, lzh, packed},
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Lha;

static ABOUT: About = About {
    id: "lha",
    name: "LHA / LZH",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, owner, mtime, symbolic links",
    integrity: "header sums, CRC-16 of each content",
    limits: "methods lh1 to lh3 and the lz family are named, not decoded",
    sources: &["LHa for UNIX: header.doc.md"],
};

/// One header.
#[derive(Default)]
struct Head {
    method: [u8; 5],
    size: usize,
    mtime: Option<i64>,
    name: Vec<u8>,
    folder: Vec<u8>,
    crc: u16,
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
    data: (usize, usize),
    verified: bool,
}

fn head(data: &[u8], at: usize) -> Option<Head> {
    let h = data.get(at..)?;
    let mut made = Head { method: read::array(h, 2)?, ..Head::default() };
    let [b'-', b'l', b'h' | b'z', kind, b'-'] = made.method else { return None };
    if !matches!(kind, b'0'..=b'9' | b'd' | b's') {
        return None;
    }
    let mut packed = read::index(read::le32(h, 7)?.into())?;
    made.size = read::index(read::le32(h, 11)?.into())?;
    let level = read::u8(h, 20)?;
    let time = read::le32(h, 15)?;
    made.mtime = if level < 2 { dos_seconds(time) } else { Some(time.into()) };
    // Where the chain of extended headers begins, the width of its sizes, and where the header ends.
    let (mut next, wide, total);
    match level {
        0 | 1 => {
            let len = usize::from(read::u8(h, 0)?);
            let body = read::slice(h, 2, len)?;
            made.verified = body.iter().fold(0u8, |s, b| s.wrapping_add(*b)) == read::u8(h, 1)?;
            let name_len = usize::from(read::u8(h, 21)?);
            made.name = read::slice(h, 22, name_len)?.to_vec();
            let after = name_len.checked_add(22)?;
            made.crc = read::le16(h, after)?;
            total = len.checked_add(2)?;
            wide = false;
            if level == 0 {
                // Unix adds time, mode and owner.
                if read::u8(h, after.checked_add(2)?) == Some(b'U')
                    && len >= after.checked_add(12)?
                {
                    let field = |n: usize| after.checked_add(n);
                    made.mtime = read::le32(h, field(4)?).map(i64::from);
                    made.mode = read::le16(h, field(8)?).map(u32::from);
                    made.owner = read::le16(h, field(10)?)
                        .zip(read::le16(h, field(12)?))
                        .map(|(u, g)| (u.into(), g.into()));
                }
                next = 0;
            } else {
                next = read::le16(h, total.checked_sub(2)?)?.into();
            }
        }
        2 => {
            total = usize::from(read::le16(h, 0)?);
            made.crc = read::le16(h, 21)?;
            next = read::le16(h, 24)?.into();
            wide = false;
        }
        3 => {
            total = read::index(read::le32(h, 24)?.into())?;
            made.crc = read::le16(h, 21)?;
            next = read::index(read::le32(h, 28)?.into())?;
            wide = true;
        }
        _ => return None,
    }
    let mut ext = match level {
        2 => 26,
        3 => 32,
        _ => total,
    };
    let mut extended = 0usize;
    let tail = if wide { 4 } else { 2 };
    for _ in 0..64 {
        if next == 0 {
            break;
        }
        let part = read::slice(h, ext, next)?;
        let value = part.get(1..part.len().checked_sub(tail)?)?;
        match part.first()? {
            0 if level >= 2 => {
                // CRC of the whole header, with this field as zero.
                let mut whole = read::slice(h, 0, total)?.to_vec();
                whole.get_mut(ext.checked_add(1)?..ext.checked_add(3)?)?.fill(0);
                made.verified = read::le16(value, 0)? == check::crc16(&whole);
            }
            1 => made.name = value.to_vec(),
            2 => made.folder = value.iter().map(|b| if *b == 0xff { b'/' } else { *b }).collect(),
            0x50 => made.mode = read::le16(value, 0).map(u32::from),
            0x51 => {
                made.owner = read::le16(value, 2)
                    .zip(read::le16(value, 0))
                    .map(|(u, g)| (u.into(), g.into()));
            }
            0x54 => made.mtime = read::le32(value, 0).map(i64::from),
            _ => {}
        }
        extended = extended.checked_add(next)?;
        ext = ext.checked_add(next)?;
        let size_at = ext.checked_sub(tail)?;
        next = if wide {
            read::index(read::le32(h, size_at)?.into())?
        } else {
            read::le16(h, size_at)?.into()
        };
    }
    let mut start = total;
    if level == 1 {
        start = total.checked_add(extended)?;
        packed = packed.checked_sub(extended)?;
    }
    let start = at.checked_add(start)?;
    made.data = (start, start.checked_add(packed)?);
    Some(made)
}

fn decode(method: u8, data: &[u8], size: usize, budget: &Budget) -> Option<Decoded> {
    Some(match method {
        b'0' => packed::copy(data, size, budget),
        b'4' | b'5' => lzh::decode(data, lzh::Variant::Lh5, size, budget),
        b'6' => lzh::decode(data, lzh::Variant::Lh6, size, budget),
        b'7' => lzh::decode(data, lzh::Variant::Lh7, size, budget),
        _ => return None,
    })
}

/// Walks the headers; returns the end, their number, whether the end mark was there and all header sums were
/// right, and whether the last content is whole.
fn walk(
    data: &[u8],
    start: usize,
    budget: &Budget,
    mut visit: impl FnMut(&Head) -> bool,
) -> (usize, u64, bool, bool) {
    let (mut at, mut count, mut right) = (start, 0u64, true);
    loop {
        if budget.work(32).is_err() {
            return (at, count, false, true);
        }
        let Some(head) = head(data, at) else {
            let ended = read::u8(data, at) == Some(0);
            let end = at.saturating_add(usize::from(ended)).min(data.len());
            return (end, count, ended && right, at < data.len() || ended);
        };
        count = count.saturating_add(1);
        right &= head.verified;
        let more = visit(&head);
        at = head.data.1;
        if at > data.len() || !more {
            return (at.min(data.len()), count, false, at <= data.len());
        }
    }
}

impl Format for Lha {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const {
            &[
                Magic::anywhere(b"-lh0-").after(2),
                Magic::anywhere(b"-lh1-").after(2),
                Magic::anywhere(b"-lh4-").after(2),
                Magic::anywhere(b"-lh5-").after(2),
                Magic::anywhere(b"-lh6-").after(2),
                Magic::anywhere(b"-lh7-").after(2),
                Magic::anywhere(b"-lhd-").after(2),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let first = head(data, at)?;
        let (end, count, ended, whole) = walk(data, at, budget, |_| true);
        if !first.verified && count < 2 {
            return None;
        }
        let proof = if ended { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut found = Candidate::new(at, end.checked_sub(at).filter(|n| *n > 0)?, proof);
        if !whole {
            found.problems.push(Problem::new(ProblemKind::Truncated, "the archive is cut off"));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        walk(region, 0, budget, |head| put(sink, member(region, head)));
    }
}

fn member(region: &Bytes, head: &Head) -> Entry {
    let [_, _, _, method, _] = head.method;
    let mut name = head.folder.clone();
    // Folders are separated by 0xff, or on DOS by a backslash.
    name.extend(head.name.iter().map(|b| if matches!(b, 0xff | b'\\') { b'/' } else { *b }));
    // A link is written as `name|target`.
    let link = head.mode.is_some_and(|m| m & 0o170_000 == 0o120_000);
    let split = name.iter().position(|b| *b == b'|').filter(|_| link);
    let target = split.and_then(|at| name.get(at.saturating_add(1)..)).map(escape);
    name.truncate(split.unwrap_or(name.len()));
    let kind = match target {
        Some(target) => EntryKind::Symlink { target },
        None if method == b'd' => EntryKind::Directory,
        None => EntryKind::File,
    };
    let mut made = entry(&name, kind);
    made.metadata = Metadata {
        mode: head.mode.map(|m| m & 0o7777),
        uid: head.owner.map(|o| o.0),
        gid: head.owner.map(|o| o.1),
        mtime: head.mtime,
        xattrs: Vec::new(),
    };
    let (from, to) = head.data;
    if to > region.len() {
        made.problems.push(Problem::new(ProblemKind::Truncated, "the content is cut off"));
    }
    if made.kind == EntryKind::File {
        let data = region.slice(from.min(region.len())..to.min(region.len()));
        if matches!(method, b'0' | b'4'..=b'7') {
            let content = Summed { data, decode, method, size: head.size, crc: head.crc };
            made.blob = Blob::Lazy(std::sync::Arc::new(content));
        } else {
            let text = format!("compression method `{}` is not read", escape(&head.method));
            made.problems.push(Problem::new(ProblemKind::Unsupported, text));
        }
    }
    made
}
