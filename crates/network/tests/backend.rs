//! An exact solver in a process of its own: what it says is used, what it gets wrong is not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use proofmark_network::plan::solver::{Answer, Mip, Process, Solver};
use proofmark_network::plan::{Options, Status, solve};
use proofmark_network::{Error, Silent};

#[path = "common/small.rs"]
mod small;

fn process(folder: &tempfile::TempDir, script: &str) -> Process {
    let program: PathBuf = folder.path().join("solver");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Process { program }
}

fn mip() -> Mip {
    let mut mip = Mip::default();
    let x = mip.column(-1.0, true);
    mip.row(0.0, 1.0, [(x, 1.0)]);
    mip
}

#[test]
fn the_answer_of_a_process_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let says = "cat > input; echo '{\"infeasible\":false,\"point\":[1.0],\"bound\":-1.0}'";
    let answer = process(&folder, &format!("cd {} && {says}", folder.path().display()))
        .solve(&mip(), &|| false)
        .unwrap();
    assert_eq!(answer, Answer { infeasible: false, point: vec![1.0], bound: Some(-1.0) });
    let sent: Mip =
        serde_json::from_slice(&fs::read(folder.path().join("input")).unwrap()).unwrap();
    assert_eq!(sent, mip());
}

#[test]
fn a_process_that_fails_or_hangs_is_named_or_ended() {
    let folder = tempfile::tempdir().unwrap();
    let failed = process(&folder, "exit 3").solve(&mip(), &|| false).unwrap_err().to_string();
    assert!(failed.contains("solver") && failed.contains("exit status: 3"), "{failed}");
    let noise = process(&folder, "echo no").solve(&mip(), &|| false).unwrap_err().to_string();
    assert!(noise.contains("not readable"), "{noise}");
    let missing = Process { program: folder.path().join("none") };
    assert!(matches!(missing.solve(&mip(), &|| false), Err(Error::Format { .. })));
    // Stopped: the process goes away and nothing is known.
    let at = Instant::now();
    let answer = process(&folder, "exec sleep 600").solve(&mip(), &|| true).unwrap();
    assert_eq!(answer, Answer::default());
    assert!(at.elapsed().as_secs() < 300);
}

/// Says that everything is as cheap as can be, and that all columns are taken.
#[derive(Debug)]
struct Liar;

impl Solver for Liar {
    fn solve(&self, mip: &Mip, _: &dyn Fn() -> bool) -> Result<Answer, Error> {
        Ok(Answer { infeasible: false, point: vec![1.0; mip.cost.len()], bound: None })
    }
}

#[test]
fn a_point_that_is_no_plan_changes_nothing() {
    let options = Options { nodes: 0, bound_steps: 60, rounds: 1, moves: 50, ..Options::default() };
    let with = Options { backend: Some(Arc::new(Liar)), ..options.clone() };
    for seed in 1..=60 {
        let p = small::random_instance(seed);
        let (a, b) = (solve(&p, &options, &Silent).unwrap(), solve(&p, &with, &Silent).unwrap());
        // A point may be a plan by chance; then it has to be a better one.
        assert!(b.account.cost <= a.account.cost + 1e-9 || a.status == Status::Violating);
        assert!(a.account.violations.is_empty() <= b.account.violations.is_empty());
        assert!(b.bound >= a.bound - 1e-9);
    }
}
