//! LZFSE: blocks that are stored, LZVN, or LZ77 whose literals, lengths and distances are coded by finite-state entropy.
//!
//! | block | after its four letters |
//! |---|---|
//! | `bvx-` | size, bytes |
//! | `bvxn` | size, packed size, LZVN |
//! | `bvx1` | size, packed size, numbers of literals and matches, sizes of their streams, states; 360 frequencies of 16 bits |
//! | `bvx2` | the same in fields of bits; the frequencies in a code of 2 to 14 bits |
//! | `bvx$` | the end |
//!
//! Both streams of a coded block are read from their end towards their beginning.
//!
//! Source: the layout of Apple's reference, <https://github.com/lzfse/lzfse> (BSD).

// Tables have a fixed size and are indexed by values below it; fields are cut out of words with room to spare.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Decoded, Error, window::Window};
use crate::{budget::Budget, read};

/// Symbols and states of lengths of literals, of matches, of distances, and of literals.
const SYMBOLS: [usize; 4] = [20, 20, 64, 256];
const STATES: [usize; 4] = [64, 64, 256, 1024];

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its first four bytes.
    pub kind: [u8; 4],
    /// Where it begins.
    pub at: usize,
    /// Where its payload begins.
    pub start: usize,
    /// Bytes of the payload.
    pub packed: usize,
    /// Bytes that come out of it.
    pub size: u32,
}

impl Block {
    /// Where the next one begins.
    #[must_use]
    pub fn end(&self) -> usize {
        self.start.saturating_add(self.packed)
    }
}

/// The header of the block at `at`; none for anything else and for the end mark.
#[must_use]
pub fn block(data: &[u8], at: usize) -> Option<Block> {
    let kind = read::array::<4>(data, at)?;
    let word = |n: usize| read::le32(data, at.checked_add(n)?);
    let size = word(4)?;
    let (header, packed) = match &kind {
        b"bvx-" => (8, size),
        b"bvxn" => (12, word(8)?),
        b"bvx1" => (770, word(20)?.checked_add(word(24)?)?),
        b"bvx2" => {
            let field = |n: usize| read::le64(data, at.checked_add(n)?);
            let literals = field(8)? >> 20 & 0xF_FFFF;
            let matches = field(16)? >> 40 & 0xF_FFFF;
            let header = word(24).filter(|header| *header >= 32)?;
            (header, u32::try_from(literals + matches).ok()?)
        }
        _ => return None,
    };
    let start = at.checked_add(read::index(header.into())?)?;
    Some(Block { kind, at, start, packed: read::index(packed.into())?, size })
}

/// What the header of a coded block says.
struct Header {
    literals: usize,
    matches: usize,
    /// Bytes of literals and of matches, and the bits at their ends that are not used, negative.
    streams: [(usize, i32); 2],
    literal_states: [u16; 4],
    /// States of the length of literals, of the length of a match, of the distance.
    states: [u16; 3],
    frequencies: Vec<u16>,
}

impl Header {
    fn one(head: &[u8]) -> Option<Self> {
        let word = |n: usize| read::le32(head, n).and_then(|v| read::index(v.into()));
        let half = |n: usize| read::le16(head, n);
        Some(Self {
            literals: word(12)?,
            matches: word(16)?,
            streams: [
                (word(20)?, read::le32(head, 28)? as i32),
                (word(24)?, read::le32(head, 40)? as i32),
            ],
            literal_states: [half(32)?, half(34)?, half(36)?, half(38)?],
            states: [half(44)?, half(46)?, half(48)?],
            frequencies: (0..360).map(|n| half(50 + 2 * n)).collect::<Option<_>>()?,
        })
    }

    fn two(head: &[u8]) -> Option<Self> {
        let words = [read::le64(head, 8)?, read::le64(head, 16)?, read::le64(head, 24)?];
        let field = |n: usize, at: u32, width: u32| (words[n] >> at & ((1 << width) - 1)) as usize;
        let short = |n, at| field(n, at, 10) as u16;
        let mut frequencies = Vec::with_capacity(360);
        let (mut bits, mut have) = (0_u64, 0_u32);
        let mut rest = head.get(32..)?.iter();
        for _ in 0..360 {
            while have <= 48
                && let Some(byte) = rest.next()
            {
                bits |= u64::from(*byte) << have;
                have += 8;
            }
            // Two bits for 0 and 1, then three, five and eight, and 14 for what is above 23.
            let (len, value) = match bits & 31 {
                low if low & 3 == 0 => (2, 0),
                low if low & 3 == 2 => (2, 1),
                low if low & 7 == 1 => (3, 2),
                low if low & 7 == 5 => (3, 3),
                low if low & 7 == 3 => (5, 4 + (low >> 3)),
                low if low & 15 == 7 => (8, 8 + (bits >> 4 & 15)),
                _ => (14, 24 + (bits >> 4 & 0x3FF)),
            };
            if len > have {
                return None;
            }
            bits >>= len;
            have -= len;
            frequencies.push(value as u16);
        }
        Some(Self {
            literals: field(0, 0, 20),
            matches: field(0, 40, 20),
            streams: [
                (field(0, 20, 20), field(0, 60, 3) as i32 - 7),
                (field(1, 40, 20), field(1, 60, 3) as i32 - 7),
            ],
            literal_states: [short(1, 0), short(1, 10), short(1, 20), short(1, 30)],
            states: [short(2, 32), short(2, 42), short(2, 52)],
            frequencies,
        })
    }
}

/// What a state says: the symbol, bits to read, and what to add to them for the next state.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    symbol: u8,
    bits: u8,
    plus: u16,
}

/// The states of symbols of these frequencies; none where there are more than states.
fn states(frequencies: &[u16], count: usize) -> Option<Vec<State>> {
    let mut made = Vec::with_capacity(count);
    for (symbol, frequency) in (0_u8..=255).zip(frequencies) {
        let often = usize::from(*frequency);
        if often == 0 {
            continue;
        }
        if made.len() + often > count {
            return None;
        }
        // The first ones read one bit more than the others, so that together they reach every state once.
        let bits = count.ilog2() - often.ilog2();
        let longer = ((2 * count) >> bits) - often;
        for n in 0..often {
            let (bits, next) = match n.checked_sub(longer) {
                None => (bits, ((often + n) << bits) - count),
                Some(n) => (bits - 1, n << (bits - 1)),
            };
            made.push(State { symbol, bits: bits as u8, plus: next as u16 });
        }
    }
    made.resize(count, State::default());
    Some(made)
}

/// Bits of a stream that is read from its end.
struct Backward<'a> {
    data: &'a [u8],
    /// Bits that are left.
    left: usize,
    over: bool,
}

impl<'a> Backward<'a> {
    /// All bits but `-unused` at the end, which are at most 7.
    fn new(data: &'a [u8], unused: i32) -> Option<Self> {
        let unused = usize::try_from(-i64::from(unused)).ok().filter(|n| *n < 8)?;
        Some(Self { data, left: (data.len() * 8).checked_sub(unused)?, over: false })
    }

    /// The `n` bits before, at most 32.
    #[inline]
    fn take(&mut self, n: u32) -> usize {
        let Some(left) = self.left.checked_sub(n as usize) else {
            (self.left, self.over) = (0, true);
            return 0;
        };
        self.left = left;
        let word = match read::le64(self.data, left / 8) {
            Some(word) => word,
            None => {
                let tail = &self.data[(left / 8).min(self.data.len())..];
                tail.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
            }
        };
        (word >> (left % 8) & ((1 << n) - 1)) as usize
    }

    /// The symbol of a state, and the next state.
    #[inline]
    fn symbol(&mut self, table: &[State], state: &mut u16) -> usize {
        let found = table[usize::from(*state) % table.len()];
        *state = found.plus.wrapping_add(self.take(found.bits.into()) as u16);
        found.symbol.into()
    }
}

/// Extra bits of a length of literals, of a match, of a distance.
fn extra(kind: usize, symbol: usize) -> u32 {
    match (kind, symbol) {
        (0, 16..) => [2, 3, 5, 8][(symbol - 16) & 3],
        (1, 16..) => [3, 5, 8, 11][(symbol - 16) & 3],
        (2, _) => symbol as u32 / 4,
        _ => 0,
    }
}

/// The first value of each symbol, and its extra bits.
fn values(kind: usize) -> Vec<(usize, u32)> {
    let mut base = 0;
    (0..SYMBOLS[kind])
        .map(|symbol| {
            let bits = extra(kind, symbol);
            let value = (base, bits);
            base += 1 << bits;
            value
        })
        .collect()
}

/// Adds what a coded block stands for.
fn coded(data: &[u8], block: &Block, out: &mut Window<'_>, end: usize) -> Result<(), Error> {
    let bad = Error::Malformed { what: "a block of LZFSE is damaged", at: block.at };
    let head = read::slice(data, block.at, block.start - block.at).ok_or(bad)?;
    let header = if block.kind == *b"bvx1" { Header::one(head) } else { Header::two(head) };
    let header = header.ok_or(bad)?;
    let mut at = 0;
    let mut tables = Vec::with_capacity(4);
    for (count, room) in SYMBOLS.into_iter().zip(STATES) {
        let frequencies = header.frequencies.get(at..at + count).ok_or(bad)?;
        tables.push(states(frequencies, room).ok_or(bad)?);
        at += count;
    }
    let [(literal_bytes, literal_bits), (match_bytes, match_bits)] = header.streams;
    let stream = |from: usize, len: usize| read::slice(data, from, len).ok_or(bad);
    let first = stream(block.start, literal_bytes)?;
    let second = stream(block.start.saturating_add(literal_bytes), match_bytes)?;
    // Four states take turns. No block has more literals than the bytes that come out of it, up to the last turn.
    if header.literals > block.size as usize + 3 {
        return Err(bad);
    }
    let mut bits = Backward::new(first, literal_bits).ok_or(bad)?;
    let mut turns = header.literal_states;
    let mut literals = Vec::with_capacity(header.literals.next_multiple_of(4));
    while literals.len() < header.literals {
        for state in &mut turns {
            literals.push(bits.symbol(&tables[3], state) as u8);
        }
    }
    if bits.over {
        return Err(bad);
    }
    let numbers = [values(0), values(1), values(2)];
    let mut bits = Backward::new(second, match_bits).ok_or(bad)?;
    let mut now = header.states;
    let (mut used, mut before) = (0, 0);
    for _ in 0..header.matches {
        let mut next = [0; 3];
        for (kind, value) in next.iter_mut().enumerate() {
            // The extra bits stand below those of the state.
            let found = tables[kind][usize::from(now[kind]) % tables[kind].len()];
            let (base, extra) = numbers[kind][usize::from(found.symbol) % SYMBOLS[kind]];
            let both = bits.take(u32::from(found.bits) + extra);
            now[kind] = found.plus.wrapping_add((both >> extra) as u16);
            *value = base + (both & ((1 << extra) - 1));
        }
        let [len, again, dist] = next;
        // A distance of 0 is the one before.
        before = if dist == 0 { before } else { dist };
        let plain = literals.get(used..used + len).ok_or(bad)?;
        if bits.over || out.len() + len + again > end {
            return Err(bad);
        }
        out.append(plain)?;
        used += len;
        if again > 0 {
            out.repeat_own(before, again, block.at)?;
        }
    }
    Ok(())
}

/// Adds what an LZVN block stands for, up to `end` bytes in all; nothing where an opcode cannot be.
fn lzvn(input: &[u8], out: &mut Window<'_>, end: usize) -> Option<()> {
    let (mut at, mut distance) = (0_usize, 0_usize);
    let byte = |at: usize| read::u8(input, at).map(usize::from);
    loop {
        let op = byte(at)?;
        // Bytes of the opcode, literals, length of the match; the distance where it has one.
        let (len, literals, matched) = match op {
            0x06 => return Some(()),
            0x0E | 0x16 => (1, 0, 0),
            0x1E | 0x26 | 0x2E | 0x36 | 0x3E | 0x70..=0x7F | 0xD0..=0xDF => return None,
            0xE0 => (2, byte(at + 1)? + 16, 0),
            0xE1..=0xEF => (1, op & 15, 0),
            0xF0 => (2, 0, byte(at + 1)? + 16),
            0xF1..=0xFF => (1, 0, op & 15),
            0xA0..=0xBF => {
                let more = usize::from(read::le16(input, at + 1)?);
                distance = more >> 2;
                (3, op >> 3 & 3, ((op & 7) << 2 | more & 3) + 3)
            }
            _ => {
                let (literals, matched) = (op >> 6, (op >> 3 & 7) + 3);
                match op & 7 {
                    7 => {
                        distance = usize::from(read::le16(input, at + 1)?);
                        (3, literals, matched)
                    }
                    // The distance before this one again.
                    6 => (1, literals, matched),
                    high => {
                        distance = high << 8 | byte(at + 1)?;
                        (2, literals, matched)
                    }
                }
            }
        };
        at += len;
        if out.len() + literals + matched > end {
            return None;
        }
        out.append(read::slice(input, at, literals)?).ok()?;
        at += literals;
        if matched > 0 {
            out.repeat_own(distance, matched, at).ok()?;
        }
    }
}

/// Decodes an LZVN stream that stands by itself, of at most `max` bytes.
#[must_use]
pub fn decode_lzvn(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Window::new(max, 0, budget);
    let bad = Error::Malformed { what: "an LZVN stream is damaged", at: 0 };
    let error = lzvn(input, &mut out, max).is_none().then_some(bad);
    out.finish(input.len(), error)
}

/// Decodes all blocks up to the end mark, or as many as make `max` bytes. What a damaged block leaves out is zeros, so that
/// the blocks behind it stand where they should.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Window::new(max, 0, budget);
    let (mut at, mut wrong) = (0_usize, None);
    let mut go = || {
        while read::slice(input, at, 4) != Some(b"bvx$") {
            budget.work(16)?;
            let cut = Error::Truncated { what: "LZFSE", at };
            let block = block(input, at).ok_or(match input.get(at..) {
                Some([_, _, _, _, ..]) => Error::Malformed { what: "no block of LZFSE", at },
                _ => cut,
            })?;
            let end = out.len().saturating_add(block.size as usize);
            if end > max {
                return Err(Error::Limit { max });
            }
            let packed = read::slice(input, block.start, block.packed).ok_or(cut)?;
            let bad = Error::Malformed { what: "a block of LZFSE is damaged", at };
            let made = match &block.kind {
                b"bvx-" => out.append(packed),
                b"bvxn" => lzvn(packed, &mut out, end).ok_or(bad),
                _ => coded(input, &block, &mut out, end),
            };
            match made {
                Err(e @ (Error::Exhausted(_) | Error::Limit { .. })) => return Err(e),
                Err(e) => drop(wrong.get_or_insert(e)),
                Ok(()) if out.len() < end => drop(wrong.get_or_insert(bad)),
                Ok(()) => {}
            }
            out.zeros(end)?;
            at = block.end();
        }
        at += 4;
        Ok(())
    };
    let error = go().err();
    out.finish(at.min(input.len()), wrong.or(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::noise;

    /// By `lzfse_rust`, the encoder of another project.
    fn pack(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        lzfse_rust::encode_bytes(content, &mut out).unwrap();
        out
    }

    fn contents() -> Vec<Vec<u8>> {
        let text = b"What is said once is said again, and again in other words. ".repeat(4000);
        let mut mixed = [noise(300_000, 3), vec![b'x'; 70_000], text.clone()].concat();
        mixed.extend_from_within(1000..90_000);
        mixed.extend(noise(5000, 4).iter().map(|b| b & 7));
        vec![Vec::new(), b"a".to_vec(), b"small and small and small ".repeat(9), text, mixed]
    }

    #[test]
    fn blocks_of_a_real_encoder() {
        let mut kinds = std::collections::BTreeSet::new();
        for content in contents() {
            let packed = pack(&content);
            let mut at = 0;
            while let Some(found) = block(&packed, at) {
                kinds.insert(found.kind);
                at = found.end();
            }
            let made = decode(&packed, content.len(), &Budget::ample());
            assert_eq!((made.error, made.consumed), (None, packed.len()));
            assert!(made.bytes == content);
            for cut in (0..packed.len()).step_by(packed.len() / 9 + 1) {
                assert!(decode(&packed[..cut], content.len(), &Budget::ample()).error.is_some());
            }
        }
        assert!(kinds.contains(b"bvx2") && kinds.contains(b"bvxn"), "{kinds:?}");
    }

    /// The older header has the same fields, not packed.
    #[test]
    fn the_older_header_says_the_same() {
        let content = &contents()[3];
        let packed = pack(content);
        let found = block(&packed, 0).unwrap();
        assert_eq!(&found.kind, b"bvx2");
        let header = Header::two(&packed[..found.start]).unwrap();
        let mut old = [b"bvx1".to_vec(), found.size.to_le_bytes().to_vec()].concat();
        let [first, second] = header.streams;
        let words = [first.0 + second.0, header.literals, header.matches, first.0, second.0];
        words.iter().for_each(|w| old.extend((*w as u32).to_le_bytes()));
        old.extend(first.1.to_le_bytes());
        header.literal_states.iter().for_each(|s| old.extend(s.to_le_bytes()));
        old.extend(second.1.to_le_bytes());
        header.states.iter().chain(&header.frequencies).for_each(|s| old.extend(s.to_le_bytes()));
        assert_eq!(old.len(), 770);
        old.extend(&packed[found.start..]);
        let made = decode(&old, content.len(), &Budget::ample());
        assert_eq!(made.error, None);
        assert!(made.bytes == *content);
    }

    #[test]
    fn damage_stays_within_bounds() {
        let packed = pack(&contents()[4]);
        for n in 0..300_usize {
            let mut damaged = packed.clone();
            let at = if n % 2 == 0 { n } else { n * 977 % packed.len() };
            damaged[at] ^= 1 << (n % 8);
            let made = decode(&damaged, 700_000, &Budget::ample());
            assert!(made.bytes.len() <= 700_000);
        }
        let made = decode(&packed, 1000, &Budget::ample());
        assert!(matches!(made.error, Some(Error::Limit { max: 1000 })));
    }
}
