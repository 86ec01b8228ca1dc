//! `quality kernel`: which kernel CVEs have code in a kernel, told from its image alone, against `quality/kernel/*.tsv.gz`.
//!
//! Each file of labels names an image: a Debian package, or a file below `target/quality/kernel` that was built as the
//! README there says. The picture of the kernel is taken by the same code as in an assay. Evidence is then
//! taken away from it, so that the figures say what each kind is worth.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proofmark_advisories::{
    Key, Starter, Store as _,
    kernel::{Compiled, KernelPicture, compiled},
};

use crate::{
    Outcome,
    debian::{self, Apt},
    quality::write_section,
    root,
};

/// What is left of a picture.
type Reduce = fn(&mut KernelPicture);

/// Kinds of evidence, each without the stronger ones.
const VARIANTS: &[(&str, Reduce)] = &[
    ("as it is", |_| {}),
    ("configuration only", |p| p.symbols.clear()),
    ("symbol table only", |p| p.config.clear()),
    ("neither", |p| {
        p.config.clear();
        p.symbols.clear();
    }),
];

/// Counts of one kernel with one kind of evidence.
#[derive(Default)]
struct Count {
    /// Labelled absent, and of these found absent.
    absent: usize,
    found: usize,
    /// Labelled compiled, of these shown to be there, and wrongly said to be absent.
    compiled: usize,
    shown: usize,
    wrong: Vec<String>,
}

/// Measures and writes the section; fails where anything was wrongly dismissed, or too little found.
pub fn run(arguments: &[String]) -> Outcome {
    let offline = arguments.iter().any(|a| a == "--offline");
    let verbose = arguments.iter().any(|a| a == "--verbose");
    let store = Starter::open()?;
    let mut body = String::from(
        "## Kernel CVEs\n\n`cargo xtask quality kernel` asks of every CVE whose record names source files whether that code is in a \
         kernel, told from the image alone. Labels: `quality/kernel/`, from the kernel's own build under the same configuration.\n\n\
         | kernel | evidence | not compiled | found | compiled | shown to be there | wrongly dismissed |\n|---|---|---|---|---|---|---|\n",
    );
    let (mut wrong, mut low) = (0, Vec::new());
    for path in labels()? {
        let (image, labels) = read(&path)?;
        let name = debian::file_name(&path).trim_end_matches(".tsv.gz").to_owned();
        let whole = picture(&image, offline).map_err(|e| format!("{name}: {e}"))?;
        for (evidence, reduce) in VARIANTS {
            let mut picture = whole.clone();
            reduce(&mut picture);
            // Evidence that this kernel does not have needs no line.
            let has = (!picture.config.is_empty(), !picture.symbols.is_empty());
            let wants = match *evidence {
                "configuration only" => (true, false),
                "symbol table only" => (false, true),
                _ => has,
            };
            if has != wants {
                continue;
            }
            let count = measure(&store, &labels, &picture)?;
            let part = |a: usize, of: usize| 100.0 * a as f64 / of.max(1) as f64;
            let _ = writeln!(
                body,
                "| {name} ({}) | {evidence} | {} | {:.1} % | {} | {:.1} % | {} |",
                picture.release,
                count.absent,
                part(count.found, count.absent),
                count.compiled,
                part(count.shown, count.compiled),
                count.wrong.len(),
            );
            if verbose {
                count.wrong.iter().for_each(|w| println!("wrong: {name}, {evidence}: {w}"));
            }
            wrong += count.wrong.len();
            if has.0 && part(count.found, count.absent) < 95.0 {
                low.push(format!("{name}, {evidence}"));
            }
        }
    }
    body.push_str(
        "\n*As it is* is all that the image has, modules included. *Neither* leaves the instruction set and the names of modules.\n",
    );
    println!("{body}");
    write_section("kernel", &body)?;
    match (wrong, low.is_empty()) {
        (0, true) => Ok(()),
        _ => Err(format!("{wrong} wrongly dismissed; below 95 %: {}", low.join("; "))),
    }
}

fn measure(
    store: &Starter,
    labels: &BTreeMap<String, bool>,
    picture: &KernelPicture,
) -> Result<Count, String> {
    let mut count = Count::default();
    for (cve, is_compiled) in labels {
        let records = store.about(&Key::id(cve))?;
        let statements = || records.iter().flat_map(|r| &r.statements);
        let files = statements().flat_map(|s| &s.files).map(String::as_str);
        let functions = statements().flat_map(|s| &s.functions).map(String::as_str);
        let answer = compiled(files, functions, picture);
        if *is_compiled {
            count.compiled += 1;
            count.shown += usize::from(matches!(answer, Compiled::Yes(_)));
            if let Compiled::No(why) = answer {
                count.wrong.push(format!("{cve}: {why}"));
            }
        } else {
            count.absent += 1;
            count.found += usize::from(matches!(answer, Compiled::No(_)));
        }
    }
    Ok(count)
}

/// Files of labels, sorted.
fn labels() -> Result<Vec<PathBuf>, String> {
    let folder = root().join("quality/kernel");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut out: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    out.retain(|p| debian::file_name(p).ends_with(".tsv.gz"));
    out.sort();
    Ok(out)
}

/// The image that labels are about, and each CVE with whether it is compiled.
fn read(path: &Path) -> Result<(String, BTreeMap<String, bool>), String> {
    let out =
        Command::new("gzip").arg("-dc").arg(path).output().map_err(|e| format!("gzip: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut lines = text.lines();
    let image = lines.next().and_then(|l| l.strip_prefix("# "));
    let image = image.ok_or(format!("{}: no image in the first line", path.display()))?.to_owned();
    let label = |l: &str| {
        let (cve, word) = l.split_once('\t')?;
        Some((cve.to_owned(), word == "compiled"))
    };
    Ok((image, lines.filter_map(label).collect()))
}

/// What the image tells of its kernel.
fn picture(image: &str, offline: bool) -> Result<KernelPicture, String> {
    let path = match image.split(' ').collect::<Vec<_>>()[..] {
        ["debian", suite, package, architecture] => {
            debian::unpack(&Apt::new(suite)?.package(package, architecture, offline)?)?
        }
        ["file", name] => debian::folder().join("kernel").join(name),
        _ => return Err(format!("{image:?} is no image")),
    };
    let input =
        proofmark_unpack::Input::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let found = proofmark_assess::kernels(input, &proofmark_unpack::Options::default());
    // The same kernel is often seen packed and unpacked; what tells most about it is taken.
    let best = found.into_iter().max_by_key(|(_, p)| (p.config.len(), p.symbols.len()));
    best.map(|(_, p)| p).ok_or(format!("{}: no kernel was found", path.display()))
}
