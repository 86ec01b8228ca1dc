//! Technicolor RBI.
//!
//! Establishes: the `BLI2` header, the payload's offset, the board, and the first element of the payload's
//! chain: plain (B0), zlib (B4), AES-256 (B7) or a digest (B8). The header has room for an RSA signature, which
//! is reported. Encrypted payloads are said to be so; model keys are not shipped.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::layout::{self, Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "technicolor-rbi",
        name: "Technicolor RBI",
        family: Family::Vendor,
        revision: 1,
        metadata: "board",
        integrity: "signature reported, not verified",
        limits: "encrypted elements are not decrypted",
        sources: &["hack-technicolor documentation (layout)"],
    },
    magics: &[Magic::start(b"BLI2")],
    read: read_layout,
};

fn read_layout(data: &Bytes, _: &Budget) -> Option<Layout> {
    let offset = read::be16(data, 0x2A)?;
    let board = data.get(0x13C..0x144)?;
    let kind = *data.get(usize::from(offset))?;
    if data.get(..4)? != b"BLI2"
        || offset < 0x144
        || !matches!(kind, 0xB0 | 0xB4 | 0xB7 | 0xB8)
        || !board.iter().take(6).all(u8::is_ascii_graphic)
    {
        return None;
    }
    let mut layout = Layout::new(data, data.len() as u64, Proof::LengthsConsistent);
    layout.structure(0, usize::from(offset));
    layout.attribute("board", layout::text(board, 0, 6)?);
    layout.integrity("signature", "rsa", None);
    let name = if kind == 0xB7 {
        layout.encrypted(
            "the first element of the payload is AES-256-CBC (B7); the model's key was not given",
        );
        "encrypted"
    } else {
        "payload"
    };
    layout.part(data, name, offset.into(), (layout.length as u64).saturating_sub(offset.into()));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, torture};

    #[test]
    fn our_own_image_is_read_back() {
        let mut file = b"BLI223WH0".to_vec();
        file.resize(0x180, 0);
        file[0x2A..0x2C].copy_from_slice(&0x180_u16.to_be_bytes());
        file[0x13C..0x142].copy_from_slice(b"VANT-6");
        file.push(0xB4);
        file.extend(noise(300, 64));
        let opened = open(&FORMAT, &file);
        assert_eq!((opened.attribute("board"), opened.content("payload").len()), ("VANT-6", 301));
        torture(&FORMAT, &file);
        file[0x180] = 0xB7;
        assert_eq!(open(&FORMAT, &file).attribute("encrypted"), "yes");
        file[0x180] = 0x00;
        assert!(open_at(&FORMAT, &file, 0).is_none());
    }
}
