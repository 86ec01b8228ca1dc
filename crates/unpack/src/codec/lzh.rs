//! LZ77 with static Huffman blocks as in LHA (`-lh4-` to `-lh7-`) and ARJ (methods 1 to 3).
//!
//! Method: H. Yoshizaki's LHarc and `ar002` by H. Okumura (public domain): each block has a
//! count of codes, a table of code lengths that is itself coded, one of 510 literal and length
//! codes, and one of position codes.

// Tables have a fixed size and are indexed by values below it.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Decoded, Error, Output, bits::Bits, copy_match, huffman::Tree};
use crate::budget::Budget;

/// Variants differ in how many position codes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// `-lh4-` and `-lh5-`: window up to 8 KiB.
    Lh5,
    /// `-lh6-`: window 32 KiB. ARJ uses the same code with a window of 26 KiB.
    Lh6,
    /// `-lh7-`: window 64 KiB.
    Lh7,
}

/// Decodes exactly `size` bytes.
#[must_use]
pub fn decode(input: &[u8], variant: Variant, size: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(size, budget);
    let mut bits = Bits::new(input, 0);
    let mut op = 0;
    let error = run(&mut bits, variant, size, &mut out, &mut op).err();
    Decoded { bytes: out.finish(op), consumed: bits.consumed(), error }
}

fn tree(lengths: &[u8], bits: &Bits<'_>) -> Result<Tree, Error> {
    let bad =
        Error::Malformed { what: "a Huffman code of LZH is not complete", at: bits.consumed() };
    Tree::new(lengths).ok_or(bad)
}

/// Code lengths of three bits or more, with a run of zeros behind the entry `special`.
fn small_tree(
    bits: &mut Bits<'_>,
    count: usize,
    width: u32,
    special: usize,
) -> Result<Tree, Error> {
    let n = bits.take(width);
    if n == 0 {
        return Ok(Tree::single(bits.take(width)));
    }
    let mut lengths = vec![0u8; count];
    let mut i = 0;
    while i < n.min(count) {
        let mut len = bits.take(3);
        if len == 7 {
            while len < 16 && bits.take(1) == 1 {
                len += 1;
            }
        }
        lengths[i] = len as u8;
        i += 1;
        if i == special {
            i += bits.take(2);
        }
    }
    tree(&lengths, bits)
}

/// The lengths of the 510 main codes, coded by the first tree.
fn main_tree(bits: &mut Bits<'_>, first: &Tree) -> Result<Tree, Error> {
    let n = bits.take(9);
    if n == 0 {
        return Ok(Tree::single(bits.take(9)));
    }
    let mut lengths = vec![0u8; 510];
    let mut i = 0;
    while i < n.min(510) {
        match bits.read(first) {
            0 => i += 1,
            1 => i += bits.take(4) + 3,
            2 => i += bits.take(9) + 20,
            c => {
                lengths[i] = (c - 2).min(16) as u8;
                i += 1;
            }
        }
        if bits.is_over() {
            return Err(Error::Truncated { what: "LZH", at: bits.size() });
        }
    }
    tree(&lengths, bits)
}

fn run(
    bits: &mut Bits<'_>,
    variant: Variant,
    size: usize,
    out: &mut Output<'_>,
    op: &mut usize,
) -> Result<(), Error> {
    let (positions, width) = match variant {
        Variant::Lh5 => (14, 4),
        Variant::Lh6 => (16, 5),
        Variant::Lh7 => (17, 5),
    };
    let cut = Error::Truncated { what: "LZH", at: bits.size() };
    while *op < size {
        let mut left = bits.take(16);
        if bits.is_over() {
            return Err(cut);
        }
        if left == 0 {
            left = 1 << 16;
        }
        let first = small_tree(bits, 19, 5, 3)?;
        let codes = main_tree(bits, &first)?;
        let places = small_tree(bits, positions.max(17), width, usize::MAX)?;
        while left > 0 && *op < size {
            left -= 1;
            if bits.is_over() {
                return Err(cut);
            }
            if *op >= out.room() {
                out.grow()?;
            }
            let code = bits.read(&codes);
            if code < 256 {
                out.buf[*op] = code as u8;
                *op += 1;
                continue;
            }
            let len = (code - 256 + 3).min(size - *op);
            let slot = bits.read(&places);
            let dist = match slot {
                0 | 1 => slot,
                n if n < positions => (1 << (n - 1)) + bits.take(n as u32 - 1),
                _ => {
                    return Err(Error::Malformed {
                        what: "an LZH position out of range",
                        at: bits.consumed(),
                    });
                }
            } + 1;
            while out.room() < *op + len {
                out.grow()?;
            }
            if dist > *op {
                // Old archivers start from a window of spaces.
                for _ in 0..len {
                    out.buf[*op] = if dist > *op { b' ' } else { out.buf[*op - dist] };
                    *op += 1;
                }
            } else {
                copy_match(&mut out.buf, *op, dist, len);
                *op += len;
            }
        }
    }
    if bits.is_over() { Err(cut) } else { Ok(()) }
}

/// Decodes exactly `size` bytes of ARJ's method 4, which has prefix codes of fixed shape.
#[must_use]
pub fn decode_fastest(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(size, budget);
    let mut bits = Bits::new(input, 0);
    let mut op = 0;
    let mut go = || {
        // A number whose width is told by leading ones.
        let number = |bits: &mut Bits<'_>, from: u32, to: u32| {
            let (mut width, mut plus) = (from, 0);
            while width < to && bits.take(1) == 1 {
                plus += 1 << width;
                width += 1;
            }
            bits.take(width) + plus
        };
        while op < size {
            if bits.is_over() {
                return Err(Error::Truncated { what: "ARJ", at: input.len() });
            }
            let len = number(&mut bits, 0, 7);
            let n = if len == 0 { 1 } else { (len + 2).min(size - op) };
            while out.room() < op + n {
                out.grow()?;
            }
            if len == 0 {
                out.buf[op] = bits.take(8) as u8;
            } else {
                let dist = number(&mut bits, 9, 13) + 1;
                if dist > op {
                    return Err(Error::Malformed {
                        what: "an ARJ match reaches before the start",
                        at: bits.consumed(),
                    });
                }
                copy_match(&mut out.buf, op, dist, n);
            }
            op += n;
        }
        Ok(())
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: bits.consumed(), error }
}
