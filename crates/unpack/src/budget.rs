//! Bounds on what one reader may do. Input is hostile; every loop over input
//! pays from a budget, and running out is a reported outcome.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use proofmark_model::{Problem, ProblemKind};

/// A bound was reached; the reader stops where it is and keeps what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// Too many bytes came out.
    #[error("the budget of bytes decoded from this artifact is used up")]
    Output,
    /// Too many entries.
    #[error("the budget of entries in this artifact is used up")]
    Entries,
    /// Too much work for the size of the input.
    #[error("the budget of work on this artifact is used up")]
    Work,
    /// Out of time.
    #[error("the time for this image is used up")]
    Time,
}

impl From<Exhausted> for Problem {
    fn from(e: Exhausted) -> Self {
        Problem::new(ProblemKind::Budget, e.to_string())
    }
}

/// What one probe, one open or one load may use. A budget belongs to one
/// artifact, so that what it cuts off does not depend on other threads.
#[derive(Debug)]
pub struct Budget {
    output: AtomicU64,
    entries: AtomicU64,
    work: AtomicU64,
    deadline: Option<Instant>,
}

/// Takes `n` from `counter`, or nothing if less is left.
fn take(counter: &AtomicU64, n: u64) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(n)).is_ok()
}

impl Budget {
    /// `output` bytes, `entries` entries, `work` steps (a step is about one byte looked at), and a deadline.
    #[must_use]
    pub fn new(output: u64, entries: u64, work: u64, deadline: Option<Instant>) -> Self {
        Self { output: output.into(), entries: entries.into(), work: work.into(), deadline }
    }

    /// Generous bounds for tests and small tools: 1 GiB out, a million entries.
    #[must_use]
    pub fn ample() -> Self {
        Self::new(1 << 30, 1_000_000, 1 << 36, None)
    }

    /// Pays for `n` bytes about to be produced. Call before allocating them.
    ///
    /// # Errors
    /// [`Exhausted::Output`] or [`Exhausted::Time`].
    pub fn output(&self, n: u64) -> Result<(), Exhausted> {
        if take(&self.output, n) { self.time() } else { Err(Exhausted::Output) }
    }

    /// Bytes that may still be produced.
    #[must_use]
    pub fn output_left(&self) -> u64 {
        self.output.load(Ordering::Relaxed)
    }

    /// Pays for one entry.
    ///
    /// # Errors
    /// [`Exhausted::Entries`].
    pub fn entry(&self) -> Result<(), Exhausted> {
        if take(&self.entries, 1) { Ok(()) } else { Err(Exhausted::Entries) }
    }

    /// Pays for `n` steps of work (bytes scanned, nodes visited times their size, ...).
    ///
    /// # Errors
    /// [`Exhausted::Work`] or [`Exhausted::Time`].
    pub fn work(&self, n: u64) -> Result<(), Exhausted> {
        if take(&self.work, n) { self.time() } else { Err(Exhausted::Work) }
    }

    fn time(&self) -> Result<(), Exhausted> {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => Err(Exhausted::Time),
            _ => Ok(()),
        }
    }
}
