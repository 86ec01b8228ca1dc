//! Putting clusters and single jobs into a plan, at the prices of the bound.

use super::super::compiled::{KEEP, Prices};
use super::super::instance::{Choice, NONE};
use super::{Search, State, Work};

impl Search<'_, '_> {
    /// Puts a cluster, whose jobs are all kept now, back into the plan.
    pub(super) fn place(&self, s: &mut State, c: usize, prices: &Prices, w: &mut Work) {
        let m = self.m;
        let t = m.t;
        let cluster = &m.p.clusters[c];
        w.s.cluster(m, prices, c, Some(&self.dates));
        let members = m.members.of(c);
        w.keeps.clear();
        // Best patterns by priced cost, cheapest first.
        const MOST: usize = 5;
        let mut found: [(f64, u32, u32); MOST] = [(f64::INFINITY, NONE, 0); MOST];
        let mut offer = |cost: f64, target: u32, mask: u32| {
            if cost < found[MOST - 1].0 {
                let mut at = MOST - 1;
                while at > 0 && found[at - 1].0 > cost {
                    found[at] = found[at - 1];
                    at -= 1;
                }
                found[at] = (cost, target, mask);
            }
        };
        let closed: f64 = w.s.base.iter().map(|b| b.min(self.forbidden)).sum();
        offer(closed + self.border(s, c, cluster.home), NONE, 0);
        let core = if cluster.group == NONE { 0 } else { self.dates.group[cluster.group as usize] };
        for &target in &m.targets[c] {
            let ready = if target == NONE { 0 } else { self.dates.platform[target as usize] };
            let from = core.max(ready);
            if from as usize >= t {
                continue;
            }
            let border = self.border(s, c, if target == NONE { cluster.home } else { target });
            for b in &mut w.s.base {
                *b = b.min(self.forbidden);
            }
            w.s.target(m, c, target);
            w.s.patterns(m, c, |mask, cost| {
                if mask.trailing_zeros() >= from {
                    offer(cost + border, target, mask);
                }
            });
        }
        let mut best = f64::INFINITY;
        let mut fitted = false;
        w.best.clear();
        for (cost, target, mask) in found {
            if cost >= best {
                break;
            }
            let (score, fits) = self.lay_out(s, c, target, mask, prices, w);
            if score < best {
                best = score;
                fitted = fits && target != NONE;
                std::mem::swap(&mut w.best, &mut w.plan);
            }
        }
        // What is cheapest at the prices may be full: look where crews are left.
        if !fitted {
            for (target, mask) in self.roomy(s, c) {
                let (score, _) = self.lay_out(s, c, target, mask, prices, w);
                if score < best {
                    best = score;
                    std::mem::swap(&mut w.best, &mut w.plan);
                }
            }
        }
        for (k, &j) in members.iter().enumerate() {
            if let Some(&column) = w.best.get(k)
                && column != KEEP
            {
                w.journal.push((j, KEEP));
                self.set(s, j as usize, column);
            }
        }
    }

    /// Patterns of the periods in which a cluster's region has most crews left: the best one, two,
    /// three, and all, for every target.
    fn roomy(&self, s: &State, c: usize) -> Vec<(u32, u32)> {
        let m = self.m;
        let cluster = &m.p.clusters[c];
        let core = if cluster.group == NONE { 0 } else { self.dates.group[cluster.group as usize] };
        let region = self.region_of[c] as usize;
        let mut out = Vec::new();
        for &target in &m.targets[c] {
            let ready = if target == NONE { 0 } else { self.dates.platform[target as usize] };
            let room = |t: &usize| m.limit[m.crew(region, *t)] - s.usage[m.crew(region, *t)];
            let mut periods: Vec<usize> = (core.max(ready) as usize..m.t).collect();
            periods.sort_by(|a, b| room(b).total_cmp(&room(a)).then(a.cmp(b)));
            let most = (cluster.max_open as usize).min(periods.len());
            let mut widths = vec![1, 2, 3, most];
            widths.retain(|n| (1..=most).contains(n));
            widths.dedup();
            out.extend(
                widths.iter().map(|n| (target, periods[..*n].iter().fold(0, |a, t| a | 1 << t))),
            );
        }
        out
    }

    /// Lays a pattern out against the capacity left; the columns go to `w.plan`. Returns the priced
    /// cost with penalties, and whether it fits.
    fn lay_out(
        &self,
        s: &State,
        c: usize,
        target: u32,
        mask: u32,
        prices: &Prices,
        w: &mut Work,
    ) -> (f64, bool) {
        let m = self.m;
        let t = m.t;
        let members = m.members.of(c);
        w.plan.clear();
        w.delta.resize(m.rows(), 0.0);
        let touched = &self.touches[c];
        for k in touched {
            w.delta[*k as usize] = 0.0;
        }
        let border = self.border(
            s,
            c,
            match target {
                NONE => m.p.clusters[c].home,
                x => x,
            },
        );
        let mut sum = border;
        let fits_pattern = |x: &Choice, when: usize| {
            if x.opens {
                mask & (1 << when) != 0 && (x.platform == target || x.platform == NONE)
            } else {
                x.platform == NONE || when as u32 >= self.dates.platform[x.platform as usize]
            }
        };
        let keep_cost = |k: usize, j: u32| {
            // Reduced cost of keeping: the base may hold a column that needs no opening.
            let job = &m.p.jobs[j as usize];
            let _ = k;
            let mut keep = if job.keep.is_finite() { job.keep } else { self.forbidden };
            let mut bits = job.member;
            while bits != 0 {
                let set = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                keep += m.weight(j as usize, set) * prices.in_all(set);
            }
            keep
        };
        let resource = |j: u32, column: u16| {
            let job = &m.p.jobs[j as usize];
            let x = &m.p.choices[job.first as usize + column as usize / t];
            (x, column as usize % t, job.region as usize)
        };
        let first_keep = w.keeps.is_empty();
        for (k, &j) in members.iter().enumerate() {
            if first_keep {
                let keep = keep_cost(k, j);
                w.keeps.push(keep);
            }
            let mut best = (w.keeps[k], KEEP);
            let rc = &w.s.all[w.s.at[k] as usize..];
            for (i, x) in m.p.choices_of(j as usize).iter().enumerate() {
                for when in 0..t {
                    if rc[i * t + when] < best.0 && fits_pattern(x, when) {
                        best = (rc[i * t + when], (i * t + when) as u16);
                    }
                }
            }
            w.plan.push(best.1);
            sum += best.0;
            if best.1 != KEEP {
                let (x, when, region) = resource(j, best.1);
                self.add(&mut w.delta, x, when, region, 1.0);
            }
        }
        // Move what does not fit where the loss per unit is least.
        let over = |delta: &[f64], k: usize| {
            let used = s.usage[k] + delta[k];
            if delta[k] > 0.0 && used > self.most[k] { used - m.limit[k] } else { 0.0 }
        };
        let mut moves = 4 * members.len() + 8;
        let mut next = 0;
        while let Some(resource_at) = touched.get(next).map(|k| *k as usize)
            && moves > 0
        {
            if over(&w.delta, resource_at) == 0.0 {
                next += 1;
                continue;
            }
            moves -= 1;
            let mut best: Option<(f64, usize, u16, f64)> = None;
            for (k, &j) in members.iter().enumerate() {
                let now = w.plan[k];
                if now == KEEP {
                    continue;
                }
                let (x, when, region) = resource(j, now);
                let drawn = self.drawn(x, when, region, resource_at);
                if drawn <= 0.0 {
                    continue;
                }
                let rc = &w.s.all[w.s.at[k] as usize..];
                let now_cost = rc[now as usize];
                let mut consider = |cost: f64, column: u16| {
                    let value = (cost - now_cost) / drawn;
                    if best.is_none_or(|b| value < b.0) {
                        best = Some((value, k, column, cost - now_cost));
                    }
                };
                if m.p.jobs[j as usize].keep.is_finite() {
                    consider(w.keeps[k], KEEP);
                }
                for (i, y) in m.p.choices_of(j as usize).iter().enumerate() {
                    for at in 0..t {
                        let column = (i * t + at) as u16;
                        if column == now || !rc[i * t + at].is_finite() || !fits_pattern(y, at) {
                            continue;
                        }
                        if self.drawn(y, at, region, resource_at) >= drawn {
                            continue;
                        }
                        // It must not make anything else overflow.
                        let fits = |index: usize, add: f64| {
                            let same = self.drawn(x, when, region, index);
                            add <= 0.0
                                || s.usage[index] + w.delta[index] - same + add
                                    <= m.limit[index] + 1e-9
                                || index == resource_at
                        };
                        let money = if m.p.carry {
                            (at..t).all(|q| fits(q, y.spend))
                        } else {
                            fits(at, y.spend)
                        };
                        if money
                            && fits(m.crew(region, at), y.crew)
                            && fits(m.outage(region, at), y.outage)
                        {
                            consider(rc[i * t + at], column);
                        }
                    }
                }
            }
            let Some((_, k, column, loss)) = best else {
                next += 1;
                continue;
            };
            let (x, when, region) = resource(members[k], w.plan[k]);
            self.add(&mut w.delta, x, when, region, -1.0);
            if column != KEEP {
                let (x, when, region) = resource(members[k], column);
                self.add(&mut w.delta, x, when, region, 1.0);
            }
            w.plan[k] = column;
            sum += loss;
        }
        let mut open = 0u32;
        for (k, &j) in members.iter().enumerate() {
            if w.plan[k] != KEEP {
                let (x, when, _) = resource(j, w.plan[k]);
                if x.opens {
                    open |= 1 << when;
                }
            }
        }
        for when in 0..t {
            if open & (1 << when) != 0 {
                sum += m.p.clusters[c].open[when];
            }
        }
        let mut fits = true;
        for k in touched.iter().map(|k| *k as usize) {
            let e = over(&w.delta, k);
            if e > 0.0 {
                fits = false;
                sum += e * self.penalty[k];
            }
        }
        (sum, fits)
    }

    /// Puts a single job where its priced cost with penalties is least.
    pub(super) fn place_free(&self, s: &mut State, job: usize, prices: &Prices, w: &mut Work) {
        let m = self.m;
        let keep = prices.reduce(m, job, &mut w.rc);
        let allowed_keep = m.p.jobs[job].keep.is_finite() && self.end_of[job] as usize >= m.t;
        let mut best = (if allowed_keep { keep } else { self.forbidden }, KEEP);
        let region = m.p.jobs[job].region as usize;
        for (i, x) in m.p.choices_of(job).iter().enumerate() {
            for when in 0..m.t {
                let column = i * m.t + when;
                if w.rc[column] >= best.0 || !self.allowed(s, job, column) {
                    continue;
                }
                let mut cost = w.rc[column];
                let mut charge = |k: usize, add: f64| {
                    let e = s.usage[k] + add - m.limit[k];
                    if add > 0.0 && e > 1e-9 {
                        cost += e.min(add) * self.penalty[k];
                    }
                };
                let last = if m.p.carry { m.t } else { when + 1 };
                for q in when..last {
                    charge(q, x.spend);
                }
                charge(m.crew(region, when), x.crew);
                charge(m.outage(region, when), x.outage);
                if cost < best.0 {
                    best = (cost, column as u16);
                }
            }
        }
        if best.1 != s.column[job] {
            w.journal.push((job as u32, s.column[job]));
            self.set(s, job, best.1);
        }
    }

    /// A first plan: clusters by size, then single jobs, then repairs.
    pub(in crate::plan) fn construct(&self, prices: &Prices, w: &mut Work) -> State {
        let m = self.m;
        let mut s = self.nothing();
        let mut order: Vec<u32> = (0..m.p.clusters.len() as u32).collect();
        order.sort_by_key(|c| (std::cmp::Reverse(m.members.of(*c as usize).len()), *c));
        // What a core group waits for comes first.
        for &j in &m.free {
            if (self.end_of[j as usize] as usize) < m.t {
                self.place_free(&mut s, j as usize, prices, w);
            }
        }
        for c in order {
            self.place(&mut s, c as usize, prices, w);
        }
        for &j in &m.free {
            if s.column[j as usize] == KEEP {
                self.place_free(&mut s, j as usize, prices, w);
            }
        }
        self.finish(&mut s, w);
        s
    }
}
