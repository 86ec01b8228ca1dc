//! `cargo xtask bench`: a complete assay of a real 40 MB gateway image, beside the tools that are installed.
//!
//! The image is built from distribution packages by `samples/bench/build.sh`. Proofmark and the other tool run
//! in turn on the same two processors, several times; what counts is the ratio of the medians. The table goes into
//! `docs/benchmarks.md` between its markers.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Outcome, root};

mod unpack;

/// Counted runs of each command, after one that warms the page cache.
const RUNS: usize = 5;
/// Counted runs beside tools that take much longer than a page cache matters.
const RUNS_SLOW: usize = 1;

/// One measured run: wall seconds, processor seconds, peak memory in MiB.
#[derive(Clone, Copy, Default)]
struct Run {
    wall: f64,
    cpu: f64,
    memory: f64,
}

/// Runs a command under `time`, its output thrown away.
fn run(command: &[String]) -> Result<Run, String> {
    let out = Command::new("/usr/bin/time")
        .args(["-f", "\n@ %e %U %S %M"])
        .args(command)
        .output()
        .map_err(|e| format!("/usr/bin/time (Debian package time): {e}"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    let line =
        text.lines().rev().find_map(|l| l.strip_prefix("@ ")).ok_or("time printed no figures")?;
    let n: Vec<f64> = line.split(' ').filter_map(|x| x.parse().ok()).collect();
    match n[..] {
        [wall, user, system, kib] if out.status.success() => {
            Ok(Run { wall, cpu: user + system, memory: kib / 1024.0 })
        }
        _ => Err(format!("{}: did not succeed: {text}", command.join(" "))),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs A and B in turn and gives the medians of each.
fn pair(runs: usize, a: &[String], b: &[String], between: &dyn Fn()) -> Result<(Run, Run), String> {
    let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
    let warm_up = usize::from(runs > 1);
    for i in 0..runs + warm_up {
        between();
        let (ra, rb) = (run(a)?, run(b)?);
        if i >= warm_up {
            all_a.push(ra);
            all_b.push(rb);
        }
    }
    let of = |runs: &[Run]| Run {
        wall: median(runs.iter().map(|r| r.wall).collect()),
        cpu: median(runs.iter().map(|r| r.cpu).collect()),
        memory: median(runs.iter().map(|r| r.memory).collect()),
    };
    Ok((of(&all_a), of(&all_b)))
}

fn words(text: &[&str]) -> Vec<String> {
    ["taskset", "-c", "0,1"].iter().chain(text).map(|w| (*w).to_owned()).collect()
}

fn installed(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|p| p.join(program).is_file())
}

/// Builds the images, measures, prints, and writes the table; with `unpack` see [`unpack`].
pub fn run_all(arguments: &[String]) -> Outcome {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
        .ok_or("neither XDG_CACHE_HOME nor HOME is set")?
        .join("proofmark/bench");
    let status = Command::new("sh").arg(root().join("samples/bench/build.sh")).arg(&cache).status();
    if !status.map_err(|e| format!("sh: {e}"))?.success() {
        return Err("samples/bench/build.sh failed, see above".into());
    }
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "-p", "proofmark"])
        .current_dir(root())
        .status();
    if !built.map_err(|e| format!("cargo: {e}"))?.success() {
        return Err("the release build failed, see above".into());
    }
    let proofmark = target.join("release/proofmark").display().to_string();
    // In memory where there is such a place: a disk measures itself.
    let shared = Path::new("/dev/shm");
    let scratch =
        if shared.is_dir() { shared.join("proofmark-bench") } else { cache.join("scratch") };
    fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
    if arguments.iter().any(|a| a == "unpack") {
        return unpack::run_all(&proofmark, &cache.join("root"), &scratch);
    }
    let text = |p: &Path| p.display().to_string();
    let image = |name: &str| {
        let copy = scratch.join(name);
        fs::copy(cache.join(name), &copy).map_err(|e| format!("{}: {e}", copy.display()))?;
        Ok::<_, String>(text(&copy))
    };
    let (one, two) = (image("gateway-1.img")?, image("gateway-2.img")?);
    let (out, tree) = (text(&scratch.join("out")), text(&scratch.join("tree")));
    // The folder of a tool's output exists and is empty, which all of them accept.
    let clean = || {
        for path in [&out, &tree] {
            let _ = fs::remove_dir_all(path);
        }
    };
    let unsquashfs = |image: &str| {
        words(&["unsquashfs", "-quiet", "-no-progress", "-processors", "2", "-dest", &tree, image])
    };
    let assay = |image: &str, rest: &[&str]| {
        let mut command = words(&[&proofmark, "assay", image, "--jobs", "2", "--out", &out]);
        command.extend(rest.iter().map(|w| (*w).to_owned()));
        command
    };
    let mut rows = Vec::new();
    let row = |what: &str, beside: &str, a: Run, b: Run| {
        format!(
            "| {what} | {:.2} s, {:.2} CPU s, {:.0} MiB | {beside} | {:.2} s, {:.2} CPU s, {:.0} MiB | {:.2} |",
            a.wall,
            a.cpu,
            a.memory,
            b.wall,
            b.cpu,
            b.memory,
            a.wall / b.wall
        )
    };
    let (a, b) = pair(RUNS, &assay(&one, &["--no-cache"]), &unsquashfs(&one), &clean)?;
    rows.push(row("complete assay, first run", "unsquashfs", a, b));
    // The cache knows the first release; each run of the second starts from that state.
    let facts = scratch.join("cache");
    let with_cache = |command: Vec<String>| {
        let mut all = vec!["env".to_owned(), format!("XDG_CACHE_HOME={}", facts.display())];
        all.extend(command);
        all
    };
    let prepare = || {
        clean();
        let _ = fs::remove_dir_all(&facts);
        let _ = run(&with_cache(assay(&one, &[])));
        clean();
    };
    let (a, b) = pair(RUNS, &with_cache(assay(&two, &[])), &unsquashfs(&two), &prepare)?;
    rows.push(row("next release, warm cache", "unsquashfs", a, b));
    let (a, b) =
        pair(RUNS, &words(&[&proofmark, "ls", &one, "--jobs", "2"]), &unsquashfs(&one), &clean)?;
    rows.push(row("`ls`", "unsquashfs", a, b));
    // syft reads folders, so it is given one; the time to unpack it is not counted.
    let unpacked = text(&scratch.join("unpacked"));
    run(&words(&["unsquashfs", "-quiet", "-no-progress", "-dest", &unpacked, &one]))?;
    let user = env::var("USER").unwrap_or_else(|_| "root".into());
    for (peer, command) in [
        ("unblob", words(&["unblob", "-e", &tree, &one])),
        ("binwalk", words(&["binwalk", "-Me", "-C", &tree, &format!("--run-as={user}"), &one])),
        ("syft", words(&["syft", "scan", "-q", &format!("dir:{unpacked}")])),
    ] {
        if !installed(peer) {
            rows.push(format!("| complete assay | | {peer} | not installed | |"));
            continue;
        }
        let measured = pair(RUNS_SLOW, &assay(&one, &["--no-cache"]), &command, &clean);
        // Some end well without having unpacked anything.
        if peer != "syft" && entries(Path::new(&tree)) < 10_000 {
            rows.push(format!("| complete assay | | {peer} | did not unpack the image | |"));
            continue;
        }
        match measured {
            Ok((a, b)) => rows.push(row("complete assay", peer, a, b)),
            Err(e) => eprintln!("{peer}: {e}"),
        }
    }
    let same = identical(&one, &out, &assay, &with_cache)?;
    let size = fs::metadata(&one).map_or(0, |m| m.len());
    fs::remove_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
    let head = "| Proofmark | | beside | | ratio of wall times |\n|---|---|---|---|---|\n";
    let table = format!("{head}{}\n\n{same}\n", rows.join("\n"));
    println!("{table}");
    write(MEASURED, &with_machine(&table, size))
}

/// Files and folders below `folder`.
fn entries(folder: &Path) -> usize {
    let inside = fs::read_dir(folder).into_iter().flatten().flatten();
    inside
        .map(|e| {
            let below = e.file_type().is_ok_and(|t| t.is_dir());
            1 + if below { entries(&e.path()) } else { 0 }
        })
        .sum()
}

/// Runs an assay with 1, 2 and 8 threads, without cache, with an empty and with a filled one, and compares the bytes.
fn identical(
    image: &str,
    out: &str,
    assay: &dyn Fn(&str, &[&str]) -> Vec<String>,
    with_cache: &dyn Fn(Vec<String>) -> Vec<String>,
) -> Result<String, String> {
    let mut first: Option<Vec<u8>> = None;
    for more in [&["--no-cache"][..], &[], &[]] {
        for jobs in ["1", "2", "8"] {
            let mut command = assay(image, more);
            command.iter_mut().filter(|w| *w == "2").for_each(|w| *w = jobs.into());
            run(&with_cache(command))?;
            let path = Path::new(out).join("assessment.json");
            let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            if *first.get_or_insert_with(|| bytes.clone()) != bytes {
                return Err(format!("another assessment.json with {jobs} threads, {more:?}"));
            }
        }
    }
    Ok("`assessment.json` is byte-identical with 1, 2 and 8 threads, without cache, with a cold and with a warm one."
        .into())
}

/// Where the assay, the machine and the date stand in `docs/benchmarks.md`.
const MEASURED: (&str, &str) = ("<!-- measured -->\n", "<!-- end -->");

/// What was measured on which machine, and when.
fn with_machine(table: &str, size: u64) -> String {
    let shell = |command: &str| {
        let out = Command::new("sh").args(["-c", command]).output();
        out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    };
    format!(
        "Measured on {} with {} processors ({}): {RUNS} pairs of runs after one warm-up, medians; beside the slow \
         tools {RUNS_SLOW} pair. The image has {size} bytes; files are written to memory.\n\n{table}",
        shell("date -u +%Y-%m-%d"),
        shell("nproc"),
        shell("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1"),
    )
}

/// Puts `body` between two markers of `docs/benchmarks.md`.
fn write((start, end): (&str, &str), body: &str) -> Outcome {
    let path = root().join("docs/benchmarks.md");
    let old = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let missing = |marker: &str| format!("{} has no line {}", path.display(), marker.trim());
    let (head, rest) = old.split_once(start).ok_or_else(|| missing(start))?;
    let (_, tail) = rest.split_once(end).ok_or_else(|| missing(end))?;
    fs::write(&path, format!("{head}{start}{body}{end}{tail}"))
        .map_err(|e| format!("{}: {e}", path.display()))
}
