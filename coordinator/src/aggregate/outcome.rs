//! Everything a run gathered, merged and on one clock. Analysis starts from here.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::{PeerId, RunId, TrialId};
use fluxfleet_proto::peer::{AgentHello, WorkerHello};
use fluxfleet_proto::reading::HostSample;
use fluxfleet_proto::tally::Tally;

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
    /// Items planned for the fleet. Equals ok + failed + not sent.
    pub items_planned: u64,
    /// Everything recorded.
    pub tally: Tally,
    /// Items never sent, by reason.
    pub not_sent: BTreeMap<NotSentReason, u64>,
    /// First send to last end. `None` when nothing was sent.
    pub window: Option<Window>,
    /// The start barrier.
    pub planned_start: Option<Mono>,
    /// Each worker's part, in the order of the run's workers.
    pub workers: Vec<WorkerTrial>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// A worker over the whole run.
#[derive(Clone, Debug)]
pub struct WorkerOutcome {
    /// Its number.
    pub peer: PeerId,
    /// How it introduced itself.
    pub hello: WorkerHello,
    /// Its clock against ours. `None` when no ping was answered.
    pub clock: Option<ClockOffset>,
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
    pub clock: Option<ClockOffset>,
    /// Set when it vanished before the run ended.
    pub lost: Option<Lost>,
    /// Samples received.
    pub samples: u64,
    /// Samples it took and could not deliver.
    pub gaps: u64,
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
