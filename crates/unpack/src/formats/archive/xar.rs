//! xar archives, which are also the flat packages of macOS.
//!
//! The table of contents is compressed XML with a checksum; contents lie in the heap behind
//! it.
//!
//! Source: xar file format, github.com/apple-oss-distributions/xar wiki.

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};
use sha1::{Digest as _, Sha1};

use super::{
    entry, put,
    xml::{self, Token},
};
use crate::{
    budget::Budget,
    codec::{bzip2, deflate, lzma, packed, xz},
    format::{About, Blob, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Xar;

static ABOUT: About = About {
    id: "xar",
    name: "xar",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, owner, mtime, links",
    integrity: "SHA-1 of the table of contents",
    limits: "extended attributes; checksums of contents are not verified",
    sources: &["xar file format"],
};

/// Longest table that is believed, and deepest nesting.
const TABLE_MAX: usize = 64 << 20;
const DEPTH_MAX: usize = 256;

struct Header {
    length: usize,
    packed: usize,
    plain: usize,
    algorithm: u32,
}

fn header(data: &[u8]) -> Option<Header> {
    if !data.starts_with(b"xar!") {
        return None;
    }
    let made = Header {
        length: usize::from(read::be16(data, 4)?),
        packed: read::index(read::be64(data, 8)?)?,
        plain: read::index(read::be64(data, 16)?)?,
        algorithm: read::be32(data, 24)?,
    };
    (made.length >= 28 && made.packed > 0 && made.plain <= TABLE_MAX).then_some(made)
}

/// One file of the table.
#[derive(Default)]
struct File {
    name: Vec<u8>,
    kind: Vec<u8>,
    link: Vec<u8>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
    offset: u64,
    length: u64,
    size: u64,
    encoding: Vec<u8>,
}

/// Seconds of `2020-01-31T12:34:56Z`.
fn seconds(text: &[u8]) -> Option<i64> {
    let number = |from: usize, len: usize| {
        std::str::from_utf8(read::slice(text, from, len)?).ok()?.parse::<u32>().ok()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let days = super::days(year.into(), month.into(), day.into())?;
    let in_day = number(11, 2)?
        .checked_mul(3600)?
        .checked_add(number(14, 2)?.checked_mul(60)?)?
        .checked_add(number(17, 2)?)?;
    days.checked_mul(86_400)?.checked_add(in_day.into())
}

/// All files of the table with their whole paths, and the bytes of heap that are in use.
fn files(table: &[u8]) -> (Vec<(Vec<u8>, File)>, u64) {
    let mut open: Vec<&[u8]> = Vec::new();
    let mut nested: Vec<File> = Vec::new();
    let mut found = Vec::new();
    let mut used = 0u64;
    for token in xml::tokens(table) {
        match token {
            Token::Open(name, attributes, closed) => {
                if name == b"encoding"
                    && open.last() == Some(&&b"data"[..])
                    && let (Some(f), Some(style)) =
                        (nested.last_mut(), xml::attribute(attributes, "style"))
                {
                    f.encoding = style.to_vec();
                }
                if name == b"name" && xml::attribute(attributes, "enctype") == Some(b"base64") {
                    open.push(b"name64");
                    continue;
                }
                if !closed && open.len() < DEPTH_MAX {
                    open.push(name);
                    if name == b"file" {
                        nested.push(File::default());
                    }
                }
            }
            Token::Close(name) => {
                open.pop();
                if name == b"file"
                    && let Some(file) = nested.pop()
                {
                    let mut path: Vec<u8> = Vec::new();
                    for above in &nested {
                        path.extend_from_slice(&above.name);
                        path.push(b'/');
                    }
                    path.extend_from_slice(&file.name);
                    found.push((path, file));
                }
            }
            Token::Text(raw) => {
                let inside = open.len().checked_sub(2).and_then(|n| open.get(n)).copied();
                let number = || std::str::from_utf8(raw.trim_ascii()).ok()?.parse::<u64>().ok();
                let small = || number().and_then(|n| u32::try_from(n).ok());
                // The table's own checksum lies in the heap as well.
                if matches!(inside, Some(b"checksum" | b"data" | b"signature" | b"x-signature"))
                    && matches!(open.last(), Some(&b"offset"))
                {
                    used = used.max(number().unwrap_or(0));
                }
                let Some(f) = nested.last_mut() else { continue };
                match (inside, open.last().copied()) {
                    (Some(b"file"), Some(b"name")) => f.name = xml::text(raw),
                    (Some(b"file"), Some(b"name64")) => f.name = xml::base64(raw),
                    (Some(b"file"), Some(b"type")) => f.kind = raw.to_vec(),
                    (Some(b"file"), Some(b"link")) => f.link = xml::text(raw),
                    (Some(b"file"), Some(b"mode")) => {
                        f.mode = std::str::from_utf8(raw)
                            .ok()
                            .and_then(|t| u32::from_str_radix(t, 8).ok());
                    }
                    (Some(b"file"), Some(b"uid")) => f.uid = small(),
                    (Some(b"file"), Some(b"gid")) => f.gid = small(),
                    (Some(b"file"), Some(b"mtime")) => f.mtime = seconds(raw),
                    (Some(b"data"), Some(b"offset")) => f.offset = number().unwrap_or(0),
                    (Some(b"data"), Some(b"length")) => f.length = number().unwrap_or(0),
                    (Some(b"data"), Some(b"size")) => f.size = number().unwrap_or(0),
                    _ => {}
                }
            }
        }
    }
    for (_, f) in &found {
        used = used.max(f.offset.saturating_add(f.length));
    }
    (found, used)
}

/// The table and where the heap begins.
fn table(data: &[u8], budget: &Budget) -> Option<(Header, Vec<u8>, usize, Option<Problem>)> {
    let head = header(data)?;
    let stream = read::slice(data, head.length, head.packed)?;
    let made = deflate::zlib(stream, head.plain, budget);
    let problem = made.error.map(Into::into);
    let heap = head.length.checked_add(head.packed)?;
    (!made.bytes.is_empty()).then(|| (head, made.bytes.into(), heap, problem))
}

impl Format for Xar {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"xar!\0")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let archive = data.get(at..)?;
        let (head, toc, heap, problem) = table(archive, budget)?;
        let (_, used) = files(&toc);
        // The checksum of the table stands at the start of the heap.
        let packed = read::slice(archive, head.length, head.packed)?;
        let verified = head.algorithm == 1
            && read::slice(archive, heap, 20) == Some(Sha1::digest(packed).as_slice());
        let least = if head.algorithm == 1 { 20 } else { 0 };
        let end = heap.checked_add(read::index(used.max(least))?)?;
        let proof = if verified { Proof::ChecksumVerified } else { Proof::DecoderEnded };
        let mut found = Candidate::new(at, end.min(archive.len()), proof);
        found.problems.extend(problem);
        if end > archive.len() {
            found
                .problems
                .push(Problem::new(ProblemKind::Truncated, "the heap of the archive is cut off"));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some((head, toc, heap, _)) = table(region, budget) else { return };
        if head.algorithm == 1 {
            let packed = read::slice(region, head.length, head.packed).unwrap_or_default();
            let right = read::slice(region, heap, 20) == Some(Sha1::digest(packed).as_slice());
            sink.attribute("checksum-correct", if right { "yes" } else { "no" });
        }
        for (path, file) in files(&toc).0 {
            let kind = match &file.kind[..] {
                b"directory" => EntryKind::Directory,
                b"symlink" => EntryKind::Symlink { target: escape(&file.link) },
                b"fifo" => EntryKind::Fifo,
                b"socket" => EntryKind::Socket,
                _ => EntryKind::File,
            };
            let mut made = entry(&path, kind);
            made.metadata = Metadata {
                mode: file.mode.map(|m| m & 0o7777),
                uid: file.uid,
                gid: file.gid,
                mtime: file.mtime,
                xattrs: Vec::new(),
            };
            if made.kind == EntryKind::File {
                let place = |n: u64| {
                    read::index(n)
                        .and_then(|n| heap.checked_add(n))
                        .unwrap_or(usize::MAX)
                        .min(region.len())
                };
                let (from, to) =
                    (place(file.offset), place(file.offset.saturating_add(file.length)));
                if (to.saturating_sub(from) as u64) < file.length {
                    made.problems
                        .push(Problem::new(ProblemKind::Truncated, "the content is cut off"));
                }
                let data = region.slice(from..to.max(from));
                let decode: Option<packed::Decode> = match &file.encoding[..] {
                    b"" | b"application/octet-stream" => Some(packed::copy),
                    b"application/x-gzip" => Some(deflate::zlib),
                    b"application/x-bzip2" => Some(bzip2::decode),
                    b"application/x-lzma" => Some(lzma::decode_alone),
                    b"application/x-xz" => Some(xz::decode),
                    _ => None,
                };
                made.blob = match decode {
                    Some(decode) => {
                        packed::Packed { data, decode, size: file.size, crc32: None }.blob()
                    }
                    None => {
                        let text = format!("encoding `{}` is not read", escape(&file.encoding));
                        made.problems.push(Problem::new(ProblemKind::Unsupported, text));
                        Blob::None
                    }
                };
            }
            if !put(sink, made) {
                return;
            }
        }
    }
}
