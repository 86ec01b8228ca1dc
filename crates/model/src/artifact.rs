//! The tree of what was found in an image, and the account of its bytes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, Locator};

/// Position of an artifact in [`Assessment::artifacts`](crate::Assessment::artifacts): parents before
/// children, children in the order of their locators.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ArtifactId(pub u32);

/// A node of the tree: the image, a region of its parent's bytes, or an entry of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Where it is.
    pub locator: Locator,
    /// The artifact it lies in; none for the image itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ArtifactId>,
    /// What kind of node it is.
    pub entry: EntryKind,
    /// Format of the content: a format id such as `squashfs`, `elf`, `text`; `data` where none was recognised.
    pub format: String,
    /// Bytes of content; 0 for anything that has none.
    pub size: u64,
    /// SHA-256 of the content; none where there is no content or it could not be read whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// What the container records about it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// For a region: what proves that the format is really there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// How the bytes of this content divide into regions; absent for a plain file that is one region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// Candidates that lost against a region of the cover, kept for whoever wants to check the choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Region>,
    /// What went wrong in reading it. Never empty silently: a shortfall is always here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Short facts of the format itself: compressor, block size, label, load address, whether a
    /// checksum was right. Keys are kebab-case and documented per format.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub attributes: std::collections::BTreeMap<String, String>,
}

impl Artifact {
    /// Whether a higher layer replaces or removes it in every container image that it is part of: its bytes are there,
    /// but no container sees them. Attribute `superseded-by` says what does so.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.attributes.contains_key("superseded-by")
    }
}

/// What kind of node an artifact is.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum EntryKind {
    /// The input itself.
    Image,
    /// A region of the parent's bytes in which a format was recognised.
    Region,
    /// Bytes of the parent that no format claims (padding or opaque).
    Gap,
    /// A regular file, or the one content of a compressed stream.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Target exactly as stored (escaped as in locators).
        target: String,
    },
    /// A further name of a file that is elsewhere in the same container.
    Hardlink {
        /// Path of the first name (escaped as in locators).
        target: String,
    },
    /// A character device node.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device node.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket node.
    Socket,
    /// An overlay whiteout: it removes a name of a lower layer.
    Whiteout,
}

/// What a container records about an entry, exactly as in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky (`0o7777`), without the file type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Modification time, seconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<i64>,
    /// Extended attributes, in the container's order: name, and value escaped as in locators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(String, String)>,
}

impl Metadata {
    /// Nothing recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How well it is established that a format is where its magic was seen, weakest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The magic and nothing that contradicts it.
    MagicOnly,
    /// Lengths and offsets of the header agree with each other and with the bytes that follow.
    LengthsConsistent,
    /// The decoder or walker reached the end of the structure.
    DecoderEnded,
    /// A checksum over the header or the data was computed and is right.
    ChecksumVerified,
}

/// A part of a content and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// First byte, from the start of the content.
    pub offset: u64,
    /// Number of bytes; never 0 in a cover.
    pub length: u64,
    /// What the bytes are.
    #[serde(flatten)]
    pub class: RegionClass,
}

/// What the bytes of a region are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "class")]
pub enum RegionClass {
    /// Read by a format.
    Understood {
        /// Format id.
        format: String,
        /// What proves it.
        proof: Proof,
    },
    /// One byte value, repeated.
    Padding {
        /// That byte.
        byte: u8,
    },
    /// Not understood.
    Opaque {
        /// What it looks like.
        looks: Opaque,
        /// Shannon entropy in bits per byte, times 1000 (0 to 8000).
        entropy_millibits: u32,
        /// Chi-square statistic against uniformly distributed bytes (255 degrees of freedom), times 1000,
        /// saturating.
        chi_square_milli: u64,
    },
}

/// What bytes that no format claims look like.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Opaque {
    /// High entropy, but bytes not uniformly distributed.
    CompressedLooking,
    /// Bytes that cannot be told from uniformly distributed ones.
    EncryptedLooking,
    /// Instruction patterns of a known architecture.
    CodeLooking,
    /// Printable text.
    Text,
    /// A format was recognised here but is damaged beyond reading.
    Damaged,
    /// A container that says itself that it is encrypted, and no key was given.
    Encrypted,
    /// None of these.
    Data,
}

/// Account of all bytes of an image. The three sums always add up to `total`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Bytes of the image.
    pub total: u64,
    /// Bytes in regions that a format read.
    pub understood: u64,
    /// Bytes of padding.
    pub padding: u64,
    /// Bytes of the image itself that no format claims.
    pub opaque: u64,
    /// Bytes of content inside containers that no format and no file kind explains: not part of the sum, but
    /// a statement of absence must look at them.
    pub opaque_inside: u64,
    /// Locators of all opaque regions of 64 bytes or more, whole image and inside, largest first, at most 100.
    pub opaque_regions: Vec<Extent>,
    /// Artifacts with at least one problem.
    pub artifacts_with_problems: u64,
}

/// A place and its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Extent {
    /// Where.
    pub locator: Locator,
    /// Bytes.
    pub length: u64,
    /// What it looks like.
    pub looks: Opaque,
}

/// Something that went wrong in reading an artifact; what could be read is still there.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Problem {
    /// What sort of shortfall.
    pub kind: ProblemKind,
    /// One sentence: what was expected, what was found.
    pub message: String,
    /// Byte offset in the artifact's content, where one can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Problem {
    /// A problem without an offset.
    #[must_use]
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), offset: None }
    }

    /// The same problem, at an offset.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

/// Sorts of shortfall.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The bytes end before the structure does.
    Truncated,
    /// A structure contradicts itself or its surroundings.
    Malformed,
    /// A checksum does not match.
    Checksum,
    /// A variant that is known but not read.
    Unsupported,
    /// Encrypted, and no key was given.
    Encrypted,
    /// A budget ran out: bytes, entries, depth, ratio or time.
    Budget,
    /// Fewer entries or bytes were found than the container declares.
    Incomplete,
    /// A name or link that would leave the container (`..`, absolute, loop); kept as it is, never followed.
    UnsafePath,
}
