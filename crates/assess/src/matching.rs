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
    kernel::KernelPicture,
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
        let mut grouped: BTreeMap<(&ComponentRef, Option<&str>), Vec<&Evidence>> = BTreeMap::new();
        for o in ground.observations {
            let Fact::Component(c) = &o.fact else { continue };
            // What is only needed or named is somewhere else or nowhere; kernels come below.
            if !matches!(&*c.relation, "is" | "statically-contains") || c.component.name == "linux"
            {
                continue;
            }
            grouped.entry((&c.component, c.owner.as_deref())).or_default().push(&o.evidence);
        }
        let mut out: Vec<_> = grouped
            .into_iter()
            .filter_map(|((component, owner), places)| {
                let owner = owner.and_then(|o| self.owner(self.packages.get(o)?));
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
        for (kernel, at) in &self.kernels {
            out.extend(self.kernel(ground, kernel, *at));
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
        // `name (version)` where the source's version differs.
        let source = package.source.as_deref().unwrap_or(&package.name);
        let (source, version) = source
            .split_once(" (")
            .map_or((source, None), |(s, v)| (s, Some(v.trim_end_matches(')'))));
        Some(Owner {
            ecosystem: ecosystem.trim_end_matches([':', 'v']).trim_end_matches(':').to_owned(),
            source: source.to_owned(),
            version: version.unwrap_or(&package.version).to_owned(),
        })
    }

    fn kernel(&self, ground: &Ground<'_>, kernel: &Kernel, at: usize) -> Option<(Query, Evidence)> {
        let artifact = ground.artifacts.get(at)?;
        let folder = format!("lib/modules/{}/", kernel.release);
        let paths = ground.artifacts.iter().map(|a| a.locator.path());
        let modules: Vec<String> = paths
            .filter(|p| p.contains(&folder))
            .filter_map(|p| {
                let file = p.rsplit('/').next()?;
                let stem = file.split_once(".ko").filter(|(_, rest)| rest.len() <= 4)?.0;
                Some(stem.replace('-', "_"))
            })
            .collect();
        // The banner is often read off the image, the symbols off what is packed in it.
        let steps = &artifact.locator.steps;
        let near =
            |other: &Locator| other.steps.starts_with(steps) || steps.starts_with(&other.steps);
        let symbols = ground.artifacts.iter().zip(ground.notes).find_map(|(a, notes)| {
            let symbols = &notes.as_ref()?.kernel_symbols;
            (!symbols.is_empty() && near(&a.locator)).then(|| symbols.clone())
        });
        let symbols = symbols.unwrap_or_default();
        let whole = matches!(kernel.config_source.as_str(), "embedded" | "file");
        let picture = KernelPicture {
            release: kernel.release.clone(),
            machine: kernel.machine.clone(),
            config: kernel.config.clone(),
            config_complete: whole && kernel.config.len() > 100,
            modules,
            // A table counts its names, and all of them were read.
            symbols_complete: !symbols.is_empty(),
            symbols,
            ..KernelPicture::default()
        };
        let version = kernel.release.clone();
        let component = ComponentRef {
            name: "linux".to_owned(),
            purl: Some(format!("pkg:generic/linux@{version}")),
            cpes: vec![format!("cpe:2.3:o:linux:linux_kernel:{version}:*:*:*:*:*:*:*")],
            version: Some(version),
        };
        let place = Evidence::one(artifact.locator.clone());
        let occurrence = Occurrence {
            digest: artifact.sha256,
            evidence: Some(place.clone()),
            kernel: Some(Arc::new(picture)),
            ..Occurrence::default()
        };
        let query =
            Query { component: Some(component), occurrences: vec![occurrence], ..Query::default() };
        Some((query, place))
    }
}

/// Programs, libraries, scripts, and sources of languages that run from source.
fn is_code(artifact: &Artifact) -> bool {
    const RUN: &[&str] = &[".py", ".pl", ".pm", ".lua", ".js", ".php", ".rb", ".sh", ".jar", ".ko"];
    matches!(&*artifact.format, "elf" | "pe" | "script" | "macho")
        || RUN.iter().any(|e| artifact.locator.path().ends_with(e))
}

/// `manager:name`, as components name their owner.
fn owner_name(package: &Package) -> String {
    format!("{}:{}", package.manager, package.name)
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
