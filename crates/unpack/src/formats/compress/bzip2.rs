//! bzip2: streams that follow each other are one content.
//!
//! False positives: the magic with its block mark is nine bytes; every block has a CRC-32.
//!
//! Source: the bzip2 program and its manual; there is no specification.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::bzip2,
    format::{About, Candidate, Family, Format, Magic, Sink},
};

/// The format.
pub struct Bzip2;

static ABOUT: About = About {
    id: "bzip2",
    name: "bzip2",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "CRC-32 of each block and of the stream",
    limits: "none",
    sources: &["bzip2 1.0.8 manual"],
};

impl Format for Bzip2 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"1AY&SY").after(4), Magic::start(b"BZh")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let stream = data.get(at..)?;
        if !bzip2::is_header(stream) {
            return None;
        }
        let decoded = bzip2::decode(stream, room(budget), budget);
        if let Some(e) = decoded.error.filter(|_| decoded.bytes.is_empty()) {
            // A block comes out whole or not at all, and ten bytes of header are no chance.
            let mut damaged = Candidate::new(at, decoded.consumed.max(10), Proof::MagicOnly);
            damaged.problems.push(e.into());
            return Some(damaged);
        }
        candidate(at, decoded, Proof::ChecksumVerified)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", "bzip2");
        emit(sink, None, Metadata::default(), decoded, || {
            bzip2::decode(region, room(budget), budget)
        });
    }
}
