//! The entropy codes of Zstandard: bits read backwards, FSE tables, Huffman streams.

// Table indexes are masked or checked when the table is made; bit positions and lengths are bounded by the
// block they belong to.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{DAMAGED, Error};
use crate::read;

/// Bits read from the end of a slice towards its start; before the start come zeros.
pub(super) struct Back<'a> {
    data: &'a [u8],
    /// Bits left; negative when more were taken than there are.
    pub left: isize,
}

impl<'a> Back<'a> {
    /// Bits at the top of [`window`](Self::window) that are always the next ones.
    pub const SURE: u32 = 57;

    /// The highest set bit of the last byte marks the end.
    pub fn new(data: &'a [u8]) -> Result<Self, Error> {
        let last = *data.last().filter(|b| **b != 0).ok_or(DAMAGED)?;
        Ok(Self { data, left: (data.len() * 8) as isize - last.leading_zeros() as isize - 1 })
    }

    /// The next bits, the first one on top, without taking them; at least [`SURE`](Self::SURE) of them are right.
    #[inline(always)]
    pub fn window(&self) -> u64 {
        let end = (self.left + 7) >> 3;
        let from = (end - 8) as usize;
        match self.data.get(from..).and_then(<[u8]>::first_chunk::<8>) {
            // Below eight bytes `from` wraps around and is behind every slice.
            Some(word) => u64::from_le_bytes(*word) << ((end << 3) - self.left),
            None => self.last_window(),
        }
    }

    #[cold]
    fn last_window(&self) -> u64 {
        if self.left <= 0 {
            return 0;
        }
        let end = (self.left as usize).div_ceil(8);
        let head = self.data.get(..end).unwrap_or_default();
        let word = head.iter().rev().take(8).fold(0, |w, b| (w << 8) | u64::from(*b));
        let word = word << ((8 - end.min(8)) * 8);
        word << (end * 8 - self.left as usize)
    }

    /// Takes the next `n` bits, at most 31.
    #[inline(always)]
    pub fn take(&mut self, n: u32) -> usize {
        let value = top(self.window(), n);
        self.left -= n as isize;
        value
    }
}

/// The first `n` bits of a window, at most 31.
#[inline(always)]
pub(super) fn top(window: u64, n: u32) -> usize {
    ((window >> 1) >> (63 - n)) as usize
}

/// A cell of an FSE table: what its symbol stands for (a value and the number of bits that are added to it), and
/// the next state (a base and the number of bits that are added).
#[derive(Clone, Copy, Default)]
pub(super) struct Cell {
    pub value: u32,
    pub next: u16,
    pub extra: u8,
    pub bits: u8,
}

/// Largest number of cells of a table.
const CELLS: usize = 512;

/// An FSE decoding table.
#[derive(Clone)]
pub(super) struct Fse {
    pub log: u32,
    cells: [Cell; CELLS],
}

/// How often each symbol occurs in a table of `1 << log` cells; -1 is "less than one".
pub(super) struct Counts {
    log: u32,
    counts: [i16; 64],
    len: usize,
}

impl Counts {
    /// A distribution that needs no description.
    pub fn new(log: u32, given: &[i16]) -> Self {
        let mut counts = [0; 64];
        let len = given.len().min(counts.len());
        counts[..len].copy_from_slice(&given[..len]);
        Self { log, counts, len }
    }

    /// Reads a distribution from the start of `data`; also how many bytes it took.
    pub fn read(data: &[u8], log_max: u32, symbols: usize) -> Result<(Self, usize), Error> {
        let mut at = 0usize;
        let peek = |at: usize, n: u32| {
            let word = match data.get(at / 8..).and_then(<[u8]>::first_chunk::<4>) {
                Some(word) => u32::from_le_bytes(*word),
                None => (0..4).fold(0, |w, i| {
                    w | u32::from(data.get(at / 8 + i).copied().unwrap_or(0)) << (8 * i)
                }),
            };
            (word >> (at % 8)) as i32 & ((1 << n) - 1)
        };
        let log = peek(at, 4) as u32 + 5;
        at += 4;
        if log > log_max {
            return Err(DAMAGED);
        }
        let (mut remaining, mut threshold, mut bits) = ((1i32 << log) + 1, 1i32 << log, log + 1);
        let (mut counts, mut len) = ([0i16; 64], 0);
        while remaining > 1 && len < symbols {
            let most = 2 * threshold - 1 - remaining;
            let low = peek(at, bits) & (threshold - 1);
            let value = if low < most {
                at += bits as usize - 1;
                low
            } else {
                let all = peek(at, bits) & (2 * threshold - 1);
                at += bits as usize;
                if all >= threshold { all - most } else { all }
            };
            let count = value - 1;
            remaining -= count.abs();
            counts[len] = count as i16;
            len += 1;
            // After a zero, pairs of bits say how many more follow; three of them mean that another pair does.
            let mut more = count == 0;
            while more {
                let skip = peek(at, 2);
                at += 2;
                len += skip as usize;
                more = skip == 3 && len <= symbols;
            }
            while remaining > 0 && remaining < threshold {
                bits -= 1;
                threshold >>= 1;
            }
        }
        if remaining != 1 || len > symbols || at.div_ceil(8) > data.len() {
            return Err(DAMAGED);
        }
        Ok((Self { log, counts, len }, at.div_ceil(8)))
    }
}

impl Fse {
    /// One state for everything.
    pub const EMPTY: Self =
        Self { log: 0, cells: [Cell { value: 0, next: 0, extra: 0, bits: 0 }; CELLS] };

    /// Makes it the table of a distribution; `meaning` gives value and added bits of a symbol.
    pub fn fill(
        &mut self,
        counts: &Counts,
        meaning: impl Fn(u8) -> (u32, u8),
    ) -> Result<(), Error> {
        let log = counts.log;
        let counts = &counts.counts[..counts.len];
        let size = 1usize << log;
        let cells = self.cells.get_mut(..size).ok_or(DAMAGED)?;
        let mut symbols = [0u8; CELLS];
        let mut next = [0u32; 64];
        let mut high = size;
        for (symbol, count) in counts.iter().enumerate() {
            if *count < 0 {
                high = high.checked_sub(1).ok_or(DAMAGED)?;
                symbols[high] = symbol as u8;
                next[symbol] = 1;
            } else {
                next[symbol] = *count as u32;
            }
        }
        // Every step is odd, so that each cell is met once before the first is met again.
        let (mask, step) = (size - 1, (size >> 1) + (size >> 3) + 3);
        let mut at = 0;
        for (symbol, count) in counts.iter().enumerate() {
            for _ in 0..(*count).max(0) {
                symbols[at] = symbol as u8;
                at = (at + step) & mask;
                while at >= high && high > 0 {
                    at = (at + step) & mask;
                }
            }
        }
        let mut meanings = [(0, 0); 64];
        for (symbol, meant) in meanings.iter_mut().enumerate().take(counts.len()) {
            *meant = meaning(symbol as u8);
        }
        for (cell, symbol) in cells.iter_mut().zip(symbols) {
            let symbol = usize::from(symbol) & 63;
            let n = next[symbol];
            next[symbol] += 1;
            let bits = log.checked_sub(n.checked_ilog2().ok_or(DAMAGED)?).ok_or(DAMAGED)?;
            let base = ((n << bits) as usize).checked_sub(size).ok_or(DAMAGED)?;
            let (value, extra) = meanings[symbol];
            *cell = Cell { value, next: base as u16, extra, bits: bits as u8 };
        }
        self.log = log;
        Ok(())
    }

    /// Makes it one symbol, whatever the state.
    pub fn single(&mut self, (value, extra): (u32, u8)) {
        self.log = 0;
        self.cells[0] = Cell { value, next: 0, extra, bits: 0 };
    }

    /// What a state stands for; states come from cells of the same table.
    #[inline(always)]
    pub fn cell(&self, state: usize) -> Cell {
        self.cells[state & (CELLS - 1)]
    }
}

/// Longest Huffman code.
const LONGEST: u32 = 11;

/// A Huffman decoding table: for each prefix of [`LONGEST`] bits the symbol, and above it the length of its code.
pub(super) struct Huffman {
    cells: [u16; 1 << LONGEST],
}

impl Huffman {
    /// A table for [`read`](Self::read) to fill.
    pub const EMPTY: Self = Self { cells: [0; 1 << LONGEST] };

    /// Reads the description at the start of `data`; how many bytes it took.
    pub fn read(&mut self, data: &[u8]) -> Result<usize, Error> {
        let head = usize::from(*data.first().ok_or(DAMAGED)?);
        let (mut weights, mut len) = ([0u8; 256], 0);
        let used;
        if head < 128 {
            let body = read::slice(data, 1, head).ok_or(DAMAGED)?;
            used = 1 + head;
            let (counts, n) = Counts::read(body, 6, 13)?;
            let mut table = Fse::EMPTY;
            table.fill(&counts, |symbol| (symbol.into(), 0))?;
            let mut bits = Back::new(body.get(n..).ok_or(DAMAGED)?)?;
            // Two states take turns until the bits are used up.
            let mut states = [bits.take(table.log), bits.take(table.log)];
            let mut turn = 0;
            while len < 255 {
                let cell = table.cell(states[turn]);
                weights[len] = cell.value as u8;
                len += 1;
                if bits.left < isize::from(cell.bits) {
                    weights[len] = table.cell(states[1 - turn]).value as u8;
                    len += 1;
                    break;
                }
                states[turn] = usize::from(cell.next) + bits.take(cell.bits.into());
                turn = 1 - turn;
            }
        } else {
            len = head - 127;
            let body = read::slice(data, 1, len.div_ceil(2)).ok_or(DAMAGED)?;
            used = 1 + body.len();
            for (pair, byte) in weights.chunks_mut(2).zip(body) {
                pair.copy_from_slice(&[byte >> 4, byte & 15]);
            }
        }
        if len > 255 {
            return Err(DAMAGED);
        }
        // Prefixes of each weight: those of small weight, which are long codes, come first.
        let mut counts = [0u32; 16];
        weights[..len].iter().for_each(|w| counts[usize::from(w & 15)] += 1);
        let sum: u32 = (1..12).map(|w| counts[w] << (w - 1)).sum();
        if sum == 0 || weights[..len].iter().any(|w| *w > 11) {
            return Err(DAMAGED);
        }
        // The last weight is what is missing to the next power of two.
        let bits = sum.ilog2() + 1;
        let rest = (1u32 << bits) - sum;
        if bits > LONGEST || !rest.is_power_of_two() {
            return Err(DAMAGED);
        }
        weights[len] = rest.ilog2() as u8 + 1;
        counts[usize::from(weights[len])] += 1;
        let mut starts = [0usize; 16];
        for w in 1..12 {
            starts[w + 1] =
                starts[w] + ((counts[w] as usize) << (w - 1 + (LONGEST - bits) as usize));
        }
        for (symbol, weight) in weights[..=len].iter().enumerate().filter(|(_, w)| **w > 0) {
            let start = &mut starts[usize::from(*weight & 15)];
            let end = *start + (1usize << (u32::from(*weight) - 1 + LONGEST - bits));
            let length = bits as u16 + 1 - u16::from(*weight);
            self.cells.get_mut(*start..end).ok_or(DAMAGED)?.fill(symbol as u16 | length << 8);
            *start = end;
        }
        Ok(used)
    }

    /// Decodes streams side by side, all of each of which must be used up.
    pub fn streams<const N: usize>(
        &self,
        data: [&[u8]; N],
        mut out: [&mut [u8]; N],
    ) -> Result<(), Error> {
        let mut bits = [const { Back { data: &[], left: 0 } }; N];
        for (bits, data) in bits.iter_mut().zip(data) {
            *bits = Back::new(data)?;
        }
        let shortest = out.iter().map(|o| o.len()).min().unwrap_or(0);
        let mut done = 0;
        // Five symbols of at most eleven bits from each window. Each write is of eight bytes, of which three are overwritten.
        while done + 8 <= shortest && bits.iter().all(|b| b.left >= 64) {
            // The lowest bit marks where the window ended.
            let mut words: [u64; N] = std::array::from_fn(|i| bits[i].window() | 1);
            let mut made = [0u64; N];
            for k in 0..5 {
                for i in 0..N {
                    let cell = self.cells[(words[i] >> (64 - LONGEST)) as usize];
                    made[i] |= u64::from(cell & 255) << (8 * k);
                    words[i] <<= cell >> 8;
                }
            }
            for i in 0..N {
                bits[i].left -= words[i].trailing_zeros() as isize;
                if let Some(target) = out[i].get_mut(done..).and_then(<[u8]>::first_chunk_mut::<8>)
                {
                    *target = made[i].to_le_bytes();
                }
            }
            done += 5;
        }
        for (bits, out) in bits.iter_mut().zip(&mut out) {
            for target in &mut out[done..] {
                let cell = self.cells[top(bits.window(), LONGEST)];
                *target = cell as u8;
                bits.left -= (cell >> 8) as isize;
            }
        }
        if bits.iter().all(|b| b.left == 0) { Ok(()) } else { Err(DAMAGED) }
    }
}
