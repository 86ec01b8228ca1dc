//! APFS as the Linux driver writes it (`samples/README.md`), entry by entry, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::check::{self, Opened};
use proofmark_model::{EntryKind, ProblemKind, Proof};
use proofmark_unpack::{budget::Budget, format::Entry};

fn sample() -> Vec<u8> {
    let stored = include_bytes!("samples/apfs.zst").to_vec();
    let opened = check::open_clean("zstd", stored, Proof::LengthsConsistent);
    opened.entries[0].blob.load(&Budget::ample()).bytes.to_vec()
}

fn text() -> Vec<u8> {
    let lines = (0..5000).map(|i| format!("line {i} of a text that is compressed\n"));
    lines.collect::<String>().into_bytes()
}

fn entry<'o>(opened: &'o Opened, path: &str) -> &'o Entry {
    let found = opened.entries.iter().find(|e| e.path == path.as_bytes());
    found.unwrap_or_else(|| panic!("no {path}"))
}

#[test]
fn every_kind_of_content() {
    let opened = check::open_clean("apfs", sample(), Proof::ChecksumVerified);
    assert_eq!(opened.attributes["label"], "sample");
    assert_eq!(opened.attributes["volumes"], "1");
    let mut sparse = vec![0; 300_000];
    sparse[..5].copy_from_slice(b"begin");
    sparse[200_000..200_006].copy_from_slice(b"middle");
    let hello = b"hello".repeat(70_000 / 5);
    let lzvn = [&hello[..65_536], &text()[65_536..70_000]].concat();
    for (path, expected) in [
        ("plain", text()[..70_000].to_vec()),
        ("empty", Vec::new()),
        ("sparse", sparse),
        ("folder/below/deep", b"deep".to_vec()),
        ("zlib-inside", text()[..2000].to_vec()),
        ("stored-inside", b"store".to_vec()),
        ("zlib-fork", text()),
        ("lzvn-inside", b"hellohellohello".to_vec()),
        ("lzvn-fork", lzvn),
    ] {
        let entry = entry(&opened, path);
        let loaded = entry.blob.load(&Budget::ample());
        assert_eq!(
            (&entry.kind, &entry.problems[..], &loaded.problems[..]),
            (&EntryKind::File, &[][..], &[][..]),
            "{path}"
        );
        assert_eq!(entry.blob.size(), expected.len() as u64, "{path}");
        assert!(loaded.bytes == expected, "{path}");
        assert_eq!(entry.metadata.mtime, Some(1_600_000_000), "{path}");
        let compressed = path.contains('-');
        assert!(!compressed || entry.metadata.xattrs.is_empty(), "{path}");
    }
    let names: Vec<_> =
        entry(&opened, "plain").metadata.xattrs.iter().map(|x| (&x.0[..], x.1.len())).collect();
    assert!(names.contains(&("mark", 5)) && names.iter().any(|n| n.0 == "large"), "{names:?}");
    assert_eq!(
        entry(&opened, "folder/link").kind,
        EntryKind::Symlink { target: "../plain".into() }
    );
    assert_eq!(entry(&opened, "fifo").kind, EntryKind::Fifo);
    // Which of two names of a file comes first is a matter of the order of folders.
    assert_eq!(entry(&opened, "folder/other").kind, EntryKind::Hardlink { target: "plain".into() });
    assert_eq!(opened.entries.len(), 14);
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let whole = sample();
    // The flag that says that the volume is not encrypted, in every state of its superblock.
    let mut closed = whole.clone();
    for block in closed.chunks_mut(4096).filter(|b| b[32..36] == *b"APSB") {
        block[264] &= !1;
        seal(block);
    }
    let opened =
        check::open_at(check::format("apfs"), &closed.into(), 0, &Budget::ample()).unwrap();
    assert_eq!(
        opened.problems.iter().map(|p| p.kind).collect::<Vec<_>>(),
        [ProblemKind::Encrypted]
    );
    assert!(entry(&opened, "plain").problems.iter().any(|p| p.kind == ProblemKind::Encrypted));
    // A leaf of the tree of records, in every state.
    let mut torn = whole.clone();
    let leaf = |b: &&mut [u8]| b[24] == 3 && b[28] == 14;
    torn.chunks_mut(4096).filter(leaf).for_each(|b| b[2000] ^= 1);
    let opened = check::open_at(check::format("apfs"), &torn.into(), 0, &Budget::ample()).unwrap();
    let kinds: Vec<_> = opened.problems.iter().map(|p| p.kind).collect();
    assert!(kinds.contains(&ProblemKind::Checksum) && kinds.contains(&ProblemKind::Incomplete));
    // The newest state of the container: its copy in block 0 is read, and that it stands alone is said.
    let mut old = whole;
    old[12 * 4096 + 100] ^= 1;
    let opened = check::open_at(check::format("apfs"), &old.into(), 0, &Budget::ample()).unwrap();
    assert_eq!(
        opened.problems.iter().map(|p| p.kind).collect::<Vec<_>>(),
        [ProblemKind::Incomplete]
    );
    assert_eq!(opened.entries.len(), 14);
}

/// Puts the sum of a block right.
fn seal(block: &mut [u8]) {
    let words = block[8..].chunks(4).map(|w| u64::from(u32::from_le_bytes(w.try_into().unwrap())));
    let (low, high) =
        words.fold((0, 0), |(a, b), w| ((a + w) % 0xffff_ffff, (a + b + w) % 0xffff_ffff));
    let first = 0xffff_ffff - (low + high) % 0xffff_ffff;
    let second = 0xffff_ffff - (low + first) % 0xffff_ffff;
    block[..8].copy_from_slice(&(second << 32 | first).to_le_bytes());
}

#[test]
fn damage() {
    check::damage("apfs", &sample());
}
