//! One GPU's readings over a run, taken out of the samples of its host.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuReading, Occasion, Reading};

use super::energy::counter::Counter;
use super::energy::power::Power;
use super::span::Taken;
use crate::aggregate::{PlacedSample, RunOutcome};

/// One GPU's readings over a run, each kind by time.
#[derive(Debug)]
pub(super) struct GpuLog {
    pub(super) host: String,
    pub(super) device: Device,
    pub(super) counter: Counter,
    pub(super) power: Power,
    /// Utilization, percent, and the reasons that held the clock down: readings of the normal lane.
    pub(super) normal: Vec<Normal>,
    pub(super) memory: Vec<Memory>,
    /// Time between two readings of the normal lane.
    pub(super) period: Duration,
}

/// A reading of the normal lane.
#[derive(Debug)]
pub(super) struct Normal {
    pub(super) at: Mono,
    pub(super) utilization: Reading,
    pub(super) throttle: Reading<Vec<String>>,
}

/// A reading of the memory.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) at: Mono,
    /// The trial at whose end it was taken.
    pub(super) end_of: Option<TrialId>,
    pub(super) used: Reading,
    pub(super) total: Reading,
}

/// The GPUs of all agents. One that two agents of a host tell of, as after a restart, is there once.
pub(super) fn logs(run: &RunOutcome) -> Vec<GpuLog> {
    let mut known: Vec<(&str, &Device)> = Vec::new();
    for agent in &run.agents {
        for device in agent.hello.devices.iter().flatten() {
            let host = agent.hello.host.as_str();
            if !known.iter().any(|(h, d)| *h == host && d.uuid == device.uuid) {
                known.push((host, device));
            }
        }
    }
    known.into_iter().map(|(host, device)| log(run, host, device)).collect()
}

fn log(run: &RunOutcome, host: &str, device: &Device) -> GpuLog {
    let peers: Vec<_> = run.agents.iter().filter(|a| a.hello.host == host).map(|a| a.peer).collect();
    let ours = run.samples.iter().filter(|placed| peers.contains(&placed.agent));
    let readings: Vec<(&PlacedSample, &GpuReading)> = ours
        .filter_map(|placed| Some((placed, placed.sample.gpus.iter().find(|g| g.uuid == device.uuid)?)))
        .collect();
    let of = |metric: GpuMetric| -> Vec<Taken<Reading>> {
        let taken = |(placed, gpu): &(&PlacedSample, &GpuReading)| {
            let value = gpu.values.get(metric)?.clone();
            let took = Duration::from_micros(placed.sample.took.0);
            Some(Taken::new(placed.at, took, placed.error_ns, value))
        };
        readings.iter().filter_map(taken).collect()
    };
    let (instant, offered) = (of(GpuMetric::PowerInstantW), of(GpuMetric::PowerW));
    let limits = of(GpuMetric::PowerLimitW);
    let seen_w = greatest(&instant).into_iter().chain(greatest(&offered)).max_by(f64::total_cmp);
    let fast = readings.iter().any(|(placed, _)| placed.sample.occasion == Occasion::Fast);
    let period = run.plan.sample_period;
    let normal = readings.iter().filter(|(placed, _)| placed.sample.occasion == Occasion::Normal);
    GpuLog {
        host: host.to_owned(),
        device: device.clone(),
        counter: Counter::new(&of(GpuMetric::EnergyJ), seen_w, greatest(&limits)),
        power: Power::new(&instant, &offered, if fast { run.plan.fast_period } else { period }),
        normal: normal
            .map(|(placed, gpu)| Normal {
                at: placed.at,
                utilization: gpu.values.value(GpuMetric::UtilizationPercent),
                throttle: gpu.throttle.clone().unwrap_or_else(|| Err(not_asked())),
            })
            .collect(),
        memory: readings.iter().filter_map(|(placed, gpu)| memory(placed, gpu)).collect(),
        period,
    }
}

fn not_asked() -> Absence {
    Absence::new(AbsenceReason::NotYet, "not part of this sample")
}

fn greatest(readings: &[Taken<Reading>]) -> Option<f64> {
    readings.iter().filter_map(|r| r.value.as_ref().ok().copied()).max_by(f64::total_cmp)
}

fn memory(placed: &PlacedSample, gpu: &GpuReading) -> Option<Memory> {
    Some(Memory {
        at: placed.at,
        end_of: match placed.sample.occasion {
            Occasion::End(trial) => Some(trial),
            _ => None,
        },
        used: gpu.values.get(GpuMetric::MemoryUsedBytes)?.clone(),
        total: gpu.values.value(GpuMetric::MemoryTotalBytes),
    })
}
