//! The keys of a record, and how a name in a feed becomes a key.
//!
//! Both sides of a look-up go through the constructors here, so that `Debian:12`/`OpenSSL` of a feed and
//! `debian`/`openssl` of a component meet.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::record::{Key, Node, Record, Subject};

impl Key {
    /// Vendor and product of a CPE 2.3 name; none where it is not one.
    #[must_use]
    pub fn cpe(name: &str) -> Option<Self> {
        let mut parts = cpe_parts(name).skip(3);
        let (vendor, product) = (parts.next()?, parts.next()?);
        name.get(..8).is_some_and(|head| head.eq_ignore_ascii_case("cpe:2.3:")).then_some(())?;
        Some(Self::Cpe(vendor, product))
    }

    /// A package; the release of the ecosystem is left out.
    #[must_use]
    pub fn package(ecosystem: &str, name: &str) -> Self {
        let ecosystem = ecosystem.split(':').next().unwrap_or_default().to_lowercase();
        let name = name.to_lowercase();
        // PyPI takes runs of these for the same character.
        let name = if ecosystem == "pypi" {
            name.split(['-', '_', '.']).filter(|p| !p.is_empty()).collect::<Vec<_>>().join("-")
        } else {
            name
        };
        Self::Package(ecosystem, name)
    }

    /// A product of CVE records.
    #[must_use]
    pub fn product(name: &str) -> Self {
        Self::Product(name.trim().to_lowercase())
    }

    /// A repository, without scheme and `.git`.
    #[must_use]
    pub fn git(url: &str) -> Self {
        let url = url.trim().to_lowercase();
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let rest = rest.strip_prefix("git@").unwrap_or(rest).trim_end_matches('/');
        Self::Git(rest.strip_suffix(".git").unwrap_or(rest).to_owned())
    }

    /// An id.
    #[must_use]
    pub fn id(id: &str) -> Self {
        Self::Id(id.trim().to_lowercase())
    }

    /// 64 bits that stand for the key in indexes. Two keys may share them, which [`mentions`] settles.
    #[must_use]
    pub fn hash64(&self) -> u64 {
        let (kind, a, b) = match self {
            Self::Cpe(vendor, product) => ("cpe", vendor.as_str(), product.as_str()),
            Self::Package(ecosystem, name) => ("package", ecosystem.as_str(), name.as_str()),
            Self::Product(name) => ("product", name.as_str(), ""),
            Self::Git(url) => ("git", url.as_str(), ""),
            Self::Id(id) => ("id", id.as_str(), ""),
        };
        let digest = Sha256::new_with_prefix(kind)
            .chain_update([0])
            .chain_update(a)
            .chain_update([0])
            .chain_update(b)
            .finalize();
        digest.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
    }
}

/// Components of a CPE 2.3 name in lower case, without the backslashes that quote. The colons between them are
/// those that no backslash precedes.
fn cpe_parts(name: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in name.chars() {
        match c {
            '\\' if !quoted => quoted = true,
            ':' if !quoted => parts.push(String::new()),
            c => {
                quoted = false;
                if let Some(part) = parts.last_mut() {
                    part.extend(c.to_lowercase());
                }
            }
        }
    }
    parts.into_iter()
}

/// Every key under which a record is found.
///
/// Of CPE applicability only names that can be vulnerable count: what a vulnerable thing runs on finds nothing.
#[must_use]
pub fn keys(record: &Record) -> BTreeSet<Key> {
    let mut keys = BTreeSet::from([Key::id(&record.id)]);
    keys.extend(record.cves.iter().map(|c| Key::id(c)));
    let mut nodes: Vec<&Node> = record.configurations.iter().collect();
    while let Some(node) = nodes.pop() {
        nodes.extend(&node.nodes);
        keys.extend(node.matches.iter().filter(|m| m.vulnerable).filter_map(|m| Key::cpe(&m.cpe)));
    }
    keys.extend(record.statements.iter().filter_map(|s| of_subject(&s.subject)));
    keys
}

/// The key of what a statement is about.
#[must_use]
pub fn of_subject(subject: &Subject) -> Option<Key> {
    match subject {
        Subject::Cpe(name) => Key::cpe(name),
        Subject::Package { ecosystem, name } => Some(Key::package(ecosystem, name)),
        Subject::Product { product, .. } => Some(Key::product(product)),
        Subject::Git(url) => Some(Key::git(url)),
    }
}

/// Whether a record is found under a key.
#[must_use]
pub fn mentions(record: &Record, key: &Key) -> bool {
    let stated = || record.statements.iter().any(|s| of_subject(&s.subject).as_ref() == Some(key));
    match key {
        Key::Id(_) => std::iter::once(&record.id).chain(&record.cves).any(|id| Key::id(id) == *key),
        Key::Cpe(..) => names(&record.configurations, key) || stated(),
        _ => stated(),
    }
}

/// Whether a name that can be vulnerable has this key.
fn names(nodes: &[Node], key: &Key) -> bool {
    let mut open: Vec<&Node> = nodes.iter().collect();
    while let Some(node) = open.pop() {
        let own = node.matches.iter().filter(|m| m.vulnerable);
        if own.map(|m| Key::cpe(&m.cpe)).any(|k| k.as_ref() == Some(key)) {
            return true;
        }
        open.extend(&node.nodes);
    }
    false
}

/// A CVE id as one number: the year, then ten digits. None where it is not a CVE id.
#[must_use]
pub fn cve_number(id: &str) -> Option<i64> {
    let rest = id.trim();
    let rest = rest.get(..4).filter(|p| p.eq_ignore_ascii_case("CVE-")).and(rest.get(4..))?;
    let (year, number) = rest.split_once('-')?;
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    (year.len() == 4 && (4..=10).contains(&number.len()) && digits(year) && digits(number))
        .then(|| Some(year.parse::<i64>().ok()? * 10_000_000_000 + number.parse::<i64>().ok()?))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_both_sides_meet() {
        let cpe = |t: &str| Key::cpe(t);
        assert_eq!(
            cpe("cpe:2.3:a:Vendor\\:x:prod\\+uct:1.0:*:*:*:*:*:*:*"),
            Some(Key::Cpe("vendor:x".into(), "prod+uct".into()))
        );
        assert_eq!(cpe("cpe:/a:vendor:product"), None);
        assert_eq!(cpe("cpe:2.3:a:vendor"), None);
        assert_eq!(Key::package("Debian:12", "OpenSSL"), Key::package("debian", "openssl"));
        assert_eq!(Key::package("PyPI", "Flask_Login"), Key::package("pypi", "flask-login"));
        assert_eq!(Key::git("https://git.example/a/B.git/"), Key::Git("git.example/a/b".into()));
        assert_ne!(Key::id("x").hash64(), Key::product("x").hash64());
    }

    #[test]
    fn numbers_of_cves() {
        assert_eq!(cve_number("CVE-2014-0160"), Some(20_140_000_000_160));
        assert_eq!(cve_number("cve-2024-1234567"), Some(20_240_001_234_567));
        for bad in
            ["CVE-2014-016", "CVE-14-0160", "CVE-2014-+160", "GHSA-x", "", "CVE-2014-01600000000"]
        {
            assert_eq!(cve_number(bad), None, "{bad}");
        }
    }
}
