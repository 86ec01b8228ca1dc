//! Compound files of OLE: Windows installer packages (MSI), old office documents.
//!
//! Establishes: the chain of sectors of each stream, the tree of storages. Names of MSI tables, which pack two
//! letters into one, are made readable. *Limits*: the tables of an MSI package are not put together into file
//! names; the cabinet with its files is one of the streams and is opened by the engine.
//!
//! Source: MS-CFB 12.0; the packing of names as in the documentation of libmsi.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, Proof};

use super::{entry, put};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Format, Load, Loaded, Magic, Sink},
    formats::layout::about,
    read,
};

/// The format.
pub struct Ole;

static ABOUT: &About = about!(
    Archive,
    "ole",
    "OLE compound file (MSI)",
    "names, mtime of storages",
    "chains of sectors, sizes of streams",
    "tables of MSI packages are streams, not put together",
    "MS-CFB 12.0"
);

const MAGIC: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
/// Sector numbers from here on are marks.
const SPECIAL: u32 = 0xFFFF_FFFA;
const END: u32 = 0xFFFF_FFFE;
/// Depth of storages that is followed.
const DEPTH: usize = 64;

/// A compound file and its tables.
struct File {
    data: Bytes,
    sector: usize,
    mini: usize,
    cutoff: u64,
    fat: Vec<u32>,
    mini_fat: Vec<u32>,
    /// Sectors of the stream that holds small streams.
    mini_stream: Vec<u32>,
    directory: Vec<u8>,
}

impl File {
    fn read(data: &Bytes, budget: &Budget) -> Option<Self> {
        let word = |at| read::le32(data, at);
        let (shift, mini_shift) = (read::le16(data, 30)?, read::le16(data, 32)?);
        if !data.starts_with(MAGIC)
            || read::le16(data, 28)? != 0xFFFE
            || !matches!((shift, mini_shift), (9 | 12, 6))
        {
            return None;
        }
        let mut file = Self {
            data: data.clone(),
            sector: 1 << shift,
            mini: 64,
            cutoff: word(56)?.into(),
            fat: Vec::new(),
            mini_fat: Vec::new(),
            mini_stream: Vec::new(),
            directory: Vec::new(),
        };
        // Sectors of the table of sectors: 109 in the header, then a chain.
        let mut tables: Vec<u32> =
            (0..109_usize).filter_map(|n| word(n.checked_mul(4)?.checked_add(76)?)).collect();
        let (mut next, mut left) = (word(68)?, word(72)?);
        while next < SPECIAL && left > 0 {
            budget.work(file.sector as u64).ok()?;
            let sector = file.at(next)?;
            let (links, last) = sector.split_at_checked(file.sector.checked_sub(4)?)?;
            tables.extend(links.chunks_exact(4).filter_map(|w| read::le32(w, 0)));
            next = read::le32(last, 0)?;
            left = left.checked_sub(1)?;
        }
        for table in
            tables.into_iter().filter(|t| *t < SPECIAL).take(read::index(word(44)?.into())?)
        {
            budget.work(file.sector as u64).ok()?;
            let links: Vec<u32> = file
                .at(table)
                .unwrap_or_default()
                .chunks_exact(4)
                .filter_map(|w| read::le32(w, 0))
                .collect();
            file.fat.extend(links);
        }
        let directory = file.chain(word(48)?, budget);
        file.directory = file.join(&directory, u64::MAX);
        let mini = file.chain(word(60)?, budget);
        let table = file.join(&mini, u64::MAX);
        file.mini_fat = table.chunks_exact(4).filter_map(|w| read::le32(w, 0)).collect();
        let root = Node::read(file.directory.get(..128)?)?;
        if root.kind != 5 {
            return None;
        }
        file.mini_stream = file.chain(root.first, budget);
        Some(file)
    }

    fn at(&self, sector: u32) -> Option<&[u8]> {
        let at = read::index(u64::from(sector).checked_add(1)?)?.checked_mul(self.sector)?;
        // The last sector may be cut short by a file system that does not fill it.
        let end = at.checked_add(self.sector)?.min(self.data.len());
        self.data.get(at..end).filter(|s| !s.is_empty())
    }

    /// Sectors from `first` on; ends where the chain does, or runs into itself.
    fn chain(&self, first: u32, budget: &Budget) -> Vec<u32> {
        links(&self.fat, first, budget)
    }

    fn join(&self, sectors: &[u32], size: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for sector in sectors {
            out.extend_from_slice(self.at(*sector).unwrap_or_default());
        }
        out.truncate(read::index(size).unwrap_or(usize::MAX));
        out
    }

    /// Bytes up to the last sector that is in use.
    fn length(&self) -> usize {
        let used = self.fat.iter().rposition(|link| *link != u32::MAX).unwrap_or(0);
        let end = used.saturating_add(2).saturating_mul(self.sector);
        end.min(self.data.len())
    }
}

fn links(table: &[u32], first: u32, budget: &Budget) -> Vec<u32> {
    let mut chain = Vec::new();
    let mut next = first;
    while next < SPECIAL && chain.len() <= table.len() && budget.work(4).is_ok() {
        chain.push(next);
        next = table.get(next as usize).copied().unwrap_or(END);
    }
    chain
}

/// An entry of the directory.
struct Node {
    name: Vec<u8>,
    kind: u8,
    left: u32,
    right: u32,
    child: u32,
    modified: u64,
    first: u32,
    size: u64,
}

impl Node {
    fn read(row: &[u8]) -> Option<Self> {
        let len = usize::from(read::le16(row, 64)?);
        let units: Vec<u16> = row
            .get(..len.saturating_sub(2).min(64))?
            .chunks_exact(2)
            .filter_map(|c| read::le16(c, 0))
            .collect();
        Some(Self {
            name: readable(&units).into_bytes(),
            kind: read::u8(row, 66)?,
            left: read::le32(row, 68)?,
            right: read::le32(row, 72)?,
            child: read::le32(row, 76)?,
            modified: read::le64(row, 108)?,
            first: read::le32(row, 116)?,
            size: read::le64(row, 120)?,
        })
    }
}

/// MSI packs two of 64 letters into a unit from 0x3800 on, one into a unit from 0x4800 on; 0x4840 marks a table.
fn readable(units: &[u16]) -> String {
    const LETTERS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._";
    let letter = |n: u16| char::from(*LETTERS.get(usize::from(n & 0x3F)).unwrap_or(&b'_'));
    let mut plain: Vec<u16> = Vec::new();
    for unit in units {
        match *unit {
            0x3800..=0x47FF => {
                let pair = unit.wrapping_sub(0x3800);
                plain.extend([letter(pair), letter(pair >> 6)].map(|c| c as u16));
            }
            0x4800..=0x483F => plain.push(letter(unit.wrapping_sub(0x4800)) as u16),
            0x4840 => plain.push(u16::from(b'!')),
            other => plain.push(other),
        }
    }
    String::from_utf16_lossy(&plain).replace('/', "_")
}

/// A stream, put together when asked for.
struct Stream {
    file: Arc<File>,
    sectors: Vec<u32>,
    small: bool,
    size: u64,
}

impl Load for Stream {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        let there = (self.sectors.len() as u64).saturating_mul(if self.small {
            self.file.mini
        } else {
            self.file.sector
        } as u64);
        if let Err(e) = budget.output(self.size.min(there)) {
            loaded.problems.push(e.into());
            return loaded;
        }
        let mut out =
            if self.small { Vec::new() } else { self.file.join(&self.sectors, self.size) };
        if self.small {
            for n in &self.sectors {
                let at = (*n as usize).saturating_mul(self.file.mini);
                let sector =
                    at.checked_div(self.file.sector).and_then(|i| self.file.mini_stream.get(i));
                let bytes = sector.and_then(|s| self.file.at(*s)).and_then(|s| {
                    let from = at.checked_rem(self.file.sector)?;
                    s.get(from..from.checked_add(self.file.mini)?.min(s.len()))
                });
                out.extend_from_slice(bytes.unwrap_or_default());
            }
            out.truncate(read::index(self.size).unwrap_or(usize::MAX));
        }
        if (out.len() as u64) < self.size {
            let text = format!("{} of {} bytes are in the chain of sectors", out.len(), self.size);
            loaded.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        loaded.bytes = out.into();
        loaded
    }
}

impl Format for Ole {
    fn about(&self) -> &'static About {
        ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(MAGIC)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        if at >= data.len() {
            return None;
        }
        let file = File::read(&data.slice(at..), budget)?;
        Some(Candidate::new(at, file.length(), Proof::LengthsConsistent))
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(file) = File::read(region, budget) else { return };
        let file = Arc::new(file);
        let node = |n: u32| {
            let at = (n as usize).checked_mul(128)?;
            Node::read(read::slice(&file.directory, at, 128)?)
        };
        let Some(root) = node(0) else { return };
        sink.attribute("sector-size", file.sector);
        // Siblings form a tree of their own; its order is that of names, ours is that of the walk.
        let mut queue = vec![(Vec::new(), root.child, 0_usize)];
        let mut seen = BTreeSet::from([0]);
        while let Some((path, n, depth)) = queue.pop() {
            if n >= SPECIAL || budget.work(128).is_err() {
                continue;
            }
            let Some(found) =
                node(n).filter(|f| seen.insert(n) && depth <= DEPTH && matches!(f.kind, 1 | 2))
            else {
                sink.problem(Problem::new(
                    ProblemKind::Malformed,
                    format!("entry {n} of the directory is not there, or there twice"),
                ));
                continue;
            };
            let own: Vec<u8> = if path.is_empty() {
                found.name.clone()
            } else {
                [&path[..], b"/", &found.name].concat()
            };
            queue.push((path.clone(), found.right, depth));
            let mut made =
                entry(&own, if found.kind == 1 { EntryKind::Directory } else { EntryKind::File });
            if found.modified > 0 {
                // 100 ns since 1601.
                let seconds = i64::try_from(found.modified / 10_000_000).unwrap_or(i64::MAX);
                made.metadata.mtime = Some(seconds.saturating_sub(11_644_473_600));
            }
            if found.kind == 2 {
                let size = if file.sector == 512 { found.size & 0xFFFF_FFFF } else { found.size };
                let small = size < file.cutoff;
                let table = if small { &file.mini_fat } else { &file.fat };
                let sectors =
                    if size == 0 { Vec::new() } else { links(table, found.first, budget) };
                made.blob =
                    Blob::Lazy(Arc::new(Stream { file: file.clone(), sectors, small, size }));
            }
            if !put(sink, made) {
                return;
            }
            if found.kind == 1 {
                queue.push((own, found.child, depth.saturating_add(1)));
            }
            queue.push((path, found.left, depth));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_at, open_whole, scratch, tool, torture};

    #[test]
    fn names_of_tables_are_unpacked() {
        // As libmsi writes `!_Tables`.
        let units = [0x4840, 0x3F7F, 0x4164, 0x422F, 0x4836];
        assert_eq!(readable(&units), "!_Tables");
        assert_eq!(readable(&"Root Entry".encode_utf16().collect::<Vec<_>>()), "Root Entry");
    }

    #[test]
    fn a_package_of_the_real_tool_is_read_back() {
        let dir = scratch();
        let big = "stream content ".repeat(2000);
        std::fs::write(dir.path().join("big"), &big).unwrap();
        std::fs::write(dir.path().join("small"), "small stream").unwrap();
        tool(
            dir.path(),
            "msitools",
            "msibuild x.msi -s Title Author '' '{12345678-1234-1234-1234-123456789012}' && \
             msibuild x.msi -a big.cab big && msibuild x.msi -a small.txt small",
        );
        let image = std::fs::read(dir.path().join("x.msi")).unwrap();
        let opened = open_whole(&Ole, &image);
        assert_eq!(opened.content("big.cab"), big.as_bytes());
        assert_eq!(opened.content("small.txt"), &b"small stream"[..]);
        assert!(
            opened.files().iter().any(|f| f == "!_Tables" || f == "!_StringPool"),
            "{:?}",
            opened.files()
        );
        torture(&Ole, &image);
        assert!(open_at(&Ole, &image[..600], 0).is_none());
    }
}
