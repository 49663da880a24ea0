//! What a virtual GPU's instruments show.

use serde::Serialize;

/// One reading of one virtual GPU, in NVML's terms. Each value is measured: a virtual GPU lacks none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuReading {
    /// `GPU-` and a UUID that depends on the host's seed and the GPU's index alone.
    pub uuid: String,
    /// Always starts with "Virtual GPU", so that nobody takes its figures for a real device's.
    pub name: String,
    /// Share of the last complete sampling period in which a kernel ran, 0 to 100.
    pub utilization_percent: f64,
    /// Bytes in use: weights, instances and the images being made.
    pub memory_used_bytes: u64,
    /// Bytes the device has.
    pub memory_total_bytes: u64,
    /// Watts now.
    pub power_w: f64,
    /// Joules since the host was bound; the exact integral of `power_w`, hence never falling.
    pub energy_j: f64,
    /// Degrees Celsius.
    pub temperature_c: f64,
    /// Clock of the multiprocessors, MHz.
    pub sm_clock_mhz: u32,
    /// Why the clock is low, in snake case; a virtual GPU only knows `gpu_idle`.
    pub throttle: Vec<String>,
}
