//! What has to be known beside the feeds: exact identities, corrections of single records, feature probes.
//!
//! All of it is data (`catalogue/corrections/*.toml`), compiled in and replaceable by a folder of the same files, so
//! that a correction needs no new binary.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use proofmark_model::ComponentRef;
use serde::Deserialize;

use crate::{
    cpe::Cpe,
    matching::{Features, Owner},
    purl::{self, Purl},
    record::Range,
    version::Scheme,
};

const IDENTITY: &str = include_str!("../../../catalogue/corrections/identity.toml");
const RECORDS: &str = include_str!("../../../catalogue/corrections/records.toml");
const PROBES: &str = include_str!("../../../catalogue/corrections/probes.toml");

/// Everything that corrects.
#[derive(Debug, Clone, Default)]
pub struct Corrections {
    /// Revisions of the three files, for provenance.
    pub revisions: [u32; 3],
    products: Vec<Product>,
    by_name: HashMap<String, usize>,
    by_pair: HashMap<(String, String), Vec<usize>>,
    by_purl: HashMap<String, usize>,
    records: HashMap<String, Vec<RecordEntry>>,
    probes: HashMap<(String, String), Probe>,
}

/// A product with its exact identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Name in the catalogue.
    pub name: String,
    /// That name and all others, in lower case.
    pub names: BTreeSet<String>,
    /// CPE vendor and product.
    pub pairs: BTreeSet<(String, String)>,
    /// Ecosystem and name.
    pub packages: BTreeSet<(String, String)>,
    /// Vendor and product as CVE records write them.
    pub products: BTreeSet<(String, String)>,
    /// Repositories.
    pub repositories: BTreeSet<String>,
    /// How its versions are ordered.
    pub scheme: Scheme,
}

/// A correction of one record for one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correction {
    /// The record is not about the product, because ...
    Deny(String),
    /// The record is about the product, because ...
    Allow(String),
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// The feature with the vulnerable code is there.
    Present(String),
    /// It is not, and the list of features is complete.
    Absent(String),
    /// It was not seen, and the list is not complete.
    Unknown(String),
}

#[derive(Debug, Clone)]
struct Probe {
    features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    revision: u32,
    product: Vec<ProductEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductEntry {
    name: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    cpe: Vec<String>,
    #[serde(default)]
    scheme: Option<String>,
    #[serde(default)]
    products: Vec<String>,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    purl: Vec<String>,
    #[serde(default)]
    repositories: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsFile {
    revision: u32,
    #[serde(default)]
    deny: Vec<RecordEntry>,
    #[serde(default)]
    allow: Vec<RecordEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordEntry {
    id: String,
    product: String,
    /// Versions concerned, `from` included and `before` not; without both, all.
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    before: Option<String>,
    reason: String,
    source: String,
    /// Versions for which the entry must and must not act; a test reads them.
    #[serde(default)]
    acts: Vec<String>,
    #[serde(default)]
    acts_not: Vec<String>,
    #[serde(skip)]
    allow: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbesFile {
    revision: u32,
    probe: Vec<ProbeEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeEntry {
    products: Vec<String>,
    #[expect(dead_code, reason = "for those who read the file")]
    source: String,
    /// Features, any of which contains the vulnerable code, with the records about it.
    cves: BTreeMap<String, Vec<String>>,
}

impl Corrections {
    /// The data compiled in.
    ///
    /// # Errors
    /// One sentence that names the file, when the data is malformed; a test rules that out.
    pub fn embedded() -> Result<Self, String> {
        Self::read(IDENTITY, RECORDS, PROBES)
    }

    /// The data in a folder; a file that is not there is taken from the data compiled in.
    ///
    /// # Errors
    /// One sentence that names the file and what is wrong in it.
    pub fn from_folder(folder: &Path) -> Result<Self, String> {
        let file = |name: &str, compiled: &str| match std::fs::read_to_string(folder.join(name)) {
            Ok(text) => Ok(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(compiled.to_owned()),
            Err(e) => Err(format!("{}: {e}", folder.join(name).display())),
        };
        Self::read(
            &file("identity.toml", IDENTITY)?,
            &file("records.toml", RECORDS)?,
            &file("probes.toml", PROBES)?,
        )
    }

    fn read(identity: &str, records: &str, probes: &str) -> Result<Self, String> {
        let identity: IdentityFile =
            toml::from_str(identity).map_err(|e| format!("identity.toml: {e}"))?;
        let records: RecordsFile =
            toml::from_str(records).map_err(|e| format!("records.toml: {e}"))?;
        let probes: ProbesFile = toml::from_str(probes).map_err(|e| format!("probes.toml: {e}"))?;
        let mut out = Self {
            revisions: [identity.revision, records.revision, probes.revision],
            ..Self::default()
        };
        for entry in identity.product {
            out.add(entry)?;
        }
        let marked = records
            .deny
            .into_iter()
            .map(|e| (e, false))
            .chain(records.allow.into_iter().map(|e| (e, true)));
        for (mut entry, allow) in marked {
            out.by_name
                .get(&normal(&entry.product))
                .ok_or(format!("records.toml: {} has no product {}", entry.id, entry.product))?;
            if entry.reason.is_empty() || entry.source.is_empty() {
                return Err(format!("records.toml: {} has no reason or no source", entry.id));
            }
            entry.allow = allow;
            out.records.entry(entry.id.clone()).or_default().push(entry);
        }
        for entry in probes.probe {
            for product in &entry.products {
                out.by_name
                    .get(&normal(product))
                    .ok_or(format!("probes.toml: no product {product}"))?;
                for (features, ids) in &entry.cves {
                    let features: Vec<String> =
                        features.split_whitespace().map(str::to_owned).collect();
                    if features.is_empty() || features.iter().any(|f| !f.contains(':')) {
                        return Err(format!(
                            "probes.toml: {product}: features are written family:name"
                        ));
                    }
                    for id in ids {
                        let key = (product.clone(), id.clone());
                        if out.probes.insert(key, Probe { features: features.clone() }).is_some() {
                            return Err(format!("probes.toml: {product} has {id} twice"));
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    fn add(&mut self, entry: ProductEntry) -> Result<(), String> {
        let split = |text: &str, by: char| {
            text.split_once(by)
                .map(|(a, b)| (a.to_ascii_lowercase(), b.to_ascii_lowercase()))
                .ok_or(format!("identity.toml: {}: {text:?} is no pair", entry.name))
        };
        let pairs = |list: &[String], by: char| {
            list.iter().map(|t| split(t, by)).collect::<Result<BTreeSet<_>, _>>()
        };
        let scheme = match &entry.scheme {
            Some(name) => Scheme::named(name)
                .ok_or(format!("identity.toml: {}: no scheme {name}", entry.name))?,
            None => Scheme::Generic,
        };
        let product = Product {
            names: entry.names.iter().chain([&entry.name]).map(|n| normal(n)).collect(),
            pairs: pairs(&entry.cpe, ':')?,
            packages: pairs(&entry.packages, '/')?,
            products: pairs(&entry.products, '/')?,
            repositories: entry.repositories.iter().cloned().collect(),
            scheme,
            name: entry.name,
        };
        let index = self.products.len();
        for name in &product.names {
            if self.by_name.insert(name.clone(), index).is_some() {
                return Err(format!(
                    "identity.toml: {}: the name {name} is there twice",
                    product.name
                ));
            }
        }
        for pair in &product.pairs {
            self.by_pair.entry(pair.clone()).or_default().push(index);
        }
        for purl in entry.purl {
            self.by_purl.insert(purl, index);
        }
        self.products.push(product);
        Ok(())
    }

    /// All products.
    #[must_use]
    pub fn products(&self) -> &[Product] {
        &self.products
    }

    /// The product that a component is, by exact identifiers first and by its name in the catalogue last. Packages
    /// of a language's ecosystem are never taken for a product of the same name.
    #[must_use]
    pub fn identify(
        &self,
        component: &ComponentRef,
        aliases: &[String],
        owner: Option<&Owner>,
    ) -> Option<&Product> {
        let purl = component.purl.as_deref().and_then(Purl::parse);
        if let Some(p) = &purl
            && let Some(i) = self.by_purl.get(&p.stem())
        {
            return self.products.get(*i);
        }
        if purl.as_ref().is_some_and(|p| purl::is_language(&p.kind)) {
            return None;
        }
        let at = |i: &usize| self.products.get(*i);
        let by_name = |n: &str| self.by_name.get(&normal(n)).and_then(at);
        let cpes: Vec<Cpe> = component.cpes.iter().filter_map(|c| Cpe::parse(c).ok()).collect();
        for cpe in &cpes {
            let Some((vendor, product)) = cpe.pair() else { continue };
            let Some(found) = self.by_pair.get(&(vendor.to_owned(), product.to_owned())) else {
                continue;
            };
            // Two products may share a pair; then the name decides.
            let named =
                found.iter().filter_map(at).find(|p| p.names.contains(&normal(&component.name)));
            return named.or_else(|| found.first().and_then(at));
        }
        // A CPE name of another vendor says that it is something else.
        if !cpes.is_empty() && cpes.iter().any(|c| c.pair().is_some()) {
            return None;
        }
        by_name(&component.name)
            .or_else(|| purl.as_ref().and_then(|p| by_name(&p.name)))
            .or_else(|| aliases.iter().find_map(|a| by_name(a)))
            .or_else(|| owner.and_then(|o| by_name(&o.source)))
    }

    /// The known name that differs least from this one, where it differs by a slip of the pen.
    #[must_use]
    pub fn similar(&self, name: &str) -> Option<&str> {
        let asked = normal(name);
        let names = self
            .products
            .iter()
            .flat_map(|p| &p.names)
            .filter(|n| n.len().abs_diff(asked.len()) < 3);
        let near = names.map(|n| (distance(&asked, n), n)).min()?;
        (near.0 > 0 && near.0 < 3 && near.0.saturating_mul(3) <= asked.len()).then_some(near.1)
    }

    /// The correction of a record for a product in a version.
    #[must_use]
    pub fn correction(
        &self,
        id: &str,
        name: &str,
        version: Option<&str>,
        product: Option<&Product>,
    ) -> Option<Correction> {
        let scheme = product.map_or(Scheme::Generic, |p| p.scheme);
        let entry = self
            .records
            .get(id)?
            .iter()
            .find(|e| e.product == name && e.concerns(scheme, version))?;
        let why = format!("{} ({})", entry.reason, entry.source);
        Some(if entry.allow { Correction::Allow(why) } else { Correction::Deny(why) })
    }

    /// What is known of the feature that a vulnerability is in; none where no probe is bound to it.
    #[must_use]
    pub fn probe(&self, id: &str, product: &str, features: &Features) -> Option<Probed> {
        let probe = self.probes.get(&(product.to_owned(), id.to_owned()))?;
        let list = probe.features.join(", ");
        if let Some(seen) = probe.features.iter().find(|f| features.present.contains(*f)) {
            return Some(Probed::Present(format!(
                "the vulnerable code is in {seen}, which is compiled in"
            )));
        }
        let family = |f: &String| f.split(':').next().unwrap_or_default().to_owned();
        let open: BTreeSet<String> =
            probe.features.iter().map(family).filter(|f| !features.complete.contains(f)).collect();
        Some(if open.is_empty() {
            Probed::Absent(format!(
                "the vulnerable code is in {list}, and the complete list of features has none of it"
            ))
        } else {
            let open = open.into_iter().collect::<Vec<_>>().join(", ");
            Probed::Unknown(format!(
                "the vulnerable code is in {list}; the list of {open} is not known to be complete"
            ))
        })
    }

    /// Every entry of `records.toml` with the versions it must and must not act on: id, product, acts, acts not.
    pub fn expectations(&self) -> impl Iterator<Item = (&str, &str, &[String], &[String])> {
        self.records
            .values()
            .flatten()
            .map(|e| (e.id.as_str(), e.product.as_str(), e.acts.as_slice(), e.acts_not.as_slice()))
    }
}

impl RecordEntry {
    fn concerns(&self, scheme: Scheme, version: Option<&str>) -> bool {
        if self.from.is_none() && self.before.is_none() {
            return true;
        }
        let range = Range {
            scheme: String::new(),
            from: self.from.clone().map(|v| (v, true)),
            to: self.before.clone().map(|v| (v, false)),
        };
        version.is_some_and(|v| scheme.contains(&range, v) == Some(true))
    }
}

/// Characters to be inserted, left out or exchanged to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let (mut corner, mut left) = (i, i.saturating_add(1));
        let mut next = vec![left];
        for (y, above) in b.bytes().zip(row.iter().skip(1)) {
            let exchanged = corner.saturating_add(usize::from(x != y));
            left = exchanged.min(left.saturating_add(1)).min(above.saturating_add(1));
            corner = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Names differ in case and in `-`, `_`, space; nothing else is overlooked.
fn normal(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(['_', ' '], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen() {
        let c = Corrections::embedded().unwrap_or_default();
        assert_eq!(c.similar("drpbear"), Some("dropbear"));
        assert_eq!(c.similar("opensll"), Some("openssl"));
        // What is known needs no hint, and what is far away gets none.
        assert_eq!(c.similar("openssl"), None);
        assert_eq!(c.similar("company-portal"), None);
        assert_eq!(
            (distance("kitten", "sitting"), distance("", "ab"), distance("ab", "")),
            (3, 2, 2)
        );
    }
}
