//! Counts and orders that more than one view shows.

use std::cmp::Reverse;

use proofmark_model::{
    Assessment, Dismissal, Fact, Finding, Grade, Judgement, Severity, Strength, Tri, Verdict,
    Vulnerability, fact::Executable,
};

/// Number of requirements per verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Shown to be violated.
    pub fail: u64,
    /// Not decided by the image alone.
    pub inconclusive: u64,
    /// Shown to hold.
    pub pass: u64,
    /// Precondition absent.
    pub not_applicable: u64,
}

impl Counts {
    fn add(&mut self, v: Verdict) {
        match v {
            Verdict::Fail => self.fail += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
            Verdict::Pass => self.pass += 1,
            Verdict::NotApplicable => self.not_applicable += 1,
        }
    }

    /// Requirements applied.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.fail + self.inconclusive + self.pass + self.not_applicable
    }

    /// Requirements with this verdict.
    #[must_use]
    pub fn of(&self, v: Verdict) -> u64 {
        match v {
            Verdict::Fail => self.fail,
            Verdict::Inconclusive => self.inconclusive,
            Verdict::Pass => self.pass,
            Verdict::NotApplicable => self.not_applicable,
        }
    }
}

/// Verdicts over all requirements.
#[must_use]
pub fn counts(a: &Assessment) -> Counts {
    let mut c = Counts::default();
    a.judgements.iter().for_each(|j| c.add(j.verdict));
    c
}

/// Verdicts per group, groups in the order of the catalogue.
#[must_use]
pub fn by_group(a: &Assessment) -> Vec<(&str, Counts)> {
    let mut groups: Vec<(&str, Counts)> = Vec::new();
    for j in &a.judgements {
        let name = j.requirement.group.as_str();
        let at = groups.iter().position(|(n, _)| *n == name).unwrap_or_else(|| {
            groups.push((name, Counts::default()));
            groups.len() - 1
        });
        groups[at].1.add(j.verdict);
    }
    groups
}

/// What a group's code stands for; the code itself for a group of somebody's own catalogue.
#[must_use]
pub fn group_title(code: &str) -> &str {
    match code {
        "ACC" => "Accounts and authentication",
        "CRY" => "Cryptography and keys",
        "SVC" => "Services and attack surface",
        "CMP" => "Components and vulnerabilities",
        "MEM" => "Memory-safety hardening",
        "COD" => "Code practice",
        "UPD" => "Update and boot integrity",
        "LOG" => "Logging",
        "PRV" => "Privileges and permissions",
        "WEB" => "Web server",
        "CFG" => "Configuration defaults",
        "BLD" => "Build and supply chain",
        "EOL" => "End of life",
        "DAT" => "Data handling",
        other => other,
    }
}

/// Every finding of a failed requirement, gravest first; equally grave ones observed before inferred, then in
/// the order of the catalogue.
#[must_use]
pub fn gravest(a: &Assessment) -> Vec<(&Judgement, &Finding)> {
    let mut all: Vec<_> = a
        .judgements
        .iter()
        .filter(|j| j.verdict == Verdict::Fail)
        .flat_map(|j| j.findings.iter().map(move |f| (j, f)))
        .collect();
    all.sort_by_key(|(_, f)| (Reverse(f.severity), f.strength));
    all
}

/// Failed requirements, gravest first: severity of the gravest finding, observed before inferred, then the
/// order of the catalogue.
#[must_use]
pub fn failed(a: &Assessment) -> Vec<&Judgement> {
    let mut all: Vec<_> = a.judgements.iter().filter(|j| j.verdict == Verdict::Fail).collect();
    all.sort_by_key(|j| {
        let worst = j.findings.iter().map(|f| f.severity).max();
        let observed = j.findings.iter().any(|f| f.strength == Strength::Observed);
        (Reverse(worst.unwrap_or(j.requirement.severity)), !observed)
    });
    all
}

/// How many vulnerabilities survive each step of the proof: matched by name, version in range, code present,
/// fix absent, reachable. Each number counts those that reached at least that step and were not dismissed,
/// except the first, which counts all.
#[must_use]
pub fn funnel(a: &Assessment) -> [(&'static str, u64); 5] {
    let open = |g: Grade| {
        a.vulnerabilities.iter().filter(|v| v.dismissed.is_none() && v.grade >= g).count() as u64
    };
    [
        ("matched", a.vulnerabilities.len() as u64),
        ("applicable", open(Grade::Version)),
        ("present", open(Grade::Present)),
        ("unpatched", open(Grade::Unpatched)),
        ("reachable", open(Grade::Reachable)),
    ]
}

/// Vulnerabilities that were not dismissed: known exploited ones first, then by grade, then by EPSS and CVSS.
#[must_use]
pub fn open_vulnerabilities(a: &Assessment) -> Vec<&Vulnerability> {
    let mut open: Vec<_> = a.vulnerabilities.iter().filter(|v| v.dismissed.is_none()).collect();
    open.sort_by_key(|v| {
        Reverse((v.known_exploited, v.grade, v.epss_ppm, v.cvss.as_ref().map(|c| c.score_tenths)))
    });
    open
}

/// What a hardening measure's state is in one binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Applied.
    On,
    /// Applied in part (RELRO only).
    Partial,
    /// Not applied.
    Off,
    /// Cannot be known.
    Unknown,
    /// The question does not arise.
    NotApplicable,
}

/// The measures of the hardening matrix, in the order of its columns.
pub const MEASURES: [&str; 5] = ["RELRO", "NX", "PIE", "Canary", "FORTIFY"];

/// State of each of [`MEASURES`], and the reason where it is unknown or does not apply.
#[must_use]
pub fn measures(e: &Executable) -> [(State, Option<&str>); 5] {
    let relro = match e.relro.as_str() {
        "full" => State::On,
        "partial" => State::Partial,
        "none" => State::Off,
        "not-applicable" => State::NotApplicable,
        _ => State::Unknown,
    };
    [
        (relro, None),
        state(&e.non_executable_stack),
        state(&e.position_independent),
        state(&e.stack_protector),
        state(&e.fortify),
    ]
}

fn state(t: &Tri) -> (State, Option<&str>) {
    match t {
        Tri::Yes => (State::On, None),
        Tri::No => (State::Off, None),
        Tri::Unknown(why) => (State::Unknown, Some(why)),
        Tri::NotApplicable(why) => (State::NotApplicable, Some(why)),
    }
}

/// Programs and libraries (no kernel modules or objects) with their place, the least hardened first.
#[must_use]
pub fn executables(a: &Assessment) -> Vec<(&Executable, &proofmark_model::Observation)> {
    let mut all: Vec<_> = a
        .observations
        .iter()
        .filter_map(|o| match &o.fact {
            Fact::Executable(e) if !matches!(e.kind.as_str(), "kernel-module" | "object") => {
                Some((&**e, o))
            }
            _ => None,
        })
        .collect();
    all.sort_by_cached_key(|(e, o)| {
        let states = measures(e).map(|m| m.0);
        let off = states.iter().filter(|s| **s == State::Off).count();
        let weak = states.iter().filter(|s| **s == State::Partial).count();
        (Reverse(off * 2 + weak), o.evidence.first().to_string())
    });
    all
}

/// One word for a severity.
#[must_use]
pub fn severity(s: Severity) -> &'static str {
    match s {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// The word for a verdict.
#[must_use]
pub fn verdict(v: Verdict) -> &'static str {
    match v {
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Pass => "pass",
        Verdict::NotApplicable => "not applicable",
    }
}

/// The word for how a statement was reached.
#[must_use]
pub fn strength(s: Strength) -> &'static str {
    match s {
        Strength::Observed => "observed",
        Strength::Inferred => "inferred",
    }
}

/// The word for a grade.
#[must_use]
pub fn grade(g: Grade) -> &'static str {
    match g {
        Grade::Named => "named",
        Grade::Version => "version",
        Grade::Present => "present",
        Grade::Unpatched => "unpatched",
        Grade::Reachable => "reachable",
        Grade::Demonstrated => "demonstrated",
    }
}

/// A dismissal in words.
#[must_use]
pub fn dismissal(d: Dismissal) -> &'static str {
    match d {
        Dismissal::ComponentNotPresent => "the component is not there",
        Dismissal::VulnerableCodeNotPresent => "the vulnerable code is not there",
        Dismissal::VulnerableCodeNotInExecutePath => "the code is never executed",
        Dismissal::InlineMitigationsAlreadyExist => "mitigated in the image",
        Dismissal::FixedByDistributor => "fixed by the distributor",
        Dismissal::VersionNotAffected => "the version is not affected",
    }
}
