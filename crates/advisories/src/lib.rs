//! Vulnerability feeds to a local database; component to graded vulnerabilities.
//!
//! ```text
//! feeds --feed--> Record --database--> SQLite file --Store--> matching --> graded vulnerabilities
//! ```

pub mod corrections;
pub mod cpe;
pub mod decisions;
pub mod kernel;
pub mod matching;
pub mod purl;
pub mod record;
pub mod sbom;
pub mod version;

pub use record::{Key, Record, Store};
