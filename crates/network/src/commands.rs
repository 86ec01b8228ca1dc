//! What the command line calls: options in, results out, files written at the end in one go.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cost::{Costs, Level, Used};
use crate::date::Date;
use crate::evidence::{Evidence, Status};
use crate::exposure::{self, Exposure};
use crate::inventory::{self, AliasGuess, Inventory, Loaded, Problem, Problems};
use crate::plan::build::{Program, Setup};
use crate::plan::document::{Document, read_back};
use crate::plan::{self, conflict, solve};
use crate::policy::comply::{Answer, comply as answers};
use crate::policy::{Binding, Bound, Policy};
use crate::scenario::{Adds, Column, Point, adds, frontier as walk};
use crate::{Error, Watch, files, report};

/// What every command needs.
#[derive(Debug, Clone)]
pub struct Input {
    /// Folder or file of the inventory.
    pub inventory: PathBuf,
    /// How to read it.
    pub options: inventory::Options,
    /// Folder of assessments and verdicts, or a `verdicts.csv`.
    pub evidence: Option<PathBuf>,
    /// Requirements that count; empty: all with a verdict.
    pub requirements: Vec<String>,
    /// The designated set and dates of events. Without vendors, products or `failing`, the units
    /// that fail are designated.
    pub binding: Binding,
    /// Start of the plan, or the date compliance is looked at first.
    pub start: Date,
    /// Files that override cost items.
    pub costs: Vec<PathBuf>,
    /// Which figure of each item to use.
    pub level: Level,
}

/// Everything that was read.
#[derive(Debug)]
pub struct World {
    /// The inventory with its problems.
    pub loaded: Loaded,
    /// Verdicts and components.
    pub evidence: Evidence,
    /// Problems of the evidence.
    pub evidence_problems: Problems,
    /// Status of each device.
    pub status: Vec<Status>,
    /// Requirements that count.
    pub requirements: Vec<String>,
    /// The designated set.
    pub binding: Binding,
    /// Start.
    pub start: Date,
    /// Cost items.
    pub costs: Costs,
    /// Which figure is used.
    pub level: Level,
}

impl World {
    /// Reads everything.
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be.
    pub fn load(input: &Input) -> Result<Self, Error> {
        let loaded = inventory::load(&input.inventory, &input.options)?;
        let mut evidence_problems = Problems::default();
        let evidence = match &input.evidence {
            Some(p) => Evidence::load(p, &mut evidence_problems)?,
            None => Evidence::default(),
        };
        let mut costs = Costs::standard()?;
        for p in &input.costs {
            costs.load(p)?;
        }
        Ok(Self::new(loaded, evidence, evidence_problems, input, costs))
    }

    fn new(
        loaded: Loaded,
        evidence: Evidence,
        evidence_problems: Problems,
        input: &Input,
        costs: Costs,
    ) -> Self {
        let status = evidence.statuses(&loaded.inventory, &input.requirements);
        let mut binding = input.binding.clone();
        if binding.vendors.is_empty() && binding.products.is_empty() {
            binding.failing = true;
        }
        Self {
            loaded,
            evidence,
            evidence_problems,
            status,
            requirements: input.requirements.clone(),
            binding,
            start: input.start,
            costs,
            level: input.level,
        }
    }

    /// The inventory.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.loaded.inventory
    }

    /// A policy bound to it.
    ///
    /// # Errors
    /// A rule refers to an event without a date.
    pub fn bind<'a>(&'a self, policy: &'a Policy) -> Result<Bound<'a>, Error> {
        Bound::new(policy, self.inventory(), &self.status, &self.binding, self.start)
    }

    /// The planning problem of a policy.
    ///
    /// # Errors
    /// See [`Program::build`].
    pub fn program(&self, bound: &Bound<'_>, setup: &Setup) -> Result<Program, Error> {
        Program::build(
            bound,
            &self.evidence,
            &self.requirements,
            &Used::new(&self.costs, self.level),
            setup,
        )
    }
}

/// What `check` says.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// Files read.
    pub files: Vec<String>,
    /// Sites, devices, links, protected places.
    pub counts: [usize; 4],
    /// Devices without vendor, product, release.
    pub unknown: [usize; 3],
    /// Sites without coordinates, traffic, customers, population.
    pub missing: [usize; 4],
    /// Spellings that were merged.
    pub aliases: Vec<AliasGuess>,
    /// Problems, in order.
    pub problems: Vec<Problem>,
    /// Problems that were too many to keep, and rows lost.
    pub dropped: (u64, u64),
}

/// Reads an inventory and says what is wrong with it.
///
/// # Errors
/// The inventory cannot be read at all.
pub fn check(path: &Path, options: &inventory::Options) -> Result<Checked, Error> {
    let l = inventory::load(path, options)?;
    let i = &l.inventory;
    let devices = |f: fn(&inventory::Device) -> bool| i.devices.iter().filter(|d| f(d)).count();
    let sites = |f: fn(&inventory::Site) -> bool| i.sites.iter().filter(|s| f(s)).count();
    Ok(Checked {
        counts: [i.sites.len(), i.devices.len(), i.links.len(), i.protected.len()],
        unknown: [
            devices(|d| d.vendor.is_none()),
            devices(|d| d.product.is_none()),
            devices(|d| d.release.is_none()),
        ],
        missing: [
            sites(|s| s.latitude.is_none() || s.longitude.is_none()),
            sites(|s| s.traffic.is_none()),
            sites(|s| s.customers.is_none()),
            sites(|s| s.population.is_none()),
        ],
        files: l.files,
        aliases: l.aliases,
        dropped: (l.problems.dropped, l.problems.rows_lost),
        problems: l.problems.list,
    })
}

/// Measures exposure.
#[must_use]
pub fn exposure(world: &World, top: usize) -> Exposure {
    exposure::measure(
        world.inventory(),
        &world.evidence,
        &exposure::Options {
            requirements: world.requirements.clone(),
            top,
            ..exposure::Options::default()
        },
    )
}

/// Compliance with policies at dates.
///
/// # Errors
/// A rule refers to an event without a date.
pub fn comply(world: &World, policies: &[Policy], dates: &[Date]) -> Result<Vec<Answer>, Error> {
    let mut out = Vec::new();
    for p in policies {
        let b = world.bind(p)?;
        let mut on: Vec<Date> = dates.to_vec();
        if on.is_empty() {
            on.push(world.start);
            for r in &p.rules {
                on.push(b.due(r)?);
            }
            on.sort_unstable();
            on.dedup();
        }
        for d in on {
            out.extend(answers(&b, &[], d)?);
        }
    }
    Ok(out)
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

/// Plans under a policy. `resume` is a former `plan.json` to start from.
///
/// # Errors
/// The policy cannot be planned for, or a file cannot be read.
pub fn plan(
    world: &World,
    policy: &Policy,
    setup: &Setup,
    options: &plan::Options,
    resume: Option<&Path>,
    watch: &dyn Watch,
) -> Result<Planned, Error> {
    let bound = world.bind(policy)?;
    let program = world.program(&bound, setup)?;
    let mut options = options.clone();
    if let Some(path) = resume {
        let bytes = files::read(path, 1 << 30)?;
        options.start =
            Some(read_back(&path.display().to_string(), &bytes, world.inventory(), &program)?);
    }
    let solution = solve(&program.instance, &options, watch)?;
    let conflict = if solution.account.violations.is_empty() {
        None
    } else {
        Some(conflict::explain(&program.instance, &solution, watch)?)
    };
    let document = Document::new(&bound, &program, setup, &solution, conflict)?;
    Ok(Planned { document, program, plan: solution.plan })
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out =
        serde_json::to_vec_pretty(value).map_err(|e| Error::format("output", e.to_string()))?;
    out.push(b'\n');
    Ok(out)
}

/// Files of a plan: `plan.json`, `plan.csv`, `report.html`.
///
/// # Errors
/// Nothing can be made of the result.
pub fn plan_files(world: &World, planned: &Planned) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let exposure = exposure(world, 10);
    let column = Column::new(&planned.program, world.inventory(), &planned.document);
    let page = report::page(world, &exposure, &[planned], &[column], &[]);
    Ok(vec![
        ("plan.json".into(), json(&planned.document)?),
        ("plan.csv".into(), planned.document.csv().into_bytes()),
        ("report.html".into(), page.into_bytes()),
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
        .map(|p| plan(world, p, setup, options, None, watch))
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
    Ok(Compared { plans, columns, adds: list })
}

/// Files of a comparison: `scenarios.json`, `report.html`, and each plan as JSON and CSV.
///
/// # Errors
/// Nothing can be made of the result.
pub fn scenario_files(
    world: &World,
    c: &Compared,
    points: &[Point],
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    #[derive(Serialize)]
    struct All<'a> {
        columns: &'a [Column],
        adds: &'a [Adds],
        frontier: &'a [Point],
    }
    let exposure = exposure(world, 10);
    let list: Vec<&Planned> = c.plans.iter().collect();
    let mut out = vec![
        (
            "scenarios.json".into(),
            json(&All { columns: &c.columns, adds: &c.adds, frontier: points })?,
        ),
        (
            "report.html".into(),
            report::page(world, &exposure, &list, &c.columns, points).into_bytes(),
        ),
    ];
    for p in &c.plans {
        out.push((format!("plan-{}.json", p.document.policy), json(&p.document)?));
        out.push((format!("plan-{}.csv", p.document.policy), p.document.csv().into_bytes()));
    }
    Ok(out)
}

/// Verdicts for the products of the example operator, made up: no real product is meant.
const DEMO_VERDICTS: &str = include_str!("../samples/example-verdicts.csv");

/// Everything at once on the example operator (or any inventory with its product names): the four
/// archetypes side by side, and the frontier without any rule. Returns the files.
///
/// # Errors
/// See [`plan()`].
pub fn demo(
    input: &Input,
    setup: &Setup,
    options: &plan::Options,
    watch: &dyn Watch,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut world = World::load(input)?;
    if input.evidence.is_none() {
        let mut problems = Problems::default();
        world.evidence.add_table(
            "example-verdicts.csv",
            DEMO_VERDICTS.as_bytes(),
            &mut problems,
        )?;
        world.status = world.evidence.statuses(world.inventory(), &world.requirements);
    }
    let policies = archetypes()?;
    let compared = scenarios(&world, &policies, setup, options, watch)?;
    let quick = plan::Options {
        gap: 5e-3,
        rounds: 2,
        bound_steps: 300,
        moves: options.moves / 3,
        ..options.clone()
    };
    let free =
        Policy { id: "no rule".into(), ..policies.into_iter().last().ok_or(Error::Stopped)? };
    let points = frontier(&world, &free, setup, 12, &quick, watch)?;
    scenario_files(&world, &compared, &points)
}

/// The four archetypes that come with the product.
///
/// # Errors
/// Never in a released build: a test reads them.
pub fn archetypes() -> Result<Vec<Policy>, Error> {
    [
        include_str!("../../../catalogue/policies/archetype.full-ban.toml"),
        include_str!("../../../catalogue/policies/archetype.core-sensitive-cap.toml"),
        include_str!("../../../catalogue/policies/archetype.case-by-case.toml"),
        include_str!("../../../catalogue/policies/archetype.none.toml"),
    ]
    .iter()
    .map(|t| Policy::parse("archetype", t))
    .collect()
}
