//! Every policy of the catalogue against a network where everything is designated and one where
//! nothing is; and plans on a small operator, from policy to compliance.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proofmark_model::Verdict;
use proofmark_network::commands::{self, Input, World};
use proofmark_network::cost::Level;
use proofmark_network::date::Date;
use proofmark_network::evidence::Status;
use proofmark_network::plan::build::{Past, Setup};
use proofmark_network::plan::{self, Options};
use proofmark_network::policy::{Binding, Kind, Policy};
use proofmark_network::{Error, Silent};

fn catalogue() -> Vec<Policy> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../catalogue/policies");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().map(|f| Policy::load(f).unwrap()).collect()
}

const PLACES: &str = r#"{"type":"FeatureCollection","features":[
 {"type":"Feature","geometry":{"type":"Point","coordinates":[10.0,50.0]},"properties":{"name":"P","category":"city-list-1","radius_m":500}},
 {"type":"Feature","geometry":{"type":"Point","coordinates":[10.0,50.0]},"properties":{"name":"Q","category":"city-list-2"}},
 {"type":"Feature","geometry":{"type":"Point","coordinates":[10.0,50.0]},"properties":{"name":"R","category":"city-list-3"}},
 {"type":"Feature","geometry":{"type":"Point","coordinates":[10.0,50.0]},"properties":{"name":"S","category":"dense-areas"}}]}"#;

/// A small operator: two clusters of six sites, the first with failing radio, one core site.
fn operator(folder: &Path) {
    let mut sites = "name,latitude,longitude,region,cf_cluster,cf_customers,cf_traffic_gb_day,cf_population_served\ncore,50.3,10.3,north,,10,0,0\n".to_owned();
    let mut devices = "name,site,role,manufacturer,device_type,platform,cf_segment,cf_function,cf_generation,cf_coupling_group,cf_install_date\n\
        core-amf,core,core,North,N-AMF,1.0,core,amf,4G/5G,,2024-01-01\n\
        core-oss,core,core,North,N-OSS,1.0,management,oss,4G/5G,,2024-01-01\n\
        core-upf,core,core,South,S-UPF,1.0,core,upf,4G/5G,,2024-01-01\n\
        core-oss2,core,core,South,S-OSS,1.0,management,oss,4G/5G,,2024-01-01\n\
        core-tx,core,core,South,S-T,1.0,transport,core-transmission,4G/5G,,2024-01-01\n\
        core-txn,core,core,North,N-T,1.0,transport,core-transmission,4G/5G,,2024-01-01\n\
        core-olt,core,olt,North,N-OLT,1.0,access-fixed,olt,,,2024-01-01\n\
        core-olt2,core,olt,South,S-OLT,1.0,access-fixed,olt,,,2024-01-01\n"
        .to_owned();
    let mut links = "side_a_site,side_b_site\n".to_owned();
    for k in 0..12 {
        let (vendor, cluster) = if k < 6 { ("North", "C1") } else { ("South", "C2") };
        let letter = &vendor[..1];
        sites += &format!(
            "s{k},{:.3},10.0,north,{cluster},1000,{},2000\n",
            50.0 + 0.01 * f64::from(k),
            10 + k
        );
        devices += &format!(
            "s{k}-bb,s{k},baseband,{vendor},{letter}-BB,2.0,ran,bbu4g,4G,g{k},2024-05-01\n"
        );
        devices += &format!(
            "s{k}-bb5,s{k},baseband,{vendor},{letter}-BB5,2.0,ran,bbu5g,5G,g{k},2024-05-01\n"
        );
        devices +=
            &format!("s{k}-csr,s{k},router,{vendor},{letter}-CSR,2.0,transport,csr,,,2024-05-01\n");
        links += &format!("s{k},core\n");
    }
    std::fs::write(folder.join("sites.csv"), sites).unwrap();
    std::fs::write(folder.join("devices.csv"), devices).unwrap();
    std::fs::write(folder.join("links.csv"), links).unwrap();
    std::fs::write(folder.join("protected.geojson"), PLACES).unwrap();
}

fn world(vendors: &[&str]) -> (tempfile::TempDir, World) {
    let dir = tempfile::tempdir().unwrap();
    operator(dir.path());
    let day = Date::new(2025, 1, 1).unwrap();
    let events: BTreeMap<String, Date> =
        ["approval", "national", "designation", "decree", "decision"]
            .iter()
            .map(|e| ((*e).to_owned(), day))
            .collect();
    let input = Input {
        inventory: dir.path().to_owned(),
        options: Default::default(),
        evidence: None,
        requirements: Vec::new(),
        binding: Binding {
            vendors: vendors.iter().map(|v| (*v).to_owned()).collect(),
            events,
            ..Binding::default()
        },
        start: day,
        costs: Vec::new(),
        level: Level::Typical,
    };
    let mut w = World::load(&input).unwrap();
    // Everything has evidence and passes: only the list designates.
    let devices: Vec<(String, String)> = w
        .inventory()
        .devices
        .iter()
        .map(|d| {
            (w.inventory().text(d.product).to_owned(), w.inventory().text(d.release).to_owned())
        })
        .collect();
    for (p, r) in devices {
        w.evidence.add_verdict(&p, &r, "ACC-01", Verdict::Pass);
    }
    w.status = w.evidence.statuses(w.inventory(), &[]);
    w.binding.failing = true;
    (dir, w)
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
    let setup = Setup { crews: 4.0, ..Setup::default() };
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
        commands::scenario_files(&w, &all, &[]).unwrap(),
        commands::scenario_files(&w, &again, &[]).unwrap(),
    );
    assert_eq!(a, b);
}

#[test]
fn contradictions_are_explained() {
    let (_d, w) = world(&["North"]);
    // Crews for a tenth of the work.
    let setup = Setup { crews: 0.002, ..Setup::default() };
    let options = Options { rounds: 1, bound_steps: 120, moves: 300, ..plan::Options::default() };
    let ban = &commands::archetypes().unwrap()[0];
    let p = commands::plan(&w, ban, &setup, &options, None, &Silent).unwrap();
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
    let e = commands::plan(&w, uk, &Setup::default(), &options, None, &Silent).unwrap_err();
    assert!(
        matches!(&e, Error::Rule { .. }) && e.to_string().contains("before the plan starts"),
        "{e}"
    );
    let late = Setup { past: Past::AtOnce, crews: 50.0, ..Setup::default() };
    assert!(
        commands::plan(
            &w,
            uk,
            &late,
            &Options { rounds: 1, moves: 100, ..options.clone() },
            None,
            &Silent
        )
        .is_ok()
    );
    for setup in [
        Setup { periods: 0, ..Setup::default() },
        Setup { budget: vec![-1.0], ..Setup::default() },
        Setup { budget: vec![1.0, 2.0], ..Setup::default() },
        Setup { crews: f64::NAN, ..Setup::default() },
    ] {
        assert!(
            commands::plan(
                &w,
                &commands::archetypes().unwrap()[0],
                &setup,
                &options,
                None,
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
