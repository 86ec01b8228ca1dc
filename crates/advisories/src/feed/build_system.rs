//! What build systems state about CVEs of their packages: Buildroot, OpenEmbedded/Yocto, OpenWrt.
//!
//! Two forms: lines `{"tool","package","version","cve","status","patches"}`, one file of which is all that is known of
//! each tool in it, and the report of Yocto's `cve-check` (`{"version":"1","package":[...]}`), which speaks of one
//! build. A statement holds for exactly the version it names; where the version is an unresolved variable it holds
//! for none, and only its reason is kept.
//!
//! The status words are those of `CVE_STATUS` (OpenEmbedded's `cve-check-map.conf`) and of Buildroot's
//! `_IGNORE_CVES`, whose manual says: fixed by a patch, or not applicable. `disputed` and `unknown` decide nothing.

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
    },
    record::{Range, Record, Statement, Status, Subject},
};

/// Lines, one for each package and CVE.
pub const LINES: Format = Format {
    id: "build-system-status",
    shape: Shape::Document,
    claims: |keys| keys.top(&["tool", "package", "cve", "status"]),
    parse: parse_line,
};

/// `cve-check` of Yocto.
pub const YOCTO: Format = Format {
    id: "yocto-cve-check",
    shape: Shape::Elements("package"),
    claims: |keys| {
        keys.top(&["version", "package"])
            && keys.at(3, |k| matches!(k, "issue" | "layer" | "products"))
    },
    parse: parse_package,
};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    tool: Text<'a>,
    #[serde(borrow)]
    package: Text<'a>,
    #[serde(borrow, default)]
    version: Text<'a>,
    #[serde(borrow)]
    cve: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
}

/// Status by the word.
fn meaning(word: &str) -> Status {
    match word {
        "patched"
        | "backported-patch"
        | "cpe-stable-backport"
        | "fixed-version"
        | "version-not-in-range" => Status::Fixed,
        "ignored" | "cpe-incorrect" | "not-applicable-config" | "not-applicable-platform" => {
            Status::NotAffected
        }
        "unpatched" | "upstream-wontfix" | "vulnerable-investigating" | "version-in-range" => {
            Status::Affected
        }
        _ => Status::Unknown,
    }
}

fn record(
    feed: &str,
    ecosystem: &str,
    package: &str,
    version: &str,
    cve: &str,
    word: &str,
) -> Result<Record, String> {
    if crate::key::cve_number(cve).is_none() {
        return Err(format!("{package}: {cve:?} is not a CVE id"));
    }
    let known = !version.is_empty() && !version.contains(['$', '%']);
    let end = known.then(|| (version.to_owned(), true));
    let exact = Range { scheme: String::new(), from: end.clone(), to: end };
    Ok(Record {
        feed: feed.to_owned(),
        id: format!("{package}/{cve}"),
        cves: vec![cve.to_owned()],
        statements: vec![Statement {
            subject: Subject::Package { ecosystem: ecosystem.to_owned(), name: package.to_owned() },
            default: Status::Unknown,
            ranges: known.then(|| (exact, meaning(word))).into_iter().collect(),
            files: Vec::new(),
            functions: Vec::new(),
            reason: Some(word.to_owned()),
            added: false,
        }],
        ..Record::default()
    })
}

fn parse_line(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let line: Line<'_> = json::from(text)?;
    let (feed, ecosystem) = match &*line.tool {
        "buildroot" => ("buildroot", "Buildroot"),
        "openembedded" | "yocto" => ("yocto", "Yocto"),
        "openwrt" => ("openwrt", "OpenWrt"),
        other => return Err(format!("{other:?} is not a build system known here")),
    };
    let record = record(feed, ecosystem, &line.package, &line.version, &line.cve, &line.status)?;
    let set = Set { feed: feed.into(), name: "status".into(), whole: true, made: None };
    Ok(Parsed { set, items: vec![Item::Record(Box::new(record), None)] })
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    issue: Vec<Issue<'a>>,
}

#[derive(Deserialize)]
struct Issue<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow, default)]
    detail: Text<'a>,
}

fn parse_package(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let package: Package<'_> = json::from(text)?;
    let mut items = Vec::new();
    for issue in &package.issue {
        // The detail says more where there is one; what it does not decide, the status does not either if it ignores.
        let status = issue.status.to_lowercase();
        let word = match (&*issue.detail, status.as_str()) {
            ("", status) => status.to_owned(),
            (detail, "patched" | "unpatched") if meaning(detail) == Status::Unknown => status,
            (detail, _) => detail.to_owned(),
        };
        let r = record("yocto", "Yocto", &package.name, &package.version, &issue.id, &word)?;
        items.push(Item::Record(Box::new(r), None));
    }
    Ok(Parsed { set: Set::loose("yocto"), items })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let of = |version: &str, status: &str| {
            let text = format!(
                r#"{{"tool":"openembedded","package":"p","version":"{version}","cve":"CVE-2020-0001","status":"{status}","patches":[]}}"#
            );
            let Item::Record(r, None) =
                parse_line(text.as_bytes(), &Origin::default()).unwrap().items.remove(0)
            else {
                panic!()
            };
            r.statements[0].ranges.first().map(|(r, s)| (r.from.clone().unwrap().0, *s))
        };
        assert_eq!(of("1.2", "backported-patch"), Some(("1.2".into(), Status::Fixed)));
        assert_eq!(of("1.2", "disputed"), Some(("1.2".into(), Status::Unknown)));
        assert_eq!(of("1.2", "upstream-wontfix"), Some(("1.2".into(), Status::Affected)));
        assert_eq!(of("$(X).3", "patched"), None);
    }

    #[test]
    fn cve_check() {
        let text = r#"{"name":"busybox","layer":"meta","version":"1.36.1","products":[],"issue":[
            {"id":"CVE-2020-0001","status":"Patched","detail":"fix-file-included"},{"id":"CVE-2020-0002","status":"Ignored","detail":"disputed"},{"id":"CVE-2020-0003","status":"Unpatched"}]}"#;
        let keys = super::super::scan::keys_of(
            format!("{{\"version\":\"1\",\"package\":[{text}]}}").as_bytes(),
            400,
        );
        assert!((YOCTO.claims)(&super::super::Keys(&keys)));
        let parsed = parse_package(text.as_bytes(), &Origin::default()).unwrap();
        let all: Vec<_> = parsed
            .items
            .iter()
            .map(|i| match i {
                Item::Record(r, _) => r.statements[0].ranges[0].1,
                _ => panic!(),
            })
            .collect();
        assert_eq!(all, [Status::Fixed, Status::Unknown, Status::Affected]);
    }
}
