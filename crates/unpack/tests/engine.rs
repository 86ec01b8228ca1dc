//! The engine on a made-up format: recursion, budgets, determinism, the account of bytes.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod toybox;

use std::{
    collections::BTreeSet,
    sync::{LazyLock, Mutex},
};

use bytes::Bytes;
use proofmark_model::{Artifact, Digest, EntryKind, Opaque, ProblemKind, Proof, RegionClass};
use proofmark_unpack::{
    ContentInfo, Input, Limits, Observer, Options, Outcome,
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    invariants,
    scan::Scanner,
    unpack_with,
};
use proptest::prelude::*;
use toybox::encode::{E, stored, toybox};

/// A leaf: `LEAF`, then its length including this header in one byte.
struct Leaf;

static LEAF: About = About {
    id: "leaf",
    name: "Leaf",
    family: Family::Executable,
    revision: 1,
    metadata: "",
    integrity: "",
    limits: "",
    sources: &[],
};

impl Format for Leaf {
    fn about(&self) -> &'static About {
        &LEAF
    }
    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"LEAF")] }
    }
    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        let length = usize::from(*data.get(at + 4)?);
        (length >= 5 && at + length <= data.len())
            .then(|| Candidate::new(at, length, Proof::LengthsConsistent))
    }
    fn open(&self, _: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("machine", "tree");
    }
}

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(vec![&toybox::Toybox, &Leaf]));

/// Digests and innermost paths that were handed over.
#[derive(Default)]
struct Seen(Mutex<BTreeSet<(Digest, String, String)>>);

impl Observer for Seen {
    fn content(&self, info: &ContentInfo<'_>, bytes: &Bytes) {
        assert_eq!(Digest::of(bytes), info.digest);
        self.0.lock().unwrap().insert((info.digest, info.locator.path(), info.format.to_owned()));
    }
}

fn run(data: &[u8], options: &Options) -> (Outcome, BTreeSet<(Digest, String, String)>) {
    let seen = Seen::default();
    let input = Input::bytes("img", data.to_vec());
    let outcome = unpack_with(&SCANNER, input, options, &seen);
    check(&outcome, data.len() as u64);
    (outcome, seen.0.into_inner().unwrap())
}

fn plain(data: &[u8]) -> Outcome {
    run(data, &Options::default()).0
}

/// What holds for every outcome.
fn check(outcome: &Outcome, size: u64) {
    assert_eq!(outcome.coverage.total, size);
    assert_eq!(invariants::broken(outcome), Vec::<String>::new());
}

fn names(outcome: &Outcome) -> Vec<String> {
    outcome.artifacts.iter().map(|a| a.locator.to_string()).collect()
}

fn find<'o>(outcome: &'o Outcome, locator: &str) -> &'o Artifact {
    outcome
        .artifacts
        .iter()
        .find(|a| a.locator.to_string() == locator)
        .unwrap_or_else(|| panic!("no {locator} in {:#?}", names(outcome)))
}

fn budget_problems(outcome: &Outcome) -> Vec<String> {
    outcome
        .artifacts
        .iter()
        .flat_map(|a| a.problems.iter().map(move |p| (a, p)))
        .filter(|(_, p)| p.kind == ProblemKind::Budget)
        .map(|(a, p)| format!("{}: {}", a.locator, p.message))
        .collect()
}

#[test]
fn nothing_at_all() {
    let o = plain(b"");
    assert_eq!(o.artifacts.len(), 1);
    assert_eq!(o.artifacts[0].format, "empty");
    assert_eq!(o.artifacts[0].sha256, Some(Digest::of(b"")));
}

#[test]
fn text_is_understood_and_noise_is_not() {
    let o = plain(b"hello, world\n");
    assert_eq!((o.artifacts[0].format.as_str(), o.coverage.understood), ("text", 13));
    let noise: Vec<u8> =
        (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let o = plain(&noise);
    assert_eq!((o.artifacts[0].format.as_str(), o.coverage.opaque), ("data", 4096));
    assert_eq!(o.coverage.opaque_regions[0].length, 4096);
}

#[test]
fn regions_gaps_and_entries_of_an_image() {
    let inner = toybox(&[stored("deep.txt", "deep\n")]);
    let mut leaf = b"LEAF\x20".to_vec();
    leaf.resize(32, 7);
    let boxed = toybox(&[
        stored("b.toy", inner),
        stored("a.txt", "first\n"),
        stored("a.txt", "second\n"),
        stored("bin/tool", leaf.clone()),
    ]);
    let mut image = vec![0xff; 100];
    image.extend(&boxed);
    image.extend([0; 50]);
    image.extend(&leaf);
    image.extend(b"some words at the end\n");
    let (o, seen) = run(&image, &Options::default());
    let end = 100 + boxed.len();
    assert_eq!(
        names(&o),
        [
            "img".to_owned(),
            "img+0x0..0x64".into(),
            "img@0x64:toybox".into(),
            "img@0x64:toybox/a.txt".into(),
            "img@0x64:toybox/a.txt#2".into(),
            "img@0x64:toybox/b.toy".into(),
            "img@0x64:toybox/b.toy@0x0:toybox".into(),
            "img@0x64:toybox/b.toy@0x0:toybox/deep.txt".into(),
            "img@0x64:toybox/bin/tool".into(),
            format!("img+{end:#x}..{:#x}", end + 50),
            format!("img@{:#x}:leaf", end + 50),
            format!("img+{:#x}..{:#x}", end + 82, image.len()),
        ]
    );
    assert_eq!(o.artifacts[0].format, "composite");
    assert_eq!(find(&o, "img@0x64:toybox/a.txt#2").sha256, Some(Digest::of(b"second\n")));
    let tool = find(&o, "img@0x64:toybox/bin/tool");
    assert_eq!(tool.format, "leaf");
    assert_eq!(tool.attributes["machine"], "tree");
    assert_eq!(find(&o, "img+0x0..0x64").entry, EntryKind::Gap);
    assert_eq!((o.coverage.padding, o.coverage.opaque), (150, 22));
    assert_eq!(o.coverage.understood, (boxed.len() + 32) as u64);
    assert!(seen.contains(&(Digest::of(b"deep\n"), "deep.txt".into(), "text".into())));
    assert!(seen.contains(&(Digest::of(&leaf), String::new(), "leaf".into())));
    assert!(seen.iter().any(|(d, _, f)| *d == Digest::of(&image) && f == "composite"));
    let RegionClass::Opaque { looks, .. } = o.artifacts[0].regions.last().unwrap().class else {
        panic!()
    };
    assert_eq!(looks, Opaque::Text);
}

#[test]
fn a_damaged_container_keeps_what_can_be_read() {
    let mut boxed = toybox(&[stored("a", "alpha\n"), stored("b", "beta\n")]);
    boxed.truncate(boxed.len() - 3);
    let o = plain(&boxed);
    let region = find(&o, "img@0x0:toybox");
    assert_eq!(region.proof, Some(Proof::LengthsConsistent));
    let kinds: BTreeSet<_> = region.problems.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, [ProblemKind::Truncated, ProblemKind::Incomplete].into());
    assert_eq!(find(&o, "img@0x0:toybox/a").sha256, Some(Digest::of(b"alpha\n")));
}

#[test]
fn unsafe_paths_are_kept_and_marked() {
    let o = plain(&toybox(&[stored("../../etc/passwd", "x\n"), stored("/abs", "y\n")]));
    for path in ["../../etc/passwd", "/abs"] {
        let a = find(&o, &format!("img@0x0:toybox/{path}"));
        assert_eq!(a.problems[0].kind, ProblemKind::UnsafePath);
    }
}

#[test]
fn ten_levels_of_nesting_and_the_depth_bound() {
    let mut data = b"core\n".to_vec();
    for i in 0..10 {
        data = toybox(&[stored(&format!("level{i}"), data)]);
    }
    let o = plain(&data);
    assert!(o.artifacts.iter().any(|a| a.locator.path() == "level0" && a.format == "text"));
    assert!(budget_problems(&o).is_empty());
    let options =
        Options { limits: Limits { depth: 4, ..Limits::default() }, ..Options::default() };
    let o = run(&data, &options).0;
    assert_eq!(budget_problems(&o).len(), 1, "{:?}", budget_problems(&o));
    assert!(o.artifacts.iter().all(|a| a.locator.path() != "level4"));
}

#[test]
fn equal_contents_are_opened_once_and_listed_each_time() {
    let inner = toybox(&[stored("x", "the same\n")]);
    let copies: Vec<_> = ["a", "b", "c", "d"].map(|n| stored(n, inner.clone())).into();
    let (o, _) = run(&toybox(&copies), &Options::default());
    for n in ["a", "b", "c", "d"] {
        let l = format!("img@0x0:toybox/{n}@0x0:toybox/x");
        assert_eq!(find(&o, &l).sha256, Some(Digest::of(b"the same\n")));
    }
}

/// A nest of sixteen copies each, seven deep: 16^7 places, a handful of contents.
#[test]
fn a_bomb_of_copies_is_cut_at_the_budget_of_entries() {
    let mut data = b"core\n".to_vec();
    let names: Vec<String> = (0..16).map(|i| format!("n{i}")).collect();
    for _ in 0..7 {
        let entries: Vec<_> = names.iter().map(|n| stored(n, data.clone())).collect();
        data = toybox(&entries);
        if data.len() > 4 << 20 {
            break;
        }
    }
    let options =
        Options { limits: Limits { entries: 5000, ..Limits::default() }, ..Options::default() };
    let o = run(&data, &options).0;
    assert_eq!(o.artifacts.len(), 5000);
    assert!(!budget_problems(&o).is_empty());
}

#[test]
fn output_budgets_of_content_container_and_image() {
    let bomb = toybox(&[("big", E::Run(b'x', 3 << 20)), stored("small", "still here\n")]);
    let limit = |limits| Options { limits, ..Options::default() };
    for limits in [
        Limits { content: 1 << 20, ..Limits::default() },
        Limits { artifact_output: 1 << 20, ..Limits::default() },
        Limits { output: 1 << 20, ..Limits::default() },
    ] {
        let o = run(&bomb, &limit(limits.clone())).0;
        let problems = budget_problems(&o);
        assert_eq!(problems.len(), 1, "{limits:?}: {problems:?}");
        assert!(problems[0].starts_with("img@0x0:toybox/big"));
        assert_eq!(find(&o, "img@0x0:toybox/small").format, "text");
    }
    let o = run(&bomb, &limit(Limits { ratio: 1, ..Limits::default() })).0;
    assert!(budget_problems(&o).is_empty(), "a small container may always give 64 MiB");
    let huge = toybox(&[("big", E::Run(b'x', 65 << 20))]);
    let o = run(&huge, &limit(Limits { ratio: 1, ..Limits::default() })).0;
    assert_eq!(budget_problems(&o).len(), 1);
}

#[test]
fn entry_budget_of_a_container() {
    let entries: Vec<_> = ["a", "b", "c", "d"].map(|n| stored(n, "x")).into();
    let limits = Limits { artifact_entries: 2, ..Limits::default() };
    let o = run(&toybox(&entries), &Options { limits, ..Options::default() }).0;
    assert_eq!(o.artifacts.len(), 4);
    assert_eq!(budget_problems(&o).len(), 1);
}

#[test]
fn time_that_is_up_is_said() {
    let limits = Limits { time: Some(std::time::Duration::ZERO), ..Limits::default() };
    let o = run(&toybox(&[stored("a", "x\n")]), &Options { limits, ..Options::default() }).0;
    assert!(budget_problems(&o).iter().any(|p| p.contains("time")), "{:?}", budget_problems(&o));
}

#[test]
fn large_contents_are_put_off_and_still_read() {
    let boxed = toybox(&[
        ("huge", E::Run(b'a', 70 << 20)),
        ("huge2", E::Run(b'b', 70 << 20)),
        // So many bytes may not come out of a few.
        stored("filler", vec![1; 1 << 20]),
    ]);
    let o = plain(&boxed);
    assert_eq!(find(&o, "img@0x0:toybox/huge2").size, 70 << 20);
    assert!(find(&o, "img@0x0:toybox/huge2").sha256.is_some());
}

#[test]
fn a_folder_is_an_image() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("rootfs");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(root.join("etc/motd"), "hi\n").unwrap();
    std::fs::write(root.join("fw.bin"), toybox(&[stored("x", "inside\n")])).unwrap();
    std::fs::set_permissions(root.join("etc/motd"), PermissionsExt::from_mode(0o4755)).unwrap();
    symlink("/etc/shadow", root.join("link")).unwrap();
    symlink("..", root.join("etc/loop")).unwrap();
    std::fs::hard_link(root.join("etc/motd"), root.join("etc/other")).unwrap();
    let input = Input::open(&root).unwrap();
    let o = unpack_with(&SCANNER, input, &Options::default(), &());
    let size = 3 + std::fs::metadata(root.join("fw.bin")).unwrap().len();
    check(&o, size);
    assert_eq!(
        names(&o),
        [
            "rootfs",
            "rootfs/etc",
            "rootfs/etc/loop",
            "rootfs/etc/motd",
            "rootfs/etc/other",
            "rootfs/fw.bin",
            "rootfs/fw.bin@0x0:toybox",
            "rootfs/fw.bin@0x0:toybox/x",
            "rootfs/link",
        ]
    );
    assert_eq!(find(&o, "rootfs/etc/motd").metadata.mode, Some(0o4755));
    let target = |t: &str| t.to_owned();
    assert_eq!(find(&o, "rootfs/link").entry, EntryKind::Symlink { target: target("/etc/shadow") });
    assert_eq!(
        find(&o, "rootfs/etc/other").entry,
        EntryKind::Hardlink { target: target("etc/motd") }
    );
    assert_eq!(o.coverage.understood, size);
}

#[test]
fn a_sparse_file_is_opened_without_its_holes() {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.seek(SeekFrom::Start(60 << 30)).unwrap();
    file.write_all(&toybox(&[stored("x", "far out\n")])).unwrap();
    let size = file.as_file().metadata().unwrap().len();
    let start = std::time::Instant::now();
    let o = unpack_with(&SCANNER, Input::open(file.path()).unwrap(), &Options::default(), &());
    check(&o, size);
    assert!(o.artifacts.iter().any(|a| a.locator.path() == "x"));
    // Reading 60 GiB takes many times as long; the bound is only there to see that it was not done.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn a_file_of_magics_is_cut_off_and_says_so() {
    let data = b"LEAF\x01".repeat(1 << 20);
    let o = plain(&data);
    assert_eq!(budget_problems(&o).len(), 1);
    // What comes before the cut is found, and other formats are still found behind it.
    let mut data = data;
    data.extend(toybox(&[stored("x", "behind\n")]));
    let o = plain(&data);
    assert!(o.artifacts.iter().any(|a| a.locator.path() == "x"));
}

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        Just(vec![0; 300]),
        Just(b"words\n".to_vec()),
        Just(b"LEAF\x09abcd".to_vec()),
        Just(b"TOYBOX\0\x01\x20\0\0\0\xff\xff\xff\xff".to_vec()),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(("[a-c]{1,2}|\\.\\./x|a/b", inner.clone()), 0..4).prop_map(|v| {
                toybox(&v.iter().map(|(n, c)| stored(n, c.clone())).collect::<Vec<_>>())
            }),
            prop::collection::vec(inner, 1..4).prop_map(|v| v.concat()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn threads_do_not_matter_and_bytes_add_up(
        data in any_content(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        entries in prop_oneof![Just(2_000_000_u64), 1..20_u64],
        output in prop_oneof![Just(1_u64 << 40), 0..500_u64],
        depth in prop_oneof![Just(24_u32), 0..4_u32],
    ) {
        let mut data = data;
        for (at, byte) in flips {
            if !data.is_empty() {
                let i = at.index(data.len());
                data[i] ^= byte;
            }
        }
        let limits = Limits { entries, output, depth, time: None, ..Limits::default() };
        let one = run(&data, &Options { jobs: 1, limits: limits.clone(), ..Options::default() });
        let three = run(&data, &Options { jobs: 3, limits, ..Options::default() });
        prop_assert_eq!(&one.0, &three.0);
        prop_assert!(one.0.artifacts.len() as u64 <= entries.max(1));
    }
}

/// Contents are searched in windows of 64 MiB: what lies across their border is found, and once.
#[test]
fn a_magic_across_two_windows_is_found_once() {
    const BORDER: usize = 1 << 26;
    let mut data = vec![b'U'; BORDER + (1 << 20)];
    let places = [BORDER - 9, BORDER - 2, BORDER + 3];
    for at in places {
        data[at..at + 5].copy_from_slice(b"LEAF\x05");
    }
    let scan = Scanner::new(vec![&Leaf]).scan(
        &Bytes::from(data),
        &proofmark_unpack::map::Holes::default(),
        &Budget::ample(),
    );
    let mut found: Vec<usize> = scan.claims.iter().map(|c| c.candidate.start).collect();
    found.sort_unstable();
    assert_eq!(found, places);
}
