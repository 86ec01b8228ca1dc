//! From periods to weeks: list scheduling along a space-filling curve, and its check.
//!
//! Within a period and region, jobs are taken cluster by cluster and along a Hilbert curve, so that
//! crews travel little, and put into the first week that has crew capacity left, that the site can
//! be reached in, and in which no neighbour is down. If no such week is left the rule about
//! neighbours is given up before the one about access. What was given up is listed by [`check`],
//! which shares nothing with the scheduler but the list of neighbours.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::build::Program;
use super::instance::Decision;
use crate::exposure::spatial::Grid;
use crate::inventory::Inventory;

/// Nearest sites that are neighbours, beside those joined by a link.
const NEAREST: usize = 4;
/// Sites farther away than this carry no traffic for each other, metres.
const REACH: f64 = 5000.0;

/// For each site those that must not be down in the same week: joined by a link, or among the
/// nearest (in either direction).
#[must_use]
pub fn neighbours(inventory: &Inventory) -> Vec<Vec<u32>> {
    let mut of = vec![BTreeSet::new(); inventory.sites.len()];
    let mut join = |a: u32, b: u32| {
        if a != b {
            of[a as usize].insert(b);
            of[b as usize].insert(a);
        }
    };
    for l in &inventory.links {
        join(l.a, l.b);
    }
    let grid = Grid::new(inventory);
    for (s, site) in (0u32..).zip(&inventory.sites) {
        let (Some(x), Some(y)) = (site.longitude, site.latitude) else { continue };
        let mut near: Vec<(u32, f64)> = Vec::new();
        for metres in [REACH / 16.0, REACH / 4.0, REACH] {
            near = grid.within((x, y), metres);
            if near.len() > NEAREST {
                break;
            }
        }
        near.retain(|n| n.0 != s);
        near.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        near.iter().take(NEAREST).for_each(|n| join(s, n.0));
    }
    of.into_iter().map(|n| n.into_iter().collect()).collect()
}

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

/// Weeks in a period of `months`.
fn count(months: i32) -> usize {
    ((f64::from(months) * 52.0 / 12.0).floor() as usize).max(1)
}

/// Month (0 to 11) of a week, from 0, of a period.
fn month(program: &Program, period: u32, week: usize, months: i32) -> u32 {
    let start = program.ends.get(period as usize).map_or(0, |e| e.plus_months(-months).months());
    (start + (week * months as usize / count(months)) as i32).rem_euclid(12) as u32
}

/// Week within its period of every job that is done at the site, from 1.
#[must_use]
pub fn weeks(
    inventory: &Inventory,
    program: &Program,
    plan: &[Decision],
    months: i32,
    neighbours: &[Vec<u32>],
) -> Vec<Option<u32>> {
    let p = &program.instance;
    let count = count(months);
    let mut out = vec![None; plan.len()];
    let mut groups: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (j, d) in plan.iter().enumerate() {
        if let Some((_, when)) = d {
            groups.entry((*when, p.jobs[j].region)).or_default().push(j);
        }
    }
    // Week in which each site is down, per period.
    let mut down: BTreeMap<(u32, u32), BTreeSet<u32>> = BTreeMap::new();
    for ((when, region), mut jobs) in groups {
        let place = |j: usize| {
            let s = &inventory.sites[program.jobs[j].site as usize];
            let part = |v: Option<f64>, low: f64, range: f64| {
                (((v.unwrap_or(0.0) - low) / range) * 65535.0) as u32
            };
            hilbert(part(s.longitude, -180.0, 360.0), part(s.latitude, -90.0, 180.0))
        };
        jobs.sort_by_cached_key(|j| (p.jobs[*j].cluster, place(*j), *j));
        let capacity = p.crews[region as usize * p.periods + when as usize] / count as f64;
        let mut load = vec![0.0f64; count];
        for j in jobs {
            let site = program.jobs[j].site;
            let choice = plan[j].map(|(c, _)| &p.choices_of(j)[c as usize]);
            let crew = choice.map_or(0.0, |c| c.crew);
            let dark = choice.is_some_and(|c| c.outage > 0.0);
            let access = inventory.sites[site as usize].access;
            let open =
                |w: usize| crew <= 0.0 || access & (1 << month(program, when, w, months)) != 0;
            let quiet = |w: usize| {
                !dark
                    || neighbours[site as usize]
                        .iter()
                        .all(|n| !down.get(&(when, *n)).is_some_and(|d| d.contains(&(w as u32))))
            };
            // A job longer than what is left of a week goes on in the next.
            let room = |w: usize| crew <= 0.0 || load[w] < capacity - 1e-9;
            let week = (0..count)
                .find(|w| room(*w) && open(*w) && quiet(*w))
                .or_else(|| (0..count).find(|w| room(*w) && open(*w)))
                .or_else(|| {
                    (0..count).filter(|w| open(*w)).min_by(|a, b| load[*a].total_cmp(&load[*b]))
                })
                .unwrap_or(0);
            let (mut left, mut w) = (crew, week);
            while left > 0.0 && w < count {
                let room = (capacity - load[w]).max(0.0);
                let part = if w + 1 == count { left } else { left.min(room) };
                load[w] += part;
                left -= part;
                w += 1;
            }
            if dark {
                down.entry((when, site)).or_default().insert(week as u32);
            }
            out[j] = Some(week as u32 + 1);
        }
    }
    out
}

/// A soft rule that the weekly schedule does not keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// `neighbours`, `access` or `crews`.
    pub rule: &'static str,
    /// Period, from 1.
    pub period: u32,
    /// Week within it, from 1.
    pub week: u32,
    /// Sites concerned, or the region.
    pub what: Vec<String>,
}

/// Checks a schedule in the plainest way: no two neighbours dark in one week, every site reached in
/// a month that is open, and in every region the work that starts in a week or later done by the
/// end of the period. A job without a week, or with one that does not exist, is a broken rule too.
#[must_use]
pub fn check(
    inventory: &Inventory,
    program: &Program,
    plan: &[Decision],
    weeks: &[Option<u32>],
    months: i32,
    neighbours: &[Vec<u32>],
) -> Vec<Broken> {
    let p = &program.instance;
    let last = count(months) as u32;
    let name = |s: u32| inventory.sites[s as usize].name.clone();
    let mut out = Vec::new();
    let mut dark: BTreeMap<(u32, u32), BTreeSet<u32>> = BTreeMap::new();
    let mut work: BTreeMap<(u32, u32), Vec<(u32, f64)>> = BTreeMap::new();
    for (j, d) in plan.iter().enumerate() {
        let Some((c, when)) = *d else { continue };
        let choice = &p.choices_of(j)[c as usize];
        let site = program.jobs[j].site;
        let week = weeks.get(j).copied().flatten().unwrap_or(0);
        let mut broken = |rule, what| {
            out.push(Broken { rule, period: when + 1, week, what });
        };
        if week == 0 || week > last {
            broken("access", vec![name(site)]);
            continue;
        }
        let open = inventory.sites[site as usize].access;
        let m = month(program, when, week as usize - 1, months);
        if choice.crew > 0.0 && open & (1 << m) == 0 {
            broken("access", vec![name(site)]);
        }
        if choice.outage > 0.0 {
            dark.entry((when, week)).or_default().insert(site);
        }
        work.entry((when, p.jobs[j].region)).or_default().push((week, choice.crew));
    }
    for ((period, week), sites) in &dark {
        for s in sites {
            for n in neighbours[*s as usize].iter().filter(|n| *n > s && sites.contains(n)) {
                let what = vec![name(*s), name(*n)];
                out.push(Broken { rule: "neighbours", period: period + 1, week: *week, what });
            }
        }
    }
    for ((period, region), jobs) in &work {
        let all = p.crews[*region as usize * p.periods + *period as usize];
        for from in 1..=last {
            let rest: f64 = jobs.iter().filter(|j| j.0 >= from).map(|j| j.1).sum();
            let room = all * f64::from(last - from + 1) / f64::from(last);
            // The last job may run over by its own length.
            let longest = jobs.iter().map(|j| j.1).fold(0.0, f64::max);
            if rest > room + longest + 1e-6 {
                let what = vec![program.regions[*region as usize].clone()];
                out.push(Broken { rule: "crews", period: period + 1, week: from, what });
                break;
            }
        }
    }
    out.sort_by(|a, b| {
        (a.period, a.week, a.rule, &a.what).cmp(&(b.period, b.week, b.rule, &b.what))
    });
    out
}
