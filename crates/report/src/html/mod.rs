//! `report.html`: one file for people, no network.
//!
//! Page one is for whoever decides: what is wrong, how that is known, how sure it is, and what could not be
//! looked at. Page two is for whoever checks: every finding with the line that prints its bytes, and what was
//! seen in the image. The file works without JavaScript (sections are `<details>`, charts carry titles and
//! links); the script adds filters, copy buttons and the names of regions under the pointer.
//!
//! Safety: every text of the image passes `Markup::text`; the content security policy allows exactly the one
//! style sheet and the one script that are in this crate, by their digests, and nothing from anywhere else.
//!
//! Size: each section has a budget of bytes. What does not fit is counted, and the reader is sent to
//! `assessment.json`; the whole stays below about 2 MB whatever the assessment holds.

mod charts;
mod claimed;
mod coverage;
mod engineer;
mod manager;
mod markup;
mod seen;

use markup::Markup;
use proofmark_model::Assessment;

use crate::text;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The report as one HTML file.
#[must_use]
pub fn html(a: &Assessment) -> String {
    let mut m = Markup::default();
    head(&mut m, a);
    m.raw("<body><a class=\"skip\" href=\"#main\">Skip to content</a>");
    masthead(&mut m, a);
    m.raw("<main id=\"main\">");
    manager::page(&mut m, a);
    engineer::page(&mut m, a);
    m.raw("</main>");
    footer(&mut m, a);
    m.raw("<script>").raw(SCRIPT).raw("</script></body></html>\n");
    m.finish()
}

fn head(m: &mut Markup, a: &Assessment) {
    m.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    // First, so that nothing is interpreted before it is in force.
    m.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '")
        .raw(&markup::source_digest(STYLE))
        .raw("'; script-src '")
        .raw(&markup::source_digest(SCRIPT))
        .raw("'; base-uri 'none'; form-action 'none'\">");
    m.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    m.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    m.raw("<meta name=\"referrer\" content=\"no-referrer\"><title>");
    m.text(&text::cut(&a.image.name, 120)).raw(" · Proofmark</title><style>");
    m.raw(STYLE).raw("</style></head>");
}

fn masthead(m: &mut Markup, a: &Assessment) {
    m.raw("<header class=\"masthead\"><div class=\"bar\"><span class=\"mark\">Proofmark</span><nav aria-label=\"Sections\">");
    let mut links = vec![("summary", "Summary"), ("findings", "Findings")];
    if !a.vulnerabilities.is_empty() {
        links.push(("vulnerabilities", "Vulnerabilities"));
    }
    if !a.reconciliations.is_empty() {
        links.push(("claimed", "Claimed"));
    }
    links.extend([("seen", "Contents"), ("coverage", "Coverage"), ("method", "Method")]);
    for (id, title) in links {
        m.raw("<a href=\"#").raw(id).raw("\">").raw(title).raw("</a>");
    }
    m.raw("</nav></div></header>");
}

fn footer(m: &mut Markup, a: &Assessment) {
    m.raw("<footer id=\"method\" class=\"section\"><h2>Method</h2>");
    m.raw("<p class=\"lede\">The same image, rules and data give this report again, byte by byte. There is no clock and no chance in it.</p><dl class=\"facts\">");
    let p = &a.provenance;
    m.term("Image").text(&a.image.name).raw(" · ").raw(&text::bytes(a.image.size));
    m.raw("<br>SHA-256 <code>").raw(&a.image.sha256.to_string()).raw("</code>");
    m.term("Proofmark").text(&p.tool);
    m.raw("<br>Formats and inspectors <code>").raw(&p.rules.to_string()).raw("</code>");
    for (title, list) in [("Yardsticks", &p.yardsticks), ("Advisory feeds", &p.feeds)] {
        m.term(title);
        if list.is_empty() {
            m.raw("none");
        }
        for (i, d) in list.iter().take(40).enumerate() {
            m.raw(if i > 0 { "<br>" } else { "" }).text(&d.id).raw(" ").text(&d.version);
            if let Some(sha) = &d.sha256 {
                m.raw(" <code>").raw(&sha.short()).raw("</code>");
            }
        }
    }
    if !p.budgets.is_empty() {
        m.term("Budgets");
        for (i, (name, value)) in p.budgets.iter().take(40).enumerate() {
            m.raw(if i > 0 { " · " } else { "" }).text(name).raw(" ").raw(&text::count(*value));
        }
    }
    m.raw("</dl><p class=\"note\">Words used here. <b>Observed</b>: the bytes are there. <b>Inferred</b>: a conclusion from what was observed. <b>Inconclusive</b>: the image alone does not decide it; never counted as a pass. Intent is not scored.</p></footer>");
}
