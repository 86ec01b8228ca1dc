//! Zstandard: frames that follow each other are one content, skippable frames are left out.
//!
//! False positives: a magic of four bytes and a frame that decodes to its end; most frames
//! carry a checksum as well.
//!
//! Source: RFC 8878.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::zstd,
    format::{About, Candidate, Family, Format, Magic, Sink},
};

/// The format.
pub struct Zstd;

static ABOUT: About = About {
    id: "zstd",
    name: "Zstandard",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "xxHash64 of the content where the frame has one",
    limits: "frames that need a dictionary of their own",
    sources: &["RFC 8878"],
};

impl Format for Zstd {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"\x28\xb5\x2f\xfd")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let stream = data.get(at..)?;
        candidate(at, zstd::decode(stream, room(budget), budget), Proof::DecoderEnded)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", "zstd");
        emit(sink, None, Metadata::default(), decoded, || {
            zstd::decode(region, room(budget), budget)
        });
    }
}
