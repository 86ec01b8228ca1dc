//! Bits of a stream, most significant first: of bytes as LZH and RAR have them, of words of 16 bits with the least
//! significant byte first as LZX has them. [`Low`] reads bits least significant first.

// Shifts and counts stay within the 64 bits of the word.
#![allow(clippy::arithmetic_side_effects)]

use super::huffman::Tree;

/// Behind the end come zeros; [`is_over`](Self::is_over) tells that some were used.
#[derive(Debug, Clone)]
pub struct Bits<'a, const WORDS: bool = false> {
    input: &'a [u8],
    at: usize,
    have: u32,
    word: u64,
    over: usize,
}

/// Bits of words of 16 bits.
pub type Words<'a> = Bits<'a, true>;

impl<'a> Bits<'a, false> {
    /// All bits of `input` from the byte `at` on.
    #[must_use]
    pub fn new(input: &'a [u8], at: usize) -> Self {
        Self { input, at, have: 0, word: 0, over: 0 }
    }
}

impl<'a> Bits<'a, true> {
    /// All bits of the words of `input` from the byte `at` on.
    #[must_use]
    pub fn words(input: &'a [u8], at: usize) -> Self {
        Self { input, at, have: 0, word: 0, over: 0 }
    }
}

impl<'a, const WORDS: bool> Bits<'a, WORDS> {
    /// Bits that come together.
    const UNIT: u32 = if WORDS { 16 } else { 8 };

    /// After this there are at least 32 bits.
    #[inline]
    fn fill(&mut self) {
        if self.have >= 32 {
            return;
        }
        if let Some(next) = self.input.get(self.at..).and_then(<[u8]>::first_chunk::<4>) {
            let [a, b, c, d] = *next;
            let next = if WORDS { [b, a, d, c] } else { [a, b, c, d] };
            self.word |= u64::from(u32::from_be_bytes(next)) << (32 - self.have);
            self.at += 4;
            self.have += 32;
            return;
        }
        while self.have <= 48 {
            let bytes = (Self::UNIT / 8) as usize;
            let unit = self.input.get(self.at..self.at + bytes);
            let value = unit.map_or(0, |u| u.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
            *(if unit.is_some() { &mut self.at } else { &mut self.over }) += bytes;
            self.word |= value << (64 - Self::UNIT - self.have);
            self.have += Self::UNIT;
        }
    }

    /// The next `n` bits, at most 32, without going forward.
    #[inline]
    pub fn peek(&mut self, n: u32) -> usize {
        self.fill();
        if n == 0 { 0 } else { (self.word >> (64 - n)) as usize }
    }

    /// Goes forward by `n` bits that were looked at.
    #[inline]
    pub fn skip(&mut self, n: u32) {
        self.word <<= n;
        self.have -= n;
    }

    /// The next `n` bits, at most 32.
    #[inline]
    pub fn take(&mut self, n: u32) -> usize {
        let value = self.peek(n);
        self.skip(n);
        value
    }

    /// The next symbol of a code that has one for any bits.
    #[inline]
    pub fn read(&mut self, tree: &Tree) -> usize {
        let (symbol, len) = tree.find(self.peek(16));
        self.skip(len);
        symbol
    }

    /// The next symbol of a code; none where the bits are not one.
    #[inline]
    pub fn symbol(&mut self, tree: &Tree) -> Option<usize> {
        let (symbol, len) = tree.find(self.peek(16));
        self.skip(len);
        (len > 0).then_some(symbol)
    }

    /// Bits used, from the start of the input; past its end where too many were.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        (self.at + self.over) * 8 - self.have as usize
    }

    /// Goes to the next whole byte or word, and says at which byte that is.
    pub fn align(&mut self) -> usize {
        self.skip(self.have % Self::UNIT);
        self.position() / 8
    }

    /// What the bits are of.
    #[must_use]
    pub fn input(&self) -> &'a [u8] {
        self.input
    }

    /// Bytes of input.
    #[must_use]
    pub fn size(&self) -> usize {
        self.input.len()
    }

    /// Bytes of input that were used, in whole or in part.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.position().div_ceil(8).min(self.input.len())
    }

    /// Whether more bits were used than there are.
    #[inline]
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over * 8 > self.have as usize
    }
}

/// Bits of bytes, least significant first. Behind the end come zeros.
#[derive(Debug, Clone)]
pub struct Low<'a> {
    input: &'a [u8],
    at: usize,
    have: u32,
    word: u64,
    over: usize,
}

impl<'a> Low<'a> {
    /// All bits of `input`.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, have: 0, word: 0, over: 0 }
    }

    /// The next `n` bits, at most 32, without going forward.
    #[inline]
    pub fn peek(&mut self, n: u32) -> usize {
        while self.have < n {
            let byte = self.input.get(self.at);
            *(if byte.is_some() { &mut self.at } else { &mut self.over }) += 1;
            self.word |= u64::from(byte.copied().unwrap_or(0)) << self.have;
            self.have += 8;
        }
        (self.word & ((1 << n) - 1)) as usize
    }

    /// Goes forward by `n` bits that were looked at.
    #[inline]
    pub fn skip(&mut self, n: u32) {
        self.word >>= n;
        self.have -= n;
    }

    /// The next `n` bits, at most 32.
    #[inline]
    pub fn take(&mut self, n: u32) -> usize {
        let value = self.peek(n);
        self.skip(n);
        value
    }

    /// Goes to the next whole byte.
    pub fn align(&mut self) {
        self.skip(self.have % 8);
    }

    /// Bytes of input that were used, in whole or in part.
    #[must_use]
    pub fn consumed(&self) -> usize {
        (self.at + self.over).saturating_sub(self.have as usize / 8).min(self.input.len())
    }

    /// Whether more bits were used than there are.
    #[inline]
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over * 8 > self.have as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bits_come_first() {
        let mut bits = Low::new(&[0b1010_0110, 0xFF, 0x12, 0x34]);
        assert_eq!((bits.take(3), bits.take(5), bits.take(4)), (6, 20, 15));
        bits.align();
        assert_eq!((bits.consumed(), bits.take(16), bits.is_over()), (2, 0x3412, false));
        assert_eq!((bits.take(1), bits.is_over(), bits.consumed()), (0, true, 4));
    }

    #[test]
    fn words_are_swapped() {
        let input = [0x34, 0x12, 0x78, 0x56, 0xbc, 0x9a];
        let mut bits = Bits::words(&input, 0);
        assert_eq!((bits.take(4), bits.align(), bits.take(16)), (1, 2, 0x5678));
        assert_eq!((bits.take(16), bits.is_over(), bits.position()), (0x9abc, false, 48));
        assert_eq!((bits.take(3), bits.is_over()), (0, true));
    }

    #[test]
    fn bits_come_in_order_and_zeros_behind_them() {
        let input = [0b1010_0101, 0xff, 0x00, 0x12, 0x34, 0x56, 0x78, 0x9a];
        let mut bits = Bits::new(&input, 0);
        assert_eq!((bits.take(3), bits.take(5), bits.position()), (5, 5, 8));
        assert_eq!((bits.take(4), bits.align(), bits.take(32)), (15, 2, 0x0012_3456));
        assert_eq!((bits.take(16), bits.is_over(), bits.consumed()), (0x789a, false, 8));
        assert_eq!((bits.take(1), bits.is_over(), bits.position()), (0, true, 65));
    }
}
