//! Compressed streams: containers with one entry. Most have no length field, so the
//! probe decodes to find the end and hands the content on.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use crate::{
    budget::Budget,
    codec::{Decoded, Error},
    format::{Blob, Candidate, Entry, Format, Sink},
};

mod bzip2;
pub mod framed;
mod gzip;
mod lz4;
mod lzfse;
mod lzip;
mod lzma;
mod lzop;
mod lzw;
mod xz;
mod zlib;
mod zstd;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &bzip2::Bzip2,
    &framed::ARCADYAN,
    &framed::QCA,
    &framed::QNX,
    &framed::XALZ,
    &gzip::Gzip,
    &lz4::Lz4,
    &lz4::Lz4Legacy,
    &lzfse::FORMAT,
    &lzip::Lzip,
    &lzma::Lzma,
    &lzop::Lzop,
    &lzw::Compress,
    &xz::Xz,
    &zlib::Zlib,
    &zstd::Zstd,
];

/// Content that a damaged stream must yield before it is told from chance: bit sequences that decode by
/// accident run into an impossible code long before.
const DAMAGED_MIN: usize = 1024;

/// All that the budget of a probe allows.
fn room(budget: &Budget) -> usize {
    usize::try_from(budget.output_left()).unwrap_or(usize::MAX)
}

/// The candidate for a stream at `at` that decoding made this of; `proof` if it is whole.
fn candidate(at: usize, decoded: Decoded, proof: Proof) -> Option<Candidate> {
    let Decoded { bytes, consumed, error } = decoded;
    if consumed == 0 {
        return None;
    }
    let mut found = Candidate::new(at, consumed, proof);
    match error {
        None => found.decoded = Some(bytes.into()),
        // The content is kept out, so that opening decodes again and puts the problem on the content.
        Some(e) => {
            let ended = matches!(e, Error::Checksum { .. } | Error::Unsupported { .. });
            if !ended && bytes.len() < DAMAGED_MIN {
                return None;
            }
            found.proof = if ended { Proof::DecoderEnded } else { Proof::MagicOnly };
            found.problems.push(e.into());
        }
    }
    Some(found)
}

/// Puts the one entry of a stream: `decoded` by the probe, or decoded now.
fn emit(
    sink: &mut Sink<'_>,
    name: Option<Vec<u8>>,
    metadata: Metadata,
    decoded: Option<Bytes>,
    decode: impl FnOnce() -> Decoded,
) {
    let name = name.filter(|n| !n.is_empty()).unwrap_or_else(|| b"data".to_vec());
    let mut entry = Entry::file(name, Blob::None);
    entry.metadata = metadata;
    entry.blob = Blob::Bytes(match decoded {
        Some(bytes) => bytes,
        None => {
            let again = decode();
            entry.problems.extend(again.error.map(Into::into));
            again.bytes.into()
        }
    });
    // An entry that the budget refuses is recorded by the sink.
    let _ = sink.entry(entry);
}
