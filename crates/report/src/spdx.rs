//! SPDX 2.3 (JSON): the same bill of materials as [`cyclonedx`](crate::cyclonedx()), for readers of SPDX.
//!
//! What was not established says so: `NOASSERTION` for licences concluded, copyright and download places. The
//! licence text of a package database is a comment, because it is seldom a valid SPDX expression.

use std::collections::BTreeSet;

use proofmark_model::Assessment;
use serde_json::{Value, json};

use crate::{
    Issue,
    cyclonedx::is_cpe,
    inventory::{self, Item, Sort},
    text, uuid,
};

const IMAGE: &str = "SPDXRef-Image";

/// The components of the image as one SPDX 2.3 document.
#[must_use]
pub fn spdx(a: &Assessment, issue: &Issue<'_>) -> String {
    let items = inventory::components(a);
    let ids = identifiers(&items);
    let image = json!({
        "SPDXID": IMAGE,
        "name": a.image.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "FIRMWARE",
        "checksums": [{"algorithm": "SHA256", "checksumValue": a.image.sha256}],
    });
    let packages: Vec<Value> = std::iter::once(image)
        .chain(items.iter().zip(&ids).map(|(i, id)| package(i, id)))
        .collect();
    let describes = json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": IMAGE,
    });
    let contains = ids.iter().map(|id| {
        json!({
            "spdxElementId": IMAGE,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id,
        })
    });
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": a.image.name,
        "documentNamespace": issue.uri("spdx", &uuid::derived("spdx", &a.image.sha256)),
        "creationInfo": {
            "created": text::moment(issue.moment),
            "creators": [
                format!("Organization: {}", text::plain(issue.author)),
                format!("Tool: proofmark-{}", text::plain(&a.provenance.tool)),
            ],
            "comment": "What was recognised in the image. Other components may be in it.",
        },
        "packages": packages,
        "relationships": std::iter::once(describes).chain(contains).collect::<Vec<_>>(),
    })
    .to_string()
}

/// An identifier for each component out of the characters that SPDX allows, unique in the document.
fn identifiers(items: &[Item]) -> Vec<String> {
    let mut used = BTreeSet::new();
    items
        .iter()
        .map(|item| {
            let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
            let name: String = item.label().chars().map(safe).collect();
            let mut id = format!("SPDXRef-Component-{name}");
            let mut n = 2;
            while !used.insert(id.clone()) {
                id = format!("SPDXRef-Component-{name}-n{n}");
                n += 1;
            }
            id
        })
        .collect()
}

fn package(item: &Item, id: &str) -> Value {
    let purpose = match item.sort {
        Sort::Application => "APPLICATION",
        Sort::Library => "LIBRARY",
        Sort::OperatingSystem => "OPERATING-SYSTEM",
    };
    let mut p = json!({
        "SPDXID": id,
        "name": item.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": purpose,
    });
    if let Some(v) = &item.version {
        p["versionInfo"] = v.clone().into();
    }
    if let Some(l) = &item.license {
        p["licenseComments"] = format!("The package database says: {l}").into();
    }
    let mut digests = item.files.values();
    if let (Some(only), None) = (digests.next(), digests.next()) {
        p["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": only}]);
    }
    let mut refs: Vec<Value> = Vec::new();
    if let Some(purl) = item.purl.as_ref().filter(|p| is_purl(p)) {
        refs.push(json!({
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }));
    }
    refs.extend(item.cpes.iter().filter(|c| is_cpe(c)).map(|cpe| {
        json!({
            "referenceCategory": "SECURITY",
            "referenceType": "cpe23Type",
            "referenceLocator": cpe,
        })
    }));
    if !refs.is_empty() {
        p["externalRefs"] = refs.into();
    }
    if let Some(w) = item.evidence.first() {
        p["comment"] =
            format!("{} by {}, at {} ({} places)", w.relation, w.by, w.place, item.evidence.len())
                .into();
    }
    p
}

/// Whether the text has the form of a package URL; anything else stays out of documents that ask for one.
pub(crate) fn is_purl(text: &str) -> bool {
    let Some((kind, rest)) = text.strip_prefix("pkg:").and_then(|r| r.split_once('/')) else {
        return false;
    };
    let kind_ok = kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
    kind_ok
        && !rest.is_empty()
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%/@?&=+:#".contains(&b))
}
