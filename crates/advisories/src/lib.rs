//! Vulnerability feeds to a local database; component to graded vulnerabilities.
//!
//! ```text
//! feeds --feed--> Record --import--> SQLite file --Store--> matching --> graded vulnerabilities
//! ```

mod codec;
pub mod corrections;
pub mod cpe;
pub mod database;
pub mod date;
pub mod decisions;
pub mod feed;
pub mod import;
pub mod kernel;
pub mod key;
pub mod matching;
pub mod purl;
pub mod record;
pub mod sbom;
pub mod starter;
pub mod status;
#[cfg(feature = "net")]
pub mod update;
pub mod version;

pub use database::Database;
pub use import::import;
pub use record::{Key, Record, Store};
pub use starter::Starter;

use std::path::{Path, PathBuf};

/// What can go wrong with the database of advisories.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The database is not one, is damaged, or is of another version.
    #[error("{path}: {reason}")]
    Database {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Another import is at work.
    #[error("{path}: another import or update is at work; wait until it is done")]
    Busy {
        /// The lock.
        path: String,
    },
    /// Nothing in the given files could be used.
    #[error("{path}: {reason}")]
    Nothing {
        /// What was given.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// The path with something added to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Error {
    pub(crate) fn io(path: &Path, e: &std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), reason: e.to_string() }
    }

    pub(crate) fn database(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Database { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// The advisories to match against: the database at `path` where there is one, else the starter database. Which of
/// them it is, is told by the names of its feeds: those of the starter database begin with `starter/`.
///
/// # Errors
/// There is a database, but it cannot be used. The starter database does not take its place then: old data in place of
/// the user's own would be a surprise.
pub fn open(path: Option<&Path>) -> Result<Box<dyn Store + Send + Sync>, Error> {
    match path.filter(|p| p.exists()) {
        Some(path) => Ok(Box::new(Database::open(path)?)),
        None => {
            Ok(Box::new(Starter::open().map_err(|e| Error::database(Path::new("starter"), e))?))
        }
    }
}
