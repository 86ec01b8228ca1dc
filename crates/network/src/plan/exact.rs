//! Branch and bound for small networks: proves the optimum.
//!
//! Depth first over clusters (target and open periods) and then jobs, with the Lagrangian prices as
//! the bound of what is still open, capacities and rows checked on the way, and every complete plan
//! priced by the independent checker. It runs only where the number of jobs is small, and gives up
//! after a number of nodes.

use super::bound::{Dates, Lagrangian, Scratch};
use super::check::{TOLERANCE, account};
use super::compiled::{Compiled, KEEP, Prices};
use super::instance::{Decision, NONE};

/// Most jobs for which it is tried.
pub const MAX_JOBS: usize = 48;

/// What the search found.
#[derive(Debug, Clone)]
pub(crate) struct Exact {
    /// Best plan cheaper than the given one, if there is one.
    pub plan: Option<(f64, Vec<Decision>)>,
    /// Whether the whole tree was searched: then the best plan is optimal, or there is none.
    pub complete: bool,
}

struct Tree<'m, 'a> {
    m: &'m Compiled<'a>,
    prices: &'m Prices,
    dates: &'m Dates,
    /// Jobs in the order they are decided: cluster by cluster, then single ones.
    order: Vec<u32>,
    /// Position in `order` at which the cluster of each position begins and ends.
    /// Least priced cost of everything from an item on.
    rest: Vec<f64>,
    /// Least draw on each row from a position on: `[position * rows + row]`.
    least: Vec<f64>,
    /// Reduced costs by position.
    rc: Vec<Vec<f64>>,
    keep: Vec<f64>,
    best: f64,
    plan: Option<Vec<Decision>>,
    nodes: u64,
    column: Vec<u16>,
    usage: Vec<f64>,
    end_of: Vec<u32>,
}

/// Searches for a plan cheaper than `best`.
pub(crate) fn search(
    m: &Compiled<'_>,
    lagrangian: &Lagrangian<'_, '_>,
    prices: &[f64],
    best: f64,
    nodes: u64,
) -> Exact {
    let none = Exact { plan: None, complete: false };
    if m.p.jobs.len() > MAX_JOBS {
        return none;
    }
    let Some(combinations) = lagrangian.combinations(4000) else { return none };
    let prices = Prices::new(m, prices.to_vec());
    let mut out = Exact { plan: None, complete: true };
    // Finite, so that a tolerance can be taken off it.
    let (mut best, mut left) = (best.min(1e300), nodes);
    // Relaxed parts have no combinations: their dates stay open and the proof would be void.
    if !lagrangian.exact_dates() {
        return none;
    }
    for dates in &combinations {
        let mut tree = Tree::new(m, &prices, dates, best);
        tree.nodes = left;
        let base = tree.base();
        tree.item(0, 0, base);
        left = tree.nodes;
        if let Some(p) = tree.plan {
            best = tree.best;
            out.plan = Some((best, p));
        }
        if left == 0 {
            out.complete = false;
            break;
        }
    }
    out
}

impl<'m, 'a> Tree<'m, 'a> {
    fn new(m: &'m Compiled<'a>, prices: &'m Prices, dates: &'m Dates, best: f64) -> Self {
        let mut order: Vec<u32> = Vec::new();
        for c in 0..m.p.clusters.len() {
            order.extend(m.members.of(c));
        }
        order.extend(&m.free);
        let rows = m.limit.len() - m.rows();
        let n = order.len();
        let mut least = vec![0.0; (n + 1) * rows];
        let (mut rc, mut keep) = (Vec::new(), Vec::new());
        let mut end_of = vec![m.t as u32; m.p.jobs.len()];
        for (j, groups) in m.in_groups.iter().enumerate() {
            for g in groups {
                end_of[j] = end_of[j].min(dates.group[*g as usize]);
            }
        }
        for (i, &j) in order.iter().enumerate().rev() {
            let mut low = vec![f64::INFINITY; rows];
            let columns = m.p.jobs[j as usize].count as usize * m.t;
            let mut usage = vec![0.0; m.limit.len()];
            for column in (0..columns as u16).chain([KEEP]) {
                if m.own_cost(j as usize, column).is_finite() {
                    usage.fill(0.0);
                    m.draw(j as usize, column, 1.0, &mut usage);
                    for (l, u) in low.iter_mut().zip(&usage[m.rows()..]) {
                        *l = l.min(*u);
                    }
                }
            }
            for (r, low) in low.iter().enumerate() {
                least[i * rows + r] =
                    least[(i + 1) * rows + r] + if low.is_finite() { *low } else { 0.0 };
            }
        }
        for &j in &order {
            let mut out = Vec::new();
            let k = prices.reduce(m, j as usize, &mut out);
            rc.push(out);
            keep.push(if (end_of[j as usize] as usize) < m.t { f64::INFINITY } else { k });
        }
        let mut tree = Self {
            m,
            prices,
            dates,
            order,
            rest: Vec::new(),
            least,
            rc,
            keep,
            best,
            plan: None,
            nodes: 0,
            column: vec![KEEP; m.p.jobs.len()],
            usage: vec![0.0; m.limit.len()],
            end_of,
        };
        let items = m.p.clusters.len() + m.free.len();
        tree.rest = vec![0.0; items + 1];
        for item in (0..items).rev() {
            let low = match item.checked_sub(m.p.clusters.len()) {
                Some(f) => tree.free_low(n - m.free.len() + f),
                None => tree.patterns(item).first().map_or(f64::INFINITY, |p| p.0),
            };
            tree.rest[item] = tree.rest[item + 1] + low;
        }
        tree
    }

    /// What prices and dates cost before any job.
    fn base(&self) -> f64 {
        let m = self.m;
        let mut sum = 0.0;
        for (price, limit) in self.prices.of.iter().zip(&m.limit) {
            if *price > 0.0 {
                sum -= price * limit;
            }
        }
        for (p, s) in self.dates.platform.iter().enumerate() {
            if !m.p.platforms[p].onboard.is_empty() {
                sum += m.ready[p][*s as usize];
            }
        }
        sum
    }

    fn usable(&self, job: u32, column: usize) -> bool {
        let j = &self.m.p.jobs[job as usize];
        let x = &self.m.p.choices[j.first as usize + column / self.m.t];
        let when = (column % self.m.t) as u32;
        when < self.end_of[job as usize]
            && (x.platform == NONE || when >= self.dates.platform[x.platform as usize])
            && self.m.own_cost(job as usize, column as u16).is_finite()
    }

    fn free_low(&self, position: usize) -> f64 {
        (0..self.rc[position].len())
            .filter(|c| self.usable(self.order[position], *c))
            .map(|c| self.rc[position][c])
            .fold(self.keep[position], f64::min)
    }

    /// Patterns of a cluster as (priced cost, target, mask), cheapest first.
    fn patterns(&self, c: usize) -> Vec<(f64, u32, u32)> {
        let m = self.m;
        let cluster = &m.p.clusters[c];
        let mut scratch = Scratch::default();
        scratch.cluster(m, self.prices, c, Some(self.dates));
        let mut out = vec![(scratch.base.iter().sum(), NONE, 0)];
        let core = if cluster.group == NONE { 0 } else { self.dates.group[cluster.group as usize] };
        for &target in &m.targets[c] {
            let ready = if target == NONE { 0 } else { self.dates.platform[target as usize] };
            scratch.target(m, c, target);
            scratch.patterns(m, c, |mask, cost| {
                if mask.trailing_zeros() >= core.max(ready) && cost.is_finite() {
                    out.push((cost, target, mask));
                }
            });
        }
        out.retain(|p| p.0.is_finite());
        out.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        out
    }

    fn hopeless(&self, bound: f64) -> bool {
        bound >= self.best - 1e-9 * self.best.abs().max(1.0)
    }

    /// Whether what is drawn so far leaves room.
    fn fits(&self, position: usize) -> bool {
        let m = self.m;
        let rows = m.limit.len() - m.rows();
        let room = |used: f64, limit: f64| used <= limit + TOLERANCE * limit.abs().max(1.0);
        (0..m.rows()).all(|k| room(self.usage[k], m.limit[k]))
            && (0..rows).all(|r| {
                room(
                    self.usage[m.rows() + r] + self.least[position * rows + r],
                    m.limit[m.rows() + r],
                )
            })
    }

    fn item(&mut self, item: usize, position: usize, cost: f64) {
        if self.nodes == 0 || self.hopeless(cost + self.rest[item]) {
            return;
        }
        let clusters = self.m.p.clusters.len();
        if position == self.order.len() && item >= clusters {
            self.leaf();
            return;
        }
        if item >= clusters {
            let columns = self.columns(position, NONE, 0, true);
            let rest = self.rest[item + 1];
            for (rc, column) in columns {
                if self.hopeless(cost + rc + rest) {
                    break;
                }
                self.with(position, column, |t| t.item(item + 1, position + 1, cost + rc));
            }
            return;
        }
        for (low, target, mask) in self.patterns(item) {
            if self.nodes == 0 || self.hopeless(cost + low + self.rest[item + 1]) {
                break;
            }
            let open: f64 = (0..self.m.t)
                .filter(|s| mask & (1 << s) != 0)
                .map(|s| self.m.p.clusters[item].open[s])
                .sum();
            let end = position + self.m.members.of(item).len();
            self.jobs(item, position, end, target, mask, cost + open);
        }
    }

    fn jobs(
        &mut self,
        item: usize,
        position: usize,
        end: usize,
        target: u32,
        mask: u32,
        cost: f64,
    ) {
        if position == end {
            self.item(item + 1, position, cost);
            return;
        }
        let rest: f64 = (position + 1..end)
            .map(|q| self.columns(q, target, mask, false).first().map_or(f64::INFINITY, |c| c.0))
            .sum::<f64>()
            + self.rest[item + 1];
        for (rc, column) in self.columns(position, target, mask, false) {
            if self.nodes == 0 || self.hopeless(cost + rc + rest) {
                break;
            }
            self.with(position, column, |t| {
                t.jobs(item, position + 1, end, target, mask, cost + rc)
            });
        }
    }

    /// Columns of a job under a pattern as (reduced cost, column), cheapest first.
    fn columns(&self, position: usize, target: u32, mask: u32, free: bool) -> Vec<(f64, u16)> {
        let job = self.order[position];
        let j = &self.m.p.jobs[job as usize];
        let mut out: Vec<(f64, u16)> = Vec::new();
        if self.keep[position].is_finite() {
            out.push((self.keep[position], KEEP));
        }
        for c in 0..self.rc[position].len() {
            let x = &self.m.p.choices[j.first as usize + c / self.m.t];
            let here = !x.opens
                || (!free
                    && mask & (1 << (c % self.m.t)) != 0
                    && (x.platform == target || x.platform == NONE));
            if here && self.usable(job, c) {
                out.push((self.rc[position][c], c as u16));
            }
        }
        out.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        out
    }

    /// Runs `f` with the job of `position` decided.
    fn with(&mut self, position: usize, column: u16, f: impl FnOnce(&mut Self)) {
        self.nodes = self.nodes.saturating_sub(1);
        let job = self.order[position] as usize;
        self.m.draw(job, column, 1.0, &mut self.usage);
        self.column[job] = column;
        if self.fits(position + 1) {
            f(self);
        }
        self.m.draw(job, column, -1.0, &mut self.usage);
        self.column[job] = KEEP;
    }

    fn leaf(&mut self) {
        let t = self.m.t;
        let plan: Vec<Decision> = self
            .column
            .iter()
            .map(|c| (*c != KEEP).then(|| (u32::from(*c) / t as u32, u32::from(*c) % t as u32)))
            .collect();
        let a = account(self.m.p, &plan);
        if a.violations.is_empty() && a.cost < self.best - 1e-9 * self.best.abs().max(1.0) {
            self.best = a.cost;
            self.plan = Some(plan);
        }
    }
}
