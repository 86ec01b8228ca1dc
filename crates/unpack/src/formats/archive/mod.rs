//! Archives: several named entries in one stream of bytes.

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, locator::escape};

use crate::format::{Blob, Entry, Format, Sink};

mod ar;
mod cpio;
mod rpm;
mod tar;
mod zip;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[&ar::Ar, &cpio::Cpio, &rpm::Rpm, &tar::Tar, &zip::Zip];

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
