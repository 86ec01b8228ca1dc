//! `report.html`: one file for people, no network.

use std::fmt::Write as _;

use proofmark_model::Assessment;

use crate::{summary, text};

/// The report as one HTML file.
#[must_use]
pub fn html(a: &Assessment) -> String {
    let mut out = String::from("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    let _ = write!(out, "<title>{}</title>", escape(&a.image.name));
    let _ = write!(out, "<h1>{}</h1><table>", escape(&a.image.name));
    for j in &a.judgements {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}",
            escape(&j.requirement.id),
            summary::verdict(j.verdict),
            escape(&j.requirement.title),
            escape(&j.reason)
        );
        for f in &j.findings {
            let show = text::show_line(f.evidence.first());
            let _ = write!(out, "<p>{}<br><code>{}</code>", escape(&f.message), escape(&show));
        }
    }
    out.push_str("</table></html>\n");
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
