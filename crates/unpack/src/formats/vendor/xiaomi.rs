//! Xiaomi HDR1 and HDR2: up to eight blobs `BABE` at offsets of the header, and a signature behind them.
//!
//! Both have a CRC-32, not inverted at the end, from its own end on. HDR2 adds device and region as text.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::Magic,
    formats::{
        layout::{self, Layout, Reader, about, name_or},
        sums,
    },
    read,
};

/// HDR1.
pub static HDR1: Reader = Reader {
    about: about!(
        Vendor,
        "xiaomi-hdr1",
        "Xiaomi HDR1",
        "device, name of each blob",
        "crc32; signature reported, not verified",
        "",
        "OpenWrt firmware-utils, xiaomifw.c (layout)"
    ),
    magics: &[Magic::anywhere(b"HDR1")],
    read: |data, budget| {
        let device = read::le16(data, 14)?.to_string();
        hdr(data, budget, b"HDR1", 16, &[("device", device)])
    },
};

/// HDR2.
pub static HDR2: Reader = Reader {
    about: about!(
        Vendor,
        "xiaomi-hdr2",
        "Xiaomi HDR2",
        "device, region, name of each blob",
        "crc32; signature reported, not verified",
        "",
        "unblob, handlers/archive/xiaomi/hdr.py (layout)"
    ),
    magics: &[Magic::anywhere(b"HDR2")],
    read: |data, budget| {
        let facts =
            [("device", layout::text(data, 16, 8)?), ("region", layout::text(data, 24, 8)?)];
        hdr(data, budget, b"HDR2", 48, &facts)
    },
};

/// `table` is where the eight offsets stand, at the end of the header.
fn hdr(
    data: &Bytes,
    budget: &Budget,
    magic: &[u8; 4],
    table: usize,
    facts: &[(&str, String)],
) -> Option<Layout> {
    let header = table.checked_add(32)?;
    let signature = u64::from(read::le32(data, 4)?);
    if data.get(..4)? != magic || !(header as u64..=1 << 29).contains(&signature) {
        return None;
    }
    let mut parts = Vec::new();
    for n in 0..8_usize {
        let at = read::index(read::le32(data, n.checked_mul(4)?.checked_add(table)?)?.into())?;
        if at == 0 {
            continue;
        }
        let head = data.get(at..)?;
        if read::le32(head, 0)? != 0xBABE {
            return None;
        }
        parts.push((layout::text(head, 16, 32)?, at, read::le32(head, 8)?));
    }
    if parts.is_empty() {
        return None;
    }
    // Length of the signature, three reserved words, then the signature.
    let len = read::index(signature)
        .and_then(|at| read::le32(data, at))
        .filter(|len| *len <= 4096)
        .unwrap_or(0);
    let end = signature.checked_add(16)?.checked_add(len.into())?;
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    layout.structure(0, header);
    layout.structure(read::index(signature)?, 16);
    layout.align(16);
    budget.work(end).ok()?;
    let right = read::le32(data, 8)
        .zip(data.get(12..layout.length))
        .map(|(crc, body)| crc == !sums::crc32(body) || crc == sums::crc32(body));
    if right == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    facts.iter().for_each(|(key, value)| layout.attribute(key, value));
    layout.attribute("crc-correct", if right == Some(true) { "yes" } else { "unknown" });
    layout.integrity("signature", "rsa", None);
    for (n, (name, at, len)) in parts.into_iter().enumerate() {
        layout.structure(at, 48);
        let name = name_or(&name, &format!("blob-{n}"));
        layout.part(data, name, at.checked_add(48)? as u64, len.into());
    }
    layout.part(data, "signature", signature.checked_add(16)?, len.into());
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    fn build(magic: &[u8], header: usize, fields: &[u8]) -> Vec<u8> {
        let mut file =
            [magic, &words(&[u32::try_from(header).unwrap() + 48 + 500, 0]), fields].concat();
        file.extend(words(&[u32::try_from(header).unwrap()]));
        file.resize(header, 0);
        file.extend(words(&[0xBABE, 0, 500, 0]));
        file.extend(b"root.squashfs");
        file.resize(header + 48, 0);
        file.extend(noise(500, 73));
        file.extend(words(&[256, 0, 0, 0]));
        file.extend(noise(256, 74));
        let crc = !sums::crc32(&file[12..]);
        file[8..12].copy_from_slice(&crc.to_le_bytes());
        file
    }

    #[test]
    fn our_own_images_are_read_back() {
        let first = build(b"HDR1", 48, &words(&[0]));
        let second = build(
            b"HDR2",
            80,
            b"\0\0\0\0RA70\0\0\0\0EU\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        );
        for (format, file) in [(&HDR1, first), (&HDR2, second)] {
            let opened = open_whole(format, &file);
            assert_eq!(opened.content("root.squashfs"), noise(500, 73));
            assert_eq!(opened.attribute("crc-correct"), "yes");
            torture(format, &file);
            if format.about.id == "xiaomi-hdr2" {
                assert_eq!(
                    (opened.attribute("device"), opened.attribute("region")),
                    ("RA70", "EU")
                );
            }
        }
        assert!(open_at(&HDR1, &[b"HDR1 is a mark".as_slice(), &[0; 40]].concat(), 0).is_none());
    }
}
