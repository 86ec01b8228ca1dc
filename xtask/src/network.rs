//! The planner against an exact model written apart from it, and against published totals.
//!
//! Small random networks are solved by enumeration and by the planner (and with `--highs` by HiGHS, which
//! `./run highs` builds); networks of the size of published programmes are planned with the default costs. The
//! section of docs/quality.md and the table of docs/backtest.md are written anew.

use std::{fs, process::Command};

use crate::{Outcome, quality, root};

/// Runs cargo in the repository and returns what it printed.
fn cargo(arguments: &[&str]) -> Result<String, String> {
    let out = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(arguments)
        .current_dir(root())
        .output()
        .map_err(|e| format!("cargo could not be run: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    match out.status.success() {
        true => Ok(text),
        false => Err(format!(
            "cargo {} failed:\n{text}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&out.stderr)
        )),
    }
}

/// Whether pkg-config knows a HiGHS, so that none has to be built.
fn installed() -> bool {
    let known = Command::new("pkg-config").args(["--atleast-version=1.5", "highs"]).status();
    known.is_ok_and(|s| s.success())
}

/// Lines of the output of a test that say what was compared.
fn compared(text: &str) -> Vec<&str> {
    text.lines().filter_map(|l| l.strip_prefix("compared: ")).collect()
}

/// Compares and writes.
pub fn run(arguments: &[String]) -> Outcome {
    let test = ["-p", "proofmark-network", "--test", "exact", "--release", "--", "--nocapture"];
    let mut lines = cargo(&[&["test", "--locked"][..], &test].concat())?;
    if arguments.iter().any(|a| a == "--highs") {
        let manifest =
            ["test", "--release", "--locked", "--manifest-path", "crates/highs/Cargo.toml"];
        let features = if installed() { &["--features", "discover"][..] } else { &[] };
        lines += &cargo(&[&manifest, features, &["--", "--nocapture"]].concat())?;
    }
    let found = compared(&lines);
    if found.is_empty() {
        return Err("the comparison printed no result".into());
    }
    let list: String = found.iter().map(|l| format!("- {l}\n")).collect();
    let body = format!("## Planner\n\nMade by `cargo xtask quality network --highs`.\n\n{list}");
    quality::write_section("network", &body)?;
    let table = cargo(&[
        "run",
        "--release",
        "--locked",
        "-p",
        "proofmark-network",
        "--example",
        "backtest",
    ])?;
    let path = root().join("docs/backtest.md");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let old: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
    let (Some(first), Some(last)) = (old.first(), old.last()) else {
        return Err(format!("{}: there is no table to replace", path.display()));
    };
    let (Some(from), Some(to)) = (text.find(first), text.rfind(last)) else {
        return Err(format!("{}: there is no table to replace", path.display()));
    };
    let new = format!("{}{}{}", &text[..from], table.trim_end(), &text[to + last.len()..]);
    fs::write(&path, new).map_err(|e| format!("{}: {e}", path.display()))
}
