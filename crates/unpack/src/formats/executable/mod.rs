//! Programs and their transport encodings. Programs are leaves, except a Linux
//! kernel, which carries its configuration and its first file system.

use crate::format::Format;

pub mod bflt;
pub mod elf;
pub mod ihex;
pub mod kernel;
pub mod macho;
pub mod module_signature;
pub mod pe;
pub mod records;
pub mod srec;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &bflt::FORMAT,
    &elf::FORMAT,
    &ihex::FORMAT,
    &macho::FAT,
    &macho::THIN,
    &module_signature::FORMAT,
    &pe::FORMAT,
    &srec::FORMAT,
];
