//! Configuration, verdict, comparison and advice.

use serde::Serialize;
use serde_json::Value as Json;

use crate::analysis::compare::BASELINE;
use crate::analysis::report::{self, Report};
use crate::analysis::score::{GPU_WEIGHT, RESPONSE_TIME_WEIGHT, THROUGHPUT_WEIGHT};
use crate::analysis::{advice, verdict};
use crate::report::text::EN;

use super::absent::Absent;
use super::load::{ErrorLimit, LoadConfig, WarmupConfig};

#[derive(Serialize)]
pub(super) struct Verdict {
    state: &'static str,
    reasons: Vec<String>,
}

impl Verdict {
    pub(super) fn of(verdict: &verdict::Verdict) -> Self {
        Self { state: verdict.state.name(), reasons: verdict.reasons.iter().map(EN.reason).collect() }
    }
}

#[derive(Serialize)]
pub(super) struct TestConfig<'a> {
    url: &'a str,
    requests_per_strategy: Option<u64>,
    concurrent: u32,
    load: LoadConfig,
    warmup: Option<WarmupConfig>,
    duration: Option<f64>,
    error_limit: Option<ErrorLimit>,
    calibrated: bool,
    strategies: Vec<&'a str>,
    timeout: f64,
    cooldown: f64,
    sample_period: f64,
    preflight: bool,
    seed: u64,
    prompts: usize,
    /// `null` when it is no JSON, which a validated plan rules out.
    parameters: Json,
    headers: &'a [String],
    batch_size: Option<u32>,
    workers: u32,
    remote_agents: Option<u32>,
    score: Score,
}

#[derive(Serialize)]
struct Score {
    throughput_reference: f64,
    response_time_reference: f64,
    throughput_weight: f64,
    response_time_weight: f64,
    gpu_weight: f64,
}

impl<'a> TestConfig<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let config = &report.config;
        Self {
            url: &config.url,
            requests_per_strategy: config.items_per_strategy,
            concurrent: config.concurrent,
            load: LoadConfig::of(&config.load),
            warmup: WarmupConfig::of(config.limits.warmup),
            duration: config.limits.duration.map(|d| d.as_secs_f64()),
            error_limit: config.error_limit.map(ErrorLimit::of),
            calibrated: config.calibrated,
            strategies: report.strategies.iter().map(|s| s.name.as_str()).collect(),
            timeout: config.timeout_s,
            cooldown: config.cooldown_s,
            sample_period: config.sample_period_s,
            preflight: config.preflight,
            seed: config.seed,
            prompts: config.prompts,
            parameters: serde_json::from_str(&config.parameters_json).unwrap_or(Json::Null),
            headers: &config.headers,
            batch_size: config.batch_size,
            workers: config.workers,
            remote_agents: config.remote_agents,
            score: Score {
                throughput_reference: config.score.throughput_items_per_s(),
                response_time_reference: config.score.response_time_s(),
                throughput_weight: THROUGHPUT_WEIGHT,
                response_time_weight: RESPONSE_TIME_WEIGHT,
                gpu_weight: GPU_WEIGHT,
            },
        }
    }
}

#[derive(Serialize)]
pub(super) struct Best<'a> {
    strategy: &'a str,
    efficiency_score: f64,
    throughput: f64,
    avg_response_time: f64,
}

impl<'a> Best<'a> {
    pub(super) fn of(best: &'a report::Best) -> Self {
        Self {
            strategy: &best.strategy,
            efficiency_score: best.score,
            throughput: best.throughput_items_per_s,
            avg_response_time: best.mean_response_s,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Improvement<'a> {
    strategy: &'a str,
    baseline: &'static str,
    throughput_percent: Option<f64>,
    response_time_percent: Option<f64>,
    absent: Absent,
}

pub(super) fn improvements(report: &Report) -> Vec<Improvement<'_>> {
    report.improvements.iter().flatten().map(improvement).collect()
}

fn improvement(of: &report::Improvement) -> Improvement<'_> {
    let mut absent = Absent::default();
    Improvement {
        strategy: &of.strategy,
        baseline: BASELINE,
        throughput_percent: absent.take("throughput_percent", &of.throughput_percent),
        response_time_percent: absent.take("response_time_percent", &of.response_time_percent),
        absent,
    }
}

#[derive(Serialize)]
pub(super) struct Advice<'a> {
    strategy: &'a str,
    rule: &'static str,
    reading: f64,
    threshold: f64,
    unit: &'static str,
    remedies: [&'static str; 3],
}

impl<'a> Advice<'a> {
    pub(super) fn of(of: &'a advice::Advice) -> Self {
        Self {
            strategy: &of.strategy,
            rule: of.rule.name(),
            reading: of.reading,
            threshold: of.rule.threshold(),
            unit: of.rule.unit(),
            remedies: (EN.remedies)(of.rule),
        }
    }
}
