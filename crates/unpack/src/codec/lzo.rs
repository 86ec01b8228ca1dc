//! LZO1X: the raw block format of lzop, SquashFS, UBIFS, JFFS2 and Btrfs.
//!
//! Method: the byte-level description of the stream in the Linux kernel documentation
//! (`Documentation/staging/lzo.rst`).

use super::{Decoded, Error, Output, copy_match};
use crate::{budget::Budget, read};

/// Decodes one LZO1X block up to its end marker.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0, 0);
    let error = run(input, &mut ip, &mut out, &mut op).err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error }
}

/// A length that goes on: every zero byte adds 255, the first other byte adds itself.
fn extended(input: &[u8], ip: &mut usize, base: usize) -> Result<usize, Error> {
    let rest = input.get(*ip..).unwrap_or_default();
    let zeros = rest.iter().take_while(|b| **b == 0).count();
    let cut = Error::Truncated { what: "LZO", at: input.len() };
    let last = usize::from(*rest.get(zeros).ok_or(cut)?);
    *ip = ip.saturating_add(zeros).saturating_add(1);
    Ok(zeros.saturating_mul(255).saturating_add(last).saturating_add(base))
}

/// Copies `len` literals.
fn literals(
    input: &[u8],
    ip: &mut usize,
    out: &mut Output<'_>,
    op: &mut usize,
    len: usize,
) -> Result<(), Error> {
    let have = input.get(*ip..).unwrap_or_default();
    let take = have.get(..len.min(have.len())).unwrap_or_default();
    let end = op.saturating_add(take.len());
    while out.room() < end {
        out.grow()?;
    }
    if let Some(target) = out.buf.get_mut(*op..end) {
        target.copy_from_slice(take);
    }
    *ip = ip.saturating_add(take.len());
    *op = end;
    if take.len() < len { Err(Error::Truncated { what: "LZO", at: input.len() }) } else { Ok(()) }
}

#[allow(clippy::arithmetic_side_effects)] // sums of a few small fields of one instruction
fn run(input: &[u8], ip: &mut usize, out: &mut Output<'_>, op: &mut usize) -> Result<(), Error> {
    let cut = Error::Truncated { what: "LZO", at: input.len() };
    let byte = |ip: &mut usize| {
        let b = read::u8(input, *ip).map(usize::from).ok_or(cut);
        *ip = ip.saturating_add(1);
        b
    };
    // How many literals came last: 0 to 3 behind a match, 4 for a run of its own.
    let mut before = 0;
    let first = usize::from(read::u8(input, *ip).ok_or(cut)?);
    if first > 17 {
        *ip = ip.saturating_add(1);
        literals(input, ip, out, op, first - 17)?;
        before = (first - 17).min(4);
    } else if first == 17 && input.len() >= 5 {
        // Version byte of the kernel's run-length variant.
        return Err(Error::Unsupported { what: "the LZO-RLE variant", at: *ip });
    }
    loop {
        let code = byte(ip)?;
        let (len, dist, after);
        match code {
            0..16 if before == 0 => {
                let n = if code == 0 { extended(input, ip, 18)? } else { code + 3 };
                literals(input, ip, out, op, n)?;
                before = 4;
                continue;
            }
            0..16 => {
                let high = byte(ip)? << 2;
                (len, dist) = if before == 4 {
                    (3, high + (code >> 2) + 2049)
                } else {
                    (2, high + (code >> 2) + 1)
                };
                after = code & 3;
            }
            16..64 => {
                let near = code >= 32;
                let bits = if near { code & 31 } else { code & 7 };
                len = match bits {
                    0 => extended(input, ip, if near { 33 } else { 9 })?,
                    n => n + 2,
                };
                let word = usize::from(read::le16(input, *ip).ok_or(cut)?);
                *ip = ip.saturating_add(2);
                after = word & 3;
                if near {
                    dist = (word >> 2) + 1;
                } else {
                    dist = 16384 + ((code & 8) << 11) + (word >> 2);
                    if dist == 16384 {
                        return Ok(());
                    }
                }
            }
            _ => {
                let low = ((code >> 2) & 7) + 1;
                len = if code < 128 { 3 + ((code >> 5) & 1) } else { 5 + ((code >> 5) & 3) };
                dist = (byte(ip)? << 3) + low;
                after = code & 3;
            }
        }
        if dist > *op {
            return Err(Error::Malformed {
                what: "an LZO match reaches before the start",
                at: *ip,
            });
        }
        let end = op.saturating_add(len);
        while out.room() < end {
            out.grow()?;
        }
        copy_match(&mut out.buf, *op, dist, len);
        *op = end;
        literals(input, ip, out, op, after)?;
        before = after;
    }
}
