//! Which figures the answer hangs on.
//!
//! Each cost item is set to its low and its high end while the others stay typical. The plan is kept
//! and priced anew (a tornado); with a second policy, the item changes the choice when the sign of
//! the difference of the two costs changes, and the value of knowing it is what the wrong choice
//! would cost.

use rayon::prelude::*;
use serde::Serialize;

use crate::Error;
use crate::cost::{Costs, Level, Used};
use crate::evidence::Evidence;
use crate::plan::Decision;
use crate::plan::build::{Program, Setup};
use crate::plan::check::account;
use crate::policy::Bound;

/// What one item does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// Item id.
    pub item: String,
    /// Its confidence.
    pub confidence: String,
    /// Cost of the plan with the item at its low and at its high end.
    pub cost: (f64, f64),
    /// With a second policy: cost of the first less cost of the second, at both ends.
    pub difference: Option<(f64, f64)>,
    /// Whether the difference changes its sign: knowing the item would change the choice.
    pub decides: bool,
    /// What the wrong choice costs at the end where it is wrong.
    pub value: f64,
}

/// A policy with its plan.
#[derive(Debug)]
pub struct Planned<'a> {
    /// The bound policy.
    pub bound: &'a Bound<'a>,
    /// Its plan.
    pub plan: &'a [Decision],
}

/// Prices `first` (and `second`) under every item's low and high end, widest first.
///
/// # Errors
/// A problem cannot be built.
pub fn tornado(
    first: &Planned<'_>,
    second: Option<&Planned<'_>>,
    evidence: &Evidence,
    requirements: &[String],
    costs: &Costs,
    setup: &Setup,
) -> Result<Vec<Bar>, Error> {
    let price = |x: &Planned<'_>,
                 item: Option<(&str, Level)>|
     -> Result<(f64, Vec<crate::cost::Item>), Error> {
        let mut used = Used::new(costs, Level::Typical);
        if let Some((id, level)) = item {
            used.overrides.insert(id.to_owned(), level);
        }
        let program = Program::build(x.bound, evidence, requirements, &used, setup)?;
        Ok((account(&program.instance, x.plan).cost, program.items))
    };
    let (_, items) = price(first, None)?;
    let base_difference = match second {
        Some(s) => Some(price(first, None)?.0 - price(s, None)?.0),
        None => None,
    };
    let bar = |item: &crate::cost::Item| -> Result<Bar, Error> {
        let ends = [Level::Low, Level::High];
        let mut cost = [0.0; 2];
        let mut difference = [0.0; 2];
        for (k, level) in ends.into_iter().enumerate() {
            cost[k] = price(first, Some((&item.id, level)))?.0;
            if let Some(s) = second {
                difference[k] = cost[k] - price(s, Some((&item.id, level)))?.0;
            }
        }
        let turns = |x: &&f64| base_difference.is_some_and(|d| **x * d < 0.0);
        let value = difference.iter().filter(turns).map(|x| x.abs()).fold(0.0, f64::max);
        Ok(Bar {
            item: item.id.clone(),
            confidence: item.confidence.clone(),
            cost: (cost[0], cost[1]),
            difference: second.map(|_| (difference[0], difference[1])),
            decides: value > 0.0,
            value,
        })
    };
    let mut out: Vec<Bar> =
        items.par_iter().filter(|i| i.low < i.high).map(bar).collect::<Result<_, _>>()?;
    out.sort_by(|a, b| {
        let width = |x: &Bar| (x.cost.1 - x.cost.0).abs();
        width(b).total_cmp(&width(a)).then_with(|| a.item.cmp(&b.item))
    });
    Ok(out)
}
