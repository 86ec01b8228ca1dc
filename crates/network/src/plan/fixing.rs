//! What can still be part of a better plan.
//!
//! At the prices of the bound every column of every job has a least cost of the whole plan with it.
//! Where that is more than a known plan costs, the column is out: exact, not a guess. With a small
//! gap nearly all columns go, and what is left is small enough for an exact solver.

use std::collections::BTreeMap;

use super::bound::{Dates, Lagrangian, Scratch, Survey, set_dates};
use super::compiled::{Compiled, KEEP, Prices};
use super::instance::NONE;

/// Columns that are left.
#[derive(Debug, Clone)]
pub(crate) struct Alive {
    /// Whether each job may be kept.
    pub keep: Vec<bool>,
    /// `[choice * t + period]` over the choices of all jobs.
    column: Vec<bool>,
}

impl Alive {
    /// Everything that is allowed at all.
    pub fn all(m: &Compiled<'_>) -> Self {
        Self {
            keep: m.p.jobs.iter().map(|j| j.keep.is_finite()).collect(),
            column: m.cost.iter().map(|c| c.is_finite()).collect(),
        }
    }

    fn none(m: &Compiled<'_>) -> Self {
        Self { keep: vec![false; m.p.jobs.len()], column: vec![false; m.cost.len()] }
    }

    /// Whether a column of a job is left; [`KEEP`] is keeping.
    pub fn column(&self, m: &Compiled<'_>, job: usize, column: u16) -> bool {
        match column {
            KEEP => self.keep[job],
            c => self.column[m.p.jobs[job].first as usize * m.t + c as usize],
        }
    }

    fn set(&mut self, m: &Compiled<'_>, job: usize, column: u16) {
        match column {
            KEEP => self.keep[job] = m.p.jobs[job].keep.is_finite(),
            c => {
                let at = m.p.jobs[job].first as usize * m.t + c as usize;
                self.column[at] = m.cost[at].is_finite();
            }
        }
    }

    /// Number of columns.
    pub fn count(&self) -> usize {
        self.column.iter().chain(&self.keep).filter(|x| **x).count()
    }
}

/// Columns that can be part of a plan that costs less than `upper`.
pub(crate) fn alive(lagrangian: &Lagrangian<'_, '_>, prices: &[f64], upper: f64) -> Alive {
    let m = lagrangian.m;
    let prices = Prices::new(m, prices.to_vec());
    let survey = lagrangian.survey(&prices);
    let total = lagrangian.value(&prices, &survey);
    let slack = upper - total + 1e-7 * upper.abs().max(1.0);
    let mut out = Alive::none(m);
    if slack < 0.0 {
        return out;
    }
    let mut marker = Marker { lagrangian, prices: &prices, survey: &survey, out: &mut out };
    let base = lagrangian.no_dates();
    let mut in_part = vec![false; m.p.clusters.len()];
    let mut free_in_part = vec![false; m.p.jobs.len()];
    for (part, list) in lagrangian.parts.iter().zip(&survey.parts) {
        let Some((best, _)) = list.first() else { continue };
        let near: Vec<(f64, Dates)> = list
            .iter()
            .map(|(v, s)| (slack - (v - best), s))
            .filter(|x| x.0 >= 0.0)
            .map(|(left, states)| {
                let mut d = base.clone();
                set_dates(&mut d, part, states);
                (left, d)
            })
            .collect();
        for &c in &part.clusters {
            in_part[c as usize] = true;
            marker.cluster(c, &near);
        }
        for &j in &part.free {
            free_in_part[j as usize] = true;
            marker.free(j, &near);
        }
    }
    let one = [(slack, base)];
    for c in (0..m.p.clusters.len()).filter(|c| !in_part[*c]) {
        marker.cluster(c as u32, &one);
    }
    for &j in m.free.iter().filter(|j| !free_in_part[**j as usize]) {
        marker.free(j, &one);
    }
    out
}

/// Columns of a plan's own targets and open periods: what it can become without opening anything.
pub(crate) fn around(m: &Compiled<'_>, plan: &[super::instance::Decision]) -> Alive {
    let mut out = Alive::none(m);
    let mut open = vec![0u32; m.p.clusters.len()];
    let mut goes = vec![NONE; m.p.clusters.len()];
    for (j, d) in plan.iter().enumerate() {
        if let Some((c, s)) = d
            && m.p.choices_of(j)[*c as usize].opens
        {
            let k = m.p.jobs[j].cluster as usize;
            open[k] |= 1 << s;
            match m.p.choices_of(j)[*c as usize].platform {
                NONE => {}
                v => goes[k] = v,
            }
        }
    }
    for (j, job) in m.p.jobs.iter().enumerate() {
        out.set(m, j, KEEP);
        for (i, x) in m.p.choices_of(j).iter().enumerate() {
            for s in 0..m.t {
                let fits = !x.opens || {
                    let k = job.cluster as usize;
                    open[k] >> s & 1 == 1 && (x.platform == NONE || x.platform == goes[k])
                };
                if fits {
                    out.set(m, j, (i * m.t + s) as u16);
                }
            }
        }
    }
    out
}

struct Marker<'x, 'm, 'a> {
    lagrangian: &'x Lagrangian<'m, 'a>,
    prices: &'x Prices,
    survey: &'x Survey,
    out: &'x mut Alive,
}

impl Marker<'_, '_, '_> {
    /// Marks what a cluster may do under any of `near`: slack and dates.
    fn cluster(&mut self, c: u32, near: &[(f64, Dates)]) {
        let m = self.lagrangian.m;
        let cluster = &m.p.clusters[c as usize];
        let targets = &m.targets[c as usize];
        // Dates matter only through the first period of each target.
        let mut limits: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for (left, d) in near {
            let core = if cluster.group == NONE { 0 } else { d.group[cluster.group as usize] };
            let ready = |v: &u32| if *v == NONE { 0 } else { d.platform[*v as usize] };
            let from: Vec<u32> = targets.iter().map(|v| core.max(ready(v))).collect();
            let best = self.lagrangian.choose(c, &self.survey.tables[c as usize], d).0;
            let slot = limits.entry(from).or_insert(f64::NEG_INFINITY);
            *slot = slot.max(best + left);
        }
        let mut scratch = Scratch::default();
        scratch.cluster(m, self.prices, c as usize, None);
        let n = scratch.base.len();
        let closed = scratch.base.iter().sum::<f64>() + m.ties.end(self.prices, c, None).0;
        let most = limits.values().copied().fold(f64::NEG_INFINITY, f64::max);
        let base = scratch.base.clone();
        self.pattern(c, &scratch, &base, NONE, 0, most - closed);
        for (k, &target) in targets.iter().enumerate() {
            scratch.target(m, c as usize, target);
            let mut found: Vec<(usize, u32, f64)> = Vec::new();
            let mut at = 0;
            let end = m.ties.end(self.prices, c, Some(k)).0;
            scratch.patterns(m, c as usize, |mask, cost| {
                let cost = cost + end;
                let low = mask.trailing_zeros();
                let limit = limits
                    .iter()
                    .filter(|(from, _)| from[k] <= low)
                    .map(|(_, l)| *l)
                    .fold(f64::NEG_INFINITY, f64::max);
                if cost <= limit {
                    found.push((at, mask, limit - cost));
                }
                at += 1;
            });
            for (at, mask, left) in found {
                let level = scratch.level[at * n..(at + 1) * n].to_vec();
                self.pattern(c, &scratch, &level, target, mask, left);
            }
        }
    }

    /// Marks the columns of a pattern that lose at most `left` against the best of their job.
    fn pattern(
        &mut self,
        c: u32,
        scratch: &Scratch,
        level: &[f64],
        target: u32,
        mask: u32,
        left: f64,
    ) {
        let m = self.lagrangian.m;
        if left < 0.0 {
            return;
        }
        let mut rc = Vec::new();
        for (k, &j) in m.members.of(c as usize).iter().enumerate() {
            let j = j as usize;
            let limit = level[k] + left;
            if self.prices.reduce(m, j, &mut rc) <= limit {
                self.out.set(m, j, KEEP);
            }
            let own = &scratch.all[scratch.at[k] as usize..];
            for (i, x) in m.p.choices_of(j).iter().enumerate() {
                if x.opens && x.platform != target && x.platform != NONE {
                    continue;
                }
                for s in 0..m.t {
                    if (!x.opens || mask >> s & 1 == 1) && own[i * m.t + s] <= limit {
                        self.out.set(m, j, (i * m.t + s) as u16);
                    }
                }
            }
        }
    }

    fn free(&mut self, j: u32, near: &[(f64, Dates)]) {
        let m = self.lagrangian.m;
        let mut rc = Vec::new();
        let keep = self.prices.reduce(m, j as usize, &mut rc);
        for (left, d) in near {
            let limit = self.lagrangian.pick_free(j, keep, &rc, d).0 + left;
            if keep <= limit {
                self.out.set(m, j as usize, KEEP);
            }
            for (k, cost) in rc.iter().enumerate() {
                if *cost <= limit {
                    self.out.set(m, j as usize, k as u16);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::small;
    use super::*;
    use crate::Silent;
    use crate::plan::{Options, Status, sample, solve};

    /// The best plan is never taken out, whatever the prices; and something is.
    #[test]
    fn what_is_best_stays() {
        let own =
            Options { bound_steps: 120, rounds: 1, moves: 200, gap: 0.0, ..Options::default() };
        let (mut left, mut all, mut seen) = (0, 0, 0);
        for seed in 1..=200 {
            let p = small::random_instance(seed);
            let best = solve(&p, &own, &Silent).expect("sound");
            if best.status != Status::Optimal {
                continue;
            }
            let m = Compiled::new(&p).expect("sound");
            let l = Lagrangian::new(&m);
            for steps in [0, 5, 60] {
                let b = l.climb(None, steps, None, f64::INFINITY, None, &Silent).0;
                let a = alive(&l, &b.prices, best.account.cost);
                for (j, d) in best.plan.iter().enumerate() {
                    let column = d.map_or(KEEP, |(c, s)| (c as usize * m.t + s as usize) as u16);
                    assert!(a.column(&m, j, column), "network {seed}, {steps} steps, job {j}");
                }
                if steps == 60 {
                    left += a.count();
                    all += Alive::all(&m).count();
                }
            }
            seen += 1;
        }
        assert!(seen > 100 && left * 4 < all * 3, "{seen} networks, {left} of {all} columns left");
    }

    /// On a large network with a good plan nearly everything goes.
    #[test]
    fn little_is_left_of_a_large_network() {
        let p = sample::network(400, sample::Policy::Cap, 1);
        let options = Options { rounds: 2, bound_steps: 200, moves: 800, ..Options::default() };
        let s = solve(&p, &options, &Silent).expect("sound");
        let m = Compiled::new(&p).expect("sound");
        let l = Lagrangian::new(&m);
        let b = l.climb(None, 200, Some(s.account.cost), f64::INFINITY, None, &Silent).0;
        let (left, all) = (alive(&l, &b.prices, s.account.cost).count(), Alive::all(&m).count());
        assert!(left * 2 < all, "{left} of {all} columns are left");
    }
}
