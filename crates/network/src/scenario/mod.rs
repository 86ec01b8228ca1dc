//! Several plans side by side: the frontier of cost and exposure, scenarios, sensitivity.

pub mod frontier;
pub mod sensitivity;

use serde::Serialize;

use crate::plan::Status;
use crate::plan::build::Program;
use crate::plan::document::Document;

pub use frontier::{Point, frontier};

/// One policy in a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Policy id.
    pub policy: String,
    /// What is known about its plan.
    pub status: Status,
    /// Net cost and its proven lower bound.
    pub cost: (f64, f64),
    /// Money by period.
    pub spend: Vec<f64>,
    /// Share of traffic on failing units at the start and at the end of each period.
    pub exposure: Vec<f64>,
    /// Traffic-years on failing units within the plan, as share of all traffic.
    pub exposure_years: f64,
    /// Customer-minutes of outage.
    pub customer_minutes: f64,
    /// Radio vendor shares by traffic at the end.
    pub vendors: Vec<(String, f64)>,
    /// Herfindahl-Hirschman index of radio vendors by traffic at the end.
    pub hhi: f64,
    /// First date on which every rule is kept, if there is one.
    pub compliant: Option<crate::date::Date>,
    /// The same if what is unknown passes.
    pub compliant_if_passing: Option<crate::date::Date>,
}

impl Column {
    /// The column of a finished plan.
    #[must_use]
    pub fn new(program: &Program, inventory: &crate::inventory::Inventory, d: &Document) -> Self {
        let years = f64::from(d.setup.months) / 12.0;
        let start =
            if program.exposed.1 > 0.0 { program.exposed.0 / program.exposed.1 } else { 0.0 };
        let mut exposure = vec![start];
        exposure.extend(d.periods.iter().map(|p| p.exposure));
        // Vendors at the end: the inventory with the plan carried out.
        let mut after = inventory.clone();
        let plan: Vec<_> = d.jobs.iter().map(|j| j.choice.zip(j.period.map(|p| p - 1))).collect();
        for (device, change) in after.devices.iter_mut().zip(program.changes(inventory, &plan)) {
            if let Some((_, vendor)) = change.replaced {
                device.vendor = vendor;
            }
        }
        let radio = crate::exposure::concentration(&after).into_iter().find(|c| {
            c.segment == crate::inventory::Segment::Ran
                && c.weight == crate::exposure::Weight::Traffic
        });
        let dates: std::collections::BTreeSet<_> =
            std::iter::once(d.start).chain(d.compliance.iter().map(|a| a.on)).collect();
        let kept = |on: &crate::date::Date| {
            let mut then = d.compliance.iter().filter(|a| a.on == *on);
            then.all(|a| a.kept == crate::evidence::Status::Pass)
        };
        let none_fails = |on: &crate::date::Date| {
            let mut then = d.compliance.iter().filter(|a| a.on == *on);
            then.all(|a| a.kept != crate::evidence::Status::Fail)
        };
        let compliant = dates.iter().copied().find(kept);
        let compliant_if_passing = dates.into_iter().find(none_fails);
        Self {
            policy: d.policy.clone(),
            status: d.status,
            cost: (d.cost, d.bound),
            spend: d.periods.iter().map(|p| p.spend).collect(),
            exposure_years: exposure.iter().take(d.periods.len()).sum::<f64>() * years,
            exposure,
            customer_minutes: d.periods.iter().map(|p| p.customer_minutes).sum(),
            vendors: radio.as_ref().map(|r| r.vendors.clone()).unwrap_or_default(),
            hhi: radio.map_or(0.0, |r| r.hhi.low),
            compliant,
            compliant_if_passing,
        }
    }
}

/// What one policy adds to another: cost within the certified band, and protection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adds {
    /// The stricter or other policy.
    pub policy: String,
    /// What it is compared with.
    pub over: String,
    /// Extra cost: lowest and highest that the bounds allow.
    pub cost: crate::Interval,
    /// Traffic-years on failing units that are avoided in addition, as share of all traffic.
    pub protection: f64,
}

/// What each of two policies adds over the other.
#[must_use]
pub fn adds(a: &Column, b: &Column) -> Adds {
    Adds {
        policy: a.policy.clone(),
        over: b.policy.clone(),
        cost: crate::Interval { low: a.cost.1 - b.cost.0, high: a.cost.0 - b.cost.1 },
        protection: b.exposure_years - a.exposure_years,
    }
}
