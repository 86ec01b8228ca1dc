//! What was recognised in each content, as facts with places, owners and public identifiers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use proofmark_components::{Hit, Relation, catalogue};
use proofmark_model::{
    Artifact, ComponentRef, Evidence, Fact, Locator, Observation, Strength, fact::Component,
};

use crate::matching::Options;

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
    let (mut out, mut options) = (Vec::new(), BTreeMap::<_, Options>::new());
    for (at, (artifact, hits)) in artifacts.iter().zip(hits).enumerate() {
        // What is divided into regions is looked at region by region.
        let Some(hits) = hits.as_ref().filter(|_| artifact.regions.is_empty()) else { continue };
        for hit in hits.iter() {
            if !hit.features.is_empty() || !hit.complete.is_empty() {
                let known = options.entry((at, hit.product.clone())).or_default();
                known.0.extend(hit.features.iter().cloned());
                known.1.extend(hit.complete.iter().cloned());
            }
            out.push(observation(artifact, hit, owners.get(&artifact.locator).copied()));
        }
    }
    (out, options)
}

fn observation(artifact: &Artifact, hit: &Hit, owner: Option<&str>) -> Observation {
    let place = |(offset, length): &(u64, u64)| {
        artifact.locator.at(*offset, offset.saturating_add(*length))
    };
    let mut places = hit.places.iter().map(place);
    let first = places.next().unwrap_or_else(|| artifact.locator.clone());
    Observation {
        fact: Fact::Component(Component {
            component: reference(hit),
            relation: hit.relation.as_str().to_owned(),
            by: format!("{}: {}", hit.product, hit.by.join(", ")),
            owner: owner.filter(|_| hit.relation == Relation::Is).map(str::to_owned),
        }),
        evidence: Evidence::with(first, places),
        inspector: REVISION.0.to_owned(),
        revision: REVISION.1,
        strength: Strength::Observed,
    }
}

/// The product's public identifiers with the version that was found.
fn reference(hit: &Hit) -> ComponentRef {
    let product = catalogue().product(&hit.product);
    let version = hit.version.as_deref();
    let cpe = |pair: &String| {
        let (part, pair) = match pair.strip_prefix("o:") {
            Some(rest) => ("o", rest),
            None => ("a", pair.as_str()),
        };
        let version = version.map_or_else(|| "*".to_owned(), quoted);
        format!("cpe:2.3:{part}:{pair}:{version}:*:*:*:*:*:*:*")
    };
    ComponentRef {
        name: hit.product.clone(),
        version: hit.version.clone(),
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
