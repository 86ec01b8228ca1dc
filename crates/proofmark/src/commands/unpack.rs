//! `proofmark unpack`: confined extraction.
//!
//! The worker may write only below a folder inside the output folder; when it is done, the parent, which
//! has parsed nothing, moves what lies there into place.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use proofmark_unpack::{ExtractError, Glob, Observer, Progress, extract::MANIFEST};

use crate::{
    cli::Unpack,
    commands,
    commands::assay::Bar,
    failure::{Code, Failure},
    worker::PARTIAL,
};

/// Folder that the worker fills.
fn staging(out: &Path) -> PathBuf {
    out.join(PARTIAL).join("tree")
}

/// What the parent does before the worker starts: the folder is there and empty, and so is the manifest's place.
pub fn prepare(args: &Unpack) -> Result<(), Failure> {
    if let Some(manifest) = args.manifest.as_ref().filter(|m| m.exists()) {
        let message = format!(
            "{}: is there already, and nothing is ever overwritten; name a new file",
            manifest.display()
        );
        return Err(Failure::new(Code::Output, message));
    }
    let out = &args.out;
    fs::create_dir_all(out).map_err(|e| Failure::output(out, &e))?;
    // What an earlier run left behind.
    let _ = fs::remove_dir_all(out.join(PARTIAL));
    let mut entries = fs::read_dir(out).map_err(|e| Failure::output(out, &e))?;
    if entries.next().is_some() {
        let message = format!(
            "{}: is not empty, and nothing is ever overwritten; name a folder that is new or empty",
            out.display()
        );
        return Err(Failure::new(Code::Output, message));
    }
    fs::create_dir(out.join(PARTIAL)).map_err(|e| Failure::output(out, &e))
}

/// What the parent does after it: everything into place, or nothing.
pub fn settle(args: &Unpack, done: bool) -> Result<(), Failure> {
    let out = &args.out;
    if let Some(manifest) = args.manifest.as_ref().filter(|_| done) {
        let made = staging(out).join(MANIFEST);
        // Another file system takes no renamed file.
        let moved = fs::rename(&made, manifest)
            .or_else(|_| fs::copy(&made, manifest).and_then(|_| fs::remove_file(&made)));
        if let Err(e) = moved {
            let _ = fs::remove_dir_all(out.join(PARTIAL));
            return Err(Failure::output(manifest, &e));
        }
    }
    let settle = || -> io::Result<()> {
        if done {
            for entry in fs::read_dir(staging(out))? {
                let entry = entry?;
                fs::rename(entry.path(), out.join(entry.file_name()))?;
            }
        }
        fs::remove_dir_all(out.join(PARTIAL))
    };
    settle().map_err(|e| Failure::output(out, &e))
}

/// Runs in the worker.
pub fn run(args: &Unpack, no_sandbox: bool) -> Result<ExitCode, Failure> {
    let partial = args.out.join(PARTIAL);
    let options = commands::options(&args.work)?;
    let input = commands::open(&args.image, no_sandbox, Vec::new(), vec![partial])?;
    let only: Vec<Glob> = args.only.iter().map(|p| Glob::new(p)).collect();
    let bar = Bar::new();
    let done =
        proofmark_unpack::extract(&input, &options, &staging(&args.out), &only, &Watch(&bar));
    bar.clear();
    let extracted = done.map_err(|e| match e {
        ExtractError::Write { error, .. } => Failure::output(&args.out, &error),
        other @ ExtractError::NotEmpty(_) => Failure::new(Code::Output, other.to_string()),
    })?;
    let artifacts = &extracted.outcome.artifacts;
    let problems = artifacts.iter().filter(|a| !a.problems.is_empty()).count();
    let manifest = args.manifest.clone().unwrap_or_else(|| args.out.join(MANIFEST));
    commands::print(&format!(
        "{}: {} files, {} bytes; {problems} artifacts with problems, named in {}\n",
        args.out.display(),
        extracted.files,
        extracted.bytes,
        manifest.display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Shows progress.
struct Watch<'a>(&'a Bar);

impl Observer for Watch<'_> {
    fn progress(&self, progress: Progress) {
        self.0.show(progress);
    }
}
