//! File systems.

use crate::format::Format;

pub mod apfs;
pub mod btrfs;
pub mod btrfs_stream;
mod common;
pub mod cramfs;
pub mod erofs;
pub mod ext;
pub mod fat;
pub mod iso9660;
pub mod jffs2;
pub mod minifs;
pub mod minix;
pub mod nand;
pub mod nand_bch;
pub mod nand_dump;
pub mod nand_ecc;
pub mod nand_spare;
pub mod ntfs;
pub mod romfs;
pub mod squashfs;
pub mod ubi;
pub mod ubifs;
pub mod ufs;
pub mod yaffs;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &apfs::Apfs,
    &btrfs::Btrfs,
    &btrfs_stream::Stream,
    &cramfs::CramFs,
    &erofs::Erofs,
    &ext::Ext,
    &fat::Fat,
    &iso9660::Iso9660,
    &jffs2::Jffs2,
    &minifs::FORMAT,
    &minix::Minix,
    &nand::Nand,
    &nand_bch::FORMAT,
    &nand_ecc::FORMAT,
    &nand_spare::FORMAT,
    &ntfs::Ntfs,
    &romfs::RomFs,
    &squashfs::SquashFs,
    &ubi::Ubi,
    &ubifs::UbiFs,
    &ufs::Ufs,
    &yaffs::Yaffs,
];
