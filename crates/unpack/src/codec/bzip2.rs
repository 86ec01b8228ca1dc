//! bzip2, by the Rust port of libbz2. Checks the CRC of every block and stream.

use bzip2::{Decompress, Status};

use super::{Decoded, Error, Output};
use crate::budget::Budget;

/// Decodes all bzip2 streams that follow each other from the start of `input`.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0usize, 0usize);
    let mut go = || {
        loop {
            stream(input, &mut ip, &mut out, &mut op)?;
            if !is_header(input.get(ip..).unwrap_or_default()) {
                return Ok(());
            }
        }
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error }
}

/// Whether a stream starts here: magic, block size, and the mark of a block or of the end.
#[must_use]
pub fn is_header(data: &[u8]) -> bool {
    matches!(data, [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
        if rest.starts_with(b"\x31\x41\x59\x26\x53\x59") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90"))
}

fn stream(input: &[u8], ip: &mut usize, out: &mut Output<'_>, op: &mut usize) -> Result<(), Error> {
    let mut state = Decompress::new(false);
    let (first_in, first_out) = (*ip, *op);
    loop {
        let full = *op >= out.room() && out.room() == out.max();
        if *op >= out.room() && !full {
            out.grow()?;
        }
        let end = if full { op.saturating_add(1) } else { out.room() };
        let target = out.buf.get_mut(*op..end).unwrap_or_default();
        let before = (*ip, *op);
        let status = state.decompress(input.get(*ip..).unwrap_or_default(), target);
        let moved =
            |base: usize, n: u64| base.saturating_add(usize::try_from(n).unwrap_or(usize::MAX));
        *ip = moved(first_in, state.total_in());
        *op = moved(first_out, state.total_out());
        if full && *op > before.1 {
            *op = before.1;
            return Err(Error::Limit { max: out.max() });
        }
        match status {
            Ok(Status::StreamEnd) => return Ok(()),
            Ok(_) if (*ip, *op) != before => {}
            Ok(_) => return Err(Error::Truncated { what: "bzip2", at: input.len() }),
            Err(_) => {
                return Err(Error::Malformed { what: "the bzip2 stream is damaged", at: *ip });
            }
        }
    }
}
