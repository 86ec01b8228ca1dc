//! FIP: the firmware image package of Arm Trusted Firmware.
//!
//! Establishes: a table of contents (UUID, offset, size) that ends with a null UUID whose offset is the end
//! of the package. Certificates in it make its integrity class a signature. Parts that `encrypt_fw` sealed (AES-GCM) are
//! told by their header, and opened with a key.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    codec::aes::Aes,
    format::{About, Blob, Entry, Family, Magic},
    formats::{
        layout::{Layout, Reader, unseal},
        sums,
    },
    keys::{Key, Opened},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "fip",
        name: "Arm firmware image package",
        family: Family::Boot,
        revision: 2,
        metadata: "UUID of each part",
        integrity: "offsets and sizes of the table; certificates reported, not verified",
        limits: "encrypted parts need a key",
        sources: &[
            "arm-trusted-firmware/include/tools_share/firmware_image_package.h",
            "arm-trusted-firmware/include/tools_share/firmware_encrypted.h",
        ],
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

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
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
        let mut entry = Entry::file(format!("{n}-{name}"), Blob::None);
        let range = read::index(*offset).zip(offset.checked_add(*size).and_then(read::index));
        let body = range.and_then(|(from, to)| data.get(from..to)).unwrap_or_default();
        if is_sealed(body) {
            layout.attribute("encrypted", "yes");
            match unseal(budget, "fip", body, opened) {
                Ok((key, plain)) => {
                    layout.attribute("decrypted-with", key);
                    layout.attribute("key-verified", "yes");
                    entry.blob = Blob::Bytes(plain.bytes.into());
                    let (from, to) = range?;
                    layout.entry(from..to, entry);
                    continue;
                }
                Err(why) => entry.problems.push(Problem::new(
                    ProblemKind::Encrypted,
                    format!("the part has the header of AES-GCM encryption; {why}"),
                )),
            }
        }
        layout.part_with(data, entry, *offset, *size);
    }
    layout.integrity(
        if certificates { "signature" } else { "none" },
        if certificates { "x509" } else { "" },
        None,
    );
    Some(layout)
}

/// Bytes of the header of an encrypted part.
const SEALED: usize = 44;

/// Whether a part has that header: mark, AES-GCM, lengths of vector and tag.
fn is_sealed(part: &[u8]) -> bool {
    part.len() > SEALED
        && part.starts_with(b"\x01\x00\x64\xAA\0\0")
        && part.get(8..12) == Some(b"\x0C\0\x10\0")
}

fn opened(key: &Key, part: &[u8]) -> Option<Opened> {
    let (iv, tag) = (read::array(part, 12)?, read::array(part, 28)?);
    let bytes = Aes::new(key.key.as_ref()?)?.gcm(&iv, part.get(SEALED..)?, &tag)?;
    Some(Opened { bytes, verified: true })
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

    /// Test case 14 of the GCM specification as a part: a block of zeros under a key of zeros.
    #[test]
    fn sealed_parts_need_a_key() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len())
                .step_by(2)
                .map(|n| u8::from_str_radix(&text[n..n + 2], 16).unwrap())
                .collect()
        };
        let mut part = b"\x01\x00\x64\xAA\0\0\0\0\x0C\0\x10\0".to_vec();
        part.extend([0; 16]);
        part.extend(hex("d0d1c8a799996bf0265b98b5d48ab919"));
        part.extend(hex("cea7403d4d606b6e074ec5d3baf39d18"));
        let mut file = vec![1, 0, 0x64, 0xAA, 0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend([0xD6, 0xD0, 0xEE, 0xA7]);
        file.extend([7; 12]);
        file.extend([96_u64, 60, 0].iter().flat_map(|w| w.to_le_bytes()));
        file.extend([0; 16]);
        file.extend([156_u64, 0, 0].iter().flat_map(|w| w.to_le_bytes()));
        file.extend(&part);
        let opened = open_at(&FORMAT, &file, 0).unwrap();
        assert_eq!(opened.entries[0].problems[0].kind, ProblemKind::Encrypted);
        assert_eq!(opened.attribute("encrypted"), "yes");
        let key = Key {
            name: "zeros".into(),
            format: "fip".into(),
            key: Some(vec![0; 32]),
            iv: None,
            password: None,
            openssl: Default::default(),
        };
        let keys = std::sync::Arc::new(crate::keys::Keyring::new(vec![key]).unwrap());
        let budget = Budget::ample().with_keys(&keys);
        let layout = read_layout(&Bytes::from(file.clone()), &budget).unwrap();
        let mut sink = crate::format::Sink::new(&budget);
        layout.emit(&file.clone().into(), &budget, &mut sink);
        assert_eq!(sink.attributes["decrypted-with"], "zeros");
        assert_eq!(sink.entries[0].blob.load(&budget).bytes, vec![0; 16]);
        torture(&FORMAT, &file);
    }
}
