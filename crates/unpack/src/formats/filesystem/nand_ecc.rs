//! Raw NAND dumps whose spare bytes hold the Hamming code of Linux: recognised by the code itself, and corrected.
//!
//! *Establishes*: sizes of page and spare area; the pages without spare bytes, with single wrong bits of each 256 put right.
//! *How*: at the start of a content whose size fits, the codes of the first written pages must all be right.
//! *False positives*: none seen; eight pages of eight codes of 22 bits. *False negatives*: BCH and hardware codes, other
//! layouts of the spare bytes, dumps that begin elsewhere than with a page. *Sources*: Linux, `mtd/nand/ecc-sw-hamming.c`
//! (method), `nand_base.c` (places of the code).

use std::sync::Arc;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Format, Load, Loaded, Magic, Sink},
    formats::layout::about,
    read,
};

/// The format.
pub struct NandEcc;

static ABOUT: &About = about!(
    Partition,
    "nand-hamming",
    "NAND dump with Hamming code",
    "sizes of page and spare area, bits corrected",
    "Hamming code of each 256 bytes",
    "only at the start of a content; BCH and hardware codes",
    "Linux, drivers/mtd/nand/ecc-sw-hamming.c"
);

/// Page, spare bytes, and where in them the codes stand, three bytes for each 256 of the page.
struct Layout {
    page: usize,
    spare: usize,
    places: &'static [usize],
}

const LAYOUTS: [Layout; 3] = [
    Layout { page: 512, spare: 16, places: &[0, 1, 2, 3, 6, 7] },
    Layout { page: 2048, spare: 64, places: &LAST_24_OF_64 },
    Layout { page: 4096, spare: 128, places: &LAST_48_OF_128 },
];
const LAST_24_OF_64: [usize; 24] = rising(40);
const LAST_48_OF_128: [usize; 48] = rising(80);

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated by the compiler
const fn rising<const N: usize>(from: usize) -> [usize; N] {
    let mut all = [0; N];
    let mut i = 0;
    while i < N {
        all[i] = from + i;
        i += 1;
    }
    all
}

/// Line parities (even and odd places of each bit of the byte's number) and column parities, as 22 bits, inverted.
fn code(sector: &[u8]) -> u32 {
    let (mut column, mut odd, mut even) = (0_u8, 0_u32, 0_u32);
    for (n, byte) in (0_u32..256).zip(sector) {
        column ^= byte;
        if byte.count_ones() & 1 == 1 {
            odd ^= n;
            even ^= !n & 0xFF;
        }
    }
    let parity = |mask: u8| u32::from((column & mask).count_ones() & 1 == 1);
    let columns = [0x55, 0xAA, 0x33, 0xCC, 0x0F, 0xF0]
        .iter()
        .zip(0..)
        .fold(0, |all, (mask, bit)| all | parity(*mask) << bit);
    let spread = |lines: u32, bit: u32| (lines >> bit & 1) << bit.saturating_mul(2);
    let lines = (0..8).fold(0, |all, bit| all | spread(even, bit) | spread(odd, bit) << 1);
    !(lines << 6 | columns) & 0x3F_FFFF
}

/// The stored code in the same order: the high lines come first.
fn stored(bytes: [u8; 3]) -> u32 {
    let [high, low, columns] = bytes;
    u32::from(high) << 14 | u32::from(low) << 6 | u32::from(columns >> 2)
}

/// What the code says about a sector.
enum Verdict {
    Right,
    /// Byte and bit that are wrong.
    Wrong(usize, u8),
    /// The code itself has a wrong bit.
    Code,
    Beyond,
}

fn judge(sector: &[u8], bytes: [u8; 3]) -> Verdict {
    let difference = code(sector) ^ stored(bytes);
    match difference.count_ones() {
        0 => Verdict::Right,
        1 => Verdict::Code,
        // Exactly one of each pair of parities: the odd ones spell the place.
        11 if (difference ^ difference >> 1) & 0x15_5555 == 0x15_5555 => {
            let spell = |pairs: u32, n: u32| {
                (0..n).fold(0, |all, bit| all | (pairs >> bit.saturating_mul(2) & 1) << bit)
            };
            let (lines, columns) = (difference >> 7, difference >> 1);
            Verdict::Wrong(spell(lines, 8) as usize, u8::try_from(spell(columns, 3)).unwrap_or(0))
        }
        _ => Verdict::Beyond,
    }
}

impl Layout {
    fn step(&self) -> usize {
        self.page.saturating_add(self.spare)
    }

    /// Sectors of a page with their codes.
    fn sectors<'p>(&'p self, page: &'p [u8]) -> impl Iterator<Item = (&'p [u8], [u8; 3])> {
        let spare = page.get(self.page..).unwrap_or_default();
        let data = page.get(..self.page).unwrap_or_default();
        data.chunks_exact(256).zip(self.places.chunks_exact(3)).map(move |(sector, places)| {
            let mut bytes = [0; 3];
            for (byte, place) in bytes.iter_mut().zip(places) {
                *byte = spare.get(*place).copied().unwrap_or(0);
            }
            (sector, bytes)
        })
    }

    /// Whether the first written pages have the right codes.
    fn fits(&self, data: &[u8]) -> bool {
        let mut seen = 0_u32;
        for page in data.chunks_exact(self.step()).take(256) {
            if page.iter().all(|b| *b == 0xFF) {
                continue;
            }
            if !self
                .sectors(page)
                .all(|(sector, bytes)| matches!(judge(sector, bytes), Verdict::Right))
            {
                return false;
            }
            seen = seen.saturating_add(1);
            if seen == 8 {
                return true;
            }
        }
        // Two pages of 512 bytes have four codes.
        seen >= 2
    }

    fn find(data: &[u8]) -> Option<&'static Self> {
        LAYOUTS.iter().find(|l| {
            data.len().checked_rem(l.step()) == Some(0)
                && data.len() >= l.step().saturating_mul(2)
                && l.fits(data)
        })
    }
}

impl Format for NandEcc {
    fn about(&self) -> &'static About {
        ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::start(b"")] }
    }

    fn refines(&self) -> &'static [&'static str] {
        &["nand"]
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(1 << 12).ok()?;
        (at == 0).then(|| Layout::find(data)).flatten()?;
        Some(Candidate::new(0, data.len(), Proof::ChecksumVerified))
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        let Some(layout) = Layout::find(region) else { return };
        sink.attribute("block-size", layout.page);
        sink.attribute("spare-size", layout.spare);
        sink.attribute("ecc", "hamming, 1 bit of 256 bytes");
        let content = Corrected { image: region.clone(), layout };
        // Running out of entries is recorded by the sink.
        let _ = sink.entry(Entry::file("data", Blob::Lazy(Arc::new(content))));
    }
}

/// Pages without spare bytes, corrected.
struct Corrected {
    image: Bytes,
    layout: &'static Layout,
}

impl Load for Corrected {
    fn size(&self) -> u64 {
        let pages = self.image.len().checked_div(self.layout.step()).unwrap_or(0);
        pages.saturating_mul(self.layout.page) as u64
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        if let Err(e) = budget.output(self.size()) {
            loaded.problems.push(e.into());
            return loaded;
        }
        let mut out = Vec::with_capacity(read::index(self.size()).unwrap_or(0));
        let (mut beyond, mut first) = (0_u64, None);
        for page in self.image.chunks_exact(self.layout.step()) {
            // Erased pages have no code.
            let erased = page.iter().all(|b| *b == 0xFF);
            for (sector, bytes) in self.layout.sectors(page) {
                let start = out.len();
                out.extend_from_slice(sector);
                match judge(sector, bytes) {
                    _ if erased => {}
                    Verdict::Right | Verdict::Code => {}
                    Verdict::Wrong(byte, bit) => {
                        if let Some(byte) = out.get_mut(start.saturating_add(byte)) {
                            *byte ^= 1_u8.rotate_left(bit.into());
                        }
                    }
                    Verdict::Beyond => {
                        beyond = beyond.saturating_add(1);
                        first.get_or_insert(start as u64);
                    }
                }
            }
        }
        if let Some(first) = first {
            let text = format!(
                "{beyond} sectors of 256 bytes have more wrong bits than their code corrects"
            );
            loaded.problems.push(Problem::new(ProblemKind::Checksum, text).at(first));
        }
        loaded.bytes = out.into();
        loaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    fn dump(layout: &Layout, content: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        for page in content.chunks(layout.page) {
            let mut spare = vec![0xFF; layout.spare];
            let codes = page.chunks(256).flat_map(|s| {
                let c = code(s);
                [(c >> 14 & 0xFF) as u8, (c >> 6 & 0xFF) as u8, ((c & 0x3F) << 2 | 3) as u8]
            });
            for (byte, place) in codes.zip(layout.places) {
                spare[*place] = byte;
            }
            all.extend(page);
            all.extend(spare);
        }
        all
    }

    #[test]
    fn codes_are_those_of_linux() {
        // An erased sector, and one with a single bit set, whose parities can be told by hand.
        assert_eq!(code(&[0xFF; 256]), 0x3F_FFFF);
        let mut one = [0; 256];
        one[5] = 1 << 3;
        // Byte 5 = 00000101: odd lines of bits 0 and 2, even ones of the others; bit 3 = 011 in the same way.
        let lines = 0b01_01_01_01_01_10_01_10_u32;
        let columns = 0b01_10_10_u32;
        assert_eq!(code(&one), !(lines << 6 | columns) & 0x3F_FFFF);
    }

    #[test]
    fn single_bits_are_put_right_and_more_are_said() {
        for layout in &LAYOUTS {
            let content = noise(layout.page * 12, 21);
            let mut image = dump(layout, &content);
            assert_eq!(open_whole(&NandEcc, &image).content("data"), content);
            // In a page behind those that the probe looks at.
            let at = layout.step() * 10 + 300;
            image[at] ^= 0x10;
            assert_eq!(open_whole(&NandEcc, &image).content("data"), content);
            image[at + 1] ^= 0x01;
            let opened = open_at(&NandEcc, &image, 0).unwrap();
            let loaded = opened.entries[0].blob.load(&Budget::ample());
            assert_eq!(loaded.problems[0].kind, ProblemKind::Checksum);
            if layout.page == 512 {
                torture(&NandEcc, &image);
            }
        }
        assert!(open_at(&NandEcc, &noise(528 * 8, 4), 0).is_none());
        assert!(open_at(&NandEcc, &[0xFF; 528 * 8], 0).is_none());
        assert!(open_at(&NandEcc, &[0; 528 * 8], 0).is_none());
    }
}
