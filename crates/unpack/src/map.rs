//! Files as bytes without reading them: the one module with `unsafe`.
//!
//! A mapped file that another process shortens while it is read ends this
//! process with SIGBUS; no map can prevent that. Everything else is safe: the
//! map is private and read-only, and [`Bytes`] keeps it alive.
#![allow(unsafe_code)]

use std::{fs::File, io};

use bytes::Bytes;
use rustix::fs::{SeekFrom, seek};

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
    Ok(Bytes::from_owner(map))
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
