//! CVE 5.x records: what the CNA and others (CISA's container) state about affected products.
//!
//! Each entry of `affected` becomes a statement about the product by its name, one for each CPE product, one for
//! the package, and one for the repository where versions are commits. Ranges keep the order of the record, with
//! `changes` after the range they lie in, so that the later one outranks. `0` as a lower end and `*` as an upper one
//! are no ends. Comparisons written into the version (`>= 1.0, < 1.2`) are read as ranges; other prose is not.
//!
//! What other containers than the CNA's state is kept as added by somebody else: it counts less than the author's word.
//!
//! A record without publication data is not from the CVE list but a CNA's own copy; its feed is `cve5-NAME`.
//!
//! Sources: `CVE_Record_Format.json` 5.1 with its notes on versions.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
        nvd, purl,
    },
    record::{Range, Record, Score, Statement, Status, Subject},
};

/// Single records, lines, archives and folders of them.
pub const FORMAT: Format = Format {
    id: "cve-5",
    shape: Shape::Document,
    claims: |keys| {
        keys.top(&["cveMetadata"]) && keys.at(1, |k| k == "containers" || k == "dataType")
    },
    parse,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(borrow)]
    cve_metadata: Metadata<'a>,
    #[serde(borrow)]
    containers: Containers<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    cve_id: Text<'a>,
    #[serde(borrow, default)]
    state: Text<'a>,
    #[serde(borrow, default)]
    date_published: Text<'a>,
    #[serde(borrow, default)]
    date_updated: Text<'a>,
    #[serde(borrow, default)]
    date_rejected: Text<'a>,
}

#[derive(Deserialize)]
struct Containers<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    cna: Container<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    adp: Vec<Container<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    provider_metadata: Provider<'a>,
    #[serde(borrow)]
    date_public: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    tags: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    affected: Vec<Affected<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    cpe_applicability: Vec<nvd::Configuration<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    metrics: Vec<Metric<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    problem_types: Vec<ProblemType<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    references: Vec<Reference<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Provider<'a> {
    #[serde(borrow)]
    short_name: Text<'a>,
    #[serde(borrow)]
    date_updated: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Affected<'a> {
    #[serde(borrow)]
    vendor: Text<'a>,
    #[serde(borrow)]
    product: Text<'a>,
    #[serde(borrow, rename = "collectionURL")]
    collection: Text<'a>,
    #[serde(borrow)]
    package_name: Text<'a>,
    #[serde(borrow, rename = "packageURL")]
    package_url: Text<'a>,
    #[serde(borrow)]
    repo: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    cpes: Vec<Text<'a>>,
    #[serde(borrow)]
    default_status: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    versions: Vec<Version<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    program_files: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    program_routines: Vec<Routine<'a>>,
}

#[derive(Deserialize)]
struct Routine<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Version<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    version_type: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    less_than: Text<'a>,
    #[serde(borrow)]
    less_than_or_equal: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    changes: Vec<Change<'a>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    at: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
}

/// Any member that has a base score is a score: `cvssV3_1`, and what will come.
struct Metric<'a>(Vec<Score>, std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> Deserialize<'de> for Metric<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cvss<'a> {
            #[serde(borrow, default)]
            version: Text<'a>,
            #[serde(borrow, default)]
            vector_string: Text<'a>,
            #[serde(default)]
            base_score: Option<f64>,
        }
        struct Of;
        impl<'de> serde::de::Visitor<'de> for Of {
            type Value = Vec<Score>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a metric")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if key.starts_with("cvss") {
                        let c: Cvss<'de> = map.next_value()?;
                        all.extend(json::score(&c.version, c.base_score, &c.vector_string, ""));
                    } else {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                Ok(all)
            }
        }
        d.deserialize_map(Of).map(|s| Self(s, std::marker::PhantomData))
    }
}

#[derive(Deserialize)]
struct ProblemType<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    descriptions: Vec<Description<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    #[serde(borrow, default)]
    cwe_id: Text<'a>,
    #[serde(borrow, default)]
    description: Text<'a>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default)]
    url: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    tags: Vec<Text<'a>>,
}

fn parse(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let doc: Document<'_> = json::from(text)?;
    let id = doc.cve_metadata.cve_id.to_string();
    if crate::key::cve_number(&id).is_none() {
        return Err(format!("{id:?} is not a CVE id"));
    }
    let meta = &doc.cve_metadata;
    let cna = &doc.containers.cna;
    let all = || std::iter::once(cna).chain(&doc.containers.adp);
    let listed = !(meta.date_published.is_empty()
        && meta.date_updated.is_empty()
        && meta.date_rejected.is_empty());
    let feed = match &*cna.provider_metadata.short_name {
        name if !listed && !name.is_empty() => format!("cve5-{}", name.to_lowercase()),
        _ => "cve5".to_owned(),
    };
    let moments = || {
        let of_containers = all().map(|c| &*c.provider_metadata.date_updated);
        of_containers.chain([&*meta.date_updated, &*meta.date_rejected]).filter(|t| !t.is_empty())
    };
    let changed = moments().filter_map(json::moment).max();
    let published = [&meta.date_published, &cna.date_public].iter().find_map(|t| json::day(t));
    let standing = match &*meta.state {
        "REJECTED" => Some("rejected".to_owned()),
        _ => cna.tags.iter().any(|t| &**t == "disputed").then(|| "disputed".to_owned()),
    };
    let mut scores: Vec<Score> = Vec::new();
    for container in all() {
        let by = container.provider_metadata.short_name.to_string();
        scores.extend(
            container
                .metrics
                .iter()
                .flat_map(|m| &m.0)
                .map(|s| Score { by: by.clone(), ..s.clone() }),
        );
    }
    let cwe =
        |d: &Description<'_>| json::weakness(&d.cwe_id).or_else(|| json::weakness(&d.description));
    let mut statements = Vec::new();
    cna.affected.iter().for_each(|a| statements.extend(stated(a)));
    for entry in doc.containers.adp.iter().flat_map(|c| &c.affected) {
        statements.extend(stated(entry).into_iter().map(|s| Statement { added: true, ..s }));
    }
    let record = Record {
        feed: feed.clone(),
        cves: vec![id.clone()],
        id,
        published,
        modified: moments().filter_map(json::day).max(),
        standing,
        scores,
        weaknesses: json::distinct(
            all()
                .flat_map(|c| &c.problem_types)
                .flat_map(|p| &p.descriptions)
                .filter_map(cwe)
                .collect(),
        ),
        links: json::links(
            all().flat_map(|c| &c.references).filter(|r| is_patch(r)).map(|r| &*r.url),
        ),
        statements,
        configurations: {
            let Containers { cna, adp } = doc.containers;
            // What others add counts where the author says nothing.
            let added = cna.cpe_applicability.is_empty();
            let adp = adp.into_iter().filter(|_| added).flat_map(|c| c.cpe_applicability);
            nvd::configurations(cna.cpe_applicability.into_iter().chain(adp).collect())?
        },
    };
    Ok(Parsed { set: Set::loose(feed), items: vec![Item::Record(Box::new(record), changed)] })
}

fn is_patch(r: &Reference<'_>) -> bool {
    let tagged = r.tags.iter().any(|t| matches!(&**t, "patch" | "vendor-advisory"));
    // Kernel records have commits as their references, without tags.
    tagged
        || r.tags.is_empty()
            && (r.url.contains("/commit/") || r.url.contains("git.kernel.org/stable/c/"))
}

fn status(text: &str) -> Status {
    match text {
        "affected" => Status::Affected,
        "unaffected" => Status::NotAffected,
        _ => Status::Unknown,
    }
}

/// A name that says something.
fn named(text: &str) -> Option<&str> {
    let text = text.trim();
    (!matches!(text.to_ascii_lowercase().as_str(), "" | "n/a" | "-" | "unknown" | "unspecified"))
        .then_some(text)
}

/// Statements of one entry.
fn stated(a: &Affected<'_>) -> Vec<Statement> {
    let (commits, versions): (Vec<_>, Vec<_>) =
        a.versions.iter().partition(|v| &*v.version_type == "git");
    let default = status(&a.default_status);
    let texts = |all: &[Text<'_>]| all.iter().map(|t| t.to_string()).collect::<Vec<_>>();
    let functions: Vec<String> = a.program_routines.iter().map(|r| r.name.to_string()).collect();
    let statement = |subject, of: &[&Version<'_>]| Statement {
        subject,
        default,
        ranges: of.iter().flat_map(|v| ranges(v)).collect(),
        files: texts(&a.program_files),
        functions: functions.clone(),
        reason: None,
        added: false,
    };
    let mut out = Vec::new();
    if let Some(repo) = named(&a.repo)
        && !commits.is_empty()
    {
        out.push(statement(Subject::Git(repo.to_owned()), &commits));
    }
    // An entry that only has commits says nothing about released versions.
    if versions.is_empty() && !commits.is_empty() {
        return out;
    }
    if let Some(product) = named(&a.product) {
        let vendor = a.vendor.trim().to_owned();
        out.push(statement(Subject::Product { vendor, product: product.to_owned() }, &versions));
    }
    let package = purl::package(&a.package_url).or_else(|| {
        Some(Subject::Package {
            ecosystem: ecosystem(&a.collection)?.to_owned(),
            name: named(&a.package_name)?.to_owned(),
        })
    });
    out.extend(package.map(|p| statement(p, &versions)));
    let products: BTreeSet<String> =
        a.cpes.iter().filter_map(|c| without_version(c, !versions.is_empty())).collect();
    out.extend(products.into_iter().map(|c| statement(Subject::Cpe(c), &versions)));
    out
}

/// The CPE name, with any version where the entry lists versions beside it.
fn without_version(cpe: &str, any: bool) -> Option<String> {
    crate::Key::cpe(cpe)?;
    if !any {
        return Some(cpe.to_owned());
    }
    let mut parts: Vec<String> = Vec::new();
    for piece in cpe.split(':') {
        // A quoted colon belongs to the component before it.
        match parts.last_mut().filter(|p| p.ends_with('\\')) {
            Some(open) => {
                open.push(':');
                open.push_str(piece);
            }
            None => parts.push(piece.to_owned()),
        }
    }
    parts.iter_mut().skip(5).take(2).for_each(|p| *p = "*".to_owned());
    Some(parts.join(":"))
}

/// The package collections that are known by their address.
fn ecosystem(url: &str) -> Option<&'static str> {
    let url = url.to_ascii_lowercase();
    [
        ("pypi", "PyPI"),
        ("npmjs", "npm"),
        ("crates.io", "crates.io"),
        ("maven", "Maven"),
        ("rubygems", "RubyGems"),
        ("packagist", "Packagist"),
        ("nuget", "NuGet"),
        ("pkg.go.dev", "Go"),
        ("proxy.golang", "Go"),
        ("access.redhat.com", "Red Hat"),
        ("debian", "Debian"),
    ]
    .into_iter()
    .find_map(|(part, name)| url.contains(part).then_some(name))
}

/// Ranges of one entry of `versions`, the broad one first.
fn ranges(v: &Version<'_>) -> Vec<(Range, Status)> {
    let (scheme, status_here) = (v.version_type.to_string(), status(&v.status));
    let open = |t: &str| {
        matches!(t.trim().to_ascii_lowercase().as_str(), "" | "*" | "n/a" | "unspecified" | "-")
    };
    let upper = |t: &str, inside| (!open(t)).then(|| (t.trim().to_owned(), inside));
    let bounded = !v.less_than.is_empty() || !v.less_than_or_equal.is_empty();
    if !bounded {
        if open(&v.version) {
            // Says that all versions are, or nothing: only `*` is the former.
            let every = Range { scheme, ..Range::default() };
            return if v.version.trim() == "*" { vec![(every, status_here)] } else { Vec::new() };
        }
        if v.changes.is_empty() {
            return written(&v.version, &scheme).into_iter().map(|r| (r, status_here)).collect();
        }
    }
    let lower =
        (!open(&v.version) && v.version.trim() != "0").then(|| (v.version.trim().to_owned(), true));
    let to = upper(&v.less_than, false).or_else(|| upper(&v.less_than_or_equal, true));
    let mut out =
        vec![(Range { scheme: scheme.clone(), from: lower, to: to.clone() }, status_here)];
    for change in v.changes.iter().filter(|c| !open(&c.at)) {
        let from = Some((change.at.trim().to_owned(), true));
        out.push((Range { scheme: scheme.clone(), from, to: to.clone() }, status(&change.status)));
    }
    out
}

/// A version that may be written as comparisons.
fn written(text: &str, scheme: &str) -> Vec<Range> {
    let text = text.trim();
    if !text.starts_with(['<', '>', '=']) {
        let exact = Some((text.to_owned(), true));
        return vec![Range { scheme: scheme.to_owned(), from: exact.clone(), to: exact }];
    }
    let mut range = Range { scheme: scheme.to_owned(), ..Range::default() };
    for term in text.split(',').map(str::trim) {
        let operator: String = term.chars().take_while(|c| "<>=".contains(*c)).collect();
        let version = term.get(operator.len()..).unwrap_or_default().trim();
        // Anything that is not one word is prose.
        if version.is_empty() || version.contains(char::is_whitespace) {
            return Vec::new();
        }
        let end = |inside| Some((version.to_owned(), inside));
        match operator.as_str() {
            "<" => range.to = end(false),
            "<=" => range.to = end(true),
            ">" => range.from = end(false),
            ">=" => range.from = end(true),
            "=" | "==" => (range.from, range.to) = (end(true), end(true)),
            _ => return Vec::new(),
        }
    }
    vec![range]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(versions: &str, rest: &str) -> Record {
        let text = format!(
            r#"{{"dataType":"CVE_RECORD","cveMetadata":{{"cveId":"CVE-2024-0001","state":"PUBLISHED","datePublished":"2024-01-01T00:00:00Z"}},
            "containers":{{"cna":{{"affected":[{{"vendor":"V","product":"P","defaultStatus":"unaffected","versions":[{versions}]{rest}}}]}}}}}}"#
        );
        let parsed = parse(text.as_bytes(), &Origin::default()).unwrap();
        let Some(Item::Record(r, _)) = parsed.items.into_iter().next() else { panic!() };
        *r
    }

    fn shown(r: &Record) -> Vec<String> {
        let end = |e: &Option<(String, bool)>| {
            e.as_ref().map_or("-".into(), |(v, i)| format!("{v}{}", if *i { "=" } else { "" }))
        };
        r.statements[0]
            .ranges
            .iter()
            .map(|(r, s)| format!("{}..{} {s:?}", end(&r.from), end(&r.to)))
            .collect()
    }

    #[test]
    fn ranges_as_the_format_says() {
        let r = of(
            r#"{"version":"1.0","lessThan":"2.0","status":"affected","versionType":"semver","changes":[{"at":"1.5","status":"unaffected"}]},
               {"version":"0","lessThanOrEqual":"0.9","status":"affected"},{"version":"6.6.44","lessThanOrEqual":"6.6.*","status":"unaffected"},
               {"version":"3.1","status":"affected"},{"version":">= 4.0, < 4.2","status":"affected"},{"version":"n/a","status":"affected"},
               {"version":"< 5 or so","status":"affected"}"#,
            "",
        );
        assert_eq!(
            shown(&r),
            [
                "1.0=..2.0 Affected",
                "1.5=..2.0 NotAffected",
                "-..0.9= Affected",
                "6.6.44=..6.6.*= NotAffected",
                "3.1=..3.1= Affected",
                "4.0=..4.2 Affected"
            ]
        );
        assert_eq!(r.statements[0].default, Status::NotAffected);
    }

    #[test]
    fn commits_speak_of_the_repository() {
        let r = of(
            r#"{"version":"aa","lessThan":"bb","status":"affected","versionType":"git"}"#,
            r#","repo":"https://git.example/x.git","programFiles":["a/b.c"],"programRoutines":[{"name":"f"}]"#,
        );
        let [s] = r.statements.as_slice() else { panic!("{r:?}") };
        assert_eq!(s.subject, Subject::Git("https://git.example/x.git".into()));
        assert_eq!(
            (s.files.as_slice(), s.functions.as_slice()),
            (["a/b.c".into()].as_slice(), ["f".into()].as_slice())
        );
    }

    #[test]
    fn cpe_and_package_besides_the_product() {
        let r = of(
            r#"{"version":"0","lessThan":"1","status":"affected"}"#,
            r#","cpes":["cpe:2.3:a:v:p:-:*:*:*:*:*:*:*","cpe:2.3:a:v:p:1:rc:*:*:*:*:*:*"],"collectionURL":"https://npmjs.example","packageName":"left"
            "#,
        );
        let subjects: Vec<_> = r.statements.iter().map(|s| s.subject.clone()).collect();
        assert_eq!(subjects.len(), 3, "{subjects:?}");
        assert!(subjects.contains(&Subject::Cpe("cpe:2.3:a:v:p:*:*:*:*:*:*:*:*".into())));
        assert!(
            subjects.contains(&Subject::Package { ecosystem: "npm".into(), name: "left".into() })
        );
    }
}
