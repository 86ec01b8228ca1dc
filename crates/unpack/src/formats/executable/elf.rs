//! ELF programs, libraries, modules and kernels.
//!
//! Establishes: that the headers agree with each other, and where the file ends:
//! the furthest byte that a header, a segment or a section claims. What follows
//! (signatures, appended archives, images) stays outside and is looked at for itself.
//!
//! How: file header, then every program and section header, both classes, both byte orders.
//! False positives: none known; a chance match fails the sizes of the header tables.
//! False negatives: headers damaged on purpose (some packers) that the Linux loader would still accept.
//! A Linux kernel (it has the banner) is opened: `kernel-config`, `initramfs`. So is a self-decompressing
//! one, and a self-decompressing Cisco IOS: `payload`.

use bytes::Bytes;
use proofmark_model::Proof;

use super::kernel;
use crate::{
    budget::Budget,
    format::{About, Blob, Entry, Family, Magic, Sink},
    formats::layout::{Layout, Reader},
    read::{self, Order},
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "elf",
        name: "ELF",
        family: Family::Executable,
        revision: 1,
        metadata: "class, byte order, machine, type",
        integrity: "sizes and offsets of all headers",
        limits: "sections are not entries; only a Linux kernel is opened",
        sources: &["System V ABI, chapter 4", "elf(5)"],
    },
    magics: &[Magic::anywhere(b"\x7fELF")],
    read: layout,
};

/// What the headers say about the file as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// 64-bit class.
    pub wide: bool,
    /// Byte order.
    pub order: Order,
    /// `e_machine`.
    pub machine: u16,
    /// `e_type`.
    pub kind: u16,
    /// Bytes up to the furthest one that a header claims; may be more than there are.
    pub extent: u64,
}

/// A field whose place and width depend on the class.
fn word(data: &[u8], order: Order, wide: bool, at: (usize, usize)) -> Option<u64> {
    if wide { order.u64(data, at.1) } else { order.u32(data, at.0).map(u64::from) }
}

/// Reads the headers at the start of `data`, or refuses.
#[must_use]
pub fn header(data: &[u8], budget: &Budget) -> Option<Header> {
    let ident: [u8; 7] = read::array(data, 0)?;
    let wide = match ident[4] {
        1 => false,
        2 => true,
        _ => return None,
    };
    let order = match ident[5] {
        1 => Order::Little,
        2 => Order::Big,
        _ => return None,
    };
    if ident[..4] != *b"\x7fELF" || ident[6] != 1 || order.u32(data, 20)? != 1 {
        return None;
    }
    let (tail, size, segment, section): (usize, u64, u64, u64) =
        if wide { (52, 64, 56, 64) } else { (40, 52, 32, 40) };
    let phoff = word(data, order, wide, (28, 32))?;
    let shoff = word(data, order, wide, (32, 40))?;
    let half = |n: usize| order.u16(data, tail.checked_add(n)?).map(u64::from);
    let (phentsize, mut phnum) = (half(2)?, half(4)?);
    let (shentsize, mut shnum) = (half(6)?, half(8)?);
    if half(0)? != size || (phoff != 0 && phnum != 0 && phentsize != segment) {
        return None;
    }
    let has_sections = shoff != 0 && shentsize == section;
    if !has_sections && shnum != 0 && shoff != 0 {
        return None;
    }
    let at = |table: u64, n: u64, each: u64| read::index(table.checked_add(n.checked_mul(each)?)?);
    // Counts that do not fit their fields stand in section 0.
    if has_sections {
        let first = read::index(shoff)?;
        let field =
            |narrow: usize, wider: usize| word(data.get(first..)?, order, wide, (narrow, wider));
        if shnum == 0 {
            shnum = field(20, 32).unwrap_or(0);
        }
        if phnum == 0xFFFF {
            let info = if wide { 44 } else { 28 };
            phnum = order.u32(data.get(first..)?, info).map_or(phnum, u64::from);
        }
    } else {
        shnum = 0;
    }
    let mut extent = size;
    let mut reach = |start: u64, len: Option<u64>| {
        extent = extent.max(start.checked_add(len?)?);
        Some(())
    };
    if phoff != 0 && phnum != 0 {
        reach(phoff, phnum.checked_mul(segment))?;
    }
    if shnum != 0 {
        reach(shoff, shnum.checked_mul(section))?;
    }
    budget.work(phnum.saturating_add(shnum)).ok()?;
    for n in 0..phnum {
        let Some(entry) = at(phoff, n, segment).and_then(|at| data.get(at..)) else { break };
        let (Some(offset), Some(len)) =
            (word(entry, order, wide, (4, 8)), word(entry, order, wide, (16, 32)))
        else {
            break;
        };
        if len != 0 && order.u32(entry, 0)? != 0 {
            reach(offset, Some(len))?;
        }
    }
    for n in 0..shnum {
        let Some(entry) = at(shoff, n, section).and_then(|at| data.get(at..)) else { break };
        let (Some(offset), Some(len)) =
            (word(entry, order, wide, (16, 24)), word(entry, order, wide, (20, 32)))
        else {
            break;
        };
        // SHT_NULL and SHT_NOBITS have no bytes in the file.
        if !matches!(order.u32(entry, 4)?, 0 | 8) {
            reach(offset, Some(len))?;
        }
    }
    let (kind, machine) = (order.u16(data, 16)?, order.u16(data, 18)?);
    if phnum == 0 && shnum == 0 {
        return None;
    }
    Some(Header { wide, order, machine, kind, extent })
}

fn layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let header = header(data, budget)?;
    let mut layout = Layout::leaf(data, header.extent, Proof::LengthsConsistent);
    layout.attribute("class", if header.wide { "64" } else { "32" });
    layout.attribute("byte-order", if header.order == Order::Little { "little" } else { "big" });
    layout.attribute("machine", machine(header.machine));
    let kind = match header.kind {
        1 => "relocatable",
        2 => "executable",
        3 => "shared",
        4 => "core",
        _ => "other",
    };
    layout.attribute("type", kind);
    let region = data.slice(..layout.length);
    let program = header.kind == 2;
    layout.later(move |budget, sink| {
        kernel::open(&region, budget, sink);
        if cisco(&region, budget, sink) {
            return;
        }
        if program
            && !sink.attributes.contains_key("banner")
            && budget.work(region.len() as u64).is_ok()
        {
            self_decompressing(&region, sink);
        }
    });
    Some(layout)
}

/// Cisco IOS that decompresses itself: big-endian, and a PKZIP archive behind `FEEDFACE` and four words.
/// The version stands in clear text in an earlier section.
fn cisco(region: &Bytes, budget: &Budget, sink: &mut Sink<'_>) -> bool {
    if region.get(5) != Some(&2) || budget.work(region.len() as u64).is_err() {
        return false;
    }
    let archive = |at: &usize| {
        at.checked_add(20).and_then(|at| read::slice(region, at, 4)) == Some(b"PK\x03\x04")
    };
    let Some(at) = memchr::memmem::find_iter(&region[..], b"\xFE\xED\xFA\xCE").find(archive) else {
        return false;
    };
    sink.attribute("os", "cisco-ios");
    const VERSION: &[u8] = b"CW_VERSION$";
    let version = memchr::memmem::find(region, VERSION)
        .and_then(|at| region.get(at.checked_add(VERSION.len())?..));
    if let Some(text) =
        version.and_then(|text| text.split(|b| *b == b'$').next()).filter(|t| t.len() < 100)
    {
        sink.attribute("version", String::from_utf8_lossy(text));
    }
    // Out of entries is recorded by the sink itself.
    let _ = sink.entry(Entry::file("payload", Blob::Bytes(region.slice(at.saturating_add(20)..))));
    true
}

/// A program that is mostly one compressed stream (`vmlinuz` of MIPS and PowerPC) has it as an entry.
fn self_decompressing(region: &Bytes, sink: &mut Sink<'_>) {
    let Some(at) = kernel::payload_start(region).filter(|at| *at < region.len() / 4) else {
        return;
    };
    // Out of entries is recorded by the sink itself.
    let _ = sink.entry(Entry::file("payload", Blob::Bytes(region.slice(at..))));
}

/// Short name of a machine number.
#[must_use]
pub fn machine(number: u16) -> String {
    let name = match number {
        2 | 18 | 43 => "sparc",
        3 => "x86",
        4 => "m68k",
        8 => "mips",
        15 => "parisc",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390",
        40 => "arm",
        42 => "superh",
        45 | 93 | 195 => "arc",
        50 => "ia64",
        62 => "x86-64",
        83 => "avr",
        94 => "xtensa",
        106 => "blackfin",
        113 => "nios2",
        164 => "hexagon",
        183 => "aarch64",
        189 => "microblaze",
        243 => "riscv",
        247 => "bpf",
        252 => "csky",
        258 => "loongarch",
        _ => return format!("machine-{number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{from_debian, open, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn a_compiled_program_ends_where_its_headers_end() {
        let dir = scratch();
        std::fs::write(dir.path().join("a.c"), "int main(void){return 0;}").unwrap();
        let build = "gcc -o a a.c; gcc -c -o o a.c; strip -o s a; mipsel-linux-gnu-gcc -c -o m a.c; objcopy -I binary -O elf32-big /bin/true be";
        tool(dir.path(), "gcc gcc-mipsel-linux-gnu binutils", build);
        for (name, machine) in
            [("a", "x86-64"), ("o", "x86-64"), ("s", "x86-64"), ("m", "mips"), ("be", "machine-0")]
        {
            let file = std::fs::read(dir.path().join(name)).unwrap();
            let opened = open_whole(&FORMAT, &file);
            assert_eq!(opened.attribute("machine"), machine, "{name}");
            assert_eq!(opened.candidate.proof, Proof::LengthsConsistent);
            let mut appended = file.clone();
            appended.extend(b"appended data");
            assert_eq!(open(&FORMAT, &appended).candidate.length, file.len());
            if name != "be" {
                torture(&FORMAT, &file);
            }
        }
    }

    #[test]
    fn the_distribution_kernel_for_mips_has_its_payload() {
        let path = "usr/lib/debian-installer/images/12/mipsel/malta/vmlinuz-*-malta";
        let file = from_debian("debian-installer-12-netboot-mipsel", path);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.files(), ["payload"]);
    }

    /// Our own construction after the published scripts that unpack such images.
    #[test]
    fn a_cisco_image_has_its_archive() {
        let mut file = b"\x7fELF\x01\x02\x01".to_vec();
        file.resize(16, 0);
        file.extend([0, 2, 0, 43, 0, 0, 0, 1]);
        file.extend([0_u32, 52, 0, 0].iter().flat_map(|w| w.to_be_bytes()));
        file.extend([0, 52, 0, 32, 0, 1, 0, 40, 0, 0, 0, 0]);
        file.extend([1_u32, 84, 0, 0, 200, 200, 7, 4].iter().flat_map(|w| w.to_be_bytes()));
        file.extend(b"CW_BEGIN$-$CW_VERSION$15.1(4)M$CW_END");
        file.extend([0xFE, 0xED, 0xFA, 0xCE]);
        file.extend([0; 16]);
        file.extend(b"PK\x03\x04");
        file.resize(284, 0x11);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(
            (opened.attribute("os"), opened.attribute("version")),
            ("cisco-ios", "15.1(4)M")
        );
        assert!(opened.content("payload").starts_with(b"PK\x03\x04"));
        torture(&FORMAT, &file);
    }

    #[test]
    fn a_magic_alone_is_refused() {
        let mut text = b"\x7fELF in a string table of some program".to_vec();
        text.resize(200, 0);
        assert!(open_at(&FORMAT, &text, 0).is_none());
        text[4..7].copy_from_slice(&[1, 1, 1]);
        assert!(open_at(&FORMAT, &text, 0).is_none());
    }
}
