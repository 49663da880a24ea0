//! What is shown of a host.

/// A number, or in a word why there is none.
pub type Shown = Result<f64, String>;

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostView {
    /// Its name, or where it was looked for.
    pub name: String,
    /// What is known of it; `Err`: why nothing is.
    pub state: Result<HostState, String>,
}

/// What is known of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostState {
    /// Busy share of all cores, 0 to 100.
    pub cpu_percent: Shown,
    /// Memory in use, bytes.
    pub memory_used: Shown,
    /// Memory in total, bytes.
    pub memory_total: Shown,
    /// Load average over a minute.
    pub load: Shown,
    /// Its GPUs; `Err`: why they cannot be seen.
    pub gpus: Gpus,
}

/// The GPUs of a host, or why they cannot be seen.
pub type Gpus = Result<Vec<GpuView>, String>;

/// One GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuView {
    /// Its place in the driver's order.
    pub index: String,
    /// Marketing name.
    pub name: String,
    /// Share of time in which a kernel ran, 0 to 100.
    pub utilization_percent: Shown,
    /// Memory in use, bytes.
    pub memory_used: Shown,
    /// Memory in total, bytes.
    pub memory_total: Shown,
    /// Power draw, W.
    pub power_w: Shown,
    /// Power limit in force, W.
    pub power_limit_w: Shown,
    /// Core temperature, degrees Celsius.
    pub temperature_c: Shown,
    /// Clock of the streaming multiprocessors, MHz.
    pub sm_clock_mhz: Shown,
    /// Why the clock is held down; empty when it is not.
    pub throttle: Vec<String>,
}
