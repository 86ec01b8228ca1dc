//! Extraction to disk, confined.
//!
//! Everything is written into a new folder beside the target, through a handle
//! of that folder and without following links, and takes the target's name when it is
//! complete: nothing half-written is left, and nothing outside is touched. Links
//! are made last, and only those that cannot lead out of their container.
//! Device nodes, owners, setuid bits and everything else that is not made
//! is in `manifest.json`.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use proofmark_model::{Artifact, Digest, EntryKind, Locator, Metadata, Problem, Step, locator};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use serde::Serialize;

use crate::{
    engine::{Outcome, unpack_with},
    format::is_leaf,
    input::Input,
    locate::locate_with,
    options::{ContentInfo, Observer, Options, Progress},
    scan::Scanner,
};

mod names;
mod plan;

pub use names::{Glob, on_disk};
use plan::{NodeId, Plan};

/// Name of the list of everything, in the folder extracted to.
pub const MANIFEST: &str = "manifest.json";

/// What was found and where it went.
#[derive(Debug, Clone, Serialize)]
pub struct Manifest {
    /// Name of the image.
    pub image: String,
    /// Every artifact that was asked for, in the order of the tree.
    pub artifacts: Vec<Record>,
}

/// One artifact.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Where it is in the image.
    pub locator: String,
    /// Where it is on disk, relative to the folder; none if it was not made.
    pub path: Option<String>,
    /// Why it was not made, or how it differs from the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// What it is.
    #[serde(flatten)]
    pub entry: EntryKind,
    /// Format id.
    pub format: String,
    /// Bytes.
    pub size: u64,
    /// Digest of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Mode with setuid bits, owner, times, extended attributes as in the image.
    pub metadata: Metadata,
    /// What went wrong in reading it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// What came of an extraction.
#[derive(Debug, Clone)]
pub struct Extracted {
    /// The tree.
    pub outcome: Outcome,
    /// What went where.
    pub manifest: Manifest,
    /// Files written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Why nothing was extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The folder has something in it.
    #[error("{0} is not empty; nothing is ever overwritten, so name a folder that is new or empty")]
    NotEmpty(PathBuf),
    /// Something could not be written.
    #[error("{path} could not be written: {error}")]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Extracts what `only` matches (everything, if there are no patterns) into the new or empty folder `to`.
/// A pattern is compared with the path of an entry and with the whole locator after the image's name.
///
/// # Errors
/// [`ExtractError`]; then `to` is as it was.
pub fn extract(
    input: &Input,
    options: &Options,
    to: &Path,
    only: &[Glob],
    observer: &dyn Observer,
) -> Result<Extracted, ExtractError> {
    extract_with(Scanner::all(), input, options, to, only, observer)
}

/// [`extract`] with a choice of formats.
///
/// # Errors
/// As [`extract`].
pub fn extract_with(
    scanner: &Scanner,
    input: &Input,
    options: &Options,
    to: &Path,
    only: &[Glob],
    observer: &dyn Observer,
) -> Result<Extracted, ExtractError> {
    let wrong = |error: io::Error| ExtractError::Write { path: to.to_owned(), error };
    if to.symlink_metadata().is_ok() && std::fs::read_dir(to).map_err(wrong)?.next().is_some() {
        return Err(ExtractError::NotEmpty(to.to_owned()));
    }
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let wrong = |error: io::Error| ExtractError::Write { path: unfinished.clone(), error };
    if let Some(parent) = to.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(wrong)?;
    }
    // Fails where it exists: another run is at work there, or was interrupted.
    std::fs::create_dir(&unfinished).map_err(wrong)?;
    let done = fill(scanner, input, options, &unfinished, only, observer)
        .and_then(|extracted| std::fs::rename(&unfinished, to).map(|()| extracted));
    done.map_err(|error| {
        // What could not be removed stays under a name that says what it is.
        drop(std::fs::remove_dir_all(&unfinished));
        wrong(error)
    })
}

/// Where contents wait for their names.
const STORE: &str = ".contents";

fn fill(
    scanner: &Scanner,
    input: &Input,
    options: &Options,
    folder: &Path,
    only: &[Glob],
    observer: &dyn Observer,
) -> io::Result<Extracted> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let top = Arc::new(rustix::fs::openat(CWD, folder, flags, Mode::empty())?);
    rustix::fs::mkdirat(&top, STORE, Mode::RWXU)?;
    let store = rustix::fs::openat(&top, STORE, flags, Mode::empty())?;
    let keeper = Keeper {
        scanner,
        store: &store,
        only,
        observer,
        kept: Mutex::default(),
        failed: Mutex::default(),
    };
    let outcome = unpack_with(scanner, input.clone(), options, &keeper);
    if let Some(error) = keeper.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let kept = keeper.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    let plan = Plan::new(scanner, &outcome.artifacts, MANIFEST);
    let mut writer = Writer {
        scanner,
        input,
        options,
        top: &top,
        store: &store,
        plan: &plan,
        kept: &kept,
        folders: BTreeMap::new(),
        placed: HashMap::new(),
        files: 0,
        bytes: 0,
    };
    let (places, making) = decide(&outcome, &plan, only);
    // The manifest says what is being made, and is taken back with it where that fails.
    let manifest = || -> io::Result<(Manifest, Vec<u8>)> {
        let artifacts = places.iter().filter_map(|place| place.record(&outcome, &plan)).collect();
        let manifest = Manifest { image: input.name.clone(), artifacts };
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        Ok((manifest, text))
    };
    let (made, written) = if options.jobs == 1 {
        (writer.all(&outcome, making), manifest())
    } else {
        std::thread::scope(|scope| {
            let making = scope.spawn(|| writer.all(&outcome, making));
            let written = manifest();
            let lost =
                |_| Err(io::Error::other("internal error in making files; please report it"));
            (making.join().unwrap_or_else(lost), written)
        })
    };
    made?;
    let (manifest, text) = written?;
    let (files, bytes) = (writer.files, writer.bytes);
    create(&top, MANIFEST, Mode::from(0o644))?.write_all(&text)?;
    std::fs::remove_dir_all(folder.join(STORE))?;
    Ok(Extracted { outcome, manifest, files, bytes })
}

/// An artifact of the manifest.
struct Placed {
    artifact: usize,
    node: Option<NodeId>,
    note: Option<&'static str>,
}

impl Placed {
    fn record(&self, outcome: &Outcome, plan: &Plan) -> Option<Record> {
        let a = outcome.artifacts.get(self.artifact)?;
        Some(Record {
            locator: a.locator.to_string(),
            path: self.node.map(|n| plan.path(n).join("/")),
            note: self.note,
            entry: a.entry.clone(),
            format: a.format.clone(),
            size: a.size,
            sha256: a.sha256,
            metadata: a.metadata.clone(),
            problems: a.problems.clone(),
        })
    }
}

/// One thing to make.
enum Make {
    Folder(NodeId),
    /// The content of an artifact.
    File(usize, Digest, NodeId),
    /// Another name of a file.
    HardLink(NodeId, NodeId),
    Symlink(NodeId, String),
}

/// What is to be made of the artifacts asked for, in the order of making: links come last, so that none is
/// there while anything else is written.
fn decide(outcome: &Outcome, plan: &Plan, only: &[Glob]) -> (Vec<Placed>, Vec<Make>) {
    let (mut places, mut making, mut links) = (Vec::new(), Vec::new(), Vec::new());
    // The first name of each path of each container, for hard links.
    let mut first: HashMap<(Option<u32>, Vec<u8>), NodeId> = HashMap::new();
    for (i, a) in outcome.artifacts.iter().enumerate() {
        if !wanted(only, a) {
            continue;
        }
        let node = plan.of_artifact.get(i).copied().flatten();
        let parent = a.parent.map(|p| p.0);
        let (node, note) = match (&a.entry, node) {
            (_, None) => (None, (a.entry == EntryKind::Gap).then_some("padding, not written")),
            (EntryKind::Directory, Some(n)) => {
                making.push(Make::Folder(n));
                (Some(n), None)
            }
            (EntryKind::Symlink { target }, Some(n)) => match plan.link(i, target) {
                Some(safe) => {
                    let note = (safe != *target).then_some("the link's target was made relative");
                    links.push(Make::Symlink(n, safe));
                    (Some(n), note)
                }
                None => (None, Some("a link that could lead out of its container, not made")),
            },
            (EntryKind::Hardlink { target }, Some(n)) => {
                match first.get(&(parent, locator::unescape(target))) {
                    Some(f) => {
                        making.push(Make::HardLink(*f, n));
                        (Some(n), None)
                    }
                    None => (None, Some("the first name of this file is not there, not made")),
                }
            }
            (EntryKind::File | EntryKind::Gap | EntryKind::Region | EntryKind::Image, Some(n)) => {
                match outcome.digests.get(i).copied().flatten() {
                    _ if plan.nodes.get(n).is_some_and(|n| n.folder) => {
                        making.push(Make::Folder(n));
                        (Some(n), None)
                    }
                    Some(digest) => {
                        making.push(Make::File(i, digest, n));
                        if let Some(Step::Entry { path, ordinal: 1 }) = a.locator.steps.last() {
                            first.insert((parent, path.clone()), n);
                        }
                        (Some(n), (a.sha256.is_none()).then_some("only a part could be read"))
                    }
                    None => (None, Some("nothing of it could be read")),
                }
            }
            _ => (None, Some("a special file, not made")),
        };
        places.push(Placed { artifact: i, node, note });
    }
    making.append(&mut links);
    (places, making)
}

/// Permissions and time that a file gets, as far as they are made: never setuid, and always such that the user can
/// read it and throw it away.
type Finish = (u32, Option<i64>);

fn finish(metadata: &Metadata) -> Finish {
    let mode = (metadata.mode.unwrap_or(0o644) & 0o777) | 0o600;
    (mode, metadata.mtime.filter(|t| *t >= 0))
}

fn times(time: Option<i64>) -> Timestamps {
    let (tv_sec, tv_nsec) = time.map_or((0, UTIME_NOW), |t| (t, 0));
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec, tv_nsec },
    }
}

fn wanted(only: &[Glob], a: &Artifact) -> bool {
    only.is_empty() || chosen(only, &a.locator)
}

fn chosen(only: &[Glob], locator: &Locator) -> bool {
    let whole: String = locator.steps.iter().map(ToString::to_string).collect();
    // What is inside a file has its path too, but was not asked for by it.
    let path = match (locator.steps.last(), locator.range) {
        (Some(Step::Entry { .. }), None) => locator.path(),
        _ => String::new(),
    };
    only.iter().any(|g| g.matches(&path) || g.matches(&whole))
}

/// Keeps contents by digest while the image is unpacked.
struct Keeper<'a> {
    scanner: &'a Scanner,
    store: &'a OwnedFd,
    only: &'a [Glob],
    observer: &'a dyn Observer,
    /// Contents kept, with permissions and time of the first entry that had them.
    kept: Mutex<HashMap<Digest, Finish>>,
    failed: Mutex<Option<io::Error>>,
}

impl Observer for Keeper<'_> {
    fn content(&self, info: &ContentInfo<'_>, bytes: &Bytes) {
        self.observer.content(info, bytes);
        // An image with something inside is a folder; a plain one is read again.
        let folder = match info.entry {
            EntryKind::Image => true,
            // A container is a folder too, and not written as a file.
            EntryKind::Region => !self.scanner.format(info.format).is_some_and(is_leaf),
            _ => false,
        };
        if folder || !(self.only.is_empty() || chosen(self.only, info.locator)) {
            return;
        }
        let (mode, time) = finish(info.metadata);
        match self.kept.lock().unwrap_or_else(PoisonError::into_inner).entry(info.digest) {
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => place.insert((mode, time)),
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return;
        }
        drop(failed);
        let written = || {
            let mut file = create(self.store, &info.digest.to_string(), Mode::from(0o644))?;
            file.write_all(bytes)?;
            rustix::fs::fchmod(&file, Mode::from(mode))?;
            if time.is_some() {
                // A time that the file system cannot hold is in the manifest all the same.
                let _ = rustix::fs::futimens(&file, &times(time));
            }
            Ok(())
        };
        if let Err(error) = written() {
            failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(error);
        }
    }

    fn progress(&self, progress: Progress) {
        self.observer.progress(progress);
    }
}

/// A new file in a folder.
fn create(folder: impl AsFd, name: &str, mode: Mode) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, mode).map(File::from)?)
}

struct Writer<'a> {
    scanner: &'a Scanner,
    input: &'a Input,
    options: &'a Options,
    top: &'a Arc<OwnedFd>,
    store: &'a OwnedFd,
    plan: &'a Plan,
    /// What [`Keeper`] kept.
    kept: &'a HashMap<Digest, Finish>,
    /// Folders made, by node; those of the last path stay open.
    folders: BTreeMap<NodeId, Arc<OwnedFd>>,
    /// Node that took each kept content.
    placed: HashMap<Digest, NodeId>,
    files: u64,
    bytes: u64,
}

/// Folder handles kept open at most.
const OPEN: usize = 128;

impl<'a> Writer<'a> {
    fn all(&mut self, outcome: &Outcome, making: Vec<Make>) -> io::Result<()> {
        for make in making {
            match make {
                Make::Folder(n) => drop(self.folder(n)?),
                Make::File(i, digest, n) => {
                    if let Some(a) = outcome.artifacts.get(i) {
                        self.file(a, digest, n)?;
                    }
                }
                Make::HardLink(first, n) => self.hard_link(first, n)?,
                Make::Symlink(n, target) => self.symlink(n, &target)?,
            }
        }
        Ok(())
    }

    /// A handle of the folder, which is made if it is not there yet.
    fn folder(&mut self, id: NodeId) -> io::Result<Arc<OwnedFd>> {
        if let Some(open) = self.folders.get(&id) {
            return Ok(open.clone());
        }
        let Some((parent, name)) =
            self.plan.nodes.get(id).and_then(|n| Some((n.parent?, n.name.as_str())))
        else {
            return Ok(self.top.clone());
        };
        let parent = self.folder(parent)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let open = Arc::new(rustix::fs::openat(&parent, name, flags, Mode::empty())?);
        if self.folders.len() >= OPEN {
            self.folders.clear();
        }
        self.folders.insert(id, open.clone());
        Ok(open)
    }

    /// The folder that it is in, and its name there.
    fn home(&mut self, id: NodeId) -> io::Result<(Arc<OwnedFd>, &'a str)> {
        let node = self.plan.nodes.get(id);
        let name = node.map(|n| n.name.as_str()).unwrap_or_default();
        Ok((self.folder(node.and_then(|n| n.parent).unwrap_or(0))?, name))
    }

    fn file(&mut self, a: &Artifact, digest: Digest, id: NodeId) -> io::Result<()> {
        let (home, name) = self.home(id)?;
        let (mode, time) = finish(&a.metadata);
        let bits = Mode::from(mode);
        // Permissions and time that it has already.
        let mut has = None;
        let source = match self.placed.get(&digest).copied() {
            Some(other) => Some(self.home(other)?),
            None => None,
        };
        match source {
            Some((from, from_name)) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut from =
                    File::from(rustix::fs::openat(from, from_name, flags, Mode::empty())?);
                io::copy(&mut from, &mut create(&home, name, bits)?)?;
            }
            None => match rustix::fs::renameat(self.store, digest.to_string(), &home, name) {
                Ok(()) => {
                    has = self.kept.get(&digest).copied();
                    self.placed.insert(digest, id);
                }
                // A content of a container that was opened elsewhere.
                Err(rustix::io::Errno::NOENT) => {
                    let found = locate_with(self.scanner, self.input, &a.locator, self.options)
                        .map_err(|e| io::Error::new(io::ErrorKind::NotFound, e))?;
                    create(&home, name, bits)?.write_all(&found.bytes)?;
                    self.placed.insert(digest, id);
                }
                Err(e) => return Err(e.into()),
            },
        }
        // A file that was just made: there are no links yet that could be followed.
        if has.is_none_or(|(m, _)| m != mode) {
            rustix::fs::chmodat(&home, name, bits, AtFlags::empty())?;
        }
        let had = has.and_then(|(_, t)| t);
        if had != time {
            // A time that the file system cannot hold is in the manifest all the same.
            let _ = rustix::fs::utimensat(&home, name, &times(time), AtFlags::empty());
        }
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(a.size);
        Ok(())
    }

    fn hard_link(&mut self, first: NodeId, id: NodeId) -> io::Result<()> {
        let (from, from_name) = self.home(first)?;
        let (to, name) = self.home(id)?;
        Ok(rustix::fs::linkat(from, from_name, to, name, AtFlags::empty())?)
    }

    fn symlink(&mut self, id: NodeId, target: &str) -> io::Result<()> {
        let (home, name) = self.home(id)?;
        Ok(rustix::fs::symlinkat(target, home, name)?)
    }
}
