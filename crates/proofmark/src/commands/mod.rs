//! One file for each command.

pub mod advisories;
pub mod advisories_match;
pub mod assay;
pub mod doctor;
pub mod explain;
pub mod install;
pub mod ls;
pub mod network;
pub mod show;
pub mod unpack;

use std::{
    env, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use proofmark_unpack::{
    Input, Options,
    keys::{Key, Keyring},
    options::Limits,
    spool::Spool,
};
use serde::Deserialize;

use crate::{
    cli::Work,
    failure::{Code, Failure},
    worker,
};

/// The name for standard input.
pub fn is_stdin(image: &Path) -> bool {
    image.as_os_str() == "-"
}

/// Threads, bounds, keys and room on the disk, as the user asked for them. Call it before the sandbox closes.
///
/// # Errors
/// A file of keys that cannot be read.
pub fn options(work: &Work) -> Result<Options, Failure> {
    Ok(Options {
        jobs: work.jobs,
        limits: Limits {
            output: work.max_output.saturating_mul(1 << 30),
            depth: work.max_depth,
            time: Some(Duration::from_secs(work.max_time)),
            ..Limits::default()
        },
        keys: Arc::new(work.keys.as_deref().map(keyring).transpose()?.unwrap_or_default()),
        spool: spool(),
    })
}

/// Room on the disk for large contents: in `TMPDIR`, else where large temporary files belong. None where the file
/// system has no files without a name; contents are then kept in memory.
fn spool() -> Option<Spool> {
    let usual = [PathBuf::from("/var/tmp"), env::temp_dir()];
    let folders = env::var_os("TMPDIR").map_or(usual.to_vec(), |t| vec![t.into()]);
    folders.iter().find_map(|f| Spool::new(f).ok())
}

/// Reads a file of keys. What it says never becomes part of a message.
fn keyring(path: &Path) -> Result<Keyring, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        key: Vec<Key>,
    }
    let wrong = |what: &str| Failure::new(Code::Argument, format!("{}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|e| Failure::input(path, &e))?;
    let file: File = toml::from_str(&text).map_err(|e| {
        let line =
            e.span().map_or(1, |s| 1 + text.get(..s.start).unwrap_or("").matches('\n').count());
        wrong(&format!("line {line}: {}; docs/keys.md says how keys are written", e.message()))
    })?;
    Keyring::new(file.key).map_err(|e| wrong(&e))
}

/// Enters the sandbox and opens the image in it. `read` and `write` are what else the command needs.
///
/// # Errors
/// An image that is not there, or a sandbox that cannot be entered.
pub fn open(
    image: &Path,
    no_sandbox: bool,
    mut read: Vec<PathBuf>,
    write: Vec<PathBuf>,
) -> Result<Input, Failure> {
    let limit = Limits::default().content;
    if is_stdin(image) {
        worker::confine(no_sandbox, read, write, 0)?;
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| Failure::input(image, &e))?;
        if bytes.len() as u64 > limit {
            let message = format!(
                "standard input: more than {limit} bytes; write it to a file and name that"
            );
            return Err(Failure::new(Code::Input, message));
        }
        return Ok(Input::bytes("stdin", bytes));
    }
    let metadata = fs::metadata(image).map_err(|e| Failure::input(image, &e))?;
    if metadata.is_file() && metadata.len() == 0 {
        return Err(Failure::new(
            Code::Input,
            format!("{}: is empty; there is nothing to look at", image.display()),
        ));
    }
    read.push(image.to_owned());
    worker::confine(no_sandbox, read, write, metadata.len())?;
    Input::open(image).map_err(|e| Failure::input(image, &e))
}

/// Writes to standard output; a reader that went away (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    write(text.as_bytes())
}

/// Writes bytes to standard output.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::output(Path::new("standard output"), &e))
        }
        _ => Ok(()),
    }
}
