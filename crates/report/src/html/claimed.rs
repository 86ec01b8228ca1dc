//! The producer's bills of materials, held against what was seen.

use proofmark_model::{Assessment, ComponentRef, reconciliation::Reconciliation};

use super::{charts, markup::Markup};
use crate::text::count;

/// Bytes of markup for each list.
const LIST_BYTES: usize = 60_000;

pub fn section(m: &mut Markup, a: &Assessment) {
    if a.reconciliations.is_empty() {
        return;
    }
    m.raw("<section id=\"claimed\" class=\"section\"><h2>Claimed and seen</h2><p class=\"lede\">");
    m.raw(
        "The producer's bill of materials beside what the bytes show. Not seen is not absent.</p>",
    );
    for r in &a.reconciliations {
        one(m, r);
    }
    m.raw("</section>");
}

fn one(m: &mut Markup, r: &Reconciliation) {
    m.raw("<h3>").short(&r.document.id, 120).raw(" <span class=\"dim\">");
    m.short(&r.document.version, 60).raw("</span></h3><div class=\"chart\">");
    let lists = [
        ("on", "claimed and seen", r.agreed.len()),
        ("partial", "seen in another version", r.differing.len()),
        ("unknown", "claimed, not seen", r.not_seen.len()),
        ("off", "seen, not claimed", r.not_claimed.len()),
    ];
    let all: usize = lists.iter().map(|l| l.2).sum();
    for (class, word, n) in lists {
        let rest = all.saturating_sub(n) as u64;
        charts::row(
            m,
            |m| {
                m.raw(word);
            },
            word,
            &[(class, word, n as u64), ("none", "others", rest)],
            &count(n as u64),
        );
    }
    m.raw("</div>");
    list(m, "Seen in another version", &r.differing, |m, d| {
        component(m, &d.claimed);
        m.raw("<td data-l=\"Seen\">");
        for (i, seen) in d.seen.iter().take(5).enumerate() {
            m.raw(if i > 0 { ", " } else { "" });
            m.short(seen.version.as_deref().unwrap_or("(no version)"), 60);
        }
    });
    list(m, "Seen, not claimed", &r.not_claimed, component);
    list(m, "Claimed, not seen", &r.not_seen, component);
}

fn component(m: &mut Markup, c: &ComponentRef) {
    m.raw("<tr><td data-l=\"Component\"><b>").short(&c.name, 100).raw("</b> ");
    m.short(c.version.as_deref().unwrap_or("(no version)"), 60);
}

fn list<T>(m: &mut Markup, title: &str, items: &[T], each: impl FnMut(&mut Markup, &T)) {
    if items.is_empty() {
        return;
    }
    m.raw("<details class=\"fold\"><summary><h3>").raw(title).raw("</h3><span class=\"n\">");
    m.raw(&count(items.len() as u64)).raw("</span></summary><table class=\"cards\"><tbody>");
    let left = m.bounded(items, LIST_BYTES, each);
    m.raw("</tbody></table>").rest(left, "component", "components").raw("</details>");
}
