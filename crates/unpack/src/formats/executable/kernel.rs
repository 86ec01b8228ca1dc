//! What a Linux kernel carries, whatever its wrapping: banner, configuration,
//! built-in first file system. Used by ELF and by the boot image formats.
//!
//! The banner is `linux_banner` of `init/version.c`: it begins with `Linux version `, names the builder
//! in brackets, and ends with a line feed and NUL. The configuration is the gzip stream between
//! `IKCFG_ST` and `IKCFG_ED` (`kernel/configs.c`). The built-in file system is `.init.ramfs`
//! (`usr/initramfs_data.S`): the archive, padding to 8 bytes, then its length as a word, by which it is
//! found without symbols.

use bytes::Bytes;
use memchr::memmem;
use proofmark_model::{Problem, ProblemKind};

use crate::{
    budget::Budget,
    format::{Blob, Entry, Loaded, Sink},
    formats::layout::Deferred,
    read,
};

const START: &[u8] = b"IKCFG_ST";
const END: &[u8] = b"IKCFG_ED";

/// The banner, without the line feed: the last one, for recent kernels also hold one without a build number.
#[must_use]
pub fn banner(data: &[u8], budget: &Budget) -> Option<String> {
    budget.work(data.len() as u64).ok()?;
    memmem::find_iter(data, b"Linux version ").filter_map(|at| banner_at(data, at)).last()
}

/// The banner if one stands at `at`: `Linux version 6.1.0 (builder) (compiler) #1 ...`, line feed, NUL.
#[must_use]
pub fn banner_at(data: &[u8], at: usize) -> Option<String> {
    let rest = data.get(at..)?;
    let line = rest.get(..rest.len().min(1024))?;
    let end = memchr::memchr(b'\n', line)?;
    let (line, after) = (line.get(..end)?, line.get(end.checked_add(1)?)?);
    let text = std::str::from_utf8(line).ok()?;
    let version = text.strip_prefix("Linux version ")?;
    let shaped = version.starts_with(|c: char| c.is_ascii_digit())
        && version.contains(" (")
        && version.contains(") #")
        && text.chars().all(|c| !c.is_control());
    (*after == 0 && shaped).then(|| text.to_owned())
}

/// `6.1.0-13-amd64` of a banner.
#[must_use]
pub fn release(banner: &str) -> &str {
    banner
        .strip_prefix("Linux version ")
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_default()
}

/// The bytes of the gzip stream of an embedded configuration that begins (with its mark) at `at`.
#[must_use]
pub fn config_stream(data: &Bytes, at: usize, budget: &Budget) -> Option<Bytes> {
    let body = at.checked_add(START.len())?;
    data.get(body..).filter(|rest| rest.starts_with(&[0x1F, 0x8B, 8]))?;
    // A configuration is some 10 to 100 kB; the mark of its end must be near.
    let end = budget.find(data, END, body).ok()??;
    (end.checked_sub(body)? <= 1 << 20).then(|| data.slice(body..end))
}

/// The entry `kernel-config`, decompressed when asked for.
#[must_use]
pub fn config_entry(stream: Bytes) -> Entry {
    // The last word of a gzip stream is its decoded length.
    let size = stream.len().checked_sub(4).and_then(|at| read::le32(&stream, at)).unwrap_or(0);
    Entry::file(
        "kernel-config",
        Deferred::blob(size.into(), move |budget| gunzip(&stream, size.into(), budget)),
    )
}

/// One gzip member of at most `limit` bytes.
fn gunzip(stream: &[u8], limit: u64, budget: &Budget) -> Loaded {
    let mut loaded = Loaded::default();
    if let Err(e) = budget.output(limit) {
        loaded.problems.push(e.into());
        return loaded;
    }
    let mut out = Vec::new();
    let mut decoder = std::io::Read::take(flate2::read::GzDecoder::new(stream), limit);
    if let Err(e) = std::io::Read::read_to_end(&mut decoder, &mut out) {
        loaded.problems.push(Problem::new(ProblemKind::Malformed, format!("gzip: {e}")));
    }
    loaded.bytes = out.into();
    loaded
}

/// The built-in archive: found by the word after it that tells its length.
fn initramfs(data: &Bytes, budget: &Budget) -> Option<Bytes> {
    const MAGICS: [&[u8]; 8] = [
        b"070701",
        b"\x1F\x8B\x08\x00",
        b"\xFD7zXZ\0",
        b"\x5D\0\0\0\x04\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        b"\x02\x21\x4C\x18",
        b"\x28\xB5\x2F\xFD",
        b"\x89LZO\0\r\n\x1A\n",
        b"BZh9",
    ];
    // Each try looks through what follows; a kernel has few such magics.
    let mut tries = 0_u32;
    for magic in MAGICS {
        budget.work(data.len() as u64).ok()?;
        for at in memmem::find_iter(&data[..], magic) {
            tries = tries.checked_add(1).filter(|n| *n < 256)?;
            if let Some(len) = length_behind(data, at, budget) {
                // An empty archive (a console node and /root) is what every kernel has; it is still an entry.
                return Some(data.slice(at..at.checked_add(len)?));
            }
        }
    }
    None
}

/// The length `n` for which the word at `at + n`, rounded up to 8, is `n`.
fn length_behind(data: &[u8], at: usize, budget: &Budget) -> Option<usize> {
    if at & 3 != 0 {
        return None;
    }
    let rest = data.get(at..)?;
    budget.work(rest.len() as u64 / 8).ok()?;
    let first = at.checked_add(64)?.checked_next_multiple_of(8)?;
    (first..data.len()).step_by(8).find_map(|place| {
        let word = read::slice(data, place, 8)?;
        [
            read::le64(word, 0),
            read::be64(word, 0),
            read::le32(word, 0).map(u64::from),
            read::be32(word, 0).map(u64::from),
        ]
        .into_iter()
        .flatten()
        .filter_map(read::index)
        .find(|len| {
            *len > 64
                && at.checked_add(*len).and_then(|end| end.checked_next_multiple_of(8))
                    == Some(place)
        })
    })
}

/// Where the payload of a self-decompressing kernel begins: at the first magic whose header fits. Magics
/// also occur as constants in the decompressor.
#[must_use]
pub fn payload_start(image: &[u8]) -> Option<usize> {
    let first = |magic: &[u8], fits: &dyn Fn(&[u8]) -> bool| {
        memmem::find_iter(image, magic).find(|at| image.get(*at..).is_some_and(fits))
    };
    let found = [
        first(b"\x1F\x8B\x08\x00", &|s| {
            matches!(s, [_, _, _, _, _, _, _, _, 0 | 2 | 4, 3 | 255, ..])
        }),
        first(b"\xFD7zXZ\0\0", &|_| true),
        first(b"\x89LZO\0\r\n\x1A\n", &|_| true),
        first(b"\x5D\0\0", &|s| read::le64(s, 5) == Some(u64::MAX)),
        // Legacy LZ4: a first block of at most 8 MiB that is inside.
        first(b"\x02\x21\x4C\x18", &|s| {
            read::le32(s, 4)
                .is_some_and(|n| n > 4096 && n < 8_500_000 && u64::from(n) < s.len() as u64)
        }),
        first(b"\x28\xB5\x2F\xFD", &|s| s.get(4).is_some_and(|d| d & 8 == 0) && s.len() > 4096),
    ];
    found.into_iter().flatten().min()
}

/// Adds what the kernel in `data` carries; nothing if there is no banner.
pub fn open(data: &Bytes, budget: &Budget, sink: &mut Sink<'_>) {
    let Some(banner) = banner(data, budget) else { return };
    sink.attribute("os", "linux");
    sink.attribute("version", release(&banner));
    sink.attribute("banner", banner);
    if budget.work(data.len() as u64).is_ok() {
        let found =
            memmem::find_iter(&data[..], START).find_map(|at| config_stream(data, at, budget));
        if let Some(stream) = found
            && sink.entry(config_entry(stream)).is_err()
        {
            return;
        }
    }
    if let Some(archive) = initramfs(data, budget) {
        // Out of entries is recorded by the sink itself.
        let _ = sink.entry(Entry::file("initramfs", Blob::Bytes(archive)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_banner_of_a_kernel_is_one() {
        let real = b"\0Linux version 5.10.0 (a@b) (gcc 10) #1 SMP Thu\n\0";
        let found = banner(real, &Budget::ample()).unwrap();
        assert_eq!(release(&found), "5.10.0");
        // A log of a boot, and a format string, are not.
        assert!(
            banner(b"Linux version 5.10.0 (a@b) (gcc 10) #1 SMP Thu\nnext line", &Budget::ample())
                .is_none()
        );
        assert!(banner(b"\0Linux version %s (%s)\n\0", &Budget::ample()).is_none());
    }

    #[test]
    fn the_built_in_archive_is_found_by_the_word_behind_it() {
        let mut data = vec![0xC3; 4096];
        let mut archive = b"070701".to_vec();
        archive.resize(517, b'0');
        data.extend(&archive);
        data.resize(4096 + 520, 0);
        data.extend(517_u64.to_be_bytes());
        let found = initramfs(&data.into(), &Budget::ample()).unwrap();
        assert_eq!(found, archive);
    }
}
