//! Container images: which entries of which layer a container sees. Images are made by `umoci` and `skopeo`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, path::Path, process::Command};

use proofmark_model::{Artifact, EntryKind, ProblemKind, Step};
use proofmark_unpack::{Input, Options, Outcome, unpack};

/// Two images: one of a single layer, and one above it that changes, adds, removes, and makes a folder opaque.
const SCRIPT: &str = r#"
set -e
umoci init --layout oci >log 2>&1
umoci new --image oci:base >>log 2>&1
mkdir -p base/etc base/bin base/old/deep base/dir
echo one >base/etc/kept; echo first >base/etc/changed; echo gone >base/etc/removed
echo x >base/old/deep/file; echo y >base/dir/below; echo program >base/bin/sh
umoci insert --image oci:base --rootless base / >>log 2>&1
umoci tag --image oci:base other >>log 2>&1
mkdir -p up/etc; echo second >up/etc/changed
umoci insert --image oci:base --rootless up / >>log 2>&1
umoci insert --image oci:base --rootless --whiteout /etc/removed >>log 2>&1
umoci insert --image oci:base --rootless --whiteout /old >>log 2>&1
mkdir opaque; echo only >opaque/new
umoci insert --image oci:base --rootless --opaque opaque /dir >>log 2>&1
tar -cf oci.tar -C oci .
skopeo copy --quiet oci:oci:base docker-archive:docker.tar:demo:1 >>log 2>&1
skopeo copy --quiet --dest-compress --dest-compress-format zstd oci:oci:base oci-archive:zstd.tar:demo >>log 2>&1
"#;

fn made(folder: &Path) {
    let out = Command::new("sh").args(["-c", SCRIPT]).current_dir(folder).output().unwrap();
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    assert!(
        out.status.success(),
        "{}{log}; this test needs umoci and skopeo (packages of these names)",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn read(path: &Path) -> Outcome {
    unpack(Input::open(path).unwrap(), &Options::default(), &())
}

fn path_of(a: &Artifact) -> Option<String> {
    match a.locator.steps.last()? {
        Step::Entry { path, .. } => Some(String::from_utf8(path.clone()).unwrap()),
        Step::Region { .. } => None,
    }
}

/// Paths that the container of the manifest sees, with the sizes of files.
fn seen(artifacts: &[Artifact], manifest: &Artifact) -> BTreeMap<String, u64> {
    let name = manifest.locator.to_string();
    let mut all = BTreeMap::new();
    for layer in manifest.attributes["layers"].split('\n') {
        let at = artifacts.iter().position(|a| a.locator.to_string() == layer).unwrap();
        for a in artifacts.iter().filter(|a| a.parent.is_some_and(|p| p.0 as usize == at)) {
            let hidden = a.attributes.get("superseded-in").map_or("", String::as_str);
            let gone = a.is_superseded() || hidden.split('\n').any(|m| m == name);
            if gone || matches!(a.entry, EntryKind::Whiteout | EntryKind::Directory) {
                continue;
            }
            let path = path_of(a).unwrap();
            assert!(all.insert(path.clone(), a.size).is_none(), "{path} is seen twice");
        }
    }
    all
}

fn manifests(artifacts: &[Artifact]) -> Vec<&Artifact> {
    artifacts.iter().filter(|a| a.attributes.contains_key("layers")).collect()
}

#[test]
fn layers_are_one_root() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path());
    let after: BTreeMap<String, u64> =
        [("bin/sh", 8), ("dir/new", 5), ("etc/changed", 7), ("etc/kept", 4)]
            .map(|(p, n)| (p.to_owned(), n))
            .into();
    let before: BTreeMap<String, u64> = [
        ("bin/sh", 8),
        ("dir/below", 2),
        ("etc/changed", 6),
        ("etc/kept", 4),
        ("etc/removed", 5),
        ("old/deep/file", 2),
    ]
    .map(|(p, n)| (p.to_owned(), n))
    .into();
    for (name, images) in [
        ("oci.tar", vec![&after, &before]),
        ("oci", vec![&after, &before]),
        ("docker.tar", vec![&after]),
        ("zstd.tar", vec![&after]),
    ] {
        let found = read(&folder.path().join(name));
        let manifests = manifests(&found.artifacts);
        assert_eq!(manifests.len(), images.len(), "{name}");
        let mut roots: Vec<_> = manifests.iter().map(|m| seen(&found.artifacts, m)).collect();
        roots.sort_by_key(|r| r.len());
        let mut wanted: Vec<_> = images.iter().map(|w| (*w).clone()).collect();
        wanted.sort_by_key(|r| r.len());
        assert_eq!(roots, wanted, "{name}");
        // `umoci` leaves the end mark of a layer out.
        let mut problems = found.artifacts.iter().flat_map(|a| &a.problems);
        assert!(problems.all(|p| p.kind == ProblemKind::Truncated), "{name}");
        // What is hidden in the one image and seen in the other is no less there.
        let by = found.artifacts.iter().filter(|a| a.is_superseded()).count();
        assert_eq!(by > 0, images.len() == 1, "{name}: {by}");
    }
}

#[test]
fn a_layer_that_is_not_there_or_another_is_told() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path());
    let image = read(&folder.path().join("zstd.tar"));
    let manifest = manifests(&image.artifacts)[0];
    let blob = manifest.attributes["layers"].split("@0x0:zstd").next().unwrap().to_owned();
    let path = blob.split_once(":tar/").unwrap().1.to_owned();
    let change = format!(
        "mkdir out && tar -xf zstd.tar -C out && printf 'no archive' >out/{path} && tar -cf wrong.tar -C out . && \
         rm out/{path} && tar -cf missing.tar -C out ."
    );
    let out = Command::new("sh").args(["-c", &change]).current_dir(folder.path()).status();
    assert!(out.unwrap().success());
    let missing = read(&folder.path().join("missing.tar"));
    let told = |found: &Outcome, kind, what: &str| {
        found
            .artifacts
            .iter()
            .flat_map(|a| &a.problems)
            .any(|p| p.kind == kind && p.message.contains(what))
    };
    assert!(told(&missing, ProblemKind::Incomplete, &path));
    let wrong = read(&folder.path().join("wrong.tar"));
    assert!(told(&wrong, ProblemKind::Checksum, "SHA-256"));
    assert!(told(&wrong, ProblemKind::Incomplete, "could not be read as an archive"));
}
