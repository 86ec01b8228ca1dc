//! Large-neighbourhood search: take a few clusters and jobs out, put them back, keep what is better.

use super::super::compiled::{KEEP, Prices};
use super::{Random, Search, State, Work};

/// How much of a search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Steps.
    pub moves: u64,
    /// Part of the cost of a cluster that a step may lose at first.
    pub heat: f64,
    /// Seed.
    pub seed: u64,
}

impl Search<'_, '_> {
    /// Large-neighbourhood search from `s`, or until `stop`; the best plan found is left
    /// in `s`.
    pub(in crate::plan) fn improve(
        &self,
        s: &mut State,
        prices: &Prices,
        effort: Effort,
        stop: &(dyn Fn() -> bool + Sync),
        w: &mut Work,
    ) {
        let m = self.m;
        let Effort { moves, heat, seed } = effort;
        let mut random = Random(seed);
        let mut current = self.score(s);
        let (mut best, mut best_columns) = (current, s.column.clone());
        let clusters = m.p.clusters.len();
        let units = clusters + m.free.len() / 16;
        if units == 0 && m.free.is_empty() {
            return;
        }
        // A step may lose up to this much at first, nothing at the end.
        let loss = heat * current.abs() / (units.max(1) as f64);
        let mut shaken = prices.clone();
        let (mut chosen, mut singles): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut touched: Vec<u32> = Vec::new();
        for step in 0..moves {
            if step % 256 == 255 && stop() {
                break;
            }
            self.choose(s, &mut random, &mut chosen, &mut singles);
            if chosen.is_empty() && singles.is_empty() {
                continue;
            }
            let width = [0.0, 0.05, 0.2, 0.6][random.below(4)];
            for (to, from) in shaken.of.iter_mut().zip(&prices.of) {
                *to = if *from > 0.0 {
                    from * (1.0 + width * (2.0 * random.unit() - 1.0))
                } else {
                    0.0
                };
            }
            shaken.refresh(m);
            w.journal.clear();
            touched.clear();
            for &c in &chosen {
                touched.extend(m.members.of(c as usize));
            }
            touched.extend(&singles);
            for &j in &touched {
                let old = s.column[j as usize];
                if old != KEEP {
                    w.journal.push((j, old));
                    self.set(s, j as usize, KEEP);
                }
            }
            for i in (1..chosen.len()).rev() {
                chosen.swap(i, random.below(i + 1));
            }
            for &c in &chosen {
                self.place(s, c as usize, &shaken, w);
            }
            for &j in &singles {
                self.place_free(s, j as usize, &shaken, w);
            }
            let mut now = self.score(s);
            let limit = current + loss * (1.0 - step as f64 / moves as f64).powi(2);
            // Far off is not worth mending.
            if !m.p.rows.is_empty() || now < limit + 4.0 * loss {
                self.mend_rows(s, &touched, w);
                self.polish(s, &touched, w);
                now = self.score(s);
            }
            if now <= limit {
                current = now;
                if now < best - 1e-9 * best.abs() {
                    best = now;
                    best_columns.copy_from_slice(&s.column);
                }
            } else {
                while let Some((j, old)) = w.journal.pop() {
                    self.set(s, j as usize, old);
                }
            }
            if step % 4096 == 4095 {
                // Sums drift by rounding; start them anew.
                self.renew(s);
                current = self.score(s);
            }
        }
        s.column = best_columns;
        self.renew(s);
    }

    /// Chooses clusters and single jobs to take out.
    fn choose(
        &self,
        s: &State,
        random: &mut Random,
        chosen: &mut Vec<u32>,
        singles: &mut Vec<u32>,
    ) {
        let m = self.m;
        chosen.clear();
        singles.clear();
        let clusters = m.p.clusters.len();
        let free_turn = !m.free.is_empty()
            && random.below(clusters + m.free.len() / 8 + 1) >= clusters.min(clusters * 8);
        if free_turn || clusters == 0 {
            let start = random.below(m.free.len());
            let region = m.p.jobs[m.free[start] as usize].region;
            for k in 0..m.free.len().min(200) {
                let j = m.free[(start + k) % m.free.len()];
                if m.p.jobs[j as usize].region == region || k % 4 == 0 {
                    singles.push(j);
                }
                if singles.len() >= 8 {
                    break;
                }
            }
            if clusters > 0 && random.below(2) == 0 {
                let list = &self.by_region[region as usize];
                if !list.is_empty() {
                    chosen.push(list[random.below(list.len())]);
                }
            }
            return;
        }
        let count = 1 + random.below(5);
        let seed = random.below(clusters);
        chosen.push(seed as u32);
        let region = self.region_of[seed];
        let list = &self.by_region[region as usize];
        let mode = random.below(4);
        let mask = |c: u32| -> u32 {
            (0..m.t).filter(|s2| s.open[c as usize * m.t + s2] > 0).fold(0, |a, b| a | 1 << b)
        };
        let own = mask(seed as u32);
        for _ in 0..4 * count {
            if chosen.len() >= count {
                break;
            }
            let c = match mode {
                // Anywhere: money and rows couple regions.
                0 => random.below(clusters) as u32,
                // A neighbour: borders.
                1 if !self.neighbours[seed].is_empty() => {
                    let n = &self.neighbours[seed];
                    n[random.below(n.len())].0
                }
                _ if list.is_empty() => random.below(clusters) as u32,
                _ => list[random.below(list.len())],
            };
            // Same periods compete, different ones can be exchanged: both, by turns.
            if !chosen.contains(&c) && (mode != 2 || own == 0 || mask(c) & own != 0) {
                chosen.push(c);
            }
        }
    }
}
