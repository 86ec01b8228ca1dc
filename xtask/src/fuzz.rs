//! Runs the tools of `crates/fuzz`, optimised: fuzz targets, mutants, comparison with the real tools.

use std::{env, process::Command};

use crate::{Outcome, root};

/// Passes the arguments on: `[--seconds N] [--seed N] [--corpus DIR] [--list] [TARGET...]`.
pub fn run(arguments: &[String]) -> Outcome {
    tool("proofmark-fuzz", arguments)
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
