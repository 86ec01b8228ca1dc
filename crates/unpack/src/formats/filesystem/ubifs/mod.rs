//! UBIFS, as the content of a UBI volume or as an image that mkfs.ubifs wrote.
//!
//! *Establishes*: the state a mount would show: index, then journal.
//! *How*: superblock node, newest master node, walk of the index from its root,
//! replay of the journal's nodes in the order of their sequence numbers. Where the
//! index is damaged, all nodes with a right checksum are replayed instead, and
//! that is said.
//! *False positives*: none; every node has a CRC-32.
//! *Limits*: encrypted names and contents are not decrypted; hashes of
//! authenticated images are not verified. *Sources*: kernel
//! `fs/ubifs/ubifs-media.h`, the UBIFS white paper.

mod node;
mod state;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use self::node::{Kind, Node};
use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    read::{le16, le32},
};

/// UBIFS.
pub struct UbiFs;

static ABOUT: About = About {
    id: "ubifs",
    name: "UBIFS",
    family: Family::FileSystem,
    revision: 1,
    metadata: "mode, owner, mtime, xattrs, device numbers, hard links",
    integrity: "crc32 of every node",
    limits: "fscrypt not decrypted, authentication not verified",
    sources: &[
        "http://www.linux-mtd.infradead.org/doc/ubifs_whitepaper.pdf",
        "https://github.com/torvalds/linux/blob/master/fs/ubifs/ubifs-media.h",
    ],
};

impl Format for UbiFs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        // Every node opens with the same four bytes; length and type of the superblock's tell it from others.
        const MAGICS: &[Magic] =
            &[Magic::anywhere(&[0, 0x10, 0, 0, Kind::SUPER, 0, 0, 0]).after(16)];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        budget.work(4096).ok()?;
        let sb = Super::parse(data.get(at..)?)?;
        let declared = sb.leb_size.checked_mul(sb.leb_count)?;
        // What is behind the last written block need not be in the image.
        let length = declared.min(data.len().checked_sub(at)?);
        Some(Candidate::new(at, length, Proof::ChecksumVerified))
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(sb) = Super::parse(region) else { return };
        sink.attribute("block-size", sb.leb_size);
        sink.attribute("version", sb.version);
        sink.attribute(
            "compression",
            match sb.compression {
                0 => "none",
                1 => "lzo",
                2 => "zlib",
                3 => "zstd",
                _ => "unknown",
            },
        );
        if sb.authenticated {
            sink.attribute("integrity", "signature");
            sink.attribute("integrity-correct", "unknown");
        }
        let mut state = state::State::default();
        if let Err(reason) = state.mounted(&sb, region, budget) {
            let text = format!(
                "{reason}; all nodes with a right checksum stand for it, in the order they were written"
            );
            sink.problem(Problem::new(ProblemKind::Malformed, text));
            state = state::State::default();
            if let Err(e) = state.scanned(&sb, region, budget) {
                sink.problem(e);
            }
        }
        state.emit(region, budget, sink);
    }
}

/// What the superblock node says.
struct Super {
    leb_size: usize,
    leb_count: usize,
    log_blocks: usize,
    version: u32,
    compression: u16,
    authenticated: bool,
    /// Bytes of a hash behind each branch of the index.
    hash_len: usize,
}

impl Super {
    fn parse(data: &[u8]) -> Option<Self> {
        let node = Node::parse(data, 0).filter(|n| n.kind == Kind::SUPER)?;
        let b = node.bytes(data)?;
        let d = |at| le32(b, at);
        let authenticated = d(28)? & 0x10 != 0;
        let hash_len = match (authenticated, le16(b, 4092 - 2).is_some(), le16(b, 136)?) {
            (false, ..) => 0,
            // Ids of the kernel's list of hashes.
            (_, _, 1) => 16,
            (_, _, 2) => 20,
            (_, _, 4) => 32,
            (_, _, 5) => 48,
            (_, _, 6) => 64,
            (_, _, 7) => 28,
            _ => 32,
        };
        let this = Self {
            leb_size: d(36)? as usize,
            leb_count: d(40)? as usize,
            log_blocks: d(56)? as usize,
            version: d(80)?,
            compression: le16(b, 84)?,
            authenticated,
            hash_len,
        };
        let agrees = (0x1000..=0x80_0000).contains(&this.leb_size)
            && this.leb_count > 3
            && this.log_blocks < this.leb_count;
        agrees.then_some(this)
    }

    /// Offset of a place in the image.
    fn place(&self, block: u32, offset: u32) -> Option<usize> {
        let inside = (offset as usize) < self.leb_size && (block as usize) < self.leb_count;
        inside.then(|| (block as usize).checked_mul(self.leb_size)?.checked_add(offset as usize))?
    }
}
