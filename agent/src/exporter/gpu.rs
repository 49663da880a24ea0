//! What is read of the GPUs.

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{Absence, Device, Reading};

use super::text::{Kind, Text};
use crate::latest::Latest;
use crate::units::Unit;

const MIB: f64 = 1024.0 * 1024.0;

/// Numbers that only grow while the driver stays loaded.
const COUNTERS: [GpuMetric; 4] =
    [GpuMetric::EnergyJ, GpuMetric::PcieReplays, GpuMetric::EccCorrected, GpuMetric::EccUncorrected];

/// A name of NVIDIA's dcgm-exporter.
struct Dcgm {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: Value,
}

/// A value made of a GPU's numbers.
type Value = fn(&dyn Fn(GpuMetric) -> Option<f64>) -> Option<f64>;

/// Those that mean the same here, as `etc/default-counters.csv` of dcgm-exporter has them.
const DCGM: [Dcgm; 11] = [
    gauge("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).", |of| of(GpuMetric::SmClockMhz)),
    gauge("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).", |of| of(GpuMetric::MemoryClockMhz)),
    gauge("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).", |of| of(GpuMetric::TemperatureC)),
    gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", |of| of(GpuMetric::PowerW)),
    counter("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "Energy since the driver was loaded (in mJ).", |of| {
        Some(of(GpuMetric::EnergyJ)? * 1e3)
    }),
    counter("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "PCIe transmissions that had to be repeated.", |of| {
        of(GpuMetric::PcieReplays)
    }),
    gauge("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", |of| of(GpuMetric::UtilizationPercent)),
    gauge("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).", |of| {
        of(GpuMetric::MemoryUtilizationPercent)
    }),
    gauge("DCGM_FI_DEV_FB_FREE", "Memory that is free (in MiB).", |of| {
        let taken = of(GpuMetric::MemoryUsedBytes)? + of(GpuMetric::MemoryReservedBytes)?;
        Some((of(GpuMetric::MemoryTotalBytes)? - taken).max(0.0) / MIB)
    }),
    gauge("DCGM_FI_DEV_FB_USED", "Memory in use (in MiB).", |of| Some(of(GpuMetric::MemoryUsedBytes)? / MIB)),
    gauge("DCGM_FI_DEV_FB_RESERVED", "Memory that the driver keeps for itself (in MiB).", |of| {
        Some(of(GpuMetric::MemoryReservedBytes)? / MIB)
    }),
];

const fn gauge(name: &'static str, help: &'static str, value: Value) -> Dcgm {
    Dcgm { name, kind: Kind::Gauge, help, value }
}

const fn counter(name: &'static str, help: &'static str, value: Value) -> Dcgm {
    Dcgm { name, kind: Kind::Counter, help, value }
}

/// Writes all that is known of the GPUs.
pub(super) fn write(
    text: &mut Text,
    host: &str,
    devices: &Result<Vec<Device>, Absence>,
    latest: &Latest,
    now: Mono,
) {
    let devices = match devices {
        Ok(devices) => devices,
        Err(absence) => {
            let help = "The GPUs of this host cannot be seen, for this reason.";
            let mut family = text.family("fluxfleet_gpus_absent", Kind::Gauge, help);
            family.sample(&[("reason", &absence.reason.to_string())], 1.0);
            return;
        }
    };
    text.family("fluxfleet_gpus", Kind::Gauge, "GPUs of this host, instances of partitioned ones included.")
        .sample(&[], devices.len() as f64);
    infos(text, devices);
    let gpus: Vec<Gpu<'_>> = devices.iter().map(|device| Gpu::new(device, latest, now)).collect();
    as_dcgm(text, host, &gpus, latest);
    for metric in GpuMetric::ALL {
        let (name, help) = (name(*metric), help(*metric));
        let kind = if COUNTERS.contains(metric) { Kind::Counter } else { Kind::Gauge };
        let mut family = text.family(&name, kind, &help);
        for gpu in &gpus {
            if let Some(value) = gpu.value(*metric) {
                family.sample(&gpu.short_labels(), base(metric.name(), value));
            }
        }
    }
    throttle(text, &gpus);
    xids(text, latest);
    absent(text, &gpus);
}

/// One GPU and what is known of it.
struct Gpu<'a> {
    device: &'a Device,
    index: String,
    readings: Vec<(GpuMetric, Reading)>,
    throttle: Option<Reading<Vec<String>>>,
}

impl<'a> Gpu<'a> {
    fn new(device: &'a Device, latest: &Latest, now: Mono) -> Self {
        let reading = |metric: &GpuMetric| Some((*metric, latest.gpu(&device.uuid, *metric, now)?));
        Self {
            device,
            index: device.index.to_string(),
            readings: GpuMetric::ALL.iter().filter_map(reading).collect(),
            throttle: latest.throttle(&device.uuid, now),
        }
    }

    fn value(&self, metric: GpuMetric) -> Option<f64> {
        self.readings.iter().find(|(m, _)| *m == metric)?.1.as_ref().ok().copied()
    }

    fn short_labels(&self) -> [(&str, &str); 2] {
        [("gpu", &self.index), ("uuid", &self.device.uuid.0)]
    }
}

fn infos(text: &mut Text, devices: &[Device]) {
    let mut family = text.family("fluxfleet_gpu_info", Kind::Gauge, "What a GPU is.");
    for Device { uuid, name, index, pci_bus, architecture, parent } in devices {
        let labels = [
            ("gpu", index.to_string()),
            ("uuid", uuid.to_string()),
            ("name", name.clone()),
            ("pci_bus_id", pci_bus.clone()),
            ("architecture", architecture.clone()),
            ("parent", parent.as_ref().map(ToString::to_string).unwrap_or_default()),
        ];
        let told = labels.iter().filter(|(_, value)| !value.is_empty());
        family.sample(&told.map(|(label, value)| (*label, value.as_str())).collect::<Vec<_>>(), 1.0);
    }
}

fn as_dcgm(text: &mut Text, host: &str, gpus: &[Gpu<'_>], latest: &Latest) {
    let labelled: Vec<(&Gpu<'_>, String)> =
        gpus.iter().map(|gpu| (gpu, format!("nvidia{}", gpu.index))).collect();
    let mut all = |name, kind, help, value: &dyn Fn(&Gpu<'_>) -> Option<f64>| {
        let mut family = text.family(name, kind, help);
        for (gpu, device) in &labelled {
            let labels = [
                ("gpu", gpu.index.as_str()),
                ("UUID", &gpu.device.uuid.0),
                ("pci_bus_id", &gpu.device.pci_bus),
                ("device", device),
                ("modelName", &gpu.device.name),
                ("hostname", host),
            ];
            if let Some(value) = value(gpu) {
                family.sample(&labels, value);
            }
        }
    };
    for Dcgm { name, kind, help, value } in DCGM {
        all(name, kind, help, &|gpu| value(&|metric| gpu.value(metric)));
    }
    // Without an error so far there is none to tell: the agent did not see what was before it.
    let last = |gpu: &Gpu<'_>| latest.last_xid(&gpu.device.uuid).map(|number| number as f64);
    all("DCGM_FI_DEV_XID_ERRORS", Kind::Gauge, "Value of the last XID error encountered.", &last);
}

/// The name in base units.
fn name(metric: GpuMetric) -> String {
    let (stem, unit) = Unit::split(metric.name());
    let total = if COUNTERS.contains(&metric) { "_total" } else { "" };
    format!("fluxfleet_gpu_{stem}{}{total}", suffix(unit))
}

fn help(metric: GpuMetric) -> String {
    format!("The reading {} of a GPU, in base units.", metric.name())
}

/// What a name in base units ends in.
pub(super) fn suffix(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => "_ratio",
        Unit::BytesPerSecond => "_bytes_per_second",
        Unit::Bytes => "_bytes",
        Unit::Watts => "_watts",
        Unit::Joules => "_joules",
        Unit::Celsius => "_celsius",
        Unit::Megahertz => "_hertz",
        Unit::Microseconds => "_seconds",
        Unit::Plain => "",
    }
}

/// A value of the metric of this name in base units.
pub(super) fn base(metric: &str, value: f64) -> f64 {
    match Unit::split(metric).1 {
        Unit::Percent => value / 100.0,
        Unit::Megahertz => value * 1e6,
        Unit::Microseconds => value / 1e6,
        _ => value,
    }
}

fn throttle(text: &mut Text, gpus: &[Gpu<'_>]) {
    let help = "The GPU's clock is held down, for this reason.";
    let mut family = text.family("fluxfleet_gpu_throttled", Kind::Gauge, help);
    for gpu in gpus {
        let [index, uuid] = gpu.short_labels();
        for reason in gpu.throttle.iter().filter_map(|reading| reading.as_ref().ok()).flatten() {
            family.sample(&[index, uuid, ("reason", reason)], 1.0);
        }
    }
}

fn xids(text: &mut Text, latest: &Latest) {
    let help = "Errors that the driver reported since the agent was started, by number.";
    let mut family = text.family("fluxfleet_gpu_xid_errors_total", Kind::Counter, help);
    for (uuid, number, count) in latest.xids() {
        let uuid = uuid.map_or("", |uuid| uuid.0.as_str());
        family.sample(&[("uuid", uuid), ("xid", &number.to_string())], count as f64);
    }
}

fn absent(text: &mut Text, gpus: &[Gpu<'_>]) {
    let help = "The reading is absent, for this reason.";
    let mut family = text.family("fluxfleet_gpu_reading_absent", Kind::Gauge, help);
    for gpu in gpus {
        let mut absent = |metric, absence: &Absence| {
            let reason = absence.reason.to_string();
            family.sample(&[("uuid", &gpu.device.uuid.0), ("metric", metric), ("reason", &reason)], 1.0);
        };
        for (metric, reading) in &gpu.readings {
            if let Err(absence) = reading {
                absent(metric.name(), absence);
            }
        }
        if let Some(Err(absence)) = &gpu.throttle {
            absent("throttle", absence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_ends_in_its_base_unit() {
        let names: Vec<String> = GpuMetric::ALL.iter().map(|metric| name(*metric)).collect();
        let expected = [
            "utilization_ratio",
            "memory_utilization_ratio",
            "memory_used_bytes",
            "memory_reserved_bytes",
            "memory_total_bytes",
            "power_watts",
            "power_instant_watts",
            "power_limit_watts",
            "energy_joules_total",
            "temperature_celsius",
            "sm_clock_hertz",
            "memory_clock_hertz",
            "performance_state",
            "encoder_ratio",
            "decoder_ratio",
            "pcie_generation",
            "pcie_width",
            "pcie_received_bytes_per_second",
            "pcie_sent_bytes_per_second",
            "pcie_replays_total",
            "nvlinks_up",
            "ecc_corrected_total",
            "ecc_uncorrected_total",
            "compute_processes",
        ];
        assert_eq!(names, expected.map(|name| format!("fluxfleet_gpu_{name}")));
    }

    #[test]
    fn values_are_in_base_units_too() {
        assert_eq!(base("utilization_percent", 75.0).to_string(), "0.75");
        assert_eq!(base("sm_clock_mhz", 1410.0).to_string(), "1410000000");
        assert_eq!(base("power_w", 250.5).to_string(), "250.5");
    }
}
