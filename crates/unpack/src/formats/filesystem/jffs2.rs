//! JFFS2, either byte order.
//!
//! *Establishes*: the state that the newest version of every node gives.
//! *How*: nodes are found by their header checksum, from the first of a run of
//! nodes to the last; names and contents are put together in the order of their
//! versions. The size of an erase block is not written anywhere; it is taken from
//! the distance of clean markers, and only tells where the image ends.
//! *False positives*: none; at least one node must have a right checksum.
//! *False negatives*: names deleted on NAND flash whose deletion was erased
//! already may come back, as they do for the kernel.
//! *Limits*: rubin-compressed nodes are named, not decoded.
//! *Sources*: kernel `include/uapi/linux/jffs2.h`, `fs/jffs2`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::common::{self, Links, MAX_DEPTH, crc32_raw, ftype, zeros};
use crate::{
    budget::Budget,
    codec::{deflate, lzma, lzo},
    format::{About, Blob, Candidate, Entry, Family, Format, Load, Loaded, Magic, Sink},
    read::{self, Order},
};

/// JFFS2.
pub struct Jffs2;

static ABOUT: About = About {
    id: "jffs2",
    name: "JFFS2",
    family: Family::FileSystem,
    revision: 1,
    metadata: "mode, owner, mtime, xattrs, device numbers, hard links",
    integrity: "crc32 of headers, names and data",
    limits: "rubin compression",
    sources: &["https://github.com/torvalds/linux/blob/master/include/uapi/linux/jffs2.h"],
};

const DIRENT: u16 = 0xe001;
const INODE: u16 = 0xe002;
const XATTR: u16 = 0xe008;
const XREF: u16 = 0xe009;
const CLEAN: u16 = 0x2003;
/// Nodes that are not accurate any more keep their type without this bit.
const ACCURATE: u16 = 0x2000;
/// Largest node that makes sense: a page of content, uncompressed, on a large page size, and its header.
const MAX_NODE: usize = 0x1_0000 + 68;
/// Bytes that are neither nodes nor erased which may lie between nodes.
const MAX_HOLE: usize = 0x4_0000;

impl Format for Jffs2 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[
            Magic::anywhere(b"\x85\x19\x01\xe0"),
            Magic::anywhere(b"\x85\x19\x02\xe0"),
            Magic::anywhere(b"\x85\x19\x03\x20"),
            Magic::anywhere(b"\x85\x19\x08\xe0"),
            Magic::anywhere(b"\x19\x85\xe0\x01"),
            Magic::anywhere(b"\x19\x85\xe0\x02"),
            Magic::anywhere(b"\x19\x85\x20\x03"),
            Magic::anywhere(b"\x19\x85\xe0\x08"),
        ];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let order = if data.get(at) == Some(&0x85) { Order::Little } else { Order::Big };
        Node::parse(data, at, order)?;
        if goes_on_from(data, at, order, budget)? {
            return None;
        }
        let (mut end, mut verified, mut block) = (at, 0u32, 0usize);
        let mut problems = Vec::new();
        for item in nodes(data, at, order, budget) {
            end = item.at.saturating_add(item.len);
            match item.kind {
                CLEAN => block = gcd(block, item.at.saturating_sub(at)),
                DIRENT | INODE | XATTR | XREF if item.right(data, order) == Some(true) => {
                    verified = verified.saturating_add(1);
                }
                _ => {}
            }
            if end > data.len() {
                problems.push(
                    Problem::new(ProblemKind::Truncated, "the last node is cut off")
                        .at(item.at as u64),
                );
                end = data.len();
            }
        }
        if verified == 0 {
            // Clean markers alone are the same bytes in each image.
            return None;
        }
        // The last erase block belongs to it as far as it is erased.
        let block = if block >= 0x1000 && block.is_power_of_two() { block } else { 0x1_0000 };
        let tail =
            end.saturating_sub(at).next_multiple_of(block).saturating_add(at).min(data.len());
        if data.get(end..tail).is_some_and(|t| t.iter().all(|b| *b == 0xff)) {
            end = tail;
        }
        Some(Candidate {
            problems,
            ..Candidate::new(at, end.saturating_sub(at), Proof::ChecksumVerified)
        })
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let order = if region.first() == Some(&0x85) { Order::Little } else { Order::Big };
        sink.attribute("byte-order", if order == Order::Big { "big" } else { "little" });
        let state = State::collect(region, order, budget, sink);
        state.emit(budget, sink);
    }
}

fn gcd(a: usize, b: usize) -> usize {
    let (mut a, mut b) = (a, b);
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

/// A node header that is right.
#[derive(Debug, Clone, Copy)]
struct Node {
    at: usize,
    kind: u16,
    len: usize,
}

impl Node {
    fn parse(data: &[u8], at: usize, order: Order) -> Option<Self> {
        let b = read::slice(data, at, 12)?;
        let len = order.u32(b, 4)? as usize;
        let right = order.u16(b, 0)? == 0x1985
            && (12..=MAX_NODE).contains(&len)
            && order.u32(b, 8)? == crc32_raw(0, b.get(..8)?);
        right.then_some(Self { at, kind: order.u16(b, 2)?, len })
    }

    fn bytes(self, data: &[u8]) -> Option<&[u8]> {
        read::slice(data, self.at, self.len)
    }

    /// Whether the checksum of the node's own fields is right.
    fn right(self, data: &[u8], order: Order) -> Option<bool> {
        let b = self.bytes(data)?;
        let (covered, at) = match self.kind {
            DIRENT => (32, 32),
            INODE => (60, 64),
            XATTR => (28, 28),
            XREF => (24, 24),
            _ => return None,
        };
        Some(order.u32(b, at)? == crc32_raw(0, b.get(..covered)?))
    }
}

/// Whether nodes in front lead to the one at `at`, so that it is not the first. None without budget.
fn goes_on_from(data: &[u8], at: usize, order: Order, budget: &Budget) -> Option<bool> {
    // What is erased in front of it belongs to the block before.
    let erased =
        data.get(at.saturating_sub(1 << 20)..at)?.iter().rev().take_while(|b| **b == 0xff).count();
    let first = if order == Order::Little { [0x85, 0x19] } else { [0x19, 0x85] };
    // A node may end in 0xff itself, and is padded to four bytes.
    let end = at.saturating_sub(erased);
    let window = data.get(end.saturating_sub(0x3000)..at)?;
    budget.work(erased.saturating_add(window.len().min(0x3000)) as u64).ok()?;
    let base = end.saturating_sub(0x3000);
    let found = memchr::memmem::rfind_iter(
        window.get(..end.saturating_add(4).min(at).saturating_sub(base))?,
        &first,
    )
    .any(|i| {
        Node::parse(data, base.saturating_add(i), order).is_some_and(|n| {
            let stop = n.at.saturating_add(n.len).next_multiple_of(4);
            stop == at || (stop >= end && stop <= at) || stop.abs_diff(end) < 4
        })
    });
    Some(found)
}

/// Nodes one after the other, over erased and unreadable bytes between them as far as that is plausible.
fn nodes<'a>(
    data: &'a [u8],
    start: usize,
    order: Order,
    budget: &'a Budget,
) -> impl Iterator<Item = Node> + 'a {
    let mut at = start;
    let mut hole = 0usize;
    std::iter::from_fn(move || {
        loop {
            budget.work(4).ok()?;
            let word = read::slice(data, at, 4)?;
            if let Some(node) = Node::parse(data, at, order) {
                // Nodes start at multiples of four from the first one.
                at = at.checked_add(node.len.checked_next_multiple_of(4)?)?;
                hole = 0;
                return Some(node);
            }
            if word == [0xff; 4] {
                let run = data.get(at..)?.iter().take_while(|b| **b == 0xff).count();
                budget.work(run as u64).ok()?;
                at = at.checked_add((run & !3).max(4))?;
                hole = hole.saturating_add(1);
            } else {
                at = at.checked_add(4)?;
                hole = hole.saturating_add(4);
            }
            if hole > MAX_HOLE {
                return None;
            }
        }
    })
}

/// A node of content.
#[derive(Debug, Clone)]
struct Piece {
    version: u32,
    /// Where its bytes are, and how many.
    at: usize,
    stored: usize,
    /// Where they go, and how many they are.
    offset: u64,
    len: usize,
    /// Size of the file as of this version.
    size: u64,
    compression: u8,
    crc: u32,
    metadata: (u32, u32, u32, u32),
}

/// What the nodes say, newest version.
#[derive(Default)]
struct State {
    image: Bytes,
    order: Option<Order>,
    inodes: BTreeMap<u32, Vec<Piece>>,
    /// By parent and name: version and inode (0 where the name was removed).
    names: BTreeMap<(u32, Vec<u8>), (u32, u32)>,
    /// Name and value by attribute id, with its version.
    xattrs: BTreeMap<u32, (u32, (String, String))>,
    /// Sequence number by inode and attribute id.
    xrefs: BTreeMap<(u32, u32), u32>,
}

impl State {
    fn collect(image: &Bytes, order: Order, budget: &Budget, sink: &mut Sink<'_>) -> Self {
        let mut state = Self { image: image.clone(), order: Some(order), ..Self::default() };
        let (mut wrong, mut obsolete) = (0u64, 0u64);
        for node in nodes(image, 0, order, budget) {
            if node.kind & ACCURATE == 0 {
                obsolete = obsolete.saturating_add(1);
                continue;
            }
            let known = match node.right(image, order) {
                None => continue,
                Some(false) => None,
                Some(true) => state.add(node),
            };
            if known.is_none() {
                wrong = wrong.saturating_add(1);
            }
        }
        if wrong > 0 {
            let text = format!(
                "{wrong} nodes are cut off or their checksum does not match; older versions stand for them"
            );
            sink.problem(Problem::new(ProblemKind::Checksum, text));
        }
        if obsolete > 0 {
            sink.attribute("obsolete-nodes", obsolete);
        }
        if budget.work(1).is_err() {
            sink.problem(crate::budget::Exhausted::Work);
        }
        state
    }

    fn add(&mut self, node: Node) -> Option<()> {
        let image = self.image.clone();
        let b = node.bytes(&image)?;
        let order = self.order?;
        let d = |at| order.u32(b, at);
        match node.kind {
            DIRENT => {
                let name = read::slice(b, 40, read::u8(b, 28)?.into())?;
                if d(36)? != crc32_raw(0, name) {
                    return None;
                }
                let this = (d(16)?, d(20)?);
                let slot = self.names.entry((d(12)?, name.to_vec())).or_insert(this);
                *slot = this.max(*slot);
            }
            INODE => {
                let stored = d(48)? as usize;
                read::slice(b, 68, stored)?;
                self.inodes.entry(d(12)?).or_default().push(Piece {
                    version: d(16)?,
                    at: node.at.checked_add(68)?,
                    stored,
                    offset: d(44)?.into(),
                    len: d(52)? as usize,
                    size: d(28)?.into(),
                    compression: read::u8(b, 56)?,
                    crc: d(60)?,
                    metadata: (d(20)?, order.u16(b, 24)?.into(), order.u16(b, 26)?.into(), d(36)?),
                });
            }
            XATTR => {
                let (name_len, value_len) =
                    (usize::from(read::u8(b, 21)?), usize::from(order.u16(b, 22)?));
                let name = read::slice(b, 32, name_len)?;
                // A zero stands between name and value.
                let value = read::slice(b, name_len.checked_add(33)?, value_len)?;
                if d(24)?
                    != crc32_raw(
                        0,
                        read::slice(b, 32, name_len.checked_add(1)?.checked_add(value_len)?)?,
                    )
                {
                    return None;
                }
                let prefix = match read::u8(b, 20)? {
                    1 => "user.",
                    2 => "security.",
                    3 => "system.posix_acl_access",
                    4 => "system.posix_acl_default",
                    5 => "trusted.",
                    _ => "",
                };
                let this = (d(16)?, common::xattr(prefix, name, value));
                let slot = self.xattrs.entry(d(12)?).or_insert_with(|| this.clone());
                if this.0 >= slot.0 {
                    *slot = this;
                }
            }
            XREF => {
                let slot = self.xrefs.entry((d(12)?, d(16)?)).or_insert(0);
                *slot = d(20)?.max(*slot);
            }
            _ => {}
        }
        Some(())
    }

    fn emit(mut self, budget: &Budget, sink: &mut Sink<'_>) {
        for pieces in self.inodes.values_mut() {
            pieces.sort_by_key(|p| p.version);
        }
        let mut children: BTreeMap<u32, Vec<(&[u8], u32)>> = BTreeMap::new();
        for ((parent, name), (_, inode)) in &self.names {
            if *inode != 0 {
                children.entry(*parent).or_default().push((name, *inode));
            }
        }
        let mut attributes: BTreeMap<u32, Vec<(String, String)>> = BTreeMap::new();
        for ((inode, id), sequence) in &self.xrefs {
            // An odd sequence number removes the reference.
            if sequence & 1 == 0
                && let Some((_, pair)) = self.xattrs.get(id)
            {
                attributes.entry(*inode).or_default().push(pair.clone());
            }
        }
        let mut links = Links::default();
        let mut seen = BTreeSet::from([1]);
        let mut queue = vec![(Vec::new(), 1, 0)];
        while let Some((path, number, depth)) = queue.pop() {
            let mut below = Vec::new();
            for (name, number) in children.get(&number).into_iter().flatten() {
                let path = common::join(&path, name);
                let mut problems = Vec::from_iter(common::check_name(name));
                let pieces = self.inodes.get(number).map(Vec::as_slice).unwrap_or_default();
                let Some(newest) = pieces.last() else {
                    let text = format!(
                        "no node of inode {number}, which `{}` names, was found",
                        escape(&path)
                    );
                    sink.problem(Problem::new(ProblemKind::Incomplete, text));
                    continue;
                };
                // Many names may lead to the same long list of pieces.
                if let Err(e) = budget.work((pieces.len() as u64).saturating_mul(64)) {
                    sink.problem(e);
                    return;
                }
                let (mode, uid, gid, mtime) = newest.metadata;
                let metadata = Metadata {
                    mode: Some(mode & 0o7777),
                    uid: Some(uid),
                    gid: Some(gid),
                    mtime: Some(mtime.into()),
                    xattrs: attributes.get(number).cloned().unwrap_or_default(),
                };
                let content = || Content {
                    image: self.image.clone(),
                    pieces: pieces.into(),
                    size: newest.size,
                };
                let (mut blob, mut target, mut device) = (Blob::None, Bytes::new(), (0, 0));
                match mode >> 12 {
                    ftype::FILE => blob = Blob::Lazy(Arc::new(content())),
                    ftype::LINK => {
                        let loaded = content().load(&Budget::new(1 << 16, 0, 1 << 20, None));
                        problems.extend(loaded.problems);
                        target = loaded.bytes;
                    }
                    ftype::CHAR | ftype::BLOCK => device = self.device(newest).unwrap_or_default(),
                    _ => {}
                }
                let kind = common::kind(mode, device, &target).unwrap_or_else(|| {
                    problems.push(common::malformed(format!("unknown file type in mode {mode:o}")));
                    EntryKind::File
                });
                let mut entry = Entry { path, kind, metadata, blob, problems };
                if entry.kind == EntryKind::Directory {
                    if depth >= MAX_DEPTH || !seen.insert(*number) {
                        entry
                            .problems
                            .push(common::malformed("the folder contains itself or is too deep"));
                    } else {
                        below.push((entry.path.clone(), *number, depth.saturating_add(1)));
                    }
                } else if let Some(link) = links.first((*number).into(), &entry.path) {
                    (entry.kind, entry.blob) = (link, Blob::None);
                }
                if sink.entry(entry).is_err() {
                    return;
                }
            }
            queue.extend(below.into_iter().rev());
        }
    }

    /// The number of a device node: two bytes in the old, four in the new encoding.
    fn device(&self, piece: &Piece) -> Option<(u32, u32)> {
        let order = self.order?;
        let b = read::slice(&self.image, piece.at, piece.stored)?;
        Some(common::device(if b.len() >= 4 { order.u32(b, 0)? } else { order.u16(b, 0)?.into() }))
    }
}

/// A file as pieces in the order of their versions.
struct Content {
    image: Bytes,
    pieces: Arc<[Piece]>,
    size: u64,
}

impl Load for Content {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        let Some(mut out) = zeros(self.size, budget, &mut loaded.problems) else { return loaded };
        let mut size = 0u64;
        for piece in self.pieces.iter() {
            // A smaller size cuts off; when the file grows again, zeros stand there.
            if piece.size < size
                && let Some(cut) = read::index(piece.size).and_then(|at| out.get_mut(at..))
            {
                cut.fill(0);
            }
            size = piece.size;
            if piece.len == 0 {
                continue;
            }
            if let Err(e) = budget.work(piece.len as u64) {
                loaded.problems.push(e.into());
                break;
            }
            match self.decode(piece) {
                Ok(bytes) => {
                    let to = read::index(piece.offset)
                        .and_then(|at| out.get_mut(at..))
                        .unwrap_or_default();
                    let len = bytes.len().min(to.len());
                    if let (Some(to), Some(from)) = (to.get_mut(..len), bytes.get(..len)) {
                        to.copy_from_slice(from);
                    }
                }
                Err(problem) => loaded.problems.push(problem.at(piece.offset)),
            }
        }
        loaded.bytes = out.into();
        loaded
    }
}

impl Content {
    fn decode(&self, piece: &Piece) -> Result<Bytes, Problem> {
        let cut = || Problem::new(ProblemKind::Truncated, "the data of a node are cut off");
        let end = piece
            .at
            .checked_add(piece.stored)
            .filter(|e| *e <= self.image.len())
            .ok_or_else(cut)?;
        let stored = self.image.slice(piece.at..end);
        if crc32_raw(0, &stored) != piece.crc {
            let text =
                format!("the checksum over the data of version {} does not match", piece.version);
            return Err(Problem::new(ProblemKind::Checksum, text));
        }
        let len = piece.len.min(MAX_NODE);
        let own = &Budget::new(len as u64, 0, u64::MAX, None);
        let bytes = match piece.compression {
            0 | 4 => return Ok(stored),
            1 => vec![0; len],
            2 => rtime(&stored, len),
            6 => deflate::zlib(&stored, len, own).whole()?.0,
            7 => lzo::decode(&stored, len, own).whole()?.0,
            8 => {
                let props = lzma::Props { lc: 0, lp: 0, pb: 0 };
                lzma::decode_raw(&stored, props, Some(len), len, own).whole()?.0
            }
            3 | 5 => {
                return Err(Problem::new(
                    ProblemKind::Unsupported,
                    "rubin compression is not decoded",
                ));
            }
            other => {
                return Err(Problem::new(
                    ProblemKind::Unsupported,
                    format!("compression {other} is not known"),
                ));
            }
        };
        if bytes.len() < len {
            return Err(common::malformed(format!(
                "a node holds {} bytes where {len} belong",
                bytes.len()
            )));
        }
        Ok(bytes.into())
    }
}

/// The run-length code that remembers what followed each byte value when it was last seen.
fn rtime(input: &[u8], len: usize) -> Vec<u8> {
    let mut last = [0usize; 256];
    let mut out: Vec<u8> = Vec::with_capacity(len);
    for pair in input.chunks_exact(2) {
        let [value, repeat] = pair else { break };
        out.push(*value);
        let Some(slot) = last.get_mut(usize::from(*value)) else { break };
        let from = std::mem::replace(slot, out.len());
        for i in 0..usize::from(*repeat) {
            let Some(byte) = out.get(from.saturating_add(i)).copied() else { break };
            out.push(byte);
        }
        if out.len() >= len {
            break;
        }
    }
    out.truncate(len);
    out
}
