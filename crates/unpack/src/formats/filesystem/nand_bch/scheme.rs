//! Where in a page of flash the code words stand, and how one is taken out, corrected and put back.
//!
//! Places are bits from the start of a page with its spare bytes, in the order in which the code counts them.

use std::ops::Range;

use crate::codec::bch::{Code, Field};

/// Places of bits.
pub type Bits = Range<usize>;

/// How a controller looks at bytes before it computes its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    /// The least significant bit of a byte is its first.
    pub reflected: bool,
    /// All bits turned over, which makes an erased page a code word.
    pub inverted: bool,
}

/// All views.
pub const VIEWS: [View; 4] = [
    View { reflected: false, inverted: true },
    View { reflected: false, inverted: false },
    View { reflected: true, inverted: true },
    View { reflected: true, inverted: false },
];

impl View {
    /// The bytes as the code sees them. Its own inverse.
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        let turn = if self.inverted { 0xFF } else { 0 };
        let see = |b: &u8| if self.reflected { b.reverse_bits() } else { *b } ^ turn;
        bytes.iter().map(see).collect()
    }
}

/// Code, view and places for one size of page.
pub struct Scheme {
    /// Bytes of a page.
    pub page: usize,
    /// Bytes behind it.
    pub spare: usize,
    /// How bytes are seen.
    pub view: View,
    /// Bits that the code corrects.
    pub t: usize,
    /// What the arrangement is called.
    pub name: &'static str,
    /// Of each sector: message, then parity.
    pub sectors: Vec<Vec<Bits>>,
    /// The page's own bytes, in order.
    pub output: Vec<Bits>,
}

/// The bits of some places, aligned to the end of the bytes.
pub fn gather(bytes: &[u8], places: &[Bits]) -> Vec<u8> {
    let count: usize = places.iter().map(ExactSizeIterator::len).sum();
    let mut out = Vec::with_capacity(count.div_ceil(8));
    if count.is_multiple_of(8) && places.iter().all(|p| p.start % 8 == 0 && p.end % 8 == 0) {
        for place in places {
            out.extend_from_slice(bytes.get(place.start / 8..place.end / 8).unwrap_or_default());
        }
        return out;
    }
    let mut byte = 0_u8;
    let mut left = count;
    for place in places {
        for n in place.clone() {
            byte = byte << 1 | bit(bytes, n);
            left = left.saturating_sub(1);
            if left.is_multiple_of(8) {
                out.push(byte);
                byte = 0;
            }
        }
    }
    out
}

/// A bit, the most significant of a byte first.
fn bit(bytes: &[u8], n: usize) -> u8 {
    bytes.get(n / 8).map_or(0, |b| b.rotate_left((n % 8).try_into().unwrap_or(0)) >> 7)
}

/// Puts bits back where they were gathered.
fn scatter(bytes: &mut [u8], places: &[Bits], from: &[u8]) {
    let count: usize = places.iter().map(ExactSizeIterator::len).sum();
    let lead = from.len().saturating_mul(8).saturating_sub(count);
    for (n, place) in places.iter().cloned().flatten().enumerate() {
        let mask = 0x80_u8 >> (place % 8);
        if let Some(byte) = bytes.get_mut(place / 8) {
            *byte =
                if bit(from, lead.saturating_add(n)) == 1 { *byte | mask } else { *byte & !mask };
        }
    }
}

/// What became of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Wrong bits that were put right.
    pub corrected: usize,
    /// Sectors that have more wrong bits than the code corrects.
    pub beyond: usize,
    /// Sectors whose code is right, or was made right.
    pub right: usize,
}

impl Scheme {
    /// Bytes of a page with its spare bytes.
    pub fn step(&self) -> usize {
        self.page.saturating_add(self.spare)
    }

    /// Bits of a message.
    pub fn sector(&self) -> usize {
        self.page.checked_div(self.sectors.len()).unwrap_or(0)
    }

    /// Corrects a page with its spare bytes, as it is stored.
    pub fn correct(&self, code: &Code<'_>, stored: &mut Vec<u8>) -> Outcome {
        let mut outcome = Outcome::default();
        // Erased pages have no code, and may have lost a bit.
        let zeros: u32 = stored.iter().map(|b| b.count_zeros()).sum();
        if zeros as usize <= self.t {
            stored.fill(0xFF);
            return outcome;
        }
        let mut seen = self.view.of(stored);
        for sector in &self.sectors {
            let mut word = gather(&seen, sector);
            match code.correct(&mut word) {
                Some(0) => outcome.right = outcome.right.saturating_add(1),
                Some(bits) => {
                    scatter(&mut seen, sector, &word);
                    outcome.right = outcome.right.saturating_add(1);
                    outcome.corrected = outcome.corrected.saturating_add(bits);
                }
                None => {
                    // A sector that was never written in a page that was.
                    let ones: u32 = self.view.of(&word).iter().map(|b| b.count_zeros()).sum();
                    if ones as usize > self.t.saturating_add(8) {
                        outcome.beyond = outcome.beyond.saturating_add(1);
                    }
                }
            }
        }
        if outcome.corrected > 0 {
            *stored = self.view.of(&seen);
        }
        outcome
    }

    /// The page's own bytes.
    pub fn output(&self, stored: &[u8], out: &mut Vec<u8>) {
        if self.output.iter().all(|p| p.start % 8 == 0 && p.end % 8 == 0) {
            for place in &self.output {
                out.extend_from_slice(
                    stored.get(place.start / 8..place.end / 8).unwrap_or_default(),
                );
            }
        } else {
            let reflected = View { reflected: self.view.reflected, inverted: false };
            out.extend(reflected.of(&gather(&reflected.of(stored), &self.output)));
        }
    }

    /// Sectors of a page, seen, whose code is right or can be made so, and all whose bytes are not all the same.
    pub fn score(&self, code: &Code<'_>, seen: &[u8]) -> (usize, usize) {
        let (mut right, mut all) = (0_usize, 0_usize);
        for sector in &self.sectors {
            let mut word = gather(seen, sector);
            if word.windows(2).any(|w| matches!(w, [a, b] if a != b)) {
                all = all.saturating_add(1);
                right = right.saturating_add(usize::from(code.correct(&mut word).is_some()));
            }
        }
        (right, all)
    }

    /// `BCH, 8 bits of 512 bytes, GF(2^13)`.
    pub fn describe(&self, field: &Field) -> String {
        let order = if self.view.reflected { ", least significant bit first" } else { "" };
        let turned = if self.view.inverted { ", inverted" } else { "" };
        format!(
            "BCH, {} bits of {} bytes, polynomial {:#x}{order}{turned}",
            self.t,
            self.sector(),
            field.polynomial
        )
    }
}
