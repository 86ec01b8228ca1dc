//! Progress and interruption, as a parameter.

/// What a [`Watch`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// Carry on.
    On,
    /// Stop soon and deliver the best there is.
    Stop,
}

/// How far a long computation is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress<'a> {
    /// What is being done, such as `bound`.
    pub stage: &'a str,
    /// Steps done in this stage.
    pub done: u64,
    /// Steps of this stage in all.
    pub of: u64,
    /// Cost of the best plan so far, where there is one.
    pub incumbent: Option<f64>,
    /// Proven lower bound, where there is one.
    pub bound: Option<f64>,
}

impl Progress<'_> {
    /// `(incumbent - bound) / incumbent`, where both are known.
    #[must_use]
    pub fn gap(&self) -> Option<f64> {
        match (self.incumbent, self.bound) {
            (Some(i), Some(b)) if i.abs() > 0.0 => Some(((i - b) / i.abs()).max(0.0)),
            _ => None,
        }
    }
}

/// Told about progress; decides whether to go on. A clock or Ctrl-C lives on the caller's side.
pub trait Watch: Sync {
    /// Called now and then from the thread that runs the computation.
    fn tell(&self, progress: &Progress<'_>) -> Go;
}

/// Says nothing and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {
    fn tell(&self, _: &Progress<'_>) -> Go {
        Go::On
    }
}

impl<F: Fn(&Progress<'_>) -> Go + Sync> Watch for F {
    fn tell(&self, progress: &Progress<'_>) -> Go {
        self(progress)
    }
}
