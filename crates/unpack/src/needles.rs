//! Many short needles in one pass over a haystack.
//!
//! An automaton over all magics takes a step for each byte, and its table does not stay in the nearest cache. Here only
//! every second place is looked at: the three bytes there are hashed, and one bit says whether any needle has such three
//! bytes. Each needle is entered with three of its bytes that are an even number of bytes from its start and with three
//! that are an odd one, the least common ones: one of them falls on an even place of the haystack wherever the needle
//! lies. Where the bit is set, the eight bytes around are held against what needles with such a key have in common there; what
//! is left is compared.
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
/// Keys that are told apart only by comparing, as a power of two: the tables of buckets stay in the second cache.
const BUCKET_BITS: u32 = 3;
const BUCKETS: usize = 1 << (KEY_BITS - BUCKET_BITS);
/// Bytes that are hashed.
const GRAM: usize = 3;
/// Bytes of the haystack between two looks at what was found.
const STRIDE: usize = 32;
/// Bytes before the hashed ones, and from the first of these on, that are held against what needles have in common.
const BEFORE: usize = 3;
const FROM: usize = 5;
/// A bit for each even place of a stride.
const EVEN: u32 = 0x5555_5555;

/// What is looked for. Needles have at least two bytes; shorter ones are never found.
pub struct Needles {
    /// One bit for each key that a needle has.
    bits: Box<[u64; WORDS]>,
    /// Where the groups of each bucket begin, and where the last one's end.
    starts: Box<[u16; BUCKETS + 1]>,
    groups: Vec<Group>,
    /// What the needles of each group have in common.
    common: Vec<Common>,
    /// Each with the number by which it is reported.
    needles: Vec<(usize, &'static [u8])>,
}

/// Needles of a bucket that have their key at the same distance from their start. Many differ in their first byte only, and
/// are told apart together.
struct Group {
    /// Bytes from a needle's start to the hashed ones, and one more: a short needle is also entered with the byte before
    /// it.
    ahead: usize,
    /// A bit for each value that the lower six bits of their first bytes have.
    heads: u64,
    /// Indices of the needles.
    needles: Vec<usize>,
}

/// Bits around the hashed bytes, as a little-endian number, that all needles of a group have.
#[derive(Clone, Copy, Default)]
struct Common {
    value: u64,
    mask: u64,
}

impl Common {
    /// The bytes of one needle around those that are hashed.
    fn around(needle: &[u8], ahead: usize) -> Self {
        let mut own = Self::default();
        for n in 0..BEFORE.saturating_add(FROM) {
            let at = ahead.saturating_add(n).checked_sub(BEFORE.saturating_add(1));
            if let Some(byte) = at.and_then(|at| needle.get(at)) {
                own.value |= u64::from(*byte) << (n << 3);
                own.mask |= 0xff << (n << 3);
            }
        }
        own
    }

    fn and(self, other: Self) -> Self {
        Self { mask: self.mask & other.mask & !(self.value ^ other.value), ..self }
    }

    fn are_in(self, window: u64) -> bool {
        (self.value ^ window) & self.mask == 0
    }
}

impl Needles {
    /// A search for the needles, each with the number by which it is reported.
    #[must_use]
    pub fn new(needles: Vec<(usize, &'static [u8])>) -> Self {
        let mut bits = Box::new([0_u64; WORDS]);
        let mut buckets: BTreeMap<usize, BTreeMap<usize, (Group, Common)>> = BTreeMap::new();
        for (index, (_, bytes)) in needles.iter().enumerate() {
            let [head, _, ..] = bytes else { continue };
            for ahead in places(bytes) {
                grams(bytes, ahead, |gram| {
                    let key = key(gram);
                    if let Some(word) = bits.get_mut((key >> 6) as usize) {
                        *word |= 1 << (key & 63);
                    }
                    let own = Common::around(bytes, ahead);
                    let new = || (Group { ahead, heads: 0, needles: Vec::new() }, own);
                    let bucket = buckets.entry((key >> BUCKET_BITS) as usize).or_default();
                    let (group, common) = bucket.entry(ahead).or_insert_with(new);
                    *common = common.and(own);
                    group.heads |= 1 << (head & 63);
                    // Several of its keys may be in the bucket.
                    if group.needles.last() != Some(&index) {
                        group.needles.push(index);
                    }
                });
            }
        }
        let (mut groups, mut common) = (Vec::new(), Vec::new());
        let mut starts = Box::new([0; BUCKETS + 1]);
        for (bucket, start) in starts.iter_mut().enumerate() {
            *start = u16::try_from(groups.len()).unwrap_or(u16::MAX);
            for (group, bits) in buckets.remove(&bucket).unwrap_or_default().into_values() {
                groups.push(group);
                common.push(bits);
            }
        }
        Self { bits, starts, groups, common, needles }
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
            let around = at.checked_sub(BEFORE).map(|from| from..next.saturating_add(FROM));
            let mut seen = match around.and_then(|around| haystack.get(around)) {
                Some(around) if next <= end => self.seen(around),
                // Near the ends each place is looked at.
                _ => EVEN,
            };
            while seen != 0 {
                let place = at.saturating_add(seen.trailing_zeros() as usize);
                seen &= seen.wrapping_sub(1);
                if place >= end {
                    break;
                }
                if self.compare(haystack, place, &mut hit).is_break() {
                    return Some(place.saturating_add(2));
                }
            }
            at = next;
        }
        None
    }

    /// The even places of a stride at which three bytes of a needle may begin, a bit for each; `around` has the bytes before
    /// and after it too.
    #[inline]
    fn seen(&self, around: &[u8]) -> u32 {
        let mut seen = 0;
        for at in (0..STRIDE).step_by(8) {
            // Nine bytes hold what is at the places 0, 2, 4 and 6.
            let Some(&[a, b, c, d, e, f, g, h, i]) =
                around.get(at.saturating_add(BEFORE)..).and_then(<[u8]>::first_chunk::<9>)
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
        let mut left = seen;
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            let Some(window) = around.get(at as usize..).and_then(<[u8]>::first_chunk) else {
                continue;
            };
            let window = u64::from_le_bytes(*window);
            let groups = self.groups(hash((window >> (BEFORE << 3)) as u32));
            let common = self.common.get(groups).unwrap_or_default();
            let may = common.iter().any(|common| common.are_in(window));
            seen &= !(u32::from(!may) << at);
        }
        seen
    }

    /// One if a needle has the key.
    #[inline]
    fn bit(&self, key: u32) -> u32 {
        self.bits.get((key >> 6) as usize).map_or(0, |w| (w >> (key & 63)) as u32 & 1)
    }

    /// The groups of the bucket of a key.
    #[inline]
    fn groups(&self, key: u32) -> Range<usize> {
        let bucket = (key >> BUCKET_BITS) as usize;
        match self.starts.get(bucket..=bucket.saturating_add(1)) {
            Some([start, end]) => usize::from(*start)..usize::from(*end),
            _ => 0..0,
        }
    }

    /// Compares the needles with the key of a place in the haystack.
    #[inline(never)]
    fn compare(
        &self,
        haystack: &[u8],
        place: usize,
        hit: &mut impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let groups = self.groups.get(self.groups(key(gram(haystack, place))));
        let mut flow = ControlFlow::Continue(());
        for group in groups.unwrap_or_default() {
            let start = place.saturating_add(1).checked_sub(group.ahead);
            let Some((start, found)) = start.and_then(|at| Some((at, haystack.get(at..)?))) else {
                continue;
            };
            if found.first().is_none_or(|head| group.heads >> (head & 63) & 1 == 0) {
                continue;
            }
            for (number, needle) in group.needles.iter().filter_map(|i| self.needles.get(*i)) {
                if found.starts_with(needle) && hit(*number, start).is_break() {
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
