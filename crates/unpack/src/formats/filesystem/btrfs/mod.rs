//! Btrfs on one device.
//!
//! *Establishes*: every name of the default volume and of the subvolumes below
//! it; contents plain or compressed (zlib, LZO, zstd).
//! *How*: superblock at 64 KiB, system chunks, chunk tree, root tree, then the
//! trees of files; every node has a checksum, and so has every sector of plain
//! and compressed extents. Of a node that is damaged the other copy is read.
//! *False positives*: none; a copy of the superblock elsewhere is refused by the
//! place it names. *Limits*: of several devices one is read: with what is
//! mirrored it is whole, stripes over others are not read; the log tree is noted, not replayed. *Sources*: kernel
//! `include/uapi/linux/btrfs_tree.h`, the on-disk format page of the Btrfs wiki.

mod content;
mod sums;
mod tree;

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use self::{
    sums::Sums,
    tree::{Item, Trees},
};
use super::common::{self, Links, MAX_DEPTH, crc32c, ftype};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read::{self, le16, le32, le64},
};

/// Btrfs.
pub struct Btrfs;

static ABOUT: About = About {
    id: "btrfs",
    name: "Btrfs",
    family: Family::FileSystem,
    revision: 2,
    metadata: "mode, owner, mtime, xattrs, hard links",
    integrity: "crc32c of superblock, nodes and contents",
    limits: "one device: what is striped over others is not read; log noted but not replayed; checksums other than crc32c",
    sources: &["https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html"],
};

/// Where the superblock is, and its bytes.
const SUPER: usize = 0x1_0000;
const SUPER_LEN: usize = 4096;

/// Types of items.
mod item {
    pub const INODE: u8 = 1;
    pub const XATTR: u8 = 24;
    pub const INDEX: u8 = 96;
    pub const EXTENT: u8 = 108;
    pub const ROOT: u8 = 132;
    pub const ROOT_REF: u8 = 156;
    pub const SUM: u8 = 128;
}

/// The tree of files that is mounted, and the number of its root folder.
const DEFAULT: u64 = 5;
const ROOT_FOLDER: u64 = 256;
/// The tree of checksums of contents.
const SUMS: u64 = 7;

impl Format for Btrfs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(b"_BHRfS_M").after(SUPER + 64)];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(SUPER_LEN as u64).ok()?;
        let image = data.get(at..)?;
        let sb = superblock(image)?;
        // Bytes of this device, not of all together.
        let declared = read::index(le64(sb, 209)?)?;
        let length = declared.min(image.len());
        let right = le16(sb, 196)? == 0 && le32(sb, 0)? == !crc32c(!0, sb.get(32..)?);
        let proof = if right { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut candidate = Candidate::new(at, length, proof);
        if !right && le16(sb, 196)? == 0 {
            let text = "the checksum of the superblock does not match";
            candidate.problems.push(Problem::new(ProblemKind::Checksum, text).at(SUPER as u64));
        }
        if length < declared {
            let text = format!("the superblock declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(sb) = superblock(region) else { return };
        let label = read::until_nul(sb.get(299..555).unwrap_or_default());
        if !label.is_empty() {
            sink.attribute("label", escape(label));
        }
        if let Some(devices) = le64(sb, 136).filter(|n| *n != 1) {
            // What is mirrored is all here; what is not is a problem of its own where it is missed.
            sink.attribute("devices", devices);
        }
        if le64(sb, 96).unwrap_or(0) != 0 {
            let text =
                "the log holds changes that are not in the trees yet; files are shown without them";
            sink.problem(Problem::new(ProblemKind::Unsupported, text));
        }
        let Some(mut trees) = Trees::read(region, sb, budget) else {
            sink.problem(common::malformed("the chunks of the image are not readable"));
            return;
        };
        let roots = trees.items(le64(sb, 80).unwrap_or(0), budget, &mut sink.problems);
        if let Some(root) = root_of(&trees, &roots, SUMS) {
            let items = trees.items(root, budget, &mut sink.problems);
            trees.sums = Arc::new(Sums::new(sb, &items));
        }
        walk(&trees, &roots, budget, sink);
    }
}

fn superblock(image: &[u8]) -> Option<&[u8]> {
    let b = read::slice(image, SUPER, SUPER_LEN)?;
    let node = le32(b, 148)?;
    let agrees = b.get(64..72)? == b"_BHRfS_M"
        && le64(b, 48)? == SUPER as u64
        && node.is_power_of_two()
        && (4096..=65536).contains(&node)
        && le64(b, 209)? >= (SUPER + SUPER_LEN) as u64;
    agrees.then_some(b)
}

/// Items by number of the inode, type and offset.
type Items = BTreeMap<(u64, u8, u64), Item>;

/// The root node of a tree of files.
fn root_of(trees: &Trees, roots: &Items, id: u64) -> Option<u64> {
    let (_, item) = roots.range((id, item::ROOT, 0)..=(id, item::ROOT, u64::MAX)).next_back()?;
    le64(item.bytes(&trees.image)?, 176)
}

fn walk(trees: &Trees, roots: &Items, budget: &Budget, sink: &mut Sink<'_>) {
    let mut loaded: BTreeMap<u64, Rc<Items>> = BTreeMap::new();
    let mut links: BTreeMap<u64, Links> = BTreeMap::new();
    let mut queue = vec![(Vec::new(), DEFAULT, ROOT_FOLDER, 0)];
    let mut seen = std::collections::HashSet::new();
    while let Some((path, volume, folder, depth)) = queue.pop() {
        let mut items_of = |volume: u64, problems: &mut Vec<Problem>| {
            if let Some(items) = loaded.get(&volume) {
                return Some(Rc::clone(items));
            }
            let root = root_of(trees, roots, volume)?;
            let items = Rc::new(trees.items(root, budget, problems));
            loaded.insert(volume, Rc::clone(&items));
            Some(items)
        };
        let Some(items) = items_of(volume, &mut sink.problems) else {
            let text = format!("volume {volume} at `{}` has no tree", escape(&path));
            sink.problem(common::malformed(text));
            continue;
        };
        let mut below = Vec::new();
        for (_, item) in items.range((folder, item::INDEX, 0)..=(folder, item::INDEX, u64::MAX)) {
            let Some((number, kind, name)) = item.bytes(&trees.image).and_then(entry) else {
                sink.problem(common::malformed(format!(
                    "an entry of folder `{}` is not readable",
                    escape(&path)
                )));
                continue;
            };
            let path = common::join(&path, &name);
            let (mut inner, mut target, mut own) = (volume, number, Rc::clone(&items));
            if kind == item::ROOT {
                // A subvolume is a tree of its own. In a snapshot of the folder that holds it there is only an empty
                // place for it, which the volume does not name as its parent.
                let parent = roots.get(&(volume, item::ROOT_REF, number));
                let here = parent.and_then(|r| le64(r.bytes(&trees.image)?, 0)) == Some(folder);
                let Some(found) = items_of(number, &mut sink.problems).filter(|_| here) else {
                    let mut entry = Entry::file(path, Blob::None);
                    entry.kind = EntryKind::Directory;
                    if sink.entry(entry).is_err() {
                        return;
                    }
                    continue;
                };
                (inner, target, own) = (number, ROOT_FOLDER, found);
            }
            let (volume, number, items) = (inner, target, &own);
            let Some(mut entry) = make(trees, items, number, path.clone(), budget) else {
                sink.problem(common::malformed(format!(
                    "the inode of `{}` is not readable",
                    escape(&path)
                )));
                continue;
            };
            entry.problems.extend(common::check_name(&name));
            if entry.kind == EntryKind::Directory {
                if depth >= MAX_DEPTH || !seen.insert((volume, number)) {
                    entry
                        .problems
                        .push(common::malformed("the folder contains itself or is too deep"));
                } else {
                    below.push((path, volume, number, depth.saturating_add(1)));
                }
            } else if let Some(link) = links.entry(volume).or_default().first(number, &path) {
                (entry.kind, entry.blob) = (link, Blob::None);
            }
            if sink.entry(entry).is_err() {
                return;
            }
        }
        queue.extend(below.into_iter().rev());
    }
}

/// Number, type and name of an entry of a folder.
fn entry(b: &[u8]) -> Option<(u64, u8, Vec<u8>)> {
    let name = read::slice(b, 30, le16(b, 27)?.into())?;
    Some((le64(b, 0)?, read::u8(b, 8)?, name.to_vec()))
}

fn make(
    trees: &Trees,
    items: &Items,
    number: u64,
    path: Vec<u8>,
    budget: &Budget,
) -> Option<Entry> {
    let b = items.get(&(number, item::INODE, 0))?.bytes(&trees.image)?;
    let mode = le32(b, 52)?;
    let size = le64(b, 16)?;
    let mut problems = Vec::new();
    let extents = items.range((number, item::EXTENT, 0)..=(number, item::EXTENT, u64::MAX));
    let content =
        || content::blob(trees, size, extents.map(|((_, _, at), item)| (*at, *item)), budget);
    let (mut blob, mut target) = (Blob::None, Vec::new());
    match mode >> 12 {
        ftype::FILE => blob = content(),
        ftype::LINK if size <= 1 << 16 => {
            let loaded = content().load(budget);
            problems.extend(loaded.problems);
            target = loaded.bytes.to_vec();
        }
        _ => {}
    }
    let rdev = le64(b, 56)?;
    // As the kernel keeps it in memory: twelve bits, then twenty.
    let device = ((rdev >> 20) as u32, (rdev & 0xf_ffff) as u32);
    let kind = common::kind(mode, device, &target).unwrap_or_else(|| {
        problems.push(common::malformed(format!("unknown file type in mode {mode:o}")));
        EntryKind::File
    });
    let mut xattrs = Vec::new();
    for (_, item) in items.range((number, item::XATTR, 0)..=(number, item::XATTR, u64::MAX)) {
        // Names with the same hash share an item.
        let mut rest = item.bytes(&trees.image).unwrap_or_default();
        while let Some((pair, len)) = xattr(rest) {
            xattrs.push(pair);
            rest = rest.get(len..).unwrap_or_default();
        }
    }
    let metadata = Metadata {
        mode: Some(mode & 0o7777),
        uid: le32(b, 44),
        gid: le32(b, 48),
        mtime: le64(b, 136).map(|t| t as i64),
        xattrs,
    };
    Some(Entry { path, kind, metadata, blob, problems })
}

fn xattr(b: &[u8]) -> Option<((String, String), usize)> {
    let (value_len, name_len) = (usize::from(le16(b, 25)?), usize::from(le16(b, 27)?));
    let name = read::slice(b, 30, name_len)?;
    let value_at = name_len.checked_add(30)?;
    let value = read::slice(b, value_at, value_len)?;
    Some((common::xattr("", name, value), value_at.checked_add(value_len)?))
}
