//! Keeping rows, and moving single jobs where it helps.

use std::collections::BTreeSet;

use super::super::check::TOLERANCE;
use super::super::compiled::KEEP;
use super::super::instance::NONE;
use super::{Search, State, Work};

impl Search<'_, '_> {
    /// Changes single jobs of `jobs` so that rows are kept again: cheapest per unit first.
    pub(super) fn mend_rows(&self, s: &mut State, jobs: &[u32], w: &mut Work) {
        let m = self.m;
        let first = m.rows();
        for k in 0..m.p.rows.len() {
            let excess = |s: &State| s.usage[first + k] - m.limit[first + k];
            if excess(s) <= 0.5 * TOLERANCE * m.limit[first + k].max(1.0) {
                continue;
            }
            let row = &m.p.rows[k];
            let share = |job: usize, column: u16| -> f64 {
                let j = &m.p.jobs[job];
                let bit = 1u64 << row.set;
                let (after, when) = if column == KEEP {
                    (j.member, m.t)
                } else {
                    (
                        m.p.choices[j.first as usize + column as usize / m.t].member,
                        column as usize % m.t,
                    )
                };
                let mut sum = 0.0;
                if j.member & bit != 0 {
                    sum += row.coefficient[..when].iter().sum::<f64>();
                }
                if after & bit != 0 {
                    sum += row.coefficient[when..].iter().sum::<f64>();
                }
                sum * m.weight(job, row.set as usize)
            };
            let mut list: Vec<(f64, u32, u16)> = Vec::new();
            for &j in jobs {
                let now = s.column[j as usize];
                let drawn = share(j as usize, now);
                if drawn <= 0.0 {
                    continue;
                }
                let own = self.own(j as usize, now);
                for column in 0..m.p.jobs[j as usize].count as usize * m.t {
                    let less = drawn - share(j as usize, column as u16);
                    if less > 1e-12 && column as u16 != now && self.allowed(s, j as usize, column) {
                        let cost = self.own(j as usize, column as u16) - own
                            + self.opening(s, j as usize, column);
                        list.push((cost / less, j, column as u16));
                    }
                }
            }
            list.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
            let mut done = BTreeSet::new();
            for (_, j, column) in list {
                if excess(s) <= 0.0 {
                    break;
                }
                if done.contains(&j) || !self.allowed(s, j as usize, column as usize) {
                    continue;
                }
                let before = s.over[0];
                let old = s.column[j as usize];
                self.set(s, j as usize, column);
                if s.over[0] > before + 1e-9 {
                    self.set(s, j as usize, old);
                } else {
                    w.journal.push((j, old));
                    done.insert(j);
                }
            }
        }
    }

    /// Cost of opening a cluster in the period of a column, if it is not open then.
    fn opening(&self, s: &State, job: usize, column: usize) -> f64 {
        let j = &self.m.p.jobs[job];
        let (i, when) = (column / self.m.t, column % self.m.t);
        if !self.m.p.choices[j.first as usize + i].opens {
            return 0.0;
        }
        let c = j.cluster as usize;
        if s.open[c * self.m.t + when] == 0 { self.m.p.clusters[c].open[when] } else { 0.0 }
    }

    /// Moves single jobs as long as it helps; returns whether it did.
    pub(super) fn polish(&self, s: &mut State, jobs: &[u32], w: &mut Work) -> bool {
        let m = self.m;
        let mut score = self.score(s);
        let start = score;
        for &j in jobs {
            let old = s.column[j as usize];
            let own = self.own(j as usize, old);
            // Without looking at what closes: cheaper columns first, the first that fits stays.
            let mut list: Vec<(f64, u16)> = Vec::new();
            let mut offer = |cost: f64, column: u16| {
                if cost < own + self.closing(s, j as usize) - 1e-9 {
                    list.push((cost, column));
                }
            };
            if m.p.jobs[j as usize].keep.is_finite() {
                offer(self.own(j as usize, KEEP), KEEP);
            }
            for column in 0..m.p.jobs[j as usize].count as usize * m.t {
                if column as u16 != old && self.allowed(s, j as usize, column) {
                    offer(
                        m.own_cost(j as usize, column as u16) + self.opening(s, j as usize, column),
                        column as u16,
                    );
                }
            }
            list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (_, column) in list.into_iter().take(4) {
                if column == old {
                    continue;
                }
                self.set(s, j as usize, column);
                let now = self.score(s);
                if now < score - 1e-9 {
                    w.journal.push((j, old));
                    score = now;
                    break;
                }
                self.set(s, j as usize, old);
            }
        }
        score < start - 1e-9
    }

    /// What is saved if the job is the last one in its cluster's period.
    fn closing(&self, s: &State, job: usize) -> f64 {
        let j = &self.m.p.jobs[job];
        let column = s.column[job];
        if column == KEEP || j.cluster == NONE {
            return 0.0;
        }
        let (i, when) = (column as usize / self.m.t, column as usize % self.m.t);
        let c = j.cluster as usize;
        let last = self.m.p.choices[j.first as usize + i].opens && s.open[c * self.m.t + when] == 1;
        // A change of target may save borders as well.
        let border =
            if s.fixing[c] <= 1 { self.neighbours[c].iter().map(|n| n.1).sum() } else { 0.0 };
        border + if last { self.m.p.clusters[c].open[when] } else { 0.0 }
    }

    /// Repairs rows and polishes over all jobs.
    pub(in crate::plan) fn finish(&self, s: &mut State, w: &mut Work) {
        let all: Vec<u32> = (0..s.column.len() as u32).collect();
        self.mend_rows(s, &all, w);
        for _ in 0..3 {
            if !self.polish(s, &all, w) {
                break;
            }
        }
        w.journal.clear();
    }
}
