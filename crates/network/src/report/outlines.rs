//! Coasts and borders behind the sites of a map.
//!
//! The lines are Natural Earth's at 1:50 million (public domain), simplified by
//! `catalogue/outlines/derive.py`: right to about five kilometres, enough to see where a network
//! lies, not to tell on which side of a border a site stands.

use std::fmt::Write;

/// One line a row: a first point and steps, in hundredths of a degree.
const WORLD: &str = include_str!("../../../../catalogue/outlines/world.txt");

/// Points of a row, in degrees.
fn points(row: &str) -> impl Iterator<Item = (f64, f64)> {
    let mut numbers = row.split_ascii_whitespace().map_while(|n| n.parse::<i32>().ok());
    let (mut x, mut y) = (0, 0);
    std::iter::from_fn(move || {
        (x, y) = (x + numbers.next()?, y + numbers.next()?);
        Some((f64::from(x) / 100.0, f64::from(y) / 100.0))
    })
}

/// Draws the lines that meet `west, south, east, north`; `xy` places a point in the picture.
pub fn draw(o: &mut String, view: [f64; 4], xy: &dyn Fn((f64, f64)) -> (f64, f64)) {
    let [west, south, east, north] = view;
    let mut d = String::new();
    for row in WORLD.lines().filter(|l| !l.starts_with('#')) {
        let line: Vec<(f64, f64)> = points(row).collect();
        let fold = |f: fn(f64, f64) -> f64, k: fn(&(f64, f64)) -> f64| {
            line.iter().map(k).reduce(f).unwrap_or(f64::NAN)
        };
        let inside = fold(f64::max, |p| p.0) >= west
            && fold(f64::min, |p| p.0) <= east
            && fold(f64::max, |p| p.1) >= south
            && fold(f64::min, |p| p.1) <= north;
        if inside {
            for (k, p) in line.iter().enumerate() {
                let (x, y) = xy(*p);
                let _ = write!(d, "{}{x:.0} {y:.0}", if k == 0 { "M" } else { "L" });
            }
        }
    }
    if !d.is_empty() {
        let _ = write!(o, "<path class=border d=\"{d}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_on_the_globe_and_long_enough() {
        let rows: Vec<&str> = WORLD.lines().filter(|l| !l.starts_with('#')).collect();
        assert!(rows.len() > 1000);
        for row in rows {
            assert!(
                points(row).count() >= 2 && row.split_ascii_whitespace().count() % 2 == 0,
                "{row}"
            );
            assert!(points(row).all(|(x, y)| x.abs() <= 180.0 && y.abs() <= 90.0), "{row}");
            // A line that went round the back of the map would cross all of it.
            let far = points(row).zip(points(row).skip(1)).any(|(a, b)| (a.0 - b.0).abs() > 90.0);
            assert!(!far, "{row}");
        }
    }

    #[test]
    fn only_lines_in_view_are_drawn() {
        let drawn = |view| {
            let mut o = String::new();
            draw(&mut o, view, &|p| p);
            o
        };
        // Iceland lies there; the middle of the Pacific is empty.
        assert!(drawn([-25.0, 63.0, -13.0, 67.0]).contains("<path"));
        assert_eq!(drawn([-130.0, -40.0, -125.0, -35.0]), "");
    }
}
