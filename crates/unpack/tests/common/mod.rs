//! What the tests of formats share: a tree to make images of ([`tree`]), and a
//! way to read them back and compare ([`check`]).

#![allow(dead_code, reason = "each test crate uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stderr
)]

pub mod check;
pub mod mutants;
pub mod tree;
