//! Self-extracting shell archives: makeself, ONIE and SONiC installers, and scripts whose
//! payload begins behind a marker line.
//!
//! The script says itself where its payload begins: makeself by a number of lines and the
//! sizes of its archives, the others by a marker line. MD5 of makeself is verified.
//!
//! False negatives: scripts that compute the place in another way.
//!
//! Sources: makeself 2.5 (`makeself-header.sh`); ONIE user guide, "sharch".

use bytes::Bytes;
use md5::{Digest as _, Md5};
use memchr::memmem;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
};

/// The format.
pub struct Shell;

static ABOUT: About = About {
    id: "shell-archive",
    name: "Self-extracting shell archive (makeself, ONIE)",
    family: Family::Archive,
    revision: 1,
    metadata: "label",
    integrity: "MD5 of makeself archives",
    limits: "payloads encoded as text (uuencode, base64); only at the start of a content",
    sources: &["makeself 2.5 makeself-header.sh", "ONIE user guide: sharch"],
};

/// Bytes in which the end of the script is looked for.
const SCRIPT_MAX: usize = 256 << 10;
/// Lines behind which a payload begins.
const MARKERS: &[&[u8]] = &[
    b"\nexit_marker\n",
    b"\n__ARCHIVE_BELOW__\n",
    b"\n__ARCHIVE__\n",
    b"\n__PAYLOAD_BELOW__\n",
    b"\n__PAYLOAD__\n",
    b"\nPAYLOAD:\n",
];

/// The parts of an archive.
struct Parts {
    kind: &'static str,
    /// Where each payload begins and ends.
    payloads: Vec<(usize, usize)>,
    md5: Option<Vec<u8>>,
    label: Option<Vec<u8>>,
}

/// The value of `NAME="value"` or `NAME=value` at the start of a line.
fn variable<'a>(script: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = memmem::find(script, format!("\n{name}=").as_bytes())?;
    let value = script.get(at.checked_add(name.len())?.checked_add(2)?..)?;
    let line = value.split(|b| *b == b'\n').next()?;
    Some(
        line.trim_ascii()
            .trim_ascii_start()
            .strip_prefix(b"\"")
            .map_or(line, |v| v.split(|b| *b == b'"').next().unwrap_or(v)),
    )
}

fn decimal(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

fn parts(data: &[u8]) -> Option<Parts> {
    if !data.starts_with(b"#!") {
        return None;
    }
    let script = data.get(..data.len().min(SCRIPT_MAX))?;
    if let Some(sizes) = variable(script, "filesizes") {
        // Lines of the script: `skip` in new versions, an argument of `head -n` in old ones.
        let lines = variable(script, "skip").and_then(decimal).or_else(|| {
            let at = memmem::find(script, b"head -n ")?.checked_add(8)?;
            decimal(script.get(at..)?.split(|b| !b.is_ascii_digit()).next()?)
        })?;
        let mut at =
            memchr::memchr_iter(b'\n', script).nth(lines.checked_sub(1)?)?.checked_add(1)?;
        let mut payloads = Vec::new();
        for size in sizes.split(|b| *b == b' ').filter(|s| !s.is_empty()).take(64) {
            let end = at.checked_add(decimal(size)?)?;
            payloads.push((at, end));
            at = end;
        }
        let md5 = variable(script, "MD5").filter(|m| m.len() == 32 && m.iter().any(|b| *b != b'0'));
        return (!payloads.is_empty()).then(|| Parts {
            kind: "makeself",
            payloads,
            md5: md5.map(<[u8]>::to_vec),
            label: variable(script, "label").map(<[u8]>::to_vec),
        });
    }
    let (marker, at) = MARKERS
        .iter()
        .filter_map(|m| Some((*m, memmem::find(script, m)?)))
        .min_by_key(|(_, at)| *at)?;
    let begin = at.checked_add(marker.len())?;
    let kind = if marker == b"\nexit_marker\n" { "onie" } else { "marker" };
    (begin < data.len()).then(|| Parts {
        kind,
        payloads: vec![(begin, data.len())],
        md5: None,
        label: None,
    })
}

impl Format for Shell {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::start(b"#!/")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let archive = data.get(at..)?;
        budget.work(archive.len().min(SCRIPT_MAX) as u64).ok()?;
        let found = parts(archive)?;
        let end = found.payloads.last()?.1;
        let mut candidate = Candidate::new(at, end.min(archive.len()), Proof::LengthsConsistent);
        if end > archive.len() {
            let text = "the payload is cut off";
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(found) = parts(region) else { return };
        sink.attribute("variant", found.kind);
        if let Some(label) = found.label {
            sink.attribute("label", String::from_utf8_lossy(&label));
        }
        let slice =
            |from: usize, to: usize| region.slice(from.min(region.len())..to.min(region.len()));
        let first = found.payloads.first().map_or(0, |p| p.0);
        if sink.entry(Entry::file("script", Blob::Bytes(slice(0, first)))).is_err() {
            return;
        }
        for (n, (from, to)) in found.payloads.iter().enumerate() {
            let name = if n == 0 { "payload".to_owned() } else { format!("payload-{n}") };
            let mut made = Entry::file(name, Blob::Bytes(slice(*from, *to)));
            if *to > region.len() {
                made.problems.push(Problem::new(ProblemKind::Truncated, "the payload is cut off"));
            }
            if let (0, Some(stored)) = (n, &found.md5)
                && budget.work(to.saturating_sub(*from) as u64).is_ok()
            {
                let digest: String =
                    Md5::digest(slice(*from, *to)).iter().map(|b| format!("{b:02x}")).collect();
                let right = digest.as_bytes() == &stored[..];
                sink.attribute("integrity", "hash");
                sink.attribute("integrity-algorithm", "md5");
                sink.attribute("integrity-correct", if right { "yes" } else { "no" });
                if !right {
                    made.problems.push(Problem::new(
                        ProblemKind::Checksum,
                        "the MD5 of the payload is not right",
                    ));
                }
            }
            if sink.entry(made).is_err() {
                return;
            }
        }
    }
}
