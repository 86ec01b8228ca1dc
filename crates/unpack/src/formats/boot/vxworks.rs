//! The symbol table of a VxWorks image, with its names where the load address can be told.
//!
//! Establishes: a run of at least 250 entries of 16 or 20 bytes (link, name, value, kind) in either byte order, in a content
//! that also has the kernel's version text. Names are pointers; the load address is the one under which the smallest
//! of them fall on the beginnings of texts. *False negatives*: tables in
//! contents without that text. Sources: binwalk, structures/vxworks.rs; vxhunter; VxWorks symLib.

use std::collections::BTreeSet;

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Format, Magic, Sink},
    formats::layout::about,
    read::{self, Order},
};

/// The format.
pub struct Symbols;

static ABOUT: &About = about!(
    Boot,
    "vxworks-symbols",
    "VxWorks symbol table",
    "address, kind and name of each symbol",
    "250 well-formed entries in a row",
    "one table of an image; version 7; images above 64 MiB",
    "binwalk, structures/vxworks.rs",
    "vxhunter (entries of version 6)"
);

/// The kernel's version text.
pub(super) const MARK: &[u8] = b"WIND version ";
/// Largest content that is taken for an image: it is searched for tables several times.
pub(super) const LARGEST: usize = 64 << 20;
/// Bytes of an entry: version 5, and version 6, which has one word more.
const ENTRIES: [usize; 2] = [16, 20];
const LEAST: usize = 250;

/// Name pointer, value and kind of the entry of `size` bytes at `at`: a link that is not set, name, value (a reference),
/// and a word of group, kind and padding.
fn symbol(data: &[u8], at: usize, size: usize, order: Order) -> Option<(u32, u32, &'static str)> {
    let [group @ .., kind, padding] =
        read::array::<4>(data, at.checked_add(size)?.checked_sub(4)?)?;
    // Some little-endian tables have the kind one byte further in front.
    let kind = match (group, kind, padding, order) {
        ([0, 0], kind, 0, _) => kind,
        ([0, kind], 0, 0, Order::Little) => kind,
        _ => return None,
    };
    let kind = match (kind, size) {
        (4 | 5, _) => "function",
        (6 | 7, 16) | (8 | 9, 20) => "data",
        (8 | 9, 16) | (0x10 | 0x11, 20) => "bss",
        _ => return None,
    };
    let word = |n: usize| order.u32(data, at.checked_add(n)?);
    let (link, name, value) = (word(0)?, word(4)?, word(8)?);
    (link == 0 && name != 0 && value != 0).then_some((name, value, kind))
}

/// Where a table stands and how.
#[derive(Clone, Copy)]
struct Table {
    start: usize,
    length: usize,
    entry: usize,
    order: Order,
}

/// The first long run of entries. Kinds are bytes, so it may be one in both orders: names lie close together in the
/// right one.
fn table(data: &[u8]) -> Option<Table> {
    let run = |start: usize, entry: usize, order: Order| {
        let mut end = start;
        while symbol(data, end, entry, order).is_some() {
            end = end.checked_add(entry)?;
        }
        let length = end.checked_sub(start)?;
        (length >= LEAST.checked_mul(entry)?).then_some(Table { start, length, entry, order })
    };
    let spread = |table: &Table| {
        let names = || table.rows(data).map(|row| row.0);
        let (low, high) = (names().min(), names().max());
        high.zip(low).map(|(high, low)| high.wrapping_sub(low))
    };
    let mut start = 0_usize;
    while start < data.len() {
        for entry in ENTRIES {
            let found =
                [Order::Big, Order::Little].into_iter().filter_map(|o| run(start, entry, o));
            if let Some(table) = found.min_by_key(spread) {
                return Some(table);
            }
        }
        start = start.checked_add(4)?;
    }
    None
}

/// The text at `at`, where one begins and ends there.
fn text(data: &[u8], at: usize) -> Option<&str> {
    let before = at.checked_sub(1).map_or(Some(&0), |b| data.get(b))?;
    let bytes = read::until_nul(data.get(at..at.checked_add(256)?.min(data.len()))?);
    let named =
        !bytes.is_empty() && bytes.len() < 256 && bytes.iter().all(|b| matches!(b, b'!'..=b'~'));
    // Texts are aligned with zeros, or follow each other.
    std::str::from_utf8(bytes).ok().filter(|_| *before == 0 && named)
}

/// What has to be added to a place in the content to get its address.
pub(super) fn base(data: &[u8], names: &BTreeSet<u32>) -> Option<u32> {
    let first = *names.first()?;
    let few: Vec<usize> = names.iter().take(12).map(|n| n.wrapping_sub(first) as usize).collect();
    let span = *few.last()?;
    let fits = |start: &usize| {
        few.iter().all(|d| start.checked_add(*d).is_some_and(|at| text(data, at).is_some()))
    };
    let starts = (0..data.len().saturating_sub(span)).filter(|at| {
        let before = at.checked_sub(1).and_then(|b| data.get(b));
        before.is_none_or(|b| *b == 0) && data.get(*at).is_some_and(|b| *b != 0)
    });
    let mut found =
        starts.filter(fits).filter_map(|start| first.checked_sub(u32::try_from(start).ok()?));
    // Two answers are none.
    let one = found.next()?;
    let all = names.iter().filter(|n| text(data, n.wrapping_sub(one) as usize).is_some()).count();
    let good = all.saturating_mul(10) >= names.len().saturating_mul(9);
    (good && found.next().is_none()).then_some(one)
}

impl Table {
    fn rows(self, data: &[u8]) -> impl Iterator<Item = (u32, u32, &'static str)> {
        let rows = (self.start..self.start.saturating_add(self.length)).step_by(self.entry);
        rows.filter_map(move |at| symbol(data, at, self.entry, self.order))
    }
}

/// The byte order, and what has to be added to a place in the content to get its address, by the symbol table.
pub(super) fn load_address(data: &[u8]) -> Option<(Order, u32)> {
    let table = table(data)?;
    let names = table.rows(data).map(|row| row.0).collect();
    Some((table.order, base(data, &names)?))
}

impl Format for Symbols {
    fn about(&self) -> &'static About {
        ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(MARK)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        // Once for each content.
        if data.len() > LARGEST || budget.find(data, MARK, 0).ok()? != Some(at) {
            return None;
        }
        budget.work((data.len() / 8) as u64).ok()?;
        let table = table(data)?;
        let mut found = Candidate::new(table.start, table.length, Proof::LengthsConsistent);
        let rows: Vec<_> = table.rows(data).collect();
        let names: BTreeSet<u32> = rows.iter().map(|row| row.0).collect();
        let base = base(data, &names);
        let mut list = String::new();
        for (name, value, kind) in rows {
            let known = base.and_then(|b| text(data, name.checked_sub(b)? as usize));
            list.push_str(&format!(
                "{value:#010x} {kind} {}\n",
                known.map_or_else(|| format!("{name:#010x}"), str::to_owned)
            ));
        }
        budget.output(list.len() as u64).ok()?;
        found.decoded = Some(list.into_bytes().into());
        Some(found)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("os", "vxworks");
        if let Some(table) = table(region) {
            sink.attribute("symbols", table.length.checked_div(table.entry).unwrap_or(0));
            sink.attribute("byte-order", if table.order == Order::Big { "big" } else { "little" });
        }
        if let Some(list) = decoded {
            // Running out of entries is recorded by the sink.
            let _ = sink.entry(Entry::file("symbols", Blob::Bytes(list)));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, torture};

    /// Texts, then a table in the order given, loaded at 0x80001000.
    pub fn build(big: bool, entry: usize) -> Vec<u8> {
        let mut image = noise(1000, 3);
        image.extend(b"\0\0WIND version 2.6\0");
        let mut names = Vec::new();
        for n in 0..300 {
            names.push(image.len());
            image.extend(format!("symbol{}{}\0", "x".repeat(n % 7), n).bytes());
        }
        image.resize(image.len().next_multiple_of(4), 0);
        for (n, name) in names.iter().enumerate() {
            let mut row = Vec::new();
            for word in [0, 0x8000_1000 + name, 0x8010_0000 + n * 4] {
                let word = u32::try_from(word).unwrap();
                row.extend(if big { word.to_be_bytes() } else { word.to_le_bytes() });
            }
            row.resize(entry - 4, 0);
            row.extend([0, 0, 5, 0]);
            image.extend(row);
        }
        image.extend(noise(100, 4));
        image
    }

    #[test]
    fn symbols_have_their_names() {
        for (big, entry) in [(true, 16), (false, 16), (true, 20), (false, 20)] {
            let image = build(big, entry);
            let at = memchr::memmem::find(&image, MARK).unwrap();
            let opened = open_at(&Symbols, &image, at).unwrap();
            assert_eq!(
                (opened.candidate.length, opened.attribute("symbols")),
                (300 * entry, "300")
            );
            let list = String::from_utf8(opened.content("symbols").to_vec()).unwrap();
            assert_eq!(list.lines().next(), Some("0x80100000 function symbol0"));
            assert_eq!(list.lines().nth(9), Some("0x80100024 function symbolxx9"));
        }
    }

    #[test]
    fn short_runs_are_no_table() {
        let image = build(true, 16);
        let at = memchr::memmem::find(&image, MARK).unwrap();
        assert!(open_at(&Symbols, &image[..image.len() - 2000], at).is_none());
        torture(&Symbols, &image[at..]);
    }
}
