//! GPT: the partition table of UEFI, primary or backup.
//!
//! Establishes: header CRC, table CRC, extents inside the usable sectors. If the primary header or table is
//! damaged, the backup at the end is used and the damage is a problem. Sectors of 512 and 4096 bytes.
//!
//! False positives: none known: CRC over the header.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    formats::{
        layout::{Layout, name_or},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Gpt = Gpt;

/// A GUID partition table.
pub struct Gpt;

static ABOUT: About = About {
    id: "gpt",
    name: "GPT partition table",
    family: Family::Partition,
    revision: 1,
    metadata: "type GUID, name and attributes of each partition, disk GUID",
    integrity: "crc32 of header and table, primary or backup",
    limits: "",
    sources: &["UEFI Specification 2.10, section 5.3"],
};

const SIGNATURE: &[u8] = b"EFI PART\0\0\x01\0";

/// A header that verified, with its table.
struct Header {
    backup: u64,
    own: u64,
    disk: String,
    last: u64,
    table: u64,
    slots: Vec<(String, String, u64, u64, u64)>,
    table_right: bool,
    table_len: u64,
}

fn guid(bytes: &[u8], at: usize) -> Option<String> {
    let (a, b, c) = (
        read::le32(bytes, at)?,
        read::le16(bytes, at.checked_add(4)?)?,
        read::le16(bytes, at.checked_add(6)?)?,
    );
    let (d, e) = (
        read::be16(bytes, at.checked_add(8)?)?,
        sums::hex(read::slice(bytes, at.checked_add(10)?, 6)?),
    );
    Some(format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e}"))
}

/// The header at sector `lba` of a disk that begins at the start of `disk`.
fn header(disk: &[u8], lba: u64, sector: u64, budget: &Budget) -> Option<Header> {
    let header = disk.get(read::index(lba.checked_mul(sector)?)?..)?;
    let size = read::index(read::le32(header, 12)?.into()).filter(|n| (92..=512).contains(n))?;
    let pieces = [header.get(..16)?, &[0; 4], header.get(20..size)?];
    if header.get(..12)? != SIGNATURE
        || sums::crc32_of(pieces) != read::le32(header, 16)?
        || read::le64(header, 24)? != lba
    {
        return None;
    }
    let (count, each) = (u64::from(read::le32(header, 80)?), u64::from(read::le32(header, 84)?));
    if count > 1024 || !(128..=4096).contains(&each) {
        return None;
    }
    let (start, len) = (read::le64(header, 72)?, count.checked_mul(each)?);
    budget.work(len).ok()?;
    let table = read::index(start.checked_mul(sector)?).zip(read::index(len));
    let table = table.and_then(|(at, len)| read::slice(disk, at, len));
    let table_right = table.is_some_and(|t| Some(sums::crc32(t)) == read::le32(header, 88));
    let mut slots = Vec::new();
    for slot in table.unwrap_or_default().chunks(read::index(each)?) {
        if slot.get(..16)? == [0; 16] {
            continue;
        }
        let units = slot
            .get(56..128)?
            .as_chunks::<2>()
            .0
            .iter()
            .map(|u| u16::from_le_bytes(*u))
            .take_while(|u| *u != 0);
        let label: String = char::decode_utf16(units).map(|c| c.unwrap_or('_')).collect();
        slots.push((
            guid(slot, 0)?,
            label,
            read::le64(slot, 32)?,
            read::le64(slot, 40)?,
            read::le64(slot, 48)?,
        ));
    }
    Some(Header {
        backup: read::le64(header, 32)?,
        own: lba,
        disk: guid(header, 56)?,
        last: read::le64(header, 48)?,
        table: start,
        slots,
        table_right,
        table_len: len,
    })
}

/// The layout of a disk at the start of `disk`, sectors of `sector` bytes.
fn layout(disk: &Bytes, sector: u64, budget: &Budget) -> Option<Layout> {
    // A hybrid ISO has a GPT for boot loaders; the ISO is the image.
    if read::slice(disk, 0x8001, 5) == Some(b"CD001") {
        return None;
    }
    let primary = header(disk, 1, sector, budget);
    let backup_at = match &primary {
        Some(primary) => primary.backup,
        None => (disk.len() as u64).checked_div(sector)?.checked_sub(1)?,
    };
    let backup = (backup_at > 1).then(|| header(disk, backup_at, sector, budget)).flatten();
    let sound = |h: &&Header| h.table_right;
    let used = primary
        .as_ref()
        .filter(sound)
        .or(backup.as_ref().filter(sound))
        .or(primary.as_ref())
        .or(backup.as_ref())?;
    let last = used.backup.max(used.own).max(used.last);
    let mut layout =
        Layout::new(disk, last.checked_add(1)?.checked_mul(sector)?, Proof::ChecksumVerified);
    for (which, found) in [("primary", &primary), ("backup", &backup)] {
        match found {
            Some(header) => {
                layout.structure(
                    read::index(header.own.saturating_mul(sector))?,
                    read::index(sector)?,
                );
                layout.structure(
                    read::index(header.table.saturating_mul(sector))?,
                    read::index(header.table_len)?,
                );
                if !header.table_right {
                    layout.problem(
                        ProblemKind::Checksum,
                        format!("the crc32 of the {which} table does not match"),
                    );
                }
            }
            None => layout.problem(
                ProblemKind::Incomplete,
                format!("the {which} header is missing or damaged"),
            ),
        }
    }
    // The protective MBR, if it is one.
    if read::slice(disk, 510, 2) == Some(&[0x55, 0xAA]) {
        layout.structure(0, 512);
    }
    layout.attribute("block-size", sector);
    layout.attribute("disk-id", &used.disk);
    layout.attribute("checksum-correct", if used.table_right { "yes" } else { "no" });
    for (n, (kind, label, first, last, flags)) in used.slots.iter().enumerate() {
        let number = n.saturating_add(1);
        layout.attribute(
            &format!("partition-{number}"),
            format!("type {kind}, label {label:?}, flags {flags:#x}"),
        );
        let name = match name_or(label, "") {
            empty if empty.is_empty() => format!("partition-{number}"),
            label => format!("partition-{number}-{}", String::from_utf8_lossy(&label)),
        };
        let Some(count) = last.checked_sub(*first).and_then(|n| n.checked_add(1)) else {
            layout.problem(
                ProblemKind::Malformed,
                format!("partition {number} ends before it begins"),
            );
            continue;
        };
        layout.part(disk, name, first.saturating_mul(sector), count.saturating_mul(sector));
    }
    Some(layout)
}

impl Format for Gpt {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(SIGNATURE)];
        MAGICS
    }

    /// The header may be the primary or the backup one; its own sector number tells where the disk begins.
    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let lba = read::le64(data.get(at..)?, 24)?;
        [512_u64, 4096].into_iter().find_map(|sector| {
            let start = at.checked_sub(read::index(lba.checked_mul(sector)?)?)?;
            let layout = layout(&data.slice(start..), sector, budget)?;
            let (length, proof) = (layout.length, layout.proof);
            let mut candidate = Candidate::new(start, length, proof);
            candidate.problems = layout.into_problems();
            Some(candidate)
        })
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        if let Some(layout) =
            [512, 4096].into_iter().find_map(|sector| layout(region, sector, budget))
        {
            layout.emit(region, budget, sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_at, scratch, tool, torture};

    #[test]
    fn what_sgdisk_makes_is_read_from_either_header() {
        let dir = scratch();
        let make = "truncate -s 8M d; sgdisk -n 1:2048:4095 -c 1:boot -n 2:6144:8191 -c 2:'root fs' d >&2; printf BOOT | dd of=d bs=512 seek=2048 conv=notrunc 2>/dev/null";
        tool(dir.path(), "gdisk", make);
        let mut disk = std::fs::read(dir.path().join("d")).unwrap();
        let opened = open_at(&FORMAT, &disk, 512).unwrap();
        assert_eq!(opened.problems, []);
        assert_eq!((opened.candidate.start, opened.candidate.length), (0, disk.len()));
        assert_eq!(opened.files(), ["partition-1-boot", "partition-2-root_fs"]);
        assert!(opened.content("partition-1-boot").starts_with(b"BOOT"));
        assert_eq!(opened.content("partition-2-root_fs").len(), 2048 * 512);
        // Between the table and the first partition, between the two, and before the backup table.
        assert_eq!(opened.names().iter().filter(|n| n.starts_with("unallocated")).count(), 3);
        torture(&FORMAT, &disk[512..]);
        disk[1024 + 32] ^= 1;
        let opened = open_at(&FORMAT, &disk, 512).unwrap();
        assert_eq!(opened.problems[0].kind, ProblemKind::Checksum);
        assert_eq!(opened.files().len(), 2);
        assert_eq!(opened.attribute("checksum-correct"), "yes", "the backup was used");
        disk[520] ^= 1;
        let last = disk.len() - 512;
        let opened = open_at(&FORMAT, &disk, 512).unwrap();
        assert_eq!(opened.problems[0].kind, ProblemKind::Incomplete);
        let opened = open_at(&FORMAT, &disk, last).unwrap();
        assert_eq!((opened.candidate.start, opened.files().len()), (0, 2));
    }

    #[test]
    fn the_signature_alone_is_refused() {
        let mut data = vec![0; 4096];
        data[512..524].copy_from_slice(SIGNATURE);
        assert!(open_at(&FORMAT, &data, 512).is_none());
    }
}
