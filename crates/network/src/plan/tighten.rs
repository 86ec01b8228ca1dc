//! The stage that uses an exact solver from outside, where there is one.
//!
//! Columns that cannot be part of a better plan are taken out first (see [`super::fixing`]). On a
//! large network the jobs are then arranged anew within the targets and open periods of the best
//! plan, which fixes more columns; the rest goes to the solver as a whole.

use super::compiled::Compiled;
use super::fixing::{Alive, alive, around};
use super::formulate::formulate;
use super::solver::{Answer, Solver};
use super::{Run, account, gap};
use crate::{Error, Go, Progress};

/// Columns from which on the plan is arranged anew first.
const LARGE: usize = 4_000;

impl Run<'_, '_> {
    /// Improves plan and bound with the solver of the options.
    ///
    /// # Errors
    /// The solver could not be run.
    pub(super) fn tighten(&mut self) -> Result<(), Error> {
        let Some(solver) = self.options.backend.clone() else { return Ok(()) };
        if self.done() {
            return Ok(());
        }
        let mut left = self.left();
        if left.count() > LARGE
            && let Some(plan) = self.best.as_ref().filter(|b| b.0).map(|b| b.2.clone())
        {
            let near = around(self.m, &plan);
            self.hand_over(&*solver, &near, 0.25, false)?;
            if self.done() {
                return Ok(());
            }
            left = self.left();
        }
        self.hand_over(&*solver, &left, 0.75, true)
    }

    /// Columns that a better plan can use.
    fn left(&self) -> Alive {
        match self.incumbent() {
            Some(cost) => alive(self.lagrangian, &self.prices, cost),
            None => Alive::all(self.m),
        }
    }

    /// Lets the solver loose on some columns; what it proves counts only if they are `all` that a
    /// better plan can use.
    fn hand_over(
        &mut self,
        solver: &dyn Solver,
        columns: &Alive,
        share: f64,
        all: bool,
    ) -> Result<(), Error> {
        let m: &Compiled<'_> = self.m;
        let known = self.incumbent();
        let size = known.unwrap_or(if self.bound.is_finite() { self.bound } else { 1e6 });
        let mut f = formulate(m, columns, size);
        if let Some((true, _, plan)) = &self.best {
            f.mip.start = f.point(m, plan).unwrap_or_default();
        }
        f.mip.gap = if all { self.options.gap } else { self.options.gap / 4.0 };
        f.mip.seconds = self.options.backend_seconds * share;
        f.mip.seed = (self.options.seed % (1 << 31)) as u32;
        let go = std::sync::Mutex::new(Go::On);
        let stop = || {
            let told = self.watch.tell(&Progress {
                stage: "solver",
                done: 0,
                of: columns.count() as u64,
                incumbent: known,
                bound: Some(self.bound),
            });
            if let (Go::Stop, Ok(mut g)) = (told, go.lock()) {
                *g = Go::Stop;
            }
            told == Go::Stop
        };
        let answer = solver.solve(&f.mip, &stop)?;
        self.stopped |= go.into_inner().is_ok_and(|g| g == Go::Stop);
        let Answer { infeasible, point, bound } = answer;
        if point.len() == f.mip.cost.len() {
            let plan = f.plan(m, &point);
            let a = account(m.p, &plan);
            // A point that only nearly keeps a limit is no plan.
            if a.violations.is_empty() && known.is_none_or(|c| a.cost < c) {
                self.best = Some((true, a.cost, plan));
            }
        }
        if all {
            let proven = if infeasible {
                known.unwrap_or(f64::INFINITY)
            } else {
                // What was taken out costs at least as much as the plan known then.
                bound.map_or(f64::NEG_INFINITY, |b| {
                    (b / f.scale).min(known.unwrap_or(f64::INFINITY))
                })
            };
            self.bound = self.bound.max(proven);
            // The solver works with tolerances of its own: within them the plan is the best.
            if let Some(c) = self.incumbent()
                && (self.bound > c || gap(c, self.bound) <= 1e-8)
            {
                self.bound = c;
            }
        }
        Ok(())
    }
}
