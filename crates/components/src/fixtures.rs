//! The fixtures of the rules: what every rule must find, and what it must not.

use crate::{
    Catalogue,
    rule::{Product, Relation, unescape},
};

/// Tries the fixtures of `product` against the whole catalogue; one sentence for each that does not hold.
///
/// A positive fragment must yield the product with exactly its version; a negative one must not yield the
/// product as anything but *named*.
#[must_use]
pub fn failures(catalogue: &Catalogue, product: &Product) -> Vec<String> {
    let mut out = Vec::new();
    let name = &product.name;
    if let Err(why) = catalogue.compiles(name) {
        out.push(why);
    }
    for fixture in &product.positive {
        let hits = catalogue.content(fixture.file.as_deref(), &unescape(&fixture.bytes));
        let ours: Vec<_> =
            hits.iter().filter(|h| h.product == *name && h.relation < Relation::Names).collect();
        let versions: Vec<_> = ours.iter().map(|h| h.version.as_deref()).collect();
        if versions != [fixture.version.as_deref()] {
            out.push(format!(
                "{name}: {:?} must yield version {:?}, yields {versions:?}",
                fixture.bytes, fixture.version
            ));
        }
        let told: Vec<_> = ours.iter().map(|h| (&h.span.since, &h.span.before)).collect();
        if fixture.version.is_none()
            && !told.is_empty()
            && told != [(&fixture.since, &fixture.before)]
        {
            out.push(format!("{name}: {:?} must not lie between {told:?}", fixture.bytes));
        }
        for feature in &fixture.features {
            if !ours.iter().any(|h| h.features.contains(feature)) {
                out.push(format!("{name}: {:?} must yield feature {feature}", fixture.bytes));
            }
        }
    }
    for fixture in &product.negative {
        let hits = catalogue.content(None, &unescape(fixture));
        if let Some(hit) = hits.iter().find(|h| h.product == *name && h.relation < Relation::Names)
        {
            out.push(format!(
                "{name}: {fixture:?} must not yield it, yields {:?} by {:?}",
                hit.version, hit.by
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every fixture of the built-in catalogue holds, and the catalogue is the one that was built in.
    #[test]
    fn hold() {
        let fixtures: Vec<(String, Vec<crate::rule::Positive>, Vec<String>)> =
            serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/fixtures.json"))).unwrap();
        let catalogue = crate::catalogue();
        assert_eq!(catalogue.products().len(), fixtures.len());
        let mut bad = Vec::new();
        for (name, positive, negative) in fixtures {
            let mut product = catalogue.product(&name).unwrap().clone();
            (product.positive, product.negative) = (positive, negative);
            bad.extend(failures(catalogue, &product));
        }
        assert!(bad.is_empty(), "{} fixtures do not hold:\n{}", bad.len(), bad.join("\n"));
    }
}
