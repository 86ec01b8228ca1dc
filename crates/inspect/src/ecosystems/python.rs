//! Python distributions: `Name`, `Version` and `License` of the metadata headers, up to the first empty line.

use super::{licence, package};
use crate::{packages::Recorded, text};

pub fn is(path: &str, name: &str) -> bool {
    (name == "METADATA" && path.contains(".dist-info/"))
        || (name == "PKG-INFO" && path.contains(".egg-info/"))
        || name.ends_with(".egg-info")
}

/// The name as the package index compares it (PEP 503).
fn normal(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.trim().chars() {
        if matches!(c, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

pub fn read(text: &str) -> Vec<Recorded> {
    let (mut name, mut version, mut license, mut end) = ("", "", None, 0);
    for line in text::lines(text).take_while(|l| !l.text.is_empty()) {
        end = line.range.1;
        match line.text.split_once(": ") {
            Some(("Name", v)) => name = v,
            Some(("Version", v)) => version = v,
            Some(("License" | "License-Expression", v)) => license = licence(v),
            _ => {}
        }
    }
    let mut found: Vec<_> = package("pypi", &normal(name), version, (0, end)).into_iter().collect();
    found.iter_mut().for_each(|r| r.package.license = license.clone());
    found
}
