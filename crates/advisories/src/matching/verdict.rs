//! One CVE, one component: opinions weighed, then every content asked.

use std::sync::Arc;

use proofmark_model::{ComponentRef, Dismissal, Grade, vulnerability::Cvss};

use crate::{
    corrections::{Correction, Corrections, Probed, Product},
    kernel,
    record::Record,
};

use super::{
    Match, Occurrence, Owner, Query, Subject, Verdict,
    platform::Platform,
    statement::{Opinion, Rank, View, feed, opinions},
};

/// What is to be said about one CVE.
pub enum Decision {
    /// No record is about the component.
    Nothing,
    /// It is about other versions.
    Other(String),
    /// It concerns the component, or more than the version dismissed it.
    Match(Box<Match>),
}

/// Opinions of all records, the most specific first.
fn weighed(
    records: &[Arc<Record>],
    subject: &Subject<'_>,
    owner: Option<&Owner>,
    platform: &Platform,
) -> Vec<Opinion> {
    let mut all: Vec<Opinion> =
        records.iter().flat_map(|r| opinions(r, subject, owner, platform)).collect();
    all.sort_by(|a, b| {
        (a.rank, weight(&a.view), &a.source).cmp(&(b.rank, weight(&b.view), &b.source))
    });
    all
}

/// Within one rank: affected outweighs fixed, fixed outweighs not affected, the undecided comes last.
fn weight(view: &View) -> u8 {
    match view {
        View::Affected => 0,
        View::Fixed => 1,
        View::NotAffected => 2,
        View::Maybe => 3,
    }
}

#[expect(clippy::too_many_arguments, reason = "the whole context of one decision, used here only")]
pub fn decide(
    id: &str,
    records: &[Arc<Record>],
    query: &Query,
    component: &ComponentRef,
    subject: &Subject<'_>,
    product: Option<&Product>,
    platform: &Platform,
    corrections: &Corrections,
) -> Decision {
    let alone = [Occurrence::default()];
    let occurrences =
        if query.occurrences.is_empty() { &alone[..] } else { &query.occurrences[..] };
    let mut verdicts = Vec::new();
    let mut named = false;
    let mut other = None;
    let mut sources = Vec::new();
    let mut last_owner: Option<(Option<&Owner>, Vec<Opinion>)> = None;
    for occurrence in occurrences {
        let owner = occurrence.owner.as_ref().or(query.owner.as_ref());
        let views = match &last_owner {
            Some((o, views)) if *o == owner => views.clone(),
            _ => {
                let views = weighed(records, subject, owner, platform);
                last_owner = Some((owner, views.clone()));
                views
            }
        };
        if views.is_empty() {
            continue;
        }
        named = true;
        for view in &views {
            if !sources.contains(&view.source) {
                sources.push(view.source.clone());
            }
        }
        match base(id, &views, component, product, corrections) {
            Base::Outside(reason) => other = Some(reason),
            Base::Verdict(mut verdict) => {
                verdict.digest = occurrence.digest;
                refine(id, &mut verdict, records, occurrence, product, corrections);
                verdicts.push(verdict);
            }
        }
    }
    if !named {
        return Decision::Nothing;
    }
    // What concerns comes before what was dismissed; then the strongest grade.
    let Some(best) = verdicts.iter().max_by_key(|v| (v.dismissed.is_none(), v.grade)).cloned()
    else {
        return Decision::Other(other.unwrap_or_default());
    };
    let mut reasons = best.reasons.clone();
    let standing = verdicts.iter().filter(|v| v.dismissed.is_none()).count();
    if verdicts.len() > 1 {
        reasons.push(format!("{standing} of {} contents are concerned", verdicts.len()));
    }
    Decision::Match(Box::new(Match {
        id: id.to_owned(),
        component: component.clone(),
        grade: best.grade,
        dismissed: best.dismissed,
        reasons,
        cvss: score(records),
        epss_ppm: None,
        known_exploited: false,
        disputed: records.iter().any(|r| r.standing.as_deref() == Some("disputed")),
        sources,
        occurrences: if query.occurrences.is_empty() { Vec::new() } else { verdicts },
    }))
}

enum Base {
    Outside(String),
    Verdict(Verdict),
}

/// The verdict that records alone give.
fn base(
    id: &str,
    views: &[Opinion],
    component: &ComponentRef,
    product: Option<&Product>,
    corrections: &Corrections,
) -> Base {
    let say = |o: &Opinion| format!("{}: {} ({})", o.rank.words(), o.reason, o.source);
    let name = product.map_or(component.name.as_str(), |p| p.name.as_str());
    let verdict = |grade, dismissed, reasons| {
        Base::Verdict(Verdict { digest: None, grade, dismissed, reasons })
    };
    match corrections.correction(id, name, component.version.as_deref(), product) {
        Some(Correction::Deny(why)) => {
            let mut reasons = vec![format!("correction: {why}")];
            reasons.extend(views.iter().map(say));
            return match views.iter().any(|v| v.view == View::Affected) {
                true => verdict(Grade::Version, Some(Dismissal::ComponentNotPresent), reasons),
                false => Base::Outside(reasons.join("; ")),
            };
        }
        Some(Correction::Allow(why)) => {
            let mut reasons = vec![format!("correction: {why}")];
            reasons.extend(views.iter().map(say));
            return verdict(Grade::Version, None, reasons);
        }
        None => {}
    }
    let decided = views.iter().find(|v| v.view != View::Maybe);
    let Some(top) = decided else {
        // Commits alone, with versions nowhere: the component is named, no more.
        return verdict(Grade::Named, None, views.iter().map(say).collect());
    };
    let rest = || views.iter().filter(|v| *v != top);
    let mut reasons = vec![say(top)];
    reasons.extend(rest().map(say));
    let disagrees = rest().any(|v| v.view == View::Affected);
    match top.view {
        View::Affected => verdict(Grade::Version, None, reasons),
        View::Fixed => {
            // Fixed matters where the upstream version would be concerned or nobody else decides.
            let upstream: Vec<_> =
                rest().filter(|v| v.view != View::Maybe && v.rank != Rank::Distributor).collect();
            if upstream.is_empty() || disagrees {
                verdict(Grade::Version, Some(Dismissal::FixedByDistributor), reasons)
            } else {
                Base::Outside(say(top))
            }
        }
        View::NotAffected if top.rank == Rank::Distributor && disagrees => {
            verdict(Grade::Version, Some(dismissal(top.word.as_deref())), reasons)
        }
        View::NotAffected if disagrees => {
            verdict(Grade::Version, Some(Dismissal::VersionNotAffected), reasons)
        }
        View::NotAffected | View::Maybe => Base::Outside(say(top)),
    }
}

/// The dismissal behind a source's word.
fn dismissal(word: Option<&str>) -> Dismissal {
    match word.unwrap_or_default().replace('-', "_").as_str() {
        "component_not_present" | "cpe_incorrect" => Dismissal::ComponentNotPresent,
        "vulnerable_code_not_in_execute_path" => Dismissal::VulnerableCodeNotInExecutePath,
        "inline_mitigations_already_exist" => Dismissal::InlineMitigationsAlreadyExist,
        "patched" | "backported_patch" | "fixed" => Dismissal::FixedByDistributor,
        "" => Dismissal::VersionNotAffected,
        _ => Dismissal::VulnerableCodeNotPresent,
    }
}

/// What the bytes say: features, kernel files, reachability.
fn refine(
    id: &str,
    verdict: &mut Verdict,
    records: &[Arc<Record>],
    occurrence: &Occurrence,
    product: Option<&Product>,
    corrections: &Corrections,
) {
    if verdict.dismissed.is_some() {
        return;
    }
    if let Some(product) = product {
        match corrections.probe(id, &product.name, &occurrence.features) {
            Some(Probed::Present(why)) => raise(verdict, Grade::Present, why),
            Some(Probed::Absent(why)) => {
                verdict.dismissed = Some(Dismissal::VulnerableCodeNotPresent);
                verdict.reasons.push(why);
                return;
            }
            Some(Probed::Unknown(why)) => verdict.reasons.push(why),
            None => {}
        }
    }
    if let Some(picture) = &occurrence.kernel {
        let statements = || records.iter().flat_map(|r| &r.statements);
        let files = statements().flat_map(|s| &s.files).map(String::as_str);
        let functions = statements().flat_map(|s| &s.functions).map(String::as_str);
        match kernel::compiled(files, functions, picture) {
            kernel::Compiled::Yes(why) => raise(verdict, Grade::Present, why),
            kernel::Compiled::No(why) => {
                verdict.dismissed = Some(Dismissal::VulnerableCodeNotPresent);
                verdict.reasons.push(why);
                return;
            }
            kernel::Compiled::Unknown(why) => verdict.reasons.push(why),
        }
    }
    if let Some(why) = &occurrence.reachable
        && verdict.grade >= Grade::Version
    {
        // A listener of code that was not shown to be there is no reach.
        if verdict.grade >= Grade::Present {
            raise(verdict, Grade::Reachable, why.clone());
        } else {
            verdict.reasons.push(format!("the component is reachable: {why}"));
        }
    }
}

fn raise(verdict: &mut Verdict, grade: Grade, why: String) {
    // Code that is there does not make an unknown version affected.
    if verdict.grade >= Grade::Version {
        verdict.grade = verdict.grade.max(grade);
    }
    verdict.reasons.push(why);
}

/// The score of the newest CVSS version; of several, NVD's or the highest.
fn score(records: &[Arc<Record>]) -> Option<Cvss> {
    let order = |version: &str| match version {
        "4.0" => 4,
        "3.1" => 3,
        "3.0" => 2,
        "2.0" => 1,
        _ => 0,
    };
    let all = records.iter().flat_map(|r| r.scores.iter().map(move |s| (feed(r) == "nvd", s)));
    let best = all.max_by(|(nvd, a), (other, b)| {
        (order(&a.version), nvd, a.tenths, &b.vector).cmp(&(
            order(&b.version),
            other,
            b.tenths,
            &a.vector,
        ))
    })?;
    Some(Cvss {
        version: best.1.version.clone(),
        score_tenths: best.1.tenths,
        vector: best.1.vector.clone(),
    })
}
