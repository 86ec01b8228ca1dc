//! Files as bytes without reading them: the one module with `unsafe`.
//!
//! A mapped file that another process shortens while it is read ends this
//! process with SIGBUS; no map can prevent that. Everything else is safe: the
//! map is private and read-only, and [`Bytes`] keeps it alive.
#![allow(unsafe_code)]

use std::{fs::File, io};

use bytes::Bytes;

/// The content of `file`, mapped. An empty file is empty bytes.
///
/// # Errors
/// What the operating system says; a file larger than the address space.
pub fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private and never written through, so the only way for the bytes to change
    // under a reader is another process writing to the file. No reader in this crate relies on two reads giving
    // the same value for memory safety: all access goes through bounds-checked slices of fixed length.
    let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(file)? };
    Ok(Bytes::from_owner(map))
}
