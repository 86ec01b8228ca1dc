//! Deflate (RFC 1951) and zlib (RFC 1950), by `zlib-rs`, and Deflate64 by `deflate64`.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Decoded, Error, Output};
use crate::{budget::Budget, spool::IN_MEMORY};

/// Decodes a raw deflate stream.
#[must_use]
pub fn inflate(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    run(Decompress::new(false), input, 0, max, budget)
}

/// Decodes a raw deflate stream whose matches may reach back into `dictionary` (at most its last 32 KiB).
#[must_use]
pub fn inflate_after(dictionary: &[u8], input: &[u8], max: usize, budget: &Budget) -> Decoded {
    // A stored block that is not the last one puts the dictionary into the window.
    let tail = dictionary.get(dictionary.len().saturating_sub(0x8000)..).unwrap_or_default();
    let Ok(len) = u16::try_from(tail.len()) else { return Decoded::default() };
    let [a, b] = len.to_le_bytes();
    let mut primed = vec![0, a, b, !a, !b];
    let head = primed.len().saturating_add(tail.len());
    primed.extend_from_slice(tail);
    primed.extend_from_slice(input);
    let mut decoded =
        run(Decompress::new(false), &primed, 0, max.saturating_add(tail.len()), budget);
    decoded.bytes = decoded.bytes.cut(tail.len());
    decoded.consumed = decoded.consumed.saturating_sub(head);
    decoded
}

/// Decodes a Deflate64 stream, the variant of PKWARE with a window of 64 KiB.
#[must_use]
pub fn inflate64(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let mut state = Box::new(deflate64::InflaterManaged::new());
    let (mut ip, mut op) = (0_usize, 0_usize);
    let mut go = || {
        loop {
            if op >= out.room() {
                out.grow()?;
            }
            let end = out.room();
            let target = out.buf.get_mut(op..end).unwrap_or_default();
            let made = state.inflate(input.get(ip..).unwrap_or_default(), target);
            ip = ip.saturating_add(made.bytes_consumed);
            op = op.saturating_add(made.bytes_written);
            if made.data_error {
                return Err(Error::Malformed { what: "the Deflate64 stream is damaged", at: ip });
            }
            if state.finished() && state.available_output() == 0 {
                return Ok(());
            }
            if made.bytes_consumed == 0 && made.bytes_written == 0 {
                return Err(Error::Truncated { what: "Deflate64", at: input.len() });
            }
        }
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error }
}

/// Decodes a zlib stream: two bytes of header, deflate, Adler-32.
#[must_use]
pub fn zlib(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    run(Decompress::new(true), input, 0, max, budget)
}

/// Decodes as zlib or raw deflate into exactly `size` bytes: what file systems with a size per block need.
///
/// # Errors
/// What was wrong, a size that does not match included.
pub fn zlib_exact(input: &[u8], size: usize, budget: &Budget) -> Result<Vec<u8>, Error> {
    let (bytes, at) = run(Decompress::new(true), input, size, size, budget).whole()?;
    if bytes.len() == size {
        Ok(bytes)
    } else {
        Err(Error::Malformed { what: "the zlib stream has not the expected size", at })
    }
}

/// Decodes, with room for `expected` bytes from the start.
fn run(
    mut state: Decompress,
    input: &[u8],
    expected: usize,
    max: usize,
    budget: &Budget,
) -> Decoded {
    let mut out = Output::new(max, budget);
    let mut go = || {
        if expected > 0 {
            // What goes to the disk goes there in steps, so that the memory of the map can be had back.
            out.reserve(expected.min(IN_MEMORY))?;
        }
        loop {
            let ip = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
            let op = usize::try_from(state.total_out()).unwrap_or(usize::MAX);
            // A full output may still have its end mark or checksum to come: the slack shows more.
            let full = op >= out.room() && out.room() == out.max();
            if op >= out.room() && !full {
                out.grow()?;
            }
            let end = if full { op.saturating_add(1) } else { out.room() };
            let target = out.buf.get_mut(op..end).unwrap_or_default();
            let rest = input.get(ip..).unwrap_or_default();
            let status = state
                .decompress(rest, target, FlushDecompress::None)
                .map_err(|_| Error::Malformed { what: "the deflate stream is damaged", at: ip })?;
            let moved = state.total_in() > ip as u64 || state.total_out() > op as u64;
            if full && state.total_out() > op as u64 {
                return Err(Error::Limit { max });
            }
            match status {
                Status::StreamEnd => return Ok(()),
                Status::Ok | Status::BufError if moved => {}
                Status::Ok | Status::BufError => {
                    return Err(Error::Truncated { what: "deflate", at: input.len() });
                }
            }
        }
    };
    let error = go().err();
    let made = usize::try_from(state.total_out()).unwrap_or(usize::MAX).min(out.room());
    let used = usize::try_from(state.total_in()).unwrap_or(usize::MAX).min(input.len());
    Decoded { bytes: out.finish(made), consumed: used, error }
}
