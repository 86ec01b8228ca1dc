//! Why there is no plan: a smallest set of rules that conflict, and the cheapest way out.
//!
//! The proof is a bound: all costs are set to zero and every row and resource gets a price cap of
//! one per part of its limit; if the Lagrangian bound of that problem is above zero, every plan
//! exceeds some limit. Limits are then dropped one at a time; what cannot be dropped without losing
//! the proof is a conflict in which every member counts. The way out is what the best plan with
//! priced slack exceeds, in the unit of each limit.

use serde::Serialize;

use super::bound::Lagrangian;
use super::check::{Violation, What};
use super::compiled::Compiled;
use super::instance::Instance;
use super::{Options, Solution, solve};
use crate::{Error, Watch};

/// A limit that can be dropped as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Money of all periods.
    Money,
    /// Crews of all regions and periods.
    Crews,
    /// Disruption ceilings.
    Disruption,
    /// A rule that makes rows, by its index.
    Rule(u32),
    /// Dates by which jobs have to be done.
    Dates,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// Whether it was proven that no plan keeps everything.
    pub proven: bool,
    /// Limits that cannot all hold; each one counts. Empty when nothing was proven.
    pub limits: Vec<Limit>,
    /// What the best plan with priced slack exceeds, and by how much.
    pub relaxation: Vec<Violation>,
    /// Cost of that plan.
    pub cost: f64,
}

/// The instance without costs and without some limits.
fn stripped(p: &Instance, without: &[Limit]) -> Instance {
    let mut q = p.clone();
    let dates = without.contains(&Limit::Dates);
    for j in &mut q.jobs {
        j.keep = if j.keep.is_finite() || dates { 0.0 } else { f64::INFINITY };
    }
    for c in &mut q.choices {
        for x in &mut c.cost {
            *x = if x.is_finite() { 0.0 } else { f64::INFINITY };
        }
    }
    for c in &mut q.clusters {
        c.open.fill(0.0);
    }
    for x in &mut q.platforms {
        x.onboard.fill(0.0);
    }
    q.borders.clear();
    for l in without {
        match l {
            Limit::Money => q.money.fill(f64::INFINITY),
            Limit::Crews => q.crews.fill(f64::INFINITY),
            Limit::Disruption => q.disruption.fill(f64::INFINITY),
            Limit::Rule(k) => q.rows.retain(|r| r.rule != *k),
            Limit::Dates => {}
        }
    }
    q
}

/// Whether it is proven that no plan exists without the limits in `without`.
fn proven(p: &Instance, without: &[Limit], watch: &dyn Watch) -> Result<bool, Error> {
    let q = stripped(p, without);
    let m = Compiled::new(&q)?;
    if m.limit.iter().any(|l| *l < -1e-9) {
        return Ok(true);
    }
    // A price of at most one per unit of the scale keeps the problem bounded.
    let (b, _) = Lagrangian::new(&m).climb(None, 300, Some(1.0), 1.0, Some(1e-4), watch);
    Ok(b.value > 1e-6)
}

/// Explains why `p` has no plan, as far as it can be shown; `best` is the plan with priced slack.
///
/// # Errors
/// The instance is not well formed.
pub fn explain(p: &Instance, best: &Solution, watch: &dyn Watch) -> Result<Conflict, Error> {
    let mut all = vec![Limit::Money, Limit::Crews, Limit::Disruption];
    let mut rules: Vec<u32> = p.rows.iter().map(|r| r.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    all.extend(rules.into_iter().map(Limit::Rule));
    all.push(Limit::Dates);
    let mut dropped: Vec<Limit> = Vec::new();
    let shown = best.status == super::Status::Infeasible || proven(p, &[], watch)?;
    let mut limits = Vec::new();
    if shown && proven(p, &[], watch)? {
        // What the proof does not need goes, resources first.
        for l in all {
            dropped.push(l);
            if !proven(p, &dropped, watch)? {
                dropped.pop();
                limits.push(l);
            }
        }
    }
    Ok(Conflict {
        proven: shown,
        limits,
        relaxation: best.account.violations.clone(),
        cost: best.account.cost,
    })
}

/// The least extra cost of each single way out: the cost of the best plan when one limit of the
/// conflict is dropped.
///
/// # Errors
/// The instance is not well formed.
pub fn ways_out(
    p: &Instance,
    limits: &[Limit],
    options: &Options,
    watch: &dyn Watch,
) -> Result<Vec<(Limit, Option<f64>)>, Error> {
    limits
        .iter()
        .map(|l| {
            let mut q = p.clone();
            match l {
                Limit::Money => q.money.fill(f64::INFINITY),
                Limit::Crews => q.crews.fill(f64::INFINITY),
                Limit::Disruption => q.disruption.fill(f64::INFINITY),
                Limit::Rule(k) => q.rows.retain(|r| r.rule != *k),
                Limit::Dates => {
                    for j in &mut q.jobs {
                        if !j.keep.is_finite() {
                            j.keep = 0.0;
                        }
                    }
                }
            }
            let s = solve(&q, options, watch)?;
            Ok((*l, s.account.violations.is_empty().then_some(s.account.cost)))
        })
        .collect()
}

/// A violation in words, with names.
#[must_use]
pub fn words(v: &Violation, regions: &[String], rows: &[String]) -> String {
    let region = |r: u32| regions.get(r as usize).map_or("", String::as_str);
    let by = format!("{:.4} more than {:.4}", v.excess, v.limit);
    match v.what {
        What::Money { period } => format!("money in period {}: {by}", period + 1),
        What::Crews { region: r, period } => {
            format!("crew-weeks in region {} in period {}: {by}", region(r), period + 1)
        }
        What::Disruption { region: r, period } => {
            format!("customer-minutes in region {} in period {}: {by}", region(r), period + 1)
        }
        What::Row { row } => {
            format!("{}: {by}", rows.get(row as usize).map_or("row", String::as_str))
        }
        What::Job { job } => format!("job {job} has to be done and is not"),
        What::Cluster { cluster } => {
            format!("cluster {cluster}: more than one target or too many open periods")
        }
        What::Platform { platform } => {
            format!("platform {platform} is used before it can be there")
        }
        What::Group { cluster } => format!("cluster {cluster} opens before its core is finished"),
    }
}
