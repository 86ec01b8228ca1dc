//! Android boot images, versions 0 to 4, and vendor boot images, 3 and 4.
//!
//! Establishes: page-aligned parts and, up to version 2, the SHA-1 that the builder stores as the image's id.
//!
//! False positives: none known: header version, header size and page size must agree.
//! Limits: the id is only an identifier for the boot loader, so a foreign one is `unknown`, not wrong.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        layout::{self, Layout, Reader, name_or},
        sums,
    },
    read,
};

const SOURCES: &[&str] = &["AOSP system/tools/mkbootimg/include/bootimg/bootimg.h"];

/// `boot.img`, `recovery.img`, `init_boot.img`.
pub static BOOT: Reader = Reader {
    about: &About {
        id: "android-boot",
        name: "Android boot image",
        family: Family::Boot,
        revision: 1,
        metadata: "name, command line, addresses, version of the system",
        integrity: "sha1 identifier (versions 0 to 2)",
        limits: "the boot signature of version 4 is an entry and not verified",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(b"ANDROID!")],
    read: boot,
};

/// `vendor_boot.img`.
pub static VENDOR_BOOT: Reader = Reader {
    about: &About {
        id: "android-vendor-boot",
        name: "Android vendor boot image",
        family: Family::Boot,
        revision: 1,
        metadata: "name, command line, addresses",
        integrity: "none in the format",
        limits: "",
        sources: SOURCES,
    },
    magics: &[Magic::anywhere(b"VNDRBOOT")],
    read: vendor_boot,
};

/// Places parts one after the other, each at a multiple of the page size.
struct Pages<'a> {
    data: &'a Bytes,
    page: u64,
    at: u64,
    parts: Vec<(String, u64, u64)>,
}

impl<'a> Pages<'a> {
    fn new(data: &'a Bytes, page: u32, header: u64) -> Option<Self> {
        let page = u64::from(page);
        // Page sizes of flash: 2 KiB to 128 KiB.
        (page.is_power_of_two() && (1024..=1 << 17).contains(&page)).then(|| Self {
            data,
            page,
            at: header.next_multiple_of(page),
            parts: Vec::new(),
        })
    }

    fn add(&mut self, name: impl Into<String>, len: u32) -> Option<()> {
        let len = u64::from(len);
        self.parts.push((name.into(), self.at, len));
        self.at = self.at.checked_add(len.checked_next_multiple_of(self.page)?)?;
        Some(())
    }

    /// The layout; the last part's alignment belongs to the image if it is there and nothing but filler.
    fn layout(&self, header: usize) -> Layout {
        let end = self
            .parts
            .iter()
            .map(|(_, at, len)| at.saturating_add(*len))
            .max()
            .unwrap_or(1)
            .max(header as u64);
        let filler = read::index(end)
            .zip(read::index(self.at))
            .and_then(|(from, to)| self.data.get(from..to));
        let padded = filler.is_some_and(|bytes| bytes.iter().all(|b| *b == 0));
        let mut layout =
            Layout::new(self.data, if padded { self.at } else { end }, Proof::LengthsConsistent);
        layout.structure(0, header);
        layout.align(usize::try_from(self.page).unwrap_or(0));
        for (name, at, len) in &self.parts {
            layout.part(self.data, name.as_str(), *at, *len);
        }
        layout
    }

    fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        let (_, at, len) = self.parts.iter().find(|(n, ..)| n == name)?;
        read::slice(self.data, read::index(*at)?, read::index(*len)?)
    }
}

/// `11.0.0 2021-03` of the packed word.
fn system_version(packed: u32) -> String {
    if packed == 0 {
        return String::new();
    }
    let (version, level) = (packed >> 11, packed & 0x7FF);
    let year = (level >> 4).saturating_add(2000);
    format!("{}.{}.{} {year}-{:02}", version >> 14, version >> 7 & 0x7F, version & 0x7F, level & 15)
}

fn boot(data: &Bytes, budget: &Budget) -> Option<Layout> {
    if data.get(..8)? != b"ANDROID!" {
        return None;
    }
    let word = |at| read::le32(data, at);
    let version = word(40)?;
    if matches!(version, 3 | 4) && matches!(word(20)?, 1580 | 1584) {
        let header = read::index(word(20)?.into())?;
        let mut pages = Pages::new(data, 4096, header as u64)?;
        pages.add("kernel", word(8)?)?;
        pages.add("ramdisk", word(12)?)?;
        let signature = if version == 4 { word(1580)? } else { 0 };
        pages.add("boot-signature", signature)?;
        let mut layout = pages.layout(header);
        layout.attribute("header-version", version);
        layout.attribute("version", system_version(word(16)?));
        layout.attribute("boot-arguments", layout::text(data, 44, 1536)?);
        if signature == 0 {
            layout.integrity("none", "", None);
        } else {
            layout.integrity("signature", "avb", None);
        }
        return Some(layout);
    }
    let tree = if version > 4 { version } else { 0 };
    let header: usize = match version {
        1 => 1648,
        2 => 1660,
        _ => 1632,
    };
    if matches!(version, 1 | 2) && word(1644)? != u32::try_from(header).ok()? {
        return None;
    }
    if !layout::is_text_field(data.get(48..64)?) || word(8)? == 0 && word(16)? == 0 {
        return None;
    }
    let mut pages = Pages::new(data, word(36)?, header as u64)?;
    pages.add("kernel", word(8)?)?;
    pages.add("ramdisk", word(16)?)?;
    pages.add("second", word(24)?)?;
    let mut hashed = vec!["kernel", "ramdisk", "second"];
    if version == 1 || version == 2 {
        pages.add("recovery-dtbo", word(1632)?)?;
        hashed.push("recovery-dtbo");
    }
    if version == 2 {
        pages.add("dtb", word(1648)?)?;
        hashed.push("dtb");
    } else if tree != 0 {
        pages.add("dt", tree)?;
        hashed.push("dt");
    }
    let mut layout = pages.layout(header);
    layout.attribute("header-version", if tree == 0 { version } else { 0 });
    layout.attribute("version", system_version(word(44)?));
    layout.attribute("name", layout::text(data, 48, 16)?);
    let arguments = [layout::text(data, 64, 512)?, layout::text(data, 608, 1024)?].concat();
    layout.attribute("boot-arguments", arguments);
    layout.attribute("load-address", format!("{:#x}", word(12)?));
    let id = read::slice(data, 576, 20)?;
    let right = id != [0; 20] && budget.work(layout.length as u64).is_ok() && {
        let mut all = Vec::new();
        for name in hashed {
            let bytes = pages.bytes(name)?;
            all.extend_from_slice(bytes);
            all.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
        }
        sums::sha1(&all) == id
    };
    if right {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.integrity("hash", "sha1", right.then_some(true));
    Some(layout)
}

fn vendor_boot(data: &Bytes, _: &Budget) -> Option<Layout> {
    if data.get(..8)? != b"VNDRBOOT" {
        return None;
    }
    let word = |at| read::le32(data, at);
    let (version, header) = (word(8)?, word(2096)?);
    if !matches!((version, header), (3, 2112) | (4, 2128)) {
        return None;
    }
    let mut pages = Pages::new(data, word(12)?, header.into())?;
    let ramdisks = pages.at;
    pages.add("ramdisk", word(24)?)?;
    pages.add("dtb", word(2100)?)?;
    if version == 4 {
        let table = pages.at;
        pages.add("ramdisk-table", word(2112)?)?;
        pages.add("bootconfig", word(2124)?)?;
        let (count, each) = (word(2116)?, word(2120)?);
        if count > 1 && count <= 64 && each >= 108 {
            // Several ramdisks stand inside the one section.
            pages.parts.retain(|(name, ..)| name != "ramdisk");
            for n in 0..count {
                let at = table.checked_add(u64::from(n.checked_mul(each)?))?;
                let entry = data.get(read::index(at)?..)?;
                let (len, offset) = (read::le32(entry, 0)?, read::le32(entry, 4)?);
                let name = name_or(&layout::text(entry, 12, 32)?, &format!("{n}"));
                let name = format!("ramdisk-{}", String::from_utf8_lossy(&name));
                pages.parts.push((name, ramdisks.checked_add(offset.into())?, len.into()));
            }
        }
    }
    let mut layout = pages.layout(read::index(header.into())?);
    layout.attribute("header-version", version);
    layout.attribute("name", layout::text(data, 2080, 16)?);
    layout.attribute("boot-arguments", layout::text(data, 28, 2048)?);
    layout.integrity("none", "", None);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn what_mkbootimg_makes_is_read() {
        let (dir, kernel, ramdisk, dtb) =
            (scratch(), noise(9001, 11), noise(5003, 12), noise(777, 13));
        for (name, bytes) in [("k", &kernel), ("r", &ramdisk), ("d", &dtb)] {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        for version in 0..=2 {
            let with_dtb = if version == 2 { "--dtb d" } else { "" };
            let make = format!(
                "mkbootimg --kernel k --ramdisk r {with_dtb} --pagesize 2048 --board board --cmdline 'console=ttyMSM0 a=b' --os_version 11.0.0 --os_patch_level 2021-03 --header_version {version} -o out"
            );
            tool(dir.path(), "mkbootimg", &make);
            let image = std::fs::read(dir.path().join("out")).unwrap();
            let opened = open_whole(&BOOT, &image);
            assert_eq!(opened.content("kernel"), kernel);
            assert_eq!(opened.content("ramdisk"), ramdisk);
            assert_eq!(opened.attribute("boot-arguments"), "console=ttyMSM0 a=b");
            assert_eq!(opened.attribute("version"), "11.0.0 2021-03");
            let names: &[&str] =
                if version == 2 { &["kernel", "ramdisk", "dtb"] } else { &["kernel", "ramdisk"] };
            assert_eq!(opened.names(), names);
            assert_eq!(opened.attribute("integrity-correct"), "yes", "version {version}");
            let mut changed = image.clone();
            changed[3000] ^= 1;
            assert_eq!(open(&BOOT, &changed).attribute("integrity-correct"), "unknown");
            torture(&BOOT, &image);
        }
    }

    /// Our own construction: the packaged builder ends at version 2.
    #[test]
    fn versions_3_and_4() {
        let (kernel, ramdisk, dtb) = (noise(9001, 11), noise(5003, 12), noise(777, 13));
        let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let pad = |mut bytes: Vec<u8>| {
            bytes.resize(bytes.len().next_multiple_of(4096), 0);
            bytes
        };
        for version in [3, 4] {
            let size = if version == 3 { 1580 } else { 1584 };
            let mut image = b"ANDROID!".to_vec();
            for n in
                [kernel.len(), ramdisk.len(), 11 << 25 | 21 << 4 | 3, size, 0, 0, 0, 0, version]
            {
                image.extend(word(n));
            }
            image.extend(b"androidboot.x=1");
            let image = [pad(image), pad(kernel.clone()), pad(ramdisk.clone())].concat();
            let opened = open_whole(&BOOT, &image);
            assert_eq!(
                (opened.content("kernel"), opened.content("ramdisk")),
                (kernel.clone().into(), ramdisk.clone().into())
            );
            assert_eq!(opened.attribute("boot-arguments"), "androidboot.x=1");
            torture(&BOOT, &image);

            let mut image = b"VNDRBOOT".to_vec();
            for n in [version, 4096, 0, 0, ramdisk.len()] {
                image.extend(word(n));
            }
            image.resize(2096, 0);
            image.extend(word(if version == 3 { 2112 } else { 2128 }));
            image.extend(word(dtb.len()));
            let image = [pad(image), pad(ramdisk.clone()), pad(dtb.clone())].concat();
            let opened = open_whole(&VENDOR_BOOT, &image);
            assert_eq!(
                (opened.content("ramdisk"), opened.content("dtb")),
                (ramdisk.clone().into(), dtb.clone().into())
            );
            torture(&VENDOR_BOOT, &image);
        }
    }

    #[test]
    fn the_magic_in_text_is_refused() {
        let mut text = b"ANDROID! is the magic".to_vec();
        text.resize(3000, b' ');
        assert!(open_at(&BOOT, &text, 0).is_none());
        text[..8].copy_from_slice(b"VNDRBOOT");
        assert!(open_at(&VENDOR_BOOT, &text, 0).is_none());
    }
}
