//! Technicolor RBI.
//!
//! Establishes: the `BLI2` header, the payload's offset, the board, and the payload's chain of elements, each around the
//! next: plain (B0), zlib (B4), AES-256 (B7) or a digest (B8). The chain is unwound to what it holds; an AES element has a
//! key of its own that the board's key opens, which somebody has to supply (no key is built in). The header has room for
//! an RSA signature, which is reported.
//! Sources: hack-technicolor documentation; a public unpacking script (sizes of elements).

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    codec::{
        aes::{self, Aes},
        deflate,
    },
    format::{About, Entry, Family, Loaded, Magic},
    formats::{
        layout::{self, Deferred, Layout, Reader},
        sums,
    },
    keys::Opened,
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "technicolor-rbi",
        name: "Technicolor RBI",
        family: Family::Vendor,
        revision: 2,
        metadata: "board, kinds of elements",
        integrity: "sha256 elements; signature reported, not verified",
        limits: "AES elements need the board's key",
        sources: &["hack-technicolor documentation (layout)", "public unpacking script (elements)"],
    },
    magics: &[Magic::start(b"BLI2")],
    read: read_layout,
};

/// Elements that may be around each other.
const DEPTH: usize = 8;

/// What an element wraps: its kind and the bytes behind its head.
fn element(data: &Bytes) -> Option<(u8, Bytes)> {
    let kind = *data.first()?;
    let head = match kind {
        0xB0 => 6,
        0xB4 | 0xB7 => 10,
        0xB8 => 42,
        _ => return None,
    };
    (data.len() >= head).then(|| (kind, data.slice(head..)))
}

/// The content of an AES element: its own key is encrypted with the board's.
fn open_sealed(key: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let own = Aes::new(key)?.cbc(&read::array(body, 0)?, body.get(16..64)?);
    let own = aes::unpadded(&own).filter(|k| k.len() == 32)?;
    let mut plain = Aes::new(own)?.cbc(&read::array(body, 64)?, body.get(80..)?);
    let length = aes::unpadded(&plain)?.len();
    plain.truncate(length);
    Some(plain)
}

/// Unwinds elements down to a plain one; with `key` also encrypted ones.
fn unwind(mut data: Bytes, key: Option<&[u8]>, budget: &Budget) -> Loaded {
    let damaged = |text: &str| Loaded {
        bytes: Bytes::new(),
        problems: vec![Problem::new(ProblemKind::Malformed, text)],
    };
    let mut problems = Vec::new();
    for _ in 0..DEPTH {
        let Some((kind, body)) = element(&data) else {
            return damaged("an element of no known kind");
        };
        data = match (kind, key) {
            (0xB0, _) => return Loaded { bytes: body, problems },
            (0xB8, _) => {
                let digest = data.get(10..42).unwrap_or_default();
                if budget.work(body.len() as u64).is_ok() && sums::sha256(&body) != digest {
                    let text = "the sha256 of an element does not match what is in it";
                    problems.push(Problem::new(ProblemKind::Checksum, text));
                }
                body
            }
            (0xB4, _) => {
                let made = deflate::zlib(&body, usize::MAX, budget);
                if let Some(e) = made.error {
                    problems.push(e.into());
                    return Loaded { bytes: made.bytes.into(), problems };
                }
                made.bytes.into()
            }
            (_, Some(key)) => match (budget.output(body.len() as u64), open_sealed(key, &body)) {
                (Err(e), _) => return Loaded { bytes: Bytes::new(), problems: vec![e.into()] },
                (_, Some(plain)) => plain.into(),
                (_, None) => return damaged("an AES element does not open"),
            },
            (_, None) => {
                let text = "an AES element inside; the board's key was not given";
                problems.push(Problem::new(ProblemKind::Encrypted, text));
                return Loaded { bytes: data, problems };
            }
        };
    }
    damaged("more elements around each other than any image has")
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let offset = read::be16(data, 0x2A)?;
    let board = data.get(0x13C..0x144)?;
    let kind = *data.get(usize::from(offset))?;
    if data.get(..4)? != b"BLI2"
        || offset < 0x144
        || !matches!(kind, 0xB0 | 0xB4 | 0xB7 | 0xB8)
        || !board.iter().take(6).all(u8::is_ascii_graphic)
    {
        return None;
    }
    let mut layout = Layout::new(data, data.len() as u64, Proof::LengthsConsistent);
    layout.structure(0, usize::from(offset));
    layout.attribute("board", layout::text(board, 0, 6)?);
    layout.integrity("signature", "rsa", None);
    // Down to the first encrypted element without decoding.
    let payload = data.slice(usize::from(offset)..);
    let (mut inner, mut kinds) = (payload.clone(), Vec::new());
    while let Some((kind, body)) = element(&inner).filter(|_| kinds.len() < DEPTH) {
        kinds.push(format!("{kind:02x}"));
        if kind != 0xB8 {
            break;
        }
        inner = body;
    }
    layout.attribute("elements", kinds.join(" "));
    let length = payload.len() as u64;
    if inner.first() == Some(&0xB7) {
        layout.sealed(
            data,
            budget,
            "technicolor-rbi",
            (offset.into(), length),
            "an element of the payload is AES-256-CBC (B7)",
            |key, body| {
                let made = unwind(Bytes::copy_from_slice(body), key.key.as_deref(), budget);
                made.problems
                    .is_empty()
                    .then(|| Opened { bytes: made.bytes.to_vec(), verified: true })
            },
        );
    } else {
        // What comes out is not known before; a plain element only loses its head.
        let declared = if kind == 0xB0 { length.saturating_sub(6) } else { 0 };
        let blob = Deferred::blob(declared, move |budget| unwind(payload.clone(), None, budget));
        layout.entry(usize::from(offset)..data.len(), Entry::file("payload", blob));
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        format::Sink,
        formats::testing::{noise, open, open_at, scratch, tool, torture},
        keys::{Key, Keyring},
    };

    fn header() -> Vec<u8> {
        let mut file = b"BLI223WH0".to_vec();
        file.resize(0x180, 0);
        file[0x2A..0x2C].copy_from_slice(&0x180_u16.to_be_bytes());
        file[0x13C..0x142].copy_from_slice(b"VANT-6");
        file
    }

    fn wrap(kind: u8, head: usize, body: &[u8]) -> Vec<u8> {
        let mut element = vec![kind];
        element.resize(head, 0);
        if kind == 0xB8 {
            element[10..42].copy_from_slice(&sums::sha256(body));
        }
        element.extend(body);
        element
    }

    fn encrypt(content: &[u8], key: &str, iv: &str) -> Vec<u8> {
        let dir = scratch();
        std::fs::write(dir.path().join("in"), content).unwrap();
        tool(dir.path(), "openssl", &format!("openssl enc -aes-256-cbc -K {key} -iv {iv} -in in"))
    }

    #[test]
    fn elements_are_unwound() {
        let content = b"what the bank holds, a few times over\n".repeat(50);
        let plain = wrap(0xB0, 6, &content);
        let mut zlib = Vec::new();
        let mut coder = flate2::read::ZlibEncoder::new(&plain[..], flate2::Compression::new(6));
        std::io::copy(&mut coder, &mut zlib).unwrap();
        let packed = wrap(0xB8, 42, &wrap(0xB4, 10, &zlib));
        for payload in [plain, packed.clone()] {
            let file = [header(), payload].concat();
            let opened = open(&FORMAT, &file);
            assert_eq!(opened.attribute("board"), "VANT-6");
            assert_eq!(opened.content("payload"), content);
        }
        torture(&FORMAT, &[header(), packed.clone()].concat());

        let (board, own, iv) = ("17".repeat(32), "2a".repeat(32), "35".repeat(16));
        let sealed = [
            vec![0x35; 16],
            encrypt(&[0x2A; 32], &board, &iv),
            vec![0x35; 16],
            encrypt(&packed, &own, &iv),
        ];
        let file = [header(), wrap(0xB7, 10, &sealed.concat())].concat();
        let opened = open(&FORMAT, &file);
        assert_eq!(opened.problems[0].kind, ProblemKind::Encrypted);
        assert_eq!(opened.attribute("encrypted"), "yes");
        for (byte, right) in [(0x17, true), (0x18, false)] {
            let key = Key {
                name: "board".into(),
                format: "technicolor-rbi".into(),
                key: Some(vec![byte; 32]),
                iv: None,
                password: None,
                openssl: Default::default(),
            };
            let keys = Arc::new(Keyring::new(vec![key]).unwrap());
            let budget = Budget::ample().with_keys(&keys);
            let region = Bytes::from(file.clone());
            let mut sink = Sink::new(&budget);
            read_layout(&region, &budget).unwrap().emit(&region, &budget, &mut sink);
            assert_eq!(sink.attributes.contains_key("decrypted-with"), right);
            if right {
                assert_eq!(sink.entries[0].blob.load(&budget).bytes, content);
            }
        }
        let mut other = header();
        other.extend(noise(300, 64));
        other[0x180] = 0x00;
        assert!(open_at(&FORMAT, &other, 0).is_none());
    }
}
