//! Kernel CVEs with the fix of each stable stream, one JSON line for each CVE.
//!
//! `mainline` has the tags and commits between which the fault was in, `stream_status` what became of each stream:
//! `fixed:V`, `not_fixed` or `unknown`. The mainline range comes first, then each stream with its own answer, which
//! outranks it. A stream is written as from its first release to `X.Y.*`, as the kernel's CVE records do. Streams
//! that were given up upstream stay `not_fixed`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
    },
    record::{Range, Record, Statement, Status, Subject},
};

/// Lines of the tracker.
pub const FORMAT: Format = Format {
    id: "linux-kernel-cves",
    shape: Shape::Document,
    claims: |keys| keys.top(&["cve", "mainline", "stream_status"]),
    parse,
};

const SCHEME: &str = "linux";
const MAINLINE: &str = "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git";

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    cve: Text<'a>,
    #[serde(borrow)]
    mainline: Mainline<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    stream_status: BTreeMap<Text<'a>, Text<'a>>,
}

#[derive(Deserialize)]
struct Mainline<'a> {
    #[serde(borrow, default)]
    breaks_commit: Text<'a>,
    #[serde(borrow, default)]
    fixes_commit: Text<'a>,
    #[serde(borrow, default)]
    introduced: Text<'a>,
    #[serde(borrow, default)]
    fixed: Text<'a>,
}

fn parse(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let line: Line<'_> = json::from(text)?;
    let id = line.cve.to_string();
    if crate::key::cve_number(&id).is_none() {
        return Err(format!("{id:?} is not a CVE id"));
    }
    let said = |t: &Text<'_>| (!t.is_empty() && t.len() <= 80).then(|| t.to_string());
    let (introduced, fixed) = (said(&line.mainline.introduced), said(&line.mainline.fixed));
    let range = |from: Option<(String, bool)>, to: Option<(String, bool)>| Range {
        scheme: SCHEME.into(),
        from,
        to,
    };
    let mut ranges = Vec::new();
    // Without a fix in mainline nothing is known there.
    if let Some(fixed) = fixed {
        let from = introduced.map(|v| (v, true));
        ranges.push((range(from, Some((fixed, false))), Status::Affected));
    }
    for (stream, status) in &line.stream_status {
        let all = || (Some((stream.to_string(), true)), Some((format!("{}.*", &**stream), true)));
        let (from, to) = all();
        match status.strip_prefix("fixed:") {
            Some(version) => {
                // The first release of a stream may have the fix already, or a candidate before it.
                let first = version.strip_prefix(&**stream);
                if !first.is_some_and(|rest| rest.is_empty() || rest.starts_with("-rc")) {
                    let to = Some((version.to_owned(), false));
                    ranges.push((range(from, to), Status::Affected));
                }
                ranges.push((range(Some((version.to_owned(), true)), to), Status::Fixed));
            }
            None if &**status == "not_fixed" => ranges.push((range(from, to), Status::Affected)),
            None => ranges.push((range(from, to), Status::Unknown)),
        }
    }
    let statement = |subject, default, ranges| Statement {
        subject,
        default,
        ranges,
        files: Vec::new(),
        functions: Vec::new(),
        reason: None,
        added: false,
    };
    let kernel = Subject::Package { ecosystem: "Linux".into(), name: "Kernel".into() };
    let default = if ranges.is_empty() { Status::Unknown } else { Status::NotAffected };
    let mut statements = vec![statement(kernel, default, ranges)];
    if let Some(fix) = said(&line.mainline.fixes_commit) {
        let commits = Range {
            scheme: "git".into(),
            from: said(&line.mainline.breaks_commit).map(|c| (c, true)),
            to: Some((fix, false)),
        };
        statements.push(statement(
            Subject::Git(MAINLINE.into()),
            Status::NotAffected,
            vec![(commits, Status::Affected)],
        ));
    }
    let record = Record {
        feed: "linux-kernel".into(),
        cves: vec![id.clone()],
        id,
        statements,
        ..Record::default()
    };
    let set = Set { feed: "linux-kernel".into(), name: "streams".into(), whole: true, made: None };
    Ok(Parsed { set, items: vec![Item::Record(Box::new(record), None)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_outrank_mainline() {
        let text = r#"{"cve":"CVE-2024-26809","mainline":{"breaks_commit":null,"fixes_commit":"b0e2","introduced":"5.10-rc1","fixed":"6.9-rc1"},
            "streams":{},"stream_status":{"5.10":"fixed:5.10.214","5.11":"not_fixed","6.0":"unknown","6.8":"fixed:6.8-rc7","6.9":"fixed:6.9"}}"#;
        let parsed = parse(text.as_bytes(), &Origin::default()).unwrap();
        let Item::Record(r, None) = &parsed.items[0] else { panic!() };
        let end = |e: &Option<(String, bool)>| {
            e.as_ref().map_or("-".into(), |(v, i)| format!("{v}{}", if *i { "=" } else { "" }))
        };
        let shown: Vec<_> = r.statements[0]
            .ranges
            .iter()
            .map(|(r, s)| format!("{}..{} {s:?}", end(&r.from), end(&r.to)))
            .collect();
        assert_eq!(
            shown,
            [
                "5.10-rc1=..6.9-rc1 Affected",
                "5.10=..5.10.214 Affected",
                "5.10.214=..5.10.*= Fixed",
                "5.11=..5.11.*= Affected",
                "6.0=..6.0.*= Unknown",
                "6.8-rc7=..6.8.*= Fixed",
                "6.9=..6.9.*= Fixed"
            ]
        );
        assert_eq!(r.statements[1].ranges[0].0.to, Some(("b0e2".into(), false)));
    }
}
