//! Workbooks (Office Open XML, ECMA-376) with plain tables: text and numbers, a header that stays in
//! view, and nothing that depends on a clock. A workbook is a zip of a few XML parts.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::Error;

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Text, never run as a formula.
    Text(String),
    /// A number; one that is not finite becomes an empty cell.
    Number(f64),
}

impl From<&str> for Cell {
    fn from(x: &str) -> Self {
        Self::Text(x.to_owned())
    }
}

impl From<String> for Cell {
    fn from(x: String) -> Self {
        Self::Text(x)
    }
}

impl From<f64> for Cell {
    fn from(x: f64) -> Self {
        Self::Number(x)
    }
}

impl From<usize> for Cell {
    fn from(x: usize) -> Self {
        Self::Number(x as f64)
    }
}

impl From<u32> for Cell {
    fn from(x: u32) -> Self {
        Self::Number(f64::from(x))
    }
}

impl From<Option<u32>> for Cell {
    fn from(x: Option<u32>) -> Self {
        x.map_or_else(|| Self::Text(String::new()), Self::from)
    }
}

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// Name of the tab; shortened and cleaned where Excel demands it.
    pub name: String,
    /// Column names.
    pub header: Vec<&'static str>,
    /// Rows.
    pub rows: Vec<Vec<Cell>>,
}

/// Rows that a sheet may have beside its header.
pub const MAX_ROWS: usize = 1_048_575;
/// Characters that a cell may hold.
const MAX_TEXT: usize = 32_767;

fn escape(out: &mut String, text: &str) {
    for c in text.chars().take(MAX_TEXT) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML 1.0, even escaped.
            c if (c < ' ' && !matches!(c, '\t' | '\n' | '\r'))
                || matches!(c, '\u{fffe}' | '\u{ffff}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
}

/// Names of tabs: at most 31 characters, none of `[]:*?/\`, all different.
fn names(sheets: &[Sheet]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for s in sheets {
        let clean: String =
            s.name.chars().map(|c| if "[]:*?/\\'".contains(c) { '-' } else { c }).collect();
        let mut name: String = clean.chars().take(31).collect();
        let mut n = 2;
        while name.is_empty() || out.iter().any(|o| o.eq_ignore_ascii_case(&name)) {
            name = format!("{} {n}", clean.chars().take(27).collect::<String>());
            n += 1;
        }
        out.push(name);
    }
    out
}

fn sheet(s: &Sheet) -> String {
    let mut o = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetViews><sheetView workbookViewId=\"0\"><pane ySplit=\"1\" topLeftCell=\"A2\" activePane=\"bottomLeft\" state=\"frozen\"/></sheetView></sheetViews><cols>",
    );
    for (k, h) in s.header.iter().enumerate() {
        let longest = s
            .rows
            .iter()
            .take(200)
            .filter_map(|r| r.get(k))
            .map(|c| match c {
                Cell::Text(t) => t.chars().count(),
                Cell::Number(_) => 12,
            })
            .chain([h.len()])
            .max();
        let width = longest.unwrap_or(8).clamp(8, 60) + 2;
        let _ =
            write!(o, "<col min=\"{0}\" max=\"{0}\" width=\"{width}\" customWidth=\"1\"/>", k + 1);
    }
    o.push_str("</cols><sheetData>");
    let text = |o: &mut String, t: &str, style: u8| {
        let _ = write!(o, "<c t=\"inlineStr\" s=\"{style}\"><is><t xml:space=\"preserve\">");
        escape(o, t);
        o.push_str("</t></is></c>");
    };
    o.push_str("<row>");
    for h in &s.header {
        text(&mut o, h, 1);
    }
    o.push_str("</row>");
    for r in s.rows.iter().take(MAX_ROWS) {
        o.push_str("<row>");
        for c in r {
            match c {
                Cell::Number(n) if n.is_finite() => {
                    let _ = write!(o, "<c><v>{n}</v></c>");
                }
                Cell::Number(_) => o.push_str("<c/>"),
                Cell::Text(t) => text(&mut o, t, 0),
            }
        }
        o.push_str("</row>");
    }
    o.push_str("</sheetData></worksheet>");
    o
}

/// The workbook as bytes.
///
/// # Errors
/// It is too large for a zip without extensions (4 GiB).
pub fn workbook(sheets: &[Sheet]) -> Result<Vec<u8>, Error> {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let packages = "http://schemas.openxmlformats.org/package/2006";
    let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml";
    let mut types = format!(
        "{head}<Types xmlns=\"{packages}/content-types\"><Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" ContentType=\"application/xml\"/><Override PartName=\"/xl/workbook.xml\" ContentType=\"{kind}.sheet.main+xml\"/><Override PartName=\"/xl/styles.xml\" ContentType=\"{kind}.styles+xml\"/>"
    );
    let mut book = format!("{head}<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets>");
    let mut relations = format!("{head}<Relationships xmlns=\"{packages}/relationships\">");
    for (k, name) in (1..).zip(names(sheets)) {
        let _ = write!(
            types,
            "<Override PartName=\"/xl/worksheets/sheet{k}.xml\" ContentType=\"{kind}.worksheet+xml\"/>"
        );
        book.push_str("<sheet name=\"");
        escape(&mut book, &name);
        let _ = write!(book, "\" sheetId=\"{k}\" r:id=\"rId{k}\"/>");
        let _ = write!(
            relations,
            "<Relationship Id=\"rId{k}\" Type=\"{office}/worksheet\" Target=\"worksheets/sheet{k}.xml\"/>"
        );
    }
    let _ = write!(
        relations,
        "<Relationship Id=\"rId0\" Type=\"{office}/styles\" Target=\"styles.xml\"/></Relationships>"
    );
    types.push_str("</Types>");
    book.push_str("</sheets></workbook>");
    let styles = format!(
        "{head}<styleSheet xmlns=\"{main}\"><fonts count=\"2\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font><font><b/><sz val=\"11\"/><name val=\"Calibri\"/></font></fonts><fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills><borders count=\"1\"><border/></borders><cellStyleXfs count=\"1\"><xf/></cellStyleXfs><cellXfs count=\"2\"><xf fontId=\"0\" xfId=\"0\"/><xf fontId=\"1\" xfId=\"0\" applyFont=\"1\"/></cellXfs></styleSheet>"
    );
    let root = format!(
        "{head}<Relationships xmlns=\"{packages}/relationships\"><Relationship Id=\"rId1\" Type=\"{office}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    );
    let mut parts = vec![
        ("[Content_Types].xml".to_owned(), types),
        ("_rels/.rels".to_owned(), root),
        ("xl/workbook.xml".to_owned(), book),
        ("xl/_rels/workbook.xml.rels".to_owned(), relations),
        ("xl/styles.xml".to_owned(), styles),
    ];
    for (k, s) in (1..).zip(sheets) {
        parts.push((format!("xl/worksheets/sheet{k}.xml"), sheet(s)));
    }
    zip(&parts)
}

/// A zip archive (APPNOTE 6.3) of deflated parts, with the earliest date it can state.
fn zip(parts: &[(String, String)]) -> Result<Vec<u8>, Error> {
    let large = || Error::Budget { what: "workbook: bytes".into(), limit: u64::from(u32::MAX) };
    let number = |n: usize| u32::try_from(n).map_err(|_| large());
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in parts {
        let mut deflate =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        let packed = deflate
            .write_all(content.as_bytes())
            .and_then(|()| deflate.finish())
            .map_err(|e| Error::format("workbook", e.to_string()))?;
        let mut crc = flate2::Crc::new();
        crc.update(content.as_bytes());
        let at = number(out.len())?;
        // Version 2.0, no flags, deflate, midnight on the first of January 1980.
        let mut common: Vec<u8> = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend(number(packed.len())?.to_le_bytes());
        common.extend(number(content.len())?.to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, len, n) = (number(out.len())?, number(directory.len())?, parts.len() as u16);
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(n.to_le_bytes());
    out.extend(n.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tabs_are_short_clean_and_different() {
        let s = |n: &str| Sheet { name: n.into(), header: vec![], rows: vec![] };
        let long = "a".repeat(40);
        let n = names(&[s("a/b"), s("A-B"), s(&long), s(&long), s("")]);
        assert_eq!(n[0], "a-b");
        assert!(n.iter().all(|x| !x.is_empty() && x.chars().count() <= 31));
        let unique: std::collections::BTreeSet<String> =
            n.iter().map(|x| x.to_lowercase()).collect();
        assert_eq!(unique.len(), 5);
    }
}
