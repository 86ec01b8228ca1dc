//! What all file systems share: modes, device numbers, names, links, and file
//! contents that are runs of blocks of the image.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, locator::escape};

use crate::{
    budget::{Budget, Exhausted},
    format::{Blob, Load, Loaded, Sink},
    read,
};

/// File types as the upper four bits of a Unix mode.
pub(super) mod ftype {
    pub const FIFO: u32 = 0o1;
    pub const CHAR: u32 = 0o2;
    pub const DIR: u32 = 0o4;
    pub const BLOCK: u32 = 0o6;
    pub const FILE: u32 = 0o10;
    pub const LINK: u32 = 0o12;
    pub const SOCKET: u32 = 0o14;
}

/// Folders nested deeper than this are not followed: real systems stop far earlier.
pub(super) const MAX_DEPTH: usize = 512;

/// The kind of entry that a Unix mode names. `device` is (major, minor), `target` that of a link.
pub(super) fn kind(mode: u32, device: (u32, u32), target: &[u8]) -> Option<EntryKind> {
    let (major, minor) = device;
    Some(match (mode >> 12) & 0xf {
        ftype::FILE => EntryKind::File,
        ftype::DIR => EntryKind::Directory,
        ftype::LINK => EntryKind::Symlink { target: escape(target) },
        ftype::CHAR => EntryKind::CharDevice { major, minor },
        ftype::BLOCK => EntryKind::BlockDevice { major, minor },
        ftype::FIFO => EntryKind::Fifo,
        ftype::SOCKET => EntryKind::Socket,
        _ => return None,
    })
}

/// Major and minor number in the 32-bit encoding of Linux; the old 16-bit one is its lower half.
pub(super) fn device(rdev: u32) -> (u32, u32) {
    ((rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00))
}

/// `dir/name`.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// Whether a name can stand in a folder; a slash, `.`, `..` or nothing cannot.
pub(super) fn check_name(name: &[u8]) -> Option<Problem> {
    let bad = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/');
    bad.then(|| {
        let text = format!("the name `{}` cannot stand in a folder", escape(name));
        Problem::new(ProblemKind::UnsafePath, text)
    })
}

/// An extended attribute in the form of [`Metadata::xattrs`].
pub(super) fn xattr(prefix: &str, name: &[u8], value: &[u8]) -> (String, String) {
    (format!("{prefix}{}", escape(name)), escape(value))
}

/// A problem in one call.
pub(super) fn malformed(message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Malformed, message)
}

/// Says how many of `declared` things were found, if they are not all.
pub(super) fn incomplete(sink: &mut Sink<'_>, what: &str, found: u64, declared: u64) {
    if found < declared {
        let text =
            format!("{found} of the {declared} {what} that the superblock declares were found");
        sink.problem(Problem::new(ProblemKind::Incomplete, text));
    }
}

/// First names of files by their identity (inode number or position).
#[derive(Default)]
pub(super) struct Links(HashMap<u64, Vec<u8>>);

impl Links {
    /// The path under which `inode` was seen first, or nothing and `path` is remembered as that.
    pub fn first(&mut self, inode: u64, path: &[u8]) -> Option<EntryKind> {
        if let Some(target) = self.0.get(&inode) {
            return Some(EntryKind::Hardlink { target: escape(target) });
        }
        self.0.insert(inode, path.to_vec());
        None
    }

    /// Different files seen.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Seconds since 1970 of year, month, day, hour, minute, second (UTC, Gregorian calendar). Values out of
/// range count on: the 32nd of a month is the first of the next.
pub(super) fn seconds([year, month, day, hour, minute, second]: [i64; 6]) -> i64 {
    // Years that begin in March, so that the leap day is the last.
    let shifted = month.saturating_sub(3);
    let year = year.saturating_add(shifted.div_euclid(12));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = shifted.rem_euclid(12).saturating_mul(153).saturating_add(2) / 5;
    let leaps = (of_era / 4).saturating_sub(of_era / 100);
    let days = era
        .saturating_mul(146_097)
        .saturating_add(of_era.saturating_mul(365))
        .saturating_add(leaps);
    let days =
        days.saturating_add(of_year).saturating_add(day.saturating_sub(1)).saturating_sub(719_468);
    let units = [(hour, 3600), (minute, 60), (second, 1)];
    units.iter().fold(days.saturating_mul(86_400), |sum, (n, unit)| {
        sum.saturating_add(n.saturating_mul(*unit))
    })
}

/// A piece of a file: where it is in the file, where in the image, how long. What no run covers is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Offset in the file.
    pub file: u64,
    /// Offset in the image.
    pub image: u64,
    /// Bytes.
    pub len: u64,
}

/// Adds a run, joined with the one before it where it goes on.
pub(super) fn push_run(runs: &mut Vec<Run>, run: Run) {
    if let Some(last) = runs.last_mut()
        && last.file.checked_add(last.len) == Some(run.file)
        && last.image.checked_add(last.len) == Some(run.image)
    {
        last.len = last.len.saturating_add(run.len);
    } else {
        runs.push(run);
    }
}

/// The content of `size` bytes made of `runs` of `image`: a slice where it is one run, else put together
/// when asked for.
pub(super) fn content(image: &Bytes, size: u64, runs: Vec<Run>) -> Blob {
    if size == 0 {
        return Blob::Bytes(Bytes::new());
    }
    if let [run] = runs[..]
        && run.file == 0
        && run.len >= size
        && let (Some(start), Some(end)) =
            (read::index(run.image), run.image.checked_add(size).and_then(read::index))
        && end <= image.len()
    {
        return Blob::Bytes(image.slice(start..end));
    }
    Blob::Lazy(Arc::new(Pieces { image: image.clone(), size, runs }))
}

/// A file that is not one contiguous piece.
struct Pieces {
    image: Bytes,
    size: u64,
    runs: Vec<Run>,
}

impl Load for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        let Some(mut out) = zeros(self.size, budget, &mut loaded.problems) else { return loaded };
        for run in &self.runs {
            let len = run.len.min(self.size.saturating_sub(run.file));
            let source = read::index(run.image).and_then(|at| self.image.get(at..));
            let source = source.unwrap_or_default();
            let have = read::index(len).unwrap_or(usize::MAX).min(source.len());
            if (have as u64) < len {
                let text = format!(
                    "{} bytes lie behind the end of the image",
                    len.saturating_sub(have as u64)
                );
                loaded.problems.push(Problem::new(ProblemKind::Truncated, text).at(run.file));
            }
            let target = read::index(run.file).and_then(|at| out.get_mut(at..)?.get_mut(..have));
            if let (Some(target), Some(source)) = (target, source.get(..have)) {
                target.copy_from_slice(source);
            }
        }
        loaded.bytes = out.into();
        loaded
    }
}

/// `size` zero bytes, paid for; without the means a problem.
pub(super) fn zeros(size: u64, budget: &Budget, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    let paid = budget.output(size).and_then(|()| read::index(size).ok_or(Exhausted::Output));
    match paid {
        Ok(len) => Some(vec![0; len]),
        Err(e) => {
            problems.push(e.into());
            None
        }
    }
}

/// CRC-32C (Castagnoli) going on from `crc`, neither inverted before nor after, as Linux uses it.
pub(super) fn crc32c(crc: u32, data: &[u8]) -> u32 {
    static TABLES: [[u32; 256]; 8] = crc_tables(0x82f6_3b78);
    crc_update(&TABLES, crc, data)
}

/// CRC-32 of Ethernet going on from `crc`, neither inverted before nor after.
pub(super) fn crc32_raw(crc: u32, data: &[u8]) -> u32 {
    static TABLES: [[u32; 256]; 8] = crc_tables(0xedb8_8320);
    crc_update(&TABLES, crc, data)
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // constant tables, indices below 256
const fn crc_tables(polynomial: u32) -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut i = 0;
    while i < 256 {
        let mut t = 1;
        while t < 8 {
            let before = tables[t - 1][i];
            tables[t][i] = (before >> 8) ^ tables[0][(before & 255) as usize];
            t += 1;
        }
        i += 1;
    }
    tables
}

#[allow(clippy::indexing_slicing)] // tables of 256, indexed by bytes; chunks of eight
fn crc_update(t: &[[u32; 256]; 8], mut crc: u32, data: &[u8]) -> u32 {
    let mut chunks = data.chunks_exact(8);
    for c in &mut chunks {
        let low = crc ^ u32::from_le_bytes([c[0], c[1], c[2], c[3]]);
        crc = t[7][(low & 255) as usize]
            ^ t[6][((low >> 8) & 255) as usize]
            ^ t[5][((low >> 16) & 255) as usize]
            ^ t[4][(low >> 24) as usize]
            ^ t[3][c[4] as usize]
            ^ t[2][c[5] as usize]
            ^ t[1][c[6] as usize]
            ^ t[0][c[7] as usize];
    }
    chunks
        .remainder()
        .iter()
        .fold(crc, |crc, b| (crc >> 8) ^ t[0][((crc ^ u32::from(*b)) & 255) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_their_published_check_values() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(!crc32_raw(!0, b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        assert_eq!(seconds([1970, 1, 1, 0, 0, 0]), 0);
        assert_eq!(seconds([2000, 2, 29, 12, 0, 1]), 951_825_601);
        assert_eq!(seconds([2100, 3, 1, 0, 0, 0]), 4_107_542_400);
    }

    #[test]
    fn content_of_several_runs_has_zeros_between() {
        let image = Bytes::from_static(b"abcdefgh");
        let runs = vec![Run { file: 4, image: 0, len: 2 }, Run { file: 0, image: 6, len: 2 }];
        let loaded = content(&image, 7, runs).load(&Budget::ample());
        assert_eq!((&loaded.bytes[..], loaded.problems.len()), (&b"gh\0\0ab\0"[..], 0));
        let runs = vec![Run { file: 0, image: 6, len: 4 }, Run { file: 4, image: 0, len: 2 }];
        let loaded = content(&image, 6, runs).load(&Budget::ample());
        assert_eq!((&loaded.bytes[..], loaded.problems.len()), (&b"gh\0\0ab"[..], 1));
    }
}
