//! HiGHS against the planner's own search: small random networks are proven by both, and agree.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proofmark_highs::Highs;
use proofmark_network::Silent;
use proofmark_network::plan::{Options, Status, sample, solve};

#[path = "../../network/tests/common/small.rs"]
mod small;

#[test]
fn same_optimum_on_small_networks() {
    let own = Options { bound_steps: 120, rounds: 2, moves: 400, gap: 0.0, ..Options::default() };
    // No search to speak of and no enumeration: what is proven is proven by HiGHS.
    let highs = Options {
        bound_steps: 40,
        rounds: 1,
        moves: 1,
        nodes: 0,
        backend: Some(Arc::new(Highs)),
        ..own.clone()
    };
    let (mut solved, mut infeasible) = (0, 0);
    for seed in 1..=600 {
        let p = small::random_instance(seed);
        let a = solve(&p, &own, &Silent).unwrap();
        let b = solve(&p, &highs, &Silent).unwrap();
        assert_eq!(a.status, b.status, "seed {seed}: {a:?} against {b:?}");
        if a.status == Status::Optimal {
            let (x, y) = (a.account.cost, b.account.cost);
            assert!((x - y).abs() <= 1e-6 * x.abs().max(1.0), "seed {seed}: {x} against {y}");
            solved += 1;
        } else {
            assert_eq!(a.status, Status::Infeasible, "seed {seed}");
            infeasible += 1;
        }
    }
    assert!(solved >= 300 && infeasible >= 40, "{solved} solved, {infeasible} infeasible");
    println!(
        "compared: {} random networks with HiGHS: {solved} to the same optimum, {infeasible} without a plan shown by both",
        solved + infeasible
    );
}

#[test]
fn tightens_a_larger_network() {
    let p = sample::network(400, sample::Policy::Cap, 1);
    let quick =
        Options { rounds: 1, bound_steps: 160, moves: 100, gap: 1e-5, ..Options::default() };
    let before = solve(&p, &quick, &Silent).unwrap();
    let with = Options { backend: Some(Arc::new(Highs)), backend_seconds: 120.0, ..quick };
    let after = solve(&p, &with, &Silent).unwrap();
    assert!(after.account.violations.is_empty());
    assert!(after.account.cost <= before.account.cost && after.bound >= before.bound);
    assert!(after.gap < before.gap, "{} is not below {}", after.gap, before.gap);
}

#[test]
fn programs_that_make_no_sense_are_refused() {
    use proofmark_network::plan::solver::Mip;
    let mut mip = Mip::default();
    mip.column(1.0, true);
    mip.row(1.0, 1.0, [(3, 1.0)]);
    assert!(proofmark_highs::solve(&mip).is_err());
}
