//! Binary BCH codes over GF(2^m), as controllers of flash memory use them: recognised by divisibility, and corrected.
//!
//! A codeword is bytes, most significant bit first and aligned to the end: message, then parity. It is right where the
//! generator divides it, the product of the minimal polynomials of the first `t` odd powers of a root of the field's
//! polynomial. Wrong bits are found by Berlekamp-Massey and an exhaustive search for the roots of the locator.
//!
//! Source: S. Lin, D. Costello, "Error Control Coding", chapter 6; conventions as in Linux, lib/bch.c.

// Indices are elements of the field, which are below the lengths of its tables, or bytes.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// GF(2^m), `m` from 5 to 15.
pub struct Field {
    /// Bits of an element.
    pub m: u32,
    /// The primitive polynomial.
    pub polynomial: u32,
    /// Powers of the root, twice over.
    exp: Vec<u16>,
    log: Vec<u16>,
}

impl Field {
    /// The field of a primitive polynomial; none where it is of another degree or not primitive.
    #[must_use]
    pub fn new(polynomial: u32) -> Option<Self> {
        let m = polynomial.checked_ilog2().filter(|m| (5..=15).contains(m))?;
        let order = (1_usize << m) - 1;
        let (mut exp, mut log) = (Vec::with_capacity(order * 2), vec![0; order + 1]);
        let mut power = 1_u32;
        for n in 0..order {
            if n > 0 && power == 1 {
                return None;
            }
            let element = u16::try_from(power).ok()?;
            exp.push(element);
            log[usize::from(element)] = u16::try_from(n).ok()?;
            power <<= 1;
            if power >> m != 0 {
                power ^= polynomial;
            }
        }
        exp.extend_from_within(..);
        Some(Self { m, polynomial, exp, log })
    }

    /// Elements but zero.
    #[must_use]
    pub fn order(&self) -> usize {
        self.log.len() - 1
    }

    /// The root to the power of `n`.
    fn power(&self, n: usize) -> u16 {
        self.exp[n % self.order()]
    }

    fn times(&self, a: u16, b: u16) -> u16 {
        if a == 0 || b == 0 {
            return 0;
        }
        self.exp[usize::from(self.log[usize::from(a)]) + usize::from(self.log[usize::from(b)])]
    }

    fn over(&self, a: u16, b: u16) -> u16 {
        if a == 0 || b == 0 {
            return 0;
        }
        let log = usize::from(self.log[usize::from(a)]) + self.order();
        self.exp[log - usize::from(self.log[usize::from(b)])]
    }
}

/// Words of a remainder: 640 bits, more than 40 times 15.
const WORDS: usize = 10;
type Wide = [u64; WORDS];

/// A code that corrects `t` bits.
pub struct Code<'f> {
    field: &'f Field,
    /// Wrong bits that it corrects.
    pub t: usize,
    /// Bits of parity.
    pub parity: usize,
    /// Words of a remainder that are in use.
    words: usize,
    /// What a byte that is shifted out adds to the remainder. Remainders begin at the highest bit of the first word.
    table: Vec<Wide>,
}

/// Shifts the first `words` words left by less than 64 bits.
fn shift(wide: &mut Wide, words: usize, by: u32) {
    for n in 0..words {
        let below = if n + 1 < words { wide[n + 1] >> (64 - by) } else { 0 };
        wide[n] = wide[n] << by | below;
    }
}

impl<'f> Code<'f> {
    /// The code that corrects `t` bits; none where its parity would be longer than 640 bits or the field is too small.
    #[must_use]
    pub fn new(field: &'f Field, t: usize) -> Option<Self> {
        if t == 0 || t * 2 >= field.order() || t * field.m as usize > WORDS * 64 {
            return None;
        }
        // Coefficients of the generator, lowest first: a factor for each power of the roots, conjugates included.
        let mut roots = vec![false; field.order()];
        for odd in (1..t * 2).step_by(2) {
            let mut power = odd;
            while !roots[power] {
                roots[power] = true;
                power = power * 2 % field.order();
            }
        }
        let mut generator: Vec<u16> = vec![1];
        for (power, _) in roots.iter().enumerate().filter(|(_, is)| **is) {
            let root = field.power(power);
            generator.insert(0, 0);
            for n in 0..generator.len() - 1 {
                generator[n] ^= field.times(generator[n + 1], root);
            }
        }
        let parity = generator.len() - 1;
        if parity > WORDS * 64 || generator.iter().any(|c| *c > 1) {
            return None;
        }
        // Without its highest term, highest bit first.
        let mut low: Wide = [0; WORDS];
        for (n, c) in generator.iter().rev().skip(1).enumerate() {
            low[n / 64] |= u64::from(*c) << (63 - n % 64);
        }
        let words = parity.div_ceil(64);
        let table = (0..256_u64).map(|byte| {
            let mut wide: Wide = [0; WORDS];
            wide[0] = byte << 56;
            for _ in 0..8 {
                let carry = wide[0] >> 63 == 1;
                shift(&mut wide, words, 1);
                if carry {
                    wide.iter_mut().zip(&low).for_each(|(w, l)| *w ^= l);
                }
            }
            wide
        });
        Some(Self { field, t, parity, words, table: table.collect() })
    }

    /// Remainder of the bytes, times x to the power of `parity`. Parities shorter than a byte are not in use.
    fn remainder(&self, bytes: &[u8]) -> Wide {
        let mut wide: Wide = [0; WORDS];
        // The common lengths in registers.
        if self.words <= 2 {
            let mut register = 0_u128;
            for byte in bytes {
                let index = usize::from((register >> 120) as u8 ^ byte);
                let [high, low, ..] = self.table[index];
                register = register << 8 ^ (u128::from(high) << 64 | u128::from(low));
            }
            wide[0] = (register >> 64) as u64;
            wide[1] = register as u64;
            return wide;
        }
        for byte in bytes {
            let index = usize::from((wide[0] >> 56) as u8 ^ byte);
            shift(&mut wide, self.words, 8);
            let row = &self.table[index];
            for n in 0..self.words {
                wide[n] ^= row[n];
            }
        }
        wide
    }

    /// The parity of a message, aligned to the first bit; the last byte is filled with zeros.
    #[must_use]
    pub fn encode(&self, message: &[u8]) -> Vec<u8> {
        let wide = self.remainder(message);
        wide.iter().flat_map(|w| w.to_be_bytes()).take(self.parity.div_ceil(8)).collect()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_right(&self, codeword: &[u8]) -> bool {
        self.remainder(codeword).iter().all(|w| *w == 0)
    }

    /// Puts wrong bits right; how many there were, or none where there are more than the code corrects.
    pub fn correct(&self, codeword: &mut [u8]) -> Option<usize> {
        let wide = self.remainder(codeword);
        if wide.iter().all(|w| *w == 0) {
            return Some(0);
        }
        let locator = self.locator(&self.syndromes(&wide))?;
        let places = self.roots(&locator, codeword.len() * 8)?;
        for place in &places {
            // Places are counted from the end.
            let from_start = codeword.len() * 8 - 1 - place;
            codeword[from_start / 8] ^= 0x80 >> (from_start % 8);
        }
        Some(places.len())
    }

    /// Values of the codeword at the first `2t` powers of the root.
    fn syndromes(&self, wide: &Wide) -> Vec<u16> {
        let order = self.field.order();
        let mut all = vec![0; self.t * 2];
        for bit in (0..self.parity).filter(|n| wide[n / 64] >> (63 - n % 64) & 1 == 1) {
            // The remainder is that of the codeword shifted by `parity`.
            let degree = order - 1 - bit % order;
            for (n, syndrome) in all.iter_mut().enumerate().step_by(2) {
                *syndrome ^= self.field.power(degree * (n + 1));
            }
        }
        for n in (1..all.len()).step_by(2) {
            all[n] = self.field.times(all[n / 2], all[n / 2]);
        }
        all
    }

    /// Berlekamp-Massey: coefficients of the error locator, lowest first.
    fn locator(&self, syndromes: &[u16]) -> Option<Vec<u16>> {
        let field = self.field;
        let (mut current, mut before) = (vec![1_u16], vec![1_u16]);
        let (mut length, mut gap, mut last) = (0_usize, 1_usize, 1_u16);
        for n in 0..syndromes.len() {
            let mut discrepancy = syndromes[n];
            for i in 1..=length.min(current.len() - 1) {
                discrepancy ^= field.times(current[i], syndromes[n - i]);
            }
            if discrepancy == 0 {
                gap += 1;
                continue;
            }
            let scale = field.over(discrepancy, last);
            let mut next = current.clone();
            next.resize(next.len().max(before.len() + gap), 0);
            for (i, b) in before.iter().enumerate() {
                next[i + gap] ^= field.times(scale, *b);
            }
            if length * 2 <= n {
                (length, last, gap) = (n + 1 - length, discrepancy, 1);
                before = std::mem::replace(&mut current, next);
            } else {
                current = next;
                gap += 1;
            }
        }
        current.truncate(length + 1);
        (length <= self.t && current.len() == length + 1).then_some(current)
    }

    /// Places of wrong bits, counted from the end: as many as the locator has roots, or none.
    fn roots(&self, locator: &[u16], bits: usize) -> Option<Vec<usize>> {
        let (field, order) = (self.field, self.field.order());
        let count = locator.len() - 1;
        // Logarithm and degree of each term; the value at the root to the power of -n is asked.
        let mut terms: Vec<(usize, usize)> = locator
            .iter()
            .enumerate()
            .filter(|(_, c)| **c != 0)
            .map(|(degree, c)| (usize::from(field.log[usize::from(*c)]), degree))
            .collect();
        let mut places = Vec::new();
        for place in 0..bits.min(order) {
            let value = terms.iter().fold(0, |sum, (log, _)| sum ^ field.exp[*log]);
            if value == 0 {
                places.push(place);
                if places.len() == count {
                    return Some(places);
                }
            }
            for (log, degree) in &mut terms {
                *log = if *log < *degree { *log + order - *degree } else { *log - *degree };
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{sums::hex, testing::noise};

    const KNOWN: &[(u32, usize, u32, &str)] = &[
        (0x201b, 4, 512, "ecd0e0a751c490"),
        (0x201b, 8, 512, "a9bcebb1e14d242bbe4146b3d4"),
        (0x201b, 8, 522, "c05d2922890ca6fe5ebde158e1"),
        (0x201b, 16, 512, "0f4de87279505ad42ea15b21ac0683b429bb1c3c5547c12b8648"),
        (0x402b, 8, 514, "c7840fa5234da6fbc5d2888b4abe"),
        (
            0x4443,
            24,
            1024,
            "a92f244be4485d80f31d18c95a48a53282a26a150dd3bab63f2c2c0f4f7b0b8a37d1503e61d812451787",
        ),
        (0x5803, 4, 521, "ea30240215f49c"),
        (
            0x8003,
            24,
            2048,
            "0039ad4fdaf5981d9a4422b6b79a72d3be48972c5ad050e30300c84e155cc3463dc8d77a36e07c9781466205c1",
        ),
    ];

    /// Parity of the bytes 0, 1, ..., 255, 0, 1, ... by the Python module bchlib 2.1.3, which is Linux' lib/bch.c.
    #[test]
    fn parities_are_those_of_another_encoder() {
        for (polynomial, t, len, parity) in KNOWN {
            let message: Vec<u8> = (0..*len).map(|n| (n % 256) as u8).collect();
            let field = Field::new(*polynomial).unwrap();
            let code = Code::new(&field, *t).unwrap();
            assert_eq!(hex(&code.encode(&message)), *parity, "{polynomial:#x} t {t}");
        }
    }

    #[test]
    fn as_many_bits_as_promised_are_put_right() {
        for (polynomial, t, len) in [
            (0x201B, 4, 512),
            (0x201B, 8, 516),
            (0x5803, 12, 540),
            (0x402B, 40, 1024),
            (0x8003, 24, 2048),
        ] {
            let field = Field::new(polynomial).unwrap();
            let code = Code::new(&field, t).unwrap();
            assert_eq!(code.parity, t * field.m as usize);
            let message = noise(len, 5);
            let mut right = message.clone();
            // Parities that end within a byte are put in front of the codeword's end by zeros in front of the message.
            let spare = code.parity.next_multiple_of(8) - code.parity;
            right.extend(code.encode(&message));
            let mut carry = 0;
            for byte in right.iter_mut().filter(|_| spare > 0) {
                (*byte, carry) = (*byte >> spare | carry, *byte << (8 - spare));
            }
            assert!(code.is_right(&right));
            for errors in [1, 2, t - 1, t] {
                let mut wrong = right.clone();
                for n in 0..errors {
                    let bit = (n * 7919 + errors * 31) % (wrong.len() * 8 - spare) + spare;
                    wrong[bit / 8] ^= 0x80 >> (bit % 8);
                }
                assert_eq!(code.correct(&mut wrong), Some(errors), "{polynomial:#x} {t}");
                assert_eq!(wrong, right);
            }
            let mut beyond = noise(right.len(), 6);
            assert_eq!(code.correct(&mut beyond), None);
        }
        assert!(
            Field::new(0x2001).is_none()
                && Field::new(3).is_none()
                && Field::new(1 << 16).is_none()
        );
    }
}
