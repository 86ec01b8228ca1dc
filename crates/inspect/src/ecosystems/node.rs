//! Node packages: `package.json` below a `node_modules` folder. One elsewhere is a project, not something installed.

use serde::Deserialize;
use serde_json::Value;

use super::{licence, package};
use crate::packages::Recorded;

pub fn is(path: &str, name: &str) -> bool {
    name == "package.json" && path.contains("node_modules/")
}

#[derive(Deserialize)]
struct Manifest {
    name: String,
    version: String,
    #[serde(default)]
    license: Value,
}

pub fn read(text: &str) -> Vec<Recorded> {
    if !text.trim_start().starts_with('{') {
        return Vec::new();
    }
    let Ok(manifest) = serde_json::from_str::<Manifest>(text) else { return Vec::new() };
    let license = manifest.license.as_str().or_else(|| manifest.license.get("type")?.as_str());
    let range = (0, text.len() as u64);
    let mut found: Vec<_> =
        package("npm", &manifest.name, &manifest.version, range).into_iter().collect();
    found.iter_mut().for_each(|r| r.package.license = license.and_then(licence));
    found
}
