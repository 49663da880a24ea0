//! From raw arguments to a plan, reporting every problem at once.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use fluxfleet_proto::trial::{Target, Workload};
use serde_json::{Map, Value};
use thiserror::Error;

use super::raw::RawPlan;
use super::{
    BUILT_IN, DEFAULT_PROMPTS, FleetPlan, Lang, OutputPlan, Plan, PlannedStrategy, RecordsPolicy, defaults,
    text,
};

/// One thing wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The flag, or the key of the plan file.
    pub place: String,
    /// What was given. Empty when the trouble is that something is missing.
    pub given: String,
    /// What is wrong, and what would do.
    pub trouble: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.given.is_empty() {
            write!(f, "{} {}", self.place, self.trouble)
        } else {
            write!(f, "{} {} {}", self.place, self.given, self.trouble)
        }
    }
}

/// Everything wrong with a plan; never empty.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct InvalidPlan(pub Vec<Problem>);

impl fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            many => {
                write!(f, "the plan has {} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
        }
    }
}

/// Most items a strategy may ask for.
const MAX_ITEMS: u64 = 1_000_000_000_000;
/// Most requests a fleet may hold in flight.
const MAX_IN_FLIGHT: u64 = 1_000_000;
/// Longest request timeout: what the histograms hold with room to spare.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Longest pause and longest wait.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, place: &str, given: impl Into<String>, trouble: impl Into<String>) {
        self.0.push(Problem { place: place.to_owned(), given: given.into(), trouble: trouble.into() });
    }

    /// The parsed value, or the default with the problem noted.
    fn read<T>(
        &mut self,
        place: &str,
        given: Option<&str>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let Some(given) = given else { return default };
        match parse(given) {
            Ok(value) => value,
            Err(trouble) => {
                self.add(place, if given.is_empty() { "''" } else { given }, trouble);
                default
            }
        }
    }

    fn count(&mut self, place: &str, given: Option<&str>, default: u32, max: u64) -> NonZeroU32 {
        let n = self.read(place, given, u64::from(default), |t| text::number(t, 1, max));
        u32::try_from(n).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    }

    fn duration(
        &mut self,
        place: &str,
        given: Option<&str>,
        default: Duration,
        min: Duration,
        max: Duration,
    ) -> Duration {
        self.read(place, given, default, |t| text::duration(t, min, max))
    }
}

impl Plan {
    /// Checks everything.
    ///
    /// # Errors
    /// [`InvalidPlan`] with every problem found, not only the first.
    pub fn build(raw: &RawPlan) -> Result<Self, InvalidPlan> {
        let mut problems = Problems::default();
        let plan = build(raw, &mut problems);
        if problems.0.is_empty() { Ok(plan) } else { Err(InvalidPlan(problems.0)) }
    }
}

fn build(raw: &RawPlan, p: &mut Problems) -> Plan {
    let given = Option::as_deref;
    let ms = Duration::from_millis(1);
    let url = raw.url.as_deref().unwrap_or(defaults::URL);
    let base_url = text::url(url).unwrap_or_else(|trouble| {
        // A password must not be repeated, whatever else is wrong.
        let shown = text::masked(url);
        p.add("--url", if shown.is_empty() { "''".to_owned() } else { shown }, trouble);
        String::new()
    });
    let timeout = p.duration("--timeout", given(&raw.timeout), defaults::TIMEOUT, ms, MAX_TIMEOUT);
    let max_body_bytes =
        p.read("--max-body", given(&raw.max_body), defaults::MAX_BODY, |t| text::bytes(t, 1, 4 << 30));
    let mut headers = Vec::new();
    for header in &raw.headers {
        // The value may be a secret: the message shows the name alone.
        match text::header(header) {
            Ok(pair) => headers.push(pair),
            Err(trouble) => {
                p.add("--header", header.split(':').next().unwrap_or_default(), trouble);
            }
        }
    }
    let items =
        p.read("--requests", given(&raw.requests), defaults::REQUESTS, |t| text::number(t, 1, MAX_ITEMS));
    let concurrent = p.count("--concurrent", given(&raw.concurrent), defaults::CONCURRENT, MAX_IN_FLIGHT);
    let strategies = strategies(raw, concurrent, p);
    let zero = Duration::ZERO;
    Plan {
        target: Target {
            base_url,
            timeout,
            headers,
            max_body_bytes,
            transport: fluxfleet_proto::trial::Transport::default(),
        },
        workload: workload(raw, p),
        items: Some(items),
        concurrent,
        load: super::PlannedLoad::Closed,
        limits: fluxfleet_proto::load::Limits::default(),
        error_limit: None,
        calibrate: None,
        strategies,
        cooldown: p.duration("--cooldown", given(&raw.cooldown), defaults::COOLDOWN, zero, MAX_PAUSE),
        sample_period: p.duration(
            "--sample-period",
            given(&raw.sample_period),
            defaults::SAMPLE_PERIOD,
            Duration::from_millis(20),
            Duration::from_secs(60),
        ),
        preflight: !raw.skip_preflight,
        fleet: fleet(raw, p),
        output: output(raw, p),
    }
}

fn workload(raw: &RawPlan, p: &mut Problems) -> Workload {
    let mut parameters: Map<String, Value> = raw.parameters.clone().unwrap_or_else(defaults::parameters);
    for param in &raw.params {
        match text::parameter(param) {
            Ok((name, value)) => drop(parameters.insert(name, value)),
            Err(trouble) => p.add("--param", param, trouble),
        }
    }
    for taken in ["prompt", "prompts"] {
        if parameters.contains_key(taken) {
            p.add("--param", taken, "is filled in for each request; give prompts in the plan file");
        }
    }
    let prompts = match &raw.prompts {
        Some(prompts) if prompts.iter().all(|t| t.trim().is_empty()) => {
            p.add("prompts", "", "holds no prompt; leave it out for the built-in ten");
            Vec::new()
        }
        Some(prompts) => prompts.clone(),
        None => DEFAULT_PROMPTS.map(str::to_owned).to_vec(),
    };
    Workload {
        prompts,
        parameters_json: Value::Object(parameters).to_string(),
        seed: p.read("--seed", raw.seed.as_deref(), defaults::SEED, |t| text::number(t, 0, u64::MAX)),
    }
}

fn strategies(raw: &RawPlan, concurrent: NonZeroU32, p: &mut Problems) -> Vec<PlannedStrategy> {
    let batch = p.count("--batch-size", raw.batch_size.as_deref(), defaults::BATCH_SIZE, 10_000);
    let poll = p.duration(
        "--poll-interval",
        raw.poll_interval.as_deref(),
        defaults::POLL_INTERVAL,
        Duration::from_millis(1),
        Duration::from_secs(60),
    );
    let pool =
        raw.pool_concurrent.as_deref().map(|t| p.count("--pool-concurrent", Some(t), 1, MAX_IN_FLIGHT));
    for (name, routes) in &raw.strategy {
        let place = format!("[strategy.{name}]");
        if !BUILT_IN.contains(&name.as_str()) {
            p.add(&place, "", format!("names no strategy; there are {}", BUILT_IN.join(", ")));
        }
        for (key, route) in [("path", &routes.path), ("status_path", &routes.status_path)] {
            if let Some(route) = route
                && let Err(trouble) = text::route(route)
            {
                p.add(&format!("{place} {key}"), route, trouble);
            }
        }
        if name != "async" && (routes.id_field.is_some() || routes.status_path.is_some()) {
            p.add(&place, "", "has id_field or status_path, which only async knows");
        }
        if routes.status_path.as_ref().is_some_and(|route| !route.contains("{id}")) {
            p.add(&format!("{place} status_path"), "", "has no {id} for the job's id to go");
        }
    }
    let mut names: Vec<&str> =
        raw.strategies.iter().flat_map(|s| s.split(',')).map(str::trim).filter(|s| !s.is_empty()).collect();
    if names.is_empty() {
        if !raw.strategies.is_empty() {
            p.add("--strategies", "", format!("names none; choose from {}, all", BUILT_IN.join(", ")));
        }
        names.push(BUILT_IN[0]);
    }
    if names.contains(&"all") {
        // `all` beside others still means all, once each, in the seed's order.
        let extra: Vec<&str> = names.into_iter().filter(|n| *n != "all" && !BUILT_IN.contains(n)).collect();
        names = BUILT_IN.into_iter().chain(extra).collect();
    }
    let mut seen = BTreeSet::new();
    let mut planned = Vec::new();
    for name in names {
        let routes = raw.strategy.get(name).cloned().unwrap_or_default();
        match defaults::strategy(name, &routes, batch, poll) {
            None => p.add(
                "--strategies",
                name,
                format!("is not a strategy; choose from {}, all", BUILT_IN.join(", ")),
            ),
            Some(_) if !seen.insert(name.to_owned()) => {
                p.add("--strategies", name, "is named twice; name it once");
            }
            Some(strategy) => {
                let in_flight = match name {
                    "model_pool" => pool.unwrap_or_else(|| defaults::pool_in_flight(concurrent)),
                    _ => concurrent,
                };
                planned.push(PlannedStrategy { strategy, in_flight });
            }
        }
    }
    planned
}

fn fleet(raw: &RawPlan, p: &mut Problems) -> FleetPlan {
    let Some(listen) = raw.listen.as_deref() else {
        for (place, given) in [("--workers", &raw.workers), ("--agents", &raw.agents), ("--wait", &raw.wait)]
        {
            if let Some(given) = given {
                let hint = if place == "--workers" {
                    "; for workers inside this process use --local-workers"
                } else {
                    ""
                };
                p.add(place, given, format!("is about remote peers and needs --listen ADDR:PORT{hint}"));
            }
        }
        return FleetPlan::Embedded {
            workers: p.count("--local-workers", raw.local_workers.as_deref(), 1, 64),
        };
    };
    if let Some(given) = &raw.local_workers {
        p.add("--local-workers", given, "cannot go with --listen; workers dial in then");
    }
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    FleetPlan::Remote {
        listen: p.read("--listen", Some(listen), unspecified, listen_addr),
        workers: p.count("--workers", raw.workers.as_deref(), 1, 10_000),
        agents: {
            let n = p.read("--agents", raw.agents.as_deref(), 0, |t| text::number(t, 0, 10_000));
            u32::try_from(n).unwrap_or_default()
        },
        wait: p.duration("--wait", raw.wait.as_deref(), defaults::WAIT, Duration::from_secs(1), MAX_PAUSE),
    }
}

fn listen_addr(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    // `:7000` and `7000` mean every interface, as people write it.
    let full = match text.strip_prefix(':').unwrap_or(text) {
        port if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => format!("0.0.0.0:{port}"),
        _ => text.to_owned(),
    };
    full.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| "is not an address to listen on; write it as 0.0.0.0:7000".to_owned())
}

fn output(raw: &RawPlan, p: &mut Problems) -> OutputPlan {
    let lang = p.read("--lang", raw.lang.as_deref(), Lang::of_locale(), |t| match t {
        "en" => Ok(Lang::En),
        "zh" => Ok(Lang::Zh),
        _ => Err("is not a language I print; choose en or zh".to_owned()),
    });
    let records = p.read("--records", raw.records.as_deref(), RecordsPolicy::Auto, |t| match t {
        "auto" => Ok(RecordsPolicy::Auto),
        "all" => Ok(RecordsPolicy::All),
        "none" => Ok(RecordsPolicy::None),
        _ => Err("is not known; choose auto, all or none".to_owned()),
    });
    if raw.out.as_deref().is_some_and(|dir| dir.trim().is_empty()) {
        p.add("--out", "''", "names no directory");
    }
    OutputPlan {
        dir: raw.out.as_ref().map(PathBuf::from),
        // A directory named and nothing to go into it would surprise.
        save: raw.save || (raw.out.is_some() && !raw.plot),
        plot: raw.plot,
        records,
        lang,
        quiet: raw.quiet,
        color: !raw.no_color,
        allow_invalid: raw.allow_invalid,
    }
}

impl Lang {
    /// The locale's language, by the order that POSIX gives the variables; English when it says nothing.
    pub fn of_locale() -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty());
        match locale {
            Some(locale) if locale.starts_with("zh") => Self::Zh,
            _ => Self::En,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(change: impl FnOnce(&mut RawPlan)) -> RawPlan {
        let mut raw = RawPlan::default();
        change(&mut raw);
        raw
    }

    #[test]
    fn nothing_given_is_the_seeds_plan() {
        let plan = Plan::build(&RawPlan::default()).expect("the defaults are valid");
        assert_eq!(plan.target.base_url, "http://localhost:8000");
        assert_eq!((plan.items, plan.concurrent.get()), (Some(20), 3));
        assert_eq!(plan.strategies.len(), 1);
        assert_eq!(plan.strategies[0].strategy.name, "baseline");
        assert_eq!(plan.workload.prompts.len(), 10);
        assert_eq!((plan.output.save, plan.output.plot), (false, false));
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let InvalidPlan(problems) = Plan::build(&raw(|r| {
            r.url = Some("localhost:8000".into());
            r.requests = Some("0".into());
            r.concurrent = Some("-3".into());
            r.strategies = vec!["warp".into(), "batch".into(), "batch".into()];
            r.timeout = Some("soon".into());
            r.workers = Some("3".into());
            r.lang = Some("fr".into());
        }))
        .expect_err("seven things are wrong");
        let places: Vec<_> = problems.iter().map(|p| p.place.as_str()).collect();
        assert_eq!(
            places,
            [
                "--url",
                "--timeout",
                "--requests",
                "--concurrent",
                "--strategies",
                "--strategies",
                "--workers",
                "--lang"
            ]
        );
    }

    #[test]
    fn the_pool_gets_five_thirds_rounded_up_unless_told() {
        let pool = |concurrent: &str, pool: Option<&str>| {
            let plan = Plan::build(&raw(|r| {
                r.strategies = vec!["all".into()];
                r.concurrent = Some(concurrent.into());
                r.pool_concurrent = pool.map(Into::into);
            }))
            .expect("valid");
            plan.strategies.iter().map(|s| s.in_flight.get()).collect::<Vec<_>>()
        };
        assert_eq!(pool("3", None), [3, 5, 3, 3]);
        assert_eq!(pool("10", None), [10, 17, 10, 10]);
        assert_eq!(pool("10", Some("40")), [10, 40, 10, 10]);
    }

    #[test]
    fn flags_win_over_the_file_and_headers_add_up() {
        let file = RawPlan::from_toml(
            "url = 'http://a'\nrequests = 7\ncooldown = '1s'\n[headers]\nX-A = '1'\n[strategy.async]\n\
             path = '/q/submit'\nid_field = 'task_id'\nstatus_path = '/q/status?task_id={id}'",
        )
        .expect("a good file");
        let plan = Plan::build(&file.overridden_by(raw(|r| {
            r.requests = Some("9".into());
            r.headers = vec!["X-B: 2".into()];
            r.strategies = vec!["async".into()];
        })))
        .expect("valid");
        assert_eq!((plan.items, plan.target.base_url.as_str()), (Some(9), "http://a"));
        assert_eq!(plan.target.headers.len(), 2);
        assert_eq!(plan.strategies[0].strategy.path(), "/q/submit");
    }

    #[test]
    fn a_plan_file_with_an_unknown_key_says_so() {
        let error = RawPlan::from_toml("request = 7").expect_err("no such key");
        assert!(error.contains("request"), "{error}");
    }

    #[test]
    fn a_secret_in_a_bad_header_or_url_is_not_repeated() {
        for url in ["http://me:s3cret@gpu", "ftp://me:s3cret@gpu/x", "me:s3cret@gpu:8000", "http://s3cret@"] {
            let error = Plan::build(&raw(|r| r.url = Some(url.into()))).expect_err("credentials are refused");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        let error =
            Plan::build(&raw(|r| r.headers = vec!["Host: s3cret".into()])).expect_err("Host is refused");
        assert!(!error.to_string().contains("s3cret"));
    }
}
