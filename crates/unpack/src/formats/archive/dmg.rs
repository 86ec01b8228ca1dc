//! Disk images of macOS (UDIF).
//!
//! A trailer at the end names a property list with one block table per partition. Each
//! partition becomes an entry, decoded when it is asked for.
//!
//! Source: structures as described in "Demystifying the DMG file format" (J. Levin).

use std::sync::Arc;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use super::xml::{self, Token};
use crate::{
    budget::Budget,
    codec::{bzip2, deflate, packed, xz},
    format::{About, Blob, Candidate, Entry, Family, Format, Load, Loaded, Magic, Sink},
    read,
};

/// The format.
pub struct Dmg;

static ABOUT: About = About {
    id: "dmg",
    name: "Apple disk image (UDIF)",
    family: Family::Archive,
    revision: 1,
    metadata: "partition names",
    integrity: "trailer and property list lengths",
    limits: "ADC and LZFSE blocks; checksums are not verified; encrypted images",
    sources: &["J. Levin: Demystifying the DMG file format"],
};

const TRAILER: usize = 512;
const SECTOR: u64 = 512;
/// Blocks of one partition that are believed.
const BLOCKS_MAX: u32 = 1 << 20;

/// Place of the property list, from the start of the image.
fn list(trailer: &[u8]) -> Option<(usize, usize)> {
    if !trailer.starts_with(b"koly\0\0\0\x04\0\0\x02\0") {
        return None;
    }
    Some((read::index(read::be64(trailer, 216)?)?, read::index(read::be64(trailer, 224)?)?))
}

/// One run of sectors.
struct Run {
    kind: u32,
    sector: u64,
    count: u64,
    offset: u64,
    length: u64,
}

struct Partition {
    image: Bytes,
    runs: Vec<Run>,
    sectors: u64,
}

fn partition(image: &Bytes, table: &[u8]) -> Option<Partition> {
    if !table.starts_with(b"mish") {
        return None;
    }
    let base = read::be64(table, 24)?;
    let count = read::be32(table, 200).filter(|n| *n <= BLOCKS_MAX)?;
    let mut runs = Vec::new();
    for n in 0..count as usize {
        let at = n.checked_mul(40)?.checked_add(204)?;
        let kind = read::be32(table, at)?;
        if kind == u32::MAX {
            break;
        }
        let field = |n: usize| read::be64(table, at.checked_add(n)?);
        let (sector, count) = (field(8)?, field(16)?);
        runs.push(Run {
            kind,
            sector,
            count,
            offset: base.checked_add(field(24)?)?,
            length: field(32)?,
        });
    }
    Some(Partition { image: image.clone(), runs, sectors: read::be64(table, 16)? })
}

impl Load for Partition {
    fn size(&self) -> u64 {
        self.sectors.saturating_mul(SECTOR)
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut problems = Vec::new();
        let size = match (read::index(self.size()), budget.output(self.size())) {
            (Some(size), Ok(())) => size,
            (_, Err(e)) => return Loaded { bytes: Bytes::new(), problems: vec![e.into()] },
            (None, _) => return Loaded::default(),
        };
        let mut content = vec![0; size];
        for run in &self.runs {
            let decode: packed::Decode = match run.kind {
                0 | 2 | 0x7fff_fffe => continue,
                1 => packed::copy,
                0x8000_0005 => deflate::zlib,
                0x8000_0006 => bzip2::decode,
                0x8000_0008 => xz::decode,
                kind => {
                    let text = format!("blocks of type {kind:#x} are not read");
                    let problem = Problem::new(ProblemKind::Unsupported, text);
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                    continue;
                }
            };
            let place = (|| {
                let from = read::index(run.sector.checked_mul(SECTOR)?)?;
                Some(from..from.checked_add(read::index(run.count.checked_mul(SECTOR)?)?)?)
            })();
            let target = place.and_then(|range| content.get_mut(range));
            let source = read::index(run.offset)
                .zip(read::index(run.length))
                .and_then(|(at, len)| read::slice(&self.image, at, len));
            let (Some(target), Some(source)) = (target, source) else {
                let text = format!("the block of sector {} is not there", run.sector);
                problems.push(Problem::new(ProblemKind::Truncated, text));
                continue;
            };
            // Paid for with the whole partition; the bound of one block is its own size.
            let own = Budget::new(target.len() as u64, 0, u64::MAX, None);
            let made = decode(source, target.len(), &own);
            if let Some(e) = made.error {
                problems.push(Problem::from(e).at(run.offset));
            }
            let n = made.bytes.len().min(target.len());
            if let (Some(to), Some(from)) = (target.get_mut(..n), made.bytes.get(..n)) {
                to.copy_from_slice(from);
            }
        }
        Loaded { bytes: content.into(), problems }
    }
}

/// Names and block tables of the property list.
fn tables(plist: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut tag, mut key): (&[u8], &[u8]) = (b"", b"");
    let (mut found, mut table, mut name) = (Vec::new(), None, None);
    for token in xml::tokens(plist) {
        match token {
            Token::Open(n, ..) => tag = n,
            Token::Close(b"dict") => {
                if let Some(table) = table.take() {
                    found.push((name.take().unwrap_or_default(), table));
                }
                name = None;
            }
            Token::Close(_) => tag = b"",
            Token::Text(raw) => match (tag, key) {
                (b"key", _) => key = raw,
                (b"data", b"Data") => {
                    table = Some(xml::base64(raw)).filter(|t| t.starts_with(b"mish"));
                }
                (b"string", b"Name") => name = Some(xml::text(raw)),
                _ => {}
            },
        }
    }
    found
}

impl Format for Dmg {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"koly\0\0\0\x04\0\0\x02\0")] }
    }

    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        let (offset, length) = list(read::slice(data, at, TRAILER)?)?;
        // The property list stands right before the trailer.
        let plist = at.checked_sub(length)?;
        let start = plist.checked_sub(offset)?;
        let text = read::slice(data, plist, length)?;
        text.trim_ascii_start().starts_with(b"<?xml").then(|| {
            let end = at.saturating_add(TRAILER);
            Candidate::new(start, end.saturating_sub(start), Proof::LengthsConsistent)
        })
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        let Some(trailer) = region.len().checked_sub(TRAILER).and_then(|at| region.get(at..))
        else {
            return;
        };
        let Some((offset, length)) = list(trailer) else { return };
        let plist = read::slice(region, offset, length).unwrap_or_default();
        for (n, (name, table)) in tables(plist).into_iter().enumerate() {
            let Some(made) = partition(region, &table) else {
                sink.problem(Problem::new(
                    ProblemKind::Malformed,
                    format!("block table {n} is not right"),
                ));
                continue;
            };
            let (path, _) = super::path(
                &name.iter().map(|b| if *b == b'/' { b'_' } else { *b }).collect::<Vec<_>>(),
            );
            let path = [
                format!("partition-{n}").as_bytes(),
                if path.is_empty() { b"" } else { b"-" },
                &path,
            ]
            .concat();
            if sink.entry(Entry::file(path, Blob::Lazy(Arc::new(made)))).is_err() {
                return;
            }
        }
    }
}
