//! LZW streams of `compress` (.Z).
//!
//! The format has no length and no end mark: a stream reaches to the first code that cannot
//! occur or to the end of the content. So only one that reaches the end of the content is
//! *decoder ended*; one that stops before is reported with a problem, since its last codes
//! may be bytes of something else.
//!
//! Source: compress 4.0.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::lzw,
    format::{About, Candidate, Family, Format, Magic, Sink},
};

/// The format.
pub struct Compress;

static ABOUT: About = About {
    id: "compress",
    name: "compress (.Z)",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "none in the format",
    limits: "the end of a stream inside other bytes cannot be known exactly",
    sources: &["compress 4.0"],
};

impl Format for Compress {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const {
            &[
                Magic::anywhere(b"\x1f\x9d\x90"),
                Magic::start(b"\x1f\x9d\x89"),
                Magic::start(b"\x1f\x9d\x8a"),
                Magic::start(b"\x1f\x9d\x8b"),
                Magic::start(b"\x1f\x9d\x8c"),
                Magic::start(b"\x1f\x9d\x8d"),
                Magic::start(b"\x1f\x9d\x8e"),
                Magic::start(b"\x1f\x9d\x8f"),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let decoded = lzw::decode(data.get(at..)?, room(budget), budget);
        // Text that starts with a byte each: shorter runs decode by chance.
        if at > 0 && decoded.bytes.len() < super::DAMAGED_MIN || decoded.bytes.is_empty() {
            return None;
        }
        candidate(at, decoded, Proof::DecoderEnded)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", "lzw");
        emit(sink, None, Metadata::default(), decoded, || {
            lzw::decode(region, room(budget), budget)
        });
    }
}
