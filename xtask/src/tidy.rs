//! Invariants of the code base that a compiler does not check: which crate may
//! know which, that the code map names every crate, and words that have no
//! place in the repository.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{Outcome, metadata, root};

/// For each crate of the product, the crates of the product it may depend on. A crate that is not here, or an
/// edge that is not here, is an error: the data goes one way.
const EDGES: &[(&str, &[&str])] = &[
    ("proofmark-model", &[]),
    ("proofmark-unpack", &["proofmark-model"]),
    ("proofmark-inspect", &["proofmark-model"]),
    ("proofmark-advisories", &["proofmark-model"]),
    ("proofmark-yardstick", &["proofmark-model"]),
    (
        "proofmark-assess",
        &[
            "proofmark-model",
            "proofmark-unpack",
            "proofmark-inspect",
            "proofmark-advisories",
            "proofmark-components",
            "proofmark-yardstick",
        ],
    ),
    ("proofmark-components", &["proofmark-model"]),
    ("proofmark-report", &["proofmark-model"]),
    ("proofmark-network", &["proofmark-model"]),
    (
        "proofmark-fuzz",
        &[
            "proofmark-model",
            "proofmark-unpack",
            "proofmark-inspect",
            "proofmark-advisories",
            "proofmark-report",
        ],
    ),
    (
        "proofmark",
        &[
            "proofmark-model",
            "proofmark-unpack",
            "proofmark-inspect",
            "proofmark-advisories",
            "proofmark-components",
            "proofmark-yardstick",
            "proofmark-assess",
            "proofmark-report",
            "proofmark-network",
        ],
    ),
];

/// Crates that must not reach a package, however indirectly.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("proofmark-model", &["memmap2", "rayon", "rusqlite"]),
    ("proofmark-inspect", &["memmap2", "rusqlite", "ureq", "reqwest"]),
    ("proofmark-unpack", &["rusqlite", "ureq", "reqwest"]),
    ("proofmark-report", &["memmap2", "rusqlite", "ureq", "reqwest"]),
    ("proofmark-yardstick", &["memmap2", "rusqlite", "ureq", "reqwest"]),
];

/// Crates that are not members of the workspace.
const OUTSIDE: &[&str] = &["crates/highs/Cargo.toml"];

/// Runs all checks and reports every violation at once.
pub fn run(_: &[String]) -> Outcome {
    let mut bad = Vec::new();
    edges(&mut bad)?;
    code_map(&mut bad)?;
    words(&mut bad)?;
    locks(&mut bad)?;
    if bad.is_empty() {
        println!("tidy");
        Ok(())
    } else {
        Err(format!("{} violations\n  {}", bad.len(), bad.join("\n  ")))
    }
}

/// Crates outside the workspace have a lock file of their own, which a change of the workspace's dependencies outdates.
fn locks(bad: &mut Vec<String>) -> Outcome {
    for manifest in OUTSIDE {
        let out = Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
            .arg(root().join(manifest))
            .output()
            .map_err(|e| format!("cargo: {e}"))?;
        if !out.status.success() {
            let why = String::from_utf8_lossy(&out.stderr);
            bad.push(format!(
                "{manifest}: {}",
                why.lines().next().unwrap_or("cargo metadata failed")
            ));
        }
    }
    Ok(())
}

fn edges(bad: &mut Vec<String>) -> Outcome {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata has no packages")?;
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if !(name == "proofmark" || name.starts_with("proofmark-")) {
            continue;
        }
        let Some((_, known)) = EDGES.iter().find(|(n, _)| *n == name) else {
            bad.push(format!("{name}: a crate without a line in the table of allowed edges"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        // Development dependencies may point anywhere: tests use the whole product.
        for d in dependencies.filter(|d| d["kind"].is_null()) {
            let to = d["name"].as_str().unwrap_or_default();
            if to.starts_with("proofmark") && !known.contains(&to) {
                bad.push(format!("{name} must not know {to}"));
            }
        }
    }
    for (name, never) in FORBIDDEN {
        let out = Command::new("cargo")
            .args(["tree", "--locked", "-p", name, "-e", "normal", "--prefix", "none"])
            .current_dir(root())
            .output()
            .map_err(|e| format!("cargo tree could not be run: {e}"))?;
        let tree = String::from_utf8_lossy(&out.stdout).into_owned();
        let reached: BTreeSet<_> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
        for package in never.iter().filter(|p| reached.contains(**p)) {
            bad.push(format!("{name} must not reach {package}"));
        }
    }
    Ok(())
}

/// `ARCHITECTURE.md` names every crate folder.
fn code_map(bad: &mut Vec<String>) -> Outcome {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md"))
        .map_err(|e| format!("ARCHITECTURE.md: {e}"))?;
    let crates = fs::read_dir(root().join("crates")).map_err(|e| format!("crates/: {e}"))?;
    for entry in crates.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("Cargo.toml").exists() && !map.contains(&format!("`crates/{name}`")) {
            bad.push(format!("ARCHITECTURE.md does not name `crates/{name}`"));
        }
    }
    Ok(())
}

/// Texts that do not belong into the repository: paths of a machine, unfinished code.
fn words(bad: &mut Vec<String>) -> Outcome {
    let out = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("git could not be run: {e}"))?;
    // Written in pieces so that this file does not trip itself.
    let never =
        [["/wo", "rk/"], ["/ro", "ot/."], ["todo", "!("], ["FIX", "ME"], ["unimplemented", "!("]]
            .map(|p| p.concat());
    for path in String::from_utf8_lossy(&out.stdout).lines() {
        let Ok(text) = fs::read_to_string(root().join(path)) else { continue };
        for (n, line) in text.lines().enumerate() {
            for word in never.iter().filter(|w| line.contains(w.as_str())) {
                bad.push(format!("{path}:{}: {word:?} does not belong here", n + 1));
            }
        }
    }
    Ok(())
}
