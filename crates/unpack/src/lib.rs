//! Bytes to a tree of artifacts with complete byte coverage.
//!
//! The way of the data inside this crate:
//!
//! ```text
//! content --scan--> magics --probe--> candidates --cover--> regions + gaps --open--> entries --> contents ...
//! ```
//!
//! [`format`] says what a format must offer; [`formats`] holds one file per
//! format; [`codec`] holds decoders that several formats share. Nothing here
//! knows facts, rules or output.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod budget;
pub mod classify;
pub mod codec;
pub mod cover;
pub mod engine;
mod examine;
pub mod extract;
mod folder;
pub mod format;
pub mod formats;
pub mod input;
pub mod invariants;
pub mod locate;
pub mod map;
pub mod options;
pub mod read;
pub mod scan;
mod tree;

pub use engine::{Outcome, unpack, unpack_with};
pub use extract::{ExtractError, Extracted, Glob, extract};
pub use input::{Input, Source};
pub use locate::{LocateError, Resolved, locate, locate_with};
pub use options::{ContentInfo, Limits, Observer, Options, Progress};
