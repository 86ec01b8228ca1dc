//! LUKS 1 and 2: encrypted block devices. The content stays opaque; what is known of the encryption is told.
//!
//! Establishes: the header; for version 2 its SHA-256. The region reaches to the end of its content, for the
//! header does not tell the size of the device.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        layout::{self, Layout, Reader},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "luks",
        name: "LUKS",
        family: Family::Partition,
        revision: 1,
        metadata: "cipher, mode, hash, key bits, UUID, label",
        integrity: "version 2: sha256 of the header",
        limits: "content is not decrypted",
        sources: &[
            "LUKS On-Disk Format Specification 1.2.3",
            "LUKS2 On-Disk Format Specification 1.1",
        ],
    },
    magics: &[Magic::anywhere(b"LUKS\xBA\xBE\0\x01"), Magic::anywhere(b"LUKS\xBA\xBE\0\x02")],
    read: read_layout,
};

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let version = read::be16(data, 6)?;
    if data.get(..6)? != b"LUKS\xBA\xBE" {
        return None;
    }
    let mut layout = Layout::new(data, data.len() as u64, Proof::LengthsConsistent);
    layout.attribute("version", version);
    let (cipher, header) = if version == 1 {
        let (cipher, mode) = (layout::text(data, 8, 32)?, layout::text(data, 40, 32)?);
        if cipher.is_empty() || !layout::is_text_field(data.get(8..40)?) {
            return None;
        }
        layout.attribute("hash", layout::text(data, 72, 32)?);
        layout.attribute("key-bits", u64::from(read::be32(data, 108)?).checked_mul(8)?);
        (format!("{cipher}-{mode}"), u64::from(read::be32(data, 104)?).checked_mul(512)?)
    } else if version == 2 {
        let size = read::be64(data, 8).filter(|n| (16384..=1 << 23).contains(n))?;
        let area = data.get(..read::index(size)?)?;
        budget.work(size).ok()?;
        if layout::text(area, 72, 32)? == "sha256" {
            let mut zeroed = area.to_vec();
            zeroed.get_mut(448..512)?.fill(0);
            let right = area.get(448..480)? == sums::sha256(&zeroed);
            layout.attribute("checksum-correct", if right { "yes" } else { "no" });
            if right {
                layout.proof = Proof::ChecksumVerified;
            }
        }
        layout.attribute("label", layout::text(data, 24, 48)?);
        let json = String::from_utf8_lossy(area.get(4096..)?).into_owned();
        // The cipher of the data segment: the first `encryption` text after `segments`.
        let segments = json.split_once("\"segments\"").map_or("", |(_, rest)| rest);
        let cipher =
            segments.split_once("\"encryption\":\"").and_then(|(_, rest)| rest.split('"').next());
        (cipher.unwrap_or("unknown").to_owned(), size.checked_mul(2)?)
    } else {
        return None;
    };
    layout.attribute("cipher", &cipher);
    layout.attribute("uuid", layout::text(data, 168, 40)?);
    layout.encrypted(format!("LUKS {version} header names cipher {cipher}; no key was given"));
    layout.structure(0, read::index(header)?.min(layout.length));
    let rest = (layout.length as u64).saturating_sub(header);
    layout.part(data, "encrypted", header, rest);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, scratch, tool, torture};

    #[test]
    fn what_cryptsetup_makes_is_told_to_be_encrypted() {
        let dir = scratch();
        let make = "truncate -s 4M one; truncate -s 20M two
            echo secret | cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 -c aes-xts-plain64 one -
            echo secret | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label data -c aes-xts-plain64 two -";
        tool(dir.path(), "cryptsetup-bin", make);
        for (name, version) in [("one", "1"), ("two", "2")] {
            let disk = std::fs::read(dir.path().join(name)).unwrap();
            let opened = open(&FORMAT, &disk);
            assert_eq!(opened.attribute("cipher"), "aes-xts-plain64");
            assert_eq!(opened.attribute("version"), version);
            assert_eq!(opened.problems.len(), 1);
            assert_eq!(opened.problems[0].kind, proofmark_model::ProblemKind::Encrypted);
            torture(&FORMAT, &disk[..20_000]);
        }
    }

    #[test]
    fn the_magic_alone_is_refused() {
        assert!(open_at(&FORMAT, b"LUKS\xBA\xBE\0\x01", 0).is_none());
        assert!(
            open_at(&FORMAT, &[b"LUKS\xBA\xBE\0\x01".as_slice(), &[0; 600]].concat(), 0).is_none()
        );
    }
}
