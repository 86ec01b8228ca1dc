//! SPDX and VEX: what is written follows the schemas, and what is read is what was written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use proofmark_model::Digest;
use proofmark_report::{
    Issue, newest_entry, spdx,
    vex::{self, Justification, ReadError, Statement, Status, csaf, cyclonedx, openvex},
};
use serde_json::{Value, json};
use support::{empty, errors, sample, validate, validate_cyclonedx};

const ISSUE: Issue<'_> = Issue {
    author: "Example Laboratory",
    namespace: "https://example.org/",
    moment: 1_553_774_400,
};

const CVSS: [(&str, &str); 3] = [
    ("https://www.first.org/cvss/cvss-v2.0.json", "cvss-v2.0.json"),
    ("https://www.first.org/cvss/cvss-v3.0.json", "cvss-v3.0.json"),
    ("https://www.first.org/cvss/cvss-v3.1.json", "cvss-v3.1.json"),
];

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn csaf_follows_its_schema() {
    for a in [sample::assessment(), sample::hostile()] {
        validate(&csaf::write(&a, &ISSUE).unwrap(), "csaf_2.0_json_schema.json", &CVSS);
    }
    let broken = csaf::write(&sample::assessment(), &ISSUE).unwrap().replace("csaf_version", "v");
    assert!(!errors(&broken, "csaf_2.0_json_schema.json", &CVSS).is_empty());
}

/// The mandatory tests of CSAF 2.0 (section 6.1) and the rules of its VEX profile (4.5) that a schema cannot
/// express and that concern what is written here.
#[test]
fn csaf_follows_the_rules_beyond_its_schema() {
    for a in [sample::assessment(), sample::hostile()] {
        let doc = parse(&csaf::write(&a, &ISSUE).unwrap());
        let tree = &doc["product_tree"];
        let mut ids: Vec<&str> = tree["full_product_names"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| &p["product_id"])
            .chain(
                tree["relationships"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|r| &r["full_product_name"]["product_id"]),
            )
            .map(|id| id.as_str().unwrap())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "6.1.2: a product id is defined once");
        for v in doc["vulnerabilities"].as_array().unwrap() {
            let status = v["product_status"].as_object().unwrap();
            let mut spoken: Vec<&str> = status
                .values()
                .flat_map(|l| l.as_array().unwrap())
                .map(|p| p.as_str().unwrap())
                .collect();
            let count = spoken.len();
            spoken.sort_unstable();
            spoken.dedup();
            assert_eq!(spoken.len(), count, "6.1.6: one product, one status");
            assert!(spoken.iter().all(|p| ids.binary_search(p).is_ok()), "6.1.1: defined");
            let said = |list: &str, product: &Value| {
                v[list].as_array().is_some_and(|all| {
                    all.iter().any(|x| x["product_ids"].as_array().unwrap().contains(product))
                })
            };
            for p in
                status.get("known_not_affected").and_then(Value::as_array).into_iter().flatten()
            {
                assert!(said("flags", p) || said("threats", p), "4.5: an impact statement");
            }
            for p in status.get("known_affected").and_then(Value::as_array).into_iter().flatten() {
                assert!(said("remediations", p), "4.5: an action statement");
            }
            assert!(v["notes"].is_array() && (v["cve"].is_string() || v["ids"].is_array()));
        }
    }
}

#[test]
fn cyclonedx_vex_follows_its_schema() {
    for a in [sample::assessment(), sample::hostile(), empty()] {
        validate_cyclonedx(&cyclonedx::write(&a));
    }
}

/// The rules of OpenVEX 0.2.0, as its specification states them.
#[test]
fn openvex_follows_its_specification() {
    for a in [sample::assessment(), sample::hostile()] {
        let doc = parse(&openvex::write(&a, &ISSUE).unwrap());
        let fields: Vec<&String> = doc.as_object().unwrap().keys().collect();
        let known = ["@context", "@id", "author", "statements", "timestamp", "tooling", "version"];
        assert_eq!(fields, known);
        assert_eq!(doc["@context"], "https://openvex.dev/ns/v0.2.0");
        assert_eq!(doc["timestamp"], "2019-03-28T12:00:00Z");
        let statements = doc["statements"].as_array().unwrap();
        for (i, s) in statements.iter().enumerate() {
            assert!(!statements[..i].contains(s), "statements are unique");
            assert!(s["vulnerability"]["name"].is_string());
            let has = |k: &str| s.get(k).is_some();
            match s["status"].as_str().unwrap() {
                "not_affected" => assert!(has("justification") != has("impact_statement"), "{s}"),
                "affected" => assert!(has("action_statement"), "{s}"),
                "fixed" | "under_investigation" => {}
                other => panic!("{other}"),
            }
            if let Some(j) = s["justification"].as_str() {
                assert!(
                    [
                        "component_not_present",
                        "vulnerable_code_not_present",
                        "vulnerable_code_not_in_execute_path",
                        "vulnerable_code_cannot_be_controlled_by_adversary",
                        "inline_mitigations_already_exist"
                    ]
                    .contains(&j)
                );
            }
        }
    }
}

fn written(a: &proofmark_model::Assessment) -> [(&'static str, String); 3] {
    [
        ("OpenVEX", openvex::write(a, &ISSUE).unwrap()),
        ("CycloneDX", cyclonedx::write(a)),
        ("CSAF", csaf::write(a, &ISSUE).unwrap()),
    ]
}

#[test]
fn what_is_read_is_what_was_written() {
    for a in [sample::assessment(), sample::hostile()] {
        let expected = vex::statements(&a);
        for (format, text) in written(&a) {
            let read = vex::read(&text).unwrap();
            assert_eq!(read.skipped, Vec::<String>::new(), "{format}");
            assert_eq!(read.statements, expected, "{format}");
        }
    }
}

#[test]
fn statements_say_what_the_grades_say() {
    let all = vex::statements(&sample::assessment());
    let find = |id: &str| all.iter().find(|s| s.vulnerability == id).unwrap();
    assert_eq!(find("CVE-2020-25681").status, Status::Affected);
    assert_eq!(find("CVE-2018-25032").status, Status::UnderInvestigation);
    assert_eq!(
        find("CVE-2019-16275").status,
        Status::NotAffected(Justification::VulnerableCodeNotPresent)
    );
    assert_eq!(find("CVE-2021-42371").status, Status::Fixed);
    // Bound to the bytes of the file, not to a name alone.
    assert_eq!(find("CVE-2020-25681").product.content, Some(Digest::of(b"usr/sbin/dnsmasq")));
}

#[test]
fn the_graver_of_two_stands() {
    let mut a = sample::assessment();
    let mut twin = a.vulnerabilities[0].clone();
    twin.dismissed = Some(proofmark_model::Dismissal::ComponentNotPresent);
    a.vulnerabilities.push(twin);
    let all = vex::statements(&a);
    let same: Vec<&Statement> =
        all.iter().filter(|s| s.vulnerability == "CVE-2020-25681").collect();
    assert_eq!(same.len(), 1);
    assert_eq!(same[0].status, Status::Affected);
}

#[test]
fn other_peoples_documents_are_read() {
    let openvex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "statements": [
            {"vulnerability": {"name": "CVE-2020-0001"}, "products": [{"@id": "pkg:apk/alpine/git@2.38.1-r0"}],
             "status": "not_affected", "justification": "inline_mitigations_already_exist"},
            {"vulnerability": "CVE-2020-0002", "products": ["pkg:deb/debian/git@2.30"], "status": "fixed"},
            {"vulnerability": {"name": "CVE-2020-0003"}, "status": "affected"},
            {"status": "fixed"},
            {"vulnerability": {"name": "CVE-2020-0004"}, "products": [{"@id": "pkg:a/b"}], "status": "perhaps"},
        ],
    });
    let read = vex::read(&openvex.to_string()).unwrap();
    assert_eq!(read.statements.len(), 2);
    assert_eq!(read.statements[1].product.purl, "pkg:deb/debian/git@2.30");
    assert_eq!(read.skipped.len(), 3, "{:?}", read.skipped);

    let csaf = json!({
        "document": {"csaf_version": "2.0"},
        "product_tree": {
            "branches": [{"branches": [{"product": {"product_id": "P1", "name": "git",
                "product_identification_helper": {"purl": "pkg:rpm/redhat/git@2.31"}}}]}],
            "product_groups": [{"group_id": "G", "product_ids": ["P1", "P2"]}],
        },
        "vulnerabilities": [{
            "cve": "CVE-2020-0001",
            "flags": [{"label": "component_not_present", "group_ids": ["G"]}],
            "product_status": {"known_not_affected": ["P1", "P2"]},
        }],
    });
    let read = vex::read(&csaf.to_string()).unwrap();
    assert_eq!(read.statements[0].status, Status::NotAffected(Justification::ComponentNotPresent));
    assert_eq!((read.statements.len(), read.skipped.len()), (1, 1));

    let cdx = json!({
        "bomFormat": "CycloneDX",
        "components": [{"components": [{"bom-ref": "a", "purl": "pkg:npm/left-pad@1.3.0"}]}],
        "vulnerabilities": [
            {"id": "CVE-2020-0001", "affects": [{"ref": "a"}], "analysis": {"state": "exploitable"}},
            {"id": "CVE-2020-0002", "affects": [{"ref": "a"}],
             "analysis": {"state": "not_affected", "justification": "code_not_reachable"}},
            {"id": "CVE-2020-0003", "affects": [{"ref": "b"}], "analysis": {"state": "in_triage"}},
            {"id": "CVE-2020-0004", "affects": [{"ref": "a"}]},
        ],
    });
    let read = vex::read(&cdx.to_string()).unwrap();
    assert_eq!(read.statements.len(), 2);
    assert_eq!(
        read.statements[1].status,
        Status::NotAffected(Justification::VulnerableCodeNotInExecutePath)
    );
    assert_eq!(read.skipped.len(), 2, "{:?}", read.skipped);
}

#[test]
fn bad_documents_are_refused_or_reported() {
    assert!(matches!(vex::read("{"), Err(ReadError::NotJson(_))));
    assert!(matches!(vex::read(&"[".repeat(100_000)), Err(ReadError::NotJson(_))));
    for text in ["null", "[]", "{}", "{\"bomFormat\": 3}", "{\"document\": []}"] {
        assert_eq!(vex::read(text), Err(ReadError::UnknownFormat), "{text}");
    }
    // Every value of every document replaced by something else: read or reported, never a panic.
    for (_, text) in written(&sample::assessment()) {
        let doc = parse(&text);
        let mut pointers = Vec::new();
        walk(&doc, String::new(), &mut pointers);
        let step = pointers.len() / 60 + 1;
        for pointer in pointers.iter().step_by(step) {
            for other in [json!(null), json!([]), json!({}), json!(7), json!("x")] {
                let mut bad = doc.clone();
                *bad.pointer_mut(pointer).unwrap() = other;
                let _ = vex::read(&bad.to_string());
            }
        }
    }
}

fn walk(v: &Value, at: String, out: &mut Vec<String>) {
    let each = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match v {
        Value::Object(m) => m.iter().for_each(|(k, x)| walk(x, each(k), out)),
        Value::Array(l) => {
            l.iter().enumerate().for_each(|(i, x)| walk(x, each(&i.to_string()), out))
        }
        _ => {}
    }
    out.push(at);
}

#[test]
fn without_vulnerabilities_there_is_nothing_to_say() {
    assert_eq!(openvex::write(&empty(), &ISSUE), None);
    assert_eq!(csaf::write(&empty(), &ISSUE), None);
    assert_eq!(vex::read(&cyclonedx::write(&empty())).unwrap().statements, []);
}

/// What SPDX 2.3 asks of a JSON document, as its specification states it (clauses 6, 7 and 11).
#[test]
fn spdx_follows_its_specification() {
    for a in [sample::assessment(), sample::hostile(), empty()] {
        let doc = parse(&spdx(&a, &ISSUE));
        assert_eq!(doc["spdxVersion"], "SPDX-2.3");
        assert_eq!(doc["dataLicense"], "CC0-1.0");
        assert_eq!(doc["SPDXID"], "SPDXRef-DOCUMENT");
        assert_eq!(doc["creationInfo"]["created"], "2019-03-28T12:00:00Z");
        let namespace = doc["documentNamespace"].as_str().unwrap();
        assert!(namespace.starts_with("https://example.org/spdx/") && !namespace.contains('#'));
        let packages = doc["packages"].as_array().unwrap();
        let mut ids = Vec::new();
        for p in packages {
            let id = p["SPDXID"].as_str().unwrap();
            let rest = id.strip_prefix("SPDXRef-").unwrap();
            assert!(rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b)), "{id}");
            assert!(!ids.contains(&id), "{id} twice");
            ids.push(id);
            assert!(p["name"].is_string() && p["downloadLocation"].is_string());
            for r in p["externalRefs"].as_array().into_iter().flatten() {
                let locator = r["referenceLocator"].as_str().unwrap();
                assert!(!locator.contains(char::is_whitespace), "{locator}");
            }
        }
        for r in doc["relationships"].as_array().unwrap() {
            let other = r["relatedSpdxElement"].as_str().unwrap();
            assert!(ids.contains(&other), "{other}");
        }
        assert_eq!(doc["relationships"][0]["relationshipType"], "DESCRIBES");
    }
}

#[test]
fn the_date_of_an_image_is_that_of_its_newest_entry() {
    assert_eq!(newest_entry(&sample::assessment()), Some(1_553_774_400));
    assert_eq!(newest_entry(&empty()), None);
}
