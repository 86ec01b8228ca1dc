//! Package databases, and which package owns which file.
//!
//! Establishes: every package that a database of the root records, with version,
//! architecture, source and licence as recorded, the files it says it owns, and
//! the share of the root's files that some package owns.
//!
//! How: `dpkg` (status, `status.d`, `info/*.list`), `opkg` and `ipkg` (the same
//! layout below `usr/lib/opkg`), `apk` (`lib/apk/db/installed`), and RPM's header
//! blobs in SQLite, ndb and Berkeley DB files (see [`crate::rpm`]).
//!
//! False positives: a database may record what was deleted afterwards; a file
//! that is listed but absent is not counted as owned.
//!
//! False negatives: a database that was removed or emptied; then the trait
//! `package-ownership` tells that nothing is owned.
//!
//! Limits: only databases at their usual places are joined with their root.
//!
//! Sources: dpkg(1) and deb-control(5); OpenWrt opkg `libopkg/pkg_parse.c`;
//! Alpine "Apk spec"; rpm.org "Package format" and "Database backends".

use std::collections::BTreeMap;

use proofmark_model::{
    Fact, Observation, Strength, Tri,
    fact::{Package, Trait},
};
use serde::{Deserialize, Serialize};

use crate::{
    Class, Notes,
    notes::Range,
    root::{File, Root},
    text,
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("packages", 1);

/// A package as its database records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The fact; its files are filled in where the same file lists them.
    pub package: Package,
    /// The record's bytes.
    pub range: Range,
}

/// The class of a package database by its path.
pub(crate) fn class(path: &str, name: &str) -> Option<Class> {
    let below = |folder: &str| path.contains(folder);
    match name {
        "status" if below("dpkg/") || below("opkg/") || below("ipkg/") => Some(Class::Packages),
        "installed" if below("apk/db/") => Some(Class::Packages),
        "rpmdb.sqlite" | "Packages.db" => Some(Class::Packages),
        "Packages" if below("lib/rpm") => Some(Class::Packages),
        _ if below("dpkg/status.d/") && !name.ends_with(".md5sums") => Some(Class::Packages),
        _ if name.ends_with(".control") && (below("opkg/info/") || below("ipkg/info/")) => {
            Some(Class::Packages)
        }
        _ if name.ends_with(".list")
            && (below("dpkg/info/") || below("opkg/info/") || below("ipkg/info/")) =>
        {
            Some(Class::FileList)
        }
        _ => None,
    }
}

/// First stage: the records.
pub(crate) fn content(class: Class, bytes: &[u8], notes: &mut Notes) {
    if class == Class::FileList {
        // One absolute path per line; opkg may add a tab and further fields.
        notes.owned = String::from_utf8_lossy(bytes)
            .lines()
            .take(200_000)
            .filter_map(|l| l.split('\t').next()?.strip_prefix('/'))
            .filter(|p| *p != "." && !p.is_empty())
            .map(str::to_owned)
            .collect();
        return;
    }
    if !text::is_text(bytes) {
        notes.packages = crate::rpm::read(bytes);
        return;
    }
    let text = text::same_length(bytes);
    notes.packages =
        if text.starts_with("C:") || text.starts_with("P:") { apk(&text) } else { control(&text) };
}

fn empty(manager: &str) -> Package {
    Package {
        manager: manager.to_owned(),
        name: String::new(),
        version: String::new(),
        architecture: None,
        source: None,
        installed: true,
        license: None,
        files: Vec::new(),
    }
}

/// Stanzas of `Key: value` lines, ended by an empty line.
fn control(text: &str) -> Vec<Recorded> {
    let mut out = Vec::new();
    let mut open: Option<(Package, Range)> = None;
    let mut finish = |open: &mut Option<(Package, Range)>| {
        if let Some((package, range)) = open.take()
            && !package.name.is_empty()
            && !package.version.is_empty()
        {
            out.push(Recorded { package, range });
        }
    };
    for line in text::lines(text) {
        if line.text.trim().is_empty() {
            finish(&mut open);
            continue;
        }
        let (package, range) = open.get_or_insert_with(|| (empty("dpkg"), line.range));
        range.1 = line.range.1;
        // A line that starts with a blank continues the field before it.
        let Some((key, value)) =
            line.text.split_once(':').filter(|_| !line.text.starts_with([' ', '\t']))
        else {
            continue;
        };
        let value = value.trim();
        match key {
            "Package" => package.name = value.to_owned(),
            "Version" => package.version = value.to_owned(),
            "Architecture" => package.architecture = Some(value.to_owned()),
            "Source" => package.source = Some(value.to_owned()),
            "License" => package.license = Some(value.to_owned()),
            // `install ok installed`; opkg writes flags in the second word.
            "Status" => package.installed = value.split_whitespace().last() == Some("installed"),
            _ => {}
        }
    }
    finish(&mut open);
    out
}

/// Alpine: one-letter keys; `F:` names a folder, `R:` a file in it.
fn apk(text: &str) -> Vec<Recorded> {
    let mut out = Vec::new();
    let mut open: Option<(Package, Range)> = None;
    let mut folder = String::new();
    let mut finish = |open: &mut Option<(Package, Range)>| {
        if let Some((package, range)) = open.take()
            && !package.name.is_empty()
        {
            out.push(Recorded { package, range });
        }
    };
    for line in text::lines(text) {
        if line.text.is_empty() {
            finish(&mut open);
            continue;
        }
        let (package, range) = open.get_or_insert_with(|| {
            folder.clear();
            (empty("apk"), line.range)
        });
        range.1 = line.range.1;
        let Some((key, value)) = line.text.split_once(':') else { continue };
        match key {
            "P" => package.name = value.to_owned(),
            "V" => package.version = value.to_owned(),
            "A" => package.architecture = Some(value.to_owned()),
            "L" => package.license = Some(value.to_owned()),
            "o" => package.source = Some(value.to_owned()),
            "F" => folder = value.to_owned(),
            "R" => package.files.push(crate::root::join(&folder, value)),
            _ => {}
        }
    }
    finish(&mut open);
    out
}

/// Which package owns a path, in one root.
#[derive(Debug, Default)]
pub struct Owners {
    by_path: BTreeMap<String, String>,
}

impl Owners {
    /// `manager:name` of the package that owns the real path.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<String> {
        self.by_path.get(path).cloned()
    }
}

/// Package of `path/to/NAME.list`; dpkg adds `:architecture` to some names.
fn list_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?.strip_suffix(".list")?;
    Some(name.split(':').next().unwrap_or(name))
}

fn manager_of<'p>(path: &str, recorded: &'p str) -> &'p str {
    if recorded == "dpkg" && (path.contains("opkg/") || path.contains("ipkg/")) {
        "opkg"
    } else {
        recorded
    }
}

/// Databases of a root: facts, and who owns what.
pub(crate) fn read(root: &Root<'_>, out: &mut Vec<Observation>) -> Owners {
    let mut lists: BTreeMap<(&str, &str), &Vec<String>> = BTreeMap::new();
    let mut databases: Vec<(&str, File<'_>, &Notes)> = Vec::new();
    for (path, file) in root.files() {
        let Some(notes) = file.notes() else { continue };
        if !notes.owned.is_empty()
            && let Some(name) = list_name(path)
        {
            lists.insert((manager_of(path, "dpkg"), name), &notes.owned);
        }
        if !notes.packages.is_empty() {
            databases.push((path, file, notes));
        }
    }
    let mut owners = Owners::default();
    let mut seen = std::collections::BTreeSet::new();
    // Databases name each folder many times; it leads to the same place each time.
    let mut folders: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (path, file, notes) in &databases {
        for recorded in &notes.packages {
            let mut package = recorded.package.clone();
            package.manager = manager_of(path, &package.manager).to_owned();
            if let Some(files) = lists.get(&(package.manager.as_str(), package.name.as_str())) {
                package.files = (*files).clone();
            }
            // opkg records a package in its status and again in its control file.
            if !seen.insert((
                package.manager.clone(),
                package.name.clone(),
                package.version.clone(),
            )) {
                continue;
            }
            let owner = format!("{}:{}", package.manager, package.name);
            if package.installed {
                for owned in &package.files {
                    // A usr-merged root records /bin/x and has it in /usr/bin.
                    let (folder, name) = owned.rsplit_once('/').unwrap_or(("", owned));
                    let real = match folders.get(folder) {
                        Some(real) => real.clone(),
                        None => {
                            let real = root.real(folder);
                            folders.insert(folder.to_owned(), real.clone());
                            real
                        }
                    };
                    let real = real.map(|r| crate::root::join(&r, name));
                    if let Some(real) = real.filter(|r| root.entry(r).is_some()) {
                        owners.by_path.insert(real, owner.clone());
                    }
                }
            }
            package.files.retain(|p| {
                root.entry(p)
                    .is_none_or(|f| f.artifact.entry != proofmark_model::EntryKind::Directory)
            });
            out.push(observation(Fact::Package(package), file, recorded.range));
        }
    }
    if let Some((_, file, _)) = databases.first() {
        let files = root
            .files()
            .filter(|(p, _)| !p.starts_with("dev/") && !p.starts_with("var/lib/"))
            .map(|(p, _)| p);
        let (mut all, mut owned) = (0_u64, 0_u64);
        for path in files {
            all = all.saturating_add(1);
            owned = owned.saturating_add(u64::from(owners.by_path.contains_key(path)));
        }
        let fact = Trait {
            name: "package-ownership".to_owned(),
            value: format!("{owned} of {all} files"),
            complete: if owned == all { Tri::Yes } else { Tri::No },
        };
        out.push(observation(Fact::Trait(fact), file, (0, file.artifact.size)));
    }
    owners
}

fn observation(fact: Fact, file: &File<'_>, range: Range) -> Observation {
    Observation {
        fact,
        evidence: file.evidence(range),
        inspector: REVISION.0.to_owned(),
        revision: REVISION.1,
        strength: Strength::Observed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn packages(tree: &Tree) -> Vec<Package> {
        tree.facts(|f| match f {
            Fact::Package(p) => Some(p),
            _ => None,
        })
    }

    #[test]
    fn dpkg_with_its_lists() {
        let tree = Tree::new()
            .file("bin/a", "x")
            .file("bin/b", "x")
            .file("etc/passwd", "")
            .file("var/lib/dpkg/status", "Package: aa\nStatus: install ok installed\nArchitecture: armhf\nSource: src (1.0)\nVersion: 1:2-3\nDescription: x\n more: text\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n")
            .file("var/lib/dpkg/info/aa:armhf.list", "/.\n/bin\n/bin/a\n");
        let all = packages(&tree);
        assert_eq!(all.len(), 2);
        let aa = all.iter().find(|p| p.name == "aa").unwrap();
        assert_eq!(
            (aa.version.as_str(), aa.architecture.as_deref(), aa.source.as_deref(), aa.installed),
            ("1:2-3", Some("armhf"), Some("src (1.0)"), true)
        );
        assert!(aa.files.contains(&"bin/a".to_owned()));
        assert!(!all.iter().find(|p| p.name == "gone").unwrap().installed);
        let share = tree.facts(|f| match f {
            Fact::Trait(t) if t.name == "package-ownership" => Some(t.value),
            _ => None,
        });
        assert_eq!(share, ["1 of 3 files"]);
    }

    #[test]
    fn opkg_and_apk() {
        let tree = Tree::new()
            .file("bin/a", "x")
            .file("etc/passwd", "")
            .file("usr/lib/opkg/status", "Package: base-files\nVersion: 1562-r24106\nStatus: install user installed\nArchitecture: mips\n")
            .file("usr/lib/opkg/info/base-files.control", "Package: base-files\nVersion: 1562-r24106\nLicense: GPL-2.0\n")
            .file("usr/lib/opkg/info/base-files.list", "/bin/a\n")
            .file("lib/apk/db/installed", "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\n\nP:zlib\nV:1.3\n\n");
        let all = packages(&tree);
        let by = |n: &str| all.iter().filter(|p| p.name == n).collect::<Vec<_>>();
        assert_eq!(by("base-files").len(), 1);
        assert_eq!(by("base-files")[0].manager, "opkg");
        assert_eq!(by("musl")[0].files, ["lib/ld-musl-x86_64.so.1"]);
        assert_eq!((by("musl")[0].license.as_deref(), by("zlib").len()), (Some("MIT"), 1));
    }
}
