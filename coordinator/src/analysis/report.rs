//! The values that a report shows, and why one is missing.

mod fleet;

use std::time::Duration;

use fluxfleet_proto::failure::{FailureKind, NotSentReason};
use fluxfleet_proto::id::RunId;
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::load::Limits;
use fluxfleet_proto::reading::Absence;

use crate::plan::{ErrorLimit, PlannedLoad};

use super::advice::Advice;
use super::generator::GeneratorReport;
use super::gpu::{GpuHappening, GpusReport};
use super::load::LoadReport;
use super::note::Note;
use super::phases::{SeriesPoint, WarmupReport};
use super::score::ScoreSettings;
use super::steady::Steady;
use super::verdict::Verdict;
pub use fleet::{AgentReport, ClockReport, FleetReport, LostReport, WorkerReport};

/// Everything a report says about a run. Reporters show these values and compute none.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The run's id.
    pub run: RunId,
    /// When the run began: wall time since the Unix epoch.
    pub started_at: Duration,
    /// What was asked for.
    pub config: TestConfig,
    /// Whether the numbers can be trusted.
    pub verdict: Verdict,
    /// Whether the user stopped the run before its end.
    pub partial: bool,
    /// One row per strategy, in the plan's order.
    pub strategies: Vec<StrategyReport>,
    /// The strategy with the highest score. `None` when nothing succeeded.
    pub best: Option<Best>,
    /// Every other strategy against the baseline, in the plan's order.
    pub improvements: Result<Vec<Improvement>, Missing>,
    /// One per strategy, in the plan's order: its figures as shares of the best ones.
    pub profiles: Vec<Profile>,
    /// Rules of thumb that apply.
    pub advice: Vec<Advice>,
    /// What a reader should know and what does not touch the verdict.
    pub notes: Vec<Note>,
    /// Who generated the load and who watched the host.
    pub fleet: FleetReport,
    /// What happened to GPUs, by time.
    pub gpu_events: Vec<GpuHappening>,
    /// Why there are no `detailed_results`. `None` when every request was kept.
    pub detail_absent: Option<DetailAbsent>,
}

/// A number, or why there is none. Zero is a measurement.
pub type Value<T = f64> = Result<T, Missing>;

/// Why a value is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Preflight left the strategy out; the text says why.
    Skipped(String),
    /// The run ended before the strategy.
    NotStarted(NotSentReason),
    /// No request was sent.
    NothingSent,
    /// No item ended well.
    NoSuccess,
    /// The service has no endpoint for the strategy, as every answer said.
    NoEndpoint,
    /// No request failed as a whole.
    NothingFailed,
    /// First send and last end are the same instant.
    NoTime,
    /// A deviation needs two values.
    OneValue,
    /// The service does not say.
    NotReported,
    /// A closed load has no arrivals.
    ClosedLoad,
    /// An open load holds no number in flight.
    OpenLoad,
    /// There are too few of what it is made of.
    TooFew {
        /// How many there are.
        count: u64,
        /// How many it takes.
        least: u64,
    },
    /// Gaps that are all the same have no distribution to test: how late they are is what tells.
    EvenGaps,
    /// Gaps no longer than sends may be late by: again the lateness is what tells.
    ShortGaps {
        /// The mean gap between a lane's arrivals, in microseconds.
        mean_us: u64,
        /// What it must be above, in microseconds.
        least_us: u64,
    },
    /// A replayed list of arrivals follows no law.
    NoLaw,
    /// The trial was cut short.
    Stopped,
    /// No connection was opened in the measured phase.
    NoConnection,
    /// No connection with TLS was opened in the measured phase.
    NoTls,
    /// Every arrival was sent.
    AllSent,
    /// No agent took part; the text says why.
    NoAgent(String),
    /// The agents' hosts have no GPU.
    NoGpu,
    /// No sample falls into the strategy's window.
    NoSample,
    /// The agent could not read it.
    NotRead(Absence),
    /// The GPU's energy counter fell within the window: the driver was loaded anew.
    CounterReset,
    /// The GPU's energy counter never moved.
    CounterStill,
    /// No reading was taken before the window, or none after it.
    NotEnclosed,
    /// Two readings within the window are too far apart.
    ReadingGap {
        /// How far, in milliseconds.
        gap_ms: u64,
        /// How far they may be.
        longest_ms: u64,
    },
    /// Too little was seen of the GPU before the first strategy.
    IdleTooShort {
        /// Readings of its power.
        readings: u64,
        /// Over how long, in milliseconds.
        seen_ms: u64,
    },
    /// A GPU lacks it, and so does the sum over all of them.
    OfGpu {
        /// The GPU's host.
        host: String,
        /// Its UUID; `None`: the host's GPUs cannot be seen.
        gpu: Option<String>,
        /// Why.
        why: Box<Missing>,
    },
    /// The plan has no strategy named `baseline`.
    NoBaseline,
    /// The plan has no strategy beside the baseline.
    NothingToCompare,
    /// The baseline has no value for the reason inside.
    BaselineMissing(Box<Missing>),
}

/// What was asked for. Holds no header values and no credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct TestConfig {
    /// Base URL, credentials in it masked.
    pub url: String,
    /// Items per strategy for the whole fleet. `None`: as many as fit into the time.
    pub items_per_strategy: Option<u64>,
    /// Requests that the user asked to have in flight.
    pub concurrent: u32,
    /// When requests start.
    pub load: PlannedLoad,
    /// Warm-up and measured time.
    pub limits: Limits,
    /// How much may fail before a strategy is stopped.
    pub error_limit: Option<ErrorLimit>,
    /// Whether the workers measured their ceilings.
    pub calibrated: bool,
    /// Time a request may take, in seconds.
    pub timeout_s: f64,
    /// Pause between two strategies, in seconds.
    pub cooldown_s: f64,
    /// Time between two samples of an agent, in seconds.
    pub sample_period_s: f64,
    /// Whether the strategies' endpoints were looked for before the load.
    pub preflight: bool,
    /// Seed of the first item.
    pub seed: u64,
    /// Prompts used in turn.
    pub prompts: usize,
    /// Fields that each request body carries beside its prompt: a JSON object.
    pub parameters_json: String,
    /// Names of the headers sent; values may be secrets and stay out.
    pub headers: Vec<String>,
    /// Items a request of the batch strategy asks for. `None` when no strategy batches.
    pub batch_size: Option<u32>,
    /// Workers planned.
    pub workers: u32,
    /// Agents planned to dial in. `None` when they ran inside the coordinator.
    pub remote_agents: Option<u32>,
    /// References of the efficiency score.
    pub score: ScoreSettings,
}

/// One strategy's row.
#[derive(Clone, Debug, PartialEq)]
pub struct StrategyReport {
    /// Its name.
    pub name: String,
    /// Path its requests are posted to.
    pub path: String,
    /// Items that a full request asks for.
    pub items_per_request: u32,
    /// Requests that the fleet was to hold in flight; in an open load the most at a time. `None`: any number.
    pub in_flight: Option<u32>,
    /// Every item planned, by how it ended.
    pub items: Items,
    /// What was measured, or why nothing was: [`Missing::Skipped`] or [`Missing::NotStarted`].
    pub measured: Result<Box<Measured>, Missing>,
}

/// Every item planned, by how it ended. `planned` = `ok` + `failed` + `not_sent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// Planned for the fleet.
    pub planned: u64,
    /// Ended well.
    pub ok: u64,
    /// Failed.
    pub failed: u64,
    /// Never asked for, or not known to have been.
    pub not_sent: u64,
}

impl Items {
    /// Whether every item planned has exactly one end.
    pub fn add_up(self) -> bool {
        u128::from(self.planned) == u128::from(self.ok) + u128::from(self.failed) + u128::from(self.not_sent)
    }
}

/// What was measured of a strategy that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// First send and last end, as wall times since the Unix epoch. `None` when nothing was sent.
    pub window: Option<(Duration, Duration)>,
    /// Length of that window, in seconds.
    pub total_time_s: Value,
    /// Items that ended well per second of the window.
    pub throughput_items_per_s: Value,
    /// Share of the items that ended which ended well, in percent.
    pub success_rate_percent: Value,
    /// Requests and what belongs to them.
    pub requests: Requests,
    /// Items not sent, by reason.
    pub not_sent: Vec<(NotSentReason, u64)>,
    /// The load that was asked for against the one that was sent.
    pub load: LoadReport,
    /// What came before measuring. `None` when no warm-up was asked for.
    pub warmup: Option<WarmupReport>,
    /// Since when the trial was steady.
    pub steady: Steady,
    /// The trial second by second.
    pub series: Vec<SeriesPoint>,
    /// From the intended start to the end, of requests with at least one item ok.
    pub response: Times,
    /// From the actual send to the end, of the same requests.
    pub service: Times,
    /// From the actual send to the first byte of the answer, of the same requests.
    pub first_byte: Times,
    /// From the intended start to the end, of requests whose items all failed.
    pub failed_response: Times,
    /// Actual send minus intended start, of all requests.
    pub send_lateness: Times,
    /// What the service itself says a generation took.
    pub generation: Times,
    /// From the intended start to the moment the pacer took it up, of all arrivals.
    pub pacer_lateness: Times,
    /// From the intended start to the moment it was given up, of arrivals that were not sent.
    pub not_sent_wait: Times,
    /// Name look-up and TCP connection, of connections opened.
    pub connect: Times,
    /// TLS handshake, of connections opened.
    pub tls: Times,
    /// What the agents saw in the window.
    pub host: HostMeans,
    /// What it did to each GPU.
    pub gpus: GpusReport,
    /// Efficiency score, 0 to 1.
    pub score: Value,
    /// The score stands without GPU readings: its other two weights are rescaled.
    pub score_without_gpu: bool,
    /// Failed items by kind, most frequent first.
    pub errors: Vec<ErrorLine>,
    /// Each worker's part.
    pub workers: Vec<WorkerPart>,
    /// How each worker's generator fared, in the order of `workers`.
    pub generators: Vec<GeneratorReport>,
    /// Everything behind `response`.
    pub response_histogram: Latency,
    /// Everything behind `service`.
    pub service_histogram: Latency,
}

/// Requests of a strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Sent; an asynchronous job counts once.
    pub sent: u64,
    /// Ended with every item ok.
    pub ok: u64,
    /// Ended with at least one item failed.
    pub failed: u64,
    /// Status polls sent.
    pub polls: u64,
    /// Redirects followed.
    pub redirects: u64,
    /// Connections opened.
    pub connections: u64,
    /// Bytes of answer bodies.
    pub bytes_received: u64,
}

impl Requests {
    /// Requests that ended.
    pub fn ended(self) -> u64 {
        self.ok + self.failed
    }
}

/// Statistics of a set of durations, all in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// Durations.
    pub count: u64,
    /// Durations beyond the histogram's range; they count in the mean and the extremes.
    pub overflow: u64,
    /// Exact mean.
    pub mean_s: Value,
    /// Sample standard deviation.
    pub std_dev_s: Value,
    /// Shortest.
    pub min_s: Value,
    /// Longest.
    pub max_s: Value,
    /// Half of the durations do not exceed it: the median.
    pub p50: Percentile,
    /// 90 % do not exceed it.
    pub p90: Percentile,
    /// 95 % do not exceed it.
    pub p95: Percentile,
    /// 99 % do not exceed it.
    pub p99: Percentile,
    /// 99.9 % do not exceed it.
    pub p999: Percentile,
}

/// A percentile and whether its sample count supports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentile {
    /// The percentile, in seconds.
    pub seconds: Value,
    /// Whether there are enough durations behind it; see [`certify`](super::certify).
    pub certified: bool,
}

/// Mean readings of the hosts over a strategy's window: over a host's GPUs, then its samples, then the hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct HostMeans {
    /// GPU utilization, percent.
    pub gpu_percent: Value,
    /// GPU memory in use, percent of the total.
    pub vram_percent: Value,
    /// Busy share of all cores, percent.
    pub cpu_percent: Value,
    /// Memory in use, percent of the total.
    pub memory_percent: Value,
    /// Samples in the window, over all hosts.
    pub samples: u64,
}

/// Failed items of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorLine {
    /// The kind.
    pub kind: FailureKind,
    /// Items.
    pub count: u64,
    /// What one of them looked like.
    pub example: Option<String>,
}

/// One worker's part of a strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPart {
    /// The worker's name.
    pub worker: String,
    /// Its items.
    pub items: Items,
    /// When it began minus the planned start, in microseconds. `None` when it never began.
    pub start_skew_us: Option<i64>,
}

/// The strategy with the highest score.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Its name.
    pub strategy: String,
    /// Its score.
    pub score: f64,
    /// Its throughput, items per second.
    pub throughput_items_per_s: f64,
    /// Its mean response time, in seconds.
    pub mean_response_s: f64,
}

/// A strategy against the baseline. Positive means more than the baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Improvement {
    /// The strategy.
    pub strategy: String,
    /// Change of the throughput, percent. More is better.
    pub throughput_percent: Value,
    /// Change of the mean response time, percent. Less is better.
    pub response_time_percent: Value,
}

/// A strategy's figures as shares of the best ones, 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its place in the plan.
    pub index: usize,
    /// The strategy.
    pub strategy: String,
    /// Throughput over the highest, lowest mean response time over its own, score over the highest.
    pub shares: Value<[f64; 3]>,
}

/// Why there are no `detailed_results`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailAbsent {
    /// The plan asked for none.
    NotAsked,
    /// More items than the automatic limit.
    TooMany {
        /// Items of the run. `None`: as many as fit into the time.
        items: Option<u64>,
        /// The limit.
        limit: u64,
    },
}
