//! GeoJSON (RFC 7946): protected places, and networks with sites as points and links as lines.

use std::collections::BTreeMap;

use serde_json::Value;

use super::netbox::{Rows, text};
use super::tables::{Index, Kind};
use super::{Gravity, Loaded, Problems, Protected, Shape};
use crate::Error;

/// Most positions in one file.
const MAX_POSITIONS: usize = 5_000_000;

/// Reads protected places. A feature that cannot be used is a problem, not an error; the row of a
/// problem is the number of the feature, from 1.
///
/// # Errors
/// The text is not GeoJSON, or has more positions than a file may have.
pub fn protected(
    file: &str,
    bytes: &[u8],
    problems: &mut Problems,
) -> Result<Vec<Protected>, Error> {
    let doc: Value =
        serde_json::from_slice(bytes).map_err(|e| Error::format(file, format!("not JSON: {e}")))?;
    let Some(features) = features(&doc) else {
        return Err(Error::format(file, "not GeoJSON: neither a FeatureCollection nor a Feature"));
    };
    let mut out = Vec::new();
    let mut budget = MAX_POSITIONS;
    for (i, f) in features.iter().enumerate() {
        let row = i as u64 + 1;
        let property = |k: &str| f.get("properties").and_then(|p| p.get(k));
        let name = property("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let category = property("category").and_then(Value::as_str).unwrap_or_default().to_owned();
        let radius_m = match property("radius_m") {
            None | Some(Value::Null) => None,
            Some(v) => match v.as_f64().or_else(|| v.as_str()?.parse().ok()) {
                Some(r) if (0.0..=1e6).contains(&r) => Some(r),
                _ => {
                    problems.add(file, row, "radius_m", Gravity::Warning,
                        format!("{v} is not a radius of 0 to 1000000 metres; the policy's radius is used"));
                    None
                }
            },
        };
        let geometry = f.get("geometry").unwrap_or(&Value::Null);
        let empty = Vec::new();
        let coordinates = geometry.get("coordinates").unwrap_or(&Value::Null);
        let list = coordinates.as_array().unwrap_or(&empty);
        let name = if name.is_empty() { format!("feature {row}") } else { name };
        let mut push =
            |shape| out.push(Protected { name: name.clone(), category: category.clone(), shape });
        let ok = match geometry.get("type").and_then(Value::as_str) {
            Some("Point") => {
                position(coordinates).map(|at| push(Shape::Point { at, radius_m })).is_some()
            }
            Some("MultiPoint") => {
                let points: Option<Vec<_>> = list.iter().map(position).collect();
                points
                    .map(|ps| ps.into_iter().for_each(|at| push(Shape::Point { at, radius_m })))
                    .is_some()
            }
            Some("Polygon") => rings(list, &mut budget).map(|r| push(Shape::Zone(r))).is_some(),
            Some("MultiPolygon") => {
                let all: Option<Vec<Vec<_>>> =
                    list.iter().map(|p| rings(p.as_array()?, &mut budget)).collect();
                all.map(|a| push(Shape::Zone(a.into_iter().flatten().collect()))).is_some()
            }
            _ => false,
        };
        if budget == 0 {
            return Err(Error::Budget {
                what: format!("{file}: positions"),
                limit: MAX_POSITIONS as u64,
            });
        }
        if !ok {
            problems.add(file, row, "geometry", Gravity::Error,
                format!("{name}: needs a Point, MultiPoint, Polygon or MultiPolygon with [longitude, latitude] in range; left out"));
        }
    }
    Ok(out)
}

/// Reads a network: points are sites with the columns of the site table as properties; lines are
/// links, whose ends are the properties `side_a_site` and `side_b_site`, or the sites at their first
/// and last position.
///
/// # Errors
/// The text is not GeoJSON, or holds no point.
pub fn topology(file: &str, bytes: &[u8], out: &mut Loaded) -> Result<(), Error> {
    let doc: Value =
        serde_json::from_slice(bytes).map_err(|e| Error::format(file, format!("not JSON: {e}")))?;
    let Some(features) = features(&doc) else {
        return Err(Error::format(file, "not GeoJSON: neither a FeatureCollection nor a Feature"));
    };
    let key = |p: (f64, f64)| (p.0.to_bits(), p.1.to_bits());
    let mut at: BTreeMap<(u64, u64), String> = BTreeMap::new();
    let (mut rows, mut index) = (Rows::default(), Index::default());
    let of_type = |kind: &'static str| {
        (1i64..).zip(features).filter_map(move |(row, f)| {
            let g = f.get("geometry")?;
            (g.get("type")?.as_str()? == kind).then_some((row, f, g.get("coordinates")?))
        })
    };
    for (row, f, coordinates) in of_type("Point") {
        rows.start(row);
        let properties = f.get("properties").and_then(Value::as_object);
        for (k, v) in properties.into_iter().flatten() {
            rows.put(k, text(Some(v)));
        }
        let name =
            properties.and_then(|p| p.get("name")).map_or_else(String::new, |n| text(Some(n)));
        let name = if name.is_empty() { format!("feature {row}") } else { name };
        if let Some(p) = position(coordinates) {
            rows.put("longitude", p.0.to_string());
            rows.put("latitude", p.1.to_string());
            at.insert(key(p), name.clone());
        }
        rows.put("name", name);
    }
    rows.read(Kind::Sites, file, &mut index, out);
    if out.inventory.sites.is_empty() {
        return Err(Error::format(file, "no Point feature: nothing is a site"));
    }
    for (row, f, coordinates) in of_type("LineString") {
        let end = |side: &str, position_at: Option<&Value>| {
            let stated = f.get("properties").and_then(|p| p.get(side));
            match text(stated) {
                s if s.is_empty() => {
                    position_at.and_then(position).and_then(|p| at.get(&key(p)).cloned())
                }
                s => Some(s),
            }
        };
        let list = coordinates.as_array();
        let ends = (
            end("side_a_site", list.and_then(|l| l.first())),
            end("side_b_site", list.and_then(|l| l.last())),
        );
        let (Some(a), Some(b)) = ends else {
            let reason = "a line needs side_a_site and side_b_site, or ends at the positions of sites; left out";
            out.problems.add(file, row.unsigned_abs(), "geometry", Gravity::Error, reason);
            continue;
        };
        rows.start(row);
        for (k, v) in f.get("properties").and_then(Value::as_object).into_iter().flatten() {
            rows.put(k, text(Some(v)));
        }
        rows.put("side_a_site", a);
        rows.put("side_b_site", b);
    }
    rows.read(Kind::Links, file, &mut index, out);
    Ok(())
}

fn features(doc: &Value) -> Option<&[Value]> {
    match doc.get("type").and_then(Value::as_str) {
        Some("FeatureCollection") => {
            doc.get("features").and_then(Value::as_array).map(Vec::as_slice)
        }
        Some("Feature") => Some(std::slice::from_ref(doc)),
        _ => None,
    }
}

fn position(v: &Value) -> Option<(f64, f64)> {
    let a = v.as_array()?;
    let (lon, lat) = (a.first()?.as_f64()?, a.get(1)?.as_f64()?);
    ((-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat)).then_some((lon, lat))
}

fn rings(list: &[Value], budget: &mut usize) -> Option<Vec<Vec<(f64, f64)>>> {
    let rings: Vec<Vec<(f64, f64)>> = list
        .iter()
        .map(|r| {
            let positions = r.as_array()?;
            *budget = budget.saturating_sub(positions.len());
            positions.iter().map(position).collect::<Option<Vec<_>>>().filter(|p| p.len() >= 4)
        })
        .collect::<Option<_>>()?;
    (!rings.is_empty()).then_some(rings)
}
