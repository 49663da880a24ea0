//! What the host counts, so that a load test can hold its own report against it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::gpu::VirtualGpus;

/// The counts of one host at one instant; what `/queue-stats` answers.
///
/// Every item admitted is in exactly one place:
/// `items_admitted = items_completed + items_failed + items_cancelled + items_abandoned + items_in_progress`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CounterSnapshot {
    /// Requests with a whole body, by path of the route.
    pub requests: BTreeMap<&'static str, u64>,
    /// Requests refused because their body was wrong (HTTP 4xx).
    pub rejected_invalid: u64,
    /// Requests refused because no GPU had room.
    pub rejected_full: u64,
    /// Items of the requests that were taken in.
    pub items_admitted: u64,
    /// Items that were made, and answered with a 200 on a synchronous route.
    pub items_completed: u64,
    /// `items_completed` by path of the route that asked for them.
    pub items_completed_by_endpoint: BTreeMap<&'static str, u64>,
    /// Items of requests that ended in an error, or with the host.
    pub items_failed: u64,
    /// Items cancelled by `/cancel-request/{id}`.
    pub items_cancelled: u64,
    /// Items whose client went away before the answer.
    pub items_abandoned: u64,
    /// Items that wait or are being made, and whose client is still there.
    pub items_in_progress: u64,
    /// Requests that wait for an instance, over all GPUs.
    pub queue_depth: u64,
    /// Requests that hold an instance, over all GPUs.
    pub running: u64,
    /// The same for each GPU.
    pub gpus: Vec<GpuDepth>,
}

/// Requests on one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuDepth {
    /// The GPU's identifier.
    pub uuid: String,
    /// Requests that wait for an instance.
    pub queue_depth: u64,
    /// Requests that hold an instance.
    pub running: u64,
}

/// Reads a host's counts. Clones are cheap and read the same host, also after it stopped.
#[derive(Debug, Clone)]
pub struct Counters {
    tally: Arc<Tally>,
    gpus: VirtualGpus,
}

impl Counters {
    pub(crate) fn new(tally: Arc<Tally>, gpus: VirtualGpus) -> Self {
        Self { tally, gpus }
    }

    /// The counts now. The items are consistent with each other; the queues are read right after.
    pub fn snapshot(&self) -> CounterSnapshot {
        let counts = self.tally.lock().clone();
        let now = Instant::now();
        let gpus: Vec<GpuDepth> = self
            .gpus
            .each()
            .iter()
            .map(|gpu| {
                let depth = gpu.depth(now);
                GpuDepth {
                    uuid: gpu.uuid().to_owned(),
                    queue_depth: depth.queued as u64,
                    running: depth.running as u64,
                }
            })
            .collect();
        let completed: u64 = counts.completed.iter().sum();
        let ended = completed + counts.failed + counts.cancelled + counts.abandoned;
        CounterSnapshot {
            requests: by_path(&Endpoint::ALL, &counts.requests),
            rejected_invalid: counts.rejected_invalid,
            rejected_full: counts.rejected_full,
            items_admitted: counts.admitted,
            items_completed: completed,
            items_completed_by_endpoint: by_path(&Endpoint::ITEM_ROUTES, &counts.completed),
            items_failed: counts.failed,
            items_cancelled: counts.cancelled,
            items_abandoned: counts.abandoned,
            items_in_progress: counts.admitted - ended,
            queue_depth: gpus.iter().map(|gpu| gpu.queue_depth).sum(),
            running: gpus.iter().map(|gpu| gpu.running).sum(),
            gpus,
        }
    }
}

type PerEndpoint = [u64; Endpoint::ALL.len()];

fn by_path(endpoints: &[Endpoint], counts: &PerEndpoint) -> BTreeMap<&'static str, u64> {
    endpoints.iter().map(|endpoint| (endpoint.path(), counts[endpoint.index()])).collect()
}

/// Where the host counts.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default, Clone)]
struct Counts {
    requests: PerEndpoint,
    completed: PerEndpoint,
    rejected_invalid: u64,
    rejected_full: u64,
    admitted: u64,
    failed: u64,
    cancelled: u64,
    abandoned: u64,
}

/// How items that were admitted ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Failed,
    Cancelled,
    Abandoned,
}

impl Tally {
    pub(crate) fn request(&self, endpoint: Endpoint) {
        self.lock().requests[endpoint.index()] += 1;
    }

    pub(crate) fn invalid(&self) {
        self.lock().rejected_invalid += 1;
    }

    /// Counted before a GPU takes the items, so that none ends before it was admitted.
    pub(crate) fn admitted(&self, items: u32) {
        self.lock().admitted += u64::from(items);
    }

    /// Takes back [`admitted`](Tally::admitted): no GPU had room.
    pub(crate) fn refused(&self, items: u32) {
        let mut counts = self.lock();
        counts.admitted -= u64::from(items);
        counts.rejected_full += 1;
    }

    /// Each item admitted ends once; the caller sees to that.
    pub(crate) fn ended(&self, endpoint: Endpoint, items: u32, ending: Ending) {
        let items = u64::from(items);
        let mut counts = self.lock();
        match ending {
            Ending::Completed => counts.completed[endpoint.index()] += items,
            Ending::Failed => counts.failed += items,
            Ending::Cancelled => counts.cancelled += items,
            Ending::Abandoned => counts.abandoned += items,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
