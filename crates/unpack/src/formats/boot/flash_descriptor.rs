//! Intel flash descriptor: the first 4 KiB of the SPI flash of a PC, with the table of its regions.
//!
//! Establishes: the signature at +16, and regions that do not overlap and begin at multiples of 4 KiB.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::layout::{Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "intel-flash-descriptor",
        name: "Intel flash descriptor",
        family: Family::Partition,
        revision: 1,
        metadata: "region names",
        integrity: "regions lie in the flash and do not overlap",
        limits: "access rights and straps are not reported",
        sources: &["Intel 8 Series PCH SPI programming guide", "coreboot/util/ifdtool"],
    },
    magics: &[Magic::anywhere(b"\x5A\xA5\xF0\x0F").after(16)],
    read: read_layout,
};

const NAMES: &[&str] = &[
    "descriptor",
    "bios",
    "me",
    "gbe",
    "pdr",
    "devexp",
    "bios2",
    "microcode",
    "ec",
    "devexp2",
    "ie",
    "10gbe0",
    "10gbe1",
    "reserved13",
    "reserved14",
    "ptt",
];

fn read_layout(data: &Bytes, _: &Budget) -> Option<Layout> {
    if read::slice(data, 16, 4)? != b"\x5A\xA5\xF0\x0F" {
        return None;
    }
    let base =
        read::index(u64::from(read::le32(data, 20)? >> 16 & 0xFF) << 4).filter(|at| *at >= 32)?;
    let table = data.get(base..base.checked_add(64)?)?;
    let mut regions = Vec::new();
    for (n, name) in NAMES.iter().enumerate() {
        let word = read::le32(table, n.checked_mul(4)?)?;
        let (start, last) =
            (u64::from(word & 0x7FFF) << 12, u64::from(word >> 16 & 0x7FFF) << 12 | 0xFFF);
        // Descriptors before 2015 have five regions and unrelated data behind them.
        if word == u32::MAX || word & 0x8000_8000 != 0 || n > 4 && word == 0 {
            break;
        }
        if last > start && start < data.len() as u64 {
            regions.push((start, last.saturating_add(1), *name));
        }
    }
    regions.sort_unstable();
    let disjoint = regions.windows(2).all(|pair| matches!(pair, [a, b] if a.1 <= b.0));
    let (first, last) = (regions.first()?, regions.last()?);
    if !disjoint || first.0 != 0 || first.2 != "descriptor" || regions.len() < 2 {
        return None;
    }
    let mut layout = Layout::new(data, last.1, Proof::LengthsConsistent);
    layout.structure(0, 4096);
    for (start, end, name) in regions.iter().skip(1) {
        layout.part(data, *name, *start, end.saturating_sub(*start));
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    #[test]
    fn regions_and_what_lies_between() {
        let mut flash = vec![0xFF; 0x10000];
        flash[16..20].copy_from_slice(&[0x5A, 0xA5, 0xF0, 0x0F]);
        flash[20..24].copy_from_slice(&0x0004_0003_u32.to_le_bytes());
        for (n, word) in [0_u32, 0x000F_0008, 0x0004_0001, 0x7FFF, 0x7FFF].iter().enumerate() {
            flash[0x40 + n * 4..0x44 + n * 4].copy_from_slice(&word.to_le_bytes());
        }
        flash[0x8000..].copy_from_slice(&noise(0x8000, 16));
        let opened = open_whole(&FORMAT, &flash);
        assert_eq!(opened.names(), ["me", "unallocated-0x5000", "bios"]);
        assert_eq!(opened.content("bios"), flash[0x8000..]);
        torture(&FORMAT, &flash);
        flash[0x44..0x48].copy_from_slice(&0x000F_0002_u32.to_le_bytes());
        assert!(open_at(&FORMAT, &flash, 0).is_none(), "regions that overlap");
    }
}
