//! Every kept input through its target, which checks more than the absence of panics.

#![allow(missing_docs)]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use proofmark_fuzz::{corpus, targets};

#[test]
fn what_was_kept_is_survived() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"));
    let mut inputs = 0;
    for target in targets() {
        for input in corpus::read(folder, &target.name) {
            let began = Instant::now();
            (target.check)(&input);
            assert!(began.elapsed() < Duration::from_secs(10), "{}", target.name);
            inputs += 1;
        }
    }
    assert!(inputs > 200, "the corpus is missing: cargo xtask fuzz --guided");
}
