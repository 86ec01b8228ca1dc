//! Smaller containers: HP BDL and IPKG, Senao (EnGenius), OpenSSL, Windows CE, and VxWorks' kernel text. Each is a header whose lengths must agree; see the function of each.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Entry, Family, Loaded, Magic},
    formats::{
        layout::{self, Deferred, Layout, Reader, about, name_or},
        sums,
    },
    read,
};

/// HP firmware bundles.
pub static BDL: Reader = Reader {
    about: about!(
        Vendor,
        "hp-bdl",
        "HP BDL",
        "release, brand, device",
        "offsets and sizes",
        "",
        "unblob, handlers/archive/hp/bdl.py (layout)"
    ),
    magics: &[Magic::anywhere(b"ibdl\x01\0")],
    read: bdl,
};

/// HP packages inside a bundle.
pub static IPKG: Reader = Reader {
    about: about!(
        Vendor,
        "hp-ipkg",
        "HP IPKG",
        "product, name, version",
        "crc32 of each file",
        "",
        "unblob, handlers/archive/hp/ipkg.py (layout)"
    ),
    magics: &[Magic::anywhere(b"ipkg\x01\0")],
    read: ipkg,
};

/// EnGenius and others of Senao: XOR with the bits of the header's mark.
pub static SENAO: Reader = Reader {
    about: about!(
        Vendor,
        "senao",
        "Senao (EnGenius) firmware",
        "vendor, product, version",
        "md5 of the payload",
        "",
        "OpenWrt firmware-utils, mksenaofw.c (layout)"
    ),
    magics: &[Magic::anywhere(b"\x12\x34\x56\x78").after(0x5C)],
    read: senao,
};

/// `openssl enc` with a password.
pub static OPENSSL: Reader = Reader {
    about: about!(
        Vendor,
        "openssl-salted",
        "OpenSSL salted encryption",
        "salt",
        "the padding, with a password",
        "content needs a password and the parameters of the call",
        "OpenSSL, apps/enc.c"
    ),
    magics: &[Magic::start(b"Salted__")],
    read: |data, budget| {
        let salt = read::slice(data, 8, 8)?;
        let text = data.get(16..32)?.iter().all(|b| matches!(b, b'\n' | b' '..=b'~'));
        if data.get(..8)? != b"Salted__" || text {
            return None;
        }
        let mut layout = Layout::new(data, data.len() as u64, Proof::MagicOnly);
        layout.structure(0, 16);
        layout.attribute("salt", sums::hex(salt));
        layout.sealed(
            data,
            budget,
            "openssl-salted",
            (16, (layout.length as u64).saturating_sub(16)),
            "`Salted__` is the head of `openssl enc` with a password",
            |key, _| key.openssl(data),
        );
        Some(layout)
    },
};

/// Windows CE ROM images.
pub static WINCE: Reader = Reader {
    about: about!(
        Vendor,
        "wince-bin",
        "Windows CE binary image",
        "addresses, start address",
        "sum of each record",
        "ROM directories are left to the engine",
        "Microsoft, Windows CE binary image data format"
    ),
    magics: &[Magic::anywhere(b"B000FF\n")],
    read: wince,
};

/// The version text of VxWorks' kernel.
pub static WIND: Reader = Reader {
    about: &About {
        id: "vxworks-version",
        name: "VxWorks kernel version",
        family: Family::Leaf,
        revision: 1,
        metadata: "version",
        integrity: "shape of the text",
        limits: "the image around it is not delimited",
        sources: &["binwalk, signatures/vxworks.rs"],
    },
    magics: &[Magic::anywhere(b"WIND version ")],
    read: |data, _| {
        let text = read::until_nul(data.get(..data.len().min(32))?);
        let version = std::str::from_utf8(text).ok()?.strip_prefix("WIND version ")?;
        let shaped = version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_digit() || c == '.');
        let mut layout = Layout::leaf(data, text.len() as u64, Proof::LengthsConsistent);
        layout.attribute("os", "vxworks");
        layout.attribute("version", version);
        (shaped && version.contains('.')).then_some(layout)
    },
};

/// Table of contents of 64-bit offsets and sizes at the place the header names.
fn bdl(data: &Bytes, _: &Budget) -> Option<Layout> {
    let (toc, count) = (read::index(read::le32(data, 8)?.into())?, read::le32(data, 16)?);
    if data.get(..4)? != b"ibdl" || toc < 32 || count == 0 || count > 4096 {
        return None;
    }
    let rows: Vec<_> = data.get(toc..)?.chunks_exact(16).take(read::index(count.into())?).collect();
    let parts = rows
        .iter()
        .map(|row| Some((read::le64(row, 0)?, read::le64(row, 8)?)))
        .collect::<Option<Vec<_>>>()?;
    let end = parts.iter().map(|(at, len)| at.saturating_add(*len)).max()?;
    let table_end = toc.checked_add(rows.len().checked_mul(16)?)?;
    if parts.iter().any(|(at, _)| *at < table_end as u64) || end > data.len() as u64 {
        return None;
    }
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    layout.structure(0, table_end);
    for (key, at) in [("version", 32), ("brand", 288), ("device", 544)] {
        layout.attribute(key, layout::text(data, at, 256).unwrap_or_default());
    }
    layout.integrity("none", "", None);
    for (n, (at, len)) in parts.into_iter().enumerate() {
        layout.part(data, format!("ipkg-{n}"), at, len);
    }
    Some(layout)
}

/// As above, with names and CRCs.
fn ipkg(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (toc, count) = (read::index(read::le32(data, 8)?.into())?, read::le32(data, 16)?);
    if data.get(..4)? != b"ipkg" || toc < 32 || count == 0 || count > 4096 {
        return None;
    }
    let rows: Vec<_> =
        data.get(toc..)?.chunks_exact(276).take(read::index(count.into())?).collect();
    let mut parts = Vec::new();
    for row in &rows {
        parts.push((
            layout::text(row, 0, 256)?,
            read::le64(row, 256)?,
            read::le64(row, 264)?,
            read::le32(row, 272)?,
        ));
    }
    let end = parts.iter().map(|(_, at, len, _)| at.saturating_add(*len)).max()?;
    if end > data.len() as u64 {
        return None;
    }
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    layout.structure(0, toc.checked_add(rows.len().checked_mul(276)?)?);
    let mut right = true;
    for (n, (name, at, len, crc)) in parts.into_iter().enumerate() {
        let mut entry = Entry::file(name_or(&name, &format!("file-{n}")), Blob::None);
        let bytes = read::index(at)
            .zip(read::index(len))
            .and_then(|(at, len)| read::slice(data, at, len))?;
        budget.work(len).ok()?;
        if sums::crc32(bytes) != crc {
            right = false;
            entry
                .problems
                .push(Problem::new(ProblemKind::Checksum, "the crc32 of the file does not match"));
        }
        layout.part_with(data, entry, at, len);
    }
    layout.integrity("crc", "crc32", Some(right));
    Some(layout)
}

/// Header of 96 bytes; each byte of the payload is XORed with the mark shifted by its place modulo 8.
fn senao(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let word = |at| read::be32(data, at);
    let (mark, size) = (word(0x5C)?, word(32)?);
    if word(0)? != 0
        || mark != 0x1234_5678
        || size == 0
        || size > 1 << 28
        || !layout::is_text_field(data.get(12..28)?)
    {
        return None;
    }
    let total = u64::from(size).checked_add(0x60)?;
    let mut layout = Layout::new(data, total, Proof::LengthsConsistent);
    let body = data.slice(0x60.min(layout.length)..layout.length);
    let plain = move |mask: u32, body: &[u8]| -> Vec<u8> {
        body.iter()
            .zip((0_u32..8).cycle())
            .map(|(byte, shift)| byte ^ u8::try_from(mask >> shift & 0xFF).unwrap_or(0))
            .collect()
    };
    budget.work(total.saturating_mul(2)).ok()?;
    let right = (body.len() as u64 == u64::from(size))
        .then(|| Some(&sums::md5(&plain(mark, &body))[..]) == data.get(40..56));
    if right == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.structure(0, layout.length);
    layout.attribute("version", layout::text(data, 12, 16)?);
    layout.attribute("vendor", format!("{:#x}", word(4)?));
    layout.attribute("product", format!("{:#x}", word(8)?));
    layout.attribute("obfuscation", "xor");
    // What the digest covers differs between releases, so only a match says something.
    layout.integrity("hash", "md5", right.filter(|right| *right));
    let blob =
        Deferred::blob(body.len() as u64, move |budget| match budget.output(body.len() as u64) {
            Ok(()) => Loaded { bytes: plain(mark, &body).into(), problems: Vec::new() },
            Err(e) => Loaded { bytes: Bytes::new(), problems: vec![e.into()] },
        });
    layout.entry(0x60..0x60, Entry::file("payload", blob));
    Some(layout)
}

/// Records of address, length and byte sum; one with address 0 ends them.
fn wince(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (base, total) = (read::le32(data, 7)?, read::le32(data, 11)?);
    let (mut at, mut records, mut start) = (15_usize, Vec::new(), None);
    let mut wrong = 0_u32;
    while let Some(address) = read::le32(data, at) {
        let (len, sum) =
            (read::le32(data, at.checked_add(4)?)?, read::le32(data, at.checked_add(8)?)?);
        let body = at.checked_add(12)?;
        if address == 0 {
            start = Some(len);
            at = body;
            break;
        }
        let bytes = read::slice(data, body, read::index(len.into())?)?;
        let inside =
            address.checked_sub(base).is_some_and(|offset| offset.saturating_add(len) <= total);
        if !inside || records.len() > 65_536 {
            return None;
        }
        budget.work(u64::from(len).checked_add(16)?).ok()?;
        wrong = wrong.checked_add(u32::from(sums::sum8(bytes) != sum))?;
        records.push((address, body, len));
        at = body.checked_add(bytes.len())?;
    }
    if data.get(..7)? != b"B000FF\n" || records.is_empty() {
        return None;
    }
    let mut layout = Layout::new(
        data,
        at as u64,
        if wrong == 0 { Proof::ChecksumVerified } else { Proof::LengthsConsistent },
    );
    layout.structure(0, 15);
    layout.attribute("load-address", format!("{base:#x}"));
    match start {
        Some(start) => {
            layout.attribute("entry-point", format!("{start:#x}"));
            layout.structure(at.checked_sub(12)?, 12);
        }
        None => layout.problem(ProblemKind::Truncated, "the records end without the last one"),
    }
    layout.integrity("crc", "sum32", Some(wrong == 0));
    for (address, body, len) in records {
        layout.structure(body.checked_sub(12)?, 12);
        layout.part(data, format!("{address:#010x}"), body as u64, len.into());
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    #[test]
    fn hp() {
        let body = noise(700, 70);
        let mut file = [b"ipkg\x01\0\0\0".as_slice(), &words(&[0x424, 0, 1])].concat();
        file.resize(0x424, 0);
        let mut row = b"kernel.bin".to_vec();
        row.resize(256, 0);
        row.extend((0x424_u64 + 276).to_le_bytes());
        row.extend(700_u64.to_le_bytes());
        row.extend(sums::crc32(&body).to_le_bytes());
        file.extend(row);
        file.extend(&body);
        assert_eq!(open_whole(&IPKG, &file).content("kernel.bin"), body);
        torture(&IPKG, &file);
        let mut bundle = [b"ibdl\x01\0\0\0".as_slice(), &words(&[0x800, 0, 1])].concat();
        bundle.resize(0x800, 0);
        bundle.extend(0x810_u64.to_le_bytes());
        bundle.extend((file.len() as u64).to_le_bytes());
        bundle.extend(&file);
        assert_eq!(open_whole(&BDL, &bundle).content("ipkg-0"), file);
        torture(&BDL, &bundle);
        assert!(open_at(&BDL, b"ibdl\x01\0\0\0\xFF\xFF\xFF\xFF\0\0\0\0\x01\0\0\0", 0).is_none());
        assert!(open_at(&IPKG, b"ipkg\x01\0\0\0\xFF\xFF\xFF\xFF\0\0\0\0\x01\0\0\0", 0).is_none());
    }

    #[test]
    fn senao_payloads_are_made_plain() {
        let a = noise(300, 71);
        let mut file: Vec<u8> = [0_u32, 0x101, 0x66].iter().flat_map(|w| w.to_be_bytes()).collect();
        file.extend(b"1.2.3");
        file.resize(32, 0);
        file.extend(300_u32.to_be_bytes());
        file.resize(40, 0);
        file.extend(sums::md5(&a));
        file.resize(0x5C, 0);
        file.extend([0x12, 0x34, 0x56, 0x78]);
        file.extend(
            a.iter()
                .enumerate()
                .map(|(i, byte)| byte ^ (0x1234_5678_u32 >> (i % 8)).to_le_bytes()[0]),
        );
        let opened = open_whole(&SENAO, &file);
        assert_eq!(
            (opened.content("payload"), opened.attribute("integrity-correct")),
            (a.into(), "yes")
        );
        torture(&SENAO, &file);
        file[0] = 1;
        assert!(open_at(&SENAO, &file, 0).is_none());
    }

    #[test]
    fn windows_ce() {
        let body = noise(500, 73);
        let mut file = [b"B000FF\n".to_vec(), words(&[0x8000_0000, 0x1000])].concat();
        file.extend(words(&[0x8000_0100, 500, sums::sum8(&body)]));
        file.extend(&body);
        file.extend(words(&[0, 0x8000_0100, 0]));
        let opened = open_whole(&WINCE, &file);
        assert_eq!(
            (opened.content("0x80000100"), opened.attribute("entry-point")),
            (body.into(), "0x80000100")
        );
        torture(&WINCE, &file);
        file[17] = 1;
        assert!(open_at(&WINCE, &file, 0).is_none());
    }

    #[test]
    fn the_small_ones() {
        let file = [b"Salted__".to_vec(), noise(200, 75)].concat();
        assert_eq!(open(&OPENSSL, &file).problems[0].kind, ProblemKind::Encrypted);
        torture(&OPENSSL, &file);
        assert!(open_at(&OPENSSL, b"Salted__ is what the text says and nothing", 0).is_none());

        assert_eq!(open(&WIND, b"WIND version 2.13\0...").attribute("version"), "2.13");
        assert!(open_at(&WIND, b"WIND version of the day\0", 0).is_none());
    }
}
