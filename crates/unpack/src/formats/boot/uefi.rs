//! UEFI: capsules, firmware volumes, the files in them and their sections.
//!
//! Establishes: the volume header's 16-bit sum and block map, each file's header sum and size, and the
//! section tree. Entries are leaf sections, named by the file's user interface name or GUID and the kind of
//! section. LZMA sections are entries as they are (the engine decodes them and finds volumes and programs
//! inside); Tiano and EFI 1.1 compressed sections are decoded here.
//!
//! False positives: none known: a volume header sums to 0. Variables of an NVRAM volume are read by
//! `uefi-variables`.

use std::ops::Range;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use super::tiano;
use crate::{
    budget::Budget,
    format::{About, Entry, Family, Loaded, Magic},
    formats::layout::{Deferred, Layout, Reader, name_or},
    read,
};

const SOURCES: &[&str] = &[
    "UEFI Platform Initialization Specification 1.8, volume 3",
    "UEFI Specification 2.10, section 8.5",
];

/// An update capsule.
pub static CAPSULE: Reader = Reader {
    about: &About {
        id: "uefi-capsule",
        name: "UEFI capsule",
        family: Family::Boot,
        revision: 1,
        metadata: "GUID, flags",
        integrity: "header and capsule size",
        limits: "FMP payload items are left to the engine; signatures are not verified",
        sources: SOURCES,
    },
    magics: &[
        // EFI_FIRMWARE_MANAGEMENT_CAPSULE_ID_GUID, and the capsule GUID of EFI 1.x.
        Magic::anywhere(b"\xED\xD5\xCB\x6D\x2D\xE8\x44\x4C\xBD\xA1\x71\x94\x19\x9A\xD9\x2A"),
        Magic::anywhere(b"\xBD\x86\x66\x3B\x76\x0D\x30\x40\xB7\x0E\xB5\x51\x9E\x2F\xC5\xA0"),
        Magic::anywhere(b"\x8B\xA6\x3C\x4A\x23\x77\xFB\x48\x80\x3D\x57\x8C\xC1\xFE\xC4\x4D"),
    ],
    read: capsule,
};

/// A firmware volume.
pub static VOLUME: Reader = Reader {
    about: &About {
        id: "uefi-volume",
        name: "UEFI firmware volume",
        family: Family::Boot,
        revision: 1,
        metadata: "GUID and name of each file, kind of each section",
        integrity: "16-bit sum of the volume header, 8-bit sums of file headers",
        limits: "signatures are not verified",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(b"_FVH").after(40)],
    read: volume,
};

/// `EE4E5898-3914-4259-9D6E-DC7BD79403CF` of 16 bytes.
pub(super) fn guid(bytes: &[u8], at: usize) -> Option<String> {
    let (a, b, c) = (
        read::le32(bytes, at)?,
        read::le16(bytes, at.checked_add(4)?)?,
        read::le16(bytes, at.checked_add(6)?)?,
    );
    let d = read::be16(bytes, at.checked_add(8)?)?;
    let e = crate::formats::sums::hex(read::slice(bytes, at.checked_add(10)?, 6)?).to_uppercase();
    Some(format!("{a:08X}-{b:04X}-{c:04X}-{d:04X}-{e}"))
}

fn capsule(data: &Bytes, _: &Budget) -> Option<Layout> {
    let (header, flags, size) =
        (read::le32(data, 16)?, read::le32(data, 20)?, read::le32(data, 24)?);
    if !(28..=4096).contains(&header) || size <= header || size > 1 << 30 {
        return None;
    }
    let mut layout = Layout::new(data, size.into(), Proof::LengthsConsistent);
    layout.structure(0, read::index(header.into())?);
    layout.attribute("guid", guid(data, 0)?);
    layout.attribute("flags", format!("{flags:#x}"));
    // An authenticated image begins with a monotonic count and a WIN_CERTIFICATE of revision 2.0, kind 0xEF1.
    let mut body = data.get(read::index(header.into())?..)?;
    body = body.get(..body.len().min(4096))?;
    let signed = memchr::memmem::find(body, b"\x00\x02\xF1\x0E").is_some();
    layout.integrity(
        if signed { "signature" } else { "none" },
        if signed { "pkcs7" } else { "" },
        None,
    );
    layout.part(data, "body", header.into(), u64::from(size).saturating_sub(header.into()));
    Some(layout)
}

/// Reads files and sections into a layout; every step pays.
struct Walk<'a> {
    data: &'a Bytes,
    budget: &'a Budget,
    layout: Layout,
    files: u32,
}

fn volume(data: &Bytes, budget: &Budget) -> Option<Layout> {
    if read::slice(data, 40, 4)? != b"_FVH" {
        return None;
    }
    let (size, header) = (read::le64(data, 32)?, usize::from(read::le16(data, 48)?));
    let words = data.get(..header)?.as_chunks::<2>().0;
    let sum = words.iter().fold(0_u16, |sum, word| sum.wrapping_add(u16::from_le_bytes(*word)));
    if sum != 0
        || header < 72
        || size <= header as u64
        || size > 1 << 32
        || !matches!(read::u8(data, 55)?, 1 | 2)
    {
        return None;
    }
    let mut layout = Layout::new(data, size, Proof::ChecksumVerified);
    layout.attribute("guid", guid(data, 16)?);
    layout.attribute("revision", read::u8(data, 55)?);
    layout.integrity("crc", "sum16", Some(true));
    layout.structure(0, header);
    layout.align(1 << 16);
    let extended = usize::from(read::le16(data, 52)?);
    let mut first = header;
    if extended >= header && extended != 0 {
        layout.attribute("name", guid(data, extended).unwrap_or_default());
        let len = read::index(read::le32(data, extended.checked_add(16)?)?.into())?;
        first = extended.checked_add(len)?.checked_next_multiple_of(8)?;
        layout.structure(header, first.checked_sub(header)?);
    }
    let known = matches!(
        guid(data, 16)?.as_str(),
        "8C8CE578-8A3D-4F1C-9935-896185C32DD3"
            | "5473C07A-3DCB-4DCA-BD6F-1E9689E7349A"
            | "7A9354D9-0468-444A-81CE-0BF617D890DF"
    );
    if !known {
        // NVRAM and vendor volumes: the body is one entry.
        let rest = (layout.length as u64).saturating_sub(first as u64);
        layout.part(data, "data", first as u64, rest);
        return Some(layout);
    }
    let end = layout.length;
    let mut walk = Walk { data, budget, layout, files: 0 };
    walk.files(first..end);
    Some(walk.layout)
}

impl Walk<'_> {
    /// Files one after the other, each at a multiple of 8.
    fn files(&mut self, range: Range<usize>) -> Option<()> {
        let mut at = range.start;
        while at.checked_add(24)? <= range.end {
            let header = self.data.get(at..range.end)?;
            self.budget.work(64).ok()?;
            if header.get(..24)?.iter().all(|b| *b == 0xFF) {
                // Free space; what is not erased in it comes out as a gap.
                return Some(());
            }
            let large = read::u8(header, 19)? & 1 != 0;
            let small = u64::from(read::le32(header, 20)? & 0xFF_FFFF);
            let (size, body) = if large { (read::le64(header, 24)?, 32) } else { (small, 24) };
            let size = read::index(size)?;
            // The header sums to 0 without the data sum and the state.
            let total = header.get(..body)?.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b));
            let sum = total.wrapping_sub(read::u8(header, 17)?).wrapping_sub(read::u8(header, 23)?);
            if sum != 0 || size < body || at.checked_add(size)? > range.end {
                self.layout.problem(
                    ProblemKind::Malformed,
                    format!("the file header at {at:#x} is damaged; files after it are not read"),
                );
                return None;
            }
            self.file(at, body, size);
            at = at.checked_add(size)?.checked_next_multiple_of(8)?;
        }
        Some(())
    }

    fn file(&mut self, at: usize, body: usize, size: usize) -> Option<()> {
        self.files = self.files.checked_add(1)?;
        let kind = read::u8(self.data, at.checked_add(18)?)?;
        let name = guid(self.data, at)?;
        let range = at.checked_add(body)?..at.checked_add(size)?;
        self.layout.structure(at, body);
        match kind {
            // Padding file.
            0xF0 => {}
            // Raw: no sections.
            0x01 => self.slice(format!("{name}/raw"), range),
            _ => {
                let interface = self.interface_name(range.clone());
                let label = interface.map_or_else(|| name.clone(), |n| format!("{n}-{name}"));
                self.sections(&label, range, 0);
            }
        }
        Some(())
    }

    fn slice(&mut self, name: String, range: Range<usize>) {
        let len = range.end.saturating_sub(range.start) as u64;
        self.layout.part(self.data, name, range.start as u64, len);
    }

    /// Kind, header size and range of each section.
    fn split(&self, range: Range<usize>) -> Vec<(u8, usize, Range<usize>)> {
        let mut found = Vec::new();
        let mut at = range.start;
        let mut next = || {
            let header = self.data.get(at..range.end)?;
            self.budget.work(16).ok()?;
            let word = read::le32(header, 0)?;
            let (size, head) = match word & 0xFF_FFFF {
                0xFF_FFFF => (read::le32(header, 4)?, 8),
                size => (size, 4),
            };
            let end = at
                .checked_add(read::index(size.into())?)
                .filter(|end| *end <= range.end && size >= 4)?;
            let kind = u8::try_from(word >> 24).ok()?;
            let section = (kind, head, at..end);
            at = end.checked_next_multiple_of(4)?;
            Some(section)
        };
        while found.len() < 4096 {
            match next() {
                Some(section) => found.push(section),
                None => break,
            }
        }
        found
    }

    /// The text of the first user interface section.
    fn interface_name(&self, range: Range<usize>) -> Option<String> {
        let sections = self.split(range);
        let (_, head, section) = sections.iter().find(|(kind, ..)| *kind == 0x15)?;
        let text = self.data.get(section.start.checked_add(*head)?..section.end)?;
        let units =
            text.as_chunks::<2>().0.iter().map(|u| u16::from_le_bytes(*u)).take_while(|u| *u != 0);
        let text: String = char::decode_utf16(units.take(64)).filter_map(Result::ok).collect();
        let name = name_or(&text, "");
        (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned())
    }

    fn sections(&mut self, label: &str, range: Range<usize>, depth: u32) -> Option<()> {
        for (n, (kind, head, section)) in self.split(range).into_iter().enumerate() {
            let body = section.start.checked_add(head)?..section.end;
            let name = |kind: &str| format!("{label}/{n}-{kind}");
            let header = self.data.get(body.clone())?;
            self.layout.structure(section.start, head);
            match kind {
                0x01 => {
                    self.layout.structure(body.start, 5);
                    let packed = body.start.checked_add(5)?..body.end;
                    if read::u8(header, 4)? == 0 && depth < 8 {
                        self.sections(&name("sections"), packed, depth.saturating_add(1));
                    } else {
                        self.compressed(name("decompressed"), packed, &[4, 5]);
                    }
                }
                0x02 => {
                    let skip = usize::from(read::le16(header, 16)?).checked_sub(head)?;
                    let inner =
                        body.start.checked_add(skip).filter(|at| *at <= body.end)?..body.end;
                    self.layout.structure(body.start, skip);
                    match guid(header, 0)?.as_str() {
                        "EE4E5898-3914-4259-9D6E-DC7BD79403CF" => self.slice(name("lzma"), inner),
                        "A31280AD-481E-41B6-95E8-127F4C984779" => {
                            self.compressed(name("decompressed"), inner, &[5])
                        }
                        // CRC-32, and sections that are signed but plain.
                        _ if depth < 8 && read::le16(header, 18)? & 1 == 0 => {
                            self.sections(&name("sections"), inner, depth.saturating_add(1));
                        }
                        "FC1BCDB0-7D31-49AA-936A-A4600D9DD083" if depth < 8 => {
                            self.sections(&name("sections"), inner, depth.saturating_add(1));
                        }
                        other => self.slice(name(other), inner),
                    }
                }
                0x13 | 0x1B | 0x1C | 0x14 | 0x15 => self.layout.structure(body.start, body.len()),
                0x10 => self.slice(name("pe32"), body),
                0x12 => self.slice(name("te"), body),
                0x17 => self.slice(name("volume"), body),
                0x19 => self.slice(name("raw"), body),
                0x18 => {
                    self.layout.structure(body.start, 16);
                    self.slice(name("freeform"), body.start.checked_add(16)?..body.end);
                }
                other => self.slice(name(&format!("section-{other:02x}")), body),
            }
        }
        Some(())
    }

    /// A compressed section: the variant of the code that fills the declared size is the right one.
    fn compressed(&mut self, name: String, range: Range<usize>, widths: &'static [u32]) {
        let packed = self.data.slice(range.clone());
        let size = read::le32(&packed, 4).unwrap_or(0);
        let blob = Deferred::blob(size.into(), move |budget| {
            let mut best = Loaded::default();
            for width in widths {
                match tiano::decode(&packed, *width, budget) {
                    Ok((bytes, true)) => {
                        return Loaded { bytes: bytes.into(), problems: Vec::new() };
                    }
                    Ok((bytes, false)) if bytes.len() >= best.bytes.len() => {
                        best.bytes = bytes.into()
                    }
                    Ok(_) => {}
                    Err(e) => best.problems.push(e.into()),
                }
            }
            best.problems.push(Problem::new(
                ProblemKind::Malformed,
                "the compressed section ends early or contradicts itself",
            ));
            best
        });
        self.layout.entry(range, Entry::file(name, blob));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn section(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out =
            (u32::try_from(body.len() + 4).unwrap() | u32::from(kind) << 24).to_le_bytes().to_vec();
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    /// Our own construction after the specification.
    fn build() -> (Vec<u8>, Vec<u8>) {
        let program = noise(333, 18);
        let name: Vec<u8> = "Shell\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let body = [section(0x10, &program), section(0x15, &name)].concat();
        let mut file = vec![0x11; 16];
        file.extend([0, 0xAA, 0x09, 0]);
        file.extend(u32::try_from(body.len() + 24).unwrap().to_le_bytes());
        let sum = file.iter().fold(0_u8, |s, b| s.wrapping_add(*b)).wrapping_sub(0xAA);
        file[16] = 0_u8.wrapping_sub(sum);
        file[23] = 0xF8;
        file.extend(&body);
        let mut volume = vec![0; 16];
        volume.extend([
            0x78, 0xE5, 0x8C, 0x8C, 0x3D, 0x8A, 0x1C, 0x4F, 0x99, 0x35, 0x89, 0x61, 0x85, 0xC3,
            0x2D, 0xD3,
        ]);
        volume.extend(0x1000_u64.to_le_bytes());
        volume.extend(b"_FVH");
        volume.extend(0_u32.to_le_bytes());
        volume.extend([72, 0, 0, 0, 0, 0, 0, 2]);
        volume.extend([1_u32, 0x1000, 0, 0].iter().flat_map(|w| w.to_le_bytes()));
        let sum =
            volume.chunks(2).fold(0_u16, |s, w| s.wrapping_add(u16::from_le_bytes([w[0], w[1]])));
        volume[50..52].copy_from_slice(&0_u16.wrapping_sub(sum).to_le_bytes());
        volume.extend(&file);
        volume.resize(0x1000, 0xFF);
        (volume, program)
    }

    #[test]
    fn files_and_sections_of_a_volume() {
        let (volume, program) = build();
        let opened = open_whole(&VOLUME, &volume);
        let name = "Shell-11111111-1111-1111-1111-111111111111/0-pe32";
        assert_eq!(opened.files(), [name]);
        assert_eq!(opened.content(name), program);
        torture(&VOLUME, &volume[..1024]);
        let mut capsule = CAPSULE.magics[0].bytes.to_vec();
        capsule.extend([28_u32, 0, 28 + 0x1000].iter().flat_map(|w| w.to_le_bytes()));
        capsule.extend(&volume);
        let opened = open_whole(&CAPSULE, &capsule);
        assert_eq!(opened.content("body"), volume);
        torture(&CAPSULE, &capsule[..200]);
    }

    #[test]
    fn a_wrong_sum_is_refused_and_damage_inside_is_told() {
        let (mut volume, _) = build();
        volume[72] ^= 1;
        assert_eq!(open(&VOLUME, &volume).problems[0].kind, ProblemKind::Malformed);
        volume[60] ^= 1;
        assert!(open_at(&VOLUME, &volume, 0).is_none());
    }
}
