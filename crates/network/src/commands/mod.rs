//! What the command line calls: options in, results out, files written at the end in one go.

mod planning;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cost::{Costs, Level, Used};
use crate::date::Date;
use crate::evidence::{Evidence, Status};
use crate::exposure::{self, Exposure};
use crate::inventory::{self, AliasGuess, Inventory, Loaded, Problem, Problems};
use crate::plan;
use crate::plan::build::{Program, Setup};
use crate::policy::comply::{Answer, comply as answers};
use crate::policy::{Binding, Bound, Policy};
use crate::{Error, Watch};

pub use planning::{
    Compared, Origin, Planned, frontier, plan, plan_files, scenario_files, scenarios, sensitivity,
};

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

    /// A network that is in memory already.
    ///
    /// # Errors
    /// A cost file cannot be used.
    pub fn of(inventory: Inventory, input: &Input) -> Result<Self, Error> {
        let mut costs = Costs::standard()?;
        for p in &input.costs {
            costs.load(p)?;
        }
        let loaded = Loaded { inventory, ..Loaded::default() };
        Ok(Self::new(loaded, Evidence::default(), Problems::default(), input, costs))
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

    /// Makes vendors known that the inventory does not have, written as `ran:Name`.
    pub fn know(&mut self, targets: &[String]) {
        for t in targets {
            if let Some((segment, name)) = t.split_once(':')
                && inventory::Segment::parse(segment.trim()).is_some()
                && !name.trim().is_empty()
            {
                self.loaded.inventory.names.intern(name.trim());
            }
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
    let mut l = inventory::load(path, options)?;
    islands(&mut l);
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

/// Notes sites that have links, none of which leads to a core site.
fn islands(l: &mut Loaded) {
    let i = &l.inventory;
    let roots = exposure::core_sites(i);
    let reached = exposure::graph::Graph::new(i, roots).reach(&vec![false; i.sites.len()]);
    let mut linked = vec![false; i.sites.len()];
    for k in &i.links {
        (linked[k.a as usize], linked[k.b as usize]) = (true, true);
    }
    for s in (0..i.sites.len()).filter(|s| linked[*s] && !reached[*s]) {
        let what = format!("site {:?} has links, but no way to a core site", i.sites[s].name);
        l.problems.add("", 0, "site", inventory::Gravity::Warning, what);
    }
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

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out =
        serde_json::to_vec_pretty(value).map_err(|e| Error::format("output", e.to_string()))?;
    out.push(b'\n');
    Ok(out)
}

/// Verdicts for the products of the example operator, made up: no real product is meant.
const DEMO_VERDICTS: &str = include_str!("../../samples/example-verdicts.csv");

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
    let mut compared = scenarios(&world, &policies, setup, options, watch)?;
    let quick = plan::Options {
        gap: 5e-3,
        rounds: 2,
        bound_steps: 300,
        moves: options.moves / 3,
        ..options.clone()
    };
    let free = Policy { id: "no rule".into(), ..policies.last().cloned().ok_or(Error::Stopped)? };
    compared.points = frontier(&world, &free, setup, 12, &quick, watch)?;
    if let ([ban, _, rule, ..], [a, _, b, ..]) = (&policies[..], &compared.plans[..]) {
        compared.bars = sensitivity(&world, (ban, a), Some((rule, b)), setup)?;
    }
    scenario_files(&world, &compared)
}

/// Every policy that comes with the product, archetypes first.
const CATALOGUE: [&str; 22] = [
    include_str!("../../../../catalogue/policies/archetype.full-ban.toml"),
    include_str!("../../../../catalogue/policies/archetype.core-sensitive-cap.toml"),
    include_str!("../../../../catalogue/policies/archetype.case-by-case.toml"),
    include_str!("../../../../catalogue/policies/archetype.none.toml"),
    include_str!("../../../../catalogue/policies/au-2018.toml"),
    include_str!("../../../../catalogue/policies/be-2022.toml"),
    include_str!("../../../../catalogue/policies/ca-2022.toml"),
    include_str!("../../../../catalogue/policies/de-2023-proposal.toml"),
    include_str!("../../../../catalogue/policies/de-2024-contract.toml"),
    include_str!("../../../../catalogue/policies/eu-csa2-proposal-2026.toml"),
    include_str!("../../../../catalogue/policies/eu-toolbox-2020.toml"),
    include_str!("../../../../catalogue/policies/fr-2019.toml"),
    include_str!("../../../../catalogue/policies/in-2021.toml"),
    include_str!("../../../../catalogue/policies/it-golden-power.toml"),
    include_str!("../../../../catalogue/policies/jp-2018.toml"),
    include_str!("../../../../catalogue/policies/no-2019.toml"),
    include_str!("../../../../catalogue/policies/nz-2018.toml"),
    include_str!("../../../../catalogue/policies/pl-2026.toml"),
    include_str!("../../../../catalogue/policies/se-2020.toml"),
    include_str!("../../../../catalogue/policies/uk-dvd-2022.toml"),
    include_str!("../../../../catalogue/policies/uk-nsc-2020-01.toml"),
    include_str!("../../../../catalogue/policies/us-sna.toml"),
];

/// Every policy that comes with the product, archetypes first.
///
/// # Errors
/// Never in a released build: a test reads them.
pub fn catalogue() -> Result<Vec<Policy>, Error> {
    CATALOGUE.iter().map(|t| Policy::parse("catalogue/policies", t)).collect()
}

/// The four archetypes: full ban, core and sensitive places with a cap, case by case on evidence,
/// no restriction.
///
/// # Errors
/// Never in a released build: a test reads them.
pub fn archetypes() -> Result<Vec<Policy>, Error> {
    Ok(catalogue()?.into_iter().take(4).collect())
}
