//! Hostile and damaged feeds: nothing panics, nothing runs away, good neighbours are still read, and an import that is
//! killed leaves the old database as it was.
#![allow(clippy::unwrap_used, reason = "what a test expects")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use flate2::{
    Compression, Crc,
    write::{DeflateEncoder, GzEncoder},
};
use proofmark_advisories::{
    Database, Key, Store as _,
    feed::{self, Item, Parsed, Problem, open::Budget, scan::Limits},
    import::{Options, import},
};

/// One small text of each format.
const SAMPLES: &[(&str, &str)] = &[
    (
        "nvd",
        r#"{"resultsPerPage":1,"vulnerabilities":[{"cve":{"id":"CVE-2020-0001","lastModified":"2020-01-01T00:00:00","metrics":{"cvssMetricV31":[{"source":"s","cvssData":{"version":"3.1","vectorString":"v","baseScore":5.0}}]},"configurations":[{"nodes":[{"operator":"OR","negate":false,"cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:v:p:*:*:*:*:*:*:*:*","versionEndExcluding":"1"}]}]}]}}]}"#,
    ),
    (
        "overrides",
        r#"{"_annotation":{"cve_id":"CVE-2020-0001"},"cve":{"configurations":[{"nodes":[{"operator":"OR","cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:v:p:*:*:*:*:*:*:*:*"}]}]}]}}"#,
    ),
    (
        "cve5",
        r#"{"dataType":"CVE_RECORD","cveMetadata":{"cveId":"CVE-2020-0001","datePublished":"2020-01-01T00:00:00Z"},"containers":{"cna":{"affected":[{"vendor":"v","product":"p","versions":[{"version":"1","lessThan":"2","status":"affected"}]}]}}}"#,
    ),
    (
        "osv",
        r#"{"id":"OSV-2020-1","modified":"2020-01-01T00:00:00Z","aliases":["CVE-2020-0001"],"affected":[{"package":{"ecosystem":"generic","name":"p"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1"}]}]}]}"#,
    ),
    (
        "kev",
        r#"{"catalogVersion":"1","dateReleased":"2020-01-01T00:00:00Z","vulnerabilities":[{"cveID":"CVE-2020-0001","dateAdded":"2020-01-01"}]}"#,
    ),
    ("kev-csv", "cveID,vendorProject,dateAdded\nCVE-2020-0001,v,2020-01-01\n"),
    (
        "epss",
        "#model_version:v,score_date:2020-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2020-0001,0.5,0.5\n",
    ),
    (
        "alpine",
        r#"{"distroversion":"v3.18","reponame":"main","packages":[{"pkg":{"name":"p","secfixes":{"1-r0":["CVE-2020-0001"]}}}]}"#,
    ),
    (
        "debian-list",
        "[01 Jan 2020] DSA-1-1 p - security update\n\t{CVE-2020-0001}\n\t[buster] - p 1-1\n",
    ),
    (
        "debian-tracker",
        r#"{"p":{"CVE-2020-0001":{"scope":"remote","releases":{"buster":{"status":"resolved","fixed_version":"1-1"}}}}}"#,
    ),
    (
        "ubuntu",
        r#"{"USN-1-1":{"cves":["CVE-2020-0001"],"timestamp":1500000000.0,"releases":{"jammy":{"sources":{"p":{"version":"1-1"}}}}}}"#,
    ),
    (
        "build-system",
        r#"{"tool":"buildroot","package":"p","version":"1","cve":"CVE-2020-0001","patches":[],"status":"patched"}"#,
    ),
    (
        "yocto",
        r#"{"version":"1","package":[{"name":"p","layer":"meta","version":"1","products":[],"issue":[{"id":"CVE-2020-0001","status":"Patched"}]}]}"#,
    ),
    (
        "csaf",
        r#"{"document":{"csaf_version":"2.0","tracking":{"id":"X-1"}},"product_tree":{"branches":[{"category":"product_name","name":"p","branches":[{"category":"product_version","name":"1","product":{"product_id":"P","name":"p"}}]}]},"vulnerabilities":[{"cve":"CVE-2020-0001","product_status":{"fixed":["P"]}}]}"#,
    ),
    (
        "linux",
        r#"{"cve":"CVE-2020-0001","mainline":{"fixes_commit":"aa","introduced":"4.1","fixed":"5.0"},"streams":{},"stream_status":{"4.9":"fixed:4.9.1"}}"#,
    ),
    (
        "mbedtls",
        r#"{"id":"m-1","cves":["CVE-2020-0001"],"affects":"1.3 and up","fixed_versions":["2.1.1"]}"#,
    ),
];

fn read(text: &[u8]) -> Vec<Result<Parsed, Problem>> {
    let mut out = Vec::new();
    feed::read(&mut &*text, "file", Limits { record: 1 << 16, depth: 60 }, &mut |r| out.push(r));
    out
}

/// Whether this text speaks of CVE-2020-0001.
fn speaks(results: &[Result<Parsed, Problem>]) -> bool {
    results.iter().flatten().flat_map(|p| &p.items).any(|i| match i {
        Item::Record(r, _) => r.cves == ["CVE-2020-0001"],
        Item::Kev(n, _) | Item::Epss(n, _) => *n == 20_200_000_000_001,
    })
}

/// A generator whose numbers are the same each time.
fn xorshift(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize
}

#[test]
fn every_format_is_recognised() {
    for (name, text) in SAMPLES {
        let got = read(text.as_bytes());
        assert!(speaks(&got) && got.iter().all(Result::is_ok), "{name}: {got:?}");
    }
    assert_eq!(SAMPLES.len(), feed::formats().count(), "a sample for each");
}

#[test]
fn cut_and_flipped_texts() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for (name, text) in SAMPLES {
        let bytes = text.as_bytes();
        for end in 0..bytes.len() {
            let got = read(&bytes[..end]);
            // A list that is cut must say so: what follows is missing.
            let lines = matches!(*name, "kev-csv" | "epss" | "debian-list");
            assert!(
                lines || got.iter().any(|r| matches!(r, Err(p) if p.cut)),
                "{name} cut at {end}: {got:?}"
            );
        }
        for _ in 0..400 {
            let mut bad = bytes.to_vec();
            for _ in 0..=xorshift(&mut state) % 3 {
                let at = xorshift(&mut state) % bad.len();
                bad[at] = match xorshift(&mut state) % 4 {
                    0 => b"{}[]\",:\\0"[xorshift(&mut state) % 9],
                    _ => bad[at] ^ (1 << (xorshift(&mut state) % 8)),
                };
            }
            read(&bad);
        }
    }
}

#[test]
fn a_damaged_line_costs_itself() {
    for name in ["overrides", "cve5", "osv", "build-system", "linux", "mbedtls"] {
        let text = SAMPLES.iter().find(|(n, _)| *n == name).unwrap().1;
        for bad in ["{\"id\":\"x", "{\"a\":[}", "[[[[", "}", "\"", "{\"cve\":\"\u{7}\"}"] {
            let got = read(format!("{text}\n{bad}\n{text}\n").as_bytes());
            let good = got.iter().filter(|r| speaks(std::slice::from_ref(*r))).count();
            assert_eq!(good, 2, "{name} with {bad}: {got:?}");
        }
    }
}

#[test]
fn deep_nesting_is_named() {
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(200_000);
        let got = read(deep.as_bytes());
        assert!(got.iter().all(Result::is_err) && !got.is_empty());
        let text = SAMPLES[0].1.replace(
            "\"lastModified\"",
            &format!("\"x\":{}{},\"lastModified\"", "[".repeat(100), "]".repeat(100)),
        );
        let got = read(text.as_bytes());
        assert!(
            matches!(&got[0], Err(p) if p.record == "CVE-2020-0001" && p.reason.contains("deeper")),
            "{got:?}"
        );
    }
}

#[test]
fn contradictions_are_kept_as_they_are() {
    // The matcher decides what a range means that ends before it begins; it must get there.
    let text = SAMPLES[2].1.replace("\"lessThan\":\"2\"", "\"lessThan\":\"0.1\"");
    let got = read(text.as_bytes());
    let Ok(parsed) = &got[0] else { panic!() };
    let Item::Record(r, _) = &parsed.items[0] else { panic!() };
    let (range, _) = &r.statements[0].ranges[0];
    assert_eq!(
        (range.from.as_ref().unwrap().0.as_str(), range.to.as_ref().unwrap().0.as_str()),
        ("1", "0.1")
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::best());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

fn of_file(bytes: &[u8], budget: &Budget) -> Vec<Result<Parsed, Problem>> {
    let mut out = Vec::new();
    feed::open::stream(std::io::Cursor::new(bytes), "file", budget, &mut |r| out.push(r));
    out
}

#[test]
fn compressed_bombs_are_bounded() {
    let bomb = gzip(&vec![b' '; 80 << 20]);
    let budget = Budget { output: 1 << 20, ..Budget::default() };
    let got = of_file(&bomb, &budget);
    assert!(matches!(got.as_slice(), [Err(p)] if p.reason.contains("budget")), "{got:?}");
    let zip = zip(&[("a", &vec![b' '; 8 << 20], 8)]);
    let got = of_file(&zip, &budget);
    assert!(got.iter().all(Result::is_err) && !got.is_empty(), "{got:?}");
}

#[test]
fn damaged_gzip_says_so_and_keeps_what_came_before() {
    let text: String = (1..=3000)
        .map(|i| SAMPLES[2].1.replace("CVE-2020-0001", &format!("CVE-2020-{i:04}")) + "\n")
        .collect();
    let whole = gzip(text.as_bytes());
    let got = of_file(&whole[..whole.len() * 2 / 3], &Budget::default());
    assert!(got.iter().flatten().count() > 500);
    assert!(matches!(got.last(), Some(Err(p)) if p.cut), "{:?}", got.last());
    let mut state = 7;
    for _ in 0..60 {
        let mut bad = whole.clone();
        let at = xorshift(&mut state) % bad.len();
        bad[at] ^= 1 << (xorshift(&mut state) % 8);
        of_file(&bad, &Budget::default());
    }
}

/// A zip file of these entries: name, content, method.
fn zip(entries: &[(&str, &[u8], u16)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content, method) in entries {
        let mut crc = Crc::new();
        crc.update(content);
        let packed = match method {
            8 => {
                let mut e = DeflateEncoder::new(Vec::new(), Compression::best());
                e.write_all(content).unwrap();
                e.finish().unwrap()
            }
            _ => content.to_vec(),
        };
        let at = out.len() as u32;
        let fields = [
            &method.to_le_bytes()[..],
            &[0; 4],
            &crc.sum().to_le_bytes(),
            &(packed.len() as u32).to_le_bytes(),
            &(content.len() as u32).to_le_bytes(),
            &(name.len() as u16).to_le_bytes(),
            &[0; 2],
        ]
        .concat();
        out.extend([b"PK\x03\x04\x14\0\0\0", fields.as_slice(), name.as_bytes(), &packed].concat());
        directory.extend(
            [
                b"PK\x01\x02\x14\0\x14\0\0\0",
                fields.as_slice(),
                &[0; 10],
                &at.to_le_bytes(),
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    let (start, n) = (out.len() as u32, entries.len() as u16);
    out.extend(&directory);
    out.extend(
        [
            &b"PK\x05\x06\0\0\0\0"[..],
            &n.to_le_bytes(),
            &n.to_le_bytes(),
            &(directory.len() as u32).to_le_bytes(),
            &start.to_le_bytes(),
            &[0; 2],
        ]
        .concat(),
    );
    out
}

#[test]
fn archives_with_odd_names_and_damage() {
    let text = SAMPLES[3].1.as_bytes();
    let good = zip(&[
        ("../../etc/passwd", text, 8),
        ("/abs\u{7}", text, 0),
        ("dir/", b"", 0),
        ("inner.zip", b"PK\x03\x04xxxx", 0),
    ]);
    let got = of_file(&good, &Budget::default());
    assert_eq!(got.iter().filter(|r| speaks(std::slice::from_ref(*r))).count(), 2, "{got:?}");
    assert!(
        got.iter().any(|r| matches!(r, Err(p) if p.reason.contains("archive within"))),
        "{got:?}"
    );
    for end in 0..good.len() {
        of_file(&good[..end], &Budget::default());
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        of_file(&bad, &Budget::default());
    }
    // A wrong checksum is not believed.
    let mut bad = zip(&[("a", text, 0)]);
    let at = bad.windows(4).position(|w| w == b"OSV-").unwrap();
    bad[at] = b'X';
    assert!(of_file(&bad, &Budget::default()).iter().all(Result::is_err));
}

fn page(n: usize, modified: &str) -> String {
    let one = |i: usize| {
        SAMPLES[0]
            .1
            .split_once('[')
            .unwrap()
            .1
            .trim_end_matches("]}")
            .replace("CVE-2020-0001", &format!("CVE-2020-{:05}", i + 1))
            .replace("2020-01-01", modified)
    };
    format!(
        "{{\"resultsPerPage\":{n},\"vulnerabilities\":[{}]}}",
        (0..n).map(one).collect::<Vec<_>>().join(",")
    )
}

/// Not a test: what the next one starts as a process of its own, in order to kill it.
#[test]
#[ignore = "run by a_killed_import_leaves_the_old_database"]
fn import_in_a_process() {
    if let (Some(db), Some(file)) = (std::env::var_os("CHILD_DB"), std::env::var_os("CHILD_FILE")) {
        import(Path::new(&db), &[file.into()], &Options::default(), &mut |_| {}).unwrap();
    }
}

#[test]
fn a_killed_import_leaves_the_old_database() {
    let folder = tempfile::tempdir().unwrap();
    let (db, old, new) = (
        folder.path().join("a.db"),
        folder.path().join("old.json"),
        folder.path().join("new.json"),
    );
    fs::write(&old, page(300, "2020-01-01")).unwrap();
    fs::write(&new, page(4000, "2021-01-01")).unwrap();
    import(&db, std::slice::from_ref(&old), &Options::default(), &mut |_| {}).unwrap();
    let before = fs::read(&db).unwrap();
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "import_in_a_process", "--ignored", "--quiet"])
            .envs([("CHILD_DB", db.as_os_str()), ("CHILD_FILE", new.as_os_str())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut killed = 0;
    for step in 0..40_u64 {
        let mut child = start();
        std::thread::sleep(Duration::from_millis(step * step / 2 + step));
        let done = child.try_wait().unwrap().is_some();
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        if done {
            break;
        }
        // It was killed before it ended: the rename may have come first, never a mixture.
        let found = Database::open(&db).unwrap();
        let count = found.contents()[0].records;
        if count == 300 {
            killed += 1;
            assert_eq!(fs::read(&db).unwrap(), before);
        } else {
            assert_eq!(count, 4000);
        }
        assert_eq!(found.about(&Key::id("CVE-2020-00300")).unwrap().len(), 1);
    }
    assert!(killed >= 3, "killed {killed} times in the middle");
    // And the next import is not disturbed by what was left.
    import(&db, &[new], &Options::default(), &mut |_| {}).unwrap();
    assert_eq!(Database::open(&db).unwrap().contents()[0].records, 4000);
    assert!(!folder.path().join("a.db.new").exists());
}

/// Not a test: what the next one starts as a process of its own, in order to see how much memory it takes.
#[test]
#[ignore = "run by a_huge_record_is_named_and_costs_no_memory"]
fn huge_record_in_a_process() {
    let Some(db) = std::env::var_os("CHILD_DB") else { return };
    let file = Path::new(&db).with_extension("json");
    let summary = import(Path::new(&db), &[file], &Options::default(), &mut |_| {}).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
    let told = &summary.first_problems[0];
    fs::write(
        Path::new(&db).with_extension("told"),
        format!("{} {} {}\n{}\n{peak}\n", summary.new, summary.problems, told.record, told.reason),
    )
    .unwrap();
}

#[test]
fn a_huge_record_is_named_and_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("a.db");
    let text = page(3, "2020-01-01");
    let at = text.find("\"id\":\"CVE-2020-00002\",").unwrap() + "\"id\":\"CVE-2020-00002\",".len();
    let mut file = std::io::BufWriter::new(fs::File::create(db.with_extension("json")).unwrap());
    file.write_all(&text.as_bytes()[..at]).unwrap();
    file.write_all(b"\"x\":[").unwrap();
    let block = "\"yyyyyyyyyyyyyyyy\",".repeat(1 << 16);
    // 200 MB of small values.
    for _ in 0..(200 << 20) / block.len() {
        file.write_all(block.as_bytes()).unwrap();
    }
    file.write_all(b"1],").unwrap();
    file.write_all(&text.as_bytes()[at..]).unwrap();
    file.into_inner().unwrap().sync_all().unwrap();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "huge_record_in_a_process", "--ignored", "--quiet"])
        .env("CHILD_DB", db.as_os_str())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success());
    let told = fs::read_to_string(db.with_extension("told")).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "2 1 CVE-2020-00002", "{told}");
    assert!(lines[1].contains("larger than the limit"), "{told}");
    let kilobytes: u64 = lines[2].split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes < 300 << 10, "{told}");
}

#[test]
fn two_imports_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (db, file) = (folder.path().join("a.db"), folder.path().join("f.json"));
    fs::write(&file, page(5, "2020-01-01")).unwrap();
    let lock = fs::File::create(folder.path().join("a.db.lock")).unwrap();
    lock.lock().unwrap();
    let again = || import(&db, std::slice::from_ref(&file), &Options::default(), &mut |_| {});
    assert!(matches!(again(), Err(proofmark_advisories::Error::Busy { .. })));
    drop(lock);
    again().unwrap();
}
