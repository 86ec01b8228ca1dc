//! CycloneDX 1.6 with vulnerabilities and their analysis.
//!
//! The components of the statements stand in the document, so that it can be read alone. CycloneDX knows other
//! justifications than the rest of the world; the common one is kept as a property.

use std::collections::{BTreeMap, HashMap};

use proofmark_model::{Assessment, Vulnerability};
use serde_json::{Value, json};

use super::{ACTION, Justification, Product, Read, Statement, Status, digest, list};
use crate::{cyclonedx::metadata, sarif::tenths, spdx::is_purl, uuid};

const JUSTIFICATION: &str = "proofmark:justification";
const CONTENT: &str = "proofmark:content";

/// The statements as one CycloneDX 1.6 document.
#[must_use]
pub fn write(a: &Assessment) -> String {
    let statements = super::statements(a);
    let mut products: BTreeMap<&Product, String> = BTreeMap::new();
    for s in &statements {
        let next = products.len() + 1;
        products.entry(&s.product).or_insert_with(|| format!("product-{next}"));
    }
    let records: HashMap<&str, &Vulnerability> =
        a.vulnerabilities.iter().map(|v| (v.id.as_str(), v)).collect();
    let components: Vec<Value> = products.iter().map(|(p, name)| component(p, name)).collect();
    let vulnerabilities: Vec<Value> = statements
        .iter()
        .map(|s| vulnerability(s, &products[&s.product], records.get(s.vulnerability.as_str())))
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid::derived("cyclonedx-vex", &a.image.sha256)),
        "version": 1,
        "metadata": metadata(a),
        "components": components,
        "vulnerabilities": vulnerabilities,
    })
    .to_string()
}

fn component(p: &Product, name: &str) -> Value {
    let (title, version) = coordinates(&p.purl);
    let mut c = json!({"type": "library", "bom-ref": name, "name": title, "purl": p.purl});
    if let Some(v) = version {
        c["version"] = v.into();
    }
    if let Some(cpe) = &p.cpe {
        c["cpe"] = cpe.clone().into();
    }
    if let Some(d) = p.content {
        c["properties"] = json!([{"name": CONTENT, "value": d}]);
    }
    c
}

/// Name and version of a package URL, as they stand in it.
pub(super) fn coordinates(purl: &str) -> (&str, Option<&str>) {
    let plain = purl.split(['?', '#']).next().unwrap_or(purl);
    let last = plain.rsplit('/').next().unwrap_or(plain);
    match last.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (last, None),
    }
}

fn vulnerability(s: &Statement, product: &str, record: Option<&&Vulnerability>) -> Value {
    let mut analysis = json!({"detail": s.detail});
    let mut properties = Vec::new();
    analysis["state"] = match s.status {
        Status::NotAffected(j) => {
            if let Some(label) = j.label() {
                properties.push(json!({"name": JUSTIFICATION, "value": label}));
            }
            let own = match j {
                Justification::ComponentNotPresent | Justification::VulnerableCodeNotPresent => {
                    Some("code_not_present")
                }
                Justification::VulnerableCodeNotInExecutePath
                | Justification::VulnerableCodeCannotBeControlledByAdversary => {
                    Some("code_not_reachable")
                }
                Justification::InlineMitigationsAlreadyExist => {
                    Some("protected_by_mitigating_control")
                }
                Justification::Stated => None,
            };
            if let Some(own) = own {
                analysis["justification"] = own.into();
            }
            "not_affected"
        }
        Status::Fixed => "resolved",
        Status::UnderInvestigation => "in_triage",
        Status::Affected => "exploitable",
    }
    .into();
    let mut v = json!({
        "id": s.vulnerability,
        "analysis": analysis,
        "affects": [{"ref": product}],
    });
    if s.status == Status::Affected {
        v["recommendation"] = ACTION.into();
    }
    if let Some(record) = record {
        v["source"] = json!({"name": record.source});
        if let Some(c) = &record.cvss {
            let method = match c.version.as_str() {
                "2.0" => "CVSSv2",
                "3.0" => "CVSSv3",
                "3.1" => "CVSSv31",
                "4.0" => "CVSSv4",
                _ => "other",
            };
            // As a number with one digit, not as a binary fraction that prints with many.
            let score: Value = serde_json::from_str(&tenths(c.score_tenths)).unwrap_or(Value::Null);
            v["ratings"] = json!([{"score": score, "method": method, "vector": c.vector}]);
        }
    }
    if !properties.is_empty() {
        v["properties"] = properties.into();
    }
    v
}

/// Reads a document; vulnerabilities without an analysis are statements of nothing and reported.
pub(super) fn read(doc: &Value) -> Read {
    let mut out = Read::default();
    let mut components: HashMap<&str, &Value> = HashMap::new();
    // Components may lie in components, as deep as the document goes.
    let mut queue: Vec<&Value> = list(&doc["components"]).iter().collect();
    queue.push(&doc["metadata"]["component"]);
    while let Some(c) = queue.pop() {
        if let Some(name) = c["bom-ref"].as_str() {
            components.insert(name, c);
        }
        queue.extend(list(&c["components"]));
    }
    for (i, v) in list(&doc["vulnerabilities"]).iter().enumerate() {
        let Some(id) = v["id"].as_str() else {
            out.skipped.push(format!("vulnerabilities[{i}]: has no id"));
            continue;
        };
        let property = |name: &str| {
            let named = list(&v["properties"]).iter().find(|p| p["name"] == name);
            named.and_then(|p| p["value"].as_str())
        };
        let status = match v["analysis"]["state"].as_str() {
            Some("not_affected" | "false_positive") => Status::NotAffected(
                property(JUSTIFICATION)
                    .and_then(Justification::from_label)
                    .unwrap_or_else(|| own_justification(v["analysis"]["justification"].as_str())),
            ),
            Some("resolved" | "resolved_with_pedigree") => Status::Fixed,
            Some("in_triage") => Status::UnderInvestigation,
            Some("exploitable") => Status::Affected,
            other => {
                out.skipped.push(format!("vulnerabilities[{i}] ({id}): state {other:?}"));
                continue;
            }
        };
        for affected in list(&v["affects"]) {
            let Some(product) = affected["ref"].as_str().and_then(|r| product(&components, r))
            else {
                out.skipped.push(format!(
                    "vulnerabilities[{i}] ({id}): {} leads to no component with a package URL",
                    affected["ref"]
                ));
                continue;
            };
            out.statements.push(Statement {
                vulnerability: id.to_owned(),
                product,
                status,
                detail: v["analysis"]["detail"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    out
}

fn own_justification(own: Option<&str>) -> Justification {
    match own {
        Some("code_not_present") => Justification::VulnerableCodeNotPresent,
        Some("code_not_reachable") => Justification::VulnerableCodeNotInExecutePath,
        Some(
            "protected_by_compiler"
            | "protected_at_runtime"
            | "protected_at_perimeter"
            | "protected_by_mitigating_control",
        ) => Justification::InlineMitigationsAlreadyExist,
        _ => Justification::Stated,
    }
}

/// A reference is a component of the document, or a package URL by itself.
fn product(components: &HashMap<&str, &Value>, name: &str) -> Option<Product> {
    let Some(c) = components.get(name) else {
        let purl = is_purl(name).then(|| name.to_owned())?;
        return Some(Product { purl, cpe: None, content: None });
    };
    let property = list(&c["properties"]).iter().find(|p| p["name"] == CONTENT);
    Some(Product {
        purl: c["purl"].as_str().filter(|p| is_purl(p))?.to_owned(),
        cpe: c["cpe"].as_str().map(Into::into),
        content: property.and_then(|p| digest(&p["value"])),
    })
}
