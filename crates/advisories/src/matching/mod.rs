//! From a component to graded vulnerabilities.
//!
//! Records about the component are collected by exact identity, each is asked for its opinion, and the most specific
//! source that decides wins: the distributor that owns the file, then the producer, then who tracks its branches,
//! then corrections of NVD, then NVD. What the others say stays in the reasons. Then the bytes are asked: a feature
//! that is not compiled in or a source file that is not part of the kernel dismisses, one that is there raises.
//!
//! Nothing is dismissed on a guess: what cannot be compared or is not known leaves the vulnerability standing at
//! grade *named*, with the reason.

pub mod applicability;
pub mod platform;
pub mod statement;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proofmark_model::{
    ComponentRef, Digest, Dismissal, Evidence, Grade, Vulnerability, vulnerability::Cvss,
};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    corrections::{Corrections, Product},
    cpe::Cpe,
    kernel::KernelPicture,
    record::{Key, Record, Store},
    version::Scheme,
};

pub use platform::{Platform, Truth};
pub use statement::{Opinion, Rank, View};

/// A component to be matched.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Its coordinates. The version is the upstream one; a distribution's revision belongs to the owner.
    pub component: Option<ComponentRef>,
    /// Other names it is known by, such as the stem of its library.
    pub aliases: Vec<String>,
    /// The distribution package that owns it.
    pub owner: Option<Owner>,
    /// Each content that is or contains it. Without any, the component is judged by its coordinates alone.
    pub occurrences: Vec<Occurrence>,
}

/// One content that is or contains the component.
#[derive(Debug, Clone, Default)]
pub struct Occurrence {
    /// The content.
    pub digest: Option<Digest>,
    /// Where it is.
    pub evidence: Option<Evidence>,
    /// What is known of its features.
    pub features: Features,
    /// What is known of it, where it is a Linux kernel.
    pub kernel: Option<Arc<KernelPicture>>,
    /// Why it is reachable, where that was established: started at boot, bound to a listener.
    pub reachable: Option<String>,
    /// The package that owns this content, where it differs from the query's.
    pub owner: Option<Owner>,
}

/// Features of a content, written `family:name`: `applet:wget`, `openssl:dtls1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// Those that were seen.
    pub present: BTreeSet<String>,
    /// Families whose list is complete: what was not seen is not there.
    pub complete: BTreeSet<String>,
}

/// The distribution package that owns a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Distribution with its release as OSV names it: `Debian:12`, `Alpine:v3.18`; without release where unknown.
    pub ecosystem: String,
    /// Source package.
    pub source: String,
    /// Version with the distribution's revision.
    pub version: String,
}

impl Owner {
    /// Order of the distribution's versions.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.distribution().as_str() {
            "alpine" | "wolfi" | "chainguard" => Scheme::Apk,
            "debian" | "ubuntu" | "openwrt" | "opkg" => Scheme::Deb,
            "buildroot" | "yocto" => Scheme::Generic,
            _ => Scheme::Rpm,
        }
    }

    /// Name of the distribution in lower case.
    #[must_use]
    pub fn distribution(&self) -> String {
        self.ecosystem.split(':').next().unwrap_or_default().to_ascii_lowercase()
    }

    /// Whether the release matters and is known.
    fn release_known(&self) -> bool {
        self.ecosystem.contains(':')
            || matches!(self.distribution().as_str(), "buildroot" | "yocto" | "openwrt")
    }

    /// The statement is about this package in this release; without a known release, in any.
    fn is(&self, ecosystem: &str, name: &str) -> bool {
        if !name.eq_ignore_ascii_case(&self.source) {
            return false;
        }
        if self.release_known() && ecosystem.contains(':') && self.ecosystem.contains(':') {
            ecosystem.eq_ignore_ascii_case(&self.ecosystem)
        } else {
            ecosystem
                .split(':')
                .next()
                .unwrap_or_default()
                .eq_ignore_ascii_case(&self.distribution())
        }
    }
}

/// The component as records are asked about it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Upstream version.
    pub version: Option<&'a str>,
    /// How its versions are ordered.
    pub scheme: Scheme,
    /// Package URL type; `generic` where there is none.
    pub purl_type: &'a str,
    /// Exact CPE pairs.
    pub pairs: BTreeSet<(String, String)>,
    /// Packages by ecosystem and name.
    pub packages: BTreeSet<(String, String)>,
    /// Vendor and product as CVE records write them.
    pub products: BTreeSet<(String, String)>,
    /// Names under which a record without vendor may mean it.
    pub names: BTreeSet<String>,
    /// Repositories of its source.
    pub repositories: BTreeSet<String>,
}

impl Subject<'_> {
    /// A CPE name of this component, whatever its version.
    #[must_use]
    pub fn is(&self, cpe: &Cpe) -> bool {
        cpe.pair().is_some_and(|(v, p)| self.pairs.contains(&(v.to_owned(), p.to_owned())))
    }

    /// The same for a name that was not taken apart: most names in a record are about something else, and are told
    /// by their text.
    fn may_be(&self, cpe: &str) -> bool {
        if cpe.contains('\\') || !cpe.starts_with("cpe:2.3:") {
            return Cpe::parse(cpe).is_ok_and(|c| self.is(&c));
        }
        let mut fields = cpe.split(':').skip(3);
        let (Some(v), Some(p)) = (fields.next(), fields.next()) else { return false };
        self.pairs.iter().any(|(a, b)| a.eq_ignore_ascii_case(v) && b.eq_ignore_ascii_case(p))
    }

    /// The name has a version whose first number is another one.
    fn other_major(&self, cpe: &str) -> bool {
        let first = |v: &str| v.split(['.', '-', '_']).next().and_then(|n| n.parse::<u64>().ok());
        let named = if cpe.contains('\\') { None } else { cpe.split(':').nth(5).and_then(first) };
        matches!((named, self.version.and_then(first)), (Some(a), Some(b)) if a != b)
    }

    /// A package of it. The ecosystem may carry a release.
    fn is_package(&self, ecosystem: &str, name: &str) -> bool {
        let ecosystem = ecosystem.split(':').next().unwrap_or_default().to_ascii_lowercase();
        self.packages.contains(&(ecosystem, name.to_ascii_lowercase()))
    }

    /// Whether a product of a CVE record is this component: yes, or perhaps because only the name is given.
    fn is_product(&self, vendor: &str, product: &str) -> Option<bool> {
        let (vendor, product) =
            (vendor.trim().to_ascii_lowercase(), product.trim().to_ascii_lowercase());
        if self.products.contains(&(vendor.clone(), product.clone())) {
            return Some(true);
        }
        let anonymous = matches!(vendor.as_str(), "" | "n/a" | "unknown" | "unspecified");
        // A vendor that calls itself like its product is the same as the exact CPE pair.
        if self.pairs.contains(&(vendor, product.clone())) {
            return Some(true);
        }
        (self.names.contains(&product) && (anonymous || self.pairs.is_empty())).then_some(false)
    }

    fn is_repository(&self, url: &str) -> bool {
        self.repositories.contains(&repository(url))
    }
}

/// A repository's address without what does not matter.
fn repository(url: &str) -> String {
    let url = url.trim().to_ascii_lowercase();
    let url = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    url.trim_end_matches('/').trim_end_matches(".git").to_owned()
}

/// A vulnerability matched to a component, without the place where the component is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Match {
    /// CVE id, or the id of the record where there is none.
    pub id: String,
    /// The component.
    pub component: ComponentRef,
    /// The highest grade of all occurrences that are not dismissed; of all, where all are.
    pub grade: Grade,
    /// Why it does not concern any occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<Dismissal>,
    /// Each step with its reason.
    pub reasons: Vec<String>,
    /// The score with the newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvss: Option<Cvss>,
    /// EPSS in parts per million.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epss_ppm: Option<u32>,
    /// On the list of known exploited vulnerabilities.
    pub known_exploited: bool,
    /// Its source disputes that it is a vulnerability.
    pub disputed: bool,
    /// Records it comes from, the deciding one first.
    pub sources: Vec<String>,
    /// The verdict for each content.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub occurrences: Vec<Verdict>,
}

/// The verdict for one content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Grade before any dismissal.
    pub grade: Grade,
    /// Why it does not concern this content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<Dismissal>,
    /// Each step with its reason.
    pub reasons: Vec<String>,
}

impl Match {
    /// The same as part of an assessment. `fallback` is where the component was seen; contents that are concerned
    /// come first.
    #[must_use]
    pub fn into_vulnerability(
        self,
        fallback: Evidence,
        occurrences: &[Occurrence],
    ) -> Vulnerability {
        let concerned =
            self.occurrences.iter().filter(|v| v.dismissed == self.dismissed).filter_map(|v| {
                occurrences.iter().find(|o| o.digest == v.digest).and_then(|o| o.evidence.as_ref())
            });
        let mut evidence: Option<Evidence> = None;
        for place in concerned.flat_map(|e| e.places().to_vec()) {
            match &mut evidence {
                Some(e) => e.push(place),
                None => evidence = Some(Evidence::one(place)),
            }
        }
        Vulnerability {
            id: self.id,
            component: self.component,
            grade: self.grade,
            dismissed: self.dismissed,
            reasons: self.reasons,
            cvss: self.cvss,
            epss_ppm: self.epss_ppm,
            known_exploited: self.known_exploited,
            evidence: evidence.unwrap_or(fallback),
            source: self.sources.first().cloned().unwrap_or_default(),
        }
    }
}

/// How many vulnerabilities remain at each step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Funnel {
    /// Records name the component.
    pub matched: usize,
    /// The version and conditions apply, and nothing dismissed them.
    pub applicable: usize,
    /// The vulnerable code is there.
    pub present: usize,
    /// The fix is not there.
    pub unpatched: usize,
    /// It is started or listens.
    pub reachable: usize,
}

impl Funnel {
    /// Adds the counts of another component.
    pub fn add(&mut self, other: Self) {
        self.matched += other.matched;
        self.applicable += other.applicable;
        self.present += other.present;
        self.unpatched += other.unpatched;
        self.reachable += other.reachable;
    }
}

/// A record names the component and does not concern its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotAffected {
    /// CVE id.
    pub id: String,
    /// Who says so and why.
    pub reason: String,
}

/// The answer for one component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What concerns it, and what was dismissed with more than its version; gravest first.
    pub matches: Vec<Match>,
    /// What names it and is about other versions, by id.
    pub not_affected: Vec<NotAffected>,
    /// Records that were rejected or withdrawn by their source.
    pub withdrawn: usize,
    /// Counts at each step.
    pub funnel: Funnel,
    /// The component is not in the catalogue of exact identities: records were found by name only.
    pub by_name_only: bool,
}

/// Matches one component.
///
/// # Errors
/// One sentence, when the store cannot be read.
pub fn match_component(
    query: &Query,
    store: &dyn Store,
    platform: &Platform,
    corrections: &Corrections,
) -> Result<Outcome, String> {
    let Some(component) = &query.component else { return Ok(Outcome::default()) };
    let product = corrections.identify(component, &query.aliases, query.owner.as_ref());
    let subject = subject(component, product, query);
    let (by_cve, withdrawn) = collect(&subject, query, store)?;
    let mut out =
        Outcome { withdrawn, by_name_only: subject.pairs.is_empty(), ..Outcome::default() };
    let one = |(cve, records): (String, Vec<Arc<Record>>)| {
        let found = verdict::decide(
            &cve,
            &records,
            query,
            component,
            &subject,
            product,
            platform,
            corrections,
        );
        (cve, found)
    };
    // A kernel has thousands; other threads do not pay for few.
    let decided: Vec<(String, verdict::Decision)> = match by_cve.len() {
        ..256 => by_cve.into_iter().map(one).collect(),
        _ => by_cve.into_par_iter().map(one).collect(),
    };
    for (cve, found) in decided {
        match found {
            verdict::Decision::Nothing => continue,
            verdict::Decision::Other(reason) => {
                out.not_affected.push(NotAffected { id: cve, reason })
            }
            verdict::Decision::Match(mut m) => {
                let threat = store.threat(&m.id)?;
                m.epss_ppm = threat.epss_ppm;
                m.known_exploited = threat.known_exploited;
                out.matches.push(*m);
            }
        }
        out.funnel.matched += 1;
    }
    for m in out.matches.iter().filter(|m| m.dismissed.is_none() && m.grade >= Grade::Version) {
        out.funnel.applicable += 1;
        out.funnel.present += usize::from(m.grade >= Grade::Present);
        out.funnel.unpatched += usize::from(m.grade >= Grade::Unpatched);
        out.funnel.reachable += usize::from(m.grade >= Grade::Reachable);
    }
    out.matches.sort_by(gravest_first);
    Ok(out)
}

/// What concerns the image before what was dismissed; then known exploited, grade, EPSS, CVSS, id.
#[must_use]
pub fn gravest_first(a: &Match, b: &Match) -> std::cmp::Ordering {
    let key = |m: &Match| {
        (
            m.dismissed.is_none(),
            m.known_exploited,
            m.grade,
            m.epss_ppm.unwrap_or(0),
            m.cvss.as_ref().map_or(0, |c| c.score_tenths),
        )
    };
    key(b).cmp(&key(a)).then_with(|| a.id.cmp(&b.id)).then_with(|| a.component.cmp(&b.component))
}

/// What records are asked about: the catalogue's identity and what the component itself carries.
fn subject<'a>(
    component: &'a ComponentRef,
    product: Option<&Product>,
    query: &Query,
) -> Subject<'a> {
    let purl = component.purl.as_deref().and_then(crate::purl::Purl::parse);
    let purl_type = component
        .purl
        .as_deref()
        .and_then(|p| p.strip_prefix("pkg:"))
        .and_then(|p| p.split('/').next())
        .filter(|t| crate::purl::is_language(t))
        .unwrap_or("generic");
    let lower = |s: &str| s.trim().to_ascii_lowercase();
    let mut names: BTreeSet<String> = query.aliases.iter().map(|a| lower(a)).collect();
    names.insert(lower(&component.name));
    let mut s = Subject {
        version: component.version.as_deref(),
        scheme: product.map(|p| p.scheme).unwrap_or_else(|| crate::purl::scheme(purl_type)),
        purl_type,
        pairs: component
            .cpes
            .iter()
            .filter_map(|c| Cpe::parse(c).ok())
            .filter_map(|c| c.pair().map(|(v, p)| (v.to_owned(), p.to_owned())))
            .collect(),
        packages: BTreeSet::new(),
        products: BTreeSet::new(),
        names,
        repositories: BTreeSet::new(),
    };
    if let Some(p) = product {
        s.pairs.extend(p.pairs.iter().cloned());
        s.packages.extend(p.packages.iter().cloned());
        s.products.extend(p.products.iter().cloned());
        s.names.extend(p.names.iter().cloned());
        s.repositories.extend(p.repositories.iter().map(|r| repository(r)));
    }
    if let Some((ecosystem, name)) = purl.as_ref().and_then(crate::purl::Purl::package) {
        s.packages.insert((ecosystem.to_ascii_lowercase(), name.to_ascii_lowercase()));
    }
    s
}

type Records = BTreeMap<String, Vec<Arc<Record>>>;

/// All records that may be about the component, by CVE; and how many of them were taken back.
fn collect(
    subject: &Subject<'_>,
    query: &Query,
    store: &dyn Store,
) -> Result<(Records, usize), String> {
    let mut keys = BTreeSet::new();
    keys.extend(subject.pairs.iter().map(|(v, p)| Key::Cpe(v.clone(), p.clone())));
    keys.extend(subject.packages.iter().map(|(e, n)| Key::Package(e.clone(), n.clone())));
    keys.extend(subject.products.iter().map(|(_, p)| Key::Product(p.clone())));
    keys.extend(subject.names.iter().map(|n| Key::Product(n.clone())));
    let owners = query.occurrences.iter().filter_map(|o| o.owner.as_ref()).chain(&query.owner);
    keys.extend(owners.map(|o| Key::Package(o.distribution(), o.source.to_ascii_lowercase())));
    let mut seen = BTreeSet::new();
    let mut out = Records::new();
    let (mut rejected, mut withdrawn) = (BTreeSet::new(), 0);
    for key in &keys {
        for record in store.about(key)? {
            if !seen.insert((record.feed.clone(), record.id.clone())) {
                continue;
            }
            match record.standing.as_deref() {
                Some("rejected") => {
                    rejected.extend(record.cves.iter().cloned().chain([record.id.clone()]));
                    withdrawn += 1;
                    continue;
                }
                Some("withdrawn") => {
                    withdrawn += 1;
                    continue;
                }
                _ => {}
            }
            let ids = if record.cves.is_empty() {
                std::slice::from_ref(&record.id)
            } else {
                &record.cves[..]
            };
            for id in ids {
                out.entry(id.clone()).or_default().push(Arc::clone(&record));
            }
        }
    }
    // An id that its authority rejected is gone, whoever still lists it.
    out.retain(|id, _| !rejected.contains(id));
    Ok((out, withdrawn))
}
