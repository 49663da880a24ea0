//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use fluxfleet_agent::config::{InvalidAddress, coordinator_uri};
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

    /// How long to try to reach the coordinator again when the stream to it breaks; samples are taken and kept
    /// meanwhile, those of the last ten minutes
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    reconnect_for: Duration,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    the coordinator ended the run
  1    internal error
  2    bad flags
  6    the coordinator cannot be reached, refused this agent, or was lost
  130  interrupted";

/// No run lasts longer than this.
const LONGEST: Duration = Duration::from_hours(1000);

impl Args {
    pub(crate) fn into_config(self) -> Config {
        let mut config = Config::new(self.coordinator);
        config.reconnect_for = self.reconnect_for;
        config.gpus = GpuSource::Nvml { lib: self.nvml_lib };
        if let Some(host) = self.host {
            config.host = host;
        }
        config
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

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn flags_become_the_config() {
        let args = ["fluxfleet-agent", "--coordinator", "c:1", "--host", "gpu-1", "--nvml-lib", "/x.so"];
        let config = Args::try_parse_from(args).unwrap().into_config();
        assert_eq!((config.coordinator.as_str(), config.host.as_str()), ("c:1", "gpu-1"));
        assert!(matches!(config.gpus, GpuSource::Nvml { lib: Some(lib) } if lib.as_os_str() == "/x.so"));
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
        let error = Args::try_parse_from(["fluxfleet-agent", "--coordinator", "nowhere"]).unwrap_err();
        assert!(error.to_string().contains("give HOST:PORT"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
