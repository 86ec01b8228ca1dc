//! uImage: U-Boot's legacy image, one part or several.
//!
//! Establishes: header CRC, data CRC, kind, operating system, architecture, compression, name, addresses.
//!
//! How: the header CRC is over the 64 bytes with its own field 0. Multi-file images and scripts begin with a
//! list of lengths. A header whose CRC is wrong is kept if every field is plausible (some vendors patch
//! fields after mkimage) and said to be wrong.
//!
//! False positives: none known with a right header CRC; without, the magic in a tool that writes uImages is
//! refused by the fields.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::{
        layout::{self, Layout, Reader},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "uimage",
        name: "U-Boot uImage",
        family: Family::Boot,
        revision: 1,
        metadata: "name, time, operating system, architecture, kind, addresses",
        integrity: "header and data crc32",
        limits: "",
        sources: &["u-boot/include/image.h"],
    },
    magics: &[Magic::anywhere(b"\x27\x05\x19\x56")],
    read: read_layout,
};

const HEADER: usize = 64;
const KINDS: &[&str] = &[
    "invalid",
    "standalone",
    "kernel",
    "ramdisk",
    "multi",
    "firmware",
    "script",
    "filesystem",
    "flat-dt",
];
const SYSTEMS: &[&str] = &[
    "invalid",
    "openbsd",
    "netbsd",
    "freebsd",
    "4_4bsd",
    "linux",
    "svr4",
    "esix",
    "solaris",
    "irix",
    "sco",
    "dell",
    "ncr",
    "lynxos",
    "vxworks",
    "psos",
    "qnx",
    "u-boot",
    "rtems",
    "artos",
    "unity",
    "integrity",
    "ose",
    "plan9",
    "openrtos",
    "arm-trusted-firmware",
    "tee",
    "opensbi",
    "efi",
];
const MACHINES: &[&str] = &[
    "invalid",
    "alpha",
    "arm",
    "x86",
    "ia64",
    "mips",
    "mips64",
    "powerpc",
    "s390",
    "superh",
    "sparc",
    "sparc64",
    "m68k",
    "nios",
    "microblaze",
    "nios2",
    "blackfin",
    "avr32",
    "st200",
    "sandbox",
    "nds32",
    "openrisc",
    "aarch64",
    "arc",
    "x86-64",
    "xtensa",
    "riscv",
];
const COMPRESSIONS: &[&str] = &["none", "gzip", "bzip2", "lzma", "lzo", "lz4", "zstd"];

fn named(table: &[&str], number: u8) -> String {
    table.get(usize::from(number)).map_or_else(|| format!("{number}"), |name| (*name).to_owned())
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let header = data.get(..HEADER)?;
    let word = |at| read::be32(header, at);
    let (size, declared) = (word(12)?, word(4)?);
    let [system, machine, kind, compression] = read::array(header, 28)?;
    if header.get(..4)? != b"\x27\x05\x19\x56" || size == 0 {
        return None;
    }
    let pieces = [header.get(..4)?, &[0; 4], header.get(8..)?];
    let header_right = sums::crc32_of(pieces) == declared;
    let plausible = (1..=32).contains(&system)
        && (1..=27).contains(&machine)
        && (1..=40).contains(&kind)
        && compression <= 6
        && layout::is_text_field(header.get(32..)?)
        && u64::from(size) <= data.len() as u64;
    if !header_right && !plausible {
        return None;
    }
    let proof = if header_right { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
    let mut layout = Layout::new(data, (HEADER as u64).checked_add(size.into())?, proof);
    layout.structure(0, HEADER);
    if !header_right {
        layout.problem(ProblemKind::Checksum, "the crc32 of the header does not match");
    }
    let kind = named(KINDS, kind);
    layout.attribute("name", layout::text(header, 32, 32)?);
    layout.attribute("created", word(8)?);
    layout.attribute("load-address", format!("{:#x}", word(16)?));
    layout.attribute("entry-point", format!("{:#x}", word(20)?));
    layout.attribute("os", named(SYSTEMS, system));
    layout.attribute("machine", named(MACHINES, machine));
    layout.attribute("compression", named(COMPRESSIONS, compression));
    layout.attribute("kind", &kind);

    let body = data.get(HEADER..layout.length)?;
    let correct = (body.len() as u64 == u64::from(size) && budget.work(size.into()).is_ok())
        .then(|| Some(sums::crc32(body)) == word(24))
        .map(|data_right| data_right && header_right);
    layout.integrity("crc", "crc32", correct);
    if kind == "multi" || kind == "script" {
        parts(data, body, &kind, size.into(), &mut layout);
    } else {
        layout.part(data, kind, HEADER as u64, size.into());
    }
    Some(layout)
}

/// Parts after a list of lengths that ends with 0, each at a multiple of 4.
fn parts(data: &Bytes, body: &[u8], kind: &str, size: u64, layout: &mut Layout) {
    let lengths: Vec<u32> = (0..64)
        .map_while(|n: usize| read::be32(body, n.checked_mul(4)?))
        .take_while(|len| *len != 0)
        .collect();
    let list = (lengths.len() as u64).saturating_add(1).saturating_mul(4);
    let mut at = (HEADER as u64).saturating_add(list);
    let total = lengths.iter().fold(list, |sum, len| sum.saturating_add(u64::from(*len)));
    if lengths.is_empty() || total > size {
        layout.problem(ProblemKind::Malformed, "the list of part lengths does not fit the image");
        layout.part(data, kind, HEADER as u64, size);
        return;
    }
    layout.structure(HEADER, usize::try_from(list).unwrap_or(0));
    layout.align(4);
    for (n, len) in lengths.iter().enumerate() {
        let name = if lengths.len() == 1 { kind.to_owned() } else { format!("part-{n}") };
        layout.part(data, name, at, u64::from(*len));
        at = at.saturating_add(u64::from(*len).next_multiple_of(4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn what_mkimage_makes_is_read() {
        let (dir, kernel, ramdisk) = (scratch(), noise(5001, 3), noise(3003, 4));
        std::fs::write(dir.path().join("k"), &kernel).unwrap();
        std::fs::write(dir.path().join("r"), &ramdisk).unwrap();
        std::fs::write(dir.path().join("s"), b"echo hello\n").unwrap();
        let make = "mkimage -A mips -O linux -T kernel -C lzma -a 0x80060000 -e 0x80060400 -n 'MIPS kernel' -d k one >&2
            mkimage -A arm -O linux -T multi -C none -n both -d k:r two >&2; mkimage -A arm -T script -d s three >&2";
        tool(dir.path(), "u-boot-tools", make);
        let one = std::fs::read(dir.path().join("one")).unwrap();
        let opened = open_whole(&FORMAT, &one);
        assert_eq!(opened.candidate.proof, Proof::ChecksumVerified);
        assert_eq!(opened.content("kernel"), kernel);
        for (key, value) in [
            ("name", "MIPS kernel"),
            ("compression", "lzma"),
            ("machine", "mips"),
            ("os", "linux"),
            ("load-address", "0x80060000"),
            ("integrity-correct", "yes"),
            ("integrity", "crc"),
        ] {
            assert_eq!(opened.attribute(key), value);
        }
        let two = std::fs::read(dir.path().join("two")).unwrap();
        let opened = open_whole(&FORMAT, &two);
        assert_eq!(opened.names(), ["part-0", "part-1"]);
        assert_eq!(
            (opened.content("part-0"), opened.content("part-1")),
            (kernel.into(), ramdisk.into())
        );
        let three = std::fs::read(dir.path().join("three")).unwrap();
        assert_eq!(open_whole(&FORMAT, &three).content("script"), &b"echo hello\n"[..]);
        torture(&FORMAT, &two);

        let mut changed = one.clone();
        changed[100] ^= 1;
        let opened = open(&FORMAT, &changed);
        assert_eq!(opened.problems[0].kind, ProblemKind::Checksum);
        assert_eq!(opened.attribute("integrity-correct"), "no");
        let cut = open(&FORMAT, &one[..1000]);
        assert_eq!(cut.problems[0].kind, ProblemKind::Truncated);
        assert_eq!(cut.attribute("integrity-correct"), "unknown");
    }

    #[test]
    fn the_magic_in_code_is_refused() {
        let mut code = b"\x27\x05\x19\x56".to_vec();
        code.extend(noise(400, 5));
        assert!(open_at(&FORMAT, &code, 0).is_none());
    }
}
