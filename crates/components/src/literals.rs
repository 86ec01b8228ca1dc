//! All literals of the catalogue in one pass over the bytes.
//!
//! How: of every literal the rarest run of five bytes is taken, and its two windows of four bytes go into a hash
//! table with a bitmap in front. The pass looks at every second position only: whatever the alignment, one of
//! the two windows lies on it. What passes the bitmap is compared in full, so there are no false hits. The table
//! for some thousand literals fits the first-level cache, which a state machine over them does not; it is several
//! times as fast, and ready in a millisecond.

use std::ops::Range;

/// Bits of the bitmap: 2^17 bits are 16 KiB.
const BITS: u32 = 17;
/// Bytes of a window.
const WINDOW: usize = 4;

/// A set of literals of at least five bytes each.
#[derive(Debug)]
pub(crate) struct Literals {
    bitmap: Vec<u64>,
    /// Where the windows of each hash begin in `windows`; one more than there are hashes.
    starts: Vec<u32>,
    windows: Vec<Window>,
    literals: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    hash: u32,
    bytes: [u8; WINDOW],
    literal: u32,
    offset: u32,
}

impl Literals {
    /// Literals that are shorter than five bytes are never found.
    pub fn new(literals: Vec<Vec<u8>>) -> Self {
        let mut windows = Vec::new();
        for (n, literal) in (0u32..).zip(&literals) {
            let rarest = literal
                .windows(WINDOW.saturating_add(1))
                .enumerate()
                .min_by_key(|(at, run)| (run.iter().map(|b| commonness(*b)).sum::<u32>(), *at));
            let Some((at, run)) = rarest else { continue };
            for (more, bytes) in run.windows(WINDOW).enumerate() {
                let Ok(bytes) = <[u8; WINDOW]>::try_from(bytes) else { continue };
                let offset = u32::try_from(at.saturating_add(more)).unwrap_or(u32::MAX);
                windows.push(Window { hash: hash(bytes), bytes, literal: n, offset });
            }
        }
        windows.sort_by_key(|w| (w.hash, w.literal, w.offset));
        let mut bitmap = vec![0u64; 1 << (BITS - 6)];
        let mut starts = vec![0u32; (1 << BITS) + 1];
        for window in &windows {
            if let Some(word) = bitmap.get_mut((window.hash >> 6) as usize) {
                *word |= 1u64 << (window.hash & 63);
            }
            if let Some(count) = starts.get_mut((window.hash as usize).saturating_add(1)) {
                *count = count.saturating_add(1);
            }
        }
        let mut sum = 0u32;
        for start in &mut starts {
            sum = sum.saturating_add(*start);
            *start = sum;
        }
        Self { bitmap, starts, windows, literals }
    }

    /// Calls `found` with the number and the place of each occurrence of each literal; the places of one literal
    /// come in order.
    pub fn find(&self, bytes: &[u8], mut found: impl FnMut(usize, Range<usize>)) {
        for (n, window) in bytes.windows(WINDOW).step_by(2).enumerate() {
            let Ok(window) = <[u8; WINDOW]>::try_from(window) else { continue };
            let hash = hash(window);
            let word = self.bitmap.get((hash >> 6) as usize).copied().unwrap_or_default();
            if word & (1u64 << (hash & 63)) != 0 {
                self.compare(bytes, n.saturating_mul(2), hash, window, &mut found);
            }
        }
    }

    #[inline(never)]
    fn compare(
        &self,
        bytes: &[u8],
        at: usize,
        hash: u32,
        window: [u8; WINDOW],
        found: &mut impl FnMut(usize, Range<usize>),
    ) {
        let bound = |n: usize| self.starts.get(n).map_or(0, |s| *s as usize);
        let range = bound(hash as usize)..bound((hash as usize).saturating_add(1));
        for w in self.windows.get(range).into_iter().flatten().filter(|w| w.bytes == window) {
            let Some(literal) = self.literals.get(w.literal as usize) else { continue };
            let Some(start) = at.checked_sub(w.offset as usize) else { continue };
            let range = start..start.saturating_add(literal.len());
            if bytes.get(range.clone()) == Some(literal) {
                found(w.literal as usize, range);
            }
        }
    }
}

fn hash(window: [u8; WINDOW]) -> u32 {
    u32::from_le_bytes(window).wrapping_mul(0x9e37_79b1) >> (32 - BITS)
}

/// How common a byte is in programs, roughly.
fn commonness(byte: u8) -> u32 {
    match byte {
        0 | 0xff => 250,
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 220,
        b'l' | b'c' | b'd' | b'u' | b'p' | b'm' | b'f' => 190,
        b'_' | b'.' | b'%' | b'/' | b'g' | b'h' | b'b' | b'y' | b'v' => 160,
        b'0'..=b'9' | b'A'..=b'Z' => 120,
        _ => 90,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(literals: &[Vec<u8>], bytes: &[u8]) -> Vec<(usize, Range<usize>)> {
        let mut out = Vec::new();
        for (n, literal) in literals.iter().enumerate() {
            for start in 0..bytes.len() {
                if bytes[start..].starts_with(literal) {
                    out.push((n, start..start + literal.len()));
                }
            }
        }
        out
    }

    /// Every occurrence at every alignment, overlapping and at both ends, and nothing else.
    #[test]
    fn same_as_naive_search() {
        let literals: Vec<Vec<u8>> =
            ["abcde", "bcdef", "aaaaa", "OpenSSL ", "penSSL 1", "\0\0\0\0\0", "needle in a stack"]
                .iter()
                .map(|s| s.as_bytes().to_vec())
                .collect();
        let matcher = Literals::new(literals.clone());
        let texts: [&[u8]; 7] = [
            b"",
            b"abcd",
            b"abcdef",
            b"xabcdefaaaaaaaa",
            b"OpenSSL 1.1.1 OpenSSL 1",
            b"\0\0\0\0\0\0\0x\0\0\0\0",
            b"a needle in a stack of needle in a stack",
        ];
        for text in texts {
            for shift in 0..5 {
                let mut bytes = vec![b'~'; shift];
                bytes.extend_from_slice(text);
                let mut found = Vec::new();
                matcher.find(&bytes, |n, range| found.push((n, range)));
                found.sort_by_key(|(n, r)| (*n, r.start));
                assert_eq!(found, naive(&literals, &bytes), "{bytes:?}");
            }
        }
    }
}
