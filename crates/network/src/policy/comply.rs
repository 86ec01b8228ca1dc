//! Compliance by rule and date, as the network stands or as a plan will leave it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Bound, Kind, Rule, unit};
use crate::date::Date;
use crate::evidence::Status;
use crate::exposure::disjoint::{Holders, cuts};
use crate::exposure::{self, Weight, graph::Graph, spatial::Grid};
use crate::inventory::Sym;
use crate::{Error, Interval};

/// What becomes of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Day by which it is out of every designated set, and its vendor from then on.
    pub replaced: Option<(Date, Option<Sym>)>,
    /// Day by which it is mitigated.
    pub mitigated: Option<Date>,
}

/// Answer for one rule at one date.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Policy id.
    pub policy: String,
    /// Rule id.
    pub rule: String,
    /// Type.
    pub kind: Kind,
    /// Date looked at.
    pub on: Date,
    /// Date by which it has to be kept.
    pub due: Date,
    /// Whether it binds at the date looked at.
    pub binding: bool,
    /// Whether it is kept: yes, no, or not known because of units without evidence.
    pub kept: Status,
    /// What is measured: units in breach, or a share of 0 to 1.
    pub measured: Interval,
    /// What it is measured against.
    pub limit: f64,
    /// Unit of the measure.
    pub unit: String,
    /// Devices in breach (with unknown = pass), at most [`LISTED`].
    pub breaches: Vec<String>,
}

/// Most devices listed per answer.
pub const LISTED: usize = 20;

/// Answers for every rule at `on`. `changes` holds what a plan does to each device, or is empty.
///
/// # Errors
/// A rule refers to an event without a date.
pub fn comply(b: &Bound<'_>, changes: &[Change], on: Date) -> Result<Vec<Answer>, Error> {
    let grid = Grid::new(b.inventory);
    let mut out = Vec::new();
    for rule in &b.policy.rules {
        let due = b.due(rule)?;
        let mut answer = |measured: Interval, limit: f64, unit: &str, breaches: Vec<String>| {
            let tiny = 1e-9;
            out.push(Answer {
                policy: b.policy.id.clone(),
                rule: rule.id.clone(),
                kind: rule.kind,
                on,
                due,
                binding: on >= due,
                kept: if measured.low > limit + tiny {
                    Status::Fail
                } else if measured.high > limit + tiny {
                    Status::Unknown
                } else {
                    Status::Pass
                },
                measured,
                limit,
                unit: unit.to_owned(),
                breaches,
            });
        };
        let change = |d: usize| changes.get(d).copied().unwrap_or_default();
        let replaced = |d: usize| change(d).replaced.filter(|c| c.0 <= on);
        let mitigated = |d: usize| change(d).mitigated.is_some_and(|m| m <= on);
        let hit = |d: usize, unknown: bool| replaced(d).is_none() && b.hits(rule, d, unknown);
        let vendor = |d: usize| replaced(d).map_or(b.inventory.devices[d].vendor, |c| c.1);
        match rule.kind {
            Kind::ShareCap => {
                for name in &rule.units {
                    let weight = unit(name).unwrap_or(Weight::Sites);
                    for (area, measured) in shares(b, rule, weight, &hit) {
                        let what = if area.is_empty() {
                            name.clone()
                        } else {
                            format!("{name} in {area}")
                        };
                        answer(measured, rule.cap.unwrap_or(1.0), &what, Vec::new());
                    }
                }
            }
            Kind::MinVendors => {
                let n = rule.n.unwrap_or(2) as usize;
                let mut shares = vendor_shares(b, rule, &vendor);
                shares.sort_by(|a, b| b.total_cmp(a));
                let top: f64 = shares.iter().take(n - 1).sum();
                answer(
                    Interval::exact(top),
                    rule.ceiling.unwrap_or(0.95),
                    "share of the largest vendors",
                    Vec::new(),
                );
            }
            Kind::DisjointPaths => {
                let graph = Graph::new(b.inventory, exposure::core_sites(b.inventory));
                let holders = Holders::new(b.inventory, vendor);
                let places = b.places(rule, &grid);
                let parted = |unknown: bool| -> BTreeSet<u32> {
                    cuts(&graph, &holders, &places, unknown).into_iter().map(|c| c.site).collect()
                };
                let low = parted(false);
                let high = parted(true).len().max(low.len());
                answer(
                    Interval { low: low.len() as f64, high: high as f64 },
                    0.0,
                    "protected sites",
                    low.iter()
                        .take(LISTED)
                        .map(|s| b.inventory.sites[*s as usize].name.clone())
                        .collect(),
                );
            }
            _ => {
                let places = (rule.kind == Kind::ExcludePlace).then(|| b.places(rule, &grid));
                let breach = |d: usize, unknown: bool| match rule.kind {
                    // Only what was put in after the date breaks it.
                    Kind::StopBuy | Kind::NoNewInstall | Kind::TrustedList => {
                        hit(d, unknown)
                            && b.inventory.devices[d].installed.map_or(unknown, |i| i >= due)
                            && on >= due
                    }
                    Kind::ExcludePlace => {
                        places.as_ref().is_some_and(|p| p[b.inventory.devices[d].site as usize])
                            && hit(d, unknown)
                    }
                    // Mitigated or gone.
                    Kind::Mitigate | Kind::Localise | Kind::LimitRemoteAccess => {
                        !mitigated(d) && hit(d, unknown)
                    }
                    // Disposal follows removal; it is a cost, not a state of the network.
                    Kind::Dispose => false,
                    _ => hit(d, unknown),
                };
                let n = b.inventory.devices.len();
                let low: Vec<usize> = (0..n).filter(|d| breach(*d, false)).collect();
                let high = (0..n).filter(|d| breach(*d, true)).count();
                answer(
                    Interval { low: low.len() as f64, high: high.max(low.len()) as f64 },
                    0.0,
                    "units",
                    low.iter().take(LISTED).map(|d| b.inventory.devices[*d].name.clone()).collect(),
                );
            }
        }
    }
    Ok(out)
}

/// Share of the weight of sites with units in scope that have one in the set, by area.
fn shares(
    b: &Bound<'_>,
    rule: &Rule,
    weight: Weight,
    hit: &dyn Fn(usize, bool) -> bool,
) -> Vec<(String, Interval)> {
    let inv = b.inventory;
    let sites = inv.sites.len();
    let mut scope = vec![false; sites];
    let mut set = [vec![false; sites], vec![false; sites]];
    for (d, x) in inv.devices.iter().enumerate() {
        let s = x.site as usize;
        if b.in_scope(rule, d) {
            scope[s] = true;
            set[0][s] |= hit(d, false);
            set[1][s] |= hit(d, true);
        }
    }
    let by_region = rule.area.as_deref() == Some("region");
    let mut areas: std::collections::BTreeMap<&str, [f64; 3]> = std::collections::BTreeMap::new();
    for (s, site) in inv.sites.iter().enumerate() {
        if scope[s] {
            let sums = areas.entry(if by_region { inv.text(site.region) } else { "" }).or_default();
            let w = weight.of(site).unwrap_or(0.0);
            sums[0] += w;
            sums[1] += if set[0][s] { w } else { 0.0 };
            sums[2] += if set[1][s] { w } else { 0.0 };
        }
    }
    areas
        .into_iter()
        .map(|(a, [total, low, high])| {
            let of = |x: f64| if total > 0.0 { x / total } else { 0.0 };
            (a.to_owned(), Interval { low: of(low), high: of(high) })
        })
        .collect()
}

/// Share of sites (in equal parts where a site has several) by vendor of the units in scope.
fn vendor_shares(b: &Bound<'_>, rule: &Rule, vendor: &dyn Fn(usize) -> Option<Sym>) -> Vec<f64> {
    let weight = rule.units.first().and_then(|u| unit(u)).unwrap_or(Weight::Sites);
    let mut sums: std::collections::BTreeMap<Option<Sym>, f64> = std::collections::BTreeMap::new();
    let by_site = b.inventory.devices_by_site();
    for (s, site) in b.inventory.sites.iter().enumerate() {
        let vendors: std::collections::BTreeSet<Option<Sym>> = by_site
            .of(s)
            .iter()
            .filter(|d| b.in_scope(rule, **d as usize))
            .map(|d| vendor(*d as usize))
            .collect();
        let w = weight.of(site).unwrap_or(0.0) / vendors.len().max(1) as f64;
        for v in vendors {
            *sums.entry(v).or_default() += w;
        }
    }
    let total: f64 = sums.values().sum();
    sums.into_values().map(|w| if total > 0.0 { w / total } else { 0.0 }).collect()
}
