//! What the block layers share: a disk put together from pieces, decoded when asked for.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};

use crate::{
    budget::Budget,
    format::{Blob, Loaded},
    formats::layout::Deferred,
    read,
};

/// Where a piece of the disk comes from; what no piece covers is zeros.
#[derive(Debug, Clone, Copy)]
pub enum From {
    /// Bytes of the file at this offset.
    At(u64),
    /// A raw deflate stream at this offset, of at most this length.
    Deflate(u64, u64),
    /// A zlib stream at this offset, of at most this length.
    Zlib(u64, u64),
    /// A four-byte value, repeated.
    Fill([u8; 4]),
}

/// A piece: place on the disk, length, and source.
pub type Piece = (u64, u64, From);

/// A disk of `size` bytes made of `pieces` of `file`.
#[must_use]
pub fn disk(file: &Bytes, size: u64, pieces: Vec<Piece>) -> Blob {
    let file = file.clone();
    Deferred::blob(size, move |budget| assemble(&file, size, &pieces, budget))
}

fn assemble(file: &Bytes, size: u64, pieces: &[Piece], budget: &Budget) -> Loaded {
    let mut loaded = Loaded::default();
    let used =
        pieces.iter().map(|(at, len, _)| at.saturating_add(*len)).max().unwrap_or(0).min(size);
    if let Err(e) = budget.output(size) {
        loaded.problems.push(e.into());
        return loaded;
    }
    let mut out = vec![0_u8; read::index(size).unwrap_or(0)];
    for (at, len, from) in pieces {
        let target = read::index(*at).zip(read::index(at.saturating_add(*len).min(used)));
        let Some(target) = target.and_then(|(from, to)| out.get_mut(from..to)) else { continue };
        if !fill(file, target, *from) && loaded.problems.len() < 16 {
            let message = "a block of the disk could not be read whole; the rest of it is zeros";
            loaded.problems.push(Problem::new(ProblemKind::Truncated, message).at(*at));
        }
    }
    loaded.bytes = out.into();
    loaded
}

/// Copies or decodes one piece; false if it is not whole.
fn fill(file: &[u8], target: &mut [u8], from: From) -> bool {
    let area = |at: u64, len: u64| {
        let start = read::index(at).unwrap_or(usize::MAX).min(file.len());
        let end = read::index(at.saturating_add(len)).unwrap_or(usize::MAX).min(file.len());
        file.get(start..end).unwrap_or_default()
    };
    let decoded = match from {
        From::At(at) => {
            std::io::copy(&mut area(at, target.len() as u64), &mut &mut target[..]).ok()
        }
        From::Deflate(at, len) => inflate(flate2::read::DeflateDecoder::new(area(at, len)), target),
        From::Zlib(at, len) => inflate(flate2::read::ZlibDecoder::new(area(at, len)), target),
        From::Fill(value) => {
            target.iter_mut().zip(value.iter().cycle()).for_each(|(byte, v)| *byte = *v);
            Some(target.len() as u64)
        }
    };
    decoded == Some(target.len() as u64)
}

/// Bytes that came out, at most as many as there is room for.
fn inflate(mut decoder: impl std::io::Read, mut target: &mut [u8]) -> Option<u64> {
    let mut done = 0_u64;
    while !target.is_empty() {
        match decoder.read(target) {
            Ok(n) if n > 0 => {
                target = target.get_mut(n..)?;
                done = done.checked_add(n as u64)?;
            }
            _ => break,
        }
    }
    Some(done)
}
