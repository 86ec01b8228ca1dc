//! What the rules of a policy mean for a plan: dates, shares, mitigations, paths.

use super::{Builder, Past, Setup, rows::Place};
use crate::Error;
use crate::date::Date;
use crate::exposure::spatial::Grid;
use crate::policy::{Kind, Rule};

/// A rule by whose date units have to be gone.
#[derive(Debug)]
pub(super) struct Deadline<'p> {
    pub rule: &'p Rule,
    /// Last period allowed.
    pub period: usize,
    /// Sites concerned; all if none.
    pub places: Option<Vec<bool>>,
}

/// The rules by what they ask for.
#[derive(Debug, Default)]
pub(super) struct Duties<'p> {
    pub deadlines: Vec<Deadline<'p>>,
    /// Rules that mitigation satisfies, with the last period allowed.
    pub mitigations: Vec<(&'p Rule, usize)>,
    /// Limits on shares, with the period from which they hold.
    pub caps: Vec<(&'p Rule, usize)>,
    /// Paths free of any one vendor.
    pub paths: Vec<Place>,
    /// Whether what is removed has to be disposed of.
    pub dispose: bool,
}

impl<'p> Duties<'p> {
    /// Rules whose units count as failing.
    pub fn reaching(&self) -> impl Iterator<Item = &'p Rule> {
        let shares = self.caps.iter().map(|c| c.0).filter(|r| r.kind == Kind::ShareCap);
        self.deadlines.iter().map(|d| d.rule).chain(shares)
    }
}

/// When a date falls into a plan.
enum Falls {
    Before,
    /// Last period by whose end it is kept.
    Within(usize),
    After,
}

fn falls(setup: &Setup, start: Date, due: Date) -> Falls {
    let mut m = due.months() - start.months();
    if due.day < start.day {
        m -= 1;
    }
    if m < 0 {
        return Falls::Before;
    }
    match (m / setup.months) as usize {
        p if p > setup.periods => Falls::After,
        p => Falls::Within(p.saturating_sub(1).min(setup.periods - 1)),
    }
}

impl<'a> Builder<'a> {
    /// Sorts the rules by what they ask for.
    pub(super) fn duties(&mut self) -> Result<Duties<'a>, Error> {
        let b = self.b;
        let grid = Grid::new(self.inv);
        let mut out = Duties::default();
        for rule in &b.policy.rules {
            let mut note = |text: String| self.notes.insert(format!("rule {}: {text}", rule.id));
            let due = match (rule.kind, rule.renewable, rule.term_years) {
                // An authorisation ends with its term.
                (Kind::AuthoriseEach, Some(false), Some(years)) if rule.by.is_none() => {
                    b.start.plus_months((years * 12.0) as i32)
                }
                (Kind::AuthoriseEach, ..) if rule.by.is_none() => {
                    note(
                        "authorisation of each item is a procedure; no unit is forced out by it"
                            .into(),
                    );
                    continue;
                }
                _ => b.due(rule)?,
            };
            match rule.kind {
                Kind::StopBuy | Kind::NoNewInstall | Kind::TrustedList => {
                    note(
                        "nothing of the set is bought; what stays is kept past its book life"
                            .into(),
                    );
                    continue;
                }
                Kind::Dispose => {
                    out.dispose = true;
                    continue;
                }
                _ => {}
            }
            let period = match falls(self.setup, b.start, due) {
                Falls::After => {
                    note(format!("due {due}, after the plan ends"));
                    continue;
                }
                Falls::Within(p) => p,
                Falls::Before if self.setup.past == Past::AtOnce => {
                    note(format!("due {due}, before the start; planned for the first period"));
                    0
                }
                Falls::Before => {
                    return Err(Error::Rule {
                        policy: b.policy.id.clone(),
                        rule: rule.id.clone(),
                        reason: format!(
                            "is due {due}, before the plan starts on {}; choose an earlier start, or allow rules that are late",
                            b.start
                        ),
                    });
                }
            };
            match rule.kind {
                Kind::Remove | Kind::ExcludeFunction | Kind::AuthoriseEach => {
                    out.deadlines.push(Deadline { rule, period, places: None });
                }
                Kind::ExcludePlace => {
                    let places = Some(b.places(rule, &grid));
                    out.deadlines.push(Deadline { rule, period, places });
                }
                Kind::Mitigate | Kind::Localise | Kind::LimitRemoteAccess => {
                    out.mitigations.push((rule, period));
                }
                Kind::ShareCap | Kind::MinVendors => out.caps.push((rule, period)),
                Kind::DisjointPaths => out.paths.push(Place {
                    rule: rule.id.clone(),
                    index: b.policy.rules.iter().position(|r| r.id == rule.id).unwrap_or(0) as u32,
                    period,
                    sites: b.places(rule, &grid),
                }),
                Kind::StopBuy | Kind::NoNewInstall | Kind::TrustedList | Kind::Dispose => {}
            }
        }
        Ok(out)
    }
}
