//! Where the network is exposed, computed without optimisation.
//!
//! A site *fails* when a unit of it fails the requirements asked for. Traffic *can* pass a failing
//! unit when one stands at its own site or at any site on some simple path to a core site; it
//! *must* when one stands at its own site or at a site that no path avoids (a dominator); it *does*
//! when one stands on the shortest path. All three are exact at the level of sites. Every figure
//! is given for unknown = pass and unknown = fail.

pub mod disjoint;
pub mod graph;
pub mod spatial;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use crate::Interval;
use crate::evidence::{Evidence, Status};
use crate::inventory::{Device, Inventory, Segment, Sym};
use graph::{Graph, NONE, Tree};
use spatial::Grid;

/// What a share is a share of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Each site counts one.
    Sites,
    /// Gigabytes a day.
    Traffic,
    /// Customers.
    Customers,
    /// Population served.
    Population,
}

impl Weight {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sites, Self::Traffic, Self::Customers, Self::Population];

    /// Weight of a site, if it is known.
    #[must_use]
    pub fn of(self, s: &crate::inventory::Site) -> Option<f64> {
        match self {
            Self::Sites => Some(1.0),
            Self::Traffic => s.traffic,
            Self::Customers => s.customers,
            Self::Population => s.population,
        }
    }
}

/// Share of the weight of all sites in `inside`, where a missing weight lies between nothing and
/// the largest that occurs. `low`/`high` are the sets under unknown = pass / unknown = fail.
fn share(inventory: &Inventory, weight: Weight, low: &[bool], high: &[bool]) -> Interval {
    let most = inventory.sites.iter().filter_map(|s| weight.of(s)).fold(0.0, f64::max);
    let part = |set: &[bool], up: bool| {
        let (mut a, mut b) = (0.0, 0.0);
        for (s, inside) in inventory.sites.iter().zip(set) {
            // The missing weight that makes the share small stands outside the set.
            let w = weight.of(s).unwrap_or(if *inside == up { most } else { 0.0 });
            if *inside { a += w } else { b += w }
        }
        if a + b > 0.0 { a / (a + b) } else { 0.0 }
    };
    Interval { low: part(low, false), high: part(high, true) }
}

/// Shares by weight.
pub type Shares = BTreeMap<Weight, Interval>;

/// Exposure by reach.
#[derive(Debug, Clone, Serialize)]
pub struct Reach {
    /// Can pass a failing unit.
    pub can: Shares,
    /// No path avoids one.
    pub must: Shares,
    /// Passes one on the shortest path.
    pub does: Shares,
    /// Has one at its own site.
    pub own: Shares,
}

/// A protected place and what stands near it.
#[derive(Debug, Clone, Serialize)]
pub struct Colocation {
    /// Name of the place.
    pub place: String,
    /// Its category.
    pub category: String,
    /// Sites within the radius or zone.
    pub sites: usize,
    /// Of them, with a failing unit: unknown = pass, unknown = fail.
    pub failing: Interval,
    /// Traffic of the failing sites, gigabytes a day.
    pub traffic: Interval,
    /// Metres to the nearest site with a failing unit, within the radius.
    pub nearest_m: Option<f64>,
    /// Nearest site with a name, which serves the place.
    pub served_by: Option<String>,
    /// Failing sites elsewhere that no path of the serving site avoids, with the distance in
    /// kilometres from the place: the logical co-location.
    pub depends_on: Vec<(String, f64)>,
}

/// Concentration of a segment.
#[derive(Debug, Clone, Serialize)]
pub struct Concentration {
    /// Segment.
    pub segment: Segment,
    /// What the shares are shares of.
    pub weight: Weight,
    /// Share by vendor, largest first; a unit without vendor counts as `unknown`.
    pub vendors: Vec<(String, f64)>,
    /// Herfindahl-Hirschman index of vendors, 0 to 10,000; the interval joins the unknown to the
    /// largest vendor (high) or spreads it thin (low).
    pub hhi: Interval,
    /// Effective number of vendors, `10,000 / HHI`.
    pub effective: Interval,
    /// Largest releases by share: a bug lives in a release.
    pub releases: Vec<(String, f64)>,
    /// Effective number of releases.
    pub effective_releases: f64,
}

/// What goes dark when one thing fails.
#[derive(Debug, Clone, Serialize)]
pub struct Blast {
    /// `site`, `vendor`, `release` or `component`.
    pub kind: &'static str,
    /// Name.
    pub name: String,
    /// Customers cut off from every core site, or whose own radio fails.
    pub customers: f64,
    /// Traffic cut off, gigabytes a day.
    pub traffic: f64,
    /// Sites cut off.
    pub sites: usize,
}

/// A vulnerable component across vendors.
#[derive(Debug, Clone, Serialize)]
pub struct Common {
    /// Component as `name version`.
    pub component: String,
    /// Share of traffic served by units with it, with units without SBOM as the interval.
    pub traffic: Interval,
    /// Vendors that ship it.
    pub vendors: Vec<String>,
}

/// Everything about exposure.
#[derive(Debug, Clone, Serialize)]
pub struct Exposure {
    /// Requirements asked for; empty: all that have a verdict.
    pub requirements: Vec<String>,
    /// Devices that pass, fail, are unknown.
    pub devices: [usize; 3],
    /// Exposure by reach.
    pub reach: Reach,
    /// Protected places with a site near them or a dependence, in input order.
    pub colocation: Vec<Colocation>,
    /// Places with at least one failing unit within the radius.
    pub exposed_places: Interval,
    /// Concentration by segment and weight.
    pub concentration: Vec<Concentration>,
    /// Effective diversity of radio vendors when shared components are discounted, next to `1/HHI`.
    pub effective_diversity: Option<f64>,
    /// Largest blast radii of sites, all vendors, releases and components.
    pub blast: Vec<Blast>,
    /// Sites whose loss parts the network.
    pub articulation_points: usize,
    /// Links whose loss parts the network.
    pub bridges: usize,
    /// Vulnerable components by exposed traffic, largest first.
    pub components: Vec<Common>,
    /// Sites that no path joins to a core site.
    pub unreachable: Vec<String>,
}

/// What to compute.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requirements that count; empty: all with a verdict.
    pub requirements: Vec<String>,
    /// Radius for protected points that state none, metres.
    pub radius_m: f64,
    /// How many of each kind of blast radius and component to list.
    pub top: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { requirements: Vec::new(), radius_m: 1000.0, top: 20 }
    }
}

/// Whether traffic of other sites goes through this unit.
pub(crate) fn carries(d: &Device) -> bool {
    matches!(d.segment, Segment::Transport | Segment::Core | Segment::Other)
}

/// Core sites: those with a core function; without any, those in the group or geotype `core`/`dc`;
/// without any, all sites with the most links.
#[must_use]
pub fn core_sites(inventory: &Inventory) -> Vec<u32> {
    let mut of: Vec<u32> =
        inventory.devices.iter().filter(|d| d.segment == Segment::Core).map(|d| d.site).collect();
    if of.is_empty() {
        of = (0u32..)
            .zip(&inventory.sites)
            .filter(|(_, s)| matches!(inventory.text(s.geotype), "dc" | "core"))
            .map(|(i, _)| i)
            .collect();
    }
    if of.is_empty() {
        let mut degree = vec![0u32; inventory.sites.len()];
        for l in &inventory.links {
            degree[l.a as usize] += 1;
            degree[l.b as usize] += 1;
        }
        let most = degree.iter().copied().max().unwrap_or(0);
        of = (0u32..)
            .zip(&degree)
            .filter(|(_, d)| **d == most && most > 0)
            .map(|(i, _)| i)
            .collect();
    }
    of.sort_unstable();
    of.dedup();
    of
}

/// Sites that have a unit for which `f` holds.
#[must_use]
pub fn sites_with(inventory: &Inventory, f: impl Fn(usize, &Device) -> bool) -> Vec<bool> {
    let mut out = vec![false; inventory.sites.len()];
    for (i, d) in inventory.devices.iter().enumerate() {
        if f(i, d) {
            out[d.site as usize] = true;
        }
    }
    out
}

/// Sites where all units that carry traffic are in the set (and there is one).
fn sites_down(inventory: &Inventory, f: impl Fn(usize, &Device) -> bool) -> Vec<bool> {
    let mut some = vec![false; inventory.sites.len()];
    let mut other = vec![false; inventory.sites.len()];
    for (i, d) in inventory.devices.iter().enumerate() {
        if carries(d) {
            let slot = if f(i, d) { &mut some } else { &mut other };
            slot[d.site as usize] = true;
        }
    }
    some.iter().zip(&other).map(|(s, o)| *s && !*o).collect()
}

/// Computes all metrics.
#[must_use]
pub fn measure(inventory: &Inventory, evidence: &Evidence, options: &Options) -> Exposure {
    let status = evidence.statuses(inventory, &options.requirements);
    let graph = Graph::new(inventory, core_sites(inventory));
    let tree = graph.tree();
    let grid = Grid::new(inventory);
    let (points, bridges) = graph.cuts();
    let colocation = colocation(inventory, &status, &tree, &grid, options.radius_m);
    let count = |s: Status| status.iter().filter(|x| **x == s).count();
    let exposed =
        |f: fn(Interval) -> f64| colocation.iter().filter(|c| f(c.failing) > 0.0).count() as f64;
    let (components, effective_diversity) = components(inventory, evidence, options.top);
    Exposure {
        requirements: options.requirements.clone(),
        devices: [count(Status::Pass), count(Status::Fail), count(Status::Unknown)],
        reach: reach(inventory, &status, &graph, &tree),
        exposed_places: Interval { low: exposed(|i| i.low), high: exposed(|i| i.high) },
        concentration: concentration(inventory),
        effective_diversity,
        blast: blast(inventory, evidence, &graph, &tree, options.top),
        articulation_points: points.len(),
        bridges: bridges.len(),
        components,
        unreachable: inventory
            .sites
            .iter()
            .zip(&tree.reached)
            .filter(|(_, r)| !**r)
            .map(|(s, _)| s.name.clone())
            .collect(),
        colocation,
    }
}

fn reach(inventory: &Inventory, status: &[Status], graph: &Graph, tree: &Tree) -> Reach {
    let toward = graph.shortest();
    let sets = |fails: &dyn Fn(Status) -> bool| {
        let own = sites_with(inventory, |i, _| fails(status[i]));
        let transit = sites_with(inventory, |i, d| carries(d) && fails(status[i]));
        let any = |above: Vec<bool>| -> Vec<bool> {
            above.iter().zip(&own).map(|(a, o)| *a || *o).collect()
        };
        let can = any(tree.marked_around(&transit));
        // Where a site has a failing unit beside a passing one, its own units decide for itself
        // but traffic of others may take the passing one.
        let forced = sites_down(inventory, |i, _| fails(status[i]));
        let must = any(tree.marked_above(&forced));
        let mut does = own.clone();
        let mut known: Vec<u8> = transit.iter().map(|t| if *t { 2 } else { 0 }).collect();
        for start in 0..toward.len() {
            // Walk home until an answer is known, then write it along the way.
            let mut at = start as u32;
            let mut way = Vec::new();
            let answer = loop {
                match known[at as usize] {
                    0 => {}
                    k => break k,
                }
                way.push(at);
                match toward[at as usize] {
                    NONE => break 1,
                    next => at = next,
                }
            };
            for v in way {
                known[v as usize] = answer;
            }
        }
        for (d, k) in does.iter_mut().zip(&known) {
            *d |= *k == 2;
        }
        [can, must, does, own]
    };
    let low = sets(&|s| s == Status::Fail);
    let high = sets(&|s| s != Status::Pass);
    let shares = |k: usize| {
        Weight::ALL.iter().map(|w| (*w, share(inventory, *w, &low[k], &high[k]))).collect()
    };
    Reach { can: shares(0), must: shares(1), does: shares(2), own: shares(3) }
}

fn colocation(
    inventory: &Inventory,
    status: &[Status],
    tree: &Tree,
    grid: &Grid,
    radius_m: f64,
) -> Vec<Colocation> {
    let low = sites_with(inventory, |i, _| status[i] == Status::Fail);
    let high = sites_with(inventory, |i, _| status[i] != Status::Pass);
    let transit = sites_down(inventory, |i, _| status[i] == Status::Fail);
    let position = |s: u32| {
        let s = &inventory.sites[s as usize];
        s.longitude.zip(s.latitude)
    };
    let near = spatial::near(inventory, grid, radius_m);
    inventory
        .protected
        .iter()
        .zip(near)
        .map(|(place, sites)| {
            let centre = match &place.shape {
                crate::inventory::Shape::Point { at, .. } => *at,
                crate::inventory::Shape::Zone(rings) => rings[0][0],
            };
            let traffic = |set: &[bool]| -> f64 {
                sites
                    .iter()
                    .filter(|(s, _)| set[*s as usize])
                    .filter_map(|(s, _)| inventory.sites[*s as usize].traffic)
                    .sum()
            };
            let count =
                |set: &[bool]| sites.iter().filter(|(s, _)| set[*s as usize]).count() as f64;
            // The serving site: the nearest one, looked for in growing circles.
            let serving = [1e3, 5e3, 25e3, 125e3].iter().find_map(|r| {
                grid.within(centre, *r).into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|x| x.0)
            });
            let mut depends_on = Vec::new();
            let mut at = serving.map_or(NONE, |s| tree.dominator[s as usize]);
            while at != NONE {
                if transit[at as usize]
                    && let Some(p) = position(at)
                {
                    let name = inventory.sites[at as usize].name.clone();
                    depends_on.push((name, spatial::haversine(centre, p) / 1000.0));
                }
                at = tree.dominator[at as usize];
            }
            Colocation {
                place: place.name.clone(),
                category: place.category.clone(),
                sites: sites.len(),
                failing: Interval { low: count(&low), high: count(&high) },
                traffic: Interval { low: traffic(&low), high: traffic(&high) },
                nearest_m: sites
                    .iter()
                    .filter(|(s, _)| low[*s as usize])
                    .map(|(_, d)| *d)
                    .min_by(f64::total_cmp),
                served_by: serving.map(|s| inventory.sites[s as usize].name.clone()),
                depends_on,
            }
        })
        .collect()
}

/// Weight of each site spread over the names that `key` gives to its units of a segment, in equal
/// parts by distinct name.
fn spread(
    inventory: &Inventory,
    segment: Segment,
    weight: Weight,
    key: fn(&Device) -> Option<Sym>,
) -> BTreeMap<Option<Sym>, f64> {
    let by_site = inventory.devices_by_site();
    let mut out: BTreeMap<Option<Sym>, f64> = BTreeMap::new();
    for (i, s) in inventory.sites.iter().enumerate() {
        let names: BTreeSet<Option<Sym>> = by_site
            .of(i)
            .iter()
            .map(|d| &inventory.devices[*d as usize])
            .filter(|d| d.segment == segment)
            .map(key)
            .collect();
        let w = weight.of(s).unwrap_or(0.0) / names.len().max(1) as f64;
        for n in names {
            *out.entry(n).or_default() += w;
        }
    }
    out
}

/// Concentration of every segment that has units, by sites and traffic.
#[must_use]
pub fn concentration(inventory: &Inventory) -> Vec<Concentration> {
    let mut out = Vec::new();
    for segment in Segment::ALL {
        for weight in [Weight::Sites, Weight::Traffic] {
            let vendors = spread(inventory, segment, weight, |d| d.vendor);
            let total: f64 = vendors.values().sum();
            if total <= 0.0 {
                continue;
            }
            let named = |m: BTreeMap<Option<Sym>, f64>| {
                let mut v: Vec<(String, f64)> = m
                    .into_iter()
                    .map(|(s, w)| {
                        (
                            s.map_or("unknown".into(), |s| inventory.names.get(s).to_owned()),
                            w / total,
                        )
                    })
                    .collect();
                v.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
                v
            };
            let unknown = vendors.get(&None).copied().unwrap_or(0.0) / total;
            let known: Vec<f64> =
                vendors.iter().filter(|(k, _)| k.is_some()).map(|(_, w)| w / total).collect();
            let largest = known.iter().copied().fold(0.0, f64::max);
            let squares: f64 = known.iter().map(|s| s * s).sum();
            let hhi = Interval {
                low: 1e4 * squares,
                high: 1e4 * (squares + 2.0 * largest * unknown + unknown * unknown),
            };
            let over = |h: f64| if h > 0.0 { 1e4 / h } else { f64::INFINITY };
            let releases = named(spread(inventory, segment, weight, |d| d.release));
            let squares: f64 = releases.iter().map(|(_, s)| s * s).sum();
            out.push(Concentration {
                segment,
                weight,
                vendors: named(vendors),
                hhi,
                effective: Interval { low: over(hhi.high), high: over(hhi.low) },
                effective_releases: if squares > 0.0 { 1.0 / squares } else { 0.0 },
                releases,
            });
        }
    }
    out
}

fn blast(
    inventory: &Inventory,
    evidence: &Evidence,
    graph: &Graph,
    tree: &Tree,
    top: usize,
) -> Vec<Blast> {
    let customers: Vec<f64> = inventory.sites.iter().map(|s| s.customers.unwrap_or(0.0)).collect();
    let traffic: Vec<f64> = inventory.sites.iter().map(|s| s.traffic.unwrap_or(0.0)).collect();
    let ones = vec![1.0; customers.len()];
    let (c, t, n) = (tree.subtree(&customers), tree.subtree(&traffic), tree.subtree(&ones));
    let mut sites: Vec<u32> = tree.order.clone();
    sites.sort_by(|a, b| c[*b as usize].total_cmp(&c[*a as usize]).then(a.cmp(b)));
    let mut out: Vec<Blast> = sites
        .into_iter()
        .take(top)
        .map(|s| Blast {
            kind: "site",
            name: inventory.sites[s as usize].name.clone(),
            customers: c[s as usize],
            traffic: t[s as usize],
            sites: n[s as usize] as usize,
        })
        .collect();
    // A set of units fails at once: one reachability pass each.
    let together = |kind: &'static str,
                    name: &str,
                    hit: &(dyn Fn(usize, &Device) -> bool + Sync)| {
        let down = sites_down(inventory, hit);
        let radio = sites_with(inventory, |i, d| d.segment == Segment::Ran && hit(i, d));
        let left = graph.reach(&down);
        let lost = |i: usize| tree.reached[i] && (!left[i] || radio[i]);
        let sum = |w: &[f64]| w.iter().enumerate().filter(|(i, _)| lost(*i)).map(|(_, w)| w).sum();
        Blast {
            kind,
            name: name.to_owned(),
            customers: sum(&customers),
            traffic: sum(&traffic),
            sites: (0..ones.len()).filter(|i| lost(*i)).count(),
        }
    };
    let distinct = |key: fn(&Device) -> Option<Sym>| {
        let mut count: BTreeMap<Sym, usize> = BTreeMap::new();
        for s in inventory.devices.iter().filter_map(key) {
            *count.entry(s).or_default() += 1;
        }
        let mut v: Vec<(Sym, usize)> = count.into_iter().collect();
        v.sort_by_key(|(s, n)| (std::cmp::Reverse(*n), *s));
        v.truncate(top);
        v
    };
    let mut more: Vec<Blast> = distinct(|d| d.vendor)
        .into_par_iter()
        .map(|(s, _)| together("vendor", inventory.names.get(s), &|_, d| d.vendor == Some(s)))
        .collect();
    more.extend(
        distinct(|d| d.release)
            .into_par_iter()
            .map(|(s, _)| together("release", inventory.names.get(s), &|_, d| d.release == Some(s)))
            .collect::<Vec<_>>(),
    );
    let products = Products::new(inventory, evidence);
    more.extend(
        products
            .components(top)
            .into_par_iter()
            .map(|c| together("component", c, &|i, _| products.vulnerable(i, c)))
            .collect::<Vec<_>>(),
    );
    more.sort_by(|a, b| {
        (a.kind, &a.name).cmp(&(b.kind, &b.name)).then(b.customers.total_cmp(&a.customers))
    });
    out.append(&mut more);
    out
}

/// Records of the devices' products, looked up once per product and release.
struct Products<'a> {
    of: Vec<Option<&'a crate::evidence::Record>>,
}

impl<'a> Products<'a> {
    fn new(inventory: &Inventory, evidence: &'a Evidence) -> Self {
        let mut known: BTreeMap<(Sym, Sym), Option<&'a crate::evidence::Record>> = BTreeMap::new();
        let of = inventory
            .devices
            .iter()
            .map(|d| {
                let (p, r) = (d.product?, d.release?);
                *known
                    .entry((p, r))
                    .or_insert_with(|| evidence.get(inventory.names.get(p), inventory.names.get(r)))
            })
            .collect();
        Self { of }
    }

    fn vulnerable(&self, device: usize, component: &str) -> bool {
        self.of[device].is_some_and(|r| r.vulnerable.contains(component))
    }

    /// Vulnerable components by number of devices.
    fn components(&self, top: usize) -> Vec<&'a str> {
        let mut count: BTreeMap<&'a str, usize> = BTreeMap::new();
        for r in self.of.iter().flatten() {
            for c in &r.vulnerable {
                *count.entry(c).or_default() += 1;
            }
        }
        let mut v: Vec<(&str, usize)> = count.into_iter().collect();
        v.sort_by_key(|(c, n)| (std::cmp::Reverse(*n), *c));
        v.into_iter().take(top).map(|(c, _)| c).collect()
    }
}

fn components(
    inventory: &Inventory,
    evidence: &Evidence,
    top: usize,
) -> (Vec<Common>, Option<f64>) {
    let products = Products::new(inventory, evidence);
    let unknown =
        sites_with(inventory, |i, _| products.of[i].is_none_or(|r| r.components.is_empty()));
    let mut out: Vec<Common> = products
        .components(top)
        .into_iter()
        .map(|c| {
            let low = sites_with(inventory, |i, _| products.vulnerable(i, c));
            let high: Vec<bool> = low.iter().zip(&unknown).map(|(l, u)| *l || *u).collect();
            let vendors: BTreeSet<&str> = inventory
                .devices
                .iter()
                .enumerate()
                .filter(|(i, _)| products.vulnerable(*i, c))
                .map(|(_, d)| inventory.text(d.vendor))
                .collect();
            Common {
                component: c.to_owned(),
                traffic: share(inventory, Weight::Traffic, &low, &high),
                vendors: vendors.into_iter().map(str::to_owned).collect(),
            }
        })
        .collect();
    out.sort_by(|a, b| {
        b.traffic.low.total_cmp(&a.traffic.low).then_with(|| a.component.cmp(&b.component))
    });

    // Effective diversity of radio vendors: shares discounted by what their components share.
    let mut sets: BTreeMap<Sym, BTreeSet<&str>> = BTreeMap::new();
    for (d, r) in inventory.devices.iter().zip(&products.of) {
        if let (Segment::Ran, Some(v), Some(r)) = (d.segment, d.vendor, r) {
            sets.entry(v).or_default().extend(r.components.iter().map(String::as_str));
        }
    }
    let shares = spread(inventory, Segment::Ran, Weight::Traffic, |d| d.vendor);
    let total: f64 = shares.values().sum();
    let known: Vec<(f64, &BTreeSet<&str>)> = shares
        .iter()
        .filter_map(|(k, w)| Some((w / total, sets.get(&(*k)?).filter(|s| !s.is_empty())?)))
        .collect();
    let diversity = (total > 0.0 && !known.is_empty() && known.len() == shares.len()).then(|| {
        let mut sum = 0.0;
        for (a, sa) in &known {
            for (b, sb) in &known {
                let both = sa.intersection(sb).count() as f64;
                let any = sa.union(sb).count().max(1) as f64;
                sum += a * b * both / any;
            }
        }
        1.0 / sum
    });
    (out, diversity)
}
