//! D-Link containers: SHRS, `encrpted_img`, the TLV header, MH01 and DEAFBEAD.
//!
//! SHRS establishes sizes and, without a key, the SHA-512 over the encrypted body; its RSA signatures are
//! reported. `encrpted_img` states its length and nothing else. Keys come from a key file; without one that fits
//! the content is entry `encrypted`, with the problem that it is encrypted.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        layout::{self, Layout, Reader},
        sums,
    },
    keys::{Key, Opened},
    read,
};

/// `SHRS`.
pub static SHRS: Reader = Reader {
    about: &About {
        id: "dlink-shrs",
        name: "D-Link SHRS",
        family: Family::Vendor,
        revision: 1,
        metadata: "sizes, initialisation vector",
        integrity: "sha512 over the encrypted body; signatures reported, not verified",
        limits: "AES-128-CBC content needs a key",
        sources: &["unblob, handlers/archive/dlink/shrs.py (layout)"],
    },
    magics: &[Magic::anywhere(b"SHRS")],
    read: shrs,
};

/// `encrpted_img`.
pub static ENCRPTED: Reader = Reader {
    about: &About {
        id: "dlink-encrpted-img",
        name: "D-Link encrpted_img",
        family: Family::Vendor,
        revision: 1,
        metadata: "size",
        integrity: "none",
        limits: "content needs a key and a vector",
        sources: &["unblob, handlers/archive/dlink/encrpted_img.py (layout)"],
    },
    magics: &[Magic::anywhere(b"encrpted_img")],
    read: encrpted,
};

/// The TLV header of `6480 1940`.
pub static TLV: Reader = Reader {
    about: &About {
        id: "dlink-tlv",
        name: "D-Link TLV",
        family: Family::Vendor,
        revision: 1,
        metadata: "model, board",
        integrity: "md5 as text",
        limits: "",
        sources: &["binwalk, structures/dlink_tlv.rs (layout)"],
    },
    magics: &[Magic::anywhere(b"\x64\x80\x19\x40")],
    read: tlv,
};

/// `MH01`.
pub static MH01: Reader = Reader {
    about: &About {
        id: "dlink-mh01",
        name: "D-Link MH01",
        family: Family::Vendor,
        revision: 1,
        metadata: "initialisation vector",
        integrity: "signature reported, not verified",
        limits: "content needs a password",
        sources: &["binwalk, structures/mh01.rs (layout)"],
    },
    magics: &[Magic::anywhere(b"MH01")],
    read: mh01,
};

fn shrs(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const HEADER: usize = 0x6DC;
    let (plain, padded) = (read::be32(data, 4)?, read::be32(data, 8)?);
    let head = data.get(..HEADER)?;
    // 512 zero bytes between digests and signatures.
    if data.get(..4)? != b"SHRS" || head.get(0xDC..0x2DC)? != [0; 0x200] {
        return None;
    }
    let size = u64::from(plain.max(padded)).next_multiple_of(16);
    let mut layout = Layout::new(data, size.checked_add(HEADER as u64)?, Proof::LengthsConsistent);
    layout.structure(0, HEADER);
    layout.attribute("plain-size", plain.min(padded));
    layout.attribute("initialisation-vector", sums::hex(data.get(12..28)?));
    let body = data.get(HEADER..layout.length)?;
    budget.work(body.len() as u64).ok()?;
    let right = sums::by_name("sha512", body).as_deref() == head.get(0x9C..0xDC);
    if right {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.attribute("digest-correct", if right { "yes" } else { "no" });
    layout.integrity("signature", "rsa", None);
    let vector: [u8; 16] = data.get(12..28)?.try_into().ok()?;
    let digest = head.get(0x5C..0x9C)?;
    layout.sealed(
        data,
        budget,
        SHRS.about.id,
        (HEADER as u64, size),
        "SHRS bodies are AES-128-CBC encrypted",
        |key, body| {
            let mut bytes = key.aes_cbc(Some(vector), body)?;
            // The digest is of what is left without the padding.
            let end = read::index(plain.min(padded).into())?;
            let right = |bytes: &[u8]| sums::by_name("sha512", bytes).as_deref() == Some(digest);
            let verified = bytes.get(..end).is_some_and(right) || right(&bytes);
            bytes.truncate(end);
            verified.then_some(Opened { bytes, verified })
        },
    );
    Some(layout)
}

/// Bytes of an erase block of the devices that use `encrpted_img`.
const ERASE_BLOCK: usize = 0x20000;

fn encrpted(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let size = u64::from(read::be32(data, 12)?);
    if data.get(..12)? != b"encrpted_img"
        || size <= 16
        || size > 1 << 29
        || size > data.len() as u64
    {
        return None;
    }
    let mut layout = Layout::new(data, size, Proof::LengthsConsistent);
    layout.structure(0, 16);
    layout.integrity("none", "", None);
    layout.sealed(
        data,
        budget,
        ENCRPTED.about.id,
        (16, size.checked_sub(16)?),
        "the header's text says so",
        |key, body| {
            // Each erase block is chained by itself.
            let blocks = body.chunks(ERASE_BLOCK).map(|block| key.aes_cbc(None, block));
            Some(Opened::by_looks(blocks.collect::<Option<Vec<_>>>()?.concat()))
        },
    );
    Some(layout)
}

fn tlv(data: &Bytes, budget: &Budget) -> Option<Layout> {
    // Magic, unknown word, model[32], board[32], unknown word, MD5 as text [32], then type 1 and length.
    let digest = read::slice(data, 0x4C, 32)?;
    let size = u64::from(read::le32(data, 0x70)?);
    if data.get(..4)? != b"\x64\x80\x19\x40"
        || read::le32(data, 0x6C)? != 1
        || size == 0
        || size > 1 << 28
    {
        return None;
    }
    let mut layout = Layout::new(data, size.checked_add(0x74)?, Proof::LengthsConsistent);
    layout.structure(0, 0x74);
    layout.attribute("name", layout::text(data, 8, 32)?);
    layout.attribute("board", layout::text(data, 0x28, 32)?);
    let body = data.get(0x74..layout.length)?;
    if digest.iter().all(u8::is_ascii_hexdigit) {
        let whole = body.len() as u64 == size && budget.work(size).is_ok();
        let correct =
            whole.then(|| sums::hex(&sums::md5(body)).as_bytes() == digest.to_ascii_lowercase());
        if correct == Some(true) {
            layout.proof = Proof::ChecksumVerified;
        }
        // What the text covers differs between models, so only a match says something.
        layout.integrity("hash", "md5", correct.filter(|right| *right));
    } else {
        layout.integrity("none", "", None);
    }
    layout.part(data, "image", 0x74, size);
    Some(layout)
}

fn mh01(data: &Bytes, budget: &Budget) -> Option<Layout> {
    // Text lines: MH01, vector in hexadecimal, then an OpenSSL container.
    let window = data.get(..data.len().min(512))?;
    let salted = memchr::memmem::find(window, b"Salted__")?;
    if data.get(..4)? != b"MH01" {
        return None;
    }
    let mut layout = Layout::new(data, data.len() as u64, Proof::MagicOnly);
    layout.structure(0, salted);
    layout.integrity("signature", "rsa", None);
    layout.sealed(
        data,
        budget,
        MH01.about.id,
        (salted as u64, (data.len() as u64).saturating_sub(salted as u64)),
        "an OpenSSL container (`Salted__`) stands behind the header",
        Key::openssl,
    );
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, torture};
    use proofmark_model::ProblemKind;

    #[test]
    fn our_own_shrs_is_encrypted_and_its_digest_right() {
        let body = noise(1600, 46);
        let mut file = b"SHRS".to_vec();
        file.extend(1590_u32.to_be_bytes());
        file.extend(1600_u32.to_be_bytes());
        file.extend([9; 16]);
        file.resize(0x9C, 1);
        file.extend(sums::by_name("sha512", &body).unwrap());
        file.resize(0x2DC, 0);
        file.resize(0x6DC, 5);
        file.extend(&body);
        let opened = open(&SHRS, &file);
        assert_eq!(opened.candidate.length, file.len());
        assert_eq!(opened.problems[0].kind, ProblemKind::Encrypted);
        assert_eq!(opened.attribute("digest-correct"), "yes");
        assert_eq!(opened.content("encrypted"), body);
        torture(&SHRS, &file);
        file[0x100] = 1;
        assert!(open_at(&SHRS, &file, 0).is_none());
    }

    #[test]
    fn the_others() {
        let body = noise(500, 47);
        let mut file = b"encrpted_img".to_vec();
        file.extend(516_u32.to_be_bytes());
        file.extend(&body);
        assert_eq!(open(&ENCRPTED, &file).content("encrypted"), body);
        torture(&ENCRPTED, &file);
        assert!(open_at(&ENCRPTED, b"encrpted_img is the text", 0).is_none());

        let mut file = vec![0x64, 0x80, 0x19, 0x40, 0, 0, 0, 0];
        file.extend(b"DAP-1");
        file.resize(0x4C, 0);
        file.extend(sums::hex(&sums::md5(&body)).bytes());
        file.extend([1_u32, 500].iter().flat_map(|w| w.to_le_bytes()));
        file.extend(&body);
        let opened = open(&TLV, &file);
        assert_eq!(
            (opened.content("image"), opened.attribute("integrity-correct")),
            (body.clone().into(), "yes")
        );
        torture(&TLV, &file);
        assert!(open_at(&TLV, &noise(300, 48), 0).is_none());

        let file = [b"MH01\n00112233\n".as_slice(), b"Salted__", &body].concat();
        assert_eq!(open(&MH01, &file).problems[0].kind, ProblemKind::Encrypted);
        torture(&MH01, &file);
        assert!(open_at(&MH01, b"MH01 and nothing", 0).is_none());
    }
}
