//! Energy by the device's counter.
//!
//! The counter only rises, so at an edge it stood between the last reading that was surely taken before and the first
//! that was surely taken after; where the power limit is known, it cannot have been farther from a reading than the
//! greatest power times the time between. The estimate is interpolated linearly between the two readings that enclose
//! the edge. At worst it is wrong by the sum of
//!
//! - the resolution: the smallest step seen between two readings that follow each other, which no quantum exceeds;
//! - for each edge, the distance from the estimate to the farther of those bounds, which contains the clocks' error
//!   and what was interpolated;
//! - for each edge, the power times the longest that the counter was seen to stand still where a quantum cannot be the
//!   cause: it is renewed at intervals and then tells an earlier moment.

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::Reading;

use super::super::span::{Measure, Span, Taken, between, enclosing, seconds_between};
use super::{not_enclosed, sorted};
use crate::analysis::report::{Missing, Value};

/// A counter that stands still for longer, in seconds, does so for another reason than being renewed at intervals.
const LONGEST_RENEWAL_S: f64 = 1.0;

/// A GPU's energy counter over a run.
#[derive(Clone, Debug)]
pub struct Counter {
    /// By time.
    readings: Vec<Taken>,
    /// Of each reading, whether the counter began anew before it.
    anew: Vec<bool>,
    absent: Vec<Taken<Missing>>,
    /// Smallest step between readings that follow each other, J. `None`: it never moved.
    resolution_j: Option<f64>,
    /// How long ago the moment may be that the counter tells, in seconds.
    renewal_s: f64,
    /// The greatest power that was seen, W.
    seen_w: f64,
    /// The greatest power there can be, W, where the limit is known.
    ceiling_w: Option<f64>,
}

impl Counter {
    /// Of all its readings. `seen_w` is the greatest power that was read, `limit_w` the greatest limit.
    pub fn new(readings: &[Taken<Reading>], seen_w: Option<f64>, limit_w: Option<f64>) -> Self {
        let (readings, absent) = sorted(readings);
        let steps = readings.windows(2).map(|pair| pair[1].value - pair[0].value);
        let resolution_j = steps.filter(|step| *step > 0.0).min_by(f64::total_cmp);
        let resolution = resolution_j.unwrap_or_default();
        let seen_w = readings
            .windows(2)
            .filter_map(|pair| {
                let longest = seconds_between(pair[0].earliest, pair[1].latest);
                // Surely as much; a fall has none.
                (longest > 0.0).then(|| (pair[1].value - pair[0].value - resolution) / longest)
            })
            .chain(seen_w)
            .fold(0.0, f64::max);
        let renewal_s = renewal(&readings, resolution);
        let ceiling_w = limit_w.map(|limit| limit.max(seen_w));
        let anew = (0..readings.len()).map(|at| falls(&readings[..=at])).collect();
        Self { readings, anew, absent, resolution_j, renewal_s, seen_w, ceiling_w }
    }

    /// Energy over a window, J.
    ///
    /// # Errors
    /// Why it is missing.
    pub fn over(&self, span: Span) -> Value<Measure> {
        let Some((first, last)) = enclosing(&self.readings, span) else {
            return Err(not_enclosed(&self.readings, &self.absent, span));
        };
        if self.anew[first + 1..=last].contains(&true) {
            return Err(Missing::CounterReset);
        }
        let Some(resolution_j) = self.resolution_j else { return Err(Missing::CounterStill) };
        // Readings of one life of the counter.
        let begin = self.anew[..=first].iter().rposition(|anew| *anew).unwrap_or(0);
        let end = self.anew[last + 1..].iter().position(|anew| *anew);
        let life = &self.readings[begin..end.map_or(self.readings.len(), |at| last + 1 + at)];
        let edge = |at| {
            let (before, after) = enclosing(life, Span { from: at, to: at, error_ns: 0 })?;
            let estimate = between(&life[before], &life[after], at);
            Some((estimate, self.error(life, at, estimate, span.error_ns)?))
        };
        match (edge(span.from), edge(span.to)) {
            (Some((from, from_error)), Some((to, to_error))) => {
                let lag = 2.0 * self.renewal_s * self.seen_w;
                Ok(Measure { value: to - from, uncertainty: resolution_j + from_error + to_error + lag })
            }
            _ => Err(Missing::NotEnclosed),
        }
    }

    /// How far from the estimate the counter can have stood. `None` when no reading bounds it.
    fn error(&self, life: &[Taken], at: Mono, estimate: f64, edge_error_ns: i64) -> Option<f64> {
        let edge_s = edge_error_ns as f64 / 1e9;
        let (mut least, mut most) = (None, None);
        for reading in life {
            // At most so long after the edge, and at most so long before it.
            let after_s = seconds_between(at, reading.latest) + edge_s;
            let before_s = seconds_between(reading.earliest, at) + edge_s;
            let floor = if after_s <= 0.0 { Some(0.0) } else { self.ceiling_w.map(|w| w * after_s) };
            let roof = if before_s <= 0.0 { Some(0.0) } else { self.ceiling_w.map(|w| w * before_s) };
            least = tighter(least, floor.map(|rise| reading.value - rise), f64::max);
            most = tighter(most, roof.map(|rise| reading.value + rise), f64::min);
        }
        Some((estimate - least?).max(most? - estimate).max(0.0))
    }
}

/// Whether the last of these readings tells less than one that was surely taken before it.
fn falls(readings: &[Taken]) -> bool {
    let Some((last, before)) = readings.split_last() else { return false };
    let surely_before = before.iter().rfind(|reading| reading.latest < last.earliest);
    surely_before.is_some_and(|reading| last.value < reading.value)
}

/// The tighter of two bounds of which either may be unknown.
fn tighter(a: Option<f64>, b: Option<f64>, of: fn(f64, f64) -> f64) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(of(a, b)),
        (a, b) => a.or(b),
    }
}

/// The longest for which readings told the same although, by the readings around them, more than a quantum should
/// have been counted meanwhile, in seconds.
fn renewal(readings: &[Taken], resolution: f64) -> f64 {
    let mut longest = 0.0_f64;
    for same in readings.chunk_by(|a, b| a.value.total_cmp(&b.value).is_eq()) {
        let stood = seconds_between(same[0].middle(), same[same.len() - 1].middle());
        if same.len() < 2 || stood > LONGEST_RENEWAL_S {
            continue;
        }
        // A step of the counter at each end is needed to tell its pace.
        let first = readings.partition_point(|r| r.middle() < same[0].middle());
        let (Some(before), Some(after)) =
            (first.checked_sub(1).map(|at| &readings[at]), readings.get(first + same.len()))
        else {
            continue;
        };
        let pace = (after.value - before.value) / seconds_between(before.middle(), after.middle());
        if pace * stood > resolution {
            longest = longest.max(stood);
        }
    }
    longest
}
