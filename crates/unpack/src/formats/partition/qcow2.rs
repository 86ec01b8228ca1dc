//! qcow2: QEMU's disk image, versions 2 and 3.
//!
//! Establishes: header, level-1 table and level-2 tables whose clusters lie in the file. The disk is the
//! entry `disk`. Clusters may be plain, zero, or compressed by deflate.
//!
//! Limits: backing files are named and not read; snapshots and clusters compressed by zstd are reported.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use super::blocks::{From, disk};
use crate::{
    budget::Budget,
    format::{About, Entry, Family, Magic},
    formats::layout::{self, Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "qcow2",
        name: "qcow2",
        family: Family::Partition,
        revision: 1,
        metadata: "cluster size, backing file, encryption",
        integrity: "tables and clusters lie in the file",
        limits: "backing files, snapshots, zstd clusters",
        sources: &["qemu/docs/interop/qcow2.txt"],
    },
    magics: &[Magic::anywhere(b"QFI\xFB\0\0\0\x02"), Magic::anywhere(b"QFI\xFB\0\0\0\x03")],
    read: read_layout,
};

/// Offsets in table entries: bits 9 to 55.
const OFFSET: u64 = 0x00FF_FFFF_FFFF_FE00;

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (word, long) = (|at| read::be32(data, at), |at| read::be64(data, at));
    let (version, bits, size) = (word(4)?, word(20)?, long(24)?);
    if data.get(..4)? != b"QFI\xFB" || !matches!(version, 2 | 3) || !(9..=21).contains(&bits) {
        return None;
    }
    let cluster = 1_u64.checked_shl(bits)?;
    let (l1_count, l1) = (word(36)?, long(40)?);
    let per_table = cluster / 8;
    let needed = size.div_ceil(cluster.checked_mul(per_table)?);
    if u64::from(l1_count) < needed || l1_count > 1 << 22 || !l1.is_multiple_of(cluster) {
        return None;
    }
    let zstd = version == 3 && long(72)? & 8 != 0;
    let mut end = l1.checked_add(u64::from(l1_count).checked_mul(8)?)?;
    let mut reach = |at: u64, len: u64| end = end.max(at.saturating_add(len));
    reach(long(48)?, u64::from(word(56)?).checked_mul(cluster)?);
    // Refcount blocks are the last things some writers put down.
    let (counts, blocks) = (long(48)?, u64::from(word(56)?).checked_mul(per_table)?);
    let used = |at: u64| read::index(at).and_then(|at| read::be64(data, at));
    for n in 0..blocks.min(1 << 20) {
        budget.work(8).ok()?;
        match used(counts.checked_add(n.checked_mul(8)?)?) {
            Some(0) => {}
            Some(block) => reach(block & OFFSET, cluster),
            None => break,
        }
    }
    let (mut pieces, mut packed_zstd, mut lost) = (Vec::new(), 0_u64, 0_u64);
    for n in 0..needed {
        budget.work(8).ok()?;
        let Some(entry) = used(l1.checked_add(n.checked_mul(8)?)?) else {
            lost = lost.saturating_add(1);
            break;
        };
        let table = entry & OFFSET;
        if table == 0 {
            continue;
        }
        reach(table, cluster);
        budget.work(cluster).ok()?;
        for m in 0..per_table {
            let place = n.checked_mul(per_table)?.checked_add(m)?.checked_mul(cluster)?;
            let len = cluster.min(size.saturating_sub(place));
            if len == 0 {
                break;
            }
            let Some(entry) = used(table.checked_add(m.checked_mul(8)?)?) else {
                lost = lost.saturating_add(1);
                break;
            };
            if entry >> 62 & 1 == 1 {
                let split = 62_u32.checked_sub(bits.checked_sub(8)?)?;
                let at = entry & 1_u64.checked_shl(split)?.checked_sub(1)?;
                let sectors = (entry & !(3 << 62)).checked_shr(split)?;
                let stored = sectors.checked_add(1)?.checked_mul(512)?.checked_sub(at & 511)?;
                reach(at & !511, sectors.checked_add(1)?.checked_mul(512)?);
                if zstd {
                    packed_zstd = packed_zstd.saturating_add(1);
                } else {
                    pieces.push((place, len, From::Deflate(at, stored)));
                }
            } else if entry & OFFSET != 0 && !(version == 3 && entry & 1 == 1) {
                reach(entry & OFFSET, cluster);
                pieces.push((place, len, From::At(entry & OFFSET)));
            }
        }
    }
    let declared = end.checked_next_multiple_of(cluster)?;
    // The last cluster need not be written out whole.
    let there = data.len() as u64;
    let cut = declared > there && declared.saturating_sub(there) < cluster;
    let declared = if cut { there } else { declared };
    let mut layout = Layout::new(data, declared, Proof::LengthsConsistent);
    layout.structure(0, layout.length);
    layout.attribute("block-size", cluster);
    layout.attribute("version", version);
    if packed_zstd > 0 {
        layout.problem(
            ProblemKind::Unsupported,
            format!("{packed_zstd} clusters are compressed by zstd; they are zeros here"),
        );
    }
    if lost > 0 {
        layout.problem(ProblemKind::Truncated, format!("{lost} tables lie behind the end"));
    }
    if word(32)? != 0 {
        layout.encrypted(format!(
            "the header names encryption method {}; no key was given",
            word(32)?
        ));
    }
    let (backing, len) = (read::index(long(8)?)?, read::index(word(16)?.into())?);
    if backing != 0 {
        let name = layout::text(data, backing, len.min(1024)).unwrap_or_default();
        layout.problem(
            ProblemKind::Incomplete,
            format!("the disk is a difference to {name}, which is not part of this file"),
        );
        layout.attribute("backing-file", name);
    }
    if word(60)? > 0 {
        layout.problem(ProblemKind::Unsupported, format!("{} snapshots are not read", word(60)?));
    }
    let region = data.slice(..layout.length);
    layout.entry(0..0, Entry::file("disk", disk(&region, size, pieces)));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, scratch, tool, torture};

    #[test]
    fn what_qemu_img_makes_is_read() {
        let dir = scratch();
        let mut image = noise(200_000, 21);
        image.resize(1_000_000, 0);
        image.extend(noise(70_000, 22));
        image.extend([7; 300_000]);
        image.resize(2 << 20, 0);
        std::fs::write(dir.path().join("raw"), &image).unwrap();
        for options in ["", "-c", "-o compat=0.10", "-o cluster_size=4096 -c"] {
            tool(
                dir.path(),
                "qemu-utils",
                &format!("qemu-img convert -O qcow2 {options} raw out.qcow2"),
            );
            let file = std::fs::read(dir.path().join("out.qcow2")).unwrap();
            let opened = open(&FORMAT, &file);
            assert_eq!(opened.problems, [], "{options}");
            assert_eq!(opened.candidate.length, file.len(), "{options}");
            assert_eq!(opened.content("disk"), image, "{options}");
        }
        let file = std::fs::read(dir.path().join("out.qcow2")).unwrap();
        torture(&FORMAT, &file);
        tool(dir.path(), "qemu-utils", "qemu-img create -q -f qcow2 -b raw -F raw diff.qcow2");
        let opened = open(&FORMAT, &std::fs::read(dir.path().join("diff.qcow2")).unwrap());
        assert_eq!(opened.problems[0].kind, ProblemKind::Incomplete);
    }

    #[test]
    fn a_header_that_contradicts_itself_is_refused() {
        let mut data = b"QFI\xFB\0\0\0\x02".to_vec();
        data.resize(4096, 0xFF);
        assert!(open_at(&FORMAT, &data, 0).is_none());
    }
}
