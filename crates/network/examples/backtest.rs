//! Networks of the size of published programmes, planned with the default costs:
//! `cargo run --release -p proofmark-network --example backtest`. Prints the tables of docs/backtest.md.
#![allow(clippy::print_stdout)]

use proofmark_network::commands::{self, Input, Origin, World};
use proofmark_network::cost::Level;
use proofmark_network::date::Date;
use proofmark_network::evidence::Status;
use proofmark_network::plan::build::Setup;
use proofmark_network::plan::{Options, sample};
use proofmark_network::policy::{Binding, Policy};
use proofmark_network::{Error, Silent};

struct Case {
    name: &'static str,
    /// Sites in all, and the share with the designated vendor.
    sites: usize,
    share: f64,
    /// Cores that have to go.
    cores: usize,
    start: i32,
    /// Installed between these years.
    installed: (i32, i32),
    years: i32,
    rules: &'static str,
    published: &'static str,
}

const BAN: &str = "type='remove'\nby='T0+{}y'";

fn main() -> Result<(), Error> {
    let cases = [
        Case {
            name: "United States programme",
            sites: 8400,
            share: 1.0,
            cores: 126,
            start: 2022,
            installed: (2012, 2020),
            years: 3,
            rules: BAN,
            published: "USD 1.84 bn (2020), 5.6 bn (applications), 4.98 bn (reviewed)",
        },
        Case {
            name: "BT, 35 % cap in three years",
            sites: 18_000,
            share: 2.0 / 3.0,
            cores: 1,
            start: 2020,
            installed: (2012, 2020),
            years: 3,
            rules: "type='share_cap'\nby='T0+3y'\nunits=['sites']\ncap=0.35\nscope={segments=['ran']}",
            published: "GBP 0.5 bn with core and fibre",
        },
        Case {
            name: "BT, none after seven years",
            sites: 18_000,
            share: 2.0 / 3.0,
            cores: 1,
            start: 2020,
            installed: (2012, 2020),
            years: 7,
            rules: BAN,
            published: "GBP 0.03 to 0.1 bn beyond the cap",
        },
        Case {
            name: "France, two operators, eight years",
            sites: 26_000,
            share: 0.5,
            cores: 0,
            start: 2021,
            installed: (2013, 2021),
            years: 8,
            rules: BAN,
            published: "EUR 2 bn claimed, none paid",
        },
        Case {
            name: "Germany, one operator, five years",
            sites: 34_000,
            share: 0.6,
            cores: 1,
            start: 2020,
            installed: (2012, 2020),
            years: 5,
            rules: BAN,
            published: "EUR 3 bn or more (operator's paper); none if the date matches upgrades (ministry)",
        },
    ];
    println!(
        "| case | sites replaced | gross, typical (low to high) | net of refresh, typical (low to high) | per site, gross and net | published |"
    );
    println!("|---|---|---|---|---|---|");
    for c in &cases {
        let world = network(c)?;
        let rule = c.rules.replace("{}", &c.years.to_string());
        let text = format!("id='x'\nrevision=1\ntitle='x'\n[[rule]]\nid='r'\n{rule}");
        let policy = Policy::parse("x", &text)?;
        let run = |credit: bool| {
            let setup = Setup {
                periods: c.years as usize,
                crews: Some(c.sites as f64 / 20.0),
                refresh_credit: credit,
                core_first: false,
                ..Setup::default()
            };
            let options =
                Options { rounds: 1, bound_steps: 80, moves: 200, gap: 5e-3, ..Options::default() };
            commands::plan(&world, &policy, &setup, &options, &Origin::default(), &Silent)
        };
        let (gross, net) = (run(false)?, run(true)?);
        let show = |p: &commands::Planned| {
            let d = &p.document;
            format!(
                "{:.2} bn ({:.2} to {:.2})",
                d.cost / 1e9,
                d.cost_range.0 / 1e9,
                d.cost_range.1 / 1e9
            )
        };
        let done =
            gross.document.jobs.iter().filter(|j| j.action.starts_with("replace radio")).count();
        let each = |p: &commands::Planned| p.document.cost / done.max(1) as f64 / 1e3;
        println!(
            "| {} | {done} | {} | {} | {:.0} k, {:.0} k | {} |",
            c.name,
            show(&gross),
            show(&net),
            each(&gross),
            each(&net),
            c.published
        );
    }
    Ok(())
}

/// A network of a case's size.
fn network(c: &Case) -> Result<World, Error> {
    let input = Input {
        inventory: Default::default(),
        options: Default::default(),
        evidence: None,
        requirements: Vec::new(),
        binding: Binding { vendors: vec!["A".into()], ..Binding::default() },
        start: Date { year: c.start, month: 1, day: 1 },
        costs: Vec::new(),
        level: Level::Typical,
    };
    let inventory = sample::operator(&sample::Operator {
        sites: c.sites,
        share: c.share,
        cores: c.cores,
        installed: c.installed,
    });
    let mut world = World::of(inventory, &input)?;
    world.status = vec![Status::Pass; world.inventory().devices.len()];
    Ok(world)
}
