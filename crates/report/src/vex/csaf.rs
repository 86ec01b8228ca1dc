//! CSAF 2.0, profile VEX.
//!
//! The image and each component are products; what a status speaks of is the component in the image (a
//! relationship). A CSAF document of this profile is about at least one vulnerability, so an assessment without
//! any gives none.

use std::collections::{BTreeMap, HashMap};

use proofmark_model::{Assessment, Vulnerability, vulnerability::Cvss};
use serde_json::{Value, json};

use super::{
    ACTION, Justification, Product, Read, Statement, Status, cyclonedx::coordinates, digest, list,
};
use crate::{Issue, sarif::tenths, spdx::is_purl, text, uuid};

/// The statements as one CSAF 2.0 document; none if there is no statement.
#[must_use]
pub fn write(a: &Assessment, issue: &Issue<'_>) -> Option<String> {
    let statements = super::statements(a);
    if statements.is_empty() {
        return None;
    }
    let mut products: BTreeMap<&Product, usize> = BTreeMap::new();
    let mut by_id: BTreeMap<&str, Vec<&Statement>> = BTreeMap::new();
    for s in &statements {
        let next = products.len() + 1;
        products.entry(&s.product).or_insert(next);
        by_id.entry(&s.vulnerability).or_default().push(s);
    }
    let records: HashMap<&str, &Vulnerability> =
        a.vulnerabilities.iter().map(|v| (v.id.as_str(), v)).collect();
    let vulnerabilities: Vec<Value> = by_id
        .iter()
        .map(|(id, all)| vulnerability(id, all, &products, records.get(id).copied()))
        .collect();
    Some(
        json!({
            "document": document(a, issue),
            "product_tree": product_tree(a, &products),
            "vulnerabilities": vulnerabilities,
        })
        .to_string(),
    )
}

fn document(a: &Assessment, issue: &Issue<'_>) -> Value {
    let date = text::moment(issue.moment);
    json!({
        "category": "csaf_vex",
        "csaf_version": "2.0",
        "lang": "en",
        "title": format!("Vulnerabilities of {}", text::plain(&a.image.name)),
        "publisher": {
            "category": "other",
            "name": text::plain(issue.author),
            "namespace": issue.namespace,
        },
        "tracking": {
            "id": format!("proofmark-{}", uuid::derived("csaf", &a.image.sha256)),
            "status": "final",
            "version": "1",
            "initial_release_date": date,
            "current_release_date": date,
            "revision_history": [{"date": date, "number": "1", "summary": "Derived from the image."}],
            "generator": {"engine": {"name": "Proofmark", "version": text::plain(&a.provenance.tool)}},
        },
    })
}

fn own(n: usize) -> String {
    format!("component-{n}")
}

fn in_image(n: usize) -> String {
    format!("image:component-{n}")
}

fn product_tree(a: &Assessment, products: &BTreeMap<&Product, usize>) -> Value {
    let hash = |d, name: &str| json!([{"file_hashes": [{"algorithm": "sha256", "value": d}], "filename": name}]);
    let image = json!({
        "product_id": "image",
        "name": text::plain(&a.image.name),
        "product_identification_helper": {
            "hashes": hash(a.image.sha256, &text::plain(&a.image.name)),
        },
    });
    let mut names = vec![image];
    let mut relationships = Vec::new();
    for (p, n) in products {
        let (title, version) = coordinates(&p.purl);
        let name = format!("{title} {}", version.unwrap_or("(no version)"));
        let mut helper = json!({"purl": p.purl});
        if let Some(cpe) = &p.cpe {
            helper["cpe"] = cpe.clone().into();
        }
        if let Some(d) = p.content {
            helper["hashes"] = hash(d, title);
        }
        names.push(json!({
            "product_id": own(*n),
            "name": name,
            "product_identification_helper": helper,
        }));
        relationships.push(json!({
            "category": "default_component_of",
            "product_reference": own(*n),
            "relates_to_product_reference": "image",
            "full_product_name": {
                "product_id": in_image(*n),
                "name": format!("{name} in {}", text::plain(&a.image.name)),
            },
        }));
    }
    json!({"full_product_names": names, "relationships": relationships})
}

fn vulnerability(
    id: &str,
    all: &[&Statement],
    products: &BTreeMap<&Product, usize>,
    record: Option<&Vulnerability>,
) -> Value {
    let mut status: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut flags: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let (mut threats, mut remediations, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for s in all {
        let product = in_image(products[&s.product]);
        let list = match s.status {
            Status::NotAffected(j) => {
                if let Some(label) = j.label() {
                    flags.entry(label).or_default().push(product.clone());
                }
                threats.push(json!({
                    "category": "impact",
                    "details": s.detail,
                    "product_ids": [product],
                }));
                "known_not_affected"
            }
            Status::Fixed => "fixed",
            Status::UnderInvestigation => "under_investigation",
            Status::Affected => {
                remediations.push(json!({
                    "category": "none_available",
                    "details": ACTION,
                    "product_ids": [product],
                }));
                "known_affected"
            }
        };
        // An impact is already said as a threat.
        if !matches!(s.status, Status::NotAffected(_)) {
            notes.push(json!({"category": "details", "title": product, "text": s.detail}));
        }
        status.entry(list).or_default().push(product);
    }
    if notes.is_empty() {
        notes.push(json!({
            "category": "summary",
            "text": "Matched by name; shown not to concern this image.",
        }));
    }
    let mut v = json!({"product_status": status, "notes": notes});
    if is_cve(id) {
        v["cve"] = id.into();
    } else {
        v["ids"] = json!([{"system_name": "advisory", "text": id}]);
    }
    if !flags.is_empty() {
        let flags = flags.into_iter().map(|(l, p)| json!({"label": l, "product_ids": p}));
        v["flags"] = flags.collect();
    }
    if !threats.is_empty() {
        v["threats"] = threats.into();
    }
    if !remediations.is_empty() {
        v["remediations"] = remediations.into();
    }
    let scored: Vec<String> = all.iter().map(|s| in_image(products[&s.product])).collect();
    if let Some(mut score) = record.and_then(|r| r.cvss.as_ref()).and_then(score) {
        score["products"] = scored.into();
        v["scores"] = json!([score]);
    }
    v
}

fn is_cve(id: &str) -> bool {
    let digits = |s: &str, n: usize| s.len() >= n && s.bytes().all(|b| b.is_ascii_digit());
    id.strip_prefix("CVE-")
        .and_then(|r| r.split_once('-'))
        .is_some_and(|(year, n)| year.len() == 4 && digits(year, 4) && digits(n, 4))
}

/// A score as CSAF 2.0 takes it: version 2.0, 3.0 or 3.1 with a complete vector of base metrics. Others stay in
/// the assessment.
fn score(c: &Cvss) -> Option<Value> {
    let number: Value = serde_json::from_str(&tenths(c.score_tenths)).ok()?;
    let base = |vector: &str, metrics: &[(&str, &str)]| {
        let parts: Vec<_> = vector.split('/').collect();
        parts.len() == metrics.len()
            && parts.iter().zip(metrics).all(|(p, (name, values))| {
                p.split_once(':')
                    .is_some_and(|(n, v)| n == *name && values.split(' ').any(|x| x == v))
            })
    };
    if c.version == "2.0" {
        let metrics = [
            ("AV", "N A L"),
            ("AC", "L M H"),
            ("Au", "M S N"),
            ("C", "N P C"),
            ("I", "N P C"),
            ("A", "N P C"),
        ];
        let fits = base(&c.vector, &metrics) && c.score_tenths <= 100;
        return fits.then(|| {
            json!({"cvss_v2": {"version": "2.0", "vectorString": c.vector, "baseScore": number}})
        });
    }
    let metrics = [
        ("AV", "N A L P"),
        ("AC", "L H"),
        ("PR", "N L H"),
        ("UI", "N R"),
        ("S", "U C"),
        ("C", "N L H"),
        ("I", "N L H"),
        ("A", "N L H"),
    ];
    let vector =
        c.vector.strip_prefix("CVSS:")?.strip_prefix(c.version.as_str())?.strip_prefix('/')?;
    let known = matches!(c.version.as_str(), "3.0" | "3.1");
    let severity = match c.score_tenths {
        0 => "NONE",
        1..40 => "LOW",
        40..70 => "MEDIUM",
        70..90 => "HIGH",
        90..=100 => "CRITICAL",
        _ => return None,
    };
    (known && base(vector, &metrics)).then(|| {
        json!({"cvss_v3": {
            "version": c.version,
            "vectorString": c.vector,
            "baseScore": number,
            "baseSeverity": severity,
        }})
    })
}

/// Reads a document of any CSAF 2.0 profile that carries product status.
pub(super) fn read(doc: &Value) -> Read {
    let mut out = Read::default();
    let products = products(&doc["product_tree"]);
    let groups: HashMap<&str, &[Value]> = list(&doc["product_tree"]["product_groups"])
        .iter()
        .filter_map(|g| Some((g["group_id"].as_str()?, list(&g["product_ids"]))))
        .collect();
    for (i, v) in list(&doc["vulnerabilities"]).iter().enumerate() {
        let Some(id) = v["cve"].as_str().or_else(|| v["ids"][0]["text"].as_str()) else {
            out.skipped.push(format!("vulnerabilities[{i}]: has neither a CVE nor another id"));
            continue;
        };
        // What a flag, a threat or a note says about a product.
        let concerns = |item: &Value, product: &str| {
            list(&item["product_ids"]).iter().any(|p| p == product)
                || list(&item["group_ids"])
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|g| groups.get(g).is_some_and(|all| all.iter().any(|p| p == product)))
        };
        for (name, status) in [
            ("known_not_affected", Status::NotAffected(Justification::Stated)),
            ("fixed", Status::Fixed),
            ("first_fixed", Status::Fixed),
            ("under_investigation", Status::UnderInvestigation),
            ("known_affected", Status::Affected),
            ("first_affected", Status::Affected),
            ("last_affected", Status::Affected),
        ] {
            for product in list(&v["product_status"][name]).iter().filter_map(Value::as_str) {
                let Some(known) = products.get(product) else {
                    out.skipped.push(format!(
                        "vulnerabilities[{i}] ({id}): product {product:?} has no package URL"
                    ));
                    continue;
                };
                let flag = list(&v["flags"]).iter().find(|f| concerns(f, product));
                let threat = list(&v["threats"])
                    .iter()
                    .find(|t| t["category"] == "impact" && concerns(t, product));
                let note = list(&v["notes"]).iter().find(|n| n["title"] == product);
                let detail = threat
                    .and_then(|t| t["details"].as_str())
                    .or_else(|| note.and_then(|n| n["text"].as_str()));
                let status = match (status, flag.and_then(|f| f["label"].as_str())) {
                    (Status::NotAffected(j), Some(label)) => {
                        Status::NotAffected(Justification::from_label(label).unwrap_or(j))
                    }
                    (status, _) => status,
                };
                out.statements.push(Statement {
                    vulnerability: id.to_owned(),
                    product: known.clone(),
                    status,
                    detail: detail.unwrap_or_default().to_owned(),
                });
            }
        }
    }
    out
}

/// Products with a package URL, by id: those of the lists and branches, and those that relationships make.
fn products(tree: &Value) -> HashMap<&str, Product> {
    let mut out = HashMap::new();
    let mut names: Vec<&Value> = list(&tree["full_product_names"]).iter().collect();
    let mut branches: Vec<&Value> = list(&tree["branches"]).iter().collect();
    while let Some(b) = branches.pop() {
        names.push(&b["product"]);
        branches.extend(list(&b["branches"]));
    }
    for p in names {
        let helper = &p["product_identification_helper"];
        let purl = helper["purl"].as_str().filter(|p| is_purl(p));
        let (Some(id), Some(purl)) = (p["product_id"].as_str(), purl) else { continue };
        let hashes = list(&helper["hashes"]).iter().flat_map(|h| list(&h["file_hashes"]));
        let content =
            hashes.filter(|h| h["algorithm"] == "sha256").find_map(|h| digest(&h["value"]));
        let cpe = helper["cpe"].as_str().map(Into::into);
        out.insert(id, Product { purl: purl.to_owned(), cpe, content });
    }
    for r in list(&tree["relationships"]) {
        let (Some(id), Some(of)) =
            (r["full_product_name"]["product_id"].as_str(), r["product_reference"].as_str())
        else {
            continue;
        };
        if let Some(p) = out.get(of).cloned() {
            out.insert(id, p);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_vectors_are_scores() {
        let cvss = |version: &str, score_tenths, vector: &str| Cvss {
            version: version.into(),
            score_tenths,
            vector: vector.into(),
        };
        let good = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
        assert_eq!(score(&cvss("3.1", 98, good)).unwrap()["cvss_v3"]["baseSeverity"], "CRITICAL");
        assert!(score(&cvss("2.0", 75, "AV:N/AC:L/Au:N/C:P/I:P/A:P")).is_some());
        for (version, tenths, vector) in [
            ("3.1", 98, "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"),
            ("3.1", 98, "CVSS:3.1/AV:N"),
            ("3.1", 101, good),
            ("4.0", 98, "CVSS:4.0/AV:N"),
            ("2.0", 75, "AV:N/AC:L/Au:N/C:P/I:P/A:X"),
        ] {
            assert!(score(&cvss(version, tenths, vector)).is_none(), "{vector}");
        }
    }

    #[test]
    fn cve_ids() {
        assert!(is_cve("CVE-2021-3711") && is_cve("CVE-2021-4237000"));
        for id in ["CVE-21-3711", "CVE-2021-371", "CVE-2021-37a1", "cve-2021-3711", "GHSA-x"] {
            assert!(!is_cve(id), "{id}");
        }
    }
}
