//! lzip: members of LZMA with fixed properties, a CRC-32 and sizes behind each.
//!
//! Source: draft-diaz-lzip-09; lzip manual.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::{Decoded, Error, check, lzma},
    format::{About, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Lzip;

static ABOUT: About = About {
    id: "lzip",
    name: "lzip",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "CRC-32, size and member size",
    limits: "version 0 files",
    sources: &["draft-diaz-lzip-09"],
};

const PROPS: lzma::Props = lzma::Props { lc: 3, lp: 0, pb: 2 };

fn decode(data: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut all = Decoded::default();
    while let Some(rest) = data.get(all.consumed..).filter(|d| d.starts_with(b"LZIP\x01")) {
        let at = all.consumed;
        let body = rest.get(6..).unwrap_or_default();
        let part = lzma::decode_raw(body, PROPS, None, max.saturating_sub(all.bytes.len()), budget);
        let end = part.consumed.saturating_add(6);
        all.consumed = at.saturating_add(end).min(data.len());
        let wrong = match read::slice(rest, end, 20) {
            _ if part.error.is_some() => part.error,
            None => {
                all.consumed = data.len();
                Some(Error::Truncated { what: "lzip", at: data.len() })
            }
            Some(trailer) => {
                all.consumed = all.consumed.saturating_add(20);
                let right = read::le32(trailer, 0) == Some(check::crc32(&part.bytes))
                    && read::le64(trailer, 4) == Some(part.bytes.len() as u64)
                    && read::le64(trailer, 12) == Some(end.saturating_add(20) as u64);
                (!right)
                    .then_some(Error::Checksum { what: "lzip trailer", at: at.saturating_add(end) })
            }
        };
        all.bytes.append(&part.bytes, budget.spool());
        all.error = all.error.or(wrong);
        if part.error.is_some() {
            break;
        }
    }
    if all.consumed == 0 {
        all.error = Some(Error::Malformed { what: "no lzip header", at: 0 });
    }
    all
}

impl Format for Lzip {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"LZIP\x01")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        candidate(at, decode(data.get(at..)?, room(budget), budget), Proof::ChecksumVerified)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", "lzma");
        emit(sink, None, Metadata::default(), decoded, || decode(region, room(budget), budget));
    }
}
