//! Airoha Bluetooth firmware: SHA-256, padding, then type-length-value records that name the payload.
//!
//! Establishes: place and size of the payload, how it is compressed, and the digest over what follows the
//! 256 bytes of prelude, where it fits. AES payloads stay encrypted.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::Magic,
    formats::{
        layout::{Layout, Reader, about},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "airoha",
        "Airoha firmware",
        "compression, kind of check, load addresses",
        "sha256",
        "AES payloads are not decrypted; pieces are not placed at their load addresses",
        "unblob, handlers/archive/airoha.py (layout)"
    ),
    magics: &[Magic::anywhere(b"\xff\xff\xff\xff\xff\xff\xff\xff\x11\0\x0a\0").after(248)],
    read: airoha,
};

fn airoha(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let head = data.get(..272)?;
    let (packed, check) = (read::u8(head, 260)?, read::u8(head, 261)?);
    let (offset, size) = (read::le32(head, 262)?, read::le32(head, 266)?);
    if head.get(32..256)?.iter().any(|b| *b != 0xFF)
        || packed > 2
        || check > 2
        || offset < 272
        || size == 0
    {
        return None;
    }
    let end = u64::from(offset).checked_add(size.into())?;
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    budget.work(end.saturating_mul(2)).ok()?;
    let right = [32, 256].iter().any(|from| {
        data.get(*from..layout.length).is_some_and(|rest| head.starts_with(&sums::sha256(rest)))
    });
    if right {
        layout.proof = Proof::ChecksumVerified;
    }
    // Records up to the payload; the one of type 0x12 lists where pieces are loaded.
    let (mut at, stop) = (256_usize, read::index(offset.into())?);
    let mut addresses = Vec::new();
    while let (Some(kind), Some(len)) =
        (read::le16(data, at), read::le16(data, at.saturating_add(2)))
    {
        let body = at.checked_add(4)?;
        if len == 0 || body.checked_add(len.into())? > stop {
            break;
        }
        if kind == 0x12 {
            let sections = read::slice(data, body, len.into())?.get(4..)?.chunks_exact(12).take(64);
            addresses.extend(sections.filter_map(|s| Some(format!("{:#x}", read::le32(s, 8)?))));
        }
        at = body.checked_add(len.into())?;
    }
    layout.structure(0, stop);
    layout.attribute("load-address", addresses.join(" "));
    layout.attribute("compression", if packed == 0 { "none" } else { "lzma" });
    layout.attribute("check", ["crc32", "sha256", "sha256 and rsa"].get(usize::from(check))?);
    layout.integrity(
        if check == 2 { "signature" } else { "hash" },
        "sha256",
        right.then_some(true),
    );
    if packed == 2 {
        layout.encrypted("the header says LZMA and AES; the vendor's key was not given");
    }
    layout.part(
        data,
        if packed == 2 { "encrypted" } else { "firmware" },
        offset.into(),
        size.into(),
    );
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    #[test]
    fn our_own_image_is_read_back() {
        let body = noise(500, 8);
        let mut rest = b"\x11\0\x0a\0\0\x01".to_vec();
        rest.extend(290_u32.to_le_bytes());
        rest.extend(500_u32.to_le_bytes());
        rest.extend(b"\x12\0\x10\0\x01\0\0\0");
        for word in [0_u32, 500, 0x0820_0000] {
            rest.extend(word.to_le_bytes());
        }
        rest.extend(&body);
        let mut file = sums::sha256(&rest).to_vec();
        file.resize(256, 0xFF);
        file.extend(rest);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(
            (opened.content("firmware"), opened.attribute("load-address")),
            (body.into(), "0x8200000")
        );
        assert_eq!(opened.attribute("integrity-correct"), "yes");
        torture(&FORMAT, &file);
        file[100] = 0;
        assert!(open_at(&FORMAT, &file, 0).is_none());
    }
}
