//! File contents: inline, plain or compressed extents.

use std::sync::Arc;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};

use super::{
    sums::{self, Stored},
    tree::{Item, Trees},
};
use crate::{
    budget::Budget,
    codec::{deflate, lzo, zstd},
    format::{Blob, Load, Loaded},
    formats::filesystem::common::{self, Run, malformed, push_run, zeros},
    read::{self, le32, le64},
};

/// Largest extent that is compressed.
const MAX_EXTENT: usize = 1 << 17;

/// A piece of a file.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Offset in the file, and bytes.
    file: u64,
    len: u64,
    /// Where its stored bytes are, and how many.
    at: usize,
    stored: usize,
    /// Offset in the decoded extent.
    skip: u64,
    compression: u8,
    /// Logical address of the stored bytes; none of those in the item itself.
    logical: Option<u64>,
}

impl Piece {
    /// The stored bytes that this piece is made of.
    fn stored(&self) -> Option<Stored> {
        let logical = self.logical?;
        let (skip, len) = match self.compression {
            0 => (self.skip, read::index(self.len)?.min(self.stored)),
            _ => (0, self.stored),
        };
        let image = self.at.checked_add(read::index(skip)?)?;
        Some(Stored { logical: logical.checked_add(skip)?, image, len, file: self.file })
    }
}

/// The content made of these extents.
pub(super) fn blob(
    trees: &Trees,
    size: u64,
    extents: impl Iterator<Item = (u64, Item)>,
    budget: &Budget,
) -> Blob {
    let mut pieces = Vec::new();
    let mut problems = Vec::new();
    for (file, item) in extents {
        if let Err(e) = budget.work(64) {
            problems.push(e.into());
            break;
        }
        match piece(trees, file, item) {
            Ok(piece) => pieces.extend(piece),
            Err(text) => problems.push(malformed(text).at(file)),
        }
    }
    let stored = pieces.iter().filter_map(Piece::stored).collect();
    let check = |blob| sums::checked(&trees.image, &trees.sums, blob, stored);
    if problems.is_empty() && pieces.iter().all(|p| p.compression == 0) {
        let mut runs = Vec::new();
        for p in &pieces {
            let image = (p.at as u64).saturating_add(p.skip);
            push_run(
                &mut runs,
                Run { file: p.file, image, len: p.len.min(size.saturating_sub(p.file)) },
            );
        }
        return check(common::content(&trees.image, size, runs));
    }
    check(Blob::Lazy(Arc::new(Pieces { image: trees.image.clone(), size, pieces, problems })))
}

/// The piece that an extent item names; none for a hole.
fn piece(trees: &Trees, file: u64, item: Item) -> Result<Option<Piece>, &'static str> {
    let b = item.bytes(&trees.image).ok_or("an extent item is cut off")?;
    let short = "an extent item is too short";
    let (compression, kind) = (read::u8(b, 16).ok_or(short)?, read::u8(b, 20).ok_or(short)?);
    if kind == 0 {
        let len = le64(b, 8).ok_or(short)?;
        let at = item.at.checked_add(21).ok_or(short)?;
        let stored = item.len.checked_sub(21).ok_or(short)?;
        return Ok(Some(Piece { file, len, at, stored, skip: 0, compression, logical: None }));
    }
    let q = |at| le64(b, at).ok_or(short);
    let (logical, stored, skip, len) = (q(21)?, q(29)?, q(37)?, q(45)?);
    // Reserved but never written, or a hole.
    if kind == 2 || logical == 0 {
        return Ok(None);
    }
    let at = trees
        .place(logical, stored)
        .ok_or("an extent is in no chunk that this device has whole")?;
    let stored = read::index(stored).ok_or(short)?;
    Ok(Some(Piece { file, len, at, stored, skip, compression, logical: Some(logical) }))
}

/// A file with compressed extents.
struct Pieces {
    image: Bytes,
    size: u64,
    pieces: Vec<Piece>,
    problems: Vec<Problem>,
}

impl Load for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut problems = self.problems.clone();
        let Some(mut out) = zeros(self.size, budget, &mut problems) else {
            return Loaded { bytes: Bytes::new(), problems };
        };
        for p in &self.pieces {
            if let Err(e) = budget.work(MAX_EXTENT as u64) {
                problems.push(e.into());
                break;
            }
            match self.decode(p) {
                Ok(bytes) => {
                    let from = read::index(p.skip).and_then(|s| bytes.get(s..)).unwrap_or_default();
                    let to =
                        read::index(p.file).and_then(|at| out.get_mut(at..)).unwrap_or_default();
                    let len =
                        read::index(p.len).unwrap_or(usize::MAX).min(from.len()).min(to.len());
                    if let (Some(to), Some(from)) = (to.get_mut(..len), from.get(..len)) {
                        to.copy_from_slice(from);
                    }
                }
                Err(problem) => problems.push(problem.at(p.file)),
            }
        }
        Loaded { bytes: out.into(), problems }
    }
}

impl Pieces {
    fn decode(&self, p: &Piece) -> Result<Vec<u8>, Problem> {
        let stored = read::slice(&self.image, p.at, p.stored);
        let stored =
            stored.ok_or_else(|| Problem::new(ProblemKind::Truncated, "an extent is cut off"))?;
        let own = &Budget::new(MAX_EXTENT as u64, 0, u64::MAX, None);
        // What follows the stream up to the end of its last block is padding.
        match p.compression {
            0 => Ok(stored.to_vec()),
            1 => Ok(deflate::zlib(stored, MAX_EXTENT, own).whole()?.0),
            2 => segments(stored),
            3 => frame(zstd::decode(stored, MAX_EXTENT, own)),
            other => Err(Problem::new(
                ProblemKind::Unsupported,
                format!("compression {other} is not known"),
            )),
        }
    }
}

/// The content of a zstd frame, whatever stands behind it.
fn frame(decoded: crate::codec::Decoded) -> Result<Vec<u8>, Problem> {
    match decoded.error {
        Some(e) if decoded.bytes.is_empty() => Err(e.into()),
        _ => Ok(decoded.bytes.into()),
    }
}

/// LZO: length of all, then segments of up to 4 KiB of content, each with its length, none of whose lengths
/// crosses a block of 4 KiB.
fn segments(b: &[u8]) -> Result<Vec<u8>, Problem> {
    let bad = || malformed("an LZO extent is damaged");
    let total = le32(b, 0).ok_or_else(bad)? as usize;
    let b = b.get(..total).ok_or_else(bad)?;
    let (mut at, mut out) = (4usize, Vec::new());
    while at < b.len() && out.len() < MAX_EXTENT {
        let left = 4096usize.saturating_sub(at % 4096);
        if left < 4 {
            at = at.saturating_add(left);
        }
        let Some(len) = le32(b, at) else { break };
        let stored = read::slice(b, at.saturating_add(4), len as usize).ok_or_else(bad)?;
        let own = &Budget::new(4096, 0, u64::MAX, None);
        out.extend(lzo::decode(stored, 4096, own).whole()?.0);
        at = at.saturating_add(4).saturating_add(len as usize);
    }
    Ok(out)
}
