//! Requirements, verdicts and findings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Locator;

/// Outcome of a requirement for one image.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Shown to be violated, with a locator.
    Fail,
    /// The image alone does not decide it, or part of the image could not be read.
    Inconclusive,
    /// Shown to hold, with coverage that supports it.
    Pass,
    /// The requirement's precondition is absent from this image.
    NotApplicable,
}

/// How a statement was reached.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// The bytes are there.
    Observed,
    /// A conclusion from what was observed.
    Inferred,
}

/// How grave a violation is, by the requirement and never by the product.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Note.
    Info,
    /// Hardening that is missing.
    Low,
    /// Weakness that needs another one to be used.
    Medium,
    /// Weakness that is usable by itself in a common deployment.
    High,
    /// Access or control without further conditions.
    Critical,
}

/// A requirement as it was applied, copied into the assessment so that the document explains itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {
    /// Yardstick it was applied as part of, such as `baseline`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub yardstick: String,
    /// Id, such as `ACC-01`.
    pub id: String,
    /// Revision of the rule; any change of condition or text raises it.
    pub revision: u32,
    /// One line.
    pub title: String,
    /// Group, such as `ACC`.
    pub group: String,
    /// Severity of a violation.
    pub severity: Severity,
    /// Clauses of published documents it is derived from.
    pub sources: Vec<String>,
}

/// A requirement with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    /// The requirement.
    pub requirement: Requirement,
    /// The outcome.
    pub verdict: Verdict,
    /// Why, in one sentence. For *inconclusive* it starts with what is missing.
    pub reason: String,
    /// What to look at or to ask, for *inconclusive*: the exact question to answer on a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What violates it; never empty for [`Verdict::Fail`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Things looked at for the verdict: how many facts were in scope.
    pub examined: u64,
}

/// One or more places that support a statement. It cannot be empty, so a finding without a locator cannot
/// be built, by construction or by deserialisation.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "Vec<Locator>", into = "Vec<Locator>")]
pub struct Evidence {
    #[schemars(length(min = 1))]
    places: Vec<Locator>,
}

impl Evidence {
    /// Evidence at one place.
    #[must_use]
    pub fn one(place: Locator) -> Self {
        Self { places: vec![place] }
    }

    /// Evidence at `first` and at `more`.
    pub fn with(first: Locator, more: impl IntoIterator<Item = Locator>) -> Self {
        let mut places = vec![first];
        places.extend(more);
        Self { places }
    }

    /// The place to look at first.
    #[must_use]
    pub fn first(&self) -> &Locator {
        // Not empty by construction.
        &self.places[0]
    }

    /// All places, the first one first.
    #[must_use]
    pub fn places(&self) -> &[Locator] {
        &self.places
    }

    /// The same with one more place, unless it is there already.
    pub fn push(&mut self, place: Locator) {
        if !self.places.contains(&place) {
            self.places.push(place);
        }
    }
}

/// A statement was made without naming a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("evidence needs at least one locator")]
pub struct NoEvidence;

impl TryFrom<Vec<Locator>> for Evidence {
    type Error = NoEvidence;

    fn try_from(places: Vec<Locator>) -> Result<Self, NoEvidence> {
        if places.is_empty() { Err(NoEvidence) } else { Ok(Self { places }) }
    }
}

impl From<Evidence> for Vec<Locator> {
    fn from(e: Evidence) -> Self {
        e.places
    }
}

/// What makes a requirement fail (or stay open), at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable id: requirement id and the first 16 hexadecimal digits of a digest over rule, locators and
    /// message, so that the same weakness has the same id in the next run.
    pub id: String,
    /// Requirement or rule that found it.
    pub rule: String,
    /// Its revision.
    pub revision: u32,
    /// How grave.
    pub severity: Severity,
    /// Observed or inferred.
    pub strength: Strength,
    /// One neutral sentence about what is there.
    pub message: String,
    /// Where.
    pub evidence: Evidence,
    /// SHA-256 of the content the first place lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<crate::Digest>,
    /// A few bytes as text, secrets already reduced to a salted digest and a short prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// What would mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// The stable id of a finding.
    #[must_use]
    pub fn id(rule: &str, revision: u32, evidence: &Evidence, message: &str) -> String {
        let mut text = format!("{rule}\n{revision}\n{message}");
        for place in evidence.places() {
            text.push('\n');
            text.push_str(&place.to_string());
        }
        format!("{rule}-{}", &crate::Digest::of(text.as_bytes()).to_string()[..16])
    }
}
