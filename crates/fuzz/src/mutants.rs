//! Damaged copies of every sample, through the whole engine: cut off, bits flipped, pieces of other samples put
//! in, length fields set to extremes. What counts: no panic, no hang, no budget overrun, and how much of
//! the undamaged content is still recovered; beside other tools on the same mutants.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use proofmark_model::{Digest, EntryKind};
use proofmark_unpack::{Input, Limits, Options, Outcome, invariants, unpack};

use crate::{mutate::Random, seeds};

/// Longer than this is a hang.
pub const HANG: Duration = Duration::from_secs(10);

/// A damaged copy.
#[derive(Debug)]
pub struct Mutant {
    /// The sample it was made of.
    pub sample: usize,
    /// What was done to it.
    pub how: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a tool made of the mutants it was given.
#[derive(Debug, Default)]
pub struct Score {
    /// Mutants tried.
    pub tried: u32,
    /// Panics, or deaths by a signal.
    pub crashes: u32,
    /// Runs longer than [`HANG`].
    pub hangs: u32,
    /// Runs that broke a bound or an invariant.
    pub overruns: u32,
    /// Sum of the shares of original content that came out, in thousandths.
    pub recovered: u64,
    /// Mutants of which something was lost.
    pub lossy: u32,
    /// Of those, how many the tool said something about: a problem, or an exit status.
    pub told: u32,
    /// The slowest run.
    pub slowest: Duration,
    /// The first failures, in words.
    pub failures: Vec<String>,
    /// Losses about which the engine said nothing: format and damage.
    pub silent: Vec<(String, String)>,
}

impl Score {
    /// Mean share of the original content that came out, in percent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.recovered as f64 / 10.0 / f64::from(self.tried.max(1))
    }

    fn add(&mut self, share: u64, told: bool, taken: Duration) {
        self.tried = self.tried.saturating_add(1);
        self.recovered = self.recovered.saturating_add(share);
        self.slowest = self.slowest.max(taken);
        self.hangs = self.hangs.saturating_add(u32::from(taken > HANG));
        if share < 1000 {
            self.lossy = self.lossy.saturating_add(1);
            self.told = self.told.saturating_add(u32::from(told));
        }
    }
}

/// A sample and what is in it.
#[derive(Debug)]
pub struct Sample {
    /// Its format.
    pub format: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Files inside, with their sizes; what a tool should give.
    pub content: BTreeMap<Digest, u64>,
}

/// All samples that the installed tools make, and a nest of them.
///
/// # Errors
/// When no temporary folder can be written.
pub fn samples() -> io::Result<Vec<Sample>> {
    let made = seeds::made()?;
    let mut all: Vec<Sample> = Vec::new();
    for (format, images) in made.images {
        for bytes in images {
            let content = content(&run(&bytes));
            // Programs and the like have nothing inside.
            if !content.is_empty() {
                all.push(Sample { format, bytes, content });
            }
        }
    }
    Ok(all)
}

/// `count` mutants, the samples and the kinds of damage in turn.
#[must_use]
pub fn mutants(samples: &[Sample], count: usize, seed: u64) -> Vec<Mutant> {
    let mut random = Random(seed);
    let mut all = Vec::new();
    for n in 0..count {
        let Some(index) = n.checked_rem(samples.len()) else { break };
        let Some(sample) = samples.get(index) else { break };
        let mut bytes = sample.bytes.clone();
        let len = bytes.len();
        // Half of the damage where headers are.
        let mut place = || {
            if random.number() & 1 == 0 { random.below(len.min(1024)) } else { random.below(len) }
        };
        let kind = n.checked_div(samples.len()).unwrap_or(0) % 4;
        let how = match kind {
            0 => {
                let end = place().max(random.below(len));
                bytes.truncate(end);
                format!("cut at {end}")
            }
            1 => {
                let places: Vec<_> = (0..3).map(|_| place()).collect();
                for at in &places {
                    if let Some(b) = bytes.get_mut(*at) {
                        *b ^= 1 << (at & 7);
                    }
                }
                format!("bits flipped at {places:?}")
            }
            2 => {
                let at = place();
                let other = samples.get(random.below(samples.len())).map_or(&[][..], |s| &s.bytes);
                let from = random.below(other.len());
                let piece = other.get(from..).unwrap_or_default();
                let piece = piece
                    .get(..piece.len().min(random.below(4096).saturating_add(1)))
                    .unwrap_or_default();
                let end = at.saturating_add(piece.len()).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
                format!("{} bytes of another sample at {at}", piece.len())
            }
            _ => {
                let at = place() & !3;
                let extremes = [0, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX, 0xFFFF, 0x7FFF];
                let value = extremes.get(random.below(extremes.len())).copied().unwrap_or(0);
                let field = if random.number() & 1 == 0 {
                    value.to_le_bytes()
                } else {
                    value.to_be_bytes()
                };
                if let Some(target) = bytes.get_mut(at..at.saturating_add(4)) {
                    target.copy_from_slice(&field);
                }
                format!("{value:#x} at {at}")
            }
        };
        all.push(Mutant { sample: index, how, bytes });
    }
    all
}

fn limits() -> Limits {
    Limits {
        output: 1 << 30,
        artifact_output: 512 << 20,
        content: 256 << 20,
        entries: 100_000,
        time: None,
        ..Limits::default()
    }
}

fn run(bytes: &[u8]) -> Outcome {
    let options = Options { jobs: 1, limits: limits(), ..Options::default() };
    unpack(Input::bytes("sample", bytes.to_vec()), &options, &())
}

/// Files that have a content, by digest.
fn content(outcome: &Outcome) -> BTreeMap<Digest, u64> {
    let files = outcome.artifacts.iter().filter(|a| a.entry == EntryKind::File && a.size > 0);
    files.filter_map(|a| Some((a.sha256?, a.size))).collect()
}

/// Thousandths of the sample's content that are in `found`.
fn share(sample: &Sample, found: &BTreeSet<Digest>) -> u64 {
    let all: u64 = sample.content.values().sum();
    let there: u64 = sample.content.iter().filter(|(d, _)| found.contains(d)).map(|(_, n)| n).sum();
    there.saturating_mul(1000).checked_div(all).unwrap_or(0)
}

/// Runs the engine on all mutants.
#[must_use]
pub fn score(samples: &[Sample], mutants: &[Mutant]) -> Score {
    let mut score = Score::default();
    for mutant in mutants {
        let Some(sample) = samples.get(mutant.sample) else { continue };
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&mutant.bytes)));
        let taken = began.elapsed();
        let Ok(outcome) = outcome else {
            score.crashes = score.crashes.saturating_add(1);
            score.failures.push(format!("{}, {}: panicked", sample.format, mutant.how));
            continue;
        };
        // The engine catches what a reader does; that is a panic all the same.
        let problems: Vec<_> = outcome.artifacts.iter().flat_map(|a| &a.problems).collect();
        if problems.iter().any(|p| p.message.contains("internal error")) {
            score.crashes = score.crashes.saturating_add(1);
            score.failures.push(format!("{}, {}: a reader panicked", sample.format, mutant.how));
        }
        let decoded: u64 = outcome.artifacts.iter().map(|a| a.size).fold(0, u64::saturating_add);
        let bound = limits();
        let broken = invariants::broken(&outcome);
        let over = outcome.artifacts.len() as u64 > bound.entries
            || outcome.coverage.total != mutant.bytes.len() as u64
            || decoded > bound.output.saturating_mul(8);
        if over || !broken.is_empty() {
            score.overruns = score.overruns.saturating_add(1);
            score.failures.push(format!("{}, {}: {broken:?}", sample.format, mutant.how));
        }
        let found: BTreeSet<_> = outcome.artifacts.iter().filter_map(|a| a.sha256).collect();
        // Damage also shows as bytes that no format claims.
        let told = !problems.is_empty() || outcome.coverage.opaque > 0;
        let share = share(sample, &found);
        if share < 1000 && !told {
            score.silent.push((sample.format.to_string(), mutant.how.clone()));
        }
        score.add(share, told, taken);
    }
    score
}

/// Runs another tool on mutants: `command` with `$IN` and `$OUT`, in a shell.
///
/// # Errors
/// When no temporary folder can be written.
pub fn score_tool(command: &str, samples: &[Sample], mutants: &[&Mutant]) -> io::Result<Score> {
    let mut score = Score::default();
    for mutant in mutants {
        let Some(sample) = samples.get(mutant.sample) else { continue };
        let dir = tempfile::tempdir()?;
        let (input, out) = (dir.path().join("sample.bin"), dir.path().join("out"));
        fs::write(&input, &mutant.bytes)?;
        fs::create_dir(&out)?;
        let began = Instant::now();
        let status = Command::new("sh")
            .args(["-c", &format!("timeout -k 5 60 {command}")])
            .env("IN", &input)
            .env("OUT", &out)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        let taken = began.elapsed();
        let code = status.code();
        if code.is_none_or(|c| c > 128) {
            score.crashes = score.crashes.saturating_add(1);
        }
        let mut found = BTreeSet::new();
        collect(&out, 0, &mut found)?;
        score.add(share(sample, &found), code != Some(0), taken);
    }
    Ok(score)
}

fn collect(folder: &Path, depth: u32, found: &mut BTreeSet<Digest>) -> io::Result<()> {
    if depth > 40 {
        return Ok(());
    }
    for entry in fs::read_dir(folder)?.flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            // Tools leave folders that they may not read themselves.
            let _ = collect(&entry.path(), depth.saturating_add(1), found);
        } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() < 64 << 20) {
            found.extend(fs::read(entry.path()).ok().map(|bytes| Digest::of(&bytes)));
        }
    }
    Ok(())
}
