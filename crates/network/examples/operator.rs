//! Measures everything on the example operator:
//! `cargo run --release -p proofmark-network --example operator -- FOLDER [POLICY.toml|demo|frontier] [OUT]`.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use proofmark_model::Verdict;
use proofmark_network::commands::{self, Input, World};
use proofmark_network::cost::Level;
use proofmark_network::date::Date;
use proofmark_network::evidence::Evidence;
use proofmark_network::plan::build::Setup;
use proofmark_network::plan::{self, Options};
use proofmark_network::policy::{Binding, Policy};
use proofmark_network::{Error, Go, Progress, files};

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let get = |i: usize| args.get(i).cloned().unwrap_or_default();
    let start = Instant::now();
    let input = Input {
        inventory: PathBuf::from(get(0)),
        options: Default::default(),
        evidence: None,
        requirements: Vec::new(),
        binding: Binding { failing: true, ..Binding::default() },
        start: Date { year: 2027, month: 1, day: 1 },
        costs: Vec::new(),
        level: Level::Typical,
    };
    let mut world = World::load(&input)?;
    println!("{:.2} s read", start.elapsed().as_secs_f64());
    // Made-up verdicts: products named A-... fail, all others pass.
    let mut e = Evidence::default();
    for d in &world.loaded.inventory.devices {
        let i = &world.loaded.inventory;
        let v = if i.text(d.product).starts_with("A-") { Verdict::Fail } else { Verdict::Pass };
        e.add_verdict(i.text(d.product), i.text(d.release), "ACC-01", v);
    }
    world.status = e.statuses(world.inventory(), &[]);
    world.evidence = e;
    let at = Instant::now();
    let x = commands::exposure(&world, 10);
    println!("{:.2} s exposure; devices {:?}", at.elapsed().as_secs_f64(), x.devices);
    let watch = |p: &Progress<'_>| {
        if p.stage == "search" {
            println!(
                "  {:6.2} s {} {}/{} gap {:?}",
                start.elapsed().as_secs_f64(),
                p.stage,
                p.done,
                p.of,
                p.gap()
            );
        }
        Go::On
    };
    let setup = Setup::default();
    let options = Options { gap: 5e-3, ..Options::default() };
    match get(1).as_str() {
        "" => {}
        "frontier" => {
            let at = Instant::now();
            let none = &commands::archetypes()?[3];
            let o = Options {
                rounds: 2,
                bound_steps: 300,
                moves: 1500,
                gap: 5e-3,
                ..plan::Options::default()
            };
            for p in commands::frontier(&world, none, &setup, 12, &o, &proofmark_network::Silent)? {
                println!(
                    "  exposure {:.4} cost {:.0} bound {:.0} gap {:.3} % {}",
                    p.exposure,
                    p.cost,
                    p.bound,
                    100.0 * p.gap,
                    p.on_frontier
                );
            }
            println!("{:.2} s frontier", at.elapsed().as_secs_f64());
        }
        "demo" => {
            let at = Instant::now();
            let made = commands::demo(&input, &setup, &options, &watch)?;
            files::write_all(Path::new(&get(2)), &made)?;
            println!("{:.2} s scenarios", at.elapsed().as_secs_f64());
        }
        file => {
            let at = Instant::now();
            let policy = Policy::load(Path::new(file))?;
            let p = commands::plan(&world, &policy, &setup, &options, &Default::default(), &watch)?;
            let d = &p.document;
            println!(
                "{:.2} s plan: {:?} cost {:.0} bound {:.0} gap {:.3} %, {} jobs, {} clusters, rows {:?}",
                at.elapsed().as_secs_f64(),
                d.status,
                d.cost,
                d.bound,
                100.0 * d.gap,
                p.program.instance.jobs.len(),
                p.program.clusters.len(),
                d.rows
            );
            for n in d.notes.iter().chain(&d.conflict_words) {
                println!("  {n}");
            }
            for a in &d.compliance {
                println!(
                    "  {} {} due {} {:?} {:?} limit {}",
                    a.on, a.rule, a.due, a.kept, a.measured, a.limit
                );
            }
            if !get(2).is_empty() {
                files::write_all(Path::new(&get(2)), &commands::plan_files(&world, &p)?)?;
            }
            println!("{:.2} s in all", at.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
