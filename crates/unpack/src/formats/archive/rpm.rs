//! rpm packages: lead, signature header, header, and a compressed cpio as payload.
//!
//! The length comes from the signature header; without it the payload reaches to the end of
//! the content. SHA-256 digests of header and payload are verified where they are recorded.
//!
//! Source: "RPM V4 package format" of the rpm project.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};
use sha2::{Digest as _, Sha256};

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Rpm;

static ABOUT: About = About {
    id: "rpm",
    name: "RPM package",
    family: Family::Archive,
    revision: 1,
    metadata: "package name, version, architecture, licence; files are in the cpio inside",
    integrity: "SHA-256 of header and payload; a signature is named, not verified",
    limits: "delta packages; owner names and capabilities that only the header has",
    sources: &["RPM V4 package format"],
};

const LEAD: &[u8] = b"\xed\xab\xee\xdb";
const HEADER: &[u8] = b"\x8e\xad\xe8\x01";
const LEAD_LEN: usize = 96;
/// Bounds that rpm itself has.
const ENTRIES_MAX: usize = 0xffff;
const STORE_MAX: usize = 256 << 20;

/// A header structure: index entries and the store they point into.
struct Tags<'a> {
    index: &'a [u8],
    store: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Tags<'a> {
    fn read(data: &'a [u8], at: usize) -> Option<Self> {
        if read::slice(data, at, 4)? != HEADER {
            return None;
        }
        let count = read::be32(data, at.checked_add(8)?)? as usize;
        let size = read::be32(data, at.checked_add(12)?)? as usize;
        if count == 0 || count > ENTRIES_MAX || size > STORE_MAX {
            return None;
        }
        let index_at = at.checked_add(16)?;
        let index = read::slice(data, index_at, count.checked_mul(16)?)?;
        let store_at = index_at.checked_add(index.len())?;
        let store = read::slice(data, store_at, size)?;
        Some(Self { index, store, start: at, end: store_at.checked_add(size)? })
    }

    /// Type, place in the store and count of a tag.
    fn find(&self, tag: u32) -> Option<(u32, usize, u32)> {
        self.index.as_chunks::<16>().0.iter().find_map(|entry| {
            (read::be32(entry, 0)? == tag).then_some(())?;
            Some((read::be32(entry, 4)?, read::be32(entry, 8)? as usize, read::be32(entry, 12)?))
        })
    }

    fn has(&self, tag: u32) -> bool {
        self.find(tag).is_some()
    }

    /// The first text of a tag.
    fn text(&self, tag: u32) -> Option<String> {
        let (kind, at, _) = self.find(tag)?;
        if !matches!(kind, 6 | 8 | 9) {
            return None;
        }
        let rest = self.store.get(at..)?;
        let end = memchr::memchr(0, rest.get(..rest.len().min(1 << 16))?)?;
        Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
    }

    fn number(&self, tag: u32) -> Option<u64> {
        match self.find(tag)? {
            (4, at, _) => read::be32(self.store, at).map(u64::from),
            (5, at, _) => read::be64(self.store, at),
            _ => None,
        }
    }
}

/// Signature header, header, where the payload begins and where it ends as far as that is recorded.
fn parts(data: &[u8], at: usize) -> Option<(Tags<'_>, Tags<'_>, Option<usize>)> {
    if !data.get(at..)?.starts_with(LEAD) || !matches!(read::u8(data, at.checked_add(4)?)?, 3 | 4) {
        return None;
    }
    let signature = Tags::read(data, at.checked_add(LEAD_LEN)?)?;
    let aligned = signature.end.checked_sub(at)?.checked_next_multiple_of(8)?.checked_add(at)?;
    let header = Tags::read(data, aligned)?;
    let size = signature.number(1000).or_else(|| signature.number(270));
    let end = size.and_then(read::index).and_then(|n| header.start.checked_add(n));
    Some((signature, header, end))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Format for Rpm {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(LEAD)] }
    }

    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        let (signature, header, end) = parts(data, at)?;
        let bytes = data.get(header.start..header.end)?;
        let verified = signature.text(273).map(|stored| stored == hex(&Sha256::digest(bytes)));
        let proof = match verified {
            Some(true) => Proof::ChecksumVerified,
            _ => Proof::LengthsConsistent,
        };
        let stop = end.unwrap_or(data.len()).max(header.end);
        let mut found = Candidate::new(at, stop.min(data.len()).checked_sub(at)?, proof);
        if verified == Some(false) {
            let text = "the SHA-256 of the header is not right";
            found.problems.push(Problem::new(ProblemKind::Checksum, text));
        }
        if stop > data.len() {
            let text = "the payload is cut off";
            found.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some((signature, header, _)) = parts(region, 0) else { return };
        for (key, tag) in [
            ("name", 1000),
            ("version", 1001),
            ("release", 1002),
            ("summary", 1004),
            ("distribution", 1010),
            ("vendor", 1011),
            ("license", 1014),
            ("os", 1021),
            ("machine", 1022),
            ("source-package", 1044),
            ("payload-format", 1124),
            ("compression", 1125),
        ] {
            if let Some(text) = header.text(tag) {
                sink.attribute(key, text);
            }
        }
        if let Some(epoch) = header.number(1003) {
            sink.attribute("epoch", epoch);
        }
        if let Some(time) = header.number(1006) {
            sink.attribute("created", time);
        }
        let payload = region.slice(header.end.min(region.len())..);
        let mut right = Vec::new();
        if let Some(stored) = signature.text(273) {
            let bytes = region.get(header.start..header.end).unwrap_or_default();
            right.push(stored == hex(&Sha256::digest(bytes)));
        }
        if let Some(stored) = header.text(5092)
            && budget.work(payload.len() as u64).is_ok()
        {
            right.push(stored == hex(&Sha256::digest(&payload)));
            if right.last() == Some(&false) {
                let text = "the SHA-256 of the payload is not right";
                sink.problem(Problem::new(ProblemKind::Checksum, text));
            }
        }
        let signed = [267, 268, 1002, 1005].iter().any(|tag| signature.has(*tag));
        sink.attribute("integrity", if signed { "signature" } else { "hash" });
        sink.attribute("integrity-algorithm", "sha256");
        sink.attribute(
            "integrity-correct",
            match right.as_slice() {
                [] => "unknown",
                all if all.iter().all(|r| *r) => "yes",
                _ => "no",
            },
        );
        let format = header.text(1124).unwrap_or_else(|| "cpio".to_owned());
        let name = match header.text(1125).as_deref() {
            Some("gzip") => format!("payload.{format}.gz"),
            Some("bzip2") => format!("payload.{format}.bz2"),
            Some("none") | None => format!("payload.{format}"),
            Some("zstd") => format!("payload.{format}.zst"),
            Some(other) => format!("payload.{format}.{other}"),
        };
        let _ = sink.entry(Entry::file(name, Blob::Bytes(payload)));
    }
}
