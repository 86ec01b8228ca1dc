//! SquashFS 1 to 4, either byte order, with the compressors of the mainline and
//! those of vendors that changed the magic or the LZMA parameters.
//!
//! *Establishes*: every inode with its metadata; contents are decoded on demand.
//! *How*: the superblock's values must agree with each other in one of the two
//! byte orders (the magic does not tell the order: vendors swap it), and the root
//! inode must decode to a folder with the declared compressor. Where it does not,
//! all known compressors are tried, then raw LZMA over all properties and offsets.
//! *False positives*: none known; a superblock is 12 related values.
//! *False negatives*: an image whose superblock is damaged; compressors nobody
//! has published. *Limits*: fragments are kept decoded up to 64 MiB at a time.
//! *Sources*: the structures of squashfs-tools and of the Linux kernel
//! (`fs/squashfs/squashfs_fs.h`), and dr-emann's description of version 4.

mod layout;
mod load;
mod table;
mod walk;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use self::{layout::Super, table::Codec};
use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    read::{self, Order},
};

/// SquashFS.
pub struct SquashFs;

static ABOUT: About = About {
    id: "squashfs",
    name: "SquashFS",
    family: Family::FileSystem,
    revision: 1,
    metadata: "mode, owner, mtime, xattrs (version 4), device numbers, hard links",
    integrity: "superblock values, decoding, recovered inodes against the declared count",
    limits: "no export table; xattrs of version 3.1 and before do not exist",
    sources: &[
        "https://dr-emann.github.io/squashfs/",
        "https://github.com/plougher/squashfs-tools",
        "https://docs.kernel.org/filesystems/squashfs.html",
    ],
};

impl Format for SquashFs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[
            Magic::anywhere(b"hsqs"),
            Magic::anywhere(b"sqsh"),
            Magic::anywhere(b"shsq"),
            Magic::anywhere(b"qshs"),
            Magic::anywhere(b"hsqt"),
            Magic::anywhere(b"tqsh"),
            Magic::anywhere(b"sqlz"),
            Magic::anywhere(b"zlqs"),
        ];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let image = data.get(at..)?;
        budget.work(128).ok()?;
        let sb = superblock(image)?;
        let used = read::index(sb.used)?;
        if used > image.len() {
            let mut candidate = Candidate::new(at, image.len(), Proof::LengthsConsistent);
            let text = format!("the superblock declares {used} bytes, {} are there", image.len());
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
            return Some(candidate);
        }
        let proof = match Codec::detect(&sb, image, budget) {
            Some(_) => Proof::DecoderEnded,
            None => Proof::LengthsConsistent,
        };
        Some(Candidate::new(at, padded(image, used), proof))
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(sb) = superblock(region) else {
            sink.problem(Problem::new(ProblemKind::Malformed, "the superblock contradicts itself"));
            return;
        };
        sink.attribute("version", format!("{}.{}", sb.major, sb.minor));
        sink.attribute("byte-order", if sb.order == Order::Big { "big" } else { "little" });
        sink.attribute("block-size", sb.block_size);
        sink.attribute("created", sb.created);
        let Some(codec) = Codec::detect(&sb, region, budget) else {
            let text = "the root inode is not readable with the declared compressor or any other that is known";
            sink.attribute("compression", "unknown");
            sink.problem(Problem::new(ProblemKind::Unsupported, text).at(sb.inode_table));
            return;
        };
        sink.attribute("compression", codec.name());
        walk::walk(sb, codec, region, budget, sink);
    }
}

/// The superblock in the byte order in which its values agree.
fn superblock(image: &[u8]) -> Option<Super> {
    [Order::Little, Order::Big].into_iter().find_map(|order| Super::parse(image, order))
}

/// `used` and the zeros behind it: mksquashfs pads to 4 KiB, some build systems to 1 KiB.
fn padded(image: &[u8], used: usize) -> usize {
    for unit in [4096, 1024] {
        let end = used.checked_next_multiple_of(unit).unwrap_or(used).min(image.len());
        if image.get(used..end).is_some_and(|tail| tail.iter().all(|b| *b == 0)) {
            return end;
        }
    }
    used
}
