//! Cases from `catalogue/yardsticks/fixtures/`: facts that name only what differs from a default.
#![allow(dead_code, clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use proofmark_model::{
    Artifact, Coverage, Digest, EntryKind, Extent, Judgement, Locator, Metadata, Observation,
    Opaque, Step, Verdict, Vulnerability, assessment::DataVersion,
};
use proofmark_yardstick::{Catalogue, Evidence, evaluate};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The root file system of every case that has one.
pub const ROOT: &str = "test.img@0x1000:squashfs";

/// 2024-07-03, the date of the image of every case.
pub const AS_OF: i64 = 1_720_000_000;

/// A case as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub requirement: String,
    pub is: Verdict,
    #[serde(default)]
    pub why: String,
    #[serde(default)]
    pub facts: Vec<Map<String, Value>>,
    #[serde(default)]
    pub vulnerabilities: Vec<Map<String, Value>>,
    #[serde(default = "yes")]
    pub root: bool,
    #[serde(default = "yes")]
    pub feeds: bool,
    #[serde(default)]
    pub opaque: u64,
    /// Nearly all files carry one mode.
    #[serde(default)]
    pub uniform: bool,
    /// The root file system was not read to its end.
    #[serde(default)]
    pub unread: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../catalogue/yardsticks/fixtures"))
}

/// All cases, in the order of files and lines.
pub fn cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().is_some_and(|n| n != "defaults.toml"))
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|p| {
            let text = fs::read_to_string(p).unwrap();
            toml::from_str::<Cases>(&text).unwrap_or_else(|e| panic!("{}: {e}", p.display())).case
        })
        .collect()
}

/// What a case stands for, complete.
pub struct World {
    pub observations: Vec<Observation>,
    pub artifacts: Vec<Artifact>,
    pub coverage: Coverage,
    pub vulnerabilities: Vec<Vulnerability>,
    pub feeds: Vec<DataVersion>,
}

impl World {
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence {
            observations: &self.observations,
            artifacts: &self.artifacts,
            coverage: &self.coverage,
            vulnerabilities: &self.vulnerabilities,
            feeds: &self.feeds,
            as_of: AS_OF,
        }
    }

    pub fn judge(&self, catalogue: &Catalogue, id: &str) -> Judgement {
        evaluate(&[catalogue], &self.evidence())
            .into_iter()
            .find(|j| j.requirement.id == id)
            .unwrap_or_else(|| panic!("no requirement {id}"))
    }

    /// A megabyte that looks encrypted beside the root file system, and one inside.
    pub fn make_opaque(&mut self, bytes: u64) {
        self.coverage.opaque += bytes;
        for place in ["test.img@0x100000:gap".to_owned(), format!("{ROOT}/usr/lib/blob")] {
            self.coverage.opaque_regions.push(Extent {
                locator: place.parse().unwrap(),
                length: bytes,
                looks: Opaque::EncryptedLooking,
            });
        }
    }

    /// Nothing about the root file system is complete.
    pub fn make_incomplete(&mut self) {
        for o in &mut self.observations {
            if let proofmark_model::Fact::Trait(t) = &mut o.fact {
                t.complete = proofmark_model::Tri::Unknown("a block is damaged".to_owned());
            }
        }
    }
}

fn defaults() -> Map<String, Value> {
    let text = fs::read_to_string(folder().join("defaults.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

fn complete(
    kind: &str,
    case: &Map<String, Value>,
    defaults: &Map<String, Value>,
) -> Map<String, Value> {
    let mut out = defaults[kind].as_object().unwrap().clone();
    for (key, value) in case {
        let answer = out.get(key).is_some_and(|d| d.get("is").is_some());
        let value = match value {
            Value::String(s) if s.is_empty() => {
                out.remove(key);
                continue;
            }
            Value::String(s) if answer && (s == "yes" || s == "no") => json!({ "is": s }),
            Value::String(s) if answer => json!({ "is": s, "why": "a reason" }),
            other => other.clone(),
        };
        out.insert(key.clone(), value);
    }
    out
}

fn observation(mut fact: Map<String, Value>, at: &str) -> Observation {
    fact.insert("evidence".into(), json!([at]));
    fact.insert("inspector".into(), json!("test"));
    fact.insert("revision".into(), json!(1));
    fact.insert("strength".into(), json!("observed"));
    serde_json::from_value(Value::Object(fact.clone())).unwrap_or_else(|e| panic!("{e}: {fact:?}"))
}

pub fn trait_fact(name: &str, value: &str, at: &str) -> Observation {
    let fact = json!({"fact": "trait", "name": name, "value": value, "complete": {"is": "yes"}});
    observation(fact.as_object().unwrap().clone(), at)
}

fn artifact(locator: Locator, entry: EntryKind, format: &str) -> Artifact {
    Artifact {
        sha256: Some(Digest::of(locator.to_string().as_bytes())),
        locator,
        parent: None,
        entry,
        format: format.to_owned(),
        size: 4096,
        metadata: Metadata::default(),
        proof: None,
        regions: Vec::new(),
        rejected: Vec::new(),
        problems: Vec::new(),
        attributes: Default::default(),
    }
}

pub fn build(case: &Case) -> World {
    let defaults = defaults();
    let mut observations = Vec::new();
    for (i, fact) in case.facts.iter().enumerate() {
        let mut fact = fact.clone();
        let kind = fact.remove("fact").unwrap().as_str().unwrap().to_owned();
        let at = fact.remove("at").map_or_else(
            || match kind.as_str() {
                "account" => format!("{ROOT}/etc/passwd+{:#x}..{:#x}", i * 16, i * 16 + 9),
                _ => format!("{ROOT}/usr/file{i}"),
            },
            |at| at.as_str().unwrap().to_owned(),
        );
        let mut fact = complete(&kind, &fact, &defaults);
        fact.insert("fact".into(), json!(kind));
        observations.push(observation(fact, &at));
    }
    if case.root {
        observations.push(trait_fact("root-file-system", ROOT, ROOT));
        observations.push(trait_fact("start-up-graph", "procd", ROOT));
        observations.push(trait_fact("package-ownership", "opkg", ROOT));
    }
    if case.uniform {
        observations.push(trait_fact("uniform-permissions", "0777", ROOT));
    }
    let vulnerabilities: Vec<Vulnerability> = case
        .vulnerabilities
        .iter()
        .map(|v| {
            let mut v = complete("vulnerability", v, &defaults);
            v.insert("evidence".into(), json!([format!("{ROOT}/bin/busybox")]));
            serde_json::from_value(Value::Object(v)).unwrap()
        })
        .collect();
    let image = Locator::image("test.img");
    let mut artifacts = vec![artifact(image.clone(), EntryKind::Image, "data")];
    artifacts.push(artifact(
        image.join(Step::region(0x1000, "squashfs")),
        EntryKind::Region,
        "squashfs",
    ));
    let seen = observations.iter().map(|o| &o.evidence);
    for evidence in seen.chain(vulnerabilities.iter().map(|v| &v.evidence)) {
        let place = Locator { range: None, ..evidence.first().clone() };
        if artifacts.iter().all(|a| a.locator != place) {
            artifacts.push(artifact(place, EntryKind::File, "text"));
        }
    }
    let mut world = World {
        observations,
        artifacts,
        coverage: Coverage { total: 1 << 22, understood: 1 << 22, ..Coverage::default() },
        vulnerabilities,
        feeds: case
            .feeds
            .then(|| DataVersion { id: "test".into(), version: "2024-07-01".into(), sha256: None })
            .into_iter()
            .collect(),
    };
    if case.opaque > 0 {
        world.make_opaque(case.opaque);
    }
    if case.unread {
        world.make_incomplete();
    }
    world
}

/// The built-in yardsticks.
pub fn catalogues() -> Vec<Catalogue> {
    Catalogue::names().into_iter().map(|n| Catalogue::builtin(n).unwrap()).collect()
}

/// The first yardstick that has the requirement.
pub fn home<'c>(all: &'c [Catalogue], id: &str) -> &'c Catalogue {
    all.iter().find(|c| c.rule(id).is_some()).unwrap_or_else(|| panic!("no requirement {id}"))
}
