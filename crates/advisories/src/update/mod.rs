//! Fetches feeds over HTTPS and imports them.
//!
//! What is fetched is kept until it is imported, so that an update that broke off goes on where it was. Where a feed
//! publishes a digest (NVD's `.meta`), the data must have it. A file that the server has not changed since the last
//! import is not fetched again. Whether the data makes sense is decided by the import: it refuses sets that are
//! suspiciously smaller, and the old database stays.

pub mod http;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    Error, beside, date,
    feed::Problem,
    import::{self, Progress, Summary},
    update::http::{Fetched, Version, fetch},
};

/// A publisher: a short name, its address, and what it has.
pub struct Publisher {
    /// Name to choose it by.
    pub name: &'static str,
    /// Address before the paths.
    pub base: &'static str,
    /// Fetched when nothing is chosen.
    pub usual: bool,
    /// Paths behind the address.
    paths: Paths,
}

enum Paths {
    /// These.
    Fixed(&'static [&'static str]),
    /// NVD's file of each year up to this one, each with its `.meta`.
    Years,
}

/// The publishers whose feeds are fetched.
pub const PUBLISHERS: &[Publisher] = &[
    Publisher { name: "nvd", base: "https://nvd.nist.gov", usual: true, paths: Paths::Years },
    Publisher {
        name: "kev",
        base: "https://www.cisa.gov",
        usual: true,
        paths: Paths::Fixed(&["/sites/default/files/feeds/known_exploited_vulnerabilities.json"]),
    },
    Publisher {
        name: "epss",
        base: "https://epss.empiricalsecurity.com",
        usual: true,
        paths: Paths::Fixed(&["/epss_scores-current.csv.gz"]),
    },
    Publisher {
        name: "cve5",
        base: "https://github.com",
        usual: false,
        paths: Paths::Fixed(&["/CVEProject/cvelistV5/archive/refs/heads/main.zip"]),
    },
    Publisher {
        name: "debian",
        base: "https://security-tracker.debian.org",
        usual: true,
        paths: Paths::Fixed(&["/tracker/data/json"]),
    },
    Publisher {
        name: "alpine",
        base: "https://secdb.alpinelinux.org",
        usual: true,
        paths: Paths::Fixed(&[
            "/v3.12/main.json",
            "/v3.13/main.json",
            "/v3.14/main.json",
            "/v3.15/main.json",
            "/v3.16/main.json",
            "/v3.17/main.json",
            "/v3.18/main.json",
            "/v3.19/main.json",
            "/v3.20/main.json",
            "/v3.21/main.json",
            "/v3.22/main.json",
            "/edge/main.json",
        ]),
    },
    Publisher {
        name: "osv",
        base: "https://osv-vulnerabilities.storage.googleapis.com",
        usual: false,
        paths: Paths::Fixed(&[
            "/PyPI/all.zip",
            "/npm/all.zip",
            "/Go/all.zip",
            "/crates.io/all.zip",
            "/Maven/all.zip",
            "/OSS-Fuzz/all.zip",
        ]),
    },
    Publisher {
        name: "ubuntu",
        base: "https://osv-vulnerabilities.storage.googleapis.com",
        usual: false,
        paths: Paths::Fixed(&["/Ubuntu/all.zip"]),
    },
];

/// The first year NVD has a file for; older CVEs are in it.
const FIRST_YEAR: i32 = 2002;

/// What to fetch, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Names of publishers; empty: the usual ones.
    pub feeds: Vec<String>,
    /// Other addresses by publisher, such as a mirror of one's own.
    pub bases: BTreeMap<String, String>,
    /// Today, days since 1970-01-01: says up to which year there are files.
    pub day: i32,
    /// How to fetch.
    pub http: http::Options,
    /// How to import.
    pub import: import::Options,
}

/// What an update did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Files that were fetched.
    pub fetched: u64,
    /// Files that had not changed.
    pub same: u64,
    /// Files that could not be fetched or have not the digest they should have.
    pub failed: Vec<Problem>,
    /// What the import of the fetched ones did; none where there was nothing to import.
    pub import: Option<Summary>,
}

/// What is known of a file at its last import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    version: Version,
    sha256: Option<String>,
}

/// One file to fetch.
struct Job {
    url: String,
    /// Name under which it is imported: it says the same file again next time.
    name: String,
    meta: Option<String>,
    https_only: bool,
}

fn jobs(options: &Options) -> Result<Vec<Job>, Error> {
    let wrong = |what: &str| {
        let names: Vec<_> = PUBLISHERS.iter().map(|p| p.name).collect();
        Error::Nothing {
            path: what.to_owned(),
            reason: format!("not a known publisher; there are {}", names.join(", ")),
        }
    };
    let known = |n: &&String| PUBLISHERS.iter().any(|p| p.name == **n);
    if let Some(bad) = options.feeds.iter().chain(options.bases.keys()).find(|n| !known(n)) {
        return Err(wrong(bad));
    }
    let year: i32 =
        date::text(options.day).get(..4).and_then(|y| y.parse().ok()).unwrap_or(FIRST_YEAR);
    let mut jobs = Vec::new();
    for p in PUBLISHERS {
        let chosen = if options.feeds.is_empty() {
            p.usual
        } else {
            options.feeds.iter().any(|f| f == p.name)
        };
        if !chosen {
            continue;
        }
        let base = options.bases.get(p.name).map_or(p.base, |b| b.trim_end_matches('/'));
        let https_only = options.http.https_only && !base.starts_with("http://");
        let file = |path: &str| path.trim_matches('/').replace('/', "-");
        match p.paths {
            Paths::Fixed(paths) => jobs.extend(paths.iter().map(|path| Job {
                url: format!("{base}{path}"),
                name: format!("{}-{}", p.name, file(path)),
                meta: None,
                https_only,
            })),
            Paths::Years => jobs.extend((FIRST_YEAR..=year).map(|y| {
                let stem = format!("{base}/feeds/json/cve/2.0/nvdcve-2.0-{y}");
                Job {
                    url: format!("{stem}.json.gz"),
                    name: format!("nvdcve-2.0-{y}.json.gz"),
                    meta: Some(format!("{stem}.meta")),
                    https_only,
                }
            })),
        }
    }
    Ok(jobs)
}

/// Fetches and imports into the database at `path`. What is fetched lies in the folder `PATH.downloads` meanwhile.
///
/// # Errors
/// A folder or database that cannot be written, an unknown publisher, or an import that failed. Files that could not
/// be fetched are in the outcome.
pub fn update(
    path: &Path,
    options: &Options,
    told: &mut dyn FnMut(&str),
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Outcome, Error> {
    let folder = beside(path, ".downloads");
    fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
    let book_path = folder.join(".known.json");
    // A database that is gone has to be filled again from the beginning.
    let mut book: BTreeMap<String, Known> = match fs::read(&book_path) {
        Ok(text) if path.exists() => serde_json::from_slice(&text).unwrap_or_default(),
        _ => BTreeMap::new(),
    };
    let mut outcome = Outcome::default();
    let mut fetched: Vec<(PathBuf, String, Known)> = Vec::new();
    for job in jobs(options)? {
        told(&job.url);
        let target = folder.join(&job.name);
        match one(&job, &target, book.get(&job.name), &options.http) {
            Ok(Some(known)) => {
                outcome.fetched = outcome.fetched.saturating_add(1);
                fetched.push((target, job.name, known));
            }
            Ok(None) => outcome.same = outcome.same.saturating_add(1),
            Err(reason) => {
                outcome.failed.push(Problem {
                    file: job.name,
                    record: "the file".into(),
                    reason,
                    cut: true,
                });
            }
        }
    }
    if fetched.is_empty() {
        return Ok(outcome);
    }
    let files: Vec<PathBuf> = fetched.iter().map(|(p, ..)| p.clone()).collect();
    let mut import = options.import.clone();
    for (target, _, known) in &fetched {
        let made = known.version.modified.as_deref().and_then(date::of_http);
        import.made.extend(made.map(|m| (target.clone(), m)));
    }
    let summary = import::import(path, &files, &import, progress)?;
    for (target, name, known) in fetched {
        let shown = target.display().to_string();
        let refused = summary.refused.iter().any(|p| p.file == shown);
        // A refused file is fetched again next time: the publisher may have repaired it.
        if !refused {
            book.insert(name, known);
        }
        fs::remove_file(&target).map_err(|e| Error::io(&target, &e))?;
    }
    let text = serde_json::to_vec_pretty(&book).unwrap_or_default();
    fs::write(&book_path, text).map_err(|e| Error::io(&book_path, &e))?;
    outcome.import = Some(summary);
    Ok(outcome)
}

/// Fetches one file; none where it has not changed.
fn one(
    job: &Job,
    target: &Path,
    known: Option<&Known>,
    http: &http::Options,
) -> Result<Option<Known>, String> {
    let http = http::Options { https_only: job.https_only, ..http.clone() };
    let want = match &job.meta {
        Some(url) => {
            let path = beside(target, ".meta");
            // Small, and asked for each time: it says whether the rest is needed.
            let _ = fs::remove_file(&path);
            fetch(url, &path, None, &http::Options { largest: 1 << 16, ..http.clone() })?;
            let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
            let _ = fs::remove_file(&path);
            let digest =
                text.lines().find_map(|l| l.trim().strip_prefix("sha256:")).map(str::to_lowercase);
            Some(digest.ok_or_else(|| format!("{url}: there is no sha256 in it"))?)
        }
        None => None,
    };
    if want.is_some() && known.and_then(|k| k.sha256.as_ref()) == want.as_ref() {
        return Ok(None);
    }
    let had = known.map(|k| &k.version);
    let version = match fetch(&job.url, target, had.filter(|_| want.is_none()), &http)? {
        Fetched::Same => return Ok(None),
        Fetched::New(version) => version,
    };
    if let Some(want) = &want {
        let got = digest(target)?;
        if got != *want {
            // Nothing of it can be trusted; the next update begins anew.
            let _ = fs::remove_file(target);
            return Err(format!("{}: has SHA-256 {got}, {want} is announced", job.url));
        }
    }
    Ok(Some(Known { version, sha256: want }))
}

/// SHA-256 of what is in a gzip file.
fn digest(path: &Path) -> Result<String, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut source = MultiGzDecoder::new(File::open(path).map_err(fail)?).take(32 << 30);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match source.read(&mut buffer).map_err(fail)? {
            0 => break,
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    Ok(proofmark_model::Digest(hash.finalize().into()).to_string())
}
