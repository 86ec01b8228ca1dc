//! VHDX: Hyper-V disks, fixed and dynamic.
//!
//! Establishes: CRC-32C of a header and of a region table, the metadata items (block size, disk size, sector
//! size), and the block table. Limits: a log that was not replayed is reported; differencing disks are too.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use super::blocks::{From, disk};
use crate::{
    budget::Budget,
    format::{About, Entry, Family, Magic},
    formats::{
        layout::{Layout, Reader},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "vhdx",
        name: "VHDX",
        family: Family::Partition,
        revision: 1,
        metadata: "block size, sector size",
        integrity: "crc32c of header and region table",
        limits: "log replay, parents of differencing disks",
        sources: &["MS-VHDX 7.0"],
    },
    magics: &[Magic::anywhere(b"vhdxfile")],
    read: read_layout,
};

/// Whether a block's CRC-32C at +4 is right.
fn right(block: &[u8]) -> Option<bool> {
    let pieces = [block.get(..4)?, &[0; 4], block.get(8..)?];
    Some(sums::crc32c(pieces) == read::le32(block, 4)?)
}

/// Offset and length of the region or metadata item whose GUID begins so.
fn row(table: &[u8], head: usize, count: usize, start: [u8; 4]) -> Option<(u64, u32)> {
    let rows = table.get(head..)?.chunks_exact(32).take(count.min(2047));
    let row = rows.into_iter().find(|row| row.starts_with(&start))?;
    Some(if head == 16 {
        (read::le64(row, 16)?, read::le32(row, 24)?)
    } else {
        (read::le32(row, 16)?.into(), read::le32(row, 20)?)
    })
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    if data.get(..8)? != b"vhdxfile" {
        return None;
    }
    budget.work(1 << 18).ok()?;
    let headers = [0x10000, 0x20000].into_iter().filter_map(|at| {
        let header = read::slice(data, at, 4096)?;
        (header.starts_with(b"head") && right(header)?).then_some(header)
    });
    let header = headers.max_by_key(|header| read::le64(header, 8))?;
    let regions = [0x30000, 0x40000].into_iter().find_map(|at| {
        let table = read::slice(data, at, 65536)?;
        (table.starts_with(b"regi") && right(table)?).then_some(table)
    })?;
    let count = read::index(read::le32(regions, 8)?.into())?;
    let (bat, bat_len) = row(regions, 16, count, [0x66, 0x77, 0xC2, 0x2D])?;
    let (meta, meta_len) = row(regions, 16, count, [0x06, 0xA2, 0x7C, 0x8B])?;
    let metadata = data.get(read::index(meta)?..)?;
    let items = usize::from(read::le16(metadata, 10)?);
    let item = |start| {
        Some(read::index(row(metadata, 32, items, start)?.0)?).and_then(|at| metadata.get(at..))
    };
    let parameters = item([0x37, 0x67, 0xA1, 0xCA])?;
    let (block, flags) = (u64::from(read::le32(parameters, 0)?), read::le32(parameters, 4)?);
    let size = read::le64(item([0x24, 0x42, 0xA5, 0x2F])?, 0)?;
    let sector = u64::from(read::le32(item([0x1D, 0xBF, 0x41, 0x81])?, 0)?);
    if !block.is_power_of_two()
        || !(1 << 20..=1 << 28).contains(&block)
        || !matches!(sector, 512 | 4096)
    {
        return None;
    }
    // Every so many blocks of data there is an entry for a bitmap.
    let ratio = (1_u64 << 23).checked_mul(sector)?.checked_div(block)?;
    let mut end = bat.checked_add(bat_len.into())?.max(meta.checked_add(meta_len.into())?);
    end =
        end.max(read::le64(header, 72)?.checked_add(read::le32(header, 68)?.into())?).max(0x50000);
    let mut pieces = Vec::new();
    for n in 0..size.div_ceil(block) {
        budget.work(8).ok()?;
        let index = n.checked_add(n.checked_div(ratio)?)?;
        let entry = read::index(bat.checked_add(index.checked_mul(8)?)?)
            .and_then(|at| read::le64(data, at))?;
        if matches!(entry & 7, 6 | 7) {
            let (from, place) = (entry & !0xF_FFFF, n.checked_mul(block)?);
            pieces.push((place, block.min(size.checked_sub(place)?), From::At(from)));
            end = end.max(from.checked_add(block)?);
        }
    }
    let mut layout = Layout::leaf(data, end, Proof::ChecksumVerified);
    layout.attribute("block-size", block);
    if read::slice(header, 48, 16)? != [0; 16] {
        layout.problem(ProblemKind::Unsupported, "the log holds changes that were not replayed");
    }
    if flags & 2 != 0 {
        layout.problem(
            ProblemKind::Incomplete,
            "the disk is a difference to a parent that is not part of this file",
        );
    }
    layout.entry(0..0, Entry::file("disk", disk(&data.slice(..layout.length), size, pieces)));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, scratch, tool};

    #[test]
    fn what_qemu_img_makes_is_read() {
        let dir = scratch();
        let mut image = noise(300_000, 26);
        image.resize(5 << 20, 0);
        image.extend(noise(100_000, 27));
        image.resize(12 << 20, 0);
        std::fs::write(dir.path().join("raw"), &image).unwrap();
        tool(dir.path(), "qemu-utils", "qemu-img convert -O vhdx -o block_size=1M raw d.vhdx");
        let file = std::fs::read(dir.path().join("d.vhdx")).unwrap();
        let opened = open(&FORMAT, &file);
        assert_eq!(opened.problems, []);
        assert_eq!(opened.content("disk"), image);
        let mut small = file[..0x60000.min(file.len())].to_vec();
        for at in (0..small.len()).step_by(9973) {
            small[at] ^= 1;
            let _ = open_at(&FORMAT, &small, 0);
            small[at] ^= 1;
        }
        assert!(open_at(&FORMAT, b"vhdxfile", 0).is_none());
    }
}
