//! Every dependency must be usable under MIT or Apache-2.0 terms.

use crate::{Outcome, metadata};

/// Licences whose code may be linked.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

/// Whether an SPDX expression can be satisfied with allowed licences only.
fn allowed(expression: &str) -> bool {
    // The old `MIT/Apache-2.0` form means OR; parentheses occur only around OR groups.
    let plain = expression.replace('/', " OR ").replace(['(', ')'], "");
    let term = |t: &str| ALLOWED.contains(&t.trim());
    if expression.contains('(') {
        // (A OR B) AND C: every AND part must have one allowed alternative.
        return expression
            .split(" AND ")
            .all(|part| part.replace(['(', ')'], "").split(" OR ").any(term));
    }
    plain.split(" OR ").any(|alternative| alternative.split(" AND ").all(term))
}

/// Checks the whole lock file, development dependencies included.
pub fn run(_: &[String]) -> Outcome {
    let metadata = metadata()?;
    let mut bad = Vec::new();
    let packages = metadata["packages"].as_array().ok_or("cargo metadata has no packages")?;
    for p in packages {
        let name = p["name"].as_str().unwrap_or("?");
        match p["license"].as_str() {
            Some(l) if allowed(l) => {}
            other => bad.push(format!("{name}: {}", other.unwrap_or("no licence field"))),
        }
    }
    if bad.is_empty() {
        println!("{} packages, all under allowed licences", packages.len());
        Ok(())
    } else {
        Err(format!("not on the list of allowed licences: {}", bad.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn expressions() {
        assert!(allowed("MIT OR Apache-2.0"));
        assert!(allowed("Apache-2.0/MIT"));
        assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(allowed("GPL-3.0 OR MIT"));
        assert!(!allowed("GPL-3.0"));
        assert!(!allowed("MIT AND GPL-2.0"));
        assert!(!allowed("(MIT OR Apache-2.0) AND MPL-2.0"));
    }
}
