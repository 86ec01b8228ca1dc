//! Ubiquiti: `UBNT`, `OPEN` and `GEOS` images of parts, ended by a CRC or an RSA signature.
//!
//! Establishes: the header's CRC, each part's CRC, and the CRC over all where there is one. The signature is
//! reported, not verified.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Entry, Family, Magic},
    formats::{
        layout::{self, Layout, Reader, name_or},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "ubiquiti",
        name: "Ubiquiti firmware",
        family: Family::Vendor,
        revision: 1,
        metadata: "version, name and addresses of each part",
        integrity: "crc32 of header, parts and file; signature reported, not verified",
        limits: "",
        sources: &["OpenWrt firmware-utils, fw.h, mkfwimage.c (layout)"],
    },
    magics: &[Magic::anywhere(b"UBNT"), Magic::anywhere(b"OPEN"), Magic::anywhere(b"GEOS")],
    read: read_layout,
};

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let head = data.get(..268)?;
    if !matches!(head.get(..4)?, b"UBNT" | b"OPEN" | b"GEOS")
        || !layout::is_text_field(head.get(4..260)?)
    {
        return None;
    }
    if sums::crc32(head.get(..260)?) != read::be32(head, 260)? {
        return None;
    }
    let (mut at, mut parts, mut wrong) = (268_usize, Vec::new(), false);
    let ending = loop {
        let rest = data.get(at..).unwrap_or_default();
        match rest.get(..4) {
            Some(b"PART" | b"EXEC") if parts.len() < 64 => {
                let Some(head) = rest.get(..56) else { break "" };
                let len = read::index(read::be32(head, 48)?.into())?;
                let name = layout::text(head, 4, 16)?;
                let mut entry = Entry::file(name_or(&name, "part"), Blob::None);
                if let (Some(all), Some(crc)) =
                    (rest.get(..len.checked_add(56)?), read::be32(rest, len.checked_add(56)?))
                    && budget.work(len as u64).is_ok()
                    && sums::crc32(all) != crc
                {
                    wrong = true;
                    entry.problems.push(Problem::new(
                        ProblemKind::Checksum,
                        "the crc32 of the part does not match",
                    ));
                }
                parts.push((entry, at, len));
                at = at.checked_add(len)?.checked_add(64)?;
            }
            Some(b"END.") => break "crc",
            Some(b"ENDS") => break "signature",
            _ => break "",
        }
    };
    let end = match ending {
        "crc" => at.checked_add(12)?,
        "signature" => at.checked_add(264)?,
        _ => at,
    };
    let mut layout = Layout::new(data, end as u64, Proof::ChecksumVerified);
    layout.structure(0, 268);
    layout.structure(at, end.checked_sub(at)?);
    layout.attribute("version", layout::text(head, 4, 256)?);
    match ending {
        "signature" => layout.integrity("signature", "rsa", wrong.then_some(false)),
        "crc" => {
            let right = Some(sums::crc32(data.get(..at).unwrap_or_default()))
                == read::be32(data, at.checked_add(4)?);
            layout.integrity("crc", "crc32", Some(right && !wrong));
        }
        _ => {
            layout.problem(ProblemKind::Truncated, "the parts end without an end mark");
            layout.integrity("crc", "crc32", wrong.then_some(false));
        }
    }
    for (entry, at, len) in parts {
        layout.structure(at, 56);
        layout.structure(at.saturating_add(len).saturating_add(56), 8);
        layout.part_with(data, entry, at.saturating_add(56) as u64, len as u64);
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_image_is_read_back() {
        let kernel = noise(900, 60);
        for ending in [&b"END."[..], b"ENDS"] {
            let mut file = b"UBNTXM.ar7240.v5.6.5".to_vec();
            file.resize(260, 0);
            let crc = sums::crc32(&file);
            file.extend(crc.to_be_bytes());
            file.extend([0; 4]);
            let mut part = b"PARTkernel".to_vec();
            part.resize(48, 0);
            part.extend(900_u32.to_be_bytes());
            part.extend(1024_u32.to_be_bytes());
            part.extend(&kernel);
            let crc = sums::crc32(&part);
            file.extend(part);
            file.extend(crc.to_be_bytes());
            file.extend([0; 4]);
            let crc = sums::crc32(&file);
            file.extend(ending);
            if ending == b"END." {
                file.extend(crc.to_be_bytes());
                file.extend([0; 4]);
            } else {
                file.extend([3; 260]);
            }
            let opened = open_whole(&FORMAT, &file);
            assert_eq!(opened.content("kernel"), kernel);
            assert_eq!(
                opened.attribute("integrity"),
                if ending == b"END." { "crc" } else { "signature" }
            );
            torture(&FORMAT, &file);
            file[500] ^= 1;
            assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
        }
        assert!(open_at(&FORMAT, &[b"OPEN".as_slice(), &[0; 400]].concat(), 0).is_none());
    }
}
