//! Method 13: LZ77 with a window of 64 KiB. Bits come least significant first; a first byte says whether the codes follow
//! or are one of five built-in sets.

use super::{Decoded, Error, Low, Prefix, Window, tables};
use crate::budget::Budget;

/// Symbols of literals and lengths.
const MAIN: usize = 321;

fn bad(bits: &Low<'_>) -> Error {
    Error::Malformed { what: "a code of StuffIt method 13 is not right", at: bits.consumed() }
}

/// A code of `count` symbols whose lengths are coded as steps from one to the next.
fn read_code(bits: &mut Low<'_>, meta: &Prefix, count: usize) -> Result<Prefix, Error> {
    let mut lengths = vec![0_u8; count];
    let (mut at, mut len) = (0, 0_i32);
    while at < count {
        let more = match meta.read(|| bits.take(1)).ok_or_else(|| bad(bits))? {
            31 => {
                len = 0;
                1
            }
            32 => {
                len += 1;
                1
            }
            33 => {
                len -= 1;
                1
            }
            34 => bits.take(1) + 1,
            35 => bits.take(3) + 3,
            36 => bits.take(6) + 11,
            set => {
                len = set as i32 + 1;
                1
            }
        };
        if bits.is_over() || !(0..=32).contains(&len) {
            return Err(bad(bits));
        }
        let end = (at + more).min(count);
        lengths[at..end].fill(len as u8);
        at = end;
    }
    Prefix::of_lengths(&lengths).ok_or_else(|| bad(bits))
}

/// Decodes `size` bytes.
pub fn decode(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let mut bits = Low::new(input);
    let mut out = Window::new(size, 0, budget);
    let error = run(&mut bits, &mut out).err();
    out.finish(bits.consumed(), error)
}

fn run(bits: &mut Low<'_>, out: &mut Window<'_>) -> Result<(), Error> {
    let head = bits.take(8);
    let codes = match head >> 4 {
        0 => {
            let mut meta = Prefix::default();
            for (symbol, (code, len)) in (0..).zip(tables::META) {
                meta.insert(code.into(), len, symbol).ok_or_else(|| bad(bits))?;
            }
            let first = read_code(bits, &meta, MAIN)?;
            let second = if head & 8 != 0 { first.clone() } else { read_code(bits, &meta, MAIN)? };
            [first, second, read_code(bits, &meta, 10 + (head & 7))?]
        }
        set @ 1..=5 => {
            let made = tables::SETS[set - 1].map(|digits| {
                let lengths: Vec<u8> =
                    digits.iter().map(|d| char::from(*d).to_digit(36).unwrap_or(0) as u8).collect();
                Prefix::of_lengths(&lengths)
            });
            match made {
                [Some(first), Some(second), Some(distances)] => [first, second, distances],
                _ => return Err(bad(bits)),
            }
        }
        _ => return Err(bad(bits)),
    };
    let mut after_match = false;
    while !out.is_full() {
        let symbol =
            codes[usize::from(after_match)].read(|| bits.take(1)).ok_or_else(|| bad(bits))?;
        after_match = symbol > 255;
        if !after_match {
            if bits.is_over() {
                return Err(Error::Truncated { what: "StuffIt", at: bits.consumed() });
            }
            out.push(symbol as u8)?;
            continue;
        }
        let len = match symbol {
            318 => bits.take(10) + 65,
            319 => bits.take(15) + 65,
            320.. => return Err(bad(bits)),
            _ => symbol - 253,
        };
        let dist = match codes[2].read(|| bits.take(1)).ok_or_else(|| bad(bits))? {
            0 => 1,
            slot => (1 << (slot - 1)) + bits.take(slot as u32 - 1) + 1,
        };
        if bits.is_over() {
            return Err(Error::Truncated { what: "StuffIt", at: bits.consumed() });
        }
        out.repeat(dist, len)?;
    }
    Ok(())
}
