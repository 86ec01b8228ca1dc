//! What was recognised in each content, as facts with places, owners and public identifiers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use proofmark_advisories::purl::upstream_version;
use proofmark_components::{
    Hit, Relation, catalogue,
    join::{Seen, join},
};
use proofmark_model::{
    Artifact, ComponentRef, Evidence, Fact, Locator, Observation, Strength, Tri,
    fact::{Component, Package, Trait},
};

use crate::matching::{Options, owner_name, source};

/// Id and revision. The state of the catalogue is [`proofmark_components::REVISION`].
const REVISION: (&str, u32) = ("components", 1);

/// One fact for each product in each content, and the options that the bytes tell by position and product. `hits`
/// has one element for each artifact; `facts` tells which package owns which file.
#[must_use]
pub fn observations(
    artifacts: &[Artifact],
    hits: &[Option<Arc<Vec<Hit>>>],
    facts: &[Observation],
) -> (Vec<Observation>, BTreeMap<(usize, String), Options>) {
    let owners: HashMap<&Locator, &str> = facts
        .iter()
        .filter_map(|o| match &o.fact {
            Fact::Executable(x) => Some((o.evidence.first(), x.owner.as_deref()?)),
            _ => None,
        })
        .collect();
    let packages: HashMap<String, &Package> = facts
        .iter()
        .filter_map(|o| match &o.fact {
            Fact::Package(p) => Some((owner_name(p), p)),
            _ => None,
        })
        .collect();
    let (mut out, mut options) = (Vec::new(), BTreeMap::<_, Options>::new());
    for (at, (artifact, hits)) in artifacts.iter().zip(hits).enumerate() {
        let Some(hits) = hits.as_ref().filter(|_| is_looked_at(artifact)) else {
            continue;
        };
        for hit in hits.iter() {
            if !hit.features.is_empty() || !hit.complete.is_empty() {
                let known = options.entry((at, hit.product.clone())).or_default();
                known.0.extend(hit.features.iter().cloned());
                known.1.extend(hit.complete.iter().cloned());
            }
            let owner = owners.get(&artifact.locator).filter(|_| hit.relation == Relation::Is);
            let package = owner.and_then(|o| packages.get(*o).copied());
            out.push(observation(artifact, hit, package));
        }
    }
    out.extend(copies(artifacts, hits, &owners, &packages));
    (out, options)
}

/// What is divided into regions is looked at region by region; what no container sees is no component of the image.
fn is_looked_at(artifact: &Artifact) -> bool {
    !proofmark_inspect::divided(artifact) && !artifact.is_superseded()
}

/// Traits of the whole image: how often and in how many versions a product is in it, where that is more than once, and
/// where bytes and package database contradict each other.
fn copies(
    artifacts: &[Artifact],
    hits: &[Option<Arc<Vec<Hit>>>],
    owners: &HashMap<&Locator, &str>,
    packages: &HashMap<String, &Package>,
) -> Vec<Observation> {
    let named: Vec<(String, &Artifact, &Vec<Hit>)> = artifacts
        .iter()
        .zip(hits)
        .filter(|(a, _)| is_looked_at(a))
        .filter_map(|(a, h)| Some((a.locator.to_string(), a, h.as_deref()?)))
        .filter(|(_, _, h)| !h.is_empty())
        .collect();
    let places: HashMap<&str, &Locator> =
        named.iter().map(|(name, a, _)| (name.as_str(), &a.locator)).collect();
    let seen = named.iter().flat_map(|(place, artifact, hits)| {
        let package = owners.get(&artifact.locator).and_then(|o| packages.get(*o));
        let package = package.map(|p| p.version.as_str());
        hits.iter().map(move |hit| Seen { place, hit, package })
    });
    let fact = |name: &str, value: String, places: Vec<Locator>| {
        let mut places = places.into_iter();
        let first = places.next()?;
        Some(Observation {
            fact: Fact::Trait(Trait { name: name.to_owned(), value, complete: Tri::Yes }),
            evidence: Evidence::with(first, places),
            inspector: REVISION.0.to_owned(),
            revision: REVISION.1,
            strength: Strength::Observed,
        })
    };
    let mut out = Vec::new();
    for joined in join(seen) {
        let at = |place: &String| places.get(place.as_str()).map(|l| (*l).clone());
        if joined.copies() > 1 {
            let all = joined.versions.values().flatten().filter_map(at).collect();
            let (copies, versions) = (joined.copies(), joined.distinct_versions());
            let value = format!("{}: {copies} copies, {versions} versions", joined.product);
            out.extend(fact("component-copies", value, all));
        }
        for (place, own, package) in &joined.conflicts {
            let value = format!(
                "{}: {own} in the bytes, {package} in the package database",
                joined.product
            );
            out.extend(fact("component-conflict", value, at(place).into_iter().collect()));
        }
    }
    out
}

/// Upstream's version of a package.
fn release(package: &Package) -> String {
    let kind = match package.manager.as_str() {
        "dpkg" => "deb",
        other => other,
    };
    upstream_version(kind, source(package).1)
}

/// The bytes tell the version; where they do not, the package that owns the file does, and that is an inference.
fn observation(artifact: &Artifact, hit: &Hit, owner: Option<&Package>) -> Observation {
    let place = |(offset, length): &(u64, u64)| {
        artifact.locator.at(*offset, offset.saturating_add(*length))
    };
    let mut places = hit.places.iter().map(place);
    let told = hit.version.clone();
    let version = told.clone().or_else(|| owner.map(release));
    let by = match (&told, owner) {
        (None, Some(p)) => format!("; version of {}", owner_name(p)),
        _ => String::new(),
    };
    let span = if hit.span.is_open() { String::new() } else { format!("; release {}", hit.span) };
    let first = places.next().unwrap_or_else(|| artifact.locator.clone());
    Observation {
        fact: Fact::Component(Component {
            component: reference(&hit.product, version.as_deref()),
            relation: hit.relation.as_str().to_owned(),
            by: format!("{}: {}{span}{by}", hit.product, hit.by.join(", ")),
            owner: owner.map(owner_name),
        }),
        evidence: Evidence::with(first, places),
        inspector: REVISION.0.to_owned(),
        revision: REVISION.1,
        strength: if by.is_empty() { Strength::Observed } else { Strength::Inferred },
    }
}

/// The product's public identifiers with the version that was found.
fn reference(name: &str, version: Option<&str>) -> ComponentRef {
    let product = catalogue().product(name);
    let cpe = |pair: &String| {
        let (part, pair) = match pair.strip_prefix("o:") {
            Some(rest) => ("o", rest),
            None => ("a", pair.as_str()),
        };
        let version = version.map_or_else(|| "*".to_owned(), quoted);
        format!("cpe:2.3:{part}:{pair}:{version}:*:*:*:*:*:*:*")
    };
    ComponentRef {
        name: name.to_owned(),
        version: version.map(str::to_owned),
        purl: product
            .map(|p| version.map_or_else(|| p.purl.clone(), |v| format!("{}@{v}", p.purl))),
        cpes: product.map(|p| p.cpe.iter().map(cpe).collect()).unwrap_or_default(),
    }
}

/// A value as formatted CPE 2.3 text has it: everything but letters, digits, `-`, `.` and `_` behind a backslash.
fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_') {
            out.push('\\');
        }
        out.extend(c.to_lowercase());
    }
    out
}
