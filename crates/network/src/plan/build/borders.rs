//! Borders between radio clusters, and what different vendors on the two sides cost.
//!
//! Two clusters are neighbours when a site of one is among the nearest sites of a site of the
//! other. A border that has one vendor today and two at the end is charged for the customers of the
//! sites along it; a border that has two vendors today is neither charged nor credited.

use std::collections::BTreeMap;

use super::Builder;
use crate::Error;
use crate::exposure::spatial::Grid;
use crate::inventory::{Inventory, Segment, Sym};

/// Nearest sites looked at for each site.
const NEAREST: usize = 4;

/// Customers along the border of each pair of clusters.
fn along(inv: &Inventory) -> BTreeMap<(Sym, Sym), f64> {
    let grid = Grid::new(inv);
    let mut out: BTreeMap<(Sym, Sym), f64> = BTreeMap::new();
    for (s, site) in inv.sites.iter().enumerate() {
        let (Some(own), Some(x), Some(y)) = (site.cluster, site.longitude, site.latitude) else {
            continue;
        };
        let mut near: Vec<(f64, u32)> = Vec::new();
        for metres in [1e3, 4e3, 16e3, 64e3] {
            near = grid.within((x, y), metres).into_iter().map(|(s, d)| (d, s)).collect();
            if near.len() > NEAREST {
                break;
            }
        }
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut others: Vec<Sym> = near
            .iter()
            .filter(|(_, n)| *n as usize != s)
            .take(NEAREST)
            .filter_map(|(_, n)| inv.sites[*n as usize].cluster)
            .filter(|c| *c != own)
            .collect();
        others.sort_unstable();
        others.dedup();
        for c in others {
            *out.entry((own.min(c), own.max(c))).or_default() += site.customers.unwrap_or(0.0);
        }
    }
    out
}

impl Builder<'_> {
    /// Borders that may get a second vendor, with their cost; sets the home of every cluster.
    pub(super) fn borders(&mut self) -> Result<Vec<(u32, u32, f64)>, Error> {
        if self.cluster_list.is_empty() {
            return Ok(Vec::new());
        }
        let mut count: BTreeMap<(Sym, Sym), usize> = BTreeMap::new();
        for d in self.inv.devices.iter().filter(|d| d.segment == Segment::Ran) {
            if let (Some(c), Some(v)) = (self.inv.sites[d.site as usize].cluster, d.vendor) {
                *count.entry((c, v)).or_default() += 1;
            }
        }
        let mut home: BTreeMap<Sym, (usize, Sym)> = BTreeMap::new();
        for ((c, v), n) in count {
            let slot = home.entry(c).or_insert((n, v));
            if n > slot.0 {
                *slot = (n, v);
            }
        }
        let years: f64 = self.discount.iter().sum::<f64>() * f64::from(self.setup.months) / 12.0;
        let each = 100.0
            * self.used.get("perf.border_penalty")?
            * self.used.get("perf.handover_share")?
            * self.used.get("perf.value_per_customer_year")?
            * years;
        let mut out = Vec::new();
        for ((a, b), customers) in along(self.inv) {
            let (Some(x), Some(y)) = (home.get(&a), home.get(&b)) else { continue };
            let touched = self.clusters.contains_key(&a) || self.clusters.contains_key(&b);
            if x.1 == y.1 && touched && each * customers > 0.0 {
                out.push((self.cluster(a)?, self.cluster(b)?, each * customers));
            }
        }
        for c in 0..self.cluster_list.len() {
            if let Some((_, v)) = home.get(&self.cluster_list[c].1) {
                self.cluster_list[c].0.home = self.platform(Segment::Ran, *v)?;
            }
        }
        Ok(out)
    }
}
