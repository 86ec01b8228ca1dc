//! The instance in the layout that the solver runs over.

use super::instance::{Instance, NONE};
use super::ties::Ties;
use crate::Error;
use crate::inventory::Groups;

/// Most sets of open periods that a cluster may choose from.
pub const MAX_PATTERNS: usize = 5000;

/// Flat arrays over the instance; nothing here changes during a solve.
#[derive(Debug)]
pub(crate) struct Compiled<'a> {
    pub p: &'a Instance,
    /// Periods.
    pub t: usize,
    /// Cost of every choice in every period.
    pub cost: Vec<f64>,
    /// Weight of every job in every set: `weight[job * sets + set]`.
    pub weight: Vec<f64>,
    pub sets: usize,
    /// Jobs of each cluster.
    pub members: Groups,
    /// Jobs without cluster.
    pub free: Vec<u32>,
    /// Target platforms of each cluster; never empty (then [`NONE`]).
    pub targets: Vec<Vec<u32>>,
    /// Limit of every resource; money by period, then [`Compiled::crew`] and the following.
    pub limit: Vec<f64>,
    /// What one unit of a normalised price is worth: the limit, or 1.
    pub scale: Vec<f64>,
    /// Masks of open periods, a mask's rest (without its lowest bit) before it.
    pub masks: Vec<u32>,
    /// For each mask the position of its rest, [`NONE`] for a single period.
    pub rest: Vec<u32>,
    /// Cheapest cost of having platform p usable from period s on: `ready[p][s]`, s = t: never.
    pub ready: Vec<Vec<f64>>,
    /// Core groups each job belongs to.
    pub in_groups: Vec<Vec<u32>>,
    /// Borders between clusters.
    pub ties: Ties,
}

impl<'a> Compiled<'a> {
    pub fn new(p: &'a Instance) -> Result<Self, Error> {
        p.validate()?;
        let t = p.periods;
        let sets = p.weights.len();
        let most = p.clusters.iter().map(|c| c.max_open).max().unwrap_or(1);
        let mut masks: Vec<u32> = (1..1u32 << t).filter(|m| m.count_ones() <= most).collect();
        if masks.len() > MAX_PATTERNS {
            return Err(Error::instance(
                "clusters",
                format!(
                    "{most} open periods out of {t} give more than {MAX_PATTERNS} patterns; allow fewer open periods per cluster"
                ),
            ));
        }
        masks.sort_by_key(|m| (m.count_ones(), *m));
        let mut position = vec![NONE; 1 << t];
        for (i, m) in (0u32..).zip(&masks) {
            position[*m as usize] = i;
        }
        let rest = masks
            .iter()
            .map(|m| match m & (m - 1) {
                0 => NONE,
                r => position[r as usize],
            })
            .collect();
        let mut weight = vec![0.0; p.jobs.len() * sets];
        for (s, w) in p.weights.iter().enumerate() {
            for (j, w) in w.iter().enumerate() {
                weight[j * sets + s] = *w;
            }
        }
        let members = Groups::new(p.clusters.len(), p.jobs.iter().map(|j| j.cluster));
        let targets = (0..p.clusters.len())
            .map(|c| {
                let mut v: Vec<u32> = members
                    .of(c)
                    .iter()
                    .flat_map(|j| p.choices_of(*j as usize))
                    .filter(|c| c.opens && c.platform != NONE)
                    .map(|c| c.platform)
                    .collect();
                v.sort_unstable();
                v.dedup();
                if v.is_empty() {
                    v.push(NONE);
                }
                v
            })
            .collect();
        let mut limit = Vec::new();
        let mut sum = 0.0;
        for m in &p.money {
            sum = if p.carry { sum + m } else { *m };
            limit.push(sum);
        }
        limit.extend(&p.crews);
        limit.extend(&p.disruption);
        limit.extend(p.rows.iter().map(|r| r.limit));
        let total: Vec<f64> = p.weights.iter().map(|w| w.iter().sum()).collect();
        let plain = limit.len() - p.rows.len();
        let scale = limit
            .iter()
            .enumerate()
            .map(|(k, l)| {
                let natural = match k.checked_sub(plain) {
                    Some(row) => {
                        let r = &p.rows[row];
                        r.limit.max(0.1 * total[r.set as usize] * r.coefficient.iter().sum::<f64>())
                    }
                    None => *l,
                };
                if natural.is_finite() && natural > 1e-12 { natural } else { 1.0 }
            })
            .collect();
        let ready = p
            .platforms
            .iter()
            .map(|x| {
                (0..=t)
                    .map(|s| {
                        if s == t || x.onboard.is_empty() {
                            return 0.0;
                        }
                        (0..t)
                            .filter(|g| g + x.lag as usize <= s)
                            .map(|g| x.onboard[g])
                            .fold(f64::INFINITY, f64::min)
                    })
                    .collect()
            })
            .collect();
        let mut in_groups = vec![Vec::new(); p.jobs.len()];
        for (g, jobs) in (0u32..).zip(&p.groups) {
            for j in jobs {
                in_groups[*j as usize].push(g);
            }
        }
        let targets: Vec<Vec<u32>> = targets;
        let ties = Ties::new(p, &members, &targets);
        Ok(Self {
            ties,
            t,
            cost: p.choices.iter().flat_map(|c| c.cost.iter().copied()).collect(),
            weight,
            sets,
            members,
            free: (0u32..)
                .zip(&p.jobs)
                .filter(|(_, j)| j.cluster == NONE)
                .map(|(i, _)| i)
                .collect(),
            targets,
            limit,
            scale,
            masks,
            rest,
            ready,
            in_groups,
            p,
        })
    }

    /// Resource index of crews.
    pub fn crew(&self, region: usize, period: usize) -> usize {
        self.t + region * self.t + period
    }

    /// Resource index of disruption.
    pub fn outage(&self, region: usize, period: usize) -> usize {
        self.t + (self.p.regions + region) * self.t + period
    }

    /// Resource index of the first row.
    pub fn rows(&self) -> usize {
        self.t + 2 * self.p.regions * self.t
    }

    /// Weight of a job in a set.
    pub fn weight(&self, job: usize, set: usize) -> f64 {
        self.weight[job * self.sets + set]
    }

    /// Adds (or takes away, `sign` -1) what a decision draws. `column` is `choice * t + period`, or
    /// [`KEEP`].
    pub fn draw(&self, job: usize, column: u16, sign: f64, usage: &mut [f64]) {
        self.drawn(job, column, |k, amount| usage[k] += sign * amount);
    }

    /// Calls `each` with every resource that a decision draws on, and the amount.
    pub fn drawn(&self, job: usize, column: u16, mut each: impl FnMut(usize, f64)) {
        let j = &self.p.jobs[job];
        let t = self.t;
        let (mut after, mut when) = (j.member, t);
        if column != KEEP {
            let c = &self.p.choices[j.first as usize + column as usize / t];
            when = column as usize % t;
            after = c.member;
            let last = if self.p.carry { t } else { when + 1 };
            for k in when..last {
                each(k, c.spend);
            }
            each(self.crew(j.region as usize, when), c.crew);
            each(self.outage(j.region as usize, when), c.outage);
        }
        if j.member | after == 0 {
            return;
        }
        let first = self.rows();
        for (k, r) in self.p.rows.iter().enumerate() {
            let bit = 1u64 << r.set;
            if (j.member | after) & bit != 0 {
                let mut sum = 0.0;
                if j.member & bit != 0 {
                    sum += r.coefficient[..when].iter().sum::<f64>();
                }
                if after & bit != 0 {
                    sum += r.coefficient[when..].iter().sum::<f64>();
                }
                each(first + k, self.weight(job, r.set as usize) * sum);
            }
        }
    }

    /// Own cost of a decision.
    pub fn own_cost(&self, job: usize, column: u16) -> f64 {
        let j = &self.p.jobs[job];
        if column == KEEP { j.keep } else { self.cost[j.first as usize * self.t + column as usize] }
    }
}

/// The column that stands for keeping.
pub(crate) const KEEP: u16 = u16::MAX;

/// Prices of resources, and what follows from them.
#[derive(Debug, Clone)]
pub(crate) struct Prices {
    /// Price per unit of every resource.
    pub of: Vec<f64>,
    /// Price of a unit of money drawn in each period.
    money: Vec<f64>,
    /// For each set: price of being in it before period s, `before[set * (t + 1) + s]`.
    before: Vec<f64>,
    /// For each set: price of being in it in all periods.
    always: Vec<f64>,
    /// What it costs a cluster to end with each platform; see [`super::ties`].
    pub ends: Vec<f64>,
}

impl Prices {
    /// From the price of every resource, with or without those of borders behind.
    pub fn new(m: &Compiled<'_>, mut of: Vec<f64>) -> Self {
        let ends = m.ties.ends(of.get(m.limit.len()..).unwrap_or_default());
        of.truncate(m.limit.len());
        let mut out =
            Self { of, money: vec![0.0; m.t], before: Vec::new(), always: Vec::new(), ends };
        out.refresh(m);
        out
    }

    /// Derives what follows from `of`.
    pub fn refresh(&mut self, m: &Compiled<'_>) {
        let t = m.t;
        for i in 0..t {
            self.money[i] = if m.p.carry { self.of[i..t].iter().sum() } else { self.of[i] };
        }
        self.before.clear();
        self.before.resize(m.sets * (t + 1), 0.0);
        self.always.clear();
        self.always.resize(m.sets, 0.0);
        let first = m.rows();
        for (k, r) in m.p.rows.iter().enumerate() {
            let price = self.of[first + k];
            if price > 0.0 {
                let at = r.set as usize * (t + 1);
                let mut sum = 0.0;
                for (s, c) in r.coefficient.iter().enumerate() {
                    sum += price * c;
                    self.before[at + s + 1] += sum;
                }
                self.always[r.set as usize] += sum;
            }
        }
    }

    /// Price of a unit of weight in a set in all periods.
    pub fn in_all(&self, set: usize) -> f64 {
        self.always[set]
    }

    /// Reduced cost of keeping, and of every column of a job into `out[choice * t + period]`.
    pub fn reduce(&self, m: &Compiled<'_>, job: usize, out: &mut Vec<f64>) -> f64 {
        let j = &m.p.jobs[job];
        let t = m.t;
        out.clear();
        let mut keep = j.keep;
        // Price of its sets while it is kept, up to each period.
        let mut early = [0.0f64; super::instance::MAX_PERIODS + 1];
        let mut bits = j.member;
        while bits != 0 {
            let s = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let w = m.weight(job, s);
            keep += w * self.always[s];
            for (e, b) in early[..=t].iter_mut().zip(&self.before[s * (t + 1)..]) {
                *e += w * b;
            }
        }
        let crew = &self.of[m.crew(j.region as usize, 0)..][..t];
        let outage = &self.of[m.outage(j.region as usize, 0)..][..t];
        for (i, c) in m.p.choices_of(job).iter().enumerate() {
            let cost = &m.cost[(j.first as usize + i) * t..][..t];
            for s in 0..t {
                out.push(
                    cost[s]
                        + early[s]
                        + self.money[s] * c.spend
                        + crew[s] * c.crew
                        + outage[s] * c.outage,
                );
            }
            let mut bits = c.member;
            while bits != 0 {
                let s = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let w = m.weight(job, s);
                let late = &mut out[i * t..];
                for (x, b) in late.iter_mut().zip(&self.before[s * (t + 1)..]) {
                    *x += w * (self.always[s] - b);
                }
            }
        }
        keep
    }
}
