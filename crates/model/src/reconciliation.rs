//! A producer's bill of materials held against what was seen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ComponentRef, assessment::DataVersion};

/// What a bill of materials claims, beside what was seen in the image. Every component of both sides is in exactly
/// one of the lists; each is sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciliation {
    /// The document: file name, format with version, digest.
    pub document: DataVersion,
    /// Claimed and seen in the same version, or without a version on one side.
    pub agreed: Vec<ComponentRef>,
    /// Claimed and seen in other versions.
    pub differing: Vec<Differing>,
    /// Claimed and not seen. Not seen is not absent: programs that nothing identifies are in most images.
    pub not_seen: Vec<ComponentRef>,
    /// Seen and not claimed.
    pub not_claimed: Vec<ComponentRef>,
}

/// A component that is claimed in one version and seen in others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Differing {
    /// As claimed.
    pub claimed: ComponentRef,
    /// As seen.
    pub seen: Vec<ComponentRef>,
}
