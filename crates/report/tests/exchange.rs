//! What other programs read: SARIF, CycloneDX, CSV, JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use proofmark_model::{Assessment, Verdict};
use proofmark_report::{csv, cyclonedx, json, sarif};
use serde_json::Value;
use support::{empty, errors, sample, validate, validate_cyclonedx};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn sarif_follows_its_schema() {
    for a in [sample::assessment(), sample::hostile(), empty()] {
        validate(&sarif(&a), "sarif-2.1.0.json", &[]);
    }
}

#[test]
fn the_sarif_check_can_fail() {
    let broken = sarif(&sample::assessment()).replace("\"kind\":\"open\"", "\"kind\":\"maybe\"");
    assert!(!errors(&broken, "sarif-2.1.0.json", &[]).is_empty());
}

#[test]
fn sarif_leads_from_the_result_to_the_bytes() {
    let a = sample::assessment();
    let log = parse(&sarif(&a));
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let find = |id: &str| results.iter().find(|r| r["ruleId"] == id).unwrap();

    let fail = find("ACC-01");
    assert_eq!((fail["kind"].as_str(), fail["level"].as_str()), (Some("fail"), Some("error")));
    let physical = &fail["locations"][0]["physicalLocation"];
    assert_eq!(physical["region"]["byteOffset"], 0);
    assert_eq!(physical["region"]["byteLength"], 0x2f);
    // shadow, in the squashfs at its offset, in the image.
    let artifacts = run["artifacts"].as_array().unwrap();
    let leaf = &artifacts[physical["artifactLocation"]["index"].as_u64().unwrap() as usize];
    assert_eq!(leaf["location"]["uri"], "/etc/shadow");
    let region = &artifacts[leaf["parentIndex"].as_u64().unwrap() as usize];
    assert_eq!(region["offset"], 0x3c_0000);
    let image = &artifacts[region["parentIndex"].as_u64().unwrap() as usize];
    assert_eq!(image["location"]["uri"], "gateway-2.4.1.img");
    let finding = &a.judgements[0].findings[0];
    assert_eq!(fail["partialFingerprints"]["proofmark/v1"], finding.id.as_str());
    assert_eq!(
        fail["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
        finding.evidence.first().to_string()
    );

    assert_eq!(find("SVC-06")["kind"], "open");
    assert_eq!(find("ACC-02")["kind"], "pass");
    assert_eq!(find("UPD-05")["kind"], "notApplicable");
    assert_eq!(find("CVE-2020-25681")["kind"], "fail");
    assert_eq!(find("CVE-2018-25032")["kind"], "review");
    assert_eq!(find("CVE-2019-16275")["kind"], "notApplicable");
    for r in results {
        let rule = &run["tool"]["driver"]["rules"][r["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], r["ruleId"]);
    }
}

#[test]
fn cyclonedx_follows_its_schema() {
    for a in [sample::assessment(), sample::hostile(), empty()] {
        validate_cyclonedx(&cyclonedx(&a));
    }
}

#[test]
fn cyclonedx_says_what_was_seen_and_no_more() {
    let bom = parse(&cyclonedx(&sample::assessment()));
    let components = bom["components"].as_array().unwrap();
    let named = |n: &str| components.iter().filter(|c| c["name"] == n).collect::<Vec<_>>();

    // A package and what was recognised in its file are one component, with both versions.
    let openssl = named("openssl");
    assert_eq!(openssl.len(), 1, "{openssl:?}");
    assert_eq!(openssl[0]["version"], "1.1.1k-1");
    assert!(openssl[0]["properties"].to_string().contains("\"1.1.1k\""));
    assert_eq!(openssl[0]["cpe"], "cpe:2.3:a:openssl:openssl:1.1.1k:*:*:*:*:*:*:*");
    assert_eq!(openssl[0]["evidence"]["occurrences"].as_array().unwrap().len(), 2);
    // A static copy of another version is a component of its own.
    assert_eq!(named("zlib").len(), 2);
    // A name in a text is no component.
    assert!(named("wget").is_empty());
    // The kernel is there although no rule named it.
    assert_eq!(named("linux")[0]["type"], "operating-system");

    let mut refs: Vec<_> = components.iter().map(|c| c["bom-ref"].as_str().unwrap()).collect();
    refs.sort_unstable();
    refs.dedup();
    assert_eq!(refs.len(), components.len(), "references are unique");
    assert_eq!(bom["metadata"]["timestamp"], Value::Null);
}

#[test]
fn identifiers_follow_the_image_alone() {
    let a = sample::assessment();
    let serial = |a: &Assessment| parse(&cyclonedx(a))["serialNumber"].clone();
    let mut other = a.clone();
    other.judgements.clear();
    assert_eq!(serial(&a), serial(&other));
    other.image.sha256 = proofmark_model::Digest::of(b"another image");
    assert_ne!(serial(&a), serial(&other));
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    let (a, b) = (sample::assessment(), sample::assessment());
    assert_eq!(sarif(&a), sarif(&b));
    assert_eq!(cyclonedx(&a), cyclonedx(&b));
    assert_eq!(csv::findings(&a), csv::findings(&b));
    assert_eq!(csv::components(&a), csv::components(&b));
}

/// A reader of RFC 4180.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(!quoted && row.is_empty() && cell.is_empty(), "the table ends with a line");
    rows
}

#[test]
fn tables_are_rectangular_and_hold_every_finding() {
    for a in [sample::assessment(), sample::hostile(), empty()] {
        let findings = read_csv(&csv::findings(&a));
        let expected: usize = a.judgements.iter().map(|j| j.findings.len().max(1)).sum();
        assert_eq!(findings.len(), expected + 1);
        for table in [findings, read_csv(&csv::components(&a))] {
            assert!(table.iter().all(|r| r.len() == table[0].len()));
            for cell in table.iter().flatten() {
                assert!(!cell.starts_with(['=', '+', '-', '@']), "a formula: {cell:?}");
            }
        }
    }
}

#[test]
fn the_document_reads_back() {
    for a in [sample::assessment(), empty()] {
        for layout in [json::Layout::Pretty, json::Layout::Compact] {
            let mut bytes = Vec::new();
            json::write(&a, layout, &mut bytes).unwrap();
            let back: Assessment = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(back, a);
            let mut again = Vec::new();
            json::write(&back, layout, &mut again).unwrap();
            assert!(bytes == again, "{layout:?} is not stable");
        }
    }
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let e = json::write(&sample::assessment(), json::Layout::Pretty, Full).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn every_requirement_is_in_sarif() {
    let a = sample::assessment();
    let log = parse(&sarif(&a));
    let kinds = |kind: &str| {
        let all = log["runs"][0]["results"].as_array().unwrap();
        all.iter().filter(|r| r["kind"] == kind && !r["ruleId"].to_string().contains("CVE")).count()
    };
    let findings: usize = a.judgements.iter().map(|j| j.findings.len()).sum();
    let count = |v| a.judgements.iter().filter(|j| j.verdict == v).count();
    assert_eq!(kinds("fail"), findings);
    assert_eq!(kinds("open"), count(Verdict::Inconclusive));
    assert_eq!(kinds("pass"), count(Verdict::Pass));
    assert_eq!(kinds("notApplicable"), count(Verdict::NotApplicable));
}

#[test]
fn the_document_follows_its_published_schema() {
    let schema = "../../../../docs/schema/assessment-1.0.json";
    for a in [sample::assessment(), sample::hostile(), empty()] {
        let mut bytes = Vec::new();
        json::write(&a, json::Layout::Compact, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(errors(&text, schema, &[]), Vec::<String>::new());
        let broken = text.replacen("\"schema\":", "\"shema\":", 1);
        assert!(!errors(&broken, schema, &[]).is_empty());
    }
}
