//! Root file systems in an image: each is a world of its own.
//!
//! Establishes: which containers, or folders of them, are root file systems, and
//! what a path means inside one.
//!
//! How: by structure, a folder with `etc` and with `bin` or `sbin`, also below `usr`
//! (as folders or links). A folder inside another root (a jail, a container image, a factory
//! tree) counts as a root of its own if it also has a passwd file, an inittab or
//! a C library. Links are followed inside the root only, at most forty of them;
//! an absolute target starts at the root, and `..` never leaves it.
//!
//! False positives: an unpacked tree kept as data (an update kept for the next
//! boot) is a root too; this is intended, it says where it lies.
//!
//! False negatives: a root without `etc` (a static program as init).
//!
//! Layers of a container image are one root, which the image's manifest stands for: what a
//! higher layer replaces or removes is not in it.
//!
//! Limits: other unions of folders (overlays that are mounted at run time) are not joined.
//!
//! Sources: Filesystem Hierarchy Standard 3.0; path_resolution(7); OCI image specification 1.1.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_model::{
    Artifact, ArtifactId, EntryKind, Evidence, Fact, Observation, Step, Strength, Tri,
    fact::Trait,
    locator::{escape, unescape},
};

use crate::{Notes, View, notes::Range};

/// Id and revision.
pub const REVISION: (&str, u32) = ("root", 3);

/// Links followed for one path, as Linux does.
const LINKS: usize = 40;

/// A root file system. Paths in it have no leading slash; names are escaped as in locators.
#[derive(Debug)]
pub struct Root<'a> {
    /// The tree it lies in.
    pub view: View<'a>,
    /// The container whose entries it is made of.
    pub container: ArtifactId,
    /// Folder of the container that is the root: empty, or ending in a slash.
    pub prefix: String,
    entries: BTreeMap<String, ArtifactId>,
    /// Folders in it that are roots of their own, each ending in a slash.
    nested: Vec<String>,
}

/// An entry of a root, links resolved.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    view: View<'a>,
    /// Which artifact it is.
    pub id: ArtifactId,
    /// The artifact.
    pub artifact: &'a Artifact,
}

impl<'a> File<'a> {
    /// An artifact by its id, inside a root or not.
    #[must_use]
    pub fn of(view: View<'a>, id: ArtifactId) -> Option<Self> {
        Some(Self { view, id, artifact: view.artifact(id)? })
    }

    /// What the first stage found in its content.
    #[must_use]
    pub fn notes(&self) -> Option<&'a Notes> {
        self.view.notes(self.id)
    }

    /// Its text, where it was kept.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        self.notes()?.text.as_deref()
    }

    /// Evidence for bytes of it.
    #[must_use]
    pub fn evidence(&self, range: Range) -> Evidence {
        Evidence::one(self.artifact.locator.at(range.0, range.1))
    }

    /// Evidence for the whole of it.
    #[must_use]
    pub fn whole(&self) -> Evidence {
        Evidence::one(self.artifact.locator.clone())
    }

    /// Whether its passwd records name `user`.
    #[must_use]
    pub fn has_user(&self, user: &str) -> bool {
        self.notes().is_some_and(|n| n.accounts.iter().any(|a| a.user == user))
    }
}

/// Where following a path ended.
enum End {
    Found(String),
    Missing { link: Option<String> },
}

impl<'a> Root<'a> {
    /// The entry that `path` leads to, links followed.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<File<'a>> {
        self.locate(path).map(|(_, file)| file)
    }

    /// The same with the path at which it really stands.
    #[must_use]
    pub fn locate(&self, path: &str) -> Option<(String, File<'a>)> {
        let End::Found(real) = self.resolve(path) else { return None };
        let file = self.file(*self.entries.get(&real)?)?;
        match &file.artifact.entry {
            // A further name of a file: its content is under the first name.
            EntryKind::Hardlink { target } => {
                let first = target.trim_start_matches("./").strip_prefix(&self.prefix)?;
                let id = *self.entries.get(first)?;
                Some((real, self.file(id)?))
            }
            _ => Some((real, file)),
        }
    }

    /// The real path of `path`, also for folders that have no entry of their own.
    #[must_use]
    pub fn real(&self, path: &str) -> Option<String> {
        match self.resolve(path) {
            End::Found(real) => Some(real),
            End::Missing { .. } => None,
        }
    }

    /// The target of the last link on the way, if `path` leads through a link to something that is not in
    /// the image.
    #[must_use]
    pub fn dangling(&self, path: &str) -> Option<String> {
        match self.resolve(path) {
            End::Found(_) => None,
            End::Missing { link } => link,
        }
    }

    /// An artifact of this root by its id.
    #[must_use]
    pub fn file(&self, id: ArtifactId) -> Option<File<'a>> {
        File::of(self.view, id)
    }

    /// Everything in the root that is not a folder or a link, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, File<'a>)> {
        self.entries().filter(|(_, f)| {
            !matches!(f.artifact.entry, EntryKind::Directory | EntryKind::Symlink { .. })
        })
    }

    /// Every entry, by path; what belongs to a root inside this one is left to that root.
    pub fn entries(&self) -> impl Iterator<Item = (&str, File<'a>)> {
        let own = |p: &str| !self.nested.iter().any(|n| p.starts_with(n.as_str()));
        self.entries
            .iter()
            .filter(move |(p, _)| own(p))
            .filter_map(|(p, id)| Some((p.as_str(), self.file(*id)?)))
    }

    /// Names in the folder that `path` leads to, sorted, with the entry each leads to (links followed).
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<(String, File<'a>)> {
        let Some(folder) = self.real(path) else { return Vec::new() };
        self.names(&folder)
            .into_iter()
            .filter_map(|name| {
                let file = self.get(&join(&folder, &name))?;
                Some((name, file))
            })
            .collect()
    }

    /// Names in the folder that `path` leads to, sorted, whether or not they lead anywhere.
    #[must_use]
    pub fn raw_names(&self, path: &str) -> Vec<String> {
        self.real(path).map(|f| self.names(&f).into_iter().collect()).unwrap_or_default()
    }

    fn names(&self, folder: &str) -> BTreeSet<String> {
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.entries
            .range(start.clone()..)
            .take_while(|(p, _)| p.starts_with(&start))
            .filter_map(|(p, _)| p.strip_prefix(&start)?.split('/').next())
            .filter(|n| !n.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The entry at exactly `path`, links not followed.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<File<'a>> {
        self.file(*self.entries.get(path.trim_start_matches('/'))?)
    }

    /// Text of the file that `path` leads to.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<(File<'a>, &'a str)> {
        let file = self.get(path)?;
        Some((file, file.text()?))
    }

    /// How to name this root: the container's locator, and the folder in it.
    #[must_use]
    pub fn name(&self) -> String {
        let container = self.view.artifact(self.container).map(|a| a.locator.to_string());
        format!("{}/{}", container.unwrap_or_default(), self.prefix)
    }

    /// Format of the container it lies in.
    #[must_use]
    pub fn format(&self) -> &'a str {
        self.view.artifact(self.container).map_or("", |a| a.format.as_str())
    }

    /// Whether the file system cannot be written at run time.
    #[must_use]
    pub fn read_only(&self) -> Tri {
        match self.format() {
            "squashfs" | "cramfs" | "romfs" | "erofs" | "iso9660" => Tri::Yes,
            "ext" | "ext2" | "ext3" | "ext4" | "jffs2" | "ubifs" | "yaffs2" | "f2fs" | "fat"
            | "cpio" => Tri::No,
            other => Tri::Unknown(format!("a {other} does not say how it is mounted")),
        }
    }

    fn exists(&self, path: &str) -> bool {
        self.entries.contains_key(path) || {
            let start = format!("{path}/");
            self.entries.range(start.clone()..).next().is_some_and(|(p, _)| p.starts_with(&start))
        }
    }

    fn resolve(&self, path: &str) -> End {
        let mut todo: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let mut done = String::new();
        let mut links = 0;
        let mut link = None;
        while let Some(part) = todo.pop() {
            if part == ".." {
                done = done.rsplit_once('/').map_or(String::new(), |(up, _)| up.to_owned());
                continue;
            }
            let next = join(&done, &part);
            match self.entries.get(&next).and_then(|id| self.view.artifact(*id)).map(|a| &a.entry) {
                Some(EntryKind::Symlink { target }) => {
                    links = usize::saturating_add(links, 1);
                    if links > LINKS || todo.len() > 4096 {
                        return End::Missing { link: Some(target.clone()) };
                    }
                    if target.starts_with('/') {
                        done.clear();
                    }
                    todo.extend(parts(target).rev().map(str::to_owned));
                    link = Some(target.clone());
                }
                Some(_) => done = next,
                None if self.exists(&next) => done = next,
                None => return End::Missing { link },
            }
        }
        End::Found(done)
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|p| !p.is_empty() && *p != ".")
}

/// `folder/name`, or `name` at the root.
#[must_use]
pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Path of an entry in its container, as text; `None` for anything that is not an entry.
#[must_use]
pub fn path_in_container(artifact: &Artifact) -> Option<String> {
    match artifact.locator.steps.last()? {
        Step::Entry { path, .. } => Some(escape(path).trim_start_matches("./").to_owned()),
        Step::Region { .. } => None,
    }
}

/// All root file systems of the image, outermost and first ones first.
#[must_use]
pub fn find<'a>(view: &View<'a>) -> Vec<Root<'a>> {
    let mut containers: BTreeMap<ArtifactId, BTreeMap<String, ArtifactId>> = BTreeMap::new();
    for (i, artifact) in view.artifacts.iter().enumerate() {
        let (Some(parent), Some(path), Ok(id)) =
            (artifact.parent, path_in_container(artifact), u32::try_from(i))
        else {
            continue;
        };
        // A later entry of the same path replaces the earlier one, as when a kernel unpacks it.
        containers.entry(parent).or_default().insert(path, ArtifactId(id));
    }
    join_layers(view, &mut containers);
    let mut roots = Vec::new();
    for (container, entries) in containers {
        let prefixes = prefixes(view, &entries);
        for prefix in prefixes.iter().cloned() {
            let inside = entries
                .range(prefix.clone()..)
                .take_while(|(p, _)| p.starts_with(&prefix))
                .filter_map(|(p, id)| Some((p.strip_prefix(&prefix)?.to_owned(), *id)))
                .filter(|(p, _)| !p.is_empty())
                .collect();
            let nested = prefixes
                .iter()
                .filter_map(|n| n.strip_prefix(&prefix))
                .filter(|n| !n.is_empty())
                .map(str::to_owned)
                .collect();
            roots.push(Root { view: *view, container, prefix, entries: inside, nested });
        }
    }
    roots
}

/// Makes one container of the layers of each container image, in the name of its manifest.
fn join_layers(
    view: &View<'_>,
    containers: &mut BTreeMap<ArtifactId, BTreeMap<String, ArtifactId>>,
) {
    let images: Vec<(ArtifactId, &Artifact, &str)> = (0..)
        .zip(view.artifacts)
        .filter_map(|(id, a)| Some((ArtifactId(id), a, a.attributes.get("layers")?.as_str())))
        .collect();
    if images.is_empty() {
        return;
    }
    let named: BTreeSet<&str> = images.iter().flat_map(|(.., layers)| layers.split('\n')).collect();
    let places: BTreeMap<String, ArtifactId> = containers
        .keys()
        .filter_map(|id| Some((view.artifact(*id)?.locator.to_string(), *id)))
        .filter(|(name, _)| named.contains(name.as_str()))
        .collect();
    for (image, manifest, layers) in images {
        let manifest = manifest.locator.to_string();
        let is_seen = |a: &Artifact| {
            let hidden = a.attributes.get("superseded-in").map_or("", String::as_str);
            a.entry != EntryKind::Whiteout
                && !a.is_superseded()
                && hidden.split('\n').all(|hidden| hidden != manifest)
        };
        let mut joined = BTreeMap::new();
        for entries in layers.split('\n').filter_map(|l| containers.get(places.get(l)?)) {
            let seen = entries.iter().filter(|(_, id)| view.artifact(**id).is_some_and(is_seen));
            joined.extend(seen.map(|(path, id)| (path.clone(), *id)));
        }
        containers.insert(image, joined);
    }
    for layer in places.values() {
        containers.remove(layer);
    }
}

/// For each artifact in a root: which root (by position) and its path there.
pub(crate) fn homes<'r>(roots: &'r [Root<'_>]) -> BTreeMap<ArtifactId, (usize, &'r str)> {
    let entries =
        roots.iter().enumerate().flat_map(|(i, r)| r.files().map(move |(p, f)| (f.id, (i, p))));
    entries.collect()
}

/// Folders that are roots by their structure, shortest first.
fn prefixes(view: &View<'_>, entries: &BTreeMap<String, ArtifactId>) -> Vec<String> {
    let mut candidates: BTreeMap<String, (bool, bool, bool)> = BTreeMap::new();
    for (path, id) in entries {
        let is_file = view.artifact(*id).is_some_and(|a| matches!(a.entry, EntryKind::File));
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let Some(folder) = path.get(..at) else { continue };
            let (above, name) = folder.rsplit_once('/').map_or(("", folder), |(a, n)| (a, n));
            // The last part must not be a plain file named `bin`.
            if at == path.len() && is_file {
                continue;
            }
            if matches!(name, "etc" | "bin" | "sbin") {
                let above = if above.is_empty() { String::new() } else { format!("{above}/") };
                let seen = candidates.entry(above.clone()).or_default();
                seen.0 |= name == "etc";
                seen.1 |= name != "etc";
                // Some systems have their programs below `usr` only.
                if let Some(above) = above.strip_suffix("usr/").filter(|_| name != "etc") {
                    candidates.entry(above.to_owned()).or_default().1 = true;
                }
            }
        }
        let own =
            |marks: &[&str]| marks.iter().find_map(|m| path.strip_suffix(m).map(str::to_owned));
        if let Some(above) = own(&["etc/passwd", "etc/inittab", "etc/rc.common"]) {
            candidates.entry(above).or_default().2 = true;
        }
        if let Some((above, name)) = path.rsplit_once("lib/") {
            let library = name.starts_with("libc.so") || name.starts_with("ld-");
            if library && (above.is_empty() || above.ends_with('/')) {
                candidates.entry(above.to_owned()).or_default().2 = true;
            }
        }
    }
    let mut found: Vec<String> = Vec::new();
    for (prefix, (etc, programs, own)) in candidates {
        let inside_another = found.iter().any(|f| prefix.starts_with(f.as_str()));
        if etc && programs && (own || !inside_another) {
            found.push(prefix);
        }
    }
    found
}

/// One trait for each root: where it is and what holds it.
pub(crate) fn image(roots: &[Root<'_>], out: &mut Vec<Observation>) {
    for root in roots {
        let Some(container) = root.view.artifact(root.container) else { continue };
        let place = match root.prefix.trim_end_matches('/') {
            "" => container.locator.clone(),
            folder => container.locator.join(Step::entry(unescape(folder))),
        };
        out.push(Observation {
            fact: Fact::Trait(Trait {
                name: "root-file-system".to_owned(),
                value: place.to_string(),
                complete: match container.problems.first() {
                    None => Tri::Yes,
                    Some(p) => Tri::Unknown(p.message.clone()),
                },
            }),
            evidence: Evidence::one(place),
            inspector: REVISION.0.to_owned(),
            revision: REVISION.1,
            strength: Strength::Observed,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn worlds_and_links() {
        let tree = Tree::new()
            .file("etc/passwd", "")
            .folder("bin")
            .file("usr/bin/tool", "x")
            .file("usr/etc/x", "")
            .file("usr/sbin/y", "")
            .link("sbin", "usr/sbin")
            .link("abs", "/usr/bin/tool")
            .link("up", "../../../usr/bin/tool")
            .link("a", "b")
            .link("b", "a")
            .link("var/run", "/tmp/run")
            .file("jail/etc/passwd", "")
            .file("jail/bin/sh", "")
            .link("jail/out", "../etc/passwd");
        let view = tree.view();
        let roots = find(&view);
        assert_eq!(roots.iter().map(|r| r.prefix.as_str()).collect::<Vec<_>>(), ["", "jail/"]);
        let root = &roots[0];
        assert_eq!(root.real("/abs").unwrap(), "usr/bin/tool");
        assert_eq!(root.real("up").unwrap(), "usr/bin/tool");
        assert_eq!(root.real("sbin/y").unwrap(), "usr/sbin/y");
        assert!(root.get("a").is_none());
        assert_eq!(root.dangling("var/run/x").unwrap(), "/tmp/run");
        assert_eq!(root.raw_names("usr"), ["bin", "etc", "sbin"]);
        // Inside the jail, `..` stays in the jail.
        assert_eq!(roots[1].real("out").unwrap(), "etc/passwd");
        assert!(root.files().all(|(p, _)| !p.starts_with("jail/")));
        assert_eq!(roots[1].files().count(), 2);
    }

    #[test]
    fn layers_of_a_container_image_are_one_root() {
        let tree = Tree::new().file("etc/passwd", "").file("bin/sh", "").file("etc/old", "");
        let view = tree.view();
        let mut artifacts = view.artifacts.to_vec();
        let image = artifacts[0].locator.clone();
        let (lower, upper) = (artifacts[1].locator.clone(), image.join(Step::region(4096, "tar")));
        let like = |of: &Artifact, locator, parent| Artifact {
            locator,
            parent: Some(ArtifactId(parent)),
            attributes: BTreeMap::new(),
            ..of.clone()
        };
        let manifest = like(&artifacts[2], image.join(Step::entry("manifest")), 0);
        let layer = like(&artifacts[1], upper.clone(), 0);
        let changed = like(&artifacts[2], upper.join(Step::entry("etc/passwd")), 6);
        artifacts.extend([manifest, layer, changed]);
        let mut mark = |at: usize, key: &str, value: String| {
            artifacts[at].attributes.insert(key.to_owned(), value);
        };
        mark(2, "superseded-by", upper.to_string());
        mark(4, "superseded-in", image.join(Step::entry("manifest")).to_string());
        mark(5, "layers", format!("{lower}\n{upper}"));
        let notes = vec![None; artifacts.len()];
        let view = View::new(&artifacts, &notes);
        let roots = find(&view);
        assert_eq!(roots.len(), 1);
        assert_eq!(roots[0].container, ArtifactId(5));
        assert_eq!(roots[0].entry("etc/passwd").unwrap().id, ArtifactId(7));
        assert_eq!(roots[0].entry("bin/sh").unwrap().id, ArtifactId(3));
        assert!(roots[0].entry("etc/old").is_none());
    }

    #[test]
    fn programs_below_usr_alone_make_a_root() {
        let tree = Tree::new().file("a/etc/os-release", "").file("a/usr/bin/sh", "");
        let view = tree.view();
        let roots = find(&view);
        assert_eq!(roots.iter().map(|r| r.prefix.as_str()).collect::<Vec<_>>(), ["a/"]);
    }

    #[test]
    fn no_root_without_structure() {
        let tree = Tree::new().file("docs/etc", "").file("bin", "");
        assert!(find(&tree.view()).is_empty());
    }
}
