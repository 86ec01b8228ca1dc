//! ADC, "Apple data compression": the LZ77 of old disk images.
//!
//! | first byte | what follows |
//! |---|---|
//! | 0x80 to 0xFF | 1 to 128 bytes as they are |
//! | 0x40 to 0x7F | 4 to 67 bytes again, from as far back as the next two bytes say, and one more |
//! | 0x00 to 0x3F | 3 to 18 bytes again (upper four bits), from as far back as the lower two bits and the next byte say, and one more |
//!
//! Source: the layout as in "Demystifying the DMG file format" (J. Levin) and public readers of disk images.

use super::{Decoded, Error, window::Window};
use crate::{budget::Budget, read};

/// Decodes up to `max` bytes; the stream ends with its input.
#[must_use]
#[allow(clippy::arithmetic_side_effects)] // single bytes, and places in the input
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Window::new(max, 0, budget);
    let mut at = 0;
    let mut go = || {
        let cut = Error::Truncated { what: "ADC", at: input.len() };
        while let Some(first) = read::u8(input, at) {
            if out.is_full() {
                return Err(Error::Limit { max });
            }
            let first = usize::from(first);
            if first >= 0x80 {
                let len = (first & 0x7F) + 1;
                out.append(read::slice(input, at + 1, len).ok_or(cut)?)?;
                at += 1 + len;
            } else if first >= 0x40 {
                let dist = usize::from(read::be16(input, at + 1).ok_or(cut)?) + 1;
                out.repeat_own(dist, (first & 0x3F) + 4, at)?;
                at += 3;
            } else {
                let low = usize::from(read::u8(input, at + 1).ok_or(cut)?);
                out.repeat_own(((first & 3) << 8 | low) + 1, (first >> 2) + 3, at)?;
                at += 2;
            }
        }
        Ok(())
    };
    let error = go().err();
    out.finish(at.min(input.len()), error)
}
