//! Makes the starter database of advisories from published data. See `crates/advisories/data/README.md`.

use std::{env, path::PathBuf, process::Command};

use crate::{Outcome, root};

/// Takes the folder of the data; without it `PROOFMARK_DATA/advisories`, or the shared folder beside the repository.
pub fn run(args: &[String]) -> Outcome {
    let shared = || root().join("../shared/data/advisories");
    let data = match (args.first(), env::var_os("PROOFMARK_DATA")) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(folder)) => PathBuf::from(folder).join("advisories"),
        (None, None) => shared(),
    };
    if !data.is_dir() {
        return Err(format!(
            "{}: no such folder; name it as argument or in PROOFMARK_DATA",
            data.display()
        ));
    }
    let out = root().join("crates/advisories/data/starter.bin");
    let status = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["run", "--quiet", "-p", "proofmark-advisories", "--example", "starter", "--"])
        .args([&data, &out])
        .current_dir(root())
        .status()
        .map_err(|e| format!("cargo could not be run: {e}"))?;
    if status.success() { Ok(()) } else { Err("the starter database was not made".into()) }
}
