//! What is remembered of one release spares work in the next and changes nothing in its result.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
    process::Command,
    sync::Mutex,
};

use proofmark_model::Digest;
use proofmark_unpack::{
    Input, Options, Outcome,
    options::{ContentInfo, Limits, Observer},
    unpack,
};

/// Remembers everything, and which files it was shown.
#[derive(Default)]
struct Memory {
    learned: Mutex<HashMap<Digest, Vec<u8>>>,
    shown: Mutex<BTreeSet<String>>,
}

impl Observer for Memory {
    fn content(&self, info: &ContentInfo<'_>, _: &bytes::Bytes) {
        self.shown.lock().unwrap().insert(info.locator.path());
    }

    fn knows(&self, _: &ContentInfo<'_>) -> bool {
        true
    }

    fn remembers(&self) -> bool {
        true
    }

    fn recall(&self, key: &Digest) -> Option<Vec<u8>> {
        self.learned.lock().unwrap().get(key).cloned()
    }

    fn learn(&self, key: Digest, value: Vec<u8>) {
        self.learned.lock().unwrap().insert(key, value);
    }
}

/// A squashfs of `tree` made by the real tool.
fn squashfs(tree: &Path, image: &Path) {
    let made = Command::new("mksquashfs")
        .args([tree, image])
        .args("-comp xz -noappend -quiet -no-progress -all-root -mkfs-time 0".split(' '))
        .status()
        .expect("mksquashfs is missing: install the package squashfs-tools");
    assert!(made.success());
}

fn read(image: &Path, limits: Limits, observer: &dyn Observer) -> Outcome {
    let options = Options { jobs: 2, limits, ..Options::default() };
    unpack(Input::open(image).unwrap(), &options, observer)
}

#[test]
fn the_next_release_costs_what_changed_and_reads_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("etc")).unwrap();
    // One file with blocks and a tail, two that share the fragment, one that holds an archive.
    let noise: Vec<u8> =
        (0u32..90_000).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    fs::write(tree.join("big"), &noise).unwrap();
    fs::write(tree.join("etc/one"), "one\n").unwrap();
    fs::write(tree.join("etc/two"), "two\n").unwrap();
    fs::write(
        tree.join("program"),
        fs::read(std::env::current_exe().unwrap()).unwrap().get(..4096).unwrap(),
    )
    .unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    squashfs(&tree, &first);
    fs::write(tree.join("etc/two"), "two, changed\n").unwrap();
    squashfs(&tree, &second);

    let memory = Memory::default();
    let cold = read(&first, Limits::default(), &memory);
    assert_eq!(cold, read(&first, Limits::default(), &()));
    assert!(memory.shown.lock().unwrap().iter().any(|p| p.ends_with("big")));
    memory.shown.lock().unwrap().clear();
    let warm = read(&second, Limits::default(), &memory);
    assert_eq!(warm, read(&second, Limits::default(), &()), "the same as without memory");
    let shown = memory.shown.lock().unwrap().clone();
    assert!(shown.iter().any(|p| p.ends_with("etc/two")), "what changed is read: {shown:?}");
    assert!(!shown.iter().any(|p| p.ends_with("big")), "what did not is not: {shown:?}");

    // Other bounds are another question.
    let tight = Limits { content: 100_000, ..Limits::default() };
    assert_eq!(read(&first, tight.clone(), &memory), read(&first, tight, &()));
}
