//! What one record says about one component: an opinion with its rank and its reason.

use std::cmp::Ordering;

use crate::{
    record::{self, Record, Statement, Status},
    version::Scheme,
};

use super::{
    Owner, Subject,
    applicability::{self, range_text},
    platform::{Platform, Truth},
};

/// Whose word counts more, the most specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Who built the package that owns the file.
    Distributor,
    /// Who makes the component, or numbers its vulnerabilities.
    Producer,
    /// Who follows the component's stable branches.
    Tracker,
    /// Corrections of NVD's configurations.
    Override,
    /// NVD.
    Nvd,
    /// What others than the producer say in the CVE list, or added to its records.
    Added,
}

impl Rank {
    /// In words, for reasons.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Distributor => "the distributor",
            Self::Producer => "the producer",
            Self::Tracker => "the tracker of stable branches",
            Self::Override => "the corrections of NVD",
            Self::Nvd => "NVD",
            Self::Added => "others in the CVE list",
        }
    }
}

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// This version is concerned.
    Affected,
    /// It is not.
    NotAffected,
    /// It was and is fixed in this revision.
    Fixed,
    /// The component is named; whether this version is concerned cannot be said.
    Maybe,
}

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opinion {
    /// Whose.
    pub rank: Rank,
    /// What.
    pub view: View,
    /// The status or justification word of the source, where it has one.
    pub word: Option<String>,
    /// Why, as one clause.
    pub reason: String,
    /// Feed and id.
    pub source: String,
}

/// All opinions that a record holds about a component.
#[must_use]
pub fn opinions(
    record: &Record,
    subject: &Subject<'_>,
    owner: Option<&Owner>,
    platform: &Platform,
) -> Vec<Opinion> {
    let mut out = Vec::new();
    let source = if record.feed == record.id {
        record.id.clone()
    } else {
        format!("{} {}", record.feed, record.id)
    };
    if !record.configurations.is_empty() {
        let found = applicability::evaluate(&record.configurations, subject, platform);
        if found.names {
            let rank = match feed(record) {
                "nvd" => Rank::Nvd,
                f if f.contains("override") => Rank::Override,
                // Configurations within a producer's own record are its word.
                _ => Rank::Producer,
            };
            let (view, reason) = match found.truth {
                Truth::True => (View::Affected, found.because),
                Truth::False => (View::NotAffected, format!("not within {}", found.because)),
                Truth::Maybe(unknown) => {
                    (View::Maybe, format!("{}; {}", found.because, unknown.join("; ")))
                }
            };
            out.push(Opinion { rank, view, word: None, reason, source: source.clone() });
        }
    }
    let mut own: Vec<(Rank, View, Option<String>, String)> = Vec::new();
    for statement in &record.statements {
        if let Some(mut found) = one(record, statement, subject, owner) {
            if statement.added {
                found.0 = Rank::Added;
            }
            own.push(found);
        }
    }
    // Several statements about the same thing in one record add up: one for each branch is common.
    for rank in [Rank::Distributor, Rank::Producer, Rank::Tracker, Rank::Added] {
        let same = || own.iter().filter(|(r, ..)| *r == rank);
        let first = |view: View| same().find(|(_, v, ..)| *v == view);
        let chosen = first(View::Affected)
            .or_else(|| first(View::Fixed))
            .or_else(|| first(View::NotAffected))
            .or_else(|| first(View::Maybe));
        if let Some((_, view, word, reason)) = chosen {
            // What one statement leaves open, another may not close by being about another branch.
            let open = *view == View::NotAffected
                && same().any(|(_, v, w, r)| *v == View::Maybe && !is_git(w, r));
            let view = if open { View::Maybe } else { view.clone() };
            out.push(Opinion {
                rank,
                view,
                word: word.clone(),
                reason: reason.clone(),
                source: source.clone(),
            });
        }
    }
    out
}

/// The feed, wherever the record was stored.
pub fn feed(record: &Record) -> &str {
    record.feed.strip_prefix("starter/").unwrap_or(&record.feed)
}

/// Ranges of commits say nothing where the versions say it.
fn is_git(_: &Option<String>, reason: &str) -> bool {
    reason.starts_with(COMMITS)
}

const COMMITS: &str = "its ranges are commits";

type Held = (Rank, View, Option<String>, String);

fn one(
    record: &Record,
    statement: &Statement,
    subject: &Subject<'_>,
    owner: Option<&Owner>,
) -> Option<Held> {
    match &statement.subject {
        record::Subject::Package { ecosystem, name } => {
            if let Some(owner) = owner
                && owner.is(ecosystem, name)
            {
                return distributor(statement, ecosystem, owner);
            }
            subject.is_package(ecosystem, name).then(|| {
                let rank = if is_tracker(record) { Rank::Tracker } else { Rank::Producer };
                judged(rank, statement, subject, name)
            })
        }
        record::Subject::Product { vendor, product } => {
            let about = subject.is_product(vendor, product)?;
            let mut held = judged(Rank::Producer, statement, subject, product);
            if is_tracker(record) {
                held.0 = Rank::Tracker;
            } else if subject.scheme == Scheme::Kernel && !is_kernels_own(vendor, product) {
                // Records that others made about the kernel know nothing of its stable branches.
                held.0 = Rank::Added;
            }
            if !about && held.1 == View::Affected {
                held.1 = View::Maybe;
                held.3 = format!("{}; the record names the product without its vendor", held.3);
            } else if !about {
                return None;
            }
            Some(held)
        }
        record::Subject::Cpe(name) => {
            let cpe = crate::cpe::Cpe::parse(name).ok()?;
            subject.is(&cpe).then(|| judged(Rank::Producer, statement, subject, name))
        }
        record::Subject::Git(repository) => subject
            .is_repository(repository)
            .then(|| judged(Rank::Producer, statement, subject, repository)),
    }
}

/// How the kernel's own CNA writes it; before 2024 and beside it others numbered its vulnerabilities.
fn is_kernels_own(vendor: &str, product: &str) -> bool {
    vendor.eq_ignore_ascii_case("linux") && product.eq_ignore_ascii_case("linux")
}

/// Lists kept beside the producer's own records.
fn is_tracker(record: &Record) -> bool {
    record.id.starts_with("LKC-") || feed(record) == "linux-kernel"
}

/// The status of the owning package, in the distribution's own order.
fn distributor(statement: &Statement, ecosystem: &str, owner: &Owner) -> Option<Held> {
    let scheme = owner.scheme();
    let (status, range) = status(statement, scheme, Some(&owner.version));
    let at = range.map(|r| format!(" ({})", range_text(r))).unwrap_or_default();
    let say =
        |what: &str| format!("{ecosystem} says {} {} {what}{at}", owner.source, owner.version);
    let held = match status {
        Some(Status::Affected) => (View::Affected, say("is affected")),
        Some(Status::Fixed) => (View::Fixed, say("has the fix")),
        Some(Status::NotAffected) => {
            // Beyond the end of an affected range the package is fixed.
            let fixed = statement.default != Status::NotAffected
                || statement.ranges.iter().any(|(r, s)| {
                    *s == Status::Affected
                        && r.to.as_ref().is_some_and(|(to, _)| {
                            matches!(
                                scheme.compare(&owner.version, to),
                                Some(Ordering::Greater | Ordering::Equal)
                            )
                        })
                });
            if fixed && statement.reason.is_none() {
                (View::Fixed, say("has the fix"))
            } else {
                (View::NotAffected, say("is not affected"))
            }
        }
        Some(Status::Unknown) => return None,
        None => (View::Maybe, say("cannot be placed")),
    };
    let (view, reason) = if owner.release_known() {
        held
    } else {
        (View::Maybe, format!("{}; the release of the distribution is not known", held.1))
    };
    Some((Rank::Distributor, view, statement.reason.clone(), reason))
}

fn judged(rank: Rank, statement: &Statement, subject: &Subject<'_>, name: &str) -> Held {
    let version = subject.version.unwrap_or("of unknown version");
    let (found, range) = status(statement, subject.scheme, subject.version);
    let within = range.map(|r| format!("within versions {}", range_text(r)));
    let (view, reason) = match found {
        Some(Status::Affected) => (
            View::Affected,
            format!(
                "{name} {version} is {}",
                within.unwrap_or_else(|| "affected by default".into())
            ),
        ),
        Some(Status::Fixed | Status::NotAffected) => (
            View::NotAffected,
            format!(
                "{name} {version} is not affected, {}",
                within.unwrap_or_else(|| "outside every affected range".into())
            ),
        ),
        Some(Status::Unknown) => (View::Maybe, format!("nothing is said about {name} {version}")),
        None if statement.ranges.iter().all(|(r, _)| r.scheme == "git")
            && !statement.ranges.is_empty() =>
        {
            (View::Maybe, format!("{COMMITS}, and {name} {version} names none"))
        }
        None => (View::Maybe, format!("{name} {version} cannot be compared with its ranges")),
    };
    (rank, view, statement.reason.clone(), reason)
}

/// The status of a version: that of the last range that contains it, or the default. None where a range of another
/// status might contain it.
fn status<'a>(
    statement: &'a Statement,
    scheme: Scheme,
    version: Option<&str>,
) -> (Option<Status>, Option<&'a record::Range>) {
    let Some(version) = version else {
        let decided = statement.ranges.is_empty() && statement.default != Status::Unknown;
        return (decided.then_some(statement.default), None);
    };
    let mut current = (statement.default, None);
    let mut open: Vec<Status> = Vec::new();
    for (range, status) in &statement.ranges {
        match scheme.contains(range, version) {
            Some(true) => {
                current = (*status, Some(range));
                open.clear();
            }
            Some(false) => {}
            None => open.push(*status),
        }
    }
    if open.iter().any(|s| same(*s) != same(current.0)) {
        (None, None)
    } else {
        (Some(current.0), current.1)
    }
}

/// Fixed and not affected are the same when asked whether the version is concerned.
fn same(status: Status) -> Status {
    if status == Status::Fixed { Status::NotAffected } else { status }
}
