//! Moving prices: the volume method (Barahona and Anbil 2000).

use super::super::compiled::Prices;
use super::{Bound, Lagrangian};
use crate::{Go, Progress, Watch};

impl Lagrangian<'_, '_> {
    /// Moves prices for `steps` steps from `start`. `incumbent` is the cost of a known plan, which
    /// sets the length of steps. `cap` limits normalised prices (soft rows).
    pub fn climb(
        &self,
        start: Option<&[f64]>,
        steps: u64,
        incumbent: Option<f64>,
        cap: f64,
        enough: Option<f64>,
        watch: &dyn Watch,
    ) -> (Bound, Go) {
        let m = self.m;
        let (resources, n) = (m.limit.len(), m.limit.len() + m.ties.terms.len());
        let used = |k: usize| m.limit.get(k).is_none_or(|l| l.is_finite());
        let scale: Vec<f64> = m.scale.iter().chain(&m.ties.scale).copied().collect();
        // A price is at least 0; what a border moves from one side to the other is at most half of
        // its cost, either way.
        let clamp = |k: usize, y: f64| match k.checked_sub(resources) {
            None => y.clamp(0.0, cap),
            Some(i) => {
                let most = m.ties.terms[i].half * scale[k];
                y.clamp(-most, most)
            }
        };
        let mut centre: Vec<f64> = match start {
            Some(s) => (0..n).map(|k| s.get(k).copied().unwrap_or(0.0) * scale[k]).collect(),
            None => vec![0.0; n],
        };
        let to_prices = |y: &[f64]| {
            Prices::new(m, (0..n).map(|k| if used(k) { y[k] / scale[k] } else { 0.0 }).collect())
        };
        let gap_of = |usage: &[f64]| -> Vec<f64> {
            (0..n)
                .map(|k| {
                    if used(k) {
                        (usage[k] - m.limit.get(k).unwrap_or(&0.0)) / scale[k]
                    } else {
                        0.0
                    }
                })
                .collect()
        };
        let first = self.evaluate(&to_prices(&centre), None);
        let mut best = first.value;
        // Running average of solutions: an almost feasible point of the relaxation.
        let mut mean = gap_of(&first.usage);
        let (mut factor, mut alpha) = (0.1, 0.1);
        let (mut bad, mut since) = (0, best);
        let mut go = Go::On;
        for step in 0..steps {
            if step % 16 == 0 {
                go = watch.tell(&Progress {
                    stage: "bound",
                    done: step,
                    of: steps,
                    incumbent,
                    bound: Some(best),
                });
                if go == Go::Stop || enough.is_some_and(|e| best >= e) {
                    break;
                }
            }
            // Only a price that can move counts.
            let norm: f64 =
                (0..n)
                    .map(|k| {
                        if clamp(k, centre[k] + mean[k]) == centre[k] {
                            0.0
                        } else {
                            mean[k].powi(2)
                        }
                    })
                    .sum();
            if norm < 1e-14 {
                break;
            }
            let target = match incumbent {
                Some(u) if u > best => best + 1.05 * (u - best),
                _ => best + 0.05 * best.abs().max(1.0),
            };
            let length = factor * (target - best) / norm;
            let y: Vec<f64> = (0..n).map(|k| clamp(k, centre[k] + length * mean[k])).collect();
            let e = self.evaluate(&to_prices(&y), None);
            let g = gap_of(&e.usage);
            // The share of the new point that makes the average closest to feasible.
            let (mut num, mut den) = (0.0, 0.0);
            for k in 0..n {
                let d = mean[k] - g[k];
                num += mean[k] * d;
                den += d * d;
            }
            let a = if den > 0.0 { (num / den).clamp(alpha / 10.0, alpha) } else { alpha };
            let turn: f64 = mean.iter().zip(&g).map(|(a, b)| a * b).sum();
            for k in 0..n {
                mean[k] = a * g[k] + (1.0 - a) * mean[k];
            }
            if e.value > best {
                if turn >= 0.0 {
                    factor = (factor * 1.1f64).min(2.0);
                }
                bad = 0;
                best = e.value;
                centre = y;
            } else {
                bad += 1;
                if bad >= 12 {
                    bad = 0;
                    factor = (factor * 0.66f64).max(1e-5);
                }
            }
            if step % 60 == 59 {
                if best - since < 1e-3 * best.abs() {
                    alpha = (alpha * 0.7f64).max(1e-3);
                }
                since = best;
            }
        }
        let prices = to_prices(&centre);
        let mut dates = Vec::new();
        self.evaluate(&prices, Some(&mut dates));
        let all = (0..n).map(|k| if used(k) { centre[k] / scale[k] } else { 0.0 }).collect();
        (Bound { value: best, prices: all, dates }, go)
    }
}
