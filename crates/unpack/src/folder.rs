//! The files of a folder as entries, with what the file system records about
//! them. Links are recorded, never followed; special files are never opened.

use std::{
    collections::HashMap,
    fs::File,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, locator};
use rustix::fs::{Mode, OFlags};

use crate::{
    budget::Budget,
    format::{Blob, Entry, Load, Loaded, Sink},
    map,
};

/// Puts every entry below `root` into `sink`, folders before what is in them.
pub(crate) fn walk(root: &Path, sink: &mut Sink<'_>) {
    let mut seen = HashMap::new();
    let mut folders = vec![(root.to_owned(), Vec::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let mut names: Vec<_> = match std::fs::read_dir(&folder) {
            Ok(entries) => entries.filter_map(|e| Some(e.ok()?.file_name())).collect(),
            Err(e) => {
                sink.problem(unreadable(&prefix, &e));
                continue;
            }
        };
        names.sort();
        let mut inner = Vec::new();
        for name in names {
            let mut path: Vec<u8> = prefix.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            let on_disk = folder.join(&name);
            let found = match std::fs::symlink_metadata(&on_disk) {
                Ok(found) => found,
                Err(e) => {
                    sink.problem(unreadable(&path, &e));
                    continue;
                }
            };
            if found.is_dir() {
                inner.push((on_disk.clone(), path.clone()));
            }
            if sink.entry(entry(path, on_disk, &found, &mut seen)).is_err() {
                return;
            }
        }
        folders.extend(inner.into_iter().rev());
    }
}

fn unreadable(path: &[u8], error: &std::io::Error) -> Problem {
    let path = if path.is_empty() { ".".to_owned() } else { locator::escape(path) };
    Problem::new(ProblemKind::Incomplete, format!("{path} could not be read: {error}"))
}

/// `seen` holds the first name of each file that has several.
fn entry(
    path: Vec<u8>,
    on_disk: PathBuf,
    found: &std::fs::Metadata,
    seen: &mut HashMap<(u64, u64), String>,
) -> Entry {
    let kind = found.file_type();
    let device = found.rdev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mut blob = Blob::None;
    let mut problems = Vec::new();
    let kind = if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_symlink() {
        let target = std::fs::read_link(&on_disk).unwrap_or_else(|e| {
            problems.push(unreadable(&path, &e));
            PathBuf::new()
        });
        EntryKind::Symlink { target: locator::escape(target.as_os_str().as_bytes()) }
    } else if kind.is_file() {
        let first = (found.nlink() > 1)
            .then(|| {
                let name = locator::escape(&path);
                let first = seen.entry((found.dev(), found.ino())).or_insert_with(|| name.clone());
                (*first != name).then(|| first.clone())
            })
            .flatten();
        match first {
            Some(target) => EntryKind::Hardlink { target },
            None => {
                blob = Blob::Lazy(Arc::new(OnDisk { path: on_disk, size: found.len() }));
                EntryKind::File
            }
        }
    } else if kind.is_char_device() {
        EntryKind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        EntryKind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        EntryKind::Fifo
    } else {
        EntryKind::Socket
    };
    let metadata = Metadata {
        mode: Some(found.mode() & 0o7777),
        uid: Some(found.uid()),
        gid: Some(found.gid()),
        mtime: Some(found.mtime()),
        xattrs: Vec::new(),
    };
    Entry { path, kind, metadata, blob, problems }
}

/// A file that is mapped when asked for.
struct OnDisk {
    path: PathBuf,
    size: u64,
}

impl Load for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, _: &Budget) -> Loaded {
        // Not through a link that took the file's place meanwhile, and without waiting on a pipe that did.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.path, flags, Mode::empty())
            .map(File::from)
            .map_err(std::io::Error::from)
            .and_then(|file| map::map(&file));
        match opened {
            Ok(bytes) => Loaded { bytes, problems: Vec::new() },
            Err(e) => Loaded {
                bytes: Bytes::new(),
                problems: vec![Problem::new(
                    ProblemKind::Incomplete,
                    format!("the file could not be read: {e}"),
                )],
            },
        }
    }
}
