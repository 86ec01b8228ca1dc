//! LZ4: frames, and the legacy format that old kernels and `lz4 -l` use.
//!
//! A frame header has a checksum of its own. The legacy format has neither checksum nor end
//! mark: the stream is over at a block that holds less than 8 MiB, at the end of the
//! content, or at a length that no block can have.
//!
//! Source: "LZ4 frame format" 1.6.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::lz4,
    format::{About, Candidate, Family, Format, Magic, Sink},
};

/// LZ4 frames.
pub struct Lz4;

static ABOUT: About = About {
    id: "lz4",
    name: "LZ4 frames",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "header checksum; xxHash32 of blocks and content where the frame has them",
    limits: "frames that need a dictionary of their own",
    sources: &["LZ4 frame format 1.6"],
};

impl Format for Lz4 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"\x04\x22\x4d\x18")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let decoded = lz4::decode_frames(data.get(at..)?, room(budget), budget);
        candidate(at, decoded, Proof::ChecksumVerified)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", "lz4");
        emit(sink, None, Metadata::default(), decoded, || {
            lz4::decode_frames(region, room(budget), budget)
        });
    }
}

/// The legacy format.
pub struct Lz4Legacy;

static LEGACY: About = About {
    id: "lz4-legacy",
    name: "LZ4 legacy",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "none in the format",
    limits: "none",
    sources: &["LZ4 frame format 1.6, legacy frame"],
};

impl Format for Lz4Legacy {
    fn about(&self) -> &'static About {
        &LEGACY
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"\x02\x21\x4c\x18")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let decoded = lz4::decode_legacy(data.get(at..)?, room(budget), budget);
        candidate(at, decoded, Proof::DecoderEnded)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", "lz4");
        emit(sink, None, Metadata::default(), decoded, || {
            lz4::decode_legacy(region, room(budget), budget)
        });
    }
}
