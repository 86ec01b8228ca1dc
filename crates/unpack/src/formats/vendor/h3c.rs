//! H3C (Comware) images: a header of 6180 bytes with up to 128 files, each with a header of its own.
//!
//! There is no magic: version 1, a small number of files, and CRC-16 (XMODEM) over the header must fit, at the
//! start of a content. The header has room for an RSA signature, which is reported.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{Blob, Entry, Magic},
    formats::{
        layout::{self, Layout, Reader, about, name_or},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "h3c",
        "H3C Comware image",
        "product, device, description, version and compression of each file",
        "crc16 of header, package and files; signature reported, not verified",
        "",
        "OpenWrt firmware-utils, mkh3cimg.c (layout)"
    ),
    magics: &[Magic::start(b"\0\0\0\x01\0\0\0")],
    read: h3c,
};

const HEADER: usize = 6180;
const FILE: usize = 340;

/// CRC-16 of XMODEM; the field is 32 bits wide and its upper half is not always zero.
fn crc_right(data: &[u8], stored: u32) -> bool {
    u32::from(sums::crc16(data, 0x1021, 0)) == stored & 0xFFFF
}

fn h3c(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let count = read::be32(data, 4)?;
    let head = data.get(..HEADER)?;
    if read::be32(head, 0)? != 1
        || !(1..=128).contains(&count)
        || !crc_right(head.get(..6176)?, read::be32(head, 6176)?)
    {
        return None;
    }
    let total = (HEADER as u64).checked_add(read::be32(head, 28)?.into())?;
    let mut layout = Layout::new(data, total, Proof::ChecksumVerified);
    layout.structure(0, HEADER);
    layout.attribute("product", format!("{:#x}", read::be32(head, 8)?));
    layout.attribute("device", format!("{:#x}", read::be32(head, 12)?));
    let signed = head.get(3104..6176)?.iter().any(|b| *b != 0);
    layout.attribute("signature", if signed { "present" } else { "absent" });
    budget.work(total.saturating_mul(8)).ok()?;
    let mut right = true;
    for (n, row) in
        head.get(32..3104)?.chunks_exact(24).take(read::index(count.into())?).enumerate()
    {
        let at = read::index(read::be32(row, 4)?.into())?;
        let Some(file) = data.get(at..).filter(|_| at >= HEADER) else {
            let text = format!("file {n} is declared at {at:#x}, outside of the image");
            layout.problem(ProblemKind::Incomplete, text);
            continue;
        };
        let Some(own) = file.get(..FILE) else { continue };
        let (exact, padded) = (read::be32(own, 24)?, read::be32(own, 328)?);
        layout.structure(at, FILE);
        let body = at.checked_add(FILE)?;
        let mut entry = Entry::file(
            name_or(&format!("{n}-{}", layout::text(own, 104, 224)?), &format!("file-{n}")),
            Blob::None,
        );
        let bytes = read::slice(data, body, read::index(padded.into())?);
        if !bytes.is_some_and(|bytes| crc_right(bytes, read::be32(own, 332).unwrap_or(0))) {
            right = false;
            let text = "the crc16 of the file does not match";
            entry.problems.push(Problem::new(ProblemKind::Checksum, text));
        }
        let exact = exact.min(padded);
        layout.part_with(data, entry, body as u64, exact.into());
        layout.structure(
            body.checked_add(read::index(exact.into())?)?,
            read::index((padded.saturating_sub(exact)).into())?,
        );
    }
    layout.integrity("crc", "crc16", Some(right));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_image_is_read_back() {
        let body = noise(501, 10);
        let mut file = vec![0; FILE];
        let put =
            |b: &mut Vec<u8>, at: usize, v: u32| b[at..at + 4].copy_from_slice(&v.to_be_bytes());
        put(&mut file, 24, 501);
        put(&mut file, 328, 504);
        file[104..107].copy_from_slice(b"app");
        file.extend(&body);
        file.extend([0; 3]);
        let crc = sums::crc16(&file[FILE..], 0x1021, 0);
        put(&mut file, 332, crc.into());
        let mut image = vec![0; HEADER];
        for (at, v) in [
            (0, 1),
            (4, 1),
            (8, 0x12),
            (12, 0x34),
            (28, file.len()),
            (36, HEADER),
            (40, file.len()),
        ] {
            put(&mut image, at, u32::try_from(v).unwrap());
        }
        let crc = sums::crc16(&image[..6176], 0x1021, 0);
        put(&mut image, 6176, crc.into());
        image.extend(&file);
        let opened = open_whole(&FORMAT, &image);
        assert_eq!(opened.content("0-app"), body);
        assert_eq!(opened.attribute("signature"), "absent");
        torture(&FORMAT, &image);
        image[HEADER + FILE] ^= 1;
        assert_eq!(open(&FORMAT, &image).attribute("integrity-correct"), "no");
        image[100] ^= 1;
        assert!(open_at(&FORMAT, &image, 0).is_none());
    }
}
