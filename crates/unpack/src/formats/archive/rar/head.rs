//! Headers of RAR 4 and 5, one after the other, also through the volumes of an archive that stand one behind the
//! other.

use proofmark_model::{EntryKind, locator::escape};

use super::{
    super::{dos_seconds, kind_of_mode},
    crypt::{Ring, Seal},
};
use crate::{
    budget::Budget,
    codec::{check, rar::Generation},
    read,
};

pub const V4: &[u8] = b"Rar!\x1a\x07\x00";
pub const V5: &[u8] = b"Rar!\x1a\x07\x01\x00";

/// One header of either version.
#[derive(Default)]
pub struct Head {
    pub end_of_archive: bool,
    /// Of an end: the archive goes on in another volume.
    pub more: bool,
    /// Of the archive's own: all contents go on with each other's window. RAR 1.5 says it here only.
    pub solid: bool,
    /// Of the header behind which all others are encrypted: how; of RAR 3 without the salt.
    pub seals: Option<Seal>,
    pub file: Option<File>,
    pub data: usize,
    pub next: usize,
}

/// How a content is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Stored,
    Packed(Generation),
    /// Encrypted in a way that is not read, by name.
    Sealed(&'static str),
    /// A method that is not read, by name.
    Other(&'static str),
}

/// What a content must be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sums {
    pub crc32: Option<u32>,
    pub blake2: Option<[u8; 32]>,
}

/// A link or copy of RAR 5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    Symlink(Vec<u8>),
    Hardlink(Vec<u8>),
    Copy(Vec<u8>),
}

#[derive(Debug, Clone)]
pub struct File {
    pub name: Vec<u8>,
    /// None where the archiver did not know it.
    pub size: Option<u64>,
    pub method: Method,
    /// Whether it goes on with the window of the contents before.
    pub solid: bool,
    pub sums: Sums,
    pub mtime: Option<i64>,
    pub unix_mode: Option<u32>,
    pub owner: (Option<u32>, Option<u32>),
    pub directory: bool,
    pub seal: Option<Seal>,
    pub redirect: Option<Redirect>,
    /// Whether the content began in the volume before, and whether it goes on in the next.
    pub split: (bool, bool),
}

impl File {
    pub fn kind(&self) -> EntryKind {
        match (&self.redirect, self.unix_mode) {
            _ if self.directory => EntryKind::Directory,
            (Some(Redirect::Symlink(target)), _) => EntryKind::Symlink { target: escape(target) },
            (Some(Redirect::Hardlink(target)), _) => EntryKind::Hardlink { target: escape(target) },
            (_, Some(mode)) => kind_of_mode(mode, (0, 0)).unwrap_or(EntryKind::File),
            _ => EntryKind::File,
        }
    }

    /// Whether the content is the target of a link.
    pub fn is_link(&self) -> bool {
        self.redirect.is_none() && self.unix_mode.is_some_and(|m| m & 0o170_000 == 0o120_000)
    }
}

/// A number of seven bits per byte, and where it ends.
fn vint(data: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for n in 0..10u32 {
        let place = at.checked_add(n as usize)?;
        let byte = read::u8(data, place)?;
        value |= u64::from(byte & 0x7f).checked_shl(n.checked_mul(7)?).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some((value, place.checked_add(1)?));
        }
    }
    None
}

fn version4(data: &[u8], at: usize) -> Option<Head> {
    let crc = read::le16(data, at)?;
    let kind = read::u8(data, at.checked_add(2)?)?;
    let flags = read::le16(data, at.checked_add(3)?)?;
    let size = usize::from(read::le16(data, at.checked_add(5)?)?);
    let raw = read::slice(data, at, size).filter(|r| r.len() >= 7)?;
    // A comment in the header of the archive or a file is not part of the sum.
    let own = match (kind, flags) {
        (0x73, _) if flags & 2 != 0 => 13,
        (0x74, _) if flags & 8 != 0 => usize::from(read::le16(raw, 26)?).checked_add(32)?,
        _ => size,
    };
    let right = |end: usize| {
        raw.get(2..end).is_some_and(|part| check::crc32(part) & 0xffff == u32::from(crc))
    };
    if !(0x72..=0x7b).contains(&kind) || !(right(size) || right(own)) {
        return None;
    }
    let mut added = 0u64;
    if flags & 0x8000 != 0 || matches!(kind, 0x74 | 0x7a) {
        added = read::le32(raw, 7)?.into();
    }
    let mut head = Head {
        end_of_archive: kind == 0x7b,
        more: flags & 1 != 0,
        solid: kind == 0x73 && flags & 8 != 0,
        seals: (kind == 0x73 && flags & 0x80 != 0).then(|| Seal::Three(Vec::new())),
        data: at.checked_add(size)?,
        ..Head::default()
    };
    if kind == 0x74 {
        let mut unpacked = u64::from(read::le32(raw, 11)?);
        let mut name_at = 32;
        if flags & 0x100 != 0 {
            added |= u64::from(read::le32(raw, 32)?) << 32;
            unpacked |= u64::from(read::le32(raw, 36)?) << 32;
            name_at = 40;
        }
        let name_len = usize::from(read::le16(raw, 26)?);
        let stored = read::slice(raw, name_at, name_len)?;
        let salt = (flags & 0x400 != 0)
            .then(|| read::slice(raw, name_at.checked_add(name_len)?, 8))
            .flatten();
        let name = if flags & 0x200 != 0 { unicode(stored) } else { None };
        let name = name.unwrap_or_else(|| read::until_nul(stored).to_vec());
        let attributes = read::le32(raw, 28)?;
        let version = read::u8(raw, 24)?;
        let dos_directory = version < 20 && read::u8(raw, 15)? == 0 && attributes & 0x10 != 0;
        let directory = flags & 0xe0 == 0xe0 || dos_directory;
        let sealed = flags & 4 != 0;
        head.file = Some(File {
            name: name.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect(),
            size: (unpacked != u64::MAX && unpacked != u64::from(u32::MAX)).then_some(unpacked),
            method: match (read::u8(raw, 25)?, version) {
                (_, 0..=15) if sealed => Method::Sealed("as RAR 1.5 does it"),
                (_, 16..=28) if sealed => Method::Sealed("as RAR 2 does it"),
                (0x30, _) => Method::Stored,
                (_, 29..=36) => Method::Packed(Generation::Three),
                (_, 15) => Method::Packed(Generation::One),
                (_, 20 | 26) => Method::Packed(Generation::Two),
                _ => Method::Other("this compression of RAR"),
            },
            solid: flags & 0x10 != 0,
            sums: Sums { crc32: read::le32(raw, 16).filter(|_| !directory), blake2: None },
            mtime: dos_seconds(read::le32(raw, 20)?),
            unix_mode: (read::u8(raw, 15)? == 3).then_some(attributes),
            owner: (None, None),
            directory,
            seal: (sealed && version > 28).then(|| Seal::Three(salt.unwrap_or_default().to_vec())),
            redirect: None,
            split: (flags & 1 != 0, flags & 2 != 0),
        });
    }
    head.next = head.data.checked_add(read::index(added)?)?;
    Some(head)
}

/// The Unicode name behind a name in the archiver's own encoding, told by its differences to that; or the one name,
/// in UTF-8.
fn unicode(stored: &[u8]) -> Option<Vec<u8>> {
    let Some(nul) = memchr::memchr(0, stored) else { return Some(stored.to_vec()) };
    let (plain, rest) = (stored.get(..nul)?, stored.get(nul.checked_add(1)?..)?);
    let mut rest = rest.iter().map(|b| u16::from(*b));
    let high = rest.next()? << 8;
    let mut units: Vec<u16> = Vec::new();
    let own = |at: usize| plain.get(at).map_or(0, |b| u16::from(*b));
    while let Some(flags) = rest.next() {
        for shift in [6, 4, 2, 0] {
            let Some(next) = rest.next() else { break };
            match flags >> shift & 3 {
                0 => units.push(next),
                1 => units.push(next | high),
                2 => units.push(next | rest.next()? << 8),
                _ => {
                    let add = if next & 0x80 != 0 { Some(rest.next()?) } else { None };
                    for _ in 0..(next & 0x7f).saturating_add(2) {
                        let byte = own(units.len());
                        units.push(match add {
                            Some(add) => byte.wrapping_add(add) & 0xff | high,
                            None => byte,
                        });
                    }
                }
            }
        }
    }
    Some(String::from_utf16_lossy(&units).into_bytes())
}

fn version5(data: &[u8], at: usize) -> Option<Head> {
    let crc = read::le32(data, at)?;
    let size_at = at.checked_add(4)?;
    let (size, body) = vint(data, size_at)?;
    let size = read::index(size).filter(|n| *n <= 2 << 20)?;
    let end = body.checked_add(size)?;
    if check::crc32(data.get(size_at..end)?) != crc {
        return None;
    }
    let raw = data.get(..end)?;
    let (kind, at) = vint(raw, body)?;
    let (flags, mut at) = vint(raw, at)?;
    let (mut extra, mut added) = (0, 0);
    if flags & 1 != 0 {
        (extra, at) = vint(raw, at)?;
    }
    if flags & 2 != 0 {
        (added, at) = vint(raw, at)?;
    }
    let mut head = Head {
        end_of_archive: kind == 5,
        more: kind == 5 && vint(raw, at)?.0 & 1 != 0,
        solid: false,
        seals: if kind == 4 { Some(Seal::five(raw.get(at..)?, false, vint)?) } else { None },
        data: end,
        next: end.checked_add(read::index(added)?)?,
        file: None,
    };
    if kind == 2 {
        let (bits, at) = vint(raw, at)?;
        let (size, at) = vint(raw, at)?;
        let (attributes, mut at) = vint(raw, at)?;
        let mut word = |wanted: bool| {
            if !wanted {
                return Some(None);
            }
            let value = read::le32(raw, at)?;
            at = at.checked_add(4)?;
            Some(Some(value))
        };
        let mtime = word(bits & 2 != 0)?;
        let crc32 = word(bits & 4 != 0)?;
        let (compression, at) = vint(raw, at)?;
        let (system, at) = vint(raw, at)?;
        let (len, at) = vint(raw, at)?;
        let mut file = File {
            name: read::slice(raw, at, read::index(len)?)?.to_vec(),
            size: (bits & 8 == 0).then_some(size),
            method: match (compression >> 7 & 7, compression & 0x3f) {
                (0, _) => Method::Stored,
                (1..=5, 0) => Method::Packed(Generation::Five),
                (1..=5, 1) => Method::Other("compression of RAR 7 with a dictionary above 4 GiB"),
                _ => Method::Other("this compression of RAR"),
            },
            solid: compression & 0x40 != 0,
            sums: Sums { crc32, blake2: None },
            mtime: mtime.map(i64::from),
            unix_mode: (system == 1).then_some(attributes as u32),
            owner: (None, None),
            directory: bits & 1 != 0,
            seal: None,
            redirect: None,
            split: (flags & 8 != 0, flags & 16 != 0),
        };
        let mut record = end.checked_sub(read::index(extra)?)?;
        while record < end {
            let (size, from) = vint(raw, record)?;
            record = from.checked_add(read::index(size)?)?;
            let (kind, at) = vint(raw, from)?;
            file.record(kind, raw.get(at..record)?);
        }
        head.file = Some(file);
    }
    Some(head)
}

impl File {
    /// Takes over a record of the extra area. One that makes no sense says nothing.
    fn record(&mut self, kind: u64, record: &[u8]) -> Option<()> {
        let (flags, at) = vint(record, 0)?;
        match kind {
            1 => self.seal = Some(Seal::five(record, true, vint)?),
            2 if flags == 0 => self.sums.blake2 = read::array(record, at),
            // Times: the first one that is there is that of modification.
            3 if flags & 3 == 3 => self.mtime = read::le32(record, at).map(i64::from),
            3 if flags & 3 == 2 => {
                // 100 ns since 1601.
                let seconds = i64::try_from(read::le64(record, at)? / 10_000_000).ok()?;
                self.mtime = seconds.checked_sub(11_644_473_600);
            }
            5 => {
                let (_, at) = vint(record, at)?;
                let (len, at) = vint(record, at)?;
                let target = read::slice(record, at, read::index(len)?)?.to_vec();
                self.redirect = match flags {
                    1..=3 => Some(Redirect::Symlink(target)),
                    4 => Some(Redirect::Hardlink(target)),
                    5 => Some(Redirect::Copy(target)),
                    _ => None,
                };
            }
            6 => {
                let mut at = at;
                for _ in 0..(flags & 3).count_ones() {
                    let (len, name) = vint(record, at)?;
                    at = name.checked_add(read::index(len)?)?;
                }
                let mut number = |wanted: bool| {
                    let (value, next) = if wanted { vint(record, at)? } else { return None };
                    at = next;
                    u32::try_from(value).ok()
                };
                self.owner = (number(flags & 4 != 0), number(flags & 8 != 0));
            }
            _ => {}
        }
        Some(())
    }
}

/// How far headers could be followed.
#[derive(Default)]
pub struct Walked {
    pub end: usize,
    /// Whether the header of the end was there.
    pub ended: bool,
    /// Whether nothing says that something is missing.
    pub complete: bool,
    pub count: u64,
    /// Whether the archive goes on in a volume that does not follow.
    pub more: bool,
    /// Why encrypted headers stayed closed.
    pub closed: Option<&'static str>,
}

/// An encrypted header: an initialisation vector (RAR 5) or a salt (RAR 3), then whole blocks.
fn sealed(data: &[u8], at: usize, seals: &Seal, ring: &mut Ring<'_>) -> Option<Head> {
    let (prefix, iv, seal) = match seals {
        Seal::Three(_) => (8, None, Seal::Three(read::slice(data, at, 8)?.to_vec())),
        Seal::Five { .. } => (16, Some(read::array(data, at)?), seals.clone()),
    };
    let body = at.checked_add(prefix)?;
    let open = |keys: &super::crypt::Keys| {
        let first = keys.decrypt(iv, read::slice(data, body, 16)?)?;
        let size = match seal {
            Seal::Three(_) => usize::from(read::le16(&first, 5)?),
            Seal::Five { .. } => {
                let (size, from) = vint(&first, 4)?;
                read::index(size).filter(|n| *n <= 2 << 20)?.checked_add(from)?
            }
        };
        let len = size.checked_next_multiple_of(16)?;
        let plain = keys.decrypt(iv, read::slice(data, body, len)?)?;
        let head = match seal {
            Seal::Three(_) => version4(&plain, 0)?,
            Seal::Five { .. } => version5(&plain, 0)?,
        };
        Some((head, len))
    };
    let (_, keys) = ring.find(&seal, |keys| open(keys).is_some())?;
    let (mut head, len) = open(&keys)?;
    let added = head.next.checked_sub(head.data)?;
    head.data = body.checked_add(len)?;
    head.next = head.data.checked_add(added)?;
    Some(head)
}

/// Zeros that may stand between two volumes.
const PADDING: usize = 1 << 10;

/// Walks the headers behind the mark.
pub fn walk(
    data: &[u8],
    start: usize,
    budget: &Budget,
    mut visit: impl FnMut(&Head) -> bool,
) -> Walked {
    let mark = if data.get(start..).is_some_and(|d| d.starts_with(V5)) { V5 } else { V4 };
    let mut at = start.saturating_add(mark.len());
    let mut walked = Walked { end: at, ..Walked::default() };
    let mut ring = Ring::new(budget);
    let mut seals: Option<Seal> = None;
    let mut opened = false;
    while budget.work(64).is_ok() {
        let head = match &seals {
            Some(seals) => sealed(data, at, seals, &mut ring),
            None if mark == V5 => version5(data, at),
            None => version4(data, at),
        };
        let Some(head) = head else {
            // Behind encrypted headers that no key opens nothing can be followed.
            if seals.is_some() && !opened {
                walked.closed = Some(if ring.is_empty() {
                    "no key was given"
                } else {
                    "no key that was given fits"
                });
                at = data.len();
            }
            break;
        };
        walked.count = walked.count.saturating_add(1);
        opened |= seals.is_some();
        let go_on = visit(&head);
        at = head.next;
        if head.seals.is_some() {
            seals = head.seals;
        }
        if head.end_of_archive {
            // Another volume may follow, behind zeros that fill the one before.
            let padding = data.get(at..).and_then(|d| d.iter().take(PADDING).position(|b| *b != 0));
            let next = at.saturating_add(padding.unwrap_or(0));
            if head.more && data.get(next..).is_some_and(|d| d.starts_with(mark)) {
                at = next.saturating_add(mark.len());
                seals = None;
                continue;
            }
            walked.ended = true;
            walked.more = head.more;
            break;
        }
        // The end of RAR 4 may be without a header.
        if at == data.len() && mark == V4 {
            walked.complete = true;
        }
        if !go_on || at > data.len() {
            break;
        }
    }
    walked.complete |= walked.ended;
    walked.end = at.min(data.len());
    walked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_names_are_told_by_their_differences() {
        assert_eq!(unicode(b"plain.txt").unwrap(), b"plain.txt");
        // Units of low bytes; one with the common high byte and one with its own; a run of the plain name.
        assert_eq!(unicode(b"a?b\0\x00\x00a\xe9b").unwrap(), "a\u{e9}b".as_bytes());
        let mixed = unicode(b"???\0\x04\x60\x10\x11\x20\x30").unwrap();
        assert_eq!(mixed, "\u{410}\u{2011}0".as_bytes());
        assert_eq!(unicode(b"name.txt\0\x00\xc0\x06").unwrap(), b"name.txt");
    }
}
