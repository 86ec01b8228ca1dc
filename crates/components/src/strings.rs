//! Text strings in a content: the string around a place, and all strings that could be a version.
//!
//! A string is a run of tab, line feed, carriage return and 0x20 to 0x7e between other bytes. Bytes from 0x80
//! on end it: constants of code stand before strings more often than letters of UTF-8 do.

use std::ops::Range;

/// How far from a hit the ends of its string are looked for.
const REACH: usize = 1024;
/// Longest string that may be a version, and the number of those that are kept.
const LONGEST: usize = 64;
const MOST: usize = 65_536;

fn is_text(b: u8) -> bool {
    matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e)
}

/// The string that contains `at..at + length`, cut off at 1024 bytes either side.
#[must_use]
pub fn around(bytes: &[u8], at: usize, length: usize) -> Range<usize> {
    let from = at.saturating_sub(REACH);
    let before = bytes.get(from..at).unwrap_or_default();
    let start = before
        .iter()
        .rposition(|b| !is_text(*b))
        .map_or(from, |p| from.saturating_add(p).saturating_add(1));
    let tail = at.saturating_add(length);
    let to = tail.saturating_add(REACH).min(bytes.len());
    let after = bytes.get(tail..to).unwrap_or_default();
    let end = after.iter().position(|b| !is_text(*b)).map_or(to, |p| tail.saturating_add(p));
    start..end
}

/// All strings in `parts` of `bytes` that end in NUL, are at most 64 bytes long and contain a digit among
/// their first 16 bytes.
#[must_use]
pub fn candidates(bytes: &[u8], parts: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    for part in parts {
        let Some(data) = bytes.get(part.clone()) else { continue };
        let mut start = 0usize;
        for end in memchr::memchr_iter(0, data) {
            let piece = data.get(start..end).unwrap_or_default();
            let tail = piece
                .get(piece.len().saturating_sub(LONGEST.saturating_add(1))..)
                .unwrap_or_default();
            let length = tail.iter().rev().take_while(|b| is_text(**b)).count();
            if (1..=LONGEST).contains(&length) {
                let at = end.saturating_sub(length);
                let text = data.get(at..end).unwrap_or_default();
                if text.iter().take(16).any(u8::is_ascii_digit) {
                    let base = part.start;
                    out.push(base.saturating_add(at)..base.saturating_add(end));
                    if out.len() >= MOST {
                        return out;
                    }
                }
            }
            start = end.saturating_add(1);
        }
    }
    out
}
