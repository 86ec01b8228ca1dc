//! Page two: for whoever checks. Findings, questions, what passed, vulnerabilities.

use proofmark_model::{Assessment, Finding, Grade, Judgement, Severity, Verdict, Vulnerability};

use super::{charts, claimed, coverage, manager, markup::Markup, seen};
use crate::{
    sarif::tenths,
    summary,
    text::{count, cut, plural},
};

/// Findings listed over all requirements; if there are more, the longest lists are shortened to one length.
const MAX_FINDINGS: usize = 1200;
/// Bytes of markup for all findings.
const FINDINGS_BYTES: usize = 900_000;
/// Bytes of markup for questions, and for passed requirements.
const LIST_BYTES: usize = 150_000;
/// Bytes of markup for vulnerabilities.
const VULNERABILITY_BYTES: usize = 220_000;
/// Further places listed per finding.
const MAX_PLACES: usize = 12;

pub fn page(m: &mut Markup, a: &Assessment) {
    findings(m, a);
    questions(m, a);
    settled(m, a);
    vulnerabilities(m, a);
    claimed::section(m, a);
    seen::section(m, a);
    coverage::section(m, a);
}

fn findings(m: &mut Markup, a: &Assessment) {
    m.raw("<section id=\"findings\" class=\"section\"><h2>Findings</h2>");
    let failed = || a.judgements.iter().filter(|j| j.verdict == Verdict::Fail);
    if failed().next().is_none() {
        m.raw("<p>There is none.</p></section>");
        return;
    }
    m.raw("<p class=\"lede\">By group of the yardstick. The command under each finding prints its bytes from the image.</p>");
    m.raw("<div class=\"tools\" hidden><input type=\"search\" id=\"filter\" placeholder=\"Filter by word, path or id\" aria-label=\"Filter findings\"><span id=\"shown\" role=\"status\"></span><button type=\"button\" id=\"expand\">Expand all</button></div>");
    let cap = fair_cap(failed().map(|j| j.findings.len()), MAX_FINDINGS);
    let end = m.len() + FINDINGS_BYTES;
    let mut left = 0;
    for (g, (code, counts)) in summary::by_group(a).into_iter().enumerate() {
        m.raw(&format!("<div class=\"group\" id=\"g{g}\">"));
        if counts.fail > 0 {
            m.raw("<h3>").short(summary::group_title(code), 80).raw(" <span class=\"dim\">");
            m.raw(&count(counts.fail)).raw(" violated</span></h3>");
        }
        for j in failed().filter(|j| j.requirement.group == code) {
            let room = end.saturating_sub(m.len());
            left += requirement(m, a, j, cap, room);
        }
        m.raw("</div>");
    }
    m.rest(left, "finding", "findings").raw("</section>");
}

/// The largest number of findings per requirement with which the sum stays below `limit`.
fn fair_cap(lengths: impl Iterator<Item = usize> + Clone, limit: usize) -> usize {
    let sum = |cap: usize| lengths.clone().map(|n| n.min(cap)).sum::<usize>();
    let mut cap = limit;
    while cap > 1 && sum(cap) > limit {
        cap /= 2;
    }
    cap
}

/// One violated requirement; returns how many of its findings were left out.
fn requirement(m: &mut Markup, a: &Assessment, j: &Judgement, cap: usize, room: usize) -> u64 {
    let r = &j.requirement;
    let severity = j.findings.iter().map(|f| f.severity).max().unwrap_or(r.severity);
    let open = if severity >= Severity::High { " open" } else { "" };
    m.raw("<details class=\"req\"")
        .raw(open)
        .raw(" id=\"")
        .raw(&manager::anchor(a, j))
        .raw("\"><summary>");
    m.severity(severity)
        .raw("<code class=\"id\">")
        .short(&r.id, 40)
        .raw("</code><span class=\"t\">");
    m.short(&r.title, 240).raw("</span><span class=\"n\">");
    m.raw(&plural(j.findings.len() as u64, "finding", "findings")).raw("</span></summary>");
    m.raw("<div class=\"body\">");
    if !j.findings.iter().any(|f| f.message == j.reason) {
        m.raw("<p class=\"reason\">").sentence(&j.reason, 600).raw("</p>");
    }
    let mut remedies: Vec<&str> = Vec::new();
    for f in &j.findings {
        if let Some(text) = f.remedy.as_deref()
            && !remedies.contains(&text)
            && remedies.len() < 6
        {
            remedies.push(text);
        }
    }
    // A remedy that all findings share is said once.
    let shared = remedies.len() == 1 && j.findings.iter().all(|f| f.remedy.is_some());
    if shared {
        m.raw("<p class=\"remedy\"><b>Remedy</b> ").short(remedies[0], 600).raw("</p>");
    }
    let mut left = m.bounded(j.findings.iter().take(cap), room, |m, f| finding(m, f, !shared));
    left += j.findings.len().saturating_sub(cap) as u64;
    if left > 0 {
        m.rest(left, "finding of this requirement", "findings of this requirement");
    }
    m.raw("<p class=\"sources\">Revision ").raw(&r.revision.to_string());
    m.raw(", ").raw(&plural(j.examined, "thing", "things")).raw(" examined");
    if !r.sources.is_empty() {
        m.raw(". Derived from ").short(&r.sources.join("; "), 400);
    }
    m.raw("</p></div></details>");
    left
}

fn finding(m: &mut Markup, f: &Finding, with_remedy: bool) {
    m.raw("<article class=\"finding\"><p class=\"msg\">").sentence(&f.message, 700).raw("</p>");
    m.raw("<p class=\"tags\">").severity(f.severity).strength(f.strength);
    m.raw("<code class=\"fid\">").short(&f.id, 80).raw("</code></p>");
    if let Some(excerpt) = &f.excerpt {
        m.raw("<pre class=\"excerpt\">").short(excerpt, 800).raw("</pre>");
    }
    m.show(f.evidence.first());
    let others = f.evidence.places().get(1..).unwrap_or_default();
    if !others.is_empty() {
        m.raw("<details class=\"more\"><summary>");
        m.raw(&plural(others.len() as u64, "more place", "more places")).raw("</summary>");
        for place in others.iter().take(MAX_PLACES) {
            m.show(place);
        }
        m.rest(others.len().saturating_sub(MAX_PLACES) as u64, "place", "places");
        m.raw("</details>");
    }
    if with_remedy && let Some(text) = &f.remedy {
        m.raw("<p class=\"remedy\"><b>Remedy</b> ").short(text, 600).raw("</p>");
    }
    m.raw("</article>");
}

fn questions(m: &mut Markup, a: &Assessment) {
    let open: Vec<_> = a.judgements.iter().filter(|j| j.verdict == Verdict::Inconclusive).collect();
    if open.is_empty() {
        return;
    }
    m.raw("<section id=\"questions\" class=\"section\"><h2>Questions to answer on a device</h2><p class=\"lede\">");
    m.raw(&plural(open.len() as u64, "requirement", "requirements"));
    m.raw(" the image alone does not decide. None of them counts as a pass.</p><ul class=\"questions\">");
    let left = m.bounded(open, LIST_BYTES, |m, j| {
        m.raw("<li id=\"").raw(&manager::anchor(a, j)).raw("\"><p class=\"q\">");
        match &j.question {
            Some(q) => m.short(q, 600),
            None => m.short(&j.requirement.title, 240),
        };
        m.raw("</p><p class=\"why\"><code class=\"id\">").short(&j.requirement.id, 40);
        m.raw("</code> ");
        if j.question.is_some() {
            m.short(&j.requirement.title, 240).raw(". ");
        }
        m.sentence(&j.reason, 600).raw("</p>");
        for f in j.findings.iter().take(3) {
            m.raw("<p class=\"why\">")
                .sentence(&f.message, 400)
                .raw("</p>")
                .show(f.evidence.first());
        }
        m.raw("</li>");
    });
    m.raw("</ul>").rest(left, "question", "questions").raw("</section>");
}

fn settled(m: &mut Markup, a: &Assessment) {
    let list = |v: Verdict| a.judgements.iter().filter(move |j| j.verdict == v);
    let (pass, na) = (list(Verdict::Pass).count(), list(Verdict::NotApplicable).count());
    if pass + na == 0 {
        return;
    }
    m.raw("<section id=\"settled\" class=\"section\"><details class=\"fold\"><summary><h2>Held and not applicable</h2><span class=\"n\">");
    m.raw(&format!("{} and {}", count(pass as u64), count(na as u64)));
    m.raw("</span></summary><table class=\"cards\"><thead><tr><th>Requirement<th>Verdict<th>Why<th>Examined</thead><tbody>");
    let all = list(Verdict::Pass).chain(list(Verdict::NotApplicable));
    let left = m.bounded(all, LIST_BYTES, |m, j| {
        m.raw("<tr id=\"").raw(&manager::anchor(a, j)).raw("\"><td><code class=\"id\">");
        m.short(&j.requirement.id, 40).raw("</code> ").short(&j.requirement.title, 240);
        m.raw("<td data-l=\"Verdict\">").verdict(j.verdict).raw("<td data-l=\"Why\">");
        m.sentence(&j.reason, 500)
            .raw("<td data-l=\"Examined\" class=\"num\">")
            .raw(&count(j.examined));
    });
    m.raw("</tbody></table>").rest(left, "requirement", "requirements").raw("</details></section>");
}

/// Head of a table of vulnerabilities.
const HEAD: &str = "<table class=\"cards\"><thead><tr><th>Id<th>Component<th>Grade<th class=\"num\">CVSS<th class=\"num\">EPSS<th>Why</thead><tbody>";

fn vulnerabilities(m: &mut Markup, a: &Assessment) {
    if a.vulnerabilities.is_empty() {
        return;
    }
    m.raw("<section id=\"vulnerabilities\" class=\"section\"><h2>Published vulnerabilities</h2>");
    m.raw("<p class=\"lede\">From a name that matches to code that is reached: each step asks for more proof.</p>");
    funnel(m, a, "");
    let known = a.vulnerabilities.iter().filter(|v| v.known_exploited && v.dismissed.is_none());
    let known = known.count() as u64;
    if known > 0 {
        m.raw("<p>").raw(&plural(known, "vulnerability", "vulnerabilities"));
        m.raw(" on the list of those known to be exploited.</p>");
    }
    let stale: Vec<_> =
        a.provenance.feeds.iter().filter(|f| f.version.ends_with("(stale)")).collect();
    if !stale.is_empty() {
        m.raw("<p class=\"note\">Data that was out of date on the day that is judged, so that its answers count one step less: ");
        for (i, f) in stale.iter().take(20).enumerate() {
            m.raw(if i > 0 { ", " } else { "" }).short(&f.id, 60).raw(" ").short(&f.version, 40);
        }
        m.raw(".</p>");
    }
    let (named, open): (Vec<_>, Vec<_>) =
        summary::open_vulnerabilities(a).into_iter().partition(|v| v.grade == Grade::Named);
    if !open.is_empty() {
        m.raw(HEAD);
        let left = m.bounded(open, VULNERABILITY_BYTES, vulnerability);
        m.raw("</tbody></table>").rest(left, "vulnerability", "vulnerabilities");
    }
    if !named.is_empty() {
        m.raw("<details class=\"fold\"><summary><h3>By name only: the version is not known, cannot be compared, or the data is old</h3><span class=\"n\">");
        m.raw(&count(named.len() as u64)).raw("</span></summary>").raw(HEAD);
        let left = m.bounded(named, VULNERABILITY_BYTES / 2, vulnerability);
        m.raw("</tbody></table>").rest(left, "vulnerability", "vulnerabilities").raw("</details>");
    }
    dismissed(m, a);
    m.raw("</section>");
}

/// The steps from a name that matches to code that is reached, under a heading of that element or none.
pub fn funnel(m: &mut Markup, a: &Assessment, heading: &str) {
    if a.vulnerabilities.is_empty() {
        return;
    }
    if !heading.is_empty() {
        m.raw(&format!("<{heading} class=\"next\"><a href=\"#vulnerabilities\">Published vulnerabilities</a></{heading}>"));
    }
    let steps = summary::funnel(a);
    let widest = steps[0].1.max(1);
    m.raw("<div class=\"chart funnel\">");
    for (word, n) in steps {
        charts::row(
            m,
            |m| {
                m.raw(word);
            },
            word,
            &[("funnel", word, n), ("none", "not", widest.saturating_sub(n))],
            &count(n),
        );
    }
    m.raw("</div>");
}

fn vulnerability(m: &mut Markup, v: &Vulnerability) {
    m.raw("<tr><td class=\"id\"><b>").short(&v.id, 60).raw("</b>");
    if v.known_exploited {
        m.raw(" <span class=\"chip sev-critical\">exploited</span>");
    }
    m.raw("<td data-l=\"Component\">").short(&v.component.name, 80).raw(" ");
    m.short(v.component.version.as_deref().unwrap_or("(no version)"), 60);
    m.raw("<td data-l=\"Grade\"><span class=\"chip plain\">").raw(summary::grade(v.grade));
    m.raw("</span><td data-l=\"CVSS\" class=\"num\">");
    if let Some(c) = &v.cvss {
        m.raw(&tenths(c.score_tenths));
    }
    m.raw("<td data-l=\"EPSS\" class=\"num\">");
    if let Some(ppm) = v.epss_ppm {
        m.raw(&format!("{}.{} %", ppm / 10_000, ppm / 1000 % 10));
    }
    m.raw("<td data-l=\"Why\">").short(&v.reasons.join("; "), 500);
    m.show(v.evidence.first());
}

fn dismissed(m: &mut Markup, a: &Assessment) {
    let gone: Vec<_> = a.vulnerabilities.iter().filter_map(|v| Some((v, v.dismissed?))).collect();
    if gone.is_empty() {
        return;
    }
    m.raw("<details class=\"fold\"><summary><h3>Matched by name, but do not concern this image</h3><span class=\"n\">");
    m.raw(&count(gone.len() as u64)).raw("</span></summary><table class=\"cards\"><thead><tr><th>Id<th>Component<th>Why not</thead><tbody>");
    let left = m.bounded(gone, VULNERABILITY_BYTES / 3, |m, (v, why)| {
        m.raw("<tr><td class=\"id\"><b>").short(&v.id, 60).raw("</b><td data-l=\"Component\">");
        m.short(&v.component.name, 80).raw(" ");
        m.short(v.component.version.as_deref().unwrap_or_default(), 60);
        m.raw("<td data-l=\"Why not\">").text(summary::dismissal(why)).raw(". ");
        m.text(&cut(&v.reasons.join("; "), 300));
    });
    m.raw("</tbody></table>").rest(left, "vulnerability", "vulnerabilities").raw("</details>");
}

#[cfg(test)]
mod tests {
    use super::fair_cap;

    #[test]
    fn long_lists_are_shortened_first() {
        assert_eq!(fair_cap([3, 5].into_iter(), 100), 100);
        let cap = fair_cap([3, 5, 10_000].into_iter(), 100);
        assert!(cap >= 5 && 8 + cap <= 100, "{cap}");
        assert_eq!(fair_cap(std::iter::repeat_n(7, 1000), 100), 1);
    }
}
