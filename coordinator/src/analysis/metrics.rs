//! Samples as entries of `system_metrics`.

use std::collections::BTreeMap;

use fluxfleet_proto::reading::{GpuReading, Reading};
use serde::Serialize;

use crate::aggregate::RunOutcome;

use super::host::HostPoint;
use super::report::Value;

/// A sample in the seed tool's shape, with what it lacked. A value that could not be had is `None`, and
/// `absent` says why under the same name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SystemMetric {
    /// When it was taken, by the coordinator's clock: seconds since the Unix epoch.
    pub timestamp: f64,
    /// How wrong that may be against the latencies, in microseconds.
    pub timestamp_error_us: f64,
    /// Whose readings.
    pub host: String,
    /// Busy share of all cores, percent.
    pub cpu_percent: Option<f64>,
    /// Memory in use, percent.
    pub memory_percent: Option<f64>,
    /// Mean utilization of the host's GPUs, percent.
    pub gpu_utilization: Option<f64>,
    /// Mean memory use of the host's GPUs, percent.
    pub vram_usage: Option<f64>,
    /// Each GPU.
    pub gpus: Vec<GpuMetric>,
    /// Why a value above is `None`.
    pub absent: BTreeMap<&'static str, String>,
}

/// One GPU's readings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuMetric {
    /// Which GPU.
    pub uuid: String,
    /// Utilization, percent.
    pub utilization: Option<f64>,
    /// Memory in use, bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory in total, bytes.
    pub memory_total_bytes: Option<u64>,
    /// Power draw, W.
    pub power_w: Option<f64>,
    /// Energy since the driver was loaded, J.
    pub energy_j: Option<f64>,
    /// Core temperature, degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Clock of the streaming multiprocessors, MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Why the clock is held down; empty when it is not.
    pub throttle: Option<Vec<String>>,
    /// Why a value above is `None`.
    pub absent: BTreeMap<&'static str, String>,
}

/// Every sample of the run, by time, one entry after the other. `explain` puts a reason into words.
pub fn system_metrics<'a>(
    run: &'a RunOutcome,
    explain: impl Fn(&super::report::Missing) -> String + Copy + 'a,
) -> impl Iterator<Item = SystemMetric> + 'a {
    run.samples.iter().filter_map(move |placed| {
        let agent = run.agents.iter().find(|a| a.peer == placed.agent)?;
        let point = HostPoint::of(&placed.sample, &agent.hello.devices);
        let mut absent = BTreeMap::new();
        let mut take = |field: &'static str, value: Value| {
            value.map_err(|missing| absent.insert(field, explain(&missing))).ok()
        };
        Some(SystemMetric {
            timestamp: run.wall(placed.at).as_secs_f64(),
            timestamp_error_us: placed.error_ns as f64 / 1e3,
            host: agent.hello.host.clone(),
            cpu_percent: take("cpu_percent", point.cpu_percent),
            memory_percent: take("memory_percent", point.memory_percent),
            gpu_utilization: take("gpu_utilization", point.gpu_percent),
            vram_usage: take("vram_usage", point.vram_percent),
            gpus: placed.sample.gpus.iter().map(gpu_metric).collect(),
            absent,
        })
    })
}

/// Whole bytes; readings travel as floats, which hold bytes exactly up to 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn bytes(reading: f64) -> u64 {
    reading.round() as u64
}

fn gpu_metric(reading: &GpuReading) -> GpuMetric {
    let mut absent = BTreeMap::new();
    let mut missing = |field, absence: &fluxfleet_proto::reading::Absence| {
        absent.insert(field, absence.to_string());
    };
    let mut take = |field: &'static str, value: &Reading| match value {
        Ok(value) => Some(*value),
        Err(absence) => {
            missing(field, absence);
            None
        }
    };
    let mut metric = GpuMetric {
        uuid: reading.uuid.to_string(),
        utilization: take("utilization", &reading.utilization_percent),
        memory_used_bytes: take("memory_used_bytes", &reading.memory_used_bytes).map(bytes),
        memory_total_bytes: take("memory_total_bytes", &reading.memory_total_bytes).map(bytes),
        power_w: take("power_w", &reading.power_w),
        energy_j: take("energy_j", &reading.energy_j),
        temperature_c: take("temperature_c", &reading.temperature_c),
        sm_clock_mhz: take("sm_clock_mhz", &reading.sm_clock_mhz),
        throttle: None,
        absent: BTreeMap::new(),
    };
    match &reading.throttle {
        Ok(reasons) => metric.throttle = Some(reasons.clone()),
        Err(absence) => missing("throttle", absence),
    }
    metric.absent = absent;
    metric
}
