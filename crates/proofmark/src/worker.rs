//! The worker: this program, started again, confined, and watched.
//!
//! The parent never reads the image. It starts the worker with the same
//! arguments, waits, turns a crash into a sentence, and removes what an
//! interrupted worker left half-written.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, ExitCode, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use proofmark_assess::sandbox::{self, Confinement};

use crate::failure::{Code, Failure};

/// First argument of a worker.
pub const ARGUMENT: &str = "__worker";

/// Name of the folder inside an output folder in which a worker builds its results before they are moved
/// into place all at once.
pub const PARTIAL: &str = ".proofmark-partial";

/// Address space of a worker beyond the mapped image: the last line behind the budgets.
const MEMORY: u64 = 12 << 30;

/// How a worker ended.
pub enum Ended {
    /// By itself, with this status.
    Done(u8),
    /// By the user.
    Interrupted,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Done(status) => ExitCode::from(status),
            // As a shell reports it.
            Ended::Interrupted => ExitCode::from(130),
        }
    }
}

/// Starts the worker with the arguments of this process and waits for it. `out` is the folder it writes to.
///
/// # Errors
/// When it cannot be started or ended without saying why.
pub fn supervise(out: Option<&Path>) -> Result<Ended, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    // The terminal sends the signal to the worker too; this process stays to tidy up. Without a handler the
    // only loss is that tidying.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst));
    let program = env::current_exe().map_err(|e| {
        Failure::new(Code::Worker, format!("the path of this program is not known: {e}"))
    })?;
    let status = process::Command::new(program)
        .arg(ARGUMENT)
        .args(env::args_os().skip(1))
        .status()
        .map_err(|e| Failure::new(Code::Worker, format!("the worker could not be started: {e}")))?;
    if let Some(code) = status.code().and_then(|c| u8::try_from(c).ok()) {
        return Ok(Ended::Done(code));
    }
    if let Some(out) = out {
        // What an ended worker left there is of no use to anybody.
        let _ = fs::remove_dir_all(out.join(PARTIAL));
    }
    if interrupted.load(Ordering::SeqCst) {
        eprintln!("proofmark: interrupted; nothing was written");
        return Ok(Ended::Interrupted);
    }
    Err(Failure::new(Code::Worker, ended(status)))
}

fn ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            let (what, hint) = match signal {
                6 => (
                    "ran out of its memory limit or found itself in an impossible state",
                    "lower --max-output, or report it with the image's digest",
                ),
                9 => (
                    "was killed, most likely because the machine ran out of memory",
                    "use --jobs 1 or a smaller --max-output",
                ),
                31 => (
                    "made a system call that the sandbox forbids",
                    "report it with the image's digest",
                ),
                _ => ("ended by a signal", "report it with the image's digest"),
            };
            return format!("the worker {what} (signal {signal}), and nothing was written; {hint}");
        }
    }
    format!("the worker ended without a result ({status}), and nothing was written")
}

/// Enters the sandbox, unless the user said not to. Call before the first byte of input is read.
///
/// # Errors
/// When it cannot be enforced.
pub fn confine(
    no_sandbox: bool,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    image: u64,
) -> Result<(), Failure> {
    if no_sandbox {
        return Ok(());
    }
    let memory = Some(MEMORY.saturating_add(image));
    sandbox::enter(&Confinement { read, write, memory })
        .map_err(|e| Failure::new(Code::Sandbox, e.to_string()))
}
