//! One file per format, grouped by family. Adding a format is one file plus a
//! line in its family's list.

use crate::format::Format;

pub mod archive;
pub mod boot;
pub mod compress;
pub mod executable;
pub mod filesystem;
pub mod layout;
pub mod leaf;
pub mod partition;
pub mod sums;
#[cfg(test)]
pub mod testing;
pub mod vendor;

/// Every format, in the order of ids. No result depends on this order.
#[must_use]
pub fn all() -> Vec<&'static dyn Format> {
    let mut formats: Vec<_> = [
        archive::FORMATS,
        boot::FORMATS,
        compress::FORMATS,
        executable::FORMATS,
        filesystem::FORMATS,
        leaf::FORMATS,
        partition::FORMATS,
        vendor::FORMATS,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect();
    formats.sort_by_key(|f| f.about().id);
    formats
}
