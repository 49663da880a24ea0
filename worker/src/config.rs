//! Who this worker is, and whom it works for.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Everything a worker has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The coordinator's address as `HOST:PORT`.
    pub coordinator: String,
    /// Unique within the fleet.
    pub name: String,
    /// Load-generating threads.
    pub threads: NonZeroUsize,
    /// Free-form labels that end up in the report.
    pub labels: BTreeMap<String, String>,
}

/// The machine's host name; `unknown-host` where the system does not tell.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown-host".to_owned())
}

/// Host name and process id: unique among workers that did not get a name.
pub fn default_name() -> String {
    format!("{}-{}", host_name(), std::process::id())
}

/// Cores that the machine offers to this process; 1 where the system does not tell.
pub fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
