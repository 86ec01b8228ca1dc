//! Files that are not opened further but end where they say: pictures, documents, captures, messages of OpenPGP.
//! Recognised so that their bytes are accounted for and what stands behind them is found.

use crate::format::Format;

pub mod openpgp;
pub mod pictures;
pub mod printer;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &openpgp::COMPRESSED,
    &openpgp::ENCRYPTED,
    &pictures::GIF,
    &pictures::JPEG,
    &pictures::PCAPNG,
    &pictures::PDF,
    &pictures::PNG,
    &pictures::RIFF,
    &pictures::SVG,
    &printer::FORMAT,
];
