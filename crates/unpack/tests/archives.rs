//! Every archive format against archives of the real tools, made of one tree, compared entry by entry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use bytes::Bytes;
use common::{
    check::{ALL, Keeps, Opened, compare, damage, format, open_at, open_clean},
    tree::{self, Kind, Tree, noise, run},
};
use proofmark_model::{EntryKind, ProblemKind, Proof};
use proofmark_unpack::{budget::Budget, format::Entry};

const NO_XATTRS: Keeps = Keeps { xattrs: false, ..ALL };
const ZIP: Keeps = Keeps { xattrs: false, hard_links: false, ..ALL };

fn build(tree: &Tree, command: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    tree.build(dir.path(), command)
}

/// The content of the only entry that `pick` accepts.
fn content(opened: &Opened, pick: impl Fn(&Entry) -> bool) -> Vec<u8> {
    let found: Vec<_> = opened.entries.iter().filter(|e| pick(e)).collect();
    assert_eq!(found.len(), 1, "{:?}", opened.entries);
    let loaded = found[0].blob.load(&Budget::ample());
    assert_eq!(loaded.problems, []);
    loaded.bytes.to_vec()
}

fn cpio(options: &str) -> String {
    format!(
        "cd tree && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio -0 -o --quiet {options} > ../image"
    )
}

#[test]
fn cpio_layouts() {
    for (options, variant) in
        [("-H newc", "newc"), ("-H crc", "crc"), ("-H odc", "odc"), ("-H bin", "bin-little-endian")]
    {
        let tree = tree::full();
        let image = build(&tree, &cpio(options));
        let opened = open_clean("cpio", image.clone(), Proof::DecoderEnded);
        assert_eq!(opened.candidate.length, image.len(), "{options}");
        assert_eq!(opened.attributes["variant"], variant);
        compare(&tree, &opened.entries, NO_XATTRS);
        damage("cpio", &image);
    }
}

/// Byte-swapped binary archives come from big-endian machines: every 16-bit word of headers turned round.
#[test]
fn cpio_big_endian() {
    let tree = tree::full();
    let mut image = build(&tree, &cpio("-H bin"));
    let mut at = 0;
    loop {
        let word =
            |n: usize| usize::from(u16::from_le_bytes([image[at + 2 * n], image[at + 2 * n + 1]]));
        let (name, size) = (word(10), word(11) << 16 | word(12));
        let last = image[at + 26..].starts_with(b"TRAILER!!!");
        for pair in image[at..at + 26].chunks_mut(2) {
            pair.reverse();
        }
        if last {
            break;
        }
        at += 26 + name.next_multiple_of(2) + size.next_multiple_of(2);
    }
    let opened = open_clean("cpio", image, Proof::DecoderEnded);
    assert_eq!(opened.attributes["variant"], "bin-big-endian");
    compare(&tree, &opened.entries, NO_XATTRS);
}

/// Early microcode, then the real archive: one region, all entries.
#[test]
fn cpio_concatenated() {
    let mut first = Tree::default();
    first.add("kernel/x86/microcode/blob.bin", 0o644, Kind::File(noise(1, 5000)));
    let second = tree::full();
    let (a, b) = (build(&first, &cpio("-H newc")), build(&second, &cpio("-H newc")));
    let image = [&a[..], &[0; 3 * 512], &b].concat();
    let opened = open_clean("cpio", image.clone(), Proof::DecoderEnded);
    assert_eq!((opened.candidate.length, &opened.attributes["archives"][..]), (image.len(), "2"));
    let (mine, rest): (Vec<_>, Vec<_>) =
        opened.entries.into_iter().partition(|e| e.path.starts_with(b"kernel"));
    compare(&first, &mine, NO_XATTRS);
    compare(&second, &rest, NO_XATTRS);
}

#[test]
fn cpio_problems() {
    let mut tree = Tree::default();
    tree.add("a/file", 0o644, Kind::File(noise(1, 3000)));
    tree.add("b/file", 0o644, Kind::File(noise(2, 3000)));
    let mut image = build(&tree, &cpio("-H crc"));
    let at = image.windows(8).position(|w| w == &noise(2, 3000)[..8]).unwrap();
    image[at + 5] ^= 1;
    let opened = open_at(format("cpio"), &image.clone().into(), 0, &Budget::ample()).unwrap();
    let wrong: Vec<_> = opened.entries.iter().filter(|e| !e.problems.is_empty()).collect();
    assert_eq!(wrong.len(), 1);
    assert_eq!(
        (&wrong[0].path[..], wrong[0].problems[0].kind),
        (&b"b/file"[..], ProblemKind::Checksum)
    );
    assert_eq!(opened.attributes["checksum-correct"], "no");
    // Cut inside the second content: the first is whole, the second says what is missing.
    let cut = Bytes::from(image[..at + 100].to_vec());
    let opened = open_at(format("cpio"), &cut, 0, &Budget::ample()).unwrap();
    assert_eq!(opened.candidate.proof, Proof::LengthsConsistent);
    assert_eq!(opened.candidate.problems[0].kind, ProblemKind::Truncated);
    let last = opened.entries.last().unwrap();
    assert_eq!((last.blob.size(), last.problems[0].kind), (100, ProblemKind::Truncated));
    // A name that climbs out is kept and reported.
    let swapped = String::from_utf8_lossy(&image[..200]).find("b/file");
    let at = swapped.unwrap_or_else(|| image.windows(6).position(|w| w == b"b/file").unwrap());
    image[at..at + 6].copy_from_slice(b"../etc");
    let opened = open_at(format("cpio"), &image.into(), 0, &Budget::ample()).unwrap();
    let unsafe_path = opened.entries.iter().find(|e| e.path == b"../etc").unwrap();
    assert!(unsafe_path.problems.iter().any(|p| p.kind == ProblemKind::UnsafePath));
}

#[test]
fn tar_variants() {
    let full = || tree::full().without(&["socket"]);
    let mut short = full();
    short.nodes.remove(&b"etc/long"[..]);
    let mut plain = short.clone().without(&["devices", "fifo"]);
    plain.nodes.retain(|path, _| !path.starts_with(b"deep"));
    for (tree, command, variant, keeps) in [
        (full(), "tar --sort=name --format=gnu -cf image -C tree .", "gnu", NO_XATTRS),
        (full(), "tar --sort=name --format=gnu --sparse -cf image -C tree .", "gnu", NO_XATTRS),
        (short, "tar --sort=name --format=ustar -cf image -C tree .", "ustar", NO_XATTRS),
        (plain, "tar --sort=name --format=v7 -cf image -C tree .", "v7", NO_XATTRS),
        (
            full(),
            "tar --format=posix --xattrs --xattrs-include='*' -cf image -C tree .",
            "pax",
            ALL,
        ),
        (
            full(),
            "tar --format=posix --sparse --sparse-version=0.0 -cf image -C tree .",
            "pax",
            NO_XATTRS,
        ),
        (
            full(),
            "tar --format=posix --sparse --sparse-version=0.1 -cf image -C tree .",
            "pax",
            NO_XATTRS,
        ),
        (
            full(),
            "tar --format=posix --sparse --sparse-version=1.0 -cf image -C tree .",
            "pax",
            NO_XATTRS,
        ),
        (full(), "cd tree && bsdtar --format pax -cf ../image .", "pax", NO_XATTRS),
        (full(), "cd tree && bsdtar --format gnutar -cf ../image .", "gnu", NO_XATTRS),
    ] {
        let image = build(&tree, command);
        let opened = open_clean("tar", image.clone(), Proof::ChecksumVerified);
        assert_eq!(opened.candidate.length, image.len(), "{command}");
        assert_eq!(opened.attributes["variant"], variant, "{command}");
        compare(&tree, &opened.entries, keeps);
        if command.contains("posix") || command.contains("v7") {
            damage("tar", &image);
        }
    }
}

/// One header with a right checksum that claims a megabyte is a weak claim, however long.
#[test]
fn tar_header_alone_is_weak() {
    let mut tree = Tree::default();
    tree.add("member", 0o644, Kind::File(noise(1, 1 << 20)));
    let image = build(&tree, "tar --format=ustar -cf image -C tree member");
    let planted: Bytes = [&image[..512], &noise(2, 2 << 20)].concat().into();
    let candidate = format("tar").probe(&planted, 0, &Budget::ample()).unwrap();
    assert_eq!(candidate.proof, Proof::MagicOnly);
    assert!(!candidate.problems.is_empty());
}

#[test]
fn zip_variants() {
    let tree = tree::full().without(&["socket", "devices", "fifo", "raw-names"]);
    let list = "cd tree && find . -mindepth 1 -print0 | LC_ALL=C sort -z >../names;";
    let bare = Keeps { owner: false, ..ZIP };
    for (command, keeps) in [
        ("cd tree && zip -q -r -y ../image .; mv ../image.zip ../image".to_owned(), ZIP),
        ("cd tree && zip -q -0 -r -y ../image .; mv ../image.zip ../image".to_owned(), ZIP),
        ("cd tree && zip -q -Z bzip2 -r -y ../image .; mv ../image.zip ../image".to_owned(), ZIP),
        ("cd tree && zip -q -fz -r -y ../image .; mv ../image.zip ../image".to_owned(), ZIP),
        ("cd tree && zip -q -r -y - . | cat > ../image".to_owned(), ZIP),
        (format!("{list} bsdtar --format zip -cf ../image ."), ZIP),
        ("cd tree && 7z a -tzip -mm=LZMA -snl ../image.zip . >/dev/null; mv ../image.zip ../image".to_owned(), bare),
        ("cd tree && 7z a -tzip -mm=ZSTD -snl ../image.zip . >/dev/null || 7z a -tzip -mm=BZip2 -snl ../image.zip . >/dev/null; mv ../image.zip ../image".to_owned(), bare),
    ] {
        let image = build(&tree, &command);
        let opened = open_clean("zip", image.clone(), Proof::DecoderEnded);
        assert_eq!(opened.candidate.length, image.len(), "{command}");
        compare(&tree, &opened.entries, keeps);
        assert!(!opened.entries.iter().any(|e| e.kind == EntryKind::Gap), "{command}");
    }
    damage("zip", &build(&tree, "cd tree && zip -q -r -y ../image .; mv ../image.zip ../image"));
}

/// A zip stored in a zip ends neither early; bytes in between are a gap; a cut one is read from its parts.
#[test]
fn zip_extent_gaps_and_cuts() {
    let mut inner = Tree::default();
    inner.add("inside.txt", 0o644, Kind::File(noise(1, 5000)));
    let zip = |tree: &Tree, options: &str| {
        build(tree, &format!("cd tree && zip -q {options} -r ../image .; mv ../image.zip ../image"))
    };
    let small = zip(&inner, "");
    let mut outer = Tree::default();
    outer.add("a.zip", 0o644, Kind::File(small.clone()));
    outer.add("b.txt", 0o644, Kind::File(noise(2, 3000)));
    let image = zip(&outer, "-0");
    let framed: Bytes = [&noise(9, 100)[..], &image, &small].concat().into();
    let candidate = format("zip").probe(&framed, 100, &Budget::ample()).unwrap();
    assert_eq!((candidate.start, candidate.length), (100, image.len()));
    let opened = open_clean("zip", image.clone(), Proof::DecoderEnded);
    compare(&outer, &opened.entries, ZIP);
    let at = image.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    assert!(at > small.len());
    // Encrypted entries are named as such, and nothing is made up.
    let locked = zip(&inner, "-P secret");
    let opened = open_clean("zip", locked, Proof::DecoderEnded);
    let entry = opened.entries.iter().find(|e| e.path == b"inside.txt").unwrap();
    assert_eq!(entry.problems[0].kind, ProblemKind::Encrypted);
    // Without its directory.
    let cut = Bytes::from(image[..image.len() - 60].to_vec());
    let opened = open_at(format("zip"), &cut, 0, &Budget::ample()).unwrap();
    assert_eq!(opened.candidate.proof, Proof::LengthsConsistent);
    assert_eq!(opened.candidate.problems[0].kind, ProblemKind::Truncated);
    assert_eq!(opened.entries.len(), 2);
    let text = opened.entries.iter().find(|e| e.path == b"b.txt").unwrap();
    assert!(text.blob.load(&Budget::ample()).bytes == noise(2, 3000));
    // A content that was changed fails its CRC.
    let mut changed = image.clone();
    changed[100] ^= 1;
    let opened = open_at(format("zip"), &changed.into(), 0, &Budget::ample()).unwrap();
    let problems: Vec<_> =
        opened.entries.iter().flat_map(|e| e.blob.load(&Budget::ample()).problems).collect();
    assert_eq!(problems.iter().map(|p| p.kind).collect::<Vec<_>>(), [ProblemKind::Checksum]);
}

#[test]
fn ar_names() {
    let mut tree = Tree::default();
    for (name, len) in
        [("short", 11), ("a-name-that-does-not-fit-into-sixteen", 1000), ("odd", 77), ("empty", 0)]
    {
        let node = tree.add(name, 0o640, Kind::File(noise(len, len as usize)));
        (node.uid, node.gid) = (1000, 1001);
    }
    // GNU ar zeroes metadata unless told not to; BSD names come from bsdtar.
    for (command, variant) in [
        ("cd tree && ar rcU ../image *", "gnu"),
        ("cd tree && bsdtar --format arbsd -cf ../image *", "bsd"),
    ] {
        let image = build(&tree, command);
        let opened = open_clean("ar", image.clone(), Proof::LengthsConsistent);
        assert_eq!(
            (opened.candidate.length, &opened.attributes["variant"][..]),
            (image.len(), variant)
        );
        compare(&tree, &opened.entries, Keeps { hard_links: false, xattrs: false, ..ALL });
        damage("ar", &image);
    }
}

const CONTROL: &str = "mkdir tree/DEBIAN && printf 'Package: sample\\nVersion: 1.0\\nArchitecture: all\\n\
    Maintainer: nobody <nobody@example.org>\\nDescription: sample\\n' >tree/DEBIAN/control && ";

#[test]
fn deb_down_to_its_files() {
    let mut tree = tree::full().without(&["socket"]);
    tree.nodes.remove(&b"odd/new\nline"[..]);
    for (compression, id) in [("xz", "xz"), ("gzip", "gzip"), ("zstd", "zstd")] {
        let command = format!(
            "{CONTROL} (dpkg-deb -Z{compression} -b tree image.deb >/dev/null || dpkg-deb -Zxz -b tree image.deb) && mv image.deb image"
        );
        let opened = open_clean("ar", build(&tree, &command), Proof::LengthsConsistent);
        assert_eq!(opened.attributes["variant"], "deb");
        let names: Vec<_> =
            opened.entries.iter().map(|e| String::from_utf8_lossy(&e.path)).collect();
        assert_eq!((&names[0][..], names.len()), ("debian-binary", 3));
        let data = content(&opened, |e| e.path.starts_with(b"data.tar"));
        let id = if names[2].ends_with("xz") { "xz" } else { id };
        let tar = content(&open_clean(id, data, Proof::DecoderEnded), |_| true);
        compare(&tree, &open_clean("tar", tar, Proof::ChecksumVerified).entries, NO_XATTRS);
    }
}

#[test]
fn rpm_down_to_its_files() {
    for (flags, id) in
        [("w9.gzdio", "gzip"), ("w6.xzdio", "xz"), ("w3.zstdio", "zstd"), ("w9.bzdio", "bzip2")]
    {
        let dir = tempfile::tempdir().unwrap();
        let spec = "Name: sample\nVersion: 1.2\nRelease: 3\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
            %description\nd\n%install\nmkdir -p %{buildroot}/etc %{buildroot}/usr/bin\n\
            echo setting > %{buildroot}/etc/sample.conf\nhead -c 100000 /dev/zero > %{buildroot}/usr/bin/tool\n\
            ln -s tool %{buildroot}/usr/bin/link\n\
            %files\n%attr(0640,root,root) /etc/sample.conf\n%attr(4755,root,root) /usr/bin/tool\n/usr/bin/link\n";
        std::fs::write(dir.path().join("s.spec"), spec).unwrap();
        let script = format!(
            "rpmbuild -bb --quiet --define '_topdir {0}/top' --define '_binary_payload {flags}' \
             --define '_rpmfilename out.rpm' s.spec && mv top/RPMS/out.rpm image",
            dir.path().display()
        );
        run(dir.path(), "sh", &["-c", &script]);
        let image = std::fs::read(dir.path().join("image")).unwrap();
        let opened = open_clean("rpm", image.clone(), Proof::ChecksumVerified);
        assert_eq!(opened.candidate.length, image.len());
        for (key, value) in [
            ("name", "sample"),
            ("version", "1.2"),
            ("release", "3"),
            ("license", "MIT"),
            ("machine", "noarch"),
            ("integrity", "hash"),
            ("integrity-correct", "yes"),
        ] {
            assert_eq!(opened.attributes[key], value, "{flags}: {key}");
        }
        let packed = content(&opened, |_| true);
        let cpio = content(&open_clean(id, packed, Proof::DecoderEnded), |_| true);
        let files = open_clean("cpio", cpio, Proof::DecoderEnded).entries;
        let find = |path: &[u8]| files.iter().find(|e| e.path == path).unwrap();
        assert_eq!(find(b"usr/bin/tool").metadata.mode, Some(0o4755));
        assert_eq!(find(b"usr/bin/link").kind, EntryKind::Symlink { target: "tool".into() });
        assert_eq!(find(b"etc/sample.conf").blob.load(&Budget::ample()).bytes, b"setting\n"[..]);
        damage("rpm", &image);
        let mut changed = image.clone();
        let last = changed.len() - 20;
        changed[last] ^= 1;
        let opened = open_at(format("rpm"), &changed.into(), 0, &Budget::ample()).unwrap();
        assert_eq!(opened.attributes["integrity-correct"], "no");
    }
}
