//! Zstandard frames (RFC 8878).
//!
//! Works from memory to memory: the output is the window. What was decoded before an error is
//! kept, down to the last whole sequence.

// Table indexes are masked or checked when the table is made; bit positions and lengths are bounded by the
// block they belong to.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Decoded, Error, Output, check::xxh64, copy_match};
use crate::{budget::Budget, read};

/// First bytes of a frame.
pub const MAGIC: u32 = 0xfd2f_b528;

/// Largest content of a block.
const BLOCK: usize = 128 << 10;

/// Length of the skippable frame at the start of `data`, header included, if there is one.
#[must_use]
pub fn skippable(data: &[u8]) -> Option<usize> {
    (read::le32(data, 0)? & !15 == 0x184d_2a50)
        .then(|| read::index(u64::from(read::le32(data, 4)?))?.checked_add(8))?
}

/// Decodes all frames that follow each other from the start of `input`; skippable ones are skipped.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0usize, 0usize);
    let mut wrong = None;
    let mut go = || {
        loop {
            let rest = input.get(ip..).unwrap_or_default();
            if let Some(len) = skippable(rest) {
                if len > rest.len() {
                    return Err(Error::Truncated { what: "zstd", at: input.len() });
                }
                ip += len;
            } else if read::le32(rest, 0) == Some(MAGIC) {
                frame(input, &mut ip, &mut out, &mut op, &mut wrong)?;
            } else if ip == 0 {
                return Err(Error::Malformed { what: "no zstd frame", at: 0 });
            } else {
                return Ok(());
            }
        }
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error: wrong.or(error) }
}

/// What a frame carries from block to block.
struct State {
    huffman: Option<Huffman>,
    tables: [Option<Fse>; 3],
    reps: [usize; 3],
    literals: Vec<u8>,
}

fn frame(
    input: &[u8],
    ip: &mut usize,
    out: &mut Output<'_>,
    op: &mut usize,
    wrong: &mut Option<Error>,
) -> Result<(), Error> {
    let cut = Error::Truncated { what: "zstd", at: input.len() };
    let start = *ip;
    let flags = read::u8(input, start + 4).ok_or(cut)?;
    if flags & 8 != 0 {
        return Err(Error::Malformed {
            what: "a reserved bit of the zstd frame header",
            at: start,
        });
    }
    let single = flags & 0x20 != 0;
    let mut at = start + 5 + usize::from(!single);
    let dictionary = read::slice(input, at, [0, 1, 2, 4][usize::from(flags & 3)]).ok_or(cut)?;
    if dictionary.iter().any(|b| *b != 0) {
        return Err(Error::Unsupported {
            what: "a zstd frame with a dictionary of its own",
            at: start,
        });
    }
    at += dictionary.len();
    let size = match flags >> 6 {
        0 if !single => None,
        0 => Some(u64::from(read::u8(input, at).ok_or(cut)?)),
        1 => Some(u64::from(read::le16(input, at).ok_or(cut)?) + 256),
        2 => Some(u64::from(read::le32(input, at).ok_or(cut)?)),
        _ => Some(read::le64(input, at).ok_or(cut)?),
    };
    at += if size.is_none() { 0 } else { 1 << (flags >> 6) };
    *ip = at;
    let first = *op;
    let mut state =
        State { huffman: None, tables: [None, None, None], reps: [1, 4, 8], literals: Vec::new() };
    loop {
        let head = read::array::<3>(input, *ip).ok_or(cut)?;
        let head = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let len = (head >> 3) as usize;
        let at = *ip + 3;
        if len > BLOCK {
            return Err(Error::Malformed { what: "a zstd block is too long", at: *ip });
        }
        match (head >> 1) & 3 {
            0 => {
                let have = input.get(at..).unwrap_or_default();
                let take = &have[..len.min(have.len())];
                append(out, op, take.len(), |target| target.copy_from_slice(take))?;
                if take.len() < len {
                    *ip = input.len();
                    return Err(cut);
                }
                *ip = at + len;
            }
            1 => {
                let byte = read::u8(input, at).ok_or(cut)?;
                append(out, op, len, |target| target.fill(byte))?;
                *ip = at + 1;
            }
            2 => {
                let body = read::slice(input, at, len).ok_or(cut)?;
                block(body, &mut state, out, op, first).map_err(|e| match e {
                    // Inside a block positions mean nothing to the caller, and its bytes were all there.
                    Error::Malformed { what, .. } => Error::Malformed { what, at },
                    Error::Truncated { .. } => {
                        Error::Malformed { what: "a zstd block is damaged", at }
                    }
                    e => e,
                })?;
                *ip = at + len;
            }
            _ => return Err(Error::Malformed { what: "a zstd block of unknown kind", at: *ip }),
        }
        if head & 1 == 1 {
            break;
        }
    }
    let content = out.buf.get(first..*op).unwrap_or_default();
    if size.is_some_and(|n| n != content.len() as u64) {
        return Err(Error::Malformed {
            what: "a zstd frame has not the size its header says",
            at: start,
        });
    }
    if flags & 4 != 0 {
        if read::le32(input, *ip).ok_or(cut)? != xxh64(content) as u32 {
            wrong.get_or_insert(Error::Checksum { what: "xxHash64 of a zstd frame", at: *ip });
        }
        *ip += 4;
    }
    Ok(())
}

/// Lets `write` fill the next `len` bytes, or as many as fit.
fn append(
    out: &mut Output<'_>,
    op: &mut usize,
    len: usize,
    write: impl FnOnce(&mut [u8]),
) -> Result<(), Error> {
    while out.room() < *op + len {
        out.grow()?;
    }
    write(&mut out.buf[*op..*op + len]);
    *op += len;
    Ok(())
}

const DAMAGED: Error = Error::Malformed { what: "a zstd block is damaged", at: 0 };

/// Bits read from the end of a slice towards its start; before the start come zeros.
struct Back<'a> {
    data: &'a [u8],
    /// Bits left; negative when more were taken than there are.
    left: isize,
}

impl<'a> Back<'a> {
    /// The highest set bit of the last byte marks the end.
    fn new(data: &'a [u8]) -> Result<Self, Error> {
        let last = *data.last().filter(|b| **b != 0).ok_or(DAMAGED)?;
        Ok(Self { data, left: (data.len() * 8) as isize - last.leading_zeros() as isize - 1 })
    }

    /// The next `n` bits, at most 56, without taking them.
    #[inline(always)]
    fn peek(&self, n: u32) -> u64 {
        let mask = (1u64 << n) - 1;
        let from = self.left - n as isize;
        if from < 0 {
            // Fewer bits than asked for are left: zeros take the place of the others.
            let head = self.load(0);
            let have = self.left.max(0) as u32;
            return (head & ((1u64 << have.min(63)) - 1)).checked_shl(n - have).unwrap_or(0) & mask;
        }
        (self.load(from as usize >> 3) >> (from & 7)) & mask
    }

    #[inline(always)]
    fn load(&self, at: usize) -> u64 {
        match self.data.get(at..at + 8) {
            Some(word) => u64::from_le_bytes([
                word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
            ]),
            None => {
                let rest = self.data.get(at..).unwrap_or_default();
                rest.iter().rev().fold(0, |w, b| (w << 8) | u64::from(*b))
            }
        }
    }

    #[inline(always)]
    fn take(&mut self, n: u32) -> usize {
        let value = self.peek(n);
        self.left -= n as isize;
        value as usize
    }
}

/// An FSE decoding table: symbol, bits to read, and what they are added to.
#[derive(Clone)]
struct Fse {
    log: u32,
    cells: Vec<(u8, u8, u16)>,
}

impl Fse {
    /// The table of a distribution; -1 is "less than one".
    fn new(log: u32, counts: &[i16]) -> Result<Self, Error> {
        let size = 1usize << log;
        let mut cells = vec![(0u8, 0u8, 0u16); size];
        let mut next = [0u32; 256];
        let mut high = size;
        for (symbol, count) in counts.iter().enumerate() {
            if *count < 0 {
                high = high.checked_sub(1).ok_or(DAMAGED)?;
                cells[high].0 = symbol as u8;
                next[symbol] = 1;
            } else {
                next[symbol] = *count as u32;
            }
        }
        let (mask, step) = (size - 1, (size >> 1) + (size >> 3) + 3);
        let mut at = 0;
        for (symbol, count) in counts.iter().enumerate() {
            for _ in 0..(*count).max(0) {
                cells[at].0 = symbol as u8;
                at = (at + step) & mask;
                // Every step is odd or the table full, so this ends.
                let mut tries = 0;
                while at >= high && high > 0 {
                    at = (at + step) & mask;
                    tries += 1;
                    if tries > size {
                        return Err(DAMAGED);
                    }
                }
            }
        }
        for cell in &mut cells {
            let n = next[usize::from(cell.0)];
            next[usize::from(cell.0)] += 1;
            let bits = log.checked_sub(n.checked_ilog2().ok_or(DAMAGED)?).ok_or(DAMAGED)?;
            cell.1 = bits as u8;
            cell.2 = ((n << bits) as usize).checked_sub(size).ok_or(DAMAGED)? as u16;
        }
        Ok(Self { log, cells })
    }

    /// One symbol, whatever the state.
    fn single(symbol: u8) -> Self {
        Self { log: 0, cells: vec![(symbol, 0, 0)] }
    }

    /// Reads a distribution from the start of `data`; also how many bytes it took.
    fn read(data: &[u8], log_max: u32, symbols: usize) -> Result<(Self, usize), Error> {
        let mut at = 0usize;
        let peek = |at: usize, n: u32| {
            let word = (0..4).fold(0u64, |w, i| {
                w | u64::from(data.get(at / 8 + i).copied().unwrap_or(0)) << (8 * i)
            });
            (word >> (at % 8)) as i32 & ((1 << n) - 1)
        };
        let log = peek(at, 4) as u32 + 5;
        at += 4;
        if log > log_max {
            return Err(DAMAGED);
        }
        let (mut remaining, mut threshold, mut bits) = ((1i32 << log) + 1, 1i32 << log, log + 1);
        let mut counts: Vec<i16> = Vec::new();
        while remaining > 1 && counts.len() < symbols {
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
            counts.push(count as i16);
            // After a zero, pairs of bits say how many more follow; three of them mean that another pair does.
            let mut more = count == 0;
            while more {
                let skip = peek(at, 2);
                at += 2;
                counts.extend(std::iter::repeat_n(0, skip as usize));
                more = skip == 3 && counts.len() <= symbols;
            }
            while remaining > 0 && remaining < threshold {
                bits -= 1;
                threshold >>= 1;
            }
        }
        if remaining != 1 || counts.len() > symbols || at.div_ceil(8) > data.len() {
            return Err(DAMAGED);
        }
        Ok((Self::new(log, &counts)?, at.div_ceil(8)))
    }

    #[inline(always)]
    fn cell(&self, state: usize) -> (u8, u8, u16) {
        // States come from `cell` of the same table, so this never fails.
        self.cells.get(state).copied().unwrap_or((0, 0, 0))
    }
}

/// A Huffman decoding table: symbol and length for each prefix of `bits` bits.
struct Huffman {
    bits: u32,
    cells: Vec<(u8, u8)>,
}

impl Huffman {
    /// Reads the description at the start of `data`; also how many bytes it took.
    fn read(data: &[u8]) -> Result<(Self, usize), Error> {
        let head = usize::from(*data.first().ok_or(DAMAGED)?);
        let mut weights: Vec<u8> = Vec::new();
        let used;
        if head < 128 {
            let body = read::slice(data, 1, head).ok_or(DAMAGED)?;
            used = 1 + head;
            let (table, n) = Fse::read(body, 6, 13)?;
            let mut bits = Back::new(body.get(n..).ok_or(DAMAGED)?)?;
            // Two states take turns until the bits are used up.
            let mut states = [bits.take(table.log), bits.take(table.log)];
            let mut turn = 0;
            while weights.len() < 255 {
                let (symbol, n, base) = table.cell(states[turn]);
                weights.push(symbol);
                if bits.left < isize::from(n) {
                    weights.push(table.cell(states[1 - turn]).0);
                    break;
                }
                states[turn] = usize::from(base) + bits.take(u32::from(n));
                turn = 1 - turn;
            }
        } else {
            let count = head - 127;
            let body = read::slice(data, 1, count.div_ceil(2)).ok_or(DAMAGED)?;
            used = 1 + body.len();
            weights.extend(body.iter().flat_map(|b| [b >> 4, b & 15]).take(count));
        }
        let sum = weights.iter().try_fold(0u32, |s, w| match w {
            0 => Some(s),
            1..=11 => Some(s + (1 << (w - 1))),
            _ => None,
        });
        let sum = sum.filter(|s| *s > 0).ok_or(DAMAGED)?;
        let bits = sum.ilog2() + 1;
        // The last weight is what is missing to the next power of two.
        let rest = (1u32 << bits) - sum;
        if bits > 11 || !rest.is_power_of_two() || weights.len() > 255 {
            return Err(DAMAGED);
        }
        weights.push(rest.ilog2() as u8 + 1);
        let mut cells = Vec::with_capacity(1 << bits);
        for weight in 1..=bits as u8 {
            for (symbol, _) in weights.iter().enumerate().filter(|(_, w)| **w == weight) {
                let cell = (symbol as u8, bits as u8 + 1 - weight);
                cells.extend(std::iter::repeat_n(cell, 1 << (weight - 1)));
            }
        }
        if cells.len() != 1 << bits {
            return Err(DAMAGED);
        }
        Ok((Self { bits, cells }, used))
    }

    /// Decodes one stream, all of which must be used up.
    fn stream(&self, data: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let mut bits = Back::new(data)?;
        let (shift, mask) = (64 - self.bits, self.cells.len() - 1);
        let mut done = 0;
        // Five symbols of at most eleven bits from each load.
        while bits.left >= 64 && done + 5 <= out.len() {
            let mut word = bits.peek(56) << 8;
            let mut used = 0;
            for target in &mut out[done..done + 5] {
                let (symbol, n) = self.cells[(word >> shift) as usize & mask];
                *target = symbol;
                word <<= n;
                used += isize::from(n);
            }
            bits.left -= used;
            done += 5;
        }
        for target in &mut out[done..] {
            let (symbol, n) = self.cells[bits.peek(self.bits) as usize & mask];
            *target = symbol;
            bits.left -= isize::from(n);
        }
        if bits.left == 0 { Ok(()) } else { Err(DAMAGED) }
    }
}

/// Reads the literals of a block into `state`; returns how many bytes of the block they took.
fn literals(data: &[u8], state: &mut State) -> Result<usize, Error> {
    let word =
        (0..5).fold(0u64, |w, i| w | u64::from(data.get(i).copied().unwrap_or(0)) << (8 * i));
    let format = (word >> 2) & 3;
    let kind = word & 3;
    if kind < 2 {
        let (head, size) = match format {
            0 | 2 => (1, (word >> 3) & 0x1f),
            1 => (2, (word >> 4) & 0xfff),
            _ => (3, (word >> 4) & 0xf_ffff),
        };
        let size = size as usize;
        if size > BLOCK {
            return Err(DAMAGED);
        }
        state.literals.clear();
        if kind == 0 {
            state.literals.extend_from_slice(read::slice(data, head, size).ok_or(DAMAGED)?);
            return Ok(head + size);
        }
        state.literals.resize(size, *data.get(head).ok_or(DAMAGED)?);
        return Ok(head + 1);
    }
    let (head, width) = match format {
        0 | 1 => (3, 10),
        2 => (4, 14),
        _ => (5, 18),
    };
    let size = (word >> 4) as usize & ((1 << width) - 1);
    let packed = (word >> (4 + width)) as usize & ((1 << width) - 1);
    let mut body = read::slice(data, head, packed).ok_or(DAMAGED)?;
    if size > BLOCK {
        return Err(DAMAGED);
    }
    if kind == 2 {
        let (table, used) = Huffman::read(body)?;
        state.huffman = Some(table);
        body = &body[used..];
    }
    let table = state.huffman.as_ref().ok_or(DAMAGED)?;
    state.literals.clear();
    state.literals.resize(size, 0);
    if format == 0 {
        table.stream(body, &mut state.literals)?;
    } else {
        let jump = |n| read::le16(body, n).map(usize::from).ok_or(DAMAGED);
        let sizes = [jump(0)?, jump(2)?, jump(4)?];
        let mut from = 6;
        let quarter = size.div_ceil(4);
        for (n, target) in (0..4).zip(state.literals.chunks_mut(quarter.max(1))) {
            let len = sizes.get(n).copied().unwrap_or(body.len().saturating_sub(from));
            table.stream(read::slice(body, from, len).ok_or(DAMAGED)?, target)?;
            from += len;
        }
    }
    Ok(head + packed)
}

/// Base and extra bits of literal length codes from 16, and of match length codes from 32.
const LITERAL_LENGTHS: [(u32, u8); 20] = [
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];
const MATCH_LENGTHS: [(u32, u8); 21] = [
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];
/// Distributions that need no description: literal lengths, offsets, match lengths.
const DEFAULTS: [(u32, &[i16]); 3] = [
    (
        6,
        &[
            4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1,
            1, 1, 1, -1, -1, -1, -1,
        ],
    ),
    (
        5,
        &[
            1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1,
            -1,
        ],
    ),
    (
        6,
        &[
            1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
            1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
        ],
    ),
];
/// Largest table and number of symbols of the three.
const BOUNDS: [(u32, usize); 3] = [(9, 36), (8, 32), (9, 53)];

/// Decodes a compressed block to `op`; matches reach back to `first`.
fn block(
    data: &[u8],
    state: &mut State,
    out: &mut Output<'_>,
    op: &mut usize,
    first: usize,
) -> Result<(), Error> {
    let mut at = literals(data, state)?;
    let byte = |at: usize| read::u8(data, at).map(usize::from).ok_or(DAMAGED);
    let begin = *op;
    let mut lit = 0;
    let count = match byte(at)? {
        n @ 0..128 => {
            at += 1;
            n
        }
        n @ 128..255 => {
            at += 2;
            ((n - 128) << 8) + byte(at - 1)?
        }
        _ => {
            at += 3;
            byte(at - 2)? + (byte(at - 1)? << 8) + 0x7f00
        }
    };
    if count > 0 {
        let modes = byte(at)?;
        at += 1;
        if modes & 3 != 0 {
            return Err(DAMAGED);
        }
        for (n, table) in state.tables.iter_mut().enumerate() {
            match (modes >> (6 - 2 * n)) & 3 {
                0 => *table = Some(Fse::new(DEFAULTS[n].0, DEFAULTS[n].1)?),
                1 => {
                    let symbol = byte(at)?;
                    if symbol >= BOUNDS[n].1 {
                        return Err(DAMAGED);
                    }
                    *table = Some(Fse::single(symbol as u8));
                    at += 1;
                }
                2 => {
                    let (read, used) =
                        Fse::read(data.get(at..).unwrap_or_default(), BOUNDS[n].0, BOUNDS[n].1)?;
                    *table = Some(read);
                    at += used;
                }
                _ if table.is_none() => return Err(DAMAGED),
                _ => {}
            }
        }
        let [Some(lengths), Some(offsets), Some(matches)] = &state.tables else {
            return Err(DAMAGED);
        };
        let mut bits = Back::new(data.get(at..).unwrap_or_default())?;
        let mut ll_state = bits.take(lengths.log);
        let mut of_state = bits.take(offsets.log);
        let mut ml_state = bits.take(matches.log);
        let [mut rep0, mut rep1, mut rep2] = state.reps;
        for n in 0..count {
            let ll = lengths.cell(ll_state);
            let of = offsets.cell(of_state);
            let ml = matches.cell(ml_state);
            let value = (1usize << of.0) + bits.take(u32::from(of.0));
            let match_len =
                match usize::from(ml.0).checked_sub(32).and_then(|c| MATCH_LENGTHS.get(c)) {
                    Some((base, extra)) => *base as usize + bits.take(u32::from(*extra)),
                    None => usize::from(ml.0) + 3,
                };
            let lit_len =
                match usize::from(ll.0).checked_sub(16).and_then(|c| LITERAL_LENGTHS.get(c)) {
                    Some((base, extra)) => *base as usize + bits.take(u32::from(*extra)),
                    None => usize::from(ll.0),
                };
            // Values up to three name one of the last offsets, one further on where no literals come before.
            let dist = match value + usize::from(lit_len == 0 && value <= 3) {
                1 => rep0,
                2 => {
                    (rep0, rep1) = (rep1, rep0);
                    rep0
                }
                v => {
                    let dist = match v {
                        3 => rep2,
                        4 if value == 3 => rep0 - 1,
                        v => v - 3,
                    };
                    (rep0, rep1, rep2) = (dist, rep0, rep1);
                    dist
                }
            };
            if n + 1 < count {
                ll_state = usize::from(ll.2) + bits.take(u32::from(ll.1));
                ml_state = usize::from(ml.2) + bits.take(u32::from(ml.1));
                of_state = usize::from(of.2) + bits.take(u32::from(of.1));
            }
            let source = state.literals.get(lit..lit + lit_len).ok_or(DAMAGED)?;
            let end = *op + lit_len + match_len;
            if bits.left < 0 || dist == 0 || dist > *op + lit_len - first || end - begin > BLOCK {
                return Err(DAMAGED);
            }
            while out.room() < end {
                out.grow()?;
            }
            if let (true, Some(chunk)) = (lit_len <= 16, state.literals.get(lit..lit + 16)) {
                // One copy of fixed size; what is too much lands in the slack or is overwritten.
                out.buf[*op..*op + 16].copy_from_slice(chunk);
            } else {
                out.buf[*op..*op + lit_len].copy_from_slice(source);
            }
            lit += lit_len;
            copy_match(&mut out.buf, *op + lit_len, dist, match_len);
            *op = end;
        }
        if bits.left != 0 {
            return Err(DAMAGED);
        }
        state.reps = [rep0, rep1, rep2];
    } else if at != data.len() {
        return Err(DAMAGED);
    }
    let rest = &state.literals[lit..];
    if *op + rest.len() - begin > BLOCK {
        return Err(DAMAGED);
    }
    append(out, op, rest.len(), |target| target.copy_from_slice(rest))
}
