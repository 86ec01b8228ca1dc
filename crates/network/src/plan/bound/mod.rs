//! The Lagrangian lower bound, by cluster.
//!
//! Money, crews, disruption and rows are priced; what remains falls apart into clusters and single
//! jobs. In a cluster every target platform and every set of open periods is tried, and for each
//! every job takes its best column on its own: exact, fixed charges included, so the bound is at
//! least that of the linear relaxation. The dates of onboarding and of core groups are few: all
//! combinations are tried, so they are exact as well (beyond [`MAX_COMBINATIONS`] they are relaxed,
//! which keeps the bound valid). A border between two clusters is split between them: see
//! [`super::ties`].

use rayon::prelude::*;

mod climb;
mod pattern;

use super::compiled::{Compiled, KEEP, Prices};
use super::instance::NONE;
pub(crate) use pattern::Scratch;
pub(super) use pattern::Table;
use pattern::best_column;

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
pub(super) struct Part {
    pub dims: Vec<Dim>,
    pub clusters: Vec<u32>,
    pub free: Vec<u32>,
    /// Too many combinations: each item decides for itself.
    relaxed: bool,
}

/// States of all dates: for each platform and each group the first period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dates {
    pub platform: Vec<u32>,
    pub group: Vec<u32>,
}

/// Costs of the pieces at given prices.
#[derive(Debug)]
pub(super) struct Survey {
    pub tables: Vec<Table>,
    /// The cheapest dates.
    pub dates: Dates,
    /// Combinations of dates of each part with their cost, cheapest first; none for relaxed parts.
    pub parts: Vec<Vec<(f64, Vec<u32>)>>,
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
    pub(super) m: &'m Compiled<'a>,
    pub(super) parts: Vec<Part>,
    /// Core groups whose dates are relaxed.
    loose: Vec<bool>,
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

    pub(super) fn no_dates(&self) -> Dates {
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
    pub(super) fn date_cost(&self, part: &Part, states: &[u32]) -> f64 {
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
        let closed = scratch.base.iter().sum::<f64>() + m.ties.end(prices, c, None).0;
        let mut out =
            Table { closed, best: Vec::with_capacity(m.targets[c as usize].len() * (t + 1)) };
        for (k, &target) in m.targets[c as usize].iter().enumerate() {
            scratch.target(m, c as usize, target);
            let end = m.ties.end(prices, c, Some(k)).0;
            let mut by_first = [(f64::INFINITY, 0u32); super::instance::MAX_PERIODS];
            scratch.patterns(m, c as usize, |mask, cost| {
                let slot = &mut by_first[mask.trailing_zeros() as usize];
                if cost + end < slot.0 {
                    *slot = (cost + end, mask);
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
    pub(super) fn choose(&self, c: u32, table: &Table, dates: &Dates) -> (f64, u32, u32) {
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

    pub(super) fn pick_free(&self, j: u32, keep: f64, rc: &[f64], dates: &Dates) -> (f64, u16) {
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

    /// What every cluster and every combination of dates costs at given prices.
    pub fn survey(&self, prices: &Prices) -> Survey {
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
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            if part.relaxed {
                parts.push(Vec::new());
                continue;
            }
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
            let mut list: Vec<(f64, Vec<u32>)> = values.into_iter().zip(combos).collect();
            list.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            set_dates(&mut dates, part, &list[0].1);
            parts.push(list);
        }
        Survey { tables, dates, parts }
    }

    /// The bound at given prices.
    pub fn value(&self, prices: &Prices, survey: &Survey) -> f64 {
        let priced: f64 = prices
            .of
            .iter()
            .zip(&self.m.limit)
            .filter(|(p, _)| **p > 0.0)
            .map(|(p, l)| p * l)
            .sum();
        let dates: f64 = self
            .parts
            .iter()
            .zip(&survey.parts)
            .filter_map(|(part, list)| Some(self.date_cost(part, &list.first()?.1)))
            .sum();
        dates - priced + self.usage(prices, &survey.tables, &survey.dates).0
    }

    /// Value and usage at given prices; with `many`, values of the best combinations of each part.
    fn evaluate(&self, prices: &Prices, many: Option<&mut Vec<(f64, Dates)>>) -> Evaluation {
        let m = self.m;
        let Survey { tables, dates, parts } = self.survey(prices);
        let mut value = 0.0;
        for (k, l) in m.limit.iter().enumerate() {
            if prices.of[k] > 0.0 {
                value -= prices.of[k] * l;
            }
        }
        let mut alternatives: Vec<(f64, &Part, &[u32])> = Vec::new();
        for (part, list) in self.parts.iter().zip(&parts) {
            if let Some(((best, states), others)) = list.split_first() {
                value += self.date_cost(part, states);
                let near = others.iter().take(6).filter(|o| o.0.is_finite());
                alternatives.extend(near.map(|o| (o.0 - best, part, &o.1[..])));
            }
        }
        let (own, usage) = self.usage(prices, &tables, &dates);
        value += own;
        if let Some(many) = many {
            many.push((value, dates.clone()));
            alternatives.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (loss, part, states) in alternatives {
                let mut d = dates.clone();
                set_dates(&mut d, part, states);
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
        if !m.ties.terms.is_empty() {
            let ends: Vec<u32> = (0..m.p.clusters.len() as u32)
                .map(|c| {
                    let target = self.choose(c, &tables[c as usize], dates).1;
                    let k = m.targets[c as usize].iter().position(|v| *v == target);
                    m.ties.end(prices, c, if target == NONE { None } else { k }).1
                })
                .collect();
            usage.extend(m.ties.differences(&ends));
        }
        (sum, usage)
    }
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

pub(super) fn set_dates(d: &mut Dates, part: &Part, states: &[u32]) {
    for (dim, s) in part.dims.iter().zip(states) {
        put_date(d, *dim, *s);
    }
}
