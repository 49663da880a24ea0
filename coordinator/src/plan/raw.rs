//! What was typed or written in a plan file, before any of it is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    /// `--cooldown`
    pub cooldown: Option<String>,
    /// `--sample-period`
    pub sample_period: Option<String>,
    /// `--skip-preflight`
    pub skip_preflight: bool,
    /// `--timeout`
    pub timeout: Option<String>,
    /// `--max-body`
    pub max_body: Option<String>,
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
    cooldown: Option<Scalar>,
    #[serde(rename = "sample-period")]
    sample_period: Option<Scalar>,
    #[serde(default, rename = "skip-preflight")]
    skip_preflight: bool,
    timeout: Option<Scalar>,
    #[serde(rename = "max-body")]
    max_body: Option<Scalar>,
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
            cooldown: scalar(f.cooldown),
            sample_period: scalar(f.sample_period),
            skip_preflight: f.skip_preflight,
            timeout: scalar(f.timeout),
            max_body: scalar(f.max_body),
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

    /// This plan, with what `over` gives taking precedence (flags over the file).
    #[must_use]
    pub fn overridden_by(self, over: Self) -> Self {
        let list = |under: Vec<String>, over: Vec<String>| if over.is_empty() { under } else { over };
        Self {
            url: over.url.or(self.url),
            requests: over.requests.or(self.requests),
            concurrent: over.concurrent.or(self.concurrent),
            strategies: list(self.strategies, over.strategies),
            pool_concurrent: over.pool_concurrent.or(self.pool_concurrent),
            batch_size: over.batch_size.or(self.batch_size),
            poll_interval: over.poll_interval.or(self.poll_interval),
            cooldown: over.cooldown.or(self.cooldown),
            sample_period: over.sample_period.or(self.sample_period),
            skip_preflight: over.skip_preflight || self.skip_preflight,
            timeout: over.timeout.or(self.timeout),
            max_body: over.max_body.or(self.max_body),
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
}
