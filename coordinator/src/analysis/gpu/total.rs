//! All GPUs of a trial together. What one of them lacks, the sum lacks: a part is never told as the whole.

use std::collections::BTreeSet;

use super::figures::{GpuFigures, Idle, Utilization};
use super::{GpuReport, TotalReport};
use crate::aggregate::RunOutcome;
use crate::analysis::report::{Missing, Value};

/// The sum over the GPUs of all hosts. Instances of a partitioned GPU are left out: it is there itself.
pub(super) fn total(run: &RunOutcome, gpus: &[GpuReport]) -> TotalReport {
    let whole: Vec<_> = gpus.iter().filter(|gpu| gpu.parent.is_none()).collect();
    let hosts: BTreeSet<_> = whole.iter().map(|gpu| gpu.host.as_str()).collect();
    let unseen = run.agents.iter().find_map(|agent| {
        let absence = agent.hello.devices.as_ref().err()?;
        Some((agent.hello.host.clone(), Missing::NotRead(absence.clone())))
    });
    let figures = match unseen {
        _ if run.agents.is_empty() => {
            GpuFigures::absent(&Missing::NoAgent(run.no_agent.clone().unwrap_or_default()))
        }
        Some((_, why)) if run.agents.len() == 1 => GpuFigures::absent(&why),
        Some((host, why)) => GpuFigures::absent(&Missing::OfGpu { host, gpu: None, why: Box::new(why) }),
        None if whole.is_empty() => GpuFigures::absent(&Missing::NoGpu),
        None => sum(&whole),
    };
    TotalReport { gpus: whole.len(), hosts: hosts.len(), figures }
}

fn sum(gpus: &[&GpuReport]) -> GpuFigures {
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let all_of = |pick: fn(&GpuFigures) -> &Value| all(gpus, |figures| pick(figures).clone());
    let measures = |pick: fn(&GpuFigures) -> &Value<super::Measure>| {
        let all = all(gpus, |figures| pick(figures).clone());
        all.map(|all| all.into_iter().reduce(super::Measure::plus).unwrap_or(NOTHING))
    };
    GpuFigures {
        energy: all(gpus, |figures| figures.energy.clone()).and_then(|all| {
            let add = |a: super::Energy, b: super::Energy| super::Energy {
                joules: a.joules.plus(b.joules),
                by: a.by.and(b.by),
            };
            all.into_iter().reduce(add).ok_or(Missing::NoGpu)
        }),
        power_w: measures(|figures| &figures.power_w),
        idle: all(gpus, |figures| figures.idle.clone()).map(|all| Idle {
            watts: all.iter().map(|idle| idle.watts).reduce(super::Measure::plus).unwrap_or(NOTHING),
            seconds: all.iter().map(|idle| idle.seconds).fold(f64::INFINITY, f64::min),
        }),
        above_idle_j: measures(|figures| &figures.above_idle_j),
        per_item_j: measures(|figures| &figures.per_item_j),
        per_item_above_idle_j: measures(|figures| &figures.per_item_above_idle_j),
        utilization: all(gpus, |figures| figures.utilization.clone()).map(|all| Utilization {
            over_time: mean(all.iter().map(|u| u.over_time).collect()),
            of_readings: all.iter().map(|u| u.of_readings).collect::<Option<Vec<_>>>().map(mean),
            highest: all.iter().map(|u| u.highest).fold(0.0, f64::max),
            known_percent: mean(all.iter().map(|u| u.known_percent).collect()),
        }),
        peak_vram_bytes: all_of(|figures| &figures.peak_vram_bytes).map(|all| all.iter().sum()),
        peak_vram_percent: all_of(|figures| &figures.peak_vram_percent)
            .map(|all| all.into_iter().fold(0.0, f64::max)),
        throttled_percent: all_of(|figures| &figures.throttled_percent).map(mean),
        throttled_by: reasons(gpus),
    }
}

const NOTHING: super::Measure = super::Measure { value: 0.0, uncertainty: 0.0 };

/// Every GPU's value, or the first that lacks it, with its reason. One that is missing for a reason that holds for all
/// of them alike is not named.
fn all<T>(gpus: &[&GpuReport], pick: impl Fn(&GpuFigures) -> Value<T>) -> Value<Vec<T>> {
    let of_gpu = |gpu: &&GpuReport| {
        pick(&gpu.figures).map_err(|why| match why {
            Missing::NothingSent | Missing::NoSuccess | Missing::NoTime => why,
            why if gpus.len() == 1 => why,
            why => Missing::OfGpu { host: gpu.host.clone(), gpu: Some(gpu.uuid.clone()), why: Box::new(why) },
        })
    };
    gpus.iter().map(of_gpu).collect()
}

/// Means over the GPUs of the shares of time in which a reason held, where all of them are known.
fn reasons(gpus: &[&GpuReport]) -> Vec<(String, f64)> {
    if gpus.iter().any(|gpu| gpu.figures.throttled_percent.is_err()) {
        return Vec::new();
    }
    let mut sums = std::collections::BTreeMap::<&str, f64>::new();
    for (reason, percent) in gpus.iter().flat_map(|gpu| &gpu.figures.throttled_by) {
        *sums.entry(reason).or_default() += percent;
    }
    sums.into_iter().map(|(reason, sum)| (reason.to_owned(), sum / gpus.len() as f64)).collect()
}
