//! The independent checker: what a plan costs and which constraints it violates.
//!
//! It shares no code with the planner: every figure is summed up anew from the instance, in the
//! plainest way. Every plan passes through it, in tests and in normal use.

use std::collections::BTreeMap;

use serde::Serialize;

use super::instance::{Decision, Instance, NONE};

/// What a violated constraint limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Money of a period.
    Money {
        /// Period.
        period: u32,
    },
    /// Crew-weeks of a region and period.
    Crews {
        /// Region.
        region: u32,
        /// Period.
        period: u32,
    },
    /// Customer-minutes of a region and period.
    Disruption {
        /// Region.
        region: u32,
        /// Period.
        period: u32,
    },
    /// A row.
    Row {
        /// Index of the row.
        row: u32,
    },
    /// A job that must be acted on is kept, or acted on where it is not allowed.
    Job {
        /// Index of the job.
        job: u32,
    },
    /// Jobs of a cluster have different target platforms, or it is open too often.
    Cluster {
        /// Index of the cluster.
        cluster: u32,
    },
    /// A platform is used before it can have been onboarded.
    Platform {
        /// Index of the platform.
        platform: u32,
    },
    /// A cluster opens before its core group is finished.
    Group {
        /// Index of the cluster.
        cluster: u32,
    },
}

/// A constraint that a plan does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Violation {
    /// Which.
    pub what: What,
    /// By how much, in the unit of the constraint.
    pub excess: f64,
    /// The limit.
    pub limit: f64,
}

/// The account of a plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Account {
    /// Everything that is minimised.
    pub cost: f64,
    /// Of it, for actions and kept jobs.
    pub jobs: f64,
    /// Of it, for opening clusters.
    pub openings: f64,
    /// Of it, for onboarding.
    pub onboarding: f64,
    /// Of it, for borders between platforms.
    pub borders: f64,
    /// Money drawn in each period.
    pub spend: Vec<f64>,
    /// Crew-weeks drawn, by region and period.
    pub crews: Vec<f64>,
    /// Customer-minutes, by region and period.
    pub outage: Vec<f64>,
    /// Left-hand side of each row.
    pub rows: Vec<f64>,
    /// Period in which each platform is onboarded.
    pub onboarded: BTreeMap<u32, u32>,
    /// What is violated.
    pub violations: Vec<Violation>,
}

/// A limit is kept if it is not exceeded by more than this part of it.
pub const TOLERANCE: f64 = 1e-7;

fn over(used: f64, limit: f64) -> bool {
    used > limit + TOLERANCE * limit.abs().max(1.0)
}

/// Adds up a plan.
#[must_use]
pub fn account(p: &Instance, plan: &[Decision]) -> Account {
    let t = p.periods;
    let mut a = Account {
        spend: vec![0.0; t],
        crews: vec![0.0; t * p.regions],
        outage: vec![0.0; t * p.regions],
        rows: vec![0.0; p.rows.len()],
        ..Account::default()
    };
    let mut violated = Vec::new();
    let mut note = |what, excess: f64, limit: f64| violated.push(Violation { what, excess, limit });
    // For each cluster the periods it is open in and the platforms it goes to.
    let mut open: Vec<BTreeMap<u32, ()>> = vec![BTreeMap::new(); p.clusters.len()];
    let mut goes: Vec<BTreeMap<u32, ()>> = vec![BTreeMap::new(); p.clusters.len()];
    let mut first_use: BTreeMap<u32, u32> = BTreeMap::new();
    for (j, job) in p.jobs.iter().enumerate() {
        let decision = plan.get(j).copied().flatten();
        let member = |period: usize| match decision {
            Some((c, when)) if when as usize <= period => {
                p.choices_of(j).get(c as usize).map_or(job.member, |c| c.member)
            }
            _ => job.member,
        };
        for (k, row) in p.rows.iter().enumerate() {
            for (period, coefficient) in row.coefficient.iter().enumerate() {
                if member(period) & (1 << row.set) != 0 {
                    a.rows[k] += coefficient * p.weights[row.set as usize][j];
                }
            }
        }
        let Some((c, when)) = decision else {
            if job.keep.is_finite() {
                a.jobs += job.keep;
            } else {
                note(What::Job { job: j as u32 }, 1.0, 0.0);
            }
            continue;
        };
        let Some(choice) = p.choices_of(j).get(c as usize).filter(|_| (when as usize) < t) else {
            note(What::Job { job: j as u32 }, 1.0, 0.0);
            continue;
        };
        let cost = choice.cost[when as usize];
        if cost.is_finite() {
            a.jobs += cost;
        } else {
            note(What::Job { job: j as u32 }, 1.0, 0.0);
        }
        a.spend[when as usize] += choice.spend;
        a.crews[job.region as usize * t + when as usize] += choice.crew;
        a.outage[job.region as usize * t + when as usize] += choice.outage;
        if choice.opens {
            open[job.cluster as usize].insert(when, ());
            goes[job.cluster as usize].insert(choice.platform, ());
        }
        if choice.platform != NONE {
            let slot = first_use.entry(choice.platform).or_insert(when);
            *slot = when.min(*slot);
        }
    }
    for (c, cluster) in p.clusters.iter().enumerate() {
        a.openings += open[c].keys().map(|t| cluster.open[*t as usize]).sum::<f64>();
        let item = What::Cluster { cluster: c as u32 };
        if open[c].len() > cluster.max_open as usize {
            note(
                item,
                (open[c].len() - cluster.max_open as usize) as f64,
                f64::from(cluster.max_open),
            );
        }
        let targets = goes[c].keys().filter(|p| **p != NONE).count();
        if targets > 1 {
            note(item, targets as f64 - 1.0, 1.0);
        }
        if let (Some((first, ())), false) = (open[c].first_key_value(), cluster.group == NONE) {
            let unfinished = p.groups[cluster.group as usize]
                .iter()
                .filter(|j| {
                    plan.get(**j as usize).copied().flatten().is_none_or(|(_, w)| w >= *first)
                })
                .count();
            if unfinished > 0 {
                note(What::Group { cluster: c as u32 }, unfinished as f64, 0.0);
            }
        }
    }
    for (&platform, &when) in &first_use {
        let x = &p.platforms[platform as usize];
        if x.onboard.is_empty() {
            continue;
        }
        // The cheapest date that is early enough.
        let best = (0..t as u32).filter(|g| g + x.lag <= when).min_by(|a, b| {
            x.onboard[*a as usize].total_cmp(&x.onboard[*b as usize]).then(b.cmp(a))
        });
        match best {
            Some(g) => {
                a.onboarding += x.onboard[g as usize];
                a.onboarded.insert(platform, g);
            }
            None => note(What::Platform { platform }, f64::from(x.lag - when), f64::from(when)),
        }
    }
    let end = |c: u32| {
        goes[c as usize].keys().copied().find(|p| *p != NONE).unwrap_or(p.clusters[c as usize].home)
    };
    a.borders = p.borders.iter().filter(|(x, y, _)| end(*x) != end(*y)).map(|b| b.2).sum();
    let (mut used, mut limit) = (0.0, 0.0);
    for period in 0..t {
        if p.carry {
            used += a.spend[period];
            limit += p.money[period];
        } else {
            (used, limit) = (a.spend[period], p.money[period]);
        }
        if over(used, limit) {
            note(What::Money { period: period as u32 }, used - limit, limit);
        }
    }
    for region in 0..p.regions {
        for period in 0..t {
            let i = region * t + period;
            let (region, period) = (region as u32, period as u32);
            if over(a.crews[i], p.crews[i]) {
                note(What::Crews { region, period }, a.crews[i] - p.crews[i], p.crews[i]);
            }
            if over(a.outage[i], p.disruption[i]) {
                note(
                    What::Disruption { region, period },
                    a.outage[i] - p.disruption[i],
                    p.disruption[i],
                );
            }
        }
    }
    for (k, row) in p.rows.iter().enumerate() {
        if over(a.rows[k], row.limit) {
            note(What::Row { row: k as u32 }, a.rows[k] - row.limit, row.limit);
        }
    }
    a.cost = a.jobs + a.openings + a.onboarding + a.borders;
    a.violations = violated;
    a
}
