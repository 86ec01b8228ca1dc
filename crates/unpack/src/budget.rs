//! Bounds on what one reader may do. Input is hostile; every loop over input
//! pays from a budget, and running out is a reported outcome.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use proofmark_model::{Problem, ProblemKind};

use crate::{keys::Keyring, spool::Spool};

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

/// What one probe, one open or one load may use: work, output, entries, time, and the keys it was given. A budget
/// belongs to one artifact, so that what it cuts off does not depend on other threads.
#[derive(Debug)]
pub struct Budget {
    output: AtomicU64,
    entries: AtomicU64,
    work: AtomicU64,
    deadline: Option<Instant>,
    /// Whether output was ever refused.
    output_refused: AtomicBool,
    keys: Arc<Keyring>,
    spool: Option<Spool>,
    searches: Mutex<Vec<Search>>,
}

/// A search that was made: between `from` and `found` (or the end) the bytes do not occur. Addresses in memory.
#[derive(Debug, Clone, Copy)]
struct Search {
    end: usize,
    needle: &'static [u8],
    from: usize,
    found: Option<usize>,
}

/// Payments below this are not worth a look at the clock each.
const CLOCK_EVERY: u64 = 1 << 16;

/// Takes `n` from `counter`, or nothing if less is left; what was there before.
fn take(counter: &AtomicU64, n: u64) -> Option<u64> {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(n)).ok()
}

impl Budget {
    /// `output` bytes, `entries` entries, `work` steps (a step is about one byte looked at), and a deadline.
    #[must_use]
    pub fn new(output: u64, entries: u64, work: u64, deadline: Option<Instant>) -> Self {
        Self {
            output: output.into(),
            entries: entries.into(),
            work: work.into(),
            deadline,
            output_refused: AtomicBool::new(false),
            keys: Arc::default(),
            spool: None,
            searches: Mutex::default(),
        }
    }

    /// The first place of `needle` at or after `from` in `content`, which is the content this budget belongs to or
    /// a tail of it. Remembered: probes that go forward through a content search each byte once, and pay for it once.
    ///
    /// # Errors
    /// [`Exhausted::Work`] or [`Exhausted::Time`].
    pub fn find(
        &self,
        content: &[u8],
        needle: &'static [u8],
        from: usize,
    ) -> Result<Option<usize>, Exhausted> {
        let start = content.as_ptr().addr();
        let Some(rest) = content.get(from..) else { return Ok(None) };
        let (begin, end) = (start.wrapping_add(from), start.wrapping_add(content.len()));
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        let known = searches.iter().position(|s| s.end == end && s.needle == needle);
        if let Some(s) = known.and_then(|at| searches.get(at))
            && s.from <= begin
            && s.found.is_none_or(|found| begin <= found)
        {
            return Ok(s.found.map(|found| found.wrapping_sub(start)));
        }
        let step = memchr::memmem::find(rest, needle);
        self.work(step.unwrap_or(rest.len()) as u64)?;
        let found = step.map(|step| begin.wrapping_add(step));
        let search = Search { end, needle, from: begin, found };
        match known.and_then(|at| searches.get_mut(at)) {
            Some(old) => *old = search,
            None => searches.push(search),
        }
        Ok(found.map(|found| found.wrapping_sub(start)))
    }

    /// With these keys for encrypted containers.
    #[must_use]
    pub fn with_keys(mut self, keys: &Arc<Keyring>) -> Self {
        self.keys = Arc::clone(keys);
        self
    }

    /// With room on the disk for large outputs.
    #[must_use]
    pub fn with_spool(mut self, spool: Option<&Spool>) -> Self {
        self.spool = spool.cloned();
        self
    }

    /// Where large outputs go, if not into memory.
    #[must_use]
    pub fn spool(&self) -> Option<&Spool> {
        self.spool.as_ref()
    }

    /// The keys that may be tried.
    #[must_use]
    pub fn keys(&self) -> &Keyring {
        &self.keys
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
        match take(&self.output, n) {
            Some(before) => self.time(before, n),
            None => {
                self.output_refused.store(true, Ordering::Relaxed);
                Err(Exhausted::Output)
            }
        }
    }

    /// Whether [`output`](Self::output) ever said no.
    #[must_use]
    pub fn output_was_refused(&self) -> bool {
        self.output_refused.load(Ordering::Relaxed)
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
        take(&self.entries, 1).map(drop).ok_or(Exhausted::Entries)
    }

    /// Pays for `n` steps of work (bytes scanned, nodes visited times their size, ...).
    ///
    /// # Errors
    /// [`Exhausted::Work`] or [`Exhausted::Time`].
    pub fn work(&self, n: u64) -> Result<(), Exhausted> {
        take(&self.work, n).map_or(Err(Exhausted::Work), |before| self.time(before, n))
    }

    /// Steps that may still be taken.
    #[must_use]
    pub fn work_left(&self) -> u64 {
        self.work.load(Ordering::Relaxed)
    }

    /// Looks at the clock when a payment of `n` takes a counter from `before` across a multiple of [`CLOCK_EVERY`].
    fn time(&self, before: u64, n: u64) -> Result<(), Exhausted> {
        let crossed = before / CLOCK_EVERY != before.saturating_sub(n) / CLOCK_EVERY;
        match self.deadline {
            Some(deadline) if crossed && Instant::now() > deadline => Err(Exhausted::Time),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_searched_once_whoever_asks() {
        let mut content = vec![b'.'; 1000];
        content.splice(600..603, *b"END");
        let budget = Budget::new(0, 0, 2000, None);
        for from in [0, 10, 400, 600] {
            assert_eq!(budget.find(&content, b"END", from), Ok(Some(600)));
            let tail = content.get(from..).unwrap_or_default();
            assert_eq!(budget.find(tail, b"END", 0), Ok(600_usize.checked_sub(from)));
        }
        assert_eq!(budget.work_left(), 1400);
        for from in [601, 700, 999, 1000] {
            assert_eq!(budget.find(&content, b"END", from), Ok(None));
        }
        assert_eq!(budget.work_left(), 1001);
        assert_eq!(budget.find(&content, b"..", 500), Ok(Some(500)));
        assert_eq!(budget.find(&content, b"END", 1001), Ok(None));
        assert_eq!(budget.find(&content, b"#", 0), Ok(None));
        assert_eq!(budget.find(&content, b"+", 0), Err(Exhausted::Work));
    }
}
