//! zip, and what is a zip by another name: jar, apk of Android, docx, wheels.
//!
//! The end record is looked for forward from the first local header, and counts only if its
//! central directory leads back to exactly that header; so an archive stored inside
//! another one never ends it. Each entry's local header is compared with the central
//! directory; bytes before the directory that no entry explains are gaps. An archive whose
//! end is missing is read from its local headers.
//!
//! Limits: times without the Unix extra field are in an unknown zone and read as UTC.
//!
//! Sources: APPNOTE.TXT 6.3.10; Info-ZIP extra field list (`extrafld.txt`).

use bytes::Bytes;
use memchr::memmem;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{Cover, dos_seconds, entry, kind_of_mode, put, zip_crypt};
use crate::{
    budget::Budget,
    codec::{
        Decoded, Error, bzip2, deflate, lzma,
        packed::{self, Packed},
        pkzip, ppmd, xz, zstd,
    },
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    formats::layout,
    keys::Opened,
    read,
};

/// The format.
pub struct Zip;

static ABOUT: About = About {
    id: "zip",
    name: "zip",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, owner, mtime, symbolic links (Unix extra fields)",
    integrity: "central directory against local headers, CRC-32 of each content",
    limits: "encrypted entries need a password; strong encryption of PKWARE; the methods that PKWARE keeps to itself \
             (10, 18, 19) and those for media (94 to 97)",
    sources: &["PKWARE APPNOTE 6.3.10", "Info-ZIP extrafld.txt"],
};

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";

/// One entry as the central directory, or else its local header, has it.
#[derive(Debug, Clone, Default)]
struct Item {
    unix_mode: Option<u32>,
    flags: u16,
    method: u16,
    dos_time: u32,
    crc32: u32,
    packed: u64,
    size: u64,
    name: Vec<u8>,
    directory: bool,
    /// From the start of the piece of a split archive that it is in.
    local: u64,
    piece: u32,
    mtime: Option<i64>,
    owner: Option<(u32, u32)>,
    aes: Option<zip_crypt::Field>,
}

impl Item {
    /// Reads extra fields: sizes of zip64, Unix times and owners.
    fn extra(&mut self, mut data: &[u8], central: bool) {
        while let (Some(id), Some(len)) = (read::le16(data, 0), read::le16(data, 2)) {
            let Some(field) = read::slice(data, 4, usize::from(len)) else { return };
            match id {
                1 => {
                    let mut at = 0usize;
                    let mut wide = |value: &mut u64| {
                        if *value == u64::from(u32::MAX)
                            && let Some(n) = read::le64(field, at)
                        {
                            *value = n;
                            at = at.saturating_add(8);
                        }
                    };
                    wide(&mut self.size);
                    wide(&mut self.packed);
                    if central {
                        wide(&mut self.local);
                        if self.piece == u32::from(u16::MAX) {
                            self.piece = read::le32(field, at).unwrap_or(self.piece);
                        }
                    }
                }
                0x5455 if read::u8(field, 0).is_some_and(|f| f & 1 == 1) => {
                    self.mtime = read::le32(field, 1).map(|t| i64::from(t as i32));
                }
                0x5855 if field.len() >= 8 => {
                    self.mtime = read::le32(field, 4).map(|t| i64::from(t as i32));
                    if let (Some(uid), Some(gid)) = (read::le16(field, 8), read::le16(field, 10)) {
                        self.owner = Some((uid.into(), gid.into()));
                    }
                }
                0x7855 => {
                    if let (Some(uid), Some(gid)) = (read::le16(field, 0), read::le16(field, 2)) {
                        self.owner = Some((uid.into(), gid.into()));
                    }
                }
                zip_crypt::Field::ID => self.aes = zip_crypt::Field::read(field),
                0x7875 if read::u8(field, 0) == Some(1) => {
                    let id = |at: usize| {
                        let len = usize::from(read::u8(field, at)?);
                        let bytes = read::slice(field, at.checked_add(1)?, len.min(8))?;
                        let value = bytes.iter().rev().fold(0u64, |n, b| (n << 8) | u64::from(*b));
                        Some((u32::try_from(value).ok()?, at.checked_add(1)?.checked_add(len)?))
                    };
                    if let Some((uid, next)) = id(1)
                        && let Some((gid, _)) = id(next)
                    {
                        self.owner = Some((uid, gid));
                    }
                }
                _ => {}
            }
            data = data.get(usize::from(len).saturating_add(4)..).unwrap_or_default();
        }
    }

    /// The central header at `at`, and where the next one is.
    fn central(data: &[u8], at: usize) -> Option<(Self, usize)> {
        let head = read::slice(data, at, 46)?;
        if !head.starts_with(CENTRAL) {
            return None;
        }
        let len = |n| read::le16(head, n).map(usize::from);
        let name_at = at.checked_add(46)?;
        let extra_at = name_at.checked_add(len(28)?)?;
        let comment_at = extra_at.checked_add(len(30)?)?;
        let made_by = read::u8(head, 5)?;
        let attributes = read::le32(head, 38)?;
        let name = read::slice(data, name_at, len(28)?)?.to_vec();
        let mut item = Self {
            // Unix and Darwin put the mode in the upper half.
            unix_mode: (matches!(made_by, 3 | 19) && attributes >> 16 != 0)
                .then_some(attributes >> 16),
            flags: read::le16(head, 8)?,
            method: read::le16(head, 10)?,
            dos_time: read::le32(head, 12)?,
            crc32: read::le32(head, 16)?,
            packed: read::le32(head, 20)?.into(),
            size: read::le32(head, 24)?.into(),
            directory: attributes & 0x10 != 0 || name.ends_with(b"/"),
            name,
            local: read::le32(head, 42)?.into(),
            piece: read::le16(head, 34)?.into(),
            mtime: None,
            owner: None,
            aes: None,
        };
        item.extra(read::slice(data, extra_at, len(30)?)?, true);
        Some((item, comment_at.checked_add(len(32)?)?))
    }

    /// The local header at `at`, and where its data begins.
    fn local(data: &[u8], at: usize) -> Option<(Self, usize)> {
        let head = read::slice(data, at, 30)?;
        if !head.starts_with(LOCAL) {
            return None;
        }
        let len = |n| read::le16(head, n).map(usize::from);
        let name_at = at.checked_add(30)?;
        let extra_at = name_at.checked_add(len(26)?)?;
        let name = read::slice(data, name_at, len(26)?)?.to_vec();
        let mut item = Self {
            flags: read::le16(head, 6)?,
            method: read::le16(head, 8)?,
            dos_time: read::le32(head, 10)?,
            crc32: read::le32(head, 14)?,
            packed: read::le32(head, 18)?.into(),
            size: read::le32(head, 22)?.into(),
            directory: name.ends_with(b"/"),
            name,
            local: at as u64,
            ..Self::default()
        };
        item.extra(read::slice(data, extra_at, len(28)?)?, false);
        Some((item, extra_at.checked_add(len(28)?)?))
    }

    /// Sizes stand behind the data.
    fn described_later(&self) -> bool {
        self.flags & 8 != 0
    }
}

/// Bytes of each piece but the last, of an archive that was split and put together again. Places in it are counted from
/// the start of a piece; how long that is, the place of the directory tells, which is known.
#[derive(Clone, Copy)]
struct Pieces(u64);

impl Pieces {
    /// From the end record at `at`, the directory at `dir_at`, and the first local header at `first`.
    fn of(data: &[u8], at: usize, dir_at: usize, first: usize) -> Option<Self> {
        let piece = u64::from(read::le16(data, at.checked_add(6)?)?);
        if piece == 0 {
            return Some(Self(0));
        }
        // The first header stands behind a mark, so its own place says where the first piece begins.
        let (mut cursor, mut lowest) = (dir_at, u64::MAX);
        while let Some((item, next)) = Item::central(data, cursor).filter(|_| cursor < at) {
            if item.piece == 0 {
                lowest = lowest.min(item.local);
            }
            cursor = next;
        }
        let offset = u64::from(read::le32(data, at.checked_add(16)?)?);
        let distance = dir_at.checked_sub(first)? as u64;
        let before = distance.checked_add(lowest)?.checked_sub(offset)?;
        before.is_multiple_of(piece).then(|| Self(before.checked_div(piece).unwrap_or(0)))
    }

    /// Counts the place of an item from the start of the archive.
    fn resolve(self, item: &mut Item) -> Option<()> {
        item.local = u64::from(item.piece).checked_mul(self.0)?.checked_add(item.local)?;
        Some(())
    }
}

/// A directory: its entries, the lowest local offset, where it begins and where the archive ends.
struct Directory {
    items: Vec<Item>,
    base: u64,
    at: usize,
    end: usize,
    comment: Vec<u8>,
    pieces: Pieces,
}

/// The directory that belongs to the end record at `at`, if everything in it is consistent.
fn directory(
    data: &[u8],
    first: usize,
    at: usize,
    keep: bool,
    budget: &Budget,
) -> Option<Directory> {
    let record = read::slice(data, at, 22)?;
    let comment_len = usize::from(read::le16(record, 20)?);
    let end = at.checked_add(22)?.checked_add(comment_len)?;
    let comment = read::slice(data, at.checked_add(22)?, comment_len)?;
    let mut count = u64::from(read::le16(record, 10)?);
    let mut size = u64::from(read::le32(record, 12)?);
    let mut dir_end = at;
    if count == 0xffff || size == 0xffff_ffff || read::le32(record, 16)? == u32::MAX {
        // The wide record stands before its locator, which stands before the end record.
        let locator = at.checked_sub(20)?;
        if read::slice(data, locator, 4) == Some(b"PK\x06\x07") {
            let from = locator.saturating_sub(4096).max(first);
            dir_end = from.checked_add(memmem::rfind(data.get(from..locator)?, b"PK\x06\x06")?)?;
            count = read::le64(data, dir_end.checked_add(32)?)?;
            size = read::le64(data, dir_end.checked_add(40)?)?;
        }
    }
    let dir_at = dir_end.checked_sub(read::index(size)?).filter(|d| *d >= first)?;
    budget.work(size).ok()?;
    let pieces = Pieces::of(data, at, dir_at, first)?;
    let (mut items, mut cursor, mut seen, mut base) = (Vec::new(), dir_at, 0u64, u64::MAX);
    while cursor < dir_end {
        let (mut item, next) = Item::central(data, cursor).filter(|(_, n)| *n <= dir_end)?;
        pieces.resolve(&mut item)?;
        base = base.min(item.local);
        seen = seen.checked_add(1)?;
        cursor = next;
        if keep {
            items.push(item);
        }
    }
    // Some writers count modulo 65,536 instead of using the wide record.
    let counted = seen == count || (count < 0xffff && seen & 0xffff == count);
    // The lowest local header is the one at the start, or there is no entry at all.
    let leads_back = match seen {
        0 => at == first,
        _ => read::slice(data, first, 4) == Some(LOCAL) && base <= dir_at as u64,
    };
    (counted && leads_back).then(|| Directory {
        items,
        base,
        at: dir_at,
        end,
        comment: comment.to_vec(),
        pieces,
    })
}

/// The directory of the archive whose first local header is at `first`.
fn find(data: &[u8], first: usize, keep: bool, budget: &Budget) -> Option<Directory> {
    let mut from = first;
    loop {
        let at = budget.find(data, END, from).ok()??;
        from = at.checked_add(4)?;
        let Some(dir) = directory(data, first, at, false, budget) else { continue };
        // All entries lie between the start and the directory, and the first entry is at the start: the
        // distance from the lowest to the highest local header decides whose archive it is.
        if owns(data, first, &dir, budget) {
            return if keep { directory(data, first, at, true, budget) } else { Some(dir) };
        }
    }
}

/// Whether each local header of the directory stands where the start at `first` puts it.
fn owns(data: &[u8], first: usize, dir: &Directory, budget: &Budget) -> bool {
    let mut cursor = dir.at;
    while let Some((mut item, next)) = Item::central(data, cursor) {
        if budget.work(64).is_err() || dir.pieces.resolve(&mut item).is_none() {
            return false;
        }
        let place = item
            .local
            .checked_sub(dir.base)
            .and_then(read::index)
            .and_then(|n| n.checked_add(first))
            .filter(|p| *p < dir.at);
        let found = place.and_then(|p| Item::local(data, p));
        // One damaged local header in a long archive does not make it another's; the first must be right.
        if item.local == dir.base && found.is_none_or(|(l, _)| l.name != item.name) {
            return false;
        }
        if place.is_none() {
            return false;
        }
        cursor = next;
    }
    true
}

/// LZMA as zip has it: version, length of properties, properties, stream.
fn zip_lzma(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let stream = (|| {
        let props = lzma::Props::from_byte(read::u8(input, 4)?)?;
        (read::le16(input, 2)? == 5).then_some((props, input.get(9..)?))
    })();
    match stream {
        Some((props, stream)) => lzma::decode_raw(stream, props, Some(max), max, budget),
        None => Decoded::failed(Error::Malformed { what: "no LZMA header of zip", at: 0 }),
    }
}

/// The decoder of a method.
fn method(id: u16, flags: u16) -> Option<packed::Decode> {
    Some(match id {
        0 => packed::copy,
        1 => pkzip::shrunk,
        2..=5 => return pkzip::reducer(u8::try_from(id).ok()?),
        6 => pkzip::imploded(flags & 2 != 0, flags & 4 != 0),
        8 => deflate::inflate,
        9 => deflate::inflate64,
        12 => bzip2::decode,
        14 => zip_lzma,
        20 | 93 => zstd::decode,
        95 => xz::decode,
        98 => ppmd::decode_zip,
        _ => return None,
    })
}

/// The content of an encrypted item, with the password that fits. It is decrypted here and decoded when asked for.
fn unsealed(item: &Item, data: &Bytes, budget: &Budget) -> Result<Blob, &'static str> {
    let method_id = item.aes.map_or(item.method, |aes| aes.method);
    let decode = method(method_id, item.flags).ok_or("its compression is not read")?;
    // An item described later has the time in place of the sum, which was not known yet.
    let [sum, ..] = item.crc32.to_be_bytes();
    let [_, _, time, _] = item.dos_time.to_be_bytes();
    let check = if item.described_later() { time } else { sum };
    let packed = |compressed: Vec<u8>| Packed {
        data: compressed.into(),
        decode,
        size: item.size,
        crc32: (item.aes.is_none_or(|aes| aes.version != 2)).then_some(item.crc32),
    };
    let (_, opened) = layout::unseal(budget, ABOUT.id, data, |key, data| {
        let password = key.password.as_ref()?.as_bytes();
        let bytes = match item.aes {
            Some(field) => field.decrypt(data, password)?,
            None => zip_crypt::traditional(data, password, check)?,
        };
        // One byte may fit by chance.
        let verified = item.aes.is_some()
            || Blob::load(&packed(bytes.clone()).blob(), budget).problems.is_empty();
        verified.then_some(Opened { bytes, verified })
    })?;
    Ok(packed(opened.bytes).blob())
}

/// The entry of an item whose data is `data`.
fn member(item: &Item, data: Bytes, whole: bool, budget: &Budget) -> Entry {
    let mut problems = Vec::new();
    if !whole {
        problems.push(Problem::new(ProblemKind::Truncated, "the content is cut off"));
    }
    let blob = if item.flags & 1 != 0 {
        match unsealed(item, &data, budget) {
            Ok(blob) => blob,
            Err(why) => {
                let text = format!("the content is encrypted; {why}");
                problems.push(Problem::new(ProblemKind::Encrypted, text));
                Blob::None
            }
        }
    } else {
        match method(item.method, item.flags) {
            Some(decode) if item.method != 0 => {
                Packed { data, decode, size: item.size, crc32: Some(item.crc32) }.blob()
            }
            Some(_) => packed::stored(data, Some(item.crc32)),
            None => {
                let text = format!("compression method {} is not read", item.method);
                problems.push(Problem::new(ProblemKind::Unsupported, text));
                Blob::None
            }
        }
    };
    let kind = match item.unix_mode.map(|m| m & 0o170_000) {
        Some(0o120_000) => {
            let target = blob.load(budget);
            problems.extend(target.problems);
            EntryKind::Symlink { target: escape(&target.bytes) }
        }
        _ if item.directory => EntryKind::Directory,
        Some(_) => item.unix_mode.and_then(|m| kind_of_mode(m, (0, 0))).unwrap_or(EntryKind::File),
        None => EntryKind::File,
    };
    let mut made = entry(&item.name, kind);
    made.metadata = Metadata {
        mode: item.unix_mode.map(|m| m & 0o7777),
        uid: item.owner.map(|o| o.0),
        gid: item.owner.map(|o| o.1),
        mtime: item.mtime.or_else(|| dos_seconds(item.dos_time)),
        xattrs: Vec::new(),
    };
    made.problems.extend(problems);
    if made.kind == EntryKind::File {
        made.blob = blob;
    }
    made
}

/// Reads local headers one after the other, for an archive whose end is missing. Returns the items with
/// the places of their data, and where the last one ends.
fn locals(data: &[u8], first: usize, budget: &Budget) -> (Vec<(Item, usize)>, usize) {
    let (mut found, mut at) = (Vec::new(), first);
    while let Some((mut item, data_at)) = Item::local(data, at) {
        if budget.work(64).is_err() || item.name.is_empty() {
            break;
        }
        let mut end =
            read::index(item.packed).and_then(|n| data_at.checked_add(n)).unwrap_or(usize::MAX);
        if item.described_later() && item.packed == 0 {
            if item.method != 8 {
                break;
            }
            let left = read::index(budget.output_left()).unwrap_or(usize::MAX);
            let body = data.get(data_at..).unwrap_or_default();
            let decoded = deflate::inflate(body, left, budget);
            item.packed = decoded.consumed as u64;
            item.size = decoded.bytes.len() as u64;
            item.crc32 = crate::codec::check::crc32(&decoded.bytes);
            end = data_at.saturating_add(decoded.consumed);
            let signed = read::slice(data, end, 4) == Some(b"PK\x07\x08");
            let stop = decoded.error.is_some();
            found.push((item, data_at));
            at = end.saturating_add(if signed { 16 } else { 12 }).min(data.len());
            if stop {
                break;
            }
            continue;
        }
        found.push((item, data_at));
        at = end.min(data.len());
        if end > data.len() {
            break;
        }
    }
    (found, at)
}

impl Format for Zip {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(LOCAL), Magic::anywhere(END)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        if let Some(dir) =
            data.get(at..)?.starts_with(LOCAL).then(|| find(data, at, false, budget)).flatten()
        {
            return Some(Candidate::new(at, dir.end.checked_sub(at)?, Proof::DecoderEnded));
        }
        if data.get(at..)?.starts_with(END) {
            // An archive without entries.
            let dir = directory(data, at, at, false, budget)?;
            let empty = zeros_at(data, at.checked_add(4)?, 16);
            return empty
                .then(|| Candidate::new(at, dir.end.saturating_sub(at), Proof::LengthsConsistent));
        }
        let (found, end) = locals(data, at, budget);
        let (item, _) = found.first()?;
        method(item.method, item.flags)?;
        let proof = if found.len() > 1 { Proof::LengthsConsistent } else { Proof::MagicOnly };
        let mut candidate = Candidate::new(at, end.checked_sub(at).filter(|n| *n > 0)?, proof);
        let text = "no end record leads back to this archive; its entries are read from their local headers";
        candidate.problems.push(Problem::new(ProblemKind::Truncated, text));
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(dir) = find(region, 0, true, budget) else {
            for (item, data_at) in locals(region, 0, budget).0 {
                let from = data_at.min(region.len());
                let end = read::index(item.packed).map_or(usize::MAX, |n| from.saturating_add(n));
                let data = region.slice(from..end.min(region.len()));
                if !put(sink, member(&item, data, end <= region.len(), budget)) {
                    return;
                }
            }
            return;
        };
        if !dir.comment.is_empty() {
            sink.attribute("comment", escape(&dir.comment));
        }
        if dir.items.iter().any(|i| i.name == b"META-INF/MANIFEST.MF") {
            sink.attribute("variant", "jar");
        }
        let mut cover = Cover::new(region.len());
        cover.add(dir.at, region.len());
        for item in &dir.items {
            let place =
                item.local.checked_sub(dir.base).and_then(read::index).unwrap_or(usize::MAX);
            let Some((local, data_at)) = Item::local(region, place) else {
                let mut made = member(item, Bytes::new(), true, budget);
                made.blob = Blob::None;
                let text = format!("there is no local header at {place:#x}");
                made.problems.push(Problem::new(ProblemKind::Malformed, text));
                if !put(sink, made) {
                    return;
                }
                continue;
            };
            let mut item = item.clone();
            item.mtime = item.mtime.or(local.mtime);
            item.owner = item.owner.or(local.owner);
            let from = data_at.min(dir.at);
            let end = read::index(item.packed).map_or(usize::MAX, |n| from.saturating_add(n));
            let whole = end <= dir.at;
            let end = end.min(dir.at);
            let mut stop = end;
            if local.described_later() {
                // With or without its mark, with 32-bit or 64-bit sizes.
                let signed = read::slice(region, end, 4) == Some(b"PK\x07\x08");
                let crc_at = end.saturating_add(if signed { 4 } else { 0 });
                if read::le32(region, crc_at) == Some(item.crc32) {
                    let wide = read::le64(region, crc_at.saturating_add(4)) == Some(item.packed)
                        && read::le64(region, crc_at.saturating_add(12)) == Some(item.size);
                    stop = crc_at.saturating_add(if wide { 20 } else { 12 }).min(dir.at);
                }
            }
            cover.add(place, stop);
            let mut made = member(&item, region.slice(from..end), whole, budget);
            let differs = [
                (local.name != item.name, "name"),
                (local.method != item.method, "method"),
                (!local.described_later() && local.crc32 != item.crc32, "CRC-32"),
                (!local.described_later() && local.size != item.size, "size"),
                (!local.described_later() && local.packed != item.packed, "compressed size"),
            ];
            for (_, what) in differs.iter().filter(|(differs, _)| *differs) {
                let text =
                    format!("the local header has another {what} than the central directory");
                made.problems.push(Problem::new(ProblemKind::Malformed, text));
            }
            if !put(sink, made) {
                return;
            }
        }
        cover.gaps(region, sink);
    }
}

fn zeros_at(data: &[u8], at: usize, len: usize) -> bool {
    read::slice(data, at, len).is_some_and(super::zeros)
}
