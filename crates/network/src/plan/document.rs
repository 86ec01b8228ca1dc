//! A plan as it is written to files: `plan.json` and `plan.csv`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::build::{Program, Setup};
use super::check::{Violation, What};
use super::conflict::{self, Conflict, Limit};
use super::former::Kept;
use super::instance::NONE;
use super::schedule::{self, Broken};
use super::{Duals, Solution, Status};
use crate::Error;
use crate::cost::Item;
use crate::date::Date;
use crate::inventory::{Inventory, csv::push_record};
use crate::policy::{
    Bound,
    comply::{Answer, comply},
};

/// What one period holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Period {
    /// From 1.
    pub number: u32,
    /// Its last day.
    pub end: Date,
    /// Money drawn, not discounted.
    pub spend: f64,
    /// Money available; none is no limit.
    pub budget: Option<f64>,
    /// Jobs done.
    pub jobs: usize,
    /// Crew-weeks drawn and available.
    pub crew_weeks: (f64, f64),
    /// Customer-minutes of outage.
    pub customer_minutes: f64,
    /// Share of traffic on failing units at its end.
    pub exposure: f64,
}

/// One job of the plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedJob {
    /// Index of the job in the problem.
    pub job: u32,
    /// Site.
    pub site: String,
    /// Cluster.
    pub cluster: String,
    /// Region.
    pub region: String,
    /// Devices.
    pub devices: Vec<String>,
    /// What is done; `keep` if nothing.
    pub action: String,
    /// Index of the choice among the job's own.
    pub choice: Option<u32>,
    /// Period, from 1.
    pub period: Option<u32>,
    /// Week within the period, from 1; see [`super::schedule`].
    pub week: Option<u32>,
    /// Money, not discounted.
    pub spend: f64,
    /// Crew-weeks.
    pub crew_weeks: f64,
    /// Customer-minutes of outage.
    pub customer_minutes: f64,
    /// Rules that set a date.
    pub due: Vec<String>,
    /// Devices that get another vendor, or another release of their own (then none).
    pub to: Vec<(String, Option<String>)>,
}

/// What a way out of a conflict costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WayOut {
    /// The limit that is dropped.
    pub without: String,
    /// Cost of the best plan found then; none when that alone is not enough.
    pub cost: Option<f64>,
}

/// What is known about a plan beside its solution.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// Why not everything is kept.
    pub conflict: Option<Conflict>,
    /// Cost of the best plan when one limit of the conflict is dropped.
    pub ways_out: Vec<(Limit, Option<f64>)>,
    /// Cost with all cost items at their low and at their high ends.
    pub range: (f64, f64),
    /// What no choice of vendors can mend, in words.
    pub paths: Vec<String>,
    /// What was kept of a former plan.
    pub promised: Option<Kept>,
}

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// `proofmark-plan/1`
    pub schema: &'static str,
    /// Policy id.
    pub policy: String,
    /// What is known about the plan.
    pub status: Status,
    /// Whether it was stopped before it was done.
    pub stopped: bool,
    /// Net cost: discounted, refresh credited, outage and performance valued.
    pub cost: f64,
    /// The same plan with all cost items at their low and at their high ends.
    pub cost_range: (f64, f64),
    /// Proven: no plan costs less.
    pub bound: f64,
    /// `(cost - bound) / cost`; null when not every limit is kept.
    pub gap: f64,
    /// Start of the plan.
    pub start: Date,
    /// Parameters.
    pub setup: Setup,
    /// Money drawn in all, not discounted.
    pub spend: f64,
    /// Openings, onboarding and borders within the cost.
    pub fixed: BTreeMap<&'static str, f64>,
    /// Periods.
    pub periods: Vec<Period>,
    /// Compliance by rule at the start and at the end of each period.
    pub compliance: Vec<Answer>,
    /// Onboarding: platform and period, from 1.
    pub onboarding: Vec<(String, u32)>,
    /// Price of each constraint: what one unit more would save.
    pub prices: Duals,
    /// Names of the rows behind the prices.
    pub rows: Vec<String>,
    /// Why not everything is kept, where it is not.
    pub conflict: Option<Conflict>,
    /// The same in words.
    pub conflict_words: Vec<String>,
    /// What each single limit of the conflict costs: the plan without it.
    pub ways_out: Vec<WayOut>,
    /// What was kept of a former plan that was promised.
    pub promised: Option<Kept>,
    /// Soft rules that the weekly schedule does not keep, at most [`LISTED`].
    pub schedule: Vec<Broken>,
    /// How many there are.
    pub schedule_broken: usize,
    /// What was assumed or left aside.
    pub notes: Vec<String>,
    /// Cost items used, with their confidence.
    pub items: Vec<Item>,
    /// SHA-256 of the decisions: equal plans have equal digests.
    pub digest: String,
    /// Jobs that are done or have to be.
    pub jobs: Vec<PlannedJob>,
}

/// Most broken soft rules listed.
pub const LISTED: usize = 1000;

impl Document {
    /// Puts everything about a solved program together.
    ///
    /// # Errors
    /// A rule refers to an event without a date.
    pub fn new(
        b: &Bound<'_>,
        program: &Program,
        setup: &Setup,
        solution: &Solution,
        extra: Extra,
    ) -> Result<Self, Error> {
        let inv: &Inventory = b.inventory;
        let p = &program.instance;
        let a = &solution.account;
        let exposure = program.exposure(&solution.plan);
        let changes = program.changes(inv, &solution.plan);
        let mut compliance = comply(b, &[], b.start)?;
        for end in &program.ends {
            compliance.extend(comply(b, &changes, *end)?);
        }
        let near = schedule::neighbours(inv);
        let weeks = schedule::weeks(inv, program, &solution.plan, setup.months, &near);
        let mut broken = schedule::check(inv, program, &solution.plan, &weeks, setup.months, &near);
        let schedule_broken = broken.len();
        broken.truncate(LISTED);
        let jobs: Vec<PlannedJob> = (0..p.jobs.len())
            .map(|j| {
                let info = &program.jobs[j];
                let done = solution.plan[j];
                let choice = done.map(|(c, _)| &p.choices_of(j)[c as usize]);
                let what =
                    done.map(|(c, _)| program.choices[(p.jobs[j].first + c) as usize].what.clone());
                let name = |list: &[u32]| {
                    list.iter().map(|d| inv.devices[*d as usize].name.clone()).collect::<Vec<_>>()
                };
                let to = done.map(|(c, _)| {
                    let c = &program.choices[(p.jobs[j].first + c) as usize];
                    let part = |list: &[u32], does: bool, vendor| {
                        let vendor: Option<String> =
                            Some(inv.text(vendor).to_owned()).filter(|v| !v.is_empty());
                        let list = if does { name(list) } else { Vec::new() };
                        list.into_iter().map(move |d| (d, vendor.clone()))
                    };
                    part(&info.radio, c.radio, c.radio_vendor)
                        .chain(part(&info.other, c.other, c.other_vendor))
                        .collect()
                });
                PlannedJob {
                    job: j as u32,
                    site: inv.sites[info.site as usize].name.clone(),
                    cluster: match p.jobs[j].cluster {
                        NONE => String::new(),
                        c => program.clusters[c as usize].clone(),
                    },
                    region: program.regions[p.jobs[j].region as usize].clone(),
                    devices: [name(&info.radio), name(&info.other)].concat(),
                    action: what.unwrap_or_else(|| "keep".into()),
                    choice: done.map(|d| d.0),
                    period: done.map(|d| d.1 + 1),
                    week: weeks[j],
                    spend: choice.map_or(0.0, |c| c.spend),
                    crew_weeks: choice.map_or(0.0, |c| c.crew),
                    customer_minutes: choice.map_or(0.0, |c| c.outage),
                    due: info
                        .due
                        .iter()
                        .map(|d| format!("{} by period {}", d.0, d.1 + 1))
                        .collect(),
                    to: to.unwrap_or_default(),
                }
            })
            .collect();
        let periods = (0..p.periods)
            .map(|s| {
                let sum = |v: &[f64]| (0..p.regions).map(|r| v[r * p.periods + s]).sum::<f64>();
                Period {
                    number: s as u32 + 1,
                    end: program.ends[s],
                    spend: a.spend[s],
                    budget: p.money[s].is_finite().then_some(p.money[s]),
                    jobs: solution
                        .plan
                        .iter()
                        .filter(|d| d.is_some_and(|d| d.1 as usize == s))
                        .count(),
                    crew_weeks: (sum(&a.crews), sum(&p.crews)),
                    customer_minutes: sum(&a.outage),
                    exposure: exposure[s],
                }
            })
            .collect();
        let mut text = String::new();
        for d in &solution.plan {
            text.push_str(&d.map_or("-".into(), |(c, w)| format!("{c}@{w}")));
            text.push(' ');
        }
        let limit = |l: &Limit| match l {
            Limit::Rule(k) => {
                let rule = b.policy.rules.get(*k as usize);
                rule.map_or_else(|| "exposure".into(), |r| format!("rule {}", r.id))
            }
            Limit::Dates => "dates of removal".into(),
            other => format!("{other:?}").to_lowercase(),
        };
        let ways_out: Vec<WayOut> = extra
            .ways_out
            .iter()
            .map(|(l, cost)| WayOut { without: limit(l), cost: *cost })
            .collect();
        let mut words = extra.paths;
        if let Some(c) = &extra.conflict {
            let names: Vec<String> = c.limits.iter().map(limit).collect();
            if !names.is_empty() {
                words.push(format!("cannot all hold: {}", names.join(", ")));
            }
            words.extend(ways_out.iter().map(|w| match w.cost {
                Some(cost) => format!("without {}: a plan at {cost:.0}", w.without),
                None => format!("without {} alone no plan was found either", w.without),
            }));
            let (undone, rest): (Vec<&Violation>, Vec<&Violation>) =
                c.relaxation.iter().partition(|v| matches!(v.what, What::Job { .. }));
            let sites: Vec<&str> = undone
                .iter()
                .filter_map(|v| match v.what {
                    What::Job { job } => program.jobs.get(job as usize),
                    _ => None,
                })
                .map(|j| inv.sites[j.site as usize].name.as_str())
                .take(5)
                .collect();
            if !undone.is_empty() {
                words.push(format!(
                    "least that has to give: {} jobs are not done by their date, such as at {}",
                    undone.len(),
                    sites.join(", ")
                ));
            }
            words.extend(rest.iter().take(50).map(|v| {
                let what = conflict::words(v, &program.regions, &program.rows);
                format!("least that has to give: {what}")
            }));
        }
        Ok(Self {
            schema: "proofmark-plan/1",
            policy: b.policy.id.clone(),
            status: solution.status,
            stopped: solution.stopped,
            cost: a.cost,
            cost_range: extra.range,
            bound: solution.bound,
            gap: solution.gap,
            start: b.start,
            setup: setup.clone(),
            spend: a.spend.iter().sum(),
            fixed: [("openings", a.openings), ("onboarding", a.onboarding), ("borders", a.borders)]
                .into(),
            periods,
            compliance,
            onboarding: a
                .onboarded
                .iter()
                .map(|(p, s)| (program.platforms[*p as usize].clone(), s + 1))
                .collect(),
            prices: solution.prices.clone(),
            rows: program.rows.clone(),
            conflict: extra.conflict,
            conflict_words: words,
            ways_out,
            promised: extra.promised,
            schedule: broken,
            schedule_broken,
            notes: program.notes.clone(),
            items: program.items.clone(),
            digest: proofmark_model::Digest::of(text.as_bytes()).to_string(),
            jobs,
        })
    }

    /// The jobs as CSV.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = String::new();
        push_record(
            &mut out,
            [
                "job",
                "site",
                "cluster",
                "region",
                "devices",
                "action",
                "period",
                "week",
                "spend",
                "crew_weeks",
                "customer_minutes",
                "due",
            ],
        );
        for j in &self.jobs {
            let number = |x: Option<u32>| x.map_or_else(String::new, |x| x.to_string());
            push_record(
                &mut out,
                [
                    j.job.to_string(),
                    j.site.clone(),
                    j.cluster.clone(),
                    j.region.clone(),
                    j.devices.join(" "),
                    j.action.clone(),
                    number(j.period),
                    number(j.week),
                    format!("{:.0}", j.spend),
                    format!("{:.3}", j.crew_weeks),
                    format!("{:.0}", j.customer_minutes),
                    j.due.join("; "),
                ],
            );
        }
        out
    }
}
