//! `quality matching`: component to CVE, against the labels of `quality/matching/`.
//!
//! Each row is asked as a user would ask it, against the starter database. *Affected* is a match that is not dismissed
//! and at least of grade *version*. A row labelled affected that was dismissed is counted apart: there must be none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use proofmark_advisories::{
    corrections::Corrections,
    matching::{Outcome, Platform, match_component},
    sbom,
    starter::Starter,
};
use proofmark_model::Grade;

use crate::{Outcome as Done, quality::write_section, root};

/// One label.
struct Row {
    asked: String,
    cve: String,
    affected: bool,
    product: String,
    how: String,
}

/// Counts of one product or set.
#[derive(Default, Clone, Copy)]
struct Count {
    rows: usize,
    hits: usize,
    false_positives: usize,
    misses: usize,
    named: usize,
    dismissed: usize,
}

impl Count {
    fn line(&self, name: &str) -> String {
        let ratio = |a: usize, b: usize| {
            if b == 0 { "-".into() } else { format!("{:.1} %", 100.0 * a as f64 / b as f64) }
        };
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} |\n",
            self.rows,
            ratio(self.hits, self.hits + self.false_positives),
            ratio(self.hits, self.hits + self.misses),
            self.false_positives,
            self.misses,
            self.dismissed,
        )
    }
}

/// Measures and writes the section; fails below the marks.
pub fn run(arguments: &[String]) -> Done {
    let verbose = arguments.iter().any(|a| a == "--verbose");
    let store = Starter::open()?;
    let corrections = Corrections::embedded()?;
    let platform = Platform { os: Some("linux_kernel".into()), ..Platform::default() };
    let mut sets: BTreeMap<String, Count> = BTreeMap::new();
    let mut products: BTreeMap<String, Count> = BTreeMap::new();
    let (mut all, mut confused) = (Count::default(), Vec::new());
    let mut answers: BTreeMap<String, Outcome> = BTreeMap::new();
    for (set, rows) in read()? {
        for row in rows {
            if !answers.contains_key(&row.asked) {
                let query = sbom::from_text(&row.asked)?;
                answers.insert(
                    row.asked.clone(),
                    match_component(&query, &store, &platform, &corrections)?,
                );
            }
            let Some(outcome) = answers.get(&row.asked) else { continue };
            let found = outcome.matches.iter().find(|m| m.id == row.cve);
            let said = found.is_some_and(|m| m.dismissed.is_none() && m.grade >= Grade::Version);
            let named = found.is_some_and(|m| m.dismissed.is_none() && m.grade < Grade::Version);
            let outside = outcome.not_affected.iter().find(|n| n.id == row.cve);
            let dismissed = outside.is_some() || found.is_some_and(|m| m.dismissed.is_some());
            let set = sets.entry(set.clone()).or_default();
            let product = products.entry(row.product.clone()).or_default();
            for c in [set, product, &mut all] {
                c.rows += 1;
                c.hits += usize::from(row.affected && said);
                c.false_positives += usize::from(!row.affected && said);
                c.misses += usize::from(row.affected && !said);
                c.named += usize::from(named);
                c.dismissed += usize::from(row.affected && dismissed);
            }
            if row.affected != said {
                let why = match (found, outside) {
                    (Some(m), _) => m.reasons.join("; "),
                    (None, Some(n)) => n.reason.clone(),
                    (None, None) => "no record was found".into(),
                };
                let expected = if row.affected { "missed" } else { "false" };
                confused
                    .push(format!("{expected}: {} {} ({}): {why}", row.asked, row.cve, row.how));
            }
        }
    }
    let mut body = String::from(
        "## CVE matching\n\n`cargo xtask quality matching` asks for every row of `quality/matching/*.tsv` (made by `derive.py` beside \
         them from the statements of OpenSSL, curl, Mbed TLS, the kernel's stable streams, Debian and Alpine, and from ends of NVD \
         ranges; no code of Proofmark takes part) and compares. *Affected* means not dismissed and at least grade *version*.\n\n",
    );
    let header = "| set | rows | precision | recall | false | missed | of which dismissed |\n|---|---|---|---|---|---|---|\n";
    body.push_str(header);
    sets.iter().for_each(|(name, c)| body.push_str(&c.line(name)));
    body.push_str(&all.line("all"));
    let _ = writeln!(
        body,
        "\n{} rows were answered with grade *named*: neither affected nor dismissed.\n",
        all.named
    );
    body.push_str(&header.replace("set", "product"));
    products.iter().for_each(|(name, c)| body.push_str(&c.line(name)));
    let shown = if verbose { confused.len() } else { 60 };
    let _ = writeln!(body, "\nConfusion cases ({}):\n", confused.len());
    for case in confused.iter().take(shown) {
        let case: String = case.chars().take(if verbose { 2000 } else { 260 }).collect();
        let _ = writeln!(body, "- {}", case.replace('|', "\\|"));
    }
    if verbose {
        println!("{body}");
        return Ok(());
    }
    print!("{}", all.line("all"));
    write_section("matching", &body)?;
    let precision = all.hits as f64 / (all.hits + all.false_positives).max(1) as f64;
    let recall = all.hits as f64 / (all.hits + all.misses).max(1) as f64;
    if precision < 0.99 || recall < 0.99 || all.dismissed > 0 {
        return Err(format!(
            "precision {precision:.4}, recall {recall:.4}, {} wrongly dismissed; see docs/quality.md",
            all.dismissed
        ));
    }
    Ok(())
}

/// All labels by the name of their file.
fn read() -> Result<BTreeMap<String, Vec<Row>>, String> {
    let folder = root().join("quality/matching");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let names: BTreeSet<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|x| x == "tsv"))
        .collect();
    let mut out = BTreeMap::new();
    for path in names {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut rows = Vec::new();
        for (n, line) in text.lines().enumerate().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [asked, cve, expected, product, how] = fields[..] else {
                return Err(format!("{}:{}: five columns are expected", path.display(), n + 1));
            };
            let affected = match expected {
                "affected" => true,
                "not-affected" => false,
                other => {
                    return Err(format!(
                        "{}:{}: {other:?} is no expectation",
                        path.display(),
                        n + 1
                    ));
                }
            };
            rows.push(Row {
                asked: asked.into(),
                cve: cve.into(),
                affected,
                product: product.into(),
                how: how.into(),
            });
        }
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        out.insert(name, rows);
    }
    Ok(out)
}
