//! Sercomm: the 512-byte header, and encrypted images whose key is made from their own header.
//!
//! An encrypted image begins with five texts of 32 bytes: key (empty), version, initialisation vector, random, size of
//! the plain image. The AES-256 key is the MD5 of random and version, then the MD5 of size and version; the body is CBC
//! with the padding of PKCS #7. *False positives*: none known; there is no magic, so size and length of the body must
//! agree to the byte. Later images (CS9) derive the key otherwise: where the padding does not come out, the body stays
//! encrypted unless a key is given.
//! Sources: OpenWrt firmware-utils, `mksercommfw.c`; OpenWrt, `scripts/sercomm-crypto.py` (layout, derivation).

use bytes::Bytes;
use proofmark_model::{Problem, Proof};

use crate::{
    budget::Budget,
    codec::aes::{self, Aes},
    format::{Entry, Loaded, Magic},
    formats::{
        layout::{self, Deferred, Layout, Reader, about},
        sums,
    },
    keys::Opened,
    read,
};

/// Sercomm's 512-byte header.
pub static HEADER: Reader = Reader {
    about: about!(
        Vendor,
        "sercomm",
        "Sercomm header",
        "none",
        "complement sum of the header",
        "what follows the header is left to the engine",
        "OpenWrt firmware-utils, mksercommfw.c (layout)"
    ),
    magics: &[Magic::anywhere(b"sErCoMm")],
    read: |data, _| {
        let head = data.get(..512)?;
        let sum = sums::sum8(head) & 0xFF;
        if head.get(..7)? != b"sErCoMm"
            || head.get(63..70)? != b"sErCoMm"
            || !matches!(sum, 0 | 0xFF)
        {
            return None;
        }
        let mut layout = Layout::leaf(data, 512, Proof::ChecksumVerified);
        layout.integrity("crc", "sum8", Some(true));
        Some(layout)
    },
};

/// Encrypted images.
pub static ENCRYPTED: Reader = Reader {
    about: about!(
        Vendor,
        "sercomm-encrypted",
        "Sercomm encrypted firmware",
        "version",
        "padding behind the declared size",
        "images that derive the key otherwise (CS9) need a key",
        "OpenWrt, scripts/sercomm-crypto.py (layout)"
    ),
    magics: &[Magic::start(b"")],
    read: encrypted,
};

const FIELD: usize = 32;
const HEAD: usize = 5 * FIELD;

fn field(data: &[u8], n: usize) -> Option<&[u8]> {
    read::slice(data, n.checked_mul(FIELD)?, FIELD)
}

/// The key that the header makes.
fn derived(data: &[u8]) -> Option<Vec<u8>> {
    let (version, random, size) = (field(data, 1)?, field(data, 3)?, field(data, 4)?);
    Some([sums::md5_of([random, version]), sums::md5_of([size, version])].concat())
}

/// The vector: 32 hexadecimal digits, or 16 bytes.
fn vector(data: &[u8]) -> Option<[u8; aes::BLOCK]> {
    let text = field(data, 2)?;
    let digits: Option<Vec<u8>> = text
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    digits.and_then(|d| d.try_into().ok()).or_else(|| read::array(text, 0))
}

fn encrypted(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (version, size) = (field(data, 1)?, field(data, 4)?);
    if version.first().is_none_or(|b| *b == 0)
        || !layout::is_text_field(version)
        || !layout::is_text_field(size)
    {
        return None;
    }
    let size: u64 = std::str::from_utf8(read::until_nul(size)).ok()?.parse().ok()?;
    let padded = size.checked_div(16)?.checked_add(1)?.checked_mul(16)?;
    if size < 16 || padded.checked_add(HEAD as u64)? != data.len() as u64 {
        return None;
    }
    let mut layout = Layout::new(data, data.len() as u64, Proof::LengthsConsistent);
    layout.structure(0, HEAD);
    layout.attribute("version", layout::text(version, 0, FIELD)?);
    layout.attribute("compression", "none");
    layout.integrity("none", "", None);
    // The last block alone tells whether the key is right: its padding is known beforehand.
    let body = data.slice(HEAD..);
    let tail = body.get(body.len().checked_sub(32)?..)?;
    let (before, last) = tail.as_chunks::<16>().0.split_first()?;
    let padding = padded.saturating_sub(size) as usize;
    let key = derived(data)?;
    let fits = |key: &[u8]| {
        let plain = Aes::new(key)?.cbc(before, last.as_flattened());
        (aes::unpadded(&plain)?.len() == aes::BLOCK.checked_sub(padding)?).then_some(())
    };
    if fits(&key).is_some() {
        layout.attribute("encrypted", "yes");
        layout.attribute("decrypted-with", "the key that the header makes");
        if padding >= 4 {
            layout.proof = Proof::ChecksumVerified;
        }
        let iv = vector(data)?;
        let blob = Deferred::blob(size, move |budget| match budget.output(padded) {
            Ok(()) => {
                let mut plain = Aes::new(&key).map(|aes| aes.cbc(&iv, &body)).unwrap_or_default();
                plain.truncate(read::index(size).unwrap_or(usize::MAX));
                Loaded { bytes: plain.into(), problems: Vec::new() }
            }
            Err(e) => Loaded { bytes: Bytes::new(), problems: vec![Problem::from(e)] },
        });
        layout.entry(HEAD..data.len(), Entry::file("decrypted", blob));
    } else {
        layout.sealed(
            data,
            budget,
            "sercomm-encrypted",
            (HEAD as u64, padded),
            "size and length of the body are those of AES-CBC, and the key that older headers make does not fit",
            |key, body| {
                let mut plain = key.aes_cbc(vector(data), body)?;
                fits(key.key.as_ref()?)?;
                plain.truncate(read::index(size)?);
                Some(Opened { bytes: plain, verified: true })
            },
        );
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use proofmark_model::ProblemKind;

    use super::*;
    use crate::formats::testing::{noise, open, open_at, scratch, tool, torture};

    /// Header as the script writes it, body by openssl.
    fn image(content: &[u8], random: &[u8], iv: &str) -> Vec<u8> {
        let mut head = Vec::new();
        let size = content.len().to_string();
        for text in [&b""[..], b"2.0.38", iv.as_bytes(), random, size.as_bytes()] {
            let end = head.len() + FIELD;
            head.extend(text);
            head.resize(end, 0);
        }
        let key = sums::hex(&derived(&head).unwrap());
        let iv = if iv.is_empty() { "0".repeat(32) } else { iv.to_owned() };
        let dir = scratch();
        std::fs::write(dir.path().join("in"), content).unwrap();
        let command = format!("openssl enc -aes-256-cbc -K {key} -iv {iv} -in in");
        [head, tool(dir.path(), "openssl", &command)].concat()
    }

    #[test]
    fn the_header_makes_the_key() {
        let content = noise(3003, 5);
        for iv in ["", "00112233445566778899aabbccddeeff"] {
            let mut file = image(&content, b"", iv);
            let opened = open(&ENCRYPTED, &file);
            assert_eq!(opened.problems, []);
            assert_eq!(opened.content("decrypted"), content);
            assert_eq!(
                (opened.attribute("version"), opened.candidate.proof),
                ("2.0.38", Proof::ChecksumVerified)
            );
            torture(&ENCRYPTED, &file);
            // Another derivation: only the size says what it is.
            file[FIELD * 3] = b'x';
            let opened = open(&ENCRYPTED, &file);
            assert_eq!(opened.problems[0].kind, ProblemKind::Encrypted);
            assert_eq!(opened.files(), ["encrypted"]);
        }
        assert!(open_at(&ENCRYPTED, &noise(4000, 3), 0).is_none());
        assert!(open_at(&ENCRYPTED, &[0; 4000], 0).is_none());
        assert!(open_at(&ENCRYPTED, &b"a text of a few lines\n".repeat(40), 0).is_none());
    }

    #[test]
    fn the_header_of_512_bytes() {
        let mut file = b"sErCoMm".to_vec();
        file.resize(63, 0);
        file.extend(b"sErCoMm");
        file.resize(512, 0);
        file[511] = u8::try_from(sums::sum8(&file) & 0xFF).unwrap().wrapping_neg();
        assert_eq!(open(&HEADER, &file).candidate.length, 512);
        torture(&HEADER, &file);
        file[100] = 1;
        assert!(open_at(&HEADER, &file, 0).is_none());
    }
}
