//! Whether copies of libraries are found in programs that are linked statically and stripped.
//!
//! `quality/static.toml` lists the libraries: built from Debian's source packages with compilers for five
//! architectures (two of them big-endian), -O2 and -Os, with and without LTO; and the static libraries of -dev
//! packages as the distribution built them, for five architectures. The program refers to the functions that a
//! user of the library would call, and the linker drops what is not reached.
//!
//! A program is right when each library in it is found as *statically contains* with its version (presence alone
//! where `version = false`), or between two releases that hold it. Every other version, a span that does not hold
//! it, and every other product but the C library that comes along is wrong.
//!
//! Needs `apt-get`, `dpkg-dev` and the compilers of [`COMPILERS`] and [`LINKERS`].

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf, process::Command};

use proofmark_components::{Catalogue, Relation};
use serde::Deserialize;

use crate::{Outcome, components, debian, quality, root};

/// Architecture and compiler for libraries built from source.
const COMPILERS: [(&str, &str); 5] = [
    ("x86-64", "gcc"),
    ("ARM", "arm-linux-gnueabihf-gcc"),
    ("AArch64", "aarch64-linux-gnu-gcc"),
    ("MIPS", "mips-linux-gnu-gcc"),
    ("PowerPC", "powerpc-linux-gnu-gcc"),
];

/// Debian architecture and the compiler that links its libraries.
const LINKERS: [(&str, &str); 4] = [
    ("amd64", "gcc"),
    ("armhf", "arm-linux-gnueabihf-gcc"),
    ("arm64", "aarch64-linux-gnu-gcc"),
    ("mipsel", "mipsel-linux-gnu-gcc"),
];

/// Products that come along with the compiler, neither right nor wrong.
const ALONG: [&str; 3] = ["glibc", "gcc-runtime", "libstdc++"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    source: Vec<Source>,
    archive: Vec<Archive>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    product: String,
    package: String,
    files: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    define: Vec<String>,
    #[serde(default)]
    copy: Vec<[String; 2]>,
    #[serde(default)]
    with: Vec<String>,
    /// What sets this program apart from another of the product.
    #[serde(default)]
    part: String,
    calls: Vec<String>,
    /// The program's own version, which must not be taken for the library's.
    #[serde(default)]
    own: String,
    #[serde(default = "yes")]
    version: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    product: String,
    package: String,
    archives: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    contains: Vec<String>,
    #[serde(default)]
    libraries: Vec<String>,
    calls: Vec<String>,
    /// The program's own version, which must not be taken for the library's.
    #[serde(default)]
    own: String,
    #[serde(default = "yes")]
    version: bool,
    /// Release of Debian, where it is not 12; linked for amd64 only then.
    #[serde(default)]
    suite: Option<String>,
}

fn yes() -> bool {
    true
}

/// A library in a program.
struct Truth {
    product: String,
    version: String,
    /// The program carries the version as text or table.
    told: bool,
}

/// A program with what is in it.
struct Built {
    /// Group for the table, and what it is in a word.
    group: String,
    place: String,
    path: PathBuf,
    truth: Vec<Truth>,
    /// Further products that are in it, of any version.
    contains: Vec<String>,
}

/// `quality static [--only PRODUCT]`.
pub fn run(arguments: &[String]) -> Outcome {
    let path = root().join("quality/static.toml");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let list: List = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let only = arguments.iter().position(|a| a == "--only").and_then(|n| arguments.get(n + 1));
    let wanted = |product: &str| only.is_none_or(|o| o == product);
    let catalogue = components::load()?;
    let (mut built, mut absent) = (Vec::new(), Vec::new());
    for source in list.source.iter().filter(|s| wanted(&s.product)) {
        for (architecture, compiler) in COMPILERS {
            for options in [&["-O2"][..], &["-Os"], &["-O2", "-flto"], &["-Os", "-flto"]] {
                match compile(&list, source, architecture, compiler, options) {
                    Ok(one) => built.push(one),
                    Err(why) => absent.push(why),
                }
            }
        }
    }
    for archive in list.archive.iter().filter(|a| wanted(&a.product)) {
        let all = if archive.suite.is_some() { &LINKERS[..1] } else { &LINKERS[..] };
        for (architecture, compiler) in all {
            match link(archive, architecture, compiler) {
                Ok(one) => built.push(one),
                Err(why) => absent.push(why),
            }
        }
    }
    let out = report(&catalogue, &built)?;
    println!("{out}");
    absent.iter().for_each(|a| println!("absent: {a}"));
    if only.is_none() && (absent.is_empty() || arguments.iter().any(|a| a == "--write")) {
        quality::write_section("static", &out)?;
    }
    Ok(())
}

/// Writes a program that refers to `calls` and carries the version `own`; it is never to be run. What was built
/// from another text is removed.
fn write_program(main: &Path, out: &Path, calls: &[String], own: &str) -> Outcome {
    let declared: String = calls.iter().map(|c| format!("extern int {c}();\n")).collect();
    let named: String = calls.iter().map(|c| format!("(void *){c}, ")).collect();
    let (version, also) = match own {
        "" => (String::new(), ""),
        own => (format!("const char *volatile version = \"{own}\";\n"), " || version == v[0]"),
    };
    let text = format!(
        "{declared}{version}void *volatile used[] = {{{named}0}};\n\
         int main(int n, char **v) {{ return used[n] == (void *)v{also}; }}\n"
    );
    if out.exists() && fs::read_to_string(main).is_ok_and(|old| old != text) {
        fs::remove_file(out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    fs::write(main, text).map_err(|e| format!("{}: {e}", main.display()))
}

fn folder(parts: &[&str]) -> Result<PathBuf, String> {
    let folder = parts.iter().fold(debian::folder().join("static"), |f, p| f.join(p));
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

fn compile(
    list: &List,
    source: &Source,
    architecture: &str,
    compiler: &str,
    options: &[&str],
) -> Result<Built, String> {
    let name = format!("{}{}", source.product, source.part);
    let place = format!("{name} {architecture} {}", options.join(" "));
    let to = folder(&[&name, architecture, &options.concat()])?;
    let out = to.join("program");
    let mut truth = Vec::new();
    let mut command = Command::new(compiler);
    command.args(options).args(["-w", "-static", "-s", "-ffunction-sections", "-fdata-sections"]);
    command.arg("-Wl,--gc-sections").arg("-o").arg(&out);
    let main = to.join("main.c");
    write_program(&main, &out, &source.calls, &source.own)?;
    let others =
        list.source.iter().filter(|s| s.part.is_empty() && source.with.contains(&s.product));
    for part in std::iter::once(source).chain(others) {
        let (tree, version) = debian::source("bookworm", &part.package)?;
        for [from, to] in &part.copy {
            fs::copy(tree.join(from), tree.join(to)).map_err(|e| format!("{from}: {e}"))?;
        }
        command.args(&part.define).arg("-I").arg(&tree);
        part.include.iter().for_each(|i| {
            command.arg("-I").arg(tree.join(i));
        });
        command.args(sources(&tree, part)?);
        truth.push(Truth { product: part.product.clone(), version, told: part.version });
    }
    command.arg(&main).arg("-lm");
    build(&mut command, compiler, &out, &place)?;
    let group = format!("from source, {}", options.join(" "));
    Ok(Built { group, place, path: out, truth, contains: Vec::new() })
}

/// Source files of an entry, sorted.
fn sources(tree: &Path, source: &Source) -> Result<Vec<PathBuf>, String> {
    let mut out = Vec::new();
    for pattern in &source.files {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        let folder = tree.join(folder);
        for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
            let path = entry.map_err(|e| e.to_string())?.path();
            let file = debian::file_name(&path);
            if proofmark_components::rule::glob(name, &file) && !source.exclude.contains(&file) {
                out.push(path);
            }
        }
    }
    out.sort();
    Ok(out)
}

fn link(archive: &Archive, architecture: &str, compiler: &str) -> Result<Built, String> {
    let from = archive.suite.as_deref().map(|s| format!(" by {s}")).unwrap_or_default();
    let place = format!("{} {architecture} as distributed{from}", archive.product);
    let to = folder(&[&archive.product, architecture, &format!("distributed{from}")])?;
    let out = to.join("program");
    let main = to.join("main.c");
    write_program(&main, &out, &archive.calls, &archive.own)?;
    let suite = archive.suite.as_deref().unwrap_or("bookworm");
    let apt = debian::Apt::new(suite)?;
    let mut command = Command::new(compiler);
    command.args(["-w", "-static", "-s", "-Wl,--gc-sections", "-o"]).arg(&out).arg(&main);
    // Libraries that it calls itself may be missing: the program is never run.
    command.arg("-Wl,--unresolved-symbols=ignore-all");
    let own = archive.archives.iter().map(|a| format!("{}/{a}", archive.package));
    let mut version = String::new();
    command.arg("-Wl,--start-group");
    for file in own.chain(archive.needs.iter().cloned()) {
        let (package, name) = file.split_once('/').unwrap_or((&file, ""));
        let deb = apt.package(package, architecture, false)?;
        if package == archive.package {
            version = debian::upstream_version(&deb);
        }
        let found = debian::find_file(&debian::unpack(&deb)?, name)
            .ok_or_else(|| format!("{package}:{architecture} has no {name}"))?;
        command.arg(found);
    }
    command.args(&archive.libraries).args(["-lpthread", "-ldl", "-Wl,--end-group"]);
    build(&mut command, compiler, &out, &place)?;
    let truth = vec![Truth { product: archive.product.clone(), version, told: archive.version }];
    let group = "as the distribution built it".into();
    Ok(Built { group, place, path: out, truth, contains: archive.contains.clone() })
}

/// Runs a compiler unless its result is there already.
fn build(command: &mut Command, compiler: &str, out: &Path, place: &str) -> Outcome {
    if out.exists() {
        return Ok(());
    }
    let done = command
        .output()
        .map_err(|e| format!("{place}: {compiler} (Debian has a package gcc-TRIPLET): {e}"))?;
    if done.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    let why = text.lines().find(|l| l.contains("error") || l.contains("undefined")).unwrap_or("");
    Err(format!("{place}: {compiler} failed: {why}"))
}

#[derive(Debug, Default)]
struct Score {
    programs: u32,
    libraries: u32,
    found: u32,
    versions: u32,
    versioned: u32,
    spans: u32,
    wrong: u32,
}

fn report(catalogue: &Catalogue, built: &[Built]) -> Result<String, String> {
    let mut groups: BTreeMap<String, Score> = BTreeMap::new();
    // What is not right, with the programs in which it is not.
    let mut confusion: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for one in built {
        let bytes = fs::read(&one.path).map_err(|e| format!("{}: {e}", one.path.display()))?;
        let hits: Vec<_> = catalogue
            .content(Some("program"), &bytes)
            .into_iter()
            .filter(|h| h.relation <= Relation::StaticallyContains)
            .collect();
        let wrong: Vec<_> = hits.iter().filter(|h| wrong(one, h)).collect();
        for group in [one.group.as_str(), "all"] {
            let s = groups.entry(group.to_owned()).or_default();
            s.programs += 1;
            s.wrong += wrong.len() as u32;
        }
        for truth in &one.truth {
            let of: Vec<_> = hits.iter().filter(|h| h.product == truth.product).collect();
            let told = of.iter().any(|h| h.version.as_deref() == Some(truth.version.as_str()));
            let spanned = of.iter().any(|h| !h.span.is_open() && h.span.holds(&truth.version));
            for group in [one.group.as_str(), "all"] {
                let s = groups.entry(group.to_owned()).or_default();
                s.libraries += 1;
                s.found += u32::from(!of.is_empty());
                s.versioned += u32::from(truth.told);
                s.versions += u32::from(truth.told && told);
                s.spans += u32::from(!told && spanned);
            }
            let Truth { product, version, told: known } = truth;
            if of.is_empty() {
                confusion.entry(format!("missed: {product}")).or_default().push(&one.place);
            } else if *known && !told {
                let span = if spanned { format!(" ({})", of[0].span) } else { String::new() };
                let what = format!("without its version {version}{span}: {product}");
                confusion.entry(what).or_default().push(&one.place);
            }
        }
        for hit in wrong {
            let version = hit.version.clone().unwrap_or_else(|| hit.span.to_string());
            let what = format!("wrong: {} {version}", hit.product);
            confusion.entry(what).or_default().push(&one.place);
        }
    }
    let products: std::collections::BTreeSet<_> =
        built.iter().flat_map(|b| b.truth.iter().map(|t| &t.product)).collect();
    let mut out = format!(
        "## Static copies\n\n{} programs with copies of {} libraries, linked statically, stripped, \
         unused functions dropped: `cargo xtask quality static`. Built from source for {}; linked from the \
         distribution's static libraries for {}.\n\n\
         | built | programs | copies | found | with the right version, where it is in the bytes | told between two \
         releases, rightly | wrong |\n|---|---|---|---|---|---|---|\n",
        built.len(),
        products.len(),
        COMPILERS.map(|c| c.0).join(", "),
        LINKERS.map(|c| c.0).join(", "),
    );
    for (group, s) in &groups {
        let share = |a: u32, b: u32| 100.0 * f64::from(a) / f64::from(b.max(1));
        out += &format!(
            "| {group} | {} | {} | {:.1} % | {:.1} % of {} | {} | {} |\n",
            s.programs,
            s.libraries,
            share(s.found, s.libraries),
            share(s.versions, s.versioned),
            s.versioned,
            s.spans,
            s.wrong
        );
    }
    if !confusion.is_empty() {
        out += "\nNot right:\n\n";
        for (what, places) in &confusion {
            out += &format!("- {what} in {}\n", places.join(", "));
        }
    }
    Ok(out)
}

/// Another product, another version, or a span without the version.
fn wrong(one: &Built, hit: &proofmark_components::Hit) -> bool {
    !ALONG.contains(&hit.product.as_str())
        && !one.contains.contains(&hit.product)
        && !one.truth.iter().any(|t| {
            t.product == hit.product
                && hit.version.as_ref().map_or(hit.span.holds(&t.version), |v| *v == t.version)
        })
}
