//! Files that the file system keeps compressed (`com.apple.decmpfs`).
//!
//! ```text
//! header: 0 "fpmc", 4 method, 8 size, 16 content where the method keeps it here
//! method: odd in the header, even in the resource fork, in pieces of 64 KiB
//!         1 stored; 3, 4 zlib; 7, 8 LZVN; 9, 10 stored; 11, 12 LZFSE
//! fork:   zlib: resource header (big-endian offset of the data), length, count, (offset, length) each
//!         others: offsets, the first of which tells how many there are
//! ```

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};

use crate::{
    budget::Budget,
    codec::{deflate, lzfse},
    format::{Blob, Loaded},
    formats::{
        filesystem::common::{malformed, zeros},
        layout::Deferred,
    },
    read::{self, be32, le32, le64},
};

/// Content of a piece.
const PIECE: usize = 1 << 16;

/// How pieces are stored.
#[derive(Clone, Copy)]
enum Method {
    Stored,
    Zlib,
    Lzvn,
    Lzfse,
}

/// The content that a header describes.
pub(super) fn blob(
    header: &Blob,
    fork: Option<Blob>,
    budget: &Budget,
    problems: &mut Vec<Problem>,
) -> Blob {
    let header = header.load(budget).bytes;
    let (Some(method), Some(size)) = (le32(&header, 4), le64(&header, 8)) else {
        problems.push(malformed("the header of a compressed content is cut off"));
        return Blob::None;
    };
    let (how, inside) = match method {
        1 | 9 => (Method::Stored, true),
        3 => (Method::Zlib, true),
        4 => (Method::Zlib, false),
        7 => (Method::Lzvn, true),
        8 => (Method::Lzvn, false),
        10 => (Method::Stored, false),
        11 => (Method::Lzfse, true),
        12 => (Method::Lzfse, false),
        other => {
            let text = format!("compression {other} of files is not known");
            problems.push(Problem::new(ProblemKind::Unsupported, text));
            return Blob::None;
        }
    };
    if inside {
        let stored = header.slice(16.min(header.len())..);
        // Method 9 has a byte in front.
        let stored = if method == 9 { stored.slice(1.min(stored.len())..) } else { stored };
        return Deferred::blob(size, move |budget| {
            put_together(
                std::slice::from_ref(&stored),
                how,
                method == 1 || method == 9,
                size,
                budget,
            )
        });
    }
    let Some(fork) = fork else {
        problems.push(malformed("the resource fork of a compressed content is missing"));
        return Blob::None;
    };
    Deferred::blob(size, move |budget| {
        let fork = fork.load(budget);
        let Some(pieces) = pieces(&fork.bytes, how, size) else {
            let problem = malformed("the table of a compressed content is not readable");
            return Loaded { bytes: Bytes::new(), problems: vec![problem] };
        };
        let mut loaded = put_together(&pieces, how, false, size, budget);
        loaded.problems.splice(0..0, fork.problems);
        loaded
    })
}

/// The stored pieces of a resource fork.
fn pieces(fork: &Bytes, how: Method, size: u64) -> Option<Vec<Bytes>> {
    let count = read::index(size.div_ceil(PIECE as u64))?;
    let cut = |start: usize, end: usize| fork.get(start..end).map(|_| fork.slice(start..end));
    if let Method::Zlib = how {
        let base = (be32(fork, 0)? as usize).checked_add(4)?;
        let table = fork.get(base..)?;
        if le32(table, 0)? as usize != count {
            return None;
        }
        let entries = table.get(4..)?.chunks_exact(8).take(count);
        let piece = |entry: &[u8]| {
            let start = base.checked_add(le32(entry, 0)? as usize)?;
            cut(start, start.checked_add(le32(entry, 4)? as usize)?)
        };
        return entries.map(piece).collect();
    }
    let table = fork.get(..le32(fork, 0)? as usize)?;
    if (table.len() / 4).checked_sub(1)? < count {
        return None;
    }
    let offsets: Vec<_> = table.chunks_exact(4).filter_map(|o| le32(o, 0)).collect();
    offsets
        .windows(2)
        .take(count)
        .map(|pair| cut(*pair.first()? as usize, *pair.last()? as usize))
        .collect()
}

fn put_together(pieces: &[Bytes], how: Method, plain: bool, size: u64, budget: &Budget) -> Loaded {
    let mut loaded = Loaded::default();
    let Some(mut out) = zeros(size, budget, &mut loaded.problems) else { return loaded };
    let step = if pieces.len() == 1 { out.len() } else { PIECE };
    let targets = out.chunks_mut(step.max(1));
    for (index, (piece, target)) in pieces.iter().zip(targets).enumerate() {
        let at = (index as u64).saturating_mul(PIECE as u64);
        let decoded = match plain {
            true => Ok(piece.to_vec()),
            false => decode(piece, how, target.len()),
        };
        match decoded {
            Ok(bytes) => {
                let len = bytes.len().min(target.len());
                if let (Some(to), Some(from)) = (target.get_mut(..len), bytes.get(..len)) {
                    to.copy_from_slice(from);
                }
                if len < target.len() {
                    let text = format!("a piece holds {len} of {} bytes", target.len());
                    loaded.problems.push(Problem::new(ProblemKind::Incomplete, text).at(at));
                }
            }
            Err(problem) => loaded.problems.push(problem.at(at)),
        }
    }
    loaded.bytes = out.into();
    loaded
}

/// One piece: a first byte that no stream begins with says that it is stored.
fn decode(piece: &[u8], how: Method, size: usize) -> Result<Vec<u8>, Problem> {
    let own = &Budget::new(size as u64, 0, u64::MAX, None);
    let first = read::u8(piece, 0).unwrap_or(0);
    let stored = || piece.get(1..).unwrap_or_default().to_vec();
    match how {
        Method::Stored => Ok(stored()),
        Method::Zlib if first & 15 == 15 => Ok(stored()),
        Method::Zlib => Ok(deflate::zlib(piece, size, own).whole()?.0),
        Method::Lzvn if first == 6 => Ok(stored()),
        Method::Lzvn => Ok(lzfse::decode_lzvn(piece, size, own).whole()?.0),
        Method::Lzfse if first == 0xff => Ok(stored()),
        Method::Lzfse => Ok(lzfse::decode(piece, size, own).whole()?.0),
    }
}
