//! Cases that other carvers were reported to get wrong, built with the real tools.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::{fs, path::Path, process::Command};

use proofmark_model::{Artifact, RegionClass};
use proofmark_unpack::{Input, Options, invariants, unpack};

/// Runs `command` in a new folder; what it wrote to `out`.
fn make(packages: &str, command: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), "a line, and one more like it\n".repeat(2000)).unwrap();
    let noise: Vec<u8> = (0..1_u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) ^ (i >> 5)).to_be_bytes()[0])
        .collect();
    fs::write(dir.path().join("noise"), noise).unwrap();
    run(dir.path(), packages, command);
    fs::read(dir.path().join("out")).unwrap()
}

fn run(dir: &Path, packages: &str, command: &str) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let ran = Command::new("sh")
        .args(["-ec", command])
        .env("PATH", path)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "`{command}` failed; needs the Debian packages {packages}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

fn image(data: Vec<u8>) -> Artifact {
    let outcome = unpack(Input::bytes("img", data), &Options::default(), &());
    assert_eq!(invariants::broken(&outcome), Vec::<String>::new());
    outcome.artifacts[0].clone()
}

/// Format, offset and length of what was understood.
fn understood(a: &Artifact) -> Vec<(String, u64, u64)> {
    a.regions
        .iter()
        .filter_map(|r| match &r.class {
            RegionClass::Understood { format, .. } => Some((format.clone(), r.offset, r.length)),
            _ => None,
        })
        .collect()
}

/// A tar header in the unused boot block of an ext4 image, claiming the first MiB of it.
#[test]
fn an_archive_header_planted_in_a_file_system_hides_nothing() {
    let mut fs =
        make("e2fsprogs", "mkdir d; cp text d; truncate -s 4M out; mke2fs -q -t ext4 -d d out");
    let tar = make("tar", "tar --format=ustar -cf out noise");
    fs[..512].copy_from_slice(&tar[..512]);
    let len = fs.len() as u64;
    assert_eq!(understood(&image(fs.clone())), [("ext".to_owned(), 0, len)]);
    // The same where the file system is not the whole image, so that everything is searched.
    let at = 8192;
    let data = [vec![0xff; at as usize], fs, vec![0xff; 4096]].concat();
    let found = image(data);
    assert_eq!(understood(&found), [("ext".to_owned(), at, len)]);
}

/// An archive stored in an archive does not end the outer one, nor is it carved out of it.
#[test]
fn a_zip_in_a_zip_is_one_region() {
    let zip =
        make("zip", "zip -q -0 in.zip text noise; zip -q -0 out.zip in.zip text; mv out.zip out");
    let len = zip.len() as u64;
    let data = [vec![0xff; 512], zip, vec![0; 512]].concat();
    assert_eq!(understood(&image(data)), [("zip".to_owned(), 512, len)]);
}

/// A raw LZMA stream ends where it ends, not in the file system behind it.
#[test]
fn an_lzma_stream_before_a_file_system() {
    let lzma = make("xz-utils", "xz --format=lzma -c text >out");
    let fs = make("squashfs-tools", "mksquashfs noise text out -quiet -no-progress -nopad");
    let (first, second) = (lzma.len() as u64, fs.len() as u64);
    let found = image([lzma, fs].concat());
    assert_eq!(
        understood(&found),
        [("lzma".to_owned(), 0, first), ("squashfs".to_owned(), first, second)]
    );
}
