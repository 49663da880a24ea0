//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::plan::RawPlan;

/// Find out which way of serving a GPU model is best, and how much load it takes.
#[derive(Debug, Parser)]
#[command(name = "fluxfleet", version, max_term_width = 110)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a plan against a service
    Run(Box<RunArgs>),
    /// See the whole thing with nothing to set up: a simulated host, an agent, two workers, four strategies
    Demo(Box<DemoArgs>),
    /// Serve a simulated inference host
    Sim(SimArgs),
    /// Show live readings of hosts whose agents run with --metrics; q or Ctrl-C ends
    Top(TopArgs),
}

impl Command {
    /// Whether nothing but the final report is to be printed.
    pub(super) fn quiet(&self) -> bool {
        match self {
            Self::Run(args) => args.quiet,
            Self::Demo(args) => args.quiet,
            Self::Sim(_) => false,
            // Nothing may come between its frames.
            Self::Top(_) => true,
        }
    }
}

/// `fluxfleet top`.
#[derive(Debug, ClapArgs)]
pub struct TopArgs {
    /// Where the agents serve their readings: gpu-1:9400,gpu-2:9400
    #[arg(long, value_name = "HOST:PORT", required = true, value_delimiter = ',', num_args = 1.., value_parser = host_and_port)]
    pub agents: Vec<String>,
}

fn host_and_port(text: &str) -> Result<String, String> {
    let url = url::Url::parse(&format!("http://{text}/"));
    // The parser leaves the usual port out.
    let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let bare = url.is_ok_and(|url| url.path() == "/" && url.username().is_empty() && url.has_host());
    if bare && port.is_some_and(|port| port != 0) {
        Ok(text.to_owned())
    } else {
        Err("give HOST:PORT, as in gpu-1:9400 or [::1]:9400".to_owned())
    }
}

/// `fluxfleet run`. Values are texts here: the plan reports all their problems at once.
#[derive(Debug, Default, ClapArgs)]
pub struct RunArgs {
    /// Base URL of the service [default: http://localhost:8000]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Items per strategy, for the whole fleet; unless a time ends the load [default: 20]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub requests: Option<String>,
    /// Requests held in flight, for the whole fleet [default: 3]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub concurrent: Option<String>,
    /// Strategies to compare: baseline, model_pool, batch, async, all [default: baseline]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub strategies: Vec<String>,
    /// Write performance_comparison.png
    #[arg(long)]
    pub plot: bool,
    /// Write results.json
    #[arg(long)]
    pub save: bool,
    /// Directory for files; implies --save unless --plot is given [default: results/<run-id>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<String>,
    /// TOML file with any of these settings, and with [parameters], prompts and [strategy.NAME] routes
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Requests in flight of model_pool [default: 5/3 of --concurrent, rounded up]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub pool_concurrent: Option<String>,
    /// Items a batch request asks for [default: 4]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub batch_size: Option<String>,
    /// Time between two status polls of an asynchronous job [default: 100ms]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub poll_interval: Option<String>,
    /// Items a second that are asked for, for the whole fleet, whatever the service does: 10, 0.5, 30/m, 100/h
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    pub rate: Option<String>,
    /// Rates over time: 10:30s,50:1m holds 10/s and then 50/s, 10..50:1m goes from one to the other
    #[arg(long, value_name = "STAGES", allow_hyphen_values = true)]
    pub stages: Option<String>,
    /// How requests arrive: constant, poisson, gamma:SHAPE, replay:FILE [default: constant]
    #[arg(long, value_name = "HOW")]
    pub arrival: Option<String>,
    /// Measured time of each strategy; with --requests too, whichever ends first
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub duration: Option<String>,
    /// Requests in flight that a rate may reach, for the whole fleet [default: any number]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub max_in_flight: Option<String>,
    /// What a request does that finds so many in flight: wait, drop [default: wait]
    #[arg(long, value_name = "WHAT")]
    pub when_full: Option<String>,
    /// What comes before measuring: a time (10s) or a number of items
    #[arg(long, value_name = "TIME|N", allow_hyphen_values = true)]
    pub warmup: Option<String>,
    /// Stop a strategy when more items fail than this, or a larger share (5%) of at least 20
    #[arg(long, value_name = "N|P%", allow_hyphen_values = true)]
    pub error_limit: Option<String>,
    /// Let each worker measure first, for this long, how much it can do [default without TIME: 1s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = crate::plan::CALIBRATE)]
    pub calibrate: Option<String>,
    /// Pause between two strategies [default: 10s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub cooldown: Option<String>,
    /// A request not ended after this long has failed [default: 300s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub timeout: Option<String>,
    /// A longer answer fails [default: 32MiB]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub max_body: Option<String>,
    /// What sends requests: auto, direct (HTTP/1.1), general (HTTP/2, proxies) [default: auto]
    #[arg(long, value_name = "WHICH")]
    pub driver: Option<String>,
    /// Version of HTTP: 1.1, 2 [default: 1.1]
    #[arg(long, value_name = "VERSION")]
    pub http: Option<String>,
    /// Proxy to go through, as http://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// PEM file of authorities to trust beside the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<String>,
    /// Accept whatever certificate the service shows
    #[arg(long)]
    pub insecure: bool,
    /// Seed of the first item (item i asks for seed + i) and of random arrivals [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub seed: Option<String>,
    /// Header sent with each request; may be repeated
    #[arg(long, value_name = "'NAME: VALUE'")]
    pub header: Vec<String>,
    /// Field of every request body, replacing the built-in one; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// Wait for remote workers and agents on this address, as 0.0.0.0:7000, instead of embedding them
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Remote workers to wait for [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub workers: Option<String>,
    /// Remote agents to wait for [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub agents: Option<String>,
    /// How long to wait for them [default: 60s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub wait: Option<String>,
    /// Workers inside this process, without --listen [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub local_workers: Option<String>,
    /// Time between two readings of the host and its GPUs [default: 500ms]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub sample_period: Option<String>,
    /// Time between two readings of the GPUs' power and energy, 20ms at least [default: 100ms]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub fast_period: Option<String>,
    /// Do not look for the endpoints first (when only the workers can reach the service)
    #[arg(long)]
    pub skip_preflight: bool,
    /// Which requests to keep in detail: auto (up to 10,000 items), all, none
    #[arg(long, value_name = "WHICH")]
    pub records: Option<String>,
    /// Language of the report: en, zh [default: the locale's]
    #[arg(long, value_name = "LANG")]
    pub lang: Option<String>,
    /// Print the final report only
    #[arg(long, short)]
    pub quiet: bool,
    /// No colours (NO_COLOR is respected too)
    #[arg(long)]
    pub no_color: bool,
    /// Exit 0 although the verdict is invalid
    #[arg(long)]
    pub allow_invalid: bool,
}

/// `fluxfleet demo`
#[derive(Debug, ClapArgs)]
pub struct DemoArgs {
    /// Items per strategy [default: 24]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub requests: Option<String>,
    /// Requests in flight [default: 3]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub concurrent: Option<String>,
    /// Strategies to compare [default: all]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub strategies: Vec<String>,
    /// Directory for files [default: results/<run-id>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<String>,
    /// Language of the report: en, zh [default: the locale's]
    #[arg(long, value_name = "LANG")]
    pub lang: Option<String>,
    /// Print the final report only
    #[arg(long, short)]
    pub quiet: bool,
    /// No colours (NO_COLOR is respected too)
    #[arg(long)]
    pub no_color: bool,
}

/// `fluxfleet sim`
#[derive(Debug, ClapArgs)]
pub struct SimArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub port: u16,
    /// Virtual GPUs
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub gpus: u32,
    /// Seed of the jitter
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Time of one 512x512 image in 25 steps on an idle GPU, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 800)]
    pub base_ms: u64,
    /// Relative spread of service times, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    pub jitter: f64,
    /// Model instances per GPU
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub pool: u32,
    /// Requests that may wait per GPU before it answers that the queue is full
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub queue: usize,
    /// Share of requests that fail with status 500, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub fail_share: f64,
    /// Route that answers 404, such as /batch-generate; may be repeated
    #[arg(long, value_name = "PATH")]
    pub without: Vec<String>,
    /// Keep a control file of the NVML stand-in at PATH, as long as the host runs
    ///
    /// An agent then reads the virtual GPUs through NVML:
    ///   cargo build --package fluxfleet-nvml
    ///   FLUXFLEET_NVML_SCRIPT=PATH fluxfleet-agent --coordinator ADDR \
    ///     --nvml-lib target/debug/libfluxfleet_nvml.so
    #[arg(long, value_name = "PATH", verbatim_doc_comment)]
    pub nvml: Option<PathBuf>,
}

impl From<RunArgs> for RawPlan {
    fn from(a: RunArgs) -> Self {
        Self {
            url: a.url,
            requests: a.requests,
            concurrent: a.concurrent,
            strategies: a.strategies,
            pool_concurrent: a.pool_concurrent,
            batch_size: a.batch_size,
            poll_interval: a.poll_interval,
            rate: a.rate,
            stages: a.stages,
            arrival: a.arrival,
            duration: a.duration,
            max_in_flight: a.max_in_flight,
            when_full: a.when_full,
            warmup: a.warmup,
            error_limit: a.error_limit,
            calibrate: a.calibrate,
            cooldown: a.cooldown,
            sample_period: a.sample_period,
            fast_period: a.fast_period,
            skip_preflight: a.skip_preflight,
            timeout: a.timeout,
            max_body: a.max_body,
            driver: a.driver,
            http: a.http,
            proxy: a.proxy,
            ca: a.ca,
            insecure: a.insecure,
            seed: a.seed,
            headers: a.header,
            params: a.param,
            listen: a.listen,
            workers: a.workers,
            agents: a.agents,
            wait: a.wait,
            local_workers: a.local_workers,
            out: a.out,
            save: a.save,
            plot: a.plot,
            records: a.records,
            lang: a.lang,
            quiet: a.quiet,
            no_color: a.no_color,
            allow_invalid: a.allow_invalid,
            ..Self::default()
        }
    }
}

impl DemoArgs {
    /// The demo's plan against a host at `url`: small enough to end within a minute.
    pub(super) fn plan(self, url: String) -> RawPlan {
        let text = |t: &str| Some(t.to_owned());
        RawPlan {
            url: Some(url),
            requests: self.requests.or_else(|| text("24")),
            concurrent: self.concurrent.or_else(|| text("3")),
            strategies: if self.strategies.is_empty() { vec!["all".to_owned()] } else { self.strategies },
            cooldown: text("2s"),
            sample_period: text("250ms"),
            // Ten readings of a job's life of about a second.
            poll_interval: text("50ms"),
            local_workers: text("2"),
            out: self.out,
            save: true,
            plot: true,
            lang: self.lang,
            quiet: self.quiet,
            no_color: self.no_color,
            ..RawPlan::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_to_show_are_hosts_and_ports() {
        let agents = |text: &str| match Args::try_parse_from(["fluxfleet", "top", "--agents", text]) {
            Ok(Args { command: Command::Top(args) }) => Some(args.agents),
            _ => None,
        };
        assert_eq!(agents("a:9400,[::1]:80").unwrap(), ["a:9400", "[::1]:80"]);
        for bad in
            ["", "a", "a:", "a:0", "a:70000", ":9400", "http://a:9400", "a:9400/metrics", "me@a:9400", "a:1,"]
        {
            assert_eq!(agents(bad), None, "{bad}");
        }
    }
}
