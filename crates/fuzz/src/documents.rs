//! Targets for what is read from publishers and producers: feeds of advisories, bills of materials, VEX documents.
//!
//! Checked beyond the absence of panics: the same answer twice; the same answer however the bytes come in (one at a time
//! as well as at once); silence never, so that a text that gives neither a record nor a problem fails; every
//! problem and every error in words, every record with an id.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
};

use proofmark_advisories::{
    feed::{self, Item, Parsed, Problem, scan::Limits},
    sbom,
};
use proofmark_report::vex;

use crate::{Target, target};

/// All of them.
pub fn targets() -> Vec<Target> {
    let texts = |all: &[&str]| all.iter().map(|t| t.as_bytes().to_vec()).collect();
    vec![
        target("feeds", check_feeds, texts(FEEDS)),
        target("sbom", check_sbom, texts(SBOMS)),
        target("vex", check_vex, texts(VEX)),
    ]
}

/// Gives few bytes at a time, so that values are cut everywhere.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(self.0.len()).min(out.len());
        let (now, later) = self.0.split_at(n);
        if let Some(to) = out.get_mut(..n) {
            to.copy_from_slice(now);
        }
        self.0 = later;
        Ok(n)
    }
}

fn read(data: &[u8], step: usize) -> Vec<Result<Parsed, Problem>> {
    let mut out = Vec::new();
    let limits = Limits { record: 1 << 14, depth: 40 };
    feed::read(&mut Drip(data, step), "file", limits, &mut |r| out.push(r));
    out
}

fn check_feeds(data: &[u8]) -> u64 {
    let all = read(data, usize::MAX);
    assert!(all == read(data, usize::MAX), "feeds: not the same twice");
    assert!(all == read(data, 7), "feeds: another answer where the bytes come in pieces");
    assert!(!all.is_empty(), "feeds: neither a record nor a problem");
    let mut kinds = BTreeSet::new();
    for result in &all {
        match result {
            Ok(parsed) => {
                assert!(!parsed.set.feed.is_empty(), "feeds: a set of no feed");
                kinds.insert(format!("set {}", parsed.set.name.is_empty()));
                for item in &parsed.items {
                    if let Item::Record(record, _) = item {
                        assert!(!record.feed.is_empty(), "feeds: a record of no feed");
                        kinds.insert(format!(
                            "{} {} {} {:?}",
                            record.feed.split('-').next().unwrap_or_default(),
                            record.statements.len().min(3),
                            record.configurations.len().min(3),
                            record.statements.first().map(|s| (s.default, s.ranges.len().min(3))),
                        ));
                    }
                }
            }
            Err(problem) => {
                assert!(!problem.reason.is_empty(), "feeds: a problem without words");
                assert!(!problem.record.is_empty(), "feeds: a problem without a place");
                let words: String =
                    problem.reason.chars().filter(|c| c.is_alphabetic()).take(24).collect();
                kinds.insert(words);
            }
        }
    }
    digest(&kinds)
}

fn check_sbom(data: &[u8]) -> u64 {
    let shown = |s: &Result<sbom::Sbom, String>| format!("{s:?}");
    let first = sbom::parse(data);
    assert!(shown(&first) == shown(&sbom::parse(data)), "sbom: not the same twice");
    let mut kinds = BTreeSet::new();
    match first {
        Err(words) => {
            assert!(!words.is_empty() && !words.contains('\n'), "sbom: an error is one sentence");
            kinds.insert(words.chars().filter(|c| c.is_alphabetic()).take(24).collect::<String>());
        }
        Ok(sbom) => {
            assert!(sbom.problems.iter().all(|p| !p.is_empty()), "sbom: a problem without words");
            let named = |q: &proofmark_advisories::matching::Query| {
                q.component.as_ref().is_some_and(|c| !c.name.is_empty())
            };
            assert!(sbom.queries.iter().all(named), "sbom: a component without a name");
            kinds.insert(format!("{} {}", sbom.queries.len().min(4), sbom.problems.len().min(4)));
        }
    }
    digest(&kinds)
}

fn check_vex(data: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(data);
    let first = vex::read(&text);
    assert!(first == vex::read(&text), "vex: not the same twice");
    let kind = match first {
        Err(e) => e.to_string().chars().filter(|c| c.is_alphabetic()).take(24).collect(),
        Ok(read) => {
            assert!(read.skipped.iter().all(|s| !s.is_empty()), "vex: skipped without words");
            assert!(read.statements.is_sorted(), "vex: statements have an order");
            format!("{} {}", read.statements.len().min(4), read.skipped.len().min(4))
        }
    };
    digest(&BTreeSet::from([kind]))
}

fn digest(kinds: &BTreeSet<String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    kinds.hash(&mut hasher);
    hasher.finish()
}

/// One small text for each format of feeds.
const FEEDS: &[&str] = &[
    r#"{"resultsPerPage":1,"vulnerabilities":[{"cve":{"id":"CVE-2020-0001","lastModified":"2020-01-01T00:00:00","metrics":{"cvssMetricV31":[{"source":"s","cvssData":{"version":"3.1","vectorString":"v","baseScore":5.0}}]},"configurations":[{"nodes":[{"operator":"OR","negate":false,"cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:v:p:*:*:*:*:*:*:*:*","versionEndExcluding":"1"}]}]}]}}]}"#,
    r#"{"_annotation":{"cve_id":"CVE-2020-0001"},"cve":{"configurations":[{"nodes":[{"operator":"OR","cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:v:p:*:*:*:*:*:*:*:*"}]}]}]}}"#,
    r#"{"dataType":"CVE_RECORD","cveMetadata":{"cveId":"CVE-2020-0001","datePublished":"2020-01-01T00:00:00Z"},"containers":{"cna":{"affected":[{"vendor":"v","product":"p","programFiles":["a.c"],"versions":[{"version":"1","lessThan":"2","status":"affected","changes":[{"at":"1.5","status":"unaffected"}]}]}]},"adp":[{"affected":[{"vendor":"v","product":"p","versions":[{"version":"1","status":"affected"}]}]}]}}"#,
    r#"{"id":"OSV-2020-1","modified":"2020-01-01T00:00:00Z","aliases":["CVE-2020-0001"],"affected":[{"package":{"ecosystem":"generic","name":"p"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1"}]}]}]}"#,
    r#"{"catalogVersion":"1","dateReleased":"2020-01-01T00:00:00Z","vulnerabilities":[{"cveID":"CVE-2020-0001","dateAdded":"2020-01-01"}]}"#,
    "cveID,vendorProject,dateAdded\nCVE-2020-0001,v,2020-01-01\n",
    "#model_version:v,score_date:2020-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2020-0001,0.5,0.5\n",
    r#"{"distroversion":"v3.18","reponame":"main","packages":[{"pkg":{"name":"p","secfixes":{"1-r0":["CVE-2020-0001"]}}}]}"#,
    "[01 Jan 2020] DSA-1-1 p - security update\n\t{CVE-2020-0001}\n\t[buster] - p 1-1\n",
    r#"{"p":{"CVE-2020-0001":{"scope":"remote","releases":{"buster":{"status":"resolved","fixed_version":"1-1"}}}}}"#,
    r#"{"USN-1-1":{"cves":["CVE-2020-0001"],"timestamp":1500000000.0,"releases":{"jammy":{"sources":{"p":{"version":"1-1"}}}}}}"#,
    r#"{"tool":"buildroot","package":"p","version":"1","cve":"CVE-2020-0001","patches":[],"status":"patched"}"#,
    r#"{"version":"1","package":[{"name":"p","layer":"meta","version":"1","products":[],"issue":[{"id":"CVE-2020-0001","status":"Patched"}]}]}"#,
    r#"{"document":{"csaf_version":"2.0","tracking":{"id":"X-1"}},"product_tree":{"branches":[{"category":"product_name","name":"p","branches":[{"category":"product_version","name":"1","product":{"product_id":"P","name":"p"}}]}]},"vulnerabilities":[{"cve":"CVE-2020-0001","product_status":{"fixed":["P"]}}]}"#,
    r#"{"cve":"CVE-2020-0001","mainline":{"fixes_commit":"aa","introduced":"4.1","fixed":"5.0"},"streams":{},"stream_status":{"4.9":"fixed:4.9.1"}}"#,
    r#"{"id":"m-1","cves":["CVE-2020-0001"],"affects":"Mbed TLS from 1.3.0 up to 2.1.0 and 3.0.0","fixed_versions":["2.1.1","3.0"]}"#,
];

/// Bills of materials.
const SBOMS: &[&str] = &[
    r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"zlib","version":"1.2.11","purl":"pkg:generic/zlib@1.2.11","components":[{"type":"library","name":"x","version":"1"}]}]}"#,
    r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"zlib","versionInfo":"1.2.11","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:generic/zlib@1.2.11"}]}]}"#,
    r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[{"type":"software_Package","name":"zlib","software_packageVersion":"1.2.11"}]}"#,
];

/// Statements of people.
const VEX: &[&str] = &[
    r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"a","timestamp":"2020-01-01T00:00:00Z","version":1,"statements":[{"vulnerability":{"name":"CVE-2020-0001"},"products":[{"@id":"pkg:generic/zlib@1.2.11"}],"status":"not_affected","justification":"component_not_present"}]}"#,
    r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"bom-ref":"a","type":"library","name":"zlib","version":"1"}],"vulnerabilities":[{"id":"CVE-2020-0001","affects":[{"ref":"a"}],"analysis":{"state":"not_affected","justification":"code_not_present"}}]}"#,
    r#"{"document":{"csaf_version":"2.0"},"product_tree":{"full_product_names":[{"product_id":"P","name":"p"}]},"vulnerabilities":[{"cve":"CVE-2020-0001","product_status":{"known_not_affected":["P"]},"flags":[{"label":"component_not_present","product_ids":["P"]}]}]}"#,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every seed, cut and changed in every place, keeps what the targets promise.
    #[test]
    fn seeds_cut_and_changed() {
        for target in targets() {
            for seed in &target.seeds {
                (target.check)(seed);
                for at in (0..seed.len()).step_by(3) {
                    if let Some(cut) = seed.get(..at) {
                        (target.check)(cut);
                    }
                    let mut changed = seed.clone();
                    if let Some(byte) = changed.get_mut(at) {
                        *byte = byte.wrapping_add(1 + (at % 250) as u8);
                    }
                    (target.check)(&changed);
                }
            }
        }
    }
}
