//! CycloneDX 1.6: the software bill of materials.
//!
//! Components come from [`inventory`]; each carries the places it was seen at as *occurrences* and how it was
//! recognised as properties. The composition is declared incomplete, because no look at an image can prove
//! that nothing else is in it. There is no time in it, and the serial number is derived from the image.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_model::Assessment;
use serde_json::{Value, json};

use crate::{
    inventory::{self, Item, Sort},
    uuid,
};

/// Occurrences written per component; the number of all is in a property.
const MAX_OCCURRENCES: usize = 50;

/// The components of the image as one CycloneDX 1.6 document.
#[must_use]
pub fn cyclonedx(a: &Assessment) -> String {
    let items = inventory::components(a);
    let refs = references(&items);
    let components: Vec<Value> =
        items.iter().zip(&refs).map(|(item, name)| component(item, name)).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid::derived("cyclonedx", &a.image.sha256)),
        "version": 1,
        "metadata": metadata(a),
        "components": components,
        "dependencies": [{"ref": IMAGE, "dependsOn": refs}],
        "compositions": [{"aggregate": "incomplete", "assemblies": [IMAGE]}],
    })
    .to_string()
}

/// Reference of the image itself.
pub(crate) const IMAGE: &str = "image";

/// Who made the document and what it is about.
pub(crate) fn metadata(a: &Assessment) -> Value {
    let c = &a.coverage;
    json!({
        "tools": {"components": [{
            "type": "application",
            "name": "proofmark",
            "version": a.provenance.tool,
        }]},
        "component": {
            "type": "firmware",
            "bom-ref": IMAGE,
            "name": a.image.name,
            "hashes": [{"alg": "SHA-256", "content": a.image.sha256}],
            "properties": [
                property("size", a.image.size),
                property("coverage:understood", c.understood),
                property("coverage:padding", c.padding),
                property("coverage:opaque", c.opaque),
                property("coverage:opaque-inside", c.opaque_inside),
                property("coverage:artifacts-with-problems", c.artifacts_with_problems),
            ],
        },
    })
}

fn property(name: &str, value: impl ToString) -> Value {
    json!({"name": format!("proofmark:{name}"), "value": value.to_string()})
}

/// A reference for each component, unique in the document and the same in every run.
pub(crate) fn references(items: &[Item]) -> Vec<String> {
    let mut used = BTreeSet::new();
    items
        .iter()
        .map(|item| {
            let base = item.purl.clone().unwrap_or_else(|| match &item.version {
                Some(v) => format!("component:{}@{v}", item.name),
                None => format!("component:{}", item.name),
            });
            let mut name = base.clone();
            let mut n = 2;
            while !used.insert(name.clone()) {
                name = format!("{base}#{n}");
                n += 1;
            }
            name
        })
        .collect()
}

fn component(item: &Item, name: &str) -> Value {
    let kind = match item.sort {
        Sort::Application => "application",
        Sort::Library => "library",
        Sort::OperatingSystem => "operating-system",
    };
    let mut c = json!({"type": kind, "bom-ref": name, "name": item.name});
    if let Some(v) = &item.version {
        c["version"] = v.clone().into();
    }
    if let Some(p) = &item.purl {
        c["purl"] = p.clone().into();
    }
    if let Some(cpe) = item.cpes.iter().find(|c| is_cpe(c)) {
        c["cpe"] = cpe.clone().into();
    }
    if let Some(l) = &item.license {
        // The text of the package database; whether it is an SPDX expression is not claimed.
        c["licenses"] = json!([{"license": {"name": l}}]);
    }
    // A component that is exactly one file has that file's digest; several files have several.
    let mut digests = item.files.values();
    if let (Some(only), None) = (digests.next(), digests.next()) {
        c["hashes"] = json!([{"alg": "SHA-256", "content": only}]);
    }
    c["evidence"] = evidence(item);
    let mut properties = Vec::new();
    if let Some(p) = &item.package {
        properties.push(property("package", p));
    }
    properties.extend(item.cpes.iter().filter(|c| is_cpe(c)).skip(1).map(|c| property("cpe", c)));
    properties.extend(item.other_versions.iter().map(|v| property("other-version", v)));
    properties.push(property("places", item.evidence.len()));
    c["properties"] = properties.into();
    c
}

/// Whether the text is a CPE 2.3 name by the grammar of NISTIR 7695; anything else stays out of documents.
pub(crate) fn is_cpe(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("cpe:2.3:") else { return false };
    let mut fields = vec![String::new()];
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { return false };
        match c {
            // A quoted character counts as an ordinary one.
            '\\' => match chars.next() {
                Some(q) if q.is_ascii_punctuation() && !"-._".contains(q) => field.push('q'),
                _ => return false,
            },
            ':' => fields.push(String::new()),
            c => field.push(c),
        }
    }
    let any = |f: &str| f == "*" || f == "-";
    let word = |f: &str| {
        let inner = f.trim_matches(['*', '?']);
        !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let language = |f: &str| {
        let mut parts = f.splitn(2, '-');
        let first = parts.next().unwrap_or_default();
        let letters = |s: &str| s.bytes().all(|b| b.is_ascii_alphabetic());
        (2..=3).contains(&first.len())
            && letters(first)
            && parts.next().is_none_or(|region| {
                region.len() == 2 && letters(region)
                    || region.len() == 3 && region.bytes().all(|b| b.is_ascii_digit())
            })
    };
    fields.len() == 11
        && fields.iter().enumerate().all(|(i, f)| {
            any(f)
                || match i {
                    0 => matches!(f.as_str(), "a" | "h" | "o"),
                    6 => language(f),
                    _ => word(f),
                }
        })
}

fn evidence(item: &Item) -> Value {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for w in &item.evidence {
        let seen = match &w.version {
            Some(v) => format!("{} by {} (version {v})", w.relation, w.by),
            None => format!("{} by {}", w.relation, w.by),
        };
        places.entry(w.place.to_string()).or_default().insert(seen);
    }
    let occurrences: Vec<Value> = places
        .into_iter()
        .take(MAX_OCCURRENCES)
        .map(|(place, seen)| {
            let how: Vec<String> = seen.into_iter().collect();
            json!({"location": place, "additionalContext": how.join("; ")})
        })
        .collect();
    json!({"occurrences": occurrences})
}

#[cfg(test)]
mod tests {
    use super::is_cpe;

    #[test]
    fn cpe_names() {
        for good in [
            "cpe:2.3:a:openssl:openssl:1.1.1k:*:*:*:*:*:*:*",
            "cpe:2.3:o:linux:linux_kernel:4.14.221:-:*:en-US:*:*:mips:*",
            r"cpe:2.3:a:libstdc\+\+:a\:b:8.*:*:*:*:*:*:*:*",
        ] {
            assert!(is_cpe(good), "{good}");
        }
        for bad in [
            "cpe:/a:openssl:openssl:1.1.1k",
            "cpe:2.3:a:openssl:openssl:1.1.1k:*:*:*:*:*:*",
            "cpe:2.3:x:openssl:openssl:1.1.1k:*:*:*:*:*:*:*",
            "cpe:2.3:a:open ssl:openssl:1:*:*:*:*:*:*:*",
            "cpe:2.3:a:<b>:openssl:1:*:*:*:*:*:*:*",
            r"cpe:2.3:a:b:openssl:1:*:*:*:*:*:*:\",
        ] {
            assert!(!is_cpe(bad), "{bad}");
        }
    }
}
