//! From periods to weeks: list scheduling along a space-filling curve.
//!
//! Within a period and region, jobs are taken cluster by cluster and along a Hilbert curve, so that
//! crews travel little, and put into the first week that has crew capacity left, that the site can
//! be reached in, and in which no neighbour (a site joined by a link) is down. If no such week is
//! left the rule about neighbours is given up before the one about access.

use std::collections::BTreeMap;

use super::build::Program;
use super::instance::Decision;
use crate::exposure::graph::Graph;
use crate::inventory::Inventory;

/// Position along a Hilbert curve of order 16.
fn hilbert(mut x: u32, mut y: u32) -> u64 {
    let mut d = 0u64;
    (x, y) = (x.min(0xffff), y.min(0xffff));
    let mut s = 1u32 << 15;
    while s > 0 {
        let (rx, ry) = (u32::from(x & s > 0), u32::from(y & s > 0));
        d += u64::from(s) * u64::from(s) * u64::from((3 * rx) ^ ry);
        if ry == 0 {
            if rx == 1 {
                x = 0xffff - x;
                y = 0xffff - y;
            }
            std::mem::swap(&mut x, &mut y);
        }
        s /= 2;
    }
    d
}

/// Week within its period of every job that is done, from 1.
#[must_use]
pub fn weeks(
    inventory: &Inventory,
    program: &Program,
    plan: &[Decision],
    months: i32,
) -> Vec<Option<u32>> {
    let p = &program.instance;
    let count = ((f64::from(months) * 52.0 / 12.0).floor() as usize).max(1);
    let graph = Graph::new(inventory, Vec::new());
    let mut out = vec![None; plan.len()];
    let mut groups: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (j, d) in plan.iter().enumerate() {
        if let Some((_, when)) = d {
            groups.entry((*when, p.jobs[j].region)).or_default().push(j);
        }
    }
    // Week in which each site is down, per period.
    let mut down: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for ((when, region), mut jobs) in groups {
        let place = |j: usize| {
            let s = &inventory.sites[program.jobs[j].site as usize];
            let part = |v: Option<f64>, low: f64, range: f64| {
                (((v.unwrap_or(0.0) - low) / range) * 65535.0) as u32
            };
            hilbert(part(s.longitude, -180.0, 360.0), part(s.latitude, -90.0, 180.0))
        };
        jobs.sort_by_key(|j| (p.jobs[*j].cluster, place(*j), *j));
        let capacity = p.crews[region as usize * p.periods + when as usize] / count as f64;
        let mut load = vec![0.0f64; count];
        let start = program.ends.get(when as usize).map_or(0, |e| e.plus_months(-months).months());
        for j in jobs {
            let site = program.jobs[j].site;
            let crew = plan[j].map_or(0.0, |(c, _)| p.choices_of(j)[c as usize].crew);
            let open = |w: usize| {
                let month = (start + (w * months as usize / count) as i32).rem_euclid(12);
                inventory.sites[site as usize].access & (1 << month) != 0
            };
            let quiet = |w: usize| {
                graph
                    .neighbours(site)
                    .iter()
                    .all(|(n, _)| down.get(&(when, *n)) != Some(&(w as u32)))
            };
            // A job longer than a week occupies capacity of the week it starts in and after.
            let room = |w: usize| load[w] < capacity.max(1e-9);
            let week = (0..count)
                .find(|w| room(*w) && open(*w) && quiet(*w))
                .or_else(|| (0..count).find(|w| room(*w) && open(*w)))
                .or_else(|| {
                    (0..count).filter(|w| open(*w)).min_by(|a, b| load[*a].total_cmp(&load[*b]))
                })
                .unwrap_or(0);
            let mut left = crew;
            let mut w = week;
            while left > 0.0 && w < count {
                let part =
                    left.min((capacity - load[w]).max(if w + 1 == count { left } else { 0.0 }));
                load[w] += part;
                left -= part;
                w += 1;
            }
            down.insert((when, site), week as u32);
            out[j] = Some(week as u32 + 1);
        }
    }
    out
}
