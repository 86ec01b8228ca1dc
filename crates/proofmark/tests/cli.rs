//! The program as a user meets it: arguments, statuses, sentences, files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// The program with a cache folder of its own.
fn proofmark(cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofmark"));
    command.env("XDG_CACHE_HOME", cache).env_remove("COLUMNS").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    let cache = tempfile::tempdir().unwrap();
    proofmark(cache.path()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder that looks like a root file system with one weak spot.
fn root() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["image/etc", "image/bin", "image/sbin", "image/usr/bin"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    let passwd = "root::0:0:root:/root:/bin/sh\ndaemon:*:1:1::/:/bin/false\n";
    fs::write(dir.path().join("image/etc/passwd"), passwd).unwrap();
    fs::write(dir.path().join("image/bin/sh"), "#!/bin/true\n").unwrap();
    dir
}

#[test]
fn wrong_arguments_end_with_status_2_and_a_suggestion() {
    let out = run(&["asay", "x"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("assay"), "{}", text(&out.stderr));
    assert_eq!(run(&["assay"]).status.code(), Some(2));
    let dir = root();
    let image = dir.path().join("image");
    let out = run(&["assay", image.to_str().unwrap(), "--as-of", "tomorrow"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("[E201]"), "{}", text(&out.stderr));
}

#[test]
fn what_cannot_be_done_is_one_sentence_with_a_code() {
    let dir = root();
    let image = dir.path().join("image");
    let image = image.to_str().unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, b"").unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    for (arguments, code) in [
        (vec!["assay", "/does/not/exist"], "[E101]"),
        (vec!["assay", empty.to_str().unwrap()], "[E101]"),
        (vec!["assay", image, "--out", file.to_str().unwrap()], "[E102]"),
        (vec!["unpack", image, "--out", image], "[E102]"),
        (vec!["show", image, "image/etc/shadow"], "[E103]"),
        (vec!["show", image, "image@0x0"], "[E103]"),
        (vec!["assay", image, "--yardstick", "no-such-yardstick"], "[E104]"),
        (vec!["explain", "ACC-99"], "[E107]"),
    ] {
        let out = run(&arguments);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.trim_end().ends_with(code), "{arguments:?}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{arguments:?}: {said}");
    }
}

#[test]
fn fail_on_decides_the_status() {
    let dir = root();
    let image = dir.path().join("image");
    let status = |level: &str| {
        run(&["assay", image.to_str().unwrap(), "--fail-on", level]).status.code().unwrap()
    };
    assert_eq!(status("never"), 0);
    assert_eq!(status("fail"), 3, "an account without a password");
    assert_eq!(status("inconclusive"), 3);
}

#[test]
fn an_output_folder_holds_every_file_and_nothing_half_written() {
    let dir = root();
    let out = dir.path().join("out");
    let done =
        run(&["assay", dir.path().join("image").to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let mut names: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "assessment.json",
            "components.csv",
            "findings.csv",
            "report.html",
            "results.sarif",
            "sbom.cdx.json"
        ]
    );
    let json = fs::read(out.join("assessment.json")).unwrap();
    let a: proofmark_model::Assessment = serde_json::from_slice(&json).unwrap();
    assert!(a.judgements.iter().any(|j| j.requirement.id == "ACC-02"));
}

#[test]
fn documents_for_others_on_request() {
    let dir = root();
    let (image, out) = (dir.path().join("image"), dir.path().join("out"));
    let formats = ["spdx", "openvex", "csaf", "cyclonedx-vex"];
    let mut args =
        vec!["assay", image.to_str().unwrap(), "--no-cache", "--out", out.to_str().unwrap()];
    formats.iter().for_each(|f| args.extend(["--also", *f]));
    let done = run(&args);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let spdx: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("sbom.spdx.json")).unwrap()).unwrap();
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    assert!(out.join("vex.cdx.json").is_file());
    // Nowhere to write to is a wrong argument.
    assert_eq!(run(&["assay", image.to_str().unwrap(), "--also", "spdx"]).status.code(), Some(2));
}

#[test]
fn rules_for_secrets_are_explained() {
    let done = run(&["explain", "GitHub-Token"]);
    assert_eq!(done.status.code(), Some(0));
    assert!(text(&done.stdout).contains("Passes over"), "{}", text(&done.stdout));
    assert!(text(&run(&["explain", "github-tokn"]).stderr).contains("github-token"));
}

#[test]
fn the_result_depends_on_neither_threads_nor_cache() {
    let dir = root();
    let image = dir.path().join("image");
    let cache = tempfile::tempdir().unwrap();
    let result = |more: &[&str]| {
        let out = dir.path().join("out");
        let done = proofmark(cache.path())
            .args(["assay", image.to_str().unwrap(), "--out", out.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        fs::read(out.join("assessment.json")).unwrap()
    };
    let first = result(&["--no-cache", "--jobs", "1"]);
    for more in [["--jobs", "2"], ["--jobs", "8"], ["--jobs", "1"]] {
        assert!(result(&more) == first, "{more:?}: cold or warm, the bytes are the same");
    }
}

#[test]
fn standard_input_is_an_image_too() {
    let cache = tempfile::tempdir().unwrap();
    let mut child = proofmark(cache.path())
        .args(["ls", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"just some text\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).contains("stdin"), "{}", text(&out.stdout));
}

#[test]
fn every_locator_that_ls_prints_can_be_shown() {
    let dir = root();
    let image = dir.path().join("image");
    let image = image.to_str().unwrap();
    let listed = run(&["ls", image, "--json"]);
    let mut shown = 0;
    for line in text(&listed.stdout).lines() {
        let a: proofmark_model::Artifact = serde_json::from_str(line).unwrap();
        if let Some(digest) = a.sha256 {
            let out = run(&["show", image, &a.locator.to_string(), "--raw"]);
            assert_eq!(proofmark_model::Digest::of(&out.stdout), digest, "{}", a.locator);
            shown += 1;
        }
    }
    assert_eq!(shown, 2, "etc/passwd and bin/sh");
}

#[test]
fn unpack_extracts_into_an_empty_folder_and_nowhere_else() {
    let dir = root();
    let out = dir.path().join("out");
    let done = run(&[
        "unpack",
        dir.path().join("image").to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(out.join("manifest.json").is_file());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!out.join(".proofmark-partial").exists());
}

#[test]
fn a_file_of_keys_opens_what_it_names_and_is_never_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("plain"), "what was delivered\n").unwrap();
    let made = Command::new("zip")
        .args(["-q", "-P", "s3cret", "d.zip", "plain"])
        .current_dir(dir.path())
        .status();
    assert!(made.is_ok_and(|s| s.success()), "zip (Debian package zip) failed");
    let key = "[[key]]\nname = \"delivery\"\nformat = \"zip\"\npassword = \"s3cret\"\n";
    fs::write(path("keys.toml"), key).unwrap();
    let image = path("d.zip");
    let closed = run(&["ls", &image, "--problems"]);
    assert!(text(&closed.stdout).contains("no key was given"), "{}", text(&closed.stdout));
    let open = run(&["show", &image, "d.zip@0x0:zip/plain", "--keys", &path("keys.toml")]);
    assert!(text(&open.stdout).contains("what was delivered"), "{}", text(&open.stderr));
    let (out, manifest) = (path("out"), path("manifest.json"));
    let done = run(&[
        "unpack",
        &image,
        "--out",
        &out,
        "--manifest",
        &manifest,
        "--keys",
        &path("keys.toml"),
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(fs::read_to_string(&manifest).unwrap().contains("d.zip@0x0:zip/plain"));
    assert!(!Path::new(&out).join("manifest.json").exists());
    for wrong in [key.replace("password", "passwort"), key.replace("zip", "zipp"), "[[key".into()] {
        fs::write(path("keys.toml"), wrong).unwrap();
        let refused = run(&["ls", &image, "--keys", &path("keys.toml")]);
        assert_eq!(refused.status.code(), Some(2));
        let said = text(&refused.stderr);
        assert!(said.contains("keys.toml") && !said.contains("s3cret"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    // Many distinct members, so that the run takes long enough to be interrupted.
    let image = dir.path().join("image");
    let mut bytes = Vec::new();
    let mut x = 1u32;
    for _ in 0..(96 << 20) / 4 {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend(x.to_le_bytes());
    }
    fs::write(&image, bytes).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let child = proofmark(cache.path())
        .args(["assay", image.to_str().unwrap(), "--out", out.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(150));
    // The terminal sends it to both; here the worker is a child of the child.
    let parent = child.id().to_string();
    Command::new("pkill").args(["-INT", "-P", &parent]).status().unwrap();
    Command::new("kill").args(["-INT", &parent]).status().unwrap();
    let ended = child.wait_with_output().unwrap();
    if ended.status.code() == Some(0) {
        // Faster than the interrupt: then everything must be there.
        assert!(out.join("assessment.json").is_file());
    } else {
        let left: Vec<_> = fs::read_dir(&out).map(|d| d.flatten().collect()).unwrap_or_default();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_is_half_written() {
    let dir = root();
    let status = proofmark(dir.path())
        .args(["ls", dir.path().join("image").to_str().unwrap()])
        .stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status.stderr).contains("[E102]"), "{}", text(&status.stderr));
}

#[test]
fn the_command_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
    let mut fresh = String::from(
        "# Commands\n\nWhat `proofmark help` prints; made by the test that checks it (`PROOFMARK_UPDATE=1`).\n",
    );
    let commands =
        ["", "assay", "ls", "show", "unpack", "explain", "doctor", "advisories", "network"];
    for command in commands {
        let arguments: Vec<&str> =
            [command, "--help"].into_iter().filter(|w| !w.is_empty()).collect();
        let out = run(&arguments);
        fresh.push_str(&format!("\n## proofmark {command}\n\n```\n{}```\n", text(&out.stdout)));
    }
    let fresh = fresh.replace("## proofmark \n", "## proofmark\n");
    if std::env::var_os("PROOFMARK_UPDATE").is_some() {
        fs::write(path, &fresh).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap_or_default() == fresh,
        "docs/commands.md is stale: PROOFMARK_UPDATE=1 cargo test -p proofmark"
    );
}

/// A folder with a flat image that carries the banner of a daemon with published vulnerabilities.
fn with_daemon() -> tempfile::TempDir {
    let dir = root();
    let sbin = dir.path().join("image/usr/sbin");
    fs::create_dir_all(&sbin).unwrap();
    let banner = b"\0\xff\x01code\0dnsmasq-2.51\0more\0\xfe".to_vec();
    fs::write(sbin.join("firmware.bin"), [vec![0x9f; 300], banner].concat()).unwrap();
    dir
}

fn assess(dir: &tempfile::TempDir, more: &[&str]) -> proofmark_model::Assessment {
    let (image, out) = (dir.path().join("image"), dir.path().join("out"));
    let mut args =
        vec!["assay", image.to_str().unwrap(), "--no-cache", "--out", out.to_str().unwrap()];
    args.extend(more);
    let done = run(&args);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    serde_json::from_slice(&fs::read(out.join("assessment.json")).unwrap()).unwrap()
}

#[test]
fn the_first_run_without_network_already_matches() {
    let dir = with_daemon();
    let a = assess(&dir, &[]);
    let of = |v: &&proofmark_model::Vulnerability| v.component.name == "dnsmasq";
    assert!(a.vulnerabilities.iter().filter(of).any(|v| v.id == "CVE-2017-14491"));
    assert!(a.provenance.feeds.iter().all(|f| f.id.starts_with("starter/")));
    let none = assess(&dir, &["--no-advisories"]);
    assert!(none.vulnerabilities.is_empty() && none.provenance.feeds.is_empty());
    let wrong = dir.path().join("no.db");
    let image = dir.path().join("image");
    let done = run(&["assay", image.to_str().unwrap(), "--advisories", wrong.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("no such database"), "{}", text(&done.stderr));
}

#[test]
fn a_statement_is_taken_over_where_the_same_bytes_are() {
    let dir = with_daemon();
    assess(&dir, &["--also", "openvex"]);
    let written = fs::read_to_string(dir.path().join("out/vex.openvex.json")).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&written).unwrap();
    for statement in document["statements"].as_array_mut().unwrap() {
        if statement["vulnerability"]["name"] == "CVE-2017-14491" {
            statement["status"] = "not_affected".into();
            statement["justification"] = "vulnerable_code_not_in_execute_path".into();
        }
    }
    let vex = dir.path().join("vex.json");
    fs::write(&vex, document.to_string()).unwrap();
    let state = |a: &proofmark_model::Assessment| {
        let v = a.vulnerabilities.iter().find(|v| v.id == "CVE-2017-14491").unwrap();
        v.dismissed
    };
    let more = ["--vex", vex.to_str().unwrap()];
    let decided = assess(&dir, &more);
    let why = proofmark_model::Dismissal::VulnerableCodeNotInExecutePath;
    assert_eq!(state(&decided), Some(why));
    assert!(assess(&dir, &more) == decided, "again the same");
    // Another build of the same version is not what the statement was made for.
    let file = dir.path().join("image/usr/sbin/firmware.bin");
    let mut bytes = fs::read(&file).unwrap();
    bytes[0] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(state(&assess(&dir, &more)), None);
}

#[test]
fn a_bill_of_materials_is_held_against_what_is_seen() {
    let dir = with_daemon();
    let sbom = dir.path().join("producer.cdx.json");
    let component = |name: &str, version: &str| serde_json::json!({"type": "library", "name": name, "version": version});
    let document = serde_json::json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5",
        "components": [component("dnsmasq", "2.90"), component("zlib", "1.3")],
    });
    fs::write(&sbom, document.to_string()).unwrap();
    let a = assess(&dir, &["--sbom", sbom.to_str().unwrap()]);
    let r = &a.reconciliations[0];
    assert_eq!(r.document.id, "producer.cdx.json");
    assert_eq!(r.differing[0].seen[0].version.as_deref(), Some("2.51"));
    assert_eq!(r.not_seen[0].name, "zlib");
    fs::write(&sbom, "no document").unwrap();
    let image = dir.path().join("image");
    let done = run(&["assay", image.to_str().unwrap(), "--sbom", sbom.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("producer.cdx.json"), "{}", text(&done.stderr));
}

#[test]
fn a_key_in_a_file_of_unknown_format_is_found() {
    let dir = root();
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-outform",
            "DER",
        ])
        .output()
        .expect("openssl is missing: install the package openssl");
    assert!(made.status.success());
    fs::write(dir.path().join("image/etc/device.key"), made.stdout).unwrap();
    let a = assess(&dir, &[]);
    let key = |o: &&proofmark_model::Observation| o.fact.kind() == "private-key";
    assert_eq!(a.observations.iter().filter(key).count(), 1);
}
