//! A volume: its records by object, and from the root folder to every entry.
//!
//! ```text
//! key:    60 bits number, 4 bits kind; names, attributes and extents go on with what orders them
//! inode:  0 parent, 8 number of its extents, 24 mtime (ns), 68 flags, 72 owner, 76 group, 80 mode, 92 fields
//! fields: count, bytes; (type, flags, length) each; then their data, each on a multiple of 8
//! name:   0 number, 16 kind;  attribute: 0 flags, 2 length, 4 data;  extent: 0 length (56 bits), 8 block
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, locator::escape};

use super::{
    object::{Container, Names, Record},
    packed,
};
use crate::{
    budget::Budget,
    format::{Blob, Entry, Sink},
    formats::filesystem::common::{self, Links, MAX_DEPTH, Run, ftype, malformed},
    read::{self, le16, le32, le64},
};

/// Kinds of records.
mod kind {
    pub const SNAPSHOT: u64 = 1;
    pub const INODE: u64 = 3;
    pub const XATTR: u64 = 4;
    pub const EXTENT: u64 = 8;
    pub const NAME: u64 = 9;
}

/// The root folder, the folder of files that are gone but were still open, and the first number of users' files.
const ROOT: u64 = 2;
const PRIVATE: u64 = 3;
const FIRST: u64 = 16;
/// Fields of inodes.
const STREAM: u8 = 8;
const RDEV: u8 = 14;
/// Flag of a file whose content is compressed.
const COMPRESSED: u32 = 0x20;
/// Attributes by which the file system keeps contents.
const SYMLINK: &[u8] = b"com.apple.fs.symlink";
const DECMPFS: &[u8] = b"com.apple.decmpfs";
const RESOURCE_FORK: &[u8] = b"com.apple.ResourceFork";
/// Larger attributes are entries of their own.
const ATTRIBUTE: u64 = 1 << 16;
/// 60 bits.
const NUMBER: u64 = (1 << 60) - 1;

/// A volume's superblock.
pub(super) struct Volume<'c> {
    container: &'c Container,
    sb: &'c [u8],
    pub name: Vec<u8>,
}

/// An attribute: embedded, or the number and size of its extents.
struct Attribute {
    name: Vec<u8>,
    flags: u16,
    data: (usize, usize),
}

/// Records of one number.
#[derive(Default)]
struct Object {
    inode: Option<(usize, usize)>,
    names: Vec<(Vec<u8>, u64)>,
    attributes: Vec<Attribute>,
}

/// All records.
#[derive(Default)]
struct Records {
    objects: BTreeMap<u64, Object>,
    /// By the number of a content: offset, length, block.
    extents: HashMap<u64, Vec<(u64, u64, u64)>>,
}

/// What was found of each kind that the superblock counts.
#[derive(Default)]
struct Found {
    files: BTreeSet<u64>,
    folders: BTreeSet<u64>,
    links: BTreeSet<u64>,
    others: BTreeSet<u64>,
}

impl<'c> Volume<'c> {
    /// The volume whose superblock lies in `block`.
    pub fn read(container: &'c Container, block: u64) -> Option<Self> {
        let sb = container.block(block)?;
        let right = sb.get(32..36)? == b"APSB" && super::object::sum_is_right(sb);
        let name = read::until_nul(sb.get(704..960)?).to_vec();
        right.then_some(Self { container, sb, name })
    }

    fn field(&self, at: usize) -> u64 {
        le64(self.sb, at).unwrap_or(0)
    }

    fn is_encrypted(&self) -> bool {
        self.field(264) & 1 == 0
    }

    /// Names are kept with a hash where case or composition of letters does not matter.
    fn hashes_names(&self) -> bool {
        self.field(56) & 9 != 0
    }

    fn is_sealed(&self) -> bool {
        self.field(56) & 0x20 != 0
    }

    /// Puts every entry below `prefix` into the sink.
    pub fn walk(&self, prefix: &[u8], budget: &Budget, sink: &mut Sink<'_>) {
        if !prefix.is_empty() {
            let folder = Entry {
                path: prefix.to_vec(),
                kind: EntryKind::Directory,
                metadata: Metadata::default(),
                blob: Blob::None,
                problems: Vec::new(),
            };
            if sink.entry(folder).is_err() {
                return;
            }
        }
        let mut problems = Vec::new();
        if self.is_encrypted() {
            let text = format!("volume `{}` is encrypted, no key", escape(&self.name));
            problems.push(Problem::new(ProblemKind::Encrypted, text));
            sink.attribute("encrypted", "yes");
        }
        self.snapshots(budget, sink);
        let records = self.records(budget, &mut problems);
        // An encrypted volume says so once, whatever of its tree is readable.
        let mut encrypted = false;
        problems.retain(|p| {
            p.kind != ProblemKind::Encrypted || !std::mem::replace(&mut encrypted, true)
        });
        let closed = encrypted && records.objects.is_empty();
        problems.into_iter().for_each(|p| sink.problem(p));
        if closed {
            return;
        }
        let mut found = Found::default();
        let mut links = Links::default();
        let mut seen = BTreeSet::from([ROOT, PRIVATE]);
        let private = common::join(prefix, b"private-dir");
        let mut queue = vec![(private, PRIVATE, 0), (prefix.to_vec(), ROOT, 0)];
        while let Some((path, number, depth)) = queue.pop() {
            let Some(folder) = records.objects.get(&number) else { continue };
            let mut below = Vec::new();
            for (name, number) in &folder.names {
                let path = common::join(&path, name);
                let Some(mut entry) = self.entry(&records, *number, path.clone(), budget) else {
                    let text = format!("the inode of `{}` is not readable", escape(&path));
                    sink.problem(malformed(text));
                    continue;
                };
                entry.problems.extend(common::check_name(name));
                let counted = match entry.kind {
                    EntryKind::Directory => &mut found.folders,
                    EntryKind::File => &mut found.files,
                    EntryKind::Symlink { .. } => &mut found.links,
                    _ => &mut found.others,
                };
                if *number >= FIRST {
                    counted.insert(*number);
                }
                let streams = self.streams(&records, *number, &path, budget);
                let mut again = false;
                if entry.kind == EntryKind::Directory {
                    if depth >= MAX_DEPTH || !seen.insert(*number) {
                        entry.problems.push(malformed("the folder contains itself or is too deep"));
                    } else {
                        below.push((path, *number, depth.saturating_add(1)));
                    }
                } else if let Some(link) = links.first(*number, &path) {
                    (entry.kind, entry.blob, again) = (link, Blob::None, true);
                }
                let streams = streams.into_iter().filter(|_| !again);
                for entry in std::iter::once(entry).chain(streams) {
                    if sink.entry(entry).is_err() {
                        return;
                    }
                }
            }
            queue.extend(below.into_iter().rev());
        }
        let counts: [(&str, &BTreeSet<u64>, usize); 4] = [
            ("files", &found.files, 184),
            ("folders", &found.folders, 192),
            ("symbolic links", &found.links, 200),
            ("special files", &found.others, 208),
        ];
        for (what, found, at) in counts {
            common::incomplete(sink, what, found.len() as u64, self.field(at));
        }
    }

    /// Names of the snapshots.
    fn snapshots(&self, budget: &Budget, sink: &mut Sink<'_>) {
        if self.field(216) == 0 {
            return;
        }
        let mut names = Vec::new();
        let c = self.container;
        for (key, value) in c.records(self.field(152), Names::Blocks, budget, &mut sink.problems) {
            let v = c.bytes(value);
            if le64(c.bytes(key), 0).map(|k| k >> 60) == Some(kind::SNAPSHOT)
                && let Some(name) = le16(v, 48).and_then(|len| read::slice(v, 50, len.into()))
            {
                names.push(escape(read::until_nul(name)));
            }
        }
        sink.attribute("snapshots", names.join(", "));
    }

    fn records(&self, budget: &Budget, problems: &mut Vec<Problem>) -> Records {
        let c = self.container;
        let map = c.map(self.field(128), budget, problems);
        let by_block = le32(self.sb, 116).unwrap_or(0) & 0x4000_0000 != 0;
        let names = if by_block { Names::Blocks } else { Names::Numbers(&map) };
        let mut records = Records::default();
        for record in c.records(self.field(136), names, budget, problems) {
            self.add(&mut records, record);
        }
        if self.is_sealed() {
            // A sealed volume keeps its extents in a tree of their own.
            let by_block = le32(self.sb, 1040).unwrap_or(0) & 0x4000_0000 != 0;
            let names = if by_block { Names::Blocks } else { Names::Numbers(&map) };
            for (key, value) in c.records(self.field(1032), names, budget, problems) {
                let (k, v) = (c.bytes(key), c.bytes(value));
                if let (Some(number), Some(at), Some(len), Some(block)) =
                    (le64(k, 0), le64(k, 8), le64(v, 0), le64(v, 8))
                {
                    records.extents.entry(number).or_default().push((at, len << 8 >> 8, block));
                }
            }
        }
        records
    }

    fn add(&self, records: &mut Records, (key, value): Record) -> Option<()> {
        let (k, v) = (self.container.bytes(key), self.container.bytes(value));
        let head = le64(k, 0)?;
        let number = head & NUMBER;
        match head >> 60 {
            kind::INODE => records.objects.entry(number).or_default().inode = Some(value),
            kind::NAME => {
                let (at, len) = if self.hashes_names() {
                    (12, le32(k, 8)? as usize & 0x3ff)
                } else {
                    (10, le16(k, 8)?.into())
                };
                let name = read::until_nul(read::slice(k, at, len)?).to_vec();
                // The root folder is itself an entry of a folder that does not exist.
                records.objects.entry(number).or_default().names.push((name, le64(v, 0)?));
            }
            kind::XATTR => {
                let name = read::until_nul(read::slice(k, 10, le16(k, 8)?.into())?).to_vec();
                let len = usize::from(le16(v, 2)?).min(v.len().checked_sub(4)?);
                let data = (value.0.checked_add(4)?, len);
                let attribute = Attribute { name, flags: le16(v, 0)?, data };
                records.objects.entry(number).or_default().attributes.push(attribute);
            }
            kind::EXTENT => {
                let extent = (le64(k, 8)?, le64(v, 0)? << 8 >> 8, le64(v, 8)?);
                records.extents.entry(number).or_default().push(extent);
            }
            _ => {}
        }
        Some(())
    }

    /// The content of `size` bytes made of the extents of `number`.
    fn content(&self, records: &Records, number: u64, size: u64) -> Blob {
        let mut runs = Vec::new();
        for (file, len, block) in records.extents.get(&number).into_iter().flatten() {
            // Block 0 stands for zeros.
            if *block != 0 {
                let image = block.saturating_mul(self.container.size as u64);
                common::push_run(&mut runs, Run { file: *file, image, len: *len });
            }
        }
        common::content(&self.container.image, size, runs)
    }

    /// The bytes of an attribute.
    fn attribute(&self, records: &Records, a: &Attribute) -> Blob {
        let data = self.container.bytes(a.data);
        if a.flags & 1 == 0 {
            return Blob::Bytes(Bytes::copy_from_slice(data));
        }
        match (le64(data, 0), le64(data, 8)) {
            (Some(number), Some(size)) => self.content(records, number, size),
            _ => Blob::None,
        }
    }

    /// Attributes too large for metadata, as entries beside the file.
    fn streams(&self, records: &Records, number: u64, path: &[u8], budget: &Budget) -> Vec<Entry> {
        let Some(object) = records.objects.get(&number) else { return Vec::new() };
        let inode = object.inode.map(|at| self.container.bytes(at)).unwrap_or_default();
        let packed = le32(inode, 68).unwrap_or(0) & COMPRESSED != 0;
        let large = object.attributes.iter().filter(|a| {
            budget.work(64).is_ok()
                && !(packed && a.name == RESOURCE_FORK)
                && self.attribute(records, a).size() > ATTRIBUTE
        });
        large
            .map(|a| {
                let path = [path, b":", &a.name].concat();
                Entry::file(path, self.attribute(records, a))
            })
            .collect()
    }

    fn entry(
        &self,
        records: &Records,
        number: u64,
        path: Vec<u8>,
        budget: &Budget,
    ) -> Option<Entry> {
        let object = records.objects.get(&number)?;
        let b = self.container.bytes(object.inode?);
        let (mode, flags) = (u32::from(le16(b, 80)?), le32(b, 68)?);
        let mut problems = Vec::new();
        let named = |name: &[u8]| object.attributes.iter().find(|a| a.name == name);
        let packed = named(DECMPFS).filter(|_| flags & COMPRESSED != 0);
        let (mut blob, mut target) = (Blob::None, Vec::new());
        match mode >> 12 {
            _ if self.is_encrypted() => {
                problems.push(Problem::new(ProblemKind::Encrypted, "encrypted volume, no key"));
            }
            ftype::FILE => {
                blob = if let Some(header) = packed {
                    let header = self.attribute(records, header);
                    let fork = named(RESOURCE_FORK).map(|a| self.attribute(records, a));
                    packed::blob(&header, fork, budget, &mut problems)
                } else {
                    let size = field(b, STREAM).and_then(|f| le64(f, 0)).unwrap_or(0);
                    self.content(records, le64(b, 8)?, size)
                };
            }
            ftype::LINK => match named(SYMLINK) {
                Some(a) => {
                    let loaded = self.attribute(records, a).load(budget);
                    problems.extend(loaded.problems);
                    target = read::until_nul(&loaded.bytes).to_vec();
                }
                None => problems.push(malformed("a link without a target")),
            },
            _ => {}
        }
        let rdev = field(b, RDEV).and_then(|f| le32(f, 0)).unwrap_or(0);
        let kind =
            common::kind(mode, (rdev >> 24, rdev & 0xff_ffff), &target).unwrap_or_else(|| {
                problems.push(malformed(format!("unknown file type in mode {mode:o}")));
                EntryKind::File
            });
        let mut xattrs = Vec::new();
        for a in &object.attributes {
            let own = a.name == SYMLINK
                || packed.is_some() && (a.name == DECMPFS || a.name == RESOURCE_FORK);
            let value = self.attribute(records, a);
            if !own && value.size() <= ATTRIBUTE {
                let loaded = value.load(budget);
                problems.extend(loaded.problems);
                xattrs.push(common::xattr("", &a.name, &loaded.bytes));
            }
        }
        let metadata = Metadata {
            mode: Some(mode & 0o7777),
            uid: le32(b, 72),
            gid: le32(b, 76),
            mtime: le64(b, 24).map(|t| (t as i64).div_euclid(1_000_000_000)),
            xattrs,
        };
        Some(Entry { path, kind, metadata, blob, problems })
    }
}

/// A field behind an inode.
fn field(inode: &[u8], wanted: u8) -> Option<&[u8]> {
    let b = inode.get(92..)?;
    let count = usize::from(le16(b, 0)?);
    let mut at = count.checked_mul(4)?.checked_add(4)?;
    for head in b.get(4..)?.chunks_exact(4).take(count) {
        let len = usize::from(le16(head, 2)?);
        if read::u8(head, 0)? == wanted {
            return read::slice(b, at, len);
        }
        at = at.checked_add(len.checked_next_multiple_of(8)?)?;
    }
    None
}
