//! The xz container: streams of blocks, each with a filter chain ending in LZMA2 and a
//! check, followed by an index of all blocks.
//!
//! Source: "The .xz file format" 1.2.1 (public domain).

use memchr::memmem;
use proofmark_model::Digest;

use super::{Decoded, Error, Output, bcj::Filter, check, lzma2};
use crate::{budget::Budget, map, read};

/// First bytes of a stream.
pub const MAGIC: &[u8] = b"\xfd7zXZ\0";

/// Where a whole stream ends and what its index says, established without decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the stream, from its header through its footer.
    pub length: usize,
    /// Bytes of content.
    pub size: u64,
    /// Blocks.
    pub blocks: u64,
}

/// The kind of check a stream uses, by its id.
#[must_use]
pub fn check_name(id: u8) -> &'static str {
    match id {
        0 => "none",
        1 => "crc32",
        4 => "crc64",
        10 => "sha256",
        _ => "unknown",
    }
}

/// The check id of the stream at the start of `data`, if its header is right.
#[must_use]
pub fn header(data: &[u8]) -> Option<u8> {
    let flags = read::slice(data, 6, 2)?;
    let [reserved, id] = flags else { return None };
    let right = data.starts_with(MAGIC)
        && *reserved == 0
        && *id < 16
        && read::le32(data, 8)? == check::crc32(flags);
    right.then_some(*id)
}

/// Finds the end of the stream at the start of `data` by its footer and index. `None` where there is no
/// footer whose index leads back to the start exactly (cut off, damaged), or the budget ran out.
#[must_use]
pub fn extent(data: &[u8], budget: &Budget) -> Option<Extent> {
    header(data)?;
    let mut from = 12;
    loop {
        let found = memmem::find(data.get(from..)?, b"YZ")?;
        let at = from.checked_add(found)?;
        budget.work(found as u64).ok()?;
        from = at.checked_add(1)?;
        let Some(foot) = at.checked_sub(10) else { continue };
        if read::slice(data, foot.checked_add(8)?, 2) != read::slice(data, 6, 2)
            || read::le32(data, foot)
                != Some(check::crc32(read::slice(data, foot.checked_add(4)?, 6)?))
        {
            continue;
        }
        let back =
            (read::le32(data, foot.checked_add(4)?)? as usize).checked_add(1)?.checked_mul(4)?;
        let Some(index_at) = foot.checked_sub(back).filter(|i| *i >= 12) else { continue };
        budget.work(back as u64).ok()?;
        let mut bytes = Some(12u64);
        let (mut size, mut blocks) = (0u64, 0u64);
        let parsed = index(data.get(..foot)?, index_at, |unpadded, plain| {
            bytes = unpadded.checked_add(3).and_then(|n| bytes?.checked_add(n & !3));
            size = size.saturating_add(plain);
            blocks = blocks.saturating_add(1);
            Ok(())
        });
        if parsed == Ok(foot) && bytes == Some(index_at as u64) {
            return Some(Extent { length: at.checked_add(2)?, size, blocks });
        }
    }
}

/// Decodes all streams that follow each other from the start of `input`, with padding between them.
///
/// A check that does not match is reported, and decoding goes on behind it.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut op, mut consumed) = (0, 0);
    let mut wrong = None;
    loop {
        // Padding is whole groups of four zero bytes and counts only in front of another stream.
        let mut at = consumed;
        if consumed > 0 {
            while read::array(input, at) == Some([0; 4]) {
                at = at.saturating_add(4);
            }
        }
        let next = input.get(at..).unwrap_or_default();
        if consumed > 0 && header(next).is_none() {
            break;
        }
        let mut ip = 0;
        let end = stream(next, &mut ip, &mut out, &mut op, &mut wrong);
        consumed = at.saturating_add(ip.min(next.len()));
        if let Err(e) = end {
            wrong.get_or_insert(e);
            break;
        }
    }
    Decoded { bytes: out.finish(op), consumed, error: wrong }
}

/// Decodes one stream.
fn stream(
    input: &[u8],
    ip: &mut usize,
    out: &mut Output<'_>,
    op: &mut usize,
    wrong: &mut Option<Error>,
) -> Result<(), Error> {
    let cut = Error::Truncated { what: "xz", at: input.len() };
    let id = header(input).ok_or(if input.len() < 12 && MAGIC.starts_with(input) {
        cut
    } else {
        Error::Malformed { what: "the xz stream header is not right", at: 0 }
    })?;
    *ip = 12;
    let mut blocks = Vec::new();
    while read::u8(input, *ip).ok_or(cut)? != 0 {
        blocks.push(block(input, ip, id, out, op, wrong)?);
    }
    let mut listed = blocks.iter();
    let index_at = *ip;
    let mismatch =
        Error::Malformed { what: "the xz index does not match the blocks", at: index_at };
    *ip = index(input, index_at, |unpadded, plain| {
        if listed.next() == Some(&(unpadded, plain)) { Ok(()) } else { Err(mismatch) }
    })?;
    if listed.next().is_some() {
        return Err(mismatch);
    }
    let foot = read::slice(input, *ip, 12).ok_or(cut)?;
    let back = (ip.saturating_sub(index_at) / 4).saturating_sub(1);
    let right = foot.ends_with(b"YZ")
        && read::slice(foot, 8, 2) == read::slice(input, 6, 2)
        && read::le32(foot, 4) == u32::try_from(back).ok()
        && read::le32(foot, 0) == read::slice(foot, 4, 6).map(check::crc32);
    if !right {
        return Err(Error::Malformed { what: "the xz stream footer is not right", at: *ip });
    }
    *ip = ip.saturating_add(12);
    Ok(())
}

/// Reads an index from its indicator byte on, gives each record to `record`, checks its CRC, and returns
/// the place behind it.
fn index(
    input: &[u8],
    at: usize,
    mut record: impl FnMut(u64, u64) -> Result<(), Error>,
) -> Result<usize, Error> {
    let cut = Error::Truncated { what: "xz", at: input.len() };
    let bad = Error::Malformed { what: "the xz index is not right", at };
    if read::u8(input, at).ok_or(cut)? != 0 {
        return Err(bad);
    }
    let mut ip = at.saturating_add(1);
    let count = number(input, &mut ip)?;
    for _ in 0..count {
        let unpadded = number(input, &mut ip)?;
        let plain = number(input, &mut ip)?;
        record(unpadded, plain)?;
    }
    while !ip.wrapping_sub(at).is_multiple_of(4) {
        if read::u8(input, ip).ok_or(cut)? != 0 {
            return Err(bad);
        }
        ip = ip.saturating_add(1);
    }
    if read::le32(input, ip).ok_or(cut)? != check::crc32(input.get(at..ip).unwrap_or_default()) {
        return Err(Error::Checksum { what: "CRC-32 of the xz index", at: ip });
    }
    Ok(ip.saturating_add(4))
}

/// A number in groups of seven bits, at most nine bytes.
fn number(input: &[u8], ip: &mut usize) -> Result<u64, Error> {
    let mut value = 0u64;
    for n in 0..9u32 {
        let byte = read::u8(input, *ip).ok_or(Error::Truncated { what: "xz", at: input.len() })?;
        *ip = ip.saturating_add(1);
        value |= u64::from(byte & 0x7f).wrapping_shl(n.saturating_mul(7));
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::Malformed { what: "an xz number is too long", at: *ip })
}

/// Decodes one block; returns its unpadded size and the size of its content.
fn block(
    input: &[u8],
    ip: &mut usize,
    check_id: u8,
    out: &mut Output<'_>,
    op: &mut usize,
    wrong: &mut Option<Error>,
) -> Result<(u64, u64), Error> {
    let start = *ip;
    let cut = Error::Truncated { what: "xz", at: input.len() };
    let bad = |what| Error::Malformed { what, at: start };
    let header_len =
        usize::from(read::u8(input, start).ok_or(cut)?).saturating_add(1).saturating_mul(4);
    let head = read::slice(input, start, header_len).ok_or(cut)?;
    let crc_at = header_len.saturating_sub(4);
    let fields = head.get(..crc_at).unwrap_or_default();
    if read::le32(head, crc_at) != Some(check::crc32(fields)) {
        return Err(Error::Checksum { what: "CRC-32 of the xz block header", at: start });
    }
    let flags = read::u8(fields, 1).ok_or(cut)?;
    let mut at = 2;
    let packed = if flags & 0x40 != 0 { Some(number(fields, &mut at)?) } else { None };
    let plain = if flags & 0x80 != 0 { Some(number(fields, &mut at)?) } else { None };
    let mut filters = Vec::new();
    let count = flags & 3;
    for n in 0..=count {
        let id = number(fields, &mut at)?;
        let len = read::index(number(fields, &mut at)?).ok_or(bad("an xz filter is too long"))?;
        let props = read::slice(fields, at, len).ok_or(bad("an xz filter is too long"))?;
        at = at.saturating_add(len);
        match (n == count, id) {
            (true, 0x21) => {}
            (true, _) => {
                return Err(Error::Unsupported {
                    what: "an xz block that is not LZMA2",
                    at: start,
                });
            }
            (false, _) => {
                filters.push(filter(id, props).ok_or(Error::Unsupported {
                    what: "an xz filter of unknown kind",
                    at: start,
                })?)
            }
        }
    }
    *ip = start.saturating_add(header_len);
    let data_at = *ip;
    let first = *op;
    let undo = |out: &mut Output<'_>, end: usize| {
        let content = out.buf.get_mut(first..end).unwrap_or_default();
        for filter in filters.iter().rev() {
            filter.undo(content);
        }
    };
    if let Err(e) = lzma2::into(input, ip, out, op) {
        // What the last bytes would have become depends on bytes that are not there.
        undo(out, *op);
        if !filters.is_empty() {
            *op = op.saturating_sub(16).max(first);
        }
        return Err(e);
    }
    let used = ip.saturating_sub(data_at) as u64;
    let made = op.saturating_sub(first) as u64;
    if packed.is_some_and(|n| n != used) || plain.is_some_and(|n| n != made) {
        return Err(bad("an xz block has not the size its header says"));
    }
    undo(out, *op);
    let content = out.buf.get(first..*op).unwrap_or_default();
    while !ip.wrapping_sub(data_at).is_multiple_of(4) {
        if read::u8(input, *ip).ok_or(cut)? != 0 {
            return Err(bad("the padding of an xz block is not zero"));
        }
        *ip = ip.saturating_add(1);
    }
    let check_len = [0usize, 4, 8, 16, 32, 64]
        .get(usize::from(check_id).div_ceil(3))
        .copied()
        .unwrap_or_default();
    let stored = read::slice(input, *ip, check_len).ok_or(cut)?;
    let (right, what) = match check_id {
        0 => (true, ""),
        1 => (stored == check::crc32(content).to_le_bytes(), "CRC-32 of an xz block"),
        4 => (stored == check::crc64(content).to_le_bytes(), "CRC-64 of an xz block"),
        10 => (stored == Digest::of_parts(map::parts(content)).0, "SHA-256 of an xz block"),
        _ => {
            wrong.get_or_insert(Error::Unsupported { what: "the check of an xz block", at: *ip });
            (true, "")
        }
    };
    if !right {
        wrong.get_or_insert(Error::Checksum { what, at: *ip });
    }
    *ip = ip.saturating_add(check_len);
    let unpadded = (header_len as u64).saturating_add(used).saturating_add(check_len as u64);
    Ok((unpadded, made))
}

/// A filter by its id and properties.
fn filter(id: u64, props: &[u8]) -> Option<Filter> {
    if id == 3 {
        return Some(Filter::Delta(usize::from(*props.first()?).saturating_add(1)));
    }
    let pc = if props.is_empty() { 0 } else { read::le32(props, 0)? };
    Some(match id {
        4 => Filter::X86(pc),
        5 => Filter::PowerPc(pc),
        6 => Filter::Ia64(pc),
        7 => Filter::Arm(pc),
        8 => Filter::Thumb(pc),
        9 => Filter::Sparc(pc),
        10 => Filter::Arm64(pc),
        11 => Filter::RiscV(pc),
        _ => return None,
    })
}
