//! The planner against an exact model that is written independently: plain enumeration of every
//! plan with its own sums. Same optimum, same verdict on infeasibility, and a bound that never
//! exceeds the optimum.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use proofmark_network::Silent;
use proofmark_network::plan::instance::NONE;
use proofmark_network::plan::{
    Choice, Cluster, Decision, Instance, Job, Options, Platform, Row, Status, solve,
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    fn range(&mut self, low: u64, high: u64) -> f64 {
        (low + self.below(high - low + 1)) as f64
    }
}

fn random_instance(seed: u64) -> Instance {
    let mut r = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..5 {
        r.next();
    }
    let t = 1 + r.below(3) as usize;
    let regions = 1 + r.below(2) as usize;
    let sets = 1 + r.below(2) as usize;
    let platforms: Vec<Platform> = (0..1 + r.below(2))
        .map(|_| Platform {
            onboard: if r.chance(50) {
                (0..t).map(|k| r.range(5, 30) - k as f64).collect()
            } else {
                vec![]
            },
            lag: r.below(2) as u32,
        })
        .collect();
    let groups_wanted = r.chance(40);
    let n_clusters = 1 + r.below(2) as usize;
    let clusters: Vec<Cluster> = (0..n_clusters)
        .map(|_| Cluster {
            open: (0..t).map(|k| r.range(0, 25) * (1.0 - 0.05 * k as f64)).collect(),
            max_open: 1 + r.below(t as u64) as u32,
            group: if groups_wanted && r.chance(70) { 0 } else { NONE },
            home: if r.chance(50) { r.below(platforms.len() as u64) as u32 } else { NONE },
        })
        .collect();
    let n = 3 + r.below(3) as usize;
    let mut jobs = Vec::new();
    let mut choices = Vec::new();
    let mut groups = Vec::new();
    for j in 0..n {
        let core = groups_wanted && j == 0;
        let cluster = if core || r.chance(20) { NONE } else { r.below(n_clusters as u64) as u32 };
        let first = choices.len() as u32;
        let count = if n == 5 { 1 + r.below(2) } else { 1 + r.below(3) };
        for _ in 0..count {
            let base = r.range(10, 60);
            let opens = cluster != NONE && r.chance(75);
            choices.push(Choice {
                platform: if opens || r.chance(40) {
                    r.below(platforms.len() as u64) as u32
                } else {
                    NONE
                },
                opens,
                member: if r.chance(75) { 0 } else { r.below(1 << sets) },
                spend: base,
                crew: r.range(0, 6),
                outage: r.range(0, 5),
                cost: (0..t)
                    .map(|k| {
                        if r.chance(8) {
                            f64::INFINITY
                        } else {
                            base * 0.93f64.powi(k as i32) - r.range(0, 8)
                        }
                    })
                    .collect(),
            });
        }
        if core {
            groups.push(vec![j as u32]);
        }
        jobs.push(Job {
            cluster,
            region: r.below(regions as u64) as u32,
            first,
            count: count as u32,
            keep: if r.chance(35) { f64::INFINITY } else { r.range(0, 10) },
            member: if r.chance(80) { 1 | r.below(1 << sets) } else { 0 },
        });
    }
    if groups.is_empty() && groups_wanted {
        groups.push(vec![]);
    }
    let weights: Vec<Vec<f64>> =
        (0..sets).map(|_| (0..n).map(|_| r.range(1, 9)).collect()).collect();
    let rows = (0..r.below(3))
        .map(|k| {
            let set = r.below(sets as u64) as usize;
            let total: f64 = weights[set].iter().sum();
            let integral = r.chance(30);
            let date = r.below(t as u64) as usize;
            let coefficient: Vec<f64> = (0..t)
                .map(|q| if integral { 0.25 } else { f64::from(u8::from(q == date)) })
                .collect();
            let limit = total * coefficient.iter().sum::<f64>() * r.range(10, 90) / 100.0;
            Row { set: set as u32, coefficient, limit, rule: k as u32 }
        })
        .collect();
    let spend: f64 = choices.iter().map(|c| c.spend).sum::<f64>() / 2.0;
    let crew: f64 = choices.iter().map(|c| c.crew).sum::<f64>() / 2.0;
    let borders =
        if n_clusters == 2 && r.chance(50) { vec![(0, 1, r.range(1, 20))] } else { vec![] };
    Instance {
        periods: t,
        regions,
        jobs,
        choices,
        clusters,
        platforms,
        groups,
        weights,
        rows,
        money: (0..t)
            .map(|_| {
                if r.chance(40) {
                    f64::INFINITY
                } else {
                    spend / t as f64 * r.range(40, 200) / 100.0
                }
            })
            .collect(),
        carry: r.chance(30),
        crews: (0..t * regions)
            .map(|_| {
                if r.chance(40) {
                    f64::INFINITY
                } else {
                    (crew / (t * regions) as f64 * r.range(50, 250) / 100.0).round()
                }
            })
            .collect(),
        disruption: (0..t * regions)
            .map(|_| if r.chance(75) { f64::INFINITY } else { r.range(3, 20) })
            .collect(),
        borders,
    }
}

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
    // Both kinds must occur, or the test says nothing.
    assert!(solved >= 300 && infeasible >= 40, "{solved} solved, {infeasible} infeasible");
    // The search alone finds nearly all optima of such small networks.
    assert!(
        f64::from(by_search) >= 0.9 * f64::from(solved),
        "{by_search} of {solved} by search alone"
    );
}
