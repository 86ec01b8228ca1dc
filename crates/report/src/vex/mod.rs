//! Statements about vulnerabilities (VEX), written and read in three formats.
//!
//! | grade or dismissal | status |
//! |---|---|
//! | *named*, *version* | under investigation: no code was shown yet |
//! | *present* and above | affected |
//! | *fixed by the distributor* | fixed |
//! | every other dismissal | not affected, with its justification |
//!
//! A statement is bound to the digest of the content it was made for, so that it can be carried over to another
//! release exactly where the same bytes are, and nowhere else.

pub mod csaf;
pub mod cyclonedx;
pub mod openvex;

use std::collections::{BTreeMap, HashMap};

use proofmark_model::{Assessment, Digest, Dismissal, Grade, Locator};
use serde_json::Value;

use crate::{spdx::is_purl, summary};

/// What is said about one vulnerability in one component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statement {
    /// CVE id, or the id of an advisory.
    pub vulnerability: String,
    /// The component.
    pub product: Product,
    /// What is said.
    pub status: Status,
    /// Why, in words.
    pub detail: String,
}

/// A component as statements name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Product {
    /// Package URL; where the assessment has none, of type `generic`.
    pub purl: String,
    /// CPE 2.3 name.
    pub cpe: Option<String>,
    /// SHA-256 of the file that the statement was made for.
    pub content: Option<Digest>,
}

/// Status of a vulnerability in a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It does not concern the component.
    NotAffected(Justification),
    /// Fixed in this revision.
    Fixed,
    /// Not known yet.
    UnderInvestigation,
    /// It does.
    Affected,
}

/// Why a component is not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Justification {
    /// The component is not there.
    ComponentNotPresent,
    /// The component is there without the vulnerable code.
    VulnerableCodeNotPresent,
    /// The code is never executed.
    VulnerableCodeNotInExecutePath,
    /// An adversary cannot bring it to act.
    VulnerableCodeCannotBeControlledByAdversary,
    /// Something prevents the use.
    InlineMitigationsAlreadyExist,
    /// Another reason, in the words of the statement; here: the version is not affected.
    Stated,
}

/// The five justifications that all formats know, with their common spelling.
const JUSTIFICATIONS: [(Justification, &str); 5] = [
    (Justification::ComponentNotPresent, "component_not_present"),
    (Justification::VulnerableCodeNotPresent, "vulnerable_code_not_present"),
    (Justification::VulnerableCodeNotInExecutePath, "vulnerable_code_not_in_execute_path"),
    (
        Justification::VulnerableCodeCannotBeControlledByAdversary,
        "vulnerable_code_cannot_be_controlled_by_adversary",
    ),
    (Justification::InlineMitigationsAlreadyExist, "inline_mitigations_already_exist"),
];

impl Justification {
    /// Common spelling; none for [`Justification::Stated`].
    fn label(self) -> Option<&'static str> {
        JUSTIFICATIONS.iter().find(|(j, _)| *j == self).map(|(_, l)| *l)
    }

    fn from_label(label: &str) -> Option<Self> {
        JUSTIFICATIONS.iter().find(|(_, l)| *l == label).map(|(j, _)| *j)
    }
}

/// The statements that an assessment supports, sorted, each once. Where evidence for one component disagrees,
/// the graver status stands.
#[must_use]
pub fn statements(a: &Assessment) -> Vec<Statement> {
    let contents: HashMap<&Locator, Digest> =
        a.artifacts.iter().filter_map(|x| Some((&x.locator, x.sha256?))).collect();
    let mut all: BTreeMap<(String, Product), (Status, String)> = BTreeMap::new();
    for v in &a.vulnerabilities {
        let place = Locator { range: None, ..v.evidence.first().clone() };
        let c = &v.component;
        let product =
            Product {
                purl: c.purl.clone().filter(|p| is_purl(p)).unwrap_or_else(|| {
                    crate::inventory::generic_url(&c.name, c.version.as_deref())
                }),
                cpe: c.cpes.iter().find(|c| crate::cyclonedx::is_cpe(c)).cloned(),
                content: contents.get(&place).copied(),
            };
        let status = match (v.dismissed, v.grade) {
            (Some(Dismissal::FixedByDistributor), _) => Status::Fixed,
            (Some(d), _) => Status::NotAffected(match d {
                Dismissal::ComponentNotPresent => Justification::ComponentNotPresent,
                Dismissal::VulnerableCodeNotPresent => Justification::VulnerableCodeNotPresent,
                Dismissal::VulnerableCodeNotInExecutePath => {
                    Justification::VulnerableCodeNotInExecutePath
                }
                Dismissal::InlineMitigationsAlreadyExist => {
                    Justification::InlineMitigationsAlreadyExist
                }
                Dismissal::FixedByDistributor | Dismissal::VersionNotAffected => {
                    Justification::Stated
                }
            }),
            (None, Grade::Named | Grade::Version) => Status::UnderInvestigation,
            (None, _) => Status::Affected,
        };
        let conclusion = match v.dismissed {
            Some(d) => summary::dismissal(d).to_owned(),
            None => format!("grade {}", summary::grade(v.grade)),
        };
        let detail = [&[conclusion], v.reasons.as_slice()].concat().join(". ");
        let new = (status, detail);
        all.entry((v.id.clone(), product))
            .and_modify(|old| {
                if *old < new {
                    *old = new.clone();
                }
            })
            .or_insert(new);
    }
    all.into_iter()
        .map(|((vulnerability, product), (status, detail))| Statement {
            vulnerability,
            product,
            status,
            detail,
        })
        .collect()
}

/// What is to be done about an affected component, as far as an assessment can tell.
const ACTION: &str =
    "Update the component to a release without this vulnerability, or apply its published fix.";

/// Why a text is not a document of statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// Not JSON; what the JSON reader says.
    NotJson(String),
    /// JSON, but none of the three formats.
    UnknownFormat,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotJson(e) => write!(f, "not a JSON document: {e}"),
            Self::UnknownFormat => f.write_str(
                "neither OpenVEX (@context), nor CycloneDX (bomFormat), nor CSAF (document.csaf_version)",
            ),
        }
    }
}

impl std::error::Error for ReadError {}

/// Statements of a document, and one sentence for each that could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// What could be read, sorted, each once.
    pub statements: Vec<Statement>,
    /// What could not, with its place in the document.
    pub skipped: Vec<String>,
}

/// Reads OpenVEX, CycloneDX or CSAF 2.0, whichever the text is.
///
/// A statement that lacks its vulnerability, its product or its status is skipped and reported; the rest is
/// used. The text's length is the caller's bound; nothing is allocated beyond a small multiple of it.
///
/// # Errors
/// If the text is not JSON or none of the three formats.
pub fn read(text: &str) -> Result<Read, ReadError> {
    let doc: Value = serde_json::from_str(text).map_err(|e| ReadError::NotJson(e.to_string()))?;
    let mut out = if doc["@context"].as_str().is_some_and(|c| c.contains("openvex")) {
        openvex::read(&doc)
    } else if doc["bomFormat"] == "CycloneDX" {
        cyclonedx::read(&doc)
    } else if doc["document"]["csaf_version"].is_string() {
        csaf::read(&doc)
    } else {
        return Err(ReadError::UnknownFormat);
    };
    out.statements.sort();
    out.statements.dedup();
    Ok(out)
}

/// Elements of a JSON array; none for anything else.
fn list(v: &Value) -> &[Value] {
    v.as_array().map_or(&[], Vec::as_slice)
}

fn digest(v: &Value) -> Option<Digest> {
    v.as_str()?.parse().ok()
}
