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
//! | [`csv::findings`], [`csv::components`] | tables |

pub mod csv;
pub mod cyclonedx;
pub mod html;
pub mod inventory;
pub mod json;
pub mod sarif;
pub mod summary;
pub mod terminal;
mod text;
mod uuid;

pub use cyclonedx::cyclonedx;
pub use html::html;
pub use sarif::sarif;
pub use terminal::terminal;
