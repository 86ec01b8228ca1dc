//! Raw NAND dumps of UBI: pages followed by their spare (out-of-band) bytes.
//!
//! *Establishes*: the pages without spare bytes, as one content.
//! *How*: an erase counter header tells at which byte of the block the volume
//! header stands. Where it does not stand there, but further on by the spare bytes
//! of the pages before it, that gives the sizes of page and spare area.
//! *False positives*: none; both headers have a CRC-32. *False negatives*: dumps
//! in which no volume header is readable. *Limits*: ECC bytes are dropped, not
//! used to correct (`nand-bch`, `nand-hamming` do). *Sources*: the layout of `nanddump --oob`.

use std::sync::Arc;

use bytes::Bytes;
use proofmark_model::{EntryKind, Proof};

use super::ubi::{Counter, is_volume_header};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Load, Loaded, Magic, Sink},
    read,
};

/// NAND dump with spare bytes.
pub struct Nand;

static ABOUT: About = About {
    id: "nand",
    name: "NAND dump with spare bytes",
    family: Family::Partition,
    revision: 1,
    metadata: "sizes of page and spare area",
    integrity: "crc32 of UBI headers at their places between spare bytes",
    limits: "ECC not used",
    sources: &["http://www.linux-mtd.infradead.org/doc/nand.html"],
};

impl Format for Nand {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(b"UBI#")];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let first = Counter::parse(data, at)?;
        let geometry = Geometry::find(data, at)?;
        let step = geometry.page.checked_add(geometry.spare)?;
        // Erase blocks are a power of two of pages; the next header tells how many.
        // Behind bad blocks it is several away.
        let sizes = || (4..=10).map(|n| step.saturating_mul(1 << n));
        let ahead = |n: usize, size: usize| {
            size.checked_mul(n)?
                .checked_add(at)
                .filter(|next| Counter::parse(data, *next).is_some())
        };
        let block = (1..=8).find_map(|n| sizes().find(|size| ahead(n, *size).is_some()));
        let block = block.unwrap_or_else(|| step.saturating_mul(64));
        let belongs =
            |at: usize| Counter::parse(data, at).is_some_and(|c| c.sequence == first.sequence);
        if (1..=8)
            .any(|n| block.checked_mul(n).and_then(|d| at.checked_sub(d)).is_some_and(belongs))
        {
            return None;
        }
        let (mut end, mut next) = (at, at);
        while next < data.len() {
            budget.work(64).ok()?;
            let behind = next.checked_add(block)?;
            if belongs(next) {
                end = behind;
            } else if behind.saturating_sub(end) > block.saturating_mul(32) {
                break;
            }
            next = behind;
        }
        let length = end.min(data.len()).checked_sub(at)?;
        let length = length.checked_sub(length.checked_rem(step)?)?;
        (length > 0).then(|| Candidate::new(at, length, Proof::ChecksumVerified))
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        let Some(geometry) = Geometry::find(region, 0) else { return };
        sink.attribute("block-size", geometry.page);
        sink.attribute("spare-size", geometry.spare);
        let pages =
            region.len().checked_div(geometry.page.saturating_add(geometry.spare)).unwrap_or(0);
        let content =
            Stripped { image: region.clone(), geometry, size: pages.saturating_mul(geometry.page) };
        let entry = Entry {
            path: b"data".to_vec(),
            kind: EntryKind::File,
            metadata: Default::default(),
            blob: Blob::Lazy(Arc::new(content)),
            problems: Vec::new(),
        };
        // Running out of entries is recorded by the sink.
        let _ = sink.entry(entry);
    }
}

/// Sizes of page and spare area of a dump in which UBI headers stand, told from the first of them that are found.
#[must_use]
pub fn geometry(data: &[u8], budget: &Budget) -> Option<(usize, usize)> {
    let mut from = 0;
    for _ in 0..16 {
        let at = budget.find(data, b"UBI#", from).ok()??;
        if let Some(found) = Geometry::find(data, at) {
            return Some((found.page, found.spare));
        }
        from = at.checked_add(4)?;
    }
    None
}

/// Bytes of a page and of the spare area behind it.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    page: usize,
    spare: usize,
}

impl Geometry {
    /// The sizes under which a volume header stands where it should, in one of the first erase blocks.
    fn find(data: &[u8], at: usize) -> Option<Self> {
        const PAGES: [usize; 6] = [512, 1024, 2048, 4096, 8192, 16384];
        const SPARES: [usize; 10] = [16, 27, 32, 64, 112, 128, 208, 218, 224, 256];
        let counter = Counter::parse(data, at)?;
        // The volume header stands at the second page, so its place is the size of a page; only flashes whose
        // headers were put further on need another guess, which several sizes of page may fit.
        let pages = PAGES.into_iter().filter(|p| *p != counter.header);
        for page in PAGES.into_iter().filter(|p| *p == counter.header).chain(pages) {
            for spare in SPARES {
                let pages = counter.header.checked_div(page)?;
                let shift = pages.checked_mul(spare)?;
                let header = at.checked_add(counter.header)?.checked_add(shift)?;
                // A header in the first page would stand in the same place without spare bytes.
                if pages > 0 && is_volume_header(data, header) {
                    return Some(Self { page, spare });
                }
            }
        }
        None
    }
}

/// Pages without their spare bytes.
struct Stripped {
    image: Bytes,
    geometry: Geometry,
    size: usize,
}

impl Load for Stripped {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn load(&self, budget: &Budget) -> Loaded {
        if let Err(e) = budget.output(self.size as u64) {
            return Loaded { bytes: Bytes::new(), problems: vec![e.into()] };
        }
        let mut out = Vec::with_capacity(self.size);
        let step = self.geometry.page.saturating_add(self.geometry.spare).max(1);
        for page in self.image.chunks_exact(step) {
            out.extend_from_slice(read::slice(page, 0, self.geometry.page).unwrap_or_default());
        }
        Loaded { bytes: out.into(), problems: Vec::new() }
    }
}
