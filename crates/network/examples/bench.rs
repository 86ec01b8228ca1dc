//! Measures the planner: `cargo run --release -p proofmark-network --example bench -- SITES cap|full
//! [ROUNDS MOVES STEPS SEED GAP]`, with an exact solver behind it if `PROOFMARK_HIGHS` names one
//! (`SECONDS` says how long it may take), or the metrics of exposure: `... -- SITES exposure` (six devices a site).
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use proofmark_model::Verdict;
use proofmark_network::evidence::Evidence;
use proofmark_network::exposure::{Options as Measured, Weight, measure};
use proofmark_network::plan::solver::{Process, Solver};
use proofmark_network::plan::{Options, sample, solve};
use proofmark_network::{Go, Progress};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |i: usize, default: u64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let sites = number(0, 1666) as usize;
    if args.get(1).is_some_and(|a| a == "exposure") {
        return exposure(sites);
    }
    let policy = match args.get(1).map(String::as_str) {
        Some("cap") => sample::Policy::Cap,
        _ => sample::Policy::Full,
    };
    let d = Options::default();
    let options = Options {
        rounds: number(2, u64::from(d.rounds)) as u32,
        moves: number(3, d.moves),
        bound_steps: number(4, d.bound_steps),
        gap: args.get(6).and_then(|a| a.parse().ok()).unwrap_or(d.gap),
        backend: std::env::var_os("PROOFMARK_HIGHS")
            .map(|p| Arc::new(Process { program: p.into() }) as Arc<dyn Solver>),
        backend_seconds: std::env::var("SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60.0),
        ..d
    };
    let p = sample::network(sites, policy, number(5, 1));
    println!(
        "{} sites, {} jobs, {} clusters, {} regions, {policy:?}",
        sites,
        p.jobs.len(),
        p.clusters.len(),
        p.regions
    );
    let start = Instant::now();
    let watch = |x: &Progress<'_>| {
        if x.done.is_multiple_of(64) || x.stage == "search" {
            println!(
                "{:7.2} s  {:7} {:4}/{:4}  cost {:?} bound {:?} gap {:?}",
                start.elapsed().as_secs_f64(),
                x.stage,
                x.done,
                x.of,
                x.incumbent,
                x.bound,
                x.gap()
            );
        }
        Go::On
    };
    match solve(&p, &options, &watch) {
        Ok(s) => {
            println!(
                "{:7.2} s  {:?} cost {:.1} bound {:.1} gap {:.3} %  violations {}",
                start.elapsed().as_secs_f64(),
                s.status,
                s.account.cost,
                s.bound,
                s.gap * 100.0,
                s.account.violations.len()
            );
            for v in s.account.violations.iter().take(5) {
                println!("  {v:?}");
            }
        }
        Err(e) => println!("{e}"),
    }
}

/// Metrics of an operator of which half the clusters fail.
fn exposure(sites: usize) {
    let o = sample::Operator { sites, share: 0.5, cores: 1, installed: (2015, 2022) };
    let inventory = sample::operator(&o);
    let mut evidence = Evidence::default();
    for (product, verdict) in [("A", Verdict::Fail), ("B", Verdict::Pass), ("C", Verdict::Pass)] {
        evidence.add_verdict(product, "1.0", "ACC-01", verdict);
    }
    let start = Instant::now();
    let x = measure(&inventory, &evidence, &Measured::default());
    println!(
        "{sites} sites, {} devices: {:.2} s; traffic that must pass a failing unit: {:?}",
        inventory.devices.len(),
        start.elapsed().as_secs_f64(),
        x.reach.must.get(&Weight::Traffic)
    );
}
