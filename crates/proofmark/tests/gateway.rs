//! The sample gateway, from its sources to the verdicts: everything planted is found, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, process::Command};

use proofmark_model::{Assessment, Verdict};

/// Runs a command and fails with what it said.
fn ok(command: &mut Command) {
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success(),
        "{command:?}: {said} (Debian packages: gcc openssl openssh-client squashfs-tools)"
    );
}

#[test]
fn exactly_the_planted_weaknesses_fail() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/gateway");
    let dir = tempfile::tempdir().unwrap();
    let (image, out) = (dir.path().join("gateway.img"), dir.path().join("out"));
    ok(Command::new("sh").arg(format!("{samples}/build.sh")).arg(&image));
    ok(Command::new(env!("CARGO_BIN_EXE_proofmark"))
        .args(["assay", "--no-cache", "--out"])
        .args([&out, &image]));
    let a: Assessment =
        serde_json::from_slice(&fs::read(out.join("assessment.json")).unwrap()).unwrap();
    let planted: BTreeSet<String> = fs::read_to_string(format!("{samples}/planted.tsv"))
        .unwrap()
        .lines()
        .skip(1)
        .map(|l| l.rsplit_once('\t').unwrap().0.replace('\t', " /").replace("//", "/"))
        .collect();
    let seen: BTreeSet<String> = a
        .judgements
        .iter()
        .filter(|j| j.verdict == Verdict::Fail)
        .flat_map(|j| j.findings.iter())
        .map(|f| format!("{} /{}", f.rule, f.evidence.first().path()))
        .collect();
    assert_eq!(seen, planted);
    assert_eq!(a.coverage.opaque, 0, "every byte of it is understood or padding");
    ok(Command::new("sh").arg(format!("{samples}/check.sh")).arg(out.join("findings.csv")));
}
