//! Cost against exposure: an epsilon-constraint walk from loose to tight.
//!
//! Exposure is the time integral of traffic on failing units, so that "soon but partial" and "late
//! but complete" stand on one axis. Each point has a plan (an upper limit of the least cost) and a
//! proven bound; the truth lies in the band between. A point whose band another point dominates is
//! not called a frontier point.

use serde::Serialize;

use crate::plan::build::{EXPOSURE, Program};
use crate::plan::instance::{Decision, Instance, Row};
use crate::plan::{Options, solve};
use crate::{Error, Watch};

/// One point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Traffic-years on failing units allowed, as share of all traffic times years of the plan.
    pub limit: f64,
    /// Reached.
    pub exposure: f64,
    /// Cost of the plan.
    pub cost: f64,
    /// No plan with this exposure costs less.
    pub bound: f64,
    /// `(cost - bound) / cost`.
    pub gap: f64,
    /// Whether no other point's bound contradicts it.
    pub on_frontier: bool,
}

/// Left-hand side of the exposure row for a plan.
fn exposure(p: &Instance, row: &Row, plan: &[Decision]) -> f64 {
    (0..p.jobs.len())
        .map(|j| {
            let w = p.weights[row.set as usize][j];
            (0..p.periods)
                .filter(|s| {
                    let member = match plan[j] {
                        Some((c, when)) if when as usize <= *s => {
                            p.choices_of(j)[c as usize].member
                        }
                        _ => p.jobs[j].member,
                    };
                    member & (1 << row.set) != 0
                })
                .map(|s| w * row.coefficient[s])
                .sum::<f64>()
        })
        .sum()
}

/// Walks `points` limits between doing as little as allowed and doing as much as possible.
///
/// # Errors
/// The problem is not well formed.
pub fn frontier(
    program: &Program,
    years: f64,
    points: usize,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Vec<Point>, Error> {
    let base = &program.instance;
    let total = (program.exposed.1 * years * base.periods as f64).max(1e-9);
    let row = |limit: f64| Row {
        set: EXPOSURE,
        coefficient: vec![years; base.periods],
        limit,
        rule: u32::MAX,
    };
    let free = row(f64::MAX);
    // The loose end: cheapest plan under the policy alone.
    let first = solve(base, options, watch)?;
    let loose = exposure(base, &free, &first.plan);
    // The tight end: least exposure, costs set to zero and exposure as the only cost.
    let mut tightest = base.clone();
    for (j, job) in base.jobs.iter().enumerate() {
        let w = base.weights[EXPOSURE as usize][j] * years;
        // The same for all that a job can do, so that it decides nothing; what is minimised must not
        // be zero, or what a limit is worth against it cannot be told.
        let all = w * base.periods as f64;
        let keep = if job.member & 1 != 0 { 2.0 * all } else { all };
        tightest.jobs[j].keep = if job.keep.is_finite() { keep } else { f64::INFINITY };
        for c in &mut tightest.choices[job.first as usize..(job.first + job.count) as usize] {
            let stays = c.member & 1 != 0;
            for (s, x) in c.cost.iter_mut().enumerate() {
                if x.is_finite() {
                    let before = if job.member & 1 != 0 { s } else { 0 };
                    let after = if stays { base.periods - s } else { 0 };
                    *x = all + w * (before + after) as f64;
                }
            }
        }
    }
    for c in &mut tightest.clusters {
        c.open.fill(0.0);
    }
    for x in &mut tightest.platforms {
        x.onboard.fill(0.0);
    }
    tightest.borders.clear();
    let low = solve(&tightest, &Options { gap: 2e-3, ..options.clone() }, watch)?;
    let tight = exposure(base, &free, &low.plan);

    let mut out = vec![Point {
        limit: loose / total,
        exposure: loose / total,
        cost: first.account.cost,
        bound: first.bound,
        gap: first.gap,
        on_frontier: true,
    }];
    let mut start = first.plan;
    let steps = points.max(2) - 1;
    for k in 1..=steps {
        // Slightly inside the tight end, which is known only up to its own gap.
        let share = k as f64 / steps as f64;
        let limit = loose + (tight * 1.01 - loose).min(0.0) * share;
        let mut p = base.clone();
        p.rows.push(row(limit));
        let from = |plan: &[Decision]| {
            solve(&p, &Options { start: Some(plan.to_vec()), ..options.clone() }, watch)
        };
        let mut s = from(&start)?;
        if !s.account.violations.is_empty() && !s.stopped {
            // Too tight to be reached from the looser plan: from the tight end.
            s = from(&low.plan)?;
        }
        if !s.account.violations.is_empty() {
            continue;
        }
        out.push(Point {
            limit: limit / total,
            exposure: exposure(base, &free, &s.plan) / total,
            cost: s.account.cost,
            bound: s.bound,
            gap: s.gap,
            on_frontier: true,
        });
        start = s.plan;
        if s.stopped {
            break;
        }
    }
    // A looser limit cannot need more than a tighter one: bounds rise, costs too.
    for k in 1..out.len() {
        if out[k].bound < out[k - 1].bound {
            out[k].bound = out[k - 1].bound;
        }
    }
    for k in (0..out.len() - 1).rev() {
        if out[k].cost > out[k + 1].cost {
            out[k].on_frontier = false;
        }
    }
    for p in &mut out {
        p.gap = crate::plan::gap(p.cost, p.bound);
    }
    Ok(out)
}
