//! The methods of StuffIt archives.
//!
//! | method | what it is |
//! |---|---|
//! | 0 | stored |
//! | 1 | runs, as in ARC |
//! | 2 | LZW of `compress` with 14 bits and without its header |
//! | 3 | Huffman, one code for the whole content |
//! | 5 | LZHUF, as `-lh1-` of LHA |
//! | 8 | Miller and Wegman's LZ: each new text is the two before |
//! | 13 | LZ77 with one Huffman code behind a literal and one behind a match |
//! | 14 | LZ77 with Huffman codes in blocks, of installers |
//! | 15 | "Arsenic": Burrows and Wheeler's transform with an adaptive arithmetic coder |
//!
//! Sources: `docs/sit.md`, `sit3.md`, `sit13.md`, `sit15.md` of the peeler project (MIT), the stuffit crate (MIT or
//! Apache-2.0), the facts of methods 5, 8 and 14 as libxad reads them.

// Tables have a fixed size and are indexed by values below it; positions stay within the output.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod arsenic;
mod installer;
mod tables;
mod thirteen;

use super::{
    Decoded, Error,
    bits::{Bits, Low},
    lzhuf, lzw, packed,
    prefix::Prefix,
    runs,
    window::Window,
};
use crate::budget::Budget;

/// Whether [`decode`] knows the method: not 6, a Huffman code that is fixed, nor 4, 7 and 9 to 12, which nothing writes.
#[must_use]
pub fn knows(method: u8) -> bool {
    matches!(method, 0..=3 | 5 | 8 | 13..=15)
}

/// Decodes a fork of `size` bytes.
#[must_use]
pub fn decode(method: u8, input: &[u8], size: usize, budget: &Budget) -> Decoded {
    match method {
        0 => packed::copy(input, size, budget),
        1 => runs::decode(input, size, budget),
        2 => lzw14(input, size, budget),
        3 => huffman(input, size, budget),
        5 => lzhuf::decode(input, size, budget),
        8 => pairs(input, size, budget),
        13 => thirteen::decode(input, size, budget),
        14 => installer::decode(input, size, budget),
        15 => arsenic::decode(input, size, budget),
        _ => Decoded::failed(Error::Unsupported { what: "this method of StuffIt", at: 0 }),
    }
}

/// Whether the method has a checksum of its own, and the one of the archive is not set.
#[must_use]
pub fn checks_itself(method: u8) -> bool {
    method == 15
}

/// The stream of `compress` with 14 bits and without its header.
fn lzw14(data: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut decoded = lzw::decode(&[b"\x1f\x9d\x8e", data].concat(), max, budget);
    decoded.consumed = decoded.consumed.saturating_sub(3);
    // The stream has no end of its own; what the last bits make is not part of the content.
    if decoded.bytes.len() == max && matches!(decoded.error, Some(Error::Limit { .. })) {
        decoded.error = None;
    }
    decoded.bytes.truncate(max);
    decoded
}

/// The code as a tree, first node first: a one is a leaf with its byte, a zero is two nodes.
fn huffman(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let mut bits = Bits::new(input, 0);
    let mut out = Window::new(size, 0, budget);
    let cut = Error::Truncated { what: "StuffIt", at: input.len() };
    let mut go = || {
        let bad = |at| Error::Malformed { what: "a Huffman tree of StuffIt is not right", at };
        // Nodes that are still to come, by their place in the tree; 256 leaves have 255 nodes above them.
        let mut code = Prefix::default();
        let mut waiting = vec![(0_u64, 0_u8)];
        let mut leaves = 0;
        let mut only = None;
        while let Some((path, depth)) = waiting.pop() {
            if bits.is_over() {
                return Err(cut);
            }
            if bits.take(1) == 1 {
                let byte = bits.take(8) as u16;
                leaves += 1;
                if depth == 0 {
                    only = Some(byte as u8);
                } else {
                    code.insert(path, depth, byte).ok_or_else(|| bad(bits.consumed()))?;
                }
            } else if depth < 63 && leaves + waiting.len() < 256 {
                waiting.extend([(path << 1 | 1, depth + 1), (path << 1, depth + 1)]);
            } else {
                return Err(bad(bits.consumed()));
            }
        }
        while !out.is_full() {
            let byte = match only {
                Some(byte) => byte,
                None => code.read(|| bits.take(1)).ok_or_else(|| bad(bits.consumed()))? as u8,
            };
            if bits.is_over() {
                return Err(cut);
            }
            out.push(byte)?;
        }
        Ok(())
    };
    let error = go().err();
    out.finish(bits.consumed(), error)
}

/// Codes of 9 bits and more stand for a byte or for a text; each code but the first makes a new text of itself and the
/// one before. A code that is just one too high begins anew.
fn pairs(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    /// Texts that the archiver keeps.
    const MOST: usize = 1 << 14;
    let mut bits = Low::new(input);
    let mut out = Window::new(size, 0, budget);
    let mut go = || {
        // Where in the output a text occurred first, and how long it is: the two codes it is made of followed each other.
        let mut texts: Vec<(usize, usize)> = Vec::new();
        let mut before: Option<(usize, usize)> = None;
        let mut width = 9;
        while !out.is_full() {
            let code = bits.take(width);
            if bits.is_over() {
                return Err(Error::Truncated { what: "StuffIt", at: input.len() });
            }
            let at = out.len();
            let free = 256 + texts.len();
            if code == free {
                texts.clear();
                (before, width) = (None, 9);
                budget.work(1)?;
                continue;
            }
            if code > free {
                return Err(Error::Malformed {
                    what: "a StuffIt code that cannot occur",
                    at: bits.consumed(),
                });
            }
            let len = match code.checked_sub(256) {
                None => {
                    out.push(code as u8)?;
                    1
                }
                Some(n) => {
                    let (from, len) = texts[n];
                    out.repeat(at - from, len)?;
                    len
                }
            };
            if let Some((from, first)) = before {
                if free >= MOST {
                    return Err(Error::Malformed {
                        what: "more StuffIt texts than there are codes",
                        at: bits.consumed(),
                    });
                }
                texts.push((from, first.saturating_add(len)));
                if free + 1 == 1 << width {
                    width += 1;
                }
            }
            before = Some((at, len));
        }
        Ok(())
    };
    let error = go().err();
    out.finish(bits.consumed(), error)
}

#[cfg(test)]
pub(crate) mod tests;
