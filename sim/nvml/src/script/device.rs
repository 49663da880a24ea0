//! What a device is and does.

use serde::{Deserialize, Serialize};

use crate::curve::Curve;

/// One GPU. What is left out, the device does not support.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// `GPU-` and a UUID.
    pub uuid: String,
    /// Product name.
    pub name: String,
    /// Decides what is supported, whatever else stands here.
    pub architecture: Architecture,
    /// Serial number of the board.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Number of its device node [default: its place in `devices`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// As `00000000:3B:00.0` [default: a bus of its own].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci_bus_id: Option<String>,
    /// Its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// How busy it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<Utilization>,
    /// What it draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// Its energy counter; without it, the counter is the integral of `power` from second 0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// Degrees Celsius of the chip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<Curve>,
    /// Degrees Celsius of the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_temperature_c: Option<Curve>,
    /// Clocks now, MHz.
    #[serde(default)]
    pub clocks_mhz: Clocks,
    /// Highest clocks, MHz.
    #[serde(default)]
    pub max_clocks_mhz: Clocks,
    /// 0 (fastest) to 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance_state: Option<Curve>,
    /// Why the clock is held down: a mask of `nvmlClocksThrottleReason..`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Curve>,
    /// For how long the clock has been held down.
    #[serde(default)]
    pub violations_ns: Violations,
    /// Its link to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie: Option<Pcie>,
    /// Its links to other GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvlink: Option<NvLink>,
    /// Error correction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecc: Option<Ecc>,
    /// Who uses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<Process>,
    /// Its division into instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mig: Option<Mig>,
    /// Xid errors: `[second, code]`, in the order of their seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xid: Vec<(f64, u64)>,
    /// Its sample buffers.
    #[serde(default)]
    pub samples: SampleBuffers,
}

impl Gpu {
    /// A GPU that supports nothing yet.
    pub fn new(uuid: impl Into<String>, name: impl Into<String>, architecture: Architecture) -> Self {
        Self {
            uuid: uuid.into(),
            name: name.into(),
            architecture,
            serial: None,
            minor: None,
            pci_bus_id: None,
            memory: None,
            utilization: None,
            power: None,
            energy: None,
            temperature_c: None,
            memory_temperature_c: None,
            clocks_mhz: Clocks::default(),
            max_clocks_mhz: Clocks::default(),
            performance_state: None,
            throttle: None,
            violations_ns: Violations::default(),
            pcie: None,
            nvlink: None,
            ecc: None,
            processes: Vec::new(),
            mig: None,
            xid: Vec::new(),
            samples: SampleBuffers::default(),
        }
    }
}

/// A generation of chips, in the order of their age; GA100 (A100, A30) is apart from the rest of Ampere because its
/// power readings are the older kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the generations' names")]
pub enum Architecture {
    Pascal,
    Volta,
    Turing,
    Ga100,
    Ga10x,
    Ada,
    Hopper,
    Blackwell,
}

/// Memory in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// All of it.
    pub total_bytes: u64,
    /// The driver's part, in neither `used` nor `free`.
    #[serde(default)]
    pub reserved_bytes: u64,
    /// In use.
    pub used_bytes: Curve,
}

/// Shares of a period in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Utilization {
    /// Time in which a kernel ran.
    pub gpu: Curve,
    /// Time in which memory was read or written.
    #[serde(default = "zero")]
    pub memory: Curve,
    /// Of the encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Curve>,
    /// Of the decoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<Curve>,
    /// The period over which all of them are means; between two periods they stand still.
    #[serde(default = "sixth_of_a_second")]
    pub period_s: f64,
}

impl Utilization {
    /// One that never changes, of kernels alone.
    pub fn constant(percent: f64) -> Self {
        Self {
            gpu: Curve::constant(percent),
            memory: zero(),
            encoder: None,
            decoder: None,
            period_s: sixth_of_a_second(),
        }
    }
}

/// What a device draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// Watts.
    pub watts: Curve,
    /// What it may draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_watts: Option<f64>,
}

/// An energy counter: `base_mj` at second `at_s`, and the exact integral of the power since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Energy {
    /// Millijoules at `at_s`.
    #[serde(default)]
    pub base_mj: f64,
    /// The second from which on power counts; before it the counter stands at `base_mj`.
    #[serde(default)]
    pub at_s: f64,
    /// The power that counts, where it is not the device's. Who rewrites the file with a new base puts a lower bound
    /// here, so that no base is ever below what the counter already showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watts: Option<Curve>,
    /// Time between two updates of the counter.
    #[serde(default = "twenty_milliseconds")]
    pub update_s: f64,
}

impl Default for Energy {
    fn default() -> Self {
        Self { base_mj: 0.0, at_s: 0.0, watts: None, update_s: twenty_milliseconds() }
    }
}

/// MHz by clock domain.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "NVML's names of the domains")]
pub struct Clocks {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graphics: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sm: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<Curve>,
}

/// Nanoseconds so far for which each policy held the clock down.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "NVML's names of the policies")]
pub struct Violations {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thermal: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_boost: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board_limit: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_utilization: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reliability: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_clocks: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_clocks: Option<Curve>,
}

/// The link to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pcie {
    /// Generation now.
    pub generation: Curve,
    /// Lanes now.
    pub width: Curve,
    /// Sent, KB/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_kb_s: Option<Curve>,
    /// Received, KB/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_kb_s: Option<Curve>,
    /// Replays so far.
    #[serde(default = "zero")]
    pub replays: Curve,
    /// For how long a question after the throughput blocks, ms.
    #[serde(default = "throughput_ms")]
    pub throughput_ms: u64,
}

/// Links to other GPUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvLink {
    /// For each link 1 (active) or 0.
    pub links: Vec<Curve>,
    /// KiB sent so far over all links (field 138).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_kib: Option<Curve>,
    /// KiB received so far over all links (field 139).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_kib: Option<Curve>,
}

/// Error correction and its counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ecc {
    /// Whether it is on. Without it there are no counts.
    pub enabled: bool,
    /// Whether it will be on after a restart [default: as it is].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<bool>,
    /// Corrected since the driver was loaded.
    #[serde(default = "zero")]
    pub corrected_volatile: Curve,
    /// Not corrected since the driver was loaded.
    #[serde(default = "zero")]
    pub uncorrected_volatile: Curve,
    /// Corrected ever.
    #[serde(default = "zero")]
    pub corrected_aggregate: Curve,
    /// Not corrected ever.
    #[serde(default = "zero")]
    pub uncorrected_aggregate: Curve,
}

/// A process that uses a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// In which list it is.
    #[serde(default)]
    pub kind: ProcessKind,
    /// Bytes it holds; without it, NVML cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Curve>,
    /// Its share of the multiprocessors, percent.
    #[serde(default = "zero")]
    pub sm: Curve,
    /// Its share of the memory's time, percent.
    #[serde(default = "zero")]
    pub memory: Curve,
    /// Its share of the encoder, percent.
    #[serde(default = "zero")]
    pub encoder: Curve,
    /// Its share of the decoder, percent.
    #[serde(default = "zero")]
    pub decoder: Curve,
    /// Second at which it begins [default: always there].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// Second at which it ends [default: never].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// MIG: its GPU instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_instance: Option<u32>,
    /// MIG: its compute instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_instance: Option<u32>,
}

/// In which of NVML's lists a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessKind {
    /// It computes.
    #[default]
    Compute,
    /// It draws.
    Graphics,
    /// It computes through the multi-process service.
    Mps,
}

/// Division into instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mig {
    /// Whether it is on.
    pub enabled: bool,
    /// Whether it will be on after a reset [default: as it is].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<bool>,
    /// How many instances there may be.
    #[serde(default = "seven")]
    pub max: u32,
    /// Those there are, by index.
    #[serde(default)]
    pub instances: Vec<MigInstance>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigInstance {
    /// `MIG-` and a UUID.
    pub uuid: String,
    /// Its name, as `NVIDIA A100 80GB MIG 1g.10gb`.
    pub name: String,
    /// Its GPU instance.
    pub gpu_instance: u32,
    /// Its compute instance.
    #[serde(default)]
    pub compute_instance: u32,
    /// Its part of the memory.
    pub memory: Memory,
}

/// Buffers of samples, as `nvmlDeviceGetSamples` answers them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleBuffers {
    /// Time between two samples of power and clocks; utilization is sampled at the end of each of its periods.
    pub period_s: f64,
    /// Samples kept.
    pub length: u32,
}

impl Default for SampleBuffers {
    fn default() -> Self {
        Self { period_s: 0.02, length: 120 }
    }
}

fn zero() -> Curve {
    Curve::constant(0.0)
}

fn sixth_of_a_second() -> f64 {
    1.0 / 6.0
}

fn twenty_milliseconds() -> f64 {
    0.02
}

fn throughput_ms() -> u64 {
    20
}

fn seven() -> u32 {
    7
}
