//! Going on from a former plan: to improve it, or to plan anew from the state reached while what
//! was promised has a price.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::build::Program;
use super::instance::Decision;
use crate::date::Date;
use crate::inventory::Inventory;
use crate::{Error, files};

/// A `plan.json` as far as it is needed here.
#[derive(Debug, Clone, Deserialize)]
pub struct Former {
    /// Where it comes from.
    #[serde(skip)]
    pub name: String,
    schema: String,
    periods: Vec<FormerPeriod>,
    jobs: Vec<FormerJob>,
}

#[derive(Debug, Clone, Deserialize)]
struct FormerPeriod {
    end: Date,
}

#[derive(Debug, Clone, Deserialize)]
struct FormerJob {
    devices: Vec<String>,
    action: String,
    period: Option<usize>,
    #[serde(default)]
    to: Vec<(String, Option<String>)>,
}

/// A promise carried over into a new problem.
#[derive(Debug, Clone)]
pub struct Promise {
    /// What was promised, as far as the new problem knows it.
    pub plan: Vec<Decision>,
    /// Whether each job was promised something (to be done, or to be kept).
    pub bound: Vec<bool>,
    price: f64,
}

/// What a plan kept of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kept {
    /// Jobs that were promised.
    pub promised: usize,
    /// Of them, done as promised.
    pub kept: usize,
    /// Of them, done otherwise or at another time.
    pub changed: usize,
    /// Price of one change, which is part of the cost.
    pub price: f64,
}

impl Former {
    /// Reads a `plan.json`.
    ///
    /// # Errors
    /// The file cannot be read or is no plan.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = files::read(path, 1 << 30)?;
        Self::parse(&path.display().to_string(), &bytes)
    }

    /// Reads the text of a `plan.json`.
    ///
    /// # Errors
    /// It is no plan.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, Error> {
        let bad = |reason: String| Error::format(name, format!("not a plan: {reason}"));
        let mut out: Self = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
        if out.schema != "proofmark-plan/1" {
            return Err(bad(format!("its schema is {:?}, not proofmark-plan/1", out.schema)));
        }
        if let Some(j) =
            out.jobs.iter().find(|j| j.period.is_some_and(|p| p == 0 || p > out.periods.len()))
        {
            return Err(bad(format!(
                "a job of {:?} is in a period that does not exist",
                j.devices
            )));
        }
        out.name = name.to_owned();
        Ok(out)
    }

    /// Last day of the period in which a job is done.
    fn end(&self, job: &FormerJob) -> Option<Date> {
        job.period.and_then(|p| self.periods.get(p - 1)).map(|p| p.end)
    }

    /// Devices that were to change by a day, with their new vendor (none: a new release).
    pub fn done(&self, by: Date) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.jobs
            .iter()
            .filter(move |j| self.end(j).is_some_and(|e| e <= by))
            .flat_map(|j| &j.to)
            .map(|(d, v)| (d.as_str(), v.as_deref()))
    }

    /// For each job of a program, what this plan says about the same devices: nothing, to keep
    /// them (`Some(None)`), or a choice and period that the program has as well.
    fn said(&self, inventory: &Inventory, program: &Program) -> Vec<Option<Decision>> {
        let by: BTreeMap<&[String], &FormerJob> =
            self.jobs.iter().map(|j| (j.devices.as_slice(), j)).collect();
        program
            .jobs
            .iter()
            .zip(&program.instance.jobs)
            .map(|(info, job)| {
                let devices: Vec<String> = info
                    .radio
                    .iter()
                    .chain(&info.other)
                    .map(|d| inventory.devices[*d as usize].name.clone())
                    .collect();
                let former = by.get(devices.as_slice())?;
                let Some(end) = self.end(former) else { return Some(None) };
                let c = (0..job.count)
                    .find(|c| program.choices[(job.first + c) as usize].what == former.action)?;
                let when = program.ends.iter().position(|e| *e == end)?;
                Some(Some((c, when as u32)))
            })
            .collect()
    }

    /// The decisions for the jobs of a program: jobs are matched by their devices, actions by their
    /// words, periods by their last day, so a plan survives a changed inventory as far as it can.
    #[must_use]
    pub fn decisions(&self, inventory: &Inventory, program: &Program) -> Vec<Decision> {
        self.said(inventory, program).into_iter().map(Option::flatten).collect()
    }

    /// Puts a price on doing anything else than what was promised.
    ///
    /// # Errors
    /// The price is negative or no number.
    pub fn price(
        &self,
        inventory: &Inventory,
        program: &mut Program,
        price: f64,
    ) -> Result<Promise, Error> {
        if !price.is_finite() || price < 0.0 {
            return Err(Error::instance(
                "price of a change",
                "must be a number that is not negative",
            ));
        }
        let said = self.said(inventory, program);
        let p = &mut program.instance;
        let t = p.periods;
        for (job, said) in p.jobs.iter_mut().zip(&said) {
            let Some(said) = said else { continue };
            if said.is_some() {
                job.keep += price;
            }
            for c in 0..job.count {
                let cost = &mut p.choices[(job.first + c) as usize].cost;
                for (when, x) in (0u32..).zip(cost.iter_mut()).take(t) {
                    if *said != Some((c, when)) {
                        *x += price;
                    }
                }
            }
        }
        Ok(Promise {
            bound: said.iter().map(Option::is_some).collect(),
            plan: said.into_iter().map(Option::flatten).collect(),
            price,
        })
    }
}

impl Promise {
    /// What a plan keeps of it.
    #[must_use]
    pub fn account(&self, plan: &[Decision]) -> Kept {
        let promised = self.bound.iter().filter(|b| **b).count();
        let kept = self
            .bound
            .iter()
            .zip(&self.plan)
            .zip(plan)
            .filter(|((b, old), new)| **b && old == new)
            .count();
        Kept { promised, kept, changed: promised - kept, price: self.price }
    }
}
