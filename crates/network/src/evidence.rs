//! What is known about products: verdicts and components, joined to devices by product and release.
//!
//! A device whose product and release have no verdict is [`Status::Unknown`]. A verdict is about a
//! product in a release; no vendor and no country takes part in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proofmark_model::{Assessment, Verdict};
use serde::Serialize;

use crate::inventory::csv::Reader;
use crate::inventory::{Gravity, Inventory, Problems, Sym, alias, tables};
use crate::{Error, files};

/// What the evidence says about a unit under a set of requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All requirements asked for were shown to hold (or do not apply).
    Pass,
    /// At least one requirement asked for was shown to be violated.
    Fail,
    /// Neither.
    Unknown,
}

/// What is known about one release of one product.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Verdict per requirement id; of several sources the gravest counts.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Components with an open vulnerability, as `name version`.
    pub vulnerable: BTreeSet<String>,
    /// All components, as `name version`; empty when no SBOM is known.
    pub components: BTreeSet<String>,
    /// Where it comes from.
    pub sources: BTreeSet<String>,
}

/// Everything known, by product and release.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// (product key, release as written or with a final `*`) to record. See [`alias::key`].
    records: BTreeMap<(String, String), Record>,
}

impl Evidence {
    /// Reads a folder: `verdicts.csv[.gz]` (columns manufacturer, device_type, platform,
    /// requirement, verdict, evidence, components), and assessments as `*.json`. Which product and
    /// release an assessment is about stands in `assessments.csv` (columns file, device_type,
    /// platform), or else in its path: `PRODUCT/RELEASE.json`.
    ///
    /// # Errors
    /// The folder or one of its tables cannot be read.
    pub fn load(folder: &Path, problems: &mut Problems) -> Result<Self, Error> {
        let mut out = Self::default();
        if folder.is_file() {
            out.verdict_table(folder, problems)?;
            return Ok(out);
        }
        for name in ["verdicts.csv", "verdicts.csv.gz"] {
            let path = folder.join(name);
            if path.is_file() {
                out.verdict_table(&path, problems)?;
            }
        }
        let mut named: BTreeMap<String, (String, String)> = BTreeMap::new();
        let index = folder.join("assessments.csv");
        if index.is_file() {
            rows(
                "assessments.csv",
                &files::read(&index, files::MAX_INPUT)?,
                &["file", "device_type", "platform"],
                |_, f| {
                    named.insert(f[0].clone(), (f[1].clone(), f[2].clone()));
                },
            )?;
        }
        let mut list = Vec::new();
        json_files(folder, 3, &mut list)?;
        list.sort();
        for path in list {
            let shown = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            let parts: Vec<&str> = shown.trim_end_matches(".json").split('/').collect();
            let Some((product, release)) = named.get(&shown).cloned().or_else(|| match parts[..] {
                [.., p, r] => Some((p.to_owned(), r.to_owned())),
                _ => None,
            }) else {
                problems.add(&shown, 0, "", Gravity::Warning,
                    "no product known: name it in assessments.csv or store it as PRODUCT/RELEASE.json");
                continue;
            };
            let bytes = files::read(&path, 1 << 30)?;
            match serde_json::from_slice::<Assessment>(&bytes) {
                Ok(a) => out.add_assessment(&product, &release, &shown, &a),
                Err(e) => {
                    problems.add(&shown, 0, "", Gravity::Error, format!("not an assessment: {e}"))
                }
            }
        }
        Ok(out)
    }

    /// Adds what an assessment says about a product in a release.
    pub fn add_assessment(&mut self, product: &str, release: &str, source: &str, a: &Assessment) {
        let r = self.record(product, release);
        r.sources.insert(source.to_owned());
        for j in &a.judgements {
            merge(&mut r.verdicts, &j.requirement.id, j.verdict);
        }
        let name = |c: &proofmark_model::ComponentRef| match &c.version {
            Some(v) => format!("{} {v}", c.name),
            None => c.name.clone(),
        };
        for o in &a.observations {
            if let proofmark_model::Fact::Component(c) = &o.fact {
                r.components.insert(name(&c.component));
            }
        }
        for v in a.vulnerabilities.iter().filter(|v| v.dismissed.is_none()) {
            r.components.insert(name(&v.component));
            r.vulnerable.insert(name(&v.component));
        }
    }

    /// Adds a single verdict.
    pub fn add_verdict(
        &mut self,
        product: &str,
        release: &str,
        requirement: &str,
        verdict: Verdict,
    ) {
        merge(&mut self.record(product, release).verdicts, requirement, verdict);
    }

    /// Adds components of a product; `vulnerable` ones have an open vulnerability.
    pub fn add_components(
        &mut self,
        product: &str,
        release: &str,
        components: &[&str],
        vulnerable: &[&str],
    ) {
        let r = self.record(product, release);
        r.components.extend(components.iter().chain(vulnerable).map(|c| (*c).to_owned()));
        r.vulnerable.extend(vulnerable.iter().map(|c| (*c).to_owned()));
    }

    fn record(&mut self, product: &str, release: &str) -> &mut Record {
        self.records.entry((alias::key(product), release.trim().to_owned())).or_default()
    }

    /// The record of a product in a release: exact, or else the longest prefix written as `17.*`.
    #[must_use]
    pub fn get(&self, product: &str, release: &str) -> Option<&Record> {
        let key = alias::key(product);
        if let Some(r) = self.records.get(&(key.clone(), release.to_owned())) {
            return Some(r);
        }
        let from = (key.clone(), String::new());
        self.records
            .range(from..)
            .take_while(|((p, _), _)| *p == key)
            .filter(|((_, r), _)| r.strip_suffix('*').is_some_and(|p| release.starts_with(p)))
            .max_by_key(|((_, r), _)| r.len())
            .map(|(_, record)| record)
    }

    /// Products and releases for which there is something.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is known at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn verdict_table(&mut self, path: &Path, problems: &mut Problems) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.add_table(&name, &files::read(path, files::MAX_INPUT)?, problems)
    }

    /// Adds a table of verdicts; see [`Evidence::load`] for its columns. A component with a leading
    /// `!` has an open vulnerability.
    ///
    /// # Errors
    /// The column `device_type` is missing.
    pub fn add_table(
        &mut self,
        name: &str,
        bytes: &[u8],
        problems: &mut Problems,
    ) -> Result<(), Error> {
        rows(
            name,
            bytes,
            &["device_type", "platform", "requirement", "verdict", "evidence", "components"],
            |line, f| {
                let verdict = match f[3].to_lowercase().as_str() {
                    "pass" => Some(Verdict::Pass),
                    "fail" => Some(Verdict::Fail),
                    "unknown" | "inconclusive" | "" => Some(Verdict::Inconclusive),
                    "not-applicable" | "n/a" => Some(Verdict::NotApplicable),
                    other => {
                        problems.add(name, line, "verdict", Gravity::Error,
                        format!("{other:?} is not pass, fail, unknown or not-applicable; the row was left out"));
                        None
                    }
                };
                if f[0].is_empty() {
                    problems.add(
                        name,
                        line,
                        "device_type",
                        Gravity::Error,
                        "is empty; the row was left out",
                    );
                    return;
                }
                let Some(verdict) = verdict else { return };
                let r = self.record(&f[0], &f[1]);
                if !f[2].is_empty() {
                    merge(&mut r.verdicts, &f[2], verdict);
                }
                if !f[4].is_empty() {
                    r.sources.insert(f[4].clone());
                }
                for c in f[5].split(';').map(str::trim).filter(|c| !c.is_empty()) {
                    // A leading `!` marks an open vulnerability.
                    let bare = c.trim_start_matches('!');
                    r.components.insert(bare.to_owned());
                    if bare != c {
                        r.vulnerable.insert(bare.to_owned());
                    }
                }
            },
        )
    }

    /// Status of every device under `requirements` (all known ones when empty).
    #[must_use]
    pub fn statuses(&self, inventory: &Inventory, requirements: &[String]) -> Vec<Status> {
        let mut known: BTreeMap<(Option<Sym>, Option<Sym>), Status> = BTreeMap::new();
        inventory
            .devices
            .iter()
            .map(|d| {
                *known.entry((d.product, d.release)).or_insert_with(|| {
                    match (d.product, d.release) {
                        (Some(p), Some(r)) => self.status(
                            inventory.names.get(p),
                            inventory.names.get(r),
                            requirements,
                        ),
                        _ => Status::Unknown,
                    }
                })
            })
            .collect()
    }

    /// Status of a product in a release.
    #[must_use]
    pub fn status(&self, product: &str, release: &str, requirements: &[String]) -> Status {
        let Some(r) = self.get(product, release) else { return Status::Unknown };
        let verdicts: Vec<Option<Verdict>> = if requirements.is_empty() {
            r.verdicts.values().map(|v| Some(*v)).collect()
        } else {
            requirements.iter().map(|q| r.verdicts.get(q).copied()).collect()
        };
        if verdicts.contains(&Some(Verdict::Fail)) {
            Status::Fail
        } else if verdicts.is_empty()
            || verdicts.iter().any(|v| matches!(v, None | Some(Verdict::Inconclusive)))
        {
            Status::Unknown
        } else {
            Status::Pass
        }
    }
}

/// Of two verdicts on the same requirement the gravest counts.
fn merge(into: &mut BTreeMap<String, Verdict>, requirement: &str, verdict: Verdict) {
    let slot = into.entry(requirement.to_owned()).or_insert(verdict);
    *slot = (*slot).min(verdict);
}

fn json_files(folder: &Path, depth: u8, out: &mut Vec<std::path::PathBuf>) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.is_dir() && depth > 0 {
            json_files(&path, depth - 1, out)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            out.push(path);
        }
    }
    Ok(())
}

/// Calls `each` with the line and the named columns of every row; absent columns are empty.
fn rows(
    name: &str,
    bytes: &[u8],
    columns: &[&str],
    mut each: impl FnMut(u64, &[String]),
) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    let mut fields = Vec::new();
    reader.next_into(&mut fields);
    let header: Vec<String> = fields.iter().map(|h| tables::column(h)).collect();
    let at: Vec<Option<usize>> =
        columns.iter().map(|c| header.iter().position(|h| h == c)).collect();
    if at.first() == Some(&None) {
        return Err(Error::format(name, format!("column {} is missing", columns[0])));
    }
    while let Some(line) = reader.next_into(&mut fields) {
        let row: Vec<String> = at
            .iter()
            .map(|a| a.and_then(|a| fields.get(a)).map_or_else(String::new, |f| f.to_string()))
            .collect();
        each(line, &row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_a_third_value() {
        let mut e = Evidence::default();
        e.add_verdict("BB-4", "17.1", "ACC-01", Verdict::Pass);
        e.add_verdict("BB-4", "17.1", "ACC-02", Verdict::Inconclusive);
        e.add_verdict("BB-4", "16.*", "ACC-01", Verdict::Fail);
        e.add_verdict("BB-4", "16.*", "ACC-01", Verdict::Pass);
        let one = ["ACC-01".to_owned()];
        assert_eq!(e.status("bb 4", "17.1", &one), Status::Pass);
        assert_eq!(e.status("BB-4", "17.1", &[]), Status::Unknown);
        assert_eq!(e.status("BB-4", "16.4", &one), Status::Fail);
        assert_eq!(e.status("BB-4", "18.0", &one), Status::Unknown);
        assert_eq!(e.status("BB-4", "17.1", &["ACC-09".to_owned()]), Status::Unknown);
    }
}
