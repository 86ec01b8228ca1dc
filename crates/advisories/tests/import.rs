//! Imports as a user does them: order, refusal, damage, a second import, and death in the middle.
#![allow(clippy::unwrap_used, reason = "what a test expects")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use proofmark_advisories::{
    Database, Error, Key, Store,
    import::{Options, Summary, import},
};

fn nvd(records: &[(&str, &str, &str)]) -> String {
    let element = |(id, modified, end): &(&str, &str, &str)| {
        format!(
            r#"{{"cve":{{"id":"{id}","published":"2020-01-01T00:00:00.000","lastModified":"{modified}T00:00:00.000","vulnStatus":"Analyzed",
            "configurations":[{{"nodes":[{{"operator":"OR","negate":false,"cpeMatch":[{{"vulnerable":true,"criteria":"cpe:2.3:a:acme:widget:*:*:*:*:*:*:*:*","versionEndExcluding":"{end}"}}]}}]}}]}}}}"#
        )
    };
    let all: Vec<_> = records.iter().map(element).collect();
    let n = all.len();
    format!(
        r#"{{"resultsPerPage":{n},"startIndex":0,"totalResults":{n},"format":"NVD_CVE","version":"2.0","vulnerabilities":[{}]}}"#,
        all.join(",\n")
    )
}

fn many(n: usize, modified: &str) -> String {
    let ids: Vec<_> = (0..n).map(|i| format!("CVE-2020-{:04}", i + 1)).collect();
    nvd(&ids.iter().map(|id| (id.as_str(), modified, "1.0")).collect::<Vec<_>>())
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }
    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
    fn db(&self) -> PathBuf {
        self.folder.path().join("data base.db")
    }
    fn import(&self, paths: &[&Path]) -> Result<Summary, Error> {
        let paths: Vec<_> = paths.iter().map(|p| p.to_path_buf()).collect();
        import(&self.db(), &paths, &Options::default(), &mut |_| {})
    }
}

fn end_of(db: &Path, id: &str) -> String {
    let found = Database::open(db).unwrap().about(&Key::id(id)).unwrap();
    let range = found[0].configurations[0].matches[0].range.clone().unwrap();
    range.to.unwrap().0
}

fn digests(db: &Path) -> Vec<String> {
    Database::open(db)
        .unwrap()
        .contents()
        .iter()
        .map(|f| format!("{} {} {}", f.name, f.records, f.digest))
        .collect()
}

#[test]
fn what_was_imported_is_found() {
    let p = Place::new();
    let a = p.put(
        "a.json",
        nvd(&[("CVE-2020-0001", "2020-02-01", "1.0"), ("CVE-2020-0002", "2020-03-01", "2.0")]),
    );
    let kev = p.put("kev.json", r#"{"title":"t","catalogVersion":"1","dateReleased":"2025-01-02T00:00:00Z","count":1,"vulnerabilities":[{"cveID":"CVE-2020-0002","dateAdded":"2025-01-01"}]}"#);
    let epss = p.put("epss.csv", "#model_version:x,score_date:2026-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2020-0002,0.5,0.9\n");
    let s = p.import(&[&a, &kev, &epss]).unwrap();
    assert_eq!((s.files, s.records, s.new, s.problems), (3, 4, 2, 0), "{s:?}");
    let db = Database::open(&p.db()).unwrap();
    let found = db.about(&Key::Cpe("acme".into(), "widget".into())).unwrap();
    assert_eq!(
        found.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(),
        ["CVE-2020-0001", "CVE-2020-0002"]
    );
    assert!(db.about(&Key::product("widget")).unwrap().is_empty());
    let threat = db.threat("CVE-2020-0002").unwrap();
    assert_eq!((threat.known_exploited, threat.epss_ppm), (true, Some(500_000)));
    assert_eq!(db.threat("CVE-2020-0001").unwrap(), Default::default());
    let dates: Vec<_> = db.feeds().into_iter().map(|f| (f.id, f.version)).collect();
    let want = [("epss", "2026-01-01"), ("kev", "2025-01-02"), ("nvd", "2020-03-01")];
    assert_eq!(dates, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn order_of_files_does_not_matter() {
    let old =
        nvd(&[("CVE-2020-0001", "2020-02-01", "1.0"), ("CVE-2020-0003", "2020-02-01", "1.0")]);
    let new =
        nvd(&[("CVE-2020-0001", "2020-03-01", "2.0"), ("CVE-2020-0003", "2020-02-01", "1.5")]);
    let mut seen = Vec::new();
    for turn in [[0, 1], [1, 0]] {
        let (one, two) = (Place::new(), Place::new());
        for p in [&one, &two] {
            p.put("0.json", &old);
            p.put("1.json", &new);
        }
        let file = |p: &Place, n: usize| p.folder.path().join(format!("{n}.json"));
        one.import(&[&file(&one, turn[0]), &file(&one, turn[1])]).unwrap();
        two.import(&[&file(&two, turn[0])]).unwrap();
        two.import(&[&file(&two, turn[1])]).unwrap();
        assert_eq!(end_of(&one.db(), "CVE-2020-0001"), "2.0");
        seen.extend([digests(&one.db()), digests(&two.db())]);
    }
    assert!(seen.windows(2).all(|w| w[0] == w[1]), "{seen:?}");
}

#[test]
fn much_less_than_before_is_refused() {
    let p = Place::new();
    let file = p.put("nvdcve-2.0-2020.json", many(200, "2020-02-01"));
    p.import(&[&file]).unwrap();
    let before = fs::read(p.db()).unwrap();
    p.put("nvdcve-2.0-2020.json", many(100, "2020-03-01"));
    let e = p.import(&[&file]).unwrap_err();
    assert!(e.to_string().contains("--allow-smaller"), "{e}");
    assert_eq!(fs::read(p.db()).unwrap(), before, "the old database is untouched");
    let other = p.put("other.json", nvd(&[("CVE-2021-0001", "2021-01-01", "1")]));
    let s = p.import(&[&file, &other]).unwrap();
    assert_eq!((s.refused.len(), s.new), (1, 1));
    let options = Options { allow_smaller: true, ..Options::default() };
    let s = import(&p.db(), &[file], &options, &mut |_| {}).unwrap();
    assert_eq!((s.refused.len(), s.changed), (0, 100));
    assert_eq!(
        Database::open(&p.db()).unwrap().contents()[0].records,
        201,
        "records of a loose feed stay"
    );
}

#[test]
fn a_whole_set_replaces_its_older_self_only() {
    let kev = |day: &str, ids: &[&str]| {
        let all: Vec<_> =
            ids.iter().map(|i| format!(r#"{{"cveID":"{i}","dateAdded":"2020-01-01"}}"#)).collect();
        format!(
            r#"{{"catalogVersion":"x","dateReleased":"{day}T00:00:00Z","vulnerabilities":[{}]}}"#,
            all.join(",")
        )
    };
    let p = Place::new();
    let a = p.put("a.json", kev("2025-02-01", &["CVE-2020-0001"]));
    let b = p.put("b.json", kev("2025-01-01", &["CVE-2020-0002"]));
    for order in [[&a, &b], [&b, &a]] {
        let _ = fs::remove_file(p.db());
        for file in order {
            p.import(&[file]).unwrap();
        }
        let db = Database::open(&p.db()).unwrap();
        assert!(db.threat("CVE-2020-0001").unwrap().known_exploited);
        assert!(!db.threat("CVE-2020-0002").unwrap().known_exploited);
    }
}

#[test]
fn one_bad_record_is_named_and_the_rest_is_there() {
    let good = nvd(&[
        ("CVE-2020-0001", "2020-02-01", "1"),
        ("CVE-2020-0002", "2020-02-01", "1"),
        ("CVE-2020-0003", "2020-02-01", "1"),
    ]);
    for (from, to, why) in [
        ("\"id\":\"CVE-2020-0002\"", "\"id\":\"CVE-2020-0002\n\"", "string"),
        ("\"vulnerable\":true,\"criteria\"", "\"criteria\"", "vulnerable"),
    ] {
        let at = good.find("CVE-2020-0002").unwrap() - 6;
        let (head, tail) = good.split_at(at);
        let p = Place::new();
        let file = p.put("f.json", format!("{head}{}", tail.replacen(from, to, 1)));
        let s = p.import(&[&file]).unwrap();
        assert_eq!((s.new, s.problems >= 1), (2, true), "{s:?}");
        let problem = &s.first_problems[0];
        assert!(
            problem.record.starts_with("CVE-2020-0002") && problem.reason.contains(why),
            "{problem}"
        );
        assert_eq!(end_of(&p.db(), "CVE-2020-0003"), "1");
    }
}

#[test]
fn a_record_larger_than_the_limit_is_named_and_passed_over() {
    let mut text = nvd(&[
        ("CVE-2020-0001", "2020-02-01", "1"),
        ("CVE-2020-0002", "2020-02-01", "1"),
        ("CVE-2020-0003", "2020-02-01", "1"),
    ]);
    let at = text.find("\"id\":\"CVE-2020-0002\"").unwrap();
    text.insert_str(
        at + "\"id\":\"CVE-2020-0002\",".len(),
        &format!("\"x\":\"{}\",", "y".repeat(3 << 20)),
    );
    let p = Place::new();
    let file = p.put("f.json", text);
    let mut options = Options::default();
    options.budget.limits.record = 1 << 20;
    let s = import(&p.db(), &[file], &options, &mut |_| {}).unwrap();
    assert_eq!((s.new, s.problems), (2, 1));
    assert_eq!(s.first_problems[0].record, "CVE-2020-0002");
    assert!(s.first_problems[0].reason.contains("larger"));
}

#[test]
fn files_that_are_nothing_change_nothing() {
    let p = Place::new();
    for (name, text) in [
        ("empty", ""),
        ("text", "hello world\n"),
        ("page", "<html><body>429</body></html>"),
        ("list", "[]"),
        ("xz", "\u{fd}"),
    ] {
        let file = p.put(name, text);
        assert!(matches!(p.import(&[&file]), Err(Error::Nothing { .. })), "{name}");
        assert!(!p.db().exists(), "{name}");
    }
    assert!(matches!(p.import(&[Path::new("/nowhere/at/all")]), Err(Error::Io { .. })));
}

#[test]
fn a_file_that_is_no_database_is_not_overwritten() {
    let p = Place::new();
    let file = p.put("f.json", many(3, "2020-01-01"));
    fs::write(p.db(), "my thesis").unwrap();
    assert!(matches!(p.import(&[&file]), Err(Error::Database { .. })));
    assert_eq!(fs::read(p.db()).unwrap(), b"my thesis");
}
