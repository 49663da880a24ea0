//! Runs whose GPUs are watched on all lanes.

use fluxfleet_proto::id::{PeerId, TrialId};
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, Device, GpuEvent, GpuEventKind, GpuReading, GpuUuid, HostSample, Occasion,
    Reading,
};

use super::{AGENT, RunSketch, Sketch, agent, at};
use crate::aggregate::{PlacedSample, RunOutcome};

/// Clocks' error in these runs, in nanoseconds: none.
const EXACT: u64 = 0;

/// The windows of the two strategies, in milliseconds.
const WINDOWS: [(i64, i64); 2] = [(1_000, 6_000), (16_000, 18_500)];

/// Two strategies, 20 items in 5 s and in 2.5 s, on so many hosts of two GPUs. The first GPU of a host takes 60 W when
/// idle and 260 W in the windows, the second 70 W and 300 W; the counters' steps are of 0.5 J.
pub(crate) fn gpu_run(hosts: u32) -> RunSketch {
    RunSketch::new()
        .ran(Sketch::new("baseline", 4.0, 0.8, 0.0))
        .ran(Sketch::new("batch", 8.0, 0.4, 0.0))
        .with(|run| {
            run.plan.sample_period = std::time::Duration::from_millis(500);
            run.workers[0].clock.as_mut().expect("a clock").most_error_ns = EXACT;
            run.samples.clear();
            run.agents.truncate(1);
            for more in 1..hosts {
                run.agents.push(agent(PeerId(AGENT.0 + more), &format!("gpu-host-{}", more + 1)));
            }
            for peer in run.agents.iter().map(|a| a.peer).collect::<Vec<_>>() {
                watch(run, peer);
            }
            let samples = (run.samples.len() / run.agents.len()) as u64;
            run.agents.iter_mut().for_each(|agent| agent.samples = samples);
            run.samples.sort_by_key(|s| s.at);
        })
}

/// All lanes of a host from 0 to 20 s, and the edges.
fn watch(run: &mut RunOutcome, peer: PeerId) {
    let mut take = |ms: i64, occasion: Occasion| {
        let mut sample = HostSample::new(run.samples.len() as u64, occasion, at(ms));
        sample.gpus = (0..2).map(|gpu| reading(gpu, ms, occasion)).collect();
        run.samples.push(PlacedSample { agent: peer, at: at(ms), error_ns: EXACT, sample });
    };
    for k in 0..=200 {
        take(100 * k, Occasion::Fast);
        if k % 5 == 0 {
            take(100 * k, Occasion::Normal);
        }
        if k % 20 == 0 {
            take(100 * k, Occasion::Slow);
        }
    }
    // One more step than the lanes see, so that the counter's resolution shows.
    for (trial, (from, to)) in (0..).zip(WINDOWS) {
        take(from - 2, Occasion::Start(TrialId(trial)));
        take(to + 12, Occasion::End(TrialId(trial)));
    }
}

fn watts(gpu: u32, ms: i64) -> f64 {
    let busy = WINDOWS.iter().any(|(from, to)| ms > *from && ms <= *to);
    match (gpu, busy) {
        (0, false) => 60.0,
        (0, true) => 260.0,
        (_, false) => 70.0,
        (_, true) => 300.0,
    }
}

/// Joules since the run began, before quantisation.
fn joules(gpu: u32, ms: i64) -> f64 {
    let busy: i64 = WINDOWS.iter().map(|(from, to)| (ms.min(*to) - from).max(0)).sum();
    let (idle, more) = (watts(gpu, 0), watts(gpu, 1_001) - watts(gpu, 0));
    (idle * ms as f64 + more * busy as f64) / 1e3
}

fn reading(gpu: u32, ms: i64, occasion: Occasion) -> GpuReading {
    let gib = f64::from(1 << 30);
    let busy = watts(gpu, ms) > 200.0;
    let number = |metric: GpuMetric| -> Reading {
        Ok(match metric {
            GpuMetric::EnergyJ => 5_000.0 + (joules(gpu, ms) / 0.5).floor() * 0.5,
            GpuMetric::PowerW | GpuMetric::PowerInstantW => watts(gpu, ms),
            GpuMetric::PowerLimitW => 400.0,
            GpuMetric::UtilizationPercent if busy => 90.0 + f64::from(gpu),
            GpuMetric::UtilizationPercent => 0.0,
            GpuMetric::MemoryUsedBytes => {
                if busy {
                    20.0 * gib
                } else {
                    12.0 * gib
                }
            }
            GpuMetric::MemoryTotalBytes => 40.0 * gib,
            GpuMetric::TemperatureC => 61.0,
            _ => 1.0,
        })
    };
    let metrics = fluxfleet_agent::collect::metrics_of(occasion);
    let throttled = busy && gpu == 0 && ms <= 3_500;
    let throttle = if throttled {
        vec!["sw_power_cap".to_owned()]
    } else if busy {
        vec!["applications_clocks_setting".to_owned()]
    } else {
        vec!["gpu_idle".to_owned()]
    };
    GpuReading {
        values: metrics.iter().map(|metric| (*metric, number(*metric))).collect(),
        throttle: (occasion == Occasion::Normal).then_some(Ok(throttle)),
        driver_wall_ns: u64::try_from(ms).ok().map(|ms| ms * 1_000_000),
        ..GpuReading::new(GpuUuid(format!("GPU-{gpu:08}")))
    }
}

/// Adds an event.
pub(crate) fn gpu_event(run: &mut RunOutcome, peer: PeerId, ms: i64, gpu: Option<u32>, kind: GpuEventKind) {
    let mut sample = HostSample::new(run.samples.len() as u64, Occasion::Event, at(ms));
    sample.events = vec![GpuEvent { uuid: gpu.map(|gpu| GpuUuid(format!("GPU-{gpu:08}"))), kind }];
    run.samples.push(PlacedSample { agent: peer, at: at(ms), error_ns: EXACT, sample });
    run.samples.sort_by_key(|s| s.at);
}

/// The first host's second GPU is gone from 3 s to 8 s, and its first has an error before that.
pub(crate) fn gone_run() -> RunSketch {
    gpu_run(2).with(|run| {
        let lost = Absence::new(AbsenceReason::Lost, "NVML: GPU is lost");
        for placed in run.samples.iter_mut().filter(|s| s.agent == AGENT) {
            if placed.at >= at(3_000) && placed.at < at(8_000) {
                let gpu = &mut placed.sample.gpus[1];
                gpu.values.iter_mut().for_each(|(_, value)| *value = Err(lost.clone()));
                gpu.throttle = gpu.throttle.is_some().then(|| Err(lost.clone()));
            }
        }
        gpu_event(run, AGENT, 2_510, Some(0), GpuEventKind::Xid(79));
        gpu_event(run, AGENT, 3_010, Some(1), GpuEventKind::Gone(lost));
        gpu_event(run, AGENT, 8_010, Some(1), GpuEventKind::Back);
    })
}

/// The first host's first GPU has an instance, which takes half its power.
pub(crate) fn partitioned(run: &mut RunOutcome) {
    let parent = GpuUuid("GPU-00000000".into());
    let uuid = GpuUuid("MIG-00000000".into());
    let devices = run.agents[0].hello.devices.as_mut().expect("devices");
    devices.push(Device { parent: Some(parent), ..Device::new(&*uuid.0, "NVIDIA H100 MIG 3g.40gb") });
    for placed in run.samples.iter_mut().filter(|s| s.agent == AGENT) {
        let Some(whole) = placed.sample.gpus.first() else { continue };
        let mut instance = GpuReading { uuid: uuid.clone(), ..whole.clone() };
        for (metric, value) in instance.values.iter_mut() {
            if matches!(metric, GpuMetric::EnergyJ | GpuMetric::PowerW | GpuMetric::PowerInstantW) {
                *value = value.clone().map(|v| v / 2.0);
            }
        }
        placed.sample.gpus.push(instance);
    }
}
