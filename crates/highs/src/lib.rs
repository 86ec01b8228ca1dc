//! HiGHS as a solver of the network planner.
//!
//! [`Highs`] is a [`Solver`]: a program of plain numbers in, a point and a bound out. The command
//! `proofmark-highs` does the same for another process: a [`Mip`] as JSON on its input, an
//! [`Answer`] as JSON on its output. HiGHS runs with one thread and a fixed seed, so equal programs
//! give equal answers unless the time limit strikes.

use std::num::NonZeroU32;

use highs::{HighsModelStatus, HighsSolutionStatus, RowProblem, Sense};
use proofmark_network::Error;
use proofmark_network::plan::solver::{Answer, Mip, NO_LIMIT, Solver};

/// HiGHS in this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Highs;

impl Solver for Highs {
    fn solve(&self, mip: &Mip, _: &dyn Fn() -> bool) -> Result<Answer, Error> {
        solve(mip).map_err(|reason| Error::Format { path: "HiGHS".into(), reason })
    }
}

/// Solves a program.
///
/// # Errors
/// The program is not well formed, or HiGHS refuses it; in words.
pub fn solve(mip: &Mip) -> Result<Answer, String> {
    check(mip)?;
    let begun = mip.start.len() == mip.cost.len();
    // Where presolve alone finds the optimum, some releases of HiGHS report its value with the columns of the start
    // that they were given; the same program without a start is answered rightly.
    match attempt(mip, begun)? {
        Some(answer) => Ok(answer),
        None if begun => Ok(attempt(mip, false)?.unwrap_or_default()),
        None => Ok(Answer::default()),
    }
}

/// Solves, from the start that is known if so wanted. None where point and objective value contradict each other.
fn attempt(mip: &Mip, begun: bool) -> Result<Option<Answer>, String> {
    if mip.cost.is_empty() {
        let kept = mip.low.iter().zip(&mip.high).all(|(l, h)| *l <= 0.0 && *h >= 0.0);
        let bound = kept.then_some(mip.offset);
        return Ok(Some(Answer { infeasible: !kept, point: Vec::new(), bound }));
    }
    let mut problem = RowProblem::new();
    let columns: Vec<highs::Col> = mip
        .cost
        .iter()
        .zip(&mip.integer)
        .map(|(c, i)| problem.add_column_with_integrality(*c, 0.0..=1.0, *i))
        .collect();
    for k in 0..mip.low.len() {
        let (low, high) = (mip.low[k], mip.high[k]);
        let entries = mip.entries(k).map(|(c, v)| (columns[c as usize], v));
        let limit = |x: f64| {
            if x >= NO_LIMIT {
                f64::INFINITY
            } else if x <= -NO_LIMIT {
                f64::NEG_INFINITY
            } else {
                x
            }
        };
        problem.add_row(limit(low)..=limit(high), entries);
    }
    // The constant part, so that the relative gap is that of the whole.
    problem.add_column(mip.offset, 1.0..=1.0);
    let refused = |e| format!("HiGHS refuses the program: {e:?}");
    let mut model = problem.try_optimise(Sense::Minimise).map_err(refused)?;
    model.make_quiet();
    model.set_threads(NonZeroU32::MIN);
    model.set_option("random_seed", mip.seed as i32);
    model.set_option("mip_rel_gap", mip.gap.max(0.0));
    model.set_option("mip_abs_gap", 1e-7);
    model.set_option("mip_feasibility_tolerance", 1e-7);
    model.set_option("primal_feasibility_tolerance", 1e-8);
    model.set_option("time_limit", mip.seconds.max(0.1));
    if begun {
        let mut start = mip.start.clone();
        start.push(1.0);
        model.try_set_solution(Some(&start), None, None, None).map_err(refused)?;
    }
    let solved = model.try_solve().map_err(refused)?;
    if matches!(solved.status(), HighsModelStatus::Infeasible) {
        return Ok(Some(Answer { infeasible: true, ..Answer::default() }));
    }
    let mixed = mip.integer.iter().any(|i| *i);
    let bound = if mixed {
        solved.double_info_value(c"mip_dual_bound").ok()
    } else {
        (solved.status() == HighsModelStatus::Optimal).then(|| solved.objective_value())
    };
    let point = if solved.primal_solution_status() == HighsSolutionStatus::Feasible {
        let mut point = solved.get_solution().columns().to_vec();
        point.truncate(mip.cost.len());
        let costs: f64 = mip.cost.iter().zip(&point).map(|(c, x)| c * x).sum();
        let (own, told) = (mip.offset + costs, solved.objective_value());
        if (own - told).abs() > 1e-6 * told.abs().max(1.0) {
            return Ok(None);
        }
        point
    } else {
        Vec::new()
    };
    Ok(Some(Answer { infeasible: false, point, bound: bound.filter(|b| b.is_finite()) }))
}

/// Lengths, indices and numbers make sense.
fn check(mip: &Mip) -> Result<(), String> {
    let (n, rows) = (mip.cost.len(), mip.low.len());
    let numbers = |v: &[f64]| v.iter().all(|x| x.is_finite());
    let sound = mip.integer.len() == n
        && mip.high.len() == rows
        && mip.first.len() == rows + usize::from(rows > 0 || !mip.first.is_empty())
        && mip.first.windows(2).all(|w| w[0] <= w[1])
        && mip.first.last().is_none_or(|l| *l as usize == mip.column.len())
        && mip.column.len() == mip.value.len()
        && mip.column.iter().all(|c| (*c as usize) < n)
        && [&mip.cost, &mip.value, &mip.low, &mip.high, &mip.start].iter().all(|v| numbers(v))
        && mip.offset.is_finite()
        && mip.seed < 1 << 31;
    if sound {
        Ok(())
    } else {
        Err("the program has lengths, indices or numbers that do not fit".into())
    }
}
