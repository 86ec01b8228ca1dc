//! What tests of formats share: reading a sample through the [`Format`]
//! contract, checking the contract's promises, and damaging samples.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proofmark_model::EntryKind;

use crate::{
    budget::Budget,
    format::{Candidate, Entry, Format, Loaded, Sink},
};

/// A sample that was probed and opened.
pub struct Opened {
    /// The candidate.
    pub candidate: Candidate,
    /// Entries in the order found.
    pub entries: Vec<Entry>,
    /// Attributes.
    pub attributes: std::collections::BTreeMap<String, String>,
    /// Problems of probe and open.
    pub problems: Vec<proofmark_model::Problem>,
}

impl Opened {
    /// The content of the entry of that path.
    #[track_caller]
    pub fn content(&self, path: &str) -> Bytes {
        let entry = self.entries.iter().find(|e| e.path == path.as_bytes());
        let entry = entry.unwrap_or_else(|| panic!("no entry {path} in {:?}", self.names()));
        let Loaded { bytes, problems } = entry.blob.load(&Budget::ample());
        assert!(problems.is_empty(), "{path}: {problems:?}");
        bytes
    }

    /// Paths in order; gaps included.
    pub fn names(&self) -> Vec<String> {
        self.entries.iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect()
    }

    /// Paths that are not gaps.
    pub fn files(&self) -> Vec<String> {
        let files = self.entries.iter().filter(|e| e.kind != EntryKind::Gap);
        files.map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect()
    }

    /// An attribute, or nothing.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// Probes at `at` and opens, checking the promises of the contract.
pub fn open_at(format: &dyn Format, data: &[u8], at: usize) -> Option<Opened> {
    let data = Bytes::copy_from_slice(data);
    let budget = Budget::new(1 << 28, 100_000, 1 << 32, None);
    let candidate = format.probe(&data, at, &budget)?;
    let end = candidate.start.checked_add(candidate.length).expect("no overflow");
    assert!(candidate.length >= 1 && end <= data.len(), "{candidate:?} in {}", data.len());
    let region = data.slice(candidate.start..end);
    let mut sink = Sink::new(&budget);
    format.open(&region, candidate.decoded.clone(), &budget, &mut sink);
    let mut problems = candidate.problems.clone();
    problems.append(&mut sink.problems);
    for entry in &sink.entries {
        assert!(!entry.path.starts_with(b"/"), "{entry:?}");
        let loaded = entry.blob.load(&budget);
        assert!(loaded.bytes.len() as u64 <= entry.blob.size() || entry.blob.size() == 0);
    }
    Some(Opened { candidate, entries: sink.entries, attributes: sink.attributes, problems })
}

/// Probes at the start and opens; panics if it is refused.
#[track_caller]
pub fn open(format: &dyn Format, data: &[u8]) -> Opened {
    open_at(format, data, 0).unwrap_or_else(|| panic!("{} refused", format.about().id))
}

/// The whole sample is one region without problems whose magic is found where it should be.
#[track_caller]
pub fn open_whole(format: &dyn Format, data: &[u8]) -> Opened {
    let magic = |m: &crate::format::Magic| {
        crate::read::slice(data, m.offset, m.bytes.len()) == Some(m.bytes)
    };
    assert!(format.magics().iter().any(magic), "no magic of {} matches", format.about().id);
    let opened = open(format, data);
    assert_eq!(opened.problems, []);
    assert_eq!((opened.candidate.start, opened.candidate.length), (0, data.len()));
    opened
}

/// 50 truncations and 50 flipped bits, plus extremes in each header word: no panic, no overrun, no hang.
pub fn torture(format: &dyn Format, sample: &[u8]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % (bound.max(1) as u64)).unwrap()
    };
    let try_one = |data: &[u8]| {
        let begun = Instant::now();
        for at in [0, 1] {
            open_at(format, data, at);
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "too slow");
    };
    for i in 0..50 {
        let cut = if i % 2 == 0 { random(sample.len()) } else { random(sample.len().min(1024)) };
        try_one(&sample[..cut]);
    }
    for i in 0..50 {
        let mut damaged = sample.to_vec();
        let at = if i % 2 == 0 { random(sample.len()) } else { random(sample.len().min(512)) };
        damaged[at] ^= 1 << random(8);
        try_one(&damaged);
    }
    for at in (0..sample.len().min(256)).step_by(4) {
        for extreme in [0_u32, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
            let mut damaged = sample.to_vec();
            let end = damaged.len().min(at + 4);
            damaged[at..end].copy_from_slice(&extreme.to_be_bytes()[..end - at]);
            try_one(&damaged);
        }
    }
}

/// Runs a tool in `dir`. A missing tool fails the test with the Debian package that has it.
#[track_caller]
pub fn tool(dir: &Path, package: &str, command: &str) -> Vec<u8> {
    let output = Command::new("sh").arg("-ec").arg(command).current_dir(dir).output().expect("sh");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "`{command}` failed (needs: apt-get install {package}): {stderr}"
    );
    output.stdout
}

/// A folder for the files of one test.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary folder")
}

/// Bytes that do not compress and do not repeat, the same each time.
pub fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[1]
    };
    (0..len).map(|_| next()).collect()
}

/// A file of a Debian package (`*` stands for a part that changes with the version), kept between runs in a cache folder outside the repository.
#[track_caller]
pub fn from_debian(package: &str, file: &str) -> Vec<u8> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
    let dir = base.unwrap_or_else(std::env::temp_dir).join("proofmark-tests").join(package);
    let kept = dir.join(file.replace(['/', '*'], "_"));
    // Tests run at the same time; one of them fetches.
    static FETCH: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _lock = FETCH.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Ok(bytes) = std::fs::read(&kept) {
        return bytes;
    }
    let work = scratch();
    tool(
        work.path(),
        "apt dpkg",
        &format!("apt-get download {package} >&2; dpkg-deb --fsys-tarfile *.deb > t.tar"),
    );
    let bytes = tool(work.path(), "tar", &format!("tar -xOf t.tar --wildcards './{file}'"));
    std::fs::create_dir_all(&dir).expect("cache folder");
    let fresh = dir.join(format!("{}.{}", file.replace(['/', '*'], "_"), std::process::id()));
    std::fs::write(&fresh, &bytes).expect("cache file");
    std::fs::rename(&fresh, &kept).expect("cache file");
    bytes
}
