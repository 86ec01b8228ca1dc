//! tar: v7, ustar, GNU (long names, sparse files) and pax (any attribute, extended
//! attributes, sparse files 0.0, 0.1 and 1.0).
//!
//! Every header has a checksum over itself, so a chain of right headers that ends in two
//! zero blocks is a *checksum verified* archive. One right header alone, whatever length it
//! claims, is only *magic only*: it must not hide what lies in the bytes it claims.
//!
//! False negatives: v7 archives without the magic are looked for at the start of a content
//! only, with usual modes.
//!
//! Sources: POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format" and "Sparse Formats";
//! tar(5) of libarchive.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{entry, oci, put, zeros};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Family, Format, Load, Loaded, Magic, Sink},
    map::{AROUND, examined},
    read,
};

/// The format.
pub struct Tar;

static ABOUT: About = About {
    id: "tar",
    name: "tar",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, owner, mtime, device numbers, hard links, extended attributes",
    integrity: "checksum of every header; end mark",
    limits: "multi-volume archives are read volume by volume; owner names are not kept",
    sources: &["POSIX.1-2017 pax", "GNU tar manual", "libarchive tar(5)"],
};

const BLOCK: usize = 512;
/// Longest extended header that is believed.
const EXTENDED_MAX: usize = 8 << 20;
/// Pieces of a sparse file that are believed.
const PIECES_MAX: usize = 1 << 20;

/// A header block and where its data lies.
struct Head<'a> {
    block: &'a [u8],
    data: usize,
    /// Size field; what it means depends on the type.
    size: u64,
}

/// A number: octal text, or big-endian two's complement behind a first bit.
fn number(field: &[u8]) -> Option<i64> {
    match field.first()? {
        first @ 0x80.. => {
            let negative = first & 0x40 != 0;
            let mut rest = field.iter().copied();
            let top = i64::from(rest.next()? & 0x3f) | if negative { !0x3f } else { 0 };
            rest.try_fold(top, |n, b| n.checked_mul(256)?.checked_add(i64::from(b)))
        }
        _ => {
            let text: Vec<u8> = field
                .iter()
                .copied()
                .skip_while(|b| *b == b' ')
                .take_while(|b| !matches!(b, 0 | b' '))
                .collect();
            text.iter().try_fold(0i64, |n, b| {
                let digit = b.checked_sub(b'0').filter(|d| *d < 8)?;
                n.checked_mul(8)?.checked_add(i64::from(digit))
            })
        }
    }
}

impl<'a> Head<'a> {
    /// The header at `at`, if its checksum is right.
    fn read(data: &'a [u8], at: usize) -> Option<Self> {
        let block = read::slice(data, at, BLOCK)?;
        let stored = number(read::slice(block, 148, 8)?)?;
        let mut unsigned = 0i64;
        let mut signed = 0i64;
        for (n, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&n) { b' ' } else { *byte };
            unsigned = unsigned.saturating_add(i64::from(byte));
            signed = signed.saturating_add(i64::from(byte as i8));
        }
        // Old writers summed signed bytes.
        if stored == 0 || (stored != unsigned && stored != signed) {
            return None;
        }
        let size = u64::try_from(number(read::slice(block, 124, 12)?)?).ok()?;
        Some(Self { block, data: at.checked_add(BLOCK)?, size })
    }

    fn field(&self, at: usize, len: usize) -> &'a [u8] {
        read::until_nul(read::slice(self.block, at, len).unwrap_or_default())
    }

    fn number(&self, at: usize, len: usize) -> Option<i64> {
        number(read::slice(self.block, at, len)?)
    }

    fn kind(&self) -> u8 {
        read::u8(self.block, 156).unwrap_or(0)
    }

    fn is_posix(&self) -> bool {
        read::slice(self.block, 257, 6) == Some(b"ustar\0")
    }

    fn is_gnu(&self) -> bool {
        read::slice(self.block, 257, 6) == Some(b"ustar ")
    }

    /// Name, joined with the prefix where the layout has one.
    fn name(&self) -> Vec<u8> {
        let (name, prefix) = (self.field(0, 100), self.field(345, 155));
        if self.is_posix() && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }
}

/// What headers before an entry said about it.
#[derive(Debug, Default, Clone)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Pairs of offset and length of sparse format 0.0, which repeats its keys.
    pieces: Vec<(u64, u64)>,
}

impl Extra {
    fn text(&self, key: &str) -> Option<&[u8]> {
        self.pax.get(key.as_bytes()).map(Vec::as_slice)
    }

    fn decimal(&self, key: &str) -> Option<u64> {
        std::str::from_utf8(self.text(key)?).ok()?.parse().ok()
    }

    /// Seconds before the point, rounded down.
    fn time(&self, key: &str) -> Option<i64> {
        let text = std::str::from_utf8(self.text(key)?).ok()?;
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = whole.parse().ok()?;
        let below = text.starts_with('-') && part.bytes().any(|b| b != b'0');
        seconds.checked_sub(i64::from(below))
    }

    /// Adds the records of a pax header: `LENGTH KEY=VALUE\n`.
    fn read(&mut self, mut records: &[u8]) -> Result<(), &'static str> {
        const BAD: &str = "a pax record has no right length";
        let mut offset = None;
        while !records.is_empty() && !zeros(records) {
            let space = records.iter().take(20).position(|b| *b == b' ').ok_or(BAD)?;
            let len: usize = records
                .get(..space)
                .and_then(|d| std::str::from_utf8(d).ok()?.parse().ok())
                .ok_or(BAD)?;
            let record = records.get(space.saturating_add(1)..len).ok_or(BAD)?;
            records = records.get(len..).ok_or(BAD)?;
            let record = record.strip_suffix(b"\n").ok_or(BAD)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or(BAD)?;
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            let decimal = || std::str::from_utf8(value).ok().and_then(|t| t.parse::<u64>().ok());
            match key {
                b"GNU.sparse.offset" => offset = decimal(),
                b"GNU.sparse.numbytes" => {
                    if let (Some(from), Some(n)) = (offset.take(), decimal())
                        && self.pieces.len() < PIECES_MAX
                    {
                        self.pieces.push((from, n));
                    }
                }
                _ if value.is_empty() => drop(self.pax.remove(key)),
                _ => drop(self.pax.insert(key.to_vec(), value.to_vec())),
            }
        }
        Ok(())
    }
}

/// A file with holes: its pieces in order, taken from one run of stored bytes.
struct Sparse {
    stored: Bytes,
    pieces: Vec<(u64, u64)>,
    size: u64,
}

impl Load for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut problems = Vec::new();
        let size = match (read::index(self.size), budget.output(self.size)) {
            (Some(size), Ok(())) => size,
            (_, Err(e)) => return Loaded { bytes: Bytes::new(), problems: vec![e.into()] },
            (None, _) => return Loaded::default(),
        };
        let mut content = vec![0; size];
        let mut at = 0usize;
        for (offset, len) in &self.pieces {
            let (Some(to), Some(len)) = (read::index(*offset), read::index(*len)) else { continue };
            let source = read::slice(&self.stored, at, len);
            let target = to.checked_add(len).and_then(|end| content.get_mut(to..end));
            match (source, target) {
                (Some(source), Some(target)) => target.copy_from_slice(source),
                _ => problems.push(Problem::new(
                    ProblemKind::Malformed,
                    format!("the piece of {len} bytes at {to} of a sparse file is not there"),
                )),
            }
            at = at.saturating_add(len);
        }
        Loaded { bytes: content.into(), problems }
    }
}

/// How a walk ended.
struct Walk {
    end: usize,
    headers: u64,
    ended: bool,
    problems: Vec<Problem>,
}

/// What an entry's data is: bytes stored, from the size field or the pax header.
fn stored_size(head: &Head<'_>, extra: &Extra) -> u64 {
    match head.kind() {
        // Links, nodes and folders have no data whatever the field says; pax lets a link carry content.
        b'2'..=b'6' => 0,
        b'1' if extra.pax.is_empty() => 0,
        _ => extra.decimal("size").unwrap_or(head.size),
    }
}

/// Walks all headers from `start`; `visit` gets each entry with what came before it, and the place of its
/// data. Stops when `visit` says so.
fn walk(
    data: &[u8],
    start: usize,
    budget: &Budget,
    mut visit: impl FnMut(&Head<'_>, &Extra, usize, u64) -> bool,
) -> Walk {
    let mut found = Walk { end: start, headers: 0, ended: false, problems: Vec::new() };
    let mut global = Extra::default();
    let mut extra = Extra::default();
    let mut at = start;
    let relative = |at: usize| at.saturating_sub(start) as u64;
    loop {
        if let Err(e) = budget.work(BLOCK as u64) {
            found.problems.push(e.into());
            return found;
        }
        examined(AROUND);
        let Some(head) = Head::read(data, at) else {
            let block = data.get(at..at.saturating_add(BLOCK).min(data.len())).unwrap_or_default();
            if block.len() == BLOCK && zeros(block) {
                // Two zero blocks end the archive; writers fill up to a record of twenty.
                let mut end = at.saturating_add(BLOCK);
                let mut blocks = 1;
                while read::slice(data, end, BLOCK).is_some_and(zeros)
                    && (blocks < 2 || !end.saturating_sub(start).is_multiple_of(20 * BLOCK))
                {
                    end = end.saturating_add(BLOCK);
                    blocks = 2;
                }
                found.ended = true;
                found.end = end;
            } else if block.len() < BLOCK {
                // Without an end mark, but whole: what a cut stream of members looks like.
                let what = "the archive is cut off before its end mark";
                let problem = Problem::new(ProblemKind::Truncated, what);
                found.problems.push(problem.at(relative(data.len())));
                found.end = data.len();
            } else {
                let what = "no tar header with a right checksum where the next one should be";
                found.problems.push(Problem::new(ProblemKind::Malformed, what).at(relative(at)));
                found.end = at;
            }
            return found;
        };
        found.headers = found.headers.saturating_add(1);
        let mut data_at = head.data;
        // GNU sparse headers may go on in further blocks.
        if head.kind() == b'S' {
            let mut more = read::u8(head.block, 482) == Some(1);
            while more {
                let Some(block) = read::slice(data, data_at, BLOCK) else { break };
                more = read::u8(block, 504) == Some(1);
                data_at = data_at.saturating_add(BLOCK);
            }
        }
        let size = stored_size(&head, &extra);
        let next = read::index(size)
            .and_then(|n| n.checked_next_multiple_of(BLOCK))
            .and_then(|n| data_at.checked_add(n))
            .unwrap_or(usize::MAX);
        found.end = next.min(data.len());
        let body = || {
            let len = read::index(size).filter(|n| *n <= EXTENDED_MAX)?;
            read::slice(data, data_at, len)
        };
        let mut wrong = None;
        match head.kind() {
            b'L' => extra.name = body().map(|b| read::until_nul(b).to_vec()),
            b'K' => extra.link = body().map(|b| read::until_nul(b).to_vec()),
            b'x' | b'X' => wrong = extra.read(body().unwrap_or_default()).err(),
            b'g' => {
                wrong = global.read(body().unwrap_or_default()).err();
            }
            _ => {
                let mut all = std::mem::take(&mut extra);
                for (key, value) in &global.pax {
                    all.pax.entry(key.clone()).or_insert_with(|| value.clone());
                }
                if !visit(&head, &all, data_at, size) {
                    return found;
                }
            }
        }
        if let Some(what) = wrong {
            found.problems.push(Problem::new(ProblemKind::Malformed, what).at(relative(at)));
        }
        if next > data.len() {
            // The last content may be whole and only its padding be missing.
            let whole = read::index(size).is_some_and(|n| read::slice(data, data_at, n).is_some());
            let what = if whole {
                "the archive is cut off before its end mark"
            } else {
                "the archive is cut off inside a content"
            };
            found
                .problems
                .push(Problem::new(ProblemKind::Truncated, what).at(relative(data.len())));
            return found;
        }
        at = next;
    }
}

/// Offset and length of each piece of a sparse file that is stored.
type Pieces = Vec<(u64, u64)>;

/// The pieces of a sparse file, its real size, and where its stored bytes begin.
fn sparse(
    data: &[u8],
    head: &Head<'_>,
    extra: &Extra,
    data_at: usize,
) -> Option<(Pieces, u64, usize)> {
    let mut pieces = Vec::new();
    let mut add = |offset: u64, len: u64| {
        if len > 0 && pieces.len() < PIECES_MAX {
            pieces.push((offset, len));
        }
    };
    if head.kind() == b'S' {
        let mut table = |block: &[u8], at: usize, count: usize| {
            for n in 0..count {
                let at = at.saturating_add(n.saturating_mul(24));
                let pair = read::slice(block, at, 24)?.split_at(12);
                // An empty offset ends the table.
                let offset = number(pair.0).filter(|_| pair.0.first() != Some(&0));
                let (Some(offset), Some(len)) = (offset, number(pair.1)) else { break };
                add(u64::try_from(offset).ok()?, u64::try_from(len).ok()?);
            }
            Some(())
        };
        table(head.block, 386, 4)?;
        let mut at = head.data;
        while at < data_at {
            table(read::slice(data, at, BLOCK)?, 0, 21)?;
            at = at.checked_add(BLOCK)?;
        }
        let real = u64::try_from(head.number(483, 12)?).ok()?;
        return Some((pieces, real, data_at));
    }
    if extra.text("GNU.sparse.major") == Some(b"1") && extra.text("GNU.sparse.minor") == Some(b"0")
    {
        let real = extra.decimal("GNU.sparse.realsize")?;
        let table = data.get(data_at..)?;
        let mut at = 0usize;
        let mut line = || {
            let rest = table.get(at..)?;
            let len = rest.iter().take(24).position(|b| *b == b'\n')?;
            at = at.checked_add(len)?.checked_add(1)?;
            std::str::from_utf8(rest.get(..len)?).ok()?.parse::<u64>().ok()
        };
        let count = line()?;
        for _ in 0..count.min(PIECES_MAX as u64) {
            add(line()?, line()?);
        }
        let begin = at.checked_next_multiple_of(BLOCK)?.checked_add(data_at)?;
        return Some((pieces, real, begin));
    }
    let real = extra.decimal("GNU.sparse.size").or_else(|| extra.decimal("GNU.sparse.realsize"))?;
    match extra.text("GNU.sparse.map") {
        Some(map) => {
            let text = std::str::from_utf8(map).ok()?;
            let mut numbers = text.split(',').map(|n| n.parse::<u64>());
            while let (Some(offset), Some(len)) = (numbers.next(), numbers.next()) {
                add(offset.ok()?, len.ok()?);
            }
        }
        None => extra.pieces.iter().for_each(|(offset, len)| add(*offset, *len)),
    }
    Some((pieces, real, data_at))
}

/// Extended attributes of a pax header.
fn xattrs(extra: &Extra) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in &extra.pax {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            found.push((escape(name), escape(value)));
        } else if key == b"RHT.security.selinux" {
            found.push(("security.selinux".to_owned(), escape(value)));
        } else if key.starts_with(b"SCHILY.acl.") {
            found.push((escape(key), escape(value)));
        }
    }
    found
}

impl Format for Tar {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const {
            &[
                Magic::anywhere(b"ustar\0").after(257),
                Magic::anywhere(b"ustar  \0").after(257),
                // v7 archives have no magic, but modes in eight or six digits.
                Magic::start(b"0000644\0").after(100),
                Magic::start(b"0000755\0").after(100),
                Magic::start(b"0000600\0").after(100),
                Magic::start(b"0000700\0").after(100),
                Magic::start(b"0000777\0").after(100),
                Magic::start(b"0100644\0").after(100),
                Magic::start(b"0100755\0").after(100),
                Magic::start(b"0040755\0").after(100),
                Magic::start(b"000644 \0").after(100),
                Magic::start(b"000755 \0").after(100),
                Magic::start(b"100644 \0").after(100),
                Magic::start(b"100755 \0").after(100),
                Magic::start(b"040755 \0").after(100),
                Magic::start(b"   644 \0").after(100),
                Magic::start(b"   755 \0").after(100),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        Head::read(data, at)?;
        let found = walk(data, at, budget, |_, _, _, _| true);
        let proof = match found.headers {
            _ if found.ended => Proof::ChecksumVerified,
            0 | 1 => Proof::MagicOnly,
            _ => Proof::LengthsConsistent,
        };
        let length = found.end.checked_sub(at)?;
        Some(Candidate { problems: found.problems, ..Candidate::new(at, length, proof) })
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let mut variant = "v7";
        let mut image = None;
        walk(region, 0, budget, |head, extra, data_at, size| {
            if !extra.pax.is_empty() {
                variant = "pax";
            } else if head.is_gnu() {
                variant = "gnu";
            } else if head.is_posix() && variant == "v7" {
                variant = "ustar";
            }
            match member(region, head, extra, data_at, size) {
                Some(made) => {
                    match &made.path[..] {
                        b"oci-layout" => image = Some("oci"),
                        b"manifest.json" => image = image.or(Some("docker")),
                        _ => {}
                    }
                    put(sink, made)
                }
                None => {
                    sink.attribute("label", String::from_utf8_lossy(&head.name()));
                    true
                }
            }
        });
        sink.attribute("variant", variant);
        if let Some(image) = image {
            sink.attribute("container-image", image);
            oci::describe(sink, budget);
        }
    }
}

/// The entry of a header; none for a volume label.
fn member(
    region: &Bytes,
    head: &Head<'_>,
    extra: &Extra,
    data_at: usize,
    size: u64,
) -> Option<crate::format::Entry> {
    let stored_name = extra
        .text("GNU.sparse.name")
        .or_else(|| extra.text("path"))
        .map(<[u8]>::to_vec)
        .or_else(|| extra.name.clone())
        .unwrap_or_else(|| head.name());
    let link = || {
        extra
            .text("linkpath")
            .map(<[u8]>::to_vec)
            .or_else(|| extra.link.clone())
            .unwrap_or_else(|| head.field(157, 100).to_vec())
    };
    let node = |at| head.number(at, 8).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let (major, minor) = (node(329), node(337));
    let mut unknown = None;
    let kind = match head.kind() {
        b'1' => EntryKind::Hardlink { target: escape(&super::path(&link()).0) },
        b'2' => EntryKind::Symlink { target: escape(&link()) },
        b'3' => EntryKind::CharDevice { major, minor },
        b'4' => EntryKind::BlockDevice { major, minor },
        b'5' | b'D' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        b'V' => return None,
        0 | b'0' if stored_name.ends_with(b"/") => EntryKind::Directory,
        0 | b'0' | b'7' | b'S' => EntryKind::File,
        other => {
            unknown = Some(other);
            EntryKind::File
        }
    };
    let mut made = entry(&stored_name, kind);
    if let Some(other) = unknown {
        made.problems.push(Problem::new(
            ProblemKind::Unsupported,
            format!("an entry of type `{}` is kept as a file", escape(&[other])),
        ));
    }
    let id = |key: &str, at| {
        extra
            .decimal(key)
            .or_else(|| head.number(at, 8).and_then(|n| u64::try_from(n).ok()))
            .and_then(|n| u32::try_from(n).ok())
    };
    made.metadata = Metadata {
        mode: head.number(100, 8).map(|m| (m & 0o7777) as u32),
        uid: id("uid", 108),
        gid: id("gid", 116),
        mtime: extra.time("mtime").or_else(|| head.number(136, 12)),
        xattrs: xattrs(extra),
    };
    // Layers of container images mark what they remove from the layer below.
    let base = made.path.iter().rposition(|b| *b == b'/').map_or(0, |at| at.saturating_add(1));
    let removed = made.path.get(base..).and_then(|name| name.strip_prefix(b".wh."));
    if made.kind == EntryKind::File
        && size == 0
        && let Some(removed) = removed.filter(|n| !n.is_empty()).map(<[u8]>::to_vec)
    {
        made.kind = EntryKind::Whiteout;
        // An opaque folder keeps its mark as name.
        if !removed.starts_with(b".wh.") {
            made.path.truncate(base);
            made.path.extend_from_slice(&removed);
        }
        return Some(made);
    }
    if made.kind == EntryKind::File {
        let begin = data_at.min(region.len());
        let end =
            read::index(size).map_or(usize::MAX, |n| begin.saturating_add(n)).min(region.len());
        if (end.saturating_sub(begin) as u64) < size {
            made.problems.push(Problem::new(
                ProblemKind::Truncated,
                format!("{} of {size} stored bytes are there", end.saturating_sub(begin)),
            ));
        }
        made.blob = match sparse(region, head, extra, data_at) {
            Some((pieces, real, from)) => Blob::Lazy(Arc::new(Sparse {
                stored: region.slice(from.min(end)..end),
                pieces,
                size: real,
            })),
            None => Blob::Bytes(region.slice(begin..end)),
        };
    }
    Some(made)
}
