//! Small trees for tests: an image with one container and its entries.

use std::sync::Arc;

use proofmark_model::{
    Artifact, ArtifactId, Digest, EntryKind, Fact, Locator, Metadata, Observation, Step,
};

use crate::{Notes, View, class, content, image};

/// A tree under construction; entries keep the order in which they are added.
#[derive(Debug)]
pub struct Tree {
    artifacts: Vec<Artifact>,
    notes: Vec<Option<Arc<Notes>>>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

fn artifact(locator: Locator, parent: Option<u32>, entry: EntryKind, format: &str) -> Artifact {
    Artifact {
        locator,
        parent: parent.map(ArtifactId),
        entry,
        format: format.to_owned(),
        size: 0,
        sha256: None,
        metadata: Metadata::default(),
        proof: None,
        regions: Vec::new(),
        rejected: Vec::new(),
        problems: Vec::new(),
        attributes: Default::default(),
    }
}

impl Tree {
    /// An image that holds one SquashFS at its start.
    pub fn new() -> Self {
        Self::of("squashfs")
    }

    /// An image that holds one container of `format` at its start.
    pub fn of(format: &str) -> Self {
        let image = Locator::image("t.img");
        let region = image.join(Step::region(0, format.to_owned()));
        Self {
            artifacts: vec![
                artifact(image, None, EntryKind::Image, "data"),
                artifact(region, Some(0), EntryKind::Region, format),
            ],
            notes: vec![None, None],
        }
    }

    fn add(mut self, path: &str, kind: EntryKind, format: &str) -> Self {
        let locator = self.artifacts[1].locator.join(Step::entry(path));
        self.artifacts.push(artifact(locator, Some(1), kind, format));
        self.notes.push(None);
        self
    }

    /// A file with mode 0644 (0755 below a folder of programs), root's own.
    pub fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let format = if bytes.starts_with(b"\x7fELF") { "elf" } else { "data" };
        let mut tree = self.add(path, EntryKind::File, format);
        let a = tree.artifacts.last_mut().unwrap();
        a.size = bytes.len() as u64;
        a.sha256 = Some(Digest::of(bytes));
        let program = path.split('/').any(|p| matches!(p, "bin" | "sbin" | "init.d"));
        a.metadata.mode = Some(if program { 0o755 } else { 0o644 });
        a.metadata.uid = Some(0);
        a.metadata.gid = Some(0);
        *tree.notes.last_mut().unwrap() = Some(Arc::new(content(class(path, format), bytes)));
        tree
    }

    /// A folder.
    pub fn folder(self, path: &str) -> Self {
        self.add(path, EntryKind::Directory, "data").mode(0o755)
    }

    /// A symbolic link.
    pub fn link(self, path: &str, target: &str) -> Self {
        self.add(path, EntryKind::Symlink { target: target.to_owned() }, "data")
    }

    /// A character device node.
    pub fn device(self, path: &str, major: u32, minor: u32) -> Self {
        self.add(path, EntryKind::CharDevice { major, minor }, "data").mode(0o666)
    }

    /// Sets the mode of the entry added last.
    pub fn mode(mut self, mode: u32) -> Self {
        self.artifacts.last_mut().unwrap().metadata.mode = Some(mode);
        self
    }

    /// Gives the entry added last an extended attribute.
    pub fn xattr(mut self, name: &str, value: &str) -> Self {
        let pair = (name.to_owned(), value.to_owned());
        self.artifacts.last_mut().unwrap().metadata.xattrs.push(pair);
        self
    }

    /// Gives the container an attribute.
    pub fn attribute(mut self, key: &str, value: &str) -> Self {
        self.artifacts[1].attributes.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The view of it.
    pub fn view(&self) -> View<'_> {
        View::new(&self.artifacts, &self.notes)
    }

    /// All facts.
    pub fn observe(&self) -> Vec<Observation> {
        image(&self.view())
    }

    /// All facts that `pick` takes.
    pub fn facts<T>(&self, pick: impl Fn(Fact) -> Option<T>) -> Vec<T> {
        self.observe().into_iter().filter_map(|o| pick(o.fact)).collect()
    }
}
