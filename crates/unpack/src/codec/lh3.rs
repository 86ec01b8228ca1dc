//! `-lh3-`, a method between LHarc and LHA that few archives have: 286 literals and lengths of 3 to 540 and the upper seven
//! bits of a distance in a window of 8 KiB, with Huffman codes in blocks; that of distances may be a fixed one.
//!
//! Its sister `-lh2-`, with adaptive codes, is not read: of the programs at hand no two agree on it.
//!
//! Source: the facts of LHa for UNIX (`shuf.c`).

// Symbols are below 286, and their extra bits below 256.
#![allow(clippy::arithmetic_side_effects)]

use super::{Decoded, Error, bits::Bits, huffman::Tree, window::Window};
use crate::budget::Budget;

/// Literals and lengths; the last one has eight bits more.
const SYMBOLS: usize = 286;
/// Upper parts of distances.
const PLACES: usize = 128;

/// The code of so many symbols, whose lengths `one` reads. Three first lengths of one are the sign of a code of a single
/// symbol, of `width` bits.
fn tree(
    bits: &mut Bits<'_>,
    count: usize,
    width: u32,
    one: impl Fn(&mut Bits<'_>) -> usize,
) -> Result<Tree, Error> {
    let mut lengths = Vec::with_capacity(count);
    while lengths.len() < count {
        lengths.push(one(bits) as u8);
        if lengths == [1, 1, 1] {
            return Ok(Tree::single(bits.take(width)));
        }
    }
    let at = bits.consumed();
    Tree::new(&lengths)
        .ok_or(Error::Malformed { what: "a Huffman code of LZH is not complete", at })
}

/// Decodes exactly `size` bytes.
#[must_use]
pub fn decode(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let mut bits = Bits::new(input, 0);
    let mut out = Window::new(size, b' ', budget);
    let mut go = || {
        while !out.is_full() {
            let left = match bits.take(16) {
                0 => 1 << 16,
                n => n,
            };
            let codes = tree(&mut bits, SYMBOLS, 9, |bits| match bits.take(1) {
                1 => bits.take(4) + 1,
                _ => 0,
            })?;
            let places = if bits.take(1) == 1 {
                tree(&mut bits, PLACES, 7, |bits| bits.take(4))?
            } else {
                // The lengths from which on they have one bit more.
                const LONGER: [usize; 8] = [1, 1, 3, 6, 13, 31, 78, PLACES];
                let len = |n: usize| 2 + LONGER.iter().filter(|from| **from <= n).count() as u8;
                let lengths: Vec<u8> = (0..PLACES).map(len).collect();
                Tree::new(&lengths).unwrap_or_else(|| Tree::single(0))
            };
            for _ in 0..left {
                if out.is_full() {
                    break;
                }
                if bits.is_over() {
                    return Err(Error::Truncated { what: "LZH", at: input.len() });
                }
                let symbol = bits.read(&codes);
                if symbol < 256 {
                    out.push(symbol as u8)?;
                    continue;
                }
                let more = if symbol == SYMBOLS - 1 { bits.take(8) } else { 0 };
                let dist = (bits.read(&places) << 6 | bits.take(6)) + 1;
                out.repeat(dist, symbol + more - 253)?;
            }
        }
        if bits.is_over() {
            return Err(Error::Truncated { what: "LZH", at: input.len() });
        }
        Ok(())
    };
    let error = go().err();
    out.finish(bits.consumed(), error)
}
