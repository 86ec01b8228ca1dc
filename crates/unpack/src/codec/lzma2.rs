//! LZMA2: LZMA1 in chunks of known size, with uncompressed chunks and resets.
//!
//! Method: the chunk layout as described in "The .xz file format" and the LZMA SDK
//! (both public domain).

use super::{
    Decoded, Error, Output,
    lzma::{Decoder, Props, Stop},
};
use crate::{budget::Budget, read};

/// Decodes an LZMA2 stream up to and including its end byte.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0, 0);
    let error = into(input, &mut ip, &mut out, &mut op).err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error }
}

/// Decodes an LZMA2 stream that starts at `ip`; its content goes to `op`, which is also where its
/// dictionary begins. Both end where decoding ended.
pub(crate) fn into(
    input: &[u8],
    ip: &mut usize,
    out: &mut Output<'_>,
    op: &mut usize,
) -> Result<(), Error> {
    let cut = Error::Truncated { what: "LZMA2", at: input.len() };
    let mut decoder: Option<Decoder> = None;
    // First byte of the dictionary; a chunk must set it, and set properties, before they are used.
    let mut base = None;
    let mut need_props = true;
    let mut need_state = true;
    loop {
        let at = *ip;
        let bad = |what| Error::Malformed { what, at };
        let control = read::u8(input, at).ok_or(cut)?;
        *ip = at.saturating_add(1);
        if control == 0 {
            return Ok(());
        }
        if control == 1 || control >= 0xe0 {
            base = Some(*op);
            need_props = true;
        }
        let base = base.ok_or(bad("the first LZMA2 chunk does not reset the dictionary"))?;
        if control < 0x80 {
            if control > 2 {
                return Err(bad("an LZMA2 chunk of unknown kind"));
            }
            let len = usize::from(read::be16(input, *ip).ok_or(cut)?).saturating_add(1);
            *ip = ip.saturating_add(2);
            let have = input.get(*ip..).unwrap_or_default();
            let take = have.get(..len.min(have.len())).unwrap_or_default();
            let end = op.saturating_add(take.len());
            out.reserve(end.max(out.room()))?;
            if let Some(target) = out.buf.get_mut(*op..end) {
                target.copy_from_slice(take);
            }
            *op = end;
            *ip = ip.saturating_add(take.len());
            if take.len() < len {
                return Err(cut);
            }
            continue;
        }
        let size = (usize::from(control & 0x1f) << 16)
            .saturating_add(usize::from(read::be16(input, *ip).ok_or(cut)?))
            .saturating_add(1);
        let packed =
            usize::from(read::be16(input, ip.saturating_add(2)).ok_or(cut)?).saturating_add(1);
        *ip = ip.saturating_add(4);
        if control >= 0xc0 {
            let byte = read::u8(input, *ip).ok_or(cut)?;
            let props = Props::from_byte(byte)
                .filter(|p| p.lc.saturating_add(p.lp) <= 4)
                .ok_or(bad("LZMA2 properties out of range"))?;
            *ip = ip.saturating_add(1);
            match &mut decoder {
                Some(d) => d.reset(props),
                None => decoder = Some(Decoder::new(props)),
            }
            need_props = false;
            need_state = false;
        } else if control >= 0xa0 {
            if let Some(d) = &mut decoder {
                let props = d.props();
                d.reset(props);
            }
            need_state = false;
        }
        let decoder = decoder
            .as_mut()
            .filter(|_| !need_props && !need_state)
            .ok_or(bad("an LZMA2 chunk without properties"))?;
        let stop_in = ip.saturating_add(packed).min(input.len());
        let chunk = input.get(..stop_in).unwrap_or_default();
        let stop_out = op.saturating_add(size);
        out.reserve(stop_out.max(out.room()))?;
        decoder.start(chunk, ip)?;
        let (window, mut end) =
            (out.buf.get_mut(base..).unwrap_or_default(), op.saturating_sub(base));
        let limit = stop_out.saturating_sub(base);
        let stop = decoder.run(chunk, ip, window, &mut end, limit);
        *op = base.saturating_add(end);
        if stop? == Stop::Marker {
            return Err(bad("an end marker inside an LZMA2 chunk"));
        }
        decoder.settle(chunk, ip)?;
        if *ip != stop_in || decoder.code != 0 || decoder.is_pending() {
            return Err(Error::Malformed {
                what: "an LZMA2 chunk does not end at its size",
                at: *ip,
            });
        }
    }
}
