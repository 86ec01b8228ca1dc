//! Rust programs built with cargo-auditable: a zlib-compressed JSON list of the crates in them, in section `.dep-v0`.

use std::io::Read as _;

use serde::Deserialize;

use super::package;
use crate::{elf::file::Elf, packages::Recorded};

/// Bytes of JSON that are read; the largest programs have some hundred kilobytes.
const LARGEST: u64 = 8 << 20;

#[derive(Deserialize)]
struct Audit {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    /// `build` where it is only needed to build.
    #[serde(default)]
    kind: String,
}

pub fn read(elf: &Elf<'_>) -> Vec<Recorded> {
    let (Some(section), Some(data)) = (elf.section(".dep-v0"), elf.section_bytes(".dep-v0")) else {
        return Vec::new();
    };
    let offset = section.offset;
    let mut json = Vec::new();
    let read = flate2::read::ZlibDecoder::new(data).take(LARGEST).read_to_end(&mut json);
    let Some(audit) = read.ok().and_then(|_| serde_json::from_slice::<Audit>(&json).ok()) else {
        return Vec::new();
    };
    let range = (offset, offset.saturating_add(data.len() as u64));
    audit
        .packages
        .iter()
        .filter(|c| c.kind != "build")
        .filter_map(|c| package("cargo", &c.name, &c.version, range))
        .collect()
}
