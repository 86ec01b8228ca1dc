//! Pure views of an [`Assessment`](proofmark_model::Assessment): the same
//! document in, the same text out. Nothing here reads a file, a clock or the
//! environment, and nothing knows how a result was made.
//!
//! | function | what it is |
//! |---|---|
//! | [`json::write`] | `assessment.json`, whole, in a stable order |
//! | [`html()`] | `report.html`, one file for people |
//! | [`terminal()`] | one screen after a run |
//! | [`sarif()`] | SARIF 2.1.0 |
//! | [`cyclonedx()`] | CycloneDX 1.6 |
//! | [`spdx()`] | SPDX 2.3 |
//! | [`vex::openvex::write`], [`vex::cyclonedx::write`], [`vex::csaf::write`] | statements about vulnerabilities |
//! | [`vex::read()`] | reads all three |
//! | [`csv::findings`], [`csv::components`] | tables |

pub mod csv;
pub mod cyclonedx;
pub mod html;
pub mod inventory;
pub mod json;
pub mod sarif;
pub mod spdx;
pub mod summary;
pub mod terminal;
mod text;
mod uuid;
pub mod vex;

pub use cyclonedx::cyclonedx;
pub use html::html;
pub use sarif::sarif;
pub use spdx::spdx;
pub use terminal::terminal;
pub use text::{moment, plain};

/// Who issues a document and when, for formats that ask for it. The writers have no clock: give the time of the
/// image (see [`newest_entry`]) and equal images give equal documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issue<'a> {
    /// Name of the issuer.
    pub author: &'a str,
    /// A URI that belongs to the issuer, such as `https://example.org`; identifiers are made below it.
    pub namespace: &'a str,
    /// Seconds since 1970-01-01 UTC.
    pub moment: i64,
}

impl Issue<'_> {
    /// `NAMESPACE/KIND/NAME`.
    fn uri(&self, kind: &str, name: &str) -> String {
        format!("{}/{kind}/{name}", self.namespace.trim_end_matches('/'))
    }
}

/// The newest modification time that an entry of the image carries, in seconds since 1970-01-01 UTC: the
/// closest thing to a date of the image that is in the image.
#[must_use]
pub fn newest_entry(a: &proofmark_model::Assessment) -> Option<i64> {
    a.artifacts.iter().filter_map(|x| x.metadata.mtime).max()
}
