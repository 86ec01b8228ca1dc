//! EPSS by FIRST: the probability of exploitation of each CVE, as CSV.
//!
//! `#model_version:...,score_date:...` in the first line, then `cve,epss,percentile`.

use std::io::BufRead;

use crate::{
    feed::{Item, Lines, Parsed, Problem, Set, json},
    key::cve_number,
};

/// The daily file.
pub const FORMAT: Lines = Lines {
    id: "epss",
    claims: |text| text.starts_with("#model_version") || text.starts_with("cve,epss"),
    read,
};

/// Items handed on at once.
const PIECE: usize = 4096;

fn read(source: &mut dyn BufRead, file: &str, out: &mut dyn FnMut(Result<Parsed, Problem>)) {
    let mut set = Set { feed: "epss".into(), name: String::new(), whole: true, made: None };
    let mut items = Vec::new();
    let mut problems = Vec::new();
    let mut line = 0_u64;
    super::open::lines(
        source,
        |text| {
            line = line.saturating_add(1);
            if let Some(head) = text.strip_prefix('#') {
                set.made = head
                    .split(',')
                    .find_map(|p| json::moment(p.strip_prefix("score_date:")?))
                    .or(set.made);
                return Ok(());
            }
            if text.is_empty() || text.starts_with("cve,") {
                return Ok(());
            }
            let mut cells = text.split(',');
            let cve = cells.next().unwrap_or_default();
            let number = cve_number(cve)
                .ok_or_else(|| (format!("line {line}"), format!("{cve:?} is not a CVE id")))?;
            let probability = cells.next().and_then(ppm).ok_or_else(|| {
                (cve.to_owned(), "the probability is not a number from 0 to 1".to_owned())
            })?;
            items.push(Item::Epss(number, probability));
            if items.len() >= PIECE {
                out(Ok(Parsed { set: set.clone(), items: std::mem::take(&mut items) }));
            }
            Ok(())
        },
        &mut |record, reason, cut| {
            problems.push(Problem { cut, ..Problem::of(file, record, reason) })
        },
    );
    if !items.is_empty() {
        out(Ok(Parsed { set, items }));
    }
    problems.into_iter().for_each(|p| out(Err(p)));
}

/// Parts per million of a share.
fn ppm(text: &str) -> Option<u32> {
    let share: f64 = text.trim().parse().ok()?;
    // In range by the test.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=1.0).contains(&share).then(|| (share * 1e6).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text = "#model_version:v,score_date:2026-08-16T00:00:00+0000\ncve,epss,percentile\nCVE-1999-0001,0.03351,0.8\nCVE-1999-0002,1.5,1\nx,0.1,0\n";
        let mut got = Vec::new();
        read(&mut text.as_bytes(), "f", &mut |p| got.push(p));
        let Ok(parsed) = &got[0] else { panic!() };
        assert_eq!(parsed.items, [Item::Epss(19_990_000_000_001, 33_510)]);
        assert_eq!(parsed.set.made, crate::date::moment("2026-08-16"));
        let problems: Vec<_> =
            got.iter().filter_map(|g| g.as_ref().err()).map(|p| p.record.as_str()).collect();
        assert_eq!(problems, ["CVE-1999-0002", "line 5"]);
    }
}
