//! Makes the starter database: `starter DATA OUT`, where DATA is the folder of published data that its README describes.
//!
//! Facts about the components in `embedded-components.jsonl` only. In lists of alternatives of a CPE configuration the
//! names of other products are left out: they never decide about a component here. `cargo xtask starter` calls this.
#![allow(clippy::print_stdout)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use proofmark_advisories::{
    Key, Record,
    corrections::Corrections,
    date,
    feed::{Item, Parsed, open},
    record::{Node, Subject},
    starter,
};

/// Files that are read as a whole.
const WHOLE: &[&str] = &[
    "nvd20-embedded-components.json.gz",
    "nvd20-linux-kernel.json.gz",
    "nvd20-native-samples.json",
    "nvd-overrides-anchore.jsonl.gz",
    "cve5-embedded-components.jsonl.gz",
    "cve5-linux-kernel.jsonl.gz",
    "openssl-cve5.jsonl.gz",
    "curl-osv.jsonl.gz",
    "mbedtls-advisories.jsonl.gz",
    "linux-kernel-cves.jsonl.gz",
];

/// Files of which the components' packages are taken.
const PACKAGES: &[&str] = &[
    "alpine-secdb.jsonl.gz",
    "debian-dsa-list.txt.gz",
    "debian-dla-list.txt.gz",
    "build-system-cve-status.jsonl.gz",
];

/// Source packages of distributions that hold several of the components.
const SHARED: &[&str] = &["wpa"];

type Failure = Box<dyn std::error::Error>;

/// What a component is called.
#[derive(Default)]
struct Names {
    products: BTreeSet<Key>,
    packages: BTreeSet<String>,
}

fn names(path: &Path) -> Result<Names, Failure> {
    let mut names = Names::default();
    for line in fs::read_to_string(path)?.lines() {
        let c: serde_json::Value = serde_json::from_str(line)?;
        for cpe in c["cpe"].as_array().into_iter().flatten() {
            if let (Some(vendor), Some(product)) = (cpe["vendor"].as_str(), cpe["product"].as_str())
            {
                names.products.insert(Key::Cpe(vendor.to_lowercase(), product.to_lowercase()));
            }
        }
        let aliases = c["aliases"].as_array().into_iter().flatten();
        let all = [&c["name"], &c["purl"]["name"]].into_iter().chain(aliases);
        names.packages.extend(all.filter_map(|n| Some(n.as_str()?.to_lowercase())));
    }
    names.packages.extend(SHARED.iter().map(|n| (*n).to_owned()));
    // Distributions have some of them under a name of their own, such as apache2, bind9, wpa.
    for product in Corrections::embedded()?.products() {
        let known = product
            .pairs
            .iter()
            .any(|(v, p)| names.products.contains(&Key::Cpe(v.clone(), p.clone())));
        if known {
            names.packages.extend(product.names.iter().cloned());
        }
    }
    Ok(names)
}

/// Leaves out alternatives that speak of other products; false where nothing is left.
fn prune(node: &mut Node, products: &BTreeSet<Key>) -> bool {
    if !node.all && !node.negate {
        node.matches
            .retain(|m| !m.vulnerable || Key::cpe(&m.cpe).is_some_and(|k| products.contains(&k)));
        node.nodes.retain_mut(|n| prune(n, products));
        return !(node.matches.is_empty() && node.nodes.is_empty());
    }
    // All parts of an AND must stay; one without a component's name can not become true for it.
    node.negate || node.nodes.iter_mut().all(|n| prune(n, products))
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args_os().skip(1);
    let (Some(data), Some(out)) = (args.next(), args.next()) else {
        return Err("starter DATA OUT".into());
    };
    let data = Path::new(&data);
    let names = names(&data.join("embedded-components.jsonl"))?;
    let (mut records, mut kev, mut epss) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut dates = [None, None];
    let mut bad = None;
    let mut take = |parsed: Parsed, packages_only: bool| {
        let made = parsed.set.made.and_then(|ms| i32::try_from(ms.div_euclid(86_400_000)).ok());
        for item in parsed.items {
            match item {
                Item::Kev(cve, day) => {
                    kev.insert(cve, day);
                    dates[0] = dates[0].max(made);
                }
                Item::Epss(cve, ppm) => {
                    epss.insert(cve, ppm);
                    dates[1] = dates[1].max(made);
                }
                Item::Record(mut r, _) => {
                    if packages_only {
                        r.statements.retain(|s| match &s.subject {
                            Subject::Package { name, .. } => {
                                names.packages.contains(&name.to_lowercase())
                            }
                            _ => true,
                        });
                        if r.statements.is_empty() {
                            continue;
                        }
                    }
                    r.configurations.retain_mut(|n| prune(n, &names.products));
                    let r: Record = *r;
                    records.insert((r.feed.clone(), r.id.clone()), r);
                }
            }
        }
    };
    let files = WHOLE.iter().map(|f| (f, false)).chain(PACKAGES.iter().map(|f| (f, true)));
    for (file, packages_only) in
        files.chain([(&"kev-2026-07.csv.gz", false), (&"epss-2026-08-16.csv.gz", false)])
    {
        open::each(&data.join(file), &open::Budget::default(), &mut |result| match result {
            Ok(parsed) => take(parsed, packages_only),
            Err(problem) => drop(bad.get_or_insert(problem)),
        });
    }
    if let Some(problem) = bad {
        return Err(problem.to_string().into());
    }
    let bytes = starter::write(records.into_values().collect(), &kev, &epss, dates)?;
    println!("{} bytes, newest {}", bytes.len(), dates[1].map(date::text).unwrap_or_default());
    fs::write(Path::new(&out), bytes)?;
    Ok(())
}
