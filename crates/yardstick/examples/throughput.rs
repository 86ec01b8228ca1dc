//! Time of reading the built-in yardsticks and of judging an image of 30,000 facts, on one core.
//!
//! `cargo run --release -p proofmark-yardstick --example throughput`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use proofmark_model::{Locator, Observation, Step};
use proofmark_yardstick::evaluate;

fn main() {
    let start = Instant::now();
    let all = common::catalogues();
    println!("reading the built-in yardsticks: {:?}", start.elapsed());

    // One fact of each case, repeated in the proportions of a 13,000-file gateway image, until 30,000.
    let worlds: Vec<_> = common::cases().iter().map(common::build).collect();
    let of = |kind: &str, n: usize| -> Vec<Observation> {
        let one: Vec<&Observation> =
            worlds.iter().flat_map(|w| &w.observations).filter(|o| o.fact.kind() == kind).collect();
        (0..n)
            .map(|i| {
                let mut o = one[i % one.len()].clone();
                let place = format!("lib/{kind}/{i}");
                let root: Locator = common::ROOT.parse().unwrap();
                o.evidence = proofmark_model::Evidence::one(root.join(Step::entry(place)));
                o
            })
            .collect()
    };
    let mut world = common::build(&common::cases()[0]);
    for (kind, n) in [
        ("executable", 6_000),
        ("component", 6_000),
        ("permission", 13_000),
        ("setting", 1_500),
        ("service", 200),
        ("certificate", 300),
        ("private-key", 100),
        ("secret", 1_000),
        ("tool", 500),
        ("account", 60),
        ("mount", 40),
        ("scheduled-job", 20),
        ("kernel", 2),
        ("update-container", 3),
        ("login-key", 3),
    ] {
        world.observations.extend(of(kind, n));
    }
    let refs: Vec<_> = all.iter().collect();
    for catalogues in [&refs[..1], &refs[..]] {
        let start = Instant::now();
        let judgements = evaluate(catalogues, &world.evidence());
        println!(
            "{} requirements over {} facts: {:?}, {} findings",
            judgements.len(),
            world.observations.len(),
            start.elapsed(),
            judgements.iter().map(|j| j.findings.len()).sum::<usize>()
        );
    }
}
