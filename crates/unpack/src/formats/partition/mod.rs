//! Partition tables, volume managers, block layers.

use crate::format::Format;

pub mod avb;
pub mod blocks;
pub mod gpt;
pub mod luks;
pub mod lvm;
pub mod mbr;
pub mod ota;
pub mod partclone;
pub mod qcow2;
pub mod sparse;
pub mod super_partition;
pub mod uzip;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &avb::FOOTER,
    &avb::VBMETA,
    &gpt::FORMAT,
    &luks::FORMAT,
    &lvm::FORMAT,
    &mbr::FORMAT,
    &ota::FORMAT,
    &partclone::FORMAT,
    &qcow2::FORMAT,
    &sparse::FORMAT,
    &super_partition::FORMAT,
    &uzip::FORMAT,
    &vhd::DYNAMIC,
    &vhd::FIXED,
    &vhdx::FORMAT,
    &vmdk::FORMAT,
];
