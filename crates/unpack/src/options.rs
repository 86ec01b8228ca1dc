//! What a run may use, and what it tells while it works.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proofmark_model::{Digest, EntryKind, Locator, Metadata};

use crate::{keys::Keyring, spool::Spool};

/// How to unpack. [`Options::default`] is what a laptop with 16 GiB survives, whatever the input.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Worker threads; 0 is one for each core. The result does not depend on it.
    pub jobs: usize,
    /// Bounds. What they cut off is a problem of kind `budget` on the artifact that was cut.
    pub limits: Limits,
    /// Keys for encrypted containers.
    pub keys: Arc<Keyring>,
    /// Room on the disk for large contents. Without it they are kept in memory; the result does not depend on it.
    pub spool: Option<Spool>,
}

/// Bounds of a run. All but [`time`](Self::time) give the same result on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes decoded from the whole image, every distinct container once.
    pub output: u64,
    /// Bytes decoded from one container.
    pub artifact_output: u64,
    /// Bytes of one content; it is in memory as a whole.
    pub content: u64,
    /// Bytes that may come out of one container for each byte of it. Small containers
    /// may always give 64 MiB.
    pub ratio: u64,
    /// Artifacts in the result.
    pub entries: u64,
    /// Entries of one container.
    pub artifact_entries: u64,
    /// Contents inside contents; the image itself is at depth 0.
    pub depth: u32,
    /// Time for the whole run. The only bound whose effect depends on the machine.
    pub time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output: 64 << 30,
            artifact_output: 32 << 30,
            content: 2 << 30,
            ratio: 2000,
            entries: 2_000_000,
            artifact_entries: 1_000_000,
            depth: 24,
            time: Some(Duration::from_secs(3600)),
        }
    }
}

/// A content at the moment it is in memory.
#[derive(Debug, Clone, Copy)]
pub struct ContentInfo<'a> {
    /// SHA-256 of the bytes handed over.
    pub digest: Digest,
    /// Format id of the content as a whole: `elf`, `squashfs`, `text`, `script`, `data`,
    /// `composite` (see [`Outcome`](crate::Outcome)).
    pub format: &'a str,
    /// What kind of node holds it: the image, a file, a gap, a region that is a leaf.
    pub entry: &'a EntryKind,
    /// Where it was met.
    pub locator: &'a Locator,
    /// What its container records about it.
    pub metadata: &'a Metadata,
    /// Whether the bytes are all of it; if not, `digest` is not the digest of the content
    /// as its maker shipped it.
    pub whole: bool,
}

/// Counters of a run. They only grow, except that [`bytes_total`](Self::bytes_total) grows too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of content processed.
    pub bytes_done: u64,
    /// Bytes of content known so far.
    pub bytes_total: u64,
    /// Artifacts met.
    pub artifacts: u64,
}

/// Watches a run. Called from several threads at once.
///
/// [`content`](Self::content) is called for every content that has bytes: the image, files, gaps,
/// regions in which a leaf (a program, say) was recognised. A container that occurs
/// several times with equal bytes is opened once, and what is inside is handed over once;
/// so every pair of digest and innermost path is met at least once, in no particular
/// order, some several times. Whoever works by digest and name loses nothing.
pub trait Observer: Sync {
    /// A content is in memory. It is dropped when this returns (a clone of `bytes` is cheap but keeps it).
    fn content(&self, info: &ContentInfo<'_>, bytes: &Bytes) {
        let _ = (info, bytes);
    }

    /// Whether [`content`](Self::content) may be left out for this content because nothing more would be learned from
    /// its bytes. Asked only where [`recall`](Self::recall) answered, before the content is decoded.
    fn knows(&self, info: &ContentInfo<'_>) -> bool {
        let _ = info;
        false
    }

    /// Whether there is a memory behind [`recall`](Self::recall) and [`learn`](Self::learn); without one no keys are made.
    fn remembers(&self) -> bool {
        false
    }

    /// What was [learned](Self::learn) under `key` in an earlier run of the same formats.
    fn recall(&self, key: &Digest) -> Option<Vec<u8>> {
        let _ = key;
        None
    }

    /// Something that a later run may recall. What it means is the unpacker's.
    fn learn(&self, key: Digest, value: Vec<u8>) {
        let _ = (key, value);
    }

    /// How far the run is; called often, must be cheap.
    fn progress(&self, progress: Progress) {
        let _ = progress;
    }
}

/// Watches nothing.
impl Observer for () {}
