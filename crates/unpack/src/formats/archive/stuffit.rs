//! StuffIt archives of version 1 to 4 (`SIT!`), with stored, run-length packed and LZW contents; version 5 is recognised.
//!
//! Establishes: every header's CRC-16, names, folders, both forks; CRC-16 of each fork. The resource fork is an entry of
//! its own, `NAME.rsrc`. Contents of other methods are named and not decoded.
//!
//! Source: the format as documented by the macutils program (`unsit`).

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, Proof};

use super::{arc, entry, put};
use crate::{
    budget::Budget,
    codec::{Decoded, check, lzw, packed},
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
    "CRC-16 of headers and contents",
    "methods 3 and above (Huffman, LZ, Arsenic) and version 5 archives are named, not decoded",
    "macutils 2.0, unsit"
);

const HEADER: usize = 22;
const FILE: usize = 112;
const FIVE: &[u8] = b"StuffIt (c)1997-";
/// Seconds from 1904 to 1970.
const MAC: i64 = 2_082_844_800;

/// One header.
struct Head {
    methods: (u8, u8),
    name: Vec<u8>,
    modified: i64,
    /// Size, packed size and CRC of resource and data fork.
    forks: [(u32, u32, u16); 2],
}

fn head(data: &[u8], at: usize) -> Option<Head> {
    let row = read::slice(data, at, FILE)?;
    if read::be16(row, 110)? != check::crc16(row.get(..110)?) {
        return None;
    }
    let len = usize::from(read::u8(row, 2)?).min(63);
    let word = |at| read::be32(row, at);
    Some(Head {
        methods: (read::u8(row, 0)?, read::u8(row, 1)?),
        name: read::slice(row, 3, len)?
            .iter()
            .map(|b| if matches!(b, b'/' | 0) { b':' } else { *b })
            .collect(),
        modified: i64::from(word(80)?).checked_sub(MAC)?,
        forks: [
            (word(84)?, word(92)?, read::be16(row, 100)?),
            (word(88)?, word(96)?, read::be16(row, 102)?),
        ],
    })
}

impl Format for StuffIt {
    fn about(&self) -> &'static About {
        ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"SIT!"), Magic::anywhere(FIVE)] }
    }

    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        let archive = data.get(at..)?;
        let (declared, proof) = if archive.starts_with(FIVE) {
            (
                read::be32(archive, 84).filter(|_| read::slice(archive, 78, 2) == Some(b"\r\n"))?,
                Proof::LengthsConsistent,
            )
        } else {
            let named = archive.starts_with(b"SIT!") && read::slice(archive, 10, 4)? == b"rLau";
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
            sink.problem(Problem::new(
                ProblemKind::Unsupported,
                "StuffIt 5 archives are recognised, not opened",
            ));
            return;
        }
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
            match head.methods.0 & 0x6F {
                32 if folders.len() < 64 => {
                    let mut made = entry(&path, EntryKind::Directory);
                    made.metadata.mtime = Some(head.modified);
                    folders.push(path);
                    if !put(sink, made) {
                        return;
                    }
                    continue;
                }
                33 => {
                    folders.pop();
                    continue;
                }
                _ => {}
            }
            let kinds = [(head.methods.0, &b".rsrc"[..]), (head.methods.1, b"")];
            for ((method, suffix), (size, packed, crc)) in kinds.into_iter().zip(head.forks) {
                let from = at.min(region.len());
                at = at.saturating_add(packed as usize);
                if packed == 0 && !suffix.is_empty() {
                    continue;
                }
                let bytes = region.slice(from..at.min(region.len()));
                let mut made = entry(&[&path[..], suffix].concat(), EntryKind::File);
                made.metadata.mtime = Some(head.modified);
                fill(&mut made, method, bytes, size, packed, crc);
                if !put(sink, made) {
                    return;
                }
            }
        }
    }
}

fn fill(made: &mut Entry, method: u8, bytes: Bytes, size: u32, packed: u32, crc: u16) {
    if bytes.len() < packed as usize {
        let text = format!("{packed} bytes are declared, {} are there", bytes.len());
        made.problems.push(Problem::new(ProblemKind::Truncated, text));
    }
    if method & 0x10 != 0 {
        made.problems
            .push(Problem::new(ProblemKind::Encrypted, "encrypted; no password was given"));
        return;
    }
    let decode: packed::Decode = match method & 0x0F {
        0 => packed::copy,
        1 => arc::unrun,
        2 => lzw14,
        other => {
            let text = format!("StuffIt method {other} is not decoded");
            made.problems.push(Problem::new(ProblemKind::Unsupported, text));
            return;
        }
    };
    made.blob = if size == 0 {
        Blob::Bytes(Bytes::new())
    } else {
        Deferred::blob(size.into(), move |budget| {
            let decoded = decode(&bytes, size as usize, budget);
            let mut problems: Vec<Problem> = decoded.error.into_iter().map(Into::into).collect();
            if problems.is_empty() && check::crc16(&decoded.bytes) != crc {
                problems.push(Problem::new(
                    ProblemKind::Checksum,
                    "the CRC-16 of the content is not right",
                ));
            }
            Loaded { bytes: decoded.bytes.into(), problems }
        })
    };
}

/// The stream of `compress` with 14 bits and without its header.
fn lzw14(data: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut decoded = lzw::decode(&[b"\x1f\x9d\x8e", data].concat(), max, budget);
    decoded.bytes.truncate(max);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, open_whole, scratch, tool, torture};

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
        file.extend(member(13, "other", 7, b"1234", 0));
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

        let mut five =
            b"StuffIt (c)1997-1998 Aladdin Systems, Inc., http://www.aladdinsys.com/StuffIt/\r\n"
                .to_vec();
        five.extend([0, 0, 0, 0]);
        five.extend(200_u32.to_be_bytes());
        five.resize(200, 1);
        assert_eq!(open(&StuffIt, &five).problems[0].kind, ProblemKind::Unsupported);
    }
}
