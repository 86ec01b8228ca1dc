//! Plans: greedy construction by priced cost, and large-neighbourhood search.
//!
//! A step takes a few clusters (or single jobs) out of the plan and puts them back one by one. A
//! cluster is put back by enumeration: every target and every set of open periods is priced with
//! the bound's prices (shaken a little), the best few are laid out against the capacity that is
//! left, jobs that do not fit are moved where the loss is least, and the cheapest stays. What does
//! not fit at all stays in the plan and costs a penalty, so there is always a plan and the amount
//! that is missing is known.

use super::bound::{Dates, Scratch};
use super::compiled::{Compiled, KEEP, Prices};
use super::instance::{Decision, NONE};

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    /// Between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A plan under construction with everything it draws.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub column: Vec<u16>,
    pub usage: Vec<f64>,
    /// Own cost, openings and borders.
    pub cost: f64,
    target: Vec<u32>,
    /// Jobs of a cluster that fix its target.
    fixing: Vec<u32>,
    /// `[cluster * t + period]`
    open: Vec<u32>,
}

/// What the search needs beside the instance.
#[derive(Debug)]
pub(crate) struct Search<'m, 'a> {
    pub m: &'m Compiled<'a>,
    pub dates: Dates,
    /// Cost of one unit too much of each resource.
    penalty: Vec<f64>,
    /// Stands for the cost of keeping what must not be kept.
    forbidden: f64,
    neighbours: Vec<Vec<(u32, f64)>>,
    by_region: Vec<Vec<u32>>,
    region_of: Vec<u32>,
    /// Cost of onboarding at these dates.
    onboarding: f64,
    /// Latest end of a core job: it has to be done before this period.
    end_of: Vec<u32>,
}

/// Buffers of a chain.
#[derive(Debug, Default)]
pub(crate) struct Work {
    s: Scratch,
    journal: Vec<(u32, u16)>,
    delta: Vec<f64>,
    plan: Vec<u16>,
    best: Vec<u16>,
    rc: Vec<f64>,
    keeps: Vec<f64>,
}

impl<'m, 'a> Search<'m, 'a> {
    pub fn new(m: &'m Compiled<'a>, dates: Dates) -> Self {
        let p = m.p;
        let mut size = 0.0;
        let mut most: f64 = 1.0;
        for j in 0..p.jobs.len() {
            let (mut low, mut high) = (f64::INFINITY, 0.0f64);
            for c in p.choices_of(j) {
                for x in c.cost.iter().filter(|x| x.is_finite()) {
                    low = low.min(x.abs());
                    high = high.max(x.abs());
                }
            }
            if low.is_finite() {
                size += low;
            }
            most = most.max(high);
        }
        let open: f64 = p
            .clusters
            .iter()
            .flat_map(|c| &c.open)
            .copied()
            .filter(|x| x.is_finite())
            .fold(0.0, f64::max);
        let size = size.max(most);
        let mut neighbours = vec![Vec::new(); p.clusters.len()];
        for &(a, b, cost) in &p.borders {
            neighbours[a as usize].push((b, cost));
            neighbours[b as usize].push((a, cost));
        }
        let mut by_region = vec![Vec::new(); p.regions];
        let mut region_of = vec![0; p.clusters.len()];
        for c in 0..p.clusters.len() {
            if let Some(j) = m.members.of(c).first() {
                region_of[c] = p.jobs[*j as usize].region;
                by_region[region_of[c] as usize].push(c as u32);
            }
        }
        let mut end_of = vec![m.t as u32; p.jobs.len()];
        for (j, groups) in m.in_groups.iter().enumerate() {
            for g in groups {
                end_of[j] = end_of[j].min(dates.group[*g as usize]);
            }
        }
        let onboarding = dates
            .platform
            .iter()
            .zip(&m.ready)
            .zip(&p.platforms)
            .filter(|(_, x)| !x.onboard.is_empty())
            .map(|((s, ready), _)| ready[*s as usize])
            .sum();
        Self {
            onboarding,
            m,
            dates,
            penalty: m.scale.iter().map(|s| 5.0 * size / s).collect(),
            forbidden: 3.0 * (most + open) + 1.0,
            neighbours,
            by_region,
            region_of,
            end_of,
        }
    }

    /// The plan that keeps everything.
    pub fn nothing(&self) -> State {
        let m = self.m;
        let mut s = State {
            column: vec![KEEP; m.p.jobs.len()],
            usage: vec![0.0; m.limit.len()],
            cost: self.onboarding,
            target: vec![NONE; m.p.clusters.len()],
            fixing: vec![0; m.p.clusters.len()],
            open: vec![0; m.p.clusters.len() * m.t],
        };
        for j in 0..m.p.jobs.len() {
            m.draw(j, KEEP, 1.0, &mut s.usage);
            s.cost += self.own(j, KEEP);
        }
        s.cost +=
            m.p.borders
                .iter()
                .filter(|b| self.end(&s, b.0) != self.end(&s, b.1))
                .map(|b| b.2)
                .sum::<f64>();
        s
    }

    /// A given plan; decisions that are not allowed are left out.
    pub fn state_of(&self, plan: &[Decision]) -> State {
        let mut s = self.nothing();
        for (j, d) in plan.iter().enumerate().take(s.column.len()) {
            if let Some((c, when)) = d {
                let column = *c as usize * self.m.t + *when as usize;
                if (*c as usize) < self.m.p.choices_of(j).len() && self.allowed(&s, j, column) {
                    self.set(&mut s, j, column as u16);
                }
            }
        }
        s
    }

    pub fn plan(&self, s: &State) -> Vec<Decision> {
        let t = self.m.t;
        s.column
            .iter()
            .map(|c| (*c != KEEP).then(|| (u32::from(*c) / t as u32, u32::from(*c) % t as u32)))
            .collect()
    }

    fn own(&self, job: usize, column: u16) -> f64 {
        let c = self.m.own_cost(job, column);
        let late = column == KEEP && (self.end_of[job] as usize) < self.m.t;
        if c.is_finite() && !late { c } else { self.forbidden }
    }

    fn end(&self, s: &State, c: u32) -> u32 {
        match s.target[c as usize] {
            NONE => self.m.p.clusters[c as usize].home,
            t => t,
        }
    }

    /// Cost of borders of a cluster if it ended with `platform`.
    fn border(&self, s: &State, c: usize, platform: u32) -> f64 {
        self.neighbours[c].iter().filter(|(n, _)| self.end(s, *n) != platform).map(|n| n.1).sum()
    }

    /// Changes one job and keeps all sums right.
    fn set(&self, s: &mut State, job: usize, column: u16) {
        let m = self.m;
        let old = s.column[job];
        if old == column {
            return;
        }
        m.draw(job, old, -1.0, &mut s.usage);
        m.draw(job, column, 1.0, &mut s.usage);
        s.cost += self.own(job, column) - self.own(job, old);
        s.column[job] = column;
        let j = &m.p.jobs[job];
        if j.cluster == NONE {
            return;
        }
        let c = j.cluster as usize;
        let choice = |col: u16| {
            (col != KEEP)
                .then(|| (&m.p.choices[j.first as usize + col as usize / m.t], col as usize % m.t))
        };
        let before = self.end(s, j.cluster);
        if let Some((x, when)) = choice(old).filter(|x| x.0.opens) {
            let n = &mut s.open[c * m.t + when];
            *n -= 1;
            if *n == 0 {
                s.cost -= m.p.clusters[c].open[when];
            }
            if x.platform != NONE {
                s.fixing[c] -= 1;
                if s.fixing[c] == 0 {
                    s.target[c] = NONE;
                }
            }
        }
        if let Some((x, when)) = choice(column).filter(|x| x.0.opens) {
            let n = &mut s.open[c * m.t + when];
            *n += 1;
            if *n == 1 {
                s.cost += m.p.clusters[c].open[when];
            }
            if x.platform != NONE {
                s.fixing[c] += 1;
                s.target[c] = x.platform;
            }
        }
        let after = self.end(s, j.cluster);
        if before != after && !self.neighbours[c].is_empty() {
            s.cost += self.border(s, c, after) - self.border(s, c, before);
        }
    }

    /// Cost of everything that is too much.
    pub fn overflow(&self, s: &State) -> f64 {
        let mut sum = 0.0;
        for ((u, l), p) in s.usage.iter().zip(&self.m.limit).zip(&self.penalty) {
            let over = u - l;
            if over > 0.5 * super::check::TOLERANCE * l.max(1.0) {
                sum += over * p;
            }
        }
        sum
    }

    /// What the search minimises.
    pub fn score(&self, s: &State) -> f64 {
        s.cost + self.overflow(s)
    }

    /// Whether nothing is too much and nothing forbidden is kept.
    pub fn feasible(&self, s: &State) -> bool {
        self.overflow(s) == 0.0
            && s.column.iter().enumerate().all(|(j, c)| {
                *c != KEEP
                    || (self.m.p.jobs[j].keep.is_finite() && self.end_of[j] as usize >= self.m.t)
            })
    }

    /// Whether a column may be used as the plan stands (capacity not looked at).
    fn allowed(&self, s: &State, job: usize, column: usize) -> bool {
        let m = self.m;
        let j = &m.p.jobs[job];
        let (i, when) = (column / m.t, column % m.t);
        let c = &m.p.choices[j.first as usize + i];
        if !m.own_cost(job, column as u16).is_finite() || when >= self.end_of[job] as usize {
            return false;
        }
        if c.platform != NONE && (when as u32) < self.dates.platform[c.platform as usize] {
            return false;
        }
        if !c.opens {
            return true;
        }
        let k = j.cluster as usize;
        let cluster = &m.p.clusters[k];
        if cluster.group != NONE && (when as u32) < self.dates.group[cluster.group as usize] {
            return false;
        }
        let others = s.fixing[k]
            - u32::from(
                s.column[job] != KEEP && {
                    let x = &m.p.choices[j.first as usize + s.column[job] as usize / m.t];
                    x.opens && x.platform != NONE
                },
            );
        if c.platform != NONE && others > 0 && s.target[k] != c.platform {
            return false;
        }
        if s.open[k * m.t + when] == 0 {
            let mut open = s.open[k * m.t..(k + 1) * m.t].iter().filter(|n| **n > 0).count();
            // The job's own period may close behind it.
            if s.column[job] != KEEP {
                let (i, w) = (s.column[job] as usize / m.t, s.column[job] as usize % m.t);
                if m.p.choices[j.first as usize + i].opens && s.open[k * m.t + w] == 1 {
                    open -= 1;
                }
            }
            return open < cluster.max_open as usize;
        }
        true
    }

    /// Puts a cluster, whose jobs are all kept now, back into the plan.
    fn place(&self, s: &mut State, c: usize, prices: &Prices, w: &mut Work) {
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
        w.best.clear();
        for (cost, target, mask) in found {
            if cost >= best {
                break;
            }
            let (score, _) = self.lay_out(s, c, target, mask, prices, w);
            if score < best {
                best = score;
                std::mem::swap(&mut w.best, &mut w.plan);
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
        w.delta.clear();
        w.delta.resize(m.rows(), 0.0);
        let border = self.border(
            s,
            c,
            match target {
                NONE => m.p.clusters[c].home,
                x => x,
            },
        );
        let mut sum = border;
        let fits_pattern = |x: &super::instance::Choice, when: usize| {
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
            let e = s.usage[k] + delta[k] - m.limit[k];
            if delta[k] > 0.0 && e > 0.5 * super::check::TOLERANCE * m.limit[k].max(1.0) {
                e
            } else {
                0.0
            }
        };
        let mut moves = 4 * members.len() + 8;
        let mut resource_at = 0;
        while resource_at < m.rows() && moves > 0 {
            if over(&w.delta, resource_at) == 0.0 {
                resource_at += 1;
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
                resource_at += 1;
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
        for k in 0..m.rows() {
            let e = over(&w.delta, k);
            if e > 0.0 {
                fits = false;
                sum += e * self.penalty[k];
            }
        }
        (sum, fits)
    }

    fn add(
        &self,
        delta: &mut [f64],
        x: &super::instance::Choice,
        when: usize,
        region: usize,
        sign: f64,
    ) {
        let m = self.m;
        let last = if m.p.carry { m.t } else { when + 1 };
        for d in &mut delta[when..last] {
            *d += sign * x.spend;
        }
        delta[m.crew(region, when)] += sign * x.crew;
        delta[m.outage(region, when)] += sign * x.outage;
    }

    /// What a choice draws of a resource that is no row.
    fn drawn(
        &self,
        x: &super::instance::Choice,
        when: usize,
        region: usize,
        resource: usize,
    ) -> f64 {
        let m = self.m;
        if resource < m.t {
            let hit = if m.p.carry { resource >= when } else { resource == when };
            if hit { x.spend } else { 0.0 }
        } else if resource == m.crew(region, when) {
            x.crew
        } else if resource == m.outage(region, when) {
            x.outage
        } else {
            0.0
        }
    }

    /// Puts a single job where its priced cost with penalties is least.
    fn place_free(&self, s: &mut State, job: usize, prices: &Prices, w: &mut Work) {
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

    /// Changes single jobs of `jobs` so that rows are kept again: cheapest per unit first.
    fn mend_rows(&self, s: &mut State, jobs: &[u32], w: &mut Work) {
        let m = self.m;
        let first = m.rows();
        for k in 0..m.p.rows.len() {
            let excess = |s: &State| s.usage[first + k] - m.limit[first + k];
            if excess(s) <= 0.5 * super::check::TOLERANCE * m.limit[first + k].max(1.0) {
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
            let mut done = std::collections::BTreeSet::new();
            for (_, j, column) in list {
                if excess(s) <= 0.0 {
                    break;
                }
                if done.contains(&j) || !self.allowed(s, j as usize, column as usize) {
                    continue;
                }
                let before = self.plain_overflow(s);
                let old = s.column[j as usize];
                self.set(s, j as usize, column);
                if self.plain_overflow(s) > before + 1e-9 {
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

    /// Overflow of everything that is no row.
    fn plain_overflow(&self, s: &State) -> f64 {
        (0..self.m.rows())
            .map(|k| {
                let e = s.usage[k] - self.m.limit[k];
                if e > 1e-9 * self.m.limit[k].max(1.0) { e * self.penalty[k] } else { 0.0 }
            })
            .sum()
    }

    /// Moves single jobs as long as it helps; returns whether it did.
    fn polish(&self, s: &mut State, jobs: &[u32], w: &mut Work) -> bool {
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

    /// A first plan: clusters by size, then single jobs, then repairs.
    pub fn construct(&self, prices: &Prices, w: &mut Work) -> State {
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

    /// Repairs rows and polishes over all jobs.
    pub fn finish(&self, s: &mut State, w: &mut Work) {
        let all: Vec<u32> = (0..s.column.len() as u32).collect();
        self.mend_rows(s, &all, w);
        for _ in 0..3 {
            if !self.polish(s, &all, w) {
                break;
            }
        }
        w.journal.clear();
    }

    /// Large-neighbourhood search of `moves` steps from `s`; the best plan found is left in `s`.
    pub fn improve(
        &self,
        s: &mut State,
        prices: &Prices,
        moves: u64,
        heat: f64,
        seed: u64,
        w: &mut Work,
    ) {
        let m = self.m;
        let mut random = Random(seed);
        let mut current = self.score(s);
        let (mut best, mut best_columns) = (current, s.column.clone());
        let clusters = m.p.clusters.len();
        let units = clusters + m.free.len() / 16;
        if units == 0 && m.free.is_empty() {
            return;
        }
        // A step may lose up to this much at first, nothing at the end.
        let loss = heat * current.abs() / (units.max(1) as f64);
        let mut shaken = prices.clone();
        let (mut chosen, mut singles): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut touched: Vec<u32> = Vec::new();
        for step in 0..moves {
            self.choose(s, &mut random, &mut chosen, &mut singles);
            if chosen.is_empty() && singles.is_empty() {
                continue;
            }
            let width = [0.0, 0.05, 0.2, 0.6][random.below(4)];
            for (to, from) in shaken.of.iter_mut().zip(&prices.of) {
                *to = if *from > 0.0 {
                    from * (1.0 + width * (2.0 * random.unit() - 1.0))
                } else {
                    0.0
                };
            }
            shaken.refresh(m);
            w.journal.clear();
            touched.clear();
            for &c in &chosen {
                touched.extend(m.members.of(c as usize));
            }
            touched.extend(&singles);
            for &j in &touched {
                let old = s.column[j as usize];
                if old != KEEP {
                    w.journal.push((j, old));
                    self.set(s, j as usize, KEEP);
                }
            }
            for i in (1..chosen.len()).rev() {
                chosen.swap(i, random.below(i + 1));
            }
            for &c in &chosen {
                self.place(s, c as usize, &shaken, w);
            }
            for &j in &singles {
                self.place_free(s, j as usize, &shaken, w);
            }
            let mut now = self.score(s);
            let limit = current + loss * (1.0 - step as f64 / moves as f64).powi(2);
            // Far off is not worth mending.
            if !m.p.rows.is_empty() || now < limit + 4.0 * loss {
                self.mend_rows(s, &touched, w);
                self.polish(s, &touched, w);
                now = self.score(s);
            }
            if now <= limit {
                current = now;
                if now < best - 1e-9 * best.abs() {
                    best = now;
                    best_columns.copy_from_slice(&s.column);
                }
            } else {
                while let Some((j, old)) = w.journal.pop() {
                    self.set(s, j as usize, old);
                }
            }
            if step % 4096 == 4095 {
                // Sums drift by rounding; start them anew.
                self.renew(s);
                current = self.score(s);
            }
        }
        s.column = best_columns;
        self.renew(s);
    }

    /// Computes all sums anew from the columns.
    pub fn renew(&self, s: &mut State) {
        let columns = std::mem::take(&mut s.column);
        *s = self.nothing();
        for (j, c) in columns.into_iter().enumerate() {
            self.set(s, j, c);
        }
    }

    /// Chooses clusters and single jobs to take out.
    fn choose(
        &self,
        s: &State,
        random: &mut Random,
        chosen: &mut Vec<u32>,
        singles: &mut Vec<u32>,
    ) {
        let m = self.m;
        chosen.clear();
        singles.clear();
        let clusters = m.p.clusters.len();
        let free_turn = !m.free.is_empty()
            && random.below(clusters + m.free.len() / 8 + 1) >= clusters.min(clusters * 8);
        if free_turn || clusters == 0 {
            let start = random.below(m.free.len());
            let region = m.p.jobs[m.free[start] as usize].region;
            for k in 0..m.free.len().min(200) {
                let j = m.free[(start + k) % m.free.len()];
                if m.p.jobs[j as usize].region == region || k % 4 == 0 {
                    singles.push(j);
                }
                if singles.len() >= 8 {
                    break;
                }
            }
            if clusters > 0 && random.below(2) == 0 {
                let list = &self.by_region[region as usize];
                if !list.is_empty() {
                    chosen.push(list[random.below(list.len())]);
                }
            }
            return;
        }
        let count = 1 + random.below(5);
        let seed = random.below(clusters);
        chosen.push(seed as u32);
        let region = self.region_of[seed];
        let list = &self.by_region[region as usize];
        let mode = random.below(4);
        let mask = |c: u32| -> u32 {
            (0..m.t).filter(|s2| s.open[c as usize * m.t + s2] > 0).fold(0, |a, b| a | 1 << b)
        };
        let own = mask(seed as u32);
        for _ in 0..4 * count {
            if chosen.len() >= count {
                break;
            }
            let c = match mode {
                // Anywhere: money and rows couple regions.
                0 => random.below(clusters) as u32,
                // A neighbour: borders.
                1 if !self.neighbours[seed].is_empty() => {
                    let n = &self.neighbours[seed];
                    n[random.below(n.len())].0
                }
                _ if list.is_empty() => random.below(clusters) as u32,
                _ => list[random.below(list.len())],
            };
            // Same periods compete, different ones can be exchanged: both, by turns.
            if !chosen.contains(&c) && (mode != 2 || own == 0 || mask(c) & own != 0) {
                chosen.push(c);
            }
        }
    }
}
