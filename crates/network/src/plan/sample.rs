//! Made-up planning problems of a given size, for measurements and tests.
//!
//! The shape follows section 7 of the decision model: sites in towns, split into single-vendor
//! clusters and work regions, 58 % of the clusters with a vendor whose products fail, two compliant
//! target vendors that have to be onboarded, five periods, one job per site (radio and transport in
//! one visit), and money and crews about 12 % above what a full swap needs.

use super::instance::{Choice, Cluster, Instance, Job, NONE, Platform, Row};
use super::search::Random;
use crate::date::Date;
use crate::inventory::{Device, Inventory, Link, Segment, Site, Sym};

/// Which policy the sample is planned under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Core and protected sites out by the second period, at most 35 % of traffic from the third.
    Cap,
    /// Everything out within five periods.
    Full,
}

/// Size of a made-up operator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operator {
    /// Sites.
    pub sites: usize,
    /// Share of the radio clusters with vendor `A`; the others have `B` and `C`.
    pub share: f64,
    /// Cores from `A`, of eight functions each.
    pub cores: usize,
    /// First and last year of installation, spread evenly.
    pub installed: (i32, i32),
}

/// An inventory of a given size: sites in rows of clusters of 30, each with a baseband for 4G, one
/// for 5G, three radios and a router of one vendor; product and release carry the vendor's name.
#[must_use]
pub fn operator(o: &Operator) -> Inventory {
    let mut inv = Inventory::default();
    let mut name = |t: &str| Some(inv.names.intern(t));
    let region = name("all");
    let vendors = [name("A"), name("B"), name("C")];
    let release = name("1.0");
    let (amf, bb4, bb5, rru, csr) =
        (name("amf"), name("bbu4g"), name("bbu5g"), name("rru"), name("csr"));
    let cluster: Vec<Option<Sym>> = (0..=o.sites / 30).map(|c| name(&format!("C{c}"))).collect();
    let blank = Site {
        name: String::new(),
        latitude: None,
        longitude: None,
        region,
        geotype: None,
        structure: None,
        cluster: None,
        tower_load_pct: None,
        power_headroom_w: None,
        population: Some(2000.0),
        customers: Some(1000.0),
        traffic: Some(100.0),
        access: 0xfff,
        sensitive: false,
    };
    let unit = |name: String, site: usize, vendor, segment, function, year: i32| Device {
        name,
        site: site as u32,
        role: None,
        vendor,
        product: vendor,
        release,
        segment,
        function,
        generation: None,
        coupling: None,
        installed: Date::new(year, 7, 1),
        end_of_support: None,
        traffic_share: None,
    };
    let (first, last) = o.installed;
    for s in 0..o.sites {
        let c = s / 30;
        inv.sites.push(Site {
            name: format!("s{s}"),
            latitude: Some(48.0 + 0.02 * (c / 40) as f64 + 0.003 * (s % 30 / 6) as f64),
            longitude: Some(8.0 + 0.02 * (c % 40) as f64 + 0.003 * (s % 6) as f64),
            cluster: cluster[c],
            ..blank.clone()
        });
        // A share of every run of clusters, evenly spread.
        let own = ((c + 1) as f64 * o.share) as usize > (c as f64 * o.share) as usize;
        let v = vendors[if own { 0 } else { 1 + c % 2 }];
        let year = first + (s as i32 * 7 + c as i32) % (last - first + 1).max(1);
        for (k, (segment, function)) in [
            (Segment::Ran, bb4),
            (Segment::Ran, bb5),
            (Segment::Ran, rru),
            (Segment::Ran, rru),
            (Segment::Ran, rru),
            (Segment::Transport, csr),
        ]
        .into_iter()
        .enumerate()
        {
            inv.devices.push(unit(format!("s{s}-{k}"), s, v, segment, function, year));
        }
    }
    // Sites hang on the first of their cluster, clusters on two others, the first ten on the centre.
    for s in 0..o.sites {
        let head = s / 30 * 30;
        let ends: &[usize] = match s - head {
            0 if s / 30 < 10 => &[o.sites],
            0 => &[head - 30, head - 300],
            _ => &[head],
        };
        for &b in ends {
            inv.links.push(Link {
                label: String::new(),
                a: s as u32,
                b: b as u32,
                length_km: Some(1.0),
                medium: None,
                srlg: None,
            });
        }
    }
    // Somebody to buy from, in every segment.
    inv.sites.push(Site { name: "centre".into(), ..blank });
    let centre = o.sites;
    for k in 0..8 * o.cores {
        let year = first + k as i32 % (last - first + 1).max(1);
        inv.devices.push(unit(format!("core{k}"), centre, vendors[0], Segment::Core, amf, year));
    }
    for (k, v) in [1, 2].into_iter().enumerate() {
        for (segment, function) in
            [(Segment::Core, amf), (Segment::Transport, csr), (Segment::Ran, bb4)]
        {
            let name = format!("{}-{k}", segment.name());
            inv.devices.push(unit(name, centre, vendors[v], segment, function, last));
        }
    }
    inv
}

/// Splits points by the median of the wider side until no part has more than `most`.
fn split(points: &[(f64, f64)], ids: Vec<u32>, most: usize, out: &mut Vec<Vec<u32>>) {
    if ids.len() <= most {
        out.push(ids);
        return;
    }
    let mut ids = ids;
    let side = |f: fn(&(f64, f64)) -> f64| {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for i in &ids {
            let v = f(&points[*i as usize]);
            low = low.min(v);
            high = high.max(v);
        }
        high - low
    };
    let wide = side(|p| p.0) >= side(|p| p.1);
    ids.sort_by(|a, b| {
        let (p, q) = (points[*a as usize], points[*b as usize]);
        let by = if wide { p.0.total_cmp(&q.0) } else { p.1.total_cmp(&q.1) };
        by.then(a.cmp(b))
    });
    let right = ids.split_off(ids.len() / 2);
    split(points, ids, most, out);
    split(points, right, most, out);
}

/// A problem over `sites` sites; costs are in thousands.
#[must_use]
pub fn network(sites: usize, policy: Policy, seed: u64) -> Instance {
    let mut r = Random(seed);
    let t = 5;
    let discount = |s: usize| 1.05f64.powi(-(s as i32));
    let towns: Vec<(f64, f64)> =
        (0..(sites / 60).max(3)).map(|_| (r.unit() * 10.0, r.unit() * 10.0)).collect();
    let points: Vec<(f64, f64)> = (0..sites)
        .map(|_| {
            // Larger towns come first in the list.
            let k = (r.unit().powi(3) * towns.len() as f64) as usize;
            let spread = 0.3 * (1.0 - r.unit()).ln().abs();
            let angle = r.unit() * std::f64::consts::TAU;
            (towns[k].0 + spread * angle.cos(), towns[k].1 + spread * angle.sin())
        })
        .collect();
    let all: Vec<u32> = (0..sites as u32).collect();
    let mut clusters = Vec::new();
    split(&points, all, 33, &mut clusters);
    // Clusters come out in order of space: a run of them is a region.
    let regions = (sites / 1000).max(2);
    let mut p = Instance {
        periods: t,
        regions,
        platforms: vec![
            Platform { onboard: (0..t).map(|s| 3000.0 * discount(s)).collect(), lag: 0 },
            Platform { onboard: (0..t).map(|s| 2500.0 * discount(s)).collect(), lag: 0 },
        ],
        ..Instance::default()
    };
    let mut traffic = Vec::new();
    let mut kept_traffic = 0.0;
    let core = 4;
    for _ in 0..core {
        let spend = 500.0 + 500.0 * r.unit();
        p.jobs.push(Job {
            cluster: NONE,
            region: 0,
            first: p.choices.len() as u32,
            count: 1,
            keep: f64::INFINITY,
            member: 0,
        });
        p.choices.push(Choice {
            platform: NONE,
            opens: false,
            member: 0,
            spend,
            crew: 0.0,
            outage: 0.0,
            cost: (0..t).map(|s| if s < 2 { spend * discount(s) } else { f64::INFINITY }).collect(),
        });
        traffic.push(0.0);
    }
    p.groups.push((0..core as u32).collect());
    let mut need_crew = vec![0.0; regions];
    let mut need_money = 0.0;
    let count = clusters.len();
    for (k, members) in clusters.into_iter().enumerate() {
        let region = (k * regions / count) as u32;
        if r.unit() >= 0.58 {
            kept_traffic += members.iter().map(|_| 1.0 / (0.05 + r.unit())).sum::<f64>();
            continue;
        }
        let c = p.clusters.len() as u32;
        let mobilise = 100.0 + 100.0 * r.unit();
        p.clusters.push(Cluster {
            open: (0..t).map(|s| mobilise * discount(s)).collect(),
            max_open: 5,
            group: 0,
            home: NONE,
        });
        let prefer = [0.95 + 0.1 * r.unit(), 0.95 + 0.1 * r.unit()];
        for _ in members {
            let weight = 1.0 / (0.05 + r.unit());
            let customers = 600.0 * weight * (0.5 + r.unit());
            let spend = 90.0 + 80.0 * r.unit();
            let crew = 0.9 + 0.8 * r.unit();
            let outage = (240.0 + 400.0 * r.unit()) * customers * 0.4;
            let refresh = r.below(10);
            let protected = r.unit() < 0.04;
            need_crew[region as usize] += crew;
            need_money += spend;
            let by = match policy {
                Policy::Full => t,
                Policy::Cap if protected => 2,
                Policy::Cap => t,
            };
            let must = policy == Policy::Full || protected;
            p.jobs.push(Job {
                cluster: c,
                region,
                first: p.choices.len() as u32,
                count: 2,
                keep: if must { f64::INFINITY } else { 0.0 },
                member: 1,
            });
            traffic.push(weight);
            for (v, factor) in prefer.iter().enumerate() {
                let spend = spend * factor;
                let cost = (0..t)
                    .map(|s| {
                        if s >= by {
                            return f64::INFINITY;
                        }
                        // Life of eight periods; the refresh that is saved is credited.
                        let credit = if refresh < 8 {
                            let early = refresh.saturating_sub(s) as f64;
                            0.8 * spend * discount(refresh) * (1.0 - early / 8.0)
                        } else {
                            0.0
                        };
                        spend * discount(s) - credit + 1e-5 * outage * discount(s)
                    })
                    .collect();
                p.choices.push(Choice {
                    platform: v as u32,
                    opens: true,
                    member: 0,
                    spend,
                    crew,
                    outage,
                    cost,
                });
            }
        }
    }
    // Radio waits for the core, so four periods have to carry it.
    let slack = 1.12;
    p.money = vec![need_money * slack / 4.0 + 4000.0; t];
    p.crews = need_crew.iter().flat_map(|c| vec![c * slack / 4.0; t]).collect();
    p.disruption = vec![f64::INFINITY; t * regions];
    let total: f64 = traffic.iter().sum::<f64>() + kept_traffic;
    if policy == Policy::Cap {
        for s in 2..t {
            let mut coefficient = vec![0.0; t];
            coefficient[s] = 1.0;
            p.rows.push(Row { set: 0, coefficient, limit: 0.35 * total, rule: 0 });
        }
    }
    p.weights = vec![traffic];
    p
}
