//! Runs the fuzz targets with the mutator of `crates/fuzz`, optimised.

use std::{env, process::Command};

use crate::{Outcome, root};

/// Passes the arguments on: `[--seconds N] [--seed N] [--corpus DIR] [--list] [TARGET...]`.
pub fn run(arguments: &[String]) -> Outcome {
    let status = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["run", "--quiet", "--release", "-p", "proofmark-fuzz", "--"])
        .args(arguments)
        .current_dir(root())
        .status()
        .map_err(|e| format!("cargo could not be run: {e}"))?;
    if status.success() { Ok(()) } else { Err("a target failed".into()) }
}
