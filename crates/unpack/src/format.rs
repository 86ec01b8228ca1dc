//! What a format is to the engine, and what it hands back.
//!
//! A format is one file below [`formats`](crate::formats) that implements
//! [`Format`]. The engine finds its magics in a content, asks [`Format::probe`]
//! whether the format is really there and how far it reaches, chooses the cover
//! among all candidates, and calls [`Format::open`] on the winners.
//!
//! Conventions that later stages rely on:
//!
//! * A compressed stream is a container with one entry, named by the stream's
//!   own header if it has a name, else `data`.
//! * Parts of a partition table, a boot image or a vendor container are entries
//!   whose [`Blob::Bytes`] is a slice of the region (`Bytes::slice`, no copy).
//! * Every byte of a region is structure, lies in an entry, or is emitted as an
//!   entry of kind [`EntryKind::Gap`] named `unallocated-0xOFFSET`.
//! * Attributes of containers that carry updates or boot images:
//!   `integrity` = `none` | `crc` | `hash` | `signature` (strongest mechanism the
//!   container itself carries), `integrity-algorithm` = `crc32` | `sha256` | ...,
//!   `integrity-correct` = `yes` | `no` | `unknown`; `encrypted` = `yes` where
//!   it says so. File systems and archives use `checksum-correct` likewise.
//!   Others (kebab-case): `compression`, `block-size`, `label`, `load-address`,
//!   `entry-point`, `machine`, `os`, `name`, `version`, `created` (seconds).

use std::sync::Arc;

use bytes::Bytes;
use proofmark_model::{Digest, EntryKind, Metadata, Problem, Proof};

use crate::budget::{Budget, Exhausted};

/// Family of a format, for the generated table and for later stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Several named entries, made for storage or transport.
    Archive,
    /// One stream in, one stream out.
    Compression,
    /// A file system.
    FileSystem,
    /// Partition table, volume manager or block layer.
    Partition,
    /// Boot loader, kernel or device tree container.
    Boot,
    /// An update container of equipment.
    Vendor,
    /// A program; a leaf.
    Executable,
    /// Any other leaf.
    Leaf,
}

/// What a format's own file says about it; the table in `docs/formats.md` is made of it.
#[derive(Debug)]
pub struct About {
    /// Id used in locators: `squashfs`, `uimage`; lower-case letters, digits, `-`, `.`, `_`.
    pub id: &'static str,
    /// Name people use.
    pub name: &'static str,
    /// Family.
    pub family: Family,
    /// Raised by any change that can change a result; part of the assessment's provenance.
    pub revision: u32,
    /// Metadata that is kept, in words: `mode, owner, mtime, xattrs`.
    pub metadata: &'static str,
    /// What is checked: `superblock lengths, header crc32, data sha256`.
    pub integrity: &'static str,
    /// What is knowingly not read.
    pub limits: &'static str,
    /// Where the layout is documented.
    pub sources: &'static [&'static str],
}

/// Bytes by which a format announces itself.
#[derive(Debug, Clone, Copy)]
pub struct Magic {
    /// The bytes.
    pub bytes: &'static [u8],
    /// How far after the start of the format they stand.
    pub offset: usize,
    /// Whether they are looked for everywhere or only where they would put the format's start at the start
    /// of a content. Short magics (below four bytes) should ask for the start only.
    pub anywhere: bool,
}

impl Magic {
    /// `bytes` at the very start of the format, looked for everywhere.
    #[must_use]
    pub const fn anywhere(bytes: &'static [u8]) -> Self {
        Self { bytes, offset: 0, anywhere: true }
    }

    /// `bytes` at the very start of the format, only at the start of a content. Without bytes the format is
    /// asked at the start of every content that no other is proven to take, and must refuse after a look at a few
    /// of its bytes.
    #[must_use]
    pub const fn start(bytes: &'static [u8]) -> Self {
        Self { bytes, offset: 0, anywhere: false }
    }

    /// The same bytes, `offset` bytes after the start of the format.
    #[must_use]
    pub const fn after(self, offset: usize) -> Self {
        Self { offset, ..self }
    }
}

/// A format at a place, with its extent and how well that is established.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// First byte, from the start of the content. May lie before or after the magic.
    pub start: usize,
    /// Bytes; at least 1, and `start + length` within the content.
    pub length: usize,
    /// What proves it.
    pub proof: Proof,
    /// Shortfalls already known (truncated, a checksum that does not match, ...).
    pub problems: Vec<Problem>,
    /// The decoded content, where the probe had to decode to find the end; given back to `open` so that
    /// nothing is decoded twice. The engine may drop it to save memory.
    pub decoded: Option<Bytes>,
}

impl Candidate {
    /// A candidate without problems.
    #[must_use]
    pub fn new(start: usize, length: usize, proof: Proof) -> Self {
        Self { start, length, proof, problems: Vec::new(), decoded: None }
    }
}

/// One format.
pub trait Format: Send + Sync {
    /// What the format's file says about it.
    fn about(&self) -> &'static About;

    /// The bytes by which it announces itself; any of them leads to a probe.
    fn magics(&self) -> &'static [Magic];

    /// Ids of formats of which this one is a special use (`deb` of `ar`, `ova` of `tar`). Where both
    /// claim exactly the same bytes, this one wins whatever their proofs.
    fn refines(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the format is really at `at` (the start a magic implies) in `data`, and how far it reaches.
    ///
    /// Must be cheap where it refuses. A structure that is there but damaged or cut short is still a
    /// candidate, with problems and a lower proof, unless nothing tells it from chance. Never panics.
    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate>;

    /// Reads the entries of a region that a probe of this format established (exactly those bytes).
    /// `decoded` is what the probe decoded, if it was kept. A leaf does nothing.
    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>);
}

/// Programs and the like: nothing inside, the region itself is what is inspected.
#[must_use]
pub fn is_leaf(format: &dyn Format) -> bool {
    matches!(format.about().family, Family::Executable | Family::Leaf)
}

/// An entry of a container.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Path in the container, bytes as stored, without leading `/` or `./`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// What the container records about it.
    pub metadata: Metadata,
    /// Its content; [`Blob::None`] for anything but files, regions and gaps.
    pub blob: Blob,
    /// Shortfalls that concern this entry.
    pub problems: Vec<Problem>,
}

impl Entry {
    /// A file without metadata.
    #[must_use]
    pub fn file(path: impl Into<Vec<u8>>, blob: Blob) -> Self {
        Self {
            path: path.into(),
            kind: EntryKind::File,
            metadata: Metadata::default(),
            blob,
            problems: Vec::new(),
        }
    }
}

/// The content of an entry.
#[derive(Clone)]
pub enum Blob {
    /// No content.
    None,
    /// A slice of the container, or bytes already decoded.
    Bytes(Bytes),
    /// Decoded when asked for, possibly on another thread.
    Lazy(Arc<dyn Load>),
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bytes(b) => write!(f, "Bytes({})", b.len()),
            Self::Lazy(l) => write!(f, "Lazy({})", l.size()),
        }
    }
}

impl Blob {
    /// Bytes of content as declared by the container.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Bytes(b) => b.len() as u64,
            Self::Lazy(l) => l.size(),
        }
    }

    /// The content.
    #[must_use]
    pub fn load(&self, budget: &Budget) -> Loaded {
        match self {
            Self::None => Loaded::default(),
            Self::Bytes(b) => Loaded { bytes: b.clone(), problems: Vec::new() },
            Self::Lazy(l) => l.load(budget),
        }
    }

    /// [`Load::key`] of a content that is decoded when asked for.
    #[must_use]
    pub fn key(&self) -> Option<Digest> {
        match self {
            Self::None | Self::Bytes(_) => None,
            Self::Lazy(l) => l.key(),
        }
    }
}

/// A content that is decoded on demand. Several are loaded at the same time by several threads, each at
/// most a few times.
pub trait Load: Send + Sync {
    /// Bytes as declared by the container.
    fn size(&self) -> u64;

    /// Decodes it. What could not be read is a problem; what could be read is there, at its own offset
    /// (a damaged block in the middle is zeros and a problem, the end cut off is a shorter content).
    fn load(&self, budget: &Budget) -> Loaded;

    /// Digest over everything that [`load`](Self::load) makes the content of: stored bytes, their division, the way
    /// they are encoded. Equal keys mean equal contents. None where that costs as much as decoding.
    fn key(&self) -> Option<Digest> {
        None
    }
}

/// A decoded content and its shortfalls.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The bytes.
    pub bytes: Bytes,
    /// What is missing or wrong.
    pub problems: Vec<Problem>,
}

/// Where [`Format::open`] puts what it finds.
#[derive(Debug)]
pub struct Sink<'a> {
    budget: &'a Budget,
    /// Entries in the order found; within a container two entries of the same path keep that order.
    pub entries: Vec<Entry>,
    /// Shortfalls of the container itself.
    pub problems: Vec<Problem>,
    /// Short facts of the format.
    pub attributes: std::collections::BTreeMap<String, String>,
}

impl<'a> Sink<'a> {
    /// An empty sink that pays for entries from `budget`.
    #[must_use]
    pub fn new(budget: &'a Budget) -> Self {
        Self { budget, entries: Vec::new(), problems: Vec::new(), attributes: Default::default() }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`Exhausted`] when the budget of entries is used up; the problem is recorded, the reader returns.
    pub fn entry(&mut self, entry: Entry) -> Result<(), Exhausted> {
        match self.budget.entry() {
            Ok(()) => {
                self.entries.push(entry);
                Ok(())
            }
            Err(e) => {
                self.problems.push(e.into());
                Err(e)
            }
        }
    }

    /// Adds a shortfall of the container.
    pub fn problem(&mut self, problem: impl Into<Problem>) {
        self.problems.push(problem.into());
    }

    /// Sets an attribute.
    pub fn attribute(&mut self, key: &str, value: impl ToString) {
        self.attributes.insert(key.to_owned(), value.to_string());
    }
}
