//! Components to graded vulnerabilities: asks the advisories about each component where it is, and tells them what
//! the image says about its platform, its kernels and its start-up.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map::Entry},
    sync::Arc,
};

use proofmark_advisories::{
    Store,
    corrections::Corrections,
    decisions::{Bound, Contents, Decision, apply},
    matching::{Features, Occurrence, Owner, Platform, Query, match_component},
    status::{Freshness, freshness},
};
use proofmark_inspect::Notes;
use proofmark_model::{
    Artifact, ComponentRef, Digest, Evidence, Fact, Grade, Locator, Observation, Tri,
    Vulnerability,
    assessment::DataVersion,
    fact::{Executable, Kernel, Package},
};
use proofmark_yardstick::needs::STALE;

use crate::kernels::Beside;

/// What a component's bytes tell of its options: those that are there, and the prefixes of which all are known.
pub type Options = (Vec<String>, Vec<String>);

/// Everything that matching looks at.
pub struct Ground<'a> {
    /// The tree.
    pub artifacts: &'a [Artifact],
    /// The facts, components included.
    pub observations: &'a [Observation],
    /// What the first stage noted about each artifact.
    pub notes: &'a [Option<Arc<Notes>>],
    /// Options of a product in an artifact, by the artifact's position and the product's name.
    pub options: &'a BTreeMap<(usize, String), Options>,
}

/// Matches every component of an image.
///
/// # Errors
/// One sentence, when the advisories cannot be read.
pub fn vulnerabilities(
    ground: &Ground<'_>,
    store: &dyn Store,
    corrections: &Corrections,
) -> Result<Vec<Vulnerability>, String> {
    let image = Image::of(ground);
    let platform = image.platform(ground);
    let mut out = Vec::new();
    for (query, places) in image.queries(ground) {
        let outcome = match_component(&query, store, &platform, corrections)?;
        let matched = outcome.matches.into_iter();
        out.extend(matched.map(|m| m.into_vulnerability(places.clone(), &query.occurrences)));
    }
    Ok(out)
}

/// Sorts what concerns the image before what does not; then by known exploited, grade, EPSS, CVSS; never by count.
pub fn gravest_first(all: &mut [Vulnerability]) {
    all.sort_by(|a, b| gravity(b).cmp(&gravity(a)).then_with(|| name(a).cmp(&name(b))));
}

/// Applies what people stated, wherever the bytes are those it was stated for.
pub fn decide(all: &mut [Vulnerability], artifacts: &[Artifact], decisions: &[Decision]) {
    let digests: HashMap<&Locator, Digest> =
        artifacts.iter().filter_map(|a| Some((&a.locator, a.sha256?))).collect();
    let mut contents = Contents::default();
    for v in all.iter() {
        for place in v.evidence.places() {
            if let Some(digest) = digests.get(&place.whole()) {
                contents.add(&v.id, &v.component.name, Bound::Content(*digest));
            }
        }
    }
    apply(all, &contents, decisions);
}

/// Takes one step back where the feed that decides is stale on the day that is judged: what was published since,
/// corrected ranges above all, is not in it.
pub fn lower_stale(all: &mut [Vulnerability], feeds: &[DataVersion], as_of: i64) {
    let stale = stale(feeds, as_of);
    for v in all.iter_mut() {
        let own = v.source.split(' ').next().unwrap_or_default();
        let starter = format!("starter/{own}");
        let Some(feed) = stale.get(own).or_else(|| stale.get(&starter)) else { continue };
        v.grade = match v.grade {
            Grade::Named | Grade::Version => Grade::Named,
            Grade::Present => Grade::Version,
            Grade::Unpatched => Grade::Present,
            Grade::Reachable => Grade::Unpatched,
            // It was shown; no feed takes that back.
            Grade::Demonstrated => continue,
        };
        let newest = feed.newest.as_deref().unwrap_or("an unknown date");
        v.reasons.push(format!(
            "one grade lower: the feed {} ends at {newest}, and later corrections are not in it",
            feed.feed
        ));
    }
}

/// What concerns the image before what does not; then known exploited, grade, EPSS, CVSS.
fn gravity(v: &Vulnerability) -> impl Ord + use<> {
    let score = v.cvss.as_ref().map_or(0, |c| c.score_tenths);
    (v.dismissed.is_none(), v.known_exploited, v.grade, v.epss_ppm.unwrap_or(0), score)
}

fn name(v: &Vulnerability) -> impl Ord + use<'_> {
    (&v.id, &v.component, v.evidence.first())
}

/// The feeds that are out of date on the day `as_of` (seconds since 1970-01-01), by name.
fn stale(feeds: &[DataVersion], as_of: i64) -> HashMap<String, Freshness> {
    let day = i32::try_from(as_of.div_euclid(86_400)).unwrap_or(i32::MAX);
    let stale = freshness(feeds, day).into_iter().filter(|f| f.stale);
    stale.map(|f| (f.feed.clone(), f)).collect()
}

/// The feeds, those that are out of date marked as such.
pub fn dated(mut feeds: Vec<DataVersion>, as_of: i64) -> Vec<DataVersion> {
    let stale = stale(&feeds, as_of);
    for feed in feeds.iter_mut().filter(|f| stale.contains_key(&f.id)) {
        feed.version.push_str(STALE);
    }
    feeds
}

/// What is looked up more than once.
struct Image<'a> {
    /// Position of an artifact by its place.
    by_place: HashMap<&'a Locator, usize>,
    /// Programs by the position of their artifact.
    programs: HashMap<usize, &'a Executable>,
    /// Packages by `manager:name`.
    packages: HashMap<String, &'a Package>,
    kernels: Vec<(&'a Kernel, usize)>,
    distribution: Option<(String, String)>,
}

impl<'a> Image<'a> {
    fn of(ground: &Ground<'a>) -> Self {
        let by_place: HashMap<_, _> =
            ground.artifacts.iter().enumerate().map(|(i, a)| (&a.locator, i)).collect();
        let mut image = Self {
            by_place,
            programs: HashMap::new(),
            packages: HashMap::new(),
            kernels: Vec::new(),
            distribution: None,
        };
        for o in ground.observations {
            let at = image.position(o.evidence.first());
            match &o.fact {
                Fact::Executable(x) => drop(at.map(|at| image.programs.insert(at, x))),
                Fact::Package(p) => drop(image.packages.insert(owner_name(p), p)),
                Fact::Kernel(k) => image.kernels.extend(at.map(|at| (k, at))),
                Fact::Trait(t) if t.name == "distribution" => {
                    let (id, release) = t.value.split_once(' ').unwrap_or((&t.value, ""));
                    image.distribution = Some((id.to_owned(), release.to_owned()));
                }
                _ => {}
            }
        }
        image
    }

    /// The artifact that a place lies in.
    fn position(&self, place: &Locator) -> Option<usize> {
        self.by_place.get(&place.whole()).copied()
    }

    fn platform(&self, ground: &Ground<'_>) -> Platform {
        let cpes = ground.observations.iter().filter_map(|o| match &o.fact {
            Fact::Component(c) if c.relation == "is" => Some(c.component.cpes.iter().cloned()),
            _ => None,
        });
        let mut components: Vec<String> = cpes.flatten().collect();
        components.sort();
        components.dedup();
        let mut machines: BTreeMap<&str, usize> = BTreeMap::new();
        for program in self.programs.values() {
            let n = machines.entry(machine(program)).or_default();
            *n = n.saturating_add(1);
        }
        let most = machines.into_iter().filter(|(m, _)| !m.is_empty()).max_by_key(|(_, n)| *n);
        let linux = !self.kernels.is_empty()
            || self.programs.values().any(|p| p.interpreter.is_some() && p.format == "elf");
        let release = self.kernels.first().map(|(k, _)| k.release.clone());
        Platform {
            os: linux.then(|| "linux_kernel".to_owned()),
            // With two kernels it is not known under which one a program runs.
            os_version: release.filter(|_| self.kernels.len() == 1),
            distribution: self.distribution.clone(),
            machine: most.map(|(m, _)| m.to_owned()),
            components,
            // An image does not tell what is beside it, and not every program in it was recognised.
            components_complete: false,
        }
    }

    /// One query for each component, version and owner, with all its places.
    fn queries(&self, ground: &Ground<'_>) -> Vec<(Query, Evidence)> {
        let mut grouped: BTreeMap<_, (Option<Owner>, Vec<&Evidence>)> = BTreeMap::new();
        for o in ground.observations {
            let Fact::Component(c) = &o.fact else { continue };
            // What is only needed or named is somewhere else or nowhere; kernels come below.
            if !matches!(&*c.relation, "is" | "statically-contains") || c.component.name == "linux"
            {
                continue;
            }
            let package = c.owner.as_deref().and_then(|o| self.packages.get(o));
            let owner = package.and_then(|p| self.owner(p));
            // Packages made of one source are one owner.
            let key = owner.as_ref().map(|o| (o.source.clone(), o.version.clone()));
            let group = grouped.entry((&c.component, key)).or_insert_with(|| (owner, Vec::new()));
            group.1.push(&o.evidence);
        }
        let mut out: Vec<_> = grouped
            .into_iter()
            .filter_map(|((component, _), (owner, places))| {
                let occurrences = self.occurrences(ground, component, &places);
                let query = Query {
                    component: Some(component.clone()),
                    owner,
                    occurrences,
                    ..Query::default()
                };
                Some((query, (*places.first()?).clone()))
            })
            .collect();
        out.extend(self.package_queries(ground));
        let beside = Beside::of(ground);
        for (kernel, at) in &self.kernels {
            out.extend(ground.artifacts.get(*at).map(|a| beside.query(kernel, a)));
        }
        out
    }

    /// Packages that no recognised component stands for. One that is known to hold no code (documentation, headers,
    /// translations) has no vulnerabilities of its own.
    fn package_queries(&self, ground: &Ground<'_>) -> Vec<(Query, Evidence)> {
        let covered: BTreeSet<&str> = ground
            .observations
            .iter()
            .filter_map(|o| match &o.fact {
                Fact::Component(c) if c.relation == "is" => c.owner.as_deref(),
                _ => None,
            })
            .collect();
        let code: HashSet<String> = ground
            .artifacts
            .iter()
            .filter(|a| is_code(a))
            .map(|a| a.locator.path().trim_start_matches('/').to_owned())
            .collect();
        let query = |o: &Observation| {
            let Fact::Package(p) = &o.fact else { return None };
            let held = |f: &String| code.contains(f.trim_start_matches('/'));
            let empty = !p.files.is_empty() && !p.files.iter().any(held);
            if !p.installed || empty || covered.contains(owner_name(p).as_str()) {
                return None;
            }
            let owner = self.owner(p);
            let place = o.evidence.first();
            let component = self.coordinates(p, owner.as_ref())?;
            let occurrence = Occurrence {
                digest: self.position(place).and_then(|at| ground.artifacts.get(at)?.sha256),
                evidence: Some(o.evidence.clone()),
                ..Occurrence::default()
            };
            let query = Query {
                component: Some(component),
                owner,
                occurrences: vec![occurrence],
                ..Query::default()
            };
            Some((query, o.evidence.clone()))
        };
        // Packages made of one source are one component in several places.
        let mut merged: BTreeMap<_, (Query, Evidence)> = BTreeMap::new();
        for (query, evidence) in ground.observations.iter().filter_map(query) {
            let owner = query.owner.as_ref().map(|o| (o.ecosystem.clone(), o.version.clone()));
            match merged.entry((query.component.clone(), owner)) {
                Entry::Vacant(e) => drop(e.insert((query, evidence))),
                Entry::Occupied(mut e) => e.get_mut().0.occurrences.extend(query.occurrences),
            }
        }
        merged.into_values().collect()
    }

    /// A package as a component. None for managers whose packages are no published products of that name.
    fn coordinates(&self, package: &Package, owner: Option<&Owner>) -> Option<ComponentRef> {
        let version = &package.version;
        let (kind, name) = match package.manager.as_str() {
            "pypi" => ("pypi", package.name.clone()),
            "npm" => ("npm", package.name.replace('@', "%40")),
            "cargo" => ("cargo", package.name.clone()),
            "golang" => ("golang", package.name.clone()),
            "maven" => ("maven", package.name.replacen(':', "/", 1)),
            "luarocks" => ("luarocks", package.name.clone()),
            "dpkg" | "opkg" | "apk" | "rpm" | "yocto" | "buildroot" => {
                let name = owner.map_or(&package.name, |o| &o.source).clone();
                let version = owner.map_or(version, |o| &o.version);
                let kind = if package.manager == "apk" { "apk" } else { "deb" };
                return Some(ComponentRef {
                    version: Some(proofmark_advisories::purl::upstream_version(kind, version)),
                    name,
                    purl: None,
                    cpes: Vec::new(),
                });
            }
            _ => return None,
        };
        Some(ComponentRef {
            purl: Some(format!("pkg:{kind}/{name}@{version}")),
            name: package.name.clone(),
            version: Some(version.clone()),
            cpes: Vec::new(),
        })
    }

    fn occurrences(
        &self,
        ground: &Ground<'_>,
        component: &ComponentRef,
        places: &[&Evidence],
    ) -> Vec<Occurrence> {
        let mut seen = BTreeSet::new();
        let all = places.iter().flat_map(|e| e.places());
        all.filter_map(|place| {
            let at = self.position(place)?;
            let artifact = ground.artifacts.get(at)?;
            // The record of a package is not the component's code.
            if !seen.insert(at) {
                return None;
            }
            let features = ground.options.get(&(at, component.name.clone()));
            let features =
                features.map_or_else(Features::default, |(present, complete)| Features {
                    present: present.iter().cloned().collect(),
                    complete: complete.iter().cloned().collect(),
                });
            Some(Occurrence {
                digest: artifact.sha256,
                evidence: Some(Evidence::one(place.clone())),
                features,
                reachable: self.programs.get(&at).and_then(|p| reachable(p)),
                ..Occurrence::default()
            })
        })
        .collect()
    }

    /// The distribution's package behind a file. Without a known distribution its statements cannot be used.
    fn owner(&self, package: &Package) -> Option<Owner> {
        let (id, release) = self.distribution.as_ref().map_or(("", ""), |(i, r)| (i, r));
        let ecosystem = match (package.manager.as_str(), id) {
            ("dpkg", "ubuntu") => format!("Ubuntu:{release}"),
            ("dpkg", "debian") => {
                format!("Debian:{}", release.split('.').next().unwrap_or(release))
            }
            ("apk", _) => {
                let branch: Vec<&str> = release.split('.').take(2).collect();
                format!("Alpine:v{}", branch.join("."))
            }
            ("opkg", _) => format!("OpenWrt:{release}"),
            ("yocto", _) => "Yocto".to_owned(),
            ("buildroot", _) => "Buildroot".to_owned(),
            _ => return None,
        };
        let (source, version) = source(package);
        Some(Owner {
            ecosystem: ecosystem.trim_end_matches([':', 'v']).trim_end_matches(':').to_owned(),
            source: source.to_owned(),
            version: version.to_owned(),
        })
    }
}

/// Programs, libraries, scripts, and sources of languages that run from source.
fn is_code(artifact: &Artifact) -> bool {
    const RUN: &[&str] = &[".py", ".pl", ".pm", ".lua", ".js", ".php", ".rb", ".sh", ".jar", ".ko"];
    matches!(&*artifact.format, "elf" | "pe" | "script" | "macho")
        || RUN.iter().any(|e| artifact.locator.path().ends_with(e))
}

/// `manager:name`, as components name their owner.
pub fn owner_name(package: &Package) -> String {
    format!("{}:{}", package.manager, package.name)
}

/// Name and version of the source that a package was made of: recorded as `name (version)` where they differ from the
/// package's own.
pub fn source(package: &Package) -> (&str, &str) {
    let recorded = package.source.as_deref().unwrap_or(&package.name);
    match recorded.split_once(" (") {
        Some((name, version)) => (name, version.trim_end_matches(')')),
        None => (recorded, &package.version),
    }
}

/// Machine in the words of `uname -m`.
fn machine(program: &Executable) -> &str {
    match (program.machine.as_str(), program.little_endian) {
        ("x86-64", _) => "x86_64",
        ("x86", _) => "i686",
        ("arm", _) => "armv7l",
        ("mips", true) => "mipsel",
        ("ppc64", true) => "ppc64le",
        (other, _) => other,
    }
}

/// Why the code of a program is reached, where that is known.
fn reachable(program: &Executable) -> Option<String> {
    match (&program.network_facing, &program.started) {
        (Tri::Yes, _) => {
            Some("it listens on the network, or a started program that does needs it".into())
        }
        (_, Tri::Yes) => {
            Some("the image's own start-up starts it, or a started program needs it".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proofmark_advisories::record::{
        CpeMatch, Key, Node, Range, Record, Statement, Status, Subject, Threat,
    };
    use proofmark_model::{
        Dismissal, EntryKind, Metadata, Step, Strength,
        fact::{Component, Trait},
    };

    use super::*;

    struct Records(Vec<Arc<Record>>);

    impl Store for Records {
        fn about(&self, key: &Key) -> Result<Vec<Arc<Record>>, String> {
            let fits = |r: &&Arc<Record>| match key {
                Key::Cpe(_, product) => r
                    .configurations
                    .iter()
                    .any(|n| n.matches.iter().any(|m| m.cpe.contains(&format!(":{product}:")))),
                Key::Package(ecosystem, name) => r.statements.iter().any(|s| {
                    matches!(&s.subject, Subject::Package { ecosystem: e, name: n }
                        if e.to_ascii_lowercase().starts_with(ecosystem) && n == name)
                }),
                _ => false,
            };
            Ok(self.0.iter().filter(fits).cloned().collect())
        }

        fn threat(&self, _: &str) -> Result<Threat, String> {
            Ok(Threat::default())
        }

        fn feeds(&self) -> Vec<DataVersion> {
            feeds("2026-01-01")
        }
    }

    fn feeds(newest: &str) -> Vec<DataVersion> {
        vec![DataVersion { id: "nvd".into(), version: newest.into(), sha256: None }]
    }

    fn record(id: &str, before: &str) -> Record {
        Record {
            feed: "nvd".into(),
            id: id.into(),
            cves: vec![id.into()],
            configurations: vec![Node {
                all: false,
                negate: false,
                nodes: Vec::new(),
                matches: vec![CpeMatch {
                    cpe: "cpe:2.3:a:busybox:busybox:*:*:*:*:*:*:*:*".into(),
                    vulnerable: true,
                    range: Some(Range { to: Some((before.into(), false)), ..Range::default() }),
                }],
            }],
            ..Record::default()
        }
    }

    fn observation(fact: Fact, place: &Locator) -> Observation {
        Observation {
            fact,
            evidence: Evidence::one(place.clone()),
            inspector: "test".into(),
            revision: 1,
            strength: Strength::Observed,
        }
    }

    /// BusyBox in two files, owned by a package of Debian 12.
    fn image() -> (Vec<Artifact>, Vec<Observation>) {
        let root = Locator::image("t.img");
        let artifact = |name: &str| Artifact {
            locator: root.join(Step::entry(name)),
            parent: None,
            entry: EntryKind::File,
            format: "elf".into(),
            size: 9,
            sha256: Some(Digest::of(name.as_bytes())),
            metadata: Metadata::default(),
            proof: None,
            regions: Vec::new(),
            rejected: Vec::new(),
            problems: Vec::new(),
            attributes: BTreeMap::new(),
        };
        let artifacts = vec![artifact("bin/busybox"), artifact("sbin/init")];
        let component = Component {
            component: ComponentRef {
                name: "busybox".into(),
                version: Some("1.35.0".into()),
                purl: Some("pkg:generic/busybox@1.35.0".into()),
                cpes: vec!["cpe:2.3:a:busybox:busybox:1.35.0:*:*:*:*:*:*:*".into()],
            },
            relation: "is".into(),
            by: "busybox: text 1".into(),
            owner: Some("dpkg:busybox".into()),
        };
        let package = Package {
            manager: "dpkg".into(),
            name: "busybox".into(),
            version: "1:1.35.0-4".into(),
            architecture: None,
            source: None,
            installed: true,
            license: None,
            files: vec!["bin/busybox".into()],
        };
        let distribution =
            Trait { name: "distribution".into(), value: "debian 12".into(), complete: Tri::Yes };
        let mut observations: Vec<_> = artifacts
            .iter()
            .map(|a| observation(Fact::Component(component.clone()), &a.locator.at(1, 5)))
            .collect();
        observations.push(observation(Fact::Package(package), &root));
        observations.push(observation(Fact::Trait(distribution), &root));
        (artifacts, observations)
    }

    fn matched(records: Vec<Record>) -> (Vec<Artifact>, Vec<Vulnerability>) {
        let (artifacts, observations) = image();
        let ground = Ground {
            artifacts: &artifacts,
            observations: &observations,
            notes: &[None, None],
            options: &BTreeMap::new(),
        };
        let store = Records(records.into_iter().map(Arc::new).collect());
        let corrections = Corrections::embedded().unwrap();
        let found = vulnerabilities(&ground, &store, &corrections).unwrap();
        (artifacts, found)
    }

    #[test]
    fn one_answer_for_all_places_and_the_distributor_first() {
        let mut fixed = record("CVE-2100-1", "1.36.0");
        fixed.statements.clear();
        let statement = Statement {
            subject: Subject::Package { ecosystem: "Debian:12".into(), name: "busybox".into() },
            default: Status::NotAffected,
            ranges: vec![(
                Range { scheme: "deb".into(), to: Some(("1:1.35.0-4".into(), false)), from: None },
                Status::Affected,
            )],
            files: Vec::new(),
            functions: Vec::new(),
            reason: None,
            added: false,
        };
        let debian = Record {
            feed: "debian".into(),
            id: "DSA-1".into(),
            cves: vec!["CVE-2100-1".into()],
            statements: vec![statement],
            ..Record::default()
        };
        let (_, found) = matched(vec![
            fixed,
            debian,
            record("CVE-2100-2", "1.36.0"),
            record("CVE-2100-3", "1.35.0"),
        ]);
        let by = |id: &str| found.iter().filter(|v| v.id == id).collect::<Vec<_>>();
        assert_eq!(by("CVE-2100-1").len(), 1);
        assert_eq!(by("CVE-2100-1")[0].dismissed, Some(Dismissal::FixedByDistributor));
        assert_eq!(by("CVE-2100-2").len(), 1, "the package is the same component");
        assert_eq!(
            (by("CVE-2100-2")[0].grade, by("CVE-2100-2")[0].dismissed),
            (Grade::Version, None)
        );
        assert_eq!(by("CVE-2100-2")[0].evidence.places().len(), 2);
        assert!(by("CVE-2100-3").is_empty());
    }

    #[test]
    fn stale_data_lowers_the_grade_and_is_marked() {
        let (_, mut found) = matched(vec![record("CVE-2100-2", "1.36.0")]);
        let day = 20_500 * 86_400;
        lower_stale(&mut found, &feeds("2026-02-15"), day);
        assert_eq!(found[0].grade, Grade::Version, "fresh");
        lower_stale(&mut found, &feeds("2020-01-01"), day);
        assert_eq!(found[0].grade, Grade::Named);
        assert!(found[0].reasons.iter().any(|r| r.contains("ends at 2020-01-01")));
        assert_eq!(dated(feeds("2020-01-01"), day)[0].version, "2020-01-01 (stale)");
    }

    #[test]
    fn a_decision_holds_where_the_same_bytes_are() {
        let (artifacts, found) = matched(vec![record("CVE-2100-2", "1.36.0")]);
        let decision = |digests: &[Option<Digest>]| Decision {
            vulnerability: "CVE-2100-2".into(),
            component: "busybox".into(),
            bound: digests.iter().flatten().map(|d| Bound::Content(*d)).collect(),
            ruling: proofmark_advisories::decisions::Ruling::NotAffected(
                Dismissal::VulnerableCodeNotPresent,
            ),
            detail: "the applet is not built".into(),
            origin: "vex.json".into(),
        };
        let both = [artifacts[0].sha256, artifacts[1].sha256];
        let mut all = found.clone();
        decide(&mut all, &artifacts, &[decision(&both)]);
        assert_eq!(all[0].dismissed, Some(Dismissal::VulnerableCodeNotPresent));
        let mut half = found.clone();
        decide(&mut half, &artifacts, &[decision(&both[..1])]);
        assert_eq!(half[0].dismissed, None, "one of two copies was looked at");
        let mut other = found;
        decide(&mut other, &artifacts, &[decision(&[Some(Digest::of(b"other"))])]);
        assert_eq!(other[0].dismissed, None);
    }
}
