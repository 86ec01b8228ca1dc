//! What earlier runs learned, so that the next release of a product costs only what changed.
//!
//! Two facts are kept, each under a digest that says all it depends on:
//!
//! - stored bytes of an entry ([`Load::key`](crate::format::Load::key)) to the digest of its content, so that
//!   it need not be decoded;
//! - the digest of a content to what was found in it, where that is nothing with artifacts of its own (a [leaf](Leaf)),
//!   so that it need not be scanned.
//!
//! An answer is what the run would have found by itself: only contents that were read whole and without a
//! problem are kept, and the bounds and the keys that were in force are part of the key. Where nothing is remembered, or
//! what is remembered cannot be read, the run does the work.

use std::{borrow::Cow, collections::BTreeMap};

use proofmark_model::{Digest, Problem, Proof, Region};
use serde::{Deserialize, Serialize};

use crate::{
    keys::Keyring,
    options::{Limits, Observer},
    tree::Node,
};

/// A content without artifacts inside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Leaf {
    #[serde(rename = "f")]
    format: String,
    #[serde(rename = "r")]
    regions: Vec<Region>,
    #[serde(rename = "j", default, skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Region>,
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
    #[serde(rename = "a", default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
    /// Bytes decoded while looking at it; they count against the budget again.
    #[serde(rename = "o", default)]
    pub output: u64,
}

impl Leaf {
    /// What is kept of a node. None for one with artifacts inside, and for one that a budget cut: the rest of a
    /// budget may be another in another run.
    pub fn of(node: &Node, output: u64) -> Option<Self> {
        let cut = |p: &Problem| p.kind == proofmark_model::ProblemKind::Budget;
        (node.parts.is_empty() && !node.problems.iter().any(cut)).then(|| Self {
            format: node.format.to_string(),
            regions: node.regions.clone(),
            rejected: node.rejected.clone(),
            problems: node.problems.clone(),
            proof: node.proof,
            attributes: node.attributes.clone(),
            output,
        })
    }

    /// As a node.
    pub fn node(self) -> Node {
        Node {
            format: Cow::Owned(self.format),
            regions: self.regions,
            rejected: self.rejected,
            problems: self.problems,
            proof: self.proof,
            attributes: self.attributes,
            parts: Vec::new(),
        }
    }
}

/// Keeps and recalls through the observer.
pub(crate) struct Memory<'a> {
    observer: &'a dyn Observer,
    bounds: String,
}

impl<'a> Memory<'a> {
    pub fn new(observer: &'a dyn Observer, limits: &Limits, keys: &Keyring) -> Self {
        let Limits {
            output: _,
            artifact_output,
            content,
            ratio,
            entries: _,
            artifact_entries,
            depth,
            time: _,
        } = limits;
        let bounds = format!(
            "{artifact_output} {content} {ratio} {artifact_entries} {depth} {}",
            keys.fingerprint()
        );
        Self { observer, bounds }
    }

    fn key(&self, kind: &str, digest: &Digest) -> Digest {
        Digest::of(format!("{kind} {digest} {}", self.bounds).as_bytes())
    }

    /// The digest of the content that is made of the stored bytes behind `key`.
    pub fn content(&self, key: &Digest) -> Option<Digest> {
        let value = self.observer.recall(&self.key("stored", key))?;
        Some(Digest(value.try_into().ok()?))
    }

    /// What is in a content.
    pub fn leaf(&self, digest: &Digest) -> Option<Leaf> {
        if !self.observer.remembers() {
            return None;
        }
        serde_json::from_slice(&self.observer.recall(&self.key("leaf", digest))?).ok()
    }

    pub fn learn_content(&self, key: &Digest, content: &Digest) {
        self.observer.learn(self.key("stored", key), content.0.to_vec());
    }

    pub fn learn_leaf(&self, digest: &Digest, leaf: &Leaf) {
        if self.observer.remembers()
            && let Ok(value) = serde_json::to_vec(leaf)
        {
            self.observer.learn(self.key("leaf", digest), value);
        }
    }
}
