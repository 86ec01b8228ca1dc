//! Canonical Huffman codes of up to 16 bits whose shorter codes come first, as LZH and LZX have them.

// Tables have a fixed size and are indexed by values below it.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// A code: symbols of up to 12 bits by their prefix, longer ones by the end of their range.
pub struct Tree {
    /// Symbol and length for each prefix of 12 bits.
    table: Vec<(u16, u8)>,
    /// First 16-bit prefix behind the symbol, the symbol, its length.
    long: Vec<(u32, u16, u8)>,
}

impl Tree {
    /// One symbol for everything, of no bits.
    #[must_use]
    pub fn single(symbol: usize) -> Self {
        Self { table: vec![(symbol as u16, 0); 1 << 12], long: Vec::new() }
    }

    /// The code of these lengths, 0 for symbols that do not occur; none where it does not fill the code space
    /// exactly.
    #[must_use]
    pub fn new(lengths: &[u8]) -> Option<Self> {
        Self::build(lengths).filter(|(_, filled)| *filled == 1 << 16).map(|(made, _)| made)
    }

    /// A code that may leave prefixes without a symbol, which are then of no bits; none where it needs more than
    /// there is.
    #[must_use]
    pub fn partial(lengths: &[u8]) -> Option<Self> {
        Self::build(lengths).map(|(made, _)| made)
    }

    /// The code, and how much of the code space it fills.
    fn build(lengths: &[u8]) -> Option<(Self, u32)> {
        let mut made = Self { table: vec![(0, 0); 1 << 12], long: Vec::new() };
        let mut next = 0u32;
        for len in 1..=16u8 {
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| **l == len) {
                let span = 1u32 << (16 - len);
                if next + span > 1 << 16 {
                    return None;
                }
                if len <= 12 {
                    let (from, to) = ((next >> 4) as usize, ((next + span) >> 4) as usize);
                    made.table[from..to].fill((symbol as u16, len));
                } else {
                    made.long.push((next + span, symbol as u16, len));
                }
                next += span;
            }
        }
        Some((made, next))
    }

    /// The symbol that the next 16 bits begin with, and how many of them it takes.
    #[inline]
    #[must_use]
    pub fn find(&self, prefix: usize) -> (usize, u32) {
        let (symbol, len) = self.table[(prefix >> 4) & 0xFFF];
        if len > 0 || self.long.is_empty() {
            return (usize::from(symbol), u32::from(len));
        }
        let at = self.long.partition_point(|(end, ..)| *end as usize <= prefix);
        self.long.get(at).map_or((0, 0), |(_, symbol, len)| (usize::from(*symbol), u32::from(*len)))
    }
}
