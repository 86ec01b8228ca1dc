//! Zstandard frames (RFC 8878), by `ruzstd`.

use std::io::Read as _;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Decoded, Error, Output};
use crate::{budget::Budget, read};

/// First bytes of a frame.
pub const MAGIC: u32 = 0xfd2f_b528;

/// Length of the skippable frame at the start of `data`, header included, if there is one.
#[must_use]
pub fn skippable(data: &[u8]) -> Option<usize> {
    (read::le32(data, 0)? & !15 == 0x184d_2a50)
        .then(|| read::index(u64::from(read::le32(data, 4)?))?.checked_add(8))?
}

/// Decodes all frames that follow each other from the start of `input`; skippable ones are skipped.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0usize, 0usize);
    let mut wrong = None;
    let mut go = || {
        loop {
            let rest = input.get(ip..).unwrap_or_default();
            if let Some(len) = skippable(rest) {
                if len > rest.len() {
                    return Err(Error::Truncated { what: "zstd", at: input.len() });
                }
                ip = ip.saturating_add(len);
            } else if read::le32(rest, 0) == Some(MAGIC) {
                frame(rest, &mut ip, &mut out, &mut op, &mut wrong)?;
            } else if ip == 0 {
                return Err(Error::Malformed { what: "no zstd frame", at: 0 });
            } else {
                return Ok(());
            }
        }
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error: wrong.or(error) }
}

fn frame(
    input: &[u8],
    ip: &mut usize,
    out: &mut Output<'_>,
    op: &mut usize,
    wrong: &mut Option<Error>,
) -> Result<(), Error> {
    let first = *ip;
    let mut rest = input;
    let mut state = FrameDecoder::new();
    let bad = |at| Error::Malformed { what: "the zstd frame is damaged", at };
    state.init(&mut rest).map_err(|_| bad(first))?;
    loop {
        let step = state.decode_blocks(&mut rest, BlockDecodingStrategy::UptoBlocks(4));
        *ip = first.saturating_add(input.len().saturating_sub(rest.len()));
        while state.can_collect() > 0 {
            if *op == out.room() {
                out.grow()?;
            }
            let end = out.room();
            let n =
                state.read(out.buf.get_mut(*op..end).unwrap_or_default()).map_err(|_| bad(*ip))?;
            *op = op.saturating_add(n);
        }
        match step {
            Ok(true) => break,
            Ok(false) => {}
            Err(_) if rest.len() < 3 => {
                return Err(Error::Truncated {
                    what: "zstd",
                    at: first.saturating_add(input.len()),
                });
            }
            Err(_) => return Err(bad(*ip)),
        }
    }
    if let (Some(stored), Some(made)) =
        (state.get_checksum_from_data(), state.get_calculated_checksum())
        && stored != made
    {
        wrong.get_or_insert(Error::Checksum { what: "xxHash64 of a zstd frame", at: *ip });
    }
    Ok(())
}
