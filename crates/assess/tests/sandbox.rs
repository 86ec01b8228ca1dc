//! Each layer of the sandbox, tried from the inside. A confined process cannot
//! be undone, so every case runs in a process of its own: this test binary
//! started again with the case's name.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
};

use proofmark_assess::sandbox::{Confinement, enter};

fn inside(case: &str) -> bool {
    env::var("PROOFMARK_SANDBOX_CASE").is_ok_and(|c| c == case)
}

/// Runs the test `case` again in a child and expects it to succeed there.
fn child(case: &str, folder: &std::path::Path) {
    let out = Command::new(env::current_exe().unwrap())
        .args(["--exact", case, "--nocapture", "--test-threads", "1"])
        .env("PROOFMARK_SANDBOX_CASE", case)
        .env("PROOFMARK_SANDBOX_FOLDER", folder)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    assert!(String::from_utf8_lossy(&out.stdout).contains("tried it"), "the case did not run");
}

fn folder() -> PathBuf {
    env::var_os("PROOFMARK_SANDBOX_FOLDER").unwrap().into()
}

fn confine() {
    let f = folder();
    let c = Confinement { read: vec![f.join("in")], write: vec![f.join("out")], memory: None };
    enter(&c).unwrap();
}

fn prepared() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in"), b"input").unwrap();
    fs::write(dir.path().join("secret"), b"secret").unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    dir
}

#[test]
fn files() {
    if !inside("files") {
        return child("files", prepared().path());
    }
    confine();
    let f = folder();
    assert_eq!(fs::read(f.join("in")).unwrap(), b"input");
    assert!(fs::read(f.join("secret")).is_err());
    assert!(fs::read("/etc/passwd").is_err());
    assert!(fs::write(f.join("in"), b"x").is_err());
    assert!(fs::write(f.join("elsewhere"), b"x").is_err());
    fs::write(f.join("out/a.part"), b"x").unwrap();
    fs::rename(f.join("out/a.part"), f.join("out/a")).unwrap();
    println!("tried it");
}

#[test]
fn network() {
    if !inside("network") {
        return child("network", prepared().path());
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    confine();
    assert!(TcpStream::connect(address).is_err());
    assert!(TcpListener::bind("127.0.0.1:0").is_err());
    println!("tried it");
}

#[test]
fn programs() {
    if !inside("programs") {
        return child("programs", prepared().path());
    }
    confine();
    assert!(Command::new("/bin/true").status().is_err());
    println!("tried it");
}

#[test]
fn threads_still_work() {
    if !inside("threads_still_work") {
        return child("threads_still_work", prepared().path());
    }
    confine();
    let sum: u64 = std::thread::scope(|s| {
        let handles: Vec<_> =
            (0..4u64).map(|i| s.spawn(move || vec![i; 1 << 20].iter().sum::<u64>())).collect();
        handles.into_iter().map(|h| h.join().unwrap()).sum()
    });
    assert_eq!(sum, 6 << 20);
    println!("tried it");
}
