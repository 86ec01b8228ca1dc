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
pub mod certificates;
pub mod crypt;
mod der;
pub mod distribution;
pub mod ecosystems;
pub mod elf;
#[cfg(test)]
mod hostile;
pub mod kallsyms;
pub mod kernel;
pub mod keys;
pub mod notes;
pub mod packages;
pub mod passwords;
pub mod permissions;
pub mod root;
pub mod rpm;
pub mod secrets;
pub mod settings;
pub mod startup;
pub mod system;
#[cfg(test)]
pub mod testing;
pub mod text;
pub mod tools;
pub mod update;

use std::sync::Arc;

pub use notes::Notes;
use proofmark_model::{Artifact, ArtifactId, Observation, RegionClass};

/// Inspectors with their revisions: part of a cache key and of an assessment's provenance. A change that can
/// change a result raises the revision.
pub const REVISIONS: &[(&str, u32)] = &[
    accounts::REVISION,
    certificates::REVISION,
    distribution::REVISION,
    ecosystems::REVISION,
    elf::REVISION,
    kallsyms::REVISION,
    kernel::REVISION,
    keys::REVISION,
    packages::REVISION,
    permissions::REVISION,
    root::REVISION,
    secrets::REVISION,
    settings::REVISION,
    startup::REVISION,
    system::REVISION,
    tools::REVISION,
    update::REVISION,
];

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
    /// A package database.
    Packages,
    /// The list of files that a package owns.
    FileList,
    /// Metadata of a package of a programming language or build system.
    Metadata,
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
    accounts::class(name)
        .or_else(|| packages::class(path, name))
        .or_else(|| ecosystems::class(path, name))
        .unwrap_or_else(|| {
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
        Class::Metadata => {
            ecosystems::content(bytes, &mut notes);
            if notes.ecosystem.is_empty() {
                other(Class::Other, bytes, &mut notes);
            }
        }
        Class::Packages | Class::FileList => packages::content(class, bytes, &mut notes),
        Class::Passwd | Class::Shadow | Class::Htpasswd => {
            accounts::content(class, bytes, &mut notes);
            // A program may be called passwd.
            if notes.accounts.is_empty() {
                other(Class::Other, bytes, &mut notes);
            }
        }
        Class::Configuration | Class::Other => other(class, bytes, &mut notes),
    }
    notes
}

/// A content whose kind shows in its bytes.
fn other(class: Class, bytes: &[u8], notes: &mut Notes) {
    if kernel::is_config(bytes) {
        kernel::config(bytes, notes);
        return;
    }
    notes.text = text::keep(class, bytes);
    let kind = if notes.text.is_some() {
        secrets::Kind::Configuration
    } else if text::is_text(bytes) {
        secrets::Kind::Text
    } else {
        elf::content(bytes, notes);
        if notes.program.is_none() {
            keys::whole(bytes, notes);
            certificates::whole(bytes, notes);
        }
        ecosystems::program(bytes, notes);
        secrets::Kind::Binary
    };
    let anchors = secrets::anchors(kind, bytes);
    let mut digest = None;
    for (anchor, at) in anchors {
        match anchor {
            secrets::Anchor::Pem => {
                let Some(pem) = der::pem(bytes, at) else { continue };
                notes.keys.extend(keys::from_pem(&pem));
                match certificates::from_pem(&pem) {
                    Some(Ok(read)) => notes.certificates.push(read),
                    Some(Err(range)) => notes.unreadable_certificates.push(range),
                    None => {}
                }
            }
            secrets::Anchor::Banner => notes.banners.extend(kernel::banner_at(bytes, at)),
            secrets::Anchor::Rule(rule) => {
                let digest = digest.get_or_insert_with(|| proofmark_model::Digest::of(bytes));
                if let Some(found) = secrets::found_at(rule, bytes, at, digest) {
                    secrets::keep(notes, found);
                }
            }
        }
    }
    // A kernel is large and says what it is.
    if bytes.len() > SMALLEST_KERNEL && !notes.banners.is_empty() {
        notes.kernel_symbols = kallsyms::symbols(bytes);
        notes.kernel_symbols.sort_unstable();
        notes.kernel_symbols.dedup();
    }
}

/// Bytes of the smallest kernel whose symbols are looked for.
const SMALLEST_KERNEL: usize = 256 << 10;

/// Whether something in the content was understood as a part of it: then its regions and the gaps between them are
/// artifacts with notes of their own. A content in which nothing was understood has one opaque region, and is
/// inspected itself.
#[must_use]
pub fn divided(artifact: &Artifact) -> bool {
    artifact.regions.iter().any(|r| matches!(r.class, RegionClass::Understood { .. }))
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
        self.artifact(id).filter(|a| !divided(a))?;
        self.notes.get(id.0 as usize)?.as_deref()
    }

    /// Every artifact that has notes, in order.
    pub fn noted(self) -> impl Iterator<Item = (ArtifactId, &'a Artifact, &'a Notes)> {
        self.artifacts.iter().enumerate().filter_map(move |(i, a)| {
            let id = ArtifactId(u32::try_from(i).ok()?);
            Some((id, a, self.notes(id)?))
        })
    }

    /// The same without what no container sees. Secrets and keys are looked for in all.
    pub fn live(self) -> impl Iterator<Item = (ArtifactId, &'a Artifact, &'a Notes)> {
        self.noted().filter(|(_, a, _)| !a.is_superseded())
    }
}

/// Second stage: the facts about the whole image, sorted.
#[must_use]
pub fn image(view: &View<'_>) -> Vec<Observation> {
    let roots = root::find(view);
    let mut out = Vec::new();
    let startups: Vec<startup::Startup> = roots.iter().map(startup::read).collect();
    let owners: Vec<packages::Owners> = roots.iter().map(|r| packages::read(r, &mut out)).collect();
    let references: Vec<keys::References<'_>> = roots.iter().map(keys::References::of).collect();
    let kernels = kernel::image(view, &mut out);
    root::image(&roots, &mut out);
    distribution::image(&roots, &mut out);
    accounts::image(&roots, &mut out);
    keys::image(view, &roots, &startups, &references, &mut out);
    ecosystems::image(view, &mut out);
    certificates::image(view, &roots, &references, &mut out);
    elf::image(view, &roots, &startups, &owners, &kernels, &mut out);
    startup::image(&roots, &startups, &mut out);
    permissions::image(&roots, &mut out);
    secrets::image(view, &mut out);
    update::image(view, &mut out);
    for (root, startup) in roots.iter().zip(&startups) {
        let served = settings::image(root, startup, &mut out);
        system::image(root, startup, &mut out);
        tools::image(root, startup, &served, &mut out);
    }
    out.sort();
    out.dedup();
    out
}
