//! `mutants [--count N] [--seed N] [--others N]`: damaged copies of all samples through the engine; every so many also
//! through unblob and binwalk, where they are installed.

#![allow(clippy::print_stdout, reason = "a tool of the repository")]

use std::{
    collections::BTreeMap,
    process::{Command, ExitCode},
};

use proofmark_fuzz::mutants::{self, Score};

/// Name, how it is found, and how it is run.
const TOOLS: [(&str, &str, &str); 2] = [
    ("unblob", "unblob --version", "unblob -p 1 -e \"$OUT\" --report \"$OUT.json\" \"$IN\""),
    ("binwalk", "binwalk --help", "binwalk -Me -C \"$OUT\" $BINWALK_OPTIONS \"$IN\""),
];

fn main() -> ExitCode {
    let (mut count, mut seed, mut others) = (2400_usize, 1_u64, 40_usize);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let value = given.next();
        let number: Option<u64> = value.and_then(|n| n.parse().ok());
        match (argument.as_str(), number) {
            ("--count", Some(n)) => count = usize::try_from(n).unwrap_or(count),
            ("--others", Some(n)) => others = usize::try_from(n).unwrap_or(others),
            ("--seed", Some(n)) => seed = n,
            _ => {
                println!("mutants [--count N] [--seed N] [--others N]");
                return ExitCode::from(2);
            }
        }
    }
    let samples = match mutants::samples() {
        Ok(samples) => samples,
        Err(e) => {
            println!("samples could not be made: {e}");
            return ExitCode::FAILURE;
        }
    };
    let all = mutants::mutants(&samples, count, seed);
    println!("{} samples, {} mutants, seed {seed}", samples.len(), all.len());
    println!(
        "{:<22} {:>7} {:>8} {:>9} {:>9} {:>10} {:>14} {:>9}",
        "tool", "mutants", "crashes", "hangs", "overruns", "recovered", "losses told", "slowest"
    );
    let score = mutants::score(&samples, &all);
    row("proofmark", &score);
    let step = all.len().checked_div(others.max(1)).unwrap_or(1).max(1);
    let few: Vec<_> = all.iter().step_by(step).take(others).collect();
    if !few.is_empty() {
        let copies: Vec<_> = few
            .iter()
            .map(|m| mutants::Mutant {
                sample: m.sample,
                how: m.how.clone(),
                bytes: m.bytes.clone(),
            })
            .collect();
        row("proofmark, same few", &mutants::score(&samples, &copies));
    }
    for (name, probe, command) in TOOLS {
        let there =
            Command::new("sh").args(["-c", probe]).output().is_ok_and(|o| o.status.success());
        if !there || few.is_empty() {
            println!("{name:<22} not installed");
            continue;
        }
        match mutants::score_tool(command, &samples, &few) {
            Ok(score) => row(name, &score),
            Err(e) => println!("{name:<22} {e}"),
        }
    }
    let mut silent: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    for (format, how) in &score.silent {
        let kind = how.split(' ').next().unwrap_or(how);
        let count = silent.entry(format).or_default().entry(kind).or_default();
        *count = count.saturating_add(1);
    }
    println!("losses of which nothing was said, by format and damage: {silent:?}");
    score.failures.iter().take(20).for_each(|f| println!("{f}"));
    if score.crashes == 0 && score.hangs == 0 && score.overruns == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn row(name: &str, score: &Score) {
    println!(
        "{name:<22} {:>7} {:>8} {:>9} {:>9} {:>9.1}% {:>6} of {:>4} {:>7}ms",
        score.tried,
        score.crashes,
        score.hangs,
        score.overruns,
        score.percent(),
        score.told,
        score.lossy,
        score.slowest.as_millis()
    );
}
