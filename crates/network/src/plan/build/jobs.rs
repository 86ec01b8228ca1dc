//! Jobs and what can be done to them.

use std::collections::BTreeSet;

use super::duties::Duties;
use super::price::Part;
use super::{Builder, ChoiceInfo, JobInfo};
use crate::Error;
use crate::evidence::Status;
use crate::inventory::{Segment, Sym};
use crate::plan::instance::{Choice, Instance, Job, NONE};

/// Jobs with the instance they make up.
pub(super) struct Made {
    pub instance: Instance,
    pub jobs: Vec<JobInfo>,
    pub choices: Vec<ChoiceInfo>,
    /// Traffic of the sites with a job that counts as failing.
    pub exposed: f64,
    /// Jobs of core functions that have to be finished before radio.
    pub core: Vec<u32>,
}

/// What may be done to a part of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Do {
    Nothing,
    Vendor(Sym),
    Update,
}

/// Figures that every job needs.
struct Rates {
    phi: f64,
    carried: f64,
    /// Cost of the performance of one customer over a year after a change of vendor.
    performance: f64,
    joint_money: f64,
    joint_weeks: f64,
    mitigation: f64,
    update: f64,
    disposal: f64,
    years: f64,
}

/// A job in the making: radio units at 0, other units at 1.
struct Draft<'d> {
    site: usize,
    units: [Vec<u32>; 2],
    parts: [Part; 2],
    /// Last period by which each part has to be gone.
    last: [Option<usize>; 2],
    /// Mitigations by rule: last period, and which parts they reach.
    guards: Vec<(usize, [bool; 2])>,
    /// Customers that no neighbour carries.
    customers: f64,
    other: Segment,
    rates: &'d Rates,
}

impl Draft<'_> {
    /// Cost of mitigating what a rule asks for and is still there: `gone` is the period in which
    /// each part goes.
    fn guard(&self, discount: &[f64], gone: [Option<usize>; 2]) -> f64 {
        let due = self
            .guards
            .iter()
            .filter(|(at, hit)| (0..2).any(|k| hit[k] && gone[k].is_none_or(|g| g > *at)));
        due.map(|(at, _)| self.rates.mitigation * discount[*at]).sum()
    }
}

impl Builder<'_> {
    fn rates(&self) -> Result<Rates, Error> {
        let get = |id: &str| self.used.get(id);
        let loss = 100.0 * (1.0 - get("perf.throughput_ratio")?);
        Ok(Rates {
            phi: get("outage.value_per_customer_minute")?,
            carried: get("outage.overlap_share")?,
            performance: loss * get("perf.value_per_customer_year")?,
            joint_money: get("site.extra_visit")?,
            joint_weeks: get("crew.joint_saving_weeks")?,
            mitigation: get("mitigation.per_site")?,
            update: get("software.update_per_site")?,
            disposal: get("disposal.per_site")?,
            years: f64::from(self.setup.months) / 12.0,
        })
    }

    /// Groups of units of a site that change together: radio with transport, then single units.
    fn groups(&self, own: &[u32]) -> Vec<[Vec<u32>; 2]> {
        let is_bad = |d: &u32| self.bad[*d as usize];
        let device = |d: &u32| &self.inv.devices[*d as usize];
        // Radio units change together: all of a coupling group, if one fails.
        let failing: BTreeSet<Option<Sym>> = own
            .iter()
            .filter(|d| is_bad(d) && device(d).segment == Segment::Ran)
            .map(|d| device(d).coupling)
            .collect();
        let radio =
            |d: &u32| device(d).segment == Segment::Ran && failing.contains(&device(d).coupling);
        let pick = |f: &dyn Fn(&u32) -> bool| own.iter().copied().filter(|d| f(d)).collect();
        let visit: [Vec<u32>; 2] = [
            pick(&radio),
            pick(&|d| {
                is_bad(d) && matches!(device(d).segment, Segment::Transport | Segment::Other)
            }),
        ];
        let single = own.iter().filter(|d| {
            is_bad(d)
                && matches!(
                    device(d).segment,
                    Segment::Core | Segment::Management | Segment::AccessFixed
                )
        });
        let first = visit.iter().any(|v| !v.is_empty()).then_some(visit);
        first.into_iter().chain(single.map(|d| [Vec::new(), vec![*d]])).collect()
    }

    /// All jobs.
    pub(super) fn jobs(&mut self, duties: &Duties<'_>) -> Result<Made, Error> {
        let rates = self.rates()?;
        let by_site = self.inv.devices_by_site();
        let mut made = Made {
            instance: Instance {
                periods: self.setup.periods,
                regions: self.regions.names.len(),
                carry: self.setup.carry,
                ..Instance::default()
            },
            jobs: Vec::new(),
            choices: Vec::new(),
            exposed: 0.0,
            core: Vec::new(),
        };
        let mut weights = Vec::new();
        for s in 0..self.inv.sites.len() {
            let own = by_site.of(s);
            for (k, units) in self.groups(own).into_iter().enumerate() {
                // Traffic of a site counts once, with its first job.
                let traffic = self.inv.sites[s].traffic.unwrap_or(0.0);
                let weight = if k == 0 { traffic } else { 0.0 };
                made.exposed += weight;
                weights.push(weight);
                self.job(s, units, duties, &rates, &mut made)?;
            }
            if self.watch(s, own, duties, &rates, &mut made) {
                weights.push(0.0);
            }
        }
        made.instance.weights.push(weights);
        Ok(made)
    }

    /// What a job is about, before its choices.
    fn draft<'d>(
        &self,
        site: usize,
        units: [Vec<u32>; 2],
        duties: &Duties<'_>,
        rates: &'d Rates,
    ) -> Result<(Draft<'d>, Vec<(String, u32)>), Error> {
        let (b, unknown) = (self.b, self.setup.unknown_fails);
        let mut last = [None::<usize>; 2];
        let mut due = Vec::new();
        for d in &duties.deadlines {
            if d.places.as_ref().is_some_and(|x| !x[site]) {
                continue;
            }
            for (last, list) in last.iter_mut().zip(&units) {
                if list.iter().any(|u| b.hits(d.rule, *u as usize, unknown)) {
                    *last = Some(last.map_or(d.period, |l| l.min(d.period)));
                    due.push((d.rule.id.clone(), d.period as u32));
                }
            }
        }
        let guards = duties
            .mitigations
            .iter()
            .map(|(rule, period)| {
                let hit = |list: &Vec<u32>| list.iter().any(|u| b.hits(rule, *u as usize, unknown));
                (*period, [hit(&units[0]), hit(&units[1])])
            })
            .filter(|(_, hit)| hit[0] || hit[1])
            .collect();
        let segment = |d: &u32| self.inv.devices[*d as usize].segment;
        let customers = self.inv.sites[site].customers.unwrap_or(0.0) * (1.0 - rates.carried);
        let draft = Draft {
            site,
            parts: [self.part(&units[0], true)?, self.part(&units[1], false)?],
            last,
            guards,
            customers,
            other: units[1].first().map_or(Segment::Other, segment),
            units,
            rates,
        };
        Ok((draft, due))
    }

    /// What may be done to each part.
    fn options(&mut self, draft: &Draft<'_>, paths: bool) -> [Vec<Do>; 2] {
        let updatable = |list: &[u32]| {
            list.iter().filter(|d| self.bad[**d as usize]).all(|d| {
                self.inv.devices[*d as usize].product.is_some_and(|p| {
                    self.passing_release.get(&p).copied().unwrap_or(false)
                        && self.b.status[*d as usize] != Status::Pass
                })
            })
        };
        let mut out = [vec![Do::Nothing], vec![Do::Nothing]];
        let mut notes = Vec::new();
        for (k, segment) in [Segment::Ran, draft.other].into_iter().enumerate() {
            if draft.units[k].is_empty() {
                continue;
            }
            // Transport and single units: the most common compliant vendor; two where the paths of
            // protected places need a choice.
            let most = if k == 0 { usize::MAX } else { 1 + usize::from(paths) };
            let vendors = self.targets.get(&segment).into_iter().flatten().take(most);
            out[k].extend(vendors.map(|v| Do::Vendor(*v)));
            if updatable(&draft.units[k]) {
                out[k].push(Do::Update);
            }
            if out[k].len() == 1 {
                notes.push(format!(
                    "no compliant vendor is known for {}: its units can only be kept; name vendors in `targets`",
                    segment.name()
                ));
            }
        }
        self.notes.extend(notes);
        out
    }

    /// Whether a site can be reached in a period.
    fn open(&self, site: usize, period: usize) -> bool {
        let first = self.b.start.months() + period as i32 * self.setup.months;
        let access = self.inv.sites[site].access;
        (0..self.setup.months.min(12)).any(|m| access & (1 << (first + m).rem_euclid(12)) != 0)
    }

    fn job(
        &mut self,
        site: usize,
        units: [Vec<u32>; 2],
        duties: &Duties<'_>,
        rates: &Rates,
        made: &mut Made,
    ) -> Result<(), Error> {
        let (draft, due) = self.draft(site, units, duties, rates)?;
        let j = made.instance.jobs.len() as u32;
        let first = made.instance.choices.len() as u32;
        let cluster = match self.inv.sites[site].cluster {
            Some(c) if !draft.units[0].is_empty() => self.cluster(c)?,
            _ => NONE,
        };
        let [for_radio, for_other] = self.options(&draft, !duties.paths.is_empty());
        for &r in &for_radio {
            for &o in &for_other {
                let does = [r != Do::Nothing, o != Do::Nothing];
                // What is not done must not be due.
                if does == [false; 2] || (0..2).any(|k| !does[k] && draft.last[k].is_some()) {
                    continue;
                }
                self.choice(&draft, [r, o], cluster, duties.dispose, made)?;
            }
        }
        let must = draft.last.iter().any(Option::is_some);
        if made.instance.choices.len() as u32 == first && must {
            let device = draft.units.iter().flatten().next();
            return Err(Error::Rule {
                policy: self.b.policy.id.clone(),
                rule: due.first().map_or_else(String::new, |d| d.0.clone()),
                reason: format!(
                    "{} must go, but no compliant vendor is known for it; name vendors in `targets`, or provide evidence for a product that passes",
                    device.map_or("", |d| self.inv.devices[*d as usize].name.as_str())
                ),
            });
        }
        let guard = draft.guards.iter().map(|g| g.0).min();
        if let (Some(g), false) = (guard, must) {
            self.mitigate(draft.guards.len(), g, 1, rates, made);
        }
        if self.setup.core_first && draft.last[1].is_some() && draft.other == Segment::Core {
            made.core.push(j);
        }
        made.instance.jobs.push(Job {
            cluster,
            region: self.regions.of_site[site],
            first,
            count: made.instance.choices.len() as u32 - first,
            keep: if must || guard.is_some() { f64::INFINITY } else { 0.0 },
            member: 1,
        });
        let [radio, other] = draft.units;
        let guard = guard.map(|g| g as u32);
        made.jobs.push(JobInfo { site: site as u32, radio, other, due, guard });
        Ok(())
    }

    /// Adds the choice that does `acts` to the two parts.
    fn choice(
        &mut self,
        draft: &Draft<'_>,
        acts: [Do; 2],
        cluster: u32,
        dispose: bool,
        made: &mut Made,
    ) -> Result<(), Error> {
        let t = self.setup.periods;
        let does = acts.map(|a| a != Do::Nothing);
        let mut done: Vec<Part> = Vec::new();
        let (mut extra, mut platform) = (0.0, NONE);
        let mut words = Vec::new();
        let mut info = ChoiceInfo { radio: does[0], other: does[1], ..ChoiceInfo::default() };
        let segments = [(Segment::Ran, "radio"), (draft.other, draft.other.name())];
        for (k, (segment, name)) in segments.into_iter().enumerate() {
            match acts[k] {
                Do::Nothing => {}
                Do::Update => {
                    extra += draft.rates.update;
                    words.push(format!("update {name}"));
                }
                Do::Vendor(v) => {
                    done.push(draft.parts[k]);
                    words.push(format!("replace {name} by {}", self.inv.names.get(v)));
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
        if dispose && !done.is_empty() {
            extra += draft.rates.disposal;
        }
        let both = done.len() == 2;
        let saving = if both { draft.rates.joint_money } else { 0.0 };
        let outage = done.iter().map(|p| p.minutes).fold(0.0, f64::max) * draft.customers;
        let end = (0..2).filter(|k| does[*k]).filter_map(|k| draft.last[k]).min().unwrap_or(t - 1);
        let cost = (0..t)
            .map(|when| {
                if when > end || (!done.is_empty() && !self.open(draft.site, when)) {
                    return Ok(f64::INFINITY);
                }
                let d = self.discount[when];
                let left: f64 = self.discount[when..].iter().sum::<f64>() * draft.rates.years;
                let new = matches!(acts[0], Do::Vendor(_));
                let slower =
                    if new { draft.rates.performance * draft.customers * left } else { 0.0 };
                let gone = does.map(|d| d.then_some(when));
                Ok(self.net(&done, saving, when)?
                    + extra * d
                    + d * draft.rates.phi * outage
                    + slower
                    + draft.guard(&self.discount, gone))
            })
            .collect::<Result<Vec<f64>, Error>>()?;
        let radio_fails = draft.units[0].iter().any(|d| self.bad[*d as usize]);
        let still = (!does[0] && radio_fails) || (!does[1] && !draft.units[1].is_empty());
        let weeks: f64 = done.iter().map(|p| p.crew).sum();
        let spend: f64 = done.iter().map(|p| p.equipment + p.works).sum();
        made.instance.choices.push(Choice {
            platform,
            opens: matches!(acts[0], Do::Vendor(_)) && cluster != NONE,
            member: u64::from(still),
            spend: (spend - saving + extra).max(0.0),
            crew: (weeks - if both { draft.rates.joint_weeks } else { 0.0 }).max(0.0),
            outage,
            cost,
        });
        made.choices.push(info);
        Ok(())
    }

    /// Adds the choice that keeps a job and mitigates it by the end of `last`.
    fn mitigate(&self, rules: usize, last: usize, member: u64, rates: &Rates, made: &mut Made) {
        let spend = rates.mitigation * rules as f64;
        let cost = |when: usize| {
            if when > last { f64::INFINITY } else { spend * self.discount[when] }
        };
        made.instance.choices.push(Choice {
            platform: NONE,
            opens: false,
            member,
            spend,
            crew: 0.0,
            outage: 0.0,
            cost: (0..self.setup.periods).map(cost).collect(),
        });
        made.choices.push(ChoiceInfo {
            what: "mitigate".into(),
            mitigates: true,
            ..ChoiceInfo::default()
        });
    }

    /// Units of a site that only have to be mitigated make one job; says whether there are any.
    fn watch(
        &self,
        site: usize,
        own: &[u32],
        duties: &Duties<'_>,
        rates: &Rates,
        made: &mut Made,
    ) -> bool {
        let unknown = self.setup.unknown_fails;
        let hit = |rule, d: &u32| self.b.hits(rule, *d as usize, unknown);
        let alone: Vec<u32> = own.iter().copied().filter(|d| !self.bad[*d as usize]).collect();
        let guards: Vec<_> =
            duties.mitigations.iter().filter(|(r, _)| alone.iter().any(|d| hit(r, d))).collect();
        let Some(last) = guards.iter().map(|g| g.1).min() else { return false };
        let other = alone.into_iter().filter(|d| guards.iter().any(|(r, _)| hit(r, d))).collect();
        let first = made.instance.choices.len() as u32;
        self.mitigate(guards.len(), last, 0, rates, made);
        made.instance.jobs.push(Job {
            cluster: NONE,
            region: self.regions.of_site[site],
            first,
            count: 1,
            keep: f64::INFINITY,
            member: 0,
        });
        made.jobs.push(JobInfo {
            site: site as u32,
            radio: Vec::new(),
            other,
            due: guards.iter().map(|(r, p)| (r.id.clone(), *p as u32)).collect(),
            guard: Some(last as u32),
        });
        true
    }
}
