//! The figures of a report as tables of a workbook.

use crate::Error;
use crate::report::Shown;
use crate::workbook::{Cell, Sheet, workbook as pack};

/// Everything a report shows, as a workbook.
///
/// # Errors
/// It is too large.
pub fn workbook(x: &Shown<'_>) -> Result<Vec<u8>, Error> {
    pack(&sheets(x))
}

macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$(Cell::from($cell)),*] };
}

fn kept(s: crate::evidence::Status) -> &'static str {
    match s {
        crate::evidence::Status::Pass => "yes",
        crate::evidence::Status::Fail => "no",
        crate::evidence::Status::Unknown => "not known",
    }
}

fn sheets(x: &Shown<'_>) -> Vec<Sheet> {
    let date = |d: Option<crate::date::Date>| d.map_or(String::new(), |d| d.to_string());
    let mut out = vec![Sheet {
        name: "policies".into(),
        header: vec![
            "policy",
            "plan",
            "net cost",
            "proven lower bound",
            "gap",
            "money spent",
            "traffic exposed at the end",
            "exposed traffic-years",
            "customer-minutes out",
            "radio HHI",
            "all rules kept from",
        ],
        rows: x
            .columns
            .iter()
            .map(|c| {
                row![
                    c.policy.as_str(),
                    format!("{:?}", c.status).to_lowercase(),
                    c.cost.0,
                    c.cost.1,
                    crate::plan::gap(c.cost.0, c.cost.1),
                    c.spend.iter().sum::<f64>(),
                    c.exposure.last().copied().unwrap_or(0.0),
                    c.exposure_years,
                    c.customer_minutes,
                    c.hhi,
                    date(c.compliant),
                ]
            })
            .collect(),
    }];
    for p in x.plans {
        let d = &p.document;
        out.push(Sheet {
            name: format!("periods {}", d.policy),
            header: vec![
                "period",
                "ends",
                "jobs",
                "money",
                "budget",
                "crew-weeks",
                "crew-weeks available",
                "customer-minutes",
                "traffic exposed",
            ],
            rows: d
                .periods
                .iter()
                .map(|q| {
                    row![
                        q.number,
                        q.end.to_string(),
                        q.jobs,
                        q.spend,
                        q.budget.unwrap_or(f64::INFINITY),
                        q.crew_weeks.0,
                        q.crew_weeks.1,
                        q.customer_minutes,
                        q.exposure,
                    ]
                })
                .collect(),
        });
        out.push(Sheet {
            name: format!("jobs {}", d.policy),
            header: vec![
                "job",
                "site",
                "cluster",
                "region",
                "devices",
                "action",
                "period",
                "week",
                "spend",
                "crew-weeks",
                "customer-minutes",
                "due",
            ],
            rows: d
                .jobs
                .iter()
                .map(|j| {
                    row![
                        j.job,
                        j.site.as_str(),
                        j.cluster.as_str(),
                        j.region.as_str(),
                        j.devices.join(" "),
                        j.action.as_str(),
                        j.period,
                        j.week,
                        j.spend,
                        j.crew_weeks,
                        j.customer_minutes,
                        j.due.join("; "),
                    ]
                })
                .collect(),
        });
        out.push(Sheet {
            name: format!("rules {}", d.policy),
            header: vec![
                "rule", "due", "on", "binding", "kept", "at least", "at most", "limit", "unit",
            ],
            rows: d
                .compliance
                .iter()
                .map(|a| {
                    row![
                        a.rule.as_str(),
                        a.due.to_string(),
                        a.on.to_string(),
                        if a.binding { "yes" } else { "not yet" },
                        kept(a.kept),
                        a.measured.low,
                        a.measured.high,
                        a.limit,
                        a.unit.as_str(),
                    ]
                })
                .collect(),
        });
    }
    if !x.points.is_empty() {
        out.push(Sheet {
            name: "frontier".into(),
            header: vec![
                "exposure allowed",
                "exposure",
                "cost",
                "proven lower bound",
                "gap",
                "on the frontier",
            ],
            rows: x
                .points
                .iter()
                .map(|p| {
                    row![
                        p.limit,
                        p.exposure,
                        p.cost,
                        p.bound,
                        p.gap,
                        if p.on_frontier { "yes" } else { "no" }
                    ]
                })
                .collect(),
        });
    }
    if !x.bars.is_empty() {
        out.push(Sheet {
            name: "sensitivity".into(),
            header: vec![
                "cost item",
                "confidence",
                "cost at its low end",
                "cost at its high end",
                "difference at its low end",
                "difference at its high end",
                "changes the choice",
                "value of knowing it",
            ],
            rows: x
                .bars
                .iter()
                .map(|b| {
                    let (low, high) = b.difference.unwrap_or((f64::NAN, f64::NAN));
                    row![
                        b.item.as_str(),
                        b.confidence.as_str(),
                        b.cost.0,
                        b.cost.1,
                        low,
                        high,
                        if b.decides { "yes" } else { "no" },
                        b.value,
                    ]
                })
                .collect(),
        });
    }
    if let Some(p) = x.plans.first() {
        out.push(Sheet {
            name: "cost items".into(),
            header: vec!["item", "low", "typical", "high", "unit", "confidence", "source", "note"],
            rows: p
                .document
                .items
                .iter()
                .map(|i| {
                    row![
                        i.id.as_str(),
                        i.low,
                        i.typical,
                        i.high,
                        i.unit.as_str(),
                        i.confidence.as_str(),
                        i.source.as_str(),
                        i.note.as_str(),
                    ]
                })
                .collect(),
        });
    }
    out
}
