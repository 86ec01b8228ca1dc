//! LZFSE streams of Apple: blocks walked to the end mark; stored and LZVN blocks are decoded, entropy-coded ones are not.
//!
//! Source: the reference implementation's `lzfse_internal.h` (BSD) for headers, `lzvn_decode_base.c` for the opcodes.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{Entry, Loaded, Magic},
    formats::layout::{Deferred, Layout, Reader, about},
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
        "blocks `bvx1` and `bvx2` (entropy coded) are not decoded",
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

/// A block: its kind, its payload, and bytes that come out of it.
struct Block {
    kind: [u8; 4],
    start: usize,
    packed: usize,
    size: u32,
}

fn block(data: &[u8], at: usize) -> Option<Block> {
    let kind = read::array::<4>(data, at)?;
    let word = |n: usize| read::le32(data, at.checked_add(n)?);
    let size = word(4)?;
    let (header, packed) = match &kind {
        b"bvx-" => (8, size),
        b"bvxn" => (12, word(8)?),
        b"bvx1" => (770, word(20)?.checked_add(word(24)?)?),
        b"bvx2" => {
            let field = |n: usize| read::le64(data, at.checked_add(n)?);
            let literals = field(8)? >> 20 & 0xF_FFFF;
            let matches = field(16)? >> 40 & 0xF_FFFF;
            let header = word(24).filter(|header| *header >= 32)?;
            (header, u32::try_from(literals.checked_add(matches)?).ok()?)
        }
        _ => return None,
    };
    let start = at.checked_add(read::index(header.into())?)?;
    Some(Block { kind, start, packed: read::index(packed.into())?, size })
}

/// All blocks up to the end mark, where it begins, and bytes that come out.
fn blocks(data: &[u8], budget: &Budget) -> Option<(Vec<Block>, usize, u64)> {
    let mut at = 0_usize;
    let (mut blocks, mut size) = (Vec::new(), 0_u64);
    while read::slice(data, at, 4)? != b"bvx$" {
        budget.work(16).ok()?;
        let found = block(data, at)?;
        at = found.start.checked_add(found.packed)?;
        if at > data.len() || blocks.len() > 1 << 20 {
            return None;
        }
        size = size.checked_add(found.size.into())?;
        blocks.push(found);
    }
    Some((blocks, at, size))
}

/// The content of a stream that another container holds, at most `max` bytes.
pub(crate) fn stream(data: &[u8], max: usize, budget: &Budget) -> Loaded {
    match blocks(data, budget) {
        Some((blocks, _, size)) if size <= max as u64 => decode(data, &blocks, size, budget),
        _ => {
            let problem = Problem::new(ProblemKind::Malformed, "an LZFSE stream is damaged");
            Loaded { bytes: Bytes::new(), problems: vec![problem] }
        }
    }
}

fn lzfse(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (blocks, at, size) = blocks(data, budget)?;
    if blocks.is_empty() {
        return None;
    }
    let mut layout = Layout::new(data, at.checked_add(4)? as u64, Proof::LengthsConsistent);
    layout.attribute("compression", "lzfse");
    let stream = data.slice(..layout.length);
    let blob = Deferred::blob(size, move |budget| decode(&stream, &blocks, size, budget));
    layout.entry(0..layout.length, Entry::file("data", blob));
    Some(layout)
}

fn decode(data: &[u8], blocks: &[Block], size: u64, budget: &Budget) -> Loaded {
    let mut loaded = Loaded::default();
    if let Err(e) = budget.output(size) {
        loaded.problems.push(e.into());
        return loaded;
    }
    let mut out: Vec<u8> = Vec::new();
    for block in blocks {
        let payload = read::slice(data, block.start, block.packed).unwrap_or_default();
        let end = out.len().saturating_add(block.size as usize);
        let problem = match &block.kind {
            b"bvx-" => {
                out.extend_from_slice(payload);
                None
            }
            b"bvxn" => lzvn(payload, &mut out, end)
                .is_none()
                .then_some((ProblemKind::Malformed, "an LZVN block is damaged")),
            _ => Some((
                ProblemKind::Unsupported,
                "entropy-coded LZFSE blocks are not decoded; zeros",
            )),
        };
        let short = out.len() < end;
        out.resize(end, 0);
        let problem = problem
            .or(short
                .then_some((ProblemKind::Incomplete, "a block decodes to less than it declares")));
        if let Some((kind, text)) = problem {
            let problem = Problem::new(kind, text);
            if !loaded.problems.contains(&problem) {
                loaded.problems.push(problem);
            }
        }
    }
    loaded.bytes = out.into();
    loaded
}

/// Appends what an LZVN block stands for, up to `end` bytes in all; nothing where an opcode cannot be.
pub(crate) fn lzvn(input: &[u8], out: &mut Vec<u8>, end: usize) -> Option<()> {
    let start = out.len();
    let (mut at, mut distance) = (0_usize, 0_usize);
    let byte = |at: usize| read::u8(input, at).map(usize::from);
    loop {
        let op = byte(at)?;
        // Bytes of the opcode, literals, length of the match; the distance where it has one.
        let (len, literals, matched) = match op {
            0x06 => return Some(()),
            0x0E | 0x16 => (1, 0, 0),
            0x1E | 0x26 | 0x2E | 0x36 | 0x3E | 0x70..=0x7F | 0xD0..=0xDF => return None,
            0xE0 => (2, byte(at.checked_add(1)?)?.checked_add(16)?, 0),
            0xE1..=0xEF => (1, op & 15, 0),
            0xF0 => (2, 0, byte(at.checked_add(1)?)?.checked_add(16)?),
            0xF1..=0xFF => (1, 0, op & 15),
            0xA0..=0xBF => {
                let more = usize::from(read::le16(input, at.checked_add(1)?)?);
                distance = more >> 2;
                (3, op >> 3 & 3, ((op & 7) << 2 | more & 3).checked_add(3)?)
            }
            _ => {
                let (literals, matched) = (op >> 6, (op >> 3 & 7).checked_add(3)?);
                match op & 7 {
                    7 => {
                        distance = usize::from(read::le16(input, at.checked_add(1)?)?);
                        (3, literals, matched)
                    }
                    // The distance before this one again.
                    6 => (1, literals, matched),
                    high => {
                        distance = high << 8 | byte(at.checked_add(1)?)?;
                        (2, literals, matched)
                    }
                }
            }
        };
        at = at.checked_add(len)?;
        out.extend_from_slice(read::slice(input, at, literals)?);
        at = at.checked_add(literals)?;
        let done = out.len().checked_sub(start)?;
        if matched > 0 && (distance == 0 || distance > done)
            || out.len().checked_add(matched)? > end
        {
            return None;
        }
        for _ in 0..matched {
            out.push(*out.get(out.len().checked_sub(distance)?)?);
        }
    }
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
    fn coded_blocks_are_delimited_and_said_not_to_be_read() {
        let mut file = b"bvx2\x20\0\0\0".to_vec();
        file.extend((4_u64 << 20).to_le_bytes());
        file.extend((3_u64 << 40).to_le_bytes());
        file.extend(32_u32.to_le_bytes());
        file.resize(32 + 7, 0);
        file.extend(b"bvx$");
        let opened = open(&FORMAT, &file);
        assert_eq!(opened.candidate.length, file.len());
        let loaded = opened.entries[0].blob.load(&Budget::ample());
        assert_eq!((loaded.bytes.len(), loaded.problems[0].kind), (32, ProblemKind::Unsupported));
    }
}
