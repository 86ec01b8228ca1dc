//! Bytes to a tree of artifacts with complete byte coverage.
//!
//! The way of the data inside this crate:
//!
//! ```text
//! content --scan--> magics --probe--> candidates --cover--> regions + gaps --open--> entries --> contents ...
//! ```
//!
//! [`mod@format`] says what a format must offer; [`formats`] holds one file per
//! format; [`codec`] holds decoders that several formats share. [`scan`] finds what formats claim,
//! [`cover`] chooses among the claims, [`engine`] goes as deep as it goes. Nothing here
//! knows facts, rules or output.
//!
//! # Using it alone
//!
//! ```
//! use proofmark_unpack::{Input, Options, locate, unpack};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let input = Input::bytes("example.bin", &b"#!/bin/sh\necho hello\n"[..]);
//! let outcome = unpack(input.clone(), &Options::default(), &());
//! for artifact in &outcome.artifacts {
//!     println!("{} {} {}", artifact.locator, artifact.format, artifact.size);
//! }
//! assert_eq!(outcome.coverage.understood, outcome.coverage.total);
//!
//! let shown = locate(&input, &"example.bin+0x2..0x9".parse()?, &Options::default())?;
//! assert_eq!(&shown.bytes[..], b"/bin/sh");
//! # Ok(())
//! # }
//! ```
//!
//! * [`Input::open`] maps a file or names a folder; [`Input::bytes`] takes what is in memory.
//! * [`unpack`] never fails: what could not be read is a problem on its artifact. An [`Observer`] sees
//!   each content while it is in memory.
//! * [`locate()`] opens what one locator names; [`extract()`] writes files to disk, confined.
//! * [`Limits`] bound all of it.
//!
//! The entry points named here are stable; modules are public for those who add formats.

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

/// The examples of `README.md` are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
pub mod keys;
mod layers;
pub mod locate;
pub mod map;
mod memory;
mod needles;
pub mod options;
pub mod read;
pub mod scan;
mod split;
pub mod spool;
pub mod table;
mod tree;

pub use engine::{Outcome, unpack, unpack_with};
pub use extract::{ExtractError, Extracted, Glob, extract};
pub use input::{Input, Source};
pub use locate::{LocateError, Resolved, locate, locate_with};
pub use options::{ContentInfo, Limits, Observer, Options, Progress};
