//! Disk images of macOS (UDIF).
//!
//! A trailer at the end names a property list with one block table per partition. Each
//! partition becomes an entry, decoded when it is asked for.
//!
//! Three checksums: of the packed bytes of all partitions (trailer, 80), of the content of each partition (its table, 64),
//! and of the checksums of the tables (trailer, 352). Each is a kind (2 is CRC-32, 0 none), a number of bits, and the value.
//! The first and last are told with the image, the second with its partition.
//!
//! Source: structures as described in "Demystifying the DMG file format" (J. Levin).

use std::sync::Arc;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use super::xml::{self, Token};
use crate::{
    budget::Budget,
    codec::{adc, bzip2, check, deflate, lzfse, packed, xz},
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
    integrity: "CRC-32 of the packed bytes, of each partition, and of these checksums",
    limits: "images in several files; encrypted images",
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

/// A checksum field: the CRC-32, if it is one.
fn crc(data: &[u8], at: usize) -> Option<u32> {
    let kind = read::be32(data, at)?;
    let bits = read::be32(data, at.checked_add(4)?)?;
    read::be32(data, at.checked_add(8)?).filter(|_| (kind, bits) == (2, 32))
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
    /// CRC-32 of the content.
    crc: Option<u32>,
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
    let (sectors, crc) = (read::be64(table, 16)?, crc(table, 64));
    Some(Partition { image: image.clone(), runs, sectors, crc })
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
                0x8000_0004 => adc::decode,
                0x8000_0005 => deflate::zlib,
                0x8000_0006 => bzip2::decode,
                0x8000_0007 => lzfse::decode,
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
        if problems.is_empty() && self.crc.is_some_and(|crc| crc != check::crc32(&content)) {
            let text = "the CRC-32 of the partition is not right";
            problems.push(Problem::new(ProblemKind::Checksum, text));
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

/// Whether the checksums of the whole image are right, where it has them.
fn checks(
    image: &[u8],
    trailer: &[u8],
    tables: &[(Vec<u8>, Vec<u8>)],
    budget: &Budget,
) -> Vec<(&'static str, bool)> {
    let mut found = Vec::new();
    if let Some(crc) = crc(trailer, 80)
        && let Some((at, len)) = read::be64(trailer, 24)
            .and_then(read::index)
            .zip(read::be64(trailer, 32).and_then(read::index))
        && budget.work(len as u64).is_ok()
    {
        let packed = read::slice(image, at, len);
        found.push(("packed-correct", packed.is_some_and(|p| check::crc32(p) == crc)));
    }
    if let Some(master) = crc(trailer, 352) {
        let sums: Option<Vec<[u8; 4]>> =
            tables.iter().map(|(_, table)| Some(crc(table, 64)?.to_be_bytes())).collect();
        if let Some(sums) = sums {
            found.push(("checksums-correct", check::crc32(&sums.concat()) == master));
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

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(trailer) = region.len().checked_sub(TRAILER).and_then(|at| region.get(at..))
        else {
            return;
        };
        let Some((offset, length)) = list(trailer) else { return };
        let plist = read::slice(region, offset, length).unwrap_or_default();
        let tables = tables(plist);
        for (what, correct) in checks(region, trailer, &tables, budget) {
            sink.attribute(what, if correct { "yes" } else { "no" });
            if !correct {
                let text = format!("the CRC-32 of the image is not right ({what})");
                sink.problem(Problem::new(ProblemKind::Checksum, text));
            }
        }
        for (n, (name, table)) in tables.into_iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::formats::testing::{noise, open_at, scratch, tool, torture};

    /// Literals, and what is the same as 1 or 300 bytes before in both lengths of reference.
    fn write_adc(content: &[u8]) -> Vec<u8> {
        let (mut out, mut at, mut plain) = (Vec::new(), 0, 0);
        let flush = |out: &mut Vec<u8>, plain: &[u8]| {
            for part in plain.chunks(128) {
                out.push(0x7F + part.len() as u8);
                out.extend(part);
            }
        };
        while at < content.len() {
            let same = |dist: usize| {
                let back = at.checked_sub(dist).map_or(&[][..], |from| &content[from..]);
                content[at..].iter().zip(back).take_while(|(a, b)| a == b).count()
            };
            let (near, far) = (same(300).min(18), same(1500).min(67));
            let len = if far > near && far >= 4 {
                flush(&mut out, &content[plain..at]);
                out.push(0x40 | (far as u8 - 4));
                out.extend(1499_u16.to_be_bytes());
                far
            } else if near >= 3 {
                flush(&mut out, &content[plain..at]);
                out.extend([(near as u8 - 3) << 2 | 1, 43]);
                near
            } else {
                at += 1;
                continue;
            };
            at += len;
            plain = at;
        }
        flush(&mut out, &content[plain..]);
        out
    }

    fn field(crc: u32) -> Vec<u8> {
        let mut made = [2_u32, 32, crc].map(u32::to_be_bytes).concat();
        made.resize(136, 0);
        made
    }

    /// Runs of sectors of each kind, in two partitions.
    fn image() -> (Vec<u8>, [Vec<u8>; 2]) {
        let mut text = b"Sectors of a disk image, sector by sector. ".repeat(300);
        text.extend(noise(1000, 1));
        text.extend_from_within(2000..9000);
        text.truncate(text.len() / 512 * 512);
        let mut lzfse = Vec::new();
        lzfse_rust::encode_bytes(&text, &mut lzfse).unwrap();
        let parts = [
            (1, text[..1024].to_vec(), text[..1024].to_vec()),
            (0x8000_0004, text.clone(), write_adc(&text)),
            (0, vec![0; 2048], Vec::new()),
            (0x8000_0007, text.clone(), lzfse),
        ];
        let (mut file, mut plist, mut contents, mut sums) =
            (Vec::new(), String::new(), [Vec::new(), Vec::new()], Vec::new());
        let mut first = 0;
        for (n, runs) in [&parts[..], &parts[1..]].into_iter().enumerate() {
            let (mut rows, mut sector) = (Vec::new(), 0);
            for (kind, plain, packed) in runs {
                rows.extend(u32::to_be_bytes(*kind));
                rows.extend([0; 4]);
                let count = plain.len() / 512;
                for value in [sector, count, file.len(), packed.len()] {
                    rows.extend((value as u64).to_be_bytes());
                }
                sector += count;
                file.extend(packed);
                contents[n].extend(plain);
            }
            rows.extend(u32::MAX.to_be_bytes());
            rows.extend([0; 4]);
            for value in [sector, 0, file.len(), 0] {
                rows.extend((value as u64).to_be_bytes());
            }
            let crc = check::crc32(&contents[n]);
            sums.extend(crc.to_be_bytes());
            let mut table = [b"mish".to_vec(), 1_u32.to_be_bytes().to_vec()].concat();
            for value in [first, sector, 0] {
                table.extend((value as u64).to_be_bytes());
            }
            first += sector;
            table.resize(64, 0);
            table.extend(field(crc));
            table.extend((rows.len() as u32 / 40).to_be_bytes());
            table.extend(rows);
            let digits = |three: &[u8]| {
                const DIGITS: &[u8; 64] =
                    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                let word = three.iter().fold(0, |n, b| n << 8 | u32::from(*b));
                let len = three.len();
                let word = word << (8 * (3 - len));
                (0..4).map(move |n| {
                    let sextet = (word >> (18 - 6 * n) & 63) as usize;
                    if n > len { '=' } else { char::from(DIGITS[sextet]) }
                })
            };
            let text: String =
                table.chunks(3).flat_map(|three| digits(three).collect::<Vec<_>>()).collect();
            write!(
                plist,
                "<dict><key>Attributes</key><string>0x0050</string><key>Data</key><data>{text}</data>\
                 <key>ID</key><string>{n}</string><key>Name</key><string>part {n}</string></dict>"
            )
            .unwrap();
        }
        let plist = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>\
             <key>resource-fork</key><dict><key>blkx</key><array>{plist}</array></dict></dict></plist>"
        );
        let packed = file.len();
        let mut koly = b"koly\0\0\0\x04\0\0\x02\0\0\0\0\x01".to_vec();
        for value in [0, 0, packed, 0, 0] {
            koly.extend((value as u64).to_be_bytes());
        }
        koly.extend([1_u32, 1].map(u32::to_be_bytes).concat());
        koly.resize(80, 7);
        koly.extend(field(check::crc32(&file)));
        koly.extend((packed as u64).to_be_bytes());
        koly.extend((plist.len() as u64).to_be_bytes());
        koly.resize(352, 0);
        koly.extend(field(check::crc32(&sums)));
        koly.extend(1_u32.to_be_bytes());
        koly.extend((first as u64).to_be_bytes());
        koly.resize(TRAILER, 0);
        file.extend(plist.bytes());
        file.extend(koly);
        (file, contents)
    }

    #[test]
    fn adc_and_lzfse_as_7z_reads_them_and_all_checksums() {
        let (file, contents) = image();
        let opened = open_at(&Dmg, &file, file.len() - TRAILER).unwrap();
        assert_eq!(opened.problems, []);
        assert_eq!(opened.files(), ["partition-0-part 0", "partition-1-part 1"]);
        assert_eq!(opened.attribute("packed-correct"), "yes");
        assert_eq!(opened.attribute("checksums-correct"), "yes");
        for (n, content) in contents.iter().enumerate() {
            assert!(opened.content(&format!("partition-{n}-part {n}")) == *content);
        }
        let dir = scratch();
        std::fs::write(dir.path().join("a.dmg"), &file).unwrap();
        let theirs = tool(dir.path(), "7zip", "7z e -tdmg -so a.dmg");
        assert!(theirs == contents.concat(), "7z reads something else");
        torture(&Dmg, &file);
    }

    #[test]
    fn a_wrong_bit_is_told() {
        let (mut file, _) = image();
        file[100] ^= 1;
        let opened = open_at(&Dmg, &file, file.len() - TRAILER).unwrap();
        assert_eq!(opened.attribute("packed-correct"), "no");
        assert_eq!(opened.problems[0].kind, ProblemKind::Checksum);
        let loaded = opened.entries[0].blob.load(&Budget::ample());
        assert_eq!(loaded.problems[0].kind, ProblemKind::Checksum);
        assert_eq!(opened.entries[1].blob.load(&Budget::ample()).problems, []);
    }
}
