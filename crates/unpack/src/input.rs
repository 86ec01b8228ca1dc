//! What can be unpacked: a file, bytes, or a folder.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use proofmark_model::Metadata;

use crate::map::{self, Holes};

/// One image, opened.
#[derive(Debug, Clone)]
pub struct Input {
    /// Base name as the user gave it; the first part of every locator.
    pub name: String,
    /// Where its bytes are.
    pub source: Source,
    /// Which bytes are known to be zero without looking.
    pub holes: Holes,
}

/// Where the bytes of an image are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In memory or mapped.
    Bytes(Bytes),
    /// In the files of a folder, which is read while unpacking. Links in it are never followed.
    Folder(PathBuf),
}

impl Input {
    /// Opens a file (mapped, not read) or a folder.
    ///
    /// # Errors
    /// What the operating system says; anything that is neither file nor folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let name = match path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            // `.` and `..` have no name of their own.
            None => path
                .canonicalize()?
                .file_name()
                .map_or_else(|| "root".to_owned(), |n| n.to_string_lossy().into_owned()),
        };
        let kind = std::fs::metadata(path)?;
        let (source, holes) = if kind.is_dir() {
            (Source::Folder(path.to_owned()), Holes::default())
        } else if kind.is_file() {
            let file = File::open(path)?;
            let bytes = map::map(&file)?;
            let holes = Holes::find(&file, &bytes);
            (Source::Bytes(bytes), holes)
        } else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither a file nor a folder; pipe its content to standard input instead",
            ));
        };
        Ok(Self { name, source, holes })
    }

    /// What is recorded about the image itself: nothing, its name aside. Times and owners of the input are
    /// those of the machine it was copied to.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        Metadata::default()
    }

    /// Bytes that are in memory already.
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), source: Source::Bytes(bytes.into()), holes: Holes::default() }
    }
}
