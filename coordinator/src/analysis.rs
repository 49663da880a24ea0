//! Turns what a run gathered into a [`Report`]. Pure: reads no clock, opens no file, prints nothing.
//!
//! ```text
//!   RunOutcome --analyse--> Report ---------------------> report::{console, png, json}
//!        |
//!        +--metrics, detail: one entry at a time -------> report::json
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`report`] | the values that a report shows, and why one is missing |
//! | `strategy` | one strategy's statistics |
//! | [`load`] | the load that was asked for against the one that was sent |
//! | [`phases`] | the warm-up, and the trial second by second |
//! | [`steady`] | since when a trial was steady |
//! | [`generator`] | how the load generators fared |
//! | [`host`] | what the agents saw during a strategy |
//! | [`gpu`] | each GPU's energy, power, utilization, memory and throttling during a strategy |
//! | [`score`] | the efficiency score |
//! | [`compare`] | the best strategy, and each one against the baseline |
//! | [`advice`] | rules of thumb with the reading that triggered them |
//! | [`certify`] | whether a sample count supports a percentile |
//! | [`verdict`] | whether the numbers can be trusted, with reasons |
//! | [`note`] | what else a reader should know |
//! | `fleet` | workers and agents of the run |
//! | [`metrics`] | samples as entries of `system_metrics` |
//! | [`detail`] | request records as entries of `detailed_results` |

pub mod advice;
pub mod certify;
pub mod compare;
pub mod detail;
mod fleet;
pub mod generator;
pub mod gpu;
pub mod host;
pub mod load;
pub mod metrics;
pub mod note;
pub mod phases;
pub mod report;
pub mod score;
pub mod steady;
mod strategy;
#[cfg(test)]
pub(crate) mod testing;
pub mod verdict;

pub use report::Report;
pub use score::ScoreSettings;

use fluxfleet_proto::id::PeerId;
use fluxfleet_proto::trial::Method;

use crate::aggregate::RunOutcome;
use crate::plan::{AUTO_RECORDS_ITEMS, FleetPlan, Plan, RecordsPolicy};

use report::{DetailAbsent, TestConfig};

/// Everything a report says about a run.
pub fn analyse(outcome: &RunOutcome, settings: &ScoreSettings) -> Report {
    let names = WorkerNames::of(outcome);
    let gpus = gpu::GpuLogs::of(outcome);
    let gpu_events = gpu::events::happenings(outcome);
    let strategies: Vec<_> =
        outcome.strategies.iter().map(|s| strategy::report(s, outcome, &names, &gpus, *settings)).collect();
    let fleet = fleet::report(outcome);
    Report {
        run: outcome.run.clone(),
        started_at: outcome.began.0,
        config: config(&outcome.plan, *settings),
        verdict: verdict::judge(&strategies, &fleet, outcome.interrupted),
        partial: outcome.interrupted,
        best: compare::best(&strategies),
        improvements: compare::improvements(&strategies),
        profiles: compare::profiles(&strategies),
        advice: advice::advise(&strategies),
        notes: note::notes(&strategies, &gpu_events, *settings),
        fleet,
        gpu_events,
        detail_absent: detail_absent(outcome),
        strategies,
    }
}

/// Looks up what a worker is called.
struct WorkerNames<'a>(&'a RunOutcome);

impl<'a> WorkerNames<'a> {
    fn of(outcome: &'a RunOutcome) -> Self {
        Self(outcome)
    }

    /// Its name, or its number where it never introduced itself.
    fn name(&self, peer: PeerId) -> String {
        self.0
            .workers
            .iter()
            .find(|w| w.peer == peer)
            .map_or_else(|| peer.to_string(), |w| w.hello.name.clone())
    }
}

fn config(plan: &Plan, score: ScoreSettings) -> TestConfig {
    let (workers, remote_agents) = match &plan.fleet {
        FleetPlan::Embedded { workers } => (workers.get(), None),
        FleetPlan::Remote { workers, agents, .. } => (workers.get(), Some(*agents)),
    };
    TestConfig {
        url: masked(&plan.target.base_url),
        items_per_strategy: plan.items,
        load: plan.load.clone(),
        limits: plan.limits,
        error_limit: plan.error_limit,
        calibrated: plan.calibrate.is_some(),
        concurrent: plan.concurrent.get(),
        timeout_s: plan.target.timeout.as_secs_f64(),
        cooldown_s: plan.cooldown.as_secs_f64(),
        sample_period_s: plan.sample_period.as_secs_f64(),
        preflight: plan.preflight,
        seed: plan.workload.seed,
        prompts: plan.workload.prompts.len(),
        parameters_json: plan.workload.parameters_json.clone(),
        batch_size: batch_size(plan),
        headers: plan.target.headers.iter().map(|(name, _)| name.clone()).collect(),
        workers,
        remote_agents,
        score,
    }
}

/// The batching strategies' size, or the largest of them: each strategy's own is in its row.
fn batch_size(plan: &Plan) -> Option<u32> {
    let sizes = plan.strategies.iter().filter_map(|s| match s.strategy.method {
        Method::Batch { size, .. } => Some(size.get()),
        Method::Single { .. } | Method::Async { .. } => None,
    });
    sizes.max()
}

/// The URL without credentials: reports are passed around.
fn masked(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return url.to_owned() };
    if parsed.username().is_empty() && parsed.password().is_none() {
        return url.to_owned();
    }
    // Neither fails on a URL that has credentials.
    let _ = parsed.set_password(None);
    let _ = parsed.set_username("***");
    parsed.to_string()
}

fn detail_absent(outcome: &RunOutcome) -> Option<DetailAbsent> {
    if outcome.records.is_some() {
        return None;
    }
    Some(match outcome.plan.output.records {
        RecordsPolicy::Auto => DetailAbsent::TooMany {
            items: outcome.plan.items.map(|items| items.saturating_mul(outcome.plan.strategies.len() as u64)),
            limit: AUTO_RECORDS_ITEMS,
        },
        RecordsPolicy::None | RecordsPolicy::All => DetailAbsent::NotAsked,
    })
}
