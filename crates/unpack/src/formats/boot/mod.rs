//! Boot loaders, kernels, device trees.

use crate::format::Format;

pub mod android;
pub mod fdt;
pub mod fip;
pub mod fit;
pub mod flash_descriptor;
pub mod linux;
pub mod linux_image;
pub mod qnx;
pub mod tiano;
pub mod trx;
pub mod uboot;
pub mod uefi;
pub mod uefi_variables;
pub mod uimage;
pub mod vxworks;
pub mod vxworks_memfs;

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
    &qnx::IMAGEFS,
    &qnx::STARTUP,
    &trx::FORMAT,
    &uboot::BANNER,
    &uboot::ENVIRONMENT,
    &uefi::CAPSULE,
    &uefi::VOLUME,
    &uefi_variables::FORMAT,
    &uimage::FORMAT,
    &vxworks::Symbols,
    &vxworks_memfs::MemFs,
];

#[cfg(test)]
mod tests {
    use crate::{Input, Options, formats::testing::from_debian, unpack};

    /// The distribution's kernels, from the image the boot loader takes down to the configuration.
    #[test]
    fn kernels_are_opened_down_to_the_program() {
        const NETBOOT: &str = "usr/lib/debian-installer/images/12";
        for (machine, file, formats) in [
            (
                "amd64",
                "amd64/text/debian-installer/amd64/linux",
                &["linux-bzimage", "xz", "elf"][..],
            ),
            (
                "armhf",
                "armhf/text/debian-installer/armhf/vmlinuz",
                &["linux-zimage", "xz", "linux-kernel"],
            ),
            ("mipsel", "mipsel/malta/vmlinuz-*-malta", &["elf"]),
        ] {
            let package = format!("debian-installer-12-netboot-{machine}");
            let image = from_debian(&package, &format!("{NETBOOT}/{file}"));
            let outcome = unpack(Input::bytes("kernel", image), &Options::default(), &());
            let places: Vec<_> =
                outcome.artifacts.iter().map(|a| format!("{} {}", a.locator, a.format)).collect();
            for format in formats {
                assert!(
                    places.iter().any(|p| p.contains(format)),
                    "{machine}: no {format} in {places:#?}"
                );
            }
            let release = outcome.artifacts.iter().find_map(|a| {
                (a.attributes.contains_key("banner"))
                    .then(|| a.attributes.get("version").cloned().unwrap_or_default())
            });
            assert!(
                release.is_some_and(|r| r.starts_with("6.1.")),
                "{machine}: no release in {places:#?}"
            );
        }
    }
}
