//! LZMA streams with the 13-byte header of `.lzma` files.
//!
//! There is no magic: the header must have legal properties, a dictionary of 2^n or
//! 2^n + 2^(n-1) bytes, a believable size, and a first stream byte of zero. Then the
//! stream is decoded. That it ends with the range coder at rest or with an end marker
//! is as good as 32 bits of checksum, so a whole stream counts as *decoder ended*
//! whatever its size. A stream that stops otherwise counts only after 16 KiB of
//! content, with the weakest proof.
//!
//! False negatives: properties other than lc + lp <= 4 with pb = 2.
//!
//! Source: LZMA SDK, `lzma-specification.txt` (public domain).

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::{Error, lzma},
    format::{About, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Lzma;

static ABOUT: About = About {
    id: "lzma",
    name: "LZMA (.lzma)",
    family: Family::Compression,
    revision: 1,
    metadata: "none in the format",
    integrity: "none in the format; the decoder must come to rest",
    limits: "position bits other than 2 are not looked for",
    sources: &["LZMA SDK: lzma-specification.txt"],
};

/// Content that an unfinished stream must yield.
const UNFINISHED_MIN: usize = 16 << 10;
/// Largest size a header may claim: 4 GiB.
const SIZE_MAX: u64 = 1 << 32;

/// lc + lp <= 4 with pb = 2, the usual one first.
const PROPS: [u8; 15] =
    [0x5d, 0x5a, 0x5b, 0x5c, 0x5e, 0x63, 0x64, 0x65, 0x66, 0x6c, 0x6d, 0x6e, 0x75, 0x76, 0x7e];
/// Bytes 1 to 3 of the dictionary size, 4 KiB to 64 MiB; the first eight are those that tools default to.
const DICTIONARIES: [[u8; 4]; 18] = [
    [0, 0, 0x80, 0],
    [0, 0, 1, 0],
    [0, 0, 0x10, 0],
    [0, 0, 0x20, 0],
    [0, 0, 0x40, 0],
    [0, 0, 0, 1],
    [0, 0, 0, 2],
    [0, 0, 0, 4],
    [0, 0, 2, 0],
    [0, 0, 4, 0],
    [0, 0, 8, 0],
    [0, 0, 0x0c, 0],
    [0, 0, 0x30, 0],
    [0, 0, 0xc0, 0],
    [0, 0x10, 0, 0],
    [0, 0x20, 0, 0],
    [0, 0x40, 0, 0],
    [0, 0x80, 0, 0],
];
/// All dictionaries with the usual properties, the first eight with the others.
const COUNT: usize = DICTIONARIES.len() + 8 * (PROPS.len() - 1);

/// Properties and dictionary size as one pattern: three bytes would be met all over in tables.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated by the compiler
const fn patterns() -> [[u8; 5]; COUNT] {
    let mut all = [[0; 5]; COUNT];
    let mut n = 0;
    let mut p = 0;
    while p < PROPS.len() {
        let mut d = 0;
        while d < if p == 0 { DICTIONARIES.len() } else { 8 } {
            let [a, b, c, e] = DICTIONARIES[d];
            all[n] = [PROPS[p], a, b, c, e];
            n += 1;
            d += 1;
        }
        p += 1;
    }
    all
}

static PATTERNS: [[u8; 5]; COUNT] = patterns();
static MAGICS: std::sync::LazyLock<Vec<Magic>> =
    std::sync::LazyLock::new(|| PATTERNS.iter().map(|p| Magic::anywhere(p)).collect());

/// A header that an encoder would write.
fn header(data: &[u8]) -> Option<lzma::Header> {
    let head = lzma::Header::parse(data)?;
    let dictionary = head.dictionary;
    let round = dictionary.count_ones() == 1
        || (dictionary.count_ones() == 2 && dictionary & (dictionary >> 1) != 0);
    let right = round
        && (1 << 12..=1 << 30).contains(&dictionary)
        && head.size.is_none_or(|n| n > 0 && n < SIZE_MAX)
        && read::u8(data, lzma::Header::LEN)? == 0;
    right.then_some(head)
}

impl Format for Lzma {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        &MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let stream = data.get(at..)?;
        header(stream)?;
        let decoded = lzma::decode_alone(stream, room(budget), budget);
        if let Some(e) = decoded.error {
            let least = match e {
                Error::Exhausted(_) | Error::Limit { .. } => super::DAMAGED_MIN,
                _ => UNFINISHED_MIN,
            };
            if decoded.bytes.len() < least {
                return None;
            }
        }
        candidate(at, decoded, Proof::DecoderEnded)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(head) = lzma::Header::parse(region) else { return };
        let lzma::Props { lc, lp, pb } = head.props;
        sink.attribute("compression", "lzma");
        sink.attribute("properties", format!("lc={lc} lp={lp} pb={pb}"));
        sink.attribute("dictionary-size", head.dictionary);
        emit(sink, None, Metadata::default(), decoded, || {
            lzma::decode_alone(region, room(budget), budget)
        });
    }
}
