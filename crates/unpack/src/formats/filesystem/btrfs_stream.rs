//! Btrfs send streams: the commands that make a snapshot, replayed in memory.
//!
//! *Establishes*: paths, contents, links, modes, owners, times and extended attributes after the last command.
//! *How*: commands are applied in their order to a tree of paths; contents are runs of the stream itself. *Integrity*: the
//! CRC-32C of every command, and the end command. *Limits*: compressed writes of version 2 and clones from other snapshots
//! are typed problems on their files; what an incremental stream takes from its parent is not there.
//! *Sources*: `https://btrfs.readthedocs.io/en/latest/dev/dev-send-stream.html`.

use std::collections::BTreeMap;

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::common::{self, Run};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Format, Magic, Sink},
    formats::layout::about,
    read,
};

/// The format.
pub struct Stream;

static ABOUT: &About = about!(
    FileSystem,
    "btrfs-stream",
    "Btrfs send stream",
    "mode, owner, mtime, xattrs, device numbers, hard links",
    "crc32c of each command, end command",
    "compressed writes; clones from other snapshots; parents of incremental streams",
    "https://btrfs.readthedocs.io/en/latest/dev/dev-send-stream.html"
);

const HEADER: usize = 17;
const END: u16 = 21;

/// One command: its number, its attributes, and where the next begins.
struct Command<'d> {
    kind: u16,
    body: &'d [u8],
    at: usize,
    next: usize,
    right: bool,
}

fn command(data: &[u8], at: usize) -> Option<Command<'_>> {
    let head = read::slice(data, at, 10)?;
    let len = read::index(read::le32(head, 0)?.into())?;
    let start = at.checked_add(10)?;
    let body = read::slice(data, start, len)?;
    let crc = common::crc32c(common::crc32c(common::crc32c(0, head.get(..6)?), &[0; 4]), body);
    let right = crc == read::le32(head, 6)?;
    Some(Command {
        kind: read::le16(head, 4)?,
        body,
        at: start,
        next: start.checked_add(len)?,
        right,
    })
}

impl<'d> Command<'d> {
    /// The attribute of that type: where it is in the command, and its bytes.
    fn find(&self, wanted: u16) -> Option<(usize, &'d [u8])> {
        let mut at = 0_usize;
        while let Some(kind) = read::le16(self.body, at) {
            let value = at.checked_add(4)?;
            let len = usize::from(read::le16(self.body, at.checked_add(2)?)?);
            if kind == wanted {
                return Some((value, read::slice(self.body, value, len)?));
            }
            at = value.checked_add(len)?;
        }
        None
    }

    fn bytes(&self, wanted: u16) -> Option<&'d [u8]> {
        self.find(wanted).map(|(_, bytes)| bytes)
    }

    fn number(&self, wanted: u16) -> Option<u64> {
        read::le64(self.bytes(wanted)?, 0)
    }
}

/// Types of attributes.
mod attribute {
    pub const SIZE: u16 = 4;
    pub const MODE: u16 = 5;
    pub const UID: u16 = 6;
    pub const GID: u16 = 7;
    pub const RDEV: u16 = 8;
    pub const MTIME: u16 = 10;
    pub const XATTR_NAME: u16 = 13;
    pub const XATTR_DATA: u16 = 14;
    pub const PATH: u16 = 15;
    pub const PATH_TO: u16 = 16;
    pub const LINK: u16 = 17;
    pub const OFFSET: u16 = 18;
    pub const DATA: u16 = 19;
    pub const CLONE_PATH: u16 = 22;
    pub const CLONE_OFFSET: u16 = 23;
    pub const CLONE_LEN: u16 = 24;
}

#[derive(Clone)]
struct Node {
    kind: EntryKind,
    metadata: Metadata,
    size: u64,
    runs: Vec<Run>,
    problems: Vec<Problem>,
}

impl Format for Stream {
    fn about(&self) -> &'static About {
        ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const {
            &[
                Magic::anywhere(b"btrfs-stream\0\x01\0\0\0"),
                Magic::anywhere(b"btrfs-stream\0\x02\0\0\0"),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let stream = data.get(at..)?;
        let (mut next, mut right, mut ended, mut count) = (HEADER, true, false, 0_u64);
        while let Some(command) = command(stream, next) {
            budget.work(command.body.len() as u64).ok()?;
            // The first command must be right, or this is chance.
            if count == 0 && !command.right {
                return None;
            }
            right &= command.right;
            (next, count) = (command.next, count.saturating_add(1));
            if command.kind == END {
                ended = true;
                break;
            }
        }
        if count == 0 {
            return None;
        }
        let proof = if right { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut found = Candidate::new(at, next, proof);
        if !ended {
            found.problems.push(Problem::new(
                ProblemKind::Truncated,
                "the stream ends without its last command",
            ));
        }
        if !right {
            found.problems.push(Problem::new(
                ProblemKind::Checksum,
                "the crc32c of a command does not match",
            ));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let mut nodes: BTreeMap<Vec<u8>, Node> = BTreeMap::new();
        let mut next = HEADER;
        let mut unknown = 0_u64;
        while let Some(command) = command(region, next).filter(|c| c.kind != END) {
            next = command.next;
            if budget.work(64).is_err() {
                sink.problem(crate::budget::Exhausted::Work);
                break;
            }
            match command.kind {
                1 | 2 => {
                    let name = command.bytes(attribute::PATH).unwrap_or_default();
                    sink.attribute("label", String::from_utf8_lossy(name));
                    sink.attribute("incremental", if command.kind == 2 { "yes" } else { "no" });
                }
                _ => {
                    if apply(&command, &mut nodes, budget).is_none() {
                        unknown = unknown.saturating_add(1);
                    }
                }
            }
        }
        if unknown > 0 {
            let text = format!("{unknown} commands name paths or attributes that are not there");
            sink.problem(Problem::new(ProblemKind::Incomplete, text));
        }
        for (path, node) in nodes {
            let blob = if node.kind == EntryKind::File {
                common::content(region, node.size, node.runs)
            } else {
                Blob::None
            };
            let Node { kind, metadata, problems, .. } = node;
            if sink.entry(Entry { path, kind, metadata, blob, problems }).is_err() {
                return;
            }
        }
    }
}

/// Applies one command; nothing if what it names is not there.
fn apply(
    command: &Command<'_>,
    nodes: &mut BTreeMap<Vec<u8>, Node>,
    budget: &Budget,
) -> Option<()> {
    let own = command.bytes(attribute::PATH)?.to_vec();
    let device = || {
        let (major, minor) = common::device(u32::try_from(command.number(attribute::RDEV)?).ok()?);
        Some((major, minor))
    };
    let made = match command.kind {
        3 => Some(EntryKind::File),
        4 => Some(EntryKind::Directory),
        5 => {
            let mode = u32::try_from(command.number(attribute::MODE)?).ok()?;
            Some(common::kind(mode, device()?, b"")?)
        }
        6 => Some(EntryKind::Fifo),
        7 => Some(EntryKind::Socket),
        8 => Some(EntryKind::Symlink { target: escape(command.bytes(attribute::LINK)?) }),
        10 => Some(EntryKind::Hardlink { target: escape(command.bytes(attribute::LINK)?) }),
        _ => None,
    };
    if let Some(kind) = made {
        let node = Node {
            kind,
            metadata: Metadata::default(),
            size: 0,
            runs: Vec::new(),
            problems: Vec::new(),
        };
        nodes.insert(own, node);
        return Some(());
    }
    match command.kind {
        9 => return rename(&own, command.bytes(attribute::PATH_TO)?, nodes, budget),
        11 | 12 => return nodes.remove(&own).map(drop),
        _ => {}
    }
    // A further name stands for its file.
    let first = match nodes.get(&own).map(|n| &n.kind) {
        Some(EntryKind::Hardlink { target }) => {
            nodes.keys().find(|p| escape(p) == *target).cloned()
        }
        _ => None,
    };
    let source = (command.kind == 16)
        .then(|| nodes.get(command.bytes(attribute::CLONE_PATH)?).cloned())
        .flatten();
    // The snapshot's own root folder has no name; what it carries is not kept.
    if own.is_empty() {
        return Some(());
    }
    let node = nodes.get_mut(&first.unwrap_or(own))?;
    match command.kind {
        13 => {
            let (name, value) =
                (command.bytes(attribute::XATTR_NAME)?, command.bytes(attribute::XATTR_DATA)?);
            node.metadata.xattrs.push(common::xattr("", name, value));
        }
        14 => {
            let name = escape(command.bytes(attribute::XATTR_NAME)?);
            node.metadata.xattrs.retain(|(n, _)| *n != name);
        }
        15 => {
            let offset = command.number(attribute::OFFSET)?;
            // In version 2 the data has no length of its own and reaches to the command's end.
            let (place, data) = command.find(attribute::DATA).or_else(|| last_data(command))?;
            let image = command.at.checked_add(place)? as u64;
            let run = Run { file: offset, image, len: data.len() as u64 };
            node.size = node.size.max(offset.checked_add(run.len)?);
            node.runs.push(run);
        }
        16 => {
            let (offset, from, len) = (
                command.number(attribute::OFFSET)?,
                command.number(attribute::CLONE_OFFSET)?,
                command.number(attribute::CLONE_LEN)?,
            );
            node.size = node.size.max(offset.checked_add(len)?);
            match source {
                Some(source) => {
                    let end = from.checked_add(len)?;
                    for run in source.runs {
                        budget.work(16).ok()?;
                        let (start, stop) =
                            (run.file.max(from), run.file.checked_add(run.len)?.min(end));
                        if let Some(len) = stop.checked_sub(start).filter(|n| *n > 0) {
                            let image = run.image.checked_add(start.checked_sub(run.file)?)?;
                            let file = offset.checked_add(start.checked_sub(from)?)?;
                            node.runs.push(Run { file, image, len });
                        }
                    }
                }
                None => node.problems.push(
                    Problem::new(
                        ProblemKind::Incomplete,
                        "a piece is cloned from a file that is not in the stream; zeros",
                    )
                    .at(offset),
                ),
            }
        }
        17 => {
            node.size = command.number(attribute::SIZE)?;
            let size = node.size;
            for run in &mut node.runs {
                run.len = run.len.min(size.saturating_sub(run.file));
            }
            node.runs.retain(|run| run.len > 0);
        }
        18 => {
            node.metadata.mode =
                Some(u32::try_from(command.number(attribute::MODE)? & 0o7777).ok()?)
        }
        19 => {
            node.metadata.uid = u32::try_from(command.number(attribute::UID)?).ok();
            node.metadata.gid = u32::try_from(command.number(attribute::GID)?).ok();
        }
        20 => {
            node.metadata.mtime =
                i64::try_from(read::le64(command.bytes(attribute::MTIME)?, 0)?).ok()
        }
        25 => {
            let problem =
                Problem::new(ProblemKind::Unsupported, "compressed writes are not decoded; zeros");
            if !node.problems.contains(&problem) {
                node.problems.push(problem);
            }
        }
        // Extents told, room reserved, flags: nothing that is kept.
        22..=24 | 26 => {}
        _ => return None,
    }
    Some(())
}

/// Data of a version 2 write: its type, then everything that follows.
fn last_data<'d>(command: &Command<'d>) -> Option<(usize, &'d [u8])> {
    let mut at = 0_usize;
    loop {
        let kind = read::le16(command.body, at)?;
        if kind == attribute::DATA {
            let start = at.checked_add(2)?;
            return Some((start, command.body.get(start..)?));
        }
        at =
            at.checked_add(4)?.checked_add(read::le16(command.body, at.checked_add(2)?)?.into())?;
    }
}

/// Moves a path and everything below it.
fn rename(
    from: &[u8],
    to: &[u8],
    nodes: &mut BTreeMap<Vec<u8>, Node>,
    budget: &Budget,
) -> Option<()> {
    let node = nodes.remove(from)?;
    let below: Vec<u8> = [from, b"/"].concat();
    let moved: Vec<_> = nodes
        .range(below.clone()..)
        .take_while(|(p, _)| p.starts_with(&below))
        .map(|(p, _)| p.clone())
        .collect();
    budget.work((moved.len() as u64).saturating_mul(64)).ok()?;
    for path in moved {
        if let (Some(node), Some(rest)) = (nodes.remove(&path), path.get(below.len()..)) {
            nodes.insert([to, b"/", rest].concat(), node);
        }
    }
    let (old, new) = (escape(from), escape(to));
    if node.kind == EntryKind::File {
        for other in nodes.values_mut() {
            budget.work(1).ok()?;
            if let EntryKind::Hardlink { target } = &mut other.kind
                && *target == old
            {
                target.clone_from(&new);
            }
        }
    }
    nodes.insert(to.to_vec(), node);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, open_whole, torture};

    fn send(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (id, value) in attributes {
            body.extend(id.to_le_bytes());
            body.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            body.extend(*value);
        }
        let mut all = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        all.extend(kind.to_le_bytes());
        all.extend([0; 4]);
        all.extend(body);
        let crc = common::crc32c(0, &all);
        all[6..10].copy_from_slice(&crc.to_le_bytes());
        all
    }

    fn stream() -> Vec<u8> {
        let n = |v: u64| v.to_le_bytes();
        let mut all = b"btrfs-stream\0\x01\0\0\0".to_vec();
        for piece in [
            send(1, &[(15, b"snap"), (1, &[9; 16]), (2, &n(5))]),
            send(4, &[(15, b"o257"), (3, &n(257))]),
            send(9, &[(15, b"o257"), (16, b"etc")]),
            send(3, &[(15, b"o258"), (3, &n(258))]),
            send(9, &[(15, b"o258"), (16, b"etc/file")]),
            send(15, &[(15, b"etc/file"), (18, &n(0)), (19, b"first")]),
            send(15, &[(15, b"etc/file"), (18, &n(8)), (19, b"second")]),
            send(17, &[(15, b"etc/file"), (4, &n(12))]),
            send(18, &[(15, b"etc/file"), (5, &n(0o4755))]),
            send(19, &[(15, b"etc/file"), (6, &n(7)), (7, &n(8))]),
            send(
                20,
                &[
                    (15, b"etc/file"),
                    (11, &[0; 12]),
                    (10, &[&n(1_500_000_000)[..], &[0; 4]].concat()),
                    (9, &[0; 12]),
                ],
            ),
            send(13, &[(15, b"etc/file"), (13, b"user.a"), (14, b"v")]),
            send(3, &[(15, b"copy"), (3, &n(259))]),
            send(
                16,
                &[
                    (15, b"copy"),
                    (18, &n(0)),
                    (24, &n(3)),
                    (20, &[9; 16]),
                    (21, &n(1)),
                    (22, b"etc/file"),
                    (23, &n(8)),
                ],
            ),
            send(8, &[(15, b"link"), (3, &n(260)), (17, b"etc/file")]),
            send(10, &[(15, b"same"), (17, b"etc/file")]),
            send(3, &[(15, b"gone"), (3, &n(261))]),
            send(11, &[(15, b"gone")]),
            send(9, &[(15, b"etc"), (16, b"conf")]),
            send(21, &[]),
        ] {
            all.extend(piece);
        }
        all
    }

    #[test]
    fn commands_are_replayed() {
        let file = stream();
        let opened = open_whole(&Stream, &file);
        assert_eq!(opened.files(), ["conf", "conf/file", "copy", "link", "same"]);
        assert_eq!(opened.content("conf/file"), &b"first\0\0\0seco"[..]);
        assert_eq!(opened.content("copy"), &b"sec"[..]);
        let found = opened.entries.iter().find(|e| e.path == b"conf/file").unwrap();
        assert_eq!(
            (found.metadata.mode, found.metadata.uid, found.metadata.mtime),
            (Some(0o4755), Some(7), Some(1_500_000_000))
        );
        assert_eq!(found.metadata.xattrs, [("user.a".to_owned(), "v".to_owned())]);
        torture(&Stream, &file);
    }

    #[test]
    fn cut_and_damaged_streams_say_so() {
        let mut file = stream();
        assert_eq!(
            open(&Stream, &file[..file.len() - 10]).problems[0].kind,
            ProblemKind::Truncated
        );
        let last = file.len() - 20;
        file[last] ^= 1;
        assert_eq!(open(&Stream, &file).problems[0].kind, ProblemKind::Checksum);
        file[HEADER + 12] ^= 1;
        assert!(open_at(&Stream, &file, 0).is_none());
    }
}
