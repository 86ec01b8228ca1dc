//! Time of reading the built-in yardsticks and of judging an image of 30,000 facts, on one core.
//!
//! `cargo run --release -p proofmark-yardstick --example throughput`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use proofmark_model::{Locator, Observation, Step};
use proofmark_yardstick::evaluate;

/// Time this thread was on a processor (Linux), so that other work on the machine does not count.
fn on_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let start = on_cpu();
    let all = common::catalogues();
    println!("reading the built-in yardsticks: {:.3} s", on_cpu() - start);

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
        let start = on_cpu();
        let judgements = evaluate(catalogues, &world.evidence());
        println!(
            "{} requirements over {} facts: {:.3} s, {} findings",
            judgements.len(),
            world.observations.len(),
            on_cpu() - start,
            judgements.iter().map(|j| j.findings.len()).sum::<usize>()
        );
    }
}
