//! Identification measured on a distribution's binaries, package metadata removed.
//!
//! `quality/identification.tsv` lists the binaries: package, architecture, path
//! (`*` allowed), product, and how the expected version derives from the package's
//! upstream version (`=`, a substitution `s/A/B/`, or a literal `:V`; `-` where only
//! presence can be known), optional: other products allowed as `contains`, and the
//! part (`work`, `held`). The bytes of each file alone, with its file name, go to
//! [`Catalogue::content`].
//!
//! A row is right when the product is found with exactly the expected version. Any
//! other product or version that is said to be *is* or *statically contains* and not
//! listed is wrong. Precision is right / (right + wrong), recall right / rows.

use std::{collections::BTreeMap, fs, path::PathBuf};

use proofmark_components::{Catalogue, Relation};

use crate::{Outcome, components, debian, quality, root};

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

impl Score {
    fn recall(&self) -> f64 {
        f64::from(self.right) / f64::from((self.right + self.missed).max(1))
    }
    fn precision(&self) -> f64 {
        f64::from(self.right) / f64::from((self.right + self.wrong).max(1))
    }
}

/// `quality identification [--offline] [--show]`.
pub fn run(arguments: &[String]) -> Outcome {
    let offline = arguments.iter().any(|a| a == "--offline");
    let catalogue = components::load()?;
    let list = root().join("quality/identification.tsv");
    let text = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    let rows: Vec<Row> = text
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .map(row)
        .collect::<Result<_, _>>()?;
    let mut parts: BTreeMap<String, Score> = BTreeMap::new();
    let mut products: BTreeMap<String, Score> = BTreeMap::new();
    let mut confusion = Vec::new();
    let mut absent = Vec::new();
    let mut files = 0;
    let mut architectures: BTreeMap<String, u32> = BTreeMap::new();
    for row in &rows {
        let suite = row.part.strip_prefix("held:").unwrap_or("bookworm");
        let found = debian::Apt::new(suite)
            .and_then(|apt| apt.package(&row.package, &row.architecture, offline))
            .and_then(|deb| Ok((debian::unpack(&deb)?, deb)))
            .and_then(|(folder, deb)| Ok((find(&folder, &row.path)?, deb)));
        let (path, deb) = match found {
            Ok(found) => found,
            Err(why) => {
                absent.push(why);
                continue;
            }
        };
        files += 1;
        *architectures.entry(row.architecture.clone()).or_default() += 1;
        let expected = expected(&row.derive, &debian::upstream_version(&deb))?;
        let verdict = judge(&catalogue, row, &path, expected.as_deref())?;
        let part = row.part.split(':').next().unwrap_or_default().to_owned();
        for score in
            [parts.entry(part).or_default(), products.entry(row.product.clone()).or_default()]
        {
            match verdict.0 {
                true => score.right += 1,
                false => score.missed += 1,
            }
            score.wrong += verdict.1.len() as u32;
        }
        let place = format!("{}:{} {}", row.package, row.architecture, row.path);
        if !verdict.0 {
            confusion.push(format!("missed: {} {:?} in {place}", row.product, expected));
        }
        confusion.extend(verdict.1.iter().map(|w| format!("wrong: {w} in {place}")));
    }
    let mut out = String::from("## Identification of products and versions\n\n");
    out += &format!(
        "{files} binaries of {} products; architectures: {}. `cargo xtask quality identification`.\n\n",
        products.len(),
        architectures.iter().map(|(a, n)| format!("{a} {n}")).collect::<Vec<_>>().join(", ")
    );
    out += "| part | binaries | recall | precision |\n|---|---|---|---|\n";
    for (part, s) in &parts {
        let n = s.right + s.missed;
        out += &format!(
            "| {part} | {n} | {:.2} % | {:.2} % |\n",
            100.0 * s.recall(),
            100.0 * s.precision()
        );
    }
    if !confusion.is_empty() {
        out += "\nNot right:\n\n";
        confusion.iter().for_each(|c| out += &format!("- {c}\n"));
    }
    println!("{out}");
    absent.iter().for_each(|a| println!("absent: {a}"));
    if absent.is_empty() || arguments.iter().any(|a| a == "--write") {
        quality::write_section("identification", &out)?;
    }
    Ok(())
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
fn judge(
    catalogue: &Catalogue,
    row: &Row,
    path: &std::path::Path,
    expected: Option<&str>,
) -> Result<(bool, Vec<String>), String> {
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut right = false;
    let mut wrong = Vec::new();
    for hit in catalogue.content(Some(&debian::file_name(path)), &bytes) {
        if hit.relation > Relation::StaticallyContains {
            continue;
        }
        if hit.product == row.product && hit.version.as_deref() == expected {
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
