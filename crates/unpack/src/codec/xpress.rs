//! XPRESS with Huffman codes, as WIM and NTFS use it: chunks that each begin with the lengths of their code.
//!
//! 256 bytes hold the lengths of 512 symbols, four bits each, the first in the low ones. Symbols follow in words of 16 bits.
//! From 256 on they are matches: the low four bits of the rest are the length, the others the bits that tell the
//! distance. More of a length follows in whole bytes between the words.
//!
//! Source: [MS-XCA] 2.2.

// Tables have a fixed size and are indexed by values below it; places are those of bytes in memory.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Error, huffman::Tree};

const SYMBOLS: usize = 512;
const CUT: Error = Error::Truncated { what: "XPRESS", at: 0 };

const fn bad(what: &'static str, at: usize) -> Error {
    Error::Malformed { what, at }
}

/// Words, with at least 16 bits ahead, and bytes between them.
struct Source<'a> {
    input: &'a [u8],
    at: usize,
    bits: u32,
    /// Bits ahead beyond 16.
    more: u32,
}

impl<'a> Source<'a> {
    fn new(input: &'a [u8], at: usize) -> Self {
        let mut made = Self { input, at, bits: 0, more: 0 };
        made.bits = made.word() << 16;
        made.bits |= made.word();
        made.more = 16;
        made
    }

    /// The next word; behind the end there are zeros, as writers leave out what is not needed.
    fn word(&mut self) -> u32 {
        let byte = |at: usize| u32::from(self.input.get(at).copied().unwrap_or(0));
        let word = byte(self.at) | byte(self.at + 1) << 8;
        self.at += 2;
        word
    }

    fn byte(&mut self) -> Result<usize, Error> {
        let byte = *self.input.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte.into())
    }

    fn skip(&mut self, count: u32) {
        self.bits <<= count;
        if count > self.more {
            let word = self.word();
            self.bits |= word << (count - self.more);
            self.more += 16;
        }
        self.more -= count;
    }

    /// Up to 15 bits.
    fn take(&mut self, count: u32) -> usize {
        if count == 0 {
            return 0;
        }
        let value = self.bits >> (32 - count);
        self.skip(count);
        value as usize
    }

    /// Whether more was read than two words ahead account for.
    fn is_over(&self) -> bool {
        self.at > self.input.len() + 4
    }
}

/// Decodes a chunk of `size` bytes.
///
/// # Errors
/// What is wrong with it; nothing of the chunk is kept.
pub fn chunk(input: &[u8], size: usize) -> Result<Vec<u8>, Error> {
    let table = input.get(..SYMBOLS / 2).ok_or(CUT)?;
    let lengths: Vec<u8> = table.iter().flat_map(|b| [b & 15, b >> 4]).collect();
    let tree = Tree::partial(&lengths).ok_or(bad("an XPRESS code needs more than all bits", 0))?;
    let mut source = Source::new(input, SYMBOLS / 2);
    let mut out: Vec<u8> = Vec::with_capacity(size);
    while out.len() < size {
        let (symbol, count) = tree.find((source.bits >> 16) as usize);
        if count == 0 {
            return Err(bad("no symbol of an XPRESS code", source.at));
        }
        source.skip(count);
        if source.is_over() {
            return Err(CUT);
        }
        if symbol < 256 {
            out.push(symbol as u8);
            continue;
        }
        let (mut length, bits) = (symbol & 15, (symbol >> 4 & 15) as u32);
        if length == 15 {
            length = 15 + source.byte()?;
            if length == 15 + 255 {
                length = source.byte()? | source.byte()? << 8;
                if length == 0 {
                    let low = source.byte()? | source.byte()? << 8;
                    length = low | source.byte()? << 16 | source.byte()? << 24;
                }
            }
        }
        let distance = 1 << bits | source.take(bits);
        let length = length + 3;
        if distance > out.len() || length > size - out.len() {
            return Err(bad("an XPRESS match leaves its chunk", source.at));
        }
        let from = out.len() - distance;
        (from..from + length).for_each(|n| out.push(out[n]));
    }
    Ok(out)
}
