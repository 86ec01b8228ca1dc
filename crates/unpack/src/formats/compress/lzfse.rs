//! LZFSE streams of Apple: blocks walked to the end mark, decoded when asked for.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    codec::{lzfse as codec, packed::Packed},
    format::{Entry, Magic},
    formats::layout::{Layout, Reader, about},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Compression,
        "lzfse",
        "LZFSE",
        "none in the format",
        "block lengths up to the end mark",
        "none",
        "https://github.com/lzfse/lzfse"
    ),
    magics: &[
        Magic::anywhere(b"bvx-"),
        Magic::anywhere(b"bvx1"),
        Magic::anywhere(b"bvx2"),
        Magic::anywhere(b"bvxn"),
    ],
    read: lzfse,
};

fn lzfse(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (mut at, mut size) = (0_usize, 0_u64);
    while read::slice(data, at, 4)? != b"bvx$" {
        budget.work(16).ok()?;
        let found = codec::block(data, at)?;
        at = found.end();
        if at > data.len() {
            return None;
        }
        size = size.checked_add(found.size.into())?;
    }
    if at == 0 {
        return None;
    }
    let mut layout = Layout::new(data, at.checked_add(4)? as u64, Proof::LengthsConsistent);
    layout.attribute("compression", "lzfse");
    let stream = data.slice(..layout.length);
    let packed = Packed { data: stream, decode: codec::decode, size, crc32: None };
    layout.entry(0..layout.length, Entry::file("data", packed.blob()));
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, open_whole, torture};

    #[test]
    fn stored_and_lzvn_blocks() {
        let mut file = b"bvx-\x05\0\0\0plain".to_vec();
        // Five literals, then (distance 5) ten bytes again, then the end with its seven zeros.
        let ops = [b"\xE5hello".as_slice(), b"\x38\x05", b"\x06\0\0\0\0\0\0\0"].concat();
        file.extend(b"bvxn\x0f\0\0\0");
        file.extend(u32::try_from(ops.len()).unwrap().to_le_bytes());
        file.extend(&ops);
        file.extend(b"bvx$");
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(opened.content("data"), &b"plainhellohellohello"[..]);
        torture(&FORMAT, &file);
        assert!(open_at(&FORMAT, b"bvx- is a word in this text, no more", 0).is_none());
    }

    #[test]
    fn coded_blocks_of_a_real_encoder() {
        let content = b"What is said once is said again, and again in other words. ".repeat(2000);
        let mut file = Vec::new();
        lzfse_rust::encode_bytes(&content, &mut file).unwrap();
        assert!(file.starts_with(b"bvx2"));
        assert_eq!(open_whole(&FORMAT, &file).content("data"), content);
        torture(&FORMAT, &file);
        // A block that cannot be read leaves zeros, and the ones behind it stand where they should.
        let mut two = file[..file.len() - 4].to_vec();
        two.extend(b"bvx-\x05\0\0\0plainbvx$");
        two[36] ^= 0xFF;
        let opened = open(&FORMAT, &two);
        let loaded = opened.entries[0].blob.load(&Budget::ample());
        assert_eq!(loaded.bytes.len(), content.len() + 5);
        assert!(loaded.bytes.ends_with(b"plain"));
        assert_eq!(loaded.problems[0].kind, proofmark_model::ProblemKind::Malformed);
    }
}
