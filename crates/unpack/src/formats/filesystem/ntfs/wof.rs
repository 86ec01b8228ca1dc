//! Files that Windows keeps compact: a reparse point says how, the stream `WofCompressedData` holds the content, and the
//! file's own stream is a hole of its size. What is kept in a WIM file instead is named.

use proofmark_model::{Problem, ProblemKind};

use super::record::{Attribute, Record, Volume};
use crate::{
    codec::wim::{self, Method},
    format::{Blob, Entry, Loaded},
    formats::layout::Deferred,
    read,
};

/// The stream that holds the content.
pub(super) const STREAM: &str = "WofCompressedData";

/// Where the content of a compact file is.
enum Backing {
    /// In the stream, in chunks of so many bytes.
    Stream(Method, usize),
    /// In a way that is not read.
    Other(&'static str),
}

/// What the reparse point says; none if the file is not compact.
fn backing(record: &Record) -> Option<Backing> {
    let data = record.attributes.iter().find_map(|a| match a {
        Attribute::Reparse(data) => Some(data),
        _ => None,
    })?;
    if read::le32(data, 0)? != 0x8000_0017 {
        return None;
    }
    // Behind the head of the reparse point: version and provider, and what belongs to that.
    Some(match (read::le32(data, 12)?, read::le32(data, 20)) {
        (1, _) => Backing::Other("its content is in a WIM file, not in this file system"),
        (2, Some(0)) => Backing::Stream(Method::Xpress, 4096),
        (2, Some(1)) => Backing::Stream(Method::Lzx, 32768),
        (2, Some(2)) => Backing::Stream(Method::Xpress, 8192),
        (2, Some(3)) => Backing::Stream(Method::Xpress, 16384),
        _ => Backing::Other("its content is compressed by WOF in a way that is not known"),
    })
}

/// Whether the content of a compact file is read from its stream.
pub(super) fn is_read(record: &Record) -> bool {
    matches!(backing(record), Some(Backing::Stream(..)))
}

/// Gives the entry of a compact file its content. Whether it is one.
pub(super) fn fill(
    image: &bytes::Bytes,
    volume: &Volume,
    record: &Record,
    entry: &mut Entry,
) -> bool {
    let (method, chunk) = match backing(record) {
        None => return false,
        Some(Backing::Stream(method, chunk)) => (method, chunk),
        Some(Backing::Other(why)) => {
            entry.problems.push(Problem::new(ProblemKind::Unsupported, why));
            return true;
        }
    };
    let (Some(own), Some(stored)) = (record.stream(""), record.stream(STREAM)) else {
        let text = "a compact file without its stream of compressed content";
        entry.problems.push(Problem::new(ProblemKind::Incomplete, text));
        return true;
    };
    let size = own.size;
    let stored: Blob = stored.blob(image, volume);
    entry.blob = Deferred::blob(size, move |budget| {
        let Loaded { bytes, mut problems } = stored.load(budget);
        let made = wim::decode(&bytes, size, chunk, method, budget);
        problems.extend(made.error.map(Problem::from));
        Loaded { bytes: made.bytes.into(), problems }
    });
    true
}
