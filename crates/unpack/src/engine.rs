//! From an input to a tree of artifacts.

use proofmark_model::{Artifact, Coverage, Digest, EntryKind, Locator, Metadata};

use crate::{
    input::{Input, Source},
    options::{ContentInfo, Observer, Options, Progress},
};

/// What was found in an image.
///
/// `artifacts[0]` is the image. Parents stand before children, children of one parent in the order of their
/// locators. The format of a content is that of the one region in it that a format read, if that region begins at
/// its first byte; `composite` where several regions or a later one were read; else `text`, `script`
/// or `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// All artifacts.
    pub artifacts: Vec<Artifact>,
    /// For each artifact the digest of the bytes that [`Observer::content`] was given for it, also where they are
    /// not all of the content (then [`Artifact::sha256`] is none). None where there were no bytes.
    pub digests: Vec<Option<Digest>>,
    /// Account of all bytes of the image.
    pub coverage: Coverage,
}

/// Unpacks `input` as deep as it goes. Never fails: what could not be read is a problem on its artifact.
#[must_use]
pub fn unpack(input: Input, options: &Options, observer: &dyn Observer) -> Outcome {
    let _ = options;
    let Source::Bytes(bytes) = &input.source else {
        return Outcome {
            artifacts: Vec::new(),
            digests: Vec::new(),
            coverage: Coverage::default(),
        };
    };
    let locator = Locator::image(input.name.clone());
    let digest = Digest::of(bytes);
    let metadata = Metadata::default();
    let entry = EntryKind::Image;
    let info = ContentInfo {
        digest,
        format: "data",
        entry: &entry,
        locator: &locator,
        metadata: &metadata,
        whole: true,
    };
    observer.content(&info, bytes);
    let size = bytes.len() as u64;
    observer.progress(Progress { bytes_done: size, bytes_total: size, artifacts: 1 });
    let artifact = Artifact {
        locator,
        parent: None,
        entry,
        format: "data".into(),
        size,
        sha256: Some(digest),
        metadata,
        proof: None,
        regions: Vec::new(),
        rejected: Vec::new(),
        problems: Vec::new(),
        attributes: Default::default(),
    };
    Outcome {
        artifacts: vec![artifact],
        digests: vec![Some(digest)],
        coverage: Coverage { total: size, opaque: size, ..Coverage::default() },
    }
}
