//! LZW as written by `compress` (.Z): codes of 9 to 16 bits, least significant bit first, in
//! groups of eight.
//!
//! Method: T. Welch, "A technique for high-performance data compression" (1984); the group
//! padding is that of compress 4.0.

use super::{Decoded, Error, Output};
use crate::budget::Budget;

/// Decodes a `.Z` file, header included. The format has no end mark: the stream ends with the input, or
/// with [`Error::Malformed`] at the first code that cannot occur.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0, 0);
    let error = run(input, &mut ip, &mut out, &mut op).err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error }
}

/// What a code stands for.
struct Text {
    /// The code of all but the last byte.
    before: u16,
    last: u8,
    /// Bytes.
    length: u32,
}

// Codes that are followed are below `free`, the size of the table; bit positions stay within the input.
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
fn run(input: &[u8], ip: &mut usize, out: &mut Output<'_>, op: &mut usize) -> Result<(), Error> {
    let [0x1f, 0x9d, flags, data @ ..] = input else {
        return Err(Error::Malformed { what: "no compress header", at: 0 });
    };
    let most = u32::from(flags & 0x1f);
    if !(9..=16).contains(&most) || flags & 0x60 != 0 {
        return Err(Error::Malformed { what: "the compress header is not right", at: 2 });
    }
    let blocks = flags & 0x80 != 0;
    let first_free = if blocks { 257 } else { 256 };
    // Grown as codes are defined: most places that look like a header are none, and must cost little.
    let mut table: Vec<Text> =
        (0..first_free).map(|code| Text { before: 0, last: code as u8, length: 1 }).collect();
    let mut width = 9u32;
    let mut free = first_free;
    let mut group = 0usize; // byte where codes of this width began
    let mut bits = 0usize; // bits used since
    let mut before: Option<usize> = None;
    loop {
        // The width grows when the table is about to need it, at the next group of eight codes.
        if free > (1usize << width) - 1 && width < most {
            group += bits.div_ceil(8 * width as usize) * width as usize;
            bits = 0;
            width += 1;
        }
        let at = group + bits / 8;
        let have = data.len().saturating_sub(at).min(4);
        if have * 8 < bits % 8 + width as usize {
            *ip = input.len();
            return Ok(());
        }
        let mut word = [0; 4];
        word[..have].copy_from_slice(&data[at..at + have]);
        let code = ((u32::from_le_bytes(word) >> (bits % 8)) & ((1 << width) - 1)) as usize;
        bits += width as usize;
        *ip = (3 + group + bits.div_ceil(8)).min(input.len());
        if code == 256 && blocks {
            group += bits.div_ceil(8 * width as usize) * width as usize;
            bits = 0;
            width = 9;
            free = 257;
            table.truncate(free);
            before = None;
            continue;
        }
        let bad = Error::Malformed { what: "a compress code that cannot occur", at: *ip };
        let Some(last) = before else {
            if code > 255 {
                return Err(bad);
            }
            while out.room() <= *op {
                out.grow()?;
            }
            out.buf[*op] = code as u8;
            *op += 1;
            before = Some(code);
            continue;
        };
        if code > free || (code == free && free >= 1 << most) {
            return Err(bad);
        }
        // The code being defined right now stands for the last text and its first byte again.
        let repeat = code == free;
        let mut walk = if repeat { last } else { code };
        let len = table[walk].length as usize + usize::from(repeat);
        let end = op.saturating_add(len);
        while out.room() < end {
            out.grow()?;
        }
        let mut to = if repeat { end - 1 } else { end };
        while walk >= 256 && to > *op {
            to -= 1;
            out.buf[to] = table[walk].last;
            walk = usize::from(table[walk].before);
        }
        out.buf[*op] = walk as u8;
        let head = out.buf[*op];
        if repeat {
            out.buf[end - 1] = head;
        }
        *op = end;
        if free < 1 << most {
            let length = table[last].length.saturating_add(1);
            table.push(Text { before: last as u16, last: head, length });
            free += 1;
        }
        before = Some(code);
    }
}
