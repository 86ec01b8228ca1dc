//! Containers that are a header and slices: one function reads the header and
//! says how long the container is, which bytes are structure, which are parts
//! and what its checksums say. [`Reader`] makes a [`Format`] of that function.
//!
//! What neither structure nor part claims comes out as a gap, so no such format
//! can lose bytes by forgetting them.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Format, Load, Loaded, Magic, Sink},
    keys::{Key, Opened},
};

/// An [`About`]: family, id, name, metadata, integrity, limits, sources.
macro_rules! about {
    ($family:ident, $id:literal, $name:literal, $metadata:literal, $integrity:literal, $limits:literal,
     $($source:literal),+ $(,)?) => {
        &$crate::format::About {
            id: $id,
            name: $name,
            family: $crate::format::Family::$family,
            revision: 1,
            metadata: $metadata,
            integrity: $integrity,
            limits: $limits,
            sources: &[$($source),+],
        }
    };
}
pub(crate) use about;

/// What is read only once the format was chosen: decoding, listing of compressed tables.
type Later = Box<dyn FnOnce(&Budget, &mut Sink<'_>)>;

/// A header that was read, in terms of the bytes after its start.
pub struct Layout {
    /// Bytes of the whole container, never more than there are.
    pub length: usize,
    /// What proves it.
    pub proof: Proof,
    problems: Vec<Problem>,
    attributes: Vec<(String, String)>,
    structure: Vec<Range<usize>>,
    parts: Vec<(Range<usize>, Entry)>,
    alignment: usize,
    later: Option<Later>,
}

impl Layout {
    /// A container of `declared` bytes in `data`. If they are not all there it is a truncated one.
    #[must_use]
    pub fn new(data: &[u8], declared: u64, proof: Proof) -> Self {
        let there = data.len() as u64;
        let mut layout = Self {
            length: usize::try_from(declared.min(there)).unwrap_or(data.len()).max(1),
            proof,
            problems: Vec::new(),
            attributes: Vec::new(),
            structure: Vec::new(),
            parts: Vec::new(),
            alignment: 0,
            later: None,
        };
        if declared > there {
            layout.problem(
                ProblemKind::Truncated,
                format!("the header declares {declared} bytes, {there} are there"),
            );
            if proof < Proof::ChecksumVerified {
                layout.proof = Proof::MagicOnly;
            }
        }
        layout
    }

    /// A leaf: all of its bytes are structure.
    #[must_use]
    pub fn leaf(data: &[u8], declared: u64, proof: Proof) -> Self {
        let mut layout = Self::new(data, declared, proof);
        layout.structure(0, layout.length);
        layout
    }

    /// Runs of one byte value shorter than this between parts are alignment, thus structure.
    pub fn align(&mut self, bytes: usize) {
        self.alignment = bytes;
    }

    /// Sets an attribute; an empty value is left out.
    pub fn attribute(&mut self, key: &str, value: impl ToString) {
        let value = value.to_string();
        if !value.is_empty() {
            self.attributes.push((key.to_owned(), value));
        }
    }

    /// Adds a shortfall.
    pub fn problem(&mut self, kind: ProblemKind, message: impl Into<String>) {
        self.problems.push(Problem::new(kind, message));
    }

    /// Adds a shortfall that has a place.
    pub fn problem_at(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Whether no shortfall was added.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Records that the content is encrypted, with the evidence.
    pub fn encrypted(&mut self, evidence: impl Into<String>) {
        self.attribute("encrypted", "yes");
        self.problem(ProblemKind::Encrypted, evidence);
    }

    /// `len` bytes from `start` are encrypted, as `evidence` shows: entry `decrypted` where a key for `format` opens
    /// them, else entry `encrypted` and a problem. `open` tries a key.
    pub fn sealed(
        &mut self,
        data: &Bytes,
        budget: &Budget,
        format: &str,
        (start, len): (u64, u64),
        evidence: &str,
        open: impl Fn(&Key, &[u8]) -> Option<Opened>,
    ) {
        let bound = |v: u64| usize::try_from(v).unwrap_or(usize::MAX).min(self.length);
        let range = bound(start)..bound(start.saturating_add(len));
        let body = data.get(range.clone()).unwrap_or_default();
        match unseal(budget, format, body, open) {
            Ok((name, opened)) => {
                self.attribute("encrypted", "yes");
                self.attribute("decrypted-with", name);
                self.attribute("key-verified", if opened.verified { "yes" } else { "no" });
                self.entry(range, Entry::file("decrypted", Blob::Bytes(opened.bytes.into())));
            }
            Err(why) => {
                self.encrypted(format!("{evidence}; {why}"));
                self.part(data, "encrypted", start, len);
            }
        }
    }

    /// `len` bytes from `start` are structure.
    pub fn structure(&mut self, start: usize, len: usize) {
        let end = start.saturating_add(len).min(self.length);
        if start < end {
            self.structure.push(start..end);
        }
    }

    /// `len` bytes from `start` are an entry of that name, as they are. Nothing if `len` is 0.
    pub fn part(&mut self, data: &Bytes, name: impl Into<Vec<u8>>, start: u64, len: u64) {
        self.part_with(data, Entry::file(name, Blob::None), start, len);
    }

    /// As [`part`](Self::part), with the entry's other fields given.
    pub fn part_with(&mut self, data: &Bytes, mut entry: Entry, start: u64, len: u64) {
        if len == 0 {
            return;
        }
        let bound = |v: u64| usize::try_from(v).unwrap_or(usize::MAX).min(self.length);
        let (from, to) = (bound(start), bound(start.saturating_add(len)));
        let there = to.saturating_sub(from) as u64;
        if there < len {
            let message = format!("{len} bytes at {start:#x} are declared, {there} are there");
            entry.problems.push(Problem::new(ProblemKind::Truncated, message));
        }
        entry.blob = Blob::Bytes(data.slice(from.min(data.len())..to.min(data.len())));
        self.parts.push((from..to, entry));
    }

    /// An entry whose content is made from the bytes of `range` (which thereby count as read).
    pub fn entry(&mut self, range: Range<usize>, entry: Entry) {
        let range = range.start.min(self.length)..range.end.min(self.length);
        self.parts.push((range, entry));
    }

    /// Whether the strongest checksum the container carries was right; a wrong one is a problem as well.
    /// `mechanism` and `algorithm` as in the conventions of [`crate::format`].
    pub fn integrity(&mut self, mechanism: &str, algorithm: &str, correct: Option<bool>) {
        self.attribute("integrity", mechanism);
        self.attribute("integrity-algorithm", algorithm);
        let text = match correct {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        if mechanism != "none" {
            self.attribute("integrity-correct", text);
        }
        if correct == Some(false) {
            self.problem(
                ProblemKind::Checksum,
                format!("the {algorithm} of the container does not match"),
            );
        }
    }

    /// Leaves work for when the format was chosen.
    pub fn later(&mut self, work: impl FnOnce(&Budget, &mut Sink<'_>) + 'static) {
        self.later = Some(Box::new(work));
    }

    /// The container's problems, for a probe.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Turns it into entries, gaps included, in the order of their bytes.
    pub fn emit(mut self, data: &Bytes, budget: &Budget, sink: &mut Sink<'_>) {
        for (key, value) in self.attributes {
            sink.attribute(&key, value);
        }
        let mut claimed: Vec<_> = self
            .structure
            .iter()
            .chain(self.parts.iter().map(|(range, _)| range))
            .cloned()
            .collect();
        claimed.sort_by_key(|range| (range.start, range.end));
        for gap in gaps(&claimed, self.length) {
            let bytes = data.slice(gap.start.min(data.len())..gap.end.min(data.len()));
            let filler = bytes.first().is_some_and(|first| bytes.iter().all(|byte| byte == first));
            if !(filler && bytes.len() < self.alignment) {
                self.parts.push((gap.clone(), gap_entry(gap.start as u64, Blob::Bytes(bytes))));
            }
        }
        self.parts.sort_by_key(|(range, _)| (range.start, range.end));
        for (_, entry) in self.parts {
            if sink.entry(entry).is_err() {
                return;
            }
        }
        if let Some(work) = self.later {
            work(budget, sink);
        }
    }
}

/// An entry for bytes that a container leaves unused.
#[must_use]
pub fn gap_entry(offset: u64, blob: Blob) -> Entry {
    Entry { kind: EntryKind::Gap, ..Entry::file(format!("unallocated-{offset:#x}"), blob) }
}

/// What sorted ranges leave free in `0..length`.
fn gaps(sorted: &[Range<usize>], length: usize) -> Vec<Range<usize>> {
    let mut free = Vec::new();
    let mut at = 0;
    for range in sorted {
        if at < range.start {
            free.push(at..range.start.min(length));
        }
        at = at.max(range.end);
    }
    if at < length {
        free.push(at..length);
    }
    free
}

/// The first key for `format` that opens `body` and is shown to be right; the only one also where nothing shows it.
/// Else why there is none.
///
/// # Errors
/// That no key was given, or that none fits.
pub fn unseal(
    budget: &Budget,
    format: &str,
    body: &[u8],
    open: impl Fn(&Key, &[u8]) -> Option<Opened>,
) -> Result<(String, Opened), &'static str> {
    let mut guess = None;
    let mut tried = 0_u32;
    for key in budget.keys().of(format) {
        tried = tried.saturating_add(1);
        budget
            .work(body.len() as u64)
            .map_err(|_| "the budget of work ended before a key fitted")?;
        match open(key, body) {
            Some(opened) if opened.verified => return Ok((key.name.clone(), opened)),
            opened => guess = opened.map(|o| (key.name.clone(), o)),
        }
    }
    match (tried, guess) {
        (0, _) => Err("no key was given"),
        (1, Some(only)) => Ok(only),
        _ => Err("no key that was given fits"),
    }
}

/// A [`Format`] made of one function that reads the layout from the format's first byte on. It is called
/// for the probe, and again on the region that won.
pub struct Reader {
    /// What the format's file says about it.
    pub about: &'static About,
    /// How it announces itself.
    pub magics: &'static [Magic],
    /// Reads the layout, or refuses.
    pub read: fn(&Bytes, &Budget) -> Option<Layout>,
}

impl Format for Reader {
    fn about(&self) -> &'static About {
        self.about
    }

    fn magics(&self) -> &'static [Magic] {
        self.magics
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        if at >= data.len() {
            return None;
        }
        let layout = (self.read)(&data.slice(at..), budget)?;
        Some(Candidate {
            problems: layout.problems,
            ..Candidate::new(at, layout.length, layout.proof)
        })
    }

    /// The container's own problems were reported by the probe.
    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        if let Some(layout) = (self.read)(region, budget) {
            layout.emit(region, budget, sink);
        }
    }
}

/// A content that a function makes from bytes when asked for.
pub struct Deferred<F> {
    size: u64,
    decode: F,
}

impl<F: Fn(&Budget) -> Loaded + Send + Sync + 'static> Deferred<F> {
    /// A blob of `size` declared bytes.
    #[must_use]
    pub fn blob(size: u64, decode: F) -> Blob {
        Blob::Lazy(Arc::new(Self { size, decode }))
    }
}

impl<F: Fn(&Budget) -> Loaded + Send + Sync> Load for Deferred<F> {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        (self.decode)(budget)
    }
}

/// The text of a fixed-size field up to its first NUL, without blanks at the ends; what is not printable
/// is left out.
#[must_use]
pub fn text(data: &[u8], at: usize, len: usize) -> Option<String> {
    let field = crate::read::until_nul(crate::read::slice(data, at, len)?);
    let text = String::from_utf8_lossy(field);
    Some(
        text.chars()
            .filter(|c| !c.is_control() && *c != '\u{FFFD}')
            .collect::<String>()
            .trim()
            .to_owned(),
    )
}

/// Whether a fixed-size text field is what it should be: printable ASCII, then NULs (or 0xFF) only.
#[must_use]
pub fn is_text_field(field: &[u8]) -> bool {
    let text = crate::read::until_nul(field);
    text.iter().all(|b| matches!(b, b' '..=b'~'))
        && field.get(text.len()..).is_some_and(|rest| rest.iter().all(|b| matches!(b, 0 | 0xFF)))
}

/// A part of a vendor's name as a file name: what is not `[A-Za-z0-9._-]` becomes `_`; `fallback` if nothing
/// remains. Used where the container has labels, not paths.
#[must_use]
pub fn name_or(label: &str, fallback: &str) -> Vec<u8> {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = label.trim().chars().map(safe).collect();
    if name.trim_matches(['_', '.']).is_empty() { fallback.into() } else { name.into_bytes() }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_is_left() {
        assert_eq!(gaps(&[], 3), [0..3]);
        assert_eq!(gaps(&[0..1, 0..4, 2..3, 6..8], 9), [4..6, 8..9]);
        assert_eq!(gaps(&[0..9], 9), [] as [Range<usize>; 0]);
    }

    #[test]
    fn parts_beyond_the_end_are_cut_and_said_to_be() {
        let data = Bytes::from_static(b"headbody");
        let mut layout = Layout::new(&data, 8, Proof::LengthsConsistent);
        layout.structure(0, 4);
        layout.part(&data, "body", 4, 9);
        let budget = Budget::ample();
        let mut sink = Sink::new(&budget);
        layout.emit(&data, &budget, &mut sink);
        assert_eq!(sink.entries.len(), 1);
        assert_eq!(sink.entries[0].blob.size(), 4);
        assert_eq!(sink.entries[0].problems[0].kind, ProblemKind::Truncated);
    }

    #[test]
    fn labels_become_plain_names() {
        assert_eq!(name_or("../etc/x y", "p"), b".._etc_x_y");
        assert_eq!(name_or(" .. ", "p"), b"p");
    }
}
