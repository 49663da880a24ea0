//! The four message sets, as domain types.

use std::time::Duration;

use crate::clock::Mono;
use crate::failure::NotSentReason;
use crate::health::Ceiling;
use crate::id::{PeerId, RunId, TrialId};
use crate::peer::{AgentHello, WorkerHello};
use crate::reading::{HostSample, Occasion};
use crate::tally::{Interval, Records};
use crate::trial::{Assignment, TrialEnd};

/// First message down a stream: the peer is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The run it joins.
    pub run: RunId,
    /// Its number.
    pub peer: PeerId,
}

/// The answer to a clock ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockPong {
    /// The ping's id.
    pub id: u64,
    /// Peer's clock when it took the ping.
    pub received: Mono,
    /// Peer's clock when it answered.
    pub sent: Mono,
}

/// Worker to coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerReport {
    /// The first message.
    Hello(WorkerHello),
    /// Answer to a ping.
    ClockPong(ClockPong),
    /// Prepared and waiting at the barrier. With the worker's ceiling, if the assignment asked for it.
    Ready(TrialId, Option<Ceiling>),
    /// What was recorded in a second.
    Interval(Box<Interval>),
    /// Requests in detail.
    Records(Records),
    /// Everything of this trial has been sent.
    TrialDone(TrialId, TrialEnd),
    /// The worker cannot go on with the trial (if one is named).
    Fault(Option<TrialId>, String),
}

/// Coordinator to worker.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerCommand {
    /// The worker is registered.
    Welcome(Welcome),
    /// Asks for a clock reading.
    ClockPing(u64),
    /// Get ready for a trial.
    Prepare(Box<Assignment>),
    /// Begin at this instant of the worker's clock.
    Start(TrialId, Mono),
    /// Send nothing more; what is in flight may end within the grace.
    Stop(TrialId, NotSentReason, Duration),
    /// The message is merged.
    Ack(TrialId, Acked),
}

/// Which of a worker's messages is merged. Intervals and records are numbered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// The interval of this number.
    Interval(u64),
    /// The records message of this number.
    Records(u64),
}

/// Time between two samples of each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Of the fast lane.
    pub fast: Duration,
    /// Of the normal lane.
    pub normal: Duration,
    /// Of the slow lane, in which it comes to each GPU once.
    pub slow: Duration,
}

/// Agent to coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentReport {
    /// The first message.
    Hello(AgentHello),
    /// Answer to a ping.
    ClockPong(ClockPong),
    /// Samples, oldest first.
    Samples(Vec<HostSample>),
    /// Samples dropped before they were acknowledged: first and last number, and why.
    Gap(u64, u64, String),
    /// The agent ends for good.
    Goodbye,
}

/// Coordinator to agent.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentCommand {
    /// The agent is registered.
    Welcome(Welcome),
    /// Asks for a clock reading.
    ClockPing(u64),
    /// Begin sampling at this pace; or, when the agent is back, send what is not acknowledged.
    Watch(Cadence),
    /// Take a sample of this occasion, an edge of a trial, at this instant of the agent's clock, or at once.
    Mark(Occasion, Option<Mono>),
    /// Samples up to and including this number are merged, or known to be dropped.
    Ack(u64),
}
