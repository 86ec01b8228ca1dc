//! The Lagrangian lower bound, by cluster.
//!
//! Money, crews, disruption and rows are priced; what remains falls apart into clusters and single
//! jobs. In a cluster every target platform and every set of open periods is tried, and for each
//! every job takes its best column on its own: exact, fixed charges included, so the bound is at
//! least that of the linear relaxation. The dates of onboarding and of core groups are few: all
//! combinations are tried, so they are exact as well (beyond [`MAX_COMBINATIONS`] they are relaxed,
//! which keeps the bound valid). Prices are moved by the volume method (Barahona and Anbil 2000).

use rayon::prelude::*;

use super::compiled::{Compiled, KEEP, Prices};
use super::instance::NONE;
use crate::{Go, Progress, Watch};

/// Most combinations of dates tried per independent part.
pub const MAX_COMBINATIONS: usize = 4096;

/// A date to decide that many jobs depend on. Its state is the first period in which what depends
/// on it may happen; `t` is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dim {
    Platform(u32),
    Group(u32),
}

/// Dates that have to be decided together, and what depends on them.
#[derive(Debug)]
struct Part {
    dims: Vec<Dim>,
    clusters: Vec<u32>,
    free: Vec<u32>,
    /// Too many combinations: each item decides for itself.
    relaxed: bool,
}

/// States of all dates: for each platform and each group the first period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dates {
    pub platform: Vec<u32>,
    pub group: Vec<u32>,
}

/// What a price vector gives.
#[derive(Debug, Clone)]
struct Evaluation {
    value: f64,
    usage: Vec<f64>,
}

/// The result.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub value: f64,
    /// Prices per unit at which it was reached.
    pub prices: Vec<f64>,
    /// Dates chosen there, best first, with the value of each.
    pub dates: Vec<(f64, Dates)>,
}

pub(crate) struct Lagrangian<'m, 'a> {
    m: &'m Compiled<'a>,
    parts: Vec<Part>,
    /// Core groups whose dates are relaxed.
    loose: Vec<bool>,
}

/// Best pattern of a cluster for every target and first period.
#[derive(Debug, Clone, Default)]
struct Table {
    /// Cost without opening.
    closed: f64,
    /// `[target * (t + 1) + s]`: (cost, mask) with all open periods >= s; s = t is closed.
    best: Vec<(f64, u32)>,
}

/// Buffers of a thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub rc: Vec<f64>,
    pub base: Vec<f64>,
    /// `[period * n + job]` for the current target.
    pub column: Vec<f64>,
    pub level: Vec<f64>,
    /// Reduced costs of all jobs of the cluster, one after the other.
    pub all: Vec<f64>,
    pub at: Vec<u32>,
}

impl Scratch {
    /// Reduced costs of all jobs of a cluster, and the best without opening.
    /// With `dates`, a choice that needs no opening still waits for its platform.
    pub fn cluster(&mut self, m: &Compiled<'_>, prices: &Prices, c: usize, dates: Option<&Dates>) {
        self.base.clear();
        self.all.clear();
        self.at.clear();
        for &j in m.members.of(c) {
            let keep = prices.reduce(m, j as usize, &mut self.rc);
            let mut best = keep;
            for (i, choice) in m.p.choices_of(j as usize).iter().enumerate() {
                if !choice.opens {
                    let from = match dates {
                        Some(d) if choice.platform != NONE => d.platform[choice.platform as usize],
                        _ => 0,
                    };
                    let late = &self.rc[i * m.t + from as usize..(i + 1) * m.t];
                    best = late.iter().copied().fold(best, f64::min);
                }
            }
            self.base.push(best);
            self.at.push(self.all.len() as u32);
            self.all.extend_from_slice(&self.rc);
        }
    }

    /// Fills `column` for a target.
    pub fn target(&mut self, m: &Compiled<'_>, c: usize, target: u32) {
        let n = self.base.len();
        self.column.clear();
        self.column.resize(n * m.t, f64::INFINITY);
        for (k, &j) in m.members.of(c).iter().enumerate() {
            for (i, choice) in m.p.choices_of(j as usize).iter().enumerate() {
                if choice.opens && (choice.platform == target || choice.platform == NONE) {
                    let rc = &self.all[self.at[k] as usize + i * m.t..][..m.t];
                    for (s, r) in rc.iter().enumerate() {
                        let slot = &mut self.column[s * n + k];
                        *slot = slot.min(*r);
                    }
                }
            }
        }
    }

    /// Calls `each(mask, cost)` for every pattern of the current target.
    pub fn patterns(&mut self, m: &Compiled<'_>, c: usize, mut each: impl FnMut(u32, f64)) {
        let n = self.base.len();
        let cluster = &m.p.clusters[c];
        self.level.resize(n * m.masks.len(), 0.0);
        for (i, (&mask, &rest)) in m.masks.iter().zip(&m.rest).enumerate() {
            if mask.count_ones() > cluster.max_open {
                break;
            }
            let low = mask.trailing_zeros() as usize;
            let column = &self.column[low * n..(low + 1) * n];
            let (done, todo) = self.level.split_at_mut(i * n);
            let from = if rest == NONE { &self.base[..] } else { &done[rest as usize * n..][..n] };
            let mut sum = 0.0;
            for ((to, f), c) in todo[..n].iter_mut().zip(from).zip(column) {
                let v = if f < c { *f } else { *c };
                *to = v;
                sum += v;
            }
            let mut open = 0.0;
            let mut bits = mask;
            while bits != 0 {
                open += cluster.open[bits.trailing_zeros() as usize];
                bits &= bits - 1;
            }
            each(mask, sum + open);
        }
    }
}

impl<'m, 'a> Lagrangian<'m, 'a> {
    pub fn new(m: &'m Compiled<'a>) -> Self {
        let mut dims: Vec<Dim> = (0u32..)
            .zip(&m.p.platforms)
            .filter(|(_, p)| !p.onboard.is_empty())
            .map(|(i, _)| Dim::Platform(i))
            .collect();
        dims.extend(
            (0..m.p.groups.len() as u32)
                .filter(|g| !m.p.groups[*g as usize].is_empty())
                .map(Dim::Group),
        );
        let find_dim = |d: Dim| dims.iter().position(|x| *x == d);
        let cluster_dims = |c: usize| -> Vec<usize> {
            let mut v: Vec<usize> =
                m.targets[c].iter().filter_map(|p| find_dim(Dim::Platform(*p))).collect();
            v.extend(find_dim(Dim::Group(m.p.clusters[c].group)));
            v
        };
        let free_dims = |j: u32| -> Vec<usize> {
            let mut v: Vec<usize> =
                m.p.choices_of(j as usize)
                    .iter()
                    .filter_map(|c| find_dim(Dim::Platform(c.platform)))
                    .collect();
            v.extend(m.in_groups[j as usize].iter().filter_map(|g| find_dim(Dim::Group(*g))));
            v
        };
        // Dates that one item depends on belong together.
        let mut head: Vec<usize> = (0..dims.len()).collect();
        let touched: Vec<Vec<usize>> = (0..m.p.clusters.len())
            .map(cluster_dims)
            .chain(m.free.iter().map(|j| free_dims(*j)))
            .collect();
        for list in &touched {
            for d in list {
                let (a, b) = (head[list[0]], head[*d]);
                for h in &mut head {
                    if *h == b {
                        *h = a;
                    }
                }
            }
        }
        let mut heads: Vec<usize> = head.clone();
        heads.sort_unstable();
        heads.dedup();
        let mut parts: Vec<Part> = heads
            .iter()
            .map(|h| Part {
                dims: (0..dims.len()).filter(|d| head[*d] == *h).map(|d| dims[d]).collect(),
                clusters: Vec::new(),
                free: Vec::new(),
                relaxed: false,
            })
            .collect();
        for (i, list) in touched.iter().enumerate() {
            let part = list.first().and_then(|d| heads.iter().position(|h| *h == head[*d]));
            match (i < m.p.clusters.len(), part) {
                (_, None) => {}
                (true, Some(k)) => parts[k].clusters.push(i as u32),
                (false, Some(k)) => parts[k].free.push(m.free[i - m.p.clusters.len()]),
            }
        }
        for part in &mut parts {
            let combinations = (0..part.dims.len()).try_fold(1usize, |n, _| n.checked_mul(m.t + 1));
            let items = part.clusters.len() + part.free.len() * 8;
            part.relaxed = combinations
                .is_none_or(|n| n > MAX_COMBINATIONS || n.saturating_mul(items) > 30_000_000);
        }
        let mut loose = vec![false; m.p.groups.len()];
        for d in parts.iter().filter(|p| p.relaxed).flat_map(|p| &p.dims) {
            if let Dim::Group(g) = d {
                loose[*g as usize] = true;
            }
        }
        Self { m, parts, loose }
    }

    /// Whether dates are exact in the bound.
    pub fn exact_dates(&self) -> bool {
        self.parts.iter().all(|p| !p.relaxed)
    }

    /// All combinations of dates of the exact parts, if there are at most `most`.
    pub fn combinations(&self, most: usize) -> Option<Vec<Dates>> {
        let mut all = vec![self.no_dates()];
        for part in &self.parts {
            let mut next = Vec::new();
            for d in &all {
                let mut states = vec![0u32; part.dims.len()];
                loop {
                    if self.date_cost(part, &states).is_finite() {
                        let mut d = d.clone();
                        set_dates(&mut d, part, &states);
                        next.push(d);
                    }
                    if next.len() > most {
                        return None;
                    }
                    if !count_up(&mut states, self.m.t as u32) {
                        break;
                    }
                }
            }
            all = next;
        }
        Some(all)
    }

    fn no_dates(&self) -> Dates {
        let p = self.m.p;
        Dates {
            platform: p
                .platforms
                .iter()
                .map(|x| if x.onboard.is_empty() { 0 } else { x.lag })
                .collect(),
            group: p.groups.iter().map(|g| u32::from(!g.is_empty())).collect(),
        }
    }

    /// Cost of a combination; infinite when it cannot be.
    fn date_cost(&self, part: &Part, states: &[u32]) -> f64 {
        part.dims
            .iter()
            .zip(states)
            .map(|(d, s)| match d {
                Dim::Platform(p) => self.m.ready[*p as usize][*s as usize],
                // Nothing can be finished before the first period.
                Dim::Group(_) if *s == 0 => f64::INFINITY,
                Dim::Group(_) => 0.0,
            })
            .sum()
    }

    fn table(&self, prices: &Prices, c: u32, scratch: &mut Scratch) -> Table {
        let m = self.m;
        let t = m.t;
        scratch.cluster(m, prices, c as usize, None);
        let closed: f64 = scratch.base.iter().sum();
        let mut out =
            Table { closed, best: Vec::with_capacity(m.targets[c as usize].len() * (t + 1)) };
        for &target in &m.targets[c as usize] {
            scratch.target(m, c as usize, target);
            let mut by_first = [(f64::INFINITY, 0u32); super::instance::MAX_PERIODS];
            scratch.patterns(m, c as usize, |mask, cost| {
                let slot = &mut by_first[mask.trailing_zeros() as usize];
                if cost < slot.0 {
                    *slot = (cost, mask);
                }
            });
            let from = out.best.len();
            out.best.resize(from + t + 1, (closed, 0));
            let mut best = (closed, 0);
            for s in (0..t).rev() {
                if by_first[s].0 < best.0 {
                    best = by_first[s];
                }
                out.best[from + s] = best;
            }
        }
        out
    }

    /// Best (cost, target, mask) of a cluster under given dates.
    fn choose(&self, c: u32, table: &Table, dates: &Dates) -> (f64, u32, u32) {
        let m = self.m;
        let group = m.p.clusters[c as usize].group;
        let core = if group == NONE { 0 } else { dates.group[group as usize] };
        let mut best = (table.closed, NONE, 0);
        for (k, &target) in m.targets[c as usize].iter().enumerate() {
            let ready = if target == NONE { 0 } else { dates.platform[target as usize] };
            let (cost, mask) = table.best[k * (m.t + 1) + core.max(ready) as usize];
            if cost < best.0 {
                best = (cost, target, mask);
            }
        }
        best
    }

    /// Best (cost, column) of a free job under given dates.
    fn choose_free(&self, prices: &Prices, j: u32, dates: &Dates, rc: &mut Vec<f64>) -> (f64, u16) {
        let keep = prices.reduce(self.m, j as usize, rc);
        self.pick_free(j, keep, rc, dates)
    }

    fn pick_free(&self, j: u32, keep: f64, rc: &[f64], dates: &Dates) -> (f64, u16) {
        let t = self.m.t;
        // Finished before the earliest of its groups may begin.
        let end = self.m.in_groups[j as usize]
            .iter()
            .filter(|g| !self.loose[**g as usize])
            .map(|g| dates.group[*g as usize])
            .filter(|s| (*s as usize) < t)
            .min()
            .map_or(t, |s| s as usize);
        let mut best = if end < t { (f64::INFINITY, KEEP) } else { (keep, KEEP) };
        for (i, c) in self.m.p.choices_of(j as usize).iter().enumerate() {
            let from =
                if c.platform == NONE { 0 } else { dates.platform[c.platform as usize] as usize };
            for s in from..end {
                if rc[i * t + s] < best.0 {
                    best = (rc[i * t + s], (i * t + s) as u16);
                }
            }
        }
        best
    }

    /// Value and usage at given prices; with `many`, values of the best combinations of each part.
    fn evaluate(&self, prices: &Prices, many: Option<&mut Vec<(f64, Dates)>>) -> Evaluation {
        let m = self.m;
        let chunk = (m.p.clusters.len() / 64).max(4);
        let ids: Vec<u32> = (0..m.p.clusters.len() as u32).collect();
        let tables: Vec<Table> = ids
            .par_chunks(chunk)
            .map(|cs| {
                let mut scratch = Scratch::default();
                cs.iter().map(|c| self.table(prices, *c, &mut scratch)).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
            .concat();
        let mut dates = self.no_dates();
        let mut value = 0.0;
        for (k, l) in m.limit.iter().enumerate() {
            if prices.of[k] > 0.0 {
                value -= prices.of[k] * l;
            }
        }
        let mut alternatives: Vec<(f64, &Part, Vec<u32>)> = Vec::new();
        for part in self.parts.iter().filter(|p| !p.relaxed) {
            let reduced: Vec<(u32, f64, Vec<f64>)> = part
                .free
                .iter()
                .map(|j| {
                    let mut rc = Vec::new();
                    let keep = prices.reduce(m, *j as usize, &mut rc);
                    (*j, keep, rc)
                })
                .collect();
            let mut states = vec![0u32; part.dims.len()];
            let mut combos: Vec<Vec<u32>> = vec![states.clone()];
            while count_up(&mut states, m.t as u32) {
                combos.push(states.clone());
            }
            let base = &dates;
            let values: Vec<f64> = combos
                .par_iter()
                .map(|states| {
                    let mut cost = self.date_cost(part, states);
                    if !cost.is_finite() {
                        return cost;
                    }
                    let mut d = base.clone();
                    set_dates(&mut d, part, states);
                    for c in &part.clusters {
                        cost += self.choose(*c, &tables[*c as usize], &d).0;
                    }
                    for (j, keep, rc) in &reduced {
                        cost += self.pick_free(*j, *keep, rc, &d).0;
                    }
                    cost
                })
                .collect();
            let mut order: Vec<usize> = (0..combos.len()).collect();
            order.sort_by(|a, b| values[*a].total_cmp(&values[*b]).then(a.cmp(b)));
            let best = order[0];
            if many.is_some() {
                for o in order.iter().skip(1).take(6).filter(|o| values[**o].is_finite()) {
                    alternatives.push((values[*o] - values[best], part, combos[*o].clone()));
                }
            }
            set_dates(&mut dates, part, &combos[best]);
            value += self.date_cost(part, &combos[best]);
        }
        let (own, usage) = self.usage(prices, &tables, &dates);
        value += own;
        if let Some(many) = many {
            many.push((value, dates.clone()));
            alternatives.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (loss, part, states) in alternatives {
                let mut d = dates.clone();
                set_dates(&mut d, part, &states);
                many.push((value + loss, d));
            }
        }
        Evaluation { value, usage }
    }

    /// Sum of reduced costs (with openings) and usage of the best decisions under given dates.
    fn usage(&self, prices: &Prices, tables: &[Table], dates: &Dates) -> (f64, Vec<f64>) {
        let m = self.m;
        enum Item {
            Cluster(u32),
            Free(u32),
        }
        let items: Vec<Item> = (0..m.p.clusters.len() as u32)
            .map(Item::Cluster)
            .chain(m.free.iter().map(|j| Item::Free(*j)))
            .collect();
        let chunk = (items.len() / 64).max(16);
        let parts: Vec<(f64, Vec<f64>)> = items
            .par_chunks(chunk)
            .map(|items| {
                let mut usage = vec![0.0; m.limit.len()];
                let mut sum = 0.0;
                let mut rc = Vec::new();
                for item in items {
                    match item {
                        Item::Free(j) => {
                            let (cost, column) = self.choose_free(prices, *j, dates, &mut rc);
                            sum += cost;
                            m.draw(*j as usize, column, 1.0, &mut usage);
                        }
                        Item::Cluster(c) => {
                            let (cost, target, mask) = self.choose(*c, &tables[*c as usize], dates);
                            sum += cost;
                            for &j in m.members.of(*c as usize) {
                                let keep = prices.reduce(m, j as usize, &mut rc);
                                let column = best_column(m, j, keep, &rc, target, mask);
                                m.draw(j as usize, column, 1.0, &mut usage);
                            }
                        }
                    }
                }
                (sum, usage)
            })
            .collect();
        let mut usage = vec![0.0; m.limit.len()];
        let mut sum = 0.0;
        for (s, u) in parts {
            sum += s;
            for (a, b) in usage.iter_mut().zip(u) {
                *a += b;
            }
        }
        (sum, usage)
    }

    /// Moves prices for `steps` steps from `start`. `incumbent` is the cost of a known plan, which
    /// sets the length of steps. `cap` limits normalised prices (soft rows).
    pub fn climb(
        &self,
        start: Option<&[f64]>,
        steps: u64,
        incumbent: Option<f64>,
        cap: f64,
        enough: Option<f64>,
        watch: &dyn Watch,
    ) -> (Bound, Go) {
        let m = self.m;
        let n = m.limit.len();
        let used: Vec<bool> = m.limit.iter().map(|l| l.is_finite()).collect();
        let mut centre: Vec<f64> = match start {
            Some(s) => (0..n).map(|k| s[k] * m.scale[k]).collect(),
            None => vec![0.0; n],
        };
        let to_prices = |y: &[f64]| {
            Prices::new(m, (0..n).map(|k| if used[k] { y[k] / m.scale[k] } else { 0.0 }).collect())
        };
        let gap_of = |usage: &[f64]| -> Vec<f64> {
            (0..n)
                .map(|k| if used[k] { (usage[k] - m.limit[k]) / m.scale[k] } else { 0.0 })
                .collect()
        };
        let first = self.evaluate(&to_prices(&centre), None);
        let mut best = first.value;
        // Running average of solutions: an almost feasible point of the relaxation.
        let mut mean = gap_of(&first.usage);
        let (mut factor, mut alpha) = (0.1, 0.1);
        let (mut bad, mut since) = (0, best);
        let mut go = Go::On;
        for step in 0..steps {
            if step % 16 == 0 {
                go = watch.tell(&Progress {
                    stage: "bound",
                    done: step,
                    of: steps,
                    incumbent,
                    bound: Some(best),
                });
                if go == Go::Stop || enough.is_some_and(|e| best >= e) {
                    break;
                }
            }
            // Only a price that can move counts.
            let norm: f64 = mean
                .iter()
                .zip(&centre)
                .map(|(g, y)| if *y <= 0.0 && *g < 0.0 { 0.0 } else { g * g })
                .sum();
            if norm < 1e-14 {
                break;
            }
            let target = match incumbent {
                Some(u) if u > best => best + 1.05 * (u - best),
                _ => best + 0.05 * best.abs().max(1.0),
            };
            let length = factor * (target - best) / norm;
            let y: Vec<f64> =
                (0..n).map(|k| (centre[k] + length * mean[k]).clamp(0.0, cap)).collect();
            let e = self.evaluate(&to_prices(&y), None);
            let g = gap_of(&e.usage);
            // The share of the new point that makes the average closest to feasible.
            let (mut num, mut den) = (0.0, 0.0);
            for k in 0..n {
                let d = mean[k] - g[k];
                num += mean[k] * d;
                den += d * d;
            }
            let a = if den > 0.0 { (num / den).clamp(alpha / 10.0, alpha) } else { alpha };
            let turn: f64 = mean.iter().zip(&g).map(|(a, b)| a * b).sum();
            for k in 0..n {
                mean[k] = a * g[k] + (1.0 - a) * mean[k];
            }
            if e.value > best {
                if turn >= 0.0 {
                    factor = (factor * 1.1f64).min(2.0);
                }
                bad = 0;
                best = e.value;
                centre = y;
            } else {
                bad += 1;
                if bad >= 12 {
                    bad = 0;
                    factor = (factor * 0.66f64).max(1e-5);
                }
            }
            if step % 60 == 59 {
                if best - since < 1e-3 * best.abs() {
                    alpha = (alpha * 0.7f64).max(1e-3);
                }
                since = best;
            }
        }
        let prices = to_prices(&centre);
        let mut dates = Vec::new();
        self.evaluate(&prices, Some(&mut dates));
        (Bound { value: best, prices: prices.of, dates }, go)
    }
}

/// Best column of a cluster's job when the cluster is open in `mask` for `target`.
fn best_column(m: &Compiled<'_>, j: u32, keep: f64, rc: &[f64], target: u32, mask: u32) -> u16 {
    let t = m.t;
    let mut best = (keep, KEEP);
    for (i, c) in m.p.choices_of(j as usize).iter().enumerate() {
        if c.opens && c.platform != target && c.platform != NONE {
            continue;
        }
        for s in 0..t {
            if (!c.opens || mask & (1 << s) != 0) && rc[i * t + s] < best.0 {
                best = (rc[i * t + s], (i * t + s) as u16);
            }
        }
    }
    best.1
}

fn count_up(states: &mut [u32], last: u32) -> bool {
    for s in states {
        if *s < last {
            *s += 1;
            return true;
        }
        *s = 0;
    }
    false
}

fn put_date(d: &mut Dates, dim: Dim, s: u32) {
    match dim {
        Dim::Platform(p) => d.platform[p as usize] = s,
        Dim::Group(g) => d.group[g as usize] = s,
    }
}

fn set_dates(d: &mut Dates, part: &Part, states: &[u32]) {
    for (dim, s) in part.dims.iter().zip(states) {
        put_date(d, *dim, *s);
    }
}
