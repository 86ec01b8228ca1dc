//! Generated documents are what the catalogue says. `PROOFMARK_UPDATE=1 cargo test -p proofmark-yardstick --test
//! docs` writes them.
#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path};

use proofmark_yardstick::explain::{names, reference};

fn check(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if env::var_os("PROOFMARK_UPDATE").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is stale: PROOFMARK_UPDATE=1 cargo test -p proofmark-yardstick --test docs",
        path.display()
    );
}

#[test]
fn requirements() {
    check("docs/requirements.md", &reference());
}

/// The table of names is the last part of the handwritten document.
#[test]
fn yardstick() {
    let mark = "<!-- generated: names -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/yardstick.md");
    let text = fs::read_to_string(path).unwrap();
    let (written, _) = text.split_once(mark).expect("the mark");
    check("docs/yardstick.md", &format!("{written}{mark}{}", names()));
}
