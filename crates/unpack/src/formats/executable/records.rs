//! What Intel HEX and S-record have in common: lines that put bytes at addresses.

use std::collections::BTreeMap;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{Blob, Candidate, Entry, Sink},
};

/// What was read of the records of a text.
#[derive(Debug, Default)]
pub struct Records {
    /// Bytes by address.
    pub memory: Memory,
    /// Header text.
    pub name: String,
    /// Where the last record ends.
    pub end: usize,
    /// Records whose checksum is right.
    pub good: usize,
    /// Whether the end record was there.
    pub ended: bool,
    /// Start address.
    pub start: Option<u64>,
    /// Records whose checksum is wrong.
    pub problems: Vec<Problem>,
}

impl Records {
    /// The candidate from `at` on; none below two good records, or with more bad ones than good.
    #[must_use]
    pub fn candidate(self, at: usize) -> Option<Candidate> {
        if self.good < 2 || self.problems.len() > self.good {
            return None;
        }
        let proof = if self.ended { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut candidate = Candidate::new(at, self.end.checked_sub(at)?, proof);
        candidate.problems = self.problems;
        if !self.ended {
            let message = "the text ends, or stops being records, before the end record";
            candidate.problems.push(Problem::new(ProblemKind::Truncated, message));
        }
        Some(candidate)
    }

    /// Attributes, and an entry for each run of adjacent bytes.
    pub fn emit(self, sink: &mut Sink<'_>) {
        if let Some(start) = self.start {
            sink.attribute("entry-point", format!("{start:#x}"));
        }
        if !self.name.is_empty() {
            sink.attribute("name", &self.name);
        }
        sink.attribute("integrity", "crc");
        sink.attribute("integrity-algorithm", "sum8");
        let right = if self.problems.is_empty() { "yes" } else { "no" };
        sink.attribute("integrity-correct", right);
        self.memory.emit(sink);
    }
}

/// Bytes at addresses, merged into runs.
#[derive(Debug, Default)]
pub struct Memory {
    runs: BTreeMap<u64, Vec<u8>>,
    last: Option<u64>,
}

impl Memory {
    /// Puts `bytes` at `address`. What overlaps an earlier run starts a run of its own.
    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        if let Some(start) = self.last
            && let Some(run) = self.runs.get_mut(&start)
            && start.checked_add(run.len() as u64) == Some(address)
        {
            run.extend_from_slice(bytes);
            return;
        }
        let run = self.runs.entry(address).or_default();
        if run.len() <= bytes.len() {
            bytes.clone_into(run);
        }
        self.last = Some(address);
    }

    /// An entry per run of adjacent bytes, named by its address.
    fn emit(self, sink: &mut Sink<'_>) {
        let mut merged: Vec<(u64, Vec<u8>)> = Vec::new();
        for (start, bytes) in self.runs {
            match merged.last_mut() {
                Some((at, run)) if at.checked_add(run.len() as u64) == Some(start) => {
                    run.extend(bytes)
                }
                _ => merged.push((start, bytes)),
            }
        }
        for (start, bytes) in merged {
            if sink.entry(Entry::file(format!("{start:#010x}"), Blob::Bytes(bytes.into()))).is_err()
            {
                return;
            }
        }
    }
}

/// The bytes of a line of hexadecimal digits.
#[must_use]
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|n| u8::try_from(n).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// A line and the offset after its line end; no line ends later than 600 bytes on.
#[must_use]
pub fn line(data: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = data.get(at..)?;
    let window = rest.get(..rest.len().min(600))?;
    let end = window
        .iter()
        .position(|b| matches!(b, b'\r' | b'\n'))
        .or((window.len() < 600).then_some(window.len()))?;
    let line = window.get(..end)?;
    let ends = window.get(end..)?.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count().min(2);
    // A file with CR LF has two bytes of line end, one with LF only must not swallow an empty line.
    let ends = if window.get(end..)?.starts_with(b"\r\n") { ends } else { ends.min(1) };
    Some((line, at.checked_add(end)?.checked_add(ends)?))
}

/// Pays for decoding `region`, or records why not.
pub fn pay(region: &Bytes, budget: &Budget, sink: &mut Sink<'_>) -> bool {
    match budget.output(region.len() as u64) {
        Ok(()) => true,
        Err(e) => {
            sink.problem(e);
            false
        }
    }
}

/// A record whose checksum is wrong.
#[must_use]
pub fn bad_sum(at: usize) -> Problem {
    Problem::new(ProblemKind::Checksum, "the checksum of a record does not match").at(at as u64)
}
