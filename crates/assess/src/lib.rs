//! The pipeline: unpack, inspect, match, judge. It knows neither arguments nor output.
//!
//! [`assay`] is the whole of it. Results do not depend on the number of threads, on the cache, or on
//! anything of the machine; the one bound that does (time) says so in the result.

pub mod cache;
pub mod components;
mod kernels;
pub mod matching;
mod notes;
pub mod reconcile;
pub mod sandbox;

use std::{collections::BTreeMap, path::PathBuf};

use proofmark_advisories::{
    Store, corrections::Corrections, decisions::Decision, kernel::KernelPicture,
};
use proofmark_model::{
    Artifact, Assessment, ComponentRef, Digest, EntryKind, Locator, Provenance, SCHEMA_VERSION,
    assessment::{DataVersion, Image},
};
pub use proofmark_unpack::options::Progress;
use proofmark_unpack::{Input, options::Limits};
use proofmark_yardstick::{Catalogue, Evidence};

use crate::notes::Notebook;

/// What to do with an image.
pub struct Options {
    /// Threads and bounds.
    pub unpack: proofmark_unpack::Options,
    /// Folder of the facts cache; none is no cache.
    pub cache: Option<PathBuf>,
    /// Yardsticks to judge by, in this order.
    pub yardsticks: Vec<Catalogue>,
    /// Day on which dates are judged, seconds since 1970-01-01 UTC; without it the newest time recorded in the
    /// image.
    pub as_of: Option<i64>,
    /// Published vulnerabilities to match components with.
    pub advisories: Option<Advisories>,
    /// Producers' bills of materials to hold against what is seen: the document, and what it claims.
    pub claimed: Vec<(DataVersion, Vec<ComponentRef>)>,
    /// What people stated about vulnerabilities. Each is bound to the bytes it was made for and holds nowhere else.
    pub decisions: Vec<Decision>,
}

/// Published vulnerabilities, and what corrects them.
pub struct Advisories {
    /// The records.
    pub store: Box<dyn Store + Send + Sync>,
    /// Identities, corrections and probes.
    pub corrections: Corrections,
}

/// What the kernels of an image tell about themselves, each with its place: on what vulnerabilities are judged.
#[must_use]
pub fn kernels(input: Input, options: &proofmark_unpack::Options) -> Vec<(Locator, KernelPicture)> {
    let silent = |_| {};
    let notebook = Notebook::new(None, &silent);
    let unpacked = proofmark_unpack::unpack(input, options, &notebook);
    let (notes, _) = notebook.finish(&unpacked.artifacts, &unpacked.digests);
    let observations =
        proofmark_inspect::image(&proofmark_inspect::View::new(&unpacked.artifacts, &notes));
    kernels::pictures(&matching::Ground {
        artifacts: &unpacked.artifacts,
        observations: &observations,
        notes: &notes,
        options: &BTreeMap::new(),
    })
}

/// Assesses one image. Never fails: what could not be read is part of the result.
#[must_use]
pub fn assay(input: Input, options: &Options, progress: &(dyn Fn(Progress) + Sync)) -> Assessment {
    let name = input.name.clone();
    let rules = rules();
    let cache = options.cache.as_deref().and_then(|folder| cache::Cache::open(folder, &rules));
    let notebook = Notebook::new(cache.as_ref(), progress);
    let unpacked = proofmark_unpack::unpack(input, &options.unpack, &notebook);
    let (notes, hits) = notebook.finish(&unpacked.artifacts, &unpacked.digests);
    if let Some(cache) = cache {
        cache.close();
    }
    let mut observations =
        proofmark_inspect::image(&proofmark_inspect::View::new(&unpacked.artifacts, &notes));
    let (recognised, bytes_tell) =
        components::observations(&unpacked.artifacts, &hits, &observations);
    observations.extend(recognised);
    observations.sort();
    observations.dedup();
    let as_of = options.as_of.unwrap_or_else(|| newest(&unpacked.artifacts));
    let ground = matching::Ground {
        artifacts: &unpacked.artifacts,
        observations: &observations,
        notes: &notes,
        options: &bytes_tell,
    };
    let matched = options.advisories.as_ref().and_then(|a| {
        let feeds = a.store.feeds();
        let mut found =
            matching::vulnerabilities(&ground, a.store.as_ref(), &a.corrections).ok()?;
        matching::decide(&mut found, &unpacked.artifacts, &options.decisions);
        matching::lower_stale(&mut found, &feeds, as_of);
        matching::gravest_first(&mut found);
        Some((found, matching::dated(feeds, as_of)))
    });
    // Data that cannot be read is no data: what needs it is then inconclusive.
    let (vulnerabilities, feeds) = matched.unwrap_or_default();
    let reconciliations = options
        .claimed
        .iter()
        .map(|(document, claimed)| reconcile::reconcile(document.clone(), claimed, &observations))
        .collect();
    let judgements = proofmark_yardstick::evaluate(
        &options.yardsticks.iter().collect::<Vec<_>>(),
        &Evidence {
            observations: &observations,
            artifacts: &unpacked.artifacts,
            coverage: &unpacked.coverage,
            vulnerabilities: &vulnerabilities,
            feeds: &feeds,
            as_of,
        },
    );
    Assessment {
        schema: SCHEMA_VERSION.to_owned(),
        image: image(name, &unpacked.artifacts),
        provenance: Provenance {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            yardsticks: options.yardsticks.iter().map(Catalogue::version).collect(),
            feeds,
            budgets: budgets(&options.unpack.limits),
            rules,
        },
        coverage: unpacked.coverage,
        judgements,
        vulnerabilities,
        reconciliations,
        observations,
        artifacts: unpacked.artifacts,
    }
}

/// One digest over every format and inspector with its revision: equal digests read equal bytes alike.
#[must_use]
pub fn rules() -> Digest {
    let mut lines: Vec<String> = proofmark_unpack::formats::all()
        .iter()
        .map(|f| format!("format {} {}\n", f.about().id, f.about().revision))
        .chain(proofmark_inspect::REVISIONS.iter().map(|(id, r)| format!("inspector {id} {r}\n")))
        .collect();
    lines.sort();
    lines.push(format!("components {}\n", proofmark_components::REVISION));
    lines.push(format!("tool {}\n", env!("CARGO_PKG_VERSION")));
    Digest::of(lines.concat().as_bytes())
}

/// The newest time that the image records about a file, or 0: the day on which nothing has expired yet
/// that had not when the image was made.
fn newest(artifacts: &[Artifact]) -> i64 {
    artifacts.iter().filter_map(|a| a.metadata.mtime).max().unwrap_or(0)
}

fn image(name: String, artifacts: &[Artifact]) -> Image {
    let root = artifacts.first();
    match root.and_then(|r| r.sha256) {
        Some(sha256) => Image { name, size: root.map_or(0, |r| r.size), sha256 },
        // A folder has no bytes of its own: the listing of what is in it names it.
        None => {
            let own = |a: &&Artifact| {
                a.parent == Some(proofmark_model::ArtifactId(0)) && a.entry != EntryKind::Gap
            };
            let files = artifacts.iter().filter(own);
            let (mut listing, mut size) = (String::new(), 0u64);
            for a in files {
                let digest = a.sha256.map(|d| d.to_string()).unwrap_or_default();
                listing.push_str(&format!("{digest} {}\n", a.locator.path()));
                size = size.saturating_add(a.size);
            }
            Image { name, size, sha256: Digest::of(listing.as_bytes()) }
        }
    }
}

fn budgets(limits: &Limits) -> BTreeMap<String, u64> {
    [
        ("output-bytes", limits.output),
        ("artifact-output-bytes", limits.artifact_output),
        ("content-bytes", limits.content),
        ("ratio", limits.ratio),
        ("entries", limits.entries),
        ("artifact-entries", limits.artifact_entries),
        ("depth", limits.depth.into()),
        ("time-seconds", limits.time.map_or(0, |t| t.as_secs())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
