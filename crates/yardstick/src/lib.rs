//! Requirement catalogues as data, evaluated to verdicts and findings.
//!
//! A catalogue is TOML; its conditions are CEL over the fields of facts. The
//! names a condition may use are declared in [`view`]: there is no vendor and
//! no country among them. `docs/yardstick.md` tells how a verdict comes about
//! and `docs/requirements.md` lists the requirements.
//!
//! ```
//! use proofmark_model::Coverage;
//! use proofmark_yardstick::{Catalogue, Evidence, evaluate};
//!
//! let baseline = Catalogue::builtin("baseline").unwrap();
//! let nothing = Evidence {
//!     observations: &[],
//!     artifacts: &[],
//!     coverage: &Coverage::default(),
//!     vulnerabilities: &[],
//!     feeds: &[],
//!     as_of: 0,
//! };
//! let judgements = evaluate(&[&baseline], &nothing);
//! assert_eq!(judgements.len(), baseline.requirements.len());
//! ```

mod builtin;
pub mod catalogue;
mod excerpt;
pub mod explain;
pub mod expression;
mod judge;
pub mod needs;
mod node;
pub mod template;
pub mod value;
pub mod view;

pub use catalogue::{Catalogue, CatalogueError, Rule};
pub use explain::{Explanation, explain};
pub use judge::{Evidence, FINDINGS, STEPS, evaluate};
