//! SARIF 2.1.0 (OASIS standard, errata 01).
//!
//! | here | there |
//! |---|---|
//! | requirement | rule, and at least one result |
//! | *fail* | one result of kind `fail` per finding, level by severity |
//! | *inconclusive* | kind `open`, with the question to answer |
//! | *pass*, *not applicable* | kind `pass`, `notApplicable` |
//! | vulnerability | a rule and a result: `fail` from grade *present* on, `review` for *version*, `open` for *named*, `notApplicable` when dismissed |
//! | way of a locator | a chain of nested artifacts (`parentIndex`), regions by offset, entries by path |
//! | byte range | `byteOffset` and `byteLength` in the innermost artifact |
//! | locator | a logical location's fully qualified name |
//! | finding id | partial fingerprint `proofmark/v1` |

use std::collections::{BTreeMap, HashMap};

use proofmark_model::{
    Artifact, Assessment, Evidence, Finding, Grade, Judgement, Locator, Severity, Step, Verdict,
    Vulnerability,
};
use serde_json::{Map, Value, json};

use crate::{summary, text, uuid};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The assessment as one SARIF log with one run.
#[must_use]
pub fn sarif(a: &Assessment) -> String {
    let mut files = Files::new(a);
    let mut rules = Vec::new();
    let mut results = Vec::new();
    // Two catalogues may hold the same requirement; a rule stands once.
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for j in &a.judgements {
        let index = *known.entry(&j.requirement.id).or_insert_with(|| {
            rules.push(requirement_rule(j));
            rules.len() - 1
        });
        if j.findings.is_empty() {
            results.push(plain_result(j, index));
        }
        for f in &j.findings {
            results.push(finding_result(j, f, index, &mut files));
        }
    }
    for v in &a.vulnerabilities {
        let index = *known.entry(&v.id).or_insert_with(|| {
            rules.push(vulnerability_rule(v));
            rules.len() - 1
        });
        results.push(vulnerability_result(v, index, &mut files));
    }
    let c = &a.coverage;
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "Proofmark",
                "version": a.provenance.tool,
                "rules": rules,
            }},
            "automationDetails": {
                "id": format!("proofmark/{}", uri(a.image.name.as_bytes())),
                "guid": uuid::derived("sarif", &a.image.sha256),
            },
            "artifacts": files.list,
            "results": results,
            "properties": {
                "image": {"name": a.image.name, "size": a.image.size, "sha256": a.image.sha256},
                "provenance": a.provenance,
                "coverage": {
                    "total": c.total,
                    "understood": c.understood,
                    "padding": c.padding,
                    "opaque": c.opaque,
                    "opaqueInside": c.opaque_inside,
                    "artifactsWithProblems": c.artifacts_with_problems,
                },
            },
        }],
    });
    log.to_string()
}

fn level(s: Severity) -> &'static str {
    match s {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// Number that code-hosting sites sort by; the middle of each of their bands.
fn security_severity(s: Severity) -> &'static str {
    match s {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.0",
    }
}

fn requirement_rule(j: &Judgement) -> Value {
    let r = &j.requirement;
    json!({
        "id": r.id,
        "shortDescription": {"text": r.title},
        "defaultConfiguration": {"level": level(r.severity)},
        "properties": {
            "group": r.group,
            "revision": r.revision,
            "severity": summary::severity(r.severity),
            "security-severity": security_severity(r.severity),
            "sources": r.sources,
            "tags": ["security", r.group],
        },
    })
}

fn plain_result(j: &Judgement, index: usize) -> Value {
    json!({
        "ruleId": j.requirement.id,
        "ruleIndex": index,
        "kind": kind(j.verdict),
        // A verdict of fail never lacks a finding; should a document say so all the same, it is not hidden.
        "level": if j.verdict == Verdict::Fail { level(j.requirement.severity) } else { "none" },
        "message": {"text": message(&j.reason, j.question.as_deref())},
        "properties": {"examined": j.examined, "yardstick": j.requirement.yardstick},
    })
}

fn kind(v: Verdict) -> &'static str {
    match v {
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "open",
        Verdict::Pass => "pass",
        Verdict::NotApplicable => "notApplicable",
    }
}

fn message(reason: &str, question: Option<&str>) -> String {
    match question {
        Some(q) => format!("{reason} To answer: {q}"),
        None => reason.to_owned(),
    }
}

fn finding_result(j: &Judgement, f: &Finding, index: usize, files: &mut Files<'_>) -> Value {
    let fail = j.verdict == Verdict::Fail;
    let mut properties = Map::new();
    properties.insert("severity".into(), summary::severity(f.severity).into());
    properties.insert("strength".into(), summary::strength(f.strength).into());
    properties.insert("revision".into(), f.revision.into());
    properties.insert("yardstick".into(), j.requirement.yardstick.clone().into());
    properties.insert("reason".into(), j.reason.clone().into());
    for (key, value) in [("question", &j.question), ("excerpt", &f.excerpt), ("remedy", &f.remedy)]
    {
        if let Some(value) = value {
            properties.insert(key.into(), value.clone().into());
        }
    }
    json!({
        "ruleId": j.requirement.id,
        "ruleIndex": index,
        "kind": kind(j.verdict),
        "level": if fail { level(f.severity) } else { "none" },
        "message": {"text": f.message},
        "locations": [files.location(f.evidence.first())],
        "relatedLocations": related(&f.evidence, files),
        "partialFingerprints": {"proofmark/v1": f.id},
        "properties": properties,
    })
}

fn vulnerability_rule(v: &Vulnerability) -> Value {
    let mut properties = json!({"tags": ["security", "vulnerability"], "source": v.source});
    if let Some(c) = &v.cvss {
        properties["security-severity"] = tenths(c.score_tenths).into();
        properties["cvss"] = json!({"version": c.version, "vector": c.vector});
    }
    json!({
        "id": v.id,
        "shortDescription": {"text": format!("Published vulnerability {}", text::plain(&v.id))},
        "properties": properties,
    })
}

/// A number of tenths as text.
pub(crate) fn tenths(n: u8) -> String {
    format!("{}.{}", n / 10, n % 10)
}

fn vulnerability_result(v: &Vulnerability, index: usize, files: &mut Files<'_>) -> Value {
    let kind = match (v.dismissed, v.grade) {
        (Some(_), _) => "notApplicable",
        (None, Grade::Named) => "open",
        (None, Grade::Version) => "review",
        (None, _) => "fail",
    };
    let level = match v.cvss.as_ref().map(|c| c.score_tenths) {
        _ if kind != "fail" => "none",
        Some(70..) => "error",
        Some(1..40) => "note",
        _ => "warning",
    };
    let component = match &v.component.version {
        Some(version) => format!("{} {version}", v.component.name),
        None => v.component.name.clone(),
    };
    let conclusion = match v.dismissed {
        Some(d) => format!("does not concern this image: {}", summary::dismissal(d)),
        None => format!("grade {}", summary::grade(v.grade)),
    };
    let reasons = v.reasons.join(" ");
    json!({
        "ruleId": v.id,
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": {"text": format!("{} in {component}: {conclusion}. {reasons}", v.id)},
        "locations": [files.location(v.evidence.first())],
        "relatedLocations": related(&v.evidence, files),
        "partialFingerprints": {"proofmark/v1": format!("{} {component}", v.id)},
        "properties": {
            "grade": summary::grade(v.grade),
            "knownExploited": v.known_exploited,
            "epssPpm": v.epss_ppm,
            "reasons": v.reasons,
            "purl": v.component.purl,
        },
    })
}

fn related(e: &Evidence, files: &mut Files<'_>) -> Vec<Value> {
    e.places()
        .iter()
        .skip(1)
        .zip(1_u64..)
        .map(|(place, id)| {
            let mut location = files.location(place);
            location["id"] = id.into();
            location
        })
        .collect()
}

/// The nested artifacts that results point into; only those, each once.
struct Files<'a> {
    known: HashMap<&'a Locator, &'a Artifact>,
    index: HashMap<Locator, usize>,
    list: Vec<Value>,
}

impl<'a> Files<'a> {
    fn new(a: &'a Assessment) -> Self {
        let root = Locator::image(a.image.name.clone());
        Self {
            known: a.artifacts.iter().map(|x| (&x.locator, x)).collect(),
            index: HashMap::from([(root, 0)]),
            list: vec![json!({
                "location": {"uri": uri(a.image.name.as_bytes())},
                "length": a.image.size,
                "hashes": {"sha-256": a.image.sha256},
                "roles": ["analysisTarget"],
            })],
        }
    }

    /// Index of the artifact that the first `depth` steps of a locator lead to.
    fn artifact(&mut self, place: &Locator, depth: usize) -> usize {
        let whole = Locator {
            image: place.image.clone(),
            steps: place.steps[..depth].to_vec(),
            range: None,
        };
        if let Some(i) = self.index.get(&whole) {
            return *i;
        }
        let Some(last) = whole.steps.last() else { return 0 };
        let mut object = json!({"parentIndex": self.artifact(place, depth - 1)});
        let known = self.known.get(&whole).copied();
        match last {
            Step::Region { offset, format } => {
                object["offset"] = (*offset).into();
                object["description"] = json!({"text": format.clone()});
            }
            Step::Entry { path, ordinal } => {
                object["location"] = json!({"uri": entry_uri(path, *ordinal)});
            }
        }
        if let Some(x) = known {
            object["length"] = x.size.into();
            if let Some(d) = x.sha256 {
                object["hashes"] = json!({"sha-256": d});
            }
        }
        self.list.push(object);
        let i = self.list.len() - 1;
        self.index.insert(whole, i);
        i
    }

    fn location(&mut self, place: &Locator) -> Value {
        let index = self.artifact(place, place.steps.len());
        let mut artifact = json!({"index": index});
        match place.steps.last() {
            None => artifact["uri"] = uri(place.image.as_bytes()).into(),
            Some(Step::Entry { path, ordinal }) => {
                artifact["uri"] = entry_uri(path, *ordinal).into();
            }
            Some(Step::Region { .. }) => {}
        }
        let mut physical = json!({"artifactLocation": artifact});
        if let Some((start, end)) = place.range {
            physical["region"] =
                json!({"byteOffset": start, "byteLength": end.saturating_sub(start)});
        }
        json!({
            "physicalLocation": physical,
            "logicalLocations": [{
                "fullyQualifiedName": place.to_string(),
                "kind": "resource",
            }],
        })
    }
}

fn entry_uri(path: &[u8], ordinal: u32) -> String {
    match ordinal {
        1 => format!("/{}", uri(path)),
        n => format!("/{}#{n}", uri(path)),
    }
}

/// A path as a relative URI reference (RFC 3986): unreserved characters and `/` as they are.
pub(crate) fn uri(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for b in path {
        if b.is_ascii_alphanumeric() || b"-._~/".contains(b) {
            out.push(char::from(*b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
