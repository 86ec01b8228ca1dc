//! Linux kernel images as boot loaders take them: bzImage (x86), zImage (ARM), Image (AArch64, RISC-V)
//! and the generic EFI wrapper (zboot).
//!
//! Establishes: the extent from the image's own header (or from the PE header of its EFI stub, which also
//! covers appended signatures), the compressed payload, and the release. The payload is an entry as it is;
//! the engine decompresses it and finds the kernel inside.
//!
//! bzImage: `setup_sects` and `syssize` give the length, `payload_offset` and `payload_length` (protocol
//! 2.08) the payload; the last word of an unsigned image is the CRC-32 of all before it.
//! False positives: none known: each has a magic and lengths that must fit.
//! Limits: payloads of protocols before 2.08 are left to the engine inside the entry `kernel`.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        executable::{kernel, pe},
        layout::{self, Layout, Reader},
        sums,
    },
    read::{self, Order},
};

/// x86.
pub static BZIMAGE: Reader = Reader {
    about: &About {
        id: "linux-bzimage",
        name: "Linux bzImage",
        family: Family::Boot,
        revision: 1,
        metadata: "release, boot protocol, signed or not",
        integrity: "lengths; crc32 of unsigned images",
        limits: "payloads of boot protocols before 2.08 are not cut out",
        sources: &["linux/Documentation/arch/x86/boot.rst"],
    },
    magics: &[Magic::anywhere(b"HdrS").after(0x202)],
    read: bzimage,
};

/// ARM, 32 bits.
pub static ARM: Reader = Reader {
    about: &About {
        id: "linux-zimage",
        name: "Linux zImage (ARM)",
        family: Family::Boot,
        revision: 1,
        metadata: "byte order",
        integrity: "start and end of the header",
        limits: "",
        sources: &["linux/arch/arm/boot/compressed/head.S"],
    },
    magics: &[
        Magic::anywhere(b"\x18\x28\x6F\x01").after(0x24),
        Magic::anywhere(b"\x01\x6F\x28\x18").after(0x24),
    ],
    read: zimage,
};

/// AArch64 and RISC-V.
pub static HEADED: Reader = Reader {
    about: &About {
        id: "linux-image",
        name: "Linux Image (AArch64, RISC-V)",
        family: Family::Boot,
        revision: 1,
        metadata: "release, flags",
        integrity: "header fields, extent of the PE header where there is one",
        limits: "without a PE header the image reaches to the end of its content or its declared size",
        sources: &[
            "linux/Documentation/arch/arm64/booting.rst",
            "linux/Documentation/arch/riscv/boot-image-header.rst",
        ],
    },
    magics: &[Magic::anywhere(b"ARM\x64").after(0x38), Magic::anywhere(b"RSC\x05").after(0x38)],
    read: headed,
};

/// Any architecture, compressed, with an EFI program around.
pub static ZBOOT: Reader = Reader {
    about: &About {
        id: "linux-zboot",
        name: "Linux EFI zboot image",
        family: Family::Boot,
        revision: 1,
        metadata: "compression",
        integrity: "payload inside the PE extent",
        limits: "",
        sources: &["linux/drivers/firmware/efi/libstub/zboot-header.S"],
    },
    magics: &[Magic::anywhere(b"MZ\0\0zimg")],
    read: zboot,
};

fn bzimage(data: &Bytes, budget: &Budget) -> Option<Layout> {
    if read::slice(data, 0x202, 4)? != b"HdrS" || read::le16(data, 0x1FE)? != 0xAA55 {
        return None;
    }
    let version = read::le16(data, 0x206)?;
    let sectors = match read::u8(data, 0x1F1)? {
        0 => 4,
        n => u64::from(n),
    };
    let setup = sectors.checked_add(1)?.checked_mul(512)?;
    let size = u64::from(read::le32(data, 0x1F4)?).checked_mul(16)?;
    let protected = setup.checked_add(size)?;
    if !(0x200..=0x2FF).contains(&version) || sectors > 64 || size == 0 || size > 1 << 28 {
        return None;
    }
    let signed =
        pe::extent(data).filter(|end| *end > protected && *end < protected.saturating_add(1 << 16));
    let mut layout = Layout::new(data, signed.unwrap_or(protected), Proof::LengthsConsistent);
    layout.attribute("os", "linux");
    layout.attribute("machine", "x86");
    layout.attribute("boot-protocol", format!("{}.{:02}", version >> 8, version & 0xFF));
    let text = usize::from(read::le16(data, 0x20E)?).checked_add(0x200)?;
    if let Some(banner) = layout::text(data, text, 256.min(data.len().saturating_sub(text))) {
        layout.attribute("version", banner.split(' ').next().unwrap_or_default());
        layout.attribute("banner", banner);
    }
    let last = layout.length.checked_sub(4)?;
    let crc = (layout.length as u64 == protected && budget.work(protected).is_ok())
        .then(|| !sums::crc32(data.get(..last).unwrap_or_default()))
        .filter(|crc| Some(*crc) == read::le32(data, last));
    if crc.is_some() {
        layout.proof = Proof::ChecksumVerified;
    }
    match signed {
        Some(_) => layout.integrity("signature", "authenticode", None),
        // Newer builds have no CRC any more, so that it differs says nothing.
        None => layout.integrity("crc", "crc32", crc.map(|_| true)),
    }
    let (offset, len) = (u64::from(read::le32(data, 0x248)?), u64::from(read::le32(data, 0x24C)?));
    let start = setup.checked_add(offset)?;
    if version < 0x208 || len == 0 || start.checked_add(len)? > protected {
        layout.structure(0, read::index(setup)?);
        layout.part(data, "kernel", setup, size);
    } else {
        layout.structure(0, layout.length);
        let payload = payload_len(data, start, len);
        layout.part(data, "payload", start, payload);
    }
    Some(layout)
}

/// The payload without the word that the build appends to all but gzip: the decoded length.
fn payload_len(data: &[u8], start: u64, len: u64) -> u64 {
    let gzip = read::index(start).and_then(|at| read::slice(data, at, 2)) == Some(b"\x1F\x8B");
    if gzip { len } else { len.saturating_sub(4) }
}

fn zimage(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let order = match read::slice(data, 0x24, 4)? {
        b"\x18\x28\x6F\x01" => Order::Little,
        b"\x01\x6F\x28\x18" => Order::Big,
        _ => return None,
    };
    let (start, end) = (order.u32(data, 0x28)?, order.u32(data, 0x2C)?);
    let size = u64::from(end.checked_sub(start)?);
    // The image begins with eight times the same instruction (or a PE header and no-ops).
    let idle = read::slice(data, 4, 4)? == read::slice(data, 8, 4)? || data.starts_with(b"MZ");
    if !(4096..1 << 27).contains(&size) || !idle {
        return None;
    }
    let size = pe::extent(data)
        .filter(|end| *end > size && *end < size.saturating_add(1 << 16))
        .unwrap_or(size);
    let mut layout = Layout::new(data, size, Proof::LengthsConsistent);
    layout.attribute("os", "linux");
    layout.attribute("machine", "arm");
    layout.attribute("byte-order", if order == Order::Little { "little" } else { "big" });
    layout.integrity("none", "", None);
    budget.work(layout.length as u64).ok()?;
    let at = kernel::payload_start(data.get(..layout.length)?).unwrap_or(0x34);
    layout.structure(0, at);
    layout.part(data, "payload", at as u64, (layout.length as u64).saturating_sub(at as u64));
    Some(layout)
}

fn headed(data: &Bytes, _: &Budget) -> Option<Layout> {
    let machine = match read::slice(data, 0x38, 4)? {
        b"ARM\x64" => "aarch64",
        b"RSC\x05" => "riscv",
        _ => return None,
    };
    let (text, size, flags) = (read::le64(data, 8)?, read::le64(data, 16)?, read::le64(data, 24)?);
    // Reserved words are 0; the kernel is loaded at most 2 MiB after its base, and is below 1 GiB.
    if text > 1 << 21
        || size == 0
        || size > 1 << 30
        || machine == "aarch64" && read::slice(data, 32, 24)? != [0; 24]
    {
        return None;
    }
    // The declared size has the zeroed data that is not in the file; the PE header knows the file.
    let there = size.min(data.len() as u64);
    let extent = pe::extent(data).filter(|end| *end <= data.len() as u64).unwrap_or(there);
    let mut layout = Layout::leaf(data, extent, Proof::LengthsConsistent);
    layout.attribute("os", "linux");
    layout.attribute("machine", machine);
    layout.attribute(
        "page-size",
        match flags >> 1 & 3 {
            1 => "4096",
            2 => "16384",
            3 => "65536",
            _ => "",
        },
    );
    layout.integrity("none", "", None);
    let region = data.slice(..layout.length);
    layout.later(move |budget, sink| kernel::open(&region, budget, sink));
    Some(layout)
}

fn zboot(data: &Bytes, _: &Budget) -> Option<Layout> {
    if data.get(..8)? != b"MZ\0\0zimg" {
        return None;
    }
    let (start, len) = (u64::from(read::le32(data, 8)?), u64::from(read::le32(data, 12)?));
    let end = start.checked_add(len)?.max(pe::extent(data)?);
    let mut layout = Layout::leaf(data, end, Proof::LengthsConsistent);
    layout.attribute("compression", layout::text(data, 24, 16)?);
    layout.attribute("os", "linux");
    layout.part(data, "payload", start, payload_len(data, start, len));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{from_debian, open, open_at, open_whole, torture};

    const NETBOOT: &str = "usr/lib/debian-installer/images/12";

    fn unzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut out).unwrap();
        out
    }

    #[test]
    fn the_distribution_kernel_for_x86() {
        let file = from_debian(
            "debian-installer-12-netboot-amd64",
            &format!("{NETBOOT}/amd64/text/debian-installer/amd64/linux"),
        );
        let opened = open_whole(&BZIMAGE, &file);
        assert!(opened.attribute("version").starts_with("6.1."), "{:?}", opened.attributes);
        assert_eq!(opened.attribute("integrity"), "signature");
        assert!(opened.content("payload").starts_with(b"\xFD7zXZ\0"));
        assert!(open_at(&pe::FORMAT, &file, 0).is_none(), "left to this format");
        torture(&BZIMAGE, &file[..20_000]);
    }

    #[test]
    fn the_distribution_kernel_for_aarch64() {
        let file = from_debian(
            "debian-installer-12-netboot-arm64",
            &format!("{NETBOOT}/arm64/text/debian-installer/arm64/linux"),
        );
        let file = if file.starts_with(b"\x1F\x8B") { unzip(&file) } else { file };
        let opened = open_whole(&HEADED, &file);
        assert!(opened.attribute("version").starts_with("6.1."), "{:?}", opened.attributes);
        assert_eq!(opened.attribute("page-size"), "4096");
        torture(&HEADED, &file[..4096]);
    }

    #[test]
    fn the_distribution_kernel_for_arm() {
        let file = from_debian(
            "debian-installer-12-netboot-armhf",
            &format!("{NETBOOT}/armhf/text/debian-installer/armhf/vmlinuz"),
        );
        let opened = open(&ARM, &file);
        assert_eq!(opened.problems, []);
        assert!(
            opened.content("payload").starts_with(b"\xFD7zXZ\0"),
            "{:?}",
            &opened.content("payload")[..8]
        );
        torture(&ARM, &file[..9000]);
    }

    #[test]
    fn magics_alone_are_refused() {
        let mut data = vec![0x90; 4096];
        data[0x202..0x206].copy_from_slice(b"HdrS");
        data[0x38..0x3C].copy_from_slice(b"ARM\x64");
        data[0x24..0x28].copy_from_slice(b"\x18\x28\x6F\x01");
        for format in [&BZIMAGE, &ARM, &HEADED] {
            assert!(open_at(format, &data, 0).is_none());
        }
        assert!(open_at(&ZBOOT, b"MZ\0\0zimg and nothing else behind it", 0).is_none());
    }
}
