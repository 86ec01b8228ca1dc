//! Vulnerability feeds to a local database; component to graded vulnerabilities.
//!
//! ```text
//! feeds --feed--> Record --database--> SQLite file --Store--> matching --> graded vulnerabilities
//! ```

pub mod record;

pub use record::{Key, Record, Store};
