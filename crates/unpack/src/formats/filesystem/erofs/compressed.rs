//! Compressed files: an index tells for each cluster of content whether an extent
//! starts in it, where, and in which block its compressed bytes are.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};
use rayon::prelude::*;

use super::{Fs, PADDED, inode::image};
use crate::{
    budget::Budget,
    codec::{deflate, lz4, lzma, zstd},
    format::{Blob, Load, Loaded},
    formats::filesystem::common::{malformed, zeros},
    read::{self, le16, le32, le64},
};

/// Hints in the header of the index.
mod advise {
    pub const SHORT: u16 = 1;
    pub const BIG: u16 = 6;
    pub const INLINE: u16 = 8;
    pub const INTERLACED: u16 = 0x10;
    pub const FRAGMENT: u16 = 0x20;
}

/// Kinds of clusters.
const PLAIN: u8 = 0;
const HEAD1: u8 = 1;
const CONTINUED: u8 = 2;
/// In the first cluster behind a head: the value is a number of compressed blocks.
const COUNT: u32 = 1 << 11;

/// A compressed file.
pub(super) struct Compressed {
    image: Bytes,
    size: u64,
    /// First byte behind the inode and its attributes.
    index: u64,
    /// Eight bytes per cluster, or packed.
    full: bool,
    block_bits: u32,
    padded: bool,
    /// The file that holds the ends of files.
    packed: Option<Arc<Fragments>>,
}

/// The file that holds the ends of files, decoded once by the first who needs it.
pub(super) struct Fragments {
    blob: Blob,
    content: OnceLock<Loaded>,
}

impl Fragments {
    /// Most bytes of it that are kept.
    const MAX: u64 = 1 << 28;

    pub fn new(blob: Blob) -> Arc<Self> {
        Arc::new(Self { blob, content: OnceLock::new() })
    }

    fn get(&self, at: u64, len: usize) -> Result<Vec<u8>, Problem> {
        let budget = Budget::new(Self::MAX, 0, u64::MAX, None);
        let loaded = self.content.get_or_init(|| self.blob.load(&budget));
        match read::index(at).and_then(|at| read::slice(&loaded.bytes, at, len)) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(loaded
                .problems
                .first()
                .cloned()
                .unwrap_or_else(|| malformed("the fragment is not there"))),
        }
    }
}

/// One cluster of the index.
#[derive(Clone, Copy)]
struct Cluster {
    kind: u8,
    /// Where in the cluster the extent starts; for a continued one the raw value.
    low: u32,
    /// First compressed block, as far as the index tells it.
    block: u32,
    /// First byte behind this part of the index.
    end: u64,
}

/// Compressed bytes and where their content goes.
struct Extent {
    start: u64,
    end: u64,
    kind: u8,
    from: u64,
    len: u64,
    fragment: bool,
}

/// The header of the index.
struct Header {
    advise: u16,
    algorithms: u8,
    bits: u32,
    inline_len: u64,
    fragment: u64,
}

impl Compressed {
    pub fn new(
        fs: &Fs,
        size: u64,
        behind: u64,
        full: bool,
        packed: Option<Arc<Fragments>>,
    ) -> Self {
        let index = behind.saturating_add(7) & !7;
        let padded = fs.incompat & PADDED != 0;
        Self { image: image(fs), size, index, full, block_bits: fs.block_bits, padded, packed }
    }

    fn header(&self) -> Option<Header> {
        let b = self.image.get(read::index(self.index)?..)?;
        let bits = read::u8(b, 7)?;
        if bits & 0x80 != 0 {
            // All of the file is elsewhere.
            let fragment = le64(b, 0)? ^ (1 << 63);
            return Some(Header {
                advise: advise::FRAGMENT,
                algorithms: 0,
                bits: self.block_bits,
                inline_len: 0,
                fragment,
            });
        }
        let advise = le16(b, 4)?;
        let fragments = advise & advise::FRAGMENT != 0;
        Some(Header {
            advise,
            algorithms: read::u8(b, 6)?,
            bits: self.block_bits.checked_add(u32::from(bits & 7))?,
            inline_len: if advise & advise::INLINE != 0 { le16(b, 2)?.into() } else { 0 },
            fragment: if fragments { le32(b, 0)?.into() } else { 0 },
        })
    }

    /// Cluster `i` of `count`.
    fn cluster(&self, header: &Header, i: u64, count: u64) -> Option<Cluster> {
        let first = self.index.checked_add(8)?;
        if self.full {
            // Eight more bytes belong to the header.
            let at = first.checked_add(8)?.checked_add(i.checked_mul(8)?)?;
            let b = self.image.get(read::index(at)?..)?;
            let kind = (le16(b, 0)? & 3) as u8;
            let low = if kind == CONTINUED { le16(b, 4)? } else { le16(b, 2)? };
            return Some(Cluster {
                kind,
                low: low.into(),
                block: le32(b, 4)?,
                end: at.checked_add(8)?,
            });
        }
        // Four bytes per cluster up to a multiple of 32, then two, then four again.
        let initial = (32u64.checked_sub(first % 32)? / 4) & 7;
        let short = if header.advise & advise::SHORT != 0 && initial < count {
            count.checked_sub(initial)? & !15
        } else {
            0
        };
        let (at, width) = if i < initial {
            (i.checked_mul(4)?, 4u64)
        } else if i < initial.checked_add(short)? {
            (initial.checked_mul(4)?.checked_add(i.checked_sub(initial)?.checked_mul(2)?)?, 2)
        } else {
            let rest = i.checked_sub(initial)?.checked_sub(short)?;
            let before = initial.checked_mul(4)?.checked_add(short.checked_mul(2)?)?;
            (before.checked_add(rest.checked_mul(4)?)?, 4)
        };
        let at = first.checked_add(at)?;
        let per_pack = if width == 4 { 2u32 } else { 16 };
        let pack_len = u64::from(per_pack).checked_mul(width)?;
        let pack = at & !pack_len.checked_sub(1)?;
        let b = read::slice(&self.image, read::index(pack)?, read::index(pack_len)?)?;
        let slot = u32::try_from(at.checked_sub(pack)?.checked_div(width)?).ok()?;
        let low_bits = header.bits.max(12);
        let bits =
            u32::try_from(pack_len.checked_sub(4)?).ok()?.checked_mul(8)?.checked_div(per_pack)?;
        let item = |slot: u32| {
            let position = bits.checked_mul(slot)?;
            // The last item's four bytes reach into the block number, never behind it.
            let word = le32(b, (position / 8) as usize)?.checked_shr(position % 8)?;
            Some((
                word & 1u32.checked_shl(low_bits)?.checked_sub(1)?,
                (word.checked_shr(low_bits)? & 3) as u8,
            ))
        };
        let (low, kind) = item(slot)?;
        if kind == CONTINUED {
            return Some(Cluster { kind, low, block: 0, end: pack.checked_add(pack_len)? });
        }
        // Blocks used by the extents in front of it in the same pack.
        let big = header.advise & advise::BIG != 0;
        let (mut blocks, mut i) = (u32::from(!big), i64::from(slot));
        while i > 0 {
            i = i.checked_sub(1)?;
            let (low, kind) = item(u32::try_from(i).ok()?)?;
            match (big, kind == CONTINUED) {
                (false, continued) => {
                    i = if continued { i.checked_sub(low.into())? } else { i };
                    if i >= 0 {
                        blocks = blocks.checked_add(1)?;
                    }
                }
                (true, true) if low & COUNT != 0 => {
                    i = i.checked_sub(1)?;
                    blocks = blocks.checked_add(low & !COUNT)?;
                }
                (true, true) => {
                    i = i.checked_sub(i64::from(low).checked_sub(2).filter(|n| *n >= 0)?)?
                }
                (true, false) => blocks = blocks.checked_add(1)?,
            }
        }
        let base = le32(b, read::index(pack_len.checked_sub(4)?)?)?;
        Some(Cluster {
            kind,
            low,
            block: base.wrapping_add(blocks),
            end: pack.checked_add(pack_len)?,
        })
    }

    /// All extents in their order.
    fn extents(&self, header: &Header, budget: &Budget) -> Option<Vec<Extent>> {
        if self.index_is_fragment()? {
            return Some(vec![Extent {
                start: 0,
                end: self.size,
                kind: HEAD1,
                from: 0,
                len: 0,
                fragment: true,
            }]);
        }
        let cluster = 1u64.checked_shl(header.bits)?;
        let block = 1u64.checked_shl(self.block_bits)?;
        let count = self.size.div_ceil(cluster);
        let mut extents: Vec<Extent> = Vec::new();
        let (mut last, mut behind) = (None, 0);
        for i in 0..count {
            budget.work(16).ok()?;
            let c = self.cluster(header, i, count)?;
            behind = c.end;
            if c.kind == CONTINUED {
                // Right behind a head the number of its blocks may stand.
                if last == i.checked_sub(1)
                    && c.low & COUNT != 0
                    && let Some(e) = extents.last_mut()
                {
                    e.len = u64::from(c.low & !COUNT).checked_mul(block)?;
                }
                continue;
            }
            let start = i.checked_mul(cluster)?.checked_add(c.low.into())?;
            if let Some(before) = extents.last_mut() {
                before.end = start;
            }
            last = Some(i);
            if start >= self.size {
                break;
            }
            let from = u64::from(c.block).checked_mul(block)?;
            extents.push(Extent {
                start,
                end: self.size,
                kind: c.kind,
                from,
                len: cluster.max(block),
                fragment: false,
            });
        }
        if let Some(tail) = extents.last_mut() {
            if header.advise & advise::INLINE != 0 && header.inline_len > 0 {
                (tail.from, tail.len) = (behind, header.inline_len);
            } else if header.advise & advise::FRAGMENT != 0 {
                tail.fragment = true;
            }
        }
        Some(extents)
    }

    fn index_is_fragment(&self) -> Option<bool> {
        Some(read::u8(&self.image, read::index(self.index)?.checked_add(7)?)? & 0x80 != 0)
    }

    fn decode(&self, header: &Header, extent: &Extent, len: usize) -> Result<Vec<u8>, Problem> {
        let start = read::index(extent.from).unwrap_or(usize::MAX);
        let rest = self.image.get(start..).ok_or_else(|| {
            Problem::new(
                ProblemKind::Truncated,
                "compressed blocks lie behind the end of the image",
            )
        })?;
        let stored = rest.get(..read::index(extent.len).unwrap_or(usize::MAX)).unwrap_or(rest);
        if extent.kind == PLAIN {
            let block = 1usize << self.block_bits.min(31);
            let turn = if header.advise & advise::INTERLACED != 0 {
                extent.start as usize & block.saturating_sub(1)
            } else {
                0
            };
            // Interlaced content keeps its offset in the block and goes on at its start.
            let first = stored.get(turn..).unwrap_or_default();
            let first = first.get(..len.min(first.len())).unwrap_or_default();
            let second =
                stored.get(..len.saturating_sub(first.len()).min(turn)).unwrap_or_default();
            return Ok([first, second].concat());
        }
        let algorithm =
            if extent.kind == HEAD1 { header.algorithms & 15 } else { header.algorithms >> 4 };
        let zeros = stored.iter().take_while(|b| **b == 0).count();
        // Padding stands in front, except in the oldest images.
        let input = if self.padded || algorithm != 0 {
            stored.get(zeros..).unwrap_or_default()
        } else {
            stored
        };
        let own = &Budget::new(len as u64, 0, u64::MAX, None);
        let partial = |d: crate::codec::Decoded| match d.error {
            // More may be stored than this extent shows, or less than a block be used.
            Some(_) if d.bytes.len() == len => Ok(Vec::from(d.bytes)),
            Some(e) => Err(Problem::from(e)),
            None => Ok(d.bytes.into()),
        };
        match algorithm {
            0 => partial(lz4::decode_block(input, len, own)),
            1 => {
                let (head, body) =
                    input.split_first().ok_or_else(|| malformed("an empty LZMA extent"))?;
                let props =
                    lzma::Props::from_byte(!head).ok_or_else(|| malformed("no LZMA properties"))?;
                // The first byte of the range coder is always zero; the properties stand in its place.
                let stream = [&[0], body].concat();
                partial(lzma::decode_raw(&stream, props, Some(len), len, own))
            }
            2 => partial(deflate::inflate(input, len, own)),
            3 => partial(zstd::decode(input, len, own)),
            other => Err(Problem::new(
                ProblemKind::Unsupported,
                format!("compression {other} is not known"),
            )),
        }
    }

    /// The end of the file, from the file of all ends.
    fn fragment(&self, header: &Header, len: usize) -> Result<Vec<u8>, Problem> {
        let packed =
            self.packed.as_ref().ok_or_else(|| malformed("there is no file of fragments"))?;
        packed.get(header.fragment, len)
    }
}

impl Load for Compressed {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut problems = Vec::new();
        let extents = self.header().and_then(|h| Some((self.extents(&h, budget)?, h)));
        let Some((extents, header)) = extents else {
            problems.push(malformed("the index of the compressed content is not readable"));
            return Loaded { bytes: Bytes::new(), problems };
        };
        let Some(mut out) = zeros(self.size, budget, &mut problems) else {
            return Loaded { bytes: Bytes::new(), problems };
        };
        // Extents follow each other, so each has its own part of the output.
        let mut rest = &mut out[..];
        let mut at = 0;
        let mut parts = Vec::new();
        for extent in &extents {
            let skip = read::index(extent.start.saturating_sub(at)).unwrap_or(usize::MAX);
            let len = read::index(extent.end.saturating_sub(extent.start)).unwrap_or(usize::MAX);
            if extent.start < at || skip.saturating_add(len) > rest.len() {
                problems.push(malformed("the extents of the compressed content overlap"));
                break;
            }
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(skip).1.split_at_mut(len);
            parts.push((extent, part));
            (rest, at) = (tail, extent.end);
        }
        let wrong: Vec<Problem> = parts
            .into_par_iter()
            .with_min_len(4)
            .filter_map(|(extent, part)| {
                let bytes = if extent.fragment {
                    self.fragment(&header, part.len())
                } else {
                    self.decode(&header, extent, part.len())
                };
                let problem = match bytes {
                    Ok(bytes) => {
                        let len = bytes.len().min(part.len());
                        if let (Some(to), Some(from)) = (part.get_mut(..len), bytes.get(..len)) {
                            to.copy_from_slice(from);
                        }
                        (len < part.len()).then(|| {
                            let text =
                                format!("an extent holds {len} bytes where {} belong", part.len());
                            Problem::new(ProblemKind::Incomplete, text)
                        })
                    }
                    Err(problem) => Some(problem),
                };
                problem.map(|p| p.at(extent.start))
            })
            .collect();
        problems.extend(wrong);
        Loaded { bytes: out.into(), problems }
    }
}
