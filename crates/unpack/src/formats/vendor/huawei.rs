//! Huawei: `HWNP` packages of access equipment, and `UPDATE.APP`.
//!
//! HWNP mixes byte orders between models, so both readings of a checksum count; the one that verifies decides.
//! Establishes: header CRC, whole CRC, item CRCs, paths, sections. `UPDATE.APP` is a row of blocks, each with
//! CRC-16 sums of its 4 KiB pieces. A signature item (`signinfo`) makes the class `signature`; it is not verified.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Entry, Family, Magic},
    formats::{
        layout::{self, Layout, Reader, name_or},
        sums,
    },
    read,
};

/// `HWNP`.
pub static HWNP: Reader = Reader {
    about: &About {
        id: "huawei-hwnp",
        name: "Huawei HWNP",
        family: Family::Vendor,
        revision: 1,
        metadata: "products, path, section and version of each item",
        integrity: "crc32 of header, package and items; signature item reported, not verified",
        limits: "encrypted packages are not decrypted",
        sources: &["HuaweiFirmwareTool, huawei_header.h (layout)"],
    },
    magics: &[Magic::anywhere(b"HWNP")],
    read: hwnp,
};

/// `UPDATE.APP`.
pub static UPDATE_APP: Reader = Reader {
    about: &About {
        id: "huawei-update-app",
        name: "Huawei UPDATE.APP",
        family: Family::Vendor,
        revision: 1,
        metadata: "type, date, time and hardware id of each block",
        integrity: "crc16 of data pieces",
        limits: "",
        sources: &["public UPDATE.APP unpackers (layout)"],
    },
    magics: &[Magic::anywhere(b"\x55\xAA\x5A\xA5")],
    read: update_app,
};

/// A CRC in either byte order.
fn matches_either(data: &[u8], at: usize, crc: u32) -> bool {
    read::slice(data, at, 4)
        .is_some_and(|stored| stored == crc.to_le_bytes() || stored == crc.to_be_bytes())
}

fn hwnp(data: &Bytes, budget: &Budget) -> Option<Layout> {
    if data.get(..4)? != b"HWNP" {
        return None;
    }
    let word = |at| read::le32(data, at);
    let (header, count) = (read::index(word(12)?.into())?, read::index(word(20)?.into())?);
    let (products, each) = (usize::from(read::le16(data, 26)?), read::index(word(28)?.into())?);
    let items = products.checked_add(36)?;
    if count == 0
        || count > 512
        || !(360..=1024).contains(&each)
        || header < items.checked_add(count.checked_mul(each)?)?
        || header > 1 << 20
    {
        return None;
    }
    let header_right = matches_either(data, 16, sums::crc32(data.get(20..header)?));
    let mut rows = Vec::new();
    let mut end = header as u64;
    for n in 0..count {
        let row = data.get(items.checked_add(n.checked_mul(each)?)?..)?;
        let (start, len) = (u64::from(read::le32(row, 8)?), u64::from(read::le32(row, 12)?));
        end = end.max(start.checked_add(len)?);
        rows.push((row.get(..each)?, start, len));
    }
    let declared = u64::from(read::be32(data, 4)?).checked_add(0x4C)?;
    let total = if declared >= end && declared <= data.len() as u64 { declared } else { end };
    let mut layout = Layout::new(
        data,
        total,
        if header_right { Proof::ChecksumVerified } else { Proof::LengthsConsistent },
    );
    if !header_right {
        layout.problem(ProblemKind::Checksum, "the crc32 of the header does not match");
    }
    layout.structure(0, header);
    layout.attribute("products", layout::text(data, 36, products)?);
    let whole = (layout.length as u64 == total && budget.work(total.saturating_mul(2)).is_ok())
        .then(|| {
            matches_either(data, 8, sums::crc32(data.get(12..layout.length).unwrap_or_default()))
        });
    let mut signed = false;
    for (n, (row, start, len)) in rows.into_iter().enumerate() {
        let (path, section) = (layout::text(row, 16, 256)?, layout::text(row, 272, 16)?);
        signed |= section.eq_ignore_ascii_case("signinfo") || path.contains("signinfo");
        let plain = path.split_once(':').map_or(path.as_str(), |(_, path)| path);
        let plain = plain.trim_start_matches(['/', '.']);
        let name = if plain.is_empty() {
            format!("item-{n}").into_bytes()
        } else {
            plain.as_bytes().to_vec()
        };
        let mut entry = Entry::file(name, Blob::None);
        let bytes = read::index(start)
            .zip(read::index(len))
            .and_then(|(at, len)| read::slice(data, at, len));
        if let Some(bytes) = bytes.filter(|b| !b.is_empty())
            && !matches_either(row, 4, sums::crc32(bytes))
        {
            entry.problems.push(Problem::new(
                ProblemKind::Checksum,
                format!("the crc32 of item {path} does not match"),
            ));
        }
        layout.attribute(
            &format!("item-{n}"),
            format!("{section} {} {path}", layout::text(row, 288, 64)?).trim(),
        );
        layout.part_with(data, entry, start, len);
    }
    if signed {
        layout.attribute(
            "crc-correct",
            match whole {
                Some(true) => "yes",
                Some(false) => "no",
                None => "unknown",
            },
        );
        layout.integrity("signature", "rsa", None);
    } else {
        layout.integrity("crc", "crc32", whole.map(|whole| whole && header_right));
    }
    Some(layout)
}

fn update_app(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let mut blocks = Vec::new();
    let mut at = 0_usize;
    let (mut checked, mut wrong) = (0_u32, 0_u32);
    // Blocks follow at multiples of 4, with zeros between.
    while let Some(block) =
        data.get(at..).filter(|b| b.starts_with(b"\x55\xAA\x5A\xA5") && blocks.len() < 1024)
    {
        let (header, size) = (
            read::index(read::le32(block, 4)?.into())?,
            read::index(read::le32(block, 24)?.into())?,
        );
        if !(98..=1 << 24).contains(&header) || !layout::is_text_field(block.get(60..76)?) {
            break;
        }
        let label = layout::text(block, 60, 16)?;
        let body = at.checked_add(header)?;
        if let Some(bytes) = read::slice(data, body, size)
            && budget.work((size as u64).saturating_mul(4)).is_ok()
            && header.checked_sub(98)? == size.div_ceil(4096).checked_mul(2)?
        {
            let table = block.get(98..header)?.as_chunks::<2>().0;
            checked = checked.saturating_add(1);
            let right = bytes.chunks(4096).zip(table).all(|(piece, sum)| {
                !sums::crc16_reflected(piece, 0x8408, 0xFFFF) == u16::from_le_bytes(*sum)
            });
            wrong = wrong.saturating_add(u32::from(!right));
        }
        blocks.push((label, at, header, size));
        let end = body.checked_add(size)?.checked_next_multiple_of(4)?;
        let zeros = data
            .get(end..)
            .map_or(0, |rest| rest.iter().take(4096).take_while(|b| **b == 0).count());
        at = end.checked_add(zeros)?;
    }
    let (_, start, header, size) = blocks.last()?;
    let end = start.checked_add(*header)?.checked_add(*size)?;
    let consistent = blocks.len() > 1 || checked > 0 && wrong == 0;
    if !consistent && end > data.len() {
        return None;
    }
    let proof =
        if checked > 0 && wrong == 0 { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
    let mut layout = Layout::new(data, end as u64, proof);
    layout.align(4096);
    // A foreign sum is not known to be wrong: tables of other kinds exist.
    layout.integrity("crc", "crc16", (checked > 0 && wrong == 0).then_some(true));
    for (n, (label, start, header, size)) in blocks.into_iter().enumerate() {
        layout.structure(start, header);
        let name = [format!("{n}-").as_bytes(), &name_or(&label, "block")].concat();
        layout.part(data, name, start.saturating_add(header) as u64, size as u64);
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn build() -> Vec<u8> {
        let items = [
            ("file:/var/UpgradeCheck.xml", "UPGRDCHECK", noise(500, 50)),
            ("flash:rootfs", "ROOTFS", noise(3000, 51)),
        ];
        let header = 36 + 256 + 2 * 360;
        let mut file = b"HWNP".to_vec();
        file.resize(header, 0);
        let mut at = header;
        for (n, (path, section, data)) in items.iter().enumerate() {
            let row = 292 + n * 360;
            let words = [
                u32::try_from(n).unwrap(),
                sums::crc32(data),
                u32::try_from(at).unwrap(),
                u32::try_from(data.len()).unwrap(),
            ];
            let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            bytes.extend(path.bytes());
            bytes.resize(272, 0);
            bytes.extend(section.bytes());
            file[row..row + bytes.len()].copy_from_slice(&bytes);
            file.extend(data);
            at += data.len();
        }
        let raw = u32::try_from(file.len() - 0x4C).unwrap();
        file[4..8].copy_from_slice(&raw.to_be_bytes());
        file[12..16].copy_from_slice(&u32::try_from(header).unwrap().to_le_bytes());
        file[20..24].copy_from_slice(&2_u32.to_le_bytes());
        file[26..28].copy_from_slice(&256_u16.to_le_bytes());
        file[28..32].copy_from_slice(&360_u32.to_le_bytes());
        file[36..45].copy_from_slice(b"HG8245;\0\0");
        let crc = sums::crc32(&file[20..header]);
        file[16..20].copy_from_slice(&crc.to_le_bytes());
        let crc = sums::crc32(&file[12..]);
        file[8..12].copy_from_slice(&crc.to_be_bytes());
        file
    }

    #[test]
    fn our_own_package_is_read_back() {
        let mut file = build();
        let opened = open_whole(&HWNP, &file);
        assert_eq!(opened.files(), ["var/UpgradeCheck.xml", "rootfs"]);
        assert_eq!(opened.content("rootfs"), noise(3000, 51));
        assert_eq!(
            (opened.attribute("integrity"), opened.attribute("integrity-correct")),
            ("crc", "yes")
        );
        torture(&HWNP, &file);
        let last = file.len() - 5;
        file[last] ^= 1;
        let opened = open(&HWNP, &file);
        assert_eq!(opened.attribute("integrity-correct"), "no");
        assert_eq!(opened.entries[1].problems[0].kind, ProblemKind::Checksum);
        assert!(open_at(&HWNP, &[b"HWNP".as_slice(), &[0xFF; 100]].concat(), 0).is_none());
    }

    #[test]
    fn our_own_update_app_is_read_back() {
        let mut file = Vec::new();
        for (label, data) in [("SHA256RSA", noise(256, 52)), ("SYSTEM", noise(9001, 53))] {
            let pieces = data.len().div_ceil(4096);
            file.extend([0x55, 0xAA, 0x5A, 0xA5]);
            let start = file.len() - 4;
            file.extend(u32::try_from(98 + pieces * 2).unwrap().to_le_bytes());
            file.resize(start + 24, 0);
            file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            file.resize(start + 60, 0);
            file.extend(label.bytes());
            file.resize(start + 98, 0);
            for piece in data.chunks(4096) {
                file.extend((!sums::crc16_reflected(piece, 0x8408, 0xFFFF)).to_le_bytes());
            }
            file.extend(&data);
            if label != "SYSTEM" {
                file.resize(file.len().next_multiple_of(4), 0);
            }
        }
        let opened = open_whole(&UPDATE_APP, &file);
        assert_eq!(opened.content("1-SYSTEM"), noise(9001, 53));
        assert_eq!(opened.candidate.proof, Proof::ChecksumVerified);
        torture(&UPDATE_APP, &file);
        assert!(open_at(&UPDATE_APP, &[0x55, 0xAA, 0x5A, 0xA5, 0, 0, 0, 0, 1, 2], 0).is_none());
    }
}
