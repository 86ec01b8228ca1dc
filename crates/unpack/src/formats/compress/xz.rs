//! xz: streams of LZMA2 blocks with an index, padding between streams.
//!
//! The end is found by the footer whose index leads back to the start exactly, without
//! decoding; only a stream that is cut off or damaged there is decoded by the probe.
//!
//! Source: "The .xz file format" 1.2.1.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::{packed::Packed, xz},
    format::{About, Candidate, Entry, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Xz;

static ABOUT: About = About {
    id: "xz",
    name: "xz",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "CRC-32 of headers, index and footer; CRC-32, CRC-64 or SHA-256 of each block",
    limits: "filter chains that do not end in LZMA2 (none are defined)",
    sources: &["The .xz file format 1.2.1"],
};

/// Bytes of all whole streams from the start of `data`, and of their content.
fn extent(data: &[u8], budget: &Budget) -> Option<(usize, u64)> {
    let first = xz::extent(data, budget)?;
    let (mut length, mut size) = (first.length, first.size);
    loop {
        let mut next = length;
        while read::array(data, next) == Some([0; 4]) {
            next = next.saturating_add(4);
        }
        // Padding is paid for where a stream follows; without one the walk ends here.
        let Some(more) = data.get(next..).and_then(|d| xz::extent(d, budget)) else {
            return Some((length, size));
        };
        length = next.saturating_add(more.length);
        size = size.saturating_add(more.size);
    }
}

impl Format for Xz {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(xz::MAGIC)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let stream = data.get(at..)?;
        xz::header(stream)?;
        match extent(stream, budget) {
            Some((length, _)) => Some(Candidate::new(at, length, Proof::ChecksumVerified)),
            None => {
                candidate(at, xz::decode(stream, room(budget), budget), Proof::ChecksumVerified)
            }
        }
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", "xz");
        sink.attribute("check", xz::check_name(xz::header(region).unwrap_or(0)));
        match extent(region, budget) {
            Some((_, size)) if decoded.is_none() => {
                let content =
                    Packed { data: region.clone(), decode: xz::decode, size, crc32: None };
                let _ = sink.entry(Entry::file("data", content.blob()));
            }
            _ => emit(sink, None, Metadata::default(), decoded, || {
                xz::decode(region, room(budget), budget)
            }),
        }
    }
}
