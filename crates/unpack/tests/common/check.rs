//! Reading an image back with one format, comparing it with the tree it was
//! made of, and damaging it in many ways.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use proofmark_model::{EntryKind, Problem, Proof, locator::escape};
use proofmark_unpack::{
    budget::Budget,
    format::{Candidate, Entry, Format, Sink},
    formats,
};

use super::tree::{Kind, Tree, noise};

/// What opening gave.
#[derive(Debug)]
pub struct Opened {
    /// The candidate that the probe returned.
    pub candidate: Candidate,
    /// Entries in their order.
    pub entries: Vec<Entry>,
    /// Problems of the container.
    pub problems: Vec<Problem>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// The format of that id.
pub fn format(id: &str) -> &'static dyn Format {
    formats::all()
        .into_iter()
        .find(|f| f.about().id == id)
        .unwrap_or_else(|| panic!("no format `{id}`"))
}

/// Probes `image` at `at` and opens what is found.
pub fn open_at(format: &dyn Format, image: &Bytes, at: usize, budget: &Budget) -> Option<Opened> {
    let mut candidate = format.probe(image, at, budget)?;
    assert!(candidate.length > 0, "a candidate has at least one byte");
    let end = candidate.start.checked_add(candidate.length).unwrap();
    assert!(
        end <= image.len(),
        "candidate {candidate:?} leaves the content of {} bytes",
        image.len()
    );
    let region = image.slice(candidate.start..end);
    let mut sink = Sink::new(budget);
    let decoded = candidate.decoded.take();
    format.open(&region, decoded, budget, &mut sink);
    let (entries, problems, attributes) = (sink.entries, sink.problems, sink.attributes);
    Some(Opened { candidate, entries, problems, attributes })
}

/// Opens `image`, of which all bytes belong to format `id`, expecting no problem and at least `proof`.
pub fn open_clean(id: &str, image: Vec<u8>, proof: Proof) -> Opened {
    let image = Bytes::from(image);
    let opened = open_at(format(id), &image, 0, &Budget::ample())
        .unwrap_or_else(|| panic!("{id} not recognised"));
    assert_eq!(opened.candidate.problems, [], "{id}: problems of the probe");
    assert_eq!(opened.problems, [], "{id}: problems of the container");
    assert!(opened.candidate.proof >= proof, "{id}: proof {:?}", opened.candidate.proof);
    opened
}

/// What a format keeps; anything else is not compared.
#[derive(Debug, Clone, Copy)]
pub struct Keeps {
    /// Permission bits.
    pub mode: bool,
    /// Owner and group.
    pub owner: bool,
    /// Modification time.
    pub mtime: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// Which names are the same file.
    pub hard_links: bool,
    /// Folders have entries of their own.
    pub folders: bool,
}

/// All of it.
pub const ALL: Keeps =
    Keeps { mode: true, owner: true, mtime: true, xattrs: true, hard_links: true, folders: true };

/// Compares `entries` with `tree`, both ways: every node has its entry, every entry its node.
pub fn compare(tree: &Tree, entries: &[Entry], keeps: Keeps) {
    let budget = Budget::ample();
    let mut found = BTreeMap::new();
    for entry in entries.iter().filter(|e| e.kind != EntryKind::Gap) {
        let before = found.insert(entry.path.clone(), entry);
        assert!(before.is_none(), "two entries at {}", escape(&entry.path));
    }
    // Names of one file, by the first of them.
    let mut groups: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for (path, node) in &tree.nodes {
        match &node.kind {
            Kind::File(_) => groups.entry(path).or_default().push(path),
            Kind::Hardlink(target) => groups.entry(target.as_bytes()).or_default().push(path),
            _ => {}
        }
    }
    for (path, node) in &tree.nodes {
        let name = escape(path);
        if node.kind == Kind::Dir && !keeps.folders {
            continue;
        }
        let entry = found.remove(path).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(entry.problems, [], "{name}");
        // A further name stands for the file it names.
        let node = match &node.kind {
            Kind::Hardlink(target) => &tree.nodes[target.as_bytes()],
            _ => node,
        };
        if let EntryKind::Hardlink { target } = &entry.kind {
            assert!(keeps.hard_links, "{name} is a hard link");
            let group = groups.values().find(|g| g.contains(&&path[..])).unwrap();
            assert!(
                group.iter().any(|p| escape(p) == *target && *p != &path[..]),
                "{name} names {target}"
            );
            continue;
        }
        let device = |major: u32, minor: u32| (major, minor);
        match (&node.kind, &entry.kind) {
            (Kind::File(content), EntryKind::File) => {
                assert_eq!(entry.blob.size(), content.len() as u64, "{name}: declared size");
                let loaded = entry.blob.load(&budget);
                assert_eq!(loaded.problems, [], "{name}");
                assert_eq!(loaded.bytes.len(), content.len(), "{name}: size");
                let differs = loaded.bytes.iter().zip(content).position(|(a, b)| a != b);
                assert_eq!(differs, None, "{name}: first byte that differs");
            }
            (Kind::Dir, EntryKind::Directory)
            | (Kind::Fifo, EntryKind::Fifo)
            | (Kind::Socket, EntryKind::Socket) => {}
            (Kind::Symlink(t), EntryKind::Symlink { target }) => {
                assert_eq!(*target, escape(t.as_bytes()), "{name}");
            }
            (Kind::Char(a, b), EntryKind::CharDevice { major, minor })
            | (Kind::Block(a, b), EntryKind::BlockDevice { major, minor }) => {
                assert_eq!(device(*a, *b), device(*major, *minor), "{name}");
            }
            (expected, got) => panic!("{name} is {got:?}, expected {expected:?}"),
        }
        let m = &entry.metadata;
        let link = matches!(node.kind, Kind::Symlink(_));
        if keeps.mode && !link {
            assert_eq!(
                m.mode.map(|m| format!("{m:o}")),
                Some(format!("{:o}", node.mode)),
                "{name}: mode"
            );
        }
        if keeps.owner {
            assert_eq!((m.uid, m.gid), (Some(node.uid), Some(node.gid)), "{name}: owner");
        }
        if keeps.mtime {
            assert_eq!(m.mtime, Some(node.mtime), "{name}: mtime");
        }
        if keeps.xattrs {
            let expected: BTreeMap<_, _> =
                node.xattrs.iter().map(|(k, v)| ((*k).to_owned(), escape(v))).collect();
            let got: BTreeMap<_, _> = m.xattrs.iter().cloned().collect();
            assert_eq!(got, expected, "{name}: xattrs");
        }
    }
    assert!(
        found.is_empty(),
        "entries that nothing explains: {:?}",
        found.keys().map(|p| escape(p)).collect::<Vec<_>>()
    );
    if keeps.hard_links {
        let links = |e: &&Entry| matches!(e.kind, EntryKind::Hardlink { .. });
        let expected: usize = groups.values().map(|g| g.len() - 1).sum();
        assert_eq!(entries.iter().filter(links).count(), expected, "number of hard links");
    }
}

/// Cuts `image` off at 50 places and flips 50 bits of it, one at a time: every reading ends within 5 s,
/// without panic, within its budget, and does not return more than it declares.
pub fn damage(id: &str, image: &[u8]) {
    let format = format(id);
    let places = noise(image.len() as u64, 400);
    let place = |i: usize| {
        let bytes: [u8; 4] = places[4 * i..4 * i + 4].try_into().unwrap();
        u32::from_le_bytes(bytes) as usize % image.len()
    };
    for i in 0..50 {
        // Half of them in the first two blocks, where headers are.
        let cut = if i % 2 == 0 { place(i) } else { place(i) % 8192 % image.len() };
        survive(format, &image[..cut], &format!("{id} cut at {cut:#x}"));
    }
    for i in 50..100 {
        let at = if i % 2 == 0 { place(i) } else { place(i) % 8192 % image.len() };
        let mut flipped = image.to_vec();
        flipped[at] ^= 1 << (i % 8);
        survive(format, &flipped, &format!("{id} bit {} of {at:#x} flipped", i % 8));
    }
}

fn survive(format: &dyn Format, image: &[u8], what: &str) {
    const OUTPUT: u64 = 1 << 28;
    let started = cpu();
    let image = Bytes::copy_from_slice(image);
    let budget = Budget::new(OUTPUT, 100_000, 1 << 30, None);
    if let Some(opened) = open_at(format, &image, 0, &budget) {
        let mut total = 0;
        for entry in &opened.entries {
            let own = Budget::new(1 << 26, 0, 1 << 28, None);
            let loaded = entry.blob.load(&own);
            assert!(loaded.bytes.len() <= 1 << 26, "{what}: over the budget");
            total += loaded.bytes.len() as u64;
            if total > OUTPUT {
                break;
            }
        }
    }
    let took = cpu().saturating_sub(started);
    assert!(took < Duration::from_secs(5), "{what}: took {took:?}");
}

/// Time that this thread has had a processor: what else runs on the machine does not count.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
