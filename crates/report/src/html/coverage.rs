//! Account of the bytes: the map, its regions, and what could not be read.

use proofmark_model::{
    Artifact, Assessment, Coverage, Locator, Opaque, ProblemKind, Proof, Region, RegionClass, Step,
};

use super::{
    charts::{self, Part, Piece},
    markup::Markup,
};
use crate::text::{bytes, count, percent, plural, show_line};

/// Regions drawn and listed; the smallest are left out first.
const MAX_REGIONS: usize = 160;
/// Lines of the map.
const ROWS: u64 = 8;
/// Bytes of markup for each table.
const TABLE_BYTES: usize = 110_000;

/// The three classes of bytes as parts of a bar.
pub fn parts(c: &Coverage) -> [Part<'static>; 3] {
    [
        ("understood", "bytes understood", c.understood),
        ("padding", "bytes of padding", c.padding),
        ("opaque", "bytes opaque", c.opaque),
    ]
}

pub fn section(m: &mut Markup, a: &Assessment) {
    let c = &a.coverage;
    m.raw("<section id=\"coverage\" class=\"section\"><h2>Coverage</h2><p class=\"lede\">");
    m.raw(&percent(c.understood, c.total)).raw(" of ").raw(&bytes(c.total));
    m.raw(" understood, ").raw(&percent(c.padding, c.total)).raw(" padding, ");
    m.raw(&percent(c.opaque, c.total)).raw(" opaque.</p>");
    let root = a.artifacts.iter().find(|x| x.parent.is_none());
    match root.filter(|x| !x.regions.is_empty()) {
        Some(root) => regions(m, root, c.total),
        None => charts::stacked(m, "Bytes of the image", &parts(c)),
    }
    opaque(m, c);
    problems(m, a);
    m.raw("</section>");
}

fn class(c: &RegionClass) -> &'static str {
    match c {
        RegionClass::Understood { proof: Proof::MagicOnly, .. } => "weak",
        RegionClass::Understood { .. } => "understood",
        RegionClass::Padding { .. } => "padding",
        RegionClass::Opaque { looks: Opaque::Damaged, .. } => "damaged",
        RegionClass::Opaque { looks: Opaque::Encrypted | Opaque::EncryptedLooking, .. } => {
            "encrypted"
        }
        RegionClass::Opaque { .. } => "opaque",
    }
}

fn what(c: &RegionClass) -> String {
    match c {
        RegionClass::Understood { format, .. } => format.clone(),
        RegionClass::Padding { byte } => format!("padding (0x{byte:02x})"),
        RegionClass::Opaque { looks, .. } => format!("opaque, {}", looks_like(*looks)),
    }
}

fn looks_like(o: Opaque) -> &'static str {
    match o {
        Opaque::CompressedLooking => "looks compressed",
        Opaque::EncryptedLooking => "looks encrypted",
        Opaque::CodeLooking => "looks like code",
        Opaque::Text => "text",
        Opaque::Damaged => "damaged",
        Opaque::Encrypted => "encrypted, no key",
        Opaque::Data => "data",
    }
}

fn proof(p: Proof) -> &'static str {
    match p {
        Proof::MagicOnly => "magic only",
        Proof::LengthsConsistent => "lengths agree",
        Proof::DecoderEnded => "decoded to its end",
        Proof::ChecksumVerified => "checksum right",
    }
}

fn place(root: &Locator, r: &Region) -> Locator {
    match &r.class {
        RegionClass::Understood { format, .. } => root.join(Step::region(r.offset, format.clone())),
        _ => root.at(r.offset, r.offset.saturating_add(r.length)),
    }
}

fn regions(m: &mut Markup, root: &Artifact, total: u64) {
    // The largest are kept, then put back in the order of the image.
    let mut kept: Vec<&Region> = root.regions.iter().collect();
    kept.sort_by_key(|r| (std::cmp::Reverse(r.length), r.offset));
    let left = kept.split_off(kept.len().min(MAX_REGIONS)).len() as u64;
    kept.sort_by_key(|r| r.offset);
    let pieces: Vec<Piece> = kept
        .iter()
        .enumerate()
        .map(|(i, r)| Piece {
            offset: r.offset,
            length: r.length,
            class: class(&r.class),
            name: format!("{} · {} at {:#x}", what(&r.class), bytes(r.length), r.offset),
            show: show_line(&place(&root.locator, r)),
            anchor: Some(format!("r{i}")),
        })
        .collect();
    m.raw("<div class=\"mapbox\">");
    charts::map(m, total, &pieces, ROWS);
    m.raw("<div class=\"scale\"><span>").raw(&bytes(total.div_ceil(ROWS)));
    m.raw(&format!(" per line</span><span>ends at {total:#x}</span></div><div id"))
        .raw("=\"named\" class=\"named\" aria-live=\"polite\"><span class=\"dim\">Each region is named under the pointer and leads to its line below.</span></div></div>");
    let legend: [(&str, &str); 6] = [
        ("understood", "understood"),
        ("weak", "understood by its magic only"),
        ("padding", "padding"),
        ("opaque", "opaque"),
        ("encrypted", "encrypted or looks so"),
        ("damaged", "damaged"),
    ];
    let amount = |name: &str| kept.iter().filter(|r| class(&r.class) == name).count() as u64;
    charts::legend(m, &legend.map(|(c, w)| (c, w, amount(c))));
    m.raw("<details class=\"fold\" open><summary><h3>Regions of the image</h3><span class=\"n\">");
    m.raw(&count(root.regions.len() as u64)).raw("</span></summary>");
    m.raw("<table class=\"cards\"><thead><tr><th>Offset<th class=\"num\">Size<th>What<th>Proof<th>Command</thead><tbody>");
    let mut index = 0;
    let cut = m.bounded(kept.iter(), TABLE_BYTES, |m, r| {
        m.raw(&format!("<tr id=\"r{index}\"><td class=\"nw\"><code>{:#x}</code>", r.offset));
        index += 1;
        m.raw("<td data-l=\"Size\" class=\"num\">").raw(&bytes(r.length));
        m.raw("<td data-l=\"What\"><svg class=\"dot\" viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"c-");
        m.raw(class(&r.class)).raw("\" width=\"10\" height=\"10\"/></svg>").short(&what(&r.class), 80);
        m.raw("<td data-l=\"Proof\">");
        match &r.class {
            RegionClass::Understood { proof: p, .. } => m.raw(proof(*p)),
            RegionClass::Opaque { entropy_millibits: e, .. } => {
                m.raw(&format!("{}.{:02} bits per byte", e / 1000, e % 1000 / 10))
            }
            RegionClass::Padding { .. } => m,
        };
        m.raw("<td data-l=\"Command\">").show(&place(&root.locator, r));
    });
    m.raw("</tbody></table>").rest(left + cut, "small region", "small regions");
    if !root.rejected.is_empty() {
        m.raw("<p class=\"note\">").raw(&plural(
            root.rejected.len() as u64,
            "candidate that lost against a region of the cover is",
            "candidates that lost against a region of the cover are",
        ));
        m.raw(" kept in <code>assessment.json</code>.</p>");
    }
    m.raw("</details>");
}

fn opaque(m: &mut Markup, c: &Coverage) {
    if c.opaque_regions.is_empty() {
        return;
    }
    m.raw(
        "<details class=\"fold\"><summary><h3>Bytes that no format explains</h3><span class=\"n\">",
    );
    m.raw(&plural(c.opaque_regions.len() as u64, "place", "places"));
    m.raw(", largest first</span></summary>");
    if c.opaque_inside > 0 {
        m.raw("<p>").raw(&bytes(c.opaque_inside)).raw(" of them inside containers.</p>");
    }
    m.raw("<table class=\"cards\"><thead><tr><th class=\"num\">Size<th>Looks like<th>Command</thead><tbody>");
    let left = m.bounded(&c.opaque_regions, TABLE_BYTES, |m, e| {
        m.raw("<tr><td class=\"num\">").raw(&bytes(e.length)).raw("<td data-l=\"Looks like\">");
        m.raw(looks_like(e.looks)).raw("<td data-l=\"Command\">").show(&e.locator);
    });
    m.raw("</tbody></table>").rest(left, "place", "places").raw("</details>");
}

fn problem(k: ProblemKind) -> &'static str {
    match k {
        ProblemKind::Truncated => "truncated",
        ProblemKind::Malformed => "malformed",
        ProblemKind::Checksum => "checksum wrong",
        ProblemKind::Unsupported => "not supported",
        ProblemKind::Encrypted => "encrypted",
        ProblemKind::Budget => "budget ran out",
        ProblemKind::Incomplete => "incomplete",
        ProblemKind::UnsafePath => "unsafe path",
    }
}

fn problems(m: &mut Markup, a: &Assessment) {
    let all: Vec<_> =
        a.artifacts.iter().flat_map(|x| x.problems.iter().map(move |p| (x, p))).collect();
    m.raw("<div id=\"problems\">");
    if !all.is_empty() {
        m.raw("<details class=\"fold\" open><summary><h3>What could not be read completely</h3><span class=\"n\">");
        m.raw(&plural(all.len() as u64, "problem", "problems")).raw("</span></summary>");
        m.raw(
            "<table class=\"cards\"><thead><tr><th>Sort<th>What happened<th>Command</thead><tbody>",
        );
        let left = m.bounded(all, TABLE_BYTES, |m, (x, p)| {
            m.raw("<tr><td><span class=\"chip plain\">").raw(problem(p.kind)).raw("</span>");
            m.raw("<td data-l=\"What happened\">").short(&p.message, 400);
            if let Some(offset) = p.offset {
                m.raw(&format!(" <span class=\"dim\">at {offset:#x}</span>"));
            }
            m.raw("<td data-l=\"Command\">").show(&x.locator);
        });
        m.raw("</tbody></table>").rest(left, "problem", "problems").raw("</details>");
    }
    m.raw("</div>");
}
