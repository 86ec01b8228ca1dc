//! RAR 1.5 to 7: matches in a window with Huffman codes, sound, PPMd, and filters over ranges of what comes out.
//!
//! Contents that were compressed one after another ("solid") are decoded by one [`Unpacker`]: each goes on with the
//! window of those before it. Everything that comes out is kept until the end and is itself the window, so a dictionary
//! takes no memory of its own. Filters are undone afterwards, since matches reach for the bytes before that.
//!
//! Sources: "RAR 5.0 archive format" (rarlab.com/technote.htm); the stream, whose description was not published, by the
//! readers of libarchive (BSD); what is before RAR 2.9, by those of The Unarchiver. Samples of `rar` decide, or where
//! there are none The Unarchiver.

// Tables have a fixed size and are indexed by values below it; positions are those of bytes in memory.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use super::{Error, Output, bits::Bits, copy_match, huffman::Tree};
use crate::{budget::Budget, spool::Buffer};

mod filter;
mod five;
mod model;
mod one;
mod three;
mod two;

pub use filter::Filter;

const fn bad(what: &'static str, at: usize) -> Error {
    Error::Malformed { what, at }
}

/// Which of the four streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// RAR 1.5.
    One,
    /// RAR 2.
    Two,
    /// RAR 2.9 to 4.
    Three,
    /// RAR 5 to 7, with dictionaries of at most 4 GiB.
    Five,
}

/// What a content was decoded to.
#[derive(Debug)]
pub struct Part {
    /// Its bytes among all that came out, with the filters still to be undone.
    pub range: Range<usize>,
    /// To be undone in this order.
    pub filters: Vec<Filter>,
    /// The first thing that was wrong.
    pub error: Option<Error>,
}

impl Part {
    /// Undoes the filters; `content` is what [`range`](Self::range) says.
    ///
    /// # Errors
    /// The first filter that cannot be undone; the others are.
    pub fn filter(&self, content: &mut [u8]) -> Result<(), Error> {
        let mut first = Ok(());
        for filter in &self.filters {
            first = first.and(filter.undo(content));
        }
        first
    }
}

/// Decodes contents one after another.
pub struct Unpacker<'b> {
    window: Window<'b>,
    stream: Stream,
}

enum Stream {
    One(Box<one::One>),
    Two(Box<two::Two>),
    Three(Box<three::Three>),
    Five(Box<five::Five>),
}

impl<'b> Unpacker<'b> {
    /// For contents of at most `max` bytes in all.
    #[must_use]
    pub fn new(generation: Generation, max: usize, budget: &'b Budget) -> Self {
        let out = Output::new(max, budget);
        let window = Window { out, budget, at: 0, start: 0, end: 0 };
        let stream = match generation {
            Generation::One => Stream::One(Box::default()),
            Generation::Two => Stream::Two(Box::default()),
            Generation::Three => Stream::Three(Box::default()),
            Generation::Five => Stream::Five(Box::default()),
        };
        Self { window, stream }
    }

    /// Decodes the next content, of `size` bytes if that is known.
    pub fn content(&mut self, input: &[u8], size: Option<usize>) -> Part {
        let w = &mut self.window;
        w.start = w.at;
        w.end = w.at.saturating_add(size.unwrap_or(usize::MAX));
        let mut filters = Vec::new();
        let result = match &mut self.stream {
            Stream::One(one) => one.content(input, w),
            Stream::Two(two) => two.content(input, w),
            Stream::Three(three) => three.content(input, w, &mut filters),
            Stream::Five(five) => five.content(input, w, &mut filters),
        };
        let short = size.is_some() && w.at < w.end;
        let missing = short.then_some(Error::Truncated { what: "RAR", at: input.len() });
        Part { range: w.start..w.at, filters, error: result.err().or(missing) }
    }

    /// All that came out.
    #[must_use]
    pub fn finish(self) -> Buffer {
        self.window.out.finish(self.window.at)
    }
}

/// What came out so far.
struct Window<'b> {
    out: Output<'b>,
    budget: &'b Budget,
    at: usize,
    /// Where the present content begins, and where it ends.
    start: usize,
    end: usize,
}

impl Window<'_> {
    fn is_full(&self) -> bool {
        self.at >= self.end
    }

    /// Puts a byte; not behind the end of the content.
    #[inline]
    fn literal(&mut self, byte: u8) -> Result<(), Error> {
        if self.at >= self.out.room() {
            self.out.grow()?;
        }
        self.out.buf[self.at] = byte;
        self.at += 1;
        Ok(())
    }

    /// Repeats `len` bytes from `dist` bytes back, as far as the content goes.
    #[inline]
    fn repeat(&mut self, dist: usize, len: usize) -> Result<(), Error> {
        let len = len.min(self.end - self.at);
        if dist == 0 || dist > self.at {
            return Err(bad("a RAR match reaches before the start", self.at));
        }
        while self.out.room() < self.at + len {
            self.out.grow()?;
        }
        copy_match(&mut self.out.buf, self.at, dist, len);
        self.at += len;
        Ok(())
    }
}

/// The last four distances and the last length.
#[derive(Default)]
struct Recent {
    distances: [usize; 4],
    length: usize,
}

impl Recent {
    fn push(&mut self, distance: usize) {
        self.distances.rotate_right(1);
        self.distances[0] = distance;
    }

    /// Moves the distance at `n` to the front.
    fn reuse(&mut self, n: usize) -> usize {
        self.distances[..=n].rotate_right(1);
        self.distances[0]
    }
}

/// Work of making the tables of a block, in bytes looked at.
const TABLES: u64 = 1 << 14;

/// The code of the lengths of other codes: 20 lengths of four bits, of which 15 may be a run of zeros.
fn code_of_lengths(bits: &mut Bits<'_>) -> Result<Tree, Error> {
    let mut lengths = [0; 20];
    let mut n = 0;
    while n < lengths.len() {
        let length = bits.take(4);
        if length == 15 {
            let zeros = bits.take(4);
            if zeros > 0 {
                n += zeros + 2;
                continue;
            }
        }
        lengths[n] = length as u8;
        n += 1;
    }
    Tree::partial(&lengths).ok_or(bad("a RAR code needs more than all bits", bits.consumed()))
}

/// The lengths of other codes, by that code. `adds` is whether a length adds to what it was before.
fn lengths(bits: &mut Bits<'_>, lengths: &mut [u8], adds: bool) -> Result<(), Error> {
    let tree = code_of_lengths(bits)?;
    let mut n = 0;
    while n < lengths.len() {
        let symbol = bits.symbol(&tree).ok_or(bad("no symbol of a RAR code", bits.consumed()))?;
        if bits.is_over() {
            return Err(Error::Truncated { what: "RAR", at: bits.size() });
        }
        if symbol < 16 {
            let before = if adds { lengths[n] } else { 0 };
            lengths[n] = (before + symbol as u8) & 15;
            n += 1;
            continue;
        }
        let count = if symbol % 2 == 0 { bits.take(3) + 3 } else { bits.take(7) + 11 };
        let value = match symbol {
            16 | 17 if n == 0 => {
                return Err(bad("nothing to repeat in a RAR code", bits.consumed()));
            }
            16 | 17 => lengths[n - 1],
            _ => 0,
        };
        let to = (n + count).min(lengths.len());
        lengths[n..to].fill(value);
        n = to;
    }
    Ok(())
}

fn tree(lengths: &[u8], at: usize) -> Result<Tree, Error> {
    Tree::partial(lengths).ok_or(bad("a RAR code needs more than all bits", at))
}

#[cfg(test)]
pub(crate) mod tests;
