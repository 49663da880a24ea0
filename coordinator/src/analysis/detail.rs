//! Request records as entries of `detailed_results`, one at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::id::{PeerId, TrialId};
use fluxfleet_proto::tally::Phase;
use fluxfleet_proto::units::Micros;
use serde::Serialize;

use crate::aggregate::{Ending, RunOutcome, SpooledRecord};

use super::WorkerNames;
use super::host::HostPoint;
use super::report::Value;

/// Sample periods after which a sample says nothing about a request any more: two, so that one late sample
/// leaves no hole.
pub const FRESH_FOR_PERIODS: u32 = 2;

/// One request in the seed tool's shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetailedResult {
    /// Strategy and index of the first item, as in `batch_0007`, or `batch_warmup_0007` before measuring: the id that
    /// the service saw; unique in the run.
    pub request_id: String,
    /// The strategy.
    pub optimization_type: String,
    /// Which phase it belongs to: `warmup` or `measure`.
    pub phase: &'static str,
    /// Intended start to end, seconds; to when it was given up, where it was not sent.
    pub response_time: f64,
    /// The service's own figure, seconds. `None` when it does not say.
    pub generation_time: Option<f64>,
    /// Mean GPU utilization at the request's end, percent. `None` without a fresh sample.
    pub gpu_utilization: Option<f64>,
    /// Mean GPU memory use at the request's end, percent. `None` without a fresh sample.
    pub vram_usage: Option<f64>,
    /// Busy share of all cores at the request's end, percent. `None` without a fresh sample.
    pub cpu_usage: Option<f64>,
    /// Memory use at the request's end, percent. `None` without a fresh sample.
    pub memory_usage: Option<f64>,
    /// Whether every item ended well.
    pub success: bool,
    /// What went wrong. `None` when nothing did.
    pub error_message: Option<String>,
    /// Its failure kind.
    pub error_kind: Option<String>,
    /// Why it was never sent. `None` when it was.
    pub not_sent: Option<String>,
    /// Intended start, seconds since the Unix epoch.
    pub intended_start: f64,
    /// Index of the first item.
    pub first_item: u64,
    /// Items asked for.
    pub items: u32,
    /// Items that ended well.
    pub items_ok: u32,
    /// The worker.
    pub worker: String,
    /// Actual send to end, seconds. 0 when it was not sent.
    pub service_time: f64,
}

/// What a record is looked up in. Holds names and four numbers per sample, never a record.
#[derive(Debug)]
pub struct DetailContext {
    began: (Duration, Mono),
    fresh_for: Duration,
    strategies: BTreeMap<TrialId, String>,
    workers: BTreeMap<PeerId, String>,
    hosts: Vec<Vec<(Mono, HostPoint)>>,
}

impl DetailContext {
    /// Takes what it needs from the run.
    pub fn of(run: &RunOutcome) -> Self {
        let strategies = run.strategies.iter().filter_map(|s| match &s.ending {
            Ending::Ran(trial) => Some((trial.trial, s.planned.strategy.name.clone())),
            Ending::Skipped(_) | Ending::NotStarted(_) => None,
        });
        let names = WorkerNames::of(run);
        Self {
            began: run.began,
            fresh_for: run.plan.sample_period * FRESH_FOR_PERIODS,
            strategies: strategies.collect(),
            workers: run.workers.iter().map(|w| (w.peer, names.name(w.peer))).collect(),
            hosts: run
                .agents
                .iter()
                .map(|agent| {
                    let own = run.samples.iter().filter(|s| s.agent == agent.peer);
                    own.map(|s| (s.at, HostPoint::of(&s.sample, &agent.hello.devices))).collect()
                })
                .collect(),
        }
    }

    /// The entry of a record.
    pub fn entry(&self, record: &SpooledRecord) -> DetailedResult {
        let strategy =
            self.strategies.get(&record.trial()).cloned().unwrap_or_else(|| record.trial().to_string());
        let end = record.intended() + Duration::from_micros(record.response_time_us);
        let at_end: Vec<_> = self.hosts.iter().filter_map(|samples| self.latest(samples, end)).collect();
        let over_hosts = |pick: fn(&HostPoint) -> &Value| {
            let values: Vec<f64> = at_end.iter().filter_map(|p| pick(p).as_ref().ok()).copied().collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let (error_kind, error_message) = record.error.clone().unzip();
        let (phase, mark) = match record.phase {
            Phase::Warmup => ("warmup", "warmup_"),
            Phase::Measure => ("measure", ""),
        };
        DetailedResult {
            request_id: format!("{strategy}_{mark}{:04}", record.first_item),
            optimization_type: strategy,
            phase,
            response_time: Micros(record.response_time_us).as_secs_f64(),
            generation_time: record.generation_time_us.map(|us| Micros(us).as_secs_f64()),
            gpu_utilization: over_hosts(|p| &p.gpu_percent),
            vram_usage: over_hosts(|p| &p.vram_percent),
            cpu_usage: over_hosts(|p| &p.cpu_percent),
            memory_usage: over_hosts(|p| &p.memory_percent),
            success: record.items_ok == record.items,
            error_message,
            error_kind,
            not_sent: record.not_sent.clone(),
            intended_start: self.wall(record.intended()),
            first_item: record.first_item,
            items: record.items,
            items_ok: record.items_ok,
            worker: self
                .workers
                .get(&record.worker())
                .cloned()
                .unwrap_or_else(|| record.worker().to_string()),
            service_time: Micros(record.service_time_us).as_secs_f64(),
        }
    }

    /// The last sample taken at or before `end`, if it is fresh.
    fn latest<'a>(&self, samples: &'a [(Mono, HostPoint)], end: Mono) -> Option<&'a HostPoint> {
        let after = samples.partition_point(|&(at, _)| at <= end);
        let (at, point) = samples.get(after.checked_sub(1)?)?;
        (end.since(*at) <= self.fresh_for).then_some(point)
    }

    fn wall(&self, at: Mono) -> f64 {
        let (wall, mono) = self.began;
        wall.as_secs_f64() + at.signed_nanos_since(mono) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::PlacedSample;
    use crate::analysis::testing::{RunSketch, WORKER, agent, at, host_sample, seed_run};

    fn record(first_item: u64, intended_ms: i64, response_ms: u64) -> SpooledRecord {
        SpooledRecord {
            trial: 2,
            worker: WORKER.0,
            phase: Phase::Measure,
            first_item,
            items: 4,
            items_ok: 4,
            intended_ns: at(intended_ms).as_nanos(),
            response_time_us: response_ms * 1_000,
            service_time_us: response_ms * 1_000,
            generation_time_us: None,
            error: None,
            not_sent: None,
        }
    }

    /// One host, sampled at 10 s and 11 s with 20 and 40 percent.
    fn sampled() -> RunSketch {
        seed_run().with(|run| {
            let sample = |ms, gpu| PlacedSample {
                agent: run.agents[0].peer,
                at: at(ms),
                error_ns: 1,
                sample: host_sample(1, at(ms), 2, gpu),
            };
            run.samples = vec![sample(10_000, 20.0), sample(11_000, 40.0)];
        })
    }

    #[test]
    fn an_entry_has_the_seeds_shape() {
        let entry = DetailContext::of(&sampled().done()).entry(&record(7, 8_000, 2_500));
        assert_eq!(entry.request_id, "batch_0007");
        assert_eq!((entry.optimization_type.as_str(), entry.worker.as_str()), ("batch", "worker-1"));
        assert!(entry.success && entry.error_message.is_none());
        assert!((entry.response_time - 2.5).abs() < 1e-9);
        assert!((entry.intended_start - 1_735_787_053.0).abs() < 1e-6);
    }

    #[test]
    fn the_host_is_seen_at_the_last_sample_before_the_requests_end() {
        let context = DetailContext::of(&sampled().done());
        let gpu_at_end = |end_ms: u64| context.entry(&record(0, 0, end_ms)).gpu_utilization;
        assert_eq!(gpu_at_end(9_999), None);
        assert_eq!(gpu_at_end(10_000), Some(20.0));
        assert_eq!(gpu_at_end(10_999), Some(20.0));
        assert_eq!(gpu_at_end(11_000), Some(40.0));
        assert_eq!(gpu_at_end(13_000), Some(40.0), "two periods later");
        assert_eq!(gpu_at_end(13_001), None, "more than two periods later");
    }

    #[test]
    fn several_hosts_give_their_mean() {
        let run = sampled().with(|run| {
            let second = agent(PeerId(8), "gpu-host-2");
            let sample = host_sample(1, at(10_500), 2, 60.0);
            run.samples.push(PlacedSample { agent: second.peer, at: at(10_500), error_ns: 1, sample });
            run.agents.push(second);
        });
        let entry = DetailContext::of(&run.done()).entry(&record(0, 0, 10_600));
        assert_eq!(entry.gpu_utilization, Some(40.0));
    }

    #[test]
    fn a_request_with_a_failed_item_is_no_success() {
        let mut failed = record(0, 0, 10_000);
        failed.items_ok = 3;
        failed.error = Some(("short_answer".into(), "3 of 4".into()));
        let entry = DetailContext::of(&sampled().done()).entry(&failed);
        assert!(!entry.success);
        assert_eq!(entry.error_kind.as_deref(), Some("short_answer"));
        assert_eq!(entry.error_message.as_deref(), Some("3 of 4"));
    }

    #[test]
    fn a_warm_up_request_has_an_id_of_its_own_and_an_arrival_given_up_its_reason() {
        let warmup = SpooledRecord { phase: Phase::Warmup, ..record(7, 0, 10) };
        let entry = DetailContext::of(&sampled().done()).entry(&warmup);
        assert_eq!((entry.request_id.as_str(), entry.phase), ("batch_warmup_0007", "warmup"));
        let given_up = SpooledRecord { items_ok: 0, not_sent: Some("no_place".into()), ..record(7, 0, 10) };
        let entry = DetailContext::of(&sampled().done()).entry(&given_up);
        assert_eq!((entry.request_id.as_str(), entry.phase), ("batch_0007", "measure"));
        assert_eq!((entry.not_sent.as_deref(), entry.success), (Some("no_place"), false));
    }
}
