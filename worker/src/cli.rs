//! Flags to [`Config`], and the run's result to an exit code.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use fluxfleet_worker::config::{cores, default_name};
use fluxfleet_worker::{Config, WorkerError, engine};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// 128 + SIGINT, as shells report it.
const INTERRUPTED: u8 = 130;

/// Far more than any machine has cores for.
const MOST_THREADS: usize = 1024;

/// Generates load for a fluxfleet coordinator. Leaves when the coordinator closes the stream.
///
/// Exit codes: 0 done; 1 internal error; 2 bad flags; 6 no coordinator, or it refused this worker or vanished;
/// 130 interrupted.
#[derive(Debug, Parser)]
#[command(
    name = "fluxfleet-worker",
    version,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true
)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    /// The coordinator's address.
    #[arg(long, value_name = "HOST:PORT", env = "FLUXFLEET_COORDINATOR", value_parser = host_port, required = true)]
    coordinator: Option<String>,
    /// This worker's name, unique within the fleet [default: host name and process id].
    #[arg(long, value_parser = not_empty)]
    name: Option<String>,
    /// Load-generating threads [default: the cores of this machine].
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// A label that ends up in the report; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

/// What to do instead of working for a coordinator.
#[derive(Debug, Subcommand)]
enum Command {
    /// Measure what this machine can send at most, against a server of its own that does next to nothing.
    Calibrate {
        /// Load-generating threads [default: the cores of this machine].
        #[arg(long, value_name = "N", value_parser = threads)]
        threads: Option<NonZeroUsize>,
        /// How long to measure.
        #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
        duration: Duration,
    },
}

impl From<Flags> for Config {
    fn from(flags: Flags) -> Self {
        let Flags { command: _, coordinator, name, threads, labels } = flags;
        Self {
            // Required unless there is a subcommand, which needs no configuration.
            coordinator: coordinator.unwrap_or_default(),
            name: name.unwrap_or_else(default_name),
            threads: threads.unwrap_or_else(cores),
            labels: labels.into_iter().collect(),
        }
    }
}

fn host_port(text: &str) -> Result<String, String> {
    let expected = "give HOST:PORT, such as 10.0.0.5:7070 or [::1]:7070";
    let (host, port) = text.rsplit_once(':').ok_or(expected)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains(['/', '@', ' ']) || (host.contains(':') && !bracketed) {
        return Err(expected.to_owned());
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(text.to_owned()),
        _ => Err(format!("`{port}` is no port; {expected}")),
    }
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a name must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(n) if n.get() <= MOST_THREADS => Ok(n),
        _ => {
            Err(format!("give a whole number from 1 to {MOST_THREADS}; more threads than cores gain nothing"))
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>();
    match number.map(Duration::try_from_secs_f64) {
        Ok(Ok(d)) if (Duration::from_millis(100)..=Duration::from_secs(600)).contains(&d) => Ok(d),
        _ => Err("give seconds from 0.1 to 600, such as 5 or 2.5s".to_owned()),
    }
}

/// Prints the ceiling for people, then as one line of JSON for programs.
fn calibrate(threads: NonZeroUsize, duration: Duration) -> ExitCode {
    match engine::calibrate::alone(threads, duration) {
        Ok(c) => {
            let each_us = c.time_per_request.as_secs_f64() * 1e6;
            println!(
                "{:.0} requests/s with {} threads, if each has a core of its own: {each_us:.2} us of processor time \
                 per request, measured for {:.1} s",
                c.requests_per_s,
                c.threads,
                c.measured.as_secs_f64()
            );
            println!(
                "{}",
                serde_json::json!({
                    "requests_per_s": c.requests_per_s, "threads": c.threads, "time_per_request_us": each_us,
                    "measured_s": c.measured.as_secs_f64(),
                })
            );
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("error: cannot measure this worker's ceiling: {why}");
            ExitCode::FAILURE
        }
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE, such as zone=b".to_owned()),
    }
}

/// Parses, runs, and tells the exit code.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let flags = match Flags::try_parse_from(args) {
        Ok(flags) => flags,
        Err(e) => {
            // Fails only when there is nowhere to print to.
            let _ = e.print();
            let asked_for = matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked_for { 0 } else { 2 });
        }
    };
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,fluxfleet_worker=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
    if let Some(Command::Calibrate { threads, duration }) = flags.command {
        return calibrate(threads.unwrap_or_else(cores), duration);
    }
    match work(flags.into()) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn work(config: Config) -> Result<ExitCode, WorkerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        let mut interrupts = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let session = fluxfleet_worker::run(config, cancel.clone());
        tokio::pin!(session);
        loop {
            tokio::select! {
                result = &mut session => {
                    let interrupted = cancel.is_cancelled();
                    return result.map(|()| if interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS });
                }
                _ = interrupts.0.recv() => {}
                _ = interrupts.1.recv() => {}
            }
            if cancel.is_cancelled() {
                // The second signal: whoever sends it does not want to wait for the farewell.
                return Ok(ExitCode::from(INTERRUPTED));
            }
            tracing::info!("interrupted: the load stops, what was recorded is sent; interrupt again to leave at once");
            cancel.cancel();
        }
    })
}
