//! MBR: the partition table of PCs, with extended partitions.
//!
//! Establishes: the signature, four entries whose state and extent make sense and do not overlap, and the
//! chain of logical partitions. Space that no partition has comes out as gaps.
//!
//! Refused: boot sectors of file systems (their code stands where the entries would be), hybrid ISO images
//! (the ISO is the image), and the protective entry of a GPT.
//! Limits: sectors of 512 bytes.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::layout::{Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "mbr",
        name: "MBR partition table",
        family: Family::Partition,
        revision: 1,
        metadata: "type of each partition, active partition, disk identifier",
        integrity: "extents do not overlap",
        limits: "sectors of 512 bytes",
        sources: &["UEFI Specification 2.10, section 5.2"],
    },
    magics: &[Magic::start(b"\x55\xAA").after(510)],
    read: read_layout,
};

const SECTOR: u64 = 512;

/// An entry: state, type, first sector, sectors.
type Slot = (u8, u8, u64, u64);

fn slots(sector: &[u8]) -> Option<Vec<Slot>> {
    let table = read::slice(sector, 446, 64)?;
    let slot = |s: &[u8]| {
        Some((
            read::u8(s, 0)?,
            read::u8(s, 4)?,
            u64::from(read::le32(s, 8)?),
            u64::from(read::le32(s, 12)?),
        ))
    };
    let slots = table.chunks(16).map(slot).collect::<Option<Vec<_>>>()?;
    slots.iter().all(|(state, ..)| *state & 0x7F == 0).then_some(slots)
}

/// Whether the sector is the boot sector of a file system.
fn is_file_system(data: &[u8]) -> bool {
    let named = [(3, &b"NTFS"[..]), (3, b"EXFAT"), (54, b"FAT"), (82, b"FAT32"), (3, b"-FVE-FS-")];
    named.iter().any(|(at, name)| read::slice(data, *at, name.len()) == Some(name))
}

const fn is_extended(kind: u8) -> bool {
    matches!(kind, 0x05 | 0x0F | 0x85)
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let sector = data.get(..512)?;
    let iso = read::slice(data, 0x8001, 5) == Some(b"CD001");
    if sector.get(510..)? != [0x55, 0xAA] || is_file_system(data) || iso {
        return None;
    }
    let slots: Vec<_> = slots(sector)?.into_iter().enumerate().filter(|(_, s)| s.1 != 0).collect();
    let sectors = (data.len() as u64) / SECTOR;
    let sane = slots.iter().all(|(_, (_, kind, first, count))| {
        *first > 0
            && *count > 0
            && *first < sectors
            && *kind != 0xEE
            && first.checked_add(*count).is_some()
    });
    let mut extents: Vec<_> = slots.iter().map(|(_, s)| (s.2, s.2.saturating_add(s.3))).collect();
    extents.sort_unstable();
    let disjoint = extents.windows(2).all(|pair| matches!(pair, [a, b] if a.1 <= b.0));
    if slots.is_empty() || !sane || !disjoint {
        return None;
    }
    let end = extents.last()?.1.checked_mul(SECTOR)?;
    // A disk ends where its dump ends; the last partition may end before.
    let mut layout = Layout::new(data, end.max(data.len() as u64), Proof::LengthsConsistent);
    layout.structure(0, 512);
    layout.attribute("block-size", SECTOR);
    layout.attribute("disk-id", format!("{:08x}", read::le32(sector, 440)?));
    for (n, (state, kind, first, count)) in slots {
        let number = n.saturating_add(1);
        layout.attribute(
            &format!("partition-{number}"),
            format!("type {kind:#04x}{}", if state == 0x80 { ", active" } else { "" }),
        );
        if is_extended(kind) {
            logical(data, first, count, budget, &mut layout);
        } else {
            layout.part(
                data,
                format!("partition-{number}"),
                first.checked_mul(SECTOR)?,
                count.checked_mul(SECTOR)?,
            );
        }
    }
    Some(layout)
}

/// The chain of logical partitions: each link has its partition and the next link, which must lie further
/// on, so that the chain ends.
fn logical(data: &Bytes, first: u64, count: u64, budget: &Budget, layout: &mut Layout) {
    let mut link = first;
    for number in 5..133_u32 {
        let sector =
            read::index(link.saturating_mul(SECTOR)).and_then(|at| read::slice(data, at, 512));
        let Some(sector) =
            sector.filter(|s| s.ends_with(&[0x55, 0xAA]) && budget.work(512).is_ok())
        else {
            layout.problem(
                ProblemKind::Malformed,
                format!("the chain of logical partitions breaks at sector {link}"),
            );
            return;
        };
        layout.structure(read::index(link.saturating_mul(SECTOR)).unwrap_or(0), 512);
        let slots = slots(sector).unwrap_or_default();
        let (own, next) =
            (slots.first().copied().unwrap_or_default(), slots.get(1).copied().unwrap_or_default());
        if own.1 != 0 && own.3 != 0 {
            let start = link.saturating_add(own.2);
            layout.attribute(&format!("partition-{number}"), format!("type {:#04x}", own.1));
            layout.part(
                data,
                format!("partition-{number}"),
                start.saturating_mul(SECTOR),
                own.3.saturating_mul(SECTOR),
            );
        }
        let following = first.saturating_add(next.2);
        if next.1 == 0 || next.3 == 0 {
            return;
        }
        if following <= link || following >= first.saturating_add(count) {
            layout.problem(
                ProblemKind::Malformed,
                "the chain of logical partitions turns back or leaves the extended partition",
            );
            return;
        }
        link = following;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn what_sfdisk_makes_is_read() {
        let dir = scratch();
        let make = "truncate -s 8M d; printf 'label: dos\\nlabel-id: 0x12345678\\n1 : start=2048,size=2048,type=83,bootable\\n2 : start=4096,size=10240,type=5\\n3 : start=14336,size=100,type=da\\n5 : start=6144,size=1000,type=82\\n6 : start=10240,size=2000,type=c\\n' | sfdisk -q d; printf one | dd of=d bs=512 seek=2048 conv=notrunc 2>/dev/null; printf six | dd of=d bs=512 seek=10240 conv=notrunc 2>/dev/null; printf stray | dd of=d bs=512 seek=100 conv=notrunc 2>/dev/null";
        tool(dir.path(), "fdisk", make);
        let disk = std::fs::read(dir.path().join("d")).unwrap();
        let opened = open_whole(&FORMAT, &disk);
        assert_eq!(opened.attribute("disk-id"), "12345678");
        assert_eq!(opened.attribute("partition-1"), "type 0x83, active");
        assert_eq!(opened.files(), ["partition-1", "partition-5", "partition-6", "partition-3"]);
        assert_eq!(opened.content("partition-5").len(), 1000 * 512);
        assert!(opened.content("partition-6").starts_with(b"six"));
        assert_eq!(opened.content("unallocated-0x200")[99 * 512..][..5], *b"stray");
        let sum: u64 = opened.entries.iter().map(|e| e.blob.size()).sum();
        assert_eq!(sum + 3 * 512, disk.len() as u64, "every byte is somewhere");
        torture(&FORMAT, &disk[..5000 * 512]);
        assert!(!open(&FORMAT, &disk[..15000 * 512]).entries.is_empty());
    }

    #[test]
    fn boot_sectors_and_empty_tables_are_refused() {
        let mut sector = vec![0; 4096];
        sector[510..512].copy_from_slice(&[0x55, 0xAA]);
        assert!(open_at(&FORMAT, &sector, 0).is_none());
        sector[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0]);
        assert!(open_at(&FORMAT, &sector, 0).is_some());
        sector[54..57].copy_from_slice(b"FAT");
        assert!(open_at(&FORMAT, &sector, 0).is_none());
    }
}
