//! Samples as entries of `system_metrics` and `gpu_samples`.

use std::collections::BTreeMap;

use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::reading::{GpuEvent, GpuEventKind, GpuReading, Occasion, Reading};
use serde::Serialize;

use crate::aggregate::{PlacedSample, RunOutcome};

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
    /// The agent's own number of it.
    pub seq: u64,
    /// When it was taken by the agent's monotonic clock, in seconds since that clock's arbitrary zero.
    pub own_monotonic_s: f64,
    /// When it was taken by the agent host's wall clock, in seconds since the Unix epoch. Places nothing.
    pub own_wall_s: f64,
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
    pub gpus: Vec<GpuEntry>,
    /// Whatever else was read of the host.
    #[serde(flatten)]
    pub more: BTreeMap<&'static str, Option<Number>>,
    /// Busy share of each core, percent.
    pub core_percent: Option<Vec<f64>>,
    /// Why a value above is `None`.
    pub absent: BTreeMap<&'static str, String>,
}

/// One GPU's readings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuEntry {
    /// Which GPU.
    pub uuid: String,
    /// Its numbers by their names; see [`GpuMetric`]. Utilization is `utilization`.
    #[serde(flatten)]
    pub numbers: BTreeMap<&'static str, Option<Number>>,
    /// Names of those that the driver has not renewed since the sample before.
    pub repeated: Vec<&'static str>,
    /// The driver's own stamp of power and energy, by its clock: seconds since the Unix epoch.
    pub driver_wall_s: Option<f64>,
    /// Why the clock is held down; empty when it is not.
    pub throttle: Option<Vec<String>>,
    /// Why a value above is `None`.
    pub absent: BTreeMap<&'static str, String>,
}

/// Every sample of the normal lane, by time, one entry after the other. `explain` puts a reason into words.
pub fn system_metrics<'a>(
    run: &'a RunOutcome,
    explain: impl Fn(&super::report::Missing) -> String + Copy + 'a,
) -> impl Iterator<Item = SystemMetric> + 'a {
    let normal = |placed: &&PlacedSample| placed.sample.occasion == Occasion::Normal;
    run.samples.iter().filter(normal).filter_map(move |placed| {
        let agent = run.agents.iter().find(|a| a.peer == placed.agent)?;
        let point = HostPoint::of(&placed.sample, &agent.hello.devices);
        let mut absent = BTreeMap::new();
        let system = &placed.sample.system;
        let own = [HostMetric::CpuPercent, HostMetric::MemoryUsedBytes, HostMetric::MemoryTotalBytes];
        let more = system.values.iter().filter(|(metric, _)| !own.contains(metric));
        let more = more.map(|(m, value)| (m.name(), take(&mut absent, m.name(), value))).collect();
        let core_percent = match &system.core_percent {
            Some(Ok(cores)) => Some(cores.clone()),
            Some(Err(absence)) => {
                absent.insert("core_percent", absence.to_string());
                None
            }
            None => None,
        };
        let mut take = |field: &'static str, value: Value| {
            value.map_err(|missing| absent.insert(field, explain(&missing))).ok()
        };
        Some(SystemMetric {
            timestamp: run.wall(placed.at).as_secs_f64(),
            timestamp_error_us: placed.error_ns as f64 / 1e3,
            seq: placed.sample.seq,
            own_monotonic_s: placed.sample.taken.as_nanos() as f64 / 1e9,
            own_wall_s: placed.sample.wall_ns as f64 / 1e9,
            host: agent.hello.host.clone(),
            cpu_percent: take("cpu_percent", point.cpu_percent),
            memory_percent: take("memory_percent", point.memory_percent),
            gpu_utilization: take("gpu_utilization", point.gpu_percent),
            vram_usage: take("vram_usage", point.vram_percent),
            gpus: placed.sample.gpus.iter().map(gpu_entry).collect(),
            more,
            core_percent,
            absent,
        })
    })
}

/// A sample of another lane, of a trial's edge, or of an event: GPUs alone, with what belongs to its occasion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuSample {
    /// When it was taken, by the coordinator's clock: seconds since the Unix epoch.
    pub timestamp: f64,
    /// How wrong that may be against the latencies, in microseconds.
    pub timestamp_error_us: f64,
    /// Whose readings.
    pub host: String,
    /// Why it was taken: `fast`, `slow`, `start`, `end` or `event`.
    pub occasion: &'static str,
    /// The strategy whose start or end it is.
    pub strategy: Option<String>,
    /// Each GPU that was read.
    pub gpus: Vec<ReadEntry>,
    /// What happened to GPUs.
    pub events: Vec<EventEntry>,
}

/// One GPU's readings of a [`GpuSample`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadEntry {
    /// Which GPU.
    pub uuid: String,
    /// Its numbers, as in [`GpuEntry`].
    #[serde(flatten)]
    pub numbers: BTreeMap<&'static str, Option<Number>>,
    /// Names of those that the driver has not renewed since the sample before.
    pub repeated: Vec<&'static str>,
    /// The driver's own stamp of power and energy, by its clock: seconds since the Unix epoch.
    pub driver_wall_s: Option<f64>,
    /// Why a value above is `None`.
    pub absent: BTreeMap<&'static str, String>,
}

/// What happened to a GPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventEntry {
    /// Which GPU. `None`: all of the host, or the driver does not say.
    pub uuid: Option<String>,
    /// What: `xid`, `gone`, `back` or `found`.
    pub kind: &'static str,
    /// The error's number.
    pub xid: Option<u64>,
    /// Why it is gone.
    pub reason: Option<String>,
}

/// Every sample that is not of the normal lane and has something of GPUs, by time.
pub fn gpu_samples(run: &RunOutcome) -> impl Iterator<Item = GpuSample> + '_ {
    run.samples.iter().filter_map(|placed| {
        let sample = &placed.sample;
        let (occasion, edge) = match sample.occasion {
            Occasion::Normal => return None,
            Occasion::Fast => ("fast", None),
            Occasion::Slow => ("slow", None),
            Occasion::Start(trial) => ("start", Some(trial)),
            Occasion::End(trial) => ("end", Some(trial)),
            Occasion::Event => ("event", None),
        };
        if sample.gpus.is_empty() && sample.events.is_empty() {
            return None;
        }
        let agent = run.agents.iter().find(|a| a.peer == placed.agent)?;
        let read = |reading: &GpuReading| {
            let GpuEntry { uuid, numbers, repeated, driver_wall_s, absent, .. } = gpu_entry(reading);
            ReadEntry { uuid, numbers, repeated, driver_wall_s, absent }
        };
        Some(GpuSample {
            timestamp: run.wall(placed.at).as_secs_f64(),
            timestamp_error_us: placed.error_ns as f64 / 1e3,
            host: agent.hello.host.clone(),
            occasion,
            strategy: edge.and_then(|trial| strategy(run, trial)),
            gpus: sample.gpus.iter().map(read).collect(),
            events: sample.events.iter().map(event_entry).collect(),
        })
    })
}

/// The strategy of a trial: trials are numbered as the plan's strategies.
fn strategy(run: &RunOutcome, trial: TrialId) -> Option<String> {
    let strategy = run.strategies.get(usize::try_from(trial.0).ok()?)?;
    Some(strategy.planned.strategy.name.clone())
}

fn event_entry(event: &GpuEvent) -> EventEntry {
    let (kind, xid, reason) = told(&event.kind);
    EventEntry { uuid: event.uuid.as_ref().map(ToString::to_string), kind, xid, reason }
}

/// An event's kind, its error's number, and why its GPU is gone.
pub fn told(kind: &GpuEventKind) -> (&'static str, Option<u64>, Option<String>) {
    match kind {
        GpuEventKind::Xid(number) => ("xid", Some(*number), None),
        GpuEventKind::Gone(absence) => ("gone", None, Some(absence.to_string())),
        GpuEventKind::Back => ("back", None, None),
        GpuEventKind::Found(_) => ("found", None, None),
    }
}

/// A number as it is written: bytes whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Number {
    /// Bytes.
    Whole(u64),
    /// Anything else.
    Real(f64),
}

/// Readings travel as floats, which hold bytes exactly up to 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn number(name: &str, value: f64) -> Number {
    if name.ends_with("_bytes") { Number::Whole(value.round() as u64) } else { Number::Real(value) }
}

/// Takes a reading apart: its number, or the reason among the absent ones.
fn take(
    absent: &mut BTreeMap<&'static str, String>,
    name: &'static str,
    reading: &Reading,
) -> Option<Number> {
    match reading {
        Ok(value) => Some(number(name, *value)),
        Err(absence) => {
            absent.insert(name, absence.to_string());
            None
        }
    }
}

/// Why a reading has no stamp of the driver: older ones give none, and with none of the two numbers there is none.
const NO_STAMP: &str = "the driver gave no stamp of power or energy";

fn gpu_entry(reading: &GpuReading) -> GpuEntry {
    let mut absent = BTreeMap::new();
    let name = |metric: GpuMetric| match metric {
        GpuMetric::UtilizationPercent => "utilization",
        other => other.name(),
    };
    let numbers =
        reading.values.iter().map(|(m, value)| (name(m), take(&mut absent, name(m), value))).collect();
    let throttle = match &reading.throttle {
        Some(Ok(reasons)) => Some(reasons.clone()),
        Some(Err(absence)) => {
            absent.insert("throttle", absence.to_string());
            None
        }
        None => None,
    };
    let repeated = reading.repeated.iter().map(|metric| name(*metric)).collect();
    let driver_wall_s = reading.driver_wall_ns.map(|ns| ns as f64 / 1e9);
    if driver_wall_s.is_none() {
        absent.insert("driver_wall_s", NO_STAMP.to_owned());
    }
    GpuEntry { uuid: reading.uuid.to_string(), numbers, repeated, driver_wall_s, throttle, absent }
}
