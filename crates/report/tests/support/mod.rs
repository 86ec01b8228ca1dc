//! What the tests share.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod sample;

use std::{fs, path::Path};

use serde_json::Value;

/// A schema of `tests/schemas`.
pub fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    // SARIF's pattern for languages has a bracket too many, which strict readers of patterns refuse; the
    // document's language is never written, so the pattern does not matter.
    let text = text.replace("^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$", "^[a-zA-Z-]+$");
    serde_json::from_str(&text).unwrap()
}

/// Every place (at most 20) at which `document` breaks the schema. `others` are the schemas it refers to.
pub fn errors(document: &str, name: &str, others: &[(&str, &str)]) -> Vec<String> {
    let main = schema(name);
    let mut registry = jsonschema::Registry::new();
    for (uri, file) in others {
        registry = registry.add(*uri, schema(file)).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let validator = jsonschema::options()
        .with_registry(&registry)
        .should_validate_formats(true)
        .build(&main)
        .unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    let errors = validator.iter_errors(&document).take(20);
    errors
        .map(|e| {
            format!(
                "{}: {}",
                e.instance_path(),
                e.to_string().chars().take(300).collect::<String>()
            )
        })
        .collect()
}

/// Panics where `document` breaks the schema.
pub fn validate(document: &str, name: &str, others: &[(&str, &str)]) {
    let errors = errors(document, name, others);
    assert!(errors.is_empty(), "breaks {name}:\n{}", errors.join("\n"));
}

/// The three files that CycloneDX 1.6 needs.
pub fn validate_cyclonedx(document: &str) {
    validate(
        document,
        "bom-1.6.SNAPSHOT.schema.json",
        &[
            ("http://cyclonedx.org/schema/spdx.SNAPSHOT.schema.json", "spdx.SNAPSHOT.schema.json"),
            (
                "http://cyclonedx.org/schema/jsf-0.82.SNAPSHOT.schema.json",
                "jsf-0.82.SNAPSHOT.schema.json",
            ),
        ],
    );
}

/// An assessment with nothing in it: every view must stand it.
pub fn empty() -> proofmark_model::Assessment {
    let mut a = sample::assessment();
    a.image.size = 0;
    a.coverage = proofmark_model::Coverage::default();
    a.judgements.clear();
    a.vulnerabilities.clear();
    a.observations.clear();
    a.artifacts.clear();
    a.provenance.feeds.clear();
    a
}

/// The size of a large image: 13 000 files and thousands of everything else; above 20 MB as JSON.
pub fn large() -> proofmark_model::Assessment {
    let mut a = sample::assessment();
    let path =
        |i: usize| format!("usr/share/some/rather/deep/folder/of/the/gateway/part-{i:05}.bin");
    let place = |i: usize| sample::file(&path(i));
    let model = a.artifacts.iter().find(|x| x.format == "elf").cloned().unwrap();
    a.artifacts.extend((0..13_000).map(|i| {
        let mut x = model.clone();
        x.locator = place(i);
        x
    }));
    let seen = a.observations.clone();
    for (i, o) in seen.iter().cycle().take(12_000).enumerate() {
        let mut o = o.clone();
        o.evidence = proofmark_model::Evidence::one(place(i));
        if let proofmark_model::Fact::Component(c) = &mut o.fact {
            c.component.name = format!("component-{i}");
        }
        a.observations.push(o);
    }
    let failed =
        a.judgements.iter().filter(|j| !j.findings.is_empty()).cloned().collect::<Vec<_>>();
    for (i, j) in failed.iter().cycle().take(60).enumerate() {
        let mut j = j.clone();
        let f = j.findings[0].clone();
        j.findings = (0..100)
            .map(|n| {
                let mut f = f.clone();
                f.evidence = proofmark_model::Evidence::with(place(n), (0..20).map(place));
                f
            })
            .collect();
        j.requirement.id = format!("BIG-{i:02}");
        a.judgements.push(j);
    }
    let matched = a.vulnerabilities.clone();
    a.vulnerabilities.extend(matched.iter().cycle().take(5000).cloned());
    a
}
