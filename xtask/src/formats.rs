//! Writes `docs/formats.md` from what each format's file says about it.

use std::{env, fs, process::Command};

use crate::{Outcome, root};

/// Takes no arguments.
pub fn run(_: &[String]) -> Outcome {
    let out = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["run", "--quiet", "-p", "proofmark-unpack", "--example", "formats"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("cargo could not be run: {e}"))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned());
    }
    fs::write(root().join("docs/formats.md"), out.stdout)
        .map_err(|e| format!("docs/formats.md: {e}"))
}
