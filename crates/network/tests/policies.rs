//! Every policy of the catalogue against a network where everything is designated and one where
//! nothing is; and plans on a small operator, from policy to compliance.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;

use common::world;
use proofmark_network::commands::{self, Origin};
use proofmark_network::date::Date;
use proofmark_network::evidence::Status;
use proofmark_network::plan::build::{Past, Setup};
use proofmark_network::plan::{self, Options};
use proofmark_network::policy::{Kind, Policy};
use proofmark_network::{Error, Silent};

fn catalogue() -> Vec<Policy> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../catalogue/policies");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let list: Vec<Policy> = files.iter().map(|f| Policy::load(f).unwrap()).collect();
    // The same as those that come with the program.
    let mut own: Vec<String> = commands::catalogue().unwrap().into_iter().map(|p| p.id).collect();
    own.sort();
    let mut ids: Vec<String> = list.iter().map(|p| p.id.clone()).collect();
    ids.sort();
    assert_eq!(own, ids, "a policy is missing in commands::CATALOGUE");
    list
}

#[test]
fn every_policy_has_a_breach_and_a_clean_network() {
    let (_d, all) = world(&["North", "South"]);
    let (_e, none) = world(&["Nobody"]);
    let late = Date::new(2040, 1, 1).unwrap();
    let list = catalogue();
    let instruments: std::collections::BTreeSet<&str> =
        list.iter().map(|p| p.jurisdiction.as_str()).filter(|j| !j.is_empty()).collect();
    assert!(instruments.len() >= 14, "{instruments:?}");
    for p in &list {
        assert!(p.jurisdiction.is_empty() || !p.sources.is_empty(), "{}: no source", p.id);
        for (w, want) in [(&all, true), (&none, false)] {
            for a in commands::comply(w, std::slice::from_ref(p), &[late]).unwrap() {
                let state = match a.kind {
                    // A cost, a share of vendors, and the cases of units without verdict.
                    Kind::Dispose | Kind::MinVendors => continue,
                    _ if a.rule == "unknown"
                        || a.rule == "remove" && p.id.ends_with("case-by-case") =>
                    {
                        continue;
                    }
                    Kind::AuthoriseEach if p.id.ends_with("case-by-case") => continue,
                    // Installed before the date: no breach, whoever made it.
                    Kind::StopBuy | Kind::NoNewInstall | Kind::TrustedList
                        if a.due > Date::new(2024, 5, 1).unwrap() =>
                    {
                        continue;
                    }
                    _ => a.kept,
                };
                assert_eq!(state == Status::Fail, want, "{} {}: {a:?}", p.id, a.rule);
            }
        }
    }
}

#[test]
fn a_plan_keeps_its_policy_at_every_date() {
    let (_d, w) = world(&["North"]);
    let setup = Setup { crews: Some(4.0), ..Setup::default() };
    let options = Options { rounds: 2, bound_steps: 120, moves: 500, ..plan::Options::default() };
    let all = commands::scenarios(&w, &commands::archetypes().unwrap(), &setup, &options, &Silent)
        .unwrap();
    let by = |id: &str| all.columns.iter().find(|c| c.policy.ends_with(id)).unwrap();
    for p in &all.plans {
        assert!(
            p.document.conflict.is_none(),
            "{}: {:?}",
            p.document.policy,
            p.document.conflict_words
        );
        for a in &p.document.compliance {
            // A date inside a period is planned for its end; nothing may be late at the end.
            if a.on >= a.due && a.on > w.start && a.unit != "units" {
                assert_eq!(a.kept, Status::Pass, "{}: {a:?}", p.document.policy);
            }
        }
        assert!(p.document.gap <= 1e-3, "{}: {}", p.document.policy, p.document.gap);
    }
    let (ban, cap, none) = (by("full-ban"), by("core-sensitive-cap"), by("none"));
    // A ban with five years of notice may cost less than a cap in three: what is replaced late
    // is due anyway. Doing nothing costs nothing.
    assert!(ban.cost.0 > 0.0 && cap.cost.0 > 0.0 && none.cost.0 == 0.0, "{ban:?} {cap:?} {none:?}");
    assert!(cap.exposure_years < ban.exposure_years && ban.exposure_years <= none.exposure_years);
    assert!(none.compliant.is_some());
    assert!(ban.exposure.last() < cap.exposure.last());
    assert_eq!(ban.exposure.last(), Some(&0.0));
    assert!(ban.compliant.is_some());
    // The same again gives the same bytes.
    let again =
        commands::scenarios(&w, &commands::archetypes().unwrap(), &setup, &options, &Silent)
            .unwrap();
    let (a, b) = (
        commands::scenario_files(&w, &all).unwrap(),
        commands::scenario_files(&w, &again).unwrap(),
    );
    assert_eq!(a, b);
}

#[test]
fn contradictions_are_explained() {
    let (_d, w) = world(&["North"]);
    // Crews for a tenth of the work.
    let setup = Setup { crews: Some(0.002), ..Setup::default() };
    let options = Options { rounds: 1, bound_steps: 120, moves: 300, ..plan::Options::default() };
    let ban = &commands::archetypes().unwrap()[0];
    let p = commands::plan(&w, ban, &setup, &options, &Origin::default(), &Silent).unwrap();
    let c = p.document.conflict.expect("there is no such plan");
    assert!(c.proven);
    assert_eq!(c.limits, [plan::conflict::Limit::Crews, plan::conflict::Limit::Dates]);
    assert!(!c.relaxation.is_empty() && !p.document.conflict_words.is_empty());
}

#[test]
fn wrong_parameters_are_named() {
    let (_d, w) = world(&["North"]);
    let list = catalogue();
    let uk = list.iter().find(|p| p.id == "uk-dvd-2022").unwrap();
    let options = Options::default();
    let e = commands::plan(&w, uk, &Setup::default(), &options, &Origin::default(), &Silent)
        .unwrap_err();
    assert!(
        matches!(&e, Error::Rule { .. }) && e.to_string().contains("before the plan starts"),
        "{e}"
    );
    let late = Setup { past: Past::AtOnce, crews: Some(50.0), ..Setup::default() };
    assert!(
        commands::plan(
            &w,
            uk,
            &late,
            &Options { rounds: 1, moves: 100, ..options.clone() },
            &Origin::default(),
            &Silent
        )
        .is_ok()
    );
    for setup in [
        Setup { periods: 0, ..Setup::default() },
        Setup { budget: vec![-1.0], ..Setup::default() },
        Setup { budget: vec![1.0, 2.0], ..Setup::default() },
        Setup { crews: Some(f64::NAN), ..Setup::default() },
    ] {
        assert!(
            commands::plan(
                &w,
                &commands::archetypes().unwrap()[0],
                &setup,
                &options,
                &Origin::default(),
                &Silent
            )
            .is_err()
        );
    }
    let (_e, mut unbound) = world(&["North"]);
    unbound.binding.events.clear();
    let pl = list.iter().find(|p| p.id == "pl-2026").unwrap();
    let e = commands::comply(&unbound, std::slice::from_ref(pl), &[]).unwrap_err();
    assert!(e.to_string().contains("decision"), "{e}");
}

#[test]
fn interrupted_runs_deliver_and_resume() {
    use proofmark_network::{Go, Progress};
    let p = plan::sample::network(300, plan::sample::Policy::Full, 3);
    let options = Options { gap: 0.0, rounds: 4, moves: 1000, ..Options::default() };
    let stop = |x: &Progress<'_>| if x.stage == "search" { Go::Stop } else { Go::On };
    let first = plan::solve(&p, &options, &stop).unwrap();
    assert!(first.stopped && first.account.violations.is_empty());
    assert!(first.bound <= first.account.cost && first.gap < 0.2);
    let resumed =
        plan::solve(&p, &Options { start: Some(first.plan.clone()), ..options }, &Silent).unwrap();
    assert!(!resumed.stopped && resumed.account.cost <= first.account.cost + 1e-6);
}

#[test]
fn threads_do_not_change_the_plan() {
    let p = plan::sample::network(300, plan::sample::Policy::Cap, 5);
    let options =
        Options { gap: 0.0, rounds: 2, bound_steps: 100, moves: 500, ..Options::default() };
    let with = |n| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(n)
            .build()
            .unwrap()
            .install(|| plan::solve(&p, &options, &Silent).unwrap())
    };
    let (a, b) = (with(1), with(3));
    assert_eq!(a.plan, b.plan);
    assert_eq!(a.bound.to_bits(), b.bound.to_bits());
}

#[test]
fn a_core_group_inside_a_cluster_would_be_cyclic() {
    let mut p = plan::sample::network(120, plan::sample::Policy::Full, 1);
    let inside = p.jobs.iter().position(|j| j.cluster != plan::instance::NONE).unwrap();
    p.groups[0].push(inside as u32);
    let e = plan::solve(&p, &Options::default(), &Silent).unwrap_err().to_string();
    assert!(e.contains("core group 0") && e.contains("cyclic"), "{e}");
}
