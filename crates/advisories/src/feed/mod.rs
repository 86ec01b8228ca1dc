//! Readers of feeds, one file for each format, and how a text is recognised and cut into records.
//!
//! What a file is, is told by its content: compression by the first bytes, the format by the keys of its
//! documents. A file may be one document, one document for each line, a list of records in a wrapper of any size,
//! lines of text, or an archive of such files. Only one record at a time is built; a bad one is a [`Problem`], and
//! the next one is read.

mod alpine;
mod build_system;
mod csaf;
mod cve5;
mod debian;
mod epss;
mod json;
mod kev;
mod linux;
mod mbedtls;
mod nvd;
pub mod open;
mod osv;
mod purl;
pub mod scan;
mod ubuntu;

use std::io::{BufRead, BufReader, Read};

use rayon::prelude::*;

use crate::{
    feed::scan::{Broken, Limits, Scanner},
    record::Record,
};

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The set it belongs to.
    pub set: Set,
    /// What it says.
    pub items: Vec<Item>,
}

/// A set of data of one feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set {
    /// The feed.
    pub feed: String,
    /// Which part of it, such as `v3.18/main`; empty where the file says nothing about that.
    pub name: String,
    /// It is all there is of this part: what was there before and is not in it goes away.
    pub whole: bool,
    /// Moment it was made, in milliseconds since 1970-01-01, where it says so.
    pub made: Option<i64>,
}

impl Set {
    /// Records that come in any number of files.
    fn loose(feed: impl Into<String>) -> Self {
        Self { feed: feed.into(), ..Self::default() }
    }
}

/// One statement of a feed.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A record, with the moment of its last change in milliseconds where it says so.
    Record(Box<Record>, Option<i64>),
    /// On the list of known exploited vulnerabilities since that day.
    Kev(i64, Option<i32>),
    /// EPSS probability in parts per million.
    Epss(i64, u32),
}

/// Something in a file that could not be read. The rest was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// The file, with the entry where it is an archive.
    pub file: String,
    /// The record: its id, or the place of it.
    pub record: String,
    /// What is wrong with it.
    pub reason: String,
    /// The reading ended there: what follows in this file is missing.
    pub cut: bool,
}

impl Problem {
    fn of(file: &str, record: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut record = record.into();
        if record.is_empty() {
            record.push_str("a record without a name");
        }
        Self { file: file.to_owned(), record, reason: reason.into(), cut: false }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.file, self.record, self.reason)
    }
}

/// How documents of a format lie in a file.
enum Shape {
    /// One document is one record, or few.
    Document,
    /// The records are the elements of this list.
    Elements(&'static str),
    /// The records are the members of the document.
    Members,
}

/// A format of JSON documents.
struct Format {
    id: &'static str,
    shape: Shape,
    /// Whether a document with these keys (with their depth) is of this format.
    claims: fn(&Keys<'_>) -> bool,
    /// Reads one record.
    parse: fn(&[u8], &Origin) -> Result<Parsed, String>,
}

/// A format of lines.
struct Lines {
    id: &'static str,
    /// Whether a text that begins like this is of this format.
    claims: fn(&str) -> bool,
    /// Reads all of it.
    read: fn(&mut dyn BufRead, &str, &mut dyn FnMut(Result<Parsed, Problem>)),
}

/// All formats of JSON documents. At most one claims a document.
const FORMATS: &[Format] = &[
    nvd::FEED,
    nvd::OVERRIDE,
    cve5::FORMAT,
    osv::FORMAT,
    kev::FORMAT,
    alpine::FORMAT,
    debian::TRACKER,
    ubuntu::FORMAT,
    build_system::LINES,
    build_system::YOCTO,
    csaf::FORMAT,
    linux::FORMAT,
    mbedtls::FORMAT,
];

/// All formats of lines.
const LINES: &[Lines] = &[epss::FORMAT, kev::CSV, debian::LIST];

/// Names of all formats that can be read.
pub fn formats() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|f| f.id).chain(LINES.iter().map(|f| f.id))
}

/// Keys at the beginning of a document.
struct Keys<'a>(&'a [(u32, String)]);

impl Keys<'_> {
    /// All of these are keys of the document itself.
    fn top(&self, names: &[&str]) -> bool {
        names.iter().all(|n| self.0.iter().any(|(d, k)| *d == 1 && k == n))
    }

    /// There is such a key at that depth.
    fn at(&self, depth: u32, test: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|(d, k)| *d == depth && test(k))
    }
}

/// What is known of a record beside its own text.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Its key, where it is a member.
    pub member: Option<String>,
    /// Members of the document that came before the list and have a simple value.
    pub head: Vec<(String, String)>,
}

impl Origin {
    /// A simple value of the document around.
    fn said(&self, key: &str) -> Option<&str> {
        self.head.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// One record's text on its way.
struct Raw {
    range: std::ops::Range<usize>,
    member: Option<String>,
    index: u64,
}

/// Texts of records, gathered until it is worth to parse them at once.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    raws: Vec<Raw>,
}

/// Bytes of a batch.
const BATCH: usize = 4 << 20;

/// Reads a text, whatever it is; hands on what it says in the order of the text.
pub fn read(
    source: &mut dyn Read,
    file: &str,
    limits: Limits,
    out: &mut dyn FnMut(Result<Parsed, Problem>),
) {
    let mut scanner = Scanner::new(source, limits);
    let head = match scanner.look(4096) {
        Ok(head) => head.to_vec(),
        Err(e) => return out(Err(unreadable(file, "the beginning", &e))),
    };
    let text = String::from_utf8_lossy(&head).into_owned();
    if let Some(lines) = LINES.iter().find(|l| (l.claims)(&text)) {
        let mut rest = BufReader::with_capacity(1 << 16, Rest(scanner));
        let mut silent = true;
        (lines.read)(&mut rest, file, &mut |result| {
            silent = false;
            out(result);
        });
        if silent {
            let reason = "the data ends or is damaged here: there is no record behind the heading";
            let problem = Problem::of(file, "the beginning", reason.to_owned());
            out(Err(Problem { cut: true, ..problem }));
        }
        return;
    }
    let mut reader = Documents {
        scanner,
        file,
        out,
        hint: None,
        count: 0,
        last: String::new(),
        batch: Batch::default(),
        origin: Origin::default(),
    };
    if let Err(e) = reader.run() {
        // What came before the damage is good.
        reader.flush();
        let place = if reader.last.is_empty() {
            "the beginning".to_owned()
        } else {
            format!("after {}", reader.last)
        };
        let problem = unreadable(file, &place, &e);
        (reader.out)(Err(problem));
    }
}

fn unreadable(file: &str, place: &str, e: &std::io::Error) -> Problem {
    Problem {
        cut: true,
        ..Problem::of(file, place, format!("the data ends or is damaged here: {e}"))
    }
}

/// A scanner as a source of lines.
struct Rest<'r>(Scanner<'r>);

impl Read for Rest<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let ahead = self.0.look(1)?;
        let n = ahead.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), ahead.get(..n)) {
            to.copy_from_slice(from);
        }
        self.0.skip(n);
        Ok(n)
    }
}

/// Reads documents one after the other.
struct Documents<'r, 'o> {
    scanner: Scanner<'r>,
    file: &'o str,
    out: &'o mut dyn FnMut(Result<Parsed, Problem>),
    hint: Option<&'static Format>,
    count: u64,
    last: String,
    batch: Batch,
    origin: Origin,
}

/// How much of a document is looked at to tell what it is.
const WINDOW: usize = 1 << 20;

impl Documents<'_, '_> {
    fn run(&mut self) -> std::io::Result<()> {
        while let Some(first) = self.scanner.peek()? {
            // A list of documents is taken for the documents in it.
            if matches!(first, b',' | b']') || (first == b'[' && self.count == 0) {
                self.scanner.skip(1);
                continue;
            }
            // A document after the first that was no wrapper is of the same kind.
            if self.hint.is_none_or(|f| !matches!(f.shape, Shape::Document)) {
                let keys = scan::keys_of(self.scanner.look(WINDOW)?, 400);
                let found = recognise(&keys);
                if let Some(format) = found.filter(|f| !matches!(f.shape, Shape::Document)) {
                    self.flush();
                    self.wrapper(format)?;
                    continue;
                }
                self.hint = found;
            }
            self.one(None)?;
            if self.batch.bytes.len() >= BATCH {
                self.flush();
            }
        }
        self.flush();
        if self.count == 0 {
            let problem = Problem {
                cut: true,
                ..Problem::of(self.file, "the beginning", "there is nothing in it")
            };
            (self.out)(Err(problem));
        }
        Ok(())
    }

    /// Puts the value at the cursor into the batch; whether it could be taken.
    fn one(&mut self, member: Option<String>) -> std::io::Result<bool> {
        self.count = self.count.saturating_add(1);
        match self.scanner.value() {
            Ok(value) => {
                let (start, n) = (self.batch.bytes.len(), value.len());
                self.batch.bytes.extend_from_slice(value);
                self.scanner.skip(n);
                let range = start..start.saturating_add(n);
                self.batch.raws.push(Raw { range, member, index: self.count });
                Ok(true)
            }
            Err(broken) => {
                let (head, reason, resume) = match broken {
                    Broken::Io(e) => return Err(e),
                    Broken::Syntax { head, reason } => (head, reason, false),
                    Broken::TooLarge { head } => {
                        let reason =
                            "larger than the limit for one record; it was left out".to_owned();
                        (head, reason, true)
                    }
                };
                self.flush();
                let mut problem = Problem::of(self.file, self.name(&head, member), reason);
                problem.cut = problem.reason.contains("ends in the middle");
                (self.out)(Err(problem));
                if !resume && self.hint.is_none_or(|f| matches!(f.shape, Shape::Document)) {
                    self.scanner.next_line()?;
                }
                Ok(resume)
            }
        }
    }

    fn name(&self, head: &[u8], member: Option<String>) -> String {
        match member.or_else(|| id_in(head)) {
            Some(id) => id,
            None => format!("record {}", self.count),
        }
    }

    /// Parses what was gathered and hands it on.
    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let origin = &self.origin;
        let (file, hint) = (self.file, self.hint);
        let text = |raw: &Raw| batch.bytes.get(raw.range.clone()).unwrap_or_default();
        let one = |raw: &Raw| {
            let origin = Origin { member: raw.member.clone(), head: origin.head.clone() };
            parse(text(raw), hint, &origin).map_err(|reason| {
                let name = raw.member.clone().or_else(|| id_in(text(raw)));
                Problem::of(file, name.unwrap_or_else(|| format!("record {}", raw.index)), reason)
            })
        };
        // Other threads do not pay for few.
        let parsed: Vec<Result<Parsed, Problem>> = match batch.raws.len() {
            ..64 => batch.raws.iter().map(one).collect(),
            _ => batch.raws.par_iter().with_min_len(64).map(one).collect(),
        };
        if let Some(raw) = batch.raws.last()
            && let Some(id) = raw.member.clone().or_else(|| id_in(text(raw)))
        {
            self.last = id;
        }
        parsed.into_iter().for_each(&mut *self.out);
    }

    /// Reads a document whose records are elements of a list, or its members.
    fn wrapper(&mut self, format: &'static Format) -> std::io::Result<()> {
        self.hint = Some(format);
        self.scanner.take(b'{')?;
        self.origin = Origin::default();
        let mut closed = false;
        let mut elements = 0_u64;
        while self.scanner.peek()?.is_some() {
            if self.scanner.take(b'}')? {
                closed = true;
                break;
            }
            if self.scanner.take(b',')? {
                continue;
            }
            let Some(key) = self.key()? else { break };
            match &format.shape {
                Shape::Elements(list) if key == *list && self.scanner.peek()? == Some(b'[') => {
                    self.scanner.skip(1);
                    let before = self.count;
                    self.elements()?;
                    elements = elements.saturating_add(self.count.saturating_sub(before));
                }
                Shape::Members => {
                    if !self.one(Some(key))? {
                        break;
                    }
                }
                _ => match self.scanner.value() {
                    Ok(value) => {
                        let n = value.len();
                        if n <= 256 {
                            let text = String::from_utf8_lossy(value).trim_matches('"').to_owned();
                            self.origin.head.push((key, text));
                        }
                        self.scanner.skip(n);
                    }
                    Err(Broken::Io(e)) => return Err(e),
                    Err(Broken::TooLarge { .. }) => {}
                    Err(Broken::Syntax { reason, .. }) => {
                        let problem = Problem { cut: true, ..Problem::of(self.file, key, reason) };
                        (self.out)(Err(problem));
                        break;
                    }
                },
            }
            if self.batch.bytes.len() >= BATCH {
                self.flush();
            }
        }
        self.flush();
        self.count = self.count.max(1);
        // NVD says how many there are on the page, KEV how many in all.
        let announced = self
            .origin
            .said("resultsPerPage")
            .or(self.origin.said("count"))
            .and_then(|n| n.parse::<u64>().ok());
        if let (Some(announced), Shape::Elements(_)) = (announced, &format.shape)
            && elements < announced
        {
            let reason = format!("{announced} records are announced, {elements} are there");
            (self.out)(Err(Problem { cut: true, ..Problem::of(self.file, "the list", reason) }));
        }
        if !closed && self.scanner.peek()?.is_none() {
            let reason = "the document has no end";
            (self.out)(Err(Problem {
                cut: true,
                ..Problem::of(self.file, "the document", reason)
            }));
        }
        self.origin = Origin::default();
        Ok(())
    }

    /// The key at the cursor and the colon after it.
    fn key(&mut self) -> std::io::Result<Option<String>> {
        let key = match self.scanner.value() {
            Ok(key) => key.to_vec(),
            Err(Broken::Io(e)) => return Err(e),
            Err(_) => Vec::new(),
        };
        self.scanner.skip(key.len());
        match serde_json::from_slice::<String>(&key).ok().filter(|k| k.len() <= 1024) {
            Some(key) if self.scanner.take(b':')? => Ok(Some(key)),
            _ => {
                let name = format!("after record {}", self.count);
                let reason = "this is not JSON; what follows in this file is left out";
                (self.out)(Err(Problem { cut: true, ..Problem::of(self.file, name, reason) }));
                Ok(None)
            }
        }
    }

    /// The elements of a list, from behind its bracket to behind the closing one.
    fn elements(&mut self) -> std::io::Result<()> {
        let mut mark: Option<Vec<u8>> = None;
        while let Some(next) = self.scanner.peek()? {
            match next {
                b']' => {
                    self.scanner.skip(1);
                    return Ok(());
                }
                b',' => self.scanner.skip(1),
                _ => {
                    let before = self.batch.raws.len();
                    let taken = self.one(None)?;
                    if taken && mark.is_none() && self.batch.raws.len() > before {
                        mark = self
                            .batch
                            .raws
                            .last()
                            .and_then(|r| beginning(self.batch.bytes.get(r.range.clone())?));
                    }
                    if !taken && !mark.as_ref().map_or(Ok(false), |m| self.scanner.seek(m))? {
                        return Ok(());
                    }
                }
            }
            if self.batch.bytes.len() >= BATCH {
                self.flush();
            }
        }
        let name = if self.last.is_empty() {
            "the list".to_owned()
        } else {
            format!("after {}", self.last)
        };
        self.flush();
        (self.out)(Err(Problem {
            cut: true,
            ..Problem::of(self.file, name, "the list has no end")
        }));
        Ok(())
    }
}

/// How the elements of a list begin: up to the first key, and the one below where that opens an object. By this
/// the next element is found when one is damaged.
fn beginning(element: &[u8]) -> Option<Vec<u8>> {
    let colon = element.iter().position(|b| *b == b':')?;
    let after = element.get(colon.saturating_add(1)..)?;
    let open = after.iter().position(|b| !b.is_ascii_whitespace())?;
    let more = match after.get(open) {
        Some(b'{') => after.iter().position(|b| *b == b':').map_or(0, |n| n.saturating_add(1)),
        _ => 0,
    };
    let end = colon.saturating_add(1).saturating_add(more);
    element.get(..end).filter(|m| (4..=256).contains(&m.len())).map(<[u8]>::to_vec)
}

/// The format that claims a document with these keys.
fn recognise(keys: &[(u32, String)]) -> Option<&'static Format> {
    FORMATS.iter().find(|f| (f.claims)(&Keys(keys)))
}

/// Parses one record: as its neighbours are, else as what it looks like.
fn parse(text: &[u8], hint: Option<&'static Format>, origin: &Origin) -> Result<Parsed, String> {
    let first = match hint {
        Some(format) => match (format.parse)(text, origin) {
            Ok(parsed) => return Ok(parsed),
            Err(reason) => Some((format, reason)),
        },
        None => None,
    };
    let other = recognise(&scan::keys_of(text, 400)).filter(|f| matches!(f.shape, Shape::Document));
    match (first, other) {
        (Some((format, _)), Some(other)) if other.id != format.id => (other.parse)(text, origin),
        (Some((_, reason)), _) => Err(reason),
        (None, Some(other)) => (other.parse)(text, origin),
        (None, None) => Err("not recognised as advisory data of a known format".into()),
    }
}

/// An id near the beginning of a record, to name it when it cannot be read.
fn id_in(text: &[u8]) -> Option<String> {
    let head =
        String::from_utf8_lossy(text.get(..text.len().min(4096)).unwrap_or_default()).into_owned();
    let value_of = |key: &str| {
        let after = head.split_once(key)?.1.trim_start().strip_prefix(':')?.trim_start();
        let id = after.strip_prefix('"')?.split('"').next()?;
        (!id.is_empty() && id.len() <= 80 && id.is_ascii()).then(|| id.to_owned())
    };
    let cve = || {
        let at = head.find("CVE-")?;
        let id: String = head
            .get(at..)?
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        crate::key::cve_number(&id).map(|_| id)
    };
    ["\"cveId\"", "\"cve_id\"", "\"cveID\"", "\"id\"", "\"cve\""]
        .iter()
        .find_map(|k| value_of(k))
        .or_else(cve)
}
