//! cramfs, either byte order.
//!
//! *Establishes*: every inode; contents are decoded on demand.
//! *How*: superblock with a CRC-32 over the whole image; the tree of inodes that
//! name offsets; files as lists of zlib pages.
//! *False positives*: none with the checksum (format version 2).
//! *Limits*: the format keeps no times, 8 bits of the group and no hard links
//! (equal files share their pages). *Sources*: kernel `fs/cramfs/README`,
//! `include/uapi/linux/cramfs_fs.h`.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::common::{self, MAX_DEPTH, crc32_raw, ftype, zeros};
use crate::{
    budget::Budget,
    codec::deflate,
    format::{About, Blob, Candidate, Entry, Family, Format, Load, Loaded, Magic, Sink},
    read::{self, Order},
};

/// cramfs.
pub struct CramFs;

static ABOUT: About = About {
    id: "cramfs",
    name: "cramfs",
    family: Family::FileSystem,
    revision: 1,
    metadata: "mode, owner (8 bits of the group), device numbers",
    integrity: "crc32 over the image, declared number of files",
    limits: "no times, no hard links in the format",
    sources: &["https://www.kernel.org/doc/Documentation/filesystems/cramfs.rst"],
};

/// Bytes of a page of content.
const PAGE: usize = 4096;
const SUPER: usize = 76;
/// Feature bits.
const VERSION_2: u32 = 1;
const EXTENDED_POINTERS: u32 = 0x800;

impl Format for CramFs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(b"Compressed ROMFS").after(16)];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let image = data.get(at..)?;
        let (order, declared, flags) = superblock(image)?;
        let length = declared.min(image.len());
        let mut candidate = Candidate::new(at, length, Proof::LengthsConsistent);
        if length < declared {
            let text = format!("the superblock declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        } else if flags & VERSION_2 != 0 {
            budget.work(length as u64).ok()?;
            if checksum_right(image.get(..length)?, order)? {
                candidate.proof = Proof::ChecksumVerified;
            } else {
                let text = "the checksum over the image does not match";
                candidate.problems.push(Problem::new(ProblemKind::Checksum, text).at(32));
            }
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some((order, _, flags)) = superblock(region) else {
            sink.problem(common::malformed("the superblock contradicts itself"));
            return;
        };
        sink.attribute("byte-order", if order == Order::Big { "big" } else { "little" });
        sink.attribute("compression", "zlib");
        let label = read::until_nul(region.get(48..64).unwrap_or_default());
        if !label.is_empty() {
            sink.attribute("label", escape(label));
        }
        if flags & VERSION_2 != 0
            && let Some(right) = checksum_right(region, order)
        {
            sink.attribute("checksum-correct", if right { "yes" } else { "no" });
        }
        let extended = flags & EXTENDED_POINTERS != 0;
        let mut found = 1u64;
        let mut seen = HashSet::new();
        let mut queue = Vec::from_iter(Inode::parse(region, 64, order).map(|i| (Vec::new(), i, 0)));
        while let Some((path, folder, depth)) = queue.pop() {
            let list = read::slice(region, folder.offset, folder.size);
            let Some(list) = list.filter(|l| budget.work(l.len() as u64).is_ok()) else {
                sink.problem(common::malformed(format!(
                    "the list of folder `{}` is not there",
                    escape(&path)
                )));
                continue;
            };
            let mut at = 0usize;
            let mut below = Vec::new();
            while at < list.len() {
                let Some((inode, name, next)) = named(list, at, order) else {
                    sink.problem(common::malformed(format!(
                        "the list of folder `{}` ends early",
                        escape(&path)
                    )));
                    break;
                };
                at = next;
                found = found.saturating_add(1);
                let path = common::join(&path, name);
                let mut problems = Vec::from_iter(common::check_name(name));
                let blob = match inode.mode >> 12 {
                    ftype::FILE | ftype::LINK if inode.size == 0 => Blob::Bytes(Bytes::new()),
                    ftype::FILE | ftype::LINK => Blob::Lazy(Arc::new(Pages {
                        image: region.clone(),
                        at: inode.offset,
                        size: inode.size,
                        order,
                        extended,
                    })),
                    ftype::DIR if inode.size > 0 => {
                        if depth >= MAX_DEPTH || !seen.insert(inode.offset) {
                            problems.push(common::malformed(
                                "the folder contains itself or is too deep",
                            ));
                        } else {
                            below.push((path.clone(), inode, depth.saturating_add(1)));
                        }
                        Blob::None
                    }
                    _ => Blob::None,
                };
                let (mut target, mut content) = (Bytes::new(), blob);
                if inode.mode >> 12 == ftype::LINK {
                    let loaded =
                        if inode.size <= PAGE { content.load(budget) } else { Loaded::default() };
                    problems.extend(loaded.problems);
                    (target, content) = (loaded.bytes, Blob::None);
                }
                let device = common::device(inode.size as u32 & 0xffff);
                let kind = common::kind(inode.mode, device, &target).unwrap_or(EntryKind::File);
                let metadata = Metadata {
                    mode: Some(inode.mode & 0o7777),
                    uid: Some(inode.uid),
                    gid: Some(inode.gid),
                    ..Metadata::default()
                };
                if sink.entry(Entry { path, kind, metadata, blob: content, problems }).is_err() {
                    return;
                }
            }
            queue.extend(below.into_iter().rev());
        }
        if flags & VERSION_2 != 0 {
            let declared = order.u32(region, 44).unwrap_or(0);
            common::incomplete(sink, "files", found, declared.into());
        }
    }
}

/// Byte order, size and flags, where they agree with each other.
fn superblock(b: &[u8]) -> Option<(Order, usize, u32)> {
    let order = match read::le32(b, 0)? {
        0x28cd_3d45 => Order::Little,
        0x453d_cd28 => Order::Big,
        _ => return None,
    };
    let (size, flags) = (order.u32(b, 4)? as usize, order.u32(b, 8)?);
    let root = Inode::parse(b, 64, order)?;
    let agrees = root.mode >> 12 == ftype::DIR
        && (root.offset == 0 || root.offset >= SUPER)
        && (flags & VERSION_2 == 0
            || (size >= SUPER && root.offset.checked_add(root.size)? <= size));
    // Version 1 has no size.
    let size = if flags & VERSION_2 == 0 { b.len() } else { size };
    agrees.then_some((order, size, flags))
}

/// CRC-32 over all of the image with zero in place of itself.
fn checksum_right(image: &[u8], order: Order) -> Option<bool> {
    let crc = crc32_raw(!0, image.get(..32)?);
    let crc = crc32_raw(crc, &[0; 4]);
    let crc = !crc32_raw(crc, image.get(36..)?);
    Some(order.u32(image, 32)? == crc)
}

#[derive(Clone, Copy)]
struct Inode {
    mode: u32,
    uid: u32,
    gid: u32,
    size: usize,
    /// In bytes.
    offset: usize,
    name_len: usize,
}

impl Inode {
    fn parse(b: &[u8], at: usize, order: Order) -> Option<Self> {
        let b = read::slice(b, at, 12)?;
        let (owner, size, place) = (order.u32(b, 0)?, order.u32(b, 4)?, order.u32(b, 8)?);
        // Bit fields follow the byte order.
        let (mode, uid, size, gid, name, offset) = match order {
            Order::Little => {
                (owner & 0xffff, owner >> 16, size & 0xff_ffff, size >> 24, place & 63, place >> 6)
            }
            Order::Big => (
                owner >> 16,
                owner & 0xffff,
                size >> 8,
                size & 255,
                place >> 26,
                place & 0x3ff_ffff,
            ),
        };
        let words = |n: u32| (n as usize).checked_mul(4);
        Some(Self {
            mode,
            uid,
            gid,
            size: size as usize,
            offset: words(offset)?,
            name_len: words(name)?,
        })
    }
}

/// The inode and name at `at` of a list, and where the next one is.
fn named(list: &[u8], at: usize, order: Order) -> Option<(Inode, &[u8], usize)> {
    let inode = Inode::parse(list, at, order)?;
    let name_at = at.checked_add(12)?;
    let name = read::until_nul(read::slice(list, name_at, inode.name_len)?);
    let next = name_at.checked_add(inode.name_len)?;
    Some((inode, name, next))
}

/// A content made of zlib pages.
struct Pages {
    image: Bytes,
    /// Where the list of the ends of pages is; their data follow.
    at: usize,
    size: usize,
    order: Order,
    extended: bool,
}

impl Pages {
    /// The stored bytes of page `i` and whether they are compressed; none for a hole.
    fn stored(&self, i: usize) -> Option<Option<(&[u8], bool)>> {
        const PLAIN: u32 = 1 << 31;
        const DIRECT: u32 = 1 << 30;
        let pointer =
            |i: usize| self.order.u32(&self.image, self.at.checked_add(i.checked_mul(4)?)?);
        let place = |p: u32| if self.extended { p & !(PLAIN | DIRECT) } else { p } as usize;
        let this = pointer(i)?;
        let plain = self.extended && this & PLAIN != 0;
        if self.extended && this & DIRECT != 0 {
            let start = place(this).checked_mul(4)?;
            let (start, len) = if plain {
                (start, self.size.checked_sub(i.checked_mul(PAGE)?)?.min(PAGE))
            } else {
                (start.checked_add(2)?, self.order.u16(&self.image, start)?.into())
            };
            return Some((len > 0).then_some((read::slice(&self.image, start, len)?, !plain)));
        }
        let start = match i.checked_sub(1) {
            Some(before) => place(pointer(before)?),
            None => self.at.checked_add(self.size.div_ceil(PAGE).checked_mul(4)?)?,
        };
        let len = place(this).checked_sub(start)?;
        Some((len > 0).then_some((read::slice(&self.image, start, len)?, !plain)))
    }
}

impl Load for Pages {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        let Some(mut out) = zeros(self.size as u64, budget, &mut loaded.problems) else {
            return loaded;
        };
        for (i, page) in out.chunks_mut(PAGE).enumerate() {
            let at = (i as u64).saturating_mul(PAGE as u64);
            let mut wrong = |p: Problem| loaded.problems.push(p.at(at));
            match self.stored(i) {
                None => wrong(common::malformed("the place of a page is not readable")),
                Some(None) => {}
                Some(Some((stored, true))) => {
                    let own = Budget::new(PAGE as u64, 0, u64::MAX, None);
                    match deflate::zlib_exact(stored, page.len(), &own) {
                        Ok(bytes) => page.copy_from_slice(&bytes),
                        Err(e) => wrong(Problem::from(e)),
                    }
                }
                Some(Some((stored, false))) => {
                    let len = stored.len().min(page.len());
                    if let (Some(to), Some(from)) = (page.get_mut(..len), stored.get(..len)) {
                        to.copy_from_slice(from);
                    }
                }
            }
        }
        loaded.bytes = out.into();
        loaded
    }
}
