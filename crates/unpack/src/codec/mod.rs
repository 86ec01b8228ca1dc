//! Decoders shared by several formats: bytes in memory to bytes in memory,
//! within a given output bound, in safe code.
//!
//! Every decoder takes the input, the largest output it may make, and the
//! [`Budget`] that pays for the output before it is allocated. It gives back
//! [`Decoded`]: what came out, how much of the input it used, and the first
//! thing that was wrong. What could be decoded is always kept.

use proofmark_model::{Problem, ProblemKind};

use crate::{
    budget::{Budget, Exhausted},
    spool::Buffer,
};

pub mod adc;
pub mod aes;
pub mod arc;
pub mod bch;
pub mod bcj;
pub mod bcj2;
pub mod bits;
pub mod blake2sp;
pub mod bzip2;
pub mod check;
pub mod deflate;
pub mod huffman;
pub mod larc;
pub mod lh3;
pub mod lz4;
pub mod lzfse;
pub mod lzh;
pub mod lzhuf;
pub mod lzma;
pub mod lzma2;
pub mod lzo;
pub mod lzw;
pub mod lzx;
pub mod packed;
pub mod pkzip;
pub mod ppmd;
pub mod prefix;
pub mod quantum;
pub mod rar;
pub mod runs;
pub mod stuffit;
pub mod ucl;
pub mod wim;
pub(crate) mod window;
pub mod xpress;
pub mod xz;
pub mod zstd;

/// What a decoder made of its input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The decoded bytes, as far as they could be decoded.
    pub bytes: Buffer,
    /// Bytes of input that belong to the stream, as far as it could be followed.
    pub consumed: usize,
    /// The first thing that was wrong; none for a stream that is whole.
    pub error: Option<Error>,
}

impl Decoded {
    /// The decoded bytes, in memory, and the input used, if nothing was wrong.
    ///
    /// # Errors
    /// The first thing that was wrong; the partial output is dropped.
    pub fn whole(self) -> Result<(Vec<u8>, usize), Error> {
        match self.error {
            None => Ok((self.bytes.into(), self.consumed)),
            Some(e) => Err(e),
        }
    }

    /// Nothing decoded, because of `error`.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

/// Why a decoder stopped, or what it found wrong on its way. Positions are bytes of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input ends before the stream does.
    #[error("the {what} stream is cut off after {at} bytes")]
    Truncated {
        /// The kind of stream.
        what: &'static str,
        /// Bytes of input that were there.
        at: usize,
    },
    /// The stream contradicts its own rules.
    #[error("{what} (byte {at} of the stream)")]
    Malformed {
        /// What was found.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A checksum over decoded or compressed bytes is not right.
    #[error("the {what} does not match (byte {at} of the stream)")]
    Checksum {
        /// Which checksum.
        what: &'static str,
        /// Where it stands.
        at: usize,
    },
    /// A variant that is known but not decoded.
    #[error("{what} is not supported (byte {at} of the stream)")]
    Unsupported {
        /// Which variant.
        what: &'static str,
        /// Where it was asked for.
        at: usize,
    },
    /// More came out than the caller allowed.
    #[error("the stream holds more than the {max} bytes that were allowed")]
    Limit {
        /// The bound.
        max: usize,
    },
    /// The budget ran out.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

impl Error {
    /// The same with its place `by` bytes later.
    #[must_use]
    pub fn moved(self, by: usize) -> Self {
        match self {
            Self::Truncated { what, at } => Self::Truncated { what, at: at.saturating_add(by) },
            Self::Malformed { what, at } => Self::Malformed { what, at: at.saturating_add(by) },
            Self::Checksum { what, at } => Self::Checksum { what, at: at.saturating_add(by) },
            Self::Unsupported { what, at } => Self::Unsupported { what, at: at.saturating_add(by) },
            other => other,
        }
    }
}

impl From<Error> for Problem {
    fn from(e: Error) -> Self {
        let (kind, at) = match e {
            Error::Truncated { at, .. } => (ProblemKind::Truncated, Some(at)),
            Error::Malformed { at, .. } => (ProblemKind::Malformed, Some(at)),
            Error::Checksum { at, .. } => (ProblemKind::Checksum, Some(at)),
            Error::Unsupported { at, .. } => (ProblemKind::Unsupported, Some(at)),
            Error::Limit { .. } | Error::Exhausted(_) => (ProblemKind::Budget, None),
        };
        let problem = Problem::new(kind, e.to_string());
        match at {
            Some(at) => problem.at(at as u64),
            None => problem,
        }
    }
}

/// Output that grows as it is paid for, with a little room behind the end so that
/// decoders may copy in steps of 16 bytes.
pub(crate) struct Output<'b> {
    /// Paid bytes and [`Output::SLACK`] more.
    pub buf: Buffer,
    paid: usize,
    max: usize,
    budget: &'b Budget,
}

impl<'b> Output<'b> {
    /// Bytes behind the paid part that may be overwritten with anything.
    pub const SLACK: usize = 32;
    /// Smallest and largest step of growth.
    const STEP: (usize, usize) = (1 << 16, 1 << 22);

    /// An empty output of at most `max` bytes.
    pub fn new(max: usize, budget: &'b Budget) -> Self {
        Self { buf: vec![0; Self::SLACK].into(), paid: 0, max, budget }
    }

    /// Bytes that may be written now.
    pub fn room(&self) -> usize {
        self.paid
    }

    /// Largest number of bytes this output may ever hold.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Makes room for exactly `len` bytes in all.
    pub fn reserve(&mut self, len: usize) -> Result<(), Error> {
        if len > self.max {
            return Err(Error::Limit { max: self.max });
        }
        if let Some(more) = len.checked_sub(self.paid).filter(|m| *m > 0) {
            self.budget.output(more as u64)?;
            self.paid = len;
            self.buf.resize(len.saturating_add(Self::SLACK), self.budget.spool());
        }
        Ok(())
    }

    /// Makes room for `len` bytes in all if they are allowed: for a length that was declared and may be a lie.
    pub fn expect(&mut self, len: usize) -> Result<(), Error> {
        let more = len.saturating_sub(self.paid) as u64;
        if len > self.max || more > self.budget.output_left() { Ok(()) } else { self.reserve(len) }
    }

    /// Makes more room, in steps that grow with the output; fails where not one more byte is allowed.
    pub fn grow(&mut self) -> Result<(), Error> {
        let step = self.paid.clamp(Self::STEP.0, Self::STEP.1);
        let left = usize::try_from(self.budget.output_left()).unwrap_or(usize::MAX);
        let step = step.min(self.max.saturating_sub(self.paid)).min(left.max(1));
        if step == 0 {
            return Err(Error::Limit { max: self.max });
        }
        self.reserve(self.paid.saturating_add(step))
    }

    /// The first `len` bytes as result.
    pub fn finish(mut self, len: usize) -> Buffer {
        self.buf.truncate(len.min(self.paid));
        self.buf
    }
}

/// Copies `len` bytes from `dist` bytes back to `at`, where source and target may overlap.
///
/// The caller has checked `1 <= dist <= at` and `at + len + SLACK <= out.len()`.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
pub(crate) fn copy_match(out: &mut [u8], at: usize, dist: usize, len: usize) {
    let from = at - dist;
    // One check of the bounds for all steps.
    let window = &mut out[from..at + len + 16];
    if dist >= 16 {
        let mut step = 0;
        loop {
            window.copy_within(step..step + 16, dist + step);
            step += 16;
            if step >= len {
                break;
            }
        }
    } else if dist == 1 {
        let byte = window[0];
        window[1..=len].fill(byte);
    } else if len <= 32 {
        for i in dist..dist + len {
            window[i] = window[i - dist];
        }
    } else {
        // Whole repetitions, as many as fit into one step.
        let mut pattern = [0; 16];
        for (to, from) in pattern.iter_mut().zip(window[..dist].iter().cycle()) {
            *to = *from;
        }
        for step in (dist..dist + len).step_by(16 - 16 % dist) {
            window[step..step + 16].copy_from_slice(&pattern);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_of_all_distances_and_lengths_are_copied() {
        let start: Vec<u8> = (0..100u8).map(|n| n.wrapping_mul(97)).collect();
        for dist in 1..=start.len() {
            for len in 0..=150 {
                let mut out = start.clone();
                out.resize(start.len() + len + Output::SLACK, 0xAA);
                copy_match(&mut out, start.len(), dist, len);
                let mut want = start.clone();
                (0..len).for_each(|_| want.push(want[want.len() - dist]));
                assert_eq!(out[..want.len()], want, "{dist} {len}");
            }
        }
    }
}
