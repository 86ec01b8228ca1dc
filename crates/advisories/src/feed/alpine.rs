//! Alpine's security database: the version of each package that fixed a CVE, by branch and repository.
//!
//! A document is one repository of one branch and replaces what was there of it. Fix version `0` means the package
//! never was affected. Before the fix is affected, from it on fixed. Ids may bear other names beside a CVE
//! (`CVE-2019-1234 XSA-1`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
    },
    record::{Range, Record, Statement, Status, Subject},
};

/// `{"distroversion":"v3.18","reponame":"main","packages":[...]}`.
pub const FORMAT: Format = Format {
    id: "alpine-secdb",
    shape: Shape::Document,
    claims: |keys| keys.top(&["packages", "distroversion"]) || keys.top(&["packages", "reponame"]),
    parse,
};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    distroversion: Text<'a>,
    #[serde(borrow, default)]
    reponame: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    packages: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    pkg: Package<'a>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    secfixes: BTreeMap<Text<'a>, Option<Vec<Text<'a>>>>,
}

fn parse(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let doc: Document<'_> = json::from(text)?;
    let branch = doc.distroversion.trim();
    if branch.is_empty() || branch.len() > 40 {
        return Err("the branch (distroversion) is missing".into());
    }
    let set = Set {
        feed: "alpine".into(),
        name: format!("{branch}/{}", &*doc.reponame),
        whole: true,
        made: None,
    };
    let mut items = Vec::new();
    for Entry { pkg } in &doc.packages {
        // The same CVE may be fixed in several versions (a fix that came back): the latest line wins where they are
        // listed, since only ranges that end with a fix are written.
        let mut fixed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (version, ids) in &pkg.secfixes {
            for id in ids.iter().flatten().flat_map(|i| i.split_whitespace()) {
                fixed.entry(id).or_default().push(version);
            }
        }
        for (id, versions) in fixed {
            items.push(Item::Record(Box::new(record(&set, &doc, &pkg.name, id, &versions)), None));
        }
    }
    Ok(Parsed { set, items })
}

fn record(set: &Set, doc: &Document<'_>, package: &str, id: &str, versions: &[&str]) -> Record {
    let never = versions.contains(&"0");
    let before = |v: &&str| {
        let to = Some(((*v).to_owned(), false));
        (Range { scheme: "apk".into(), from: None, to }, Status::Affected)
    };
    Record {
        feed: set.feed.clone(),
        id: format!("{}/{package}/{id}", set.name),
        cves: Some(id.to_owned())
            .filter(|i| crate::key::cve_number(i).is_some())
            .into_iter()
            .collect(),
        statements: vec![Statement {
            subject: Subject::Package {
                ecosystem: format!("Alpine:{}", &*doc.distroversion),
                name: package.to_owned(),
            },
            default: if never { Status::NotAffected } else { Status::Fixed },
            ranges: if never { Vec::new() } else { versions.iter().map(before).collect() },
            files: Vec::new(),
            functions: Vec::new(),
            reason: None,
            added: false,
        }],
        ..Record::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixes_and_never_affected() {
        let text = r#"{"distroversion":"v3.18","reponame":"main","packages":[{"pkg":{"name":"busybox","secfixes":{
            "1.36.1-r2":["CVE-2022-48174 X-1"],"0":["CVE-2021-42373"]}}},{"pkg":{"name":"none","secfixes":{"1-r0":null}}}]}"#;
        let parsed = parse(text.as_bytes(), &Origin::default()).unwrap();
        assert_eq!(
            (parsed.set.name.as_str(), parsed.set.whole, parsed.items.len()),
            ("v3.18/main", true, 3)
        );
        let Item::Record(r, None) = &parsed.items[0] else { panic!() };
        assert_eq!(
            (r.id.as_str(), r.statements[0].default),
            ("v3.18/main/busybox/CVE-2021-42373", Status::NotAffected)
        );
        let Item::Record(r, None) = &parsed.items[1] else { panic!() };
        assert_eq!(r.statements[0].ranges[0].0.to, Some(("1.36.1-r2".into(), false)));
        assert_eq!(
            r.statements[0].subject,
            Subject::Package { ecosystem: "Alpine:v3.18".into(), name: "busybox".into() }
        );
    }
}
