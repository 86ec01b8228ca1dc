//! Made-up planning problems of a given size, for measurements and tests.
//!
//! The shape follows section 7 of the decision model: sites in towns, split into single-vendor
//! clusters and work regions, 58 % of the clusters with a vendor whose products fail, two compliant
//! target vendors that have to be onboarded, five periods, one job per site (radio and transport in
//! one visit), and money and crews about 12 % above what a full swap needs.

use super::instance::{Choice, Cluster, Instance, Job, NONE, Platform, Row};
use super::search::Random;

/// Which policy the sample is planned under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Core and protected sites out by the second period, at most 35 % of traffic from the third.
    Cap,
    /// Everything out within five periods.
    Full,
}

/// Splits points by the median of the wider side until no part has more than `most`.
fn split(points: &[(f64, f64)], ids: Vec<u32>, most: usize, out: &mut Vec<Vec<u32>>) {
    if ids.len() <= most {
        out.push(ids);
        return;
    }
    let mut ids = ids;
    let side = |f: fn(&(f64, f64)) -> f64| {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for i in &ids {
            let v = f(&points[*i as usize]);
            low = low.min(v);
            high = high.max(v);
        }
        high - low
    };
    let wide = side(|p| p.0) >= side(|p| p.1);
    ids.sort_by(|a, b| {
        let (p, q) = (points[*a as usize], points[*b as usize]);
        let by = if wide { p.0.total_cmp(&q.0) } else { p.1.total_cmp(&q.1) };
        by.then(a.cmp(b))
    });
    let right = ids.split_off(ids.len() / 2);
    split(points, ids, most, out);
    split(points, right, most, out);
}

/// A problem over `sites` sites; costs are in thousands.
#[must_use]
pub fn network(sites: usize, policy: Policy, seed: u64) -> Instance {
    let mut r = Random(seed);
    let t = 5;
    let discount = |s: usize| 1.05f64.powi(-(s as i32));
    let towns: Vec<(f64, f64)> =
        (0..(sites / 60).max(3)).map(|_| (r.unit() * 10.0, r.unit() * 10.0)).collect();
    let points: Vec<(f64, f64)> = (0..sites)
        .map(|_| {
            // Larger towns come first in the list.
            let k = (r.unit().powi(3) * towns.len() as f64) as usize;
            let spread = 0.3 * (1.0 - r.unit()).ln().abs();
            let angle = r.unit() * std::f64::consts::TAU;
            (towns[k].0 + spread * angle.cos(), towns[k].1 + spread * angle.sin())
        })
        .collect();
    let all: Vec<u32> = (0..sites as u32).collect();
    let mut clusters = Vec::new();
    split(&points, all, 33, &mut clusters);
    // Clusters come out in order of space: a run of them is a region.
    let regions = (sites / 1000).max(2);
    let mut p = Instance {
        periods: t,
        regions,
        platforms: vec![
            Platform { onboard: (0..t).map(|s| 3000.0 * discount(s)).collect(), lag: 0 },
            Platform { onboard: (0..t).map(|s| 2500.0 * discount(s)).collect(), lag: 0 },
        ],
        ..Instance::default()
    };
    let mut traffic = Vec::new();
    let mut kept_traffic = 0.0;
    let core = 4;
    for _ in 0..core {
        let spend = 500.0 + 500.0 * r.unit();
        p.jobs.push(Job {
            cluster: NONE,
            region: 0,
            first: p.choices.len() as u32,
            count: 1,
            keep: f64::INFINITY,
            member: 0,
        });
        p.choices.push(Choice {
            platform: NONE,
            opens: false,
            member: 0,
            spend,
            crew: 0.0,
            outage: 0.0,
            cost: (0..t).map(|s| if s < 2 { spend * discount(s) } else { f64::INFINITY }).collect(),
        });
        traffic.push(0.0);
    }
    p.groups.push((0..core as u32).collect());
    let mut need_crew = vec![0.0; regions];
    let mut need_money = 0.0;
    let count = clusters.len();
    for (k, members) in clusters.into_iter().enumerate() {
        let region = (k * regions / count) as u32;
        if r.unit() >= 0.58 {
            kept_traffic += members.iter().map(|_| 1.0 / (0.05 + r.unit())).sum::<f64>();
            continue;
        }
        let c = p.clusters.len() as u32;
        let mobilise = 100.0 + 100.0 * r.unit();
        p.clusters.push(Cluster {
            open: (0..t).map(|s| mobilise * discount(s)).collect(),
            max_open: 5,
            group: 0,
            home: NONE,
        });
        let prefer = [0.95 + 0.1 * r.unit(), 0.95 + 0.1 * r.unit()];
        for _ in members {
            let weight = 1.0 / (0.05 + r.unit());
            let customers = 600.0 * weight * (0.5 + r.unit());
            let spend = 90.0 + 80.0 * r.unit();
            let crew = 0.9 + 0.8 * r.unit();
            let outage = (240.0 + 400.0 * r.unit()) * customers * 0.4;
            let refresh = r.below(10);
            let protected = r.unit() < 0.04;
            need_crew[region as usize] += crew;
            need_money += spend;
            let by = match policy {
                Policy::Full => t,
                Policy::Cap if protected => 2,
                Policy::Cap => t,
            };
            let must = policy == Policy::Full || protected;
            p.jobs.push(Job {
                cluster: c,
                region,
                first: p.choices.len() as u32,
                count: 2,
                keep: if must { f64::INFINITY } else { 0.0 },
                member: 1,
            });
            traffic.push(weight);
            for (v, factor) in prefer.iter().enumerate() {
                let spend = spend * factor;
                let cost = (0..t)
                    .map(|s| {
                        if s >= by {
                            return f64::INFINITY;
                        }
                        // Life of eight periods; the refresh that is saved is credited.
                        let credit = if refresh < 8 {
                            let early = refresh.saturating_sub(s) as f64;
                            0.8 * spend * discount(refresh) * (1.0 - early / 8.0)
                        } else {
                            0.0
                        };
                        spend * discount(s) - credit + 1e-5 * outage * discount(s)
                    })
                    .collect();
                p.choices.push(Choice {
                    platform: v as u32,
                    opens: true,
                    member: 0,
                    spend,
                    crew,
                    outage,
                    cost,
                });
            }
        }
    }
    // Radio waits for the core, so four periods have to carry it.
    let slack = 1.12;
    p.money = vec![need_money * slack / 4.0 + 4000.0; t];
    p.crews = need_crew.iter().flat_map(|c| vec![c * slack / 4.0; t]).collect();
    p.disruption = vec![f64::INFINITY; t * regions];
    let total: f64 = traffic.iter().sum::<f64>() + kept_traffic;
    if policy == Policy::Cap {
        for s in 2..t {
            let mut coefficient = vec![0.0; t];
            coefficient[s] = 1.0;
            p.rows.push(Row { set: 0, coefficient, limit: 0.35 * total, rule: 0 });
        }
    }
    p.weights = vec![traffic];
    p
}
