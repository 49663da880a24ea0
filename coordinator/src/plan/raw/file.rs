//! The plan file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{CALIBRATE, RawPlan, RawStrategy};

/// The plan file: the flags under their own names, and what has no flag.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    url: Option<String>,
    requests: Option<Scalar>,
    concurrent: Option<Scalar>,
    #[serde(default)]
    strategies: Vec<String>,
    #[serde(rename = "pool-concurrent")]
    pool_concurrent: Option<Scalar>,
    #[serde(rename = "batch-size")]
    batch_size: Option<Scalar>,
    #[serde(rename = "poll-interval")]
    poll_interval: Option<Scalar>,
    rate: Option<Scalar>,
    stages: Option<Stages>,
    arrival: Option<String>,
    duration: Option<Scalar>,
    #[serde(rename = "max-in-flight")]
    max_in_flight: Option<Scalar>,
    #[serde(rename = "when-full")]
    when_full: Option<String>,
    warmup: Option<Scalar>,
    #[serde(rename = "error-limit")]
    error_limit: Option<Scalar>,
    calibrate: Option<Switch>,
    cooldown: Option<Scalar>,
    #[serde(rename = "sample-period")]
    sample_period: Option<Scalar>,
    #[serde(rename = "fast-period")]
    fast_period: Option<Scalar>,
    #[serde(default, rename = "skip-preflight")]
    skip_preflight: bool,
    timeout: Option<Scalar>,
    #[serde(rename = "max-body")]
    max_body: Option<Scalar>,
    driver: Option<String>,
    http: Option<Scalar>,
    proxy: Option<String>,
    ca: Option<String>,
    #[serde(default)]
    insecure: bool,
    seed: Option<Scalar>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    parameters: Option<serde_json::Map<String, serde_json::Value>>,
    prompts: Option<Vec<String>>,
    #[serde(default)]
    strategy: BTreeMap<String, RawStrategy>,
    listen: Option<String>,
    workers: Option<Scalar>,
    agents: Option<Scalar>,
    wait: Option<Scalar>,
    #[serde(rename = "local-workers")]
    local_workers: Option<Scalar>,
    out: Option<String>,
    #[serde(default)]
    save: bool,
    #[serde(default)]
    plot: bool,
    records: Option<String>,
    lang: Option<String>,
}

/// One text, or a text for each stage.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stages {
    One(String),
    Each(Vec<String>),
}

impl Stages {
    fn text(self) -> String {
        match self {
            Self::One(text) => text,
            Self::Each(stages) => stages.join(","),
        }
    }
}

/// `true`, `false`, or a time.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Switch {
    Is(bool),
    For(Scalar),
}

impl Switch {
    fn text(self) -> Option<String> {
        match self {
            Self::Is(on) => on.then(|| CALIBRATE.to_owned()),
            Self::For(time) => Some(time.text()),
        }
    }
}

/// A number or a text, kept as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Int(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Text(s) => s,
        }
    }
}

impl RawPlan {
    /// Reads a plan file's text.
    ///
    /// # Errors
    /// The TOML parser's message, with line and column.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let f: PlanFile = toml::from_str(text).map_err(|e| e.to_string())?;
        let scalar = |s: Option<Scalar>| s.map(Scalar::text);
        Ok(Self {
            url: f.url,
            requests: scalar(f.requests),
            concurrent: scalar(f.concurrent),
            strategies: f.strategies,
            pool_concurrent: scalar(f.pool_concurrent),
            batch_size: scalar(f.batch_size),
            poll_interval: scalar(f.poll_interval),
            rate: scalar(f.rate),
            stages: f.stages.map(Stages::text),
            arrival: f.arrival,
            duration: scalar(f.duration),
            max_in_flight: scalar(f.max_in_flight),
            when_full: f.when_full,
            warmup: scalar(f.warmup),
            error_limit: scalar(f.error_limit),
            calibrate: f.calibrate.and_then(Switch::text),
            cooldown: scalar(f.cooldown),
            sample_period: scalar(f.sample_period),
            fast_period: scalar(f.fast_period),
            skip_preflight: f.skip_preflight,
            timeout: scalar(f.timeout),
            max_body: scalar(f.max_body),
            driver: f.driver,
            http: scalar(f.http),
            proxy: f.proxy,
            ca: f.ca,
            insecure: f.insecure,
            seed: scalar(f.seed),
            headers: f.headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect(),
            params: Vec::new(),
            parameters: f.parameters,
            prompts: f.prompts,
            strategy: f.strategy,
            listen: f.listen,
            workers: scalar(f.workers),
            agents: scalar(f.agents),
            wait: scalar(f.wait),
            local_workers: scalar(f.local_workers),
            out: f.out,
            save: f.save,
            plot: f.plot,
            records: f.records,
            lang: f.lang,
            quiet: false,
            no_color: false,
            allow_invalid: false,
        })
    }
}
