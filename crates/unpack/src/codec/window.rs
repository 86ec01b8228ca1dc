//! Output of decoders that repeat what came before, for streams whose size is known.

use super::{Decoded, Error, Output, copy_match};
use crate::budget::Budget;

/// Bytes that came out so far, and a bound on how many there may be.
pub(crate) struct Window<'b> {
    out: Output<'b>,
    at: usize,
    size: usize,
    /// What lies before the first byte.
    fill: u8,
}

// Places are below `at`, which is at most `size`; each place is looked up where it was checked.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
impl<'b> Window<'b> {
    /// Room for `size` bytes, with `fill` before the first.
    pub fn new(size: usize, fill: u8, budget: &'b Budget) -> Self {
        Self { out: Output::new(size, budget), at: 0, size, fill }
    }

    /// Bytes so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.at
    }

    /// Whether all bytes are there.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.at >= self.size
    }

    /// The byte `dist` before the end.
    #[inline]
    pub fn back(&self, dist: usize) -> u8 {
        match self.at.checked_sub(dist) {
            Some(at) if dist > 0 => self.out.buf[at],
            _ => self.fill,
        }
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.out.buf[..self.at]
    }

    fn room(&mut self, more: usize) -> Result<(), Error> {
        let end = self.at + more;
        while self.out.room() < end {
            self.out.grow()?;
        }
        Ok(())
    }

    /// Adds a byte.
    #[inline]
    pub fn push(&mut self, byte: u8) -> Result<(), Error> {
        if self.at >= self.out.room() {
            self.out.grow()?;
        }
        self.out.buf[self.at] = byte;
        self.at += 1;
        Ok(())
    }

    /// Adds as many of `bytes` as there is room for.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = bytes.len().min(self.size - self.at);
        self.room(len)?;
        self.out.buf[self.at..self.at + len].copy_from_slice(&bytes[..len]);
        self.at += len;
        Ok(())
    }

    /// Adds zeros up to the place `end`, or as many as there is room for.
    pub fn zeros(&mut self, end: usize) -> Result<(), Error> {
        let end = end.min(self.size).max(self.at);
        self.room(end - self.at)?;
        self.out.buf[self.at..end].fill(0);
        self.at = end;
        Ok(())
    }

    /// Adds `len` bytes from `dist` before the end on, or as many as there is room for. What lies before the first
    /// byte is fill.
    #[inline]
    pub fn repeat(&mut self, dist: usize, len: usize) -> Result<(), Error> {
        let len = len.min(self.size - self.at);
        self.room(len)?;
        let mut left = len;
        while left > 0 && (dist > self.at || dist == 0) {
            self.out.buf[self.at] = self.fill;
            self.at += 1;
            left -= 1;
        }
        if left > 0 {
            copy_match(&mut self.out.buf, self.at, dist, left);
            self.at += left;
        }
        Ok(())
    }

    /// As [`repeat`](Self::repeat), for formats in which nothing lies before the first byte.
    #[inline]
    pub fn repeat_own(&mut self, dist: usize, len: usize, at: usize) -> Result<(), Error> {
        if dist == 0 || dist > self.at {
            return Err(Error::Malformed { what: "a match reaches before the start", at });
        }
        self.repeat(dist, len)
    }

    /// The result.
    pub fn finish(self, consumed: usize, error: Option<Error>) -> Decoded {
        Decoded { bytes: self.out.finish(self.at), consumed, error }
    }
}
