//! Quantum, the second compression of cabinets: LZ77 coded by an adaptive arithmetic coder, in frames of 32 KiB.
//!
//! Method: D. Stafford's Quantum, as publicly described (M. Russotto, "Quantum compression"). A selector says whether a
//! byte of one of four quarters follows, a match of three or of four bytes, or one whose length is coded. The models live as long
//! as the folder, the coder begins anew with each frame.

// Models have at least one symbol and one entry behind the last; sums stay below 2^16.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Error, bits::Bits};

/// How often symbols occurred: for each the sum of it and all behind it, often ones first.
struct Model {
    entries: Vec<(u16, u16)>,
    /// Times that counts may be halved before they are sorted.
    left: u32,
}

impl Model {
    fn new(first: u16, count: u16) -> Self {
        let entries = (0..=count).map(|n| (first + n, count - n)).collect();
        Self { entries, left: 4 }
    }

    /// The symbol at a place occurred.
    fn saw(&mut self, place: usize) {
        self.entries[..=place].iter_mut().for_each(|(_, sum)| *sum += 8);
        if self.entries[0].1 > 3800 {
            self.age();
        }
    }

    fn age(&mut self) {
        let last = self.entries.len() - 1;
        self.left -= 1;
        if self.left > 0 {
            for n in (0..last).rev() {
                let behind = self.entries[n + 1].1;
                let sum = &mut self.entries[n].1;
                *sum = (*sum >> 1).max(behind + 1);
            }
            return;
        }
        self.left = 50;
        for n in 0..last {
            self.entries[n].1 = (self.entries[n].1 - self.entries[n + 1].1 + 1) >> 1;
        }
        // Exchanges in this order are part of the format: they decide where equal ones stand.
        for n in 0..last.saturating_sub(1) {
            for m in n + 1..last {
                if self.entries[n].1 < self.entries[m].1 {
                    self.entries.swap(n, m);
                }
            }
        }
        for n in (0..last).rev() {
            self.entries[n].1 += self.entries[n + 1].1;
        }
    }
}

/// First value and extra bits of a distance's slot: 0 to 3, then two for each number of bits.
fn distance_slot(slot: usize) -> (usize, u32) {
    match slot {
        0..=3 => (slot, 0),
        _ => ((2 + slot % 2) << (slot / 2 - 1), slot as u32 / 2 - 1),
    }
}

/// First value and extra bits of a length's slot: 0 to 5, then four for each number of bits, and 254.
fn length_slot(slot: usize) -> (usize, u32) {
    match slot {
        0..=5 => (slot, 0),
        26 => (254, 0),
        _ => {
            let (bits, place) = ((slot - 6) / 4 + 1, (slot - 6) % 4);
            ((4 + place) * (1 << bits) - 2, bits as u32)
        }
    }
}

/// The models of a folder.
struct Models {
    selector: Model,
    bytes: [Model; 4],
    /// Distances of matches of three, of four, and of more bytes.
    places: [Model; 3],
    lengths: Model,
}

impl Models {
    fn new(window: u32) -> Self {
        let slots = 2 * window as u16;
        Self {
            selector: Model::new(0, 7),
            bytes: [0, 64, 128, 192].map(|first| Model::new(first, 64)),
            places: [24, 36, 42].map(|most| Model::new(0, slots.min(most))),
            lengths: Model::new(0, 27),
        }
    }
}

/// The arithmetic decoder of a frame.
struct Coder<'a> {
    bits: Bits<'a>,
    low: u16,
    high: u16,
    code: u16,
}

impl Coder<'_> {
    fn symbol(&mut self, model: &mut Model) -> usize {
        let total = u32::from(model.entries[0].1);
        let range = u32::from(self.high.wrapping_sub(self.low)) + 1;
        let at = u32::from(self.code.wrapping_sub(self.low)) + 1;
        let wanted = (at * total - 1) / range;
        let last = model.entries.len() - 1;
        let place =
            (1..last).find(|n| u32::from(model.entries[*n].1) <= wanted).unwrap_or(last) - 1;
        let (symbol, above) = model.entries[place];
        let below = model.entries[place + 1].1;
        let bound = |sum: u16| self.low.wrapping_add((u32::from(sum) * range / total) as u16);
        (self.high, self.low) = (bound(above).wrapping_sub(1), bound(below));
        model.saw(place);
        loop {
            if (self.low ^ self.high) & 0x8000 != 0 {
                if self.low & 0x4000 == 0 || self.high & 0x4000 != 0 {
                    break;
                }
                // Both are close to the middle, from either side.
                self.code ^= 0x4000;
                self.low &= 0x3FFF;
                self.high |= 0x4000;
            }
            self.low <<= 1;
            self.high = self.high << 1 | 1;
            self.code = self.code << 1 | self.bits.take(1) as u16;
            if self.bits.is_over() && self.bits.position() > 8 * self.bits.size() + 64 {
                break;
            }
        }
        symbol.into()
    }
}

/// A decoder of one folder.
pub struct Quantum {
    models: Models,
    out: Vec<u8>,
}

impl Quantum {
    /// For a window of 2 to the power of `window` bytes, 10 to 21.
    #[must_use]
    pub fn new(window: u32) -> Option<Self> {
        (10..=21).contains(&window).then(|| Self { models: Models::new(window), out: Vec::new() })
    }

    /// Decodes the next frame, of `size` bytes.
    ///
    /// # Errors
    /// That the frame is cut off, or contradicts itself; what came before that is kept.
    pub fn frame(&mut self, input: &[u8], size: usize) -> Result<(), Error> {
        let end = self.out.len().saturating_add(size);
        let mut bits = Bits::new(input, 0);
        let code = bits.take(16) as u16;
        let mut coder = Coder { bits, low: 0, high: u16::MAX, code };
        let models = &mut self.models;
        while self.out.len() < end {
            // The coder looks ahead by up to two bytes.
            if coder.bits.position() > 8 * input.len() + 16 {
                return Err(Error::Truncated { what: "Quantum", at: input.len() });
            }
            let selected = coder.symbol(&mut models.selector);
            if let Some(model) = models.bytes.get_mut(selected) {
                self.out.push(coder.symbol(model) as u8);
                continue;
            }
            let len = match selected {
                6 => {
                    let (first, extra) = length_slot(coder.symbol(&mut models.lengths));
                    first + coder.bits.take(extra) + 5
                }
                n => n - 1,
            };
            let bad = |what| Error::Malformed { what, at: coder.bits.consumed() };
            let Some(places) = models.places.get_mut(selected - 4) else {
                return Err(bad("a symbol of Quantum that cannot occur"));
            };
            let (first, extra) = distance_slot(coder.symbol(places));
            let dist = first + coder.bits.take(extra) + 1;
            let Some(from) = self.out.len().checked_sub(dist) else {
                return Err(Error::Malformed {
                    what: "a Quantum match reaches before the start",
                    at: coder.bits.consumed(),
                });
            };
            for n in from..(from + len).min(from + end - self.out.len()) {
                self.out.push(self.out[n]);
            }
        }
        Ok(())
    }

    /// The folder, as far as it was decoded.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::formats::testing::noise;

    /// The encoder that belongs to the decoder: the same models and bounds, with carries that are waited for.
    pub struct Encoder {
        models: Models,
        low: u16,
        high: u16,
        waiting: usize,
        bits: Vec<u8>,
        /// Bits as they are: before which coded bit, the value, how many.
        raw: Vec<(usize, usize, u32)>,
    }

    impl Encoder {
        pub fn new(window: u32) -> Self {
            let models = Models::new(window);
            Self { models, low: 0, high: u16::MAX, waiting: 0, bits: Vec::new(), raw: Vec::new() }
        }

        fn bit(&mut self, bit: u16) {
            self.bits.push(bit as u8);
            let waiting = std::mem::take(&mut self.waiting);
            self.bits.extend(vec![1 - bit as u8; waiting]);
        }

        fn symbol(&mut self, pick: fn(&mut Models) -> &mut Model, symbol: usize) {
            let model = pick(&mut self.models);
            let place = model.entries.iter().position(|e| usize::from(e.0) == symbol).unwrap();
            let total = u32::from(model.entries[0].1);
            let range = u32::from(self.high - self.low) + 1;
            let bound = |sum: u16| self.low.wrapping_add((u32::from(sum) * range / total) as u16);
            let (high, low) =
                (bound(model.entries[place].1).wrapping_sub(1), bound(model.entries[place + 1].1));
            model.saw(place);
            (self.high, self.low) = (high, low);
            loop {
                if (self.low ^ self.high) & 0x8000 == 0 {
                    self.bit(self.low >> 15);
                } else if self.low & 0x4000 != 0 && self.high & 0x4000 == 0 {
                    self.waiting += 1;
                    self.low &= 0x3FFF;
                    self.high |= 0x4000;
                } else {
                    break;
                }
                self.low <<= 1;
                self.high = self.high << 1 | 1;
            }
        }

        /// Bits as they are: the reader is sixteen bits ahead of the coder, so they stand behind those.
        fn raw(&mut self, value: usize, width: u32) {
            self.raw.push((self.bits.len() + self.waiting + 16, value, width));
        }

        /// The frame of the bytes `from..to`, with matches that reach back `window` bytes.
        pub fn frame(&mut self, content: &[u8], from: usize, to: usize, window: usize) -> Vec<u8> {
            (self.low, self.high, self.waiting) = (0, u16::MAX, 0);
            self.bits.clear();
            self.raw.clear();
            let mut at = from;
            while at < to {
                let found = (1..=at.min(window).min(3000))
                    .map(|dist| {
                        let same = |n: &usize| content[at + n] == content[at - dist + n % dist];
                        ((0..(to - at).min(254 + 5)).take_while(same).count(), dist)
                    })
                    .max_by_key(|(len, dist)| (*len, usize::MAX - dist))
                    .filter(|(len, _)| *len >= 3);
                // Distances of short matches have fewer slots.
                let Some((len, dist)) = found.filter(|(len, dist)| *len > 4 || *dist <= 900) else {
                    let byte = usize::from(content[at]);
                    self.symbol(|m| &mut m.selector, byte / 64);
                    let picks: [fn(&mut Models) -> &mut Model; 4] = [
                        |m| &mut m.bytes[0],
                        |m| &mut m.bytes[1],
                        |m| &mut m.bytes[2],
                        |m| &mut m.bytes[3],
                    ];
                    self.symbol(picks[byte / 64], byte);
                    at += 1;
                    continue;
                };
                let slot = |value: usize, of: fn(usize) -> (usize, u32), most: usize| {
                    (0..most).rev().find(|n| of(*n).0 <= value).unwrap()
                };
                let kind = if len > 4 { 6 } else { len + 1 };
                self.symbol(|m| &mut m.selector, kind);
                if kind == 6 {
                    let n = slot(len - 5, length_slot, 27);
                    self.symbol(|m| &mut m.lengths, n);
                    self.raw(len - 5 - length_slot(n).0, length_slot(n).1);
                }
                let n = slot(dist - 1, distance_slot, 42);
                let picks: [fn(&mut Models) -> &mut Model; 3] =
                    [|m| &mut m.places[0], |m| &mut m.places[1], |m| &mut m.places[2]];
                self.symbol(picks[kind - 4], n);
                self.raw(dist - 1 - distance_slot(n).0, distance_slot(n).1);
                at += len;
            }
            // As many bits as the reader has looked at in the end.
            let all = self.bits.len() + self.waiting + 16;
            self.waiting += 1;
            self.bit(self.low >> 14 & 1);
            let mut bits = Vec::new();
            self.bits.resize(all, 0);
            let mut raw = self.raw.iter().peekable();
            for (n, bit) in self.bits.iter().enumerate() {
                while let Some((_, value, width)) = raw.next_if(|r| r.0 == n) {
                    bits.extend((0..*width).rev().map(|n| (value >> n & 1) as u8));
                }
                bits.push(*bit);
            }
            for (_, value, width) in raw {
                bits.extend((0..*width).rev().map(|n| (value >> n & 1) as u8));
            }
            let byte = |bits: &[u8]| bits.iter().fold(0, |n, b| n << 1 | b) << (8 - bits.len());
            bits.chunks(8).map(byte).collect()
        }
    }

    /// Texts, noise and what is far away, in several frames.
    pub fn content() -> Vec<u8> {
        let text = b"What was said is said again, in the same words or in others. ".repeat(600);
        let mut all = [noise(3000, 1), text, vec![0; 2000], noise(30_000, 2)].concat();
        all.extend_from_within(1000..4000);
        all.extend(noise(9000, 4).iter().map(|b| b & 31));
        all
    }

    #[test]
    fn frames_of_our_encoder() {
        let content = content();
        for window in [10, 15, 21] {
            let mut encoder = Encoder::new(window);
            let mut decoder = Quantum::new(window).unwrap();
            for from in (0..content.len()).step_by(0x8000) {
                let to = (from + 0x8000).min(content.len());
                let frame = encoder.frame(&content, from, to, 1 << window);
                decoder.frame(&frame, to - from).unwrap();
            }
            assert!(decoder.finish() == content, "window {window}");
        }
        assert!(Quantum::new(9).is_none() && Quantum::new(22).is_none());
    }

    #[test]
    fn noise_and_cuts_end() {
        for seed in 0..40 {
            let mut decoder = Quantum::new(16).unwrap();
            let _ = decoder.frame(&noise(4000, seed), 0x8000);
            assert!(decoder.finish().len() <= 0x8000);
        }
        let content = content();
        let frame = Encoder::new(16).frame(&content, 0, 0x8000, 1 << 16);
        for cut in (0..frame.len() - 8).step_by(frame.len() / 9) {
            assert!(Quantum::new(16).unwrap().frame(&frame[..cut], 0x8000).is_err());
        }
    }

    #[test]
    fn slots_are_those_of_the_description() {
        let places: Vec<_> = (0..42).map(|n| distance_slot(n).0).collect();
        assert_eq!(places[..12], [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]);
        assert_eq!(places[40..], [1_048_576, 1_572_864]);
        let lengths: Vec<_> = (0..27).map(length_slot).collect();
        assert_eq!(
            lengths[4..12],
            [(4, 0), (5, 0), (6, 1), (8, 1), (10, 1), (12, 1), (14, 2), (18, 2)]
        );
        assert_eq!(lengths[24..], [(190, 5), (222, 5), (254, 0)]);
    }
}
