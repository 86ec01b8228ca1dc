//! Cisco: `MZIP` images of classic IOS on switches. Self-decompressing ELF images of IOS are read by `elf`.
//!
//! Establishes: magic, version, entry point, number of segments. The layout of the segments is only known from
//! scripts, so the body is one entry in which the engine finds the PKZIP, bzip2 or LZMA data.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::layout::{Layout, Reader},
    read,
};

/// The format.
pub static MZIP: Reader = Reader {
    about: &About {
        id: "cisco-mzip",
        name: "Cisco MZIP",
        family: Family::Vendor,
        revision: 1,
        metadata: "version, entry point, number of segments",
        integrity: "16-bit sums that are not verified",
        limits: "segments are not delimited",
        sources: &["bvanheu/linux-cisco, mzip.h (layout)"],
    },
    magics: &[Magic::start(b"MZIP")],
    read: mzip,
};

fn mzip(data: &Bytes, _: &Budget) -> Option<Layout> {
    let word = |at| read::be32(data, at);
    let (version, entry, segments) = (word(4)?, word(8)?, word(12)?);
    if data.get(..4)? != b"MZIP" || version == 0 || version > 16 || segments == 0 || segments > 64 {
        return None;
    }
    let mut layout = Layout::new(data, data.len() as u64, Proof::MagicOnly);
    layout.structure(0, 56);
    layout.attribute("version", version);
    layout.attribute("entry-point", format!("{entry:#x}"));
    layout.attribute("segments", segments);
    layout.integrity("crc", "crc16", None);
    layout.part(data, "segments", 56, (layout.length as u64).saturating_sub(56));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, torture};

    #[test]
    fn our_own_header_is_read() {
        let mut file = b"MZIP".to_vec();
        file.extend([1_u32, 0x3000, 2, 0].iter().flat_map(|w| w.to_be_bytes()));
        file.resize(56, 0);
        file.extend(noise(200, 67));
        let opened = open(&MZIP, &file);
        assert_eq!((opened.attribute("segments"), opened.content("segments").len()), ("2", 200));
        torture(&MZIP, &file);
        assert!(
            open_at(&MZIP, b"MZIP is the name of a format of which not all is known, I think", 0)
                .is_none()
        );
    }
}
