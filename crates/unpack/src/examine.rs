//! One content: its claims, its cover, its gaps. Nothing is opened here.

use std::borrow::Cow;

use bytes::Bytes;
use proofmark_model::{Opaque, Problem, ProblemKind, Proof, Region, RegionClass};

use crate::{
    budget::Budget,
    classify,
    cover::{self, Span},
    format::{self, Format},
    map::Holes,
    scan::{Claim, Scanner},
};

/// Losers kept per content.
const REJECTED_KEPT: usize = 64;

/// What a content is made of.
pub(crate) struct Examined {
    /// See [`Outcome`](crate::Outcome).
    pub format: Cow<'static, str>,
    /// The cover with its gaps: disjoint, ascending, complete. Empty for an empty content.
    pub regions: Vec<Region>,
    /// Claims that lost.
    pub rejected: Vec<Region>,
    /// What kept the search from being complete.
    pub problems: Vec<Problem>,
    /// The regions to open.
    pub found: Vec<Found>,
}

/// A region that a format claimed and won.
pub(crate) struct Found {
    pub start: usize,
    pub end: usize,
    pub format: &'static dyn Format,
    pub proof: Proof,
    pub problems: Vec<Problem>,
    pub decoded: Option<Bytes>,
}

impl Found {
    pub(crate) fn is_leaf(&self) -> bool {
        format::is_leaf(self.format)
    }
}

/// Scans `bytes` and chooses its cover.
pub(crate) fn examine(
    scanner: &Scanner,
    bytes: &Bytes,
    holes: &Holes,
    budget: &Budget,
) -> Examined {
    let scan = scanner.scan(bytes, holes, budget);
    // Away from the first byte a bare magic is chance as often as not: it is reported, not believed.
    let (claims, bare): (Vec<Claim>, Vec<Claim>) = scan
        .claims
        .into_iter()
        .partition(|c| c.candidate.start == 0 || c.candidate.proof > Proof::MagicOnly);
    let spans: Vec<_> = claims.iter().map(span).collect();
    let chosen = cover::cover(bytes.len(), &spans);
    let mut rejected: Vec<_> = chosen
        .rejected
        .iter()
        .filter_map(|i| claims.get(*i))
        .chain(&bare)
        .map(|c| understood(c, c.candidate.start, end(c)))
        .collect();
    rejected.sort_by_key(|r| (r.offset, r.length));
    rejected.truncate(REJECTED_KEPT);

    let mut found = Vec::new();
    let mut regions = Vec::new();
    for (placed, next) in
        chosen.regions.iter().zip(chosen.regions.iter().skip(1).map(Some).chain([None]))
    {
        let Some(claim) = claims.get(placed.claim) else { continue };
        let cut = placed.end < end(claim);
        let mut region = understood(claim, placed.start, placed.end);
        let mut problems = claim.candidate.problems.clone();
        let mut proof = claim.candidate.proof;
        if cut {
            proof = Proof::MagicOnly;
            region.class =
                RegionClass::Understood { format: claim.format.about().id.into(), proof };
            let by = next
                .and_then(|n| claims.get(n.claim))
                .map_or("another format", |c| c.format.about().name);
            problems.push(
                Problem::new(
                    ProblemKind::Malformed,
                    format!(
                        "claims {} bytes, but better proven {by} begins before its end",
                        claim.candidate.length
                    ),
                )
                .at(placed.end.saturating_sub(placed.start) as u64),
            );
        }
        regions.push(region);
        found.push(Found {
            start: placed.start,
            end: placed.end,
            format: claim.format,
            proof,
            problems,
            decoded: claim.candidate.decoded.clone().filter(|_| !cut),
        });
    }
    let plain = if found.is_empty() { classify::plain(bytes) } else { "" };
    let format = match found.as_slice() {
        [] => Cow::Borrowed(plain),
        [one] if one.start == 0 => Cow::Borrowed(one.format.about().id),
        _ => Cow::Borrowed("composite"),
    };
    for (start, end) in cover::gaps(bytes.len(), &chosen.regions) {
        regions.push(Region {
            offset: start as u64,
            length: end.saturating_sub(start) as u64,
            class: match plain {
                // A file kind that explains every byte.
                "text" | "script" => {
                    RegionClass::Understood { format: plain.into(), proof: Proof::DecoderEnded }
                }
                _ => gap(bytes, holes, start, end),
            },
        });
    }
    regions.sort_by_key(|r| r.offset);
    Examined { format, regions, rejected, problems: scan.problems, found }
}

/// What a gap is; a hole that fills it is not read.
fn gap(bytes: &Bytes, holes: &Holes, start: usize, end: usize) -> RegionClass {
    let Some(gap) = bytes.get(start..end) else {
        return RegionClass::Padding { byte: 0 };
    };
    let holes = holes.within(gap);
    if holes.is_empty() {
        return classify::classify(gap);
    }
    // What is not a hole decides: all zero, or the first stretch that is not.
    let mut at = 0;
    for (from, to) in holes.iter().copied().chain([(gap.len(), gap.len())]) {
        let data = gap.get(at..from).unwrap_or_default();
        if !data.is_empty() {
            let class = classify::classify(data);
            if class != (RegionClass::Padding { byte: 0 }) {
                return match class {
                    RegionClass::Padding { .. } => RegionClass::Opaque {
                        looks: Opaque::Data,
                        entropy_millibits: 0,
                        chi_square_milli: 0,
                    },
                    class => class,
                };
            }
        }
        at = to;
    }
    RegionClass::Padding { byte: 0 }
}

fn end(claim: &Claim) -> usize {
    claim.candidate.start.saturating_add(claim.candidate.length)
}

fn span(claim: &Claim) -> Span<'_> {
    Span {
        start: claim.candidate.start,
        end: end(claim),
        proof: claim.candidate.proof,
        format: claim.format.about().id,
        refines: claim.format.refines(),
    }
}

fn understood(claim: &Claim, start: usize, end: usize) -> Region {
    Region {
        offset: start as u64,
        length: end.saturating_sub(start) as u64,
        class: RegionClass::Understood {
            format: claim.format.about().id.into(),
            proof: claim.candidate.proof,
        },
    }
}
