//! How containers of updates and boot images protect their integrity.
//!
//! Establishes: for each container that the unpacking engine read and that
//! carries an update or a boot image, the strongest mechanism it has itself
//! (nothing, checksum, digest, signature) and whether its value is right.
//!
//! How: from the attributes `integrity`, `integrity-algorithm` and
//! `integrity-correct` that formats set.
//!
//! False positives: none; it repeats what the container says of itself.
//!
//! False negatives: a signature beside the container, in a portal or in a
//! trailer that no format knows.
//!
//! Limits: what the device checks before it installs is not seen here.

use proofmark_model::{
    Artifact, Evidence, Fact, Observation, Strength, Tri,
    fact::{Integrity, UpdateContainer},
};

use crate::View;

/// Id and revision.
pub const REVISION: (&str, u32) = ("update", 1);

fn class(text: &str) -> Option<Integrity> {
    Some(match text {
        "none" => Integrity::None,
        "crc" => Integrity::Crc,
        "hash" => Integrity::Hash,
        "signature" => Integrity::Signature,
        _ => return None,
    })
}

/// Second stage.
pub(crate) fn image(view: &View<'_>, out: &mut Vec<Observation>) {
    let carries = |a: &Artifact| a.attributes.get("integrity").and_then(|i| class(i));
    for artifact in view.artifacts {
        let Some(integrity) = carries(artifact) else { continue };
        let attribute = |k: &str| artifact.attributes.get(k).map(String::as_str);
        let ancestors =
            std::iter::successors(artifact.parent, |p| view.artifact(*p).and_then(|a| a.parent));
        let outermost =
            !ancestors.take(256).filter_map(|p| view.artifact(p)).any(|a| carries(a).is_some());
        let fact = UpdateContainer {
            format: artifact.format.clone(),
            integrity,
            algorithm: attribute("integrity-algorithm").map(str::to_owned),
            correct: match attribute("integrity-correct") {
                Some("yes") => Tri::Yes,
                Some("no") => Tri::No,
                _ if integrity == Integrity::None => {
                    Tri::NotApplicable("there is no value to check".to_owned())
                }
                Some(other) => Tri::Unknown(format!("the reader says {other:?}")),
                None => Tri::Unknown("the value was not computed".to_owned()),
            },
            encrypted: attribute("encrypted") == Some("yes"),
            outermost,
        };
        out.push(Observation {
            fact: Fact::UpdateContainer(fact),
            evidence: Evidence::one(artifact.locator.clone()),
            inspector: REVISION.0.to_owned(),
            revision: REVISION.1,
            strength: Strength::Observed,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn attributes_become_a_fact() {
        let of = |tree: Tree| {
            tree.facts(|f| match f {
                Fact::UpdateContainer(u) => Some(u),
                _ => None,
            })
        };
        let all = of(Tree::of("trx")
            .attribute("integrity", "crc")
            .attribute("integrity-algorithm", "crc32")
            .attribute("integrity-correct", "yes"));
        assert_eq!(
            (all[0].integrity, &all[0].correct, all[0].outermost),
            (Integrity::Crc, &Tri::Yes, true)
        );
        assert!(of(Tree::of("squashfs")).is_empty());
    }
}
