//! Policies as data: what a rule says, to which units it applies, and from when.
//!
//! A rule names the shape of an obligation: scope, unit, cap, radius, dates. The set it applies to
//! is an input: a list of vendors or products that the user supplies, or the units that fail
//! requirements. Nothing here knows a country of origin.

pub mod comply;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::date::{Date, When};
use crate::evidence::Status;
use crate::exposure::Weight;
use crate::inventory::{Device, Inventory, Segment};
use crate::{Error, files};

/// The eleven rule types of the library, and helpers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing of the set may be bought from a date on.
    StopBuy,
    /// Nothing of the set may be installed from a date on.
    NoNewInstall,
    /// All of it must be gone by a date.
    Remove,
    /// At most a share, in a stated unit, by a date.
    ShareCap,
    /// None of it in named functions by a date.
    ExcludeFunction,
    /// None of it in or near protected places by a date.
    ExcludePlace,
    /// At least so many vendors.
    MinVendors,
    /// Each item needs an authorisation, for a term.
    AuthoriseEach,
    /// Only listed products may be connected from a date on.
    TrustedList,
    /// Staff or functions must be in the country by a date.
    Localise,
    /// The vendor's remote access is restricted.
    LimitRemoteAccess,
    /// Units must be mitigated by a date.
    Mitigate,
    /// What is removed must be disposed of.
    Dispose,
    /// Sites in protected places stay joined to the core when any one vendor fails.
    DisjointPaths,
}

/// Which units a rule is about, before the designated set is applied. Empty lists: all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Segments.
    #[serde(default)]
    pub segments: Vec<String>,
    /// Generations; a unit matches if its generation contains one (`4G/5G` contains `5G`).
    #[serde(default)]
    pub generations: Vec<String>,
    /// Functions.
    #[serde(default)]
    pub functions: Vec<String>,
    /// `designated` (default), `fail`, `unknown` or `all`.
    #[serde(default = "designated")]
    pub set: String,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            segments: Vec::new(),
            generations: Vec::new(),
            functions: Vec::new(),
            set: designated(),
        }
    }
}

fn designated() -> String {
    "designated".into()
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Id within the policy.
    pub id: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Units concerned.
    #[serde(default)]
    pub scope: Scope,
    /// Binding from this date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<When>,
    /// To be reached by this date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<When>,
    /// Units of a cap: `sites`, `traffic`, `customers`, `population`; several must all hold.
    #[serde(default)]
    pub units: Vec<String>,
    /// `network` or `region`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// Cap, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<f64>,
    /// Category of protected places; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<String>,
    /// Radius for places that state none, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius_m: Option<f64>,
    /// Number of vendors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Largest share that any `n - 1` vendors may hold together (0.95 when not stated).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
    /// Years an authorisation lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_years: Option<f64>,
    /// Whether it can be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewable: Option<bool>,
    /// What the text says beyond the fields.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Id.
    pub id: String,
    /// Revision of this entry.
    pub revision: u32,
    /// One line.
    pub title: String,
    /// Country or body whose text it is; empty for an archetype.
    #[serde(default)]
    pub jurisdiction: String,
    /// Whom it binds, and how.
    #[serde(default)]
    pub binding: String,
    /// Where it can be read.
    #[serde(default)]
    pub sources: Vec<String>,
    /// What is not stated in the sources and was chosen here.
    #[serde(default)]
    pub assumptions: Vec<String>,
    /// The rules.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

impl Policy {
    /// Reads a policy in TOML and checks every rule.
    ///
    /// # Errors
    /// Names the rule and field that cannot be used.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let p: Self = toml::from_str(text).map_err(|e| Error::format(name, e.to_string()))?;
        p.check()?;
        Ok(p)
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// The file cannot be read, or see [`Policy::parse`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = files::read(path, 16 << 20)?;
        Self::parse(&path.display().to_string(), &String::from_utf8_lossy(&bytes))
    }

    fn check(&self) -> Result<(), Error> {
        let mut seen = std::collections::BTreeSet::new();
        for r in &self.rules {
            let bad = |reason: String| {
                Err(Error::Rule { policy: self.id.clone(), rule: r.id.clone(), reason })
            };
            if !seen.insert(&r.id) {
                return bad("the id occurs twice".into());
            }
            if let Some(s) = r.scope.segments.iter().find(|s| Segment::parse(s).is_none()) {
                return bad(format!(
                    "unknown segment {s:?}; use core, management, transport, ran, access-fixed or other"
                ));
            }
            if !["designated", "fail", "unknown", "all"].contains(&r.scope.set.as_str()) {
                return bad(format!(
                    "unknown set {:?}; use designated, fail, unknown or all",
                    r.scope.set
                ));
            }
            if let Some(u) = r.units.iter().find(|u| unit(u).is_none()) {
                return bad(format!(
                    "unknown unit {u:?}; use sites, traffic, customers or population"
                ));
            }
            if r.area.as_deref().is_some_and(|a| a != "network" && a != "region") {
                return bad("unknown area; use network or region".into());
            }
            for (name, v) in [("cap", r.cap), ("ceiling", r.ceiling)] {
                if v.is_some_and(|v| !(0.0..=1.0).contains(&v)) {
                    return bad(format!("{name} must be 0 to 1"));
                }
            }
            if r.radius_m.is_some_and(|v| !(0.0..=1e6).contains(&v)) {
                return bad("radius_m must be 0 to 1000000".into());
            }
            match r.kind {
                Kind::ShareCap if r.cap.is_none() || r.units.is_empty() => {
                    return bad(
                        "a share cap needs cap and units: the unit changes the answer".into()
                    );
                }
                Kind::ExcludeFunction
                    if r.scope.functions.is_empty() && r.scope.segments.is_empty() =>
                {
                    return bad("needs scope.functions or scope.segments".into());
                }
                Kind::MinVendors if r.n.is_none_or(|n| !(2..=4).contains(&n)) => {
                    return bad("needs n, 2 to 4".into());
                }
                Kind::Remove if r.by.is_none() => return bad("needs by".into()),
                Kind::TrustedList | Kind::StopBuy | Kind::NoNewInstall if r.from.is_none() => {
                    return bad("needs from".into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The weight a unit of a cap stands for.
#[must_use]
pub fn unit(name: &str) -> Option<Weight> {
    match name {
        "sites" | "base_stations" => Some(Weight::Sites),
        "traffic" => Some(Weight::Traffic),
        "customers" | "premises" => Some(Weight::Customers),
        "population" => Some(Weight::Population),
        _ => None,
    }
}

/// The designated set, and dates of events that rules refer to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Vendors on the user's list.
    #[serde(default)]
    pub vendors: Vec<String>,
    /// Products on the user's list.
    #[serde(default)]
    pub products: Vec<String>,
    /// Whether units that fail requirements are designated.
    #[serde(default)]
    pub failing: bool,
    /// Events such as `designation`, with their dates. `T0` is the start of the plan.
    #[serde(default)]
    pub events: BTreeMap<String, Date>,
}

/// A policy bound to an inventory: which units count as what.
#[derive(Debug)]
pub struct Bound<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The inventory.
    pub inventory: &'a Inventory,
    /// Status of each device.
    pub status: &'a [Status],
    /// Whether each device is designated: certainly, and when unknown counts as failing.
    pub designated: [Vec<bool>; 2],
    /// Start of the plan.
    pub start: Date,
    events: BTreeMap<String, Date>,
}

impl<'a> Bound<'a> {
    /// Applies the binding to the inventory.
    ///
    /// # Errors
    /// A rule refers to an event without a date.
    pub fn new(
        policy: &'a Policy,
        inventory: &'a Inventory,
        status: &'a [Status],
        binding: &Binding,
        start: Date,
    ) -> Result<Self, Error> {
        let mut events = binding.events.clone();
        events.insert("T0".into(), start);
        let listed = |d: &Device| {
            let on = |list: &[String], s| list.iter().any(|x| x == inventory.text(s));
            (d.vendor.is_some() && on(&binding.vendors, d.vendor))
                || (d.product.is_some() && on(&binding.products, d.product))
        };
        let one = |unknown: bool| -> Vec<bool> {
            inventory
                .devices
                .iter()
                .zip(status)
                .map(|(d, s)| {
                    // A device without vendor may be on any list of vendors.
                    let nameless = unknown && d.vendor.is_none() && !binding.vendors.is_empty();
                    listed(d)
                        || nameless
                        || (binding.failing
                            && (*s == Status::Fail || (unknown && *s == Status::Unknown)))
                })
                .collect()
        };
        let out =
            Self { policy, inventory, status, designated: [one(false), one(true)], start, events };
        for r in &policy.rules {
            for when in [&r.from, &r.by].into_iter().flatten() {
                out.date(r, when)?;
            }
        }
        Ok(out)
    }

    /// The date of a rule.
    ///
    /// # Errors
    /// The event is not known.
    pub fn date(&self, rule: &Rule, when: &When) -> Result<Date, Error> {
        match when {
            When::On(d) => Ok(*d),
            When::After { event, months } => {
                self.events.get(event).map(|d| d.plus_months(*months)).ok_or_else(|| Error::Rule {
                    policy: self.policy.id.clone(),
                    rule: rule.id.clone(),
                    reason: format!(
                        "needs the date of the event {event:?}; state it in the binding"
                    ),
                })
            }
        }
    }

    /// The date by which a rule has to be kept (`by`, else `from`, else at once).
    ///
    /// # Errors
    /// The event is not known.
    pub fn due(&self, rule: &Rule) -> Result<Date, Error> {
        match rule.by.as_ref().or(rule.from.as_ref()) {
            Some(w) => self.date(rule, w),
            None => Ok(self.start),
        }
    }

    /// Whether a device lies in the scope of a rule, the designated set not looked at.
    #[must_use]
    pub fn in_scope(&self, rule: &Rule, device: usize) -> bool {
        let d = &self.inventory.devices[device];
        let s = &rule.scope;
        let text = |x| self.inventory.text(x);
        (s.segments.is_empty() || s.segments.iter().any(|n| Segment::parse(n) == Some(d.segment)))
            && (s.generations.is_empty()
                || s.generations
                    .iter()
                    .any(|g| text(d.generation).to_uppercase().contains(&g.to_uppercase())))
            && (s.functions.is_empty()
                || s.functions.iter().any(|f| {
                    f.eq_ignore_ascii_case(text(d.function)) || Segment::parse(f) == Some(d.segment)
                }))
    }

    /// Whether a rule applies to a device as it stands; `unknown` counts unknown as failing.
    #[must_use]
    pub fn hits(&self, rule: &Rule, device: usize, unknown: bool) -> bool {
        let set = match rule.scope.set.as_str() {
            "all" => true,
            "fail" => {
                self.status[device] == Status::Fail
                    || (unknown && self.status[device] == Status::Unknown)
            }
            "unknown" => self.status[device] == Status::Unknown,
            _ => self.designated[usize::from(unknown)][device],
        };
        set && self.in_scope(rule, device)
    }

    /// Sites in the protected places of a rule.
    #[must_use]
    pub fn places(&self, rule: &Rule, grid: &crate::exposure::spatial::Grid) -> Vec<bool> {
        let mut out = vec![false; self.inventory.sites.len()];
        let near =
            crate::exposure::spatial::near(self.inventory, grid, rule.radius_m.unwrap_or(1000.0));
        for (p, sites) in self.inventory.protected.iter().zip(near) {
            if rule.places.as_ref().is_none_or(|c| *c == p.category) {
                for (s, _) in sites {
                    out[s as usize] = true;
                }
            }
        }
        if rule.places.is_none() {
            for (o, s) in out.iter_mut().zip(&self.inventory.sites) {
                *o |= s.sensitive;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_cannot_be_used_are_named() {
        let policy = |rule: &str| {
            Policy::parse("p", &format!("id='p'\nrevision=1\ntitle='t'\n[[rule]]\nid='r'\n{rule}"))
        };
        assert!(policy("type='share_cap'\ncap=0.35\nunits=['traffic']").is_ok());
        for bad in [
            "type='share_cap'\ncap=0.35",
            "type='share_cap'\ncap=1.35\nunits=['traffic']",
            "type='share_cap'\ncap=0.35\nunits=['bananas']",
            "type='remove'",
            "type='remove'\nby='some day'",
            "type='remove'\nby='2027-13-45'",
            "type='exclude_function'",
            "type='min_vendors'",
            "type='stop_buy'",
            "type='nonsense'",
            "type='remove'\nby='T0+1y'\nscope={set='friends'}",
            "type='remove'\nby='T0+1y'\nscope={segments=['moon']}",
        ] {
            assert!(policy(bad).is_err(), "{bad}");
        }
    }
}
