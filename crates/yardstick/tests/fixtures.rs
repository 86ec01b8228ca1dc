//! Every requirement against its cases: all four verdicts, or why one cannot come about.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{build, cases, catalogues, home};
use proofmark_model::{Strength, Verdict};

fn name(v: Verdict) -> String {
    serde_json::to_value(v).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn every_case_has_its_verdict() {
    let all = catalogues();
    let mut wrong = Vec::new();
    for case in cases() {
        let world = build(&case);
        let j = world.judge(home(&all, &case.requirement), &case.requirement);
        if j.verdict != case.is {
            wrong.push(format!(
                "{} ({}): {} instead of {}: {}",
                case.requirement,
                case.why,
                name(j.verdict),
                name(case.is),
                j.reason
            ));
            continue;
        }
        assert!(!j.reason.is_empty(), "{}", case.requirement);
        assert_eq!(j.question.is_some(), j.verdict == Verdict::Inconclusive);
        match j.verdict {
            Verdict::Fail => {
                assert!(!j.findings.is_empty());
                for f in &j.findings {
                    assert_eq!(f.severity, j.requirement.severity);
                    assert_eq!(f.strength, Strength::Observed);
                    assert!(f.content.is_some(), "{f:?}");
                    assert!(f.id.starts_with(&case.requirement) && f.remedy.is_some());
                    assert!(!f.message.contains("not recorded"), "{}", f.message);
                }
            }
            Verdict::Pass | Verdict::NotApplicable => assert!(j.findings.is_empty()),
            Verdict::Inconclusive => {
                for f in &j.findings {
                    assert!(!f.message.is_empty() && !f.message.contains("is not recorded) "));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Each verdict of each requirement is shown by a case, or declared impossible; the ones declared impossible
/// never come about. An image that could not be read counts as a case for inconclusive where something is
/// needed.
#[test]
fn all_four_verdicts_are_shown() {
    let all = catalogues();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for case in cases() {
        let catalogue = home(&all, &case.requirement);
        let rule = catalogue.rule(&case.requirement).unwrap();
        let verdicts = seen.entry(case.requirement.clone()).or_default();
        verdicts.insert(name(case.is));
        if !rule.entry.needs.is_empty() && case.is != Verdict::Fail {
            verdicts.insert(name(Verdict::Inconclusive));
        }
    }
    let mut missing = Vec::new();
    for catalogue in &all {
        for rule in &catalogue.requirements {
            let id = rule.entry.id.get_ref();
            let have = seen.get(id).cloned().unwrap_or_default();
            for verdict in ["fail", "inconclusive", "pass", "not-applicable"] {
                match (have.contains(verdict), rule.entry.impossible.contains_key(verdict)) {
                    (false, false) => missing.push(format!("{id}: no case for {verdict}")),
                    (true, true) => missing.push(format!("{id}: {verdict} is declared impossible")),
                    _ => {}
                }
            }
            for key in rule.entry.impossible.keys() {
                assert!(["fail", "inconclusive", "pass", "not-applicable"].contains(&key.as_str()));
            }
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

/// What could not be read never helps: no pass and no not-applicable survives it, and no fail is lost.
#[test]
fn absence_of_evidence_is_never_a_pass() {
    let all = catalogues();
    for case in cases() {
        let catalogue = home(&all, &case.requirement);
        let rule = catalogue.rule(&case.requirement).unwrap();
        if rule.entry.needs.is_empty() {
            continue;
        }
        let mut world = build(&case);
        world.make_opaque(1 << 20);
        world.make_incomplete();
        world.feeds.clear();
        let j = world.judge(catalogue, &case.requirement);
        let expected = match case.is {
            // A signature could lie in the opaque bytes.
            Verdict::Fail if case.requirement != "UPD-01" => Verdict::Fail,
            _ => Verdict::Inconclusive,
        };
        assert_eq!(j.verdict, expected, "{} ({}): {}", case.requirement, case.why, j.reason);
    }
}

/// Without any evidence nothing passes by itself but what says so, and nothing fails.
#[test]
fn nothing_is_said_of_nothing() {
    let all = catalogues();
    let mut case = cases().remove(0);
    case.facts.clear();
    case.root = false;
    case.feeds = false;
    let world = build(&case);
    for catalogue in &all {
        for j in proofmark_yardstick::evaluate(&[catalogue], &world.evidence()) {
            assert_ne!(j.verdict, Verdict::Fail, "{}", j.requirement.id);
            assert_ne!(j.verdict, Verdict::Pass, "{}: {}", j.requirement.id, j.reason);
        }
    }
}

/// Shares: a fail needs more than the tolerated share, and the tolerated ones are told.
#[test]
fn shares_are_told() {
    let all = catalogues();
    let case =
        cases().into_iter().find(|c| c.requirement == "MEM-01" && c.is == Verdict::Pass).unwrap();
    let j = build(&case).judge(home(&all, "MEM-01"), "MEM-01");
    assert!(j.reason.contains("share: 1."), "{}", j.reason);
    // The stricter yardstick tolerates none.
    let strict = all.iter().find(|c| c.id == "hardening").unwrap();
    assert_eq!(build(&case).judge(strict, "MEM-01").verdict, Verdict::Fail);
}

/// Two yardsticks at once: both are applied, and each judgement says whose it is.
#[test]
fn several_yardsticks_at_once() {
    let all = catalogues();
    let world = build(&cases()[0]);
    let refs: Vec<_> = all.iter().collect();
    let judgements = proofmark_yardstick::evaluate(&refs, &world.evidence());
    let of = |id: &str| judgements.iter().filter(|j| j.requirement.yardstick == id).count();
    assert!(of("baseline") >= 50 && of("hardening") >= 10);
    assert_eq!(judgements.len(), of("baseline") + of("hardening"));
    assert_eq!(judgements, proofmark_yardstick::evaluate(&refs, &world.evidence()));
}

/// Another file name of the image, another order of checks: the reasons name the bytes that are missing.
#[test]
fn shortfalls_name_their_ranges() {
    let all = catalogues();
    let case =
        cases().into_iter().find(|c| c.requirement == "SVC-02" && c.is == Verdict::Pass).unwrap();
    let mut world = build(&case);
    world.make_opaque(1 << 20);
    let j = world.judge(home(&all, "SVC-02"), "SVC-02");
    assert_eq!(j.verdict, Verdict::Inconclusive);
    assert!(
        j.reason.contains("test.img@0x100000:gap (1048576 bytes, looks encrypted)"),
        "{}",
        j.reason
    );
    // Too small to hide what is looked for.
    let mut world = build(&case);
    world.make_opaque(128);
    assert_eq!(world.judge(home(&all, "SVC-02"), "SVC-02").verdict, Verdict::Pass);
}
