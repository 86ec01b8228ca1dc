//! ar, with the names of GNU and BSD; so also deb and old ipk packages and static libraries.
//!
//! There is no end mark: the archive ends where no further header stands. One that reaches
//! the end of its content exactly counts as *decoder ended*.
//!
//! Sources: ar(5) of FreeBSD and of GNU binutils; deb(5).

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof};

use super::entry;
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Ar;

static ABOUT: About = About {
    id: "ar",
    name: "ar (static library, deb, ipk)",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, owner, mtime",
    integrity: "header marks and lengths",
    limits: "symbol tables are structure, not entries; thin archives name files that are not in them",
    sources: &["FreeBSD ar(5)", "deb(5)"],
};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// A decimal or octal number padded with spaces; empty is none.
fn number(field: &[u8], base: u32) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_end_matches(' ');
    u64::from_str_radix(text, base).ok()
}

struct Head<'a> {
    name: &'a [u8],
    metadata: Metadata,
    data: usize,
    size: usize,
}

fn head(data: &[u8], at: usize) -> Option<Head<'_>> {
    let raw = read::slice(data, at, HEADER)?;
    if !raw.ends_with(b"`\n") {
        return None;
    }
    let field = |from, len| read::slice(raw, from, len);
    let small =
        |from, len, base| number(field(from, len)?, base).and_then(|n| u32::try_from(n).ok());
    let name = field(0, 16)?;
    let end = name.iter().rposition(|b| *b != b' ')?;
    Some(Head {
        name: name.get(..=end)?,
        metadata: Metadata {
            mode: small(40, 8, 8).map(|m| m & 0o7777),
            uid: small(28, 6, 10),
            gid: small(34, 6, 10),
            mtime: number(field(16, 12)?, 10).and_then(|n| i64::try_from(n).ok()),
            xattrs: Vec::new(),
        },
        data: at.checked_add(HEADER)?,
        size: read::index(number(field(48, 10)?, 10)?)?,
    })
}

/// Calls `visit` for each header from `at` on; returns the end, how many there were, and what is wrong.
fn walk(
    data: &[u8],
    start: usize,
    budget: &Budget,
    mut visit: impl FnMut(&Head<'_>) -> bool,
) -> (usize, u64, Vec<Problem>) {
    let mut at = start.saturating_add(MAGIC.len());
    let mut count = 0u64;
    let mut problems = Vec::new();
    while let Some(head) = head(data, at) {
        if let Err(e) = budget.work(HEADER as u64) {
            problems.push(e.into());
            break;
        }
        count = count.saturating_add(1);
        let end = head.data.saturating_add(head.size);
        let more = visit(&head);
        if end > data.len() {
            problems.push(Problem::new(
                ProblemKind::Truncated,
                "the archive is cut off inside a content",
            ));
            return (data.len(), count, problems);
        }
        // Contents begin at even places; the last one may go without its padding.
        at = end;
        if end.saturating_sub(start) % 2 == 1 && data.get(end) == Some(&b'\n') {
            at = end.saturating_add(1);
        }
        if !more {
            break;
        }
    }
    let rest = data.len().saturating_sub(at);
    if rest > 0 && rest < HEADER && data.get(at.saturating_sub(1)) != Some(&b'\n') && count == 0 {
        problems
            .push(Problem::new(ProblemKind::Truncated, "the archive is cut off inside a header"));
    }
    (at.min(data.len()), count, problems)
}

impl Format for Ar {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(MAGIC)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        if !data.get(at..)?.starts_with(MAGIC) {
            return None;
        }
        let (end, count, mut problems) = walk(data, at, budget, |_| true);
        let rest = data.len().saturating_sub(end);
        // What follows the last content but is no header: the beginning of one that was cut off.
        let tail = data.get(end..).unwrap_or_default();
        if rest > 0 && rest < HEADER && !super::zeros(tail) && problems.is_empty() {
            problems.push(Problem::new(
                ProblemKind::Truncated,
                "the archive is cut off inside a header",
            ));
        }
        let proof = match count {
            0 => return None,
            _ if end == data.len() && problems.is_empty() => Proof::DecoderEnded,
            _ => Proof::LengthsConsistent,
        };
        let length = end.checked_sub(at)?;
        Some(Candidate { problems, ..Candidate::new(at, length, proof) })
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let mut long_names: &[u8] = &[];
        let mut variant = "gnu";
        let mut first = true;
        walk(region, 0, budget, |head| {
            let begin = head.data.min(region.len());
            let end = begin.saturating_add(head.size).min(region.len());
            let content = region.get(begin..end).unwrap_or_default();
            if std::mem::take(&mut first) && head.name.starts_with(b"debian-binary") {
                variant = "deb";
            }
            let mut from = begin;
            let mut name = match head.name {
                b"/" | b"/SYM64/" | b"__.SYMDEF" | b"__.SYMDEF SORTED" => return true,
                b"//" => {
                    long_names = content;
                    return true;
                }
                [b'#', b'1', b'/', digits @ ..] => {
                    variant = "bsd";
                    let len =
                        number(digits, 10).and_then(read::index).unwrap_or(0).min(content.len());
                    from = begin.saturating_add(len);
                    read::until_nul(content.get(..len).unwrap_or_default())
                }
                [b'/', digits @ ..] => {
                    let at = number(digits, 10).and_then(read::index).unwrap_or(usize::MAX);
                    let rest = long_names.get(at..).unwrap_or_default();
                    rest.split(|b| *b == b'\n').next().unwrap_or_default()
                }
                name => name,
            };
            if variant != "bsd" {
                name = name.strip_suffix(b"/").unwrap_or(name);
            }
            if matches!(name, b"__.SYMDEF" | b"__.SYMDEF SORTED") {
                return true;
            }
            let mut made = entry(name, EntryKind::File);
            made.metadata = head.metadata.clone();
            if end.saturating_sub(begin) < head.size {
                let text =
                    format!("{} of {} bytes are there", end.saturating_sub(begin), head.size);
                made.problems.push(Problem::new(ProblemKind::Truncated, text));
            }
            made.blob = Blob::Bytes(region.slice(from..end));
            sink.entry(made).is_ok()
        });
        sink.attribute("variant", variant);
    }
}
