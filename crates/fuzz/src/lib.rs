//! Fuzz targets: plain functions from bytes to a description of what happened.
//!
//! There is one target for each registered format, and one each for the cover, locators, classification, the
//! engine as a whole, the decoders of old archivers and of RAR, feeds of advisories, bills of materials and VEX documents (`documents`). A target
//! checks more than the absence of panics: candidates and entries within the input, budgets kept, the same result twice.
//! It panics where one of these does not hold.
//!
//! What a target returns is its *behaviour*: a digest of what it did, without numbers. The mutator of this
//! crate keeps inputs that show a new one, in place of coverage counters, and needs nothing but the compiler.
//! `libfuzzer/` runs the same targets guided by coverage (`cargo xtask fuzz --guided`), which needs a C++ compiler.

#![allow(clippy::missing_panics_doc, reason = "panicking is what a target is for")]

mod codecs;
pub mod corpus;
pub mod differential;
pub mod documents;
pub mod mutants;
pub mod mutate;
mod rar;
pub mod seeds;

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use bytes::Bytes;
use proofmark_model::{EntryKind, Locator, Problem, Proof};
use proofmark_unpack::{
    Input, Limits, Options,
    budget::Budget,
    classify,
    cover::{self, Span},
    format::{Blob, Format, Sink},
    formats, invariants, unpack,
};

/// Runs a target once; the behaviour.
pub type Check = Box<dyn Fn(&[u8]) -> u64 + Send + Sync>;

/// One thing to fuzz.
pub struct Target {
    /// `format-squashfs`, `cover`, ...
    pub name: String,
    /// Runs it once; the behaviour.
    pub check: Check,
    /// Inputs to begin with that need no tool: magics where they belong.
    pub seeds: Vec<Vec<u8>>,
}

/// All targets, by name.
#[must_use]
pub fn targets() -> Vec<Target> {
    let all_magics = || formats::all().into_iter().flat_map(announced).collect::<Vec<_>>();
    let mut targets = vec![
        target("cover", check_cover, vec![vec![0; 64], (0..=255).collect()]),
        target(
            "locator",
            check_locator,
            vec![b"a.img@0x40000:squashfs/etc/passwd#2+0x1..0x5".to_vec()],
        ),
        target("classify", check_classify, vec![b"text\n".to_vec(), vec![0; 2048]]),
        target("engine", check_engine, all_magics()),
    ];
    targets.extend(formats::all().into_iter().map(|format| Target {
        name: format!("format-{}", format.about().id),
        check: Box::new(move |data| check_format(format, data)),
        seeds: announced(format),
    }));
    targets.push(rar::target());
    targets.extend(codecs::targets());
    targets.extend(documents::targets());
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    targets
}

fn target(name: &str, check: fn(&[u8]) -> u64, seeds: Vec<Vec<u8>>) -> Target {
    Target { name: name.to_owned(), check: Box::new(check), seeds }
}

/// Each magic of a format, at its place.
fn announced(format: &dyn Format) -> Vec<Vec<u8>> {
    let seed = |m: &proofmark_unpack::format::Magic| {
        let mut seed = vec![0; m.offset.min(1 << 16)];
        seed.extend_from_slice(m.bytes);
        seed.resize(seed.len().saturating_add(512), 0);
        seed
    };
    format.magics().iter().map(seed).collect()
}

/// What happened, as one number.
#[derive(Default)]
struct Behaviour(DefaultHasher);

impl Behaviour {
    fn saw(&mut self, what: impl Hash) {
        what.hash(&mut self.0);
    }

    /// How many, roughly: 0, 1, 2, 3 to 4, 5 to 8, ...
    fn many(&mut self, n: usize) {
        self.saw(n.checked_ilog2());
    }

    /// Kinds and words, without the numbers in them.
    fn problems(&mut self, problems: &[Problem]) {
        let words: BTreeSet<_> = problems
            .iter()
            .map(|p| {
                (p.kind, p.message.chars().filter(|c| !c.is_ascii_hexdigit()).collect::<String>())
            })
            .collect();
        self.saw(words);
    }
}

const OUTPUT: u64 = 16 << 20;
const ENTRIES: u64 = 5000;

/// Probes at every place a magic implies in the first KiB, opens, and loads every entry.
fn check_format(format: &dyn Format, data: &[u8]) -> u64 {
    let data = Bytes::copy_from_slice(data);
    let mut starts = BTreeSet::from([0]);
    for magic in format.magics() {
        for at in 0..data.len().min(1024) {
            let place = at.saturating_add(magic.offset);
            if data.get(place..place.saturating_add(magic.bytes.len())) == Some(magic.bytes) {
                starts.insert(at);
            }
        }
    }
    let mut behaviour = Behaviour::default();
    for at in starts.into_iter().take(8) {
        let (first, second) = (once(format, &data, at), once(format, &data, at));
        assert!(first == second, "{} is not deterministic", format.about().id);
        if let Some(seen) = first {
            behaviour.saw((seen.proof, seen.attributes));
            behaviour.saw(seen.kinds);
            behaviour.many(seen.names.len());
            behaviour.problems(&seen.problems);
        }
    }
    behaviour.0.finish()
}

/// What one reading gave.
#[derive(PartialEq)]
struct Seen {
    range: (usize, usize),
    proof: Proof,
    names: Vec<Vec<u8>>,
    kinds: BTreeSet<String>,
    contents: u64,
    problems: Vec<Problem>,
    attributes: Vec<String>,
}

fn once(format: &dyn Format, data: &Bytes, at: usize) -> Option<Seen> {
    let id = format.about().id;
    let budget = Budget::new(OUTPUT, ENTRIES, 1 << 28, None);
    let candidate = format.probe(data, at, &budget)?;
    let end = candidate.start.checked_add(candidate.length);
    assert!(candidate.length > 0, "{id}: an empty candidate");
    assert!(end.is_some_and(|e| e <= data.len()), "{id}: a candidate that leaves the content");
    let region = data.slice(candidate.start..end.unwrap_or(0));
    let budget = Budget::new(OUTPUT, ENTRIES, 1 << 28, None);
    let mut sink = Sink::new(&budget);
    format.open(&region, candidate.decoded, &budget, &mut sink);
    assert!(sink.entries.len() as u64 <= ENTRIES, "{id}: more entries than the budget");
    let mut problems = candidate.problems;
    problems.append(&mut sink.problems);
    let mut contents = DefaultHasher::new();
    let mut names = Vec::new();
    let mut kinds = BTreeSet::new();
    let mut left = OUTPUT;

    for entry in sink.entries {
        let budget = Budget::new(left, ENTRIES, 1 << 28, None);
        let loaded = entry.blob.load(&budget);
        if let Blob::Lazy(_) = entry.blob {
            let size = loaded.bytes.len() as u64;
            assert!(size <= left, "{id}: an entry larger than its budget");
            left = left.saturating_sub(size);
        }
        loaded.bytes.hash(&mut contents);
        problems.extend(entry.problems);
        problems.extend(loaded.problems);
        kinds.insert(kind(&entry.kind));
        names.push(entry.path);
    }
    for p in &problems {
        assert!(!p.message.is_empty(), "{id}: a problem without words");
    }
    Some(Seen {
        range: (candidate.start, candidate.length),
        proof: candidate.proof,
        names,
        kinds,
        contents: contents.finish(),
        problems,
        attributes: sink.attributes.into_keys().collect(),
    })
}

/// Spans of four bytes each: start, length, proof, format.
fn check_cover(data: &[u8]) -> u64 {
    let proofs =
        [Proof::MagicOnly, Proof::LengthsConsistent, Proof::DecoderEnded, Proof::ChecksumVerified];
    const FORMATS: [(&str, &[&str]); 4] =
        [("ar", &[]), ("deb", &["ar"]), ("tar", &[]), ("zip", &[])];
    let len = 300;
    let mut spans: Vec<_> = data
        .chunks_exact(4)
        .filter_map(|c| {
            let [start, length, proof, format] = <[u8; 4]>::try_from(c).ok()?;
            let (format, refines) = FORMATS.get(usize::from(format) % FORMATS.len())?;
            Some(Span {
                start: start.into(),
                end: usize::from(start).saturating_add(length.into()),
                proof: *proofs.get(usize::from(proof) % proofs.len())?,
                format,
                refines,
            })
        })
        .collect();
    let chosen = |spans: &[Span<'static>]| -> Vec<_> {
        let c = cover::cover(len, spans);
        assert_eq!(c.regions.len().saturating_add(c.rejected.len()), spans.len());
        let mut at = 0;
        for (start, end) in c.regions.iter().map(|r| (r.start, r.end)) {
            assert!(at <= start && start < end && end <= len);
            at = end;
        }
        let free: usize = cover::gaps(len, &c.regions).iter().map(|(s, e)| e.abs_diff(*s)).sum();
        let used: usize = c.regions.iter().map(|r| r.end.abs_diff(r.start)).sum();
        assert_eq!(free.saturating_add(used), len);
        c.regions.iter().map(|r| (r.start, r.end, spans.get(r.claim).map(|s| s.format))).collect()
    };
    let forward = chosen(&spans);
    spans.reverse();
    assert_eq!(forward, chosen(&spans), "depends on the order of claims");
    let mut behaviour = Behaviour::default();
    behaviour.many(forward.len());
    behaviour.saw(forward.iter().map(|r| r.2).collect::<Vec<_>>());
    behaviour.0.finish()
}

fn check_locator(data: &[u8]) -> u64 {
    let mut behaviour = Behaviour::default();
    let Ok(text) = std::str::from_utf8(data) else { return 0 };
    match text.parse::<Locator>() {
        Ok(locator) => {
            let written = locator.to_string();
            assert_eq!(written.parse::<Locator>().as_ref(), Ok(&locator), "{written}");
            behaviour.many(locator.steps.len());
            behaviour.saw(locator.range.is_some());
        }
        Err(e) => behaviour.saw(std::mem::discriminant(&e)),
    }
    behaviour.0.finish()
}

fn check_classify(data: &[u8]) -> u64 {
    let mut behaviour = Behaviour::default();
    behaviour.saw(classify::plain(data));
    let class = classify::classify(data);
    if let proofmark_model::RegionClass::Opaque { looks, entropy_millibits, .. } = class {
        assert!(entropy_millibits <= 8000);
        behaviour.saw((looks, entropy_millibits.checked_ilog2()));
    }
    behaviour.0.finish()
}

fn check_engine(data: &[u8]) -> u64 {
    let limits = Limits {
        output: 64 << 20,
        artifact_output: 32 << 20,
        content: 16 << 20,
        entries: 2000,
        artifact_entries: 1000,
        depth: 6,
        time: None,
        ..Limits::default()
    };
    let run = |jobs| {
        let options = Options { jobs, limits: limits.clone(), ..Options::default() };
        unpack(Input::bytes("fuzz", data.to_vec()), &options, &())
    };
    let outcome = run(1);
    assert_eq!(invariants::broken(&outcome), Vec::<String>::new());
    assert_eq!(outcome.coverage.total, data.len() as u64);
    assert!(outcome == run(2), "depends on threads");
    let mut behaviour = Behaviour::default();
    behaviour.saw(outcome.artifacts.iter().map(|a| &a.format).collect::<BTreeSet<_>>());
    behaviour.many(outcome.artifacts.len());
    for a in outcome.artifacts.iter().take(50) {
        behaviour.problems(&a.problems);
    }
    behaviour.0.finish()
}

/// Name of the kind, without what it carries.
fn kind(kind: &EntryKind) -> String {
    let text = format!("{kind:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}
