//! Structures of SquashFS 1 to 4 in either byte order. The versions up to 3 pack
//! values into bit fields, whose order follows the byte order.

use crate::read::{self, Order};

/// Where what is, from a superblock of any version.
#[derive(Debug, Clone)]
pub(super) struct Super {
    pub order: Order,
    pub major: u16,
    pub minor: u16,
    pub inodes: u32,
    pub created: u32,
    pub block_size: u32,
    pub fragments: u32,
    /// As declared (version 4), else 1: zlib.
    pub compression: u16,
    pub flags: u16,
    /// Index entries of owners; of groups for versions before 4.
    pub ids: (u16, u16),
    pub root: u64,
    pub used: u64,
    /// Owner table; before version 4 also the group table.
    pub id_tables: (u64, u64),
    pub xattr_table: u64,
    pub inode_table: u64,
    pub directory_table: u64,
    pub fragment_table: u64,
    pub lookup_table: u64,
    /// Bytes of the superblock.
    pub len: usize,
}

/// No table.
pub(super) const NONE: u64 = u64::MAX;

impl Super {
    /// The superblock at the start of `data` in this byte order, if its values agree with each other.
    pub fn parse(data: &[u8], order: Order) -> Option<Self> {
        let b = data;
        let w = |at| order.u16(b, at);
        let d = |at| order.u32(b, at);
        let q = |at| order.u64(b, at);
        let (major, minor) = (w(28)?, w(30)?);
        let this = match major {
            4 => Self {
                order,
                major,
                minor,
                inodes: d(4)?,
                created: d(8)?,
                block_size: d(12)?,
                fragments: d(16)?,
                compression: w(20)?,
                flags: w(24)?,
                ids: (w(26)?, 0),
                root: q(32)?,
                used: q(40)?,
                id_tables: (q(48)?, NONE),
                xattr_table: q(56)?,
                inode_table: q(64)?,
                directory_table: q(72)?,
                fragment_table: q(80)?,
                lookup_table: q(88)?,
                len: 96,
            },
            1..=3 => {
                let old = major < 3;
                let wide = |at, narrow| if old { d(narrow).map(u64::from) } else { q(at) };
                Self {
                    order,
                    major,
                    minor,
                    inodes: d(4)?,
                    created: d(39)?,
                    block_size: if major == 1 { w(32)?.into() } else { d(51)? },
                    fragments: if major == 1 { 0 } else { d(55)? },
                    compression: 1,
                    flags: read::u8(b, 36)?.into(),
                    ids: (read::u8(b, 37)?.into(), read::u8(b, 38)?.into()),
                    root: q(43)?,
                    used: wide(63, 8)?,
                    id_tables: (wide(71, 12)?, wide(79, 16)?),
                    xattr_table: NONE,
                    inode_table: wide(87, 20)?,
                    directory_table: wide(95, 24)?,
                    fragment_table: match major {
                        1 => NONE,
                        2 => d(59)?.into(),
                        _ => q(103)?,
                    },
                    lookup_table: if old { NONE } else { q(111)? },
                    len: [51, 63, 119].get(usize::from(major).checked_sub(1)?).copied()?,
                }
            }
            _ => return None,
        };
        this.agrees(w(if major == 4 { 22 } else { 34 })?).then_some(this)
    }

    /// Whether the values can belong together.
    fn agrees(&self, block_log: u16) -> bool {
        let first = self.len as u64;
        let within = |at: u64| at >= first && at <= self.used;
        let optional = |at: u64| at == NONE || within(at) || self.major < 4;
        (10..=20).contains(&block_log)
            && self.block_size == 1 << block_log
            && self.minor <= 10
            && self.inodes > 0
            && self.used > first
            && within(self.inode_table)
            && within(self.directory_table)
            && self.inode_table < self.directory_table
            && (self.fragments == 0 || within(self.fragment_table))
            && within(self.id_tables.0)
            && optional(self.xattr_table)
            && optional(self.lookup_table)
            && self.root >> 16 < self.directory_table.saturating_sub(self.inode_table)
            && (self.root & 0xffff) < 8192
    }

    /// Bytes of the header of a metadata block: old versions may have a marker byte behind the length.
    pub fn metadata_header(&self) -> usize {
        if self.major < 4 && self.flags & 4 != 0 { 3 } else { 2 }
    }
}

/// What a file is made of.
#[derive(Debug, Clone)]
pub(super) struct FileData {
    pub start: u64,
    pub size: u64,
    /// Fragment and offset in it.
    pub fragment: Option<(u32, u32)>,
    /// Sizes of blocks on disk; bit 24 says uncompressed, 0 is a hole.
    pub blocks: Box<[u32]>,
}

/// What an inode is.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Dir {
        block: u64,
        offset: u16,
        size: u32,
    },
    File(FileData),
    Symlink(Vec<u8>),
    /// Raw device number and whether it is a block device.
    Device(u32, bool),
    Fifo,
    Socket,
}

/// An inode of any version.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub mode: u32,
    /// Index in the owner table (the value itself is looked up later).
    pub uid: usize,
    /// Index in the group table; none means "the same as the owner" before version 4.
    pub gid: Option<usize>,
    /// None where the version does not keep it for this kind of inode.
    pub mtime: Option<u32>,
    pub xattr: Option<u32>,
    pub body: Body,
}

/// Bit fields of `len` bytes at the start of `data`.
struct Bits {
    value: u64,
    left: u32,
    order: Order,
}

impl Bits {
    fn new(data: &[u8], at: usize, len: usize, order: Order) -> Option<Self> {
        let fold = |v: u64, b: &u8| (v << 8) | u64::from(*b);
        let bytes = read::slice(data, at, len)?;
        let value = match order {
            Order::Big => bytes.iter().fold(0, fold),
            Order::Little => bytes.iter().rev().fold(0, fold),
        };
        Some(Self { value, left: u32::try_from(len).ok()?.checked_mul(8)?, order })
    }

    /// The next `n` bits: from the low end in little, from the high end in big order.
    fn take(&mut self, n: u32) -> u32 {
        let mask = u64::MAX.checked_shr(64u32.saturating_sub(n)).unwrap_or(0);
        self.left = self.left.saturating_sub(n);
        let field = match self.order {
            Order::Little => {
                let field = self.value & mask;
                self.value = self.value.checked_shr(n).unwrap_or(0);
                field
            }
            Order::Big => self.value.checked_shr(self.left).unwrap_or(0) & mask,
        };
        field as u32
    }
}

/// Parses the inode at the start of `data` (which reaches to the end of the inode table).
pub(super) fn inode(sb: &Super, data: &[u8]) -> Option<Inode> {
    match sb.major {
        4 => inode4(sb, data),
        3 => inode3(sb, data),
        2 => inode2(sb, data),
        _ => inode1(sb, data),
    }
}

fn block_list(sb: &Super, data: &[u8], at: usize, size: u64, fragment: u32) -> Option<Box<[u32]>> {
    // A file whose end is in a fragment lists its whole blocks only.
    let block = u64::from(sb.block_size);
    let whole = size.checked_div(block)?;
    let count = if fragment == u32::MAX { size.div_ceil(block) } else { whole };
    let bytes = read::slice(data, at, read::index(count)?.checked_mul(4)?)?;
    Some(bytes.chunks_exact(4).filter_map(|c| sb.order.u32(c, 0)).collect())
}

#[allow(clippy::too_many_arguments)] // the values of one file, in the order they stand in it
fn file(
    sb: &Super,
    data: &[u8],
    start: u64,
    size: u64,
    fragment: u32,
    offset: u32,
    blocks_at: usize,
) -> Option<Body> {
    let blocks = block_list(sb, data, blocks_at, size, fragment)?;
    let fragment = (fragment != u32::MAX).then_some((fragment, offset));
    Some(Body::File(FileData { start, size, fragment, blocks }))
}

fn inode4(sb: &Super, b: &[u8]) -> Option<Inode> {
    let w = |at| sb.order.u16(b, at);
    let d = |at| sb.order.u32(b, at);
    let q = |at| sb.order.u64(b, at);
    let link = |at: usize| {
        let len = d(at)? as usize;
        Some((
            read::slice(b, at.checked_add(4)?, len)?.to_vec(),
            at.checked_add(4)?.checked_add(len)?,
        ))
    };
    let (body, xattr) = match w(0)? {
        1 => (Body::Dir { block: d(16)?.into(), offset: w(26)?, size: w(24)?.into() }, None),
        2 => (file(sb, b, d(16)?.into(), d(28)?.into(), d(20)?, d(24)?, 32)?, None),
        3 => (Body::Symlink(link(20)?.0), None),
        t @ (4 | 5) => (Body::Device(d(20)?, t == 4), None),
        6 => (Body::Fifo, None),
        7 => (Body::Socket, None),
        8 => (Body::Dir { block: d(24)?.into(), offset: w(34)?, size: d(20)? }, Some(d(36)?)),
        9 => (file(sb, b, q(16)?, q(24)?, d(44)?, d(48)?, 56)?, Some(d(52)?)),
        10 => {
            let (target, end) = link(20)?;
            (Body::Symlink(target), d(end))
        }
        t @ (11 | 12) => (Body::Device(d(20)?, t == 11), d(24)),
        13 => (Body::Fifo, d(20)),
        14 => (Body::Socket, d(20)),
        _ => return None,
    };
    Some(Inode {
        mode: u32::from(w(2)?) & 0o7777,
        uid: w(4)?.into(),
        gid: Some(w(6)?.into()),
        mtime: Some(d(8)?),
        xattr: xattr.filter(|x| *x != u32::MAX),
        body,
    })
}

fn inode3(sb: &Super, b: &[u8]) -> Option<Inode> {
    let w = |at| sb.order.u16(b, at);
    let d = |at| sb.order.u32(b, at);
    let q = |at| sb.order.u64(b, at);
    let mut head = Bits::new(b, 0, 4, sb.order)?;
    let (kind, mode, uid, gid) = (head.take(4), head.take(12), head.take(8), head.take(8));
    let body = match kind {
        1 => {
            let mut bits = Bits::new(b, 16, 4, sb.order)?;
            let (size, offset) = (bits.take(19), bits.take(13) as u16);
            Body::Dir { block: d(20)?.into(), offset, size }
        }
        2 => file(sb, b, q(12)?, d(28)?.into(), d(20)?, d(24)?, 32)?,
        3 => Body::Symlink(read::slice(b, 18, w(16)?.into())?.to_vec()),
        4 | 5 => Body::Device(w(16)?.into(), kind == 4),
        6 => Body::Fifo,
        7 => Body::Socket,
        8 => {
            let mut bits = Bits::new(b, 16, 5, sb.order)?;
            let (size, offset) = (bits.take(27), bits.take(13) as u16);
            Body::Dir { block: d(21)?.into(), offset, size }
        }
        9 => file(sb, b, q(16)?, q(32)?, d(24)?, d(28)?, 40)?,
        _ => return None,
    };
    let gid = (gid != 255).then_some(gid as usize);
    Some(Inode { mode, uid: uid as usize, gid, mtime: d(4), xattr: None, body })
}

fn inode2(sb: &Super, b: &[u8]) -> Option<Inode> {
    let w = |at| sb.order.u16(b, at);
    let d = |at| sb.order.u32(b, at);
    let mut head = Bits::new(b, 0, 4, sb.order)?;
    let (kind, mode, uid, gid) = (head.take(4), head.take(12), head.take(8), head.take(8));
    let mut mtime = None;
    let body = match kind {
        1 => {
            mtime = d(8);
            let mut bits = Bits::new(b, 4, 4, sb.order)?;
            let (size, offset) = (bits.take(19), bits.take(13) as u16);
            Body::Dir { block: Bits::new(b, 12, 3, sb.order)?.take(24).into(), offset, size }
        }
        2 => {
            mtime = d(4);
            file(sb, b, d(8)?.into(), d(20)?.into(), d(12)?, d(16)?, 24)?
        }
        3 => Body::Symlink(read::slice(b, 6, w(4)?.into())?.to_vec()),
        4 | 5 => Body::Device(w(4)?.into(), kind == 4),
        6 => Body::Fifo,
        7 => Body::Socket,
        8 => {
            mtime = d(9);
            let mut bits = Bits::new(b, 4, 5, sb.order)?;
            let (size, offset) = (bits.take(27), bits.take(13) as u16);
            Body::Dir { block: Bits::new(b, 13, 3, sb.order)?.take(24).into(), offset, size }
        }
        _ => return None,
    };
    let gid = (gid != 255).then_some(gid as usize);
    Some(Inode { mode, uid: uid as usize, gid, mtime, xattr: None, body })
}

/// Kinds of inode that version 1 counts in one set of sixteen owners.
const V1_TYPES: u32 = 5;

fn inode1(sb: &Super, b: &[u8]) -> Option<Inode> {
    let w = |at| sb.order.u16(b, at);
    let d = |at| sb.order.u32(b, at);
    let mut head = Bits::new(b, 0, 3, sb.order)?;
    let (kind, mode, uid, gid) = (head.take(4), head.take(12), head.take(4), head.take(4));
    let mut mtime = None;
    let mut set = kind.saturating_sub(1) / V1_TYPES;
    let body = match kind.checked_sub(1).map(|k| k % V1_TYPES) {
        None => {
            let mut bits = Bits::new(b, 3, 1, sb.order)?;
            let socket = bits.take(4) == 7;
            set = bits.take(4);
            if socket { Body::Socket } else { Body::Fifo }
        }
        Some(0) => {
            mtime = d(7);
            let mut bits = Bits::new(b, 3, 4, sb.order)?;
            let (size, offset) = (bits.take(19), bits.take(13) as u16);
            Body::Dir { block: Bits::new(b, 11, 3, sb.order)?.take(24).into(), offset, size }
        }
        Some(1) => {
            mtime = d(3);
            let size = u64::from(d(11)?);
            let count = read::index(size.div_ceil(u64::from(sb.block_size).max(1)))?;
            let list = read::slice(b, 15, count.checked_mul(2)?)?;
            // Sixteen bits with the mark in the highest, zero meaning 32 KiB.
            let widen = |v: u16| {
                let size = if v & 0x7fff == 0 { 0x8000 } else { u32::from(v & 0x7fff) };
                size | if v & 0x8000 == 0 { 0 } else { UNCOMPRESSED }
            };
            let blocks =
                list.chunks_exact(2).filter_map(|c| sb.order.u16(c, 0)).map(widen).collect();
            Body::File(FileData { start: d(7)?.into(), size, fragment: None, blocks })
        }
        Some(2) => Body::Symlink(read::slice(b, 5, w(3)?.into())?.to_vec()),
        Some(k) => Body::Device(w(3)?.into(), k == 3),
    };
    let uid = set.saturating_mul(16).saturating_add(uid) as usize;
    let gid = (gid != 15).then_some(gid as usize);
    Some(Inode { mode, uid, gid, mtime, xattr: None, body })
}

/// Mark of a block that is stored as it is.
pub(super) const UNCOMPRESSED: u32 = 1 << 24;

/// One name of a folder: the position of its inode, and the name.
pub(super) type Name = (u64, Vec<u8>);

/// The names in the `size` bytes of a folder at the start of `data`; false when they end early.
pub(super) fn names(sb: &Super, data: &[u8], size: u32) -> (Vec<Name>, bool) {
    let mut names = Vec::new();
    // From version 3 on an empty folder has size 3.
    let size = (size as usize).saturating_sub(if sb.major < 3 { 0 } else { 3 });
    let complete = data.get(..size).is_some();
    let data = data.get(..size).unwrap_or(data);
    let mut at = 0usize;
    while at < data.len() {
        if group(sb, data, &mut at, &mut names).is_none() {
            return (names, false);
        }
    }
    (names, complete)
}

/// A header and the entries that follow it.
fn group(sb: &Super, data: &[u8], at: &mut usize, names: &mut Vec<Name>) -> Option<()> {
    let b = data.get(*at..)?;
    let order = sb.order;
    let (count, block, header) = match sb.major {
        4 => (order.u32(b, 0)?, order.u32(b, 4)?, 12),
        3 => (read::u8(b, 0)?.into(), order.u32(b, 1)?, 9),
        _ => {
            let mut bits = Bits::new(b, 0, 4, order)?;
            (bits.take(8), bits.take(24), 4)
        }
    };
    *at = at.checked_add(header)?;
    for _ in 0..=count.min(255) {
        let b = data.get(*at..)?;
        let (offset, len, fixed) = match sb.major {
            4 => (order.u16(b, 0)?.into(), order.u16(b, 6)?.into(), 8),
            major => {
                let mut bits = Bits::new(b, 0, 3, order)?;
                let (offset, _, len) = (bits.take(13), bits.take(3), bits.take(8));
                (offset, len, if major == 3 { 5 } else { 3 })
            }
        };
        let len = (len as usize).checked_add(1)?;
        let name = read::slice(b, fixed, len)?;
        names.push(((u64::from(block) << 16) | u64::from(offset), name.to_vec()));
        *at = at.checked_add(fixed)?.checked_add(len)?;
    }
    Some(())
}
