//! What an agent needs to know, and the check of the coordinator's address.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tonic::transport::Uri;

use crate::collect::GpuCollector;

/// How long an agent tries to reach the coordinator unless told otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an agent tries to reach the coordinator again after its stream broke unless told otherwise: as long as
/// it keeps what it samples meanwhile.
pub const RECONNECT_FOR: Duration = Duration::from_mins(10);

/// What an agent needs to know.
#[derive(Debug)]
pub struct Config {
    /// The coordinator, as `HOST:PORT`.
    pub coordinator: String,
    /// This host's name; unique among the fleet's agents.
    pub host: String,
    /// Where GPU readings come from.
    pub gpus: GpuSource,
    /// How long to try before the coordinator counts as unreachable.
    pub connect_timeout: Duration,
    /// How long to try to reach it again when the stream broke. Samples are taken and kept meanwhile.
    pub reconnect_for: Duration,
}

impl Config {
    /// An agent of this machine: its host name, the system's NVML, 30 s to reach the coordinator and
    /// 10 minutes to reach it again. The host
    /// name is empty when the system does not tell it, and an agent without one does not start.
    pub fn new(coordinator: impl Into<String>) -> Self {
        Self {
            coordinator: coordinator.into(),
            host: sysinfo::System::host_name().unwrap_or_default(),
            gpus: GpuSource::Nvml { lib: None },
            connect_timeout: CONNECT_TIMEOUT,
            reconnect_for: RECONNECT_FOR,
        }
    }
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
