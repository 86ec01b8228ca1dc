//! Raw NAND dumps whose spare bytes hold the Hamming code of Linux: recognised by the code itself, and corrected.
//!
//! *Establishes*: sizes of page and spare area; the pages without spare bytes, with single wrong bits of each 256 put right.
//! *How*: at the start of a content whose size fits, the codes of the first written pages must all be right.
//! *False positives*: none seen; eight pages of eight codes of 22 bits. *False negatives*: other
//! layouts of the spare bytes, dumps that begin elsewhere than with a page. *Sources*: Linux, `mtd/nand/ecc-sw-hamming.c`
//! (method), `nand_base.c` (places of the code).

use super::nand_dump::{Dump, Ecc, Found, Outcome};
use crate::{budget::Budget, formats::layout::about};

/// The format.
pub static FORMAT: Dump = Dump {
    about: about!(
        Partition,
        "nand-hamming",
        "NAND dump with Hamming code",
        "sizes of page and spare area, bits corrected, pages marked bad",
        "Hamming code of each 256 bytes",
        "only at the start of a content",
        "Linux, drivers/mtd/nand/ecc-sw-hamming.c"
    ),
    find: |data, budget| recognise(data, budget).map(Found::verified),
};

/// Page, spare bytes, and where in them the codes stand, three bytes for each 256 of the page.
struct Layout {
    page: usize,
    spare: usize,
    places: &'static [usize],
    /// The byte of the low lines comes first, as on SmartMedia cards and in YAFFS.
    low_first: bool,
}

const LAYOUTS: [Layout; 8] = [
    Layout { page: 512, spare: 16, places: &[0, 1, 2, 3, 6, 7], low_first: false },
    Layout { page: 512, spare: 16, places: &[0, 1, 2, 3, 6, 7], low_first: true },
    // YAFFS1, and SmartMedia, which has the halves of the page the other way round.
    Layout { page: 512, spare: 16, places: &[8, 9, 10, 13, 14, 15], low_first: true },
    Layout { page: 512, spare: 16, places: &[13, 14, 15, 8, 9, 10], low_first: true },
    Layout { page: 2048, spare: 64, places: &LAST_24_OF_64, low_first: false },
    Layout { page: 2048, spare: 64, places: &LAST_24_OF_64, low_first: true },
    Layout { page: 4096, spare: 128, places: &LAST_48_OF_128, low_first: false },
    Layout { page: 4096, spare: 128, places: &LAST_48_OF_128, low_first: true },
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
            if self.low_first {
                bytes.swap(0, 1);
            }
            (sector, bytes)
        })
    }

    /// Whether the first written pages have the right codes.
    fn fits(&self, data: &[u8]) -> bool {
        let mut seen = 0_u32;
        for page in data.chunks_exact(self.step()).take(256) {
            // Pages of one byte value have the same code everywhere.
            let own = page.get(..self.page).unwrap_or_default();
            if own.iter().all(|b| own.first() == Some(b)) {
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

impl Ecc for &'static Layout {
    fn page(&self) -> usize {
        self.page
    }

    fn spare(&self) -> usize {
        self.spare
    }

    fn describe(&self) -> String {
        "Hamming, 1 bit of 256 bytes".into()
    }

    fn correct(&self, stored: &mut Vec<u8>) -> Outcome {
        let mut outcome = Outcome::default();
        // Erased pages have no code.
        if stored.iter().all(|b| *b == 0xFF) {
            return outcome;
        }
        let verdicts: Vec<_> =
            self.sectors(stored).map(|(sector, bytes)| judge(sector, bytes)).collect();
        for (n, verdict) in verdicts.into_iter().enumerate() {
            match verdict {
                Verdict::Right => outcome.right = outcome.right.saturating_add(1),
                Verdict::Code => {
                    outcome.right = outcome.right.saturating_add(1);
                    outcome.corrected = outcome.corrected.saturating_add(1);
                }
                Verdict::Wrong(byte, bit) => {
                    if let Some(byte) = stored.get_mut(n.saturating_mul(256).saturating_add(byte)) {
                        *byte ^= 1_u8.rotate_left(bit.into());
                    }
                    outcome.right = outcome.right.saturating_add(1);
                    outcome.corrected = outcome.corrected.saturating_add(1);
                }
                Verdict::Beyond => outcome.beyond = outcome.beyond.saturating_add(1),
            }
        }
        outcome
    }
}

/// The Hamming code of a dump that begins with a page.
#[must_use]
pub fn recognise(data: &[u8], budget: &Budget) -> Option<Box<dyn Ecc>> {
    budget.work(1 << 12).ok()?;
    Some(Box::new(Layout::find(data)?))
}

#[cfg(test)]
mod tests {
    use proofmark_model::ProblemKind;

    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    fn dump(layout: &Layout, content: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        for page in content.chunks(layout.page) {
            let mut spare = vec![0xFF; layout.spare];
            let codes = page.chunks(256).flat_map(|s| {
                let c = code(s);
                let mut bytes =
                    [(c >> 14 & 0xFF) as u8, (c >> 6 & 0xFF) as u8, ((c & 0x3F) << 2 | 3) as u8];
                if layout.low_first {
                    bytes.swap(0, 1);
                }
                bytes
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
            assert_eq!(open_whole(&FORMAT, &image).content("data"), content);
            // In a page behind those that the probe looks at.
            let at = layout.step() * 10 + 300;
            image[at] ^= 0x10;
            let opened = open_whole(&FORMAT, &image);
            assert_eq!(opened.content("data"), content);
            assert_eq!(opened.attribute("bits-corrected"), "1");
            image[at + 1] ^= 0x01;
            let opened = open_at(&FORMAT, &image, 0).unwrap();
            assert_eq!(opened.entries[0].problems[0].kind, ProblemKind::Checksum);
            assert_eq!(opened.entries[0].problems[0].offset, Some(10 * layout.page as u64));
            if layout.page == 512 {
                torture(&FORMAT, &image);
            }
        }
        assert!(open_at(&FORMAT, &noise(528 * 8, 4), 0).is_none());
        assert!(open_at(&FORMAT, &[0xFF; 528 * 8], 0).is_none());
        assert!(open_at(&FORMAT, &[0; 528 * 8], 0).is_none());
    }
}
