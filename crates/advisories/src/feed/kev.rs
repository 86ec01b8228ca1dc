//! CISA's list of known exploited vulnerabilities, as JSON and as CSV.

use std::io::BufRead;

use serde::Deserialize;

use crate::{
    feed::{Format, Item, Lines, Origin, Parsed, Problem, Set, Shape, json},
    key::cve_number,
};

/// `{"catalogVersion":...,"vulnerabilities":[{"cveID":...}]}`.
pub const FORMAT: Format = Format {
    id: "kev",
    shape: Shape::Elements("vulnerabilities"),
    claims: |keys| {
        keys.top(&["vulnerabilities"])
            && (keys.top(&["catalogVersion"]) || keys.at(3, |k| k == "cveID"))
    },
    parse,
};

/// `cveID,vendorProject,...`.
pub const CSV: Lines = Lines {
    id: "kev-csv",
    claims: |text| text.trim_start_matches('\u{feff}').starts_with("cveID,"),
    read,
};

fn set(made: Option<i64>) -> Set {
    Set { feed: "kev".into(), name: String::new(), whole: true, made }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow, rename = "cveID")]
    cve: json::Text<'a>,
    #[serde(borrow, default)]
    date_added: json::Text<'a>,
}

fn parse(text: &[u8], origin: &Origin) -> Result<Parsed, String> {
    let entry: Entry<'_> = json::from(text)?;
    let number =
        cve_number(&entry.cve).ok_or_else(|| format!("{:?} is not a CVE id", &*entry.cve))?;
    let made = origin.said("dateReleased").and_then(json::moment);
    Ok(Parsed { set: set(made), items: vec![Item::Kev(number, json::day(&entry.date_added))] })
}

fn read(source: &mut dyn BufRead, file: &str, out: &mut dyn FnMut(Result<Parsed, Problem>)) {
    let mut items = Vec::new();
    let mut newest = None;
    let (mut day_column, mut line) = (None, 0_u64);
    let cut = super::open::lines(
        source,
        |text| {
            line = line.saturating_add(1);
            let cells: Vec<&str> = text.split(',').collect();
            if line == 1 {
                day_column = cells.iter().position(|c| *c == "dateAdded");
                return Ok(());
            }
            let Some(number) = cells.first().and_then(|c| cve_number(c)) else {
                // A quoted text may run over several lines; only a line that begins with an id is an entry.
                let odd = cells.first().is_some_and(|c| c.starts_with("CVE-"));
                return if odd {
                    Err((format!("line {line}"), format!("{:?} is not a CVE id", cells.first())))
                } else {
                    Ok(())
                };
            };
            let day = day_column.and_then(|n| json::day(cell(text, n)?));
            newest = newest.max(day);
            items.push(Item::Kev(number, day));
            Ok(())
        },
        &mut |record, reason, cut| out(Err(Problem { cut, ..Problem::of(file, record, reason) })),
    );
    let made = newest.map(|d| i64::from(d).saturating_mul(86_400_000));
    if !cut || !items.is_empty() {
        out(Ok(Parsed { set: set(made), items }));
    }
}

/// The n-th cell of a line, with quotes heeded.
fn cell(line: &str, n: usize) -> Option<&str> {
    let mut quoted = false;
    let split = line.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    split.map(|c| c.trim_matches('"')).nth(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_commas_and_breaks() {
        let text = "cveID,vendorProject,notes,dateAdded\nCVE-2021-0001,A,\"x, \"\"y\"\"\nCVEs, too\",2021-01-02\nCVE-2021-0002,B,z,2021-01-03\nCVE-x,,,\n";
        let mut got = Vec::new();
        read(&mut text.as_bytes(), "f", &mut |p| got.push(p));
        assert!(matches!(&got[0], Err(p) if p.record == "line 5" && !p.cut), "{got:?}");
        let Ok(parsed) = &got[1] else { panic!("{got:?}") };
        assert_eq!(parsed.items.len(), 2);
        assert!(matches!(parsed.items[1], Item::Kev(20_210_000_000_002, Some(18_630))));
        assert_eq!(parsed.set.made, crate::date::moment("2021-01-03"));
    }
}
