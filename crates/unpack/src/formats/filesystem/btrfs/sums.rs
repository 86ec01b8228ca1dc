//! Checksums of contents: crc32c of every sector of every extent, by logical address.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind};

use super::{Items, item, tree::Item};
use crate::{
    budget::Budget,
    format::{Blob, Load, Loaded},
    formats::filesystem::common::crc32c,
    read::{self, le16, le32},
};

/// Where the sums are. Empty where they are of another kind than crc32c.
#[derive(Default)]
pub(super) struct Sums {
    sector: u64,
    /// By logical address of the first sector.
    lists: BTreeMap<u64, Item>,
}

/// Stored bytes whose sums are to be looked at: logical address, place in the image, bytes, offset in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub logical: u64,
    pub image: usize,
    pub len: usize,
    pub file: u64,
}

impl Sums {
    pub fn new(sb: &[u8], items: &Items) -> Self {
        let sector = le32(sb, 144).unwrap_or(0);
        if le16(sb, 196) != Some(0) || !(512..=65536).contains(&sector) {
            return Self::default();
        }
        let lists = items.iter().filter(|((_, kind, _), _)| *kind == item::SUM);
        Self {
            sector: sector.into(),
            lists: lists.map(|((_, _, at), item)| (*at, *item)).collect(),
        }
    }

    /// Whether there is any sum in a range of addresses.
    fn cover(&self, addresses: Range<u64>) -> bool {
        self.lists.range(..addresses.end).next_back().is_some_and(|(start, item)| {
            let sectors = (item.len / 4) as u64;
            start.saturating_add(sectors.saturating_mul(self.sector)) > addresses.start
        })
    }

    /// What does not match.
    fn check(&self, image: &[u8], stored: Stored, budget: &Budget, problems: &mut Vec<Problem>) {
        let Some(bytes) = read::slice(image, stored.image, stored.len) else { return };
        if let Err(e) = budget.work(stored.len as u64) {
            problems.push(e.into());
            return;
        }
        let sector = read::index(self.sector).unwrap_or(0).max(1);
        let mut wrong = 0_u64;
        for (n, sector) in (0_u64..).zip(bytes.chunks_exact(sector)) {
            let address = stored.logical.saturating_add(n.saturating_mul(self.sector));
            let sum = self.lists.range(..=address).next_back().and_then(|(start, item)| {
                let index = address.checked_sub(*start)?.checked_div(self.sector)?;
                le32(item.bytes(image)?, read::index(index)?.checked_mul(4)?)
            });
            if sum.is_some_and(|sum| sum != !crc32c(!0, sector)) {
                wrong = wrong.saturating_add(1);
            }
        }
        if wrong > 0 {
            let text = format!("the checksums of {wrong} sectors do not match");
            problems.push(Problem::new(ProblemKind::Checksum, text).at(stored.file));
        }
    }
}

/// A content whose stored bytes are checked when it is loaded.
pub(super) fn checked(
    image: &Bytes,
    sums: &Arc<Sums>,
    blob: Blob,
    mut stored: Vec<Stored>,
) -> Blob {
    stored.retain(|s| sums.cover(s.logical..s.logical.saturating_add(s.len as u64)));
    if stored.is_empty() {
        return blob;
    }
    Blob::Lazy(Arc::new(Checked { image: image.clone(), sums: Arc::clone(sums), blob, stored }))
}

struct Checked {
    image: Bytes,
    sums: Arc<Sums>,
    blob: Blob,
    stored: Vec<Stored>,
}

impl Load for Checked {
    fn size(&self) -> u64 {
        self.blob.size()
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = self.blob.load(budget);
        for stored in &self.stored {
            self.sums.check(&self.image, *stored, budget, &mut loaded.problems);
        }
        loaded
    }
}
