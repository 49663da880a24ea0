//! How a load generator itself fared: a generator that is late, slow or starved measures itself.

use std::time::Duration;

use crate::latency::Latency;

/// A worker's own condition over the span of one interval. Unknown is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Of each load thread: processor time used in the span, divided by the span; 0 to 1.
    pub threads_busy: Vec<f64>,
    /// Of each core of the machine: share of the span in which it was not idle, whoever used it; 0 to 1. Empty
    /// where the system does not tell.
    pub cores_busy: Vec<f64>,
    /// How late the load threads' runtimes came to a task that was due: the time a finished answer may have waited.
    pub poll_delay: Latency,
    /// Files this process has open.
    pub open_files: Option<u64>,
    /// Files it may have open.
    pub open_files_limit: Option<u64>,
    /// Ports that this worker's connections hold: opened within the last minute (a closed one keeps its port for that
    /// long), or in flight, whichever are more.
    pub ports_used: Option<u64>,
    /// Ports that the system gives to outgoing connections.
    pub ports_limit: Option<u64>,
    /// Connections that could not be opened or broke, in the span.
    pub socket_errors: u64,
    /// Resident memory of this process in bytes.
    pub resident_bytes: Option<u64>,
}

/// The most that a worker can do, measured against a server of its own that does next to nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Requests a second, all load threads together, if each has a core of its own: threads divided by the
    /// processor time of one request.
    pub requests_per_s: f64,
    /// Processor time of a load thread per request.
    pub time_per_request: Duration,
    /// Load threads it holds for.
    pub threads: u32,
    /// How long was measured.
    pub measured: Duration,
}
