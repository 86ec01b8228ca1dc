//! Artifact to facts, in two stages.
//!
//! ```text
//! path, format --class--> Class        content --content(class)--> Notes      (pure, cached by digest)
//! artifacts + notes --image--> Vec<Observation>                               (sees the whole tree)
//! ```
//!
//! The first stage looks at one content and nothing else, so that equal content
//! is looked at once and the next release of a product costs only what changed.
//! The second stage joins: accounts with their shadow entries, keys with
//! certificates and configurations, programs with the start-up that runs them.
//! It works on [`root::Root`]s: every root file system in an image is a world of
//! its own, and a link never leaves it.
//!
//! One file per inspector; each opens with what it establishes, how, where it is
//! wrong, and on what it is built. Nothing here opens a file, asks the host or
//! knows a requirement.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod accounts;
pub mod crypt;
pub mod notes;
pub mod passwords;
pub mod root;
#[cfg(test)]
pub mod testing;
pub mod text;

use std::sync::Arc;

pub use notes::Notes;
use proofmark_model::{Artifact, ArtifactId, Observation};

/// Inspectors with their revisions: part of a cache key and of an assessment's provenance. A change that can
/// change a result raises the revision.
pub const REVISIONS: &[(&str, u32)] = &[root::REVISION, accounts::REVISION];

/// Which first-stage inspectors a content gets. With the content's digest it is the key of cached notes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing: a container whose entries are inspected themselves.
    Container,
    /// `passwd`: accounts in seven fields.
    Passwd,
    /// `shadow`: passwords in nine fields.
    Shadow,
    /// `htpasswd` and its like: `user:hash`.
    Htpasswd,
    /// Text that programs read as configuration: kept, for the second stage to parse.
    Configuration,
    /// Anything else: programs, scripts, data; what it is shows in the bytes.
    Other,
}

/// The class of a content that lies at `path` (as in its container) and has `format` (a format id).
#[must_use]
pub fn class(path: &str, format: &str) -> Class {
    if notes::is_container(format) {
        return Class::Container;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    accounts::class(name).unwrap_or_else(|| {
        if notes::is_configuration(path, name) { Class::Configuration } else { Class::Other }
    })
}

/// First stage: everything the content says by itself.
///
/// Never panics; time and memory are bounded by the size of the content and, for password hashes, by a fixed
/// budget of work. Not to be called for artifacts whose bytes are divided into regions: the regions are
/// artifacts themselves.
#[must_use]
pub fn content(class: Class, bytes: &[u8]) -> Notes {
    let mut notes = Notes::default();
    match class {
        Class::Container => {}
        Class::Passwd | Class::Shadow | Class::Htpasswd => {
            accounts::content(class, bytes, &mut notes);
        }
        Class::Configuration | Class::Other => notes.text = text::keep(class, bytes),
    }
    notes
}

/// The tree of an image with the notes on its contents.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// All artifacts; an [`ArtifactId`] is a position in it.
    pub artifacts: &'a [Artifact],
    notes: &'a [Option<Arc<Notes>>],
}

impl<'a> View<'a> {
    /// `notes` has one element for each artifact; `None` where its content was not inspected.
    #[must_use]
    pub fn new(artifacts: &'a [Artifact], notes: &'a [Option<Arc<Notes>>]) -> Self {
        Self { artifacts, notes }
    }

    /// The artifact `id` stands for.
    #[must_use]
    pub fn artifact(&self, id: ArtifactId) -> Option<&'a Artifact> {
        self.artifacts.get(id.0 as usize)
    }

    /// The notes on the content of `id`; `None` where there are none or where its regions have notes of
    /// their own.
    #[must_use]
    pub fn notes(&self, id: ArtifactId) -> Option<&'a Notes> {
        self.artifact(id).filter(|a| a.regions.is_empty())?;
        self.notes.get(id.0 as usize)?.as_deref()
    }

    /// Every artifact that has notes, in order.
    pub fn noted(self) -> impl Iterator<Item = (ArtifactId, &'a Artifact, &'a Notes)> {
        self.artifacts.iter().enumerate().filter_map(move |(i, a)| {
            let id = ArtifactId(u32::try_from(i).ok()?);
            Some((id, a, self.notes(id)?))
        })
    }
}

/// Second stage: the facts about the whole image, sorted.
#[must_use]
pub fn image(view: &View<'_>) -> Vec<Observation> {
    let roots = root::find(view);
    let mut out = Vec::new();
    root::image(&roots, &mut out);
    accounts::image(&roots, &mut out);
    out.sort();
    out.dedup();
    out
}
