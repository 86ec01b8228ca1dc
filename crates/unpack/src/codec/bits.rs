//! Bits of a stream of bytes, most significant first, as LZH and RAR have them.

// Shifts and counts stay within the 64 bits of the word.
#![allow(clippy::arithmetic_side_effects)]

use super::huffman::Tree;

/// Behind the end come zeros; [`is_over`](Self::is_over) tells that some were used.
#[derive(Debug, Clone)]
pub struct Bits<'a> {
    input: &'a [u8],
    at: usize,
    have: u32,
    word: u64,
    over: usize,
}

impl<'a> Bits<'a> {
    /// All bits of `input` from the byte `at` on.
    #[must_use]
    pub fn new(input: &'a [u8], at: usize) -> Self {
        Self { input, at, have: 0, word: 0, over: 0 }
    }

    /// After this there are at least 32 bits.
    #[inline]
    fn fill(&mut self) {
        if self.have >= 32 {
            return;
        }
        if let Some(next) = self.input.get(self.at..).and_then(<[u8]>::first_chunk::<4>) {
            self.word |= u64::from(u32::from_be_bytes(*next)) << (32 - self.have);
            self.at += 4;
            self.have += 32;
            return;
        }
        while self.have <= 48 {
            let byte = self.input.get(self.at).copied();
            self.at += usize::from(byte.is_some());
            self.over += usize::from(byte.is_none());
            self.word |= u64::from(byte.unwrap_or(0)) << (56 - self.have);
            self.have += 8;
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

    /// Goes to the next whole byte, and says which one that is.
    pub fn align(&mut self) -> usize {
        self.skip(self.have % 8);
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

#[cfg(test)]
mod tests {
    use super::*;

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
