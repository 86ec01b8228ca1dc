//! romfs of Linux.
//!
//! *Establishes*: every entry; contents are slices of the image.
//! *How*: header whose first 512 bytes sum to zero, then chained entries, each
//! with a sum of its own. *False positives*: none with the sum.
//! *Limits*: the format keeps no owner and no times, and of the mode only whether
//! it may be executed; the kernel shows 0444 or 0555, and so do we.
//! *Sources*: kernel `Documentation/filesystems/romfs.rst`.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::common::{self, MAX_DEPTH};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read::{self, be32},
};

/// romfs.
pub struct RomFs;

static ABOUT: About = About {
    id: "romfs",
    name: "romfs",
    family: Family::FileSystem,
    revision: 1,
    metadata: "execute permission, device numbers, hard links",
    integrity: "sums over the first 512 bytes and over each entry's header",
    limits: "no owner and no times in the format",
    sources: &["https://docs.kernel.org/filesystems/romfs.html"],
};

const MAGIC: &[u8] = b"-rom1fs-";

impl Format for RomFs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(MAGIC)];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(512).ok()?;
        let image = data.get(at..)?;
        let declared = be32(image, 8)? as usize;
        let first = first_entry(image)?;
        if declared < first {
            return None;
        }
        let length = declared.min(image.len());
        let right = sum(image.get(..512.min(length))?) == 0;
        let mut candidate = Candidate::new(at, length, Proof::ChecksumVerified);
        if !right {
            // Damaged, unless the entry behind the header is no entry either.
            Node::parse(image, first)?;
            candidate.proof = Proof::LengthsConsistent;
            let text = "the sum over the first 512 bytes does not match";
            candidate.problems.push(Problem::new(ProblemKind::Checksum, text));
        }
        if length < declared {
            let text = format!("the header declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        } else {
            // genromfs pads to 1 KiB.
            let end = length.next_multiple_of(1024).min(image.len());
            if image.get(length..end).is_some_and(|pad| pad.iter().all(|b| *b == 0)) {
                candidate.length = end;
            }
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(first) = first_entry(region) else { return };
        let label = read::until_nul(region.get(16..first).unwrap_or_default());
        if !label.is_empty() {
            sink.attribute("label", escape(label));
        }
        // Where each entry is, and the hard links, whose targets may come later.
        let mut paths = BTreeMap::new();
        let mut links = Vec::new();
        let mut seen = HashSet::new();
        let mut queue = vec![(Vec::new(), first, 0)];
        while let Some((path, mut at, depth)) = queue.pop() {
            let mut below = Vec::new();
            while at != 0 {
                let Some(node) = Node::parse(region, at) else {
                    let text = format!("an entry of folder `{}` is not readable", escape(&path));
                    sink.problem(common::malformed(text).at(at as u64));
                    break;
                };
                if !seen.insert(at) {
                    sink.problem(
                        common::malformed("a chain of entries runs in a circle").at(at as u64),
                    );
                    break;
                }
                if budget.work(64).is_err() {
                    return;
                }
                let this = at;
                at = node.next;
                if node.name == b"." || node.name == b".." {
                    continue;
                }
                let path = common::join(&path, node.name);
                let mut problems = Vec::from_iter(common::check_name(node.name));
                if !node.sum_right {
                    problems.push(Problem::new(
                        ProblemKind::Checksum,
                        "the sum of the header does not match",
                    ));
                }
                let content = region.slice(node.data.min(region.len())..);
                let have = content.len().min(node.size);
                if have < node.size && matches!(node.kind, 2 | 3) {
                    let text = format!("{have} of {} bytes are there", node.size);
                    problems.push(Problem::new(ProblemKind::Truncated, text));
                }
                let content = content.slice(..have);
                let (major, minor) = (node.info >> 16, node.info & 0xffff);
                let mut blob = Blob::None;
                let kind = match node.kind {
                    0 => {
                        links.push((sink.entries.len(), node.info as usize & !15));
                        EntryKind::File
                    }
                    1 => {
                        if depth < MAX_DEPTH {
                            below.push((
                                path.clone(),
                                node.info as usize & !15,
                                depth.saturating_add(1),
                            ));
                        } else {
                            problems.push(common::malformed("the folder is too deep"));
                        }
                        EntryKind::Directory
                    }
                    2 => {
                        blob = Blob::Bytes(content);
                        EntryKind::File
                    }
                    3 => EntryKind::Symlink { target: escape(&content) },
                    4 => EntryKind::BlockDevice { major, minor },
                    5 => EntryKind::CharDevice { major, minor },
                    6 => EntryKind::Socket,
                    _ => EntryKind::Fifo,
                };
                let mode = if node.executable { 0o555 } else { 0o444 };
                let metadata = Metadata { mode: Some(mode), ..Metadata::default() };
                paths.insert(this, (path.clone(), kind.clone()));
                if sink.entry(Entry { path, kind, metadata, blob, problems }).is_err() {
                    return;
                }
            }
            queue.extend(below.into_iter().rev());
        }
        for (index, target) in links {
            let Some(entry) = sink.entries.get_mut(index) else { continue };
            match paths.get(&target) {
                Some((path, kind)) if *kind != EntryKind::Directory => {
                    entry.kind = EntryKind::Hardlink { target: escape(path) };
                }
                _ => entry
                    .problems
                    .push(common::malformed(format!("links to no entry at {target:#x}"))),
            }
        }
    }
}

/// The sum of big-endian words, wrapping; what is cut off counts as zero.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(4).fold(0u32, |sum, c| {
        let mut word = [0; 4];
        word.iter_mut().zip(c).for_each(|(to, from)| *to = *from);
        sum.wrapping_add(u32::from_be_bytes(word))
    })
}

/// Bytes of a name with its zeros, padded to 16.
fn name_len(b: &[u8], at: usize) -> Option<usize> {
    let len = b.get(at..)?.iter().take(4096).position(|c| *c == 0)?;
    len.checked_add(1)?.checked_next_multiple_of(16)
}

fn first_entry(image: &[u8]) -> Option<usize> {
    image.starts_with(MAGIC).then(|| name_len(image, 16)?.checked_add(16))?
}

struct Node<'a> {
    next: usize,
    kind: u32,
    executable: bool,
    info: u32,
    size: usize,
    name: &'a [u8],
    data: usize,
    sum_right: bool,
}

impl<'a> Node<'a> {
    fn parse(image: &'a [u8], at: usize) -> Option<Self> {
        let b = image.get(at..)?;
        let next = be32(b, 0)?;
        let header = name_len(b, 16)?.checked_add(16)?;
        Some(Self {
            next: next as usize & !15,
            kind: next & 7,
            executable: next & 8 != 0,
            info: be32(b, 4)?,
            size: be32(b, 8)? as usize,
            name: read::until_nul(b.get(16..header)?),
            data: at.checked_add(header)?,
            sum_right: sum(b.get(..header)?) == 0,
        })
    }
}
