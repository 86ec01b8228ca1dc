//! Chores of the repository. `cargo xtask help` lists them; each is a module.

use std::{env, path::PathBuf, process::ExitCode};

mod bench;
mod components;
mod debian;
mod formats;
mod fuzz;
mod identification;
mod identification_peers;
mod kbuild;
mod kernel;
mod kernel_images;
mod licences;
mod marks;
mod matching;
mod network;
mod peers;
mod quality;
mod rar;
mod schema;
mod starter;
mod static_copies;
mod tidy;

/// A chore fails with one sentence.
type Outcome = Result<(), String>;

/// Name, what it does, and the function that does it with the remaining arguments.
type Chore = (&'static str, &'static str, fn(&[String]) -> Outcome);

/// All chores.
const CHORES: &[Chore] = &[
    (
        "bench",
        "build a 40 MB gateway image and measure beside other tools; unpack: each format beside its own tool",
        bench::run_all,
    ),
    ("components", "rules: check | scan FILE... | propose PACKAGE[:ARCH]...", components::run),
    (
        "differential",
        "random images through us and the real tools: [--count N] [--seed N] [FORMAT...]",
        fuzz::differential,
    ),
    (
        "formats",
        "write docs/formats.md from the formats themselves; --compare: against unblob and binwalk",
        formats::run,
    ),
    (
        "fuzz",
        "run fuzz targets: [--seconds N] [--list] [TARGET...]; --guided [SECONDS [TARGET...]] by coverage",
        fuzz::run,
    ),
    ("kbuild", "read which options kernel sources are built under: FOLDER...", kbuild::run),
    ("licences", "check that every dependency's licence is on the list", licences::run),
    ("magics", "time of bytes that are nothing but magics against zeros: [MIB]", fuzz::magics),
    (
        "mutants",
        "damaged copies of all samples, beside unblob and binwalk: [--count N] [--others N]",
        fuzz::mutants,
    ),
    (
        "quality",
        "measure on labelled truth: identification [--offline] [--peers] | kernel [--offline] [--verbose] | kernel-images [FOLDER] | matching [--verbose] | network [--highs] | rar | static",
        quality::run,
    ),
    ("schema", "write the JSON Schema of an assessment (--check: only compare)", schema::run),
    (
        "starter",
        "make the compiled-in database of advisories from published data: [FOLDER]",
        starter::run,
    ),
    ("tidy", "check crate edges, code map, and words that do not belong here", tidy::run),
];

/// Root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Output of `cargo metadata`, with all packages of the lock file.
pub fn metadata() -> Result<serde_json::Value, String> {
    let out = std::process::Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("cargo metadata could not be run: {e}"))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned());
    }
    serde_json::from_slice(&out.stdout).map_err(|e| format!("cargo metadata: {e}"))
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let name = args.first().map(String::as_str).unwrap_or("help");
    let Some((_, _, chore)) = CHORES.iter().find(|(n, _, _)| *n == name) else {
        println!("cargo xtask CHORE [ARGUMENTS]\n");
        CHORES.iter().for_each(|(name, what, _)| println!("  {name:<12} {what}"));
        return if name == "help" { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    match chore(args.get(1..).unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask {name}: {message}");
            ExitCode::FAILURE
        }
    }
}
