//! Identification measured on a distribution's binaries, package metadata removed.
//!
//! `quality/identification.tsv` lists the binaries: package, architecture, path
//! (`*` allowed), product, and how the expected version derives from the package's
//! upstream version (`=`, a substitution `s/A/B/`, or a literal `:V`; `-` where only
//! presence can be known), optional: other products allowed as `contains`, and the
//! part (`work`, `held`, with `:RELEASE` where it is not Debian 12). The bytes of each file alone, with its file name, go to
//! [`Catalogue::content`].
//!
//! A row is right when the product is found with exactly the expected version. Any
//! other product or version that is said to be *is* or *statically contains* and not
//! listed is wrong. Precision is right / (right + wrong), recall right / rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use proofmark_components::{Catalogue, Relation};

use crate::{Outcome, components, debian, identification_peers, quality, root};

/// A line of the list.
#[derive(Debug, Clone)]
struct Row {
    package: String,
    architecture: String,
    path: String,
    product: String,
    derive: String,
    contains: Vec<String>,
    part: String,
}

/// Result of one row.
#[derive(Debug, Default)]
struct Score {
    right: u32,
    missed: u32,
    wrong: u32,
}

impl Row {
    /// `work` or `held`; the release behind the colon is where the package is from.
    fn part(&self) -> &str {
        self.part.split(':').next().unwrap_or_default()
    }
}

impl Score {
    fn add(&mut self, right: bool, wrong: usize) {
        match right {
            true => self.right += 1,
            false => self.missed += 1,
        }
        self.wrong += wrong as u32;
    }
    /// Recall and precision as cells of a table.
    fn cells(&self) -> String {
        format!(" {:.2} % | {:.2} %", 100.0 * self.recall(), 100.0 * self.precision())
    }
    fn recall(&self) -> f64 {
        f64::from(self.right) / f64::from((self.right + self.missed).max(1))
    }
    fn precision(&self) -> f64 {
        f64::from(self.right) / f64::from((self.right + self.wrong).max(1))
    }
}

/// A row with its file.
struct Case {
    row: Row,
    path: PathBuf,
    expected: Option<String>,
}

/// Scores of one tool, by part of the list.
type Parts = BTreeMap<String, Score>;

/// `quality identification [--offline] [--peers [N]] [--part PART]`: with others on every Nth row; of one part
/// alone (`held:bullseye`), which is shown and not written.
pub fn run(arguments: &[String]) -> Outcome {
    let offline = arguments.iter().any(|a| a == "--offline");
    let part = arguments.iter().position(|a| a == "--part").and_then(|n| arguments.get(n + 1));
    let catalogue = components::load()?;
    let (cases, absent) = cases(offline, part)?;
    let mut parts = Parts::new();
    let mut confusion = Vec::new();
    let mut architectures: BTreeMap<&str, u32> = BTreeMap::new();
    let mut products: BTreeMap<&str, Score> = BTreeMap::new();
    for case in &cases {
        *architectures.entry(&case.row.architecture).or_default() += 1;
        let (right, wrong) = judge(&catalogue, case)?;
        for score in [
            parts.entry(case.row.part().into()).or_default(),
            products.entry(&case.row.product).or_default(),
        ] {
            score.add(right, wrong.len());
        }
        let Row { package, architecture, path, product, part, .. } = &case.row;
        let place = format!("{package}:{architecture} {path} ({part})");
        if !right {
            confusion.push(format!("missed: {product} {:?} in {place}", case.expected));
        }
        confusion.extend(wrong.iter().map(|w| format!("wrong: {w} in {place}")));
    }
    let mut out = String::from("## Identification of products and versions\n\n");
    out += &format!(
        "{} binaries of {} products; architectures: {}. `cargo xtask quality identification`.\n\n",
        cases.len(),
        products.len(),
        architectures.iter().map(|(a, n)| format!("{a} {n}")).collect::<Vec<_>>().join(", ")
    );
    out += "| part | binaries | recall | precision |\n|---|---|---|---|\n";
    for (part, s) in &parts {
        out += &format!("| {part} | {} |{} |\n", s.right + s.missed, s.cells());
    }
    if !confusion.is_empty() {
        out += "\nNot right:\n\n";
        confusion.iter().for_each(|c| out += &format!("- {c}\n"));
    }
    println!("{out}");
    absent.iter().for_each(|a| println!("absent: {a}"));
    if part.is_some() {
        return Ok(());
    }
    if absent.is_empty() || arguments.iter().any(|a| a == "--write") {
        quality::write_section("identification", &out)?;
    }
    if let Some(at) = arguments.iter().position(|a| a == "--peers") {
        let step = arguments.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or(1_usize).max(1);
        let some: Vec<Case> = cases.into_iter().step_by(step).collect();
        let beside = beside(&catalogue, &some, step)?;
        println!("{beside}");
        quality::write_section("identification-peers", &beside)?;
    }
    Ok(())
}

/// The rows whose files are there, and why others are not.
fn cases(offline: bool, part: Option<&String>) -> Result<(Vec<Case>, Vec<String>), String> {
    let list = root().join("quality/identification.tsv");
    let text = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    let (mut cases, mut absent) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let row = row(line)?;
        if part.is_some_and(|p| *p != row.part) {
            continue;
        }
        let suite = row.part.split_once(':').map_or("bookworm", |(_, suite)| suite);
        let found = debian::Apt::new(suite)
            .and_then(|apt| apt.package(&row.package, &row.architecture, offline))
            .and_then(|deb| Ok((debian::unpack(&deb)?, deb)))
            .and_then(|(folder, deb)| Ok((find(&folder, &row.path)?, deb)));
        match found {
            Ok((path, deb)) => {
                let expected = expected(&row.derive, &debian::upstream_version(&deb))?;
                cases.push(Case { row, path, expected });
            }
            Err(why) => absent.push(why),
        }
    }
    Ok((cases, absent))
}

/// The files of `cases` through us and the other tools.
fn beside(catalogue: &Catalogue, cases: &[Case], step: usize) -> Result<String, String> {
    let files: Vec<PathBuf> = cases.iter().map(|c| c.path.clone()).collect();
    let peers = identification_peers::run(catalogue, &files)?;
    let mut ours = Score::default();
    for case in cases {
        let (right, wrong) = judge(catalogue, case)?;
        ours.add(right, wrong.len());
    }
    let products: BTreeSet<_> = cases.iter().map(|c| &c.row.product).collect();
    let mut out = format!(
        "## Identification beside other tools\n\nThe same files in the same run, package metadata removed; one in {step} \
         of the list, {} binaries of {} products: `cargo xtask quality identification --peers {step}`. Answers of \
         the others are counted generously (`xtask/src/identification_peers.rs` says how).\n\n\
         | tool | rows | recall | precision | right | wrong answers |\n|---|---|---|---|---|---|\n",
        cases.len(),
        products.len(),
    );
    let mut line = |tool: &str, s: &Score| {
        let rows = s.right + s.missed;
        out += &format!("| {tool} | {rows} |{} | {} | {} |\n", s.cells(), s.right, s.wrong);
    };
    line("Proofmark", &ours);
    let mut strays: BTreeMap<String, u32> = BTreeMap::new();
    for peer in &peers {
        let (mut all, mut known) = (Score::default(), Score::default());
        for (n, case) in cases.iter().enumerate() {
            let row = &case.row;
            let expected = case.expected.as_deref();
            let (right, wrong) =
                identification_peers::judge(peer, n, &row.product, expected, &row.contains);
            all.add(right, wrong.len());
            if peer.knows.contains(&row.product) {
                known.add(right, wrong.len());
            }
            for w in wrong {
                *strays.entry(format!("{}: {w} in {}", peer.name, row.product)).or_default() += 1;
            }
        }
        line(&peer.name, &all);
        if !peer.knows.is_empty() {
            line(&format!("{}, rows whose product it has a checker for", peer.name), &known);
        }
    }
    for (stray, n) in strays {
        println!("stray {n} {stray}");
    }
    Ok(out)
}

fn row(line: &str) -> Result<Row, String> {
    let f: Vec<&str> = line.split('\t').collect();
    let [package, architecture, path, product, derive, rest @ ..] = f.as_slice() else {
        return Err(format!("identification.tsv: fewer than five fields: {line}"));
    };
    let contains = rest.first().map_or(Vec::new(), |c| c.split(',').map(str::to_owned).collect());
    Ok(Row {
        package: (*package).into(),
        architecture: (*architecture).into(),
        path: (*path).into(),
        product: (*product).into(),
        derive: (*derive).into(),
        contains,
        part: rest.get(1).unwrap_or(&"work").to_string(),
    })
}

/// The version a row expects.
fn expected(derive: &str, upstream: &str) -> Result<Option<String>, String> {
    match derive {
        "-" => Ok(None),
        "=" => Ok(Some(upstream.to_owned())),
        _ if derive.starts_with(':') => Ok(derive.get(1..).map(str::to_owned)),
        _ => {
            let parts: Vec<&str> = derive.split('/').collect();
            let ["s", from, to, ""] = parts.as_slice() else {
                return Err(format!("identification.tsv: {derive} is not =, -, :V or s/A/B/"));
            };
            // `A*` cuts from A on.
            Ok(Some(match from.strip_suffix('*') {
                Some(cut) => upstream.split(cut).next().unwrap_or_default().to_owned() + to,
                None => upstream.replace(from, to),
            }))
        }
    }
}

/// The file of a package; the last part of the path may contain `*`.
fn find(folder: &std::path::Path, path: &str) -> Result<PathBuf, String> {
    let fits = |name: &str| proofmark_components::rule::glob(path, name);
    debian::programs(folder)
        .into_iter()
        .find(|p| p.strip_prefix(folder).is_ok_and(|p| fits(&p.to_string_lossy())))
        .ok_or_else(|| format!("{}: no ELF file {path}", folder.display()))
}

/// Whether the row is right, and what was said beside it.
fn judge(catalogue: &Catalogue, case: &Case) -> Result<(bool, Vec<String>), String> {
    let Case { row, path, expected } = case;
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut right = false;
    let mut wrong = Vec::new();
    for hit in catalogue.content(Some(&debian::file_name(path)), &bytes) {
        if hit.relation > Relation::StaticallyContains {
            continue;
        }
        if hit.product == row.product && hit.version == *expected {
            right = true;
        } else if hit.product == row.product && hit.version.is_none() {
            // Found without its version: a miss, counted once.
        } else if !row.contains.contains(&hit.product) {
            let version = hit.version.as_deref().unwrap_or("without version");
            wrong.push(format!("{} {} {version}", hit.relation.as_str(), hit.product));
        }
    }
    Ok((right, wrong))
}
