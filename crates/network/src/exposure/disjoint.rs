//! Whether a place stays joined to the core when any one vendor fails.
//!
//! A site is *held by* a vendor when all its units that carry the traffic of others are that
//! vendor's. A path is free of a vendor when no site between its two ends is held by it. If for
//! some vendor no path of a protected site is free of it, that vendor is a *cut* between the site
//! and the core: everything it makes is a common cause. The sites at the edge of what the
//! protected site still reaches make up the cut; one of them has to change hands.

use std::collections::{BTreeMap, BTreeSet};

use super::carries;
use super::graph::Graph;
use crate::inventory::{Inventory, Sym};

/// A vendor that parts a protected site from the core.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The protected site.
    pub site: u32,
    /// The vendor.
    pub vendor: Sym,
    /// Sites held by it, at the edge of what the protected site reaches without it.
    pub sites: Vec<u32>,
}

/// What the vendors of each site are: for every site its units that carry traffic.
#[derive(Debug, Clone, Default)]
pub struct Holders(Vec<BTreeSet<Option<Sym>>>);

impl Holders {
    /// Holders when each device has the vendor that `vendor` gives it.
    pub fn new(inventory: &Inventory, vendor: impl Fn(usize) -> Option<Sym>) -> Self {
        let mut of = vec![BTreeSet::new(); inventory.sites.len()];
        for (i, d) in inventory.devices.iter().enumerate() {
            if carries(d) {
                of[d.site as usize].insert(vendor(i));
            }
        }
        Self(of)
    }

    /// Vendors that hold a site somewhere.
    fn vendors(&self) -> BTreeSet<Sym> {
        self.0.iter().flatten().copied().flatten().collect()
    }

    /// Sites held by a vendor. A unit without vendor counts as its own when `unknown`.
    fn held(&self, vendor: Sym, unknown: bool) -> Vec<bool> {
        self.0
            .iter()
            .map(|v| {
                v.contains(&Some(vendor))
                    && v.iter().all(|x| *x == Some(vendor) || (unknown && x.is_none()))
            })
            .collect()
    }
}

/// All cuts between `sites` and the core, by site and vendor.
#[must_use]
pub fn cuts(graph: &Graph, holders: &Holders, sites: &[bool], unknown: bool) -> Vec<Cut> {
    let mut out = Vec::new();
    for vendor in holders.vendors() {
        let mut held = holders.held(vendor, unknown);
        // The ends of a path may be anyone's.
        for r in &graph.roots {
            held[*r as usize] = false;
        }
        let reached = graph.reach(&held);
        let free = |s: u32| {
            reached[s as usize] || graph.neighbours(s).iter().any(|(n, _)| reached[*n as usize])
        };
        let cut_off = (0u32..).zip(sites).filter(|(s, p)| **p && !free(*s));
        for (site, _) in cut_off {
            let edge = edge(graph, &held, site);
            if !edge.is_empty() {
                out.push(Cut { site, vendor, sites: edge });
            }
        }
    }
    out.sort();
    out
}

/// Held sites next to what `site` reaches without passing one.
fn edge(graph: &Graph, held: &[bool], site: u32) -> Vec<u32> {
    let (mut seen, mut out) = (BTreeSet::from([site]), BTreeSet::new());
    let mut todo = vec![site];
    while let Some(v) = todo.pop() {
        for &(w, _) in graph.neighbours(v) {
            if held[w as usize] && w != site {
                out.insert(w);
            } else if seen.insert(w) {
                todo.push(w);
            }
        }
    }
    out.into_iter().collect()
}

/// Of some cuts, those that no change of vendors mends: a single site stands between.
#[must_use]
pub fn hopeless(cuts: &[Cut]) -> BTreeMap<u32, u32> {
    cuts.iter().filter(|c| c.sites.len() == 1).map(|c| (c.site, c.sites[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 - {1, 2} - 3: the core is 0, the protected site 3.
    fn diamond(one: u32, two: u32) -> Vec<Cut> {
        let graph = Graph::from_pairs(4, &[(0, 1), (0, 2), (1, 3), (2, 3)], vec![1.0; 4], vec![0]);
        let own = |v| BTreeSet::from([Some(Sym(v))]);
        let holders = Holders(vec![own(9), own(one), own(two), own(1)]);
        cuts(&graph, &holders, &[false, false, false, true], false)
    }

    #[test]
    fn two_vendors_are_no_cut_and_one_is() {
        assert_eq!(diamond(1, 2), []);
        assert_eq!(diamond(1, 1), [Cut { site: 3, vendor: Sym(1), sites: vec![1, 2] }]);
    }

    #[test]
    fn a_single_site_between_is_hopeless() {
        let graph = Graph::from_pairs(3, &[(0, 1), (1, 2)], vec![1.0; 2], vec![0]);
        let own = |v| BTreeSet::from([Some(Sym(v))]);
        let holders = Holders(vec![own(0), own(1), own(0)]);
        let found = cuts(&graph, &holders, &[false, false, true], false);
        assert_eq!(hopeless(&found), BTreeMap::from([(2, 1)]));
        // An unknown unit beside a known one leaves it open.
        let mixed = Holders(vec![own(0), BTreeSet::from([Some(Sym(1)), None]), own(0)]);
        assert!(cuts(&graph, &mixed, &[false, false, true], false).is_empty());
        assert!(!cuts(&graph, &mixed, &[false, false, true], true).is_empty());
    }
}
