//! Files that were linked into a VxWorks image for its memory device (`memDrv`, built by `memdrvbuild`).
//!
//! A folder is an array of rows of four words of 32 bits in the image's order, pointers being addresses of the running system:
//!
//! | word | of a file | of a folder |
//! |---|---|---|
//! | 0 | pointer to its name | the same |
//! | 1 | pointer to its content | anything |
//! | 2 | 0 | pointer to its rows |
//! | 3 | bytes | rows |
//!
//! Nothing marks the array, so it is proven by what it says. The load address is the one under which the image's symbol
//! table has names (see [`vxworks`]), else the one under which the names of four or more rows of contents
//! that follow each other are the beginnings of texts. Under it a tree counts if each of its pointers lies in the image,
//! each name is a name, and at least three contents lie one behind the other with nothing but alignment between them.
//!
//! *False positives*: another table of names and adjoining areas of the image (none is known). *False negatives*: images
//! whose parts are loaded to places that do not follow each other; fewer than three files; without a symbol table, fewer
//! than four files in each folder. Sources: VxWorks, memDrv.h and memDrv.c; the manual's pages of memDrv and memdrvbuild.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Range,
};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof};

use super::vxworks::{self, LARGEST, MARK};
use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Format, Magic, Sink},
    formats::layout::{Layout, about},
    read::{self, Order},
};

/// The format.
pub struct MemFs;

static ABOUT: &About = about!(
    Boot,
    "vxworks-memfs",
    "VxWorks files of the memory device (memDrv)",
    "paths",
    "pointers and lengths of all files agree",
    "images with addresses of 64 bits, inside an ELF program, or in parts loaded apart; fewer than three files; images above 64 MiB",
    "VxWorks, memDrv.h and memDrv.c",
    "VxWorks manual, memdrvbuild"
);

const ROW: usize = 16;
/// Files that prove a tree, and rows that give the load address away.
const LEAST: usize = 3;
const CHAIN: usize = 4;
/// Bytes that may stand between two contents.
const ALIGNMENT: usize = 64;
/// Rows of one image, folders in folders, chains that are tried.
const MOST: usize = 1 << 16;
const DEPTH: usize = 32;
const TRIES: usize = 8;

/// An image whose load address is known.
struct Image<'a> {
    data: &'a [u8],
    order: Order,
    base: u32,
}

enum Kind {
    File(Range<usize>),
    /// Where its rows begin, and how many there are.
    Folder(usize, usize),
}

impl<'a> Image<'a> {
    fn word(&self, at: usize, n: usize) -> Option<u32> {
        self.order.u32(self.data, at.checked_add(n.checked_mul(4)?)?)
    }

    /// The place that a pointer means.
    fn place(&self, pointer: u32) -> Option<usize> {
        let at = pointer.checked_sub(self.base)? as usize;
        (at < self.data.len()).then_some(at)
    }

    /// A range from a pointer on.
    fn range(&self, pointer: u32, length: usize) -> Option<Range<usize>> {
        let start = self.place(pointer)?;
        let end = start.checked_add(length)?;
        (end <= self.data.len()).then_some(start..end)
    }

    /// The row at `at`, if its pointers lead somewhere.
    fn row(&self, at: usize) -> Option<(&'a [u8], Kind)> {
        let name = self.place(self.word(at, 0)?)?;
        let (content, folder, count) = (self.word(at, 1)?, self.word(at, 2)?, self.word(at, 3)?);
        let count = count as usize;
        let kind = if folder == 0 {
            Kind::File(self.range(content, count)?)
        } else {
            let rows = self.range(folder, count.checked_mul(ROW)?)?;
            if rows.start % 4 != 0 || count > MOST {
                return None;
            }
            Kind::Folder(rows.start, count)
        };
        let rest = self.data.get(name..)?;
        let name = rest.get(..memchr::memchr(0, rest.get(..rest.len().min(256))?)?)?;
        let named =
            name.iter().any(|b| *b != b'/') && name.iter().all(|b| matches!(b, b' '..=b'~'));
        named.then_some((name, kind))
    }

    /// All rows of the image that make sense by themselves.
    fn rows(&self) -> Option<BTreeSet<usize>> {
        let mut found = BTreeSet::new();
        for at in (0..self.data.len()).step_by(4) {
            if self.row(at).is_some() {
                found.insert(at);
                if found.len() > MOST {
                    return None;
                }
            }
        }
        Some(found)
    }

    /// The arrays that no folder points to: where they begin and how many rows they have.
    fn roots(&self) -> Vec<(usize, usize)> {
        let rows = self.rows().unwrap_or_default();
        let mut inner = HashSet::new();
        for at in &rows {
            if let Some((_, Kind::Folder(start, count))) = self.row(*at) {
                let end = start.saturating_add(count.saturating_mul(ROW));
                let all = (start..end).step_by(ROW);
                if inner.len() < MOST && all.clone().all(|row| rows.contains(&row)) {
                    inner.extend(all);
                }
            }
        }
        let free = |at: usize| rows.contains(&at) && !inner.contains(&at);
        let mut roots = Vec::new();
        for start in rows.iter().copied().filter(|at| free(*at)) {
            if start.checked_sub(ROW).is_some_and(free) {
                continue;
            }
            let count = (start..self.data.len()).step_by(ROW).take_while(|at| free(*at)).count();
            roots.push((start, count));
        }
        roots
    }
}

/// A tree of files: paths with contents (none for folders), and the arrays it is told by.
#[derive(Default)]
struct Tree {
    files: Vec<(Vec<u8>, Option<Range<usize>>)>,
    arrays: Vec<Range<usize>>,
}

impl Tree {
    /// Adds `count` rows from `start` on and what is below them. None where something does not agree.
    fn add(&mut self, image: &Image<'_>, start: usize, count: usize, path: &[u8]) -> Option<()> {
        let depth = path.iter().filter(|b| **b == b'/').count();
        let end = start.checked_add(count.checked_mul(ROW)?)?;
        // An array that was seen already leads in a circle.
        if depth > DEPTH || self.arrays.iter().any(|a| a.start < end && start < a.end) {
            return None;
        }
        self.arrays.push(start..end);
        for at in (start..end).step_by(ROW) {
            let (name, kind) = image.row(at)?;
            let name = name.get(name.iter().take_while(|b| **b == b'/').count()..)?;
            let path = [path, name].concat();
            if self.files.len() >= MOST || path.len() > 4096 {
                return None;
            }
            match kind {
                Kind::File(content) => self.files.push((path, Some(content))),
                Kind::Folder(rows, count) => {
                    self.files.push((path.clone(), None));
                    if count > 0 {
                        self.add(image, rows, count, &[&path[..], b"/"].concat())?;
                    }
                }
            }
        }
        Some(())
    }

    /// Whether contents lie one behind the other, alignment and arrays between them.
    fn is_proven(&self) -> bool {
        let mut files: Vec<_> =
            self.files.iter().filter_map(|f| f.1.clone()).filter(|f| !f.is_empty()).collect();
        files.sort_by_key(|f| f.start);
        let between = |from: usize, to: usize| {
            let arrays = self.arrays.iter().filter(|a| from <= a.start && a.end <= to);
            to.checked_sub(from)?.checked_sub(arrays.map(Range::len).sum())
        };
        let adjoin = |pair: &[Range<usize>]| {
            let [one, two] = pair else { return false };
            between(one.end, two.start).is_some_and(|gap| gap <= ALIGNMENT)
        };
        let paths: HashSet<_> = self.files.iter().map(|f| &f.0).collect();
        files.len() >= LEAST && paths.len() == self.files.len() && files.windows(2).all(adjoin)
    }
}

/// Rows of files whose contents follow each other, wherever the image is loaded: the names they point to.
fn chain(data: &[u8], start: usize, order: Order, budget: &Budget) -> Option<BTreeSet<u32>> {
    let mut names = BTreeSet::new();
    let mut end: Option<u32> = None;
    let mut at = start;
    loop {
        let word = |n: usize| order.u32(data, at.checked_add(n)?);
        let Some([name, content, folder, length]) =
            (|| Some([word(0)?, word(4)?, word(8)?, word(12)?]))()
        else {
            break;
        };
        let follows = end.is_none_or(|end| {
            content.checked_sub(end).is_some_and(|gap| gap as usize <= ALIGNMENT)
        });
        let whole = name != 0 && content != 0 && folder == 0 && length != 0;
        if !whole || !follows || length as usize > data.len() {
            break;
        }
        names.insert(name);
        end = content.checked_add(length);
        if end.is_none() {
            break;
        }
        at = at.checked_add(ROW)?;
        budget.work(ROW as u64).ok()?;
    }
    (names.len() >= CHAIN).then_some(names)
}

/// The byte order and what has to be added to a place to get its address.
fn load_address(data: &[u8], budget: &Budget) -> Option<(Order, u32)> {
    if let Some(known) = vxworks::load_address(data) {
        return Some(known);
    }
    let mut tries = 0_usize;
    let mut at = 0_usize;
    while at < data.len() && tries < TRIES {
        for order in [Order::Big, Order::Little] {
            if let Some(names) = chain(data, at, order, budget) {
                tries = tries.saturating_add(1);
                budget.work(data.len() as u64).ok()?;
                if let Some(base) = vxworks::base(data, &names) {
                    return Some((order, base));
                }
            }
        }
        at = at.checked_add(4)?;
    }
    None
}

/// The trees of an image and the range they take.
fn trees(image: &Image<'_>) -> Option<(Range<usize>, Tree)> {
    let mut all = Tree::default();
    let roots: Vec<_> = image
        .roots()
        .into_iter()
        .filter_map(|(start, count)| {
            let mut tree = Tree::default();
            tree.add(image, start, count, b"")?;
            tree.is_proven().then_some((start, tree))
        })
        .collect();
    let several = roots.len() > 1;
    for (start, tree) in roots {
        // Where each of several is mounted is said by the program only.
        let below = if several { format!("{start:#x}/").into_bytes() } else { Vec::new() };
        all.arrays.extend(tree.arrays);
        all.files.extend(tree.files.into_iter().map(|(path, f)| ([&below[..], &path].concat(), f)));
    }
    let places = || all.files.iter().filter_map(|f| f.1.as_ref()).chain(&all.arrays);
    let start = places().map(|p| p.start).min()?;
    let end = places().map(|p| p.end).max()?;
    Some((start..end, all))
}

/// Rows of the list that goes from `probe` to `open`: what lies outside of the region is needed for the paths.
fn write(tree: &Tree, region: usize) -> Vec<u8> {
    let mut list = Vec::new();
    let mut row = |kind: u8, range: &Range<usize>, path: &[u8]| {
        list.push(kind);
        for word in [range.start.saturating_sub(region), range.len(), path.len()] {
            list.extend(u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
        }
        list.extend(path);
    };
    tree.arrays.iter().for_each(|array| row(0, array, b""));
    for (path, content) in &tree.files {
        match content {
            Some(content) => row(1, content, path),
            None => row(2, &(region..region), path),
        }
    }
    list
}

/// Kind, place, length and path of the row at `at` of the list, and where the next one begins.
fn listed(list: &[u8], at: usize) -> Option<(u8, u32, u32, &[u8], usize)> {
    let word = |n: usize| read::le32(list, at.checked_add(n)?);
    let path = at.checked_add(13)?;
    let len = word(9)? as usize;
    Some((
        read::u8(list, at)?,
        word(1)?,
        word(5)?,
        read::slice(list, path, len)?,
        path.checked_add(len)?,
    ))
}

impl Format for MemFs {
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
        budget.work((data.len() / 2) as u64).ok()?;
        let (order, base) = load_address(data, budget)?;
        let (range, tree) = trees(&Image { data, order, base })?;
        let list = write(&tree, range.start);
        budget.output(list.len() as u64).ok()?;
        let mut found = Candidate::new(range.start, range.len(), Proof::LengthsConsistent);
        found.decoded = Some(list.into());
        Some(found)
    }

    fn open(&self, region: &Bytes, list: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("os", "vxworks");
        let Some(list) = list else {
            let text = "the list of files was dropped to save memory";
            return sink.problem(Problem::new(ProblemKind::Budget, text));
        };
        let mut layout = Layout::new(region, region.len() as u64, Proof::LengthsConsistent);
        layout.align(ALIGNMENT);
        let (mut at, mut files) = (0, 0_usize);
        while let Some((kind, start, len, path, next)) = listed(&list, at) {
            at = next;
            let place = start as usize..(start as usize).saturating_add(len as usize);
            match kind {
                0 => layout.structure(place.start, place.len()),
                1 => {
                    files = files.saturating_add(1);
                    let content = region.get(place.clone()).map(|_| region.slice(place.clone()));
                    let blob = Blob::Bytes(content.unwrap_or_default());
                    layout.entry(place, Entry::file(path, blob));
                }
                _ => layout.entry(
                    place,
                    Entry {
                        kind: EntryKind::Directory,
                        metadata: Metadata::default(),
                        ..Entry::file(path, Blob::None)
                    },
                ),
            }
        }
        layout.attribute("files", files);
        layout.emit(region, budget, sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, torture};

    const BASE: u32 = 0x8000_1000;

    /// An image with a tree of files in the order given; each word passes `change`, which sees the row and the word.
    fn build(order: Order, change: impl Fn(usize, usize, u32) -> u32) -> Vec<u8> {
        let put = |image: &mut Vec<u8>, word: u32| {
            image.extend(if order == Order::Big { word.to_be_bytes() } else { word.to_le_bytes() });
        };
        let mut image = noise(1003, 3);
        image.extend(b"\0\0WIND version 2.6\0");
        let names = ["index.html", "logo.gif", "cgi", "help", "a.js", "main.css", "top page.html"];
        let names: Vec<_> = names
            .iter()
            .map(|name| {
                let at = image.len();
                image.extend(name.bytes().chain([0]));
                at
            })
            .collect();
        image.extend(noise(5000, 4));
        let mut content = |len: usize, seed: u32| {
            image.resize(image.len().next_multiple_of(4), 0);
            image.extend(noise(len, seed));
            (image.len() - len, len)
        };
        let (index, logo, script, style, help) =
            (content(301, 5), content(44, 6), content(77, 7), content(130, 8), content(2, 9));
        image.resize(image.len().next_multiple_of(4), 0);
        let at = image.len();
        let folder = (0, 0);
        // The rows of `help`, then those of the root, then those of `cgi`, which is empty.
        let rows = [
            (0, help, None),
            (6, help, Some((at, 0))),
            (0, index, None),
            (1, logo, None),
            (4, script, None),
            (5, style, None),
            (2, folder, Some((at + 7 * ROW, 0))),
            (3, folder, Some((at, 1))),
        ];
        for (n, (name, (from, len), below)) in rows.into_iter().enumerate() {
            if n == 1 {
                continue;
            }
            let address = |place: usize| BASE + u32::try_from(place).unwrap();
            let words = match below {
                None => [address(names[name]), address(from), 0, u32::try_from(len).unwrap()],
                Some((rows, count)) => [address(names[name]), 0, address(rows), count],
            };
            for (w, word) in words.into_iter().enumerate() {
                put(&mut image, change(n, w, word));
            }
        }
        image.extend(noise(100, 10));
        image
    }

    fn found(image: &[u8]) -> Option<crate::formats::testing::Opened> {
        open_at(&MemFs, image, memchr::memmem::find(image, MARK).unwrap())
    }

    #[test]
    fn trees_are_read_in_both_orders() {
        for order in [Order::Big, Order::Little] {
            let image = build(order, |_, _, word| word);
            let opened = found(&image).unwrap();
            let mut files = opened.files();
            files.sort();
            let all =
                ["a.js", "cgi", "help", "help/index.html", "index.html", "logo.gif", "main.css"];
            assert_eq!(files, all);
            assert_eq!(opened.content("index.html"), noise(301, 5));
            assert_eq!(opened.content("help/index.html"), noise(2, 9));
            assert_eq!(opened.content("main.css"), noise(130, 8));
            assert_eq!((opened.problems.len(), opened.attribute("files")), (0, "5"));
            assert!(opened.names().len() == all.len(), "bytes are left: {:?}", opened.names());
        }
        let image = build(Order::Big, |_, _, word| word);
        torture(&MemFs, &image[memchr::memmem::find(&image, MARK).unwrap()..]);
    }

    /// The address that the symbol table gives away is enough, where each folder has few files.
    #[test]
    fn symbols_give_the_load_address() {
        let mut image = vxworks::tests::build(true, 16);
        let at = image.len();
        image.resize(at.next_multiple_of(4), 0);
        let at = image.len();
        image.extend(b"one\0two\0six\0");
        image.extend(noise(90, 1));
        image.extend([0, 0]);
        for (name, from, len) in [(0, 12, 30), (4, 42, 30), (8, 72, 30)] {
            for word in [BASE as usize + at + name, BASE as usize + at + from, 0, len] {
                image.extend(u32::try_from(word).unwrap().to_be_bytes());
            }
        }
        let opened = found(&image).unwrap();
        assert_eq!(opened.files(), ["one", "two", "six"]);
        assert_eq!(opened.content("two"), noise(90, 1)[30..60]);
    }

    /// Tables that look alike, or do not agree with the image, are none.
    #[test]
    fn without_proof_nothing_is_claimed() {
        let changes: [&dyn Fn(usize, usize, u32) -> u32; 6] = [
            // Names elsewhere than texts begin.
            &|_, w, word| if w == 0 { word + 1 } else { word },
            // Contents apart from each other, as functions of commands are.
            &|_, w, word| if w == 3 && word > 9 { 1 } else { word },
            // A content behind the image's end.
            &|n, w, word| if n == 5 && w == 3 { 1 << 20 } else { word },
            // A folder in itself.
            &|n, w, word| if n == 7 && w == 2 { word + 96 } else { word },
            // Two files of one name.
            &|n, w, word| if n == 3 && w == 0 { word - 11 } else { word },
            // A load address that does not fit.
            &|_, w, word| if w < 3 && word > 0 { word ^ 0x1000_0000 } else { word },
        ];
        for (n, change) in changes.iter().enumerate().take(5) {
            let image = build(Order::Big, change);
            assert!(found(&image).is_none_or(|f| n == 2 && f.attribute("files") != "5"), "{n}");
        }
        // Another address is as good as this one.
        assert!(found(&build(Order::Big, changes[5])).is_some());
    }
}
