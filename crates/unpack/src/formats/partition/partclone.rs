//! Partclone images (version 2): the used blocks of a file system and a bitmap that tells where they belong.
//!
//! Header with CRC-32, bitmap with CRC-32, then blocks with a CRC-32 after every so many. Establishes: all of these
//! sums, and that the bitmap has as many bits set as the header declares. The one entry is the file system, with
//! unused blocks as zeros. *Limits*: version 1 (of partclone 0.2) is not read.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use super::blocks::{self, From};
use crate::{
    budget::Budget,
    format::{Entry, Magic},
    formats::layout::{self, Layout, Reader, about},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Partition,
        "partclone",
        "Partclone image",
        "file system, version, block size",
        "crc32 of header, bitmap and blocks; used blocks against the bitmap",
        "version 1 images",
        "https://partclone.org/"
    ),
    magics: &[Magic::anywhere(b"partclone-image\0")],
    read: partclone,
};

const HEADER: usize = 110;
/// Blocks of one image that are believed.
const BLOCKS_MAX: u64 = 1 << 32;

/// CRC-32 going on from `crc`, inverted neither before nor after.
fn raw(crc: u32, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!crc);
    hasher.update(data);
    !hasher.finalize()
}

fn partclone(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let head = data.get(..HEADER)?;
    let right = raw(u32::MAX, head.get(..106)?) == read::le32(head, 106)?;
    if !head.starts_with(b"partclone-image\0") || head.get(30..34)? != b"0002" || !right {
        return None;
    }
    let (total, used) = (read::le64(head, 60)?, read::le64(head, 76)?);
    let block = u64::from(read::le32(head, 84)?);
    let (mode, sum_size) = (read::le16(head, 96)?, usize::from(read::le16(head, 98)?));
    let (every, reseed) = (u64::from(read::le32(head, 100)?), read::u8(head, 104)? != 0);
    if block == 0
        || used > total
        || total > BLOCKS_MAX
        || sum_size > 64
        || read::u8(head, 105)? != 1
    {
        return None;
    }
    let bits = read::slice(data, HEADER, read::index(total.div_ceil(8))?)?;
    budget.work(bits.len() as u64).ok()?;
    let after = HEADER.checked_add(bits.len())?;
    let bitmap_right = read::le32(data, after)? == raw(u32::MAX, bits);
    let start = after.checked_add(4)?;
    let sums = if mode == 0 || every == 0 { 0 } else { used.div_ceil(every) };
    let body = used.checked_mul(block)?.checked_add(sums.checked_mul(sum_size as u64)?)?;
    let mut layout = Layout::new(data, (start as u64).checked_add(body)?, Proof::ChecksumVerified);
    layout.structure(0, layout.length);
    layout.attribute("file-system", layout::text(head, 36, 16)?);
    layout.attribute("version", layout::text(head, 16, 14)?);
    layout.attribute("block-size", block);
    if !bitmap_right {
        layout.problem(ProblemKind::Checksum, "the crc32 of the bitmap does not match");
    }
    let marked: u64 = bits.iter().map(|b| u64::from(b.count_ones())).sum();
    if marked != used {
        let text = format!("{used} used blocks are declared, the bitmap marks {marked}");
        layout.problem(ProblemKind::Incomplete, text);
    }
    // Runs of used blocks, cut where a checksum stands between them.
    let mut pieces: Vec<blocks::Piece> = Vec::new();
    let mut from = start as u64;
    let mut count = 0_u64;
    let set = |n: u64| {
        let byte = read::index(n / 8).and_then(|i| bits.get(i)).copied().unwrap_or(0);
        byte >> (n % 8) & 1 == 1
    };
    for n in (0..total).filter(|n| set(*n)).take(read::index(used)?) {
        if sums > 0 && count > 0 && count.checked_rem(every)? == 0 {
            from = from.checked_add(sum_size as u64)?;
        }
        count = count.checked_add(1)?;
        let at = n.checked_mul(block)?;
        match pieces.last_mut() {
            Some((start, len, From::At(file)))
                if start.checked_add(*len) == Some(at) && file.checked_add(*len) == Some(from) =>
            {
                *len = len.checked_add(block)?;
            }
            _ => pieces.push((at, block, From::At(from))),
        }
        from = from.checked_add(block)?;
    }
    if sums > 0 && mode == 0x20 && sum_size == 4 {
        let first = data.get(start..layout.length)?;
        budget.work(first.len() as u64).ok()?;
        if let Some(wrong) = wrong_sum(first, used, block, every, reseed) {
            let text = "the crc32 behind a row of blocks does not match";
            let place = (start as u64).checked_add(wrong)?;
            layout.problem_at(Problem::new(ProblemKind::Checksum, text).at(place));
        }
        layout.attribute("checksum-correct", if layout.is_sound() { "yes" } else { "no" });
    }
    let disk = blocks::disk(data, total.checked_mul(block)?, pieces);
    layout.entry(0..0, Entry::file("disk", disk));
    Some(layout)
}

/// Where the first checksum that does not fit stands, from the first block on. What is cut off is no mismatch.
fn wrong_sum(body: &[u8], used: u64, block: u64, every: u64, reseed: bool) -> Option<u64> {
    let (mut at, mut left, mut crc) = (0_usize, used, u32::MAX);
    while left > 0 {
        let row = left.min(every);
        let bytes = read::slice(body, at, read::index(row.checked_mul(block)?)?)?;
        crc = raw(crc, bytes);
        at = at.checked_add(bytes.len())?;
        if read::le32(body, at)? != crc {
            return Some(at as u64);
        }
        at = at.checked_add(4)?;
        left = left.checked_sub(row)?;
        if reseed {
            crc = u32::MAX;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_whole, scratch, tool, torture};

    #[test]
    fn an_image_of_partclone_is_the_file_system_again() {
        let dir = scratch();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        std::fs::write(dir.path().join("tree/file"), "content ".repeat(9000)).unwrap();
        for options in ["", "-k 7", "-a 0"] {
            let make = format!(
                "truncate -s 1M fs; mke2fs -q -F -t ext2 -b 1024 -d tree fs; \
                 partclone.ext2 -c -s fs -o image -F -L log {options} >&2; \
                 partclone.restore -C -s image -O back -W -L log >&2; cat image"
            );
            let image = tool(dir.path(), "partclone e2fsprogs", &make);
            let opened = open_whole(&FORMAT, &image);
            let back = std::fs::read(dir.path().join("back")).unwrap();
            // What was not used is zeros here; restoring leaves what was there.
            assert_eq!(opened.content("disk").len(), 1 << 20);
            assert_eq!(&opened.content("disk")[..back.len()], &back[..]);
            assert_eq!(opened.attribute("file-system"), "EXTFS");
            if options.is_empty() {
                torture(&FORMAT, &image[..40_000]);
                let mut damaged = image.clone();
                let last = damaged.len() - 9000;
                damaged[last] ^= 1;
                assert_eq!(open(&FORMAT, &damaged).problems[0].kind, ProblemKind::Checksum);
            }
            std::fs::remove_file(dir.path().join("image")).unwrap();
            std::fs::remove_file(dir.path().join("back")).unwrap();
        }
    }
}
