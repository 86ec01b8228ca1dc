//! The planner against an exact model that is written independently: plain enumeration of every
//! plan with its own sums. Same optimum, same verdict on infeasibility, and a bound that never
//! exceeds the optimum.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use proofmark_network::Silent;
use proofmark_network::plan::instance::NONE;
use proofmark_network::plan::{Decision, Instance, Options, Status, solve};

#[path = "common/small.rs"]
mod small;
use small::random_instance;

/// Cost of a plan if it is allowed; written from the text of the model, not from the code.
fn price(p: &Instance, plan: &[Decision]) -> Option<f64> {
    let t = p.periods;
    let tiny = 1e-7;
    let mut cost = 0.0;
    let get =
        |j: usize| plan[j].map(|(c, w)| (&p.choices[(p.jobs[j].first + c) as usize], w as usize));
    for j in 0..p.jobs.len() {
        cost += match get(j) {
            None => p.jobs[j].keep,
            Some((c, w)) => c.cost[w],
        };
    }
    if !cost.is_finite() {
        return None;
    }
    let (mut spent, mut had) = (0.0, 0.0);
    for k in 0..t {
        let now: f64 =
            (0..p.jobs.len()).filter_map(get).filter(|x| x.1 == k).map(|x| x.0.spend).sum();
        if p.carry {
            spent += now;
            had += p.money[k];
        } else {
            spent = now;
            had = p.money[k];
        }
        if spent > had + tiny * had.max(1.0) {
            return None;
        }
        for r in 0..p.regions {
            let here = || {
                (0..p.jobs.len())
                    .filter(|j| p.jobs[*j].region as usize == r)
                    .filter_map(get)
                    .filter(|x| x.1 == k)
            };
            let (crews, minutes) = (p.crews[r * t + k], p.disruption[r * t + k]);
            if here().map(|x| x.0.crew).sum::<f64>() > crews + tiny * crews.max(1.0)
                || here().map(|x| x.0.outage).sum::<f64>() > minutes + tiny * minutes.max(1.0)
            {
                return None;
            }
        }
    }
    for row in &p.rows {
        let mut sum = 0.0;
        for k in 0..t {
            for j in 0..p.jobs.len() {
                let state = match get(j) {
                    Some((c, w)) if w <= k => c.member,
                    _ => p.jobs[j].member,
                };
                if state >> row.set & 1 == 1 {
                    sum += row.coefficient[k] * p.weights[row.set as usize][j];
                }
            }
        }
        if sum > row.limit + tiny * row.limit.max(1.0) {
            return None;
        }
    }
    let mut end = Vec::new();
    for (c, cluster) in p.clusters.iter().enumerate() {
        let opening: Vec<_> = (0..p.jobs.len())
            .filter(|j| p.jobs[*j].cluster == c as u32)
            .filter_map(get)
            .filter(|x| x.0.opens)
            .collect();
        let mut when: Vec<usize> = opening.iter().map(|x| x.1).collect();
        when.sort_unstable();
        when.dedup();
        let mut to: Vec<u32> =
            opening.iter().map(|x| x.0.platform).filter(|x| *x != NONE).collect();
        to.sort_unstable();
        to.dedup();
        if when.len() > cluster.max_open as usize || to.len() > 1 {
            return None;
        }
        if let (Some(first), true) = (when.first(), cluster.group != NONE) {
            for j in &p.groups[cluster.group as usize] {
                if get(*j as usize).is_none_or(|x| x.1 >= *first) {
                    return None;
                }
            }
        }
        cost += when.iter().map(|k| cluster.open[*k]).sum::<f64>();
        end.push(to.first().copied().unwrap_or(cluster.home));
    }
    for (i, platform) in p.platforms.iter().enumerate() {
        let first = (0..p.jobs.len())
            .filter_map(get)
            .filter(|x| x.0.platform == i as u32)
            .map(|x| x.1)
            .min();
        if let (Some(first), false) = (first, platform.onboard.is_empty()) {
            if first < platform.lag as usize {
                return None;
            }
            cost += platform.onboard[..=first - platform.lag as usize]
                .iter()
                .copied()
                .fold(f64::INFINITY, f64::min);
        }
    }
    cost += p
        .borders
        .iter()
        .filter(|b| end[b.0 as usize] != end[b.1 as usize])
        .map(|b| b.2)
        .sum::<f64>();
    Some(cost)
}

fn enumerate(p: &Instance) -> Option<f64> {
    let mut plan: Vec<Decision> = vec![None; p.jobs.len()];
    let mut best: Option<f64> = None;
    loop {
        if let Some(c) = price(p, &plan) {
            best = Some(best.map_or(c, |b| b.min(c)));
        }
        let mut j = 0;
        loop {
            if j == plan.len() {
                return best;
            }
            let next = match plan[j] {
                None => Some((0, 0)),
                Some((c, w)) if (w as usize) + 1 < p.periods => Some((c, w + 1)),
                Some((c, _)) if c + 1 < p.jobs[j].count => Some((c + 1, 0)),
                Some(_) => None,
            };
            plan[j] = next;
            if next.is_some() {
                break;
            }
            j += 1;
        }
    }
}

#[test]
fn small_networks_same_optimum() {
    let options =
        Options { bound_steps: 120, rounds: 2, moves: 400, gap: 0.0, ..Options::default() };
    let (mut solved, mut infeasible, mut by_search) = (0, 0, 0);
    for seed in 1..=600 {
        let p = random_instance(seed);
        let want = enumerate(&p);
        let got = solve(&p, &options, &Silent).unwrap();
        match want {
            None => {
                assert_eq!(got.status, Status::Infeasible, "seed {seed}");
                infeasible += 1;
            }
            Some(best) => {
                assert_eq!(got.status, Status::Optimal, "seed {seed}: {best} against {got:?}");
                assert!(
                    (got.account.cost - best).abs() <= 1e-6 * best.abs().max(1.0),
                    "seed {seed}: {} is not {best}",
                    got.account.cost
                );
                let again = price(&p, &got.plan).expect("the plan is allowed");
                assert!(
                    (again - got.account.cost).abs() < 1e-6,
                    "seed {seed}: the checker and the model differ"
                );
                solved += 1;
                // Without the exact stage the bound must still hold.
                let loose = solve(&p, &Options { nodes: 0, ..options.clone() }, &Silent).unwrap();
                assert!(
                    loose.bound <= best + 1e-6 * best.abs().max(1.0),
                    "seed {seed}: bound {} above {best}",
                    loose.bound
                );
                by_search += u32::from(
                    loose.account.violations.is_empty()
                        && loose.account.cost <= best + 1e-6 * best.abs().max(1.0),
                );
            }
        }
    }
    println!(
        "compared: {} random networks by enumeration of every plan: {solved} to the same optimum, {infeasible} without a plan shown by both; the search alone found {by_search} of the optima",
        solved + infeasible
    );
    // Both kinds must occur, or the test says nothing.
    assert!(solved >= 300 && infeasible >= 40, "{solved} solved, {infeasible} infeasible");
    // The search alone finds nearly all optima of such small networks.
    assert!(
        f64::from(by_search) >= 0.9 * f64::from(solved),
        "{by_search} of {solved} by search alone"
    );
}
