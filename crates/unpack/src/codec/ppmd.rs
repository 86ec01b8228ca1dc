//! PPMd as 7z (variant H) and zip (variant I) use it, by `ppmd-rust`.

use std::io::Read;

use super::{Decoded, Error, Output};
use crate::budget::Budget;

/// Memory that a model may ask for.
const MEMORY: u32 = 512 << 20;

/// Decodes `size` bytes of 7z: `properties` are the order and, in 4 bytes, the memory of the model.
#[must_use]
pub fn decode_7z(input: &[u8], properties: &[u8], size: usize, budget: &Budget) -> Decoded {
    let order = properties.first().copied().map_or(0, u32::from);
    let memory = crate::read::le32(properties, 1).unwrap_or(0);
    if memory > MEMORY {
        return Decoded::failed(Error::Unsupported {
            what: "a PPMd model of more than 512 MiB",
            at: 0,
        });
    }
    match ppmd_rust::Ppmd7Decoder::new(input, order, memory) {
        Ok(decoder) => run(decoder, size, budget),
        Err(_) => Decoded::failed(Error::Malformed { what: "PPMd properties of 7z", at: 0 }),
    }
}

/// Decodes at most `max` bytes of a zip entry, which begins with the parameters of the model.
#[must_use]
pub fn decode_zip(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let bad = Decoded::failed(Error::Malformed { what: "PPMd parameters of zip", at: 0 });
    let (Some(word), Some(rest)) = (crate::read::le16(input, 0), input.get(2..)) else {
        return bad;
    };
    let order = u32::from(word & 15).saturating_add(1);
    let memory = u32::from(word >> 4 & 0xFF).saturating_add(1) << 20;
    let restore = match word >> 12 {
        0 => ppmd_rust::RestoreMethod::Restart,
        1 => ppmd_rust::RestoreMethod::CutOff,
        _ => return bad,
    };
    match ppmd_rust::Ppmd8Decoder::new(rest, order, memory, restore) {
        Ok(decoder) => run(decoder, max, budget),
        Err(_) => bad,
    }
}

fn run(mut decoder: impl Read, size: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(size, budget);
    let mut at = 0_usize;
    let mut go = || {
        while at < size {
            if at >= out.room() {
                out.grow()?;
            }
            let end = out.room();
            let target = out.buf.get_mut(at..end).unwrap_or_default();
            match decoder.read(target) {
                Ok(0) => return Err(Error::Truncated { what: "PPMd", at }),
                Ok(n) => at = at.saturating_add(n),
                Err(_) => return Err(Error::Malformed { what: "the PPMd stream is damaged", at }),
            }
        }
        Ok(())
    };
    let error = go().err();
    Decoded { bytes: out.finish(at), consumed: 0, error }
}
