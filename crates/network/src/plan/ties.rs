//! Borders between clusters in the bound.
//!
//! A border costs something when the platforms at its two sides end up different. With one number
//! for each border and platform, at most half of the cost either way, that is added to what it
//! costs one side to end with the platform and taken from the other side, the two sides can be
//! decided apart: over all such numbers the maximum is the linear relaxation of the border's cost,
//! and any choice of them gives a lower bound.

use super::compiled::Prices;
use super::instance::{Instance, NONE};
use crate::inventory::Groups;

/// A border and a platform.
#[derive(Debug)]
pub(crate) struct Term {
    a: u32,
    b: u32,
    platform: u32,
    /// Most that can be moved.
    pub half: f64,
    /// Places in [`Prices::ends`] of the two sides.
    at: [Vec<u32>; 2],
}

/// All borders.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    pub terms: Vec<Term>,
    /// What one unit of a normalised number is worth, as in [`super::compiled::Compiled::scale`].
    pub scale: Vec<f64>,
    /// Where the ends of each cluster begin: today's platform, then those of its targets.
    first: Vec<u32>,
    platforms: Vec<u32>,
    /// Whether a cluster can be opened without going anywhere.
    stays: Vec<bool>,
}

impl Ties {
    pub fn new(p: &Instance, members: &Groups, targets: &[Vec<u32>]) -> Self {
        let mut out = Self::default();
        if p.borders.is_empty() {
            return out;
        }
        for (c, cluster) in p.clusters.iter().enumerate() {
            out.first.push(out.platforms.len() as u32);
            out.platforms.push(cluster.home);
            let to = |v: &u32| if *v == NONE { cluster.home } else { *v };
            out.platforms.extend(targets[c].iter().map(to));
            let mut choices = members.of(c).iter().flat_map(|j| p.choices_of(*j as usize));
            out.stays.push(choices.any(|x| x.opens && x.platform == NONE));
        }
        out.first.push(out.platforms.len() as u32);
        // About what a plan costs: numbers are to move in proportion to prices.
        let least = |j: usize| {
            let costs = p.choices_of(j).iter().flat_map(|c| &c.cost).filter(|x| x.is_finite());
            costs.map(|x| x.abs()).min_by(f64::total_cmp).unwrap_or(0.0)
        };
        let size = (0..p.jobs.len()).map(least).sum::<f64>().max(1e-9);
        for &(a, b, cost) in p.borders.iter().filter(|b| b.2 > 0.0) {
            let mut all: Vec<u32> = [a, b].into_iter().flat_map(|c| out.of(c)).copied().collect();
            all.sort_unstable();
            all.dedup();
            // Two clusters that cannot differ have no border.
            for platform in all.iter().copied().filter(|_| all.len() > 1) {
                let at = [a, b].map(|c| {
                    let first = out.first[c as usize];
                    (first..).zip(out.of(c)).filter(|x| *x.1 == platform).map(|x| x.0).collect()
                });
                out.terms.push(Term { a, b, platform, half: cost / 2.0, at });
                out.scale.push((size / cost).sqrt());
            }
        }
        out
    }

    /// Platforms that a cluster can end with.
    fn of(&self, c: u32) -> &[u32] {
        &self.platforms[self.first[c as usize] as usize..self.first[c as usize + 1] as usize]
    }

    /// What each end costs each cluster, given the number of each term.
    pub fn ends(&self, numbers: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.platforms.len()];
        for (term, x) in self.terms.iter().zip(numbers) {
            term.at[0].iter().for_each(|k| out[*k as usize] += x);
            term.at[1].iter().for_each(|k| out[*k as usize] -= x);
        }
        out
    }

    /// What a cluster's end costs under a target (by position; none: not opened), and the platform.
    pub fn end(&self, prices: &Prices, c: u32, target: Option<usize>) -> (f64, u32) {
        let Some(first) = self.first.get(c as usize).map(|f| *f as usize) else {
            return (0.0, NONE);
        };
        let home = (prices.ends[first], self.platforms[first]);
        match target {
            None => home,
            Some(k) => {
                let there = (prices.ends[first + 1 + k], self.platforms[first + 1 + k]);
                // Open for what needs no platform: the end is today's.
                if self.stays[c as usize] && home.0 < there.0 { home } else { there }
            }
        }
    }

    /// For each term, whether the first side has its platform, less whether the second has.
    pub fn differences<'e>(&'e self, ends: &'e [u32]) -> impl Iterator<Item = f64> + 'e {
        let has = |c: u32, v: u32| f64::from(u8::from(ends[c as usize] == v));
        self.terms.iter().map(move |t| has(t.a, t.platform) - has(t.b, t.platform))
    }
}
