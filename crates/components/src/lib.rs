//! Which programs and libraries a content is or contains, by evidence in its bytes.
//!
//! ```text
//! bytes --one pass for all literals--------> places --expressions around them--> evidence
//!       --ELF: SONAME, symbols, needs-----------------------------------------> evidence
//! evidence --weights, anti-evidence--> Hit { product, version, relation, places }
//! hits of all artifacts + packages --image--> Fact::Component
//! ```
//!
//! What identifies a product is data: `catalogue/components/*.toml`, explained in
//! the README there. This crate knows the language of the rules and no product.

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

mod catalogue;
pub mod elf;
pub mod fixtures;
mod identify;
pub mod join;
mod literals;
pub mod rule;
pub mod span;
mod strings;

pub use catalogue::Catalogue;
pub use identify::{Hit, VERSION_LIMIT};
pub use rule::Relation;
pub use span::Span;

/// Name of the state of engine and catalogue: part of a cache key and of an assessment's provenance.
pub const REVISION: &str = concat!("2-", env!("PROOFMARK_COMPONENTS_REVISION"));

/// The built-in catalogue, for look-ups by name or SONAME.
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    &catalogue::BUILT_IN
}

/// What the content is, contains, needs and names. Pure; time is bounded by the length of `bytes`.
#[must_use]
pub fn content(bytes: &[u8]) -> Vec<Hit> {
    catalogue().content(None, bytes)
}

/// The same with the content's real file name, which is evidence for libraries whose file name upstream makes
/// from the release. Two contents with equal bytes and other names may differ: the name is part of a cache key.
#[must_use]
pub fn content_named(path: &str, bytes: &[u8]) -> Vec<Hit> {
    catalogue().content(Some(path), bytes)
}
