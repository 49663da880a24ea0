//! The load that was asked for against the load that was sent.
//!
//! In an open load the plan says exactly which arrivals belong to the measured phase, so what was sent is held
//! against those and not against what the rate lets expect: 20 Poisson arrivals at one a second may well take 25 s.

use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, GapLaw};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::load::{Limits, NO_LIMIT, WhenFull};
use fluxfleet_proto::tally::{Phase, Tally};
use fluxfleet_proto::units::Micros;

use crate::aggregate::{RunOutcome, StrategyOutcome, TrialOutcome};
use crate::plan::PlannedLoad;

use super::report::{Missing, Value};

/// Requests per place in flight that a closed load needs before the places' use is judged: with fewer, filling and
/// emptying them is most of the run.
pub const REQUESTS_PER_PLACE: u64 = 3;

/// Gaps that the test of their distribution needs: below, its critical distance is above a quarter.
pub const LEAST_GAPS: u64 = 50;

/// Distance from the law that is let pass however many gaps there are: a histogram is coarse by a thousandth and the
/// machine away for a moment, which in a million gaps is significant and does not matter.
pub const GAP_DISTANCE: f64 = 0.05;

/// What a gap may be off since sends are late, in microseconds, without being held against the law: that a generator is
/// late is judged by itself. It is the punctuality that workers are built for (docs/benchmarks.md). Bursts have gaps
/// shorter than the time that one send takes; where the mean gap is no longer than this there is nothing to test.
pub const GAP_LATE_US: u64 = 100;

/// Kolmogorov's critical value at the 1 % level: divided by the root of the number of gaps, the distance that
/// gaps drawn from the law itself exceed once in a hundred tests.
pub const GAP_CRITICAL: f64 = 1.63;

/// A send later than its arrival was taken up by less than this has not waited for a place in flight, in
/// microseconds: a loaded machine makes any task wait so long.
pub const WAIT_FLOOR_US: u64 = 1_000;

/// Arrivals that are counted one by one. Above, their number is taken from the rate: it is then exact to a
/// hundredth of a percent.
const MOST_WALKED: usize = 20_000_000;

/// The load that was asked for, and the one that was sent.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadReport {
    /// A number in flight.
    Closed(ClosedReport),
    /// Arrivals.
    Open(Box<OpenReport>),
}

impl LoadReport {
    /// The open load, where it is one.
    pub fn open(&self) -> Option<&OpenReport> {
        match self {
            Self::Open(open) => Some(open),
            Self::Closed(_) => None,
        }
    }
}

/// A closed load.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedReport {
    /// Requests that were to be in flight.
    pub planned: u32,
    /// Requests in flight on the average of the window, from their actual sends (Little's law: time of all
    /// requests over the time of the window). Filling and emptying the places is part of it.
    pub mean_in_flight: Value,
    /// Share of the places' time in which they were used while the load was full, in percent.
    pub used_percent: Value,
    /// Mean time that a place stood empty between two requests, in microseconds, while the load was full.
    pub empty_us: Value,
}

/// An open load.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenReport {
    /// What happens to an arrival that finds no place in flight.
    pub when_full: WhenFull,
    /// Arrivals of the measured phase.
    pub intended_requests: u64,
    /// Those that were given up.
    pub not_sent_requests: u64,
    /// Items a second that were to be asked for in the measured phase.
    pub intended_items_per_s: Value,
    /// Items a second that were asked for. Sending that took longer than planned counts with the time it took.
    pub achieved_items_per_s: Value,
    /// The one over the other, in percent.
    pub achieved_percent: Value,
    /// Requests that waited for a place in flight. Zero where none has to.
    pub waited_requests: u64,
    /// The longest time from an intended start to its send, in seconds.
    pub longest_lateness_s: Value,
    /// How far the gaps between sends are from those asked for.
    pub gaps: Value<GapTest>,
    /// Mean number of requests in flight over the window.
    pub mean_in_flight: Value,
}

/// How far the gaps between a lane's sends are from their law (Kolmogorov and Smirnov).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GapTest {
    /// The law.
    pub law: GapLaw,
    /// Gaps.
    pub gaps: u64,
    /// Largest difference between the shares of gaps below any length, 0 to 1.
    pub distance: f64,
    /// The distance up to which the gaps count as those asked for.
    pub limit: f64,
}

/// What was asked for and what was sent.
pub(super) fn report(outcome: &StrategyOutcome, trial: &TrialOutcome, run: &RunOutcome) -> LoadReport {
    match &run.plan.load {
        PlannedLoad::Closed => LoadReport::Closed(closed(outcome.planned.in_flight.get(), trial)),
        PlannedLoad::Open { arrivals, when_full } => {
            LoadReport::Open(Box::new(open(arrivals, *when_full, outcome, trial, run)))
        }
    }
}

/// Whether the load is the same from its start to its end.
pub(super) fn is_even(load: &PlannedLoad) -> bool {
    match load {
        PlannedLoad::Closed => true,
        PlannedLoad::Open { arrivals: Arrivals::Replay(_), .. } => false,
        PlannedLoad::Open { arrivals: Arrivals::Drawn { profile, .. }, .. } => {
            let rates = || profile.stages().iter().flat_map(|s| [s.from, s.to]);
            rates().all(|rate| Some(rate) == rates().next())
        }
    }
}

/// Whether something other than the load itself cut the trial short.
pub(super) fn was_stopped(trial: &TrialOutcome) -> bool {
    trial.not_sent.iter().any(|(reason, &items)| {
        let stops = match reason {
            NotSentReason::NoPlace | NotSentReason::TimeUp | NotSentReason::WorkerLost => false,
            NotSentReason::Interrupted
            | NotSentReason::WorkerFault
            | NotSentReason::NotStarted
            | NotSentReason::NoEndpoint
            | NotSentReason::ErrorLimit => true,
        };
        stops && items > 0
    })
}

fn closed(planned: u32, trial: &TrialOutcome) -> ClosedReport {
    let full = full_load(planned, trial);
    ClosedReport {
        planned,
        mean_in_flight: mean_in_flight(trial),
        used_percent: full.clone().map(|(used, whole)| 100.0 * (used / whole).min(1.0)),
        empty_us: full
            .map(|(used, whole)| 1e6 * (whole - used).max(0.0) / trial.tally.requests_sent.max(1) as f64),
    }
}

/// Time of all requests, and time of all places while they were to be in use, in seconds. How long filling and
/// emptying took is not known; the longest request is, and neither can have taken longer.
fn full_load(planned: u32, trial: &TrialOutcome) -> Value<(f64, f64)> {
    let tally = &trial.tally;
    let window = trial.window.ok_or(Missing::NothingSent)?.length().as_secs_f64();
    if was_stopped(trial) || trial.not_sent.contains_key(&NotSentReason::WorkerLost) {
        return Err(Missing::Stopped);
    }
    let least = REQUESTS_PER_PLACE * u64::from(planned);
    if tally.requests_sent < least {
        return Err(Missing::TooFew { count: tally.requests_sent, least });
    }
    let longest = |tally: &Tally| {
        let longest = tally.response_time.max().max(tally.failed_response_time.max());
        longest.map_or(0.0, Micros::as_secs_f64)
    };
    // After a warm-up its requests hold their places until they end.
    let filling = if trial.warmup.is_empty() { 0.0 } else { longest(&trial.warmup) };
    let full = window - longest(tally) - filling;
    if full <= 0.0 {
        return Err(Missing::TooFew { count: tally.requests_sent, least });
    }
    Ok((busy_s(trial), full * f64::from(planned)))
}

fn mean_in_flight(trial: &TrialOutcome) -> Value {
    let window = trial.window.ok_or(Missing::NothingSent)?.length().as_secs_f64();
    if window > 0.0 { Ok(busy_s(trial) / window) } else { Err(Missing::NoTime) }
}

/// Time of all requests together, in seconds. Those that failed as a whole have no service time of their own; what
/// is recorded of them runs from the intended start.
fn busy_s(trial: &TrialOutcome) -> f64 {
    let sum = |latency: &Latency| latency.mean_us().unwrap_or(0.0) * latency.count() as f64 / 1e6;
    sum(&trial.tally.service_time) + sum(&trial.tally.failed_response_time)
}

fn open(
    arrivals: &Arrivals,
    when_full: WhenFull,
    outcome: &StrategyOutcome,
    trial: &TrialOutcome,
    run: &RunOutcome,
) -> OpenReport {
    let tally = &trial.tally;
    // Where any number may be in flight, a send that comes late is the generator's own lateness.
    let may_wait = when_full == WhenFull::Wait && outcome.planned.in_flight.get() != NO_LIMIT;
    let size = outcome.planned.strategy.items_per_request();
    let arrivals = &arrivals.in_requests(size);
    let intended = Intended::of(arrivals, size, run.plan.limits, run.plan.items);
    let span = intended.span.as_secs_f64();
    let rate = |items: u64, seconds: f64| {
        if seconds > 0.0 { Ok(items as f64 / seconds) } else { Err(Missing::NoTime) }
    };
    let intended_items_per_s = rate(intended.items, span);
    let achieved_items_per_s = if was_stopped(trial) {
        Err(Missing::Stopped)
    } else {
        rate(tally.items_ended(), span + overrun(trial, &intended))
    };
    let achieved_percent = intended_items_per_s.clone().and_then(|intended| {
        let achieved = achieved_items_per_s.clone()?;
        if intended > 0.0 { Ok(100.0 * achieved / intended) } else { Err(Missing::NoTime) }
    });
    OpenReport {
        when_full,
        intended_requests: intended.requests,
        not_sent_requests: tally.not_sent_wait.count(),
        intended_items_per_s,
        achieved_items_per_s,
        achieved_percent,
        waited_requests: if may_wait { waited(trial) } else { 0 },
        longest_lateness_s: tally.send_lateness.max().map(Micros::as_secs_f64).ok_or(Missing::NothingSent),
        gaps: gaps(arrivals, &intended, trial),
        mean_in_flight: mean_in_flight(trial),
    }
}

/// By how much sending took longer than planned, in seconds: at most as long as the last second with a send ended
/// after the load was to end. A generator that falls behind is late by more and more, so that is also how late its
/// latest hundredth was; one that is on time is on time to the microsecond, and not to the second.
fn overrun(trial: &TrialOutcome, intended: &Intended) -> f64 {
    let late = trial.tally.send_lateness.quantile(0.99).map_or(0.0, Micros::as_secs_f64);
    let sending = trial.series.iter().filter(|p| p.phase == Phase::Measure && p.requests_sent > 0);
    let last = sending.map(|p| p.span.to).max();
    let after = trial.planned_start.zip(last).map(|(start, last)| {
        let end = start + intended.begin + intended.span;
        last.since(end).as_secs_f64()
    });
    after.map_or(late, |after| after.min(late))
}

/// Requests later than their arrival was taken up. Both are recorded from the intended start, so where more sends
/// than arrivals are later than some bound, the difference waited in between.
fn waited(trial: &TrialOutcome) -> u64 {
    let pacer = &trial.tally.pacer_lateness;
    let bound = pacer.quantile(0.99).map_or(0, |us| us.0).saturating_add(WAIT_FLOOR_US);
    above(&trial.tally.send_lateness, bound).saturating_sub(above(pacer, bound))
}

fn above(latency: &Latency, bound: u64) -> u64 {
    let histogram = latency.histogram();
    histogram.len().saturating_sub(histogram.at_most(bound)) + latency.overflow()
}

fn gaps(arrivals: &Arrivals, intended: &Intended, trial: &TrialOutcome) -> Value<GapTest> {
    let lanes = trial.lanes.unwrap_or(1);
    let law = GapLaw::of_arrivals(arrivals, lanes).ok_or(Missing::NoLaw)?;
    let recorded = &trial.tally.send_gap;
    let gaps = recorded.count();
    if law == GapLaw::Even {
        return Err(Missing::EvenGaps);
    }
    if gaps < LEAST_GAPS {
        return Err(Missing::TooFew { count: gaps, least: LEAST_GAPS });
    }
    // Of a lane.
    let mean = intended.span.as_secs_f64() * f64::from(lanes) / intended.requests.max(1) as f64;
    let late = Micros(GAP_LATE_US).as_secs_f64() / mean;
    if late >= 1.0 {
        let mean_us = Micros::from(Duration::from_secs_f64(mean)).0;
        return Err(Missing::ShortGaps { mean_us, least_us: GAP_LATE_US });
    }
    let distance = law.distance(recorded, late).ok_or(Missing::NothingSent)?;
    Ok(GapTest { law, gaps, distance, limit: GAP_DISTANCE + GAP_CRITICAL / (gaps as f64).sqrt() })
}

/// The arrivals of the measured phase.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Intended {
    requests: u64,
    items: u64,
    /// When the measured phase begins, since the start of the trial.
    begin: Duration,
    /// From the beginning of the measured phase to the end of its last gap.
    span: Duration,
}

impl Intended {
    /// By the rule that workers follow.
    fn of(arrivals: &Arrivals, size: NonZeroU32, limits: Limits, items: Option<u64>) -> Self {
        let most = items.map_or(u64::MAX, |items| items.div_ceil(size.get().into()));
        let mut walk = arrivals.sequence(1).phases(size, items, limits);
        let (mut requests, mut asked, mut last) = (0, 0, Duration::ZERO);
        for planned in walk.by_ref().take(MOST_WALKED).filter(|p| p.phase == Phase::Measure) {
            requests += 1;
            asked += u64::from(planned.items);
            last = planned.arrival.at;
        }
        let begin = walk.measured_from().unwrap_or_default();
        let mut end = [limits.duration.map(|d| begin + d), arrivals.length()].into_iter().flatten().min();
        if walk.next().is_some() {
            let counted = requests.max(1);
            requests = end.map_or(u64::MAX, |end| rounded(arrivals.expected(end) - arrivals.expected(begin)));
            requests = requests.min(most);
            asked = requests.saturating_mul(size.get().into()).min(items.unwrap_or(u64::MAX));
            let so_far = last.saturating_sub(begin).as_secs_f64();
            last = begin
                + Duration::try_from_secs_f64(so_far * (requests as f64 / counted as f64))
                    .unwrap_or_default();
        }
        if requests == most || end.is_none() {
            let gap = last.saturating_sub(begin) / u32::try_from(requests.max(2) - 1).unwrap_or(u32::MAX);
            let closed = last + gap;
            end = Some(end.map_or(closed, |end| end.min(closed)));
        }
        let span = end.map_or(Duration::ZERO, |end| end.saturating_sub(begin));
        Self { requests, items: asked, begin, span }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; casts saturate")]
fn rounded(count: f64) -> u64 {
    count.round() as u64
}

#[cfg(test)]
mod tests;
