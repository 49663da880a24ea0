//! Reads an inference host and streams what it read to the coordinator.
//!
//! ```text
//!  OS thread "gpu"     GpuCollector (NVML, or one given) --+
//!                                                          | asked at each grid point, answers within a
//!  OS thread "system"  System (/proc, cgroup limits) ------+ period or counts as stale
//!  OS thread "processes"  those of --process --------------+
//!                                                          v
//!  sampler   grid of start + k x period  ---->  HostSample, numbered from 0
//!                                                          |  bounded channel
//!  session   one owner of the ring and of what the coordinator said
//!            ring: kept until acked, 10 minutes, what falls out becomes a counted Gap
//!                                                          |  reports        pongs, stamped as they leave
//!  outbound  one gRPC request stream <---------------------+----------------------+
//!            it breaks: sampling goes on, the session dials again and sends what is not acked
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`config`] | what an agent needs to know, and the check of the coordinator's address |
//! | [`error`] | why a run ended badly |
//! | [`collect`] | the port for GPU readings, NVML and the host behind it, a thread for each |
//! | `sampler` | when to read, and one sample out of several readings |
//! | `stream` | dialling, the session with the coordinator, the ring |
//! | `relay`, `latest` | with an exporter: the newest readings, taken off the samples on their way |
//! | `exporter` | the newest readings for Prometheus |
//! | `probe` | one look at a host: what it can and cannot tell |
//! | `top` | the newest readings for a terminal |
//! | [`testing`] | a scripted collector, and the contract that every collector passes |
//!
//! A GPU that cannot be read is no reason to stop: its readings are absent with their reason, and the host's
//! go on.

pub mod collect;
pub mod config;
pub mod error;
mod exporter;
mod latest;
mod probe;
mod relay;
mod run;
mod sampler;
mod stream;
pub mod testing;
mod top;
mod units;

pub use collect::GpuCollector;
pub use config::{Config, GpuSource};
pub use error::AgentError;
pub use exporter::MetricsPort;
pub use probe::Probe;
pub use run::run;
pub use top::top;
