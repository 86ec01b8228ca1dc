//! Time to unpack bytes that are nothing but magics against as many zeros: `magics [MIB [FORMAT...]]`.
//!
//! The bound on work says that the ratio stays below 3 whatever the magics are.

#![allow(clippy::print_stdout, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Instant;

use proofmark_unpack::{Input, Options, format::Format, formats, unpack};

fn main() {
    let mib: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(256);
    let size = mib << 20;
    let time = |data: Vec<u8>| {
        let start = Instant::now();
        let outcome = unpack(Input::bytes("data", data), &Options::default(), &());
        (
            start.elapsed().as_secs_f64(),
            outcome.artifacts.len(),
            outcome.artifacts[0].problems.len(),
        )
    };
    let (zeros, ..) = time(vec![0; size]);
    println!("{mib} MiB of zeros: {zeros:.2} s");
    let report = |name: &str, data: Vec<u8>| {
        let (taken, artifacts, problems) = time(data);
        let ratio = taken / zeros;
        println!(
            "{name:<20} {taken:>6.2} s  x{ratio:.2}  {artifacts} artifacts, {problems} problems"
        );
    };
    let cycle = |bytes: &[u8]| bytes.iter().copied().cycle().take(size).collect();
    report(
        "noise",
        (0..size as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect(),
    );
    let only: Vec<_> = std::env::args().skip(2).collect();
    let asked: Vec<_> = formats::all()
        .into_iter()
        .filter(|f| only.is_empty() || only.iter().any(|o| o == f.about().id))
        .collect();
    let magics = |f: &dyn Format| f.magics().iter().filter(|m| m.anywhere).map(|m| m.bytes);
    report(
        "all in turn",
        cycle(&asked.iter().flat_map(|f| magics(*f)).collect::<Vec<_>>().concat()),
    );
    for format in asked {
        // Some announce the same structure with hundreds of values in it.
        for magic in magics(format).take(5) {
            report(format.about().id, cycle(magic));
        }
    }
}
