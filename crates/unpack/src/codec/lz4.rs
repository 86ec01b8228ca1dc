//! LZ4: raw blocks, frames, and the legacy format of old kernels.
//!
//! Source: "LZ4 block format" and "LZ4 frame format" 1.6 of the LZ4 project.

use super::{Decoded, Error, Output, check::xxh32, copy_match};
use crate::{budget::Budget, read};

/// First bytes of a frame.
pub const MAGIC: u32 = 0x184d_2204;
/// First bytes of the legacy format.
pub const LEGACY: u32 = 0x184c_2102;
/// Bytes of content of a legacy block that is not the last.
const LEGACY_BLOCK: usize = 8 << 20;

/// Decodes a raw block: all of `input`, without a mark at its end.
#[must_use]
pub fn decode_block(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0, 0);
    let error = block(input, &mut ip, &mut out, &mut op, 0, max).err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error }
}

/// Decodes one block to `op`; matches reach back to `base`, the output may reach `limit`.
#[allow(clippy::arithmetic_side_effects)] // lengths below the slice they were checked against
fn block(
    input: &[u8],
    ip: &mut usize,
    out: &mut Output<'_>,
    op: &mut usize,
    base: usize,
    limit: usize,
) -> Result<(), Error> {
    let cut = Error::Truncated { what: "LZ4", at: input.len() };
    let long = |ip: &mut usize, nibble: usize| {
        let mut n = nibble;
        if nibble == 15 {
            let rest = input.get(*ip..).unwrap_or_default();
            let full = rest.iter().take_while(|b| **b == 255).count();
            let last = usize::from(*rest.get(full).ok_or(cut)?);
            *ip += full + 1;
            n = full.saturating_mul(255).saturating_add(15 + last);
        }
        Ok::<_, Error>(n)
    };
    loop {
        let end = out.room().min(limit);
        fast(input, ip, &mut out.buf, op, base, end);
        let token = usize::from(read::u8(input, *ip).ok_or(cut)?);
        *ip += 1;
        let len = long(ip, token >> 4)?;
        let source = read::slice(input, *ip, len).ok_or(cut)?;
        let end = op.saturating_add(len);
        room(out, end, limit)?;
        if let Some(target) = out.buf.get_mut(*op..end) {
            target.copy_from_slice(source);
        }
        *op = end;
        *ip += len;
        if *ip == input.len() {
            return Ok(());
        }
        let dist = usize::from(read::le16(input, *ip).ok_or(cut)?);
        *ip += 2;
        let len = long(ip, token & 15)?.saturating_add(4);
        if dist == 0 || dist > *op - base {
            return Err(Error::Malformed {
                what: "an LZ4 match reaches before the start",
                at: *ip,
            });
        }
        let end = op.saturating_add(len);
        if let Err(e) = room(out, end, limit) {
            // What still fits is a true beginning of the content.
            let fits = out.room().min(limit).saturating_sub(*op);
            copy_match(&mut out.buf, *op, dist, fits);
            *op += fits;
            return Err(e);
        }
        copy_match(&mut out.buf, *op, dist, len);
        *op = end;
    }
}

/// Decodes sequences of fewer than 15 literals and a match of fewer than 19 bytes, which most are, in copies of fixed size
/// that may write behind their end; up to the first that is anything else, is not right, or is close to the end of input or
/// output.
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)] // places below the ends that are checked first
fn fast(input: &[u8], ip: &mut usize, out: &mut [u8], op: &mut usize, base: usize, end: usize) {
    let end = end.min(out.len());
    // Fixed sizes, so that the compiler knows what a copy is and checks its bounds once.
    while let Some(source) = input.get(*ip..).and_then(<[u8]>::first_chunk::<19>)
        && *op + 48 <= end
    {
        let (literals, more) = (usize::from(source[0] >> 4), usize::from(source[0] & 15));
        if literals == 15 || more == 15 {
            return;
        }
        let dist = usize::from(u16::from_le_bytes([source[literals + 1], source[literals + 2]]));
        let at = *op + literals;
        if dist == 0 || dist > at - base {
            return;
        }
        let target = &mut out[..*op + 48];
        target[*op..*op + 16].copy_from_slice(&source[1..17]);
        let (from, len) = (at - dist, more + 4);
        if dist >= 18 {
            target.copy_within(from..from + 18, at);
        } else if dist >= 8 {
            for step in [0, 8, 16] {
                target.copy_within(from + step..from + step + 8, at + step);
            }
        } else {
            for n in 0..len {
                target[at + n] = target[from + n];
            }
        }
        *ip += literals + 3;
        *op = at + len;
    }
}

fn room(out: &mut Output<'_>, end: usize, limit: usize) -> Result<(), Error> {
    if end > limit {
        return Err(Error::Limit { max: limit });
    }
    while out.room() < end {
        out.grow()?;
    }
    Ok(())
}

/// Decodes all frames that follow each other from the start of `input`; skippable ones are skipped.
#[must_use]
pub fn decode_frames(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0usize, 0usize);
    let mut wrong = None;
    let mut go = || {
        loop {
            let rest = input.get(ip..).unwrap_or_default();
            if let Some(len) = super::zstd::skippable(rest) {
                if len > rest.len() {
                    return Err(Error::Truncated { what: "LZ4", at: input.len() });
                }
                ip = ip.saturating_add(len);
            } else if read::le32(rest, 0) == Some(MAGIC) {
                frame(input, &mut ip, &mut out, &mut op, &mut wrong)?;
            } else if ip == 0 {
                return Err(Error::Malformed { what: "no LZ4 frame", at: 0 });
            } else {
                return Ok(());
            }
        }
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error: wrong.or(error) }
}

fn frame(
    input: &[u8],
    ip: &mut usize,
    out: &mut Output<'_>,
    op: &mut usize,
    wrong: &mut Option<Error>,
) -> Result<(), Error> {
    let cut = Error::Truncated { what: "LZ4", at: input.len() };
    let start = *ip;
    let bad = |what| Error::Malformed { what, at: start };
    let at = |n: usize| start.saturating_add(n);
    let flags = read::u8(input, at(4)).ok_or(cut)?;
    let sizes = read::u8(input, at(5)).ok_or(cut)?;
    let step = (sizes >> 4) & 7;
    if flags >> 6 != 1 || flags & 2 != 0 || sizes & 0x8f != 0 || step < 4 {
        return Err(bad("the LZ4 frame header is not right"));
    }
    let mut head = 6usize;
    let size = if flags & 8 != 0 {
        head = 14;
        Some(read::le64(input, at(6)).ok_or(cut)?)
    } else {
        None
    };
    if flags & 1 != 0 {
        return Err(Error::Unsupported {
            what: "an LZ4 frame with a dictionary of its own",
            at: start,
        });
    }
    let described = read::slice(input, at(4), head.saturating_sub(4)).ok_or(cut)?;
    let [_, sum, ..] = xxh32(described).to_le_bytes();
    if read::u8(input, at(head)).ok_or(cut)? != sum {
        return Err(Error::Checksum { what: "LZ4 frame header checksum", at: start });
    }
    *ip = at(head).saturating_add(1);
    let first = *op;
    let most = 1usize << (8u8.saturating_add(step.saturating_mul(2)));
    loop {
        let word = read::le32(input, *ip).ok_or(cut)?;
        *ip = ip.saturating_add(4);
        if word == 0 {
            break;
        }
        let len = (word & 0x7fff_ffff) as usize;
        if len > most {
            return Err(Error::Malformed { what: "an LZ4 block is too long", at: *ip });
        }
        let data = read::slice(input, *ip, len).ok_or(cut)?;
        let limit = op.saturating_add(most).min(out.max());
        if word >> 31 == 1 {
            let end = op.saturating_add(len);
            room(out, end, out.max())?;
            if let Some(target) = out.buf.get_mut(*op..end) {
                target.copy_from_slice(data);
            }
            *op = end;
        } else {
            let base = if flags & 0x20 != 0 { *op } else { first };
            let mut inner = 0;
            block(data, &mut inner, out, op, base, limit).map_err(|e| match e {
                Error::Truncated { .. } => {
                    Error::Malformed { what: "an LZ4 block is damaged", at: *ip }
                }
                e => e,
            })?;
        }
        *ip = ip.saturating_add(len);
        if flags & 0x10 != 0 {
            if read::le32(input, *ip).ok_or(cut)? != xxh32(data) {
                wrong.get_or_insert(Error::Checksum { what: "checksum of an LZ4 block", at: *ip });
            }
            *ip = ip.saturating_add(4);
        }
    }
    let content = out.buf.get(first..*op).unwrap_or_default();
    if flags & 4 != 0 {
        if read::le32(input, *ip).ok_or(cut)? != xxh32(content) {
            wrong.get_or_insert(Error::Checksum { what: "checksum of an LZ4 frame", at: *ip });
        }
        *ip = ip.saturating_add(4);
    }
    if size.is_some_and(|n| n != content.len() as u64) {
        return Err(bad("an LZ4 frame has not the size its header says"));
    }
    Ok(())
}

/// Decodes the legacy format: blocks of 8 MiB, and no mark at the end. The stream is over at a block that
/// holds less, at the end of the input, or at a length that no block can have.
#[must_use]
pub fn decode_legacy(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    /// Longest result of compressing 8 MiB.
    const BOUND: usize = LEGACY_BLOCK + LEGACY_BLOCK / 255 + 16;
    if read::le32(input, 0) != Some(LEGACY) {
        return Decoded::failed(Error::Malformed { what: "no legacy LZ4 header", at: 0 });
    }
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (4usize, 0usize);
    let mut go = || {
        loop {
            // A new header may follow, as after concatenation.
            let len = match read::le32(input, ip) {
                Some(LEGACY) if op > 0 => {
                    budget.work(64)?;
                    ip = ip.saturating_add(4);
                    continue;
                }
                Some(n) if n != 0 && (n as usize) <= BOUND => n as usize,
                _ if op > 0 => return Ok(()),
                Some(_) => return Err(Error::Malformed { what: "no LZ4 block", at: ip }),
                None => return Err(Error::Truncated { what: "LZ4", at: input.len() }),
            };
            let at = ip.saturating_add(4);
            let have = input.get(at..).unwrap_or_default();
            let data = have.get(..len.min(have.len())).unwrap_or_default();
            let (first, mut inner) = (op, 0);
            let limit = op.saturating_add(LEGACY_BLOCK).min(out.max());
            match block(data, &mut inner, &mut out, &mut op, first, limit) {
                Ok(()) if data.len() == len => {}
                Err(e @ (Error::Exhausted(_) | Error::Limit { .. })) if limit == out.max() => {
                    return Err(e);
                }
                // What follows a full block need not belong to the stream.
                Err(Error::Malformed { .. } | Error::Limit { .. }) if first > 0 => {
                    op = first;
                    return Ok(());
                }
                _ if data.len() < len => {
                    ip = at.saturating_add(data.len());
                    return Err(Error::Truncated { what: "LZ4", at: input.len() });
                }
                _ => return Err(Error::Malformed { what: "an LZ4 block is damaged", at }),
            }
            ip = at.saturating_add(len);
            if op.saturating_sub(first) < LEGACY_BLOCK {
                return Ok(());
            }
        }
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error }
}
