//! Small charts as SVG.

use std::fmt::Write;

use super::{esc, money, percent};
use crate::scenario::sensitivity::Bar;
use crate::scenario::{Column, Point};

const W: f64 = 760.0;
const H: f64 = 260.0;
const L: f64 = 70.0;
const B: f64 = 30.0;

/// Colour of the k-th series, readable on light and dark.
fn colour(k: usize) -> &'static str {
    ["var(--hi)", "var(--ok)", "var(--maybe)", "var(--bad)", "var(--soft)"][k % 5]
}

fn open(o: &mut String, title: &str) {
    let _ = write!(
        o,
        "<h3>{}</h3><figure><div class=chart><svg viewBox=\"0 0 {W} {H}\" role=img aria-label=\"{}\">",
        esc(title),
        esc(title)
    );
}

fn axis(o: &mut String, top: f64, show: &dyn Fn(f64) -> String) {
    for k in 0..=4 {
        let v = top * f64::from(k) / 4.0;
        let y = H - B - (H - B - 12.0) * f64::from(k) / 4.0;
        let _ = write!(
            o,
            "<line x1={L} x2={W} y1={y:.1} y2={y:.1} stroke=var(--line) /><text x={:.1} y={:.1} text-anchor=end>{}</text>",
            L - 6.0,
            y + 4.0,
            esc(&show(v))
        );
    }
}

fn key(o: &mut String, names: impl Iterator<Item = String>) {
    o.push_str("</svg></div><div class=key>");
    for (k, n) in names.enumerate() {
        let _ = write!(o, "<span><i style=\"background:{}\"></i>{}</span>", colour(k), esc(&n));
    }
    o.push_str("</div></figure>");
}

/// Exposure over time.
pub fn lines(o: &mut String, title: &str, columns: &[Column]) {
    let n = columns.iter().map(|c| c.exposure.len()).max().unwrap_or(0);
    if n < 2 {
        return;
    }
    let top = columns.iter().flat_map(|c| &c.exposure).copied().fold(0.05, f64::max);
    open(o, title);
    axis(o, top, &percent);
    let x = |k: usize| L + 20.0 + (W - L - 40.0) * k as f64 / (n - 1) as f64;
    let y = |v: f64| H - B - (H - B - 12.0) * v / top;
    for k in 0..n {
        let _ = write!(
            o,
            "<text x={:.1} y={} text-anchor=middle>{}</text>",
            x(k),
            H - 8.0,
            if k == 0 { "today".into() } else { k.to_string() }
        );
    }
    for (c, col) in columns.iter().enumerate() {
        let points: Vec<String> = col
            .exposure
            .iter()
            .enumerate()
            .map(|(k, v)| format!("{:.1},{:.1}", x(k), y(*v)))
            .collect();
        let _ = write!(
            o,
            "<polyline points=\"{}\" fill=none stroke={} stroke-width=2.5 />",
            points.join(" "),
            colour(c)
        );
    }
    key(o, columns.iter().map(|c| c.policy.clone()));
}

/// Money by period.
pub fn bars(o: &mut String, title: &str, columns: &[Column]) {
    let n = columns.iter().map(|c| c.spend.len()).max().unwrap_or(0);
    let top = columns.iter().flat_map(|c| &c.spend).copied().fold(1.0, f64::max);
    if n == 0 {
        return;
    }
    open(o, title);
    axis(o, top, &money);
    let group = (W - L - 20.0) / n as f64;
    let bar = group * 0.8 / columns.len().max(1) as f64;
    for k in 0..n {
        let left = L + 10.0 + group * k as f64;
        let _ = write!(
            o,
            "<text x={:.1} y={} text-anchor=middle>{}</text>",
            left + group * 0.4,
            H - 8.0,
            k + 1
        );
        for (c, col) in columns.iter().enumerate() {
            let v = col.spend.get(k).copied().unwrap_or(0.0);
            let h = (H - B - 12.0) * v / top;
            let _ = write!(
                o,
                "<rect x={:.1} y={:.1} width={:.1} height={h:.1} fill={} />",
                left + bar * c as f64,
                H - B - h,
                bar * 0.9,
                colour(c)
            );
        }
    }
    key(o, columns.iter().map(|c| c.policy.clone()));
}

/// The frontier with the band between plan and bound.
pub fn band(o: &mut String, title: &str, points: &[Point]) {
    let top = points.iter().map(|p| p.cost).fold(1.0, f64::max);
    let wide = points.iter().map(|p| p.exposure).fold(1e-6, f64::max);
    open(o, title);
    axis(o, top, &money);
    let x = |v: f64| L + 20.0 + (W - L - 40.0) * v / wide;
    let y = |v: f64| H - B - (H - B - 12.0) * (v / top).max(0.0);
    let mut upper: Vec<String> =
        points.iter().map(|p| format!("{:.1},{:.1}", x(p.exposure), y(p.cost))).collect();
    let line = upper.join(" ");
    upper.extend(points.iter().rev().map(|p| format!("{:.1},{:.1}", x(p.limit), y(p.bound))));
    let _ = write!(
        o,
        "<polygon points=\"{}\" fill=var(--hi) fill-opacity=.2 /><polyline points=\"{line}\" fill=none stroke=var(--hi) stroke-width=2 />",
        upper.join(" ")
    );
    for p in points {
        let _ = write!(
            o,
            "<circle cx={:.1} cy={:.1} r=3.5 fill={}><title>{} of traffic-years, {} (at least {})</title></circle>",
            x(p.exposure),
            y(p.cost),
            if p.on_frontier { "var(--hi)" } else { "var(--soft)" },
            percent(p.exposure),
            money(p.cost),
            money(p.bound)
        );
    }
    for k in 0..=4 {
        let v = wide * f64::from(k) / 4.0;
        let _ =
            write!(o, "<text x={:.1} y={} text-anchor=middle>{}</text>", x(v), H - 8.0, percent(v));
    }
    key(o, std::iter::once("plan, and the band down to the proven bound".to_owned()));
}

/// Most bars of a tornado.
const BARS: usize = 12;

/// The widest bars of a tornado; a bar that changes the choice between two policies is marked.
pub fn tornado(o: &mut String, title: &str, bars: &[Bar]) {
    let bars = &bars[..bars.len().min(BARS)];
    let low = bars.iter().map(|b| b.cost.0.min(b.cost.1)).fold(f64::INFINITY, f64::min);
    let high = bars.iter().map(|b| b.cost.0.max(b.cost.1)).fold(low, f64::max);
    let span = (high - low).max(1e-9);
    let (left, row) = (250.0, 22.0);
    let tall = row * bars.len() as f64 + 40.0;
    let _ = write!(
        o,
        "<h3>{0}</h3><figure><div class=chart><svg viewBox=\"0 0 {W} {tall}\" role=img aria-label=\"{0}\">",
        esc(title)
    );
    let x = |v: f64| left + (W - left - 20.0) * (v - low) / span;
    for (k, b) in bars.iter().enumerate() {
        let y = 8.0 + row * k as f64;
        let (from, to) = (b.cost.0.min(b.cost.1), b.cost.0.max(b.cost.1));
        let _ = write!(
            o,
            "<text x={:.1} y={:.1} text-anchor=end>{}</text><rect x={:.1} y={y:.1} width={:.1} height={:.1} fill={}><title>{} to {}, {}</title></rect>",
            left - 8.0,
            y + 13.0,
            esc(&b.item),
            x(from),
            (x(to) - x(from)).max(1.0),
            row - 6.0,
            if b.decides { "var(--maybe)" } else { "var(--hi)" },
            money(from),
            money(to),
            esc(&b.confidence),
        );
    }
    for k in 0..=3 {
        let v = low + span * f64::from(k) / 3.0;
        let anchor = if k == 3 { "end" } else { "middle" };
        let _ = write!(
            o,
            "<text x={:.1} y={:.1} text-anchor={anchor}>{}</text>",
            x(v),
            tall - 8.0,
            esc(&money(v))
        );
    }
    o.push_str("</svg></div><div class=key><span><i style=\"background:var(--hi)\"></i>from the item's low to its high end</span><span><i style=\"background:var(--maybe)\"></i>would change the choice between the first policy and the one by evidence</span></div></figure>");
}
