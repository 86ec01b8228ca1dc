//! The words all other crates speak.
//!
//! This crate knows no files, no threads and no formats. It defines what an
//! image is made of ([`Artifact`]), where something is ([`Locator`]), what was
//! seen ([`Fact`]), what it means under a requirement ([`Verdict`],
//! [`Finding`]) and the document that holds all of it ([`Assessment`]).

pub mod artifact;
pub mod assessment;
pub mod digest;
pub mod fact;
pub mod finding;
pub mod locator;
pub mod reconciliation;
pub mod vulnerability;

pub use artifact::{
    Artifact, ArtifactId, Coverage, EntryKind, Extent, Metadata, Opaque, Problem, ProblemKind,
    Proof, Region, RegionClass,
};
pub use assessment::{Assessment, Provenance, SCHEMA_VERSION};
pub use digest::{Digest, Hashing};
pub use fact::{Fact, Observation, Tri};
pub use finding::{Evidence, Finding, Judgement, Requirement, Severity, Strength, Verdict};
pub use locator::{Locator, LocatorError, Step};
pub use vulnerability::{ComponentRef, Dismissal, Grade, Vulnerability};
