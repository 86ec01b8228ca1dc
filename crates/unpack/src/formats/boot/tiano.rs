//! The compression of EFI 1.1 and of Tiano: LZ77 with Huffman codes over blocks, as in LHA.
//!
//! The two differ in one number: the width of the position code's length table, 4 (EFI 1.1) and 5 (Tiano).
//! Source: UEFI Platform Initialization Specification, volume 3, and the UEFI Specification's chapter on
//! compression; written from the text.

use crate::{
    budget::{Budget, Exhausted},
    read,
};

/// Decodes a stream that begins with the compressed and the decoded size. `position_bits` is 4 or 5.
///
/// Returns what came out, and whether it is all of it.
///
/// # Errors
/// [`Exhausted`] where the decoded size is more than the budget allows.
pub fn decode(
    data: &[u8],
    position_bits: u32,
    budget: &Budget,
) -> Result<(Vec<u8>, bool), Exhausted> {
    let (Some(packed), Some(size)) = (read::le32(data, 0), read::le32(data, 4)) else {
        return Ok((Vec::new(), false));
    };
    budget.output(size.into())?;
    let size = read::index(size.into()).unwrap_or(0);
    let end =
        read::index(packed.into()).and_then(|n| n.checked_add(8)).unwrap_or(0).min(data.len());
    let mut decoder = Decoder {
        bits: Bits { data: data.get(8..end).unwrap_or_default(), at: 0 },
        position_bits,
        left: 0,
        symbols: Codes::default(),
        positions: Codes::default(),
    };
    // Reserved as it grows: the declared size is not to be believed.
    let mut out = Vec::with_capacity(size.min(1 << 20));
    while out.len() < size {
        if decoder.step(&mut out, size).is_none() {
            return Ok((out, false));
        }
    }
    Ok((out, true))
}

/// Bits from the most significant on; zeros follow the end, a little.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn peek(&self, count: u32) -> u32 {
        let byte = |n: usize| {
            u32::from(self.data.get((self.at >> 3).saturating_add(n)).copied().unwrap_or(0))
        };
        let word = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
        let shift = u32::try_from(self.at & 7).unwrap_or(0);
        if count == 0 { 0 } else { (word << shift) >> 32_u32.saturating_sub(count) }
    }

    /// At most 24 bits; nothing once the data has been left by more than 4 bytes.
    fn take(&mut self, count: u32) -> Option<u32> {
        let value = self.peek(count);
        self.at = self.at.checked_add(count as usize)?;
        (self.at >> 3 <= self.data.len().saturating_add(4)).then_some(value)
    }
}

/// A prefix code of lengths up to 16, canonical.
#[derive(Default)]
struct Codes {
    /// For each length the first code and the index of its symbol; symbols in the order of their codes.
    first: [(u32, u32, u32); 17],
    symbols: Vec<u16>,
}

impl Codes {
    fn new(lengths: &[u8]) -> Option<Self> {
        let mut codes = Self::default();
        let mut next = 0_u32;
        for len in 1..=16_u8 {
            let index = u32::try_from(codes.symbols.len()).ok()?;
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| **l == len) {
                codes.symbols.push(u16::try_from(symbol).ok()?);
            }
            let count = u32::try_from(codes.symbols.len()).ok()?.checked_sub(index)?;
            *codes.first.get_mut(usize::from(len))? = (next, count, index);
            next = next.checked_add(count)?;
            // More codes than there are patterns is damage.
            if next > 1 << len {
                return None;
            }
            next <<= 1;
        }
        Some(codes)
    }

    /// A code in which every pattern is `symbol`, without bits.
    fn only(symbol: u16) -> Self {
        Self { first: Default::default(), symbols: vec![symbol] }
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Option<u16> {
        if let [symbol] = self.symbols[..]
            && self.first.iter().all(|(_, count, _)| *count == 0)
        {
            return Some(symbol);
        }
        let window = bits.peek(16);
        for (len, (first, count, index)) in (0_u32..).zip(&self.first).skip(1) {
            let code = window >> 16_u32.checked_sub(len)?;
            if let Some(nth) = code.checked_sub(*first).filter(|nth| nth < count) {
                bits.take(len)?;
                return self.symbols.get(index.checked_add(nth)? as usize).copied();
            }
        }
        None
    }
}

struct Decoder<'a> {
    bits: Bits<'a>,
    position_bits: u32,
    left: u32,
    symbols: Codes,
    positions: Codes,
}

/// 256 literals and match lengths 3 to 256.
const SYMBOLS: usize = 510;

impl Decoder<'_> {
    /// One literal or one match.
    fn step(&mut self, out: &mut Vec<u8>, size: usize) -> Option<()> {
        if self.left == 0 {
            self.left = self.bits.take(16)?;
            let extra = self.lengths(19, 5, Some(3))?;
            self.symbols = self.symbol_code(&extra)?;
            self.positions = self.lengths(
                if self.position_bits == 4 { 14 } else { 31 },
                self.position_bits,
                None,
            )?;
        }
        self.left = self.left.checked_sub(1)?;
        let symbol = self.symbols.decode(&mut self.bits)?;
        if let Ok(literal) = u8::try_from(symbol) {
            out.push(literal);
            return Some(());
        }
        let len = usize::from(symbol).checked_sub(253)?;
        let position = match u32::from(self.positions.decode(&mut self.bits)?) {
            n @ 0..=1 => n,
            n => {
                let low = n.checked_sub(1).filter(|low| *low < 24)?;
                (1_u32 << low).checked_add(self.bits.take(low)?)?
            }
        };
        let from = out.len().checked_sub(position as usize)?.checked_sub(1)?;
        for at in from..from.checked_add(len)? {
            if out.len() < size {
                out.push(*out.get(at)?);
            }
        }
        Some(())
    }

    /// A small code: count, then 3-bit lengths with unary escape; after `special` lengths a run of zeros.
    fn lengths(&mut self, most: usize, width: u32, special: Option<usize>) -> Option<Codes> {
        let count = self.bits.take(width)? as usize;
        if count == 0 {
            return Some(Codes::only(u16::try_from(self.bits.take(width)?).ok()?));
        }
        let mut lengths = Vec::new();
        while lengths.len() < count && lengths.len() < most {
            let mut len = self.bits.take(3)?;
            if len == 7 {
                while self.bits.take(1)? == 1 {
                    len = len.checked_add(1).filter(|len| *len <= 16)?;
                }
            }
            lengths.push(u8::try_from(len).ok()?);
            if special == Some(lengths.len()) {
                let zeros = self.bits.take(2)?;
                (0..zeros).for_each(|_| lengths.push(0));
            }
        }
        Codes::new(&lengths)
    }

    /// The code of literals and lengths, itself coded by `extra`.
    fn symbol_code(&mut self, extra: &Codes) -> Option<Codes> {
        let count = self.bits.take(9)? as usize;
        if count == 0 {
            return Some(Codes::only(u16::try_from(self.bits.take(9)?).ok()?));
        }
        let mut lengths = Vec::new();
        while lengths.len() < count.min(SYMBOLS) {
            let zeros = match extra.decode(&mut self.bits)? {
                0 => 1,
                1 => self.bits.take(4)?.checked_add(3)?,
                2 => self.bits.take(9)?.checked_add(20)?,
                n => {
                    lengths.push(u8::try_from(n.checked_sub(2)?).ok()?);
                    0
                }
            };
            (0..zeros).for_each(|_| lengths.push(0));
        }
        Codes::new(&lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our own construction: one block of five symbols, all literal `A` (a code without bits).
    #[test]
    fn a_block_of_one_symbol() {
        let mut bits = String::new();
        for (value, width) in [(5_u32, 16_usize), (0, 5), (0, 5), (0, 9), (65, 9), (0, 4), (0, 4)] {
            bits.push_str(&format!("{value:0width$b}"));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('0');
        }
        let packed: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 2).unwrap())
            .collect();
        let mut stream = u32::try_from(packed.len()).unwrap().to_le_bytes().to_vec();
        stream.extend(5_u32.to_le_bytes());
        stream.extend(packed);
        assert_eq!(decode(&stream, 4, &Budget::ample()), Ok((b"AAAAA".to_vec(), true)));
    }

    /// Literals `a`, `b` and a match of three at distance two: codes of 1, 2 and 2 bits.
    #[test]
    fn literals_and_a_match() {
        let mut bits = String::new();
        let mut put = |value: u32, width: usize| bits.push_str(&format!("{value:0width$b}"));
        put(4, 16);
        // Extra code: symbols 2 (long zero run), 3 (length 1), 4 (length 2): lengths 0,0,1 | run 0 | 2,2.
        put(5, 5);
        for len in [0, 0, 1] {
            put(len, 3);
        }
        put(0, 2);
        put(2, 3);
        put(2, 3);
        // Canonical: symbol 2 = `0`, 3 = `10`, 4 = `11`. Lengths: 97 zeros, a=1, b=2, 157 zeros, 256=2.
        put(257, 9);
        put(0, 1);
        put(97 - 20, 9);
        put(0b10, 2);
        put(0b11, 2);
        put(0, 1);
        put(157 - 20, 9);
        put(0b11, 2);
        // Position code: always 1 (distance 2).
        put(0, 5);
        put(1, 5);
        // a = `0`, b = `10`, 256 = `11`: a b match b
        put(0, 1);
        put(0b10, 2);
        put(0b11, 2);
        put(0b10, 2);
        while !bits.len().is_multiple_of(8) {
            bits.push('0');
        }
        let packed: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 2).unwrap())
            .collect();
        let mut stream = u32::try_from(packed.len()).unwrap().to_le_bytes().to_vec();
        stream.extend(6_u32.to_le_bytes());
        stream.extend(packed);
        assert_eq!(decode(&stream, 5, &Budget::ample()), Ok((b"ababab".to_vec(), true)));
        for cut in 0..stream.len() {
            decode(&stream[..cut], 5, &Budget::ample()).unwrap();
        }
        for bit in 0..stream.len() * 8 {
            let mut damaged = stream.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&damaged, 5, &Budget::ample());
        }
    }
}
