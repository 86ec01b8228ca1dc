//! Plans: greedy construction by priced cost, and large-neighbourhood search.
//!
//! A step takes a few clusters (or single jobs) out of the plan and puts them back one by one. A
//! cluster is put back by enumeration: every target and every set of open periods is priced with
//! the bound's prices (shaken a little), the best few are laid out against the capacity that is
//! left, jobs that do not fit are moved where the loss is least, and the cheapest stays. What does
//! not fit at all stays in the plan and costs a penalty, so there is always a plan and the amount
//! that is missing is known.

mod mend;
mod neighbourhood;
mod place;

pub(crate) use neighbourhood::Effort;

use super::bound::{Dates, Scratch};
use super::check::TOLERANCE;
use super::compiled::{Compiled, KEEP};
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
    /// Penalties of resources that are exceeded, and of rows.
    over: [f64; 2],
    /// How many there are of each.
    full: [u32; 2],
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
    /// Usage beyond which a resource counts as exceeded.
    most: Vec<f64>,
    /// Resources (no rows) that the jobs of each cluster can draw on.
    touches: Vec<Vec<u32>>,
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
            most: m.limit.iter().map(|l| l + 0.5 * TOLERANCE * l.max(1.0)).collect(),
            touches: (0..p.clusters.len())
                .map(|c| {
                    let mut regions: Vec<usize> = m
                        .members
                        .of(c)
                        .iter()
                        .map(|j| p.jobs[*j as usize].region as usize)
                        .collect();
                    regions.sort_unstable();
                    regions.dedup();
                    let of = |r: usize| (0..m.t).flat_map(move |s| [m.crew(r, s), m.outage(r, s)]);
                    let mut all: Vec<u32> = (0..m.t as u32).collect();
                    all.extend(regions.into_iter().flat_map(of).map(|k| k as u32));
                    all.sort_unstable();
                    all
                })
                .collect(),
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
            over: [0.0; 2],
            full: [0; 2],
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
        for k in 0..s.usage.len() {
            let (over, part) = (self.excess(k, s.usage[k]), self.part(k));
            s.over[part] += over;
            s.full[part] += u32::from(over > 0.0);
        }
        s
    }

    /// Penalty of a usage of a resource.
    fn excess(&self, k: usize, usage: f64) -> f64 {
        if usage > self.most[k] { (usage - self.m.limit[k]) * self.penalty[k] } else { 0.0 }
    }

    /// 0 for money, crews and disruption, 1 for rows.
    fn part(&self, k: usize) -> usize {
        usize::from(k >= self.m.rows())
    }

    /// Changes the usage by what a decision draws, and the penalties with it.
    fn draw(&self, s: &mut State, job: usize, column: u16, sign: f64) {
        let (usage, over, full) = (&mut s.usage, &mut s.over, &mut s.full);
        self.m.drawn(job, column, |k, amount| {
            let old = self.excess(k, usage[k]);
            usage[k] += sign * amount;
            let new = self.excess(k, usage[k]);
            if old > 0.0 || new > 0.0 {
                let part = self.part(k);
                over[part] += new - old;
                full[part] = full[part] + u32::from(new > 0.0) - u32::from(old > 0.0);
                if full[part] == 0 {
                    over[part] = 0.0;
                }
            }
        });
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
        self.draw(s, job, old, -1.0);
        self.draw(s, job, column, 1.0);
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

    /// What the search minimises.
    pub fn score(&self, s: &State) -> f64 {
        s.cost + s.over[0] + s.over[1]
    }

    /// Whether nothing is too much and nothing forbidden is kept.
    pub fn feasible(&self, s: &State) -> bool {
        s.full == [0; 2]
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

    /// Computes all sums anew from the columns.
    pub fn renew(&self, s: &mut State) {
        let columns = std::mem::take(&mut s.column);
        *s = self.nothing();
        for (j, c) in columns.into_iter().enumerate() {
            self.set(s, j, c);
        }
    }
}
