//! From a planning problem to a plan with a proven bound.
//!
//! Stages, each usable alone: [`check`] adds a plan up and says what it violates; `bound` proves a
//! lower bound and finds prices; `search` constructs and improves plans with these prices; `exact`
//! proves small networks to the end; `tighten` uses an exact [`solver`] where one is given. [`solve`] runs them in turn. Effort is counted in steps,
//! never in time, so equal input, seed and effort give equal plans on any machine and with any
//! number of threads; a caller that has a clock stops the run through [`Watch`].

mod bound;
pub mod build;
pub mod check;
mod compiled;
pub mod conflict;
pub mod document;
mod exact;
mod fixing;
pub mod former;
mod formulate;
pub mod instance;
pub mod sample;
pub mod schedule;
mod search;
#[cfg(test)]
#[path = "../../tests/common/small.rs"]
mod small;
pub mod solver;
mod ties;
mod tighten;

use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use crate::{Error, Go, Progress, Watch};
use bound::Lagrangian;
use check::{Account, account};
use compiled::{Compiled, Prices};
pub use instance::{Choice, Cluster, Decision, Instance, Job, Platform, Row};
use search::{Effort, Search, State, Work};

/// How much to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed of the search.
    pub seed: u64,
    /// Stop when the gap is at most this.
    pub gap: f64,
    /// Price steps in all.
    pub bound_steps: u64,
    /// Rounds of the search.
    pub rounds: u32,
    /// Search steps per round, chain and 100 clusters (or 1600 single jobs).
    pub moves: u64,
    /// Independent chains per round; part of the result, unlike the number of threads.
    pub chains: u32,
    /// Nodes of the exact search of small networks.
    pub nodes: u64,
    /// A plan to start from: a former plan, or the state reached by an interrupted run.
    pub start: Option<Vec<Decision>>,
    /// An exact solver that tightens plan and bound after the search.
    pub backend: Option<Arc<dyn solver::Solver>>,
    /// Seconds that it may take.
    pub backend_seconds: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            gap: 1e-4,
            bound_steps: 600,
            rounds: 12,
            moves: 4000,
            chains: 2,
            nodes: 200_000,
            start: None,
            backend: None,
            backend_seconds: 60.0,
        }
    }
}

/// What is known about a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Shown to be optimal.
    Optimal,
    /// Keeps every constraint; the gap says how far from the best it can be.
    Feasible,
    /// Violates what [`Account::violations`] lists; whether a plan without exists is open.
    Violating,
    /// No plan keeps every constraint: shown by the bound or by complete search.
    Infeasible,
}

/// A plan with its proof.
#[derive(Debug, Clone)]
pub struct Solution {
    /// What is known.
    pub status: Status,
    /// What is decided for each job.
    pub plan: Vec<Decision>,
    /// The plan added up by the independent checker.
    pub account: Account,
    /// No plan costs less.
    pub bound: f64,
    /// `(cost - bound) / |cost|`; infinite when a constraint is violated.
    pub gap: f64,
    /// Price of one unit more of each resource, at the bound: what a constraint costs.
    pub prices: Duals,
    /// Whether it was stopped before it was done.
    pub stopped: bool,
}

/// Prices of constraints: what the cost falls by if the limit is one unit larger.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Duals {
    /// Per unit of money, by period.
    pub money: Vec<f64>,
    /// Per crew-week, by region and period.
    pub crews: Vec<f64>,
    /// Per customer-minute, by region and period.
    pub disruption: Vec<f64>,
    /// Per unit of each row.
    pub rows: Vec<f64>,
}

/// The gap between a cost and a bound.
#[must_use]
pub fn gap(cost: f64, bound: f64) -> f64 {
    if cost <= bound { 0.0 } else { (cost - bound) / cost.abs().max(1e-9) }
}

/// Solves a planning problem.
///
/// # Errors
/// The instance is not well formed.
pub fn solve(p: &Instance, options: &Options, watch: &dyn Watch) -> Result<Solution, Error> {
    let m = Compiled::new(p)?;
    let lagrangian = Lagrangian::new(&m);
    let mut run = Run {
        m: &m,
        lagrangian: &lagrangian,
        options,
        watch,
        best: None,
        bound: f64::NEG_INFINITY,
        prices: vec![0.0; m.limit.len()],
        stopped: false,
    };
    run.all();
    run.tighten()?;
    run.solution()
}

struct Run<'m, 'a> {
    m: &'m Compiled<'a>,
    lagrangian: &'m Lagrangian<'m, 'a>,
    options: &'m Options,
    watch: &'m dyn Watch,
    /// Best plan so far: (keeps all constraints, score, plan).
    best: Option<(bool, f64, Vec<Decision>)>,
    bound: f64,
    prices: Vec<f64>,
    stopped: bool,
}

impl Run<'_, '_> {
    fn offer(&mut self, search: &Search<'_, '_>, s: &State) {
        let plan = search.plan(s);
        let a = account(self.m.p, &plan);
        let kept = a.violations.is_empty();
        // The checker has the last word on the cost; what is violated is weighed by the search.
        let cost = if kept { a.cost } else { search.score(s) };
        let better = match &self.best {
            None => true,
            Some((f, c, _)) => (kept && !f) || (kept == *f && cost < *c),
        };
        if better {
            self.best = Some((kept, cost, plan));
        }
    }

    fn incumbent(&self) -> Option<f64> {
        self.best.as_ref().filter(|b| b.0).map(|b| b.1)
    }

    fn climb(&mut self, steps: u64, from: bool) -> Vec<(f64, bound::Dates)> {
        let start = from.then(|| self.prices.clone());
        let enough = self.incumbent().map(|c| c - self.options.gap * c.abs());
        let (b, go) = self.lagrangian.climb(
            start.as_deref(),
            steps,
            self.incumbent(),
            f64::INFINITY,
            enough,
            self.watch,
        );
        if b.value > self.bound {
            self.bound = b.value;
            self.prices = b.prices;
        }
        self.stopped |= go == Go::Stop;
        b.dates
    }

    fn done(&self) -> bool {
        self.stopped || self.incumbent().is_some_and(|c| gap(c, self.bound) <= self.options.gap)
    }

    fn all(&mut self) {
        let o = self.options;
        let mut work = Work::default();
        let first = (o.bound_steps / 4).max(40);
        let mut dates = self.climb(first, false);
        if let Some(start) = &o.start {
            // A plan that is given brings its own dates.
            let search = Search::new(self.m, self.dates_of(start, &dates[0].1));
            let s = search.state_of(start);
            self.offer(&search, &s);
            dates.push((self.bound, search.dates.clone()));
        }
        let tries: Vec<bound::Dates> = self.spread(dates);
        let prices = Prices::new(self.m, self.prices.clone());
        let states: Vec<(Search<'_, '_>, State)> = tries
            .into_par_iter()
            .map(|d| {
                let search = Search::new(self.m, d);
                let mut work = Work::default();
                let mut s = search.construct(&prices, &mut work);
                if let Some(start) = &o.start {
                    let given = search.state_of(start);
                    if search.score(&given) < search.score(&s) {
                        s = given;
                    }
                }
                let moves = self.moves() / 8;
                let stop = || self.interrupted("construct", 0);
                let effort = Effort { moves, heat: 0.05, seed: o.seed };
                search.improve(&mut s, &prices, effort, &stop, &mut work);
                (search, s)
            })
            .collect();
        for (search, s) in &states {
            self.offer(search, s);
        }
        let Some((search, mut s)) = states.into_iter().min_by(|a, b| {
            let key = |x: &(Search<'_, '_>, State)| (!x.0.feasible(&x.1), x.0.score(&x.1));
            let (a, b) = (key(a), key(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        }) else {
            return;
        };
        for round in 0..o.rounds {
            if self.done() {
                break;
            }
            if round < 3 {
                self.climb((o.bound_steps - first) / 3, true);
            }
            let go = self.watch.tell(&Progress {
                stage: "search",
                done: u64::from(round),
                of: u64::from(o.rounds),
                incumbent: self.incumbent(),
                bound: Some(self.bound),
            });
            self.stopped |= go == Go::Stop;
            if self.done() {
                break;
            }
            let prices = Prices::new(self.m, self.prices.clone());
            let heat = 0.03 * (1.0 - f64::from(round) / f64::from(o.rounds));
            let chains: Vec<State> = (0..o.chains)
                .into_par_iter()
                .map(|c| {
                    let mut s = s.clone();
                    let seed =
                        o.seed.wrapping_mul(0x1_0001).wrapping_add(u64::from(round * 64 + c + 1));
                    let stop = || self.interrupted("search", round);
                    let work = &mut Work::default();
                    let effort = Effort { moves: self.moves(), heat, seed };
                    search.improve(&mut s, &prices, effort, &stop, work);
                    s
                })
                .collect();
            if let Some(b) =
                chains.into_iter().min_by(|a, b| search.score(a).total_cmp(&search.score(b)))
                && search.score(&b) < search.score(&s)
            {
                s = b;
            }
            search.finish(&mut s, &mut work);
            self.offer(&search, &s);
        }
        self.exact();
    }

    /// Tells how far it is from within a long step, and whether to stop.
    fn interrupted(&self, stage: &str, round: u32) -> bool {
        let progress = Progress {
            stage,
            done: u64::from(round),
            of: u64::from(self.options.rounds),
            incumbent: self.incumbent(),
            bound: Some(self.bound),
        };
        self.watch.tell(&progress) == Go::Stop
    }

    fn moves(&self) -> u64 {
        let units = self.m.p.clusters.len() + self.m.free.len() / 16;
        (self.options.moves * units.max(8) as u64) / 100
    }

    /// Dates to try first: the best of the bound, and a few near it.
    fn spread(&self, dates: Vec<(f64, bound::Dates)>) -> Vec<bound::Dates> {
        let mut out: Vec<bound::Dates> = Vec::new();
        for (_, d) in dates.into_iter().take(8) {
            if !out.contains(&d) {
                out.push(d);
            }
        }
        out.truncate(6);
        out
    }

    /// The dates that a plan implies.
    fn dates_of(&self, plan: &[Decision], like: &bound::Dates) -> bound::Dates {
        let m = self.m;
        let mut d = like.clone();
        for (g, jobs) in m.p.groups.iter().enumerate() {
            let last = jobs
                .iter()
                .map(|j| {
                    plan.get(*j as usize).copied().flatten().map_or(m.t as u32, |(_, w)| w + 1)
                })
                .max();
            if let Some(l) = last {
                d.group[g] = l.min(m.t as u32);
            }
        }
        for (p, platform) in m.p.platforms.iter().enumerate() {
            if !platform.onboard.is_empty() {
                d.platform[p] = m.t as u32;
            }
        }
        for (j, x) in plan.iter().enumerate().take(m.p.jobs.len()) {
            if let Some((c, w)) = x
                && let Some(c) = m.p.choices_of(j).get(*c as usize)
                && c.platform != instance::NONE
                && !m.p.platforms[c.platform as usize].onboard.is_empty()
            {
                let slot = &mut d.platform[c.platform as usize];
                *slot = (*slot).min(*w);
            }
        }
        d
    }

    fn exact(&mut self) {
        if self.stopped || self.incumbent().is_some_and(|c| gap(c, self.bound) <= 1e-9) {
            return;
        }
        let best = self.incumbent().unwrap_or(f64::INFINITY);
        let e = exact::search(self.m, self.lagrangian, &self.prices, best, self.options.nodes);
        if let Some((cost, plan)) = e.plan {
            self.best = Some((true, cost, plan));
        }
        if e.complete {
            self.bound = self.incumbent().unwrap_or(f64::INFINITY);
        }
    }

    /// No plan costs more: a bound above it shows that there is none.
    fn dearest(&self) -> f64 {
        let p = self.m.p;
        let most = |v: &[f64]| v.iter().copied().filter(|x| x.is_finite()).fold(0.0, f64::max);
        let all = |v: &[f64]| v.iter().filter(|x| x.is_finite()).sum::<f64>();
        let jobs: f64 = (0..p.jobs.len())
            .map(|j| {
                let keep = most(&[p.jobs[j].keep]);
                p.choices_of(j).iter().map(|c| most(&c.cost)).fold(keep, f64::max)
            })
            .sum();
        jobs + p.clusters.iter().map(|c| all(&c.open)).sum::<f64>()
            + p.platforms.iter().map(|x| most(&x.onboard)).sum::<f64>()
            + p.borders.iter().map(|b| b.2).sum::<f64>()
    }

    fn solution(self) -> Result<Solution, Error> {
        let m = self.m;
        let dearest = self.dearest();
        let (_, _, plan) = self.best.ok_or(Error::Stopped)?;
        let account = account(m.p, &plan);
        let kept = account.violations.is_empty();
        let bound = if kept { self.bound.min(account.cost) } else { self.bound };
        // A gap says something only about a plan that keeps every constraint.
        let gap = if kept { gap(account.cost, bound) } else { f64::INFINITY };
        let status = match kept {
            true if gap <= 1e-9 => Status::Optimal,
            true => Status::Feasible,
            false if self.bound > dearest => Status::Infeasible,
            false => Status::Violating,
        };
        let (t, r) = (m.t, m.p.regions);
        let price = |from: usize, to: usize| self.prices[from..to].to_vec();
        Ok(Solution {
            status,
            plan,
            account,
            bound,
            gap,
            prices: Duals {
                money: price(0, t),
                crews: price(t, t + r * t),
                disruption: price(t + r * t, t + 2 * r * t),
                rows: price(m.rows(), m.limit.len()),
            },
            stopped: self.stopped,
        })
    }
}
