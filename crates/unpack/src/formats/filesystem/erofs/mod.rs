//! EROFS with LZ4, LZMA, deflate and zstd.
//!
//! *Establishes*: every inode with its metadata; contents are slices where they
//! are stored as they are, else decoded on demand.
//! *How*: superblock at byte 1024 (CRC-32C where the image has it), inodes by
//! number, folders block by block, compressed files by their index of clusters.
//! *False positives*: without checksum the root inode must be a folder.
//! *Limits*: contents on further devices are not read. *Sources*: kernel
//! `fs/erofs/erofs_fs.h`, `Documentation/filesystems/erofs.rst`.

mod compressed;
mod inode;

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use self::{compressed::Fragments, inode::Inode};
use super::common::{self, Links, MAX_DEPTH, crc32c, ftype};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Loaded, Magic, Sink},
    read::{self, le16, le32, le64},
};

/// EROFS.
pub struct Erofs;

static ABOUT: About = About {
    id: "erofs",
    name: "EROFS",
    family: Family::FileSystem,
    revision: 1,
    metadata: "mode, owner, mtime, xattrs, device numbers, hard links",
    integrity: "superblock crc32c, declared number of inodes",
    limits: "further devices not read",
    sources: &["https://erofs.docs.kernel.org/en/latest/core_ondisk.html"],
};

impl Format for Erofs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(&[0xe2, 0xe1, 0xf5, 0xe0]).after(1024)];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(4096).ok()?;
        let fs = Fs::parse(data.slice(at.min(data.len())..))?;
        let declared = read::index(fs.blocks.checked_mul(fs.block_size)?)?;
        let length = declared.min(fs.image.len());
        let root = Inode::read(&fs, fs.root).is_some_and(|i| i.mode >> 12 == ftype::DIR);
        let proof = match (fs.checksum_right(), root) {
            (Some(true), _) => Proof::ChecksumVerified,
            (_, true) => Proof::DecoderEnded,
            (_, false) => return None,
        };
        let mut candidate = Candidate::new(at, length, proof);
        if length < declared {
            let text = format!("the superblock declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(fs) = Fs::parse(region.clone()) else { return };
        fs.describe(sink);
        fs.walk(budget, sink);
    }
}

/// An image and what its superblock says.
struct Fs {
    image: Bytes,
    block_bits: u32,
    block_size: u64,
    blocks: u64,
    root: u64,
    inodes: u64,
    meta: u64,
    xattrs: u64,
    built: u64,
    incompat: u32,
    /// Inode that holds the ends of files.
    packed: u64,
    folder_block: u64,
    prefixes: Vec<(u8, Vec<u8>)>,
    /// The content of the packed inode.
    fragments: Option<Arc<Fragments>>,
}

/// Compatible feature: checksum of the superblock.
const CHECKSUM: u32 = 1;
/// Incompatible feature: compressed data are padded in front.
const PADDED: u32 = 1;
const PREFIXES: u32 = 0x40;

impl Fs {
    fn parse(image: Bytes) -> Option<Self> {
        let b = image.get(1024..1152)?;
        let bits = u32::from(read::u8(b, 12)?);
        let agrees = le32(b, 0)? == 0xe0f5_e1e2 && (9..=16).contains(&bits);
        let block_size = 1u64.checked_shl(bits).filter(|_| agrees)?;
        let folder_bits = bits.checked_add(read::u8(b, 90)?.into()).filter(|n| *n <= 24)?;
        let mut this = Self {
            block_bits: bits,
            block_size,
            blocks: le32(b, 36)?.into(),
            root: le16(b, 14)?.into(),
            inodes: le64(b, 16)?,
            meta: u64::from(le32(b, 40)?).checked_mul(block_size)?,
            xattrs: u64::from(le32(b, 44)?).checked_mul(block_size)?,
            built: le64(b, 24)?,
            incompat: le32(b, 80)?,
            packed: le64(b, 96)?,
            folder_block: 1u64.checked_shl(folder_bits)?,
            prefixes: Vec::new(),
            fragments: None,
            image: image.clone(),
        };
        if this.incompat & PREFIXES != 0 {
            let at = u64::from(le32(b, 92)?).checked_mul(4)?;
            this.prefixes = this.read_prefixes(at, read::u8(b, 91)?).unwrap_or_default();
        }
        if this.packed != 0 {
            // Without fragments of its own.
            let packed = Inode::read(&this, this.packed)?;
            this.fragments = Some(Fragments::new(packed.content(&this, &Budget::ample()).ok()?));
        }
        (this.blocks > 0).then_some(this)
    }

    /// Long prefixes of attribute names: index of the short prefix, and what follows it.
    fn read_prefixes(&self, at: u64, count: u8) -> Option<Vec<(u8, Vec<u8>)>> {
        let mut at = read::index(at)?;
        let mut prefixes = Vec::new();
        for _ in 0..count {
            let len = usize::from(le16(&self.image, at)?);
            let b = read::slice(&self.image, at.checked_add(2)?, len)?;
            let (base, infix) = b.split_first()?;
            prefixes.push((*base, infix.to_vec()));
            at = at.checked_add(2)?.checked_add(len)?.checked_next_multiple_of(4)?;
        }
        Some(prefixes)
    }

    fn checksum_right(&self) -> Option<bool> {
        let b = self.image.get(1024..)?;
        if le32(b, 8)? & CHECKSUM == 0 {
            return None;
        }
        // Up to the end of the block that the superblock is in.
        let len = read::index(self.block_size)?;
        let end = if len > 1024 { len.checked_sub(1024)? } else { len };
        let crc = crc32c(crc32c(crc32c(!0, b.get(..4)?), &[0; 4]), b.get(8..end)?);
        Some(le32(b, 4)? == crc)
    }

    fn describe(&self, sink: &mut Sink<'_>) {
        sink.attribute("block-size", self.block_size);
        sink.attribute("created", self.built);
        let b = self.image.get(1024..1152).unwrap_or_default();
        let label = read::until_nul(b.get(64..80).unwrap_or_default());
        if !label.is_empty() {
            sink.attribute("label", escape(label));
        }
        if let Some(right) = self.checksum_right() {
            sink.attribute("checksum-correct", if right { "yes" } else { "no" });
            if !right {
                let text = "the checksum of the superblock does not match";
                sink.problem(Problem::new(ProblemKind::Checksum, text).at(1024));
            }
        }
    }

    fn walk(&self, budget: &Budget, sink: &mut Sink<'_>) {
        let mut links = Links::default();
        let mut seen = HashSet::from([self.root]);
        let mut queue = vec![(Vec::new(), self.root, 0)];
        'walk: while let Some((path, number, depth)) = queue.pop() {
            let loaded = Inode::read(self, number).map(|i| match i.content(self, budget) {
                Ok(blob) => blob.load(budget),
                Err(e) => Loaded { problems: vec![e.into()], ..Loaded::default() },
            });
            let loaded = loaded.unwrap_or_default();
            for problem in loaded.problems {
                let message = format!("folder `{}`: {}", escape(&path), problem.message);
                sink.problem(Problem { message, ..problem });
            }
            let mut names = Vec::new();
            for block in loaded.bytes.chunks(read::index(self.folder_block).unwrap_or(4096).max(1))
            {
                if names_in(block, &mut names).is_none() {
                    sink.problem(common::malformed(format!(
                        "the list of folder `{}` is damaged",
                        escape(&path)
                    )));
                }
            }
            let mut below = Vec::new();
            for (number, name) in names {
                let path = common::join(&path, &name);
                let Some(inode) = Inode::read(self, number) else {
                    sink.problem(common::malformed(format!(
                        "the inode of `{}` is not readable",
                        escape(&path)
                    )));
                    continue;
                };
                let mut problems = Vec::from_iter(common::check_name(&name));
                let (mut blob, mut target) = (Blob::None, Vec::new());
                match inode.mode >> 12 {
                    ftype::FILE => match inode.content(self, budget) {
                        Ok(content) => blob = content,
                        Err(e) => problems.push(e.into()),
                    },
                    ftype::LINK if inode.size <= 1 << 16 => {
                        let blob = inode.content(self, budget).unwrap_or(Blob::None);
                        let loaded = blob.load(budget);
                        problems.extend(loaded.problems);
                        target = loaded.bytes.to_vec();
                    }
                    _ => {}
                }
                let kind = common::kind(inode.mode, common::device(inode.start), &target)
                    .unwrap_or_else(|| {
                        problems.push(common::malformed(format!(
                            "unknown file type in mode {:o}",
                            inode.mode
                        )));
                        EntryKind::File
                    });
                let metadata = Metadata {
                    mode: Some(inode.mode & 0o7777),
                    uid: Some(inode.uid),
                    gid: Some(inode.gid),
                    mtime: Some(inode.mtime as i64),
                    xattrs: inode.xattrs(self, budget, &mut problems),
                };
                let mut entry = Entry { path, kind, metadata, blob, problems };
                if entry.kind == EntryKind::Directory {
                    if depth >= MAX_DEPTH || !seen.insert(number) {
                        entry
                            .problems
                            .push(common::malformed("the folder contains itself or is too deep"));
                    } else {
                        below.push((entry.path.clone(), number, depth.saturating_add(1)));
                    }
                } else if let Some(link) = links.first(number, &entry.path) {
                    (entry.kind, entry.blob) = (link, Blob::None);
                }
                if sink.entry(entry).is_err() {
                    break 'walk;
                }
            }
            queue.extend(below.into_iter().rev());
        }
        let found = links.len().saturating_add(seen.len() as u64);
        // The packed inode has no name.
        let own = u64::from(self.packed != 0);
        common::incomplete(sink, "inodes", found, self.inodes.saturating_sub(own));
    }
}

/// The names in one block of a folder, without `.` and `..`.
fn names_in(b: &[u8], names: &mut Vec<(u64, Vec<u8>)>) -> Option<()> {
    let first = usize::from(le16(b, 8)?);
    let entries = b.get(..first)?;
    let mut entries = entries.chunks_exact(12).peekable();
    while let Some(e) = entries.next() {
        let start = usize::from(le16(e, 8)?);
        let name = match entries.peek() {
            Some(next) => b.get(start..usize::from(le16(next, 8)?))?,
            None => read::until_nul(b.get(start..)?),
        };
        if name != b"." && name != b".." {
            names.push((le64(e, 0)?, name.to_vec()));
        }
    }
    Some(())
}
