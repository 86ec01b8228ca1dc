//! Pages that are made of code, or quote it, say what the code says.

#![allow(missing_docs, clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod toybox;

use std::{fs, path::Path};

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

#[test]
fn the_table_of_formats_is_current() {
    assert!(
        page("formats.md") == proofmark_unpack::table::markdown(),
        "docs/formats.md is stale; run `cargo xtask formats`"
    );
}

#[test]
fn the_page_of_keys_names_the_formats_that_keys_open() {
    let page = page("keys.md");
    for id in proofmark_unpack::table::OPENED_BY_KEY {
        assert!(page.contains(&format!("`{id}`")), "{id}");
    }
}

/// The worked example is the file that these tests compile and the engine's tests run.
#[test]
fn the_worked_example_is_the_code() {
    let page = page("adding-a-format.md");
    let shown = page.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    let code = include_str!("toybox/mod.rs");
    let from = code.find("use std::sync::Arc;").unwrap();
    assert_eq!(
        shown,
        code.get(from..).unwrap(),
        "docs/adding-a-format.md quotes tests/toybox/mod.rs"
    );
}

#[test]
fn every_format_says_what_it_must() {
    let formats = proofmark_unpack::formats::all();
    let mut ids: Vec<_> = formats.iter().map(|f| f.about().id).collect();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "two formats have one id");
    for f in formats {
        let a = f.about();
        let named =
            a.id.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
        assert!(named && !a.id.is_empty(), "{}: not an id", a.id);
        assert!(!a.name.is_empty() && a.revision > 0 && !a.sources.is_empty(), "{}", a.id);
        for m in f.magics() {
            assert!(!m.anywhere || m.bytes.len() >= 2, "{}: one byte anywhere", a.id);
            let zeros = m.anywhere && m.bytes.iter().all(|b| *b == 0);
            assert!(!zeros, "{}: a magic of zeros is in every hole", a.id);
        }
        for refined in f.refines() {
            assert!(ids.contains(refined), "{} refines {refined}, which does not exist", a.id);
        }
    }
}
