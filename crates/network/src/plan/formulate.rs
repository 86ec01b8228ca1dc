//! The planning problem as a mixed-integer program (sections 2 and 7 of the decision model, form C).
//!
//! One binary for each column of a job that is still [`Alive`]; links to open periods and targets
//! are strong (one row for each job and period, one for each job and target), links to onboarding
//! and core stand on cluster variables. Resource rows are divided by their limit.

use std::collections::BTreeMap;

use super::compiled::{Compiled, KEEP};
use super::fixing::Alive;
use super::instance::{Decision, NONE};
use super::solver::{Mip, NO_LIMIT};

/// A program with the meaning of its first columns.
#[derive(Debug)]
pub(crate) struct Formulated {
    pub mip: Mip,
    /// Job and column of each of the first columns of the program.
    pub columns: Vec<(u32, u16)>,
    /// Costs of the program are the real ones times this.
    pub scale: f64,
    /// Other columns.
    open: BTreeMap<(u32, u32), u32>,
    goes: BTreeMap<(u32, u32), u32>,
    onboard: BTreeMap<(u32, u32), u32>,
    finished: BTreeMap<(u32, u32), u32>,
    borders: Vec<(u32, u32, u32)>,
}

/// Writes down the problem over the columns in `alive`. `size` is about what a plan costs.
pub(crate) fn formulate(m: &Compiled<'_>, alive: &Alive, size: f64) -> Formulated {
    let scale = 1e6 / size.abs().max(1e-3);
    let (p, t) = (m.p, m.t);
    let mut f = Formulated {
        mip: Mip::default(),
        columns: Vec::new(),
        scale,
        open: BTreeMap::new(),
        goes: BTreeMap::new(),
        onboard: BTreeMap::new(),
        finished: BTreeMap::new(),
        borders: Vec::new(),
    };
    // Jobs.
    let mut of_job: Vec<(u32, u32)> = Vec::with_capacity(p.jobs.len());
    for (j, job) in p.jobs.iter().enumerate() {
        let first = f.columns.len() as u32;
        let base = if alive.keep[j] { job.keep } else { 0.0 };
        f.mip.offset += base * scale;
        for column in 0..(job.count as usize * t) as u16 {
            if alive.column(m, j, column) {
                f.mip.column((m.own_cost(j, column) - base) * scale, true);
                f.columns.push((j as u32, column));
            }
        }
        of_job.push((first, f.columns.len() as u32));
    }
    let choice = |k: u32| {
        let (j, column) = f.columns[k as usize];
        let x = &p.choices[p.jobs[j as usize].first as usize + column as usize / t];
        (x, (column as usize % t) as u32)
    };
    let mip = &mut f.mip;
    for (j, (from, to)) in of_job.iter().enumerate() {
        let low = if alive.keep[j] { -NO_LIMIT } else { 1.0 };
        mip.row(low, 1.0, (*from..*to).map(|k| (k, 1.0)));
    }
    // Clusters.
    let bordering: Vec<bool> = {
        let mut v = vec![false; p.clusters.len()];
        p.borders.iter().for_each(|b| (v[b.0 as usize], v[b.1 as usize]) = (true, true));
        v
    };
    for c in 0..p.clusters.len() {
        let jobs: Vec<(u32, u32)> = m.members.of(c).iter().map(|j| of_job[*j as usize]).collect();
        let opening = || jobs.iter().flat_map(|(a, b)| *a..*b).filter(|k| choice(*k).0.opens);
        let mut periods: Vec<u32> = opening().map(|k| choice(k).1).collect();
        periods.sort_unstable();
        periods.dedup();
        let mut targets: Vec<u32> = opening().map(|k| choice(k).0.platform).collect();
        targets.sort_unstable();
        targets.dedup();
        // Whether being open means going to the only target.
        let single = targets.len() == 1 && targets[0] != NONE;
        targets.retain(|v| *v != NONE);
        let cluster = &p.clusters[c];
        for &s in &periods {
            let z = mip.column(cluster.open[s as usize] * scale, true);
            f.open.insert((c as u32, s), z);
            for (a, b) in &jobs {
                let list: Vec<u32> =
                    (*a..*b).filter(|k| choice(*k).0.opens && choice(*k).1 == s).collect();
                if !list.is_empty() {
                    let entries = list.into_iter().map(|k| (k, 1.0)).chain([(z, -1.0)]);
                    mip.row(-NO_LIMIT, 0.0, entries);
                }
            }
        }
        if periods.len() > cluster.max_open as usize {
            let entries = periods.iter().map(|s| (f.open[&(c as u32, *s)], 1.0));
            mip.row(-NO_LIMIT, f64::from(cluster.max_open), entries);
        }
        let onboards = targets.iter().any(|v| !p.platforms[*v as usize].onboard.is_empty());
        if targets.len() > 1 || bordering[c] || (onboards && !single) {
            for &v in &targets {
                let w = mip.column(0.0, true);
                f.goes.insert((c as u32, v), w);
                let mut all = Vec::new();
                for (a, b) in &jobs {
                    let list: Vec<u32> = (*a..*b)
                        .filter(|k| choice(*k).0.opens && choice(*k).0.platform == v)
                        .collect();
                    if !list.is_empty() {
                        let entries = list.iter().map(|k| (*k, 1.0)).chain([(w, -1.0)]);
                        mip.row(-NO_LIMIT, 0.0, entries);
                    }
                    all.extend(list);
                }
                if bordering[c] {
                    // Going there without doing anything would dodge borders.
                    mip.row(0.0, NO_LIMIT, all.into_iter().map(|k| (k, 1.0)).chain([(w, -1.0)]));
                }
            }
            if targets.len() > 1 {
                let entries = targets.iter().map(|v| (f.goes[&(c as u32, *v)], 1.0));
                mip.row(-NO_LIMIT, 1.0, entries);
            }
        }
        for &v in targets.iter().filter(|v| !p.platforms[**v as usize].onboard.is_empty()) {
            for &s in &periods {
                if !opening().any(|k| choice(k).1 == s && choice(k).0.platform == v) {
                    continue;
                }
                let z = (f.open[&(c as u32, s)], 1.0);
                let w = (!single).then(|| (f.goes[&(c as u32, v)], 1.0));
                let used: Vec<(u32, f64)> = [z].into_iter().chain(w).collect();
                ready(m, mip, &mut f.onboard, scale, v, s, &used);
            }
        }
        if cluster.group != NONE && !p.groups[cluster.group as usize].is_empty() {
            for &s in &periods {
                let done = finished(m, mip, &mut f.finished, &of_job, &f.columns, cluster.group, s);
                mip.row(-NO_LIMIT, 0.0, [(f.open[&(c as u32, s)], 1.0), (done, -1.0)]);
            }
        }
    }
    // Platforms used outside of open clusters.
    for k in 0..f.columns.len() as u32 {
        let (x, s) = {
            let (j, column) = f.columns[k as usize];
            let x = &p.choices[p.jobs[j as usize].first as usize + column as usize / t];
            (x, (column as usize % t) as u32)
        };
        if !x.opens && x.platform != NONE {
            ready(m, mip, &mut f.onboard, scale, x.platform, s, &[(k, 1.0)]);
        }
    }
    resources(m, mip, &f.columns, &of_job);
    // Borders: b is at least the difference of the ends, for each platform.
    for &(a, b, cost) in &p.borders {
        let end = |c: u32, v: u32| -> (f64, Vec<(u32, f64)>) {
            let home = p.clusters[c as usize].home == v;
            let own = f.goes.range((c, 0)..(c, u32::MAX));
            let list = own
                .filter_map(|((_, to), w)| match (*to == v, home) {
                    (true, false) => Some((*w, 1.0)),
                    (false, true) => Some((*w, -1.0)),
                    _ => None,
                })
                .collect();
            (f64::from(u8::from(home)), list)
        };
        let mut platforms: Vec<u32> = [a, b]
            .into_iter()
            .flat_map(|c| f.goes.range((c, 0)..(c, u32::MAX)).map(|x| x.0.1))
            .chain([p.clusters[a as usize].home, p.clusters[b as usize].home])
            .collect();
        platforms.sort_unstable();
        platforms.dedup();
        let column = mip.column(cost * scale, false);
        f.borders.push((a, b, column));
        for v in platforms {
            let ((ka, la), (kb, lb)) = (end(a, v), end(b, v));
            for sign in [1.0, -1.0] {
                let entries = la
                    .iter()
                    .map(|(w, x)| (*w, sign * x))
                    .chain(lb.iter().map(|(w, x)| (*w, -sign * x)))
                    .chain([(column, -1.0)]);
                mip.row(-NO_LIMIT, sign * (kb - ka), entries);
            }
        }
    }
    f
}

/// What is used in period `s` needs platform `v` to be onboarded: the sum of `used` is at most the
/// number of its members less one, plus the onboardings that are early enough.
fn ready(
    m: &Compiled<'_>,
    mip: &mut Mip,
    columns: &mut BTreeMap<(u32, u32), u32>,
    scale: f64,
    v: u32,
    s: u32,
    used: &[(u32, f64)],
) {
    let platform = &m.p.platforms[v as usize];
    if platform.onboard.is_empty() {
        return;
    }
    let mut entries = used.to_vec();
    for g in 0..m.t as u32 {
        if g + platform.lag <= s {
            let cost = platform.onboard[g as usize];
            let column = *columns.entry((v, g)).or_insert_with(|| mip.column(cost * scale, true));
            entries.push((column, -1.0));
        }
    }
    mip.row(-NO_LIMIT, used.len() as f64 - 1.0, entries);
}

/// The column that says that a core group is finished before period `s`.
fn finished(
    m: &Compiled<'_>,
    mip: &mut Mip,
    known: &mut BTreeMap<(u32, u32), u32>,
    of_job: &[(u32, u32)],
    columns: &[(u32, u16)],
    group: u32,
    s: u32,
) -> u32 {
    if let Some(k) = known.get(&(group, s)) {
        return *k;
    }
    let column = mip.column(0.0, false);
    known.insert((group, s), column);
    for j in &m.p.groups[group as usize] {
        let (from, to) = of_job[*j as usize];
        let early = (from..to).filter(|k| ((columns[*k as usize].1 as usize % m.t) as u32) < s);
        mip.row(-NO_LIMIT, 0.0, early.map(|k| (k, -1.0)).chain([(column, 1.0)]));
    }
    column
}

/// Money, crews, disruption and rows, each divided by its scale.
fn resources(m: &Compiled<'_>, mip: &mut Mip, columns: &[(u32, u16)], of_job: &[(u32, u32)]) {
    let mut entries: Vec<Vec<(u32, f64)>> = vec![Vec::new(); m.limit.len()];
    let mut kept = vec![0.0; m.limit.len()];
    let mut draw: BTreeMap<usize, f64> = BTreeMap::new();
    for (j, (from, to)) in of_job.iter().enumerate() {
        // With keeping as the origin, a column draws the difference.
        m.drawn(j, KEEP, |k, amount| kept[k] += amount);
        for k in *from..*to {
            draw.clear();
            m.drawn(j, KEEP, |k, amount| *draw.entry(k).or_default() -= amount);
            m.drawn(j, columns[k as usize].1, |k, amount| *draw.entry(k).or_default() += amount);
            for (r, amount) in &draw {
                if *amount != 0.0 && m.limit[*r].is_finite() {
                    entries[*r].push((k, amount / m.scale[*r]));
                }
            }
        }
    }
    for (r, list) in entries.into_iter().enumerate() {
        if m.limit[r].is_finite() {
            mip.row(-NO_LIMIT, (m.limit[r] - kept[r]) / m.scale[r], list);
        }
    }
}

impl Formulated {
    /// The plan that a point stands for.
    pub fn plan(&self, m: &Compiled<'_>, point: &[f64]) -> Vec<Decision> {
        let mut best: Vec<(f64, Decision)> = vec![(0.5, None); m.p.jobs.len()];
        for ((j, column), x) in self.columns.iter().zip(point) {
            let slot = &mut best[*j as usize];
            if *x > slot.0 {
                let (c, s) = (*column as usize / m.t, *column as usize % m.t);
                *slot = (*x, Some((c as u32, s as u32)));
            }
        }
        best.into_iter().map(|b| b.1).collect()
    }

    /// The point that a plan stands for, if all of it is alive.
    pub fn point(&self, m: &Compiled<'_>, plan: &[Decision]) -> Option<Vec<f64>> {
        let p = m.p;
        let mut out = vec![0.0; self.mip.cost.len()];
        let mut hit = 0;
        let mut first_use: BTreeMap<u32, u32> = BTreeMap::new();
        let mut end: Vec<u32> = p.clusters.iter().map(|c| c.home).collect();
        for (k, (j, column)) in self.columns.iter().enumerate() {
            let d = (u32::from(*column) / m.t as u32, u32::from(*column) % m.t as u32);
            if plan[*j as usize] != Some(d) {
                continue;
            }
            hit += 1;
            out[k] = 1.0;
            let x = &p.choices_of(*j as usize)[d.0 as usize];
            if x.platform != NONE {
                let slot = first_use.entry(x.platform).or_insert(d.1);
                *slot = d.1.min(*slot);
            }
            if x.opens {
                let c = p.jobs[*j as usize].cluster;
                out[self.open[&(c, d.1)] as usize] = 1.0;
                if x.platform != NONE {
                    end[c as usize] = x.platform;
                    if let Some(w) = self.goes.get(&(c, x.platform)) {
                        out[*w as usize] = 1.0;
                    }
                }
            }
        }
        if hit != plan.iter().flatten().count() {
            return None;
        }
        for (v, when) in first_use {
            let x = &p.platforms[v as usize];
            if x.onboard.is_empty() {
                continue;
            }
            let best = (0..m.t as u32)
                .filter(|g| g + x.lag <= when)
                .min_by(|a, b| x.onboard[*a as usize].total_cmp(&x.onboard[*b as usize]))?;
            out[*self.onboard.get(&(v, best))? as usize] = 1.0;
        }
        for ((group, s), column) in &self.finished {
            let done = p.groups[*group as usize]
                .iter()
                .all(|j| plan[*j as usize].is_some_and(|(_, when)| when < *s));
            out[*column as usize] = f64::from(u8::from(done));
        }
        for (a, b, column) in &self.borders {
            out[*column as usize] = f64::from(u8::from(end[*a as usize] != end[*b as usize]));
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::small;
    use super::*;
    use crate::plan::check::account;
    use crate::plan::search::Random;

    /// A plan keeps every constraint exactly if its point keeps every row, and then costs the same.
    #[test]
    fn rows_say_what_the_checker_says() {
        let (mut kept, mut broken) = (0, 0);
        for seed in 1..=600 {
            let p = small::random_instance(seed);
            let m = Compiled::new(&p).expect("sound");
            let f = formulate(&m, &Alive::all(&m), 1e6);
            let mut random = Random(seed);
            for _ in 0..60 {
                let plan: Vec<Decision> = (0..p.jobs.len())
                    .map(|j| {
                        let n = p.jobs[j].count as usize * p.periods;
                        let k = random.below(2 * n);
                        (k < n).then(|| ((k / p.periods) as u32, (k % p.periods) as u32))
                    })
                    .collect();
                let a = account(&p, &plan);
                let keeps = f.point(&m, &plan).filter(|point| {
                    (0..f.mip.low.len()).all(|k| {
                        let sum: f64 = f.mip.entries(k).map(|(c, v)| v * point[c as usize]).sum();
                        sum >= f.mip.low[k] - 1e-6 && sum <= f.mip.high[k] + 1e-6
                    })
                });
                assert_eq!(
                    keeps.is_some(),
                    a.violations.is_empty(),
                    "network {seed}: {plan:?} {a:?}"
                );
                match keeps {
                    Some(point) => {
                        let sum: f64 = f.mip.cost.iter().zip(&point).map(|(c, x)| c * x).sum();
                        let cost = (f.mip.offset + sum) / f.scale;
                        assert!((cost - a.cost).abs() < 1e-6, "network {seed}: {cost} {}", a.cost);
                        assert_eq!(f.plan(&m, &point), plan);
                        kept += 1;
                    }
                    None => broken += 1,
                }
            }
        }
        assert!(kept > 1000 && broken > 1000, "{kept} kept, {broken} broken");
    }
}
