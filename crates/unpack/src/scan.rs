//! Where formats announce themselves: one search for all magics, one pass
//! over a content, and a probe for each hit.
//!
//! The work is bounded by counters whatever the input is: a format may be
//! asked, and may refuse, only so often for the size of the content; then
//! its magics leave the search. All probes of a content pay from one
//! budget. What is cut off is a problem on the content.

use std::{
    collections::HashSet,
    ops::{ControlFlow, Range},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{Candidate, Format},
    formats,
    map::{Holes, examined},
    needles::Needles,
};

/// A candidate and the format that makes it.
#[derive(Clone)]
pub struct Claim {
    /// Who claims.
    pub format: &'static dyn Format,
    /// What is claimed.
    pub candidate: Candidate,
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}", self.format.about().id, self.candidate)
    }
}

/// All claims on a content, and what kept the scan from being complete.
#[derive(Debug, Default)]
pub struct Scan {
    /// Claims, no two of the same format on the same range.
    pub claims: Vec<Claim>,
    /// What was cut off.
    pub problems: Vec<Problem>,
}

/// A magic of one format.
struct Pattern {
    format: usize,
    bytes: &'static [u8],
    offset: usize,
    anywhere: bool,
}

/// The search for all magics.
pub struct Scanner {
    formats: Vec<&'static dyn Format>,
    patterns: Vec<Pattern>,
    /// Whether two magics of the format may lead to the same start.
    several: Vec<bool>,
    everywhere: Needles,
    longest: usize,
}

/// Refusals that a format has for nothing, and one more for each so many bytes. Random bytes hold a
/// magic of two bytes once in 65,536.
const REFUSALS: usize = 4096;
const BYTES_PER_REFUSAL: usize = 16_384;
/// Claims kept for one content.
const CLAIMS: usize = 1 << 16;
/// Bytes decoded by probes that are kept for `open`.
const KEPT_DECODED: usize = 256 << 20;
/// Zero runs are recognised in blocks of this size.
const BLOCK: usize = 1 << 16;
/// A content is searched in windows of this size, so that the memory of what was searched can be had back.
const WINDOW: usize = 1 << 26;

static ALL: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(formats::all()));

impl Scanner {
    /// The scanner over all formats of this crate, built once.
    #[must_use]
    pub fn all() -> &'static Self {
        &ALL
    }

    /// A scanner over some formats.
    #[must_use]
    pub fn new(mut formats: Vec<&'static dyn Format>) -> Self {
        formats.sort_by_key(|f| f.about().id);
        let mut patterns: Vec<_> = formats
            .iter()
            .enumerate()
            .flat_map(|(format, f)| {
                f.magics().iter().filter(|m| !(m.anywhere && m.bytes.is_empty())).map(move |m| {
                    Pattern { format, bytes: m.bytes, offset: m.offset, anywhere: m.anywhere }
                })
            })
            .collect();
        // Those that are asked of everything come last.
        patterns.sort_by_key(|p| p.bytes.is_empty());
        let several = formats.iter().map(|f| f.magics().len() > 1).collect();
        let everywhere = needles(&patterns, |p| p.anywhere);
        let longest = patterns.iter().map(|p| p.bytes.len()).max().unwrap_or(0);
        Self { formats, patterns, several, everywhere, longest }
    }

    /// The format of this id.
    #[must_use]
    pub fn format(&self, id: &str) -> Option<&'static dyn Format> {
        self.formats.iter().find(|f| f.about().id == id).copied()
    }

    /// All claims on `data`. Where a format proves at the first byte that it takes the whole content, nothing
    /// inside can win against it, and the content is not searched further.
    #[must_use]
    pub fn scan(&self, data: &Bytes, holes: &Holes, budget: &Budget) -> Scan {
        let mut pass = Pass::new(self, data, budget);
        for pattern in &self.patterns {
            if pattern.bytes.is_empty() && !pass.may_be(pattern.format) {
                continue;
            }
            let end = pattern.offset.saturating_add(pattern.bytes.len());
            if data.get(pattern.offset..end) == Some(pattern.bytes) {
                pass.probe(pattern.format, 0);
            }
        }
        if !pass.whole {
            self.search(data, &holes.within(data), &mut pass);
        }
        pass.finish()
    }

    /// Searches everything but long runs of zeros.
    fn search(&self, data: &Bytes, holes: &[(usize, usize)], pass: &mut Pass<'_>) {
        // A magic may begin or end in a run of zeros, but not lie in one.
        let margin = self.longest.min(BLOCK / 4);
        let mut reduced = None;
        // What was searched; the next run begins there at the earliest.
        let mut done = 0;
        let mut run: Option<Range<usize>> = None;
        let mut flush = |run: Option<Range<usize>>, pass: &mut Pass<'_>| {
            let Some(run) = run else { return };
            let start = run.start.saturating_sub(margin).max(done) & !1;
            let end = run.end.saturating_add(margin).next_multiple_of(2);
            self.search_run(data, start..end, &mut reduced, pass);
            done = end;
        };
        for (start, end) in blocks(data.len(), holes) {
            let zero = data.get(start..end).is_none_or(is_zero);
            match &mut run {
                _ if zero => {}
                Some(run) if run.end == start => run.end = end,
                _ => flush(run.replace(start..end), pass),
            }
        }
        flush(run, pass);
    }

    /// Searches `run`, for the magics in `reduced` if formats have been silenced already.
    fn search_run(
        &self,
        data: &Bytes,
        run: Range<usize>,
        reduced: &mut Option<Needles>,
        pass: &mut Pass<'_>,
    ) {
        let mut at = run.start;
        while at < run.end && !pass.full {
            let until = run.end.min(at.saturating_add(WINDOW));
            let mut wasted = 0_usize;
            let stopped = reduced.as_ref().unwrap_or(&self.everywhere).find(
                data,
                at..until,
                |pattern, start| {
                    let Some(pattern) = self.patterns.get(pattern) else {
                        return ControlFlow::Continue(());
                    };
                    if pass.silenced(pattern.format) {
                        wasted = wasted.saturating_add(1);
                    } else if let Some(start) = start.checked_sub(pattern.offset).filter(|s| *s > 0)
                    {
                        pass.probe(pattern.format, start);
                    }
                    if wasted > REFUSALS || pass.full {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            );
            let next = stopped.unwrap_or(until);
            examined(next.saturating_sub(at));
            at = next;
            if stopped.is_some() {
                *reduced =
                    Some(needles(&self.patterns, |p| p.anywhere && !pass.silenced(p.format)));
            }
        }
    }
}

/// A search for some of the patterns, by their index.
fn needles(all: &[Pattern], keep: impl Fn(&Pattern) -> bool) -> Needles {
    Needles::new(
        all.iter().enumerate().filter(|(_, p)| keep(p)).map(|(i, p)| (i, p.bytes)).collect(),
    )
}

/// State of one pass over one content.
struct Pass<'a> {
    scanner: &'a Scanner,
    data: &'a Bytes,
    budget: &'a Budget,
    claims: Vec<Claim>,
    /// Refused probes of each format.
    refused: Vec<usize>,
    /// End of the last claim of each format whose walker saw every byte of it: magics of the same format
    /// inside are its own.
    walked: Vec<usize>,
    /// End of the furthest claim of each format.
    claimed: Vec<usize>,
    probed: HashSet<(usize, usize)>,
    allowed: usize,
    /// Work of probes that refused, or that read again what another claim of the format had read: everything else is
    /// linear in the content.
    wasted: u64,
    allowed_waste: u64,
    kept: usize,
    whole: bool,
    full: bool,
    problems: Vec<Problem>,
}

impl<'a> Pass<'a> {
    fn new(scanner: &'a Scanner, data: &'a Bytes, budget: &'a Budget) -> Self {
        let size = data.len();
        Self {
            scanner,
            data,
            budget,
            claims: Vec::new(),
            refused: vec![0; scanner.formats.len()],
            walked: vec![0; scanner.formats.len()],
            claimed: vec![0; scanner.formats.len()],
            probed: HashSet::new(),
            allowed: REFUSALS.saturating_add(size / BYTES_PER_REFUSAL),
            wasted: 0,
            allowed_waste: (size as u64).saturating_mul(2).saturating_add(16 << 20),
            kept: 0,
            whole: false,
            full: false,
            problems: Vec::new(),
        }
    }

    /// Whether a format without a magic may take the content: none is proven to take all of it, or one of
    /// which it is a special use.
    fn may_be(&self, format: usize) -> bool {
        let refines = self.scanner.formats.get(format).map_or(&[][..], |f| f.refines());
        self.claims
            .iter()
            .filter(|claim| claim.candidate.proof > Proof::LengthsConsistent)
            .filter(|claim| claim.candidate.start == 0 && claim.candidate.length == self.data.len())
            .all(|claim| refines.contains(&claim.format.about().id))
    }

    /// Whether the format has used up its probes.
    fn silenced(&self, format: usize) -> bool {
        self.refused.get(format).is_none_or(|n| *n >= self.allowed)
    }

    fn probe(&mut self, format: usize, at: usize) {
        let Some(reader) = self.scanner.formats.get(format).copied() else { return };
        if self.full
            || self.silenced(format)
            || self.walked.get(format).is_some_and(|end| at < *end)
            || (self.scanner.several.get(format) == Some(&true)
                && !self.probed.insert((format, at)))
        {
            return;
        }
        let left = |b: &Budget| b.work_left().saturating_add(b.output_left());
        let before = left(self.budget);
        let answer = catch_unwind(AssertUnwindSafe(|| reader.probe(self.data, at, self.budget)));
        let Ok(answer) = answer else {
            return self.problems.push(internal(reader).at(at as u64));
        };
        let spent = before.saturating_sub(left(self.budget));
        match answer.map(|c| self.checked(reader, c)) {
            Some(candidate) => {
                if self.again(format, &candidate) {
                    self.waste(spent, at);
                }
                self.claim(format, reader, candidate);
            }
            None => {
                self.waste(spent, at);
                if let Some(n) = self.refused.get_mut(format) {
                    *n = n.saturating_add(1);
                }
                if self.silenced(format) {
                    self.problems.push(Problem::new(
                        ProblemKind::Budget,
                        format!(
                            "{} was announced and refused {} times; later places were not looked at",
                            reader.about().id, self.allowed
                        ),
                    ).at(at as u64));
                }
            }
        }
    }

    /// Whether a claim begins in an earlier one of the same format.
    fn again(&mut self, format: usize, candidate: &Candidate) -> bool {
        let Some(claimed) = self.claimed.get_mut(format) else { return false };
        let again = candidate.start < *claimed;
        *claimed = candidate.start.saturating_add(candidate.length).max(*claimed);
        again
    }

    fn waste(&mut self, spent: u64, at: usize) {
        self.wasted = self.wasted.saturating_add(spent);
        if self.wasted > self.allowed_waste && !self.full {
            self.stop("work on places that were refused or read before", at);
        }
    }

    /// A candidate within the content whatever the reader claims.
    fn checked(&mut self, reader: &'static dyn Format, mut candidate: Candidate) -> Candidate {
        let room = self.data.len().saturating_sub(candidate.start);
        if candidate.length > room {
            candidate.length = room;
            candidate.problems.push(Problem::new(
                ProblemKind::Truncated,
                format!("{} reaches beyond the end of the content", reader.about().name),
            ));
        }
        candidate
    }

    fn claim(&mut self, format: usize, reader: &'static dyn Format, mut candidate: Candidate) {
        if candidate.length == 0 {
            return;
        }
        let end = candidate.start.saturating_add(candidate.length);
        if candidate.proof >= Proof::DecoderEnded
            && let Some(walked) = self.walked.get_mut(format)
        {
            *walked = end.max(*walked);
        }
        if candidate.start == 0
            && end == self.data.len()
            && candidate.proof >= Proof::LengthsConsistent
        {
            self.whole = true;
        }
        let decoded = candidate.decoded.as_ref().map_or(0, Bytes::len);
        if self.kept.saturating_add(decoded) > KEPT_DECODED {
            candidate.decoded = None;
        } else {
            self.kept = self.kept.saturating_add(decoded);
        }
        self.claims.push(Claim { format: reader, candidate });
        if self.claims.len() >= CLAIMS {
            self.stop("places at which formats were recognised", end);
        }
    }

    fn stop(&mut self, what: &str, at: usize) {
        self.full = true;
        let message = format!("the budget of {what} is used up; the rest was not searched");
        self.problems.push(Problem::new(ProblemKind::Budget, message).at(at as u64));
    }

    fn finish(mut self) -> Scan {
        let key = |c: &Claim| (c.candidate.start, c.candidate.length, c.format.about().id);
        // Of two equal claims the better proven one, then the one with less to complain about.
        self.claims.sort_by(|a, b| {
            key(a)
                .cmp(&key(b))
                .then(b.candidate.proof.cmp(&a.candidate.proof))
                .then(a.candidate.problems.len().cmp(&b.candidate.problems.len()))
                .then_with(|| a.candidate.problems.cmp(&b.candidate.problems))
        });
        self.claims.dedup_by(|b, a| key(a) == key(b));
        Scan { claims: self.claims, problems: self.problems }
    }
}

/// The problem of a reader that panicked.
pub(crate) fn internal(reader: &dyn Format) -> Problem {
    Problem::new(
        ProblemKind::Malformed,
        format!("internal error in the reader of {}; please report it", reader.about().id),
    )
}

/// Blocks of a content that are not known to be holes.
fn blocks<'a>(
    len: usize,
    holes: &'a [(usize, usize)],
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let mut at = 0_usize;
    let mut holes = holes.iter().peekable();
    std::iter::from_fn(move || {
        while let Some((start, end)) = holes.peek() {
            if at < *start {
                break;
            }
            at = at.max(*end);
            holes.next();
        }
        let stop = holes.peek().map_or(len, |h| h.0.min(len));
        let block = (at, at.saturating_add(BLOCK).min(stop));
        at = block.1;
        (block.0 < block.1).then_some(block)
    })
}

/// Whether all bytes are zero; in strides that the compiler turns into vector code.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(128).all(|c| c.iter().fold(0, |a, b| a | b) == 0)
}
