//! Runs the target named by the environment variable `TARGET`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use proofmark_fuzz::{Target, targets};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").expect("set TARGET; `cargo xtask fuzz --list` names them");
    targets().into_iter().find(|t| t.name == name).expect("no such target")
});

fuzz_target!(|data: &[u8]| {
    (TARGET.check)(data);
});
