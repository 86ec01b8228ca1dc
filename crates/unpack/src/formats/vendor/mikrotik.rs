//! MikroTik NPK: RouterOS packages.
//!
//! Establishes: magic, length, and typed parts that fill it exactly. The zlib file set is decoded into its
//! files; a SquashFS part is an entry. Signature parts (hashes, EC signatures) make the class `signature`; they
//! are not verified.

use std::io::Read as _;

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Entry, Family, Magic, Sink},
    formats::layout::{self, Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "mikrotik-npk",
        name: "MikroTik NPK",
        family: Family::Vendor,
        revision: 1,
        metadata: "name, version, build time, architecture; mode and time of files",
        integrity: "part lengths fill the package; signature parts reported, not verified",
        limits: "",
        sources: &[
            "npkpy, constants (layout)",
            "OpenWrt firmware-utils, npk_pack_kernel.c (layout)",
        ],
    },
    magics: &[Magic::anywhere(b"\x1E\xF1\xD0\xBA")],
    read: read_layout,
};

const KINDS: &[(u16, &str)] = &[
    (1, "header"),
    (2, "description"),
    (3, "requirements"),
    (4, "files"),
    (5, "install-script"),
    (6, "uninstall-script"),
    (7, "install-libraries"),
    (8, "uninstall-libraries"),
    (9, "signature"),
    (16, "architecture"),
    (17, "conflicts"),
    (18, "packages"),
    (19, "features"),
    (20, "package-list"),
    (21, "squashfs"),
    (22, "null"),
    (23, "digest"),
    (24, "release"),
    (25, "preheader"),
];

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let size = u64::from(read::le32(data, 4)?);
    if data.get(..4)? != b"\x1E\xF1\xD0\xBA" || size < 6 {
        return None;
    }
    let (mut parts, mut at) = (Vec::new(), 8_u64);
    let end = size.checked_add(8)?;
    while at < end {
        budget.work(8).ok()?;
        let Some(head) = read::index(at).and_then(|at| read::slice(data, at, 6)) else { break };
        let (kind, len) = (read::le16(head, 0)?, u64::from(read::le32(head, 2)?));
        let next = at.checked_add(6)?.checked_add(len)?;
        if next > end || kind > 64 || parts.len() > 4096 {
            return None;
        }
        parts.push((kind, at.checked_add(6)?, len));
        at = next;
    }
    if parts.len() < 2 || !parts.iter().any(|(kind, ..)| matches!(kind, 1 | 18 | 25)) {
        return None;
    }
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    let mut signed = false;
    for (n, (kind, start, len)) in parts.iter().enumerate() {
        let from = read::index(*start)?;
        layout.structure(from.checked_sub(6)?, 6);
        let name = KINDS
            .iter()
            .find(|(number, _)| number == kind)
            .map_or_else(|| format!("part-{kind}"), |(_, name)| (*name).to_owned());
        signed |= matches!(kind, 9 | 23);
        let body = || read::slice(data, from, read::index(*len)?);
        match kind {
            1 if *len >= 24 => {
                layout.attribute("name", layout::text(data, from, 16)?);
                let [revision, sub, minor, major] = read::array(data, from.checked_add(16)?)?;
                layout.attribute(
                    "version",
                    format!(
                        "{major}.{minor}.{revision}{}",
                        match sub {
                            97 => " alpha",
                            98 => " beta",
                            99 => " rc",
                            _ => "",
                        }
                    ),
                );
                layout.attribute("created", read::le32(data, from.checked_add(20)?)?);
                layout.structure(from, read::index(*len)?);
            }
            2 | 16 | 24 => {
                layout.attribute(
                    &name,
                    layout::text(data, from, read::index(*len)?.min(4096)).unwrap_or_default(),
                );
                layout.structure(from, read::index(*len)?);
            }
            // Filler that puts the SquashFS at a multiple of 4 KiB.
            22 if body().is_some_and(|b| b.iter().all(|b| *b == 0)) => {
                layout.structure(from, read::index(*len)?)
            }
            4 => {
                layout.structure(from, read::index(*len)?);
                let packed = data.slice(
                    from.min(layout.length)
                        ..from.saturating_add(read::index(*len)?).min(layout.length),
                );
                layout.later(move |budget, sink| files(&packed, budget, sink));
            }
            _ => layout.part(data, format!("{n}-{name}"), *start, *len),
        }
    }
    if signed {
        layout.integrity("signature", "npk", None);
    } else {
        layout.integrity("none", "", None);
    }
    Some(layout)
}

/// The files of the zlib part: mode, times, length, name, content.
fn files(packed: &[u8], budget: &Budget, sink: &mut Sink<'_>) {
    let limit = budget.output_left().min(1 << 29).min((packed.len() as u64).saturating_mul(1100));
    let mut out = Vec::new();
    if let Err(e) = flate2::read::ZlibDecoder::new(packed).take(limit).read_to_end(&mut out) {
        sink.problem(Problem::new(ProblemKind::Malformed, format!("zlib: {e}")));
    }
    if let Err(e) = budget.output(out.len() as u64) {
        sink.problem(e);
        return;
    }
    let out = Bytes::from(out);
    let mut at = 0;
    while at < out.len() {
        let Some((entry, next)) = file(&out, at) else {
            sink.problem(
                Problem::new(ProblemKind::Malformed, "the list of files ends early").at(at as u64),
            );
            return;
        };
        at = next;
        if sink.entry(entry).is_err() {
            return;
        }
    }
}

fn file(data: &Bytes, at: usize) -> Option<(Entry, usize)> {
    let head = data.get(at..)?;
    let mode = u32::from(read::le16(head, 0)?);
    let (len, name) =
        (read::index(read::le32(head, 24)?.into())?, usize::from(read::le16(head, 28)?));
    let start = at.checked_add(30)?;
    let body = start.checked_add(name)?;
    let end = body.checked_add(len)?;
    let path = data.get(start..body)?;
    data.get(body..end)?;
    let path: Vec<u8> = path.iter().copied().skip_while(|b| *b == b'/').collect();
    let content = data.slice(body..end);
    let kind = match mode & 0o170_000 {
        0o040_000 => EntryKind::Directory,
        0o120_000 => EntryKind::Symlink { target: String::from_utf8_lossy(&content).into_owned() },
        _ => EntryKind::File,
    };
    let blob = if kind == EntryKind::File { Blob::Bytes(content) } else { Blob::None };
    let metadata = Metadata {
        mode: Some(mode & 0o7777),
        mtime: read::le32(head, 8).map(i64::from),
        ..Metadata::default()
    };
    Some((Entry { path, kind, metadata, blob, problems: Vec::new() }, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    #[test]
    fn our_own_package_is_read_back() {
        let (kernel, squashfs) = (noise(500, 56), noise(2000, 57));
        let mut list = Vec::new();
        for (mode, name, content) in
            [(0o40755_u16, "boot", &b""[..]), (0o100_700, "boot/kernel", &kernel)]
        {
            list.extend(mode.to_le_bytes());
            list.extend([0; 6]);
            list.extend([7_u32, 8, 9].iter().flat_map(|w| w.to_le_bytes()));
            list.extend([0; 4]);
            list.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
            list.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            list.extend(name.bytes());
            list.extend(content);
        }
        let mut packed = Vec::new();
        flate2::read::ZlibEncoder::new(&list[..], flate2::Compression::fast())
            .read_to_end(&mut packed)
            .unwrap();
        let mut header = b"system".to_vec();
        header.resize(16, 0);
        header.extend([4, 102, 49, 6]);
        header.extend(1_600_000_000_u32.to_le_bytes());
        header.resize(36, 0);
        let mut body = Vec::new();
        for (kind, data) in [
            (1_u16, &header),
            (16, &b"mipsbe".to_vec()),
            (4, &packed),
            (21, &squashfs),
            (9, &vec![1; 68]),
        ] {
            body.extend(kind.to_le_bytes());
            body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            body.extend(data);
        }
        let mut file = vec![0x1E, 0xF1, 0xD0, 0xBA];
        file.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        file.extend(body);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.content("boot/kernel"), kernel);
        assert_eq!(opened.content("3-squashfs"), squashfs);
        assert_eq!(
            (opened.attribute("version"), opened.attribute("architecture")),
            ("6.49.4", "mipsbe")
        );
        assert_eq!(opened.attribute("integrity"), "signature");
        let kernel = opened.entries.iter().find(|e| e.path == b"boot/kernel").unwrap();
        assert_eq!((kernel.metadata.mode, kernel.metadata.mtime), (Some(0o700), Some(7)));
        torture(&FORMAT, &file);
        assert!(
            open_at(&FORMAT, &[0x1E, 0xF1, 0xD0, 0xBA, 20, 0, 0, 0, 9, 9, 255, 255, 255, 255], 0)
                .is_none()
        );
    }
}
