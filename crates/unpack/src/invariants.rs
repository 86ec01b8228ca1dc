//! What holds for every outcome, whatever the input. Tests and fuzz targets call it; whoever receives an outcome
//! from elsewhere may too.

use std::collections::BTreeSet;

use proofmark_model::{ArtifactId, EntryKind, ProblemKind, RegionClass, Step};

use crate::engine::Outcome;

/// Sentences about what is wrong with `outcome`; none if it is sound.
#[must_use]
pub fn broken(outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str, who: &dyn std::fmt::Display| {
        if !holds {
            wrong.push(format!("{who}: {what}"));
        }
    };
    let c = &outcome.coverage;
    let sum = c.understood.checked_add(c.padding).and_then(|s| s.checked_add(c.opaque));
    must(
        sum == Some(c.total),
        "coverage does not sum to the bytes of the image",
        &format!("{c:?}"),
    );
    must(
        outcome.digests.len() == outcome.artifacts.len(),
        "a digest for each artifact",
        &"outcome",
    );
    let mut locators = BTreeSet::new();
    let mut siblings = BTreeSet::new();
    for (i, a) in outcome.artifacts.iter().enumerate() {
        let l = &a.locator;
        must(locators.insert(l.to_string()), "two artifacts have this locator", l);
        must(
            l.to_string().parse().as_ref() == Ok(l),
            "the locator does not survive being written and read",
            l,
        );
        match a.parent.map(|p| outcome.artifacts.get(p.0 as usize).map(|x| (p, x))) {
            None => must(i == 0 && a.entry == EntryKind::Image, "only the image has no parent", l),
            Some(None) => must(false, "the parent does not exist", l),
            Some(Some((id, parent))) => {
                must((id.0 as usize) < i, "a parent stands before its children", l);
                let inside = match (l.steps.last(), l.range) {
                    (_, Some((start, end))) => start < end && end <= parent.size,
                    (Some(Step::Region { offset, .. }), None) => {
                        offset.checked_add(a.size).is_some_and(|end| end <= parent.size)
                    }
                    _ => true,
                };
                must(inside, "lies outside its parent", l);
                must(siblings.insert((id, key(a))), "siblings have one place", l);
            }
        }
        let mut at = 0_u64;
        for r in &a.regions {
            must(r.offset == at && r.length > 0, "regions are not a partition", l);
            at = r.offset.saturating_add(r.length);
            if let RegionClass::Opaque { entropy_millibits, .. } = r.class {
                must(entropy_millibits <= 8000, "entropy above eight bits", l);
            }
        }
        must(a.regions.is_empty() || at == a.size, "regions do not sum to the size", l);
        for r in &a.rejected {
            let end = r.offset.checked_add(r.length);
            must(end.is_some_and(|e| e <= a.size), "a loser lies outside the content", l);
        }
        must(
            a.sha256.is_none() || outcome.digests.get(i) == Some(&a.sha256),
            "the digest is not that of the bytes read",
            l,
        );
        for p in &a.problems {
            must(!p.message.contains("internal error"), &p.message, l);
            must(!p.message.is_empty(), "a problem without words", l);
        }
        let bad_path = match l.steps.last() {
            Some(Step::Entry { path, .. }) if l.range.is_none() => {
                path.split(|b| *b == b'/').any(|s| s == b"..")
            }
            _ => false,
        };
        must(
            !bad_path || a.problems.iter().any(|p| p.kind == ProblemKind::UnsafePath),
            "an unsafe path is not marked",
            l,
        );
    }
    // Children of one parent in the order of their places.
    let mut last: Vec<Option<Key>> = vec![None; outcome.artifacts.len()];
    for a in &outcome.artifacts {
        let Some(slot) = a.parent.and_then(|ArtifactId(p)| last.get_mut(p as usize)) else {
            continue;
        };
        let key = key(a);
        must(slot.as_ref().is_none_or(|l| *l < key), "siblings are not in order", &a.locator);
        *slot = Some(key);
    }
    wrong
}

/// Place among siblings.
type Key = (u8, u64, Vec<u8>, u32);

/// Regions and gaps by offset, entries by path and ordinal.
fn key(a: &proofmark_model::Artifact) -> Key {
    match (a.locator.range, a.locator.steps.last()) {
        (Some((start, _)), _) => (0, start, Vec::new(), 0),
        (None, Some(Step::Region { offset, .. })) => (0, *offset, Vec::new(), 0),
        (None, Some(Step::Entry { path, ordinal })) => (1, 0, path.clone(), *ordinal),
        (None, None) => (0, 0, Vec::new(), 0),
    }
}
