//! Broadcom: the 963xx image tag of CFE boot loaders, the CFE loader itself, and ProgramStore of cable modems.
//!
//! The tag is 256 bytes of text with CRCs that start all ones and are not inverted at the end. Addresses are
//! those in flash; the order of the parts in the file is that of their addresses.
//! ProgramStore has no magic; known signatures are tried at the start of a content, and the header sum
//! (CRC-16/CCITT) or the body's CRC decides.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        layout::{self, Layout, Reader, name_or},
        sums,
    },
    read,
};

/// The image tag.
pub static TAG: Reader = Reader {
    about: &About {
        id: "broadcom-tag",
        name: "Broadcom 963xx image tag",
        family: Family::Vendor,
        revision: 1,
        metadata: "board, chip, tag version, addresses",
        integrity: "crc32 of tag and image",
        limits: "vendor dialects that move fields are read only where the lengths are still decimal text",
        sources: &["OpenWrt firmware-utils, bcm_tag.h (layout)"],
    },
    magics: &[
        Magic::anywhere(b"Broadcom Corporatio").after(4),
        Magic::anywhere(b"AAAAAAAA Corporatio").after(4),
    ],
    read: tag,
};

/// The boot loader.
pub static CFE: Reader = Reader {
    about: &About {
        id: "broadcom-cfe",
        name: "Broadcom CFE boot loader",
        family: Family::Leaf,
        revision: 2,
        metadata: "board, boot line, MAC addresses of the NVRAM block",
        integrity: "crc32 of the NVRAM block",
        limits: "without an NVRAM block the loader's end is not known; the region is its first 36 bytes",
        sources: &["binwalk, signatures/cfe.rs", "linux/include/linux/bcm963xx_nvram.h"],
    },
    magics: &[Magic::anywhere(b"CFE1CFE1").after(28)],
    read: cfe,
};

/// Cable modem images.
pub static PROGRAM_STORE: Reader = Reader {
    about: &About {
        id: "broadcom-programstore",
        name: "Broadcom ProgramStore",
        family: Family::Vendor,
        revision: 1,
        metadata: "signature, revision, build time, file name, load address",
        integrity: "crc16 of the header, crc32 of the body",
        limits: "signatures that are not in the list are not recognised; the CVC signature is outside",
        sources: &["OpenWrt firmware-utils, bcmalgo.h (layout)"],
    },
    magics: &[
        Magic::start(b"\xD0\x6E\x00"),
        Magic::start(b"\x33\x49\x00"),
        Magic::start(b"\x33\x80\x00"),
        Magic::start(b"\x33\x83\x00"),
        Magic::start(b"\x33\x84\x00"),
        Magic::start(b"\xA8\x25\x00"),
        Magic::start(b"\xC2\x00\x00"),
    ],
    read: program_store,
};

/// Broadcom's CRC: the usual one without the final inversion.
fn crc(data: &[u8]) -> u32 {
    !sums::crc32(data)
}

/// The block of settings in the loader of 963xx chips: its length, where its CRC is right.
fn nvram(data: &[u8]) -> Option<usize> {
    let version = read::be32(data, NVRAM)?;
    let length = if version < 5 { 300 } else { 1024 };
    let block = read::slice(data, NVRAM, length)?;
    let (body, stored) = block.split_last_chunk::<4>()?;
    let right = !sums::crc32_of([body, &[0; 4]]) == u32::from_be_bytes(*stored);
    ((1..=16).contains(&version) && right).then_some(length)
}

/// Where the settings stand in the loader.
const NVRAM: usize = 0x580;

/// The loader reaches to the first image tag behind it, at a multiple of 4 KiB within the first MiB.
fn cfe(data: &Bytes, _: &Budget) -> Option<Layout> {
    if read::slice(data, 28, 8)? != b"CFE1CFE1" {
        return None;
    }
    let Some(settings) = nvram(data) else { return Some(Layout::leaf(data, 36, Proof::MagicOnly)) };
    let is_tag = |at: &usize| {
        let names = [&b"Broadcom Corporatio"[..], b"AAAAAAAA Corporatio"];
        let text = data.get(at.saturating_add(4)..).unwrap_or_default();
        names.iter().any(|name| text.starts_with(name))
    };
    let end = (0x1000..data.len().min(1 << 20)).step_by(0x1000).find(is_tag);
    let end = end.unwrap_or_else(|| NVRAM.saturating_add(settings));
    let mut layout = Layout::leaf(data, end as u64, Proof::ChecksumVerified);
    layout.attribute("boot-line", layout::text(data, NVRAM.checked_add(4)?, 256)?);
    layout.attribute("board", layout::text(data, NVRAM.checked_add(260)?, 16)?);
    let mac = read::slice(data, NVRAM.checked_add(288)?, 6)?;
    layout.attribute("mac", mac.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"));
    layout.integrity("crc", "crc32", Some(true));
    Some(layout)
}

fn tag(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let head = data.get(..256)?;
    let number = |at: usize, len: usize| layout::text(head, at, len)?.parse::<u64>().ok();
    let total = number(62, 10)?;
    let mut parts = Vec::new();
    for (name, address, len) in [("cfe", 72, 84), ("rootfs", 94, 106), ("kernel", 116, 128)] {
        let len = number(len, 10).unwrap_or(0);
        if len > 0 {
            parts.push((number(address, 12)?, len, name));
        }
    }
    parts.sort_unstable();
    let first = parts.first()?.0;
    let header_right = Some(crc(head.get(..236)?)) == read::be32(head, 236);
    if total == 0 || total > 1 << 29 {
        return None;
    }
    let mut layout = Layout::new(
        data,
        total.checked_add(256)?,
        if header_right { Proof::ChecksumVerified } else { Proof::LengthsConsistent },
    );
    layout.structure(0, 256);
    layout.align(1 << 17);
    for (key, at, len) in [("version", 0, 4), ("chip", 38, 6), ("board", 44, 16)] {
        layout.attribute(key, layout::text(head, at, len)?);
    }
    layout
        .attribute("byte-order", if layout::text(head, 60, 2)? == "1" { "big" } else { "little" });
    let body = data.get(256..layout.length)?;
    let right = (body.len() as u64 == total && budget.work(total).is_ok())
        .then(|| header_right && Some(crc(body)) == read::be32(head, 216));
    // Dialects put other sums there.
    layout.integrity(
        "crc",
        "crc32",
        if header_right { right } else { right.filter(|right| *right) },
    );
    let mut at = 256_u64;
    for (n, (address, len, name)) in parts.iter().enumerate() {
        // By address where that fits into the file, else one after the other.
        let by_address = address.checked_sub(first)?.checked_add(256)?;
        let place = if by_address >= at && by_address.saturating_add(*len) <= layout.length as u64
            || n == 0
        {
            by_address
        } else {
            at
        };
        layout.part(data, *name, place, *len);
        at = place.checked_add(*len)?;
    }
    Some(layout)
}

fn program_store(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let head = data.get(..92)?;
    let size = u64::from(read::be32(head, 12)?);
    let name = head.get(20..84)?;
    if !layout::is_text_field(name) || name.first() == Some(&0) || size == 0 || size > 1 << 28 {
        return None;
    }
    let hcs = read::be16(head, 84)?;
    let sum = sums::crc16(head.get(..84)?, 0x1021, 0xFFFF);
    let header_right = hcs == sum || hcs == !sum;
    let mut layout = Layout::new(
        data,
        size.checked_add(92)?,
        if header_right { Proof::ChecksumVerified } else { Proof::LengthsConsistent },
    );
    let body = data.get(92..layout.length)?;
    let right = (body.len() as u64 == size && budget.work(size).is_ok()).then(|| {
        let stored = read::be32(head, 88);
        Some(sums::crc32(body)) == stored || Some(crc(body)) == stored
    });
    if !header_right && right != Some(true) {
        return None;
    }
    layout.structure(0, 92);
    let name = layout::text(head, 20, 64)?;
    layout.attribute("signature", format!("{:#06x}", read::be16(head, 0)?));
    let compression = match read::be16(head, 2)? & 7 {
        0 => "none",
        1 => "lz",
        2 => "mini-lzo",
        4 => "nrv2d99",
        5 => "lzma",
        _ => "unknown",
    };
    layout.attribute("compression", compression);
    layout.attribute("version", format!("{}.{}", read::be16(head, 4)?, read::be16(head, 6)?));
    layout.attribute("created", read::be32(head, 8)?);
    layout.attribute("load-address", format!("{:#x}", read::be32(head, 16)?));
    layout.attribute("name", &name);
    layout.integrity("crc", "crc32", right);
    layout.part(data, name_or(&name, "program"), 92, size);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn put(file: &mut [u8], at: usize, text: &[u8]) {
        file[at..at + text.len()].copy_from_slice(text);
    }

    #[test]
    fn our_own_tag_is_read_back() {
        let (root, kernel) = (noise(2000, 61), noise(1000, 62));
        let mut file = vec![0; 256];
        put(&mut file, 0, b"6");
        put(&mut file, 4, b"Broadcom Corporation");
        put(&mut file, 38, b"6348");
        put(&mut file, 44, b"96348GW-10");
        put(&mut file, 60, b"1");
        for (at, text) in [
            (62, "3000"),
            (72, "0"),
            (84, "0"),
            (94, "3217096960"),
            (106, "2000"),
            (116, "3217098960"),
            (128, "1000"),
        ] {
            put(&mut file, at, text.as_bytes());
        }
        let body = [root.clone(), kernel.clone()].concat();
        put(&mut file, 216, &crc(&body).to_be_bytes());
        let sum = crc(&file[..236]);
        put(&mut file, 236, &sum.to_be_bytes());
        file.extend(body);
        let opened = open_whole(&TAG, &file);
        assert_eq!(
            (opened.content("rootfs"), opened.content("kernel")),
            (root.into(), kernel.into())
        );
        assert_eq!(
            (opened.attribute("board"), opened.attribute("integrity-correct")),
            ("96348GW-10", "yes")
        );
        torture(&TAG, &file);
        file[999] ^= 1;
        assert_eq!(open(&TAG, &file).attribute("integrity-correct"), "no");
        assert!(
            open_at(&TAG, &[b"6\0\0\0Broadcom Corporation".as_slice(), &[b'x'; 300]].concat(), 0)
                .is_none()
        );
    }

    #[test]
    fn our_own_program_store_is_read_back() {
        let body = noise(1500, 63);
        let mut file = vec![0xD0, 0x6E, 0, 5, 0, 3, 0, 255];
        for word in [1_400_000_000_u32, 1500, 0x8000_4000] {
            file.extend(word.to_be_bytes());
        }
        file.extend(b"fast3686.bin");
        file.resize(84, 0);
        let sum = !sums::crc16(&file, 0x1021, 0xFFFF);
        file.extend(sum.to_be_bytes());
        file.extend([0; 2]);
        file.extend(sums::crc32(&body).to_be_bytes());
        file.extend(&body);
        let opened = open_whole(&PROGRAM_STORE, &file);
        assert_eq!(opened.content("fast3686.bin"), body);
        assert_eq!(opened.attribute("compression"), "lzma");
        torture(&PROGRAM_STORE, &file);
        file[30] ^= 1;
        file[200] ^= 1;
        assert!(open_at(&PROGRAM_STORE, &file, 0).is_none());
        let loader = [vec![0; 28], b"CFE1CFE1 more".to_vec()].concat();
        assert_eq!(open(&CFE, &loader).candidate.length, 36);
        torture(&CFE, &loader);
        assert!(open_at(&CFE, &[0; 64], 0).is_none());
    }

    #[test]
    fn a_loader_with_its_settings_reaches_to_the_first_image() {
        for version in [4_u32, 5] {
            let length = if version == 4 { 300 } else { 1024 };
            let mut flash = noise(0x10000, 12);
            flash[28..36].copy_from_slice(b"CFE1CFE1");
            let mut block = version.to_be_bytes().to_vec();
            block.extend(b"e=192.168.1.1:ffffff00");
            block.resize(260, 0);
            block.extend(b"96368MVWG");
            block.resize(288, 0);
            block.extend([0x00, 0x10, 0x18, 1, 2, 3]);
            block.resize(length, 0);
            let sum = crc(&block);
            block[length - 4..].copy_from_slice(&sum.to_be_bytes());
            flash[NVRAM..NVRAM + length].copy_from_slice(&block);
            flash.extend(b"6\0\0\0Broadcom Corporation and more of a tag");
            let opened = open(&CFE, &flash);
            assert_eq!(opened.candidate.length, 0x10000);
            assert_eq!(
                (opened.attribute("board"), opened.attribute("mac")),
                ("96368MVWG", "00:10:18:01:02:03")
            );
            flash[NVRAM + 20] ^= 1;
            assert_eq!(open(&CFE, &flash).candidate.length, 36);
        }
    }
}
