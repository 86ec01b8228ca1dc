//! Partition tables, volume managers, block layers.

use crate::format::Format;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[];
