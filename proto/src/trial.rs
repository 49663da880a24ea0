//! What to run: strategy, target, workload, and a worker's share.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::Mono;
use crate::failure::NotSentReason;
use crate::id::TrialId;

/// A named way of asking the service for items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Used in reports and request ids.
    pub name: String,
    /// How it asks.
    pub method: Method,
}

impl Strategy {
    /// Items a full request asks for.
    pub fn items_per_request(&self) -> NonZeroU32 {
        match self.method {
            Method::Batch { size, .. } => size,
            Method::Single { .. } | Method::Async { .. } => NonZeroU32::MIN,
        }
    }

    /// The path its requests are posted to.
    pub fn path(&self) -> &str {
        match &self.method {
            Method::Single { path } | Method::Batch { path, .. } => path,
            Method::Async { submit_path, .. } => submit_path,
        }
    }
}

/// How a strategy asks. Paths begin with `/` and are appended to the target's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// One item a request, answered in the response.
    Single {
        /// Where to post.
        path: String,
    },
    /// Several items a request, answered in the response.
    Batch {
        /// Where to post.
        path: String,
        /// Items a request asks for.
        size: NonZeroU32,
    },
    /// Submit, then poll until terminal; the item holds its place in flight until then.
    Async {
        /// Where to post the job.
        submit_path: String,
        /// Field of the submit answer that holds the job id.
        id_field: String,
        /// Status route with `{id}` in it; `None` follows the submit answer's `status_url`.
        status_path: Option<String>,
        /// Time between two polls of one job: the error of detecting completion is at most this.
        poll_interval: Duration,
    },
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Absolute http or https URL without query and fragment.
    pub base_url: String,
    /// A request not ended this long after it was sent has failed.
    pub timeout: Duration,
    /// Name and value, sent with each request.
    pub headers: Vec<(String, String)>,
    /// A longer answer fails, in bytes.
    pub max_body_bytes: u64,
}

/// What is asked for, whichever way it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Used round-robin by item index; never empty.
    pub prompts: Vec<String>,
    /// A JSON object: the fields that every request body carries beside its prompt.
    pub parameters_json: String,
    /// Item `i` asks for seed `seed + i`, wrapping at 2^32.
    pub seed: u64,
}

/// A worker's exact part of a trial: items `first_item .. first_item + items`, with at most `in_flight`
/// requests at a time. No requests in flight means no items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Index of the first item.
    pub first_item: u64,
    /// Items to ask for.
    pub items: u64,
    /// Requests to hold in flight.
    pub in_flight: u32,
}

/// All a worker needs to run its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which trial of the run.
    pub trial: TrialId,
    /// How to ask.
    pub strategy: Strategy,
    /// Where.
    pub target: Target,
    /// For what.
    pub workload: Workload,
    /// How much of it.
    pub share: Share,
    /// Whether to send a record of each request.
    pub record_requests: bool,
    /// How often to report.
    pub interval: Duration,
}

/// How a worker's part of a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialEnd {
    /// Intervals sent.
    pub intervals: u64,
    /// Record messages sent.
    pub records: u64,
    /// Items never asked for, and why.
    pub not_sent: Option<(u64, NotSentReason)>,
    /// When the worker was released at the start barrier.
    pub started: Option<Mono>,
    /// First send and last end of a request. `None` when none was sent.
    pub active: Option<(Mono, Mono)>,
}
