//! Archives in D-Link images: DEAFBEAD (DSL-500G and the like) and FPKG/CPKG (DFL firewalls).
//!
//! DEAFBEAD: folders (`0x86`, name) and gzip files (`0x87`, name, size) until another byte follows.
//! FPKG: a header with the place of the first entry; entries of 28 bytes and content until the end.

use bytes::Bytes;
use proofmark_model::{EntryKind, Proof};

use crate::{
    budget::Budget,
    format::{Blob, Entry, Magic},
    formats::layout::{self, Layout, Reader, about},
    read,
};

/// DEAFBEAD.
pub static DEAFBEAD: Reader = Reader {
    about: about!(
        Vendor,
        "dlink-deafbead",
        "D-Link DEAFBEAD",
        "paths",
        "each content begins as a gzip stream",
        "",
        "unblob, handlers/archive/dlink/deafbead.py (layout)"
    ),
    magics: &[Magic::anywhere(b"\xDE\xAF\xBE\xAD\x86"), Magic::anywhere(b"\xDE\xAF\xBE\xAD\x87")],
    read: deafbead,
};

/// Bytes of the longest path that Linux opens.
const PATH_MAX: usize = 4096;

/// FPKG and CPKG.
pub static FPKG: Reader = Reader {
    about: about!(
        Vendor,
        "dlink-fpkg",
        "D-Link FPKG/CPKG",
        "names, model",
        "entries follow each other; checksum and signature entries reported, not verified",
        "",
        "unblob, handlers/archive/dlink/fpkg.py (layout)"
    ),
    magics: &[Magic::anywhere(b"FPKG\x01\0\0\0"), Magic::anywhere(b"CPKG\x01\0\0\0")],
    read: fpkg,
};

fn deafbead(data: &Bytes, budget: &Budget) -> Option<Layout> {
    if data.get(..4)? != b"\xDE\xAF\xBE\xAD" {
        return None;
    }
    let mut at = 4_usize;
    let mut found = Vec::new();
    while let Some(kind @ (0x86 | 0x87)) = read::u8(data, at) {
        let len = usize::from(read::le16(data, at.checked_add(1)?)?);
        let name = at.checked_add(3)?;
        // No name is longer than this; a longer one is no header.
        let Some(path) = read::slice(data, name, len)
            .filter(|p| (1..=PATH_MAX).contains(&p.len()) && !p.contains(&0))
        else {
            break;
        };
        budget.work(len as u64).ok()?;
        let path: Vec<u8> = path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect();
        let path = path.strip_prefix(b"/").unwrap_or(&path).to_vec();
        let after = name.checked_add(len)?;
        if kind == 0x86 {
            found.push((at, after, path, None));
            at = after;
            continue;
        }
        let size = read::le32(data, after)?;
        let content = after.checked_add(4)?;
        // The first file proves that this is one.
        if read::slice(data, content, 2) != Some(b"\x1f\x8b") || size == 0 {
            break;
        }
        found.push((at, content, path, Some(size)));
        at = content.checked_add(read::index(size.into())?)?;
    }
    if found.iter().all(|(.., size)| size.is_none()) {
        return None;
    }
    let mut layout = Layout::new(data, at as u64, Proof::LengthsConsistent);
    layout.structure(0, 4);
    layout.integrity("none", "", None);
    for (header, content, path, size) in found {
        layout.structure(header, content.saturating_sub(header));
        match size {
            Some(size) => layout.part(data, path, content as u64, size.into()),
            None => layout.entry(
                header..content,
                Entry { kind: EntryKind::Directory, ..Entry::file(path, Blob::None) },
            ),
        }
    }
    Some(layout)
}

fn fpkg(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const ENTRY: usize = 28;
    let first = read::index(read::be32(data, 8)?.into())?;
    if !matches!(data.get(..4)?, b"FPKG" | b"CPKG") || !(12..=4096).contains(&first) {
        return None;
    }
    let mut at = first;
    let mut found = Vec::new();
    while let Some(head) = read::slice(data, at, ENTRY) {
        budget.work(ENTRY as u64).ok()?;
        let (kind, size) = (read::be16(head, 4)?, read::be32(head, 8)?);
        if read::be32(head, 0)? != ENTRY as u32
            || !(0x100..=0x103).contains(&kind)
            || !layout::is_text_field(head.get(12..)?)
        {
            break;
        }
        found.push((at, kind, layout::text(head, 12, 16)?, size));
        at = at.checked_add(ENTRY)?.checked_add(read::index(size.into())?)?;
        if at > data.len() {
            break;
        }
    }
    if found.is_empty() {
        return None;
    }
    let mut layout = Layout::new(data, at as u64, Proof::LengthsConsistent);
    layout.structure(0, first);
    if data.get(..4)? == b"FPKG" {
        let len = read::index(read::be32(data, 16)?.into())?.min(64);
        layout.attribute("name", layout::text(data, 20, len).unwrap_or_default());
    }
    let signed = found.iter().any(|(_, kind, ..)| *kind == 0x103);
    layout.integrity(if signed { "signature" } else { "none" }, "", None);
    for (n, (at, _, name, size)) in found.into_iter().enumerate() {
        layout.structure(at, ENTRY);
        let name = layout::name_or(&name, &format!("file-{n}"));
        layout.part(data, name, at.checked_add(ENTRY)? as u64, size.into());
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    #[test]
    fn our_own_deafbead_is_read_back() {
        let content = [b"\x1f\x8b\x08".as_slice(), &noise(300, 1)].concat();
        let mut file = b"\xDE\xAF\xBE\xAD\x86\x03\0web\x87\x0d\0web\\index.htm".to_vec();
        // The name's length is that of the name.
        file[11] = 13;
        file.extend(303_u32.to_le_bytes());
        file.extend(&content);
        let opened = open_whole(&DEAFBEAD, &file);
        assert_eq!(opened.files(), ["web", "web/index.htm"]);
        assert_eq!(opened.content("web/index.htm"), content);
        torture(&DEAFBEAD, &file);
        // What follows is not part of it.
        file.extend(b"\x00\x86");
        assert_eq!(open(&DEAFBEAD, &file).candidate.length, file.len() - 2);
        assert!(open_at(&DEAFBEAD, b"\xDE\xAF\xBE\xAD\x86\x03\0web", 0).is_none());
    }

    #[test]
    fn our_own_fpkg_is_read_back() {
        let mut file = b"FPKG".to_vec();
        for word in [0x0100_0000_u32, 28, 1, 8] {
            file.extend(word.to_be_bytes());
        }
        file.extend(b"DFL-260\0");
        for (kind, name, content) in
            [(0x100_u16, "core.bin", noise(500, 2)), (0x103, "core.sig", noise(64, 3))]
        {
            file.extend(28_u32.to_be_bytes());
            file.extend(kind.to_be_bytes());
            file.extend([0, 0]);
            file.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
            let mut field = name.as_bytes().to_vec();
            field.resize(16, 0);
            file.extend(field);
            file.extend(content);
        }
        let opened = open_whole(&FPKG, &file);
        assert_eq!(opened.files(), ["core.bin", "core.sig"]);
        assert_eq!(
            (opened.attribute("name"), opened.attribute("integrity")),
            ("DFL-260", "signature")
        );
        torture(&FPKG, &file);
        assert!(
            open_at(&FPKG, b"FPKG\x01\0\0\0\0\0\0\x0c and then nothing of the kind is here", 0)
                .is_none()
        );
    }
}
