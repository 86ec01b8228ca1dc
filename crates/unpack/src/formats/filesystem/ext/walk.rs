//! From the root folder to every entry.

use std::collections::HashSet;

use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, locator::escape};

use super::{Fs, Inode, feature, journal};
use crate::{
    budget::Budget,
    format::{Blob, Entry, Sink},
    formats::filesystem::common::{self, Links, MAX_DEPTH, ftype},
    read::{self, le16, le32},
};

const ROOT: u32 = 2;

pub(super) fn walk(mut fs: Fs, budget: &Budget, sink: &mut Sink<'_>) {
    describe(&fs, sink);
    if journal::is_needed(&fs) {
        let replay = journal::read(&fs, budget, &mut sink.problems);
        sink.attribute("journal", format!("{} transactions laid over", replay.transactions));
        fs.overlay = replay;
    }
    let fs = &fs;
    let (wrong, used) = fs.check_groups();
    if wrong > 0 {
        let text =
            format!("{wrong} group descriptors are cut off or their checksum does not match");
        sink.problem(Problem::new(ProblemKind::Checksum, text));
    }
    let mut links = Links::default();
    let mut seen = HashSet::from([ROOT]);
    let mut queue = vec![(Vec::new(), ROOT, 0)];
    'walk: while let Some((path, number, depth)) = queue.pop() {
        let Some(folder) = fs.inode(number) else {
            sink.problem(common::malformed(format!(
                "folder `{}` has no readable inode",
                escape(&path)
            )));
            continue;
        };
        let mut problems = Vec::new();
        let names = names(fs, &folder, budget, &mut problems);
        for problem in problems {
            sink.problem(Problem {
                message: format!("folder `{}`: {}", escape(&path), problem.message),
                ..problem
            });
        }
        let mut below = Vec::new();
        for (number, name) in names {
            let path = common::join(&path, &name);
            let Some(inode) = fs.inode(number) else {
                sink.problem(common::malformed(format!(
                    "the inode of `{}` is not readable",
                    escape(&path)
                )));
                continue;
            };
            let mut entry = make(fs, &inode, path, budget);
            entry.problems.extend(common::check_name(&name));
            if entry.kind == EntryKind::Directory {
                if depth >= MAX_DEPTH || !seen.insert(number) {
                    entry
                        .problems
                        .push(common::malformed("the folder contains itself or is too deep"));
                } else {
                    below.push((entry.path.clone(), number, depth.saturating_add(1)));
                }
            } else if let Some(link) = links.first(number.into(), &entry.path) {
                entry.kind = link;
                entry.blob = Blob::None;
            }
            if sink.entry(entry).is_err() {
                break 'walk;
            }
        }
        queue.extend(below.into_iter().rev());
    }
    // Files that are gone but were still open are in use and have no name.
    let orphans = fs.superblock().and_then(|sb| le32(sb, 0xe8)).unwrap_or(0) != 0;
    if !orphans {
        // The inodes below the first free one are the file system's own, among them the root folder.
        let own = u64::from(fs.first_inode).saturating_sub(2);
        let found = links.len().saturating_add(seen.len() as u64);
        common::incomplete(sink, "inodes", found, used.saturating_sub(own));
    }
}

fn describe(fs: &Fs, sink: &mut Sink<'_>) {
    sink.attribute("block-size", fs.block_size);
    let b = fs.image.get(1024..2048).unwrap_or_default();
    let label = read::until_nul(b.get(120..136).unwrap_or_default());
    if !label.is_empty() {
        sink.attribute("label", escape(label));
    }
    let journal = fs.compat & feature::JOURNAL != 0;
    let extents = fs.incompat & 0x40 != 0;
    sink.attribute(
        "version",
        if extents {
            "ext4"
        } else if journal {
            "ext3"
        } else {
            "ext2"
        },
    );
    if let Some(created) = le32(b, 0x108).filter(|t| *t != 0) {
        sink.attribute("created", created);
    }
    if let Some(right) = fs.checksum_right() {
        sink.attribute("checksum-correct", if right { "yes" } else { "no" });
        if !right {
            let text = "the checksum of the superblock does not match";
            sink.problem(Problem::new(ProblemKind::Checksum, text).at(1024));
        }
    }
}

/// The entry of an inode.
fn make(fs: &Fs, inode: &Inode, path: Vec<u8>, budget: &Budget) -> Entry {
    let mut problems = Vec::new();
    if inode.checksum_right == Some(false) {
        let text = format!("the checksum of inode {} does not match", inode.number);
        problems.push(Problem::new(ProblemKind::Checksum, text));
    }
    let metadata = Metadata {
        mode: Some(inode.mode & 0o7777),
        uid: Some(inode.uid),
        gid: Some(inode.gid),
        mtime: Some(inode.mtime),
        xattrs: inode.xattrs(fs, budget, &mut problems),
    };
    let mut blob = Blob::None;
    let mut target = Vec::new();
    match inode.mode >> 12 {
        _ if inode.is_encrypted() => {
            problems
                .push(Problem::new(ProblemKind::Encrypted, "encrypted by the file system, no key"));
        }
        ftype::FILE => {
            blob = match inode.inline(fs) {
                Some(bytes) => Blob::Bytes(bytes.into()),
                None => {
                    common::content(&fs.image, inode.size, inode.runs(fs, budget, &mut problems))
                }
            }
        }
        ftype::LINK => target = link(fs, inode, budget, &mut problems),
        _ => {}
    }
    let kind = common::kind(inode.mode, inode.device(), &target).unwrap_or_else(|| {
        problems.push(common::malformed(format!("unknown file type in mode {:o}", inode.mode)));
        EntryKind::File
    });
    Entry { path, kind, metadata, blob, problems }
}

fn link(fs: &Fs, inode: &Inode, budget: &Budget, problems: &mut Vec<Problem>) -> Vec<u8> {
    if let Some(target) = inode.inline(fs) {
        return target;
    }
    let runs = inode.runs(fs, budget, problems);
    let loaded = common::content(&fs.image, inode.size.min(fs.block_size), runs).load(budget);
    problems.extend(loaded.problems);
    loaded.bytes.to_vec()
}

/// The names in a folder, without `.` and `..`.
fn names(
    fs: &Fs,
    folder: &Inode,
    budget: &Budget,
    problems: &mut Vec<Problem>,
) -> Vec<(u32, Vec<u8>)> {
    let mut names = Vec::new();
    if let Some(inline) = folder.inline(fs) {
        // The number of the parent, entries in the inode, entries in the attribute behind it.
        let split = inline.len().min(60);
        let parts = [inline.get(4..split), inline.get(split..)];
        for part in parts.into_iter().flatten() {
            block(fs, part, &mut names, problems);
        }
        return names;
    }
    for run in folder.runs(fs, budget, problems) {
        let at = read::index(run.image).unwrap_or(usize::MAX);
        let len = run.len.min(folder.size.saturating_sub(run.file));
        let bytes = at
            .checked_add(read::index(len).unwrap_or(usize::MAX))
            .and_then(|end| fs.image.get(at..end));
        let Some(bytes) = bytes else {
            problems.push(Problem::new(
                ProblemKind::Truncated,
                "its list lies behind the end of the image",
            ));
            continue;
        };
        if let Err(e) = budget.work(len) {
            problems.push(e.into());
            break;
        }
        for one in bytes.chunks(read::index(fs.block_size).unwrap_or(usize::MAX).max(1)) {
            block(fs, one, &mut names, problems);
        }
    }
    names
}

/// The names in one block.
fn block(fs: &Fs, b: &[u8], names: &mut Vec<(u32, Vec<u8>)>, problems: &mut Vec<Problem>) {
    let typed = fs.incompat & feature::FILETYPE != 0;
    let mut at = 0usize;
    while at < b.len() {
        let mut one = || {
            let (number, len) = (le32(b, at)?, usize::from(le16(b, at.checked_add(4)?)?));
            // 65536 does not fit and is written as 0 or 65535.
            let len = if len == 0 || len == 0xffff { b.len().checked_sub(at)? } else { len };
            let field = at.checked_add(6)?;
            let name_len = if typed { read::u8(b, field)?.into() } else { le16(b, field)?.into() };
            let end = at.checked_add(len)?;
            if len < 8 || end > b.len() {
                return None;
            }
            if number != 0 {
                let name = read::slice(b, at.checked_add(8)?, name_len)?;
                if name != b"." && name != b".." {
                    names.push((number, name.to_vec()));
                }
            }
            Some(end)
        };
        match one() {
            Some(next) => at = next,
            None => {
                problems.push(common::malformed("an entry of its list is not readable"));
                return;
            }
        }
    }
}
