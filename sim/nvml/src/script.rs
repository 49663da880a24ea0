//! The control file: what the host is, what its devices do over time, and what goes wrong when.

mod check;
mod device;
mod fault;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use device::{
    Architecture, Clocks, Ecc, Energy, Gpu, Memory, Mig, MigInstance, NvLink, Pcie, Power, Process,
    ProcessKind, SampleBuffers, Utilization, Violations,
};
pub use fault::{Called, Fault, FaultKind};

/// A whole control file. Seconds anywhere in it count from `epoch_ns`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Nanoseconds of `CLOCK_MONOTONIC` at second 0. Without it, seconds count from the machine's start.
    #[serde(default)]
    pub epoch_ns: u64,
    /// What `nvmlSystemGetDriverVersion` says.
    #[serde(default = "driver_version")]
    pub driver_version: String,
    /// What `nvmlSystemGetNVMLVersion` says.
    #[serde(default = "nvml_version")]
    pub nvml_version: String,
    /// What `nvmlSystemGetCudaDriverVersion_v2` says: 1000 * major + 10 * minor.
    #[serde(default = "cuda_version")]
    pub cuda_version: i32,
    /// 1 to 16 GPUs.
    pub devices: Vec<Gpu>,
    /// UUIDs in the order of their indices, a list for each start of NVML; the last list stays. A device that is
    /// not in the list is not on the host then. Without lists, the order of `devices`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<Vec<String>>,
    /// What goes wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The clock of the stamps in sample buffers; drivers differ.
    #[serde(default)]
    pub sample_clock: SampleClock,
    /// Whether a call that is slow or hangs holds up all others on other threads, as the driver's lock does.
    #[serde(default)]
    pub serial: bool,
    /// File to which the number of calls by symbol is written, as a JSON object, each time a call begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<PathBuf>,
}

/// The clock of the stamps in sample buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleClock {
    /// Microseconds since 1970.
    #[default]
    Unix,
    /// Microseconds of `CLOCK_MONOTONIC`.
    Monotonic,
}

/// Why a text is no script.
#[derive(Debug, thiserror::Error)]
pub enum InvalidScript {
    /// It is not JSON, or not of the form.
    #[error("it is not a script: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of the form and contradicts itself; every problem is listed.
    #[error("{}", .0.join("; "))]
    Content(Vec<String>),
}

impl Script {
    /// A host with these devices and nothing wrong with it.
    pub fn new(epoch_ns: u64, devices: Vec<Gpu>) -> Self {
        Self {
            epoch_ns,
            driver_version: driver_version(),
            nvml_version: nvml_version(),
            cuda_version: cuda_version(),
            devices,
            order: Vec::new(),
            faults: Vec::new(),
            sample_clock: SampleClock::default(),
            serial: false,
            calls: None,
        }
    }

    /// Reads and checks a control file's text.
    ///
    /// # Errors
    /// [`InvalidScript`].
    pub fn parse(text: &str) -> Result<Self, InvalidScript> {
        let script: Self = serde_json::from_str(text)?;
        let problems = script.problems();
        if problems.is_empty() { Ok(script) } else { Err(InvalidScript::Content(problems)) }
    }

    /// Everything in it that cannot be.
    pub fn problems(&self) -> Vec<String> {
        check::problems(self)
    }

    /// The devices on the host after NVML was started `starts` times (from 1), in the order of their indices.
    pub fn present(&self, starts: usize) -> Vec<&Gpu> {
        match self.order.get(starts.saturating_sub(1)).or(self.order.last()) {
            Some(uuids) => uuids.iter().filter_map(|uuid| self.gpu(uuid)).collect(),
            None => self.devices.iter().collect(),
        }
    }

    /// The device of a UUID.
    pub fn gpu(&self, uuid: &str) -> Option<&Gpu> {
        self.devices.iter().find(|gpu| gpu.uuid == uuid)
    }
}

fn driver_version() -> String {
    "570.86.15".to_owned()
}

fn nvml_version() -> String {
    "12.570.86.15".to_owned()
}

fn cuda_version() -> i32 {
    12_080
}
