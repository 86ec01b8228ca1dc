//! Archive formats that are rarer in equipment: against their own tools where there are some, else against
//! archives put together here byte by byte after their specification.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::fs;

use bytes::Bytes;
use common::{
    check::{ALL, Keeps, compare, damage, format, open_at, open_clean},
    tree::{self, Kind, Tree, noise, prose, run},
};
use proofmark_model::{EntryKind, ProblemKind, Proof};
use proofmark_unpack::{budget::Budget, format::Entry};

const FILES: Keeps = Keeps {
    mode: false,
    owner: false,
    mtime: false,
    xattrs: false,
    hard_links: false,
    folders: false,
};

fn build(tree: &Tree, command: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    tree.build(dir.path(), command)
}

/// Plain files in folders, of sizes around the block sizes of old archivers.
fn files() -> Tree {
    let mut t = Tree::default();
    t.add("readme.txt", 0o644, Kind::File(prose(1, 9_000)));
    t.add("empty", 0o600, Kind::File(Vec::new()));
    t.add("one", 0o600, Kind::File(vec![7]));
    t.add("sub/noise.bin", 0o755, Kind::File(noise(1, 70_000)));
    t.add("sub/text.txt", 0o640, Kind::File(prose(2, 200_000)));
    t.add("sub/deep/zeros", 0o644, Kind::File(vec![0; 100_000]));
    t.add(
        "sub/deep/runs",
        0o644,
        Kind::File([vec![0x90; 500], vec![1; 700], prose(3, 40_000)].concat()),
    );
    t
}

fn find<'a>(entries: &'a [Entry], path: &str) -> &'a Entry {
    entries
        .iter()
        .find(|e| e.path == path.as_bytes())
        .unwrap_or_else(|| panic!("{path}: {entries:?}"))
}

#[test]
fn sevenzip() {
    let tree = tree::full().without(&["socket", "devices", "fifo", "raw-names", "hardlinks"]);
    let small = files();
    let keeps = Keeps { mode: true, mtime: true, folders: true, ..FILES };
    for options in [
        "",
        "-ms=off",
        "-mx=9 -m0=LZMA",
        "-m0=LZMA2 -mx=1",
        "-m0=Copy",
        "-m0=BZip2",
        "-m0=Deflate",
        "-mhc=off",
        "-m0=BCJ -m1=LZMA2",
        "-m0=ARM -m1=LZMA",
        "-m0=ARM64 -m1=LZMA2",
        "-m0=Delta:4 -m1=LZMA",
        "-m0=PPC -m1=LZMA",
        "-m0=PPMd",
    ] {
        let command = format!(
            "cd tree && 7z a -snl {options} ../image.7z . >/dev/null && mv ../image.7z ../image"
        );
        let tree = if options.is_empty() { &tree } else { &small };
        let image = build(tree, &command);
        let opened = open_clean("7z", image.clone(), Proof::ChecksumVerified);
        assert_eq!(opened.candidate.length, image.len(), "{options}");
        compare(tree, &opened.entries, keeps);
        if options == "-ms=off" || options == "-m0=Copy" {
            damage("7z", &image);
        }
    }
    let locked = build(
        &files(),
        "cd tree && 7z a -psecret ../image.7z . >/dev/null && mv ../image.7z ../image",
    );
    let opened = open_clean("7z", locked, Proof::ChecksumVerified);
    assert!(
        find(&opened.entries, "readme.txt")
            .problems
            .iter()
            .any(|p| p.kind == ProblemKind::Encrypted)
    );
}

#[test]
fn lha() {
    let tree = files();
    for options in ["ao5", "ao6", "ao7", "a0", "a1", "a2", "az"] {
        let command = format!(
            "cd tree && jlha -{options} ../image.lzh * >/dev/null && mv ../image.lzh ../image"
        );
        let image = build(&tree, &command);
        let opened = open_clean("lha", image.clone(), Proof::LengthsConsistent);
        assert_eq!(opened.candidate.length, image.len(), "{options}");
        // Some header levels have entries for folders, some have not.
        let only_files: Vec<_> =
            opened.entries.into_iter().filter(|e| e.kind != EntryKind::Directory).collect();
        compare(&tree, &only_files, Keeps { mtime: true, ..FILES });
        damage("lha", &image);
    }
}

#[test]
fn arj() {
    let tree = files();
    for method in 0..=4 {
        let command = format!(
            "cd tree && arj a -r -y -m{method} ../image.arj . >/dev/null && mv ../image.arj ../image"
        );
        let image = build(&tree, &command);
        let opened = open_clean("arj", image.clone(), Proof::ChecksumVerified);
        assert_eq!(opened.candidate.length, image.len(), "{method}");
        compare(&tree, &opened.entries, Keeps { mode: true, mtime: true, ..FILES });
        damage("arj", &image);
    }
    let locked = build(
        &tree,
        "cd tree && arj a -r -y -gsecret ../image.arj . >/dev/null && mv ../image.arj ../image",
    );
    let opened = open_clean("arj", locked, Proof::ChecksumVerified);
    assert_eq!(find(&opened.entries, "readme.txt").problems[0].kind, ProblemKind::Encrypted);
}

#[test]
fn arc() {
    let mut flat = Tree::default();
    for (path, node) in files().nodes {
        let name = path.rsplit(|b| *b == b'/').next().unwrap().to_vec();
        if let Kind::File(content) = &node.kind
            && !content.is_empty()
        {
            flat.add(name, 0o644, Kind::File(content.clone()));
        }
    }
    let image =
        build(&flat, "cd tree && arc a ../image.arc * >/dev/null && mv ../image.arc ../image");
    let opened = open_clean("arc", image.clone(), Proof::ChecksumVerified);
    assert_eq!(opened.candidate.length, image.len());
    compare(&flat, &opened.entries, FILES);
    damage("arc", &image);
}

#[test]
fn cab() {
    let tree = files();
    for options in ["-z", "-n"] {
        let command = format!(
            "cd tree && gcab -c {options} ../image.cab $(find . -type f | sed 's,^./,,' | sort) >/dev/null && mv ../image.cab ../image"
        );
        let image = build(&tree, &command.replace("-n ", ""));
        let opened = open_clean("cab", image.clone(), Proof::LengthsConsistent);
        assert_eq!(opened.candidate.length, image.len(), "{options}");
        compare(&tree, &opened.entries, FILES);
        damage("cab", &image);
    }
}

#[test]
fn xar() {
    let tree = tree::full().without(&["socket", "devices", "hardlinks", "raw-names", "xattrs"]);
    for options in ["", "--options compression=bzip2", "--options compression=none"] {
        let image =
            build(&tree, &format!("cd tree && bsdtar --format xar {options} -cf ../image *"));
        let opened = open_clean("xar", image.clone(), Proof::ChecksumVerified);
        // libarchive leaves 20 bytes of another buffer behind the heap; nothing in the table names them.
        assert_eq!(opened.candidate.length + 20, image.len(), "{options}");
        // Nor does it write set-user-id bits.
        compare(
            &tree,
            &opened.entries,
            Keeps { mode: false, xattrs: false, hard_links: false, ..ALL },
        );
        damage("xar", &image);
    }
}

#[test]
fn shell_archives() {
    let tree = files();
    let image = build(
        &tree,
        "printf '#!/bin/sh\\necho hi\\n' >tree/setup.sh; chmod 755 tree/setup.sh; \
         makeself --nox11 tree image.run 'a label' ./setup.sh >/dev/null 2>&1; mv image.run image",
    );
    let opened = open_clean("shell-archive", image.clone(), Proof::LengthsConsistent);
    assert_eq!(opened.candidate.length, image.len());
    assert_eq!(opened.attributes["variant"], "makeself");
    assert_eq!(opened.attributes["label"], "a label");
    assert_eq!(opened.attributes["integrity-correct"], "yes");
    let payload = find(&opened.entries, "payload").blob.load(&Budget::ample()).bytes;
    let tar = open_clean("gzip", payload.to_vec(), Proof::ChecksumVerified).entries.remove(0);
    let inside =
        open_clean("tar", tar.blob.load(&Budget::ample()).bytes.to_vec(), Proof::ChecksumVerified);
    assert!(inside.entries.iter().any(|e| e.path == b"sub/text.txt"));
    damage("shell-archive", &image);
    // The way ONIE installers are put together.
    let tar = build(&tree, "tar -cf image -C tree .");
    let script = b"#!/bin/sh\nsed -e '1,/^exit_marker$/d' $0 | tar xf -\nexit 0\nexit_marker\n";
    let image = [&script[..], &tar].concat();
    let opened = open_clean("shell-archive", image, Proof::LengthsConsistent);
    assert_eq!(opened.attributes["variant"], "onie");
    assert!(find(&opened.entries, "payload").blob.load(&Budget::ample()).bytes == tar);
    // An ordinary script is none.
    let plain = Bytes::from_static(b"#!/bin/sh\necho hello\nexit 0\n");
    assert!(format("shell-archive").probe(&plain, 0, &Budget::ample()).is_none());
}

#[test]
fn par2() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data"), noise(1, 50_000)).unwrap();
    run(dir.path(), "par2", &["create", "-q", "-q", "-n1", "-r10", "set.par2", "data"]);
    let mut seen = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "par2") {
            let image = fs::read(&path).unwrap();
            let opened = open_clean("par2", image.clone(), Proof::ChecksumVerified);
            assert_eq!(opened.candidate.length, image.len());
            damage("par2", &image);
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

/// There is no free tool that writes RAR, so stored archives of both versions are put together here.
#[test]
fn rar() {
    let content = prose(1, 3000);
    let crc32 = |data: &[u8]| proofmark_unpack::codec::check::crc32(data);
    let block4 = |kind: u8, flags: u16, body: &[u8]| {
        let mut raw = vec![kind];
        raw.extend_from_slice(&flags.to_le_bytes());
        raw.extend_from_slice(&(7 + body.len() as u16).to_le_bytes());
        raw.extend_from_slice(body);
        [&(crc32(&raw) as u16).to_le_bytes()[..], &raw].concat()
    };
    let file4 = |method: u8, name: &str| {
        let mut body = Vec::new();
        body.extend_from_slice(&(content.len() as u32).to_le_bytes());
        body.extend_from_slice(&(content.len() as u32).to_le_bytes());
        body.push(3);
        body.extend_from_slice(&crc32(&content).to_le_bytes());
        body.extend_from_slice(&((37u32 << 25) | (7 << 21) | (14 << 16)).to_le_bytes());
        body.extend_from_slice(&[20, method]);
        body.extend_from_slice(&(name.len() as u16).to_le_bytes());
        body.extend_from_slice(&0o100750u32.to_le_bytes());
        body.extend_from_slice(name.as_bytes());
        [block4(0x74, 0x8000, &body), content.clone()].concat()
    };
    let four = [
        b"Rar!\x1a\x07\x00".to_vec(),
        block4(0x73, 0, &[0; 6]),
        file4(0x30, "stored.txt"),
        file4(0x33, "packed.txt"),
        block4(0x7b, 0, &[]),
    ]
    .concat();
    let block5 = |body: &[u8]| {
        let sized = [&[body.len() as u8][..], body].concat();
        [&crc32(&sized).to_le_bytes()[..], &sized].concat()
    };
    let mut head = vec![2, 2];
    let number = |mut n: usize| {
        let mut out = Vec::new();
        while n > 127 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    };
    head.extend(number(content.len()));
    head.push(2 | 4);
    head.extend(number(content.len()));
    head.extend(number(0o100750));
    head.extend_from_slice(&1_500_000_000u32.to_le_bytes());
    head.extend_from_slice(&crc32(&content).to_le_bytes());
    head.extend_from_slice(&[0, 1, 10]);
    head.extend_from_slice(b"stored.txt");
    let five = [
        b"Rar!\x1a\x07\x01\x00".to_vec(),
        block5(&[1, 0, 0]),
        block5(&head),
        content.clone(),
        block5(&[5, 0, 0]),
    ]
    .concat();
    for (image, version) in [(four, "4"), (five, "5")] {
        let opened = open_clean("rar", image.clone(), Proof::ChecksumVerified);
        assert_eq!(
            (opened.candidate.length, &opened.attributes["version"][..]),
            (image.len(), version)
        );
        let stored = find(&opened.entries, "stored.txt");
        assert_eq!(stored.metadata.mode, Some(0o750));
        assert!(stored.blob.load(&Budget::ample()).bytes == content);
        if version == "4" {
            // Not what any archiver packs.
            let packed = find(&opened.entries, "packed.txt").blob.load(&Budget::ample());
            assert!(!packed.problems.is_empty());
        } else {
            assert_eq!(stored.metadata.mtime, Some(1_500_000_000));
        }
        damage("rar", &image);
    }
}

/// A disk image with raw, zlib, bzip2 and empty blocks, put together by Python after the description.
#[test]
fn dmg() {
    let dir = tempfile::tempdir().unwrap();
    let parts = [noise(1, 4096), prose(1, 8192), prose(2, 8192), vec![0; 4096]];
    for (n, part) in parts.iter().enumerate() {
        fs::write(dir.path().join(format!("part{n}")), part).unwrap();
    }
    let script = r#"
import base64, bz2, struct, zlib
parts = [open(f"part{n}", "rb").read() for n in range(4)]
kinds = [1, 0x80000005, 0x80000006, 0]
packed = [parts[0], zlib.compress(parts[1]), bz2.compress(parts[2]), b""]
image = b"".join(packed)
runs, sector, offset = b"", 0, 0
for kind, plain, data in zip(kinds, parts, packed):
    runs += struct.pack(">IIQQQQ", kind, 0, sector, len(plain) // 512, offset, len(data))
    sector += len(plain) // 512
    offset += len(data)
runs += struct.pack(">IIQQQQ", 0xffffffff, 0, sector, 0, offset, 0)
mish = b"mish" + struct.pack(">IQQQ", 1, 0, sector, 0)
mish = mish.ljust(200, b"\0") + struct.pack(">I", 5) + runs
xml = b'<?xml version="1.0"?><plist><dict><key>resource-fork</key><dict><key>blkx</key><array><dict><key>Data</key><data>\n' \
    + base64.encodebytes(mish) + b'</data><key>Name</key><string>disk &amp; image</string></dict></array></dict></dict></plist>'
koly = b"koly" + struct.pack(">III", 4, 512, 1)[:8]
koly = koly.ljust(216, b"\0") + struct.pack(">QQ", len(image), len(xml))
open("image", "wb").write(image + xml + koly.ljust(512, b"\0"))
"#;
    fs::write(dir.path().join("make.py"), script).unwrap();
    run(dir.path(), "python3", &["make.py"]);
    let image = fs::read(dir.path().join("image")).unwrap();
    let framed: Bytes = [&noise(5, 300)[..], &image].concat().into();
    let at = framed.len() - 512;
    let opened = open_at(format("dmg"), &framed, at, &Budget::ample()).unwrap();
    assert_eq!((opened.candidate.start, opened.candidate.length), (300, image.len()));
    let [entry] = &opened.entries[..] else { panic!("{:?}", opened.entries) };
    assert_eq!(entry.path, b"partition-0-disk & image");
    let loaded = entry.blob.load(&Budget::ample());
    assert_eq!(loaded.problems, []);
    assert!(loaded.bytes == parts.concat());
}

/// Layers of container images: what a layer removes, and which kind of image it is.
#[test]
fn container_layers() {
    let mut layer = Tree::default();
    layer.add("etc/.wh.removed.conf", 0o644, Kind::File(Vec::new()));
    layer.add("etc/.wh..wh..opq", 0o644, Kind::File(Vec::new()));
    layer.add("etc/kept.conf", 0o644, Kind::File(b"kept".to_vec()));
    let image = build(&layer, "tar --format=ustar -cf image -C tree .");
    let opened = open_clean("tar", image.clone(), Proof::ChecksumVerified);
    assert_eq!(find(&opened.entries, "etc/removed.conf").kind, EntryKind::Whiteout);
    assert_eq!(find(&opened.entries, "etc/.wh..wh..opq").kind, EntryKind::Whiteout);
    assert_eq!(find(&opened.entries, "etc/kept.conf").kind, EntryKind::File);
    let mut outer = Tree::default();
    outer.add("manifest.json", 0o644, Kind::File(b"[]".to_vec()));
    outer.add("abc/layer.tar", 0o644, Kind::File(image));
    let opened =
        open_clean("tar", build(&outer, "tar -cf image -C tree ."), Proof::ChecksumVerified);
    assert_eq!(opened.attributes["container-image"], "docker");
}

#[test]
fn formats_are_described() {
    let mut ids = std::collections::BTreeSet::new();
    for format in proofmark_unpack::formats::all() {
        let about = format.about();
        assert!(ids.insert(about.id), "two formats `{}`", about.id);
        assert!(!about.sources.is_empty() && !about.name.is_empty(), "{}", about.id);
    }
}

/// A content that is too large for memory lies on the disk meanwhile, and the result is the same.
#[test]
fn a_large_content_reads_the_same_from_disk_and_from_memory() {
    use proofmark_unpack::{Input, Options, spool, unpack};
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    let line = |n: usize| format!("line {n} of a text that is long enough to leave memory\n");
    let text: String = (0..spool::IN_MEMORY / 50 + 1).map(line).collect();
    assert!(text.len() > spool::IN_MEMORY);
    std::fs::write(&plain, &text).unwrap();
    let digest = proofmark_model::Digest::of(text.as_bytes());
    for tool in ["gzip", "xz"] {
        let out = std::process::Command::new(tool).args(["-1", "-c"]).arg(&plain).output();
        let out =
            out.unwrap_or_else(|e| panic!("{tool} (Debian package of this name or xz-utils): {e}"));
        assert!(out.status.success());
        let spool = spool::Spool::new(folder.path()).unwrap();
        let [memory, disk] = [None, Some(spool)].map(|spool| {
            let options = Options { jobs: 2, spool, ..Options::default() };
            unpack(Input::bytes("image", out.stdout.clone()), &options, &())
        });
        assert!(memory.artifacts.iter().any(|a| a.sha256 == Some(digest)), "{tool}");
        assert_eq!(memory.artifacts, disk.artifacts, "{tool}");
    }
}
