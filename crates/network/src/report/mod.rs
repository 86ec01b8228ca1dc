//! The report: one HTML file that needs no network, with a page for the board, for the planner and
//! for the authority.
//!
//! The map is drawn from the inventory itself: the area is the set of grid cells that have sites,
//! sites are dots coloured by verdict, and a slider carries the plan out period by period.

mod chart;
mod land;
mod map;
mod outlines;

use std::fmt::Write;

use crate::commands::{Planned, World};
use crate::evidence::Status;
use crate::exposure::{Exposure, Weight};
use crate::scenario::sensitivity::Bar;
use crate::scenario::{Column, Point, adds};
use crate::{Interval, plan};

/// Text for HTML.
fn esc(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A sum of money, short.
fn money(x: f64) -> String {
    let a = x.abs();
    if a >= 1e9 {
        format!("{:.2} bn", x / 1e9)
    } else if a >= 1e6 {
        format!("{:.1} m", x / 1e6)
    } else if a >= 1.0 {
        format!("{:.0} k", x / 1e3)
    } else {
        "0".into()
    }
}

fn percent(x: f64) -> String {
    // A zero has no sign.
    format!("{:.1} %", 100.0 * x + 0.0)
}

/// A count with its digits in threes.
fn count(x: f64) -> String {
    let digits = format!("{:.0}", x.abs());
    let mut out = String::new();
    for (k, c) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    if x < -0.5 { format!("-{out}") } else { out }
}

/// Whether a plan keeps every limit, so that its bound and gap say something.
fn keeps(s: plan::Status) -> bool {
    matches!(s, plan::Status::Optimal | plan::Status::Feasible)
}

/// An interval of shares; a single figure where both ends agree.
fn shares(i: Interval) -> String {
    if i.width() < 5e-4 {
        percent(i.low)
    } else {
        format!("{} to {}", percent(i.low), percent(i.high))
    }
}

fn word(s: Status) -> (&'static str, &'static str) {
    match s {
        Status::Pass => ("pass", "kept"),
        Status::Fail => ("fail", "not kept"),
        Status::Unknown => ("unknown", "not known"),
    }
}

fn figure(out: &mut String, value: &str, what: &str) {
    let _ = write!(out, "<div><b>{}</b><span>{}</span></div>", esc(value), esc(what));
}

/// A table with a header; cells that start with a digit, sign or blank unit are set right.
fn table(out: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    // A column of figures stands at the right, its head as well; dates are no figures.
    let figure = |k: usize, c: &str| {
        let date = c.len() == 10 && c.split('-').count() == 3;
        k > 0 && !date && c.starts_with(|x: char| x.is_ascii_digit() || x == '-') && c.len() < 30
    };
    let right = |k: usize| rows.iter().filter_map(|r| r.get(k)).any(|c| figure(k, c));
    out.push_str("<div class=scroll><table><thead><tr>");
    for (k, h) in header.iter().enumerate() {
        let _ = write!(out, "<th{}>{}</th>", if right(k) { " class=n" } else { "" }, esc(h));
    }
    out.push_str("</tr></thead><tbody>");
    for r in &rows {
        out.push_str("<tr>");
        for (k, c) in r.iter().enumerate() {
            let class = match c.as_str() {
                "kept" => " class=pass",
                "not kept" => " class=fail",
                "not known" => " class=unknown",
                _ if figure(k, c) => " class=n",
                _ => "",
            };
            let _ = write!(out, "<td{class}>{}</td>", esc(c));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

/// What a report shows.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The network.
    pub world: &'a World,
    /// Its exposure.
    pub exposure: &'a Exposure,
    /// Plans; the map shows the first.
    pub plans: &'a [&'a Planned],
    /// The same plans side by side.
    pub columns: &'a [Column],
    /// Cost against exposure, where it was asked for.
    pub points: &'a [Point],
    /// Sensitivity, where it was asked for.
    pub bars: &'a [Bar],
}

/// The whole report.
#[must_use]
pub fn page(shown: &Shown<'_>) -> String {
    let Shown { world, exposure: x, plans, .. } = *shown;
    let mut o = String::with_capacity(1 << 20);
    o.push_str("<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\"><title>Network report</title><style>");
    o.push_str(include_str!("page.css"));
    o.push_str("</style></head><body><main><h1>Network: exposure, policy, cost, plan</h1>");
    let i = world.inventory();
    let _ = write!(
        o,
        "<p class=soft>{} sites, {} devices, {} links, {} protected places. Verdicts: {} devices pass, {} fail, {} have none. Amounts are in the currency of the cost items.</p>",
        i.sites.len(),
        i.devices.len(),
        i.links.len(),
        i.protected.len(),
        x.devices[0],
        x.devices[1],
        x.devices[2]
    );
    o.push_str("<nav role=tablist><button data-page=board aria-selected=true>Board</button><button data-page=planner aria-selected=false>Planner</button><button data-page=authority aria-selected=false>Authority</button></nav>");
    o.push_str("<section id=board>");
    board(&mut o, shown);
    o.push_str("</section><section id=planner hidden>");
    planner(&mut o, world, plans);
    o.push_str("</section><section id=authority hidden>");
    authority(&mut o, x, plans);
    o.push_str("</section></main><script>");
    o.push_str(include_str!("page.js"));
    o.push_str("</script></body></html>\n");
    o
}

fn board(o: &mut String, shown: &Shown<'_>) {
    let Shown { world, exposure: x, plans, columns, points, bars } = *shown;
    o.push_str("<div class=figures>");
    let traffic =
        |s: &crate::exposure::Shares| s.get(&Weight::Traffic).copied().unwrap_or_default();
    figure(o, &shares(traffic(&x.reach.must)), "of traffic cannot avoid a failing unit");
    figure(o, &shares(traffic(&x.reach.own)), "of traffic has one at its own site");
    figure(o, &format!("{:.0}", x.exposed_places.low), "protected places with a failing unit near");
    if let Some(b) = x
        .blast
        .iter()
        .filter(|b| b.kind == "release")
        .max_by(|a, b| a.customers.total_cmp(&b.customers))
    {
        figure(o, &count(b.customers), &format!("customers cut off if release {} fails", b.name));
    }
    o.push_str("</div>");
    if let Some(p) = plans.first() {
        map::map(o, world, p);
    }
    o.push_str("<h2>Side by side</h2>");
    table(
        o,
        &[
            "policy",
            "all limits",
            "net cost",
            "at least",
            "gap",
            "money spent",
            "traffic exposed at the end",
            "exposed traffic-years",
            "customer-minutes out",
            "radio HHI",
            "all rules kept from",
        ],
        columns.iter().map(|c| {
            vec![
                c.policy.clone(),
                if keeps(c.status) { "kept" } else { "not kept" }.into(),
                money(c.cost.0),
                if keeps(c.status) { money(c.cost.1) } else { "-".into() },
                if keeps(c.status) {
                    format!("{:.2} %", 100.0 * plan::gap(c.cost.0, c.cost.1))
                } else {
                    "-".into()
                },
                money(c.spend.iter().sum()),
                percent(c.exposure.last().copied().unwrap_or(0.0)),
                format!("{:.2}", c.exposure_years),
                count(c.customer_minutes),
                count(c.hhi),
                match (c.compliant, c.compliant_if_passing) {
                    (Some(d), _) => d.to_string(),
                    (None, Some(d)) => format!("{d}, if what is unknown passes"),
                    (None, None) => "not within the plan".into(),
                },
            ]
        }),
    );
    chart::lines(
        o,
        "Share of traffic on failing units, at the start and the end of each period",
        columns,
    );
    chart::bars(o, "Money by period", columns);
    if columns.len() > 1 {
        o.push_str("<h2>What one policy adds to another</h2><p>Extra cost is a band: plans and proven bounds leave no more room than this. Protection is exposed traffic-years avoided.</p>");
        let mut rows = Vec::new();
        for a in columns {
            for b in columns.iter().filter(|b| b.policy != a.policy) {
                // A plan that does not keep its limits has no price to compare.
                if !keeps(a.status) || !keeps(b.status) {
                    continue;
                }
                let d = adds(a, b);
                rows.push(vec![
                    d.policy,
                    d.over,
                    money(d.cost.low),
                    money(d.cost.high),
                    format!("{:.3}", d.protection),
                ]);
            }
        }
        table(
            o,
            &["policy", "compared with", "extra cost at least", "at most", "protection added"],
            rows.into_iter(),
        );
    }
    if !points.is_empty() {
        chart::band(o, "Cost against exposure, with the certified band", points);
    }
    if !bars.is_empty() {
        chart::tornado(o, "What the cost of the first plan hangs on", bars);
    }
}

fn planner(o: &mut String, world: &World, plans: &[&Planned]) {
    for p in plans {
        let d = &p.document;
        let _ = write!(o, "<h2>{}</h2>", esc(&d.policy));
        o.push_str("<div class=figures>");
        figure(o, &money(d.cost), "net cost");
        if keeps(d.status) {
            figure(o, &format!("{:.2} %", 100.0 * d.gap), "at most above the best possible");
        } else {
            figure(o, "not kept", "some limits: no plan that keeps all was found");
        }
        figure(o, &d.jobs.iter().filter(|j| j.period.is_some()).count().to_string(), "jobs done");
        figure(o, &d.jobs.iter().filter(|j| j.period.is_none()).count().to_string(), "jobs kept");
        o.push_str("</div>");
        for w in &d.conflict_words {
            let _ = write!(o, "<p class=fail>{}</p>", esc(w));
        }
        table(
            o,
            &[
                "period",
                "ends",
                "jobs",
                "money",
                "budget",
                "crew-weeks",
                "of",
                "customer-minutes",
                "traffic exposed",
            ],
            d.periods.iter().map(|q| {
                vec![
                    q.number.to_string(),
                    q.end.to_string(),
                    q.jobs.to_string(),
                    money(q.spend),
                    q.budget.map_or("no limit".into(), money),
                    format!("{:.0}", q.crew_weeks.0),
                    format!("{:.0}", q.crew_weeks.1),
                    count(q.customer_minutes),
                    percent(q.exposure),
                ]
            }),
        );
        let mut actions: std::collections::BTreeMap<(&str, u32), (usize, f64)> = Default::default();
        for j in &d.jobs {
            let slot = actions.entry((&j.action, j.period.unwrap_or(0))).or_default();
            slot.0 += 1;
            slot.1 += j.spend;
        }
        o.push_str("<h3>What is done</h3>");
        table(
            o,
            &["action", "period", "jobs", "money"],
            actions.into_iter().map(|((a, s), (n, m))| {
                vec![
                    a.to_owned(),
                    if s == 0 { "-".into() } else { s.to_string() },
                    n.to_string(),
                    money(m),
                ]
            }),
        );
        let busy: Vec<Vec<String>> = d
            .prices
            .rows
            .iter()
            .zip(&d.rows)
            .filter(|(v, _)| **v > 0.0)
            .map(|(v, r)| vec![r.clone(), format!("{v:.2}")])
            .chain(
                d.prices
                    .money
                    .iter()
                    .enumerate()
                    .filter(|(_, v)| **v > 0.0)
                    .map(|(s, v)| vec![format!("money in period {}", s + 1), format!("{v:.4}")]),
            )
            .chain(d.prices.crews.iter().enumerate().filter(|(_, v)| **v > 0.0).map(|(k, v)| {
                let t = d.periods.len();
                vec![
                    format!("crew-week in {} in period {}", p.program.regions[k / t], k % t + 1),
                    format!("{v:.0}"),
                ]
            }))
            .take(60)
            .collect();
        if !busy.is_empty() {
            o.push_str("<h3>What constraints cost</h3><p class=soft>Cost saved by one unit more, at the bound.</p>");
            table(o, &["constraint", "price of one unit"], busy.into_iter());
        }
    }
    o.push_str("<h2>Input problems</h2>");
    let problems = &world.loaded.problems;
    if problems.list.is_empty() {
        o.push_str("<p>None.</p>");
    } else {
        table(
            o,
            &["file", "row", "column", "reason"],
            problems.list.iter().take(200).map(|p| {
                vec![p.file.clone(), p.row.to_string(), p.column.clone(), p.reason.clone()]
            }),
        );
    }
}

fn authority(o: &mut String, x: &Exposure, plans: &[&Planned]) {
    for p in plans {
        let d = &p.document;
        let _ = write!(
            o,
            "<h2>{}</h2><p class=soft>Compliance at the start and at the end of each period. Plan digest {}.</p>",
            esc(&d.policy),
            &d.digest[..16.min(d.digest.len())]
        );
        if d.compliance.is_empty() {
            o.push_str("<p>No rules.</p>");
        } else {
            table(
                o,
                &["rule", "due", "on", "binding", "kept", "measured", "limit", "unit"],
                d.compliance.iter().map(|a| {
                    let share = a.unit != "units";
                    let show = |v: f64| if share { percent(v) } else { format!("{v:.0}") };
                    vec![
                        a.rule.clone(),
                        a.due.to_string(),
                        a.on.to_string(),
                        if a.binding { "yes" } else { "not yet" }.into(),
                        word(a.kept).1.into(),
                        if a.measured.width() > 0.0 {
                            format!("{} to {}", show(a.measured.low), show(a.measured.high))
                        } else {
                            show(a.measured.low)
                        },
                        show(a.limit),
                        a.unit.clone(),
                    ]
                }),
            );
        }
    }
    o.push_str("<h2>Protected places with a failing unit near, or that depend on one</h2>");
    table(
        o,
        &["place", "category", "sites near", "of them failing", "nearest", "depends on"],
        x.colocation
            .iter()
            .filter(|c| c.failing.high > 0.0 || !c.depends_on.is_empty())
            .take(200)
            .map(|c| {
                vec![
                    c.place.clone(),
                    c.category.clone(),
                    c.sites.to_string(),
                    format!("{:.0}", c.failing.low),
                    c.nearest_m.map_or("-".into(), |m| format!("{m:.0} m")),
                    c.depends_on
                        .iter()
                        .take(4)
                        .map(|(s, km)| format!("{s} ({km:.0} km)"))
                        .collect::<Vec<_>>()
                        .join(", "),
                ]
            }),
    );
    if let Some(p) = plans.first() {
        o.push_str("<h2>Cost items and how sure they are</h2>");
        table(
            o,
            &["item", "low", "typical", "high", "unit", "confidence", "source"],
            p.document.items.iter().map(|i| {
                vec![
                    i.id.clone(),
                    i.low.to_string(),
                    i.typical.to_string(),
                    i.high.to_string(),
                    i.unit.clone(),
                    i.confidence.clone(),
                    i.source.clone(),
                ]
            }),
        );
        o.push_str("<h2>Notes</h2><ul>");
        for n in
            plans.iter().flat_map(|p| &p.document.notes).collect::<std::collections::BTreeSet<_>>()
        {
            let _ = write!(o, "<li>{}</li>", esc(n));
        }
        o.push_str("</ul>");
    }
}
