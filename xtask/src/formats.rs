//! Writes `docs/formats.md` from what each format's file says about it; `--compare` sets it against unblob and binwalk.

use std::{env, fs, process::Command};

use crate::{Outcome, peers, root};

/// Writes the page, or compares it with `--compare`.
pub fn run(arguments: &[String]) -> Outcome {
    if arguments.iter().any(|a| a == "--compare") {
        return peers::compare();
    }
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
