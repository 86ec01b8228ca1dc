//! Debian: the lists of advisories (DSA, DLA) and the security tracker's JSON.
//!
//! A list has `[29 Mar 2023] DSA-5380-1 xorg-server - security update`, the CVE ids in braces below, and a line for
//! each suite with the fixed version. A version below it is affected. `<not-affected>`, `<unfixed>`,
//! `<end-of-life>` and the like in place of a version are statements of their own. One list is one set.
//!
//! The tracker is `{package: {CVE: {"releases": {suite: {"status", "fixed_version", ...}}}}}`; fixed version `0` means
//! never affected.

use std::{collections::BTreeMap, io::BufRead};

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Lines, Origin, Parsed, Problem, Set, Shape,
        json::{self, Text, or_default},
    },
    record::{Range, Record, Statement, Status, Subject},
};

/// Suites and the numbers of their releases. Source: Debian's `distro-info-data`.
const SUITES: &[(&str, &str)] = &[
    ("hamm", "2"),
    ("slink", "2.1"),
    ("potato", "2.2"),
    ("woody", "3.0"),
    ("sarge", "3.1"),
    ("etch", "4"),
    ("lenny", "5"),
    ("squeeze", "6"),
    ("wheezy", "7"),
    ("jessie", "8"),
    ("stretch", "9"),
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
    ("duke", "15"),
];

/// `Debian:12`; a suite that is not known keeps its name.
fn ecosystem(suite: &str) -> String {
    let number = SUITES.iter().find(|(s, _)| *s == suite).map_or(suite, |(_, n)| *n);
    format!("Debian:{number}")
}

/// What is said of one suite.
fn statement(
    suite: &str,
    package: &str,
    default: Status,
    fixed: Option<&str>,
    reason: Option<&str>,
) -> Statement {
    let below = |v: &str| {
        (
            Range { scheme: "deb".into(), from: None, to: Some((v.to_owned(), false)) },
            Status::Affected,
        )
    };
    Statement {
        subject: Subject::Package { ecosystem: ecosystem(suite), name: package.to_owned() },
        default,
        ranges: fixed.map(below).into_iter().collect(),
        files: Vec::new(),
        functions: Vec::new(),
        reason: reason.map(str::to_owned),
        added: false,
    }
}

/// Lists of advisories.
pub const LIST: Lines = Lines { id: "debian-list", claims: claims_list, read: read_list };

fn claims_list(text: &str) -> bool {
    text.lines().take(50).any(|l| heading(l).is_some())
}

/// Day, id and package of a heading.
fn heading(line: &str) -> Option<(i32, &str, &str)> {
    let (date, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let mut words = rest.split_whitespace();
    let (id, package) = (words.next()?, words.next()?);
    let known = ["DSA-", "DLA-", "DTSA-", "ELA-"].iter().any(|p| id.starts_with(p));
    let mut date = date.split_whitespace();
    let day = date.next()?.parse().ok()?;
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = date.next()?;
    let month = (1_u32..).zip(months).find(|(_, m)| month.get(..3) == Some(m))?.0;
    let year = date.next()?.parse().ok()?;
    Some((crate::date::from_civil(year, month, day)?, known.then_some(id)?, package))
}

fn read_list(source: &mut dyn BufRead, file: &str, out: &mut dyn FnMut(Result<Parsed, Problem>)) {
    let mut open: Option<Record> = None;
    let mut items = Vec::new();
    let mut problems = Vec::new();
    let mut name = "dsa".to_owned();
    let close = |r: Option<Record>, items: &mut Vec<Item>| {
        items.extend(r.map(|r| Item::Record(Box::new(r), None)))
    };
    super::open::lines(
        source,
        |line| {
            if let Some((day, id, _)) = heading(line) {
                close(open.take(), &mut items);
                name = id.split('-').next().unwrap_or_default().to_lowercase();
                let (id, published) = (id.to_owned(), Some(day));
                open = Some(Record { feed: "debian".into(), id, published, ..Record::default() });
                return Ok(());
            }
            let text = line.trim();
            let Some(record) = open.as_mut() else {
                return if text.is_empty() {
                    Ok(())
                } else {
                    Err((short(text), "a line before the first advisory".into()))
                };
            };
            if let Some(ids) = text.strip_prefix('{') {
                let ids = ids.trim_end_matches('}').split_whitespace();
                record
                    .cves
                    .extend(ids.filter(|i| crate::key::cve_number(i).is_some()).map(str::to_owned));
                return Ok(());
            }
            let stated = text.strip_prefix('[').and_then(|t| t.split_once("] - "));
            // Notes and empty lines say nothing about versions.
            let Some((suite, rest)) = stated else {
                return if text.starts_with('[') {
                    Err((
                        record.id.clone(),
                        format!("{:?} is no statement about a suite", short(text)),
                    ))
                } else {
                    Ok(())
                };
            };
            let mut words = rest.split_whitespace();
            match (words.next(), words.next()) {
                (Some(package), Some(version)) => {
                    record.statements.push(in_list(suite, package, version));
                    Ok(())
                }
                _ => Err((record.id.clone(), format!("{:?} has no version", short(text)))),
            }
        },
        &mut |record, reason, cut| {
            problems.push(Problem { cut, ..Problem::of(file, record, reason) })
        },
    );
    close(open, &mut items);
    let set = Set { feed: "debian".into(), name, whole: true, made: None };
    out(Ok(Parsed { set, items }));
    problems.into_iter().for_each(|p| out(Err(p)));
}

fn in_list(suite: &str, package: &str, version: &str) -> Statement {
    match version {
        "<not-affected>" => statement(suite, package, Status::NotAffected, None, None),
        "<unfixed>" => statement(suite, package, Status::Affected, None, None),
        word if word.starts_with('<') => {
            statement(suite, package, Status::Unknown, None, Some(word.trim_matches(['<', '>'])))
        }
        version => statement(suite, package, Status::Fixed, Some(version), None),
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The security tracker.
pub const TRACKER: Format = Format {
    id: "debian-tracker",
    shape: Shape::Members,
    claims: |keys| {
        let issue = |k: &str| k.starts_with("CVE-") || k.starts_with("TEMP-");
        keys.at(2, issue) && keys.at(3, |k| k == "releases") && !keys.at(1, issue)
    },
    parse: parse_tracker,
};

#[derive(Deserialize)]
struct Issue<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    releases: BTreeMap<Text<'a>, Release<'a>>,
}

#[derive(Deserialize)]
struct Release<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow, default)]
    fixed_version: Option<Text<'a>>,
    #[serde(borrow, default)]
    nodsa_reason: Option<Text<'a>>,
}

fn parse_tracker(text: &[u8], origin: &Origin) -> Result<Parsed, String> {
    let package = origin.member.as_deref().unwrap_or_default();
    let issues: BTreeMap<Text<'_>, Issue<'_>> = json::from(text)?;
    let set = Set { feed: "debian".into(), name: "tracker".into(), whole: true, made: None };
    let mut items = Vec::new();
    for (id, issue) in &issues {
        let statements = issue.releases.iter().map(|(suite, r)| {
            let reason = r.nodsa_reason.as_deref().filter(|t| !t.is_empty());
            match (&*r.status, r.fixed_version.as_deref()) {
                ("resolved", Some("0")) => {
                    statement(suite, package, Status::NotAffected, None, reason)
                }
                ("resolved", Some(v)) => statement(suite, package, Status::Fixed, Some(v), reason),
                ("open", _) => statement(suite, package, Status::Affected, None, reason),
                _ => statement(suite, package, Status::Unknown, None, reason.or(Some(&r.status))),
            }
        });
        let record = Record {
            feed: "debian".into(),
            id: format!("{package}/{}", &**id),
            cves: Some(id.to_string())
                .filter(|i| crate::key::cve_number(i).is_some())
                .into_iter()
                .collect(),
            statements: statements.collect(),
            ..Record::default()
        };
        items.push(Item::Record(Box::new(record), None));
    }
    Ok(Parsed { set, items })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list() {
        let text = "[29 Mar 2023] DSA-5380-1 xorg-server - security update\n\t{CVE-2023-1393 CVE-2023-0001}\n\t[bullseye] - xorg-server 2:1.20.11-1+deb11u6\n\t[buster] - xorg-server <not-affected>\n\tNOTE: x\n\n[1 Jan 2020] DSA-1-1 x - y\n\t[bad\n";
        assert!(claims_list(text));
        let mut got = Vec::new();
        read_list(&mut text.as_bytes(), "f", &mut |p| got.push(p));
        let Ok(parsed) = &got[0] else { panic!() };
        assert_eq!((parsed.set.name.as_str(), parsed.items.len()), ("dsa", 2));
        let Item::Record(r, _) = &parsed.items[0] else { panic!() };
        assert_eq!(r.cves.len(), 2);
        assert_eq!(r.published, crate::date::day("2023-03-29"));
        assert_eq!(
            r.statements[0].subject,
            Subject::Package { ecosystem: "Debian:11".into(), name: "xorg-server".into() }
        );
        assert_eq!(r.statements[0].ranges[0].0.to, Some(("2:1.20.11-1+deb11u6".into(), false)));
        assert_eq!(
            (r.statements[0].default, r.statements[1].default),
            (Status::Fixed, Status::NotAffected)
        );
        assert!(matches!(&got[1], Err(p) if p.record == "DSA-1-1"));
    }

    #[test]
    fn the_tracker() {
        let text = r#"{"CVE-2020-0001":{"scope":"remote","releases":{"bookworm":{"status":"resolved","fixed_version":"1.0-2","urgency":"low"},
            "sid":{"status":"open"},"trixie":{"status":"resolved","fixed_version":"0"},"buster":{"status":"undetermined"}}},"TEMP-1":{"releases":{}}}"#;
        let origin = Origin { member: Some("pkg".into()), ..Origin::default() };
        let parsed = parse_tracker(text.as_bytes(), &origin).unwrap();
        let Item::Record(r, _) = &parsed.items[0] else { panic!() };
        assert_eq!(r.id, "pkg/CVE-2020-0001");
        let stated: Vec<_> = r.statements.iter().map(|s| (s.default, s.ranges.len())).collect();
        assert_eq!(
            stated,
            [
                (Status::Fixed, 1),
                (Status::Unknown, 0),
                (Status::Affected, 0),
                (Status::NotAffected, 0)
            ]
        );
        let keys = super::super::scan::keys_of(format!("{{\"pkg\":{text}}}").as_bytes(), 400);
        assert!((TRACKER.claims)(&super::super::Keys(&keys)));
    }
}
