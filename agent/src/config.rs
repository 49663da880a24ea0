//! What an agent needs to know, and the check of the coordinator's address.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tonic::transport::Uri;

use crate::collect::GpuCollector;
use crate::exporter::MetricsPort;

/// How long an agent tries to reach the coordinator unless told otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an agent tries to reach the coordinator again after its stream broke unless told otherwise: as long as
/// it keeps what it samples meanwhile.
pub const RECONNECT_FOR: Duration = Duration::from_mins(10);

/// For how long samples are kept that the coordinator has not confirmed, unless something else is asked for.
pub const KEEP: Duration = Duration::from_mins(10);

/// What an agent needs to know.
#[derive(Debug)]
pub struct Config {
    /// The coordinator, as `HOST:PORT`; `None`: nobody but Prometheus wants this host's readings.
    pub coordinator: Option<String>,
    /// This host's name; unique among the fleet's agents.
    pub host: String,
    /// Where GPU readings come from.
    pub gpus: GpuSource,
    /// The processes whose processor time and memory are read, each with its children. None: they are not asked for.
    pub processes: Vec<Watched>,
    /// How long to try before the coordinator counts as unreachable.
    pub connect_timeout: Duration,
    /// Where Prometheus may read.
    pub metrics: Option<MetricsPort>,
    /// How long to try to reach it again when the stream broke. Samples are taken and kept meanwhile.
    pub reconnect_for: Duration,
    /// For how long samples are kept that it has not confirmed.
    pub keep: Duration,
}

impl Config {
    /// An agent of this machine: its host name, the system's NVML, 30 s to reach the coordinator and
    /// 10 minutes to reach it again. The host
    /// name is empty when the system does not tell it, and an agent without one does not start.
    pub fn new(coordinator: impl Into<String>) -> Self {
        Self { coordinator: Some(coordinator.into()), ..Self::here() }
    }

    /// The same without a coordinator, for Prometheus alone.
    pub fn alone(metrics: MetricsPort) -> Self {
        Self { metrics: Some(metrics), ..Self::here() }
    }

    fn here() -> Self {
        Self {
            coordinator: None,
            host: host_name(),
            gpus: GpuSource::Nvml { lib: None },
            processes: Vec::new(),
            connect_timeout: CONNECT_TIMEOUT,
            metrics: None,
            reconnect_for: RECONNECT_FOR,
            keep: KEEP,
        }
    }
}

/// What this machine calls itself; empty when the system does not tell it.
pub fn host_name() -> String {
    sysinfo::System::host_name().unwrap_or_default()
}

/// Where GPU readings come from.
pub enum GpuSource {
    /// NVIDIA's management library.
    Nvml {
        /// Its path; `None` takes the system's.
        lib: Option<PathBuf>,
    },
    /// Another collector, as the embedded fleet has for simulated GPUs.
    Custom(Box<dyn GpuCollector>),
}

impl fmt::Debug for GpuSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nvml { lib } => f.debug_struct("Nvml").field("lib", lib).finish(),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// What tells processes to watch from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Those that the kernel calls so, or whose program's file is called so. The kernel keeps 15 bytes of a name.
    Name(String),
    /// The one of this number.
    Pid(u32),
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "process named `{name}`"),
            Self::Pid(pid) => write!(f, "process {pid}"),
        }
    }
}

impl FromStr for Watched {
    type Err = InvalidWatched;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidWatched(text.to_owned());
        if text.is_empty() || text.contains('/') {
            return Err(invalid());
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            // The kernel's numbers are positive and fit into an `i32`.
            let pid = text.parse().ok().filter(|pid| (1..=i32::MAX.unsigned_abs()).contains(pid));
            return pid.map(Self::Pid).ok_or_else(invalid);
        }
        Ok(Self::Name(text.to_owned()))
    }
}

/// Neither the name nor the number of a process.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no process: give a name without directories, as in vllm, or a number from 1, as in 4711")]
pub struct InvalidWatched(String);

/// An address that is not `HOST:PORT`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a coordinator address: give HOST:PORT, as in gpu-control:7070 or [::1]:7070")]
pub struct InvalidAddress(String);

/// Checks a coordinator address and gives the URI to dial.
///
/// # Errors
/// When it is not `HOST:PORT`.
pub fn coordinator_uri(address: &str) -> Result<Uri, InvalidAddress> {
    let invalid = || InvalidAddress(address.to_owned());
    let uri: Uri = format!("http://{address}").parse().map_err(|_| invalid())?;
    let bare = uri.authority().is_some_and(|authority| authority.as_str() == address);
    let host = uri.host().is_some_and(|host| !host.is_empty());
    // `port_u16` is `None` for what stands after the colon and does not fit.
    let port = uri.port_u16().is_some_and(|port| port != 0);
    if bare && host && port && !address.contains('@') { Ok(uri) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_address_is_a_host_and_a_port() {
        for address in ["localhost:7070", "10.1.2.3:1", "[::1]:65535", "gpu-1.cluster.local:80"] {
            let uri = coordinator_uri(address).expect(address);
            assert_eq!(uri.to_string(), format!("http://{address}/"));
        }
    }

    #[test]
    fn digits_are_the_number_of_a_process_and_anything_else_is_its_name() {
        assert_eq!("4711".parse(), Ok(Watched::Pid(4711)));
        for name in ["vllm", "7zip", "VLLM::EngineCore", "tmux: server"] {
            assert_eq!(name.parse(), Ok(Watched::Name(name.to_owned())));
        }
        for odd in ["", "0", "4294967295", "99999999999", "/usr/bin/vllm"] {
            assert!(odd.parse::<Watched>().unwrap_err().to_string().contains("give a name"), "{odd}");
        }
    }

    #[test]
    fn what_is_not_host_and_port_is_refused_with_an_example() {
        for address in [
            "",
            ":7070",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:70000",
            "localhost:x",
            "::1:7070",
            "http://localhost:7070",
            "localhost:7070/x",
            "me@localhost:7070",
            "local host:7070",
        ] {
            let error = coordinator_uri(address).expect_err(address);
            assert!(error.to_string().contains("give HOST:PORT"), "{error}");
        }
    }
}
