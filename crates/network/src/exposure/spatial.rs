//! Distances on the sphere, and which sites lie in a protected place.

use crate::inventory::{Inventory, Shape};

/// Mean radius of the earth in metres (IUGG).
pub const EARTH_M: f64 = 6_371_008.8;

/// Great-circle distance in metres between (longitude, latitude) pairs in degrees.
#[must_use]
pub fn haversine(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (p, q) = (a.1.to_radians(), b.1.to_radians());
    let s = ((q - p) / 2.0).sin().powi(2)
        + p.cos() * q.cos() * ((b.0 - a.0).to_radians() / 2.0).sin().powi(2);
    2.0 * EARTH_M * s.sqrt().min(1.0).asin()
}

/// Sites in a grid of cells of equal angle, for looking up what is near.
#[derive(Debug, Clone)]
pub struct Grid {
    /// (cell row, cell column, site), sorted.
    cells: Vec<(i32, i32, u32)>,
    at: Vec<(f64, f64)>,
    step: f64,
}

impl Grid {
    /// A grid over all sites with coordinates.
    #[must_use]
    pub fn new(inventory: &Inventory) -> Self {
        let step = 0.05;
        let at: Vec<(f64, f64)> = inventory
            .sites
            .iter()
            .map(|s| match (s.longitude, s.latitude) {
                (Some(x), Some(y)) => (x, y),
                _ => (f64::NAN, f64::NAN),
            })
            .collect();
        let mut cells: Vec<(i32, i32, u32)> = (0u32..)
            .zip(&at)
            .filter(|(_, p)| !p.0.is_nan())
            .map(|(i, p)| ((p.1 / step).floor() as i32, (p.0 / step).floor() as i32, i))
            .collect();
        cells.sort_unstable();
        Self { cells, at, step }
    }

    /// Calls `each` with every site of the box, by cell. The box may cross the date line.
    fn in_box(&self, low: (f64, f64), high: (f64, f64), mut each: impl FnMut(u32, (f64, f64))) {
        let cell = |v: f64| (v / self.step).floor() as i32;
        let around = (360.0 / self.step).round() as i32;
        for row in cell(low.1.max(-90.0))..=cell(high.1.min(90.0)) {
            for turn in [-around, 0, around] {
                let (from, to) = (cell(low.0) + turn, cell(high.0) + turn);
                let first = self.cells.partition_point(|c| (c.0, c.1) < (row, from));
                for c in self.cells[first..].iter().take_while(|c| c.0 == row && c.1 <= to) {
                    each(c.2, self.at[c.2 as usize]);
                }
            }
        }
    }

    /// Sites within `radius` metres of a point, with distance, sorted by site.
    #[must_use]
    pub fn within(&self, centre: (f64, f64), radius: f64) -> Vec<(u32, f64)> {
        let dy = (radius / EARTH_M).to_degrees() * 1.000_001 + 1e-9;
        let widest = (centre.1.abs() + dy).min(89.9).to_radians().cos();
        let dx = (dy / widest).min(180.0);
        let mut out = Vec::new();
        self.in_box((centre.0 - dx, centre.1 - dy), (centre.0 + dx, centre.1 + dy), |s, p| {
            let d = haversine(centre, p);
            if d <= radius {
                out.push((s, d));
            }
        });
        out.sort_by_key(|(s, _)| *s);
        out.dedup_by_key(|(s, _)| *s);
        out
    }

    /// Sites inside a zone of rings (even-odd rule), sorted.
    #[must_use]
    pub fn inside(&self, rings: &[Vec<(f64, f64)>]) -> Vec<u32> {
        let all = || rings.iter().flatten();
        let low = all().fold((180.0f64, 90.0f64), |l, p| (l.0.min(p.0), l.1.min(p.1)));
        let high = all().fold((-180.0f64, -90.0f64), |h, p| (h.0.max(p.0), h.1.max(p.1)));
        let mut out = Vec::new();
        if low.0 <= high.0 {
            self.in_box(low, high, |s, p| {
                if contains(rings, p) {
                    out.push(s);
                }
            });
        }
        out.sort_unstable();
        out.dedup();
        out
    }
}

/// Even-odd rule over all rings.
#[must_use]
pub fn contains(rings: &[Vec<(f64, f64)>], p: (f64, f64)) -> bool {
    let mut odd = false;
    for ring in rings {
        for (a, b) in ring.iter().zip(ring.iter().skip(1).chain(ring.first())) {
            if (a.1 > p.1) != (b.1 > p.1) && p.0 < (b.0 - a.0) * (p.1 - a.1) / (b.1 - a.1) + a.0 {
                odd = !odd;
            }
        }
    }
    odd
}

/// For each protected place the sites in it with distance in metres (0 inside a zone).
/// `radius_m` applies to points that state none.
#[must_use]
pub fn near(inventory: &Inventory, grid: &Grid, radius_m: f64) -> Vec<Vec<(u32, f64)>> {
    inventory
        .protected
        .iter()
        .map(|p| match &p.shape {
            Shape::Point { at, radius_m: own } => grid.within(*at, own.unwrap_or(radius_m)),
            Shape::Zone(rings) => grid.inside(rings).into_iter().map(|s| (s, 0.0)).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        // A quarter of a great circle.
        let d = haversine((0.0, 0.0), (90.0, 0.0));
        assert!((d - EARTH_M * std::f64::consts::FRAC_PI_2).abs() < 1e-3);
        assert_eq!(haversine((12.0, 50.0), (12.0, 50.0)), 0.0);
    }

    #[test]
    fn rings_with_holes() {
        let square = |a: f64, b: f64| vec![(a, a), (b, a), (b, b), (a, b), (a, a)];
        let rings = [square(0.0, 10.0), square(4.0, 6.0)];
        assert!(contains(&rings, (1.0, 1.0)));
        assert!(!contains(&rings, (5.0, 5.0)));
        assert!(!contains(&rings, (11.0, 5.0)));
    }
}
