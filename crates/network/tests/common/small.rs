//! Small random networks with every kind of constraint.

use proofmark_network::plan::instance::NONE;
use proofmark_network::plan::{Choice, Cluster, Instance, Job, Platform, Row};

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

/// A network by its number.
pub fn random_instance(seed: u64) -> Instance {
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
