//! SBFH (Tesla Wall Connector): a header of 284 bytes around a Marvell `MRVL` image of loadable segments.
//!
//! Establishes: sizes, and the CRC-32 of each segment (not inverted at either end).

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{Blob, Entry, Magic},
    formats::layout::{Layout, Reader, about},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "sbfh",
        "SBFH with MRVL segments",
        "creation time, load address of each segment",
        "crc32 of each segment",
        "",
        "unblob, handlers/archive/tesla/sbfh.py (layout)"
    ),
    magics: &[Magic::anywhere(b"SBFH\x1c\x01\0\0")],
    read: sbfh,
};

fn sbfh(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const HEADER: usize = 284;
    let image = data.get(HEADER..)?;
    let (size, count) = (read::le32(data, 15)?, read::le32(image, 12)?);
    if data.get(..8)? != b"SBFH\x1c\x01\0\0"
        || image.get(..8)? != b"MRVL\x7b\xf1\x9c\x2e"
        || !(1..=9).contains(&count)
        || size == 0
    {
        return None;
    }
    let table = read::index(count.into())?.checked_mul(20)?;
    let mut layout =
        Layout::new(data, (HEADER as u64).checked_add(size.into())?, Proof::LengthsConsistent);
    layout.structure(0, HEADER.checked_add(20)?.checked_add(table)?);
    layout.attribute("created", read::le32(image, 8)?);
    let mut right = true;
    let mut parts = Vec::new();
    for row in read::slice(image, 20, table)?.chunks_exact(20) {
        let word = |at| read::le32(row, at);
        let (offset, len, address, crc) = (word(4)?, word(8)?, word(12)?, word(16)?);
        let mut entry = Entry::file(format!("{address:#010x}"), Blob::None);
        let bytes = read::slice(image, read::index(offset.into())?, read::index(len.into())?);
        budget.work(len.into()).ok()?;
        if bytes.map(raw_crc32) != Some(crc) {
            right = false;
            let text = "the crc32 of the segment does not match";
            entry.problems.push(Problem::new(ProblemKind::Checksum, text));
        }
        parts.push((entry, offset, len));
    }
    if right {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.integrity("crc", "crc32", Some(right));
    for (entry, offset, len) in parts {
        layout.part_with(data, entry, (HEADER as u64).checked_add(offset.into())?, len.into());
    }
    Some(layout)
}

/// CRC-32 that starts from 0 and is not inverted.
fn raw_crc32(data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(u32::MAX);
    hasher.update(data);
    !hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_image_is_read_back() {
        let body = noise(600, 9);
        let mut file = b"SBFH\x1c\x01\0\0".to_vec();
        file.resize(15, 0);
        file.extend((40 + 600_u32).to_le_bytes());
        file.resize(284, 0);
        file.extend(b"MRVL\x7b\xf1\x9c\x2e");
        for word in [1_600_000_000, 1, 0x1F00_0000, 2, 40, 600, 0x10_0000, raw_crc32(&body)] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(&body);
        assert_eq!(open_whole(&FORMAT, &file).content("0x00100000"), body);
        torture(&FORMAT, &file);
        file[400] ^= 1;
        assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
        file[284] = 0;
        assert!(open_at(&FORMAT, &file, 0).is_none());
        // The published check value of this variant (CRC-32/ISO-HDLC without inversions).
        assert_eq!(raw_crc32(b"123456789"), 0x2DFD_2D88);
    }
}
