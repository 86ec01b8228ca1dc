//! Hits of all contents of an image and its package databases, joined: one component with all its evidence.
//!
//! Precedence, strongest first: the record of the package that owns the file (the distributor knows what it
//! patched), the program's own banner, a version by a neighbour or a file name. What disagrees is not dropped
//! but shown as a conflict: Debian writes `3.0.20-1~deb12u2`, the banner says `3.0.20`, and that agrees; `1.1.1w`
//! in a static copy does not belong to the package at all and is a copy of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Hit, Relation};

/// A place with what was found there.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Where: text that is unique for each content, such as a locator.
    pub place: &'a str,
    /// What.
    pub hit: &'a Hit,
    /// Version of the package that owns the file, where one does.
    pub package: Option<&'a str>,
}

/// A product in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Product, by its name in the catalogue.
    pub product: String,
    /// Strongest relation of any place.
    pub relation: Relation,
    /// Versions with the places that tell them, sorted; `None` for places that tell no version.
    pub versions: BTreeMap<Option<String>, BTreeSet<String>>,
    /// Places where the bytes contradict the record of the owning package: place, version in the bytes, version of
    /// the package.
    pub conflicts: Vec<(String, String, String)>,
}

impl Joined {
    /// How many contents are or contain it: the measure of duplication that evaluators of telecom software publish
    /// for each library, together with the number of versions.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.versions.values().flatten().collect::<BTreeSet<_>>().len()
    }

    /// How many different versions there are.
    #[must_use]
    pub fn distinct_versions(&self) -> usize {
        self.versions.keys().flatten().count()
    }
}

/// Joins what was seen, by product. Needs and names do not count as copies and are left out.
#[must_use]
pub fn join<'a>(seen: impl IntoIterator<Item = Seen<'a>>) -> Vec<Joined> {
    let mut out: BTreeMap<&str, Joined> = BTreeMap::new();
    for Seen { place, hit, package } in seen {
        if hit.relation > Relation::StaticallyContains {
            continue;
        }
        let joined = out.entry(hit.product.as_str()).or_insert_with(|| Joined {
            product: hit.product.clone(),
            relation: hit.relation,
            versions: BTreeMap::new(),
            conflicts: Vec::new(),
        });
        joined.relation = joined.relation.min(hit.relation);
        joined.versions.entry(hit.version.clone()).or_default().insert(place.to_owned());
        let claimed = hit.version.as_ref().zip(package).filter(|_| hit.relation == Relation::Is);
        if let Some((own, package)) = claimed.filter(|(own, package)| !agrees(own, package)) {
            joined.conflicts.push((place.to_owned(), own.clone(), package.to_owned()));
        }
    }
    out.into_values()
        .map(|mut joined| {
            joined.conflicts.sort();
            joined
        })
        .collect()
}

/// Whether a package's version is the version in the bytes with an epoch before it or a distributor's part behind
/// it. Punctuation is not compared: `9.2p1` is `1:9.2p1-2+deb12u3`, `2.0.0-rc1` is `2.0.0~rc1-1`.
#[must_use]
pub fn agrees(own: &str, package: &str) -> bool {
    let plain = |s: &str| -> String {
        s.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let package = package.split_once(':').map_or(package, |(_, rest)| rest);
    let package = package.rsplit_once("+really").map_or(package, |(_, rest)| rest);
    // The upstream part ends at a distributor's mark; a revision follows the last dash, or the first.
    let ends = package.match_indices(['-', '+', '~']).map(|(at, _)| at);
    ends.chain([package.len()]).any(|end| {
        let upstream = package.get(..end).unwrap_or_default();
        let upstream = upstream.split(".dfsg").next().unwrap_or_default();
        plain(upstream) == plain(own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(version: Option<&str>, relation: Relation) -> Hit {
        Hit {
            product: "zlib".into(),
            version: version.map(str::to_owned),
            span: crate::span::Span::default(),
            relation,
            by: vec!["text 1".into()],
            weight: 100,
            places: vec![(0, 1)],
            features: Vec::new(),
            complete: Vec::new(),
        }
    }

    #[test]
    fn versions_agree_across_spellings() {
        assert!(agrees("9.2p1", "1:9.2p1-2+deb12u3"));
        assert!(agrees("3.0.20", "3.0.20-1~deb12u2"));
        assert!(agrees("2.0.0-rc1", "2.0.0~rc1-1"));
        assert!(agrees("1.3.1", "1:1.3.dfsg+really1.3.1-1+b1"));
        assert!(agrees("1.36.1", "1.36.1-r20"));
        assert!(!agrees("1.2.1", "1:1.2.13.dfsg-1"));
        assert!(!agrees("1.1.1w", "3.0.20-1"));
        assert!(!agrees("1.2.13", "1.2.1-1"));
    }

    #[test]
    fn copies_and_versions_are_counted_and_conflicts_shown() {
        let system = hit(Some("1.2.13"), Relation::Is);
        let copy = hit(Some("1.2.11"), Relation::StaticallyContains);
        let needs = hit(None, Relation::DynamicallyNeeds);
        let seen = [
            Seen { place: "/lib/libz.so", hit: &system, package: Some("1:1.2.13.dfsg-1") },
            Seen { place: "/usr/bin/a", hit: &copy, package: Some("2.0-1") },
            Seen { place: "/usr/bin/b", hit: &copy, package: None },
            Seen { place: "/usr/bin/c", hit: &needs, package: None },
            Seen { place: "/opt/libz.so", hit: &system, package: Some("1.2.12-1") },
        ];
        let joined = join(seen);
        assert_eq!(joined.len(), 1);
        let zlib = &joined[0];
        assert_eq!((zlib.copies(), zlib.distinct_versions()), (4, 2));
        assert_eq!(zlib.relation, Relation::Is);
        let conflict = ("/opt/libz.so".to_owned(), "1.2.13".to_owned(), "1.2.12-1".to_owned());
        assert_eq!(zlib.conflicts, [conflict]);
    }
}
