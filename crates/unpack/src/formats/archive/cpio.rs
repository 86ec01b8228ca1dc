//! cpio in its four layouts: new ASCII with and without checksum, old ASCII, and binary in
//! either byte order.
//!
//! Archives that follow each other with zero padding between them are one, as the kernel
//! reads an initramfs. Of hard links the first name is the file and the others name it,
//! wherever the content stands (GNU cpio puts it at the last one).
//!
//! False positives: a header needs 104 hexadecimal digits (or 70 octal ones) and a name
//! that ends where it says; the binary layouts are looked for at the start of a content
//! only and need a second header. False negatives: archives without even one whole header.
//!
//! Sources: cpio(5) of libarchive, `Documentation/driver-api/early-userspace/buffer-format.rst`
//! of the Linux kernel.

use std::collections::BTreeMap;

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{entry, kind_of_mode, put};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Family, Format, Magic, Sink},
    map::{AROUND, examined},
    read::{self, Order},
};

/// The format.
pub struct Cpio;

static ABOUT: About = About {
    id: "cpio",
    name: "cpio",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, owner, mtime, device numbers, hard links",
    integrity: "sums of contents in the crc layout; end mark",
    limits: "extended attributes (no layout has them)",
    sources: &["libarchive cpio(5)", "Linux: early-userspace/buffer-format.rst"],
};

/// Longest name that is believed.
const NAME_MAX: usize = 4096;

/// How headers are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    New,
    NewCrc,
    Old,
    Binary(Order),
}

/// One header and where its parts lie.
#[derive(Debug)]
struct Head {
    layout: Layout,
    /// How many archives came before, device, inode.
    inode: (u32, u64, u64),
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    device: (u32, u32),
    check: u32,
    name: (usize, usize),
    data: usize,
    size: usize,
    next: usize,
}

/// `n` digits of `base`, nothing else.
fn digits(data: &[u8], at: usize, n: usize, base: u32) -> Option<u64> {
    read::slice(data, at, n)?.iter().try_fold(0u64, |value, b| {
        let digit = char::from(*b).to_digit(base)?;
        value.checked_mul(u64::from(base))?.checked_add(u64::from(digit))
    })
}

fn align(at: usize, step: usize) -> Option<usize> {
    at.checked_next_multiple_of(step)
}

/// Device numbers of the 16-bit layouts.
fn small_device(rdev: u64) -> (u32, u32) {
    (((rdev >> 8) & 0x3ff) as u32, (rdev & 0xff) as u32)
}

/// The header at `at`. `start` is where the archive begins, which alignment counts from.
fn head(data: &[u8], start: usize, at: usize) -> Option<Head> {
    let magic = read::slice(data, at, 2)?;
    let binary = match magic {
        [0xc7, 0x71] => Some(Order::Little),
        [0x71, 0xc7] => Some(Order::Big),
        _ => None,
    };
    let mut found = if let Some(order) = binary {
        let field =
            |n: usize| order.u16(data, at.checked_add(2usize.checked_mul(n)?)?).map(u64::from);
        let long = |n: usize| Some((field(n)? << 16) | field(n.checked_add(1)?)?);
        Head {
            layout: Layout::Binary(order),
            inode: (0, field(1)?, field(2)?),
            mode: field(3)? as u32,
            uid: field(4)? as u32,
            gid: field(5)? as u32,
            links: field(6)? as u32,
            device: small_device(field(7)?),
            mtime: long(8)? as u32,
            name: (at.checked_add(26)?, read::index(field(10)?)?),
            size: read::index(long(11)?)?,
            check: 0,
            data: 0,
            next: 0,
        }
    } else {
        match read::slice(data, at, 6)? {
            kind @ (b"070701" | b"070702") => {
                let field = |n: usize| {
                    digits(data, at.checked_add(6)?.checked_add(n.checked_mul(8)?)?, 8, 16)
                };
                Head {
                    layout: if kind == b"070701" { Layout::New } else { Layout::NewCrc },
                    inode: (0, (field(7)? << 32) | field(8)?, field(0)?),
                    mode: field(1)? as u32,
                    uid: field(2)? as u32,
                    gid: field(3)? as u32,
                    links: field(4)? as u32,
                    mtime: field(5)? as u32,
                    size: read::index(field(6)?)?,
                    device: (field(9)? as u32, field(10)? as u32),
                    name: (at.checked_add(110)?, read::index(field(11)?)?),
                    check: field(12)? as u32,
                    data: 0,
                    next: 0,
                }
            }
            b"070707" => {
                let field = |from: usize, n: usize| digits(data, at.checked_add(from)?, n, 8);
                Head {
                    layout: Layout::Old,
                    inode: (0, field(6, 6)?, field(12, 6)?),
                    mode: field(18, 6)? as u32,
                    uid: field(24, 6)? as u32,
                    gid: field(30, 6)? as u32,
                    links: field(36, 6)? as u32,
                    device: small_device(field(42, 6)?),
                    mtime: field(48, 11)? as u32,
                    name: (at.checked_add(76)?, read::index(field(59, 6)?)?),
                    size: read::index(field(65, 11)?)?,
                    check: 0,
                    data: 0,
                    next: 0,
                }
            }
            _ => return None,
        }
    };
    let (name_at, name_len) = found.name;
    let name = read::slice(data, name_at, name_len).filter(|n| n.len() <= NAME_MAX)?;
    let (0, text) = name.split_last().map(|(last, text)| (*last, text))? else { return None };
    if text.is_empty() || text.contains(&0) {
        return None;
    }
    found.name.1 = text.len();
    let step = match found.layout {
        Layout::New | Layout::NewCrc => 4,
        Layout::Old => 1,
        Layout::Binary(_) => 2,
    };
    let from_start = |at: usize| align(at.checked_sub(start)?, step)?.checked_add(start);
    found.data = from_start(name_at.checked_add(name_len)?)?;
    found.next = from_start(found.data.checked_add(found.size)?)?;
    Some(found)
}

impl Head {
    fn name<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        read::slice(data, self.name.0, self.name.1).unwrap_or_default()
    }

    fn ends_archive(&self, data: &[u8]) -> bool {
        self.name(data) == b"TRAILER!!!" && self.size == 0
    }

    /// The content, as far as it is there.
    fn range(&self, data: &[u8]) -> std::ops::Range<usize> {
        let start = self.data.min(data.len());
        start..self.data.saturating_add(self.size).min(data.len())
    }

    fn is_regular(&self) -> bool {
        matches!(self.mode & 0o170_000, 0o100_000 | 0)
    }

    /// Whether the sum of bytes is right, where the layout has one.
    fn sum_right(&self, data: &[u8]) -> Option<bool> {
        let content = data.get(self.range(data))?;
        (self.layout == Layout::NewCrc && self.is_regular() && self.size > 0).then(|| {
            let sum = content.iter().fold(0u32, |s, b| s.wrapping_add(u32::from(*b)));
            sum == self.check
        })
    }
}

/// What a walk over an archive found.
struct Walk {
    heads: Vec<Head>,
    end: usize,
    ended: bool,
    archives: u32,
    problems: Vec<Problem>,
}

/// Walks the archives from `start`. With `keep`, all headers are collected.
fn walk(data: &[u8], start: usize, keep: bool, budget: &Budget) -> Option<Walk> {
    let first = head(data, start, start)?;
    let layout = first.layout;
    let mut found =
        Walk { heads: Vec::new(), end: start, ended: false, archives: 0, problems: Vec::new() };
    let (mut at, mut begin, mut seen) = (start, start, 0u64);
    loop {
        if let Err(e) = budget.work(128) {
            found.problems.push(e.into());
            break;
        }
        examined(AROUND);
        let Some(mut head) = head(data, begin, at).filter(|h| h.layout == layout) else {
            if found.ended && seen == 0 {
                break;
            }
            found.ended = false;
            let (kind, what) = if data.len().saturating_sub(at) < 110 {
                (ProblemKind::Truncated, "the archive is cut off before its end mark")
            } else {
                (ProblemKind::Malformed, "no cpio header where the next one should be")
            };
            found.problems.push(Problem::new(kind, what).at(at.saturating_sub(start) as u64));
            found.end = at.min(data.len());
            break;
        };
        head.inode.0 = found.archives;
        seen = seen.saturating_add(1);
        at = head.next;
        found.end = at.min(data.len());
        let trailer = head.ends_archive(data);
        let cut = head.data.saturating_add(head.size) > data.len();
        if !trailer && keep {
            found.heads.push(head);
        }
        if cut {
            let problem =
                Problem::new(ProblemKind::Truncated, "the archive is cut off inside a content");
            found.problems.push(problem.at(data.len().saturating_sub(start) as u64));
            break;
        }
        if trailer {
            found.ended = true;
            found.archives = found.archives.saturating_add(1);
            // Padding to a whole block, and perhaps another archive behind zeros.
            let rest = data.get(found.end..).unwrap_or_default();
            let zero = rest.iter().take(1 << 16).take_while(|b| **b == 0).count();
            let block = align(found.end.saturating_sub(start), 512).unwrap_or(usize::MAX);
            let padding = block.saturating_sub(found.end.saturating_sub(start));
            begin = found.end.saturating_add(zero);
            seen = 0;
            if padding <= zero {
                found.end = found.end.saturating_add(padding);
            } else if zero == rest.len() {
                found.end = data.len();
            }
            // The binary layouts are too short a mark to look for them behind an end.
            if matches!(layout, Layout::Binary(_)) || head_layout(data, begin) != Some(layout) {
                break;
            }
            at = begin;
        }
    }
    Some(found)
}

fn head_layout(data: &[u8], at: usize) -> Option<Layout> {
    head(data, at, at).map(|h| h.layout)
}

impl Format for Cpio {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const {
            &[
                Magic::anywhere(b"070701"),
                Magic::anywhere(b"070702"),
                Magic::anywhere(b"070707"),
                Magic::start(b"\xc7\x71"),
                Magic::start(b"\x71\xc7"),
            ]
        }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let found = walk(data, at, false, budget)?;
        let binary = matches!(head_layout(data, at)?, Layout::Binary(_));
        let length = found.end.checked_sub(at)?;
        let several = head(data, at, at).is_some_and(|h| h.next < found.end);
        let proof = match (found.ended, several) {
            (true, _) => Proof::DecoderEnded,
            (false, true) => Proof::LengthsConsistent,
            (false, false) if binary => return None,
            (false, false) => Proof::MagicOnly,
        };
        Some(Candidate { problems: found.problems, ..Candidate::new(at, length, proof) })
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(found) = walk(region, 0, true, budget) else { return };
        let layout = found.heads.first().map_or_else(|| head_layout(region, 0), |h| Some(h.layout));
        sink.attribute(
            "variant",
            match layout {
                Some(Layout::New) | None => "newc",
                Some(Layout::NewCrc) => "crc",
                Some(Layout::Old) => "odc",
                Some(Layout::Binary(Order::Little)) => "bin-little-endian",
                Some(Layout::Binary(Order::Big)) => "bin-big-endian",
            },
        );
        if found.archives > 1 {
            sink.attribute("archives", found.archives);
        }
        // Names of one file: the first of them, and the entry that has the content.
        let mut files: BTreeMap<(u32, u64, u64), (usize, usize)> = BTreeMap::new();
        for (n, head) in found.heads.iter().enumerate() {
            if head.links > 1 && head.is_regular() {
                let known = files.entry(head.inode).or_insert((n, n));
                if head.size > 0 {
                    known.1 = n;
                }
            }
        }
        let mut sums: Option<bool> = None;
        for (n, head) in found.heads.iter().enumerate() {
            let name = head.name(region);
            let linked =
                (head.links > 1 && head.is_regular()).then(|| files.get(&head.inode)).flatten();
            let link = linked
                .filter(|(first, _)| *first != n)
                .and_then(|(first, _)| found.heads.get(*first));
            let holder = linked.and_then(|(_, holder)| found.heads.get(*holder)).unwrap_or(head);
            let range = holder.range(region);
            let kind = match (kind_of_mode(head.mode, head.device), link) {
                (_, Some(first)) => {
                    EntryKind::Hardlink { target: escape(&super::path(first.name(region)).0) }
                }
                (None, _) if head.mode & 0o170_000 == 0o120_000 => EntryKind::Symlink {
                    target: escape(region.get(range.clone()).unwrap_or_default()),
                },
                (Some(kind), _) => kind,
                (None, None) => EntryKind::File,
            };
            let mut made = entry(name, kind);
            made.metadata = Metadata {
                mode: Some(head.mode & 0o7777),
                uid: Some(head.uid),
                gid: Some(head.gid),
                mtime: Some(i64::from(head.mtime)),
                xattrs: Vec::new(),
            };
            if made.kind == EntryKind::File {
                if range.len() < holder.size {
                    made.problems.push(Problem::new(
                        ProblemKind::Truncated,
                        format!("{} of {} bytes are there", range.len(), holder.size),
                    ));
                }
                if let Some(right) = holder.sum_right(region) {
                    sums = Some(right && sums.unwrap_or(true));
                    if !right {
                        let text = "the sum of the content is not right";
                        made.problems.push(Problem::new(ProblemKind::Checksum, text));
                    }
                }
                made.blob = Blob::Bytes(region.slice(range));
            }
            if !put(sink, made) {
                return;
            }
        }
        if let Some(right) = sums {
            sink.attribute("checksum-correct", if right { "yes" } else { "no" });
        }
    }
}
