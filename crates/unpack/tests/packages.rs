//! Packages of embedded distributions, put together the way their own build tools do, down to the files.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::{collections::BTreeMap, fs, process::Command};

use proofmark_model::{Digest, EntryKind};
use proofmark_unpack::{Input, Options, invariants, unpack};

/// Runs `script` in a new folder with a small tree in `data`; the files found in what it wrote to `out`, as path to
/// digest and mode, and the problems met.
fn files(script: &str) -> (BTreeMap<String, (Digest, u32)>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let ran = Command::new("sh")
        .args(["-ec", &format!("{TREE}{script}")])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let image = fs::read(dir.path().join("out")).unwrap();
    let outcome = unpack(Input::bytes("package", image), &Options::default(), &());
    assert_eq!(invariants::broken(&outcome), Vec::<String>::new());
    let files = outcome.artifacts.iter().filter(|a| a.entry == EntryKind::File).filter_map(|a| {
        Some((a.locator.path(), (a.sha256?, a.metadata.mode.unwrap_or(0) & 0o7777)))
    });
    let problems =
        outcome.artifacts.iter().flat_map(|a| a.problems.iter().map(|p| format!("{p:?}")));
    (files.collect(), problems.collect())
}

const TREE: &str = "mkdir -p data/etc/init.d data/usr/sbin control; echo setting > data/etc/sample.conf; \
    head -c 70000 /dev/zero > data/usr/sbin/sampled; chmod 4755 data/usr/sbin/sampled; \
    printf '#!/bin/sh /etc/rc.common\\nSTART=90\\n' > data/etc/init.d/sampled; chmod 755 data/etc/init.d/sampled; \
    printf 'Package: sample\\nVersion: 1.0-r1\\nArchitecture: mips_24kc\\n' > control/control; \
    t() { tar --format=gnu --numeric-owner --owner=0 --group=0 --sort=name \"$@\"; }; ";

/// The three files of the package, wherever they are in the result.
fn expect(script: &str) {
    let (found, problems) = files(script);
    assert_eq!(problems, Vec::<String>::new());
    let ending = |name: &str| -> Vec<_> {
        found.iter().filter(|(p, _)| p.ends_with(name)).map(|(_, v)| *v).collect()
    };
    let zeros = Digest::of(&[0; 70000]);
    assert_eq!(ending("usr/sbin/sampled"), [(zeros, 0o4755)]);
    assert_eq!(ending("etc/sample.conf"), [(Digest::of(b"setting\n"), 0o644)]);
    let script = b"#!/bin/sh /etc/rc.common\nSTART=90\n";
    assert_eq!(ending("etc/init.d/sampled"), [(Digest::of(script), 0o755)]);
}

/// OpenWrt: a compressed tar of three members.
#[test]
fn ipk_as_tar() {
    expect(
        "(cd data && t -czf ../data.tar.gz .); (cd control && t -czf ../control.tar.gz .); \
         echo 2.0 > debian-binary; t -czf out ./debian-binary ./data.tar.gz ./control.tar.gz",
    );
}

/// opkg-utils: the same members in an `ar` archive, the data compressed in other ways.
#[test]
fn ipk_as_ar() {
    for (flag, suffix) in [("z", "gz"), ("J", "xz"), ("j", "bz2"), ("", "")] {
        let data = if suffix.is_empty() { "data.tar".into() } else { format!("data.tar.{suffix}") };
        expect(&format!(
            "(cd data && t -c{flag}f ../{data} .); (cd control && t -czf ../control.tar.gz .); \
             echo 2.0 > debian-binary; ar rc out debian-binary control.tar.gz {data}"
        ));
    }
}

/// Alpine: three gzip members, signature, control and data, each a tar; the first two without end marks, so that the
/// sum is one tar.
#[test]
fn apk() {
    expect(
        "head -c 256 /dev/urandom > .SIGN.RSA.key.rsa.pub; cp control/control .PKGINFO; \
         t -cf sign.tar .SIGN.RSA.key.rsa.pub; t -cf info.tar .PKGINFO; \
         (head -c 1024 sign.tar | gzip -n; head -c 1024 info.tar | gzip -n; \
          cd data && t -c etc usr | gzip -n) > out",
    );
}

/// Cut off behind the control member: what is there is found, what is missing is said.
#[test]
fn a_cut_apk_says_so() {
    let (found, problems) = files(
        "cp control/control .PKGINFO; t -cf info.tar .PKGINFO; \
         (head -c 1024 info.tar | gzip -n; cd data && t -c etc usr | gzip -n) > whole; \
         head -c $(( $(stat -c %s whole) - 60 )) whole > out",
    );
    assert!(found.keys().any(|p| p.ends_with(".PKGINFO")), "{found:?}");
    assert_ne!(problems, Vec::<String>::new());
}
