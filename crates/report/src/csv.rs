//! Tables for spreadsheets (RFC 4180: commas, double quotes, CRLF, one header line).
//!
//! A cell that a spreadsheet would run as a formula gets an apostrophe in front, as OWASP's note on CSV
//! injection recommends: names in an image are not to be trusted.

use proofmark_model::Assessment;

use crate::{inventory, summary};

/// One line per finding, requirements without one (pass, inconclusive, not applicable) included, in the order
/// of the catalogue.
#[must_use]
pub fn findings(a: &Assessment) -> String {
    let mut t = Table::new(&[
        "requirement",
        "revision",
        "title",
        "group",
        "verdict",
        "finding",
        "severity",
        "strength",
        "message",
        "reason",
        "question",
        "remedy",
        "excerpt",
        "content_sha256",
        "locator",
        "other_locators",
    ]);
    for j in &a.judgements {
        let r = &j.requirement;
        let revision = r.revision.to_string();
        let head = [&r.id, &*revision, &r.title, &r.group, summary::verdict(j.verdict)];
        let question = j.question.as_deref().unwrap_or_default();
        if j.findings.is_empty() {
            let severity = summary::severity(r.severity);
            t.row(
                head.into_iter()
                    .chain(["", severity, "", "", &j.reason, question, "", "", "", "", ""]),
            );
        }
        for f in &j.findings {
            let others: Vec<String> =
                f.evidence.places().iter().skip(1).map(ToString::to_string).collect();
            t.row(head.into_iter().chain([
                &*f.id,
                summary::severity(f.severity),
                summary::strength(f.strength),
                &f.message,
                &j.reason,
                question,
                f.remedy.as_deref().unwrap_or_default(),
                f.excerpt.as_deref().unwrap_or_default(),
                &f.content.map(|d| d.to_string()).unwrap_or_default(),
                &f.evidence.first().to_string(),
                &others.join("\n"),
            ]));
        }
    }
    t.0
}

/// One line per component, sorted by name and version.
#[must_use]
pub fn components(a: &Assessment) -> String {
    let mut t = Table::new(&[
        "name",
        "version",
        "other_versions",
        "purl",
        "cpe",
        "license",
        "package",
        "relations",
        "identified_by",
        "locator",
        "places",
    ]);
    for item in inventory::components(a) {
        let join =
            |all: std::collections::BTreeSet<&str>| all.into_iter().collect::<Vec<_>>().join("\n");
        t.row([
            &*item.name,
            item.version.as_deref().unwrap_or_default(),
            &join(item.other_versions.iter().map(String::as_str).collect()),
            item.purl.as_deref().unwrap_or_default(),
            &item.cpes.join("\n"),
            item.license.as_deref().unwrap_or_default(),
            item.package.as_deref().unwrap_or_default(),
            &join(item.evidence.iter().map(|w| &*w.relation).collect()),
            &join(item.evidence.iter().map(|w| &*w.by).collect()),
            &item.evidence.first().map(|w| w.place.to_string()).unwrap_or_default(),
            &item.evidence.len().to_string(),
        ]);
    }
    t.0
}

struct Table(String);

impl Table {
    fn new(header: &[&str]) -> Self {
        let mut t = Self(String::new());
        t.row(header.iter().copied());
        t
    }

    fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        for (i, cell) in cells.into_iter().enumerate() {
            if i > 0 {
                self.0.push(',');
            }
            self.0.push_str(&field(cell));
        }
        self.0.push_str("\r\n");
    }
}

fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula || text.contains([',', '"', '\n', '\r']) {
        let guard = if formula { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields() {
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(field("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
    }
}
