//! Streams with small headers of their own: QCA LZMA (power line adapters), XALZ (Xamarin assemblies), QNX deflate,
//! and LZMA that Arcadyan devices shuffle.
//!
//! All are decoded by the probe; that they come to rest at the declared size is the proof.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::{Decoded, Error, lz4, lzma, lzo, packed::Decode, ucl},
    format::{About, Candidate, Format, Magic, Sink},
    formats::layout::about,
    read,
    spool::Buffer,
};

/// One such stream: how it announces itself and how it is decoded, header included.
pub struct Framed {
    about: &'static About,
    magics: &'static [Magic],
    compression: &'static str,
    decode: fn(&[u8], usize, &Budget) -> Decoded,
}

impl Format for Framed {
    fn about(&self) -> &'static About {
        self.about
    }

    fn magics(&self) -> &'static [Magic] {
        self.magics
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let decoded = (self.decode)(data.get(at..)?, room(budget), budget);
        if decoded.bytes.is_empty() {
            return None;
        }
        candidate(at, decoded, Proof::DecoderEnded)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("compression", self.compression);
        emit(sink, None, Metadata::default(), decoded, || {
            (self.decode)(region, room(budget), budget)
        });
    }
}

/// Properties, dictionary, both sizes, then a raw LZMA stream.
pub static QCA: Framed = Framed {
    about: about!(
        Compression,
        "qca-lzma",
        "QCA LZMA (NVM images)",
        "none in the format",
        "declared sizes; the decoder must come to rest",
        "properties other than lc=3 lp=0 pb=2",
        "unblob, handlers/compression/qca_lzma.py (layout)"
    ),
    magics: &[Magic::anywhere(b"\x03\0\x02\0\0\x10\0\0")],
    compression: "lzma",
    decode: qca,
};

/// `XALZ`, an index, the size, then one LZ4 block to the end.
pub static XALZ: Framed = Framed {
    about: about!(
        Compression,
        "xalz",
        "Xamarin compressed assembly",
        "none in the format",
        "declared size",
        "only at the start of a content, which it fills",
        "xamarin-android, compressed assemblies (XALZ)"
    ),
    magics: &[Magic::start(b"XALZ")],
    compression: "lz4",
    decode: xalz,
};

/// `iwlyfmbp`, the size, then blocks that name the next.
pub static QNX: Framed = Framed {
    about: about!(
        Compression,
        "qnx-deflate",
        "QNX deflate",
        "none in the format",
        "declared sizes of the content and of each block",
        "none",
        "unblob, handlers/compression/qnx_deflate.py (layout)"
    ),
    magics: &[Magic::anywhere(b"iwlyfmbp")],
    compression: "lzo",
    decode: qnx,
};

/// LZMA behind four bytes, with two pieces of 32 bytes exchanged and one of them shuffled.
pub static ARCADYAN: Framed = Framed {
    about: about!(
        Compression,
        "arcadyan",
        "Arcadyan obfuscated LZMA",
        "none in the format",
        "the decoder must come to rest",
        "only streams up to 1.7 MiB that end their content",
        "binwalk, extractors/arcadyan.rs (order of the pieces)"
    ),
    magics: &[Magic::anywhere(b"\0\xD5\x08\0").after(0x68)],
    compression: "lzma",
    decode: arcadyan,
};

fn refused(what: &'static str) -> Decoded {
    Decoded::failed(Error::Malformed { what, at: 0 })
}

fn qca(data: &[u8], max: usize, budget: &Budget) -> Decoded {
    const HEADER: usize = 16;
    let sizes = (read::le32(data, 8), read::le32(data, 12));
    let (Some(packed @ 1..), Some(size)) = sizes else { return refused("no QCA LZMA header") };
    let Some(stream) = read::slice(data, HEADER, packed as usize).filter(|_| size >= packed) else {
        return refused("the QCA LZMA header declares what is not there");
    };
    let props = lzma::Props { lc: 3, lp: 0, pb: 2 };
    let mut decoded = lzma::decode_raw(stream, props, Some(size as usize), max, budget);
    // The stream fills its declared room, up to what aligns it.
    let rest = stream.get(decoded.consumed..).unwrap_or_default();
    if decoded.error.is_none() && !(rest.len() < 16 && rest.iter().all(|b| *b == 0)) {
        decoded.error = Some(Error::Malformed {
            what: "the stream ends before its declared end",
            at: decoded.consumed,
        });
    }
    if decoded.error.is_none() {
        decoded.consumed = stream.len();
    }
    decoded.consumed = decoded.consumed.saturating_add(HEADER);
    decoded
}

fn xalz(data: &[u8], max: usize, budget: &Budget) -> Decoded {
    const HEADER: usize = 12;
    let (Some(size @ 1..), Some(block)) = (read::le32(data, 8), data.get(HEADER..)) else {
        return refused("no XALZ header");
    };
    let mut decoded = lz4::decode_block(block, max.min(size as usize), budget);
    if decoded.error.is_none() && decoded.bytes.len() != size as usize {
        decoded.error =
            Some(Error::Malformed { what: "the block is not as long as declared", at: data.len() });
    }
    decoded.consumed = decoded.consumed.saturating_add(HEADER);
    decoded
}

fn qnx(data: &[u8], max: usize, budget: &Budget) -> Decoded {
    let head = (read::le32(data, 8), read::le16(data, 12), read::u8(data, 14));
    let (Some(size @ 1..=0x7FFF_FFFF), Some(4096 | 8192 | 16384 | 32768), Some(kind)) = head else {
        return refused("no QNX deflate header");
    };
    let unpack = match kind {
        0 => lzo::decode,
        1 => ucl::decode,
        _ => return refused("no compression of QNX deflate"),
    };
    let mut all = Decoded { consumed: 16, ..Decoded::default() };
    all.error = qnx_blocks(data, unpack, max, budget, &mut all.bytes, &mut all.consumed).err();
    if all.error.is_none() && all.bytes.len() != size as usize {
        all.error = Some(Error::Malformed {
            what: "the content is not as long as declared",
            at: all.consumed,
        });
    }
    all
}

fn qnx_blocks(
    data: &[u8],
    unpack: Decode,
    max: usize,
    budget: &Budget,
    out: &mut Buffer,
    at: &mut usize,
) -> Result<(), Error> {
    const HEADER: usize = 8;
    loop {
        let cut = Error::Truncated { what: "QNX deflate", at: *at };
        let next = usize::from(read::le16(data, at.saturating_add(2)).ok_or(cut)?);
        let size = usize::from(read::le16(data, at.saturating_add(6)).ok_or(cut)?);
        let body = at.saturating_add(HEADER);
        if next == 0 {
            *at = body;
            return Ok(());
        }
        let len = next
            .checked_sub(HEADER)
            .ok_or(Error::Malformed { what: "a block without room", at: *at })?;
        let block = read::slice(data, body, len).ok_or(cut)?;
        if out.len().saturating_add(size) > max {
            return Err(Error::Limit { max });
        }
        let (bytes, _) = unpack(block, size, budget).whole()?;
        if bytes.len() != size {
            return Err(Error::Malformed { what: "a block is not as long as declared", at: *at });
        }
        out.append(&bytes, budget.spool());
        *at = body.saturating_add(len);
    }
}

fn arcadyan(data: &[u8], max: usize, budget: &Budget) -> Decoded {
    // Larger streams do not exist.
    if !(0x100..=0x1B_0000).contains(&data.len()) {
        return refused("no stream of this size");
    }
    // What is shuffled ends at 0x88, so refusing costs little.
    let head = unshuffle(data.get(..0x88).unwrap_or_default());
    let header = head.get(4..).and_then(lzma::Header::parse);
    if !header.is_some_and(|h| h.dictionary.count_ones() == 1 && h.size.is_some()) {
        return refused("no LZMA header behind the shuffle");
    }
    let plain = unshuffle(data);
    let mut decoded = lzma::decode_alone(plain.get(4..).unwrap_or_default(), max, budget);
    decoded.consumed = decoded.consumed.saturating_add(4);
    decoded
}

/// Exchanges the pieces at 4 and at 0x68; in what then stands first nibbles and neighbours are exchanged.
fn unshuffle(data: &[u8]) -> Vec<u8> {
    let mut plain = data.to_vec();
    let (first, second) =
        (data.get(4..36).unwrap_or_default(), data.get(0x68..0x88).unwrap_or_default());
    let moved: Vec<u8> =
        second.chunks(2).flat_map(|pair| pair.iter().rev().map(|b| b.rotate_left(4))).collect();
    if let Some(to) = plain.get_mut(4..36).filter(|to| to.len() == moved.len()) {
        to.copy_from_slice(&moved);
    }
    if let Some(to) = plain.get_mut(0x68..0x88).filter(|to| to.len() == first.len()) {
        to.copy_from_slice(first);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, scratch, tool, torture};

    fn lzma_alone(content: &[u8], dictionary: &str) -> Vec<u8> {
        let dir = scratch();
        std::fs::write(dir.path().join("in"), content).unwrap();
        let options = format!("--lzma1=dict={dictionary},lc=3,lp=0,pb=2");
        tool(dir.path(), "xz-utils", &format!("xz --format=lzma {options} -c in"))
    }

    fn text() -> Vec<u8> {
        (0..400).flat_map(|i| format!("line {i} of a program\n").into_bytes()).collect()
    }

    #[test]
    fn qca_and_arcadyan_around_streams_of_xz() {
        let content = text();
        let alone = lzma_alone(&content, "4KiB");
        let raw = &alone[13..];
        let mut file = b"\x03\0\x02\0\0\x10\0\0".to_vec();
        for n in [raw.len(), content.len()] {
            file.extend(u32::try_from(n).unwrap().to_le_bytes());
        }
        file.extend(raw);
        assert_eq!(open_whole(&QCA, &file).content("data"), content);
        torture(&QCA, &file);
        assert!(
            open_at(
                &QCA,
                &[&b"\x03\0\x02\0\0\x10\0\0\x40\0\0\0\x80\0\0\0"[..], &noise(64, 1)].concat(),
                0
            )
            .is_none()
        );

        let mut plain = vec![0; 4];
        plain.extend(lzma_alone(&content, "8MiB"));
        plain[4 + 5..4 + 13].copy_from_slice(&(content.len() as u64).to_le_bytes());
        // The shuffle undone twice is not the identity, so it is done here from the text of its rule.
        let mut file = plain.clone();
        file[4..36].copy_from_slice(&plain[0x68..0x88]);
        for (i, pair) in plain[4..36].chunks(2).enumerate() {
            file[0x68 + 2 * i] = pair[1].rotate_left(4);
            file[0x69 + 2 * i] = pair[0].rotate_left(4);
        }
        assert_eq!(open_whole(&ARCADYAN, &file).content("data"), content);
        torture(&ARCADYAN, &file);
        assert!(open_at(&ARCADYAN, &noise(600, 2), 0).is_none());
    }

    #[test]
    fn xalz_and_qnx() {
        // One LZ4 block of 20 literals, and one LZO block of the same.
        let mut file = b"XALZ\x01\0\0\0\x14\0\0\0\xf0\x05".to_vec();
        file.extend(b"twenty literal bytes");
        assert_eq!(open_whole(&XALZ, &file).content("data"), &b"twenty literal bytes"[..]);
        torture(&XALZ, &file);
        assert!(open_at(&XALZ, b"XALZ\0\0\0\0\0\0\0\0", 0).is_none());

        let block = [&b"\x25twenty literal bytes"[..], b"\x11\0\0"].concat();
        let mut file = b"iwlyfmbp\x14\0\0\0\0\x10\0\0".to_vec();
        let next = u16::try_from(block.len() + 8).unwrap();
        for v in [0, next, 0, 20] {
            file.extend(v.to_le_bytes());
        }
        file.extend(&block);
        file.extend([0; 8]);
        assert_eq!(open_whole(&QNX, &file).content("data"), &b"twenty literal bytes"[..]);
        torture(&QNX, &file);
        assert!(open_at(&QNX, b"iwlyfmbp and no header", 0).is_none());
    }
}
