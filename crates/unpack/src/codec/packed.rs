//! A compressed content that is decoded when asked for.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};

use super::{Decoded, Error, check};
use crate::{
    budget::Budget,
    format::{Blob, Load, Loaded},
};

/// A decoder: input, largest output, budget.
pub type Decode = fn(&[u8], usize, &Budget) -> Decoded;

/// Compressed bytes, how to decode them, and what must come out.
#[derive(Debug)]
pub struct Packed {
    /// The compressed bytes.
    pub data: Bytes,
    /// How to decode them.
    pub decode: Decode,
    /// Bytes of content as declared.
    pub size: u64,
    /// CRC-32 of the content, where one is recorded.
    pub crc32: Option<u32>,
}

impl Packed {
    /// As content of an entry.
    #[must_use]
    pub fn blob(self) -> Blob {
        Blob::Lazy(std::sync::Arc::new(self))
    }
}

impl Load for Packed {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let max = usize::try_from(self.size).unwrap_or(usize::MAX);
        let decoded = (self.decode)(&self.data, max, budget);
        let mut problems = Vec::new();
        match decoded.error {
            Some(Error::Limit { .. }) => problems.push(Problem::new(
                ProblemKind::Malformed,
                format!("the compressed content is larger than the {} bytes declared", self.size),
            )),
            Some(e) => problems.push(e.into()),
            None if decoded.bytes.len() as u64 != self.size => problems.push(Problem::new(
                ProblemKind::Incomplete,
                format!("{} bytes came out, {} were declared", decoded.bytes.len(), self.size),
            )),
            None => {}
        }
        if problems.is_empty() && self.crc32.is_some_and(|crc| crc != check::crc32(&decoded.bytes))
        {
            problems.push(Problem::new(
                ProblemKind::Checksum,
                "the CRC-32 of the content is not right",
            ));
        }
        Loaded { bytes: decoded.bytes.into(), problems }
    }
}

/// A stored content with a CRC-32 that is verified when it is asked for.
#[must_use]
pub fn stored(data: Bytes, crc32: Option<u32>) -> Blob {
    match crc32 {
        None => Blob::Bytes(data),
        Some(_) => {
            let size = data.len() as u64;
            Packed { data, decode: copy, size, crc32 }.blob()
        }
    }
}

/// The identity as a decoder.
pub fn copy(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let take = input.len().min(max);
    if let Err(e) = budget.output(take as u64) {
        return Decoded::failed(e.into());
    }
    Decoded {
        bytes: input.get(..take).unwrap_or_default().to_vec().into(),
        consumed: take,
        error: None,
    }
}
