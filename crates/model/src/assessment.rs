//! The document that holds everything known about one image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Artifact, Coverage, Digest, Judgement, Observation, Vulnerability,
    reconciliation::Reconciliation,
};

/// Version of the document's schema: `MAJOR.MINOR`. A reader of the same major version can read it.
pub const SCHEMA_VERSION: &str = "1.0";

/// All that is known about one image, and what it was derived with.
///
/// Equal image, rules, data and budgets give equal bytes: lists are sorted, and there is no clock, host name
/// or random id in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assessment {
    /// [`SCHEMA_VERSION`].
    pub schema: String,
    /// What was assessed.
    pub image: Image,
    /// What it was derived with.
    pub provenance: Provenance,
    /// Account of the image's bytes.
    pub coverage: Coverage,
    /// Every requirement of every yardstick applied, in the order of the catalogue.
    pub judgements: Vec<Judgement>,
    /// Vulnerabilities matched to components, gravest first.
    pub vulnerabilities: Vec<Vulnerability>,
    /// The producer's bills of materials held against what was seen, in the order given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reconciliations: Vec<Reconciliation>,
    /// What was seen, sorted by kind and place.
    pub observations: Vec<Observation>,
    /// The tree; a parent stands before its children.
    pub artifacts: Vec<Artifact>,
}

/// The input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// Base name as given.
    pub name: String,
    /// Bytes; for a folder the sum over its files.
    pub size: u64,
    /// SHA-256 of the file; for a folder, of its sorted listing of paths and digests.
    pub sha256: Digest,
}

/// Versions of everything that shaped the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// Version of Proofmark.
    pub tool: String,
    /// Each yardstick applied: id, revision, digest of its text.
    pub yardsticks: Vec<DataVersion>,
    /// Each advisory feed used, with the newest date in it.
    pub feeds: Vec<DataVersion>,
    /// Budgets that were in force, by name.
    pub budgets: std::collections::BTreeMap<String, u64>,
    /// Inspectors and formats with their revisions, as one digest over `id revision` lines.
    pub rules: Digest,
}

/// A piece of data with its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataVersion {
    /// Id.
    pub id: String,
    /// Revision or newest date.
    pub version: String,
    /// SHA-256 of the data, where it is a single text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}
