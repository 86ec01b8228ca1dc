//! What is said when something could not be done: one sentence, with a code
//! that stays the same between releases.

use std::{fmt, io, path::Path};

/// Codes of failures. `docs/errors.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The input cannot be opened or read.
    Input,
    /// The output cannot be written.
    Output,
    /// A locator is malformed or names nothing.
    Locator,
    /// A yardstick is not found or is wrong.
    Yardstick,
    /// The sandbox cannot be entered.
    Sandbox,
    /// The worker ended without a result.
    Worker,
    /// An id is not known.
    Unknown,
    /// An inventory, a policy or a plan is wrong.
    Network,
    /// The database of advisories, or what is to be imported, cannot be used.
    Advisories,
    /// A value of an argument is wrong; ends with status 2.
    Argument,
}

impl Code {
    /// The code as printed.
    pub fn text(self) -> &'static str {
        match self {
            Self::Input => "E101",
            Self::Output => "E102",
            Self::Locator => "E103",
            Self::Yardstick => "E104",
            Self::Sandbox => "E105",
            Self::Worker => "E106",
            Self::Unknown => "E107",
            Self::Network => "E108",
            Self::Advisories => "E109",
            Self::Argument => "E201",
        }
    }
}

/// Something could not be done.
#[derive(Debug)]
pub struct Failure {
    /// Its code.
    pub code: Code,
    /// What, where, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The input at `path` could not be read.
    pub fn input(path: &Path, error: &io::Error) -> Self {
        Self::new(Code::Input, format!("{}: cannot be read: {}", path.display(), plain(error)))
    }

    /// The output at `path` could not be written.
    pub fn output(path: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::StorageFull => "; free some space or name another folder with --out",
            io::ErrorKind::PermissionDenied => "; name a folder you may write to",
            _ => "",
        };
        Self::new(
            Code::Output,
            format!("{}: cannot be written: {}{hint}", path.display(), plain(error)),
        )
    }
}

/// The system's words without the number of the error.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proofmark: {} [{}]", self.message, self.code.text())
    }
}
