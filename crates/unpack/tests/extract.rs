//! Extraction stays where it belongs and says what it did not make.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod toybox;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::LazyLock,
};

use proofmark_unpack::{
    ExtractError, Extracted, Glob, Input, Options, extract::extract_with, scan::Scanner,
};
use toybox::encode::{E, stored, toybox};

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(vec![&toybox::Toybox]));

fn extract(input: &Input, to: &Path, only: &[&str]) -> Result<Extracted, ExtractError> {
    let only: Vec<_> = only.iter().map(|p| Glob::new(p)).collect();
    extract_with(&SCANNER, input, &Options::default(), to, &only, &())
}

/// Every path below `root`, sorted; links with their targets, never followed.
fn list(root: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, out: &mut Vec<String>) {
        for e in fs::read_dir(at).unwrap() {
            let path = e.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let kind = path.symlink_metadata().unwrap();
            if kind.is_symlink() {
                out.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
            } else if kind.is_dir() {
                walk(root, &path, out);
            } else {
                out.push(name);
            }
        }
    }
    let mut out = Vec::new();
    walk(root, root, &mut out);
    out.sort();
    out
}

#[test]
fn hostile_names_stay_inside_and_doubles_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let nested = toybox(&[stored("inner.txt", "inside\n")]);
    let image = toybox(&[
        stored("../../escape", "1\n"),
        stored("/abs", "2\n"),
        stored("twice", "first\n"),
        stored("twice", "second\n"),
        stored("a", "a file\n"),
        stored("a/b", "and a folder of its name\n"),
        stored("NUL", "device\n"),
        stored("nested", nested.clone()),
        stored("nested copy", nested),
        ("big", E::Run(b'x', 1 << 20)),
    ]);
    let done = extract(&Input::bytes("img", image), &out, &[]).unwrap();
    assert_eq!(
        list(dir.path()),
        [
            "out/0x0.toybox/%4EUL",
            "out/0x0.toybox/.%2E/.%2E/escape",
            "out/0x0.toybox/a",
            "out/0x0.toybox/abs",
            "out/0x0.toybox/a~2/b",
            "out/0x0.toybox/big",
            "out/0x0.toybox/nested",
            "out/0x0.toybox/nested copy",
            "out/0x0.toybox/nested copy@0x0.toybox/inner.txt",
            "out/0x0.toybox/nested@0x0.toybox/inner.txt",
            "out/0x0.toybox/twice",
            "out/0x0.toybox/twice~2",
            "out/manifest.json",
        ]
    );
    assert_eq!(fs::read(out.join("0x0.toybox/twice~2")).unwrap(), b"second\n");
    assert_eq!(fs::read(out.join("0x0.toybox/nested@0x0.toybox/inner.txt")).unwrap(), b"inside\n");
    assert_eq!(done.files, 12);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let records = manifest["artifacts"].as_array().unwrap();
    assert!(records.iter().any(|r| r["locator"] == "img@0x0:toybox/../../escape"
        && r["path"] == "0x0.toybox/.%2E/.%2E/escape"
        && r["problems"][0]["kind"] == "unsafe-path"));
}

#[test]
fn links_devices_and_setuid() {
    let dir = tempfile::tempdir().unwrap();
    let (root, out) = (dir.path().join("rootfs"), dir.path().join("out"));
    fs::create_dir_all(root.join("d/e")).unwrap();
    fs::write(root.join("sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("sh"), PermissionsExt::from_mode(0o6755)).unwrap();
    fs::hard_link(root.join("sh"), root.join("zsh")).unwrap();
    for (name, target) in [
        ("fine", "sh"),
        ("absolute", "/d/e"),
        ("d/up", ".."),
        ("d/e/file", "../../sh"),
        ("dangling", "nowhere"),
        // Each of these leads out when followed, some only through another link.
        ("out1", "../../etc/passwd"),
        ("out2", "d/up/../x"),
        ("d/out3", "up/up/up"),
        ("out4", "d/../.."),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    let done = extract(&Input::open(&root).unwrap(), &out, &[]).unwrap();
    assert_eq!(
        list(&out),
        [
            "absolute -> d/e",
            "d/e/file -> ../../sh",
            "d/up -> ..",
            "dangling -> nowhere",
            "fine -> sh",
            "manifest.json",
            "sh",
            "zsh",
        ]
    );
    let sh = fs::metadata(out.join("sh")).unwrap();
    assert_eq!(sh.mode() & 0o7777, 0o755);
    assert_eq!(sh.ino(), fs::metadata(out.join("zsh")).unwrap().ino());
    let record = |name: &str| {
        let locator = format!("rootfs/{name}");
        done.manifest.artifacts.iter().find(|r| r.locator == locator).unwrap()
    };
    assert_eq!(record("sh").metadata.mode, Some(0o6755));
    for name in ["out1", "out2", "d/out3", "out4"] {
        assert!(record(name).path.is_none() && record(name).note.is_some(), "{name}");
    }
    assert_eq!(record("socket").note, Some("a special file, not made"));
}

#[test]
fn patterns_choose_and_copies_are_found_wherever_they_were_opened() {
    let dir = tempfile::tempdir().unwrap();
    let nested = toybox(&[stored("conf", "x=1\n")]);
    let image = toybox(&[stored("a.toy", nested.clone()), stored("z.toy", nested)]);
    for (pattern, expected) in [
        ("**/z.toy@0x0:toybox/conf", "0x0.toybox/z.toy@0x0.toybox/conf"),
        ("**/a.toy@0x0:toybox/conf", "0x0.toybox/a.toy@0x0.toybox/conf"),
        ("a.t?y", "0x0.toybox/a.toy"),
    ] {
        let out = dir.path().join(expected.replace('/', "_"));
        let done = extract(&Input::bytes("img", image.clone()), &out, &[pattern]).unwrap();
        assert_eq!(list(&out), [expected, "manifest.json"]);
        assert_eq!(done.manifest.artifacts.len(), 1);
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), "precious").unwrap();
    let input = Input::bytes("img", "just text\n");
    assert!(matches!(extract(&input, &out, &[]), Err(ExtractError::NotEmpty(_))));
    fs::remove_file(out.join("mine")).unwrap();
    extract(&input, &out, &[]).unwrap();
    assert_eq!(list(dir.path()), ["out/img", "out/manifest.json"]);
    // Where something cannot be written, nothing appears.
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(extract(&input, &file.join("below"), &[]).is_err());
    assert_eq!(list(dir.path()), ["file", "out/img", "out/manifest.json"]);
}
