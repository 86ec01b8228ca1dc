//! Package URLs: reading, and what they say about ecosystem and version order.
//!
//! Source: the package-url specification.

use crate::{matching::Owner, version::Scheme};

/// Longest package URL that is read.
const LONGEST: usize = 2048;

/// A package URL taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purl {
    /// Type in lower case: `deb`, `npm`, `generic`, ...
    pub kind: String,
    /// Namespace, decoded; empty where there is none.
    pub namespace: String,
    /// Name, decoded.
    pub name: String,
    /// Version, decoded.
    pub version: Option<String>,
    /// Qualifiers in their order, decoded.
    pub qualifiers: Vec<(String, String)>,
}

/// The type belongs to a language's ecosystem: its names mean nothing outside it.
#[must_use]
pub fn is_language(kind: &str) -> bool {
    matches!(
        kind,
        "npm"
            | "pypi"
            | "cargo"
            | "gem"
            | "golang"
            | "maven"
            | "composer"
            | "nuget"
            | "hex"
            | "pub"
            | "cran"
            | "cpan"
            | "luarocks"
            | "swift"
            | "hackage"
    )
}

/// Order of the versions of a type.
#[must_use]
pub fn scheme(kind: &str) -> Scheme {
    match kind {
        "npm" | "cargo" | "golang" | "hex" | "pub" | "swift" | "composer" => Scheme::Semver,
        "pypi" => Scheme::Pep440,
        "maven" => Scheme::Maven,
        _ => Scheme::Generic,
    }
}

impl Purl {
    /// Reads a package URL; none where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > LONGEST {
            return None;
        }
        let rest = text.strip_prefix("pkg:")?.trim_start_matches('/');
        let rest = rest.split_once('#').map_or(rest, |(r, _)| r);
        let (rest, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (path, version) = match rest.rsplit_once('@') {
            // An at sign before the last slash belongs to a scope that was not encoded.
            Some((p, v)) if !v.contains('/') && !p.ends_with('/') => (p, Some(decode(v)?)),
            _ => (rest, None),
        };
        let (kind, path) = path.split_once('/')?;
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = decode(name)?;
        if kind.is_empty() || name.is_empty() {
            return None;
        }
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            namespace: decode(namespace)?,
            name,
            version: version.filter(|v| !v.is_empty()),
            qualifiers: qualifiers
                .split('&')
                .filter_map(|q| q.split_once('='))
                .filter_map(|(k, v)| Some((k.to_ascii_lowercase(), decode(v)?)))
                .collect(),
        })
    }

    /// The value of a qualifier.
    #[must_use]
    pub fn qualifier(&self, key: &str) -> Option<&str> {
        self.qualifiers.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Type, namespace and name in lower case, joined by slashes: how the catalogue writes it.
    #[must_use]
    pub fn stem(&self) -> String {
        let parts = [&self.kind, &self.namespace, &self.name];
        parts
            .iter()
            .filter(|p| !p.is_empty())
            .map(|p| p.to_ascii_lowercase())
            .collect::<Vec<_>>()
            .join("/")
    }

    /// Ecosystem and name as OSV writes them, for language packages and OSV's generic ones.
    #[must_use]
    pub fn package(&self) -> Option<(String, String)> {
        let joined = |by: &str| match self.namespace.as_str() {
            "" => self.name.clone(),
            n => format!("{n}{by}{}", self.name),
        };
        Some(match self.kind.as_str() {
            "npm" => ("npm".into(), joined("/")),
            "pypi" => ("PyPI".into(), self.name.to_ascii_lowercase().replace(['_', '.'], "-")),
            "cargo" => ("crates.io".into(), self.name.clone()),
            "gem" => ("RubyGems".into(), self.name.clone()),
            "golang" => ("Go".into(), joined("/")),
            "maven" => ("Maven".into(), joined(":")),
            "composer" => ("Packagist".into(), joined("/")),
            "nuget" => ("NuGet".into(), self.name.clone()),
            "hex" => ("Hex".into(), self.name.clone()),
            "pub" => ("Pub".into(), self.name.clone()),
            "cran" => ("CRAN".into(), self.name.clone()),
            "generic" => ("generic".into(), self.name.clone()),
            _ => return None,
        })
    }

    /// The distribution package that it names, with release and source package where it says so.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        let version = self.version.clone()?;
        let distribution = match (self.kind.as_str(), self.namespace.to_ascii_lowercase().as_str())
        {
            ("deb", "ubuntu") => "Ubuntu",
            ("deb", _) => "Debian",
            ("apk", "wolfi") => "Wolfi",
            ("apk", "openwrt") => "OpenWrt",
            ("apk", _) => "Alpine",
            ("opkg", _) => "OpenWrt",
            ("rpm", "redhat" | "rhel") => "Red Hat",
            ("rpm", "rocky") => "Rocky Linux",
            ("rpm", "almalinux") => "AlmaLinux",
            ("rpm", "opensuse") => "openSUSE",
            ("rpm", "suse" | "sles") => "SUSE",
            ("rpm", "fedora") => "Fedora",
            ("rpm", _) => "rpm",
            _ => return None,
        };
        let release = self.qualifier("distro").and_then(|d| {
            let number = d.rsplit('-').next()?;
            number.starts_with(|c: char| c.is_ascii_digit()).then_some(number)
        });
        let release = match (distribution, release) {
            ("Debian", Some(r)) => Some(r.split('.').next().unwrap_or(r).to_owned()),
            ("Debian", None) => debian_release(&version).map(str::to_owned),
            ("Alpine", Some(r)) => {
                Some(format!("v{}", r.split('.').take(2).collect::<Vec<_>>().join(".")))
            }
            (_, Some(r)) => Some(r.to_owned()),
            (_, None) => None,
        };
        // Syft writes the source package into `upstream`, others into `source`; either may carry a version.
        let source = self
            .qualifier("upstream")
            .or_else(|| self.qualifier("source"))
            .map_or(self.name.as_str(), |s| s.split('@').next().unwrap_or(s));
        let version = match self.qualifier("epoch") {
            Some(epoch) if !version.contains(':') => format!("{epoch}:{version}"),
            _ => version,
        };
        Some(Owner {
            ecosystem: release
                .map_or_else(|| distribution.to_owned(), |r| format!("{distribution}:{r}")),
            source: source.to_owned(),
            version,
        })
    }
}

/// Security updates of Debian carry the release in their version.
fn debian_release(version: &str) -> Option<&str> {
    let at = version
        .rfind("deb")
        .filter(|i| version.get(..*i).is_some_and(|h| h.ends_with(['+', '~'])))?;
    let rest = version.get(at + 3..)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end).filter(|n| !n.is_empty())
}

/// The upstream version within a package's: without epoch, revision and what the packager added.
#[must_use]
pub fn upstream_version(kind: &str, version: &str) -> String {
    let v = version.split_once(':').map_or(version, |(epoch, rest)| {
        if epoch.bytes().all(|b| b.is_ascii_digit()) { rest } else { version }
    });
    match kind {
        "deb" | "opkg" => {
            let v = v.rsplit_once('-').map_or(v, |(v, _)| v);
            // 2.0+really1.9: the later one is what was packaged.
            let v = v.rsplit_once("really").map_or(v, |(_, later)| later);
            let end = [
                "+dfsg", "~dfsg", ".dfsg", "+ds", "~ds", "+repack", "+git", "~git", "+deb",
                "-dfsg", "+b",
            ]
            .iter()
            .filter_map(|mark| v.find(mark))
            .min()
            .unwrap_or(v.len());
            v.get(..end).unwrap_or(v).to_owned()
        }
        "apk" => {
            let v = v.rsplit_once("-r").map_or(v, |(head, n)| {
                if n.bytes().all(|b| b.is_ascii_digit()) { head } else { v }
            });
            v.split_once('~')
                .map_or(v, |(head, _)| head)
                .replace("_git", "-git")
                .replace("_p", "p")
                .replace('_', "-")
        }
        "rpm" => v.split_once('-').map_or(v, |(v, _)| v).replace('~', "-"),
        _ => version.to_owned(),
    }
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok()
}
