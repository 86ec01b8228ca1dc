//! A content that is one zlib stream. Its header is two bytes, so it is looked for at the
//! start of a content only, and must decode to its end with a right Adler-32.
//!
//! Source: RFC 1950.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::deflate,
    format::{About, Candidate, Family, Format, Magic, Sink},
};

/// The format.
pub struct Zlib;

static ABOUT: About = About {
    id: "zlib",
    name: "zlib",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "Adler-32 of the content",
    limits: "streams with a preset dictionary; only at the start of a content",
    sources: &["RFC 1950"],
};

impl Format for Zlib {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const {
            &[
                Magic::start(b"\x78\x01"),
                Magic::start(b"\x78\x5e"),
                Magic::start(b"\x78\x9c"),
                Magic::start(b"\x78\xda"),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let stream = data.get(at..)?;
        candidate(at, deflate::zlib(stream, room(budget), budget), Proof::ChecksumVerified)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", "deflate");
        emit(sink, None, Metadata::default(), decoded, || {
            deflate::zlib(region, room(budget), budget)
        });
    }
}
