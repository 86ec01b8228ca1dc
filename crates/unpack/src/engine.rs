//! From an input to a tree of artifacts.
//!
//! Each content is a task: load, hash, scan, choose the cover, open what won,
//! start a task for each entry that has content. Tasks never wait for each
//! other; what a content holds is filled into its node, and the list of
//! artifacts is made of the nodes at the end, so it does not depend on
//! who was first. Newest tasks run first, so that a container is finished
//! before the next one is decoded.
//!
//! Memory: a task whose content is large, or turns out to need much, is put off
//! and run when the others are done, few at a time.
//!
//! Budgets belong to one content or one container, and cut in the order of the container, so threads
//! do not matter. The sums over the whole image are only watched while working in parallel; the run in
//! which one of them is exceeded is thrown away and repeated on one thread, where
//! the order, and so the cut, is always the same.

mod open;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use proofmark_model::{
    Artifact, Coverage, Digest, EntryKind, Hashing, Locator, Metadata, Problem, ProblemKind,
    RegionClass,
};

use crate::{
    budget::Budget,
    examine::examine,
    folder,
    format::{Blob, Entry, Loaded, Sink},
    formats::archive::oci,
    input::{Input, Source},
    keys::Keyring,
    map::Holes,
    memory::Memory,
    options::{ContentInfo, Limits, Observer, Options, Progress},
    scan::Scanner,
    split,
    spool::Spool,
    tree::{self, Body, Cell, Content, FOLDER, Node, Part, Slot},
};

/// What was found in an image.
///
/// `artifacts[0]` is the image. Parents stand before children, children of one parent in the order of their
/// locators. The format of a content is that of the one region in it that a format read, if that region begins at
/// its first byte; `composite` where several regions or a later one were read; else `text`, `script`,
/// `empty` or `data`. An image that is a folder has the format `folder`.
///
/// A region that a container format read is an artifact, also where it is all of its parent's bytes; a
/// program that is all of a file is that file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// All artifacts.
    pub artifacts: Vec<Artifact>,
    /// For each artifact the digest of the bytes that [`Observer::content`] was given for it, also where they are
    /// not all of the content (then [`Artifact::sha256`] is none). None where there were no bytes.
    pub digests: Vec<Option<Digest>>,
    /// Account of all bytes of the image.
    pub coverage: Coverage,
}

/// Contents from this size on are worked on few at a time.
const LARGE: u64 = 64 << 20;
/// What a content that is not large may decode; one that needs more is put off.
const SMALL_OUTPUT: u64 = 256 << 20;
/// Large contents are worked on together up to this sum.
const TOGETHER: u64 = 512 << 20;
/// A container may always give this much, whatever its own size.
const ALWAYS: u64 = 64 << 20;
/// A content with more bytes in holes than this has no digest: hashing them would mean to make them up.
const HOLES_HASHED: usize = 4 << 30;
/// Least distance of marks in the digest of an image.
const MARK: usize = 1 << 20;
/// Gaps smaller than this are not handed to the observer.
const GAP_SHOWN: usize = 16;

/// Unpacks `input` as deep as it goes. Never fails: what could not be read is a problem on its artifact.
#[must_use]
pub fn unpack(input: Input, options: &Options, observer: &dyn Observer) -> Outcome {
    unpack_with(Scanner::all(), input, options, observer)
}

/// [`unpack`] with a choice of formats.
#[must_use]
pub fn unpack_with(
    scanner: &Scanner,
    input: Input,
    options: &Options,
    observer: &dyn Observer,
) -> Outcome {
    let deadline = options.limits.time.and_then(|t| Instant::now().checked_add(t));
    let new = |order| Run {
        scanner,
        holes: input.holes.clone(),
        limits: options.limits.clone(),
        keys: Arc::clone(&options.keys),
        spool: options.spool.clone(),
        observer,
        memory: Memory::new(observer, &options.limits, &options.keys),
        deadline,
        order,
        memo: Mutex::default(),
        marks: Mutex::default(),
        put_off: Mutex::default(),
        output: AtomicU64::new(0),
        entries: AtomicU64::new(0),
        exceeded: AtomicBool::new(false),
        bytes_done: AtomicU64::new(0),
        bytes_total: AtomicU64::new(0),
        artifacts: AtomicU64::new(0),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .thread_name(|i| format!("unpack-{i}"))
        .stack_size(8 << 20)
        .build();
    let mut found = None;
    if let Ok(pool) = pool {
        let run = new(Order::Any);
        let content = run.in_parallel(&input, &pool);
        found = (!run.exceeded.load(Ordering::Relaxed)).then_some(content);
    }
    let content = found.unwrap_or_else(|| new(Order::Fixed).in_order(&input));
    tree::assemble(input.name.clone(), content, input.metadata(), options.limits.entries)
}

/// Whether tasks run in an order that is the same each time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Any,
    Fixed,
}

struct Run<'a> {
    scanner: &'a Scanner,
    holes: Holes,
    limits: Limits,
    keys: Arc<Keyring>,
    spool: Option<Spool>,
    observer: &'a dyn Observer,
    memory: Memory<'a>,
    deadline: Option<Instant>,
    order: Order,
    /// What is in each content at each depth; at another depth another cut may apply.
    memo: Mutex<HashMap<(Digest, u32), Cell>>,
    /// Address of the image, and its digest in the making at some of its bytes: a region that begins where the image
    /// does is not hashed from the start again.
    marks: Mutex<(usize, Vec<(usize, Hashing)>)>,
    put_off: Mutex<Vec<Task>>,
    /// Bytes decoded and entries met so far.
    output: AtomicU64,
    entries: AtomicU64,
    exceeded: AtomicBool,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    artifacts: AtomicU64,
}

enum Task {
    /// Reads an entry of a container.
    Entry(Reading),
    /// Hashes and shows a region or gap that is an artifact of its own.
    Part { cell: Cell, part: usize, bytes: Bytes, locator: Locator },
}

/// An entry on its way.
struct Reading {
    /// The node that holds the slot.
    cell: Cell,
    part: usize,
    slot: usize,
    blob: Blob,
    /// The container.
    container: Arc<Locator>,
    /// Digest of the content around the container.
    around: Option<Digest>,
    depth: u32,
    large: bool,
    /// Whether it is a piece of another entry.
    piece: bool,
    /// Set where the node was announced before the task was put off.
    node: Option<Cell>,
}

/// What a content is at its place.
struct Place<'p> {
    locator: Locator,
    kind: &'p EntryKind,
    metadata: &'p Metadata,
    depth: u32,
}

/// The content needs more than a small one may have.
struct TooLarge;

type Spawn<'s> = &'s dyn Fn(Task);

impl Run<'_> {
    fn in_parallel(&self, input: &Input, pool: &rayon::ThreadPool) -> Content {
        fn go<'s>(run: &'s Run<'_>, scope: &rayon::Scope<'s>, task: Task) {
            run.task(task, &|t| scope.spawn(move |s| go(run, s, t)));
        }
        let digest = OnceLock::new();
        let mut content = pool.scope(|scope| {
            if let Source::Bytes(bytes) = &input.source {
                scope.spawn(|_| {
                    digest.get_or_init(|| self.digest_image(bytes));
                });
            }
            self.root(input, &|t| scope.spawn(move |s| go(self, s, t)))
        });
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                break;
            }
            pool.scope(|scope| {
                batch.into_iter().for_each(|t| scope.spawn(move |s| go(self, s, t)));
            });
        }
        self.show_root(input, &mut content, digest.into_inner().flatten());
        content
    }

    fn in_order(&self, input: &Input) -> Content {
        let stack = std::cell::RefCell::new(Vec::new());
        let push = |t| stack.borrow_mut().push(t);
        let mut content = self.root(input, &push);
        loop {
            let next = stack.borrow_mut().pop();
            let Some(task) = next else { break };
            self.task(task, &push);
        }
        let digest = match &input.source {
            Source::Bytes(bytes) => self.digest(bytes),
            Source::Folder(_) => None,
        };
        self.show_root(input, &mut content, digest);
        content
    }

    /// Tasks that were put off, the newest ones, together not too large.
    fn batch(&self) -> Vec<Task> {
        let mut put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        let mut sum = 0_u64;
        while let Some(task) = put_off.pop() {
            let size = match &task {
                Task::Entry(r) => r.blob.size().max(SMALL_OUTPUT),
                Task::Part { .. } => 0,
            };
            sum = sum.saturating_add(size);
            if sum > TOGETHER && !batch.is_empty() {
                put_off.push(task);
                break;
            }
            batch.push(task);
        }
        batch
    }

    fn digest(&self, bytes: &Bytes) -> Option<Digest> {
        if self.holes.bytes_in(bytes) > HOLES_HASHED {
            return None;
        }
        let (at, mut hashing) = self.mark(bytes).unwrap_or_default();
        let rest = bytes.get(at..).unwrap_or_default();
        self.holes.parts(rest).for_each(|part| hashing.update(part));
        Some(hashing.finish())
    }

    /// The last mark within a region that begins where the image does.
    fn mark(&self, bytes: &Bytes) -> Option<(usize, Hashing)> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let here = marks.0 == bytes.as_ptr() as usize;
        marks.1.iter().rev().find(|(at, _)| here && *at <= bytes.len()).cloned()
    }

    /// The digest of the image, with marks on the way.
    fn digest_image(&self, bytes: &Bytes) -> Option<Digest> {
        if self.holes.bytes_in(bytes) > HOLES_HASHED {
            return None;
        }
        let marks = || self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks().0 = bytes.as_ptr() as usize;
        let step = (bytes.len() / 64).max(MARK);
        let (mut hashing, mut at) = (Hashing::default(), 0_usize);
        for piece in self.holes.parts(bytes).flat_map(|part| part.chunks(step)) {
            hashing.update(piece);
            at = at.saturating_add(piece.len());
            if piece.len() == step {
                marks().1.push((at, hashing.clone()));
            }
        }
        Some(hashing.finish())
    }

    /// The image: never put off, and hashed beside.
    fn root(&self, input: &Input, spawn: Spawn<'_>) -> Content {
        let locator = Locator::image(input.name.clone());
        self.artifacts.fetch_add(1, Ordering::Relaxed);
        match &input.source {
            Source::Bytes(bytes) => {
                let size = bytes.len() as u64;
                self.bytes_total.fetch_add(size, Ordering::Relaxed);
                let cell = Cell::default();
                let budget = self.budget(size, true);
                let examined = examine(self.scanner, bytes, &self.holes, &budget);
                let format = examined.format.clone();
                // The image has no size limit of its own.
                if let Ok(opened) = self.open(bytes, None, &locator, 0, true, examined) {
                    self.start(&cell, opened, spawn);
                }
                self.progress(size);
                Content {
                    size,
                    digest: None,
                    whole: true,
                    format,
                    problems: Vec::new(),
                    node: Some(cell),
                }
            }
            Source::Folder(path) => {
                let budget = Budget::new(0, self.entries_left(), u64::MAX, self.deadline);
                let mut sink = Sink::new(&budget);
                folder::walk(path, &mut sink);
                oci::describe(&mut sink, &budget);
                let size = sink.entries.iter().map(|e| e.blob.size()).sum();
                self.count_entries(sink.entries.len());
                let cell = Cell::default();
                let mut opened = Opened::default();
                let container = Arc::new(locator);
                let slots =
                    self.slots(sink.entries, 0, &container, None, 0, u64::MAX, &mut opened.tasks);
                opened.node.problems = sink.problems;
                opened.node.attributes = sink.attributes;
                opened.node.parts.push(Part {
                    start: 0,
                    end: 0,
                    body: Body::Bare(slots),
                    digest: OnceLock::new(),
                });
                self.start(&cell, opened, spawn);
                Content {
                    size,
                    digest: None,
                    whole: true,
                    format: FOLDER.into(),
                    problems: Vec::new(),
                    node: Some(cell),
                }
            }
        }
    }

    fn show_root(&self, input: &Input, content: &mut Content, digest: Option<Digest>) {
        content.digest = digest;
        let (Source::Bytes(bytes), Some(digest)) = (&input.source, digest) else { return };
        // A region that is all of the image has the image's digest.
        if let Some(node) = content.node.as_ref().and_then(|c| c.get()) {
            let cut = |p: &Problem| p.kind == ProblemKind::Truncated;
            let cut = node.parts.iter().any(|part| part.body.problems().iter().any(cut));
            content.problems.extend(split::alone(&input.name, cut));
            for part in node.parts.iter().filter(|p| p.start == 0 && p.end == bytes.len()) {
                part.digest.get_or_init(|| digest);
            }
        }
        let locator = Locator::image(input.name.clone());
        self.show(
            digest,
            &content.format,
            &EntryKind::Image,
            &locator,
            &input.metadata(),
            true,
            bytes,
        );
    }

    fn task(&self, task: Task, spawn: Spawn<'_>) {
        // The run will be repeated in order.
        if self.order == Order::Any && self.exceeded.load(Ordering::Relaxed) {
            return;
        }
        match task {
            Task::Part { cell, part, bytes, locator } => self.part(&cell, part, &bytes, &locator),
            Task::Entry(reading) => self.entry(reading, spawn),
        }
    }

    fn part(&self, cell: &Cell, part: usize, bytes: &Bytes, locator: &Locator) {
        let Some(part) = cell.get().and_then(|n| n.parts.get(part)) else { return };
        let Some(digest) = self.digest(bytes) else { return };
        let digest = *part.digest.get_or_init(|| digest);
        let (format, kind) = match &part.body {
            Body::Region { format, .. } => (*format, EntryKind::Region),
            Body::Gap(RegionClass::Opaque { looks: proofmark_model::Opaque::Text, .. }) => {
                ("text", EntryKind::Gap)
            }
            _ => ("data", EntryKind::Gap),
        };
        self.show(digest, format, &kind, locator, &Metadata::default(), true, bytes);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of ContentInfo, and the bytes")]
    fn show(
        &self,
        digest: Digest,
        format: &str,
        entry: &EntryKind,
        locator: &Locator,
        metadata: &Metadata,
        whole: bool,
        bytes: &Bytes,
    ) {
        let info = ContentInfo { digest, format, entry, locator, metadata, whole };
        self.observer.content(&info, bytes);
    }

    fn entry(&self, mut reading: Reading, spawn: Spawn<'_>) {
        let declared = reading.blob.size();
        let lazy = matches!(reading.blob, Blob::Lazy(_));
        if self.order == Order::Any && lazy && declared >= LARGE && !reading.large {
            reading.large = true;
            return self.put_off(reading);
        }
        let holder = reading.cell.clone();
        let Some(slot) = holder
            .get()
            .and_then(|n| n.parts.get(reading.part))
            .and_then(|p| p.body.slots().get(reading.slot))
        else {
            return;
        };
        let large = reading.large || self.order == Order::Fixed;
        if self.deadline.is_some_and(|d| Instant::now() > d) {
            // The slot stays empty, which says it.
            return;
        }
        let left = self.limits.output.saturating_sub(self.output.load(Ordering::Relaxed));
        if self.order == Order::Fixed && lazy && declared > left {
            let problem = Problem::new(
                ProblemKind::Budget,
                "the budget of bytes decoded from this image is used up",
            );
            drop(slot.content.set(Content::unread(declared, vec![problem])));
            return;
        }
        let mut limit = self.limits.content;
        if self.order == Order::Fixed {
            limit = limit.min(left);
        } else if !large {
            limit = limit.min(SMALL_OUTPUT);
        }
        let remembers = declared <= limit && !reading.piece && self.observer.remembers();
        let key = if remembers { reading.blob.key() } else { None };
        if let Some(content) = key.and_then(|key| self.remembered(&key, declared, slot, &reading)) {
            self.progress(content.size);
            drop(slot.content.set(content));
            return;
        }
        let budget = self.grant(limit, self.limits.artifact_entries, declared);
        let loaded =
            catch_unwind(AssertUnwindSafe(|| reading.blob.load(&budget))).unwrap_or_else(|_| {
                Loaded {
                    bytes: Bytes::new(),
                    problems: vec![Problem::new(
                        ProblemKind::Malformed,
                        "internal error in decoding this entry; please report it",
                    )],
                }
            });
        if budget.output_was_refused() && !large && limit < self.limits.content {
            reading.large = true;
            return self.put_off(reading);
        }
        if lazy {
            self.count_output(loaded.bytes.len() as u64);
        }
        let place = Place {
            locator: reading.container.join(slot.step()),
            kind: &slot.kind,
            metadata: &slot.metadata,
            depth: reading.depth,
        };
        match self.content(loaded, declared, &place, &mut reading, large, spawn) {
            Ok(content) => {
                self.progress(content.size);
                if let (Some(key), Some(digest), true) = (key, content.digest, content.whole) {
                    self.memory.learn_content(&key, &digest);
                }
                drop(slot.content.set(content));
            }
            Err(TooLarge) => {
                reading.large = true;
                self.put_off(reading);
            }
        }
    }

    /// The content of an entry whose stored bytes an earlier run decoded, where that run found nothing inside and
    /// the observer has what it wants of it.
    fn remembered(
        &self,
        key: &Digest,
        size: u64,
        slot: &Slot,
        reading: &Reading,
    ) -> Option<Content> {
        let digest = self.memory.content(key)?;
        let leaf = self.memory.leaf(&digest)?;
        let output = leaf.output;
        let node = leaf.node();
        let locator = reading.container.join(slot.step());
        let info = ContentInfo {
            digest,
            format: &node.format,
            entry: &slot.kind,
            locator: &locator,
            metadata: &slot.metadata,
            whole: true,
        };
        if !self.observer.knows(&info) {
            return None;
        }
        self.count_output(size.saturating_add(output));
        let format = node.format.clone();
        let cell = Arc::new(OnceLock::from(node));
        let digest = Some(digest);
        Some(Content { size, digest, whole: true, format, problems: Vec::new(), node: Some(cell) })
    }

    fn put_off(&self, reading: Reading) {
        self.put_off.lock().unwrap_or_else(PoisonError::into_inner).push(Task::Entry(reading));
    }

    /// Fills the node and starts what follows from it, first things last: the newest task runs first.
    fn start(&self, cell: &Cell, opened: Opened, spawn: Spawn<'_>) {
        drop(cell.set(opened.node));
        for task in opened.tasks.into_iter().rev() {
            spawn(match task {
                Start::Entry(r) => Task::Entry(Reading { cell: cell.clone(), ..r }),
                Start::Part(part, bytes, locator) => {
                    Task::Part { cell: cell.clone(), part, bytes, locator }
                }
            });
        }
    }

    /// Budget of all probes of one content.
    fn budget(&self, size: u64, large: bool) -> Budget {
        let output = self.cap(size).min(self.limits.content);
        let output = if large { output } else { output.min(SMALL_OUTPUT) };
        self.grant(output, self.limits.artifact_entries, size)
    }

    /// What something of `size` bytes may use, with the keys and the spool of the run.
    fn grant(&self, output: u64, entries: u64, size: u64) -> Budget {
        Budget::new(output, entries, work(size), self.deadline)
            .with_keys(&self.keys)
            .with_spool(self.spool.as_ref())
    }

    /// [`container_output`], and in a run in order not more than is left.
    fn cap(&self, size: u64) -> u64 {
        let left = match self.order {
            Order::Any => u64::MAX,
            Order::Fixed => self.limits.output.saturating_sub(self.output.load(Ordering::Relaxed)),
        };
        container_output(&self.limits, size).min(left)
    }

    fn entries_left(&self) -> u64 {
        let left = match self.order {
            Order::Any => u64::MAX,
            Order::Fixed => {
                self.limits.entries.saturating_sub(self.entries.load(Ordering::Relaxed))
            }
        };
        self.limits.artifact_entries.min(left)
    }

    fn count_output(&self, n: u64) {
        if self.output.fetch_add(n, Ordering::Relaxed).saturating_add(n) > self.limits.output {
            self.exceeded.store(true, Ordering::Relaxed);
        }
    }

    fn count_entries(&self, n: usize) {
        let n = n as u64;
        self.artifacts.fetch_add(n, Ordering::Relaxed);
        if self.entries.fetch_add(n, Ordering::Relaxed).saturating_add(n) > self.limits.entries {
            self.exceeded.store(true, Ordering::Relaxed);
        }
    }

    fn progress(&self, bytes: u64) {
        let done = self.bytes_done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.observer.progress(Progress {
            bytes_done: done,
            bytes_total: self.bytes_total.load(Ordering::Relaxed).max(done),
            artifacts: self.artifacts.load(Ordering::Relaxed),
        });
    }
}

/// A node and the tasks that fill it further; they learn its cell when it is set.
#[derive(Default)]
struct Opened {
    node: Node,
    tasks: Vec<Start>,
    /// Bytes decoded while opening.
    output: u64,
}

enum Start {
    Entry(Reading),
    Part(usize, Bytes, Locator),
}

/// What may come out of a container of this size.
pub(crate) fn container_output(limits: &Limits, size: u64) -> u64 {
    size.saturating_mul(limits.ratio).max(ALWAYS).min(limits.artifact_output)
}

/// Steps that reading something of this size may take.
pub(crate) fn work(size: u64) -> u64 {
    size.saturating_mul(256).saturating_add(1 << 30)
}

/// Marks a path that would leave the container or that no file system can have; it stays as it is.
fn check_path(entry: &mut Entry) {
    let bad = entry.path.is_empty()
        || entry.path.contains(&0)
        || entry.path.split(|b| *b == b'/').any(|part| part == b".." || part.is_empty());
    if bad && !entry.problems.iter().any(|p| p.kind == ProblemKind::UnsafePath) {
        entry.problems.push(Problem::new(
            ProblemKind::UnsafePath,
            "the path is empty, absolute, has an empty part, `..` or a NUL; kept as it is, never followed",
        ));
    }
}

/// Each problem once, in the order of its first occurrence.
fn dedup(problems: &mut Vec<Problem>) {
    let mut seen = std::collections::BTreeSet::new();
    problems.retain(|p| seen.insert(p.clone()));
}
