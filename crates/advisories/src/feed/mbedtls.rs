//! Mbed TLS's own advisories as JSON lines: CVE ids, the versions that fix, and a text about what is affected.
//!
//! From a fixing version to the end of its branch (`major.minor`) is fixed. Below it is affected only where the text
//! gives the first affected version in one of its usual forms (`from 1.3.10`, `1.4 and up`, `up to`/`all versions`
//! before); else it is unknown. Versions after the newest fix are fixed. Nothing else of the text is read.

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
    },
    record::{Range, Record, Statement, Status, Subject},
};

/// Lines of advisories.
pub const FORMAT: Format = Format {
    id: "mbedtls",
    shape: Shape::Document,
    claims: |keys| keys.top(&["id", "cves", "affects", "fixed_versions"]),
    parse,
};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    cves: Vec<Text<'a>>,
    #[serde(borrow, default)]
    date: Text<'a>,
    #[serde(borrow, default)]
    affects: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    fixed_versions: Vec<Text<'a>>,
}

/// Numbers of a version of plain numbers.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let parts: Vec<u32> = version.split('.').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    (2..=4).contains(&parts.len()).then_some(parts)
}

/// Day of `5th of October 2015 (...)` or `10th March 2017`.
fn day(text: &str) -> Option<i32> {
    let mut words = text.split_whitespace().filter(|w| *w != "of");
    let digits = |w: &str| w.chars().take_while(char::is_ascii_digit).collect::<String>();
    let day = digits(words.next()?).parse().ok()?;
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let word = words.next()?;
    let month = (1_u32..).zip(months).find(|(_, m)| word.get(..3) == Some(m))?.0;
    crate::date::from_civil(digits(words.next()?).parse().ok()?, month, day)
}

/// The first affected version, where the text says one in a form that cannot mean anything else.
fn first_affected(text: &str) -> Option<String> {
    let words: Vec<&str> =
        text.split_whitespace().map(|w| w.trim_matches([',', '.', ';', ':'])).collect();
    let mut found = words.iter().enumerate().filter(|(_, w)| numbers(w).is_some());
    let (at, version) = found.next()?;
    let before =
        |n: usize| at.checked_sub(n).and_then(|i| words.get(i)).copied().unwrap_or_default();
    let after = |n: usize| words.get(at.saturating_add(n)).copied().unwrap_or_default();
    let from = |w: &str| matches!(w, "from" | "since" | "From" | "Since");
    let opens = from(before(1)) || (matches!(before(1), "version" | "versions") && from(before(2)));
    let goes_on = after(1) == "and" && matches!(after(2), "up" | "later" | "above" | "newer");
    // More than one version may mean one range for each of several products.
    let only = found.all(|(_, other)| other == version);
    (opens || goes_on && only).then(|| (*version).to_owned())
}

fn parse(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let line: Line<'_> = json::from(text)?;
    let mut fixes: Vec<(Vec<u32>, String)> =
        line.fixed_versions.iter().filter_map(|v| Some((numbers(v)?, v.to_string()))).collect();
    fixes.sort();
    // A fix below the first affected version contradicts it; then neither is believed about what lies below.
    let lowest = fixes.first().map(|(parts, _)| parts.clone());
    let first = first_affected(&line.affects).filter(|f| numbers(f) <= lowest);
    let range = |from: Option<&str>, to: Option<&str>| Range {
        scheme: String::new(),
        from: from.map(|v| (v.to_owned(), true)),
        to: to.map(|v| (v.to_owned(), false)),
    };
    let mut ranges = Vec::new();
    if let Some((_, newest)) = fixes.last() {
        let below = if first.is_some() { Status::Affected } else { Status::Unknown };
        if let Some(first) = &first {
            ranges.push((range(None, Some(first)), Status::NotAffected));
        }
        ranges.push((range(first.as_deref(), Some(newest)), below));
        for (parts, version) in &fixes {
            let (Some(major), Some(minor)) = (parts.first(), parts.get(1)) else { continue };
            let next = format!("{major}.{}", minor.saturating_add(1));
            let last = version == newest;
            ranges.push((range(Some(version), (!last).then_some(next.as_str())), Status::Fixed));
        }
    }
    let cves: Vec<String> = line
        .cves
        .iter()
        .map(|c| c.to_string())
        .filter(|c| crate::key::cve_number(c).is_some())
        .collect();
    let statement = |name: &str| Statement {
        subject: Subject::Package { ecosystem: "generic".into(), name: name.into() },
        default: Status::Unknown,
        ranges: ranges.clone(),
        files: Vec::new(),
        functions: Vec::new(),
        reason: None,
    };
    let record = Record {
        feed: "mbedtls".into(),
        id: line.id.to_string(),
        cves: json::distinct(cves),
        published: day(&line.date),
        statements: vec![statement("mbedtls")],
        ..Record::default()
    };
    Ok(Parsed { set: Set::loose("mbedtls"), items: vec![Item::Record(Box::new(record), None)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said() {
        assert_eq!(first_affected("mbed TLS 1.4 and up").as_deref(), Some("1.4"));
        assert_eq!(
            first_affected(
                "All versions of mbed TLS from version 1.3.10 and up, including all 2.1 and later"
            )
            .as_deref(),
            Some("1.3.10")
        );
        assert_eq!(first_affected("mbed TLS 1.4 and up, PolarSSL 1.2 and up"), None);
        assert_eq!(first_affected("Mbed TLS 2.28.7 and earlier"), None);
        assert_eq!(day("5th of October 2015 ( **Updated**"), crate::date::day("2015-10-05"));
        assert_eq!(day("28th August 2017"), crate::date::day("2017-08-28"));
    }

    #[test]
    fn branches() {
        let of = |fixed: &str| {
            let text = format!(
                r#"{{"id":"a-1","cves":["CVE-2017-2784"],"date":"10th March 2017","affects":"mbed TLS 1.4 and up","fixed_versions":[{fixed}]}}"#
            );
            let Item::Record(r, _) =
                parse(text.as_bytes(), &Origin::default()).unwrap().items.remove(0)
            else {
                panic!()
            };
            let end = |e: &Option<(String, bool)>| e.as_ref().map_or("-", |(v, _)| v).to_owned();
            let shown: Vec<_> = r.statements[0]
                .ranges
                .iter()
                .map(|(r, s)| format!("{}..{} {s:?}", end(&r.from), end(&r.to)))
                .collect();
            shown.join(", ")
        };
        assert_eq!(
            of(r#""2.4.2","2.1.7""#),
            "-..1.4 NotAffected, 1.4..2.4.2 Affected, 2.1.7..2.2 Fixed, 2.4.2..- Fixed"
        );
        assert_eq!(
            of(r#""2.4.2","1.3.19""#),
            "-..2.4.2 Unknown, 1.3.19..1.4 Fixed, 2.4.2..- Fixed"
        );
    }
}
