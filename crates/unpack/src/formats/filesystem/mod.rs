//! File systems.

use crate::format::Format;

mod common;
pub mod cramfs;
pub mod ext;
pub mod fat;
pub mod iso9660;
pub mod jffs2;
pub mod minix;
pub mod romfs;
pub mod squashfs;
pub mod ubi;
pub mod ubifs;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &cramfs::CramFs,
    &ext::Ext,
    &fat::Fat,
    &iso9660::Iso9660,
    &jffs2::Jffs2,
    &minix::Minix,
    &romfs::RomFs,
    &squashfs::SquashFs,
    &ubi::Ubi,
    &ubifs::UbiFs,
];
