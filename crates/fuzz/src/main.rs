//! The mutator: `proofmark-fuzz [--seconds N] [--seed N] [--corpus DIR] [TARGET...]`.
//!
//! Runs each target for so many seconds, keeping inputs with a new behaviour. A failure
//! is written to `DIR/failures/TARGET-DIGEST` and ends in exit status 1. `--export DIR` runs nothing and writes
//! the inputs each target begins with, one file each, for a fuzzer guided by coverage; `--import DIR` takes what
//! such a fuzzer kept into the corpus.

#![allow(clippy::print_stdout, clippy::exit, reason = "a tool of the repository")]

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use proofmark_fuzz::{
    Target, corpus,
    mutate::{self, Random},
    seeds, targets,
};
use proofmark_model::Digest;

/// A run of a target that takes longer is a failure.
const SLOW: Duration = Duration::from_secs(5);
/// One that takes as long as this does not end.
const HUNG: Duration = Duration::from_secs(30);
/// Inputs kept in memory for one target.
const KEPT: usize = 4096;

struct Arguments {
    seconds: u64,
    seed: u64,
    corpus: PathBuf,
    /// Write what is small and behaves in a way of its own back to the corpus.
    keep: bool,
    /// Only write the inputs to begin with.
    export: Option<PathBuf>,
    /// Only take these inputs into the corpus.
    import: Option<PathBuf>,
    names: Vec<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments {
        seconds: 10,
        seed: 1,
        corpus: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")),
        keep: false,
        export: None,
        import: None,
        names: Vec::new(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("not a number: {text}"));
        match argument.as_str() {
            "--seconds" => parsed.seconds = number(value()?)?,
            "--seed" => parsed.seed = number(value()?)?,
            "--keep" => parsed.keep = true,
            "--export" => parsed.export = Some(value()?.into()),
            "--import" => parsed.import = Some(value()?.into()),
            "--corpus" => parsed.corpus = value()?.into(),
            "--list" => {
                targets().iter().for_each(|t| println!("{}", t.name));
                std::process::exit(0);
            }
            _ if argument.starts_with('-') => return Err(format!("unknown option {argument}")),
            _ => parsed.names.push(argument),
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(e) => {
            println!(
                "{e}\nproofmark-fuzz [--seconds N] [--seed N] [--corpus DIR] [--keep] [--export DIR] [--import DIR] [--list] [TARGET...]"
            );
            return ExitCode::from(2);
        }
    };
    let all = targets();
    if let Some(unknown) = arguments.names.iter().find(|n| !all.iter().any(|t| t.name == **n)) {
        println!("no target {unknown}; --list names them");
        return ExitCode::from(2);
    }
    let made = match seeds::made() {
        Ok(made) => made,
        Err(e) => {
            println!("seeds could not be made: {e}");
            return ExitCode::FAILURE;
        }
    };
    if !made.missing.is_empty() {
        let packages: Vec<_> = made.missing.iter().copied().collect();
        println!("no seeds from these Debian packages: {}", packages.join(" "));
    }
    let watch = Watch::start(arguments.corpus.join("failures"));
    let mut failed = false;
    let runs = arguments.export.is_none() && arguments.import.is_none();
    if runs {
        heading();
    }
    for target in &all {
        if !arguments.names.is_empty() && !arguments.names.contains(&target.name) {
            continue;
        }
        if let Some(folder) = &arguments.import {
            let pool = files(&folder.join(&target.name));
            if !pool.is_empty()
                && let Err(e) = corpus::write(&arguments.corpus, &target.name, pool)
            {
                println!("{}: {e}", target.name);
                failed = true;
            }
            continue;
        }
        let inputs = inputs(target, &made, &arguments.corpus);
        failed |= match &arguments.export {
            Some(folder) => !export(&folder.join(&target.name), &inputs),
            None => !fuzz(target, inputs, &arguments, &watch),
        };
    }
    ExitCode::from(u8::from(failed))
}

fn heading() {
    println!(
        "{:<28} {:>10} {:>8} {:>10} {:>10} {:>8}",
        "target", "runs", "runs/s", "behaviours", "last new", "slowest"
    );
}

/// What a target begins with: magics, images made by the real tools, the kept corpus.
fn inputs(target: &Target, made: &seeds::Made, corpus: &Path) -> Vec<Vec<u8>> {
    let mut inputs = target.seeds.clone();
    match target.name.strip_prefix("format-") {
        Some(id) => inputs.extend(made.images.get(id).cloned().unwrap_or_default()),
        None if target.name == "engine" => inputs.extend(made.images.values().flatten().cloned()),
        None => {}
    }
    inputs.extend(corpus::read(corpus, &target.name));
    inputs
}

/// Writes one file for each input; whether that worked.
fn export(folder: &Path, inputs: &[Vec<u8>]) -> bool {
    let write = || {
        fs::create_dir_all(folder)?;
        inputs.iter().try_for_each(|i| fs::write(folder.join(Digest::of(i).short()), i))
    };
    let result: std::io::Result<()> = write();
    if let Err(e) = &result {
        println!("{}: {e}", folder.display());
    }
    result.is_ok()
}

/// Contents of the files of a folder; none where it is not there.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read(entry.path()).ok()).collect()
}

fn fuzz(target: &Target, inputs: Vec<Vec<u8>>, arguments: &Arguments, watch: &Watch) -> bool {
    let start = Instant::now();
    let end = Duration::from_secs(arguments.seconds);
    let mut random = Random(arguments.seed);
    let mut behaviours = BTreeSet::new();
    let mut pool: Vec<Vec<u8>> = Vec::new();
    let (mut runs, mut newest) = (0_u64, 0_u64);
    let mut slowest = Duration::ZERO;
    let mut pending = inputs;
    pending.push(Vec::new());
    pending.reverse();
    loop {
        let input = match pending.pop() {
            Some(input) => input,
            None if start.elapsed() >= end => break,
            None => {
                let empty = Vec::new();
                let pick = |r: &mut Random| pool.get(r.below(pool.len())).unwrap_or(&empty).clone();
                let (data, other) = (pick(&mut random), pick(&mut random));
                mutate::mutate(&data, &other, &mut random)
            }
        };
        watch.begin(&target.name, &input);
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (target.check)(&input)));
        let taken = began.elapsed();
        watch.end();
        runs = runs.saturating_add(1);
        slowest = slowest.max(taken);
        match result {
            Ok(behaviour) if taken < SLOW => {
                if behaviours.insert(behaviour) {
                    newest = runs;
                    if pool.len() < KEPT {
                        pool.push(input);
                    }
                }
            }
            failure => {
                let what = if failure.is_err() { "panicked" } else { "took too long" };
                let path = watch.keep(&target.name, &input);
                println!("{} {what} ({taken:?}); input kept as {}", target.name, path.display());
                return false;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64().max(0.001);
    println!(
        "{:<28} {runs:>10} {:>8.0} {:>10} {newest:>10} {:>6}ms",
        target.name,
        runs as f64 / seconds,
        behaviours.len(),
        slowest.as_millis()
    );
    if arguments.keep
        && let Err(e) = corpus::write(&arguments.corpus, &target.name, pool)
    {
        println!("{}: {e}", target.name);
        return false;
    }
    true
}

/// When a run began, of which target, on what.
type Running = Option<(Instant, String, Vec<u8>)>;

/// Ends the process when a run does not.
struct Watch {
    current: Arc<Mutex<Running>>,
    failures: PathBuf,
}

impl Watch {
    fn start(failures: PathBuf) -> Self {
        let watch = Self { current: Arc::default(), failures };
        let (current, failures) = (watch.current.clone(), watch.failures.clone());
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let current = current.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((began, name, input)) = current.as_ref()
                    && began.elapsed() > HUNG
                {
                    let path = keep(&failures, name, input);
                    println!("{name} does not end; input kept as {}", path.display());
                    std::process::exit(1);
                }
            }
        });
        watch
    }

    fn begin(&self, name: &str, input: &[u8]) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), name.to_owned(), input.to_vec()));
    }

    fn end(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn keep(&self, name: &str, input: &[u8]) -> PathBuf {
        keep(&self.failures, name, input)
    }
}

fn keep(folder: &Path, name: &str, input: &[u8]) -> PathBuf {
    let path = folder.join(format!("{name}-{}", Digest::of(input).short()));
    if let Err(e) = fs::create_dir_all(folder).and_then(|()| fs::write(&path, input)) {
        println!("{}: {e}", path.display());
    }
    path
}
