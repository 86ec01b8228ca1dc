//! `quality matching`: component to CVE, against the labels of `quality/matching/`.
//!
//! Each row is asked as a user would ask it, against the starter database. *Affected* is a match that is not dismissed
//! and at least of grade *version*. A row labelled affected that was dismissed is counted apart: there must be none.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    fmt::Write as _,
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use proofmark_advisories::{
    Key, Record, Store,
    corrections::Corrections,
    matching::{Match, Outcome, Platform, match_component},
    record::Threat,
    sbom,
    starter::Starter,
};
use proofmark_model::{Grade, assessment::DataVersion};

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

/// The records of some CVEs only, read once. What is said about one CVE does not depend on the others, and a kernel has
/// thousands of them for each of five hundred versions.
struct Asked<'a> {
    all: &'a Memory<'a>,
    cves: BTreeSet<&'a str>,
}

/// Records by key, as the store gave them.
struct Memory<'a> {
    store: &'a Starter,
    known: Mutex<HashMap<Key, Arc<Vec<Arc<Record>>>>>,
}

impl Store for Asked<'_> {
    fn about(&self, key: &Key) -> Result<Vec<Arc<Record>>, String> {
        let mut known = self.all.known.lock().unwrap_or_else(PoisonError::into_inner);
        let records = match known.entry(key.clone()) {
            Entry::Occupied(e) => e.get().clone(),
            Entry::Vacant(e) => e.insert(Arc::new(self.all.store.about(key)?)).clone(),
        };
        drop(known);
        let asked = |r: &&Arc<Record>| r.cves.iter().any(|c| self.cves.contains(c.as_str()));
        Ok(records.iter().filter(asked).cloned().collect())
    }

    fn threat(&self, cve: &str) -> Result<Threat, String> {
        self.all.store.threat(cve)
    }

    fn feeds(&self) -> Vec<DataVersion> {
        self.all.store.feeds()
    }
}

/// What was answered to one row.
struct Answer {
    said: bool,
    named: bool,
    dismissed: bool,
    why: String,
}

impl Answer {
    fn of(outcome: &Outcome, cve: &str) -> Self {
        let found = outcome.matches.iter().find(|m| m.id == cve);
        let outside = outcome.not_affected.iter().find(|n| n.id == cve);
        let stands = |m: &&Match| m.dismissed.is_none();
        Self {
            said: found.filter(stands).is_some_and(|m| m.grade >= Grade::Version),
            named: found.filter(stands).is_some_and(|m| m.grade < Grade::Version),
            dismissed: outside.is_some() || found.is_some_and(|m| m.dismissed.is_some()),
            why: match (found, outside) {
                (Some(m), _) => m.reasons.join("; "),
                (None, Some(n)) => n.reason.clone(),
                (None, None) => "no record was found".into(),
            },
        }
    }
}

/// Asks for every row, each component once, on two threads; the answers in the order of the rows.
fn answers(rows: &[(String, Row)]) -> Result<Vec<Answer>, String> {
    let store = Starter::open()?;
    let memory = Memory { store: &store, known: Mutex::default() };
    let corrections = Corrections::embedded()?;
    let platform = Platform { os: Some("linux_kernel".into()), ..Platform::default() };
    let mut asked: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, (_, row)) in rows.iter().enumerate() {
        asked.entry(&row.asked).or_default().push(n);
    }
    let asked: Vec<_> = asked.into_iter().collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Answer)>, String> {
        let mut out = Vec::new();
        while let Some((text, of)) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
            let query = sbom::from_text(text)?;
            let cves = of.iter().map(|n| rows[*n].1.cve.as_str()).collect();
            let some = Asked { all: &memory, cves };
            let outcome = match_component(&query, &some, &platform, &corrections)?;
            out.extend(of.iter().map(|n| (*n, Answer::of(&outcome, &rows[*n].1.cve))));
        }
        Ok(out)
    };
    let mut all = thread::scope(|s| {
        let threads = [s.spawn(work), s.spawn(work)];
        let joined = threads.map(|t| t.join().unwrap_or_else(|_| Err("a thread panicked".into())));
        joined
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map(|v| v.into_iter().flatten().collect::<Vec<_>>())
    })?;
    all.sort_by_key(|(n, _)| *n);
    Ok(all.into_iter().map(|(_, a)| a).collect())
}

/// Measures and writes the section; fails below the marks.
pub fn run(arguments: &[String]) -> Done {
    let verbose = arguments.iter().any(|a| a == "--verbose");
    let mut sets: BTreeMap<String, Count> = BTreeMap::new();
    let mut products: BTreeMap<String, Count> = BTreeMap::new();
    let (mut all, mut confused) = (Count::default(), Vec::new());
    let rows: Vec<(String, Row)> = read()?
        .into_iter()
        .flat_map(|(set, rows)| rows.into_iter().map(move |r| (set.clone(), r)))
        .collect();
    for ((set, row), answer) in rows.iter().zip(answers(&rows)?) {
        let set = sets.entry(set.clone()).or_default();
        let product = products.entry(row.product.clone()).or_default();
        for c in [set, product, &mut all] {
            c.rows += 1;
            c.hits += usize::from(row.affected && answer.said);
            c.false_positives += usize::from(!row.affected && answer.said);
            c.misses += usize::from(row.affected && !answer.said);
            c.named += usize::from(answer.named);
            c.dismissed += usize::from(row.affected && answer.dismissed);
        }
        if row.affected != answer.said {
            let expected = if row.affected { "missed" } else { "false" };
            confused.push(format!(
                "{expected}: {} {} ({}): {}",
                row.asked, row.cve, row.how, answer.why
            ));
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
