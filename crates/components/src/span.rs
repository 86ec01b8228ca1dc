//! Between which releases a copy lies, where its bytes tell that and no version.
//!
//! A table, a message or a file name that came with one release and went with another bounds the version of the
//! code that carries it. What is not there bounds nothing: the linker drops what is not reached.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::rule::Evidence;

/// The releases from `since` on and before `before`; both open where nothing was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The earliest release it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The first release that it can no longer be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

impl Span {
    /// Narrows it by what an evidence that was seen says.
    pub(crate) fn narrow(&mut self, evidence: &Evidence) {
        self.between(evidence.since.as_ref(), evidence.before.as_ref());
    }

    /// Narrows it to the releases of a branch: `4.17` is 4.17, 4.17.1, ... and not 4.18.
    pub(crate) fn narrow_to_branch(&mut self, branch: &str) {
        let digits = branch.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (head, last) = branch.split_at(branch.len().saturating_sub(digits));
        let next = last.parse().map(|n: u64| format!("{head}{}", n.saturating_add(1))).ok();
        self.between(Some(&branch.to_owned()), next.as_ref());
    }

    fn between(&mut self, since: Option<&String>, before: Option<&String>) {
        let take = |own: &mut Option<String>, new: Option<&String>, wanted: Ordering| {
            if let Some(new) = new
                && own.as_ref().is_none_or(|own| order(new, own) == wanted)
            {
                *own = Some(new.clone());
            }
        };
        take(&mut self.since, since, Ordering::Greater);
        take(&mut self.before, before, Ordering::Less);
    }

    /// Nothing is known, or what was seen contradicts itself (parts of two releases).
    #[must_use]
    pub fn is_open(&self) -> bool {
        match (&self.since, &self.before) {
            (None, None) => true,
            (Some(since), Some(before)) => order(since, before) != Ordering::Less,
            _ => false,
        }
    }

    /// Whether a release lies in it.
    #[must_use]
    pub fn holds(&self, version: &str) -> bool {
        self.since.as_ref().is_none_or(|s| order(s, version) != Ordering::Greater)
            && self.before.as_ref().is_none_or(|b| order(version, b) == Ordering::Less)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.since, &self.before) {
            (Some(since), Some(before)) => write!(f, "from {since} to before {before}"),
            (Some(since), None) => write!(f, "{since} or later"),
            (None, Some(before)) => write!(f, "before {before}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// Order of releases: runs of digits as numbers, runs of letters as text, the shorter first where one begins the
/// other. Enough for the releases that rules name, which are never pre-releases.
#[must_use]
pub fn order(a: &str, b: &str) -> Ordering {
    let parts = |v: &str| -> Vec<(u64, String)> {
        v.split(|c: char| !c.is_ascii_alphanumeric())
            .flat_map(|part| {
                let digits = part.bytes().take_while(u8::is_ascii_digit).count();
                let (number, rest) = part.split_at(digits);
                let number =
                    (digits > 0).then(|| (number.parse().unwrap_or(u64::MAX), String::new()));
                let letters = (!rest.is_empty()).then(|| (0, rest.to_owned()));
                number.into_iter().chain(letters)
            })
            .collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(since: Option<&str>, before: Option<&str>) -> Evidence {
        Evidence {
            since: since.map(str::to_owned),
            before: before.map(str::to_owned),
            ..Evidence::default()
        }
    }

    #[test]
    fn releases_are_ordered_by_number() {
        assert_eq!(order("1.2.9", "1.2.11"), Ordering::Less);
        assert_eq!(order("1.3", "1.2.13"), Ordering::Greater);
        assert_eq!(order("1.3", "1.3.1"), Ordering::Less);
        assert_eq!(order("9.2p1", "9.2p2"), Ordering::Less);
        assert_eq!(order("15", "15"), Ordering::Equal);
    }

    #[test]
    fn what_is_seen_narrows() {
        let mut span = Span::default();
        assert!(span.is_open());
        span.narrow(&evidence(Some("1.2"), None));
        span.narrow(&evidence(Some("1.10"), Some("2.0")));
        span.narrow(&evidence(Some("1.3"), Some("3.0")));
        assert_eq!(span.to_string(), "from 1.10 to before 2.0");
        assert!(
            span.holds("1.10") && span.holds("1.99") && !span.holds("2.0") && !span.holds("1.9")
        );
        assert!(!span.is_open());
        span.narrow(&evidence(None, Some("1.5")));
        assert!(span.is_open(), "parts of two releases bound nothing");
        let mut branch = Span::default();
        branch.narrow_to_branch("4.19");
        assert_eq!(branch.to_string(), "from 4.19 to before 4.20");
    }
}
