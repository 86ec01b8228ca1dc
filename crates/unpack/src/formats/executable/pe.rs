//! PE programs: Windows programs, UEFI applications and drivers.
//!
//! Establishes: that DOS stub, COFF header, optional header and section table agree, and where the file
//! ends: the furthest of headers, sections, COFF symbols and the certificate table (Authenticode).
//!
//! False positives: none known. Linux kernels with an EFI stub are left to their own formats, which reach
//! further. Limits: resources and overlays are not entries; an overlay stays outside.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::layout::{Layout, Reader},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "pe",
        name: "PE/COFF",
        family: Family::Executable,
        revision: 1,
        metadata: "machine, subsystem, time stamp, signed or not",
        integrity: "sizes and offsets of all headers; that a certificate table is there (not verified)",
        limits: "resources and sections are not entries",
        sources: &["Microsoft PE Format"],
    },
    magics: &[Magic::anywhere(b"MZ")],
    read: layout,
};

/// End of everything that the headers claim, machine, subsystem, and bytes of the certificate table.
fn header(data: &[u8]) -> Option<(u64, u16, u16, u32)> {
    if data.get(..2)? != b"MZ" {
        return None;
    }
    let coff =
        read::index(read::le32(data, 0x3C)?.into()).filter(|at| *at >= 0x40 && *at < 0x10_0000)?;
    let coff = data.get(coff..)?;
    if coff.get(..4)? != b"PE\0\0" {
        return None;
    }
    let start = (data.len()).checked_sub(coff.len())? as u64;
    let (machine, sections) = (read::le16(coff, 4)?, read::le16(coff, 6)?);
    let (symbols, count) = (read::le32(coff, 12)?, read::le32(coff, 16)?);
    let optional = read::le16(coff, 20)?;
    let wide = match read::le16(coff, 24)? {
        0x10B => false,
        0x20B => true,
        _ => return None,
    };
    if sections == 0 || sections > 96 {
        return None;
    }
    let mut end = u64::from(read::le32(coff, 24 + 60)?);
    let subsystem = read::le16(coff, 24 + 68)?;
    let table = 24_usize.checked_add(optional.into())?;
    end = end
        .max(start.checked_add(table as u64)?.checked_add(u64::from(sections).checked_mul(40)?)?);
    for n in 0..usize::from(sections) {
        let section = coff.get(table.checked_add(n.checked_mul(40)?)?..)?;
        let (size, at) = (read::le32(section, 16)?, read::le32(section, 20)?);
        if size != 0 && at != 0 {
            end = end.max(u64::from(at).checked_add(size.into())?);
        }
    }
    if symbols != 0 && count != 0 {
        let strings = u64::from(symbols).checked_add(u64::from(count).checked_mul(18)?)?;
        let len = read::index(strings).and_then(|at| read::le32(data, at)).unwrap_or(0);
        end = end.max(strings.checked_add(len.into())?);
    }
    // Directory 4 is the certificate table; its address is a file offset.
    let entry = coff.get(if wide { 168 } else { 152 }..)?;
    let (at, size) = (read::le32(entry, 0)?, read::le32(entry, 4)?);
    let signed = usize::from(optional) >= if wide { 152 } else { 136 } && size != 0 && at != 0;
    if signed {
        end = end.max(u64::from(at).checked_add(size.into())?);
    }
    Some((end, machine, subsystem, if signed { size } else { 0 }))
}

/// Bytes that the PE headers of a kernel with an EFI stub claim, certificate table included.
#[must_use]
pub fn extent(data: &[u8]) -> Option<u64> {
    header(data).map(|(end, ..)| end)
}

fn layout(data: &Bytes, _: &Budget) -> Option<Layout> {
    let kernel = read::slice(data, 0x202, 4) == Some(b"HdrS")
        || matches!(read::slice(data, 0x38, 4), Some(b"ARM\x64" | b"RSC\x05"))
        || read::le32(data, 0x24) == Some(0x016F_2818);
    if kernel {
        return None;
    }
    let (end, machine, subsystem, certificates) = header(data)?;
    let mut layout = Layout::leaf(data, end, Proof::LengthsConsistent);
    let machine = match machine {
        0x14C => "x86".to_owned(),
        0x8664 => "x86-64".to_owned(),
        0xAA64 => "aarch64".to_owned(),
        0x1C0 | 0x1C2 | 0x1C4 => "arm".to_owned(),
        0x5032 | 0x5064 => "riscv".to_owned(),
        0xEBC => "efi-byte-code".to_owned(),
        other => format!("machine-{other:#x}"),
    };
    layout.attribute("machine", machine);
    let subsystem = match subsystem {
        1 => "native",
        2 | 3 => "windows",
        10 => "efi-application",
        11 => "efi-boot-driver",
        12 => "efi-runtime-driver",
        13 => "efi-rom",
        _ => "other",
    };
    layout.attribute("subsystem", subsystem);
    if certificates != 0 {
        layout.integrity("signature", "authenticode", None);
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn a_linked_program_ends_where_its_headers_end() {
        let dir = scratch();
        std::fs::write(dir.path().join("a.s"), ".globl _start\n_start: ret\n.data\n.long 5\n")
            .unwrap();
        let build = "as -o a.o a.s; ld -m i386pep --subsystem 10 -e _start -o a.efi a.o 2>/dev/null || objcopy --target=efi-app-x86_64 a.o a.efi";
        tool(dir.path(), "binutils-multiarch", build);
        let file = std::fs::read(dir.path().join("a.efi")).unwrap();
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.attribute("machine"), "x86-64");
        assert_eq!(opened.attribute("subsystem"), "efi-application");
        let mut overlay = file.clone();
        overlay.extend(b"overlay");
        assert_eq!(open(&FORMAT, &overlay).candidate.length, file.len());
        torture(&FORMAT, &file);
    }

    #[test]
    fn a_dos_program_is_refused() {
        let mut dos = b"MZ".to_vec();
        dos.resize(512, 0);
        assert!(open_at(&FORMAT, &dos, 0).is_none());
        dos[0x3C] = 0x80;
        assert!(open_at(&FORMAT, &dos, 0).is_none());
    }
}
