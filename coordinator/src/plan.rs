//! What to run: flags and files become one validated [`Plan`].

mod build;
mod defaults;
mod raw;
mod replay;
mod text;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use fluxfleet_proto::arrival::Arrivals;
use fluxfleet_proto::load::{Limits, Warmup, WhenFull};
use fluxfleet_proto::message::Cadence;
use fluxfleet_proto::trial::{Strategy, Target, Workload};

pub use build::{InvalidPlan, Problem};
pub use defaults::{BUILT_IN, DEFAULT_PROMPTS};
pub use raw::{CALIBRATE, RawPlan};

/// A validated plan: nothing in it needs checking again.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where requests go, and how long they may take.
    pub target: Target,
    /// What is asked for.
    pub workload: Workload,
    /// Items per strategy for the whole fleet; at least 1. `None`: as many as fit into the time of `limits` or of
    /// the arrivals.
    pub items: Option<u64>,
    /// What the user asked to have in flight, before strategies make their own of it.
    pub concurrent: NonZeroU32,
    /// When requests start.
    pub load: PlannedLoad,
    /// Warm-up and measured time of each strategy, for the whole fleet.
    pub limits: Limits,
    /// How much may fail before a strategy is stopped. `None`: everything.
    pub error_limit: Option<ErrorLimit>,
    /// Let each worker measure its ceiling for so long before its first trial. `None`: do not.
    pub calibrate: Option<Duration>,
    /// Strategies in the order they run; never empty, no name twice.
    pub strategies: Vec<PlannedStrategy>,
    /// Pause between two strategies.
    pub cooldown: Duration,
    /// Time between two samples of an agent's normal lane.
    pub sample_period: Duration,
    /// Time between two samples of its fast lane: power and energy.
    pub fast_period: Duration,
    /// Whether to look for the strategies' endpoints before the load.
    pub preflight: bool,
    /// Who generates the load and who watches the host.
    pub fleet: FleetPlan,
    /// What comes out, and where.
    pub output: OutputPlan,
}

/// A strategy and the load it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStrategy {
    /// How it asks.
    pub strategy: Strategy,
    /// Requests that the whole fleet holds in flight; in an open load the most at a time
    /// ([`NO_LIMIT`](fluxfleet_proto::load::NO_LIMIT): any number).
    pub in_flight: NonZeroU32,
}

/// When the requests of every strategy start.
#[derive(Clone, Debug, PartialEq)]
pub enum PlannedLoad {
    /// As soon as another has ended.
    Closed,
    /// At their own times.
    Open {
        /// In items a second (a request of `n` items counts as `n`), except for a replay, whose entries are
        /// requests.
        arrivals: Arrivals,
        /// What happens to an arrival that finds no place in flight.
        when_full: WhenFull,
    },
}

/// How much may fail before a strategy is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ErrorLimit {
    /// So many items.
    Items(u64),
    /// This share of the items that ended, 0 to 1, once [`ErrorLimit::LEAST`] have ended.
    Share(f64),
}

impl ErrorLimit {
    /// Items that must have ended before a share of them says anything.
    pub const LEAST: u64 = 20;
}

/// Who generates the load and who watches the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetPlan {
    /// Workers and agent inside this process, over the same gRPC path.
    Embedded {
        /// Workers to start; at least 1.
        workers: NonZeroU32,
    },
    /// Workers and agents that dial in.
    Remote {
        /// Where to listen.
        listen: SocketAddr,
        /// Workers to wait for; at least 1.
        workers: NonZeroU32,
        /// Agents to wait for.
        agents: u32,
        /// How long to wait for all of them.
        wait: Duration,
    },
}

/// What comes out, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPlan {
    /// Directory for files; `None` means `results/<run-id>`.
    pub dir: Option<PathBuf>,
    /// Write `results.json`.
    pub save: bool,
    /// Write `performance_comparison.png`.
    pub plot: bool,
    /// Which requests are kept in detail.
    pub records: RecordsPolicy,
    /// Language of everything printed for people.
    pub lang: Lang,
    /// Print nothing but the final report.
    pub quiet: bool,
    /// Colour allowed.
    pub color: bool,
    /// Exit 0 although the verdict is invalid.
    pub allow_invalid: bool,
}

/// Which requests are kept in detail for `detailed_results`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsPolicy {
    /// All, while a run plans at most [`AUTO_RECORDS_ITEMS`] items; else none.
    Auto,
    /// All, however many.
    All,
    /// None.
    None,
}

/// Items of a whole run up to which `--records auto` keeps every request.
pub const AUTO_RECORDS_ITEMS: u64 = 10_000;

/// Language of everything printed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// English.
    En,
    /// Simplified Chinese, with the seed's own headings.
    Zh,
}

/// Time in which the agents' slow lane comes to each GPU once.
const SLOW_PERIOD: Duration = Duration::from_secs(2);

impl Plan {
    /// How often the agents read what.
    pub fn cadence(&self) -> Cadence {
        Cadence {
            fast: self.fast_period,
            normal: self.sample_period,
            slow: SLOW_PERIOD.max(self.sample_period),
        }
    }

    /// Whether requests are to be kept in detail.
    pub fn keeps_records(&self) -> bool {
        match self.output.records {
            RecordsPolicy::All => true,
            RecordsPolicy::None => false,
            RecordsPolicy::Auto => {
                let items = self.strategies.iter().map(|s| self.expected_items(s));
                items.sum::<Option<f64>>().is_some_and(|sum| sum <= AUTO_RECORDS_ITEMS as f64)
            }
        }
    }

    /// Items that a strategy is expected to ask for, warm-up and all. `None` when that depends on the service.
    fn expected_items(&self, planned: &PlannedStrategy) -> Option<f64> {
        let warm_items = match self.limits.warmup {
            Warmup::Items(n) => n as f64,
            Warmup::None | Warmup::Time(_) => 0.0,
        };
        let measured = self.items.map(|n| n as f64);
        let PlannedLoad::Open { arrivals, .. } = &self.load else {
            // What a timed warm-up of a closed load asks for is known by nobody; it counts for nothing here.
            return measured.map(|n| n + warm_items);
        };
        let warm_time = match self.limits.warmup {
            Warmup::Time(time) => time,
            Warmup::None | Warmup::Items(_) => Duration::ZERO,
        };
        let until = self.limits.duration.map(|d| warm_time + d);
        // A replay's last arrival is at its very end.
        let until = until.or_else(|| arrivals.length().map(|l| l + Duration::from_nanos(1)));
        let per_arrival = match arrivals {
            Arrivals::Drawn { .. } => 1.0,
            Arrivals::Replay(_) => f64::from(planned.strategy.items_per_request().get()),
        };
        let in_time = until.map(|end| arrivals.expected(end) * per_arrival + warm_items);
        let in_all = measured.map(|n| n + warm_items + arrivals.expected(warm_time) * per_arrival);
        match (in_time, in_all) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }
}
