//! One list of components out of packages and of what was recognised in binaries.
//!
//! Precedence, written down because it shows in every software bill of materials:
//!
//! 1. An installed package is a component. Packages that a database merely knows are not.
//! 2. What was recognised in a file joins the package that owns the file, if both have the same name: the
//!    package's version (which carries the distributor's revision) names the component, the other one is
//!    kept as a further version seen.
//! 3. What was recognised joins another of the same name and version.
//! 4. *names* and *dynamically-needs* never make a component: text that mentions a product, or a need for a
//!    library, does not put it there. They are evidence where the component is there anyway.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proofmark_model::{
    Artifact, Assessment, ComponentRef, Digest, Fact, Locator, Observation, fact,
};

/// A component with all that supports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Product or package name.
    pub name: String,
    /// Version, as the strongest evidence has it.
    pub version: Option<String>,
    /// Package URL, as recorded or derived from the package database's kind.
    pub purl: Option<String>,
    /// CPE 2.3 names, sorted.
    pub cpes: Vec<String>,
    /// What sort of thing it is.
    pub sort: Sort,
    /// Licence text as the package database has it.
    pub license: Option<String>,
    /// `manager:name` of the package it is or belongs to.
    pub package: Option<String>,
    /// Other versions that evidence of the same component names.
    pub other_versions: BTreeSet<String>,
    /// All evidence, sorted: rule or database, relation, place.
    pub evidence: BTreeSet<Witness>,
    /// Digests of the files that *are* this component, at most [`MAX_FILES`].
    pub files: BTreeMap<String, Digest>,
}

/// Files kept per component for hashes.
pub const MAX_FILES: usize = 64;

/// A piece of evidence for a component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witness {
    /// `package`, `is`, `statically-contains`, `dynamically-needs`, `names`.
    pub relation: String,
    /// Rule or database.
    pub by: String,
    /// Version that this evidence names.
    pub version: Option<String>,
    /// Where.
    pub place: Locator,
}

/// Sorts of component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A program.
    Application,
    /// Code that programs use.
    Library,
    /// A kernel.
    OperatingSystem,
}

impl Item {
    /// `busybox 1.36.1`, or the name alone.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.version {
            Some(v) => format!("{} {v}", self.name),
            None => self.name.clone(),
        }
    }

    /// The same coordinates as [`ComponentRef`].
    #[must_use]
    pub fn matches(&self, c: &ComponentRef) -> bool {
        self.purl.is_some() && self.purl == c.purl
            || self.name.eq_ignore_ascii_case(&c.name)
                && (self.version == c.version
                    || c.version.as_ref().is_some_and(|v| self.other_versions.contains(v)))
    }
}

/// All components, sorted by name and version.
#[must_use]
pub fn components(a: &Assessment) -> Vec<Item> {
    let contents: HashMap<&Locator, &Artifact> =
        a.artifacts.iter().map(|x| (&x.locator, x)).collect();
    let libraries = libraries(&a.observations);
    let distributions = distributions(&a.observations);
    let mut items: BTreeMap<(String, Option<String>), Item> = BTreeMap::new();
    let mut packages: HashMap<String, (String, Option<String>)> = HashMap::new();
    for o in &a.observations {
        let Fact::Package(p) = &o.fact else { continue };
        if !p.installed {
            continue;
        }
        let key = (p.name.to_lowercase(), Some(p.version.clone()));
        let package = format!("{}:{}", p.manager, p.name);
        packages.insert(package.clone(), key.clone());
        let item = items.entry(key).or_insert_with(|| empty(&p.name, Some(&p.version)));
        let home = o.evidence.first().to_string();
        let distribution = distributions.iter().find(|(root, _)| home.starts_with(root));
        let url = || package_url(p, distribution.map(|(_, name)| name.as_str()));
        item.purl = item.purl.take().or_else(|| Some(url()));
        item.license = item.license.take().or_else(|| p.license.clone());
        item.package = Some(package);
        if p.name.starts_with("lib") || p.files.iter().any(|f| f.contains(".so.")) {
            item.sort = Sort::Library;
        }
        witness(item, "package", &p.manager, Some(&p.version), o);
    }
    // Evidence that makes a component first, so that the rest finds what it belongs to.
    let mut rest = Vec::new();
    for o in &a.observations {
        let Fact::Component(c) = &o.fact else { continue };
        if !matches!(c.relation.as_str(), "is" | "statically-contains") {
            rest.push((o, c));
            continue;
        }
        let key = key_of(c, &packages, &items);
        let item = items
            .entry(key)
            .or_insert_with(|| empty(&c.component.name, c.component.version.as_ref()));
        join(item, c, o);
        if c.relation == "is" {
            let whole = Locator { range: None, ..o.evidence.first().clone() };
            if libraries.contains(&whole) {
                item.sort = Sort::Library;
            }
            if let Some(digest) = contents.get(&whole).and_then(|x| x.sha256)
                && item.files.len() < MAX_FILES
            {
                item.files.insert(whole.to_string(), digest);
            }
        } else if item.package.is_none() && item.files.is_empty() {
            item.sort = Sort::Library;
        }
    }
    for (o, c) in rest {
        let key = key_of(c, &packages, &items);
        if let Some(item) = items.get_mut(&key) {
            join(item, c, o);
        }
    }
    kernels(a, &mut items);
    items.into_values().collect()
}

/// Kernels that no component rule has named already.
fn kernels(a: &Assessment, items: &mut BTreeMap<(String, Option<String>), Item>) {
    for o in &a.observations {
        let Fact::Kernel(k) = &o.fact else { continue };
        let named = items.values_mut().find(|i| {
            matches!(i.name.to_lowercase().as_str(), "linux" | "linux_kernel" | "linux-kernel")
                && i.version.as_deref().is_none_or(|v| k.release.starts_with(v))
        });
        let item = match named {
            Some(item) => item,
            None => items
                .entry(("linux".into(), Some(k.release.clone())))
                .or_insert_with(|| empty("linux", Some(&k.release))),
        };
        item.sort = Sort::OperatingSystem;
        witness(item, "is", &o.inspector, Some(&k.release), o);
    }
}

/// Where evidence of a component belongs: rules 2 and 3 above.
fn key_of(
    c: &fact::Component,
    packages: &HashMap<String, (String, Option<String>)>,
    items: &BTreeMap<(String, Option<String>), Item>,
) -> (String, Option<String>) {
    let name = c.component.name.to_lowercase();
    let owner = c.owner.as_ref().and_then(|o| packages.get(o)).filter(|(n, _)| *n == name);
    let plain = || {
        let exact = (name.clone(), c.component.version.clone());
        if c.component.version.is_some() || items.contains_key(&exact) {
            return exact;
        }
        // Without a version it belongs to the one component of this name, if there is only one.
        let mut same = items.keys().filter(|(n, _)| *n == name);
        match (same.next(), same.next()) {
            (Some(only), None) => only.clone(),
            _ => exact,
        }
    };
    owner.cloned().unwrap_or_else(plain)
}

fn join(item: &mut Item, c: &fact::Component, o: &Observation) {
    if item.purl.is_none() {
        item.purl.clone_from(&c.component.purl);
    }
    for cpe in &c.component.cpes {
        if let Err(at) = item.cpes.binary_search(cpe) {
            item.cpes.insert(at, cpe.clone());
        }
    }
    if item.package.is_none() {
        item.package.clone_from(&c.owner);
    }
    if let Some(v) = &c.component.version
        && item.version.as_ref() != Some(v)
    {
        item.other_versions.insert(v.clone());
    }
    witness(item, &c.relation, &c.by, c.component.version.as_ref(), o);
}

fn witness(item: &mut Item, relation: &str, by: &str, version: Option<&String>, o: &Observation) {
    item.evidence.extend(o.evidence.places().iter().map(|place| Witness {
        relation: relation.to_owned(),
        by: by.to_owned(),
        version: version.cloned(),
        place: place.clone(),
    }));
}

fn empty(name: &str, version: Option<&String>) -> Item {
    Item {
        name: name.to_owned(),
        version: version.cloned(),
        purl: None,
        cpes: Vec::new(),
        sort: Sort::Application,
        license: None,
        package: None,
        other_versions: BTreeSet::new(),
        evidence: BTreeSet::new(),
        files: BTreeMap::new(),
    }
}

fn libraries(observations: &[Observation]) -> BTreeSet<Locator> {
    observations
        .iter()
        .filter_map(|o| match &o.fact {
            Fact::Executable(e) if e.kind == "shared-library" => {
                Some(Locator { range: None, ..o.evidence.first().clone() })
            }
            _ => None,
        })
        .collect()
}

/// Where each root file system that names its distribution begins, and that name with the release (`debian 12`);
/// innermost roots first.
fn distributions(observations: &[Observation]) -> Vec<(String, String)> {
    let mut found: Vec<_> = observations
        .iter()
        .filter_map(|o| match &o.fact {
            Fact::Trait(t) if t.name == "distribution" => {
                let file = o.evidence.first().to_string();
                let end = file.rfind("/etc/").or_else(|| file.rfind("/usr/lib/"))?;
                Some((file.get(..=end)?.to_owned(), t.value.clone()))
            }
            _ => None,
        })
        .collect();
    found.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.cmp(b)));
    found
}

/// Package URL of a package of a database.
///
/// `deb`, `rpm` and `apk` are registered types with the distribution as namespace, where the root file system
/// names it; opkg has none, so it is `generic`.
fn package_url(p: &fact::Package, distribution: Option<&str>) -> String {
    let kind = match p.manager.as_str() {
        "dpkg" => "deb",
        "apk" => "apk",
        "rpm" => "rpm",
        "pip" => "pypi",
        "npm" => "npm",
        "cargo" => "cargo",
        "go" => "golang",
        "maven" => "maven",
        _ => "generic",
    };
    let distribution = distribution.filter(|_| matches!(kind, "deb" | "apk" | "rpm"));
    let namespace = distribution
        .and_then(|d| d.split(' ').next())
        .map_or(String::new(), |name| format!("{}/", encode(name)));
    let arch = p.architecture.as_ref().map(|arch| format!("arch={}", encode(arch)));
    let distro = distribution.map(|d| format!("distro={}", encode(&d.replace(' ', "-"))));
    let qualifiers: Vec<_> = arch.into_iter().chain(distro).collect();
    let mark = if qualifiers.is_empty() { "" } else { "?" };
    format!(
        "pkg:{kind}/{namespace}{}@{}{mark}{}",
        encode(&p.name),
        encode(&p.version),
        qualifiers.join("&")
    )
}

/// Package URL of something that only has a name and perhaps a version.
pub(crate) fn generic_url(name: &str, version: Option<&str>) -> String {
    match version {
        Some(v) => format!("pkg:generic/{}@{}", encode(name), encode(v)),
        None => format!("pkg:generic/{}", encode(name)),
    }
}

/// Percent-encoding of a package URL's parts.
fn encode(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for b in part.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~:".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proofmark_model::{Evidence, Strength, Tri};

    fn observed(fact: Fact, place: &str) -> Observation {
        Observation {
            fact,
            evidence: Evidence::one(place.parse().unwrap()),
            inspector: "test".into(),
            revision: 1,
            strength: Strength::Observed,
        }
    }

    #[test]
    fn the_namespace_is_the_distribution_of_the_innermost_root() {
        let names = |value: &str, place| {
            let name = "distribution".into();
            let fact = fact::Trait { name, value: value.into(), complete: Tri::Yes };
            observed(Fact::Trait(fact), place)
        };
        let roots = distributions(&[
            names("debian 12", "a.img@0x0:squashfs/usr/lib/os-release+0x0..0x10"),
            names("alpine 3.20", "a.img@0x0:squashfs/srv/jail/etc/os-release+0x0..0x10"),
        ]);
        let home = |place: &str| {
            roots.iter().find(|(root, _)| place.starts_with(root)).map(|(_, name)| name.as_str())
        };
        assert_eq!(home("a.img@0x0:squashfs/srv/jail/lib/apk/db/installed"), Some("alpine 3.20"));
        assert_eq!(home("a.img@0x0:squashfs/var/lib/dpkg/status"), Some("debian 12"));
        assert_eq!(home("a.img@0x9000:squashfs/var/lib/dpkg/status"), None);
        let mut package = fact::Package {
            manager: "dpkg".into(),
            name: "libssl3".into(),
            version: "3.0.11-1~deb12u2".into(),
            architecture: Some("armhf".into()),
            source: None,
            installed: true,
            license: None,
            files: Vec::new(),
        };
        assert_eq!(
            package_url(&package, Some("debian 12")),
            "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=armhf&distro=debian-12"
        );
        assert_eq!(package_url(&package, None), "pkg:deb/libssl3@3.0.11-1~deb12u2?arch=armhf");
        package.manager = "opkg".into();
        assert!(package_url(&package, Some("openwrt 23.05")).starts_with("pkg:generic/libssl3@"));
    }
}
