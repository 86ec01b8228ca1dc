//! ZTE: firmware headers and `config.bin`.
//!
//! Both begin with the same 16 bytes. A configuration has 128 as its header length at 0x44 and then a payload
//! that begins `01020304`: kind 0 is a chain of zlib chunks, which is decoded; other kinds are AES with keys of
//! the model or the device, which come from a key file. A firmware header has size and offset of kernel and root file
//! system at 0x70 to 0x84. Either byte order. Neither carries a signature in the public part of the layout.

use std::io::Read as _;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Entry, Family, Loaded, Magic},
    formats::layout::{Deferred, Layout, Reader, text},
    keys::Opened,
    read::{self, Order},
};

const SOURCES: &[&str] =
    &["zte-config-utility (layout)", "public analyses of H267A, H1600 and SR1010 images (layout)"];

/// Firmware and configuration with the 16-byte mark.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "zte-header",
        name: "ZTE firmware or configuration header",
        family: Family::Vendor,
        revision: 1,
        metadata: "version, model",
        integrity: "none that is documented",
        limits: "newer update containers have further headers and are left to the engine inside the body",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(MARK)],
    read: read_layout,
};

/// The payload of a configuration.
pub static PAYLOAD: Reader = Reader {
    about: &About {
        id: "zte-config",
        name: "ZTE configuration payload",
        family: Family::Vendor,
        revision: 1,
        metadata: "kind of encryption",
        integrity: "chunk lengths; the decoded length",
        limits: "AES kinds need a key; with a vector it is CBC, without one ECB",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(b"\x01\x02\x03\x04\0\0\0"), Magic::start(b"\x04\x03\x02\x01")],
    read: payload,
};

const MARK: &[u8] = b"\x99\x99\x99\x99\x44\x44\x44\x44\x55\x55\x55\x55\xAA\xAA\xAA\xAA";

fn read_layout(data: &Bytes, _: &Budget) -> Option<Layout> {
    if data.get(..16)? != MARK {
        return None;
    }
    let total = data.len() as u64;
    [Order::Big, Order::Little].into_iter().find_map(|order| {
        let word = |at| order.u32(data, at).map(u64::from);
        if word(0x44)? == 128 {
            let len = word(0x48).filter(|len| *len > 0 && *len <= total.saturating_mul(2))?;
            let mut layout = Layout::new(data, len.checked_add(128)?, Proof::LengthsConsistent);
            layout.structure(0, 128);
            let mut at = 128_usize;
            // Text of the model, with a mark and its length before it.
            if order.u32(data, at)? == 0x0403_0201 {
                let len = read::index(word(at.checked_add(8)?)?).filter(|len| *len < 256)?;
                layout.attribute("model", text(data, 140, len)?);
                layout.structure(128, len.checked_add(12)?);
                at = len.checked_add(140)?;
            }
            layout.integrity("none", "", None);
            layout.part(
                data,
                "payload",
                at as u64,
                (layout.length as u64).saturating_sub(at as u64),
            );
            return Some(layout);
        }
        let (kernel, root) = ((word(0x74)?, word(0x70)?), (word(0x80)?, word(0x7C)?));
        let inside =
            |(at, len): (u64, u64)| at >= 0x100 && len > 0 && at.saturating_add(len) <= total;
        if !inside(kernel) {
            return None;
        }
        let end = kernel.0.checked_add(kernel.1)?.max(if inside(root) {
            root.0.checked_add(root.1)?
        } else {
            0
        });
        let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
        layout.structure(0, 0x100);
        layout.align(1 << 17);
        layout.attribute("version", text(data, 0x4C, 0x24)?);
        layout.integrity("none", "", None);
        layout.part(data, "kernel", kernel.0, kernel.1);
        if inside(root) {
            layout.part(data, "rootfs", root.0, root.1);
        }
        Some(layout)
    })
}

fn payload(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let order = match data.get(..4)? {
        b"\x01\x02\x03\x04" => Order::Big,
        b"\x04\x03\x02\x01" => Order::Little,
        _ => return None,
    };
    let word = |at: usize| order.u32(data, at);
    let (kind, size) = (word(4)?, word(8)?);
    // The reserved words at the end of the header are 0.
    if kind > 8 || size == 0 || size > 1 << 28 || read::slice(data, 28, 32)? != [0; 32] {
        return None;
    }
    let mut chunks = Vec::new();
    let mut at = 60_usize;
    loop {
        budget.work(12).ok()?;
        let (plain, packed, more) =
            (word(at)?, word(at.checked_add(4)?)?, word(at.checked_add(8)?)?);
        let start = at.checked_add(12)?;
        let end = start.checked_add(read::index(packed.into())?)?;
        if packed == 0 || end > data.len() {
            return None;
        }
        chunks.push((start, end, plain));
        at = end;
        if more == 0 {
            break;
        }
    }
    let mut layout = Layout::new(data, at as u64, Proof::LengthsConsistent);
    layout.structure(0, 60);
    layout.attribute("kind", kind);
    let zlib = data.get(72).is_some_and(|b| *b == 0x78);
    if kind == 0 && zlib {
        let source = data.slice(..at);
        layout.structure(60, at);
        layout.entry(
            60..60,
            Entry::file(
                "config",
                Deferred::blob(size.into(), move |budget| inflate(&source, &chunks, size, budget)),
            ),
        );
    } else {
        let evidence = format!("payload kind {kind} is AES");
        let place = (60, (at as u64).saturating_sub(60));
        layout.sealed(data, budget, PAYLOAD.about.id, place, &evidence, |key, _| {
            let packed = chunks.iter().map(|(from, to, _)| data.get(*from..*to));
            let body = packed.collect::<Option<Vec<_>>>()?.concat();
            let plain = match key.iv {
                Some(_) => key.aes_cbc(None, &body)?,
                None => key.aes_ecb(&body)?,
            };
            // Each chunk is filled up to whole blocks; what is inside is a payload of its own.
            let mut bytes = Vec::new();
            let mut at = 0_usize;
            for (from, to, size) in &chunks {
                let size = read::index(u64::from(*size))?.min(to.checked_sub(*from)?);
                bytes.extend_from_slice(read::slice(&plain, at, size)?);
                at = at.checked_add(to.checked_sub(*from)?)?;
            }
            let verified = bytes.starts_with(data.get(..4)?);
            Some(Opened { bytes, verified })
        });
    }
    Some(layout)
}

fn inflate(source: &[u8], chunks: &[(usize, usize, u32)], size: u32, budget: &Budget) -> Loaded {
    let mut loaded = Loaded::default();
    if let Err(e) = budget.output(size.into()) {
        loaded.problems.push(e.into());
        return loaded;
    }
    let mut out = Vec::new();
    for (start, end, plain) in chunks {
        let left = u64::from(size).saturating_sub(out.len() as u64).min(u64::from(*plain));
        let packed = source.get(*start..*end).unwrap_or_default();
        if let Err(e) = flate2::read::ZlibDecoder::new(packed).take(left).read_to_end(&mut out) {
            loaded
                .problems
                .push(Problem::new(ProblemKind::Malformed, format!("zlib: {e}")).at(*start as u64));
        }
    }
    if out.len() as u64 != u64::from(size) {
        loaded.problems.push(Problem::new(
            ProblemKind::Incomplete,
            format!("{} of {size} bytes came out", out.len()),
        ));
    }
    loaded.bytes = out.into();
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    fn config(kind: u32) -> (Vec<u8>, Vec<u8>) {
        let plain = b"<DB><Tbl name=\"User\"/></DB>".repeat(9);
        let mut out = words(&[0x0102_0304, kind, u32::try_from(plain.len()).unwrap()]);
        out.resize(60, 0);
        for (n, half) in plain.chunks(plain.len() / 2 + 1).enumerate() {
            let mut packed = Vec::new();
            flate2::read::ZlibEncoder::new(half, flate2::Compression::best())
                .read_to_end(&mut packed)
                .unwrap();
            out.extend(words(&[
                u32::try_from(half.len()).unwrap(),
                u32::try_from(packed.len()).unwrap(),
                u32::from(n == 0),
            ]));
            out.extend(packed);
        }
        (out, plain)
    }

    #[test]
    fn our_own_configuration_is_read_back() {
        let (payload, plain) = config(0);
        let opened = open_whole(&PAYLOAD, &payload);
        assert_eq!(opened.content("config"), plain);
        torture(&PAYLOAD, &payload);
        assert_eq!(open(&PAYLOAD, &config(2).0).problems[0].kind, ProblemKind::Encrypted);
        let mut file = MARK.to_vec();
        file.resize(128, 0);
        file[0x44..0x48].copy_from_slice(&128_u32.to_be_bytes());
        file[0x48..0x4C].copy_from_slice(&u32::try_from(payload.len() + 16).unwrap().to_be_bytes());
        file.extend(words(&[0x0403_0201, 0, 4]));
        file.extend(b"F660");
        file.extend(&payload);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(
            (opened.content("payload"), opened.attribute("model")),
            (payload.into(), "F660")
        );
        torture(&FORMAT, &file);
        assert!(open_at(&PAYLOAD, &[1, 2, 3, 4, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9], 0).is_none());
    }

    #[test]
    fn our_own_firmware_is_read_back() {
        let (kernel, root) = (noise(700, 54), noise(900, 55));
        for big in [true, false] {
            let mut file = MARK.to_vec();
            file.resize(0x100, 0);
            file[0x4C..0x52].copy_from_slice(b"V1.0.2");
            for (at, value) in [(0x70, 700_u32), (0x74, 0x100), (0x7C, 900), (0x80, 0x100 + 700)] {
                file[at..at + 4].copy_from_slice(&if big {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                });
            }
            file.extend(&kernel);
            file.extend(&root);
            let opened = open_whole(&FORMAT, &file);
            assert_eq!(
                (opened.content("kernel"), opened.content("rootfs")),
                (kernel.clone().into(), root.clone().into())
            );
            assert_eq!(opened.attribute("version"), "V1.0.2");
            torture(&FORMAT, &file);
        }
        assert!(open_at(&FORMAT, &[MARK, &[0; 200]].concat(), 0).is_none());
    }
}
