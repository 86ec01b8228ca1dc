//! UZIP: a disk compressed block by block (FreeBSD's `geom_uzip`, `mkuzip`).
//!
//! A shell script of 128 bytes that tells the kind, block size and count, offsets of the blocks; each block is
//! a zlib, xz or zstd stream of its own, or nothing where it is all zeros. Establishes: that the offsets rise and
//! end in the content. The one entry is the disk.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    codec::{deflate, packed::Decode, xz, zstd},
    format::{Entry, Loaded, Magic},
    formats::layout::{Deferred, Layout, Reader, about},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Partition,
        "uzip",
        "UZIP compressed disk",
        "block size, compression",
        "offsets of blocks rise and lie in the content; decoding",
        "",
        "https://github.com/freebsd/freebsd-src/tree/main/sys/geom/uzip"
    ),
    magics: &[
        Magic::anywhere(b"#!/bin/sh\n#V2.0 "),
        Magic::anywhere(b"#!/bin/sh\n#L3.0\n"),
        Magic::anywhere(b"#!/bin/sh\n#Z4.0 "),
    ],
    read: uzip,
};

fn uzip(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const TABLE: usize = 136;
    let (name, decode): (_, Decode) = match data.get(..16)? {
        b"#!/bin/sh\n#V2.0 " => ("zlib", deflate::zlib),
        b"#!/bin/sh\n#L3.0\n" => ("xz", xz::decode),
        b"#!/bin/sh\n#Z4.0 " => ("zstd", zstd::decode),
        _ => return None,
    };
    let (block, count) = (read::be32(data, 128)?, read::be32(data, 132)?);
    if block == 0 || block % 512 != 0 || block > 1 << 24 || count == 0 {
        return None;
    }
    let rows = read::index(u64::from(count).checked_add(1)?)?;
    let table = read::slice(data, TABLE, rows.checked_mul(8)?)?;
    budget.work(table.len() as u64).ok()?;
    let mut offsets = Vec::with_capacity(rows);
    for row in table.chunks_exact(8) {
        offsets.push(read::be64(row, 0)?);
    }
    let first = TABLE.checked_add(table.len())? as u64;
    if *offsets.first()? < first || offsets.windows(2).any(|w| w.first() > w.last()) {
        return None;
    }
    let mut layout = Layout::new(data, *offsets.last()?, Proof::LengthsConsistent);
    layout.structure(0, TABLE.checked_add(table.len())?);
    layout.attribute("compression", name);
    layout.attribute("block-size", block);
    let size = u64::from(block).checked_mul(count.into())?;
    let image = data.slice(..layout.length);
    let disk = Deferred::blob(size, move |budget| {
        assemble(&image, &offsets, block as usize, size, decode, budget)
    });
    layout.entry(0..layout.length, Entry::file("disk", disk));
    Some(layout)
}

fn assemble(
    image: &[u8],
    offsets: &[u64],
    block: usize,
    size: u64,
    decode: Decode,
    budget: &Budget,
) -> Loaded {
    let mut loaded = Loaded::default();
    let paid = budget.output(size).ok().and_then(|()| read::index(size));
    let Some(size) = paid else {
        loaded.problems.push(crate::budget::Exhausted::Output.into());
        return loaded;
    };
    let mut out = vec![0; size];
    for (target, ends) in out.chunks_mut(block).zip(offsets.windows(2)) {
        let [from, to] = ends else { continue };
        if from == to {
            continue;
        }
        let place = read::index(*from).zip(read::index(*to));
        let Some(source) = place.and_then(|(from, to)| image.get(from..to)) else {
            loaded.problems.push(
                Problem::new(ProblemKind::Truncated, "a block is not there; zeros").at(*from),
            );
            break;
        };
        // Paid for with the whole disk; the bound of one block is its own size.
        let own = Budget::new(block as u64, 0, u64::MAX, None);
        let decoded = decode(source, block, &own);
        let have = decoded.bytes.len().min(target.len());
        if let (Some(to), Some(from)) = (target.get_mut(..have), decoded.bytes.get(..have)) {
            to.copy_from_slice(from);
        }
        if let Some(e) = decoded.error.filter(|_| loaded.problems.len() < 16) {
            loaded.problems.push(Problem::from(e).at(*from));
        }
    }
    loaded.bytes = out.into();
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn disks_around_streams_of_the_real_tools_are_read_back() {
        let dir = scratch();
        let mut disk = b"text in the first block ".repeat(100);
        disk.resize(4096, 0);
        disk.resize(8192, 0);
        disk.extend(noise(4096, 1));
        for (script, package, command) in [
            ("#!/bin/sh\n#V2.0 Format\n", "pigz", "pigz -z -c in"),
            ("#!/bin/sh\n#L3.0\n", "xz-utils", "xz -c in"),
            ("#!/bin/sh\n#Z4.0 Format\n", "zstd", "zstd -qc in"),
        ] {
            let mut image = script.as_bytes().to_vec();
            image.resize(128, 0);
            image.extend(4096_u32.to_be_bytes());
            image.extend(3_u32.to_be_bytes());
            let mut blocks = Vec::new();
            let first = 136 + 4 * 8;
            image.extend(u64::to_be_bytes(first));
            for block in disk.chunks(4096) {
                if block.iter().any(|b| *b != 0) {
                    std::fs::write(dir.path().join("in"), block).unwrap();
                    blocks.extend(tool(dir.path(), package, command));
                }
                image.extend((first + blocks.len() as u64).to_be_bytes());
            }
            image.extend(blocks);
            assert_eq!(open_whole(&FORMAT, &image).content("disk"), disk);
            torture(&FORMAT, &image);
            image[136] = 0xFF;
            assert!(open_at(&FORMAT, &image, 0).is_none());
        }
    }
}
