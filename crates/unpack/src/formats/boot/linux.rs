//! Linux kernels without a header of their own, and the configuration inside a kernel.
//!
//! `linux-kernel` establishes: the content begins with the kernel, as it does after decompression of the
//! payload of a MIPS or ARM image: the banner and the panic text are inside, no second release, and no file
//! system superblock at a multiple of 1 KiB. Then the whole content is one kernel.
//! `kernel-config` establishes: a gzip stream between `IKCFG_ST` and `IKCFG_ED`.
//!
//! False negatives: kernels that were built without printk. Limits: symbols are not recovered here.

use bytes::Bytes;
use memchr::memmem;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    formats::{
        executable::kernel,
        layout::{Layout, Reader},
    },
    read,
};

/// The embedded configuration.
pub static CONFIG: Reader = Reader {
    about: &About {
        id: "kernel-config",
        name: "Linux kernel configuration (IKCFG)",
        family: Family::Boot,
        revision: 1,
        metadata: "",
        integrity: "gzip stream between two marks",
        limits: "",
        sources: &["linux/kernel/configs.c"],
    },
    magics: &[Magic::anywhere(b"IKCFG_ST\x1F\x8B\x08")],
    read: config,
};

fn config(data: &Bytes, budget: &Budget) -> Option<Layout> {
    if data.get(..8)? != b"IKCFG_ST" {
        return None;
    }
    let stream = kernel::config_stream(data, 0, budget)?;
    let length = stream.len().checked_add(16)?;
    let mut layout = Layout::new(data, length as u64, Proof::LengthsConsistent);
    layout.structure(0, 8);
    layout.structure(length.checked_sub(8)?, 8);
    layout.entry(8..length.checked_sub(8)?, kernel::config_entry(stream));
    Some(layout)
}

/// A kernel that is its whole content.
pub static RAW: RawKernel = RawKernel;

/// A kernel without a header.
pub struct RawKernel;

static ABOUT: About = About {
    id: "linux-kernel",
    name: "Linux kernel, decompressed",
    family: Family::Boot,
    revision: 1,
    metadata: "banner, release",
    integrity: "banner and texts of one kernel",
    limits: "no symbols; only where the kernel is the whole content",
    sources: &["linux/init/version.c", "linux/kernel/panic.c"],
};

/// Superblocks and headers that do not occur aligned inside a kernel.
const FOREIGN: &[&[u8]] =
    &[b"hsqs", b"sqsh", b"UBI#", b"\x27\x05\x19\x56", b"HDR0", b"\x31\x18\x10\x06", b"ANDROID!"];

fn foreign(data: &[u8]) -> bool {
    data.chunks(1024).any(|block| FOREIGN.iter().any(|magic| block.starts_with(magic)))
}

impl Format for RawKernel {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(b"Linux version ")];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        // Programs and headed images have formats of their own; a kernel is some megabytes.
        let headed =
            matches!(data.get(..4)?, b"\x7fELF" | b"MZ\0\0" | b"MZ@\xFA" | b"\x27\x05\x19\x56")
                || data.starts_with(b"MZ")
                || matches!(read::slice(data, 0x38, 4), Some(b"ARM\x64" | b"RSC\x05"));
        if headed || !(1 << 19..1 << 27).contains(&data.len()) {
            return None;
        }
        let release = |banner: &String| kernel::release(banner).to_owned();
        let own = release(&kernel::banner_at(data, at)?);
        // The first banner answers for all; a kernel has one or two, of one release.
        budget.work(data.len() as u64).ok()?;
        let mut banners = memmem::find_iter(&data[..], b"Linux version ")
            .filter_map(|place| Some((place, kernel::banner_at(data, place)?)));
        let first = banners.next()?.0 == at;
        let alone = first && banners.all(|(_, banner)| release(&banner) == own);
        let texts = memmem::find(data, b"Kernel panic - not syncing").is_some();
        (alone && texts && !foreign(data))
            .then(|| Candidate::new(0, data.len(), Proof::LengthsConsistent))
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        kernel::open(region, budget, sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, scratch, tool, torture};

    fn fake_kernel() -> (Vec<u8>, usize) {
        let mut kernel = noise(600_000, 17);
        let at = kernel.len() + 1;
        kernel.extend(
            b"\0Linux version 4.14.90 (builder@host) (gcc version 7.3.0) #0 Tue Jan 1 2019\n\0",
        );
        kernel.extend(b"Kernel panic - not syncing: %s\0");
        (kernel, at)
    }

    #[test]
    fn a_kernel_that_is_the_whole_content() {
        let dir = scratch();
        std::fs::write(dir.path().join("c"), "CONFIG_MIPS=y\nCONFIG_MODULES=y\n").unwrap();
        tool(dir.path(), "gzip", "gzip -9n c");
        let (mut data, at) = fake_kernel();
        data.extend(b"IKCFG_ST");
        let start = data.len() - 8;
        data.extend(std::fs::read(dir.path().join("c.gz")).unwrap());
        data.extend(b"IKCFG_ED");
        let opened = open_at(&RAW, &data, at).unwrap();
        assert_eq!((opened.candidate.start, opened.candidate.length), (0, data.len()));
        assert_eq!(opened.attribute("version"), "4.14.90");
        assert_eq!(opened.content("kernel-config"), &b"CONFIG_MIPS=y\nCONFIG_MODULES=y\n"[..]);
        let opened = open_at(&CONFIG, &data, start).unwrap();
        assert_eq!(opened.content("kernel-config").len(), 31);
        torture(&CONFIG, &data[start..]);
    }

    #[test]
    fn a_flash_dump_with_a_kernel_in_it_is_not_one_kernel() {
        let (mut data, at) = fake_kernel();
        data.resize(data.len().next_multiple_of(1024), 0xFF);
        data.extend(b"hsqs");
        assert!(open_at(&RAW, &data, at).is_none());
        assert!(open_at(&CONFIG, b"IKCFG_ST\x1F\x8B\x08 without an end", 0).is_none());
    }
}
