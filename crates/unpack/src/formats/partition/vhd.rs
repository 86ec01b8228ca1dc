//! VHD: Virtual PC disks, fixed (data, then a footer) and dynamic (a copy of the footer, then blocks).
//!
//! Establishes: the footer's complement sum, the size of the disk, and for dynamic disks the block table.
//! Limits: differencing disks name a parent that is not read.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use super::blocks::{From, disk};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    formats::{
        layout::{self, Layout, Reader},
        sums,
    },
    read,
};

const SOURCES: &[&str] = &["Microsoft, Virtual Hard Disk Image Format Specification, 2006"];

/// A dynamic or differencing disk.
pub static DYNAMIC: Reader = Reader {
    about: &About {
        id: "vhd",
        name: "VHD, dynamic",
        family: Family::Partition,
        revision: 1,
        metadata: "creator, block size",
        integrity: "complement sums of footer and header",
        limits: "parents of differencing disks",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(b"conectix\0\0\0\x02\0\x01\0\0\0\0\0\0")],
    read: dynamic,
};

/// A fixed disk.
pub static FIXED: Fixed = Fixed;

/// A disk with a footer behind it.
pub struct Fixed;

static ABOUT: About = About {
    id: "vhd-fixed",
    name: "VHD, fixed",
    family: Family::Partition,
    revision: 1,
    metadata: "creator",
    integrity: "complement sum of the footer",
    limits: "",
    sources: SOURCES,
};

/// Complement of the sum of all bytes but the sum's own.
fn sum_right(block: &[u8], at: usize) -> Option<bool> {
    let stored = read::be32(block, at)?;
    let own = sums::sum8(read::slice(block, at, 4)?);
    Some(!sums::sum8(block).wrapping_sub(own) == stored)
}

fn dynamic(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let footer = data.get(..512)?;
    let kind = read::be32(footer, 60)?;
    let (size, at) = (read::be64(footer, 48)?, read::index(read::be64(footer, 16)?)?);
    let header = read::slice(data, at, 1024)?;
    if footer.get(..8)? != b"conectix"
        || !sum_right(footer, 64)?
        || !matches!(kind, 3 | 4)
        || header.get(..8)? != b"cxsparse"
    {
        return None;
    }
    let (table, count, block) =
        (read::be64(header, 16)?, read::be32(header, 28)?, u64::from(read::be32(header, 32)?));
    if !block.is_power_of_two()
        || !(4096..=1 << 28).contains(&block)
        || u64::from(count) < size.div_ceil(block)
    {
        return None;
    }
    let bitmap = (block / 512 / 8).max(1).next_multiple_of(512);
    let (mut pieces, mut end) =
        (Vec::new(), table.checked_add(u64::from(count).checked_mul(4)?)?.next_multiple_of(512));
    for n in 0..size.div_ceil(block) {
        budget.work(4).ok()?;
        let entry = read::index(table.checked_add(n.checked_mul(4)?)?)
            .and_then(|at| read::be32(data, at))?;
        if entry != u32::MAX {
            let from = u64::from(entry).checked_mul(512)?.checked_add(bitmap)?;
            let place = n.checked_mul(block)?;
            pieces.push((place, block.min(size.checked_sub(place)?), From::At(from)));
            end = end.max(from.checked_add(block)?);
        }
    }
    let tail = read::index(end).and_then(|at| read::slice(data, at, 8)) == Some(b"conectix");
    let end = if tail { end.checked_add(512)? } else { end };
    let mut layout = Layout::leaf(data, end, Proof::ChecksumVerified);
    layout.attribute("block-size", block);
    layout.attribute("name", layout::text(footer, 28, 4)?);
    if !tail {
        layout.problem(ProblemKind::Incomplete, "the footer at the end is missing");
    }
    if kind == 4 {
        layout.problem(
            ProblemKind::Incomplete,
            "the disk is a difference to a parent that is not part of this file",
        );
    }
    layout.entry(0..0, Entry::file("disk", disk(&data.slice(..layout.length), size, pieces)));
    Some(layout)
}

impl Format for Fixed {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] =
            &[Magic::anywhere(b"conectix\0\0\0\x02\0\x01\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        let footer = read::slice(data, at, 512)?;
        let size = read::index(read::be64(footer, 48)?)?;
        if !sum_right(footer, 64)? || read::be32(footer, 60)? != 2 {
            return None;
        }
        Some(Candidate::new(at.checked_sub(size)?, size.checked_add(512)?, Proof::ChecksumVerified))
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        let end = region.len().saturating_sub(512);
        let _ = sink.entry(Entry::file("disk", Blob::Bytes(region.slice(..end))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, scratch, tool, torture};

    #[test]
    fn what_qemu_img_makes_is_read() {
        let dir = scratch();
        let mut image = noise(300_000, 24);
        image.resize(5 << 20, 0);
        image.extend(noise(100_000, 25));
        image.resize(6 << 20, 0);
        std::fs::write(dir.path().join("raw"), &image).unwrap();
        let make = "qemu-img convert -O vpc -o force_size=on raw d.vhd; qemu-img convert -O vpc -o subformat=fixed,force_size=on raw f.vhd";
        tool(dir.path(), "qemu-utils", make);
        let file = std::fs::read(dir.path().join("d.vhd")).unwrap();
        let opened = open(&DYNAMIC, &file);
        assert_eq!((opened.problems.len(), opened.candidate.length), (0, file.len()));
        assert_eq!(opened.content("disk"), image);
        torture(&DYNAMIC, &file[..4096]);
        let file = std::fs::read(dir.path().join("f.vhd")).unwrap();
        let opened = open_at(&FIXED, &file, file.len() - 512).unwrap();
        assert_eq!((opened.candidate.start, opened.candidate.length), (0, file.len()));
        assert_eq!(opened.content("disk"), image);
        torture(&FIXED, &file[file.len() - 512..]);
        let mut wrong = file;
        let at = wrong.len() - 400;
        wrong[at] ^= 1;
        assert!(open_at(&FIXED, &wrong, wrong.len() - 512).is_none());
    }
}
