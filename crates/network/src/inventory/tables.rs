//! The tables `sites`, `devices` and `links`, row by row.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Device, Gravity, Inventory, Link, Names, Problems, Segment, Site, Sym};
use crate::date::Date;

/// A column name in its normal form: lower case, `_` for blanks, known synonyms of NetBox's own
/// export replaced by the name that its import uses.
#[must_use]
pub fn column(name: &str) -> String {
    let n: String = name
        .trim()
        .to_lowercase()
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '_' })
        .collect();
    let n = n.trim_matches('_');
    match n {
        "type" | "device_type__model" | "model" => "device_type",
        "device_role" => "role",
        "vendor" => "manufacturer",
        "release" | "software" | "software_version" => "platform",
        "lat" => "latitude",
        "lon" | "lng" | "long" => "longitude",
        "site_name" | "code" => "name",
        "termination_a_site" | "a_site" | "site_a" => "side_a_site",
        "termination_b_site" | "z_site" | "b_site" | "site_b" => "side_b_site",
        other => other,
    }
    .to_owned()
}

/// Columns of one table: where each known column stands.
#[derive(Debug)]
struct Header {
    at: Vec<Option<usize>>,
    names: &'static [&'static str],
    width: usize,
}

impl Header {
    fn new(
        file: &str,
        row: u64,
        header: &[Cow<'_, str>],
        names: &'static [&'static str],
        required: usize,
        problems: &mut Problems,
    ) -> Option<Self> {
        let found: Vec<String> = header.iter().map(|h| column(h)).collect();
        let at: Vec<Option<usize>> = names
            .iter()
            .map(|n| {
                // A custom field may come with or without its prefix.
                let bare = n.strip_prefix("cf_").unwrap_or(n);
                found.iter().position(|f| f == n).or_else(|| found.iter().position(|f| f == bare))
            })
            .collect();
        for (i, name) in found.iter().enumerate() {
            if found.iter().position(|f| f == name) != Some(i) && !name.is_empty() {
                problems.add(
                    file,
                    row,
                    name,
                    Gravity::Warning,
                    "column occurs twice; the first one is used",
                );
            }
        }
        let missing: Vec<&str> = names
            .iter()
            .zip(&at)
            .take(required)
            .filter(|(_, a)| a.is_none())
            .map(|(n, _)| *n)
            .collect();
        if !missing.is_empty() {
            problems.add(
                file,
                0,
                "",
                Gravity::Error,
                format!("required column missing: {}; the table was not read", missing.join(", ")),
            );
            return None;
        }
        Some(Self { at, names, width: header.len() })
    }
}

/// One row with its place, for reading fields and reporting problems.
struct Row<'r, 'p> {
    file: &'r str,
    row: u64,
    header: &'r Header,
    fields: &'r [Cow<'r, str>],
    problems: &'p mut Problems,
}

impl<'r> Row<'r, '_> {
    fn text(&self, column: usize) -> Option<&'r str> {
        let at = (*self.header.at.get(column)?)?;
        // What people and tools write for "nothing".
        self.fields.get(at).map(|f| f.as_ref()).filter(|f| {
            !f.is_empty() && !matches!(*f, "-" | "—" | "N/A" | "n/a" | "null" | "NULL" | "None")
        })
    }

    fn problem(&mut self, column: usize, gravity: Gravity, reason: String) {
        let name = self.header.names.get(column).copied().unwrap_or_default();
        self.problems.add(self.file, self.row, name, gravity, reason);
    }

    fn needed(&mut self, column: usize) -> Option<&'r str> {
        let t = self.text(column);
        if t.is_none() {
            self.problem(column, Gravity::Error, "is empty; the row was left out".into());
        }
        t
    }

    fn number(&mut self, column: usize, low: f64, high: f64) -> Option<f64> {
        let t = self.text(column)?;
        match t.parse::<f64>().or_else(|_| t.replace(',', ".").parse()) {
            Ok(n) if (low..=high).contains(&n) => Some(n),
            Ok(_) => {
                self.problem(
                    column,
                    Gravity::Warning,
                    format!("{t:?} is outside {low} to {high}; treated as missing"),
                );
                None
            }
            Err(_) => {
                self.problem(
                    column,
                    Gravity::Warning,
                    format!("{t:?} is not a number; treated as missing"),
                );
                None
            }
        }
    }

    fn date(&mut self, column: usize) -> Option<Date> {
        let t = self.text(column)?;
        t.parse()
            .map_err(|e: crate::date::NotADate| {
                self.problem(column, Gravity::Warning, format!("{e}; treated as missing"));
            })
            .ok()
    }

    fn sym(&self, column: usize, names: &mut Names) -> Option<Sym> {
        self.text(column).map(|t| names.intern(t))
    }
}

const SITE: &[&str] = &[
    "name",
    "latitude",
    "longitude",
    "region",
    "cf_geotype",
    "cf_structure",
    "cf_cluster",
    "cf_tower_load_pct",
    "cf_power_headroom_w",
    "cf_population_served",
    "cf_customers",
    "cf_traffic_gb_day",
    "cf_access_months",
    "cf_sensitive",
    "group",
];
const DEVICE: &[&str] = &[
    "name",
    "site",
    "role",
    "manufacturer",
    "device_type",
    "platform",
    "cf_segment",
    "cf_function",
    "cf_generation",
    "cf_coupling_group",
    "cf_install_date",
    "cf_end_of_support",
    "cf_traffic_share",
];
const LINK: &[&str] =
    &["side_a_site", "side_b_site", "label", "cf_length_km", "cf_medium", "cf_srlg", "type"];

/// Which table a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `sites`
    Sites,
    /// `devices`
    Devices,
    /// `links`
    Links,
}

/// Takes rows of one table into the inventory.
#[derive(Debug)]
pub struct TableReader<'i> {
    kind: Kind,
    file: String,
    header: Header,
    inventory: &'i mut Inventory,
    index: &'i mut Index,
    problems: &'i mut Problems,
}

/// Names already taken.
#[derive(Debug, Default)]
pub struct Index {
    /// Site name to index.
    pub sites: HashMap<String, u32>,
    devices: HashMap<String, u32>,
}

impl<'i> TableReader<'i> {
    /// A reader, or nothing when a required column is missing (then it is in `problems`).
    pub fn new(
        kind: Kind,
        file: &str,
        row: u64,
        header: &[Cow<'_, str>],
        inventory: &'i mut Inventory,
        index: &'i mut Index,
        problems: &'i mut Problems,
    ) -> Option<Self> {
        let (names, required) = match kind {
            Kind::Sites => (SITE, 1),
            Kind::Devices => (DEVICE, 2),
            Kind::Links => (LINK, 2),
        };
        let header = Header::new(file, row, header, names, required, problems)?;
        if kind == Kind::Sites && (header.at[1].is_none() || header.at[2].is_none()) {
            problems.add(
                file,
                0,
                "latitude",
                Gravity::Warning,
                "no coordinates: nothing can be said about protected places",
            );
        }
        Some(Self { kind, file: file.to_owned(), header, inventory, index, problems })
    }

    /// Takes one row.
    pub fn row(&mut self, row: u64, fields: &[Cow<'_, str>]) {
        let mut r =
            Row { file: &self.file, row, header: &self.header, fields, problems: self.problems };
        if fields.len() > self.header.width {
            r.problems.add(
                &self.file,
                row,
                "",
                Gravity::Warning,
                format!("{} fields where the header has {}", fields.len(), self.header.width),
            );
        }
        let _ = match self.kind {
            Kind::Sites => site(&mut r, self.inventory, self.index),
            Kind::Devices => device(&mut r, self.inventory, self.index),
            Kind::Links => link(&mut r, self.inventory, self.index),
        };
    }
}

fn site(r: &mut Row<'_, '_>, inv: &mut Inventory, index: &mut Index) -> Option<()> {
    let name = r.needed(0)?.to_owned();
    if index.sites.contains_key(&name) {
        r.problem(
            0,
            Gravity::Error,
            format!("site {name:?} occurs twice; the second row was left out"),
        );
        return None;
    }
    let (mut latitude, mut longitude) = (r.number(1, -90.0, 90.0), r.number(2, -180.0, 180.0));
    if latitude == Some(0.0) && longitude == Some(0.0) {
        r.problem(1, Gravity::Warning, "0, 0 is in the Gulf of Guinea; treated as missing".into());
        (latitude, longitude) = (None, None);
    }
    let sensitive = match r.text(13).map(str::to_lowercase).as_deref() {
        None | Some("false" | "no" | "0") => false,
        Some("true" | "yes" | "1") => true,
        Some(other) => {
            let reason =
                format!("{other:?} is not true or false; treated as true, the careful side");
            r.problem(13, Gravity::Warning, reason);
            true
        }
    };
    let access = match r.text(12) {
        None => 0xfff,
        Some(t) => months(t).unwrap_or_else(|| {
            r.problem(
                12,
                Gravity::Warning,
                format!("{t:?} is not a list of months such as 4-11; treated as all year"),
            );
            0xfff
        }),
    };
    let site = Site {
        latitude,
        longitude,
        region: r.sym(3, &mut inv.names),
        geotype: r.sym(4, &mut inv.names),
        structure: r.sym(5, &mut inv.names),
        cluster: r.sym(6, &mut inv.names),
        tower_load_pct: r.number(7, 0.0, 1000.0),
        power_headroom_w: r.number(8, -1e9, 1e9),
        population: r.number(9, 0.0, 1e10),
        customers: r.number(10, 0.0, 1e10),
        traffic: r.number(11, 0.0, 1e12),
        access,
        sensitive,
        name: name.clone(),
    };
    index.sites.insert(name, u32::try_from(inv.sites.len()).ok()?);
    inv.sites.push(site);
    Some(())
}

/// `1-12`, `4-11`, `11-2` (over the new year), `1,2,5-6` as a mask of months; nothing if no month
/// is in it.
fn months(text: &str) -> Option<u16> {
    let mut mask = 0u16;
    for part in text.split([',', ';', ' ']).filter(|p| !p.is_empty()) {
        let (a, b) = part.split_once('-').unwrap_or((part, part));
        let (a, b): (u8, u8) = (a.trim().parse().ok()?, b.trim().parse().ok()?);
        if !(1..=12).contains(&a) || !(1..=12).contains(&b) {
            return None;
        }
        let mut m = a;
        loop {
            mask |= 1 << (m - 1);
            if m == b {
                break;
            }
            m = m % 12 + 1;
        }
    }
    (mask != 0).then_some(mask)
}

fn device(r: &mut Row<'_, '_>, inv: &mut Inventory, index: &mut Index) -> Option<()> {
    let name = r.needed(0)?;
    let site_name = r.needed(1)?;
    let Some(&site) = index.sites.get(site_name) else {
        r.problem(
            1,
            Gravity::Error,
            format!("site {site_name:?} is not in the site table; the row was left out"),
        );
        return None;
    };
    let at = u32::try_from(inv.devices.len()).ok()?;
    if index.devices.insert(name.to_owned(), at).is_some() {
        r.problem(
            0,
            Gravity::Error,
            format!("device {name:?} occurs twice; the second row was left out"),
        );
        return None;
    }
    let segment = match r.text(6) {
        Some(t) => Segment::parse(t).unwrap_or_else(|| {
            r.problem(6, Gravity::Warning, format!(
                "{t:?} is not core, management, transport, ran or access-fixed; treated as other"));
            Segment::Other
        }),
        None => Segment::Other,
    };
    for (column, what) in [(3, "vendor"), (4, "product"), (5, "release")] {
        if r.text(column).is_none() && r.header.at[column].is_some() {
            r.problem(column, Gravity::Note, format!("no {what}: the unit is unknown"));
        }
    }
    let d = Device {
        name: name.to_owned(),
        site,
        role: r.sym(2, &mut inv.names),
        vendor: r.sym(3, &mut inv.names),
        product: r.sym(4, &mut inv.names),
        release: r.sym(5, &mut inv.names),
        segment,
        function: r.sym(7, &mut inv.names),
        generation: r.sym(8, &mut inv.names),
        coupling: r.sym(9, &mut inv.names),
        installed: r.date(10),
        end_of_support: r.date(11),
        traffic_share: r.number(12, 0.0, 1.0),
    };
    inv.devices.push(d);
    Some(())
}

fn link(r: &mut Row<'_, '_>, inv: &mut Inventory, index: &mut Index) -> Option<()> {
    let (a_name, b_name) = (r.needed(0)?, r.needed(1)?);
    let mut end = |column: usize, name: &str| {
        let found = index.sites.get(name).copied();
        if found.is_none() {
            r.problem(
                column,
                Gravity::Error,
                format!("site {name:?} is not in the site table; the row was left out"),
            );
        }
        found
    };
    let (a, b) = (end(0, a_name)?, end(1, b_name)?);
    if a == b {
        r.problem(1, Gravity::Note, "both ends are the same site; left out of the graph".into());
        return None;
    }
    inv.links.push(Link {
        label: r.text(2).unwrap_or_default().to_owned(),
        a,
        b,
        length_km: r.number(3, 0.0, 50_000.0),
        medium: r.sym(4, &mut inv.names).or_else(|| r.sym(6, &mut inv.names)),
        srlg: r.sym(5, &mut inv.names),
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_months() {
        assert_eq!(months("1-12"), Some(0xfff));
        assert_eq!(months("11-2"), Some(0b1100_0000_0011));
        assert_eq!(months("4"), Some(0b1000));
        for bad in ["", "0-3", "1-13", "x", "1-"] {
            assert_eq!(months(bad), None, "{bad}");
        }
    }

    #[test]
    fn column_names() {
        assert_eq!(column("Device Type"), "device_type");
        assert_eq!(column(" Type "), "device_type");
        assert_eq!(column("cf_cluster"), "cf_cluster");
    }
}
