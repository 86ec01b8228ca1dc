//! Raw NAND dumps whose pages carry a BCH code: recognised by the code itself, and corrected.
//!
//! *Establishes*: sizes of page and spare area, the code and where it stands; the pages without spare bytes, with wrong
//! bits put right as far as the code goes. *How*: where the size of a content fits pages of a chip, a few written pages
//! are asked for all placements that controllers use: parities apart in the spare bytes at any offset (Linux' software
//! code, OMAP and AM335x with and without the byte that its boot ROM wants, Atmel), spare bytes covered by the code
//! (Broadcom), sectors side by side with their spare bytes (MediaTek, Amlogic), around the mark of bad blocks (Qualcomm)
//! or packed bit by bit (i.MX); in both orders of bits, plain and inverted. *False positives*: none seen: at least three
//! sectors of 52 bits or more, and half of all that were asked. *False negatives*: dumps that are not of whole
//! erase blocks, flashes with less than half of their pages in one code, controllers that scramble.
//! *Sources*: Linux, `lib/bch.c`, `mtd/nand/ecc-sw-bch.c`, drivers below `mtd/nand/raw` (`omap2.c`, `brcmnand`,
//! `qcom_nandc.c`, `gpmi-nand`, `mtk_nand.c`); public analyses of dumps (polynomial of Broadcom's newer chips, Amlogic).

pub mod scheme;
mod search;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use proofmark_model::Proof;

use self::{
    scheme::{Outcome, Scheme},
    search::FIELDS,
};
use super::nand_dump::{self, Ecc};
use crate::{
    budget::Budget,
    codec::bch::Code,
    format::{About, Candidate, Format, Magic, Sink},
    formats::layout::about,
};

/// The format.
pub struct NandBch;

static ABOUT: &About = about!(
    Partition,
    "nand-bch",
    "NAND dump with BCH code",
    "sizes of page and spare area, code and its places, bits corrected, pages marked bad",
    "BCH code of each sector",
    "whole erase blocks from the start of a content; scrambled pages; one code for each dump",
    "Linux, lib/bch.c and drivers/mtd/nand",
    "public analyses of dumps (polynomials, placements)"
);

/// A scheme and its code.
struct Known {
    scheme: Scheme,
    code: Code<'static>,
    text: String,
}

impl Ecc for Known {
    fn page(&self) -> usize {
        self.scheme.page
    }

    fn spare(&self) -> usize {
        self.scheme.spare
    }

    fn describe(&self) -> String {
        self.text.clone()
    }

    fn correct(&self, stored: &mut Vec<u8>) -> Outcome {
        self.scheme.correct(&self.code, stored)
    }

    fn output(&self, stored: &[u8], out: &mut Vec<u8>) {
        self.scheme.output(stored, out);
    }
}

/// The BCH code of a dump that begins with a page.
#[must_use]
pub fn recognise(data: &[u8], budget: &Budget) -> Option<Box<dyn Ecc>> {
    let found = search::find(data, budget)?;
    let field = FIELDS.get(found.field)?;
    let code = Code::new(field, found.scheme.t)?;
    let text = format!("{}; {}", found.scheme.describe(field), found.scheme.name);
    Some(Box::new(Known { scheme: found.scheme, code, text }))
}

impl Format for NandBch {
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
        let fits = at == 0 && search::fits(data.len());
        let ecc = fits.then(|| recognise(data, budget)).flatten()?;
        let candidate = Candidate::new(0, data.len(), Proof::ChecksumVerified);
        (!nand_dump::is_yaffs(data, &*ecc, budget)).then_some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        if let Some(ecc) = recognise(region, budget) {
            nand_dump::emit(region, &*ecc, budget, sink);
        }
    }
}
