//! What to run: strategy, target, workload, and a worker's share.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::Mono;
use crate::failure::NotSentReason;
use crate::id::TrialId;
use crate::load::{Limits, Load};

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
    /// How requests travel.
    pub transport: Transport,
}

/// How requests travel to the target. The results do not depend on it, apart from their speed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// Which HTTP driver.
    pub driver: DriverChoice,
    /// Which versions of HTTP.
    pub http: HttpVersion,
    /// `http://HOST:PORT` of a proxy to go through.
    pub proxy: Option<String>,
    /// PEM certificates of authorities to trust beside the system's.
    pub ca_pem: Option<String>,
    /// Accept whatever certificate the target shows.
    pub insecure: bool,
}

impl DriverChoice {
    /// Whether this choice means the general driver, for this version of HTTP and with or without a proxy.
    pub fn is_general(self, http: HttpVersion, proxied: bool) -> bool {
        match self {
            Self::Auto => http == HttpVersion::Two || proxied,
            Self::Direct => false,
            Self::General => true,
        }
    }
}

/// Which HTTP driver is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// The direct one wherever it can, else the general one.
    #[default]
    Auto,
    /// The worker's own connection-level HTTP/1.1.
    Direct,
    /// A general client: HTTP/2, proxies.
    General,
}

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    One,
    /// HTTP/2: by prior knowledge over plain TCP, negotiated over TLS.
    Two,
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
///
/// In an open load the items are numbered by the fleet's arrivals, `first_item` is 0 and `items` says how many of
/// the worker's lanes are to come, as far as that is known ([`Share::UNBOUNDED`]: it is not).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Index of the first item.
    pub first_item: u64,
    /// Items to ask for.
    pub items: u64,
    /// Requests to hold in flight.
    pub in_flight: u32,
}

impl Share {
    /// Items of a share that ends by time alone: more than any trial sends. Workers' ranges of that length, one
    /// after the other, keep item numbers apart.
    pub const UNBOUNDED: u64 = 1 << 40;

    /// Items planned; `None` when the trial's time alone limits them.
    pub fn planned(&self) -> Option<u64> {
        (self.items < Self::UNBOUNDED).then_some(self.items)
    }
}

/// All a worker needs to run its share.
#[derive(Clone, Debug, PartialEq)]
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
    /// When its requests start.
    pub load: Load,
    /// When measuring begins, and when the trial ends at the latest.
    pub limits: Limits,
    /// Measure this worker's ceiling for so long before the trial. `None`: do not.
    pub calibrate: Option<Duration>,
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
    /// Items of the measured phase that were never reached, and why. What an open load gave up on the way is in
    /// the intervals.
    pub not_sent: Option<(u64, NotSentReason)>,
    /// When the worker was released at the start barrier.
    pub started: Option<Mono>,
    /// First send and last end of a request. `None` when none was sent.
    pub active: Option<(Mono, Mono)>,
}
