//! Excel workbooks (.xlsx): sheets `sites`, `devices`, `links` and `protected` with the columns of
//! the CSV tables.
//!
//! Cells are read one after the other, so a sheet that claims a million empty rows costs nothing.
//! Dates become days, whole numbers lose their `.0`, error cells (`#N/A`) count as missing. The
//! sizes that the archive states are added up before anything is unpacked.

use std::borrow::Cow;
use std::io::Cursor;

use calamine::{DataRef, Reader as _, Xlsx};

use super::load::Loaded;
use super::tables::{Index, Kind, TableReader, column};
use super::{Gravity, Protected, Shape};
use crate::Error;

/// Most columns of a sheet that are looked at.
const MAX_COLUMNS: u32 = 512;
/// Most bytes that a workbook may hold when it is unpacked.
const MAX_UNPACKED: u64 = 4 << 30;

type Book<'a> = Xlsx<Cursor<&'a [u8]>>;

/// A workbook.
pub(super) struct Workbook<'a> {
    file: &'a str,
    book: Book<'a>,
}

impl<'a> Workbook<'a> {
    /// Opens a workbook.
    pub fn open(file: &'a str, bytes: &'a [u8]) -> Result<Self, Error> {
        if stated_size(bytes) > MAX_UNPACKED {
            return Err(Error::Budget {
                what: format!("{file}: bytes when unpacked"),
                limit: MAX_UNPACKED,
            });
        }
        let book = Xlsx::new(Cursor::new(bytes))
            .map_err(|e| Error::format(file, format!("not an Excel workbook: {e}")))?;
        Ok(Self { file, book })
    }

    /// The sheet with a name, whatever its case; a workbook with one sheet has it under any name.
    pub fn sheet(&self, name: &str) -> Option<String> {
        let all = self.book.sheet_names();
        all.iter().find(|s| s.trim().eq_ignore_ascii_case(name)).cloned()
    }

    /// The only sheet, if there is one.
    pub fn only(&self) -> Option<String> {
        match self.book.sheet_names().as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// Calls `each` with the number (from 1) and the fields of every row that has any.
    fn rows(
        &mut self,
        sheet: &str,
        mut each: impl FnMut(u64, &[Cow<'_, str>]) -> bool,
    ) -> Result<(), Error> {
        let wrong = |file: &str, e: &dyn std::fmt::Display| {
            Error::format(file, format!("sheet {sheet:?}: {e}"))
        };
        let mut cells =
            self.book.worksheet_cells_reader(sheet).map_err(|e| wrong(self.file, &e))?;
        let mut row: (u64, Vec<Cow<'_, str>>) = (0, Vec::new());
        while let Some(cell) = cells.next_cell().map_err(|e| wrong(self.file, &e))? {
            let (r, c) = cell.get_position();
            let text = text(cell.get_value());
            if c >= MAX_COLUMNS || text.is_empty() {
                continue;
            }
            if u64::from(r) + 1 != row.0 {
                if row.0 > 0 && !each(row.0, &row.1) {
                    return Ok(());
                }
                row.0 = u64::from(r) + 1;
                row.1.clear();
            }
            if row.1.len() <= c as usize {
                row.1.resize(c as usize + 1, Cow::Borrowed(""));
            }
            row.1[c as usize] = Cow::Owned(text);
        }
        if row.0 > 0 {
            each(row.0, &row.1);
        }
        Ok(())
    }

    /// Reads a sheet as one of the tables.
    pub fn table(
        &mut self,
        kind: Kind,
        sheet: &str,
        index: &mut Index,
        out: &mut Loaded,
    ) -> Result<(), Error> {
        let name = format!("{}:{sheet}", self.file);
        // The header is needed before the reader of the table exists.
        let mut header: Vec<Cow<'static, str>> = Vec::new();
        let mut first = 0;
        self.rows(sheet, |row, fields| {
            first = row;
            header = fields.iter().map(|f| Cow::Owned(f.clone().into_owned())).collect();
            false
        })?;
        let Some(mut table) = TableReader::new(
            kind,
            &name,
            first,
            &header,
            &mut out.inventory,
            index,
            &mut out.problems,
        ) else {
            return Ok(());
        };
        self.rows(sheet, |row, fields| {
            if row != first {
                table.row(row, fields);
            }
            true
        })
    }

    /// Reads a sheet of protected places: name, category, latitude, longitude, radius_m.
    pub fn protected(&mut self, sheet: &str, out: &mut Loaded) -> Result<(), Error> {
        let name = format!("{}:{sheet}", self.file);
        let mut header: Option<Vec<String>> = None;
        let problems = &mut out.problems;
        let mut places = Vec::new();
        self.rows(sheet, |row, fields| {
            let Some(header) = &header else {
                header = Some(fields.iter().map(|f| column(f)).collect());
                return true;
            };
            let get = |n: &str| {
                let at = header.iter().position(|h| h == n)?;
                fields.get(at).map(|f| f.as_ref()).filter(|f| !f.is_empty())
            };
            let number = |n: &str, low: f64, high: f64| {
                get(n)?.parse::<f64>().ok().filter(|x| (low..=high).contains(x))
            };
            match (number("longitude", -180.0, 180.0), number("latitude", -90.0, 90.0)) {
                (Some(x), Some(y)) => places.push(Protected {
                    name: get("name").map_or_else(|| format!("row {row}"), str::to_owned),
                    category: get("category").unwrap_or_default().to_owned(),
                    shape: Shape::Point { at: (x, y), radius_m: number("radius_m", 0.0, 1e6) },
                }),
                _ => problems.add(
                    &name,
                    row,
                    "latitude",
                    Gravity::Error,
                    "a protected place needs latitude and longitude in degrees; the row was left out",
                ),
            }
            true
        })?;
        out.inventory.protected.append(&mut places);
        Ok(())
    }
}

fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::String(s) | DataRef::DateTimeIso(s) | DataRef::DurationIso(s) => {
            s.trim().to_owned()
        }
        DataRef::SharedString(s) => s.trim().to_owned(),
        DataRef::Int(n) => n.to_string(),
        DataRef::Float(n) => n.to_string(),
        DataRef::Bool(b) => b.to_string(),
        DataRef::DateTime(d) => {
            let (y, m, d, ..) = d.to_ymd_hms_milli();
            format!("{y:04}-{m:02}-{d:02}")
        }
        DataRef::Error(_) | DataRef::Empty => String::new(),
    }
}

/// Sum of the unpacked sizes in the directory of a zip archive.
fn stated_size(bytes: &[u8]) -> u64 {
    let mut sum = 0u64;
    for at in entries(bytes) {
        if let Some(&[a, b, c, d]) = bytes.get(at + 24..at + 28) {
            sum += u64::from(u32::from_le_bytes([a, b, c, d]));
        }
    }
    sum
}

/// Where entries of the directory may begin.
fn entries(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes.windows(4).enumerate().filter(|(_, w)| *w == b"PK\x01\x02").map(|(i, _)| i)
}
