//! Android OTA payloads (`payload.bin`).
//!
//! Establishes: header, manifest (a protocol buffer), and per operation the bytes, their destination and
//! their SHA-256. Entries are the operations' data as stored, `PARTITION/NNNN-KIND`, which the engine decodes
//! (xz, bzip2, zstd), and the signature. A partition of a full update that is only plain data is put together.
//!
//! Limits: differences against an installed version (source copy, bsdiff, puffdiff, ...) need that version.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use super::blocks::{From, disk};
use crate::{
    budget::Budget,
    format::{About, Blob, Entry, Family, Magic},
    formats::{
        layout::{Layout, Reader, name_or},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "android-ota",
        name: "Android OTA payload",
        family: Family::Vendor,
        revision: 1,
        metadata: "partition names, kinds of operations",
        integrity: "sha256 of each operation's data; signature reported, not verified",
        limits: "differences are not applied; compressed operations stay apart",
        sources: &["AOSP system/update_engine/update_metadata.proto"],
    },
    magics: &[Magic::anywhere(b"CrAU\0\0\0\0\0\0\0\x02")],
    read: read_layout,
};

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

/// What an operation says.
#[derive(Default)]
struct Operation<'a> {
    kind: u64,
    offset: u64,
    len: u64,
    to: Vec<(u64, u64)>,
    hash: &'a [u8],
}

fn operation(message: &[u8]) -> Operation<'_> {
    let mut op = Operation::default();
    for (number, field) in fields(message) {
        match (number, field) {
            (1, Field::Number(n)) => op.kind = n,
            (2, Field::Number(n)) => op.offset = n,
            (3, Field::Number(n)) => op.len = n,
            (6, Field::Bytes(extent)) => {
                let (mut start, mut count) = (0, 0);
                for (number, field) in fields(extent) {
                    match (number, field) {
                        (1, Field::Number(n)) => start = n,
                        (2, Field::Number(n)) => count = n,
                        _ => {}
                    }
                }
                op.to.push((start, count));
            }
            (8, Field::Bytes(hash)) => op.hash = hash,
            _ => {}
        }
    }
    op
}

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

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (size, signed) = (read::be64(data, 12)?, read::be32(data, 20)?);
    let manifest = read::slice(data, 24, read::index(size)?)?;
    if data.get(..4)? != b"CrAU" {
        return None;
    }
    let base = size.checked_add(24)?.checked_add(signed.into())?;
    let mut end = base;
    let mut partitions = Vec::new();
    let (mut block, mut signature) = (4096_u64, (0_u64, 0_u64));
    for (number, field) in fields(manifest) {
        budget.work(8).ok()?;
        match (number, field) {
            (3, Field::Number(n)) => block = n,
            (4, Field::Number(n)) => signature.0 = n,
            (5, Field::Number(n)) => signature.1 = n,
            (13, Field::Bytes(partition)) => partitions.push(partition),
            _ => {}
        }
    }
    if partitions.is_empty() || block == 0 || block > 1 << 20 {
        return None;
    }
    let mut layout_entries = Vec::new();
    let (mut verified, mut wrong, mut deltas) = (0_u64, 0_u64, 0_u64);
    for partition in partitions {
        budget.work(partition.len() as u64).ok()?;
        let name = fields(partition).find_map(|(n, f)| match (n, f) {
            (1, Field::Bytes(name)) => Some(String::from_utf8_lossy(name).into_owned()),
            _ => None,
        })?;
        let name = String::from_utf8_lossy(&name_or(&name, "partition")).into_owned();
        let operations: Vec<_> = fields(partition)
            .filter_map(|(n, f)| match (n, f) {
                (8, Field::Bytes(message)) => Some(operation(message)),
                _ => None,
            })
            .collect();
        let plain = operations.iter().all(|op| matches!(op.kind, 0 | 6 | 7));
        let (mut pieces, mut length) = (Vec::new(), 0_u64);
        for (n, op) in operations.iter().enumerate() {
            let kind =
                read::index(op.kind).and_then(|k| KINDS.get(k)).copied().unwrap_or("unknown");
            let start = base.checked_add(op.offset)?;
            end = end.max(start.checked_add(op.len)?);
            if matches!(op.kind, 2..=5 | 9..=13) {
                deltas = deltas.saturating_add(1);
            }
            let mut from = start;
            for (first, count) in &op.to {
                let (place, len) = (first.checked_mul(block)?, count.checked_mul(block)?);
                length = length.max(place.checked_add(len)?);
                if op.kind == 0 {
                    pieces.push((place, len, From::At(from)));
                    from = from.checked_add(len)?;
                }
            }
            let mut entry = Entry::file(format!("{name}/{n:04}-{kind}"), Blob::None);
            let bytes = read::index(start)
                .zip(read::index(op.len))
                .and_then(|(at, len)| read::slice(data, at, len));
            if let Some(bytes) =
                bytes.filter(|_| op.hash.len() == 32 && budget.work(op.len).is_ok())
            {
                verified = verified.saturating_add(1);
                if sums::sha256(bytes) != op.hash {
                    wrong = wrong.saturating_add(1);
                    entry.problems.push(Problem::new(
                        ProblemKind::Checksum,
                        "the sha256 of the operation does not match",
                    ));
                }
            }
            if !plain && op.len > 0 {
                layout_entries.push((entry, start, op.len));
            }
        }
        if plain {
            layout_entries.push((Entry::file(name, disk(data, length, pieces)), 0, 0));
        }
    }
    let has_signature = signed > 0 || signature.1 > 0;
    let tail = base.checked_add(signature.0)?;
    if signature.1 > 0 {
        end = end.max(tail.checked_add(signature.1)?);
    }
    let mut layout = Layout::new(
        data,
        end,
        if verified > 0 && wrong == 0 { Proof::ChecksumVerified } else { Proof::LengthsConsistent },
    );
    layout.structure(0, read::index(base)?);
    layout.attribute("block-size", block);
    if deltas > 0 {
        layout.problem(
            ProblemKind::Unsupported,
            format!("{deltas} operations are differences to an installed version"),
        );
    }
    let correct = if wrong > 0 {
        Some(false)
    } else if has_signature || verified == 0 {
        None
    } else {
        Some(true)
    };
    layout.integrity(if has_signature { "signature" } else { "hash" }, "sha256", correct);
    for (entry, start, len) in layout_entries {
        if len > 0 {
            layout.part_with(data, entry, start, len);
        } else {
            layout.structure(read::index(base)?, layout.length);
            layout.entry(0..0, entry);
        }
    }
    layout.part(data, "signature", tail, signature.1);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
        number_of(out, number << 3 | 2);
        number_of(out, bytes.len() as u64);
        out.extend(bytes);
    }

    fn number_of(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
    }

    fn op(kind: u64, offset: u64, data: &[u8], extents: &[(u64, u64)]) -> Vec<u8> {
        let mut message = Vec::new();
        for (n, value) in [(1, kind), (2, offset), (3, data.len() as u64)] {
            number_of(&mut message, n << 3);
            number_of(&mut message, value);
        }
        for (start, count) in extents {
            let mut extent = Vec::new();
            for (n, value) in [(1_u64, *start), (2, *count)] {
                number_of(&mut extent, n << 3);
                number_of(&mut extent, value);
            }
            put(&mut message, 6, &extent);
        }
        put(&mut message, 8, &sums::sha256(data));
        message
    }

    #[test]
    fn partitions_of_a_full_update() {
        let (a, b) = (noise(8192, 30), noise(3000, 31));
        let mut boot = Vec::new();
        put(&mut boot, 1, b"boot");
        put(&mut boot, 8, &op(0, 0, &a, &[(1, 1), (0, 1)]));
        let mut system = Vec::new();
        put(&mut system, 1, b"system");
        put(&mut system, 8, &op(8, 8192, &b, &[(0, 4)]));
        let mut manifest = vec![3 << 3];
        number_of(&mut manifest, 4096);
        put(&mut manifest, 13, &boot);
        put(&mut manifest, 13, &system);
        let mut file = b"CrAU\0\0\0\0\0\0\0\x02".to_vec();
        file.extend((manifest.len() as u64).to_be_bytes());
        file.extend([0; 4]);
        file.extend(&manifest);
        file.extend(&a);
        file.extend(&b);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.content("boot"), [&a[4096..], &a[..4096]].concat());
        assert_eq!(opened.content("system/0000-xz"), b);
        assert_eq!(opened.attribute("integrity-correct"), "yes");
        torture(&FORMAT, &file);
        let last = file.len() - 1;
        file[last] ^= 1;
        assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
        assert!(open_at(&FORMAT, b"CrAU\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0", 0).is_none());
    }
}
