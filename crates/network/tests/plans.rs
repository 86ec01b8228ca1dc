//! What plans do beyond their rules: weeks, promises, paths, borders, windows, ways out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::world;
use proofmark_network::commands::{self, Origin, Planned, World};
use proofmark_network::date::Date;
use proofmark_network::evidence::Status;
use proofmark_network::plan::build::Setup;
use proofmark_network::plan::former::Former;
use proofmark_network::plan::{self, Options, schedule};
use proofmark_network::policy::{Policy, comply::comply};
use proofmark_network::{Error, Silent};

fn policy(rules: &str) -> Policy {
    Policy::parse("test", &format!("id='test'\nrevision=1\ntitle='t'\n{rules}")).unwrap()
}

fn quick() -> Options {
    Options { rounds: 2, bound_steps: 120, moves: 500, ..Options::default() }
}

fn make(w: &World, p: &Policy, setup: &Setup) -> Planned {
    commands::plan(w, p, setup, &quick(), &Origin::default(), &Silent).unwrap()
}

const BAN: &str = "[[rule]]\nid='out'\ntype='remove'\nby='T0+3y'";

#[test]
fn weeks_keep_neighbours_apart_and_the_check_sees_when_they_do_not() {
    let (_d, w) = world(&["North"]);
    let setup = Setup { crews: Some(4.0), ..Setup::default() };
    let p = make(&w, &policy(BAN), &setup);
    let d = &p.document;
    assert_eq!(d.schedule_broken, 0, "{:?}", d.schedule);
    assert!(d.jobs.iter().all(|j| j.period.is_some() == j.week.is_some()));
    let near = schedule::neighbours(w.inventory());
    let check = |weeks: &[Option<u32>]| {
        schedule::check(w.inventory(), &p.program, &p.plan, weeks, setup.months, &near)
    };
    // Everything in the first week: the sites stand in a row.
    let all_one: Vec<Option<u32>> = p.plan.iter().map(|d| d.map(|_| 1)).collect();
    assert!(check(&all_one).iter().any(|b| b.rule == "neighbours"));
    let none: Vec<Option<u32>> = p.plan.iter().map(|_| None).collect();
    assert!(!check(&none).is_empty());
    // Too few crews for the last week.
    let all_last: Vec<Option<u32>> = p.plan.iter().map(|d| d.map(|_| 52)).collect();
    assert!(check(&all_last).iter().any(|b| b.rule == "crews"));
}

#[test]
fn a_site_is_visited_only_when_it_can_be_reached() {
    let (_d, mut w) = world(&["North"]);
    // Only in July: with half-years, never in the first of a year.
    for s in &mut w.loaded.inventory.sites {
        s.access = 1 << 6;
    }
    let setup = Setup { crews: Some(40.0), periods: 6, months: 6, ..Setup::default() };
    let p = make(&w, &policy(BAN), &setup);
    let visits: Vec<_> = p.document.jobs.iter().filter(|j| j.crew_weeks > 0.0).collect();
    assert!(!visits.is_empty());
    assert!(visits.iter().all(|j| j.period.unwrap() % 2 == 0), "{visits:?}");
    let broken =
        |d: &plan::document::Document| d.schedule.iter().filter(|b| b.rule == "access").count();
    assert_eq!(broken(&p.document), 0);
    let (_e, mut never) = world(&["North"]);
    for s in &mut never.loaded.inventory.sites {
        s.access = 1 << 0;
    }
    let setup = Setup { periods: 1, months: 6, ..Setup::default() };
    never.start = Date::new(2025, 3, 1).unwrap();
    let p = make(&never, &policy("[[rule]]\nid='out'\ntype='remove'\nby='T0+6m'"), &setup);
    assert!(p.document.conflict.is_some(), "a visit in a closed month");
}

#[test]
fn promises_are_kept_when_changing_them_costs_enough() {
    let (_d, mut w) = world(&["North"]);
    let setup = Setup { crews: Some(0.06), months: 12, ..Setup::default() };
    let ban = policy("[[rule]]\nid='out'\ntype='remove'\nby='T0+5y'");
    let first = make(&w, &ban, &setup);
    assert!(first.document.conflict.is_none(), "{:?}", first.document.conflict_words);
    let files = commands::plan_files(&w, &first).unwrap();
    let json = &files.iter().find(|f| f.0 == "plan.json").unwrap().1;
    let former = Former::parse("plan.json", json).unwrap();
    // Two years later the first part is done.
    w.start = Date::new(2027, 1, 1).unwrap();
    let count = w.carry_out(&former).unwrap();
    let done = first.document.jobs.iter().filter(|j| j.period.is_some_and(|p| p <= 2));
    assert_eq!(count, done.map(|j| j.to.len()).sum::<usize>());
    assert!(count > 0);
    let ban = policy("[[rule]]\nid='out'\ntype='remove'\nby='2030-01-01'");
    let setup = Setup { periods: 3, crews: Some(4.0), ..setup };
    let again = |price: f64| {
        let origin = Origin { promised: Some((former.clone(), price)), ..Origin::default() };
        commands::plan(&w, &ban, &setup, &quick(), &origin, &Silent).unwrap().document
    };
    let left = first.document.jobs.iter().filter(|j| j.period.is_none_or(|p| p > 2)).count();
    let (free, dear) = (again(0.0), again(1e9));
    let (f, d) = (free.promised.unwrap(), dear.promised.unwrap());
    assert_eq!((f.promised, d.promised), (left, left));
    assert_eq!(d.changed, 0, "{d:?}");
    // The price moves the plan, and the cost holds what changes cost.
    let cheap = again(1.0);
    let c = cheap.promised.unwrap();
    assert!(
        f.changed >= c.changed && free.cost <= cheap.cost + 1e-6 && cheap.cost <= dear.cost + 1e-6
    );
    for bad in [-1.0, f64::NAN] {
        let origin = Origin { promised: Some((former.clone(), bad)), ..Origin::default() };
        let e = commands::plan(&w, &ban, &setup, &quick(), &origin, &Silent).unwrap_err();
        assert!(e.to_string().contains("price of a change"), "{e}");
    }
    for text in ["", "{}", r#"{"schema":"x","periods":[],"jobs":[]}"#] {
        assert!(Former::parse("x.json", text.as_bytes()).is_err());
    }
    let (_e, mut other) = world(&["North"]);
    other.start = Date::new(2031, 1, 1).unwrap();
    other.loaded.inventory.devices.clear();
    let e = other.carry_out(&former).unwrap_err();
    assert!(e.to_string().contains("is not in the inventory"), "{e}");
}

#[test]
fn what_is_only_mitigated_is_paid_and_counts_as_kept() {
    let (_d, w) = world(&["North"]);
    let p = policy("[[rule]]\nid='home'\ntype='localise'\nby='T0+1y'");
    let plan = make(&w, &p, &Setup::default());
    let d = &plan.document;
    assert!(d.conflict.is_none() && d.cost > 0.0, "{:?}", d.conflict_words);
    assert!(d.jobs.iter().all(|j| j.action == "mitigate" && j.to.is_empty()));
    let last = d.compliance.last().unwrap();
    assert_eq!((last.kept, last.measured.low), (Status::Pass, 0.0));
    assert_eq!(d.compliance[0].kept, Status::Fail);
    // Each job once, at the rate of the catalogue, in the first year.
    let rate = w.costs.item("mitigation.per_site").unwrap().typical;
    assert!((d.cost - rate * d.jobs.len() as f64).abs() < 1e-6);
}

/// Sites: core, two routers in a ring, and a protected site behind both; every router from North.
fn ring(second: &str) -> (tempfile::TempDir, World) {
    let (dir, _) = world(&[]);
    let f = |n: &str, t: String| std::fs::write(dir.path().join(n), t).unwrap();
    f("sites.csv", "name,latitude,longitude,cf_customers,cf_traffic_gb_day\ncore,50.3,10.3,1,1\nr1,50.2,10,1,1\nr2,50.2,10.2,1,1\nend,50,10,1000,10\n".into());
    let mut devices = "name,site,role,manufacturer,device_type,platform,cf_segment,cf_function\ncore-a,core,core,South,S-A,1,core,amf\n".to_owned();
    for (site, vendor) in [("r1", "North"), ("r2", second), ("end", "North")] {
        devices += &format!("{site}-t,{site},router,{vendor},{}-T,1,transport,csr\n", &vendor[..1]);
    }
    // Vendors to choose from, elsewhere.
    for k in 0..4 {
        devices += &format!("core-s{k},core,router,South,S-T,1,transport,csr\n");
    }
    devices += "core-w0,core,router,West,W-T,1,transport,csr\ncore-w1,core,router,West,W-T,1,transport,csr\n";
    f("devices.csv", devices);
    f("links.csv", "side_a_site,side_b_site\ncore,r1\ncore,r2\nr1,end\nr2,end\n".into());
    let mut w = {
        let input = commands::Input {
            inventory: dir.path().to_owned(),
            options: Default::default(),
            evidence: None,
            requirements: Vec::new(),
            binding: proofmark_network::policy::Binding {
                vendors: vec!["North".into()],
                events: BTreeMap::new(),
                ..Default::default()
            },
            start: Date::new(2025, 1, 1).unwrap(),
            costs: Vec::new(),
            level: proofmark_network::cost::Level::Typical,
        };
        World::load(&input).unwrap()
    };
    w.status = vec![Status::Pass; w.inventory().devices.len()];
    (dir, w)
}

#[test]
fn protected_places_get_paths_that_no_vendor_can_cut() {
    let paths = "[[rule]]\nid='paths'\ntype='disjoint_paths'\nby='T0+5y'\nplaces='city-list-1'";
    let ban = "[[rule]]\nid='out'\ntype='remove'\nby='T0+3y'";
    let both = policy(&format!("{ban}\n{paths}"));
    let (_d, w) = ring("North");
    let bound = w.bind(&both).unwrap();
    let now = comply(&bound, &[], w.start).unwrap();
    assert_eq!((now[1].kept, &now[1].breaches[..]), (Status::Fail, &["end".to_owned()][..]));
    // Without the rule both routers go to the most common vendor; with it they differ.
    let alone = make(&w, &policy(ban), &Setup::default());
    let vendors = |p: &Planned| -> Vec<String> {
        p.document
            .jobs
            .iter()
            .filter(|j| j.site.starts_with('r'))
            .flat_map(|j| &j.to)
            .map(|t| t.1.clone().unwrap())
            .collect()
    };
    assert_eq!(vendors(&alone), ["South", "South"]);
    let p = make(&w, &both, &Setup::default());
    let mut v = vendors(&p);
    v.sort();
    assert_eq!(v, ["South", "West"]);
    let last: Vec<_> = p.document.compliance.iter().rev().take(2).collect();
    assert!(last.iter().all(|a| a.kept == Status::Pass), "{last:?}");
    assert!(p.document.conflict.is_none() && p.document.cost >= alone.document.cost);
    // A second vendor that is there already satisfies it.
    let (_e, mixed) = ring("South");
    let bound = mixed.bind(&both).unwrap();
    assert_eq!(comply(&bound, &[], mixed.start).unwrap()[1].kept, Status::Pass);
    // On a single line nothing can be done, and the plan says so.
    let (_f, mut line) = ring("North");
    line.loaded.inventory.links.retain(|l| l.a != 2 && l.b != 2);
    let p = make(&line, &both, &Setup::default());
    assert!(
        p.document.conflict_words.iter().any(|w| w.contains("hang on a single site")),
        "{:?}",
        p.document.conflict_words
    );
}

#[test]
fn a_border_that_a_plan_makes_is_charged() {
    let (_d, mut w) = world(&["North"]);
    // Both clusters from North, South only on single sites of a third.
    let names = &mut w.loaded.inventory.names;
    let (north, south) = (names.find("North").unwrap(), names.find("South").unwrap());
    let c3 = names.intern("C3");
    for d in &mut w.loaded.inventory.devices {
        if d.segment == proofmark_network::inventory::Segment::Ran {
            d.vendor = Some(if d.site > 10 { south } else { north });
        }
    }
    for s in w.loaded.inventory.sites.iter_mut().skip(11) {
        s.cluster = Some(c3);
    }
    let ban = policy(BAN);
    let bound = w.bind(&ban).unwrap();
    let program = w.program(&bound, &Setup::default()).unwrap();
    let pairs: Vec<(&str, &str)> = program
        .instance
        .borders
        .iter()
        .map(|b| (program.clusters[b.0 as usize].as_str(), program.clusters[b.1 as usize].as_str()))
        .collect();
    // C2 and C3 have two vendors today: no charge. C1 and C2 have one.
    assert_eq!(pairs, [("C1", "C2")]);
    assert!(program.instance.borders[0].2 > 0.0);
}

#[test]
fn a_way_out_of_a_conflict_is_priced() {
    let (_d, w) = world(&["North"]);
    let setup = Setup { crews: Some(0.002), budget: vec![1e9], ..Setup::default() };
    let p = make(&w, &commands::archetypes().unwrap()[0], &setup);
    let d = &p.document;
    let out: BTreeMap<&str, Option<f64>> =
        d.ways_out.iter().map(|w| (w.without.as_str(), w.cost)).collect();
    assert_eq!(out.keys().copied().collect::<Vec<_>>(), ["crews", "dates of removal"]);
    // Without the limit on crews: what the plan costs with crews enough.
    let rich =
        make(&w, &commands::archetypes().unwrap()[0], &Setup { crews: Some(400.0), ..setup });
    assert!((out["crews"].unwrap() / rich.document.cost - 1.0).abs() < 1e-3, "{out:?}");
    assert!(out["dates of removal"].is_some());
    let least = d.conflict_words.iter().find(|w| w.starts_with("least that has to give: "));
    assert!(least.is_some_and(|w| w.contains("s0") || w.contains("crew-weeks")), "{least:?}");
}

#[test]
fn a_vendor_that_is_not_there_yet_is_onboarded_in_time() {
    let (_d, mut w) = world(&["North"]);
    let setup =
        Setup { targets: vec!["ran:Fresh".into()], onboarding_months: 12, ..Setup::default() };
    let e = commands::plan(&w, &policy(BAN), &setup, &quick(), &Origin::default(), &Silent);
    assert!(matches!(e, Err(Error::Instance { .. })), "{e:?}");
    w.know(&setup.targets);
    // South is not to be had for radio.
    let setup = Setup { targets: vec!["ran:Fresh".into(), "North".into()], ..setup };
    let p = commands::plan(
        &w,
        &policy("[[rule]]\nid='out'\ntype='remove'\nby='T0+3y'\nscope={segments=['ran']}"),
        &setup,
        &quick(),
        &Origin::default(),
        &Silent,
    )
    .unwrap();
    let d = &p.document;
    assert!(d.conflict.is_none(), "{:?}", d.conflict_words);
    let (name, ready) = &d.onboarding[0];
    assert_eq!(name, "Fresh ran");
    let first = d.jobs.iter().filter_map(|j| j.period).min().unwrap();
    assert!(first > *ready, "{first} {ready}");
    assert!(d.cost_range.0 < d.cost && d.cost < d.cost_range.1);
}

#[test]
fn sensitivity_says_what_decides() {
    let (_d, w) = world(&["North"]);
    let list = commands::archetypes().unwrap();
    let setup = Setup::default();
    let (a, b) = (make(&w, &list[0], &setup), make(&w, &list[1], &setup));
    let bars = commands::sensitivity(&w, (&list[0], &a), Some((&list[1], &b)), &setup).unwrap();
    let bar = |id: &str| bars.iter().find(|b| b.item == id).unwrap();
    let equipment = bar("ran.baseband");
    assert!(equipment.cost.0 < a.document.cost && a.document.cost < equipment.cost.1);
    let width = |b: &proofmark_network::scenario::sensitivity::Bar| (b.cost.1 - b.cost.0).abs();
    assert!(bars.windows(2).all(|w| width(&w[0]) >= width(&w[1])));
    // What decides turns the sign of the difference at one end.
    let base = a.document.cost - b.document.cost;
    for b in &bars {
        let (low, high) = b.difference.unwrap();
        assert_eq!(b.decides, low * base < 0.0 || high * base < 0.0, "{b:?}");
        assert_eq!(b.value > 0.0, b.decides, "{b:?}");
    }
}
