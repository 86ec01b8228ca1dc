//! What a container does not see is no part of the system that is judged. Needs `tar`.

#![allow(missing_docs)]

use std::{path::Path, process::Command};

use proofmark_assess::{Options, assay};
use proofmark_model::{Fact, Observation};
use proofmark_unpack::Input;

/// An upper layer replaces the account file, and removes a program that is recognised.
const SCRIPT: &str = r#"
set -e
mkdir -p low/etc low/bin up/etc up/bin image
echo 'old:x:1000:1000::/:/bin/sh' >low/etc/passwd
cp "$(command -v tar)" low/bin/tar
echo sh >low/bin/sh
echo 'new:x:1001:1001::/:/bin/sh' >up/etc/passwd
: >up/bin/.wh.tar
tar -cf image/one.tar -C low .
tar -cf image/two.tar -C up .
echo '{"os":"linux","architecture":"amd64"}' >image/config.json
echo '[{"Config":"config.json","RepoTags":["t:1"],"Layers":["one.tar","two.tar"]}]' >image/manifest.json
tar -cf image.tar -C image .
tar -cf low.tar -C low .
"#;

fn observed(image: &Path) -> Vec<Observation> {
    let options = Options {
        unpack: Default::default(),
        cache: None,
        yardsticks: Vec::new(),
        as_of: Some(0),
        advisories: None,
        claimed: Vec::new(),
        decisions: Vec::new(),
    };
    let input = Input::open(image).expect("the image was just made");
    assay(input, &options, &|_| {}).observations
}

fn users(all: &[Observation]) -> Vec<&str> {
    all.iter()
        .filter_map(|o| match &o.fact {
            Fact::Account(a) => Some(a.user.as_str()),
            _ => None,
        })
        .collect()
}

fn components(all: &[Observation]) -> usize {
    all.iter().filter(|o| matches!(&o.fact, Fact::Component(_))).count()
}

fn roots(all: &[Observation]) -> Vec<&str> {
    all.iter()
        .filter_map(|o| match &o.fact {
            Fact::Trait(t) if t.name == "root-file-system" => Some(t.value.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn the_merged_root_is_judged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = Command::new("sh").args(["-c", SCRIPT]).current_dir(folder.path()).status();
    assert!(made.is_ok_and(|s| s.success()), "needs sh and tar");
    // The lower layer alone is what the upper one hides.
    let low = observed(&folder.path().join("low.tar"));
    assert_eq!(users(&low), ["old"]);
    assert!(components(&low) > 0);
    let image = observed(&folder.path().join("image.tar"));
    assert_eq!((users(&image), components(&image)), (vec!["new"], 0));
    assert_eq!(roots(&image), ["image.tar@0x0:tar/config.json"]);
}
