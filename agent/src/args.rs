//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand};
use fluxfleet_agent::config::{CONNECT_TIMEOUT, InvalidAddress, Watched, coordinator_uri, host_name};
use fluxfleet_agent::{AgentError, Config, GpuSource, MetricsPort};

/// Reads this host's GPUs, CPU and memory and streams them to a fluxfleet coordinator, which decides when to
/// begin and how often to read. Serves them to Prometheus too, or alone.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what this host can and cannot tell, and what to do where GPUs cannot be read; needs no coordinator
    Probe(Gpus),
    /// Show live readings of this host in the terminal; q or Ctrl-C ends
    Top(Gpus),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// Where the coordinator listens; may be left out with --metrics
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    coordinator: Option<String>,

    /// Serve readings to Prometheus, at http://ADDR/metrics: 127.0.0.1:9400, 0.0.0.0:9400
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,

    /// This host's name in the report; unique among the agents of a run [default: the host name]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    host: Option<String>,

    #[command(flatten)]
    gpus: Gpus,

    /// Processes to watch, with their children: their processor time, memory and number. By the name that `ps -o comm`
    /// shows or by the program's file name, or by number; may be given several times
    #[arg(long = "process", value_name = "NAME|PID")]
    processes: Vec<Watched>,

    /// How long to try to reach the coordinator again when the stream to it breaks; samples are taken and kept
    /// meanwhile
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    reconnect_for: Duration,

    /// For how long samples are kept that the coordinator has not confirmed, up to 12,000 of them (120 MB with 8 GPUs).
    /// Then readings of power and energy between others go first, and edges of trials and errors of GPUs last
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    keep: Duration,
}

#[derive(Debug, ClapArgs)]
struct Gpus {
    /// Path of the NVML library [default: the system's libnvidia-ml.so.1]
    #[arg(long, value_name = "PATH")]
    nvml_lib: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    the coordinator ended the run, or a subcommand is done
  1    internal error
  2    bad flags, or the address of --metrics cannot be listened on
  6    the coordinator cannot be reached, refused this agent, or was lost
  130  interrupted";

/// No run lasts longer than this.
const LONGEST: Duration = Duration::from_hours(1000);

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    /// Read, for whom it says.
    Run(RunArgs),
    /// Print what the host can tell.
    Probe(GpuSource),
    /// Show what the host tells, again and again.
    Top(GpuSource),
}

impl Args {
    /// What was asked for.
    pub(crate) fn into_task(self) -> Result<Task, clap::Error> {
        match self.command {
            Some(Command::Probe(gpus)) => Ok(Task::Probe(gpus.into())),
            Some(Command::Top(gpus)) => Ok(Task::Top(gpus.into())),
            None if self.run.coordinator.is_none() && self.run.metrics.is_none() => {
                Err(Self::command().error(ErrorKind::MissingRequiredArgument, NOTHING_TO_DO))
            }
            None => Ok(Task::Run(self.run)),
        }
    }
}

impl RunArgs {
    /// What an agent has to know; the port for Prometheus listens then.
    pub(crate) async fn into_config(self) -> Result<Config, AgentError> {
        let metrics = match self.metrics {
            Some(addr) => Some(MetricsPort::bind(addr).await?),
            None => None,
        };
        Ok(Config {
            coordinator: self.coordinator,
            host: self.host.unwrap_or_else(host_name),
            gpus: self.gpus.into(),
            processes: self.processes,
            connect_timeout: CONNECT_TIMEOUT,
            reconnect_for: self.reconnect_for,
            keep: self.keep,
            metrics,
        })
    }
}

const NOTHING_TO_DO: &str = "nothing to do: give --coordinator <HOST:PORT> to take part in a run, --metrics <ADDR> to \
                             serve readings to Prometheus, or both";

impl From<Gpus> for GpuSource {
    fn from(Gpus { nvml_lib }: Gpus) -> Self {
        Self::Nvml { lib: nvml_lib }
    }
}

fn address(text: &str) -> Result<String, InvalidAddress> {
    coordinator_uri(text).map(|_| text.to_owned())
}

/// A duration such as `500ms`, `10s`, `1.5m`, `1h`; a bare number means seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let seconds_per = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("has no unit I know; use ms, s, m or h as in 500ms or 10s".to_owned()),
    };
    let value: f64 =
        digits.trim().parse().map_err(|_| "is not a duration; write it as 500ms, 10s, 2m or 1h")?;
    Duration::try_from_secs_f64(value * seconds_per)
        .ok()
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("must be between 0s and {}h", LONGEST.as_secs() / 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(args: &[&str]) -> Result<Task, clap::Error> {
        Args::try_parse_from([&["fluxfleet-agent"], args].concat())?.into_task()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    fn run(args: &[&str]) -> RunArgs {
        match task(args).unwrap() {
            Task::Run(args) => args,
            other => panic!("no run: {other:?}"),
        }
    }

    #[tokio::test]
    async fn flags_become_the_config() {
        let args = ["--coordinator", "c:1", "--host", "gpu-1", "--nvml-lib", "/x.so"];
        let watched = ["--process", "vllm", "--process", "4711"];
        let config = run(&[&args[..], &watched].concat()).into_config().await.unwrap();
        assert_eq!((config.coordinator.as_deref(), config.host.as_str()), (Some("c:1"), "gpu-1"));
        assert_eq!(config.processes, [Watched::Name("vllm".to_owned()), Watched::Pid(4711)]);
        assert!(matches!(config.gpus, GpuSource::Nvml { lib: Some(lib) } if lib.as_os_str() == "/x.so"));
        assert!(config.metrics.is_none());
    }

    #[tokio::test]
    async fn the_port_for_prometheus_goes_with_a_coordinator_and_without_one() {
        let config = run(&["--metrics", "127.0.0.1:0"]).into_config().await.unwrap();
        assert_eq!(config.coordinator, None);
        let taken = config.metrics.unwrap().addr().to_string();
        let both = run(&["--coordinator", "c:1", "--metrics", "127.0.0.1:0"]).into_config().await.unwrap();
        assert!(both.metrics.is_some_and(|port| port.addr().to_string() != taken));
    }

    #[test]
    fn a_probe_needs_no_coordinator_and_takes_none() {
        let Task::Probe(gpus) = task(&["probe", "--nvml-lib", "/x.so"]).unwrap() else { panic!("no probe") };
        assert!(matches!(gpus, GpuSource::Nvml { lib: Some(lib) } if lib.as_os_str() == "/x.so"));
        assert!(task(&["--coordinator", "c:1", "probe"]).is_err());
    }

    #[test]
    fn without_anything_to_do_it_says_what_is_missing() {
        let error = task(&[]).unwrap_err();
        assert!(error.to_string().contains("give --coordinator <HOST:PORT> to take part"), "{error}");
        assert!(error.to_string().contains("--metrics <ADDR>"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn durations_have_units_and_bounds() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(
            ["500ms", "10s", "1.5m", "1h", "7"].map(ms),
            [500, 10_000, 90_000, 3_600_000, 7_000].map(Ok)
        );
        for text in ["", "soon", "10 days", "-1s", "1001h", "infs", "NaNs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_address_is_told_before_anything_starts() {
        let error = task(&["--coordinator", "nowhere"]).unwrap_err();
        assert!(error.to_string().contains("give HOST:PORT"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
