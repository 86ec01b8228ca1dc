//! Mach-O programs and their multi-architecture wrapper.
//!
//! Establishes: that the load commands fill exactly the size the header gives, and where the file ends: the
//! furthest segment, symbol table, string table or link-edit blob. A wrapper's slices are entries.
//!
//! False positives: the wrapper's magic is that of Java classes; a class has a version where the wrapper has
//! its count, and a wrapper must have slices that are Mach-O. Limits: code signatures are not read.

use bytes::Bytes;
use proofmark_model::Proof;

use super::elf;
use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::layout::{Layout, Reader},
    read::{self, Order},
};

const SOURCES: &[&str] = &["mach-o/loader.h, mach-o/fat.h of the Darwin sources"];

/// One architecture.
pub static THIN: Reader = Reader {
    about: &About {
        id: "macho",
        name: "Mach-O",
        family: Family::Executable,
        revision: 1,
        metadata: "machine, type",
        integrity: "load commands fill their declared size",
        limits: "code signature not read",
        sources: SOURCES,
    },
    magics: &[
        Magic::anywhere(b"\xFE\xED\xFA\xCE\0\0\0"),
        Magic::anywhere(b"\xFE\xED\xFA\xCF\x01\0\0"),
        Magic::anywhere(b"\xCE\xFA\xED\xFE"),
        Magic::anywhere(b"\xCF\xFA\xED\xFE"),
    ],
    read: thin,
};

/// Several architectures in one file.
pub static FAT: Reader = Reader {
    about: &About {
        id: "macho-fat",
        name: "Mach-O universal",
        family: Family::Executable,
        revision: 1,
        metadata: "machine of each slice",
        integrity: "each slice lies in the file and is Mach-O",
        limits: "",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(b"\xCA\xFE\xBA\xBE\0\0\0")],
    read: fat,
};

fn thin(data: &Bytes, _: &Budget) -> Option<Layout> {
    let (order, wide) = match data.get(..4)? {
        b"\xFE\xED\xFA\xCE" => (Order::Big, false),
        b"\xFE\xED\xFA\xCF" => (Order::Big, true),
        b"\xCE\xFA\xED\xFE" => (Order::Little, false),
        b"\xCF\xFA\xED\xFE" => (Order::Little, true),
        _ => return None,
    };
    let (kind, commands, size) = (order.u32(data, 12)?, order.u32(data, 16)?, order.u32(data, 20)?);
    let header = if wide { 32 } else { 28 };
    if !(1..=12).contains(&kind) || commands == 0 || commands > 4096 || size > 1 << 22 {
        return None;
    }
    let all = read::slice(data, header, read::index(size.into())?)?;
    let mut end = header.checked_add(all.len())? as u64;
    let mut rest = all;
    for _ in 0..commands {
        let (command, len) = (order.u32(rest, 0)?, read::index(order.u32(rest, 4)?.into())?);
        let body = rest.get(..len).filter(|_| len >= 8)?;
        let mut reach = |at: u64, len: u64| {
            end = end.max(at.checked_add(len)?);
            Some(())
        };
        let word = |at| order.u32(body, at).map(u64::from);
        match command & 0x7FFF_FFFF {
            1 => reach(word(32)?, word(36)?)?,
            0x19 => reach(order.u64(body, 40)?, order.u64(body, 48)?)?,
            2 => {
                let entry = if wide { 16 } else { 12 };
                reach(word(8)?, word(12)?.checked_mul(entry)?)?;
                reach(word(16)?, word(20)?)?;
            }
            0x1D | 0x1E | 0x26 | 0x29 | 0x2B | 0x2E | 0x33 | 0x34 => reach(word(8)?, word(12)?)?,
            _ => {}
        }
        rest = rest.get(len..)?;
    }
    if !rest.is_empty() {
        return None;
    }
    let mut layout = Layout::leaf(data, end, Proof::LengthsConsistent);
    layout.attribute("machine", machine(order.u32(data, 4)?));
    layout.attribute("class", if wide { "64" } else { "32" });
    Some(layout)
}

fn fat(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let count = read::be32(data, 4).filter(|n| (1..=32).contains(n))?;
    let mut slices = Vec::new();
    let mut end = 0_u64;
    for n in 0..read::index(count.into())? {
        let at = 8_usize.checked_add(n.checked_mul(20)?)?;
        let field = |k: usize| read::be32(data, at.checked_add(k)?);
        let (cpu, start, len) = (field(0)?, u64::from(field(8)?), u64::from(field(12)?));
        slices.push((cpu, start, len));
        end = end.max(start.checked_add(len)?);
    }
    let first = read::index(slices.first()?.1)?;
    thin(&data.slice(first.min(data.len())..), budget)?;
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    layout.structure(0, 8_usize.checked_add(slices.len().checked_mul(20)?)?);
    layout.align(1 << 16);
    for (n, (cpu, start, len)) in slices.into_iter().enumerate() {
        layout.part(data, format!("{n}-{}", machine(cpu)), start, len);
    }
    Some(layout)
}

fn machine(cpu: u32) -> String {
    match cpu {
        7 => elf::machine(3),
        0x0100_0007 => elf::machine(62),
        12 => elf::machine(40),
        0x0100_000C => elf::machine(183),
        18 => elf::machine(20),
        0x0100_0012 => elf::machine(21),
        other => format!("machine-{other:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_at, open_whole, torture};

    /// Our own construction: header, one segment, one symbol table.
    fn program() -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xFEED_FACF_u32, 0x0100_000C, 0, 2, 2, 72 + 24, 0, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0x19_u32, 72].iter().flat_map(|w| w.to_le_bytes()));
        file.extend(*b"__TEXT\0\0\0\0\0\0\0\0\0\0");
        file.extend([0_u64, 0x1000, 0, 0x200].iter().flat_map(|w| w.to_le_bytes()));
        file.extend([0_u32; 4].iter().flat_map(|w| w.to_le_bytes()));
        file.extend([2_u32, 24, 0x200, 2, 0x220, 9].iter().flat_map(|w| w.to_le_bytes()));
        file.resize(0x229, 0x90);
        file
    }

    #[test]
    fn load_commands_tell_the_end() {
        let file = program();
        let opened = open_whole(&THIN, &file);
        assert_eq!(opened.attribute("machine"), "aarch64");
        torture(&THIN, &file);
        let mut wrapped = vec![];
        for word in [0xCAFE_BABE_u32, 1, 0x0100_000C, 0, 64, 0x229, 6] {
            wrapped.extend(word.to_be_bytes());
        }
        wrapped.resize(64, 0);
        wrapped.extend(&file);
        let opened = open_whole(&FAT, &wrapped);
        assert_eq!(opened.content("0-aarch64"), file);
        torture(&FAT, &wrapped);
    }

    #[test]
    fn a_java_class_and_a_core_file_magic_are_refused() {
        assert!(
            open_at(
                &FAT,
                b"\xCA\xFE\xBA\xBE\0\0\0\x34\0\x1D\x0A\0\x06\0\x0F\x09\0\x10\0\x11\x08\0\x12",
                0
            )
            .is_none()
        );
        let mut bad = program();
        bad[20] ^= 8;
        assert!(open_at(&THIN, &bad, 0).is_none());
    }
}
