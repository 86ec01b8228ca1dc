//! `proofmark network`: from an inventory, verdicts and a policy to exposure, compliance and a plan.
//!
//! Thin: everything is computed by `proofmark-network`; here are arguments, progress and interruption.

use std::{
    env,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use proofmark_network::{
    Go, Progress, Watch,
    commands::{self as network, Input, Origin, World},
    cost::Level,
    date::Date,
    files,
    plan::{
        Options,
        build::{Past, Setup},
        former::Former,
        solver::{Process, Solver},
    },
    policy::{Binding, Policy},
};
use serde::Serialize;

use crate::{
    cli::{Network, NetworkBackend, NetworkFrom, NetworkPlan, NetworkSource, NetworkWorld},
    commands,
    failure::{Code, Failure},
};

/// Runs one of the network commands.
pub fn run(command: &Network) -> Result<ExitCode, Failure> {
    match command {
        Network::Check { inventory, source, out } => {
            let checked = network::check(inventory, &reading(source)?).map_err(wrong)?;
            give(out.as_deref(), "check.json", &checked)
        }
        Network::Exposure { world, out } => {
            let world = load(world)?;
            give(out.as_deref(), "exposure.json", &network::exposure(&world, 20))
        }
        Network::Comply { world, policy, on, out } => {
            let policies = policies(policy)?;
            let dates = on.iter().map(|d| date(d)).collect::<Result<Vec<_>, _>>()?;
            let answers = network::comply(&load(world)?, &policies, &dates).map_err(wrong)?;
            give(out.as_deref(), "compliance.json", &answers)
        }
        Network::Plan { world, policy, plan, from, out } => {
            let policy = one(policy)?;
            let eye = Eye::new(plan.max_time);
            let (mut world, setup) = prepare(world, plan)?;
            let origin = origin(from, &mut world)?;
            let done = network::plan(&world, &policy, &setup, &options(plan)?, &origin, &eye);
            eye.clear();
            let planned = done.map_err(wrong)?;
            save(out, &network::plan_files(&world, &planned).map_err(wrong)?)?;
            let d = &planned.document;
            line(d)?;
            if let Some(k) = &d.promised {
                commands::print(&format!(
                    "  of {} promised jobs {} stay as promised, {} change\n",
                    k.promised, k.kept, k.changed
                ))?;
            }
            d.conflict_words.iter().try_for_each(|w| commands::print(&format!("  {w}\n")))?;
            Ok(ExitCode::SUCCESS)
        }
        Network::Frontier { world, policy, plan, points, out } => {
            let policy = one(policy)?;
            let eye = Eye::new(plan.max_time);
            let (world, setup) = prepare(world, plan)?;
            let done = network::frontier(&world, &policy, &setup, *points, &options(plan)?, &eye);
            eye.clear();
            give(out.as_deref(), "frontier.json", &done.map_err(wrong)?)
        }
        Network::Scenarios { world, policies: names, plan, out } => {
            let policies = policies(names)?;
            let eye = Eye::new(plan.max_time);
            let (world, setup) = prepare(world, plan)?;
            let done = network::scenarios(&world, &policies, &setup, &options(plan)?, &eye);
            eye.clear();
            let compared = done.map_err(wrong)?;
            save(out, &network::scenario_files(&world, &compared).map_err(wrong)?)?;
            compared.plans.iter().try_for_each(|p| line(&p.document))?;
            Ok(ExitCode::SUCCESS)
        }
        Network::Sensitivity { world, policies: names, plan, out } => {
            let [first, second @ ..] = names.as_slice() else {
                return Err(Failure::new(Code::Argument, "name one or two policies"));
            };
            let (first, second) = (one(first)?, second.first().map(|s| one(s)).transpose()?);
            let eye = Eye::new(plan.max_time);
            let (world, setup) = prepare(world, plan)?;
            let options = options(plan)?;
            let make =
                |p: &Policy| network::plan(&world, p, &setup, &options, &Origin::default(), &eye);
            let a = make(&first).map_err(wrong)?;
            let b = second.as_ref().map(&make).transpose().map_err(wrong)?;
            eye.clear();
            let two = second.as_ref().zip(b.as_ref());
            let bars = network::sensitivity(&world, (&first, &a), two, &setup).map_err(wrong)?;
            give(out.as_deref(), "sensitivity.json", &bars)
        }
        Network::Demo { inventory, plan, out } => {
            let input = Input {
                inventory: inventory.clone(),
                options: Default::default(),
                evidence: None,
                requirements: Vec::new(),
                binding: Binding { failing: true, ..Binding::default() },
                start: date("2027-01-01")?,
                costs: Vec::new(),
                level: Level::Typical,
            };
            let eye = Eye::new(plan.max_time);
            let done = network::demo(&input, &setup(plan)?, &options(plan)?, &eye);
            eye.clear();
            save(out, &done.map_err(wrong)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// One line about a plan.
fn line(d: &proofmark_network::plan::document::Document) -> Result<(), Failure> {
    let stopped = if d.stopped { "; stopped before it was done" } else { "" };
    if d.conflict.is_some() {
        return commands::print(&format!(
            "{}: no plan that keeps every limit was found; the nearest costs {:.0}{stopped}\n",
            d.policy, d.cost
        ));
    }
    commands::print(&format!(
        "{}: cost {:.0}, no plan costs less than {:.0} (gap {:.3} %){stopped}\n",
        d.policy,
        d.cost,
        d.bound,
        100.0 * d.gap,
    ))
}

/// What a plan goes on from; what a former plan has done by now goes into the inventory.
fn origin(from: &NetworkFrom, world: &mut World) -> Result<Origin, Failure> {
    let promised = match &from.replan {
        Some(path) => {
            let former = Former::load(path).map_err(wrong)?;
            let count = world.carry_out(&former).map_err(wrong)?;
            eprintln!("{}: {count} devices have changed by {}", path.display(), world.start);
            Some((former, from.change_price))
        }
        None => None,
    };
    Ok(Origin { resume: from.resume.clone(), promised })
}

fn wrong(e: proofmark_network::Error) -> Failure {
    Failure::new(Code::Network, e.to_string())
}

fn date(text: &str) -> Result<Date, Failure> {
    text.parse().map_err(|_| {
        Failure::new(Code::Argument, format!("{text}: not a day; write it as 2026-01-31"))
    })
}

/// How an inventory is read.
fn reading(args: &NetworkSource) -> Result<proofmark_network::inventory::Options, Failure> {
    let token = match &args.token_file {
        Some(path) => {
            let text = files::read(path, 1 << 16).map_err(wrong)?;
            Some(String::from_utf8_lossy(&text).trim().to_owned())
        }
        None => std::env::var("NETBOX_TOKEN").ok().filter(|t| !t.is_empty()),
    };
    Ok(proofmark_network::inventory::Options {
        aliases: args.aliases.clone(),
        protected: args.protected.clone(),
        token,
    })
}

/// A network and the parameters of a plan; vendors that the plan brings in are made known.
fn prepare(world: &NetworkWorld, plan: &NetworkPlan) -> Result<(World, Setup), Failure> {
    let setup = setup(plan)?;
    let mut world = load(world)?;
    world.know(&setup.targets);
    Ok((world, setup))
}

fn load(args: &NetworkWorld) -> Result<World, Failure> {
    let events = args
        .event
        .iter()
        .map(|e| match e.split_once('=') {
            Some((name, day)) => Ok((name.trim().to_owned(), date(day.trim())?)),
            None => Err(Failure::new(
                Code::Argument,
                format!("{e}: not an event; write it as designation=2026-01-31"),
            )),
        })
        .collect::<Result<_, _>>()?;
    let input = Input {
        inventory: args.inventory.clone(),
        options: reading(&args.source)?,
        evidence: args.evidence.clone(),
        requirements: args.requirement.clone(),
        binding: Binding {
            vendors: args.vendor.clone(),
            products: args.product.clone(),
            failing: args.vendor.is_empty() && args.product.is_empty(),
            events,
        },
        start: date(&args.start)?,
        costs: args.costs.clone(),
        level: args.level.into(),
    };
    World::load(&input).map_err(wrong)
}

/// A policy of the catalogue by its id, or a file.
fn one(name: &str) -> Result<Policy, Failure> {
    let known = network::catalogue().map_err(wrong)?;
    let ids: Vec<String> = known.iter().map(|p| p.id.clone()).collect();
    if let Some(policy) = known.into_iter().find(|p| p.id == name) {
        return Ok(policy);
    }
    if Path::new(name).exists() {
        return Policy::load(Path::new(name)).map_err(wrong);
    }
    let message =
        format!("{name}: neither a policy of this program ({}) nor a file", ids.join(", "));
    Err(Failure::new(Code::Network, message))
}

fn policies(names: &[String]) -> Result<Vec<Policy>, Failure> {
    if names.is_empty() {
        return network::archetypes().map_err(wrong);
    }
    names.iter().map(|n| one(n)).collect()
}

fn setup(args: &NetworkPlan) -> Result<Setup, Failure> {
    let base = match &args.setup {
        Some(path) => {
            let text = files::read(path, 1 << 20).map_err(wrong)?;
            toml::from_str(&String::from_utf8_lossy(&text)).map_err(|e| {
                Failure::new(Code::Argument, format!("{}: {}", path.display(), e.message()))
            })?
        }
        None => Setup::default(),
    };
    Ok(Setup {
        periods: args.periods.unwrap_or(base.periods),
        months: args.months.unwrap_or(base.months),
        budget: if args.budget.is_empty() { base.budget } else { args.budget.clone() },
        carry: args.carry || base.carry,
        crews: args.crews.or(base.crews),
        outage_ceiling: args.outage_ceiling.or(base.outage_ceiling),
        targets: if args.target.is_empty() { base.targets } else { args.target.clone() },
        refresh_credit: base.refresh_credit && !args.no_refresh_credit,
        price_premium: base.price_premium && !args.no_price_premium,
        unknown_fails: args.unknown_fails || base.unknown_fails,
        past: if args.late { Past::AtOnce } else { base.past },
        ..base
    })
}

fn options(args: &NetworkPlan) -> Result<Options, Failure> {
    let backend: Option<Arc<dyn Solver>> = match args.backend {
        Some(NetworkBackend::Highs) => Some(Arc::new(Process { program: highs()? })),
        None => None,
    };
    let backend_seconds = args.backend_time as f64;
    Ok(Options { seed: args.seed, gap: args.gap, backend, backend_seconds, ..Options::default() })
}

/// The command that `./run highs` builds: beside this program or on the path; `PROOFMARK_HIGHS` names it outright.
fn highs() -> Result<PathBuf, Failure> {
    const NAME: &str = "proofmark-highs";
    let places: Vec<PathBuf> = match env::var_os("PROOFMARK_HIGHS") {
        Some(named) => vec![named.into()],
        None => {
            let beside = env::current_exe().ok().and_then(|p| Some(p.parent()?.join(NAME)));
            let paths = env::var_os("PATH").unwrap_or_default();
            beside.into_iter().chain(env::split_paths(&paths).map(|p| p.join(NAME))).collect()
        }
    };
    places.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        let message = "--backend highs: proofmark-highs was not found beside this program or on the path, nor where PROOFMARK_HIGHS says; `./run highs` builds it";
        Failure::new(Code::Argument, message)
    })
}

/// Writes JSON into a folder, or prints it.
fn give<T: Serialize>(out: Option<&Path>, name: &str, value: &T) -> Result<ExitCode, Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::new(Code::Output, e.to_string()))?;
    text.push('\n');
    match out {
        Some(folder) => save(folder, &[(name.to_owned(), text.into_bytes())])?,
        None => commands::print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn save(folder: &Path, list: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    files::write_all(folder, list).map_err(|e| Failure::new(Code::Output, e.to_string()))?;
    let names: Vec<&str> = list.iter().map(|(n, _)| n.as_str()).collect();
    eprintln!("Written to {}: {}", folder.display(), names.join(", "));
    Ok(())
}

/// Shows progress, and stops a long computation at Ctrl-C or when its time is over: it then delivers the best
/// plan so far with its gap.
struct Eye {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
    end: Option<Instant>,
    /// When the last line was written where there is no terminal.
    said: Mutex<Instant>,
}

/// Time between two lines of progress where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

impl Eye {
    fn new(seconds: Option<u64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        // Without a handler Ctrl-C ends the program at once: nothing is written then.
        let _ = ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst));
        let bar =
            if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let end = seconds.map(|s| Instant::now() + Duration::from_secs(s));
        Self { bar, stop, end, said: Mutex::new(Instant::now()) }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Watch for Eye {
    fn tell(&self, p: &Progress<'_>) -> Go {
        self.bar.set_length(p.of);
        self.bar.set_position(p.done);
        let part =
            |name: &str, v: Option<f64>| v.map(|v| format!(", {name} {v:.0}")).unwrap_or_default();
        let gap = p.gap().map(|g| format!(", gap {:.2} %", 100.0 * g)).unwrap_or_default();
        let (best, bound) = (part("best", p.incumbent), part("bound", p.bound));
        let message = format!("{}{best}{bound}{gap}", p.stage);
        if self.bar.is_hidden()
            && let Ok(mut said) = self.said.lock()
            && said.elapsed() > LINES
        {
            *said = Instant::now();
            eprintln!("{message}");
        }
        self.bar.set_message(message);
        let late = self.end.is_some_and(|e| Instant::now() > e);
        if late || self.stop.load(Ordering::SeqCst) { Go::Stop } else { Go::On }
    }
}
