//! NTFS images made by ntfs-3g's tools without a mount, entry by entry, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{
    check::{self, Keeps},
    tree::{self, Kind, Tree},
};
use proofmark_model::Proof;
use proofmark_unpack::budget::Budget;

fn tree() -> Tree {
    let mut tree = Tree::default();
    tree.add("small.txt", 0o644, Kind::File(b"resident".to_vec()));
    tree.add("empty", 0o644, Kind::File(Vec::new()));
    tree.add(
        "a name that is longer than eight and three.html",
        0o644,
        Kind::File(tree::prose(1, 70_000)),
    );
    tree.add("noise", 0o644, Kind::File(tree::noise(2, 30_001)));
    tree
}

/// `ntfscp` puts files into the root folder of an image.
fn build(options: &str) -> Vec<u8> {
    let copies: Vec<_> = tree()
        .nodes
        .keys()
        .map(|p| String::from_utf8_lossy(p).into_owned())
        .map(|p| format!("ntfscp -q -f image 'tree/{p}' '/{p}'"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let command = format!(
        "truncate -s 8M image && mkntfs -q -F -f {options} image >/dev/null 2>&1 && {} && \
         printf stream > s && ntfscp -q -f -N extra image s /small.txt",
        copies.join(" && ")
    );
    tree().build(dir.path(), &command)
}

#[test]
fn files_are_what_was_copied() {
    for options in ["-c 4096 -L LABEL", "-c 1024", "-c 65536"] {
        let opened = check::open_clean("ntfs", build(options), Proof::DecoderEnded);
        let budget = Budget::ample();
        let mut entries = opened.entries;
        let extra = entries.iter().position(|e| e.path == b"small.txt:extra").unwrap();
        assert_eq!(entries[extra].blob.load(&budget).bytes, &b"stream"[..]);
        entries.remove(extra);
        let keeps = Keeps {
            mode: false,
            owner: false,
            mtime: false,
            xattrs: false,
            hard_links: true,
            folders: true,
        };
        // The file system's own tables.
        entries.retain(|e| !e.path.starts_with(b"$Extend"));
        check::compare(&tree(), &entries, keeps);
        if options.contains("-L") {
            assert_eq!(opened.attributes["label"], "LABEL");
        }
    }
}

#[test]
fn damage() {
    check::damage("ntfs", &build("-c 4096"));
}

/// The contents of a WIM that wimlib wrote, each put into an image as compact files are: no free tool writes those.
#[test]
fn compact_files_have_their_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let text: Vec<u8> = (0..20_000_u64).flat_map(|n| (n * n).to_string().into_bytes()).collect();
    for (compression, chunk, algorithm) in
        [("xpress", 4096, 0_u32), ("lzx", 32768, 1), ("xpress", 8192, 2), ("xpress", 16384, 3)]
    {
        let command = format!(
            "rm -rf t a.wim image; mkdir t; cp plain t/f; \
             wimcapture t a.wim --compress={compression} --chunk-size={chunk} --no-acls >&2"
        );
        std::fs::write(path.join("plain"), &text).unwrap();
        run(path, "wimtools", &command);
        let wim = std::fs::read(path.join("a.wim")).unwrap();
        std::fs::write(path.join("packed"), stored(&wim, text.len() as u64)).unwrap();
        std::fs::write(path.join("zeros"), vec![0; text.len()]).unwrap();
        let command = "truncate -s 8M image && mkntfs -q -F -f -c 4096 image >/dev/null 2>&1; \
             ntfscp -q -f image zeros /w; ntfscp -q -f -N WofCompressedData image packed /w";
        run(path, "ntfs-3g", command);
        let mut image = std::fs::read(path.join("image")).unwrap();
        reparse(&mut image, algorithm);
        let opened = check::open_clean("ntfs", image, Proof::DecoderEnded);
        let file = opened.entries.iter().find(|e| e.path == b"w").unwrap();
        let loaded = file.blob.load(&Budget::ample());
        assert_eq!(loaded.problems, [], "{compression} {chunk}");
        assert!(loaded.bytes == text, "{compression} {chunk}");
        assert!(opened.entries.iter().all(|e| e.path != b"w:WofCompressedData"));
    }
}

fn run(dir: &std::path::Path, package: &str, command: &str) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut shell = std::process::Command::new("sh");
    let out = shell.args(["-ec", command]).env("PATH", path).current_dir(dir).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command} failed (needs: apt-get install {package}): {said}");
}

fn word(data: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(data[at..at + 8].try_into().unwrap())).unwrap()
}

/// The compressed bytes of the content of `size` bytes: a row of the table of contents has their size in seven bytes, flags,
/// their place and the size of what comes out.
fn stored(wim: &[u8], size: u64) -> Vec<u8> {
    let (table, length) = (word(wim, 56), word(wim, 48) & 0xFF_FFFF);
    let row = (table..table + length).step_by(50).find(|at| word(wim, at + 16) as u64 == size);
    let at = row.unwrap();
    let (length, place) = (word(wim, at) & 0xFF_FFFF, word(wim, at + 8));
    wim[place..place + length].to_vec()
}

/// Adds the reparse point of a compact file to the record of the file named `w`.
fn reparse(image: &mut [u8], algorithm: u32) {
    let name = b"\x01\x03w\0";
    let record = (0..image.len())
        .step_by(1024)
        .filter(|at| image[*at..].starts_with(b"FILE"))
        .find(|at| {
            let own = &image[*at..*at + 1024];
            own.windows(4).any(|w| w[0] == 1 && w[1] <= 3 && w[2..] == name[2..])
        })
        .unwrap();
    let used = u32::from_le_bytes(image[record + 24..record + 28].try_into().unwrap());
    let end = record + used as usize - 8;
    // Kind, length, resident and without a name, flags and number, length and place of the value.
    let mut attribute =
        vec![0xC0, 0, 0, 0, 48, 0, 0, 0, 0, 0, 24, 0, 0, 0, 99, 0, 24, 0, 0, 0, 24, 0, 0, 0];
    for number in [0x8000_0017_u32, 16, 1, 2, 1, algorithm] {
        attribute.extend(number.to_le_bytes());
    }
    attribute.extend([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    // The last two bytes of each sector stand in the update sequence, and a mark in their place.
    let sequence = record + usize::from(u16::from_le_bytes([image[record + 4], image[record + 5]]));
    for (n, byte) in attribute.iter().enumerate() {
        let at = end - record + n;
        match at % 512 {
            odd @ 510.. => image[sequence + 2 + at / 512 * 2 + odd - 510] = *byte,
            _ => image[record + at] = *byte,
        }
    }
    image[record + 24..record + 28].copy_from_slice(&(used + 48).to_le_bytes());
}
