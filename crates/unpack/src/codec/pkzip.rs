//! The methods of zip before deflate: shrunk (1), reduced (2 to 5) and imploded (6). Bits come least significant first.
//!
//! Source: PKWARE APPNOTE 6.3.10, sections 5.1 to 5.3.

// Codes are below the sizes of their tables.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Decoded, Error, bits::Low, prefix::Prefix, window::Window};
use crate::budget::Budget;

/// What decodes into a window.
type Run = fn(&mut Low<'_>, &mut Window<'_>) -> Result<(), Error>;

fn with(input: &[u8], size: usize, budget: &Budget, run: Run) -> Decoded {
    let mut bits = Low::new(input);
    // Before the first byte there are zeros.
    let mut out = Window::new(size, 0, budget);
    let error = run(&mut bits, &mut out).err();
    out.finish(bits.consumed(), error)
}

fn cut(bits: &Low<'_>) -> Result<(), Error> {
    let cut = Error::Truncated { what: "zip", at: bits.consumed() };
    if bits.is_over() { Err(cut) } else { Ok(()) }
}

/// Method 1: LZW of 9 to 13 bits that forgets, when told to, the texts that no other begins with.
#[must_use]
pub fn shrunk(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    with(input, size, budget, unshrink)
}

fn unshrink(bits: &mut Low<'_>, out: &mut Window<'_>) -> Result<(), Error> {
    const CODES: usize = 1 << 13;
    let bad = |bits: &Low<'_>| Error::Malformed {
        what: "a code of shrunk data that cannot occur",
        at: bits.consumed(),
    };
    // The code of all but the last byte, and that byte.
    let mut texts: Vec<Option<(u16, u8)>> = vec![None; CODES];
    let (mut width, mut free) = (9, 256);
    let mut known: Option<(u16, u8)> = None;
    let mut turned = Vec::new();
    while !out.is_full() {
        let code = bits.take(width) as u16;
        cut(bits)?;
        if code == 256 {
            match bits.take(width) {
                1 if width < 13 => width += 1,
                2 => {
                    let mut begins = vec![false; CODES];
                    for (before, _) in texts[257..].iter().flatten() {
                        begins[usize::from(*before)] = true;
                    }
                    for (text, begins) in texts.iter_mut().zip(begins) {
                        *text = text.filter(|_| begins);
                    }
                    free = 256;
                }
                _ => return Err(bad(bits)),
            }
            continue;
        }
        turned.clear();
        let mut at = code;
        if code > 256 && texts[usize::from(code)].is_none() {
            let (last, first) = known.ok_or_else(|| bad(bits))?;
            turned.push(first);
            at = last;
        }
        while at > 255 {
            // A text may have been forgotten that another one begins with, and its code may have been given to that.
            let (before, last) = texts[usize::from(at)].ok_or_else(|| bad(bits))?;
            turned.push(last);
            if turned.len() > CODES {
                return Err(bad(bits));
            }
            at = before;
        }
        let first = at as u8;
        turned.push(first);
        for byte in turned.iter().rev() {
            if out.is_full() {
                return Ok(());
            }
            out.push(*byte)?;
        }
        if let Some((last, _)) = known {
            let next = (free + 1..CODES).find(|n| texts[*n].is_none());
            if let Some(next) = next {
                texts[next] = Some((last, first));
                free = next;
            }
        }
        known = Some((code, first));
    }
    Ok(())
}

/// Methods 2 to 5, by their `factor` of 1 to 4: which bytes may follow each byte, then matches behind the byte 144.
fn reduced<const FACTOR: u32>(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    with(input, size, budget, unreduce::<FACTOR>)
}

/// The decoder of the methods 2 to 5.
#[must_use]
pub fn reducer(method: u8) -> Option<super::packed::Decode> {
    Some(match method {
        2 => reduced::<1>,
        3 => reduced::<2>,
        4 => reduced::<3>,
        5 => reduced::<4>,
        _ => return None,
    })
}

fn unreduce<const FACTOR: u32>(bits: &mut Low<'_>, out: &mut Window<'_>) -> Result<(), Error> {
    let mut followers: Vec<Vec<u8>> = vec![Vec::new(); 256];
    for after in followers.iter_mut().rev() {
        *after = (0..bits.take(6)).map(|_| bits.take(8) as u8).collect();
    }
    cut(bits)?;
    let mut last = 0_usize;
    let mut next = |bits: &mut Low<'_>| {
        let after = &followers[last];
        let byte = if after.is_empty() || bits.take(1) == 1 {
            bits.take(8)
        } else {
            let width = (after.len() - 1).checked_ilog2().map_or(1, |n| n + 1);
            usize::from(*after.get(bits.take(width)).unwrap_or(&0))
        };
        last = byte;
        cut(bits).map(|()| byte)
    };
    let low = (1 << (8 - FACTOR)) - 1;
    while !out.is_full() {
        let byte = next(bits)?;
        if byte != 144 {
            out.push(byte as u8)?;
            continue;
        }
        let both = next(bits)?;
        if both == 0 {
            out.push(144)?;
            continue;
        }
        let mut len = both & low;
        if len == low {
            len += next(bits)?;
        }
        let dist = ((both >> (8 - FACTOR)) << 8) + next(bits)? + 1;
        out.repeat(dist, len + 3)?;
    }
    Ok(())
}

/// Method 6: matches in a window of 4 KiB or, where `wide`, 8, with codes of lengths and distances and, where `literals`, of
/// bytes.
#[must_use]
pub fn imploded(wide: bool, literals: bool) -> super::packed::Decode {
    match (wide, literals) {
        (false, false) => |i, n, b| with(i, n, b, explode::<6, false>),
        (false, true) => |i, n, b| with(i, n, b, explode::<6, true>),
        (true, false) => |i, n, b| with(i, n, b, explode::<7, false>),
        (true, true) => |i, n, b| with(i, n, b, explode::<7, true>),
    }
}

/// A code of `count` symbols: their lengths as runs.
fn lengths(bits: &mut Low<'_>, count: usize) -> Result<Prefix, Error> {
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..bits.take(8) + 1 {
        let (len, again) = (bits.take(4) + 1, bits.take(4) + 1);
        lengths.resize(lengths.len() + again, len as u8);
    }
    cut(bits)?;
    let bad =
        Error::Malformed { what: "a code of imploded data is not right", at: bits.consumed() };
    let mut order: Vec<_> = (0_u16..).zip(lengths).collect();
    order.sort_by_key(|(_, len)| *len);
    if order.len() == count { Prefix::in_order(order).ok_or(bad) } else { Err(bad) }
}

fn explode<const LOW: u32, const LITERALS: bool>(
    bits: &mut Low<'_>,
    out: &mut Window<'_>,
) -> Result<(), Error> {
    let bytes = if LITERALS { Some(lengths(bits, 256)?) } else { None };
    let (long, far) = (lengths(bits, 64)?, lengths(bits, 64)?);
    // Codes are counted from their longest and stored in ones' complement.
    let symbol = |bits: &mut Low<'_>, code: &Prefix| {
        let bad = Error::Malformed { what: "a code of imploded data is not right", at: 0 };
        code.read(|| 1 - bits.take(1)).ok_or(bad)
    };
    while !out.is_full() {
        if bits.take(1) == 1 {
            let byte = match &bytes {
                Some(code) => symbol(bits, code)?,
                None => bits.take(8),
            };
            cut(bits)?;
            out.push(byte as u8)?;
            continue;
        }
        let low = bits.take(LOW);
        let dist = (symbol(bits, &far)? << LOW | low) + 1;
        let mut len = symbol(bits, &long)?;
        if len == 63 {
            len += bits.take(8);
        }
        cut(bits)?;
        out.repeat(dist, len + if LITERALS { 3 } else { 2 })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::check,
        formats::testing::{noise, scratch, tool},
    };

    #[derive(Default)]
    struct Writer {
        bytes: Vec<u8>,
        used: usize,
    }

    impl Writer {
        fn put(&mut self, value: usize, width: u32) {
            for n in 0..width {
                if self.used.is_multiple_of(8) {
                    self.bytes.push(0);
                }
                *self.bytes.last_mut().unwrap() |= ((value >> n & 1) as u8) << (self.used % 8);
                self.used += 1;
            }
        }
    }

    /// Texts of up to 13 bits, and all that none begins with forgotten once when they are used up.
    fn write_shrunk(content: &[u8]) -> Vec<u8> {
        let mut out = Writer::default();
        let mut texts: Vec<Option<(usize, Vec<u8>)>> = vec![None; 1 << 13];
        let (mut width, mut free, mut last) = (9, 256, None::<(usize, Vec<u8>)>);
        let mut rest = content;
        while !rest.is_empty() {
            let found = (257..1 << 13)
                .filter(|n| texts[*n].as_ref().is_some_and(|(_, t)| rest.starts_with(t)))
                .max_by_key(|n| texts[*n].as_ref().unwrap().1.len());
            let (code, text) = match found {
                Some(n) => (n, texts[n].clone().unwrap().1),
                None => (usize::from(rest[0]), vec![rest[0]]),
            };
            while code >= 1 << width {
                out.put(256, width);
                out.put(1, width);
                width += 1;
            }
            out.put(code, width);
            if let Some((before, mut made)) = last {
                made.push(rest[0]);
                if let Some(next) = (free + 1..1 << 13).find(|n| texts[*n].is_none()) {
                    texts[next] = Some((before, made));
                    free = next;
                } else {
                    out.put(256, width);
                    out.put(2, width);
                    let begins: Vec<usize> = texts.iter().flatten().map(|(b, _)| *b).collect();
                    for (n, text) in texts.iter_mut().enumerate().skip(257) {
                        if !begins.contains(&n) {
                            *text = None;
                        }
                    }
                    free = 256;
                    // What was sent last may be forgotten now, and the reader builds on it: on a single byte that is no
                    // danger.
                    last = None;
                    rest = &rest[text.len()..];
                    if !rest.is_empty() {
                        out.put(rest[0].into(), width);
                        let next = (free + 1..1 << 13).find(|n| texts[*n].is_none()).unwrap();
                        // A text that is never used stands there.
                        texts[next] = Some((256, vec![]));
                        texts[next].as_mut().unwrap().1 =
                            [&text[..], &rest[..1], b"\0never"].concat();
                        free = next;
                        last = Some((rest[0].into(), vec![rest[0]]));
                        rest = &rest[1..];
                    }
                    continue;
                }
            }
            rest = &rest[text.len()..];
            last = Some((code, text));
        }
        out.bytes
    }

    /// The longest match that is near.
    fn matched(
        content: &[u8],
        at: usize,
        far: usize,
        least: usize,
        most: usize,
    ) -> Option<(usize, usize)> {
        (1..=at.min(far))
            .map(|dist| {
                let same = (0..most.min(content.len() - at))
                    .take_while(|n| content[at + n] == content[at - dist + n % dist])
                    .count();
                (same, dist)
            })
            .filter(|(len, _)| *len >= least)
            .max_by_key(|(len, dist)| (*len, usize::MAX - dist))
    }

    fn write_reduced(content: &[u8], factor: u32) -> Vec<u8> {
        let low = (1_usize << (8 - factor)) - 1;
        let (mut bytes, mut at) = (Vec::new(), 0);
        while at < content.len() {
            match matched(content, at, 256 << factor, 3, low + 255 + 3) {
                Some((len, dist)) if (dist - 1) >> 8 << (8 - factor) | low.min(len - 3) != 0 => {
                    let (len3, dist1) = (len - 3, dist - 1);
                    bytes.push(144);
                    bytes.push((dist1 >> 8 << (8 - factor) | low.min(len3)) as u8);
                    if len3 >= low {
                        bytes.push((len3 - low) as u8);
                    }
                    bytes.push(dist1 as u8);
                    at += len;
                }
                _ => {
                    bytes.push(content[at]);
                    if content[at] == 144 {
                        bytes.push(0);
                    }
                    at += 1;
                }
            }
        }
        // The up to 32 first bytes that follow each.
        let mut followers = vec![Vec::new(); 256];
        let mut last = 0;
        for byte in &bytes {
            let after: &mut Vec<u8> = &mut followers[usize::from(last)];
            if after.len() < 32 && !after.contains(byte) {
                after.push(*byte);
            }
            last = *byte;
        }
        let mut out = Writer::default();
        for after in followers.iter().rev() {
            out.put(after.len(), 6);
            after.iter().for_each(|b| out.put((*b).into(), 8));
        }
        last = 0;
        for byte in bytes {
            let after = &followers[usize::from(last)];
            let place = after.iter().position(|b| *b == byte);
            match place {
                _ if after.is_empty() => out.put(byte.into(), 8),
                None => {
                    out.put(1, 1);
                    out.put(byte.into(), 8);
                }
                Some(n) => {
                    out.put(0, 1);
                    out.put(n, (after.len() - 1).checked_ilog2().map_or(1, |n| n + 1));
                }
            }
            last = byte;
        }
        out.bytes
    }

    fn write_imploded(content: &[u8], wide: bool, literals: bool) -> Vec<u8> {
        let mut out = Writer::default();
        // Codes of unequal lengths that fill the space: half of the symbols one bit longer than the shorter quarter.
        let code = |out: &mut Writer, count: usize| {
            let bits = count.ilog2() as u8;
            let lens: Vec<u8> = (0..count)
                .map(|n| match n * 4 / count {
                    0 => bits - 1,
                    1 => bits,
                    _ => bits + 1,
                })
                .map(|len| if len == bits { bits } else { len })
                .collect();
            // A quarter with one bit less, a quarter as it is, half with one more: 1/2 + 1/4 + 1/4.
            let runs: Vec<_> = lens.chunk_by(|a, b| a == b).flat_map(|c| c.chunks(16)).collect();
            out.put(runs.len() - 1, 8);
            for run in runs {
                out.put(usize::from(run[0]) - 1, 4);
                out.put(run.len() - 1, 4);
            }
            let (mut code, mut before, mut made) = (0_usize, 0, Vec::new());
            for len in lens {
                code <<= len - before;
                made.push((code, u32::from(len)));
                (code, before) = (code + 1, len);
            }
            made
        };
        let bytes = literals.then(|| code(&mut out, 256));
        let (long, far) = (code(&mut out, 64), code(&mut out, 64));
        let put = |out: &mut Writer, (code, len): (usize, u32)| {
            (0..len).rev().for_each(|n| out.put(!code >> n & 1, 1));
        };
        let (low, least) = (if wide { 7 } else { 6 }, if literals { 3 } else { 2 });
        let mut at = 0;
        while at < content.len() {
            if let Some((len, dist)) = matched(content, at, 64 << low, least, least + 63 + 255) {
                out.put(0, 1);
                out.put((dist - 1) & ((1 << low) - 1), low);
                put(&mut out, far[(dist - 1) >> low]);
                put(&mut out, long[(len - least).min(63)]);
                if len - least >= 63 {
                    out.put(len - least - 63, 8);
                }
                at += len;
            } else {
                out.put(1, 1);
                match &bytes {
                    Some(code) => put(&mut out, code[usize::from(content[at])]),
                    None => out.put(content[at].into(), 8),
                }
                at += 1;
            }
        }
        out.bytes
    }

    fn archive(members: &[(u16, u16, Vec<u8>, &[u8])]) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (n, (method, flags, packed, content)) in members.iter().enumerate() {
            let mut head = vec![20, 0];
            for half in [*flags, *method, 0, 0x2821] {
                head.extend(half.to_le_bytes());
            }
            for word in [check::crc32(content), packed.len() as u32, content.len() as u32] {
                head.extend(word.to_le_bytes());
            }
            let name = format!("f{n}");
            head.extend([name.len() as u8, 0, 0, 0]);
            directory.extend([&b"PK\x01\x02\x14\0"[..], &head, &[0; 10]].concat());
            directory.extend((file.len() as u32).to_le_bytes());
            directory.extend(name.bytes());
            file.extend([&b"PK\x03\x04"[..], &head, name.as_bytes(), packed].concat());
        }
        let at = file.len() as u32;
        file.extend(&directory);
        file.extend(b"PK\x05\x06\0\0\0\0");
        for _ in 0..2 {
            file.extend((members.len() as u16).to_le_bytes());
        }
        file.extend((directory.len() as u32).to_le_bytes());
        file.extend(at.to_le_bytes());
        file.extend([0, 0]);
        file
    }

    fn contents() -> Vec<Vec<u8>> {
        let text = b"What was said is said again, in the same words or in others. ".repeat(60);
        let mut mixed = [vec![b'x'; 700], text.clone(), vec![144; 5], noise(5000, 2)].concat();
        mixed.extend_from_within(300..5000);
        mixed.extend(noise(6000, 3).iter().map(|b| b & 15));
        vec![b"a".to_vec(), text, mixed]
    }

    #[test]
    fn what_our_writers_make_is_read_by_us_and_by_others() {
        let contents = contents();
        let mut members: Vec<(u16, u16, Vec<u8>, &[u8])> = Vec::new();
        for content in &contents {
            members.push((1, 0, write_shrunk(content), content));
            for factor in 1..=4 {
                members.push((factor as u16 + 1, 0, write_reduced(content, factor), content));
            }
            for (wide, literals) in [(false, false), (false, true), (true, false), (true, true)] {
                let flags = u16::from(wide) << 1 | u16::from(literals) << 2;
                members.push((6, flags, write_imploded(content, wide, literals), content));
            }
        }
        for (method, flags, packed, content) in &members {
            let decode = match method {
                1 => shrunk,
                6 => imploded(flags & 2 != 0, flags & 4 != 0),
                n => reducer(*n as u8).unwrap(),
            };
            let made = decode(packed, content.len(), &Budget::ample());
            assert_eq!(made.error, None, "method {method}, flags {flags}");
            assert!(made.bytes == *content, "method {method}, flags {flags}");
            for cut in (0..packed.len()).step_by(packed.len() / 5 + 1) {
                assert!(decode(&packed[..cut], content.len(), &Budget::ample()).error.is_some());
            }
        }
        // 7z does not reduce; unar does not either.
        let theirs: Vec<_> = members.into_iter().filter(|m| matches!(m.0, 1 | 6)).collect();
        let dir = scratch();
        std::fs::write(dir.path().join("a.zip"), archive(&theirs)).unwrap();
        tool(dir.path(), "7zip", "7z x -y -ooutput a.zip >&2");
        for (n, (method, flags, _, content)) in theirs.iter().enumerate() {
            let read = std::fs::read(dir.path().join(format!("output/f{n}"))).unwrap();
            assert!(read == *content, "7z: method {method}, flags {flags}");
        }
    }

    #[test]
    fn noise_ends() {
        for seed in 0..30 {
            let data = noise(3000, seed);
            for decode in [
                shrunk,
                reducer(2).unwrap(),
                reducer(5).unwrap(),
                imploded(true, true),
                imploded(false, false),
            ] {
                assert!(decode(&data, 50_000, &Budget::ample()).bytes.len() <= 50_000);
            }
        }
    }
}
