//! Protected places as GeoJSON (RFC 7946), and sites as GeoJSON points.

use serde_json::Value;

use super::{Gravity, Problems, Protected, Shape};
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
