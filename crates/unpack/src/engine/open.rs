//! What is in one content: its claims, its cover, its regions opened, a task for each entry.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, PoisonError, atomic::Ordering},
};

use bytes::Bytes;
use proofmark_model::{Digest, EntryKind, Locator, Problem, ProblemKind, RegionClass, Step};

use super::{
    Cell, Content, GAP_SHOWN, Opened, Order, Place, Reading, Run, SMALL_OUTPUT, Spawn, Start,
    TooLarge, check_path, dedup,
};
use crate::{
    examine::{Examined, Found, examine},
    format::{Blob, Entry, Loaded, Sink},
    memory::Leaf,
    scan::internal,
    split,
    tree::{Body, Node, Part, Slot},
};

/// Contents from this size on are examined beside hashing.
const BESIDE: usize = 4 << 20;

impl Run<'_> {
    /// A content that was read: hashed, known already or examined and opened.
    pub(super) fn content(
        &self,
        loaded: Loaded,
        declared: u64,
        place: &Place<'_>,
        reading: &mut Reading,
        large: bool,
        spawn: Spawn<'_>,
    ) -> Result<Content, TooLarge> {
        let Loaded { bytes, mut problems } = loaded;
        let size = bytes.len() as u64;
        if problems.is_empty() && size != declared {
            problems.push(Problem::new(
                ProblemKind::Incomplete,
                format!("{declared} bytes are declared, {size} were found"),
            ));
        }
        let whole = problems.is_empty();
        if bytes.is_empty() && !whole {
            return Ok(Content::unread(declared, problems));
        }
        let examined = |large| {
            let budget = self.budget(size, large);
            let examined = examine(self.scanner, &bytes, &self.holes, &budget);
            if budget.output_was_refused() && !large { Err(TooLarge) } else { Ok(examined) }
        };
        // A long content is examined while it is hashed: there may be no other work for a second thread.
        let beside = bytes.len() >= BESIDE
            && self.order == Order::Any
            && !reading.piece
            && !self.observer.remembers();
        let (digest, ahead) = if beside {
            let (digest, examined) = rayon::join(|| self.digest(&bytes), || examined(large));
            (digest, Some(examined))
        } else {
            (self.digest(&bytes), None)
        };
        let mut content =
            Content { size, digest, whole, format: "data".into(), problems, node: None };
        // What is in it is found in the whole.
        if reading.piece {
            content.format = split::PIECE.into();
            return Ok(content);
        }
        let show = |content: &Content| {
            if let Some(digest) = digest {
                self.show(
                    digest,
                    &content.format,
                    place.kind,
                    &place.locator,
                    place.metadata,
                    whole,
                    &bytes,
                );
            }
        };
        if digest.is_some() && digest == reading.around {
            content.format = examined(true)?.format;
            content.problems.push(Problem::new(
                ProblemKind::Malformed,
                "equal to the content that holds it; not opened again",
            ));
            show(&content);
            return Ok(content);
        }
        let (cell, mine) = match (reading.node.take(), digest) {
            (Some(cell), _) => (cell, true),
            (None, Some(digest)) => self.remember(digest, place.depth),
            (None, None) => (Cell::default(), true),
        };
        content.node = Some(cell.clone());
        if !mine {
            content.format = match cell.get() {
                Some(node) => node.format.clone(),
                // Somebody is at it, or has put it off. Waiting for it could be waiting for oneself.
                None => examined(true)?.format,
            };
            show(&content);
            return Ok(content);
        }
        if let Some(leaf) = digest.filter(|_| whole).and_then(|d| self.memory.leaf(&d)) {
            self.count_output(leaf.output);
            let node = leaf.node();
            content.format = node.format.clone();
            drop(cell.set(node));
            show(&content);
            return Ok(content);
        }
        let opened = ahead.unwrap_or_else(|| examined(large)).and_then(|examined| {
            content.format = examined.format.clone();
            self.open(&bytes, digest, &place.locator, place.depth, large, examined)
        });
        let Ok(opened) = opened else {
            reading.node = Some(cell);
            return Err(TooLarge);
        };
        if let (Some(digest), true) = (digest, whole)
            && let Some(leaf) = Leaf::of(&opened.node, opened.output)
        {
            self.memory.learn_leaf(&digest, &leaf);
        }
        self.start(&cell, opened, spawn);
        show(&content);
        Ok(content)
    }

    /// The node of a content, and whether the caller is to fill it.
    fn remember(&self, digest: Digest, depth: u32) -> (Cell, bool) {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        match memo.entry((digest, depth)) {
            std::collections::hash_map::Entry::Occupied(e) => (e.get().clone(), false),
            std::collections::hash_map::Entry::Vacant(e) => {
                (e.insert(Cell::default()).clone(), true)
            }
        }
    }

    /// Opens the regions of a content.
    pub(super) fn open(
        &self,
        bytes: &Bytes,
        digest: Option<Digest>,
        locator: &Locator,
        depth: u32,
        large: bool,
        examined: Examined,
    ) -> Result<Opened, TooLarge> {
        let mut opened = Opened {
            node: Node {
                format: examined.format,
                regions: examined.regions,
                rejected: examined.rejected,
                problems: examined.problems,
                ..Node::default()
            },
            ..Opened::default()
        };
        let composed = !examined.found.is_empty();
        for found in examined.found {
            self.open_region(bytes, digest, locator, depth, large, found, &mut opened)?;
        }
        // Gaps beside something recognised are artifacts; a content without anything recognised is its own gap.
        if composed {
            for region in &opened.node.regions {
                let start = usize::try_from(region.offset).unwrap_or(usize::MAX);
                let end =
                    start.saturating_add(usize::try_from(region.length).unwrap_or(usize::MAX));
                if matches!(region.class, RegionClass::Understood { .. }) {
                    continue;
                }
                let index = opened.node.parts.len();
                let opaque = matches!(region.class, RegionClass::Opaque { .. });
                if opaque && end.saturating_sub(start) >= GAP_SHOWN {
                    let locator = locator.at(start as u64, end as u64);
                    opened.tasks.push(Start::Part(index, bytes.slice(start..end), locator));
                }
                opened.node.parts.push(Part {
                    start,
                    end,
                    body: Body::Gap(region.class.clone()),
                    digest: OnceLock::new(),
                });
            }
        }
        let order = &mut opened.node.parts;
        let mut moved: Vec<usize> = (0..order.len()).collect();
        moved.sort_by_key(|i| order.get(*i).map(|p| p.start));
        let mut place = vec![0; moved.len()];
        moved.iter().enumerate().for_each(|(new, old)| {
            if let Some(p) = place.get_mut(*old) {
                *p = new;
            }
        });
        order.sort_by_key(|p| p.start);
        for task in &mut opened.tasks {
            let part = match task {
                Start::Part(part, ..) => part,
                Start::Entry(r) => &mut r.part,
            };
            *part = place.get(*part).copied().unwrap_or(*part);
        }
        Ok(opened)
    }

    #[allow(clippy::too_many_arguments, reason = "one caller; a region of a content at a place")]
    fn open_region(
        &self,
        bytes: &Bytes,
        digest: Option<Digest>,
        locator: &Locator,
        depth: u32,
        large: bool,
        found: Found,
        opened: &mut Opened,
    ) -> Result<(), TooLarge> {
        let id = found.format.about().id;
        let region = bytes.slice(found.start..found.end);
        let whole = region.len() == bytes.len();
        let leaf = found.is_leaf();
        let size = region.len() as u64;
        let cap = self.cap(size);
        let initial = if large { cap } else { cap.min(SMALL_OUTPUT) };
        let budget = self.grant(initial, self.entries_left(), size);
        let mut sink = Sink::new(&budget);
        if depth < self.limits.depth || leaf {
            let open =
                AssertUnwindSafe(|| found.format.open(&region, found.decoded, &budget, &mut sink));
            if catch_unwind(open).is_err() {
                sink.problem(internal(found.format));
            }
        } else {
            sink.problem(Problem::new(
                ProblemKind::Budget,
                format!("{depth} contents inside contents; what is in this one was not opened"),
            ));
        }
        if budget.output_was_refused() && initial < cap {
            return Err(TooLarge);
        }
        let output = initial.saturating_sub(budget.output_left());
        opened.output = opened.output.saturating_add(output);
        self.count_output(output);
        self.count_entries(sink.entries.len());
        let Sink { entries, problems, attributes, .. } = sink;
        let mut problems: Vec<_> = found.problems.into_iter().chain(problems).collect();
        dedup(&mut problems);
        // A kernel is a program with something inside.
        if leaf && whole && entries.is_empty() {
            opened.node.problems.extend(problems);
            opened.node.proof = Some(found.proof);
            opened.node.attributes = attributes;
            return Ok(());
        }
        let part = opened.node.parts.len();
        let container = Arc::new(locator.join(Step::region(found.start as u64, id)));
        let around = if whole { digest } else { None };
        let slots = self.slots(entries, part, &container, around, depth, cap, &mut opened.tasks);
        let own = OnceLock::new();
        if whole {
            if let Some(digest) = digest {
                own.get_or_init(|| digest);
            }
        } else {
            opened.tasks.push(Start::Part(part, region, Locator::clone(&container)));
        }
        opened.node.parts.push(Part {
            start: found.start,
            end: found.end,
            body: Body::Region { format: id, proof: found.proof, problems, attributes, slots },
            digest: own,
        });
        Ok(())
    }

    /// Slots for entries, and a task for each that has content.
    #[allow(clippy::too_many_arguments, reason = "what a container is, and where its tasks go")]
    pub(super) fn slots(
        &self,
        mut entries: Vec<Entry>,
        part: usize,
        container: &Arc<Locator>,
        around: Option<Digest>,
        depth: u32,
        cap: u64,
        tasks: &mut Vec<Start>,
    ) -> Vec<Slot> {
        let pieces = split::join(&mut entries);
        let mut times: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut sum = 0_u64;
        entries
            .into_iter()
            .enumerate()
            .map(|(index, mut entry)| {
                let ordinal = times.entry(entry.path.clone()).or_insert(0);
                *ordinal = ordinal.saturating_add(1);
                check_path(&mut entry);
                let size = entry.blob.size();
                if matches!(entry.blob, Blob::Lazy(_)) {
                    sum = sum.saturating_add(size);
                    if sum > cap || size > self.limits.content {
                        entry.problems.push(Problem::new(
                            ProblemKind::Budget,
                            format!("{size} bytes are more than the budget of its container has left; not read"),
                        ));
                        sum = sum.saturating_sub(size);
                    }
                }
                let cut = entry.problems.iter().any(|p| p.kind == ProblemKind::Budget);
                let file = matches!(entry.kind, EntryKind::File | EntryKind::Gap | EntryKind::Region);
                // A file of no bytes has content too, unless something says that its content was lost.
                let lost = matches!(entry.blob, Blob::None) && !entry.problems.is_empty();
                let read = file && !cut && !lost;
                let content = OnceLock::new();
                if read {
                    self.bytes_total.fetch_add(size, Ordering::Relaxed);
                    tasks.push(Start::Entry(Reading {
                        cell: Cell::default(),
                        part,
                        slot: index,
                        blob: entry.blob,
                        container: container.clone(),
                        around,
                        depth: depth.saturating_add(1),
                        large: false,
                        piece: pieces.contains(&index),
                        node: None,
                    }));
                } else if file {
                    drop(content.set(Content::unread(size, Vec::new())));
                }
                Slot {
                    path: entry.path,
                    ordinal: *ordinal,
                    kind: entry.kind,
                    metadata: entry.metadata,
                    problems: entry.problems,
                    size,
                    content,
                    pending: read,
                }
            })
            .collect()
    }
}
