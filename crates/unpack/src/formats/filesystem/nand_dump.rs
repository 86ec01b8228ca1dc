//! What dumps with spare bytes share once their code is known: correcting page by page, dropping the spare bytes.
//!
//! YAFFS keeps what it knows about pages in the spare bytes: stretches of a dump that it holds are entries of their own
//! with their spare bytes, and a dump that is mostly YAFFS is left to it.

use std::ops::Range;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};
use rayon::prelude::*;

pub use super::nand_bch::scheme::Outcome;
use super::{nand_bch, nand_ecc, yaffs::Yaffs};
use crate::{
    budget::{Budget, Exhausted},
    format::{About, Blob, Candidate, Entry, Format, Magic, Sink},
    spool::Buffer,
};

/// A code, and where in a page it stands.
pub trait Ecc: Sync + Send {
    /// Bytes of a page without its spare bytes.
    fn page(&self) -> usize;

    /// Spare bytes of a page.
    fn spare(&self) -> usize;

    /// The code in words.
    fn describe(&self) -> String;

    /// Puts wrong bits of a page with its spare bytes right.
    fn correct(&self, stored: &mut Vec<u8>) -> Outcome;

    /// The page's own bytes, in their order.
    fn output(&self, stored: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(stored.get(..self.page()).unwrap_or(stored));
    }

    /// Bytes of a page with its spare bytes.
    fn step(&self) -> usize {
        self.page().saturating_add(self.spare()).max(1)
    }
}

/// A format of dumps that begin with a page and are told by looking at their pages.
pub struct Dump {
    /// What the format's file says about it.
    pub about: &'static About,
    /// What a content is a dump of, or a refusal.
    pub find: fn(&[u8], &Budget) -> Option<Found>,
}

/// How the pages of a dump are to be read.
pub struct Found {
    /// The code.
    pub ecc: Box<dyn Ecc>,
    /// What proves it.
    pub proof: Proof,
    /// What is known to be missing.
    pub problems: Vec<Problem>,
}

impl Format for Dump {
    fn about(&self) -> &'static About {
        self.about
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::start(b"")] }
    }

    fn refines(&self) -> &'static [&'static str] {
        &["nand"]
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let Found { ecc, proof, problems } =
            (at == 0).then(|| (self.find)(data, budget)).flatten()?;
        let candidate = Candidate { problems, ..Candidate::new(0, data.len(), proof) };
        (!is_yaffs(data, &*ecc, budget)).then_some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        if let Some(found) = (self.find)(region, budget) {
            emit(region, &*found.ecc, budget, sink);
        }
    }
}

impl Found {
    /// Pages whose code is right.
    #[must_use]
    pub fn verified(ecc: Box<dyn Ecc>) -> Self {
        Self { ecc, proof: Proof::ChecksumVerified, problems: Vec::new() }
    }
}

/// The code of a dump that begins with a page.
#[must_use]
pub fn recognise(data: &[u8], budget: &Budget) -> Option<Box<dyn Ecc>> {
    nand_ecc::recognise(data, budget).or_else(|| nand_bch::recognise(data, budget))
}

/// Stretches that YAFFS claims, as numbers of pages.
fn yaffs(data: &Bytes, ecc: &dyn Ecc, budget: &Budget) -> Vec<Range<usize>> {
    let magic = |page: &[u8]| Yaffs.magics().iter().any(|m| page.starts_with(m.bytes));
    let step = ecc.step();
    let (mut found, mut behind, mut refused) = (Vec::new(), 0_usize, 0_u32);
    for (n, page) in data.chunks_exact(step).enumerate() {
        if n < behind || !magic(page) {
            continue;
        }
        let claim = Yaffs.probe(data, n.saturating_mul(step), budget);
        match claim.map(|c| c.length.checked_div(step).unwrap_or(0)).filter(|pages| *pages > 0) {
            Some(pages) => {
                behind = n.saturating_add(pages);
                found.push(n..behind);
            }
            None => refused = refused.saturating_add(1),
        }
        if refused > 64 || found.len() > 64 {
            break;
        }
    }
    found
}

/// Whether the dump is mostly YAFFS.
fn is_yaffs(data: &Bytes, ecc: &dyn Ecc, budget: &Budget) -> bool {
    let pages: usize = yaffs(data, ecc, budget).iter().map(ExactSizeIterator::len).sum();
    pages.saturating_mul(ecc.step()).saturating_mul(2) > data.len()
}

/// What was found in a stretch.
#[derive(Debug, Default)]
pub struct Stats {
    /// Sectors with a right code.
    pub right: usize,
    /// Bits that were put right.
    pub corrected: usize,
    /// Sectors beyond correction.
    pub beyond: usize,
    /// Offsets in the output of the first pages that have such sectors.
    pub first: Vec<u64>,
    /// Pages that are marked as part of a bad block.
    pub marked: usize,
}

/// Pages that are worked on at the same time.
const TOGETHER: usize = 1024;
/// Problems that are told by themselves.
const TOLD: usize = 16;

/// Pages corrected, with (`raw`) or without their spare bytes.
///
/// # Errors
/// When the budget does not allow that much.
pub fn corrected(
    data: &[u8],
    ecc: &dyn Ecc,
    raw: bool,
    budget: &Budget,
) -> Result<(Bytes, Stats), Exhausted> {
    let pages = data.len().checked_div(ecc.step()).unwrap_or(0);
    let size = pages.saturating_mul(if raw { ecc.step() } else { ecc.page() });
    budget.output(size as u64)?;
    let marks = good_marks(data, ecc);
    let mut out = Buffer::default();
    let mut stats = Stats::default();
    for batch in data.chunks(ecc.step().saturating_mul(TOGETHER)) {
        budget.work(batch.len() as u64)?;
        let groups: Vec<_> = batch
            .par_chunks(ecc.step().saturating_mul(TOGETHER / 8))
            .map(|group| {
                let mut made = Vec::with_capacity(group.len());
                let mut outcomes = Vec::new();
                for page in group.chunks_exact(ecc.step()) {
                    let mut stored = page.to_vec();
                    let marked =
                        marks.is_some_and(|at| page.get(at).is_some_and(|b| b.count_ones() <= 4));
                    outcomes.push((made.len(), ecc.correct(&mut stored), marked));
                    if raw {
                        made.extend_from_slice(&stored)
                    } else {
                        ecc.output(&stored, &mut made)
                    }
                }
                (made, outcomes)
            })
            .collect();
        for (made, outcomes) in groups {
            for (at, outcome, marked) in outcomes {
                stats.right = stats.right.saturating_add(outcome.right);
                stats.corrected = stats.corrected.saturating_add(outcome.corrected);
                stats.marked = stats.marked.saturating_add(usize::from(marked));
                // What a bad block holds is expected to be wrong.
                if outcome.beyond > 0 && !marked {
                    stats.beyond = stats.beyond.saturating_add(outcome.beyond);
                    if stats.first.len() < TOLD {
                        stats.first.push(out.len().saturating_add(at) as u64);
                    }
                }
            }
            out.append(&made, budget.spool());
        }
    }
    Ok((out.into(), stats))
}

/// Where pages carry the mark of bad blocks, if nearly all say good there.
fn good_marks(data: &[u8], ecc: &dyn Ecc) -> Option<usize> {
    let at = if ecc.page() == 512 { 517 } else { ecc.page() };
    let pages = data.len().checked_div(ecc.step())?;
    let stride = pages.checked_div(256)?.max(1);
    let sample = data.chunks_exact(ecc.step()).step_by(stride);
    let (good, all) = sample.fold((0_usize, 0_usize), |(good, all), page| {
        (good.saturating_add(usize::from(page.get(at) == Some(&0xFF))), all.saturating_add(1))
    });
    (good.saturating_mul(10) >= all.saturating_mul(9)).then_some(at)
}

impl Stats {
    /// The shortfalls, with their places in the content.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self
            .first
            .iter()
            .map(|at| {
                let text =
                    "a page has more wrong bits than its code corrects; it is kept as it was read";
                Problem::new(ProblemKind::Checksum, text).at(*at)
            })
            .collect();
        if self.beyond > self.first.len() {
            let text =
                format!("{} sectors have more wrong bits than their code corrects", self.beyond);
            problems.push(Problem::new(ProblemKind::Checksum, text));
        }
        if self.marked > 0 {
            let text = format!(
                "{} pages are marked as parts of bad blocks; their bytes are kept as they were read",
                self.marked
            );
            problems.push(Problem::new(ProblemKind::Incomplete, text));
        }
        problems
    }

    fn add(&mut self, other: &Self) {
        self.right = self.right.saturating_add(other.right);
        self.corrected = self.corrected.saturating_add(other.corrected);
        self.beyond = self.beyond.saturating_add(other.beyond);
        self.marked = self.marked.saturating_add(other.marked);
    }

    /// Figures as attributes.
    pub fn attributes(&self, sink: &mut Sink<'_>) {
        sink.attribute("sectors-verified", self.right);
        sink.attribute("bits-corrected", self.corrected);
        sink.attribute("sectors-beyond-correction", self.beyond);
        sink.attribute("pages-marked-bad", self.marked);
    }
}

/// The pages of a dump as entries.
fn emit(region: &Bytes, ecc: &dyn Ecc, budget: &Budget, sink: &mut Sink<'_>) {
    sink.attribute("block-size", ecc.page());
    sink.attribute("spare-size", ecc.spare());
    sink.attribute("ecc", ecc.describe());
    let pages = region.len().checked_div(ecc.step()).unwrap_or(0);
    let mut stretches = Vec::new();
    let mut at = 0;
    for claimed in yaffs(region, ecc, budget) {
        stretches.push((at..claimed.start, false));
        at = claimed.end;
        stretches.push((claimed, true));
    }
    stretches.push((at..pages, false));
    let alone = stretches.len() == 1;
    let mut all = Stats::default();
    for (stretch, raw) in stretches.into_iter().filter(|(stretch, _)| !stretch.is_empty()) {
        let bytes = |page: usize| page.saturating_mul(ecc.step()).min(region.len());
        let (from, to) = (bytes(stretch.start), bytes(stretch.end));
        let name = match (alone, raw) {
            (true, _) => "data".to_owned(),
            (false, true) => format!("with-spare-bytes-{from:#x}"),
            (false, false) => format!("data-{from:#x}"),
        };
        let mut entry = Entry::file(name, Blob::None);
        match corrected(region.get(from..to).unwrap_or_default(), ecc, raw, budget) {
            Ok((content, stats)) => {
                entry.problems = stats.problems();
                entry.blob = Blob::Bytes(content);
                all.add(&stats);
            }
            Err(e) => entry.problems.push(e.into()),
        }
        if sink.entry(entry).is_err() {
            return;
        }
    }
    all.attributes(sink);
}
