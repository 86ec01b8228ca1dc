//! JBOOT, a boot loader of D-Link devices: the ARM header, STAG images, and SCH2 kernels.
//!
//! SCH2 has CRC-32s of header and kernel and is only taken where the first is right. STAG and the ARM header
//! have 16-bit sums whose cover is not published; a match raises the proof, a mismatch says nothing.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::Magic,
    formats::{
        layout::{self, Layout, Reader, about},
        sums,
    },
    read,
};

/// Kernels.
pub static SCH2: Reader = Reader {
    about: about!(
        Vendor,
        "jboot-sch2",
        "JBOOT SCH2 kernel",
        "compression, addresses",
        "crc32 of header and kernel",
        "the root file system is elsewhere in flash",
        "binwalk, structures/jboot.rs (layout)"
    ),
    magics: &[
        Magic::anywhere(b"\x24\x21\x00\x02"),
        Magic::anywhere(b"\x24\x21\x01\x02"),
        Magic::anywhere(b"\x24\x21\x02\x02"),
        Magic::anywhere(b"\x24\x21\x03\x02"),
    ],
    read: sch2,
};

/// Factory and upgrade images.
pub static STAG: Reader = Reader {
    about: about!(
        Vendor,
        "jboot-stag",
        "JBOOT STAG image",
        "time, kind",
        "16-bit sum where it fits",
        "",
        "binwalk, structures/jboot.rs (layout)"
    ),
    magics: &[Magic::anywhere(b"\x04\x04\x24\x2B"), Magic::anywhere(b"\xFF\x04\x24\x2B")],
    read: stag,
};

/// Headers of ARM devices.
pub static ARM: Reader = Reader {
    about: about!(
        Vendor,
        "jboot-arm",
        "JBOOT ARM header",
        "ROM id, time, erase range",
        "fixed and reserved fields",
        "",
        "binwalk, structures/jboot.rs (layout)"
    ),
    magics: &[Magic::anywhere(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x42\x48\x02\0\0\0").after(48)],
    read: arm,
};

fn sch2(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const HEADER: usize = 40;
    let head = data.get(..HEADER)?;
    let word = |at| read::le32(head, at);
    let kind = *["none", "jz", "gzip", "lzma"].get(usize::from(read::u8(head, 2)?))?;
    if head.get(..2)? != b"\x24\x21"
        || read::u8(head, 3)? != 2
        || usize::from(read::le16(head, 36)?) != HEADER
    {
        return None;
    }
    // The CRC counts itself as zero.
    if sums::crc32_of([head.get(..32)?, &[0; 4], head.get(36..)?]) != word(32)? {
        return None;
    }
    let size = u64::from(word(8)?);
    let mut layout = Layout::new(data, size.checked_add(HEADER as u64)?, Proof::ChecksumVerified);
    layout.structure(0, HEADER);
    layout.attribute("compression", kind);
    layout.attribute("entry-point", format!("{:#x}", word(4)?));
    layout.attribute("load-address", format!("{:#x}", word(16)?));
    let kernel = data.get(HEADER..layout.length)?;
    let right = (kernel.len() as u64 == size && budget.work(size).is_ok())
        .then(|| Some(sums::crc32(kernel)) == word(12));
    layout.integrity("crc", "crc32", right);
    layout.part(data, "kernel", HEADER as u64, size);
    Some(layout)
}

/// Sum of little-endian 16-bit words with the carry added.
fn sum(data: &[u8]) -> u16 {
    let words = data.chunks(2).map(|w| match w {
        [a, b] => u32::from(u16::from_le_bytes([*a, *b])),
        [a] => u32::from(*a),
        _ => 0,
    });
    let total = words.fold(0_u32, |sum, word| {
        let sum = sum.wrapping_add(word);
        (sum & 0xFFFF).wrapping_add(sum >> 16)
    });
    u16::try_from(total & 0xFFFF).unwrap_or(0)
}

fn stag(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const HEADER: usize = 16;
    let head = data.get(..HEADER)?;
    let (mark, id, size) =
        (read::u8(head, 0)?, read::u8(head, 1)?, u64::from(read::le32(head, 8)?));
    if head.get(2..4)? != b"\x24\x2B"
        || !(mark == 0xFF || mark == id)
        || size <= HEADER as u64
        || size > 1 << 27
    {
        return None;
    }
    let stored = read::le16(head, 14)?;
    let own = sum(head.get(..14)?);
    let proven = own == stored || own == !stored;
    let whole = size.checked_add(HEADER as u64)?;
    // Four bytes and a plausible size are met by chance: something else must fit.
    if !proven && whole != data.len() as u64 {
        return None;
    }
    let proof = if proven { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
    let mut layout = Layout::new(data, whole, proof);
    layout.structure(0, HEADER);
    layout.attribute("kind", if mark == 0xFF { "factory" } else { "upgrade" });
    layout.attribute("created", read::le32(head, 4)?);
    let body = data.get(HEADER..layout.length)?;
    let right = (body.len() as u64 == size && budget.work(size).is_ok())
        .then(|| sum(body) == read::le16(head, 12).unwrap_or(0));
    layout.integrity("crc", "sum16", right.filter(|right| *right));
    layout.part(data, "image", HEADER as u64, size);
    Some(layout)
}

fn arm(data: &Bytes, _: &Budget) -> Option<Layout> {
    const HEADER: usize = 80;
    let head = data.get(..HEADER)?;
    let word = |at| read::le32(head, at);
    let zero =
        head.get(16..26)?.iter().all(|b| *b == 0) && head.get(48..64)?.iter().all(|b| *b == 0);
    if !zero
        || head.get(26..28)? != [1, 0]
        || head.get(64..70)? != b"\x42\x48\x02\0\0\0"
        || !layout::is_text_field(head.get(..12)?)
    {
        return None;
    }
    let size = u64::from(word(44)?);
    let whole = size.checked_add(HEADER as u64)?;
    // Sizes count from the header's end; where that does not fit only the header is told.
    let fits = size > 0 && whole <= data.len() as u64;
    let mut layout =
        Layout::new(data, if fits { whole } else { HEADER as u64 }, Proof::LengthsConsistent);
    layout.structure(0, HEADER);
    layout.attribute("name", layout::text(head, 0, 12)?);
    layout.attribute("created", word(28)?);
    layout.attribute("erase-start", format!("{:#x}", word(32)?));
    layout.attribute("erase-size", word(36)?);
    layout.integrity("crc", "sum16", None);
    if fits {
        layout.part(data, "image", HEADER as u64, size);
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_kernel_in_its_image_is_read_back() {
        let kernel = noise(900, 1);
        let mut file = b"\x24\x21\x03\x02".to_vec();
        for word in [0x8000_0000, 900, sums::crc32(&kernel), 0x8000_0000, 0, 0, 0, 0] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend([40, 0, 0, 0]);
        let crc = sums::crc32(&file);
        file[32..36].copy_from_slice(&crc.to_le_bytes());
        file.extend(&kernel);
        let opened = open_whole(&SCH2, &file);
        assert_eq!(
            (opened.content("kernel"), opened.attribute("compression")),
            (kernel.into(), "lzma")
        );
        assert_eq!(opened.attribute("integrity-correct"), "yes");
        torture(&SCH2, &file);

        let mut image = b"\xFF\x04\x24\x2B\x01\0\0\0".to_vec();
        image.extend(u32::try_from(file.len()).unwrap().to_le_bytes());
        image.extend(sum(&file).to_le_bytes());
        let own = sum(&image);
        image.extend((!own).to_le_bytes());
        image.extend(&file);
        let opened = open_whole(&STAG, &image);
        assert_eq!(
            (opened.content("image"), opened.attribute("integrity-correct")),
            (file.into(), "yes")
        );
        torture(&STAG, &image);
        image[4] ^= 1;
        image.push(0);
        assert!(open_at(&STAG, &image, 0).is_none());
    }

    #[test]
    fn our_own_arm_header_is_read_back() {
        let mut file = b"DIR-X\0\0\0\0\0\0\0".to_vec();
        file.resize(26, 0);
        file.extend([1, 0]);
        for word in [1_500_000_000, 0x10_0000, 0x20_0000, 0x10_0000_u32, 300] {
            file.extend(word.to_le_bytes());
        }
        file.resize(64, 0);
        file.extend(b"\x42\x48\x02\0\0\0");
        file.resize(80, 0);
        file.extend(noise(300, 4));
        let opened = open(&ARM, &file);
        assert_eq!((opened.attribute("name"), opened.content("image").len()), ("DIR-X", 300));
        torture(&ARM, &file);
        file[60] = 1;
        assert!(open_at(&ARM, &file, 0).is_none());
    }
}
