//! From inventory, policy and costs to a planning problem.
//!
//! A *job* is what changes in one visit: the radio units of a site together with its failing
//! transport units (a choice may do one or both), or a single core, management or fixed unit.
//! Only units that a rule can reach become jobs; the rest counts in shares as it stands.

mod borders;
mod duties;
mod jobs;
mod price;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::instance::{Cluster, Decision, Instance, MAX_PERIODS, NONE, Platform};
use crate::Error;
use crate::cost::{Item, Used};
use crate::date::Date;
use crate::evidence::Evidence;
use crate::exposure::disjoint::Cut;
use crate::inventory::{Inventory, Segment, Sym};
use crate::policy::{Bound, comply::Change};

pub use rows::Place;

/// Sites for each crew where nothing else is said: between the crews that one operator of 3,000
/// sites used for a replacement in a year (one for every 40 sites, `speed.network_sites_per_week` and
/// `speed.crew_sites_per_week` of the cost items) and one of 18,000 sites in seven years (one for
/// every 400).
pub const SITES_PER_CREW: f64 = 125.0;

/// What to do with a rule whose date lies before the start of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Past {
    /// It is an error.
    #[default]
    Refuse,
    /// It is due at the end of the first period, and reported as late.
    AtOnce,
}

/// Parameters of a plan that are not in the inventory or the policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// Periods.
    pub periods: usize,
    /// Months per period.
    pub months: i32,
    /// Money per period; empty: no limit. A single number holds for every period.
    pub budget: Vec<f64>,
    /// Whether money left over can be spent later.
    pub carry: bool,
    /// Crews in the whole network; none: one for every [`SITES_PER_CREW`] sites. They work where
    /// the work is: each region has its part of the crew-weeks that the policy can ask for.
    pub crews: Option<f64>,
    /// Most outage minutes per customer of a region and period; none: no ceiling.
    pub outage_ceiling: Option<f64>,
    /// Most periods a cluster may be open.
    pub max_open: u32,
    /// Months between the order of a new vendor's management system and its first use.
    pub onboarding_months: i32,
    /// Vendors that may be bought from; empty: all that have a passing product in the segment.
    /// `ran:Name` brings in a vendor that the segment does not have yet, to be onboarded.
    pub targets: Vec<String>,
    /// Whether the refresh that a replacement makes unnecessary is credited.
    pub refresh_credit: bool,
    /// Whether prices rise because a bidder is lost.
    pub price_premium: bool,
    /// Whether unknown counts as failing.
    pub unknown_fails: bool,
    /// Core functions that must go are finished before radio of a cluster starts.
    pub core_first: bool,
    /// Rules before the start.
    pub past: Past,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            periods: 5,
            months: 12,
            budget: Vec::new(),
            carry: false,
            crews: None,
            outage_ceiling: None,
            max_open: 5,
            onboarding_months: 6,
            targets: Vec::new(),
            refresh_credit: true,
            price_premium: true,
            unknown_fails: false,
            core_first: true,
            past: Past::Refuse,
        }
    }
}

impl Setup {
    fn check(&self) -> Result<(), Error> {
        let bad = |what: &str, why: &str| Err(Error::instance(what, why));
        if self.periods == 0 || self.periods > MAX_PERIODS || !(1..=120).contains(&self.months) {
            return bad("periods", "needs 1 to 16 periods of 1 to 120 months");
        }
        if !(0..=120).contains(&self.onboarding_months) {
            return bad("onboarding", "needs 0 to 120 months");
        }
        if self.budget.iter().any(|x| x.is_nan() || *x < 0.0) {
            return bad("budget", "must not be negative");
        }
        if self.crews.is_some_and(|x| x.is_nan() || x < 0.0) {
            return bad("crews", "must not be negative");
        }
        if self.outage_ceiling.is_some_and(|x| x.is_nan() || x < 0.0) {
            return bad("outage ceiling", "must not be negative");
        }
        if !self.budget.is_empty() && self.budget.len() != 1 && self.budget.len() != self.periods {
            return bad("budget", "needs one number, or one per period");
        }
        Ok(())
    }
}

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobInfo {
    /// Index of the site.
    pub site: u32,
    /// Radio units that change together.
    pub radio: Vec<u32>,
    /// Other units.
    pub other: Vec<u32>,
    /// Rules that set a date for it, with the last allowed period.
    pub due: Vec<(String, u32)>,
    /// Period by whose end it is mitigated unless it is gone by then.
    pub guard: Option<u32>,
}

/// What a choice does.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct ChoiceInfo {
    /// In words.
    pub what: String,
    /// Whether the radio units change.
    pub radio: bool,
    /// Whether the other units change.
    pub other: bool,
    /// Whether it mitigates and changes no unit.
    pub mitigates: bool,
    /// Vendor of the radio units afterwards, if it changes.
    #[serde(skip)]
    pub radio_vendor: Option<Sym>,
    /// Vendor of the other units afterwards, if it changes.
    #[serde(skip)]
    pub other_vendor: Option<Sym>,
}

/// A planning problem with the names of its parts.
#[derive(Debug)]
pub struct Program {
    /// The numbers.
    pub instance: Instance,
    /// What each job is about.
    pub jobs: Vec<JobInfo>,
    /// What each choice does, laid out like the choices of the instance.
    pub choices: Vec<ChoiceInfo>,
    /// Name of each cluster.
    pub clusters: Vec<String>,
    /// Name of each region.
    pub regions: Vec<String>,
    /// Name of each platform.
    pub platforms: Vec<String>,
    /// Rule of each row, in words.
    pub rows: Vec<String>,
    /// Last day of each period.
    pub ends: Vec<Date>,
    /// Traffic on units that count as failing today, gigabytes a day, and all traffic.
    pub exposed: (f64, f64),
    /// Rules that ask for paths free of any one vendor: sites and the period from which they hold.
    pub paths: Vec<Place>,
    /// What was assumed or left aside, in words.
    pub notes: Vec<String>,
    /// Cost items used.
    pub items: Vec<Item>,
}

/// Set 0 holds what is exposed, weighted by traffic.
pub const EXPOSURE: u32 = 0;

/// Where and when a region is, and how large.
#[derive(Debug, Default)]
struct Regions {
    names: Vec<String>,
    of_site: Vec<u32>,
    sites: Vec<f64>,
    customers: Vec<f64>,
}

impl Regions {
    fn new(inv: &Inventory) -> Self {
        let mut out = Self::default();
        let mut known: BTreeMap<&str, u32> = BTreeMap::new();
        for s in &inv.sites {
            let next = known.len() as u32;
            let name = inv.text(s.region);
            let r = *known.entry(name).or_insert(next);
            if r == next {
                out.names.push(name.to_owned());
                out.sites.push(0.0);
                out.customers.push(0.0);
            }
            out.sites[r as usize] += 1.0;
            out.customers[r as usize] += s.customers.unwrap_or(0.0);
            out.of_site.push(r);
        }
        out
    }
}

struct Builder<'a> {
    b: &'a Bound<'a>,
    inv: &'a Inventory,
    setup: &'a Setup,
    /// Whether each device counts as failing under this policy.
    bad: Vec<bool>,
    used: &'a Used<'a>,
    discount: Vec<f64>,
    regions: Regions,
    notes: BTreeSet<String>,
    platforms: BTreeMap<(Segment, Sym), u32>,
    platform_list: Vec<(Platform, String)>,
    clusters: BTreeMap<Sym, u32>,
    cluster_list: Vec<(Cluster, Sym)>,
    targets: BTreeMap<Segment, Vec<Sym>>,
    present: BTreeMap<(Segment, Sym), usize>,
    passing_release: BTreeMap<Sym, bool>,
}

impl Program {
    /// Builds the problem.
    ///
    /// # Errors
    /// A parameter makes no sense, a rule lies before the start (and [`Past::Refuse`]), a rule asks
    /// for something nobody sells, or a cost item is missing.
    pub fn build(
        b: &Bound<'_>,
        evidence: &Evidence,
        requirements: &[String],
        used: &Used<'_>,
        setup: &Setup,
    ) -> Result<Self, Error> {
        setup.check()?;
        let rate = used.get("fin.discount_rate")?;
        let years = f64::from(setup.months) / 12.0;
        let mut x = Builder {
            b,
            inv: b.inventory,
            setup,
            bad: b.designated[usize::from(setup.unknown_fails)].clone(),
            used,
            discount: (0..setup.periods).map(|p| (1.0 + rate).powf(-(p as f64) * years)).collect(),
            regions: Regions::new(b.inventory),
            notes: BTreeSet::new(),
            platforms: BTreeMap::new(),
            platform_list: Vec::new(),
            clusters: BTreeMap::new(),
            cluster_list: Vec::new(),
            targets: BTreeMap::new(),
            present: BTreeMap::new(),
            passing_release: BTreeMap::new(),
        };
        x.find_targets(evidence, requirements)?;
        x.program()
    }

    /// What a plan does to each device.
    #[must_use]
    pub fn changes(&self, inventory: &Inventory, plan: &[Decision]) -> Vec<Change> {
        let mut out = vec![Change::default(); inventory.devices.len()];
        for (j, info) in self.jobs.iter().enumerate() {
            let done = plan.get(j).copied().flatten().and_then(|(c, when)| {
                let at = self.instance.jobs.get(j)?.first as usize + c as usize;
                Some((self.choices.get(at)?, when))
            });
            for (list, radio) in [(&info.radio, true), (&info.other, false)] {
                let new = done.filter(|(c, _)| if radio { c.radio } else { c.other });
                let guarded = match (new, done, info.guard) {
                    // Gone before it has to be mitigated.
                    (Some((_, when)), _, Some(g)) if when <= g => None,
                    (_, Some((c, when)), _) if c.mitigates => Some(when),
                    (_, _, g) => g,
                };
                for d in list {
                    let vendor =
                        new.and_then(|(c, _)| if radio { c.radio_vendor } else { c.other_vendor });
                    out[*d as usize] = Change {
                        replaced: new.map(|(_, when)| {
                            (
                                self.ends[when as usize],
                                vendor.or(inventory.devices[*d as usize].vendor),
                            )
                        }),
                        mitigated: guarded.map(|g| self.ends[g as usize]),
                    };
                }
            }
        }
        out
    }

    /// Share of traffic on failing units at the end of each period.
    #[must_use]
    pub fn exposure(&self, plan: &[Decision]) -> Vec<f64> {
        let p = &self.instance;
        (0..p.periods)
            .map(|s| {
                let sum: f64 = (0..p.jobs.len())
                    .filter(|j| {
                        let member = match plan[*j] {
                            Some((c, w)) if w as usize <= s => p.choices_of(*j)[c as usize].member,
                            _ => p.jobs[*j].member,
                        };
                        member & 1 != 0
                    })
                    .map(|j| p.weights[EXPOSURE as usize][j])
                    .sum();
                if self.exposed.1 > 0.0 { sum / self.exposed.1 } else { 0.0 }
            })
            .collect()
    }

    /// Forbids what completes a vendor's cut; see [`crate::exposure::disjoint`]. Returns how many
    /// cuts were new and could be forbidden.
    pub fn forbid(&mut self, inventory: &Inventory, place: &Place, cuts: &[Cut]) -> usize {
        rows::forbid(self, inventory, place, cuts)
    }
}

impl Builder<'_> {
    fn platform(&mut self, segment: Segment, vendor: Sym) -> Result<u32, Error> {
        if let Some(p) = self.platforms.get(&(segment, vendor)) {
            return Ok(*p);
        }
        let known = self.present.get(&(segment, vendor)).copied().unwrap_or(0) > 0;
        let cost = self.used.get("oss.vendor_onboarding")?;
        let id = self.platform_list.len() as u32;
        let platform = if known {
            Platform::default()
        } else {
            Platform {
                onboard: self.discount.iter().map(|d| d * cost).collect(),
                lag: (self.setup.onboarding_months / self.setup.months) as u32,
            }
        };
        let name = format!("{} {}", self.inv.names.get(vendor), segment.name());
        self.platform_list.push((platform, name));
        self.platforms.insert((segment, vendor), id);
        Ok(id)
    }

    /// The cluster with a name, made if it is new.
    fn cluster(&mut self, name: Sym) -> Result<u32, Error> {
        if let Some(c) = self.clusters.get(&name) {
            return Ok(*c);
        }
        let mobilise = self.used.get("cluster.mobilisation")?;
        let id = self.cluster_list.len() as u32;
        self.cluster_list.push((
            Cluster {
                open: self.discount.iter().map(|d| d * mobilise).collect(),
                max_open: self.setup.max_open.max(1),
                group: NONE,
                home: NONE,
            },
            name,
        ));
        self.clusters.insert(name, id);
        Ok(id)
    }

    fn program(mut self) -> Result<Program, Error> {
        let (b, inv, setup) = (self.b, self.inv, self.setup);
        let t = setup.periods;
        let years = f64::from(setup.months) / 12.0;
        let duties = self.duties()?;
        // A rule may reach units that are not designated: by verdict.
        for rule in duties.reaching() {
            for d in 0..inv.devices.len() {
                self.bad[d] |= b.hits(rule, d, setup.unknown_fails);
            }
        }
        let jobs::Made { mut instance, jobs, choices, exposed, core } = self.jobs(&duties)?;
        let p = &mut instance;
        if !core.is_empty() {
            p.groups.push(core);
            for c in &mut self.cluster_list {
                c.0.group = 0;
            }
        }
        p.borders = self.borders()?;
        p.clusters = self.cluster_list.iter().map(|c| c.0.clone()).collect();
        p.platforms = self.platform_list.iter().map(|c| c.0.clone()).collect();
        let mut rows = Vec::new();
        for (rule, period) in &duties.caps {
            self.cap(rule, *period, p, &jobs, &choices, &mut rows)?;
        }
        p.money = match setup.budget.as_slice() {
            [] => vec![f64::INFINITY; t],
            [one] => vec![*one; t],
            many => many.to_vec(),
        };
        let sites: f64 = self.regions.sites.iter().sum();
        let weeks = setup.crews.unwrap_or(sites / SITES_PER_CREW) * 52.0 * years;
        let mut work = vec![0.0; p.regions];
        for (j, job) in p.jobs.iter().enumerate() {
            let crews = p.choices_of(j).iter().map(|c| c.crew).filter(|c| *c > 0.0);
            work[job.region as usize] += crews.min_by(f64::total_cmp).unwrap_or(0.0);
        }
        let all: f64 = work.iter().sum();
        for (own, customers) in work.iter().zip(&self.regions.customers) {
            for _ in 0..t {
                p.crews.push(if all > 0.0 { weeks * own / all } else { 0.0 });
                p.disruption.push(setup.outage_ceiling.map_or(f64::INFINITY, |m| m * customers));
            }
        }
        Ok(Program {
            jobs,
            choices,
            clusters: self.cluster_list.iter().map(|c| inv.names.get(c.1).to_owned()).collect(),
            regions: self.regions.names,
            platforms: self.platform_list.into_iter().map(|p| p.1).collect(),
            rows,
            ends: (1..=t as i32).map(|k| b.start.plus_months(k * setup.months)).collect(),
            exposed: (exposed, inv.sites.iter().filter_map(|s| s.traffic).sum()),
            paths: duties.paths,
            notes: self.notes.into_iter().collect(),
            items: self.used.items(),
            instance,
        })
    }
}
