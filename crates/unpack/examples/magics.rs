//! Time to unpack bytes that are nothing but magics against as many zeros: `magics [MIB [FORMAT...]]`.
//!
//! The bound on work says that the ratio stays below 3 whatever the magics are.

#![allow(clippy::print_stdout, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Instant;

use proofmark_unpack::{Input, Options, formats, unpack};

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
    let noise =
        |n: usize| (0..n as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    let mut all = Vec::new();
    let only: Vec<_> = std::env::args().skip(2).collect();
    for format in formats::all() {
        if !only.is_empty() && !only.iter().any(|o| o == format.about().id) {
            continue;
        }
        // Some announce the same structure with hundreds of values in it.
        for (n, magic) in format.magics().iter().filter(|m| m.anywhere).enumerate() {
            all.extend_from_slice(magic.bytes);
            if n >= 4 {
                continue;
            }
            let one: Vec<u8> = magic.bytes.iter().copied().cycle().take(size).collect();
            let (taken, artifacts, problems) = time(one);
            println!(
                "{:<20} {:>6.2} s  x{:.2}  {artifacts} artifacts, {problems} problems",
                format.about().id,
                taken,
                taken / zeros
            );
        }
    }
    let together: Vec<u8> = all.iter().copied().cycle().take(size).collect();
    let (taken, artifacts, problems) = time(together);
    println!(
        "all in turn: {taken:.2} s  x{:.2}  {artifacts} artifacts, {problems} problems",
        taken / zeros
    );
    let random: Vec<u8> = noise(size).collect();
    let (taken, artifacts, _) = time(random);
    println!("noise: {taken:.2} s  x{:.2}  {artifacts} artifacts", taken / zeros);
}
