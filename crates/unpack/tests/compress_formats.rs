//! Every compression format against files of its own tool: content, name and time, several streams in one,
//! inside other bytes, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::{fs, process::Command};

use bytes::Bytes;
use common::{
    check::{damage, format, open_at, open_clean},
    tree::{noise, prose},
};
use proofmark_model::{ProblemKind, Proof};
use proofmark_unpack::budget::Budget;

/// What `command` makes of the file `in.bin` (mode 0640, a fixed time) in its folder.
fn made(content: &[u8], command: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.bin"), content).unwrap();
    let script = format!("set -e; chmod 640 in.bin; touch -d @1500000000 in.bin; {command}");
    let out = Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    assert!(
        out.status.success(),
        "`{command}` failed; the Debian package that has this program must be installed: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

fn sample() -> Vec<u8> {
    [prose(11, 60_000), noise(12, 20_000), vec![0; 30_000]].concat()
}

/// Format, command, the name it records, whether it records the time.
const TOOLS: &[(&str, &str, &[u8], bool)] = &[
    ("gzip", "gzip -c -9 in.bin", b"in.bin", true),
    ("gzip", "gzip -n -c in.bin", b"data", false),
    ("xz", "xz -c in.bin", b"data", false),
    ("xz", "xz -c --block-size=20000 --check=sha256 in.bin", b"data", false),
    ("lzma", "xz -c --format=lzma in.bin", b"data", false),
    ("lzma", "xz -c --format=lzma --lzma1=lc=0,lp=2,pb=2,dict=64KiB in.bin", b"data", false),
    ("bzip2", "bzip2 -c in.bin", b"data", false),
    ("zstd", "zstd -q -c in.bin", b"data", false),
    ("lz4", "lz4 -q -c in.bin", b"data", false),
    ("lz4-legacy", "lz4 -q -l -c in.bin", b"data", false),
    ("lzop", "lzop -c in.bin", b"in.bin", true),
    ("lzop", "lzop -c -9 --crc32 in.bin", b"in.bin", true),
    ("lzip", "lzip -c in.bin", b"data", false),
    ("compress", "compress -f -c in.bin", b"data", false),
    (
        "zlib",
        "python3 -c 'import sys,zlib; sys.stdout.buffer.write(zlib.compress(open(\"in.bin\",\"rb\").read(), 9))'",
        b"data",
        false,
    ),
];

#[test]
fn whole_files() {
    let content = sample();
    for (id, command, name, time) in TOOLS {
        let packed = made(&content, command);
        let len = packed.len();
        let opened = open_clean(id, packed, Proof::DecoderEnded);
        assert_eq!(opened.candidate.length, len, "{command}");
        let [entry] = &opened.entries[..] else { panic!("{command}: {:?}", opened.entries) };
        assert_eq!(entry.path, *name, "{command}");
        assert_eq!(entry.metadata.mtime, time.then_some(1_500_000_000), "{command}");
        let loaded = entry.blob.load(&Budget::ample());
        assert_eq!((&entry.problems[..], &loaded.problems[..]), (&[][..], &[][..]), "{command}");
        assert_eq!(entry.blob.size(), content.len() as u64, "{command}");
        assert!(loaded.bytes == content, "{command}");
        if *id == "lzop" {
            assert_eq!(entry.metadata.mode, Some(0o640));
        }
    }
}

/// In front of and behind other bytes the extent is exact; opening without the decoded content gives it too.
#[test]
fn inside_other_bytes() {
    let content = sample();
    for (id, command, ..) in TOOLS.iter().filter(|(id, ..)| !matches!(*id, "compress" | "zlib")) {
        let packed = made(&content, command);
        let image: Bytes =
            [&noise(3, 777)[..], &packed, &[0xff; 300], &prose(5, 3000)].concat().into();
        let candidate = format(id).probe(&image, 777, &Budget::ample()).unwrap();
        assert_eq!((candidate.start, candidate.length), (777, packed.len()), "{command}");
        assert_eq!(candidate.problems, [], "{command}");
        let budget = Budget::ample();
        let mut sink = proofmark_unpack::format::Sink::new(&budget);
        format(id).open(&image.slice(777..777 + packed.len()), None, &budget, &mut sink);
        assert!(sink.entries[0].blob.load(&budget).bytes == content, "{command}");
    }
}

#[test]
fn several_streams_are_one_content() {
    let content = sample();
    let twice = [&content[..], &content].concat();
    for (id, command, ..) in TOOLS
        .iter()
        .filter(|(id, ..)| matches!(*id, "gzip" | "xz" | "bzip2" | "zstd" | "lz4" | "lzip"))
    {
        let packed = made(&content, command);
        let opened = open_clean(id, [&packed[..], &packed].concat(), Proof::DecoderEnded);
        assert_eq!(opened.entries.len(), 1, "{command}");
        assert!(opened.entries[0].blob.load(&Budget::ample()).bytes == twice, "{command}");
    }
    // A gzip member with another name is another file.
    let (a, b) =
        (made(&content, "gzip -c in.bin"), made(&content, "mv in.bin other; gzip -c other"));
    let image: Bytes = [&a[..], &b].concat().into();
    let opened = open_at(format("gzip"), &image, 0, &Budget::ample()).unwrap();
    assert_eq!(opened.candidate.length, a.len());
    // Skippable frames in front, between and behind belong to the stream.
    let frame = made(&content, "zstd -q -c in.bin");
    let skip = [b"\x53\x2a\x4d\x18\x05\x00\x00\x00".as_slice(), b"hello"].concat();
    let opened = open_clean("zstd", [&frame[..], &skip, &frame].concat(), Proof::DecoderEnded);
    assert!(opened.entries[0].blob.load(&Budget::ample()).bytes == twice);
}

#[test]
fn damage_is_survived_and_reported() {
    // More than one block of every format but bzip2.
    let content = [prose(11, 150_000), noise(12, 150_000)].concat();
    for (id, command, ..) in TOOLS {
        let packed = made(&content, command);
        damage(id, &packed);
        if matches!(*id, "compress" | "zlib") {
            continue;
        }
        // Cut in the middle: what is there comes out, and the content carries the problem. These pack in
        // blocks of up to 8 MiB; the cut has to leave a whole one.
        let (content, packed) = match *id {
            "lz4" | "lz4-legacy" | "lzop" => {
                let long = content.repeat(80);
                let packed = made(&long, command);
                (long, packed)
            }
            _ => (content.clone(), packed),
        };
        let cut: Bytes = packed[..packed.len() / 2].to_vec().into();
        let Some(opened) = open_at(format(id), &cut, 0, &Budget::ample()) else {
            panic!("{command}: a stream cut in the middle is not recognised");
        };
        assert!(
            opened.candidate.problems.iter().any(|p| p.kind == ProblemKind::Truncated),
            "{command}"
        );
        assert!(opened.candidate.proof < Proof::DecoderEnded, "{command}");
        let loaded = opened.entries[0].blob.load(&Budget::ample());
        // bzip2 has nothing to show before its first block is whole.
        assert!(loaded.bytes.len() > 1000 || *id == "bzip2", "{command}");
        assert!(content.starts_with(&loaded.bytes), "{command}");
        assert!(
            opened.entries[0].problems.len() + loaded.problems.len() > 0,
            "{command}: a content that is cut off must say so"
        );
    }
}

/// A wrong checksum is a problem, never silence.
#[test]
fn wrong_checksums() {
    let content = noise(1, 50_000);
    for (id, command, at_end) in [
        ("gzip", "gzip -c in.bin", 6),
        ("lzip", "lzip -c in.bin", 18),
        ("lz4", "lz4 -q -c in.bin", 2),
        ("zstd", "zstd -q --check -c in.bin", 2),
    ] {
        let mut packed = made(&content, command);
        let at = packed.len() - at_end;
        packed[at] ^= 1;
        let opened = open_at(format(id), &packed.into(), 0, &Budget::ample()).unwrap();
        assert!(
            opened.candidate.problems.iter().any(|p| p.kind == ProblemKind::Checksum),
            "{id}: {:?}",
            opened.candidate.problems
        );
        assert!(opened.candidate.proof < Proof::ChecksumVerified, "{id}");
        assert!(opened.entries[0].blob.load(&Budget::ample()).bytes == content, "{id}");
    }
}

/// Random bytes behind a magic, and contents that merely contain one, are refused.
#[test]
fn chance_is_refused() {
    for (id, ..) in TOOLS {
        let format = format(id);
        for (n, magic) in format.magics().iter().enumerate() {
            for seed in 0..20 {
                let tail = noise(seed * 1000 + n as u64, 20_000);
                let image: Bytes =
                    [&vec![b'x'; magic.offset][..], magic.bytes, &tail].concat().into();
                let found = format.probe(&image, 0, &Budget::ample());
                // A code that is always valid has nothing that random bytes could contradict.
                if *id != "compress" {
                    assert!(found.is_none(), "{id}: {found:?}");
                }
            }
        }
    }
}

/// A bomb ends at the budget with what was decoded.
#[test]
fn bombs_end_at_the_budget() {
    let zeros = vec![0; 30 << 20];
    for (id, command, ..) in TOOLS.iter().filter(|(id, ..)| *id != "zlib") {
        let packed = Bytes::from(made(&zeros, command));
        let budget = Budget::new(2 << 20, 10, 1 << 30, None);
        let opened =
            open_at(format(id), &packed, 0, &budget).unwrap_or_else(|| panic!("{command}"));
        let loaded = opened.entries.first().map(|e| e.blob.load(&budget));
        let out = loaded.map_or(0, |l| l.bytes.len());
        assert!(out <= 2 << 20, "{command}: {out}");
    }
}
