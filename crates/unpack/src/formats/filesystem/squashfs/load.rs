//! File contents: blocks, holes, and ends of files that share a fragment.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use proofmark_model::{Digest, Problem, ProblemKind};
use rayon::prelude::*;

use super::{
    layout::{FileData, UNCOMPRESSED},
    table::Codec,
};
use crate::{
    budget::Budget,
    format::{Load, Loaded},
    formats::filesystem::common::{malformed, zeros},
    read,
};

/// Bytes of decoded fragments that are kept for the next file that uses them.
const KEPT: usize = 64 << 20;

/// A fragment: its place, and its content while somebody may still want it.
pub(super) struct Fragment {
    start: u64,
    size: u32,
    /// Files that have not been loaded yet.
    users: AtomicU32,
    content: Mutex<Option<Bytes>>,
    /// Of its stored bytes.
    digest: OnceLock<Option<Digest>>,
}

impl Fragment {
    pub fn new(start: u64, size: u32) -> Self {
        Self {
            start,
            size,
            users: AtomicU32::new(0),
            content: Mutex::new(None),
            digest: OnceLock::new(),
        }
    }
}

/// What all files of an image share.
pub(super) struct Shared {
    pub image: Bytes,
    pub codec: Codec,
    pub block_size: usize,
    pub fragments: Vec<Fragment>,
    /// Fragments that hold content with their bytes, oldest first, and the sum of bytes.
    pub kept: Mutex<(VecDeque<(usize, usize)>, usize)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Counts a file as user of its fragment.
    pub fn announce(&self, file: &FileData) {
        if let Some(fragment) = self.fragment_of(file) {
            fragment.users.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fragment_of(&self, file: &FileData) -> Option<&Fragment> {
        self.fragments.get(file.fragment?.0 as usize)
    }

    /// The `len` stored bytes at `start`.
    fn stored(&self, start: u64, len: usize) -> Option<&[u8]> {
        read::slice(&self.image, read::index(start)?, len)
    }

    /// The block of stored `size` at `start`, at most `max` bytes.
    fn block(&self, start: u64, size: u32, max: usize, exact: bool) -> Result<Bytes, Problem> {
        let len = (size & !UNCOMPRESSED) as usize;
        let at = read::index(start)
            .filter(|at| at.checked_add(len).is_some_and(|e| e <= self.image.len()));
        let Some(at) = at else {
            return Err(Problem::new(
                ProblemKind::Truncated,
                "a block lies behind the end of the image",
            )
            .at(start));
        };
        let stored = self.image.slice(at..at.saturating_add(len));
        if size & UNCOMPRESSED != 0 {
            return Ok(stored);
        }
        let decoded = self.codec.decode(&stored, max, exact.then_some(max));
        decoded.map(Bytes::from).map_err(|p| p.at(start))
    }

    /// The content of a fragment, decoded by the first who wants it.
    fn fragment(&self, index: usize) -> Result<Bytes, Problem> {
        let fragment =
            self.fragments.get(index).ok_or_else(|| malformed("there is no such fragment"))?;
        let mut content = lock(&fragment.content);
        if let Some(bytes) = &*content {
            return Ok(bytes.clone());
        }
        let bytes = self.block(fragment.start, fragment.size, self.block_size, false)?;
        // The last user does not leave it behind. The lock is not held while other fragments are touched.
        if fragment.users.load(Ordering::Relaxed) > 1 {
            *content = Some(bytes.clone());
            drop(content);
            self.keep(index, bytes.len());
        }
        Ok(bytes)
    }

    /// Notes that a fragment holds content, and empties the oldest ones beyond the bound.
    fn keep(&self, index: usize, len: usize) {
        let mut drop_these = Vec::new();
        {
            let mut kept = lock(&self.kept);
            kept.0.push_back((index, len));
            kept.1 = kept.1.saturating_add(len);
            while kept.1 > KEPT
                && let Some((oldest, len)) = kept.0.pop_front()
            {
                kept.1 = kept.1.saturating_sub(len);
                drop_these.push(oldest);
            }
        }
        for fragment in drop_these.into_iter().filter_map(|i| self.fragments.get(i)) {
            *lock(&fragment.content) = None;
        }
    }

    /// One user less; with the last the content goes.
    fn release(&self, file: &FileData) {
        let Some(fragment) = self.fragment_of(file) else { return };
        let less = |n: u32| n.checked_sub(1);
        if fragment.users.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) == Ok(1) {
            *lock(&fragment.content) = None;
        }
    }
}

/// The content of one file.
pub(super) struct Content {
    pub shared: Arc<Shared>,
    pub file: FileData,
}

impl Content {
    /// The part of the file that is in a fragment.
    fn tail(&self, len: usize) -> Result<Bytes, Problem> {
        let Some((index, offset)) = self.file.fragment else { return Ok(Bytes::new()) };
        let fragment = self.shared.fragment(index as usize)?;
        let start = offset as usize;
        let end = start.checked_add(len).filter(|end| *end <= fragment.len());
        let end = end
            .ok_or_else(|| malformed(format!("the end of the file is not in fragment {index}")))?;
        Ok(fragment.slice(start..end))
    }
}

impl Load for Content {
    fn size(&self) -> u64 {
        self.file.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let loaded = self.read(budget);
        self.shared.release(&self.file);
        loaded
    }

    fn key(&self) -> Option<Digest> {
        let (shared, file) = (&*self.shared, &self.file);
        let mut parts = Vec::with_capacity(64);
        parts.extend(format!("squashfs {:?} {}", shared.codec, shared.block_size).into_bytes());
        parts.extend(file.size.to_le_bytes());
        if let Some((index, offset)) = file.fragment {
            let fragment = shared.fragments.get(index as usize)?;
            let len = (fragment.size & !UNCOMPRESSED) as usize;
            let of_stored = || shared.stored(fragment.start, len).map(Digest::of);
            parts.extend(fragment.digest.get_or_init(of_stored).as_ref()?.0);
            parts.extend(fragment.size.to_le_bytes());
            parts.extend(offset.to_le_bytes());
        }
        file.blocks.iter().for_each(|size| parts.extend(size.to_le_bytes()));
        let len = file
            .blocks
            .iter()
            .try_fold(0usize, |sum, size| sum.checked_add((size & !UNCOMPRESSED) as usize))?;
        parts.extend(Digest::of(shared.stored(file.start, len)?).0);
        Some(Digest::of(&parts))
    }
}

impl Content {
    fn read(&self, budget: &Budget) -> Loaded {
        let (shared, file) = (&*self.shared, &self.file);
        let block_size = shared.block_size.max(1);
        let size = read::index(file.size).unwrap_or(usize::MAX);
        // One piece needs no copy.
        let single = match &file.blocks[..] {
            [] => Some(self.tail(size)),
            [block] if file.fragment.is_none() && *block != 0 => {
                Some(shared.block(file.start, *block, size.min(block_size), true))
            }
            _ => None,
        };
        if let Some(piece) = single {
            if let Err(e) = budget.output(file.size) {
                return Loaded { bytes: Bytes::new(), problems: vec![e.into()] };
            }
            return match piece {
                Ok(bytes) if bytes.len() == size => Loaded { bytes, problems: Vec::new() },
                Ok(bytes) => {
                    let problem = short(bytes.len(), size).at(0);
                    Loaded { bytes: bytes.slice(..bytes.len().min(size)), problems: vec![problem] }
                }
                Err(problem) => Loaded { bytes: Bytes::new(), problems: vec![problem] },
            };
        }
        let mut problems = Vec::new();
        let Some(mut out) = zeros(file.size, budget, &mut problems) else {
            return Loaded { bytes: Bytes::new(), problems };
        };
        let starts: Vec<u64> = file
            .blocks
            .iter()
            .scan(file.start, |at, size| {
                let start = *at;
                *at = at.saturating_add(u64::from(size & !UNCOMPRESSED));
                Some(start)
            })
            .collect();
        let wrong: Vec<Option<Problem>> = out
            .par_chunks_mut(block_size)
            .enumerate()
            .with_min_len(2)
            .map(|(i, chunk)| {
                let piece = match (file.blocks.get(i), starts.get(i)) {
                    (Some(0), _) => return None,
                    (Some(size), Some(start)) => shared.block(*start, *size, chunk.len(), true),
                    _ => self.tail(chunk.len()),
                };
                let at = (i as u64).saturating_mul(block_size as u64);
                match piece {
                    Ok(bytes) => {
                        let len = bytes.len().min(chunk.len());
                        if let (Some(to), Some(from)) = (chunk.get_mut(..len), bytes.get(..len)) {
                            to.copy_from_slice(from);
                        }
                        (len < chunk.len()).then(|| short(len, chunk.len()).at(at))
                    }
                    Err(problem) => Some(problem.at(at)),
                }
            })
            .collect();
        problems.extend(wrong.into_iter().flatten());
        Loaded { bytes: out.into(), problems }
    }
}

fn short(got: usize, expected: usize) -> Problem {
    let text = format!("a block holds {got} bytes where {expected} belong");
    Problem::new(ProblemKind::Incomplete, text)
}
