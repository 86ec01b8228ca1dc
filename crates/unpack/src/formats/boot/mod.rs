//! Boot loaders, kernels, device trees.

use crate::format::Format;

pub mod android;
pub mod fdt;
pub mod fip;
pub mod fit;
pub mod flash_descriptor;
pub mod linux;
pub mod linux_image;
pub mod tiano;
pub mod trx;
pub mod uboot;
pub mod uefi;
pub mod uimage;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &android::BOOT,
    &android::VENDOR_BOOT,
    &fdt::FORMAT,
    &fip::FORMAT,
    &fit::FORMAT,
    &flash_descriptor::FORMAT,
    &linux::CONFIG,
    &linux::RAW,
    &linux_image::ARM,
    &linux_image::BZIMAGE,
    &linux_image::HEADED,
    &linux_image::ZBOOT,
    &trx::FORMAT,
    &uboot::BANNER,
    &uboot::ENVIRONMENT,
    &uefi::CAPSULE,
    &uefi::VOLUME,
    &uimage::FORMAT,
];
