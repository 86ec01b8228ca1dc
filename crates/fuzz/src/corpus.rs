//! The kept corpus: for each target one file of small inputs, each behaving in a way of its own, with its length in front.
//! The tests run all of it.

use std::{fs, io, path::Path};

/// Bytes kept for one target.
const KEPT: usize = 4096;

/// The inputs kept for a target; none if there is no file.
#[must_use]
pub fn read(folder: &Path, target: &str) -> Vec<Vec<u8>> {
    let bytes = fs::read(folder.join(format!("{target}.bin"))).unwrap_or_default();
    let mut rest = bytes.as_slice();
    let mut inputs = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
        let (input, next) = tail.split_at(length);
        inputs.push(input.to_vec());
        rest = next;
    }
    inputs
}

/// Keeps the smallest of `pool` that fit.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &Path, target: &str, mut pool: Vec<Vec<u8>>) -> io::Result<()> {
    pool.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
    let mut all = Vec::new();
    for input in pool {
        let Ok(length) = u16::try_from(input.len()) else { continue };
        if all.len().saturating_add(input.len()).saturating_add(2) > KEPT {
            break;
        }
        all.extend(length.to_le_bytes());
        all.extend(input);
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{target}.bin")), all)
}
