//! What must have been read before absence means anything.
//!
//! A verdict *pass* or *not applicable* rests on not having found something. It
//! holds only if the places where that thing would be were read. Each
//! requirement names those places as needs; a need that is not met makes the
//! verdict inconclusive and is named with its byte ranges.

use proofmark_model::{
    Artifact, Coverage, EntryKind, Extent, Locator, Observation, Opaque, ProblemKind, Step, Tri,
    assessment::DataVersion, fact::Fact,
};
use serde::Deserialize;

/// A place that must have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Every root file system found was read to its end, and there is at least one.
    RootFileSystem,
    /// Outside of root file systems, nothing is left in which another one, or the thing itself, could be.
    RestOfImage,
    /// No content inside a root file system is compressed, encrypted or damaged beyond reading.
    FileContent,
    /// The graph of what the image starts is complete.
    StartUp,
    /// Which package owns which file is known.
    PackageOwnership,
    /// Vulnerability data was at hand.
    Advisories,
}

/// How the version of a feed ends that was out of date on the day that is judged.
pub const STALE: &str = " (stale)";

/// What the needs are judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub observations: &'a [Observation],
    pub artifacts: &'a [Artifact],
    pub coverage: &'a Coverage,
    pub feeds: &'a [DataVersion],
}

/// Opaque ranges and damaged artifacts, once per evaluation.
#[derive(Debug)]
pub(crate) struct Ranges<'a> {
    roots: Vec<(&'a Locator, &'a Tri)>,
    traits: Vec<(&'a str, &'a Tri)>,
    opaque: Vec<(&'a Extent, bool)>,
    damaged: Vec<(&'a Artifact, bool)>,
    feeds: &'a [DataVersion],
}

/// Whether `place` lies inside `root`, or is it.
fn inside(root: &Locator, place: &Locator) -> bool {
    let Some((last, init)) = root.steps.split_last() else { return true };
    if place.steps.get(..init.len()) != Some(init) {
        return false;
    }
    match (last, place.steps.get(init.len())) {
        (Step::Entry { path: folder, .. }, Some(Step::Entry { path, .. })) => {
            let folder = folder.strip_suffix(b"/").unwrap_or(folder);
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        }
        (last, Some(step)) => last == step,
        (_, None) => false,
    }
}

/// Bytes that hide what they hold, from any search for patterns.
fn hides(looks: Opaque) -> bool {
    matches!(
        looks,
        Opaque::CompressedLooking | Opaque::EncryptedLooking | Opaque::Damaged | Opaque::Encrypted
    )
}

fn looks(l: Opaque) -> &'static str {
    match l {
        Opaque::CompressedLooking => "looks compressed",
        Opaque::EncryptedLooking => "looks encrypted",
        Opaque::CodeLooking => "looks like machine code",
        Opaque::Text => "text of no known kind",
        Opaque::Damaged => "damaged",
        Opaque::Encrypted => "encrypted, no key given",
        Opaque::Data => "data of no known kind",
    }
}

/// Joins the first three and counts the rest.
fn some(items: Vec<String>) -> String {
    let more = items.len().saturating_sub(3);
    let mut text = items.into_iter().take(3).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

impl<'a> Ranges<'a> {
    pub(crate) fn new(ground: Ground<'a>) -> Self {
        let traits: Vec<(&Observation, &str, &Tri)> = ground
            .observations
            .iter()
            .filter_map(|o| match &o.fact {
                Fact::Trait(t) => Some((o, t.name.as_str(), &t.complete)),
                _ => None,
            })
            .collect();
        let roots: Vec<_> = traits
            .iter()
            .filter(|(_, name, _)| *name == "root-file-system")
            .map(|(o, _, complete)| (o.evidence.first(), *complete))
            .collect();
        let in_root = |place: &Locator| roots.iter().any(|(root, _)| inside(root, place));
        Self {
            opaque: ground
                .coverage
                .opaque_regions
                .iter()
                .map(|e| (e, in_root(&e.locator)))
                .collect(),
            damaged: ground
                .artifacts
                .iter()
                .filter(|a| a.problems.iter().any(|p| p.kind != ProblemKind::UnsafePath))
                .map(|a| (a, in_root(&a.locator)))
                .collect(),
            traits: traits.iter().map(|(_, name, complete)| (*name, *complete)).collect(),
            feeds: ground.feeds,
            roots,
        }
    }

    pub(crate) fn root_count(&self) -> usize {
        self.roots.len()
    }

    /// The completeness of a trait, or that nothing established it.
    pub(crate) fn completeness(&self, name: &str, what: &str) -> Tri {
        let mut found = false;
        for (known, complete) in &self.traits {
            if *known == name {
                match complete {
                    Tri::Yes => found = true,
                    other => return (*other).clone(),
                }
            }
        }
        if found { Tri::Yes } else { Tri::Unknown(format!("{what} was not established")) }
    }

    /// What is missing for `need`, in one clause; none if it is met.
    pub(crate) fn shortfall(&self, need: Need, hides_in: u64) -> Option<String> {
        match need {
            Need::RootFileSystem => self.root_shortfall(),
            Need::RestOfImage => self.unread(false, hides_in, |_| true),
            Need::FileContent => self.unread(true, hides_in, hides),
            Need::StartUp => self.unless("start-up-graph", "what the image starts"),
            Need::PackageOwnership => {
                self.unless("package-ownership", "which package owns which file")
            }
            Need::Advisories => self.advisories_shortfall(),
        }
    }

    /// The built-in set is small and ages with the program, so it never proves that nothing is published.
    fn advisories_shortfall(&self) -> Option<String> {
        if self.feeds.is_empty() {
            return Some(
                "no vulnerability data was at hand (proofmark advisories update)".to_owned(),
            );
        }
        let newest = self.feeds.iter().map(|f| f.version.as_str()).max().unwrap_or_default();
        if self.feeds.iter().all(|f| f.id.starts_with("starter/")) {
            return Some(format!(
                "only the built-in set of vulnerability data was at hand, which covers embedded components and ends at {newest} (proofmark advisories update)"
            ));
        }
        let stale: Vec<_> = self.feeds.iter().filter(|f| f.version.ends_with(STALE)).collect();
        (!stale.is_empty()).then(|| {
            let list: Vec<_> = stale.iter().map(|f| format!("{} {}", f.id, f.version)).collect();
            format!("vulnerability data is out of date: {}", list.join(", "))
        })
    }

    fn unless(&self, name: &str, what: &str) -> Option<String> {
        match self.completeness(name, what) {
            Tri::Yes => None,
            Tri::No => Some(format!("{what} is not completely known")),
            Tri::Unknown(why) | Tri::NotApplicable(why) => Some(why),
        }
    }

    fn root_shortfall(&self) -> Option<String> {
        if self.roots.is_empty() {
            return Some("no root file system was recognised".to_owned());
        }
        for (root, complete) in &self.roots {
            match complete {
                Tri::Yes => {}
                Tri::Unknown(why) | Tri::NotApplicable(why) => {
                    return Some(format!("{root} was not read completely: {why}"));
                }
                Tri::No => return Some(format!("{root} was not read completely")),
            }
        }
        let unread: Vec<String> = self
            .damaged
            .iter()
            .filter(|(a, in_root)| {
                *in_root && a.entry == EntryKind::File && a.size > 0 && a.sha256.is_none()
            })
            .map(|(a, _)| a.locator.to_string())
            .collect();
        (!unread.is_empty()).then(|| format!("files could not be read: {}", some(unread)))
    }

    fn unread(
        &self,
        in_root: bool,
        at_least: u64,
        looks_like: fn(Opaque) -> bool,
    ) -> Option<String> {
        let mut all: Vec<String> = self
            .opaque
            .iter()
            .filter(|(e, r)| *r == in_root && e.length >= at_least && looks_like(e.looks))
            .map(|(e, _)| format!("{} ({} bytes, {})", e.locator, e.length, looks(e.looks)))
            .collect();
        all.extend(self.damaged.iter().filter(|(a, r)| *r == in_root && a.size >= at_least).map(
            |(a, _)| {
                let why = a.problems.first().map_or("", |p| p.message.as_str());
                format!("{} ({why})", a.locator)
            },
        ));
        (!all.is_empty()).then(|| format!("not everything could be read: {}", some(all)))
    }
}
