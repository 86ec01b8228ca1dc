//! `proofmark network` from the outside: files, errors, interruption.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Rows of clusters of 30 sites, half of them from a vendor that is to go.
fn operator(folder: &Path, sites: usize) {
    let mut s = "name,latitude,longitude,region,cf_cluster,cf_customers,cf_traffic_gb_day\ncore,50,10,r,,1,1\n".to_owned();
    let mut d = "name,site,manufacturer,device_type,platform,cf_segment,cf_function,cf_install_date\ncore-x,core,Good,G-AMF,1,core,amf,2022-01-01\ncore-t,core,Good,G-T,1,transport,csr,2022-01-01\n".to_owned();
    let mut l = "side_a_site,side_b_site\n".to_owned();
    for k in 0..sites {
        let (c, v) = (k / 30, if k / 30 % 2 == 0 { "Old" } else { "Good" });
        let (y, x) = (
            50.0 + 0.03 * (c / 20) as f64,
            10.0 + 0.03 * (c % 20) as f64 + 0.001 * (k % 30) as f64,
        );
        writeln!(s, "s{k},{y},{x},r,c{c},{},{}", 500 + k * 37 % 900, 10 + k % 50).unwrap();
        writeln!(d, "b{k},s{k},{v},{v}-B,1,ran,bbu4g,{}-0{}-01", 2016 + k % 7, 1 + k % 9).unwrap();
        writeln!(d, "t{k},s{k},{v},{v}-T,1,transport,csr,2018-01-01").unwrap();
        writeln!(l, "s{k},core").unwrap();
    }
    for (name, text) in [("sites.csv", s), ("devices.csv", d), ("links.csv", l)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn network(args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_proofmark"));
    // No solver that happens to be installed.
    c.env("PROOFMARK_HIGHS", "/nowhere/solver");
    c.arg("network").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    c
}

fn run(args: &[&str]) -> Output {
    network(args).output().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_plan_is_written_whole_resumed_and_planned_anew() {
    let dir = tempfile::tempdir().unwrap();
    operator(dir.path(), 120);
    let (inventory, out) = (dir.path().to_str().unwrap(), dir.path().join("out"));
    let base = ["--vendor", "Old", "--policy", "archetype.full-ban", "--crews", "3", "--late"];
    let plan = |more: &[&str], out: &Path| {
        let mut args = vec!["plan", inventory, "--out", out.to_str().unwrap()];
        args.extend(base);
        args.extend(more);
        let o = run(&args);
        assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
        String::from_utf8_lossy(&o.stdout).into_owned()
    };
    let said = plan(&[], &out);
    assert!(said.contains("no plan costs less than"), "{said}");
    for f in ["plan.json", "plan.csv", "tables.xlsx", "report.html"] {
        assert!(out.join(f).metadata().unwrap().len() > 500, "{f}");
    }
    let first = json(&out.join("plan.json"));
    assert_eq!(first["schema"], "proofmark-plan/1");
    assert!(first["bound"].as_f64().unwrap() <= first["cost"].as_f64().unwrap());
    let file = out.join("plan.json");
    plan(&["--resume", file.to_str().unwrap()], &dir.path().join("again"));
    let again = json(&dir.path().join("again/plan.json"));
    assert!(again["cost"].as_f64().unwrap() <= first["cost"].as_f64().unwrap() * (1.0 + 1e-9));
    let said = plan(
        &[
            "--replan",
            file.to_str().unwrap(),
            "--change-price",
            "1e7",
            "--start",
            "2028-01-01",
            "--periods",
            "4",
        ],
        &dir.path().join("later"),
    );
    assert!(said.contains("promised jobs") && said.contains(" 0 change"), "{said}");
}

#[test]
fn an_error_is_one_sentence_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    operator(dir.path(), 60);
    let inventory = dir.path().to_str().unwrap();
    let policy = dir.path().join("p.toml");
    std::fs::write(&policy, "id='p'\nrevision=1\ntitle='t'\n[[rule]]\nid='cap'\ntype='share_cap'\ncap=1.4\nunits=['sites']").unwrap();
    let units = dir.path().join("u.toml");
    std::fs::write(&units, "id='u'\nrevision=1\ntitle='t'\n[[rule]]\nid='cap'\ntype='share_cap'\ncap=0.4\nunits=['bananas']").unwrap();
    let costs = dir.path().join("c.toml");
    std::fs::write(&costs, "[[item]]\nid='ran.baseband'\nunit='u'\nlow=-1.0\ntypical=1.0\nhigh=2.0\nconfidence='assumption'").unwrap();
    let out = dir.path().join("out");
    let cases: [(&[&str], &str); 8] = [
        (&["--policy", units.to_str().unwrap()], "unknown unit \"bananas\""),
        (&["--policy", "archetype.full-ban", "--backend", "highs"], "`./run highs` builds it"),
        (&["--policy", policy.to_str().unwrap()], "rule cap: cap must be 0 to 1"),
        (
            &["--policy", "archetype.full-ban", "--costs", costs.to_str().unwrap()],
            "cost item ran.baseband",
        ),
        (&["--policy", "uk-dvd-2022"], "before the plan starts"),
        (&["--policy", "pl-2026"], "decision"),
        (&["--policy", "archetype.full-ban", "--budget=-5"], "budget: must not be negative"),
        (&["--policy", "no-such"], "neither a policy of this program"),
    ];
    for (more, want) in cases {
        let mut args = vec!["plan", inventory, "--vendor", "Old", "--out", out.to_str().unwrap()];
        args.extend(more);
        let o = run(&args);
        let said = String::from_utf8_lossy(&o.stderr).into_owned();
        assert!(!o.status.success() && said.contains(want), "{more:?}: {said}");
        assert!(!out.exists(), "{more:?} left files");
    }
    // An island is named; it stops nothing.
    let links = dir.path().join("links.csv");
    let text = std::fs::read_to_string(&links).unwrap().replace("s7,core\ns8,core\n", "s7,s8\n");
    std::fs::write(&links, text).unwrap();
    let o = run(&["check", inventory]);
    let said = String::from_utf8_lossy(&o.stdout).into_owned();
    assert!(
        o.status.success() && said.contains("s7\\\" has links, but no way to a core site"),
        "{said}"
    );
    let o = run(&["check", "http://127.0.0.1:9"]);
    assert!(String::from_utf8_lossy(&o.stderr).contains("no answer"));
}

/// Plans for an operator with so many sites, is interrupted after three seconds, and gives the plan.
fn interrupted(sites: usize) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    operator(dir.path(), sites);
    let out = dir.path().join("out");
    let mut child = network(&[
        "plan",
        dir.path().to_str().unwrap(),
        "--vendor",
        "Old",
        "--policy",
        "archetype.full-ban",
        "--crews",
        &(sites / 100).to_string(),
        "--gap",
        "0",
        "--out",
        out.to_str().unwrap(),
    ])
    .spawn()
    .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let pid = child.id().to_string();
    // It may have ended already.
    let _ = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let told = Instant::now();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(told.elapsed() < Duration::from_secs(300));
    json(&out.join("plan.json"))
}

#[test]
fn control_c_delivers_the_best_plan_so_far() {
    // How many sites keep the search busy for three seconds depends on the machine.
    let plan = [6_000, 24_000, 96_000]
        .into_iter()
        .map(interrupted)
        .find(|d| d["stopped"] == true)
        .expect("ended by itself each time");
    assert!(plan["gap"].as_f64().unwrap() >= 0.0 && plan["jobs"].as_array().unwrap().len() > 1000);
}
