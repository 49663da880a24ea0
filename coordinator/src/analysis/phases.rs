//! What came before measuring, and the trial second by second.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::load::{Limits, Warmup};
use fluxfleet_proto::tally::Phase;

use crate::aggregate::{Point, TrialOutcome};

/// What was sent before measuring began. It is part of no other figure.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmupReport {
    /// From the start of the trial to that of the measured phase, in seconds. `None` when that was not reached.
    pub seconds: Option<f64>,
    /// Requests sent.
    pub requests_sent: u64,
    /// Items that ended well.
    pub items_ok: u64,
    /// Items that failed.
    pub items_failed: u64,
    /// Items of arrivals that were given up.
    pub items_not_sent: u64,
    /// Mean response time of the requests with at least one item ok, in seconds. `None` when there was none.
    pub mean_response_s: Option<f64>,
}

impl WarmupReport {
    /// Items that reached an end.
    pub fn items_ended(&self) -> u64 {
        self.items_ok + self.items_failed
    }
}

/// What the fleet did in about a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesPoint {
    /// Its beginning since the start of the trial, in seconds; below zero for a worker that began early.
    pub from_s: f64,
    /// Its length, in seconds.
    pub seconds: f64,
    /// Mean response time of the requests that ended in it with at least one item ok, in seconds.
    pub mean_response_s: Option<f64>,
    /// The longest of these, in seconds.
    pub max_response_s: Option<f64>,
    /// The counts.
    pub point: Point,
}

/// When the trial began: the barrier, or the first thing known of it.
pub(super) fn start(trial: &TrialOutcome) -> Option<Mono> {
    trial
        .planned_start
        .or_else(|| trial.series.first().map(|p| p.span.from))
        .or_else(|| trial.window.map(|w| w.from))
}

/// What was sent before measuring. `None` when no warm-up was asked for.
pub(super) fn warmup(trial: &TrialOutcome, limits: Limits) -> Option<WarmupReport> {
    let measured_from = || {
        let first = trial.series.iter().find(|p| p.phase == Phase::Measure).map(|p| p.span.from);
        Some(trial.window.map(|w| w.from).or(first)?.since(start(trial)?))
    };
    let length = match limits.warmup {
        Warmup::None => return None,
        Warmup::Time(time) => measured_from().map(|_| time),
        Warmup::Items(_) => measured_from(),
    };
    let tally = &trial.warmup;
    Some(WarmupReport {
        seconds: length.map(|length: Duration| length.as_secs_f64()),
        requests_sent: tally.requests_sent,
        items_ok: tally.items_ok,
        items_failed: tally.items_failed,
        items_not_sent: tally.not_sent.total(),
        mean_response_s: tally.response_time.mean_us().map(|us| us / 1e6),
    })
}

/// The trial second by second.
pub(super) fn series(trial: &TrialOutcome) -> Vec<SeriesPoint> {
    let Some(start) = start(trial) else { return Vec::new() };
    trial
        .series
        .iter()
        .map(|&point| SeriesPoint {
            from_s: point.span.from.signed_nanos_since(start) as f64 / 1e9,
            seconds: point.span.length().as_secs_f64(),
            mean_response_s: (point.responses > 0)
                .then(|| point.response_sum_us as f64 / point.responses as f64 / 1e6),
            max_response_s: point.response_max_us.map(|us| us as f64 / 1e6),
            point,
        })
        .collect()
}
