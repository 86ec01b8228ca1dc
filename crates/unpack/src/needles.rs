//! Many short needles in one pass over a haystack.
//!
//! An automaton over all magics takes a step for each byte, and its table does not stay in the nearest cache. Here only
//! every second place is looked at: the three bytes there are hashed, and one bit says whether any needle has such three
//! bytes. Each needle is entered with three of its bytes that are an even number of bytes from its start and with three
//! that are an odd one, the least common ones: one of them falls on an even place of the haystack wherever the needle
//! lies. What the bits let through is compared.
//!
//! The work is linear in the haystack; what it holds decides how many places are compared with the few needles that
//! share three bytes.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    ops::{ControlFlow, Range},
};

/// Bits of the hash: the table of one bit for each takes 16 KiB, half of the nearest cache.
const KEY_BITS: u32 = 17;
const WORDS: usize = 1 << (KEY_BITS - 6);
/// Bytes that are hashed.
const GRAM: usize = 3;
/// Bytes of the haystack between two looks at what was found.
const STRIDE: usize = 32;
/// A bit for each even place of a stride.
const EVEN: u32 = 0x5555_5555;

/// What is looked for. Needles have at least two bytes; shorter ones are never found.
pub struct Needles {
    /// One bit for each key that a needle has.
    bits: Box<[u64; WORDS]>,
    /// Bits before each word.
    before: Box<[u32; WORDS]>,
    /// Where the groups of each key begin, and where the last one's end.
    starts: Vec<usize>,
    groups: Vec<Group>,
    /// Each with the number by which it is reported.
    needles: Vec<(usize, &'static [u8])>,
}

/// Needles that have a key at the same distance from their start. Many differ in their first byte only, and are told apart
/// together.
struct Group {
    /// Bytes from a needle's start to the hashed ones, and one more: a short needle is also entered with the byte before
    /// it.
    ahead: usize,
    /// A bit for each value that the lower six bits of their first bytes have.
    heads: u64,
    /// Indices of the needles.
    needles: Vec<usize>,
}

impl Needles {
    /// A search for the needles, each with the number by which it is reported.
    #[must_use]
    pub fn new(needles: Vec<(usize, &'static [u8])>) -> Self {
        let mut by_key: BTreeMap<u32, BTreeMap<usize, Group>> = BTreeMap::new();
        for (index, (_, bytes)) in needles.iter().enumerate() {
            let [head, _, ..] = bytes else { continue };
            for ahead in places(bytes) {
                grams(bytes, ahead, |gram| {
                    let groups = by_key.entry(key(gram)).or_default();
                    let group = groups.entry(ahead).or_insert_with(|| Group {
                        ahead,
                        heads: 0,
                        needles: Vec::new(),
                    });
                    group.heads |= 1 << (head & 63);
                    // Two of its three bytes may have the same key.
                    if group.needles.last() != Some(&index) {
                        group.needles.push(index);
                    }
                });
            }
        }
        let mut bits = Box::new([0_u64; WORDS]);
        let (mut starts, mut all) = (Vec::new(), Vec::new());
        for (key, groups) in by_key {
            starts.push(all.len());
            all.extend(groups.into_values());
            if let Some(word) = bits.get_mut((key >> 6) as usize) {
                *word |= 1 << (key & 63);
            }
        }
        starts.push(all.len());
        let mut before = Box::new([0_u32; WORDS]);
        let mut sum = 0_u32;
        for (count, word) in before.iter_mut().zip(bits.iter()) {
            *count = sum;
            sum = sum.saturating_add(word.count_ones());
        }
        Self { bits, before, starts, groups: all, needles }
    }

    /// Calls `hit` with the number of each needle and the place where it begins, for every needle that is found by looking at
    /// the places in `range`; ranges that touch find every needle once. Where `hit` breaks, the place to go on from is
    /// returned; the needles found with the same place are reported before. Needles may begin a little before the range
    /// and reach beyond it. `range` begins at an even place.
    pub fn find(
        &self,
        haystack: &[u8],
        range: Range<usize>,
        mut hit: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Option<usize> {
        let end = range.end.min(haystack.len());
        let mut at = range.start;
        while at < end {
            let next = at.saturating_add(STRIDE);
            let mut seen = match haystack.get(at..next.saturating_add(GRAM)) {
                Some(stride) if next <= end => self.seen(stride),
                // Near the end each place is looked at.
                _ => EVEN,
            };
            while seen != 0 {
                let place = at.saturating_add(seen.trailing_zeros() as usize);
                seen &= seen.wrapping_sub(1);
                if place >= end {
                    break;
                }
                let key = key(gram(haystack, place));
                if self.look(key)
                    && self.compare(haystack, key, place.saturating_add(1), &mut hit).is_break()
                {
                    return Some(place.saturating_add(2));
                }
            }
            at = next;
        }
        None
    }

    /// The even places of a stride at which three bytes of a needle may begin, a bit for each.
    #[inline]
    fn seen(&self, stride: &[u8]) -> u32 {
        let mut seen = 0;
        for at in (0..STRIDE).step_by(8) {
            // Nine bytes hold what is at the places 0, 2, 4 and 6.
            let Some(&[a, b, c, d, e, f, g, h, i]) =
                stride.get(at..).and_then(<[u8]>::first_chunk::<9>)
            else {
                return EVEN;
            };
            let low = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let high = u32::from_le_bytes([g, h, i, 0]);
            for (n, gram) in
                [low as u32, (low >> 16) as u32, (low >> 32) as u32, high].into_iter().enumerate()
            {
                seen |= self.bit(hash(gram)) << (at | n << 1);
            }
        }
        seen
    }

    /// One if a needle has the key.
    #[inline]
    fn bit(&self, key: u32) -> u32 {
        self.bits.get((key >> 6) as usize).map_or(0, |w| (w >> (key & 63)) as u32 & 1)
    }

    fn look(&self, key: u32) -> bool {
        self.bit(key) != 0
    }

    /// Compares the needles of a key that is there with the haystack; `place` is that of the hashed bytes and one more.
    #[inline(never)]
    fn compare(
        &self,
        haystack: &[u8],
        key: u32,
        place: usize,
        hit: &mut impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let word = (key >> 6) as usize;
        let below = self.bits.get(word).map_or(0, |w| w & !(u64::MAX << (key & 63)));
        let rank =
            self.before.get(word).map_or(0, |n| n.saturating_add(below.count_ones()) as usize);
        let bound = |n: usize| self.starts.get(n).copied().unwrap_or(0);
        let groups = self.groups.get(bound(rank)..bound(rank.saturating_add(1)));
        let mut flow = ControlFlow::Continue(());
        for group in groups.unwrap_or_default() {
            let Some(found) = place.checked_sub(group.ahead).and_then(|at| haystack.get(at..))
            else {
                continue;
            };
            if found.first().is_none_or(|head| group.heads >> (head & 63) & 1 == 0) {
                continue;
            }
            for (number, needle) in group.needles.iter().filter_map(|i| self.needles.get(*i)) {
                if found.starts_with(needle)
                    && hit(*number, place.saturating_sub(group.ahead)).is_break()
                {
                    flow = ControlFlow::Break(());
                }
            }
        }
        flow
    }
}

/// The three bytes at a place; those after the end are zero.
fn gram(haystack: &[u8], at: usize) -> [u8; GRAM] {
    let byte = |n: usize| haystack.get(at.saturating_add(n)).copied().unwrap_or(0);
    [byte(0), byte(1), byte(2)]
}

fn key([a, b, c]: [u8; GRAM]) -> u32 {
    hash(u32::from_le_bytes([a, b, c, 0]))
}

/// Some bits of the lower three bytes (multiplicative hashing with the golden ratio; Knuth, volume 3, 6.4).
#[inline]
fn hash(gram: u32) -> u32 {
    (gram << 8).wrapping_mul(0x9e37_79b1) >> (u32::BITS - KEY_BITS)
}

/// All values that the hashed bytes can have which begin `ahead` less one bytes after the needle's start.
fn grams(needle: &[u8], ahead: usize, mut with: impl FnMut([u8; GRAM])) {
    let byte = |n: usize| ahead.checked_add(n)?.checked_sub(1).and_then(|i| needle.get(i)).copied();
    let values = |b: Option<u8>| match b {
        Some(b) => b..=b,
        None => 0..=u8::MAX,
    };
    for a in values(byte(0)) {
        for b in values(byte(1)) {
            for c in values(byte(2)) {
                with([a, b, c]);
            }
        }
    }
}

/// Where to enter a needle: an even number of bytes from its start and an odd one, each plus one, where the hashed bytes are
/// the least likely in a haystack.
fn places(needle: &[u8]) -> [usize; 2] {
    // Parts in a million: zeros and bytes of all ones fill what is not used, letters and digits are text.
    let chance = |b: &u8| match b {
        0 => 250_000_u64,
        0xff => 50_000,
        b' ' | b'a'..=b'z' => 20_000,
        b'A'..=b'Z' | b'0'..=b'9' => 10_000,
        _ => 4_000,
    };
    // `place` is one more than the first hashed byte's. A byte that the needle does not have may be any, which takes
    // 256 keys: as many haystacks without any needle pass.
    let likely = |place: &usize| {
        let bytes = (0..GRAM).filter_map(|n| needle.get(place.checked_add(n)?.checked_sub(1)?));
        let missing = GRAM.saturating_sub(bytes.clone().count());
        let keys = (256_u64 << 20 >> KEY_BITS).saturating_mul((missing > 0).into());
        bytes.fold(1_u64 << 20, |p, b| p.saturating_mul(chance(b)) / 1_000_000).saturating_add(keys)
    };
    // Of equal ones the last: many needles differ in their first byte only.
    let best = |first: usize| {
        (first..=needle.len()).step_by(2).max_by_key(|p| Reverse(likely(p))).unwrap_or(first)
    };
    [best(0), best(1)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Needles as magics are: short ones, ones that are part of another, ones of zeros.
    const NEEDLES: &[&[u8]] = &[
        b"MZ",
        b"ab",
        b"aba",
        b"abab",
        b"\x1f\x8b\x08",
        b"\0\0",
        b"\0\0\0\0\x01",
        b"\x7fELF",
        b"bababa",
        b"aaaaaaaaaaaa",
        b"\xff\xff",
        b"\xff\0\xff\0",
    ];

    fn all(haystack: &[u8], steps: usize) -> Vec<(usize, usize)> {
        let needles = Needles::new(NEEDLES.iter().copied().enumerate().collect());
        let mut found = Vec::new();
        let mut at = 0;
        while at < haystack.len() {
            // In pieces, and stopped at every hit.
            let mut end = (at + steps).next_multiple_of(2);
            while let Some(next) = needles.find(haystack, at..end, |n, start| {
                found.push((start, n));
                if steps.is_multiple_of(3) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            }) {
                at = next;
                end = end.max(at);
            }
            at = end;
        }
        found.sort_unstable();
        found
    }

    proptest! {
        #[test]
        fn every_needle_is_found_once(
            haystack in prop::collection::vec(prop::sample::select(b"ab\0\xffMZ\x1f\x8b\x08\x7fELF\x01".to_vec()), 0..200),
            steps in 1_usize..100,
        ) {
            let expected: Vec<_> = (0..haystack.len())
                .flat_map(|at| NEEDLES.iter().enumerate().map(move |(n, needle)| (at, n, needle)))
                .filter(|(at, _, needle)| haystack[*at..].starts_with(needle))
                .map(|(at, n, _)| (at, n))
                .collect();
            prop_assert_eq!(all(&haystack, steps), expected);
        }
    }
}
