//! NetBox: the object dump that `manage.py dumpdata` writes.
//!
//! Sites, devices and cables are taken; manufacturer and product come from the device type, the
//! release from the platform, everything else from custom fields with the names of the CSV schema
//! without the prefix `cf_`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::tables::{Index, Kind, TableReader};
use super::{Gravity, Loaded};
use crate::Error;

/// Objects of one model by primary key.
type Objects<'a> = BTreeMap<i64, &'a Value>;

/// Reads a dump: a JSON array of `{model, pk, fields}`.
///
/// # Errors
/// The text is not such an array.
pub fn dump(file: &str, bytes: &[u8], out: &mut Loaded) -> Result<(), Error> {
    let doc: Value =
        serde_json::from_slice(bytes).map_err(|e| Error::format(file, format!("not JSON: {e}")))?;
    let list = doc
        .as_array()
        .ok_or_else(|| Error::format(file, "not a NetBox dump: not an array of objects"))?;
    let mut models: BTreeMap<&str, Objects<'_>> = BTreeMap::new();
    for o in list {
        if let (Some(m), Some(pk), Some(f)) = (
            o.get("model").and_then(Value::as_str),
            o.get("pk").and_then(Value::as_i64),
            o.get("fields"),
        ) {
            models.entry(m).or_default().insert(pk, f);
        }
    }
    let none = Objects::new();
    let of = |m: &str| models.get(m).unwrap_or(&none);
    if of("dcim.site").is_empty() {
        return Err(Error::format(file, "no dcim.site object in it"));
    }
    let name = |m: &str, pk: Option<&Value>, field: &str| -> String {
        pk.and_then(Value::as_i64)
            .and_then(|k| of(m).get(&k))
            .map_or_else(String::new, |f| text(f.get(field)))
    };

    let mut rows = Rows::default();
    for (pk, f) in of("dcim.site") {
        rows.start(*pk);
        for k in ["name", "latitude", "longitude"] {
            rows.put(k, text(f.get(k)));
        }
        rows.put("region", name("dcim.region", f.get("region"), "name"));
        rows.custom(f);
    }
    let mut index = Index::default();
    rows.read(Kind::Sites, file, &mut index, out);

    let mut seen = BTreeSet::new();
    for (pk, f) in of("dcim.device") {
        let kind = f
            .get("device_type")
            .and_then(Value::as_i64)
            .and_then(|k| of("dcim.devicetype").get(&k));
        rows.start(*pk);
        rows.put("name", unique(text(f.get("name")), *pk, &mut seen));
        rows.put("site", name("dcim.site", f.get("site"), "name"));
        rows.put("role", name("dcim.devicerole", f.get("device_role").or(f.get("role")), "name"));
        rows.put(
            "manufacturer",
            name("dcim.manufacturer", kind.and_then(|k| k.get("manufacturer")), "name"),
        );
        rows.put("device_type", kind.map_or_else(String::new, |k| text(k.get("model"))));
        rows.put("platform", name("dcim.platform", f.get("platform"), "name"));
        rows.custom(f);
    }
    rows.read(Kind::Devices, file, &mut index, out);
    links(file, &models, &mut rows, &mut index, out);
    Ok(())
}

/// Cables between devices of different sites, and circuits between sites.
fn links(
    file: &str,
    models: &BTreeMap<&str, Objects<'_>>,
    rows: &mut Rows,
    index: &mut Index,
    out: &mut Loaded,
) {
    let none = Objects::new();
    let of = |m: &str| models.get(m).unwrap_or(&none);
    let site_name = |pk: i64| of("dcim.site").get(&pk).map(|f| text(f.get("name")));
    let mut ends: BTreeMap<(&str, i64), Vec<(String, String)>> = BTreeMap::new();
    for f in of("dcim.cabletermination").values() {
        // Since 3.3 the end carries its device's site.
        if let (Some(cable), Some(site)) = (
            f.get("cable").and_then(Value::as_i64),
            f.get("_site").and_then(Value::as_i64).and_then(site_name),
        ) {
            ends.entry(("cable", cable)).or_default().push((text(f.get("cable_end")), site));
        }
    }
    for f in of("circuits.circuittermination").values() {
        if let (Some(c), Some(site)) = (
            f.get("circuit").and_then(Value::as_i64),
            f.get("site").and_then(Value::as_i64).and_then(site_name),
        ) {
            ends.entry(("circuit", c)).or_default().push((text(f.get("term_side")), site));
        }
    }
    for ((kind, pk), mut e) in ends {
        e.sort();
        let (Some(a), Some(b)) = (e.first(), e.last()) else { continue };
        if a.1 != b.1 {
            rows.start(pk);
            rows.put("side_a_site", a.1.clone());
            rows.put("side_b_site", b.1.clone());
            rows.put("label", format!("{kind} {pk}"));
        }
    }
    rows.read(Kind::Links, file, index, out);
}

/// A name for a device: NetBox allows devices without one, and the same one at two sites.
pub(crate) fn unique(own: String, pk: i64, seen: &mut BTreeSet<String>) -> String {
    if own.is_empty() {
        format!("device {pk}")
    } else if seen.insert(own.clone()) {
        own
    } else {
        format!("{own} [{pk}]")
    }
}

/// A scalar as text.
pub(crate) fn text(v: Option<&Value>) -> String {
    match v {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Number(n)) => n.to_string(),
        Some(Value::Bool(b)) => b.to_string(),
        // The REST API wraps choices and references.
        Some(Value::Object(o)) => text(o.get("value").or(o.get("name")).or(o.get("model"))),
        _ => String::new(),
    }
}

/// Objects on their way into a table; the row of a problem is the object's key.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<(u64, BTreeMap<String, String>)>,
}

impl Rows {
    pub(crate) fn start(&mut self, pk: i64) {
        self.rows.push((pk.unsigned_abs(), BTreeMap::new()));
    }

    pub(crate) fn put(&mut self, key: &str, value: String) {
        if let Some((_, m)) = self.rows.last_mut() {
            m.insert(key.to_owned(), value);
        }
    }

    pub(crate) fn custom(&mut self, fields: &Value) {
        let custom = fields.get("custom_field_data").or(fields.get("custom_fields"));
        if let Some(Value::Object(o)) = custom {
            for (k, v) in o {
                let key = if k.starts_with("cf_") { k.clone() } else { format!("cf_{k}") };
                self.put(&key, text(Some(v)));
            }
        }
    }

    /// Hands all rows to the table reader and starts anew.
    pub(crate) fn read(&mut self, kind: Kind, file: &str, index: &mut Index, out: &mut Loaded) {
        let rows = std::mem::take(&mut self.rows);
        let mut keys: Vec<&str> =
            rows.iter().flat_map(|(_, m)| m.keys().map(String::as_str)).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            out.problems.add(file, 0, "", Gravity::Note, format!("no rows for {kind:?}"));
            return;
        }
        let header: Vec<Cow<'_, str>> = keys.iter().map(|k| Cow::Borrowed(*k)).collect();
        let Some(mut t) =
            TableReader::new(kind, file, 0, &header, &mut out.inventory, index, &mut out.problems)
        else {
            return;
        };
        for (row, m) in &rows {
            let fields: Vec<Cow<'_, str>> =
                keys.iter().map(|k| Cow::Borrowed(m.get(*k).map_or("", String::as_str))).collect();
            t.row(*row, &fields);
        }
    }
}
