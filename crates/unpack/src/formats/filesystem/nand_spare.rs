//! Raw NAND dumps with spare bytes whose code is not known: told by the columns of the pages.
//!
//! *Establishes*: sizes of page and spare area; the pages without spare bytes, as they were read. *How*: the size of the
//! content is that of blocks of at least 32 pages of a chip, and over many written pages the first spare byte is the
//! mark of good blocks, other spare bytes change from page to page (a code), and hardly any column of the pages
//! themselves is erased everywhere. *False positives*: none seen; a table of records of that very size whose last part
//! looks so would be one. *False negatives*: dumps with few written pages; controllers that mix data and spare bytes.
//! *Limits*: wrong bits are not put right. *Sources*: layout of `nanddump --oob`; Linux, `mtd/nand/raw/nand_bbt.c` (marks).

use proofmark_model::{Problem, ProblemKind, Proof};

use super::{
    nand,
    nand_dump::{self, Dump, Ecc, Found, Outcome},
};
use crate::{budget::Budget, formats::layout::about};

/// The format.
pub static FORMAT: Dump = Dump {
    about: about!(
        Partition,
        "nand-spare",
        "NAND dump with unknown code",
        "sizes of page and spare area, pages marked bad",
        "none: the code is not known",
        "wrong bits stay; only at the start of a content",
        "http://www.linux-mtd.infradead.org/doc/nand.html"
    ),
    find: recognise,
};

/// Pages and spare bytes of chips. Those that divide others come later.
const GEOMETRIES: [(usize, usize); 17] = [
    (16384, 1280),
    (16384, 1872),
    (8192, 744),
    (8192, 640),
    (8192, 448),
    (8192, 436),
    (8192, 376),
    (8192, 256),
    (4096, 256),
    (4096, 224),
    (4096, 218),
    (4096, 208),
    (4096, 128),
    (2048, 128),
    (2048, 112),
    (2048, 64),
    (512, 16),
];

/// Written pages that are looked at, and that there must be.
const SAMPLE: usize = 192;
const LEAST: usize = 48;

/// Pages without a code.
struct Unknown {
    page: usize,
    spare: usize,
}

impl Ecc for Unknown {
    fn page(&self) -> usize {
        self.page
    }

    fn spare(&self) -> usize {
        self.spare
    }

    fn describe(&self) -> String {
        "unknown".into()
    }

    fn correct(&self, _: &mut Vec<u8>) -> Outcome {
        Outcome::default()
    }
}

impl Unknown {
    fn find(data: &[u8], budget: &Budget) -> Option<Self> {
        GEOMETRIES.into_iter().map(|(page, spare)| Self { page, spare }).find(|g| {
            let block = g.step().saturating_mul(32);
            data.len() >= block.saturating_mul(4)
                && data.len().checked_rem(block) == Some(0)
                && budget.work((SAMPLE as u64).saturating_mul(g.step() as u64)).is_ok()
                && g.fits(data)
        })
    }

    fn fits(&self, data: &[u8]) -> bool {
        let pages = data.len().checked_div(self.step()).unwrap_or(0);
        let stride = pages.checked_div(SAMPLE.saturating_mul(4)).unwrap_or(0).max(1);
        let written = |page: &&[u8]| {
            let head = page.get(..512).unwrap_or_default();
            head.windows(2).any(|w| matches!(w, [a, b] if a != b))
        };
        let sample: Vec<_> =
            data.chunks_exact(self.step()).step_by(stride).filter(written).take(SAMPLE).collect();
        if sample.len() < LEAST {
            return false;
        }
        let of_a_hundred = |part: usize, hundredths: usize| {
            part.saturating_mul(100) >= sample.len().saturating_mul(hundredths)
        };
        let column = |at: usize| sample.iter().map(move |page| page.get(at).copied());
        let erased = |at: usize| of_a_hundred(column(at).filter(|b| *b == Some(0xFF)).count(), 98);
        // Neighbours of the sample that differ there.
        let changes = |at: usize| {
            let differ = column(at).zip(column(at).skip(1)).filter(|(a, b)| a != b).count();
            of_a_hundred(differ, 75)
        };
        let mark = if self.page == 512 { 517 } else { self.page };
        let spare = || self.page..self.step();
        erased(mark)
            && spare().filter(|at| changes(*at)).count() >= 3
            && (0..self.page).step_by(7).filter(|at| erased(*at)).count()
                <= self.page.checked_div(7 * 50).unwrap_or(0)
    }
}

fn recognise(data: &[u8], budget: &Budget) -> Option<Found> {
    let ecc = Unknown::find(data, budget)?;
    // A code that is known says more.
    if nand_dump::recognise(data, budget).is_some() {
        return None;
    }
    let ubi = nand::geometry(data, budget) == Some((ecc.page, ecc.spare));
    let proof = if ubi { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
    let problem = Problem::new(
        ProblemKind::Unsupported,
        "the code in the spare bytes is not known: wrong bits are not put right",
    );
    Some(Found { ecc: Box::new(ecc), proof, problems: vec![problem] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at};

    /// Pages with a mark and, `code` bytes from the end, bytes that change.
    fn dump(content: &[u8], page: usize, spare: usize, code: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for (n, page) in content.chunks(page).enumerate() {
            all.extend(page);
            let mut bytes = vec![0xFF; spare];
            if page.iter().any(|b| *b != 0xFF) {
                bytes[spare - code..].copy_from_slice(&noise(code, u32::try_from(n).unwrap() + 7));
            }
            all.extend(bytes);
        }
        all
    }

    #[test]
    fn columns_tell_the_sizes() {
        for (page, spare, code) in [(512, 16, 6), (2048, 64, 24), (2048, 128, 50), (4096, 224, 100)]
        {
            let mut content = noise(page * 320, 3);
            content[page * 40..page * 60].fill(0xFF);
            let mut image = dump(&content, page, spare, code);
            let opened = open(&FORMAT, &image);
            assert_eq!(opened.attribute("block-size"), page.to_string());
            assert_eq!(opened.attribute("spare-size"), spare.to_string());
            assert!(opened.content("data") == content);
            assert_eq!(opened.problems[0].kind, ProblemKind::Unsupported);
            let mark = if page == 512 { 517 } else { page };
            image[(page + spare) * 100 + mark] = 0;
            let opened = open(&FORMAT, &image);
            assert_eq!(opened.attribute("pages-marked-bad"), "1");
            // Each look at a dump is a search for its code, so only a few are damaged.
            for n in [1, 77, 5000, 65_537] {
                open_at(&FORMAT, &image[..image.len() - n], 0);
                image[n] ^= 0x81;
                assert!(open_at(&FORMAT, &image, 0).is_some());
            }
        }
    }

    #[test]
    fn what_has_no_such_columns_is_refused() {
        for other in [noise(2112 * 256, 4), vec![0xFF; 2112 * 256], vec![0; 2112 * 256]] {
            assert!(open_at(&FORMAT, &other, 0).is_none());
        }
        // Records of that size, with padding at their ends and no code.
        let records = dump(&noise(2048 * 256, 5), 2048, 64, 0);
        assert!(open_at(&FORMAT, &records, 0).is_none());
        let text = "a line of a log, some hundred bytes from the next one of the same length\n"
            .repeat(9000);
        assert!(open_at(&FORMAT, &text.as_bytes()[..2112 * 256], 0).is_none());
    }
}
