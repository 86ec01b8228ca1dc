//! Kernel modules: the `name`, `version` and `license` strings of `.modinfo`. A module without a version of its own
//! has that of the kernel it was built for (`vermagic`).

use super::{licence, package};
use crate::{elf::file::Elf, packages::Recorded};

pub fn read(elf: &Elf<'_>) -> Vec<Recorded> {
    let (Some(section), Some(data)) = (elf.section(".modinfo"), elf.section_bytes(".modinfo"))
    else {
        return Vec::new();
    };
    let offset = section.offset;
    let value = |key: &[u8]| {
        data.split(|b| *b == 0)
            .find_map(|entry| entry.strip_prefix(key)?.strip_prefix(b"="))
            .map(|v| String::from_utf8_lossy(v).into_owned())
    };
    let built_for = value(b"vermagic").and_then(|v| Some(v.split(' ').next()?.to_owned()));
    let found = value(b"name").zip(value(b"version").or(built_for)).and_then(|(n, v)| {
        package("kernel-module", &n, &v, (offset, offset.saturating_add(data.len() as u64)))
    });
    let license = value(b"license").as_deref().and_then(licence);
    found
        .into_iter()
        .map(|mut r| {
            r.package.license = license.clone();
            r
        })
        .collect()
}
