//! A store in memory, and records written in few words.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{collections::BTreeMap, sync::Arc};

use proofmark_advisories::{
    Key, Record, Store,
    record::{CpeMatch, Node, Range, Statement, Status, Subject, Threat},
};
use proofmark_model::{ComponentRef, assessment::DataVersion};

#[derive(Default)]
pub struct Memory {
    records: BTreeMap<Key, Vec<Arc<Record>>>,
    pub threats: BTreeMap<String, Threat>,
}

impl Memory {
    pub fn of(records: Vec<Record>) -> Self {
        let mut out = Self::default();
        for record in records {
            let record = Arc::new(record);
            for key in keys(&record) {
                out.records.entry(key).or_default().push(Arc::clone(&record));
            }
        }
        out
    }
}

fn keys(record: &Record) -> std::collections::BTreeSet<Key> {
    fn walk(node: &Node, out: &mut std::collections::BTreeSet<Key>) {
        for m in &node.matches {
            let cpe = proofmark_advisories::cpe::Cpe::parse(&m.cpe).unwrap();
            let (v, p) = cpe.pair().unwrap();
            out.insert(Key::Cpe(v.into(), p.into()));
        }
        node.nodes.iter().for_each(|n| walk(n, out));
    }
    let mut out = std::collections::BTreeSet::new();
    record.configurations.iter().for_each(|n| walk(n, &mut out));
    for s in &record.statements {
        out.insert(match &s.subject {
            Subject::Cpe(c) => {
                let cpe = proofmark_advisories::cpe::Cpe::parse(c).unwrap();
                let (v, p) = cpe.pair().unwrap();
                Key::Cpe(v.into(), p.into())
            }
            Subject::Package { ecosystem, name } => Key::Package(
                ecosystem.split(':').next().unwrap().to_lowercase(),
                name.to_lowercase(),
            ),
            Subject::Product { product, .. } => Key::Product(product.to_lowercase()),
            Subject::Git(url) => Key::Git(url.to_lowercase()),
        });
    }
    out
}

impl Store for Memory {
    fn about(&self, key: &Key) -> Result<Vec<Arc<Record>>, String> {
        Ok(self.records.get(key).cloned().unwrap_or_default())
    }

    fn threat(&self, cve: &str) -> Result<Threat, String> {
        Ok(self.threats.get(cve).copied().unwrap_or_default())
    }

    fn feeds(&self) -> Vec<DataVersion> {
        Vec::new()
    }
}

pub fn record(feed: &str, cve: &str) -> Record {
    Record { feed: feed.into(), id: cve.into(), cves: vec![cve.into()], ..Record::default() }
}

/// `1.0..2.0` includes its lower and excludes its upper end; `..=2.0` includes it.
pub fn range(text: &str) -> Range {
    let (from, to) = text.split_once("..").unwrap();
    let to = match to.strip_prefix('=') {
        Some(to) => Some((to.to_owned(), true)),
        None if to.is_empty() => None,
        None => Some((to.to_owned(), false)),
    };
    Range { scheme: String::new(), from: (!from.is_empty()).then(|| (from.into(), true)), to }
}

pub fn matched(cpe: &str, vulnerable: bool, within: Option<&str>) -> CpeMatch {
    CpeMatch { cpe: cpe.into(), vulnerable, range: within.map(range) }
}

pub fn any(matches: Vec<CpeMatch>) -> Node {
    Node { all: false, negate: false, matches, nodes: Vec::new() }
}

pub fn all(nodes: Vec<Node>) -> Node {
    Node { all: true, negate: false, matches: Vec::new(), nodes }
}

pub fn nvd(cve: &str, configurations: Vec<Node>) -> Record {
    Record { configurations, ..record("nvd", cve) }
}

pub fn statement(subject: Subject, default: Status, ranges: &[(&str, Status)]) -> Statement {
    Statement {
        subject,
        default,
        ranges: ranges.iter().map(|(r, s)| (range(r), *s)).collect(),
        files: Vec::new(),
        functions: Vec::new(),
        reason: None,
        added: false,
    }
}

pub fn product(vendor: &str, product: &str) -> Subject {
    Subject::Product { vendor: vendor.into(), product: product.into() }
}

pub fn package(ecosystem: &str, name: &str) -> Subject {
    Subject::Package { ecosystem: ecosystem.into(), name: name.into() }
}

pub fn component(name: &str, version: &str) -> ComponentRef {
    ComponentRef { name: name.into(), version: Some(version.into()), purl: None, cpes: Vec::new() }
}
