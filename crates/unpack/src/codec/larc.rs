//! LZSS of LArc: methods `-lz5-` and `-lzs-` of LHA. Matches name a place in a ring of 4 or 2 KiB that is full from the
//! start.
//!
//! Source: the facts as lhasa and delharc (MIT or Apache-2.0) read them.

// Places are taken modulo the ring.
#![allow(clippy::arithmetic_side_effects)]

use super::{Decoded, Error, bits::Bits, window::Window};
use crate::{budget::Budget, read};

/// A ring of a power of two, where its first byte comes to lie, and what lies in it before.
struct Ring {
    size: usize,
    start: usize,
    fill: fn(usize) -> u8,
}

impl Ring {
    /// Adds `len` bytes from the place `from` of the ring on.
    fn repeat(&self, out: &mut Window<'_>, from: usize, len: usize) -> Result<(), Error> {
        let dist = (self.start + out.len()).wrapping_sub(from) % self.size;
        let dist = if dist == 0 { self.size } else { dist };
        for n in from..from + len {
            if out.is_full() {
                break;
            }
            let byte = if dist <= out.len() { out.back(dist) } else { (self.fill)(n % self.size) };
            out.push(byte)?;
        }
        Ok(())
    }
}

/// Thirteen times each byte, all bytes up and down, zeros, spaces, and zeros again.
fn lz5_fill(at: usize) -> u8 {
    match at {
        ..0xD00 => (at / 13) as u8,
        0xD00..0xE00 => at as u8,
        0xE00..0xF00 => 0xFF - at as u8,
        0xF80..0xFEE => b' ',
        _ => 0,
    }
}

/// Decodes exactly `size` bytes of `-lz5-`: eight flags in a byte, then bytes or pairs of twelve bits of place and four of
/// length.
#[must_use]
pub fn lz5(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let ring = Ring { size: 4096, start: 4096 - 18, fill: lz5_fill };
    let mut out = Window::new(size, 0, budget);
    let (mut at, mut flags) = (0, 1_u16);
    let mut go = || {
        let cut = Error::Truncated { what: "LArc", at: input.len() };
        while !out.is_full() {
            if flags == 1 {
                flags = u16::from(read::u8(input, at).ok_or(cut)?) | 0x100;
                at += 1;
            }
            if flags & 1 == 1 {
                out.push(read::u8(input, at).ok_or(cut)?)?;
                at += 1;
            } else {
                let pair = usize::from(read::le16(input, at).ok_or(cut)?);
                let place = (pair >> 4 & 0xF00) | (pair & 0xFF);
                ring.repeat(&mut out, place, (pair >> 8 & 15) + 3)?;
                at += 2;
            }
            flags >>= 1;
        }
        Ok(())
    };
    let error = go().err();
    out.finish(at.min(input.len()), error)
}

/// Decodes exactly `size` bytes of `-lzs-`: a bit, then eight of a byte or eleven of place and four of length.
#[must_use]
pub fn lzs(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let ring = Ring { size: 2048, start: 2048 - 17, fill: |_| b' ' };
    let mut out = Window::new(size, 0, budget);
    let mut bits = Bits::new(input, 0);
    let mut go = || {
        while !out.is_full() {
            let (place, more) = match bits.take(1) {
                1 => (None, bits.take(8)),
                _ => (Some(bits.take(11)), bits.take(4)),
            };
            if bits.is_over() {
                return Err(Error::Truncated { what: "LArc", at: input.len() });
            }
            match place {
                None => out.push(more as u8)?,
                Some(place) => ring.repeat(&mut out, place, more + 2)?,
            }
        }
        Ok(())
    };
    let error = go().err();
    out.finish(bits.consumed(), error)
}
