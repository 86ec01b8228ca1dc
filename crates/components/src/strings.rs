//! Text strings in a content: the string around a place, and all strings that could be a version.
//!
//! A string is a run of tab, line feed, carriage return and 0x20 to 0x7e between other bytes. Bytes from 0x80
//! on end it: constants of code stand before strings more often than letters of UTF-8 do.

use std::ops::Range;

/// How far from a hit the ends of its string are looked for.
const REACH: usize = 1024;
/// Longest string that may be a version, and the number of those that are kept.
const LONGEST: usize = 64;
const MOST: usize = 1 << 18;

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

/// The names in the longest run of ascending names around `at`, each ended by NUL: letters, digits and `[_.+-`, at
/// most 32 bytes. `at` is inside of a name or at the NUL before it.
#[must_use]
pub fn run_of_names(bytes: &[u8], at: usize) -> Vec<&str> {
    let good = |n: &[u8]| {
        (1..=32).contains(&n.len())
            && n.iter().all(|b| b.is_ascii_alphanumeric() || b"[_.+-".contains(b))
    };
    let mut names: Vec<&[u8]> = Vec::new();
    // Backwards, from the NUL before `at`; a name counts when it is smaller than the one after it.
    let start = at.saturating_add(usize::from(bytes.get(at) == Some(&0)));
    let first = bytes.get(start..).and_then(|rest| rest.split(|b| *b == 0).next());
    let mut next = first.unwrap_or_default();
    let before = bytes.get(..start.saturating_sub(1)).unwrap_or_default();
    for name in before.rsplit(|b| *b == 0).take(4096) {
        if !good(name) || name >= next {
            break;
        }
        names.push(name);
        next = name;
    }
    names.reverse();
    for name in bytes.get(start..).unwrap_or_default().split(|b| *b == 0).take(4096) {
        if !good(name) || names.last().is_some_and(|last| *last >= name) {
            break;
        }
        names.push(name);
    }
    names.into_iter().filter_map(|n| std::str::from_utf8(n).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_string_around_a_place() {
        let bytes = b"\0one\xfftwo three\n\0four";
        assert_eq!(&bytes[around(bytes, 9, 1)], b"two three\n");
        assert_eq!(&bytes[around(bytes, 1, 1)], b"one");
        assert_eq!(&bytes[around(bytes, 17, 3)], b"four");
    }

    #[test]
    fn candidates_end_in_nul_and_have_a_digit() {
        let bytes = b"x\x801.2.3\0plain\0v2\0 3.4";
        let found: Vec<_> = candidates(bytes, std::slice::from_ref(&(0..bytes.len())))
            .into_iter()
            .map(|r| &bytes[r])
            .collect();
        assert_eq!(found, [b"1.2.3".as_slice(), b"v2"]);
    }

    #[test]
    fn a_run_of_names_ascends() {
        let bytes = b"zz\0[\0[[\0ash\0cat\0ls\0sh\0wget\0ash main\0";
        assert_eq!(run_of_names(bytes, 12), ["[", "[[", "ash", "cat", "ls", "sh", "wget"]);
        assert!(run_of_names(b"", 7).is_empty());
    }
}
