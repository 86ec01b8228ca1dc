//! TP-Link: the 512-byte header of versions 1 to 3, and SafeLoader images.
//!
//! Header: version, texts, offsets and lengths of boot loader, kernel and root file system, and an MD5 over
//! the whole file with a fixed salt in the digest's place. The salts (with and without boot loader) are part
//! of the format. Establishes: version, text, extents, digest.
//! SafeLoader: size, salted MD5, vendor text, and at 0x1014 a text table of partitions.
//! The digests have no key, so their class is `hash`.

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

/// Headers 1 to 3.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "tplink",
        name: "TP-Link firmware header",
        family: Family::Vendor,
        revision: 1,
        metadata: "vendor text, version, hardware id and revision",
        integrity: "salted md5",
        limits: "the second header version's RSA signature of later boot loaders is not verified",
        sources: &["OpenWrt firmware-utils, mktplinkfw.c, mktplinkfw2.c (layout)"],
    },
    magics: &[
        Magic::anywhere(b"\x01\0\0\0TP-LINK Technologies"),
        Magic::anywhere(b"\x01\0\0\0OpenWrt\0\0"),
        Magic::anywhere(b"\x02\0\0\0TP-LINK Technologies"),
        Magic::anywhere(b"\x03\0\0\0TP-LINK Technologies"),
        Magic::anywhere(b"\x02\0\0\0ver. 2.0"),
        Magic::anywhere(b"\x03\0\0\0ver. 2.0"),
    ],
    read: header,
};

/// SafeLoader images.
pub static SAFELOADER: Reader = Reader {
    about: &About {
        id: "tplink-safeloader",
        name: "TP-Link SafeLoader",
        family: Family::Vendor,
        revision: 1,
        metadata: "vendor text, partition table",
        integrity: "salted md5",
        limits: "RSA signatures of cloud images are not verified",
        sources: &["OpenWrt firmware-utils, tplink-safeloader.c (layout)"],
    },
    magics: &[Magic::anywhere(b"fwup-ptn ").after(0x1014)],
    read: safeloader,
};

const HEADER: usize = 0x200;
/// With boot loader, without, and of SafeLoader images.
const SALTS: [[u8; 16]; 3] = [
    [
        0x8C, 0xEF, 0x33, 0x5B, 0xD5, 0xC5, 0xCE, 0xFA, 0xA7, 0x9C, 0x28, 0xDA, 0xB2, 0xE9, 0x0F,
        0x42,
    ],
    [
        0xDC, 0xD7, 0x3A, 0xA5, 0xC3, 0x95, 0x98, 0xFB, 0xDD, 0xF9, 0xE7, 0xF4, 0x0E, 0xAE, 0x47,
        0x38,
    ],
    [
        0x7A, 0x2B, 0x15, 0xED, 0x9B, 0x98, 0x59, 0x6D, 0xE5, 0x04, 0xAB, 0x44, 0xAC, 0x2A, 0x9F,
        0x4E,
    ],
];

/// Whether one of the salts gives the digest at `at`.
fn digest_right(data: &[u8], at: usize) -> Option<bool> {
    let stored = read::slice(data, at, 16)?;
    let (before, after) = (data.get(..at)?, data.get(at.checked_add(16)?..)?);
    Some(SALTS.iter().any(|salt| sums::md5_of([before, salt, after]) == stored))
}

fn header(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let head = data.get(..HEADER)?;
    let version = read::le32(head, 0).filter(|v| (1..=3).contains(v))?;
    let word = |at| read::be32(head, at).map(u64::from);
    // Digest, hardware id, revision; then offset and length of kernel, root file system, boot loader.
    let (digest, id, length, extents) = if version == 1 {
        (0x4C, 0x40, word(0x7C)?, [(0x80, 0x84), (0x88, 0x8C), (0x90, 0x94)])
    } else {
        (0x40, 0x34, word(0x64)?, [(0x68, 0x6C), (0x70, 0x74), (0x78, 0x7C)])
    };
    let mut parts = Vec::new();
    let mut end = HEADER as u64;
    for (name, (offset, len)) in ["kernel", "rootfs", "bootloader"].into_iter().zip(extents) {
        let (offset, len) = (word(offset)?, word(len)?);
        if len > 0 {
            parts.push((name, offset, len));
            end = end.max(offset.checked_add(len)?);
        }
    }
    let declared = if length >= HEADER as u64 && length >= end { length } else { end };
    if parts.is_empty() || declared > 1 << 28 {
        return None;
    }
    let mut layout = Layout::new(data, declared, Proof::LengthsConsistent);
    layout.structure(0, HEADER);
    layout.align(1 << 17);
    layout.attribute("name", layout::text(head, 4, if version == 1 { 24 } else { 48 })?);
    if version == 1 {
        layout.attribute("version", layout::text(head, 0x1C, 36)?);
    }
    layout.attribute("header-version", version);
    layout.attribute("hardware-id", format!("{:#010x}", word(id)?));
    layout.attribute("hardware-revision", word(id.checked_add(4)?)?);
    let whole = (layout.length as u64 == declared
        && budget.work(declared.saturating_mul(3)).is_ok())
    .then(|| digest_right(data.get(..layout.length)?, digest))
    .flatten();
    if whole == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.integrity("hash", "md5", whole);
    for (name, offset, len) in parts {
        layout.part(data, name, offset, len);
    }
    Some(layout)
}

fn safeloader(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const TABLE: usize = 0x1014;
    let size = u64::from(read::be32(data, 0)?);
    let table = data.get(TABLE..TABLE.checked_add(0x800)?)?;
    let text = std::str::from_utf8(read::until_nul(table)).ok()?;
    let mut parts = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (Some("fwup-ptn"), Some(name), Some("base"), Some(base), Some("size"), Some(len)) =
            (words.next(), words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return None;
        };
        let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        // Bases count from the end of the table's 0x800 bytes.
        parts.push((name, number(base)?.checked_add(0x1814)?, number(len)?));
    }
    let end = parts.iter().map(|(_, start, len)| start.saturating_add(*len)).max()?;
    let declared = if size >= end { size } else { end };
    if parts.len() > 64 || size > 1 << 30 {
        return None;
    }
    let mut layout = Layout::new(data, declared, Proof::LengthsConsistent);
    layout.structure(0, 0x1814);
    layout.align(16);
    let vendor = usize::try_from(read::be32(data, 0x14)?).ok().filter(|n| *n <= 0xFFC).unwrap_or(0);
    layout.attribute("name", layout::text(data, 0x18, vendor)?);
    let right = (layout.length as u64 == declared && budget.work(declared).is_ok())
        .then(|| {
            let body = data.get(0x14..layout.length)?;
            Some(
                SALTS
                    .iter()
                    .any(|salt| Some(&sums::md5_of([&salt[..], body])[..]) == data.get(4..0x14)),
            )
        })
        .flatten();
    if right == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    // Cloud images keep the field but sign; a digest that no known salt gives is not known to be wrong.
    layout.integrity("hash", "md5", right.filter(|right| *right));
    for (name, start, len) in parts {
        layout.part(data, name_or(name, "partition"), start, len);
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn build(version: u32, kernel: &[u8], root: &[u8]) -> Vec<u8> {
        let mut file = version.to_le_bytes().to_vec();
        file.extend(b"TP-LINK Technologies");
        file.resize(0x200, 0);
        let total = u32::try_from(0x200 + kernel.len() + root.len()).unwrap();
        let (digest, first) = if version == 1 { (0x4C, 0x7C) } else { (0x40, 0x64) };
        let (k, r) = (u32::try_from(kernel.len()).unwrap(), u32::try_from(root.len()).unwrap());
        for (n, word) in [total, 0x200, k, 0x200 + k, r].iter().enumerate() {
            file[first + n * 4..first + n * 4 + 4].copy_from_slice(&word.to_be_bytes());
        }
        file[digest..digest + 16].copy_from_slice(&SALTS[1]);
        file.extend(kernel);
        file.extend(root);
        let md5 = sums::md5(&file);
        file[digest..digest + 16].copy_from_slice(&md5);
        file
    }

    #[test]
    fn our_own_headers_are_read_back() {
        let (kernel, root) = (noise(1000, 42), noise(2000, 43));
        for version in [1, 2, 3] {
            let mut file = build(version, &kernel, &root);
            let opened = open_whole(&FORMAT, &file);
            assert_eq!(
                (opened.content("kernel"), opened.content("rootfs")),
                (kernel.clone().into(), root.clone().into())
            );
            assert_eq!(opened.attribute("integrity-correct"), "yes");
            torture(&FORMAT, &file);
            file[1500] ^= 1;
            assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
        }
        let text = [b"\x01\0\0\0TP-LINK Technologies".as_slice(), &[0; 600]].concat();
        assert!(open_at(&FORMAT, &text, 0).is_none());
    }

    #[test]
    fn our_own_safeloader_image_is_read_back() {
        let system = noise(3000, 44);
        let mut body = 20_u32.to_be_bytes().to_vec();
        body.extend(b"fw-type:Cloud\nspt\0\0");
        body.resize(0x1000, 0xFF);
        body.extend(b"fwup-ptn os-image base 0x00800 size 0x00bb8\t\r\n\0");
        body.resize(0x1800 + 0x800, 0xFF);
        body.extend(&system);
        let mut file = u32::try_from(body.len() + 0x14).unwrap().to_be_bytes().to_vec();
        file.extend(sums::md5_of([&SALTS[2][..], &body]));
        file.extend(&body);
        let opened = open_whole(&SAFELOADER, &file);
        assert_eq!(opened.content("os-image"), system);
        assert_eq!(opened.attribute("integrity-correct"), "yes");
        torture(&SAFELOADER, &file);
        file[0x1014 + 9] = b'\n';
        assert!(open_at(&SAFELOADER, &file, 0).is_none());
    }
}
