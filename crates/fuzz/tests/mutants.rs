//! The engine on damaged images of every kind that the tools make: cut off at 50 places, and with 50 flipped bits.

#![allow(missing_docs, clippy::unwrap_used)]

#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
#[path = "../../unpack/tests/common/mutants.rs"]
mod mutants;

use std::collections::BTreeSet;

use proofmark_fuzz::seeds;
use proofmark_unpack::{Input, Options, formats, unpack};

#[test]
fn damaged_images_of_every_kind_are_survived() {
    let made = seeds::made().unwrap();
    assert!(
        made.missing.is_empty(),
        "tools are missing: apt-get install {}",
        made.missing.into_iter().collect::<Vec<_>>().join(" ")
    );
    let read: BTreeSet<_> = formats::all().iter().map(|f| f.about().id).collect();
    for (format, images) in &made.images {
        for image in images {
            mutants::survive(format, image);
            // What is not damaged is recognised from its first byte to its last but padding. The image around the files of
            // a memory device has no format.
            if read.contains(format) && *format != "vxworks-memfs" {
                let outcome =
                    unpack(Input::bytes("whole", image.clone()), &Options::default(), &());
                let c = &outcome.coverage;
                assert_eq!(c.opaque, 0, "{format}: {c:?}");
            }
        }
    }
}
