//! SEAMA (D-Link and others of Alpha Networks): metadata texts, then an image with its MD5.
//!
//! Establishes: sizes, texts of the form `key=value`, the MD5 of the image. Headers follow each other: a
//! container of size 0 holds entities, each of which is a region of its own.

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
        id: "seama",
        name: "SEAMA",
        family: Family::Vendor,
        revision: 1,
        metadata: "key=value texts",
        integrity: "md5",
        limits: "",
        sources: &["OpenWrt firmware-utils, seama.h (layout)"],
    },
    magics: &[Magic::anywhere(b"\x5E\xA3\xA4\x17")],
    read: read_layout,
};

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (meta, size) = (usize::from(read::be16(data, 6)?), u64::from(read::be32(data, 8)?));
    if data.get(..4)? != b"\x5E\xA3\xA4\x17" || read::be16(data, 4)? != 0 || meta > 0x2000 {
        return None;
    }
    // An image has its digest between header and metadata; the outer container has neither.
    let head = if size == 0 { 12 } else { 28 };
    let texts = read::slice(data, head, meta)?;
    let pairs: Vec<_> = texts
        .split(|b| *b == 0)
        .filter(|t| !t.is_empty())
        .filter_map(|t| std::str::from_utf8(t).ok())
        .collect();
    if pairs.is_empty()
        || !pairs.iter().all(|t| t.contains('=') && t.chars().all(|c| !c.is_control()))
    {
        return None;
    }
    let start = head.checked_add(meta)?;
    let mut layout = Layout::new(data, size.checked_add(start as u64)?, Proof::LengthsConsistent);
    layout.structure(0, start);
    for pair in pairs {
        let (key, value) = pair.split_once('=')?;
        layout.attribute(&format!("meta.{}", key.to_lowercase().replace('_', "-")), value);
    }
    if size > 0 {
        let body = data.get(start..layout.length)?;
        let whole = body.len() as u64 == size && budget.work(size).is_ok();
        let correct = whole.then(|| Some(&sums::md5(body)[..]) == data.get(12..28));
        if correct == Some(true) {
            layout.proof = Proof::ChecksumVerified;
        }
        layout.integrity("hash", "md5", correct);
        layout.part(data, "image", start as u64, size);
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_construction_is_read_back() {
        let image = noise(3000, 45);
        let mut file = vec![0x5E, 0xA3, 0xA4, 0x17, 0, 0, 0, 32];
        file.extend(3000_u32.to_be_bytes());
        file.extend(sums::md5(&image));
        file.extend(b"dev=/dev/mtdblock/2\0type=firm\0\0\0");
        file.extend(&image);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.content("image"), image);
        assert_eq!(opened.attribute("meta.type"), "firm");
        torture(&FORMAT, &file);
        file[200] ^= 1;
        assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
        assert!(
            open_at(&FORMAT, &[0x5E, 0xA3, 0xA4, 0x17, 0, 0, 0, 4, 0, 0, 0, 0, 1, 2, 3, 4], 0)
                .is_none()
        );
    }
}
