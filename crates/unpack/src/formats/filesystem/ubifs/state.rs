//! What the nodes add up to, and the entries made of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use proofmark_model::{Digest, EntryKind, Metadata, Problem, ProblemKind, locator::escape};

use super::{
    Super,
    node::{Kind, Node, nodes},
};
use crate::{
    budget::{Budget, Exhausted},
    codec::{deflate, lzo, zstd},
    format::{Blob, Entry, Load, Loaded, Sink},
    formats::filesystem::common::{self, Links, MAX_DEPTH, ftype, zeros},
    read::{self, le16, le32, le64},
};

/// Bytes of content per data node.
const BLOCK: u64 = 4096;
/// The root folder.
const ROOT: u64 = 1;
/// Inode flag: encrypted.
const ENCRYPTED: u32 = 0x40;

/// Newest state of everything, by key.
#[derive(Default)]
pub(super) struct State {
    inodes: BTreeMap<u64, Node>,
    /// Inode by folder and name.
    names: BTreeMap<(u64, Vec<u8>), u64>,
    /// Inode of the value by owner and name of the attribute.
    xattrs: BTreeMap<(u64, Vec<u8>), u64>,
    data: BTreeMap<(u64, u32), Node>,
}

impl State {
    /// As a mount sees it: the index as of the last commit, then the journal. The reason where that fails.
    pub fn mounted(&mut self, sb: &Super, image: &[u8], budget: &Budget) -> Result<(), String> {
        // The master node is in blocks 1 and 2, the newest one last.
        let block = |n: u32| {
            let start = sb.place(n, 0).unwrap_or(usize::MAX);
            nodes(image, start, start.saturating_add(sb.leb_size).min(image.len()))
        };
        let master =
            block(1).chain(block(2)).filter(|n| n.kind == Kind::MASTER).max_by_key(|n| n.sequence);
        let master = master.and_then(|n| n.bytes(image)).ok_or("no master node is readable")?;
        let field = |at| le32(master, at).ok_or("the master node is too short");
        let (commit, root, offset) = (le64(master, 32), field(48)?, field(52)?);
        let root = sb.place(root, offset).ok_or("the root of the index is outside the image")?;
        self.index(sb, image, root, 64, budget)?;
        self.journal(sb, image, commit, budget)
    }

    /// A node of the index and all below it.
    fn index(
        &mut self,
        sb: &Super,
        image: &[u8],
        at: usize,
        depth: u32,
        budget: &Budget,
    ) -> Result<(), String> {
        let bad = || format!("no node of the index is readable at {at:#x}");
        let node = Node::parse(image, at)
            .filter(|n| n.kind == Kind::INDEX && depth > 0)
            .ok_or_else(bad)?;
        let b = node.bytes(image).ok_or_else(bad)?;
        budget.work(b.len() as u64).map_err(|e| e.to_string())?;
        let (count, level) = (le16(b, 24).ok_or_else(bad)?, le16(b, 26).ok_or_else(bad)?);
        let width = 20usize.saturating_add(sb.hash_len);
        for branch in b.get(28..).unwrap_or_default().chunks_exact(width).take(count.into()) {
            let at = le32(branch, 0)
                .zip(le32(branch, 4))
                .and_then(|(l, o)| sb.place(l, o))
                .ok_or_else(bad)?;
            if level > 0 {
                self.index(sb, image, at, depth.saturating_sub(1), budget)?;
                continue;
            }
            budget.work(64).map_err(|e| e.to_string())?;
            let leaf =
                Node::parse(image, at).ok_or_else(|| format!("no node is readable at {at:#x}"))?;
            self.apply(image, leaf);
        }
        Ok(())
    }

    /// Replays what was written since the commit.
    fn journal(
        &mut self,
        sb: &Super,
        image: &[u8],
        commit: Option<u64>,
        budget: &Budget,
    ) -> Result<(), String> {
        // The log starts at block 3: a commit start, then a reference to each block of the journal.
        let log = sb.place(3, 0).unwrap_or(usize::MAX);
        let log_len = sb.log_blocks.saturating_mul(sb.leb_size);
        let end = log.saturating_add(log_len).min(image.len());
        budget.work(end.saturating_sub(log) as u64).map_err(|e| e.to_string())?;
        let logged: Vec<Node> = nodes(image, log, end).collect();
        let start = logged
            .iter()
            .filter(|n| n.kind == Kind::COMMIT)
            .find(|n| n.bytes(image).and_then(|b| le64(b, 24)) == commit);
        // An image as mkfs.ubifs writes it has a log without journal.
        let Some(start) = start else { return Ok(()) };
        let mut newer = Vec::new();
        for reference in
            logged.iter().filter(|n| n.kind == Kind::REFERENCE && n.sequence > start.sequence)
        {
            let Some(b) = reference.bytes(image) else { continue };
            let Some((block, offset)) = le32(b, 24).zip(le32(b, 28)) else { continue };
            let Some(at) = sb.place(block, offset) else { continue };
            let end =
                at.saturating_add(sb.leb_size).saturating_sub(offset as usize).min(image.len());
            budget.work(end.saturating_sub(at) as u64).map_err(|e| e.to_string())?;
            newer.extend(nodes(image, at, end).filter(|n| n.sequence > start.sequence));
        }
        newer.sort_by_key(|n| n.sequence);
        newer.into_iter().for_each(|n| self.apply(image, n));
        Ok(())
    }

    /// All nodes of the image, in the order they were written.
    pub fn scanned(&mut self, sb: &Super, image: &[u8], budget: &Budget) -> Result<(), Exhausted> {
        let mut all = Vec::new();
        for start in (0..image.len()).step_by(sb.leb_size.max(1)) {
            budget.work(sb.leb_size as u64)?;
            all.extend(nodes(image, start, start.saturating_add(sb.leb_size).min(image.len())));
        }
        all.sort_by_key(|n| n.sequence);
        all.into_iter().for_each(|n| self.apply(image, n));
        Ok(())
    }

    /// Takes over one node.
    fn apply(&mut self, image: &[u8], node: Node) {
        let mut go = || {
            let b = node.bytes(image)?;
            let owner = u64::from(le32(b, 24)?);
            let low = le32(b, 28)? & 0x1fff_ffff;
            match node.kind {
                Kind::INODE if le32(b, 92)? == 0 => {
                    // The last name is gone.
                    self.inodes.remove(&owner);
                    self.cut(owner, 0);
                }
                Kind::INODE => {
                    self.inodes.insert(owner, node);
                }
                Kind::DATA => {
                    self.data.insert((owner, low), node);
                }
                Kind::ENTRY | Kind::XENTRY => {
                    let name = read::slice(b, 56, le16(b, 50)?.into())?.to_vec();
                    let inode = le64(b, 40)?;
                    let map =
                        if node.kind == Kind::ENTRY { &mut self.names } else { &mut self.xattrs };
                    if inode == 0 {
                        map.remove(&(owner, name));
                    } else {
                        map.insert((owner, name), inode);
                    }
                }
                Kind::TRUNCATION => {
                    let first = le64(b, 48)?.div_ceil(BLOCK);
                    self.cut(owner, u32::try_from(first).unwrap_or(u32::MAX));
                }
                _ => {}
            }
            Some(())
        };
        go();
    }

    /// Drops the content of a file from a block on.
    fn cut(&mut self, inode: u64, first: u32) {
        let keys: Vec<_> =
            self.data.range((inode, first)..=(inode, u32::MAX)).map(|(k, _)| *k).collect();
        for key in keys {
            self.data.remove(&key);
        }
    }

    /// Emits the tree.
    pub fn emit(&self, image: &Bytes, budget: &Budget, sink: &mut Sink<'_>) {
        let mut links = Links::default();
        let mut seen = BTreeSet::from([ROOT]);
        let mut queue = vec![(Vec::new(), ROOT, 0)];
        while let Some((path, number, depth)) = queue.pop() {
            let mut below = Vec::new();
            let names =
                self.names.range((number, Vec::new())..(number.saturating_add(1), Vec::new()));
            for ((_, name), number) in names {
                let path = common::join(&path, name);
                let Some(inode) =
                    self.inodes.get(number).and_then(|n| Inode::parse(n.bytes(image)?))
                else {
                    let text =
                        format!("inode {number}, which `{}` names, was not found", escape(&path));
                    sink.problem(Problem::new(ProblemKind::Incomplete, text));
                    continue;
                };
                if let Err(e) = budget.work(1) {
                    sink.problem(e);
                    return;
                }
                let mut entry = self.make(image, *number, &inode, path, budget);
                entry.problems.extend(common::check_name(name));
                if entry.kind == EntryKind::Directory {
                    if depth >= MAX_DEPTH || !seen.insert(*number) {
                        entry
                            .problems
                            .push(common::malformed("the folder contains itself or is too deep"));
                    } else {
                        below.push((entry.path.clone(), *number, depth.saturating_add(1)));
                    }
                } else if let Some(link) = links.first(*number, &entry.path) {
                    (entry.kind, entry.blob) = (link, Blob::None);
                }
                if sink.entry(entry).is_err() {
                    return;
                }
            }
            queue.extend(below.into_iter().rev());
        }
    }

    fn make(
        &self,
        image: &Bytes,
        number: u64,
        inode: &Inode<'_>,
        path: Vec<u8>,
        budget: &Budget,
    ) -> Entry {
        let mut problems = Vec::new();
        let mut blob = Blob::None;
        if inode.flags & ENCRYPTED != 0 {
            problems
                .push(Problem::new(ProblemKind::Encrypted, "encrypted by the file system, no key"));
        }
        let device = match inode.data.len() {
            4 => le32(inode.data, 0),
            _ => le64(inode.data, 0).map(|d| d as u32),
        };
        let kind =
            common::kind(inode.mode, device.map(common::device).unwrap_or_default(), inode.data);
        let kind = kind.unwrap_or_else(|| {
            problems.push(common::malformed(format!("unknown file type in mode {:o}", inode.mode)));
            EntryKind::File
        });
        if inode.mode >> 12 == ftype::FILE {
            let pieces: Vec<Node> =
                self.data.range((number, 0)..=(number, u32::MAX)).map(|(_, node)| *node).collect();
            // Many names may lead to the same long list of pieces.
            problems.extend(
                budget.work((pieces.len() as u64).saturating_mul(32)).err().map(Problem::from),
            );
            let image = image.clone();
            blob = Blob::Lazy(Arc::new(Content { image, size: inode.size, pieces }));
        }
        let mut xattrs = Vec::new();
        for ((_, name), value) in
            self.xattrs.range((number, Vec::new())..(number.saturating_add(1), Vec::new()))
        {
            let value = self.inodes.get(value).and_then(|n| Inode::parse(n.bytes(image)?));
            match value.filter(|v| budget.output(v.data.len() as u64).is_ok()) {
                Some(value) => xattrs.push(common::xattr("", name, value.data)),
                None => problems
                    .push(common::malformed(format!("no value of xattr `{}`", escape(name)))),
            }
        }
        let metadata = Metadata {
            mode: Some(inode.mode & 0o7777),
            uid: Some(inode.uid),
            gid: Some(inode.gid),
            mtime: Some(inode.mtime),
            xattrs,
        };
        Entry { path, kind, metadata, blob, problems }
    }
}

/// The fields of an inode node.
struct Inode<'a> {
    size: u64,
    mtime: i64,
    uid: u32,
    gid: u32,
    mode: u32,
    flags: u32,
    /// Link target, device number or value of an attribute.
    data: &'a [u8],
}

impl<'a> Inode<'a> {
    fn parse(b: &'a [u8]) -> Option<Self> {
        Some(Self {
            size: le64(b, 48)?,
            mtime: le64(b, 72)? as i64,
            uid: le32(b, 96)?,
            gid: le32(b, 100)?,
            mode: le32(b, 104)?,
            flags: le32(b, 108)?,
            data: read::slice(b, 160, le32(b, 112)? as usize)?,
        })
    }
}

/// A file as data nodes of 4 KiB each.
struct Content {
    image: Bytes,
    size: u64,
    pieces: Vec<Node>,
}

impl Load for Content {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        let Some(mut out) = zeros(self.size, budget, &mut loaded.problems) else { return loaded };
        for node in &self.pieces {
            let Some(b) = node.bytes(&self.image) else { continue };
            let at = u64::from(le32(b, 28).unwrap_or(0) & 0x1fff_ffff).saturating_mul(BLOCK);
            match decode(b) {
                Ok(bytes) => {
                    let to = read::index(at).and_then(|at| out.get_mut(at..)).unwrap_or_default();
                    let len = bytes.len().min(to.len());
                    if let (Some(to), Some(from)) = (to.get_mut(..len), bytes.get(..len)) {
                        to.copy_from_slice(from);
                    }
                }
                Err(problem) => loaded.problems.push(problem.at(at)),
            }
        }
        loaded.bytes = out.into();
        loaded
    }

    /// Node headers carry sequence numbers, which differ between images of the same files, so only block
    /// number, length, encoding and data count.
    fn key(&self) -> Option<Digest> {
        let mut parts = b"ubifs".to_vec();
        parts.extend(self.size.to_le_bytes());
        for node in &self.pieces {
            let b = node.bytes(&self.image)?;
            parts.extend(read::slice(b, 28, 4)?);
            parts.extend(Digest::of(b.get(40..)?).0);
        }
        Some(Digest::of(&parts))
    }
}

/// The content of a data node.
fn decode(b: &[u8]) -> Result<Vec<u8>, Problem> {
    let bad = || common::malformed("a data node is too short");
    let size = le32(b, 40).ok_or_else(bad)? as usize;
    let max = size.min(BLOCK as usize);
    let stored = b.get(48..).ok_or_else(bad)?;
    let own = &Budget::new(max as u64, 0, u64::MAX, None);
    let bytes = match le16(b, 44).ok_or_else(bad)? {
        0 => stored.get(..max).ok_or_else(bad)?.to_vec(),
        1 => lzo::decode(stored, max, own).whole()?.0,
        2 => deflate::inflate(stored, max, own).whole()?.0,
        3 => zstd::decode(stored, max, own).whole()?.0,
        other => {
            return Err(Problem::new(
                ProblemKind::Unsupported,
                format!("compression {other} is not known"),
            ));
        }
    };
    if bytes.len() == size {
        Ok(bytes)
    } else {
        Err(common::malformed(format!(
            "a data node holds {} bytes where {size} belong",
            bytes.len()
        )))
    }
}
