//! The command line.

use std::path::PathBuf;

use clap::Parser;
use fluxfleet_agent::config::{InvalidAddress, Watched, coordinator_uri};
use fluxfleet_agent::{Config, GpuSource};

/// Reads this host's GPUs, CPU and memory and streams them to a fluxfleet coordinator, which decides when to
/// begin and how often to read.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Where the coordinator listens
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    coordinator: String,

    /// This host's name in the report; unique among the agents of a run [default: the host name]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    host: Option<String>,

    /// Path of the NVML library [default: the system's libnvidia-ml.so.1]
    #[arg(long, value_name = "PATH")]
    nvml_lib: Option<PathBuf>,

    /// Processes to watch, with their children: their processor time, memory and number. By the name that `ps -o comm`
    /// shows or by the program's file name, or by number; may be given several times
    #[arg(long = "process", value_name = "NAME|PID")]
    processes: Vec<Watched>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    the coordinator ended the run
  1    internal error
  2    bad flags
  6    the coordinator cannot be reached, refused this agent, or was lost
  130  interrupted";

impl Args {
    pub(crate) fn into_config(self) -> Config {
        let mut config = Config::new(self.coordinator);
        config.gpus = GpuSource::Nvml { lib: self.nvml_lib };
        config.processes = self.processes;
        if let Some(host) = self.host {
            config.host = host;
        }
        config
    }
}

fn address(text: &str) -> Result<String, InvalidAddress> {
    coordinator_uri(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn flags_become_the_config() {
        let args = ["fluxfleet-agent", "--coordinator", "c:1", "--host", "gpu-1", "--nvml-lib", "/x.so"];
        let args = args.into_iter().chain(["--process", "vllm", "--process", "4711"]);
        let config = Args::try_parse_from(args).unwrap().into_config();
        assert_eq!((config.coordinator.as_str(), config.host.as_str()), ("c:1", "gpu-1"));
        assert_eq!(config.processes, [Watched::Name("vllm".to_owned()), Watched::Pid(4711)]);
        assert!(matches!(config.gpus, GpuSource::Nvml { lib: Some(lib) } if lib.as_os_str() == "/x.so"));
    }

    #[test]
    fn a_bad_address_is_told_before_anything_starts() {
        let error = Args::try_parse_from(["fluxfleet-agent", "--coordinator", "nowhere"]).unwrap_err();
        assert!(error.to_string().contains("give HOST:PORT"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
