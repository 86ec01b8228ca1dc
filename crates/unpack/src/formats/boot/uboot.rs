//! U-Boot: its stored environment, and its banner in a boot loader binary.
//!
//! Environment establishes: `name=value` texts after a CRC-32 (and, in redundant storage, a flag byte) that
//! is right for one of the sizes environments have. There is no magic; the search begins at variables that
//! nearly every board has, and goes back to the multiple of 256 at which the texts begin.
//! False negatives: an environment that was erased or whose CRC is wrong is not told from text in a program.
//!
//! Banner establishes: `U-Boot`, a version, and the time of the build in brackets, ended by NUL or line end.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    formats::layout::{Layout, Reader},
    read,
};

/// The boot loader's banner.
pub static BANNER: Reader = Reader {
    about: &About {
        id: "u-boot",
        name: "U-Boot banner",
        family: Family::Leaf,
        revision: 1,
        metadata: "version",
        integrity: "shape of the text",
        limits: "the program around the banner is not delimited",
        sources: &["u-boot/include/version_string.h"],
    },
    magics: &[
        Magic::anywhere(b"U-Boot 20"),
        Magic::anywhere(b"U-Boot 1."),
        Magic::anywhere(b"U-Boot SPL 20"),
    ],
    read: banner,
};

fn banner(data: &Bytes, _: &Budget) -> Option<Layout> {
    let window = data.get(..data.len().min(200))?;
    // At the end of its own region nothing follows the text.
    let len = window.iter().position(|b| matches!(b, 0 | b'\n' | b'\r')).unwrap_or(window.len());
    let text = std::str::from_utf8(window.get(..len)?).ok()?;
    let rest = text.strip_prefix("U-Boot ")?;
    let version = rest.strip_prefix("SPL ").unwrap_or(rest).split(' ').next()?;
    // `(Jan 01 2019 - 00:00:00 +0000)`
    let (_, time) = text.split_once(" (")?;
    let dated = time.contains(" - ") && time.matches(':').count() >= 2 && time.contains(')');
    if !dated || !version.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut layout = Layout::leaf(data, len as u64, Proof::LengthsConsistent);
    layout.attribute("version", version);
    layout.attribute("banner", text);
    Some(layout)
}

/// The stored environment.
pub static ENVIRONMENT: Environment = Environment;

/// A U-Boot environment with its CRC.
pub struct Environment;

static ABOUT: About = About {
    id: "u-boot-environment",
    name: "U-Boot environment",
    family: Family::Boot,
    revision: 1,
    metadata: "redundancy flag",
    integrity: "crc32",
    limits: "sizes that are multiples of 256 up to 256 KiB",
    sources: &["u-boot/include/env_internal.h"],
};

const LARGEST: usize = 1 << 18;

/// Whether a variable begins at `at`: a name and `=`.
fn variable_at(data: &[u8], at: usize) -> bool {
    let Some(rest) = data.get(at..) else { return false };
    let name = rest
        .iter()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b))
        .count();
    name > 0 && rest.get(name) == Some(&b'=')
}

/// Size and CRC that fit an environment at `start` whose texts begin `head` bytes on.
fn size_of(data: &[u8], start: usize, head: usize, budget: &Budget) -> Option<usize> {
    let declared = read::le32(data, start)?;
    let area = data.get(start..start.saturating_add(LARGEST).min(data.len()))?;
    budget.work(area.len() as u64).ok()?;
    let mut hasher = crc32fast::Hasher::new();
    let mut done = head;
    for end in (256..=area.len()).step_by(256) {
        hasher.update(area.get(done..end)?);
        done = end;
        if hasher.clone().finalize() == declared {
            return Some(end);
        }
    }
    None
}

impl Format for Environment {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[
            Magic::anywhere(b"bootcmd="),
            Magic::anywhere(b"bootdelay="),
            Magic::anywhere(b"baudrate="),
        ];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        // Back over texts and NULs to where they begin.
        let lowest = at.saturating_sub(1 << 16);
        let before = data.get(lowest..at)?;
        budget.work(before.len() as u64).ok()?;
        let mut starts = (lowest..=at).rev().filter(|start| start & 0xFF == 0);
        starts.by_ref().take(257).find_map(|start| {
            [4_usize, 5].into_iter().find_map(|head| {
                let first = start.checked_add(head).filter(|first| *first <= at)?;
                let texts = data
                    .get(first..at)?
                    .iter()
                    .all(|b| matches!(b, 0 | b'\t' | b'\n' | b' '..=b'~'));
                if !variable_at(data, first) || !texts {
                    return None;
                }
                let length = size_of(data, start, head, budget)?;
                Some(Candidate::new(start, length, Proof::ChecksumVerified))
            })
        })
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        let head = if variable_at(region, 4) { 4 } else { 5 };
        let Some(texts) = region.get(head..) else { return };
        // The texts end with an empty one.
        let end = memchr::memmem::find(texts, b"\0\0")
            .and_then(|n| n.checked_add(1))
            .unwrap_or(texts.len());
        let lines: Vec<u8> = texts
            .get(..end)
            .unwrap_or_default()
            .iter()
            .map(|b| if *b == 0 { b'\n' } else { *b })
            .collect();
        sink.attribute("integrity", "crc");
        sink.attribute("integrity-algorithm", "crc32");
        sink.attribute("integrity-correct", "yes");
        sink.attribute("redundant", if head == 5 { "yes" } else { "no" });
        let _ = sink.entry(Entry::file("environment", Blob::Bytes(lines.into())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_at, scratch, tool, torture};

    #[test]
    fn what_mkenvimage_makes_is_read() {
        let dir = scratch();
        let text = "bootdelay=3\nbootcmd=run x; bootm\nipaddr=192.168.1.1\n";
        std::fs::write(dir.path().join("e"), text).unwrap();
        tool(
            dir.path(),
            "u-boot-tools",
            "mkenvimage -s 0x2000 -o plain e; mkenvimage -r -p 0xff -s 0x10000 -o redundant e",
        );
        for (name, size) in [("plain", 0x2000), ("redundant", 0x10000)] {
            let mut flash = vec![0xFF; 0x1000];
            flash.extend(std::fs::read(dir.path().join(name)).unwrap());
            flash.extend(vec![0xFF; 0x800]);
            let at = memchr::memmem::find(&flash, b"bootcmd=").unwrap();
            let opened = open_at(&ENVIRONMENT, &flash, at).unwrap();
            assert_eq!((opened.candidate.start, opened.candidate.length), (0x1000, size));
            assert_eq!(opened.content("environment"), text.as_bytes());
            torture(&ENVIRONMENT, &flash[0x1000..0x1800]);
            flash[0x1100] ^= 1;
            assert!(open_at(&ENVIRONMENT, &flash, at).is_none(), "no CRC, no environment");
        }
    }

    #[test]
    fn the_banner_and_a_sentence_about_it() {
        let opened =
            open_at(&BANNER, b"U-Boot 2018.09-g12 (Jan 01 2019 - 00:00:00 +0000)\0more", 0)
                .unwrap();
        assert_eq!(opened.attribute("version"), "2018.09-g12");
        assert!(open_at(&BANNER, b"U-Boot 2018.09 (see the manual) is needed\n", 0).is_none());
        torture(&BANNER, b"U-Boot 1.1.3 (Aug 20 2014 - 10:44:15)\0");
    }
}
