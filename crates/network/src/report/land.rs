//! The shaded land of a map: outlines of where people are served, from the positions of sites.
//!
//! Sites are counted on a grid, the counts are
//! smoothed, and lines of equal density are drawn around them (marching squares), so coasts and
//! deserts show as what they are: places without sites.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Cells along the longer side.
const CELLS: usize = 150;

/// A field on a grid.
struct Field {
    wide: usize,
    high: usize,
    value: Vec<f64>,
}

impl Field {
    fn at(&self, x: usize, y: usize) -> f64 {
        self.value.get(y * self.wide + x).copied().unwrap_or(0.0)
    }

    /// Mean of each point and its neighbours along one axis.
    fn blur(&mut self, step: usize) {
        let old = self.value.clone();
        let get = |i: Option<usize>| i.and_then(|i| old.get(i)).copied().unwrap_or(0.0);
        for (i, v) in self.value.iter_mut().enumerate() {
            *v = (get(i.checked_sub(step)) + 2.0 * old[i] + get(i.checked_add(step))) / 4.0;
        }
    }

    /// Closed lines at a level, in cells. The rim of the field has to be below it.
    fn lines(&self, level: f64) -> Vec<Vec<(f64, f64)>> {
        // A crossing of a grid edge, by the edge: even ones run right, odd ones down.
        let across = |x: usize, y: usize| 2 * (y * self.wide + x);
        let down = |x: usize, y: usize| 2 * (y * self.wide + x) + 1;
        let mut next: BTreeMap<usize, usize> = BTreeMap::new();
        for y in 0..self.high - 1 {
            for x in 0..self.wide - 1 {
                let inside = |dx, dy| usize::from(self.at(x + dx, y + dy) >= level);
                let case = 8 * inside(0, 0) + 4 * inside(1, 0) + 2 * inside(1, 1) + inside(0, 1);
                let (t, b, l, r) = (across(x, y), across(x, y + 1), down(x, y), down(x + 1, y));
                // What is inside lies to the left.
                let steps: &[(usize, usize)] = match case {
                    1 => &[(b, l)],
                    2 => &[(r, b)],
                    3 => &[(r, l)],
                    4 => &[(t, r)],
                    5 => &[(t, r), (b, l)],
                    6 => &[(t, b)],
                    7 => &[(t, l)],
                    8 => &[(l, t)],
                    9 => &[(b, t)],
                    10 => &[(l, t), (r, b)],
                    11 => &[(r, t)],
                    12 => &[(l, r)],
                    13 => &[(b, r)],
                    14 => &[(l, b)],
                    _ => &[],
                };
                next.extend(steps.iter().copied());
            }
        }
        let point = |edge: usize| {
            let (x, y) = (edge / 2 % self.wide, edge / 2 / self.wide);
            let (dx, dy) = if edge.is_multiple_of(2) { (1, 0) } else { (0, 1) };
            let (a, b) = (self.at(x, y), self.at(x + dx, y + dy));
            let part =
                if (b - a).abs() > 1e-12 { ((level - a) / (b - a)).clamp(0.0, 1.0) } else { 0.5 };
            (x as f64 + part * dx as f64, y as f64 + part * dy as f64)
        };
        let mut out = Vec::new();
        while let Some((start, mut at)) = next.pop_first() {
            let mut line = vec![point(start)];
            while at != start {
                line.push(point(at));
                match next.remove(&at) {
                    Some(n) => at = n,
                    None => break,
                }
            }
            out.push(line);
        }
        out
    }
}

/// Draws the land behind sites at `points`, in a picture of the given size.
pub fn draw(o: &mut String, points: &[(f64, f64)], size: (f64, f64)) {
    let step = size.0.max(size.1) / CELLS as f64;
    // Three cells of margin keep the rim empty whatever the smoothing does.
    let cells = |v: f64| (v / step).ceil() as usize + 9;
    let mut f = Field { wide: cells(size.0), high: cells(size.1), value: Vec::new() };
    f.value = vec![0.0; f.wide * f.high];
    for p in points {
        let (x, y) = ((p.0 / step) as usize + 4, (p.1 / step) as usize + 4);
        if let Some(v) = f.value.get_mut(y * f.wide + x) {
            // Many sites in a town count less than as many villages.
            *v = (*v + 1.0).min(20.0);
        }
    }
    for _ in 0..3 {
        f.blur(1);
        f.blur(f.wide);
    }
    for (level, class) in [(0.012, "a"), (0.35, "b"), (1.6, "c")] {
        let mut d = String::new();
        for line in f.lines(level).iter().filter(|l| l.len() > 7) {
            for (k, p) in line.iter().enumerate() {
                let (x, y) = ((p.0 - 3.5) * step, (p.1 - 3.5) * step);
                let _ = write!(d, "{}{x:.1} {y:.1}", if k == 0 { "M" } else { "L" });
            }
            d.push('Z');
        }
        let _ = write!(o, "<path class=\"land {class}\" d=\"{d}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_close_around_what_is_inside() {
        let mut f = Field { wide: 9, high: 8, value: vec![0.0; 72] };
        for (x, y) in [(2, 2), (3, 2), (3, 3), (6, 5)] {
            f.value[y * 9 + x] = 1.0;
        }
        let lines = f.lines(0.5);
        assert_eq!(lines.len(), 2);
        // Signed areas: two cells and a half around three points, half a cell around one.
        let area = |l: &Vec<(f64, f64)>| -> f64 {
            let next = l.iter().cycle().skip(1);
            l.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>().abs() / 2.0
        };
        let mut areas: Vec<f64> = lines.iter().map(area).collect();
        areas.sort_by(f64::total_cmp);
        assert!((areas[0] - 0.5).abs() < 1e-9 && (areas[1] - 2.0).abs() < 0.6, "{areas:?}");
    }
}
