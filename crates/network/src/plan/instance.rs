//! The planning problem, stripped of everything but its numbers.
//!
//! Each *job* (a coupling group of units) is kept, or one of its *choices* is carried out in one
//! period. Choices draw on resources (money per period, crews and disruption per region and
//! period) and change membership in *sets* (units that fail, units of a vendor), which *rows* limit
//! at dates. Jobs of one *cluster* that need it opened share one target platform and pay for every
//! period the cluster is open. A *platform* (a vendor in a segment) may have to be onboarded
//! first; a *core group* has to be finished before its clusters open.

use crate::Error;

/// Most periods a plan may have.
pub const MAX_PERIODS: usize = 16;
/// Most sets.
pub const MAX_SETS: usize = 64;
/// "None" for indices.
pub const NONE: u32 = u32::MAX;

/// A thing to decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Cluster it belongs to, or [`NONE`].
    pub cluster: u32,
    /// Work region, whose crews do it.
    pub region: u32,
    /// First of its choices in [`Instance::choices`].
    pub first: u32,
    /// Number of choices.
    pub count: u32,
    /// Cost of keeping it; infinite when it cannot be kept.
    pub keep: f64,
    /// Sets it is in while it is kept, one bit each.
    pub member: u64,
}

/// Something that can be done to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Platform it leads to, or [`NONE`] when it needs none (an update, a mitigation).
    pub platform: u32,
    /// Whether the cluster must be open: then the cluster's platform must be this one as well.
    pub opens: bool,
    /// Sets the job is in afterwards.
    pub member: u64,
    /// Money drawn in the period it is done, not discounted.
    pub spend: f64,
    /// Crew-weeks.
    pub crew: f64,
    /// Customer-minutes of outage.
    pub outage: f64,
    /// Net cost for each period (discounted, credit and the value of outage and performance
    /// included); infinite where it is not allowed.
    pub cost: Vec<f64>,
}

/// A radio planning cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Discounted cost of being open, per period.
    pub open: Vec<f64>,
    /// Most periods it may be open.
    pub max_open: u32,
    /// Core group that must be finished in an earlier period, or [`NONE`].
    pub group: u32,
    /// Platform it runs today, or [`NONE`]; counts for borders while nothing is opened.
    pub home: u32,
}

/// A vendor in a segment, as a target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Platform {
    /// Discounted cost of onboarding in each period; empty when it is in use already.
    pub onboard: Vec<f64>,
    /// Periods between onboarding and first use.
    pub lag: u32,
}

/// Limit on a set: `sum over jobs and periods of weight * coefficient * membership <= limit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The set.
    pub set: u32,
    /// Coefficient per period; a date has a single 1, a time integral the lengths of the periods.
    pub coefficient: Vec<f64>,
    /// The limit.
    pub limit: f64,
    /// Index of the rule it comes from, in the caller's list.
    pub rule: u32,
}

/// A planning problem. Units are the caller's; costs are in one currency.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Instance {
    /// Number of periods.
    pub periods: usize,
    /// Number of work regions.
    pub regions: usize,
    /// Jobs.
    pub jobs: Vec<Job>,
    /// Choices of all jobs, job by job.
    pub choices: Vec<Choice>,
    /// Clusters.
    pub clusters: Vec<Cluster>,
    /// Platforms.
    pub platforms: Vec<Platform>,
    /// Core groups: the jobs that belong to each.
    pub groups: Vec<Vec<u32>>,
    /// Weight of each job in each set: `weights[set][job]`.
    pub weights: Vec<Vec<f64>>,
    /// Limits on sets.
    pub rows: Vec<Row>,
    /// Money per period; infinite is no limit.
    pub money: Vec<f64>,
    /// Whether money left over can be spent later.
    pub carry: bool,
    /// Crew-weeks, `crews[region * periods + period]`.
    pub crews: Vec<f64>,
    /// Customer-minutes of outage, laid out like `crews`.
    pub disruption: Vec<f64>,
    /// Pairs of neighbouring clusters with the cost of having different platforms at the end.
    pub borders: Vec<(u32, u32, f64)>,
}

/// What is decided for each job: nothing, or (choice among its own, period).
pub type Decision = Option<(u32, u32)>;

impl Instance {
    /// Choices of a job.
    #[must_use]
    pub fn choices_of(&self, job: usize) -> &[Choice] {
        let j = &self.jobs[job];
        &self.choices[j.first as usize..(j.first + j.count) as usize]
    }

    /// Checks that all indices, lengths and numbers make sense.
    ///
    /// # Errors
    /// Names the first item that does not.
    pub fn validate(&self) -> Result<(), Error> {
        let t = self.periods;
        let bad = |item: String, reason: &str| Err(Error::instance(item, reason));
        if t == 0 || t > MAX_PERIODS {
            return bad("periods".into(), &format!("{t} is not 1 to {MAX_PERIODS}"));
        }
        if self.weights.len() > MAX_SETS {
            return bad("sets".into(), &format!("more than {MAX_SETS}"));
        }
        let natural = |v: &[f64]| v.iter().all(|x| *x >= 0.0);
        for (name, list, len) in [
            ("money", &self.money, t),
            ("crews", &self.crews, t * self.regions),
            ("disruption", &self.disruption, t * self.regions),
        ] {
            if list.len() != len || !natural(list) {
                return bad(name.into(), &format!("needs {len} numbers that are not negative"));
            }
        }
        let platform = |p: u32| p == NONE || (p as usize) < self.platforms.len();
        for (i, p) in self.platforms.iter().enumerate() {
            if (!p.onboard.is_empty() && p.onboard.len() != t) || !natural(&p.onboard) {
                return bad(
                    format!("platform {i}"),
                    "needs one onboarding cost per period, not negative",
                );
            }
        }
        for (i, c) in self.clusters.iter().enumerate() {
            if c.open.len() != t || !natural(&c.open) || c.max_open == 0 {
                return bad(
                    format!("cluster {i}"),
                    "needs one opening cost per period, not negative, and at least one open period",
                );
            }
            if (c.group != NONE && c.group as usize >= self.groups.len()) || !platform(c.home) {
                return bad(format!("cluster {i}"), "core group or platform does not exist");
            }
        }
        for (i, w) in self.weights.iter().enumerate() {
            if w.len() != self.jobs.len() || !w.iter().all(|x| x.is_finite() && *x >= 0.0) {
                return bad(format!("set {i}"), "needs one weight per job, not negative");
            }
        }
        let mut next = 0;
        let known =
            if self.weights.len() == 64 { u64::MAX } else { (1u64 << self.weights.len()) - 1 };
        for (i, j) in self.jobs.iter().enumerate() {
            let item = || format!("job {i}");
            if j.first != next {
                return bad(item(), "choices are not laid out job by job");
            }
            next += j.count;
            if next as usize > self.choices.len() {
                return bad(item(), "has choices that do not exist");
            }
            if (j.cluster != NONE && j.cluster as usize >= self.clusters.len())
                || j.region as usize >= self.regions
            {
                return bad(item(), "cluster or region does not exist");
            }
            if j.keep.is_nan() || j.keep == f64::NEG_INFINITY || j.member & !known != 0 {
                return bad(item(), "cost of keeping or sets are not valid");
            }
            if j.count as usize * t >= usize::from(u16::MAX) {
                return bad(item(), "too many choices");
            }
            for c in self.choices_of(i) {
                if c.cost.len() != t || c.cost.iter().any(|x| x.is_nan() || *x == f64::NEG_INFINITY)
                {
                    return bad(item(), "a choice needs one cost per period");
                }
                if !natural(&[c.spend, c.crew, c.outage])
                    || !(c.spend + c.crew + c.outage).is_finite()
                {
                    return bad(
                        item(),
                        "spend, crews and outage of a choice must be finite and not negative",
                    );
                }
                if !platform(c.platform) || c.member & !known != 0 || (c.opens && j.cluster == NONE)
                {
                    return bad(
                        item(),
                        "a choice names a platform, set or cluster that does not exist",
                    );
                }
            }
        }
        for (i, r) in self.rows.iter().enumerate() {
            if r.set as usize >= self.weights.len()
                || r.coefficient.len() != t
                || !natural(&r.coefficient)
                || r.limit.is_nan()
            {
                return bad(format!("row {i}"), "set, coefficients or limit are not valid");
            }
        }
        for (i, g) in self.groups.iter().enumerate() {
            if g.iter().any(|j| self.jobs.get(*j as usize).is_none_or(|j| j.cluster != NONE)) {
                return bad(
                    format!("core group {i}"),
                    "its jobs must exist and belong to no cluster (a dependency would be cyclic)",
                );
            }
        }
        if self.borders.iter().any(|(a, b, p)| {
            a.max(b) >= &(self.clusters.len() as u32) || a == b || p.is_nan() || *p < 0.0
        }) {
            return bad(
                "borders".into(),
                "clusters must exist and differ, the cost must not be negative",
            );
        }
        Ok(())
    }
}
