//! StuffIt archives of version 1 to 4 (`SIT!` and its like, with `rLau` behind) and 5.
//!
//! Establishes: every header's CRC-16, names, folders, both forks; CRC-16 of each fork, CRC-32 where the method has one. The
//! resource fork is an entry of its own, `NAME.rsrc`.
//!
//! | version 5 | bytes |
//! |---|---|
//! | archive | 82 version, 84 size, 92 number of entries in the root, 94 place of the first |
//! | entry | `A5A5A5A5`, 4 version, 6 length, 9 flags (0x40 folder, 0x20 encrypted), 14 changed, 26 place of its folder, 30 length of the name, 32 CRC-16, 34 size, 38 packed size, 42 CRC-16, 46 method (of a folder: number of entries in it), 47 length of key data, name |
//! | second part | 0 bit 0: a resource fork, from 36 (version 1) or 32 on: size, packed size, CRC-16, 12 method, 13 length of key data |
//! | forks | resources, then data |
//!
//! Sources: the format as documented by the macutils program (`unsit`) and by the peeler project (`docs/sit.md`, MIT).

use std::collections::BTreeMap;

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, Proof};

use super::{entry, put};
use crate::{
    budget::Budget,
    codec::{check, stuffit},
    format::Loaded,
    format::{About, Blob, Candidate, Entry, Format, Magic, Sink},
    formats::layout::{Deferred, about},
    read,
};

/// The format.
pub struct StuffIt;

static ABOUT: &About = about!(
    Archive,
    "stuffit",
    "StuffIt",
    "mtime, resource forks",
    "CRC-16 of headers and contents, CRC-32 of contents of method 15",
    "encrypted archives; StuffIt X (`.sitx`)",
    "macutils 2.0, unsit",
    "peeler, docs/sit.md, sit3.md, sit13.md, sit15.md"
);

const HEADER: usize = 22;
const FILE: usize = 112;
const FIVE: &[u8] = b"StuffIt (c)1997-";
/// Seconds from 1904 to 1970.
const MAC: i64 = 2_082_844_800;

/// One of the two contents of a file.
#[derive(Clone, Copy)]
struct Fork {
    method: u8,
    size: u32,
    packed: u32,
    crc: u16,
    encrypted: bool,
}

/// A stored name as one step of a path.
fn step(name: &[u8]) -> Vec<u8> {
    name.iter().map(|b| if matches!(b, b'/' | 0) { b':' } else { *b }).collect()
}

/// One header of version 1 to 4.
struct Head {
    methods: (u8, u8),
    name: Vec<u8>,
    modified: i64,
    /// Resources and data.
    forks: [Fork; 2],
}

fn head(data: &[u8], at: usize) -> Option<Head> {
    let row = read::slice(data, at, FILE)?;
    if read::be16(row, 110)? != check::crc16(row.get(..110)?) {
        return None;
    }
    let len = usize::from(read::u8(row, 2)?).min(63);
    let word = |at| read::be32(row, at);
    let methods = (read::u8(row, 0)?, read::u8(row, 1)?);
    let fork = |method: u8, size, packed, crc| Fork {
        method: method & 15,
        size,
        packed,
        crc,
        encrypted: method & 16 != 0,
    };
    Some(Head {
        methods,
        name: step(read::slice(row, 3, len)?),
        modified: i64::from(word(80)?).checked_sub(MAC)?,
        forks: [
            fork(methods.0, word(84)?, word(92)?, read::be16(row, 100)?),
            fork(methods.1, word(88)?, word(96)?, read::be16(row, 102)?),
        ],
    })
}

/// One entry of version 5.
struct Five {
    folder: bool,
    /// The mark behind what a folder holds.
    mark: bool,
    /// Entries in a folder.
    inside: u16,
    modified: i64,
    parent: u32,
    name: Vec<u8>,
    forks: [Option<Fork>; 2],
    /// Where its contents begin.
    body: usize,
}

fn five(data: &[u8], at: usize) -> Option<Five> {
    let first = read::slice(data, at, 48)?;
    let len = usize::from(read::be16(first, 6)?);
    let mut row = read::slice(data, at, len).filter(|_| first.starts_with(&[0xA5; 4]))?.to_vec();
    row.get_mut(32..34)?.fill(0);
    if check::crc16(&row) != read::be16(first, 32)? {
        return None;
    }
    let flags = read::u8(first, 9)?;
    let (folder, encrypted) = (flags & 0x40 != 0, flags & 0x20 != 0);
    let key = if folder { 0 } else { read::u8(first, 47)? };
    let name = read::slice(&row, 48_usize.checked_add(key.into())?, read::be16(first, 30)?.into())?;
    let word = |at| read::be32(first, at);
    let mut made = Five {
        folder,
        mark: word(34)? == u32::MAX,
        inside: read::be16(first, 46)?,
        modified: i64::from(word(14)?).checked_sub(MAC)?,
        parent: word(26)?,
        name: step(name),
        forks: [None, None],
        body: at.checked_add(len)?,
    };
    if made.mark {
        return Some(made);
    }
    let second = data.get(made.body..)?;
    let resources = read::be16(second, 0)? & 1 != 0;
    let mut end = if read::u8(first, 4)? == 1 { 36_usize } else { 32 };
    if resources {
        let part = read::slice(second, end, 14)?;
        end = end.checked_add(14)?.checked_add(read::u8(part, 13)?.into())?;
        made.forks = [
            Some(Fork {
                method: read::u8(part, 12)? & 15,
                size: read::be32(part, 0)?,
                packed: read::be32(part, 4)?,
                crc: read::be16(part, 8)?,
                encrypted,
            }),
            None,
        ];
    }
    made.body = made.body.checked_add(end)?;
    if !folder {
        let [_, data_fork] = &mut made.forks;
        *data_fork = Some(Fork {
            method: read::u8(first, 46)? & 15,
            size: word(34)?,
            packed: word(38)?,
            crc: read::be16(first, 42)?,
            encrypted,
        });
    }
    Some(made)
}

impl Format for StuffIt {
    fn about(&self) -> &'static About {
        ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"rLau").after(10), Magic::anywhere(FIVE)] }
    }

    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        let archive = data.get(at..)?;
        let (declared, proof) = if archive.starts_with(FIVE) {
            let size =
                read::be32(archive, 84).filter(|_| read::slice(archive, 78, 2) == Some(b"\r\n"))?;
            let first = five(archive, read::index(read::be32(archive, 94)?.into())?);
            let proof =
                if first.is_some() { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
            (size, proof)
        } else {
            let named = matches!(
                read::array(archive, 0)?,
                [b'S', b'I', b'T', b'!'] | [b'S', b'T', b'0'..=b'9' | b'i', b'0'..=b'9' | b'n']
            );
            let named = named && read::slice(archive, 10, 4)? == b"rLau";
            head(archive, HEADER).filter(|_| named)?;
            (read::be32(archive, 6)?, Proof::ChecksumVerified)
        };
        let length = read::index(declared.into())?;
        if length < HEADER {
            return None;
        }
        let mut found = Candidate::new(at, length.min(archive.len()), proof);
        if length > archive.len() {
            let text = format!("declares {length} bytes, {} are there", archive.len());
            found.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        if region.starts_with(FIVE) {
            open_five(region, budget, sink);
        } else {
            open_four(region, budget, sink);
        }
    }
}

/// The headers of version 1 to 4 follow each other; folders are between a header that begins and one that ends them.
fn open_four(region: &Bytes, budget: &Budget, sink: &mut Sink<'_>) {
    let mut at = HEADER;
    let mut folders: Vec<Vec<u8>> = Vec::new();
    while at < region.len() && budget.work(FILE as u64).is_ok() {
        let Some(head) = head(region, at) else {
            let text = format!("the header at {at:#x} is not right; what follows is not read");
            sink.problem(Problem::new(ProblemKind::Incomplete, text));
            return;
        };
        at = at.saturating_add(FILE);
        let path =
            folders.last().map_or(head.name.clone(), |f| [&f[..], b"/", &head.name].concat());
        let marks = |kind| head.methods.0 & 0x6F == kind || head.methods.1 & 0x6F == kind;
        if marks(32) && folders.len() < 64 {
            folders.push(path.clone());
            if !folder(&path, head.modified, sink) {
                return;
            }
        } else if marks(33) {
            folders.pop();
        } else if !forks(region, &mut at, &path, head.modified, head.forks.map(Some), sink) {
            return;
        }
    }
}

/// The entries of version 5 follow each other, those in a folder behind it; each names the place of its folder.
fn open_five(region: &Bytes, budget: &Budget, sink: &mut Sink<'_>) {
    let place = |at| read::be32(region, at).and_then(|n| read::index(n.into()));
    let mut at = place(94).unwrap_or(region.len());
    let mut left = u64::from(read::be16(region, 92).unwrap_or(0));
    let mut folders: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while left > 0 && budget.work(FILE as u64).is_ok() {
        left = left.saturating_sub(1);
        let Some(found) = five(region, at) else {
            let text = format!("the header at {at:#x} is not right; what follows is not read");
            sink.problem(Problem::new(ProblemKind::Incomplete, text));
            return;
        };
        let here = u32::try_from(at).unwrap_or(u32::MAX);
        at = found.body;
        if found.mark {
            left = left.saturating_add(1);
            continue;
        }
        let path = match folders.get(&found.parent) {
            Some(folder) => [&folder[..], b"/", &found.name].concat(),
            None => found.name,
        };
        // Folders may lie in each other as deep as there are bytes for names.
        if budget.work(path.len() as u64).is_err() {
            return;
        }
        if found.folder {
            left = left.saturating_add(found.inside.into());
            if !folder(&path, found.modified, sink) {
                return;
            }
            folders.insert(here, path);
        } else if !forks(region, &mut at, &path, found.modified, found.forks, sink) {
            return;
        }
    }
}

fn folder(path: &[u8], modified: i64, sink: &mut Sink<'_>) -> bool {
    let mut made = entry(path, EntryKind::Directory);
    made.metadata.mtime = Some(modified);
    put(sink, made)
}

/// Puts the forks of a file, which follow each other from `at` on. False when the budget of entries is used up.
fn forks(
    region: &Bytes,
    at: &mut usize,
    path: &[u8],
    modified: i64,
    forks: [Option<Fork>; 2],
    sink: &mut Sink<'_>,
) -> bool {
    for (fork, suffix) in forks.into_iter().zip([&b".rsrc"[..], b""]) {
        let Some(fork) = fork else { continue };
        let from = (*at).min(region.len());
        *at = at.saturating_add(fork.packed as usize);
        if fork.packed == 0 && !suffix.is_empty() {
            continue;
        }
        let mut made = entry(&[path, suffix].concat(), EntryKind::File);
        made.metadata.mtime = Some(modified);
        fill(&mut made, fork, region.slice(from..(*at).min(region.len())));
        if !put(sink, made) {
            return false;
        }
    }
    true
}

fn fill(made: &mut Entry, fork: Fork, bytes: Bytes) {
    let Fork { method, size, packed, crc, encrypted } = fork;
    if bytes.len() < packed as usize {
        let text = format!("{packed} bytes are declared, {} are there", bytes.len());
        made.problems.push(Problem::new(ProblemKind::Truncated, text));
    }
    if encrypted && packed > 0 {
        made.problems
            .push(Problem::new(ProblemKind::Encrypted, "encrypted; no password was given"));
        return;
    }
    if !stuffit::knows(method) {
        let text = format!("StuffIt method {method} is not decoded");
        made.problems.push(Problem::new(ProblemKind::Unsupported, text));
        return;
    }
    made.blob = if size == 0 {
        Blob::Bytes(Bytes::new())
    } else {
        Deferred::blob(size.into(), move |budget| {
            let decoded = stuffit::decode(method, &bytes, size as usize, budget);
            let mut problems: Vec<Problem> = decoded.error.into_iter().map(Into::into).collect();
            let summed = !stuffit::checks_itself(method) || crc != 0;
            if problems.is_empty() && summed && check::crc16(&decoded.bytes) != crc {
                problems.push(Problem::new(
                    ProblemKind::Checksum,
                    "the CRC-16 of the content is not right",
                ));
            }
            Loaded { bytes: decoded.bytes.into(), problems }
        })
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_at, open_whole, scratch, tool, torture};

    fn member(method: u8, name: &str, size: usize, packed: &[u8], crc: u16) -> Vec<u8> {
        let mut row =
            vec![if method >= 32 { method } else { 0 }, method, u8::try_from(name.len()).unwrap()];
        row.extend(name.bytes());
        row.resize(80, 0);
        row.extend(u32::try_from(MAC + 86_400).unwrap().to_be_bytes());
        for word in [0, size, 0, packed.len()] {
            row.extend(u32::try_from(word).unwrap().to_be_bytes());
        }
        row.extend([0, 0]);
        row.extend(crc.to_be_bytes());
        row.resize(110, 0);
        let own = check::crc16(&row);
        row.extend(own.to_be_bytes());
        row.extend(packed);
        row
    }

    #[test]
    fn our_own_archive_is_read_back() {
        let text = b"text that compress makes smaller ".repeat(30);
        let dir = scratch();
        std::fs::write(dir.path().join("in"), &text).unwrap();
        let z = tool(dir.path(), "ncompress", "compress -b 14 -c in");
        let mut file = b"SIT!\0\x03\0\0\0\0rLau\x01\0\0\0\0\0\0\0".to_vec();
        file.extend(member(0, "plain", 3, b"abc", check::crc16(b"abc")));
        file.extend(member(32, "folder", 0, b"", 0));
        file.extend(member(2, "packed", text.len(), &z[3..], check::crc16(&text)));
        file.extend(member(33, "folder", 0, b"", 0));
        file.extend(member(1, "runs", 7, b"a\x90\x05bc", check::crc16(b"aaaaabc")));
        file.extend(member(6, "other", 7, b"1234", 0));
        let size = u32::try_from(file.len()).unwrap();
        file[6..10].copy_from_slice(&size.to_be_bytes());
        let opened = open_whole(&StuffIt, &file);
        assert_eq!(opened.files(), ["plain", "folder", "folder/packed", "runs", "other"]);
        assert_eq!(
            (opened.content("plain"), opened.content("runs")),
            (b"abc"[..].into(), b"aaaaabc"[..].into())
        );
        assert_eq!(opened.content("folder/packed"), text);
        assert_eq!(opened.entries[4].problems[0].kind, ProblemKind::Unsupported);
        torture(&StuffIt, &file);
        file[30] ^= 1;
        assert!(open_at(&StuffIt, &file, 0).is_none());
    }

    /// Headers of this writer have no checksum; it is put in.
    #[test]
    fn version_5_of_another_writer_is_read_as_unar_reads_it() {
        for (n, content) in stuffit::tests::contents().into_iter().enumerate() {
            for method in [0, 13] {
                let file = |name: &str| ::stuffit::SitEntry {
                    name: name.into(),
                    data_fork: content.clone(),
                    resource_fork: content[..content.len().min(300)].to_vec(),
                    ..Default::default()
                };
                let mut archive = ::stuffit::SitArchive::new();
                archive.add_entry(file("f"));
                for name in ["folder", "folder/inner"] {
                    let folder = ::stuffit::SitEntry {
                        name: name.into(),
                        is_folder: true,
                        ..Default::default()
                    };
                    archive.add_entry(folder);
                }
                archive.add_entry(file("folder/inner/g"));
                let mut made = archive.serialize_with_method(method).unwrap();
                for at in memchr::memmem::find_iter(&made.clone(), &[0xA5; 4]) {
                    let end = at + usize::from(read::be16(&made, at + 6).unwrap());
                    made[at + 32..at + 34].fill(0);
                    let sum = check::crc16(&made[at..end]).to_be_bytes();
                    made[at + 32..at + 34].copy_from_slice(&sum);
                }
                let opened = open_whole(&StuffIt, &made);
                assert_eq!(opened.candidate.proof, Proof::ChecksumVerified);
                let dir = scratch();
                std::fs::write(dir.path().join("a.sit"), &made).unwrap();
                tool(dir.path(), "unar", "unar -q -D -k visible -o out a.sit >&2");
                for path in ["f", "folder/inner/g"] {
                    assert_eq!(opened.content(path), content, "method {method}, content {n}");
                    assert_eq!(
                        opened.content(&format!("{path}.rsrc")),
                        content[..content.len().min(300)]
                    );
                    assert_eq!(std::fs::read(dir.path().join("out").join(path)).unwrap(), content);
                }
                if content.len() == 1000 {
                    torture(&StuffIt, &made);
                }
            }
        }
    }
}
