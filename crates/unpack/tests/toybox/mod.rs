//! Toybox: an archive made up to show how a format is added, and to test the engine.
//!
//! **Layout**, integers little-endian:
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 8 | `TOYBOX`, 0, 1 |
//! | 8 | 4 | bytes of the whole archive |
//! | 12 | 4 | number of entries |
//!
//! then for each entry: kind (1 byte: 0 stored, 1 one byte repeated), length of the name (2), length of
//! the content (4), the name, and the content or the byte.

#![allow(dead_code, reason = "each test crate uses a part of it")]

pub mod encode;

use std::sync::Arc;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};
use proofmark_unpack::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Load, Loaded, Magic, Sink},
    read,
};

/// The format.
pub struct Toybox;

static ABOUT: About = About {
    id: "toybox",
    name: "Toybox archive",
    family: Family::Archive,
    revision: 1,
    metadata: "none",
    integrity: "length of the archive against its entries",
    limits: "none",
    sources: &["docs/adding-a-format.md"],
};

static MAGICS: &[Magic] = &[Magic::anywhere(b"TOYBOX\0\x01")];

const HEADER: usize = 16;
const ENTRY: usize = 7;

/// An entry's header, where its name begins, and where the next entry begins.
struct Header {
    repeated: bool,
    size: usize,
    name: usize,
    content: usize,
    next: usize,
}

impl Header {
    /// The header at `at`, if it is there and makes sense.
    fn read(data: &[u8], at: usize) -> Option<Self> {
        let repeated = match read::u8(data, at)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let name_len = usize::from(read::le16(data, at.checked_add(1)?)?);
        let size = read::index(read::le32(data, at.checked_add(3)?)?.into())?;
        let name = at.checked_add(ENTRY)?;
        let content = name.checked_add(name_len)?;
        let next = content.checked_add(if repeated { 1 } else { size })?;
        Some(Self { repeated, size, name, content, next })
    }
}

impl Format for Toybox {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let declared = read::index(read::le32(data, at.checked_add(8)?)?.into())?;
        let count = read::le32(data, at.checked_add(12)?)?;
        let mut next = at.checked_add(HEADER)?;
        let mut complete = true;
        for _ in 0..count {
            // Each step is paid for, so a count of four billion costs what the budget allows.
            budget.work(ENTRY as u64).ok()?;
            match Header::read(data, next) {
                Some(header) if header.next <= data.len() => next = header.next,
                _ => {
                    complete = false;
                    break;
                }
            }
        }
        let walked = next.checked_sub(at)?;
        if complete && walked == declared {
            return Some(Candidate::new(at, walked, Proof::DecoderEnded));
        }
        // A header whose first entry does not even make sense is chance.
        if walked == HEADER {
            return None;
        }
        let mut candidate = Candidate::new(at, walked, Proof::LengthsConsistent);
        candidate.problems.push(Problem::new(
            ProblemKind::Truncated,
            format!("declares {declared} bytes, {walked} can be read"),
        ));
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        let count = read::le32(region, 12).unwrap_or(0);
        let mut at = HEADER;
        for found in 0..count {
            let Some(header) = Header::read(region, at).filter(|h| h.next <= region.len()) else {
                sink.problem(Problem::new(
                    ProblemKind::Incomplete,
                    format!("{count} entries are declared, {found} were found"),
                ));
                return;
            };
            let blob = if header.repeated {
                let byte = read::u8(region, header.content).unwrap_or(0);
                Blob::Lazy(Arc::new(Run { byte, size: header.size }))
            } else {
                Blob::Bytes(region.slice(header.content..header.next))
            };
            let name = region.slice(header.name..header.content).to_vec();
            if sink.entry(Entry::file(name, blob)).is_err() {
                return;
            }
            at = header.next;
        }
        sink.attribute("entries", count);
    }
}

/// One byte repeated, made when it is asked for.
struct Run {
    byte: u8,
    size: usize,
}

impl Load for Run {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn load(&self, budget: &Budget) -> Loaded {
        match budget.output(self.size as u64) {
            Ok(()) => Loaded { bytes: vec![self.byte; self.size].into(), problems: Vec::new() },
            Err(e) => Loaded { bytes: Bytes::new(), problems: vec![e.into()] },
        }
    }
}
