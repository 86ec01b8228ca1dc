//! The starter database: facts about embedded components, compiled in, so that the first run matches something.
//!
//! It is made by `cargo xtask starter` from published data and lies in `data/starter.bin`. Records stand in blocks that
//! are inflated when one of them is asked for; opening reads a head of some kilobytes.
//!
//! ```text
//! "PMstart2", length of the head (u32), head (postcard)
//! index    pairs of u32: 32 bits of a key, number of a record; sorted
//! threats  u64 CVE number, u32: highest bit = known exploited, the rest = EPSS in ppm + 1, or 0; sorted
//! blocks   deflated, each a list of records (postcard)
//! ```
//!
//! All numbers are little-endian. Its feeds are called `starter/nvd` and so on, so that no report takes them for the
//! user's own current ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    sync::{Arc, OnceLock},
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use proofmark_model::{Digest, assessment::DataVersion};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    codec, date,
    key::{cve_number, keys, mentions},
    record::{Key, Record, Store, Threat},
};

const MAGIC: &[u8; 8] = b"PMstart2";
/// Plain bytes of a block, roughly: small enough to be inflated for one record, large enough to compress well.
const BLOCK: usize = 96 << 10;
/// Largest plain block that is read.
const LARGEST: u64 = 64 << 20;
const EXPLOITED: u32 = 1 << 31;

/// The compiled-in data.
static DATA: &[u8] = include_bytes!("../data/starter.bin");

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    feeds: Vec<About>,
    index: u32,
    threats: u32,
    blocks: Vec<Block>,
}

#[derive(Debug, Serialize, Deserialize)]
struct About {
    name: String,
    records: u32,
    newest: Option<i32>,
    digest: [u8; 32],
}

#[derive(Debug, Serialize, Deserialize)]
struct Block {
    packed: u32,
    records: u32,
}

/// Reads a starter database.
#[derive(Debug)]
pub struct Starter {
    head: Head,
    index: &'static [u8],
    threats: &'static [u8],
    blocks: Vec<(&'static [u8], u32, OnceLock<Vec<Arc<Record>>>)>,
}

impl Starter {
    /// The one that is compiled in.
    ///
    /// # Errors
    /// The data is damaged.
    pub fn open() -> Result<Self, String> {
        Self::read(DATA)
    }

    fn read(data: &'static [u8]) -> Result<Self, String> {
        let damaged = || "the compiled-in starter database is damaged".to_owned();
        let rest = data.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (head, rest) =
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
        let head: Head = postcard::from_bytes(head).map_err(|_| damaged())?;
        let bytes = |n: u32, each: usize| (n as usize).checked_mul(each).ok_or_else(damaged);
        let (index, rest) = rest.split_at_checked(bytes(head.index, 8)?).ok_or_else(damaged)?;
        let (threats, mut rest) =
            rest.split_at_checked(bytes(head.threats, 12)?).ok_or_else(damaged)?;
        let mut blocks = Vec::with_capacity(head.blocks.len());
        let mut first = 0_u32;
        for block in &head.blocks {
            let (body, next) = rest.split_at_checked(block.packed as usize).ok_or_else(damaged)?;
            blocks.push((body, first, OnceLock::new()));
            first = first.checked_add(block.records).ok_or_else(damaged)?;
            rest = next;
        }
        Ok(Self { head, index, threats, blocks })
    }

    /// Newest date in it, `YYYY-MM-DD`: how far it reaches at best.
    #[must_use]
    pub fn date(&self) -> String {
        self.head
            .feeds
            .iter()
            .filter_map(|f| f.newest)
            .max()
            .map_or_else(|| "undated".to_owned(), date::text)
    }

    /// Number of records of each feed, by name.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, u32)> {
        self.head.feeds.iter().map(|f| (f.name.clone(), f.records)).collect()
    }

    /// A record by its number.
    fn record(&self, number: u32) -> Result<Arc<Record>, String> {
        let damaged = || "the compiled-in starter database is damaged".to_owned();
        let at = self
            .blocks
            .partition_point(|(_, first, _)| *first <= number)
            .checked_sub(1)
            .ok_or_else(damaged)?;
        let (body, first, cell) = self.blocks.get(at).ok_or_else(damaged)?;
        let records = match cell.get() {
            Some(records) => records,
            None => {
                let mut plain = Vec::new();
                DeflateDecoder::new(*body)
                    .take(LARGEST)
                    .read_to_end(&mut plain)
                    .map_err(|_| damaged())?;
                let records: Vec<Record> = postcard::from_bytes(&plain).map_err(|_| damaged())?;
                cell.get_or_init(|| records.into_iter().map(Arc::new).collect())
            }
        };
        records.get(number.saturating_sub(*first) as usize).cloned().ok_or_else(damaged)
    }
}

/// The n-th little-endian number in a table of rows.
fn number(table: &[u8], row: usize, width: usize, at: usize, bytes: usize) -> u64 {
    let start = row.saturating_mul(width).saturating_add(at);
    let field = table.get(start..start.saturating_add(bytes)).unwrap_or_default();
    field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// The first row whose leading number is not below `least`.
fn find(table: &[u8], width: usize, bytes: usize, least: u64) -> usize {
    let (mut low, mut high) = (0, table.len() / width);
    while low < high {
        let middle = low.midpoint(high);
        if number(table, middle, width, 0, bytes) < least {
            low = middle.saturating_add(1)
        } else {
            high = middle
        }
    }
    low
}

/// 32 bits of a key.
fn short(key: &Key) -> u32 {
    (key.hash64() >> 32) as u32
}

impl Store for Starter {
    fn about(&self, key: &Key) -> Result<Vec<Arc<Record>>, String> {
        let short = u64::from(short(key));
        let mut row = find(self.index, 8, 4, short);
        let mut found = Vec::new();
        while row < self.index.len() / 8 && number(self.index, row, 8, 0, 4) == short {
            let record =
                self.record(u32::try_from(number(self.index, row, 8, 4, 4)).unwrap_or(u32::MAX))?;
            if mentions(&record, key) {
                found.push(record);
            }
            row = row.saturating_add(1);
        }
        found.sort_by(|a, b| (&a.feed, &a.id).cmp(&(&b.feed, &b.id)));
        Ok(found)
    }

    fn threat(&self, cve: &str) -> Result<Threat, String> {
        let Some(id) = cve_number(cve).map(i64::unsigned_abs) else { return Ok(Threat::default()) };
        let row = find(self.threats, 12, 8, id);
        if number(self.threats, row, 12, 0, 8) != id {
            return Ok(Threat::default());
        }
        let value = u32::try_from(number(self.threats, row, 12, 8, 4)).unwrap_or_default();
        Ok(Threat {
            known_exploited: value & EXPLOITED != 0,
            epss_ppm: (value & !EXPLOITED).checked_sub(1),
        })
    }

    fn feeds(&self) -> Vec<DataVersion> {
        let version = |f: &About| DataVersion {
            id: format!("starter/{}", f.name),
            version: f.newest.map_or_else(|| "undated".to_owned(), date::text),
            sha256: Some(Digest(f.digest)),
        };
        self.head.feeds.iter().map(version).collect()
    }
}

/// Writes a starter database: records, days of KEV entries by CVE, EPSS by CVE, and the dates of these two feeds.
///
/// # Errors
/// More than fits the layout.
pub fn write(
    mut records: Vec<Record>,
    kev: &BTreeMap<i64, Option<i32>>,
    epss: &BTreeMap<i64, u32>,
    dates: [Option<i32>; 2],
) -> Result<Vec<u8>, String> {
    let large = |_| "too large for the layout of a starter database".to_owned();
    // What is asked for together stands together.
    let place = |r: &Record| {
        let product = keys(r).into_iter().find(|k| !matches!(k, Key::Id(_)));
        (product, r.id.clone(), r.feed.clone())
    };
    records.sort_by_cached_key(place);
    let (mut index, mut blocks, mut bodies) = (BTreeSet::new(), Vec::new(), Vec::new());
    let mut feeds: BTreeMap<String, (u32, Option<i32>, Sha256)> = BTreeMap::new();
    let mut cves = BTreeSet::new();
    let mut open: Vec<&Record> = Vec::new();
    let mut size = 0_usize;
    let mut close = |open: &mut Vec<&Record>| -> Result<(), String> {
        let plain = postcard::to_stdvec(&open).map_err(|e| e.to_string())?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        let packed =
            encoder.write_all(&plain).and_then(|()| encoder.finish()).map_err(|e| e.to_string())?;
        blocks.push(Block {
            packed: u32::try_from(packed.len()).map_err(large)?,
            records: u32::try_from(open.len()).map_err(large)?,
        });
        bodies.extend(packed);
        open.clear();
        Ok(())
    };
    for (n, record) in records.iter().enumerate() {
        let n = u32::try_from(n).map_err(large)?;
        index.extend(keys(record).iter().map(|k| (short(k), n)));
        cves.extend(record.cves.iter().filter_map(|c| cve_number(c)));
        let plain = codec::plain(record)?;
        let (count, newest, hash) = feeds.entry(record.feed.clone()).or_default();
        *count = count.saturating_add(1);
        *newest = (*newest).max(record.modified).max(record.published);
        hash.update(Sha256::digest(&plain));
        open.push(record);
        size = size.saturating_add(plain.len());
        if size >= BLOCK {
            close(&mut open)?;
            size = 0;
        }
    }
    if !open.is_empty() {
        close(&mut open)?;
    }
    let mut threats = BTreeMap::new();
    for cve in cves {
        let exploited = if kev.contains_key(&cve) { EXPLOITED } else { 0 };
        let value = exploited | epss.get(&cve).map_or(0, |ppm| ppm.saturating_add(1));
        if value != 0 {
            threats.insert(cve.unsigned_abs(), value);
        }
    }
    let mut about: Vec<About> = feeds
        .into_iter()
        .map(|(name, (records, newest, hash))| About {
            name,
            records,
            newest,
            digest: hash.finalize().into(),
        })
        .collect();
    for (name, date, count) in [
        ("epss", dates[1], threats.values().filter(|v| **v & !EXPLOITED != 0).count()),
        ("kev", dates[0], threats.values().filter(|v| **v & EXPLOITED != 0).count()),
    ] {
        let mut hash = Sha256::new_with_prefix(name);
        threats.iter().for_each(|(cve, value)| {
            hash.update([cve.to_le_bytes(), u64::from(*value).to_le_bytes()].concat())
        });
        let records = u32::try_from(count).map_err(large)?;
        about.push(About {
            name: name.to_owned(),
            records,
            newest: date,
            digest: hash.finalize().into(),
        });
    }
    about.sort_by(|a, b| a.name.cmp(&b.name));
    let head = Head {
        feeds: about,
        index: u32::try_from(index.len()).map_err(large)?,
        threats: u32::try_from(threats.len()).map_err(large)?,
        blocks,
    };
    let head = postcard::to_stdvec(&head).map_err(|e| e.to_string())?;
    let mut out = MAGIC.to_vec();
    out.extend(u32::try_from(head.len()).map_err(large)?.to_le_bytes());
    out.extend(head);
    index.iter().for_each(|(key, n)| out.extend([key.to_le_bytes(), n.to_le_bytes()].concat()));
    threats.iter().for_each(|(cve, value)| {
        out.extend(cve.to_le_bytes());
        out.extend(value.to_le_bytes());
    });
    out.extend(bodies);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u32) -> Record {
        Record {
            feed: if n.is_multiple_of(2) { "nvd" } else { "cve5" }.into(),
            id: format!("CVE-2020-{n:04}"),
            cves: vec![format!("CVE-2020-{n:04}")],
            modified: Some(18_000),
            links: (0..200).map(|i| format!("https://e.example/{n}/{i}")).collect(),
            ..Record::default()
        }
    }

    #[test]
    fn what_was_written_is_found() {
        let all: Vec<Record> = (0..300).map(record).collect();
        let kev = BTreeMap::from([(20_200_000_000_007, None)]);
        let epss = BTreeMap::from([
            (20_200_000_000_007, 5),
            (20_200_000_000_008, 0),
            (20_210_000_000_001, 9),
        ]);
        let bytes = write(all.clone(), &kev, &epss, [Some(19_000), Some(19_001)]).unwrap();
        let mut turned = all.clone();
        turned.reverse();
        assert_eq!(
            bytes,
            write(turned, &kev, &epss, [Some(19_000), Some(19_001)]).unwrap(),
            "whatever the order"
        );
        let starter = Starter::read(bytes.leak()).unwrap();
        assert!(
            starter.blocks.len() > 5 && starter.blocks.iter().all(|b| b.2.get().is_none()),
            "nothing is inflated yet"
        );
        for r in &all {
            let found = starter.about(&Key::id(&r.id)).unwrap();
            assert_eq!(found.iter().map(|f| &**f).collect::<Vec<_>>(), [r]);
        }
        assert!(starter.about(&Key::id("CVE-2021-0001")).unwrap().is_empty());
        let threat = |cve: &str| starter.threat(cve).unwrap();
        assert_eq!(threat("CVE-2020-0007"), Threat { known_exploited: true, epss_ppm: Some(5) });
        assert_eq!(threat("CVE-2020-0008"), Threat { known_exploited: false, epss_ppm: Some(0) });
        assert_eq!(threat("CVE-2021-0001"), Threat::default(), "only what the records speak of");
        assert_eq!(starter.date(), date::text(19_001));
    }

    #[test]
    fn damage_is_an_error_or_an_empty_answer() {
        let bytes =
            write((0..60).map(record).collect(), &BTreeMap::new(), &BTreeMap::new(), [None, None])
                .unwrap();
        for i in (0..bytes.len()).step_by(7) {
            let mut bad = bytes.clone();
            bad[i] ^= 0x55;
            if let Ok(starter) = Starter::read(bad.leak()) {
                let _ = starter.about(&Key::id("CVE-2020-0007"));
                let _ = starter.threat("CVE-2020-0007");
            }
            assert!(Starter::read(bytes[..i].to_vec().leak()).is_err() || i >= bytes.len());
        }
    }
}
