//! GPUs of a trial, and what happened to GPUs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analysis::gpu::{GpuFigures, GpuHappening, GpuReport, Measure, TotalReport};
use crate::analysis::metrics::told;
use crate::analysis::report::Value;
use crate::report::text::EN;

/// One GPU. A field that is `None` has its reason in `absent`, under its name.
#[derive(Serialize)]
pub(super) struct Gpu<'a> {
    host: &'a str,
    uuid: &'a str,
    name: &'a str,
    parent: Option<&'a str>,
    #[serde(flatten)]
    figures: Figures,
}

/// All GPUs.
#[derive(Serialize)]
pub(super) struct GpuTotal {
    gpus: usize,
    hosts: usize,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Default, Serialize)]
struct Figures {
    energy_j: Option<f64>,
    energy_j_uncertainty: Option<f64>,
    energy_by: Option<&'static str>,
    avg_power_w: Option<f64>,
    avg_power_w_uncertainty: Option<f64>,
    idle_power_w: Option<f64>,
    idle_power_w_uncertainty: Option<f64>,
    idle_measured: Option<f64>,
    energy_above_idle_j: Option<f64>,
    energy_above_idle_j_uncertainty: Option<f64>,
    energy_per_item_j: Option<f64>,
    energy_per_item_j_uncertainty: Option<f64>,
    energy_per_item_above_idle_j: Option<f64>,
    energy_per_item_above_idle_j_uncertainty: Option<f64>,
    utilization_over_time: Option<f64>,
    utilization_mean: Option<f64>,
    utilization_max: Option<f64>,
    utilization_known_percent: Option<f64>,
    peak_vram_bytes: Option<u64>,
    peak_vram_percent: Option<f64>,
    throttled_percent: Option<f64>,
    throttled_by: Vec<Throttled>,
    absent: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Throttled {
    reason: String,
    percent: f64,
}

impl<'a> Gpu<'a> {
    pub(super) fn of(gpu: &'a GpuReport) -> Self {
        Self {
            host: &gpu.host,
            uuid: &gpu.uuid,
            name: &gpu.name,
            parent: gpu.parent.as_deref(),
            figures: Figures::of(&gpu.figures),
        }
    }
}

impl GpuTotal {
    pub(super) fn of(total: &TotalReport) -> Self {
        Self { gpus: total.gpus, hosts: total.hosts, figures: Figures::of(&total.figures) }
    }
}

impl Figures {
    fn of(of: &GpuFigures) -> Self {
        let mut absent = BTreeMap::new();
        let mut figures = Self::default();
        if let Some(energy) = take(&mut absent, "energy_j", &of.energy) {
            (figures.energy_j, figures.energy_j_uncertainty) = parts(Some(energy.joules));
            figures.energy_by = Some(energy.by.name());
        }
        (figures.avg_power_w, figures.avg_power_w_uncertainty) =
            parts(take(&mut absent, "avg_power_w", &of.power_w));
        if let Some(idle) = take(&mut absent, "idle_power_w", &of.idle) {
            (figures.idle_power_w, figures.idle_power_w_uncertainty) = parts(Some(idle.watts));
            figures.idle_measured = Some(idle.seconds);
        }
        (figures.energy_above_idle_j, figures.energy_above_idle_j_uncertainty) =
            parts(take(&mut absent, "energy_above_idle_j", &of.above_idle_j));
        (figures.energy_per_item_j, figures.energy_per_item_j_uncertainty) =
            parts(take(&mut absent, "energy_per_item_j", &of.per_item_j));
        (figures.energy_per_item_above_idle_j, figures.energy_per_item_above_idle_j_uncertainty) =
            parts(take(&mut absent, "energy_per_item_above_idle_j", &of.per_item_above_idle_j));
        if let Some(utilization) = take(&mut absent, "utilization_over_time", &of.utilization) {
            figures.utilization_over_time = Some(utilization.over_time);
            figures.utilization_mean = utilization.of_readings;
            figures.utilization_max = Some(utilization.highest);
            figures.utilization_known_percent = Some(utilization.known_percent);
        }
        figures.peak_vram_bytes = take(&mut absent, "peak_vram_bytes", &of.peak_vram_bytes).map(whole);
        figures.peak_vram_percent = take(&mut absent, "peak_vram_percent", &of.peak_vram_percent);
        figures.throttled_percent = take(&mut absent, "throttled_percent", &of.throttled_percent);
        let throttled =
            |(reason, percent): &(String, f64)| Throttled { reason: reason.clone(), percent: *percent };
        figures.throttled_by = of.throttled_by.iter().map(throttled).collect();
        figures.absent = absent;
        figures
    }
}

fn take<T: Copy>(
    absent: &mut BTreeMap<&'static str, String>,
    field: &'static str,
    value: &Value<T>,
) -> Option<T> {
    value.as_ref().map_err(|missing| absent.insert(field, (EN.missing)(missing))).ok().copied()
}

fn parts(measure: Option<Measure>) -> (Option<f64>, Option<f64>) {
    (measure.map(|m| m.value), measure.map(|m| m.uncertainty))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn whole(bytes: f64) -> u64 {
    bytes.round() as u64
}

/// Something that happened to a GPU.
#[derive(Serialize)]
pub(super) struct Event<'a> {
    timestamp: f64,
    timestamp_error_us: f64,
    host: &'a str,
    uuid: Option<&'a str>,
    kind: &'static str,
    xid: Option<u64>,
    reason: Option<String>,
    strategy: Option<&'a str>,
}

impl<'a> Event<'a> {
    pub(super) fn of(of: &'a GpuHappening) -> Self {
        let (kind, xid, reason) = told(&of.kind);
        Self {
            timestamp: of.at.as_secs_f64(),
            timestamp_error_us: of.error_us,
            host: &of.host,
            uuid: of.gpu.as_deref(),
            kind,
            xid,
            reason,
            strategy: of.strategy.as_deref(),
        }
    }
}
