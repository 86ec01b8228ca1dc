//! Decisions: what people stated about a vulnerability, carried from one release to the next.
//!
//! A decision binds to evidence, not to a version: to the digest of the content it was made for, or to the fingerprint
//! of the function. Where the same bytes are again, it holds again; where they are not, it has expired and is said to
//! have. This part knows no format; readers of OpenVEX, CycloneDX and CSAF turn their statements into it.

use std::collections::BTreeSet;

use proofmark_model::{Digest, Dismissal, Grade, Vulnerability};
use serde::{Deserialize, Serialize};

/// What a decision is bound to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The content with these bytes.
    Content(Digest),
    /// The function with this fingerprint, wherever it is.
    Function(String),
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// It does not concern the component, for this reason.
    NotAffected(Dismissal),
    /// It concerns it: code was looked at.
    Affected,
    /// Not decided.
    UnderInvestigation,
}

/// A statement about one vulnerability in one component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Decision {
    /// CVE id, or id of the advisory.
    pub vulnerability: String,
    /// Name of the component, so that one file with two of them is told apart.
    pub component: String,
    /// What it is bound to. Without any it holds nowhere.
    pub bound: BTreeSet<Bound>,
    /// What was decided.
    pub ruling: Ruling,
    /// Why, in the words of who decided.
    pub detail: String,
    /// Who decided and where: document id and author.
    pub origin: String,
}

/// What is in the image, to bind to.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// For each component and vulnerability the contents concerned; see [`Contents::add`].
    places: std::collections::BTreeMap<(String, String), BTreeSet<Bound>>,
}

impl Contents {
    /// Notes that a vulnerability of a component concerns this content or function.
    pub fn add(&mut self, vulnerability: &str, component: &str, bound: Bound) {
        self.places
            .entry((vulnerability.to_owned(), component.to_owned()))
            .or_default()
            .insert(bound);
    }

    /// What a vulnerability of a component concerns.
    fn of(&self, vulnerability: &str, component: &str) -> Option<&BTreeSet<Bound>> {
        self.places.get(&(vulnerability.to_owned(), component.to_owned()))
    }
}

/// What became of the decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Decisions that hold, by their place in the list.
    pub carried: Vec<usize>,
    /// Decisions whose bytes are not there any more, or not all of the bytes concerned are covered.
    pub expired: Vec<usize>,
    /// Decisions that contradict another one about the same bytes; none of them was applied.
    pub contradicted: Vec<usize>,
}

/// Applies decisions to the vulnerabilities of an image.
///
/// A vulnerability is dismissed only where decisions cover every content it concerns. Decisions that contradict each
/// other are not applied. Applying the same decisions again changes nothing.
pub fn apply(
    vulnerabilities: &mut [Vulnerability],
    contents: &Contents,
    decisions: &[Decision],
) -> Applied {
    let mut out = Applied::default();
    let mut touched = BTreeSet::new();
    let mut against = BTreeSet::new();
    for v in vulnerabilities.iter_mut() {
        let Some(places) = contents.of(&v.id, &v.component.name) else { continue };
        let own: Vec<(usize, &Decision)> = decisions
            .iter()
            .enumerate()
            .filter(|(_, d)| d.vulnerability == v.id && d.component == v.component.name)
            .filter(|(_, d)| d.bound.iter().any(|b| places.contains(b)))
            .collect();
        let rulings: BTreeSet<Ruling> = own.iter().map(|(_, d)| d.ruling).collect();
        let contradict = own.iter().enumerate().any(|(i, (_, a))| {
            own.iter().skip(i + 1).any(|(_, b)| {
                a.ruling != b.ruling && a.bound.intersection(&b.bound).next().is_some()
            })
        });
        if contradict {
            against.extend(own.iter().map(|(i, _)| *i));
            note(
                v,
                "decisions about the same bytes contradict each other; none was applied".into(),
            );
            continue;
        }
        let covered: BTreeSet<&Bound> =
            own.iter().flat_map(|(_, d)| &d.bound).filter(|b| places.contains(*b)).collect();
        for (i, decision) in &own {
            let who = format!("{} ({})", decision.detail, decision.origin);
            match decision.ruling {
                Ruling::NotAffected(why) if covered.len() == places.len() && rulings.len() == 1 => {
                    v.dismissed = Some(why);
                    note(v, format!("decided: not affected, {who}"));
                    touched.insert(*i);
                }
                Ruling::NotAffected(_) => {
                    let (n, all) = (covered.len(), places.len());
                    note(v, format!("decided for {n} of {all} contents only: not affected, {who}"));
                }
                Ruling::Affected => {
                    v.dismissed = None;
                    v.grade = v.grade.max(Grade::Present);
                    note(v, format!("decided: affected, {who}"));
                    touched.insert(*i);
                }
                Ruling::UnderInvestigation => {
                    note(v, format!("under investigation, {who}"));
                    touched.insert(*i);
                }
            }
        }
    }
    for i in 0..decisions.len() {
        let list = if against.contains(&i) {
            &mut out.contradicted
        } else if touched.contains(&i) {
            &mut out.carried
        } else {
            &mut out.expired
        };
        list.push(i);
    }
    out
}

/// Adds a reason once.
fn note(v: &mut Vulnerability, reason: String) {
    if !v.reasons.contains(&reason) {
        v.reasons.push(reason);
    }
}

/// The decisions that an assessed image amounts to: one for each dismissal and each finding in code, bound to the
/// contents concerned. Applying them to the same image gives the same verdicts.
#[must_use]
pub fn export(
    vulnerabilities: &[Vulnerability],
    contents: &Contents,
    origin: &str,
) -> Vec<Decision> {
    let one = |v: &Vulnerability| {
        let ruling = match v.dismissed {
            Some(why) => Ruling::NotAffected(why),
            None if v.grade >= Grade::Present => Ruling::Affected,
            None => Ruling::UnderInvestigation,
        };
        Some(Decision {
            vulnerability: v.id.clone(),
            component: v.component.name.clone(),
            bound: contents.of(&v.id, &v.component.name)?.clone(),
            ruling,
            detail: v.reasons.last().cloned().unwrap_or_default(),
            origin: origin.to_owned(),
        })
    };
    let mut all: Vec<Decision> = vulnerabilities.iter().filter_map(one).collect();
    all.sort();
    all.dedup();
    all
}
