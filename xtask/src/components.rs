//! Work on component rules without building them in: check fixtures, scan files, and propose rules from what a
//! distribution's binaries say.

use std::{fs, path::Path, time::Instant};

use proofmark_components::{Catalogue, elf::Elf, fixtures, rule};

use crate::{Outcome, debian, root};

/// `components check | scan FILE... | propose PACKAGE[:ARCH]...`.
pub fn run(arguments: &[String]) -> Outcome {
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("check") => check(),
        Some("scan") => scan(rest),
        Some("propose") => propose(rest),
        _ => Err("say what to do: check, scan FILE..., propose PACKAGE[:ARCH]...".into()),
    }
}

/// The catalogue as it lies in the folder now, with its fixtures.
pub fn load() -> Result<Catalogue, String> {
    let mut products = Vec::new();
    let mut bad = Vec::new();
    let folder = root().join("catalogue/components");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "toml"))
        .collect();
    files.sort();
    for path in files {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        match toml::from_str::<rule::File>(&text) {
            Ok(file) => products.extend(file.product),
            Err(e) => bad.push(format!("{}: {e}", path.display())),
        }
    }
    bad.extend(products.iter().filter_map(|p| p.check().err()));
    let mut names: Vec<_> = products.iter().map(|p| p.name.clone()).collect();
    names.sort();
    bad.extend(names.windows(2).filter(|w| w[0] == w[1]).map(|w| format!("{} occurs twice", w[0])));
    if bad.is_empty() { Ok(Catalogue::new(products)) } else { Err(bad.join("\n")) }
}

/// All rules load and all fixtures hold; then how long it takes to be ready.
fn check() -> Outcome {
    let catalogue = load()?;
    let bad: Vec<_> =
        catalogue.products().iter().flat_map(|p| fixtures::failures(&catalogue, p)).collect();
    if !bad.is_empty() {
        return Err(format!("{} do not hold:\n{}", bad.len(), bad.join("\n")));
    }
    let products = catalogue.products().to_vec();
    let evidence: usize = products.iter().map(|p| p.evidence.len()).sum();
    let begin = Instant::now();
    let again = Catalogue::new(products);
    println!(
        "{} products, {evidence} pieces of evidence, ready in {} ms",
        again.products().len(),
        begin.elapsed().as_millis()
    );
    Ok(())
}

/// Prints what is found in each file.
fn scan(files: &[String]) -> Outcome {
    let catalogue = load()?;
    for path in files {
        let bytes = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
        let begin = Instant::now();
        let hits = catalogue.content(Some(path), &bytes);
        println!("{path}: {} bytes, {} us", bytes.len(), begin.elapsed().as_micros());
        for h in hits {
            let version = match &h.version {
                Some(version) => version.clone(),
                None if h.span.is_open() => "-".into(),
                None => h.span.to_string(),
            };
            let features =
                if h.features.is_empty() { String::new() } else { format!(" {:?}", h.features) };
            println!(
                "  {:20} {:24} {version:20} {:?}{features}",
                h.relation.as_str(),
                h.product,
                h.by
            );
        }
    }
    Ok(())
}

/// For each package: where upstream's version stands in its ELF files, and in what text.
fn propose(packages: &[String]) -> Outcome {
    let apt = debian::Apt::new("bookworm")?;
    let catalogue = load()?;
    for package in packages {
        let (name, architecture) = package.split_once(':').unwrap_or((package, "amd64"));
        match apt
            .package(name, architecture, false)
            .and_then(|deb| Ok((debian::unpack(&deb)?, deb)))
        {
            Ok((folder, deb)) => {
                let version = debian::upstream_version(&deb);
                println!("## {name} {version} ({architecture})");
                debian::programs(&folder)
                    .iter()
                    .for_each(|p| describe(&catalogue, &folder, p, &version));
            }
            Err(e) => println!("## {name}: {e}"),
        }
    }
    Ok(())
}

/// Most strings shown for one file.
const SHOWN: usize = 14;

fn describe(catalogue: &Catalogue, folder: &Path, path: &Path, version: &str) {
    let Ok(bytes) = fs::read(path) else { return };
    let short = path.strip_prefix(folder).unwrap_or(path).display();
    let Some(elf) = Elf::parse(&bytes) else { return };
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let soname = elf.soname().map(|(_, s)| text(s)).unwrap_or_default();
    println!("{short} {soname}");
    for hit in catalogue.content(Some(&path.to_string_lossy()), &bytes) {
        if hit.relation < rule::Relation::DynamicallyNeeds {
            println!("    known: {} {} {:?}", hit.relation.as_str(), hit.product, hit.version);
        }
    }
    let strings: Vec<(usize, &[u8])> = elf
        .data()
        .into_iter()
        .flat_map(|r| {
            let mut at = r.start;
            bytes[r]
                .split(|b| !matches!(b, b'\t' | b'\n' | 0x20..=0x7e | 0x80..))
                .filter_map(move |s| {
                    let here = at;
                    at += s.len() + 1;
                    (s.len() >= 2).then_some((here, s))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let dotted = |s: &[u8]| {
        let digits = s.iter().filter(|b| b.is_ascii_digit()).count();
        digits >= 2
            && s.len() <= 16
            && s[0].is_ascii_digit()
            && s.contains(&b'.')
            && s.iter().all(|b| b.is_ascii_alphanumeric() || b".-+~".contains(b))
    };
    let alone: Vec<String> =
        strings.iter().filter(|(_, s)| dotted(s)).map(|(_, s)| text(s)).collect();
    println!("    alone ({}): {:?}", alone.len(), &alone[..alone.len().min(8)]);
    let mut shown = 0;
    for (n, (at, s)) in strings.iter().enumerate() {
        let s_text = text(s);
        let version_word = s_text.to_ascii_lowercase().contains("version") && s_text.contains("%s");
        if !s_text.contains(version) && !version_word {
            continue;
        }
        let clip = |s: &[u8]| text(s).chars().take(160).collect::<String>();
        let near = |k: Option<usize>| {
            k.and_then(|k| strings.get(k)).map(|(_, s)| clip(s)).unwrap_or_default()
        };
        println!("    {at:#x} {:?}", clip(s));
        if *s == version.as_bytes() {
            println!("        before {:?} {:?}", near(n.checked_sub(2)), near(n.checked_sub(1)));
            println!("        after  {:?} {:?}", near(Some(n + 1)), near(Some(n + 2)));
        }
        shown += 1;
        if shown >= SHOWN {
            break;
        }
    }
}
