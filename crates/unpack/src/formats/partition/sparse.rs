//! Android sparse images: a disk as chunks (raw, repeated value, nothing).
//!
//! Establishes: chunk headers that follow each other to the declared count, and blocks that add up to the
//! declared total. The disk is the entry `image`.
//!
//! False positives: none known. Limits: CRC chunks are compared only through the header's own checksum field,
//! which builders leave 0.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use super::blocks::{From, disk};
use crate::{
    budget::Budget,
    format::{About, Entry, Family, Magic},
    formats::layout::{Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "android-sparse",
        name: "Android sparse image",
        family: Family::Partition,
        revision: 1,
        metadata: "block size",
        integrity: "chunk sizes against the declared totals",
        limits: "checksums of chunks are not compared",
        sources: &["AOSP system/core/libsparse/sparse_format.h"],
    },
    magics: &[Magic::anywhere(b"\x3A\xFF\x26\xED\x01\0")],
    read: read_layout,
};

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let word = |at| read::le32(data, at);
    let (head, chunk_head) =
        (usize::from(read::le16(data, 8)?), usize::from(read::le16(data, 10)?));
    let (block, total, count) = (u64::from(word(12)?), u64::from(word(16)?), word(20)?);
    if word(0)? != 0xED26_FF3A
        || head < 28
        || chunk_head < 12
        || head > 4096
        || chunk_head > 4096
        || block % 4 != 0
        || block == 0
    {
        return None;
    }
    let (mut at, mut place, mut pieces) = (head, 0_u64, Vec::new());
    let mut whole = true;
    for _ in 0..count {
        let Some(chunk) = data.get(at..).filter(|rest| rest.len() >= chunk_head) else {
            whole = false;
            break;
        };
        budget.work(16).ok()?;
        let (kind, blocks, size) =
            (read::le16(chunk, 0)?, u64::from(read::le32(chunk, 4)?), read::le32(chunk, 8)?);
        let len = blocks.checked_mul(block)?;
        let body = at.checked_add(chunk_head)?;
        let payload = u64::from(size).checked_sub(chunk_head as u64)?;
        match kind {
            0xCAC1 if payload == len => pieces.push((place, len, From::At(body as u64))),
            0xCAC2 if payload == 4 => {
                let value = read::array(data, body).unwrap_or_default();
                if value != [0; 4] {
                    pieces.push((place, len, From::Fill(value)));
                }
            }
            0xCAC3 if payload == 0 => {}
            0xCAC4 if payload == 4 => {}
            _ => return None,
        }
        if kind != 0xCAC4 {
            place = place.checked_add(len)?;
        }
        at = at.checked_add(read::index(size.into())?)?;
    }
    let declared = total.checked_mul(block)?;
    if place > declared {
        return None;
    }
    let ended = whole && place == declared;
    let mut layout = Layout::new(
        data,
        at as u64,
        if ended { Proof::DecoderEnded } else { Proof::LengthsConsistent },
    );
    layout.structure(0, layout.length);
    layout.attribute("block-size", block);
    layout.attribute("compression", "sparse");
    if !ended {
        layout.problem(
            ProblemKind::Incomplete,
            format!("{place} of {declared} bytes are described by chunks"),
        );
    }
    let region = data.slice(..layout.length);
    layout.entry(0..0, Entry::file("image", disk(&region, declared, pieces)));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn what_img2simg_makes_is_read() {
        let dir = scratch();
        let mut image = noise(20_480, 19);
        image.extend([0; 40_960]);
        image.extend([0xAA; 8192]);
        image.extend(noise(4096, 20));
        std::fs::write(dir.path().join("raw"), &image).unwrap();
        tool(dir.path(), "android-sdk-libsparse-utils", "img2simg raw sparse");
        let sparse = std::fs::read(dir.path().join("sparse")).unwrap();
        assert!(sparse.len() < image.len());
        let opened = open_whole(&FORMAT, &sparse);
        assert_eq!(opened.content("image"), image);
        torture(&FORMAT, &sparse);
        let cut = open(&FORMAT, &sparse[..sparse.len() - 5000]);
        assert_eq!(cut.entries[0].blob.load(&Budget::ample()).bytes.len(), image.len());
        assert!(!cut.problems.is_empty());
    }

    #[test]
    fn a_chunk_of_a_wrong_size_is_refused() {
        let mut data = vec![
            0x3A, 0xFF, 0x26, 0xED, 1, 0, 0, 0, 28, 0, 12, 0, 0, 16, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
            0, 0, 0, 0,
        ];
        data.extend([0xC1, 0xCA, 0, 0, 1, 0, 0, 0, 13, 0, 0, 0]);
        assert!(open_at(&FORMAT, &data, 0).is_none());
    }
}
