//! Files beside each other that are pieces of one: `fw.7z.001`, `fw.tar.gz.aa`, `fw.part1.rar`, `fw.r00`, `fw.z01`.
//!
//! The whole becomes an entry of its own beside its pieces, named by the first and the last of them
//! (`fw.7z.001-003`); the pieces stay, and are not looked into by themselves. Pieces that are numbered or lettered count as
//! such only if all but the last have the same size, as every tool makes them; names alone are chance too often.
//! Where a piece between others is missing, nothing is put together, and the first one that is there says which.
//!
//! Cabinets are told by their headers, which name the one before and the one after; what is too large to be looked into
//! for that is left alone.
//!
//! Only files of one container or folder are put together. A file that is the input itself has no files beside it,
//! because the sandbox lets nothing else be read; [`alone`] says to name the folder instead.
//!
//! Sources: split(1) of GNU coreutils; 7-Zip, "Split to volumes"; RAR, volume names; APPNOTE.TXT 6.3.10, 8.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use proofmark_model::{EntryKind, Problem, ProblemKind, locator::escape};

use crate::{
    budget::Budget,
    format::{Blob, Entry, Load, Loaded},
    formats::archive::cab::{self, Link},
    spool::Buffer,
};

/// Format of a content that is a piece.
pub(crate) const PIECE: &str = "piece";

/// How pieces are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Names {
    /// `base.001`, with this many digits.
    Numbers(usize),
    /// `base.aa`, with this many letters.
    Letters(usize),
    /// `base.part1.rar`, with this many digits.
    Part(usize),
    /// `base.rar`, `base.r00`.
    Old,
    /// `base.z01`, `base.zip`.
    Zip,
}

/// Endings of what is split in practice: a missing piece of such a file is worth a word.
const ENDINGS: &[&str] = &[
    ".7z", ".bin", ".bz2", ".cpio", ".gz", ".img", ".iso", ".lz", ".lzma", ".rar", ".tar", ".tbz",
    ".tgz", ".txz", ".xz", ".zip", ".zst",
];

/// The last piece of a split zip, which has the name of the whole.
const LAST: usize = usize::MAX;

/// How a name (in lower case) says which piece it is: the way of naming, what stands before, and the place.
fn piece(name: &str) -> Option<(Names, &str, usize)> {
    let (base, end) = name.rsplit_once('.').filter(|(base, _)| !base.is_empty())?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| (1..=6).contains(&text.len()).then(|| text.parse().ok()).flatten();
    if end == "rar" {
        if let Some((base, n)) = base.rsplit_once(".part")
            && digits(n)
        {
            return Some((Names::Part(n.len()), base, number(n)?));
        }
        return Some((Names::Old, base, 0));
    }
    if end == "zip" {
        return Some((Names::Zip, base, LAST));
    }
    if let ([letter @ b'r'..=b'z', _, _], Some(n)) = (end.as_bytes(), end.get(1..))
        && digits(n)
    {
        let n: usize = number(n)?;
        if *letter == b'z' {
            return Some((Names::Zip, base, n));
        }
        let hundreds = usize::from(letter.checked_sub(b'r')?).checked_mul(100)?;
        return Some((Names::Old, base, hundreds.checked_add(n)?.checked_add(1)?));
    }
    if end.len() >= 3 && digits(end) {
        return Some((Names::Numbers(end.len()), base, number(end)?));
    }
    if (2..=3).contains(&end.len()) && end.bytes().all(|b| b.is_ascii_lowercase()) {
        let place = end.bytes().try_fold(0_usize, |place, b| {
            place.checked_mul(26)?.checked_add(usize::from(b.checked_sub(b'a')?))
        })?;
        return Some((Names::Letters(end.len()), base, place));
    }
    None
}

impl Names {
    fn first(self, present: usize) -> usize {
        match self {
            // Some tools count from 0.
            Self::Numbers(_) => present.min(1),
            Self::Letters(_) | Self::Old => 0,
            Self::Part(_) | Self::Zip => 1,
        }
    }

    /// The name of a piece.
    fn name(self, base: &str, place: usize) -> String {
        match self {
            Self::Numbers(width) => format!("{base}.{place:0width$}"),
            Self::Part(width) => format!("{base}.part{place:0width$}.rar"),
            Self::Old if place == 0 => format!("{base}.rar"),
            Self::Old => format!("{base}.r{:02}", place.saturating_sub(1)),
            Self::Zip if place == LAST => format!("{base}.zip"),
            Self::Zip => format!("{base}.z{place:02}"),
            Self::Letters(width) => {
                let letter = |n: u32| {
                    let place = place.checked_div(26_usize.saturating_pow(n)).unwrap_or(0) % 26;
                    char::from(b'a'.saturating_add(u8::try_from(place).unwrap_or(0)))
                };
                let end: String =
                    (0..u32::try_from(width).unwrap_or(0)).rev().map(letter).collect();
                format!("{base}.{end}")
            }
        }
    }

    /// Whether pieces are known by size rather than by name.
    fn by_size(self) -> bool {
        matches!(self, Self::Numbers(_) | Self::Letters(_))
    }
}

/// What to say of an input that is named as pieces are, as nothing beside it is read: `cut` if something in it goes
/// on beyond its end. A first piece may be the only one.
pub(crate) fn alone(name: &str, cut: bool) -> Option<Problem> {
    let name = name.to_ascii_lowercase();
    let (names, base, place) = piece(&name)?;
    let certain = match names {
        Names::Part(_) => true,
        Names::Old => place > 0,
        Names::Zip => place != LAST,
        Names::Numbers(_) | Names::Letters(_) => {
            ENDINGS.iter().any(|ending| base.ends_with(ending))
        }
    };
    (certain && (cut || place > names.first(place))).then(|| {
        Problem::new(
            ProblemKind::Incomplete,
            "named as a piece of a split file; give the folder that holds all pieces to have them put together",
        )
    })
}

/// Largest cabinet that is looked into, and how much of all.
const CABINET_MAX: u64 = 64 << 20;
const CABINETS_MAX: u64 = 256 << 20;

/// Adds the wholes of cabinets that go on with each other; gives back the positions of those that were put together.
fn join_cabinets(entries: &mut Vec<Entry>) -> HashSet<usize> {
    let names = |entry: &Entry| {
        let path = entry.path.to_ascii_lowercase();
        let is = entry.kind == EntryKind::File && path.ends_with(b".cab") && entry.blob.size() > 36;
        is.then_some(path)
    };
    let named: Vec<(Vec<u8>, usize)> =
        entries.iter().enumerate().filter_map(|(n, e)| Some((names(e)?, n))).collect();
    if named.len() < 2 {
        return HashSet::new();
    }
    let mut left = CABINETS_MAX;
    let mut found: BTreeMap<Vec<u8>, (usize, Link)> = BTreeMap::new();
    for (path, n) in named {
        let Some(entry) = entries.get(n) else { continue };
        let size = entry.blob.size();
        let data = match &entry.blob {
            Blob::Bytes(data) => data.clone(),
            Blob::Lazy(_) if size > CABINET_MAX.min(left) => continue,
            blob => {
                left = left.saturating_sub(size);
                // What this costs is bounded here; the content is paid for when it is read.
                blob.load(&Budget::new(size, 1, size.saturating_mul(64), None)).bytes
            }
        };
        if let Some(link) = cab::link(&data) {
            found.insert(path, (n, link));
        }
    }
    let folder =
        |path: &[u8]| path.iter().rposition(|b| *b == b'/').map_or(0, |at| at.saturating_add(1));
    let next = |path: &[u8], link: &Link| {
        let name = link.next.as_ref()?.to_ascii_lowercase();
        let path = [path.get(..folder(path))?, &name].concat();
        let (n, other) = found.get(&path)?;
        link.leads_to(other).then_some((path, *n, other))
    };
    let mut pieces = HashSet::new();
    let mut wholes = Vec::new();
    for (path, (first, link)) in &found {
        if link.previous.is_some() {
            continue;
        }
        let mut set = vec![*first];
        let mut here = (path.clone(), link);
        // Places in a set go up, so this ends.
        while let Some((path, n, link)) = next(&here.0, here.1) {
            set.push(n);
            here = (path, link);
        }
        let (Some(one), Some(last)) =
            (entries.get(*first), set.last().and_then(|n| entries.get(*n)))
        else {
            continue;
        };
        if set.len() > 1 && set.iter().all(|n| !pieces.contains(n)) {
            let end = last.path.get(folder(&last.path)..).unwrap_or_default();
            let blobs = set.iter().filter_map(|n| Some(entries.get(*n)?.blob.clone())).collect();
            wholes.push(Entry::file(
                [&one.path, &b"-"[..], end].concat(),
                Blob::Lazy(Arc::new(Whole(blobs))),
            ));
            pieces.extend(set);
        }
    }
    entries.extend(wholes);
    pieces
}

/// Adds the wholes of all pieces among `entries`; gives back the positions of pieces that were put together.
pub(crate) fn join(entries: &mut Vec<Entry>) -> HashSet<usize> {
    let mut sets: BTreeMap<(Vec<u8>, Names, String), BTreeMap<usize, usize>> = BTreeMap::new();
    for (i, entry) in entries.iter().enumerate() {
        if entry.kind != EntryKind::File || entry.blob.size() == 0 {
            continue;
        }
        let cut = entry.path.iter().rposition(|b| *b == b'/').map_or(0, |at| at.saturating_add(1));
        let (folder, name) = entry.path.split_at(cut);
        let Some(name) = str::from_utf8(name).ok().map(str::to_ascii_lowercase) else { continue };
        if let Some((names, base, place)) = piece(&name) {
            let set = sets.entry((folder.to_vec(), names, base.to_owned())).or_default();
            set.insert(place, i);
        }
    }
    let mut pieces = join_cabinets(entries);
    for ((_, names, base), set) in sets {
        // A rar or zip alone, or one file that happens to end in digits.
        let (Some((lowest, first)), Some((_, last))) =
            (set.first_key_value(), set.last_key_value())
        else {
            continue;
        };
        let known = ENDINGS.iter().any(|ending| base.ends_with(ending)) || !names.by_size();
        let lone = set.len() < 2 && (!known || matches!(names, Names::Old | Names::Zip));
        if lone && !(names == Names::Old && *lowest > 0 || names == Names::Zip && *lowest != LAST) {
            continue;
        }
        let missing = missing(names, &set);
        if !missing.is_empty() {
            // Letters and numbers without a first one are other things too.
            if known && (names != Names::Letters(2) && names != Names::Letters(3) || *lowest == 0) {
                let list: Vec<_> =
                    missing.iter().map(|n| escape(names.name(&base, *n).as_bytes())).collect();
                let text =
                    format!("a piece of a whole that is split; not here: {}", list.join(", "));
                if let Some(entry) = entries.get_mut(*first) {
                    entry.problems.push(Problem::new(ProblemKind::Incomplete, text));
                }
            }
            continue;
        }
        let all: Vec<usize> = set.values().copied().collect();
        if all.len() < 2 || (names.by_size() && !same_size(entries, &all)) {
            continue;
        }
        let (Some(from), Some(to)) = (entries.get(*first), entries.get(*last)) else { continue };
        let path = whole_name(names, &from.path, &to.path);
        let blobs = all.iter().filter_map(|i| Some(entries.get(*i)?.blob.clone())).collect();
        pieces.extend(all);
        entries.push(Entry::file(path, Blob::Lazy(Arc::new(Whole(blobs)))));
    }
    pieces
}

/// Places that are not there between the first one and the last that is, at most ten.
fn missing(names: Names, set: &BTreeMap<usize, usize>) -> Vec<usize> {
    let lowest = set.keys().next().copied().unwrap_or(0);
    let highest = set.keys().rev().find(|n| **n != LAST).copied().unwrap_or(0);
    let inner = (names.first(lowest)..=highest).filter(|n| !set.contains_key(n));
    let end = (names == Names::Zip && !set.contains_key(&LAST)).then_some(LAST);
    inner.chain(end).take(10).collect()
}

/// Whether all but the last have one size, and the last is not larger.
fn same_size(entries: &[Entry], all: &[usize]) -> bool {
    let sizes: Vec<u64> = all.iter().filter_map(|i| Some(entries.get(*i)?.blob.size())).collect();
    match sizes.split_last() {
        Some((last, [first, others @ ..])) => others.iter().all(|n| n == first) && last <= first,
        _ => false,
    }
}

/// The first name, and what is different in the last one.
fn whole_name(names: Names, first: &[u8], last: &[u8]) -> Vec<u8> {
    let ending = if matches!(names, Names::Part(_)) { ".rar".len() } else { 0 };
    let cut = |name: &[u8]| name.len().saturating_sub(ending);
    let (head, tail) = first.split_at(cut(first));
    let last = last.get(..cut(last)).unwrap_or_default();
    let own = |b: &u8| if ending > 0 { b.is_ascii_digit() } else { *b != b'.' };
    let from = last.len().saturating_sub(last.iter().rev().take_while(|b| own(b)).count());
    [head, b"-", last.get(from..).unwrap_or_default(), tail].concat()
}

/// Pieces one after the other.
struct Whole(Vec<Blob>);

impl Load for Whole {
    fn size(&self) -> u64 {
        self.0.iter().fold(0, |sum, piece| sum.saturating_add(piece.size()))
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut made = Buffer::default();
        let mut problems = Vec::new();
        for piece in &self.0 {
            let loaded = piece.load(budget);
            if let Err(e) = budget.output(loaded.bytes.len() as u64) {
                problems.push(e.into());
                break;
            }
            made.append(&loaded.bytes, budget.spool());
            problems.extend(loaded.problems);
        }
        Loaded { bytes: made.into(), problems }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A set in one folder, beside cabinets that are none of it.
    #[test]
    fn cabinets_of_a_set_are_found_by_their_headers() {
        let (cabinets, _) = cab::tests::three(true);
        let file =
            |path: &str, n: usize| Entry::file(path, Blob::Bytes(Bytes::from(cabinets[n].clone())));
        let mut all = vec![
            file("d/three.cab", 2),
            file("d/TWO.CAB", 1),
            file("e/two.cab", 1),
            file("d/One.cab", 0),
            file("f/one.cab", 0),
            Entry::file("d/x.cab", Blob::Bytes(Bytes::from(vec![b'x'; 99]))),
        ];
        let pieces = join(&mut all);
        assert_eq!((pieces, all.len()), (HashSet::from([0, 1, 3]), 7));
        assert_eq!(all[6].path, b"d/One.cab-three.cab");
        assert!(all[6].blob.load(&Budget::ample()).bytes == cabinets.concat());
    }

    fn entries(files: &[(&str, usize)]) -> Vec<Entry> {
        let file = |(name, size): &(&str, usize)| {
            Entry::file(*name, Blob::Bytes(Bytes::from(vec![name.len() as u8; *size])))
        };
        files.iter().map(file).collect()
    }

    /// Names of what was put together, and the problems.
    fn joined(files: &[(&str, usize)]) -> (Vec<String>, Vec<String>) {
        let mut all = entries(files);
        let pieces = join(&mut all);
        let made = all.split_off(files.len());
        let sum: u64 = made.iter().map(|e| e.blob.size()).sum();
        assert_eq!(sum, pieces.iter().map(|i| files[*i].1 as u64).sum::<u64>());
        for entry in &made {
            assert_eq!(entry.blob.load(&Budget::ample()).bytes.len() as u64, entry.blob.size());
        }
        let text = |e: Entry| String::from_utf8(e.path).unwrap();
        let problems = all.iter().flat_map(|e| e.problems.iter().map(|p| p.message.clone()));
        let problems = problems.collect();
        (made.into_iter().map(text).collect(), problems)
    }

    #[test]
    fn all_ways_of_naming() {
        let whole = |files: &[(&str, usize)]| {
            let (made, problems) = joined(files);
            assert!(problems.is_empty(), "{problems:?}");
            made
        };
        assert_eq!(
            whole(&[("a/fw.7z.001", 9), ("a/fw.7z.003", 4), ("a/fw.7z.002", 9)]),
            ["a/fw.7z.001-003"]
        );
        assert_eq!(whole(&[("fw.img.000", 9), ("fw.img.001", 9)]), ["fw.img.000-001"]);
        assert_eq!(
            whole(&[("fw.tar.gz.aa", 9), ("fw.tar.gz.ab", 9), ("fw.tar.gz.ac", 1)]),
            ["fw.tar.gz.aa-ac"]
        );
        assert_eq!(whole(&[("x.part1.rar", 9), ("x.part2.rar", 8)]), ["x.part1-2.rar"]);
        let ten: Vec<String> = (1..=10).map(|n| format!("x.part{n:02}.rar")).collect();
        let ten: Vec<(&str, usize)> = ten.iter().map(|n| (n.as_str(), 3)).collect();
        assert_eq!(whole(&ten), ["x.part01-10.rar"]);
        assert_eq!(whole(&[("x.rar", 9), ("x.r00", 9), ("x.r01", 2)]), ["x.rar-r01"]);
        assert_eq!(whole(&[("x.zip", 2), ("x.z01", 9), ("x.z02", 9)]), ["x.z01-zip"]);
    }

    #[test]
    fn files_that_only_look_like_pieces_stay_apart() {
        for files in [
            &[("libx.so.001", 5), ("libx.so.002", 9)][..],
            &[("notes.de", 5), ("notes.fr", 5)],
            &[("a.zip", 5), ("b.z01.txt", 5)],
            &[("a.rar", 5)],
            &[("fw.7z.001", 5)],
            &[("b.001", 5), ("c.002", 5)],
        ] {
            assert_eq!(joined(files), (vec![], vec![]), "{files:?}");
        }
    }

    #[test]
    fn an_input_that_is_a_piece_is_told() {
        for (name, cut, told) in [
            ("fw.7z.001", true, true),
            ("fw.7z.001", false, false),
            ("fw.7z.002", false, true),
            ("fw.bin", true, false),
            ("libx.so.2", true, false),
            ("x.part1.rar", true, true),
            ("x.rar", true, false),
            ("x.r00", false, true),
            ("x.zip", true, false),
        ] {
            assert_eq!(alone(name, cut).is_some(), told, "{name} {cut}");
        }
    }

    #[test]
    fn a_missing_piece_is_named() {
        for (files, name) in [
            (&[("fw.7z.001", 9), ("fw.7z.003", 9)][..], "fw.7z.002"),
            (&[("fw.7z.002", 9), ("fw.7z.003", 9)], "fw.7z.001"),
            (&[("x.part2.rar", 9), ("x.part3.rar", 9)], "x.part1.rar"),
            (&[("x.r00", 9), ("x.r01", 9)], "x.rar"),
            (&[("x.rar", 9), ("x.r01", 9)], "x.r00"),
            (&[("x.z01", 9), ("x.z02", 9)], "x.zip"),
            (&[("x.z02", 9), ("x.zip", 9)], "x.z01"),
            (&[("fw.tar.aa", 9), ("fw.tar.ac", 9)], "fw.tar.ab"),
        ] {
            let (made, problems) = joined(files);
            assert!(made.is_empty() && problems.len() == 1, "{files:?}: {made:?} {problems:?}");
            assert!(problems[0].ends_with(name), "{problems:?}");
        }
    }
}
