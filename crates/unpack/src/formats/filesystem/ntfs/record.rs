//! Boot sector, records of the master file table, attributes, runs, and LZNT1.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, ProblemKind, locator::escape};

use super::common::{self, Run, push_run};
use crate::{
    budget::Budget,
    format::{Blob, Load, Loaded},
    read,
};

/// What the boot sector says.
pub(super) struct Volume {
    pub cluster: u64,
    pub size: u64,
    pub record: usize,
    pub serial: u64,
    sector: usize,
    table: u64,
}

impl Volume {
    pub fn read(boot: &[u8]) -> Option<Self> {
        let sector = read::le16(boot, 11)?;
        let per_cluster = match read::u8(boot, 13)? {
            n @ 1..=128 if n.is_power_of_two() => u64::from(n),
            // From 0x80 on a negative power of two.
            n @ 0xF4..=0xFF => 1 << 0_u8.wrapping_sub(n),
            _ => return None,
        };
        // No reserved sectors, no FAT, no root entries, no 16-bit sector count.
        let none = [14, 16, 17, 18, 19, 20, 22, 23].iter().all(|at| boot.get(*at) == Some(&0));
        let sectors = read::le64(boot, 40)?;
        if !boot.get(3..11)?.eq(b"NTFS    ")
            || !matches!(sector, 512 | 1024 | 2048 | 4096)
            || !none
            || sectors == 0
            || read::slice(boot, 510, 2)? != b"\x55\xAA"
        {
            return None;
        }
        let cluster = per_cluster.checked_mul(sector.into())?;
        let record = match read::u8(boot, 64)? {
            n @ 1..=16 => cluster.checked_mul(n.into())?,
            n @ 0xF0..=0xFF => 1 << 0_u8.wrapping_sub(n),
            _ => return None,
        };
        // A copy of the boot sector stands behind the last counted sector.
        let size = sectors.checked_add(1)?.checked_mul(sector.into())?;
        (256..=65536).contains(&record).then_some(Self {
            cluster,
            size,
            record: read::index(record)?,
            serial: read::le64(boot, 72)?,
            sector: sector.into(),
            table: read::le64(boot, 48)?.checked_mul(cluster)?,
        })
    }

    /// The data of the first record, which is the table of records.
    pub fn table(&self, image: &Bytes, budget: &Budget) -> Option<Data> {
        budget.work(self.record as u64).ok()?;
        let raw = read::slice(image, read::index(self.table)?, self.record)?;
        let first = Record::read(raw, self).ok()??;
        first.stream("").filter(|d| d.size >= self.record as u64)
    }
}

/// An attribute that is used.
pub(super) enum Attribute {
    Times { modified: u64, flags: u32 },
    Name { parent: u64, kind: u8, name: String },
    Label(String),
    Data(String, Piece),
    Reparse(Vec<u8>),
}

/// What one data attribute has of a stream; a stream may be spread over several records.
#[derive(Clone)]
pub(super) enum Piece {
    Resident(Vec<u8>),
    Runs { first: u64, runs: Vec<(u64, Option<u64>)>, size: u64, valid: u64, unit: u32, flags: u16 },
}

/// A record of the master file table in use.
pub(super) struct Record {
    pub base: u64,
    flags: u16,
    pub attributes: Vec<Attribute>,
}

impl Record {
    /// Nothing if the record is not in use, an error if it is damaged.
    pub fn read(raw: &[u8], volume: &Volume) -> Result<Option<Self>, ()> {
        if raw.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        if !raw.starts_with(b"FILE") {
            return Err(());
        }
        let flags = read::le16(raw, 22).ok_or(())?;
        if flags & 1 == 0 {
            return Ok(None);
        }
        let fixed = fix_up(raw, volume.sector).ok_or(())?;
        let base = read::le64(&fixed, 32).ok_or(())? & 0xFFFF_FFFF_FFFF;
        let attributes = attributes(&fixed).ok_or(())?;
        Ok(Some(Self { base, flags, attributes }))
    }

    pub fn is_folder(&self) -> bool {
        self.flags & 2 != 0
    }

    pub fn label(&self) -> Option<String> {
        self.attributes.iter().find_map(|a| match a {
            Attribute::Label(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        })
    }

    /// Seconds since 1970.
    pub fn modified(&self) -> Option<i64> {
        self.attributes.iter().find_map(|a| match a {
            Attribute::Times { modified, .. } => {
                let seconds = i64::try_from(modified / 10_000_000).ok()?;
                seconds.checked_sub(11_644_473_600)
            }
            _ => None,
        })
    }

    /// Target of a symbolic link or junction, with `/` between its parts; of WSL as stored.
    pub fn link(&self) -> Option<String> {
        let data = self.attributes.iter().find_map(|a| match a {
            Attribute::Reparse(data) => Some(data),
            _ => None,
        })?;
        let path_at = match read::le32(data, 0)? {
            0xA000_000C => 20,
            0xA000_0003 => 16,
            0xA000_001D => {
                let text = data.get(12..8_usize.checked_add(read::le16(data, 4)?.into())?)?;
                return Some(String::from_utf8_lossy(text).into_owned());
            }
            _ => return None,
        };
        // The printed name, or the one that is substituted.
        let text = |at: usize| {
            let (from, len) = (
                usize::from(read::le16(data, at)?),
                usize::from(read::le16(data, at.checked_add(2)?)?),
            );
            Some(utf16(read::slice(data, from.checked_add(path_at)?, len)?))
                .filter(|t| !t.is_empty())
        };
        let target = text(12).or_else(|| text(8))?;
        Some(target.replace('\\', "/"))
    }

    /// Whether the file has the attribute "system".
    pub fn is_system(&self) -> bool {
        self.attributes
            .iter()
            .any(|a| matches!(a, Attribute::Times { flags, .. } if flags & 4 != 0))
    }

    /// The stream of that name, from all its pieces.
    pub fn stream(&self, name: &str) -> Option<Data> {
        let pieces = self.attributes.iter().filter_map(|a| match a {
            Attribute::Data(own, piece) if own == name => Some(piece),
            _ => None,
        });
        Data::of(pieces)
    }

    pub fn other_streams(&self) -> Vec<(String, Data)> {
        let names: BTreeMap<&String, ()> = self
            .attributes
            .iter()
            .filter_map(|a| match a {
                Attribute::Data(name, _) if !name.is_empty() => Some((name, ())),
                _ => None,
            })
            .collect();
        names.into_keys().filter_map(|name| Some((name.clone(), self.stream(name)?))).collect()
    }
}

/// A link or device in the form of Interix, which ntfs-3g writes: a system file with a mark of its own.
pub(super) fn interix(content: &[u8]) -> Option<EntryKind> {
    let number = |at| u32::try_from(read::le64(content, at)?).ok();
    Some(match content.get(..8)? {
        b"IntxLNK\x01" => {
            EntryKind::Symlink { target: escape(utf16(content.get(8..)?).as_bytes()) }
        }
        b"IntxCHR\0" => EntryKind::CharDevice { major: number(8)?, minor: number(16)? },
        b"IntxBLK\0" => EntryKind::BlockDevice { major: number(8)?, minor: number(16)? },
        _ => return None,
    })
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).filter_map(|c| read::le16(c, 0)).collect();
    String::from_utf16_lossy(&units)
}

/// The record with the last two bytes of each sector put back; nothing if one of them is not the expected mark.
fn fix_up(raw: &[u8], sector: usize) -> Option<Vec<u8>> {
    let (at, count) = (usize::from(read::le16(raw, 4)?), usize::from(read::le16(raw, 6)?));
    // NTFS protects strides of 512 bytes whatever the sector size.
    let stride = sector.min(512);
    let mark = read::slice(raw, at, 2)?;
    let mut fixed = raw.to_vec();
    for n in 1..count {
        let saved = read::slice(raw, at.checked_add(n.checked_mul(2)?)?, 2)?;
        let place = n.checked_mul(stride)?.checked_sub(2)?;
        let target = fixed.get_mut(place..place.checked_add(2)?)?;
        if target != mark {
            return None;
        }
        target.copy_from_slice(saved);
    }
    Some(fixed)
}

fn attributes(record: &[u8]) -> Option<Vec<Attribute>> {
    let mut found = Vec::new();
    let mut at = usize::from(read::le16(record, 20)?);
    while let Some(kind) = read::le32(record, at).filter(|k| *k != u32::MAX) {
        let len =
            read::index(read::le32(record, at.checked_add(4)?)?.into()).filter(|n| *n >= 24)?;
        let body = read::slice(record, at, len)?;
        found.extend(attribute(kind, body));
        at = at.checked_add(len)?;
    }
    Some(found)
}

fn attribute(kind: u32, body: &[u8]) -> Option<Attribute> {
    let resident = read::u8(body, 8)? == 0;
    let name_len = usize::from(read::u8(body, 9)?).checked_mul(2)?;
    let name = utf16(read::slice(body, read::le16(body, 10)?.into(), name_len)?);
    let value = || {
        let (len, at) =
            (read::index(read::le32(body, 16)?.into())?, usize::from(read::le16(body, 20)?));
        read::slice(body, at, len)
    };
    Some(match kind {
        0x10 if resident => {
            let value = value()?;
            Attribute::Times { modified: read::le64(value, 8)?, flags: read::le32(value, 32)? }
        }
        0x30 if resident => {
            let value = value()?;
            let len = usize::from(read::u8(value, 64)?).checked_mul(2)?;
            Attribute::Name {
                parent: read::le64(value, 0)? & 0xFFFF_FFFF_FFFF,
                kind: read::u8(value, 65)?,
                name: utf16(read::slice(value, 66, len)?),
            }
        }
        0x60 if resident => Attribute::Label(utf16(value()?)),
        0x80 if resident => Attribute::Data(name, Piece::Resident(value()?.to_vec())),
        0x80 => Attribute::Data(name, runs(body)?),
        0xC0 if resident => Attribute::Reparse(value()?.to_vec()),
        _ => return None,
    })
}

/// Lengths and places in clusters; a hole has no place.
fn runs(body: &[u8]) -> Option<Piece> {
    let mut at = usize::from(read::le16(body, 32)?);
    let mut place = 0_i64;
    let mut runs = Vec::new();
    while let Some(head) = read::u8(body, at).filter(|h| *h != 0) {
        let (len, offset) = (usize::from(head & 15), usize::from(head >> 4));
        let from = at.checked_add(1)?;
        let middle = from.checked_add(len)?;
        let count = signed(read::slice(body, from, len)?);
        let clusters = u64::try_from(count).ok()?;
        let target = if offset == 0 {
            None
        } else {
            place = place.checked_add(signed(read::slice(body, middle, offset)?))?;
            Some(u64::try_from(place).ok()?)
        };
        runs.push((clusters, target));
        at = middle.checked_add(offset)?;
    }
    Some(Piece::Runs {
        first: read::le64(body, 16)?,
        runs,
        size: read::le64(body, 48)?,
        valid: read::le64(body, 56)?,
        unit: read::le16(body, 34)?.into(),
        flags: read::le16(body, 12)?,
    })
}

/// A little-endian number of up to eight bytes with sign.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut all = [if negative { 0xFF } else { 0 }; 8];
    let n = bytes.len().min(8);
    if let (Some(to), Some(from)) = (all.get_mut(..n), bytes.get(..n)) {
        to.copy_from_slice(from);
    }
    i64::from_le_bytes(all)
}

/// A stream as it is stored.
pub(super) struct Data {
    pub size: u64,
    pub encrypted: bool,
    valid: u64,
    resident: Option<Bytes>,
    runs: Vec<(u64, Option<u64>)>,
    /// Clusters that are compressed together, as a power of two; 0 if they are not.
    unit: u32,
}

impl Data {
    fn of<'p>(pieces: impl Iterator<Item = &'p Piece>) -> Option<Self> {
        let mut rows: Vec<_> = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Resident(bytes) => {
                    let size = bytes.len() as u64;
                    let resident = Some(Bytes::copy_from_slice(bytes));
                    return Some(Self {
                        size,
                        encrypted: false,
                        valid: size,
                        resident,
                        runs: Vec::new(),
                        unit: 0,
                    });
                }
                Piece::Runs { first, runs, size, valid, unit, flags } => {
                    rows.push((*first, runs, *size, *valid, *unit, *flags));
                }
            }
        }
        rows.sort_by_key(|row| row.0);
        let (_, _, size, valid, unit, flags) = *rows.first()?;
        let runs = rows.iter().flat_map(|row| row.1.iter().copied()).collect();
        Some(Self {
            size,
            encrypted: flags & 0x4000 != 0,
            valid,
            resident: None,
            runs,
            unit: if flags & 0x00FF != 0 { unit } else { 0 },
        })
    }

    /// Runs in bytes; a hole and what no run covers is zeros.
    fn pieces(&self, cluster: u64) -> Vec<Run> {
        let (mut file, mut pieces) = (0_u64, Vec::new());
        for (count, place) in &self.runs {
            let len = count.saturating_mul(cluster);
            if let Some(place) = place {
                push_run(&mut pieces, Run { file, image: place.saturating_mul(cluster), len });
            }
            file = file.saturating_add(len);
        }
        pieces
    }

    /// All bytes at once, for the table of records; no more than the image has.
    pub fn bytes(&self, image: &Bytes, volume: &Volume) -> Bytes {
        let room = self.size.min(image.len() as u64);
        let own = Budget::new(room, 0, u64::MAX, None);
        common::content(image, room, self.pieces(volume.cluster)).load(&own).bytes
    }

    /// The content; encrypted bytes as they are.
    pub fn blob(self, image: &Bytes, volume: &Volume) -> Blob {
        if let Some(bytes) = self.resident {
            return Blob::Bytes(bytes);
        }
        if self.unit > 0 && self.unit <= 8 {
            let unit = 1 << self.unit;
            let Self { size, runs, .. } = self;
            return Blob::Lazy(Arc::new(Compressed {
                image: image.clone(),
                cluster: volume.cluster,
                unit,
                runs,
                size,
            }));
        }
        let mut pieces = self.pieces(volume.cluster);
        if self.valid < self.size && !self.encrypted {
            // What was allocated and never written reads as zeros.
            for piece in &mut pieces {
                piece.len = piece.len.min(self.valid.saturating_sub(piece.file));
            }
            pieces.retain(|piece| piece.len > 0);
        }
        common::content(image, self.size, pieces)
    }
}

/// A stream that LZNT1 compresses unit by unit.
struct Compressed {
    image: Bytes,
    cluster: u64,
    /// Clusters of a unit.
    unit: u64,
    runs: Vec<(u64, Option<u64>)>,
    size: u64,
}

impl Load for Compressed {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut loaded = Loaded::default();
        let Some(mut out) = common::zeros(self.size, budget, &mut loaded.problems) else {
            return loaded;
        };
        let bytes = read::index(self.unit.saturating_mul(self.cluster)).unwrap_or(1).max(1);
        let mut clusters = self.clusters();
        for (n, target) in (0_u64..).zip(out.chunks_mut(bytes)) {
            let own: Vec<_> = clusters.by_ref().take(read::index(self.unit).unwrap_or(0)).collect();
            let stored: Vec<u8> =
                own.iter().flatten().flat_map(|c| self.at(*c).iter().copied()).collect();
            // Without a hole in it the unit is stored as it is.
            let full = own.iter().all(Option::is_some) && own.len() as u64 == self.unit;
            let plain = if full { stored } else { lznt1(&stored, bytes) };
            let have = plain.len().min(target.len());
            if have < target.len() && own.iter().any(Option::is_some) {
                let text = "a compressed unit does not decode to its size; the rest of it is zeros";
                let problem = Problem::new(ProblemKind::Malformed, text);
                loaded.problems.push(problem.at(n.saturating_mul(bytes as u64)));
            }
            if let (Some(to), Some(from)) = (target.get_mut(..have), plain.get(..have)) {
                to.copy_from_slice(from);
            }
        }
        loaded.problems.truncate(16);
        loaded.bytes = out.into();
        loaded
    }
}

impl Compressed {
    fn clusters(&self) -> impl Iterator<Item = Option<u64>> {
        self.runs.iter().flat_map(|(count, place)| {
            (0..*count).map(move |n| place.and_then(|p| p.checked_add(n)))
        })
    }

    fn at(&self, cluster: u64) -> &[u8] {
        let at = read::index(cluster.saturating_mul(self.cluster)).unwrap_or(usize::MAX);
        let end = at.saturating_add(read::index(self.cluster).unwrap_or(0)).min(self.image.len());
        self.image.get(at..end).unwrap_or_default()
    }
}

/// Decodes LZNT1 as far as it goes, at most `max` bytes.
fn lznt1(input: &[u8], max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0_usize;
    while let Some(head) = read::le16(input, at).filter(|h| *h != 0 && out.len() < max) {
        let len = usize::from(head & 0xFFF).saturating_add(1);
        at = at.saturating_add(2);
        let Some(chunk) = read::slice(input, at, len) else { break };
        at = at.saturating_add(len);
        if head & 0x8000 == 0 {
            out.extend_from_slice(chunk);
        } else if lznt1_chunk(chunk, &mut out).is_none() {
            break;
        }
        // All chunks but the last are full.
        if out.len() % 4096 != 0 {
            break;
        }
    }
    out.truncate(max);
    // A unit whose chunks end early goes on with zeros.
    if !out.is_empty() {
        out.resize(max, 0);
    }
    out
}

fn lznt1_chunk(chunk: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let mut at = 0_usize;
    while at < chunk.len() {
        let flags = read::u8(chunk, at)?;
        at = at.checked_add(1)?;
        for bit in 0..8 {
            if at >= chunk.len() {
                return Some(());
            }
            if flags >> bit & 1 == 0 {
                out.push(read::u8(chunk, at)?);
                at = at.checked_add(1)?;
                continue;
            }
            let token = read::le16(chunk, at)?;
            at = at.checked_add(2)?;
            // The further into the chunk, the more bits of the token are distance.
            let done = out.len().checked_sub(start)?;
            let bits =
                done.saturating_sub(1).checked_ilog2().map_or(4, |n| n.saturating_add(1).max(4));
            let shift = 16_u32.checked_sub(bits)?;
            let distance = usize::from(token.checked_shr(shift)?).checked_add(1)?;
            let len =
                usize::from(token & (1_u16.checked_shl(shift)?.wrapping_sub(1))).checked_add(3)?;
            if distance > done || done.checked_add(len)? > 4096 {
                return None;
            }
            for _ in 0..len {
                out.push(*out.get(out.len().checked_sub(distance)?)?);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_with_and_without_compression() {
        let literal = b"\x02\x30abc";
        assert_eq!(lznt1_head(literal), b"abc");
        // Three literals, then two of them again eleven times.
        assert_eq!(lznt1_head(b"\x05\xb0\x08abc\x08\x10"), b"abcbcbcbcbcbcbc"[..14].to_vec());
    }

    fn lznt1_head(input: &[u8]) -> Vec<u8> {
        let mut out = lznt1(input, 64);
        while out.last() == Some(&0) {
            out.pop();
        }
        out
    }

    #[test]
    fn numbers_of_runs_have_a_sign() {
        assert_eq!(signed(&[0xFF]), -1);
        assert_eq!(signed(&[0x80, 0x00]), 128);
        assert_eq!(signed(&[]), 0);
    }
}
