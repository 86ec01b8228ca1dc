//! Layers of container images as one root: which entries of which layer are seen in the container.
//!
//! Nothing is moved or copied. An entry that a higher layer replaces or removes in every image it is part of gets the
//! attribute `superseded-by` with the locator of what does so; one that is hidden in some images only, `superseded-in`
//! with the locators of their manifests, one per line. The manifest gets `layers`: the locators of the archives
//! that its root is made of, lowest first, one per line.
//!
//! Rules, in this order for each layer from the lowest up: a whiteout removes a name and everything below it from the
//! layers underneath, the mark of an opaque folder everything below that folder; then each entry replaces the entry of
//! the same path, and all below it unless both are folders.
//!
//! Source: OCI image specification 1.1, "Image Layer Filesystem Changeset".

use std::collections::{BTreeMap, HashMap};

use proofmark_model::{
    Artifact, EntryKind, Problem, ProblemKind, Step,
    locator::{escape, unescape},
};

/// The mark of an opaque folder.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Contents within contents from a blob to its archive: a compressed stream, and room for one more.
const WRAPPED: u32 = 3;
/// Entries of layers that are put above each other in all, each counted as often as its layer is used: images
/// that name one layer a thousand times cost seconds, not hours.
const ENTRIES: usize = 20_000_000;

/// Marks what is not seen in the containers.
pub(crate) fn merge(artifacts: &mut [Artifact]) {
    let archives: Vec<usize> = (0..artifacts.len())
        .filter(|i| artifacts.get(*i).is_some_and(|a| a.attributes.contains_key("image-1-layers")))
        .collect();
    if archives.is_empty() {
        return;
    }
    let children = children(artifacts);
    let mut marks = Marks::default();
    let mut left = ENTRIES;
    for archive in archives {
        for n in 1.. {
            let Some(image) = image(artifacts, &children, archive, n) else { break };
            let of_layer = |layer: &usize| children.get(*layer).map_or(0, Vec::len);
            let entries = image.layers.iter().map(of_layer).fold(0, usize::saturating_add);
            let Some(rest) = left.checked_sub(entries) else {
                marks.cut.push(image.manifest);
                continue;
            };
            left = rest;
            overlay(artifacts, &children, &image, &mut marks);
        }
    }
    marks.put(artifacts);
}

fn children(artifacts: &[Artifact]) -> Vec<Vec<usize>> {
    let mut children = vec![Vec::new(); artifacts.len()];
    for (i, artifact) in artifacts.iter().enumerate() {
        let parent = artifact.parent.and_then(|p| children.get_mut(p.0 as usize));
        if let Some(list) = parent {
            list.push(i);
        }
    }
    children
}

/// An image: its manifest, and its layers as far as they were opened, lowest first.
struct Image {
    manifest: usize,
    /// Archives, and the blobs they are in.
    layers: Vec<usize>,
    blobs: Vec<usize>,
    /// Blobs that are no archive.
    unread: Vec<usize>,
}

fn image(
    artifacts: &[Artifact],
    children: &[Vec<usize>],
    archive: usize,
    n: usize,
) -> Option<Image> {
    let attributes = &artifacts.get(archive)?.attributes;
    let entries: HashMap<&[u8], usize> = children
        .get(archive)?
        .iter()
        .filter_map(|i| Some((path_of(artifacts.get(*i)?)?, *i)))
        .collect();
    let at = |path: &str| {
        let entry = *entries.get(&unescape(path)[..])?;
        // Docker stores a layer that occurs twice as a link to the first one.
        let EntryKind::Symlink { target } = &artifacts.get(entry)?.entry else {
            return Some(entry);
        };
        let mut parts: Vec<&[u8]> = Vec::new();
        let (raw, target) = (unescape(path), unescape(target));
        let folder = raw.iter().rposition(|b| *b == b'/').and_then(|n| raw.get(..n));
        let folder = folder.unwrap_or_default();
        for part in folder.split(|b| *b == b'/').chain(target.split(|b| *b == b'/')) {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        entries.get(&parts.join(&b'/')[..]).copied()
    };
    let layers = attributes.get(&format!("image-{n}-layers"))?;
    let blobs: Vec<usize> = layers.split('\n').filter_map(at).collect();
    let archive = |blob: &usize| archive_in(artifacts, children, *blob, WRAPPED);
    Some(Image {
        manifest: attributes.get(&format!("image-{n}-manifest")).and_then(|m| at(m))?,
        layers: blobs.iter().filter_map(archive).collect(),
        unread: blobs.iter().filter(|blob| archive(blob).is_none()).copied().collect(),
        blobs,
    })
}

fn path_of(artifact: &Artifact) -> Option<&[u8]> {
    match artifact.locator.steps.last()? {
        Step::Entry { path, .. } => Some(path),
        Step::Region { .. } => None,
    }
}

/// The archive that a blob is, once decompressed.
fn archive_in(
    artifacts: &[Artifact],
    children: &[Vec<usize>],
    blob: usize,
    depth: u32,
) -> Option<usize> {
    let is_region = |i: &&usize| artifacts.get(**i).is_some_and(|a| a.entry == EntryKind::Region);
    let region = *children.get(blob)?.iter().find(is_region)?;
    if artifacts.get(region)?.format == "tar" {
        return Some(region);
    }
    let inner = *children.get(region)?.first()?;
    archive_in(artifacts, children, inner, depth.checked_sub(1)?)
}

/// In how many images an entry is, what hides it, and in which it is hidden.
#[derive(Default)]
struct Marks {
    images: HashMap<usize, usize>,
    hidden: BTreeMap<usize, Vec<(usize, usize)>>,
    layers: Vec<(usize, Vec<usize>)>,
    blobs: Vec<usize>,
    unread: Vec<(usize, usize)>,
    /// Manifests whose layers were too many.
    cut: Vec<usize>,
}

impl Marks {
    fn put(self, artifacts: &mut [Artifact]) {
        let name = |i: usize| artifacts.get(i).map(|a| a.locator.to_string()).unwrap_or_default();
        let mut made: Vec<(usize, &str, String)> = Vec::new();
        for (entry, by) in &self.hidden {
            let everywhere = self.images.get(entry) == Some(&by.len());
            made.push(match by.last() {
                Some((_, by)) if everywhere => (*entry, "superseded-by", name(*by)),
                _ => {
                    let manifests: Vec<String> = by.iter().map(|(image, _)| name(*image)).collect();
                    (*entry, "superseded-in", manifests.join("\n"))
                }
            });
        }
        for (manifest, layers) in &self.layers {
            let layers: Vec<String> = layers.iter().map(|i| name(*i)).collect();
            made.push((*manifest, "layers", layers.join("\n")));
        }
        let unread: Vec<(usize, String)> =
            self.unread.iter().map(|(manifest, blob)| (*manifest, name(*blob))).collect();
        for (manifest, blob) in unread {
            let text = format!(
                "the layer {blob} could not be read as an archive; what it changes is not known"
            );
            if let Some(artifact) = artifacts.get_mut(manifest) {
                artifact.problems.push(Problem::new(ProblemKind::Incomplete, text));
            }
        }
        for manifest in self.cut {
            let text = format!(
                "the layers of all images have more than {ENTRIES} entries; those of this one were not put above \
                 each other"
            );
            if let Some(artifact) = artifacts.get_mut(manifest) {
                artifact.problems.push(Problem::new(ProblemKind::Budget, text));
            }
        }
        for (i, key, value) in made {
            if let Some(artifact) = artifacts.get_mut(i) {
                artifact.attributes.insert(key.to_owned(), value);
            }
        }
        for blob in self.blobs {
            if let Some(artifact) = artifacts.get_mut(blob) {
                check(artifact);
            }
        }
    }
}

/// A blob's name is its digest.
fn check(blob: &mut Artifact) {
    let Some(path) = path_of(blob) else { return };
    let (Some(digest), Some(named)) = (blob.sha256, path.strip_prefix(b"blobs/sha256/")) else {
        return;
    };
    let own = digest.to_string();
    let right = own.as_bytes().ends_with(named) && named.len() == 64;
    if !right && !blob.problems.iter().any(|p| p.kind == ProblemKind::Checksum) {
        let text = format!("the SHA-256 of the blob is not {}", escape(named));
        blob.problems.push(Problem::new(ProblemKind::Checksum, text));
    }
}

/// Puts the layers of an image above each other.
fn overlay(artifacts: &[Artifact], children: &[Vec<usize>], image: &Image, marks: &mut Marks) {
    let mut live: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut hidden: BTreeMap<usize, usize> = BTreeMap::new();
    let mut hide = |old: usize, by: usize| hidden.insert(old, by);
    for layer in &image.layers {
        let entries = children.get(*layer).map_or(&[][..], Vec::as_slice);
        let named = || entries.iter().filter_map(|i| Some((path_of(artifacts.get(*i)?)?, *i)));
        let kind = |i: usize| artifacts.get(i).map(|a| &a.entry);
        for (path, i) in named().filter(|(_, i)| kind(*i) == Some(&EntryKind::Whiteout)) {
            if let Some(folder) = path.strip_suffix(OPAQUE) {
                for old in below(&mut live, folder) {
                    hide(old, i);
                }
            } else {
                if let Some(old) = live.remove(path) {
                    hide(old, i);
                }
                let folder = [path, b"/"].concat();
                for old in below(&mut live, &folder) {
                    hide(old, i);
                }
            }
        }
        for (path, i) in named().filter(|(_, i)| kind(*i) != Some(&EntryKind::Whiteout)) {
            let is_folder = |i: usize| kind(i) == Some(&EntryKind::Directory);
            if let Some(old) = live.insert(path, i) {
                hide(old, i);
                if is_folder(old) && !is_folder(i) {
                    let folder = [path, b"/"].concat();
                    for old in below(&mut live, &folder) {
                        hide(old, i);
                    }
                }
            }
        }
    }
    // A layer may occur twice: what a later one hid is then seen again.
    for seen in live.values() {
        hidden.remove(seen);
    }
    for (old, by) in hidden {
        marks.hidden.entry(old).or_default().push((image.manifest, by));
    }
    let mut layers = image.layers.clone();
    marks.layers.push((image.manifest, layers.clone()));
    layers.sort_unstable();
    layers.dedup();
    for entry in layers.iter().filter_map(|l| children.get(*l)).flatten() {
        let count = marks.images.entry(*entry).or_default();
        *count = count.saturating_add(1);
    }
    marks.blobs.extend(&image.blobs);
    marks.unread.extend(image.unread.iter().map(|blob| (image.manifest, *blob)));
}

/// Takes away everything whose path begins so.
fn below(live: &mut BTreeMap<&[u8], usize>, folder: &[u8]) -> Vec<usize> {
    let keys: Vec<&[u8]> =
        live.range(folder..).map(|(k, _)| *k).take_while(|k| k.starts_with(folder)).collect();
    keys.into_iter().filter_map(|key| live.remove(key)).collect()
}
