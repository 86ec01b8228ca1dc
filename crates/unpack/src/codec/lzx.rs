//! LZX as cabinets use it: frames of 32 KiB, each from its own compressed bytes, in one window; and as WIM uses it: each
//! chunk by itself.
//!
//! Source: [MS-PATCH] 2 and the cabinet SDK's description of LZX.

// Tables have a fixed size and are indexed by values below it.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{
    Error,
    bits::{Bits, Words},
    huffman::Tree,
};

/// Bytes of a frame; the last one may be shorter.
const FRAME: usize = 0x8000;
/// Frames after which calls are no longer translated.
const TRANSLATED: usize = 32_768;
/// Codes of match lengths beyond those in the main code.
const LENGTHS: usize = 249;
const CUT: Error = Error::Truncated { what: "LZX", at: 0 };

const fn bad(what: &'static str) -> Error {
    Error::Malformed { what, at: 0 }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Verbatim,
    Aligned,
    Stored,
}

/// A stream on its way.
pub struct Lzx {
    window: usize,
    /// Lengths of the main code and the code of lengths: those of a block are told by their difference.
    main_lengths: Vec<u8>,
    length_lengths: Vec<u8>,
    main: Tree,
    length: Option<Tree>,
    aligned: Option<Tree>,
    recent: [usize; 3],
    kind: Kind,
    /// Bytes of the block still to come, and whether a stored one was odd.
    left: usize,
    pad: bool,
    /// Size for the translation of calls, once the first frame told it.
    translate: Option<Option<i32>>,
    /// Whether sizes of blocks are those of WIM.
    short: bool,
    /// All bytes so far, calls not translated.
    plain: Vec<u8>,
}

impl Lzx {
    /// A stream with a window of 2^`bits` bytes, 15 to 21.
    #[must_use]
    pub fn new(bits: u32) -> Option<Self> {
        let slots = match bits {
            15..=19 => bits as usize * 2,
            20 => 42,
            21 => 50,
            _ => return None,
        };
        Some(Self {
            window: 1 << bits,
            main_lengths: vec![0; 256 + 8 * slots],
            length_lengths: vec![0; LENGTHS],
            main: Tree::single(0),
            length: None,
            aligned: None,
            recent: [1; 3],
            kind: Kind::Verbatim,
            left: 0,
            pad: false,
            translate: None,
            short: false,
            plain: Vec::new(),
        })
    }

    /// Decodes a chunk of WIM, of `size` bytes, at most 32 KiB.
    ///
    /// # Errors
    /// What is wrong with the stream; nothing of the chunk is kept.
    pub fn chunk(input: &[u8], size: usize) -> Result<Vec<u8>, Error> {
        let mut own = Self::new(15).ok_or(bad("no LZX window has this size"))?;
        // Calls are always translated, as if there were so many bytes.
        (own.short, own.translate) = (true, Some(Some(12_000_000)));
        own.frame(input, size)?;
        Ok(own.finish())
    }

    /// Decodes the next frame, of `size` bytes, from its own compressed bytes; what comes out is kept until
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub fn frame(&mut self, input: &[u8], size: usize) -> Result<(), Error> {
        let mut bits = Bits::words(input, 0);
        if self.translate.is_none() {
            let size = (bits.take(1) == 1).then(|| (bits.take(16) << 16 | bits.take(16)) as u32);
            self.translate = Some(size.map(u32::cast_signed));
        }
        let end = self.plain.len() + size.min(FRAME);
        while self.plain.len() < end {
            if self.left == 0 {
                self.block(&mut bits)?;
            }
            let stop = end.min(self.plain.len() + self.left);
            let before = self.plain.len();
            if self.kind == Kind::Stored {
                let at = bits.position() / 8;
                let bytes = input.get(at..at + (stop - before)).ok_or(CUT)?;
                self.plain.extend_from_slice(bytes);
                bits = Bits::words(input, at + bytes.len());
            } else {
                self.matches(&mut bits, stop)?;
            }
            self.left = self.left.saturating_sub(self.plain.len() - before);
            if bits.is_over() {
                return Err(CUT);
            }
        }
        Ok(())
    }

    /// Reads the head of a block.
    fn block(&mut self, bits: &mut Words<'_>) -> Result<(), Error> {
        if std::mem::take(&mut self.pad) {
            *bits = Bits::words(bits.input(), bits.position() / 8 + 1);
        }
        let kind = bits.take(3);
        self.left = match self.short {
            true if bits.take(1) == 1 => FRAME,
            true => bits.take(16),
            false => bits.take(16) << 8 | bits.take(8),
        };
        if self.left == 0 || bits.is_over() {
            return Err(bad("an LZX block without a size"));
        }
        self.kind = match kind {
            1 => Kind::Verbatim,
            2 => Kind::Aligned,
            3 => Kind::Stored,
            _ => return Err(bad("an LZX block of no known kind")),
        };
        if self.kind == Kind::Stored {
            // To the next word; one whole word where it stands at one.
            bits.take(1);
            let at = bits.align();
            for (n, recent) in self.recent.iter_mut().enumerate() {
                let word = bits.input().get(at + 4 * n..at + 4 * n + 4).ok_or(CUT)?;
                *recent = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize;
            }
            *bits = Bits::words(bits.input(), at + 12);
            self.pad = self.left % 2 == 1;
            return Ok(());
        }
        if self.kind == Kind::Aligned {
            let lengths: [u8; 8] = std::array::from_fn(|_| bits.take(3) as u8);
            self.aligned = Tree::new(&lengths);
            if self.aligned.is_none() {
                return Err(bad("the LZX code of aligned offsets is not complete"));
            }
        }
        let (literals, matches) = self.main_lengths.split_at_mut(256);
        lengths(bits, literals)?;
        lengths(bits, matches)?;
        self.main =
            Tree::new(&self.main_lengths).ok_or(bad("the LZX main code is not complete"))?;
        lengths(bits, &mut self.length_lengths)?;
        // No match may be so long as to need it.
        self.length = Tree::new(&self.length_lengths);
        if self.length.is_none() && self.length_lengths.iter().any(|l| *l != 0) {
            return Err(bad("the LZX code of lengths is not complete"));
        }
        Ok(())
    }

    /// Literals and matches up to `stop`.
    fn matches(&mut self, bits: &mut Words<'_>, stop: usize) -> Result<(), Error> {
        while self.plain.len() < stop {
            let symbol = bits.read(&self.main);
            if symbol < 256 {
                self.plain.push(symbol as u8);
                continue;
            }
            if bits.is_over() {
                return Err(CUT);
            }
            let mut len = (symbol - 256) & 7;
            if len == 7 {
                let tree =
                    self.length.as_ref().ok_or(bad("an LZX match without its length code"))?;
                len += bits.read(tree);
            }
            len += 2;
            let slot = (symbol - 256) >> 3;
            let distance = match slot {
                0 => self.recent[0],
                1 | 2 => {
                    self.recent.swap(0, slot);
                    self.recent[0]
                }
                _ => {
                    let (base, extra) = position(slot);
                    let more = match &self.aligned {
                        Some(tree) if self.kind == Kind::Aligned && extra >= 3 => {
                            (bits.take(extra - 3) << 3) + bits.read(tree)
                        }
                        _ => bits.take(extra),
                    };
                    self.recent = [base + more - 2, self.recent[0], self.recent[1]];
                    self.recent[0]
                }
            };
            // A match that goes beyond its frame or block is not one.
            if len > stop - self.plain.len() {
                return Err(bad("an LZX match goes beyond its block"));
            }
            if distance == 0 || distance > self.plain.len() || distance > self.window {
                return Err(bad("an LZX match reaches before the start"));
            }
            let from = self.plain.len() - distance;
            for at in from..from + len {
                self.plain.push(self.plain[at]);
            }
        }
        Ok(())
    }

    /// All bytes, with the addresses of calls made relative again.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let Some(Some(size)) = self.translate else { return self.plain };
        for (number, frame) in self.plain.chunks_mut(FRAME).enumerate().take(TRANSLATED) {
            let start = (number * FRAME) as i32;
            let mut at = 0;
            while at + 10 < frame.len() {
                if frame[at] != 0xE8 {
                    at += 1;
                    continue;
                }
                let here = start + at as i32;
                let operand: [u8; 4] = std::array::from_fn(|n| frame[at + 1 + n]);
                let absolute = i32::from_le_bytes(operand);
                if absolute >= -here && absolute < size {
                    let relative =
                        if absolute >= 0 { absolute - here } else { absolute.wrapping_add(size) };
                    frame[at + 1..at + 5].copy_from_slice(&relative.to_le_bytes());
                }
                at += 5;
            }
        }
        self.plain
    }
}

/// First distance (and 2) of a position slot, and how many bits tell the rest.
fn position(slot: usize) -> (usize, u32) {
    let extra = |slot: usize| if slot < 4 { 0 } else { (slot / 2 - 1).min(17) };
    ((0..slot).map(|s| 1 << extra(s)).sum(), extra(slot) as u32)
}

/// Reads code lengths, told as differences to those before, by a code of their own.
fn lengths(bits: &mut Words<'_>, lengths: &mut [u8]) -> Result<(), Error> {
    let own: [u8; 20] = std::array::from_fn(|_| bits.take(4) as u8);
    let tree = Tree::new(&own).ok_or(bad("an LZX code of code lengths is not complete"))?;
    let changed = |old: u8, code: usize| ((usize::from(old) + 17 - code.min(16)) % 17) as u8;
    let mut at = 0;
    while at < lengths.len() {
        let code = bits.read(&tree);
        let (run, value) = match code {
            17 => (4 + bits.take(4), 0),
            18 => (20 + bits.take(5), 0),
            19 => {
                let run = 4 + bits.take(1);
                let code = bits.read(&tree);
                (run, changed(lengths[at], code))
            }
            code => (1, changed(lengths[at], code)),
        };
        let end = at + run;
        lengths.get_mut(at..end).ok_or(bad("an LZX run of code lengths is too long"))?.fill(value);
        at = end;
        if bits.is_over() {
            return Err(CUT);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes what [`Words`] reads.
    #[derive(Default)]
    struct Writer {
        words: Vec<u8>,
        word: u64,
        have: u32,
    }

    impl Writer {
        fn put(&mut self, value: usize, n: u32) {
            self.word = self.word << n | value as u64;
            self.have += n;
            while self.have >= 16 {
                self.have -= 16;
                self.words.extend(((self.word >> self.have) as u16).to_le_bytes());
            }
        }

        /// A symbol of the canonical code of these lengths.
        fn symbol(&mut self, lengths: &[u8], symbol: usize) {
            let mut next = 0_usize;
            for len in 1..=16_u8 {
                for (s, _) in lengths.iter().enumerate().filter(|(_, l)| **l == len) {
                    if s == symbol {
                        return self.put(next >> (16 - len), len.into());
                    }
                    next += 1 << (16 - len);
                }
            }
            panic!("no code for {symbol}");
        }

        /// The lengths of a code, by a code of lengths of four and five bits.
        fn lengths(&mut self, old: &[u8], new: &[u8]) {
            let own: Vec<u8> = (0..20).map(|s| if s < 12 { 4 } else { 5 }).collect();
            own.iter().for_each(|l| self.put((*l).into(), 4));
            for (old, new) in old.iter().zip(new) {
                self.symbol(&own, usize::from(old + 17 - new) % 17);
            }
        }

        fn frame(&mut self) -> Vec<u8> {
            if self.have > 0 {
                self.put(0, 16 - self.have);
            }
            std::mem::take(&mut self.words)
        }
    }

    /// Lengths that fill the code space: `short` symbols of `bits`, the others of one more.
    fn filled(count: usize, short: usize, bits: u8) -> Vec<u8> {
        (0..count).map(|s| if s < short { bits } else { bits + 1 }).collect()
    }

    fn random(state: &mut u64, below: usize) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 33) as usize % below
    }

    /// Frames of verbatim, aligned and stored blocks with random literals and matches, and what they stand for.
    fn made(seed: u64, translate: bool) -> (Vec<(Vec<u8>, usize)>, Vec<u8>) {
        let mut state = seed;
        let (main, length) = (filled(496, 16, 8), filled(LENGTHS, 7, 7));
        let (mut old_main, mut old_length) = (vec![0; 496], vec![0; LENGTHS]);
        let (mut out, mut frames) = (Vec::new(), Vec::new());
        let mut recent = [1_usize; 3];
        let mut bits = Writer::default();
        bits.put(translate.into(), 1);
        if translate {
            bits.put(0x0001, 16);
            bits.put(0x2345, 16);
        }
        for kind in [1, 2, 3, 2, 1] {
            // Each frame is one block.
            let size = if frames.len() == 4 { 777 } else { FRAME };
            let end = out.len() + size;
            bits.put(kind, 3);
            bits.put(size >> 8, 16);
            bits.put(size & 255, 8);
            if kind == 3 {
                let padding = if bits.have == 0 { 16 } else { 16 - bits.have };
                bits.put(0, padding);
                recent = [5, 6, 7];
                recent.iter().for_each(|r| bits.words.extend((*r as u32).to_le_bytes()));
                while out.len() < end {
                    out.push(random(&mut state, 256) as u8);
                    bits.words.push(out[out.len() - 1]);
                }
                frames.push((bits.frame(), size));
                continue;
            }
            if kind == 2 {
                (0..8).for_each(|_| bits.put(3, 3));
            }
            bits.lengths(&old_main[..256], &main[..256]);
            bits.lengths(&old_main[256..], &main[256..]);
            bits.lengths(&old_length, &length);
            (old_main, old_length) = (main.clone(), length.clone());
            while out.len() < end {
                let room = end - out.len();
                let len = (2 + random(&mut state, 256)).min(room);
                let slot = random(&mut state, 30);
                let (base, extra) = position(slot);
                let more = random(&mut state, 1 << extra);
                let distance = match slot {
                    0..=2 => recent[slot],
                    _ => base + more - 2,
                };
                if len < 2 || distance > out.len() || random(&mut state, 3) == 0 {
                    let byte =
                        if random(&mut state, 40) == 0 { 0xE8 } else { random(&mut state, 256) };
                    out.push(byte as u8);
                    bits.symbol(&main, byte);
                    continue;
                }
                bits.symbol(&main, 256 + slot * 8 + (len - 2).min(7));
                if len >= 9 {
                    bits.symbol(&length, len - 9);
                }
                match slot {
                    0..=2 => recent.swap(0, slot),
                    _ => recent = [distance, recent[0], recent[1]],
                }
                if slot > 2 && kind == 2 && extra >= 3 {
                    bits.put(more >> 3, extra - 3);
                    bits.put(more & 7, 3);
                } else if slot > 2 {
                    bits.put(more, extra);
                }
                for _ in 0..len {
                    out.push(out[out.len() - distance]);
                }
            }
            frames.push((bits.frame(), size));
        }
        (frames, out)
    }

    #[test]
    fn random_streams_are_read_as_an_independent_decoder_reads_them() {
        for seed in 0..12 {
            let translate = seed % 2 == 1;
            let (frames, plain) = made(seed, translate);
            let mut own = Lzx::new(15).unwrap();
            let mut other = lzxd::Lzxd::new(lzxd::WindowSize::KB32);
            let mut theirs = Vec::new();
            for (bytes, size) in &frames {
                own.frame(bytes, *size).unwrap();
                theirs.extend_from_slice(other.decompress_next(bytes, *size).unwrap());
            }
            let own = own.finish();
            assert!(translate || own == plain, "seed {seed}");
            assert!(own == theirs, "seed {seed}");
        }
    }

    #[test]
    fn damaged_streams_are_refused_or_differ_and_never_panic() {
        let (frames, _) = made(3, false);
        let mut state = 9;
        for _ in 0..400 {
            let mut lzx = Lzx::new(15).unwrap();
            for (bytes, size) in &frames {
                let mut bytes = bytes.clone();
                for _ in 0..3 {
                    let at = random(&mut state, bytes.len());
                    bytes[at] ^= 1 << random(&mut state, 8);
                }
                if lzx.frame(&bytes, *size).is_err() {
                    break;
                }
            }
            assert!(lzx.finish().len() <= 5 * FRAME);
        }
        assert!(Lzx::new(14).is_none() && Lzx::new(22).is_none());
    }
}
