//! Files that VxWorks images of routers carry behind a mark of thirty-two letters `ow` or `OW`.
//!
//! | offset | |
//! |---|---|
//! | 0 | `owow...`, 32 bytes |
//! | 32 | version, number of files; in the layout with lower-case letters one word more |
//! | then | rows: name (40 bytes, or 64 with upper-case letters), size, offset from the mark; upper-case: one word more |
//!
//! Big-endian. Contents are usually LZMA, which the engine opens. *False positives*: none known: contents begin behind
//! the table, in the order of the rows, and do not overlap.
//! Sources: devttys0, "Mystery File System", 2011; BANG, `vxworks_memfs.ksy`; tplink-vxworks-based-firmware, `unow2fs.py`.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{Blob, Entry, Magic},
    formats::layout::{self, Layout, Reader, about},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "vxworks-files",
        "VxWorks in-image file store (owow)",
        "paths",
        "offsets follow each other behind the table",
        "none",
        "devttys0, Mystery File System",
        "tplink-vxworks-based-firmware, unow2fs.py"
    ),
    magics: &[
        Magic::anywhere(b"owowowowowowowowowowowowowowowow\0\0\0"),
        Magic::anywhere(b"OWOWOWOWOWOWOWOWOWOWOWOWOWOWOWOW\0\0\0"),
    ],
    read: read_layout,
};

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let lower = match data.get(..2)? {
        b"ow" => true,
        b"OW" => false,
        _ => return None,
    };
    let same = data.get(..32)?.chunks_exact(2).all(|pair| Some(pair) == data.get(..2));
    let (header, name, row) = if lower { (44_usize, 40_usize, 48_usize) } else { (40, 64, 76) };
    let (version, count) = (read::be32(data, 32)?, read::be32(data, 36)? as usize);
    if !same || version > 16 || !(1..=1 << 16).contains(&count) {
        return None;
    }
    let first = count.checked_mul(row)?.checked_add(header)?;
    let table = data.get(header..first)?;
    budget.work(table.len() as u64).ok()?;
    let (mut files, mut end) = (Vec::new(), first as u64);
    for row in table.chunks_exact(row) {
        let label = row.get(..name)?;
        let (size, at) =
            (u64::from(read::be32(row, name)?), u64::from(read::be32(row, name.checked_add(4)?)?));
        let path = read::until_nul(label);
        // Behind the one before, aligned.
        if path.is_empty()
            || !layout::is_text_field(label)
            || at < end
            || at.saturating_sub(end) > 64
        {
            return None;
        }
        let path = path.get(path.iter().take_while(|b| **b == b'/').count()..)?;
        files.push((path.to_vec(), at, size));
        end = at.checked_add(size)?;
    }
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    layout.structure(0, first);
    layout.align(64);
    layout.attribute("os", "vxworks");
    layout.attribute("version", version);
    layout.attribute("files", count);
    layout.integrity("none", "", None);
    for (path, at, size) in files {
        if size == 0 {
            layout.entry(first..first, Entry::file(path, Blob::Bytes(Bytes::new())));
        } else {
            layout.part(data, path, at, size);
        }
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    fn build(lower: bool) -> Vec<u8> {
        let files =
            [("/common.js", noise(301, 1)), ("web/help.css", noise(44, 2)), ("empty", vec![])];
        let (header, name, row) = if lower { (44, 40, 48) } else { (40, 64, 76) };
        let mut file = (if lower { "ow" } else { "OW" }).repeat(16).into_bytes();
        file.extend([0, 0, 0, 1, 0, 0, 0, 3]);
        file.resize(header, 0);
        let mut body = Vec::new();
        for (path, content) in &files {
            let at = header + 3 * row + body.len();
            let end = file.len() + row;
            let start = file.len();
            file.extend(path.as_bytes());
            file.resize(start + name, 0);
            file.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
            file.extend(u32::try_from(at).unwrap().to_be_bytes());
            file.resize(end, 0);
            body.extend(content);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body.truncate(301 + 3 + 44);
        file.extend(body);
        file
    }

    #[test]
    fn both_layouts_are_read_back() {
        for lower in [true, false] {
            let file = build(lower);
            let opened = open_whole(&FORMAT, &file);
            assert_eq!(opened.content("common.js"), noise(301, 1));
            assert_eq!(opened.content("web/help.css"), noise(44, 2));
            assert_eq!(opened.files().len(), 3);
            torture(&FORMAT, &file);
        }
        let text = "owowowowowowowowowowowowowowowowowow".repeat(40);
        assert!(open_at(&FORMAT, text.as_bytes(), 0).is_none());
        let noisy = [&build(true)[..44], &noise(600, 3)].concat();
        assert!(open_at(&FORMAT, &noisy, 0).is_none());
    }
}
