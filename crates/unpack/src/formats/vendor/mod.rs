//! Update containers of equipment.

use crate::format::Format;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[];
