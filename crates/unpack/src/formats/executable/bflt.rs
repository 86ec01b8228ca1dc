//! bFLT: flat programs of uClinux.
//!
//! Establishes: version 4 header whose addresses rise (entry, data, bss, stack, relocations). The file ends
//! after the relocations; of a compressed one (GZIP flag) the decoder of the gzip stream tells the end, so
//! only the header and a slice to the end of the content are claimed.
//!
//! False positives: none known: five rising addresses and zero reserved words.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::layout::{Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "bflt",
        name: "uClinux flat binary",
        family: Family::Executable,
        revision: 1,
        metadata: "flags, build date, stack size",
        integrity: "addresses rise, relocations end the file",
        limits: "compressed bodies (GZIP, GZDATA) are recognised by their header only",
        sources: &["linux/fs/binfmt_flat.c, include/linux/flat.h"],
    },
    magics: &[Magic::anywhere(b"bFLT\0\0\0\x04")],
    read: layout,
};

fn layout(data: &Bytes, _: &Budget) -> Option<Layout> {
    if data.get(..8)? != b"bFLT\0\0\0\x04" {
        return None;
    }
    let word = |at| read::be32(data, at);
    let (entry, start, end, bss) = (word(8)?, word(12)?, word(16)?, word(20)?);
    let (stack, relocations, count, flags) = (word(24)?, word(28)?, word(32)?, word(36)?);
    let plain = flags & 0b1100 == 0;
    let rising = entry >= 64 && entry < start && start <= end && end <= bss;
    if !rising || flags > 0x3F || read::slice(data, 44, 20)? != [0; 20] {
        return None;
    }
    let end = u64::from(relocations).checked_add(u64::from(count).checked_mul(4)?)?;
    let declared = if plain { end } else { 64 };
    if plain && (relocations < start || end > 1 << 28) {
        return None;
    }
    let mut layout = Layout::leaf(data, declared, Proof::LengthsConsistent);
    layout.attribute("stack-size", stack);
    layout.attribute("created", word(40)?);
    layout.attribute("compression", if plain { "none" } else { "gzip" });
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_at, open_whole, torture};

    #[test]
    fn the_relocations_end_the_file() {
        let mut file = b"bFLT\0\0\0\x04".to_vec();
        for word in [0x44_u32, 0x100, 0x180, 0x200, 4096, 0x180, 3, 1, 1_600_000_000, 0, 0, 0, 0, 0]
        {
            file.extend(word.to_be_bytes());
        }
        file.resize(0x180 + 12, 7);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.attribute("stack-size"), "4096");
        torture(&FORMAT, &file);
        file[15] = 0xFF;
        file[14] = 0xFF;
        assert!(open_at(&FORMAT, &file, 0).is_none());
    }
}
