//! The symbol table of a VxWorks image, with its names where the load address can be told.
//!
//! Establishes: a run of at least 250 entries of 16 bytes (name, value, type, group) in either byte order, in a content
//! that also has the kernel's version text. Names are pointers; the load address is the one under which the smallest
//! of them fall on the beginnings of texts. *False negatives*: tables of version 6 with entries of 20 bytes; tables in
//! contents without that text. Source: binwalk, structures/vxworks.rs; VxWorks symLib.

use std::collections::BTreeSet;

use bytes::Bytes;
use memchr::memmem;
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
    "entries of 20 bytes (version 6)",
    "binwalk, structures/vxworks.rs"
);

const MARK: &[u8] = b"WIND version ";
const ENTRY: usize = 16;
const LEAST: usize = 250;

/// Name pointer, value and kind of the entry at `at`.
fn symbol(data: &[u8], at: usize, order: Order) -> Option<(u32, u32, &'static str)> {
    let kind = match order.u32(data, at.checked_add(8)?)? {
        0x500 => "function",
        0x700 => "data",
        0x900 => "bss",
        _ => return None,
    };
    let (name, value, group) = (
        order.u32(data, at)?,
        order.u32(data, at.checked_add(4)?)?,
        order.u32(data, at.checked_add(12)?)?,
    );
    (name != 0 && value != 0 && group == 0).then_some((name, value, kind))
}

/// First byte and length of the first long run of entries.
fn table(data: &[u8]) -> Option<(usize, usize, Order)> {
    let mut at = 0_usize;
    while at.checked_add(ENTRY)? <= data.len() {
        for order in [Order::Big, Order::Little] {
            let mut end = at;
            while symbol(data, end, order).is_some() {
                end = end.checked_add(ENTRY)?;
            }
            let length = end.checked_sub(at)?;
            if length >= LEAST * ENTRY {
                return Some((at, length, order));
            }
        }
        at = at.checked_add(4)?;
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
fn base(data: &[u8], names: &BTreeSet<u32>) -> Option<u32> {
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

impl Format for Symbols {
    fn about(&self) -> &'static About {
        ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(MARK)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        // Once for each content.
        if memmem::find(data, MARK) != Some(at) {
            return None;
        }
        budget.work((data.len() / 8) as u64).ok()?;
        let (start, length, order) = table(data)?;
        let mut found = Candidate::new(start, length, Proof::LengthsConsistent);
        let rows: Vec<_> = (start..start.checked_add(length)?)
            .step_by(ENTRY)
            .filter_map(|at| symbol(data, at, order))
            .collect();
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
        sink.attribute("symbols", region.len() / ENTRY);
        if let Some(list) = decoded {
            // Running out of entries is recorded by the sink.
            let _ = sink.entry(Entry::file("symbols", Blob::Bytes(list)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, torture};

    /// Texts, then a table in the order given, loaded at 0x80001000.
    fn build(big: bool) -> Vec<u8> {
        let mut image = noise(1000, 3);
        image.extend(b"\0\0WIND version 2.6\0");
        let mut names = Vec::new();
        for n in 0..300 {
            names.push(image.len());
            image.extend(format!("symbol{}{}\0", "x".repeat(n % 7), n).bytes());
        }
        image.resize(image.len().next_multiple_of(4), 0);
        for (n, name) in names.iter().enumerate() {
            for word in [0x8000_1000 + name, 0x8010_0000 + n * 4, 0x500, 0] {
                let word = u32::try_from(word).unwrap();
                image.extend(if big { word.to_be_bytes() } else { word.to_le_bytes() });
            }
        }
        image.extend(noise(100, 4));
        image
    }

    #[test]
    fn symbols_have_their_names() {
        for big in [true, false] {
            let image = build(big);
            let at = memmem::find(&image, MARK).unwrap();
            let opened = open_at(&Symbols, &image, at).unwrap();
            assert_eq!((opened.candidate.length, opened.attribute("symbols")), (4800, "300"));
            let list = String::from_utf8(opened.content("symbols").to_vec()).unwrap();
            assert_eq!(list.lines().next(), Some("0x80100000 function symbol0"));
            assert_eq!(list.lines().nth(9), Some("0x80100024 function symbolxx9"));
        }
    }

    #[test]
    fn short_runs_are_no_table() {
        let image = build(true);
        let at = memmem::find(&image, MARK).unwrap();
        assert!(open_at(&Symbols, &image[..image.len() - 2000], at).is_none());
        torture(&Symbols, &image[at..]);
    }
}
