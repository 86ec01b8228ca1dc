//! Holds a producer's bill of materials against the components that were seen.
//!
//! Two components are the same product if they share a CPE vendor and product, or a package URL without its version
//! and qualifiers, or, where either side has neither, their name without case and separators.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_model::{
    ComponentRef, Fact, Observation,
    assessment::DataVersion,
    reconciliation::{Differing, Reconciliation},
};

/// Everything a component can be recognised by.
fn keys(c: &ComponentRef) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for cpe in &c.cpes {
        let fields: Vec<&str> = cpe.split(':').collect();
        if let [_, _, _, vendor, product, ..] = fields[..] {
            keys.insert(format!("cpe {vendor} {product}"));
        }
    }
    // A generic package URL says no more than the name.
    if let Some(purl) = c.purl.as_deref().filter(|p| !p.starts_with("pkg:generic/")) {
        let stem = purl.split(['?', '#']).next().unwrap_or(purl);
        let stem = stem.rsplit_once('@').map_or(stem, |(s, _)| s);
        keys.insert(format!("purl {}", stem.to_ascii_lowercase()));
    }
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '+';
    keys.insert(format!(
        "name {}",
        c.name.to_ascii_lowercase().chars().filter(plain).collect::<String>()
    ));
    keys
}

/// Whether the versions are the same as far as both are given. A distribution's epoch and revision are no part of the
/// release: `1:2.90-4` is `2.90`.
fn same_version(a: &ComponentRef, b: &ComponentRef) -> bool {
    let (Some(a), Some(b)) = (&a.version, &b.version) else { return true };
    let release = |v: &str| {
        let v = v.split_once(':').map_or(v, |(_, rest)| rest);
        v.rsplit_once('-').map_or(v, |(head, _)| head).to_owned()
    };
    a == b || release(a) == release(b) || *a == release(b) || release(a) == *b
}

/// Holds `claimed` against the components among the observations.
#[must_use]
pub fn reconcile(
    document: DataVersion,
    claimed: &[ComponentRef],
    observations: &[Observation],
) -> Reconciliation {
    let seen: BTreeSet<&ComponentRef> = observations
        .iter()
        .filter_map(|o| match &o.fact {
            // What is only needed or named may be somewhere else.
            Fact::Component(c) if matches!(&*c.relation, "is" | "statically-contains") => {
                Some(&c.component)
            }
            _ => None,
        })
        .collect();
    let mut by_key: BTreeMap<String, Vec<&ComponentRef>> = BTreeMap::new();
    for component in &seen {
        keys(component).into_iter().for_each(|k| by_key.entry(k).or_default().push(component));
    }
    let mut out = Reconciliation {
        document,
        agreed: Vec::new(),
        differing: Vec::new(),
        not_seen: Vec::new(),
        not_claimed: Vec::new(),
    };
    let mut accounted: BTreeSet<&ComponentRef> = BTreeSet::new();
    for claim in claimed.iter().collect::<BTreeSet<_>>() {
        let of_key = keys(claim).into_iter().filter_map(|k| by_key.get(&k)).flatten();
        let same: BTreeSet<&ComponentRef> = of_key.copied().collect();
        if same.is_empty() {
            out.not_seen.push(claim.clone());
        } else if same.iter().any(|s| same_version(claim, s)) {
            out.agreed.push(claim.clone());
            // Another version beside the claimed one is still not claimed.
            accounted.extend(same.into_iter().filter(|s| same_version(claim, s)));
        } else {
            accounted.extend(&same);
            let seen = same.into_iter().cloned().collect();
            out.differing.push(Differing { claimed: claim.clone(), seen });
        }
    }
    out.not_claimed = seen.into_iter().filter(|s| !accounted.contains(s)).cloned().collect();
    out
}

#[cfg(test)]
mod tests {
    use proofmark_model::{Evidence, Locator, Strength, fact::Component};

    use super::*;

    fn component(name: &str, version: &str) -> ComponentRef {
        ComponentRef {
            name: name.into(),
            version: Some(version.into()).filter(|v: &String| !v.is_empty()),
            purl: None,
            cpes: Vec::new(),
        }
    }

    fn seen(relation: &str, component: ComponentRef) -> Observation {
        Observation {
            fact: Fact::Component(Component {
                component,
                relation: relation.into(),
                by: "test".into(),
                owner: None,
            }),
            evidence: Evidence::one(Locator::image("t.img")),
            inspector: "test".into(),
            revision: 1,
            strength: Strength::Observed,
        }
    }

    #[test]
    fn every_component_is_in_one_list() {
        let mut expat = component("libexpat1", "2.5.0");
        expat.cpes = vec!["cpe:2.3:a:libexpat_project:libexpat:2.5.0:*:*:*:*:*:*:*".into()];
        let mut claimed_expat = component("expat", "2.5.0");
        claimed_expat.cpes = vec!["cpe:2.3:a:libexpat_project:libexpat:*:*:*:*:*:*:*:*".into()];
        let observations = [
            seen("is", component("BusyBox", "1.36.1")),
            seen("is", component("openssl", "1.1.1k")),
            seen("statically-contains", component("zlib", "1.2.11")),
            seen("statically-contains", component("zlib", "1.3")),
            seen("names", component("curl", "8.0")),
            seen("is", expat),
        ];
        let claimed = [
            component("busybox", "1.36.1-r0"),
            component("openssl", "3.0.2"),
            component("zlib", "1.3"),
            component("curl", "8.0"),
            claimed_expat,
        ];
        let document = DataVersion { id: "sbom.json".into(), version: "x".into(), sha256: None };
        let r = reconcile(document, &claimed, &observations);
        let names = |list: &[ComponentRef]| -> Vec<String> {
            list.iter()
                .map(|c| format!("{} {}", c.name, c.version.as_deref().unwrap_or_default()))
                .collect()
        };
        assert_eq!(names(&r.agreed), ["busybox 1.36.1-r0", "expat 2.5.0", "zlib 1.3"]);
        assert_eq!(r.differing.len(), 1);
        assert_eq!(names(&r.differing[0].seen), ["openssl 1.1.1k"]);
        assert_eq!(names(&r.not_seen), ["curl 8.0"]);
        assert_eq!(names(&r.not_claimed), ["zlib 1.2.11"]);
    }
}
