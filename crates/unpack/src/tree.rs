//! What a run found, content by content, and how it becomes the list of artifacts.
//!
//! A [`Node`] belongs to a content, not to a place: equal contents share one. The
//! list of artifacts has a place for each occurrence.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
};

use proofmark_model::{
    Artifact, ArtifactId, Coverage, Digest, EntryKind, Extent, Locator, Metadata, Opaque, Problem,
    ProblemKind, Proof, Region, RegionClass, Step,
};

use crate::{engine::Outcome, layers, split};

/// What is in a content. Filled once by whichever thread met the content first.
pub(crate) type Cell = Arc<OnceLock<Node>>;

/// What is in a content.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub format: Cow<'static, str>,
    pub regions: Vec<Region>,
    pub rejected: Vec<Region>,
    pub problems: Vec<Problem>,
    /// Of the leaf that takes the whole content.
    pub proof: Option<Proof>,
    pub attributes: BTreeMap<String, String>,
    pub parts: Vec<Part>,
}

/// A region or gap that is an artifact of its own.
#[derive(Debug)]
pub(crate) struct Part {
    pub start: usize,
    pub end: usize,
    pub body: Body,
    /// Of its bytes; the content's own where it is all of it.
    pub digest: OnceLock<Digest>,
}

#[derive(Debug)]
pub(crate) enum Body {
    Region {
        format: &'static str,
        proof: Proof,
        problems: Vec<Problem>,
        attributes: BTreeMap<String, String>,
        slots: Vec<Slot>,
    },
    Gap(RegionClass),
    /// Entries without a region around them: the files of a folder.
    Bare(Vec<Slot>),
}

impl Body {
    pub(crate) fn slots(&self) -> &[Slot] {
        match self {
            Self::Region { slots, .. } | Self::Bare(slots) => slots,
            Self::Gap(_) => &[],
        }
    }

    /// What is wrong with the region.
    pub(crate) fn problems(&self) -> &[Problem] {
        match self {
            Self::Region { problems, .. } => problems,
            Self::Bare(_) | Self::Gap(_) => &[],
        }
    }
}

/// An entry of a container.
#[derive(Debug)]
pub(crate) struct Slot {
    pub path: Vec<u8>,
    pub ordinal: u32,
    pub kind: EntryKind,
    pub metadata: Metadata,
    pub problems: Vec<Problem>,
    /// As declared.
    pub size: u64,
    /// Set by the task that loads it; never for what has no content.
    pub content: OnceLock<Content>,
    /// Whether a task was started for it.
    pub pending: bool,
}

impl Slot {
    pub(crate) fn step(&self) -> Step {
        Step::Entry { path: self.path.clone(), ordinal: self.ordinal }
    }
}

/// A content at a place.
#[derive(Debug)]
pub(crate) struct Content {
    pub size: u64,
    /// None where nothing was read.
    pub digest: Option<Digest>,
    /// Whether all of it was read.
    pub whole: bool,
    pub format: Cow<'static, str>,
    pub problems: Vec<Problem>,
    /// None where it was not looked into.
    pub node: Option<Cell>,
}

impl Content {
    /// Nothing was read, because of `problems`.
    pub(crate) fn unread(size: u64, problems: Vec<Problem>) -> Self {
        Self { size, digest: None, whole: false, format: "data".into(), problems, node: None }
    }
}

/// Where the children of an artifact come from.
enum Inside {
    Nothing,
    Content(Cell),
    Slots(Cell, usize),
}

struct Draft {
    artifact: Artifact,
    digest: Option<Digest>,
    children: Vec<usize>,
}

/// The list of artifacts of an image with this content, at most `limit` of them: outer ones before inner ones
/// where not all have room.
pub(crate) fn assemble(name: String, content: Content, metadata: Metadata, limit: u64) -> Outcome {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(u32::MAX as usize).max(1);
    let locator = Locator::image(name);
    let (artifact, digest, inside) = draft_content(
        locator,
        EntryKind::Image,
        metadata,
        Vec::new(),
        Some(content_view(&content)),
    );
    let mut drafts = vec![Draft { artifact, digest, children: Vec::new() }];
    let mut queue = VecDeque::from([(0_usize, inside)]);
    while let Some((parent, inside)) = queue.pop_front() {
        let Some(locator) = drafts.get(parent).map(|d| d.artifact.locator.clone()) else {
            continue;
        };
        let children = children(&locator, &inside);
        let room = limit.saturating_sub(drafts.len());
        if children.len() > room
            && let Some(d) = drafts.get_mut(parent)
        {
            d.artifact.problems.push(Problem::new(
                ProblemKind::Budget,
                format!(
                    "the budget of artifacts of this image is used up: {} inside are not listed",
                    children.len().saturating_sub(room)
                ),
            ));
        }
        for (artifact, digest, inside) in children.into_iter().take(room) {
            let id = drafts.len();
            drafts.push(Draft { artifact, digest, children: Vec::new() });
            if let Some(d) = drafts.get_mut(parent) {
                d.children.push(id);
            }
            if !matches!(inside, Inside::Nothing) {
                queue.push_back((id, inside));
            }
        }
    }
    let total = content.size;
    number(drafts, total)
}

/// Depth first, so that an artifact is followed by what is in it; then ids and the account of bytes.
fn number(drafts: Vec<Draft>, total: u64) -> Outcome {
    let mut drafts: Vec<_> = drafts.into_iter().map(Some).collect();
    let mut outcome = Outcome {
        artifacts: Vec::with_capacity(drafts.len()),
        digests: Vec::with_capacity(drafts.len()),
        coverage: Coverage::default(),
    };
    let mut stack = vec![(None, 0_usize)];
    while let Some((parent, index)) = stack.pop() {
        let Some(draft) = drafts.get_mut(index).and_then(Option::take) else { continue };
        let id = ArtifactId(u32::try_from(outcome.artifacts.len()).unwrap_or(u32::MAX));
        stack.extend(draft.children.iter().rev().map(|c| (Some(id), *c)));
        outcome.artifacts.push(Artifact { parent, ..draft.artifact });
        outcome.digests.push(draft.digest);
    }
    layers::merge(&mut outcome.artifacts);
    outcome.coverage = coverage(&outcome.artifacts, total);
    outcome
}

/// The part of a content that an artifact shows.
struct View<'a> {
    size: u64,
    digest: Option<Digest>,
    whole: bool,
    format: &'a str,
    problems: &'a [Problem],
    node: Option<&'a Cell>,
}

fn content_view(c: &Content) -> View<'_> {
    View {
        size: c.size,
        digest: c.digest,
        whole: c.whole,
        format: &c.format,
        problems: &c.problems,
        node: c.node.as_ref(),
    }
}

type Child = (Artifact, Option<Digest>, Inside);

fn draft_content(
    locator: Locator,
    entry: EntryKind,
    metadata: Metadata,
    mut problems: Vec<Problem>,
    content: Option<View<'_>>,
) -> Child {
    let plain = Artifact {
        locator,
        parent: None,
        format: match entry {
            EntryKind::Directory => "directory",
            _ if content.is_none() => "none",
            _ => "data",
        }
        .into(),
        size: 0,
        sha256: None,
        metadata,
        proof: None,
        regions: Vec::new(),
        rejected: Vec::new(),
        problems: Vec::new(),
        attributes: BTreeMap::new(),
        entry,
    };
    let Some(content) = content else {
        return (Artifact { problems, ..plain }, None, Inside::Nothing);
    };
    problems.extend_from_slice(content.problems);
    let mut artifact = Artifact {
        format: content.format.to_owned(),
        size: content.size,
        sha256: content.digest.filter(|_| content.whole),
        ..plain
    };
    let mut inside = Inside::Nothing;
    if let Some(cell) = content.node
        && let Some(node) = cell.get()
    {
        problems.extend_from_slice(&node.problems);
        artifact.proof = node.proof;
        artifact.attributes = node.attributes.clone();
        artifact.rejected = node.rejected.clone();
        // A file that is one region of a known format has nothing to divide.
        let one = matches!(
            node.regions.as_slice(),
            [Region { class: RegionClass::Understood { .. }, .. }]
        );
        if !one || artifact.entry == EntryKind::Image {
            artifact.regions = node.regions.clone();
        }
        if !node.parts.is_empty() {
            inside = Inside::Content(cell.clone());
        }
    }
    artifact.problems = problems;
    (artifact, content.digest, inside)
}

fn children(locator: &Locator, inside: &Inside) -> Vec<Child> {
    match inside {
        Inside::Nothing => Vec::new(),
        Inside::Content(cell) => {
            let parts = cell.get().map_or(&[][..], |n| &n.parts);
            parts
                .iter()
                .enumerate()
                .flat_map(|(i, part)| part_children(locator, cell, i, part))
                .collect()
        }
        Inside::Slots(cell, part) => {
            let part = cell.get().and_then(|n| n.parts.get(*part));
            slots(locator, part.map_or(&[][..], |p| p.body.slots()))
        }
    }
}

/// The artifact of a region or gap; the entries themselves where there is no region around them.
fn part_children(locator: &Locator, cell: &Cell, index: usize, part: &Part) -> Vec<Child> {
    let digest = part.digest.get().copied();
    let artifact = |locator, entry| Artifact {
        locator,
        parent: None,
        entry,
        format: "data".into(),
        size: part.end.saturating_sub(part.start) as u64,
        sha256: digest,
        metadata: Metadata::default(),
        proof: None,
        regions: Vec::new(),
        rejected: Vec::new(),
        problems: Vec::new(),
        attributes: BTreeMap::new(),
    };
    match &part.body {
        Body::Bare(entries) => slots(locator, entries),
        Body::Gap(class) => {
            let locator = locator.at(part.start as u64, part.end as u64);
            let format = match class {
                RegionClass::Padding { .. } => "padding",
                RegionClass::Opaque { looks: Opaque::Text, .. } => "text",
                _ => "data",
            };
            let region = Region {
                offset: 0,
                length: part.end.saturating_sub(part.start) as u64,
                class: class.clone(),
            };
            let gap = artifact(locator, EntryKind::Gap);
            vec![(
                Artifact { format: format.into(), regions: vec![region], ..gap },
                digest,
                Inside::Nothing,
            )]
        }
        Body::Region { format, proof, problems, attributes, .. } => {
            let region =
                artifact(locator.join(Step::region(part.start as u64, *format)), EntryKind::Region);
            vec![(
                Artifact {
                    format: (*format).to_owned(),
                    proof: Some(*proof),
                    problems: problems.clone(),
                    attributes: attributes.clone(),
                    ..region
                },
                digest,
                Inside::Slots(cell.clone(), index),
            )]
        }
    }
}

fn slots(locator: &Locator, slots: &[Slot]) -> Vec<Child> {
    let mut order: Vec<&Slot> = slots.iter().collect();
    order.sort_by(|a, b| (&a.path, a.ordinal).cmp(&(&b.path, b.ordinal)));
    order
        .into_iter()
        .map(|slot| {
            let late;
            let content = match slot.content.get() {
                Some(c) => Some(content_view(c)),
                None if slot.pending => {
                    late = Content::unread(
                        slot.size,
                        vec![Problem::new(
                            ProblemKind::Budget,
                            "the time for this image was used up before this was read",
                        )],
                    );
                    return draft_content(
                        locator.join(slot.step()),
                        slot.kind.clone(),
                        slot.metadata.clone(),
                        slot.problems.clone(),
                        Some(content_view(&late)),
                    );
                }
                None => None,
            };
            draft_content(
                locator.join(slot.step()),
                slot.kind.clone(),
                slot.metadata.clone(),
                slot.problems.clone(),
                content,
            )
        })
        .collect()
}

/// Opaque regions smaller than this are in the sums only.
const LISTED: u64 = 64;
const LISTED_AT_MOST: usize = 100;

/// The account of bytes. The image's own regions are the sum; for a folder, those of its files.
fn coverage(artifacts: &[Artifact], total: u64) -> Coverage {
    let mut c = Coverage { total, ..Coverage::default() };
    let folder = artifacts.first().is_some_and(|a| a.format == FOLDER);
    let image = ArtifactId(0);
    for (i, a) in artifacts.iter().enumerate() {
        if !a.problems.is_empty() {
            c.artifacts_with_problems = c.artifacts_with_problems.saturating_add(1);
        }
        // Gaps are listed with the content they are gaps of.
        if matches!(a.entry, EntryKind::Gap) && a.locator.range.is_some() {
            continue;
        }
        // The bytes of pieces are those of the whole.
        if a.format == split::PIECE {
            continue;
        }
        let outermost = if folder { a.parent == Some(image) } else { i == 0 };
        let mut seen = 0_u64;
        for r in &a.regions {
            seen = seen.saturating_add(r.length);
            let RegionClass::Opaque { looks, .. } = &r.class else {
                if outermost {
                    let sum = match r.class {
                        RegionClass::Padding { .. } => &mut c.padding,
                        _ => &mut c.understood,
                    };
                    *sum = sum.saturating_add(r.length);
                }
                continue;
            };
            let sum = if outermost { &mut c.opaque } else { &mut c.opaque_inside };
            *sum = sum.saturating_add(r.length);
            if r.length >= LISTED {
                let whole = r.offset == 0 && r.length == a.size;
                let locator = if whole {
                    a.locator.clone()
                } else {
                    a.locator.at(r.offset, r.offset.saturating_add(r.length))
                };
                c.opaque_regions.push(Extent { locator, length: r.length, looks: *looks });
            }
        }
        // A file of one known format lists no regions; one that could not be read is opaque.
        let rest = a.size.saturating_sub(seen);
        let unread = a.sha256.is_none() && a.regions.is_empty() && a.format == "data";
        let sum = match (outermost, unread) {
            (true, false) => &mut c.understood,
            (true, true) => &mut c.opaque,
            (false, true) => &mut c.opaque_inside,
            (false, false) => continue,
        };
        *sum = sum.saturating_add(rest);
    }
    c.opaque_regions
        .sort_by(|a, b| (Reverse(a.length), &a.locator).cmp(&(Reverse(b.length), &b.locator)));
    c.opaque_regions.truncate(LISTED_AT_MOST);
    c
}

/// Format of an image that is a folder.
pub(crate) const FOLDER: &str = "folder";
