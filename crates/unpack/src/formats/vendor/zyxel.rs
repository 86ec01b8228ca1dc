//! Zyxel: ZyNOS objects (`SIG`) and the reversed TRX of NR7101-type devices.
//!
//! A ZyNOS object has a 48-byte header and a body whose 16-bit sum (big-endian words, carry added) is in it.
//! The reversed TRX has inverted CRC-32s of payload and header.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        layout::{self, Layout, Reader},
        sums,
    },
    read,
};

/// A ZyNOS object.
pub static ZYNOS: Reader = Reader {
    about: &About {
        id: "zyxel-zynos",
        name: "ZyNOS ROM object",
        family: Family::Vendor,
        revision: 1,
        metadata: "kind, load address, compressed or not",
        integrity: "16-bit sum of the body",
        limits: "the memory map table is not listed",
        sources: &["OpenWrt firmware-utils, zynos.h (layout)"],
    },
    magics: &[Magic::anywhere(b"SIG").after(6)],
    read: zynos,
};

/// `HDR0` backwards.
pub static ZYTRX: Reader = Reader {
    about: &About {
        id: "zyxel-trx",
        name: "Zyxel reversed TRX",
        family: Family::Vendor,
        revision: 1,
        metadata: "versions",
        integrity: "inverted crc32 of the payload",
        limits: "",
        sources: &["OpenWrt firmware-utils, zytrx.c (layout)"],
    },
    magics: &[Magic::anywhere(b"0RDH")],
    read: zytrx,
};

/// Sum of big-endian 16-bit words with the carry added, an odd last byte as the high one.
fn sum16(data: &[u8]) -> u16 {
    let words = data.chunks(2).map(|w| match w {
        [a, b] => u32::from(u16::from_be_bytes([*a, *b])),
        [a] => u32::from(*a) << 8,
        _ => 0,
    });
    let sum = words.fold(0_u32, |sum, word| {
        let sum = sum.wrapping_add(word);
        (sum & 0xFFFF).wrapping_add(sum >> 16)
    });
    u16::try_from(sum & 0xFFFF).unwrap_or(0)
}

fn zynos(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const HEADER: usize = 48;
    let head = data.get(..HEADER)?;
    let (kind, original, packed, flags) =
        (read::u8(head, 9)?, read::be32(head, 10)?, read::be32(head, 14)?, read::u8(head, 18)?);
    let (original_sum, packed_sum) = (read::be16(head, 20)?, read::be16(head, 22)?);
    let compressed = flags & 0x80 != 0;
    let (size, sum) = if compressed { (packed, packed_sum) } else { (original, original_sum) };
    if head.get(6..9)? != b"SIG"
        || !(1..=32).contains(&kind)
        || size == 0
        || size > 1 << 26
        || packed > original && compressed
    {
        return None;
    }
    let body = read::slice(data, HEADER, read::index(size.into())?)?;
    budget.work(size.into()).ok()?;
    // Three letters are not much: the sum must be right.
    if sum16(body) != sum {
        return None;
    }
    let mut layout =
        Layout::new(data, (HEADER as u64).checked_add(size.into())?, Proof::ChecksumVerified);
    layout.structure(0, HEADER);
    layout.attribute("load-address", format!("{:#x}", read::be32(head, 0)?));
    layout.attribute("kind", kind);
    layout.attribute("compression", if compressed { "lzma" } else { "none" });
    layout.integrity("crc", "sum16", Some(true));
    layout.part(data, "object", HEADER as u64, size.into());
    Some(layout)
}

fn zytrx(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let word = |at| read::be32(data, at);
    let (header, total) = (u64::from(word(4)?), u64::from(word(8)?));
    if data.get(..4)? != b"0RDH"
        || !(112..=4096).contains(&header)
        || total < header
        || total > 1 << 29
    {
        return None;
    }
    let start = read::index(header)?;
    let mut layout = Layout::new(data, total, Proof::LengthsConsistent);
    layout.structure(0, start);
    layout.attribute("version", layout::text(data, 48, 32)?);
    layout.attribute("internal-version", layout::text(data, 16, 32)?);
    let body = data.get(start..layout.length)?;
    let right = (layout.length as u64 == total && budget.work(total).is_ok())
        .then(|| Some(!sums::crc32(body)) == word(12));
    if right == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.integrity("crc", "crc32", right);
    layout.part(data, "payload", header, total.checked_sub(header)?);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_objects_are_read_back() {
        let body = noise(1001, 65);
        let mut file = vec![0xBF, 0xC0, 0, 0, 0, 0];
        file.extend(b"SIG\x04");
        file.extend(5000_u32.to_be_bytes());
        file.extend(1001_u32.to_be_bytes());
        file.extend([0xC0, 0, 0, 0]);
        file.extend(sum16(&body).to_be_bytes());
        file.resize(48, 0);
        file.extend(&body);
        let opened = open_whole(&ZYNOS, &file);
        assert_eq!(opened.content("object"), body);
        torture(&ZYNOS, &file);
        file[100] ^= 1;
        assert!(open_at(&ZYNOS, &file, 0).is_none());

        let mut file = b"0RDH".to_vec();
        for word in [192_u32, 1193, !sums::crc32(&body)] {
            file.extend(word.to_be_bytes());
        }
        file.resize(48, 0);
        file.extend(b"V1.00(ABUV.3)C0");
        file.resize(192, 0);
        file.extend(&body);
        let opened = open_whole(&ZYTRX, &file);
        assert_eq!(
            (opened.content("payload"), opened.attribute("version")),
            (body.into(), "V1.00(ABUV.3)C0")
        );
        torture(&ZYTRX, &file);
        file[300] ^= 1;
        assert_eq!(open(&ZYTRX, &file).attribute("integrity-correct"), "no");
        assert!(open_at(&ZYTRX, &[b"0RDH".as_slice(), &[0; 40]].concat(), 0).is_none());
    }
}
