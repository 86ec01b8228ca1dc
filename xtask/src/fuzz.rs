//! Runs the tools of `crates/fuzz`, optimised: fuzz targets, mutants, comparison with the real tools.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Outcome, root};

/// Passes the arguments on: `[--seconds N] [--seed N] [--corpus DIR] [--list] [TARGET...]`; with `--guided`
/// [`guided`].
pub fn run(arguments: &[String]) -> Outcome {
    match arguments.split_first() {
        Some((first, rest)) if first == "--guided" => guided(rest),
        _ => tool("proofmark-fuzz", arguments),
    }
}

/// Flags by which the stable compiler counts edges for libFuzzer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Clink-dead-code --cfg fuzzing";

/// Runs the targets under libFuzzer, guided by coverage: `[SECONDS [TARGET...]]`. Prints a table, and keeps the
/// smallest inputs with coverage of their own as regression tests. Needs a C++ compiler.
fn guided(arguments: &[String]) -> Outcome {
    let seconds = arguments.first().map_or("15", String::as_str);
    let folder = crate::metadata()?["target_directory"].as_str().map(PathBuf::from);
    let folder = folder.ok_or("cargo metadata names no target directory")?.join("guided");
    let made = |e: std::io::Error| format!("{}: {e}", folder.display());
    let target = env::consts::ARCH.to_owned() + "-unknown-linux-gnu";
    let built = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["build", "--release", "--quiet", "--target", &target, "--target-dir"])
        .arg(&folder)
        .current_dir(root().join("crates/fuzz/libfuzzer"))
        .env("RUSTFLAGS", COVERAGE)
        .status()
        .map_err(|e| format!("cargo could not be run: {e}"))?;
    if !built.success() {
        return Err("the guided fuzzer could not be built; see above".into());
    }
    let program = folder.join(target).join("release/any");
    let (seeds, found) = (folder.join("seeds"), folder.join("corpus"));
    tool("proofmark-fuzz", &["--export".into(), text(&seeds)])?;
    let mut names: Vec<_> = fs::read_dir(&seeds)
        .map_err(made)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| arguments.len() < 2 || arguments.contains(name))
        .collect();
    names.sort();
    println!("| target | executions | edges covered | inputs kept |\n|---|---|---|---|");
    let mut failed = Vec::new();
    for name in names {
        let kept = found.join(&name);
        fs::create_dir_all(&kept).map_err(made)?;
        let done = Command::new(&program)
            .env("TARGET", &name)
            .args(["-rss_limit_mb=4096", "-timeout=30", "-max_len=65536", "-print_final_stats=1"])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}", text(&folder.join(format!("{name}-")))))
            .args([&kept, &seeds.join(&name)])
            .output()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let said = String::from_utf8_lossy(&done.stderr);
        let after = |mark: &str| {
            let at = said.rfind(mark)?;
            said.get(at..)?.strip_prefix(mark)?.split_whitespace().next().map(str::to_owned)
        };
        let runs = after("number_of_executed_units:").unwrap_or_default();
        let inputs = fs::read_dir(&kept).map_err(made)?.count();
        println!("| {name} | {runs} | {} | {inputs} |", after(" cov: ").unwrap_or_default());
        if !done.status.success() {
            failed.push(name);
        }
    }
    tool("proofmark-fuzz", &["--import".into(), text(&found)])?;
    match &failed[..] {
        [] => Ok(()),
        names => {
            Err(format!("failed: {}; the inputs are in {}", names.join(", "), folder.display()))
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Damaged copies of all samples: `[--count N] [--seed N] [--others N]`.
pub fn mutants(arguments: &[String]) -> Outcome {
    tool("mutants", arguments)
}

/// Random images through us and the real tools: `[--count N] [--seed N] [FORMAT...]`.
pub fn differential(arguments: &[String]) -> Outcome {
    tool("differential", arguments)
}

/// Time of a content that is nothing but magics against as many zeros: `[MIB]`.
pub fn magics(arguments: &[String]) -> Outcome {
    cargo(
        &["run", "--quiet", "--release", "-p", "proofmark-unpack", "--example", "magics", "--"],
        arguments,
    )
}

fn tool(name: &str, arguments: &[String]) -> Outcome {
    cargo(&["run", "--quiet", "--release", "-p", "proofmark-fuzz", "--bin", name, "--"], arguments)
}

fn cargo(command: &[&str], arguments: &[String]) -> Outcome {
    let status = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(command)
        .args(arguments)
        .current_dir(root())
        .status()
        .map_err(|e| format!("cargo could not be run: {e}"))?;
    if status.success() { Ok(()) } else { Err("it failed; see above".into()) }
}
