//! Since when a trial was steady: when measuring could begin, and whether it could at all.
//!
//! ```text
//!   points (about a second each) -> windows (at most 20) -> the first from which on it is steady
//! ```
//!
//! Steady from a window on means, of throughput and of mean response time alike:
//!
//! 1. The first [`RULE_WINDOWS`] windows agree with all that follow: within [`TOLERANCE`], as the rule of
//!    `perf_analyzer` has it, or within what the windows differ by chance. Asked for everywhere, its 10 % alone would
//!    never hold where a window has a handful of requests.
//! 2. There is no trend in them: the Mann-Kendall test finds none at the 1 % level, or what it finds amounts to
//!    less than [`TOLERANCE`] between the first and the last third.
//!
//! At least half of the trial, or its whole measured phase, must be steady. A trial that goes up and down around one
//! level is.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::tally::Phase;

use crate::aggregate::Point;

/// Windows that must agree with what follows: those of `perf_analyzer`'s rule.
pub const RULE_WINDOWS: usize = 3;

/// Relative difference up to which two levels count as the same: that of `perf_analyzer`'s rule.
pub const TOLERANCE: f64 = 0.1;

/// Mann-Kendall's Z beyond which there is a trend: the two-sided 1 % level of the normal distribution.
pub const TREND_Z: f64 = 2.58;

/// Points in which something ended that a judgement needs: from ten on, the distribution of Mann-Kendall's
/// statistic is near enough to a normal one (Gilbert, Statistical Methods for Environmental Pollution Monitoring,
/// 1987, section 16.4).
pub const LEAST_POINTS: usize = 10;

/// Requests that a judgement needs: with fewer the means of the thirds are themselves a matter of chance.
pub const LEAST_RESPONSES: u64 = 30;

/// Most windows that points are put together to: enough for a trend, few enough to say when it began.
const MOST_WINDOWS: usize = 20;

/// Chance differences allowed for, in standard errors.
const CHANCE: f64 = 3.0;

/// Since when a trial was steady.
#[derive(Clone, Debug, PartialEq)]
pub enum Steady {
    /// From so long after its start to its end.
    From(Duration),
    /// Not over the second half of the trial.
    Never(Drift),
    /// It has too little to tell.
    TooShort {
        /// Points in which something ended.
        points: usize,
        /// Requests.
        responses: u64,
    },
    /// The load was not the same throughout, so nothing could settle.
    LoadChanges,
}

/// What still moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// What.
    pub what: Moving,
    /// From the mean of the first third to that of the last, as a share of the first: 0.4 is 40 % more.
    pub change: f64,
}

/// What can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// Requests that ended per second.
    Throughput,
    /// The mean response time.
    ResponseTime,
}

/// Since when a trial that began at `start` was steady, warm-up included.
pub(super) fn judge(start: Mono, series: &[Point]) -> Steady {
    let points = slots(series);
    let ended = points.iter().filter(|p| p.responses > 0).count();
    let responses = points.iter().map(|p| p.responses).sum();
    if ended < LEAST_POINTS || responses < LEAST_RESPONSES {
        return Steady::TooShort { points: ended, responses };
    }
    let per_window = points.len().div_ceil(MOST_WINDOWS);
    let windows: Vec<_> = points.chunks(per_window).map(Window::of).collect();
    // The last may be short; a window of less than half the others' length says little.
    let windows = match windows.split_last() {
        Some((last, rest)) if rest.first().is_some_and(|first| last.seconds < first.seconds / 2.0) => rest,
        _ => &windows,
    };
    let mut drift = None;
    for at in 0..=windows.len() / 2 {
        match moving(&windows[at..]) {
            None => {
                return Steady::From(if at == 0 { Duration::ZERO } else { windows[at].from.since(start) });
            }
            found => drift = drift.or(found),
        }
    }
    // The drift over the measured phase is what its reader sees in the results.
    let measured = points.iter().position(|p| p.phase == Phase::Measure).unwrap_or(0) / per_window;
    let measured = windows.get(measured..).filter(|rest| rest.len() >= LEAST_POINTS);
    match measured.map(moving) {
        Some(Some(found)) => Steady::Never(found),
        // What moved, moved before: the measured phase by itself is steady.
        Some(None) => Steady::From(windows[windows.len() - measured.map_or(0, <[_]>::len)].from.since(start)),
        None => drift.map_or(Steady::TooShort { points: ended, responses }, Steady::Never),
    }
}

/// One point per stretch of time: those of two phases in one second become one, and what comes after the last
/// send, when load runs out, is left out.
fn slots(series: &[Point]) -> Vec<Point> {
    let last = series.iter().rposition(|p| p.requests_sent > 0).map_or(0, |last| last + 1);
    let mut slots: Vec<Point> = Vec::with_capacity(last);
    for point in &series[..last] {
        match slots.last_mut() {
            Some(slot) if is_same_stretch(slot, point) => {
                slot.span = slot.span.hull(point.span);
                slot.phase = slot.phase.max(point.phase);
                slot.requests_sent += point.requests_sent;
                slot.responses += point.responses;
                slot.response_sum_us += point.response_sum_us;
            }
            _ => slots.push(*point),
        }
    }
    slots
}

/// Whether two points cover each other for the most part; those of clocks that differ a little merely touch.
fn is_same_stretch(one: &Point, other: &Point) -> bool {
    let shared = one.span.to.min(other.span.to).since(one.span.from.max(other.span.from));
    2 * shared > one.span.length().min(other.span.length())
}

/// Some points together.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Mono,
    seconds: f64,
    per_s: f64,
    /// `None` when nothing ended.
    response_us: Option<f64>,
}

impl Window {
    fn of(points: &[Point]) -> Self {
        let seconds = points.iter().map(|p| p.span.length().as_secs_f64()).sum::<f64>().max(1e-9);
        let responses: u64 = points.iter().map(|p| p.responses).sum();
        let sum_us: u128 = points.iter().map(|p| p.response_sum_us).sum();
        Self {
            from: points.first().map_or(Mono::from_nanos(0), |p| p.span.from),
            seconds,
            per_s: responses as f64 / seconds,
            response_us: (responses > 0).then(|| sum_us as f64 / responses as f64),
        }
    }
}

/// What moves in these windows; the response time first, since it is what overload shows in.
fn moving(windows: &[Window]) -> Option<Drift> {
    let response: Vec<f64> = windows.iter().filter_map(|w| w.response_us).collect();
    let throughput: Vec<f64> = windows.iter().map(|w| w.per_s).collect();
    [(Moving::ResponseTime, response), (Moving::Throughput, throughput)].into_iter().find_map(
        |(what, values)| {
            let drifts = begins_elsewhere(&values) || has_trend(&values);
            drifts.then(|| Drift { what, change: change(&values) })
        },
    )
}

/// Whether the first windows are off the level of the others.
fn begins_elsewhere(values: &[f64]) -> bool {
    if values.len() < 2 * RULE_WINDOWS {
        return false;
    }
    let (first, rest) = values.split_at(RULE_WINDOWS);
    let off = (mean(first) - mean(rest)).abs();
    // Taken from the others alone: a step among the first would hide itself.
    let error = chance(rest) * (1.0 / first.len() as f64 + 1.0 / rest.len() as f64).sqrt();
    off > (TOLERANCE * mean(rest)).max(CHANCE * error)
}

fn has_trend(values: &[f64]) -> bool {
    mann_kendall(values).abs() > TREND_Z && change(values).abs() > TOLERANCE
}

/// What neighbours differ by, as a standard deviation (von Neumann's mean square successive difference): a trend
/// hardly enters it.
fn chance(values: &[f64]) -> f64 {
    let squares: f64 = values.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum();
    (squares / (2.0 * (values.len().max(2) - 1) as f64)).sqrt()
}

/// From the first third to the last, as a share of the first.
fn change(values: &[f64]) -> f64 {
    let third = (values.len() / 3).max(1).min(values.len());
    let (first, last) = (mean(&values[..third]), mean(&values[values.len() - third..]));
    if first > 0.0 {
        last / first - 1.0
    } else if last > 0.0 {
        f64::INFINITY
    } else {
        0.0
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Mann-Kendall's Z: how far the number of rising pairs exceeds that of falling ones, in standard deviations,
/// corrected for ties and continuity (Gilbert 1987, section 16.4.2).
fn mann_kendall(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mut s = 0i64;
    for (i, a) in values.iter().enumerate() {
        for b in &values[i + 1..] {
            s += b.total_cmp(a) as i64;
        }
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties: f64 = sorted
        .chunk_by(|a, b| a.total_cmp(b).is_eq())
        .map(|equal| equal.len() as f64)
        .map(|t| t * (t - 1.0) * (2.0 * t + 5.0))
        .sum();
    let variance = (n * (n - 1.0) * (2.0 * n + 5.0) - ties) / 18.0;
    if s == 0 || variance <= 0.0 {
        return 0.0;
    }
    (s - s.signum()) as f64 / variance.sqrt()
}

#[cfg(test)]
mod tests;
