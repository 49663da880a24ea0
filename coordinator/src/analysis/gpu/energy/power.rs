//! Energy by integrating readings of the power, where the device has no energy counter.
//!
//! Trapezoids between readings. Between two readings the power is taken to lie between their values, so each piece is
//! wrong at worst by what the whole piece at either value would differ; a peak between two readings is not seen. At each
//! edge, the clocks' error and the time that the reading took count with the power there. Where the device does not tell
//! the power of the instant, its power may be the mean of the past second, and half a second of the power's spread is
//! added.

use std::time::Duration;

use fluxfleet_proto::reading::Reading;

use super::super::span::{Measure, Span, Taken, between, enclosing, seconds_between};
use super::{not_enclosed, sorted};
use crate::analysis::report::{Missing, Value};

/// Readings farther apart than this many periods leave a gap about which nothing is known.
pub const GAP_PERIODS: u32 = 3;

/// What a mean over the past second is late by, in seconds.
const MEAN_LATE_S: f64 = 0.5;

/// A GPU's power over a run.
#[derive(Clone, Debug)]
pub struct Power {
    instant: Lane,
    offered: Lane,
    period: Duration,
}

/// Readings of one metric.
#[derive(Clone, Debug)]
struct Lane {
    readings: Vec<Taken>,
    absent: Vec<Taken<Missing>>,
}

impl Power {
    /// Of all its readings: of the instant, and what the device offers by default. `period` is the time between two.
    pub fn new(instant: &[Taken<Reading>], offered: &[Taken<Reading>], period: Duration) -> Self {
        let lane = |readings| {
            let (readings, absent) = sorted(readings);
            Lane { readings, absent }
        };
        Self { instant: lane(instant), offered: lane(offered), period }
    }

    /// Energy over a window, J.
    ///
    /// # Errors
    /// Why it is missing.
    pub fn over(&self, span: Span) -> Value<Measure> {
        let longest_gap = self.period * GAP_PERIODS;
        self.instant.over(span, longest_gap, false).or_else(|why| {
            let offered = self.offered.over(span, longest_gap, true);
            offered.map_err(|other| if self.instant.readings.is_empty() { other } else { why })
        })
    }

    /// The readings to go by: those of the instant where there are any.
    pub fn readings(&self) -> &[Taken] {
        if self.instant.readings.is_empty() { &self.offered.readings } else { &self.instant.readings }
    }

    /// Time between two readings.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Why there is no reading.
    pub fn absent(&self) -> Option<&Missing> {
        let lanes = [&self.offered, &self.instant];
        lanes.into_iter().find_map(|lane| lane.absent.first().map(|taken| &taken.value))
    }
}

impl Lane {
    fn over(&self, span: Span, longest_gap: Duration, may_be_mean: bool) -> Value<Measure> {
        let Some((first, last)) = enclosing(&self.readings, span) else {
            return Err(not_enclosed(&self.readings, &self.absent, span));
        };
        let within = &self.readings[first..=last];
        let mut energy = Measure { value: 0.0, uncertainty: 0.0 };
        for pair in within.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let gap = after.middle().since(before.middle());
            if gap > longest_gap {
                return Err(Missing::ReadingGap {
                    gap_ms: u64::try_from(gap.as_millis()).unwrap_or(u64::MAX),
                    longest_ms: u64::try_from(longest_gap.as_millis()).unwrap_or(u64::MAX),
                });
            }
            let (from, to) = (before.middle().max(span.from), after.middle().min(span.to));
            let seconds = seconds_between(from, to).max(0.0);
            let mean = f64::midpoint(between(before, after, from), between(before, after, to));
            let farthest = (before.value - mean).abs().max((after.value - mean).abs());
            energy = energy.plus(Measure { value: mean * seconds, uncertainty: farthest * seconds });
        }
        let edge_s = span.error_ns as f64 / 1e9;
        let edges = [&within[..within.len().min(2)], &within[within.len().saturating_sub(2)..]];
        for edge in edges {
            let power = edge.iter().map(|r| r.value).fold(0.0, f64::max);
            let error_s = edge.iter().map(Taken::error_s).fold(0.0, f64::max) + edge_s;
            energy.uncertainty += power * error_s;
        }
        if may_be_mean {
            let values = || within.iter().map(|r| r.value);
            let spread = values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min);
            energy.uncertainty += MEAN_LATE_S * spread;
        }
        Ok(energy)
    }
}
