//! QNX image file systems: a start-up header, code, and the file system it starts, plain or compressed.
//!
//! *Establishes*: sizes of both parts; in the file system paths, modes, owners, times, links and devices. Compressed ones
//! are rows of blocks of 64 KiB with their lengths (LZO, UCL), or one gzip stream. *Limits*: big-endian images.
//! Source: QNX SDP headers `sys/startup.h` and `sys/image.h` as quoted by the dumpifs program.

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use crate::{
    budget::Budget,
    codec::{lzo, packed::Decode, ucl},
    format::{Blob, Entry, Loaded, Magic},
    formats::layout::{Deferred, Layout, Reader, about},
    read,
};

/// The start-up header and what it starts.
pub static STARTUP: Reader = Reader {
    about: about!(
        Boot,
        "qnx-ifs",
        "QNX image with start-up code",
        "machine, addresses, compression",
        "stored size, reserved fields",
        "big-endian images",
        "QNX, sys/startup.h"
    ),
    magics: &[Magic::anywhere(b"\xEB\x7E\xFF\0\x01\0")],
    read: startup,
};

/// The image file system itself.
pub static IMAGEFS: Reader = Reader {
    about: about!(
        FileSystem,
        "qnx-imagefs",
        "QNX image file system",
        "mode, owner, mtime, device numbers",
        "sizes of image and directory",
        "big-endian images",
        "QNX, sys/image.h"
    ),
    magics: &[
        Magic::anywhere(b"imagefs\0"),
        Magic::anywhere(b"imagefs\x02"),
        Magic::anywhere(b"imagefs\x04"),
        Magic::anywhere(b"imagefs\x06"),
    ],
    read: imagefs,
};

fn startup(data: &Bytes, _: &Budget) -> Option<Layout> {
    let (header, machine) = (usize::from(read::le16(data, 8)?), read::le16(data, 10)?);
    let (code, stored) = (read::le32(data, 32)?, read::le32(data, 36)?);
    let flags = read::u8(data, 6)?;
    let zero = data.get(50..64)?.iter().all(|b| *b == 0);
    if !data.starts_with(b"\xEB\x7E\xFF\0\x01\0")
        || !zero
        || read::u8(data, 7)? != 0
        || header < 64
        || stored <= code
        || (code as usize) < header
    {
        return None;
    }
    let mut layout = Layout::new(data, stored.into(), Proof::LengthsConsistent);
    layout.structure(0, header);
    layout.attribute("machine", machine);
    layout.attribute("load-address", format!("{:#x}", read::le32(data, 24)?));
    let packing = flags >> 2 & 7;
    layout.attribute(
        "compression",
        match packing {
            0 => "none",
            1 => "zlib",
            2 => "lzo",
            3 => "ucl",
            _ => "unknown",
        },
    );
    layout.part(data, "startup", header as u64, u64::from(code).checked_sub(header as u64)?);
    // The last four bytes of the image are the sum of its words.
    let size = stored.checked_sub(code)?;
    if packing == 0 {
        layout.part(data, "imagefs", code.into(), size.into());
    } else if let Some(decode) = block_decoder(packing) {
        let from = read::index(code.into())?.min(layout.length);
        let rows = data.slice(from..layout.length);
        let declared = u64::from(read::le32(data, 44)?);
        let blob = Deferred::blob(declared, move |budget| unpack(&rows, decode, declared, budget));
        layout.entry(from..layout.length, Entry::file("imagefs", blob));
    } else {
        // A gzip stream is opened as such.
        let gzip = data.get(code as usize..).is_some_and(|body| body.starts_with(b"\x1F\x8B\x08"));
        if !gzip {
            layout
                .problem(ProblemKind::Unsupported, "this compression of the image is not decoded");
        }
        layout.part(data, "compressed", code.into(), size.into());
    }
    Some(layout)
}

/// Decoder of the blocks of a compressed image.
fn block_decoder(packing: u8) -> Option<Decode> {
    match packing {
        2 => Some(lzo::decode),
        3 => Some(ucl::decode),
        _ => None,
    }
}

/// Blocks with their length in front, big-endian, up to one of length 0.
fn unpack(rows: &[u8], decode: Decode, declared: u64, budget: &Budget) -> Loaded {
    const BLOCK: usize = 1 << 16;
    let mut loaded = Loaded::default();
    let (mut at, mut out) = (0_usize, Vec::new());
    while let Some(len) = read::be16(rows, at).filter(|n| *n > 0).map(usize::from) {
        let Some(block) = read::slice(rows, at.saturating_add(2), len) else {
            loaded
                .problems
                .push(Problem::new(ProblemKind::Truncated, "a compressed block is cut off"));
            break;
        };
        let decoded = decode(block, BLOCK, budget);
        out.extend_from_slice(&decoded.bytes);
        if let Some(e) = decoded.error {
            loaded.problems.push(Problem::from(e).at(at as u64));
            break;
        }
        at = at.saturating_add(2).saturating_add(len);
    }
    if out.len() as u64 != declared && loaded.problems.is_empty() {
        let text = format!("{} bytes came out, {declared} were declared", out.len());
        loaded.problems.push(Problem::new(ProblemKind::Incomplete, text));
    }
    out.truncate(read::index(declared).unwrap_or(usize::MAX));
    loaded.bytes = out.into();
    loaded
}

fn imagefs(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (flags, size) = (read::u8(data, 7)?, read::le32(data, 8)?);
    let (end, directory) =
        (read::index(read::le32(data, 12)?.into())?, read::index(read::le32(data, 16)?.into())?);
    // Bit 0 is the byte order.
    if !data.starts_with(b"imagefs")
        || flags & 1 != 0
        || directory < 92
        || end < directory
        || size as usize <= end
    {
        return None;
    }
    let mut layout = Layout::new(data, size.into(), Proof::LengthsConsistent);
    layout.structure(0, end);
    layout.align(1 << 12);
    let mut at = directory;
    let mut found = 0_u32;
    while let Some(len) = read::le16(data, at).filter(|n| *n > 0).map(usize::from) {
        budget.work(32).ok()?;
        let Some(row) = read::slice(data, at, len).filter(|_| at < end && len >= 24) else { break };
        let word = |at| read::le32(row, at);
        let (mode, gid, uid, mtime) = (word(8)?, word(12)?, word(16)?, word(20)?);
        let metadata = Metadata {
            mode: Some(mode & 0o7777),
            uid: Some(uid),
            gid: Some(gid),
            mtime: Some(mtime.into()),
            xattrs: Vec::new(),
        };
        let name = |from: usize| read::until_nul(row.get(from..).unwrap_or_default()).to_vec();
        let plain = |mut path: Vec<u8>| {
            let slashes = path.iter().take_while(|b| **b == b'/').count();
            path.drain(..slashes);
            path
        };
        match mode & 0o170_000 {
            0o100_000 => {
                let mut entry = Entry::file(plain(name(32)), Blob::None);
                entry.metadata = metadata;
                if word(28)? == 0 {
                    entry.blob = Blob::Bytes(Bytes::new());
                    layout.entry(at..at, entry);
                } else {
                    layout.part_with(data, entry, word(24)?.into(), word(28)?.into());
                }
            }
            kind => {
                let (kind, path) = match kind {
                    0o040_000 => (EntryKind::Directory, name(24)),
                    0o120_000 => {
                        let target = name(28_usize.checked_add(read::le16(row, 24)?.into())?);
                        (EntryKind::Symlink { target: escape(&target) }, name(28))
                    }
                    0o020_000 => (
                        EntryKind::CharDevice { major: word(28)? >> 10, minor: word(28)? & 0x3FF },
                        name(32),
                    ),
                    0o060_000 => (
                        EntryKind::BlockDevice { major: word(28)? >> 10, minor: word(28)? & 0x3FF },
                        name(32),
                    ),
                    0o010_000 => (EntryKind::Fifo, name(32)),
                    _ => break,
                };
                // The root has no name.
                if !path.is_empty() {
                    layout.entry(
                        at..at,
                        Entry { kind, metadata, ..Entry::file(plain(path), Blob::None) },
                    );
                }
            }
        }
        found = found.saturating_add(1);
        at = at.checked_add(len)?;
    }
    if found == 0 {
        return None;
    }
    if at.checked_add(2)? < end.saturating_sub(8) && read::le16(data, at)? != 0 {
        layout.problem(
            ProblemKind::Incomplete,
            format!("the directory cannot be read from {at:#x} on"),
        );
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    fn row(mode: u32, rest: &[u8]) -> Vec<u8> {
        let len = (24 + rest.len()).next_multiple_of(4);
        let mut row = u16::try_from(len).unwrap().to_le_bytes().to_vec();
        row.extend([0; 2]);
        for word in [1, mode, 100, 0, 1_400_000_000] {
            row.extend(u32::to_le_bytes(word));
        }
        row.extend(rest);
        row.resize(len, 0);
        row
    }

    fn image() -> Vec<u8> {
        let body = noise(500, 6);
        let rows = |at: u32| {
            let file = [&at.to_le_bytes()[..], &500_u32.to_le_bytes(), b"proc/boot/io\0"].concat();
            [
                row(0o040_755, b"\0"),
                row(0o040_755, b"proc\0"),
                row(0o100_755, &file),
                row(0o120_777, b"\x09\0\x05\0dev/link1\0/tmp\0"),
                vec![0, 0],
            ]
            .concat()
        };
        // The link's target stands behind its name.
        let fixed = |mut rows: Vec<u8>| {
            let at = rows.windows(9).position(|w| w == b"dev/link1").unwrap();
            rows[at - 4] = 10;
            rows
        };
        let end = 92 + rows(0).len();
        let directory = fixed(rows(u32::try_from(end).unwrap()));
        let mut image = b"imagefs\0".to_vec();
        for word in [end + 500, end, 92] {
            image.extend(u32::try_from(word).unwrap().to_le_bytes());
        }
        image.resize(92, 0);
        image.extend(directory);
        image.extend(&body);
        image
    }

    #[test]
    fn our_own_image_is_read_back() {
        let image = image();
        let opened = open_whole(&IMAGEFS, &image);
        assert_eq!(opened.files(), ["proc", "dev/link1", "proc/boot/io"]);
        assert_eq!(opened.content("proc/boot/io"), noise(500, 6));
        let link = opened.entries.iter().find(|e| e.path == b"dev/link1").unwrap();
        assert_eq!(link.kind, EntryKind::Symlink { target: "/tmp".into() });
        torture(&IMAGEFS, &image);
        assert!(
            open_at(
                &IMAGEFS,
                b"imagefs\0 is a word in a text that is longer than it seems to be",
                0
            )
            .is_none()
        );
    }

    #[test]
    fn behind_start_up_code_plain_and_packed() {
        let fs = image();
        // One LZO block of literals only: the first byte codes lengths above 238 otherwise, so it is cut in pieces.
        let mut packed = Vec::new();
        for piece in fs.chunks(200) {
            let block =
                [&[u8::try_from(piece.len() + 17).unwrap()][..], piece, b"\x11\0\0"].concat();
            packed.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
            packed.extend(block);
        }
        packed.extend([0, 0]);
        // All literals in UCL as well: each has a bit in front of it, in bytes of eight.
        let mut ucl = Vec::new();
        for piece in fs.chunks(200) {
            let mut block = Vec::new();
            for bytes in piece.chunks(8) {
                block.push(if bytes.len() == 8 { 0xFF } else { !(0xFF >> bytes.len()) });
                block.extend(bytes);
            }
            // The end: a 0, then a distance of all ones.
            let mut bits = vec![0_u8];
            for n in 0..24 {
                bits.extend([u8::from(n == 22), u8::from(n == 23)]);
            }
            let taken = piece.len() % 8;
            let (now, later) = bits.split_at(if taken == 0 { 0 } else { 8 - taken });
            if taken > 0 {
                let at = block.len() - taken - 1;
                block[at] |= now.iter().fold(0, |byte, bit| byte << 1 | bit);
            }
            for bits in later.chunks(8) {
                block.push(bits.iter().fold(0, |byte, bit| byte << 1 | bit) << (8 - bits.len()));
            }
            block.push(0xFF);
            ucl.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
            ucl.extend(block);
        }
        ucl.extend([0, 0]);
        for (flags, body) in [(0_u8, fs.clone()), (8, packed), (12, ucl)] {
            let mut file = b"\xEB\x7E\xFF\0\x01\0".to_vec();
            file.extend([flags, 0, 64, 0, 40, 0]);
            file.resize(32, 0);
            for word in [300, 300 + body.len(), 0, fs.len()] {
                file.extend(u32::try_from(word).unwrap().to_le_bytes());
            }
            file.resize(64, 0);
            file.extend(noise(236, 7));
            file.extend(&body);
            assert_eq!(open_whole(&STARTUP, &file).content("imagefs"), fs);
            torture(&STARTUP, &file);
            file[60] = 1;
            assert!(open_at(&STARTUP, &file, 0).is_none());
        }
    }
}
