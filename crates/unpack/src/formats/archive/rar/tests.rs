//! Archives put together here around streams of `codec::rar::tests`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use super::*;
use crate::{
    codec::rar::tests::{
        Bitter, Op, block3, block5, delta, meaning,
        old::{Old, Writer, block2, meaning1, meaning2, ops1, ops2, sound},
        plain_ops, prose,
    },
    formats::testing::{open, scratch, tool, torture},
};

fn number(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n > 127 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// A header of RAR 5 with what stands behind it.
fn header(body: &[u8], data: &[u8]) -> Vec<u8> {
    let sized = [&number(body.len())[..], body].concat();
    [&check::crc32(&sized).to_le_bytes()[..], &sized, data].concat()
}

/// One member of an archive: name, stored bytes, content, whether it is packed and goes on with the window, which
/// volumes it is in.
struct Spec<'a> {
    name: &'a str,
    data: &'a [u8],
    plain: &'a [u8],
    packed: bool,
    solid: bool,
    split: (bool, bool),
    /// Records of the extra area.
    extra: Vec<u8>,
    crc: bool,
}

impl<'a> Spec<'a> {
    fn new(name: &'a str, data: &'a [u8], plain: &'a [u8], packed: bool, solid: bool) -> Self {
        Self { name, data, plain, packed, solid, split: (false, false), extra: vec![], crc: true }
    }

    fn five(&self) -> Vec<u8> {
        let flags = 3 | usize::from(self.split.0) << 3 | usize::from(self.split.1) << 4;
        let compression = (usize::from(self.packed) * 3) << 7 | usize::from(self.solid) << 6;
        let sum = if self.split.1 { check::crc32(self.data) } else { check::crc32(self.plain) };
        let crc = if self.crc { &sum.to_le_bytes()[..] } else { &[] };
        let body = [
            number(2),
            number(flags),
            number(self.extra.len()),
            number(self.data.len()),
            number(if self.crc { 4 } else { 0 }),
            number(self.plain.len()),
            number(0o100_640),
            crc.to_vec(),
            number(compression),
            number(1),
            number(self.name.len()),
            self.name.as_bytes().to_vec(),
            self.extra.clone(),
        ];
        header(&body.concat(), self.data)
    }

    fn four(&self) -> Vec<u8> {
        self.before_five(29, 0)
    }

    /// As RAR of this version stores it, with more flags.
    fn before_five(&self, version: u8, flags: u16) -> Vec<u8> {
        let mut raw = vec![0x74];
        let flags = 0x8000 | u16::from(self.solid) << 4 | flags;
        raw.extend(flags.to_le_bytes());
        raw.extend((32 + self.name.len() as u16).to_le_bytes());
        raw.extend((self.data.len() as u32).to_le_bytes());
        raw.extend((self.plain.len() as u32).to_le_bytes());
        raw.push(3);
        raw.extend(check::crc32(self.plain).to_le_bytes());
        raw.extend([0, 0, 0x21, 0x28, version, if self.packed { 0x33 } else { 0x30 }]);
        raw.extend((self.name.len() as u16).to_le_bytes());
        raw.extend(0o100_640_u32.to_le_bytes());
        raw.extend(self.name.as_bytes());
        [&(check::crc32(&raw) as u16).to_le_bytes()[..], &raw, self.data].concat()
    }
}

/// An archive, or one volume of some.
fn five(members: &[Spec<'_>], more: bool) -> Vec<u8> {
    let all: Vec<u8> = members.iter().flat_map(Spec::five).collect();
    [V5.to_vec(), header(&[1, 0, 0], &[]), all, header(&[5, 0, u8::from(more)], &[])].concat()
}

fn record(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&number(rest.len() + 1)[..], &[kind], rest].concat()
}

#[test]
fn members_alone_and_on_each_others_window() {
    let ops = plain_ops();
    let first = meaning(b"", &ops);
    let again = [Op::Match(first.len(), 250), Op::Bytes(vec![9; 40])];
    let second = meaning(&first, &again);
    let table: Vec<u8> = (0..500_u32).map(|n| (n * n) as u8).collect();
    let filtered = [Op::Filter(0, 500, 0, 3), Op::Bytes(delta(&table, 3))];
    let (a, b) = (block5(&ops, true, true), block5(&again, false, true));
    let c = block5(&filtered, true, true);
    let hash = record(2, &[&[0][..], &blake2sp::hash(&table)].concat());
    let members = [
        Spec::new("first", &a, &first, true, false),
        Spec::new("second", &b, &second, true, true),
        Spec { extra: hash, ..Spec::new("table", &c, &table, true, false) },
        Spec::new("stored", &first, &first, false, false),
        Spec { crc: false, ..Spec::new("wrong\u{e9}", &first, &first, false, false) },
    ];
    let opened = open(&Rar, &five(&members, false));
    assert_eq!(opened.problems, []);
    for member in &members {
        assert!(opened.content(member.name) == member.plain, "{}", member.name);
    }
    // The same in RAR 4, where the second goes on with the codes too.
    let mut three = Bitter::default();
    block3(&mut three, &ops, true);
    let mut whole = Spec::new("first", &three.bytes, &first, true, false).four();
    whole.extend(Spec::new("kept", &first, &first, false, false).four());
    let main = [0x73, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0];
    let main = [&(check::crc32(&main) as u16).to_le_bytes()[..], &main].concat();
    let opened = open(&Rar, &[V4, &main, &whole].concat());
    assert_eq!(opened.problems, []);
    assert!(opened.content("first") == first && opened.content("kept") == first);
}

#[test]
fn wrong_sums_are_told() {
    let plain = prose(200);
    let bad_hash = record(2, &[&[0][..], &[7; 32]].concat());
    let members = [
        Spec { extra: bad_hash, ..Spec::new("hash", &plain, &plain, false, false) },
        Spec::new("crc", &plain[1..], &plain, false, false),
    ];
    let opened = open(&Rar, &five(&members, false));
    for entry in &opened.entries {
        let loaded = entry.blob.load(&Budget::ample());
        assert_eq!(loaded.problems[0].kind, ProblemKind::Checksum);
    }
}

#[test]
fn volumes_behind_each_other_are_one_archive() {
    let ops = plain_ops();
    let plain = meaning(b"", &ops);
    let packed = block5(&ops, true, true);
    let (head, tail) = packed.split_at(packed.len() / 2);
    let base = Spec::new("split", head, &plain, true, false);
    let first = five(&[Spec { split: (false, true), ..base }], true);
    let last = five(
        &[
            Spec { split: (true, false), ..Spec::new("split", tail, &plain, true, false) },
            Spec::new("after", &plain, &plain, false, false),
        ],
        false,
    );
    let opened = open(&Rar, &[&first[..], &[0; 20], &last].concat());
    assert_eq!((opened.problems.len(), opened.names()), (0, vec!["split".into(), "after".into()]));
    assert!(opened.content("split") == plain);
    // Each alone says what is missing.
    let opened = open(&Rar, &first);
    assert_eq!(opened.problems[0].kind, ProblemKind::Incomplete);
    assert!(opened.entries[0].problems.iter().any(|p| p.kind == ProblemKind::Incomplete));
    let opened = open(&Rar, &last);
    assert!(opened.entries[0].problems.iter().any(|p| p.kind == ProblemKind::Incomplete));
    assert!(opened.content("after") == plain);
}

#[test]
fn links_copies_and_owners() {
    let plain = prose(30);
    let redirect = |kind: u8, target: &str| {
        record(5, &[&[kind, 0, target.len() as u8][..], target.as_bytes()].concat())
    };
    let members = [
        Spec { extra: record(6, &[12, 5, 7]), ..Spec::new("file", &plain, &plain, false, false) },
        Spec { extra: redirect(1, "file"), ..Spec::new("link", b"", b"", false, false) },
        Spec { extra: redirect(4, "file"), ..Spec::new("hard", b"", b"", false, false) },
        Spec { extra: redirect(5, "file"), ..Spec::new("copy", b"", &plain, false, false) },
    ];
    let opened = open(&Rar, &five(&members, false));
    let kinds: Vec<_> = opened.entries.iter().map(|e| e.kind.clone()).collect();
    let target = || "file".to_owned();
    assert_eq!(kinds[1], EntryKind::Symlink { target: target() });
    assert_eq!(kinds[2], EntryKind::Hardlink { target: target() });
    assert_eq!(opened.entries[0].metadata.uid, Some(5));
    assert_eq!(opened.entries[0].metadata.gid, Some(7));
    assert!(opened.content("copy") == plain);
}

/// An archive before RAR 5, whose own header has these flags.
fn before_five(flags: u16, members: &[Vec<u8>]) -> Vec<u8> {
    let mut main = vec![0x73];
    main.extend(flags.to_le_bytes());
    main.extend([13, 0, 0, 0, 0, 0, 0, 0]);
    let main = [&(check::crc32(&main) as u16).to_le_bytes()[..], &main].concat();
    [V4, &main, &members.concat()].concat()
}

/// Contents of RAR 1.5 and 2, alone and on each other's window, as The Unarchiver reads them too.
#[test]
fn old_archives_as_another_reader_has_them() {
    let (mut writer, mut recent) = (Writer::default(), vec![0; 4]);
    let one = meaning1(b"", &mut recent, &ops1());
    let input = writer.content(&ops1());
    let ops = [Old::Again(2, 30), Old::Long(300, 255), Old::Bytes(prose(90)), Old::Again(0, 9)];
    let two = meaning1(&one, &mut recent, &ops);
    let after = writer.content(&ops);
    let (a, b) =
        (Spec::new("one", &input, &one, true, false), Spec::new("two", &after, &two, true, false));
    // In RAR 1.5 only the archive says that contents go on with each other.
    let first = before_five(8, &[a.before_five(15, 0), b.before_five(15, 0)]);

    let mut out = Bitter::default();
    let wave: Vec<u8> = (0..3000_u32).map(|n| (n * n / 90 + n % 2 * 40) as u8).collect();
    block2(&mut out, &ops2(), false, true);
    sound(&mut out, &wave, 2, false);
    let text = [meaning2(b"", &ops2()), wave].concat();
    let alone: Vec<_> = [20, 26]
        .iter()
        .zip(["c20", "c26"])
        .map(|(version, name)| {
            Spec::new(name, &out.bytes, &text, true, false).before_five(*version, 0)
        })
        .collect();
    let second = before_five(0, &alone);

    for (archive, files) in [
        (&first, vec![("one", &one), ("two", &two)]),
        (&second, vec![("c20", &text), ("c26", &text)]),
    ] {
        let opened = open(&Rar, archive);
        assert_eq!(opened.problems, []);
        let dir = scratch();
        std::fs::write(dir.path().join("a.rar"), archive).unwrap();
        for (name, plain) in files {
            assert!(opened.content(name)[..] == plain[..], "{name}");
            tool(dir.path(), "unar", &format!("unar -q -f -D a.rar {name} >&2"));
            assert!(std::fs::read(dir.path().join(name)).unwrap() == *plain, "unar, {name}");
        }
    }
    torture(&Rar, &second);
    let wrong = Spec::new("wrong", &input, &two[..], true, false);
    let opened = open(&Rar, &before_five(8, &[wrong.before_five(15, 0)]));
    let loaded = opened.entries[0].blob.load(&Budget::ample());
    assert_eq!(loaded.problems[0].kind, ProblemKind::Checksum);
}

/// The encryption of old archives is named; nothing is made of it.
#[test]
fn old_encryption_is_refused_with_the_reason() {
    let plain = prose(64);
    for (version, name) in [(15, "RAR 1.5"), (20, "RAR 2"), (26, "RAR 2")] {
        for packed in [true, false] {
            let sealed = Spec::new("sealed", &plain, &plain, packed, false).before_five(version, 4);
            let opened = open(&Rar, &before_five(0, &[sealed]));
            assert_eq!(opened.attribute("encrypted"), "yes");
            let entry = &opened.entries[0];
            assert_eq!(entry.problems[0].kind, ProblemKind::Encrypted);
            assert!(entry.problems[0].message.contains(name), "{:?}", entry.problems);
            assert_eq!(entry.blob.size(), 0);
        }
    }
}
