//! Instar cameras: BNEG (two partitions behind 28 bytes), and HD images, which are zip archives with other marks.
//!
//! Of an HD image the end record must fit the central directory before it; its one entry is the zip archive
//! with the marks put right.

use bytes::Bytes;
use memchr::memmem;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{Entry, Loaded, Magic},
    formats::layout::{Deferred, Layout, Reader, about},
    read,
};

/// Instar cameras.
pub static BNEG: Reader = Reader {
    about: about!(
        Vendor,
        "instar-bneg",
        "Instar BNEG",
        "",
        "sizes",
        "",
        "unblob, handlers/archive/instar/bneg.py (layout)"
    ),
    magics: &[Magic::anywhere(b"BNEG\x01\0\0\0\x01\0\0\0")],
    read: bneg,
};

/// Zip archives with changed marks.
pub static HD: Reader = Reader {
    about: about!(
        Vendor,
        "instar-hd",
        "Instar HD",
        "",
        "end record against the central directory",
        "",
        "unblob, handlers/archive/instar/instar_hd.py (marks)"
    ),
    magics: &[Magic::anywhere(b"PK\x03\x07")],
    read: hd,
};

/// Two partitions behind 28 bytes.
fn bneg(data: &Bytes, _: &Budget) -> Option<Layout> {
    let (first, second) = (u64::from(read::le32(data, 12)?), u64::from(read::le32(data, 16)?));
    let end = first.checked_add(second)?.checked_add(28)?;
    if data.get(..4)? != b"BNEG" || first == 0 || end > data.len() as u64 {
        return None;
    }
    let mut layout = Layout::new(data, end, Proof::LengthsConsistent);
    layout.structure(0, 28);
    layout.integrity("none", "", None);
    layout.part(data, "partition-1", 28, first);
    layout.part(data, "partition-2", first.checked_add(28)?, second);
    Some(layout)
}

/// Changed marks and what they stand for.
const MARKS: [(&[u8; 4], &[u8; 4]); 3] = [
    (b"PK\x03\x07", b"PK\x03\x04"),
    (b"PK\x01\x08", b"PK\x01\x02"),
    (b"PK\x05\x09", b"PK\x05\x06"),
];

fn hd(data: &Bytes, budget: &Budget) -> Option<Layout> {
    // A local header is version, flags, method: versions above 6.3 do not exist.
    if !data.starts_with(b"PK\x03\x07") || read::le16(data, 4)? > 63 {
        return None;
    }
    let mut from = 0_usize;
    let end = loop {
        let at = budget.find(data, b"PK\x05\x09", from).ok()??;
        let (size, start) =
            (read::le32(data, at.checked_add(12)?)?, read::le32(data, at.checked_add(16)?)?);
        let comment = usize::from(read::le16(data, at.checked_add(20)?)?);
        let directory = read::index(start.into())?;
        if directory.checked_add(read::index(size.into())?) == Some(at)
            && read::slice(data, directory, 4) == Some(b"PK\x01\x08")
        {
            break at.checked_add(22)?.checked_add(comment)?;
        }
        from = at.checked_add(4)?;
    };
    let mut layout = Layout::new(data, end as u64, Proof::LengthsConsistent);
    layout.integrity("none", "", None);
    let changed = data.slice(..layout.length);
    let len = changed.len() as u64;
    let blob = Deferred::blob(len, move |budget| match budget.output(len) {
        Ok(()) => Loaded { bytes: with_usual_marks(&changed).into(), problems: Vec::new() },
        Err(e) => Loaded { bytes: Bytes::new(), problems: vec![e.into()] },
    });
    layout.entry(0..layout.length, Entry::file("image.zip", blob));
    Some(layout)
}

fn with_usual_marks(changed: &[u8]) -> Vec<u8> {
    let mut plain = changed.to_vec();
    for (mark, usual) in MARKS {
        for at in memmem::find_iter(changed, mark) {
            if let Some(target) = plain.get_mut(at..at.saturating_add(4)) {
                target.copy_from_slice(usual);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn our_own_bneg_is_read_back() {
        let (a, b) = (noise(300, 71), noise(400, 72));
        let words = [1_u32, 1, 300, 400, 0, 0].iter().flat_map(|w| w.to_le_bytes()).collect();
        let file = [b"BNEG".to_vec(), words, a.clone(), b.clone()].concat();
        let opened = open_whole(&BNEG, &file);
        assert_eq!(
            (opened.content("partition-1"), opened.content("partition-2")),
            (a.into(), b.into())
        );
        torture(&BNEG, &file);
        assert!(open_at(&BNEG, b"BNEG\x01\0\0\0\x01\0\0\0\xFF\xFF\xFF\xFF\0\0\0\0", 0).is_none());
    }

    #[test]
    fn a_zip_with_changed_marks_is_a_zip_again() {
        let dir = scratch();
        std::fs::write(dir.path().join("a"), "text of a file ".repeat(50)).unwrap();
        std::fs::write(dir.path().join("b"), "b").unwrap();
        let zip = tool(dir.path(), "zip", "zip -q x.zip a b; cat x.zip");
        let mut changed = zip.clone();
        for (mark, usual) in MARKS {
            for at in memmem::find_iter(&zip, usual) {
                changed[at..at + 4].copy_from_slice(mark);
            }
        }
        assert_eq!(open_whole(&HD, &changed).content("image.zip"), zip);
        torture(&HD, &changed);
        assert!(open_at(&HD, b"PK\x03\x07\x14\0 and no more of it", 0).is_none());
    }
}
