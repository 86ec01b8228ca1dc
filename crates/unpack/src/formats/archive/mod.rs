//! Archives: several named entries in one stream of bytes.

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, locator::escape};

use crate::{
    budget::Budget,
    codec::{check, packed},
    format::{Blob, Entry, Format, Load, Loaded, Sink},
};

mod ar;
mod arc;
mod arj;
pub(crate) mod cab;
mod cpio;
mod dmg;
mod lha;
pub(crate) mod oci;
mod ole;
mod par2;
mod rar;
mod rpm;
mod sevenz;
mod shell;
pub(crate) mod stuffit;
mod tar;
mod xar;
mod xml;
mod zip;
mod zip_crypt;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &ar::Ar,
    &arc::Arc,
    &arj::Arj,
    &cab::Cab,
    &cpio::Cpio,
    &dmg::Dmg,
    &lha::Lha,
    &ole::Ole,
    &par2::Par2,
    &rar::Rar,
    &rpm::Rpm,
    &sevenz::SevenZip,
    &shell::Shell,
    &stuffit::StuffIt,
    &tar::Tar,
    &xar::Xar,
    &zip::Zip,
];

/// A stored name as path of an entry: without leading `/` and `./` and trailing `/`. A name that would
/// leave the container is kept and reported.
fn path(stored: &[u8]) -> (Vec<u8>, Option<Problem>) {
    let mut rest = stored;
    let absolute = rest.starts_with(b"/");
    loop {
        rest = match rest {
            [b'/', r @ ..] | [b'.', b'/', r @ ..] => r,
            b"." => b"",
            _ => break,
        };
    }
    while let [r @ .., b'/'] = rest {
        rest = r;
    }
    let climbs = rest.split(|b| *b == b'/').any(|part| part == b"..");
    let problem = (climbs || absolute).then(|| {
        let what = if climbs { "leads out of the archive" } else { "is absolute" };
        Problem::new(ProblemKind::UnsafePath, format!("the name `{}` {what}", escape(stored)))
    });
    (rest.to_vec(), problem)
}

/// An entry under a stored name; without content and metadata yet.
fn entry(stored: &[u8], kind: EntryKind) -> Entry {
    let (path, problem) = path(stored);
    let mut entry = Entry::file(path, Blob::None);
    entry.kind = kind;
    entry.problems.extend(problem);
    entry
}

/// A content whose archive has its CRC-16.
struct Summed {
    data: Bytes,
    decode: packed::Decode,
    size: usize,
    crc: u16,
}

impl Load for Summed {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let made = (self.decode)(&self.data, self.size, budget);
        let mut problems: Vec<Problem> = made.error.into_iter().map(Into::into).collect();
        if problems.is_empty() && check::crc16(&made.bytes) != self.crc {
            let text = "the CRC-16 of the content is not right";
            problems.push(Problem::new(ProblemKind::Checksum, text));
        }
        Loaded { bytes: made.bytes.into(), problems }
    }
}

/// Puts an entry; what an archive says about its root folder becomes an attribute. False when the budget of
/// entries is used up.
fn put(sink: &mut Sink<'_>, made: Entry) -> bool {
    if made.path.is_empty() && made.kind == EntryKind::Directory {
        let m = made.metadata;
        let (mode, uid, gid) = (m.mode.unwrap_or(0), m.uid.unwrap_or(0), m.gid.unwrap_or(0));
        sink.attribute("root", format!("mode={mode:o} uid={uid} gid={gid}"));
        return true;
    }
    sink.entry(made).is_ok()
}

/// What a Unix mode says an entry is; none for a regular file or anything unknown.
fn kind_of_mode(mode: u32, device: (u32, u32)) -> Option<EntryKind> {
    let (major, minor) = device;
    Some(match mode & 0o170_000 {
        0o040_000 => EntryKind::Directory,
        0o020_000 => EntryKind::CharDevice { major, minor },
        0o060_000 => EntryKind::BlockDevice { major, minor },
        0o010_000 => EntryKind::Fifo,
        0o140_000 => EntryKind::Socket,
        _ => return None,
    })
}

/// Whether all of these bytes are zero.
fn zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == 0)
}

/// Which bytes of a region are explained; the rest become gaps.
struct Cover {
    len: usize,
    ranges: Vec<(usize, usize)>,
}

impl Cover {
    fn new(len: usize) -> Self {
        Self { len, ranges: Vec::new() }
    }

    /// Bytes from `start` to before `end` are structure or belong to an entry.
    fn add(&mut self, start: usize, end: usize) {
        let end = end.min(self.len);
        if start < end {
            self.ranges.push((start, end));
        }
    }

    /// Puts an entry for each run of bytes that nothing explains.
    fn gaps(mut self, region: &Bytes, sink: &mut Sink<'_>) {
        self.ranges.sort_unstable();
        self.ranges.push((self.len, self.len));
        let mut at = 0;
        for (start, end) in self.ranges {
            if start > at {
                let mut gap = Entry::file(format!("unallocated-{at:#x}"), Blob::None);
                gap.kind = EntryKind::Gap;
                gap.blob = Blob::Bytes(region.slice(at..start.min(region.len())));
                if sink.entry(gap).is_err() {
                    return;
                }
            }
            at = at.max(end);
        }
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; none for a month or day that does not exist.
///
/// Method: H. Hinnant, "chrono-compatible low-level date algorithms"; years begin in March.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month > 2 { year } else { year.checked_sub(1)? };
    let month = if month > 2 { month.checked_sub(3)? } else { month.checked_add(9)? };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year =
        month.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(day)?.checked_sub(1)?;
    let leap = (of_era / 4).checked_sub(of_era / 100)?;
    let in_era = of_era.checked_mul(365)?.checked_add(leap)?.checked_add(of_year)?;
    era.checked_mul(146_097)?.checked_add(in_era)?.checked_sub(719_468)
}

/// Seconds since 1970 of a DOS date (upper half) and time (lower half), taken as UTC.
fn dos_seconds(stamp: u32) -> Option<i64> {
    let (date, time) = (i64::from(stamp >> 16), i64::from(stamp & 0xffff));
    let days = days((date >> 9).checked_add(1980)?, (date >> 5) & 15, date & 31)?;
    let minutes = (time >> 11).checked_mul(60)?.checked_add((time >> 5) & 63)?;
    days.checked_mul(86_400)?
        .checked_add(minutes.checked_mul(60)?)?
        .checked_add((time & 31).checked_mul(2)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2000, 2, 29), Some(11_016));
        assert_eq!(days(2017, 13, 1), None);
        assert_eq!(
            dos_seconds((37 << 25) | (7 << 21) | (14 << 16) | (2 << 11) | (40 << 5)),
            Some(1_500_000_000)
        );
    }

    #[test]
    fn names() {
        assert_eq!(path(b"./a/b/").0, b"a/b");
        assert_eq!(path(b".").0, b"");
        assert!(
            path(b"a/../b").1.is_some() && path(b"/etc").1.is_some() && path(b"a..b").1.is_none()
        );
    }
}
