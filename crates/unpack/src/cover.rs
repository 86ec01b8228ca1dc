//! Which of the claims on a content make up its cover.
//!
//! Input: any set of claimed ranges. Output: disjoint regions, each a claim
//! or the front part of one; everything else is a gap. The choice depends on
//! nothing but the set.
//!
//! 1. **Equal ranges**: a format that refines the other wins; else the stronger
//!    proof; else the format id that sorts first.
//! 2. **Containment**: a claim inside another one is part of the other's
//!    content and no evidence against it, so the outer one wins if its lengths are
//!    at least consistent. A bare magic holds nothing.
//! 3. **Partial overlap** is a contradiction: at most one of the two can be right.
//!    The stronger proof wins; else the longer range; else the lower start;
//!    else the format id that sorts first. A claim that a stronger one
//!    contradicts holds nothing inside it either.
//! 4. What a loser held is free again and is chosen from by the same rules.
//! 5. A loser whose start is still free at the end keeps its front part, up to the
//!    next region, if its lengths were at least consistent: a decoder that
//!    ran past the true end did begin somewhere. It is marked as cut.
//!
//! O(n log n): a fixed number of rounds of sorting and range queries.

use std::collections::BTreeMap;

use proofmark_model::Proof;

/// A claim, as far as the choice needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What proves it.
    pub proof: Proof,
    /// Format id.
    pub format: &'a str,
    /// Formats of which this one is a special use.
    pub refines: &'a [&'a str],
}

/// A region of the cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Index of the claim.
    pub claim: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte; less than the claim's own where it was cut.
    pub end: usize,
}

/// Regions in ascending order, and the claims that have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cover {
    /// Disjoint, ascending, never empty.
    pub regions: Vec<Placed>,
    /// Indices of claims that lost, in the order of their ranges.
    pub rejected: Vec<usize>,
}

/// Rounds of releasing what losers held. Each takes all undisputed outermost claims of what is
/// left; only claims nested and contradicted on purpose need more than two or three.
const ROUNDS: usize = 32;

impl Span<'_> {
    fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Smaller is stronger; total over everything but `refines`.
    fn key(&self) -> impl Ord + use<'_> {
        (std::cmp::Reverse(self.proof), std::cmp::Reverse(self.len()), self.start, self.format)
    }
}

/// The cover of the bytes `0..len` by `spans`. Empty ranges and ranges that leave the content lose.
#[must_use]
pub fn cover(len: usize, spans: &[Span<'_>]) -> Cover {
    let valid = |i: &usize| spans.get(*i).is_some_and(|s| s.start < s.end && s.end <= len);
    let mut live = one_per_range(spans, (0..spans.len()).filter(valid).collect());
    let mut placed = Taken::default();
    let mut losers = Vec::new();
    for _ in 0..ROUNDS {
        if live.is_empty() {
            break;
        }
        for i in outermost(spans, &live) {
            placed.place_whole(spans, i);
        }
        live.retain(|i| {
            let Some(s) = spans.get(*i) else { return false };
            let free = placed.free(s.start, s.end);
            if !free {
                losers.push(*i);
            }
            free
        });
    }
    // Out of rounds: plain strength.
    by_key(spans, &mut live);
    for i in live {
        if !placed.place_whole(spans, i) {
            losers.push(i);
        }
    }
    by_key(spans, &mut losers);
    for i in losers {
        placed.place_front(spans, i);
    }
    let regions: Vec<_> = placed.0.into_values().collect();
    let mut won = vec![false; spans.len()];
    regions.iter().for_each(|r| {
        if let Some(w) = won.get_mut(r.claim) {
            *w = true;
        }
    });
    let mut rejected: Vec<_> =
        won.iter().enumerate().filter(|(_, w)| !**w).map(|(i, _)| i).collect();
    rejected.sort_by_key(|i| {
        spans.get(*i).map(|s| (s.start, s.end, std::cmp::Reverse(s.proof), s.format))
    });
    Cover { regions, rejected }
}

/// What `regions` leave free of `0..len`: start and end, ascending.
#[must_use]
pub fn gaps(len: usize, regions: &[Placed]) -> Vec<(usize, usize)> {
    let ends = std::iter::once(0).chain(regions.iter().map(|r| r.end));
    let starts = regions.iter().map(|r| r.start).chain(std::iter::once(len));
    ends.zip(starts).filter(|(end, start)| end < start).collect()
}

fn by_key(spans: &[Span<'_>], indices: &mut [usize]) {
    indices.sort_by(|a, b| spans.get(*a).map(Span::key).cmp(&spans.get(*b).map(Span::key)));
}

/// Rule 1: the best claim of each range.
fn one_per_range(spans: &[Span<'_>], mut indices: Vec<usize>) -> Vec<usize> {
    by_key(spans, &mut indices);
    let mut groups: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for i in indices {
        if let Some(s) = spans.get(i) {
            groups.entry((s.start, s.end)).or_default().push(i);
        }
    }
    groups
        .into_values()
        .filter_map(|group| {
            let mut best = *group.first()?;
            // Along `refines` at most once through the group, in case two formats name each other.
            for _ in 0..group.len() {
                let id = spans.get(best)?.format;
                let special =
                    group.iter().find(|i| spans.get(**i).is_some_and(|s| s.refines.contains(&id)));
                match special {
                    Some(i) => best = *i,
                    None => break,
                }
            }
            Some(best)
        })
        .collect()
}

/// Claims of `live` that no stronger one contradicts and no other one holds, strongest first.
fn outermost(spans: &[Span<'_>], live: &[usize]) -> Vec<usize> {
    let get = |i: usize| spans.get(i).copied();
    let tiers =
        [Proof::LengthsConsistent, Proof::DecoderEnded, Proof::ChecksumVerified].map(|tier| {
            (tier, Overlaps::new(live.iter().filter_map(|i| get(*i)).filter(|s| s.proof >= tier)))
        });
    let contradicted = |s: &Span<'_>| {
        tiers.iter().find(|(tier, _)| *tier > s.proof).is_some_and(|(_, t)| t.partly(s))
    };
    // Outer ranges stand before inner ones; ranges are distinct.
    let mut order: Vec<usize> = live.to_vec();
    order.sort_by_key(|i| get(*i).map(|s| (s.start, std::cmp::Reverse(s.end))));
    let mut held_until = 0;
    let mut out = Vec::new();
    for i in order {
        let Some(s) = get(i) else { continue };
        if contradicted(&s) {
            continue;
        }
        if held_until < s.end {
            out.push(i);
        }
        if s.proof >= Proof::LengthsConsistent {
            held_until = held_until.max(s.end);
        }
    }
    by_key(spans, &mut out);
    out
}

/// Answers whether any range of a set partly overlaps a given one.
struct Overlaps {
    by_start: Vec<usize>,
    ends: Extreme,
    by_end: Vec<usize>,
    starts: Extreme,
}

impl Overlaps {
    fn new<'a>(spans: impl Iterator<Item = Span<'a>>) -> Self {
        let mut ranges: Vec<_> = spans.map(|s| (s.start, s.end)).collect();
        ranges.sort_unstable();
        let by_start = ranges.iter().map(|r| r.0).collect();
        let ends = Extreme::new(ranges.iter().map(|r| r.1).collect(), usize::max);
        ranges.sort_unstable_by_key(|r| r.1);
        let by_end = ranges.iter().map(|r| r.1).collect();
        let starts = Extreme::new(ranges.iter().map(|r| r.0).collect(), usize::min);
        Self { by_start, ends, by_end, starts }
    }

    fn partly(&self, s: &Span<'_>) -> bool {
        // Strictly inside `s`.
        let inside = |points: &[usize]| {
            (points.partition_point(|p| *p <= s.start), points.partition_point(|p| *p < s.end))
        };
        let (a, b) = inside(&self.by_start);
        let (c, d) = inside(&self.by_end);
        self.ends.over(a, b).is_some_and(|end| end > s.end)
            || self.starts.over(c, d).is_some_and(|start| start < s.start)
    }
}

/// Largest or smallest value over any interval: a table of intervals of lengths 1, 2, 4, ...
struct Extreme {
    levels: Vec<Vec<usize>>,
    pick: fn(usize, usize) -> usize,
}

impl Extreme {
    fn new(values: Vec<usize>, pick: fn(usize, usize) -> usize) -> Self {
        let mut levels = vec![values];
        let mut half = 1_usize;
        while let Some(last) = levels.last().filter(|l| l.len() > half) {
            let next = last.iter().zip(last.iter().skip(half)).map(|(a, b)| pick(*a, *b)).collect();
            levels.push(next);
            half = half.saturating_mul(2);
        }
        Self { levels, pick }
    }

    /// Over the values `from..to`.
    fn over(&self, from: usize, to: usize) -> Option<usize> {
        let level = to.checked_sub(from)?.checked_ilog2()?;
        let row = self.levels.get(level as usize)?;
        let second = to.checked_sub(1_usize.checked_shl(level)?)?;
        Some((self.pick)(*row.get(from)?, *row.get(second)?))
    }
}

/// Regions placed so far, by their start.
#[derive(Default)]
struct Taken(BTreeMap<usize, Placed>);

impl Taken {
    fn free(&self, start: usize, end: usize) -> bool {
        self.0.range(..end).next_back().is_none_or(|(_, r)| r.end <= start)
    }

    fn place_whole(&mut self, spans: &[Span<'_>], claim: usize) -> bool {
        let Some(s) = spans.get(claim) else { return false };
        let free = self.free(s.start, s.end);
        if free {
            self.0.insert(s.start, Placed { claim, start: s.start, end: s.end });
        }
        free
    }

    fn place_front(&mut self, spans: &[Span<'_>], claim: usize) {
        let Some(s) = spans.get(claim) else { return };
        let next = self.0.range(s.start..).next().map_or(s.end, |(start, _)| s.end.min(*start));
        if s.proof >= Proof::LengthsConsistent && s.start < next && self.free(s.start, next) {
            self.0.insert(s.start, Placed { claim, start: s.start, end: next });
        }
    }
}

#[cfg(test)]
#[path = "cover_tests.rs"]
mod tests;
