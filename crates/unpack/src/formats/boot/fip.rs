//! FIP: the firmware image package of Arm Trusted Firmware.
//!
//! Establishes: a table of contents (UUID, offset, size) that ends with a null UUID whose offset is the end
//! of the package. Certificates in it make its integrity class a signature.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        layout::{Layout, Reader},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "fip",
        name: "Arm firmware image package",
        family: Family::Boot,
        revision: 1,
        metadata: "UUID of each part",
        integrity: "offsets and sizes of the table; certificates reported, not verified",
        limits: "encrypted parts are entries as they are",
        sources: &["arm-trusted-firmware/include/tools_share/firmware_image_package.h"],
    },
    magics: &[Magic::anywhere(b"\x01\x00\x64\xAA")],
    read: read_layout,
};

/// First four bytes of the UUID, as stored, and what it is.
const PARTS: &[([u8; 4], &str)] = &[
    ([0x5F, 0xF9, 0xEC, 0x0B], "bl2"),
    ([0x97, 0xFD, 0x3D, 0x3D], "scp-bl2"),
    ([0x47, 0xD4, 0x08, 0x6D], "bl31"),
    ([0x05, 0xD0, 0xE1, 0x89], "bl32-tos"),
    ([0xD6, 0xD0, 0xEE, 0xA7], "bl33-nt"),
    ([0xD6, 0xE2, 0x69, 0xEA], "trusted-boot-cert"),
    ([0x82, 0x7E, 0xE8, 0x90], "trusted-key-cert"),
];

fn read_layout(data: &Bytes, _: &Budget) -> Option<Layout> {
    if read::le32(data, 0)? != 0xAA64_0001 {
        return None;
    }
    let mut parts = Vec::new();
    let mut at = 16_usize;
    let end = loop {
        let (uuid, entry) = (read::slice(data, at, 16)?, data.get(at.checked_add(16)?..)?);
        let (offset, size) = (read::le64(entry, 0)?, read::le64(entry, 8)?);
        at = at.checked_add(40)?;
        if uuid == [0; 16] {
            break offset;
        }
        if parts.len() >= 64 || offset < at as u64 || offset.checked_add(size)? > 1 << 30 {
            return None;
        }
        parts.push((uuid.to_vec(), offset, size));
    };
    let furthest = parts.iter().map(|(_, offset, size)| offset.saturating_add(*size)).max()?;
    if end < furthest || end > 1 << 30 {
        return None;
    }
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    layout.structure(0, at);
    layout.align(1 << 16);
    let mut certificates = false;
    for (n, (uuid, offset, size)) in parts.iter().enumerate() {
        let known = PARTS.iter().find(|(start, _)| uuid.starts_with(start)).map(|(_, name)| *name);
        let name = known.map_or_else(|| sums::hex(uuid), str::to_owned);
        let first = read::index(*offset).and_then(|at| data.get(at..at.checked_add(2)?));
        certificates |= first == Some(&[0x30, 0x82]) || name.ends_with("-cert");
        layout.part(data, format!("{n}-{name}"), *offset, *size);
    }
    layout.integrity(
        if certificates { "signature" } else { "none" },
        if certificates { "x509" } else { "" },
        None,
    );
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    #[test]
    fn parts_of_the_table() {
        let (a, b) = (noise(300, 14), noise(500, 15));
        let mut file = vec![1, 0, 0x64, 0xAA, 0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0, 0];
        for (uuid, offset, size) in [
            ([0x47_u8, 0xD4, 8, 0x6D], 136_u64, 300_u64),
            ([9, 9, 9, 9], 436, 500),
            ([0; 4], 936, 0),
        ] {
            file.extend(uuid);
            file.extend(if uuid == [0; 4] { [0; 12] } else { [7; 12] });
            file.extend([offset, size, 0].iter().flat_map(|w| w.to_le_bytes()));
        }
        file.extend(&a);
        file.extend(&b);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.content("0-bl31"), a);
        assert_eq!(opened.content("1-09090909070707070707070707070707"), b);
        torture(&FORMAT, &file);
        assert!(
            open_at(&FORMAT, &[1, 0, 0x64, 0xAA, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3], 0)
                .is_none()
        );
    }
}
