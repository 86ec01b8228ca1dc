//! CSAF 2.0 documents of the profile VEX (and advisories of the same shape): status of products by vulnerability.
//!
//! A record is one vulnerability of one document. A product is known by the package URL or CPE in its identification
//! helper, else by vendor and name from the branches above it; its version is that of the helper or of the branch
//! (`product_version`), or a range in `vers` form. `A as a component of B` speaks of A, and where A has no helper of
//! its own, of nothing. The label of a flag is the justification.
//!
//! Sources: CSAF 2.0 sections 3.2.2 and 3.2.3; the vers specification for ranges.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
        purl,
    },
    record::{Range, Record, Score, Statement, Status, Subject},
};

/// CSAF documents.
pub const FORMAT: Format = Format {
    id: "csaf-2.0",
    shape: Shape::Document,
    claims: |keys| {
        keys.top(&["document"]) && keys.at(2, |k| matches!(k, "csaf_version" | "tracking"))
    },
    parse,
};

/// Products of one document, and statements of one record, that are kept.
const MOST: usize = 100_000;

#[derive(Deserialize)]
struct Csaf<'a> {
    #[serde(borrow)]
    document: About<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    product_tree: Tree<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    vulnerabilities: Vec<Vulnerability<'a>>,
}

#[derive(Deserialize)]
struct About<'a> {
    #[serde(borrow)]
    tracking: Tracking<'a>,
}

#[derive(Deserialize)]
struct Tracking<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    current_release_date: Text<'a>,
    #[serde(borrow, default)]
    initial_release_date: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tree<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    branches: Vec<Branch<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    full_product_names: Vec<Product<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    relationships: Vec<Relationship<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Branch<'a> {
    #[serde(borrow)]
    category: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    product: Option<Product<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    branches: Vec<Branch<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Product<'a> {
    #[serde(borrow)]
    product_id: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    product_identification_helper: Helper<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Helper<'a> {
    #[serde(borrow)]
    cpe: Text<'a>,
    #[serde(borrow)]
    purl: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Relationship<'a> {
    #[serde(borrow)]
    product_reference: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    full_product_name: Product<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Vulnerability<'a> {
    #[serde(borrow)]
    cve: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    ids: Vec<Id<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    cwe: Cwe<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    flags: Vec<Flag<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    product_status: BTreeMap<Text<'a>, Vec<Text<'a>>>,
    #[serde(borrow, deserialize_with = "or_default")]
    scores: Vec<Scores<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    references: Vec<Reference<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Id<'a> {
    #[serde(borrow)]
    text: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cwe<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Flag<'a> {
    #[serde(borrow)]
    label: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    product_ids: Vec<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Scores<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    cvss_v3: Option<Cvss<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    cvss_v2: Option<Cvss<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    cvss_v4: Option<Cvss<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Cvss<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    vector_string: Text<'a>,
    base_score: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference<'a> {
    #[serde(borrow)]
    category: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
}

/// A product as it can be matched.
#[derive(Clone)]
struct Known {
    subject: Subject,
    range: Range,
}

/// Names on the way to a product.
#[derive(Clone, Copy, Default)]
struct Way<'a> {
    vendor: &'a str,
    product: &'a str,
    version: &'a str,
    range: &'a str,
}

fn parse(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let doc: Csaf<'_> = json::from(text)?;
    let tracking = &doc.document.tracking;
    if tracking.id.is_empty() {
        return Err("a document without tracking id".into());
    }
    let mut products: BTreeMap<&str, Known> = BTreeMap::new();
    walk(&doc.product_tree.branches, Way::default(), &mut products);
    for product in &doc.product_tree.full_product_names {
        add(product, Way::default(), &mut products);
    }
    for r in &doc.product_tree.relationships {
        if let Some(known) = products.get(&*r.product_reference).cloned()
            && products.len() < MOST
        {
            products.insert(&r.full_product_name.product_id, known);
        }
    }
    let published = json::day(&tracking.initial_release_date);
    let modified = json::day(&tracking.current_release_date);
    let changed = json::moment(&tracking.current_release_date);
    let mut items = Vec::new();
    for v in &doc.vulnerabilities {
        let name = if v.cve.is_empty() { v.ids.first().map_or("", |i| &*i.text) } else { &*v.cve };
        if name.is_empty() {
            return Err(format!("{}: a vulnerability without CVE or id", &*tracking.id));
        }
        let mut record = Record {
            feed: "csaf".into(),
            id: format!("{}/{name}", &*tracking.id),
            cves: Some(v.cve.to_string())
                .filter(|c| crate::key::cve_number(c).is_some())
                .into_iter()
                .collect(),
            published,
            modified,
            weaknesses: json::weakness(&v.cwe.id).into_iter().collect(),
            links: json::links(
                v.references.iter().filter(|r| &*r.category == "self").map(|r| &*r.url),
            ),
            statements: stated(v, &products),
            ..Record::default()
        };
        for s in v.scores.iter().flat_map(|s| [&s.cvss_v4, &s.cvss_v3, &s.cvss_v2]).flatten() {
            let score: Option<Score> =
                json::score(&s.version, s.base_score, &s.vector_string, "csaf");
            record.scores.extend(score.filter(|s| !record.scores.contains(s)));
        }
        items.push(Item::Record(Box::new(record), changed));
    }
    Ok(Parsed { set: Set::loose("csaf"), items })
}

/// Branches down to their products. The reader of JSON bounds the depth.
fn walk<'a>(branches: &'a [Branch<'a>], way: Way<'a>, out: &mut BTreeMap<&'a str, Known>) {
    for b in branches {
        let mut way = way;
        match &*b.category {
            "vendor" => way.vendor = &b.name,
            "product_name" => way.product = &b.name,
            "product_version" => way.version = &b.name,
            "product_version_range" => way.range = &b.name,
            _ => {}
        }
        if let Some(product) = &b.product {
            add(product, way, out);
        }
        walk(&b.branches, way, out);
    }
}

fn add<'a>(product: &'a Product<'a>, way: Way<'a>, out: &mut BTreeMap<&'a str, Known>) {
    if out.len() >= MOST {
        return;
    }
    let helper = &product.product_identification_helper;
    let exact = |v: &str| {
        let end = Some((v.to_owned(), true));
        Range { scheme: String::new(), from: end.clone(), to: end }
    };
    let of_way = || match (way.version, way.range) {
        ("", "") => Some(Range::default()),
        ("", range) => vers(range),
        (version, _) => Some(exact(version)),
    };
    let known = if let Some((subject, version)) = purl::parts(&helper.purl) {
        version.map_or_else(of_way, |v| Some(exact(&v))).map(|range| Known { subject, range })
    } else if crate::Key::cpe(&helper.cpe).is_some() {
        of_way().map(|range| Known { subject: Subject::Cpe(helper.cpe.to_string()), range })
    } else if !way.product.is_empty() {
        let subject =
            Subject::Product { vendor: way.vendor.to_owned(), product: way.product.to_owned() };
        of_way().map(|range| Known { subject, range })
    } else {
        None
    };
    out.extend(known.map(|k| (&*product.product_id, k)));
}

/// A range in vers form with at most one comparison for each end; none where it says more than a range can.
fn vers(text: &str) -> Option<Range> {
    let rest = text.trim().strip_prefix("vers:")?;
    let (scheme, list) = rest.split_once('/')?;
    let mut range = Range {
        scheme: if scheme == "generic" { String::new() } else { scheme.to_owned() },
        ..Range::default()
    };
    if list == "*" {
        return Some(range);
    }
    for term in list.split('|') {
        let end = |operator: &str, inside| {
            term.strip_prefix(operator).map(|v| Some((v.to_owned(), inside)))
        };
        if let Some(to) = end("<=", true).or_else(|| end("<", false)) {
            range.to.is_none().then(|| range.to = to)?;
        } else if let Some(from) = end(">=", true).or_else(|| end(">", false)) {
            range.from.is_none().then(|| range.from = from)?;
        } else if !term.starts_with(['!', '=']) && range.from.is_none() && range.to.is_none() {
            let end = Some((term.to_owned(), true));
            (range.from, range.to) = (end.clone(), end);
        } else {
            return None;
        }
    }
    Some(range)
}

fn stated(v: &Vulnerability<'_>, products: &BTreeMap<&str, Known>) -> Vec<Statement> {
    let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
    for flag in &v.flags {
        labels.extend(flag.product_ids.iter().map(|p| (&**p, &*flag.label)));
    }
    // By subject and justification, so that a thousand builds of one package are one statement.
    let mut by: BTreeMap<(&Subject, Option<&str>), Vec<(Range, Status)>> = BTreeMap::new();
    let mut count = 0_usize;
    for (kind, ids) in &v.product_status {
        let status = match &**kind {
            "known_affected" | "first_affected" | "last_affected" => Status::Affected,
            "known_not_affected" => Status::NotAffected,
            "fixed" | "first_fixed" => Status::Fixed,
            "under_investigation" => Status::Unknown,
            // `recommended` says nothing about the status.
            _ => continue,
        };
        for id in ids {
            let Some(known) = products.get(&**id).filter(|_| count < MOST) else { continue };
            count = count.saturating_add(1);
            let ranges = by.entry((&known.subject, labels.get(&**id).copied())).or_default();
            if !ranges.iter().rev().take(64).any(|(r, s)| *r == known.range && *s == status) {
                ranges.push((known.range.clone(), status));
            }
        }
    }
    let one =
        |((subject, label), ranges): ((&Subject, Option<&str>), Vec<(Range, Status)>)| Statement {
            subject: subject.clone(),
            default: Status::Unknown,
            ranges,
            files: Vec::new(),
            functions: Vec::new(),
            reason: label.map(str::to_owned),
            added: false,
        };
    by.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_by_helper_and_by_name() {
        let text = r#"{"document":{"category":"csaf_vex","csaf_version":"2.0","tracking":{"id":"X-1","current_release_date":"2024-05-06T07:08:09Z","initial_release_date":"2024-05-01T00:00:00Z"}},
            "product_tree":{"branches":[{"category":"vendor","name":"Acme","branches":[{"category":"product_name","name":"Box","branches":[
                {"category":"product_version","name":"1.0","product":{"name":"Box 1.0","product_id":"P1"}},
                {"category":"product_version_range","name":"vers:generic/>=2|<3","product":{"name":"Box 2","product_id":"P2"}}]}]}],
              "full_product_names":[{"name":"c","product_id":"C","product_identification_helper":{"purl":"pkg:deb/debian/curl@7.88.1-10?distro=debian-12"}}],
              "relationships":[{"category":"default_component_of","product_reference":"C","relates_to_product_reference":"P1","full_product_name":{"name":"c in b","product_id":"CB"}}]},
            "vulnerabilities":[{"cve":"CVE-2024-0001","cwe":{"id":"CWE-79"},"flags":[{"label":"vulnerable_code_not_present","product_ids":["CB"]}],
              "product_status":{"known_affected":["P1"],"fixed":["P2"],"known_not_affected":["CB"],"recommended":["P2"]},
              "scores":[{"products":["P1"],"cvss_v3":{"version":"3.1","vectorString":"V","baseScore":7.5}}]}]}"#;
        let keys = super::super::scan::keys_of(text.as_bytes(), 400);
        assert_eq!(super::super::recognise(&keys).map(|f| f.id), Some("csaf-2.0"));
        let parsed = parse(text.as_bytes(), &Origin::default()).unwrap();
        let Item::Record(r, Some(_)) = &parsed.items[0] else { panic!() };
        assert_eq!((r.id.as_str(), r.scores[0].tenths), ("X-1/CVE-2024-0001", 75));
        let product = Subject::Product { vendor: "Acme".into(), product: "Box".into() };
        let of_box = r.statements.iter().find(|s| s.subject == product).unwrap();
        let mut statuses: Vec<_> =
            of_box.ranges.iter().map(|(r, s)| (r.from.clone().unwrap().0, *s)).collect();
        statuses.sort();
        assert_eq!(
            statuses,
            [("1.0".to_owned(), Status::Affected), ("2".to_owned(), Status::Fixed)]
        );
        let curl = r.statements.iter().find(|s| s.reason.is_some()).unwrap();
        assert_eq!(
            curl.subject,
            Subject::Package { ecosystem: "Debian:12".into(), name: "curl".into() }
        );
        assert_eq!(
            (curl.ranges[0].1, curl.reason.as_deref()),
            (Status::NotAffected, Some("vulnerable_code_not_present"))
        );
    }

    #[test]
    fn ranges_that_say_more_are_not_guessed() {
        assert!(vers("vers:generic/>=1|<2|>=3|<4").is_none());
        assert!(vers("all before 5").is_none());
        assert_eq!(vers("vers:rpm/*").unwrap().scheme, "rpm");
    }
}
