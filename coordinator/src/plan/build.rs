//! From raw arguments to a plan, reporting every problem at once.
//!
//! | file | duty |
//! |---|---|
//! | `problems` | collects what is wrong |
//! | `target` | where requests go, how they travel, what they ask for |
//! | `load` | when requests start, and until when |
//! | `strategies` | which strategies run |
//! | `fleet` | who generates the load |
//! | `output` | what comes out |

mod fleet;
mod load;
mod output;
mod problems;
mod strategies;
mod target;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use self::problems::Problems;
use super::{Plan, RawPlan, defaults};

/// One thing wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The flag, or the key of the plan file.
    pub place: String,
    /// What was given. Empty when the trouble is that something is missing.
    pub given: String,
    /// What is wrong, and what would do.
    pub trouble: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.given.is_empty() {
            write!(f, "{} {}", self.place, self.trouble)
        } else {
            write!(f, "{} {} {}", self.place, self.given, self.trouble)
        }
    }
}

/// Everything wrong with a plan; never empty.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct InvalidPlan(pub Vec<Problem>);

impl fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            many => {
                write!(f, "the plan has {} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
        }
    }
}

/// Most items a strategy may ask for.
const MAX_ITEMS: u64 = 1_000_000_000_000;
/// Most requests a fleet may hold in flight.
const MAX_IN_FLIGHT: u64 = 1_000_000;
/// Longest request timeout: what the histograms hold with room to spare.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Longest pause and longest wait.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);

impl Plan {
    /// Checks everything.
    ///
    /// # Errors
    /// [`InvalidPlan`] with every problem found, not only the first.
    pub fn build(raw: &RawPlan) -> Result<Self, InvalidPlan> {
        let mut problems = Problems::default();
        let plan = build(raw, &mut problems);
        if problems.0.is_empty() { Ok(plan) } else { Err(InvalidPlan(problems.0)) }
    }
}

fn build(raw: &RawPlan, p: &mut Problems) -> Plan {
    let target = target::target(raw, p);
    let workload = target::workload(raw, p);
    let load = load::load(raw, workload.seed, p);
    Plan {
        target,
        items: load.items,
        concurrent: load.concurrent,
        strategies: strategies::strategies(raw, load.concurrent, load.max_in_flight, p),
        load: load.load,
        limits: load.limits,
        error_limit: load.error_limit,
        calibrate: load.calibrate,
        workload,
        cooldown: p.duration(
            "--cooldown",
            raw.cooldown.as_deref(),
            defaults::COOLDOWN,
            Duration::ZERO,
            MAX_PAUSE,
        ),
        sample_period: p.duration(
            "--sample-period",
            raw.sample_period.as_deref(),
            defaults::SAMPLE_PERIOD,
            Duration::from_millis(20),
            Duration::from_secs(60),
        ),
        fast_period: p.duration(
            "--fast-period",
            raw.fast_period.as_deref(),
            defaults::FAST_PERIOD,
            Duration::from_millis(20),
            Duration::from_secs(60),
        ),
        preflight: !raw.skip_preflight,
        fleet: fleet::fleet(raw, p),
        output: output::output(raw, p),
    }
}

#[cfg(test)]
mod tests;
