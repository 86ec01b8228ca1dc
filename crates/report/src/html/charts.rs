//! Charts as inline SVG: drawn by the writer, so they need no script; each part carries its name.

use std::fmt::Write as _;

use super::markup::Markup;
use crate::text;

/// A part of a stacked bar: class of its colour, word, amount.
pub type Part<'a> = (&'static str, &'a str, u64);

/// A horizontal bar divided in proportion to its parts, stretched to the width of its box. A part that is not
/// zero is never invisible.
pub fn stacked(m: &mut Markup, label: &str, parts: &[Part<'_>]) {
    let spoken: Vec<String> = parts
        .iter()
        .filter(|p| p.2 > 0)
        .map(|(_, word, n)| format!("{} {word}", text::count(*n)))
        .collect();
    m.raw("<svg class=\"stack\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"")
        .text(&format!("{label}: {}", spoken.join(", ")))
        .raw("\">");
    let total: u128 = parts.iter().map(|p| u128::from(p.2)).sum();
    let visible = parts.iter().filter(|p| p.2 > 0).count() as u128;
    if total == 0 {
        m.raw("<rect class=\"c-none\" width=\"1000\" height=\"10\"/></svg>");
        return;
    }
    // Each visible part gets a minimum of 8 units, the rest is divided in proportion.
    let minimum: u128 = 8;
    let free = 1000_u128.saturating_sub(minimum * visible);
    let mut x = 0.0_f64;
    for (class, word, n) in parts.iter().filter(|p| p.2 > 0) {
        let width = minimum as f64 + (u128::from(*n) * free) as f64 / total as f64;
        let mut rect = String::new();
        let _ = write!(
            rect,
            "<rect class=\"c-{class}\" x=\"{x:.1}\" width=\"{width:.1}\" height=\"10\"><title>"
        );
        m.raw(&rect).text(&format!("{} {word}", text::count(*n))).raw("</title></rect>");
        x += width;
    }
    m.raw("</svg>");
}

/// The colours of a chart and what they stand for; parts of amount zero are left out.
pub fn legend(m: &mut Markup, parts: &[Part<'_>]) {
    m.raw("<ul class=\"legend\">");
    for (class, word, _) in parts.iter().filter(|p| p.2 > 0) {
        m.raw("<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"c-")
            .raw(class)
            .raw("\" width=\"10\" height=\"10\"/></svg>")
            .text(word)
            .raw("</li>");
    }
    m.raw("</ul>");
}

/// One row of a chart with a bar: name, bar, figures.
pub fn row(
    m: &mut Markup,
    name: impl FnOnce(&mut Markup),
    label: &str,
    parts: &[Part<'_>],
    figures: &str,
) {
    m.raw("<div class=\"row\"><span class=\"name\">");
    name(m);
    m.raw("</span>");
    stacked(m, label, parts);
    m.raw("<span class=\"fig\">").text(figures).raw("</span></div>");
}

/// A piece of the map of an image.
pub struct Piece {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Class of its colour.
    pub class: &'static str,
    /// What it is, in words.
    pub name: String,
    /// The line that prints it.
    pub show: String,
    /// Where more is said about it, as the name of an anchor.
    pub anchor: Option<String>,
}

/// The bytes of an image as lines of a page: left to right, top to bottom, to scale. Each piece is named under
/// the pointer and leads to its line of the table.
pub fn map(m: &mut Markup, total: u64, pieces: &[Piece], rows: u64) {
    const WIDTH: f64 = 1000.0;
    const PITCH: f64 = 20.0;
    const HEIGHT: f64 = 16.0;
    if total == 0 || pieces.is_empty() || rows == 0 {
        return;
    }
    let per_row = total.div_ceil(rows);
    let mut s = String::new();
    let _ = write!(
        s,
        "<svg class=\"map\" viewBox=\"0 0 1000 {:.0}\" preserveAspectRatio=\"none\" role=\"group\" aria-label=\"Map of the image: {} in {rows} lines\">",
        rows as f64 * PITCH - (PITCH - HEIGHT),
        text::bytes(total)
    );
    m.raw(&s);
    for p in pieces {
        match &p.anchor {
            Some(anchor) => m.raw("<a href=\"#").raw(anchor).raw("\""),
            None => m.raw("<g"),
        };
        m.raw(" class=\"piece\" data-show=\"").text(&p.show).raw("\" aria-label=\"");
        m.text(&p.name).raw("\"><title>").text(&p.name).raw("</title>");
        let mut at = p.offset.min(total);
        let end = p.offset.saturating_add(p.length).min(total);
        while at < end {
            let line = at / per_row;
            let stop = end.min((line + 1).saturating_mul(per_row));
            let x = (at - line * per_row) as f64 / per_row as f64 * WIDTH;
            let width = ((stop - at) as f64 / per_row as f64 * WIDTH).max(1.5);
            s.clear();
            let _ = write!(
                s,
                "<rect class=\"c-{}\" x=\"{:.2}\" y=\"{:.0}\" width=\"{:.2}\" height=\"{HEIGHT:.0}\"/>",
                p.class,
                x.min(WIDTH - 1.5),
                line as f64 * PITCH,
                width
            );
            m.raw(&s);
            at = stop;
        }
        m.raw(if p.anchor.is_some() { "</a>" } else { "</g>" });
    }
    m.raw("</svg>");
}
