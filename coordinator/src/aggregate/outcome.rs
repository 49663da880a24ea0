//! Everything a run gathered, merged and on one clock. Analysis starts from here.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::id::{PeerId, RunId, TrialId};
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::peer::{AgentHello, WorkerHello};
use fluxfleet_proto::reading::HostSample;
use fluxfleet_proto::tally::{Phase, Tally};

use super::RecordSpool;
use crate::plan::{Plan, PlannedStrategy};

/// Everything a run gathered. All instants are on the coordinator's clock.
#[derive(Debug)]
pub struct RunOutcome {
    /// The run's id.
    pub run: RunId,
    /// What was asked for.
    pub plan: Plan,
    /// When the run began: wall time since the Unix epoch, and the same moment on the monotonic clock. The
    /// pair turns any instant of the run into a date.
    pub began: (Duration, Mono),
    /// One per strategy, in the plan's order.
    pub strategies: Vec<StrategyOutcome>,
    /// Workers in the order they joined.
    pub workers: Vec<WorkerOutcome>,
    /// Agents in the order they joined.
    pub agents: Vec<AgentOutcome>,
    /// Samples of all agents, by time.
    pub samples: Vec<PlacedSample>,
    /// Every request in detail, when the plan keeps them.
    pub records: Option<RecordSpool>,
    /// The user stopped the run.
    pub interrupted: bool,
    /// Why there are no host readings, when no agent took part (for example: the target is another machine).
    pub no_agent: Option<String>,
}

impl RunOutcome {
    /// Wall time of an instant, since the Unix epoch.
    pub fn wall(&self, at: Mono) -> Duration {
        let (wall, mono) = self.began;
        if at >= mono { wall + at.since(mono) } else { wall.saturating_sub(mono.since(at)) }
    }
}

/// A strategy and what became of it.
#[derive(Debug)]
pub struct StrategyOutcome {
    /// As planned.
    pub planned: PlannedStrategy,
    /// What became of it.
    pub ending: Ending,
}

/// What became of a strategy.
#[derive(Debug)]
pub enum Ending {
    /// It ran, perhaps not to its end.
    Ran(Box<TrialOutcome>),
    /// Preflight left it out; the text says why and what to do.
    Skipped(String),
    /// The run ended before it; all its items are not sent.
    NotStarted(NotSentReason),
}

/// What one trial measured, merged over the workers.
#[derive(Clone, Debug)]
pub struct TrialOutcome {
    /// Its number.
    pub trial: TrialId,
    /// Items planned for the fleet's measured phase. Equals ok + failed + not sent.
    pub items_planned: u64,
    /// Everything recorded in the measured phase.
    pub tally: Tally,
    /// Everything recorded in the warm-up, which is part of nothing else here.
    pub warmup: Tally,
    /// Items of the measured phase never sent, by reason.
    pub not_sent: BTreeMap<NotSentReason, u64>,
    /// First send to last end in the measured phase. `None` when nothing was sent.
    pub window: Option<Window>,
    /// Lanes that the arrivals of an open load were dealt to. `None` in a closed one.
    pub lanes: Option<u32>,
    /// The start barrier.
    pub planned_start: Option<Mono>,
    /// The trial second by second, by time, both phases.
    pub series: Vec<Point>,
    /// Each worker's part, in the order of the run's workers.
    pub workers: Vec<WorkerTrial>,
}

impl TrialOutcome {
    /// Whether everything that ended, in the warm-up or after it, says that the strategy has no endpoint here.
    pub fn finds_no_endpoint(&self) -> bool {
        no_endpoint(&self.warmup, &self.tally)
    }
}

/// The same while the trial goes on.
pub(crate) fn no_endpoint(warmup: &Tally, measured: &Tally) -> bool {
    match (warmup.items_ended(), measured.items_ended()) {
        (_, 0) => warmup.finds_no_endpoint(),
        (0, _) => measured.finds_no_endpoint(),
        _ => warmup.finds_no_endpoint() && measured.finds_no_endpoint(),
    }
}

/// What the whole fleet did in one stretch of a trial (about a second).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Beginning and end of the stretch, on the coordinator's clock.
    pub span: Window,
    /// Which phase it counts.
    pub phase: Phase,
    /// Requests sent.
    pub requests_sent: u64,
    /// Items that ended well, failed, and were given up unsent.
    pub items_ok: u64,
    /// See `items_ok`.
    pub items_failed: u64,
    /// See `items_ok`.
    pub items_not_sent: u64,
    /// Requests in flight at its end, of all workers.
    pub in_flight: u64,
    /// Requests in `response_sum_us`: those with at least one item ok.
    pub responses: u64,
    /// Sum of their response times, in microseconds: a mean that merges.
    pub response_sum_us: u128,
    /// The longest of them, in microseconds.
    pub response_max_us: Option<u64>,
}

/// How one worker's generator fared in a trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerHealth {
    /// Its ceiling, when it was measured in this trial or an earlier one of the run.
    pub ceiling: Option<Ceiling>,
    /// Interval by interval.
    pub points: Vec<HealthPoint>,
    /// How late its runtimes came to tasks that were due.
    pub poll_delay: Latency,
    /// Files it may have open, and ports that its machine gives to outgoing connections.
    pub open_files_limit: Option<u64>,
    /// See `open_files_limit`.
    pub ports_limit: Option<u64>,
}

/// A worker's condition over one interval. Unknown is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthPoint {
    /// The interval, on the coordinator's clock.
    pub span: Window,
    /// Which phase the interval was of.
    pub phase: Phase,
    /// The busiest load thread's share of processor time, 0 to 1; where intervals were put together, in the worst.
    pub busiest_thread: Option<f64>,
    /// The same on the average of the intervals put together.
    pub busiest_thread_mean: Option<f64>,
    /// The mean over its load threads.
    pub mean_thread: Option<f64>,
    /// The busiest core of its machine, 0 to 1.
    pub busiest_core: Option<f64>,
    /// Pacer lateness, 99th percentile, in microseconds. `None` in a closed load.
    pub pacer_lateness_p99_us: Option<u64>,
    /// Poll delay, 99th percentile, in microseconds.
    pub poll_delay_p99_us: Option<u64>,
    /// Files open.
    pub open_files: Option<u64>,
    /// Ports in use.
    pub ports_used: Option<u64>,
    /// Connections that could not be opened or broke.
    pub socket_errors: u64,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Requests sent in the interval.
    pub requests_sent: u64,
}

/// A span on the coordinator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First send of a request.
    pub from: Mono,
    /// Last end of a request.
    pub to: Mono,
}

impl Window {
    /// Its length.
    pub fn length(self) -> Duration {
        self.to.since(self.from)
    }

    /// The smallest window that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }
}

/// One worker's part of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerTrial {
    /// Who.
    pub peer: PeerId,
    /// Items it was to ask for. Equals ok + failed + not sent.
    pub items_planned: u64,
    /// Items that ended well.
    pub items_ok: u64,
    /// Items that failed.
    pub items_failed: u64,
    /// Items not sent, or not known to have been sent.
    pub items_not_sent: u64,
    /// When it began minus the start barrier, in microseconds. `None` when it never began.
    pub start_skew_us: Option<i64>,
    /// How its generator fared.
    pub health: WorkerHealth,
    /// Requests sent in the measured phase.
    pub requests_sent: u64,
}

/// A worker over the whole run.
#[derive(Clone, Debug)]
pub struct WorkerOutcome {
    /// Its number.
    pub peer: PeerId,
    /// How it introduced itself.
    pub hello: WorkerHello,
    /// Its clock against ours. `None` when no ping was answered.
    pub clock: Option<PeerClock>,
    /// Set when it vanished before the run ended.
    pub lost: Option<Lost>,
}

/// An agent over the whole run.
#[derive(Clone, Debug)]
pub struct AgentOutcome {
    /// Its number.
    pub peer: PeerId,
    /// How it introduced itself.
    pub hello: AgentHello,
    /// Its clock against ours. `None` when no ping was answered.
    pub clock: Option<PeerClock>,
    /// Set when it vanished before the run ended.
    pub lost: Option<Lost>,
    /// Samples received.
    pub samples: u64,
    /// Samples it took and could not deliver.
    pub gaps: u64,
}

/// A peer's clock over the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerClock {
    /// Against ours, at the end.
    pub offset: ClockOffset,
    /// The smallest error of any time between the first and the last exchange, in nanoseconds.
    pub least_error_ns: u64,
    /// The largest.
    pub most_error_ns: u64,
    /// Pings answered.
    pub exchanges: u64,
    /// How often one of the two clocks was seen to have stepped.
    pub steps: u64,
}

/// When and why a peer vanished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// When it was noticed.
    pub at: Mono,
    /// What was seen, for people.
    pub why: String,
}

/// A sample on the coordinator's clock.
#[derive(Clone, Debug)]
pub struct PlacedSample {
    /// Which agent.
    pub agent: PeerId,
    /// When it was taken.
    pub at: Mono,
    /// How wrong `at` may be, in nanoseconds.
    pub error_ns: u64,
    /// The readings.
    pub sample: HostSample,
}
