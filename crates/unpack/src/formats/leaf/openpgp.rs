//! Messages of OpenPGP: compressed ones are opened, encrypted ones say for which key they are.
//!
//! Both have marks of two or three bytes and are only looked for at the start of a content. A compressed message must
//! decode to its end; an encrypted one must have a session key packet of the length its key size implies, followed by
//! an encrypted data packet.
//!
//! Source: RFC 4880, sections 4.2, 5.1, 5.6, 5.7 and 5.13.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    codec::{self, Decoded, Error},
    format::{Entry, Magic},
    formats::{
        layout::{Layout, Reader, about},
        sums,
    },
    read,
};

/// A compressed message, as a signed file is.
pub static COMPRESSED: Reader = Reader {
    about: about!(
        Compression,
        "openpgp-compressed",
        "OpenPGP compressed message",
        "none in the format",
        "the decoder must reach its end",
        "the packets inside are one entry; signatures are not verified",
        "RFC 4880"
    ),
    magics: &[Magic::start(b"\xa3\x01"), Magic::start(b"\xa3\x02"), Magic::start(b"\xa3\x03")],
    read: compressed,
};

/// An encrypted message.
pub static ENCRYPTED: Reader = Reader {
    about: about!(
        Leaf,
        "openpgp-encrypted",
        "OpenPGP encrypted message",
        "key id, key size",
        "packet lengths",
        "content is not decrypted",
        "RFC 4880"
    ),
    magics: &[
        Magic::start(b"\x84\x8C\x03"),
        Magic::start(b"\x85\x01\x0C\x03"),
        Magic::start(b"\x85\x01\x8C\x03"),
        Magic::start(b"\x85\x02\x0C\x03"),
        Magic::start(b"\x85\x04\x0C\x03"),
    ],
    read: encrypted,
};

fn compressed(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let body = data.get(2..)?;
    let max = usize::try_from(budget.output_left()).unwrap_or(usize::MAX);
    let (name, decoded): (_, Decoded) = match data.get(..2)? {
        b"\xa3\x01" => ("deflate", codec::deflate::inflate(body, max, budget)),
        b"\xa3\x02" => ("zlib", codec::deflate::zlib(body, max, budget)),
        b"\xa3\x03" => ("bzip2", codec::bzip2::decode(body, max, budget)),
        _ => return None,
    };
    let limited = matches!(decoded.error, Some(Error::Limit { .. } | Error::Exhausted(_)));
    // What comes out begins with a packet: the highest bit of its tag is set.
    if decoded.error.is_some() && !limited || decoded.bytes.first().is_none_or(|b| b & 0x80 == 0) {
        return None;
    }
    let mut layout =
        Layout::new(data, decoded.consumed.checked_add(2)? as u64, Proof::DecoderEnded);
    layout.attribute("compression", name);
    let mut entry = Entry::file("data", crate::format::Blob::None);
    entry.problems.extend(decoded.error.map(Into::into));
    entry.blob = crate::format::Blob::Bytes(decoded.bytes.into());
    layout.entry(0..layout.length, entry);
    Some(layout)
}

fn encrypted(data: &Bytes, _: &Budget) -> Option<Layout> {
    let (head, len) = match read::u8(data, 0)? {
        0x84 => (2_usize, usize::from(read::u8(data, 1)?)),
        0x85 => (3, usize::from(read::be16(data, 1)?)),
        _ => return None,
    };
    let packet = read::slice(data, head, len)?;
    let bits = read::be16(packet, 10)?;
    // Version 3, key id, RSA, and one number of that many bits.
    let fits = usize::from(bits).div_ceil(8).checked_add(12)? == len;
    let next = read::u8(data, head.checked_add(len)?)?;
    if read::u8(packet, 0)? != 3
        || !matches!(read::u8(packet, 9)?, 1 | 2)
        || !fits
        || !matches!(next, 0xA4..=0xA7 | 0xC9 | 0xD2)
    {
        return None;
    }
    let mut layout = Layout::leaf(data, data.len() as u64, Proof::LengthsConsistent);
    layout.attribute("key-id", sums::hex(packet.get(1..9)?));
    layout.attribute("key-bits", bits.checked_next_multiple_of(8)?);
    layout.encrypted("an OpenPGP message for the key named; the key was not given");
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};
    use proofmark_model::ProblemKind;
    use std::io::Write as _;

    #[test]
    fn messages() {
        let content =
            [b"\xcb\x50b\x01f\0\0\0\0".as_slice(), &b"text of the message ".repeat(20)].concat();
        let mut encoder =
            flate2::write::DeflateEncoder::new(b"\xa3\x01".to_vec(), flate2::Compression::best());
        encoder.write_all(&content).unwrap();
        let file = encoder.finish().unwrap();
        assert_eq!(open_whole(&COMPRESSED, &file).content("data"), content);
        torture(&COMPRESSED, &file);
        assert!(open_at(&COMPRESSED, b"\xa3\x01 is not a message", 0).is_none());

        let mut file = b"\x84\x8C\x03\x01\x02\x03\x04\x05\x06\x07\x08\x01\x04\0".to_vec();
        file.extend(noise(128, 3));
        file.extend(b"\xd2\x20");
        file.extend(noise(32, 4));
        let opened = open(&ENCRYPTED, &file);
        assert_eq!(
            (opened.problems[0].kind, opened.attribute("key-id")),
            (ProblemKind::Encrypted, "0102030405060708")
        );
        torture(&ENCRYPTED, &file);
        file[142] = 0;
        assert!(open_at(&ENCRYPTED, &file, 0).is_none());
    }
}
