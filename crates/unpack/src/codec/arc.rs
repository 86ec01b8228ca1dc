//! Older methods of ARC: squeezed (4), a Huffman code over runs, and crunched (5 to 7), LZW of 12 bits whose texts are
//! numbered by where a hash table has room for them.
//!
//! Source: the facts as The Unarchiver and nomarch read them.

// Codes have twelve bits and index tables of 4096; nodes are looked up where they were checked.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{
    Decoded, Error,
    bits::{Bits, Low},
    runs,
    window::Window,
};
use crate::{budget::Budget, read};

/// Runs over what `inner` makes of its input, up to `size` bytes.
fn unpacked(inner: Decoded, size: usize, budget: &Budget) -> Decoded {
    let mut made = runs::decode(&inner.bytes, size, budget);
    if made.bytes.len() < size {
        made.error = made.error.or(inner.error);
    }
    made.consumed = inner.consumed;
    made
}

/// Bytes before runs are undone: a run takes two bytes for three or more, 0x90 itself takes two.
fn before_runs(size: usize) -> usize {
    size.saturating_mul(2).saturating_add(64)
}

/// Method 4: a tree of nodes with two sons each, a negative one is a byte or the end.
#[must_use]
pub fn squeezed(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let mut out = Window::new(before_runs(size), 0, budget);
    let mut bits = Low::new(input.get(2..).unwrap_or_default());
    let mut go = || {
        let cut = Error::Truncated { what: "ARC", at: input.len() };
        let count = usize::from(read::le16(input, 0).ok_or(cut)?);
        let bad = Error::Malformed { what: "a Huffman tree of ARC is not right", at: 0 };
        if count > 256 {
            return Err(bad);
        }
        let nodes: Vec<i16> = (0..2 * count).map(|_| bits.take(16) as u16 as i16).collect();
        if bits.is_over() {
            return Err(cut);
        }
        // No node is a content of nothing.
        if count == 0 {
            return Ok(());
        }
        loop {
            let mut at = 0_i16;
            for depth in 0.. {
                let place = 2 * usize::try_from(at).map_err(|_| bad)? + bits.take(1);
                at = *nodes.get(place).ok_or(bad)?;
                if at < 0 {
                    break;
                }
                if depth > count {
                    return Err(bad);
                }
            }
            if bits.is_over() {
                return Err(cut);
            }
            match -1 - i32::from(at) {
                256 => break,
                byte => out.push(byte as u8)?,
            }
        }
        Ok(())
    };
    let error = go().err();
    let consumed = (2 + bits.consumed()).min(input.len());
    unpacked(out.finish(consumed, error), size, budget)
}

/// A text: the code of all but its last byte, that byte, and where to look on for texts of the same hash.
#[derive(Clone, Copy, Default)]
struct Text {
    used: bool,
    next: u16,
    before: Option<u16>,
    last: u8,
}

/// Texts by code.
struct Texts {
    table: Vec<Text>,
    fast: bool,
}

impl Texts {
    fn new(fast: bool) -> Self {
        let mut made = Self { table: vec![Text::default(); 4096], fast };
        (0..=255).for_each(|byte| made.add(None, byte));
        made
    }

    /// Adds a text where the hash of its parts says, or else where there is room behind the last one of that hash. There is
    /// room for 4096.
    fn add(&mut self, before: Option<u16>, last: u8) {
        let sum = before.unwrap_or(u16::MAX).wrapping_add(last.into());
        let hash = if self.fast {
            u32::from(sum).wrapping_mul(15073)
        } else {
            let sum = u32::from(sum | 0x0800);
            sum.wrapping_mul(sum) >> 6
        };
        let mut at = hash as usize & 0xFFF;
        if self.table[at].used {
            while self.table[at].next != 0 {
                at = self.table[at].next.into();
            }
            let mut free = (at + 101) & 0xFFF;
            while self.table[free].used {
                free = (free + 1) & 0xFFF;
            }
            self.table[at].next = free as u16;
            at = free;
        }
        self.table[at] = Text { used: true, next: 0, before, last };
    }
}

/// Methods 5 and, before runs are undone, 6 (`fast` false) and 7: codes of 12 bits to their end.
fn codes(input: &[u8], max: usize, fast: bool, budget: &Budget) -> Decoded {
    let mut out = Window::new(max, 0, budget);
    let mut bits = Bits::new(input, 0);
    let mut go = || {
        let mut texts = Texts::new(fast);
        let mut free = 4096 - 256;
        let mut known: Option<(u16, u8)> = None;
        let mut turned = Vec::new();
        while bits.position() + 12 <= input.len() * 8 {
            let code = bits.take(12) as u16;
            let bad =
                Error::Malformed { what: "an ARC code that cannot occur", at: bits.consumed() };
            turned.clear();
            let mut at = code;
            if !texts.table[usize::from(code)].used {
                // The text that is just being defined: the last one and its first byte again.
                let (last, first) = known.ok_or(bad)?;
                turned.push(first);
                at = last;
            }
            loop {
                let text = texts.table[usize::from(at)];
                turned.push(text.last);
                // Texts refer to texts that were there before, so there are not more steps than texts.
                match text.before {
                    Some(before) if turned.len() <= 4096 => at = before,
                    Some(_) => return Err(bad),
                    None => break,
                }
            }
            let first = turned[turned.len() - 1];
            for byte in turned.iter().rev() {
                out.push(*byte)?;
            }
            if let Some((last, _)) = known
                && free > 0
            {
                texts.add(Some(last), first);
                free -= 1;
            }
            known = Some((code, first));
        }
        Ok(())
    };
    let error = go().err();
    out.finish(bits.consumed(), error)
}

/// Method 5.
#[must_use]
pub fn crunched(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    codes(input, size, false, budget)
}

/// Methods 6 and, with the faster hash, 7.
#[must_use]
pub fn packed(input: &[u8], size: usize, fast: bool, budget: &Budget) -> Decoded {
    unpacked(codes(input, before_runs(size), fast, budget), size, budget)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{
        codec::check,
        formats::testing::{noise, scratch, tool},
    };

    /// Runs of four and more, and what looks like one.
    fn write_runs(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for run in content.chunk_by(|a, b| a == b) {
            for part in run.chunks(255) {
                match (part[0], part.len()) {
                    (0x90, n) => out.extend([0x90, 0].repeat(n)),
                    (b, n @ 3..) => out.extend([b, 0x90, n as u8]),
                    (b, n) => out.extend(vec![b; n]),
                }
            }
        }
        out
    }

    fn write_codes(content: &[u8], fast: bool) -> Vec<u8> {
        let mut texts = Texts::new(fast);
        let mut codes: HashMap<Vec<u8>, u16> = HashMap::new();
        let note = |texts: &Texts, codes: &mut HashMap<Vec<u8>, u16>| {
            for (code, text) in texts.table.iter().enumerate().filter(|(_, t)| t.used) {
                let (mut bytes, mut at) = (vec![text.last], text.before);
                while let Some(before) = at {
                    bytes.push(texts.table[usize::from(before)].last);
                    at = texts.table[usize::from(before)].before;
                }
                bytes.reverse();
                codes.entry(bytes).or_insert(code as u16);
            }
        };
        note(&texts, &mut codes);
        let (mut sent, mut rest, mut added) = (Vec::new(), content, 0);
        let mut last: Option<u16> = None;
        while !rest.is_empty() {
            let len =
                (1..=rest.len().min(60)).rev().find(|n| codes.contains_key(&rest[..*n])).unwrap();
            let code = codes[&rest[..len]];
            sent.push(code);
            if let Some(last) = last
                && added < 4096 - 256
            {
                texts.add(Some(last), rest[0]);
                added += 1;
                note(&texts, &mut codes);
            }
            last = Some(code);
            rest = &rest[len..];
        }
        sent.push(0);
        let bytes = sent.chunks_exact(2).flat_map(|two| {
            let word = u32::from(two[0]) << 12 | u32::from(two[1]);
            word.to_be_bytes()[1..].to_vec()
        });
        let mut out: Vec<u8> = bytes.collect();
        // The zero is the partner of the last code, or has none.
        if sent.len().is_multiple_of(2) {
            out.pop();
        }
        out
    }

    fn archive(members: &[(u8, Vec<u8>, &[u8])]) -> Vec<u8> {
        let mut file = Vec::new();
        for (n, (method, packed, content)) in members.iter().enumerate() {
            file.extend([0x1A, *method]);
            let mut name = format!("F{n}").into_bytes();
            name.resize(13, 0);
            file.extend(name);
            file.extend((packed.len() as u32).to_le_bytes());
            file.extend([0x21, 0x28, 0x21, 0x28]);
            file.extend(check::crc16(content).to_le_bytes());
            file.extend((content.len() as u32).to_le_bytes());
            file.extend(packed);
        }
        file.extend([0x1A, 0]);
        file
    }

    #[test]
    fn crunched_in_three_ways_as_unar_reads_it() {
        let text = b"What was said is said again, in the same words or in others. ".repeat(30);
        let mut runs = [vec![b'x'; 700], text.clone(), vec![0x90; 5]].concat();
        runs.extend(noise(900, 5));
        let members: Vec<(u8, Vec<u8>, &[u8])> = vec![
            (5, write_codes(&text, false), &text),
            (6, write_codes(&write_runs(&runs), false), &runs),
            (7, write_codes(&write_runs(&runs), true), &runs),
        ];
        for (method, packed, content) in &members {
            let budget = Budget::ample();
            let made = match method {
                5 => crunched(packed, content.len(), &budget),
                n => super::packed(packed, content.len(), *n == 7, &budget),
            };
            assert_eq!((made.error, &made.bytes[..]), (None, *content), "method {method}");
        }
        let dir = scratch();
        std::fs::write(dir.path().join("a.arc"), archive(&members)).unwrap();
        tool(dir.path(), "unar", "unar -q -D -o out a.arc >&2");
        for (n, (method, _, content)) in members.iter().enumerate() {
            let theirs = std::fs::read(dir.path().join(format!("out/F{n}"))).unwrap();
            assert!(theirs == *content, "method {method}");
        }
    }

    /// A real archiver squeezes what has no repetition, but few bytes that are many.
    #[test]
    fn squeezed_by_arc() {
        let few: Vec<u8> = noise(3000, 7)
            .iter()
            .zip(noise(3000, 8))
            .zip(noise(3000, 9))
            .map(|((a, b), c)| a & b & c & 0x3F)
            .collect();
        let dir = scratch();
        std::fs::write(dir.path().join("few"), &few).unwrap();
        tool(dir.path(), "arc", "arc a a.arc few >&2");
        let archive = std::fs::read(dir.path().join("a.arc")).unwrap();
        assert_eq!(archive[..2], [0x1A, 4], "arc took another method");
        let packed = read::le32(&archive, 15).unwrap() as usize;
        let made = squeezed(&archive[29..29 + packed], few.len(), &Budget::ample());
        assert_eq!((made.error, &made.bytes[..]), (None, &few[..]));
    }

    #[test]
    fn noise_ends() {
        for seed in 0..40 {
            let data = noise(2000, seed);
            for made in [
                squeezed(&data, 9000, &Budget::ample()),
                crunched(&data, 9000, &Budget::ample()),
                super::packed(&data, 9000, true, &Budget::ample()),
            ] {
                assert!(made.bytes.len() <= 9000);
            }
        }
    }
}
