//! The symbol table that a Linux kernel carries in itself.
//!
//! Establishes: the names of all symbols that `CONFIG_KALLSYMS` put into the kernel, which tell what was compiled
//! into it.
//!
//! How: names are stored as sequences of tokens. The table of 256 tokens is found by the ten digits, which are tokens
//! of their own and follow each other; the index of 16-bit offsets behind it proves it and tells the byte
//! order. The list of names is found by its count in front of it, by decoding every name, and by the markers behind it
//! (offset of every 256th name). Nothing is believed that does not fit all of that.
//!
//! False positives: none are known; a table that fits is one.
//!
//! False negatives: kernels without kallsyms; tables laid out in another way.
//!
//! Limits: addresses are not read. Without `CONFIG_KALLSYMS_ALL` only functions are in the table.
//!
//! Sources: Linux `scripts/kallsyms.c` (2.6.10 to 6.12) and `kernel/kallsyms.c`.

use memchr::memmem;

/// Id and revision.
pub const REVISION: (&str, u32) = ("kallsyms", 1);

/// Fewest and most names of a table that is believed.
const COUNT: std::ops::RangeInclusive<usize> = 500..=4_000_000;
/// How far before the tokens the names may begin.
const REACH: usize = 96 << 20;
/// Longest name; the kernel's own limit was 128, then 512.
const LONGEST: usize = 512;
/// Tables tried; a digit sequence may occur elsewhere.
const TRIES: usize = 64;
/// Bytes and positions looked at in one image, so that what only looks like a table costs no more than a real one.
const STEPS: usize = 400 << 20;

/// The kernel's symbols without their type letter, in the order of the table; empty where there is none.
#[must_use]
pub fn symbols(image: &[u8]) -> Vec<String> {
    let digits: Vec<u8> = (b'0'..=b'9').flat_map(|d| [d, 0]).collect();
    let mut steps = STEPS;
    memmem::find_iter(image, &digits)
        .take(TRIES)
        .find_map(|at| {
            let tokens = Tokens::around(image, at)?;
            names(image, &tokens, &mut steps)
        })
        .unwrap_or_default()
}

/// The table of tokens.
struct Tokens<'a> {
    start: usize,
    little: bool,
    text: Vec<&'a [u8]>,
}

impl<'a> Tokens<'a> {
    /// The table whose token 48 (`0`) lies at `zero`.
    fn around(image: &'a [u8], zero: usize) -> Option<Self> {
        // Back over 48 tokens, each ended by a zero byte; the byte before the table may be anything.
        let mut start = zero;
        for _ in 0..48 {
            let before = image.get(..start.checked_sub(1)?)?;
            let window = before.len().saturating_sub(LONGEST);
            let end = memchr::memrchr(0, before.get(window..)?);
            start = match end {
                Some(i) => window.checked_add(i)?.checked_add(1)?,
                None => before.len().checked_sub(1)?,
            };
        }
        // The first token has no end before it, so padding may look like part of it or like earlier tokens: the
        // index decides.
        (0..64)
            .find_map(|back| Self::at(image, start.checked_sub(back)?))
            .or_else(|| (1..64).find_map(|forth| Self::at(image, start.checked_add(forth)?)))
    }

    /// 256 tokens from `start`, if the index behind them fits.
    fn at(image: &'a [u8], start: usize) -> Option<Self> {
        let (mut text, mut offsets, mut at) =
            (Vec::with_capacity(256), Vec::with_capacity(256), start);
        for _ in 0..256 {
            let rest = image.get(at..at.checked_add(LONGEST)?.min(image.len()))?;
            let length = memchr::memchr(0, rest)?;
            text.push(rest.get(..length)?);
            offsets.push(u16::try_from(at.checked_sub(start)?).ok()?);
            at = at.checked_add(length)?.checked_add(1)?;
        }
        let fits = |index: usize, little: bool| {
            let index = image.get(index..)?.get(..512)?;
            let (pairs, _) = index.as_chunks::<2>();
            let read =
                |p: &[u8; 2]| if little { u16::from_le_bytes(*p) } else { u16::from_be_bytes(*p) };
            pairs.iter().zip(&offsets).all(|(p, o)| read(p) == *o).then_some(little)
        };
        let little = (0..16).find_map(|pad| {
            let index = at.checked_add(pad)?;
            fits(index, true).or_else(|| fits(index, false))
        })?;
        Some(Self { start, little, text })
    }
}

/// Names in front of the tokens, wherever their count is.
fn names(image: &[u8], tokens: &Tokens<'_>, steps: &mut usize) -> Option<Vec<String>> {
    let first = tokens.start.saturating_sub(REACH);
    let word = |at: usize| {
        let b: [u8; 4] = image.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if tokens.little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) })
    };
    let mut at = tokens.start & !3;
    while at > first {
        at = at.saturating_sub(4);
        *steps = steps.checked_sub(1)?;
        let Some(count) = word(at).map(|n| n as usize).filter(|n| COUNT.contains(n)) else {
            continue;
        };
        // A count of 32 bits, or of 64, or padded to that.
        let found = [4_usize, 8, 12, 16].into_iter().find_map(|gap| {
            let start = at.checked_add(gap)?;
            // Cheap before thorough: the first names.
            let mut probe = start;
            for _ in 0..8 {
                probe = name(image, tokens, probe, None, steps)?;
            }
            list(image, tokens, start, count, steps)
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Decodes the name at `at`; where the next begins.
fn name(
    image: &[u8],
    tokens: &Tokens<'_>,
    at: usize,
    out: Option<&mut String>,
    steps: &mut usize,
) -> Option<usize> {
    let (mut length, mut at) = (usize::from(*image.get(at)?), at.checked_add(1)?);
    // Since 6.1 long names have a length of two bytes.
    if length & 0x80 != 0 {
        length = (length & 0x7f) | usize::from(*image.get(at)?) << 7;
        at = at.checked_add(1)?;
    }
    let end = at.checked_add(length).filter(|_| (1..=LONGEST).contains(&length))?;
    *steps = steps.checked_sub(length)?;
    let mut text = Vec::with_capacity(32);
    for token in image.get(at..end)? {
        text.extend(*tokens.text.get(usize::from(*token))?);
        if text.len() > LONGEST {
            return None;
        }
    }
    let (kind, name) = text.split_first()?;
    let fit = |b: &u8| b.is_ascii_graphic();
    if !b"AaBbCcDdGgIiNnPpRrSsTtUuVvWw?-".contains(kind) || name.is_empty() || !name.iter().all(fit)
    {
        return None;
    }
    if let Some(out) = out {
        out.push_str(std::str::from_utf8(name).ok()?);
    }
    Some(end)
}

/// All names, if their markers follow.
fn list(
    image: &[u8],
    tokens: &Tokens<'_>,
    start: usize,
    count: usize,
    steps: &mut usize,
) -> Option<Vec<String>> {
    let (mut out, mut marks, mut at) = (Vec::new(), Vec::new(), start);
    for i in 0..count {
        if i % 256 == 0 {
            marks.push(at.checked_sub(start)? as u64);
        }
        let mut text = String::new();
        at = name(image, tokens, at, Some(&mut text), steps)?;
        out.push(text);
    }
    // Two widths of marker, behind up to 16 bytes of padding.
    let fits = |from: usize, width: usize| {
        let read = |i: usize| {
            let at = from.checked_add(i.checked_mul(width)?)?;
            let b = image.get(at..at.checked_add(width)?)?;
            let join = |n: u64, b: &u8| n << 8 | u64::from(*b);
            Some(if tokens.little { b.iter().rev().fold(0, join) } else { b.iter().fold(0, join) })
        };
        marks.iter().enumerate().all(|(i, mark)| read(i) == Some(*mark))
    };
    let marked = (0..16).any(|pad| at.checked_add(pad).is_some_and(|f| fits(f, 4) || fits(f, 8)));
    marked.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table as `scripts/kallsyms.c` writes it, with a few tokens of several characters.
    fn table(names: &[String], little: bool, wide: bool) -> Vec<u8> {
        let mut tokens: Vec<Vec<u8>> =
            (0..=255_u8).map(|b| if b.is_ascii_graphic() { vec![b] } else { vec![] }).collect();
        tokens[1] = b"sys_".to_vec();
        tokens[2] = b"Tsys".to_vec();
        let put = |out: &mut Vec<u8>, n: u64, width: usize| {
            let b = n.to_le_bytes();
            if little { out.extend(&b[..width]) } else { out.extend(b[..width].iter().rev()) }
        };
        let mut out = vec![0xaa; 64];
        put(&mut out, names.len() as u64, 4);
        if wide {
            out.extend([0; 4]);
        }
        let start = out.len();
        let mut marks = Vec::new();
        for (i, n) in names.iter().enumerate() {
            if i % 256 == 0 {
                marks.push((out.len() - start) as u64);
            }
            let full = format!("T{n}").replace("sys_", "\u{1}");
            if full.len() > 127 {
                out.extend([(full.len() & 0x7f) as u8 | 0x80, (full.len() >> 7) as u8]);
            } else {
                out.push(full.len() as u8);
            }
            out.extend(full.as_bytes());
        }
        let align = |out: &mut Vec<u8>| out.resize(out.len().next_multiple_of(8), 0);
        align(&mut out);
        marks.iter().for_each(|m| put(&mut out, *m, if wide { 8 } else { 4 }));
        align(&mut out);
        let first = out.len();
        let mut offsets = Vec::new();
        for t in &tokens {
            offsets.push((out.len() - first) as u64);
            out.extend(t);
            out.push(0);
        }
        align(&mut out);
        offsets.iter().for_each(|o| put(&mut out, *o, 2));
        out.extend([0x55; 64]);
        out
    }

    fn sample() -> Vec<String> {
        let mut names: Vec<String> = (0..1500).map(|i| format!("sys_call_{i}")).collect();
        names.push("x".repeat(200));
        names
    }

    #[test]
    fn both_orders_and_widths() {
        for (little, wide) in [(true, true), (true, false), (false, true), (false, false)] {
            assert_eq!(symbols(&table(&sample(), little, wide)), sample(), "{little} {wide}");
        }
    }

    #[test]
    fn what_does_not_fit_is_nothing() {
        let whole = table(&sample(), true, true);
        for cut in (0..whole.len()).step_by(997) {
            assert_eq!(symbols(&whole[..cut]), Vec::<String>::new());
        }
        let mut wrong = whole;
        // The last marker.
        let at = wrong.len() - 64 - 512 - 8 - 300;
        wrong[at] ^= 1;
        let _ = symbols(&wrong);
        assert!(symbols(&vec![0x30; 4096]).is_empty());
        assert!(
            symbols(&b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0".repeat(100)).is_empty()
        );
    }
}
