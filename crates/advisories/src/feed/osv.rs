//! OSV: single records, lines, archives. Ubuntu's records in this form are read here too.
//!
//! The events of a range are read in their order: `introduced` opens, `fixed`, `last_affected` and `limit` close.
//! `0` is the beginning. Listed versions count where no ordered range is given beside them (else they only repeat
//! it); for ranges of commits they are the tags. A statement about the repository bears the commits.
//!
//! The feed is `osv-` and the prefix of the id, since each prefix is a database of its own with its own pace;
//! `ubuntu` for Ubuntu's. Records marked as withdrawn are kept with that mark.
//!
//! Source: the OSV schema 1.7 and its evaluation algorithm.

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
        purl,
    },
    record::{Range, Record, Score, Statement, Status, Subject},
};

/// OSV records.
pub const FORMAT: Format = Format {
    id: "osv",
    shape: Shape::Document,
    claims: |keys| {
        keys.top(&["id", "modified"])
            && keys.at(1, |k| {
                matches!(k, "affected" | "schema_version" | "withdrawn" | "aliases" | "upstream")
            })
    },
    parse,
};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    modified: Text<'a>,
    #[serde(borrow, default)]
    published: Text<'a>,
    #[serde(borrow, default)]
    withdrawn: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    aliases: Vec<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    upstream: Vec<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    severity: Vec<Severity<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    affected: Vec<Affected<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    references: Vec<Reference<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    database_specific: Specific<'a>,
}

#[derive(Deserialize)]
struct Severity<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    score: Text<'a>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    url: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Specific<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    cwe_ids: Vec<Text<'a>>,
    #[serde(borrow, rename = "CWE")]
    cwe: Text<'a>,
    #[serde(borrow, rename = "URL")]
    url: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Affected<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    package: Package<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    severity: Vec<Severity<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    ranges: Vec<Events<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    versions: Vec<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Package<'a> {
    #[serde(borrow)]
    ecosystem: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    purl: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Events<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    repo: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    events: Vec<Event<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    introduced: Text<'a>,
    #[serde(borrow)]
    fixed: Text<'a>,
    #[serde(borrow)]
    last_affected: Text<'a>,
    #[serde(borrow)]
    limit: Text<'a>,
}

/// Listed versions that are kept of one package.
const VERSIONS: usize = 4000;

fn parse(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let doc: Document<'_> = json::from(text)?;
    let id = doc.id.trim().to_owned();
    if id.is_empty() {
        return Err("a record without an id".into());
    }
    let cves = cves(&id, doc.aliases.iter().chain(&doc.upstream));
    let mut statements = Vec::new();
    doc.affected.iter().for_each(|a| statements.extend(stated(a)));
    let severities = doc.severity.iter().chain(doc.affected.iter().flat_map(|a| &a.severity));
    let mut scores: Vec<Score> = Vec::new();
    for s in severities {
        scores.extend(score(s).filter(|s| !scores.contains(s)));
    }
    let specific = &doc.database_specific;
    let cwes = specific.cwe_ids.iter().chain([&specific.cwe]).filter_map(|c| json::weakness(c));
    let wanted = |r: &&Reference<'_>| matches!(&*r.kind, "FIX" | "ADVISORY");
    let feed = feed(&id, &doc.affected);
    let record = Record {
        feed: feed.clone(),
        cves,
        published: json::day(&doc.published),
        modified: json::day(&doc.modified),
        standing: (!doc.withdrawn.is_empty()).then(|| "withdrawn".to_owned()),
        scores,
        weaknesses: json::distinct(cwes.collect()),
        links: json::links(
            doc.references.iter().filter(wanted).map(|r| &*r.url).chain([&*specific.url]),
        ),
        statements,
        id,
        ..Record::default()
    };
    let changed = json::moment(&doc.modified);
    Ok(Parsed { set: Set::loose(feed), items: vec![Item::Record(Box::new(record), changed)] })
}

/// CVE ids among the aliases, and in the id itself (`UBUNTU-CVE-2020-1234`).
fn cves<'a>(id: &str, aliases: impl Iterator<Item = &'a Text<'a>>) -> Vec<String> {
    let own = id.find("CVE-").and_then(|at| id.get(at..)).map(str::to_owned);
    let all = own.into_iter().chain(aliases.map(|a| a.to_string()));
    json::distinct(all.filter(|c| crate::key::cve_number(c).is_some()).collect())
}

fn feed(id: &str, affected: &[Affected<'_>]) -> String {
    if affected.iter().any(|a| a.package.ecosystem.starts_with("Ubuntu")) || id.starts_with("USN-")
    {
        return "ubuntu".into();
    }
    let prefix: String = id
        .split('-')
        .next()
        .unwrap_or_default()
        .to_lowercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(24)
        .collect();
    match prefix.as_str() {
        "osv" => "osv-oss-fuzz".into(),
        "lkc" => "osv-linux-kernel".into(),
        prefix => format!("osv-{prefix}"),
    }
}

/// OSV gives vectors, not numbers. Where a number is given it is kept; a vector is kept with the number it means.
fn score(s: &Severity<'_>) -> Option<Score> {
    let vector = s.score.trim();
    let version = match vector.strip_prefix("CVSS:").and_then(|v| v.split('/').next()) {
        Some(version) => version.to_owned(),
        None if &*s.kind == "CVSS_V2" => "2.0".to_owned(),
        None => return json::score(&s.kind, vector.parse().ok(), "", "osv"),
    };
    let tenths = cvss3(vector)?;
    Some(Score { version, tenths, vector: vector.to_owned(), by: "osv".to_owned() })
}

/// Base score of a CVSS 3 vector times ten, by the equations of the specification (sections 7.1 and 7.4 of CVSS 3.1,
/// appendix A for rounding). None for other versions.
fn cvss3(vector: &str) -> Option<u8> {
    let rest = vector.strip_prefix("CVSS:3.0/").or_else(|| vector.strip_prefix("CVSS:3.1/"))?;
    let metric = |name: &str| rest.split('/').find_map(|m| m.strip_prefix(name)?.strip_prefix(':'));
    let of = |name: &str, values: &[(&str, f64)]| {
        let value = metric(name)?;
        values.iter().find(|(v, _)| *v == value).map(|(_, n)| *n)
    };
    let changed = metric("S")? == "C";
    let (low, high) = if changed { (0.68, 0.5) } else { (0.62, 0.27) };
    let impact_of = |name| of(name, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
    let lost = 1.0 - (1.0 - impact_of("C")?) * (1.0 - impact_of("I")?) * (1.0 - impact_of("A")?);
    let impact =
        if changed { 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02).powi(15) } else { 6.42 * lost };
    let reach = 8.22
        * of("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?
        * of("AC", &[("L", 0.77), ("H", 0.44)])?
        * of("PR", &[("N", 0.85), ("L", low), ("H", high)])?
        * of("UI", &[("N", 0.85), ("R", 0.62)])?;
    if impact <= 0.0 {
        return Some(0);
    }
    let sum = if changed { 1.08 * (impact + reach) } else { impact + reach }.min(10.0);
    let scaled = (sum * 100_000.0).round();
    // From 0 to 1,000,000.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let scaled = scaled as u32;
    u8::try_from(scaled.div_ceil(10_000)).ok()
}

fn stated(a: &Affected<'_>) -> Vec<Statement> {
    let statement = |subject, ranges: Vec<(Range, Status)>| Statement {
        subject,
        default: Status::NotAffected,
        ranges,
        files: Vec::new(),
        functions: Vec::new(),
        reason: None,
        added: false,
    };
    let affected =
        |ranges: Vec<Range>| ranges.into_iter().map(|r| (r, Status::Affected)).collect::<Vec<_>>();
    let package = if a.package.name.is_empty() {
        purl::package(&a.package.purl)
    } else {
        Some(Subject::Package {
            ecosystem: a.package.ecosystem.to_string(),
            name: a.package.name.to_string(),
        })
    };
    let scheme = |kind: &str, ecosystem: &str| match kind {
        "SEMVER" => "semver",
        _ if ecosystem.starts_with("Debian") || ecosystem.starts_with("Ubuntu") => "deb",
        _ if ecosystem.starts_with("Alpine") => "apk",
        _ => "",
    };
    let ordered: Vec<Range> = a
        .ranges
        .iter()
        .filter(|r| &*r.kind != "GIT")
        .flat_map(|r| ranges(&r.events, scheme(&r.kind, &a.package.ecosystem)))
        .collect();
    let listed = || {
        let exact = |v: &Text<'_>| {
            let end = Some((v.to_string(), true));
            Range { scheme: String::new(), from: end.clone(), to: end }
        };
        a.versions.iter().take(VERSIONS).map(exact).collect::<Vec<_>>()
    };
    let mut out = Vec::new();
    if let Some(package) = package {
        let ranges = if ordered.is_empty() { listed() } else { ordered };
        if !ranges.is_empty() {
            out.push(statement(package, affected(ranges)));
        } else if a.ranges.is_empty() {
            // Neither ranges nor versions: the package as such, in every version.
            out.push(Statement { default: Status::Affected, ..statement(package, Vec::new()) });
        }
    }
    for git in a.ranges.iter().filter(|r| &*r.kind == "GIT" && !r.repo.is_empty()) {
        let ranges = affected(ranges(&git.events, "git"));
        if !ranges.is_empty() {
            out.push(statement(Subject::Git(git.repo.to_string()), ranges));
        }
    }
    out
}

/// Ranges between events in their order.
fn ranges(events: &[Event<'_>], scheme: &str) -> Vec<Range> {
    let mut out: Vec<Range> = Vec::new();
    let mut open: Option<Option<(String, bool)>> = None;
    let mut used = false;
    for e in events {
        if !e.introduced.is_empty() {
            // Opened again without having been closed: two beginnings.
            if let Some(from) = open.take().filter(|_| !used) {
                out.push(Range { scheme: scheme.to_owned(), from, to: None });
            }
            open = Some((&*e.introduced != "0").then(|| (e.introduced.to_string(), true)));
            used = false;
        }
        let end = [(&e.fixed, false), (&e.last_affected, true), (&e.limit, false)]
            .into_iter()
            .find(|(v, _)| !v.is_empty())
            .map(|(v, inside)| (v.to_string(), inside));
        // `limit: *` is no limit.
        if let (Some(end), Some(from)) = (end.filter(|(v, _)| v != "*"), &open) {
            out.push(Range { scheme: scheme.to_owned(), from: from.clone(), to: Some(end) });
            used = true;
        }
    }
    if let Some(from) = open.filter(|_| !used) {
        out.push(Range { scheme: scheme.to_owned(), from, to: None });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Record {
        let parsed = parse(text.as_bytes(), &Origin::default()).unwrap();
        let Some(Item::Record(r, _)) = parsed.items.into_iter().next() else { panic!() };
        *r
    }

    fn shown(s: &Statement) -> Vec<String> {
        let end = |e: &Option<(String, bool)>| {
            e.as_ref().map_or("-".into(), |(v, i)| format!("{v}{}", if *i { "=" } else { "" }))
        };
        s.ranges.iter().map(|(r, _)| format!("{}..{}", end(&r.from), end(&r.to))).collect()
    }

    #[test]
    fn events_in_their_order() {
        let r = of(
            r#"{"id":"LKC-CVE-2004-0230","modified":"2024-04-09T00:00:00Z","affected":[{"package":{"ecosystem":"Linux","name":"Kernel"},
            "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.2.37"},{"introduced":"3.3"},{"last_affected":"3.6"},{"introduced":"5"}]},
            {"type":"GIT","repo":"https://g.example/l","events":[{"introduced":"0"},{"fixed":"aa"},{"fixed":"bb"}]}],"versions":["1"]}]}"#,
        );
        assert_eq!(
            (r.feed.as_str(), r.cves.as_slice()),
            ("osv-linux-kernel", ["CVE-2004-0230".to_owned()].as_slice())
        );
        assert_eq!(shown(&r.statements[0]), ["-..3.2.37", "3.3=..3.6=", "5=..-"]);
        assert_eq!(shown(&r.statements[1]), ["-..aa", "-..bb"]);
    }

    #[test]
    fn versions_count_without_an_ordered_range() {
        let r = of(
            r#"{"id":"OSV-2021-1","modified":"2022-01-01T00:00:00Z","withdrawn":"2022-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"OSS-Fuzz","name":"x"},
            "ranges":[{"type":"GIT","repo":"https://g.example/x","events":[{"introduced":"aa"}]}],"versions":["v1.0","v1.1"]}]}"#,
        );
        assert_eq!(shown(&r.statements[0]), ["v1.0=..v1.0=", "v1.1=..v1.1="]);
        assert_eq!(r.standing.as_deref(), Some("withdrawn"));
        assert_eq!(r.feed, "osv-oss-fuzz");
    }

    #[test]
    fn scores_of_vectors() {
        // Examples of the specification's own document and calculator.
        for (vector, tenths) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 98),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 61),
            ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N", 0),
            ("CVSS:3.0/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 78),
        ] {
            assert_eq!(cvss3(vector), Some(tenths), "{vector}");
        }
        assert_eq!(cvss3("CVSS:4.0/AV:N"), None);
    }
}
