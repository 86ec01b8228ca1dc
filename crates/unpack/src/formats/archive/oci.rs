//! Container images in an archive: which layers make which root, in which order.
//!
//! OCI: `index.json` names manifests or further indexes by digest, a manifest names its layers, lowest first. Docker:
//! `manifest.json` has for each image the paths of its configuration and layers. An archive that is both is read as OCI.
//! The layers themselves are opened like any other entry; `layers.rs` puts the marks of what is replaced.
//!
//! Sources: OCI image layout and image specification 1.1; Docker image specification 1.2.

use std::collections::HashMap;

use proofmark_model::{Problem, ProblemKind, locator::escape};
use serde_json::Value;

use crate::{
    budget::Budget,
    format::{Blob, Entry, Sink},
};

/// Larger documents are no manifests.
const DOCUMENT_MAX: u64 = 4 << 20;
/// Images that are described, layers of one, and indexes within indexes.
const IMAGES_MAX: usize = 64;
const LAYERS_MAX: usize = 1024;
const DEPTH_MAX: u32 = 4;

/// An image: paths of entries.
#[derive(Debug, PartialEq, Eq)]
struct Image {
    name: String,
    platform: String,
    /// What names the layers: the manifest, or the configuration where all manifests are one file.
    manifest: Vec<u8>,
    /// Lowest first.
    layers: Vec<Vec<u8>>,
}

/// Describes the images of an archive in its attributes: `image-N` (name and platform), `image-N-manifest` and
/// `image-N-layers` (paths as in locators, one per line). A layer that is not there is a problem.
pub fn describe(sink: &mut Sink<'_>, budget: &Budget) {
    let archive = Archive::new(&sink.entries, budget);
    let mut images = Vec::new();
    let mut problems = Vec::new();
    if let Some(index) = archive.json(b"index.json") {
        archive.index(&index, "", "", DEPTH_MAX, &mut images, &mut problems);
    }
    if images.is_empty()
        && let Some(Value::Array(list)) = archive.json(b"manifest.json")
    {
        images.extend(list.iter().take(IMAGES_MAX).filter_map(|image| archive.docker(image)));
    }
    for image in &images {
        for layer in image.layers.iter().filter(|layer| !archive.by_path.contains_key(&layer[..])) {
            let text =
                format!("the layer {} of {} is not in the archive", escape(layer), image.name);
            problems.push(Problem::new(ProblemKind::Incomplete, text));
        }
    }
    for (n, image) in (1..).zip(&images) {
        let name = [&image.name[..], &image.platform].join(" ");
        sink.attribute(&format!("image-{n}"), name.trim());
        sink.attribute(&format!("image-{n}-manifest"), escape(&image.manifest));
        let layers: Vec<String> = image.layers.iter().map(|layer| escape(layer)).collect();
        sink.attribute(&format!("image-{n}-layers"), layers.join("\n"));
    }
    problems.into_iter().for_each(|p| sink.problem(p));
}

struct Archive<'a> {
    by_path: HashMap<&'a [u8], &'a Blob>,
    budget: &'a Budget,
}

impl<'a> Archive<'a> {
    fn new(entries: &'a [Entry], budget: &'a Budget) -> Self {
        Self { by_path: entries.iter().map(|e| (&e.path[..], &e.blob)).collect(), budget }
    }

    fn json(&self, path: &[u8]) -> Option<Value> {
        let blob = self.by_path.get(path).filter(|b| b.size() <= DOCUMENT_MAX)?;
        self.budget.work(blob.size()).ok()?;
        serde_json::from_slice(&blob.load(self.budget).bytes).ok()
    }

    /// The images of an index. Its own name and platform are those of manifests that have none.
    fn index(
        &self,
        index: &Value,
        name: &str,
        platform: &str,
        depth: u32,
        images: &mut Vec<Image>,
        problems: &mut Vec<Problem>,
    ) {
        let Some(Value::Array(list)) = index.get("manifests") else { return };
        for item in list {
            let Some(path) = blob_path(item) else { continue };
            if images.len() >= IMAGES_MAX {
                return;
            }
            let name = name_of(item).unwrap_or(name);
            let of_item = platform_of(item);
            let platform = if of_item.is_empty() { platform } else { &of_item };
            let Some(document) = self.json(&path) else {
                let text = format!("the manifest {} is not in the archive", escape(&path));
                problems.push(Problem::new(ProblemKind::Incomplete, text));
                continue;
            };
            if document.get("manifests").is_some() {
                if let Some(depth) = depth.checked_sub(1) {
                    self.index(&document, name, platform, depth, images, problems);
                }
                continue;
            }
            let Some(Value::Array(layers)) = document.get("layers") else { continue };
            // What is no file system (attestations, charts) has layers of other types.
            let is_tar = |layer: &&Value| text(layer, "mediaType").contains("tar");
            let layers: Vec<Vec<u8>> =
                layers.iter().filter(is_tar).take(LAYERS_MAX).filter_map(blob_path).collect();
            if layers.is_empty() {
                continue;
            }
            let mut platform = platform.to_owned();
            if platform.is_empty()
                && let Some(config) = document.get("config").and_then(blob_path)
            {
                platform = self.json(&config).map(|c| platform_in(&c)).unwrap_or_default();
            }
            images.push(Image { name: name.to_owned(), platform, manifest: path, layers });
        }
    }

    /// An image of `manifest.json`.
    fn docker(&self, image: &Value) -> Option<Image> {
        let manifest = text(image, "Config").as_bytes().to_vec();
        let Some(Value::Array(layers)) = image.get("Layers") else { return None };
        let layers =
            layers.iter().take(LAYERS_MAX).filter_map(|l| Some(l.as_str()?.as_bytes().to_vec()));
        let name = image.get("RepoTags").and_then(|tags| tags.get(0)).and_then(Value::as_str);
        Some(Image {
            name: name.unwrap_or_default().to_owned(),
            platform: self.json(&manifest).map(|c| platform_in(&c)).unwrap_or_default(),
            manifest,
            layers: layers.collect(),
        })
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Where the blob of a descriptor is.
fn blob_path(descriptor: &Value) -> Option<Vec<u8>> {
    let (algorithm, digest) = text(descriptor, "digest").split_once(':')?;
    Some(format!("blobs/{algorithm}/{digest}").into_bytes())
}

fn name_of(descriptor: &Value) -> Option<&str> {
    let annotations = descriptor.get("annotations")?;
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
        .iter()
        .find_map(|key| annotations.get(key).and_then(Value::as_str))
}

fn platform_of(descriptor: &Value) -> String {
    descriptor.get("platform").map(platform_in).unwrap_or_default()
}

/// `linux/arm/v7` of an object with these fields.
fn platform_in(object: &Value) -> String {
    let parts = ["os", "architecture", "variant"].map(|key| text(object, key));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}
