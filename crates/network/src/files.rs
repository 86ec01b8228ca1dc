//! Reading whole files within a budget, and writing them so that nothing half-written stays.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use crate::Error;

/// Most bytes that one input file may have, after decompression.
pub const MAX_INPUT: u64 = 4 << 30;

/// The content of `path`, gunzipped if it is gzip.
///
/// # Errors
/// The file cannot be read, is damaged, or is larger than `limit` bytes when decompressed.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let raw = fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let size = raw.metadata().map_err(|e| Error::io(path, e))?.len();
    if size > limit {
        return Err(Error::Budget { what: format!("{} bytes", path.display()), limit });
    }
    let mut bytes = Vec::new();
    raw.take(limit).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice())
        .take(limit.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|e| Error::io(path, e))?;
    if out.len() as u64 > limit {
        return Err(Error::Budget {
            what: format!("{} bytes when decompressed", path.display()),
            limit,
        });
    }
    Ok(out)
}

/// Writes `bytes` to `path` through a neighbour file and a rename, so that a reader sees the old
/// content or the new one and nothing between.
///
/// # Errors
/// The folder cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let put = || -> std::io::Result<()> {
        let mut f = fs::File::create(&partial)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        fs::rename(&partial, path)
    };
    put().map_err(|e| {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&partial);
        Error::io(path, e)
    })
}

/// Writes several files into a folder that is made if needed. All contents exist before the first
/// is written, so an error while they are made leaves the folder as it was.
///
/// # Errors
/// The folder cannot be made or written.
pub fn write_all(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    files.iter().try_for_each(|(name, bytes)| write(&folder.join(name), bytes))
}
