//! NVD JSON 2.0: feed files and pages of the API, and files of CPE configurations that supplement NVD.
//!
//! A page is `{"vulnerabilities":[{"cve":{...}}, ...]}` with any other members. Kept are CPE applicability, CVSS of
//! every version (one that is not known yet is kept as it is written), CWE ids, dates, and links tagged as patch or
//! vendor advisory. A record of an override file has only configurations, and the feed `nvd-overrides`.
//!
//! Sources: the API's schema `cve_api_json_2.0.schema` and the feeds' own content.

use std::fmt;

use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
    },
    record::{CpeMatch, Node, Range, Record, Score},
};

/// Feed files and API pages.
pub const FEED: Format = Format {
    id: "nvd-2.0",
    shape: Shape::Elements("vulnerabilities"),
    claims: |keys| {
        keys.top(&["vulnerabilities"]) && !keys.top(&["document"]) && keys.at(3, |k| k == "cve")
            || keys.top(&["vulnerabilities", "resultsPerPage"])
    },
    parse,
};

/// `{"_annotation":{"cve_id":...},"cve":{"configurations":[...]}}`.
pub const OVERRIDE: Format = Format {
    id: "nvd-overrides",
    shape: Shape::Document,
    claims: |keys| keys.top(&["_annotation", "cve"]),
    parse: parse_override,
};

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    cve: Cve<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cve<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    published: Text<'a>,
    #[serde(borrow, default)]
    last_modified: Text<'a>,
    #[serde(borrow, default)]
    vuln_status: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    cve_tags: Vec<Tags<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    metrics: Metrics<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    weaknesses: Vec<Weakness<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    configurations: Vec<Configuration<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    references: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
struct Tags<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    tags: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Weakness<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    description: Vec<Value<'a>>,
}

#[derive(Deserialize)]
struct Value<'a> {
    #[serde(borrow, default)]
    value: Text<'a>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default)]
    url: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    tags: Vec<Text<'a>>,
}

/// Scores of all `cvssMetric...` members, whatever their version; other members are passed over.
#[derive(Default)]
struct Metrics<'a>(Vec<Metric<'a>>);

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow, default)]
    source: Text<'a>,
    #[serde(borrow, rename = "cvssData", default)]
    data: Option<CvssData<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CvssData<'a> {
    #[serde(borrow, default)]
    version: Text<'a>,
    #[serde(borrow, default)]
    vector_string: Text<'a>,
    #[serde(default)]
    base_score: Option<f64>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Metrics<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Metrics<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metrics by version")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if key.starts_with("cvssMetric") {
                        all.extend(map.next_value::<Vec<Metric<'de>>>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Metrics(all))
            }
        }
        d.deserialize_map(Of)
    }
}

#[derive(Deserialize)]
pub(super) struct Configuration<'a> {
    #[serde(borrow, default)]
    operator: Text<'a>,
    #[serde(default, deserialize_with = "or_default")]
    negate: bool,
    #[serde(borrow, default, deserialize_with = "or_default")]
    nodes: Vec<Group<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    #[serde(borrow, default)]
    operator: Text<'a>,
    #[serde(default, deserialize_with = "or_default")]
    negate: bool,
    #[serde(borrow, default, deserialize_with = "or_default")]
    cpe_match: Vec<Match<'a>>,
    /// Nodes in nodes, as former versions of the format had them.
    #[serde(borrow, default, deserialize_with = "or_default")]
    children: Vec<Group<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match<'a> {
    vulnerable: bool,
    #[serde(borrow)]
    criteria: Text<'a>,
    #[serde(borrow, default)]
    version_start_including: Option<Text<'a>>,
    #[serde(borrow, default)]
    version_start_excluding: Option<Text<'a>>,
    #[serde(borrow, default)]
    version_end_including: Option<Text<'a>>,
    #[serde(borrow, default)]
    version_end_excluding: Option<Text<'a>>,
}

fn parse(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let cve = json::from::<Element<'_>>(text)?.cve;
    if cve.id.is_empty() {
        return Err("a record without an id".into());
    }
    let disputed = cve.cve_tags.iter().flat_map(|t| &t.tags).any(|t| &**t == "disputed");
    let standing = match &*cve.vuln_status {
        "Rejected" => Some("rejected".to_owned()),
        _ => disputed.then(|| "disputed".to_owned()),
    };
    let wanted =
        |r: &&Reference<'_>| r.tags.iter().any(|t| matches!(&**t, "Patch" | "Vendor Advisory"));
    let id = cve.id.to_string();
    let record = Record {
        feed: "nvd".into(),
        cves: vec![id.clone()],
        id,
        published: json::day(&cve.published),
        modified: json::day(&cve.last_modified),
        standing,
        scores: scores(&cve.metrics),
        weaknesses: json::distinct(
            cve.weaknesses
                .iter()
                .flat_map(|w| &w.description)
                .filter_map(|v| json::weakness(&v.value))
                .collect(),
        ),
        links: json::links(cve.references.iter().filter(wanted).map(|r| &*r.url)),
        configurations: configurations(cve.configurations)?,
        statements: Vec::new(),
    };
    let changed = json::moment(&cve.last_modified);
    Ok(Parsed { set: Set::loose("nvd"), items: vec![Item::Record(Box::new(record), changed)] })
}

fn scores(metrics: &Metrics<'_>) -> Vec<Score> {
    let one = |m: &Metric<'_>| {
        let data = m.data.as_ref()?;
        json::score(&data.version, data.base_score, &data.vector_string, &m.source)
    };
    metrics.0.iter().filter_map(one).collect()
}

/// Applicability as a list of trees, any of which may hold.
pub(super) fn configurations(all: Vec<Configuration<'_>>) -> Result<Vec<Node>, String> {
    let mut out = Vec::with_capacity(all.len());
    for c in all {
        let mut nodes = c.nodes.into_iter().map(group).collect::<Result<Vec<_>, _>>()?;
        let all = operator(&c.operator)?;
        // One group alone needs no node above it.
        match nodes.pop() {
            Some(only) if nodes.is_empty() && !c.negate => out.push(only),
            Some(last) => {
                nodes.push(last);
                out.push(Node { all, negate: c.negate, matches: Vec::new(), nodes });
            }
            None => {}
        }
    }
    Ok(out)
}

fn operator(text: &str) -> Result<bool, String> {
    match text {
        "AND" => Ok(true),
        "OR" | "" => Ok(false),
        other => Err(format!("{other:?} is not an operator of a configuration")),
    }
}

fn group(g: Group<'_>) -> Result<Node, String> {
    Ok(Node {
        all: operator(&g.operator)?,
        negate: g.negate,
        matches: g.cpe_match.into_iter().map(cpe_match).collect::<Result<_, _>>()?,
        // The reader of JSON bounds the depth.
        nodes: g.children.into_iter().map(group).collect::<Result<_, _>>()?,
    })
}

fn cpe_match(m: Match<'_>) -> Result<CpeMatch, String> {
    let cpe = m.criteria.to_string();
    if crate::Key::cpe(&cpe).is_none() {
        return Err(format!("{cpe:?} is not a CPE 2.3 name"));
    }
    let end = |including: Option<Text<'_>>, excluding: Option<Text<'_>>| {
        let with = |t: Option<Text<'_>>, inside| {
            t.filter(|t| !t.is_empty()).map(|t| (t.to_string(), inside))
        };
        with(including, true).or_else(|| with(excluding, false))
    };
    let from = end(m.version_start_including, m.version_start_excluding);
    let to = end(m.version_end_including, m.version_end_excluding);
    let range = (from.is_some() || to.is_some()).then(|| Range { scheme: String::new(), from, to });
    Ok(CpeMatch { cpe, vulnerable: m.vulnerable, range })
}

#[derive(Deserialize)]
struct Override<'a> {
    #[serde(borrow, rename = "_annotation")]
    annotation: Annotation<'a>,
    #[serde(borrow)]
    cve: OverrideCve<'a>,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    cve_id: Text<'a>,
    #[serde(borrow, default)]
    modified: Text<'a>,
}

#[derive(Deserialize)]
struct OverrideCve<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    configurations: Vec<Configuration<'a>>,
}

fn parse_override(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let read: Override<'_> = json::from(text)?;
    let id = read.annotation.cve_id.to_string();
    if crate::key::cve_number(&id).is_none() {
        return Err(format!("{id:?} is not a CVE id"));
    }
    let record = Record {
        feed: "nvd-overrides".into(),
        cves: vec![id.clone()],
        id,
        modified: json::day(&read.annotation.modified),
        configurations: configurations(read.cve.configurations)?,
        ..Record::default()
    };
    let changed = json::moment(&read.annotation.modified);
    Ok(Parsed {
        set: Set::loose("nvd-overrides"),
        items: vec![Item::Record(Box::new(record), changed)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"cve":{"id":"CVE-2020-0001","published":"2020-01-02T03:04:05.000","lastModified":"2020-02-03T00:00:00.000",
        "vulnStatus":"Modified","cveTags":[{"sourceIdentifier":"x","tags":["disputed"]}],"new":{"k":[1]},
        "metrics":{"cvssMetricV31":[{"source":"a@b","type":"Primary","cvssData":{"version":"3.1","vectorString":"V","baseScore":9.8}}],
            "cvssMetricV50":[{"source":"c","cvssData":{"version":"5.0","vectorString":"W","baseScore":1}}],"ssvcV203":[{"x":1}]},
        "weaknesses":[{"description":[{"lang":"en","value":"CWE-79"},{"value":"NVD-CWE-Other"}]}],
        "configurations":[{"operator":"AND","nodes":[
            {"operator":"OR","negate":false,"cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:v:p:*:*:*:*:*:*:*:*","versionStartIncluding":"1","versionEndExcluding":"2"}]},
            {"operator":"OR","negate":false,"cpeMatch":[{"vulnerable":false,"criteria":"cpe:2.3:h:v:d:-:*:*:*:*:*:*:*"}]}]}],
        "references":[{"url":"https://e.example/p","tags":["Patch"]},{"url":"https://e.example/x"}]}}"#;

    #[test]
    fn a_record() {
        let parsed = parse(ONE.as_bytes(), &Origin::default()).unwrap();
        let [Item::Record(r, Some(changed))] = parsed.items.as_slice() else { panic!() };
        assert_eq!(*changed, crate::date::moment("2020-02-03").unwrap());
        assert_eq!(r.standing.as_deref(), Some("disputed"));
        let scores: Vec<_> = r.scores.iter().map(|s| (s.version.as_str(), s.tenths)).collect();
        assert_eq!(scores, [("3.1", 98), ("5.0", 10)]);
        assert_eq!(r.weaknesses, ["CWE-79"]);
        assert_eq!(r.links, ["https://e.example/p"]);
        let [node] = r.configurations.as_slice() else { panic!() };
        assert!(node.all && node.nodes.len() == 2);
        let range = node.nodes[0].matches[0].range.as_ref().unwrap();
        assert_eq!((range.from.as_ref().unwrap().1, range.to.as_ref().unwrap().1), (true, false));
        let keys = crate::key::keys(r);
        assert!(keys.contains(&crate::Key::Cpe("v".into(), "p".into())));
        assert!(
            !keys.contains(&crate::Key::Cpe("v".into(), "d".into())),
            "running-on is no way to find it"
        );
    }

    #[test]
    fn wrong_records_say_why() {
        for (bad, why) in [
            (ONE.replace("cpe:2.3:a:v:p", "cpe:/a:v:p"), "CPE 2.3"),
            (ONE.replace("\"AND\"", "\"XOR\""), "operator"),
            (ONE.replace("\"vulnerable\":true,", ""), "vulnerable"),
        ] {
            let reason = parse(bad.as_bytes(), &Origin::default()).unwrap_err();
            assert!(reason.contains(why), "{reason}");
        }
    }
}
