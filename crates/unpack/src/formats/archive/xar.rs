//! xar archives, which are also the flat packages of macOS.
//!
//! The table of contents is compressed XML with a checksum; contents lie in the heap behind
//! it, each with a checksum of the stored and one of the extracted bytes. All are verified: MD5, SHA-1, SHA-256, SHA-512.
//!
//! Sources: xar file format, github.com/apple-oss-distributions/xar wiki; xar.h.in for the numbers of checksums.

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{
    entry, put,
    xml::{self, Token},
};
use crate::{
    budget::Budget,
    codec::{bzip2, deflate, lzma, packed, xz},
    format::{About, Blob, Candidate, Family, Format, Load as _, Magic, Sink},
    formats::{layout::Deferred, sums},
    read,
};

/// The format.
pub struct Xar;

static ABOUT: About = About {
    id: "xar",
    name: "xar",
    family: Family::Archive,
    revision: 2,
    metadata: "mode, owner, mtime, links",
    integrity: "checksum of the table of contents, and of each content as stored and extracted (MD5, SHA-1, SHA-256, SHA-512)",
    limits: "extended attributes; signatures are not verified",
    sources: &["xar file format"],
};

/// Longest table that is believed, and deepest nesting.
const TABLE_MAX: usize = 64 << 20;
const DEPTH_MAX: usize = 256;

struct Header {
    length: usize,
    packed: usize,
    plain: usize,
    /// Of the checksum of the table; empty if there is none.
    algorithm: String,
}

/// A checksum by number, or by the name that stands in the header.
fn algorithm(data: &[u8], length: usize) -> Option<String> {
    let named = read::slice(data, 28, length.saturating_sub(28)).filter(|name| name.len() >= 4);
    Some(match (read::be32(data, 24)?, named) {
        (0, _) => String::new(),
        (1, _) => "sha1".into(),
        (2, _) => "md5".into(),
        (3, Some(name)) => name_of(read::until_nul(name)),
        (3, None) => "sha256".into(),
        (4, _) => "sha512".into(),
        (n, _) => format!("checksum {n}"),
    })
}

/// The name of an algorithm as [`sums::by_name`] has it.
fn name_of(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).trim().to_ascii_lowercase().replace('-', "")
}

fn header(data: &[u8]) -> Option<Header> {
    if !data.starts_with(b"xar!") {
        return None;
    }
    let length = usize::from(read::be16(data, 4)?);
    let made = Header {
        length,
        packed: read::index(read::be64(data, 8)?)?,
        plain: read::index(read::be64(data, 16)?)?,
        algorithm: algorithm(data, length)?,
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
    /// Algorithm and hexadecimal value, of the bytes as stored and as extracted.
    stored: Option<(String, Vec<u8>)>,
    extracted: Option<(String, Vec<u8>)>,
}

/// What the table says.
#[derive(Default)]
struct Contents {
    /// All files with their whole paths.
    files: Vec<(Vec<u8>, File)>,
    /// Bytes of the heap that are in use.
    used: u64,
    /// Algorithm and place of the table's own checksum.
    sum: Option<(String, u64, u64)>,
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

fn contents(table: &[u8]) -> Contents {
    let mut open: Vec<&[u8]> = Vec::new();
    let mut nested: Vec<File> = Vec::new();
    let mut found = Contents::default();
    // Algorithm and place of what is being told.
    let mut style = String::new();
    let mut place = (0, 0);
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
                if matches!(name, b"checksum" | b"archived-checksum" | b"extracted-checksum")
                    || matches!(name, b"unarchived-checksum" | b"signature" | b"x-signature")
                {
                    style = name_of(xml::attribute(attributes, "style").unwrap_or_default());
                    place = (0, 0);
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
                    found.files.push((path, file));
                }
            }
            Token::Text(raw) => {
                let inside = open.len().checked_sub(2).and_then(|n| open.get(n)).copied();
                let number = || std::str::from_utf8(raw.trim_ascii()).ok()?.parse::<u64>().ok();
                let small = || number().and_then(|n| u32::try_from(n).ok());
                // The table's own checksum and its signatures lie in the heap as well.
                if let (Some(b"checksum" | b"signature" | b"x-signature"), Some(last)) =
                    (inside, open.last())
                {
                    match *last {
                        b"offset" => place.0 = number().unwrap_or(0),
                        b"size" => place.1 = number().unwrap_or(0),
                        _ => {}
                    }
                    found.used = found.used.max(place.0.saturating_add(place.1));
                    if inside == Some(&b"checksum"[..]) {
                        found.sum = Some((style.clone(), place.0, place.1));
                    }
                }
                let sum = || Some((style.clone(), raw.trim_ascii().to_ascii_lowercase()));
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
                    (Some(b"data"), Some(b"archived-checksum")) => f.stored = sum(),
                    (Some(b"data"), Some(b"extracted-checksum" | b"unarchived-checksum")) => {
                        f.extracted = sum();
                    }
                    (Some(b"data"), Some(b"size")) => f.size = number().unwrap_or(0),
                    _ => {}
                }
            }
        }
    }
    let ends = found.files.iter().map(|(_, f)| f.offset.saturating_add(f.length));
    found.used = found.used.max(ends.max().unwrap_or(0));
    found
}

/// Whether the table's checksum is right, and its algorithm; none where there is none or it is not known.
fn table_sum(data: &[u8], head: &Header, heap: usize, told: &Contents) -> Option<(bool, String)> {
    let (named, offset, size) = told.sum.clone().unwrap_or_default();
    let algorithm = if named.is_empty() { head.algorithm.clone() } else { named };
    let made = sums::by_name(&algorithm, read::slice(data, head.length, head.packed)?)?;
    let size = if size == 0 { made.len() } else { read::index(size)? };
    let at = heap.checked_add(read::index(offset)?)?;
    Some((read::slice(data, at, size) == Some(&made[..]), algorithm))
}

/// What is wrong with bytes whose checksum is this.
fn wrong(sum: Option<&(String, Vec<u8>)>, bytes: &[u8], which: &str) -> Option<Problem> {
    let (algorithm, value) = sum?;
    let made = sums::by_name(algorithm, bytes)?;
    let text = || format!("the {algorithm} of the {which} content is not right");
    (sums::hex(&made).as_bytes() != &value[..]).then(|| Problem::new(ProblemKind::Checksum, text()))
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
        let told = contents(&toc);
        let verified = table_sum(archive, &head, heap, &told).is_some_and(|(right, _)| right);
        let end = heap.checked_add(read::index(told.used)?)?;
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
        let told = contents(&toc);
        if let Some((right, algorithm)) = table_sum(region, &head, heap, &told) {
            sink.attribute("checksum-correct", if right { "yes" } else { "no" });
            sink.attribute("checksum-algorithm", &algorithm);
            if !right {
                let text = format!("the {algorithm} of the table of contents is not right");
                sink.problem(Problem::new(ProblemKind::Checksum, text));
            }
        }
        for (path, file) in told.files {
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
                        let (stored, extracted) = (file.stored, file.extracted);
                        let packed = packed::Packed {
                            data: data.clone(),
                            decode,
                            size: file.size,
                            crc32: None,
                        };
                        Deferred::blob(file.size, move |budget| {
                            let mut loaded = packed.load(budget);
                            loaded.problems.extend(wrong(stored.as_ref(), &data, "stored"));
                            if loaded.problems.is_empty() {
                                let extracted =
                                    wrong(extracted.as_ref(), &loaded.bytes, "extracted");
                                loaded.problems.extend(extracted);
                            }
                            loaded
                        })
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::formats::testing::{noise, open, open_whole, torture};

    /// An archive of one content with checksums of this algorithm, which stands in the header by number or name.
    fn archive(algorithm: &str, number: u32, name: &[u8]) -> Vec<u8> {
        let content = noise(300, 5);
        let size = sums::by_name(algorithm, b"").map_or(0, |sum| sum.len());
        let sum =
            sums::by_name(algorithm, &content).map_or_else(String::new, |sum| sums::hex(&sum));
        let table = format!(
            "<?xml version=\"1.0\"?><xar><toc><checksum style=\"{algorithm}\"><offset>0</offset><size>{size}</size>\
             </checksum><file id=\"1\"><name>f</name><type>file</type><data><length>300</length><size>300</size>\
             <offset>{size}</offset><encoding style=\"application/octet-stream\"/>\
             <archived-checksum style=\"{algorithm}\">{sum}</archived-checksum>\
             <extracted-checksum style=\"{}\">{sum}</extracted-checksum></data></file></toc></xar>",
            algorithm.to_uppercase()
        );
        let mut packed = Vec::new();
        flate2::read::ZlibEncoder::new(table.as_bytes(), flate2::Compression::best())
            .read_to_end(&mut packed)
            .unwrap();
        let mut made = b"xar!".to_vec();
        made.extend((28 + name.len() as u16).to_be_bytes());
        made.extend([0, 1]);
        made.extend((packed.len() as u64).to_be_bytes());
        made.extend((table.len() as u64).to_be_bytes());
        made.extend(number.to_be_bytes());
        made.extend(name);
        made.extend(&packed);
        made.extend(sums::by_name(algorithm, &packed).unwrap_or_default());
        made.extend(content);
        made
    }

    #[test]
    fn checksums_of_all_kinds_are_verified() {
        for (algorithm, number, name) in [
            ("none", 0, &b""[..]),
            ("sha1", 1, b""),
            ("md5", 2, b""),
            ("sha256", 3, b""),
            ("sha512", 3, b"sha512\0\0"),
            ("sha512", 4, b""),
        ] {
            let file = archive(algorithm, number, name);
            let opened = open_whole(&Xar, &file);
            assert_eq!(opened.content("f"), noise(300, 5));
            let proof = if number == 0 { Proof::DecoderEnded } else { Proof::ChecksumVerified };
            assert_eq!(opened.candidate.proof, proof, "{algorithm}");
            assert_eq!(opened.attribute("checksum-correct"), if number == 0 { "" } else { "yes" });
            // One bit of the content.
            let mut damaged = file.clone();
            *damaged.last_mut().unwrap() ^= 1;
            let loaded = open(&Xar, &damaged).entries[0].blob.load(&Budget::ample());
            assert_eq!(loaded.problems.len(), usize::from(number > 0), "{algorithm}");
            // One bit of the table's checksum.
            let mut damaged = file.clone();
            let at = damaged.len() - 301;
            damaged[at] ^= 1;
            let opened = open(&Xar, &damaged);
            if number > 0 {
                assert_eq!(opened.problems[0].kind, ProblemKind::Checksum);
                assert_eq!(opened.attribute("checksum-correct"), "no");
            }
        }
        torture(&Xar, &archive("sha256", 3, b""));
    }
}
