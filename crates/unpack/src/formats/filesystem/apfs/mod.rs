//! APFS: the newest state of every volume of a container.
//!
//! *Establishes*: every name of every volume with metadata and extended attributes; contents plain, sparse, or
//! compressed by the file system (zlib, LZVN, LZFSE, stored); snapshots by name.
//! *How*: the valid superblock of the highest transaction in the checkpoint area, the container's object map, the
//! superblock and object map of each volume, its tree of records. Every object has a Fletcher-64 sum, which is
//! checked; files, folders and links that were found are compared with what the volume's superblock counts.
//! *False positives*: none; a container starts with a superblock whose sum is right. *False negatives*: a container
//! whose first block is damaged.
//! *Limits*: encrypted volumes are named as such; snapshots are named, their older states are not read; containers
//! over two devices (Fusion) are read as far as the first goes. Device numbers are those of macOS (8 and 24 bits).
//! *Sources*: Apple File System Reference (2020); for compressed files `sys/decmpfs.h` of XNU.
//!
//! ```text
//! superblock: 32 "NXSB", 36 block size, 40 blocks, 64 incompatible features, 72 UUID, 104 blocks of the checkpoint
//!             area, 112 its first block, 160 object map, 180 most volumes, 184 their numbers
//! volume:     32 "APSB", 56 incompatible features, 116 kind of the tree, 128 object map, 136 tree of records,
//!             152 tree of snapshots, 184 files, 192 folders, 200 links, 208 others, 216 snapshots, 264 flags, 704 name
//! object:     0 sum, 8 number, 16 transaction, 24 type, 28 subtype
//! ```

mod object;
mod packed;
mod volume;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof, locator::escape};

use self::object::Container;
use super::common;
use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    formats::sums,
    read::{self, le32, le64},
};

/// APFS.
pub struct Apfs;

static ABOUT: About = About {
    id: "apfs",
    name: "APFS",
    family: Family::FileSystem,
    revision: 2,
    metadata: "mode, owner, mtime, xattrs, device numbers, hard links",
    integrity: "Fletcher-64 of every object; files, folders and links found against the volume's counts",
    limits: "encrypted volumes; states of snapshots; second device of Fusion drives",
    sources: &["Apple File System Reference, 2020-06-22", "XNU: bsd/sys/decmpfs.h"],
};

/// Most volumes that a container can have.
const VOLUMES: usize = 100;

impl Format for Apfs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(b"NXSB").after(32)];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let image = data.get(at..)?;
        let block = block_size(image)?;
        budget.work(block as u64).ok()?;
        let first = image.get(..block)?;
        let declared = read::index(le64(first, 40)?.checked_mul(block as u64)?)?;
        // Block 0 of a container is its superblock; a copy in the checkpoint area has the same bytes. That copy
        // stands where the area it names does not begin at its own distance, so the area there is not readable.
        if declared == 0 || !object::sum_is_right(first) {
            return None;
        }
        let length = declared.min(image.len());
        let mut candidate = Candidate::new(at, length, Proof::ChecksumVerified);
        if length < declared {
            let text = format!("the superblock declares {declared} bytes, {length} are there");
            candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(block) = block_size(region) else { return };
        sink.attribute("block-size", block);
        sink.attribute("uuid", sums::hex(region.get(72..88).unwrap_or_default()));
        let container = Container::new(region.clone(), block);
        let Some(newest) = newest(&container, budget, sink) else {
            sink.problem(common::malformed("no superblock of the checkpoint area is readable"));
            return;
        };
        let map = container.map(le64(newest, 160).unwrap_or(0), budget, &mut sink.problems);
        let most = (le32(newest, 180).unwrap_or(0) as usize).min(VOLUMES);
        let numbers = newest.get(184..).unwrap_or_default().chunks_exact(8).take(most);
        let numbers: Vec<_> = numbers.filter_map(|n| le64(n, 0)).filter(|n| *n != 0).collect();
        let mut volumes = Vec::new();
        for number in numbers {
            let place = map.place(number, u64::MAX).map(|m| m.block);
            match place.and_then(|place| volume::Volume::read(&container, place)) {
                Some(volume) => volumes.push(volume),
                None => {
                    sink.problem(common::malformed(format!("volume {number} is not readable")));
                }
            }
        }
        sink.attribute("volumes", volumes.len());
        let names: Vec<_> = volumes.iter().map(|v| escape(&v.name)).collect();
        sink.attribute("label", names.join(", "));
        let several = volumes.len() > 1;
        for (index, volume) in volumes.iter().enumerate() {
            // Names of volumes need not be different, nor be names of folders.
            let twice = volumes.iter().take(index).any(|v| v.name == volume.name);
            let prefix = match several {
                false => Vec::new(),
                true if twice || common::check_name(&volume.name).is_some() => {
                    [&volume.name[..], format!("#{index}").as_bytes()].concat()
                }
                true => volume.name.clone(),
            };
            volume.walk(&prefix, budget, sink);
        }
    }
}

/// The size of a block, where there is a superblock with a plausible one.
fn block_size(image: &[u8]) -> Option<usize> {
    let block = le32(image, 36)?;
    let plausible = read::slice(image, 32, 4)? == b"NXSB"
        && block.is_power_of_two()
        && (4096..=65536).contains(&block);
    read::index(block.into()).filter(|_| plausible)
}

/// The superblock of the highest transaction: block 0 is a copy from when the container was last unmounted.
fn newest<'c>(container: &'c Container, budget: &Budget, sink: &mut Sink<'_>) -> Option<&'c [u8]> {
    let first = container.block(0)?;
    let (count, base) = (le32(first, 104)?, le64(first, 112)?);
    let mut best = None;
    // Its highest bit says that the area is not in one piece but listed in a tree, which nothing writes.
    for number in 0..u64::from(count & 0x7fff_ffff) {
        if let Err(e) = budget.work(container.size as u64) {
            sink.problem(e);
            break;
        }
        let Some(block) = base.checked_add(number).and_then(|n| container.block(n)) else { break };
        let transaction = le64(block, 16);
        if read::slice(block, 32, 4) == Some(b"NXSB")
            && object::sum_is_right(block)
            && best.is_none_or(|b| le64(b, 16) < transaction)
        {
            best = Some(block);
        }
    }
    if best.is_none_or(|b| le64(b, 16) < le64(first, 16)) {
        let text = "the checkpoint area does not hold the state that block 0 is a copy of";
        sink.problem(Problem::new(ProblemKind::Incomplete, text));
        best = Some(first);
    }
    best
}
