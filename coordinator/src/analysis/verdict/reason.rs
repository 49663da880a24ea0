//! Why a verdict is not valid.

use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::reading::Absence;

use crate::analysis::load::GapTest;
use crate::analysis::report::Items;
use crate::analysis::steady::Drift;

/// Why the verdict is not valid.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// No item of any strategy ended well.
    NothingSucceeded,
    /// Items planned and items ended differ.
    DoesNotAddUp {
        /// The strategy.
        strategy: String,
        /// The worker whose part it is; `None` for the fleet's sum.
        worker: Option<String>,
        /// The counts.
        items: Items,
    },
    /// The user stopped the run.
    Interrupted,
    /// A worker vanished.
    WorkerLost {
        /// Its name.
        worker: String,
        /// What was seen.
        why: String,
    },
    /// An agent vanished.
    AgentLost {
        /// Its host.
        host: String,
        /// What was seen.
        why: String,
    },
    /// The run ended before a strategy.
    NotStarted {
        /// The strategy.
        strategy: String,
        /// Why.
        reason: NotSentReason,
    },
    /// Items of a strategy that ran were not sent.
    NotSent {
        /// The strategy.
        strategy: String,
        /// Why.
        reason: NotSentReason,
        /// How many.
        items: u64,
    },
    /// An agent took samples that it could not deliver.
    SampleGaps {
        /// Its host.
        host: String,
        /// How many.
        samples: u64,
    },
    /// An agent delivered no sample.
    AgentSilent {
        /// Its host.
        host: String,
    },
    /// A worker began too far from the planned instant.
    StartSkew {
        /// The strategy.
        strategy: String,
        /// The worker.
        worker: String,
        /// By how much, in microseconds; negative is early.
        skew_us: i64,
    },
    /// A peer's clock is known too coarsely, or not at all.
    UnsureClock {
        /// Worker's name or agent's host.
        peer: String,
        /// How coarsely, in microseconds; `None`: no ping was answered.
        error_us: Option<f64>,
    },
    /// A peer's clock stepped against the coordinator's: it jumped, or stood still.
    ClockStepped {
        /// Worker's name or agent's host.
        peer: String,
        /// How often.
        steps: u64,
        /// How coarsely it is known around the steps, in microseconds.
        error_us: f64,
    },
    /// A GPU could not be read for some of a strategy's time.
    GpuGone {
        /// The strategy.
        strategy: String,
        /// The GPU's host.
        host: String,
        /// The GPU's UUID. `None`: all of the host.
        gpu: Option<String>,
        /// Why.
        why: Absence,
    },
    /// The driver reported errors of a GPU (Xid) while a strategy ran.
    GpuXid {
        /// The strategy.
        strategy: String,
        /// The GPU's host.
        host: String,
        /// The GPU's UUID. `None`: the driver does not say.
        gpu: Option<String>,
        /// The error's number.
        number: u64,
        /// How often.
        times: u64,
    },
    /// Items were asked for more slowly than planned.
    RateMissed {
        /// The strategy.
        strategy: String,
        /// Items a second that were planned.
        intended: f64,
        /// Items a second that were asked for.
        achieved: f64,
        /// The one over the other, in percent.
        percent: f64,
    },
    /// Too large a part of an open load was given up.
    LoadNotSent {
        /// The strategy.
        strategy: String,
        /// Items given up.
        items: u64,
        /// Items of the load.
        planned: u64,
    },
    /// Requests of an open load waited for a place in flight.
    Waited {
        /// The strategy.
        strategy: String,
        /// How many.
        requests: u64,
        /// Of how many.
        sent: u64,
        /// How late the latest of them was sent, in seconds.
        longest_s: f64,
    },
    /// The generator took arrivals up too late, or sent them too late where nothing waits for a place.
    PacerLate {
        /// The strategy.
        strategy: String,
        /// How late, 99th percentile, in microseconds.
        p99_us: f64,
        /// How late it may be, in microseconds.
        budget_us: f64,
    },
    /// The gaps between sends are not distributed as those asked for.
    ArrivalsOff {
        /// The strategy.
        strategy: String,
        /// The test.
        test: GapTest,
    },
    /// Places in flight stood empty.
    InFlightMissed {
        /// The strategy.
        strategy: String,
        /// Requests that were to be in flight.
        planned: u32,
        /// Share of the places' time that was used, in percent.
        used_percent: f64,
        /// How long a place stood empty between two requests on the average, in microseconds.
        empty_us: f64,
    },
    /// So few requests succeeded that their response times may be chance.
    TooFewSamples {
        /// The strategy.
        strategy: String,
        /// Requests measured that succeeded.
        count: u64,
        /// How many it takes.
        least: u64,
    },
    /// Throughput or response time still moved at the end.
    NeverSettled {
        /// The strategy.
        strategy: String,
        /// What moved, and by how much.
        drift: Drift,
    },
    /// A load thread had hardly any time to spare.
    Busy {
        /// The strategy.
        strategy: String,
        /// The worker.
        worker: String,
        /// Its busiest thread's share of processor time, in percent.
        percent: f64,
        /// In a closed load the throughput is then the generator's.
        closed: bool,
    },
    /// The runtimes of a worker came late to what was due.
    PollDelay {
        /// The strategy.
        strategy: String,
        /// The worker.
        worker: String,
        /// How late, 99th percentile, in microseconds.
        p99_us: f64,
        /// How late they may be, in microseconds.
        budget_us: f64,
    },
    /// A worker came near the number of files that it may have open.
    FewFiles {
        /// The strategy.
        strategy: String,
        /// The worker.
        worker: String,
        /// Files open at most.
        most: u64,
        /// Files it may have open.
        limit: u64,
    },
    /// Items failed since a worker could not have another file open.
    Exhausted {
        /// The strategy.
        strategy: String,
        /// How many.
        items: u64,
        /// Items planned.
        planned: u64,
    },
    /// A worker's machine came near the number of ports for outgoing connections.
    FewPorts {
        /// The strategy.
        strategy: String,
        /// The worker.
        worker: String,
        /// Ports in use at most.
        most: u64,
        /// Ports there are.
        limit: u64,
    },
}
