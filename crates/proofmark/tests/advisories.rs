//! `proofmark advisories` as a user meets it, without a network and without a database of one's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The program with a data folder of its own.
fn run(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proofmark"))
        .arg("advisories")
        .args(arguments)
        .env("XDG_DATA_HOME", home)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(home: &Path, what: &str) -> Value {
    let out = run(home, &["match", what, "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn ids(answer: &Value) -> Vec<&str> {
    let all = answer["matches"].as_array().unwrap().iter();
    all.filter(|m| m["dismissed"].is_null()).map(|m| m["id"].as_str().unwrap()).collect()
}

#[test]
fn one_component_in_every_way_it_can_be_named() {
    let home = tempfile::tempdir().unwrap();
    let by_name = json(home.path(), "dropbear 2019.78");
    assert!(ids(&by_name).contains(&"CVE-2020-36254"), "{by_name}");
    assert!(
        by_name["not_affected"].as_array().unwrap().iter().any(|n| n["id"] == "CVE-2018-15599")
    );
    let by_purl = json(home.path(), "pkg:generic/dropbear@2019.78");
    assert_eq!(ids(&by_name), ids(&by_purl));
    let documents = [
        r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"application","name":"dropbear","version":"2019.78"}]}"#,
        r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"dropbear","versionInfo":"2019.78"}]}"#,
    ];
    for document in documents {
        let file = home.path().join("bom.json");
        fs::write(&file, document).unwrap();
        let found = json(home.path(), file.to_str().unwrap());
        assert_eq!(ids(&by_name), ids(&found), "{document}");
        assert!(found["document"].is_string());
    }
    // The same answer in words, with its reasons.
    let out = text(&run(home.path(), &["match", "dropbear 2019.78"]).stdout);
    assert!(
        out.contains("CVE-2020-36254")
            && out.contains("before 2020.79")
            && out.contains("starter/nvd")
    );
}

#[test]
fn mistakes_are_one_sentence() {
    let home = tempfile::tempdir().unwrap();
    let out = run(home.path(), &["match", "nosuch.json"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("nosuch.json") && text(&out.stderr).contains("[E"));
    let file = home.path().join("bom.json");
    fs::write(&file, "{\"bomFormat\":\"CycloneDX\",").unwrap();
    let out = run(home.path(), &["match", file.to_str().unwrap()]);
    assert_eq!((out.status.code(), text(&out.stderr).trim().lines().count()), (Some(1), 1));
    // Nothing is concluded from a name that is not known, and the one that is near is said.
    let out = run(home.path(), &["match", "drpbear 2019.78"]);
    assert!(out.status.success());
    let said = text(&out.stdout);
    assert!(said.contains("matched 0") && said.contains("dropbear is known"), "{said}");
}

#[test]
fn status_without_a_database_says_what_is_built_in_and_how_old_it_is() {
    let home = tempfile::tempdir().unwrap();
    let out = run(home.path(), &["status", "--as-of", "2030-01-01"]);
    assert!(out.status.success());
    let said = text(&out.stdout);
    assert!(said.contains("starter database") && said.contains("starter/nvd"), "{said}");
    assert!(said.contains("STALE") && !said.contains("fresh"), "{said}");
}

#[test]
fn an_imported_record_answers_at_once_and_bad_files_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    let record = r#"{"dataType":"CVE_RECORD","cveMetadata":{"cveId":"CVE-2031-0001","state":"PUBLISHED","datePublished":"2031-01-01T00:00:00Z"},"containers":{"cna":{"affected":[{"vendor":"thekelleys","product":"dnsmasq","defaultStatus":"unaffected","versions":[{"version":"2.80","lessThan":"2.95","status":"affected","versionType":"custom"}]}]}}}"#;
    let file = home.path().join("record.json");
    fs::write(&file, record).unwrap();
    assert!(run(home.path(), &["import", file.to_str().unwrap()]).status.success());
    assert!(ids(&json(home.path(), "dnsmasq 2.90")).contains(&"CVE-2031-0001"));
    assert!(!ids(&json(home.path(), "dnsmasq 2.95")).contains(&"CVE-2031-0001"));
    let before = fs::read(home.path().join("proofmark/advisories.db")).unwrap();
    fs::write(&file, "{\"dataType\":\"CVE_REC").unwrap();
    assert_ne!(run(home.path(), &["import", file.to_str().unwrap()]).status.code(), Some(0));
    assert_eq!(before, fs::read(home.path().join("proofmark/advisories.db")).unwrap());
}
