//! Whether the load that was sent is the one that was asked for.

use fluxfleet_proto::failure::NotSentReason;

use crate::analysis::load::{ClosedReport, LoadReport, OpenReport};
use crate::analysis::report::{Measured, Missing, StrategyReport};
use crate::analysis::steady::Steady;

use super::{Reason, State};

/// An open load that reaches less than this of its rate, in percent, makes the run degraded: a response time is
/// then that of a lower load, and near a service's capacity one percent of load is several of response time.
pub const RATE_DEGRADED: f64 = 99.0;

/// One that reaches less than this, in percent, makes it invalid: the question was another one.
pub const RATE_INVALID: f64 = 95.0;

/// Share of an open load's items that, given up, makes the run invalid, as with the rate.
pub const NOT_SENT_INVALID: f64 = 0.05;

/// Share of requests that, having waited for a place in flight, makes the run degraded: fewer cannot move the
/// 99th percentile.
pub const WAITED_DEGRADED: f64 = 0.01;

/// How late the generator may take up arrivals (or send them, where nothing waits for a place), 99th percentile: at least so many microseconds (a tick of the
/// usual timers), or this share of the median response time, which lateness is part of. More degrades.
pub const LATENESS_DEGRADED: (f64, f64) = (1_000.0, 0.05);

/// Beyond this, in the same terms, the response times are as much the generator's as the service's: invalid.
pub const LATENESS_INVALID: (f64, f64) = (10_000.0, 0.2);

/// Part of the time, in percent, that a closed load's places must be in use while the load is full.
pub const IN_FLIGHT_USED: f64 = 90.0;

/// A place that stands empty for less than this between two requests, in microseconds, is not held against the
/// load: with answers that fast, taking one and sending the next is a good part of the time, and the ceiling of
/// the generator is the figure that says so.
pub const IN_FLIGHT_EMPTY_FLOOR_US: f64 = 1_000.0;

/// Everything that is against the load of a strategy.
pub(super) fn judge(row: &StrategyReport) -> Vec<(State, Reason)> {
    let Ok(measured) = &row.measured else { return Vec::new() };
    // Nothing is shown of a strategy without an endpoint.
    if measured.throughput_items_per_s == Err(Missing::NoEndpoint) {
        return Vec::new();
    }
    let mut found = match &measured.load {
        LoadReport::Open(open) => judge_open(row, measured, open),
        LoadReport::Closed(closed) => in_flight(row, closed).into_iter().collect(),
    };
    if let Steady::Never(drift) = measured.steady {
        found.push((State::Degraded, Reason::NeverSettled { strategy: row.name.clone(), drift }));
    }
    found
}

fn judge_open(row: &StrategyReport, measured: &Measured, open: &OpenReport) -> Vec<(State, Reason)> {
    let found = [
        rate(row, open),
        not_sent(row, measured),
        lateness(row, measured),
        waited(row, measured, open),
        arrivals(row, open),
    ];
    found.into_iter().flatten().collect()
}

fn rate(row: &StrategyReport, open: &OpenReport) -> Option<(State, Reason)> {
    let percent = *open.achieved_percent.as_ref().ok()?;
    let state = match percent {
        p if p < RATE_INVALID => State::Invalid,
        p if p < RATE_DEGRADED => State::Degraded,
        _ => return None,
    };
    let (intended, achieved) =
        (*open.intended_items_per_s.as_ref().ok()?, *open.achieved_items_per_s.as_ref().ok()?);
    Some((state, Reason::RateMissed { strategy: row.name.clone(), intended, achieved, percent }))
}

/// What was given up at all is a reason already; see [`Reason::NotSent`].
fn not_sent(row: &StrategyReport, measured: &Measured) -> Option<(State, Reason)> {
    let given_up = |reason| matches!(reason, NotSentReason::NoPlace | NotSentReason::TimeUp);
    let items = measured.not_sent.iter().filter(|&&(reason, _)| given_up(reason)).map(|&(_, n)| n).sum();
    let planned = row.items.planned;
    (items as f64 > NOT_SENT_INVALID * planned as f64)
        .then(|| (State::Invalid, Reason::LoadNotSent { strategy: row.name.clone(), items, planned }))
}

/// A share of the median response time, but no less than the floor, in microseconds.
pub(super) fn budget_us(measured: &Measured, (floor_us, share): (f64, f64)) -> f64 {
    let median_us = measured.response.p50.seconds.as_ref().map_or(0.0, |s| s * 1e6);
    floor_us.max(share * median_us)
}

fn lateness(row: &StrategyReport, measured: &Measured) -> Option<(State, Reason)> {
    // Where any number may be in flight nothing waits for a place: all of a send's lateness is the generator's.
    let late = if row.in_flight.is_none() { &measured.send_lateness } else { &measured.pacer_lateness };
    let p99_us = late.p99.seconds.as_ref().ok()? * 1e6;
    let (degraded, invalid) = (budget_us(measured, LATENESS_DEGRADED), budget_us(measured, LATENESS_INVALID));
    let (state, budget_us) = match p99_us {
        p if p > invalid => (State::Invalid, invalid),
        p if p > degraded => (State::Degraded, degraded),
        _ => return None,
    };
    Some((state, Reason::PacerLate { strategy: row.name.clone(), p99_us, budget_us }))
}

fn waited(row: &StrategyReport, measured: &Measured, open: &OpenReport) -> Option<(State, Reason)> {
    let (requests, sent) = (open.waited_requests, measured.requests.sent);
    let longest_s = *open.longest_lateness_s.as_ref().ok()?;
    (requests as f64 > WAITED_DEGRADED * sent as f64)
        .then(|| (State::Degraded, Reason::Waited { strategy: row.name.clone(), requests, sent, longest_s }))
}

fn arrivals(row: &StrategyReport, open: &OpenReport) -> Option<(State, Reason)> {
    let test = *open.gaps.as_ref().ok()?;
    (test.distance > test.limit)
        .then(|| (State::Degraded, Reason::ArrivalsOff { strategy: row.name.clone(), test }))
}

fn in_flight(row: &StrategyReport, closed: &ClosedReport) -> Option<(State, Reason)> {
    // Of a strategy whose requests all fail no response time is shown that this could touch.
    if row.items.ok == 0 {
        return None;
    }
    let (used, empty_us) = (*closed.used_percent.as_ref().ok()?, *closed.empty_us.as_ref().ok()?);
    (used < IN_FLIGHT_USED && empty_us > IN_FLIGHT_EMPTY_FLOOR_US).then(|| {
        let reason = Reason::InFlightMissed {
            strategy: row.name.clone(),
            planned: closed.planned,
            used_percent: used,
            empty_us,
        };
        (State::Degraded, reason)
    })
}

#[cfg(test)]
mod tests;
