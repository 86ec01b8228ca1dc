//! Java archives: Maven's coordinates where they were left, else what the manifest says of the bundle.

use super::package;
use crate::packages::Recorded;

pub fn is(path: &str, name: &str) -> bool {
    path.contains("META-INF/") && matches!(name, "pom.properties" | "MANIFEST.MF")
}

pub fn read(text: &str) -> Vec<Recorded> {
    let range = (0, text.len() as u64);
    if text.starts_with("Manifest-Version:") {
        // A line that starts with a blank goes on from the one before.
        let joined = text.replace("\r\n", "\n").replace("\n ", "");
        let header = |key: &str| {
            let lines = joined.lines().take_while(|l| !l.is_empty());
            lines.filter_map(|l| l.split_once(": ")).find(|(k, _)| *k == key).map(|(_, v)| v)
        };
        let name = header("Bundle-SymbolicName")
            .and_then(|n| n.split(';').next())
            .or_else(|| header("Implementation-Title"));
        let version = header("Bundle-Version").or_else(|| header("Implementation-Version"));
        let found = name.zip(version).and_then(|(n, v)| package("java", n, v, range));
        return found.into_iter().collect();
    }
    let value = |key: &str| {
        text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    };
    let found = (|| {
        let name = format!("{}:{}", value("groupId")?, value("artifactId")?);
        package("maven", &name, value("version")?, range)
    })();
    found.into_iter().collect()
}
