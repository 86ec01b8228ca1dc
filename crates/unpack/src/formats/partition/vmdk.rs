//! VMDK: VMware's sparse disks, with plain or compressed grains.
//!
//! Establishes: header, grain directory and tables; for streams (OVA) the copy of the header at the end.
//! The disk is the entry `disk`, the text descriptor the entry `descriptor`.
//! Limits: disks of several extents are separate files; a parent is named in the descriptor and not read.

use bytes::Bytes;
use proofmark_model::Proof;

use super::blocks::{From, disk};
use crate::{
    budget::Budget,
    format::{About, Entry, Family, Magic},
    formats::layout::{Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "vmdk",
        name: "VMDK sparse extent",
        family: Family::Partition,
        revision: 1,
        metadata: "grain size, compression",
        integrity: "directory, tables and grains lie in the file",
        limits: "several extents, parents",
        sources: &["VMware Virtual Disk Format 5.0"],
    },
    magics: &[
        Magic::anywhere(b"KDMV\x01\0\0\0"),
        Magic::anywhere(b"KDMV\x02\0\0\0"),
        Magic::anywhere(b"KDMV\x03\0\0\0"),
    ],
    read: read_layout,
};

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let sectors = |header: &[u8], at| read::le64(header, at)?.checked_mul(512);
    let head = data.get(..512)?;
    let (grain, per_table) = (sectors(head, 20)?, u64::from(read::le32(head, 44)?));
    // Written with text conversion in mind: these four bytes must have survived.
    if head.get(..4)? != b"KDMV"
        || head.get(73..77)? != b"\n \r\n"
        || !grain.is_power_of_two()
        || !(4096..=1 << 26).contains(&grain)
        || !(1..=65536).contains(&per_table)
    {
        return None;
    }
    let mut end = sectors(head, 64)?;
    let streamed = read::le64(head, 56)? == u64::MAX;
    let header = if streamed {
        // The footer with the directory's place is the last but one sector.
        let at = memchr::memmem::rfind(data.get(512..)?, head.get(..8)?)?.checked_add(512)?;
        end = (at as u64).checked_add(1024)?;
        read::slice(data, at, 512)?
    } else {
        head
    };
    let (size, directory) = (sectors(header, 12)?, sectors(header, 56)?);
    let packed = read::le32(header, 8)? & 0x1_0000 != 0;
    let mut pieces = Vec::new();
    for n in 0..size.div_ceil(grain.checked_mul(per_table)?) {
        let table = read::index(directory.checked_add(n.checked_mul(4)?)?)
            .and_then(|at| read::le32(data, at))?;
        let table = u64::from(table).checked_mul(512)?;
        budget.work(per_table).ok()?;
        if table == 0 {
            continue;
        }
        end = end.max(table.checked_add(per_table.checked_mul(4)?)?);
        for m in 0..per_table {
            let place = n.checked_mul(per_table)?.checked_add(m)?.checked_mul(grain)?;
            let len = grain.min(size.saturating_sub(place));
            let entry = read::index(table.checked_add(m.checked_mul(4)?)?)
                .and_then(|at| read::le32(data, at));
            let Some(entry) = entry.filter(|_| len > 0) else { break };
            let at = u64::from(entry).checked_mul(512)?;
            match entry {
                0 | 1 => {}
                _ if packed => {
                    let stored = read::le32(data, read::index(at)?.checked_add(8)?).unwrap_or(0);
                    end = end
                        .max(at.checked_add(12)?.checked_add(stored.into())?.next_multiple_of(512));
                    pieces.push((place, len, From::Zlib(at.checked_add(12)?, stored.into())));
                }
                _ => {
                    end = end.max(at.checked_add(grain)?);
                    pieces.push((place, len, From::At(at)));
                }
            }
        }
    }
    // The last grain of a disk may be cut at the disk's end.
    let mut layout =
        Layout::leaf(data, end.min(data.len() as u64).max(512), Proof::LengthsConsistent);
    layout.attribute("block-size", grain);
    layout.attribute("compression", if packed { "deflate" } else { "none" });
    let (at, len) = (sectors(head, 28)?, sectors(head, 36)?);
    let text =
        read::index(at).zip(read::index(len)).and_then(|(at, len)| read::slice(data, at, len));
    let len = text.map_or(0, |text| read::until_nul(text).len() as u64);
    layout.part(data, "descriptor", at, len);
    layout.entry(0..0, Entry::file("disk", disk(&data.slice(..layout.length), size, pieces)));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, scratch, tool, torture};

    #[test]
    fn what_qemu_img_makes_is_read() {
        let dir = scratch();
        let mut image = noise(300_000, 28);
        image.resize(2 << 20, 0);
        image.extend(noise(100_000, 29));
        image.resize(3 << 20, 0);
        std::fs::write(dir.path().join("raw"), &image).unwrap();
        for options in ["", "-o subformat=streamOptimized"] {
            tool(
                dir.path(),
                "qemu-utils",
                &format!("qemu-img convert -O vmdk {options} raw d.vmdk"),
            );
            let file = std::fs::read(dir.path().join("d.vmdk")).unwrap();
            let opened = open(&FORMAT, &file);
            assert_eq!(opened.problems, [], "{options}");
            // QEMU pads the last compressed grain.
            assert!(file[opened.candidate.length..].iter().all(|b| *b == 0), "{options}");
            assert_eq!(opened.content("disk"), image, "{options}");
            assert!(opened.content("descriptor").starts_with(b"# Disk DescriptorFile"));
        }
        let file = std::fs::read(dir.path().join("d.vmdk")).unwrap();
        torture(&FORMAT, &file[..file.len().min(60_000)]);
        assert!(open_at(&FORMAT, &[b"KDMV\x01\0\0\0".as_slice(), &[1; 600]].concat(), 0).is_none());
    }
}
