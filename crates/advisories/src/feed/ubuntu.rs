//! Ubuntu's notices as the file of all notices has them; the OSV form of Ubuntu is read by `osv`.
//!
//! `{"USN-1-1": {"cves": [...], "timestamp": 1098144000.0, "releases": {"jammy": {"sources": {package: {"version"}}}}}}`.
//! A version below the one of the notice is affected.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
    },
    record::{Range, Record, Statement, Status, Subject},
};

/// The file of all notices.
pub const FORMAT: Format = Format {
    id: "ubuntu-notices",
    shape: Shape::Members,
    claims: |keys| {
        let notice = |k: &str| {
            let k = k.strip_prefix("USN-").unwrap_or(k);
            k.contains('-') && k.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        };
        keys.at(1, notice) && keys.at(2, |k| k == "releases")
    },
    parse,
};

/// Series and the numbers of their releases. Source: Ubuntu's `distro-info-data`.
const SERIES: &[(&str, &str)] = &[
    ("dapper", "6.06"),
    ("hardy", "8.04"),
    ("lucid", "10.04"),
    ("precise", "12.04"),
    ("trusty", "14.04"),
    ("utopic", "14.10"),
    ("vivid", "15.04"),
    ("wily", "15.10"),
    ("xenial", "16.04"),
    ("yakkety", "16.10"),
    ("zesty", "17.04"),
    ("artful", "17.10"),
    ("bionic", "18.04"),
    ("cosmic", "18.10"),
    ("disco", "19.04"),
    ("eoan", "19.10"),
    ("focal", "20.04"),
    ("groovy", "20.10"),
    ("hirsute", "21.04"),
    ("impish", "21.10"),
    ("jammy", "22.04"),
    ("kinetic", "22.10"),
    ("lunar", "23.04"),
    ("mantic", "23.10"),
    ("noble", "24.04"),
    ("oracular", "24.10"),
    ("plucky", "25.04"),
    ("questing", "25.10"),
    ("resolute", "26.04"),
];

#[derive(Deserialize)]
struct Notice<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    cves: Vec<Text<'a>>,
    #[serde(default)]
    timestamp: Option<f64>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    releases: BTreeMap<Text<'a>, Release<'a>>,
}

#[derive(Deserialize)]
struct Release<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    sources: BTreeMap<Text<'a>, Source<'a>>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    version: Text<'a>,
}

fn parse(text: &[u8], origin: &Origin) -> Result<Parsed, String> {
    let member = origin.member.as_deref().unwrap_or_default();
    let id = if member.starts_with("USN-") { member.to_owned() } else { format!("USN-{member}") };
    let notice: Notice<'_> = json::from(text)?;
    let mut statements = Vec::new();
    for (series, release) in &notice.releases {
        let number = SERIES.iter().find(|(s, _)| *s == &**series).map_or(&**series, |(_, n)| n);
        for (package, source) in &release.sources {
            let to = Some((source.version.to_string(), false));
            statements.push(Statement {
                subject: Subject::Package {
                    ecosystem: format!("Ubuntu:{number}"),
                    name: package.to_string(),
                },
                default: Status::Fixed,
                ranges: vec![(Range { scheme: "deb".into(), from: None, to }, Status::Affected)],
                files: Vec::new(),
                functions: Vec::new(),
                reason: None,
                added: false,
            });
        }
    }
    let seconds = notice.timestamp.filter(|t| (0.0..4.1e9).contains(t));
    // In range by the filter.
    #[allow(clippy::cast_possible_truncation)]
    let moment = seconds.map(|t| (t * 1000.0) as i64);
    let published = moment.and_then(|m| i32::try_from(m.div_euclid(86_400_000)).ok());
    let cves = notice.cves.iter().map(|c| c.rsplit('/').next().unwrap_or_default().to_owned());
    let record = Record {
        feed: "ubuntu".into(),
        id,
        cves: json::distinct(cves.filter(|c| crate::key::cve_number(c).is_some()).collect()),
        published,
        statements,
        ..Record::default()
    };
    Ok(Parsed { set: Set::loose("ubuntu"), items: vec![Item::Record(Box::new(record), moment)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice() {
        let text = r#"{"cves":["CVE-2020-0001","https://launchpad.example/bugs/1"],"timestamp":1098144000.5,"releases":{"jammy":{"sources":{"curl":{"version":"7.81.0-1ubuntu1.10"}}}}}"#;
        let keys = super::super::scan::keys_of(format!("{{\"USN-1-1\":{text}}}").as_bytes(), 400);
        assert!((FORMAT.claims)(&super::super::Keys(&keys)));
        let origin = Origin { member: Some("USN-1-1".into()), ..Origin::default() };
        let parsed = parse(text.as_bytes(), &origin).unwrap();
        let Item::Record(r, Some(1_098_144_000_500)) = &parsed.items[0] else {
            panic!("{parsed:?}")
        };
        assert_eq!(r.cves, ["CVE-2020-0001"]);
        assert_eq!(
            r.statements[0].subject,
            Subject::Package { ecosystem: "Ubuntu:22.04".into(), name: "curl".into() }
        );
    }
}
