//! Headers of a few words in front of an image: Realtek `RTK0`, PackImg, the U2ND bin header of Broadcom devices, DLOB,
//! and TP-Link's images of real-time systems.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::Magic,
    formats::layout::{self, Layout, Reader, about},
    read,
};

/// Realtek.
pub static RTK: Reader = Reader {
    about: about!(
        Vendor,
        "realtek-rtk",
        "Realtek RTK0 header",
        "none",
        "image size against the content",
        "the checksum's cover is not published",
        "binwalk, structures/rtk.rs (layout)"
    ),
    magics: &[Magic::start(b"RTK0")],
    read: |data, _| {
        let (size, header) =
            (u64::from(read::le32(data, 4)?), read::le32(data, 16)?.checked_add(4)?);
        if data.get(..4)? != b"RTK0" || size != data.len() as u64 || !(32..=4096).contains(&header)
        {
            return None;
        }
        let mut layout = Layout::new(data, size, Proof::LengthsConsistent);
        layout.structure(0, read::index(header.into())?);
        layout.integrity("crc", "", None);
        layout.part(data, "image", header.into(), size.checked_sub(header.into())?);
        Some(layout)
    },
};

/// PackImg.
pub static PACKIMG: Reader = Reader {
    about: about!(
        Vendor,
        "packimg",
        "PackImg header",
        "none",
        "size",
        "",
        "binwalk, structures/packimg.rs (layout)"
    ),
    magics: &[Magic::anywhere(b"--PaCkImGs--")],
    read: |data, _| {
        let size = u64::from(read::le32(data, 16)?);
        let whole = size.checked_add(32)?;
        if data.get(..12)? != b"--PaCkImGs--" || size == 0 || whole > data.len() as u64 {
            return None;
        }
        let mut layout = Layout::new(data, whole, Proof::LengthsConsistent);
        layout.structure(0, 32);
        layout.integrity("none", "", None);
        layout.part(data, "image", 32, size);
        Some(layout)
    },
};

/// The header of Linksys and others: board, date, version, `U2ND`.
pub static U2ND: Reader = Reader {
    about: about!(
        Vendor,
        "u2nd-header",
        "U2ND bin header",
        "board, version, hardware",
        "reserved bytes",
        "what follows the header is left to the engine",
        "binwalk, structures/binhdr.rs (layout)"
    ),
    magics: &[Magic::anywhere(b"U2ND").after(14)],
    read: |data, _| {
        let head = data.get(..32)?;
        let hardware = *["4702", "4712", "4712L", "4704"].get(usize::from(read::u8(head, 18)?))?;
        let reserved = [head.get(4..8)?, head.get(19..30)?].concat();
        if head.get(14..18)? != b"U2ND"
            || reserved.iter().any(|b| *b != 0)
            || !head.get(..4)?.iter().all(u8::is_ascii_graphic)
        {
            return None;
        }
        let mut layout = Layout::leaf(data, 32, Proof::LengthsConsistent);
        layout.attribute("board", layout::text(head, 0, 4)?);
        layout.attribute("hardware", hardware);
        layout.attribute("version", format!("{}.{}", read::u8(head, 12)?, read::u8(head, 13)?));
        Some(layout)
    },
};

/// DLOB: two headers with SEAMA's mark, the first with texts only.
pub static DLOB: Reader = Reader {
    about: about!(
        Vendor,
        "dlob",
        "DLOB",
        "key=value texts",
        "lengths of both headers and the image",
        "",
        "binwalk, structures/dlob.rs (layout)"
    ),
    magics: &[Magic::anywhere(b"\x5e\xa3\xa4\x17")],
    read: dlob,
};

/// TP-Link images of real-time systems.
pub static TPLINK_RTOS: Reader = Reader {
    about: about!(
        Vendor,
        "tplink-rtos",
        "TP-Link RTOS image",
        "model, hardware revision",
        "declared size",
        "",
        "binwalk, structures/tplink.rs (layout)"
    ),
    magics: &[Magic::anywhere(b"\x00\x14\x2F\xC0")],
    read: |data, _| {
        const HEADER: u64 = 0x94;
        let size = u64::from(read::be32(data, 24)?).checked_add(20)?;
        if data.get(..4)? != b"\x00\x14\x2F\xC0" || data.get(20..24)? != b"IMG0" || size <= HEADER {
            return None;
        }
        let mut layout = Layout::new(data, size, Proof::LengthsConsistent);
        layout.structure(0, 0x94);
        layout.attribute("model", format!("{:04x}", read::be16(data, 28)?));
        layout.attribute(
            "hardware-revision",
            format!("{}.{}", read::u8(data, 30)?, read::u8(data, 31)?),
        );
        layout.attribute("os", "vxworks");
        layout.integrity("none", "", None);
        layout.part(data, "image", HEADER, size.checked_sub(HEADER)?);
        Some(layout)
    },
};

fn dlob(data: &Bytes, _: &Budget) -> Option<Layout> {
    const MARK: &[u8] = b"\x5e\xa3\xa4\x17";
    let (texts, none) = (read::index(read::be32(data, 4)?.into())?, read::be32(data, 8)?);
    if data.get(..4)? != MARK || none != 0 || !(1..=4096).contains(&texts) {
        return None;
    }
    let second = texts.checked_add(12)?;
    let more = read::index(read::be32(data, second.checked_add(4)?)?.into())?;
    let size = u64::from(read::be32(data, second.checked_add(8)?)?);
    if read::slice(data, second, 4)? != MARK || more > 4096 || size == 0 {
        return None;
    }
    let body = second.checked_add(28)?.checked_add(more)?;
    let mut layout = Layout::new(data, (body as u64).checked_add(size)?, Proof::LengthsConsistent);
    layout.structure(0, body);
    for field in [read::slice(data, 12, texts)?, read::slice(data, second.checked_add(28)?, more)?]
    {
        for pair in field.split(|b| *b == 0).filter_map(|text| std::str::from_utf8(text).ok()) {
            if let Some((key, value)) = pair.split_once('=') {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                if !key.is_empty() && key.chars().all(plain) {
                    layout.attribute(key, value);
                }
            }
        }
    }
    layout.integrity("none", "", None);
    layout.part(data, "image", body as u64, size);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn headers_in_front_of_an_image() {
        let body = noise(400, 13);
        let mut file = b"RTK0".to_vec();
        for word in [432_u32, 0, 0, 28, 0, 0, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&body);
        assert_eq!(open_whole(&RTK, &file).content("image"), body);
        torture(&RTK, &file);
        assert!(open_at(&RTK, &file[..400], 0).is_none());

        let mut file = b"--PaCkImGs--\0\0\0\0\x90\x01\0\0".to_vec();
        file.resize(32, 0);
        file.extend(&body);
        assert_eq!(open_whole(&PACKIMG, &file).content("image"), body);
        torture(&PACKIMG, &file);
        assert!(open_at(&PACKIMG, b"--PaCkImGs-- in a text that goes on for a while", 0).is_none());

        let mut file = b"\x00\x14\x2F\xC0".to_vec();
        file.resize(20, 1);
        file.extend(b"IMG0");
        file.extend((0x94 - 20 + 400_u32).to_be_bytes());
        file.extend([0x08, 0x41, 2, 1]);
        file.resize(0x94, 0);
        file.extend(&body);
        let opened = open_whole(&TPLINK_RTOS, &file);
        assert_eq!(
            (opened.content("image"), opened.attribute("hardware-revision")),
            (body.clone().into(), "2.1")
        );
        torture(&TPLINK_RTOS, &file);
        file[20] = 0;
        assert!(open_at(&TPLINK_RTOS, &file, 0).is_none());
    }

    #[test]
    fn u2nd_and_dlob() {
        let mut file = b"W54G\0\0\0\0\x07\x05\x01\0\x04\x15U2ND\x01".to_vec();
        file.resize(64, 0);
        let opened = open(&U2ND, &file);
        assert_eq!((opened.attribute("version"), opened.attribute("hardware")), ("4.21", "4712"));
        torture(&U2ND, &file);
        file[20] = 1;
        assert!(open_at(&U2ND, &file, 0).is_none());

        let body = noise(300, 14);
        let mut file = b"\x5e\xa3\xa4\x17\0\0\0\x10\0\0\0\0signature=abc\0\0\0".to_vec();
        file.extend(b"\x5e\xa3\xa4\x17\0\0\0\x08\0\0\x01\x2c");
        file.extend([7; 16]);
        file.extend(b"dev=/b\0\0");
        file.extend(&body);
        let opened = open_whole(&DLOB, &file);
        assert_eq!((opened.content("image"), opened.attribute("signature")), (body.into(), "abc"));
        torture(&DLOB, &file);
        assert!(
            open_at(&DLOB, b"\x5e\xa3\xa4\x17\0\0\0\x10\0\0\0\0signature=abc and no more", 0)
                .is_none()
        );
    }
}
