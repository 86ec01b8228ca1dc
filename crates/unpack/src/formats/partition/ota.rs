//! Android OTA payloads (`payload.bin`).
//!
//! Establishes: header, manifest (a protocol buffer), and one entry per partition, put together from the operations of
//! the update when it is asked for: plain, bzip2, xz and Zstandard data, zeros, discarded blocks. The SHA-256 of each
//! operation's data is checked, and that of each whole partition once it was made.
//!
//! Limits: differences to an installed version (source copy, bsdiff, puffdiff, ...) need that version: what they would
//! write is zeros with a problem, and their data are entries `PARTITION.differences/NNNN-KIND`.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};
use rayon::prelude::*;

use crate::{
    budget::Budget,
    codec::{bzip2, packed, xz, zstd},
    format::{About, Blob, Candidate, Entry, Family, Format, Load, Loaded, Magic, Sink},
    formats::{
        layout::{Layout, name_or},
        sums,
    },
    read,
    spool::Buffer,
};

/// The format.
pub static FORMAT: Ota = Ota;

/// Android OTA payloads.
pub struct Ota;

static ABOUT: About = About {
    id: "android-ota",
    name: "Android OTA payload",
    family: Family::Vendor,
    revision: 2,
    metadata: "partition names, kinds of operations",
    integrity: "sha256 of each operation's data and of each partition; signature reported, not verified",
    limits: "differences are not applied, they need the installed version",
    sources: &["AOSP system/update_engine/update_metadata.proto"],
};

impl Format for Ota {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"CrAU\0\0\0\0\0\0\0\x02")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let data = data.slice(at.min(data.len())..);
        let payload = Payload::read(&data, budget)?;
        let (verified, wrong) = payload.verify(&data, SAMPLE, budget);
        let layout = payload.layout(&data, verified > 0 && wrong.is_empty());
        let (length, proof) = (layout.length, layout.proof);
        Some(Candidate { problems: layout.into_problems(), ..Candidate::new(at, length, proof) })
    }

    /// Problems of the layout were reported by the probe.
    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(payload) = Payload::read(region, budget) else { return };
        let (verified, wrong) = payload.verify(region, u64::MAX, budget);
        let mut layout = payload.layout(region, verified > 0 && wrong.is_empty());
        layout.attribute("block-size", payload.block);
        layout.attribute("partitions", payload.partitions.len());
        let signed = payload.metadata_signature > 0 || payload.signature.1 > 0;
        let correct = match (wrong.is_empty(), signed, verified) {
            (false, ..) => Some(false),
            (true, true, _) | (true, false, 0) => None,
            _ => Some(true),
        };
        layout.integrity(if signed { "signature" } else { "hash" }, "sha256", correct);
        for (n, partition) in payload.partitions.into_iter().enumerate() {
            partition.emit(region, n, payload.base, &wrong, &mut layout);
        }
        layout.part(
            region,
            "signature",
            payload.base.saturating_add(payload.signature.0),
            payload.signature.1,
        );
        layout.emit(region, budget, sink);
    }
}

/// Bytes of operations that a probe looks at.
const SAMPLE: u64 = 8 << 20;

/// A field of a protocol buffer.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// A number of seven-bit groups, and what follows.
fn varint(data: &[u8]) -> Option<(u64, &[u8])> {
    let len = data.iter().take(10).position(|b| b & 0x80 == 0)?.checked_add(1)?;
    let (digits, rest) = data.split_at_checked(len)?;
    let value = digits.iter().rev().fold(0_u64, |sum, b| sum << 7 | u64::from(b & 0x7F));
    Some((value, rest))
}

/// The fields of a message, as far as they are well formed.
fn fields(mut data: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let (key, rest) = varint(data)?;
        let (field, rest) = match key & 7 {
            0 => varint(rest).map(|(value, rest)| (Field::Number(value), rest))?,
            1 => (Field::Bytes(rest.get(..8)?), rest.get(8..)?),
            2 => {
                let (len, rest) = varint(rest)?;
                let (body, rest) = rest.split_at_checked(read::index(len)?)?;
                (Field::Bytes(body), rest)
            }
            5 => (Field::Bytes(rest.get(..4)?), rest.get(4..)?),
            _ => return None,
        };
        data = rest;
        Some((key >> 3, field))
    })
}

/// An operation: what it does, its data in the payload, and where that goes.
struct Operation {
    kind: u64,
    /// From the start of the payload.
    from: u64,
    len: u64,
    /// Bytes of the partition, in the order in which they are filled.
    to: Vec<Range<u64>>,
    hash: Vec<u8>,
}

/// First block and number of blocks.
fn extent(message: &[u8]) -> (u64, u64) {
    fields(message).fold((0, 0), |(start, count), field| match field {
        (1, Field::Number(n)) => (n, count),
        (2, Field::Number(n)) => (start, n),
        _ => (start, count),
    })
}

impl Operation {
    fn read(message: &[u8], base: u64, block: u64) -> Option<Self> {
        let mut op = Self { kind: 0, from: base, len: 0, to: Vec::new(), hash: Vec::new() };
        for field in fields(message) {
            match field {
                (1, Field::Number(n)) => op.kind = n,
                (2, Field::Number(n)) => op.from = base.checked_add(n)?,
                (3, Field::Number(n)) => op.len = n,
                (6, Field::Bytes(message)) => {
                    let (start, count) = extent(message);
                    let end = start.checked_add(count)?.checked_mul(block)?;
                    op.to.push(start.checked_mul(block)?..end);
                }
                (8, Field::Bytes(hash)) => op.hash = hash.to_vec(),
                _ => {}
            }
        }
        op.from.checked_add(op.len)?;
        Some(op)
    }

    fn name(&self) -> &'static str {
        read::index(self.kind).and_then(|k| KINDS.get(k)).copied().unwrap_or("unknown")
    }

    /// How its data become content; none where they need an installed version, or are not known.
    fn decoder(&self) -> Option<packed::Decode> {
        match self.kind {
            RAW => Some(packed::copy),
            1 => Some(bzip2::decode),
            8 => Some(xz::decode),
            14 => Some(zstd::decode),
            _ => None,
        }
    }

    /// Zeros, or blocks that may hold anything.
    fn is_empty(&self) -> bool {
        matches!(self.kind, 6 | 7)
    }

    fn data<'d>(&self, payload: &'d [u8]) -> Option<&'d [u8]> {
        read::slice(payload, read::index(self.from)?, read::index(self.len)?)
    }

    /// Bytes that it writes.
    fn size(&self) -> u64 {
        self.to.iter().fold(0, |sum, to| sum.saturating_add(to.end.saturating_sub(to.start)))
    }
}

const RAW: u64 = 0;

const KINDS: &[&str] = &[
    "raw",
    "bz2",
    "move",
    "bsdiff",
    "source-copy",
    "source-bsdiff",
    "zero",
    "discard",
    "xz",
    "puffdiff",
    "brotli-bsdiff",
    "zucchini",
    "lz4diff-bsdiff",
    "lz4diff-puffdiff",
    "zstd",
];

/// The manifest.
struct Payload {
    /// Where data begin.
    base: u64,
    block: u64,
    metadata_signature: u64,
    /// Place after `base`, and length.
    signature: (u64, u64),
    partitions: Vec<Partition>,
}

struct Partition {
    name: String,
    size: u64,
    hash: Vec<u8>,
    operations: Vec<Operation>,
}

impl Partition {
    fn read(message: &[u8], base: u64, block: u64) -> Option<Self> {
        let mut partition =
            Self { name: String::new(), size: 0, hash: Vec::new(), operations: Vec::new() };
        for field in fields(message) {
            match field {
                (1, Field::Bytes(name)) => {
                    let name = name_or(&String::from_utf8_lossy(name), "partition");
                    partition.name = String::from_utf8_lossy(&name).into_owned();
                }
                (7, Field::Bytes(info)) => {
                    for field in fields(info) {
                        match field {
                            (1, Field::Number(size)) => partition.size = size,
                            (2, Field::Bytes(hash)) => partition.hash = hash.to_vec(),
                            _ => {}
                        }
                    }
                }
                (8, Field::Bytes(message)) => {
                    partition.operations.push(Operation::read(message, base, block)?);
                }
                _ => {}
            }
        }
        let written = partition.operations.iter().flat_map(|op| &op.to).map(|to| to.end).max();
        partition.size = partition.size.max(written.unwrap_or(0));
        (!partition.name.is_empty()).then_some(partition)
    }

    /// The partition as an entry, and the data of its differences.
    fn emit(
        self,
        payload: &Bytes,
        number: usize,
        base: u64,
        wrong: &BTreeSet<(usize, usize)>,
        layout: &mut Layout,
    ) {
        let mut problems = Vec::new();
        let mut differences = 0_u64;
        for (n, op) in self.operations.iter().enumerate() {
            let damaged = wrong.contains(&(number, n)).then(|| {
                let text = format!("the sha256 of operation {n} does not match");
                Problem::new(ProblemKind::Checksum, text)
            });
            if op.decoder().is_some() || op.is_empty() {
                let place = op.to.first().map_or(0, |to| to.start);
                problems.extend(damaged.map(|p| p.at(place)));
                if let (Some(at), Some(len)) = (read::index(op.from), read::index(op.len)) {
                    layout.structure(at, len);
                }
            } else {
                differences = differences.saturating_add(1);
                let name = format!("{}.differences/{n:04}-{}", self.name, op.name());
                let mut entry = Entry::file(name, Blob::None);
                entry.problems.extend(damaged);
                layout.part_with(payload, entry, op.from, op.len);
            }
        }
        if differences > 0 {
            let text = format!(
                "{differences} of {} operations are differences to an installed version; what they write is zeros here",
                self.operations.len()
            );
            problems.push(Problem::new(ProblemKind::Unsupported, text));
        }
        // Where every operation needs the installed version there is nothing to show.
        let shown = differences < self.operations.len() as u64 || self.operations.is_empty();
        let name = self.name.clone();
        let blob = if shown {
            Blob::Lazy(Arc::new(Assembled {
                payload: payload.clone(),
                partition: self,
                whole: differences == 0,
            }))
        } else {
            Blob::None
        };
        let at = read::index(base).unwrap_or(0);
        layout.entry(at..at, Entry { problems, ..Entry::file(name, blob) });
    }
}

impl Payload {
    fn read(data: &[u8], budget: &Budget) -> Option<Self> {
        let (size, signed) = (read::be64(data, 12)?, u64::from(read::be32(data, 20)?));
        let manifest = read::slice(data, 24, read::index(size)?)?;
        if data.get(..4)? != b"CrAU" {
            return None;
        }
        budget.work(size).ok()?;
        let base = size.checked_add(24)?.checked_add(signed)?;
        let (mut block, mut signature, mut messages) = (4096, (0, 0), Vec::new());
        for field in fields(manifest) {
            match field {
                (3, Field::Number(n)) => block = n,
                (4, Field::Number(n)) => signature.0 = n,
                (5, Field::Number(n)) => signature.1 = n,
                (13, Field::Bytes(message)) => messages.push(message),
                _ => {}
            }
        }
        if messages.is_empty() || block == 0 || block > 1 << 20 {
            return None;
        }
        let partitions = messages.into_iter().map(|m| Partition::read(m, base, block));
        Some(Self {
            base,
            block,
            metadata_signature: signed,
            signature,
            partitions: partitions.collect::<Option<_>>()?,
        })
    }

    /// Compares the digests of operations until `most` bytes were looked at: how many are right, and the wrong ones.
    fn verify(&self, data: &[u8], most: u64, budget: &Budget) -> (u64, BTreeSet<(usize, usize)>) {
        let mut left = most;
        let mut asked = Vec::new();
        for (p, partition) in self.partitions.iter().enumerate() {
            for (n, op) in partition.operations.iter().enumerate() {
                let Some(bytes) = op.data(data).filter(|_| op.hash.len() == 32 && op.len > 0)
                else {
                    continue;
                };
                match left.checked_sub(op.len) {
                    Some(rest) if budget.work(op.len).is_ok() => left = rest,
                    _ => continue,
                }
                asked.push(((p, n), bytes, &op.hash));
            }
        }
        let wrong: BTreeSet<_> = asked
            .par_iter()
            .filter(|(_, bytes, hash)| sums::sha256(bytes)[..] != hash[..])
            .map(|(place, ..)| *place)
            .collect();
        ((asked.len() as u64).saturating_sub(wrong.len() as u64), wrong)
    }

    /// Extent and problems, without entries.
    fn layout(&self, data: &[u8], right: bool) -> Layout {
        let operations = || self.partitions.iter().flat_map(|p| &p.operations);
        let mut end =
            operations().map(|op| op.from.saturating_add(op.len)).fold(self.base, u64::max);
        if self.signature.1 > 0 {
            let tail = self.base.saturating_add(self.signature.0);
            end = end.max(tail.saturating_add(self.signature.1));
        }
        let proof = if right { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut layout = Layout::new(data, end, proof);
        layout.structure(0, read::index(self.base).unwrap_or(usize::MAX));
        let differences =
            operations().filter(|op| op.decoder().is_none() && !op.is_empty()).count();
        if differences > 0 {
            layout.problem(
                ProblemKind::Unsupported,
                format!("{differences} operations are differences to an installed version"),
            );
        }
        layout
    }
}

/// A partition that is put together when it is asked for.
struct Assembled {
    payload: Bytes,
    partition: Partition,
    /// Whether everything it needs is in the payload.
    whole: bool,
}

/// What an operation may fall short of its extents by: less than the block of 4 KiB that all payloads use.
const BLOCK: u64 = 4096;
/// Bytes of operations that are decoded at the same time; usually they make some 2 MiB each.
const AT_ONCE: u64 = 64 << 20;

impl Load for Assembled {
    fn size(&self) -> u64 {
        self.partition.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut problems = Vec::new();
        let size = match (read::index(self.size()), budget.output(self.size())) {
            (Some(size), Ok(())) => size,
            (_, Err(e)) => return Loaded { bytes: Bytes::new(), problems: vec![e.into()] },
            (None, _) => return Loaded::default(),
        };
        let mut out = Buffer::default();
        out.resize(size, budget.spool());
        let (groups, beyond) = self.groups();
        if beyond {
            let text =
                "the operations write more than the partition holds; the last ones are left out";
            problems.push(Problem::new(ProblemKind::Malformed, text));
        }
        for group in groups {
            let bytes = group.iter().fold(0_u64, |sum, (_, op)| sum.saturating_add(op.len));
            if let Err(e) = budget.work(bytes) {
                problems.push(e.into());
                break;
            }
            let made: Vec<_> = group.par_iter().map(|(_, op)| self.decode(op, budget)).collect();
            for ((n, op), (bytes, wrong)) in group.into_iter().zip(made) {
                let mut rest = &bytes[..];
                for to in &op.to {
                    let place = read::index(to.start).zip(read::index(to.end));
                    let Some(target) = place.and_then(|(from, to)| out.get_mut(from..to)) else {
                        continue;
                    };
                    let (now, later) = rest.split_at_checked(target.len()).unwrap_or((rest, &[]));
                    if let Some(target) = target.get_mut(..now.len()) {
                        target.copy_from_slice(now);
                    }
                    rest = later;
                }
                if let Some(mut problem) = wrong.filter(|_| problems.len() < 16) {
                    problem.message = format!("operation {n}: {}", problem.message);
                    problems.push(problem.at(op.to.first().map_or(0, |to| to.start)));
                }
            }
        }
        let bytes = Bytes::from(out);
        if self.whole && problems.is_empty() && self.partition.hash.len() == 32 {
            match budget.work(self.size()) {
                Ok(()) if sums::sha256(&bytes)[..] == self.partition.hash[..] => {}
                Ok(()) => problems.push(Problem::new(
                    ProblemKind::Checksum,
                    "the sha256 of the partition does not match",
                )),
                Err(e) => problems.push(e.into()),
            }
        }
        Loaded { bytes, problems }
    }
}

impl Assembled {
    /// Operations that are decoded together, and whether there were more than the partition has room for.
    fn groups(&self) -> (Vec<Vec<(usize, &Operation)>>, bool) {
        let mut groups = vec![Vec::new()];
        let (mut left, mut together) = (self.size(), 0_u64);
        let operations = self.partition.operations.iter().enumerate();
        for (n, op) in operations.filter(|(_, op)| op.decoder().is_some()) {
            // Each byte is written once, so what is decoded is never more than was paid for.
            let Some(rest) = left.checked_sub(op.size()) else { return (groups, true) };
            left = rest;
            together = together.saturating_add(op.size());
            if together > AT_ONCE {
                groups.push(Vec::new());
                together = op.size();
            }
            if let Some(group) = groups.last_mut() {
                group.push((n, op));
            }
        }
        (groups, false)
    }

    fn decode(&self, op: &Operation, budget: &Budget) -> (Buffer, Option<Problem>) {
        let size = op.size();
        let problem = |kind, text: String| Some(Problem::new(kind, text));
        let (Some(decode), Some(data), Some(max)) =
            (op.decoder(), op.data(&self.payload), read::index(size.min(self.partition.size)))
        else {
            return (
                Buffer::default(),
                problem(ProblemKind::Truncated, "its data are not there".into()),
            );
        };
        // Paid for with the whole partition.
        let own = Budget::new(size, 0, u64::MAX, None).with_spool(budget.spool());
        let made = decode(data, max, &own);
        let wrong = match made.error {
            Some(e) => Some(e.into()),
            // What does not fill the last block is padded with zeros.
            None if (made.bytes.len() as u64).saturating_add(BLOCK) <= size => {
                let text = format!("{} bytes came out, {size} were declared", made.bytes.len());
                problem(ProblemKind::Incomplete, text)
            }
            None => None,
        };
        (made.bytes, wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Input, Options,
        formats::testing::{noise, open, open_at, open_whole, scratch, tool, torture},
        unpack,
    };

    fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
        varint_of(out, number << 3 | 2);
        varint_of(out, bytes.len() as u64);
        out.extend(bytes);
    }

    fn number(out: &mut Vec<u8>, field: u64, value: u64) {
        varint_of(out, field << 3);
        varint_of(out, value);
    }

    fn varint_of(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
    }

    /// Partitions (name, content, operations) as a payload; an operation is its kind, its data and its extents.
    type Operations<'a> = &'a [(u64, Vec<u8>, &'a [(u64, u64)])];

    fn payload(partitions: &[(&str, &[u8], Operations<'_>)]) -> Vec<u8> {
        let (mut manifest, mut data) = (Vec::new(), Vec::new());
        number(&mut manifest, 3, 4096);
        for (name, content, operations) in partitions {
            let mut partition = Vec::new();
            put(&mut partition, 1, name.as_bytes());
            let mut info = Vec::new();
            number(&mut info, 1, content.len() as u64);
            put(&mut info, 2, &sums::sha256(content));
            put(&mut partition, 7, &info);
            for (kind, bytes, extents) in *operations {
                let mut op = Vec::new();
                number(&mut op, 1, *kind);
                if !bytes.is_empty() {
                    number(&mut op, 2, data.len() as u64);
                    number(&mut op, 3, bytes.len() as u64);
                    put(&mut op, 8, &sums::sha256(bytes));
                }
                for (start, count) in *extents {
                    let mut extent = Vec::new();
                    number(&mut extent, 1, *start);
                    number(&mut extent, 2, *count);
                    put(&mut op, 6, &extent);
                }
                put(&mut partition, 8, &op);
                data.extend(bytes);
            }
            put(&mut manifest, 13, &partition);
        }
        let mut file = b"CrAU\0\0\0\0\0\0\0\x02".to_vec();
        file.extend((manifest.len() as u64).to_be_bytes());
        file.extend([0; 4]);
        file.extend(&manifest);
        file.extend(&data);
        file
    }

    /// A piece compressed by the real tool.
    fn packed_by(command: &str, package: &str, bytes: &[u8]) -> Vec<u8> {
        let dir = scratch();
        std::fs::write(dir.path().join("in"), bytes).unwrap();
        tool(dir.path(), package, &format!("{command} < in"))
    }

    #[test]
    fn a_file_system_in_pieces_is_put_together() {
        let dir = scratch();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        std::fs::write(dir.path().join("tree/build.prop"), "ro.build.version=7\n".repeat(900))
            .unwrap();
        std::fs::write(dir.path().join("tree/noise"), noise(300_000, 3)).unwrap();
        tool(
            dir.path(),
            "e2fsprogs",
            "truncate -s 2M image && PATH=$PATH:/sbin mke2fs -q -b 4096 -t ext4 -O ^has_journal -d tree image",
        );
        let image = std::fs::read(dir.path().join("image")).unwrap();
        let piece = |from: usize, blocks: usize| &image[from * 4096..(from + blocks) * 4096];
        let used = image.chunks(4096).rposition(|b| b.iter().any(|b| *b != 0)).unwrap() + 1;
        let rest = used as u64;
        // The first operation fills two extents in the wrong order.
        let swapped = [piece(10, 10), piece(0, 10)].concat();
        let operations: Operations<'_> = &[
            (8, packed_by("xz -c --check=crc32", "xz-utils", &swapped), &[(10, 10), (0, 10)]),
            (1, packed_by("bzip2 -c", "bzip2", piece(20, 20)), &[(20, 20)]),
            (0, piece(40, 5).to_vec(), &[(40, 5)]),
            (14, packed_by("zstd -qc", "zstd", piece(45, used - 45)), &[(45, rest - 45)]),
            (6, vec![], &[(rest, 100)]),
            (7, vec![], &[(rest + 100, 512 - rest - 100)]),
        ];
        let file = payload(&[("system", &image, operations)]);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.names(), ["system"]);
        assert_eq!(opened.content("system"), image);
        assert_eq!(opened.attribute("integrity-correct"), "yes");
        assert_eq!(opened.candidate.proof, Proof::ChecksumVerified);

        let outcome = unpack(Input::bytes("payload.bin", file.clone()), &Options::default(), &());
        let places: Vec<_> = outcome.artifacts.iter().map(|a| a.locator.to_string()).collect();
        assert!(places.iter().any(|p| p.ends_with("/build.prop")), "{places:#?}");

        // A bit of the xz data: the operation and the partition are named, the rest is there.
        let mut damaged = file;
        let at = damaged.len() - operations.iter().map(|o| o.1.len()).sum::<usize>() + 100;
        damaged[at] ^= 1;
        let opened = open(&FORMAT, &damaged);
        assert_eq!(opened.attribute("integrity-correct"), "no");
        assert_eq!(opened.entries[0].problems[0].kind, ProblemKind::Checksum);
        let loaded = opened.entries[0].blob.load(&Budget::ample());
        assert!(loaded.problems[0].message.starts_with("operation 0: "), "{:?}", loaded.problems);
        assert_eq!(loaded.bytes[20 * 4096..], image[20 * 4096..]);
    }

    #[test]
    fn differences_are_told_and_their_data_kept() {
        let (plain, patch) = (noise(8192, 30), noise(3000, 31));
        let content = [&plain[..], &[0; 8192]].concat();
        let mixed: Operations<'_> =
            &[(0, plain.clone(), &[(0, 2)]), (5, patch.clone(), &[(2, 1)]), (4, vec![], &[(3, 1)])];
        let only: Operations<'_> = &[(9, patch.clone(), &[(0, 4)])];
        let file = payload(&[("vendor", &content, mixed), ("boot", &content, only)]);
        let opened = open(&FORMAT, &file);
        assert_eq!(opened.problems[0].kind, ProblemKind::Unsupported);
        assert_eq!(
            opened.files(),
            [
                "vendor",
                "boot",
                "vendor.differences/0001-source-bsdiff",
                "boot.differences/0000-puffdiff"
            ]
        );
        assert_eq!(opened.content("vendor"), content);
        assert!(opened.entries[0].problems[0].message.starts_with("2 of 3 operations"));
        assert_eq!(opened.content("vendor.differences/0001-source-bsdiff"), patch);
        assert!(matches!(opened.entries[1].blob, Blob::None));
        torture(&FORMAT, &file);
    }

    #[test]
    fn what_came_out_is_compared_with_what_was_promised() {
        let plain = noise(8192, 30);
        let file = payload(&[("boot", &noise(8192, 31), &[(0, plain.clone(), &[(0, 2)])])]);
        let opened = open_whole(&FORMAT, &file);
        let loaded = opened.entries[0].blob.load(&Budget::ample());
        assert_eq!(
            (&loaded.bytes[..], loaded.problems[0].kind),
            (&plain[..], ProblemKind::Checksum)
        );
        // Twice the same extent is more than there is room for.
        let same: Operations<'_> = &[(0, plain.clone(), &[(0, 2)]), (0, plain.clone(), &[(0, 2)])];
        let twice = payload(&[("boot", &plain, same)]);
        let loaded = open_whole(&FORMAT, &twice).entries[0].blob.load(&Budget::ample());
        assert_eq!(loaded.problems[0].kind, ProblemKind::Malformed);
        let nothing = opened.entries[0].blob.load(&Budget::new(8191, 0, 1 << 20, None));
        assert_eq!((nothing.bytes.len(), nothing.problems[0].kind), (0, ProblemKind::Budget));
        assert!(open_at(&FORMAT, b"CrAU\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0", 0).is_none());
    }
}
