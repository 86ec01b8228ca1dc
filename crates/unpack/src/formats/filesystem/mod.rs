//! File systems.

use crate::format::Format;

pub mod btrfs;
mod common;
pub mod cramfs;
pub mod erofs;
pub mod ext;
pub mod fat;
pub mod iso9660;
pub mod jffs2;
pub mod minix;
pub mod romfs;
pub mod squashfs;
pub mod ubi;
pub mod ubifs;
pub mod ufs;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &btrfs::Btrfs,
    &cramfs::CramFs,
    &erofs::Erofs,
    &ext::Ext,
    &fat::Fat,
    &iso9660::Iso9660,
    &jffs2::Jffs2,
    &minix::Minix,
    &romfs::RomFs,
    &squashfs::SquashFs,
    &ubi::Ubi,
    &ubifs::UbiFs,
    &ufs::Ufs,
];
