//! Android Verified Boot: the vbmeta block and the footer at the end of a partition.
//!
//! Establishes: sizes, the digest that the authentication block stores, algorithm, rollback index, flags
//! (verification disabled), and which partitions descriptors cover. The signature itself is not verified.

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

const SOURCES: &[&str] = &["AOSP external/avb, libavb/avb_vbmeta_image.h and avb_footer.h"];

/// The block with descriptors and signature.
pub static VBMETA: Reader = Reader {
    about: &About {
        id: "avb-vbmeta",
        name: "Android Verified Boot metadata",
        family: Family::Boot,
        revision: 1,
        metadata: "algorithm, rollback index, flags, covered partitions",
        integrity: "stored digest over header and descriptors",
        limits: "the signature is not verified",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(b"AVB0\0\0\0\x01")],
    read: vbmeta,
};

/// The last 64 bytes of a partition.
pub static FOOTER: Reader = Reader {
    about: &About {
        id: "avb-footer",
        name: "Android Verified Boot footer",
        family: Family::Boot,
        revision: 1,
        metadata: "size of the image before it, place of the vbmeta block",
        integrity: "reserved bytes are 0",
        limits: "",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(b"AVBf\0\0\0\x01")],
    read: footer,
};

const ALGORITHMS: &[&str] = &[
    "none",
    "sha256-rsa2048",
    "sha256-rsa4096",
    "sha256-rsa8192",
    "sha512-rsa2048",
    "sha512-rsa4096",
    "sha512-rsa8192",
];

fn vbmeta(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let long = |at| read::be64(data, at);
    let (authentication, auxiliary) = (long(12)?, long(20)?);
    let algorithm = *ALGORITHMS.get(read::index(read::be32(data, 28)?.into())?)?;
    if data.get(..4)? != b"AVB0"
        || authentication % 64 != 0
        || auxiliary % 64 != 0
        || authentication.max(auxiliary) > 1 << 20
    {
        return None;
    }
    let mut layout = Layout::leaf(
        data,
        authentication.checked_add(auxiliary)?.checked_add(256)?,
        Proof::LengthsConsistent,
    );
    let body = read::index(authentication)?.checked_add(256)?;
    let signed = [data.get(..256)?, data.get(body..layout.length).unwrap_or_default()].concat();
    let stored =
        read::slice(data, read::index(long(32)?)?.checked_add(256)?, read::index(long(40)?)?);
    let name = algorithm.split('-').next()?;
    budget.work(signed.len() as u64).ok()?;
    let right = stored.and_then(|stored| Some(sums::by_name(name, &signed)? == stored));
    if right == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.attribute("version", layout::text(data, 128, 48)?);
    layout.attribute("rollback-index", long(112)?);
    let flags = read::be32(data, 120)?;
    layout.attribute("hashtree-disabled", if flags & 1 != 0 { "yes" } else { "no" });
    layout.attribute("verification-disabled", if flags & 2 != 0 { "yes" } else { "no" });
    if algorithm == "none" {
        layout.integrity("none", "", None);
    } else {
        layout.attribute(
            "digest-correct",
            match right {
                Some(true) => "yes",
                Some(false) => "no",
                None => "unknown",
            },
        );
        layout.integrity("signature", algorithm, right.filter(|right| !right));
    }
    let descriptors = read::index(long(96)?)?.checked_add(body)?;
    let mut rest = read::slice(data, descriptors, read::index(long(104)?)?).unwrap_or_default();
    for n in 1..=64_u32 {
        let (Some(tag), Some(len)) =
            (read::be64(rest, 0), read::be64(rest, 8).and_then(read::index))
        else {
            break;
        };
        let (kind, name_at) = match tag {
            0 => ("property", None),
            1 => ("hashtree", Some((104, 180))),
            2 => ("hash", Some((56, 132))),
            3 => ("kernel-command-line", None),
            4 => ("chain", Some((20, 92))),
            _ => ("other", None),
        };
        let name = name_at.and_then(|(size, at)| {
            layout::text(rest, at, read::index(read::be32(rest, size)?.into())?.min(256))
        });
        layout.attribute(
            &format!("descriptor-{n}"),
            format!("{kind} {}", name.unwrap_or_default()).trim(),
        );
        match len.checked_add(16).and_then(|len| rest.get(len..)) {
            Some(next) if !next.is_empty() => rest = next,
            _ => break,
        }
    }
    Some(layout)
}

fn footer(data: &Bytes, _: &Budget) -> Option<Layout> {
    let (original, at, size) =
        (read::be64(data, 12)?, read::be64(data, 20)?, read::be64(data, 28)?);
    if data.get(..4)? != b"AVBf"
        || read::slice(data, 36, 28)? != [0; 28]
        || original > at
        || size < 256
    {
        return None;
    }
    let mut layout = Layout::leaf(data, 64, Proof::LengthsConsistent);
    layout.attribute("original-size", original);
    layout.attribute("vbmeta-offset", format!("{at:#x}"));
    layout.attribute("vbmeta-size", size);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, open_whole, torture};

    /// Our own construction after the documented layout: digest over header and descriptors.
    fn build() -> Vec<u8> {
        let mut header = b"AVB0\0\0\0\x01\0\0\0\0".to_vec();
        header.extend([320_u64, 192].iter().flat_map(|n| n.to_be_bytes()));
        header.extend(1_u32.to_be_bytes());
        for n in [0_u64, 32, 32, 256, 0, 0, 0, 0, 0, 148, 7] {
            header.extend(n.to_be_bytes());
        }
        header.extend(2_u32.to_be_bytes());
        header.resize(128, 0);
        header.extend(b"avbtool 1.2.0");
        header.resize(256, 0);
        let mut auxiliary =
            [2_u64, 132, 4096].iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
        auxiliary.extend(b"sha256");
        auxiliary.resize(56, 0);
        auxiliary.extend(4_u32.to_be_bytes());
        auxiliary.resize(132, 0);
        auxiliary.extend(b"boot");
        auxiliary.resize(192, 0);
        let digest = sums::sha256(&[header.clone(), auxiliary.clone()].concat());
        let mut authentication = digest.to_vec();
        authentication.resize(320, 0x55);
        [header, authentication, auxiliary].concat()
    }

    #[test]
    fn digest_and_descriptors() {
        let mut block = build();
        let opened = open_whole(&VBMETA, &block);
        assert_eq!(opened.candidate.proof, Proof::ChecksumVerified);
        assert_eq!(opened.attribute("descriptor-1"), "hash boot");
        assert_eq!(opened.attribute("verification-disabled"), "yes");
        assert_eq!(opened.attribute("rollback-index"), "7");
        torture(&VBMETA, &block);
        block[600] ^= 1;
        assert_eq!(open(&VBMETA, &block).attribute("integrity-correct"), "no");
    }

    #[test]
    fn a_footer_and_a_false_one() {
        let mut footer = b"AVBf\0\0\0\x01\0\0\0\0".to_vec();
        footer.extend([4096_u64, 4096, 768].iter().flat_map(|n| n.to_be_bytes()));
        footer.resize(64, 0);
        assert_eq!(open_whole(&FOOTER, &footer).attribute("original-size"), "4096");
        torture(&FOOTER, &footer);
        footer[50] = 1;
        assert!(open_at(&FOOTER, &footer, 0).is_none());
        assert!(
            open_at(&VBMETA, &[b"AVB0\0\0\0\x01".as_slice(), &[0xFF; 400]].concat(), 0).is_none()
        );
    }
}
