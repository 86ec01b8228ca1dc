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

use self::{
    scheme::{Outcome, Scheme},
    search::FIELDS,
};
use super::nand_dump::{Dump, Ecc, Found};
use crate::{budget::Budget, codec::bch::Code, formats::layout::about};

/// The format.
pub static FORMAT: Dump = Dump {
    about: about!(
        Partition,
        "nand-bch",
        "NAND dump with BCH code",
        "sizes of page and spare area, code and its places, bits corrected, pages marked bad",
        "BCH code of each sector",
        "whole erase blocks from the start of a content; scrambled pages; one code for each dump",
        "Linux, lib/bch.c and drivers/mtd/nand",
        "public analyses of dumps (polynomials, placements)"
    ),
    find: |data, budget| {
        search::fits(data.len()).then(|| recognise(data, budget).map(Found::verified)).flatten()
    },
};

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
