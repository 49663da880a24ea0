//! Energy over a window, with how wrong it may be at worst.
//!
//! The device's own counter is preferred ([`counter`]); where there is none, readings of the power are integrated
//! ([`power`]).

pub mod counter;
pub mod power;
#[cfg(test)]
mod tests;

use std::time::Duration;

use fluxfleet_proto::reading::{AbsenceReason, Reading};

use super::span::{Measure, Span, Taken, seconds_between};
use crate::analysis::report::{Missing, Value};

use counter::Counter;
use power::Power;

/// Energy over a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Energy {
    /// In joules.
    pub joules: Measure,
    /// What it is made of.
    pub by: EnergySource,
}

/// What an energy is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnergySource {
    /// The device's energy counter.
    Counter,
    /// Readings of the power, integrated.
    Power,
    /// A sum of both kinds.
    Both,
}

impl EnergySource {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Power => "power",
            Self::Both => "both",
        }
    }

    /// Of a sum of two energies.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

/// Energy over a window by the counter, else by power. Where neither has it, the counter's reason counts, unless the
/// device has no counter.
///
/// # Errors
/// Why it is missing.
pub fn over(counter: &Counter, power: &Power, span: Span) -> Value<Energy> {
    let counted = counter.over(span).map(|joules| Energy { joules, by: EnergySource::Counter });
    counted.or_else(|why| {
        let integrated = power.over(span).map(|joules| Energy { joules, by: EnergySource::Power });
        let no_counter =
            matches!(&why, Missing::NotRead(absence) if absence.reason == AbsenceReason::Unsupported);
        integrated.map_err(|other| if no_counter { other } else { why })
    })
}

/// The readings that are there, by time, and beside them the absences.
fn sorted(readings: &[Taken<Reading>]) -> (Vec<Taken>, Vec<Taken<Missing>>) {
    let mut there = Vec::new();
    let mut absent = Vec::new();
    for taken in readings {
        match &taken.value {
            Ok(value) => there.push(taken.with(*value)),
            Err(absence) => absent.push(taken.with(Missing::NotRead(absence.clone()))),
        }
    }
    there.sort_by_key(Taken::middle);
    (there, absent)
}

/// Why readings do not enclose a window: what the absent one nearest to it says, else that there is none.
fn not_enclosed(there: &[Taken], absent: &[Taken<Missing>], span: Span) -> Missing {
    let starts = there.first().is_some_and(|first| first.middle() <= span.from);
    let missing_edge = if starts { span.to } else { span.from };
    let distance = |taken: &&Taken<Missing>| {
        let s = seconds_between(missing_edge, taken.middle());
        Duration::from_secs_f64(s.abs())
    };
    let nearest = absent.iter().min_by_key(distance);
    nearest.map_or(Missing::NotEnclosed, |taken| taken.value.clone())
}
