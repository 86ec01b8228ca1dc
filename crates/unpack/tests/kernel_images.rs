//! Images that a real kernel wrote, against what it listed of them. `cargo xtask quality kernel-images` makes both in
//! a virtual machine and runs this; `PROOFMARK_KERNEL_IMAGES` names the folder with `NAME.img` and `NAME.list`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout
)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use bytes::Bytes;
use common::check;
use proofmark_model::{Digest, EntryKind, Problem, locator::escape};
use proofmark_unpack::{budget::Budget, format::Entry, map};
use serde_json::Value;

/// By the name of the image: the formats to open one after the other, and what is not compared because the format or
/// the driver does not have it.
const SUBJECTS: &[(&str, &[&str], &[&str])] = &[
    ("apfs", &["apfs"], &["device"]),
    ("btrfs", &["btrfs"], &[]),
    ("erofs", &["erofs"], &[]),
    ("ext", &["ext"], &[]),
    // The kernel reads devices of Rock Ridge as 16 bits.
    ("iso", &["iso9660"], &["links", "device"]),
    ("jffs2", &["jffs2"], &[]),
    ("minix", &["minix"], &[]),
    ("ntfs", &["ntfs"], &["mode", "owner", "xattrs", "special"]),
    ("squashfs", &["squashfs"], &[]),
    ("ubifs", &["ubi", "ubifs"], &[]),
    ("vfat", &["fat"], &["mode", "owner", "links", "mtime"]),
];

#[test]
#[ignore = "cargo xtask quality kernel-images makes the images"]
fn every_file_is_what_the_kernel_says() {
    let folder = std::env::var("PROOFMARK_KERNEL_IMAGES").unwrap();
    let mut wrong = 0;
    let mut lists: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "list"))
        .collect();
    lists.sort();
    for list in lists {
        let name = list.file_stem().unwrap().to_string_lossy().into_owned();
        let (compared, differences) = subject(&name, &list);
        println!("={name}\t{compared}\t{}", differences.len());
        differences.iter().take(12).for_each(|d| println!("  {d}"));
        wrong += differences.len();
    }
    assert_eq!(wrong, 0, "differences");
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Entries compared, and what differs.
fn subject(name: &str, list: &Path) -> (usize, Vec<String>) {
    let (_, formats, leave) =
        SUBJECTS.iter().filter(|s| name.starts_with(s.0)).max_by_key(|s| s.0.len()).unwrap();
    let image = map::map(&fs::File::open(list.with_extension("img")).unwrap()).unwrap();
    let mut differences = Vec::new();
    let entries = open(image, formats, &mut differences);
    let lines: Vec<Value> = fs::read_to_string(list)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // Said to be shown as it was before: not compared.
    if let [only] = &differences[..]
        && only.contains("files are shown without them")
    {
        println!("  {only}");
        return (0, Vec::new());
    }
    compare(&lines, &entries, formats, leave, &mut differences);
    (lines.len(), differences)
}

fn say(differences: &mut Vec<String>, whose: &str, problems: &[Problem]) {
    differences.extend(problems.iter().map(|p| format!("{whose}: {p:?}")));
}

fn open(mut image: Bytes, formats: &[&str], differences: &mut Vec<String>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for id in formats {
        let Some(opened) = check::open_at(check::format(id), &image, 0, &Budget::ample()) else {
            differences.push(format!("not recognised as {id}"));
            return entries;
        };
        say(differences, id, &opened.candidate.problems);
        say(differences, id, &opened.problems);
        entries = opened.entries;
        if *id != formats[formats.len() - 1]
            && let Some(first) = entries.iter().find(|e| e.kind != EntryKind::Gap)
        {
            image = first.blob.load(&Budget::ample()).bytes;
        }
    }
    entries
}

fn compare(
    lines: &[Value],
    entries: &[Entry],
    formats: &[&str],
    leave: &[&str],
    differences: &mut Vec<String>,
) {
    let keeps = |what: &str| !leave.contains(&what);
    let mut found: BTreeMap<&[u8], &Entry> =
        entries.iter().filter(|e| e.kind != EntryKind::Gap).map(|e| (&e.path[..], e)).collect();
    let mut inodes: HashMap<&str, BTreeSet<String>> = HashMap::new();
    for line in lines.iter().filter(|l| l["kind"] != "directory") {
        let inode = line["inode"].as_str().unwrap_or_default();
        let path = bytes(line["path"].as_str().unwrap());
        inodes.entry(inode).or_default().insert(escape(&path));
    }
    for line in lines {
        let path = bytes(line["path"].as_str().unwrap());
        let name = escape(&path);
        if let Some(error) = line["error"].as_str() {
            differences.push(format!("{name}: the kernel does not read it: {error}"));
            continue;
        }
        let Some(entry) = found.remove(&path[..]) else {
            differences.push(format!("{name}: missing; {line}"));
            continue;
        };
        say(differences, &name, &entry.problems);
        if let EntryKind::Hardlink { target } = &entry.kind {
            let group = &inodes[line["inode"].as_str().unwrap()];
            if !group.contains(target) {
                differences.push(format!("{name}: is said to be another name of {target}"));
            }
            continue;
        }
        // The kernel makes up what it says of the place of a subvolume in a snapshot.
        let made_up = formats == ["btrfs"] && line["inode"].as_str().unwrap().ends_with(":2");
        let keeps = |what: &str| keeps(what) && !made_up;
        let m = &entry.metadata;
        let device = |major: &u32, minor: &u32| format!("[{major},{minor}]");
        let (kind, extra, listed) = match &entry.kind {
            EntryKind::File => {
                let loaded = entry.blob.load(&Budget::ample());
                say(differences, &name, &loaded.problems);
                let digest = Digest::of(&loaded.bytes).to_string();
                ("file", digest, line["sha256"].as_str().unwrap_or_default().to_owned())
            }
            EntryKind::Directory => ("directory", String::new(), String::new()),
            EntryKind::Symlink { target } => (
                "symlink",
                target.clone(),
                escape(&bytes(line["target"].as_str().unwrap_or_default())),
            ),
            EntryKind::CharDevice { major, minor } => {
                ("char", device(major, minor), line["device"].to_string())
            }
            EntryKind::BlockDevice { major, minor } => {
                ("block", device(major, minor), line["device"].to_string())
            }
            EntryKind::Fifo => ("fifo", String::new(), String::new()),
            EntryKind::Socket => ("socket", String::new(), String::new()),
            other => panic!("{name}: {other:?}"),
        };
        let special = ["char", "block", "fifo", "socket"].contains(&line["kind"].as_str().unwrap());
        if special && !keeps("special") {
            continue;
        }
        let mut same = |what: &str, ours: &dyn ToString, theirs: &dyn ToString| {
            let (ours, theirs) = (ours.to_string(), theirs.to_string());
            if ours != theirs {
                differences.push(format!("{name}: {what} is {ours}, the kernel says {theirs}"));
            }
        };
        same("kind", &kind, &line["kind"].as_str().unwrap());
        if !special || keeps("device") {
            same("content", &extra.trim_start_matches("sha256:"), &listed);
        }
        let number = |n: Option<u32>| n.map_or(-1, i64::from);
        if keeps("mode") && kind != "symlink" {
            same("mode", &number(m.mode), &line["mode"]);
        }
        if keeps("owner") {
            same("owner", &number(m.uid), &line["uid"]);
            same("group", &number(m.gid), &line["gid"]);
        }
        if keeps("mtime") {
            same("mtime", &m.mtime.unwrap_or(-1), &line["mtime"]);
        }
        if keeps("xattrs") {
            let ours: BTreeMap<_, _> = m
                .xattrs
                .iter()
                .filter(|x| !x.0.starts_with("system."))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            let theirs = line["xattrs"].as_object().into_iter().flatten();
            let theirs: BTreeMap<_, _> = theirs
                .map(|(k, v)| (escape(k.as_bytes()), escape(&bytes(v.as_str().unwrap()))))
                .collect();
            same("attributes", &format!("{ours:?}"), &format!("{theirs:?}"));
        }
    }
    // Other groups than one have other names found first; each has one that is the file itself.
    if keeps("links") {
        let expected: usize = inodes.values().map(|g| g.len() - 1).sum();
        let ours = entries.iter().filter(|e| matches!(e.kind, EntryKind::Hardlink { .. })).count();
        if expected != ours {
            differences.push(format!("{ours} hard links, the kernel has {expected}"));
        }
    }
    let known = |path: &[u8]| {
        // What the kernel hides: NTFS's own files and streams, orphans.
        path.starts_with(b"$Extend") || path.starts_with(b"lost+found/")
    };
    differences.extend(
        found
            .keys()
            .filter(|p| !known(p))
            .map(|p| format!("{}: the kernel has no such file", escape(p))),
    );
}
