//! Inventory, exposure, policy, cost and plan of a telecom network.
//!
//! The way of the data is one direction:
//!
//! ```text
//! files --inventory--> Inventory --evidence--> unit verdicts --exposure--> metrics
//!                           |                       |
//!                           +---- policy, costs ----+--> plan::Instance --plan--> Plan --report--> files
//! ```
//!
//! Nothing here prints, reads a clock or the environment. Long work takes a
//! [`Watch`], which is told how far it is and says whether to go on.
//! A verdict, never a vendor's country, decides what counts as failing; a
//! device without evidence is *unknown*, and every figure is an [`Interval`]
//! from "unknown passes" to "unknown fails".

pub mod commands;
pub mod cost;
pub mod date;
pub mod error;
pub mod evidence;
pub mod exposure;
pub mod files;
pub mod inventory;
pub mod plan;
pub mod policy;
pub mod report;
pub mod scenario;
pub mod tables;
pub mod watch;
pub mod workbook;

#[cfg(test)]
extern crate self as proofmark_network;

pub use error::Error;
pub use watch::{Go, Progress, Silent, Watch};

use serde::{Deserialize, Serialize};

/// A figure that is known up to what is unknown: from "unknown passes" to "unknown fails".
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Interval {
    /// With unknown = pass, and missing weights at the end that makes the figure small.
    pub low: f64,
    /// With unknown = fail, and missing weights at the end that makes the figure large.
    pub high: f64,
}

impl Interval {
    /// A figure that is known.
    #[must_use]
    pub const fn exact(value: f64) -> Self {
        Self { low: value, high: value }
    }

    /// Width of the interval.
    #[must_use]
    pub fn width(self) -> f64 {
        self.high - self.low
    }
}
