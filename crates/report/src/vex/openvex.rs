//! OpenVEX 0.2.0.
//!
//! The image is the product, the component its subcomponent. OpenVEX has no empty documents, so an assessment
//! without vulnerabilities gives none.

use proofmark_model::Assessment;
use serde_json::{Value, json};

use super::{ACTION, Justification, Product, Read, Statement, Status, digest, list};
use crate::{Issue, spdx::is_purl, text, uuid};

/// The statements as one OpenVEX document; none if there is no statement.
#[must_use]
pub fn write(a: &Assessment, issue: &Issue<'_>) -> Option<String> {
    let statements: Vec<Value> = super::statements(a).iter().map(|s| statement(a, s)).collect();
    if statements.is_empty() {
        return None;
    }
    let doc = json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": issue.uri("openvex", &uuid::derived("openvex", &a.image.sha256)),
        "author": text::plain(issue.author),
        "timestamp": text::moment(issue.moment),
        "version": 1,
        "tooling": format!("Proofmark {}", text::plain(&a.provenance.tool)),
        "statements": statements,
    });
    Some(doc.to_string())
}

fn statement(a: &Assessment, s: &Statement) -> Value {
    let mut component = json!({"@id": s.product.purl, "identifiers": {"purl": s.product.purl}});
    if let Some(cpe) = &s.product.cpe {
        component["identifiers"]["@cpe23"] = cpe.clone().into();
    }
    if let Some(d) = s.product.content {
        component["hashes"] = json!({"sha-256": d});
    }
    let mut out = json!({
        "vulnerability": {"name": s.vulnerability},
        "products": [{
            "@id": format!("urn:sha256:{}", a.image.sha256),
            "hashes": {"sha-256": a.image.sha256},
            "subcomponents": [component],
        }],
        "status": status(s.status),
        "status_notes": s.detail,
    });
    match s.status {
        // One of the two, never both: the schema says so.
        Status::NotAffected(j) => match j.label() {
            Some(label) => out["justification"] = label.into(),
            None => out["impact_statement"] = s.detail.clone().into(),
        },
        Status::Affected => out["action_statement"] = ACTION.into(),
        Status::Fixed | Status::UnderInvestigation => {}
    }
    out
}

fn status(s: Status) -> &'static str {
    match s {
        Status::NotAffected(_) => "not_affected",
        Status::Fixed => "fixed",
        Status::UnderInvestigation => "under_investigation",
        Status::Affected => "affected",
    }
}

/// Reads a document. A product without subcomponents stands for itself.
pub(super) fn read(doc: &Value) -> Read {
    let mut out = Read::default();
    for (i, s) in list(&doc["statements"]).iter().enumerate() {
        // In 0.0.1 the vulnerability was its name.
        let name = s["vulnerability"]["name"].as_str().or_else(|| s["vulnerability"].as_str());
        let Some(name) = name else {
            out.skipped.push(format!("statements[{i}]: names no vulnerability"));
            continue;
        };
        let status = match s["status"].as_str() {
            Some("not_affected") => Status::NotAffected(
                s["justification"]
                    .as_str()
                    .and_then(Justification::from_label)
                    .unwrap_or(Justification::Stated),
            ),
            Some("fixed") => Status::Fixed,
            Some("under_investigation") => Status::UnderInvestigation,
            Some("affected") => Status::Affected,
            other => {
                out.skipped.push(format!("statements[{i}]: unknown status {other:?}"));
                continue;
            }
        };
        let detail = ["status_notes", "impact_statement", "action_statement"]
            .into_iter()
            .find_map(|k| s[k].as_str())
            .unwrap_or_default();
        let before = out.statements.len();
        for p in list(&s["products"]) {
            let inner = list(&p["subcomponents"]);
            let named = if inner.is_empty() { std::slice::from_ref(p) } else { inner };
            out.statements.extend(named.iter().filter_map(product).map(|product| Statement {
                vulnerability: name.to_owned(),
                product,
                status,
                detail: detail.to_owned(),
            }));
        }
        if out.statements.len() == before {
            out.skipped.push(format!("statements[{i}]: no product with a package URL"));
        }
    }
    out
}

fn product(c: &Value) -> Option<Product> {
    let purl = [&c["identifiers"]["purl"], &c["@id"], c]
        .into_iter()
        .filter_map(Value::as_str)
        .find(|p| is_purl(p))?;
    Some(Product {
        purl: purl.to_owned(),
        cpe: c["identifiers"]["@cpe23"].as_str().map(Into::into),
        content: digest(&c["hashes"]["sha-256"]),
    })
}
