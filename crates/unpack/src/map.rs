//! Files as bytes without reading them: the one module with `unsafe`.
//!
//! A mapped file that another process shortens while it is read ends this
//! process with SIGBUS; no map can prevent that. Everything else is safe: maps
//! of others' files are private and read-only, [`Bytes`] keeps them alive, and
//! maps that are written to belong to files that nobody else can open.
//!
//! What was read of a map stays in this process's memory until somebody gives it
//! back: [`examined`] does, every so many bytes. The pages come back from the
//! file when they are read again.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    ops::{Deref, DerefMut},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use rustix::{
    fs::{SeekFrom, seek},
    mm::{Advice, madvise},
};

/// Address and length of every map there is.
static MAPS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());
/// Bytes examined since memory was last given back.
static EXAMINED: AtomicUsize = AtomicUsize::new(0);
/// Bytes that come into memory with one that is touched.
pub const AROUND: usize = 1 << 16;
/// After so many bytes memory is given back.
pub const RELIEF: usize = 64 << 20;

/// A map that is in the list as long as it lives.
struct Listed<M: Deref<Target = [u8]>>(M);

impl<M: Deref<Target = [u8]>> Listed<M> {
    fn new(map: M) -> Self {
        let mut maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
        maps.push((map.as_ptr().expose_provenance(), map.len()));
        Self(map)
    }
}

impl<M: Deref<Target = [u8]>> AsRef<[u8]> for Listed<M> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<M: Deref<Target = [u8]>> Drop for Listed<M> {
    fn drop(&mut self) {
        // Under the lock, so that nobody advises about addresses that are unmapped in the meantime.
        let mut maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
        let here = (self.0.as_ptr().addr(), self.0.len());
        if let Some(at) = maps.iter().position(|m| *m == here) {
            maps.swap_remove(at);
        }
    }
}

/// Says that `n` bytes were read or written. Every [`RELIEF`] bytes the memory of all maps is given back.
pub fn examined(n: usize) {
    if EXAMINED.fetch_add(n, Ordering::Relaxed).saturating_add(n) < RELIEF {
        return;
    }
    EXAMINED.store(0, Ordering::Relaxed);
    for (address, len) in MAPS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // SAFETY: the range is mapped as a whole, because maps leave the list, under its lock, before they are
        // unmapped. Each is a map of a file, private and never written to, or shared: its pages come back from the
        // file with the same bytes. That it fails changes nothing but the use of memory.
        let pointer = std::ptr::with_exposed_provenance_mut(*address);
        let _ = unsafe { madvise(pointer, *len, Advice::LinuxDontNeed) };
    }
}

/// The parts of `data`, one after the other, each said to be examined when it is asked for. Their lengths but the last
/// are multiples of 16.
pub fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.chunks(RELIEF / 4).inspect(|part| examined(part.len()))
}

/// The content of `file`, mapped. An empty file is empty bytes.
///
/// # Errors
/// What the operating system says; a file larger than the address space.
pub fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private and never written through, so the only way for the bytes to change
    // under a reader is another process writing to the file. No reader in this crate relies on two reads giving
    // the same value for memory safety: all access goes through bounds-checked slices of fixed length.
    let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(file)? };
    Ok(Bytes::from_owner(Listed::new(map)))
}

/// A part of a file that nobody else writes to, as bytes that can be written.
pub struct Writable(Listed<memmap2::MmapMut>);

impl Writable {
    /// Maps `len` bytes from `offset`, which is a multiple of the size of a page. The file has been given room for them.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        // SAFETY: the file has no name, so no other process can open it, and this one maps each part of it once
        // (see `spool`). There is room on the disk for all of it, so no page fails to come.
        let map = unsafe { memmap2::MmapOptions::new().offset(offset).len(len).map_mut(file)? };
        Ok(Self(Listed::new(map)))
    }
}

impl Deref for Writable {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0.0
    }
}

impl DerefMut for Writable {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0.0
    }
}

/// Parts of a mapped file that are not on the disk: known to be zero without being read. Slices of the map are
/// recognised by their address.
#[derive(Debug, Clone, Default)]
pub struct Holes {
    /// Address of the map's first byte.
    base: usize,
    /// Start and end, ascending, from the start of the map.
    ranges: Vec<(usize, usize)>,
}

/// Holes shorter than this are read like any other bytes.
const WORTH_IT: usize = 1 << 20;

/// What stands for the bytes of holes.
static ZEROS: [u8; BLOCK] = [0; BLOCK];
const BLOCK: usize = 1 << 16;

/// Holes that are kept; a file with more of them is read where they are missing.
const KEPT: usize = 1 << 16;

impl Holes {
    /// The holes of `file`, which is mapped as `map`. None where the file system does not tell.
    #[must_use]
    pub fn find(file: &File, map: &Bytes) -> Self {
        let mut ranges = Vec::new();
        let mut at = 0;
        while ranges.len() < KEPT && at < map.len() {
            let Ok(start) = seek(file, SeekFrom::Hole(at as u64)) else { break };
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            if start >= map.len() {
                break;
            }
            // No data behind the hole: it reaches the end.
            let end = seek(file, SeekFrom::Data(start as u64))
                .ok()
                .and_then(|e| usize::try_from(e).ok())
                .unwrap_or(map.len())
                .min(map.len());
            if end <= start {
                break;
            }
            if end.saturating_sub(start) >= WORTH_IT {
                ranges.push((start, end));
            }
            at = end;
        }
        Self { base: map.as_ptr() as usize, ranges }
    }

    /// The holes in `data`, from its first byte, if it is a slice of the map.
    #[must_use]
    pub fn within(&self, data: &[u8]) -> Vec<(usize, usize)> {
        let Some(from) = (data.as_ptr() as usize).checked_sub(self.base) else { return Vec::new() };
        let to = from.saturating_add(data.len());
        self.ranges
            .iter()
            .filter(|(start, end)| *start < to && *end > from)
            .map(|(start, end)| (start.saturating_sub(from), (*end).min(to).saturating_sub(from)))
            .collect()
    }

    /// The parts of `data`, one after the other, as [`parts`]; zeros from elsewhere stand for holes, so that none of their
    /// pages has to be made.
    pub fn parts<'a>(&self, data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut at = 0;
        self.within(data).into_iter().chain([(data.len(), data.len())]).flat_map(
            move |(start, end)| {
                let before = data.get(at..start).unwrap_or_default();
                at = end;
                let zeros = (start..end)
                    .step_by(BLOCK)
                    .filter_map(move |from| ZEROS.get(..end.saturating_sub(from).min(BLOCK)));
                parts(before).chain(zeros)
            },
        )
    }

    /// Bytes of `data` that lie in holes.
    #[must_use]
    pub fn bytes_in(&self, data: &[u8]) -> usize {
        self.within(data).iter().map(|(start, end)| end.saturating_sub(*start)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn holes_of_a_sparse_file_and_of_its_slices() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"head").unwrap();
        file.seek(SeekFrom::Start(100 << 20)).unwrap();
        file.write_all(b"tail").unwrap();
        let map = map(&file).unwrap();
        let holes = Holes::find(&file, &map);
        let all = holes.within(&map);
        // A file system without holes is allowed to say so.
        if let [(start, end)] = all.as_slice() {
            assert!(*start >= 4 && *end <= 100 << 20 && end - start > 90 << 20);
            let part = map.slice(50 << 20..60 << 20);
            assert_eq!(holes.within(&part), [(0, 10 << 20)]);
            assert_eq!(holes.bytes_in(&part), 10 << 20);
            assert!(holes.parts(&map).flatten().eq(map.iter()));
            // From within a hole to behind it.
            let odd = map.slice((100 << 20) - 70_001..);
            assert!(holes.parts(&odd).flatten().eq(odd.iter()));
        } else {
            assert!(all.is_empty());
        }
        assert!(holes.within(b"other bytes").is_empty());
    }

    #[test]
    fn an_empty_file_is_empty_bytes() {
        assert!(map(&tempfile::tempfile().unwrap()).unwrap().is_empty());
    }
}
