//! Who took part in a run.

use std::time::Duration;

use fluxfleet_proto::reading::{Absence, Device};

use super::Items;
use crate::analysis::generator::GeneratorReport;

/// Who generated the load and who watched the host.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetReport {
    /// Workers in the order they joined.
    pub workers: Vec<WorkerReport>,
    /// Agents in the order they joined.
    pub agents: Vec<AgentReport>,
    /// Why no agent took part. `None` when one did.
    pub no_agent: Option<String>,
}

/// A worker over the whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerReport {
    /// Its name, unique in the fleet.
    pub name: String,
    /// Host name of its machine.
    pub host: String,
    /// Release of its program.
    pub version: String,
    /// Load-generating threads.
    pub threads: u32,
    /// Its items of all strategies.
    pub items: Items,
    /// Of all its starts the one farthest from the planned instant, in microseconds; negative is early.
    /// `None` when it never began.
    pub start_skew_us: Option<i64>,
    /// Its clock against the coordinator's. `None` when no ping was answered.
    pub clock: Option<ClockReport>,
    /// How its generator fared in all strategies; without its points.
    pub generator: GeneratorReport,
    /// Set when it vanished.
    pub lost: Option<LostReport>,
}

/// An agent over the whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentReport {
    /// Its host.
    pub host: String,
    /// Release of its program.
    pub version: String,
    /// The host's GPUs, or why they cannot be seen.
    pub devices: Result<Vec<Device>, Absence>,
    /// Samples received.
    pub samples: u64,
    /// Samples it took and could not deliver.
    pub gaps: u64,
    /// Its clock against the coordinator's. `None` when no ping was answered.
    pub clock: Option<ClockReport>,
    /// Set when it vanished.
    pub lost: Option<LostReport>,
}

/// A peer's clock against the coordinator's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockReport {
    /// Peer's clock minus the coordinator's, in microseconds.
    pub offset_us: f64,
    /// The true offset lies within plus or minus this, in microseconds.
    pub error_us: f64,
    /// The smallest error of any time of the run, in microseconds.
    pub least_error_us: f64,
    /// The largest.
    pub most_error_us: f64,
    /// Pings answered.
    pub exchanges: u64,
    /// How often it stepped against the coordinator's.
    pub steps: u64,
}

/// When and why a peer vanished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostReport {
    /// Wall time since the Unix epoch.
    pub at: Duration,
    /// What was seen.
    pub why: String,
}
