//! Moxa FRM (NPort, MGate, MiiNePort): sections of a program and of the web server's files.
//!
//! A section of type 2 is a small file system: 96 bytes of header, a table of names, contents that mostly are
//! gzip streams. Establishes: lengths of the whole, of the sections and of the files.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::Magic,
    formats::layout::{self, Layout, Reader, about},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "moxa-frm",
        "Moxa FRM",
        "device, creation time, file names",
        "lengths of container, sections and files",
        "",
        "unblob, handlers/archive/moxa/frm.py (layout)"
    ),
    magics: &[Magic::anywhere(b"*FRM\0\0\0\x01")],
    read: frm,
};

fn frm(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (total, header, count) =
        (read::le32(data, 8)?, read::le16(data, 12)?, read::le16(data, 14)?);
    let table = usize::from(count).checked_mul(16)?.checked_add(64)?;
    if data.get(..8)? != b"*FRM\0\0\0\x01"
        || usize::from(header) < table
        || !(1..=64).contains(&count)
    {
        return None;
    }
    let mut layout = Layout::new(data, total.into(), Proof::LengthsConsistent);
    layout.structure(0, header.into());
    layout.align(512);
    layout.integrity("none", "", None);
    for (n, row) in data.get(64..table)?.chunks_exact(16).enumerate() {
        let (kind, at, len) = (read::le32(row, 0)?, read::le32(row, 4)?, read::le32(row, 8)?);
        if at < header.into() || at.checked_add(len)? > total {
            return None;
        }
        match kind {
            1 => layout.part(data, "firmware.bin", at.into(), len.into()),
            2 if files(data, &mut layout, at, len, budget).is_some() => {}
            _ => layout.part(data, format!("section-{n}-type-{kind}"), at.into(), len.into()),
        }
    }
    Some(layout)
}

/// Lists the files of a section; nothing where it is not shaped like one.
fn files(data: &Bytes, layout: &mut Layout, at: u32, len: u32, budget: &Budget) -> Option<()> {
    let start = read::index(at.into())?;
    let section = read::slice(data, start, read::index(len.into())?)?;
    let (table, size) =
        (read::index(read::le32(section, 48)?.into())?, usize::from(read::le16(section, 56)?));
    let count = match read::le16(section, 58)? {
        0 => read::le16(section, 66)?,
        n => n,
    };
    if size < 64 || !layout::is_text_field(section.get(..32)?) {
        return None;
    }
    let rows = read::slice(section, table, usize::from(count).checked_mul(size)?)?;
    let mut parts = Vec::new();
    for row in rows.chunks_exact(size) {
        budget.work(64).ok()?;
        let name = layout::text(row, 0, 48)?;
        let (bytes, offset) = (read::le32(row, 56)?, read::le32(row, 60)?);
        if offset.checked_add(bytes)? > len {
            return None;
        }
        if !name.is_empty() {
            parts.push((name, at.checked_add(offset)?, bytes));
        }
    }
    layout.attribute("device", layout::text(section, 0, 32)?);
    layout.attribute("created", read::le32(section, 36)?);
    layout.structure(start, table.checked_add(rows.len())?);
    for (name, at, bytes) in parts {
        layout.part(data, name.trim_start_matches('/'), at.into(), bytes.into());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    #[test]
    fn our_own_image_is_read_back() {
        let program = noise(700, 1);
        let page = b"<html>".to_vec();
        let mut fs = b"NPort 5110".to_vec();
        fs.resize(48, 0);
        for word in [96_u32, 64] {
            fs.extend(word.to_le_bytes());
        }
        fs.extend([64, 0, 1, 0]);
        fs.resize(96, 0);
        let mut row = b"index.htm".to_vec();
        row.resize(56, 0);
        row.extend(6_u32.to_le_bytes());
        row.extend(160_u32.to_le_bytes());
        fs.extend(row);
        fs.extend(&page);
        let mut file = b"*FRM\0\0\0\x01".to_vec();
        file.extend((96 + 700 + 166_u32).to_le_bytes());
        file.extend([0x60, 0, 2, 0]);
        file.resize(64, 0);
        for (kind, at, len) in [(1_u32, 96_u32, 700_u32), (2, 796, 166)] {
            for word in [kind, at, len, 0] {
                file.extend(word.to_le_bytes());
            }
        }
        file.extend(&program);
        file.extend(&fs);
        let opened = open_whole(&FORMAT, &file);
        assert_eq!(
            (opened.content("firmware.bin"), opened.content("index.htm")),
            (program.into(), page.into())
        );
        assert_eq!(opened.attribute("device"), "NPort 5110");
        torture(&FORMAT, &file);
        file[70] = 0xFF;
        assert!(open_at(&FORMAT, &file, 0).is_none());
    }
}
