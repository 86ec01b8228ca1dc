//! Cisco: `MZIP` images of classic IOS on switches. Self-decompressing ELF images of IOS are read by `elf`.
//!
//! A header of 56 bytes, one of 56 bytes for each segment, and the segments, all big-endian. Establishes: places,
//! addresses and compression of the segments, with the CRC-16 of the header and that of segment headers and segments.
//! Sources: bvanheu/linux-cisco, `mzip.h`; public `mzip2elf` script (segments and sums).

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
pub static MZIP: Reader = Reader {
    about: about!(
        Vendor,
        "cisco-mzip",
        "Cisco MZIP",
        "version, entry point, address and compression of each segment",
        "crc16 of the header, crc16 of the segments",
        "segments are not placed at their addresses",
        "bvanheu/linux-cisco, mzip.h (layout)",
        "mzip2elf (segments, sums)"
    ),
    magics: &[Magic::anywhere(b"MZIP\0\0\0\x01")],
    read: mzip,
};

/// Bytes of the header, and of each segment's.
const HEADER: usize = 56;

/// CRC-16 from all ones, inverted at the end.
fn crc<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u16 {
    !pieces.into_iter().fold(0xFFFF, |crc, piece| sums::crc16(piece, 0x1021, crc))
}

fn mzip(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let head = data.get(..HEADER)?;
    let count = read::index(read::be32(head, 12)?.into()).filter(|n| (1..=64).contains(n))?;
    let right = Some(crc([head.get(..54)?])) == read::be16(head, 54);
    let mut end = HEADER.checked_mul(count.checked_add(1)?)?;
    let table = data.get(HEADER..end)?;
    let mut segments = Vec::new();
    for row in table.chunks_exact(HEADER) {
        let (at, address, kind, len) =
            (read::be32(row, 0)?, read::be32(row, 4)?, read::be32(row, 8)?, read::be32(row, 12)?);
        let kind = match kind {
            1 => "zip",
            2 => "bzip2",
            3 => "lzma",
            _ if right => "unknown",
            _ => return None,
        };
        if (at as usize) < HEADER || len == 0 {
            return None;
        }
        segments.push((u64::from(at), u64::from(len), address, kind));
        end = end.max((at as usize).checked_add(len as usize)?);
    }
    let proof = if right { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
    let mut layout = Layout::new(data, end as u64, proof);
    layout.structure(0, HEADER.saturating_add(table.len()));
    layout.align(1 << 12);
    layout.attribute("version", read::be32(head, 4)?);
    layout.attribute("entry-point", format!("{:#x}", read::be32(head, 8)?));
    layout.attribute("segments", count);
    let all: Option<Vec<&[u8]>> = std::iter::once(Some(table))
        .chain(
            segments
                .iter()
                .map(|(at, len, ..)| read::slice(data, read::index(*at)?, read::index(*len)?)),
        )
        .collect();
    let segments_right = all
        .filter(|_| budget.work(end as u64).is_ok())
        .map(|all| Some(crc(all)) == read::be16(head, 52));
    layout.integrity("crc", "crc16", segments_right.map(|segments| segments && right));
    for (n, (at, len, address, kind)) in segments.into_iter().enumerate() {
        layout.attribute(&format!("load-address-{n}"), format!("{address:#x}"));
        layout.part(data, format!("segment-{n}-{kind}"), at, len);
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Input, Options,
        formats::testing::{noise, open, open_at, open_whole, scratch, tool, torture},
        unpack,
    };

    fn build(segments: &[(u32, Vec<u8>)]) -> Vec<u8> {
        let mut file = b"MZIP".to_vec();
        let count = u32::try_from(segments.len()).unwrap();
        file.extend([1, 0x3000, count, 0x1001].iter().flat_map(|w: &u32| w.to_be_bytes()));
        file.resize(52, 0x11);
        let mut at = HEADER * (segments.len() + 1);
        let mut table = Vec::new();
        for (kind, bytes) in segments {
            let len = u32::try_from(bytes.len()).unwrap();
            for word in [u32::try_from(at).unwrap(), 0x8000_0000, *kind, len, 5000, 6000] {
                table.extend(word.to_be_bytes());
            }
            table.resize(table.len() + 32, 0x22);
            at += bytes.len();
        }
        let body: Vec<u8> = segments.iter().flat_map(|(_, b)| b.clone()).collect();
        file.extend(crc([&table[..], &body]).to_be_bytes());
        let sum = crc([&file[..]]);
        file.extend(sum.to_be_bytes());
        [file, table, body].concat()
    }

    #[test]
    fn segments_are_cut_out_and_opened() {
        let dir = scratch();
        let text = "a line of the image\n".repeat(400);
        std::fs::write(dir.path().join("-"), &text).unwrap();
        let zip = tool(dir.path(), "zip", "zip -q o.zip ./- && cat o.zip");
        let bz2 = tool(dir.path(), "bzip2", "bzip2 -c ./-");
        let mut file = build(&[(1, zip.clone()), (2, bz2.clone())]);
        let opened = open_whole(&MZIP, &file);
        assert_eq!(opened.files(), ["segment-0-zip", "segment-1-bzip2"]);
        assert_eq!(opened.content("segment-1-bzip2"), bz2);
        assert_eq!(opened.attribute("integrity-correct"), "yes");
        torture(&MZIP, &file);
        let outcome = unpack(Input::bytes("ios.bin", file.clone()), &Options::default(), &());
        let whole = |a: &&proofmark_model::Artifact| a.size == text.len() as u64;
        assert_eq!(outcome.artifacts.iter().filter(whole).count(), 2);
        let last = file.len() - 1;
        file[last] ^= 1;
        assert_eq!(open(&MZIP, &file).attribute("integrity-correct"), "no");
    }

    #[test]
    fn what_only_begins_so_is_refused() {
        assert!(open_at(&MZIP, b"MZIP\0\0\0\x01 is the beginning of a text that goes on and on and on until here and further", 0).is_none());
        assert!(open_at(&MZIP, &[&b"MZIP\0\0\0\x01"[..], &noise(400, 3)].concat(), 0).is_none());
    }
}
