//! YAFFS1 and YAFFS2 dumps with their spare bytes, either byte order.
//!
//! *Establishes*: the newest state of every object; contents from its chunks.
//! *How*: sizes of page and spare area and the place of the tags in it are not
//! written anywhere. All that exist are tried; the one under which most of the
//! first pages carry sensible tags, and headers where the tags say so, is taken.
//! *False positives*: the first page must be an object header of the root's child
//! or the root, and at least three pages must agree with the geometry.
//! Tags may stand at the end of the page itself (inband), where chips have no room for them. A code over the
//! tags is checked, and single wrong bits are put right, where most pages have it; so is the code of the pages
//! where it is one of those that dumps are recognised by (see `nand_dump`). *Limits*: the 12 bits of code over the
//! tags of version 1 are not checked. *Sources*: `yaffs_guts.h`, `yaffs_packedtags2.c`, `yaffs_ecc.c` of the YAFFS
//! project.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{
    common::{self, MAX_DEPTH, zeros},
    nand_dump,
};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Load, Loaded, Magic, Sink},
    read::{self, Order},
};

/// YAFFS.
pub struct Yaffs;

static ABOUT: About = About {
    id: "yaffs",
    name: "YAFFS1/YAFFS2",
    family: Family::FileSystem,
    revision: 2,
    metadata: "mode, owner, mtime, device numbers, hard links",
    integrity: "tags of every page against each other; codes over tags and pages where they are there",
    limits: "the code over the tags of version 1 is not checked",
    sources: &["https://yaffs.net/documents/yaffs-direct-interface"],
};

/// The first object header: type, parent 1 (the root), and a sum that is no longer used.
macro_rules! magics {
    ($($kind:literal)*) => {
        &[$(
            Magic::anywhere(&[$kind, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff]),
            Magic::anywhere(&[0, 0, 0, $kind, 0, 0, 0, 1, 0xff, 0xff]),
        )*]
    };
}

impl Format for Yaffs {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = magics!(1 2 3 5);
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let image = data.get(at..)?;
        budget.work(1 << 14).ok()?;
        let geometry = Geometry::find(image)?;
        // Not the first page where the one before belongs to the same dump.
        let before = at.checked_sub(geometry.step()).and_then(|b| data.get(b..at));
        if before.is_some_and(|page| geometry.tags(page, 0).is_some_and(|t| t.is_sensible())) {
            return None;
        }
        let (mut pages, mut last, mut bad) = (0usize, 0usize, 0u32);
        while let Some(page) =
            pages.checked_mul(geometry.step()).and_then(|s| read::slice(image, s, geometry.step()))
        {
            budget.work(64).ok()?;
            pages = pages.checked_add(1)?;
            match geometry.tags(page, 0) {
                Some(tags) if tags.is_sensible() => (last, bad) = (pages, 0),
                // Erased pages end a block.
                _ if page.iter().all(|b| *b == 0xff) => {}
                _ => bad = bad.saturating_add(1),
            }
            if bad > 64 {
                break;
            }
        }
        let length = last.checked_mul(geometry.step())?;
        Some(Candidate::new(at, length, Proof::LengthsConsistent)).filter(|c| c.length > 0)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(geometry) = Geometry::find(region) else { return };
        sink.attribute("version", if geometry.first { "1" } else { "2" });
        sink.attribute("block-size", geometry.page);
        sink.attribute("spare-size", geometry.spare);
        sink.attribute("byte-order", if geometry.order == Order::Big { "big" } else { "little" });
        let region = &geometry.corrected(region, budget, sink);
        let coded = geometry.is_coded(region);
        if coded {
            sink.attribute("tags-ecc", "yes");
        }
        let mut objects: BTreeMap<u32, Object> = BTreeMap::new();
        let (mut wrong, mut mended, mut damaged) = (0u64, 0u64, 0u64);
        for (index, page) in region.chunks_exact(geometry.step()).enumerate() {
            if budget.work(64).is_err() {
                sink.problem(crate::budget::Exhausted::Work);
                break;
            }
            let mut copy = None;
            if coded && page.iter().any(|b| *b != 0xff) {
                match geometry.mend(page) {
                    Some((_, 0)) => {}
                    Some((page, _)) => {
                        mended = mended.saturating_add(1);
                        copy = Some(page);
                    }
                    None => damaged = damaged.saturating_add(1),
                }
            }
            let page = copy.as_deref().unwrap_or(page);
            let Some(tags) = geometry.tags(page, 0).filter(Tags::is_sensible) else {
                wrong = wrong.saturating_add(u64::from(page.iter().any(|b| *b != 0xff)));
                continue;
            };
            let object = objects.entry(tags.object).or_default();
            // Later pages of the same block are newer, later blocks have a higher sequence.
            let age = (tags.sequence, index);
            if tags.chunk == 0 {
                match Header::parse(page, geometry.order) {
                    Some(header) if object.header.as_ref().is_none_or(|(old, _)| *old < age) => {
                        object.header = Some((age, header));
                    }
                    Some(_) => {}
                    None => wrong = wrong.saturating_add(1),
                }
            } else {
                let at = index.saturating_mul(geometry.step());
                let chunk =
                    object.chunks.entry(tags.chunk).or_insert((age, at, tags.bytes as usize));
                if chunk.0 < age {
                    *chunk = (age, at, tags.bytes as usize);
                }
            }
        }
        if wrong > 0 {
            let text =
                format!("{wrong} pages carry neither sensible tags nor a header where one belongs");
            sink.problem(common::malformed(text));
        }
        if mended > 0 {
            sink.attribute("tags-corrected", mended);
        }
        if damaged > 0 {
            let text = format!(
                "the tags of {damaged} pages have more wrong bits than their code corrects"
            );
            sink.problem(Problem::new(ProblemKind::Checksum, text));
        }
        emit(region, &geometry, &objects, sink);
    }
}

/// The root folder, and objects that hold what was deleted.
const ROOT: u32 = 1;
const UNLINKED: u32 = 3;
const DELETED: u32 = 4;

fn emit(image: &Bytes, geometry: &Geometry, objects: &BTreeMap<u32, Object>, sink: &mut Sink<'_>) {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (id, object) in objects {
        if let Some((_, header)) = &object.header
            && *id != ROOT
            && !matches!(header.parent, UNLINKED | DELETED)
        {
            children.entry(header.parent).or_default().push(*id);
        } else if object.header.is_none() {
            let text = format!("object {id} has content and no header");
            sink.problem(Problem::new(ProblemKind::Incomplete, text));
        }
    }
    let mut paths: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut links = Vec::new();
    let mut seen = BTreeSet::from([ROOT]);
    let mut queue = vec![(Vec::new(), ROOT, 0)];
    while let Some((path, id, depth)) = queue.pop() {
        let mut below = Vec::new();
        for id in children.get(&id).into_iter().flatten() {
            let Some(object) = objects.get(id) else { continue };
            let Some((_, header)) = &object.header else { continue };
            let path = common::join(&path, &header.name);
            let mut problems = Vec::from_iter(common::check_name(&header.name));
            let mut blob = Blob::None;
            let kind = match header.kind {
                1 => {
                    let pieces =
                        object.chunks.iter().map(|(n, (_, at, len))| (*n, *at, *len)).collect();
                    let page = geometry.page;
                    blob = Blob::Lazy(Arc::new(Content {
                        image: image.clone(),
                        size: header.size,
                        page,
                        pieces,
                    }));
                    EntryKind::File
                }
                2 => EntryKind::Symlink { target: escape(&header.alias) },
                3 => {
                    if depth >= MAX_DEPTH || !seen.insert(*id) {
                        problems
                            .push(common::malformed("the folder contains itself or is too deep"));
                    } else {
                        below.push((path.clone(), *id, depth.saturating_add(1)));
                    }
                    EntryKind::Directory
                }
                4 => {
                    links.push((sink.entries.len(), header.equivalent));
                    EntryKind::File
                }
                _ => common::kind(header.mode, common::device(header.device), b"")
                    .unwrap_or(EntryKind::File),
            };
            paths.insert(*id, path.clone());
            let metadata = Metadata {
                mode: Some(header.mode & 0o7777),
                uid: Some(header.uid),
                gid: Some(header.gid),
                mtime: Some(header.mtime.into()),
                xattrs: Vec::new(),
            };
            if sink.entry(Entry { path, kind, metadata, blob, problems }).is_err() {
                return;
            }
        }
        queue.extend(below.into_iter().rev());
    }
    for (index, target) in links {
        let Some(entry) = sink.entries.get_mut(index) else { continue };
        match paths.get(&target) {
            Some(path) => entry.kind = EntryKind::Hardlink { target: escape(path) },
            None => entry
                .problems
                .push(common::malformed(format!("links to object {target}, which is not there"))),
        }
    }
}

/// How pages are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Geometry {
    page: usize,
    spare: usize,
    /// Where in the spare bytes the tags start.
    tags_at: usize,
    /// Version 1, with its eight packed bytes.
    first: bool,
    order: Order,
}

impl Geometry {
    fn step(&self) -> usize {
        self.page.saturating_add(self.spare)
    }

    /// The layout under which most of the first pages make sense.
    fn find(image: &[u8]) -> Option<Self> {
        const PAGES: [usize; 6] = [512, 1024, 2048, 4096, 8192, 16384];
        const SPARES: [usize; 9] = [16, 32, 64, 128, 208, 218, 224, 256, 448];
        /// Bytes of tags at the end of a page that has no spare bytes for them.
        const INBAND: usize = 16;
        let order = if image.first() == Some(&0) { Order::Big } else { Order::Little };
        Header::parse(image, order)?;
        let mut best: Option<(usize, Self)> = None;
        for whole in PAGES {
            let inband = whole.checked_sub(INBAND)?;
            for (page, spare) in
                SPARES.into_iter().map(|s| (whole, s)).chain(std::iter::once((inband, INBAND)))
            {
                for tags_at in [0, 2, 1, 4, 8, 26, 28, 30] {
                    let first = Self { page, spare, tags_at, first: true, order };
                    let second = Self { first: false, ..first };
                    let tried = [
                        (page == 512 && spare == 16 && tags_at == 0).then_some(first),
                        Some(second),
                    ];
                    for geometry in tried.into_iter().flatten() {
                        let score = geometry.score(image);
                        if score >= 6 && best.as_ref().is_none_or(|(s, _)| score > *s) {
                            best = Some((score, geometry));
                        }
                    }
                }
            }
        }
        best.map(|(_, g)| g)
    }

    /// How many of the first pages have sensible tags that fit what is in the page; none if one does not.
    fn score(&self, image: &[u8]) -> usize {
        let mut score = 0usize;
        for page in image.chunks_exact(self.step()).take(32) {
            if page.iter().all(|b| *b == 0xff) {
                continue;
            }
            let Some(tags) = self.tags(page, 0).filter(Tags::is_sensible) else { return 0 };
            // Headers are the better witnesses.
            let worth = match tags.chunk {
                0 if Header::parse(page, self.order).is_some() => 4,
                1.. if (1..=self.page).contains(&(tags.bytes as usize)) => 1,
                _ => return 0,
            };
            score = score.saturating_add(worth);
        }
        score
    }

    /// The region with the wrong bits of its pages put right, where the pages have a code that is known.
    fn corrected(&self, region: &Bytes, budget: &Budget, sink: &mut Sink<'_>) -> Bytes {
        let ecc = nand_dump::recognise(region, budget)
            .filter(|e| (e.page(), e.spare()) == (self.page, self.spare));
        let Some(ecc) = ecc else { return region.clone() };
        match nand_dump::corrected(region, &*ecc, true, budget) {
            Ok((bytes, stats)) => {
                sink.attribute("ecc", ecc.describe());
                stats.attributes(sink);
                stats.problems().into_iter().for_each(|p| sink.problem(p));
                bytes
            }
            Err(e) => {
                sink.problem(e);
                region.clone()
            }
        }
    }

    /// Tags of version 2 with their code behind them.
    fn coded<'p>(&self, page: &'p [u8]) -> Option<(&'p [u8], Code)> {
        let spare = read::slice(page, self.page, self.spare)?.get(self.tags_at..)?;
        let word = |at| self.order.u32(spare, at);
        let code = Code { columns: read::u8(spare, 16)?, lines: word(20)?, inverse: word(24)? };
        (!self.first).then_some((spare.get(..16)?, code))
    }

    /// Whether most of the first pages have a code over their tags.
    fn is_coded(&self, image: &[u8]) -> bool {
        let written = |page: &&[u8]| page.iter().any(|b| *b != 0xff);
        let pages = image.chunks_exact(self.step()).filter(written).take(64);
        let (right, all) = pages.fold((0_u32, 0_u32), |(right, all), page| {
            let is = self.coded(page).is_some_and(|(tags, code)| Code::of(tags) == code);
            (right.saturating_add(is.into()), all.saturating_add(1))
        });
        right >= 3 && right.saturating_mul(2) > all
    }

    /// The page with right tags, and how many bits of them were wrong; none where one bit does not explain it.
    fn mend(&self, page: &[u8]) -> Option<(Vec<u8>, u32)> {
        let (tags, code) = self.coded(page)?;
        if Code::of(tags) == code {
            return Some((Vec::new(), 0));
        }
        // A wrong bit in the code itself leaves the tags alone.
        if Code::of(tags).differs(code) == 1 {
            return Some((page.to_vec(), 1));
        }
        let at = self.page.checked_add(self.tags_at)?;
        (0..128_usize).find_map(|bit| {
            let mut copy = page.to_vec();
            *copy.get_mut(at.checked_add(bit / 8)?)? ^= 1 << (bit % 8);
            let (tags, code) = self.coded(&copy)?;
            (Code::of(tags) == code).then_some((copy, 1))
        })
    }

    fn tags(&self, page: &[u8], at: usize) -> Option<Tags> {
        let spare = read::slice(page, at.checked_add(self.page)?, self.spare)?;
        if self.first {
            // Eight bytes in three pieces: 20 bits chunk, 2 serial, 10 bytes, 18 object, 12 ECC, 2 unused.
            let b = [spare.get(..4)?, spare.get(6..8)?, spare.get(11..13)?].concat();
            let low = self.order.u32(&b, 0)?;
            let high = self.order.u32(&b, 4)?;
            let (chunk, bytes, object) = match self.order {
                Order::Little => (low & 0xf_ffff, low >> 22, high & 0x3_ffff),
                Order::Big => (low >> 12, low & 0x3ff, high >> 14),
            };
            let bytes = if bytes == 0x3ff || bytes == 0 && chunk > 0 { 512 } else { bytes };
            return Some(Tags { sequence: 0x1000, object, chunk, bytes });
        }
        let b = spare.get(self.tags_at..)?;
        let word = |i| self.order.u32(b, i);
        let (mut object, mut chunk) = (word(4)?, word(8)?);
        // A header's tags may repeat the type of the object and its parent.
        if chunk & 0x8000_0000 != 0 {
            (object, chunk) = (object & 0x0fff_ffff, 0);
        }
        Some(Tags { sequence: word(0)?, object, chunk, bytes: word(12)? })
    }
}

/// What the spare bytes say about a page.
struct Tags {
    sequence: u32,
    object: u32,
    /// 0 for a header, else the number of the piece of content.
    chunk: u32,
    bytes: u32,
}

impl Tags {
    fn is_sensible(&self) -> bool {
        (0x1000..=0xefff_ff00).contains(&self.sequence)
            // All bits set is what erased spare bytes of version 1 read as.
            && (1..0x3_ffff).contains(&self.object)
            && self.chunk < 0xf_ffff
    }
}

/// The code over tags: parities of columns of bits, and of the numbers of bytes with an odd number of ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Code {
    columns: u8,
    lines: u32,
    inverse: u32,
}

impl Code {
    fn of(tags: &[u8]) -> Self {
        /// What each bit of a byte adds to the columns.
        const COLUMNS: [u8; 8] = [0x55, 0x59, 0x65, 0x69, 0x95, 0x99, 0xA5, 0xA9];
        let mut code = Self { columns: 0, lines: 0, inverse: 0 };
        for (n, byte) in (0_u32..).zip(tags) {
            for (bit, column) in COLUMNS.into_iter().enumerate() {
                if byte >> bit & 1 == 1 {
                    code.columns ^= column;
                }
            }
            if byte.count_ones() & 1 == 1 {
                code.lines ^= n;
                code.inverse ^= !n;
            }
        }
        code.columns = code.columns >> 2 & 0x3F;
        code
    }

    /// Bits in which two codes differ.
    fn differs(self, other: Self) -> u32 {
        (self.columns ^ other.columns)
            .count_ones()
            .saturating_add((self.lines ^ other.lines).count_ones())
            .saturating_add((self.inverse ^ other.inverse).count_ones())
    }
}

/// An object header.
struct Header {
    kind: u32,
    parent: u32,
    name: Vec<u8>,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u32,
    size: u64,
    equivalent: u32,
    alias: Vec<u8>,
    device: u32,
}

impl Header {
    fn parse(b: &[u8], order: Order) -> Option<Self> {
        let d = |at| order.u32(b, at);
        let (kind, parent) = (d(0)?, d(4)?);
        let name = read::until_nul(b.get(10..266)?);
        let root = kind == 3 && name.is_empty();
        let sensible = (1..=5).contains(&kind)
            && (1..0x4_0000).contains(&parent)
            && (root || !name.is_empty())
            && !name.contains(&b'/');
        let high = d(496).filter(|h| *h != u32::MAX).unwrap_or(0);
        let low = d(292)?;
        sensible.then_some(Self {
            kind,
            parent,
            name: name.to_vec(),
            mode: d(268)?,
            uid: d(272)?,
            gid: d(276)?,
            mtime: d(284)?,
            size: u64::from(low) | (u64::from(high) << 32),
            equivalent: d(296)?,
            alias: read::until_nul(b.get(300..460)?).to_vec(),
            device: d(460)?,
        })
    }
}

/// When a page was written: sequence of its block, number of the page.
type Age = (u32, usize);

/// An object as its newest pages make it.
#[derive(Default)]
struct Object {
    header: Option<(Age, Header)>,
    /// By number of the chunk: age, place, bytes.
    chunks: BTreeMap<u32, (Age, usize, usize)>,
}

/// A file as pages.
struct Content {
    image: Bytes,
    size: u64,
    page: usize,
    /// Number of the chunk (from 1), place, bytes.
    pieces: Vec<(u32, usize, usize)>,
}

impl Load for Content {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        let Some(mut out) = zeros(self.size, budget, &mut loaded.problems) else { return loaded };
        for (number, at, len) in &self.pieces {
            let target = (number.saturating_sub(1) as usize).saturating_mul(self.page);
            let to = out.get_mut(target..).unwrap_or_default();
            let len = (*len).min(self.page).min(to.len());
            if let (Some(to), Some(from)) = (to.get_mut(..len), read::slice(&self.image, *at, len))
            {
                to.copy_from_slice(from);
            }
        }
        loaded.bytes = out.into();
        loaded
    }
}
