//! Android's `super` partition: logical partitions by linear extents.
//!
//! Establishes: geometry and metadata SHA-256, tables of partitions and extents. A partition of one linear
//! extent is a slice; one of several is put together when asked for.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use super::blocks::{From, disk};
use crate::{
    budget::Budget,
    format::{About, Entry, Family, Magic},
    formats::{
        layout::{self, Layout, Reader, name_or},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "android-super",
        name: "Android super partition",
        family: Family::Partition,
        revision: 1,
        metadata: "partition names, slots",
        integrity: "sha256 of geometry and metadata",
        limits: "extents on other block devices",
        sources: &["AOSP system/core/fs_mgr/liblp/include/liblp/metadata_format.h"],
    },
    magics: &[Magic::anywhere(b"\x67\x44\x6C\x61\x34\0\0\0").after(4096)],
    read: read_layout,
};

/// Magic, size, SHA-256 with its own field 0.
fn verified(block: &[u8], digest_at: usize) -> Option<bool> {
    let mut zeroed = block.to_vec();
    let stored: [u8; 32] = read::array(block, digest_at)?;
    zeroed.get_mut(digest_at..digest_at.checked_add(32)?)?.fill(0);
    Some(sums::sha256(&zeroed) == stored)
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let geometry = read::slice(data, 4096, 52)?;
    if read::le32(geometry, 0)? != 0x616C_4467 || !verified(geometry, 8)? {
        return None;
    }
    let metadata = data.get(12288..)?;
    let (head, tables) = (
        read::index(read::le32(metadata, 8)?.into())?,
        read::index(read::le32(metadata, 44)?.into())?,
    );
    if read::le32(metadata, 0)? != 0x414C_5030 || !(128..=4096).contains(&head) || tables > 1 << 20
    {
        return None;
    }
    budget.work(tables as u64).ok()?;
    let right = verified(metadata.get(..head)?, 12)?;
    let tables = read::slice(metadata, head, tables)?;
    let right = right && sums::sha256(tables) == read::array(metadata, 48)?;
    let table = |at: usize| {
        let (offset, count, each) = (
            read::le32(metadata, at)?,
            read::le32(metadata, at.checked_add(4)?)?,
            read::le32(metadata, at.checked_add(8)?)?,
        );
        let (offset, each) = (
            read::index(offset.into())?,
            read::index(each.into()).filter(|n| (24..=1024).contains(n))?,
        );
        let rows: Vec<_> =
            tables.get(offset..)?.chunks_exact(each).take(read::index(count.into())?).collect();
        Some(rows)
    };
    let (partitions, extents, devices) = (table(80)?, table(92)?, table(116)?);
    // A device's size: after first sector, alignment and offset.
    let size = devices.first().and_then(|row| read::le64(row, 16))?;
    let mut layout = Layout::new(
        data,
        size,
        if right { Proof::ChecksumVerified } else { Proof::LengthsConsistent },
    );
    layout.structure(0, head.checked_add(tables.len())?.checked_add(12288)?);
    layout.attribute("checksum-correct", if right { "yes" } else { "no" });
    if !right {
        layout.problem(ProblemKind::Checksum, "the sha256 of the metadata does not match");
    }
    for row in partitions {
        let label = layout::text(row, 0, 36)?;
        let (first, count) =
            (read::index(read::le32(row, 40)?.into())?, read::index(read::le32(row, 44)?.into())?);
        let (mut pieces, mut place) = (Vec::new(), 0_u64);
        for extent in extents.iter().skip(first).take(count) {
            let len = read::le64(extent, 0)?.checked_mul(512)?;
            if read::le32(extent, 8)? == 0 {
                let at = read::le64(extent, 12)?.checked_mul(512)?;
                layout.structure(read::index(at)?, read::index(len)?);
                pieces.push((place, len, From::At(at)));
            }
            place = place.checked_add(len)?;
        }
        let name = name_or(&label, "partition");
        match pieces[..] {
            [(0, len, From::At(at))] if len == place => layout.part(data, name, at, len),
            [] if place == 0 => {}
            _ => layout.entry(0..0, Entry::file(name, disk(data, place, pieces))),
        }
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn words(bytes: &mut Vec<u8>, words: &[u32]) {
        bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    }

    /// Our own construction: two partitions, the second of two extents.
    fn build() -> Vec<u8> {
        let mut geometry = Vec::new();
        words(&mut geometry, &[0x616C_4467, 52]);
        geometry.extend([0; 32]);
        words(&mut geometry, &[65536, 1, 4096]);
        let digest = sums::sha256(&geometry);
        geometry[8..40].copy_from_slice(&digest);
        let mut tables = Vec::new();
        for (name, first, count) in [("system_a", 0, 1), ("vendor_a", 1, 2)] {
            let mut row = name.as_bytes().to_vec();
            row.resize(36, 0);
            words(&mut row, &[1, first, count, 0]);
            tables.extend(row);
        }
        for (count, at) in [(16_u32, 256_u32), (8, 280), (8, 300)] {
            words(&mut tables, &[count, 0, 0, at, 0, 0]);
        }
        words(&mut tables, &[256, 0, 0, 0, 512 * 310, 0]);
        tables.extend([0; 40]);
        let mut head = Vec::new();
        words(&mut head, &[0x414C_5030, 0x0002_000A, 128]);
        head.extend([0; 32]);
        words(&mut head, &[u32::try_from(tables.len()).unwrap()]);
        head.extend(sums::sha256(&tables));
        words(&mut head, &[0, 2, 52, 104, 3, 24, 0, 0, 48, 176, 1, 64]);
        let digest = sums::sha256(&head);
        head[12..44].copy_from_slice(&digest);
        let mut image = vec![0; 4096];
        image.extend(geometry);
        image.resize(12288, 0);
        image.extend(head);
        image.extend(tables);
        image.resize(512 * 256, 0);
        image.extend(noise(512 * 54, 23));
        image
    }

    #[test]
    fn partitions_of_one_and_two_extents() {
        let mut image = build();
        let opened = open_whole(&FORMAT, &image);
        assert_eq!(opened.content("system_a"), image[512 * 256..512 * 272]);
        let vendor = [&image[512 * 280..512 * 288], &image[512 * 300..512 * 308]].concat();
        assert_eq!(opened.content("vendor_a"), vendor);
        torture(&FORMAT, &image[..20_000]);
        image[12288 + 130] ^= 1;
        assert_eq!(open(&FORMAT, &image).attribute("checksum-correct"), "no");
        image[4100] ^= 1;
        assert!(open_at(&FORMAT, &image, 0).is_none());
    }
}
