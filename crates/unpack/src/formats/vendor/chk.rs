//! Netgear CHK: a kernel and a file system behind a header with sums.
//!
//! Establishes: the header's sum, the image's sum, board id, region. The sum is Netgear's: two 32-bit
//! accumulators (the bytes, and the running first one), each folded into 16 bits.

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
        id: "netgear-chk",
        name: "Netgear CHK",
        family: Family::Vendor,
        revision: 1,
        metadata: "board, region",
        integrity: "sums of header, kernel, file system and image",
        limits: "",
        sources: &["OpenWrt firmware-utils, mkchkimg.c (layout)"],
    },
    magics: &[Magic::anywhere(b"*#$^")],
    read: read_layout,
};

/// The two-accumulator sum.
#[must_use]
pub fn sum(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((0_u32, 0_u32), |(a, b), byte| {
        let a = a.wrapping_add(u32::from(*byte));
        (a, b.wrapping_add(a))
    });
    let fold = |n: u32| {
        let n = (n & 0xFFFF).wrapping_add(n >> 16);
        (n >> 16).wrapping_add(n) & 0xFFFF
    };
    fold(b) << 16 | fold(a)
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let word = |at| read::be32(data, at);
    let header = read::index(word(4)?.into()).filter(|n| (41..=256).contains(n))?;
    if data.get(..4)? != b"*#$^" {
        return None;
    }
    let (kernel, root) = (u64::from(word(24)?), u64::from(word(28)?));
    let head = data.get(..header)?;
    let mut zeroed = head.to_vec();
    zeroed.get_mut(36..40)?.fill(0);
    let header_right = sum(&zeroed) == word(36)?;
    let board = layout::text(head, 40, header.checked_sub(40)?)?;
    if !header_right
        && (!layout::is_text_field(head.get(40..)?)
            || board.is_empty()
            || kernel.checked_add(root)? > data.len() as u64)
    {
        return None;
    }
    let proof = if header_right { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
    let mut layout =
        Layout::new(data, kernel.checked_add(root)?.checked_add(header as u64)?, proof);
    layout.structure(0, header);
    layout.attribute("board", board);
    layout.attribute("region", read::u8(data, 8)?);
    let version: Vec<_> = data.get(9..16)?.iter().map(u8::to_string).collect();
    layout.attribute("version", version.join("."));
    let body = data.get(header..layout.length)?;
    let whole =
        body.len() as u64 == kernel.saturating_add(root) && budget.work(body.len() as u64).is_ok();
    layout.integrity("crc", "sum", whole.then(|| header_right && Some(sum(body)) == word(32)));
    layout.part(data, "kernel", header as u64, kernel);
    layout.part(data, "rootfs", (header as u64).saturating_add(kernel), root);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_construction_is_read_back() {
        let (kernel, root) = (noise(700, 40), noise(900, 41));
        let body = [kernel.clone(), root.clone()].concat();
        let mut file = b"*#$^".to_vec();
        for word in
            [51_u32, 0x0101_0203, 0x0405_0607, sum(&kernel), sum(&root), 700, 900, sum(&body), 0]
        {
            file.extend(word.to_be_bytes());
        }
        file.extend(b"U12H270T00_");
        let header = sum(&file);
        file[36..40].copy_from_slice(&header.to_be_bytes());
        file.extend(&body);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(
            (opened.content("kernel"), opened.content("rootfs")),
            (kernel.into(), root.into())
        );
        assert_eq!(
            (opened.attribute("board"), opened.attribute("integrity-correct")),
            ("U12H270T00_", "yes")
        );
        torture(&FORMAT, &file);
        file[500] ^= 1;
        assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
        assert!(
            open_at(&FORMAT, b"*#$^ is what a cartoon figure says when it is angry, very angry", 0)
                .is_none()
        );
    }
}
