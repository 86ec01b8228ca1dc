//! The map: an SVG of sites from the inventory's own positions.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::commands::{Planned, World};
use crate::evidence::Status;
use crate::inventory::{Inventory, Shape};

/// Draws the map with the plan of one policy.
pub fn map(o: &mut String, world: &World, p: &Planned) {
    let inv = world.inventory();
    let at: Vec<Option<(f64, f64)>> =
        inv.sites.iter().map(|s| s.longitude.zip(s.latitude)).collect();
    let known: Vec<(f64, f64)> = at.iter().flatten().copied().collect();
    if known.is_empty() {
        o.push_str("<p>No coordinates: no map.</p>");
        return;
    }
    let fold =
        |f: fn(f64, f64) -> f64, s: f64, k: fn(&(f64, f64)) -> f64| known.iter().map(k).fold(s, f);
    let (west, east) = (fold(f64::min, 180.0, |p| p.0), fold(f64::max, -180.0, |p| p.0));
    let (south, north) = (fold(f64::min, 90.0, |p| p.1), fold(f64::max, -90.0, |p| p.1));
    // Equal distances at the middle latitude.
    let squeeze = ((south + north) / 2.0).to_radians().cos().max(0.05);
    let wide = ((east - west) * squeeze).max(1e-3);
    let high = (north - south).max(1e-3);
    let scale = 1000.0 / wide.max(high);
    let margin = 20.0;
    let xy =
        |p: (f64, f64)| ((p.0 - west) * squeeze * scale + margin, (north - p.1) * scale + margin);
    let (w, h) = (wide * scale + 2.0 * margin, high * scale + 2.0 * margin);

    // What becomes of each site: the period in which its last failing unit goes.
    let periods = p.document.periods.len();
    let mut when: Vec<Option<usize>> = vec![None; inv.sites.len()];
    let mut touched = vec![false; inv.sites.len()];
    for (j, info) in p.program.jobs.iter().enumerate() {
        let s = info.site as usize;
        let job = &p.program.instance.jobs[j];
        if job.member & 1 == 0 {
            continue;
        }
        let done = p.plan[j]
            .filter(|(c, _)| p.program.instance.choices_of(j)[*c as usize].member & 1 == 0)
            .map(|d| d.1 as usize + 1);
        let own = done.unwrap_or(periods + 1);
        when[s] = Some(when[s].map_or(own, |x| x.max(own)));
        touched[s] = true;
    }
    let unknown = crate::exposure::sites_with(inv, |i, _| world.status[i] == Status::Unknown);
    let mut layers: Vec<String> = vec![String::new(); periods + 4];
    for (s, p) in at.iter().enumerate() {
        if let Some(p) = p {
            let (x, y) = xy(*p);
            let layer = match when[s] {
                Some(k) => k + 2,
                None if unknown[s] => 1,
                None => 0,
            };
            let _ = write!(layers[layer], "M{x:.1} {y:.1}h0");
        }
    }
    let names: Vec<String> = std::iter::once("today".to_owned())
        .chain(p.document.periods.iter().map(|q| format!("end of period {} ({})", q.number, q.end)))
        .collect();
    let names = serde_json::to_string(&names).unwrap_or_default();
    let _ = write!(
        o,
        "<h2>Sites, and the plan for {}</h2><figure class=plan data-names=\"{}\">",
        super::esc(&p.document.policy),
        super::esc(&names)
    );
    let _ = write!(
        o,
        "<div class=controls><button class=play>Play</button><input type=range min=0 max={periods} value=0 aria-label=Period><output></output></div>"
    );
    let _ = write!(
        o,
        "<svg class=map viewBox=\"0 0 {w:.0} {h:.0}\" role=img aria-label=\"Map of sites\">"
    );
    let spots: Vec<(f64, f64)> = known.iter().map(|p| xy(*p)).collect();
    super::land::draw(o, &spots, (w, h));
    // What lies on the margins is drawn as well, for those who move the map.
    let (dx, dy) = ((margin + 200.0) / scale / squeeze, (margin + 200.0) / scale);
    super::outlines::draw(o, [west - dx, south - dy, east + dx, north + dy], &xy);
    let dot = if known.len() > 20_000 {
        2.0
    } else if known.len() > 3000 {
        3.2
    } else {
        6.0
    };
    for place in &inv.protected {
        match &place.shape {
            Shape::Point { at, radius_m } => {
                let (x, y) = xy(*at);
                // The true radius, but never too small to see.
                let r = (radius_m.unwrap_or(1000.0) / 111_195.0 * scale).max(4.0);
                let _ = write!(
                    o,
                    "<circle cx={x:.1} cy={y:.1} r={r:.1} fill=none stroke=var(--hi) stroke-width=.8><title>{}</title></circle>",
                    super::esc(&place.name)
                );
            }
            Shape::Zone(rings) => {
                let mut d = String::new();
                for ring in rings {
                    for (k, q) in ring.iter().enumerate() {
                        let (x, y) = xy(*q);
                        let _ = write!(d, "{}{x:.1} {y:.1}", if k == 0 { "M" } else { "L" });
                    }
                    d.push('Z');
                }
                let _ = write!(
                    o,
                    "<path d=\"{d}\" stroke=var(--hi) stroke-width=.8 fill-opacity=.1><title>{}</title></path>",
                    super::esc(&place.name)
                );
            }
        }
    }
    for (k, d) in layers.iter().enumerate().filter(|(_, d)| !d.is_empty()) {
        let style = match k {
            0 => "stroke=var(--soft) stroke-opacity=.45".to_owned(),
            1 => "stroke=var(--maybe)".to_owned(),
            k => format!("stroke=var(--bad) data-when={}", k - 2),
        };
        let _ = write!(o, "<path d=\"{d}\" {style} stroke-width={dot} data-dot={dot} />");
    }
    names_of_regions(o, inv, &at, &xy);
    // One degree of latitude is 111 km.
    let km = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        .into_iter()
        .rfind(|km| km / 111.2 * scale < w / 5.0)
        .unwrap_or(1.0);
    let _ = write!(
        o,
        "<g class=scale><path d=\"M{margin} {y:.1}h{len:.1}\"/><text x={margin} y={:.1}>{km} km</text></g>",
        h - margin - 8.0,
        y = h - margin,
        len = km / 111.2 * scale,
    );
    o.push_str("</svg><div class=key><span><i style=\"background:var(--bad)\"></i>has a failing unit</span><span><i style=\"background:var(--ok)\"></i>replaced or updated by then</span><span><i style=\"background:var(--soft)\"></i>no failing unit</span><span><i style=\"background:var(--maybe)\"></i>unknown</span><span><i style=\"border:1px solid var(--hi)\"></i>protected place</span></div><figcaption>Wheel or pinch to zoom, drag to move. Shades follow the density of the operator's own sites. Coasts and borders: Natural Earth, 1:50 million, right to about five kilometres.</figcaption></figure>");
}

/// Names of the largest regions at the middle of their sites.
fn names_of_regions(
    o: &mut String,
    inv: &Inventory,
    at: &[Option<(f64, f64)>],
    xy: &dyn Fn((f64, f64)) -> (f64, f64),
) {
    let mut sums: BTreeMap<&str, (f64, f64, f64)> = BTreeMap::new();
    for (site, p) in inv.sites.iter().zip(at) {
        if let (Some(p), name) = (p, inv.text(site.region))
            && !name.is_empty()
        {
            let s = sums.entry(name).or_default();
            *s = (s.0 + 1.0, s.1 + p.0, s.2 + p.1);
        }
    }
    let mut list: Vec<_> = sums.into_iter().collect();
    list.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(a.0.cmp(b.0)));
    // Large regions first; a name that would lie over another one is left out. The first few are
    // written large on a small screen and need room for that.
    let mut taken: Vec<[f64; 4]> = Vec::new();
    let mut large = 0;
    for (name, (n, x, y)) in list.into_iter().take(40) {
        let (x, y) = xy((x / n, y / n));
        let around = |size: f64| {
            let half = 0.3 * size * name.chars().count() as f64;
            [x - half, y - size, x + half, y + 0.2 * size]
        };
        let free = |b: &[f64; 4], taken: &[[f64; 4]]| {
            taken.iter().all(|t| b[2] < t[0] || b[0] > t[2] || b[3] < t[1] || b[1] > t[3])
        };
        let class = match () {
            () if large < 8 && free(&around(30.0), &taken) => "place",
            () if free(&around(13.0), &taken) => "place minor",
            () => continue,
        };
        large += usize::from(class == "place");
        taken.push(around(if class == "place" { 30.0 } else { 13.0 }));
        let _ = write!(o, "<text class=\"{class}\" x={x:.1} y={y:.1}>{}</text>", super::esc(name));
    }
}
