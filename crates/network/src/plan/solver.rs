//! The interface to a solver of mixed-integer programs that is not part of this program.
//!
//! The planner works without one. With one it hands over a [`Mip`], which is plain numbers and can
//! be sent to another process, and takes back a point and a bound; the point is turned into a plan
//! and added up by [`super::check`], so a wrong point costs a plan and nothing else. The bound is
//! the solver's word.

use std::fmt::Debug;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Stands for no limit in a [`Mip`]: JSON knows no infinity.
pub const NO_LIMIT: f64 = 1e30;

/// Minimise `offset + cost * x` with `low <= A x <= high` and `0 <= x <= 1`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mip {
    /// Constant part of the objective.
    pub offset: f64,
    /// Cost of every column.
    pub cost: Vec<f64>,
    /// Whether a column is 0 or 1.
    pub integer: Vec<bool>,
    /// Where each row begins in `column` and `value`; one more at the end.
    pub first: Vec<u32>,
    /// Columns of the entries, row by row.
    pub column: Vec<u32>,
    /// Values of the entries.
    pub value: Vec<f64>,
    /// Least value of each row, [`NO_LIMIT`] negated for none.
    pub low: Vec<f64>,
    /// Largest value of each row, [`NO_LIMIT`] for none.
    pub high: Vec<f64>,
    /// A known point, or nothing.
    pub start: Vec<f64>,
    /// Relative gap at which to stop.
    pub gap: f64,
    /// Seconds after which to stop.
    pub seconds: f64,
    /// Seed.
    pub seed: u32,
}

impl Mip {
    /// A column between 0 and 1; returns its index.
    pub fn column(&mut self, cost: f64, integer: bool) -> u32 {
        self.cost.push(cost);
        self.integer.push(integer);
        self.cost.len() as u32 - 1
    }

    /// A row.
    pub fn row(&mut self, low: f64, high: f64, entries: impl IntoIterator<Item = (u32, f64)>) {
        if self.first.is_empty() {
            self.first.push(0);
        }
        for (c, v) in entries {
            self.column.push(c);
            self.value.push(v);
        }
        self.first.push(self.column.len() as u32);
        self.low.push(low);
        self.high.push(high);
    }

    /// Entries of row `k`.
    pub fn entries(&self, k: usize) -> impl Iterator<Item = (u32, f64)> {
        let range = self.first[k] as usize..self.first[k + 1] as usize;
        self.column[range.clone()].iter().copied().zip(self.value[range].iter().copied())
    }
}

/// What a solver found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was shown that there is no point.
    pub infeasible: bool,
    /// Best point; empty when there is none.
    pub point: Vec<f64>,
    /// No point costs less, if anything was proven.
    pub bound: Option<f64>,
}

/// Something that solves a [`Mip`].
pub trait Solver: Debug + Send + Sync {
    /// Solves; `stop` is asked now and then whether to give up.
    ///
    /// # Errors
    /// The solver could not be run, or its answer makes no sense.
    fn solve(&self, mip: &Mip, stop: &dyn Fn() -> bool) -> Result<Answer, Error>;
}

/// Most bytes of an answer of a [`Process`].
const MOST: u64 = 1 << 30;

/// A solver in a process of its own: the program goes to its input as JSON, the [`Answer`] comes
/// back on its output. It keeps to the time limit of the program by itself.
#[derive(Debug, Clone)]
pub struct Process {
    /// The command.
    pub program: PathBuf,
}

/// Ends the process whatever happens to its caller.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Solver for Process {
    fn solve(&self, mip: &Mip, stop: &dyn Fn() -> bool) -> Result<Answer, Error> {
        let wrong = |reason: String| Error::format(self.program.display().to_string(), reason);
        let text = serde_json::to_vec(mip).map_err(|e| wrong(e.to_string()))?;
        let mut child = Reaped(
            Command::new(&self.program)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
                .map_err(|e| wrong(format!("cannot be started: {e}")))?,
        );
        let (input, output) = (child.0.stdin.take(), child.0.stdout.take());
        let writer = thread::spawn(move || input.map(|mut i| i.write_all(&text)));
        let reader = thread::spawn(move || {
            let mut answer = Vec::new();
            output.map(|o| o.take(MOST).read_to_end(&mut answer).map(|_| answer))
        });
        while !reader.is_finished() {
            // Nothing is known then, and the plan so far stands.
            if stop() {
                return Ok(Answer::default());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = writer.join();
        let answer = reader.join().ok().flatten().and_then(Result::ok).unwrap_or_default();
        let ended = child.0.wait().map_err(|e| wrong(e.to_string()))?;
        if !ended.success() {
            return Err(wrong(format!(
                "ended with {ended}; the plan without it: leave the backend out"
            )));
        }
        serde_json::from_slice(&answer)
            .map_err(|e| wrong(format!("its answer is not readable: {e}")))
    }
}
