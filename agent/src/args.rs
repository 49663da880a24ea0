//! The command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand};
use fluxfleet_agent::config::{InvalidAddress, coordinator_uri, host_name};
use fluxfleet_agent::{Config, GpuSource};

/// Reads this host's GPUs, CPU and memory and streams them to a fluxfleet coordinator, which decides when to
/// begin and how often to read.
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
}

#[derive(Debug, ClapArgs)]
struct RunArgs {
    /// Where the coordinator listens
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    coordinator: Option<String>,

    /// This host's name in the report; unique among the agents of a run [default: the host name]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    host: Option<String>,

    #[command(flatten)]
    gpus: Gpus,
}

#[derive(Debug, ClapArgs)]
struct Gpus {
    /// Path of the NVML library [default: the system's libnvidia-ml.so.1]
    #[arg(long, value_name = "PATH")]
    nvml_lib: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    the coordinator ended the run
  1    internal error
  2    bad flags
  6    the coordinator cannot be reached, refused this agent, or was lost
  130  interrupted";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    /// Read and stream.
    Run(Box<Config>),
    /// Print what the host of this name can tell.
    Probe(String, GpuSource),
}

impl Args {
    /// What was asked for.
    pub(crate) fn into_task(self) -> Result<Task, clap::Error> {
        match self.command {
            Some(Command::Probe(gpus)) => Ok(Task::Probe(host_name(), gpus.into())),
            None => self.run.into_config().map(|config| Task::Run(Box::new(config))),
        }
    }
}

impl RunArgs {
    fn into_config(self) -> Result<Config, clap::Error> {
        let missing = || Args::command().error(ErrorKind::MissingRequiredArgument, NOTHING_TO_DO);
        let mut config = Config::new(self.coordinator.ok_or_else(missing)?);
        config.gpus = self.gpus.into();
        if let Some(host) = self.host {
            config.host = host;
        }
        Ok(config)
    }
}

const NOTHING_TO_DO: &str = "give --coordinator <HOST:PORT>";

impl From<Gpus> for GpuSource {
    fn from(Gpus { nvml_lib }: Gpus) -> Self {
        Self::Nvml { lib: nvml_lib }
    }
}

fn address(text: &str) -> Result<String, InvalidAddress> {
    coordinator_uri(text).map(|_| text.to_owned())
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

    #[test]
    fn flags_become_the_config() {
        let args = ["--coordinator", "c:1", "--host", "gpu-1", "--nvml-lib", "/x.so"];
        let Task::Run(config) = task(&args).unwrap() else { panic!("no run") };
        assert_eq!((config.coordinator.as_str(), config.host.as_str()), ("c:1", "gpu-1"));
        assert!(matches!(config.gpus, GpuSource::Nvml { lib: Some(lib) } if lib.as_os_str() == "/x.so"));
    }

    #[test]
    fn a_probe_needs_no_coordinator_and_takes_none() {
        let Task::Probe(_, gpus) = task(&["probe", "--nvml-lib", "/x.so"]).unwrap() else {
            panic!("no probe")
        };
        assert!(matches!(gpus, GpuSource::Nvml { lib: Some(lib) } if lib.as_os_str() == "/x.so"));
        assert!(task(&["--coordinator", "c:1", "probe"]).is_err());
    }

    #[test]
    fn without_anything_to_do_it_says_what_is_missing() {
        let error = task(&[]).unwrap_err();
        assert!(error.to_string().contains("give --coordinator <HOST:PORT>"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_bad_address_is_told_before_anything_starts() {
        let error = task(&["--coordinator", "nowhere"]).unwrap_err();
        assert!(error.to_string().contains("give HOST:PORT"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
