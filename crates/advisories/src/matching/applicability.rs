//! CPE applicability: criteria, ranges, and trees of both.
//!
//! Source: NIST IR 7698 and the NVD API 2.0. A node that names the component decides by the component alone; every
//! other node is a condition on the place where it runs. What is named only as a condition is not vulnerable.

use crate::{
    cpe::{Attribute, Cpe, Relation},
    record::{CpeMatch, Node, Range},
    version::Scheme,
};

use super::{
    Subject,
    platform::{Platform, Truth},
};

/// Nested deeper, a tree is not evaluated.
const DEEPEST: usize = 24;

/// What a tree says about a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicability {
    /// Whether it applies; *maybe* with the reasons.
    pub truth: Truth,
    /// The component is named as vulnerable somewhere in it, whatever the version.
    pub names: bool,
    /// The criterion that decided, in words.
    pub because: String,
}

/// Evaluates the trees of a record: it applies where any of them does.
#[must_use]
pub fn evaluate(trees: &[Node], subject: &Subject<'_>, platform: &Platform) -> Applicability {
    let mut out = Applicability { truth: Truth::False, names: false, because: String::new() };
    for tree in trees.iter().filter(|t| mentions(t, subject, 0)) {
        let one = node(tree, subject, platform, 0);
        if !one.names {
            continue;
        }
        let better = match (&out.truth, &one.truth) {
            (_, Truth::True) => out.truth != Truth::True,
            (Truth::False, Truth::Maybe(_)) => true,
            _ => out.because.is_empty(),
        };
        if better {
            out.because = one.because;
        }
        out.names = true;
        out.truth = out.truth.or(one.truth);
    }
    out
}

/// The tree names the component as vulnerable somewhere; nothing else of it needs to be evaluated if not.
fn mentions(tree: &Node, subject: &Subject<'_>, depth: usize) -> bool {
    tree.matches.iter().any(|m| m.vulnerable && subject.may_be(&m.cpe))
        || depth <= DEEPEST && tree.nodes.iter().any(|n| mentions(n, subject, depth + 1))
}

fn node(tree: &Node, subject: &Subject<'_>, platform: &Platform, depth: usize) -> Applicability {
    if depth > DEEPEST {
        let truth = Truth::Maybe(vec!["its conditions are nested too deep to be evaluated".into()]);
        return Applicability { truth, names: false, because: String::new() };
    }
    let mut names = false;
    let mut because = String::new();
    let mut parts = Vec::new();
    let mut own = tree.matches.iter().filter(|m| m.vulnerable && subject.may_be(&m.cpe)).peekable();
    if own.peek().is_some() {
        for m in own {
            names = true;
            if m.range.is_none() && subject.other_major(&m.cpe) {
                parts.push(Truth::False);
                continue;
            }
            let Ok(cpe) = Cpe::parse(&m.cpe) else { continue };
            let value = criterion(&cpe, m, subject, platform);
            if because.is_empty() || value == Truth::True {
                because = describe(&cpe, m.range.as_ref());
            }
            let done = value == Truth::True;
            parts.push(value);
            if done && !tree.all {
                break;
            }
        }
        if because.is_empty() {
            because = "the versions that it lists".into();
        }
    } else {
        let read = tree.matches.iter().filter_map(|m| Some((Cpe::parse(&m.cpe).ok()?, m)));
        parts.extend(read.map(|(cpe, m)| platform.has(&cpe, m)));
    }
    for below in &tree.nodes {
        let one = node(below, subject, platform, depth + 1);
        if one.names {
            if !names || one.truth == Truth::True {
                because = one.because;
            }
            names = true;
        }
        parts.push(one.truth);
    }
    let truth = if tree.all {
        parts.into_iter().reduce(Truth::and)
    } else {
        parts.into_iter().reduce(Truth::or)
    }
    .unwrap_or(Truth::False);
    Applicability { truth: if tree.negate { !truth } else { truth }, names, because }
}

/// Whether a criterion that names the component covers its version and its other fields.
fn criterion(cpe: &Cpe, m: &CpeMatch, subject: &Subject<'_>, platform: &Platform) -> Truth {
    let every = cpe.version == Attribute::Any && m.range.is_none();
    let version = match subject.version {
        _ if every && cpe.update == Attribute::Any => Truth::True,
        Some(v) => Truth::of(versions(cpe, m.range.as_ref(), subject.scheme, v), || {
            if cpe.version == Attribute::Na {
                "the record names no version".into()
            } else {
                format!("version {v} cannot be compared with {}", describe(cpe, m.range.as_ref()))
            }
        }),
        None => Truth::Maybe(vec!["the version of the component is not known".into()]),
    };
    version.and(platform.fits(cpe, subject.scheme, subject.version, subject.purl_type))
}

/// Whether a version is the one of the criterion or within its range; none where that cannot be said.
#[must_use]
pub fn versions(cpe: &Cpe, range: Option<&Range>, scheme: Scheme, version: &str) -> Option<bool> {
    let update = match &cpe.update {
        Attribute::Value(u) => Some(u.text.as_str()),
        _ => None,
    };
    match (&cpe.version, range) {
        // An update beside a range belongs to the range's upper end.
        (Attribute::Any, Some(range)) => match (&range.to, update) {
            (Some((to, true)), Some(update)) => {
                let to = Some((format!("{to}-{update}"), true));
                scheme.contains(&Range { to, ..range.clone() }, version)
            }
            _ => scheme.contains(range, version),
        },
        (Attribute::Any, None) => match &cpe.update {
            Attribute::Any => Some(true),
            Attribute::Na => Some(scheme.split_update(version).1.is_empty()),
            // An update of no version.
            Attribute::Value(_) => None,
        },
        (Attribute::Na, _) => None,
        (Attribute::Value(v), _) if v.is_pattern() => {
            let (base, _) = scheme.split_update(version);
            match cpe.version.relation(&Attribute::text(&base)) {
                Relation::Superset | Relation::Equal => Some(true),
                _ => Some(false),
            }
        }
        (Attribute::Value(v), _) => {
            let full = match update {
                Some(update) => format!("{}-{update}", v.text),
                None => v.text.clone(),
            };
            if scheme.compare(version, &full) == Some(std::cmp::Ordering::Equal) {
                return Some(true);
            }
            if cpe.update == Attribute::Any {
                // Every update of this version.
                let (base, _) = scheme.split_update(version);
                return scheme.compare(&base, &v.text).map(std::cmp::Ordering::is_eq);
            }
            scheme.compare(version, &full).map(|_| false)
        }
    }
}

/// A criterion in words.
fn describe(cpe: &Cpe, range: Option<&Range>) -> String {
    let (vendor, product) = cpe.pair().unwrap_or(("*", "*"));
    let update = cpe.update.value().map(|u| format!(" {u}")).unwrap_or_default();
    let what = match (&cpe.version, range) {
        (Attribute::Value(v), _) => format!("version {}{update}", v.text),
        (Attribute::Na, _) => "no version".into(),
        (Attribute::Any, Some(range)) => format!("versions {}{update}", range_text(range)),
        (Attribute::Any, None) => "every version".into(),
    };
    format!("{vendor}:{product}, {what}")
}

/// A range in words.
#[must_use]
pub fn range_text(range: &Range) -> String {
    match (&range.from, &range.to) {
        (Some((a, true)), Some((b, true))) if a == b => a.clone(),
        (from, to) => {
            let low = from.as_ref().filter(|(v, _)| !matches!(v.as_str(), "0" | "*" | "")).map(
                |(v, with)| {
                    if *with { format!("from {v}") } else { format!("after {v}") }
                },
            );
            let high = to
                .as_ref()
                .filter(|(v, _)| v != "*")
                .map(|(v, with)| if *with { format!("to {v}") } else { format!("before {v}") });
            match (low, high) {
                (Some(a), Some(b)) => format!("{a} {b}"),
                (Some(a), None) | (None, Some(a)) => a,
                (None, None) => "all".into(),
            }
        }
    }
}
