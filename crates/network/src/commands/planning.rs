//! Plans, what they are compared with, and going on from a former plan.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::{World, exposure, json};
use crate::cost::{Level, Used};
use crate::exposure::disjoint::{Holders, cuts, hopeless};
use crate::exposure::{self as measures, graph::Graph};
use crate::plan::build::{Program, Setup};
use crate::plan::check::account;
use crate::plan::document::{Document, Extra};
use crate::plan::former::Former;
use crate::plan::{self, Solution, conflict, solve};
use crate::policy::{Bound, Policy};
use crate::scenario::sensitivity::{self, Bar, tornado};
use crate::scenario::{Adds, Column, Point, adds, frontier as walk};
use crate::{Error, Progress, Watch, report, tables};

/// What a plan starts from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// A former `plan.json` of the same problem to improve.
    pub resume: Option<PathBuf>,
    /// A former `plan.json` whose later part was promised, with the price of changing one job of it.
    /// What it does before the start of this plan has to be in the inventory: see
    /// [`World::carry_out`].
    pub promised: Option<(Former, f64)>,
}

/// A plan with everything needed to write it.
#[derive(Debug)]
pub struct Planned {
    /// The document.
    pub document: Document,
    /// The problem behind it.
    pub program: Program,
    /// What is decided for each job.
    pub plan: Vec<plan::Decision>,
}

/// Most rounds of forbidding what completes a vendor's cut.
const PATH_ROUNDS: usize = 8;

/// Solves, and forbids what leaves a protected place to a single vendor until nothing does.
fn solve_paths(
    world: &World,
    program: &mut Program,
    unknown: bool,
    options: &plan::Options,
    watch: &dyn Watch,
) -> Result<(Solution, Vec<String>), Error> {
    let inv = world.inventory();
    let mut options = options.clone();
    let mut solution = solve(&program.instance, &options, watch)?;
    let mut words = Vec::new();
    if program.paths.is_empty() {
        return Ok((solution, words));
    }
    let graph = Graph::new(inv, measures::core_sites(inv));
    let places = program.paths.clone();
    for _ in 0..PATH_ROUNDS {
        words.clear();
        let changes = program.changes(inv, &solution.plan);
        let holders =
            Holders::new(inv, |d| changes[d].replaced.map_or(inv.devices[d].vendor, |r| r.1));
        let mut added = 0;
        for place in &places {
            let found = cuts(&graph, &holders, &place.sites, unknown);
            let lone = hopeless(&found);
            if !lone.is_empty() {
                words.push(format!(
                    "rule {}: {} protected sites hang on a single site on their way to the core; no choice of vendors mends that, only another link does",
                    place.rule,
                    lone.len()
                ));
            }
            let rest: Vec<_> = found.into_iter().filter(|c| c.sites.len() > 1).collect();
            let new = program.forbid(inv, place, &rest);
            if new == 0 && !rest.is_empty() {
                words.push(format!(
                    "rule {}: {} protected sites stay within reach of one vendor: the equipment in between is not replaced by this policy",
                    place.rule,
                    rest.len()
                ));
            }
            added += new;
        }
        if added == 0 || solution.stopped {
            break;
        }
        options.start = Some(solution.plan);
        solution = solve(&program.instance, &options, watch)?;
    }
    Ok((solution, words))
}

/// Plans under a policy.
///
/// # Errors
/// The policy cannot be planned for, or a file cannot be read.
pub fn plan(
    world: &World,
    policy: &Policy,
    setup: &Setup,
    options: &plan::Options,
    origin: &Origin,
    watch: &dyn Watch,
) -> Result<Planned, Error> {
    let bound = world.bind(policy)?;
    let mut program = world.program(&bound, setup)?;
    let mut options = options.clone();
    if let Some(path) = &origin.resume {
        let former = Former::load(path)?;
        options.start = Some(former.decisions(world.inventory(), &program));
    }
    let promised = match &origin.promised {
        Some((former, price)) => Some(former.price(world.inventory(), &mut program, *price)?),
        None => None,
    };
    if let (None, Some(p)) = (&options.start, &promised) {
        options.start = Some(p.plan.clone());
    }
    let (solution, paths) = solve_paths(world, &mut program, setup.unknown_fails, &options, watch)?;
    let mut extra = Extra { paths, ..Extra::default() };
    if let Some(p) = &promised {
        extra.promised = Some(p.account(&solution.plan));
    }
    if !solution.account.violations.is_empty() {
        let c = conflict::explain(&program.instance, &solution, watch)?;
        // Only orders of magnitude are asked for here.
        let quick = plan::Options {
            rounds: 1,
            moves: options.moves / 4,
            start: None,
            backend: None,
            ..options
        };
        if !solution.stopped {
            extra.ways_out = conflict::ways_out(&program.instance, &c.limits, &quick, watch)?;
        }
        extra.conflict = Some(c);
    }
    extra.range = range(world, &bound, setup, &solution.plan)?;
    let document = Document::new(&bound, &program, setup, &solution, extra)?;
    Ok(Planned { document, program, plan: solution.plan })
}

/// Cost of a plan with all cost items at their low and at their high ends.
fn range(
    world: &World,
    bound: &Bound<'_>,
    setup: &Setup,
    plan: &[plan::Decision],
) -> Result<(f64, f64), Error> {
    let at = |level| -> Result<f64, Error> {
        let used = Used::new(&world.costs, level);
        let p = Program::build(bound, &world.evidence, &world.requirements, &used, setup)?;
        Ok(account(&p.instance, plan).cost)
    };
    Ok((at(Level::Low)?, at(Level::High)?))
}

/// Files of a plan: `plan.json`, `plan.csv`, `tables.xlsx`, `report.html`.
///
/// # Errors
/// Nothing can be made of the result.
pub fn plan_files(world: &World, planned: &Planned) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let exposure = exposure(world, 10);
    let column = Column::new(&planned.program, world.inventory(), &planned.document);
    let show = report::Shown {
        world,
        exposure: &exposure,
        plans: &[planned],
        columns: &[column],
        points: &[],
        bars: &[],
    };
    Ok(vec![
        ("plan.json".into(), json(&planned.document)?),
        ("plan.csv".into(), planned.document.csv().into_bytes()),
        ("tables.xlsx".into(), tables::workbook(&show)?),
        ("report.html".into(), report::page(&show).into_bytes()),
    ])
}

/// The frontier of cost and exposure under a policy.
///
/// # Errors
/// See [`plan()`].
pub fn frontier(
    world: &World,
    policy: &Policy,
    setup: &Setup,
    points: usize,
    options: &plan::Options,
    watch: &dyn Watch,
) -> Result<Vec<Point>, Error> {
    let bound = world.bind(policy)?;
    let program = world.program(&bound, setup)?;
    walk(&program, f64::from(setup.months) / 12.0, points, options, watch)
}

/// Policies side by side.
#[derive(Debug)]
pub struct Compared {
    /// Plans in the order of the policies.
    pub plans: Vec<Planned>,
    /// Their columns.
    pub columns: Vec<Column>,
    /// What each adds over each other.
    pub adds: Vec<Adds>,
    /// What the answer hangs on, between the first policy and the one that judges by evidence (or
    /// the next one); empty until asked for.
    pub bars: Vec<Bar>,
    /// Cost against exposure; empty until asked for.
    pub points: Vec<Point>,
}

/// Plans under several policies and compares them.
///
/// # Errors
/// See [`plan()`].
pub fn scenarios(
    world: &World,
    policies: &[Policy],
    setup: &Setup,
    options: &plan::Options,
    watch: &dyn Watch,
) -> Result<Compared, Error> {
    let plans: Vec<Planned> = policies
        .iter()
        .map(|p| {
            let named = |x: &Progress<'_>| {
                watch.tell(&Progress { stage: &format!("{}: {}", p.id, x.stage), ..*x })
            };
            plan(world, p, setup, options, &Origin::default(), &named)
        })
        .collect::<Result<_, _>>()?;
    let columns: Vec<Column> =
        plans.iter().map(|p| Column::new(&p.program, world.inventory(), &p.document)).collect();
    let mut list = Vec::new();
    for (i, a) in columns.iter().enumerate() {
        for (j, b) in columns.iter().enumerate() {
            if i != j {
                list.push(adds(a, b));
            }
        }
    }
    Ok(Compared { plans, columns, adds: list, bars: Vec::new(), points: Vec::new() })
}

/// What the cost of a plan, and the choice between two, hang on. The plans stay as they are.
///
/// # Errors
/// See [`plan()`].
pub fn sensitivity(
    world: &World,
    first: (&Policy, &Planned),
    second: Option<(&Policy, &Planned)>,
    setup: &Setup,
) -> Result<Vec<Bar>, Error> {
    let a = world.bind(first.0)?;
    let b = second.map(|s| world.bind(s.0)).transpose()?;
    let one = sensitivity::Planned { bound: &a, plan: &first.1.plan };
    let two =
        b.as_ref().zip(second).map(|(bound, s)| sensitivity::Planned { bound, plan: &s.1.plan });
    tornado(&one, two.as_ref(), &world.evidence, &world.requirements, &world.costs, setup)
}

/// Files of a comparison: `scenarios.json`, `report.html`, `tables.xlsx`, and each plan as JSON and
/// CSV.
///
/// # Errors
/// Nothing can be made of the result.
pub fn scenario_files(world: &World, c: &Compared) -> Result<Vec<(String, Vec<u8>)>, Error> {
    #[derive(Serialize)]
    struct All<'a> {
        columns: &'a [Column],
        adds: &'a [Adds],
        frontier: &'a [Point],
        sensitivity: &'a [Bar],
    }
    let exposure = exposure(world, 10);
    let list: Vec<&Planned> = c.plans.iter().collect();
    let show = report::Shown {
        world,
        exposure: &exposure,
        plans: &list,
        columns: &c.columns,
        points: &c.points,
        bars: &c.bars,
    };
    let all = All { columns: &c.columns, adds: &c.adds, frontier: &c.points, sensitivity: &c.bars };
    let mut out = vec![
        ("scenarios.json".into(), json(&all)?),
        ("tables.xlsx".into(), tables::workbook(&show)?),
        ("report.html".into(), report::page(&show).into_bytes()),
    ];
    for p in &c.plans {
        out.push((format!("plan-{}.json", p.document.policy), json(&p.document)?));
        out.push((format!("plan-{}.csv", p.document.policy), p.document.csv().into_bytes()));
    }
    Ok(out)
}

impl World {
    /// Puts what a former plan did before the start of this one into the inventory: the vendors
    /// that devices changed to, and a verdict for what was put in. Returns the number of devices.
    ///
    /// # Errors
    /// A device of the plan is not in the inventory.
    pub fn carry_out(&mut self, former: &Former) -> Result<usize, Error> {
        let index: BTreeMap<String, usize> =
            self.inventory().devices.iter().enumerate().map(|(i, d)| (d.name.clone(), i)).collect();
        let mut count = 0;
        for (device, vendor) in former.done(self.start) {
            let Some(&i) = index.get(device) else {
                return Err(Error::format(
                    &former.name,
                    format!(
                        "device {device:?} is not in the inventory; plan anew without the former plan"
                    ),
                ));
            };
            let names = &mut self.loaded.inventory.names;
            let old = &self.loaded.inventory.devices[i];
            let (product, release) = match vendor {
                Some(v) => (names.intern(&format!("{v}, as planned")), names.intern("as planned")),
                None => (
                    old.product.unwrap_or_else(|| names.intern(device)),
                    names.intern("as planned"),
                ),
            };
            let vendor = vendor.map(|v| names.intern(v)).or(old.vendor);
            let d = &mut self.loaded.inventory.devices[i];
            (d.vendor, d.product, d.release) = (vendor, Some(product), Some(release));
            d.installed = Some(self.start);
            let names = &self.loaded.inventory.names;
            let (product, release) = (names.get(product).to_owned(), names.get(release));
            let one = ["as planned".to_owned()];
            let of = if self.requirements.is_empty() { &one[..] } else { &self.requirements };
            for r in of {
                self.evidence.add_verdict(&product, release, r, proofmark_model::Verdict::Pass);
            }
            count += 1;
        }
        self.status = self.evidence.statuses(&self.loaded.inventory, &self.requirements);
        Ok(count)
    }
}
