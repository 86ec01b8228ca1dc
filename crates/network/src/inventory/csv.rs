//! Delimited text (RFC 4180 and what spreadsheets make of it).
//!
//! Delimiter `,`, `;` or tab is taken from the header line. Quotes may hold delimiters, line ends
//! and doubled quotes; an open quote at the end of the file ends there and is reported by the
//! caller through a row of the wrong length. Bytes that are not UTF-8 are read as Latin-1, which is
//! what such exports are.

use std::borrow::Cow;

/// Reader over a whole file in memory; fields without quotes are not copied.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
    delimiter: u8,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let head = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let count = |d: u8| head.iter().filter(|b| **b == d).count();
        let delimiter =
            *[b',', b';', b'\t'].iter().max_by_key(|d| (count(**d), **d == b',')).unwrap_or(&b',');
        Self { bytes, at: 0, line: 1, delimiter }
    }

    /// Reads the next record into `fields` and returns the line it starts at (from 1). Empty lines
    /// are skipped.
    pub fn next_into(&mut self, fields: &mut Vec<Cow<'a, str>>) -> Option<u64> {
        fields.clear();
        loop {
            match self.bytes.get(self.at) {
                None => return None,
                Some(b'\n') => {
                    self.line += 1;
                    self.at += 1;
                }
                Some(b'\r') => self.at += 1,
                Some(_) => break,
            }
        }
        let start = self.line;
        loop {
            let (field, more) =
                if self.bytes.get(self.at) == Some(&b'"') { self.quoted() } else { self.plain() };
            fields.push(field);
            if !more {
                return Some(start);
            }
        }
    }

    /// Moves over what ended a field; says whether the record goes on.
    fn separator(&mut self) -> bool {
        match self.bytes.get(self.at) {
            Some(b) if *b == self.delimiter => {
                self.at += 1;
                true
            }
            Some(b'\n') => {
                self.at += 1;
                self.line += 1;
                false
            }
            _ => false,
        }
    }

    fn plain(&mut self) -> (Cow<'a, str>, bool) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len =
            rest.iter().position(|b| *b == self.delimiter || *b == b'\n').unwrap_or(rest.len());
        let field = rest.get(..len).unwrap_or_default();
        self.at += len;
        let more = self.separator();
        (text(field.strip_suffix(b"\r").unwrap_or(field)), more)
    }

    fn quoted(&mut self) -> (Cow<'a, str>, bool) {
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        while let Some(&b) = self.bytes.get(self.at) {
            self.at += 1;
            if b == b'"' {
                if self.bytes.get(self.at) != Some(&b'"') {
                    break;
                }
                self.at += 1;
            } else if b == b'\n' {
                self.line += 1;
            }
            out.push(b);
        }
        // Text between the closing quote and the next delimiter belongs to the field.
        while let Some(&b) = self.bytes.get(self.at) {
            if b == self.delimiter || b == b'\n' {
                break;
            }
            if b != b'\r' {
                out.push(b);
            }
            self.at += 1;
        }
        let more = self.separator();
        (Cow::Owned(text(&out).into_owned()), more)
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(s) => Cow::Borrowed(s.trim()),
        Err(_) => {
            Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect::<String>().trim().to_owned())
        }
    }
}

/// One record as CSV text with a line end; quotes only where needed.
pub fn push_record<S: AsRef<str>>(out: &mut String, fields: impl IntoIterator<Item = S>) {
    for (i, field) in fields.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let f = field.as_ref();
        // A leading = + - @ would be run as a formula by a spreadsheet; numbers stay as they are.
        let formula = f.starts_with(['=', '+', '-', '@']) && f.parse::<f64>().is_err();
        if formula || f.contains([',', '"', '\n', '\r']) {
            out.push('"');
            if formula {
                out.push('\'');
            }
            out.push_str(&f.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(f);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<(u64, Vec<String>)> {
        let mut r = Reader::new(text);
        let mut f = Vec::new();
        let mut out = Vec::new();
        while let Some(line) = r.next_into(&mut f) {
            out.push((line, f.iter().map(|c| c.to_string()).collect()));
        }
        out
    }

    #[test]
    fn quotes_line_ends_and_delimiters() {
        let s = |v: &[&str]| v.iter().map(|x| (*x).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            all(b"\xef\xbb\xbfa;b\r\n\"x;\"\"y\nz\";2\n\n3;\n"),
            [(1, s(&["a", "b"])), (2, s(&["x;\"y\nz", "2"])), (5, s(&["3", ""]))]
        );
        assert_eq!(all(b"a,b\n\"open,1\n"), [(1, s(&["a", "b"])), (2, s(&["open,1"]))]);
        assert_eq!(all(b"caf\xe9,1"), [(1, s(&["caf\u{e9}", "1"]))]);
        assert_eq!(all(b""), []);
    }

    #[test]
    fn written_records_read_back() {
        let mut out = String::new();
        push_record(&mut out, ["a,b", "c\"d", "-5", "=1+1", ""]);
        assert_eq!(all(out.as_bytes())[0].1, ["a,b", "c\"d", "-5", "'=1+1", ""]);
    }
}
