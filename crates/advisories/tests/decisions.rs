//! Decisions hold where the same bytes are, and nowhere else.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;

use proofmark_advisories::decisions::{Applied, Bound, Contents, Decision, Ruling, apply, export};
use proofmark_model::{Digest, Dismissal, Evidence, Grade, Locator, Vulnerability};

fn vulnerability(id: &str) -> Vulnerability {
    Vulnerability {
        id: id.into(),
        component: support::component("busybox", "1.35.0"),
        grade: Grade::Version,
        dismissed: None,
        reasons: vec!["NVD".into()],
        cvss: None,
        epss_ppm: None,
        known_exploited: false,
        evidence: Evidence::one("image.bin:squashfs/bin/busybox".parse::<Locator>().unwrap()),
        source: "nvd".into(),
    }
}

fn content(bytes: &[u8]) -> Bound {
    Bound::Content(Digest::of(bytes))
}

fn contents(id: &str, all: &[&[u8]]) -> Contents {
    let mut out = Contents::default();
    all.iter().for_each(|b| out.add(id, "busybox", content(b)));
    out
}

fn decision(bound: &[Bound], ruling: Ruling) -> Decision {
    Decision {
        vulnerability: "CVE-1".into(),
        component: "busybox".into(),
        bound: bound.iter().cloned().collect(),
        ruling,
        detail: "applet disabled".into(),
        origin: "doc-1, PSIRT".into(),
    }
}

const NO: Ruling = Ruling::NotAffected(Dismissal::VulnerableCodeNotPresent);

#[test]
fn a_decision_carries_over_with_the_bytes_and_expires_without() {
    let mut same = [vulnerability("CVE-1")];
    let d = [decision(&[content(b"bb")], NO)];
    let applied = apply(&mut same, &contents("CVE-1", &[b"bb"]), &d);
    assert_eq!(applied, Applied { carried: vec![0], ..Applied::default() });
    assert_eq!(same[0].dismissed, Some(Dismissal::VulnerableCodeNotPresent));
    let again = same.clone();
    apply(&mut same, &contents("CVE-1", &[b"bb"]), &d);
    assert_eq!(same, again, "applied twice is applied once");
    let mut other = [vulnerability("CVE-1")];
    let applied = apply(&mut other, &contents("CVE-1", &[b"new"]), &d);
    assert_eq!(applied.expired, [0]);
    assert_eq!(other[0].dismissed, None);
}

#[test]
fn a_decision_about_one_copy_does_not_dismiss_another() {
    let mut two = [vulnerability("CVE-1")];
    let applied =
        apply(&mut two, &contents("CVE-1", &[b"a", b"b"]), &[decision(&[content(b"a")], NO)]);
    assert_eq!((two[0].dismissed, applied.expired.as_slice()), (None, &[0][..]));
    assert!(two[0].reasons.iter().any(|r| r.contains("1 of 2")), "{two:?}");
    let both = [decision(&[content(b"a")], NO), decision(&[content(b"b")], NO)];
    apply(&mut two, &contents("CVE-1", &[b"a", b"b"]), &both);
    assert!(two[0].dismissed.is_some());
}

#[test]
fn a_function_binds_as_well_and_contradictions_hold_nothing() {
    let f = Bound::Function("fp:1234".into());
    let mut place = Contents::default();
    place.add("CVE-1", "busybox", f.clone());
    let mut v = [vulnerability("CVE-1")];
    apply(&mut v, &place, &[decision(std::slice::from_ref(&f), Ruling::Affected)]);
    assert_eq!((v[0].grade, v[0].dismissed), (Grade::Present, None));
    let mut v = [vulnerability("CVE-1")];
    let against = [decision(std::slice::from_ref(&f), Ruling::Affected), decision(&[f], NO)];
    let applied = apply(&mut v, &place, &against);
    assert_eq!((applied.contradicted.as_slice(), v[0].dismissed), (&[0, 1][..], None));
}

#[test]
fn exported_and_imported_decisions_give_the_same_verdicts() {
    let mut place = contents("CVE-1", &[b"a", b"b"]);
    place.add("CVE-2", "busybox", content(b"a"));
    place.add("CVE-3", "busybox", content(b"a"));
    let fresh = || [vulnerability("CVE-1"), vulnerability("CVE-2"), vulnerability("CVE-3")];
    let mut first = fresh();
    first[0].dismissed = Some(Dismissal::InlineMitigationsAlreadyExist);
    first[1].grade = Grade::Present;
    let text = serde_json::to_string(&export(&first, &place, "doc-1")).unwrap();
    let read: Vec<Decision> = serde_json::from_str(&text).unwrap();
    let mut second = fresh();
    let applied = apply(&mut second, &place, &read);
    assert_eq!(applied.carried, [0, 1, 2]);
    for (a, b) in first.iter().zip(&second) {
        assert_eq!((a.grade, a.dismissed), (b.grade, b.dismissed), "{}", a.id);
    }
    let bound: BTreeSet<_> = read.iter().flat_map(|d| d.bound.clone()).collect();
    assert_eq!(bound.len(), 2);
}
