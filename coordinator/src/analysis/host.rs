//! What the agents saw during a strategy.

use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, HostSample, Occasion, Reading};

use crate::aggregate::{AgentOutcome, PlacedSample, RunOutcome, Window};

use super::report::{HostMeans, Missing, Value};

/// A host at one instant, each value the mean over its GPUs where it has several.
#[derive(Clone, Debug, PartialEq)]
pub struct HostPoint {
    /// GPU utilization, percent.
    pub gpu_percent: Value,
    /// GPU memory in use, percent of the total.
    pub vram_percent: Value,
    /// Busy share of all cores, percent.
    pub cpu_percent: Value,
    /// Memory in use, percent of the total.
    pub memory_percent: Value,
}

impl HostPoint {
    /// What a sample says about its host. `devices` is what the agent said about the host's GPUs in general:
    /// it tells a host without a GPU from one whose GPUs cannot be seen.
    pub fn of(sample: &HostSample, devices: &Result<Vec<Device>, Absence>) -> Self {
        let over_gpus = |values: Vec<Reading>| -> Value {
            let no_gpu = match devices {
                Ok(_) => Missing::NoGpu,
                Err(absence) => Missing::NotRead(absence.clone()),
            };
            mean(values.into_iter().map(|v| v.map_err(Missing::NotRead)), no_gpu)
        };
        let gpus = || sample.gpus.iter().map(|g| &g.values);
        let system = &sample.system.values;
        Self {
            gpu_percent: over_gpus(gpus().map(|g| g.value(GpuMetric::UtilizationPercent)).collect()),
            vram_percent: over_gpus(
                gpus()
                    .map(|g| share(g.value(GpuMetric::MemoryUsedBytes), g.value(GpuMetric::MemoryTotalBytes)))
                    .collect(),
            ),
            cpu_percent: system.value(HostMetric::CpuPercent).map_err(Missing::NotRead),
            memory_percent: share(
                system.value(HostMetric::MemoryUsedBytes),
                system.value(HostMetric::MemoryTotalBytes),
            )
            .map_err(Missing::NotRead),
        }
    }
}

/// Used of total, in percent.
pub(super) fn share(used: Reading, total: Reading) -> Reading {
    let (used, total) = (used?, total?);
    if total > 0.0 {
        Ok(100.0 * used / total)
    } else {
        Err(Absence::new(AbsenceReason::Error, "the total is zero"))
    }
}

/// Mean of the values that are there. Where none is, the first one's reason, or `empty` when there are none
/// at all.
fn mean(values: impl Iterator<Item = Value>, empty: Missing) -> Value {
    let (mut sum, mut count, mut why) = (0.0, 0_u64, None);
    for value in values {
        match value {
            Ok(value) => {
                sum += value;
                count += 1;
            }
            Err(missing) => why = why.or(Some(missing)),
        }
    }
    if count == 0 { Err(why.unwrap_or(empty)) } else { Ok(sum / count as f64) }
}

/// Means over the samples of a strategy's window: over a host's GPUs, then its samples, then the hosts.
///
/// The window's first instant is left out and its last one included, because a reading describes the time
/// before it.
pub(super) fn means(run: &RunOutcome, window: Option<Window>) -> HostMeans {
    let Some(window) = window else { return nothing(&Missing::NothingSent) };
    if run.agents.is_empty() {
        return nothing(&Missing::NoAgent(run.no_agent.clone().unwrap_or_default()));
    }
    let hosts: Vec<_> = run.agents.iter().map(|agent| points(run, agent, window)).collect();
    let over_hosts = |pick: fn(&HostPoint) -> &Value| {
        let per_host = hosts.iter().map(|p| mean(p.iter().map(|p| pick(p).clone()), Missing::NoSample));
        mean(per_host, Missing::NoSample)
    };
    HostMeans {
        gpu_percent: over_hosts(|p| &p.gpu_percent),
        vram_percent: over_hosts(|p| &p.vram_percent),
        cpu_percent: over_hosts(|p| &p.cpu_percent),
        memory_percent: over_hosts(|p| &p.memory_percent),
        samples: hosts.iter().map(|p| p.len() as u64).sum(),
    }
}

fn points(run: &RunOutcome, agent: &AgentOutcome, window: Window) -> Vec<HostPoint> {
    let within = |s: &&PlacedSample| {
        s.agent == agent.peer
            && s.sample.occasion == Occasion::Normal
            && s.at > window.from
            && s.at <= window.to
    };
    run.samples.iter().filter(within).map(|s| HostPoint::of(&s.sample, &agent.hello.devices)).collect()
}

fn nothing(why: &Missing) -> HostMeans {
    let none = || Err(why.clone());
    HostMeans {
        gpu_percent: none(),
        vram_percent: none(),
        cpu_percent: none(),
        memory_percent: none(),
        samples: 0,
    }
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::id::PeerId;

    use super::*;
    use crate::analysis::testing::{RunSketch, Sketch, agent, at, host_sample, seed_run, trial};
    use crate::analysis::{ScoreSettings, analyse};

    fn host(run: RunSketch) -> HostMeans {
        let report = analyse(&run.done(), &ScoreSettings::default());
        report.strategies[0].measured.as_ref().expect("it ran").host.clone()
    }

    fn near(got: &Value, want: f64) {
        let got = got.as_ref().expect("a value");
        assert!((got - want).abs() < 1e-9, "{got} is not {want}");
    }

    #[test]
    fn only_samples_of_the_strategys_own_window_count_the_first_instant_left_out() {
        // Readings of zero before the window, at its first instant, and of another strategy after it.
        let host = host(seed_run());
        near(&host.gpu_percent, 45.2);
        near(&host.vram_percent, 50.0);
        near(&host.memory_percent, 25.0);
        assert_eq!(host.samples, 80);
    }

    #[test]
    fn several_hosts_weigh_the_same_however_often_they_sampled() {
        let host = host(seed_run().with(|run| {
            run.agents.push(agent(PeerId(8), "gpu-host-2"));
            let sample = host_sample(0, at(2_000), 1, 0.0);
            run.samples.push(PlacedSample { agent: PeerId(8), at: at(2_000), error_ns: 1, sample });
        }));
        near(&host.gpu_percent, 22.6);
        assert_eq!(host.samples, 81);
    }

    #[test]
    fn a_measured_zero_is_zero_and_no_reading_is_none() {
        let idle = || RunSketch::new().ran(Sketch::new("a", 1.0, 1.0, 0.0));
        near(&host(idle()).gpu_percent, 0.0);
        let lost = Absence::new(AbsenceReason::Lost, "fell off the bus");
        let unread = idle().with(|run| {
            for placed in &mut run.samples {
                for gpu in &mut placed.sample.gpus {
                    gpu.values.set(GpuMetric::UtilizationPercent, Err(lost.clone()));
                }
            }
        });
        let host = host(unread);
        assert_eq!(host.gpu_percent, Err(Missing::NotRead(lost)));
        near(&host.vram_percent, 50.0);
    }

    #[test]
    fn one_unreadable_gpu_does_not_hide_the_others() {
        let host = host(RunSketch::new().ran(Sketch::new("a", 1.0, 1.0, 50.0)).with(|run| {
            for placed in &mut run.samples {
                let unsupported = Err(Absence::new(AbsenceReason::Unsupported, ""));
                placed.sample.gpus[0].values.set(GpuMetric::UtilizationPercent, unsupported);
            }
        }));
        near(&host.gpu_percent, 55.0);
    }

    #[test]
    fn every_reason_for_no_reading_is_told_apart() {
        let ran = |run: RunSketch| run.ran(Sketch::new("a", 1.0, 1.0, 50.0));
        let no_agent = host(ran(RunSketch::new().without_agent("elsewhere")));
        assert_eq!(no_agent.gpu_percent, Err(Missing::NoAgent("elsewhere".into())));
        let no_gpu = host(ran(RunSketch::new().without_gpus()));
        assert_eq!(no_gpu.gpu_percent, Err(Missing::NoGpu));
        near(&no_gpu.memory_percent, 25.0);
        let no_sample = host(ran(RunSketch::new()).with(|run| run.samples.clear()));
        assert_eq!(no_sample.cpu_percent, Err(Missing::NoSample));
        let denied = Absence::new(AbsenceReason::Denied, "no access");
        let unseen = ran(RunSketch::new().without_gpus())
            .with(|run| run.agents[0].hello.devices = Err(denied.clone()));
        assert_eq!(host(unseen).gpu_percent, Err(Missing::NotRead(denied)));
        let nothing_sent = host(ran(RunSketch::new()).with(|run| trial(run, 0).window = None));
        assert_eq!(nothing_sent.gpu_percent, Err(Missing::NothingSent));
    }
}
