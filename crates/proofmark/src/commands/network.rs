//! `proofmark network`: from an inventory, verdicts and a policy to exposure, compliance and a plan.
//!
//! Thin: everything is computed by `proofmark-network`; here are arguments, progress and interruption.

use std::{
    io::{self, IsTerminal as _},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use proofmark_network::{
    Go, Progress, Watch,
    commands::{self as network, Input, World},
    cost::Level,
    date::Date,
    files,
    plan::{Options, build::Setup},
    policy::{Binding, Policy},
};
use serde::Serialize;

use crate::{
    cli::{Network, NetworkPlan, NetworkWorld},
    commands,
    failure::{Code, Failure},
};

/// Runs one of the network commands.
pub fn run(command: &Network) -> Result<ExitCode, Failure> {
    match command {
        Network::Check { inventory, out } => {
            let checked = network::check(inventory, &Default::default()).map_err(wrong)?;
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
        Network::Plan { world, policy, plan, resume, out } => {
            let policy = one(policy)?;
            let world = load(world)?;
            let eye = Eye::new(plan.max_time);
            let done = network::plan(
                &world,
                &policy,
                &setup(plan),
                &options(plan),
                resume.as_deref(),
                &eye,
            );
            eye.clear();
            let planned = done.map_err(wrong)?;
            let d = &planned.document;
            let text = format!(
                "{}: cost {:.0}, no plan costs less than {:.0} (gap {:.3} %){}\n",
                d.policy,
                d.cost,
                d.bound,
                100.0 * d.gap,
                if d.stopped { "; stopped before it was done" } else { "" },
            );
            save(out, &network::plan_files(&world, &planned).map_err(wrong)?)?;
            commands::print(&text)?;
            d.conflict_words.iter().try_for_each(|w| commands::print(&format!("  {w}\n")))?;
            Ok(ExitCode::SUCCESS)
        }
        Network::Frontier { world, policy, plan, points, out } => {
            let policy = one(policy)?;
            let eye = Eye::new(plan.max_time);
            let world = load(world)?;
            let done =
                network::frontier(&world, &policy, &setup(plan), *points, &options(plan), &eye);
            eye.clear();
            give(out.as_deref(), "frontier.json", &done.map_err(wrong)?)
        }
        Network::Scenarios { world, policies: names, plan, out } => {
            let policies = policies(names)?;
            let world = load(world)?;
            let eye = Eye::new(plan.max_time);
            let done = network::scenarios(&world, &policies, &setup(plan), &options(plan), &eye);
            eye.clear();
            let compared = done.map_err(wrong)?;
            save(out, &network::scenario_files(&world, &compared, &[]).map_err(wrong)?)?;
            for p in &compared.plans {
                let d = &p.document;
                commands::print(&format!(
                    "{:<28} cost {:>16.0}  gap {:.3} %\n",
                    d.policy,
                    d.cost,
                    100.0 * d.gap
                ))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn wrong(e: proofmark_network::Error) -> Failure {
    Failure::new(Code::Network, e.to_string())
}

fn date(text: &str) -> Result<Date, Failure> {
    text.parse().map_err(|_| {
        Failure::new(Code::Argument, format!("{text}: not a day; write it as 2026-01-31"))
    })
}

fn load(args: &NetworkWorld) -> Result<World, Failure> {
    let input = Input {
        inventory: args.inventory.clone(),
        options: Default::default(),
        evidence: args.evidence.clone(),
        requirements: args.requirement.clone(),
        binding: Binding {
            vendors: args.vendor.clone(),
            products: args.product.clone(),
            failing: args.vendor.is_empty() && args.product.is_empty(),
            ..Binding::default()
        },
        start: date(&args.start)?,
        costs: args.costs.clone(),
        level: Level::Typical,
    };
    World::load(&input).map_err(wrong)
}

/// A policy of the catalogue by its id, or a file.
fn one(name: &str) -> Result<Policy, Failure> {
    let known = network::archetypes().map_err(wrong)?;
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

fn setup(args: &NetworkPlan) -> Setup {
    Setup {
        periods: args.periods,
        budget: args.budget.clone(),
        crews: args.crews,
        unknown_fails: args.unknown_fails,
        ..Setup::default()
    }
}

fn options(args: &NetworkPlan) -> Options {
    Options { seed: args.seed, gap: args.gap, ..Options::default() }
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
}

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
        Self { bar, stop, end }
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
        self.bar.set_message(format!("{}{best}{bound}{gap}", p.stage));
        let late = self.end.is_some_and(|e| Instant::now() > e);
        if late || self.stop.load(Ordering::SeqCst) { Go::Stop } else { Go::On }
    }
}
