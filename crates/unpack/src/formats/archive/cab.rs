//! Microsoft cabinets: stored, MSZIP, Quantum and LZX folders.
//!
//! A folder is one stream in blocks of 32 KiB; matches reach back into the blocks
//! before. Folders are decoded as a whole.
//!
//! Source: [MS-CAB] and [MS-MCI].

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof};

use super::{dos_seconds, entry, put};
use crate::{
    budget::Budget,
    codec::{Error, deflate, lzx::Lzx, quantum::Quantum},
    format::{About, Blob, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Cab;

static ABOUT: About = About {
    id: "cab",
    name: "Microsoft cabinet",
    family: Family::Archive,
    revision: 1,
    metadata: "mtime",
    integrity: "sum of each data block",
    limits: "files that go on in another cabinet",
    sources: &["MS-CAB", "MS-MCI"],
};

const BLOCK: usize = 0x8000;

struct Header {
    size: usize,
    files_at: usize,
    files: usize,
    /// Reserved bytes in each data block.
    reserve: usize,
    /// Data offset, number of blocks, compression.
    folders: Vec<(usize, usize, u16)>,
}

fn header(data: &[u8]) -> Option<Header> {
    let fixed = read::slice(data, 0, 36)?;
    if !fixed.starts_with(b"MSCF\0\0\0\0") || read::u8(fixed, 25)? != 1 {
        return None;
    }
    let count = usize::from(read::le16(fixed, 26)?);
    let flags = read::le16(fixed, 30)?;
    let mut at = 36usize;
    let (mut of_folder, mut reserve) = (0usize, 0usize);
    if flags & 4 != 0 {
        let of_header = usize::from(read::le16(data, 36)?);
        of_folder = usize::from(read::u8(data, 38)?);
        reserve = usize::from(read::u8(data, 39)?);
        at = of_header.checked_add(40)?;
    }
    // Names of the cabinet and disk before and after.
    for _ in 0..flags.count_ones().min(2).saturating_mul(2) {
        if flags & 3 != 0 {
            let rest = data.get(at..)?;
            at = at
                .checked_add(memchr::memchr(0, rest.get(..rest.len().min(256))?)?)?
                .checked_add(1)?;
        }
    }
    let mut folders = Vec::new();
    for _ in 0..count {
        let blocks = usize::from(read::le16(data, at.checked_add(4)?)?);
        folders.push((
            read::le32(data, at)? as usize,
            blocks,
            read::le16(data, at.checked_add(6)?)?,
        ));
        at = at.checked_add(8)?.checked_add(of_folder)?;
    }
    let made = Header {
        size: read::le32(fixed, 8)? as usize,
        files_at: read::le32(fixed, 16)? as usize,
        files: usize::from(read::le16(fixed, 28)?),
        reserve,
        folders,
    };
    (made.files_at >= at
        && made.size > made.files_at
        && made.folders.iter().all(|f| f.0 < made.size))
    .then_some(made)
}

/// Sum of 32-bit words, as the format defines it for a tail of one to three bytes.
fn sum(data: &[u8], seed: u32) -> u32 {
    let (words, tail) = data.as_chunks::<4>();
    let all = words.iter().fold(seed, |s, w| s ^ u32::from_le_bytes(*w));
    all ^ tail.iter().fold(0, |s, b| (s << 8) | u32::from(*b))
}

/// The content of a folder, as far as it can be decoded, and the first thing that was wrong.
fn folder(
    region: &[u8],
    head: &Header,
    at: (usize, usize, u16),
    budget: &Budget,
) -> (Vec<u8>, Option<Problem>) {
    let (mut at, blocks, kind) = at;
    let mut out = Vec::new();
    let mut wrong = None;
    let window = u32::from(kind >> 8 & 0x1F);
    let mut lzx = if kind & 15 == 3 { Lzx::new(window) } else { None };
    let mut quantum = if kind & 15 == 2 { Quantum::new(window) } else { None };
    if matches!(kind & 15, 2 | 3) && lzx.is_none() && quantum.is_none() {
        return (out, Some(Problem::new(ProblemKind::Malformed, "no window has this size")));
    }
    for _ in 0..blocks {
        let block = (|| {
            let packed = usize::from(read::le16(region, at.checked_add(4)?)?);
            let plain = usize::from(read::le16(region, at.checked_add(6)?)?);
            let body = at.checked_add(8)?.checked_add(head.reserve)?;
            let stored = read::le32(region, at)?;
            let right = stored == 0
                || stored
                    == sum(
                        read::slice(region, at.checked_add(4)?, 4)?,
                        sum(read::slice(region, body, packed)?, 0),
                    );
            Some((read::slice(region, body, packed)?, plain, right, body.checked_add(packed)?))
        })();
        let Some((body, plain, right, next)) = block else {
            wrong =
                Some(Problem::new(ProblemKind::Truncated, "a folder of the cabinet is cut off"));
            break;
        };
        if !right && wrong.is_none() {
            let text = "the sum of a data block is not right";
            wrong = Some(Problem::new(ProblemKind::Checksum, text).at(at as u64));
        }
        at = next;
        if kind & 15 == 0 {
            if let Err(e) = budget.output(body.len() as u64) {
                return (out, Some(e.into()));
            }
            out.extend_from_slice(body);
            continue;
        }
        if lzx.is_some() || quantum.is_some() {
            let size = plain.min(BLOCK);
            let paid = budget.output(size as u64).map_err(Error::from);
            let made = paid.and_then(|()| match (&mut lzx, &mut quantum) {
                (Some(lzx), _) => lzx.frame(body, size),
                (_, Some(quantum)) => quantum.frame(body, size),
                _ => Ok(()),
            });
            if let Err(e) = made {
                wrong = wrong.or(Some(e.into()));
                break;
            }
            continue;
        }
        let stream = body.strip_prefix(b"CK").unwrap_or_default();
        let made = deflate::inflate_after(&out, stream, plain.min(BLOCK), budget);
        out.extend_from_slice(&made.bytes);
        if let Some(e) = made.error.filter(|e| !matches!(e, Error::Limit { .. })) {
            return (out, wrong.or(Some(e.into())));
        }
    }
    let out = lzx.map(Lzx::finish).or(quantum.map(Quantum::finish)).unwrap_or(out);
    (out, wrong)
}

impl Format for Cab {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"MSCF\0\0\0\0")] }
    }

    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        let archive = data.get(at..)?;
        let head = header(archive)?;
        let mut found = Candidate::new(at, head.size.min(archive.len()), Proof::LengthsConsistent);
        if head.size > archive.len() {
            found.problems.push(Problem::new(ProblemKind::Truncated, "the cabinet is cut off"));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(head) = header(region) else { return };
        let contents: Vec<_> = head
            .folders
            .iter()
            .map(|f| match f.2 & 15 {
                0..=3 => {
                    let (bytes, problem) = folder(region, &head, *f, budget);
                    Ok((Bytes::from(bytes), problem))
                }
                n => Err(Problem::new(
                    ProblemKind::Unsupported,
                    format!("compression {n} is not known"),
                )),
            })
            .collect();
        let mut at = head.files_at;
        for _ in 0..head.files {
            let file = (|| {
                let size = read::le32(region, at)? as usize;
                let offset = read::le32(region, at.checked_add(4)?)? as usize;
                let folder = usize::from(read::le16(region, at.checked_add(8)?)?);
                let date = u32::from(read::le16(region, at.checked_add(10)?)?);
                let time = u32::from(read::le16(region, at.checked_add(12)?)?);
                let name_at = at.checked_add(16)?;
                let rest = region.get(name_at..)?;
                let len = memchr::memchr(0, rest.get(..rest.len().min(257))?)?;
                at = name_at.checked_add(len)?.checked_add(1)?;
                Some((size, offset, folder, (date << 16) | time, rest.get(..len)?))
            })();
            let Some((size, offset, folder, time, name)) = file else {
                sink.problem(Problem::new(ProblemKind::Truncated, "the list of files is cut off"));
                return;
            };
            let name: Vec<u8> = name.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect();
            let mut made = entry(&name, EntryKind::File);
            made.metadata = Metadata { mtime: dos_seconds(time), ..Metadata::default() };
            match contents.get(folder) {
                Some(Ok((bytes, problem))) => {
                    let from = offset.min(bytes.len());
                    let to = from.saturating_add(size).min(bytes.len());
                    if to.saturating_sub(from) < size {
                        let text = format!("{} of {size} bytes are there", to.saturating_sub(from));
                        made.problems.push(Problem::new(ProblemKind::Incomplete, text));
                    }
                    made.problems.extend(problem.clone());
                    made.blob = Blob::Bytes(bytes.slice(from..to));
                }
                Some(Err(problem)) => made.problems.push(problem.clone()),
                None => {
                    let text = "the content goes on in another cabinet, or its folder is not there";
                    made.problems.push(Problem::new(ProblemKind::Incomplete, text));
                }
            }
            if !put(sink, made) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::quantum::tests::{Encoder, content},
        formats::testing::{open_whole, scratch, tool, torture},
    };

    /// One folder of one file.
    fn cabinet(kind: u16, blocks: &[(Vec<u8>, usize)], size: usize) -> Vec<u8> {
        let data_at = 36 + 8 + 16 + 2;
        let mut file = b"MSCF\0\0\0\0".to_vec();
        let body: usize = blocks.iter().map(|(packed, _)| packed.len() + 8).sum();
        for word in [data_at + body, 0, 44, 0] {
            file.extend((word as u32).to_le_bytes());
        }
        file.extend([3, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        file.extend((data_at as u32).to_le_bytes());
        file.extend((blocks.len() as u16).to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend((size as u32).to_le_bytes());
        file.extend([0, 0, 0, 0, 0, 0, 0x21, 0x28, 0, 0, 0x20, 0]);
        file.extend(b"f\0");
        for (packed, plain) in blocks {
            let mut head = (packed.len() as u16).to_le_bytes().to_vec();
            head.extend((*plain as u16).to_le_bytes());
            file.extend(sum(&head, sum(packed, 0)).to_le_bytes());
            file.extend(head);
            file.extend(packed);
        }
        file
    }

    #[test]
    fn quantum_folders_as_cabextract_reads_them() {
        let content = content();
        for window in [10_u16, 15, 21] {
            let mut encoder = Encoder::new(window.into());
            let blocks: Vec<_> = (0..content.len())
                .step_by(BLOCK)
                .map(|from| {
                    let to = (from + BLOCK).min(content.len());
                    (encoder.frame(&content, from, to, 1 << window), to - from)
                })
                .collect();
            let file = cabinet(2 | 7 << 4 | window << 8, &blocks, content.len());
            assert!(open_whole(&Cab, &file).content("f") == content, "window {window}");
            let dir = scratch();
            std::fs::write(dir.path().join("a.cab"), &file).unwrap();
            let theirs = tool(dir.path(), "cabextract", "cabextract -q -p a.cab");
            assert!(theirs == content, "cabextract, window {window}");
            if window == 15 {
                torture(&Cab, &file[..file.len().min(30_000)]);
            }
        }
    }
}
