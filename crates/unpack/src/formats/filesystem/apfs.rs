//! APFS containers: recognised and delimited, not read.
//!
//! *Establishes*: the container's extent, block size and identity; the superblock has a Fletcher-64 sum.
//! *Limits*: volumes and files are not read: their bytes are one opaque entry with a problem that says so.
//! *Sources*: Apple File System Reference (2020).

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

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
        FileSystem,
        "apfs",
        "APFS container",
        "block size, UUID",
        "Fletcher-64 of the superblock",
        "recognised only; volumes are not read",
        "Apple File System Reference, 2020-06-22"
    ),
    magics: &[Magic::anywhere(b"NXSB").after(32)],
    read: apfs,
};

/// Fletcher-64 over 32-bit words, in the form that makes the sum of the whole block zero.
fn sum(block: &[u8]) -> u64 {
    const MODULUS: u64 = u32::MAX as u64;
    let (mut low, mut high) = (0_u64, 0_u64);
    for word in block.chunks_exact(4).filter_map(|w| read::le32(w, 0)) {
        low = low.wrapping_add(word.into()) % MODULUS;
        high = high.wrapping_add(low) % MODULUS;
    }
    let first = MODULUS.wrapping_sub(low.wrapping_add(high) % MODULUS);
    let second = MODULUS.wrapping_sub(low.wrapping_add(first) % MODULUS);
    second << 32 | first
}

fn apfs(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (block, count) = (read::le32(data, 36)?, read::le64(data, 40)?);
    if read::slice(data, 32, 4)? != b"NXSB"
        || !block.is_power_of_two()
        || !(4096..=65536).contains(&block)
    {
        return None;
    }
    let first = data.get(..read::index(block.into())?)?;
    budget.work(block.into()).ok()?;
    if read::le64(first, 0)? != sum(first.get(8..)?) || count == 0 {
        return None;
    }
    let mut layout = Layout::new(data, count.checked_mul(block.into())?, Proof::ChecksumVerified);
    layout.structure(0, first.len());
    layout.attribute("block-size", block);
    layout.attribute("uuid", sums::hex(read::slice(data, 72, 16)?));
    layout.problem(
        ProblemKind::Unsupported,
        "volumes of APFS are not read; their bytes are one opaque entry",
    );
    layout.part(data, "volumes", block.into(), (layout.length as u64).saturating_sub(block.into()));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, torture};

    #[test]
    fn a_container_is_delimited() {
        let mut image = vec![0; 32];
        image.extend(b"NXSB");
        image.extend(4096_u32.to_le_bytes());
        image.extend(3_u64.to_le_bytes());
        image.extend(noise(3000, 4));
        image.resize(4096, 0);
        let own = sum(&image[8..]);
        image[..8].copy_from_slice(&own.to_le_bytes());
        // The defining property: with its sum, the words of the block add up to zero twice.
        let fold =
            image[8..].chunks(4).chain(image[..8].chunks(4)).fold((0_u64, 0_u64), |(a, b), w| {
                let a = (a + u64::from(u32::from_le_bytes(w.try_into().unwrap()))) % 0xFFFF_FFFF;
                (a, (a + b) % 0xFFFF_FFFF)
            });
        assert_eq!(fold, (0, 0));
        image.resize(3 * 4096, 7);
        let opened = open(&FORMAT, &image);
        assert_eq!(
            (opened.candidate.length, opened.problems[0].kind),
            (3 * 4096, ProblemKind::Unsupported)
        );
        torture(&FORMAT, &image);
        image[100] ^= 1;
        assert!(open_at(&FORMAT, &image, 0).is_none());
    }
}
