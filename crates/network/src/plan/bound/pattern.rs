//! What a cluster costs under each pattern: a target and a set of open periods.

use super::super::compiled::{Compiled, KEEP, Prices};
use super::super::instance::NONE;
use super::Dates;

/// Best pattern of a cluster for every target and first period.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Table {
    /// Cost without opening.
    pub closed: f64,
    /// `[target * (t + 1) + s]`: (cost, mask) with all open periods >= s; s = t is closed.
    pub best: Vec<(f64, u32)>,
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

/// Best column of a cluster's job when the cluster is open in `mask` for `target`.
pub(super) fn best_column(
    m: &Compiled<'_>,
    j: u32,
    keep: f64,
    rc: &[f64],
    target: u32,
    mask: u32,
) -> u16 {
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
