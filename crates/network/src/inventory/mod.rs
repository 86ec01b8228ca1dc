//! An operator's inventory: sites, devices, links, protected places.
//!
//! Columns carry the names of NetBox's CSV import; what NetBox does not have is a custom field and
//! starts with `cf_`. Bad data is expected: every problem is kept with file, row, column and
//! reason, rows that cannot be used are left out and counted, and a field that is missing stays
//! missing, so that figures become intervals instead of silent zeros.

pub mod alias;
pub mod csv;
mod excel;
pub mod geojson;
pub mod gml;
pub mod load;
pub mod netbox;
pub mod rest;
pub mod tables;

use std::collections::HashMap;

use serde::Serialize;

use crate::date::Date;

pub use alias::{AliasGuess, Aliases};
pub use load::{Loaded, Options, load};

/// An interned text; see [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sym(pub u32);

/// Texts that occur many times (vendors, products, releases, regions), each stored once.
#[derive(Debug, Clone, Default)]
pub struct Names {
    texts: Vec<String>,
    index: HashMap<String, Sym>,
}

impl Names {
    /// The symbol of `text`, new or known.
    pub fn intern(&mut self, text: &str) -> Sym {
        if let Some(s) = self.index.get(text) {
            return *s;
        }
        let s = Sym(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(text.to_owned());
        self.index.insert(text.to_owned(), s);
        s
    }

    /// The text of a symbol.
    #[must_use]
    pub fn get(&self, s: Sym) -> &str {
        self.texts.get(s.0 as usize).map_or("", String::as_str)
    }

    /// The symbol of a text that is known.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Sym> {
        self.index.get(text).copied()
    }
}

/// Part of the network that a unit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Segment {
    /// Core functions.
    Core,
    /// Management systems.
    Management,
    /// Routers, optical and microwave.
    Transport,
    /// Radio access.
    Ran,
    /// Fixed access.
    AccessFixed,
    /// Not stated, or not one of these.
    Other,
}

impl Segment {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Core, Self::Management, Self::Transport, Self::Ran, Self::AccessFixed, Self::Other];

    /// The name as written in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Management => "management",
            Self::Transport => "transport",
            Self::Ran => "ran",
            Self::AccessFixed => "access-fixed",
            Self::Other => "other",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(text))
    }
}

/// A place with equipment.
#[derive(Debug, Clone)]
pub struct Site {
    /// Site code; unique.
    pub name: String,
    /// Degrees north, WGS84.
    pub latitude: Option<f64>,
    /// Degrees east, WGS84.
    pub longitude: Option<f64>,
    /// Administrative region, where crews work.
    pub region: Option<Sym>,
    /// Urban, suburban, rural or dc.
    pub geotype: Option<Sym>,
    /// Mast, rooftop, ...
    pub structure: Option<Sym>,
    /// Radio planning cluster, the single-vendor unit.
    pub cluster: Option<Sym>,
    /// Load of the structure in per cent of what it carries.
    pub tower_load_pct: Option<f64>,
    /// Watts left.
    pub power_headroom_w: Option<f64>,
    /// People living in the area served.
    pub population: Option<f64>,
    /// Customers served.
    pub customers: Option<f64>,
    /// Gigabytes a day.
    pub traffic: Option<f64>,
    /// Bit m - 1 set: the site can be reached in month m.
    pub access: u16,
    /// Marked as sensitive by the operator.
    pub sensitive: bool,
}

/// One replaceable unit.
#[derive(Debug, Clone)]
pub struct Device {
    /// Unique name.
    pub name: String,
    /// Index in [`Inventory::sites`].
    pub site: u32,
    /// What it does, in the operator's words.
    pub role: Option<Sym>,
    /// Manufacturer; `None` is *unknown*, never "nobody".
    pub vendor: Option<Sym>,
    /// Product (`device_type`).
    pub product: Option<Sym>,
    /// Software release (`platform`).
    pub release: Option<Sym>,
    /// Part of the network.
    pub segment: Segment,
    /// Function such as `bbu4g`, `csr`, `amf`.
    pub function: Option<Sym>,
    /// Generation such as `4G`.
    pub generation: Option<Sym>,
    /// Units that change together.
    pub coupling: Option<Sym>,
    /// Date of installation.
    pub installed: Option<Date>,
    /// Date the support ends.
    pub end_of_support: Option<Date>,
    /// Share of the site's traffic through this unit, 0 to 1.
    pub traffic_share: Option<f64>,
}

/// A connection between two sites.
#[derive(Debug, Clone)]
pub struct Link {
    /// Label.
    pub label: String,
    /// Index in [`Inventory::sites`].
    pub a: u32,
    /// Index in [`Inventory::sites`].
    pub b: u32,
    /// Kilometres.
    pub length_km: Option<f64>,
    /// Fibre, microwave, ...
    pub medium: Option<Sym>,
    /// Shared-risk group.
    pub srlg: Option<Sym>,
}

/// A place that needs protection: a point with a radius, or a zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Protected {
    /// Name.
    pub name: String,
    /// Category, which a policy may name.
    pub category: String,
    /// The shape.
    pub shape: Shape,
}

/// Shape of a protected place; coordinates are (longitude, latitude) in degrees.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Everything within `radius_m` metres.
    Point {
        /// Centre.
        at: (f64, f64),
        /// Metres; `None`: the policy says.
        radius_m: Option<f64>,
    },
    /// Outer rings with holes, even-odd rule.
    Zone(Vec<Vec<(f64, f64)>>),
}

/// How grave a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gravity {
    /// The row could not be used.
    Error,
    /// The field could not be used and counts as missing.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something wrong in an input, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// File or address.
    pub file: String,
    /// Line (from 1; for sheets the row), 0 for the file as a whole.
    pub row: u64,
    /// Column name, empty for the row as a whole.
    pub column: String,
    /// How grave.
    pub gravity: Gravity,
    /// What is wrong, with the value.
    pub reason: String,
}

/// Problems up to a limit; beyond it they are only counted.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    /// Those kept, in order of occurrence.
    pub list: Vec<Problem>,
    /// Those that were too many to keep.
    pub dropped: u64,
    /// Rows that could not be used.
    pub rows_lost: u64,
}

impl Problems {
    /// Most problems kept.
    pub const LIMIT: usize = 10_000;

    /// Notes a problem.
    pub fn add(
        &mut self,
        file: &str,
        row: u64,
        column: &str,
        gravity: Gravity,
        reason: impl Into<String>,
    ) {
        if gravity == Gravity::Error && row > 0 {
            self.rows_lost += 1;
        }
        if self.list.len() >= Self::LIMIT {
            self.dropped += 1;
            return;
        }
        self.list.push(Problem {
            file: file.to_owned(),
            row,
            column: column.to_owned(),
            gravity,
            reason: reason.into(),
        });
    }
}

/// The whole inventory.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Interned texts.
    pub names: Names,
    /// Sites in file order.
    pub sites: Vec<Site>,
    /// Devices in file order.
    pub devices: Vec<Device>,
    /// Links in file order.
    pub links: Vec<Link>,
    /// Protected places in file order.
    pub protected: Vec<Protected>,
}

impl Inventory {
    /// Text of an optional symbol, `""` when it is missing.
    #[must_use]
    pub fn text(&self, s: Option<Sym>) -> &str {
        s.map_or("", |s| self.names.get(s))
    }

    /// For each site its devices, as indices: `of[start[s]..start[s + 1]]`.
    #[must_use]
    pub fn devices_by_site(&self) -> Groups {
        Groups::new(self.sites.len(), self.devices.iter().map(|d| d.site))
    }
}

/// Indices grouped by a key, in a flat layout.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    start: Vec<u32>,
    items: Vec<u32>,
}

impl Groups {
    /// Groups item i under `key(i)`; keys beyond `n` are left out.
    pub fn new(n: usize, keys: impl Iterator<Item = u32> + Clone) -> Self {
        let mut start = vec![0u32; n + 1];
        for k in keys.clone() {
            if let Some(s) = start.get_mut(k as usize + 1) {
                *s += 1;
            }
        }
        for i in 1..start.len() {
            start[i] += start[i - 1];
        }
        let mut at = start.clone();
        let mut items = vec![0; start.last().copied().unwrap_or(0) as usize];
        for (i, k) in (0u32..).zip(keys) {
            if (k as usize) < n {
                items[at[k as usize] as usize] = i;
                at[k as usize] += 1;
            }
        }
        Self { start, items }
    }

    /// Items of a key, in order.
    #[must_use]
    pub fn of(&self, key: usize) -> &[u32] {
        match (self.start.get(key), self.start.get(key + 1)) {
            (Some(a), Some(b)) => self.items.get(*a as usize..*b as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}
