//! Autel ECC: a header of 32 bytes and a body in which each byte is moved by a fixed table.
//!
//! Establishes: header and size. The body is made plain: byte n of each 256 is increased and XORed with
//! constants that depend on n only. That is not encryption: there is no key.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    format::{Entry, Loaded, Magic},
    formats::layout::{Deferred, Layout, Reader, about},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "autel-ecc",
        "Autel ECC",
        "",
        "header length, body length",
        "",
        "binwalk, structures/autel.rs and extractors/autel.rs (layout, table)"
    ),
    magics: &[Magic::anywhere(b"ECC0101\0")],
    read: |data, _| {
        const HEADER: usize = 32;
        let size = read::le32(data, 8)?;
        if data.get(..8)? != b"ECC0101\0"
            || read::le32(data, 12)? != HEADER as u32
            || data.get(16..31)? != b"Copyright Autel"
        {
            return None;
        }
        let mut layout =
            Layout::new(data, (HEADER as u64).checked_add(size.into())?, Proof::LengthsConsistent);
        layout.structure(0, HEADER);
        layout.attribute("obfuscation", "byte table");
        layout.integrity("none", "", None);
        let body = data.slice(HEADER.min(layout.length)..layout.length);
        let blob = Deferred::blob(body.len() as u64, move |budget| {
            match budget.output(body.len() as u64) {
                Ok(()) => Loaded { bytes: plain(&body).into(), problems: Vec::new() },
                Err(e) => Loaded { bytes: Bytes::new(), problems: vec![e.into()] },
            }
        });
        layout.entry(HEADER..layout.length, Entry::file("payload", blob));
        Some(layout)
    },
};

fn plain(body: &[u8]) -> Vec<u8> {
    let table = ADD.iter().zip(&XOR).cycle();
    body.iter().zip(table).map(|(byte, (add, xor))| byte.wrapping_add(*add) ^ xor).collect()
}

#[rustfmt::skip]
const ADD: [u8; 256] = [
    54, 96, 59, 191, 45, 96, 27, 152, 44, 118, 115, 210, 13, 27, 20, 139,
    28, 17, 19, 224, 20, 145, 14, 12, 18, 17, 29, 246, 115, 28, 155, 12,
    31, 20, 27, 142, 96, 18, 145, 23, 13, 13, 23, 19, 27, 83, 146, 145,
    18, 96, 13, 159, 96, 20, 20, 27, 9, 96, 13, 159, 96, 142, 31, 155,
    7, 224, 20, 27, 28, 17, 19, 96, 76, 208, 80, 78, 96, 27, 24, 140,
    96, 17, 12, 224, 14, 17, 151, 14, 16, 96, 13, 155, 20, 29, 23, 24,
    27, 10, 96, 140, 14, 17, 16, 144, 11, 13, 96, 17, 12, 96, 28, 27,
    27, 18, 96, 31, 96, 13, 23, 224, 27, 142, 27, 24, 12, 96, 84, 14,
    27, 10, 155, 9, 17, 56, 96, 82, 13, 27, 20, 139, 28, 145, 19, 118,
    115, 20, 145, 14, 12, 146, 17, 29, 96, 28, 27, 140, 31, 148, 27, 14,
    83, 18, 17, 23, 13, 13, 151, 147, 27, 96, 19, 159, 14, 25, 17, 142,
    16, 27, 14, 224, 17, 12, 224, 28, 27, 13, 11, 96, 27, 30, 224, 146,
    31, 29, 96, 140, 31, 24, 140, 96, 27, 29, 31, 154, 14, 27, 140, 18,
    23, 96, 21, 14, 17, 9, 12, 155, 18, 96, 27, 148, 29, 23, 24, 155,
    10, 96, 28, 14, 31, 28, 18, 31, 12, 13, 96, 31, 96, 13, 27, 18,
    23, 26, 27, 156, 96, 79, 211, 76, 77, 75, 206, 182, 96, 59, 191, 173,
];
#[rustfmt::skip]
const XOR: [u8; 256] = [
    147, 129, 193, 0, 130, 144, 129, 0, 180, 141, 129, 0, 164, 133, 192, 0,
    166, 133, 193, 0, 161, 0, 193, 132, 161, 140, 192, 0, 178, 132, 0, 132,
    165, 136, 193, 0, 164, 133, 0, 132, 165, 148, 193, 132, 178, 137, 0, 0,
    166, 148, 193, 0, 166, 129, 193, 132, 160, 148, 192, 0, 180, 0, 193, 0,
    166, 0, 192, 132, 160, 149, 193, 132, 164, 0, 192, 132, 160, 144, 193, 0,
    178, 141, 193, 0, 161, 141, 0, 132, 165, 137, 193, 0, 161, 141, 192, 132,
    178, 133, 192, 0, 180, 133, 192, 0, 163, 141, 192, 132, 178, 141, 192, 132,
    130, 141, 193, 132, 181, 140, 193, 0, 166, 0, 192, 132, 183, 133, 192, 132,
    178, 140, 0, 132, 160, 133, 192, 132, 160, 137, 193, 0, 161, 0, 192, 132,
    165, 132, 0, 132, 167, 0, 193, 132, 176, 144, 193, 0, 180, 0, 192, 132,
    160, 137, 193, 132, 165, 145, 0, 0, 178, 137, 193, 0, 160, 148, 193, 0,
    180, 136, 193, 0, 178, 144, 0, 132, 160, 141, 193, 132, 165, 140, 0, 0,
    165, 129, 192, 0, 161, 145, 0, 132, 165, 140, 192, 0, 161, 145, 0, 132,
    167, 140, 129, 132, 165, 137, 193, 0, 161, 141, 192, 0, 178, 133, 192, 0,
    180, 133, 192, 132, 130, 129, 193, 132, 180, 144, 193, 132, 160, 141, 193, 132,
    181, 140, 193, 0, 166, 141, 0, 132, 160, 133, 0, 0, 129, 133, 0, 0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    #[test]
    fn our_own_image_is_made_plain() {
        let content = noise(700, 5);
        let mut file = b"ECC0101\0".to_vec();
        file.extend(700_u32.to_le_bytes());
        file.extend(32_u32.to_le_bytes());
        file.extend(b"Copyright Autel\0");
        let table = ADD.iter().zip(&XOR).cycle();
        file.extend(content.iter().zip(table).map(|(b, (add, xor))| (b ^ xor).wrapping_sub(*add)));
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.content("payload"), content);
        torture(&FORMAT, &file);
        file[20] = b'x';
        assert!(open_at(&FORMAT, &file, 0).is_none());
    }
}
