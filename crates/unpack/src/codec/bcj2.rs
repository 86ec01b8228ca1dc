//! BCJ2, the filter of 7z for x86 that keeps the targets of calls and jumps in streams of their own.
//!
//! Source: LZMA SDK, `Bcj2.c` (public domain).

// The table of probabilities is indexed by values below its size; positions are checked.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Decoded, Error, Output};
use crate::budget::Budget;

/// Binary adaptive range decoder over the stream of decisions.
struct Range<'a> {
    input: &'a [u8],
    at: usize,
    range: u32,
    code: u32,
}

impl Range<'_> {
    fn byte(&mut self) -> u32 {
        let byte = self.input.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        u32::from(byte)
    }

    fn bit(&mut self, probability: &mut u16) -> bool {
        let bound = (self.range >> 11) * u32::from(*probability);
        let one = self.code >= bound;
        if one {
            self.range -= bound;
            self.code -= bound;
            *probability -= *probability >> 5;
        } else {
            self.range = bound;
            *probability += (2048 - *probability) >> 5;
        }
        if self.range < 1 << 24 {
            self.range <<= 8;
            self.code = self.code << 8 | self.byte();
        }
        one
    }
}

/// Joins the four streams (code, targets of calls, targets of jumps, decisions) to `size` bytes.
#[must_use]
pub fn decode(streams: [&[u8]; 4], size: usize, budget: &Budget) -> Decoded {
    let [code, calls, jumps, decisions] = streams;
    let mut out = Output::new(size, budget);
    let mut at = 0;
    let mut read = 0;
    let mut go = || {
        out.reserve(size)?;
        let cut = |what| Error::Truncated { what, at: read };
        if decisions.len() < 5 {
            return Err(cut("BCJ2"));
        }
        let mut range = Range { input: decisions, at: 0, range: u32::MAX, code: 0 };
        for _ in 0..5 {
            range.code = range.code << 8 | range.byte();
        }
        let mut targets = [calls.as_chunks::<4>().0.iter(), jumps.as_chunks::<4>().0.iter()];
        // One probability for each byte before a call, one for jumps, one for conditional jumps.
        let mut probabilities = [1024_u16; 258];
        let mut before = 0_u8;
        while at < size {
            let byte = *code.get(read).ok_or(Error::Truncated { what: "BCJ2", at: read })?;
            read += 1;
            out.buf[at] = byte;
            at += 1;
            let conditional = before == 0x0F && byte & 0xF0 == 0x80;
            let (which, stream) = match byte {
                0xE8 => (usize::from(before), 0),
                0xE9 => (256, 1),
                _ if conditional => (257, 1),
                _ => {
                    before = byte;
                    continue;
                }
            };
            before = byte;
            if at == size || !range.bit(&mut probabilities[which]) {
                continue;
            }
            if range.at > decisions.len() + 4 {
                return Err(Error::Truncated { what: "BCJ2", at: read });
            }
            let absolute =
                targets[stream].next().ok_or(Error::Truncated { what: "BCJ2", at: read })?;
            let end = (at + 4).min(size);
            let next = u32::try_from(at + 4).unwrap_or(u32::MAX);
            let relative = u32::from_be_bytes(*absolute).wrapping_sub(next).to_le_bytes();
            out.buf[at..end].copy_from_slice(&relative[..end - at]);
            at = end;
            before = relative[3];
        }
        Ok(())
    };
    let error = go().err();
    Decoded { bytes: out.finish(at), consumed: read, error }
}
