//! From paths to texts: folders, gzip, zip. What a file is, is told by its first bytes, not by its name.
//!
//! Bounds: bytes that come out of one file, entries and size of an archive's directory, length of a line. An
//! entry's name is only shown, never used as a path. Zip is read by its central directory, with ZIP64, stored and
//! deflated entries; CRC-32 is checked. Source: APPNOTE.TXT 6.3.10.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use flate2::{Crc, bufread::MultiGzDecoder, read::DeflateDecoder};

use crate::feed::{Parsed, Problem, read, scan::Limits};

/// Bounds of reading one file.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Bytes that may come out of it.
    pub output: u64,
    /// Files in a folder, or entries in an archive.
    pub entries: usize,
    /// Bounds of one record.
    pub limits: Limits,
}

impl Default for Budget {
    fn default() -> Self {
        // NVD as a whole has 2 GB, the CVE list as a whole 3 GB.
        Self { output: 32 << 30, entries: 2_000_000, limits: Limits::default() }
    }
}

/// Bytes that deflate can make of one, and a little more.
const RATIO: u64 = 400;

/// All files under the paths, in the order of their names, each once. Names that begin with a dot are left out in
/// folders, links are not followed there.
///
/// # Errors
/// A path that cannot be read, or more files than allowed.
pub fn files(paths: &[PathBuf], budget: &Budget) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut found = BTreeSet::new();
    let mut open: Vec<PathBuf> = Vec::new();
    for path in paths {
        let about = fs::metadata(path).map_err(|e| (path.clone(), e))?;
        if about.is_dir() {
            open.push(path.clone());
        } else {
            found.insert(path.clone());
        }
    }
    while let Some(folder) = open.pop() {
        let fail = |e| (folder.clone(), e);
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let kind = entry.file_type().map_err(fail)?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.insert(entry.path());
            }
            if found.len().saturating_add(open.len()) > budget.entries {
                let e = io::Error::other(format!(
                    "more than {} files; import a part of them",
                    budget.entries
                ));
                return Err((folder, e));
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// Reads one file, whatever it is.
pub fn each(path: &Path, budget: &Budget, out: &mut dyn FnMut(Result<Parsed, Problem>)) {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => stream(file, &name, budget, out),
        Err(e) => out(Err(Problem {
            cut: true,
            ..Problem::of(&name, "the file", format!("cannot be opened: {e}"))
        })),
    }
}

/// Reads one open file or text in memory.
pub fn stream<R: Read + Seek>(
    mut source: R,
    name: &str,
    budget: &Budget,
    out: &mut dyn FnMut(Result<Parsed, Problem>),
) {
    let mut cut =
        |reason: String| out(Err(Problem { cut: true, ..Problem::of(name, "the file", reason) }));
    let mut head = Vec::new();
    let size = source.seek(SeekFrom::End(0)).and_then(|n| source.rewind().map(|()| n));
    let opened = size.and_then(|n| {
        source.by_ref().take(6).read_to_end(&mut head)?;
        source.rewind()?;
        Ok(n)
    });
    let size = match opened {
        Ok(n) => n,
        Err(e) => return cut(format!("cannot be read: {e}")),
    };
    if let Some(reason) = refused(&head) {
        return cut(reason.to_owned());
    }
    if head.starts_with(b"PK") {
        let mut archive = match Zip::open(source, size, budget) {
            Ok(archive) => archive,
            Err(e) => return cut(format!("the archive's directory is damaged: {e}")),
        };
        return archive.each(name, budget, out);
    }
    let mut buffered = BufReader::with_capacity(1 << 18, source);
    if head.starts_with(&[0x1f, 0x8b]) {
        let left = budget.output.min(size.saturating_mul(RATIO).max(64 << 20));
        read(&mut Bounded { inner: MultiGzDecoder::new(buffered), left }, name, budget.limits, out);
    } else {
        read(&mut Bounded { inner: &mut buffered, left: budget.output }, name, budget.limits, out);
    }
}

/// Compressions that are known and not read.
fn refused(head: &[u8]) -> Option<&'static str> {
    let is = |magic: &[u8]| head.starts_with(magic);
    if is(&[0xfd, b'7', b'z', b'X', b'Z']) {
        Some("compressed with xz; decompress it first (xz -d)")
    } else if is(b"BZh") {
        Some("compressed with bzip2; decompress it first (bzip2 -d)")
    } else if is(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some("compressed with zstd; decompress it first (zstd -d)")
    } else {
        None
    }
}

/// A source that ends with an error when more comes out of it than allowed.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            io::Error::other("more comes out of this file than the budget allows")
        })?;
        Ok(n)
    }
}

/// Gives a reader's lines, in bounds, to a function that may find one wrong; whether the text was cut.
pub fn lines(
    source: &mut dyn BufRead,
    mut line: impl FnMut(&str) -> Result<(), (String, String)>,
    wrong: &mut dyn FnMut(String, String, bool),
) -> bool {
    const LONGEST: u64 = 1 << 20;
    let mut buffer = Vec::new();
    let mut number = 0_u64;
    loop {
        buffer.clear();
        number = number.saturating_add(1);
        match source.take(LONGEST).read_until(b'\n', &mut buffer) {
            Ok(0) => return false,
            Ok(_) if buffer.len() as u64 >= LONGEST => {
                wrong(format!("line {number}"), "longer than the limit for one line".into(), true);
                return true;
            }
            Ok(_) => {
                let text = String::from_utf8_lossy(&buffer);
                if let Err((record, reason)) = line(text.trim_end_matches(['\n', '\r'])) {
                    wrong(record, reason, false);
                }
            }
            Err(e) => {
                wrong(
                    format!("line {number}"),
                    format!("the data ends or is damaged here: {e}"),
                    true,
                );
                return true;
            }
        }
    }
}

/// One entry of an archive.
struct Entry {
    name: String,
    method: u16,
    encrypted: bool,
    crc: u32,
    packed: u64,
    size: u64,
    header: u64,
}

/// An archive with its directory.
struct Zip<R> {
    source: R,
    entries: Vec<Entry>,
    size: u64,
}

/// Little-endian number at a place.
fn le(bytes: &[u8], at: usize, n: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(n)?)?;
    Some(field.iter().rev().fold(0, |all, b| all << 8 | u64::from(*b)))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl<R: Read + Seek> Zip<R> {
    fn open(mut source: R, size: u64, budget: &Budget) -> io::Result<Self> {
        let tail_at = size.saturating_sub(65_557);
        let tail = read_at(&mut source, tail_at, size.saturating_sub(tail_at))?;
        let end =
            memchr::memmem::rfind(&tail, b"PK\x05\x06").ok_or_else(|| damaged("it has no end"))?;
        let field = |at: usize, n| {
            le(&tail, end.saturating_add(at), n).ok_or_else(|| damaged("its end is cut"))
        };
        let (mut length, mut start) = (field(12, 4)?, field(16, 4)?);
        // ZIP64: the locator stands right before.
        if let Some(at) = end.checked_sub(20)
            && tail.get(at..at.saturating_add(4)) == Some(b"PK\x06\x07")
            && let Some(place) = le(&tail, at.saturating_add(8), 8)
        {
            let record = read_at(&mut source, place, 56)?;
            if record.starts_with(b"PK\x06\x06") {
                length = le(&record, 40, 8).unwrap_or(length);
                start = le(&record, 48, 8).unwrap_or(start);
            }
        }
        if length > (256 << 20) || start.checked_add(length).is_none_or(|e| e > size) {
            return Err(damaged("it lies outside the file or is too large"));
        }
        let directory = read_at(&mut source, start, length)?;
        let mut entries = Vec::new();
        let mut at = 0_usize;
        while directory.get(at..at.saturating_add(4)) == Some(b"PK\x01\x02") {
            let (entry, next) =
                central(&directory, at).ok_or_else(|| damaged("an entry is cut"))?;
            entries.push(entry);
            at = next;
            if entries.len() > budget.entries {
                return Err(damaged("more entries than allowed"));
            }
        }
        Ok(Self { source, entries, size })
    }

    fn each(
        &mut self,
        archive: &str,
        budget: &Budget,
        out: &mut dyn FnMut(Result<Parsed, Problem>),
    ) {
        let mut left = budget.output.min(self.size.saturating_mul(RATIO).max(64 << 20));
        for entry in std::mem::take(&mut self.entries) {
            if entry.name.ends_with('/') || entry.size == 0 {
                continue;
            }
            let name = format!("{archive}:{}", entry.name.escape_default());
            if let Err(e) = self.one(&entry, &name, &mut left, budget, out) {
                out(Err(Problem { cut: true, ..Problem::of(&name, "the entry", e.to_string()) }));
                if left == 0 {
                    return;
                }
            }
        }
    }

    fn one(
        &mut self,
        entry: &Entry,
        name: &str,
        left: &mut u64,
        budget: &Budget,
        out: &mut dyn FnMut(Result<Parsed, Problem>),
    ) -> io::Result<()> {
        if entry.encrypted {
            return Err(damaged("it is encrypted"));
        }
        let header = read_at(&mut self.source, entry.header, 30)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(damaged("it does not stand where the archive's directory says"));
        }
        let skip =
            le(&header, 26, 2).zip(le(&header, 28, 2)).map_or(0, |(a, b)| a.saturating_add(b));
        self.source.seek(SeekFrom::Start(entry.header.saturating_add(30).saturating_add(skip)))?;
        let packed = self.source.by_ref().take(entry.packed);
        let plain: Box<dyn Read + '_> = match entry.method {
            0 => Box::new(packed),
            8 => Box::new(DeflateDecoder::new(packed)),
            other => {
                return Err(damaged(&format!(
                    "it is compressed by method {other}, which is not read"
                )));
            }
        };
        let bounded = Bounded { inner: plain, left: *left };
        let mut checked = Checked { inner: bounded, crc: Crc::new(), want: entry.crc };
        if entry.size <= budget.limits.record as u64 {
            // Small enough to be checked as a whole before a word of it is believed.
            let mut text = Vec::new();
            let result = checked.by_ref().take(entry.size.saturating_add(1)).read_to_end(&mut text);
            *left = checked.inner.left;
            result?;
            if text.len() as u64 != entry.size {
                return Err(damaged("it has another length than the archive's directory says"));
            }
            if let Some(reason) = refused(&text).or(text
                .starts_with(b"PK\x03")
                .then_some("an archive within an archive; unpack the outer one first"))
            {
                return Err(damaged(reason));
            }
            if text.starts_with(&[0x1f, 0x8b]) {
                let mut inner =
                    Bounded { inner: MultiGzDecoder::new(text.as_slice()), left: *left };
                read(&mut inner, name, budget.limits, out);
                *left = inner.left;
            } else {
                read(&mut text.as_slice(), name, budget.limits, out);
            }
        } else {
            read(&mut checked, name, budget.limits, out);
            *left = checked.inner.left;
        }
        Ok(())
    }
}

/// Checks CRC-32 at the end.
struct Checked<R> {
    inner: R,
    crc: Crc,
    want: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        if n == 0 && !out.is_empty() && self.crc.sum() != self.want {
            return Err(damaged("the checksum is wrong"));
        }
        self.crc.update(out.get(..n).unwrap_or_default());
        Ok(n)
    }
}

fn read_at<R: Read + Seek>(source: &mut R, at: u64, n: u64) -> io::Result<Vec<u8>> {
    source.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    source.take(n).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < n { Err(damaged("it is cut")) } else { Ok(bytes) }
}

/// An entry of the directory, and where the next one stands.
fn central(directory: &[u8], at: usize) -> Option<(Entry, usize)> {
    let field = |offset: usize, n| le(directory, at.checked_add(offset)?, n);
    let length = |offset| usize::try_from(field(offset, 2)?).ok();
    let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
    let name_at = at.checked_add(46)?;
    let extra_at = name_at.checked_add(name)?;
    let next = extra_at.checked_add(extra)?.checked_add(comment)?;
    let mut entry = Entry {
        name: String::from_utf8_lossy(directory.get(name_at..extra_at)?).into_owned(),
        method: u16::try_from(field(10, 2)?).ok()?,
        encrypted: field(8, 2)? & 1 == 1,
        crc: u32::try_from(field(16, 4)?).ok()?,
        packed: field(20, 4)?,
        size: field(24, 4)?,
        header: field(42, 4)?,
    };
    // ZIP64: the fields that did not fit, in this order.
    let mut rest = directory.get(extra_at..extra_at.checked_add(extra)?)?;
    while let (Some(id), Some(n)) = (le(rest, 0, 2), le(rest, 2, 2)) {
        let end = usize::try_from(n).ok()?.checked_add(4)?;
        if id == 1 {
            let body = rest.get(4..end)?;
            let full = u64::from(u32::MAX);
            let mut place = 0;
            for value in [&mut entry.size, &mut entry.packed, &mut entry.header] {
                if *value == full {
                    *value = le(body, place, 8)?;
                    place = place.checked_add(8)?;
                }
            }
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    Some((entry, next))
}
