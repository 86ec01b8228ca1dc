//! TRX: the container of Broadcom based routers, versions 1 and 2.
//!
//! Establishes: length, CRC-32 over everything from the flags on (start all ones, end not inverted), and
//! the offsets of the parts. In version 2 the fourth offset names a header whose 8 bytes at +22 were all
//! ones when the CRC was computed.
//!
//! False positives: none known: offsets must rise inside the length.

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
        id: "trx",
        name: "TRX",
        family: Family::Boot,
        revision: 1,
        metadata: "version, flags",
        integrity: "crc32 of everything after it",
        limits: "",
        sources: &[
            "linux/drivers/mtd/parsers/parser_trx.c",
            "OpenWrt firmware-utils, trx.c (layout)",
        ],
    },
    magics: &[Magic::anywhere(b"HDR0")],
    read: read_layout,
};

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    if data.get(..4)? != b"HDR0" {
        return None;
    }
    let word = |at| read::le32(data, at);
    let (length, declared, version) = (word(4)?, word(8)?, read::le16(data, 14)?);
    let header: u32 = match version {
        1 => 28,
        2 => 32,
        _ => return None,
    };
    let mut offsets = vec![word(16)?, word(20)?, word(24)?];
    if version == 2 {
        offsets.push(word(28)?);
    }
    offsets.retain(|at| *at != 0);
    let rising = offsets.is_sorted() && offsets.iter().all(|at| *at >= header && *at < length);
    if !rising || offsets.is_empty() || length > 1 << 30 {
        return None;
    }
    let mut layout = Layout::new(data, length.into(), Proof::LengthsConsistent);
    layout.structure(0, read::index(header.into())?);
    layout.attribute("version", version);
    let body = data.get(12..layout.length)?;
    let whole = layout.length as u64 == u64::from(length) && budget.work(length.into()).is_ok();
    let correct = whole.then(|| {
        !sums::crc32(body) == declared || masked(body, offsets.last().copied()) == Some(declared)
    });
    if correct == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.integrity("crc", "crc32", correct);
    let ends = offsets.iter().skip(1).copied().chain([length]);
    for (n, (start, end)) in offsets.iter().zip(ends).enumerate() {
        layout.part(
            data,
            format!("partition-{n}"),
            u64::from(*start),
            u64::from(end.saturating_sub(*start)),
        );
    }
    Some(layout)
}

/// The CRC with the 8 bytes at +22 of the header at `offset` all ones.
fn masked(body: &[u8], offset: Option<u32>) -> Option<u32> {
    // Offsets count from the header's start, the body from byte 12.
    let at = read::index(offset?.into())?.checked_sub(12)?.checked_add(22)?;
    let pieces = [body.get(..at)?, &[0xFF; 8], body.get(at.checked_add(8)?..)?];
    Some(!sums::crc32_of(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    /// Our own construction after the documented layout.
    fn build(version: u16, parts: &[&[u8]]) -> Vec<u8> {
        let header = if version == 1 { 28 } else { 32 };
        let mut file = b"HDR0".to_vec();
        file.resize(14, 0);
        file.extend(version.to_le_bytes());
        file.resize(header, 0);
        for (n, part) in parts.iter().enumerate() {
            let at = u32::try_from(file.len()).unwrap();
            file[16 + n * 4..20 + n * 4].copy_from_slice(&at.to_le_bytes());
            file.extend(*part);
        }
        let length = u32::try_from(file.len()).unwrap();
        file[4..8].copy_from_slice(&length.to_le_bytes());
        let crc = !sums::crc32(&file[12..]);
        file[8..12].copy_from_slice(&crc.to_le_bytes());
        file
    }

    #[test]
    fn parts_and_checksum() {
        let (a, b, c) = (noise(500, 8), noise(2000, 9), noise(100, 10));
        for version in [1, 2] {
            let file = build(version, &[&a, &b, &c]);
            let opened = open_whole(&FORMAT, &file);
            assert_eq!(opened.candidate.proof, Proof::ChecksumVerified);
            assert_eq!(opened.names(), ["partition-0", "partition-1", "partition-2"]);
            assert_eq!(opened.content("partition-1"), b);
            torture(&FORMAT, &file);
        }
        let mut file = build(1, &[&a, &b]);
        file[600] ^= 1;
        assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
    }

    #[test]
    fn text_is_refused() {
        assert!(
            open_at(&FORMAT, b"HDR0 is the magic of a TRX image, see the documentation of it", 0)
                .is_none()
        );
    }
}
