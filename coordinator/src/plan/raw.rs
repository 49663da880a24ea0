//! What was typed or written in a plan file, before any of it is checked.

mod file;

use std::collections::BTreeMap;

use serde::Deserialize;

/// What `--calibrate` without a value means.
pub const CALIBRATE: &str = "1s";

/// Flags and plan file before validation. Values are texts as they were typed, so that every problem in them
/// can be reported at once and in one voice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawPlan {
    /// `--url`
    pub url: Option<String>,
    /// `--requests`
    pub requests: Option<String>,
    /// `--concurrent`
    pub concurrent: Option<String>,
    /// `--strategies`; each may hold several names separated by commas. Empty: not given.
    pub strategies: Vec<String>,
    /// `--pool-concurrent`
    pub pool_concurrent: Option<String>,
    /// `--batch-size`
    pub batch_size: Option<String>,
    /// `--poll-interval`
    pub poll_interval: Option<String>,
    /// `--rate`
    pub rate: Option<String>,
    /// `--stages`
    pub stages: Option<String>,
    /// `--arrival`
    pub arrival: Option<String>,
    /// `--duration`
    pub duration: Option<String>,
    /// `--max-in-flight`
    pub max_in_flight: Option<String>,
    /// `--when-full`
    pub when_full: Option<String>,
    /// `--warmup`
    pub warmup: Option<String>,
    /// `--error-limit`
    pub error_limit: Option<String>,
    /// `--calibrate`; [`CALIBRATE`] when given without a value.
    pub calibrate: Option<String>,
    /// `--cooldown`
    pub cooldown: Option<String>,
    /// `--sample-period`
    pub sample_period: Option<String>,
    /// `--fast-period`
    pub fast_period: Option<String>,
    /// `--skip-preflight`
    pub skip_preflight: bool,
    /// `--timeout`
    pub timeout: Option<String>,
    /// `--max-body`
    pub max_body: Option<String>,
    /// `--driver`
    pub driver: Option<String>,
    /// `--http`
    pub http: Option<String>,
    /// `--proxy`
    pub proxy: Option<String>,
    /// `--ca`
    pub ca: Option<String>,
    /// `--insecure`
    pub insecure: bool,
    /// `--seed`
    pub seed: Option<String>,
    /// `--header`, as `Name: value`.
    pub headers: Vec<String>,
    /// `--param`, as `name=value`; the value is JSON, or else taken as text.
    pub params: Vec<String>,
    /// `[parameters]` of the plan file: replaces the built-in ones.
    pub parameters: Option<serde_json::Map<String, serde_json::Value>>,
    /// `prompts` of the plan file.
    pub prompts: Option<Vec<String>>,
    /// `[strategy.NAME]` of the plan file.
    pub strategy: BTreeMap<String, RawStrategy>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--workers`
    pub workers: Option<String>,
    /// `--agents`
    pub agents: Option<String>,
    /// `--wait`
    pub wait: Option<String>,
    /// `--local-workers`
    pub local_workers: Option<String>,
    /// `--out`
    pub out: Option<String>,
    /// `--save`
    pub save: bool,
    /// `--plot`
    pub plot: bool,
    /// `--records`
    pub records: Option<String>,
    /// `--lang`
    pub lang: Option<String>,
    /// `--quiet`
    pub quiet: bool,
    /// `--no-color`
    pub no_color: bool,
    /// `--allow-invalid`
    pub allow_invalid: bool,
}

/// `[strategy.NAME]`: where a built-in strategy finds its routes on this service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStrategy {
    /// Route that requests are posted to.
    pub path: Option<String>,
    /// `async` alone: field of the submit answer that holds the job id.
    pub id_field: Option<String>,
    /// `async` alone: status route with `{id}` in it.
    pub status_path: Option<String>,
}

impl RawPlan {
    /// This plan, with what `over` gives taking precedence (flags over the file).
    #[must_use]
    pub fn overridden_by(mut self, over: Self) -> Self {
        self.yield_load_to(&over);
        let list = |under: Vec<String>, over: Vec<String>| if over.is_empty() { under } else { over };
        Self {
            url: over.url.or(self.url),
            requests: over.requests.or(self.requests),
            concurrent: over.concurrent.or(self.concurrent),
            strategies: list(self.strategies, over.strategies),
            pool_concurrent: over.pool_concurrent.or(self.pool_concurrent),
            batch_size: over.batch_size.or(self.batch_size),
            poll_interval: over.poll_interval.or(self.poll_interval),
            rate: over.rate.or(self.rate),
            stages: over.stages.or(self.stages),
            arrival: over.arrival.or(self.arrival),
            duration: over.duration.or(self.duration),
            max_in_flight: over.max_in_flight.or(self.max_in_flight),
            when_full: over.when_full.or(self.when_full),
            warmup: over.warmup.or(self.warmup),
            error_limit: over.error_limit.or(self.error_limit),
            calibrate: over.calibrate.or(self.calibrate),
            cooldown: over.cooldown.or(self.cooldown),
            sample_period: over.sample_period.or(self.sample_period),
            fast_period: over.fast_period.or(self.fast_period),
            skip_preflight: over.skip_preflight || self.skip_preflight,
            timeout: over.timeout.or(self.timeout),
            max_body: over.max_body.or(self.max_body),
            driver: over.driver.or(self.driver),
            http: over.http.or(self.http),
            proxy: over.proxy.or(self.proxy),
            ca: over.ca.or(self.ca),
            insecure: over.insecure || self.insecure,
            seed: over.seed.or(self.seed),
            // Both hold: a flag adds a header or a parameter to the file's.
            headers: [self.headers, over.headers].concat(),
            params: [self.params, over.params].concat(),
            parameters: over.parameters.or(self.parameters),
            prompts: over.prompts.or(self.prompts),
            strategy: if over.strategy.is_empty() { self.strategy } else { over.strategy },
            listen: over.listen.or(self.listen),
            workers: over.workers.or(self.workers),
            agents: over.agents.or(self.agents),
            wait: over.wait.or(self.wait),
            local_workers: over.local_workers.or(self.local_workers),
            out: over.out.or(self.out),
            save: over.save || self.save,
            plot: over.plot || self.plot,
            records: over.records.or(self.records),
            lang: over.lang.or(self.lang),
            quiet: over.quiet || self.quiet,
            no_color: over.no_color || self.no_color,
            allow_invalid: over.allow_invalid || self.allow_invalid,
        }
    }

    /// Whether a replay says when requests start.
    pub(super) fn replays(&self) -> bool {
        self.arrival.as_deref().is_some_and(|a| a.trim_start().starts_with("replay"))
    }

    /// Whether requests start at their own times.
    pub(super) fn is_open(&self) -> bool {
        self.rate.is_some() || self.stages.is_some() || self.replays()
    }

    /// Gives up what this plan says about when requests start, as far as `over` says it in another way: a rate
    /// takes the place of stages, and either that of a number in flight.
    fn yield_load_to(&mut self, over: &Self) {
        if !over.is_open() {
            return;
        }
        (self.rate, self.stages, self.concurrent, self.pool_concurrent) = (None, None, None, None);
        if self.replays() {
            self.arrival = None;
        }
    }
}
