//! Compressors, and tables made of metadata blocks of 8 KiB.

use std::collections::BTreeMap;

use proofmark_model::{Problem, ProblemKind};
use rayon::prelude::*;

use super::layout::{self, Body, Super};
use crate::{
    budget::Budget,
    codec::{deflate, lz4, lzma, lzo, xz, zstd},
    formats::filesystem::common::malformed,
    read,
};

/// Bytes in a metadata block.
pub(super) const METADATA: usize = 8192;

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Zlib,
    /// LZMA with the 13-byte header of `.lzma` files.
    Lzma,
    Lzo,
    Xz,
    Lz4,
    Zstd,
    /// A bare LZMA stream behind `skip` bytes; the properties are in the first of them, or these.
    Raw {
        skip: usize,
        props: Option<lzma::Props>,
    },
}

impl Codec {
    /// Attribute value.
    pub fn name(self) -> String {
        match self {
            Self::Zlib => "gzip".into(),
            Self::Lzma => "lzma".into(),
            Self::Lzo => "lzo".into(),
            Self::Xz => "xz".into(),
            Self::Lz4 => "lz4".into(),
            Self::Zstd => "zstd".into(),
            Self::Raw { skip, props: None } => {
                format!("lzma (properties first, {skip} bytes of header)")
            }
            Self::Raw { skip, props: Some(p) } => {
                format!("lzma (lc={} lp={} pb={}, {skip} bytes of header)", p.lc, p.lp, p.pb)
            }
        }
    }

    fn declared(id: u16) -> Option<Self> {
        Some(match id {
            1 => Self::Zlib,
            2 => Self::Lzma,
            3 => Self::Lzo,
            4 => Self::Xz,
            5 => Self::Lz4,
            6 => Self::Zstd,
            _ => return None,
        })
    }

    /// The compressor with which the root inode decodes to a folder: the declared one, else any other
    /// (the superblock may lie), else bare LZMA with all properties and offsets.
    pub fn detect(sb: &Super, image: &[u8], budget: &Budget) -> Option<Self> {
        let declared = Self::declared(sb.compression);
        let at = sb.inode_table.checked_add(sb.root >> 16)?;
        if !MetadataBlock::at(sb, image, at)?.compressed {
            // Nothing to tell compressors apart by.
            return declared.filter(|codec| codec.reads_root(sb, image) == Some(true));
        }
        let fixed = (1..=6).filter_map(Self::declared);
        let headed = [5, 9, 4, 8, 1].map(|skip| Self::Raw { skip, props: None });
        let common = lzma::Props { lc: 3, lp: 0, pb: 2 };
        let usual = (0..=13).map(|skip| Self::Raw { skip, props: Some(common) });
        let rest = (0..225u8).filter_map(lzma::Props::from_byte).filter(|p| p.lc <= 4);
        let rest = rest.flat_map(|p| (0..=10).map(move |skip| Self::Raw { skip, props: Some(p) }));
        declared
            .into_iter()
            .chain(fixed)
            .chain(headed)
            .chain(usual)
            .chain(rest)
            .take_while(|_| budget.work(METADATA as u64).is_ok())
            .find(|codec| codec.reads_root(sb, image) == Some(true))
    }

    /// Whether the root inode reads as a folder; none if its block is not there.
    fn reads_root(self, sb: &Super, image: &[u8]) -> Option<bool> {
        let at = sb.inode_table.checked_add(sb.root >> 16)?;
        let block = MetadataBlock::at(sb, image, at)?;
        let bytes = block.decode(self).ok()?;
        let root = layout::inode(sb, bytes.get(read::index(sb.root & 0xffff)?..)?)?;
        let inside = sb.id_tables.0.min(sb.used).saturating_sub(sb.directory_table);
        Some(matches!(root.body, Body::Dir { block, offset, .. }
            if block < inside.max(1) && usize::from(offset) < METADATA))
    }

    /// Decodes a block of at most `max` bytes, exactly `size` where that is known.
    pub fn decode(self, input: &[u8], max: usize, size: Option<usize>) -> Result<Vec<u8>, Problem> {
        // The caller has paid; nothing here goes over `max`.
        let own = &Budget::new(max as u64, 0, u64::MAX, None);
        match self {
            Self::Zlib => Ok(deflate::zlib(input, max, own).whole()?.0),
            Self::Lz4 => Ok(lz4::decode_block(input, max, own).whole()?.0),
            Self::Zstd => Ok(zstd::decode(input, max, own).whole()?.0),
            Self::Xz => Ok(xz::decode(input, max, own).whole()?.0),
            Self::Lzo => Ok(lzo::decode(input, max, own).whole()?.0),
            Self::Lzma => Ok(lzma::decode_alone(input, max, own).whole()?.0),
            Self::Raw { skip, props } => {
                let props =
                    props.or_else(|| input.first().copied().and_then(lzma::Props::from_byte));
                let props = props.ok_or_else(|| malformed("no LZMA properties"))?;
                let input = input.get(skip..).unwrap_or_default();
                let out = lzma::decode_raw(input, props, size, max, own);
                // Without a size the end is where the input ends.
                let used_up = out.consumed.saturating_add(8) >= input.len();
                match out.error {
                    Some(_) if size.is_none() && used_up && !out.bytes.is_empty() => {
                        Ok(out.bytes.into())
                    }
                    Some(e) => Err(e.into()),
                    None => Ok(out.bytes.into()),
                }
            }
        }
    }
}

/// A metadata block as it stands in the image.
pub(super) struct MetadataBlock<'a> {
    /// Its stored bytes.
    stored: &'a [u8],
    compressed: bool,
    /// Where the next one starts.
    pub next: u64,
}

impl<'a> MetadataBlock<'a> {
    /// The block at `at`, if all of it is there.
    pub fn at(sb: &Super, image: &'a [u8], at: u64) -> Option<Self> {
        let start = read::index(at)?;
        let header = sb.order.u16(image, start)?;
        // Zero stands for the largest value of the field.
        let len = match usize::from(header & 0x7fff) {
            0 => 0x8000,
            n => n,
        };
        let body = start.checked_add(sb.metadata_header())?;
        let stored = read::slice(image, body, len)?;
        Some(Self { stored, compressed: header & 0x8000 == 0, next: body.checked_add(len)? as u64 })
    }

    /// Its content, at most 8 KiB.
    pub fn decode(&self, codec: Codec) -> Result<Vec<u8>, Problem> {
        if !self.compressed {
            return match self.stored.get(..METADATA.min(self.stored.len())) {
                Some(bytes) if self.stored.len() <= METADATA => Ok(bytes.to_vec()),
                _ => Err(malformed("a metadata block is larger than 8 KiB")),
            };
        }
        codec.decode(self.stored, METADATA, None)
    }
}

/// A table of metadata blocks, decoded into one piece, addressed by the position of a block in the
/// image and an offset in the decoded block.
pub(super) struct Table<'a> {
    sb: &'a Super,
    image: &'a [u8],
    codec: Codec,
    data: Vec<u8>,
    /// Where the block at this position starts in `data`.
    index: BTreeMap<u64, usize>,
    /// First position behind the table.
    end: u64,
    /// What was wrong.
    pub problems: Vec<Problem>,
}

impl<'a> Table<'a> {
    /// Decodes the blocks from `start` up to `end`.
    pub fn read(
        sb: &'a Super,
        image: &'a [u8],
        codec: Codec,
        (start, end): (u64, u64),
        budget: &Budget,
    ) -> Self {
        let end = end.min(image.len() as u64);
        let (data, index, problems) = Default::default();
        let mut table = Self { sb, image, codec, data, index, end, problems };
        table.extend(start, budget);
        table
    }

    /// Decodes the chain of blocks that starts at `at`.
    fn extend(&mut self, mut at: u64, budget: &Budget) {
        let mut blocks = Vec::new();
        while at < self.end && !self.index.contains_key(&at) {
            let Some(block) = MetadataBlock::at(self.sb, self.image, at) else {
                let text = "a metadata block reaches behind the end of the image";
                self.problems.push(Problem::new(ProblemKind::Truncated, text).at(at));
                break;
            };
            if let Err(e) = budget.output(METADATA as u64) {
                self.problems.push(e.into());
                break;
            }
            let next = block.next;
            blocks.push((at, block));
            at = next;
        }
        let codec = self.codec;
        let decoded: Vec<_> =
            blocks.par_iter().map(|(at, block)| (*at, block.decode(codec))).collect();
        for (at, bytes) in decoded {
            self.index.insert(at, self.data.len());
            match bytes {
                Ok(bytes) => self.data.extend_from_slice(&bytes),
                // What follows keeps its place; nothing reads as an inode from zeros.
                Err(problem) => {
                    self.problems.push(problem.at(at));
                    self.data.resize(self.data.len().saturating_add(METADATA), 0);
                }
            }
        }
    }

    /// The decoded bytes from `offset` of the block at `block` to the end of the table.
    pub fn at(&mut self, block: u64, offset: usize, budget: &Budget) -> Option<&[u8]> {
        if !self.index.contains_key(&block) && block < self.end {
            self.extend(block, budget);
        }
        let start = self.index.get(&block)?.checked_add(offset)?;
        self.data.get(start..).filter(|rest| !rest.is_empty())
    }
}

/// The `count` entries of `size` bytes behind a list of pointers to metadata blocks at `list`.
pub(super) fn indexed(
    sb: &Super,
    image: &[u8],
    codec: Codec,
    list: u64,
    (count, size): (u64, usize),
    budget: &Budget,
) -> Result<Vec<u8>, Problem> {
    let bytes = count.saturating_mul(size as u64);
    let blocks = read::index(bytes.div_ceil(METADATA as u64)).unwrap_or(usize::MAX);
    let width = if sb.major < 3 { 4 } else { 8 };
    let pointers =
        read::index(list).and_then(|at| read::slice(image, at, blocks.checked_mul(width)?));
    let pointers = pointers.ok_or_else(|| {
        Problem::new(ProblemKind::Truncated, "an index of metadata blocks is not there").at(list)
    })?;
    budget.output(bytes)?;
    let mut out = Vec::new();
    for pointer in pointers.chunks_exact(width) {
        let at = match width {
            4 => sb.order.u32(pointer, 0).map(u64::from),
            _ => sb.order.u64(pointer, 0),
        };
        let at = at.unwrap_or(u64::MAX);
        let block = MetadataBlock::at(sb, image, at)
            .ok_or_else(|| malformed("an index points behind the end of the image").at(list))?;
        out.extend_from_slice(&block.decode(codec).map_err(|p| p.at(at))?);
    }
    if (out.len() as u64) < bytes {
        return Err(malformed("a table is shorter than the superblock declares").at(list));
    }
    Ok(out)
}
