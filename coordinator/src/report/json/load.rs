//! The load asked for and the load sent, the warm-up, the steady state and the seconds of a trial.

use fluxfleet_proto::arrival::{Arrivals, GapLaw, Process, Profile};
use fluxfleet_proto::load::{self, WhenFull};
use fluxfleet_proto::tally::Phase;
use serde::Serialize;

use crate::analysis::load::{GapTest, LoadReport};
use crate::analysis::phases::{SeriesPoint, WarmupReport};
use crate::analysis::report::Missing;
use crate::analysis::steady::{Moving, Steady};
use crate::plan::{self, PlannedLoad};

use super::absent::Absent;

/// What was asked for, in items.
#[derive(Serialize)]
pub(super) struct LoadConfig {
    kind: &'static str,
    arrival: Option<&'static str>,
    shape: Option<f64>,
    rate: Option<f64>,
    stages: Vec<StageEntry>,
    replayed: Option<usize>,
    seed: Option<u64>,
    when_full: Option<&'static str>,
}

#[derive(Serialize)]
struct StageEntry {
    from: f64,
    to: f64,
    length: Option<f64>,
}

impl LoadConfig {
    pub(super) fn of(load: &PlannedLoad) -> Self {
        let closed = Self {
            kind: "closed",
            arrival: None,
            shape: None,
            rate: None,
            stages: Vec::new(),
            replayed: None,
            seed: None,
            when_full: None,
        };
        let PlannedLoad::Open { arrivals, when_full } = load else { return closed };
        let open = Self { kind: "open", when_full: Some(name_when_full(*when_full)), ..closed };
        match arrivals {
            Arrivals::Replay(times) => Self { arrival: Some("replay"), replayed: Some(times.len()), ..open },
            Arrivals::Drawn { process, profile, seed } => {
                let (arrival, shape) = match process {
                    Process::Constant => ("constant", None),
                    Process::Poisson => ("poisson", None),
                    Process::Gamma { shape } => ("gamma", Some(*shape)),
                };
                let stages = profile.stages().iter();
                let stages = stages.map(|s| StageEntry {
                    from: s.from,
                    to: s.to,
                    length: s.length.map(|l| l.as_secs_f64()),
                });
                Self {
                    arrival: Some(arrival),
                    shape,
                    rate: only_rate(profile),
                    stages: stages.collect(),
                    seed: Some(*seed),
                    ..open
                }
            }
        }
    }
}

/// The rate where there is but one.
fn only_rate(profile: &Profile) -> Option<f64> {
    match profile.stages() {
        [only] if only.from.to_bits() == only.to.to_bits() => Some(only.from),
        _ => None,
    }
}

fn name_when_full(when_full: WhenFull) -> &'static str {
    match when_full {
        WhenFull::Wait => "wait",
        WhenFull::Drop => "drop",
    }
}

/// The warm-up asked for: one of the two.
#[derive(Serialize)]
pub(super) struct WarmupConfig {
    seconds: Option<f64>,
    items: Option<u64>,
}

impl WarmupConfig {
    pub(super) fn of(warmup: load::Warmup) -> Option<Self> {
        match warmup {
            load::Warmup::None => None,
            load::Warmup::Time(time) => Some(Self { seconds: Some(time.as_secs_f64()), items: None }),
            load::Warmup::Items(items) => Some(Self { seconds: None, items: Some(items) }),
        }
    }
}

/// How much may fail: one of the two.
#[derive(Serialize)]
pub(super) struct ErrorLimit {
    items: Option<u64>,
    share: Option<f64>,
}

impl ErrorLimit {
    pub(super) fn of(limit: plan::ErrorLimit) -> Self {
        match limit {
            plan::ErrorLimit::Items(items) => Self { items: Some(items), share: None },
            plan::ErrorLimit::Share(share) => Self { items: None, share: Some(share) },
        }
    }
}

/// What was asked for against what was sent.
#[derive(Serialize)]
pub(super) struct Load {
    kind: &'static str,
    intended_requests: Option<u64>,
    intended_rate: Option<f64>,
    achieved_rate: Option<f64>,
    achieved_percent: Option<f64>,
    requests_waited: Option<u64>,
    requests_not_sent: Option<u64>,
    in_flight_mean: Option<f64>,
    in_flight_used_percent: Option<f64>,
    in_flight_empty_us: Option<f64>,
    arrival_test: Option<ArrivalTest>,
    absent: Absent,
}

#[derive(Serialize)]
struct ArrivalTest {
    law: &'static str,
    shape: Option<f64>,
    gaps: u64,
    distance: f64,
    limit: f64,
}

impl ArrivalTest {
    fn of(test: &GapTest) -> Self {
        let (law, shape) = match test.law {
            GapLaw::Even => ("even", None),
            GapLaw::Exponential => ("exponential", None),
            GapLaw::Gamma(shape) => ("gamma", Some(shape)),
        };
        Self { law, shape, gaps: test.gaps, distance: test.distance, limit: test.limit }
    }
}

impl Load {
    pub(super) fn of(load: &LoadReport) -> Self {
        let mut absent = Absent::default();
        match load {
            LoadReport::Closed(closed) => {
                let (mean, used, empty) = (
                    absent.take("in_flight_mean", &closed.mean_in_flight),
                    absent.take("in_flight_used_percent", &closed.used_percent),
                    absent.take("in_flight_empty_us", &closed.empty_us),
                );
                for field in [
                    "intended_requests",
                    "intended_rate",
                    "achieved_rate",
                    "achieved_percent",
                    "requests_waited",
                    "requests_not_sent",
                    "arrival_test",
                ] {
                    absent.note(field, &Missing::ClosedLoad);
                }
                Self {
                    kind: "closed",
                    intended_requests: None,
                    intended_rate: None,
                    achieved_rate: None,
                    achieved_percent: None,
                    requests_waited: None,
                    requests_not_sent: None,
                    in_flight_mean: mean,
                    in_flight_used_percent: used,
                    in_flight_empty_us: empty,
                    arrival_test: None,
                    absent,
                }
            }
            LoadReport::Open(open) => {
                let (intended, achieved, percent, mean) = (
                    absent.take("intended_rate", &open.intended_items_per_s),
                    absent.take("achieved_rate", &open.achieved_items_per_s),
                    absent.take("achieved_percent", &open.achieved_percent),
                    absent.take("in_flight_mean", &open.mean_in_flight),
                );
                for field in ["in_flight_used_percent", "in_flight_empty_us"] {
                    absent.note(field, &Missing::OpenLoad);
                }
                if let Err(missing) = &open.gaps {
                    absent.note("arrival_test", missing);
                }
                Self {
                    kind: "open",
                    intended_requests: Some(open.intended_requests),
                    intended_rate: intended,
                    achieved_rate: achieved,
                    achieved_percent: percent,
                    requests_waited: Some(open.waited_requests),
                    requests_not_sent: Some(open.not_sent_requests),
                    in_flight_mean: mean,
                    in_flight_used_percent: None,
                    in_flight_empty_us: None,
                    arrival_test: open.gaps.as_ref().ok().map(ArrivalTest::of),
                    absent,
                }
            }
        }
    }
}

/// What came before measuring.
#[derive(Serialize)]
pub(super) struct Warmup {
    seconds: Option<f64>,
    requests_sent: u64,
    items_ok: u64,
    items_failed: u64,
    items_not_sent: u64,
    avg_response_time: Option<f64>,
}

impl Warmup {
    pub(super) fn of(warmup: &WarmupReport) -> Self {
        Self {
            seconds: warmup.seconds,
            requests_sent: warmup.requests_sent,
            items_ok: warmup.items_ok,
            items_failed: warmup.items_failed,
            items_not_sent: warmup.items_not_sent,
            avg_response_time: warmup.mean_response_s,
        }
    }
}

/// Since when a trial was steady.
#[derive(Serialize)]
pub(super) struct SteadyState {
    state: &'static str,
    from: Option<f64>,
    moving: Option<&'static str>,
    change: Option<f64>,
    points: Option<usize>,
    responses: Option<u64>,
}

impl SteadyState {
    pub(super) fn of(steady: &Steady) -> Self {
        let none = Self { state: "", from: None, moving: None, change: None, points: None, responses: None };
        match steady {
            Steady::From(from) => Self { state: "steady", from: Some(from.as_secs_f64()), ..none },
            Steady::Never(drift) => Self {
                state: "never_settled",
                moving: Some(match drift.what {
                    Moving::Throughput => "throughput",
                    Moving::ResponseTime => "response_time",
                }),
                // JSON has no infinity: from nothing to something.
                change: Some(drift.change).filter(|change| change.is_finite()),
                ..none
            },
            Steady::TooShort { points, responses } => {
                Self { state: "too_short", points: Some(*points), responses: Some(*responses), ..none }
            }
            Steady::LoadChanges => Self { state: "load_changes", ..none },
        }
    }
}

/// What the fleet did in about a second.
#[derive(Serialize)]
pub(super) struct SeriesEntry {
    from: f64,
    seconds: f64,
    phase: &'static str,
    requests_sent: u64,
    items_ok: u64,
    items_failed: u64,
    items_not_sent: u64,
    in_flight: u64,
    responses: u64,
    avg_response_time: Option<f64>,
    max_response_time: Option<f64>,
}

impl SeriesEntry {
    pub(super) fn of(of: &SeriesPoint) -> Self {
        let point = &of.point;
        Self {
            from: of.from_s,
            seconds: of.seconds,
            phase: phase(point.phase),
            requests_sent: point.requests_sent,
            items_ok: point.items_ok,
            items_failed: point.items_failed,
            items_not_sent: point.items_not_sent,
            in_flight: point.in_flight,
            responses: point.responses,
            avg_response_time: of.mean_response_s,
            max_response_time: of.max_response_s,
        }
    }
}

/// The name of a phase.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Warmup => "warmup",
        Phase::Measure => "measure",
    }
}
