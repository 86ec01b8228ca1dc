//! Files that are split over several, as the tools split them, in a folder and in an archive.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{path::Path, process::Command};

use common::tree::noise;
use proofmark_model::{Digest, ProblemKind};
use proofmark_unpack::{Input, Options, Outcome, invariants, locate::locate, unpack};

fn sh(folder: &Path, command: &str) {
    let out = Command::new("sh").args(["-c", command]).current_dir(folder).output().unwrap();
    assert!(
        out.status.success(),
        "{command}: {}{}; needs 7z (p7zip-full), zip, split (coreutils), tar",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

fn read(path: &Path) -> Outcome {
    let found = unpack(Input::open(path).unwrap(), &Options::default(), &());
    assert_eq!(invariants::broken(&found), Vec::<String>::new());
    found
}

fn has(found: &Outcome, place: &str, content: &[u8]) -> bool {
    let digest = Digest::of(content);
    found
        .artifacts
        .iter()
        .any(|a| a.locator.to_string().ends_with(place) && a.sha256 == Some(digest))
}

/// Each way of splitting, the whole, and where a file of it is found.
const WAYS: &[(&str, &str)] = &[
    ("7z a -bd -v40k fw.7z t", "fw.7z.001-003@0x0:7z/t/noise"),
    ("7z a -bd -v40k -tzip fw.zip t", "fw.zip.001-003@0x0:zip/t/noise"),
    ("tar -czf - t | split -b 40k - fw.tar.gz.", "fw.tar.gz.aa-ac@0x0:gzip/data@0x0:tar/t/noise"),
    ("tar -cf - t | split -b 60k -d -a 3 - fw.img.", "fw.img.000-002@0x0:tar/t/noise"),
    ("zip -q -r -s 64k fw.zip t", "fw.z01-zip@0x4:zip/t/noise"),
];

fn make(folder: &Path) -> [Vec<u8>; 2] {
    let files = [noise(3, 90_000), vec![b'A'; 90_000]];
    std::fs::create_dir(folder.join("t")).unwrap();
    std::fs::write(folder.join("t/noise"), &files[0]).unwrap();
    std::fs::write(folder.join("t/same"), &files[1]).unwrap();
    files
}

#[test]
fn split_files_are_read_as_one() {
    for (command, place) in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let [noise, same] = make(folder.path());
        let quiet = format!("set -e; ({command}) >/dev/null; rm -r t; cd ..");
        sh(folder.path(), &quiet);
        // In a folder, and in an archive of that folder.
        sh(folder.path(), "mkdir out && tar -cf out/outer.tar fw.*");
        let (inner, outer) = (read(folder.path()), read(&folder.path().join("out/outer.tar")));
        for found in [&inner, &outer] {
            assert!(has(found, place, &noise), "{command}");
            assert!(has(found, &place.replace("noise", "same"), &same), "{command}");
            assert!(found.artifacts.iter().any(|a| a.format == "piece"), "{command}");
            let problems: Vec<_> = found.artifacts.iter().flat_map(|a| &a.problems).collect();
            assert!(problems.is_empty(), "{command}: {problems:?}");
        }
        // What was found can be named and shown.
        let image = Input::open(&folder.path().join("out/outer.tar")).unwrap();
        let name = format!("outer.tar@0x0:tar/{place}");
        let shown = locate(&image, &name.parse().unwrap(), &Options::default()).unwrap();
        assert!(shown.bytes == noise, "{command}");
        let piece = outer.artifacts.iter().find(|a| a.format == "piece").unwrap();
        let shown = locate(&image, &piece.locator, &Options::default()).unwrap();
        assert_eq!((shown.sha256, &shown.format[..]), (piece.sha256, "piece"));
    }
}

#[test]
fn the_piece_that_is_missing_is_named() {
    for (command, gone) in [
        (WAYS[0].0, "fw.7z.002"),
        (WAYS[0].0, "fw.7z.001"),
        (WAYS[2].0, "fw.tar.gz.ab"),
        (WAYS[4].0, "fw.zip"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        sh(folder.path(), &format!("set -e; ({command}) >/dev/null; rm -r t {gone}"));
        let found = read(folder.path());
        let told = |p: &proofmark_model::Problem| {
            p.kind == ProblemKind::Incomplete && p.message.ends_with(&format!(" {gone}"))
        };
        assert!(found.artifacts.iter().any(|a| a.problems.iter().any(told)), "{command} {gone}");
    }
}
