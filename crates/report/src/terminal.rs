//! One screen after a run.

use std::fmt::Write as _;

use proofmark_model::{Assessment, Opaque, RegionClass, Severity, Verdict};

use crate::{
    summary,
    text::{bytes, count, cut, percent, plain, plural},
};

/// Findings shown; the rest is counted.
const SHOWN: usize = 10;
/// Regions of the image shown; the rest is counted.
const REGIONS: usize = 6;

/// What was looked at, how much of it was understood, the verdicts, and the gravest findings, in lines of at
/// most `width` columns (at least 40). With `colour`, ANSI colours; the words say the same without them.
///
/// Locators are never cut, because they are there to be copied: a long one runs over its line.
#[must_use]
pub fn terminal(a: &Assessment, width: usize, colour: bool) -> String {
    let width = width.clamp(40, 120);
    let paint = Paint(colour);
    let mut out = String::new();
    let name = plain(&a.image.name);
    let _ = writeln!(out, "\n{}  {}", paint.bold(&name), bytes(a.image.size));
    let _ = writeln!(out, "{}", paint.dim(&format!("sha256 {}", a.image.sha256)));
    coverage(&mut out, a, width, &paint);
    verdicts(&mut out, a, width, &paint);
    findings(&mut out, a, width, &paint);
    out
}

/// Lines of at most `width` columns out of `words` (plain, as painted), separated by `gap`.
fn lines(out: &mut String, words: &[(String, String)], gap: &str, width: usize) {
    let mut used = 0;
    for (plain, painted) in words {
        let length = plain.chars().count();
        if used > 0 && used + gap.chars().count() + length > width {
            used = 0;
            out.push('\n');
        }
        if used == 0 {
            out.push_str("  ");
            used = 2;
        } else {
            out.push_str(gap);
            used += gap.chars().count();
        }
        out.push_str(painted);
        used += length;
    }
    out.push('\n');
}

/// ANSI colours, or none.
struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn bold(&self, t: &str) -> String {
        self.with("1", t)
    }
    fn dim(&self, t: &str) -> String {
        self.with("2", t)
    }
}

fn coverage(out: &mut String, a: &Assessment, width: usize, paint: &Paint) {
    let c = &a.coverage;
    let parts = [
        (c.understood, '█', "32", "understood"),
        (c.padding, '░', "90", "padding"),
        (c.opaque, '▒', "33", "opaque"),
    ];
    let cells = shares(&parts.map(|p| p.0), width - 2);
    let bar: String = parts
        .iter()
        .zip(cells)
        .map(|((_, glyph, code, _), n)| paint.with(code, &glyph.to_string().repeat(n)))
        .collect();
    out.push('\n');
    if cells.iter().sum::<usize>() > 0 {
        let _ = writeln!(out, "  {bar}");
    }
    let words: Vec<_> = parts
        .iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, glyph, code, word)| {
            let text = format!(" {word} {} ({})", percent(*n, c.total), bytes(*n));
            (format!("{glyph}{text}"), format!("{}{text}", paint.with(code, &glyph.to_string())))
        })
        .collect();
    if !words.is_empty() {
        lines(out, &words, "   ", width);
    }
    let mut notes = vec![plural(a.artifacts.len() as u64, "artifact", "artifacts")];
    if c.opaque_inside > 0 {
        notes.push(format!("{} opaque inside containers", bytes(c.opaque_inside)));
    }
    if c.artifacts_with_problems > 0 {
        notes.push(format!("{} not read completely", count(c.artifacts_with_problems)));
    }
    let notes: Vec<_> = notes.into_iter().map(|n| (n.clone(), paint.dim(&n))).collect();
    lines(out, &notes, " · ", width);
    regions(out, a, &parts.map(|(_, glyph, code, _)| paint.with(code, &glyph.to_string())), paint);
}

/// The largest regions of the image in the order of their bytes, by locators that `proofmark show` takes. Nothing
/// where one region is all of it.
fn regions(out: &mut String, a: &Assessment, glyphs: &[String; 3], paint: &Paint) {
    let Some(root) = a.artifacts.first().filter(|root| root.regions.len() > 1) else { return };
    let mut shown: Vec<_> = root.regions.iter().collect();
    shown.sort_by_key(|r| (std::cmp::Reverse(r.length), r.offset));
    shown.truncate(REGIONS);
    shown.sort_by_key(|r| r.offset);
    for region in shown {
        let range = || {
            let end = region.offset.saturating_add(region.length);
            format!("{}+{:#x}..{end:#x}", root.locator, region.offset)
        };
        let (glyph, place, what) = match &region.class {
            RegionClass::Understood { format, .. } => {
                (&glyphs[0], format!("{}@{:#x}:{format}", root.locator, region.offset), "")
            }
            RegionClass::Padding { .. } => (&glyphs[1], range(), "  padding"),
            RegionClass::Opaque { looks, .. } => (
                &glyphs[2],
                range(),
                match looks {
                    Opaque::CompressedLooking => "  looks compressed",
                    Opaque::EncryptedLooking => "  looks encrypted",
                    _ => "  opaque",
                },
            ),
        };
        let size = format!("{what}  {}", bytes(region.length));
        let _ = writeln!(out, "  {glyph} {}{}", paint.with("36", &plain(&place)), paint.dim(&size));
    }
    let left = root.regions.len().saturating_sub(REGIONS);
    if left > 0 {
        let more = format!("and {}", plural(left as u64, "smaller region", "smaller regions"));
        let _ = writeln!(out, "  {}", paint.dim(&more));
    }
}

/// Divides `cells` in proportion to `parts`; whatever is not zero gets at least one.
fn shares(parts: &[u64; 3], cells: usize) -> [usize; 3] {
    let total: u128 = parts.iter().map(|p| u128::from(*p)).sum();
    if total == 0 {
        return [0; 3];
    }
    let mut out = parts.map(|p| {
        let n = (u128::from(p) * cells as u128 / total) as usize;
        if p > 0 { n.max(1) } else { 0 }
    });
    // What rounding left over, or took too much, goes to the largest.
    let used: usize = out.iter().sum();
    let largest = (0..3).max_by_key(|i| (parts[*i], 3 - i)).unwrap_or(0);
    out[largest] = (out[largest] + cells).saturating_sub(used);
    out
}

const VERDICTS: [(Verdict, &str); 4] = [
    (Verdict::Fail, "1;31"),
    (Verdict::Inconclusive, "33"),
    (Verdict::Pass, "32"),
    (Verdict::NotApplicable, "90"),
];

fn verdicts(out: &mut String, a: &Assessment, width: usize, paint: &Paint) {
    let counts = summary::counts(a);
    let mut words: Vec<_> = VERDICTS
        .iter()
        .map(|(v, code)| {
            let text = format!("{} {}", count(counts.of(*v)), summary::verdict(*v));
            (text.clone(), paint.with(code, &text))
        })
        .collect();
    let total = format!("of {}", plural(counts.total(), "requirement", "requirements"));
    words.push((total.clone(), paint.dim(&total)));
    out.push('\n');
    lines(out, &words, "   ", width);
    if !a.vulnerabilities.is_empty() {
        let mut steps = vec!["vulnerabilities:".to_owned()];
        steps.extend(summary::funnel(a).iter().enumerate().map(|(i, (word, n))| {
            format!("{}{} {word}", if i > 0 { "> " } else { "" }, count(*n))
        }));
        let steps: Vec<_> = steps.into_iter().map(|s| (s.clone(), s)).collect();
        lines(out, &steps, " ", width);
    }
}

fn findings(out: &mut String, a: &Assessment, width: usize, paint: &Paint) {
    let all = summary::gravest(a);
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out);
    for (j, f) in all.iter().take(SHOWN) {
        let code = match f.severity {
            Severity::Critical => "1;31",
            Severity::High => "31",
            Severity::Medium => "33",
            Severity::Low | Severity::Info => "90",
        };
        let word = paint.with(code, &format!("{:<8}", summary::severity(f.severity)));
        let id = plain(&j.requirement.id);
        let room = width.saturating_sub(2 + 8 + 1 + id.chars().count() + 2);
        let _ = writeln!(out, "  {word} {}  {}", paint.bold(&id), cut(&plain(&f.message), room));
        let places = f.evidence.places().len();
        let more = if places > 1 {
            paint.dim(&format!("  and {} more", places - 1))
        } else {
            String::new()
        };
        let _ =
            writeln!(out, "           {}{more}", paint.with("36", &f.evidence.first().to_string()));
    }
    if all.len() > SHOWN {
        let rest = plural((all.len() - SHOWN) as u64, "more finding", "more findings");
        let _ = writeln!(out, "  {}", paint.dim(&format!("{rest} in the report")));
    }
}
