//! Inspects a folder of this machine as if it were a root file system, and tells what each stage cost:
//! `cargo run --release -p proofmark-inspect --example folder -- FOLDER [--json]`.

#![allow(clippy::arithmetic_side_effects, reason = "counters of an example")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods
)]

use std::{
    collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Instant,
};

use proofmark_inspect::{Class, View, class, content, image};
use proofmark_model::{Artifact, ArtifactId, EntryKind, Locator, Metadata, Step};

fn artifact(locator: Locator, parent: Option<u32>, entry: EntryKind, format: &str) -> Artifact {
    Artifact {
        locator,
        parent: parent.map(ArtifactId),
        entry,
        format: format.to_owned(),
        size: 0,
        sha256: None,
        metadata: Metadata::default(),
        proof: None,
        regions: Vec::new(),
        rejected: Vec::new(),
        problems: Vec::new(),
        attributes: BTreeMap::new(),
    }
}

fn walk(folder: &Path, prefix: &str, out: &mut Vec<(String, std::path::PathBuf)>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        out.push((path.clone(), entry.path()));
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            walk(&entry.path(), &format!("{path}/"), out);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().expect("the folder to inspect");
    let mut paths = Vec::new();
    walk(Path::new(folder), "", &mut paths);
    let root = Locator::image("folder");
    let region = root.join(Step::region(0, "squashfs"));
    let mut artifacts = vec![
        artifact(root, None, EntryKind::Image, "data"),
        artifact(region.clone(), Some(0), EntryKind::Region, "squashfs"),
    ];
    let mut notes = vec![None, None];
    let (mut files, mut bytes, mut cost) = (0_u64, 0_u64, std::time::Duration::ZERO);
    let mut by_class: BTreeMap<Class, std::time::Duration> = BTreeMap::new();
    for (path, place) in paths {
        let Ok(metadata) = std::fs::symlink_metadata(&place) else { continue };
        let kind = if metadata.is_symlink() {
            EntryKind::Symlink {
                target: std::fs::read_link(&place).unwrap().to_string_lossy().into(),
            }
        } else if metadata.is_dir() {
            EntryKind::Directory
        } else if metadata.is_file() {
            EntryKind::File
        } else {
            continue;
        };
        let mut a =
            artifact(region.join(Step::entry(path.as_str())), Some(1), kind.clone(), "data");
        a.metadata.mode = Some(metadata.permissions().mode() & 0o7777);
        a.size = metadata.len();
        let mut note = None;
        if kind == EntryKind::File
            && let Ok(data) = std::fs::read(&place)
        {
            let class = class(&path, "data");
            let start = Instant::now();
            note = Some(Arc::new(content(class, &data)));
            let spent = start.elapsed();
            cost += spent;
            *by_class.entry(class).or_default() += spent;
            files += 1;
            bytes += data.len() as u64;
        }
        artifacts.push(a);
        notes.push(note);
    }
    let start = Instant::now();
    let facts = image(&View::new(&artifacts, &notes));
    let second = start.elapsed();
    println!(
        "{files} files, {bytes} bytes: first stage {cost:?}, second stage {second:?}, {} facts",
        facts.len()
    );
    println!("first stage by class: {by_class:?}");
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    facts.iter().for_each(|o| *kinds.entry(o.fact.kind()).or_default() += 1);
    println!("{kinds:?}");
    if arguments.iter().any(|a| a == "--json") {
        facts.iter().for_each(|o| println!("{}", serde_json::to_string(o).unwrap()));
    }
}
