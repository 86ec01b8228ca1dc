//! Reads `catalogue/components/*.toml`, refuses what does not obey the rule language, and hands the rest to the
//! crate as JSON with a revision over all of it.

#![allow(clippy::panic, clippy::expect_used)] // A build script fails by panicking.

use std::{env, fs, path::PathBuf};

#[path = "src/rule.rs"]
#[allow(dead_code, missing_docs)]
mod rule;

fn main() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../catalogue/components");
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rerun-if-changed=src/rule.rs");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "toml"))
        .collect();
    files.sort();
    let mut bad = Vec::new();
    let mut products: Vec<(rule::Product, String)> = Vec::new();
    let mut fixtures = Vec::new();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        match toml::from_str::<rule::File>(&text) {
            Err(e) => bad.push(format!("{name}: {e}")),
            Ok(read) => {
                for product in read.product {
                    if let Err(e) = product.check() {
                        bad.push(format!("{name}: {e}"));
                    }
                    if let Some((_, other)) = products.iter().find(|(p, _)| p.name == product.name)
                    {
                        bad.push(format!("{name}: product {} is also in {other}", product.name));
                    }
                    fixtures.push((
                        product.name.clone(),
                        product.positive.clone(),
                        product.negative.clone(),
                    ));
                    products.push((product, name.clone()));
                }
            }
        }
    }
    assert!(bad.is_empty(), "component rules:\n  {}", bad.join("\n  "));
    products.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let rules: Vec<_> = products.iter().map(|(p, _)| p).collect();
    let json = serde_json::to_string(&rules).expect("rules are JSON");
    // FNV-1a, 64 bits: a name for the catalogue's state, not a safeguard.
    let revision = json
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("rules.json"), json).expect("OUT_DIR can be written");
    let fixtures = serde_json::to_string(&fixtures).expect("fixtures are JSON");
    fs::write(out.join("fixtures.json"), fixtures).expect("OUT_DIR can be written");
    println!("cargo::rustc-env=PROOFMARK_COMPONENTS_REVISION={revision:016x}");
}
