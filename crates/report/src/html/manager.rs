//! Page one: for whoever decides.

use proofmark_model::{Assessment, Judgement, Severity, Strength, Verdict};

use super::{charts, coverage, engineer, markup::Markup, markup::verdict_class};
use crate::{
    summary::{self, Counts},
    text::{bytes, count, percent, plural},
};

/// Violated requirements told on page one.
const TOLD: usize = 8;

/// The four verdicts in the order in which charts show them.
pub const VERDICTS: [Verdict; 4] =
    [Verdict::Fail, Verdict::Inconclusive, Verdict::Pass, Verdict::NotApplicable];

pub fn page(m: &mut Markup, a: &Assessment) {
    let counts = summary::counts(a);
    m.raw("<section id=\"summary\" class=\"page-one\"><p class=\"kicker\">Assessment of one image</p><h1>");
    m.short(&a.image.name, 200).raw("</h1><p class=\"lede\">").text(&headline(&counts));
    m.raw("</p>");
    tiles(m, &counts);
    m.raw("<div class=\"columns\"><div>");
    wrong(m, a);
    m.raw("</div><div>");
    groups(m, a);
    engineer::funnel(m, a, "h2");
    m.raw("</div></div><div class=\"thirds\">");
    how_known(m, a);
    how_sure(m, a);
    not_seen(m, a, &counts);
    m.raw("</div></section>");
}

/// The result in one sentence.
fn headline(c: &Counts) -> String {
    if c.total() == 0 {
        return "No requirement was applied: this is a list of what the image holds.".into();
    }
    let applicable = c.total() - c.not_applicable;
    let mut s = match c.fail {
        0 => format!(
            "None of {} is shown to be violated",
            plural(applicable, "applicable requirement", "applicable requirements")
        ),
        n => format!(
            "{} of {} {} violated",
            count(n),
            plural(applicable, "applicable requirement", "applicable requirements"),
            if n == 1 { "is" } else { "are" }
        ),
    };
    match c.inconclusive {
        0 => {}
        1 => s.push_str("; one cannot be decided from the image alone"),
        n => s.push_str(&format!("; {} cannot be decided from the image alone", count(n))),
    }
    s.push('.');
    s
}

fn tiles(m: &mut Markup, c: &Counts) {
    m.raw("<ul class=\"tiles\" aria-label=\"Verdicts\">");
    for v in VERDICTS {
        m.raw("<li class=\"v-").raw(verdict_class(v)).raw("\"><b>");
        m.raw(&count(c.of(v))).raw("</b><span>").raw(summary::verdict(v)).raw("</span></li>");
    }
    m.raw("</ul>");
}

fn wrong(m: &mut Markup, a: &Assessment) {
    m.raw("<h2>What is wrong</h2>");
    let failed = summary::failed(a);
    if failed.is_empty() {
        m.raw("<p>Nothing was shown to be violated. Read this together with what could not be looked at.</p>");
        return;
    }
    m.raw("<ol class=\"wrong\">");
    for j in failed.iter().take(TOLD) {
        told(m, a, j);
    }
    m.raw("</ol>");
    if failed.len() > TOLD {
        m.raw("<p class=\"rest\"><a href=\"#findings\">")
            .raw(&plural((failed.len() - TOLD) as u64, "more requirement", "more requirements"))
            .raw(" violated</a></p>");
    }
}

fn told(m: &mut Markup, a: &Assessment, j: &Judgement) {
    // What is there stands first: the title of a requirement says what should be.
    let worst = j.findings.iter().max_by_key(|f| (f.severity, std::cmp::Reverse(f.strength)));
    let severity = worst.map_or(j.requirement.severity, |f| f.severity);
    m.raw("<li>").severity(severity).raw("<div><a href=\"#").raw(&anchor(a, j)).raw("\">");
    m.sentence(worst.map_or(&j.reason, |f| &f.message), 320).raw("</a>");
    if j.findings.len() > 1 {
        let more = plural(j.findings.len() as u64 - 1, "more like it", "more like it");
        m.raw(" <span class=\"dim\">and ").raw(&more).raw("</span>");
    }
    m.raw("<p>Required: ").short(&j.requirement.title, 160).raw("</p></div></li>");
}

/// Anchor of a requirement: its position, because an id may be any text.
pub fn anchor(a: &Assessment, j: &Judgement) -> String {
    let at = a.judgements.iter().position(|x| std::ptr::eq(x, j)).unwrap_or(0);
    format!("q{at}")
}

fn groups(m: &mut Markup, a: &Assessment) {
    let groups = summary::by_group(a);
    if groups.is_empty() {
        return;
    }
    m.raw("<h2>Verdicts by group</h2><div class=\"chart groups\">");
    for (i, (code, c)) in groups.iter().enumerate().take(60) {
        let parts = VERDICTS.map(|v| (verdict_class(v), summary::verdict(v), c.of(v)));
        let title = summary::group_title(code);
        let figures = if c.fail > 0 {
            format!("{} of {}", count(c.fail), count(c.total()))
        } else {
            format!("0 of {}", count(c.total()))
        };
        charts::row(
            m,
            |m| {
                m.raw(&format!("<a href=\"#g{i}\">")).short(title, 60).raw("</a>");
            },
            title,
            &parts,
            &figures,
        );
    }
    m.raw("</div>");
    let total = summary::counts(a);
    charts::legend(m, &VERDICTS.map(|v| (verdict_class(v), summary::verdict(v), total.of(v))));
    m.raw("<p class=\"note\">Figures: violated, of all in the group.</p>");
}

fn how_known(m: &mut Markup, a: &Assessment) {
    let all = summary::gravest(a);
    let observed = all.iter().filter(|(_, f)| f.strength == Strength::Observed).count() as u64;
    let inferred = all.len() as u64 - observed;
    m.raw("<div><h2>How this is known</h2>");
    if all.is_empty() {
        m.raw("<p>There is no finding.</p>");
    } else {
        charts::stacked(
            m,
            "Findings",
            &[("observed", "observed", observed), ("inferred", "inferred", inferred)],
        );
        m.raw("<p><b>").raw(&count(observed)).raw("</b> of ");
        m.raw(&plural(all.len() as u64, "finding", "findings"));
        m.raw(" observed: the bytes are in the image. <b>").raw(&count(inferred));
        m.raw("</b> inferred from what was observed.</p>");
        m.raw("<p>Every finding names its place. Whoever has the same image can print those bytes with one command.</p>");
        let grave = all.iter().filter(|(_, f)| f.severity >= Severity::High).count() as u64;
        if grave > 0 {
            m.raw("<p class=\"dim\">").raw(&count(grave)).raw(" are of severity high or critical. Severity belongs to the requirement, not to the product.</p>");
        }
    }
    m.raw("</div>");
}

fn how_sure(m: &mut Markup, a: &Assessment) {
    let c = &a.coverage;
    m.raw("<div><h2>How much was understood</h2>");
    charts::stacked(m, "Bytes of the image", &coverage::parts(c));
    m.raw("<p><b>").raw(&percent(c.understood, c.total)).raw("</b> of ");
    m.raw(&bytes(c.total)).raw(" understood");
    if c.padding > 0 {
        m.raw(", ").raw(&percent(c.padding, c.total)).raw(" padding");
    }
    if c.opaque > 0 {
        m.raw(", ").raw(&percent(c.opaque, c.total)).raw(" opaque");
    }
    m.raw(". Every byte is accounted for.</p><p>").raw(&plural(
        a.artifacts.len() as u64,
        "artifact was",
        "artifacts were",
    ));
    m.raw(" found, ").raw(&plural(a.observations.len() as u64, "fact", "facts"));
    m.raw(" noted. <a href=\"#coverage\">Map of the image</a></p></div>");
}

fn not_seen(m: &mut Markup, a: &Assessment, counts: &Counts) {
    let c = &a.coverage;
    m.raw("<div><h2>What could not be looked at</h2><ul class=\"plainlist\">");
    let mut any = false;
    let mut item = |m: &mut Markup, what: String, href: &str| {
        any = true;
        m.raw("<li><a href=\"#").raw(href).raw("\">").text(&what).raw("</a></li>");
    };
    if c.opaque > 0 {
        item(m, format!("{} that no format explains", bytes(c.opaque)), "coverage");
    }
    if c.opaque_inside > 0 {
        item(m, format!("{} inside containers, not explained", bytes(c.opaque_inside)), "coverage");
    }
    if c.artifacts_with_problems > 0 {
        let what = plural(c.artifacts_with_problems, "artifact", "artifacts");
        item(m, format!("{what} not read completely"), "problems");
    }
    if counts.inconclusive > 0 {
        let what = plural(counts.inconclusive, "requirement", "requirements");
        item(m, format!("{what} the image alone does not decide"), "questions");
    }
    if a.provenance.feeds.is_empty() {
        item(m, "published vulnerabilities: no feed was used".into(), "method");
    }
    if !any {
        m.raw("<li>Nothing was left out.</li>");
    }
    m.raw("</ul><p class=\"dim\">What an image cannot show: the state of a device in use, the care behind a product, and anybody's intent.</p></div>");
}
