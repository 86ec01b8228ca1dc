//! From inventory, policy and costs to a planning problem.
//!
//! A *job* is what changes in one visit: the radio units of a site together with its failing
//! transport units (a choice may do one or both), or a single core, management or fixed unit.
//! Only units that a rule can reach become jobs; the rest counts in shares as it stands.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::instance::{
    Choice, Cluster, Decision, Instance, Job, MAX_PERIODS, MAX_SETS, NONE, Platform, Row,
};
use crate::Error;
use crate::cost::{Item, Used};
use crate::date::Date;
use crate::evidence::{Evidence, Status};
use crate::exposure::{Weight, spatial::Grid};
use crate::inventory::{Inventory, Segment, Sym};
use crate::policy::{Bound, Kind, Rule, comply::Change, unit};

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
    /// Crews in the whole network, spread over regions by sites.
    pub crews: f64,
    /// Most outage minutes per customer of a region and period; none: no ceiling.
    pub outage_ceiling: Option<f64>,
    /// Most periods a cluster may be open.
    pub max_open: u32,
    /// Vendors that may be bought from; empty: all that have a passing product in the segment.
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
            crews: 80.0,
            outage_ceiling: None,
            max_open: 5,
            targets: Vec::new(),
            refresh_credit: true,
            price_premium: true,
            unknown_fails: false,
            core_first: true,
            past: Past::Refuse,
        }
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
}

/// What a choice does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChoiceInfo {
    /// In words.
    pub what: String,
    /// Whether the radio units change.
    pub radio: bool,
    /// Whether the other units change.
    pub other: bool,
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
    /// What was assumed or left aside, in words.
    pub notes: Vec<String>,
    /// Cost items used.
    pub items: Vec<Item>,
}

/// Set 0 holds what is exposed, weighted by traffic.
pub const EXPOSURE: u32 = 0;

struct Builder<'a> {
    b: &'a Bound<'a>,
    inv: &'a Inventory,
    setup: &'a Setup,
    bad: Vec<bool>,
    used: &'a Used<'a>,
    discount: Vec<f64>,
    notes: BTreeSet<String>,
    platforms: BTreeMap<(Segment, Sym), u32>,
    platform_list: Vec<(Platform, String)>,
    targets: BTreeMap<Segment, Vec<Sym>>,
    present: BTreeMap<(Segment, Sym), usize>,
    passing_release: BTreeMap<Sym, bool>,
}

/// Last period by whose end a date is kept.
fn period_of(setup: &Setup, start: Date, due: Date) -> Option<Result<usize, ()>> {
    let mut m = due.months() - start.months();
    if due.day < start.day {
        m -= 1;
    }
    if m < 0 {
        return Some(Err(()));
    }
    let p = (m / setup.months.max(1)) as usize;
    if p > setup.periods {
        return None;
    }
    Some(Ok(p.saturating_sub(1).min(setup.periods - 1)))
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
        let bad = |what: &str, why: &str| Err(Error::instance(what, why));
        if setup.periods == 0 || setup.periods > MAX_PERIODS || setup.months < 1 {
            return bad("periods", "between 1 and 16 periods of at least one month");
        }
        if setup.budget.iter().any(|x| x.is_nan() || *x < 0.0)
            || setup.crews.is_nan()
            || setup.crews < 0.0
        {
            return bad("budget and crews", "must not be negative");
        }
        if !setup.budget.is_empty()
            && setup.budget.len() != 1
            && setup.budget.len() != setup.periods
        {
            return bad("budget", "needs one number, or one per period");
        }
        let rate = used.get("fin.discount_rate")?;
        let years = f64::from(setup.months) / 12.0;
        let mut x = Builder {
            b,
            inv: b.inventory,
            setup,
            bad: b.designated[usize::from(setup.unknown_fails)].clone(),
            used,
            discount: (0..setup.periods).map(|p| (1.0 + rate).powf(-(p as f64) * years)).collect(),
            notes: BTreeSet::new(),
            platforms: BTreeMap::new(),
            platform_list: Vec::new(),
            targets: BTreeMap::new(),
            present: BTreeMap::new(),
            passing_release: BTreeMap::new(),
        };
        x.find_targets(evidence, requirements);
        x.program()
    }

    /// What a plan does to each device.
    #[must_use]
    pub fn changes(&self, inventory: &Inventory, plan: &[Decision]) -> Vec<Option<Change>> {
        let mut out = vec![None; inventory.devices.len()];
        for (j, d) in plan.iter().enumerate() {
            let (Some((c, when)), Some(info)) = (d, self.jobs.get(j)) else { continue };
            let at = self.instance.jobs[j].first as usize + *c as usize;
            let Some(choice) = self.choices.get(at) else { continue };
            let on = self.ends[*when as usize];
            let mut put = |list: &[u32], vendor: Option<Sym>| {
                for d in list {
                    let own = inventory.devices[*d as usize].vendor;
                    out[*d as usize] = Some(Change { on, vendor: vendor.or(own), clears: true });
                }
            };
            if choice.radio {
                put(&info.radio, choice.radio_vendor);
            }
            if choice.other {
                put(&info.other, choice.other_vendor);
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
}

/// A part of a job: cost before discount, resources.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    equipment: f64,
    works: f64,
    crew: f64,
    minutes: f64,
    /// Months from the start to the natural refresh of the equipment, if known.
    refresh: Option<i32>,
}

impl Builder<'_> {
    /// Vendors that sell something compliant, by segment, and products with a passing release.
    fn find_targets(&mut self, evidence: &Evidence, requirements: &[String]) {
        let mut good: BTreeMap<(Segment, Sym), usize> = BTreeMap::new();
        for (i, d) in self.inv.devices.iter().enumerate() {
            if let Some(v) = d.vendor {
                *self.present.entry((d.segment, v)).or_default() += 1;
                if !self.bad[i] {
                    *good.entry((d.segment, v)).or_default() += 1;
                }
            }
            if let (Some(p), Some(r)) = (d.product, d.release) {
                let passes =
                    evidence.status(self.inv.names.get(p), self.inv.names.get(r), requirements)
                        == Status::Pass;
                *self.passing_release.entry(p).or_default() |= passes;
            }
        }
        for segment in Segment::ALL {
            let mut list: Vec<(usize, Sym)> = good
                .iter()
                .filter(|((s, v), _)| {
                    *s == segment
                        && (self.setup.targets.is_empty()
                            || self.setup.targets.iter().any(|t| t == self.inv.names.get(*v)))
                })
                .map(|((_, v), n)| (*n, *v))
                .collect();
            // A vendor with some compliant and mostly designated units is no target for new ones.
            list.retain(|(n, v)| 2 * n >= self.present.get(&(segment, *v)).copied().unwrap_or(0));
            list.sort_by_key(|(n, v)| (std::cmp::Reverse(*n), *v));
            self.targets.insert(segment, list.into_iter().take(3).map(|x| x.1).collect());
        }
    }

    fn platform(&mut self, segment: Segment, vendor: Sym) -> Result<u32, Error> {
        if let Some(p) = self.platforms.get(&(segment, vendor)) {
            return Ok(*p);
        }
        let known = self.present.get(&(segment, vendor)).copied().unwrap_or(0) > 0;
        let cost = self.used.get("oss.vendor_onboarding")?;
        let id = self.platform_list.len() as u32;
        let onboard =
            if known { Vec::new() } else { self.discount.iter().map(|d| d * cost).collect() };
        let name = format!("{} {}", self.inv.names.get(vendor), segment.name());
        self.platform_list.push((Platform { onboard, lag: 0 }, name));
        self.platforms.insert((segment, vendor), id);
        Ok(id)
    }

    /// Months from the start to the end of the book life.
    fn refresh(&self, device: u32) -> Result<Option<i32>, Error> {
        let life = (self.used.get("fin.ran_life_years")? * 12.0) as i32;
        Ok(self.inv.devices[device as usize]
            .installed
            .map(|i| (i.plus_months(life).months() - self.b.start.months()).max(0)))
    }

    fn part(&self, devices: &[u32], radio: bool) -> Result<Part, Error> {
        let get = |id: &str| self.used.get(id);
        let mut p = Part::default();
        let mut kinds = BTreeSet::new();
        for &d in devices {
            let x = &self.inv.devices[d as usize];
            kinds.insert(x.segment);
            let function = self.inv.text(x.function);
            p.equipment += match x.segment {
                Segment::Ran if function.starts_with("rru") || self.inv.text(x.role) == "radio" => {
                    get("ran.remote_radio_unit")? + get("ran.antenna_sector")?
                }
                Segment::Ran => get("ran.baseband")?,
                Segment::Transport if function.starts_with("agg") => {
                    get("tx.optical_transport_node")?
                }
                Segment::Transport => get("tx.cell_site_router")?,
                Segment::AccessFixed => get("tx.olt")?,
                // A small operator's core is about eight functions.
                Segment::Core | Segment::Management => {
                    get("core.regional_or_small_operator")? / 8.0
                }
                Segment::Other => get("tx.cell_site_router")?,
            };
            let r = self.refresh(d)?;
            p.refresh = match (p.refresh, r) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
        }
        let premium = if self.setup.price_premium { get("ran.vendor_price_premium")? } else { 1.0 };
        p.equipment *= premium;
        let minutes = get("outage.site_minutes")?;
        if radio {
            p.works = get("site.install_labour")? + get("disposal.per_site")?;
            p.crew = 1.0 / get("speed.crew_sites_per_week")?;
            p.minutes = minutes;
        } else if kinds.contains(&Segment::Transport) || kinds.contains(&Segment::Other) {
            p.works = get("site.extra_visit")?;
            p.crew = get("crew.transport_weeks")?;
            // A router is swapped beside the old one: a quarter of the outage of a radio swap.
            p.minutes = minutes / 4.0;
        }
        Ok(p)
    }

    /// Net cost of parts done in a period: discounted spend, less the refresh that is saved.
    fn net(&self, parts: &[Part], saving: f64, period: usize) -> Result<f64, Error> {
        let d = self.discount[period];
        let life = self.used.get("fin.ran_life_years")? * 12.0;
        let rate = self.used.get("fin.discount_rate")?;
        let mut sum = -saving * d;
        for p in parts {
            sum += (p.equipment + p.works) * d;
            if let (true, Some(refresh)) = (self.setup.refresh_credit, p.refresh) {
                let at = (period as i32 * self.setup.months) as f64;
                let early = (f64::from(refresh) - at).max(0.0);
                let worth = (1.0 + rate).powf(-f64::from(refresh) / 12.0);
                sum -= 0.8 * p.equipment * worth * (1.0 - early / life).max(0.0);
            }
        }
        Ok(sum)
    }

    #[allow(clippy::too_many_lines)]
    fn program(mut self) -> Result<Program, Error> {
        let (b, inv, setup) = (self.b, self.inv, self.setup);
        let t = setup.periods;
        let grid = Grid::new(inv);
        // What each rule means for the plan.
        let mut deadlines: Vec<(&Rule, usize, Option<Vec<bool>>)> = Vec::new();
        let mut mitigations: Vec<(&Rule, usize)> = Vec::new();
        let mut caps: Vec<(&Rule, usize)> = Vec::new();
        let mut dispose = false;
        for rule in &b.policy.rules {
            let due = match rule.kind {
                // An authorisation ends with its term.
                Kind::AuthoriseEach if rule.by.is_none() => match (rule.renewable, rule.term_years)
                {
                    (Some(false), Some(years)) => b.start.plus_months((years * 12.0) as i32),
                    _ => {
                        self.notes.insert(format!("rule {}: authorisation of each item is a procedure; no unit is forced out by it", rule.id));
                        continue;
                    }
                },
                _ => b.due(rule)?,
            };
            match rule.kind {
                Kind::StopBuy | Kind::NoNewInstall | Kind::TrustedList => {
                    self.notes.insert(format!("rule {}: nothing of the set is bought; what stays is kept past its book life", rule.id));
                    continue;
                }
                Kind::Dispose => {
                    dispose = true;
                    continue;
                }
                _ => {}
            }
            let period = match period_of(setup, b.start, due) {
                None => {
                    self.notes.insert(format!("rule {}: due {due}, after the plan ends", rule.id));
                    continue;
                }
                Some(Ok(p)) => p,
                Some(Err(())) if setup.past == Past::AtOnce => {
                    self.notes.insert(format!(
                        "rule {}: due {due}, before the start; planned for the first period",
                        rule.id
                    ));
                    0
                }
                Some(Err(())) => {
                    return Err(Error::Rule {
                        policy: b.policy.id.clone(),
                        rule: rule.id.clone(),
                        reason: format!(
                            "is due {due}, before the plan starts on {}; choose an earlier start, or allow rules that are late",
                            b.start
                        ),
                    });
                }
            };
            match rule.kind {
                Kind::Remove | Kind::ExcludeFunction | Kind::AuthoriseEach => {
                    deadlines.push((rule, period, None))
                }
                Kind::ExcludePlace => deadlines.push((rule, period, Some(b.places(rule, &grid)))),
                Kind::Mitigate | Kind::Localise | Kind::LimitRemoteAccess => {
                    mitigations.push((rule, period))
                }
                Kind::ShareCap | Kind::MinVendors => caps.push((rule, period)),
                _ => {}
            }
        }
        // A rule may reach units that are not designated: by verdict.
        let unknown = setup.unknown_fails;
        for (rule, ..) in &deadlines {
            for d in 0..inv.devices.len() {
                self.bad[d] |= b.hits(rule, d, unknown);
            }
        }
        for (rule, _) in caps.iter().filter(|c| c.0.kind == Kind::ShareCap) {
            for d in 0..inv.devices.len() {
                self.bad[d] |= b.hits(rule, d, unknown);
            }
        }

        let mut regions: BTreeMap<String, u32> = BTreeMap::new();
        let mut region_sites: Vec<f64> = Vec::new();
        let mut region_customers: Vec<f64> = Vec::new();
        let mut site_region = Vec::new();
        for s in &inv.sites {
            let n = regions.len() as u32;
            let r = *regions.entry(inv.text(s.region).to_owned()).or_insert(n);
            if r == n {
                region_sites.push(0.0);
                region_customers.push(0.0);
            }
            region_sites[r as usize] += 1.0;
            region_customers[r as usize] += s.customers.unwrap_or(0.0);
            site_region.push(r);
        }
        let mut clusters: BTreeMap<Sym, u32> = BTreeMap::new();
        let mut cluster_list: Vec<(Cluster, String)> = Vec::new();
        let mobilise = self.used.get("cluster.mobilisation")?;
        let by_site = inv.devices_by_site();
        let bad_units = self.bad.clone();
        let phi = self.used.get("outage.value_per_customer_minute")?;
        let carried = self.used.get("outage.overlap_share")?;
        let loss = 100.0 * (1.0 - self.used.get("perf.throughput_ratio")?);
        let value = self.used.get("perf.value_per_customer_year")?;
        let years = f64::from(setup.months) / 12.0;
        let joint = (self.used.get("site.extra_visit")?, self.used.get("crew.joint_saving_weeks")?);
        let mitigation = self.used.get("mitigation.per_site")?;
        let update_cost = self.used.get("software.update_per_site")?;

        let mut p = Instance {
            periods: t,
            regions: region_sites.len(),
            carry: setup.carry,
            ..Instance::default()
        };
        let (mut jobs, mut choices): (Vec<JobInfo>, Vec<ChoiceInfo>) = (Vec::new(), Vec::new());
        let mut core_jobs: Vec<u32> = Vec::new();
        // Weight of each job in set 0; the sets of caps follow when all jobs are known.
        let mut traffic: Vec<f64> = Vec::new();
        let mut exposed = 0.0;
        for (s, site) in inv.sites.iter().enumerate() {
            let own: Vec<u32> = by_site.of(s).to_vec();
            let is_bad = |d: &u32| bad_units[*d as usize];
            let segment = |d: &u32| inv.devices[*d as usize].segment;
            // Radio units change together: all of them, if one fails.
            let groups: BTreeSet<Option<Sym>> = own
                .iter()
                .filter(|d| is_bad(d) && segment(d) == Segment::Ran)
                .map(|d| inv.devices[*d as usize].coupling)
                .collect();
            let radio: Vec<u32> = own
                .iter()
                .copied()
                .filter(|d| {
                    segment(d) == Segment::Ran
                        && groups.contains(&inv.devices[*d as usize].coupling)
                })
                .collect();
            let transport: Vec<u32> = own
                .iter()
                .copied()
                .filter(|d| is_bad(d) && matches!(segment(d), Segment::Transport | Segment::Other))
                .collect();
            let single = own.iter().copied().filter(|d| {
                is_bad(d)
                    && matches!(
                        segment(d),
                        Segment::Core | Segment::Management | Segment::AccessFixed
                    )
            });
            let mut todo: Vec<(Vec<u32>, Vec<u32>)> =
                single.map(|d| (Vec::new(), vec![d])).collect();
            if !radio.is_empty() || !transport.is_empty() {
                todo.push((radio, transport));
            }
            let mut counted = false;
            for (radio, other) in todo {
                let j = p.jobs.len() as u32;
                let first = p.choices.len() as u32;
                // Last allowed period of each part.
                let mut last = [None::<usize>; 2];
                let mut due = Vec::new();
                for (rule, period, places) in &deadlines {
                    if places.as_ref().is_some_and(|x| !x[s]) {
                        continue;
                    }
                    for (k, list) in [&radio, &other].into_iter().enumerate() {
                        if list.iter().any(|d| b.hits(rule, *d as usize, unknown)) {
                            last[k] = Some(last[k].map_or(*period, |l| l.min(*period)));
                            due.push((rule.id.clone(), *period as u32));
                        }
                    }
                }
                // Mitigation is paid when the unit is still there at the date.
                let guard: Vec<(usize, f64)> = mitigations
                    .iter()
                    .filter(|(r, _)| {
                        radio.iter().chain(&other).any(|d| b.hits(r, *d as usize, true))
                    })
                    .map(|(_, period)| (*period, mitigation * self.discount[*period]))
                    .collect();
                let kept_cost = |gone: Option<usize>| -> f64 {
                    guard
                        .iter()
                        .filter(|(at, _)| gone.is_none_or(|g| g > *at))
                        .map(|(_, c)| c)
                        .sum()
                };
                let parts = [self.part(&radio, true)?, self.part(&other, false)?];
                let mut cluster = NONE;
                if let (Some(c), false) = (site.cluster, radio.is_empty()) {
                    let n = cluster_list.len() as u32;
                    cluster = *clusters.entry(c).or_insert(n);
                    if cluster == n {
                        cluster_list.push((
                            Cluster {
                                open: self.discount.iter().map(|d| d * mobilise).collect(),
                                max_open: setup.max_open.max(1),
                                group: NONE,
                                home: NONE,
                            },
                            inv.names.get(c).to_owned(),
                        ));
                    }
                }
                let customers = site.customers.unwrap_or(0.0) * (1.0 - carried);
                let other_segment = other.first().map(&segment).unwrap_or(Segment::Other);
                let exposes_radio = radio.iter().any(is_bad);
                let weight = if counted { 0.0 } else { site.traffic.unwrap_or(0.0) };
                counted = true;
                exposed += weight;
                // What may be done to radio and to the rest: none, or a vendor, or an update.
                #[derive(Clone, Copy)]
                enum Do {
                    Nothing,
                    Vendor(Sym),
                    Update,
                }
                let can_update = |list: &[u32]| {
                    !list.is_empty()
                        && list.iter().filter(|d| bad_units[**d as usize]).all(|d| {
                            inv.devices[*d as usize].product.is_some_and(|p| {
                                self.passing_release.get(&p).copied().unwrap_or(false)
                                    && b.status[*d as usize] != Status::Pass
                            })
                        })
                };
                let mut for_radio = vec![Do::Nothing];
                let mut for_other = vec![Do::Nothing];
                if !radio.is_empty() {
                    let v = self.targets.get(&Segment::Ran).cloned().unwrap_or_default();
                    for_radio.extend(v.into_iter().map(Do::Vendor));
                    if can_update(&radio) {
                        for_radio.push(Do::Update);
                    }
                }
                if !other.is_empty() {
                    // Transport and single units: one target, the most common compliant vendor.
                    let v = self.targets.get(&other_segment).cloned().unwrap_or_default();
                    for_other.extend(v.into_iter().take(1).map(Do::Vendor));
                    if can_update(&other) {
                        for_other.push(Do::Update);
                    }
                }
                for (list, part, dos) in
                    [(&radio, "ran", &for_radio), (&other, other_segment.name(), &for_other)]
                {
                    if !list.is_empty() && dos.len() == 1 {
                        self.notes.insert(format!("no compliant vendor is known for {part}: its units can only be kept; name vendors in `targets`"));
                    }
                }
                for &r in &for_radio {
                    for &o in &for_other {
                        if matches!((r, o), (Do::Nothing, Do::Nothing)) {
                            continue;
                        }
                        let (does_r, does_o) =
                            (!matches!(r, Do::Nothing), !matches!(o, Do::Nothing));
                        // What is not done must not be due.
                        if (!does_r && last[0].is_some()) || (!does_o && last[1].is_some()) {
                            continue;
                        }
                        let end = [(does_r, last[0]), (does_o, last[1])]
                            .iter()
                            .filter(|x| x.0)
                            .filter_map(|x| x.1)
                            .min()
                            .unwrap_or(t - 1);
                        let mut done: Vec<Part> = Vec::new();
                        let (mut updates, mut platform) = (0.0, NONE);
                        let mut words = Vec::new();
                        let mut info = ChoiceInfo {
                            what: String::new(),
                            radio: does_r,
                            other: does_o,
                            radio_vendor: None,
                            other_vendor: None,
                        };
                        for (act, k, segment, name) in [
                            (r, 0, Segment::Ran, "radio"),
                            (o, 1, other_segment, other_segment.name()),
                        ] {
                            match act {
                                Do::Nothing => {}
                                Do::Update => {
                                    updates += update_cost;
                                    words.push(format!("update {name}"));
                                }
                                Do::Vendor(v) => {
                                    done.push(parts[k]);
                                    words.push(format!("replace {name} by {}", inv.names.get(v)));
                                    let id = self.platform(segment, v)?;
                                    if k == 0 {
                                        info.radio_vendor = Some(v);
                                        platform = id;
                                    } else {
                                        info.other_vendor = Some(v);
                                        if platform == NONE {
                                            platform = id;
                                        }
                                    }
                                }
                            }
                        }
                        info.what = words.join(", ");
                        let both = done.len() == 2;
                        let saving = if both { joint.0 } else { 0.0 };
                        let opens = matches!(r, Do::Vendor(_)) && cluster != NONE;
                        let minutes = done.iter().map(|p| p.minutes).fold(0.0, f64::max);
                        let outage = minutes * customers;
                        let extra = if dispose { self.used.get("disposal.per_site")? } else { 0.0 };
                        let mut cost = Vec::with_capacity(t);
                        for when in 0..t {
                            if when > end {
                                cost.push(f64::INFINITY);
                                continue;
                            }
                            let d = self.discount[when];
                            let left: f64 = self.discount[when..].iter().sum::<f64>() * years;
                            let perf = if does_r { loss * value * customers * left } else { 0.0 };
                            cost.push(
                                self.net(&done, saving, when)?
                                    + (updates + extra) * d
                                    + d * phi * outage
                                    + perf
                                    + kept_cost(Some(when)),
                            );
                        }
                        let still = (!does_r && exposes_radio) || (!does_o && !other.is_empty());
                        p.choices.push(Choice {
                            platform,
                            opens,
                            member: u64::from(still),
                            spend: (done.iter().map(|p| p.equipment + p.works).sum::<f64>()
                                - saving
                                + updates
                                + extra)
                                .max(0.0),
                            crew: (done.iter().map(|p| p.crew).sum::<f64>()
                                - if both { joint.1 } else { 0.0 })
                            .max(0.0),
                            outage,
                            cost,
                        });
                        choices.push(info);
                    }
                }
                let must = last.iter().any(Option::is_some);
                if p.choices.len() as u32 == first && must {
                    let device = radio
                        .first()
                        .or(other.first())
                        .map_or("", |d| inv.devices[*d as usize].name.as_str());
                    return Err(Error::Rule {
                        policy: b.policy.id.clone(),
                        rule: due.first().map_or_else(String::new, |d| d.0.clone()),
                        reason: format!(
                            "{device} must go, but no compliant vendor is known for it; name vendors in `targets`, or provide evidence for a product that passes"
                        ),
                    });
                }
                if setup.core_first && last[1].is_some() && other_segment == Segment::Core {
                    core_jobs.push(j);
                }
                p.jobs.push(Job {
                    cluster,
                    region: site_region[s],
                    first,
                    count: p.choices.len() as u32 - first,
                    keep: if must { f64::INFINITY } else { kept_cost(None) },
                    member: 1,
                });
                traffic.push(weight);
                jobs.push(JobInfo { site: s as u32, radio, other, due });
            }
        }
        p.weights.push(traffic);
        if !core_jobs.is_empty() {
            p.groups.push(core_jobs);
            for c in &mut cluster_list {
                c.0.group = 0;
            }
        }
        (p.clusters, p.platforms) = (
            cluster_list.iter().map(|c| c.0.clone()).collect(),
            self.platform_list.iter().map(|c| c.0.clone()).collect(),
        );
        let mut rows = Vec::new();
        for (rule, period) in caps {
            self.cap(rule, period, &mut p, &jobs, &choices, &mut rows)?;
        }
        p.money = match setup.budget.as_slice() {
            [] => vec![f64::INFINITY; t],
            [one] => vec![*one; t],
            many => many.to_vec(),
        };
        let weeks = setup.crews * 52.0 * years;
        let sites: f64 = region_sites.iter().sum();
        for r in 0..p.regions {
            for _ in 0..t {
                p.crews.push(weeks * region_sites[r] / sites.max(1.0));
                p.disruption
                    .push(setup.outage_ceiling.map_or(f64::INFINITY, |m| m * region_customers[r]));
            }
        }
        let total = inv.sites.iter().filter_map(|s| s.traffic).sum();
        let mut names = vec![String::new(); regions.len()];
        for (n, i) in regions {
            names[i as usize] = n;
        }
        Ok(Program {
            instance: p,
            jobs,
            choices,
            clusters: cluster_list.into_iter().map(|c| c.1).collect(),
            regions: names,
            platforms: self.platform_list.into_iter().map(|p| p.1).collect(),
            rows,
            ends: (1..=t as i32).map(|k| b.start.plus_months(k * setup.months)).collect(),
            exposed: (exposed, total),
            notes: self.notes.into_iter().collect(),
            items: self.used.items(),
        })
    }

    /// Adds sets and rows for a share cap or for a number of vendors.
    fn cap(
        &mut self,
        rule: &Rule,
        period: usize,
        p: &mut Instance,
        jobs: &[JobInfo],
        choices: &[ChoiceInfo],
        rows: &mut Vec<String>,
    ) -> Result<(), Error> {
        let (b, inv, t) = (self.b, self.inv, p.periods);
        let index = b.policy.rules.iter().position(|r| r.id == rule.id).unwrap_or(0) as u32;
        let sites = inv.sites.len();
        let mut scope = vec![false; sites];
        for d in 0..inv.devices.len() {
            scope[inv.devices[d].site as usize] |= b.in_scope(rule, d);
        }
        let units: Vec<Weight> = match rule.kind {
            Kind::ShareCap => rule.units.iter().filter_map(|u| unit(u)).collect(),
            _ => vec![rule.units.first().and_then(|u| unit(u)).unwrap_or(Weight::Sites)],
        };
        for weight in units {
            let w = |s: usize| if scope[s] { weight.of(&inv.sites[s]).unwrap_or(0.0) } else { 0.0 };
            let mut areas: BTreeMap<Option<Sym>, f64> = BTreeMap::new();
            let by_region = rule.area.as_deref() == Some("region");
            let area = |s: usize| if by_region { inv.sites[s].region } else { None };
            for s in 0..sites {
                *areas.entry(area(s)).or_default() += w(s);
            }
            // Sets to limit: failing units, or every n - 1 vendors together.
            let mut groups: Vec<(String, Option<Vec<Option<Sym>>>, f64)> = Vec::new();
            if rule.kind == Kind::ShareCap {
                groups.push((String::new(), None, rule.cap.unwrap_or(1.0)));
            } else {
                let mut vendors: BTreeSet<Option<Sym>> = (0..inv.devices.len())
                    .filter(|d| b.in_scope(rule, *d))
                    .map(|d| inv.devices[d].vendor)
                    .collect();
                vendors.extend(choices.iter().map(|c| c.radio_vendor).filter(Option::is_some));
                let list: Vec<Option<Sym>> = vendors.into_iter().collect();
                let n = rule.n.unwrap_or(2) as usize - 1;
                for mask in 1u32..1 << list.len().min(8) {
                    if mask.count_ones() as usize == n {
                        let v: Vec<Option<Sym>> = (0..list.len())
                            .filter(|k| mask & (1 << k) != 0)
                            .map(|k| list[k])
                            .collect();
                        let name = v.iter().map(|v| inv.text(*v)).collect::<Vec<_>>().join(" and ");
                        groups.push((name, Some(v), rule.ceiling.unwrap_or(0.95)));
                    }
                }
            }
            for (a, total) in areas {
                for (name, vendors, cap) in &groups {
                    let set = p.weights.len();
                    if set >= MAX_SETS {
                        return Err(Error::Rule {
                            policy: b.policy.id.clone(),
                            rule: rule.id.clone(),
                            reason: format!(
                                "more than {MAX_SETS} shares to limit; use the area `network` or fewer vendors"
                            ),
                        });
                    }
                    // Whether a unit is in the set, given the vendor it has then.
                    let inside = |d: u32, gone: bool, vendor: Option<Sym>| {
                        b.in_scope(rule, d as usize)
                            && match vendors {
                                None => !gone && b.hits(rule, d as usize, self.setup.unknown_fails),
                                Some(list) => list.contains(&vendor),
                            }
                    };
                    let mut list = vec![0.0; p.jobs.len()];
                    let mut in_jobs = vec![false; sites];
                    for (j, info) in jobs.iter().enumerate() {
                        let s = info.site as usize;
                        let vendor = |d: u32| inv.devices[d as usize].vendor;
                        let now = info
                            .radio
                            .iter()
                            .chain(&info.other)
                            .any(|d| inside(*d, false, vendor(*d)));
                        let bit = 1u64 << set;
                        let mut any = now;
                        let (first, count) = (p.jobs[j].first as usize, p.jobs[j].count as usize);
                        for k in first..first + count {
                            let c = &choices[k];
                            let after = info.radio.iter().any(|d| {
                                inside(
                                    *d,
                                    c.radio,
                                    if c.radio {
                                        c.radio_vendor.or(vendor(*d))
                                    } else {
                                        vendor(*d)
                                    },
                                )
                            }) || info.other.iter().any(|d| {
                                inside(
                                    *d,
                                    c.other,
                                    if c.other {
                                        c.other_vendor.or(vendor(*d))
                                    } else {
                                        vendor(*d)
                                    },
                                )
                            });
                            if after {
                                p.choices[k].member |= bit;
                                any = true;
                            }
                        }
                        if now {
                            p.jobs[j].member |= bit;
                        }
                        if any && area(s) == a && !in_jobs[s] {
                            list[j] = w(s);
                            in_jobs[s] = true;
                        }
                    }
                    // What is no job counts as it stands.
                    let mut fixed = vec![false; sites];
                    for d in 0..inv.devices.len() as u32 {
                        let x = &inv.devices[d as usize];
                        if !in_jobs[x.site as usize] && inside(d, false, x.vendor) {
                            fixed[x.site as usize] = true;
                        }
                    }
                    let constant: f64 =
                        (0..sites).filter(|s| fixed[*s] && area(*s) == a).map(w).sum();
                    p.weights.push(list);
                    // Later periods as well: a share can rise again.
                    for s in period..t {
                        let mut coefficient = vec![0.0; t];
                        coefficient[s] = 1.0;
                        p.rows.push(Row {
                            set: set as u32,
                            coefficient,
                            limit: cap * total - constant,
                            rule: index,
                        });
                        rows.push(format!(
                            "{}: {}{}{} at most {:.0} %, period {}",
                            rule.id,
                            name,
                            if name.is_empty() { "" } else { ", " },
                            format_args!(
                                "{weight:?}{}",
                                if a.is_some() {
                                    format!(" in {}", inv.text(a))
                                } else {
                                    String::new()
                                }
                            ),
                            100.0 * cap,
                            s + 1
                        ));
                        if vendors.is_none() {
                            // Failing units only go away: the first date is enough.
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
