//! Where each artifact goes on disk: a tree of names made before anything is written.

use std::collections::{BTreeMap, HashSet};

use proofmark_model::{Artifact, ArtifactId, EntryKind, RegionClass, Step, locator};

use super::names::on_disk;
use crate::{format::is_leaf, scan::Scanner, tree::FOLDER};

/// Position of a node in [`Plan::nodes`]; 0 is the folder that everything goes into.
pub(super) type NodeId = usize;

/// A file, folder or link to make.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub parent: Option<NodeId>,
    pub name: String,
    pub folder: bool,
    /// By the name in the image, then whether it is a folder: a file and a folder may have the same name there.
    children: BTreeMap<(Vec<u8>, bool), NodeId>,
    /// Names on disk that are taken, in lower case: some file systems do not tell cases apart.
    taken: HashSet<String>,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Plan {
    pub nodes: Vec<Node>,
    /// Node of each artifact; none for what is only recorded.
    pub of_artifact: Vec<Option<NodeId>>,
    /// Folder that the entries of each artifact are relative to; links may not leave it.
    root_of: Vec<NodeId>,
}

impl Plan {
    /// Names for all artifacts. `reserved` is a name that the top folder keeps for itself.
    pub(super) fn new(scanner: &Scanner, artifacts: &[Artifact], reserved: &str) -> Self {
        let top = Node { folder: true, taken: [reserved.to_lowercase()].into(), ..Node::default() };
        let mut plan = Self {
            nodes: vec![top],
            of_artifact: Vec::with_capacity(artifacts.len()),
            root_of: Vec::with_capacity(artifacts.len()),
        };
        // Where what is inside an artifact goes, and how the names there begin.
        let mut inside: Vec<(NodeId, Vec<u8>)> = Vec::with_capacity(artifacts.len());
        let holders: HashSet<_> = artifacts.iter().filter_map(|a| a.parent).collect();
        for (i, a) in artifacts.iter().enumerate() {
            let empty = !u32::try_from(i).is_ok_and(|i| holders.contains(&ArtifactId(i)));
            let (folder, prefix) =
                a.parent.and_then(|p| inside.get(p.0 as usize).cloned()).unwrap_or_default();
            let (node, inner) = plan.place(scanner, a, folder, prefix, empty);
            plan.of_artifact.push(node);
            plan.root_of.push(folder);
            inside.push(inner);
        }
        plan
    }

    fn place(
        &mut self,
        scanner: &Scanner,
        a: &Artifact,
        folder: NodeId,
        prefix: Vec<u8>,
        empty: bool,
    ) -> (Option<NodeId>, (NodeId, Vec<u8>)) {
        let named = |suffix: String| [prefix.as_slice(), suffix.as_bytes()].concat();
        match (&a.entry, a.locator.steps.last()) {
            (EntryKind::Image, _) => {
                // An image with something inside is its folder; another one is a file in it.
                let node = (empty && a.size > 0 && a.format != FOLDER)
                    .then(|| self.child(0, a.locator.image.as_bytes(), false));
                (node, (0, Vec::new()))
            }
            (EntryKind::Region, Some(Step::Region { offset, format })) => {
                let name = named(format!("{offset:#x}.{format}"));
                // A leaf is a file; a container is the folder of its entries.
                if empty && scanner.format(format).is_some_and(is_leaf) {
                    (Some(self.child(folder, &name, false)), (folder, prefix))
                } else {
                    let node = self.child(folder, &name, true);
                    (Some(node), (node, Vec::new()))
                }
            }
            (EntryKind::Gap, _) if a.locator.range.is_some() => {
                let padding = matches!(
                    a.regions.first().map(|r| &r.class),
                    Some(RegionClass::Padding { .. })
                );
                let (start, end) = a.locator.range.unwrap_or_default();
                let name = named(format!("{start:#x}-{end:#x}.gap"));
                ((!padding).then(|| self.child(folder, &name, false)), (folder, prefix))
            }
            (kind, Some(Step::Entry { path, .. })) => {
                let is_folder = *kind == EntryKind::Directory;
                let mut parts =
                    path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").peekable();
                let mut at = folder;
                let mut last: &[u8] = b"";
                while let Some(part) = parts.next() {
                    if parts.peek().is_some() {
                        at = self.child(at, part, true);
                    } else {
                        last = part;
                    }
                }
                let node =
                    if is_folder && last.is_empty() { at } else { self.entry(at, last, is_folder) };
                let inner = [last, b"@"].concat();
                (Some(node), (at, inner))
            }
            _ => (None, (folder, prefix)),
        }
    }

    /// The folder `name` again, or a new file of that name: a second entry of one path is a second file.
    fn entry(&mut self, parent: NodeId, name: &[u8], folder: bool) -> NodeId {
        if !folder && let Some(p) = self.nodes.get_mut(parent) {
            p.children.remove(&(name.to_vec(), false));
        }
        self.child(parent, name, folder)
    }

    fn child(&mut self, parent: NodeId, name: &[u8], folder: bool) -> NodeId {
        let id = self.nodes.len();
        let Some(p) = self.nodes.get_mut(parent) else { return 0 };
        if let Some(known) = p.children.get(&(name.to_vec(), folder)) {
            return *known;
        }
        let plain = on_disk(name);
        let mut unique = plain.clone();
        let mut n = 2_u64;
        while !p.taken.insert(unique.to_lowercase()) {
            unique = format!("{plain}~{n}");
            n = n.saturating_add(1);
        }
        p.children.insert((name.to_vec(), folder), id);
        self.nodes.push(Node { parent: Some(parent), name: unique, folder, ..Node::default() });
        id
    }

    /// Names from the top folder down.
    pub(super) fn path(&self, mut id: NodeId) -> Vec<&str> {
        let mut names = Vec::new();
        while let Some(node) = self.nodes.get(id)
            && let Some(parent) = node.parent
        {
            names.push(node.name.as_str());
            id = parent;
        }
        names.reverse();
        names
    }

    /// The target of a symbolic link as it may be written: relative, and through real folders only, so that no
    /// chain of links leads out of the container. `None` where it would.
    pub(super) fn link(&self, artifact: usize, target: &str) -> Option<String> {
        let node = (*self.of_artifact.get(artifact)?)?;
        let root = *self.root_of.get(artifact)?;
        let target = locator::unescape(target);
        let home = self.nodes.get(node)?.parent?;
        let mut at = if target.first() == Some(&b'/') { root } else { home };
        let mut parts =
            target.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").peekable();
        let mut last = None;
        while let Some(part) = parts.next() {
            let end = parts.peek().is_none();
            let folder = self.nodes.get(at)?.children.get(&(part.to_vec(), true));
            match (part, folder) {
                (b"..", _) if at == root => return None,
                (b"..", _) => at = self.nodes.get(at)?.parent?,
                (_, Some(inner)) => at = *inner,
                // The end may be a file, another checked link, or nothing.
                _ if end => {
                    let file = self.nodes.get(at)?.children.get(&(part.to_vec(), false));
                    last = Some(match file {
                        Some(f) => self.nodes.get(*f)?.name.clone(),
                        None => on_disk(part),
                    });
                }
                _ => return None,
            }
        }
        let (from, to) = (self.path(home), self.path(at));
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        let up = std::iter::repeat_n("..", from.len().saturating_sub(common));
        let down = to.iter().skip(common).copied();
        let parts: Vec<&str> = up.chain(down).chain(last.as_deref()).collect();
        Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
    }
}
